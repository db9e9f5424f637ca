"""The spec file's rows: what may be written, and what it becomes. Pure; frozen; normal forms only.

An optional field that was left out is None where "left out" means something of its own (``egress``,
``security_groups``, ``private_ip``), and EC2's default where it does not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from enireconcile.spec.places import shown
from enireconcile.spec.scalars import (
    ANY_SCALAR,
    AccountId,
    Boolean,
    BorderGroup,
    DomainName,
    Duration,
    FreeText,
    GroupName,
    GroupText,
    InstanceProfile,
    InstanceType,
    Integer,
    Ipv4,
    Ipv4Pool,
    Ipv4Prefix,
    Ipv6,
    Ipv6Prefix,
    KeyName,
    LogicalGroupName,
    LogicalInterfaceName,
    LogicalName,
    PublicIpv4,
    Region,
    RoleArn,
    StackName,
    Tags,
    Text,
    fault,
    kind,
    mapping_of_items,
    network,
    seconds_in,
    tuple_of_items,
)
from enireconcile.spec.shapes import (
    ImageField,
    InstanceField,
    Ports,
    PortsField,
    Selector,
    Shape,
    SubnetField,
    VpcField,
    resource_id,
)
from enireconcile.spec.suggest import Nearest

USER_DATA_BYTES = 16 * 1024
"""EC2's limit, before base64."""

DEFAULT_DESCRIPTION = "Managed by enireconcile"

_PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "-1")


class Row(Shape):
    """A mapping of the file. ``also`` names keys that the loader takes out before validation."""

    also: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if isinstance(value, (Mapping, cls)):
            return value
        raise fault(f"must be a mapping, not {kind(value)}", "write `key: value` lines, or `{}` for all defaults")


# ---- all resources


class Lifecycle(Row):
    """What must not happen to a resource, and what is other people's business."""

    prevent_destroy: Boolean = Field(False, description="Refuse any plan that would delete or replace it")
    ignore: Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items)] = Field(
        (), description="Attributes that other tools may change: set at creation, never compared afterwards"
    )


class Resource(Row):
    """What all sections share. ``needed`` names the keys that only a row with ``adopt`` may leave out."""

    needed: ClassVar[tuple[str, ...]] = ()

    adopt: str | None = None
    lifecycle: Lifecycle = Field(
        default_factory=Lifecycle, description="Protection, and attributes that other tools may change"
    )

    @classmethod
    def attributes(cls) -> tuple[str, ...]:
        """The keys that describe the resource, and not how it is treated."""
        return tuple(name for name in cls.model_fields if name not in ("adopt", "lifecycle", "on_change"))

    def says(self, attribute: str) -> bool:
        """Does the row say what an attribute shall be? What an adopted one leaves out is left as it is found.

        Tags always: those of the whole file count, too.
        """
        return self.adopt is None or attribute == "tags" or attribute in self.model_fields_set

    @model_validator(mode="after")
    def _check_ignored(self) -> Any:
        for index, name in enumerate(self.lifecycle.ignore):
            at = ("lifecycle", "ignore", index)
            if name not in self.attributes():
                raise fault(f"{shown(name)} is no attribute of it", Nearest(name, self.attributes()), at=at)
            if name in self.lifecycle.ignore[:index]:
                raise fault(f"{shown(name)} is listed twice", "remove one", at=at)
        return self


def _adopted(prefix: str, what: str) -> tuple[AfterValidator, WithJsonSchema]:
    """The id of an existing resource of one sort."""

    def check(value: str) -> str:
        if not resource_id(prefix, value):
            raise fault(f"{shown(value)} is no id of {what}", f"for example {prefix}-0123456789abcdef0")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{prefix}-[0-9a-f]{{8,17}}$"})


def _unless_adopted(value: Any, info: ValidationInfo) -> Any:
    """Needed, unless there is a resource that has it already. A bad ``adopt`` is told by itself."""
    if value is None and info.data.get("adopt", "") is None:
        raise PydanticCustomError("missing", "Field required")
    return value


_NEEDED = AfterValidator(_unless_adopted)
_ADOPT = "The id of an existing one to take over as it is; what the row leaves out stays as it is found"


# ---- security groups


