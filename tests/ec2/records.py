"""What the strict EC2 remembers. Plain data: it can be pickled, so that old states can be kept and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

Params = dict[str, Any]
Result = dict[str, Any]

InstanceState = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]

STATE_CODES: dict[str, int] = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


@dataclass(frozen=True)
class Quotas:
    """EC2 docs: default account quotas of a Region."""

    addresses: int = 5
    groups_per_interface: int = 5
    rules_per_group: int = 60
    interfaces: int = 5000
    groups: int = 2500
    instances: int = 1000
    vpcs: int = 5


@dataclass(frozen=True)
class Settings:
    """How slow, how stingy and how unhelpful this EC2 is. All times are seconds of the world's clock."""

    attach_delay: float = 0.0
    """An attachment is `attaching` for so long."""
    detach_delay: float = 0.0
    """An attachment is `detaching` for so long."""
    detached_delay: float = 0.0
    """A free interface still shows its last attachment, as `detached`, for so long."""
    pending_delay: float = 0.0
    """An instance is `pending` for so long after launch or start."""
    stop_delay: float = 0.0
    """An instance is `stopping` for so long."""
    terminate_delay: float = 0.0
    """An instance is `shutting-down` for so long."""
    linger_delay: float = 0.0
    """The interfaces of a terminated instance stay in use for so long after it is `terminated`."""
    eni_pending_delay: float = 0.0
    """A new interface is `pending` for so long."""
    visibility_delay: float = 0.0
    """A new resource is unknown to every call but the replay of its token for so long."""
    status_delay: float = 0.0
    """Status checks say `initializing` for so long after an instance runs."""
    ptr_delay: float = 0.0
    """A change of reverse DNS is PENDING for so long."""
    ptr_linger_delay: float = 0.0
    """An address whose reverse DNS is gone cannot be released for so long."""
    forward_dns: bool = False
    """Reverse DNS is taken only for names with an A record for the address."""
    border_groups: tuple[str, ...] = ()
    """Network border groups besides the Region: Local Zones and the like."""
    type_change_delay: float = 0.0
    """StartInstances refuses an instance for so long after a change of its type."""
    terminated_retention: float = 3600.0
    """A terminated instance stays listed for so long."""
    replays_deleted: bool = False
    """CreateNetworkInterface repeats its old answer for the token of a deleted interface, instead of NotFound."""
    terminated_in_subnet: bool = False
    """A terminated instance still shows its subnet and VPC. EC2 mostly does not."""
    page_cap: int | None = None
    """A page never holds more than this, whatever MaxResults asks for."""
    ragged_pages: bool = False
    """Pages are short, sometimes empty, while a token still promises more."""
    hide_managed: bool = False
    """Resources that a service operates are shown only to those who ask with IncludeManagedResources."""
    public_network: str = ""
    """A CIDR block from which public addresses come, in order; by default they are random ones of Amazon's."""
    seed: int = 0
    account_id: str = "123456789012"
    region: str = "us-east-1"
    quotas: Quotas = field(default_factory=Quotas)
    epoch: float | None = None
    """The Unix time at which the world begins; the present by default."""


@dataclass
class Resource:
    """What everything that has an id and tags shares."""

    id: str
    tags: dict[str, str] = field(default_factory=dict, kw_only=True)
    created: float = field(default=0.0, kw_only=True)
    visible_at: float = field(default=float("-inf"), kw_only=True)


@dataclass
class Vpc(Resource):
    cidr: str
    is_default: bool = False
    ipv6_cidr: str | None = None
    ipv6_state: str = "associated"
    other_cidrs: dict[str, str] = field(default_factory=dict)
    """Further IPv4 blocks and their states. EC2 lists a block as `disassociated` for long after its end."""
    dns_support: bool = True
    dns_hostnames: bool = True


