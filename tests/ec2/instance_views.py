"""Instances as EC2 shows and finds them: DescribeInstances, status checks, volumes, attributes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from . import filters
from .addresses import Addresses
from .errors import EC2Error, invalid_value, missing, not_permitted
from .interface_views import private_dns
from .places import zone_id
from .records import STATE_CODES, Instance, Interface, Params, Result, Volume
from .state import operation


class InstanceViews(Addresses):
    """Lookups and descriptions; nothing here changes anything."""

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

    @operation
    def describe_iam_instance_profile_associations(self, p: Params) -> Result:
        """EC2 docs: one association for each instance with a profile."""
        wanted = p.get("AssociationIds")
        records = [each for each in self.data.instances.values() if each.profile and each.state != "terminated"]
        if wanted:
            records = [each for each in records if each.profile_association in wanted]
        extractors: filters.Extractors[Instance] = {
            "instance-id": lambda i: [i.id],
            "state": lambda _: ["associated"],
        }
        found = filters.select(records, p.get("Filters"), extractors)
        shown, token = self.page("DescribeIamInstanceProfileAssociations", p, found, wanted)
        rows = [self.show_profile_association(instance) for instance in shown]
        return self.answer("IamInstanceProfileAssociations", rows, token)

    def show_profile_association(self, instance: Instance, state: str = "associated") -> Result:
        return {
            "AssociationId": instance.profile_association,
            "InstanceId": instance.id,
            "IamInstanceProfile": self._show_profile(instance.profile or ""),
            "State": state,
        }

    def _show_profile(self, name: str) -> Result:
        return {"Arn": self.data.profiles[name], "Id": "AIPAIOSFODNN7EXAMPLE"}

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
            "state-reason-code": lambda i: list(i.reason_code or ())[:1],
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
            "Groups": [],
            "Instances": [self._show_instance(instance) for instance in instances],
        }

    def _show_instance(self, instance: Instance) -> Result:
        kind = self.instance_type(instance.instance_type)
        image = self.data.images.get(instance.image_id)
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
                **instance.placement,
            },
            "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
            "Architecture": self._architecture(instance),
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": image.root_device if image else "ebs",
            "VirtualizationType": "hvm",
            "Hypervisor": "xen",
            "EbsOptimized": instance.ebs_optimized,
            "EnaSupport": image.ena if image else True,
            "CpuOptions": {
                "CoreCount": kind.cores,
                "ThreadsPerCore": kind.threads,
                **instance.cpu,
            },
            "CapacityReservationSpecification": instance.reservation or {"CapacityReservationPreference": "open"},
            "HibernationOptions": {"Configured": instance.hibernation},
            "EnclaveOptions": {"Enabled": instance.enclave},
            "MetadataOptions": {"State": "applied", **instance.metadata},
            "MaintenanceOptions": {"AutoRecovery": instance.auto_recovery, "RebootMigration": "default"},
            "NetworkPerformanceOptions": {"BandwidthWeighting": "default"},
            "BootMode": image.boot_mode if image else "uefi-preferred",
            "CurrentInstanceBootMode": "uefi" if kind.nitro else "legacy-bios",
            "PlatformDetails": image.platform if image else "Linux/UNIX",
            "ProductCodes": [],
            "UsageOperation": "RunInstances",
            "UsageOperationUpdateTime": self.date(instance.created),
            "BlockDeviceMappings": self._show_devices(instance),
            "Operator": {"Managed": instance.operator is not None, "Principal": instance.operator},
            "Tags": self.tag_list(instance.tags),
            "NetworkInterfaces": [],
            "SecurityGroups": [],
            "PrivateDnsName": "",
            "PublicDnsName": "",
        }
        if instance.spot_request:
            answer |= {"InstanceLifecycle": "spot", "SpotInstanceRequestId": instance.spot_request}
        if instance.reason_code:
            code, message = instance.reason_code
            answer["StateReason"] = {"Code": code, "Message": message}
        if instance.profile:
            answer["IamInstanceProfile"] = self._show_profile(instance.profile)
        if instance.state != "terminated":
            answer |= self._show_network(instance)
        elif self.settings.terminated_in_subnet:
            answer |= {"SubnetId": instance.subnet_id, "VpcId": instance.vpc_id}
        return answer

    def _show_network(self, instance: Instance) -> Result:
        """What a terminated instance no longer shows: its lists are empty, its names "", the rest is absent."""
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
            "PrivateDnsName": private_dns(primary.ips[0]),
            "SourceDestCheck": primary.source_dest_check,
            "SecurityGroups": self.show_groups(primary),
            "PrivateDnsNameOptions": options,
            "NetworkInterfaces": self.shuffled(self._show_slot(eni) for eni in self.interfaces_of(instance)),
        }
        if shown:
            answer["PublicIpAddress"] = shown["PublicIp"]
            answer["PublicDnsName"] = shown["PublicDnsName"]
        if primary.ipv6:
            answer["Ipv6Address"] = primary.ipv6[0]
        return answer

    def _show_slot(self, eni: Interface) -> Result:
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
        answer["Attachment"] = self.show_attachment(eni.attachment)
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
                    "EbsCardIndex": 0,
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
        """EC2 docs: an id of another type fails the call; without ids, only burstable ones are listed."""
        ids = p.get("InstanceIds")
        found = [
            instance
            for instance in self.listed("i", self.data.instances, ids)
            if self.instance_type(instance.instance_type).burstable and instance.state != "terminated"
        ]
        known: filters.Extractors[Instance] = {"instance-id": lambda i: [i.id]}
        found = filters.select(found, p.get("Filters"), known)
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
                "Iops": volume.iops,
                "Throughput": volume.throughput,
                "SnapshotId": volume.snapshot_id,
                "KmsKeyId": volume.kms_key_id,
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
            "enclaveOptions": {"EnclaveOptions": {"Enabled": instance.enclave}},
            "blockDeviceMapping": {"BlockDeviceMappings": self._show_devices(instance)},
        }
        if p["Attribute"] not in values:
            raise EC2Error("UnsupportedInstanceAttribute", f"{p['Attribute']} is not supported")
        return {"InstanceId": instance.id, **values[p["Attribute"]]}


def _status(status: str) -> Result:
    words = {"ok": "passed", "impaired": "failed", "initializing": "initializing"}
    if status not in words:
        return {"Status": status}
    return {"Status": status, "Details": [{"Name": "reachability", "Status": words[status]}]}


def _public_face(association: Result | None) -> Result | None:
    if association is None:
        return None
    return {name: association[name] for name in ("IpOwnerId", "PublicIp", "PublicDnsName")}
