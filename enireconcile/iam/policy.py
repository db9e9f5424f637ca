"""The least IAM policy that planning or applying given specs needs. Pure: a table of calls, and the specs.

Every call that a plan may make or a read may ask has a row in ``READS`` or ``WRITES``. A row says when a spec
needs the call, and how far IAM lets it be narrowed, by the Service Authorization Reference of EC2:

- ``born``: types of what the call makes. Allowed only when the request tags it with our stack.
- ``own``: types of what it changes. Allowed only if that carries our stack's tag.
- ``uses``: what it refers to and leaves as it is (a subnet, an image): the ids that the spec names, else any.

IAM evaluates a statement for each resource of a call by itself, so a new interface and the subnet that it is made
in need a statement each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enireconcile.errors import EnireconcileError
from enireconcile.iam.statements import STACKS, Asked, Policy, Scope, Statement, minimal, numbered
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.spec import Document, Instance, NetworkInterface

_TYPES = {
    "security_groups": "security-group",
    "instances": "instance",
    "network_interfaces": "network-interface",
    "elastic_ips": "elastic-ip",
}
_MANAGED = tuple(_TYPES.values())
_ADDRESSES = ("secondary_private_ips", "secondary_private_ip_count", "ipv4_prefixes", "ipv4_prefix_count")
_IPV6 = ("ipv6_addresses", "ipv6_address_count", "ipv6_prefixes", "ipv6_prefix_count")


@dataclass(frozen=True)
class _Need:
    """A spec, in the words in which the table asks."""

    document: Document
    asked: Asked

    def has(self, section: str) -> bool:
        return bool(self.document.own_names(section))

    def goes(self, section: str) -> bool:
        """May anything of a section be removed?"""
        return self.asked.destroy and (self.has(section) or self.asked.prune)

    @property
    def interfaces(self) -> Sequence[NetworkInterface]:
        return tuple(self.document.network_interfaces.values())

    @property
    def instances(self) -> Sequence[Instance]:
        return tuple(self.document.own_instances.values())

    @property
    def images(self) -> Sequence[Any]:
        return tuple(row.image for row in self.instances if row.image is not None)

    def any_interface(self, *keys: str) -> bool:
        return any(getattr(row, key, None) is not None for row in self.interfaces for key in keys)

    def any_address(self, key: str) -> bool:
        return any(getattr(row, key, None) is not None for row in self.document.elastic_ips.values())

    @property
    def ignores(self) -> bool:
        return any(row.lifecycle.ignore for row in self.document.resources.values())

    @property
    def prefix_lists(self) -> bool:
        groups = self.document.security_groups.values()
        sources = (end for group in groups for rule in group.ingress for end in rule.sources)
        destinations = (end for group in groups for rule in group.egress or () for end in rule.destinations)
        return any(end.startswith("pl-") for end in (*sources, *destinations))

    @property
    def egress(self) -> bool:
        return any(group.egress is not None for group in self.document.security_groups.values())

    @property
    def looks_at_checks(self) -> bool:
        return any(
            at is not None
            and at.instances is not None
            and (at.failover is None or at.failover.health == "status_checks")
            for at in (row.attachment for row in self.interfaces)
        )


When = Callable[[_Need], bool]


def _has(section: str) -> When:
    return lambda need: need.has(section)


def _goes(section: str) -> When:
    return lambda need: need.goes(section)


def _always(_: _Need) -> bool:
    return True


READS: Mapping[str, When] = {
    "DescribeInstances": _always,
    "DescribeNetworkInterfaces": _always,
    "DescribeAddresses": _always,
    "DescribeSecurityGroups": _always,
    "DescribeSubnets": _has("network_interfaces"),
    "DescribeVpcs": _has("security_groups"),
    "DescribeImages": lambda need: any(image.name is not None for image in need.images),
    "DescribeInstanceStatus": lambda need: need.looks_at_checks,
    "DescribeInstanceTypes": lambda need: need.has("instances") or need.has("network_interfaces"),
    "DescribeAccountAttributes": lambda need: (
        need.has("elastic_ips") or any(len(row.security_groups or ()) > 5 for row in need.interfaces)
    ),
    "DescribeManagedPrefixLists": lambda need: need.prefix_lists,
    "DescribeAddressesAttribute": lambda need: need.any_address("reverse_dns") or need.goes("elastic_ips"),
}
"""EC2's reads that IAM does not narrow to resources. ssm:GetParameter stands apart."""


