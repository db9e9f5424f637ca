"""Network interfaces, without their attachment (which is a relation with a module of its own)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enireconcile.kinds.base import Id, Item, Kind, World
from enireconcile.kinds.parts import (
    INTERFACES,
    detach,
    gone,
    interface_slot,
    known_tags,
    settled,
    tag_specifications,
    tag_steps,
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
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if item.have is None:
            steps = [self._create(item, world)]
            # CreateNetworkInterface has no parameter for it.
            if not item.want["source_dest_check"]:
                steps.append(_modify(item, world, "SourceDestCheck", {"Value": False}, Impact.SAFE))
            return steps
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
        if "private_ip" in want:
            params["PrivateIpAddress"] = want["private_ip"]
        return Step(
            id=f"{item.address}/CreateNetworkInterface",
            call="CreateNetworkInterface",
            params=params,
            address=item.address,
            brings=frozenset({settled(item.address)}),
            yields={Ref(item.address): "NetworkInterface.NetworkInterfaceId"},
            until=Expect(INTERFACES, Ref(item.address), has=(("Status", ("available",)),), timeout=300),
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
