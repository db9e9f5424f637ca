"""Two hosts whose journals differ apply one change at the same time, as real processes: it is made once.

One host has built the stack and remembers every id; the other one remembers other things, or nothing. Both send
the same ClientTokens, because these depend on what EC2 shows and answers, and not on a journal.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from enireconcile.ownership import NAME_TAG, REPLACES_TAG
from tests.ec2 import Call, Latency, World
from tests.harness import STORY

from .accounting import assert_exact, twins
from .conftest import Proofs
from .hosts import DELAYS, PATIENCE, Clock, Host, clocked, label, on, spec_at

ETH1 = "network_interfaces.web-eth1"
REPLACEMENT = [
    f"CreateNetworkInterface {ETH1}",
    "AssociateAddress elastic_ips.web-2",
    "DetachNetworkInterface ?",
    f"AttachNetworkInterface {ETH1}",
    f"DeleteNetworkInterface {ETH1}",
]
"""The calls of a change of eth1's subnet, as plan orders them."""
DESTROY = ("--allow-destroy",)
ORDERS = ("the first acts first", "the second acts first")
ANSWERS = {"not found": DELAYS, "the old answer": replace(DELAYS, replays_deleted=True)}


class Account:
    """An account with the story's stack, a second subnet in its zone, and two hosts, ``a`` and ``b``."""

    def __init__(self, world: World, root: Path, hosts: ExitStack) -> None:
        self.world, self._root = world, root
        [vpc] = world.data.vpcs
        [first] = [each.id for each in world.data.subnets.values() if each.zone == "us-east-1a"]
        second = world.add_subnet(vpc, "172.31.240.0/24", "us-east-1a")
        subnets = ["{default_for_az: us-east-1a}", second]
        self._subnets = [first, second]
        self.versions = [self._version(number, subnet) for number, subnet in enumerate(subnets, start=1)]
        self.a, self.b = (hosts.enter_context(on(Host(world, root / name))) for name in "ab")

    def _version(self, number: int, subnet: str) -> Path:
        """The story with eth1 in this subnet."""
        before, name, after = STORY.read_text(encoding="utf-8").partition("  web-eth1:\n")
        text = before + name + after.replace("{default_for_az: us-east-1a}", subnet, 1)
        path = self._root / f"v{number}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def apply(self, host: Host, version: int) -> None:
        """An apply without another host beside it, seen by all afterwards."""
        ended = host.apply(self.versions[version - 1], *DESTROY)
        assert ended.code == 0, str(ended)
        self.pass_time()

    def pass_time(self, seconds: float = 60.0) -> None:
        """So long that nothing counts as new."""
        clocked(self.world).skip(seconds)

    def forget(self, host: Host) -> None:
        """The state directory of a host is lost."""
        shutil.rmtree(host.state)

    def race(self, version: int) -> None:
        """Both apply, and then each of them once more: nothing is there twice, and all is as it should be."""
        path = self.versions[version - 1]
        for host in (self.a, self.b):
            host.start(path, *DESTROY)
        self.settle(version)

    def settle(self, version: int) -> None:
        """The ends of a race."""
        path = self.versions[version - 1]
        ends = [host.end() for host in (self.a, self.b)]
        told = "\n".join(map(str, ends))
        assert twins(self.world, spec_at(path)) == {}, told
        assert {end.result for end in ends} <= {(0, "converged"), (0, "unchanged"), (5, "partial")}, told
        self.pass_time(DELAYS.visibility_delay)
        for host in (self.a, self.b):
            host.server.clear()
            ended = host.apply(path, *DESTROY)
            assert ended.code == 0, f"{told}\n{ended}"
        self._assert_exact(version)

    def _assert_exact(self, version: int) -> None:
        """The versions differ in the subnet alone."""
        [eth1] = [each for each in self.world.data.interfaces.values() if each.tags.get(NAME_TAG) == ETH1]
        assert eth1.subnet_id == self._subnets[version - 1]
        # It names an interface that is gone, and stays.
        eth1.tags.pop(REPLACES_TAG, None)
        # The accounting knows a zone by its default subnet only.
        self.world.data.subnets[eth1.subnet_id].default_for_az = True
        assert_exact(self.world, spec_at(self.versions[0]))


@pytest.fixture(params=[*ANSWERS.values()], ids=[*ANSWERS])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    with ExitStack() as hosts:
        yield Account(World(request.param, Clock()), tmp_path, hosts)


def _a_built_it(account: Account) -> None:
    """A remembers the ids of v1; B has found everything as it should be."""
    account.apply(account.a, 1)
    account.apply(account.b, 1)


