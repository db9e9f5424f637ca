"""Rows that look renamed: the plan makes a resource anew while one like it is left over. Pure.

Without ``renamed_from``, another name is another resource: the old one is left or removed, and its id and its
addresses go with it. A warning says which line keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from enireconcile.kinds import World
from enireconcile.likeness import likeness
from enireconcile.live.records import (
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
    Record,
)
from enireconcile.planning.diff import Difference
from enireconcile.spec import SECTIONS

_ALIKE = 0.6
"""The least likeness of two names, from 0 to 1."""
_MOST_PAIRS = 40_000
"""Pairs of names that are compared in a section; more would take seconds. Uses are compared in any case."""


def renamed_warnings(differences: Iterable[Difference], gone: Mapping[str, Record], world: World) -> Iterator[str]:
    """A warning for each new resource that is like one at an address that no row has any more."""
    made = [each.address for each in differences if not each.exists and not each.former]
    pairs = sorted(
        (-score, address, old)
        for section in SECTIONS
        for score, address, old in _alike(
            [address for address in made if _section(address) == section],
            {old: record for old, record in gone.items() if _section(old) == section},
            world,
        )
    )
    told: set[str] = set()
    for _, address, old in pairs:
        if told.isdisjoint({address, old}):
            told |= {address, old}
            name, record = _name(old), gone[old]
            kept = " and ".join(filter(None, (record.id, _ip_of(record))))
            yield f"{address} looks like {name} renamed: `renamed_from: {name}` in its row keeps {kept}"


def _alike(made: Sequence[str], gone: Mapping[str, Record], world: World) -> Iterator[tuple[float, str, str]]:
    """The new resources of a section and the old ones that they are like, and how much."""
    used: dict[Use | None, list[str]] = {}
    for old, record in gone.items():
        if use := _use_of(record, world):
            used.setdefault(use, []).append(old)
    only = len(made) == len(gone) == 1
    few = len(made) * len(gone) <= _MOST_PAIRS
    for address in made:
        name, same = _name(address), used.get(_use_by(address, world), ())
        for old in gone if few else same:
            if _fits(name, gone[old], world):
                alike = likeness(name, _name(old))
                if old in same:
                    yield 1 + alike, address, old
                elif alike >= _ALIKE or (only and alike):
                    yield alike, address, old


def _section(address: str) -> str:
    return address.partition(".")[0]


def _name(address: str) -> str:
    return address.partition(".")[2]


def _fits(name: str, record: Record, world: World) -> bool:
    """Can the resource become that of the row without being replaced?"""
    if isinstance(record, LiveNetworkInterface):
        private_ip = world.document.network_interfaces[name].private_ip
        return world.subnets.get(name) == record.subnet_id and private_ip in (None, record.private_ip)
    if isinstance(record, LiveSecurityGroup):
        return world.vpcs.get(name) == record.vpc_id
    if isinstance(record, LiveInstance):
        return world.document.own_instances[name].instance_type == record.instance_type
    return True


Use = tuple[str, int | None]
"""The name of an instance and a device index, or the name of an interface."""


def _use_by(address: str, world: World) -> Use | None:
    """Where the row attaches its interface, or what it associates its Elastic IP with."""
    name = _name(address)
    if _section(address) == "network_interfaces":
        place = world.placements.get(name)
        return (place.instance, place.device_index) if place else None
    if _section(address) == "elastic_ips":
        destination = world.destinations.get(name)
        return (destination.interface, None) if destination else None
    return None


def _use_of(record: Record, world: World) -> Use | None:
    """Where an interface is attached, or what an Elastic IP is associated with."""
    if isinstance(record, LiveNetworkInterface) and record.attachment:
        return world.name_of(record.attachment.instance_id), record.attachment.device_index
    if isinstance(record, LiveElasticIp) and record.network_interface_id:
        return world.name_of(record.network_interface_id), None
    return None


def _ip_of(record: Record) -> str | None:
    if isinstance(record, LiveElasticIp):
        return record.public_ip
    return record.private_ip if isinstance(record, LiveNetworkInterface) else None
