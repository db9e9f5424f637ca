"""Security groups and their rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

from . import filters
from .errors import EC2Error, bad_combination, different_networks, invalid_value, missing
from .places import Places
from .records import Group, Params, Resource, Result, Rule
from .state import operation

NAME = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
RULE_DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}")
PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
"""EC2 answers with names where it has them, whatever it was asked with."""
WITH_PORTS = ("tcp", "udp")
ICMP = ("icmp", "icmpv6")

GROUP_FILTERS: filters.Extractors[Group] = {
    "group-id": lambda g: [g.id],
    "group-name": lambda g: [g.name],
    "description": lambda g: [g.description],
    "vpc-id": lambda g: [g.vpc_id],
    "ip-permission.cidr": lambda g: _rule_sources(g, False, "v4"),
    "ip-permission.ipv6-cidr": lambda g: _rule_sources(g, False, "v6"),
    "ip-permission.group-id": lambda g: _rule_sources(g, False, "group"),
    "ip-permission.prefix-list-id": lambda g: _rule_sources(g, False, "prefix-list"),
    "ip-permission.protocol": lambda g: [r.protocol for r in g.rules.values() if not r.egress],
    "ip-permission.from-port": lambda g: [r.from_port for r in g.rules.values() if not r.egress],
    "ip-permission.to-port": lambda g: [r.to_port for r in g.rules.values() if not r.egress],
    "egress.ip-permission.cidr": lambda g: _rule_sources(g, True, "v4"),
    "egress.ip-permission.ipv6-cidr": lambda g: _rule_sources(g, True, "v6"),
    "egress.ip-permission.group-id": lambda g: _rule_sources(g, True, "group"),
    "egress.ip-permission.prefix-list-id": lambda g: _rule_sources(g, True, "prefix-list"),
    "owner-id": lambda _: [],
}


def _rule_sources(group: Group, egress: bool, kind: str) -> list[str]:
    return [r.source for r in group.rules.values() if r.egress is egress and r.source_kind == kind]


class Groups(Places):
    """EC2 docs: a group's name and description never change; its rules are a set."""

    def group(self, group_id: str) -> Group:
        return self.lookup("sg", self.data.groups, group_id)

    def default_group(self, vpc_id: str) -> Group:
        return next(g for g in self.data.groups.values() if g.vpc_id == vpc_id and g.name == "default")

    def groups_for(self, group_ids: Iterable[str] | None, vpc_id: str, launched_in: str = "") -> list[str]:
        """The ids that an interface in this VPC may carry; its default group where none is named.

        EC2 docs: at most 5 per interface by default; of the interface's VPC or associated with it. For a launch,
        `launched_in` is the id of the subnet, which RunInstances names in its refusal.
        """
        wanted = list(dict.fromkeys(group_ids or ()))
        if not wanted:
            return [self.default_group(vpc_id).id]
        for group_id in wanted:
            group = self.group(group_id)
            if group.vpc_id != vpc_id and (group_id, vpc_id) not in self.data.group_vpcs:
                if launched_in:
                    raise EC2Error(
                        "InvalidParameter",
                        f"Security group {group_id} and subnet {launched_in} belong to different networks.",
                    )
                raise different_networks()
        if len(wanted) > self.settings.quotas.groups_per_interface:
            raise EC2Error(
                "SecurityGroupsPerInterfaceLimitExceeded",
                "The maximum number of security groups per interface has been reached.",
            )
        return wanted

    @operation
    def describe_managed_prefix_lists(self, p: Params) -> Result:
        """EC2 docs: a list has one address family. Only the account's own lists show MaxEntries and Version."""
        known: filters.Extractors[Resource] = {
            "prefix-list-id": lambda r: [r.id],
            "prefix-list-name": lambda r: [self.data.list_names.get(r.id, r.id)],
            "owner-id": lambda r: ["AWS" if r.id in self.data.aws_lists else self.settings.account_id],
        }
        ids = p.get("PrefixListIds")
        every = [Resource(each) for each in self.data.prefix_lists]
        found = [each for each in filters.select(every, p.get("Filters"), known) if not ids or each.id in ids]
        shown, token = self.page("DescribeManagedPrefixLists", p, found, ids, high=100)
        rows = []
        for each in shown:
            mine = each.id not in self.data.aws_lists
            account = self.settings.account_id if mine else "aws"
            row: Result = {
                "PrefixListId": each.id,
                "PrefixListArn": f"arn:aws:ec2:{self.settings.region}:{account}:prefix-list/{each.id}",
                "AddressFamily": "IPv4",
                "State": "create-complete",
                "PrefixListName": self.data.list_names.get(each.id, each.id),
                "OwnerId": self.settings.account_id if mine else "AWS",
                "Tags": [],
            }
            rows.append(row | ({"MaxEntries": self.data.prefix_lists[each.id], "Version": 1} if mine else {}))
        return self.answer("PrefixLists", rows, token)

    # -- create and delete ---------------------------------------------------------------------------

    @operation
    def create_security_group(self, p: Params) -> Result:
        """EC2 docs: names are unique within a VPC, whatever their case, trailing spaces aside."""
        name = p["GroupName"].rstrip(" ")
        description = p["Description"]
        tags = self.tags_at_birth(p, "security-group")["security-group"]
        default = self.default_vpc()
        if "VpcId" not in p and default is None:
            raise EC2Error("VPCIdNotSpecified", "No default VPC for this user")
        vpc_id = self.vpc(p["VpcId"]).id if "VpcId" in p else default.id  # type: ignore[union-attr]
        if not NAME.fullmatch(name):
            raise invalid_value(f"Value ({name}) for parameter GroupName is invalid.")
        if name.lower().startswith("sg-"):
            raise invalid_value(
                f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
            )
        if not description or not RULE_DESCRIPTION.fullmatch(description):
            raise invalid_value(f"Value ({description}) for parameter GroupDescription is invalid.")
        if name.lower() == "default":
            raise EC2Error("InvalidParameterValue", f"Cannot use reserved security group name: {name}")
        same_vpc = [g for g in self.data.groups.values() if g.vpc_id == vpc_id]
        if any(g.name.lower() == name.lower() for g in same_vpc):
            raise EC2Error(
                "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'"
            )
        if len(self.data.groups) >= self.settings.quotas.groups:
            raise EC2Error("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
        group = self.make_group(name, description, vpc_id, tags)
        return {
            "GroupId": group.id,
            "Tags": self.tag_list(tags),
            "SecurityGroupArn": self._arn("security-group", group.id),
        }

    def make_group(self, name: str, description: str, vpc_id: str, tags: dict[str, str]) -> Group:
        """EC2 docs: a new group lets everything out and nothing in."""
        group = self.born(Group(self.new_id("sg"), name, description, vpc_id, tags=tags))
        self.data.groups[group.id] = group
        self._add_rule(group, Rule("", True, "-1", None, None, "v4", "0.0.0.0/0"))
        if self.data.vpcs[vpc_id].ipv6_cidr:
            self._add_rule(group, Rule("", True, "-1", None, None, "v6", "::/0"))
        return group

    def _arn(self, kind: str, resource_id: str) -> str:
        return f"arn:aws:ec2:{self.settings.region}:{self.settings.account_id}:{kind}/{resource_id}"

    @operation
    def delete_security_group(self, p: Params) -> Result:
        group = self._named(p)
        if group.name == "default":
            raise EC2Error(
                "CannotDelete",
                f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
            )
        carried = any(group.id in eni.group_ids for eni in self.data.interfaces.values())
        referenced = any(
            rule.source == group.id
            for other in self.data.groups.values()
            if other is not group
            for rule in other.rules.values()
        )
        if carried or referenced:
            raise EC2Error("DependencyViolation", f"resource {group.id} has a dependent object")
        self.drop_group(group)
        return {"Return": True, "GroupId": group.id}

    def drop_group(self, group: Group) -> None:
        for rule_id in group.rules:
            del self.data.rules[rule_id]
        del self.data.groups[group.id]

    def _named(self, p: Params) -> Group:
        """The group of a call: by id, or by name in the default VPC."""
        if "GroupId" in p:
            return self.group(p["GroupId"])
        if "GroupName" not in p:
            raise missing("GroupId")
        default = self.default_vpc()
        for group in self.seen(self.data.groups):
            if default and group.vpc_id == default.id and group.name.lower() == p["GroupName"].lower():
                return group
        raise EC2Error(
            "InvalidGroup.NotFound", f"The security group '{p['GroupName']}' does not exist in default VPC"
        )

    # -- rules ---------------------------------------------------------------------------------------

    @operation
    def authorize_security_group_ingress(self, p: Params) -> Result:
        return self._authorize(p, egress=False)

    @operation
    def authorize_security_group_egress(self, p: Params) -> Result:
        return self._authorize(p, egress=True)

    def _authorize(self, p: Params, *, egress: bool) -> Result:
        """All or nothing: one rule that is there already, and none is added."""
        group = self._named(p)
        tags = self.tags_at_birth(p, "security-group-rule")["security-group-rule"]
        rules = list(self._wanted(p, group, egress))
        if not rules:
            raise missing("IpPermissions")
        repeated = Counter(rule.identity for rule in rules).most_common(1)
        if repeated[0][1] > 1:
            raise invalid_value("The same permission must not appear multiple times")
        existing = {rule.identity for rule in group.rules.values()}
        for rule in rules:
            if rule.identity in existing:
                raise EC2Error(
                    "InvalidPermission.Duplicate",
                    f'the specified rule "{_words(rule)}" already exists',
                )
        self._check_quota(group, [*group.rules.values(), *rules], egress)
        for rule in rules:
            rule.tags = dict(tags)
            self._add_rule(group, rule)
        return {"Return": True, "SecurityGroupRules": [self._show_rule(group, rule) for rule in rules]}

    def _check_quota(self, group: Group, rules: list[Rule], egress: bool) -> None:
        """EC2 docs: 60 rules per group, direction and address family; a prefix list counts in full."""
        for family in ("v4", "v6"):
            weight = sum(
                self.data.prefix_lists.get(rule.source, 1) if rule.source_kind == "prefix-list" else 1
                for rule in rules
                if rule.egress is egress and rule.source_kind in (family, "group", "prefix-list")
            )
            if weight > self.settings.quotas.rules_per_group:
                raise EC2Error(
                    "RulesPerSecurityGroupLimitExceeded",
                    "The maximum number of rules per security group has been reached.",
                )

    def _add_rule(self, group: Group, rule: Rule) -> None:
        rule.id = self.new_id("sgr")
        rule.created = self.now
        group.rules[rule.id] = rule
        self.data.rules[rule.id] = group.id

    @operation
    def revoke_security_group_ingress(self, p: Params) -> Result:
        return self._revoke(p, egress=False)

    @operation
    def revoke_security_group_egress(self, p: Params) -> Result:
        return self._revoke(p, egress=True)

    def _revoke(self, p: Params, *, egress: bool) -> Result:
        """EC2 docs: an absent rule fails the whole call, except in the default VPC, which lists it."""
        group = self._named(p)
        if rule_ids := p.get("SecurityGroupRuleIds"):
            if "IpPermissions" in p:
                raise bad_combination("IpPermissions may not be specified with SecurityGroupRuleIds")
            rules = [self._rule_in(group, rule_id, egress) for rule_id in rule_ids]
            unknown: list[Rule] = []
        else:
            wanted = list(self._wanted(p, group, egress))
            if not wanted:
                raise EC2Error(
                    "MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."
                )
            existing = {rule.identity: rule for rule in group.rules.values()}
            rules = [existing[rule.identity] for rule in wanted if rule.identity in existing]
            unknown = [rule for rule in wanted if rule.identity not in existing]
            if unknown and not self.data.vpcs[group.vpc_id].is_default:
                raise EC2Error(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
        for rule in {rule.id: rule for rule in rules}.values():
            del group.rules[rule.id]
            del self.data.rules[rule.id]
        return {
            "Return": True,
            "UnknownIpPermissions": self._permissions(group, unknown),
            "RevokedSecurityGroupRules": [
                {
                    "SecurityGroupRuleId": rule.id,
                    "GroupId": group.id,
                    "IsEgress": rule.egress,
                    "IpProtocol": rule.protocol,
                    "FromPort": -1 if rule.from_port is None else rule.from_port,
                    "ToPort": -1 if rule.to_port is None else rule.to_port,
                    **_source_fields(rule),
                }
                for rule in rules
            ],
        }

    def _rule_in(self, group: Group, rule_id: str, egress: bool | None = None) -> Rule:
        rule = group.rules.get(rule_id)
        if rule is None or (egress is not None and rule.egress is not egress):
            raise EC2Error(
                "InvalidSecurityGroupRuleId.NotFound",
                f"The security group rule ID '{rule_id}' does not exist",
            )
        return rule

    @operation
    def modify_security_group_rules(self, p: Params) -> Result:
        group = self.group(p["GroupId"])
        changed: dict[str, Rule] = {}
        for update in p.get("SecurityGroupRules", []):
            old = self._rule_in(group, update["SecurityGroupRuleId"])
            asked = update.get("SecurityGroupRule", {})
            sources = [
                ("v4", asked.get("CidrIpv4")),
                ("v6", asked.get("CidrIpv6")),
                ("group", asked.get("ReferencedGroupId")),
                ("prefix-list", asked.get("PrefixListId")),
            ]
            named = [(kind, value) for kind, value in sources if value]
            if len(named) != 1:
                raise invalid_value("Exactly one source or destination must be specified")
            if "IpProtocol" not in asked:
                raise invalid_value(
                    "Invalid value 'null' for protocol. VPC security group rules must specify protocols "
                    "explicitly."
                )
            new = self._rule(group, old.egress, asked, named[0][0], named[0][1], asked.get("Description"))
            new.id, new.tags, new.created = old.id, old.tags, old.created
            changed[old.id] = new
        if not changed:
            raise missing("SecurityGroupRules")
        after = {**group.rules, **changed}
        if len({rule.identity for rule in after.values()}) < len(after):
            raise EC2Error("InvalidPermission.Duplicate", "the specified rule already exists")
        group.rules.update(changed)
        return {"Return": True}

    @operation
    def update_security_group_rule_descriptions_ingress(self, p: Params) -> Result:
        return self._describe_rules_anew(p, egress=False)

    @operation
    def update_security_group_rule_descriptions_egress(self, p: Params) -> Result:
        return self._describe_rules_anew(p, egress=True)

    def _describe_rules_anew(self, p: Params, *, egress: bool) -> Result:
        group = self._named(p)
        if descriptions := p.get("SecurityGroupRuleDescriptions"):
            named = [
                (self._rule_in(group, each["SecurityGroupRuleId"], egress), each.get("Description"))
                for each in descriptions
            ]
            for rule, description in named:
                rule.description = _checked_description(description)
            return {"Return": True}
        existing = {rule.identity: rule for rule in group.rules.values()}
        wanted = list(self._wanted(p, group, egress))
        if not wanted:
            raise missing("IpPermissions")
        for rule in wanted:
            if rule.identity not in existing:
                raise EC2Error(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
        for rule in wanted:
            existing[rule.identity].description = rule.description
        return {"Return": True}

    # -- rules in requests ---------------------------------------------------------------------------

    def _wanted(self, p: Params, group: Group, egress: bool) -> Iterator[Rule]:
        """The rules that a request means, one per source, in EC2's normal form."""
        permissions: list[dict[str, Any]] = list(p.get("IpPermissions", []))
        flat: dict[str, Any] = {key: p[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in p}
        if flat or "CidrIp" in p:
            if permissions or egress:
                raise bad_combination("Rules may be given through IpPermissions only")
            permissions.append({**flat, "IpRanges": [{"CidrIp": p["CidrIp"]}] if "CidrIp" in p else []})
        for permission in permissions:
            sources: list[tuple[Literal["v4", "v6", "group", "prefix-list"], str, str | None]] = []
            for each in permission.get("IpRanges", []):
                sources.append(("v4", each.get("CidrIp", ""), each.get("Description")))
            for each in permission.get("Ipv6Ranges", []):
                sources.append(("v6", each.get("CidrIpv6", ""), each.get("Description")))
            for each in permission.get("PrefixListIds", []):
                sources.append(("prefix-list", each.get("PrefixListId", ""), each.get("Description")))
            for each in permission.get("UserIdGroupPairs", []):
                named = each.get("GroupId") or self._named({"GroupName": each.get("GroupName", "")}).id
                account = each.get("UserId") or self.settings.account_id
                sources.append(("group", f"{account}/{named}", each.get("Description")))
            if "IpProtocol" not in permission:
                raise missing("IpPermissions.IpProtocol")
            if not sources:
                raise missing("IpPermissions.IpRanges")
            for kind, source, description in sources:
                yield self._rule(group, egress, permission, kind, source, description)

    def _rule(
        self,
        group: Group,
        egress: bool,
        permission: dict[str, Any],
        kind: Any,
        source: str,
        description: str | None,
    ) -> Rule:
        protocol, from_port, to_port = _ports(permission)
        owner: str | None = None
        if kind == "v4":
            source = _canonical(source, IPv4Network)
        elif kind == "v6":
            source = _canonical(source, IPv6Network)
        elif kind == "group":
            owner, _, source = source.partition("/")
            if self.data.peer_groups.get(source, ("", ""))[0] != owner:
                owner = self.settings.account_id
                if not self._connected({self.group(source).vpc_id, group.vpc_id}):
                    raise different_networks()
        elif source not in self.data.prefix_lists:
            raise EC2Error("InvalidPrefixListID.NotFound", f"The prefix list ID '{source}' does not exist")
        return Rule(
            "", egress, protocol, from_port, to_port, kind, source, _checked_description(description), owner
        )

    def _connected(self, vpcs: set[str]) -> bool:
        """EC2 docs: rules can name groups of a peered VPC, and of one on the same transit gateway."""
        peered = any(set(pair) == vpcs for pair in self.data.peerings)
        return (
            len(vpcs) == 1
            or peered
            or any(vpcs <= set(attached) for attached in self.data.transit_gateways.values())
        )

    # -- describes -----------------------------------------------------------------------------------

    @operation
    def describe_security_group_vpc_associations(self, p: Params) -> Result:
        known: filters.Extractors[Resource] = {
            "group-id": lambda r: [r.tags["group"]],
            "vpc-id": lambda r: [r.tags["vpc"]],
            "state": lambda _: ["associated"],
        }
        every = [
            Resource(f"{group} {vpc}", tags={"group": group, "vpc": vpc})
            for group, vpc in sorted(self.data.group_vpcs)
        ]
        shown, token = self.page(
            "DescribeSecurityGroupVpcAssociations", p, filters.select(every, p.get("Filters"), known), None
        )
        rows = [
            {
                "GroupId": each.tags["group"],
                "VpcId": each.tags["vpc"],
                "VpcOwnerId": self.settings.account_id,
                "State": "associated",
            }
            for each in shown
        ]
        return self.answer("SecurityGroupVpcAssociations", rows, token)

    @operation
    def describe_security_groups(self, p: Params) -> Result:
        ids = p.get("GroupIds")
        groups = self.listed("sg", self.data.groups, ids)
        if names := p.get("GroupNames"):
            groups = [self._named({"GroupName": name}) for name in names]
        known = {**GROUP_FILTERS, "owner-id": lambda _: [self.settings.account_id]}
        found = filters.select(groups, p.get("Filters"), known)
        shown, token = self.page("DescribeSecurityGroups", p, found, ids or names)
        return self.answer("SecurityGroups", [self._show_group(group) for group in shown], token)

    def _show_group(self, group: Group) -> Result:
        rules = group.rules.values()
        return {
            "GroupId": group.id,
            "GroupName": group.name,
            "Description": group.description,
            "VpcId": group.vpc_id,
            "OwnerId": self.settings.account_id,
            "SecurityGroupArn": self._arn("security-group", group.id),
            "IpPermissions": self._permissions(group, (rule for rule in rules if not rule.egress)),
            "IpPermissionsEgress": self._permissions(group, (rule for rule in rules if rule.egress)),
            "Tags": self.tag_list(group.tags),
        }

    def _permissions(self, group: Group, rules: Iterable[Rule]) -> list[Result]:
        """Rules of one protocol and port range are shown as one permission with many sources."""
        rows: dict[tuple[str, int | None, int | None], Result] = {}
        for rule in self.shuffled(rules):
            row = rows.setdefault(
                (rule.protocol, rule.from_port, rule.to_port),
                {
                    "IpProtocol": rule.protocol,
                    "FromPort": rule.from_port,
                    "ToPort": rule.to_port,
                    "IpRanges": [],
                    "Ipv6Ranges": [],
                    "PrefixListIds": [],
                    "UserIdGroupPairs": [],
                },
            )
            about = {"Description": rule.description} if rule.description else {}
            if rule.source_kind == "v4":
                row["IpRanges"].append({"CidrIp": rule.source, **about})
            elif rule.source_kind == "v6":
                row["Ipv6Ranges"].append({"CidrIpv6": rule.source, **about})
            elif rule.source_kind == "prefix-list":
                row["PrefixListIds"].append({"PrefixListId": rule.source, **about})
            else:
                pair = {"GroupId": rule.source, "UserId": rule.source_owner, **about}
                row["UserIdGroupPairs"].append(pair | self._peering_of(group, rule.source))
        return list(rows.values())

    def _peering_of(self, group: Group, source: str) -> Result:
        """What a pair shows of the peering connection, where its group is in a peered VPC."""
        peers = self.data.peer_groups
        vpc = peers[source][1] if source in peers else self.data.groups[source].vpc_id
        for number, pair in enumerate(sorted(self.data.peerings)):
            if vpc != group.vpc_id and set(pair) == {vpc, group.vpc_id}:
                return {"VpcId": vpc, "VpcPeeringConnectionId": f"pcx-{number:017x}", "PeeringStatus": "active"}
        return {}

    @operation
    def describe_security_group_rules(self, p: Params) -> Result:
        ids = p.get("SecurityGroupRuleIds")
        by_id = {rule.id: (group, rule) for group in self.seen(self.data.groups) for rule in group.rules.values()}
        for rule_id in ids or ():
            if rule_id not in by_id:
                raise EC2Error(
                    "InvalidSecurityGroupRuleId.NotFound",
                    f"The security group rule ID '{rule_id}' does not exist",
                )
        for each in p.get("Filters") or ():
            for value in each.get("Values", []) if each.get("Name") == "group-id" else ():
                self.check_id("sg", value)
        known: filters.Extractors[Rule] = {
            "group-id": lambda rule: [by_id[rule.id][0].id],
            "security-group-rule-id": lambda rule: [rule.id],
        }
        rules = self.shuffled(by_id[each][1] for each in (dict.fromkeys(ids) if ids else by_id))
        found = filters.select(rules, p.get("Filters"), known)
        shown, token = self.page("DescribeSecurityGroupRules", p, found, ids)
        rows = [self._show_rule(by_id[rule.id][0], rule) for rule in shown]
        return self.answer("SecurityGroupRules", rows, token)

    def _show_rule(self, group: Group, rule: Rule) -> Result:
        """EC2 docs: where a protocol has no ports, both are -1 here (and absent in IpPermissions)."""
        return {
            "SecurityGroupRuleId": rule.id,
            "SecurityGroupRuleArn": self._arn("security-group-rule", rule.id),
            "GroupId": group.id,
            "GroupOwnerId": self.settings.account_id,
            "IsEgress": rule.egress,
            "IpProtocol": rule.protocol,
            "FromPort": -1 if rule.from_port is None else rule.from_port,
            "ToPort": -1 if rule.to_port is None else rule.to_port,
            "CidrIpv4": rule.source if rule.source_kind == "v4" else None,
            "CidrIpv6": rule.source if rule.source_kind == "v6" else None,
            "PrefixListId": rule.source if rule.source_kind == "prefix-list" else None,
            "ReferencedGroupInfo": (
                {"GroupId": rule.source, "UserId": rule.source_owner, "VpcId": group.vpc_id}
                if rule.source_kind == "group"
                else None
            ),
            "Description": rule.description or None,
            "Tags": self.tag_list(rule.tags),
        }

    @operation
    def get_security_groups_for_vpc(self, p: Params) -> Result:
        """EC2 docs: the groups of the VPC and those associated with it."""
        vpc = self.vpc(p["VpcId"])
        usable = [
            group
            for group in self.seen(self.data.groups)
            if group.vpc_id == vpc.id or (group.id, vpc.id) in self.data.group_vpcs
        ]
        known: filters.Extractors[Group] = {
            "group-id": lambda g: [g.id],
            "group-name": lambda g: [g.name],
            "description": lambda g: [g.description],
            "primary-vpc-id": lambda g: [g.vpc_id],
            "owner-id": lambda _: [self.settings.account_id],
        }
        shown, token = self.page(
            "GetSecurityGroupsForVpc", p, filters.select(usable, p.get("Filters"), known), None
        )
        rows = [
            {
                "GroupId": group.id,
                "GroupName": group.name,
                "Description": group.description,
                "OwnerId": self.settings.account_id,
                "PrimaryVpcId": group.vpc_id,
                "Tags": self.tag_list(group.tags),
            }
            for group in shown
        ]
        return self.answer("SecurityGroupForVpcs", rows, token)

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_group(
        self,
        name: str,
        vpc_id: str | None = None,
        *,
        description: str = "a group",
        tags: dict[str, str] | None = None,
    ) -> str:
        """A new group's id; it exists at once."""
        with self.lock:
            where = vpc_id or self.default_vpc().id  # type: ignore[union-attr]
            group = self.make_group(name, description, where, dict(tags or {}))
            group.visible_at = self.now
            self._remember()
            return group.id

    def add_prefix_list(self, max_entries: int = 10, *, by_aws: bool = False, name: str = "") -> str:
        """A new managed prefix list's id."""
        with self.lock:
            prefix_list = self.new_id("pl")
            self.data.prefix_lists[prefix_list] = max_entries
            if name:
                self.data.list_names[prefix_list] = name
            if by_aws:
                self.data.aws_lists.add(prefix_list)
            return prefix_list

    def associate_group(self, group_id: str, vpc_id: str) -> None:
        """Lets a group be used in a VPC that is not its own."""
        with self.lock:
            self.data.group_vpcs.add((group_id, vpc_id))


def _ports(permission: dict[str, Any]) -> tuple[str, int | None, int | None]:
    """Protocol and ports in EC2's normal form."""
    asked = str(permission["IpProtocol"]).lower()
    protocol = PROTOCOLS.get(asked, asked)
    from_port, to_port = permission.get("FromPort"), permission.get("ToPort")
    if protocol in WITH_PORTS:
        if from_port is None or to_port is None:
            raise invalid_value(f"Invalid value 'Must specify both from and to ports with {protocol.upper()}'")
        if not (0 <= from_port <= 65535 and 0 <= to_port <= 65535 and from_port <= to_port):
            raise invalid_value(f"Invalid value '{from_port}-{to_port}' for portRange.")
        return protocol, from_port, to_port
    if protocol in ICMP:
        return protocol, -1 if from_port is None else from_port, -1 if to_port is None else to_port
    if protocol != "-1" and not (protocol.isdigit() and int(protocol) <= 255):
        raise invalid_value(f"Invalid value '{asked}' for IP protocol. Unknown protocol.")
    return protocol, None, None


def _canonical(cidr: str, family: type[IPv4Network] | type[IPv6Network]) -> str:
    """EC2 docs: host bits of a CIDR are cleared, so what is read back may differ from what was sent."""
    if "/" not in cidr:
        raise invalid_value(f"CIDR block {cidr} is malformed")
    try:
        return str(family(cidr, strict=False))
    except ValueError as error:
        raise invalid_value(f"CIDR block {cidr} is malformed") from error


def _checked_description(description: str | None) -> str | None:
    if description is not None and not RULE_DESCRIPTION.fullmatch(description):
        raise invalid_value(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from "
            "the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )
    return description or None


def _source_fields(rule: Rule) -> dict[str, str]:
    names = {
        "v4": "CidrIpv4",
        "v6": "CidrIpv6",
        "group": "ReferencedGroupId",
        "prefix-list": "PrefixListId",
    }
    return {names[rule.source_kind]: rule.source}


def _words(rule: Rule) -> str:
    if rule.from_port is None:
        return f"peer: {rule.source}, ALL, ALLOW"
    return (
        f"peer: {rule.source}, {rule.protocol.upper()}, from port: {rule.from_port}, "
        f"to port: {rule.to_port}, ALLOW"
    )
