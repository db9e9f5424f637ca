"""A paused host: SIGSTOP at any point of a burst, its lease runs out, another host works, SIGCONT."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enireconcile.state.clock import boot_time
from tests import forkserver
from tests.commands import PATIENCE, Process, running, written
from tests.ec2 import Call, EC2Server, Hook, Settings, World
from tests.ec2.records import Quotas
from tests.harness import ENVIRONMENT
from tests.processes.pausing import VALID
from tests.s3 import BUCKET, Clock, S3Server

STATE = f"s3://{BUCKET}/team"
COUNT = 8
"""Elastic IPs of the spec."""
PAUSING = str(Path(__file__).with_name("pausing.py"))
TAKEN_OVER_AFTER = 120.0
"""Seconds by which S3's clock goes on during a pause: more than any lease."""
pytestmark = pytest.mark.usefixtures("s3")


@pytest.fixture
def server() -> Iterator[EC2Server]:
    with EC2Server(World(Settings(quotas=Quotas(addresses=100)))) as server:
        yield server


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "burst.yaml"
    rows = "".join(f"  ip-{number}: {{}}\n" for number in range(COUNT))
    path.write_text(f"version: 1\nstack: burst\nregion: us-east-1\nelastic_ips:\n{rows}")
    return str(path)


def _has_stopped(process: Process) -> None:
    """Wait until the process is stopped."""
    os.waitid(os.P_PID, process.process.pid, os.WSTOPPED | os.WNOWAIT)


def _wait_until(condition: Callable[[], bool]) -> None:
    turn = threading.Event()
    while not condition():
        turn.wait(0.01)


def _take_over(server: EC2Server, clock: Clock, spec: str) -> None:
    """The lease of the stopped host runs out, by all clocks; another host takes the lock and finishes the work."""
    stopped_at = boot_time()
    clock.now += TAKEN_OVER_AFTER
    environment = {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": STATE}
    words = ["apply", "-y", "--lock-timeout", "0s", "--settle-timeout", "300ms", spec]
    other = forkserver.start(words, environment)
    stdout, stderr = other.communicate(PATIENCE)
    assert other.wait() == 0, stdout + stderr
    _wait_until(lambda: boot_time() > stopped_at + VALID)


def _addresses(server: EC2Server) -> int:
    return len(server.client().describe_addresses()["Addresses"])


def _assert_nothing_leaves(server: EC2Server, paused: Process, report: Path) -> None:
    """The paused host goes on: it sends no change and ends with 5, since the lock is lost."""
    assert _addresses(server) == COUNT
    calls = len(server.mutating())
    paused.send(signal.SIGCONT)
    code, stdout = paused.end()
    assert len(server.mutating()) == calls
    assert _addresses(server) == COUNT
    told = written(report)
    assert (code, told["outcome"]) == (5, "partial"), stdout + paused.stderr
    assert "the lock is lost" in told["error"]
    assert "no answer" not in stdout.lower()


POINTS = [
    ("queued", 1),
    ("queued", 3),
    ("signed", 1),
    ("signed", 5),
    ("connecting", 1),
    ("connecting", 3),
    ("headers sent", 1),
    ("headers sent", 4),
    ("half of the body sent", 2),
    ("half of the body sent", 3),
    ("before a renewal", 2),
    ("after a renewal", 2),
    ("before the journal", 2),
    ("after the journal", 2),
]


@pytest.mark.parametrize(("point", "nth"), POINTS, ids=[f"{point} {nth}" for point, nth in POINTS])
def test_paused_on_the_way_to_a_call(
    server: EC2Server, clock: Clock, spec: str, tmp_path: Path, point: str, nth: int
) -> None:
    """One call after the other, and a pause at each point of the way: what was not sent before is never sent."""
    report = tmp_path / "report.json"
    options = ("-y", "--parallelism", "1", "--report", str(report))
    with running(server, STATE, "apply", *options, spec, program=(PAUSING, point, str(nth))) as paused:
        _has_stopped(paused)
        _take_over(server, clock, spec)
        _assert_nothing_leaves(server, paused, report)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_paused_in_the_middle_of_a_burst(
    server: EC2Server, clock: Clock, spec: str, tmp_path: Path, threads: int
) -> None:
    """All threads wait for answers, and more calls wait for a thread: none of these is sent after the pause."""
    report, gate, arrived = tmp_path / "report.json", threading.Event(), threading.Semaphore(0)

    def hold(_: Call) -> None:
        arrived.release()
        assert gate.wait(PATIENCE)

    server.faults.add(Hook(action="AllocateAddress", times=threads, late=True, callback=hold))
    options = ("-y", "--parallelism", str(threads), "--report", str(report))
    with running(server, STATE, "apply", *options, spec, program=(PAUSING, "never", "0")) as paused:
        for _ in range(threads):
            assert arrived.acquire(timeout=PATIENCE)
        paused.send(signal.SIGSTOP)
        _has_stopped(paused)
        gate.set()
        _take_over(server, clock, spec)
        _assert_nothing_leaves(server, paused, report)
        assert sum(step["status"] == "done" for step in written(report)["steps"]) == threads


def test_a_pause_that_nothing_uses_costs_nothing(
    server: EC2Server, spec: str, tmp_path: Path, s3: S3Server
) -> None:
    """No other run takes the lock: the lease is renewed before the next call, and the run goes on."""
    report = tmp_path / "report.json"
    options = ("-y", "--report", str(report))
    with running(server, STATE, "apply", *options, spec, program=(PAUSING, "headers sent", "3")) as paused:
        _has_stopped(paused)
        stopped_at, renewals = boot_time(), len(s3.puts("lock.json"))
        _wait_until(lambda: boot_time() > stopped_at + VALID)
        paused.send(signal.SIGCONT)
        code, stdout = paused.end()
    assert (code, written(report)["outcome"]) == (0, "converged"), stdout + paused.stderr
    assert len(s3.puts("lock.json")) > renewals + 1, "renewed, and released at the end"
    assert _addresses(server) == COUNT


def test_a_paused_process_keeps_the_lock_of_its_directory(server: EC2Server, spec: str, tmp_path: Path) -> None:
    """The operating system holds a file lock for a stopped process: no other run begins, and it goes on."""
    gate, arrived = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        arrived.set()
        assert gate.wait(PATIENCE)

    server.faults.add(Hook(action="AllocateAddress", callback=hold))
    with running(server, tmp_path / "state", "apply", "-y", spec) as paused:
        assert arrived.wait(PATIENCE)
        paused.send(signal.SIGSTOP)
        _has_stopped(paused)
        gate.set()
        with running(server, tmp_path / "state", "apply", "-y", "--lock-timeout", "0s", spec) as other:
            assert other.end()[0] == 4
        paused.send(signal.SIGCONT)
        assert paused.end()[0] == 0, paused.stderr
    assert _addresses(server) == COUNT
