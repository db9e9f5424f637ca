"""Two applies of one stack at the same time, as real processes.

With a shared state directory the lock keeps them apart. Without one, on two hosts, EC2's own means must do: a
ClientToken, a natural key, calls that set something. Where EC2 offers none (AllocateAddress) two may be made, and
then every further run names the unused one, and --prune releases it.

Who meets whom where is arranged, not left to luck: a call is held on the wire until the other host is there too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ec2 import Call, World

from .accounting import assert_exact, assert_nothing_too_much, twins
from .conftest import Proofs
from .hosts import DELAYS, PATHS, PATIENCE, Clock, Host, calls_on_an_empty_account, clocked, label, on, spec_at

STORY = PATHS["story"]
ALLOCATE = "AllocateAddress elastic_ips.web-1"
ORDERS = ("the first acts first", "the second acts first")
MEETINGS = [
    (name, call, order)
    for name, path in PATHS.items()
    for number, call in enumerate(calls_on_an_empty_account(path))
    if not call.startswith("AllocateAddress")
    # At every call of the story either host is once the faster one; in the richer spec they take turns.
    for order in (ORDERS if name == "story" else [ORDERS[number % 2]])
]


@pytest.fixture
def world() -> World:
    """An empty account in which nothing is seen at once."""
    return World(DELAYS, Clock())


def _called(name: str, world: World) -> Callable[[Call], bool]:
    return lambda call: label(call, world) == name


def _allocating(call: Call) -> bool:
    return call.action == "AllocateAddress"


def _changing(call: Call) -> bool:
    return call.mutates


# ---- one state directory


def test_the_second_waits_for_the_first(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """The second comes while the first is at work: it reads nothing before that ends, and changes nothing."""
    first, second = Host(world, tmp_path), Host(world, tmp_path)
    with on(first), on(second):
        never_closed = threading.Event()
        never_closed.set()
        at_the_door = second.held_at_the_door(never_closed)
        at_work = first.held_at(_changing, at_the_door)
        first.start(STORY)
        assert at_work.wait(PATIENCE)
        second.start(STORY)
        assert [host.end().result for host in (first, second)] == [(0, "converged"), (0, "unchanged")]
        assert second.server.actions(mutating=True) == []
        _, *reads = second.server.calls
        assert min(call.time for call in reads) > max(call.time for call in first.server.calls)
        assert_exact(world, spec_at(STORY))
    proofs.count("interleavings")


def test_without_waiting_the_error_names_the_holder(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """With --lock-timeout 0s the second ends with 4 and has read nothing; the first is not disturbed."""
    first, second = Host(world, tmp_path), Host(world, tmp_path)
    second_has_ended = threading.Event()
    with on(first), on(second):
        at_work = first.held_at(_changing, second_has_ended)
        first.start(STORY)
        assert at_work.wait(PATIENCE)
        ended = second.apply(STORY, "--lock-timeout", "0s")
        second_has_ended.set()
        assert ended.result == (4, "locked")
        assert first.process is not None
        assert f"pid {first.process.pid}" in ended.stderr
        assert second.server.actions() == ["GetCallerIdentity"]
        assert first.end().result == (0, "converged")
        assert_exact(world, spec_at(STORY))
    proofs.count("interleavings")


def test_three_at_once_take_turns(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """The first one creates everything; the others find nothing to do."""
    hosts = [Host(world, tmp_path) for _ in range(3)]
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(on(host)).start(STORY)
        ends = sorted(str(host.end().result) for host in hosts)
        assert ends == ["(0, 'converged')", "(0, 'unchanged')", "(0, 'unchanged')"]
        assert_exact(world, spec_at(STORY))
    proofs.count("interleavings")


def test_a_dead_holder_does_not_block(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """The holder of the lock is killed with SIGKILL: the next run need not wait for any lease to end."""
    first, second = Host(world, tmp_path), Host(world, tmp_path)
    with on(first), on(second):
        first.kill_at(_called("CreateNetworkInterface network_interfaces.web-eth0", world), late=True)
        assert first.apply(STORY).code < 0
        ended = second.apply(STORY, "--lock-timeout", "0s")
        assert ended.result == (0, "converged"), str(ended)
        assert_exact(world, spec_at(STORY))
    proofs.count("interleavings")


# ---- two hosts that know nothing of each other


def _meet(first: Host, second: Host, name: str, call: str, order: str) -> None:
    """Both hosts apply; both have planned ``call`` before either makes it, and everything before it is shared.

    The first works until it is at the call and has all other addresses. Only then the second looks around.
    """
    leader, follower = (first, second) if order == ORDERS[0] else (second, first)
    world, wanted = first.world, _called(call, first.world)
    others = [each for each in calls_on_an_empty_account(PATHS[name]) if each.startswith("AllocateAddress")]
    others = [each for each in others if each != call]
    have_addresses = [first.has_made(_called(each, world)) for each in others]
    leader_has_acted = leader.has_made(wanted)
    follower_is_there = follower.held_at(wanted, leader_has_acted)
    leader_is_there = leader.held_at(wanted, follower_is_there)
    look_around = threading.Event()
    second.held_at_the_door(look_around)
    first.start(PATHS[name])
    second.start(PATHS[name])
    for event in (leader_is_there if first is leader else follower_is_there, *have_addresses):
        assert event.wait(PATIENCE)
    clocked(world).skip(DELAYS.visibility_delay)
    look_around.set()


@pytest.mark.parametrize(("name", "call", "order"), MEETINGS, ids=str)
def test_two_hosts_make_one_of_it(
    world: World, name: str, call: str, order: str, tmp_path: Path, proofs: Proofs
) -> None:
    """Both are about to make the same call: both converge, and it is there once."""
    first, second = Host(world, tmp_path / "first"), Host(world, tmp_path / "second")
    with on(first), on(second):
        _meet(first, second, name, call, order)
        ends = [host.end() for host in (first, second)]
        assert [end.result for end in ends] == [(0, "converged")] * 2, "\n".join(map(str, ends))
        assert_exact(world, spec_at(PATHS[name]))
        for host in (first, second):
            host.assert_unchanged(PATHS[name])
    proofs.count("interleavings")


def _assert_told_and_pruned(hosts: tuple[Host, Host]) -> None:
    """Every further run of either host names the unused address and keeps it; --prune releases it."""
    first, world = hosts[0], hosts[0].world
    clocked(world).skip(DELAYS.visibility_delay)
    found = twins(world, spec_at(STORY))
    assert {len(ids) for ids in found.values()} == {2}
    spares = {
        next(each for each in ids if world.data.addresses[each].interface_id is None): address
        for address, ids in found.items()
    }
    before = sorted(world.data.addresses)
    for host in hosts:
        # As a rule all is done; but each of the two may have stopped half way, where the other one was faster.
        assert host.apply(STORY).code == 0
        told = [warning for warning in host.warnings(STORY) if "unused twin" in warning]
        assert [
            (spare in warning, address in warning)
            for warning, (spare, address) in zip(sorted(told), sorted(spares.items()), strict=True)
        ] == [(True, True)] * len(spares)
    assert sorted(world.data.addresses) == before
    assert_nothing_too_much(world, spec_at(STORY), strangers=spares)
    assert first.apply(STORY, "--prune", "--allow-destroy").result == (0, "converged")
    assert sorted(world.data.addresses) == sorted(set(before) - set(spares))
    assert_exact(world, spec_at(STORY))
    for host in hosts:
        host.assert_unchanged(STORY)


@pytest.mark.parametrize("order", ORDERS)
def test_an_address_that_two_hosts_allocate_is_an_unused_twin(
    world: World, order: str, tmp_path: Path, proofs: Proofs
) -> None:
    """Both have planned to allocate web-1, and EC2 has no token for that: one of the two is associated."""
    first, second = Host(world, tmp_path / "first"), Host(world, tmp_path / "second")
    with on(first), on(second):
        _meet(first, second, "story", ALLOCATE, order)
        ends = [host.end() for host in (first, second)]
        assert {end.result for end in ends} <= {(0, "converged"), (5, "partial")}
        _assert_told_and_pruned((first, second))
    proofs.count("interleavings")


def test_an_address_allocated_long_after_the_plan_is_an_unused_twin(
    world: World, tmp_path: Path, proofs: Proofs
) -> None:
    """One host's request hangs on the wire until the other has built everything: the second address is unused."""
    late, quick = Host(world, tmp_path / "late"), Host(world, tmp_path / "quick")
    quick_has_ended = threading.Event()
    with on(late), on(quick):
        hanging = late.held_at(_called(ALLOCATE, world), quick_has_ended)
        other = late.has_made(_called("AllocateAddress elastic_ips.web-2", world))
        late.start(STORY)
        assert hanging.wait(PATIENCE)
        assert other.wait(PATIENCE)
        clocked(world).skip(DELAYS.visibility_delay)
        assert quick.apply(STORY).result == (0, "converged")
        assert_exact(world, spec_at(STORY))
        quick_has_ended.set()
        assert late.end().result == (0, "converged")
        _assert_told_and_pruned((late, quick))
    proofs.count("interleavings")


