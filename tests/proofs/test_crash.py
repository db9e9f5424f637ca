"""Killed at any moment: a real process gets SIGKILL before and after every call that changes something.

For every point the next run stands for two: one on the same host that begins at once, while what was made last is
still invisible, and one on another host, without any memory, after the propagation time. Both must converge, a
further run must find nothing to do, and the books must be exact: nothing twice, nothing missing, nothing leaked.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ec2 import Call, World
from tests.forkserver import cold
from tests.harness import open_harness
from tests.two_enis import DRIFTS, Account

from .accounting import assert_exact
from .conftest import Proofs
from .hosts import DELAYS, PATHS, Clock, Host, calls_on_an_empty_account, clocked, label, on, spec_at, twin

POINTS = [(name, point) for name, path in PATHS.items() for point in calls_on_an_empty_account(path)]
MENDED = ("two addresses swapped", "eth1 deleted", "the instance terminated")
DRIFTED = [(drift, nth) for drift in MENDED for nth in range(1, len(DRIFTS[drift][1]) + 1)]
SIDES = ("before", "after")


def _both_sides(deal: Callable[[str], None]) -> None:
    """Before and after at the same time: most of it is waiting."""
    with ThreadPoolExecutor(len(SIDES)) as pool:
        list(pool.map(deal, SIDES))


def _kill_and_recover(world: World, spec: Path, wanted: Callable[[Call], bool], side: str, root: Path) -> None:
    """See the module's docstring. ``root`` holds the hosts' state; ``home`` may hold that of earlier runs."""
    home, elsewhere = root / "home", root / "elsewhere"
    victim, heir = Host(world, home), Host(world, home)
    go_on = threading.Event()
    with ExitStack() as open_servers:
        open_servers.enter_context(on(heir))
        with on(victim):
            victim.kill_at(wanted, late=side == "after")
            victim.start(spec)
            heir.held_at_the_door(go_on)
            heir.start(spec)
            fell = victim.end()
            assert fell.code == -signal.SIGKILL, str(fell)
        # Leaving it waits for whatever else was on the wire: a request does not die with its sender.
        stranger = Host(twin(world), elsewhere)
        clocked(stranger.world).skip(DELAYS.visibility_delay)
        open_servers.enter_context(on(stranger))
        go_on.set()
        stranger.start(spec)
        for host in (heir, stranger):
            ended = host.end()
            outcome = "converged" if host.server.mutating() else "unchanged"
            assert ended.result == (0, outcome), f"{host.state.name}: {ended}"
            assert_exact(host.world, spec_at(spec))
            host.assert_unchanged(spec)


@pytest.mark.parametrize(("name", "point"), POINTS, ids=str)
def test_killed_while_building(name: str, point: str, tmp_path: Path, proofs: Proofs) -> None:
    """The first apply of a stack is killed at one of its calls."""

    def deal(side: str) -> None:
        world = World(DELAYS, Clock())
        _kill_and_recover(world, PATHS[name], lambda call: label(call, world) == point, side, tmp_path / side)

    _both_sides(deal)
    proofs.count("crash points", len(SIDES))
    proofs.count("recoveries", 2 * len(SIDES))


@pytest.mark.parametrize(("drift", "nth"), DRIFTED)
def test_killed_while_correcting(drift: str, nth: int, tmp_path: Path, proofs: Proofs) -> None:
    """Another tool changed what the stack had; the apply that corrects it is killed at one of its calls."""
    deed, calls, _ = DRIFTS[drift]
    with open_harness(tmp_path / "built") as harness:
        assert harness.apply().outcome == "converged"
        deed(Account(harness))
        drifted = harness.strict.world
        for side in SIDES:
            shutil.copytree(tmp_path / "built", tmp_path / side / "home")

    def deal(side: str) -> None:
        world = twin(drifted)
        world.settings = DELAYS
        arrived: Counter[str] = Counter()

        def wanted(call: Call) -> bool:
            arrived[call.action] += 1
            return (call.action, arrived[call.action]) == (calls[nth - 1], calls[:nth].count(calls[nth - 1]))

        _kill_and_recover(world, PATHS["story"], wanted, side, tmp_path / side)

    _both_sides(deal)
    proofs.count("crash points", len(SIDES))
    proofs.count("recoveries", 2 * len(SIDES))


@pytest.mark.parametrize("name", PATHS)
def test_no_call_is_left_out(name: str, tmp_path: Path) -> None:
    """An apply that is not killed makes exactly the calls at which the others are killed, and each once."""
    spec, world = PATHS[name], World(DELAYS, Clock())
    with on(Host(world, tmp_path, begin=cold)) as host:
        ended = host.apply(spec)
        assert ended.result == (0, "converged"), str(ended)
        acted = [label(call, world) for call in host.server.mutating() if call.acted]
        assert sorted(acted) == sorted(point for each, point in POINTS if each == name)
        assert_exact(world, spec_at(spec))
        host.assert_unchanged(spec)
