"""Security groups and their rules.

A rule is identified by direction, protocol, ports and its one source (EC2: "One rule = exactly one source"); its
description is an attribute, not part of the identity. Rules are added before others are taken away, one
Authorize and one Revoke a direction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from enireconcile.kinds.attributes import LOGICAL_NAME, Attribute, Changes
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.permissions import Call, Purpose, Read, has, removes
from enireconcile.kinds.tags import (
    TAGS,
    born_with,
    known_tags,
    tag_steps,
    wanted_tags,
)
from enireconcile.kinds.world import Id, World, chosen
from enireconcile.live.records import LiveNetworkInterface, LiveSecurityGroup, Record, peer_group
from enireconcile.model import Impact, Look, Ref, Step, canonical
from enireconcile.ownership import (
    ownership_filters,
    tag_specifications,
)
from enireconcile.spec import NUMBERED_PROTOCOLS, PROTOCOL_NAMES, EgressRule, IngressRule, without_selectors

SECTION = "security_groups"
Rule = dict[str, Any]
_ALL_PORTS = {"tcp", "udp"}
_ICMP = {"icmp", "icmpv6"}
_ALLOW_ALL: Rule = {"protocol": "-1", "ports": None, "destination": "0.0.0.0/0", "description": ""}
_END = {"ingress": "source", "egress": "destination"}


def _rules(direction: str) -> Attribute:
    """The rules of one direction."""
    word = direction.capitalize()
    return Attribute(
        direction,
        calls=(
            f"AuthorizeSecurityGroup{word}",
            f"RevokeSecurityGroup{word}",
            f"UpdateSecurityGroupRuleDescriptions{word}",
        ),
        events=("ModifySecurityGroupRules",),
    )


def _peers(purpose: Purpose) -> list[str]:
    rows = purpose.rows(SECTION)
    sources = [end for row in rows for rule in row.ingress for end in without_selectors(rule.sources)]
    destinations = [
        end for row in rows for rule in row.egress or () for end in without_selectors(rule.destinations)
    ]
    return [*sources, *destinations]


def _names_prefix_lists(purpose: Purpose) -> bool:
    selected = any(selector.prefix_list_name for selector in purpose.document.foreign_selectors)
    return selected or any(peer.startswith("pl-") for peer in _peers(purpose))


def _names_groups(purpose: Purpose) -> bool:
    return any(not ("/" in peer or peer == "self" or peer.startswith("pl-")) for peer in _peers(purpose))


class SecurityGroups(Kind):
    """Rows of ``security_groups``."""

    section = SECTION
    resource_type = "security-group"
    attributes = (
        Attribute("group_name", Changes.AT_CREATION, default=LOGICAL_NAME),
        Attribute("description", Changes.AT_CREATION),
        Attribute("vpc", Changes.AT_CREATION),
        _rules("ingress"),
        # A new group allows all egress, so a plan shows an empty list.
        replace(_rules("egress"), shows_empty=True),
        TAGS,
    )
    calls: ClassVar[Mapping[str, Call]] = {
        "CreateSecurityGroup": Call(has(SECTION), creates=("security-group",), uses=("vpc",)),
        # Rules of other groups may name a group that is removed, whatever their spec says.
        "RevokeSecurityGroupIngress": Call(removes(SECTION), changes=("security-group",)),
        "RevokeSecurityGroupEgress": Call(removes(SECTION), changes=("security-group",)),
        "DeleteSecurityGroup": Call(removes(SECTION), changes=("security-group",)),
        **{
            f"{verb}{direction}": Call(changes=("security-group",))
            for verb in ("AuthorizeSecurityGroup", "UpdateSecurityGroupRuleDescriptions")
            for direction in ("Ingress", "Egress")
        },
    }
    reads: ClassVar[Mapping[str, Read]] = {
        "DescribeSecurityGroups": Read(),
        "DescribeVpcs": Read(has(SECTION)),
        "DescribeManagedPrefixLists": Read(_names_prefix_lists),
        "DescribeVpcPeeringConnections": Read(_names_groups),
        "DescribeTransitGatewayVpcAttachments": Read(_names_groups),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.security_groups[name]
        live = world.record(f"{SECTION}.{name}", LiveSecurityGroup)
        peers = _peers_of_other_accounts(live)

        def rules(direction: str, rows: Sequence[IngressRule | EgressRule]) -> list[Rule]:
            written = _sorted(rule for each in rows for rule in _wanted(name, each, world, peers))
            if live is None or not world.adds_to(f"{SECTION}.{name}", direction):
                return written
            keys = {_key(rule) for rule in written}
            return _sorted([*written, *(r for r in _observed(direction, live, world) if _key(r) not in keys)])

        want: dict[str, Any] = {
            "group_name": row.group_name or name,
            "description": row.description,
            "vpc": chosen(row.vpc, world.vpcs[name], world.vpcs_by_id),
            "ingress": rules("ingress", row.ingress),
            "tags": wanted_tags(f"{SECTION}.{name}", row.tags, world),
        }
        if row.egress is not None:
            want["egress"] = rules("egress", row.egress)
        return want

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveSecurityGroup)
        if live is None:
            return None
        # Group names are case-insensitive to EC2, so another case is no difference. Nor is a former name.
        row = world.document.security_groups[name]
        renamed = row.renamed_from is not None and row.group_name is None
        same_name = renamed or live.name.casefold() == str(want["group_name"]).casefold()
        return {
            "group_name": want["group_name"] if same_name else live.name,
            "description": live.description,
            "vpc": live.vpc_id,
            "ingress": _observed("ingress", live, world),
            "egress": _observed("egress", live, world),
            "tags": known_tags(live.tags, want),
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        steps = [] if item.have is not None else [self._create(item, world)]
        for direction in ("ingress", "egress"):
            steps += _rule_steps(direction, item, world)
        return [*steps, *tag_steps(item, world)]

    def advice(self, attribute: Attribute, address: str, world: World) -> str:
        return "" if world.rows[address].adopt else "give the row another name: the plan then makes a new group"

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """Groups that its rules name."""
        rules = [*item.want.get("ingress", ()), *item.want.get("egress", ())]
        ends = {rule.get("source") or rule["destination"] for rule in rules}
        return [f"{SECTION}.{end}" for end in sorted(ends)]

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveSecurityGroup):
            return ()
        dependents = [
            name
            for name, record in world.ours
            if isinstance(record, LiveNetworkInterface) and live.id in record.groups
        ]
        hosts = {world.to_terminate[host] for host in _hosts(live.id, world) if host in world.to_terminate}
        kin = [
            name
            for name, record in world.ours
            if isinstance(record, LiveSecurityGroup) and record.id != live.id and live.id in _named(record)
        ]
        return [
            *_cut(address, live, world),
            Step(
                id=f"{address}/DeleteSecurityGroup",
                call="DeleteSecurityGroup",
                params={"GroupId": live.id},
                address=address,
                impact=Impact.DESTRUCTIVE,
                after=frozenset(
                    {
                        *map(Fact.DELETED.of, (*dependents, *hosts)),
                        *map(Fact.CONFIGURED.of, (address, *dependents, *kin)),
                    }
                ),
            ),
        ]

    def blocked_removals(self, world: World) -> Mapping[str, str]:
        """EC2 deletes no group that a rule names or that an interface is in."""
        held: dict[str, str] = {}
        terminating = {
            live.id: address for address, live in world.removed.items() if isinstance(live, LiveSecurityGroup)
        }
        while more := {
            address: " and ".join(holders)
            for group_id, address in terminating.items()
            if (
                holders := sorted(
                    {*_foreign_users(group_id, world), *_kept_users(group_id, set(terminating), world)}
                )
            )
        }:
            held |= more
            terminating = {group_id: address for group_id, address in terminating.items() if address not in more}
        return held

    def _create(self, item: Item, world: World) -> Step:
        return Step(
            id=f"{item.address}/CreateSecurityGroup",
            call="CreateSecurityGroup",
            params={
                "GroupName": item.want["group_name"],
                "Description": item.want["description"],
                "VpcId": item.want["vpc"],
                "TagSpecifications": tag_specifications(self.resource_type, born_with(item.want["tags"])),
            },
            address=item.address,
            brings=frozenset({Fact.CONFIGURED.of(item.address)}),
            yields={Ref(item.address): "GroupId"},
            look=Look(
                describe="DescribeSecurityGroups",
                filters=ownership_filters(world.document.stack, item.address),
                yields={Ref(item.address): "GroupId"},
                natural_key=True,
            ),
        )


def _foreign_users(group_id: str, world: World) -> Iterator[str]:
    """Foreign groups that name a group, and interfaces in it that are not deleted with their instances."""
    ours = {record.id for _, record in world.ours}
    for user in world.dependents:
        if user.id in ours:
            continue
        if isinstance(user, LiveSecurityGroup) and group_id in _named(user):
            yield f"the rules of {user.id} ({user.name})"
        if (
            isinstance(user, LiveNetworkInterface)
            and group_id in user.groups
            and not _deleted_with_instance(user, world)
        ):
            yield f"{user.id} on {user.attachment.instance_id}" if user.attachment else user.id


def _kept_users(group_id: str, terminating: Collection[str], world: World) -> Iterator[str]:
    """Resources that the stack keeps and that will still name the group, or be in it."""
    for address, live in world.removed.items():
        if isinstance(live, LiveSecurityGroup) and live.id not in terminating and group_id in _named(live):
            yield f"the rules of {address}"
    for name in world.document.security_groups:
        if group_id in _named_then(name, world):
            yield f"the rules of {SECTION}.{name}"
    for name, row in world.document.network_interfaces.items():
        address = f"network_interfaces.{name}"
        card = world.record(address, LiveNetworkInterface)
        groups = set(without_selectors(row.security_groups))
        if card is not None and world.leaves(address, "security_groups"):
            groups = set(card.groups)
        elif card is not None and world.adds_to(address, "security_groups"):
            groups |= set(card.groups)
        if group_id in groups:
            yield address


def _named_then(name: str, world: World) -> set[str]:
    """The groups and other peers in the rules of a group of the spec after the plan."""
    row, address = world.document.security_groups[name], f"{SECTION}.{name}"
    live = world.record(address, LiveSecurityGroup)
    ends = {end for rule in row.ingress for end in without_selectors(rule.sources)}
    ends |= {end for rule in row.egress or () for end in without_selectors(rule.destinations)}
    if live is not None and _stay(address, "ingress", world):
        ends |= _named(live, "ingress")
    if live is not None and (row.egress is None or _stay(address, "egress", world)):
        ends |= _named(live, "egress")
    return ends


def _stay(address: str, direction: str, world: World) -> bool:
    """Does the plan revoke none of the rules of a live group?"""
    return world.leaves(address, direction) or world.adds_to(address, direction)


def _named(live: LiveSecurityGroup, *directions: str) -> set[str]:
    """The groups that a live group's rules name, in these directions or in both."""
    permissions = {"ingress": live.ingress, "egress": live.egress}
    return {
        other
        for direction in directions or permissions
        for permission in permissions[direction]
        for other in _pairs(permission)
    }