def _b_knows_nothing(account: Account) -> None:
    account.apply(account.a, 1)


def _each_built_a_version(account: Account) -> None:
    """A has built v1, B has replaced the interface twice: there and back."""
    account.apply(account.a, 1)
    account.apply(account.b, 2)
    account.apply(account.b, 1)


def _a_went_there_and_back(account: Account) -> None:
    """The parameters have been these before, and A's journal has the tokens."""
    for version in (1, 2, 1):
        account.apply(account.a, version)


PASTS: Mapping[str, Callable[[Account], None]] = {
    "A built it": _a_built_it,
    "B knows nothing": _b_knows_nothing,
    "each built a version": _each_built_a_version,
    "A went there and back": _a_went_there_and_back,
}


def _called(name: str, world: World) -> Callable[[Call], bool]:
    action = name.partition(" ")[0]
    if action == "DetachNetworkInterface":
        return lambda call: call.action == action
    return lambda call: call.action == action and label(call, world) == name


MEETINGS = [
    *(("A built it", name, order) for name in REPLACEMENT for order in ORDERS),
    *(("each built a version", REPLACEMENT[0], order) for order in ORDERS),
]


@pytest.mark.parametrize(("past", "name", "order"), MEETINGS, ids=str)
def test_a_replacement_at_the_same_time_is_made_once(
    past: str, name: str, order: str, tmp_path: Path, proofs: Proofs
) -> None:
    """Both have planned the replacement of eth1, and meet at each of its calls."""
    with ExitStack() as hosts:
        account = Account(World(DELAYS, Clock()), tmp_path, hosts)
        PASTS[past](account)
        leader, follower = (account.a, account.b) if order == ORDERS[0] else (account.b, account.a)
        wanted = _called(name, account.world)
        leader_has_acted = leader.has_made(wanted)
        follower_is_there = follower.held_at(wanted, leader_has_acted)
        leader.held_at(wanted, follower_is_there)
        # A host that finds its call needless does not come: the other one goes on then.
        watch = threading.Thread(
            target=_open_at_the_end, args=(follower, leader, follower_is_there, leader_has_acted)
        )
        for host in (account.a, account.b):
            host.start(account.versions[1], *DESTROY)
        watch.start()
        account.settle(2)
        watch.join(PATIENCE)
    proofs.count("interleavings")


def _open_at_the_end(follower: Host, leader: Host, *gates: threading.Event) -> None:
    """Opens the gates once one of the processes has ended."""
    pause = threading.Event()
    for _ in range(int(PATIENCE * 10)):
        if any(host.process is not None and host.process.poll() is not None for host in (follower, leader)):
            break
        pause.wait(0.1)
    for gate in gates:
        gate.set()


@pytest.mark.parametrize("past", PASTS)
@pytest.mark.parametrize("seed", range(3))
def test_races_make_no_twins(past: str, seed: int, tmp_path: Path, proofs: Proofs) -> None:
    """Both apply the change at once, with a network that delays each call as it likes."""
    dice = random.Random(f"{past} {seed}")
    with ExitStack() as hosts:
        account = Account(World(DELAYS, Clock()), tmp_path, hosts)
        PASTS[past](account)
        for host in (account.a, account.b):
            host.server.faults.add(Latency(0.0, wait=lambda _: threading.Event().wait(dice.uniform(0, 0.05))))
        account.race(2)
    proofs.count("races")


def _terminate(account: Account) -> None:
    [instance] = [each.id for each in account.world.data.instances.values() if each.state != "terminated"]
    account.world.call("TerminateInstances", InstanceIds=[instance])


def _delete_eth1(account: Account) -> None:
    [live] = [each for each in account.world.data.interfaces.values() if each.tags.get(NAME_TAG) == ETH1]
    assert live.attachment is not None
    account.world.call("DetachNetworkInterface", AttachmentId=live.attachment.id)
    account.pass_time()
    account.world.call("DeleteNetworkInterface", NetworkInterfaceId=live.id)


DEEDS = {"the instance is terminated": _terminate, "eth1 is deleted": _delete_eth1}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("knows", ["A", "neither"])
def test_what_is_gone_is_made_anew_once(knows: str, deed: str, account: Account, proofs: Proofs) -> None:
    """Another tool removes it twice. Each time both hosts make it anew, with the tokens of the former ones."""
    account.apply(account.a, 1)
    for _ in range(2):
        DEEDS[deed](account)
        account.pass_time()
        if knows == "neither":
            for host in (account.a, account.b):
                if host.state.exists():
                    account.forget(host)
        account.race(1)
        account.pass_time()
    proofs.count("races")