@dataclass
class Subnet(Resource):
    vpc_id: str
    zone: str
    cidr: str
    ipv6_cidr: str | None = None
    default_for_az: bool = False
    map_public_ip: bool = False
    assign_ipv6: bool = False
    used: dict[str, str] = field(default_factory=dict)
    """Every IPv4 address taken, and by which interface."""
    used6: dict[str, str] = field(default_factory=dict)
    reserved_prefixes: dict[str, str] = field(default_factory=dict)
    """Prefixes (both families) delegated to interfaces."""

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(self.cidr)

    @property
    def network6(self) -> IPv6Network | None:
        return IPv6Network(self.ipv6_cidr) if self.ipv6_cidr else None

    @property
    def free(self) -> int:
        """EC2 docs: the first four addresses and the last of each subnet are reserved."""
        delegated = sum(16 for prefix in self.reserved_prefixes if ":" not in prefix)
        return self.network.num_addresses - 5 - len(self.used) - delegated


@dataclass
class Gateway(Resource):
    vpc_id: str | None


@dataclass
class NatGateway(Resource):
    subnet_id: str
    vpc_id: str
    interface_id: str = ""
    allocation_id: str = ""
    state: Literal["pending", "available", "deleting", "deleted"] = "pending"


@dataclass(frozen=True)
class Route:
    """Where a route leads: EC2's name for the sort of target, and its id."""

    kind: Literal["GatewayId", "NatGatewayId", "NetworkInterfaceId"]
    target: str


@dataclass
class RouteTable(Resource):
    vpc_id: str
    main_association: str | None = None
    """The id of the association that makes it the main table of its VPC."""
    subnets: dict[str, str] = field(default_factory=dict)
    """Association id to the subnet that is served."""
    routes: dict[str, Route] = field(default_factory=dict)
    """By destination, without the local ones, unless they lead elsewhere."""
    propagated: dict[str, str] = field(default_factory=dict)
    """Destinations to the virtual private gateways that propagate them."""

    @property
    def main(self) -> bool:
        return self.main_association is not None


@dataclass(frozen=True)
class AclEntry:
    """One rule of a network ACL; the protocol is a number, -1 for all."""

    protocol: str
    action: str
    cidr: str
    ports: tuple[int, int] | None = None


@dataclass
class NetworkAcl(Resource):
    vpc_id: str
    is_default: bool = False
    entries: dict[tuple[bool, int], AclEntry] = field(default_factory=dict)
    """By direction (True: egress) and number, without the one that denies all else."""
    subnets: dict[str, str] = field(default_factory=dict)
    """Association id to subnet; the default ACL guards all that no other does."""


@dataclass
class Rule(Resource):
    """One rule: one direction, one protocol, one port range, exactly one source or destination."""

    egress: bool
    protocol: str
    from_port: int | None
    to_port: int | None
    source_kind: Literal["v4", "v6", "group", "prefix-list"]
    source: str
    description: str | None = None
    source_owner: str | None = None

    @property
    def identity(self) -> tuple[bool, str, int | None, int | None, str, str]:
        """A description is not part of what a rule is."""
        return (self.egress, self.protocol, self.from_port, self.to_port, self.source_kind, self.source)


@dataclass
class Group(Resource):
    name: str
    description: str
    vpc_id: str
    rules: dict[str, Rule] = field(default_factory=dict)


@dataclass
class Attachment:
    id: str
    instance_id: str | None
    device_index: int
    card: int
    delete_on_termination: bool
    status: Literal["attaching", "attached", "detaching", "detached"]
    time: float
    owner_id: str
    without_card: bool = False
    """Made before EC2 had network cards: NetworkCardIndex is not shown."""


