"""Rules of EC2 for what a launch says besides interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2.lab import Lab, refused

Params = dict[str, Any]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.world.add_placement_group("near", "cluster")
        lab.world.add_placement_group("far", "spread")
        lab.world.add_placement_group("racks", "partition")
        yield lab


def root(**ebs: Any) -> Params:
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": ebs}]}


def disk(**ebs: Any) -> Params:
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": ebs}]}


def spot(**options: str) -> Params:
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


REFUSED: list[tuple[Params, str]] = [
    (root(VolumeSize=4), "InvalidBlockDeviceMapping"),
    (root(VolumeType="st1", VolumeSize=500), "InvalidParameterValue"),
    (root(KmsKeyId="alias/a"), "InvalidParameterDependency"),
    (disk(VolumeType="gp3"), "MissingParameter"),
    (disk(SnapshotId="snap-0123456789abcdef0"), "InvalidSnapshot.NotFound"),
    (disk(VolumeSize=100, VolumeType="st1"), "InvalidParameterValue"),
    (disk(VolumeSize=100, VolumeType="io1"), "MissingParameter"),
    (disk(VolumeSize=100, VolumeType="io1", Iops=5001), "InvalidParameterValue"),
    (disk(VolumeSize=100, VolumeType="gp2", Iops=3000), "InvalidParameterCombination"),
    (disk(VolumeSize=8, VolumeType="gp3", Iops=4001), "InvalidParameterValue"),
    (disk(VolumeSize=8, VolumeType="gp3", Throughput=751), "InvalidParameterValue"),
    (disk(VolumeSize=8, VolumeType="gp2", Throughput=125), "InvalidParameterCombination"),
    ({"BlockDeviceMappings": 2 * disk(VolumeSize=1)["BlockDeviceMappings"]}, "InvalidBlockDeviceMapping"),
    ({"Placement": {"GroupName": "none"}}, "InvalidPlacementGroup.Unknown"),
    ({"Placement": {"GroupName": "near"}}, "InvalidParameterCombination"),
    ({"Placement": {"GroupName": "far", "PartitionNumber": 1}}, "InvalidParameterCombination"),
    ({"Placement": {"HostId": "h-0123456789abcdef0"}}, "InvalidHostID.NotFound"),
    ({"Placement": {"HostId": "h-0123456789abcdef0", "Tenancy": "default"}}, "InvalidParameterCombination"),
    ({"CpuOptions": {"CoreCount": 1}}, "InvalidParameterCombination"),
    ({"CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1}}, "InvalidParameterValue"),
    ({"CpuOptions": {"AmdSevSnp": "enabled"}}, "InvalidParameterCombination"),
    ({"CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1}, "kind": "t2.micro"}, "InvalidParameterCombination"),
    ({"CreditSpecification": {"CpuCredits": "standard"}, "kind": "m5.large"}, "InvalidParameterCombination"),
    ({"EbsOptimized": True, "kind": "t2.micro"}, "Unsupported"),
    ({"HibernationOptions": {"Configured": True}}, "UnsupportedHibernationConfiguration"),
    (
        {"HibernationOptions": {"Configured": True}, "kind": "t2.micro", **root(Encrypted=True)},
        "UnsupportedHibernationConfiguration",
    ),
    ({"EnclaveOptions": {"Enabled": True}}, "InvalidParameterCombination"),
    (
        {
            "CapacityReservationSpecification": {
                "CapacityReservationTarget": {"CapacityReservationId": "cr-0123456789abcdef0"}
            }
        },
        "InvalidCapacityReservationId.NotFound",
    ),
    ({**spot(), "DisableApiStop": True}, "InvalidParameterCombination"),
    (spot(SpotInstanceType="persistent"), "InvalidParameterCombination"),
    (spot(InstanceInterruptionBehavior="stop"), "InvalidParameterCombination"),
    (spot(MaxPrice="0.001"), "InvalidParameterValue"),
]


@pytest.mark.parametrize(("params", "code"), REFUSED, ids=[f"{code}-{params}" for params, code in REFUSED])
def test_launches_that_are_refused(lab: Lab, params: Params, code: str) -> None:
    """EC2 docs: nothing is made if a part of the request cannot be."""
    with refused(code):
        lab.instance(**params)
    made = (lab.world.data.instances, lab.world.data.volumes, lab.world.data.spot_requests)
    assert not any(made)


HELD: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"kind": "t3.small"}, False),
    ({"zone": "us-east-1b"}, False),
    ({"state": "pending"}, False),
]


@pytest.mark.parametrize(("changes", "fits"), HELD, ids=str)
@pytest.mark.parametrize("what", ["host", "reservation"])
def test_a_host_and_a_reservation_take_what_fits(lab: Lab, what: str, changes: dict[str, str], fits: bool) -> None:
    """EC2 docs: one type in one zone. A reservation that does not fit has no compatible capacity."""
    add = lab.world.add_host if what == "host" else lab.world.add_capacity_reservation
    made = add(**{"kind": "t3.medium", **changes})
    target = {"CapacityReservationTarget": {"CapacityReservationId": made}}
    params: Params = (
        {"Placement": {"HostId": made}} if what == "host" else {"CapacityReservationSpecification": target}
    )
    if fits:
        assert lab.show_instance(lab.instance(**params))["State"]["Name"] in ("pending", "running")
    else:
        with refused("InsufficientHostCapacity" if what == "host" else "ReservationCapacityExceeded"):
            lab.instance(**params)


@pytest.mark.parametrize("state", ["Enabled", "Disabled", None])
def test_a_key_that_cannot_be_used_ends_the_instance(lab: Lab, state: str | None) -> None:
    """EC2 docs: the launch itself is answered as if the key were good."""
    key = lab.world.add_kms_key(state=state) if state else "1234abcd-12ab-34cd-56ef-1234567890ab"
    instance = lab.instance(**disk(VolumeSize=1, Encrypted=True, KmsKeyId=key))
    shown = lab.show_instance(instance)
    if state == "Enabled":
        assert shown["State"]["Name"] == "running"
    else:
        assert shown["State"]["Name"] == "terminated"
        assert shown["StateReason"]["Code"] == "Client.InvalidKMSKey.InvalidState"


def test_what_a_launch_can_name_is_described(lab: Lab) -> None:
    world = lab.world
    host, other = world.add_host("t3.micro"), world.add_host("t3.micro", state="released")
    reservation = world.add_capacity_reservation("t3.micro")
    world.add_capacity_reservation("t3.micro", state="expired")
    snapshot = world.add_snapshot(30)
    available = [{"Name": "state", "Values": ["available"]}]
    active = [{"Name": "state", "Values": ["active"]}]
    assert [each["HostId"] for each in lab.ec2.describe_hosts(Filter=available)["Hosts"]] == [host]
    assert {each["HostId"] for each in lab.ec2.describe_hosts(HostIds=[host, other])["Hosts"]} == {host, other}
    [found] = lab.ec2.describe_capacity_reservations(Filters=active)["CapacityReservations"]
    assert (found["CapacityReservationId"], found["InstanceType"]) == (reservation, "t3.micro")
    [found] = lab.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert found["VolumeSize"] == 30
    [found] = lab.ec2.describe_placement_groups(GroupNames=["near"])["PlacementGroups"]
    assert found["Strategy"] == "cluster"


NOT_THERE: list[tuple[str, Params, str]] = [
    ("describe_hosts", {"HostIds": ["h-0123456789abcdef0"]}, "InvalidHostID.NotFound"),
    (
        "describe_capacity_reservations",
        {"CapacityReservationIds": ["cr-0123456789abcdef0"]},
        "InvalidCapacityReservationId.NotFound",
    ),
    ("describe_snapshots", {"SnapshotIds": ["snap-0123456789abcdef0"]}, "InvalidSnapshot.NotFound"),
    ("describe_placement_groups", {"GroupNames": ["none"]}, "InvalidPlacementGroup.Unknown"),
]


@pytest.mark.parametrize(("method", "params", "code"), NOT_THERE, ids=[method for method, _, _ in NOT_THERE])
def test_what_is_not_there_fails_the_call(lab: Lab, method: str, params: Params, code: str) -> None:
    with refused(code):
        getattr(lab.ec2, method)(**params)


@pytest.mark.parametrize("how", ["id", "alias", "arn", "arn of the alias"])
def test_a_key_is_described_by_each_of_its_names(lab: Lab, how: str) -> None:
    key = lab.world.add_kms_key("alias/disks")
    arn = "arn:aws:kms:us-east-1:123456789012:"
    names = {"id": key, "alias": "alias/disks", "arn": f"{arn}key/{key}", "arn of the alias": f"{arn}alias/disks"}
    found = lab.server.client("kms").describe_key(KeyId=names[how])["KeyMetadata"]
    assert (found["KeyId"], found["KeyState"]) == (key, "Enabled")


def test_a_key_that_is_not_there(lab: Lab) -> None:
    with refused("NotFoundException"):
        lab.server.client("kms").describe_key(KeyId="alias/none")


def test_volumes_are_laid_over_those_of_the_image(lab: Lab) -> None:
    """EC2 docs: what a mapping leaves out is as in the image."""
    snapshot = lab.world.add_snapshot(30)
    mappings = [*root(VolumeSize=20)["BlockDeviceMappings"], *disk(SnapshotId=snapshot)["BlockDeviceMappings"]]
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]
    lab.instance(BlockDeviceMappings=mappings, TagSpecifications=tags)
    found = {each["Attachments"][0]["Device"]: each for each in lab.ec2.describe_volumes()["Volumes"]}
    shown = {device: (each["Size"], each["VolumeType"], each["Tags"][0]["Key"]) for device, each in found.items()}
    assert shown == {"/dev/xvda": (20, "gp3", "a"), "/dev/sdf": (30, "gp2", "a")}


def test_a_group_is_changed_while_the_instance_is_stopped(lab: Lab) -> None:
    """EC2 docs: an empty name takes the instance out of its group."""
    instance = lab.instance(Placement={"GroupName": "racks", "PartitionNumber": 3})
    assert lab.show_instance(instance)["Placement"]["PartitionNumber"] == 3
    with refused("IncorrectInstanceState"):
        lab.ec2.modify_instance_placement(InstanceId=instance, GroupName="far")
    lab.ec2.stop_instances(InstanceIds=[instance])
    with refused("InvalidParameterCombination"):
        lab.ec2.modify_instance_placement(InstanceId=instance, GroupName="near")
    for group in ("far", ""):
        lab.ec2.modify_instance_placement(InstanceId=instance, GroupName=group)
        assert lab.show_instance(instance)["Placement"]["GroupName"] == group


def test_monitoring_and_recovery(lab: Lab) -> None:
    instance = lab.instance(Monitoring={"Enabled": True})
    assert lab.show_instance(instance)["Monitoring"]["State"] == "enabled"
    lab.ec2.unmonitor_instances(InstanceIds=[instance])
    assert lab.show_instance(instance)["Monitoring"]["State"] == "disabled"
    lab.ec2.modify_instance_maintenance_options(InstanceId=instance, AutoRecovery="disabled")
    assert lab.show_instance(instance)["MaintenanceOptions"]["AutoRecovery"] == "disabled"


def test_credits_that_are_refused_are_told_in_the_answer(lab: Lab) -> None:
    """EC2 docs: UnsuccessfulInstanceCreditSpecifications; the call itself succeeds."""
    asked = [{"InstanceId": lab.instance(kind="m5.large"), "CpuCredits": "unlimited"}]
    answer = lab.ec2.modify_instance_credit_specification(InstanceCreditSpecifications=asked)
    [refused] = answer["UnsuccessfulInstanceCreditSpecifications"]
    assert refused["Error"]["Code"] == "InstanceCreditSpecification.NotSupported"


def test_a_spot_instance_has_a_request(lab: Lab) -> None:
    """EC2 docs: a one-time one cannot be stopped; no type is changed; no protection is set."""
    instance = lab.instance(**spot())
    shown = lab.show_instance(instance)
    assert shown["InstanceLifecycle"] == "spot"
    with refused("UnsupportedOperation"):
        lab.ec2.stop_instances(InstanceIds=[instance])
    with refused("UnsupportedOperation"):
        lab.ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": True})
    ids = [shown["SpotInstanceRequestId"]]
    lab.ec2.terminate_instances(InstanceIds=[instance])
    [request] = lab.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=ids)["SpotInstanceRequests"]
    assert request["State"] == "closed"


def test_a_persistent_request_is_open_again(lab: Lab) -> None:
    """EC2 docs: unless it is cancelled, EC2 launches another instance for it."""
    persistent = spot(SpotInstanceType="persistent", InstanceInterruptionBehavior="stop")
    first, second = lab.instance(**persistent), lab.instance(**persistent)
    lab.ec2.stop_instances(InstanceIds=[first])
    with refused("UnsupportedOperation"):
        lab.ec2.modify_instance_attribute(InstanceId=first, InstanceType={"Value": "t3.small"})
    request = lab.show_instance(second)["SpotInstanceRequestId"]
    lab.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    lab.ec2.terminate_instances(InstanceIds=[first, second])
    requests = lab.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert {each["InstanceId"]: each["State"] for each in requests} == {first: "open", second: "cancelled"}
