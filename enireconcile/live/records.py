"""EC2's answers, parsed once into typed records. Pure.

Every record has the ``id`` and the ``tags`` of a live object; a function beside it reads it from an item of its
describe call. EC2 may leave empty lists and keys out, and gives no order.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from enireconcile.model import Secret


class Tagged(Protocol):
    """A live object with an id and tags."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Record(Tagged, Protocol):
    """A live object, parsed once. Attributes beyond these belong to its kind.

    ``manager`` is the AWS service that manages it, None for those that are their account's own.
    """

    @property
    def manager(self) -> str | None: ...


def titled(live: Tagged) -> str:
    """A live object in a message: its id, and its Name if it has one."""
    name = live.tags.get("Name")
    return f"{live.id} ({name})" if name else live.id


def tags_in(described: Mapping[str, Any], key: str = "Tags") -> dict[str, str]:
    """The tags of a described object."""
    # Thousands of resources have the same keys.
    return {intern(tag["Key"]): tag["Value"] for tag in described.get(key) or []}


class LiveSecurityGroup(Struct, frozen=True):
    """A described group. ``ingress`` and ``egress`` are EC2's IpPermissions.

    A pair in their UserIdGroupPairs has a UserId only if the group belongs to another account: ``peer_group``.
    """

    id: str
    tags: Mapping[str, str]
    name: str
    description: str
    vpc_id: str
    ingress: tuple[Mapping[str, Any], ...]
    egress: tuple[Mapping[str, Any], ...]
    manager: None = None
    """EC2 does not show which service manages a group."""


def security_group(described: Mapping[str, Any]) -> LiveSecurityGroup:
    """An item of DescribeSecurityGroups."""
    return LiveSecurityGroup(
        id=described["GroupId"],
        tags=tags_in(described),
        name=described["GroupName"],
        description=described.get("Description", ""),
        vpc_id=described.get("VpcId", ""),
        ingress=_permissions(described, "IpPermissions"),
        egress=_permissions(described, "IpPermissionsEgress"),
    )


