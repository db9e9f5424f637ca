"""Clocks that jump right after a crash: real processes, and an address that is still invisible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import running
from tests.ec2 import Call, Drop, EC2Server, Hook, Settings, VirtualClock, World
from tests.s3 import BUCKET, S3Server

DELAY = 10.0
READS = 3
"""So many times the next run reads the addresses before the first one becomes visible."""
SPEC = "version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n"
NEXT_RUN = """
import time
from enireconcile.state import clock
from enireconcile.__main__ import main
real = time.time
time.time = lambda: real() + {jump}
if {rebooted}:
    clock.boot_id = lambda: "another boot"
main()
"""


@pytest.fixture
def server() -> Iterator[EC2Server]:
    with EC2Server(World(Settings(visibility_delay=DELAY), VirtualClock())) as server:
        yield server


@pytest.mark.parametrize("rebooted", [False, True], ids=["same boot", "another boot"])
@pytest.mark.parametrize("jump", [-3600, 0, 3600])
@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_a_jump_after_a_crash_allocates_nothing_twice(
    server: EC2Server, s3: S3Server, tmp_path: Path, kind: str, jump: int, rebooted: bool
) -> None:
    """SIGKILL while the answer is under way; the next run waits for the address, whatever the wall clock says."""
    assert s3.objects == {}
    state = f"s3://{BUCKET}/team" if kind == "s3" else tmp_path / "state"
    spec = tmp_path / "one.yaml"
    spec.write_text(SPEC)

    def kill(_: Call) -> None:
        first.process.kill()
        raise Drop

    server.faults.add(Hook(action="AllocateAddress", late=True, callback=kill))
    with running(server, state, "apply", "-y", str(spec)) as first:
        assert first.end()[0] < 0

    world_clock = server.world.clock
    assert isinstance(world_clock, VirtualClock)
    server.faults.add(
        Hook(
            action="DescribeAddresses",
            when=lambda _: True,
            nth=READS,
            callback=lambda _: world_clock.advance(DELAY),
        )
    )
    # The settle time is never waited for: the run goes on as soon as the address is visible.
    words = ("apply", "-y", "--settle-timeout", "90s", str(spec))
    code = NEXT_RUN.format(jump=jump, rebooted=rebooted)
    with running(server, state, *words, program=("-c", code)) as second:
        assert second.end()[0] == 0, second.stderr
    assert server.actions(mutating=True) == ["AllocateAddress"]
