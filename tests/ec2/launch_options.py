"""What a launch asks for besides its interfaces, checked as EC2 does: volumes, placement, CPU options, Spot."""

from __future__ import annotations

from typing import Any

from . import filters
from .catalogue import InstanceType
from .errors import EC2Error, bad_combination, invalid_value, missing
from .instance_views import InstanceViews
from .records import Image, Instance, Params, Reserved, Resource, Result, SpotRequest, Volume
from .state import operation

ROOT = "/dev/xvda"
SIZES = {
    "gp3": (1, 65536),
    "gp2": (1, 16384),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
_RESERVED: filters.Extractors[Reserved] = {
    "availability-zone": lambda each: [each.zone],
    "instance-type": lambda each: [each.instance_type],
    "state": lambda each: [each.state],
}
IOPS = {"gp3": (3000, 80000, 500), "io1": (100, 64000, 50), "io2": (100, 256000, 1000)}


def bad_mapping(message: str) -> EC2Error:
    return EC2Error("InvalidBlockDeviceMapping", message)


class LaunchOptions(InstanceViews):
    """Every check happens before anything is made."""

    def check_options(self, p: Params, image: Image, kind: InstanceType) -> None:
        devices = self.devices_of(p, image)
        self._check_devices(p, devices)
        self._check_placement(p.get("Placement", {}), kind)
        self._check_cpu(p.get("CpuOptions", {}), kind)
        if "CreditSpecification" in p and not kind.burstable:
            raise bad_combination(f"The parameter CreditSpecification is not supported for {kind.name}")
        if p.get("EbsOptimized") and not kind.nitro:
            raise EC2Error(
                "Unsupported",
                "EBS-optimized instances are not supported for your requested configuration. Please check the "
                "documentation for supported configurations.",
            )
        if p.get("EnclaveOptions", {}).get("Enabled") and not kind.enclaves:
            raise bad_combination(f"The instance type {kind.name} does not support Nitro Enclaves")
        if p.get("HibernationOptions", {}).get("Configured"):
            self._check_hibernation(p, devices, kind)
        self._check_reservation(p.get("CapacityReservationSpecification", {}))
        if "InstanceMarketOptions" in p:
            self._check_spot(p, p["InstanceMarketOptions"])

    # -- volumes

    def devices_of(self, p: Params, image: Image) -> dict[str, Params]:
        """EC2 docs: a mapping of the request is laid over that of the image for the same device."""
        devices: dict[str, Params] = {ROOT: {"SnapshotId": image.snapshot_id, "VolumeType": "gp3"}}
        named: set[str] = set()
        for mapping in p.get("BlockDeviceMappings", []):
            name = mapping.get("DeviceName")
            if not name:
                raise missing("deviceName")
            if name in named:
                raise bad_mapping(f"The device '{name}' is used in more than one block-device mapping")
            named.add(name)
            if "Ebs" in mapping:
                devices[name] = {**devices.get(name, {}), **mapping["Ebs"]}
        return devices

    def _check_devices(self, p: Params, devices: dict[str, Params]) -> None:
        for name, ebs in devices.items():
            snapshot = ebs.get("SnapshotId")
            if snapshot is None and "VolumeSize" not in ebs:
                raise missing("size/snapshot")
            known = {image.snapshot_id: image.size for image in self.data.images.values()} | self.data.snapshots
            if snapshot and snapshot not in known:
                raise EC2Error("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")
            least = known.get(snapshot or "", 0)
            size = ebs.get("VolumeSize", least)
            if size < least:
                raise bad_mapping(
                    f"Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size>= {least}GB"
                )
            if "KmsKeyId" in ebs and not ebs.get("Encrypted"):
                raise EC2Error("InvalidParameterDependency", "KmsKeyId needs the parameter Encrypted to be true.")
            check_volume(ebs.get("VolumeType", "gp2"), size, ebs.get("Iops"), ebs.get("Throughput"))
            if name == ROOT and ebs.get("VolumeType") in ("st1", "sc1"):
                raise invalid_value(f"The volume type {ebs['VolumeType']} cannot be used for a root device.")

    def make_volumes(self, p: Params, instance: Instance, tags: dict[str, str]) -> None:
        image = self.data.images[p["ImageId"]]
        known = {each.snapshot_id: each.size for each in self.data.images.values()} | self.data.snapshots
        for device, ebs in self.devices_of(p, image).items():
            kind = ebs.get("VolumeType", "gp2")
            volume = self.born(
                Volume(
                    self.new_id("vol"),
                    instance.id,
                    device,
                    ebs.get("VolumeSize", known.get(ebs.get("SnapshotId", ""), 0)),
                    kind,
                    ebs.get("DeleteOnTermination", True),
                    instance.zone,
                    ebs.get("Encrypted", False),
                    iops=ebs.get("Iops", 3000 if kind == "gp3" else None),
                    throughput=ebs.get("Throughput", 125 if kind == "gp3" else None),
                    kms_key_id=ebs.get("KmsKeyId"),
                    snapshot_id=ebs.get("SnapshotId", ""),
                    tags=dict(tags),
                )
            )
            self.data.volumes[volume.id] = volume
            instance.volumes.append(volume.id)

    # -- placement and hardware

    def check_group(self, name: str, kind: InstanceType) -> str:
        """The strategy of a placement group that takes the type."""
        strategy = self.data.placement_groups.get(name)
        if strategy is None:
            raise EC2Error("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        if strategy not in kind.strategies:
            raise bad_combination(
                f"{strategy.capitalize()} placement groups are not supported by the '{kind.name}' instance type."
            )
        return strategy

    def _check_placement(self, placement: Params, kind: InstanceType) -> None:
        strategy = self.check_group(placement["GroupName"], kind) if placement.get("GroupName") else ""
        if "PartitionNumber" in placement and strategy != "partition":
            raise bad_combination("PartitionNumber is valid only for a placement group of the strategy partition")
        if placement.get("HostId") is not None and placement.get("Tenancy", "host") != "host":
            raise bad_combination("A host ID needs the tenancy host")

    def _check_cpu(self, options: Params, kind: InstanceType) -> None:
        if not options:
            return
        if ("CoreCount" in options) != ("ThreadsPerCore" in options):
            raise bad_combination("CoreCount and ThreadsPerCore must be specified together")
        if not kind.nitro or (kind.burstable and kind.arm):
            raise bad_combination(f"The instance type {kind.name} does not support CpuOptions")
        if options.get("CoreCount", 1) > kind.cores or options.get("ThreadsPerCore", 1) > kind.threads:
            raise invalid_value(
                f"The specified CpuOptions are not valid for {kind.name}: it has {kind.cores} cores with "
                f"{kind.threads} threads"
            )
        if options.get("AmdSevSnp") == "enabled":
            raise bad_combination(f"The instance type {kind.name} does not support AMD SEV-SNP")

    def _check_hibernation(self, p: Params, devices: dict[str, Params], kind: InstanceType) -> None:
        code = "UnsupportedHibernationConfiguration"
        if not kind.hibernates:
            raise EC2Error(code, f"The instance type {kind.name} does not support hibernation.")
        if not devices[ROOT].get("Encrypted"):
            raise EC2Error(code, "Hibernation requires an encrypted root volume.")
        if p.get("EnclaveOptions", {}).get("Enabled"):
            raise bad_combination("Hibernation and Nitro Enclaves cannot be enabled together.")

    @staticmethod
    def _check_reservation(asked: Params) -> None:
        if len(asked) > 1:
            raise bad_combination("CapacityReservationPreference and CapacityReservationTarget exclude each other")

    def check_reserved(self, p: Params, kind: InstanceType, zones: set[str]) -> None:
        """A host or a reservation takes one type in one zone, while it is active."""
        target = p.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
        if named := target.get("CapacityReservationId"):
            reservation = self.lookup("cr", self.data.reservations, named)
            if ({reservation.zone}, reservation.instance_type, reservation.state) != (zones, kind.name, "active"):
                raise EC2Error(
                    "ReservationCapacityExceeded",
                    "The requested reservation does not have sufficient compatible and available capacity for "
                    "this request.",
                )
        if named := p.get("Placement", {}).get("HostId"):
            host = self.lookup("h", self.data.hosts, named)
            if ({host.zone}, host.instance_type, host.state) != (zones, kind.name, "available"):
                raise EC2Error(
                    "InsufficientHostCapacity", "There is insufficient capacity on the host for this request."
                )

    # -- Spot

    def _check_spot(self, p: Params, market: Params) -> None:
        options = market.get("SpotOptions", {})
        persistent = options.get("SpotInstanceType", "one-time") == "persistent"
        behavior = options.get("InstanceInterruptionBehavior")
        if persistent and behavior not in ("stop", "hibernate"):
            raise bad_combination("Persistent requests need the interruption behavior stop or hibernate")
        if not persistent and (behavior in ("stop", "hibernate") or "ValidUntil" in options):
            raise bad_combination("A one-time request takes neither that interruption behavior nor ValidUntil")
        if "MaxPrice" in options and float(options["MaxPrice"]) <= 0.001:
            raise invalid_value("The Spot price must be more than 0.001")
        for name in ("DisableApiTermination", "DisableApiStop"):
            if p.get(name):
                raise bad_combination(f"{name} is not supported for Spot Instances")
        if p.get("Placement", {}).get("Tenancy") == "host":
            raise bad_combination("Spot Instances do not support the tenancy host")
        if p.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget"):
            raise bad_combination("Spot Instances cannot target a Capacity Reservation")

    def request_spot(self, p: Params, instance: Instance, tags: dict[str, str]) -> None:
        """A Spot Instance belongs to a request, which a persistent one outlives."""
        if "InstanceMarketOptions" not in p:
            return
        options = p["InstanceMarketOptions"].get("SpotOptions", {})
        request = self.born(
            SpotRequest(
                self.new_id("sir"),
                instance.id,
                options.get("SpotInstanceType", "one-time"),
                options.get("InstanceInterruptionBehavior", "terminate"),
                max_price=options.get("MaxPrice", ""),
                tags=dict(tags),
            )
        )
        self.data.spot_requests[request.id] = request
        instance.spot_request = request.id

    @operation
    def describe_spot_instance_requests(self, p: Params) -> Result:
        requests = self.listed("sir", self.data.spot_requests, p.get("SpotInstanceRequestIds"))
        return {"SpotInstanceRequests": [self._show_request(each) for each in requests]}

    def _show_request(self, request: SpotRequest) -> Result:
        return {
            "SpotInstanceRequestId": request.id,
            "InstanceId": request.instance_id,
            "Type": request.type,
            "State": request.state,
            "InstanceInterruptionBehavior": request.behavior,
            "SpotPrice": request.max_price or "0.5",
            "Tags": self.tag_list(request.tags),
        }

    @operation
    def cancel_spot_instance_requests(self, p: Params) -> Result:
        """EC2 docs: the instances of a request run on. A request that is closed stays so."""
        requests = [self.lookup("sir", self.data.spot_requests, each) for each in p["SpotInstanceRequestIds"]]
        for request in requests:
            if request.state in ("open", "active"):
                request.state = "cancelled"
        rows = [{"SpotInstanceRequestId": each.id, "State": each.state} for each in requests]
        return {"CancelledSpotInstanceRequests": rows}

    # -- what a launch can name

    @operation
    def describe_placement_groups(self, p: Params) -> Result:
        """EC2 docs: names are an assertion, filters are not."""
        groups = [Resource(name, tags={"strategy": each}) for name, each in self.data.placement_groups.items()]
        for name in p.get("GroupNames") or ():
            if name not in self.data.placement_groups:
                raise EC2Error("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        named: set[str] = set(p.get("GroupNames") or self.data.placement_groups)
        known: filters.Extractors[Resource] = {
            "group-name": lambda group: [group.id],
            "strategy": lambda group: [group.tags["strategy"]],
            "state": lambda _: ["available"],
        }
        found = filters.select((each for each in groups if each.id in named), p.get("Filters"), known)
        rows = [{"GroupName": each.id, "Strategy": each.tags["strategy"], "State": "available"} for each in found]
        return {"PlacementGroups": rows}

    @operation
    def describe_snapshots(self, p: Params) -> Result:
        """EC2 docs: all that the account may use, public ones too."""
        sizes = {image.snapshot_id: image.size for image in self.data.images.values()}
        listed = {each: Resource(each) for each in {**sizes, **self.data.snapshots}}
        sizes |= self.data.snapshots
        known: filters.Extractors[Resource] = {
            "snapshot-id": lambda each: [each.id],
            "volume-size": lambda each: [sizes[each.id]],
            "status": lambda _: ["completed"],
        }
        found = filters.select(self.listed("snap", listed, p.get("SnapshotIds")), p.get("Filters"), known)
        shown, token = self.page("DescribeSnapshots", p, found, p.get("SnapshotIds"))
        rows = [{"SnapshotId": each.id, "VolumeSize": sizes[each.id], "State": "completed"} for each in shown]
        return self.answer("Snapshots", rows, token)

    @operation
    def describe_hosts(self, p: Params) -> Result:
        """EC2 docs: it has no filter for ids."""
        known = {**_RESERVED, "auto-placement": lambda _: ["on"]}
        found = filters.select(self.listed("h", self.data.hosts, p.get("HostIds")), p.get("Filter"), known)
        shown, token = self.page("DescribeHosts", p, found, p.get("HostIds"), high=500)
        rows = [
            {
                "HostId": each.id,
                "AvailabilityZone": each.zone,
                "State": each.state,
                "HostProperties": {"InstanceType": each.instance_type},
            }
            for each in shown
        ]
        return self.answer("Hosts", rows, token)

    @operation
    def describe_capacity_reservations(self, p: Params) -> Result:
        """EC2 docs: it has no filter for ids."""
        ids = p.get("CapacityReservationIds")
        known = {**_RESERVED, "tenancy": lambda _: ["default"]}
        found = filters.select(self.listed("cr", self.data.reservations, ids), p.get("Filters"), known)
        shown, token = self.page("DescribeCapacityReservations", p, found, ids, low=1)
        rows = [
            {
                "CapacityReservationId": each.id,
                "AvailabilityZone": each.zone,
                "State": each.state,
                "InstanceType": each.instance_type,
            }
            for each in shown
        ]
        return self.answer("CapacityReservations", rows, token)

    def kms(self, action: str, p: Params) -> Result:
        """DescribeKey. KMS docs: it takes the id of a key, an alias, or the ARN of either."""
        if action != "DescribeKey":
            raise EC2Error("UnknownOperationException", f"{action} is not supported")
        with self.lock:
            key = self.kms_key(p["KeyId"])
            arn = f"arn:aws:kms:{self.settings.region}:{self.settings.account_id}:key/{key}"
            if key not in self.data.kms_keys:
                what = "Alias" if "alias/" in p["KeyId"] else "Key"
                raise EC2Error("NotFoundException", f"{what} '{arn}' does not exist")
            state = self.data.kms_keys[key]
            return {"KeyMetadata": {"KeyId": key, "Arn": arn, "KeyState": state, "Enabled": state == "Enabled"}}

    def kms_key(self, named: str) -> str:
        """The id of the key that a request names; what it names, if there is no such alias."""
        plain = named.split(":")[-1].removeprefix("key/")
        return self.data.kms_aliases.get(plain, plain)

    def has_unusable_key(self, instance: Instance) -> bool:
        """EC2 docs: the keys of volumes are looked at after the launch was answered."""
        keys = [self.data.volumes[each].kms_key_id for each in instance.volumes if each in self.data.volumes]
        states = [self.data.kms_keys.get(self.kms_key(key)) for key in keys if key is not None]
        return any(state != "Enabled" for state in states)

    # -- helpers for tests

    def add_placement_group(self, name: str, strategy: str = "spread") -> None:
        with self.lock:
            self.data.placement_groups[name] = strategy
            self._remember()

    def add_host(self, kind: str, zone: str = "us-east-1a", state: str = "available") -> str:
        """A Dedicated Host of the account for instances of one type."""
        return self._reserve(self.data.hosts, "h", kind, zone, state)

    def add_capacity_reservation(self, kind: str, zone: str = "us-east-1a", state: str = "active") -> str:
        return self._reserve(self.data.reservations, "cr", kind, zone, state)

    def add_kms_key(self, alias: str | None = None, state: str = "Enabled") -> str:
        """A customer managed key; an alias begins with `alias/`."""
        with self.lock:
            key = f"1234abcd-12ab-34cd-56ef-{len(self.data.kms_keys):012x}"
            self.data.kms_keys[key] = state
            self.data.kms_aliases |= {alias: key} if alias else {}
            self._remember()
            return key

    def add_snapshot(self, size: int = 8) -> str:
        """A snapshot of a volume of that many GiB."""
        with self.lock:
            snapshot = self.new_id("snap")
            self.data.snapshots[snapshot] = size
            self._remember()
            return snapshot

    def _reserve(self, records: dict[str, Reserved], prefix: str, kind: str, zone: str, state: str) -> str:
        with self.lock:
            new = self.born(Reserved(self.new_id(prefix), kind, zone, state))
            records[new.id] = new
            self._remember()
            return new.id


def check_volume(kind: str, size: int, iops: Any, throughput: Any) -> None:
    """EC2 docs: EbsBlockDevice."""
    least, most = SIZES[kind]
    if not least <= size <= most:
        raise invalid_value(f"Volume of {size}GiB is not valid for {kind}: {least} to {most}")
    if kind in ("io1", "io2") and iops is None:
        raise missing("iops")
    if iops is not None:
        if kind not in IOPS:
            raise bad_combination(f"The parameter iops is not supported for {kind} volumes.")
        low, high, ratio = IOPS[kind]
        if not low <= iops <= high or iops > max(size * ratio, 3000 if kind == "gp3" else 0):
            raise invalid_value(f"Iops of {iops} is not valid for {kind} of {size}GiB")
    if throughput is not None:
        if kind != "gp3":
            raise bad_combination(f"The parameter throughput is not supported for {kind} volumes.")
        if not 125 <= throughput <= 2000 or throughput * 4 > (iops or 3000):
            raise invalid_value(f"Throughput (MiBps) to iops ratio of {throughput} is too high")
