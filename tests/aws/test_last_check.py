"""The check at the last moment: when it runs, what it stops, and what becomes of its error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from enireconcile.aws.api import Channel, Reader, Writer
from enireconcile.aws.session import connect
from enireconcile.errors import LostLockError
from enireconcile.model import Secret
from tests.ec2 import EC2Server, Hook, World
from tests.harness import ENVIRONMENT
from tests.virtual import VirtualLoop, run

ALLOCATE = "AllocateAddress"


@pytest.fixture
def server() -> Iterator[EC2Server]:
    with EC2Server(World()) as server:
        yield server


@pytest.fixture
def channel(server: EC2Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    channel = Channel(connect(region="us-east-1", profile=None))
    yield channel
    channel.close()


def lost() -> None:
    raise LostLockError("the lock is lost: bob has taken it over")


def test_a_refused_check_sends_nothing(
    server: EC2Server, channel: Channel, loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is the check's own, not one of the connection, so that no layer repeats the call."""
    caplog.set_level(logging.INFO, "enireconcile.aws")
    with pytest.raises(LostLockError, match="bob has taken it over"):
        run(Writer(channel, lost).write(ALLOCATE, {}), loop)
    assert (server.calls, dict(channel.calls), channel.busy) == ([], {}, False)
    assert "AllocateAddress was not sent: the lock is lost" in caplog.messages


def test_the_connection_is_of_use_afterwards(server: EC2Server, channel: Channel, loop: VirtualLoop) -> None:
    """EC2 got headers and no body, and forgets them."""
    with pytest.raises(LostLockError):
        run(Writer(channel, lost).write(ALLOCATE, {}), loop)
    run(Writer(channel).write(ALLOCATE, {}), loop)
    run(Writer(channel, lambda: None).write(ALLOCATE, {}), loop)
    assert server.actions() == [ALLOCATE] * 2
    assert channel.calls == {ALLOCATE: 2}


def test_it_runs_in_the_thread_that_sends(server: EC2Server, channel: Channel, loop: VirtualLoop) -> None:
    threads: list[str] = []
    run(Writer(channel, lambda: threads.append(threading.current_thread().name)).write(ALLOCATE, {}), loop)
    assert [name.partition("_")[0] for name in threads] == ["aws"]
    assert server.actions() == [ALLOCATE]


def test_it_runs_after_the_wait_for_a_thread(server: EC2Server, channel: Channel, loop: VirtualLoop) -> None:
    """The lock is lost while the call waits for the only thread: the check sees that."""
    narrow = Channel(channel.session, parallelism=1)
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            lost()

    async def both() -> None:
        first = loop.create_task(Writer(narrow, check).write(ALLOCATE, {}))
        second = loop.create_task(Writer(narrow, check).write(ALLOCATE, {}))
        await first
        with pytest.raises(LostLockError):
            await second

    server.faults.add(Hook(action=ALLOCATE, callback=lambda _: gone.set()))
    run(both(), loop)
    assert server.actions() == [ALLOCATE]


def test_the_last_part_of_a_long_body_is_checked_too(
    server: EC2Server, channel: Channel, loop: VirtualLoop
) -> None:
    """A body that leaves in parts can be stopped in its middle: EC2 does not execute half a request."""
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 2:
            lost()

    launch = {"ImageId": "ami-0abcdef1234567890", "MinCount": 1, "MaxCount": 1, "UserData": Secret("x" * 100_000)}
    with pytest.raises(LostLockError):
        run(Writer(channel, check).write("RunInstances", launch), loop)
    assert (len(checks), server.calls) == (2, [])


def test_the_check_may_send_requests_of_its_own(server: EC2Server, channel: Channel, loop: VirtualLoop) -> None:
    """A renewal of the lease, say: it is not checked itself."""
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        channel.session.client("ec2").describe_vpcs()

    run(Writer(channel, check).write(ALLOCATE, {}), loop)
    assert server.actions() == ["DescribeVpcs", ALLOCATE]
    assert len(checks) == 1


def test_reads_are_not_checked(server: EC2Server, channel: Channel, loop: VirtualLoop) -> None:
    with pytest.raises(LostLockError):
        run(Writer(channel, lost).write(ALLOCATE, {}), loop)
    run(Reader(channel).read("DescribeVpcs"), loop)
    assert server.actions() == ["DescribeVpcs"]


def broken() -> None:
    raise ZeroDivisionError


def test_another_error_of_a_check_is_not_hidden_by_the_connection(
    server: EC2Server, channel: Channel, loop: VirtualLoop
) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Writer(channel, broken).write(ALLOCATE, {}), loop)
    assert server.calls == []
