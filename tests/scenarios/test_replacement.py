"""What EC2 cannot change in place: interfaces and instances, replaced or restarted where that is wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enireconcile.errors import SpecErrors, UnsupportedError
from enireconcile.model import Action, Impact, Plan
from tests.ec2 import Fail
from tests.harness import Harness

IMAGE = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}
ZONE_A = {"default_for_az": "us-east-1a"}
Spec = dict[str, Any]


def spec(**changes: Any) -> Spec:
    """A server with two interfaces; the second has a further address, and each has an Elastic IP."""
    document: Spec = {
        "version": 1,
        "stack": "lab",
        "region": "us-east-1",
        "security_groups": {"web": {}},
        "instances": {"web": {"image": IMAGE, "instance_type": "t3.small"}},
        "network_interfaces": {
            "eth0": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}},
            "eth1": {
                "subnet": ZONE_A,
                "security_groups": ["web"],
                "private_ip": "172.31.0.20",
                "secondary_private_ips": ["172.31.0.21"],
                "attachment": {"instance": "web", "device_index": 1},
            },
        },
        "elastic_ips": {
            "one": {"association": {"network_interface": "eth1"}},
            "two": {"association": {"network_interface": "eth1", "private_ip": "172.31.0.21"}},
        },
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        row = document
        for parent in parents:
            row = row[parent]
        row[key] = value
    return document


def eth1(**changes: Any) -> Spec:
    return spec(**{f"network_interfaces__eth1__{key}": value for key, value in changes.items()})


def web(**changes: Any) -> Spec:
    return spec(**{f"instances__web__{key}": value for key, value in changes.items()})


class Lab:
    """The server, applied once."""

    def __init__(self, harness: Harness, document: Spec | None = None) -> None:
        self.harness = harness
        self.ec2 = harness.client()
        self.apply(document or spec())
        harness.loop.now += 60
        harness.strict.clear()

    def apply(self, document: Spec) -> None:
        report = self.harness.apply(json.dumps(document))
        assert (report.outcome in ("converged", "unchanged"), report.error) == (True, None), str(report)

    def plan(self, document: Spec) -> Plan:
        return self.harness.plan(json.dumps(document))

    def calls(self) -> list[str]:
        """The mutating calls that have acted since the last look."""
        calls = [call.action for call in self.harness.strict.mutating() if call.acted]
        self.harness.strict.clear()
        return calls

    def interface(self, name: str) -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
        [found] = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return found

    def instance(self) -> Any:
        filters = [
            {"Name": "tag:enireconcile:name", "Values": ["instances.web"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        [reservation] = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return reservation["Instances"][0]

    def public_ips(self) -> dict[str, str]:
        """Private address to public address, on eth1."""
        return {
            row["PrivateIpAddress"]: row["Association"]["PublicIp"]
            for row in self.interface("eth1")["PrivateIpAddresses"]
            if "Association" in row
        }

    def rests(self, document: Spec) -> None:
        """Nothing is left to do, and a further apply does nothing."""
        plan = self.plan(document)
        assert plan.empty, [step.call for step in plan.steps]
        self.harness.strict.clear()
        assert self.harness.apply(json.dumps(document)).outcome == "unchanged"
        assert self.calls() == []


@pytest.fixture
def lab(slow_harness: Harness) -> Lab:
    return Lab(slow_harness)


# ---- interfaces


def test_a_new_primary_address_makes_a_new_interface(lab: Lab) -> None:
    """The new one is made first; further addresses and Elastic IPs move over; the old one goes last."""
    before, public = lab.interface("eth1"), lab.public_ips()
    wanted = eth1(private_ip="172.31.0.30")
    plan = lab.plan(wanted)
    [change] = [each for each in plan.changes if each.action is Action.REPLACE]
    assert (change.address, change.impact) == ("network_interfaces.eth1", Impact.DESTRUCTIVE)
    assert change.id == before["NetworkInterfaceId"]
    assert [(field.field, field.before, field.after) for field in change.fields] == [
        ("private_ip", "172.31.0.20", "172.31.0.30")
    ]
    lab.apply(wanted)
    calls = lab.calls()
    assert sorted(calls) == [
        "AssignPrivateIpAddresses",
        "AssociateAddress",
        "AttachNetworkInterface",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DetachNetworkInterface",
    ]
    assert (calls[0], calls[-1]) == ("CreateNetworkInterface", "DeleteNetworkInterface")
    after = lab.interface("eth1")
    assert after["NetworkInterfaceId"] != before["NetworkInterfaceId"]
    assert after["Attachment"]["DeviceIndex"] == 1
    assert lab.public_ips() == {"172.31.0.30": public["172.31.0.20"], "172.31.0.21": public["172.31.0.21"]}
    lab.rests(wanted)


def test_another_subnet_makes_a_new_interface(slow_harness: Harness) -> None:
    """Its Elastic IP follows to the new place."""
    free = {"subnet": ZONE_A, "security_groups": ["web"]}
    lab = Lab(slow_harness, spec(network_interfaces={"eth1": free}, instances={}, elastic_ips={
        "one": {"association": {"network_interface": "eth1"}}}))  # fmt: skip
    moved = {**free, "subnet": {"default_for_az": "us-east-1b"}}
    wanted = spec(network_interfaces={"eth1": moved}, instances={}, elastic_ips={
        "one": {"association": {"network_interface": "eth1"}}})  # fmt: skip
    public = list(lab.public_ips().values())
    lab.apply(wanted)
    assert lab.calls() == ["CreateNetworkInterface", "AssociateAddress", "DeleteNetworkInterface"]
    assert lab.interface("eth1")["AvailabilityZone"] == "us-east-1b"
    assert list(lab.public_ips().values()) == public
    lab.rests(wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"private_ip": "172.31.0.21", "secondary_private_ips": ["172.31.0.22"]},
        {"private_ip": "172.31.0.30", "secondary_private_ips": ["172.31.0.20", "172.31.0.21"]},
    ],
    ids=["a further address becomes the primary one", "the primary address becomes a further one"],
)
def test_the_old_one_is_deleted_first_if_addresses_require_it(lab: Lab, changes: Spec) -> None:
    """A primary address never leaves its interface, and an address is there once."""
    wanted = eth1(**changes)
    wanted["elastic_ips"]["two"]["association"]["private_ip"] = changes["secondary_private_ips"][0]
    public = set(lab.public_ips().values())
    lab.apply(wanted)
    calls = lab.calls()
    assert calls.index("DeleteNetworkInterface") < calls.index("CreateNetworkInterface")
    assert set(lab.public_ips().values()) == public
    assert len(lab.public_ips()) == 2
    lab.rests(wanted)


@pytest.mark.parametrize(
    "call",
    [
        "CreateNetworkInterface",
        "AssignPrivateIpAddresses",
        "DetachNetworkInterface",
        "AttachNetworkInterface",
        "AssociateAddress",
        "DeleteNetworkInterface",
    ],
)
@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
def test_an_interrupted_replacement_is_finished(lab: Lab, call: str, lost: bool) -> None:
    """The run ends at any call, with its answer heard or not: the next one ends the same, nothing twice."""
    wanted = eth1(private_ip="172.31.0.30")
    public = set(lab.public_ips().values())
    lab.harness.strict.faults.add(Fail(action=call, code="OperationNotPermitted", late=lost))
    assert lab.harness.apply(json.dumps(wanted)).outcome in ("partial", "failed")
    lab.apply(wanted)
    assert lab.interface("eth1")["PrivateIpAddress"] == "172.31.0.30"
    assert set(lab.public_ips().values()) == public
    assert len(lab.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 2
    lab.rests(wanted)


def test_a_half_done_replacement_is_reported_and_pruned(lab: Lab) -> None:
    """Both interfaces are there: the plan says that one takes the other's place; without the row both go."""
    wanted = eth1(private_ip="172.31.0.30")
    lab.harness.strict.faults.add(Fail(action="DetachNetworkInterface", code="OperationNotPermitted"))
    assert lab.harness.apply(json.dumps(wanted)).outcome == "partial"
    lab.harness.loop.now += 60
    [change] = [each for each in lab.plan(wanted).changes if each.action is Action.REPLACE]
    assert change.reason is not None
    assert change.reason.startswith("replaces eni-")
    without = spec(elastic_ips={})
    del without["network_interfaces"]["eth1"]
    assert len(lab.harness.plan(json.dumps(without)).leftovers) == 4
    report = lab.harness.apply(json.dumps(without), prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert len(lab.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_a_primary_interface_is_replaced_with_its_instance_only(lab: Lab) -> None:
    """EC2 never detaches it: refused, unless the instance may be replaced too."""
    wanted = spec(network_interfaces__eth0__private_ip="172.31.0.9")
    with pytest.raises(SpecErrors, match="on_change: replace for the instance"):
        lab.plan(wanted)
    old = lab.instance()["InstanceId"]
    wanted["instances"]["web"]["on_change"] = "replace"
    lab.apply(wanted)
    assert lab.instance()["InstanceId"] != old
    assert lab.interface("eth0")["PrivateIpAddress"] == "172.31.0.9"
    lab.rests(wanted)


def test_an_instance_is_not_ended_for_an_interface_that_cannot_be_made(lab: Lab) -> None:
    """What its successor boots with comes first: a refusal costs nothing."""
    wanted = spec(network_interfaces__eth0__private_ip="172.31.0.9")
    wanted["instances"]["web"]["on_change"] = "replace"
    old = lab.instance()["InstanceId"]
    lab.harness.strict.faults.add(Fail(action="CreateNetworkInterface", code="OperationNotPermitted"))
    assert lab.harness.apply(json.dumps(wanted)).outcome == "failed"
    assert (lab.instance()["InstanceId"], lab.calls()) == (old, [])
    lab.apply(wanted)
    lab.rests(wanted)


# ---- instances


def test_restart_changes_the_type_and_keeps_everything(lab: Lab) -> None:
    """Stop, modify, start: the same instance, its interfaces and addresses untouched."""
    old, public = lab.instance()["InstanceId"], lab.public_ips()
    wanted = web(instance_type="t3.medium", on_change="restart")
    plan = lab.plan(wanted)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("StopInstances", Impact.DISRUPTIVE),
        ("ModifyInstanceAttribute", Impact.DISRUPTIVE),
        ("StartInstances", Impact.SAFE),
    ]
    lab.apply(wanted)
    instance = lab.instance()
    assert (instance["InstanceId"], instance["InstanceType"]) == (old, "t3.medium")
    assert instance["State"]["Name"] == "running"
    assert lab.public_ips() == public
    lab.rests(wanted)


def test_restart_of_one_that_sleeps_or_shall_sleep(lab: Lab) -> None:
    """Nothing is started that should not run, nothing stopped that is stopped."""
    wanted = web(instance_type="t3.medium", on_change="restart", state="stopped")
    lab.apply(wanted)
    assert lab.calls() == ["StopInstances", "ModifyInstanceAttribute"]
    lab.rests(wanted)
    again = web(instance_type="t3.small", on_change="restart")
    lab.apply(again)
    assert lab.calls() == ["ModifyInstanceAttribute", "StartInstances"]
    lab.rests(again)


def test_restart_to_a_smaller_type_detaches_first(slow_harness: Harness) -> None:
    """t3.micro takes two interfaces: the third leaves before the type changes, and comes back after it."""
    third = {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 2}}
    large = web(instance_type="t3.small", on_change="restart")
    large["network_interfaces"]["eth2"] = third
    small = web(instance_type="t3.micro", on_change="restart")
    small["network_interfaces"]["eth2"] = {"subnet": ZONE_A}
    lab = Lab(slow_harness, large)
    lab.apply(small)
    calls = lab.calls()
    assert calls.index("DetachNetworkInterface") < calls.index("ModifyInstanceAttribute")
    lab.rests(small)
    lab.apply(large)
    calls = lab.calls()
    assert (
        calls.index("ModifyInstanceAttribute")
        < calls.index("AttachNetworkInterface")
        < calls.index("StartInstances")
    )
    lab.rests(large)


