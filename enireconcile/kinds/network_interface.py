"""Network interfaces, without their attachment (which is a relation with a module of its own)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enireconcile.kinds.base import Id, Item, Kind, World
from enireconcile.kinds.parts import (
    INTERFACES,
    assigned,
    detach,
    gone,
    interface_slot,
    known_tags,
    settled,
    tag_specifications,
    tag_steps,
    taken,
    target_slot,
    vacated,
    wanted_tags,
)
from enireconcile.model import Expect, Impact, Ref, Step
from enireconcile.records import LiveNetworkInterface

SECTION = "network_interfaces"


class NetworkInterfaces(Kind):
    """Rows of ``network_interfaces``."""

    section = SECTION
    immutable = ("subnet", "private_ip")

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.network_interfaces[name]
        subnet = world.subnets[name]
        groups = row.security_groups or (world.default_groups[subnet],)
        want: dict[str, Any] = {
            "subnet": subnet,
            "security_groups": sorted(world.name_of(group) for group in groups),
            "description": row.description,
            "source_dest_check": row.source_dest_check,
            "tags": wanted_tags(f"{SECTION}.{name}", row.tags, world.document),
        }
        if row.private_ip is not None:
            want["private_ip"] = row.private_ip
        if row.secondary_private_ips is not None:
            want["secondary_private_ips"] = sorted(row.secondary_private_ips)
        if row.secondary_private_ip_count is not None:
            want["secondary_private_ip_count"] = row.secondary_private_ip_count
        return want

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        if live is None:
            return None
        return {
            "subnet": live.subnet_id,
            "security_groups": sorted(world.name_of(group) for group in live.groups),
            "description": live.description,
            "source_dest_check": live.source_dest_check,
            "tags": known_tags(live.tags, want),
            "private_ip": live.private_ip,
            "secondary_private_ips": list(live.secondary_ips),
            "secondary_private_ip_count": len(live.secondary_ips),
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if item.have is None:
            steps = [self._create(item, world)]
            # CreateNetworkInterface has no parameter for it.
            if not item.want["source_dest_check"]:
                steps.append(_modify(item, world, "SourceDestCheck", {"Value": False}, Impact.SAFE))
            wanted = item.want.get("secondary_private_ips", ())
            return steps if "private_ip" in item.want else steps + _assign(item, wanted, world)
        return [*self._updates(item, world), *tag_steps(item, world)]

    def remove(self, address: str, world: World) -> Sequence[Step]:
        live = world.removed[address]
        if not isinstance(live, LiveNetworkInterface):
            return ()
        place = live.attachment
        steps: list[Step] = []
        leaving = place is None or place.status == "detaching"
        if place is not None and not leaving and not world.is_ending(place.instance_id):
            steps.append(detach(address, live.id, place))
        return [
            *steps,
            Step(
                id=f"{address}/DeleteNetworkInterface",
                call="DeleteNetworkInterface",
                params={"NetworkInterfaceId": live.id},
                address=address,
                impact=Impact.DESTRUCTIVE,
                # Elastic IPs that stay with us leave it first; EC2 would only drop them.
                claims=frozenset(
                    {interface_slot(address), *(target_slot(live.id, private) for private in live.addresses)}
                ),
                brings=frozenset({gone(address)}),
                when=() if live.status == "available" else (vacated(live.id),),
                until=Expect(INTERFACES, live.id, gone=True, timeout=300),
            ),
        ]

    def _create(self, item: Item, world: World) -> Step:
        want = item.want
        params: dict[str, Any] = {
            "SubnetId": want["subnet"],
            "Groups": _group_ids(want["security_groups"], world),
            "TagSpecifications": tag_specifications("network-interface", want["tags"]),
        }
        if want["description"]:
            params["Description"] = want["description"]
        params |= _birth_addresses(want)
        named = "private_ip" in want
        there = taken(want["subnet"], late=_leaves_some_to_ec2(want))
        return Step(
            id=f"{item.address}/CreateNetworkInterface",
            call="CreateNetworkInterface",
            params=params,
            address=item.address,
            brings=frozenset({settled(item.address), *({there} if named else ())}),
            rather=frozenset(_named_first(want)),
            yields={Ref(item.address): "NetworkInterface.NetworkInterfaceId"},
            # Another host may have made it with the same token, and attached it meanwhile.
            until=Expect(INTERFACES, Ref(item.address), has=(("Status", ("available", "in-use")),), timeout=300),
            token=True,
        )

    def _updates(self, item: Item, world: World) -> list[Step]:
        have, want = item.have or {}, item.want
        steps = []
        if item.differs("security_groups"):
            removed = set(have["security_groups"]) - set(want["security_groups"])
            impact = Impact.DISRUPTIVE if removed else Impact.SAFE
            groups = _group_ids(want["security_groups"], world)
            steps.append(_modify(item, world, "Groups", groups, impact))
        if item.differs("description"):
            steps.append(_modify(item, world, "Description", {"Value": want["description"]}, Impact.SAFE))
        if item.differs("source_dest_check"):
            checking = want["source_dest_check"]
            # Checking drops what a router forwards; no longer checking drops nothing.
            impact = Impact.DISRUPTIVE if checking else Impact.SAFE
            steps.append(_modify(item, world, "SourceDestCheck", {"Value": checking}, impact))
        if item.differs("secondary_private_ips"):
            before, after = set(have["secondary_private_ips"]), set(want["secondary_private_ips"])
            steps += _assign(item, sorted(after - before), world)
            steps += _unassign(item, sorted(before - after - _floating(item, world)), world)
        if item.differs("secondary_private_ip_count"):
            steps += _count(item, world)
        return steps


def _modify(item: Item, world: World, attribute: str, value: Any, impact: Impact) -> Step:
    """ModifyNetworkInterfaceAttribute takes exactly one attribute a call."""
    return Step(
        id=f"{item.address}/ModifyNetworkInterfaceAttribute/{attribute}",
        call="ModifyNetworkInterfaceAttribute",
        params={"NetworkInterfaceId": world.id_of(item.address), attribute: value},
        address=item.address,
        impact=impact,
        brings=frozenset({settled(item.address)}),
    )


def _group_ids(groups: Sequence[str], world: World) -> list[Id]:
    return [group if group.startswith("sg-") else world.id_of(f"security_groups.{group}") for group in groups]


def _birth_addresses(want: Mapping[str, Any]) -> dict[str, Any]:
    """Addresses in CreateNetworkInterface. It takes a list only whole, the primary address included."""
    if "private_ip" not in want:
        count = want.get("secondary_private_ip_count")
        return {"SecondaryPrivateIpAddressCount": count} if count else {}
    if want.get("secondary_private_ips"):
        primary = {"PrivateIpAddress": want["private_ip"], "Primary": True}
        others = [{"PrivateIpAddress": ip, "Primary": False} for ip in want["secondary_private_ips"]]
        return {"PrivateIpAddresses": [primary, *others]}
    count = want.get("secondary_private_ip_count")
    more = {"SecondaryPrivateIpAddressCount": count} if count else {}
    return {"PrivateIpAddress": want["private_ip"], **more}


def _leaves_some_to_ec2(want: Mapping[str, Any]) -> bool:
    return "private_ip" not in want or bool(want.get("secondary_private_ip_count"))


def _named_first(want: Mapping[str, Any]) -> set[str]:
    """What a call that lets EC2 choose addresses had better wait for, lest EC2 choose one that the spec names."""
    if not _leaves_some_to_ec2(want):
        return set()
    early, late = taken(want["subnet"]), taken(want["subnet"], late=True)
    names_some = "private_ip" in want or want.get("secondary_private_ips")
    return {early} if names_some else {early, late}


def _assign(item: Item, addresses: Sequence[str], world: World) -> list[Step]:
    """Take addresses, all in one call; one that another interface of ours gives up moves with its Elastic IP."""
    if not addresses:
        return []
    moving = any(_wanted_elsewhere_before(address, item, world) for address in addresses)
    there = taken(item.want["subnet"], late=item.have is None)
    return [
        Step(
            id=f"{item.address}/AssignPrivateIpAddresses",
            call="AssignPrivateIpAddresses",
            params={
                "NetworkInterfaceId": world.id_of(item.address),
                "PrivateIpAddresses": list(addresses),
                "AllowReassignment": moving,
            },
            address=item.address,
            impact=Impact.DISRUPTIVE if moving else Impact.SAFE,
            brings=frozenset({settled(item.address), assigned(item.address), there}),
        )
    ]


def _wanted_elsewhere_before(address: str, item: Item, world: World) -> bool:
    """Does another interface of the spec hold the address now, in the same subnet, without wanting it?"""
    return any(
        address in live.secondary_ips
        for name in world.document.network_interfaces
        if name != item.name
        and (live := world.record(f"{SECTION}.{name}", LiveNetworkInterface)) is not None
        and live.subnet_id == item.want["subnet"]
    )


def _floating(item: Item, world: World) -> set[str]:
    """Addresses of this interface that another one takes over: they leave by its call."""
    return {
        address
        for name, row in world.document.network_interfaces.items()
        if name != item.name and world.subnets[name] == item.want["subnet"]
        for address in row.secondary_private_ips or ()
    }


def _unassign(item: Item, addresses: Sequence[str], world: World) -> list[Step]:
    if not addresses:
        return []
    interface_id = world.id_of(item.address)
    return [
        Step(
            id=f"{item.address}/UnassignPrivateIpAddresses",
            call="UnassignPrivateIpAddresses",
            params={"NetworkInterfaceId": interface_id, "PrivateIpAddresses": list(addresses)},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            # Elastic IPs that move elsewhere leave first; EC2 would drop them.
            claims=frozenset(target_slot(str(interface_id), address) for address in addresses),
            brings=frozenset({settled(item.address)}),
        )
    ]


def _count(item: Item, world: World) -> list[Step]:
    """Up or down to a number of addresses; those with an Elastic IP are the last to go."""
    live = world.record(item.address, LiveNetworkInterface)
    if live is None:
        return []
    missing = item.want["secondary_private_ip_count"] - len(live.secondary_ips)
    if missing < 0:
        expendable = sorted(live.secondary_ips, key=lambda address: (address in live.addresses, address))
        return _unassign(item, expendable[:-missing], world)
    return [
        Step(
            id=f"{item.address}/AssignPrivateIpAddresses",
            call="AssignPrivateIpAddresses",
            params={"NetworkInterfaceId": live.id, "SecondaryPrivateIpAddressCount": missing},
            address=item.address,
            brings=frozenset({settled(item.address)}),
            rather=frozenset({taken(item.want["subnet"]), taken(item.want["subnet"], late=True)}),
            once=True,
        )
    ]
