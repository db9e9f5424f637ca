"""--timeout covers all that a command does: sign-in, lock, reads, changes, state and outlets. Real processes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from enireconcile.cli.signals import GRACE, Interrupt
from enireconcile.errors import StoppedError
from enireconcile.outputs import logs
from enireconcile.state.directory import Directory
from tests.commands import PATIENCE, running, written
from tests.ec2 import Call, EC2Server, Fail, Hook
from tests.harness import STORY
from tests.processes.test_outlets import listening
from tests.s3 import BUCKET, S3Server

SPEC = str(STORY)
SCOPE = "123456789012-us-east-1-two-enis"
LIMIT = 3
LATE = 8
"""A limit that a run reaches only in its last steps, also on a busy machine."""
MOST = 2 * GRACE + 20.0
"""Seconds that a command may take besides its limit, with the start of a process on a busy machine."""
LOADED = """
import importlib, pkgutil, enireconcile
for module in pkgutil.walk_packages(enireconcile.__path__, "enireconcile."):
    if module.name != "enireconcile.__main__":
        importlib.import_module(module.name)
from enireconcile.aws.session import connect
for service in ("ec2", "sts", "s3"):
    connect(region="us-east-1", profile=None).client(service)
from enireconcile.__main__ import main
main()
"""
"""The command, which counts its time once everything is loaded."""


@dataclass(frozen=True)
class Ended:
    code: int
    report: Mapping[str, Any]
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        return str(self.report["error"])


@dataclass
class Limited:
    """Runs a command with --timeout, and measures it."""

    server: EC2Server
    folder: Path

    def __call__(
        self, *args: str, state: str | None = None, stdin: int | None = None, limit: int = LIMIT
    ) -> Ended:
        report = self.folder / "report.json"
        command = (*args[:1], "--timeout", f"{limit}s", "--report", str(report), *args[1:])
        place, program = state or self.folder / "state", ("-c", LOADED)
        began = time.monotonic()
        with running(self.server, place, *command, stdin=stdin, program=program) as run:
            code, stdout = run.end()
        assert time.monotonic() - began < limit + MOST, run.stderr
        return Ended(code, written(report), stdout, run.stderr)


@pytest.fixture
def limited(server: EC2Server, tmp_path: Path) -> Limited:
    return Limited(server, tmp_path)


def forever(call: str, code: str = "502", message: str = "Bad Gateway", status: int = 502) -> Fail:
    return Fail(call, times=10**6, code=code, message=message, status=status)


def stuck(call: str, gate: threading.Event) -> Hook:
    """Accepts the call and does not answer it."""

    def hold(_: Call) -> None:
        gate.wait(PATIENCE)

    return Hook(call, times=10**6, callback=hold)


WAITED = r"stopped by --timeout after [38] s: waited \d\.\d s for "


@pytest.mark.parametrize("command", [("apply", "-y"), ("destroy", "-y", "--allow-destroy")])
def test_sign_in_that_fails(server: EC2Server, limited: Limited, command: tuple[str, ...]) -> None:
    server.faults.add(forever("GetCallerIdentity"))
    ended = limited(*command, SPEC)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.fullmatch(
        WAITED + r"GetCallerIdentity, tried \d+ times; the last answer was 502: Bad Gateway; nothing was changed",
        ended.error,
    )
    assert ended.error in ended.stderr
    assert set(server.actions()) == {"GetCallerIdentity"}


def test_sign_in_that_is_not_answered(server: EC2Server, limited: Limited, gate: threading.Event) -> None:
    """The connection is accepted, and nothing follows."""
    server.faults.add(stuck("GetCallerIdentity", gate))
    ended = limited("apply", "-y", SPEC)
    assert ended.code == 5
    assert re.fullmatch(WAITED + "GetCallerIdentity, which did not answer; nothing was changed", ended.error)


@pytest.mark.parametrize("role", [False, True], ids=["own", "to assume a role"])
def test_slow_credentials(
    server: EC2Server, limited: Limited, monkeypatch: pytest.MonkeyPatch, role: bool
) -> None:
    """A program that signs in and does not end."""
    config = limited.folder / "config"
    config.write_text("[profile slow]\ncredential_process = sleep 60\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    spec = limited.folder / "one.yaml"
    assume = "assume_role_arn: arn:aws:iam::123456789012:role/ops\n" if role else ""
    spec.write_text(f"version: 1\nstack: one\nregion: us-east-1\n{assume}elastic_ips: {{ip: {{}}}}\n")
    ended = limited("apply", "-y", "--profile", "slow", str(spec))
    assert ended.code == 5
    # The role's ARN tells the account, so that all reads of the plan wait for its credentials.
    waited = r"the credentials and \d more calls" if role else "the credentials; nothing was changed"
    assert re.fullmatch(WAITED + waited, ended.error)
    assert server.calls == []


def test_a_held_lock(server: EC2Server, limited: Limited) -> None:
    """The outcome is that of a lock, and the hint names the limit that ended the wait."""
    with Directory(limited.folder / "state").locked(SCOPE, timeout=0, now=lambda: 0.0):
        ended = limited("apply", "-y", "--lock-timeout", "1h", SPEC)
    assert (ended.code, ended.report["outcome"]) == (4, "locked")
    stack = rf"{SPEC}: the stack two-enis \(account 123456789012, us-east-1\)"
    assert re.search(rf"{stack} is locked by .*; waited \d\.\d s for it, until --timeout\n", ended.error)
    assert "hint: to wait for that run, run this again with a longer --timeout; " in ended.error
    assert server.actions() == ["GetCallerIdentity"]


def test_a_lock_in_s3_that_is_not_answered(s3: S3Server, limited: Limited, gate: threading.Event) -> None:
    s3.before = lambda _: gate.wait(PATIENCE)
    ended = limited("apply", "-y", SPEC, state=f"s3://{BUCKET}/team")
    assert ended.code == 5
    assert re.fullmatch(WAITED + "the lock of the stack; nothing was changed", ended.error)


def test_what_follows_a_run_is_limited_too(capsys: pytest.CaptureFixture[str], gate: threading.Event) -> None:
    """S3 does not answer when the lock is released: the work is done, and the lock expires by itself."""
    logs.begin()
    with Interrupt() as interrupt, interrupt.limited(0.1):
        began = time.monotonic()
        interrupt.finish(lambda: gate.wait(PATIENCE), "releasing the lock")
        assert time.monotonic() - began < 2 * GRACE + 5
        assert interrupt.abandoned_calls
    assert "warning: releasing the lock takes longer than --timeout allows" in capsys.readouterr().err


def test_a_lock_that_comes_too_late_is_released() -> None:
    """The entry goes on in its thread after the limit; nothing is left locked when it succeeds."""
    entered, left = threading.Event(), threading.Event()

    @contextmanager
    def lock(idle: Callable[[float], bool]) -> Iterator[None]:
        while idle(0.05):
            pass
        entered.set()
        try:
            yield
        finally:
            left.set()

    with (
        Interrupt() as interrupt,
        interrupt.limited(0.1),
        pytest.raises(StoppedError, match="waited"),
        interrupt.entered(lock, lambda _: interrupt.stopped("waited")),
    ):
        pytest.fail("the lock was entered")
    assert entered.wait(PATIENCE)
    assert left.wait(PATIENCE)


@pytest.mark.parametrize("how", ["an error", "no answer"])
def test_a_read(server: EC2Server, limited: Limited, gate: threading.Event, how: str) -> None:
    server.faults.add(
        forever("DescribeInstances") if how == "an error" else stuck("DescribeInstances", gate),
    )
    ended = limited("apply", "-y", SPEC)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.match(WAITED + r"Describe\w+", ended.error)
    assert server.mutating() == []
    with Directory(limited.folder / "state").locked(SCOPE, timeout=0, now=lambda: 0.0):
        pass


def test_a_change_that_is_refused_for_now(server: EC2Server, limited: Limited) -> None:
    """Retried until the time is up; the error names the step."""
    server.faults.add(forever("AllocateAddress", "RequestLimitExceeded", "Slow down.", 503))
    ended = limited("apply", "-y", SPEC, limit=LATE)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.match(WAITED + r"AllocateAddress for elastic_ips\.web-[12]", ended.error)
    assert "elastic_ips.web-1" in ended.report["remaining"]


def test_a_change_that_is_not_answered(server: EC2Server, limited: Limited, gate: threading.Event) -> None:
    """It gets a short grace and is then left to itself. The next run finds what it made."""
    server.faults.add(stuck("RunInstances", gate))
    ended = limited("apply", "-y", SPEC, limit=LATE)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    [launch] = [step for step in ended.report["steps"] if step["call"] == "RunInstances"]
    assert launch["error"] == "was sent, and its answer is not known; the next run finds out"
    assert "RunInstances for instances.web" in ended.stderr
    gate.set()
    server.faults.clear()
    with running(server, limited.folder / "state", "apply", "-y", "--settle-timeout", "1s", SPEC) as again:
        assert again.end()[0] == 0, again.stderr
    reservations = server.client().describe_instances()["Reservations"]
    assert sum(len(reservation["Instances"]) for reservation in reservations) == 1


def test_reading_back(server: EC2Server, limited: Limited) -> None:
    """All is done, and the read that would show it fails: not converged."""
    spec = limited.folder / "one.yaml"
    spec.write_text("version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    failing = forever("DescribeAddresses")
    server.faults.add(Hook("AllocateAddress", late=True, callback=lambda _: server.faults.add(failing)))
    ended = limited("apply", "-y", str(spec), limit=LATE)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.match(WAITED + "DescribeAddresses", ended.error)


def test_a_notification(limited: Limited, gate: threading.Event) -> None:
    """A server that does not answer ends neither the outcome nor the time limit."""
    spec = limited.folder / "none.yaml"
    spec.write_text("version: 1\nstack: none\nregion: us-east-1\n")
    with listening() as hook:
        hook.silent = gate
        ended = limited("apply", "-y", "--notify", hook.url, "--notify-all", str(spec), limit=LATE)
        gate.set()
    assert (ended.code, ended.report["outcome"]) == (0, "unchanged")
    assert "warning: cannot notify localhost: no answer within" in ended.stderr


def test_a_run_that_ran_out_of_time_notifies(server: EC2Server, limited: Limited) -> None:
    server.faults.add(forever("GetCallerIdentity"))
    with listening() as hook:
        limited("apply", "-y", "--notify", hook.url, SPEC)
    assert [report["outcome"] for report in hook.reports] == ["partial"]


def test_the_question(server: EC2Server, limited: Limited) -> None:
    """No answer is no approval."""
    ours, theirs = pty.openpty()
    try:
        ended = limited("apply", SPEC, stdin=theirs, limit=LATE)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.fullmatch(WAITED + "approval; nothing was changed", ended.error)
    assert server.mutating() == []


def test_a_spec_that_does_not_end(server: EC2Server, limited: Limited) -> None:
    """Standard input stays open."""
    reading, writing = os.pipe()
    try:
        ended = limited("apply", "-y", "-", stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert (ended.code, ended.report["outcome"]) == (5, "partial")
    assert re.fullmatch(WAITED + "the spec; nothing was changed", ended.error)
    assert server.calls == []


def test_each_run_of_a_watch_has_its_own_limit(server: EC2Server, tmp_path: Path) -> None:
    """A round that runs out of time does not end the watch, and the next one converges."""
    spec, report = tmp_path / "one.yaml", tmp_path / "report.json"
    spec.write_text("version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    fault = forever("GetCallerIdentity")
    server.faults.add(fault)
    limits = ("--timeout", "3s", "--interval", "1s", "--report", str(report))
    program = ("-c", LOADED)
    with running(server, tmp_path / "state", "watch", *limits, str(spec), program=program) as run:
        run.says("stopped by --timeout after 3 s: waited ")
        server.faults.clear()
        run.says("✓ AllocateAddress")
        run.send(signal.SIGTERM)
        assert run.end()[0] in (0, 5)
    assert len(server.client().describe_addresses()["Addresses"]) == 1


def test_a_plan_does_not_wait_for_an_optional_read(
    server: EC2Server, tmp_path: Path, gate: threading.Event
) -> None:
    """The call is never answered: the plan goes on after ten seconds, and its process ends."""
    spec = tmp_path / "one.yaml"
    spec.write_text("version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    server.faults.add(stuck("DescribeAccountAttributes", gate))
    with running(server, tmp_path / "state", "plan", str(spec)) as run:
        code, stdout = run.end()
        assert not gate.is_set()
    assert code == 0
    assert "DescribeAccountAttributes was not answered" in stdout
    assert "+ elastic_ips.ip  create" in stdout


@pytest.mark.parametrize("command", [("apply", "-y"), ("destroy", "-y")])
def test_ctrl_c_while_the_spec_is_read(server: EC2Server, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Code 5, as for every run that is stopped; the report is written."""
    report = tmp_path / "report.json"
    reading, writing = os.pipe()
    try:
        with running(server, tmp_path / "state", *command, "--report", str(report), "-", stdin=reading) as run:
            # The reader of the pipe is there once it has taken what is in it.
            os.write(writing, b"version: 1\n")
            while _unread(reading):
                assert run.process.poll() is None
            run.insist(signal.SIGINT)
            code, _ = run.end()
    finally:
        os.close(reading)
        os.close(writing)
    assert (code, written(report)["outcome"], written(report)["error"]) == (
        5,
        "partial",
        "stopped by Ctrl-C; nothing was changed",
    )


EARLY = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "{module}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from enireconcile.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["click", "enireconcile.cli.options", "asyncio", "enireconcile.spec.rows"])
@pytest.mark.parametrize(("command", "expected"), [("apply", 5), ("destroy", 5), ("watch", 0), ("plan", 1)])
def test_ctrl_c_while_modules_are_loaded(
    server: EC2Server, tmp_path: Path, module: str, command: str, expected: int
) -> None:
    """At the very start: one line, no traceback."""
    with running(server, tmp_path, command, SPEC, program=("-c", EARLY.format(module=module))) as run:
        assert run.end() == (expected, "")
    assert run.stderr.strip() == "stopped; nothing was changed"
    assert server.calls == []


def _unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])


def test_nothing_begins_after_the_limit() -> None:
    began: list[int] = []
    with (
        Interrupt() as interrupt,
        interrupt.limited(0.0),
        pytest.raises(StoppedError, match=r"^stopped by --timeout after 0 s; nothing was changed$"),
    ):
        interrupt.in_thread(lambda: began.append(1), "something")
    assert began == []


def test_the_delay_of_a_start_does_not_count() -> None:
    with Interrupt() as interrupt, interrupt.limited(5.0):
        assert interrupt.delay(0.2)
        assert interrupt.left > 4.9