@dataclass
class Interface(Resource):
    subnet_id: str
    vpc_id: str
    zone: str
    group_ids: list[str]
    mac: str
    ips: list[str]
    """The first one is primary, for good."""
    description: str = ""
    source_dest_check: bool = True
    interface_type: str = "interface"
    ipv6: list[str] = field(default_factory=list)
    primary_ipv6: bool = False
    prefixes4: list[str] = field(default_factory=list)
    prefixes6: list[str] = field(default_factory=list)
    attachment: Attachment | None = None
    ghost: tuple[Attachment, float] | None = None
    """The last attachment and until when it is still shown."""
    pending: bool = False
    requester_managed: bool = False
    requester_id: str | None = None
    operator: str | None = None
    auto_public: bool = False
    """Whether EC2 gives it a public address of its own while the instance runs."""
    public_ip: str | None = None
    connection_tracking: dict[str, int] = field(default_factory=dict)
    ena_srd: dict[str, Any] = field(default_factory=dict)
    deny_igw: bool = False

    @property
    def slots4(self) -> int:
        """EC2 docs: each delegated prefix uses up one address slot."""
        return len(self.ips) + len(self.prefixes4)

    @property
    def slots6(self) -> int:
        return len(self.ipv6) + len(self.prefixes6)


@dataclass
class Address(Resource):
    """An Elastic IP."""

    public_ip: str
    border_group: str
    pool: str = "amazon"
    association_id: str | None = None
    interface_id: str | None = None
    private_ip: str | None = None
    ptr: str | None = None
    ptr_update: tuple[str | None, float] | None = None
    """The value asked for and when it is applied."""
    ptr_until: float = float("-inf")
    """A record that is gone still keeps it from being released until then."""
    locked: bool = False
    service_managed: str | None = None


@dataclass
class Volume(Resource):
    instance_id: str
    device: str
    size: int
    volume_type: str
    delete_on_termination: bool
    zone: str
    encrypted: bool = False
    iops: int | None = None
    throughput: int | None = None
    kms_key_id: str | None = None
    snapshot_id: str = ""


@dataclass
class Reserved(Resource):
    """A Dedicated Host or a Capacity Reservation."""

    instance_type: str
    zone: str
    state: str


@dataclass
class SpotRequest(Resource):
    instance_id: str
    type: str
    """`one-time` or `persistent`."""
    behavior: str
    state: str = "active"
    max_price: str = ""


@dataclass
class Instance(Resource):
    reservation_id: str
    image_id: str
    instance_type: str
    zone: str
    vpc_id: str
    subnet_id: str
    state: InstanceState
    launch_index: int
    client_token: str
    key_name: str | None = None
    profile: str | None = None
    profile_association: str = ""
    user_data: str | None = None
    """In base64, as DescribeInstanceAttribute answers it."""
    no_termination: bool = False
    no_stop: bool = False
    shutdown_behavior: str = "stop"
    ebs_optimized: bool = False
    monitoring: bool = False
    hibernation: bool = False
    tenancy: str = "default"
    metadata: dict[str, Any] = field(default_factory=dict)
    cpu_credits: str = ""
    reason: str = ""
    reason_code: tuple[str, str] | None = None
    since: float = 0.0
    """When the present state began."""
    volumes: list[str] = field(default_factory=list)
    interface_ids: list[str] = field(default_factory=list)
    """Every interface whose attachment, in whatever state, names this instance."""
    impaired: dict[str, str] = field(default_factory=dict)
    """`instance` or `system` to the status that its check shows."""
    clings: bool = False
    """Its guest does not let go of interfaces: a detach hangs until it is forced or the instance stops."""
    blocked: set[tuple[int, int]] = field(default_factory=set)
    """Seats (card, device index) that a forced detach has left unusable until the instance stops."""
    auto_recovery: str = "default"
    placement: dict[str, Any] = field(default_factory=dict)
    """The group, the partition and the host, as a launch names them."""
    cpu: dict[str, Any] = field(default_factory=dict)
    enclave: bool = False
    reservation: dict[str, Any] = field(default_factory=dict)
    spot_request: str | None = None
    dns_options: dict[str, Any] = field(default_factory=dict)
    operator: str | None = None
    type_before: tuple[str, float] | None = None
    """The type before the last change, and until when StartInstances still takes it for the type."""


@dataclass
class Image(Resource):
    name: str
    architecture: str
    creation_date: str
    owner_id: str
    owner_alias: str | None
    description: str = ""
    state: str = "available"
    public: bool = True
    snapshot_id: str = ""
    boot_mode: str = "uefi-preferred"
    ena: bool = True
    root_device: str = "ebs"
    platform: str = "Linux/UNIX"
    size: int = 8
    """GiB of the snapshot of its root volume."""


