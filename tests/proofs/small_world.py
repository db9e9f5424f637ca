"""All worlds of two instances, three interfaces, three device slots and three Elastic IPs.

A state says for every interface in which slot it is, if in any, and for every address on which interface's primary
private IP it is, if on any. No two share a place, so there are 34 · 34 = 1156 states. The instances run, and their
primary interfaces, which never move, are left out of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Any

from enireconcile.live.records import Live
from enireconcile.spec import Spec
from tests.planning.simulator import Attached, Ec2
from tests.planning.worlds import live_of, spec_of

from .exhaustive import NOWHERE, Call, Placing, SmallWorld, placings, relabelled, told

INSTANCES = ("a", "b")
INTERFACES = ("x", "y", "z")
SLOTS = (("a", 1), ("a", 2), ("b", 1))
ADDRESSES = ("e", "f", "g")
TWINS = ((0, 1, 2), (1, 0, 2))
"""The ways to relabel the slots so that each stays on its instance."""
MACHINE = {"image": "ami-12345678", "instance_type": "t3.micro"}


@dataclass(frozen=True, order=True)
class State:
    """``slots`` has an index into SLOTS for each interface, ``targets`` one into INTERFACES for each address."""

    slots: Placing
    targets: Placing

    def __str__(self) -> str:
        """``x:0 z:2 | e:1`` as ``0_2.1__``: short enough for the name of a test."""
        return ".".join(map(told, (self.slots, self.targets)))


@dataclass(frozen=True)
class Renamed:
    """New numbers for the interfaces, the addresses and the slots."""

    interfaces: Placing
    addresses: Placing
    slots: Placing

    def __call__(self, state: State) -> State:
        return State(
            relabelled(state.slots, self.interfaces, self.slots),
            relabelled(state.targets, self.addresses, self.interfaces),
        )


class Places(SmallWorld[State]):
    """Where interfaces and addresses are."""

    states = tuple(
        State(slots, targets)
        for slots in placings(len(INTERFACES), len(SLOTS))
        for targets in placings(len(ADDRESSES), len(INTERFACES))
    )
    relabellings = tuple(
        Renamed(interfaces, addresses, slots)
        for interfaces in permutations(range(len(INTERFACES)))
        for addresses in permutations(range(len(ADDRESSES)))
        for slots in TWINS
    )

    def live(self, state: State) -> Live:
        """Ids of attachments and associations go with who has them."""
        return _live(state)

    def wish(self, state: State) -> Spec:
        subnet = {"subnet": {"default_for_az": "us-east-1a"}}
        interfaces: dict[str, Any] = {
            f"{instance}0": {**subnet, "attachment": {"instance": instance, "device_index": 0}}
            for instance in INSTANCES
        }
        for name, slot in zip(INTERFACES, state.slots, strict=True):
            interfaces[name] = dict(subnet)
            if slot != NOWHERE:
                instance, index = SLOTS[slot]
                interfaces[name]["attachment"] = {"instance": instance, "device_index": index}
        addresses = {
            name: {} if target == NOWHERE else {"association": {"network_interface": INTERFACES[target]}}
            for name, target in zip(ADDRESSES, state.targets, strict=True)
        }
        return spec_of(
            {
                "instances": dict.fromkeys(INSTANCES, MACHINE),
                "network_interfaces": interfaces,
                "elastic_ips": addresses,
            }
        )

    def simulated(self, state: State) -> Ec2:
        ec2 = Ec2(instances={f"i-{instance}": "running" for instance in INSTANCES})
        for instance in INSTANCES:
            ec2.interfaces[f"eni-{instance}0"] = Attached(f"i-{instance}", 0, f"eni-attach-{instance}0")
        for name, slot in zip(INTERFACES, state.slots, strict=True):
            place = None
            if slot != NOWHERE:
                instance, index = SLOTS[slot]
                place = Attached(f"i-{instance}", index, f"eni-attach-{name}")
            ec2.interfaces[f"eni-{name}"] = place
        for name, target in zip(ADDRESSES, state.targets, strict=True):
            ec2.addresses[f"eipalloc-{name}"] = None if target == NOWHERE else f"eni-{INTERFACES[target]}"
            if target != NOWHERE:
                ec2.associations[f"eipalloc-{name}"] = f"eipassoc-{name}"
        return ec2

    def state_of(self, ec2: Ec2) -> State:
        assert ec2.instances == {f"i-{instance}": "running" for instance in INSTANCES}
        assert len(ec2.interfaces) == len(INSTANCES) + len(INTERFACES)
        assert len(ec2.addresses) == len(ADDRESSES)
        for instance in INSTANCES:
            assert ec2.interfaces[f"eni-{instance}0"] == Attached(f"i-{instance}", 0, f"eni-attach-{instance}0")
        slots = tuple(_slot(ec2.interfaces[f"eni-{name}"]) for name in INTERFACES)
        targets = tuple(_target(ec2.addresses[f"eipalloc-{name}"]) for name in ADDRESSES)
        return State(slots, targets)

    def work(self, live: State, desired: State) -> list[Call]:
        """EC2 has no call that moves an interface: a move is a Detach and an Attach.

        It has one that moves an address, from wherever it is, and displaces the one that is there.
        """
        calls = []
        for name, have, want in zip(INTERFACES, live.slots, desired.slots, strict=True):
            if have != want and have != NOWHERE:
                calls.append(("DetachNetworkInterface", f"network_interfaces.{name}"))
            if have != want and want != NOWHERE:
                calls.append(("AttachNetworkInterface", f"network_interfaces.{name}"))
        for name, have, want in zip(ADDRESSES, live.targets, desired.targets, strict=True):
            if have != want:
                call = "DisassociateAddress" if want == NOWHERE else "AssociateAddress"
                calls.append((call, f"elastic_ips.{name}"))
        return calls

    def things(self, state: State) -> Placing:
        return state.slots + state.targets

    def attached(self, state: State) -> frozenset[str]:
        both = zip(INTERFACES, state.slots, strict=True)
        return frozenset(f"network_interfaces.{name}" for name, slot in both if slot != NOWHERE)

    def harmless(self, live: State, desired: State) -> bool:
        """All that has to change is nowhere yet."""
        both = zip(self.things(live), self.things(desired), strict=True)
        return all(have in (want, NOWHERE) for have, want in both)


@cache
def _live(state: State) -> Live:
    interfaces: dict[str, Any] = {f"{instance}0": {"at": f"{instance} 0"} for instance in INSTANCES}
    for name, slot in zip(INTERFACES, state.slots, strict=True):
        interfaces[name] = {} if slot == NOWHERE else {"at": "{} {}".format(*SLOTS[slot])}
    addresses = {
        name: {} if target == NOWHERE else {"at": INTERFACES[target]}
        for name, target in zip(ADDRESSES, state.targets, strict=True)
    }
    return live_of(
        {"instances": dict.fromkeys(INSTANCES), "network_interfaces": interfaces, "elastic_ips": addresses}
    )


def _slot(place: Attached | None) -> int:
    if place is None:
        return NOWHERE
    assert (place.detaching, place.delete_on_termination) == (False, False)
    return SLOTS.index((place.instance.removeprefix("i-"), place.index))


def _target(interface: str | None) -> int:
    return NOWHERE if interface is None else INTERFACES.index(interface.removeprefix("eni-"))
