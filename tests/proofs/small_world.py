"""All worlds of two instances, three interfaces, three device slots and three Elastic IPs.

A state says for every interface in which slot it is, if in any, and for every address on which interface's primary
private IP it is, if on any. No two share a place, so there are 34 · 34 = 1156 states. The instances run, and their
primary interfaces, which never move, are left out of the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any, TypeAlias

from enireconcile.model import Plan, Step
from enireconcile.plan import make_plan
from enireconcile.records import Live
from enireconcile.spec import Spec
from tests.core.simulator import Attached, Ec2
from tests.core.worlds import live_of, spec_of

INSTANCES = ("a", "b")
INTERFACES = ("x", "y", "z")
SLOTS = (("a", 1), ("a", 2), ("b", 1))
ADDRESSES = ("e", "f", "g")
TWINS = ((0, 1, 2), (1, 0, 2))
"""The ways to relabel the slots so that each stays on its instance."""

Placing: TypeAlias = tuple[int, ...]
"""Where the first, the second, the third one is; ``NOWHERE`` if it is in no place."""
NOWHERE = -1


@dataclass(frozen=True, order=True)
class State:
    """``slots`` has an index into SLOTS for each interface, ``targets`` one into INTERFACES for each address."""

    slots: Placing
    targets: Placing


def _placings(things: int, places: int) -> Iterator[Placing]:
    for placing in product(range(NOWHERE, places), repeat=things):
        taken = [place for place in placing if place != NOWHERE]
        if len(set(taken)) == len(taken):
            yield placing


STATES = tuple(
    State(slots, targets)
    for slots in _placings(len(INTERFACES), len(SLOTS))
    for targets in _placings(len(ADDRESSES), len(INTERFACES))
)


# ---- relabelling


@dataclass(frozen=True)
class Relabelling:
    """New numbers for the interfaces, the addresses and the slots."""

    interfaces: Placing
    addresses: Placing
    slots: Placing

    def of(self, state: State) -> State:
        """The same situation in other names."""
        return State(
            _relabelled(state.slots, self.interfaces, self.slots),
            _relabelled(state.targets, self.addresses, self.interfaces),
        )


def _relabelled(placing: Placing, things: Placing, places: Placing) -> Placing:
    moved = [NOWHERE] * len(placing)
    for thing, place in enumerate(placing):
        moved[things[thing]] = NOWHERE if place == NOWHERE else places[place]
    return tuple(moved)


RELABELLINGS = tuple(
    Relabelling(interfaces, addresses, slots)
    for interfaces in permutations(range(len(INTERFACES)))
    for addresses in permutations(range(len(ADDRESSES)))
    for slots in TWINS
)


def keeping(state: State) -> tuple[Relabelling, ...]:
    """The relabellings that change nothing about a state."""
    return tuple(relabelling for relabelling in RELABELLINGS if relabelling.of(state) == state)


def orbit(state: State, relabellings: Sequence[Relabelling] = RELABELLINGS) -> frozenset[State]:
    """Everything that differs from the state in names only."""
    return frozenset(relabelling.of(state) for relabelling in relabellings)


def representatives(relabellings: Sequence[Relabelling] = RELABELLINGS) -> dict[State, int]:
    """The first state of every orbit, and how many states the orbit has."""
    found: dict[State, int] = {}
    seen: set[State] = set()
    for state in sorted(STATES):
        if state not in seen:
            same = orbit(state, relabellings)
            found[state] = len(same)
            seen |= same
    return found


# ---- planning


@cache
def _live(state: State) -> Live:
    """What is read of a world in this state. Ids of attachments and associations go with who has them."""
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


def wish(state: State) -> Spec:
    """The spec that wants this state."""
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
    machine = {"image": "ami-12345678", "instance_type": "t3.micro"}
    return spec_of(
        {
            "instances": dict.fromkeys(INSTANCES, machine),
            "network_interfaces": interfaces,
            "elastic_ips": addresses,
        }
    )


def plan(spec: Spec, state: State) -> Plan:
    """The plan for a spec from ``wish`` in a world in this state."""
    return make_plan(spec, _live(state))


# ---- running


def simulated(state: State) -> Ec2:
    """A simulated world in this state, with the ids that planning reads."""
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


def state_of(ec2: Ec2) -> State:
    """The state that a simulated world is in. All else about it must be as it always was."""
    assert ec2.instances == {f"i-{instance}": "running" for instance in INSTANCES}
    assert len(ec2.interfaces) == len(INSTANCES) + len(INTERFACES)
    assert len(ec2.addresses) == len(ADDRESSES)
    for instance in INSTANCES:
        assert ec2.interfaces[f"eni-{instance}0"] == Attached(f"i-{instance}", 0, f"eni-attach-{instance}0")
    slots = tuple(_slot(ec2.interfaces[f"eni-{name}"]) for name in INTERFACES)
    targets = tuple(_target(ec2.addresses[f"eipalloc-{name}"]) for name in ADDRESSES)
    return State(slots, targets)


def _slot(place: Attached | None) -> int:
    if place is None:
        return NOWHERE
    assert (place.detaching, place.delete_on_termination) == (False, False)
    return SLOTS.index((place.instance.removeprefix("i-"), place.index))


def _target(interface: str | None) -> int:
    return NOWHERE if interface is None else INTERFACES.index(interface.removeprefix("eni-"))


def stages(state: State, steps: Sequence[Step]) -> list[State]:
    """The states that the steps lead through, one after each. Raises Refused."""
    ec2 = simulated(state)
    passed = []
    for step in steps:
        ec2.run(step)
        passed.append(state_of(ec2))
    return passed


def latest_first(steps: Sequence[Step]) -> list[Step]:
    """Another order that ``needs`` allows: of the steps that could run, always the one that is planned last."""
    left, order = list(steps), list[Step]()
    while left:
        done = {step.id for step in order}
        order.append(next(step for step in reversed(left) if step.needs <= done))
        left.remove(order[-1])
    return order


# ---- what it must cost


def work(live: State, desired: State) -> list[tuple[str, str]]:
    """The calls, each with its address, without which EC2 does not get from one state to the other.

    EC2 has no call that moves an interface: a move is a Detach and an Attach. It has one that moves an address,
    from wherever it is, and displaces whoever is there.
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
    return sorted(calls)


def unmoved(live: State, desired: State) -> list[bool]:
    """For every interface and every address whether it is where it should be."""
    pairs = zip(live.slots + live.targets, desired.slots + desired.targets, strict=True)
    return [have == want for have, want in pairs]