@dataclass(frozen=True)
class Write:
    """A row of the table of changes; see the module."""

    when: When
    born: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


READS_OF_OURS: Mapping[str, When] = {
    "DescribeInstanceAttribute": lambda need: need.has("instances") or need.goes("instances"),
}
"""Reads that are allowed only on instances that carry our stack's tag."""


_GROUPS, _INSTANCES, _INTERFACES, _EIPS = _TYPES
_GROUP, _INSTANCE, _INTERFACE, _EIP = _MANAGED

WRITES: Mapping[str, Write] = {
    "CreateSecurityGroup": Write(_has(_GROUPS), born=(_GROUP,), uses=("vpc",)),
    "AuthorizeSecurityGroupIngress": Write(_has(_GROUPS), own=(_GROUP,)),
    "AuthorizeSecurityGroupEgress": Write(lambda need: need.egress, own=(_GROUP,)),
    "RevokeSecurityGroupIngress": Write(lambda need: need.has(_GROUPS) or need.goes(_GROUPS), own=(_GROUP,)),
    # Who refers to a group that goes has to let go of it, in rules that others may have written.
    "RevokeSecurityGroupEgress": Write(lambda need: need.egress or need.goes(_GROUPS), own=(_GROUP,)),
    "UpdateSecurityGroupRuleDescriptionsIngress": Write(_has(_GROUPS), own=(_GROUP,)),
    "UpdateSecurityGroupRuleDescriptionsEgress": Write(lambda need: need.egress, own=(_GROUP,)),
    "DeleteSecurityGroup": Write(_goes(_GROUPS), own=(_GROUP,)),
    "CreateNetworkInterface": Write(
        _has(_INTERFACES), born=(_INTERFACE,), own=(_GROUP,), uses=("subnet", "security-group")
    ),
    "ModifyNetworkInterfaceAttribute": Write(
        _has(_INTERFACES), own=(_INTERFACE, _GROUP, _INSTANCE), uses=("security-group",)
    ),
    "AssignPrivateIpAddresses": Write(lambda need: need.any_interface(*_ADDRESSES), own=(_INTERFACE,)),
    "UnassignPrivateIpAddresses": Write(lambda need: need.any_interface(*_ADDRESSES), own=(_INTERFACE,)),
    "AssignIpv6Addresses": Write(lambda need: need.any_interface(*_IPV6), own=(_INTERFACE,)),
    "UnassignIpv6Addresses": Write(lambda need: need.any_interface(*_IPV6), own=(_INTERFACE,)),
    "AttachNetworkInterface": Write(
        lambda need: need.any_interface("attachment"), own=(_INTERFACE, _INSTANCE), uses=("external",)
    ),
    "DetachNetworkInterface": Write(
        lambda need: need.has(_INTERFACES) or need.goes(_INTERFACES),
        own=(_INTERFACE, _INSTANCE),
        uses=("external",),
    ),
    "DeleteNetworkInterface": Write(_goes(_INTERFACES), own=(_INTERFACE,)),
    "AllocateAddress": Write(_has(_EIPS), born=(_EIP,), uses=("ipv4pool-ec2",)),
    "AssociateAddress": Write(
        lambda need: need.any_address("association"), own=(_EIP, _INTERFACE, _INSTANCE), uses=("target",)
    ),
    "DisassociateAddress": Write(
        lambda need: need.has(_EIPS) or need.goes(_EIPS), own=(_EIP, _INTERFACE), uses=("target",)
    ),
    "ModifyAddressAttribute": Write(lambda need: need.any_address("reverse_dns"), own=(_EIP,)),
    "ResetAddressAttribute": Write(lambda need: need.any_address("reverse_dns") or need.goes(_EIPS), own=(_EIP,)),
    "ReleaseAddress": Write(_goes(_EIPS), own=(_EIP,)),
    "RunInstances": Write(
        _has(_INSTANCES),
        born=(_INSTANCE,),
        own=(_GROUP,),
        uses=("image", "key-pair", "volume", "subnet", "security-group", "network-interface"),
    ),
    "StartInstances": Write(_has(_INSTANCES), own=(_INSTANCE,)),
    "StopInstances": Write(_has(_INSTANCES), own=(_INSTANCE,)),
    "ModifyInstanceAttribute": Write(
        lambda need: (
            any(row.on_change == "restart" for row in need.instances)
            or any(row.termination_protection is not None for row in need.instances)
        ),
        own=(_INSTANCE,),
    ),
    "ModifyInstanceMetadataOptions": Write(_has(_INSTANCES), own=(_INSTANCE,)),
    "TerminateInstances": Write(_goes(_INSTANCES), own=(_INSTANCE,)),
    "CreateTags": Write(_always, own=_MANAGED),
    "DeleteTags": Write(lambda need: need.ignores, own=_MANAGED),
}
"""EC2's changes. A call that is in no row fails a test."""


