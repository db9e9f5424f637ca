"""Network interfaces, without their attachment, which has a module of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from enireconcile.errors import UnsupportedError
from enireconcile.kinds import interface_addresses
from enireconcile.kinds.attributes import Attribute, Changes
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact, named_addresses_taken
from enireconcile.kinds.detach import (
    INTERFACES,
    detach,
    leaving_advice,
    vacated,
)
from enireconcile.kinds.disassociate import (
    dropped,
)
from enireconcile.kinds.permissions import (
    Call,
    Condition,
    Purpose,
    Read,
    as_values,
    checks,
    has,
    removes,
    sets,
)
from enireconcile.kinds.slots import (
    interface_slot,
    private_slot,
    target_slot,
)
from enireconcile.kinds.tags import (
    TAGS,
    born_with,
    known_tags,
    tag_steps,
    wanted_tags,
)
from enireconcile.kinds.takeover import (
    in_the_way,
    taken_over,
)
from enireconcile.kinds.world import Id, World, chosen
from enireconcile.live.records import LiveAttachment, LiveNetworkInterface, Record
from enireconcile.model import (
    Expect,
    Impact,
    Look,
    Ref,
    Step,
)
from enireconcile.ownership import (
    REPLACES_TAG,
    ownership_filters,
    tag_specifications,
)
from enireconcile.spec import without_selectors

SECTION = "network_interfaces"
TIMEOUTS = {
    "tcp_established_timeout": "TcpEstablishedTimeout",
    "udp_stream_timeout": "UdpStreamTimeout",
    "udp_timeout": "UdpTimeout",
}
"""The keys of ``connection_tracking``, with EC2's names."""
# The default for established TCP depends on the instance type, so it is unknown if EC2 does not return it.
_DEFAULT_TIMEOUTS = {"UdpStreamTimeout": 180, "UdpTimeout": 30}


_MODIFY = "ModifyNetworkInterfaceAttribute"
_AUTOMATIC = "associate_public_ip_address"


def _modified(name: str, *logged: str, also: tuple[str, ...] = (), default: Any = None) -> Attribute:
    """An attribute that ModifyNetworkInterfaceAttribute sets; ``logged`` are its names in CloudTrail."""
    return Attribute(
        name,
        calls=(_MODIFY,),
        events=("ResetNetworkInterfaceAttribute", *also),
        logged=frozenset(logged),
        default=default,
    )


def _exceeds_default_groups(purpose: Purpose) -> bool:
    """EC2's default quota is 5 groups for an interface; beyond that, the account's own has to be read."""
    return any(len(row.security_groups or ()) > 5 for row in purpose.rows(SECTION))


def _limits(purpose: Purpose) -> Condition:
    """The source/destination check is set to values of the spec only. EC2 has no such key for groups."""
    checks = as_values(row.source_dest_check for row in purpose.rows(SECTION))
    return {"StringEqualsIfExists": {sets("SourceDestCheck"): checks}} if len(checks) == 1 else {}


def _sets_automatic_addresses(purpose: Purpose) -> bool:
    return any(row.associate_public_ip_address is not None for row in purpose.rows(SECTION))


def _names_groups(purpose: Purpose) -> bool:
    return any(without_selectors(row.security_groups) for row in purpose.rows(SECTION))


_SHOWN = {"id": "NetworkInterfaceId", "private_ip": "PrivateIpAddress", "mac_address": "MacAddress"}
"""Attributes that other rows can refer to, by their paths in a described interface."""


