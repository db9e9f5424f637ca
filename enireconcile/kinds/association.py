"""The association of an Elastic IP with a private address.

A move is one AssociateAddress. EC2 reassociates silently unless told not to (EC2: "Reassociation is automatic"),
so AllowReassociation is true only when the plan names the Elastic IP that it displaces, and only while that one is
still there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from enireconcile.errors import UnsupportedError
from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.disassociate import (
    disassociate,
    left_open,
    refuse_managed_holder,
)
from enireconcile.kinds.permissions import Call, keeps_or_removes
from enireconcile.kinds.slots import (
    target_slot,
)
from enireconcile.kinds.takeover import (
    active_holder,
    givers,
    taking,
)
from enireconcile.kinds.world import Id, World
from enireconcile.live.records import LiveElasticIp, LiveNetworkInterface
from enireconcile.model import Expect, Impact, Ref, Step

SECTION = "elastic_ips"
_INTERFACES = "network_interfaces"
_INTERFACE = "network_interface"


class Associations(Kind):
    """The ``association`` of rows of ``elastic_ips``."""

    section = SECTION
    attributes = (
        Attribute(
            "association",
            calls=("AssociateAddress", "DisassociateAddress"),
            events=("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
            ended_by="DisassociateAddress",
        ),
    )
    calls: ClassVar[Mapping[str, Call]] = {
        "AssociateAddress": Call(changes=("elastic-ip", "network-interface", "instance"), uses=("target",)),
        "DisassociateAddress": Call(
            keeps_or_removes(SECTION), changes=("elastic-ip", "network-interface"), uses=("target",)
        ),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        destination = world.destinations.get(name)
        if destination is None:
            # Only an ignored association may name a destination that does not exist; there is nothing to compare.
            return {} if world.document.elastic_ips[name].association is not None else {"association": None}
        return {"association": _normal(destination.interface, world.private_ip_of(destination), world)}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveElasticIp)
        if live is None:
            return None
        if live.association_id is None or live.network_interface_id is None:
            return {"association": None}
        return {"association": _normal(world.name_of(live.network_interface_id), live.private_ip, world)}

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """The interface that it is associated with."""
        want = item.want.get("association")
        return [f"{_INTERFACES}.{want['network_interface']}"] if want else ()

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """The interface in use that loses the Elastic IP. One that moves with its address is told with that."""
        live = world.record(item.address, LiveElasticIp)
        want = item.want.get("association")
        if not want or live is None or live.network_interface_id is None or not item.differs("association"):
            return ()
        holder = world.interface(world.name_of(live.network_interface_id))
        if holder is None or _rides_along(item, live, world) or holder is world.interface(want[_INTERFACE]):
            return ()
        active = active_holder(holder, want[_INTERFACE], world)
        return () if active is None else (taking(item.address, live.public_ip, active, "association"),)

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if not item.differs("association"):
            return []
        live = world.record(item.address, LiveElasticIp)
        if item.want["association"] is None:
            return [] if live is None else [disassociate(item.address, live, world)]
        return [] if _rides_along(item, live, world) else [_associate(item, live, world)]


def _normal(interface: str, private_ip: Id | None, world: World) -> dict[str, Id]:
    """One spelling for one private address: the primary one is left out."""
    live, row = world.interface(interface), world.document.network_interfaces.get(interface)
    primary = (None, row.private_ip if row else None, live.private_ip if live else None)
    return {"network_interface": interface} | (
        {} if private_ip is None or private_ip in primary else {"private_ip": private_ip}
    )


def _rides_along(item: Item, live: LiveElasticIp | None, world: World) -> bool:
    """Does the private address itself move to the wanted interface? Then EC2 moves its Elastic IP with it."""
    want = item.want["association"]
    private_ip = want.get("private_ip")
    if live is None or private_ip is None or live.private_ip != private_ip:
        return False
    giver = givers(want["network_interface"], world).get(private_ip)
    return giver is not None and giver.id == live.network_interface_id


class _Place(Struct, frozen=True):
    """The private address that an Elastic IP is to be associated with, and the Elastic IP that it has by then.

    ``address`` is the interface's address, in the same form for an interface outside the spec. ``private_ip`` is
    None for the primary address, and a Ref for one that EC2 is to choose. ``slots`` is empty for what does not
    exist yet. The slot and the Elastic IP of a private address that moves here are those at its
    former interface.
    """

    address: str
    id: Id
    private_ip: Id | None
    slots: frozenset[str]
    live: LiveNetworkInterface | None
    holder: str | None


def _place(association: Mapping[str, Any], world: World) -> _Place:
    named: str = association["network_interface"]
    private_ip: Id | None = association.get("private_ip")
    live = world.interface(named)
    ours = named in world.document.network_interfaces
    address = f"{_INTERFACES}.{named}"
    interface_id = world.id_of(address) if ours else named
    if isinstance(private_ip, Ref):
        return _Place(address, interface_id, private_ip, frozenset(), live, None)
    giver = givers(named, world).get(private_ip) if ours and private_ip is not None else None
    there = giver or live
    if there is None:
        return _Place(address, interface_id, private_ip, frozenset(), None, None)
    spot = (there.id, private_ip or there.private_ip)
    slots = frozenset({target_slot(*spot)})
    return _Place(address, interface_id, private_ip, slots, live, _holder(there, spot, world))


def _holder(live: LiveNetworkInterface, spot: tuple[str, str], world: World) -> str | None:
    """The Elastic IP of a private address. Two reads show it, and either of them may lag."""
    if spot[1] in live.addresses:
        return live.addresses[spot[1]]
    for record in world.owned.values():
        if not isinstance(record, LiveElasticIp) or record.association_id is None:
            continue
        if (record.network_interface_id, record.private_ip) == spot:
            return record.id
    return None


def _associate(item: Item, live: LiveElasticIp | None, world: World) -> Step:
    place = _place(item.want["association"], world)
    _refuse_lost_address(item.address, place, world)
    moving = live if live is not None and live.association_id is not None else None
    if moving is not None:
        refuse_managed_holder(item.address, moving, world)
    displaced = place.holder if place.holder != (live.id if live else None) else None
    private = {} if place.private_ip is None else {"PrivateIpAddress": place.private_ip}
    there = {Fact.SECONDARY_IPS_ASSIGNED.of(place.address)} if private else set()
    automatic = None if private or place.live is None else place.live.automatic_ip
    return Step(
        id=f"{item.address}/AssociateAddress",
        call="AssociateAddress",
        params={
            "AllocationId": world.id_of(item.address),
            "NetworkInterfaceId": place.id,
            **private,
            "AllowReassociation": bool(moving or displaced),
        },
        address=item.address,
        impact=Impact.DISRUPTIVE if moving or displaced or automatic else Impact.SAFE,
        # A new Elastic IP is associated before the instance boots, one in use once its interface is attached.
        after=frozenset(there | ({Fact.ATTACHED.of(place.address)} if moving else set())),
        brings=frozenset(() if moving else {Fact.ELASTIC_IP_ASSOCIATED.of(place.address)}),
        claims=place.slots,
        frees=frozenset({target_slot(moving.network_interface_id, moving.private_ip)} if moving else ()),
        displaces=displaced is not None,
        when=(*_still_held(moving), *_still_as_seen(place)),
        note=_note(displaced, automatic, world),
    )


def _refuse_lost_address(address: str, place: _Place, world: World) -> None:
    """Raises UnsupportedError for an address that EC2 chose for an interface which this plan replaces."""
    if not isinstance(place.private_ip, str) or place.slots:
        return
    row = world.rows[place.address]
    if place.private_ip not in getattr(row, "private_ips", ()):
        raise UnsupportedError(
            f"{address}: {place.address} is replaced, and the new interface will not have {place.private_ip}, "
            "which EC2 chose for the present one",
            hint=f"add it to the secondary_private_ips of {place.address}, or associate another address",
        )


def _note(displaced: str | None, automatic: str | None, world: World) -> str | None:
    """The Elastic IP that it displaces, unless that is one of the stack, which has its own steps."""
    if displaced is not None:
        stays = left_open(SECTION, displaced, "association", world)
        return f"displaces {stays}" if stays else None
    return (
        f"replaces the automatic public address {automatic}, which EC2 does not give back" if automatic else None
    )


def _still_held(moving: LiveElasticIp | None) -> tuple[Expect, ...]:
    """Compare and set: the Elastic IP is where the plan saw it, or by now associated with nothing."""
    if moving is None:
        return ()
    here = (("AssociationId", (moving.association_id, None)),)
    return (Expect("DescribeAddresses", moving.id, has=here, timeout=0),)


def _still_as_seen(place: _Place) -> tuple[Expect, ...]:
    """Compare and set: the private address has the Elastic IP that the plan saw there, or none.

    EC2 displaces any other one, whatever AllowReassociation says, which is about the Elastic IP that moves.
    """
    if isinstance(place.private_ip, Ref) or (place.live is None and place.holder is None):
        return ()
    path = f"PrivateIpAddresses[?PrivateIpAddress=='{place.private_ip}'].Association.AllocationId | [0]"
    seen = tuple(dict.fromkeys((place.holder, None)))
    holds = ((path if place.private_ip else "Association.AllocationId", seen),)
    return (Expect("DescribeNetworkInterfaces", place.id, has=holds, timeout=0),)