def test_restart_does_not_change_what_a_restart_cannot(lab: Lab) -> None:
    """A key pair is given at launch: still refused."""
    with pytest.raises(SpecErrors, match="key_name"):
        lab.plan(web(key_name="ops", on_change="restart"))


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_type": "t3.medium"},
        {"key_name": "ops"},
        {"user_data": "#!/bin/sh\necho new\n"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_replaced_instance_keeps_its_interfaces(lab: Lab, changes: Spec) -> None:
    """Flags off, terminate, wait, launch: the same interfaces, private and public addresses on a new instance."""
    interface = lab.interface("eth1")
    lab.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface["NetworkInterfaceId"],
        Attachment={"AttachmentId": interface["Attachment"]["AttachmentId"], "DeleteOnTermination": True},
    )
    lab.harness.strict.clear()
    old, public = lab.instance()["InstanceId"], lab.public_ips()
    wanted = web(**changes, on_change="replace")
    plan = lab.plan(wanted)
    assert [(change.address, change.impact) for change in plan.changes if change.action is Action.REPLACE] == [
        ("instances.web", Impact.DESTRUCTIVE)
    ]
    lab.apply(wanted)
    assert lab.calls() == ["ModifyNetworkInterfaceAttribute", "TerminateInstances", "RunInstances"]
    assert lab.instance()["InstanceId"] != old
    assert lab.interface("eth1")["NetworkInterfaceId"] == interface["NetworkInterfaceId"]
    assert lab.public_ips() == public
    lab.rests(wanted)


