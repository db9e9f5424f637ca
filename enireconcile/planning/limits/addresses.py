"""How many addresses an interface has after the plan and while it runs, and how many a subnet has free. Pure.

EC2 counts IPv4 and IPv6 separately, and each prefix as one address of an interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from enireconcile.kinds.conditions import Fact
from enireconcile.live.records import LiveInstanceType, LiveNetworkInterface
from enireconcile.model import Ref, Step
from enireconcile.planning.limits.case import ASSIGN_CALLS, UNASSIGN_CALLS, Case, Issue
from enireconcile.planning.limits.instances import DeviceSlot, PlannedInstance
from enireconcile.spec import Path

FAMILIES = ("IPv4", "IPv6")
_PARAMS = {
    "IPv4": ("PrivateIpAddresses", "SecondaryPrivateIpAddressCount"),
    "IPv6": ("Ipv6Addresses", "Ipv6AddressCount"),
}
_PREFIXES = {"IPv4": ("Ipv4Prefixes", "Ipv4PrefixCount"), "IPv6": ("Ipv6Prefixes", "Ipv6PrefixCount")}
_KEYS = {
    "IPv4": ("secondary_private_ips", "secondary_private_ip_count", "ipv4_prefixes", "ipv4_prefix_count"),
    "IPv6": ("ipv6_addresses", "ipv6_address_count", "ipv6_prefixes", "ipv6_prefix_count"),
}
"""The keys of the spec that ask for addresses. A problem is reported at the first that a row has."""
_IN_A_PREFIX = 16
"""Addresses of the subnet in an IPv4 prefix, which is a /28."""


def count_in(value: Any) -> int:
    """The number in a parameter that is a list or a count."""
    return value if isinstance(value, int) else len(value)


def _requested(params: Mapping[str, Any], family: str) -> int:
    """How many addresses and prefixes a call names or counts."""
    return sum(count_in(params.get(name, 0)) for name in (*_PARAMS[family], *_PREFIXES[family]))


def _of_new(step: Step, family: str) -> int:
    """The number of addresses of a new interface. Without a list, EC2 adds a primary IPv4 address."""
    if step.params.get("InterfaceType") == "efa-only":
        return 0
    primary = family == "IPv4" and "PrivateIpAddresses" not in step.params
    return _requested(step.params, family) + primary


def _of_existing(live: LiveNetworkInterface, family: str) -> int:
    if family == "IPv6":
        return len(live.ipv6_addresses) + len(live.ipv6_prefixes)
    return bool(live.private_ip) + len(live.secondary_ips) + len(live.ipv4_prefixes)


def final_count(interface: str, family: str, case: Case) -> int:
    """How many addresses and prefixes an interface of the spec has after the plan."""
    live, birth = case.record(interface), case.creates.get(interface)
    held = _of_existing(live, family) if live else 0
    held += _of_new(birth, family) if birth else 0
    for step in case.address_changes.get(interface, ()):
        held += _requested(step.params, family) * (1 if step.call in ASSIGN_CALLS else -1)
    return held - (len(_reassigned_from(live, case)) if live and family == "IPv4" else 0)


def _reassigned_from(live: LiveNetworkInterface, case: Case) -> set[str]:
    """Secondary addresses of an interface that the plan reassigns to another one."""
    taken = {each for step in case.calls(*ASSIGN_CALLS) for each in step.params.get("PrivateIpAddresses", ())}
    return taken & set(live.secondary_ips)


def peak_count(interface: str, family: str, case: Case, capacity: int) -> int:
    """The most addresses that an existing interface may have while the plan runs; 0 if it is assigned none."""
    live, changes = case.record(interface), case.address_changes.get(interface, ())
    gets, loses = (
        {step.id: _requested(step.params, family) for step in changes if step.call in calls}
        for calls in (ASSIGN_CALLS, UNASSIGN_CALLS)
    )
    if live is None or not any(gets.values()):
        return 0
    held = _of_existing(live, family)
    return held + case.peak_usage(gets, loses, capacity - held)


# ---- order


def unassign_first(slot: DeviceSlot, kind: LiveInstanceType, case: Case) -> list[Step]:
    """The steps, ordered such that a full interface unassigns addresses before it assigns others, if possible."""
    steps = list(case.steps)
    for family, adding, taking in zip(FAMILIES, ASSIGN_CALLS, UNASSIGN_CALLS, strict=True):
        if peak_count(slot.interface, family, case, kind.addresses(family)) <= kind.addresses(family):
            continue
        room = frozenset({Fact.ROOM_MADE.of(f"{slot.interface}/{family}")})
        for position, step in enumerate(steps):
            if step.call == adding and case.interface_of(step.params) == slot.interface:
                steps[position] = replace(step, rather=step.rather | room)
            if step.call == taking and case.interface_of(step.params) == slot.interface:
                steps[position] = replace(step, brings=step.brings | room)
    return steps


# ---- judging


def on_instance(instance: PlannedInstance, kind: LiveInstanceType, case: Case) -> Iterator[Issue]:
    """The addresses of the interfaces on an instance, and of those that can fail over to it."""
    for slot in (*instance.occupied, *instance.failing_over):
        changing = slot.interface in case.address_changes or slot not in instance.staying or instance.changes_type
        if slot.in_spec and changing:
            for family in FAMILIES:
                yield from _within_limit(slot, family, instance, kind, case)
            yield from _prefixes(slot, instance, kind, case)


def _within_limit(
    slot: DeviceSlot, family: str, instance: PlannedInstance, kind: LiveInstanceType, case: Case
) -> Iterator[Issue]:
    room, wanted = kind.addresses(family), final_count(slot.interface, family, case)
    supported = f"{kind.name} supports {room or 'no'} {family} addresses" + (" per interface" if room else "")
    if wanted > room:
        prefixes = " (each prefix counts as one)" if _has_prefixes(slot.interface, case) else ""
        message = f"{supported}, this one would have {wanted} on {instance.name}{prefixes}"
        hint = "assign fewer, or choose an instance type that supports more"
        yield instance.issue(slot, _key_path(slot.interface, _KEYS[family], case), message, hint, case)
    elif slot in instance.staying and (peak := peak_count(slot.interface, family, case, room)) > room:
        message = f"{supported}, this one would have {peak} while the plan runs"
        hint = "remove the old addresses with one apply, and add the new ones with the next"
        yield instance.issue(slot, _key_path(slot.interface, _KEYS[family], case), message, hint, case)


def _prefixes(slot: DeviceSlot, instance: PlannedInstance, kind: LiveInstanceType, case: Case) -> Iterator[Issue]:
    if _has_prefixes(slot.interface, case) and not kind.prefixes:
        keys = (*_KEYS["IPv4"][2:], *_KEYS["IPv6"][2:])
        hint = "EC2 assigns prefixes on Nitro instance types only"
        path = _key_path(slot.interface, keys, case)
        yield instance.issue(slot, path, f"{kind.name} does not support prefixes", hint, case)


def _has_prefixes(interface: str, case: Case) -> bool:
    """Does the interface have prefixes, or does the plan assign it any?"""
    live, birth = case.record(interface), case.creates.get(interface)
    if live and (live.ipv4_prefixes or live.ipv6_prefixes):
        return True
    steps = [*case.address_changes.get(interface, ()), *([birth] if birth else [])]
    return any(step.params.get(name) for step in steps for names in _PREFIXES.values() for name in names)


def _key_path(interface: str, keys: tuple[str, ...], case: Case) -> Path:
    """The path of the first of these keys that the row has, empty if it has none."""
    row = case.world.document.network_interfaces[interface.partition(".")[2]]
    return tuple(key for key in keys if getattr(row, key))[:1]


# ---- subnets


def in_subnets(case: Case) -> Iterator[Issue]:
    """The free addresses of the subnets from which the plan takes some."""
    taking: dict[str, list[str]] = {}
    for step in case.steps:
        if _taken(step, case):
            taking.setdefault(_subnet(step, case), []).append(step.address)
    for subnet_id, addresses in taking.items():
        subnet = case.subnets.get(subnet_id)
        if subnet is None or subnet.free is None:
            continue
        wanted = _wanted(subnet_id, subnet.free, case)
        if wanted > subnet.free:
            free = f"{subnet.free} free address{'es' if subnet.free != 1 else ''}"
            message = f"{subnet_id} has {free}, the plan needs {wanted}"
            hint = "choose another subnet, or free addresses in this one"
            yield case.mistake(addresses[0], ("subnet",), message, hint, touches=addresses)


def _wanted(subnet: str, free: int, case: Case) -> int:
    taken, returned = (
        {step.id: n for step in case.steps if (n := count(step, case)) and _subnet(step, case) == subnet}
        for count in (_taken, _returned)
    )
    return case.peak_usage(taken, returned, free)


def _subnet(step: Step, case: Case) -> str:
    """The subnet from which a call takes addresses, or to which it returns some."""
    if step.call == "CreateNetworkInterface":
        return str(step.params["SubnetId"])
    named = step.params["NetworkInterfaceId"]
    if isinstance(named, Ref):
        return str(case.creates[named.address].params["SubnetId"])
    return case.interfaces[named].subnet_id


def _taken(step: Step, case: Case) -> int:
    if step.call == "CreateNetworkInterface":
        # Later steps assign the prefixes.
        return _of_new(step, "IPv4")
    if step.call == "AssignPrivateIpAddresses":
        return _requested(step.params, "IPv4") + _rest_of_prefixes(step) - len(_reassigned_to(step, case))
    return 0


def _returned(step: Step, case: Case) -> int:
    if step.call == "UnassignPrivateIpAddresses":
        return _requested(step.params, "IPv4") + _rest_of_prefixes(step)
    if step.call == "DeleteNetworkInterface":
        gone = case.interfaces[step.params["NetworkInterfaceId"]]
        return _of_existing(gone, "IPv4") + (_IN_A_PREFIX - 1) * len(gone.ipv4_prefixes)
    return 0


def _rest_of_prefixes(step: Step) -> int:
    """The addresses of a subnet that prefixes take, beyond the one that each counts as."""
    return (_IN_A_PREFIX - 1) * sum(count_in(step.params.get(name, 0)) for name in _PREFIXES["IPv4"])


def _reassigned_to(step: Step, case: Case) -> set[str]:
    """Addresses that a call reassigns from another interface: the subnet loses no free address by them."""
    if not step.params.get("AllowReassignment"):
        return set()
    subnet = _subnet(step, case)
    held = {ip for record in case.interfaces.values() if record.subnet_id == subnet for ip in record.secondary_ips}
    return held & set(step.params["PrivateIpAddresses"])
