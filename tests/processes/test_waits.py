"""What a run says while it waits: for credentials, for an endpoint, for EC2 to do what it was asked for."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from enireconcile.state.directory import Directory
from tests.commands import PATIENCE, running, written
from tests.ec2 import Call, EC2Server, Hook, Quotas, Settings, World
from tests.harness import ENVIRONMENT, STORY
from tests.processes.test_cli import Run, command, server
from tests.s3 import BUCKET, S3Server

__all__ = ["command", "server"]

SPEC = str(STORY)
ONE = "version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n"


@pytest.fixture
def one(tmp_path: Path) -> str:
    path = tmp_path / "one.yaml"
    path.write_text(ONE)
    return str(path)


def test_a_slow_endpoint_is_named_at_once(
    server: EC2Server, tmp_path: Path, one: str, gate: threading.Event
) -> None:
    """By its host, once, for reads; also where stderr is no terminal."""

    def hold(_: Call) -> None:
        gate.wait(PATIENCE)

    server.faults.add(Hook("GetCallerIdentity", callback=hold))
    with running(server, tmp_path / "state", "plan", one) as run:
        run.says(f"waiting for {server.url.removeprefix('http://')} …\n")
        gate.set()
        assert run.end()[0] == 0
    assert run.stderr.count("waiting for") == 1


@pytest.mark.usefixtures("server")
def test_cron_mails_nothing_of_a_slow_endpoint(command: Run, one: str) -> None:
    """An unattended run without a terminal that finds nothing to do does not tell the first second of a wait."""
    assert command("apply", "-y", one).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enireconcile.aws.sending.SOON", 0.0)
        unattended, attended = command("apply", "-y", one), command("plan", one)
    assert (unattended.code, unattended.stderr) == (0, "")
    assert "waiting for " in attended.stderr


def test_slow_credentials_are_named_at_once(
    server: EC2Server, tmp_path: Path, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that gives them may ask its user for a code first."""
    fifo = tmp_path / "answer"
    os.mkfifo(fifo)
    config = tmp_path / "config"
    config.write_text(f"[profile slow]\ncredential_process = cat {fifo}\n")
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with running(server, tmp_path / "state", "plan", "--profile", "slow", one) as run:
        run.says("waiting for the credentials …\n")
        fifo.write_text(
            json.dumps(
                {
                    "Version": 1,
                    "AccessKeyId": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
                    "SecretAccessKey": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
                }
            )
        )
        assert run.end()[0] == 0


def test_what_ec2_has_not_done_yet_when_a_run_is_stopped_has_not_failed(tmp_path: Path) -> None:
    """One Ctrl-C while an instance starts: its launch was sent, and what needs it was stopped."""
    report = tmp_path / "report.json"
    looked = threading.Event()

    def look(_: Call) -> None:
        if "RunInstances" in ec2.actions():
            looked.set()

    with EC2Server(World(Settings(pending_delay=3600.0))) as ec2:
        ec2.faults.add(Hook("DescribeInstances", times=10**6, callback=look))
        options = ("-y", "--report", str(report))
        with running(ec2, tmp_path / "state", "apply", *options, SPEC) as run:
            assert looked.wait(PATIENCE)
            run.send(signal.SIGINT)
            code, stdout = run.end()
    told = {step["call"]: step for step in written(report)["steps"]}
    assert (code, written(report)["outcome"]) == (5, "partial")
    assert told["RunInstances"]["status"] == "done"
    assert re.fullmatch(
        r"sent; not yet ready: waiting until i-\w+ is running",
        told["RunInstances"]["not_ready"],
    )
    assert re.search(r"^… RunInstances  instances\.web  .*  sent; not yet ready: ", run.stderr, re.MULTILINE)
    assert ("✗" in run.stderr, "failed" in run.stderr + stdout) == (False, False)
    assert "  not yet ready: instances.web\n" in stdout


def test_as_many_calls_at_once_as_the_plan_asks_for(tmp_path: Path, gate: threading.Event) -> None:
    """Twenty addresses are asked for at once, although a run reads with ten calls at most."""
    spec = tmp_path / "many.yaml"
    rows = "".join(f"  ip-{number}: {{}}\n" for number in range(20))
    spec.write_text(f"version: 1\nstack: many\nregion: us-east-1\nelastic_ips:\n{rows}")
    arrived = threading.Semaphore(0)

    def hold(_: Call) -> None:
        arrived.release()
        gate.wait(PATIENCE)

    with EC2Server(World(Settings(quotas=Quotas(addresses=20)))) as server:
        server.faults.add(Hook("AllocateAddress", times=20, callback=hold))
        with running(server, tmp_path / "state", "apply", "-y", str(spec)) as run:
            assert all(arrived.acquire(timeout=PATIENCE) for _ in range(20)), run.stderr
            gate.set()
            assert run.end()[0] == 0


def test_a_slow_state_is_named_at_once(s3: S3Server, one: str, gate: threading.Event) -> None:
    """The lock is in S3, which does not answer."""
    s3.before = lambda _: gate.wait(PATIENCE)
    with EC2Server(World()) as server, running(server, f"s3://{BUCKET}/team", "apply", one) as run:
        run.says(f"waiting for s3://{BUCKET}/team …\n")
        gate.set()
        assert run.end()[0] == 3


def test_the_lock_is_waited_for_in_words(server: EC2Server, command: Run, one: str) -> None:
    """By whom it is held, again and again while the wait lasts."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Directory(Path(os.environ["ENIRECONCILE_STATE"])).locked(
            "123456789012-us-east-1-one", timeout=0, now=lambda: 0.0
        ),
    ):
        patch.setattr("enireconcile.cli.run.AGAIN", 0.0)
        ran = command("apply", "-y", "--lock-timeout", "1500ms", one)
    assert ran.code == 4
    assert re.match(
        r"waiting for the lock, which is held by .*\n(waiting for [01] s for the lock, .*\n)+", ran.stderr
    )
    assert server.mutating() == []
