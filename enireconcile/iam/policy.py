"""The least IAM policy that planning or applying given specs needs. Pure.

The kinds declare their calls, how far IAM lets each be narrowed, and which attributes need them
(``kinds.permissions``). Here the specs decide which calls are needed, and on which resources.

IAM evaluates a statement for each resource of a call by itself, so a new interface and the subnet in which it is
created need a statement each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from enireconcile.errors import EnireconcileError
from enireconcile.iam.statements import (
    STACKS,
    Asked,
    Policy,
    Scope,
    both,
    literal_arn,
    minimal,
    numbered,
)
from enireconcile.kinds import KINDS
from enireconcile.kinds.launch import DESCRIBE_KEY, names_used, reads_attributes
from enireconcile.kinds.permissions import Call, Condition, Purpose, Read, unconditional
from enireconcile.kinds.tags import among, calls_for, spec_keys
from enireconcile.ownership import NAME_TAG, NEW_TAG, OWN_TAGS, STACK_TAG, USER_DATA_TAG
from enireconcile.spec import (
    Document,
    ForeignSelector,
    NetworkInterface,
    RouteTableSelector,
    Selector,
    without_selectors,
)

_TYPES = {kind.section: kind.resource_type for kind in KINDS if kind.resource_type}
_TAGGING = calls_for(tuple(_TYPES.values()))
_CALLS: Mapping[str, Call] = {
    **{call: needs for kind in KINDS for call, needs in kind.calls.items()},
    **_TAGGING,
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


def _reads(purpose: Purpose, *, owned: bool) -> list[tuple[str, Read]]:
    """The reads that are needed: those of resources with the stack's tag, or those of any resource."""
    reads = (each for kind in KINDS for each in kind.reads.items())
    return [(_ec2(call), read) for call, read in reads if read.owned is owned and read.when(purpose)]


_CREATED: Condition = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": STACKS}}
_OWNED: Condition = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": STACKS}}


