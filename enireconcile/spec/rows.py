"""The models of the spec file. They are immutable, and every value is in normal form.

An optional field that is left out is None where leaving it out has a meaning of its own (``egress``,
``security_groups``, ``private_ip``), and EC2's default otherwise.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

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

from enireconcile.model import Ref, Template
from enireconcile.spec.launch import (
    CapacityReservation,
    CpuOptions,
    EnclaveField,
    HibernationField,
    Placement,
    RootVolume,
    Spot,
    Volumes,
    or_boolean,
)
from enireconcile.spec.places import shown
from enireconcile.spec.row import Row, choice, within
from enireconcile.spec.scalars import (
    ANY_SCALAR,
    AccountId,
    Boolean,
    BorderGroup,
    DomainName,
    Duration,
    ExternalId,
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
    described,
    mapping_of_items,
    network,
    seconds_in,
    text,
    tuple_of_items,
    value_error,
)
from enireconcile.spec.shapes import (
    SERVICES,
    ForeignGroupField,
    ForeignListField,
    ForeignPeerField,
    ForeignSelector,
    ImageField,
    InstanceField,
    Ports,
    PortsField,
    RouteTableField,
    RouteTableSelector,
    Selector,
    SubnetField,
    VpcField,
    resource_id,
)
from enireconcile.spec.suggest import Nearest

USER_DATA_BYTES = 16 * 1024
"""EC2's limit for user data, before base64."""

DEFAULT_DESCRIPTION = "Managed by enireconcile"

NUMBERED_PROTOCOLS = {"gre": "47", "esp": "50", "ah": "51"}
"""Protocols with a name in the spec that EC2 takes and returns by number."""
PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"} | {
    number: name for name, number in NUMBERED_PROTOCOLS.items()
}
"""The names of protocols by number; other protocols have only their number."""
_PROTOCOL_WORDS = (*PROTOCOL_NAMES.values(), "all")


# ---- all resources


ADDITIVE = ("ingress", "egress", "security_groups", "secondary_private_ips", "ipv6_addresses", "routes")
"""The lists that can be additive: other tools may add to them."""


class Lifecycle(Row):
    """Protection of a resource, and the attributes that other tools may change."""

    prevent_destroy: Boolean = Field(
        False, description="Refuse every plan that would delete, release, terminate or replace the resource"
    )
    ignore: Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items)] = Field(
        (), description="Attributes that other tools may change: set at creation, not compared afterwards"
    )
    additive: Annotated[
        tuple[Text, ...],
        BeforeValidator(tuple_of_items),
        WithJsonSchema({"type": "array", "items": {"enum": list(ADDITIVE)}}),
    ] = Field(
        (), description="Lists to which other tools may add: at least what the row says, and nothing is removed"
    )

    @property
    def sets_once(self) -> bool:
        """Does the creation set what no later run sets again? EC2's own egress rules are removed only then."""
        return bool(self.ignore) or "egress" in self.additive


class Resource(Row):
    """The keys of all sections of resources."""

    adopt: str | None = None
    lifecycle: Lifecycle = Field(
        default_factory=cache(Lifecycle),  # Most rows have the same one.
        description="Protection from deletion, and attributes that other tools may change",
    )
    renamed_from: Text | None = Field(
        None, description="The name that the row had before: its resource gets the new one, and stays"
    )

    @classmethod
    @cache
    def attributes(cls) -> tuple[str, ...]:
        """The keys that describe the resource itself, not which one it is or what a plan may do with it."""
        others = ("adopt", "lifecycle", "renamed_from", "on_change")
        return tuple(name for name in cls.model_fields if name not in others)

    def specifies(self, attribute: str) -> bool:
        """Whether the row specifies the attribute, written out or by its default.

        A row with ``adopt`` specifies only what is written in it. ``tags`` are always specified, because the
        tags of the file apply, too.
        """
        return self.adopt is None or attribute == "tags" or attribute in self.model_fields_set

    @model_validator(mode="after")
    def _check_lifecycle(self) -> Any:
        if self.lifecycle.ignore or self.lifecycle.additive:
            self._check_lists()
        return self

    def _check_lists(self) -> None:
        lists = tuple(name for name in self.attributes() if name in ADDITIVE)
        self._check_named("ignore", self.attributes(), "is not an attribute that can be ignored")
        self._check_named("additive", lists, "is not a list that can be additive")
        for index, name in enumerate(self.lifecycle.additive):
            if name in self.lifecycle.ignore:
                hint = "keep one: additive to add what is missing, ignore to leave it as it is"
                raise value_error(f"{shown(name)} is ignored, too", hint, at=("lifecycle", "additive", index))

    def _check_named(self, key: str, known: tuple[str, ...], problem: str) -> None:
        names: tuple[str, ...] = getattr(self.lifecycle, key)
        for index, name in enumerate(names):
            at = ("lifecycle", key, index)
            if name not in known:
                hint = Nearest(name, known, None if known else "no attribute of such a row can")
                raise value_error(f"{shown(name)} {problem}", hint, at=at)
            if name in names[:index]:
                raise value_error(f"{shown(name)} is listed twice", "remove one", at=at)