def _deleted_with_instance(live: LiveNetworkInterface, world: World) -> bool:
    """Is the interface deleted together with its instance, which is terminated?"""
    attachment = live.attachment
    return attachment is not None and attachment.delete_on_termination and world.is_ending(attachment.instance_id)


def _hosts(group_id: str, world: World) -> Iterator[str]:
    """The instances of foreign interfaces that are in a group."""
    for user in world.dependents:
        if isinstance(user, LiveNetworkInterface) and group_id in user.groups and user.attachment is not None:
            yield user.attachment.instance_id


def _cut(address: str, live: LiveSecurityGroup, world: World) -> list[Step]:
    """Revoke rules that name other groups to be deleted: EC2 deletes no group that a rule names."""
    terminating = {record.id for name, record in world.removed.items() if name != address}
    steps = []
    for direction, permissions in (("Ingress", live.ingress), ("Egress", live.egress)):
        cut = [
            {**_narrowed(permission), "UserIdGroupPairs": [{"GroupId": other}]}
            for permission in permissions
            for other in _pairs(permission)
            if other in terminating
        ]
        if cut:
            steps.append(
                Step(
                    id=f"{address}/RevokeSecurityGroup{direction}",
                    call=f"RevokeSecurityGroup{direction}",
                    params={"GroupId": live.id, "IpPermissions": sorted(cut, key=canonical)},
                    address=address,
                    impact=Impact.DISRUPTIVE,
                    brings=frozenset({Fact.CONFIGURED.of(address)}),
                )
            )
    return steps


