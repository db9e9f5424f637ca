"""RunInstances: everything is checked before anything is made."""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .catalogue import InstanceType
from .errors import EC2Error, bad_combination, invalid_value, missing
from .launch_options import LaunchOptions
from .records import Image, Instance, Interface, Params, Result, Subnet
from .state import operation

MAX_USER_DATA = 16384
TOP_LEVEL = ("SubnetId", "SecurityGroupIds", "SecurityGroups", "PrivateIpAddress", "Ipv6AddressCount")
ONLY_NEW = (
    "SubnetId",
    "Groups",
    "Description",
    "PrivateIpAddress",
    "PrivateIpAddresses",
    "SecondaryPrivateIpAddressCount",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "AssociatePublicIpAddress",
    "InterfaceType",
)
IMDS_TAG_KEY = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
LAUNCH_TAGS = ("instance", "volume", "network-interface", "spot-instances-request")


@dataclass
class _Place:
    """One interface of a launch: an existing one, or the wish for a new one."""

    index: int
    card: int
    keep: bool
    """Whether it outlives the instance."""
    existing: Interface | None
    subnet: Subnet
    group_ids: list[str]
    spec: Params


class Launches(LaunchOptions):
    """EC2 docs: launches are idempotent by token, and the token counts per zone once a zone is known."""

    @operation
    def run_instances(self, p: Params) -> Result:
        """Checks everything, then launches all; a token that was seen answers with what it made."""
        # Some clients send an empty zone along; EC2 takes it for none.
        placement = {name: value for name, value in p.get("Placement", {}).items() if value != ""}
        p = {**p, "Placement": placement}
        zone = self._explicit_zone(p)
        if known := self.replay("RunInstances", p, zone):
            return self._replayed(known.ids)
        low, high = p["MinCount"], p["MaxCount"]
        if low < 1 or high < low:
            raise invalid_value(f"Invalid value '{high}' for maxCount. It must be at least minCount {low}")
        alive = sum(i.state not in ("terminated", "shutting-down") for i in self.data.instances.values())
        room = self.settings.quotas.instances - alive
        if room < low:
            raise EC2Error("InstanceLimitExceeded", "You have requested more instances than your limit allows.")
        count = min(high, room)
        tags = self.tags_at_birth(p, *LAUNCH_TAGS)
        kind = self._checked_launch(p, tags["instance"])
        places = self._places(p, kind, count)
        self._check_room([place for place in places if place.existing is None], count)
        reservation = self.new_id("r")
        launched = [self._launch(p, kind, places, tags, reservation, index) for index in range(count)]
        self.keep_token("RunInstances", p, [instance.id for instance in launched], zone)
        return self._just_launched(self._show_reservation(reservation, launched))

    @staticmethod
    def _just_launched(reservation: Result) -> Result:
        """RunInstances shows a pending StateReason and no volume yet, which no later answer does."""
        for shown in reservation["Instances"]:
            shown |= {"StateReason": {"Code": "pending", "Message": "pending"}, "BlockDeviceMappings": []}
        return reservation

    def _check_room(self, places: list[_Place], count: int) -> None:
        """A launch is all or nothing: every address it needs must be there before the first is taken."""
        if len(self.data.interfaces) + len(places) * count > self.settings.quotas.interfaces:
            raise EC2Error(
                "NetworkInterfaceLimitExceeded", "The maximum number of network interfaces has been reached."
            )
        needed: dict[str, int] = defaultdict(int)
        fixed: list[str] = []
        for place in places:
            self.wanted_ips(place.spec, place.subnet)
            self.wanted_ips6(place.spec, place.subnet)
            needed[place.subnet.id] += _spec_slots(place.spec) * count
            named = {each.get("PrivateIpAddress") for each in place.spec.get("PrivateIpAddresses", [])}
            named.add(place.spec.get("PrivateIpAddress"))
            fixed += [f"{place.subnet.id} {each}" for each in named if each]
        if len(set(fixed)) < len(fixed):
            raise EC2Error("InvalidIPAddress.InUse", "The specified address is already in use.")
        if any(slots > self.data.subnets[subnet].free for subnet, slots in needed.items()):
            raise EC2Error(
                "InsufficientFreeAddressesInSubnet",
                "The specified subnet does not have enough free addresses to satisfy the request.",
            )

    def _explicit_zone(self, p: Params) -> str | None:
        """The zone that a request names, by itself or through a subnet."""
        named: str | None = p.get("Placement", {}).get("AvailabilityZone")
        subnets = [p.get("SubnetId"), *(each.get("SubnetId") for each in p.get("NetworkInterfaces", []))]
        for subnet_id in subnets:
            if subnet_id in self.data.subnets:
                return self.data.subnets[subnet_id].zone
        return named

    def _replayed(self, ids: list[str]) -> Result:
        launched = [self.data.instances[each] for each in ids if each in self.data.instances]
        if len(launched) < len(ids) or any(i.state in ("shutting-down", "terminated") for i in launched):
            raise EC2Error(
                "IdempotentInstanceTerminated",
                "The instances that this client token launched have been terminated.",
            )
        return self._show_reservation(launched[0].reservation_id, launched)

    def _checked_launch(self, p: Params, tags: dict[str, str]) -> InstanceType:
        if "LaunchTemplate" in p:
            raise EC2Error("UnsupportedOperation", "Launch templates are not supported here")
        if "ImageId" not in p:
            raise missing("ImageId")
        image = self.image(p["ImageId"])
        kind = self.instance_type(p.get("InstanceType", "m1.small"))
        if image.architecture not in kind.architectures:
            raise invalid_value(
                f"The architecture '{','.join(kind.architectures)}' of the specified instance type does not "
                f"match the architecture '{image.architecture}' of the specified AMI."
            )
        check_platform(image, kind)
        if "KeyName" in p and p["KeyName"] not in self.data.key_pairs:
            raise EC2Error("InvalidKeyPair.NotFound", f"The key pair '{p['KeyName']}' does not exist")
        self.known_profile(p.get("IamInstanceProfile", {}))
        if "UserData" in p:
            check_user_data(p["UserData"])
        zone = p.get("Placement", {}).get("AvailabilityZone")
        if zone is not None and zone not in self.zones:
            raise invalid_value(f"Invalid availability zone: [{zone}]")
        if p.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
            check_imds_tags(tags)
        self.check_options(p, image, kind)
        return kind

    def known_profile(self, asked: dict[str, str]) -> str | None:
        """The profile's name. EC2 docs: EC2 may not know a new profile, or its role, for a moment."""
        if not asked:
            return None
        for name, arn in self.data.profiles.items():
            known = self.data.profiles_since.get(name, 0.0) <= self.now
            if known and (asked.get("Name") == name or asked.get("Arn") == arn):
                if self.now < self.data.roles_since.get(name, 0.0):
                    raise invalid_value(f'IAM Instance Profile "{arn}" has no associated IAM Roles')
                return name
        field = "arn" if "Arn" in asked else "name"
        raise invalid_value(
            f"Value ({asked.get('Arn') or asked.get('Name')}) for parameter iamInstanceProfile.{field} is "
            f"invalid. Invalid IAM Instance Profile {'ARN' if field == 'arn' else 'name'}"
        )

    def _places(self, p: Params, kind: InstanceType, count: int) -> list[_Place]:
        """Where each interface goes, after every rule that a launch puts on interfaces."""
        specs: list[Params] = p.get("NetworkInterfaces", [])
        if not specs:
            places = [self._implicit(p)]
        else:
            for name in TOP_LEVEL:
                if name in p:
                    words = {"SubnetId": "subnet ID", "PrivateIpAddress": "private IP address"}
                    raise bad_combination(
                        f"Network interfaces and an instance-level {words.get(name, 'security groups')} may "
                        "not be specified on the same request"
                    )
            places = [self._place(spec, specs, p) for spec in specs]
        self._check_places(places, p, kind, count)
        return places

    def _implicit(self, p: Params) -> _Place:
        """EC2 docs: without interfaces in the request, one is made in the subnet, or a default one."""
        if "SubnetId" in p:
            subnet = self.subnet(p["SubnetId"])
        else:
            subnet = self._default_subnet(p.get("Placement", {}).get("AvailabilityZone"))
        names = [self._named({"GroupName": name}).id for name in p.get("SecurityGroups", [])]
        group_ids = self.groups_for([*p.get("SecurityGroupIds", []), *names], subnet.vpc_id, subnet.id)
        spec: Params = {
            key: p[key] for key in ("PrivateIpAddress", "Ipv6AddressCount", "Ipv6Addresses") if key in p
        }
        return _Place(0, 0, keep=False, existing=None, subnet=subnet, group_ids=group_ids, spec=spec)

    def _default_subnet(self, zone: str | None) -> Subnet:
        for subnet in self.data.subnets.values():
            if subnet.default_for_az and zone in (None, subnet.zone):
                return subnet
        raise EC2Error(
            "MissingInput", f"No subnets found for the default VPC in the zone '{zone}'. Specify a subnet."
        )

    def _place(self, spec: Params, specs: list[Params], p: Params) -> _Place:
        if "DeviceIndex" not in spec:
            raise missing("NetworkInterface.DeviceIndex")
        card, index = spec.get("NetworkCardIndex", 0), spec["DeviceIndex"]
        if "NetworkInterfaceId" not in spec:
            if spec.get("AssociatePublicIpAddress") is not None and len(specs) > 1:
                raise bad_combination(
                    "The associatePublicIPAddress parameter cannot be specified when launching with "
                    "multiple network interfaces."
                )
            zone = p.get("Placement", {}).get("AvailabilityZone")
            subnet = self.subnet(spec["SubnetId"]) if "SubnetId" in spec else self._default_subnet(zone)
            group_ids = self.groups_for(spec.get("Groups"), subnet.vpc_id, subnet.id)
            keep = not spec.get("DeleteOnTermination", True)
            return _Place(index, card, keep, None, subnet, group_ids, spec)
        for name in ONLY_NEW:
            if name in spec:
                raise bad_combination(
                    f"A network interface may not specify both a network interface ID and a {name}"
                )
        if spec.get("DeleteOnTermination"):
            raise bad_combination(
                "A network interface may not specify a network interface ID and delete on termination as true"
            )
        eni = self.own_interface(spec["NetworkInterfaceId"])
        if eni.attachment is not None:
            raise EC2Error("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")
        if eni.pending:
            raise EC2Error("IncorrectState", f"Network interface '{eni.id}' is in state 'pending'.")
        return _Place(index, card, True, eni, self.data.subnets[eni.subnet_id], eni.group_ids, spec)

    def _check_places(self, places: list[_Place], p: Params, kind: InstanceType, count: int) -> None:
        slots = [(place.card, place.index) for place in places]
        if len(set(slots)) < len(slots):
            raise bad_combination("Each network interface requires a unique device index.")
        if (0, 0) not in slots:
            raise invalid_value("A primary network interface at device index 0 is required")
        named = [place.existing.id for place in places if place.existing]
        if len(set(named)) < len(named):
            raise invalid_value("The same network interface is specified more than once")
        fixed = [place for place in places if place.existing or place.spec.get("PrivateIpAddress")]
        if count > 1 and fixed:
            raise bad_combination(
                "A network interface ID or private IP address may be specified for one instance only"
            )
        zones = {place.subnet.zone for place in places}
        if any((kind.name, zone) in self.data.unoffered for zone in zones):
            raise EC2Error(
                "Unsupported",
                f"Your requested instance type ({kind.name}) is not supported in your requested Availability Zone "
                f"({min(zones)}).",
            )
        self.check_reserved(p, kind, zones)
        asked = p.get("Placement", {}).get("AvailabilityZone")
        if len(zones) > 1 or (asked and zones != {asked}):
            raise bad_combination("All network interfaces must be in the instance's availability zone")
        self.check_cards(kind, [(place.card, place.existing) for place in places])
        for place in places:
            if place.existing:
                self.check_slots(kind, place.existing, "InvalidInterface.IpAddressLimitExceeded")
            elif _spec_slots(place.spec) > kind.addresses:
                raise EC2Error(
                    "InvalidInterface.IpAddressLimitExceeded", "Number of private addresses will exceed limit."
                )
            primary = (place.card, place.index) == (0, 0)
            if primary and place.existing and place.existing.interface_type == "efa-only":
                raise invalid_value("The primary network interface cannot be of type efa-only")

    def _launch(
        self,
        p: Params,
        kind: InstanceType,
        places: Sequence[_Place],
        tags: dict[str, dict[str, str]],
        reservation: str,
        launch_index: int,
    ) -> Instance:
        primary = next(place for place in places if (place.card, place.index) == (0, 0))
        image = self.data.images[p["ImageId"]]
        options = {
            "HttpTokens": "required" if "al2023" in image.name else "optional",
            "HttpPutResponseHopLimit": 2 if "al2023" in image.name else 1,
            "HttpEndpoint": "enabled",
            "HttpProtocolIpv6": "disabled",
            "InstanceMetadataTags": "disabled",
            **p.get("MetadataOptions", {}),
        }
        instance = self.born(
            Instance(
                self.new_id("i"),
                reservation,
                image.id,
                kind.name,
                primary.subnet.zone,
                primary.subnet.vpc_id,
                primary.subnet.id,
                "pending",
                launch_index,
                p.get("ClientToken", ""),
                key_name=p.get("KeyName"),
                profile=self.known_profile(p.get("IamInstanceProfile", {})),
                profile_association=self.new_id("iip-assoc"),
                user_data=p.get("UserData"),
                no_termination=p.get("DisableApiTermination", False),
                no_stop=p.get("DisableApiStop", False),
                shutdown_behavior=p.get("InstanceInitiatedShutdownBehavior", "stop"),
                ebs_optimized=p.get("EbsOptimized", False),
                monitoring=p.get("Monitoring", {}).get("Enabled", False),
                hibernation=p.get("HibernationOptions", {}).get("Configured", False),
                tenancy=p.get("Placement", {}).get(
                    "Tenancy", "host" if "HostId" in p.get("Placement", {}) else "default"
                ),
                metadata=options,
                cpu_credits=p.get("CreditSpecification", {}).get("CpuCredits", _default_credits(kind)),
                auto_recovery=p.get("MaintenanceOptions", {}).get("AutoRecovery", "default"),
                placement={
                    key: value
                    for key, value in p.get("Placement", {}).items()
                    if key not in ("Tenancy", "AvailabilityZone")
                },
                cpu=dict(p.get("CpuOptions", {})),
                enclave=p.get("EnclaveOptions", {}).get("Enabled", False),
                reservation=dict(p.get("CapacityReservationSpecification", {})),
                dns_options=dict(p.get("PrivateDnsNameOptions", {})),
                since=self.now,
                tags=dict(tags["instance"]),
            )
        )
        self.data.instances[instance.id] = instance
        for place in places:
            self._attach_at_launch(instance, place, tags["network-interface"], alone=len(places) == 1)
        self.make_volumes(p, instance, tags["volume"])
        self.request_spot(p, instance, tags["spot-instances-request"])
        self.later(self.settings.pending_delay, "running", instance.id)
        return instance

    def _attach_at_launch(self, instance: Instance, place: _Place, tags: dict[str, str], *, alone: bool) -> None:
        """Puts one interface on a new instance.

        EC2 docs: a public address of EC2's own comes only to a new, single interface at index 0.
        """
        eni = place.existing
        if eni is None:
            eni = self.make_interface(place.spec, place.subnet, place.group_ids, dict(tags))
            asked = place.spec.get("AssociatePublicIpAddress", place.subnet.map_public_ip)
            eni.auto_public = bool(asked) and alone and place.index == 0
        attachment = self.fasten(eni, instance, place.index, place.card, delete_on_termination=not place.keep)
        attachment.status = "attaching"
        self.later(self.settings.attach_delay, "attached", attachment.id)
        self.refresh_public_ip(eni)