def test_an_address_that_can_be_seen_is_not_allocated_again(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """The second host comes when the first has its addresses and is still at work: it makes none of its own."""
    first, second = Host(world, tmp_path / "first"), Host(world, tmp_path / "second")
    look_around = threading.Event()
    with on(first), on(second):
        allocated = first.has_made(_allocating, nth=2)
        first.held_at(_called("RunInstances instances.web", world), second.has_made(_changing))
        second.held_at_the_door(look_around)
        first.start(STORY)
        second.start(STORY)
        assert allocated.wait(PATIENCE)
        clocked(world).skip(DELAYS.visibility_delay)
        look_around.set()
        assert [host.end().result for host in (first, second)] == [(0, "converged")] * 2
        assert "AllocateAddress" not in second.server.actions()
        assert_exact(world, spec_at(STORY))
    proofs.count("interleavings")


def test_two_hosts_in_step_on_an_empty_account(world: World, tmp_path: Path, proofs: Proofs) -> None:
    """Both plan everything anew: one instance, two interfaces, two groups; whatever is twice is an address."""
    first, second = Host(world, tmp_path / "first"), Host(world, tmp_path / "second")
    first_is_there, second_is_there = threading.Event(), threading.Event()
    with on(first), on(second):
        arrivals = [
            first.held_at(_changing, second_is_there, times=10),
            second.held_at(_changing, first_is_there, times=10),
        ]
        first.start(STORY)
        second.start(STORY)
        for arrived, told in zip(arrivals, (first_is_there, second_is_there), strict=True):
            assert arrived.wait(PATIENCE)
            told.set()
        ends = [host.end() for host in (first, second)]
        assert {end.result for end in ends} <= {(0, "converged"), (5, "partial")}
        assert set(twins(world, spec_at(STORY))) == {"elastic_ips.web-1", "elastic_ips.web-2"}
        _assert_told_and_pruned((first, second))
    proofs.count("interleavings")