def _pairs(permission: Mapping[str, Any]) -> list[str]:
    """The groups that an IpPermission names."""
    return [pair["GroupId"] for pair in permission.get("UserIdGroupPairs") or ()]


def _peers_of_other_accounts(live: LiveSecurityGroup | None) -> dict[str, str]:
    """The groups of other accounts in a group's rules: id to ``<account>/<id>``. A spec may have the id alone."""
    permissions = (*live.ingress, *live.egress) if live is not None else ()
    return {
        pair["GroupId"]: peer_group(pair)
        for permission in permissions
        for pair in permission.get("UserIdGroupPairs") or ()
        if pair.get("UserId")
    }


def _narrowed(permission: Mapping[str, Any]) -> dict[str, Any]:
    """Protocol and ports of an IpPermission, without its peers."""
    return {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission}


def _sorted(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: (_key(rule), rule["description"]))


def _key(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    """The identity of a rule."""
    return (rule["protocol"], rule["ports"] or "", rule.get("source") or rule["destination"])


def _wanted(group: str, row: IngressRule | EgressRule, world: World, peers: Mapping[str, str]) -> Iterable[Rule]:
    """A row of the spec names many sources; each is a rule of its own. ``peers`` are groups of other accounts."""
    end, others = ("source", row.sources) if isinstance(row, IngressRule) else ("destination", row.destinations)
    ports = None
    if row.ports is not None and row.ports.code is not None:
        ports = f"{row.ports.first}/{row.ports.code}"
    elif row.ports is not None:
        ports = _ports(row.ports.first, row.ports.last)
    elif row.protocol in _ALL_PORTS:
        ports = "0-65535"
    for other in without_selectors(others):
        yield {
            "protocol": row.protocol,
            "ports": ports,
            end: "self" if world.name_of(other) == group else peers.get(other) or world.name_of(other),
            "description": row.description,
        }


def _ports(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _observed(direction: str, live: LiveSecurityGroup, world: World) -> list[Rule]:
    """IpPermissions in normal form, one rule a source."""
    return _sorted(
        {
            "protocol": live_protocol(permission),
            "ports": live_ports(permission),
            _END[direction]: "self" if other == live.id else world.name_of(other),
            "description": entry.get("Description", ""),
        }
        for permission in (live.ingress if direction == "ingress" else live.egress)
        for other, entry in live_ends(permission)
    )


def live_protocol(permission: Mapping[str, Any]) -> str:
    """A protocol by its name if it has one; EC2 returns some by number."""
    protocol = str(permission["IpProtocol"])
    return PROTOCOL_NAMES.get(protocol, protocol)


def live_ports(permission: Mapping[str, Any]) -> str | None:
    """Ports as the spec writes them, ICMP type and code included; None for all of a protocol without ports."""
    protocol, first, last = live_protocol(permission), permission.get("FromPort"), permission.get("ToPort")
    if first is None or protocol not in _ALL_PORTS | _ICMP:
        # EC2 opens or closes all other protocols as a whole, whatever ports it shows.
        return None
    if protocol in _ICMP:
        # FromPort is the ICMP type and ToPort the code; -1 stands for any.
        if first == -1:
            return None
        return str(first) if last in (None, -1) else f"{first}/{last}"
    return _ports(first, first if last is None else last)


def live_ends(permission: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sources or destinations of an IpPermission: CIDRs, prefix lists, groups, with their entries."""
    for key, name in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId")):
        yield from ((entry[name], entry) for entry in permission.get(key) or ())
    yield from ((peer_group(entry), entry) for entry in permission.get("UserIdGroupPairs") or ())


def _rule_steps(direction: str, item: Item, world: World) -> list[Step]:
    if direction not in item.want:
        return []
    before = {_key(rule): rule for rule in (item.have or _rules_of_new_group(item, world))[direction]}
    after = {_key(rule): rule for rule in item.want[direction]}
    added = [rule for key, rule in after.items() if key not in before]
    removed = [rule for key, rule in before.items() if key not in after]
    reworded = [
        rule for key, rule in after.items() if key in before and before[key]["description"] != rule["description"]
    ]
    word = direction.capitalize()
    add = _rule_step(f"AuthorizeSecurityGroup{word}", added, item, world, Impact.SAFE)
    tell = _rule_step(f"UpdateSecurityGroupRuleDescriptions{word}", reworded, item, world, Impact.SAFE)
    # Revoke only when the new rules are in place.
    done = Fact.RULES_ADDED.of(f"{item.address}/{direction}")
    add = [replace(step, brings=step.brings | {done}) for step in add]
    remove = _rule_step(f"RevokeSecurityGroup{word}", removed, item, world, _revoke_impact(item))
    return add + tell + [replace(step, after=step.after | {done}) for step in remove]


def _rules_of_new_group(item: Item, world: World) -> dict[str, list[Rule]]:
    """The rules that EC2 gives a new group: all egress is allowed, in a VPC with IPv6 also by IPv6."""
    vpc = world.vpcs_by_id.get(item.want["vpc"])
    ipv6 = [{**_ALLOW_ALL, "destination": "::/0"}] if vpc is not None and vpc.ipv6 else []
    return {"ingress": [], "egress": [_ALLOW_ALL, *ipv6]}


def _revoke_impact(item: Item) -> Impact:
    """Removing the egress rule of a new group interrupts nothing."""
    return Impact.SAFE if item.have is None else Impact.DISRUPTIVE


def _rule_step(call: str, rules: Sequence[Rule], item: Item, world: World, impact: Impact) -> list[Step]:
    if not rules:
        return []
    described = not call.startswith("Revoke")
    permissions = [_permission(rule, item.address, world, described) for rule in rules]
    return [
        Step(
            id=f"{item.address}/{call}",
            call=call,
            params={"GroupId": world.id_of(item.address), "IpPermissions": permissions},
            address=item.address,
            impact=impact,
            brings=frozenset({Fact.CONFIGURED.of(item.address)}),
        )
    ]


def _permission(rule: Rule, address: str, world: World, described: bool) -> dict[str, Any]:
    """A rule as EC2's IpPermission."""
    protocol = NUMBERED_PROTOCOLS.get(rule["protocol"], rule["protocol"])
    permission: dict[str, Any] = {"IpProtocol": protocol, **_port_params(rule)}
    text = {"Description": rule["description"]} if described and rule["description"] else {}
    other = rule.get("source") or rule["destination"]
    account, _, group = other.rpartition("/")
    if account and group.startswith("sg-"):
        return permission | {"UserIdGroupPairs": [{"GroupId": group, "UserId": account, **text}]}
    if other.startswith("pl-"):
        return permission | {"PrefixListIds": [{"PrefixListId": other, **text}]}
    if "/" in other:
        if ":" in other:
            return permission | {"Ipv6Ranges": [{"CidrIpv6": other, **text}]}
        return permission | {"IpRanges": [{"CidrIp": other, **text}]}
    return permission | {"UserIdGroupPairs": [{"GroupId": _group_id(other, address, world), **text}]}


def _port_params(rule: Rule) -> dict[str, int]:
    protocol, ports = rule["protocol"], rule["ports"]
    if protocol in _ICMP:
        kind, _, code = (ports or "-1").partition("/")
        return {"FromPort": int(kind), "ToPort": int(code or -1)}
    if ports is None:
        return {}
    first, _, last = ports.partition("-")
    return {"FromPort": int(first), "ToPort": int(last or first)}


def _group_id(other: str, address: str, world: World) -> Id:
    if other == "self":
        return world.id_of(address)
    return other if other.startswith("sg-") else world.id_of(f"{SECTION}.{other}")