@dataclass
class Replay:
    """What a client token once made, and from which parameters."""

    fingerprint: str
    ids: list[str]
    answer: Result = field(default_factory=dict)
    """The first answer, where it may have to be repeated after the resource is gone."""


@dataclass
class Data:
    """The whole remembered world."""

    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    route_tables: dict[str, RouteTable] = field(default_factory=dict)
    nat_gateways: dict[str, NatGateway] = field(default_factory=dict)
    network_acls: dict[str, NetworkAcl] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    addresses: dict[str, Address] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    """Snapshots beside those of images: id to GiB."""
    placement_groups: dict[str, str] = field(default_factory=dict)
    """Placement groups: name to strategy."""
    hosts: dict[str, Reserved] = field(default_factory=dict)
    """Dedicated Hosts."""
    reservations: dict[str, Reserved] = field(default_factory=dict)
    """Capacity Reservations."""
    kms_keys: dict[str, str] = field(default_factory=dict)
    """KMS keys: id to state."""
    kms_aliases: dict[str, str] = field(default_factory=dict)
    """Aliases of KMS keys, with `alias/`, to ids."""
    spot_requests: dict[str, SpotRequest] = field(default_factory=dict)
    attachments: dict[str, str] = field(default_factory=dict)
    """Attachment id to interface id."""
    rules: dict[str, str] = field(default_factory=dict)
    """Rule id to group id."""
    associations: dict[str, str] = field(default_factory=dict)
    """Association id to allocation id."""
    by_target: dict[tuple[str, str], str] = field(default_factory=dict)
    """(interface, private address) to the allocation id of the Elastic IP on it."""
    group_vpcs: set[tuple[str, str]] = field(default_factory=set)
    """Groups associated with a VPC that is not their own."""
    peerings: set[tuple[str, str]] = field(default_factory=set)
    """VPCs with an active peering connection, by requester and accepter."""
    unshared: set[str] = field(default_factory=set)
    """Subnets that another account no longer shares with this one."""
    peer_groups: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Groups of other accounts in peered VPCs: their ids to account and VPC."""
    transit_gateways: dict[str, list[str]] = field(default_factory=dict)
    """The VPCs attached to a transit gateway that supports references to security groups."""
    unoffered: set[tuple[str, str]] = field(default_factory=set)
    """Instance types and the zones that do not offer them."""
    replays: dict[tuple[str, str, str | None], Replay] = field(default_factory=dict)
    due: list[tuple[float, int, str, str]] = field(default_factory=list)
    """A heap of what happens by itself: when, tie-breaker, what, to which id."""
    key_pairs: set[str] = field(default_factory=set)
    profiles: dict[str, str] = field(default_factory=dict)
    """Instance profiles: name to ARN."""
    profiles_since: dict[str, float] = field(default_factory=dict)
    """From when on EC2 knows a profile that IAM has."""
    roles_since: dict[str, float] = field(default_factory=dict)
    """From when on EC2 knows that a profile has a role."""
    parameters: dict[str, str] = field(default_factory=dict)
    prefix_lists: dict[str, int] = field(default_factory=dict)
    """Prefix list id to how many rules it counts as."""
    list_names: dict[str, str] = field(default_factory=dict)
    """Prefix list id to its name, where it is not its id. Names are not unique."""
    aws_lists: set[str] = field(default_factory=set)
    """Prefix lists that AWS manages; EC2 shows neither MaxEntries nor Version of them."""
    pools: dict[str, list[str]] = field(default_factory=dict)
    """Public IPv4 pools brought by the account, and their free addresses."""
    public_ips: int = 0
    """How many addresses of the public network were handed out."""
    released: list[str] = field(default_factory=list)
    """Addresses given back, which can be asked for again by name."""
    forward: dict[str, str] = field(default_factory=dict)
    """A records of the world's DNS: name to address."""


def iso_time(epoch: float) -> datetime:
    return datetime.fromtimestamp(int(epoch), UTC)
