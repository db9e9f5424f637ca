"""Rows that look renamed: the plan makes a resource anew while one like it is left over. Pure.

Without ``renamed_from``, another name is another resource: the old one is left or removed, and its id and its
addresses go with it. A warning says which line keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

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

_ALIKE = 0.6
"""The least likeness of two names, from 0 to 1."""


def renamed_warnings(differences: Iterable[Difference], gone: Mapping[str, Record], world: World) -> Iterator[str]:
    """A warning for each new resource that is like one at an address that no row has any more."""
    made = [each.address for each in differences if not each.exists and not each.former]
    pairs = sorted(
        (-score, address, old)
        for address in made
        for old, record in gone.items()
        if (score := _score(address, old, record, made, gone, world))
    )
    told: set[str] = set()
    for _, address, old in pairs:
        if told.isdisjoint({address, old}):
            told |= {address, old}
            name, record = old.partition(".")[2], gone[old]
            kept = " and ".join(filter(None, (record.id, _ip_of(record))))
            yield f"{address} looks like {name} renamed: `renamed_from: {name}` in its row keeps {kept}"


def _score(
    address: str, old: str, record: Record, made: Iterable[str], gone: Iterable[str], world: World
) -> float:
    """How much a new resource is like an old one; 0 if it is not."""
    section, _, name = address.partition(".")
    if old.partition(".")[0] != section or not _fits(name, record, world):
        return 0
    alike = likeness(name, old.partition(".")[2])
    if _same_use(name, record, world):
        return 1 + alike
    only = all(sum(each.startswith(f"{section}.") for each in group) == 1 for group in (made, gone))
    return alike if only or alike >= _ALIKE else 0


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


def _same_use(name: str, record: Record, world: World) -> bool:
    """Is it attached where the row attaches, or associated with what the row names?"""
    if isinstance(record, LiveNetworkInterface):
        place, at = world.placements.get(name), record.attachment
        if place is None or at is None or at.device_index != place.device_index:
            return False
        return world.name_of(at.instance_id) == place.instance
    if isinstance(record, LiveElasticIp):
        destination, interface = world.destinations.get(name), record.network_interface_id
        return bool(destination and interface and world.name_of(interface) == destination.interface)
    return False


def _ip_of(record: Record) -> str | None:
    if isinstance(record, LiveElasticIp):
        return record.public_ip
    return record.private_ip if isinstance(record, LiveNetworkInterface) else None
