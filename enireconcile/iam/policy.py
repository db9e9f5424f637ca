"""The least IAM policy that planning or applying given specs needs. Pure.

The kinds declare their calls, how far IAM lets each be narrowed, and which attributes need them
(``kinds.permissions``). Here the specs decide which calls are needed, and on which resources.

IAM evaluates a statement for each resource of a call by itself, so a new interface and the subnet in which it is
created need a statement each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from enireconcile.errors import EnireconcileError
from enireconcile.iam.statements import STACKS, Asked, Policy, Scope, Statement, minimal, numbered
from enireconcile.kinds import KINDS
from enireconcile.kinds.permissions import Call, Purpose
from enireconcile.kinds.tags import calls_for
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.spec import Document

_TYPES = {kind.section: kind.resource_type for kind in KINDS if kind.resource_type}
_CALLS: Mapping[str, Call] = {
    **{call: needs for kind in KINDS for call, needs in kind.calls.items()},
    **calls_for(tuple(_TYPES.values())),
}
"""Every call that changes something; a test fails for a call that is not here."""


def calls() -> Iterator[str]:
    """Every EC2 call that a policy may allow."""
    for kind in KINDS:
        yield from kind.reads
    yield from _CALLS


def _is_needed(call: str, purpose: Purpose) -> bool:
    """Is the call needed as such, or for an attribute that a row sets?"""
    return _CALLS[call].when(purpose) or any(
        attribute.needs_calls(row)
        for kind in KINDS
        for attribute in kind.attributes
        if call in attribute.calls
        for row in purpose.rows(kind.section)
    )


def _reads(purpose: Purpose, *, owned: bool) -> list[str]:
    """The reads that are needed: those of resources with the stack's tag, or those of any resource."""
    reads = (each for kind in KINDS for each in kind.reads.items())
    return [_ec2(call) for call, read in reads if read.owned is owned and read.when(purpose)]


_CREATED = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": STACKS}}
_OWNED = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": STACKS}}