def _permissions(described: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """The IpPermissions of a group. EC2 returns a UserId in each pair, mostly that of the group itself."""
    owner = described.get("OwnerId")
    found = []
    for permission in described.get(key) or ():
        pairs = [
            {name: value for name, value in pair.items() if name != "UserId" or owner not in (None, value)}
            for pair in permission.get("UserIdGroupPairs") or ()
        ]
        found.append({**permission, "UserIdGroupPairs": pairs} if pairs else permission)
    return tuple(found)


def peer_group(pair: Mapping[str, Any]) -> Any:
    """The group in a pair of UserIdGroupPairs: its id, or ``<account>/<id>`` if another account has it."""
    return f"{pair['UserId']}/{pair['GroupId']}" if pair.get("UserId") else pair["GroupId"]


class LivePrefixList(Struct, frozen=True):
    """A described prefix list: of the account, of AWS, or shared by another account.

    ``leaving``: EC2 deletes it, or has deleted it.
    """

    id: str
    name: str
    leaving: bool = False


def prefix_list(described: Mapping[str, Any]) -> LivePrefixList:
    """An item of DescribeManagedPrefixLists."""
    leaving = described.get("State") in ("delete-in-progress", "delete-complete")
    return LivePrefixList(described["PrefixListId"], described.get("PrefixListName", ""), leaving)


class LiveAttachment(Struct, frozen=True):
    """Where an interface is attached. ``status`` is attaching, attached or detaching."""

    id: str
    instance_id: str
    device_index: int
    network_card_index: int
    delete_on_termination: bool
    status: str


class LiveNetworkInterface(Struct, frozen=True):
    """A described interface. ``addresses`` maps its private IPs to the allocation ids of their Elastic IPs.

    ``secondary_ips`` are its private IPv4 addresses but the primary one; they, its IPv6 addresses and its prefixes
    are sorted. ``primary_ipv6`` is the IPv6 address that EC2 never unassigns. ``private_ip`` is empty where there
    is no address at all. ``timeouts`` are those of connection tracking that EC2 returns, by its names, in seconds.
    ``public_ip`` is the public address of the primary address: that of an Elastic IP or an automatic one. Where it
    was read, ``associates_public_ip`` says whether EC2 assigns one while the instance runs. ``manager`` is the
    service that manages it.
    """

    id: str
    tags: Mapping[str, str]
    subnet_id: str
    groups: tuple[str, ...]
    private_ip: str
    description: str
    source_dest_check: bool
    status: str
    attachment: LiveAttachment | None
    addresses: Mapping[str, str] = {}
    secondary_ips: tuple[str, ...] = ()
    ipv6_addresses: tuple[str, ...] = ()
    primary_ipv6: str | None = None
    ipv4_prefixes: tuple[str, ...] = ()
    ipv6_prefixes: tuple[str, ...] = ()
    interface_type: str = "interface"
    timeouts: Mapping[str, int] = {}
    zone: str = ""
    vpc_id: str = ""
    public_ip: str | None = None
    associates_public_ip: bool | None = None
    manager: str | None = None
    mac_address: str = ""

    @property
    def automatic_ip(self) -> str | None:
        """The public address of the primary address if no Elastic IP is associated with that."""
        return None if self.private_ip in self.addresses else self.public_ip

    @property
    def further(self) -> tuple[str, ...]:
        """All addresses and prefixes but the primary address."""
        return (*self.secondary_ips, *self.ipv6_addresses, *self.ipv4_prefixes, *self.ipv6_prefixes)

    @property
    def private_ips(self) -> tuple[str, ...]:
        """All its private IPv4 addresses, the primary one first."""
        return (self.private_ip, *self.secondary_ips)


def network_interface(described: Mapping[str, Any]) -> LiveNetworkInterface:
    """An item of DescribeNetworkInterfaces. Interfaces keep their tags in ``TagSet``."""
    return LiveNetworkInterface(
        id=described["NetworkInterfaceId"],
        tags=tags_in(described, "TagSet"),
        subnet_id=intern(described.get("SubnetId", "")),
        groups=tuple(sorted(group["GroupId"] for group in described.get("Groups") or ())),
        private_ip=described.get("PrivateIpAddress", ""),
        description=described.get("Description", ""),
        source_dest_check=described.get("SourceDestCheck", True),
        status=intern(described.get("Status", "")),
        attachment=_attachment(described.get("Attachment")),
        addresses=_addresses(described),
        secondary_ips=tuple(
            sorted(
                entry["PrivateIpAddress"]
                for entry in described.get("PrivateIpAddresses") or ()
                if not entry.get("Primary")
            )
        ),
        ipv6_addresses=_listed(described, "Ipv6Addresses", "Ipv6Address"),
        primary_ipv6=next(iter(_listed(described, "Ipv6Addresses", "Ipv6Address", "IsPrimaryIpv6")), None),
        ipv4_prefixes=_listed(described, "Ipv4Prefixes", "Ipv4Prefix"),
        ipv6_prefixes=_listed(described, "Ipv6Prefixes", "Ipv6Prefix"),
        interface_type=intern(described.get("InterfaceType", "interface")),
        timeouts=dict(described.get("ConnectionTrackingConfiguration") or {}),
        zone=intern(described.get("AvailabilityZone", "")),
        vpc_id=intern(described.get("VpcId", "")),
        public_ip=(described.get("Association") or {}).get("PublicIp") or None,
        mac_address=described.get("MacAddress", ""),
        manager=_manager_of_interface(described),
    )


def _listed(described: Mapping[str, Any], key: str, inner: str, flag: str | None = None) -> tuple[str, ...]:
    """Addresses or prefixes, or those with a ``flag``, in the one spelling that the spec has, too."""
    if not (every := described.get(key)):
        return ()
    entries = (entry for entry in every if flag is None or entry.get(flag))
    blocks = (ipaddress.ip_network(entry[inner]) for entry in entries)
    texts = (str(block[0]) if block.prefixlen == block.max_prefixlen else str(block) for block in blocks)
    return tuple(sorted(texts))


_TYPES = ("interface", "efa", "efa-only", "trunk", "branch")
"""Types of interfaces that users create; all others belong to services."""

_DESCRIPTIONS = (
    (r"Interface for NAT Gateway (nat-\w+)", "the NAT gateway {}"),
    (r"VPC Endpoint Interface (vpce-\w+)", "the VPC endpoint {}"),
    (r"Network Interface for Transit Gateway Attachment (tgw-attach-\w+)", "the transit gateway attachment {}"),
    (r"EFS mount target for (fs-\w+)", "the EFS mount target of {}"),
    (r"ELB app/([\w.-]+)", "the Application Load Balancer {}"),
    (r"ELB net/([\w.-]+)", "the Network Load Balancer {}"),
    (r"ELB gwy/([\w.-]+)", "the Gateway Load Balancer {}"),
    (r"ELB ([\w.-]+)", "the Classic Load Balancer {}"),
    (r"AWS Lambda VPC ENI-([\w.-]+?)(?:-[0-9a-f]{8}[0-9a-f-]*)?$", "the Lambda function {}"),
    (r"arn:[\w-]+:ecs:", "an ECS task"),
    (r"Amazon EKS ([\w.-]+)", "the EKS cluster {}"),
    (r"ElastiCache ([\w.-]+)", "the ElastiCache cluster {}"),
    (r"RDSNetworkInterface", "an RDS database"),
)
"""What AWS writes in the Description of an interface that a service made, and what then holds the interface."""

_HOLDERS = {
    "efs": "an EFS mount target",
    "gateway_load_balancer": "a Gateway Load Balancer",
    "gateway_load_balancer_endpoint": "a Gateway Load Balancer endpoint",
    "lambda": "a Lambda function",
    "load_balancer": "a load balancer",
    "nat_gateway": "a NAT gateway",
    "network_load_balancer": "a Network Load Balancer",
    "transit_gateway": "a transit gateway attachment",
    "vpc_endpoint": "a VPC endpoint",
}
"""What holds an interface, by its type."""


def _manager_of_interface(described: Mapping[str, Any]) -> str | None:
    """The service that manages an interface; None for an interface of the account's own."""
    place = described.get("Attachment") or {}
    owner = place.get("InstanceOwnerId") or ""
    by_service = (
        described.get("RequesterManaged")
        or described.get("InterfaceType", "interface") not in _TYPES
        or place.get("AttachmentId", "").startswith("ela-attach-")
        or (owner and not owner.isdigit())
        # Services also attach interfaces to instances in accounts of their own.
        or (owner and owner != described.get("OwnerId", owner))
    )
    return _holder(described, owner) if by_service else _operator(described)


def _holder(described: Mapping[str, Any], owner: str) -> str:
    """What holds an interface of a service, as exactly as EC2 shows it.

    RequesterId and InstanceOwnerId tell least: the first is often a number that AWS uses internally.
    """
    description = described.get("Description") or ""
    for pattern, words in _DESCRIPTIONS:
        if found := re.match(pattern, description):
            return words.format(*found.groups())
    kind = described.get("InterfaceType", "interface")
    if kind in _HOLDERS:
        return _HOLDERS[kind]
    if kind not in _TYPES:
        return f"an AWS service (interface type {kind})"
    names = (described.get("RequesterId") or "", owner)
    service = next((name for name in names if name.startswith("amazon-") and name != "amazon-aws"), None)
    if service is not None:
        return service
    if owner.isdigit() and owner != described.get("OwnerId", owner):
        return f"the account {owner}"
    return f"an AWS service (description {description!r})" if description else "an AWS service"


def _operator(described: Mapping[str, Any]) -> str | None:
    """The service that operates an instance or an interface for its account."""
    operator = described.get("Operator") or {}
    return str(operator.get("Principal") or "an AWS service") if operator.get("Managed") else None


def _attachment(described: Mapping[str, Any] | None) -> LiveAttachment | None:
    """Absent when detached; some interfaces of services are attached to no instance."""
    if not described or described.get("Status") == "detached" or "InstanceId" not in described:
        return None
    return LiveAttachment(
        id=described["AttachmentId"],
        instance_id=described["InstanceId"],
        device_index=described["DeviceIndex"],
        network_card_index=described.get("NetworkCardIndex", 0),
        delete_on_termination=described.get("DeleteOnTermination", False),
        status=described.get("Status", "attached"),
    )


def _addresses(described: Mapping[str, Any]) -> dict[str, str]:
    """An auto-assigned public address has no allocation id and is no Elastic IP."""
    # The interface itself repeats what its primary address has.
    return {
        entry["PrivateIpAddress"]: entry["Association"]["AllocationId"]
        for entry in (described, *(described.get("PrivateIpAddresses") or ()))
        if entry.get("Association", {}).get("AllocationId")
    }


class ReverseDns(Struct, frozen=True):
    """The reverse DNS name of an address, and the one that it is about to get; empty for none.

    Names are in the spec's normal form. ``pending`` is None while nothing changes.
    """

    name: str = ""
    pending: str | None = None

    @property
    def settling(self) -> str:
        """What it is, or will be once EC2 is done."""
        return self.name if self.pending is None else self.pending


def reverse_dns(described: Mapping[str, Any]) -> ReverseDns:
    """An item of DescribeAddressesAttribute, which lists addresses with a record, or about to have one."""
    update = described.get("PtrRecordUpdate") or {}
    pending = _normal_name(update.get("Value")) if update.get("Status") == "PENDING" else None
    return ReverseDns(_normal_name(described.get("PtrRecord")), pending)


def _normal_name(name: str | None) -> str:
    return (name or "").lower().removesuffix(".")


class LiveElasticIp(Struct, frozen=True):
    """A described address that was allocated. ``association_id`` and what follows are None when it is free.

    ``manager`` is the service that manages it; ``reverse_dns`` is None if it was not read.
    """

    id: str
    tags: Mapping[str, str]
    public_ip: str
    association_id: str | None
    network_interface_id: str | None
    private_ip: str | None
    pool: str = "amazon"
    border_group: str = ""
    manager: str | None = None
    reverse_dns: ReverseDns | None = None
    instance_id: str | None = None

    @property
    def counts(self) -> bool:
        """Does it count against the account's quota? Those of your own pools and of services do not."""
        return self.pool == "amazon" and self.manager is None


def elastic_ip(described: Mapping[str, Any]) -> LiveElasticIp:
    """An item of DescribeAddresses."""
    return LiveElasticIp(
        id=described["AllocationId"],
        tags=tags_in(described),
        public_ip=described.get("PublicIp", ""),
        association_id=described.get("AssociationId") or None,
        network_interface_id=described.get("NetworkInterfaceId") or None,
        private_ip=described.get("PrivateIpAddress") or None,
        instance_id=described.get("InstanceId") or None,
        pool=described.get("PublicIpv4Pool") or "amazon",
        border_group=described.get("NetworkBorderGroup") or "",
        manager=_manager_of_address(described.get("ServiceManaged")),
    )


_ADDRESS_MANAGERS = {
    "alb": "an Application Load Balancer",
    "nlb": "a Network Load Balancer",
    "rds": "an RDS database",
    "rnat": "a regional NAT gateway",
}
"""By EC2's ServiceManaged."""


def _manager_of_address(service: str | None) -> str | None:
    return _ADDRESS_MANAGERS.get(service, f"an AWS service ({service})") if service else None


class Occupant(Struct, frozen=True):
    """An interface in a device slot of an instance, of the stack or foreign."""

    network_interface_id: str
    device_index: int
    network_card_index: int
    attachment_id: str
    status: str = "attached"
    interface_type: str = "interface"


class Platform(Struct, frozen=True):
    """What an image or an instance demands of an instance type. What EC2 does not tell is empty or None.

    ``boot_mode`` is ``legacy-bios``, ``uefi`` or ``uefi-preferred``; ``root_device`` is ``ebs`` or
    ``instance-store``; ``ena`` says whether it has the driver of the Elastic Network Adapter.
    """

    architecture: str = ""
    boot_mode: str = ""
    ena: bool | None = None
    virtualization: str = ""
    root_device: str = ""


def _platform(described: Mapping[str, Any]) -> Platform:
    """DescribeImages and DescribeInstances use the same names."""
    return Platform(
        architecture=described.get("Architecture") or "",
        boot_mode=described.get("BootMode") or "",
        ena=described.get("EnaSupport"),
        virtualization=described.get("VirtualizationType") or "",
        root_device=described.get("RootDeviceType") or "",
    )


class LiveVolume(Struct, frozen=True):
    """A described volume at an instance: ``throughput`` in MiB/s, ``kms_key_id`` as ARN."""

    device: str
    size_gib: int
    type: str
    iops: int | None
    throughput: int | None
    encrypted: bool
    kms_key_id: str | None
    snapshot_id: str | None
    delete_on_termination: bool
    tags: Mapping[str, str]


def volumes_by_instance(described: Iterable[Mapping[str, Any]]) -> dict[str, tuple[LiveVolume, ...]]:
    """Items of DescribeVolumes by the ids of the instances that they are attached to, in the order of devices."""
    found: dict[str, list[LiveVolume]] = {}
    for item in described:
        for place in item.get("Attachments") or ():
            found.setdefault(place["InstanceId"], []).append(
                LiveVolume(
                    device=place.get("Device", ""),
                    size_gib=item.get("Size", 0),
                    type=item.get("VolumeType", ""),
                    iops=item.get("Iops"),
                    throughput=item.get("Throughput"),
                    encrypted=item.get("Encrypted", False),
                    kms_key_id=item.get("KmsKeyId") or None,
                    snapshot_id=item.get("SnapshotId") or None,
                    delete_on_termination=place.get("DeleteOnTermination", True),
                    tags=tags_in(item),
                )
            )
    return {key: tuple(sorted(volumes, key=lambda each: each.device)) for key, volumes in found.items()}


class LiveInstance(Struct, frozen=True):
    """A described instance; EC2 lists terminated ones for a while. ``profile`` is the ARN of its instance profile,
    ``profile_association`` the id of the association, read only where the spec has another profile.

    ``protected`` says whether EC2 refuses to terminate it, ``stop_protected`` whether it refuses to stop it. They,
    ``shutdown_behavior`` and ``cpu_credits`` are None if they were not read: that takes further calls.
    ``user_data`` is the hash of its user data, empty if it has none; None if it was not read.
    ``placement_group`` is the name of its placement group, ``spot_request`` the id of its Spot request; empty if
    it has none.
    """

    id: str
    tags: Mapping[str, str]
    state: str
    instance_type: str
    image_id: str
    key_name: str | None
    profile: str | None
    profile_association: str | None = None
    zone: str = ""
    occupants: tuple[Occupant, ...] = ()
    metadata_options: Mapping[str, Any] = {}
    protected: bool | None = None
    ebs_optimized: bool = False
    monitoring: bool = False
    auto_recovery: bool = True
    stop_protected: bool | None = None
    shutdown_behavior: str | None = None
    cpu_credits: str | None = None
    user_data: str | None = None
    placement_group: str = ""
    spot_request: str = ""
    manager: str | None = None
    platform: Platform = Platform()
    private_ip: str = ""
    public_ip: str | None = None
    system: str = ""
    """EC2's PlatformDetails: ``Linux/UNIX``, ``Windows``, ``Red Hat Enterprise Linux`` …"""
    subnet_id: str = ""
    """That of its primary interface."""
    root_device: str = ""
    """The device name of its root volume."""
    volumes: tuple[LiveVolume, ...] | None = None
    """By device names; None if they were not read: that takes a further call."""

    @property
    def terminating(self) -> bool:
        """Shutting down or terminated: it may still have its interfaces, but no longer belongs to a row of the
        spec.
        """
        return self.state in ("shutting-down", "terminated")

    def profile_as(self, wanted: str | None) -> str | None:
        """The instance profile in the spelling of ``wanted``: a name or an ARN."""
        if self.profile is None or wanted is None or wanted.startswith("arn:"):
            return self.profile
        return self.profile.rpartition("/")[2]

    def occupant(self, card: int, index: int) -> Occupant | None:
        """The interface in a device slot; None if it is free."""
        for occupant in self.occupants:
            if (occupant.network_card_index, occupant.device_index) == (card, index):
                return occupant
        return None


INSTANCE_ATTRIBUTES = {
    "termination_protection": ("disableApiTermination", "DisableApiTermination", "protected"),
    "stop_protection": ("disableApiStop", "DisableApiStop", "stop_protected"),
    "shutdown_behavior": (
        "instanceInitiatedShutdownBehavior",
        "InstanceInitiatedShutdownBehavior",
        "shutdown_behavior",
    ),
}
"""Keys of a row that only DescribeInstanceAttribute shows: EC2's name, the key in the answer, our field."""


def user_data(described: Mapping[str, Any]) -> Secret | None:
    """``UserData`` of DescribeInstanceAttribute's answer; None if it is empty. Raises ValueError for no base64."""
    encoded = described.get("Value")
    return Secret(base64.b64decode(encoded, validate=True)) if encoded else None


def instance(described: Mapping[str, Any]) -> LiveInstance:
    """An item of DescribeInstances."""
    return LiveInstance(
        id=described["InstanceId"],
        tags=tags_in(described),
        state=described["State"]["Name"],
        instance_type=described.get("InstanceType", ""),
        image_id=described.get("ImageId", ""),
        key_name=described.get("KeyName") or None,
        profile=(described.get("IamInstanceProfile") or {}).get("Arn"),
        zone=(described.get("Placement") or {}).get("AvailabilityZone", ""),
        occupants=_occupants(described.get("NetworkInterfaces") or ()),
        metadata_options={
            name: value for name, value in (described.get("MetadataOptions") or {}).items() if name != "State"
        },
        ebs_optimized=described.get("EbsOptimized", False),
        monitoring=(described.get("Monitoring") or {}).get("State") in ("enabled", "pending"),
        auto_recovery=(described.get("MaintenanceOptions") or {}).get("AutoRecovery") != "disabled",
        placement_group=(described.get("Placement") or {}).get("GroupName") or "",
        spot_request=described.get("SpotInstanceRequestId") or "",
        manager=_operator(described),
        platform=_platform(described),
        private_ip=described.get("PrivateIpAddress", ""),
        public_ip=described.get("PublicIpAddress") or None,
        system=described.get("PlatformDetails") or "",
        subnet_id=described.get("SubnetId") or "",
        root_device=described.get("RootDeviceName") or "",
    )


def _occupants(described: Iterable[Mapping[str, Any]]) -> tuple[Occupant, ...]:
    occupants = (
        Occupant(
            network_interface_id=interface["NetworkInterfaceId"],
            device_index=interface["Attachment"]["DeviceIndex"],
            network_card_index=interface["Attachment"].get("NetworkCardIndex", 0),
            attachment_id=interface["Attachment"]["AttachmentId"],
            status=interface["Attachment"].get("Status", "attached"),
            interface_type=interface.get("InterfaceType", "interface"),
        )
        for interface in described
        if interface.get("Attachment")
    )
    return tuple(sorted(occupants, key=lambda place: (place.network_card_index, place.device_index)))


class LiveSubnet(Struct, frozen=True):
    """A described subnet. ``free`` is how many addresses it has left, None if EC2 does not say.

    ``cidr`` is empty in a subnet for IPv6 alone; ``gives_ipv6`` says that it assigns an IPv6 address to every new
    interface.
    """

    id: str
    tags: Mapping[str, str]
    vpc_id: str
    zone: str
    cidr: str
    default_for_az: bool
    free: int | None = None
    ipv6_cidrs: tuple[str, ...] = ()
    gives_ipv6: bool = False


def subnet(described: Mapping[str, Any]) -> LiveSubnet:
    """An item of DescribeSubnets."""
    return LiveSubnet(
        id=described["SubnetId"],
        tags=tags_in(described),
        vpc_id=described["VpcId"],
        zone=described["AvailabilityZone"],
        cidr=described.get("CidrBlock", ""),
        default_for_az=described.get("DefaultForAz", False),
        free=described.get("AvailableIpAddressCount"),
        ipv6_cidrs=_ipv6_blocks(described),
        gives_ipv6=described.get("AssignIpv6AddressOnCreation", False),
    )


def _ipv6_blocks(described: Mapping[str, Any], *states: str) -> tuple[str, ...]:
    """The IPv6 blocks of a subnet or a VPC that are associated, or in one of these states."""
    return tuple(
        sorted(
            entry["Ipv6CidrBlock"]
            for entry in described.get("Ipv6CidrBlockAssociationSet") or ()
            if _state(entry, "Ipv6CidrBlockState") in ("associated", *states)
        )
    )


def _state(entry: Mapping[str, Any], key: str) -> str:
    """The state of a CIDR block. EC2 lists blocks for a while after they were disassociated."""
    return str((entry.get(key) or {}).get("State", "associated"))


class LiveVpc(Struct, frozen=True):
    """A described VPC. ``cidrs`` holds its associated IPv4 blocks; ``ipv6`` says whether it has IPv6 blocks, or is
    about to have one.
    """

    id: str
    tags: Mapping[str, str]
    cidrs: tuple[str, ...]
    is_default: bool
    ipv6: bool = False


def vpc(described: Mapping[str, Any]) -> LiveVpc:
    """An item of DescribeVpcs. EC2 cannot disassociate the primary block, which it shows in CidrBlock, too."""
    more = (
        entry["CidrBlock"]
        for entry in described.get("CidrBlockAssociationSet") or ()
        if _state(entry, "CidrBlockState") == "associated"
    )
    return LiveVpc(
        id=described["VpcId"],
        tags=tags_in(described),
        cidrs=tuple(sorted({described["CidrBlock"], *more})),
        is_default=described.get("IsDefault", False),
        ipv6=bool(_ipv6_blocks(described, "associating")),
    )


TARGETS = (
    "NetworkInterfaceId",
    "InstanceId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "CarrierGatewayId",
    "LocalGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
    "GatewayId",
)
"""EC2's names for what a route leads to. A route to an instance shows its interface, too."""
PROPAGATED = "EnableVgwRoutePropagation"
"""The origin of routes that a gateway propagates: EC2 changes them by itself."""
_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")


def destination_of(route: Mapping[str, Any]) -> str:
    """The destination of a described route, or of a call that changes one: EC2 has three names for it."""
    return next((route[key] for key in _DESTINATIONS if route.get(key)), "")


class LiveRoute(Struct, frozen=True):
    """A route of a route table. ``destination`` is a CIDR or the id of a prefix list, ``target`` the id of what it
    leads to, or ``local``.

    ``active`` is False for a black hole: a route whose target does not exist, or is attached to no running
    instance. ``born`` says that it exists as long as its route table, as those within the VPC do.
    """

    destination: str
    target: str
    active: bool = True
    born: bool = False


class LiveRouteTable(Struct, frozen=True):
    """A described route table. ``subnets`` are those that it serves explicitly; a ``main`` one serves all subnets
    of its VPC that no other one serves. ``propagated`` are the routes that a gateway propagates.
    """

    id: str
    tags: Mapping[str, str]
    vpc_id: str
    main: bool = False
    subnets: tuple[str, ...] = ()
    routes: tuple[LiveRoute, ...] = ()
    propagated: tuple[LiveRoute, ...] = ()

    @property
    def text(self) -> str:
        """The table in a message."""
        return titled(self)

    def route(self, destination: str) -> LiveRoute | None:
        """The route for exactly this destination."""
        return next((route for route in self.routes if route.destination == destination), None)


def serving(tables: Iterable[LiveRouteTable], subnet_id: str, vpc_id: str) -> LiveRouteTable | None:
    """The route table of a subnet: its own, else the main one of its VPC; None if it is not among these."""
    near = [table for table in tables if table.vpc_id == vpc_id]
    own = (table for table in near if subnet_id in table.subnets)
    return next(own, next((table for table in near if table.main), None))


def route_table(described: Mapping[str, Any]) -> LiveRouteTable:
    """An item of DescribeRouteTables."""
    associations = described.get("Associations") or ()
    return LiveRouteTable(
        id=described["RouteTableId"],
        tags=tags_in(described),
        vpc_id=described.get("VpcId", ""),
        main=any(each.get("Main") for each in associations),
        subnets=tuple(sorted(each["SubnetId"] for each in associations if each.get("SubnetId"))),
        routes=_routes(described, propagated=False),
        propagated=_routes(described, propagated=True),
    )


def _routes(described: Mapping[str, Any], *, propagated: bool) -> tuple[LiveRoute, ...]:
    return tuple(
        LiveRoute(
            destination=destination_of(route),
            target=next((route[key] for key in TARGETS if route.get(key)), ""),
            active=route.get("State") != "blackhole",
            born=route.get("Origin") == "CreateRouteTable",
        )
        for route in described.get("Routes") or ()
        if (route.get("Origin") == PROPAGATED) is propagated
    )


class AclRule(Struct, frozen=True, order=True):
    """A rule of a network ACL. Those of one direction sort in the order in which EC2 tries them.

    ``protocol`` is a number, ``-1`` for all; without ``ports`` it holds for all of them.
    """

    number: int
    egress: bool
    allows: bool
    protocol: str
    cidr: str
    ports: tuple[int, int] | None = None


class LiveNetworkAcl(Struct, frozen=True):
    """A described network ACL. ``subnets`` are those that it guards."""

    id: str
    vpc_id: str
    subnets: tuple[str, ...] = ()
    rules: tuple[AclRule, ...] = ()


def network_acl(described: Mapping[str, Any]) -> LiveNetworkAcl:
    """An item of DescribeNetworkAcls."""
    return LiveNetworkAcl(
        id=described["NetworkAclId"],
        vpc_id=described.get("VpcId", ""),
        subnets=tuple(sorted(each["SubnetId"] for each in described.get("Associations") or ())),
        rules=tuple(sorted(_acl_rule(entry) for entry in described.get("Entries") or ())),
    )


def _acl_rule(entry: Mapping[str, Any]) -> AclRule:
    ports = entry.get("PortRange")
    return AclRule(
        number=entry["RuleNumber"],
        egress=entry.get("Egress", False),
        allows=entry["RuleAction"] == "allow",
        protocol=entry["Protocol"],
        cidr=entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or "::/0",
        ports=(ports["From"], ports["To"]) if ports else None,
    )


class LiveInternetGateway(Struct, frozen=True):
    """A described internet gateway; ``vpcs`` are those to which it is attached: one at most."""

    id: str
    vpcs: tuple[str, ...] = ()


def internet_gateway(described: Mapping[str, Any]) -> LiveInternetGateway:
    """An item of DescribeInternetGateways. EC2 says that it is ``available`` when it is attached."""
    attached = (
        each for each in described.get("Attachments") or () if each.get("State") in ("available", "attached")
    )
    return LiveInternetGateway(described["InternetGatewayId"], tuple(sorted(each["VpcId"] for each in attached)))


class LiveImage(Struct, frozen=True):
    """An image. ``created`` is EC2's ISO time, which sorts; all but the id is empty if it was not read.

    ``devices`` maps the device names of its volumes to the least size of each in GiB, 0 if EC2 does not tell it.
    ``system`` is EC2's PlatformDetails.
    """

    id: str
    created: str = ""
    state: str = ""
    platform: Platform = Platform()
    root_device_name: str = ""
    devices: Mapping[str, int] = {}
    name: str = ""
    system: str = ""

    def __hash__(self) -> int:
        return hash(self.id)


def image(described: Mapping[str, Any]) -> LiveImage:
    """An item of DescribeImages."""
    return LiveImage(
        id=described["ImageId"],
        created=described.get("CreationDate", ""),
        state=described.get("State", ""),
        name=described.get("Name") or "",
        system=described.get("PlatformDetails") or "",
        platform=_platform(described),
        root_device_name=described.get("RootDeviceName") or "",
        devices={
            mapping["DeviceName"]: (mapping.get("Ebs") or {}).get("VolumeSize", 0)
            for mapping in described.get("BlockDeviceMappings") or ()
        },
    )


AnyRecord = LiveSecurityGroup | LiveInstance | LiveNetworkInterface | LiveElasticIp


class LiveInstanceType(Struct, frozen=True):
    """What an instance type supports. ``cards`` has the most interfaces of each network card.

    ``interfaces`` is the most of them together, ``ipv4`` and ``ipv6`` the addresses on each; ``adapters`` is the
    number of Elastic Fabric Adapters; ``prefixes`` says whether it supports prefixes. It supports each of its
    ``architectures``, ``boot_modes``, ``virtualizations`` and ``root_devices``, and any where EC2 lists none;
    ``requires_ena`` says whether it needs an image with the driver of the Elastic Network Adapter. ``lacks`` has
    the keys of an instance's row that it does not support; ``cores``, ``threads`` and ``strategies`` (of placement
    groups) what it supports, empty where EC2 does not tell.
    """

    name: str
    cards: tuple[int, ...]
    interfaces: int
    ipv4: int
    ipv6: int
    adapters: int = 0
    prefixes: bool = True
    architectures: tuple[str, ...] = ()
    boot_modes: tuple[str, ...] = ()
    virtualizations: tuple[str, ...] = ()
    root_devices: tuple[str, ...] = ()
    requires_ena: bool = False
    lacks: frozenset[str] = frozenset()
    cores: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    strategies: tuple[str, ...] = ()

    def addresses(self, family: str) -> int:
        """Of ``IPv4`` or ``IPv6``."""
        return self.ipv4 if family == "IPv4" else self.ipv6


def instance_type(described: Mapping[str, Any]) -> LiveInstanceType:
    """An item of DescribeInstanceTypes. Some cards support more interfaces with flexible queues."""
    network = described["NetworkInfo"]
    cards = sorted(network.get("NetworkCards") or (), key=lambda card: int(card["NetworkCardIndex"]))
    cpus = described.get("VCpuInfo") or {}
    more = [card.get("AdditionalFlexibleNetworkInterfaces", 0) for card in cards]
    return LiveInstanceType(
        name=described["InstanceType"],
        cards=tuple(card["MaximumNetworkInterfaces"] + extra for card, extra in zip(cards, more, strict=True))
        or (network["MaximumNetworkInterfaces"],),
        interfaces=network["MaximumNetworkInterfaces"] + sum(more),
        ipv4=network["Ipv4AddressesPerInterface"],
        ipv6=network.get("Ipv6AddressesPerInterface", 0) if network.get("Ipv6Supported") else 0,
        adapters=(network.get("EfaInfo") or {}).get("MaximumEfaInterfaces", 0),
        # Metal has no hypervisor, and is Nitro as well.
        prefixes=described.get("Hypervisor") != "xen",
        architectures=tuple(sorted((described.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ())),
        boot_modes=tuple(sorted(described.get("SupportedBootModes") or ())),
        virtualizations=tuple(sorted(described.get("SupportedVirtualizationTypes") or ())),
        root_devices=tuple(sorted(described.get("SupportedRootDeviceTypes") or ())),
        requires_ena=network.get("EnaSupport") == "required",
        lacks=frozenset(_lacking(described)),
        cores=tuple(cpus.get("ValidCores") or ()),
        threads=tuple(cpus.get("ValidThreadsPerCore") or ()),
        strategies=tuple((described.get("PlacementGroupInfo") or {}).get("SupportedStrategies") or ()),
    )


def _lacking(described: Mapping[str, Any]) -> Iterator[str]:
    """The keys of an instance's row that EC2 says the type does not support."""
    if described.get("HibernationSupported") is False:
        yield "hibernation"
    if described.get("BurstablePerformanceSupported") is False:
        yield "cpu_credits"
    if (described.get("EbsInfo") or {}).get("EbsOptimizedSupport") == "unsupported":
        yield "ebs_optimized"
    if described.get("NitroEnclavesSupport") == "unsupported":
        yield "enclave"
    if "spot" not in (described.get("SupportedUsageClasses") or ("spot",)):
        yield "spot"


class LiveUsed(Struct, frozen=True):
    """Something that a launch names and leaves as it is: a key pair, a snapshot, a Dedicated Host, a Capacity
    Reservation or a KMS key.

    ``state`` is EC2's word for it, ``size`` the GiB of a snapshot. A host and a reservation take instances of one
    ``instance_type`` in one ``zone``. What does not apply is empty.
    """

    state: str = ""
    size: int = 0
    instance_type: str = ""
    zone: str = ""


def used(described: Mapping[str, Any]) -> LiveUsed:
    """An item of DescribeSnapshots, DescribeHosts or DescribeCapacityReservations."""
    properties = described.get("HostProperties") or {}
    return LiveUsed(
        state=described.get("State", ""),
        size=described.get("VolumeSize", 0),
        instance_type=described.get("InstanceType") or properties.get("InstanceType") or "",
        zone=described.get("AvailabilityZone") or "",
    )


class Sought(NamedTuple):
    """What a selector that matches nothing may mean: the section, and the filter for such resources."""

    section: str
    filter: str
    value: str


class Questions(Struct, frozen=True):
    """What has to be read to judge a plan.

    ``offered`` are types whose zones matter. ``used`` is what launches name: the call that shows it, its name.
    ``groups`` are the ids of foreign security groups. ``group_vpcs`` are (id of a group, VPC) where an
    interface in that VPC gets the group; ``peers`` are (VPC, peer) where a rule of a group in that VPC names
    the peer, a foreign group or the VPC of another group of the stack. ``routed_vpcs`` are the VPCs whose
    routes matter.
    """

    types: frozenset[str] = frozenset()
    groups_per_interface: bool = False
    prefix_lists: frozenset[str] = frozenset()
    elastic_ips: bool = False
    routed_vpcs: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    used: frozenset[tuple[str, str]] = frozenset()
    placement_groups: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    group_vpcs: frozenset[tuple[str, str]] = frozenset()
    peers: frozenset[tuple[str, str]] = frozenset()


class ElasticIpLimit(Struct, frozen=True):
    """The Elastic IPs of the account, and its quota; None if that is not known.

    ``enforced`` says whether EC2 enforces the quota.
    """

    present: tuple[LiveElasticIp, ...] = ()
    quota: int | None = None
    enforced: bool = True


class Limits(Struct, frozen=True):
    """The answers. ``route_tables`` are those of VPCs in which the plan deletes interfaces. ``read`` has the calls
    that were answered, ``unanswered``
    maps those that failed to the code of the error.

    ``similar_types`` maps unknown instance types to existing ones with similar names; ``prefix_lists`` maps ids to
    the most entries that each may have, None where EC2 does not return them. ``offers`` are (type, zone).
    ``placement_groups`` maps names to strategies, ``used`` the call and the name to what launches name.
    ``group_vpcs`` are (group, VPC) of groups that are associated with a VPC besides their own; ``connected`` are
    pairs of VPCs whose groups may name each other.
    """

    types: Mapping[str, LiveInstanceType] = {}
    similar_types: Mapping[str, tuple[str, ...]] = {}
    groups_per_interface: int | None = None
    prefix_lists: Mapping[str, int | None] = {}
    elastic_ips: ElasticIpLimit | None = None
    route_tables: tuple[LiveRouteTable, ...] = ()
    images: Mapping[str, LiveImage] = {}
    offers: frozenset[tuple[str, str]] = frozenset()
    placement_groups: Mapping[str, str] = {}
    used: Mapping[tuple[str, str], LiveUsed] = {}
    groups: Mapping[str, LiveSecurityGroup] = {}
    group_vpcs: frozenset[tuple[str, str]] = frozenset()
    connected: frozenset[frozenset[str]] = frozenset()
    read: frozenset[str] = frozenset()
    unanswered: Mapping[str, str] = {}


class Ways(Struct, frozen=True):
    """What packets to some interfaces meet, beyond what a plan reads.

    ``groups`` and ``instances`` are by id. ``unanswered`` maps reads that failed to the code of the error.
    """

    groups: Mapping[str, LiveSecurityGroup] = {}
    instances: Mapping[str, LiveInstance] = {}
    route_tables: tuple[LiveRouteTable, ...] = ()
    network_acls: tuple[LiveNetworkAcl, ...] = ()
    internet_gateways: tuple[LiveInternetGateway, ...] = ()
    unanswered: Mapping[str, str] = {}


class Live(Struct, frozen=True):
    """The live state that one spec needs.

    ``dependents`` are, of any owner, groups whose rules name groups that the stack removes, and interfaces in
    those. ``unanswered`` maps optional reads that failed to the code of the error. ``adoptable`` are the resources
    that the spec adopts by their ids, if they exist and are not owned yet. ``images`` has a row for every instance
    that is missing; ``architectures`` has those that its type supports, where the candidates differ in theirs;
    ``root_devices`` maps images to the device names of their root volumes, where a launch has to name it.
    ``name_conflicts`` are groups of any owner with the name of a group that is missing. ``externals`` are the
    instances that fit the selectors of external ones, by their names in the spec; ``checks`` maps ids of instances
    that interfaces may fail over to to the worse of their two status checks. ``foreign_interfaces`` are interfaces
    outside the stack with which Elastic IPs of the stack are or will be associated. ``foreign_groups`` and
    ``prefix_lists`` fit selectors of the spec; the groups may be in any VPC, and of any stack. ``route_tables``
    are all of the account and Region, if the spec names any. ``similar`` has, by section, what a selector that
    matches nothing could have meant, as far as it was read: it only sharpens hints.
    """

    account_id: str
    region: str
    security_groups: tuple[LiveSecurityGroup, ...] = ()
    instances: tuple[LiveInstance, ...] = ()
    network_interfaces: tuple[LiveNetworkInterface, ...] = ()
    elastic_ips: tuple[LiveElasticIp, ...] = ()
    subnets: tuple[LiveSubnet, ...] = ()
    vpcs: tuple[LiveVpc, ...] = ()
    default_groups: Mapping[str, str] = {}
    images: Mapping[str, tuple[LiveImage, ...]] = {}
    architectures: Mapping[str, tuple[str, ...]] = {}
    root_devices: Mapping[str, str] = {}
    name_conflicts: tuple[LiveSecurityGroup, ...] = ()
    externals: Mapping[str, tuple[LiveInstance, ...]] = {}
    checks: Mapping[str, str] = {}
    adoptable: tuple[AnyRecord, ...] = ()
    foreign_interfaces: tuple[LiveNetworkInterface, ...] = ()
    dependents: tuple[AnyRecord, ...] = ()
    unanswered: Mapping[str, str] = {}
    foreign_groups: tuple[LiveSecurityGroup, ...] = ()
    prefix_lists: tuple[LivePrefixList, ...] = ()
    route_tables: tuple[LiveRouteTable, ...] = ()
    similar: Mapping[str, tuple[AnyRecord, ...]] = {}
