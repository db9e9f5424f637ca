"""Network interfaces, without their attachment (which is a relation with a module of its own)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from enireconcile.errors import UnsupportedError
from enireconcile.kinds.base import Id, Item, Kind, Record, World
from enireconcile.kinds.parts import (
    INTERFACES,
    assigned,
    attached,
    detach,
    dropped,
    givers,
    gone,
    in_the_way,
    interface_slot,
    known_tags,
    left_open,
    private_slot,
    relieved,
    settled,
    tag_specifications,
    tag_steps,
    taken,
    taken_over,
    target_slot,
    vacated,
    wanted_tags,
)
from enireconcile.model import REPLACES_TAG, Expect, Impact, Ref, Step
from enireconcile.records import LiveAttachment, LiveNetworkInterface

SECTION = "network_interfaces"
_FURTHER = "secondary_private_ips"


class NetworkInterfaces(Kind):
    """Rows of ``network_interfaces``."""

    section = SECTION
    immutable = ("subnet", "private_ip")
    replaceable = True

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.network_interfaces[name]
        want: dict[str, Any] = {
            "subnet": world.subnets[name],
            "security_groups": sorted(world.name_of(group) for group in _groups_of(name, world)),
            "description": row.description,
            "source_dest_check": row.source_dest_check,
            "tags": wanted_tags(f"{SECTION}.{name}", row.tags, world),
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
            return steps + _assign(item, _after_birth(item, world), world)
        return [*self._updates(item, world), *tag_steps(item, world)]

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """Its groups."""
        groups = world.document.security_groups
        return [f"security_groups.{name}" for name in item.want.get("security_groups", ()) if name in groups]

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveNetworkInterface):
            return ()
        place = live.attachment
        steps: list[Step] = []
        leaving = place is None or place.status == "detaching"
        if place is not None and not leaving and not world.is_ending(place.instance_id):
            _refuse_to_replace_primary(address, live, place, world)
            # Not before its successor is there, or it would have been taken off for nothing.
            made = frozenset(() if in_the_way(live, world) else {settled(address)})
            leaves = detach(address, live.id, place)
            steps.append(replace(leaves, after=leaves.after | made))
        early, moving_on = in_the_way(live, world), taken_over(live, world)
        # Elastic IPs and addresses that stay with us leave it first; EC2 would only drop them. Where the successor
        # can only be made once it is gone, they have nowhere to go until then.
        targets = set() if early else {target_slot(live.id, private) for private in live.addresses}
        return [
            *steps,
            Step(
                id=f"{address}/DeleteNetworkInterface/{live.id}",
                call="DeleteNetworkInterface",
                params={"NetworkInterfaceId": live.id},
                address=address,
                impact=Impact.DESTRUCTIVE,
                after=frozenset({relieved(live.id)}),
                claims=frozenset({interface_slot(address), *targets}),
                frees=frozenset(
                    private_slot(live.subnet_id, each) for each in live.private_ips if each not in moving_on
                ),
                brings=frozenset({gone(address)}),
                when=() if live.status == "available" else (vacated(live.id),),
                until=Expect(INTERFACES, live.id, gone=True, timeout=300),
                note=dropped(live, live.addresses, world),
            ),
        ]

    def _create(self, item: Item, world: World) -> Step:
        want = item.want
        params: dict[str, Any] = {
            "SubnetId": want["subnet"],
            "Groups": _group_ids(want["security_groups"], world),
            "TagSpecifications": tag_specifications("network-interface", want["tags"] | _replacing(item, world)),
        }
        if want["description"]:
            params["Description"] = want["description"]
        params |= _birth_addresses(want, givers(item.name, world))
        named = "private_ip" in want
        there = taken(want["subnet"], late=_leaves_some_to_ec2(want))
        return Step(
            id=f"{item.address}/CreateNetworkInterface",
            call="CreateNetworkInterface",
            params=params,
            address=item.address,
            claims=frozenset(private_slot(want["subnet"], each) for each in _named_addresses(params)),
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
            steps += _unassign(item, sorted(before - after - _moving_on(item, world)), world)
        if item.differs("secondary_private_ip_count"):
            steps += _count(item, world)
        return steps


def _groups_of(name: str, world: World) -> Sequence[str]:
    """Names or ids of the groups that the spec gives an interface; of none if it leaves those that it has."""
    row = world.document.network_interfaces[name]
    if row.security_groups is None and world.leaves(f"{SECTION}.{name}", "security_groups"):
        return ()
    return row.security_groups or (world.default_groups[world.subnets[name]],)


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


def _replacing(item: Item, world: World) -> dict[str, str]:
    """The tag that tells, from birth, in whose place an interface is made."""
    former = world.replaced.get(item.address)
    return {REPLACES_TAG: former[-1].id} if former else {}


def _refuse_to_replace_primary(
    address: str, live: LiveNetworkInterface, place: LiveAttachment, world: World
) -> None:
    if live in world.replaced.get(address, ()) and (place.network_card_index, place.device_index) == (0, 0):
        raise UnsupportedError(
            f"{address}: {live.id} cannot become what the spec says, and cannot be replaced as long as "
            f"{place.instance_id} lives: it is its primary interface, which EC2 never detaches",
            hint="put the spec back, or write on_change: replace for the instance, to launch it anew",
        )


def _after_birth(item: Item, world: World) -> list[str]:
    """Addresses that CreateNetworkInterface cannot bring along."""
    if "private_ip" not in item.want:
        return list(item.want.get("secondary_private_ips", ()))
    return sorted(givers(item.name, world))


def _named_addresses(params: Mapping[str, Any]) -> list[str]:
    """The private addresses that CreateNetworkInterface names."""
    listed = [entry["PrivateIpAddress"] for entry in params.get("PrivateIpAddresses", ())]
    return [params["PrivateIpAddress"]] if "PrivateIpAddress" in params else listed


def _birth_addresses(want: Mapping[str, Any], later: Collection[str]) -> dict[str, Any]:
    """Addresses in CreateNetworkInterface, but those that come ``later``.

    It takes a list only whole, the primary address included.
    """
    if "private_ip" not in want:
        count = want.get("secondary_private_ip_count")
        return {"SecondaryPrivateIpAddressCount": count} if count else {}
    if now := [address for address in want.get("secondary_private_ips", ()) if address not in later]:
        primary = {"PrivateIpAddress": want["private_ip"], "Primary": True}
        others = [{"PrivateIpAddress": address, "Primary": False} for address in now]
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
    moving = {live.id: live for address, live in givers(item.name, world).items() if address in addresses}
    left = [each for live in moving.values() if (each := left_open(SECTION, live.id, _FURTHER, world))]
    # What comes over from the one that this one replaces comes when the new one can answer.
    late = any(live in world.replaced.get(item.address, ()) for live in moving.values())
    subnet = world.subnets[item.name]
    there = taken(subnet, late=item.have is None)
    return [
        Step(
            id=f"{item.address}/AssignPrivateIpAddresses",
            call="AssignPrivateIpAddresses",
            params={
                "NetworkInterfaceId": world.id_of(item.address),
                "PrivateIpAddresses": list(addresses),
                "AllowReassignment": bool(moving),
            },
            address=item.address,
            impact=Impact.DISRUPTIVE if moving else Impact.SAFE,
            after=frozenset({attached(item.address)} if late else ()),
            claims=frozenset(private_slot(subnet, address) for address in addresses),
            brings=frozenset({assigned(item.address), *map(relieved, moving)})
            | (frozenset() if late else {settled(item.address), there}),
            note=f"takes from {' and '.join(left)}" if left else None,
        )
    ]


def _moving_on(item: Item, world: World) -> set[str]:
    """Addresses of this interface that another one takes over: they leave by its call."""
    live = world.record(item.address, LiveNetworkInterface)
    return set(taken_over(live, world)) if live else set()


def _unassign(item: Item, addresses: Sequence[str], world: World) -> list[Step]:
    if not addresses:
        return []
    interface_id, subnet = world.id_of(item.address), world.subnets[item.name]
    live = world.record(item.address, LiveNetworkInterface)
    return [
        Step(
            id=f"{item.address}/UnassignPrivateIpAddresses",
            call="UnassignPrivateIpAddresses",
            params={"NetworkInterfaceId": interface_id, "PrivateIpAddresses": list(addresses)},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            # Elastic IPs that move elsewhere leave first; EC2 would drop them.
            claims=frozenset(target_slot(str(interface_id), address) for address in addresses),
            frees=frozenset(private_slot(subnet, address) for address in addresses),
            brings=frozenset({settled(item.address)}),
            note=dropped(live, addresses, world) if live else None,
        )
    ]


def _count(item: Item, world: World) -> list[Step]:
    """Up or down to a number of addresses; those with an Elastic IP are the last to go."""
    live = world.record(item.address, LiveNetworkInterface)
    if live is None:
        return []
    subnet = world.subnets[item.name]
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
            rather=frozenset({taken(subnet), taken(subnet, late=True)}),
            once=True,
        )
    ]