def test_a_newer_image_replaces_only_where_that_is_wanted(lab: Lab) -> None:
    """The image is read at launch: newer ones are no drift, unless on_change is replace."""
    lab.harness.strict.world.add_image(
        "al2023-ami-2023.11.20260501.0-kernel-6.1-x86_64", "2026-05-01T00:00:00.000Z", owner_id="137112412989"
    )
    lab.rests(spec())
    wanted = web(on_change="replace")
    lab.apply(wanted)
    assert lab.calls() == ["TerminateInstances", "RunInstances"]
    lab.rests(wanted)


@pytest.mark.parametrize("call", ["TerminateInstances", "RunInstances"])
@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
def test_an_interrupted_replacement_of_an_instance_is_finished(lab: Lab, call: str, lost: bool) -> None:
    """Whatever the run has come to, the next one ends with one instance on the old interfaces."""
    interface = lab.interface("eth1")["NetworkInterfaceId"]
    wanted = web(instance_type="t3.medium", on_change="replace")
    lab.harness.strict.faults.add(Fail(action=call, code="OperationNotPermitted", late=lost))
    assert lab.harness.apply(json.dumps(wanted)).outcome in ("partial", "failed")
    lab.apply(wanted)
    assert (lab.instance()["InstanceType"], lab.interface("eth1")["NetworkInterfaceId"]) == (
        "t3.medium",
        interface,
    )
    lab.rests(wanted)