def protocol(value: object) -> object:
    """EC2's own spelling: a name where there is one, ``-1`` for all, else the number."""
    if not isinstance(value, str):
        raise fault(f"must be a protocol, not {kind(value)}", _PROTOCOL_HINT)
    name = value.lower()
    name = _PROTOCOL_NAMES.get(name, name)
    if name in _PROTOCOLS or (
        name.isascii() and name.isdigit() and str(int(name[:4])) == name and int(name) <= 255
    ):
        return name
    raise fault(
        f"{shown(value)} is no protocol", Nearest(name, ("tcp", "udp", "icmp", "icmpv6", "all"), _PROTOCOL_HINT)
    )


_PROTOCOL_HINT = "tcp, udp, icmp, icmpv6, all, or a number from 0 to 255"


def peer(value: str) -> str:
    """The other end of a rule: a CIDR in normal form, ``self``, an id, or a group of this spec."""
    if block := network(value):
        return str(block)
    if address := _address(value):
        raise fault(f"{shown(value)} is an address, not a CIDR", f"write {address}/{address.max_prefixlen}")
    if "/" in value or ":" in value:
        raise fault(f"{shown(value)} is no CIDR", "for example 10.0.0.0/8 or 2001:db8::/32")
    for prefix in ("sg", "pl"):
        if value.startswith(f"{prefix}-") and not resource_id(prefix, value):
            raise fault(f"{shown(value)} is no id", f"for example {prefix}-0123456789abcdef0")
    return value


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if "%" in value:  # a scope id, which ipaddress takes and which may hold anything
        return None
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


Protocol = Annotated[
    str,
    BeforeValidator(protocol),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["tcp", "udp", "icmp", "icmpv6", "all"]}),
]
Peers = Annotated[
    tuple[Annotated[Text, AfterValidator(peer)], ...],
    BeforeValidator(tuple_of_items),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1}),
]


def _check_rule(protocol: str, ports: Ports | None, peers: tuple[str, ...], peers_key: str) -> None:
    if ports is not None and protocol in ("icmp", "icmpv6"):
        _check_icmp(protocol, ports)
    elif ports is not None and protocol not in ("tcp", "udp"):
        name = "protocol all" if protocol == "-1" else f"protocol {protocol}"
        raise fault(f"{name} has no ports", "remove `ports`, or choose tcp or udp", at=("ports",))
    elif ports is not None and ports.code is not None:
        raise fault(f"{protocol} has ports, not types and codes", 'write 80 or "8000-8010"', at=("ports",))
    if not peers:
        raise fault("must not be empty", "name at least one, or remove the rule", at=(peers_key,))


def _check_icmp(protocol: str, ports: Ports) -> None:
    if ports.first != ports.last or max(ports.last, ports.code or 0) > 255:
        hint = 'a type from 0 to 255, or a type and a code as "3/4"; leave `ports` out for all types'
        raise fault(f"{protocol} has types and codes, not ranges of ports", hint, at=("ports",))


class IngressRule(Row):
    """Traffic that a group lets in. Absent ``ports`` means all of them."""

    protocol: Protocol = Field(description="tcp, udp, icmp, icmpv6, all, or a number")
    ports: PortsField | None = Field(None, description='80 or "8000-8010"; absent: all; for icmp a type, or "3/4"')
    sources: Peers = Field(description="CIDRs, names of groups in this spec, sg-…, pl-…, or self")
    description: GroupText = Field("", description="What the rule is for")

    @model_validator(mode="after")
    def _check(self) -> IngressRule:
        _check_rule(self.protocol, self.ports, self.sources, "sources")
        return self


class EgressRule(Row):
    """Traffic that a group lets out. Absent ``ports`` means all of them."""

    protocol: Protocol = Field(description="tcp, udp, icmp, icmpv6, all, or a number")
    ports: PortsField | None = Field(
        None, description='443 or "8000-8010"; absent: all; for icmp a type, or "3/4"'
    )
    destinations: Peers = Field(description="CIDRs, names of groups in this spec, sg-…, pl-…, or self")
    description: GroupText = Field("", description="What the rule is for")

    @model_validator(mode="after")
    def _check(self) -> EgressRule:
        _check_rule(self.protocol, self.ports, self.destinations, "destinations")
        return self


