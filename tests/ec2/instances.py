"""Instances: launch, power, attributes, status checks and the end."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import filters
from .addresses import Addresses
from .catalogue import InstanceType
from .errors import EC2Error, bad_combination, invalid_value, missing, multiple_interfaces, not_permitted
from .interfaces import public_dns, show_attachment
from .places import zone_id
from .records import STATE_CODES, Instance, InstanceState, Interface, Params, Result, Subnet, Volume
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
ATTRIBUTES = (
    "InstanceType",
    "UserData",
    "DisableApiTermination",
    "DisableApiStop",
    "SourceDestCheck",
    "Groups",
    "InstanceInitiatedShutdownBehavior",
    "EbsOptimized",
    "EnaSupport",
    "BlockDeviceMappings",
    "Kernel",
    "Ramdisk",
    "SriovNetSupport",
    "Attribute",
)
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


class Instances(Addresses):
    """EC2 docs: launches are idempotent by token, and the token counts per zone once a zone is known."""

    def instance(self, instance_id: str) -> Instance:
        return self.lookup("i", self.data.instances, instance_id)

    def _all(self, p: Params) -> list[Instance]:
        """The instances that a call names; one unknown id fails it whole."""
        if not p.get("InstanceIds"):
            raise missing("InstanceId")
        found = [self.instance(each) for each in dict.fromkeys(p["InstanceIds"])]
        for instance in found:
            if instance.operator:
                raise not_permitted(f"The instance '{instance.id}' is managed by {instance.operator}.")
        return found

    # -- launch --------------------------------------------------------------------------------------

    @operation
    def run_instances(self, p: Params) -> Result:
        """Checks everything, then launches all; a token that was seen answers with what it made."""
        # Some clients send an empty zone along; EC2 takes it for none.
        placement = {name: value for name, value in p.get("Placement", {}).items() if value != ""}
        p = {**p, "Placement": placement}
        zone = self._explicit_zone(p)
        if (ids := self.replay("RunInstances", p, zone)) is not None:
            return self._replayed(ids)
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
        return self._show_reservation(reservation, launched)

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
        if "KeyName" in p and p["KeyName"] not in self.data.key_pairs:
            raise EC2Error("InvalidKeyPair.NotFound", f"The key pair '{p['KeyName']}' does not exist")
        self._profile(p.get("IamInstanceProfile", {}))
        if "UserData" in p:
            _check_user_data(p["UserData"])
        zone = p.get("Placement", {}).get("AvailabilityZone")
        if zone is not None and zone not in self.zones:
            raise invalid_value(f"Invalid availability zone: [{zone}]")
        if p.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
            check_imds_tags(tags)
        return kind

    def _profile(self, asked: dict[str, str]) -> str | None:
        """The profile's name. EC2 docs: a profile made a moment ago may still be unknown here."""
        if not asked:
            return None
        for name, arn in self.data.profiles.items():
            if asked.get("Name") == name or asked.get("Arn") == arn:
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
        group_ids = self.groups_for([*p.get("SecurityGroupIds", []), *names], subnet.vpc_id)
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
            group_ids = self.groups_for(spec.get("Groups"), subnet.vpc_id)
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
        seats = [(place.card, place.index) for place in places]
        if len(set(seats)) < len(seats):
            raise bad_combination("Each network interface requires a unique device index.")
        if (0, 0) not in seats:
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
                profile=self._profile(p.get("IamInstanceProfile", {})),
                profile_association=self.new_id("iip-assoc"),
                user_data=p.get("UserData"),
                no_termination=p.get("DisableApiTermination", False),
                no_stop=p.get("DisableApiStop", False),
                shutdown_behavior=p.get("InstanceInitiatedShutdownBehavior", "stop"),
                ebs_optimized=p.get("EbsOptimized", False),
                monitoring=p.get("Monitoring", {}).get("Enabled", False),
                hibernation=p.get("HibernationOptions", {}).get("Configured", False),
                tenancy=p.get("Placement", {}).get("Tenancy", "default"),
                metadata=options,
                cpu_credits=p.get("CreditSpecification", {}).get("CpuCredits", _default_credits(kind)),
                auto_recovery=p.get("MaintenanceOptions", {}).get("AutoRecovery", "default"),
                dns_options=dict(p.get("PrivateDnsNameOptions", {})),
                since=self.now,
                tags=dict(tags["instance"]),
            )
        )
        self.data.instances[instance.id] = instance
        for place in places:
            self._seat(instance, place, tags["network-interface"], alone=len(places) == 1)
        self._make_volumes(p, instance, tags["volume"])
        self.later(self.settings.pending_delay, "running", instance.id)
        return instance

    def _seat(self, instance: Instance, place: _Place, tags: dict[str, str], *, alone: bool) -> None:
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

    def _make_volumes(self, p: Params, instance: Instance, tags: dict[str, str]) -> None:
        devices: dict[str, Params] = {"/dev/xvda": {}}
        for mapping in p.get("BlockDeviceMappings", []):
            if "Ebs" in mapping:
                devices[mapping.get("DeviceName", "/dev/xvda")] = mapping["Ebs"]
        for device, ebs in devices.items():
            volume = self.born(
                Volume(
                    self.new_id("vol"),
                    instance.id,
                    device,
                    ebs.get("VolumeSize", 8),
                    ebs.get("VolumeType", "gp3"),
                    ebs.get("DeleteOnTermination", True),
                    instance.zone,
                    ebs.get("Encrypted", False),
                    tags=dict(tags),
                )
            )
            self.data.volumes[volume.id] = volume
            instance.volumes.append(volume.id)

    # -- power ---------------------------------------------------------------------------------------

    def _become(self, instance: Instance, state: InstanceState, reason: str = "") -> None:
        instance.state = state
        instance.since = self.now
        instance.reason = reason

    def on_running(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance and instance.state == "pending":
            instance.state, instance.since = "running", when

    def on_stopped(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance and instance.state == "stopping":
            instance.state, instance.since = "stopped", when

    @operation
    def start_instances(self, p: Params) -> Result:
        """No-op on what runs already; anything on its way somewhere else is refused."""
        instances = self._all(p)
        for instance in instances:
            if instance.state not in ("stopped", "running", "pending"):
                raise EC2Error(
                    "IncorrectInstanceState",
                    f"The instance '{instance.id}' is not in a state from which it can be started.",
                )
            kind = self.instance_type(instance.instance_type)
            self.check_cards(kind, [(e.attachment.card, e) for e in self.interfaces_of(instance) if e.attachment])
        changes = []
        for instance in instances:
            before = instance.state
            if before == "stopped":
                self._become(instance, "pending")
                instance.reason_code = None
                self.later(self.settings.pending_delay, "running", instance.id)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        return {"StartingInstances": changes}

    @operation
    def stop_instances(self, p: Params) -> Result:
        """EC2 docs: interfaces, private addresses and Elastic IPs stay; EC2's own public address goes."""
        instances = self._all(p)
        for instance in instances:
            if instance.no_stop:
                raise not_permitted(
                    f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance "
                    "attribute and try again."
                )
            if instance.state not in ("running", "stopping", "stopped"):
                raise EC2Error(
                    "IncorrectInstanceState",
                    f"The instance '{instance.id}' is not in a state from which it can be stopped.",
                )
        changes = []
        for instance in instances:
            before = instance.state
            if before == "running":
                date = self.date(self.now).strftime("%Y-%m-%d %H:%M:%S GMT")
                self._become(instance, "stopping", f"User initiated ({date})")
                instance.reason_code = (
                    "Client.UserInitiatedShutdown",
                    "Client.UserInitiatedShutdown: User initiated shutdown",
                )
                self.later(self.settings.stop_delay, "stopped", instance.id)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        return {"StoppingInstances": changes}

    @operation
    def terminate_instances(self, p: Params) -> Result:
        """EC2 docs: succeeds again and again; one protected instance saves all in its zone, no others."""
        instances = self._all(p)
        protected = {instance.zone: instance for instance in instances if instance.no_termination}
        changes = []
        for instance in instances:
            if instance.zone in protected:
                continue
            before = instance.state
            if before not in ("shutting-down", "terminated"):
                date = self.date(self.now).strftime("%Y-%m-%d %H:%M:%S GMT")
                self._become(instance, "shutting-down", f"User initiated ({date})")
                instance.reason_code = (
                    "Client.UserInitiatedShutdown",
                    "Client.UserInitiatedShutdown: User initiated shutdown",
                )
                self.later(self.settings.terminate_delay, "terminated", instance.id)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        if protected:
            first = next(iter(protected.values()))
            raise not_permitted(
                f"The instance '{first.id}' may not be terminated. Modify its 'disableApiTermination' "
                "instance attribute and try again."
            )
        return {"TerminatingInstances": changes}

    def on_terminated(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance is None or instance.state == "terminated":
            return
        instance.state, instance.since = "terminated", when
        for volume_id in instance.volumes:
            if self.data.volumes[volume_id].delete_on_termination:
                del self.data.volumes[volume_id]
        instance.volumes.clear()
        if self.settings.linger_delay > 0:
            self.later(when + self.settings.linger_delay - self.now, "abandoned", instance_id)
        else:
            self.on_abandoned(instance_id, when)
        self.later(when + self.settings.terminated_retention - self.now, "forgotten", instance_id)

    def on_abandoned(self, instance_id: str, when: float) -> None:
        """EC2 docs: an interface goes with its instance if, and only if, its attachment says so."""
        instance = self.data.instances.get(instance_id)
        if instance is None:
            return
        for eni in self.interfaces_of(instance):
            doomed = eni.attachment is not None and eni.attachment.delete_on_termination
            self.unfasten(eni)
            if doomed:
                self.remove_interface(eni)

    def on_forgotten(self, instance_id: str, when: float) -> None:
        self.data.instances.pop(instance_id, None)

    # -- attributes ----------------------------------------------------------------------------------

    @operation
    def modify_instance_attribute(self, p: Params) -> Result:
        """EC2 docs: one attribute per call; type and user data change on a stopped instance only."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        asked = [name for name in ATTRIBUTES if name in p]
        if len(asked) != 1:
            raise bad_combination(
                f"Exactly one instance attribute must be specified in a call, not: {', '.join(asked) or 'none'}"
            )
        name, value = asked[0], p[asked[0]]
        if name == "Attribute":
            name, value = p["Attribute"][0].upper() + p["Attribute"][1:], {"Value": p.get("Value")}
            if name.startswith("Disable"):
                value = {"Value": str(p.get("Value")).lower() == "true"}
        match name:
            case "InstanceType":
                self._must_be_stopped(instance)
                self._change_type(instance, value["Value"])
            case "UserData":
                self._must_be_stopped(instance)
                raw = value.get("Value", b"")
                text = base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw
                _check_user_data(text)
                instance.user_data = text
            case "DisableApiTermination":
                instance.no_termination = value["Value"]
            case "DisableApiStop":
                instance.no_stop = value["Value"]
            case "InstanceInitiatedShutdownBehavior":
                instance.shutdown_behavior = value["Value"]
            case "EbsOptimized":
                self._must_be_stopped(instance)
                instance.ebs_optimized = value["Value"]
            case "SourceDestCheck":
                self._only_interface(instance).source_dest_check = value["Value"]
            case "Groups":
                eni = self._only_interface(instance)
                eni.group_ids = self.groups_for(value, eni.vpc_id)
            case "BlockDeviceMappings":
                self._modify_volumes(instance, value)
            case other:
                raise EC2Error("UnsupportedOperation", f"{other} is not supported")
        return {}

    def _must_be_stopped(self, instance: Instance) -> None:
        if instance.state != "stopped":
            raise EC2Error(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
            )

    def _only_interface(self, instance: Instance) -> Interface:
        if len(instance.interface_ids) != 1:
            raise multiple_interfaces(instance.id)
        return self.data.interfaces[instance.interface_ids[0]]

    def _change_type(self, instance: Instance, name: str) -> None:
        """A type with less room than what is attached is refused."""
        kind = self.instance_type(name)
        image = self.data.images.get(instance.image_id)
        if image and image.architecture not in kind.architectures:
            raise invalid_value(f"The type {name} does not match the architecture '{image.architecture}'.")
        attached = self.interfaces_of(instance)
        self.check_cards(kind, [(e.attachment.card, e) for e in attached if e.attachment])
        for eni in attached:
            self.check_slots(kind, eni, "PrivateIpAddressLimitExceeded")
        instance.instance_type = name

    def _modify_volumes(self, instance: Instance, mappings: list[Params]) -> None:
        by_device = {self.data.volumes[each].device: self.data.volumes[each] for each in instance.volumes}
        for mapping in mappings:
            volume = by_device.get(mapping.get("DeviceName", ""))
            if volume is None:
                raise EC2Error(
                    "InvalidInstanceAttributeValue", f"No device is mapped at {mapping.get('DeviceName')}"
                )
            volume.delete_on_termination = mapping.get("Ebs", {}).get("DeleteOnTermination", True)

    @operation
    def describe_instance_attribute(self, p: Params) -> Result:
        instance = self.instance(p["InstanceId"])
        groups = (
            self.show_groups(self.data.interfaces[instance.interface_ids[0]]) if instance.interface_ids else []
        )
        values: dict[str, Result] = {
            "instanceType": {"InstanceType": {"Value": instance.instance_type}},
            "userData": {"UserData": {"Value": instance.user_data} if instance.user_data else {}},
            "disableApiTermination": {"DisableApiTermination": {"Value": instance.no_termination}},
            "disableApiStop": {"DisableApiStop": {"Value": instance.no_stop}},
            "instanceInitiatedShutdownBehavior": {
                "InstanceInitiatedShutdownBehavior": {"Value": instance.shutdown_behavior}
            },
            "ebsOptimized": {"EbsOptimized": {"Value": instance.ebs_optimized}},
            "sourceDestCheck": {
                "SourceDestCheck": {"Value": all(e.source_dest_check for e in self.interfaces_of(instance)[:1])}
            },
            "groupSet": {"Groups": groups},
            "rootDeviceName": {"RootDeviceName": {"Value": "/dev/xvda"}},
            "enaSupport": {"EnaSupport": {"Value": True}},
            "kernel": {"KernelId": {}},
            "ramdisk": {"RamdiskId": {}},
            "sriovNetSupport": {"SriovNetSupport": {"Value": "simple"}},
            "productCodes": {"ProductCodes": []},
            "enclaveOptions": {"EnclaveOptions": {"Enabled": False}},
            "blockDeviceMapping": {"BlockDeviceMappings": self._show_devices(instance)},
        }
        if p["Attribute"] not in values:
            raise EC2Error("UnsupportedInstanceAttribute", f"{p['Attribute']} is not supported")
        return {"InstanceId": instance.id, **values[p["Attribute"]]}

    # -- describes -----------------------------------------------------------------------------------

    @operation
    def describe_instances(self, p: Params) -> Result:
        """EC2 docs: terminated instances stay listed, tags and all, for up to an hour."""
        ids = p.get("InstanceIds")
        records = self.listed("i", self.data.instances, ids)
        if self.settings.hide_managed and not p.get("IncludeManagedResources"):
            records = [instance for instance in records if not instance.operator]
        found = filters.select(records, p.get("Filters"), self._instance_filters())
        shown, token = self.page("DescribeInstances", p, found, ids)
        reservations: dict[str, list[Instance]] = defaultdict(list)
        for instance in shown:
            reservations[instance.reservation_id].append(instance)
        rows = [self._show_reservation(key, instances) for key, instances in reservations.items()]
        return self.answer("Reservations", rows, token)

    def _instance_filters(self) -> filters.Extractors[Instance]:
        def interfaces(extract: Any) -> Any:
            return lambda i: [value for eni in self.interfaces_of(i) for value in extract(eni)]

        def primary(extract: Any) -> Any:
            return lambda i: [value for eni in self._primary(i) for value in extract(eni)]

        def public_ips(eni: Interface) -> list[str]:
            shown = [self.show_association(eni, address) for address in eni.ips]
            return [each["PublicIp"] for each in shown if each]

        return {
            "instance-id": lambda i: [i.id],
            "instance-state-name": lambda i: [i.state],
            "instance-state-code": lambda i: [STATE_CODES[i.state]],
            "instance-type": lambda i: [i.instance_type],
            "image-id": lambda i: [i.image_id],
            "client-token": lambda i: [i.client_token],
            "reservation-id": lambda i: [i.reservation_id],
            "key-name": lambda i: [i.key_name],
            "availability-zone": lambda i: [i.zone],
            "subnet-id": lambda i: [i.subnet_id],
            "vpc-id": lambda i: [i.vpc_id],
            "owner-id": lambda _: [self.settings.account_id],
            "tenancy": lambda i: [i.tenancy],
            "architecture": lambda i: [self._architecture(i)],
            "iam-instance-profile.arn": lambda i: [self.data.profiles.get(i.profile or "")],
            "private-ip-address": primary(lambda e: e.ips[:1]),
            "ip-address": primary(public_ips),
            "instance.group-id": primary(lambda e: e.group_ids),
            "instance.group-name": primary(lambda e: [self.data.groups[g].name for g in e.group_ids]),
            "network-interface.network-interface-id": interfaces(lambda e: [e.id]),
            "network-interface.subnet-id": interfaces(lambda e: [e.subnet_id]),
            "network-interface.vpc-id": interfaces(lambda e: [e.vpc_id]),
            "network-interface.group-id": interfaces(lambda e: e.group_ids),
            "network-interface.mac-address": interfaces(lambda e: [e.mac]),
            "network-interface.status": interfaces(lambda e: [self.status_of(e)]),
            "network-interface.description": interfaces(lambda e: [e.description]),
            "network-interface.addresses.private-ip-address": interfaces(lambda e: e.ips),
            "network-interface.addresses.association.public-ip": interfaces(public_ips),
            "network-interface.association.public-ip": interfaces(public_ips),
            "network-interface.ipv6-addresses.ipv6-address": interfaces(lambda e: e.ipv6),
            "network-interface.attachment.attachment-id": interfaces(lambda e: [e.attachment.id]),
            "network-interface.attachment.device-index": interfaces(lambda e: [e.attachment.device_index]),
            "network-interface.attachment.status": interfaces(lambda e: [e.attachment.status]),
            "network-interface.availability-zone": interfaces(lambda e: [e.zone]),
        }

    def _primary(self, instance: Instance) -> list[Interface]:
        return [
            eni
            for eni in self.interfaces_of(instance)
            if eni.attachment and (eni.attachment.card, eni.attachment.device_index) == (0, 0)
        ]

    def _architecture(self, instance: Instance) -> str:
        image = self.data.images.get(instance.image_id)
        return image.architecture if image else "x86_64"

    def _show_reservation(self, reservation: str, instances: Sequence[Instance]) -> Result:
        return {
            "ReservationId": reservation,
            "OwnerId": self.settings.account_id,
            "Instances": [self._show_instance(instance) for instance in instances],
        }

    def _show_instance(self, instance: Instance) -> Result:
        kind = self.instance_type(instance.instance_type)
        answer: Result = {
            "InstanceId": instance.id,
            "ImageId": instance.image_id,
            "InstanceType": instance.instance_type,
            "State": {"Code": STATE_CODES[instance.state], "Name": instance.state},
            "StateTransitionReason": instance.reason,
            "LaunchTime": self.date(instance.created),
            "AmiLaunchIndex": instance.launch_index,
            "ClientToken": instance.client_token,
            "KeyName": instance.key_name,
            "Placement": {
                "AvailabilityZone": instance.zone,
                "AvailabilityZoneId": zone_id(instance.zone),
                "GroupName": "",
                "Tenancy": instance.tenancy,
            },
            "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
            "Architecture": self._architecture(instance),
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "Hypervisor": "xen",
            "EbsOptimized": instance.ebs_optimized,
            "EnaSupport": True,
            "CpuOptions": {
                "CoreCount": max(1, kind.vcpus // kind.threads),
                "ThreadsPerCore": kind.threads,
            },
            "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
            "HibernationOptions": {"Configured": instance.hibernation},
            "EnclaveOptions": {"Enabled": False},
            "MetadataOptions": {"State": "applied", **instance.metadata},
            "MaintenanceOptions": {"AutoRecovery": instance.auto_recovery},
            "PlatformDetails": "Linux/UNIX",
            "UsageOperation": "RunInstances",
            "BlockDeviceMappings": self._show_devices(instance),
            "Operator": {"Managed": instance.operator is not None, "Principal": instance.operator},
            "Tags": self.tag_list(instance.tags),
        }
        if instance.reason_code:
            code, message = instance.reason_code
            answer["StateReason"] = {"Code": code, "Message": message}
        if instance.profile:
            answer["IamInstanceProfile"] = {
                "Arn": self.data.profiles[instance.profile],
                "Id": "AIPAIOSFODNN7EXAMPLE",
            }
        if instance.state != "terminated":
            answer |= self._show_network(instance)
        return answer

    def _show_network(self, instance: Instance) -> Result:
        """What a terminated instance no longer shows."""
        primary = self._primary(instance)[0]
        shown = self.show_association(primary, primary.ips[0])
        options = {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
            **instance.dns_options,
        }
        answer: Result = {
            "VpcId": instance.vpc_id,
            "SubnetId": instance.subnet_id,
            "PrivateIpAddress": primary.ips[0],
            "PrivateDnsName": f"ip-{primary.ips[0].replace('.', '-')}.ec2.internal",
            "PublicDnsName": "",
            "SourceDestCheck": primary.source_dest_check,
            "SecurityGroups": self.show_groups(primary),
            "PrivateDnsNameOptions": options,
            "NetworkInterfaces": self.shuffled(self._show_seat(eni) for eni in self.interfaces_of(instance)),
        }
        if shown:
            answer["PublicIpAddress"] = shown["PublicIp"]
            answer["PublicDnsName"] = public_dns(shown["PublicIp"])
        if primary.ipv6:
            answer["Ipv6Address"] = primary.ipv6[0]
        return answer

    def _show_seat(self, eni: Interface) -> Result:
        """An interface as DescribeInstances shows it: no tags, no allocation ids."""
        full = self.show_interface(eni)
        names = (
            "NetworkInterfaceId", "SubnetId", "VpcId", "Description", "Status", "MacAddress", "OwnerId",
            "InterfaceType", "SourceDestCheck", "PrivateIpAddress", "PrivateDnsName", "Groups",
            "Ipv6Addresses", "Ipv4Prefixes", "Ipv6Prefixes", "Operator",
        )  # fmt: skip
        answer = {name: full[name] for name in names}
        answer["Association"] = _public_face(full["Association"])
        answer["PrivateIpAddresses"] = [
            {**row, "Association": _public_face(row["Association"])} for row in full["PrivateIpAddresses"]
        ]
        assert eni.attachment is not None
        answer["Attachment"] = {
            **show_attachment(eni.attachment),
            "AttachTime": self.date(eni.attachment.time),
        }
        return answer

    def _show_devices(self, instance: Instance) -> list[Result]:
        volumes = [self.data.volumes[each] for each in instance.volumes]
        return [
            {
                "DeviceName": volume.device,
                "Ebs": {
                    "VolumeId": volume.id,
                    "Status": "attached",
                    "AttachTime": self.date(volume.created),
                    "DeleteOnTermination": volume.delete_on_termination,
                },
            }
            for volume in volumes
        ]

    @operation
    def describe_instance_status(self, p: Params) -> Result:
        """EC2 docs: running instances only, unless IncludeAllInstances; at most 100 ids."""
        ids = p.get("InstanceIds")
        if ids and len(ids) > 100:
            raise invalid_value("At most 100 instance ids may be named")
        found = self.listed("i", self.data.instances, ids)
        if not p.get("IncludeAllInstances"):
            found = [instance for instance in found if instance.state == "running"]
        known: filters.Extractors[Instance] = {
            "instance-state-name": lambda i: [i.state],
            "instance-state-code": lambda i: [STATE_CODES[i.state]],
            "availability-zone": lambda i: [i.zone],
            "instance-status.status": lambda i: [self._check(i, "instance")],
            "system-status.status": lambda i: [self._check(i, "system")],
        }
        found = filters.select(found, p.get("Filters"), known)
        shown, token = self.page("DescribeInstanceStatus", p, found, ids)
        rows = [
            {
                "InstanceId": instance.id,
                "AvailabilityZone": instance.zone,
                "InstanceState": {"Code": STATE_CODES[instance.state], "Name": instance.state},
                "InstanceStatus": _status(self._check(instance, "instance")),
                "SystemStatus": _status(self._check(instance, "system")),
            }
            for instance in shown
        ]
        return self.answer("InstanceStatuses", rows, token)

    def _check(self, instance: Instance, which: str) -> str:
        if instance.state != "running":
            return "not-applicable"
        if which in instance.impaired:
            return instance.impaired[which]
        return "initializing" if self.now < instance.since + self.settings.status_delay else "ok"

    @operation
    def describe_instance_credit_specifications(self, p: Params) -> Result:
        ids = p.get("InstanceIds")
        found = [
            instance
            for instance in self.listed("i", self.data.instances, ids)
            if self.instance_type(instance.instance_type).burstable
        ]
        shown, token = self.page("DescribeInstanceCreditSpecifications", p, found, ids)
        rows = [{"InstanceId": each.id, "CpuCredits": each.cpu_credits} for each in shown]
        return self.answer("InstanceCreditSpecifications", rows, token)

    @operation
    def describe_volumes(self, p: Params) -> Result:
        ids = p.get("VolumeIds")
        known: filters.Extractors[Volume] = {
            "volume-id": lambda v: [v.id],
            "attachment.instance-id": lambda v: [v.instance_id],
            "attachment.device": lambda v: [v.device],
            "availability-zone": lambda v: [v.zone],
            "status": lambda _: ["in-use"],
        }
        found = filters.select(self.listed("vol", self.data.volumes, ids), p.get("Filters"), known)
        shown, token = self.page("DescribeVolumes", p, found, ids)
        rows = [
            {
                "VolumeId": volume.id,
                "AvailabilityZone": volume.zone,
                "CreateTime": self.date(volume.created),
                "Encrypted": volume.encrypted,
                "Size": volume.size,
                "VolumeType": volume.volume_type,
                "Iops": 3000,
                "Throughput": 125,
                "State": "in-use",
                "MultiAttachEnabled": False,
                "Attachments": [
                    {
                        "VolumeId": volume.id,
                        "InstanceId": volume.instance_id,
                        "Device": volume.device,
                        "State": "attached",
                        "AttachTime": self.date(volume.created),
                        "DeleteOnTermination": volume.delete_on_termination,
                    }
                ],
                "Tags": self.tag_list(volume.tags),
            }
            for volume in shown
        ]
        return self.answer("Volumes", rows, token)

    # -- helpers for tests ---------------------------------------------------------------------------

    def set_health(
        self, instance_id: str, status: str = "impaired", which: Literal["instance", "system"] = "system"
    ) -> None:
        """Makes a status check of a running instance show `status`; `ok` heals it."""
        with self.lock:
            self.data.instances[instance_id].impaired[which] = status
            self._remember()

    def fail_launch(self, instance_id: str, code: str = "Server.InternalError") -> None:
        """A pending instance goes straight to terminated, as it does when its launch goes wrong."""
        with self.lock:
            self.settle()
            instance = self.data.instances[instance_id]
            instance.reason_code = (code, f"{code}: Internal error on launch")
            self.on_terminated(instance_id, self.now)
            self._remember()

    def set_operator(self, resource_id: str, principal: str = "eks.amazonaws.com") -> None:
        """Puts an instance or an interface into the hands of an AWS service."""
        with self.lock:
            if resource_id.startswith("i-"):
                self.data.instances[resource_id].operator = principal
            else:
                self.data.interfaces[resource_id].operator = principal
            self._remember()


def _change(instance: Instance, before: str) -> Result:
    return {
        "InstanceId": instance.id,
        "PreviousState": {"Code": STATE_CODES[before], "Name": before},
        "CurrentState": {"Code": STATE_CODES[instance.state], "Name": instance.state},
    }


def _status(status: str) -> Result:
    words = {"ok": "passed", "impaired": "failed", "initializing": "initializing"}
    if status not in words:
        return {"Status": status}
    return {"Status": status, "Details": [{"Name": "reachability", "Status": words[status]}]}


def _public_face(association: Result | None) -> Result | None:
    if association is None:
        return None
    return {name: association[name] for name in ("IpOwnerId", "PublicIp", "PublicDnsName")}


def _default_credits(kind: InstanceType) -> str:
    if not kind.burstable:
        return ""
    return "standard" if kind.name.startswith("t2.") else "unlimited"


def _spec_slots(spec: Params) -> int:
    """How many IPv4 addresses a new interface of a launch will have."""
    listed = len(spec.get("PrivateIpAddresses", [])) or 1
    return int(listed) + int(spec.get("SecondaryPrivateIpAddressCount", 0))


def _check_user_data(text: str) -> None:
    """EC2 docs: 16 KB before encoding; the wire carries base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_value("Invalid BASE64 encoding of user data.") from error
    if len(raw) > MAX_USER_DATA:
        raise invalid_value(f"User data is limited to {MAX_USER_DATA} bytes")


def check_imds_tags(tags: dict[str, str]) -> None:
    """EC2 docs: tags that the metadata service shows may not have spaces or slashes in their keys."""
    for key in tags:
        if " " in key or "/" in key or key in (".", "..", "_index"):
            raise invalid_value(
                f"'{key}' is not a valid tag key. Tag keys must match pattern "
                "([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')"
            )
