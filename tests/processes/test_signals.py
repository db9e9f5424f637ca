"""Ctrl-C, SIGTERM and --timeout, whenever they come: real processes, and what they leave."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enireconcile.cli.signals import Interrupt, run_async
from enireconcile.state.directory import Directory
from tests.commands import PATIENCE, running, written
from tests.ec2 import Call, EC2Server, Hook
from tests.harness import STORY

SPEC = str(STORY)
SCOPE = "123456789012-us-east-1-two-enis"
NUMBERS = [signal.SIGINT, signal.SIGTERM]


def held(gate: threading.Event, arrived: threading.Event) -> Callable[[Call], None]:
    """A callback that keeps a call on the wire."""

    def hold(_: Call) -> None:
        arrived.set()
        gate.wait(PATIENCE)

    return hold


@pytest.mark.parametrize("number", NUMBERS)
def test_while_waiting_for_the_lock(server: EC2Server, tmp_path: Path, number: signal.Signals) -> None:
    """Nothing was read, nothing was done: code 5, and a report that says so."""
    report = tmp_path / "report.json"
    with (
        Directory(tmp_path / "state").locked(SCOPE, timeout=0, now=lambda: 0.0),
        running(
            server, tmp_path / "state", "apply", "-y", "--lock-timeout", "1h", "--report", str(report), SPEC
        ) as run,
    ):
        run.says("waiting for ")
        run.send(number)
        code, _ = run.end()
    assert (code, written(report)["outcome"], written(report)["steps"]) == (5, "partial", [])
    assert "nothing was changed" in run.stderr
    assert server.actions() == ["GetCallerIdentity"]


@pytest.mark.parametrize("number", NUMBERS)
def test_while_planning(server: EC2Server, tmp_path: Path, number: signal.Signals, gate: threading.Event) -> None:
    """A read hangs: it is not waited for, nothing is changed, the report is written, the lock is free."""
    arrived = threading.Event()
    server.faults.add(Hook(action="DescribeInstances", callback=held(gate, arrived)))
    report = tmp_path / "report.json"
    with running(server, tmp_path / "state", "apply", "-y", "--report", str(report), SPEC) as run:
        assert arrived.wait(PATIENCE)
        run.send(number)
        code, stdout = run.end()
    said = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert (code, written(report)["outcome"], written(report)["error"]) == (5, "partial", f"stopped by {said}")
    assert "nothing was changed" in stdout
    assert server.mutating() == []
    with Directory(tmp_path / "state").locked(SCOPE, timeout=0, now=lambda: 0.0):
        pass


@pytest.mark.parametrize("number", NUMBERS)
def test_at_the_question(server: EC2Server, tmp_path: Path, number: signal.Signals) -> None:
    """A signal means no, immediately: code 3, and nothing is changed."""
    report = tmp_path / "report.json"
    ours, theirs = pty.openpty()
    try:
        with running(server, tmp_path / "state", "apply", "--report", str(report), SPEC, stdin=theirs) as run:
            run.says("Apply 7 changes? [y/N]: ")
            run.insist(number)
            code, _ = run.end()
    finally:
        os.close(ours)
        os.close(theirs)
    assert (code, written(report)["outcome"]) == (3, "refused")
    assert "the plan was not approved; nothing was changed" in run.stderr
    assert server.mutating() == []


@pytest.mark.parametrize("number", NUMBERS)
def test_right_after_a_yes(number: signal.Signals) -> None:
    """A signal between the answer and the first call means no, and the next signal stops the run."""

    def question() -> bool:
        signal.raise_signal(number)
        return True

    with Interrupt() as interrupt:
        assert interrupt.ask(question) is False
        assert interrupt.stopped_by is None
        signal.raise_signal(number)
        assert interrupt.stopped_by


def test_a_second_one_waits_for_nothing(server: EC2Server, tmp_path: Path, gate: threading.Event) -> None:
    """RunInstances hangs: the first Ctrl-C waits for it, the second does not; nothing is created twice."""
    arrived = threading.Event()
    server.faults.add(Hook(action="RunInstances", callback=held(gate, arrived)))
    report = tmp_path / "report.json"
    with running(server, tmp_path / "state", "apply", "-y", "--report", str(report), SPEC) as run:
        assert arrived.wait(PATIENCE)
        run.send(signal.SIGINT)
        run.says("stopping after the calls in flight (press Ctrl-C again to exit immediately)")
        run.send(signal.SIGINT)
        run.says("exiting without waiting for the calls in flight")
        code, stdout = run.end()
    told = written(report)
    [launch] = [step for step in told["steps"] if step["call"] == "RunInstances"]
    assert (code, told["outcome"]) == (5, "partial")
    assert (launch["status"], launch["attempts"], launch["error"]) == (
        "failed",
        1,
        "was sent, and its answer is not known; the next run finds out",
    )
    # What is done is not to do, and the last read, which is of before the calls, is not shown.
    interfaces = ["network_interfaces.web-eth0", "network_interfaces.web-eth1"]
    assert (sorted(told["remaining"]), told["resources"]) == (["instances.web", *interfaces], None)
    assert "RunInstances  instances.web  launch " in run.stderr
    assert "was sent, and its answer is not known" in run.stderr
    assert "Stopped before converging" in stdout
    assert "elastic_ips" not in stdout.partition("Stopped before converging")[2]
    gate.set()
    with running(server, tmp_path / "state", "apply", "-y", "--settle-timeout", "1s", SPEC) as again:
        assert again.end()[0] == 0, again.stderr
    reservations = server.client().describe_instances()["Reservations"]
    assert sum(len(reservation["Instances"]) for reservation in reservations) == 1
    assert len(server.client().describe_addresses()["Addresses"]) == 2


def test_what_is_next_in_line_is_not_begun(server: EC2Server, tmp_path: Path) -> None:
    """SIGTERM in the first of two specs, whose only call is on the wire: it ends well, the other is not begun."""
    for stack in ("one", "two"):
        spec = f"version: 1\nstack: {stack}\nregion: us-east-1\nelastic_ips: {{ip: {{}}}}\n"
        (tmp_path / f"{stack}.yaml").write_text(spec)
    report = tmp_path / "report.json"
    sent = threading.Event()

    def stop(_: Call) -> None:
        run.send(signal.SIGTERM)
        run.says("stopping after the calls in flight (send SIGTERM again to exit immediately)")
        sent.set()

    server.faults.add(Hook(action="AllocateAddress", callback=stop))
    with running(server, tmp_path / "state", "apply", "-y", "--report", str(report), str(tmp_path)) as run:
        code, _ = run.end()
    assert sent.is_set()
    assert (code, [told["outcome"] for told in json.loads(report.read_text())]) == (5, ["converged", "partial"])
    assert len(server.client().describe_addresses()["Addresses"]) == 1


def test_the_time_is_up(server: EC2Server, tmp_path: Path) -> None:
    """--timeout does what Ctrl-C does: here, before anything was begun."""
    report = tmp_path / "report.json"
    with running(
        server, tmp_path / "state", "apply", "-y", "--timeout", "0s", "--report", str(report), SPEC
    ) as run:
        code, _ = run.end()
    assert (code, written(report)["outcome"]) == (5, "partial")
    assert written(report)["error"] == "stopped by --timeout after 0 s; nothing was changed"
    assert server.mutating() == []


@pytest.fixture
def unhurried() -> Iterator[None]:
    """No thread gives way to another one before it sleeps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(10)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.timeout(30)
def test_a_signal_that_does_not_wake_the_loop_is_handled() -> None:
    """Another thread is given the signal while the loop sleeps, with nothing else that could wake it."""
    asleep = threading.Event()

    def interrupt() -> None:
        asleep.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    async def sleep() -> None:
        asleep.set()
        await asyncio.Event().wait()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_async(sleep())
    thread.join()


@pytest.mark.parametrize("number", NUMBERS)
def test_plan(server: EC2Server, tmp_path: Path, number: signal.Signals, gate: threading.Event) -> None:
    """A plan that is stopped says so in a line, and does not wait for what hangs."""
    arrived = threading.Event()
    server.faults.add(Hook(action="DescribeInstances", callback=held(gate, arrived)))
    with running(server, tmp_path / "state", "plan", SPEC) as run:
        assert arrived.wait(PATIENCE)
        run.send(number)
        code, stdout = run.end()
    assert (code, stdout) == (1, "")
    assert run.stderr.strip() == "stopped; nothing was changed"
