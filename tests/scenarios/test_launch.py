"""What a launch says besides interfaces: told after a change, refused before a call, allowed by the policy."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors, UnsupportedError
from enireconcile.kinds.launch import SETTINGS
from enireconcile.model import Plan
from enireconcile.ownership import LAUNCH_TAG
from tests.ec2 import Fail
from tests.harness import Harness
from tests.scenarios.test_preflight import applied, refused, spec, states

Words = dict[str, Any]
WHOLE: Words = {
    "monitoring": True,
    "auto_recovery": False,
    "shutdown_behavior": "terminate",
    "cpu_credits": "standard",
    "root_volume": {"size_gib": 20, "type": "gp3", "iops": 4000, "throughput": 250, "encrypted": True},
    "volumes": [
        {"device_name": "/dev/sdf", "size_gib": 100, "type": "io2", "iops": 1000, "kms_key_id": "alias/ebs",
         "encrypted": True, "delete_on_termination": False},
    ],
    "volume_tags": {"Backup": "daily"},
    "placement": {"group": "rack", "partition": 2},
    "cpu_options": {"core_count": 1, "threads_per_core": 1},
    "hibernation": {"configured": True},
    "capacity_reservation": {"capacity_reservation_preference": "none"},
}  # fmt: skip


def web(**row: Any) -> Words:
    return spec(on_change=row.pop("on_change", "refuse"), **row)


def disk(**more: Any) -> Words:
    return {"device_name": "/dev/sdf", **({} if "snapshot_id" in more else {"size_gib": 1}), **more}


def reserved(reservation: str) -> Words:
    target = {"capacity_reservation_id": reservation}
    return {"capacity_reservation": {"capacity_reservation_target": target}}


def plan(harness: Harness, document: Words) -> Plan:
    return harness.plan(json.dumps(document))


def found(harness: Harness) -> Words:
    """The one instance that is not terminating."""
    states = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    [reservation] = harness.client().describe_instances(Filters=states)["Reservations"]
    return dict(reservation["Instances"][0])


def tags_of(harness: Harness) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found(harness)["Tags"]}


def prepared(harness: Harness) -> None:
    harness.strict.world.add_placement_group("rack", "partition")
    harness.strict.world.add_kms_key("alias/ebs")
    harness.strict.world.add_instance_profile("db")


# ---- the whole


def test_everything_at_once_under_its_policy(slow_harness: Harness) -> None:
    """Launched, found at rest, drifted, corrected, destroyed, each with the permissions of iam-policy alone."""
    prepared(slow_harness)
    document = web(**WHOLE)
    slow_harness.obey(json.dumps(document))
    applied(slow_harness, document)
    instance = found(slow_harness)["InstanceId"]
    ec2 = slow_harness.client()
    ec2.unmonitor_instances(InstanceIds=[instance])
    ec2.modify_instance_maintenance_options(InstanceId=instance, AutoRecovery="default")
    credit = [{"InstanceId": instance, "CpuCredits": "unlimited"}]
    ec2.modify_instance_credit_specification(InstanceCreditSpecifications=credit)
    behavior = {"Value": "stop"}
    ec2.modify_instance_attribute(InstanceId=instance, InstanceInitiatedShutdownBehavior=behavior)
    slow_harness.loop.now += 60
    applied(slow_harness, document)
    assert plan(slow_harness, document).empty
    nothing = {key: document[key] for key in ("version", "stack", "region")}
    assert slow_harness.apply(json.dumps(nothing), prune=True).outcome == "converged"


def test_the_request_of_a_launch(harness: Harness) -> None:
    prepared(harness)
    [launch] = [step for step in plan(harness, web(**WHOLE)).steps if step.call == "RunInstances"]
    params = launch.params
    assert params["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True},
        },
        {
            "DeviceName": "/dev/sdf",
            "Ebs": {
                "VolumeSize": 100, "VolumeType": "io2", "Iops": 1000, "Encrypted": True, "KmsKeyId": "alias/ebs",
                "DeleteOnTermination": False,
            },
        },
    ]  # fmt: skip
    assert params["Placement"] == {"GroupName": "rack", "PartitionNumber": 2}
    assert params["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 1}
    assert params["HibernationOptions"] == {"Configured": True}
    assert params["MaintenanceOptions"] == {"AutoRecovery": "disabled"}
    assert params["CreditSpecification"] == {"CpuCredits": "standard"}
    assert [each["ResourceType"] for each in params["TagSpecifications"]] == ["instance", "volume"]


def test_a_spec_without_these_keys_calls_nothing_more(harness: Harness) -> None:
    applied(harness, web())
    assert plan(harness, web()).empty
    read = {call.action for call in harness.strict.calls}
    more = {"DescribeInstanceAttribute", "DescribeInstanceCreditSpecifications", "DescribePlacementGroups"}
    assert not read & {*more, "DescribeImages", "DescribeVolumes"}
    assert LAUNCH_TAG not in tags_of(harness)


# ---- what EC2 sets at launch only

UNKNOWN = "no tag tells that the instance was launched with"
CHANGED = [
    # the row at launch, the row afterwards, the keys that the plan tells
    (
        {"root_volume": {"size_gib": 20}},
        {"root_volume": {"size_gib": 30}},
        "root_volume has changed since the instance was launched",
    ),
    ({}, {"volumes": [{"device_name": "/dev/sdf", "size_gib": 1}]}, f"{UNKNOWN} volumes"),
    ({"volume_tags": {"a": "b"}}, {"volume_tags": {}}, "volume_tags has changed since the instance was launched"),
    ({}, {"placement": {"tenancy": "dedicated"}}, f"{UNKNOWN} placement"),
    ({}, {"placement": {"tenancy": "host", "host_id": "h-0123456789abcdef0"}}, f"{UNKNOWN} placement"),
    ({}, {"hibernation": True, "spot": {}}, f"{UNKNOWN} hibernation and spot"),
    (
        {"cpu_options": {"core_count": 1, "threads_per_core": 1}},
        {"cpu_options": {"core_count": 1, "threads_per_core": 2}},
        "cpu_options has changed since the instance was launched",
    ),
    ({}, {"enclave": True}, f"{UNKNOWN} enclave"),
    ({}, {"capacity_reservation": {"capacity_reservation_preference": "none"}}, f"{UNKNOWN} capacity_reservation"),
]


@pytest.mark.parametrize(
    ("before", "after", "told"), CHANGED, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_change_is_told_and_nothing_is_done(harness: Harness, before: Words, after: Words, told: str) -> None:
    applied(harness, web(**before))
    changed = plan(harness, web(**after))
    assert changed.empty
    [warning] = changed.warnings
    assert warning.startswith(f"instances.web: {told}; EC2 sets ")
    assert warning.endswith("on_change: replace launches a new one")


def test_another_partition_is_told(harness: Harness) -> None:
    harness.strict.world.add_placement_group("racks", "partition")
    applied(harness, web(placement={"group": "racks", "partition": 1}))
    changed = plan(harness, web(placement={"group": "racks", "partition": 2}))
    assert changed.empty
    [warning] = changed.warnings
    assert warning.startswith("instances.web: placement has changed since the instance was launched")


@pytest.mark.parametrize(
    "same",
    [
        {"enclave": False},
        {"hibernation": {"configured": False}},
        {"volumes": []},
        {"placement": {"tenancy": "default"}},
    ],
    ids=str,
)
def test_what_every_launch_has_is_no_change(harness: Harness, same: Words) -> None:
    applied(harness, web())
    written = plan(harness, web(**same))
    assert (written.empty, written.warnings) == (True, ())


def test_a_key_that_is_removed_is_not_compared(harness: Harness) -> None:
    applied(harness, web(root_volume={"size_gib": 20}, volume_tags={"a": "b"}))
    left = plan(harness, web(volume_tags={"a": "b"}))
    assert (left.empty, left.warnings) == (True, ())


def test_an_ignored_key_is_told_and_never_replaces(harness: Harness) -> None:
    """Nor does it hide a change of another key."""
    ignored = {"lifecycle": {"ignore": ["root_volume"]}, "on_change": "replace"}
    applied(harness, web(root_volume={"size_gib": 20}, enclave=False, on_change="replace"))
    left = plan(harness, web(root_volume={"size_gib": 30}, enclave=False, **ignored))
    assert left.empty
    [warning] = left.warnings
    assert warning.startswith('instances.web: root_volume differs (live "sha256:')
    assert warning.endswith("is ignored; to apply the spec's value, remove root_volume from lifecycle.ignore")
    [warning] = plan(harness, web(root_volume={"size_gib": 30}, lifecycle=ignored["lifecycle"])).warnings
    assert "root_volume has changed" in warning
    assert warning.endswith("remove it from lifecycle.ignore, and on_change: replace launches a new one")


def test_an_adopted_instance_is_not_compared(harness: Harness) -> None:
    """It was not launched from the row."""
    ec2 = harness.client()
    params = {"ImageId": found_image(harness), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    instance = ec2.run_instances(**params)["Instances"][0]["InstanceId"]
    harness.loop.now += 60
    row = {"adopt": instance, "root_volume": {"size_gib": 30}, "monitoring": True}
    document = {"version": 1, "stack": "lab", "region": "us-east-1", "instances": {"web": row}}
    adopted = harness.plan(json.dumps(document))
    assert adopted.warnings == ()
    assert [step.call for step in adopted.steps] == ["CreateTags", "MonitorInstances"]
    applied(harness, document)
    assert LAUNCH_TAG not in tags_of(harness)


def found_image(harness: Harness) -> str:
    return next(iter(harness.strict.world.data.images))


def test_volumes_are_tagged_only_with_volume_tags(harness: Harness) -> None:
    document = {**web(tags={"Role": "web"}), "tags": {"Team": "net"}}
    applied(harness, document)
    assert [volume.tags for volume in harness.strict.world.data.volumes.values()] == [{}]


def volume_tags_of(harness: Harness) -> list[dict[str, str]]:
    return [dict(volume.tags) for volume in harness.strict.world.data.volumes.values()]


def test_volumes_get_the_tags_that_refer_to_other_resources(harness: Harness) -> None:
    """The launch waits for their values: those of the file, of the row, and of one that exists."""
    document = {
        **web(tags={"Address": "${elastic_ips.e.public_ip}", "Card": "to ${network_interfaces.eth0.id}"},
              volume_tags={"q": "r"}),
        "tags": {"Group": "${security_groups.web.id}"},
        "security_groups": {"web": {}},
        "elastic_ips": {"e": {}},
    }  # fmt: skip
    applied(harness, document)
    ec2 = harness.client()
    [address] = ec2.describe_addresses()["Addresses"]
    [group] = [each for each in ec2.describe_security_groups()["SecurityGroups"] if each["GroupName"] == "web"]
    tags = {"Address": address["PublicIp"], "Card": f"to {only_interface(harness)}", "Group": group["GroupId"]}
    assert volume_tags_of(harness) == [{**tags, "q": "r"}]
    assert tags.items() <= tags_of(harness).items()
    assert plan(harness, document).empty


def only_interface(harness: Harness) -> str:
    return str(found(harness)["NetworkInterfaces"][0]["NetworkInterfaceId"])


def test_volumes_cannot_get_the_tags_that_refer_to_an_instance(harness: Harness) -> None:
    """Its id is known only after the launch, of which the plan warns; volume_tags can write the tag anew."""
    document = web(
        tags={"Self": "${instances.web.id}", "Other": "${instances.web.id}"}, volume_tags={"Other": "x"}
    )
    [warning] = [each for each in plan(harness, document).warnings if "volumes" in each]
    assert "known only after the launch: Self; " in warning
    applied(harness, document)
    assert volume_tags_of(harness) == [{"Other": "x"}]
    assert tags_of(harness)["Self"] == found(harness)["InstanceId"]
    assert not [
        each for each in plan(harness, web(tags={"Self": "${instances.web.id}"})).warnings if "Self" in each
    ]


# ---- protection and power


def test_a_protected_instance_is_not_stopped(harness: Harness) -> None:
    applied(harness, web(stop_protection=True, on_change="restart"))
    with pytest.raises(SpecErrors, match="is protected against stopping") as raised:
        plan(harness, web(stop_protection=True, on_change="restart", instance_type="t3.small"))
    assert "set stop_protection: false and apply that first" in str(raised.value)


def test_protection_ends_before_the_stop_and_begins_after_it(harness: Harness) -> None:
    """One plan switches it off and stops the instance; another one stops and protects it."""
    restart = {"on_change": "restart"}
    applied(harness, web(stop_protection=True, **restart))
    applied(harness, web(stop_protection=False, instance_type="t3.small", **restart))
    applied(harness, web(stop_protection=True, instance_type="t3.micro", **restart))
    assert found(harness)["InstanceType"] == "t3.micro"
    assert states(harness) == ["running"]


def test_a_protected_instance_is_not_terminated(harness: Harness) -> None:
    applied(harness, web(stop_protection=True))
    harness.strict.clear()
    nothing = {"version": 1, "stack": "lab", "region": "us-east-1"}
    with pytest.raises(UnsupportedError, match="is protected against stopping, and so against termination"):
        harness.apply(json.dumps(nothing), prune=True)
    assert harness.strict.mutating() == []
    assert states(harness) == ["running"]


def test_a_type_and_a_group_change_in_one_restart(harness: Harness) -> None:
    prepared(harness)
    applied(harness, web())
    after = web(instance_type="t3.small", placement={"group": "rack"}, on_change="restart")
    calls = [step.call for step in plan(harness, after).steps]
    assert calls == ["StopInstances", "ModifyInstanceAttribute", "ModifyInstancePlacement", "StartInstances"]
    applied(harness, after)


def test_a_group_is_refused_a_restart_that_the_spec_does_not_allow(harness: Harness) -> None:
    prepared(harness)
    applied(harness, web())
    [problem] = refused(harness, web(placement={"group": "rack"}))
    assert "on_change: restart (same instance" in problem


def test_credits_that_ec2_does_not_change(harness: Harness) -> None:
    """The answer is no error, so the run looks whether the change has come."""
    applied(harness, web(cpu_credits="standard"))
    after = web(cpu_credits="unlimited")
    [step] = plan(harness, after).steps
    assert step.until is not None
    assert step.until.describe == "DescribeInstanceCreditSpecifications"
    assert step.until.has == (("CpuCredits", ("unlimited",)),)


def test_credits_of_a_new_type(harness: Harness) -> None:
    """The old type has none, and EC2 changes them on no instance that is starting."""
    applied(harness, web(instance_type="m5.large", on_change="restart"))
    after = web(instance_type="t3.medium", cpu_credits="standard", on_change="restart")
    report = harness.apply(json.dumps(after))
    calls = [outcome.step.call for outcome in report.outcomes]
    modified = ["ModifyInstanceAttribute", "ModifyInstanceCreditSpecification"]
    assert calls == ["StopInstances", *modified, "StartInstances"]
    assert {outcome.status for outcome in report.outcomes} == {"done"}
    assert plan(harness, after).empty


# ---- Spot


def test_a_persistent_request_does_not_outlive_its_instance(slow_harness: Harness) -> None:
    persistent = {"spot_instance_type": "persistent", "instance_interruption_behavior": "stop"}
    document = web(spot={**persistent, "max_price": "0.05"})
    slow_harness.obey(json.dumps(document), prune=True)
    applied(slow_harness, document)
    [request] = slow_harness.strict.world.data.spot_requests.values()
    assert (request.state, request.max_price) == ("active", "0.05")
    assert request.tags["enireconcile:stack"] == "lab"
    nothing = {"version": 1, "stack": "lab", "region": "us-east-1"}
    assert slow_harness.apply(json.dumps(nothing), prune=True).outcome == "converged"
    [request] = slow_harness.strict.world.data.spot_requests.values()
    assert request.state == "cancelled"


def test_the_type_of_a_spot_instance_stays(harness: Harness) -> None:
    persistent = {"spot_instance_type": "persistent", "instance_interruption_behavior": "stop"}
    applied(harness, web(spot=persistent))
    [problem] = refused(harness, web(spot=persistent, on_change="restart", instance_type="t3.small"))
    assert "instance_type is t3.micro, the spec says t3.small" in problem
    assert "write on_change: replace (new one), or keep" in problem


# ---- refused before anything changes

REFUSED: list[tuple[Words, str]] = [
    ({"hibernation": True, "instance_type": "t2.micro"}, "hibernation: t2.micro does not support hibernation"),
    ({"ebs_optimized": True, "instance_type": "t2.micro"}, "ebs_optimized: t2.micro cannot be EBS-optimized"),
    ({"enclave": True}, "enclave: t3.micro does not support Nitro Enclaves"),
    (
        {"cpu_options": {"core_count": 2, "threads_per_core": 1}},
        "cpu_options.core_count: t3.micro takes 1, not 2",
    ),
    ({"root_volume": {"size_gib": 4}}, "root_volume.size_gib: 4 GiB is less than the root volume of ami-"),
    (
        {"volumes": [{"device_name": "/dev/xvda", "size_gib": 10}]},
        "volumes.0.device_name: /dev/xvda is the root device of ami-",
    ),
    ({"placement": {"group": "none"}}, "placement.group: there is no placement group none in us-east-1"),
    ({"placement": {"group": "near"}}, "placement.group: t3.micro is not supported in placement groups with"),
    ({"placement": {"group": "far", "partition": 1}}, "placement.partition: far has the strategy spread"),
]


@pytest.mark.parametrize(("row", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_ec2_would_refuse(harness: Harness, row: Words, message: str) -> None:
    harness.strict.world.add_placement_group("near", "cluster")
    harness.strict.world.add_placement_group("far", "spread")
    [problem] = refused(harness, web(**row))
    assert problem.startswith(f"instances.web.{message}")


REFUSED_CHANGES: list[tuple[str, object, object, str]] = [
    ("monitoring", True, False, "UnmonitorInstances"),
    ("auto_recovery", True, False, "ModifyInstanceMaintenanceOptions"),
    ("shutdown_behavior", "stop", "terminate", "ModifyInstanceAttribute"),
    ("stop_protection", False, True, "ModifyInstanceAttribute"),
    ("termination_protection", False, True, "ModifyInstanceAttribute"),
    ("cpu_credits", "standard", "unlimited", "ModifyInstanceCreditSpecification"),
    ("iam_instance_profile", "db", "web", "ReplaceIamInstanceProfileAssociation"),
    ("ebs_optimized", False, True, "ModifyInstanceAttribute"),
    ("placement", {"group": ""}, {"group": "rack"}, "ModifyInstancePlacement"),
]


@pytest.mark.parametrize(
    ("key", "before", "after", "call"), REFUSED_CHANGES, ids=[row[0] for row in REFUSED_CHANGES]
)
def test_a_change_that_ec2_refuses(harness: Harness, key: str, before: object, after: object, call: str) -> None:
    """The report names it, the instance runs, and the rest of the plan is done."""
    prepared(harness)
    applied(harness, web(**{key: before}, on_change="restart"))
    harness.strict.faults.add(Fail(call, times=10**6, code="UnauthorizedOperation", message="no"))
    changed = web(**{key: after}, on_change="restart")
    changed["elastic_ips"] = {"spare": {}}
    report = harness.apply(json.dumps(changed))
    assert (report.outcome, report.remaining) == ("partial", ("instances.web",))
    [failed] = [outcome for outcome in report.outcomes if outcome.status == "failed"]
    assert (failed.step.call, failed.step.address) == (call, "instances.web")
    assert "UnauthorizedOperation" in (failed.error or "")
    assert "AllocateAddress" in [outcome.step.call for outcome in report.outcomes if outcome.status == "done"]
    assert states(harness) == ["running"]


def test_every_setting_has_a_refusal() -> None:
    """At the launch, or of a change. Tags of volumes are refused as all tags are: with the file.

    Those of ``guest_network`` are in test_guest_network.py.
    """
    refused = {key for row, _ in (*REFUSED, *MISSING.values()) for key in row}
    refused |= {key for key, *_ in REFUSED_CHANGES}
    elsewhere = {"spot", "volume_tags", "instance_type", "guest_network"}
    assert {each.name for each in SETTINGS} - elsewhere <= refused


def test_tags_of_volumes_that_ec2_reserves_are_refused(harness: Harness) -> None:
    with pytest.raises(SpecErrors, match=r"instances\.web\.volume_tags") as raised:
        harness.spec(json.dumps(web(volume_tags={"aws:x": "y"})))
    assert raised.value.problems[0].line


# ---- what a launch names

MISSING: dict[str, tuple[Words, str]] = {
    "key pair": ({"key_name": "none"}, "key_name: there is no key pair none in us-east-1; see `aws ec2 describe-"),
    "snapshot": (
        {"volumes": [{"device_name": "/dev/sdf", "snapshot_id": "snap-0123456789abcdef0"}]},
        "volumes.0.snapshot_id: there is no snapshot snap-0123456789abcdef0 in us-east-1; see `aws ec2 describe-",
    ),
    "host": (
        {"placement": {"host_id": "h-0123456789abcdef0"}},
        "placement.host_id: there is no Dedicated Host h-0123456789abcdef0 in us-east-1; see `aws ec2 describe-",
    ),
    "reservation": (
        reserved("cr-0123456789abcdef0"),
        "capacity_reservation.capacity_reservation_target.capacity_reservation_id: there is no Capacity "
        "Reservation cr-0123456789abcdef0 in us-east-1; see `aws ec2 describe-",
    ),
    "key of the root volume": (
        {"root_volume": {"encrypted": True, "kms_key_id": "alias/none"}},
        "root_volume.kms_key_id: there is no KMS key alias/none in us-east-1; see `aws kms list-keys`",
    ),
    "key of a volume": (
        {"volumes": [disk(kms_key_id="1234abcd-12ab-34cd-56ef-1234567890ab", encrypted=True)]},
        "volumes.0.kms_key_id: there is no KMS key 1234abcd-12ab-34cd-56ef-1234567890ab in us-east-1",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_does_not_exist_is_found_when_planning(harness: Harness, what: str) -> None:
    """The row that names it is left out with its interface; the rest is planned."""
    row, message = MISSING[what]
    document = web(**row)
    [problem] = refused(harness, document)
    assert problem.startswith(f"instances.web.{message}")
    document["elastic_ips"] = {"spare": {}}
    partial = harness.plan(json.dumps(document), partly=True)
    [error] = partial.errors
    assert error.left_out == ("instances.web", "network_interfaces.eth0")
    assert {step.address for step in partial.steps} == {"elastic_ips.spare", "security_groups.web"}


def test_what_does_not_fit_is_found_when_planning(harness: Harness) -> None:
    world = harness.strict.world
    name = "volumes.0."
    snapshot, off = world.add_snapshot(30), world.add_kms_key(state="PendingDeletion")
    larger, elsewhere = world.add_host("t3.large"), world.add_host("t3.micro", "us-east-1b")
    released = world.add_host("t3.micro", state="released")
    ended = world.add_capacity_reservation("t3.micro", state="expired")
    large = world.add_capacity_reservation("t3.large")
    at = "capacity_reservation.capacity_reservation_target.capacity_reservation_id"
    cases: list[tuple[Words, str]] = [
        (
            {"volumes": [disk(snapshot_id=snapshot, size_gib=20)]},
            f"{name}size_gib: 20 GiB is less than the 30 GiB of {snapshot}; write 30 or more, or leave it out",
        ),
        (
            {"volumes": [disk(encrypted=True, kms_key_id=off)]},
            f"{name}kms_key_id: the KMS key {off} is PendingDeletion, and has to be Enabled; see",
        ),
        (
            {"placement": {"host_id": larger}},
            f"placement.host_id: the Dedicated Host {larger} is for t3.large, and the instance is a t3",
        ),
        (
            {"placement": {"host_id": elsewhere}},
            f"placement.host_id: the Dedicated Host {elsewhere} is in us-east-1b, and the subnet of the instance "
            "in us-east-1a; name another one",
        ),
        (
            {"placement": {"host_id": released}},
            f"placement.host_id: the Dedicated Host {released} is released, and",
        ),
        (reserved(ended), f"{at}: the Capacity Reservation {ended} is expired, and has to be active; see"),
        (reserved(large), f"{at}: the Capacity Reservation {large} is for t3.large, and the instance is a"),
    ]
    for row, message in cases:
        [problem] = refused(harness, web(**row))
        assert problem.startswith(f"instances.web.{message}")


def test_what_a_launch_names_is_there(harness: Harness) -> None:
    """All of it at once, under its policy; at rest nothing of it is read."""
    world = harness.strict.world
    world.add_kms_key("alias/disks")
    key, snapshot = world.add_kms_key(), world.add_snapshot(30)
    document = web(
        root_volume={"encrypted": True, "kms_key_id": "alias/disks"},
        volumes=[disk(snapshot_id=snapshot), {**disk(encrypted=True, kms_key_id=key), "device_name": "/dev/sdg"}],
        placement={"tenancy": "host", "host_id": world.add_host("t3.micro")},
        **reserved(world.add_capacity_reservation("t3.micro")),
    )
    harness.obey(json.dumps(document))
    applied(harness, document)
    assert [volume.size for volume in sorted(world.data.volumes.values(), key=lambda each: each.device)] == [
        30,
        1,
        8,
    ]
    assert plan(harness, document).empty
    reads = {"DescribeSnapshots", "DescribeHosts", "DescribeCapacityReservations", "DescribeKey"}
    assert not reads & set(harness.strict.actions())


# ---- images and user data


def test_an_image_of_an_architecture(harness: Harness) -> None:
    image = {"name": "al2023-ami-2023.*-kernel-6.1-*", "owner": "amazon", "architecture": "arm64"}
    applied(harness, web(image=image, instance_type="t4g.micro"))
    assert found(harness)["Architecture"] == "arm64"


def test_an_image_of_an_architecture_that_the_type_does_not_support(harness: Harness) -> None:
    image = {"name": "al2023-ami-2023.*-kernel-6.1-*", "owner": "amazon", "architecture": "arm64"}
    [problem] = refused(harness, web(image=image))
    assert "is for arm64, and t3.micro supports x86_64" in problem


def test_user_data_of_any_bytes(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 gets the bytes as they are; a plan has their hash only."""
    monkeypatch.chdir(tmp_path)
    content = gzip.compress(b"#!/bin/sh\necho ${var.none}\n", mtime=0)
    Path("boot.gz").write_bytes(content)
    document = web(user_data_file="boot.gz")
    fields = [field for change in plan(harness, document).changes for field in change.fields]
    [field] = [field for field in fields if field.field == "user_data"]
    assert str(field.after) == f"Secret(sha256:{hashlib.sha256(content).hexdigest()})"
    applied(harness, document)
    [instance] = harness.strict.world.data.instances.values()
    assert base64.b64decode(instance.user_data or "") == content
    assert plan(harness, document).empty
    Path("boot.gz").write_bytes(content + b"\xff")
    [warning] = plan(harness, document).warnings
    assert "user_data has changed" in warning
