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
    addressed,
    assigned,
    attached,
    disassociate,
    givers,
    left_open,
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
        if row is None:
            return {"association": None}
        private = (
            {} if row.private_ip in _primary_of(row.network_interface, world) else {"private_ip": row.private_ip}
        )
        return {"association": {"network_interface": row.network_interface, **private}}

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

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """The interface that it stands for."""
        want = item.want.get("association")
        interface = want["network_interface"] if want else None
        return [f"{_INTERFACES}.{interface}"] if interface in world.document.network_interfaces else ()

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if not item.differs("association"):
            return []
        live = world.record(item.address, LiveElasticIp)
        if item.want["association"] is None:
            return [] if live is None else [disassociate(item.address, live)]
        return [] if _rides_along(item, live, world) else [_associate(item, live, world)]


def _rides_along(item: Item, live: LiveElasticIp | None, world: World) -> bool:
    """Does the private address itself move to the wanted interface? EC2 takes its Elastic IP along."""
    want = item.want["association"]
    private_ip = want.get("private_ip")
    if live is None or private_ip is None or live.private_ip != private_ip:
        return False
    giver = givers(want["network_interface"], world).get(private_ip)
    return giver is not None and giver.id == live.network_interface_id


def _primary_of(interface: str, world: World) -> tuple[str | None, ...]:
    """What stands for the primary address: nothing at all, the spec's word for it, and the live one."""
    live = world.record(f"{_INTERFACES}.{interface}", LiveNetworkInterface)
    return (None, world.document.network_interfaces[interface].private_ip, live.private_ip if live else None)


@dataclass(frozen=True)
class _Target:
    """The private address that an Elastic IP shall stand for, and the Elastic IP that stands for it now.

    ``private_ip`` is None for the primary one.
    """

    interface: str
    private_ip: str | None
    slot: str
    live: LiveNetworkInterface | None
    holder: str | None


def _target(association: Mapping[str, Any], world: World) -> _Target:
    address = f"{_INTERFACES}.{association['network_interface']}"
    private_ip: str | None = association.get("private_ip")
    live = world.record(address, LiveNetworkInterface)
    if live is None:
        return _Target(address, private_ip, f"target:{address}:{private_ip}", None, None)
    place = (live.id, private_ip or live.private_ip)
    return _Target(address, private_ip, target_slot(*place), live, _holder(live, place, world))


def _holder(live: LiveNetworkInterface, place: tuple[str, str], world: World) -> str | None:
    """Who stands for a private address: two reads tell, and either may be a moment behind."""
    if place[1] in live.addresses:
        return live.addresses[place[1]]
    for record in world.owned.values():
        if not isinstance(record, LiveElasticIp) or record.association_id is None:
            continue
        if (record.network_interface_id, record.private_ip) == place:
            return record.id
    return None


def _associate(item: Item, live: LiveElasticIp | None, world: World) -> Step:
    target = _target(item.want["association"], world)
    moving = live if live is not None and live.association_id is not None else None
    displaced = target.holder if target.holder != (live.id if live else None) else None
    stays = left_open(SECTION, displaced, "association", world) if displaced else None
    private = {} if target.private_ip is None else {"PrivateIpAddress": target.private_ip}
    there = {assigned(target.interface)} if private else set()
    return Step(
        id=f"{item.address}/AssociateAddress",
        call="AssociateAddress",
        params={
            "AllocationId": world.id_of(item.address),
            "NetworkInterfaceId": world.id_of(target.interface),
            **private,
            "AllowReassociation": bool(moving or displaced),
        },
        address=item.address,
        impact=Impact.DISRUPTIVE if moving or displaced else Impact.SAFE,
        # A fresh address is there before the instance boots; one in use moves when its new place can answer.
        after=frozenset(there | ({attached(target.interface)} if moving else set())),
        brings=frozenset(() if moving else {addressed(target.interface)}),
        claims=frozenset({target.slot}),
        frees=frozenset({target_slot(moving.network_interface_id, moving.private_ip)} if moving else ()),
        displaces=displaced is not None,
        when=(*_still_held(moving), *_still_holding(target, displaced)),
        note=f"displaces {stays}" if stays else None,
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
    private_ip = target.private_ip or target.live.private_ip
    path = f"PrivateIpAddresses[?PrivateIpAddress=='{private_ip}'].Association.AllocationId | [0]"
    holds = ((path if target.private_ip else "Association.AllocationId", (displaced, None)),)
    return (Expect("DescribeNetworkInterfaces", target.live.id, has=holds, timeout=0),)
