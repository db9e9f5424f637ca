"""Small worlds of what an interface has beyond its place, and an Elastic IP beyond its target.

What has no influence on each other is apart: addresses that float and the Elastic IPs on them (Floats), what EC2
does not move in one call (Pools), the flags of interfaces and of their attachments (Flags), names that addresses
lead back to (Pointers). Each row of the spec speaks for itself: no call serves two rows, and an Elastic IP that
shall be nowhere is taken off by a call that says so, though EC2 would drop it when its private address goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

from enireconcile.live.records import Live
from enireconcile.spec import Spec
from tests.planning.simulator import Attached, Ec2
from tests.planning.worlds import live_of, spec_of

from .exhaustive import NOWHERE, Call, Placing, SmallWorld, placings, relabelled, told
from .small_world import MACHINE

INTERFACES = ("x", "y", "z")
ADDRESSES = ("e", "f")
SUBNET = {"default_for_az": "us-east-1a"}


def _numbers(things: Sequence[Any]) -> tuple[Placing, ...]:
    """All the ways to number them."""
    return tuple(permutations(range(len(things))))


def _interface(name: str) -> str:
    return f"network_interfaces.{name}"


def _on(interface: int, things: Sequence[str], places: Placing) -> list[str]:
    """What has the interface of this number as its place."""
    return [thing for thing, place in zip(things, places, strict=True) if place == interface]


# ---- addresses that float


FLOATING = ("172.31.0.101", "172.31.0.102")


@dataclass(frozen=True)
class Floating:
    """``places`` has a number in INTERFACES for each address that floats.

    ``targets`` has for each Elastic IP one in FLOATING, as an Elastic IP goes where its private address goes, or,
    counted on from there, a number in INTERFACES for the primary address of that one.
    """

    places: Placing
    targets: Placing

    def __str__(self) -> str:
        return f"{told(self.places)}.{told(self.targets)}"

    def spot(self, target: int) -> tuple[int, str | None]:
        """The interface and the private address there, None for the primary one."""
        if target < len(FLOATING):
            return self.places[target], FLOATING[target]
        return target - len(FLOATING), None


@dataclass(frozen=True)
class _FloatingRenamed:
    interfaces: Placing
    floating: Placing
    addresses: Placing

    def __call__(self, state: Floating) -> Floating:
        targets = (*self.floating, *(len(FLOATING) + number for number in self.interfaces))
        return Floating(
            relabelled(state.places, self.floating, self.interfaces),
            relabelled(state.targets, self.addresses, targets),
        )


class Floats(SmallWorld[Floating]):
    """Interfaces, two addresses that are secondary ones of any of them, and Elastic IPs on any of it all."""

    def __init__(self, interfaces: int, addresses: int) -> None:
        self.interfaces, self.addresses = INTERFACES[:interfaces], ADDRESSES[:addresses]
        self.states = tuple(
            state
            for places in product(range(NOWHERE, interfaces), repeat=len(FLOATING))
            for targets in placings(addresses, len(FLOATING) + interfaces)
            if _stands(state := Floating(places, targets))
        )
        self.relabellings = tuple(
            _FloatingRenamed(*numbers)
            for numbers in product(_numbers(self.interfaces), _numbers(FLOATING), _numbers(self.addresses))
        )
        self._read: dict[Floating, Live] = {}

    def live(self, state: Floating) -> Live:
        if state not in self._read:
            self._read[state] = self._told(state)
        return self._read[state]

    def _told(self, state: Floating) -> Live:
        interfaces: dict[str, Any] = {
            name: {"secondary_private_ips": _on(number, FLOATING, state.places), "addresses": {}}
            for number, name in enumerate(self.interfaces)
        }
        addresses: dict[str, Any] = {name: {} for name in self.addresses}
        for name, target in zip(self.addresses, state.targets, strict=True):
            if target != NOWHERE:
                interface, private_ip = state.spot(target)
                addresses[name] = {"at": INTERFACES[interface]}
                if private_ip:
                    addresses[name]["private_ip"] = private_ip
                    interfaces[INTERFACES[interface]]["addresses"][private_ip] = f"eipalloc-{name}"
        return live_of({"network_interfaces": interfaces, "elastic_ips": addresses})

    def wish(self, state: Floating) -> Spec:
        interfaces = {
            name: {"subnet": SUBNET, "secondary_private_ips": _on(number, FLOATING, state.places)}
            for number, name in enumerate(self.interfaces)
        }
        addresses: dict[str, Any] = {name: {} for name in self.addresses}
        for name, target in zip(self.addresses, state.targets, strict=True):
            if target != NOWHERE:
                interface, private_ip = state.spot(target)
                spot = {"network_interface": INTERFACES[interface]}
                addresses[name]["association"] = spot | ({"private_ip": private_ip} if private_ip else {})
        return spec_of({"network_interfaces": interfaces, "elastic_ips": addresses})

    def simulated(self, state: Floating) -> Ec2:
        ec2 = Ec2()
        for number, name in enumerate(self.interfaces):
            ec2.interfaces[f"eni-{name}"] = None
            ec2.further[f"eni-{name}"] = set(_on(number, FLOATING, state.places))
        for name, target in zip(self.addresses, state.targets, strict=True):
            address = f"eipalloc-{name}"
            ec2.addresses[address] = None
            if target != NOWHERE:
                interface, private_ip = state.spot(target)
                ec2.addresses[address] = f"eni-{INTERFACES[interface]}"
                ec2.associations[address] = f"eipassoc-{name}"
                if private_ip:
                    ec2.spots[address] = private_ip
        return ec2

    def state_of(self, ec2: Ec2) -> Floating:
        assert ec2.interfaces == {f"eni-{name}": None for name in self.interfaces}
        assert len(ec2.addresses) == len(self.addresses)
        places = _places_of(ec2, FLOATING)
        targets = []
        for name in self.addresses:
            interface, private_ip = ec2.addresses[f"eipalloc-{name}"], ec2.spots.get(f"eipalloc-{name}")
            if private_ip is not None:
                number = FLOATING.index(private_ip)
                assert interface == f"eni-{INTERFACES[places[number]]}"
                targets.append(number)
            else:
                primary = NOWHERE if interface is None else len(FLOATING) + INTERFACES.index(interface[4:])
                targets.append(primary)
        return Floating(places, tuple(targets))

    def work(self, live: Floating, desired: Floating) -> list[Call]:
        """One Assign for all that comes to an interface, from wherever; one Unassign for all that goes nowhere."""
        calls = []
        for number, name in enumerate(self.interfaces):
            moves = list(zip(live.places, desired.places, strict=True))
            if any(have != number and want == number for have, want in moves):
                calls.append(("AssignPrivateIpAddresses", _interface(name)))
            if (number, NOWHERE) in moves:
                calls.append(("UnassignPrivateIpAddresses", _interface(name)))
        for name, have, want in zip(self.addresses, live.targets, desired.targets, strict=True):
            if have != want:
                call = "DisassociateAddress" if want == NOWHERE else "AssociateAddress"
                calls.append((call, f"elastic_ips.{name}"))
        return calls

    def things(self, state: Floating) -> Placing:
        return state.places + state.targets

    def attached(self, state: Floating) -> frozenset[str]:
        return frozenset()

    def harmless(self, live: Floating, desired: Floating) -> bool:
        """All that has to change is nowhere yet."""
        both = zip(self.things(live), self.things(desired), strict=True)
        return all(have in (want, NOWHERE) for have, want in both)


def _stands(state: Floating) -> bool:
    """No Elastic IP is on an address that is nowhere."""
    return all(state.spot(target)[0] != NOWHERE for target in state.targets if target != NOWHERE)


def _places_of(ec2: Ec2, things: Sequence[str]) -> Placing:
    """The number of the interface that has each of these, and there is nothing else."""
    found = {each: INTERFACES.index(holder[4:]) for holder, held in ec2.further.items() for each in held}
    assert sum(map(len, ec2.further.values())) == len(found)
    assert found.keys() <= set(things)
    return tuple(found.get(each, NOWHERE) for each in things)


# ---- what EC2 does not move in one call


SORTS = {
    "ipv6_addresses": ("Ipv6Addresses", ("2001:db8::a", "2001:db8::b")),
    "ipv6_prefixes": ("Ipv6Addresses", ("2001:db8:0:0:1::/80", "2001:db8:0:0:2::/80")),
    "ipv4_prefixes": ("PrivateIpAddresses", ("10.3.0.16/28", "10.3.0.32/28")),
}
"""What calls are named after, and two of a sort, by the keys of the spec."""


@dataclass(frozen=True)
class Pooled:
    """A number in INTERFACES for each address or prefix."""

    places: Placing

    def __str__(self) -> str:
        return told(self.places)


@dataclass(frozen=True)
class _PooledRenamed:
    interfaces: Placing
    pooled: Placing

    def __call__(self, state: Pooled) -> Pooled:
        return Pooled(relabelled(state.places, self.pooled, self.interfaces))


class Pools(SmallWorld[Pooled]):
    """Three interfaces, two of one sort and one of another, each on any of them or on none."""

    def __init__(self, two: str, one: str) -> None:
        self.pooled = (*SORTS[two][1], SORTS[one][1][0])
        self.states = tuple(map(Pooled, product(range(NOWHERE, len(INTERFACES)), repeat=len(self.pooled))))
        self.relabellings = tuple(
            _PooledRenamed(interfaces, pooled)
            for interfaces in _numbers(INTERFACES)
            for pooled in ((0, 1, 2), (1, 0, 2))
        )

    def live(self, state: Pooled) -> Live:
        dual = {"subnet": "subnet-dual", "groups": ["sg-dual-default"]}
        interfaces = {
            name: {**dual, "private_ip": f"10.3.0.{100 + number}", **self._held(number, state)}
            for number, name in enumerate(INTERFACES)
        }
        return live_of({"network_interfaces": interfaces})

    def wish(self, state: Pooled) -> Spec:
        interfaces = {
            name: {"subnet": {"tags": {"Name": "dual"}}, **self._held(number, state)}
            for number, name in enumerate(INTERFACES)
        }
        return spec_of({"network_interfaces": interfaces})

    def simulated(self, state: Pooled) -> Ec2:
        return Ec2(
            interfaces={f"eni-{name}": None for name in INTERFACES},
            further={
                f"eni-{name}": set(_on(number, self.pooled, state.places))
                for number, name in enumerate(INTERFACES)
            },
        )

    def state_of(self, ec2: Ec2) -> Pooled:
        assert ec2.interfaces == {f"eni-{name}": None for name in INTERFACES}
        return Pooled(_places_of(ec2, self.pooled))

    def work(self, live: Pooled, desired: Pooled) -> list[Call]:
        """Who takes has one Assign of each sort, and an Unassign for each of those that have it now."""
        calls: list[Call] = []
        for noun, things in SORTS.values():
            moves = [
                (have, want)
                for thing, have, want in zip(self.pooled, live.places, desired.places, strict=True)
                if thing in things and have != want
            ]
            for number, name in enumerate(INTERFACES):
                from_whom = {have for have, want in moves if want == number}
                calls += [(f"Assign{noun}", _interface(name))] * bool(from_whom)
                calls += [(f"Unassign{noun}", _interface(name))] * len(from_whom - {NOWHERE})
                calls += [(f"Unassign{noun}", _interface(name))] * ((number, NOWHERE) in moves)
        return calls

    def things(self, state: Pooled) -> Placing:
        return state.places

    def attached(self, state: Pooled) -> frozenset[str]:
        return frozenset()

    def harmless(self, live: Pooled, desired: Pooled) -> bool:
        return all(have in (want, NOWHERE) for have, want in zip(live.places, desired.places, strict=True))

    def _held(self, interface: int, state: Pooled) -> dict[str, list[str]]:
        """What an interface has, by the keys of the spec."""
        there = _on(interface, self.pooled, state.places)
        return {key: [each for each in there if each in things] for key, (_, things) in SORTS.items()}


# ---- flags


INSTANCES = ("a", "b")
FLAGGED = INTERFACES[:2]


@dataclass(frozen=True)
class Flagged:
    """For each of FLAGGED the number of the instance where it has index 1, and its flags.

    ``dies`` is delete_on_termination, which only what is attached can have, ``checks`` source_dest_check.
    """

    places: Placing
    dies: tuple[bool, ...]
    checks: tuple[bool, ...]

    def __str__(self) -> str:
        return ".".join([told(self.places), told(tuple(map(int, self.dies))), told(tuple(map(int, self.checks)))])


@dataclass(frozen=True)
class _FlaggedRenamed:
    interfaces: Placing
    instances: Placing

    def __call__(self, state: Flagged) -> Flagged:
        own = (False, True)
        return Flagged(
            relabelled(state.places, self.interfaces, self.instances),
            tuple(own[flag] for flag in relabelled(state.dies, self.interfaces, (0, 1))),
            tuple(own[flag] for flag in relabelled(state.checks, self.interfaces, (0, 1))),
        )


class Flags(SmallWorld[Flagged]):
    """Two interfaces, either of two instances for each, and all that their two flags can be."""

    states = tuple(
        Flagged(places, dies, checks)
        for places in placings(len(FLAGGED), len(INSTANCES))
        for dies in product((False, True), repeat=len(FLAGGED))
        for checks in product((False, True), repeat=len(FLAGGED))
        if not any(flag and place == NOWHERE for place, flag in zip(places, dies, strict=True))
    )
    relabellings = tuple(_FlaggedRenamed(*each) for each in product(_numbers(FLAGGED), _numbers(INSTANCES)))

    def live(self, state: Flagged) -> Live:
        return _flagged(state)

    def wish(self, state: Flagged) -> Spec:
        interfaces: dict[str, Any] = {
            f"{instance}0": {"subnet": SUBNET, "attachment": {"instance": instance, "device_index": 0}}
            for instance in INSTANCES
        }
        for name, place, dies, checks in zip(FLAGGED, state.places, state.dies, state.checks, strict=True):
            interfaces[name] = {"subnet": SUBNET, "source_dest_check": checks}
            if place != NOWHERE:
                place_there = {"instance": INSTANCES[place], "device_index": 1}
                interfaces[name]["attachment"] = {**place_there, "delete_on_termination": dies}
        return spec_of({"instances": dict.fromkeys(INSTANCES, MACHINE), "network_interfaces": interfaces})

    def simulated(self, state: Flagged) -> Ec2:
        ec2 = Ec2(instances={f"i-{instance}": "running" for instance in INSTANCES})
        for instance in INSTANCES:
            ec2.interfaces[f"eni-{instance}0"] = Attached(f"i-{instance}", 0, f"eni-attach-{instance}0")
        for name, place, dies, checks in zip(FLAGGED, state.places, state.dies, state.checks, strict=True):
            there = Attached(f"i-{INSTANCES[place]}", 1, f"eni-attach-{name}", delete_on_termination=dies)
            ec2.interfaces[f"eni-{name}"] = None if place == NOWHERE else there
            ec2.checks[f"eni-{name}"] = checks
        return ec2

    def state_of(self, ec2: Ec2) -> Flagged:
        assert len(ec2.interfaces) == len(INSTANCES) + len(FLAGGED)
        places = [ec2.interfaces[f"eni-{name}"] for name in FLAGGED]
        assert all(place is None or (place.index, place.detaching) == (1, False) for place in places)
        assert len(ec2.checks) == len(FLAGGED)
        return Flagged(
            tuple(INSTANCES.index(place.instance[2:]) if place else NOWHERE for place in places),
            tuple(bool(place and place.delete_on_termination) for place in places),
            tuple(ec2.checks[f"eni-{name}"] for name in FLAGGED),
        )

    def work(self, live: Flagged, desired: Flagged) -> list[Call]:
        """A Modify for each flag that is not right by itself: what is newly attached does not die."""
        calls: list[Call] = []
        for number, name in enumerate(FLAGGED):
            have, want = live.places[number], desired.places[number]
            moves, address = have != want, _interface(name)
            calls += [("DetachNetworkInterface", address)] * (moves and have != NOWHERE)
            calls += [("AttachNetworkInterface", address)] * (moves and want != NOWHERE)
            dies = live.dies[number] and not moves
            wrong = (dies != desired.dies[number]) + (live.checks[number] != desired.checks[number])
            calls += [("ModifyNetworkInterfaceAttribute", address)] * wrong
        return calls

    def things(self, state: Flagged) -> list[Any]:
        return [*zip(state.places, state.dies, strict=True), *state.checks]

    def attached(self, state: Flagged) -> frozenset[str]:
        both = zip(FLAGGED, state.places, strict=True)
        return frozenset(f"network_interfaces.{name}" for name, place in both if place != NOWHERE)

    def harmless(self, live: Flagged, desired: Flagged) -> bool:
        """Nothing leaves its place, and what forwards goes on forwarding."""
        stays = all(have in (want, NOWHERE) for have, want in zip(live.places, desired.places, strict=True))
        return stays and all(was or not now for was, now in zip(live.checks, desired.checks, strict=True))


@cache
def _flagged(state: Flagged) -> Live:
    interfaces: dict[str, Any] = {f"{instance}0": {"at": f"{instance} 0"} for instance in INSTANCES}
    for name, place, dies, checks in zip(FLAGGED, state.places, state.dies, state.checks, strict=True):
        interfaces[name] = {"source_dest_check": checks}
        if place != NOWHERE:
            interfaces[name] |= {"at": f"{INSTANCES[place]} 1", "delete_on_termination": dies}
    return live_of({"instances": dict.fromkeys(INSTANCES), "network_interfaces": interfaces})


# ---- names that addresses lead back to


POINTED = INTERFACES[:2]
NAMES = ("one.example.com", "two.example.com")


@dataclass(frozen=True)
class Pointing:
    """For each Elastic IP the number of the interface that it is on, and that of its name."""

    targets: Placing
    names: Placing

    def __str__(self) -> str:
        return f"{told(self.targets)}.{told(self.names)}"


@dataclass(frozen=True)
class _PointingRenamed:
    addresses: Placing
    interfaces: Placing
    names: Placing

    def __call__(self, state: Pointing) -> Pointing:
        return Pointing(
            relabelled(state.targets, self.addresses, self.interfaces),
            relabelled(state.names, self.addresses, self.names),
        )


class Pointers(SmallWorld[Pointing]):
    """Two interfaces, two Elastic IPs, and either of two names for each, or none. They may have the same."""

    states = tuple(
        Pointing(targets, names)
        for targets in placings(len(ADDRESSES), len(POINTED))
        for names in product(range(NOWHERE, len(NAMES)), repeat=len(ADDRESSES))
    )
    relabellings = tuple(
        _PointingRenamed(*each) for each in product(_numbers(ADDRESSES), _numbers(POINTED), _numbers(NAMES))
    )

    def live(self, state: Pointing) -> Live:
        return _pointing(state)

    def wish(self, state: Pointing) -> Spec:
        addresses = {
            name: {"reverse_dns": "" if pointer == NOWHERE else NAMES[pointer]}
            | ({} if target == NOWHERE else {"association": {"network_interface": POINTED[target]}})
            for name, target, pointer in zip(ADDRESSES, state.targets, state.names, strict=True)
        }
        return spec_of(
            {"network_interfaces": {name: {"subnet": SUBNET} for name in POINTED}, "elastic_ips": addresses}
        )

    def simulated(self, state: Pointing) -> Ec2:
        ec2 = Ec2(interfaces={f"eni-{name}": None for name in POINTED})
        for name, target, pointer in zip(ADDRESSES, state.targets, state.names, strict=True):
            address = f"eipalloc-{name}"
            ec2.addresses[address] = None if target == NOWHERE else f"eni-{POINTED[target]}"
            ec2.associations[address] = f"eipassoc-{name}"
            if pointer != NOWHERE:
                ec2.pointers[address] = NAMES[pointer]
        return ec2

    def state_of(self, ec2: Ec2) -> Pointing:
        assert ec2.interfaces == {f"eni-{name}": None for name in POINTED}
        addresses = [f"eipalloc-{name}" for name in ADDRESSES]
        assert list(ec2.addresses) == addresses
        held = [ec2.addresses[address] for address in addresses]
        return Pointing(
            tuple(NOWHERE if target is None else POINTED.index(target[4:]) for target in held),
            tuple(NAMES.index(ec2.pointers[each]) if each in ec2.pointers else NOWHERE for each in addresses),
        )

    def work(self, live: Pointing, desired: Pointing) -> list[Call]:
        calls: list[Call] = []
        for number, name in enumerate(ADDRESSES):
            address = f"elastic_ips.{name}"
            if live.targets[number] != desired.targets[number]:
                goes = desired.targets[number] == NOWHERE
                calls.append(("DisassociateAddress" if goes else "AssociateAddress", address))
            if live.names[number] != desired.names[number]:
                goes = desired.names[number] == NOWHERE
                calls.append(("ResetAddressAttribute" if goes else "ModifyAddressAttribute", address))
        return calls

    def things(self, state: Pointing) -> Placing:
        return state.targets + state.names

    def attached(self, state: Pointing) -> frozenset[str]:
        return frozenset()

    def harmless(self, live: Pointing, desired: Pointing) -> bool:
        both = zip(self.things(live), self.things(desired), strict=True)
        return all(have in (want, NOWHERE) for have, want in both)


@cache
def _pointing(state: Pointing) -> Live:
    addresses: dict[str, Any] = {
        name: {"reverse_dns": {"name": "" if pointer == NOWHERE else NAMES[pointer]}}
        | ({} if target == NOWHERE else {"at": POINTED[target]})
        for name, target, pointer in zip(ADDRESSES, state.targets, state.names, strict=True)
    }
    return live_of({"network_interfaces": dict.fromkeys(POINTED), "elastic_ips": addresses})