class SecurityGroup(Resource):
    """A security group, with exactly these rules."""

    adopt: Annotated[Text, *_adopted("sg", "a group")] | None = Field(None, description=_ADOPT)
    group_name: GroupName | None = Field(None, description="The GroupName; absent: the logical name")
    description: GroupText = Field(DEFAULT_DESCRIPTION, description="Cannot be changed once the group exists")
    vpc: VpcField = Field(
        default_factory=lambda: Selector(default=True),
        description="default, vpc-…, {cidr: …} or {tags: {…}}; absent: the default VPC",
    )
    ingress: Annotated[tuple[IngressRule, ...], BeforeValidator(tuple_of_items)] = Field(
        (), description="Exactly the traffic that is let in; absent: none"
    )
    egress: Annotated[tuple[EgressRule, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="Exactly the traffic that is let out; absent: EC2's allow-all is left alone"
    )
    tags: Tags = Field(default_factory=dict, description="Tags besides those of the stack")

    @model_validator(mode="after")
    def _check(self) -> SecurityGroup:
        if not self.description:
            raise fault("must not be empty", "EC2 wants a description; leave it out for ours", at=("description",))
        return self


# ---- instances


def _user_data(value: str) -> str:
    size = len(value.encode(errors="surrogatepass"))
    if size > USER_DATA_BYTES:
        raise fault(f"user data is {size} bytes long; EC2 takes {USER_DATA_BYTES}", "download the rest at boot")
    return value


def _choice(*words: str, hint: str | None = None) -> BeforeValidator:
    """One of a few words."""

    def read(value: object) -> object:
        if not isinstance(value, str) or value not in words:
            spelled = " or ".join(f"`{word}`" for word in words)
            raise fault(f"must be {spelled}, not {kind(value)}", hint or Nearest(str(value), words))
        return str(value)

    return BeforeValidator(read)


def _hop_limit(value: int) -> int:
    if not 1 <= value <= 64:
        raise fault("must be from 1 to 64", "1 for the instance itself, 2 for containers on it")
    return value


_SWITCH = _choice("enabled", "disabled")


class MetadataOptions(Row):
    """How the instance metadata service answers. What is left out has our default, and is kept so."""

    http_tokens: Annotated[Literal["required", "optional"], _choice("required", "optional")] = Field(
        "required", description="required: IMDSv2 only"
    )
    http_endpoint: Annotated[Literal["enabled", "disabled"], _SWITCH] = Field(
        "enabled", description="Whether it answers at all"
    )
    http_put_response_hop_limit: Annotated[Integer, AfterValidator(_hop_limit)] | None = Field(
        None, description="How many hops an answer may take, 1 to 64; absent: the image's own, not looked at"
    )
    instance_metadata_tags: Annotated[Literal["enabled", "disabled"], _SWITCH] = Field(
        "disabled", description="Whether it tells the instance's tags"
    )


class Instance(Resource):
    """An EC2 instance. Its interfaces are rows of their own, attached to it by name."""

    also: ClassVar[tuple[str, ...]] = ("user_data_file",)
    needed: ClassVar[tuple[str, ...]] = ("image", "instance_type")

    adopt: Annotated[Text, *_adopted("i", "an instance")] | None = Field(None, description=_ADOPT)
    image: Annotated[ImageField | None, _NEEDED] = Field(
        None, validate_default=True, description='ami-…, {ssm: /parameter} or {name: "pattern*", owner: amazon}'
    )
    instance_type: Annotated[InstanceType | None, _NEEDED] = Field(
        None, validate_default=True, description="For example t3.micro"
    )
    key_name: KeyName | None = Field(None, description="The key pair for SSH")
    iam_instance_profile: InstanceProfile | None = Field(None, description="Its name or its ARN")
    user_data: Annotated[Text, AfterValidator(_user_data), ANY_SCALAR] | None = Field(
        None, description="What cloud-init runs at first boot, at most 16 KiB"
    )
    state: Annotated[Literal["running", "stopped"], _choice("running", "stopped")] = Field(
        "running", description="Kept so: drift is mended"
    )
    termination_protection: Boolean | None = Field(
        None, description="Whether EC2 refuses to terminate it; absent: it does not, and is not asked"
    )
    metadata_options: MetadataOptions = Field(
        default_factory=MetadataOptions, description="The instance metadata service (IMDS)"
    )
    on_change: Annotated[Literal["refuse", "restart", "replace"], _choice("refuse", "restart", "replace")] = Field(
        "refuse", description="What to do about a change that EC2 cannot make while the instance runs"
    )
    tags: Tags = Field(default_factory=dict, description="Tags besides those of the stack")


MANAGED, EXTERNAL = "an instance of this stack", "an external instance"
"""What pydantic calls the two sorts of instances in the paths of its errors."""


class ExternalInstance(Row):
    """Somebody else's instance, to which interfaces of this spec are attached. It is never changed itself."""

    external: InstanceField = Field(description="i-…, or {tags: {…}} that fit exactly one instance")


def _sort_of_instance(value: object) -> str:
    external = "external" in value if isinstance(value, Mapping) else isinstance(value, ExternalInstance)
    return EXTERNAL if external else MANAGED


AnyInstance = Annotated[
    Annotated[Instance, Tag(MANAGED)] | Annotated[ExternalInstance, Tag(EXTERNAL)],
    Discriminator(_sort_of_instance),
]


# ---- network interfaces


def _not_negative(value: int) -> int:
    if value < 0:
        raise fault(f"must not be negative, and {value} is", "indexes count from 0")
    if value > 1000:
        raise fault(f"{value} is beyond what any instance has")
    return value


Index = Annotated[Integer, AfterValidator(_not_negative)]


def _within(least: int, most: int, what: str) -> AfterValidator:
    def check(value: int) -> int:
        if not least <= value <= most:
            raise fault(f"must be from {least} to {most}{what}")
        return value

    return AfterValidator(check)


# One of the 64 IPv4 addresses that the largest types take on an interface is the primary one.
Count4 = Annotated[Integer, _within(0, 63, ", and no instance type takes more on an interface")]
Count6 = Annotated[Integer, _within(0, 64, ", and no instance type takes more on an interface")]


def _at_most_an_hour(value: str) -> str:
    if seconds_in(value) > 3600:
        raise fault(f"{value} is more than an hour", "nobody would be there to see it; leave it out for never")
    return value


class Failover(Row):
    """Which of several instances an interface is attached to: the first healthy one."""

    health: Annotated[Literal["status_checks", "running", "none"], _choice("status_checks", "running", "none")] = (
        Field(
            "status_checks",
            description="What makes an instance healthy: EC2's status checks, that it runs, or nothing",
        )
    )
    preempt: Boolean = Field(False, description="Whether to go back as soon as an earlier one is healthy again")
    force_detach_after: Annotated[Duration, AfterValidator(_at_most_an_hour)] | None = Field(
        None, description="Force a detach that still hangs after so long, for example 60s; absent: never"
    )

    @property
    def patience(self) -> int | None:
        """Seconds to wait for a detach before it is forced; None: for ever."""
        return None if self.force_detach_after is None else seconds_in(self.force_detach_after)


def _holders(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise fault("must not be empty", "name the instances in the order of preference")
    for index, name in enumerate(value):
        if name in value[:index]:
            raise fault(f"{shown(name)} is listed twice", "remove one", at=(index,))
    return value


class Attachment(Row):
    """Where an interface sits: which instance, which card, which index."""

    instance: Text | None = Field(None, description="The name of an instance of this spec")
    instances: Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items), AfterValidator(_holders)] | None = (
        Field(None, description="Instead of one: several, of which the first healthy one holds the interface")
    )
    failover: Failover | None = Field(None, description="With instances: when to move from one to another")
    device_index: Index = Field(description="0 is the interface that the instance boots with")
    network_card_index: Index = Field(0, description="Only the largest types have more than card 0")
    delete_on_termination: Boolean = Field(False, description="Whether the interface ends with its instance")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The instances that may hold the interface, in the order of preference."""
        return self.instances or ((self.instance,) if self.instance is not None else ())

    @model_validator(mode="after")
    def _check(self) -> Attachment:
        if (self.instance is None) == (self.instances is None):
            raise fault("needs either `instance` or `instances`", "instances: [fw-a, fw-b] is for failover")
        if self.instances is None and self.failover is not None:
            raise fault("goes with `instances`", "name several instances to fail over", at=("failover",))
        if self.instances is not None and (self.network_card_index, self.device_index) == (0, 0):
            hint = "an instance cannot lose its primary interface; use index 1"
            raise fault("0 cannot fail over", hint, at=("device_index",))
        return self


def _groups(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise fault("must not be empty", "remove the key to get the VPC's default group")
    if len(value) > 16:
        raise fault(f"{len(value)} groups; EC2 takes at most 16 an interface", "its default quota is 5")
    for index, name in enumerate(value):
        if name in value[:index]:
            raise fault(f"{shown(name)} is listed twice", "remove one", at=(index,))
        if name.startswith("sg-") and not resource_id("sg", name):
            raise fault(f"{shown(name)} is no id of a group", "for example sg-0123456789abcdef0", at=(index,))
    return value


class ConnectionTracking(Row):
    """For how many seconds the security groups remember a connection on which nothing is said."""

    tcp_established_timeout: Annotated[Integer, _within(60, 432000, " seconds")] | None = Field(
        None, description="TCP once established, 60 to 432000; absent: not looked at"
    )
    udp_stream_timeout: Annotated[Integer, _within(60, 180, " seconds")] | None = Field(
        None, description="UDP with more than one answer, 60 to 180; absent: not looked at"
    )
    udp_timeout: Annotated[Integer, _within(30, 60, " seconds")] | None = Field(
        None, description="UDP otherwise, 30 to 60; absent: not looked at"
    )

    @property
    def written(self) -> dict[str, int]:
        """The timeouts that the spec names."""
        return {name: value for name, value in self if value is not None}

    @model_validator(mode="after")
    def _check(self) -> ConnectionTracking:
        if not self.written:
            raise fault("must not be empty", f"name at least one of {', '.join(type(self).model_fields)}")
        return self


EFA_TYPES = frozenset({"efa", "efa-only"})
"""Elastic Fabric Adapters: EC2 attaches and detaches them on stopped instances only."""
FURTHER = (
    ("secondary_private_ips", "secondary_private_ip_count"),
    ("ipv6_addresses", "ipv6_address_count"),
    ("ipv4_prefixes", "ipv4_prefix_count"),
    ("ipv6_prefixes", "ipv6_prefix_count"),
)
"""What an interface may have beyond its primary address: the key of a list, and the key of a number."""


class NetworkInterface(Resource):
    """An elastic network interface, which keeps its addresses whatever it is attached to."""

    needed: ClassVar[tuple[str, ...]] = ("subnet",)

    adopt: Annotated[Text, *_adopted("eni", "an interface")] | None = Field(None, description=_ADOPT)
    subnet: Annotated[SubnetField | None, _NEEDED] = Field(
        None, validate_default=True, description="subnet-…, {tags: {…}}, {cidr: …} or {default_for_az: …}"
    )
    security_groups: (
        Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items), AfterValidator(_groups)] | None
    ) = Field(
        None,
        description="Names of groups in this spec, or sg-…; absent: the VPC's default group",
        json_schema_extra={"minItems": 1, "maxItems": 16},
    )
    private_ip: Ipv4 | None = Field(None, description="The primary address; absent: EC2 chooses; never changes")
    secondary_private_ips: Annotated[tuple[Ipv4, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="Exactly these further addresses; absent: whatever there is"
    )
    secondary_private_ip_count: Count4 | None = Field(
        None, description="So many further addresses, of EC2's choice; instead of secondary_private_ips"
    )
    ipv6_addresses: Annotated[tuple[Ipv6, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="Exactly these IPv6 addresses; absent: whatever there is"
    )
    ipv6_address_count: Count6 | None = Field(
        None, description="So many IPv6 addresses, of EC2's choice; instead of ipv6_addresses"
    )
    ipv4_prefixes: Annotated[tuple[Ipv4Prefix, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="Exactly these /28 prefixes; absent: whatever there is"
    )
    ipv4_prefix_count: Count4 | None = Field(
        None, description="So many /28 prefixes, of EC2's choice; instead of ipv4_prefixes"
    )
    ipv6_prefixes: Annotated[tuple[Ipv6Prefix, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="Exactly these /80 prefixes; absent: whatever there is"
    )
    ipv6_prefix_count: Count6 | None = Field(
        None, description="So many /80 prefixes, of EC2's choice; instead of ipv6_prefixes"
    )
    description: FreeText = Field("", description="What the interface is for")
    source_dest_check: Boolean = Field(True, description="false for routers, NAT and firewalls")
    connection_tracking: ConnectionTracking | None = Field(
        None, description="Idle timeouts of tracked connections; absent: not looked at"
    )
    interface_type: Annotated[
        Literal["interface", "efa", "efa-only", "trunk", "branch"],
        _choice("interface", "efa", "efa-only", "trunk", "branch"),
    ] = Field("interface", description="Never changes")
    attachment: Attachment | None = Field(None, description="absent: attached to nothing")
    tags: Tags = Field(default_factory=dict, description="Tags besides those of the stack")

    @property
    def private_ips(self) -> tuple[str, ...]:
        """The private IPv4 addresses that the row names, the primary one first."""
        primary = () if self.private_ip is None else (self.private_ip,)
        return (*primary, *(self.secondary_private_ips or ()))


# ---- Elastic IPs


class Association(Row):
    """What an Elastic IP leads to: one private address of an interface."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["network_interface"]}, {"required": ["instance"]}]}
    )

    network_interface: Text | None = Field(None, description="The name of an interface of this spec, or eni-…")
    instance: Text | None = Field(
        None, description="Instead: the name of an instance of this spec, for its primary interface"
    )
    private_ip: Ipv4 | None = Field(None, description="One of its addresses; absent: the primary one")

    @model_validator(mode="after")
    def _check(self) -> Association:
        if (self.network_interface is None) == (self.instance is None):
            raise fault("needs either `network_interface` or `instance`", "keep one of the two")
        return self


