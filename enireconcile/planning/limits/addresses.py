"""Addresses: how many an interface has when the plan is done, and on the way; what subnets have to give. Pure.

EC2 counts a prefix as one address of an interface, and IPv4 and IPv6 apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from enireconcile.live.records import LiveInstanceType, LiveNetworkInterface
from enireconcile.model import Ref, Step
from enireconcile.planning.limits.case import ADDING, TAKING, Case, ProblemOrWarning
from enireconcile.planning.limits.instances import DeviceSlot, Machine
from enireconcile.spec import Path

FAMILIES = ("IPv4", "IPv6")
_PARAMS = {
    "IPv4": ("PrivateIpAddresses", "SecondaryPrivateIpAddressCount"),
    "IPv6": ("Ipv6Addresses", "Ipv6AddressCount"),
}
_PREFIXES = {"IPv4": ("Ipv4Prefixes", "Ipv4PrefixCount"), "IPv6": ("Ipv6Prefixes", "Ipv6PrefixCount")}
_WRITTEN = {
    "IPv4": ("secondary_private_ips", "secondary_private_ip_count", "ipv4_prefixes", "ipv4_prefix_count"),
    "IPv6": ("ipv6_addresses", "ipv6_address_count", "ipv6_prefixes", "ipv6_prefix_count"),
}
"""Where the spec asks for addresses, in the order in which one would look for a mistake."""
_IN_A_PREFIX = 16
"""Addresses of its subnet that an IPv4 prefix, a /28, takes."""


def amount(value: Any) -> int:
    """Of a parameter that is a list, or a number already."""
    return value if isinstance(value, int) else len(value)


def _asked(params: Mapping[str, Any], family: str) -> int:
    """How many addresses and prefixes a call names or counts."""
    return sum(amount(params.get(name, 0)) for name in (*_PARAMS[family], *_PREFIXES[family]))


def _born(step: Step, family: str) -> int:
    """What a new interface has. Of a list the primary address is one; without a list there is one all the same."""
    if step.params.get("InterfaceType") == "efa-only":
        return 0
    primary = family == "IPv4" and "PrivateIpAddresses" not in step.params
    return _asked(step.params, family) + primary


def _held(live: LiveNetworkInterface, family: str) -> int:
    if family == "IPv6":
        return len(live.ipv6_addresses) + len(live.ipv6_prefixes)
    return bool(live.private_ip) + len(live.secondary_ips) + len(live.ipv4_prefixes)


def last(interface: str, family: str, case: Case) -> int:
    """How many slots an interface of the spec fills when all is done."""
    live, birth = case.record(interface), case.births.get(interface)
    held = _held(live, family) if live else 0
    held += _born(birth, family) if birth else 0
    for step in case.changes.get(interface, ()):
        held += _asked(step.params, family) * (1 if step.call in ADDING else -1)
    return held - (len(_floating_away(live, case)) if live and family == "IPv4" else 0)


def _floating_away(live: LiveNetworkInterface, case: Case) -> set[str]:
    """Addresses that another interface takes over: nobody asks for what it has itself."""
    taken = {each for step in case.calls(*ADDING) for each in step.params.get("PrivateIpAddresses", ())}
    return taken & set(live.secondary_ips)


def most(interface: str, family: str, case: Case, room: int) -> int:
    """How many slots an interface that exists may fill when it gets more; 0 if it gets none."""
    live, changes = case.record(interface), case.changes.get(interface, ())
    gets, loses = (
        {step.id: _asked(step.params, family) for step in changes if step.call in calls}
        for calls in (ADDING, TAKING)
    )
    if live is None or not any(gets.values()):
        return 0
    held = _held(live, family)
    return held + case.most(gets, loses, room - held)


# ---- order


def take_first(slot: DeviceSlot, kind: LiveInstanceType, case: Case) -> list[Step]:
    """The steps, such that a full interface gives addresses back before it gets others, if that can be."""
    steps = list(case.steps)
    for family, adding, taking in zip(FAMILIES, ADDING, TAKING, strict=True):
        if most(slot.interface, family, case, kind.addresses(family)) <= kind.addresses(family):
            continue
        room = frozenset({f"room:{slot.interface}:{family}"})
        for position, step in enumerate(steps):
            if step.call == adding and case.about(step.params) == slot.interface:
                steps[position] = replace(step, rather=step.rather | room)
            if step.call == taking and case.about(step.params) == slot.interface:
                steps[position] = replace(step, brings=step.brings | room)
    return steps


# ---- judging


def on_machine(machine: Machine, kind: LiveInstanceType, case: Case) -> Iterator[ProblemOrWarning]:
    """Addresses of the interfaces on an instance, and of those that may come to it."""
    for slot in (*machine.occupied, *machine.floating):
        changing = slot.interface in case.changes or slot not in machine.staying or machine.retyped
        if slot.ours and changing:
            for family in FAMILIES:
                yield from _fits(slot, family, machine, kind, case)
            yield from _prefixes(slot, machine, kind, case)


def _fits(
    slot: DeviceSlot, family: str, machine: Machine, kind: LiveInstanceType, case: Case
) -> Iterator[ProblemOrWarning]:
    room, wanted = kind.addresses(family), last(slot.interface, family, case)
    takes = f"{kind.name} takes {room or 'no'} {family} addresses" + (" on an interface" if room else "")
    if wanted > room:
        slots = ", each prefix counted as one" if _has_prefixes(slot.interface, case) else ""
        message = f"{takes}, this one is to have {wanted} on {machine.name}{slots}"
        hint = "name fewer, or choose a type that takes more"
        yield machine.tell(slot, _written(slot.interface, _WRITTEN[family], case), message, hint, case)
    elif slot in machine.staying and (crowd := most(slot.interface, family, case, room)) > room:
        message = f"{takes}, this one would have {crowd} on the way"
        hint = "take off what goes with one apply, and add what comes with the next"
        yield machine.tell(slot, _written(slot.interface, _WRITTEN[family], case), message, hint, case)


def _prefixes(
    slot: DeviceSlot, machine: Machine, kind: LiveInstanceType, case: Case
) -> Iterator[ProblemOrWarning]:
    if _has_prefixes(slot.interface, case) and not kind.prefixes:
        keys = (*_WRITTEN["IPv4"][2:], *_WRITTEN["IPv6"][2:])
        hint = "EC2 has them on types of the Nitro system only"
        path = _written(slot.interface, keys, case)
        yield machine.tell(slot, path, f"{kind.name} takes no prefixes", hint, case)


def _has_prefixes(interface: str, case: Case) -> bool:
    """Has the interface prefixes, or does the plan give it any?"""
    live, birth = case.record(interface), case.births.get(interface)
    if live and (live.ipv4_prefixes or live.ipv6_prefixes):
        return True
    steps = [*case.changes.get(interface, ()), *([birth] if birth else [])]
    return any(step.params.get(name) for step in steps for names in _PREFIXES.values() for name in names)


def _written(interface: str, keys: tuple[str, ...], case: Case) -> Path:
    """The first of these keys that the spec has, if any."""
    row = case.world.document.network_interfaces[interface.partition(".")[2]]
    return tuple(key for key in keys if getattr(row, key))[:1]


# ---- subnets


def in_subnets(case: Case) -> Iterator[ProblemOrWarning]:
    """Free addresses of the subnets that the plan takes some of."""
    takers: dict[str, str] = {}
    for step in case.steps:
        if _taken(step, case):
            takers.setdefault(_subnet(step, case), step.address)
    for subnet_id, first in takers.items():
        subnet = case.subnets.get(subnet_id)
        if subnet is None or subnet.free is None:
            continue
        wanted = _wanted(subnet_id, subnet.free, case)
        if wanted > subnet.free:
            free = f"{subnet.free} free address{'es' if subnet.free != 1 else ''}"
            message = f"{subnet_id} has {free}, the plan takes {wanted}"
            yield case.problem(first, ("subnet",), message, "choose another subnet, or make room in this one")


def _wanted(subnet: str, free: int, case: Case) -> int:
    taken, given = (
        {step.id: n for step in case.steps if (n := count(step, case)) and _subnet(step, case) == subnet}
        for count in (_taken, _given)
    )
    return case.most(taken, given, free)


def _subnet(step: Step, case: Case) -> str:
    """The subnet whose addresses a call takes or gives back."""
    if step.call == "CreateNetworkInterface":
        return str(step.params["SubnetId"])
    named = step.params["NetworkInterfaceId"]
    if isinstance(named, Ref):
        return str(case.births[named.address].params["SubnetId"])
    return case.interfaces[named].subnet_id


def _taken(step: Step, case: Case) -> int:
    if step.call == "CreateNetworkInterface":
        # Prefixes come later.
        return _born(step, "IPv4")
    if step.call == "AssignPrivateIpAddresses":
        return _asked(step.params, "IPv4") + _more_in(step) - len(_moved(step, case))
    return 0


def _given(step: Step, case: Case) -> int:
    if step.call == "UnassignPrivateIpAddresses":
        return _asked(step.params, "IPv4") + _more_in(step)
    if step.call == "DeleteNetworkInterface":
        gone = case.interfaces[step.params["NetworkInterfaceId"]]
        return _held(gone, "IPv4") + (_IN_A_PREFIX - 1) * len(gone.ipv4_prefixes)
    return 0


def _more_in(step: Step) -> int:
    """What prefixes take of a subnet beyond the slot that each fills."""
    return (_IN_A_PREFIX - 1) * sum(amount(step.params.get(name, 0)) for name in _PREFIXES["IPv4"])


def _moved(step: Step, case: Case) -> set[str]:
    """Addresses that come from another interface, and so are no free ones."""
    if not step.params.get("AllowReassignment"):
        return set()
    subnet = _subnet(step, case)
    held = {ip for record in case.interfaces.values() if record.subnet_id == subnet for ip in record.secondary_ips}
    return held & set(step.params["PrivateIpAddresses"])