def _adopted(prefix: str, what: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Validator and schema of ``adopt``: the id of an existing resource."""

    def check(value: str) -> str:
        if not resource_id(prefix, value):
            raise value_error(f"{shown(value)} is not {what} id", f"for example {prefix}-0123456789abcdef0")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{prefix}-[0-9a-f]{{8,17}}$"})


IN_PART = "in part"
"""The context of the validation of what is left of a file with mistakes: a row may lack what it needs."""


def _unless_adopted(value: Any, info: ValidationInfo) -> Any:
    """Required unless the row adopts a resource. An invalid ``adopt`` is reported on its own."""
    if value is None and info.data.get("adopt", "") is None and info.context != IN_PART:
        raise PydanticCustomError("missing", "Field required")
    return value


_NEEDED = AfterValidator(_unless_adopted)
_ADOPT = (
    "The id of an existing resource to manage from now on; attributes that the row leaves out stay as they are"
)


# ---- selectors among names and ids

NAMED, SELECTED = "a name or an id", "a selector"
"""The tags of the two spellings of a group in a list; pydantic puts them into the paths of its errors."""
Peer: TypeAlias = str | ForeignSelector
"""An item of a list of groups, sources or destinations."""


def _spelled(value: object) -> str:
    return SELECTED if isinstance(value, (Mapping, ForeignSelector)) else NAMED


def without_selectors(items: Iterable[Peer] | None) -> tuple[str, ...]:
    """The names, ids and CIDRs of a list: all of it, once ``planning.resolve`` has replaced selectors by ids."""
    return tuple(item for item in items or () if isinstance(item, str))


# ---- security groups


def protocol(value: object) -> object:
    """A protocol in normal form: its name if it has one, ``-1`` for all, otherwise the number."""
    if not isinstance(value, str):
        raise value_error(f"must be a protocol, not {described(value)}", _PROTOCOL_HINT)
    name = value.lower()
    if name in ("-1", "all"):
        return "-1"
    name = PROTOCOL_NAMES.get(name, name)
    if name in _PROTOCOL_WORDS or (
        name.isascii() and name.isdigit() and str(int(name[:4])) == name and int(name) <= 255
    ):
        return name
    hint = _service_hint(name) or Nearest(name, _PROTOCOL_WORDS, _PROTOCOL_HINT)
    raise value_error(f"{shown(value)} is not a protocol", hint)


def _service_hint(name: str) -> str | None:
    """What to write for a service, or for a protocol with its ports."""
    if found := re.fullmatch(r"(tcp|udp)[/:]([0-9]{1,5}(-[0-9]{1,5})?)|([0-9]{1,5})/(tcp|udp)", name):
        return f"write `protocol: {found[1] or found[5]}, ports: {found[2] or found[4]}`"
    if name in SERVICES:
        transport, port = SERVICES[name]
        return f"write `protocol: {transport}, ports: {port}`"
    return {"ping": "write `protocol: icmp, ports: 8`", "any": "write `protocol: all`"}.get(name)


_PROTOCOL_HINT = f"write {', '.join(_PROTOCOL_WORDS)}, or a number from 0 to 255"


PEER_GROUP = re.compile(r"([0-9]{12})/(sg-[0-9a-f]{8,17})")
"""A group of another account: ``<account>/<id>``."""


def peer(value: str) -> str:
    """A rule's source or destination: a CIDR in normal form, ``self``, an id, or a group of this spec.

    The id of a group of another account can have its account: ``<account>/<id>``.
    """
    if block := _block(value):
        return block
    if "/sg-" in value:
        if not PEER_GROUP.fullmatch(value):
            hint = "write its account id of 12 digits and its id, for example 123456789012/sg-0123456789abcdef0"
            raise value_error(f"{shown(value)} is not a security group of another account", hint)
        return value
    if "/" in value or ":" in value:
        raise value_error(f"{shown(value)} is not a valid CIDR", _BLOCK_HINT)
    for prefix, what in (("sg", "a security group id"), ("pl", "a prefix list id")):
        if value.startswith(f"{prefix}-") and not resource_id(prefix, value):
            raise value_error(f"{shown(value)} is not {what}", f"for example {prefix}-0123456789abcdef0")
    return value


_BLOCK_HINT = "for example 10.0.0.0/8 or 2001:db8::/32"


def _block(value: str) -> str | None:
    """A CIDR in normal form; None if it is none."""
    if block := network(value):
        return str(block)
    if address := _address(value):
        length = 0 if address.is_unspecified else address.max_prefixlen
        raise value_error(f"{shown(value)} is an address, not a CIDR", f"write {address}/{length}")
    return None


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if "%" in value:  # a scope id, which ipaddress accepts with any content
        return None
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


Protocol = Annotated[
    str,
    BeforeValidator(protocol),
    WithJsonSchema({"type": ["string", "integer"], "examples": [*_PROTOCOL_WORDS]}),
]
_PeerItem = Annotated[
    Annotated[Text, AfterValidator(peer), Tag(NAMED)] | Annotated[ForeignPeerField, Tag(SELECTED)],
    Discriminator(_spelled),
]
Peers = Annotated[tuple[_PeerItem, ...], BeforeValidator(tuple_of_items), Field(json_schema_extra={"minItems": 1})]


def _check_rule(protocol: str, ports: Ports | None, peers: tuple[Peer, ...], peers_key: str) -> None:
    if ports is not None and protocol in ("icmp", "icmpv6"):
        _check_icmp(protocol, ports)
    elif ports is not None and protocol not in ("tcp", "udp"):
        name = "protocol all" if protocol == "-1" else f"protocol {protocol}"
        raise value_error(f"{name} has no ports", "remove `ports`, or use protocol tcp or udp", at=("ports",))
    elif ports is not None and ports.code is not None:
        raise value_error(
            f"{protocol} takes ports, not an ICMP type and code", 'write 80 or "8000-8010"', at=("ports",)
        )
    if not peers:
        raise value_error("must not be empty", "list at least one, or remove the rule", at=(peers_key,))


def _check_icmp(protocol: str, ports: Ports) -> None:
    if ports.first != ports.last or max(ports.last, ports.code or 0) > 255:
        hint = 'for example 8, or "3/4" for a type and a code; leave `ports` out for all types'
        raise value_error(f"{protocol} takes a type from 0 to 255, or a type and a code", hint, at=("ports",))


class IngressRule(Row):
    """Inbound traffic that a group allows. Without ports: all ports, or all ICMP types."""

    example: ClassVar[str | None] = "{protocol: tcp, ports: 443, sources: [0.0.0.0/0]}"

    protocol: Protocol = Field(description="tcp, udp, icmp, icmpv6, gre, esp, ah, all, or a protocol number")
    ports: PortsField | None = Field(
        None, description='80 or "8000-8010"; for icmp a type, or type and code ("3/4"); default: all'
    )
    sources: Peers = Field(
        description=(
            "Where the traffic comes from: CIDRs, group names of this spec, sg-…, pl-…, selectors of both, or self"
        )
    )
    description: GroupText = Field("", description="What the rule is for")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_rule(self.protocol, self.ports, self.sources, "sources")
        return self


class EgressRule(Row):
    """Outbound traffic that a group allows. Without ports: all ports, or all ICMP types."""

    example: ClassVar[str | None] = "{protocol: tcp, ports: 443, destinations: [0.0.0.0/0]}"

    protocol: Protocol = Field(description="tcp, udp, icmp, icmpv6, gre, esp, ah, all, or a protocol number")
    ports: PortsField | None = Field(
        None, description='443 or "8000-8010"; for icmp a type, or type and code ("3/4"); default: all'
    )
    destinations: Peers = Field(
        description=(
            "Where the traffic goes to: CIDRs, group names of this spec, sg-…, pl-…, selectors of both, or self"
        )
    )
    description: GroupText = Field("", description="What the rule is for")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_rule(self.protocol, self.ports, self.destinations, "destinations")
        return self


class SecurityGroup(Resource):
    """A security group and its rules."""

    adopt: Annotated[Text, *_adopted("sg", "a security group")] | None = Field(None, description=_ADOPT)
    group_name: GroupName | None = Field(None, description="EC2's GroupName; default: the logical name")
    description: GroupText = Field(
        DEFAULT_DESCRIPTION, description="What the group is for; EC2 cannot change it after creation"
    )
    vpc: VpcField = Field(
        default_factory=lambda: Selector(default=True),
        description="default, vpc-…, {cidr: …} or {tags: {…}}; default: the default VPC",
    )
    ingress: Annotated[tuple[IngressRule, ...], BeforeValidator(tuple_of_items)] = Field(
        (), description="The complete list of inbound rules; default: none"
    )
    egress: Annotated[tuple[EgressRule, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="The complete list of outbound rules; default: not managed, EC2's allow-all rule stays"
    )
    tags: Tags = Field(
        default_factory=dict, description="Tags of this resource, in addition to the tags of the file"
    )

    @property
    def leaves_out_vpc(self) -> bool:
        """Whether the group is in the default VPC because the row does not say where."""
        return self.adopt is None and "vpc" not in self.model_fields_set

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.description:
            raise value_error(
                "must not be empty",
                f"EC2 requires a description; leave it out to use {DEFAULT_DESCRIPTION!r}",
                at=("description",),
            )
        return self


# ---- instances


def _user_data(value: object) -> str | bytes | Template | None:
    """Text or bytes; with references, which become longer or shorter, the size of the text around them."""
    if value is None:
        return None
    read = value if isinstance(value, (bytes, Template)) else text(value)
    parts = read.parts if isinstance(read, Template) else (read,)
    size = sum(map(_size, parts))
    if size > USER_DATA_BYTES:
        raise value_error(
            f"user data is {size} bytes long; EC2 accepts at most {USER_DATA_BYTES}",
            "keep a short script here, and let it download the rest at boot",
        )
    return read


def _size(part: str | bytes | Ref) -> int:
    """The bytes of a part of user data; what a reference stands for is not known."""
    if isinstance(part, Ref):
        return 0
    return len(part if isinstance(part, bytes) else part.encode(errors="surrogatepass"))


def _hop_limit(value: int) -> int:
    if not 1 <= value <= 64:
        raise value_error(
            f"must be from 1 to 64, not {value}", "write 1 for the instance itself, 2 for containers on it"
        )
    return value


_SWITCH = choice("enabled", "disabled")


class MetadataOptions(Row):
    """The options of the instance metadata service (IMDS). Options that are left out are set to their defaults."""

    http_tokens: Annotated[Literal["required", "optional"], choice("required", "optional")] = Field(
        "required", description="required allows only IMDSv2, optional also IMDSv1"
    )
    http_endpoint: Annotated[Literal["enabled", "disabled"], _SWITCH] = Field(
        "enabled", description="Whether the metadata service is on"
    )
    http_put_response_hop_limit: Annotated[Integer, AfterValidator(_hop_limit)] | None = Field(
        None, description="Network hops that a response may take, 1 to 64; default: not managed"
    )
    instance_metadata_tags: Annotated[Literal["enabled", "disabled"], _SWITCH] = Field(
        "disabled", description="Whether the instance can read its tags there"
    )


class Instance(Resource):
    """An EC2 instance. Its network interfaces are rows of their own that attach to it by name."""

    also: ClassVar[tuple[str, ...]] = ("user_data_file",)
    needed: ClassVar[tuple[str, ...]] = ("image", "instance_type")
    example: ClassVar[str | None] = "{image: ami-0123456789abcdef0, instance_type: t3.micro}"

    adopt: Annotated[Text, *_adopted("i", "an instance")] | None = Field(None, description=_ADOPT)
    image: Annotated[ImageField | None, _NEEDED] = Field(
        None, validate_default=True, description='ami-…, {ssm: /parameter} or {name: "pattern*", owner: amazon}'
    )
    instance_type: Annotated[InstanceType | None, _NEEDED] = Field(
        None, validate_default=True, description="The instance type, for example t3.micro"
    )
    key_name: KeyName | None = Field(None, description="The name of the key pair for SSH")
    iam_instance_profile: InstanceProfile | None = Field(
        None, description="The name or ARN of an instance profile"
    )
    user_data: Annotated[str | bytes | Template, BeforeValidator(_user_data), ANY_SCALAR] | None = Field(
        None, description="What cloud-init runs at the first boot, at most 16 KiB"
    )
    guest_network: (
        Annotated[Literal["networkd", "networkmanager", "ip"], choice("networkd", "networkmanager", "ip")] | None
    ) = Field(
        None,
        description=(
            "What configures the interfaces in the guest: user data that says so is added at launch, "
            "for cloud-init; default: nothing"
        ),
    )
    state: Annotated[Literal["running", "stopped"], choice("running", "stopped")] = Field(
        "running", description="The state to keep: enireconcile starts or stops the instance if it differs"
    )
    termination_protection: Boolean | None = Field(
        None, description="Whether EC2 refuses to terminate the instance; default: off at launch, then not managed"
    )
    ebs_optimized: Boolean | None = Field(
        None, description="Whether it has dedicated bandwidth to EBS; default: EC2's, not managed"
    )
    monitoring: Boolean | None = Field(
        None, description="Whether it sends metrics to CloudWatch every minute; default: not managed"
    )
    stop_protection: Boolean | None = Field(
        None, description="Whether EC2 refuses to stop or terminate the instance; default: not managed"
    )
    auto_recovery: Boolean | None = Field(
        None, description="Whether EC2 moves the instance from failed hardware; default: not managed"
    )
    shutdown_behavior: Annotated[Literal["stop", "terminate"], choice("stop", "terminate")] | None = Field(
        None, description="What a shutdown from inside the instance does; default: EC2's (stop), not managed"
    )
    cpu_credits: Annotated[Literal["standard", "unlimited"], choice("standard", "unlimited")] | None = Field(
        None, description="The credit option of a burstable type; default: EC2's for the type, not managed"
    )
    placement: Placement | None = Field(
        None, description="Placement group, tenancy, partition and Dedicated Host; default: not managed"
    )
    root_volume: RootVolume | None = Field(
        None, description="Size, type and encryption of the root volume; default: as in the image"
    )
    volumes: Volumes | None = Field(None, description="Further volumes; default: those of the image")
    volume_tags: Tags | None = Field(
        None,
        description="Tags of its volumes, in addition to those of the file and of the instance; default: none",
    )
    cpu_options: CpuOptions | None = Field(
        None, description="CPU cores and threads; default: those of the instance type"
    )
    hibernation: HibernationField | None = Field(
        None, description="Whether the instance can hibernate", json_schema_extra=or_boolean
    )
    enclave: EnclaveField | None = Field(
        None, description="Whether the instance can run Nitro Enclaves", json_schema_extra=or_boolean
    )
    capacity_reservation: CapacityReservation | None = Field(
        None, description="Which Capacity Reservations it uses; default: any that is open and fits"
    )
    spot: Spot | None = Field(None, description="A Spot Instance; default: an On-Demand Instance")
    metadata_options: MetadataOptions = Field(
        default_factory=MetadataOptions, description="The instance metadata service (IMDS)"
    )
    on_change: Annotated[Literal["refuse", "restart", "replace"], choice("refuse", "restart", "replace")] = Field(
        "refuse", description="How to make a change that EC2 cannot make on a running instance"
    )
    tags: Tags = Field(
        default_factory=dict, description="Tags of this resource, in addition to the tags of the file"
    )


MANAGED, EXTERNAL = "an instance of this stack", "an external instance"
"""The tags of the two models of an instance; pydantic puts them into the paths of its errors."""


class ExternalInstance(Row):
    """An instance outside this stack. Interfaces of this spec attach to it; enireconcile never changes it."""

    external: InstanceField = Field(description="i-…, or {tags: {…}} that match one instance")


def _instance_model(value: object) -> str:
    external = "external" in value if isinstance(value, Mapping) else isinstance(value, ExternalInstance)
    return EXTERNAL if external else MANAGED


AnyInstance = Annotated[
    Annotated[Instance, Tag(MANAGED)] | Annotated[ExternalInstance, Tag(EXTERNAL)],
    Discriminator(_instance_model),
]


# ---- network interfaces


def _index(value: int) -> int:
    if value < 0:
        raise value_error(f"must not be negative, but is {value}", "indexes start at 0")
    if value > 1000:
        raise value_error(f"must be at most 1000, not {value}", "no instance type has that many")
    return value


Index = Annotated[Integer, AfterValidator(_index)]


_COUNT_HINT = "no instance type supports more on one interface"
# The largest types take 64 IPv4 addresses on an interface; one of them is the primary address.
Count4 = Annotated[Integer, within(0, 63, hint=_COUNT_HINT)]
Count6 = Annotated[Integer, within(0, 64, hint=_COUNT_HINT)]


def _at_most_an_hour(value: str) -> str:
    if seconds_in(value) > 3600:
        raise value_error(f"must be at most 1h, not {value}", "leave it out to never force a detach")
    return value


class Failover(Row):
    """How an interface with several instances chooses the first healthy one."""

    health: Annotated[Literal["status_checks", "running", "none"], choice("status_checks", "running", "none")] = (
        Field(
            "status_checks",
            description="When an instance is healthy: its EC2 status checks pass, it runs, or it exists (none)",
        )
    )
    preempt: Boolean = Field(
        False, description="Whether to move back as soon as an earlier instance of the list is healthy again"
    )
    force_detach_after: Annotated[Duration, AfterValidator(_at_most_an_hour)] | None = Field(
        None, description="Force a detach that is not done after this time, for example 60s; default: never"
    )

    @property
    def force_detach_seconds(self) -> int | None:
        """Seconds after which a detach is forced; None: never."""
        return None if self.force_detach_after is None else seconds_in(self.force_detach_after)


def _holders(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise value_error("must not be empty", "list the instances in order of preference")
    for index, name in enumerate(value):
        if name in value[:index]:
            raise value_error(f"{shown(name)} is listed twice", "remove one", at=(index,))
    return value


class Attachment(Row):
    """Where an interface is attached: instance, network card and device index."""

    example: ClassVar[str | None] = "{instance: web, device_index: 1}"

    instance: Text | None = Field(None, description="The name of an instance in this spec")
    instances: Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items), AfterValidator(_holders)] | None = (
        Field(
            None,
            description="Instead of instance, for failover: the first healthy one of these holds the interface",
        )
    )
    failover: Failover | None = Field(None, description="With instances: when to move the interface")
    device_index: Index = Field(description="The device index; 0 is the primary interface")
    network_card_index: Index = Field(0, description="The network card; most instance types have only card 0")
    delete_on_termination: Boolean = Field(
        False, description="Whether EC2 deletes the interface when its instance terminates"
    )

    @property
    def candidates(self) -> tuple[str, ...]:
        """The instances that may hold the interface, in order of preference."""
        return self.instances or ((self.instance,) if self.instance is not None else ())

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.instance is None) == (self.instances is None):
            raise value_error(
                "needs either `instance` or `instances`",
                "write `instance: web`, or `instances: [fw-a, fw-b]` for failover",
            )
        if self.instances is None and self.failover is not None:
            raise value_error(
                "is allowed only with `instances`",
                "write `instances: [fw-a, fw-b]` to fail over",
                at=("failover",),
            )
        if self.instances is not None and (self.network_card_index, self.device_index) == (0, 0):
            hint = "EC2 never detaches a primary interface; use device_index 1 or higher"
            raise value_error("an interface at device_index 0 cannot fail over", hint, at=("device_index",))
        return self


def _groups(value: tuple[Peer, ...]) -> tuple[Peer, ...]:
    if not value:
        raise value_error("must not be empty", "remove the key to use the VPC's default group")
    if len(value) > 16:
        raise value_error(f"{len(value)} groups; EC2 accepts at most 16 per interface", "the default quota is 5")
    for index, name in enumerate(value):
        if name in value[:index]:
            what = name.text if isinstance(name, ForeignSelector) else name
            raise value_error(f"{shown(what)} is listed twice", "remove one", at=(index,))
        if isinstance(name, ForeignSelector):
            continue
        if "/sg-" in name:
            hint = "name it in a rule of one of the interface's own groups"
            raise value_error("an interface cannot be in a group of another account", hint, at=(index,))
        if name.startswith("sg-") and not resource_id("sg", name):
            raise value_error(
                f"{shown(name)} is not a security group id", "for example sg-0123456789abcdef0", at=(index,)
            )
    return value


class ConnectionTracking(Row):
    """Idle timeouts of tracked connections, in seconds."""

    example: ClassVar[str | None] = "{tcp_established_timeout: 350}"

    tcp_established_timeout: Annotated[Integer, within(60, 432000, " seconds")] | None = Field(
        None, description="Established TCP connections, 60 to 432000; default: not managed"
    )
    udp_stream_timeout: Annotated[Integer, within(60, 180, " seconds")] | None = Field(
        None, description="UDP flows with more than one request and response, 60 to 180; default: not managed"
    )
    udp_timeout: Annotated[Integer, within(30, 60, " seconds")] | None = Field(
        None, description="Other UDP flows, 30 to 60; default: not managed"
    )

    @property
    def written(self) -> dict[str, int]:
        """The timeouts that are set in the spec."""
        return {name: value for name, value in self if value is not None}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.written:
            raise value_error("must not be empty", f"set at least one of {', '.join(type(self).model_fields)}")
        return self


EFA_TYPES = frozenset({"efa", "efa-only"})
"""Elastic Fabric Adapters. EC2 attaches and detaches them only while the instance is stopped."""
ADDRESS_KEYS = (
    ("secondary_private_ips", "secondary_private_ip_count"),
    ("ipv6_addresses", "ipv6_address_count"),
    ("ipv4_prefixes", "ipv4_prefix_count"),
    ("ipv6_prefixes", "ipv6_prefix_count"),
)
"""Addresses and prefixes besides the primary address: for each sort the key of the list and of the count."""


def _destination(value: str) -> str:
    """The destination of a route: a CIDR in normal form, or the id of a prefix list."""
    if block := _block(value):
        return block
    if resource_id("pl", value):
        return value
    what = "a prefix list id" if value.startswith("pl-") else "a valid CIDR"
    raise value_error(f"{shown(value)} is not {what}", f"{_BLOCK_HINT}, pl-… or {{prefix_list_name: …}}")


_Destination = Annotated[
    Annotated[Text, AfterValidator(_destination), Tag(NAMED)] | Annotated[ForeignListField, Tag(SELECTED)],
    Discriminator(_spelled),
]


class Route(Row):
    """A route that leads to an interface. The route table is not the stack's: only this route of it is."""

    example: ClassVar[str | None] = "{route_table: rtb-0123456789abcdef0, destination: 0.0.0.0/0}"

    route_table: RouteTableField = Field(
        description="rtb-…, {tags: {…}}, {subnet: …}: the one of a subnet, or {main_of: …}: the main one of a VPC"
    )
    destination: _Destination = Field(
        description="The traffic that it leads here: a CIDR, pl-… or {prefix_list_name: …}"
    )

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies the route, in hashable form."""
        destination = self.destination
        return (self.route_table.key, destination.key if isinstance(destination, ForeignSelector) else destination)

    @property
    def text(self) -> str:
        """The route in a message."""
        destination = self.destination
        shown = destination.text if isinstance(destination, ForeignSelector) else destination
        return f"{shown} of {self.route_table.text}"


_GroupItem = Annotated[
    Annotated[Text, Tag(NAMED)] | Annotated[ForeignGroupField, Tag(SELECTED)], Discriminator(_spelled)
]


def _one_way(value: bool) -> bool:
    if not value:
        raise value_error("must be true", "leave it out: EC2 never turns it off once it is on")
    return value


class NetworkInterface(Resource):
    """An elastic network interface. It keeps its addresses when it moves to another instance."""

    needed: ClassVar[tuple[str, ...]] = ("subnet",)
    example: ClassVar[str | None] = "{subnet: subnet-0123456789abcdef0}"

    adopt: Annotated[Text, *_adopted("eni", "a network interface")] | None = Field(None, description=_ADOPT)
    subnet: Annotated[SubnetField | None, _NEEDED] = Field(
        None, validate_default=True, description="subnet-…, {tags: {…}}, {cidr: …} or {default_for_az: …}"
    )
    security_groups: (
        Annotated[tuple[_GroupItem, ...], BeforeValidator(tuple_of_items), AfterValidator(_groups)] | None
    ) = Field(
        None,
        description=(
            "Names of groups in this spec, sg-…, {tags: {…}} or {group_name: …}; default: the VPC's default group"
        ),
        json_schema_extra={"minItems": 1, "maxItems": 16},
    )
    private_ip: Ipv4 | None = Field(None, description="The primary IPv4 address; default: EC2 chooses")
    secondary_private_ips: Annotated[tuple[Ipv4, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="The complete list of secondary IPv4 addresses; default: not managed"
    )
    secondary_private_ip_count: Count4 | None = Field(
        None, description="How many secondary IPv4 addresses EC2 chooses; instead of secondary_private_ips"
    )
    ipv6_addresses: Annotated[tuple[Ipv6, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="The complete list of IPv6 addresses; default: not managed"
    )
    ipv6_address_count: Count6 | None = Field(
        None, description="How many IPv6 addresses EC2 chooses; instead of ipv6_addresses"
    )
    primary_ipv6: (
        Annotated[Boolean, AfterValidator(_one_way), WithJsonSchema({"type": "boolean", "const": True})] | None
    ) = Field(
        None, description="true makes one of its IPv6 addresses the primary one, for good; default: not managed"
    )
    ipv4_prefixes: Annotated[tuple[Ipv4Prefix, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="The complete list of IPv4 prefixes (/28); default: not managed"
    )
    ipv4_prefix_count: Count4 | None = Field(
        None, description="How many IPv4 prefixes EC2 chooses; instead of ipv4_prefixes"
    )
    ipv6_prefixes: Annotated[tuple[Ipv6Prefix, ...], BeforeValidator(tuple_of_items)] | None = Field(
        None, description="The complete list of IPv6 prefixes (/80); default: not managed"
    )
    ipv6_prefix_count: Count6 | None = Field(
        None, description="How many IPv6 prefixes EC2 chooses; instead of ipv6_prefixes"
    )
    description: FreeText = Field("", description="What the interface is for")
    source_dest_check: Boolean = Field(
        True, description="Source/destination check; false for routers, NAT instances and firewalls"
    )
    associate_public_ip_address: Boolean | None = Field(
        None,
        description=(
            "Whether EC2 gives a primary interface an automatic public address while its instance runs; "
            "default: not managed"
        ),
    )
    connection_tracking: ConnectionTracking | None = Field(
        None, description="Idle timeouts of tracked connections; default: not managed"
    )
    interface_type: Annotated[
        Literal["interface", "efa", "efa-only", "trunk", "branch"],
        choice("interface", "efa", "efa-only", "trunk", "branch"),
    ] = Field("interface", description="The type of interface; EC2 cannot change it after creation")
    attachment: Attachment | None = Field(
        None, description="Where the interface is attached; default: not attached"
    )
    routes: Annotated[tuple[Route, ...], BeforeValidator(tuple_of_items)] = Field(
        (), description="Routes of route tables that lead to the interface; default: none"
    )
    tags: Tags = Field(
        default_factory=dict, description="Tags of this resource, in addition to the tags of the file"
    )

    @property
    def private_ips(self) -> tuple[str, ...]:
        """The private IPv4 addresses in the row, the primary one first."""
        primary = () if self.private_ip is None else (self.private_ip,)
        return (*primary, *(self.secondary_private_ips or ()))


# ---- Elastic IPs


class Association(Row):
    """What an Elastic IP is associated with: a private address of an interface."""

    example: ClassVar[str | None] = "{network_interface: web-eth0}"

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["network_interface"]}, {"required": ["instance"]}]}
    )

    network_interface: Text | None = Field(None, description="The name of an interface in this spec, or eni-…")
    instance: Text | None = Field(
        None,
        description=(
            "Instead of network_interface: the name of an instance in this spec, for its primary interface"
        ),
    )
    private_ip: Ipv4 | None = Field(
        None, description="One of the interface's private addresses; default: the primary one"
    )
    secondary: Boolean = Field(
        False,
        description="Instead of private_ip: a secondary address that EC2 chose, which then stays the same",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.network_interface is None) == (self.instance is None):
            raise value_error("needs either `network_interface` or `instance`", "write exactly one of the two")
        if self.secondary and self.private_ip is not None:
            raise value_error("cannot be combined with private_ip", "keep one of the two", at=("secondary",))
        return self


class ElasticIp(Resource):
    """An Elastic IP. Without an association, it is allocated only."""

    adopt: Annotated[Text, *_adopted("eipalloc", "an Elastic IP allocation")] | None = Field(
        None, description=_ADOPT
    )
    association: Association | None = Field(
        None, description="What the Elastic IP is associated with; default: nothing"
    )
    reverse_dns: DomainName | None = Field(
        None, description="The domain name of its PTR record; empty: no record; default: not managed"
    )
    public_ipv4_pool: Ipv4Pool | None = Field(
        None, description="The address pool to allocate from, for example a BYOIP pool"
    )
    address: PublicIpv4 | None = Field(
        None, description="The address to allocate: one that you released recently, or one of a BYOIP pool"
    )
    network_border_group: BorderGroup | None = Field(
        None, description="The zones from which AWS advertises the address; default: those of the Region"
    )
    tags: Tags = Field(
        default_factory=dict, description="Tags of this resource, in addition to the tags of the file"
    )


# ---- checks


def _status(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[1-5][xX*]{1,2}|[0-9]{3}([-,| ]+[0-9]{3})+", value):
        hint = "write one status, for example 200; without `status`, 200 to 399 are accepted"
        raise value_error(f"must be one HTTP status, not {shown(value)}", hint)
    return value


Port = Annotated[Integer, within(1, 65535)]
_Status = Annotated[Integer, BeforeValidator(_status), within(100, 599)]
PROBES = ("http", "https", "tcp")
"""The keys of a check that say how to ask; a check has one of them."""


def _not_empty(value: str) -> str:
    if not value:
        raise value_error("must not be empty", "leave it out to accept any body")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        hint = "for example /health; encode spaces and other characters as %XX"
        raise value_error(f"must be a path that begins with /, not {shown(value)}", hint)
    return value


class WebProbe(Row):
    """A request that a check makes: GET, over HTTP or HTTPS."""

    port: Port | None = Field(None, description="The TCP port; default: 80 for http, 443 for https")
    path: Annotated[Text, AfterValidator(_path), WithJsonSchema({"type": "string", "pattern": "^/[!-~]*$"})] = (
        Field("/", description="The path to request, with its query")
    )
    status: _Status | None = Field(None, description="The status that the answer must have; default: 200 to 399")
    contains: Annotated[Text, AfterValidator(_not_empty)] | None = Field(
        None, description="Text that the first MiB of the answer's body must contain"
    )
    host: DomainName | None = Field(
        None,
        description=(
            "The name to ask for (Host header, SNI). An https check verifies the certificate for this name, and "
            "verifies none without it; default: the address"
        ),
    )


class Check(Row):
    """What should answer at an address, seen from where the command runs."""

    example: ClassVar[str | None] = "{elastic_ip: web-1, tcp: 22}"

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"oneOf": [{"required": [key]} for key in keys]}
                for keys in (("elastic_ip", "network_interface"), PROBES)
            ]
        }
    )

    elastic_ip: Text | None = Field(None, description="The name of an Elastic IP in this spec")
    network_interface: Text | None = Field(
        None, description="Instead of elastic_ip: the name of an interface in this spec, for its primary address"
    )
    http: WebProbe | None = Field(
        None, description="Request a page over HTTP: {port, path, status, contains, host}"
    )
    https: WebProbe | None = Field(None, description="Instead of http: request a page over HTTPS")
    tcp: Port | None = Field(None, description="Instead of http: connect to this TCP port")
    expect: Annotated[Literal["open", "refused", "silent"], choice("open", "refused", "silent")] = Field(
        "open", description="open: it answers; refused: it resets the connection; silent: there is no answer"
    )
    within: Duration = Field("30s", description="How long to repeat the check until it is as expected")

    @property
    def target(self) -> tuple[str, str]:
        """The key and the name of what it asks."""
        if self.elastic_ip is not None:
            return "elastic_ip", self.elastic_ip
        return "network_interface", str(self.network_interface)

    @property
    def web(self) -> WebProbe | None:
        """The request, if it makes one."""
        return self.http or self.https

    @property
    def port(self) -> int:
        """The TCP port that it asks."""
        if self.tcp is not None:
            return self.tcp
        web, default = (self.http, 80) if self.http is not None else (self.https, 443)
        return (web.port if web else None) or default

    @property
    def seconds(self) -> int:
        """``within`` in seconds."""
        return seconds_in(self.within)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.elastic_ip is None) == (self.network_interface is None):
            raise value_error("needs either `elastic_ip` or `network_interface`", "write exactly one of the two")
        if sum(getattr(self, key) is not None for key in PROBES) != 1:
            hint = "write exactly one of the three, for example `tcp: 22`"
            raise value_error("needs one of `http`, `https` and `tcp`", hint)
        if self.web is not None and self.expect != "open":
            hint = f"write `tcp: {self.port}` instead of the request"
            raise value_error(f"a request cannot expect {shown(self.expect)}", hint, at=("expect",))
        return self


# ---- the file


def _version(value: int) -> int:
    if value != 1:
        raise value_error(f"this release reads spec version 1, not {value}", "write `version: 1`")
    return value


_section = BeforeValidator(mapping_of_items)


class Document(Row):
    """One spec file: a complete stack."""

    also: ClassVar[tuple[str, ...]] = ("variables", "defaults")
    example: ClassVar[str | None] = "`version: 1` and `stack: two-enis`"

    version: Annotated[Integer, AfterValidator(_version), WithJsonSchema({"const": 1})] = Field(
        description="The version of the file format"
    )
    stack: StackName = Field(description="The name of the stack; every resource of the file is tagged with it")
    region: Region | None = Field(None, description="The AWS Region; default: from the AWS configuration")
    account_id: AccountId | None = Field(None, description="Refuse to run in any other AWS account")
    assume_role_arn: RoleArn | None = Field(None, description="The IAM role to assume")
    external_id: ExternalId | None = Field(
        None, description="The external id that the trust policy of that role demands"
    )
    tags: Tags = Field(default_factory=dict, description="Tags of every resource of the file")
    security_groups: Annotated[Mapping[LogicalGroupName, SecurityGroup], _section] = Field(
        default_factory=dict, description="Security groups by name"
    )
    instances: Annotated[Mapping[LogicalName, AnyInstance], _section] = Field(
        default_factory=dict,
        description="Instances by name: instances of the stack, and external ones to attach interfaces to",
    )
    network_interfaces: Annotated[Mapping[LogicalInterfaceName, NetworkInterface], _section] = Field(
        default_factory=dict, description="Network interfaces by name"
    )
    elastic_ips: Annotated[Mapping[LogicalName, ElasticIp], _section] = Field(
        default_factory=dict, description="Elastic IPs by name"
    )
    checks: Annotated[Mapping[LogicalName, Check], _section] = Field(
        default_factory=dict, description="Checks by name: what should answer, for verify and apply --verify"
    )
    _emptied_route_tables: tuple[RouteTableSelector, ...] = ()

    @property
    def role_account(self) -> str | None:
        """The account of the role to assume."""
        return self.assume_role_arn.split(":")[4] if self.assume_role_arn else None

    @property
    def account(self) -> str | None:
        """The account that the file names, by ``account_id`` or by its role."""
        return self.account_id or self.role_account

    @property
    def own_instances(self) -> dict[str, Instance]:
        """The instances that the stack manages."""
        return {name: row for name, row in self.instances.items() if isinstance(row, Instance)}

    @property
    def external_instances(self) -> dict[str, ExternalInstance]:
        """The external instances by their names in the spec."""
        return {name: row for name, row in self.instances.items() if isinstance(row, ExternalInstance)}

    @cached_property
    def resources(self) -> dict[str, Resource]:
        """The rows of all managed resources by address (``<section>.<name>``), sorted by section and name."""
        return {f"{section}.{name}": row for section in SECTIONS for name, row in self._own(section)}

    @property
    def adopted(self) -> dict[str, str]:
        """The ids in ``adopt``, by address."""
        return {address: row.adopt for address, row in self.resources.items() if row.adopt is not None}

    @property
    def foreign_selectors(self) -> tuple[ForeignSelector, ...]:
        """The selectors of foreign groups and prefix lists, each once."""
        lists: list[Iterable[Peer]] = [row.security_groups or () for row in self.network_interfaces.values()]
        for group in self.security_groups.values():
            lists += (rule.sources for rule in group.ingress)
            lists += (rule.destinations for rule in group.egress or ())
        lists += ([route.destination for route in row.routes] for row in self.network_interfaces.values())
        found = (item for items in lists for item in items if isinstance(item, ForeignSelector))
        return tuple({selector.key: selector for selector in found}.values())

    @property
    def route_tables(self) -> tuple[RouteTableSelector, ...]:
        """The selectors of the route tables that rows name, each once; also of rows that ``emptied`` removed."""
        rows = self.network_interfaces.values()
        found = (*(route.route_table for row in rows for route in row.routes), *self._emptied_route_tables)
        return tuple({selector.key: selector for selector in found}.values())

    @property
    def searches_main_route_tables(self) -> bool:
        """Does a row name the main route table of a VPC that has to be looked for?"""
        vpcs = (selector.main_of for selector in self.route_tables)
        return any(vpc is not None and vpc.id is None for vpc in vpcs)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, without what was computed from the original."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("resources", None)
        return copied

    def emptied(self) -> Self:
        """The same stack without any row."""
        no_rows: dict[str, Any] = {section: {} for section in ROW_SECTIONS}
        document = self.model_copy(update=no_rows)
        document._emptied_route_tables = self.route_tables
        return document

    @property
    def renamed(self) -> dict[str, str]:
        """The former addresses of rows with ``renamed_from``, by their present ones."""
        return {
            address: f"{address.partition('.')[0]}.{row.renamed_from}"
            for address, row in self.resources.items()
            if row.renamed_from is not None
        }

    @property
    def protected(self) -> frozenset[str]:
        """The addresses with ``prevent_destroy``."""
        return frozenset(address for address, row in self.resources.items() if row.lifecycle.prevent_destroy)

    def primary_interface(self, instance: str) -> str | None:
        """The name of the interface in this spec at card 0, index 0 of an instance; None if there is none."""
        for name, interface in self.network_interfaces.items():
            at = interface.attachment
            if at and at.instance == instance and (at.network_card_index, at.device_index) == (0, 0):
                return name
        return None

    def guest_networks(self, interface: NetworkInterface) -> tuple[str, ...]:
        """The instances with ``guest_network`` that an interface is attached to, or may be by a failover.

        None of an efa-only interface: it is no network device in the guest.
        """
        if interface.attachment is None or interface.interface_type == "efa-only":
            return ()
        holders = interface.attachment.candidates
        rows = ((name, self.instances.get(name)) for name in holders)
        return tuple(name for name, row in rows if isinstance(row, Instance) and row.guest_network is not None)

    def own_names(self, section: str) -> list[str]:
        """The names of the managed resources of a section, sorted."""
        return [name for name, _ in self._own(section)]

    def _own(self, section: str) -> list[tuple[str, Resource]]:
        rows: Mapping[str, Resource] = self.own_instances if section == "instances" else getattr(self, section)
        return sorted(rows.items())


SECTIONS = ("security_groups", "instances", "network_interfaces", "elastic_ips")
"""The sections of resources."""
ROW_SECTIONS = (*SECTIONS, "checks")
"""The sections that map names to rows."""