_BORN = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": STACKS}}
_OWN = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": STACKS}}


def policy_for(documents: Sequence[Document], asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """The policy, and notes on what of it could be narrower. Raises EnireconcileError for an ARN of no use."""
    policy = Policy(asked)
    others = _Others(asked.also)
    for document in documents:
        _add(document, policy, others)
    if not asked.read_only:
        _add_deny(documents, policy)
    statements = numbered(minimal(each) for each in policy.statements.values())
    return {"Version": "2012-10-17", "Statement": statements}, policy.notes


class _Others:
    """ARNs of other people's resources, by type."""

    def __init__(self, arns: Sequence[str]) -> None:
        self.by_type: dict[str, list[str]] = {"instance": [], "network-interface": [], "role": []}
        for arn in arns:
            found = re.fullmatch(
                r"arn:[a-z0-9-]+:(?:ec2:[a-z0-9-]+|iam:):\d{12}:(instance|network-interface|role)/\S+", arn
            )
            if not found:
                raise EnireconcileError(
                    f"{arn} is no ARN of an instance, a network interface or a role",
                    hint="for example arn:aws:ec2:us-east-1:123456789012:network-interface/eni-0123456789abcdef0",
                )
            self.by_type[found[1]].append(arn)


def _add(document: Document, policy: Policy, others: _Others) -> None:
    need = _Need(document, policy.asked)
    scope = Scope(policy.asked.region or document.region or "*", document.account_id or "*")
    _note_scope(document, scope, policy)
    _add_reads(need, scope, policy)
    if policy.asked.read_only:
        return
    calls = {call: row for call, row in WRITES.items() if row.when(need)}
    born = {call: row for call, row in calls.items() if row.born}
    kinds = {kind for row in born.values() for kind in row.born}
    policy.grant("Create", map(_ec2, born), scope.arns(kinds), _BORN, document.stack)
    creating = {"StringEquals": {**_BORN["StringEquals"], "ec2:CreateAction": sorted(born)}}
    policy.grant("TagWhatIsCreated", ["ec2:CreateTags"], scope.arns(kinds), creating, document.stack)
    own = {kind for row in calls.values() for kind in row.own if _exists(kind, need)}
    changing = (call for call, row in calls.items() if row.own)
    policy.grant("ChangeWhatIsOurs", map(_ec2, changing), scope.arns(own), _OWN, document.stack)
    for kind, resources in _used(need, scope, policy, others).items():
        using = [call for call, row in calls.items() if kind in row.uses]
        # What a launch may use is no place for a new interface: each set of calls has a statement of its own.
        policy.grant("Use", map(_ec2, using), resources, apart=sorted(using))
    _add_external(need, scope, calls, policy, others)
    _add_pass_role(need, scope, policy, others)
    _add_adoption(document, scope, policy)


def _ec2(call: str) -> str:
    return f"ec2:{call}"


def _exists(kind: str, need: _Need) -> bool:
    section = next(section for section, of in _TYPES.items() if of == kind)
    return need.has(section) or need.goes(section)


def _note_scope(document: Document, scope: Scope, policy: Policy) -> None:
    if scope.account == "*":
        policy.note(f"{document.stack}: write account_id into the spec, and the policy is for that account alone")
    if scope.region == "*":
        policy.note(
            f"{document.stack}: write region into the spec or give --region, and the policy is for it alone"
        )
    if document.assume_role_arn:
        policy.note(
            f"{document.stack}: this is for {document.assume_role_arn}; whoever runs enireconcile needs "
            "sts:AssumeRole on it, and nothing else"
        )


def _add_reads(need: _Need, scope: Scope, policy: Policy) -> None:
    where: dict[str, Any] = {}
    if scope.region != "*":
        where = {"StringEquals": {"aws:RequestedRegion": scope.region}}
    calls = [_ec2(call) for call, when in READS.items() if when(need)]
    policy.grant("Read", [*calls, *(["cloudtrail:LookupEvents"] if policy.asked.who else [])], ["*"], where)
    narrow = [_ec2(call) for call, when in READS_OF_OURS.items() if when(need)]
    policy.grant("ReadOurs", narrow, [scope.arn("instance")], _OWN, need.document.stack)
    parameters = {image.ssm for image in need.images if image.ssm is not None}
    policy.grant("ReadImageParameters", ["ssm:GetParameter"], {_parameter(scope, name) for name in parameters})
    if policy.asked.bucket:
        name, _, prefix = policy.asked.bucket.partition("/")
        prefix = prefix.strip("/")
        bucket = f"arn:{scope.partition}:s3:::{name}"
        objects = f"{bucket}/{prefix}/*" if prefix else f"{bucket}/*"
        policy.grant("KeepState", ["s3:GetObject", "s3:PutObject"], [objects])
        inside = {"StringLike": {"s3:prefix": f"{prefix}/*"}} if prefix else None
        policy.grant("FindState", ["s3:ListBucket"], [bucket], inside)


def _parameter(scope: Scope, name: str) -> str:
    """The parameters that AWS publishes belong to no account."""
    name = re.sub(r":[^/:]*$", "", name) if not name.startswith("arn:") else name
    if name.startswith("arn:"):
        return name
    account = "" if name.startswith("/aws/") else scope.account
    return f"arn:{scope.partition}:ssm:{scope.region}:{account}:parameter/{name.lstrip('/')}"


def _used(need: _Need, scope: Scope, policy: Policy, others: _Others) -> dict[str, set[str]]:
    """The resources behind each word that ``uses`` knows, but for those that are other people's."""
    document = need.document
    subnets = {row.subnet.id if row.subnet is not None else None for row in need.interfaces}
    vpcs = {row.vpc.id for row in document.security_groups.values()}
    pools = {row.public_ipv4_pool for row in document.elastic_ips.values()} - {None}
    keys = {row.key_name for row in need.instances if row.key_name is not None}
    return {
        "vpc": _named(scope, "vpc", vpcs),
        "subnet": _named(scope, "subnet", subnets),
        "security-group": _foreign_groups(need, scope),
        "image": _named(scope, "image", {image.id for image in need.images}),
        "key-pair": {scope.arn("key-pair", key) for key in keys},
        # IAM has no key for the tags of an interface that a launch is handed, nor are volumes tagged by us.
        "volume": {scope.arn("volume")},
        "network-interface": {scope.arn("network-interface")},
        "ipv4pool-ec2": {scope.arn("ipv4pool-ec2", str(pool)) for pool in pools},
        "target": _targets(need, scope, policy, others),
    }


def _named(scope: Scope, kind: str, ids: Iterable[str | None]) -> set[str]:
    """The ids that the spec names; any, as soon as it leaves one to be found."""
    ids = set(ids)
    return {scope.arn(kind)} if None in ids else {scope.arn(kind, str(each)) for each in ids}


def _foreign_groups(need: _Need, scope: Scope) -> set[str]:
    """Groups of others on interfaces of ours; a default group is known only to EC2."""
    names = {group for row in need.interfaces for group in row.security_groups or ()}
    if any(row.security_groups is None for row in need.interfaces):
        return {scope.arn("security-group")}
    return {scope.arn("security-group", name) for name in names if name.startswith("sg-")}


def _targets(need: _Need, scope: Scope, policy: Policy, others: _Others) -> set[str]:
    """Interfaces of others that Elastic IPs of ours lead to."""
    found: set[str] = set()
    for name, row in need.document.elastic_ips.items():
        if row.association is None:
            continue
        interface, instance = row.association.network_interface, row.association.instance
        if interface is not None and interface.startswith("eni-"):
            found.add(scope.arn("network-interface", interface))
        elif instance is not None and need.document.primary_interface(instance) is None:
            if not others.by_type["network-interface"]:
                policy.note(
                    f"{need.document.stack}: elastic_ips.{name} leads to the primary interface of {instance}; its "
                    "id is not in the spec, so addresses may be put on any interface; --also ARN names it"
                )
                found.add(scope.arn("network-interface"))
            found.update(others.by_type["network-interface"])
    return found


def _add_external(need: _Need, scope: Scope, calls: Mapping[str, Write], policy: Policy, others: _Others) -> None:
    """Other people's instances that hold our interfaces, and interfaces that are in our way."""
    moving = [call for call, row in calls.items() if "external" in row.uses]
    holding = [*moving, *(call for call in ("ModifyNetworkInterfaceAttribute",) if call in calls)]
    for row in need.document.external_instances.values():
        if row.external.id is not None:
            policy.grant("UseInstances", map(_ec2, holding), [scope.arn("instance", row.external.id)])
            continue
        tags = {f"aws:ResourceTag/{key}": value for key, value in sorted((row.external.tags or {}).items())}
        condition = {"StringEquals": tags}
        policy.grant("UseInstancesByTags", map(_ec2, holding), [scope.arn("instance")], condition)
    policy.grant("UseInstances", map(_ec2, holding), others.by_type["instance"])
    evicting = [call for call in ("DetachNetworkInterface", "DisassociateAddress") if call in calls]
    policy.grant("ClearTheWay", map(_ec2, evicting), others.by_type["network-interface"])


def _add_pass_role(need: _Need, scope: Scope, policy: Policy, others: _Others) -> None:
    """A profile's name is in the spec, its role's is not; they are the same where the console has made both."""
    profiles = {row.iam_instance_profile for row in need.instances} - {None}
    if not profiles:
        return
    roles = set(others.by_type["role"])
    for profile in sorted(str(each) for each in profiles) if not roles else ():
        account = profile.split(":")[4] if profile.startswith("arn:") else scope.account
        roles.add(f"arn:{scope.partition}:iam::{account}:role/{profile.rpartition('/')[2]}")
        policy.note(
            f"{need.document.stack}: the role of the instance profile {profile} is taken to have the same name; "
            "--also ARN names another"
        )
    service = "ec2.amazonaws.com.cn" if scope.partition == "aws-cn" else "ec2.amazonaws.com"
    policy.grant("PassRole", ["iam:PassRole"], roles, {"StringEquals": {"iam:PassedToService": service}})


def _add_adoption(document: Document, scope: Scope, policy: Policy) -> None:
    """What the spec adopts may become ours, if it is nobody's yet."""
    adopted = {scope.arn(_TYPES[address.partition(".")[0]], each) for address, each in document.adopted.items()}
    condition = {
        **_BORN,
        "StringEqualsIfExists": {f"aws:ResourceTag/{STACK_TAG}": STACKS},
    }
    policy.grant("Adopt", ["ec2:CreateTags"], adopted, condition, document.stack)


def _add_deny(documents: Sequence[Document], policy: Policy) -> None:
    """Who belongs to whom is said once, at birth (or at adoption): else a tag would open every door."""
    adopted = {arn for (sid, _), each in policy.statements.items() if sid == "Adopt" for arn in each.resources}
    condition: dict[str, dict[str, Any]] = {
        "ForAnyValue:StringEquals": {"aws:TagKeys": [STACK_TAG, NAME_TAG]},
        "Null": {"ec2:CreateAction": "true"},
    }
    policy.statements["Deny", ""] = Statement(
        "NeverChangeOwnership",
        condition,
        {"ec2:CreateTags", "ec2:DeleteTags"},
        adopted or {"*"},
        {document.stack for document in documents},
        effect="Deny",
        spared=bool(adopted),
    )


def calls() -> Iterator[str]:
    """Every call of the table."""
    yield from READS
    yield from READS_OF_OURS
    yield from WRITES