class ElasticIp(Resource):
    """An Elastic IP, associated with nothing unless it says so."""

    adopt: Annotated[Text, *_adopted("eipalloc", "an Elastic IP")] | None = Field(None, description=_ADOPT)
    association: Association | None = Field(None, description="absent: associated with nothing")
    reverse_dns: DomainName | None = Field(
        None, description="The name that the address leads back to; empty: none; absent: whatever there is"
    )
    public_ipv4_pool: Ipv4Pool | None = Field(None, description="The pool of your own that it comes from")
    address: PublicIpv4 | None = Field(
        None, description="Which address: one that was released lately, or one of a pool of your own"
    )
    network_border_group: BorderGroup | None = Field(
        None, description="Where it is advertised; absent: the Region"
    )
    tags: Tags = Field(default_factory=dict, description="Tags besides those of the stack")


# ---- the file


def _version(value: int) -> int:
    if value != 1:
        raise fault(f"this program reads version 1, not {value}", "write `version: 1`")
    return value


_section = BeforeValidator(mapping_of_items)


class Document(Row):
    """One spec file: the whole of one stack."""

    version: Annotated[Integer, AfterValidator(_version), WithJsonSchema({"const": 1})] = Field(
        description="The version of this format"
    )
    stack: StackName = Field(description="What this file owns is tagged with this name")
    region: Region | None = Field(None, description="absent: what the AWS configuration says")
    account_id: AccountId | None = Field(None, description="A guard: refuse to run in any other account")
    assume_role_arn: RoleArn | None = Field(None, description="The role to act as")
    tags: Tags = Field(default_factory=dict, description="Tags of every resource of this stack")
    security_groups: Annotated[Mapping[LogicalGroupName, SecurityGroup], _section] = Field(
        default_factory=dict, description="Security groups by name"
    )
    instances: Annotated[Mapping[LogicalName, AnyInstance], _section] = Field(
        default_factory=dict, description="Instances by name, this stack's own and others' to attach to"
    )
    network_interfaces: Annotated[Mapping[LogicalInterfaceName, NetworkInterface], _section] = Field(
        default_factory=dict, description="Network interfaces by name"
    )
    elastic_ips: Annotated[Mapping[LogicalName, ElasticIp], _section] = Field(
        default_factory=dict, description="Elastic IPs by name"
    )

    @property
    def own_instances(self) -> dict[str, Instance]:
        """The instances that this stack keeps."""
        return {name: row for name, row in self.instances.items() if isinstance(row, Instance)}

    @property
    def external_instances(self) -> dict[str, ExternalInstance]:
        """Other people's instances, by the names that this spec gives them."""
        return {name: row for name, row in self.instances.items() if isinstance(row, ExternalInstance)}

    @property
    def resources(self) -> dict[str, Resource]:
        """The rows of what this stack keeps, by address (``<section>.<name>``), sorted by section and name."""
        return {f"{section}.{name}": row for section in SECTIONS for name, row in self._own(section)}

    @property
    def adopted(self) -> dict[str, str]:
        """The ids of resources to take over, by address."""
        return {address: row.adopt for address, row in self.resources.items() if row.adopt is not None}

    @property
    def protected(self) -> frozenset[str]:
        """The addresses that no plan may destroy."""
        return frozenset(address for address, row in self.resources.items() if row.lifecycle.prevent_destroy)

    def primary_interface(self, instance: str) -> str | None:
        """The interface of this spec that an instance boots with, by its name."""
        for name, interface in self.network_interfaces.items():
            at = interface.attachment
            if at and at.instance == instance and (at.network_card_index, at.device_index) == (0, 0):
                return name
        return None

    def own_names(self, section: str) -> list[str]:
        """The names of the resources that this stack keeps in a section, sorted."""
        return [name for name, _ in self._own(section)]

    def _own(self, section: str) -> list[tuple[str, Resource]]:
        rows: Mapping[str, Resource] = self.own_instances if section == "instances" else getattr(self, section)
        return sorted(rows.items())


SECTIONS = ("security_groups", "instances", "network_interfaces", "elastic_ips")