def policy_for(documents: Sequence[Document], asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """The policy, and notes on what could make it narrower. Raises EnireconcileError for an ARN it cannot use."""
    policy = Policy(asked)
    others = _Others(asked.also)
    for document in documents:
        _add(document, policy, others)
    if not asked.read_only:
        _add_deny(documents, policy)
    statements = numbered(minimal(each) for each in policy.statements.values())
    return {"Version": "2012-10-17", "Statement": statements}, policy.notes


class _Others:
    """ARNs of resources outside the stacks, by type."""

    def __init__(self, arns: Sequence[str]) -> None:
        self.by_type: dict[str, list[str]] = {"instance": [], "network-interface": [], "role": []}
        for arn in arns:
            found = re.fullmatch(
                r"arn:[a-z0-9-]+:(?:ec2:[a-z0-9-]+|iam:):\d{12}:(instance|network-interface|role)/\S+", arn
            )
            if not found:
                raise EnireconcileError(
                    f"--also takes ARNs of instances, network interfaces and roles, not {arn}",
                    hint="for example arn:aws:ec2:us-east-1:123456789012:network-interface/eni-0123456789abcdef0",
                )
            self.by_type[found[1]].append(arn)


def _add(document: Document, policy: Policy, others: _Others) -> None:
    purpose = Purpose(document, policy.asked.destroy, policy.asked.prune)
    scope = Scope(policy.asked.region or document.region or "*", document.account_id or "*")
    _note_scope(document, scope, policy)
    _add_reads(purpose, scope, policy)
    if policy.asked.read_only:
        return
    calls = {call: each for call, each in _CALLS.items() if _is_needed(call, purpose)}
    creating = {call: each for call, each in calls.items() if each.creates}
    created = scope.arns({kind for each in creating.values() for kind in each.creates})
    policy.grant("Create", map(_ec2, creating), created, _CREATED, document.stack)
    tagging = {"StringEquals": {**_CREATED["StringEquals"], "ec2:CreateAction": sorted(creating)}}
    policy.grant("TagWhatIsCreated", ["ec2:CreateTags"], created, tagging, document.stack)
    existing = {kind for section, kind in _TYPES.items() if purpose.keeps_or_removes(section)}
    changed = scope.arns({kind for each in calls.values() for kind in each.changes} & existing)
    changing = (call for call, each in calls.items() if each.changes)
    policy.grant("ChangeWhatIsOurs", map(_ec2, changing), changed, _OWNED, document.stack)
    for kind, resources in _used(purpose, scope, policy, others).items():
        using = [call for call, each in calls.items() if kind in each.uses]
        # One statement for each set of calls: RunInstances may use other subnets than CreateNetworkInterface.
        policy.grant("Use", map(_ec2, using), resources, apart=sorted(using))
    _add_external(purpose, scope, calls, policy, others)
    _add_pass_role(purpose, scope, policy, others)
    _add_adoption(document, scope, policy)


def _ec2(call: str) -> str:
    return f"ec2:{call}"


def _note_scope(document: Document, scope: Scope, policy: Policy) -> None:
    if scope.account == "*":
        policy.note(f"{document.stack}: write account_id into the spec to limit the policy to that account")
    if scope.region == "*":
        policy.note(
            f"{document.stack}: write region into the spec, or give --region, to limit the policy to that Region"
        )
    if document.assume_role_arn:
        policy.note(
            f"{document.stack}: attach this policy to {document.assume_role_arn}; the credentials that run "
            "enireconcile need only sts:AssumeRole on it"
        )


def _add_reads(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    where: dict[str, Any] = {}
    if scope.region != "*":
        where = {"StringEquals": {"aws:RequestedRegion": scope.region}}
    trail = ["cloudtrail:LookupEvents"] if policy.asked.who else []
    policy.grant("Read", [*_reads(purpose, owned=False), *trail], ["*"], where)
    owned = _reads(purpose, owned=True)
    policy.grant("ReadOurs", owned, [scope.arn("instance")], _OWNED, purpose.document.stack)
    parameters = {image.ssm for image in _images(purpose) if image.ssm is not None}
    policy.grant("ReadImageParameters", ["ssm:GetParameter"], {_parameter(scope, name) for name in parameters})
    if policy.asked.bucket:
        name, _, prefix = policy.asked.bucket.partition("/")
        prefix = prefix.strip("/")
        bucket = f"arn:{scope.partition}:s3:::{name}"
        objects = f"{bucket}/{prefix}/*" if prefix else f"{bucket}/*"
        policy.grant("KeepState", ["s3:GetObject", "s3:PutObject"], [objects])
        inside = {"StringLike": {"s3:prefix": f"{prefix}/*"}} if prefix else None
        policy.grant("FindState", ["s3:ListBucket"], [bucket], inside)


def _images(purpose: Purpose) -> list[Any]:
    return [row.image for row in purpose.rows("instances") if row.image is not None]


def _parameter(scope: Scope, name: str) -> str:
    """The ARN of a parameter. Those that AWS publishes have no account."""
    name = re.sub(r":[^/:]*$", "", name) if not name.startswith("arn:") else name
    if name.startswith("arn:"):
        return name
    account = "" if name.startswith("/aws/") else scope.account
    return f"arn:{scope.partition}:ssm:{scope.region}:{account}:parameter/{name.lstrip('/')}"


def _used(purpose: Purpose, scope: Scope, policy: Policy, others: _Others) -> dict[str, set[str]]:
    """The resources that each word in ``Call.uses`` stands for; ``external`` is not among them."""
    document = purpose.document
    subnets = {row.subnet.id if row.subnet is not None else None for row in purpose.rows("network_interfaces")}
    vpcs = {row.vpc.id for row in document.security_groups.values()}
    pools = {row.public_ipv4_pool for row in document.elastic_ips.values()} - {None}
    keys = {row.key_name for row in purpose.rows("instances") if row.key_name is not None}
    return {
        "vpc": _named(scope, "vpc", vpcs),
        "subnet": _named(scope, "subnet", subnets),
        "security-group": _foreign_groups(purpose, scope),
        "image": _named(scope, "image", {image.id for image in _images(purpose)}),
        "key-pair": {scope.arn("key-pair", key) for key in keys},
        # RunInstances has no condition key for tags of an existing interface, and volumes get no tags.
        "volume": {scope.arn("volume")},
        "network-interface": {scope.arn("network-interface")},
        "ipv4pool-ec2": {scope.arn("ipv4pool-ec2", str(pool)) for pool in pools},
        "target": _targets(purpose, scope, policy, others),
    }


def _named(scope: Scope, kind: str, ids: Iterable[str | None]) -> set[str]:
    """The ids that the spec names; any id, if one of them (None) is only known after a read."""
    ids = set(ids)
    return {scope.arn(kind)} if None in ids else {scope.arn(kind, str(each)) for each in ids}


def _foreign_groups(purpose: Purpose, scope: Scope) -> set[str]:
    """Foreign groups on the stack's interfaces. The id of a default group is not in the spec, so that is any."""
    names = {group for row in purpose.rows("network_interfaces") for group in row.security_groups or ()}
    if any(row.security_groups is None for row in purpose.rows("network_interfaces")):
        return {scope.arn("security-group")}
    return {scope.arn("security-group", name) for name in names if name.startswith("sg-")}


def _targets(purpose: Purpose, scope: Scope, policy: Policy, others: _Others) -> set[str]:
    """Foreign interfaces with which Elastic IPs of the stack are associated."""
    found: set[str] = set()
    for name, row in purpose.document.elastic_ips.items():
        if row.association is None:
            continue
        interface, instance = row.association.network_interface, row.association.instance
        if interface is not None and interface.startswith("eni-"):
            found.add(scope.arn("network-interface", interface))
        elif instance is not None and purpose.document.primary_interface(instance) is None:
            if not others.by_type["network-interface"]:
                policy.note(
                    f"{purpose.document.stack}: elastic_ips.{name} is associated with the primary interface of "
                    f"{instance}, whose id is not in the spec, so the policy allows any interface; give the "
                    "interface with --also ARN to narrow it"
                )
                found.add(scope.arn("network-interface"))
            found.update(others.by_type["network-interface"])
    return found


def _add_external(
    purpose: Purpose, scope: Scope, calls: Mapping[str, Call], policy: Policy, others: _Others
) -> None:
    """Instances outside the stack to which its interfaces are attached, and interfaces that are in the way."""
    moving = [call for call, each in calls.items() if "external" in each.uses]
    holding = [*moving, *(call for call in ("ModifyNetworkInterfaceAttribute",) if call in calls)]
    for row in purpose.document.external_instances.values():
        if row.external.id is not None:
            policy.grant("UseInstances", map(_ec2, holding), [scope.arn("instance", row.external.id)])
            continue
        tags = {f"aws:ResourceTag/{key}": value for key, value in sorted((row.external.tags or {}).items())}
        condition = {"StringEquals": tags}
        policy.grant("UseInstancesByTags", map(_ec2, holding), [scope.arn("instance")], condition)
    policy.grant("UseInstances", map(_ec2, holding), others.by_type["instance"])
    evicting = [call for call in ("DetachNetworkInterface", "DisassociateAddress") if call in calls]
    policy.grant("ClearTheWay", map(_ec2, evicting), others.by_type["network-interface"])


def _add_pass_role(purpose: Purpose, scope: Scope, policy: Policy, others: _Others) -> None:
    """The spec names the profile, not its role; the console gives both the same name."""
    profiles = {row.iam_instance_profile for row in purpose.rows("instances")} - {None}
    if not profiles:
        return
    roles = set(others.by_type["role"])
    for profile in sorted(str(each) for each in profiles) if not roles else ():
        account = profile.split(":")[4] if profile.startswith("arn:") else scope.account
        roles.add(f"arn:{scope.partition}:iam::{account}:role/{profile.rpartition('/')[2]}")
        policy.note(
            f"{purpose.document.stack}: the role of the instance profile {profile} is assumed to have the same "
            "name; if it has another one, give its ARN with --also"
        )
    service = "ec2.amazonaws.com.cn" if scope.partition == "aws-cn" else "ec2.amazonaws.com"
    policy.grant("PassRole", ["iam:PassRole"], roles, {"StringEquals": {"iam:PassedToService": service}})


def _add_adoption(document: Document, scope: Scope, policy: Policy) -> None:
    """Resources that the spec adopts may be tagged, if no other stack owns them."""
    adopted = {scope.arn(_TYPES[address.partition(".")[0]], each) for address, each in document.adopted.items()}
    condition = {
        **_CREATED,
        "StringEqualsIfExists": {f"aws:ResourceTag/{STACK_TAG}": STACKS},
    }
    policy.grant("Adopt", ["ec2:CreateTags"], adopted, condition, document.stack)


def _add_deny(documents: Sequence[Document], policy: Policy) -> None:
    """Ownership tags are set once, at creation or adoption. To change them would grant access to any resource."""
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
