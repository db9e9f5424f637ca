"""IAM as the strict EC2 asks it: which resources a call is checked on, in which context, and what a policy says.

What is checked of each call, and which condition keys it brings, is from the Service Authorization Reference
("Actions, resources, and condition keys for Amazon EC2"); how a policy is evaluated is from the IAM user guide
("Policy evaluation logic", "Condition operators"). Nothing here is taken from the package under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import EC2Error
from .records import Data, Params, Settings
from .state import is_read

Context = Mapping[str, Sequence[str]]
"""Condition keys to their values; a key that is absent has none."""


# Policies


@dataclass
class Policy:
    """An identity-based policy. ``used`` collects the actions that it has allowed."""

    document: Mapping[str, Any]
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        assert self.document["Version"] == "2012-10-17"
        self._statements = [_Statement(words) for words in self.document["Statement"]]

    def allows(self, action: str, resource: str, context: Context) -> bool:
        """IAM docs: an explicit Deny wins; without an Allow it is denied."""
        return self.objection(action, resource, context) is None

    def objection(self, action: str, resource: str, context: Context) -> str | None:
        """Why it is not allowed, as AWS says it; None if it is."""
        fitting = [each.effect for each in self._statements if each.fits(action, resource, context)]
        if "Deny" in fitting:
            return "with an explicit deny in an identity-based policy"
        if "Allow" not in fitting:
            return f"because no identity-based policy allows the {action} action"
        self.used.add(action)
        return None


class _Statement:
    def __init__(self, words: Mapping[str, Any]) -> None:
        known = {"Sid", "Effect", "Action", "Resource", "NotResource", "Condition"}
        assert set(words) <= known, f"IAM knows no {set(words) - known}"
        assert ("Resource" in words) != ("NotResource" in words)
        self.effect: str = words["Effect"]
        assert self.effect in ("Allow", "Deny")
        self._actions = [_glob(each, re.IGNORECASE) for each in _listed(words["Action"])]
        self._resources = [_glob(each) for each in _listed(words.get("Resource", ()))]
        self._others = [_glob(each) for each in _listed(words.get("NotResource", ()))]
        self._conditions = [
            (_operator(operator), key, _listed(values))
            for operator, tests in words.get("Condition", {}).items()
            for key, values in tests.items()
        ]

    def fits(self, action: str, resource: str, context: Context) -> bool:
        """All elements must fit, and all conditions hold."""
        if not any(pattern.fullmatch(action) for pattern in self._actions):
            return False
        if self._others:
            if any(pattern.fullmatch(resource) for pattern in self._others):
                return False
        elif not any(pattern.fullmatch(resource) for pattern in self._resources):
            return False
        # IAM docs: keys are compared without case, so Stack and stack are one key. Which one counts if a request
        # has both is not documented: the one that grants more.
        some = any if self.effect == "Allow" else all
        return all(
            some(holds(have, wanted) for have in _values(context, key)) for holds, key, wanted in self._conditions
        )


def _listed(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _values(context: Context, key: str) -> list[list[str] | None]:
    """The values of each spelling of a key; IAM docs: a key without values counts as absent."""
    found = [list(values) for spelled, values in context.items() if spelled.lower() == key.lower()]
    return [values or None for values in found] or [None]


def _glob(pattern: str, flags: int = 0, *, wildcards: bool = True) -> re.Pattern[str]:
    """IAM docs: ${*}, ${?} and ${$} are these characters; any other ${…} is a variable, and none is in use."""
    words = ""
    for part in re.split(r"(\$\{[^}]*\}|[*?])", pattern):
        if part.startswith("${"):
            assert part in ("${*}", "${?}", "${$}"), f"{part} is a policy variable"
            words += re.escape(part[2])
        elif wildcards and part in ("*", "?"):
            words += ".*" if part == "*" else "."
        else:
            words += re.escape(part)
    return re.compile(words, flags | re.DOTALL)


Test = Callable[[list[str] | None, list[str]], bool]


def _operator(name: str) -> Test:
    """IAM docs: several values of one key are joined by OR; a negated operator holds for a key that is absent."""
    if name == "Null":
        return lambda have, wanted: (have is None) == (wanted == ["true"])
    quantifier, _, plain = name.rpartition(":")
    base, if_exists = plain.removesuffix("IfExists"), plain.endswith("IfExists")
    matches = {
        "StringEquals": _equal,
        "StringNotEquals": _equal,
        "StringEqualsIgnoreCase": _equal_ignoring_case,
        "StringNotEqualsIgnoreCase": _equal_ignoring_case,
        "StringLike": _like,
        "StringNotLike": _like,
        "ArnLike": _like,
        "Bool": _equal_ignoring_case,
    }[base]
    negated = "Not" in base

    def test(have: list[str] | None, wanted: list[str]) -> bool:
        if have is None:
            return if_exists or (negated and quantifier != "ForAnyValue") or quantifier == "ForAllValues"
        hits = [any(matches(value, each) for each in wanted) != negated for value in have]
        if quantifier == "ForAnyValue":
            return any(hits)
        if quantifier == "ForAllValues":
            return all(hits)
        assert quantifier == "", name
        assert len(have) == 1, f"{name} is for keys with one value"
        return hits[0]

    return test


def _equal(value: str, wanted: str) -> bool:
    return _glob(wanted, wildcards=False).fullmatch(value) is not None


def _equal_ignoring_case(value: str, wanted: str) -> bool:
    return _glob(wanted, re.IGNORECASE, wildcards=False).fullmatch(value) is not None


def _like(value: str, wanted: str) -> bool:
    return _glob(wanted).fullmatch(value) is not None


# What is checked


@dataclass(frozen=True)
class Check:
    """One question to IAM."""

    action: str
    resource: str
    context: Context


class Account:
    """ARNs and tags of the resources of one account and Region."""

    def __init__(self, data: Data, settings: Settings) -> None:
        self.data = data
        self._place = f"{settings.region}:{settings.account_id}"
        self.region = settings.region
        self._account = settings.account_id

    def arn(self, kind: str, name: str) -> str:
        """EC2 docs: public resources, images say, name no account."""
        place = f"{self.region}:" if kind in ("image", "snapshot") else self._place
        return f"arn:aws:ec2:{place}:{kind}/{name}"

    @property
    def user(self) -> str:
        """Whose permissions are checked, as error messages name it: the session of a role."""
        return f"arn:aws:sts::{self._account}:assumed-role/ops/deploy"

    def role(self, name: str) -> str:
        return f"arn:aws:iam::{self._account}:role/{name}"

    def parameter(self, name: str) -> str:
        """SSM docs: public parameters, whose names begin with /aws/, name no account."""
        place = f"{self.region}:" if name.startswith("/aws/") else self._place
        return f"arn:aws:ssm:{place}:parameter/{name.lstrip('/')}"

    def key(self, action: str, named: str, **more: Sequence[str]) -> Check:
        """KMS docs: a statement names a key by its ARN; its aliases are a condition key."""
        plain = named.split(":")[-1].removeprefix("key/")
        key = self.data.kms_aliases.get(plain, plain)
        aliases = [alias for alias, each in self.data.kms_aliases.items() if each == key]
        return Check(
            action,
            f"arn:aws:kms:{self._place}:key/{key}",
            self.context(**{"kms:ResourceAliases": aliases}, **more),
        )

    def existing(self, action: str, kind: str, name: str) -> Check:
        """On a resource that is there, with its tags; one that is not has none."""
        record = self.records(kind).get(name)
        tags = getattr(record, "tags", {})
        context = {f"aws:ResourceTag/{key}": [value] for key, value in tags.items()}
        if kind in ("instance", "subnet") and record is not None:
            context["ec2:AvailabilityZone"] = [record.zone]
        if kind == "instance" and record is not None:
            context["ec2:InstanceType"] = [record.instance_type]
        return Check(f"ec2:{action}", self.arn(kind, name), self.context(**context))

    def modified(self, action: str, kind: str, name: str, params: Params) -> Check:
        """On a resource, with the attributes that the request sets.

        EC2 docs, "ec2:Attribute": the key is about attributes with one value, so it is absent for lists and
        structures. Denials that others have decoded show it named as the parameter, with booleans in lower case.
        """
        check = self.existing(action, kind, name)
        return Check(check.action, check.resource, {**check.context, **_attributes(params)})

    def new(
        self, action: str, kind: str, tags: Mapping[str, str], more: Mapping[str, Sequence[str]] | None = None
    ) -> Check:
        """On a resource that would be made, with the tags that the request gives it."""
        return Check(f"ec2:{action}", self.arn(kind, "*"), self.context(**_requested(tags), **(more or {})))

    def plain(self, action: str, kind: str, name: str) -> Check:
        """On a resource of which IAM knows no tags."""
        return Check(f"ec2:{action}", self.arn(kind, name), self.context())

    def tagging(
        self, action: str, kind: str, name: str, tags: Mapping[str, str], more: Mapping[str, Sequence[str]]
    ) -> Check:
        there = self.existing(action, kind, name).context if name != "*" else self.context()
        return Check(f"ec2:{action}", self.arn(kind, name), {**there, **_requested(tags), **more})

    def context(self, **more: Sequence[str]) -> Context:
        return {"aws:RequestedRegion": [self.region], "ec2:Region": [self.region], **more}

    def records(self, kind: str) -> Mapping[str, Any]:
        by_kind: dict[str, Mapping[str, Any]] = {
            "instance": self.data.instances,
            "network-interface": self.data.interfaces,
            "elastic-ip": self.data.addresses,
            "security-group": self.data.groups,
            "subnet": self.data.subnets,
            "vpc": self.data.vpcs,
            "image": self.data.images,
            "volume": self.data.volumes,
            "spot-instances-request": self.data.spot_requests,
            "route-table": self.data.route_tables,
        }
        return by_kind[kind]


_PREFIXES = {
    "i": "instance",
    "eni": "network-interface",
    "eipalloc": "elastic-ip",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vol": "volume",
}


def _requested(tags: Mapping[str, str]) -> dict[str, Sequence[str]]:
    requested: dict[str, Sequence[str]] = {f"aws:RequestTag/{key}": [value] for key, value in tags.items()}
    return {**requested, "aws:TagKeys": list(tags)} if tags else {}


def _attributes(params: Params) -> dict[str, Sequence[str]]:
    """The attributes in a request; ``Attribute`` is the name of one whose value is in ``Value``."""
    settings = {key: value for key, value in params.items() if key not in _NO_ATTRIBUTES}
    if "Attribute" in settings:
        return {"ec2:Attribute": [settings["Attribute"]]}
    plain = {key: value["Value"] if _is_boxed(value) else value for key, value in settings.items()}
    plain = {key: value for key, value in plain.items() if isinstance(value, (str, bool, int))}
    values = {
        f"ec2:Attribute/{key}": [str(value).lower() if isinstance(value, bool) else str(value)]
        for key, value in plain.items()
    }
    return {**values, "ec2:Attribute": list(settings)[:1]}


_NO_ATTRIBUTES = frozenset({"InstanceId", "NetworkInterfaceId", "AllocationId", "DryRun", "Value"})


def _is_boxed(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"Value"}


def checks(account: Account, service: str, action: str, params: Params) -> list[Check]:
    """What IAM is asked for one call. Raises AssertionError for a change that has no description here."""
    if service == "sts":
        return []  # IAM docs: GetCallerIdentity needs no permission
    if service == "ssm":
        return [Check(f"ssm:{action}", account.parameter(params["Name"]), account.context())]
    if service == "kms":
        return [account.key(f"kms:{action}", params["KeyId"])]
    if service != "ec2":
        return [Check(f"{service}:{action}", "*", account.context())]
    if action in _RULES:
        return list(_RULES[action](account, action, params))
    assert is_read(action), f"which resources is {action} checked on? Say so in {__name__}"
    return [Check(f"ec2:{action}", "*", account.context())]


def refuse_unless_allowed(policy: Policy, account: Account, service: str, action: str, params: Params) -> None:
    """Raises what AWS answers to who may not."""
    for check in checks(account, service, action, params):
        if why := policy.objection(check.action, check.resource, check.context):
            where = "" if check.resource == "*" else f" on resource: {check.resource}"
            message = f"User: {account.user} is not authorized to perform: {check.action}{where} {why}"
            if service != "ec2":
                raise EC2Error("AccessDeniedException", message, 403)
            message = f"You are not authorized to perform this operation. {message}. {ENCODED}"
            raise EC2Error("UnauthorizedOperation", message, 403)


ENCODED = "Encoded authorization failure message: " + "Vq3_xY-7" * 80
"""EC2 docs: sts:DecodeAuthorizationMessage decodes it."""


Rule = Callable[[Account, str, Params], Iterator[Check]]
_RULES: dict[str, Rule] = {}


def _rule(*actions: str) -> Callable[[Rule], Rule]:
    def keep(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(actions, rule))
        return rule

    return keep


def _born(account: Account, action: str, params: Params, *kinds: str) -> Iterator[Check]:
    """What a call makes. EC2 docs: with tags in the request, tagging it is authorised as well."""
    wanted = {
        each["ResourceType"]: {tag["Key"]: tag.get("Value", "") for tag in each.get("Tags", [])}
        for each in params.get("TagSpecifications", [])
    }
    for kind in kinds:
        tags = wanted.get(kind, {})
        launched = {"ec2:InstanceType": [params["InstanceType"]]} if kind == "instance" else {}
        yield account.new(action, kind, tags, launched)
        if tags:
            yield account.tagging("CreateTags", kind, "*", tags, {"ec2:CreateAction": [action]})


@_rule("CreateNetworkInterface")
def _create_interface(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield from _born(account, action, params, "network-interface")
    yield account.existing(action, "subnet", params["SubnetId"])
    for group in params.get("Groups") or _default_groups(account, params["SubnetId"]):
        yield account.existing(action, "security-group", group)


def _default_groups(account: Account, subnet_id: str) -> list[str]:
    subnet = account.data.subnets.get(subnet_id)
    groups = account.data.groups.values()
    return [group.id for group in groups if subnet and (group.name, group.vpc_id) == ("default", subnet.vpc_id)]


@_rule("RunInstances")
def _run(account: Account, action: str, params: Params) -> Iterator[Check]:
    """EC2 docs: on RunInstances an interface that is there already has no key for its tags."""
    yield from _born(account, action, params, "instance", "volume")
    yield account.plain(action, "image", params["ImageId"])
    if "KeyName" in params:
        yield account.plain(action, "key-pair", params["KeyName"])
    for place in params.get("NetworkInterfaces", []):
        existing = account.data.interfaces.get(place.get("NetworkInterfaceId", ""))
        yield account.plain(action, "network-interface", place.get("NetworkInterfaceId", "*"))
        if existing is not None:
            yield account.existing(action, "subnet", existing.subnet_id)
            for group in existing.group_ids:
                yield account.existing(action, "security-group", group)
    if "IamInstanceProfile" in params:
        yield _passes_role(account, params["IamInstanceProfile"])
    if "InstanceMarketOptions" in params:
        yield from _born(account, action, params, "spot-instances-request")
    if params.get("Placement", {}).get("GroupName"):
        yield account.plain(action, "placement-group", params["Placement"]["GroupName"])
    target = params.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
    if "CapacityReservationId" in target:
        yield account.plain(action, "capacity-reservation", target["CapacityReservationId"])
    for mapping in params.get("BlockDeviceMappings", []):
        ebs = mapping.get("Ebs", {})
        if "SnapshotId" in ebs:
            yield account.plain(action, "snapshot", ebs["SnapshotId"])
        if "KmsKeyId" in ebs:
            yield from _uses_key(account, ebs["KmsKeyId"])


def _uses_key(account: Account, named: str) -> Iterator[Check]:
    """EC2 docs: it uses the key in the name of who launches. What KMS denies ends the instance, not the call."""
    via = {"kms:ViaService": [f"ec2.{account.region}.amazonaws.com"]}
    for use in ("Decrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"):
        yield account.key(f"kms:{use}", named, **via)
    yield account.key("kms:CreateGrant", named, **via, **{"kms:GrantIsForAWSResource": ["true"]})


def _passes_role(account: Account, profile: Params) -> Check:
    """The role of a profile has its name here, as it does when the console makes both."""
    role = account.role((profile.get("Name") or profile["Arn"]).rpartition("/")[2])
    return Check("iam:PassRole", role, account.context(**{"iam:PassedToService": ["ec2.amazonaws.com"]}))


@_rule("AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation")
def _set_profile(account: Account, action: str, params: Params) -> Iterator[Check]:
    associated = [
        instance.id
        for instance in account.data.instances.values()
        if instance.profile_association == params.get("AssociationId")
    ]
    yield account.existing(action, "instance", params.get("InstanceId") or next(iter(associated), "*"))
    yield _passes_role(account, params["IamInstanceProfile"])


@_rule("AllocateAddress")
def _allocate(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield from _born(account, action, params, "elastic-ip")
    if "PublicIpv4Pool" in params:
        yield account.plain(action, "ipv4pool-ec2", params["PublicIpv4Pool"])


@_rule("CreateSecurityGroup")
def _create_group(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield from _born(account, action, params, "security-group")
    if "VpcId" in params:
        yield account.existing(action, "vpc", params["VpcId"])


@_rule("CreateRoute", "ReplaceRoute", "DeleteRoute")
def _route(account: Account, action: str, params: Params) -> Iterator[Check]:
    """EC2 docs: nothing is checked but the route table."""
    yield account.existing(action, "route-table", params["RouteTableId"])


@_rule("AttachNetworkInterface")
def _attach(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.existing(action, "instance", params["InstanceId"])
    yield account.existing(action, "network-interface", params["NetworkInterfaceId"])


@_rule("DetachNetworkInterface")
def _detach(account: Account, action: str, params: Params) -> Iterator[Check]:
    """An attachment that is gone leads to no resource, so no tags match."""
    interface_id = account.data.attachments.get(params["AttachmentId"], "*")
    interface = account.data.interfaces.get(interface_id)
    place = interface.attachment if interface else None
    yield account.existing(action, "instance", (place.instance_id if place else None) or "*")
    yield account.existing(action, "network-interface", interface_id)


@_rule("ModifyNetworkInterfaceAttribute")
def _modify_interface(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.modified(action, "network-interface", params["NetworkInterfaceId"], params)
    for group in params.get("Groups", []):
        yield account.existing(action, "security-group", group)
    interface = account.data.interfaces.get(params["NetworkInterfaceId"])
    if "Attachment" in params and interface and interface.attachment and interface.attachment.instance_id:
        yield account.existing(action, "instance", interface.attachment.instance_id)


@_rule(
    "AssignIpv6Addresses",
    "AssignPrivateIpAddresses",
    "DeleteNetworkInterface",
    "UnassignIpv6Addresses",
    "UnassignPrivateIpAddresses",
)
def _on_interface(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.existing(action, "network-interface", params["NetworkInterfaceId"])


@_rule("ModifyAddressAttribute")
def _modify_address(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.modified(action, "elastic-ip", params["AllocationId"], params)


@_rule("ReleaseAddress", "ResetAddressAttribute")
def _on_address(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.existing(action, "elastic-ip", params["AllocationId"])


@_rule("AssociateAddress")
def _associate(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.existing(action, "elastic-ip", params["AllocationId"])
    for key, kind in (("InstanceId", "instance"), ("NetworkInterfaceId", "network-interface")):
        if key in params:
            yield account.existing(action, kind, params[key])


@_rule("DisassociateAddress")
def _disassociate(account: Account, action: str, params: Params) -> Iterator[Check]:
    allocation = account.data.associations.get(params["AssociationId"], "*")
    yield account.existing(action, "elastic-ip", allocation)
    address = account.data.addresses.get(allocation)
    if address and address.interface_id:
        yield account.existing(action, "network-interface", address.interface_id)


@_rule(
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "DeleteSecurityGroup",
    "RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "UpdateSecurityGroupRuleDescriptionsEgress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
)
def _on_group(account: Account, action: str, params: Params) -> Iterator[Check]:
    """IAM docs, "Allows managing EC2 security groups with a specific tag": rules are only checked when tagged."""
    yield account.existing(action, "security-group", params["GroupId"])


@_rule("StartInstances", "StopInstances", "TerminateInstances", "MonitorInstances", "UnmonitorInstances")
def _on_instances(account: Account, action: str, params: Params) -> Iterator[Check]:
    for instance in params["InstanceIds"]:
        yield account.existing(action, "instance", instance)


@_rule("ModifyInstanceCreditSpecification")
def _credit(account: Account, action: str, params: Params) -> Iterator[Check]:
    for each in params["InstanceCreditSpecifications"]:
        yield account.existing(action, "instance", each["InstanceId"])


@_rule("ModifyInstancePlacement")
def _place(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.existing(action, "instance", params["InstanceId"])
    if params.get("GroupName"):
        yield account.plain(action, "placement-group", params["GroupName"])


@_rule("CancelSpotInstanceRequests")
def _cancel(account: Account, action: str, params: Params) -> Iterator[Check]:
    for request in params["SpotInstanceRequestIds"]:
        yield account.existing(action, "spot-instances-request", request)


@_rule("DescribeInstanceAttribute", "ModifyInstanceMaintenanceOptions")
def _on_instance(account: Account, action: str, params: Params) -> Iterator[Check]:
    """The Service Authorization Reference has no ec2:Attribute for this action: it is all attributes or none."""
    yield account.existing(action, "instance", params["InstanceId"])


@_rule("ModifyInstanceAttribute", "ModifyInstanceMetadataOptions")
def _modify_instance(account: Account, action: str, params: Params) -> Iterator[Check]:
    yield account.modified(action, "instance", params["InstanceId"], params)
    for group in params.get("Groups", []):
        yield account.existing(action, "security-group", group)


@_rule("CreateTags", "DeleteTags")
def _on_tags(account: Account, action: str, params: Params) -> Iterator[Check]:
    tags = {tag["Key"]: tag.get("Value", "") for tag in params.get("Tags", [])}
    for resource in params["Resources"]:
        kind = _PREFIXES[resource.rpartition("-")[0]]
        yield account.tagging(action, kind, resource, tags, {})
