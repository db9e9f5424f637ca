"""The relation between an Elastic IP and the private address that it stands for.

A move is one AssociateAddress. EC2 reassociates silently unless told not to (EC2: "Reassociation is automatic"),
so AllowReassociation is true only when the plan names whom it displaces, and only if that one still holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enireconcile.kinds.base import Item, Kind, World
from enireconcile.kinds.parts import (
    attached,
    disassociate,
    settled,
    target_slot,
)
from enireconcile.model import Expect, Impact, Step
from enireconcile.records import LiveElasticIp, LiveNetworkInterface

SECTION = "elastic_ips"
_INTERFACES = "network_interfaces"


class Associations(Kind):
    """The ``association`` of rows of ``elastic_ips``."""

    section = SECTION

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.elastic_ips[name].association
        return {"association": None if row is None else {"network_interface": row.network_interface}}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveElasticIp)
        if live is None:
            return None
        if live.association_id is None or live.network_interface_id is None:
            return {"association": None}
        holder = world.name_of(live.network_interface_id)
        interface = world.record(f"{_INTERFACES}.{holder}", LiveNetworkInterface)
        if interface is not None and live.private_ip == interface.private_ip:
            return {"association": {"network_interface": holder}}
        return {"association": {"network_interface": holder, "private_ip": live.private_ip}}

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if not item.differs("association"):
            return []
        live = world.record(item.address, LiveElasticIp)
        if item.want["association"] is None:
            return [] if live is None else [disassociate(item.address, live)]
        return [_associate(item, live, world)]


@dataclass(frozen=True)
class _Target:
    """The private address that an Elastic IP shall stand for, and the Elastic IP that stands for it now."""

    interface: str
    slot: str
    live: LiveNetworkInterface | None
    holder: str | None


def _target(name: str, world: World) -> _Target:
    address = f"{_INTERFACES}.{name}"
    live = world.record(address, LiveNetworkInterface)
    if live is None:
        return _Target(address, f"target:{address}", None, None)
    return _Target(address, target_slot(live.id, live.private_ip), live, _holder(live, world))


def _holder(live: LiveNetworkInterface, world: World) -> str | None:
    """Who stands for the interface's primary address: two reads tell, and either may be a moment behind."""
    if live.private_ip in live.addresses:
        return live.addresses[live.private_ip]
    for record in world.owned.values():
        if isinstance(record, LiveElasticIp) and record.association_id is not None:
            here = (record.network_interface_id, record.private_ip)
            if here == (live.id, live.private_ip):
                return record.id
    return None


def _associate(item: Item, live: LiveElasticIp | None, world: World) -> Step:
    target = _target(item.want["association"]["network_interface"], world)
    moving = live if live is not None and live.association_id is not None else None
    displaced = target.holder if target.holder != (live.id if live else None) else None
    return Step(
        id=f"{item.address}/AssociateAddress",
        call="AssociateAddress",
        params={
            "AllocationId": world.id_of(item.address),
            "NetworkInterfaceId": world.id_of(target.interface),
            "AllowReassociation": bool(moving or displaced),
        },
        address=item.address,
        impact=Impact.DISRUPTIVE if moving or displaced else Impact.SAFE,
        # A fresh address is there before the instance boots; one in use moves when its new place can answer.
        after=frozenset({attached(target.interface)} if moving else ()),
        brings=frozenset(() if moving else {settled(target.interface)}),
        claims=frozenset({target.slot}),
        frees=frozenset({target_slot(moving.network_interface_id, moving.private_ip)} if moving else ()),
        displaces=displaced is not None,
        when=(*_still_held(moving), *_still_holding(target, displaced)),
        note=f"displaces {displaced}" if displaced and _foreign(displaced, world) else None,
    )


def _still_held(moving: LiveElasticIp | None) -> tuple[Expect, ...]:
    """Compare and set: the address is where the plan saw it, or free by now."""
    if moving is None:
        return ()
    here = (("AssociationId", (moving.association_id, None)),)
    return (Expect("DescribeAddresses", moving.id, has=here, timeout=0),)


def _still_holding(target: _Target, displaced: str | None) -> tuple[Expect, ...]:
    """Compare and set: whoever is displaced is the one that the plan names, or nobody by now."""
    if target.live is None or displaced is None:
        return ()
    holds = (("Association.AllocationId", (displaced, None)),)
    return (Expect("DescribeNetworkInterfaces", target.live.id, has=holds, timeout=0),)


def _foreign(allocation_id: str, world: World) -> bool:
    return world.name_of(allocation_id) not in world.document.elastic_ips