# ---- attributes of instances


def test_imds_requires_tokens_by_default(lab: Lab) -> None:
    """IMDSv2 from birth; another tool opens it again: drift, corrected in place; written otherwise, kept
    otherwise.
    """
    options = lab.instance()["MetadataOptions"]
    assert (options["HttpTokens"], options["InstanceMetadataTags"]) == ("required", "disabled")
    lab.ec2.modify_instance_metadata_options(InstanceId=lab.instance()["InstanceId"], HttpTokens="optional")
    lab.harness.strict.clear()
    assert [(step.call, step.impact) for step in lab.plan(spec()).steps] == [
        ("ModifyInstanceMetadataOptions", Impact.DISRUPTIVE)
    ]
    lab.apply(spec())
    assert lab.calls() == ["ModifyInstanceMetadataOptions"]
    lab.rests(spec())
    wanted = web(metadata_options={"http_tokens": "optional", "http_put_response_hop_limit": 3})
    assert [(step.call, step.impact) for step in lab.plan(wanted).steps] == [
        ("ModifyInstanceMetadataOptions", Impact.SAFE)
    ]
    lab.apply(wanted)
    options = lab.instance()["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("optional", 3)
    lab.rests(wanted)


def test_the_hop_limit_is_kept_only_where_it_is_written(lab: Lab) -> None:
    lab.ec2.modify_instance_metadata_options(
        InstanceId=lab.instance()["InstanceId"], HttpPutResponseHopLimit=5, HttpEndpoint="enabled"
    )
    lab.rests(spec())


def test_termination_protection_is_kept_where_it_is_written(lab: Lab) -> None:
    """Set, drifted, corrected, taken away; unwritten it is neither asked for nor touched."""

    def protected() -> bool:
        answer = lab.ec2.describe_instance_attribute(
            InstanceId=lab.instance()["InstanceId"], Attribute="disableApiTermination"
        )
        return bool(answer["DisableApiTermination"]["Value"])

    wanted = web(termination_protection=True)
    lab.apply(wanted)
    assert (protected(), lab.calls()) == (True, ["ModifyInstanceAttribute"])
    lab.rests(wanted)
    lab.ec2.modify_instance_attribute(
        InstanceId=lab.instance()["InstanceId"], DisableApiTermination={"Value": False}
    )
    lab.apply(wanted)
    assert protected()
    lab.rests(spec())
    assert protected()
    lab.apply(web(termination_protection=False))
    assert not protected()


def test_a_protected_instance_is_born_so_and_is_not_ended(slow_harness: Harness) -> None:
    """Neither replaced nor destroyed: refused before anything is touched."""
    lab = Lab(slow_harness, web(termination_protection=True))
    with pytest.raises(SpecErrors, match="protected against termination"):
        lab.plan(web(termination_protection=True, key_name="ops", on_change="replace"))
    with pytest.raises(UnsupportedError, match="protected against termination"):
        lab.harness.plan("version: 1\nstack: lab\nregion: us-east-1\n", prune=True)
    assert lab.calls() == []


def test_an_interface_that_ignores_its_groups_is_replaced(harness: Harness) -> None:
    """The new one gets the VPC's default group, which the plan for the present one would not need."""
    row = "subnet: {default_for_az: us-east-1a}, lifecycle: {ignore: [security_groups]}"
    spec = "version: 1\nstack: ignored\nnetwork_interfaces: {a: {%s}}\n"
    harness.apply(spec % row)
    replacing = spec % f"{row}, private_ip: 172.31.1.77"
    assert harness.apply(replacing).outcome == "converged"
    assert harness.plan(replacing).empty