def _default_credits(kind: InstanceType) -> str:
    if not kind.burstable:
        return ""
    return "standard" if kind.name.startswith("t2.") else "unlimited"


def _spec_slots(spec: Params) -> int:
    """How many IPv4 addresses a new interface of a launch will have."""
    listed = len(spec.get("PrivateIpAddresses", [])) or 1
    return int(listed) + int(spec.get("SecondaryPrivateIpAddressCount", 0))


def check_platform(image: Image, kind: InstanceType) -> None:
    """EC2 docs: an image has to be available, and to boot as the type does."""
    if image.state != "available":
        raise EC2Error("InvalidAMIID.Unavailable", f"The image ID '{image.id}' is not available")
    if image.boot_mode not in ("uefi-preferred", *kind.boot_modes):
        raise invalid_value(
            f"The boot mode '{image.boot_mode}' of the AMI is not supported by the instance type '{kind.name}'."
        )
    if kind.nitro and not image.ena:
        raise EC2Error(
            "InvalidParameterCombination",
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{kind.name}' "
            "instance type. Ensure that you are using an AMI that is enabled for ENA.",
        )
    if image.root_device != "ebs":
        raise invalid_value(f"The instance type '{kind.name}' does not support an AMI of instance store.")


def check_user_data(text: str) -> None:
    """EC2 docs: 16 KB before encoding; the wire carries base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_value("Invalid BASE64 encoding of user data.") from error
    if len(raw) > MAX_USER_DATA:
        raise invalid_value(f"User data is limited to {MAX_USER_DATA} bytes")


def check_imds_tags(tags: dict[str, str]) -> None:
    """EC2 docs: keys of tags that the metadata service shows have ASCII letters, digits and a few other signs."""
    for key in tags:
        if not IMDS_TAG_KEY.fullmatch(key) or key in (".", "..", "_index"):
            raise invalid_value(
                f"'{key}' is not a valid tag key. Tag keys must match pattern "
                "([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')"
            )