def policy_for(documents: Sequence[Document], asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """The policy, and notes on what could make it narrower. Raises EnireconcileError for an ARN it cannot use."""
    policy = Policy(asked)
    others = _Others(asked.also)
    for document in documents:
        _add(document, policy, others)
    if not asked.read_only:
        _add_denials(documents, policy)
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
    _add_creation(purpose, scope, calls, policy)
    limits = both(*(each.limits(purpose) for each in calls.values()))
    absent = {kind for section, kind in _TYPES.items() if not purpose.keeps_or_removes(section)}
    for call, each in calls.items():
        changed = {"*"} if call in _TAGGING else scope.arns({*each.changes} - absent)
        where = _region(scope) if call in _TAGGING else {}
        # A call that creates has its conditions on the new resource.
        for condition in unconditional(purpose) if each.creates else each.conditions(purpose):
            ours = both(_OWNED, condition or limits, where)
            policy.grant("ChangeWhatIsOurs", [_ec2(call)], changed, ours, document.stack)
    for kind, selected in _used(purpose, scope, policy, others).items():
        using = [call for call, each in calls.items() if kind in each.uses]
        for arn, condition in selected:
            # One statement for each set of calls: RunInstances may use other subnets than CreateNetworkInterface.
            policy.grant("Use", map(_ec2, using), [arn], condition, apart=sorted(using))
    _add_external(purpose, scope, calls, policy, others)
    _add_pass_role(purpose, scope, policy, others)
    _add_adoption(purpose, scope, policy)
    _add_renaming(purpose, scope, policy)


def _add_creation(purpose: Purpose, scope: Scope, calls: Mapping[str, Call], policy: Policy) -> None:
    """What the stack creates carries its tag, and no tag keys that a plan does not set.

    IAM compares the key in ``aws:RequestTag/key`` without case, but ``aws:TagKeys`` with case. Without the list of
    keys, a resource with the tag ``Enireconcile:Stack`` could be created, which no plan would find.
    """
    stack = purpose.document.stack
    for call, each in calls.items():
        for condition in each.conditions(purpose) if each.creates else ():
            policy.grant("Create", [_ec2(call)], scope.arns(each.creates), both(_CREATED, condition), stack)
    tagging = both(
        _CREATED,
        {"Null": {"ec2:CreateAction": "false"}},
        among({*spec_keys(purpose), *OWN_TAGS}),
    )
    policy.grant("TagWhatIsCreated", ["ec2:CreateTags"], ["*"], both(tagging, _region(scope)), stack)
    _add_volume_tags(purpose, scope, policy)


def _add_volume_tags(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    """The volumes of a launch get tags of the spec. They carry no tag of the stack, which does not manage them."""
    rows = [row for row in purpose.rows("instances") if row.volume_tags is not None]
    keys = {key for row in rows for key in (*purpose.document.tags, *row.tags, *row.volume_tags)}
    if keys:
        condition = both({"StringEquals": {"ec2:CreateAction": "RunInstances"}}, among(keys))
        policy.grant("TagVolumes", ["ec2:CreateTags"], [scope.arn("volume")], condition, purpose.document.stack)


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


def _region(scope: Scope) -> Condition:
    """The condition for a statement on any resource."""
    return {} if scope.region == "*" else {"StringEquals": {"aws:RequestedRegion": scope.region}}


def _add_reads(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    trail = ["cloudtrail:LookupEvents"] if policy.asked.who else []
    policy.grant("Read", [*(call for call, _ in _reads(purpose, owned=False)), *trail], ["*"], _region(scope))
    for call, read in _reads(purpose, owned=True):
        for condition in read.conditions(purpose):
            owned = both(_OWNED, condition)
            policy.grant("ReadOurs", [call], [scope.arn("instance")], owned, purpose.document.stack)
    adopted = [row.adopt for row in purpose.rows("instances") if reads_attributes(row)]
    before = [scope.arn("instance", each) for each in adopted if each is not None]
    policy.grant("ReadWhatIsAdopted", ["ec2:DescribeInstanceAttribute"], before)
    _add_keys(purpose, scope, policy)
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


def _add_keys(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    """KMS keys of volumes. EC2 uses a key in the name of who launches; an alias is no resource of IAM's."""
    launched = purpose.rows("instances")
    for name in sorted({name for row in launched for call, _, name in names_used(row) if call == DESCRIBE_KEY}):
        plain = name.rpartition(":")[2].removeprefix("key/")
        region, account = name.split(":")[3:5] if name.startswith("arn:") else (scope.region, scope.account)
        is_alias = plain.startswith("alias/")
        keys = [f"arn:{scope.partition}:kms:{region}:{account}:key/{'*' if is_alias else plain}"]
        named: Condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": plain}} if is_alias else {}
        policy.grant("ReadKeys", ["kms:DescribeKey"], keys, named)
        if not policy.asked.read_only:
            service = f"ec2.{region}.amazonaws.com{'.cn' if scope.partition == 'aws-cn' else ''}"
            via = both(named, {"StringLike": {"kms:ViaService": service}})
            policy.grant("UseKeys", _KEY_USES, keys, via)
            grants = both(via, {"Bool": {"kms:GrantIsForAWSResource": "true"}})
            policy.grant("GrantKeys", ["kms:CreateGrant"], keys, grants)


_KEY_USES = ("kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo")
"""What EC2 does with the key of a volume (EC2 user guide, "Amazon EBS encryption"), besides making a grant."""


def _images(purpose: Purpose) -> list[Any]:
    return [row.image for row in purpose.rows("instances") if row.image is not None]


def _parameter(scope: Scope, name: str) -> str:
    """The ARN of a parameter. Those that AWS publishes have no account."""
    name = re.sub(r":[^/:]*$", "", name) if not name.startswith("arn:") else name
    if name.startswith("arn:"):
        return name
    account = "" if name.startswith("/aws/") else scope.account
    return f"arn:{scope.partition}:ssm:{scope.region}:{account}:parameter/{name.lstrip('/')}"


_Selected = list[tuple[str, Condition]]
"""ARNs, each with a condition on the resource."""


def _used(purpose: Purpose, scope: Scope, policy: Policy, others: _Others) -> dict[str, _Selected]:
    """The resources that each word in ``Call.uses`` stands for; ``external`` is not among them."""
    document = purpose.document
    pools = {row.public_ipv4_pool for row in document.elastic_ips.values()} - {None}
    launches = purpose.rows("instances")
    groups = {row.placement.group for row in launches if row.placement is not None} - {None, ""}
    reservations = {row.capacity_reservation for row in launches} - {None}
    targets = {each.capacity_reservation_target for each in reservations} - {None}
    snapshots = {volume.snapshot_id for row in launches for volume in row.volumes or ()} - {None}
    keys = {row.key_name for row in purpose.rows("instances") if row.key_name is not None}
    images = {image.id for image in _images(purpose)}
    arns = {
        "image": {scope.arn("image")} if None in images else {scope.arn("image", str(each)) for each in images},
        "key-pair": {scope.arn("key-pair", literal_arn(key)) for key in keys},
        "placement-group": {scope.arn("placement-group", literal_arn(group)) for group in groups},
        "capacity-reservation": {
            scope.arn("capacity-reservation", target.capacity_reservation_id or "*") for target in targets
        },
        "snapshot": {scope.arn("snapshot", each) for each in snapshots},
        "spot-instances-request": {
            scope.arn("spot-instances-request") for row in launches if row.spot is not None
        },
        # RunInstances has no condition key for tags of an existing interface, and few volumes get tags.
        "volume": {scope.arn("volume")},
        "network-interface": {scope.arn("network-interface")},
        "ipv4pool-ec2": {scope.arn("ipv4pool-ec2", str(pool)) for pool in pools},
        "target": _targets(purpose, scope, policy, others),
    }
    return {
        "security-group": _foreign_groups(purpose, scope),
        "vpc": _selected(scope, "vpc", [row.vpc for row in document.security_groups.values()]),
        "route-table": _route_tables(purpose, scope),
        "subnet": _selected(scope, "subnet", [_subnet(row) for row in purpose.rows("network_interfaces")]),
        **{kind: [(arn, {}) for arn in sorted(found)] for kind, found in arns.items()},
    }


def _subnet(row: NetworkInterface) -> Selector | None:
    """The selector of the interface's subnet; None if it can be in any subnet."""
    return None if "subnet" in row.lifecycle.ignore else row.subnet


def _selected(scope: Scope, kind: str, selectors: Iterable[Selector | None]) -> _Selected:
    """The VPCs or subnets that the selectors can match, as far as they are selected by id or by tags."""
    return _widest(scope, kind, [_selection(scope, kind, each) for each in selectors])


def _widest(scope: Scope, kind: str, found: _Selected) -> _Selected:
    """These resources, or just any of the kind where any is among them."""
    anything: tuple[str, Condition] = (scope.arn(kind), {})
    return [anything] if anything in found else found


def _route_tables(purpose: Purpose, scope: Scope) -> _Selected:
    """The route tables that the spec names by id or by tags. IAM does not know which subnets a table serves."""
    return _widest(
        scope,
        "route-table",
        [_selection(scope, "route-table", each) for each in purpose.document.route_tables],
    )


def _selection(scope: Scope, kind: str, selector: Selector | RouteTableSelector | None) -> tuple[str, Condition]:
    if selector is not None and selector.id is not None:
        return scope.arn(kind, selector.id), {}
    if selector is not None and selector.tags is not None:
        return scope.arn(kind), _tagged(selector.tags)
    return scope.arn(kind), {}


def _tagged(tags: Mapping[str, str]) -> Condition:
    """The condition that a resource has these tags."""
    return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in sorted(tags.items())}}


def _foreign_groups(purpose: Purpose, scope: Scope) -> _Selected:
    """Foreign groups on the stack's interfaces, as far as they are selected by id or by tags.

    IAM has no condition for the name of a group, and the ids of default groups, and of those that other tools add,
    are not in the spec: these are any.
    """
    rows = purpose.rows("network_interfaces")
    named = {item for row in rows for item in without_selectors(row.security_groups)}
    found: _Selected = [(scope.arn("security-group", name), {}) for name in named if name.startswith("sg-")]
    selectors = [item for row in rows for item in row.security_groups or () if isinstance(item, ForeignSelector)]
    found += [
        (scope.arn("security-group"), _tagged(each.tags) if each.tags is not None else {}) for each in selectors
    ]
    if any(row.security_groups is None or "security_groups" in row.lifecycle.additive for row in rows):
        found.append((scope.arn("security-group"), {}))
    return _widest(scope, "security-group", sorted(found, key=repr))


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
        policy.grant(
            "UseInstancesByTags", map(_ec2, holding), [scope.arn("instance")], _tagged(row.external.tags or {})
        )
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


def _add_adoption(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    """Resources that the spec adopts may be tagged with their names in it, if no other stack owns them."""
    document = purpose.document
    adopted = {scope.arn(_TYPES[address.partition(".")[0]], each) for address, each in document.adopted.items()}
    named: Condition = {
        "StringEqualsIfExists": {
            f"aws:ResourceTag/{STACK_TAG}": STACKS,
            f"aws:RequestTag/{NAME_TAG}": sorted(document.adopted),
        }
    }
    told = {USER_DATA_TAG for row in purpose.rows("instances") if row.adopt and row.user_data is not None}
    keys = among({*spec_keys(purpose), STACK_TAG, NAME_TAG, *told})
    policy.grant("Adopt", ["ec2:CreateTags"], adopted, both(_CREATED, named, keys), document.stack)


def _add_renaming(purpose: Purpose, scope: Scope, policy: Policy) -> None:
    """Resources of the stack that have a former name of a row may get its present one."""
    renamed = purpose.document.renamed
    for kind in sorted({_TYPES[address.partition(".")[0]] for address in renamed}):
        rows = {new: old for new, old in renamed.items() if _TYPES[new.partition(".")[0]] == kind}
        named: Condition = {
            "StringEquals": {
                f"aws:ResourceTag/{NAME_TAG}": sorted(rows.values()),
                f"aws:RequestTag/{NAME_TAG}": sorted(rows),
            }
        }
        keys = among({*spec_keys(purpose), NAME_TAG})
        policy.grant(
            "Rename", ["ec2:CreateTags"], [scope.arn(kind)], both(_OWNED, named, keys), purpose.document.stack
        )


def _add_denials(documents: Sequence[Document], policy: Policy) -> None:
    """Ownership tags are set once, at creation or adoption. To change them would grant access to any resource.
    Only the name changes, to that of a row with ``renamed_from``.

    These hold whatever other policies allow. A request of DeleteTags without keys deletes all tags, and has no
    ``aws:TagKeys``: ForAnyValue is false for it.
    """
    adopted = {arn for (sid, _), each in policy.statements.items() if sid == "Adopt" for arn in each.resources}
    renamed = {address for each in documents for address in each.renamed}
    ownership, unnamed = _tagging({*OWN_TAGS} - {NEW_TAG}), _tagging({*OWN_TAGS} - {NEW_TAG, NAME_TAG})
    without_keys = both(_OWNED, {"Null": {"aws:TagKeys": "true"}})
    policy.deny("NeverDeleteAllTags", {"ec2:DeleteTags"}, {"*"}, without_keys, {each.stack for each in documents})
    if not (adopted or renamed):
        policy.deny("NeverChangeOwnership", {"ec2:CreateTags", "ec2:DeleteTags"}, {"*"}, ownership)
        return
    policy.deny("NeverDisown", {"ec2:DeleteTags"}, {"*"}, ownership)
    changed = unnamed if renamed else ownership
    policy.deny("NeverChangeOwnership", {"ec2:CreateTags"}, adopted or {"*"}, changed, spared=bool(adopted))
    if renamed:
        names = sorted(renamed.union(*(each.adopted for each in documents)))
        others: Condition = {"StringNotEquals": {f"aws:RequestTag/{NAME_TAG}": names}}
        policy.deny("NeverRename", {"ec2:CreateTags"}, {"*"}, both(_tagging({NAME_TAG}), others))


def _tagging(keys: Collection[str]) -> Condition:
    """The condition that a request sets or deletes one of these tags on an existing resource."""
    return {"ForAnyValue:StringEquals": {"aws:TagKeys": sorted(keys)}, "Null": {"ec2:CreateAction": "true"}}