class NetworkInterfaces(Kind):
    """Rows of ``network_interfaces``."""

    section = SECTION
    resource_type = "network-interface"
    attributes = (
        Attribute("subnet", Changes.AT_CREATION),
        _modified("security_groups", "groupSet", "groups", "securityGroupId", also=("ModifyInstanceAttribute",)),
        _modified("description", "description"),
        _modified("source_dest_check", "sourceDestCheck", also=("ModifyInstanceAttribute",), default=True),
        Attribute("interface_type", Changes.AT_CREATION, default="interface"),
        TAGS,
        Attribute("private_ip", Changes.AT_CREATION),
        _modified("connection_tracking", "connectionTrackingSpecification"),
        _modified(_AUTOMATIC, "associatePublicIpAddress"),
        _modified("primary_ipv6", "enablePrimaryIpv6"),
        *interface_addresses.ATTRIBUTES,
    )
    calls: ClassVar[Mapping[str, Call]] = {
        "CreateNetworkInterface": Call(
            has(SECTION),
            creates=("network-interface",),
            changes=("security-group",),
            uses=("subnet", "security-group"),
        ),
        _MODIFY: Call(
            changes=("network-interface", "security-group", "instance"),
            uses=("security-group",),
            limits=_limits,
        ),
        **{
            call: Call(changes=("network-interface",))
            for each in interface_addresses.ADDRESS_LISTS
            for call in (each.assign_call, each.unassign_call)
        },
        "DeleteNetworkInterface": Call(removes(SECTION), changes=("network-interface",)),
    }
    reads: ClassVar[Mapping[str, Read]] = {
        "DescribeNetworkInterfaces": Read(),
        "DescribeNetworkInterfaceAttribute": Read(_sets_automatic_addresses),
        "DescribeSubnets": Read(has(SECTION)),
        "DescribeInstanceTypes": Read(has(SECTION)),
        "DescribeAccountAttributes": Read(_exceeds_default_groups),
        "DescribeInternetGateways": Read(checks),
        "DescribeNetworkAcls": Read(checks),
        "DescribeRouteTables": Read(lambda purpose: purpose.removes(SECTION) or checks(purpose)),
        "DescribeSecurityGroupVpcAssociations": Read(_names_groups),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.network_interfaces[name]
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        want: dict[str, Any] = {
            "subnet": chosen(row.subnet, world.subnets[name], world.subnets_by_id),
            "security_groups": sorted({world.name_of(group) for group in _groups_of(name, live, world)}),
            "description": row.description,
            "source_dest_check": row.source_dest_check,
            "interface_type": row.interface_type,
            "tags": wanted_tags(f"{SECTION}.{name}", row.tags, world),
        }
        if row.private_ip is not None:
            want["private_ip"] = row.private_ip
        if row.connection_tracking is not None:
            want["connection_tracking"] = row.connection_tracking.written
        if row.associate_public_ip_address is not None:
            want[_AUTOMATIC] = row.associate_public_ip_address
        if row.primary_ipv6 is not None:
            want["primary_ipv6"] = row.primary_ipv6
        return want | interface_addresses.wanted(name, row, live, world)

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        if live is None:
            return None
        return {
            "subnet": live.subnet_id,
            "security_groups": sorted(world.name_of(group) for group in live.groups),
            "description": live.description,
            "source_dest_check": live.source_dest_check,
            "interface_type": live.interface_type,
            "tags": known_tags(live.tags, want),
            "private_ip": live.private_ip,
            "connection_tracking": _known_timeouts(live, want.get("connection_tracking", ())),
            "primary_ipv6": live.primary_ipv6 is not None,
            _AUTOMATIC: _has_automatic_address(name, live, want, world),
            **interface_addresses.found(live, world),
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if item.have is None:
            create = self._create(item, world)
            steps = [create]
            # CreateNetworkInterface has no parameter for it.
            if not item.want["source_dest_check"]:
                steps.append(_modify(item, world, "SourceDestCheck", {"Value": False}, Impact.SAFE))
            if item.want.get(_AUTOMATIC) and not _elastic_ip_comes(item.name, None, world):
                steps.append(_assign_automatic_address(item, world))
            if item.want.get("primary_ipv6") and "EnablePrimaryIpv6" not in create.params:
                steps.append(_enable_primary_ipv6(item, world))
            return [*steps, *interface_addresses.creation_steps(item, world), *tag_steps(item, world)]
        return [*self._updates(item, world), *interface_addresses.change(item, world), *tag_steps(item, world)]

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """Its groups."""
        return [f"security_groups.{name}" for name in item.want.get("security_groups", ())]

    def fixed(self, item: Item, world: World) -> tuple[str, ...]:
        """A primary address never becomes a secondary one."""
        return (
            *super().fixed(item, world),
            *(("secondary_private_ips",) if interface_addresses.stuck(item, world) else ()),
        )

    def replaces(self, item: Item, world: World) -> bool:
        return True

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        words = interface_addresses.primary_ip_conflict_warning(item, world)
        return [
            *([words] if words else ()),
            *interface_addresses.takeover_warnings(item, world),
            *_automatic_address_warnings(item, world),
        ]

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveNetworkInterface):
            return ()
        early = in_the_way(live, world)
        # Not before the new interface exists: if its creation fails, this one stays attached.
        made = frozenset(() if early else {Fact.CONFIGURED.of(address)})
        attachment = live.attachment
        steps: list[Step] = []
        leaving = attachment is None or attachment.status == "detaching"
        if attachment is not None and not leaving and not world.is_ending(attachment.instance_id):
            self._refuse_to_replace_primary(address, live, attachment, world)
            leaves = detach(address, live, attachment, world)
            steps.append(replace(leaves, after=leaves.after | made))
        moving_on = taken_over(live, world)
        # Elastic IPs and addresses that the stack keeps move first: EC2 would drop them. If the new interface can
        # only be created afterwards, there is no interface yet to which they can move.
        targets = set() if early else {target_slot(live.id, private) for private in live.addresses}
        return [
            *steps,
            Step(
                id=f"{address}/DeleteNetworkInterface/{live.id}",
                call="DeleteNetworkInterface",
                params={"NetworkInterfaceId": live.id},
                address=address,
                impact=Impact.DESTRUCTIVE,
                after=frozenset({Fact.ADDRESSES_HANDED_OVER.of(live.id)}) | made,
                claims=frozenset({interface_slot(address), *targets}),
                frees=frozenset(
                    private_slot(live.subnet_id, each)
                    for each in (live.private_ip, *live.further)
                    if each not in moving_on
                ),
                brings=frozenset({Fact.DELETED.of(address)}),
                when=(
                    ()
                    if live.status == "available"
                    else (vacated(live.id, advice=leaving_advice(attachment, world)),)
                ),
                until=Expect(INTERFACES, live.id, gone=True, timeout=300),
                note=dropped(live, live.addresses, world),
            ),
        ]

    def _create(self, item: Item, world: World) -> Step:
        want = item.want
        tags = born_with(want["tags"]) | _replacing(item, world)
        params: dict[str, Any] = {
            "SubnetId": want["subnet"],
            "Groups": _group_ids(want["security_groups"], world),
            "TagSpecifications": tag_specifications(self.resource_type, tags),
        }
        if want["description"]:
            params["Description"] = want["description"]
        if want["interface_type"] != "interface":
            params["InterfaceType"] = want["interface_type"]
        if "connection_tracking" in want:
            params["ConnectionTrackingSpecification"] = _timeout_params(want["connection_tracking"])
        params |= interface_addresses.creation_params(item, world)
        if want.get("primary_ipv6") and interface_addresses.gets_ipv6(params, world):
            params["EnablePrimaryIpv6"] = True
        named = "private_ip" in want
        there = named_addresses_taken(want["subnet"], late=interface_addresses.leaves_some_to_ec2(item, world))
        # An unanswered create is looked for: then a describe call must tell what the answer would have told.
        shown = world.made_with(item.address, _SHOWN) | interface_addresses.chosen_at_creation(item, world)
        return Step(
            id=f"{item.address}/CreateNetworkInterface",
            call="CreateNetworkInterface",
            params=params,
            address=item.address,
            claims=frozenset(private_slot(want["subnet"], each) for each in interface_addresses.named_in(params)),
            brings=frozenset({Fact.CONFIGURED.of(item.address), *({there} if named else ())}),
            rather=frozenset(interface_addresses.named_first(item, world)),
            yields={ref: f"NetworkInterface.{path}" for ref, path in shown.items()},
            # Another host may have created it with the same token, and attached it meanwhile.
            until=Expect(INTERFACES, Ref(item.address), has=(("Status", ("available", "in-use")),), timeout=300),
            token=True,
            look=Look(
                describe=INTERFACES,
                filters=[
                    *ownership_filters(world.document.stack, item.address),
                    *({"Name": f"tag:{key}", "Values": [value]} for key, value in _replacing(item, world).items()),
                ],
                yields=shown,
            ),
            proof=interface_addresses.proof(params),
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
            # The check drops what a router forwards. Without it nothing is dropped.
            impact = Impact.DISRUPTIVE if checking else Impact.SAFE
            steps.append(_modify(item, world, "SourceDestCheck", {"Value": checking}, impact))
        if item.differs("connection_tracking"):
            live = world.record(item.address, LiveNetworkInterface)
            # EC2 does not document what happens to timeouts that a call leaves out, so none is left out.
            timeouts = {**(live.timeouts if live else {}), **_timeout_params(want["connection_tracking"])}
            steps.append(_modify(item, world, "ConnectionTrackingSpecification", timeouts, Impact.SAFE))
        if item.differs("primary_ipv6"):
            steps.append(_enable_primary_ipv6(item, world))
        if item.differs(_AUTOMATIC):
            steps.append(_assign_automatic_address(item, world))
        return steps

    def _refuse_to_replace_primary(
        self, address: str, live: LiveNetworkInterface, attachment: LiveAttachment, world: World
    ) -> None:
        primary = (attachment.network_card_index, attachment.device_index) == (0, 0)
        if not primary or live not in world.replaced.get(address, ()):
            return
        former = replace(world, owned={**world.owned, address: live})
        name = address.partition(".")[2]
        want = self.want(name, former)
        have = self.have(name, former, want) or {}
        fixed = self.fixed(Item(address, want, have, ()), former)
        differing = [
            key for key in fixed if key in want and want[key] != have[key] and not former.leaves(address, key)
        ]
        told = [f"{key} is {have[key]}, the spec says {want[key]}; " for key in differing]
        raise UnsupportedError(
            f"{address}: {''.join(told)}{live.id} has to be replaced, but it is the primary interface of "
            f"{attachment.instance_id}, which EC2 cannot detach",
            hint="revert the change, or set on_change: replace for the instance to launch a new one",
            attribute=differing[0] if differing else None,
        )


def _groups_of(name: str, live: LiveNetworkInterface | None, world: World) -> Collection[str]:
    """Names or ids of the groups that an interface is to have; none if the spec leaves them as they are."""
    row = world.document.network_interfaces[name]
    if row.security_groups is None and world.leaves(f"{SECTION}.{name}", "security_groups"):
        return ()
    written = without_selectors(row.security_groups) or (world.default_groups[world.subnets[name]],)
    if live is None or not world.adds_to(f"{SECTION}.{name}", "security_groups"):
        return written
    return {*written, *live.groups}


def _modify(item: Item, world: World, attribute: str, value: Any, impact: Impact) -> Step:
    """ModifyNetworkInterfaceAttribute takes exactly one attribute a call."""
    return Step(
        id=f"{item.address}/{_MODIFY}/{attribute}",
        call=_MODIFY,
        params={"NetworkInterfaceId": world.id_of(item.address), attribute: value},
        address=item.address,
        impact=impact,
        brings=frozenset({Fact.CONFIGURED.of(item.address)}),
    )


def _enable_primary_ipv6(item: Item, world: World) -> Step:
    """The call that makes an IPv6 address the primary one, once the interface has one.

    An attachment does not wait for it: the address may come from a former interface, and only afterwards.
    """
    step = _modify(item, world, "EnablePrimaryIpv6", True, Impact.SAFE)
    return replace(step, after=frozenset({Fact.IPV6_ADDRESSES_ASSIGNED.of(item.address)}), brings=frozenset())


# ---- automatic public addresses


def _elastic_ip_comes(name: str, live: LiveNetworkInterface | None, world: World) -> bool:
    """Does the spec associate an Elastic IP with the primary address? It takes the automatic address's place."""
    row = world.document.network_interfaces[name]
    primary = (None, row.private_ip, live.private_ip if live else None)
    return any(each.private_ip in primary for each in world.destinations_on.get(name, ()))


def _elastic_ip_stays(live: LiveNetworkInterface, world: World) -> bool:
    """Does the primary address keep an Elastic IP that the spec associates with nothing else?"""
    allocation = live.addresses.get(live.private_ip)
    if allocation is None or any(record.id == allocation for _, record in world.leaving):
        return False
    address = world.addresses.get(allocation)
    return address is None or world.leaves(address, "association")


def _has_automatic_address(
    name: str, live: LiveNetworkInterface, want: Mapping[str, Any], world: World
) -> bool | None:
    """Whether EC2 assigns an automatic public address; what the spec says where an Elastic IP takes its place."""
    if _elastic_ip_comes(name, live, world) or _elastic_ip_stays(live, world):
        return want.get(_AUTOMATIC)
    return live.automatic_ip is not None or bool(live.associates_public_ip)


def _assign_automatic_address(item: Item, world: World) -> Step:
    """The call that turns it on or off. EC2 takes it only once the interface is attached.

    Raises UnsupportedError for an adopted interface that is no primary one and whose row has no attachment.
    """
    assigned = item.want[_AUTOMATIC]
    live = world.record(item.address, LiveNetworkInterface)
    place = live.attachment if live else None
    primary = place is not None and (place.network_card_index, place.device_index) == (0, 0)
    if item.name not in world.placements and not primary:
        raise UnsupportedError(
            f"{item.address}: {_AUTOMATIC}: only the primary interface of an instance can have an automatic "
            "public address",
            hint=f"remove {_AUTOMATIC}, or associate an Elastic IP with the interface",
        )
    step = _modify(
        item, world, "AssociatePublicIpAddress", assigned, Impact.SAFE if assigned else Impact.DISRUPTIVE
    )
    return replace(step, after=frozenset({Fact.ATTACHED.of(item.address)}), brings=frozenset())


def _automatic_address_warnings(item: Item, world: World) -> Iterator[str]:
    """An automatic public address goes with a stop. EC2 assigns new ones to instances with one interface only."""
    row, live = world.document.network_interfaces[item.name], world.record(item.address, LiveNetworkInterface)
    has_one = row.associate_public_ip_address or (live is not None and live.automatic_ip is not None)
    if not has_one or _elastic_ip_comes(item.name, live, world):
        return
    place = live.attachment if live is not None else None
    if live is not None and live.automatic_ip is not None and place is not None:
        host = world.name_of(place.instance_id)
        if f"instances.{host}" in world.stopping or world.is_ending(place.instance_id):
            yield (
                f"{item.address}: its automatic public address {live.automatic_ip} goes when {host} stops, and "
                "EC2 never gives it back; associate an Elastic IP to keep one address"
            )
    if row.associate_public_ip_address and row.attachment:
        hosts = row.attachment.candidates
        others = {each for host in hosts for each in world.attached_to[host]} - {item.name}
        if others:
            yield (
                f"{item.address}: EC2 assigns no new automatic public address to an instance with several "
                f"interfaces ({hosts[0]} also has {', '.join(sorted(others))}), so it has none after a stop and "
                "start; associate an Elastic IP"
            )


def _group_ids(groups: Sequence[str], world: World) -> list[Id]:
    return [group if group.startswith("sg-") else world.id_of(f"security_groups.{group}") for group in groups]


def _replacing(item: Item, world: World) -> dict[str, str]:
    """The tag that names the interface which a new one replaces."""
    former = world.replaced.get(item.address)
    return {REPLACES_TAG: former[-1].id} if former else {}


def _timeout_params(timeouts: Mapping[str, int]) -> dict[str, int]:
    return {TIMEOUTS[name]: value for name, value in timeouts.items()}


def _known_timeouts(live: LiveNetworkInterface, names: Iterable[str]) -> dict[str, int | None]:
    """The live values of the timeouts that the spec names."""
    known = {**_DEFAULT_TIMEOUTS, **live.timeouts}
    return {name: known.get(TIMEOUTS[name]) for name in names}
