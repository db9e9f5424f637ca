"""What EC2 refuses half way: stopped instances start again, the rest goes on, and nothing is repeated in vain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enireconcile.model import Report, Status
from enireconcile.outputs.text import report_text
from tests.ec2 import Call, DropConnection, Fail, Hook, Settings
from tests.harness import Harness, open_harness

HEAD = "version: 1\nstack: web\nregion: us-east-1\n"
MODIFY, START, STOP = "ModifyInstanceAttribute", "StartInstances", "StopInstances"
NOT_ALLOWED = "Modifying the instance type from t3.micro to t3.small is not allowed."


def spec(kind: str = "t3.micro", more: str = "", *, on_change: str = "restart", profile: str = "") -> str:
    """An instance with one interface; ``more`` goes on after ``network_interfaces``."""
    image = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"
    place = "{instance: web, device_index: 0}"
    return (
        f"{HEAD}instances:\n  web: {{image: {image}, instance_type: {kind}, on_change: {on_change}{profile}}}\n"
        f"network_interfaces:\n  eth0: {{subnet: {{default_for_az: us-east-1a}}, attachment: {place}}}\n{more}"
    )


ADDRESS = "elastic_ips:\n  ip: {association: {network_interface: eth0}}\n"
ETH1 = "  eth1: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 1}}\n"


def refuse(harness: Harness, call: str, code: str, message: str = "no") -> None:
    harness.strict.faults.add(Fail(call, times=10**6, code=code, message=message))


def built(harness: Harness) -> None:
    assert harness.apply(spec()).outcome == "converged"
    harness.strict.clear()


def state(harness: Harness) -> str:
    """The state of the only instance."""
    harness.loop.now += 60
    [reservation] = harness.client().describe_instances()["Reservations"]
    return str(reservation["Instances"][0]["State"]["Name"])


def ends(report: Report) -> list[str]:
    return [f"{outcome.step.call} {outcome.status}" for outcome in report.outcomes]


# ---- what was stopped is started again


RESIZED = [f"{STOP} done", f"{MODIFY} failed", f"{START} done"]


def test_a_refused_resize_leaves_the_instance_running(harness: Harness) -> None:
    built(harness)
    refuse(harness, MODIFY, "InvalidInstanceAttributeValue", NOT_ALLOWED)
    report = harness.apply(spec("t3.small"))
    assert ends(report) == RESIZED
    assert (report.outcome, report.remaining) == ("partial", ("instances.web",))
    assert "  instances.web is running" in report_text(report).splitlines()
    assert state(harness) == "running"


def test_a_refused_resize_is_not_tried_again_by_later_runs(harness: Harness) -> None:
    """Each try would restart the instance. A user who approves the plan tries again, and so does another type."""
    built(harness)
    refuse(harness, MODIFY, "InvalidInstanceAttributeValue", NOT_ALLOWED)
    harness.apply(spec("t3.small"))
    harness.strict.clear()
    more = "  other: {subnet: {default_for_az: us-east-1a}}\n"
    report = harness.apply(spec("t3.small", more))
    assert ends(report) == ["CreateNetworkInterface done"]
    assert (report.outcome, report.remaining) == ("partial", ("instances.web",))
    assert "instances.web: not tried again" in (report.error or "")
    assert NOT_ALLOWED in (report.error or "")
    report = harness.apply(spec("t3.small", more))
    assert (ends(report), report.outcome, report.exit_code) == ([], "failed", 1)
    assert state(harness) == "running"
    assert ends(harness.apply(spec("t3.small", more), try_refused_again=True)) == RESIZED
    assert ends(harness.apply(spec("t3.medium", more))) == RESIZED
    harness.strict.faults.clear()
    assert harness.apply(spec("t3.large", more)).outcome == "converged"
    assert harness.apply(spec("t3.large", more)).outcome == "unchanged"


def test_later_rounds_do_not_restart_the_instance_for_a_refused_resize(harness: Harness) -> None:
    """Another resource needs a second round; the instance is not stopped in it."""
    built(harness)
    harness.apply(spec(more=ADDRESS))
    refuse(harness, MODIFY, "InvalidInstanceAttributeValue", NOT_ALLOWED)
    harness.strict.faults.add(Fail("CreateNetworkInterface", code="InvalidIPAddress.InUse"))
    more = "  other: {subnet: {default_for_az: us-east-1a}}\n" + ADDRESS
    report = harness.apply(spec("t3.small", more))
    assert ends(report).count(f"{STOP} done") == 1
    assert ends(report).count(f"{MODIFY} failed") == 1
    assert "CreateNetworkInterface done" in ends(report)
    assert state(harness) == "running"


def test_an_instance_that_an_earlier_run_left_stopped_is_started_though_the_resize_is_refused_again(
    harness: Harness,
) -> None:
    built(harness)
    [reservation] = harness.client().describe_instances()["Reservations"]
    harness.client().stop_instances(InstanceIds=[reservation["Instances"][0]["InstanceId"]])
    harness.loop.now += 60
    refuse(harness, MODIFY, "InvalidInstanceAttributeValue", NOT_ALLOWED)
    assert ends(harness.apply(spec("t3.small"))) == [f"{MODIFY} failed", f"{START} done"]
    assert state(harness) == "running"


def test_a_run_that_cannot_start_the_instance_again_says_that_it_is_stopped(harness: Harness) -> None:
    built(harness)
    refuse(harness, START, "InsufficientInstanceCapacity")
    report = harness.apply(spec("t3.small"))
    assert ends(report) == [f"{STOP} done", f"{MODIFY} done", f"{START} failed"]
    assert "  instances.web is stopped" in report_text(report).splitlines()


def test_an_instance_that_could_not_be_stopped_is_not_started(harness: Harness) -> None:
    built(harness)
    refuse(harness, STOP, "OperationNotPermitted")
    report = harness.apply(spec("t3.small"))
    assert ends(report) == [f"{STOP} failed", f"{MODIFY} skipped", f"{START} skipped"]
    assert " is " not in report_text(report).splitlines()[-1]
    assert state(harness) == "running"


def test_a_start_waits_until_the_host_knows_the_new_type(tmp_path: Path) -> None:
    """Right after a change of the type, EC2 refuses to start the instance for up to a minute."""
    with open_harness(tmp_path, Settings(type_change_delay=60)) as harness:
        built(harness)
        report = harness.apply(spec("t3.small"))
        assert (report.outcome, state(harness)) == ("converged", "running")
        assert harness.strict.actions().count(START) > 1


# ---- a refusal stops only what needs the call


def test_a_launch_goes_on_without_its_elastic_ip(harness: Harness) -> None:
    refuse(harness, "AssociateAddress", "Gateway.NotAttached")
    report = harness.apply(spec(more=ADDRESS))
    assert "AssociateAddress failed" in ends(report)
    assert "RunInstances done" in ends(report)


def test_an_attach_goes_on_without_its_elastic_ip(harness: Harness) -> None:
    built(harness)
    refuse(harness, "AssociateAddress", "Gateway.NotAttached")
    report = harness.apply(spec(more=ETH1 + ADDRESS.replace("eth0", "eth1")))
    assert {"AssociateAddress failed", "AttachNetworkInterface done"} <= set(ends(report))


def test_a_start_goes_on_though_the_groups_of_an_interface_are_refused(harness: Harness) -> None:
    """The plan changes the groups and restarts the instance."""
    built(harness)
    refuse(harness, "ModifyNetworkInterfaceAttribute", "UnauthorizedOperation")
    changed = spec("t3.small").replace("1a}, att", "1a}, source_dest_check: false, att")
    assert {"ModifyNetworkInterfaceAttribute failed", f"{START} done"} <= set(ends(harness.apply(changed)))
    assert state(harness) == "running"


# ---- refused is not young


def other_vpc(harness: Harness) -> str:
    """The id of a group in a VPC that is not peered with the default one."""
    vpc = harness.strict.world.add_vpc("10.9.0.0/16")
    group = harness.client().create_security_group(GroupName="far", Description="x", VpcId=vpc)["GroupId"]
    harness.loop.now += 60
    return str(group)


def rule_from(source: str) -> str:
    return f"{HEAD}security_groups:\n  web: {{ingress: [{{protocol: tcp, ports: 443, sources: [{source}]}}]}}\n"


def refused(harness: Harness, text: str, call: str) -> Report:
    """An apply in which the call is refused: it is made once, and costs seconds.

    The credentials may not read what would show the mistake when planning.
    """
    for reading in ("DescribeVpcPeeringConnections", "DescribeSecurityGroupVpcAssociations"):
        refuse(harness, reading, "UnauthorizedOperation")
    harness.strict.faults.add(
        Fail("DescribeSecurityGroups", times=10**6, code="UnauthorizedOperation", when=_looks_up_by_id)
    )
    began = harness.loop.now
    report = harness.apply(text)
    assert harness.strict.actions().count(call) == 1
    assert harness.loop.now - began < 10
    assert f"{call} failed" in ends(report)
    return report


def _looks_up_by_id(call: Call) -> bool:
    return "group-id" in str(call.params)


@pytest.mark.parametrize("known", [True, False], ids=["in another VPC", "that does not exist"])
def test_a_rule_for_a_group_is_refused_at_once(known: bool, harness: Harness) -> None:
    """The group with the rule is new; the one in the rule is not."""
    source = other_vpc(harness) if known else "sg-0123456789abcdef0"
    refused(harness, rule_from(source), "AuthorizeSecurityGroupIngress")


def test_an_interface_in_a_group_of_another_vpc_is_refused_at_once(harness: Harness) -> None:
    text = (
        f"{HEAD}network_interfaces:\n  a: {{subnet: {{default_for_az: us-east-1a}}, security_groups: [GROUP]}}\n"
    )
    report = refused(harness, text.replace("GROUP", other_vpc(harness)), "CreateNetworkInterface")
    [error] = [outcome.error or "" for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert "must be in the VPC of the interface's subnet" in error


# ---- instance profiles


def with_profile(name: str) -> str:
    return spec(profile=f", iam_instance_profile: {name}", on_change="refuse")


def test_a_profile_that_iam_has_just_made_is_waited_for(harness: Harness) -> None:
    """EC2 learns of a new profile, and then of its role, some seconds after IAM."""
    built(harness)
    harness.strict.world.add_instance_profile("fresh", delay=10, role_delay=20)
    assert harness.apply(with_profile("fresh")).outcome == "converged"
    assert harness.strict.actions().count("AssociateIamInstanceProfile") > 1


def test_a_profile_changes_together_with_the_type(harness: Harness) -> None:
    """EC2 takes a profile while the instance runs or is stopped, but not in between."""
    built(harness)
    report = harness.apply(spec("t3.small", profile=", iam_instance_profile: web"))
    assert (report.outcome, state(harness)) == ("converged", "running")
    assert "AssociateIamInstanceProfile done" in ends(report)


def test_a_refused_profile_leaves_the_instance_as_it_is(harness: Harness) -> None:
    built(harness)
    refuse(harness, "AssociateIamInstanceProfile", "UnauthorizedOperation", "iam:PassRole")
    report = harness.apply(with_profile("web"))
    assert (ends(report), state(harness)) == (["AssociateIamInstanceProfile failed"], "running")


def test_a_lost_answer_to_a_change_of_the_profile_does_no_harm(harness: Harness) -> None:
    """The repeat of either call is refused, since the first one has acted."""
    built(harness)
    harness.strict.world.add_instance_profile("other")
    for call, name in ("AssociateIamInstanceProfile", "web"), ("ReplaceIamInstanceProfileAssociation", "other"):
        harness.strict.faults.add(DropConnection(call, late=True))
        assert harness.apply(with_profile(name)).outcome == "converged"
        assert sum(each.acted for each in harness.strict.mutating() if each.action == call) == 1


def test_the_printed_policy_allows_to_change_the_profile(harness: Harness) -> None:
    harness.strict.world.add_instance_profile("other")
    for call, name in ("AssociateIamInstanceProfile", "web"), ("ReplaceIamInstanceProfileAssociation", "other"):
        if call.startswith("Associate"):
            built(harness)
        harness.obey(with_profile(name))
        assert ends(harness.apply(with_profile(name))) == [f"{call} done"]


def test_a_profile_that_is_as_it_should_be_costs_no_call(harness: Harness) -> None:
    assert harness.apply(with_profile("web")).outcome == "converged"
    harness.strict.clear()
    assert harness.apply(with_profile("web")).outcome == "unchanged"
    assert "DescribeIamInstanceProfileAssociations" not in harness.strict.actions()
    assert harness.apply(spec(on_change="refuse")).outcome == "unchanged"


def test_a_profile_that_another_tool_has_associated_meanwhile_is_replaced(harness: Harness) -> None:
    built(harness)
    harness.strict.world.add_instance_profile("theirs")

    def associate(call: Call) -> None:
        harness.client().associate_iam_instance_profile(
            InstanceId=call.params["InstanceId"], IamInstanceProfile={"Name": "theirs"}
        )

    harness.strict.faults.add(Hook("AssociateIamInstanceProfile", callback=associate))
    report = harness.apply(with_profile("web"))
    assert report.outcome == "converged"
    assert ends(report) == ["AssociateIamInstanceProfile failed", "ReplaceIamInstanceProfileAssociation done"]


# ---- launches


def test_a_launch_does_not_mind_an_interface_that_another_tool_attaches_at_once(harness: Harness) -> None:
    """It waits for the interfaces of the spec, however many others there are."""
    ec2: Any = harness.client()
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"][0]
    theirs = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 60

    def attach(call: Call) -> None:
        [instance] = (call.answer or {})["Instances"]
        ec2.attach_network_interface(NetworkInterfaceId=theirs, InstanceId=instance["InstanceId"], DeviceIndex=1)

    harness.strict.faults.add(Hook("RunInstances", late=True, callback=attach))
    began = harness.loop.now
    assert harness.apply(spec()).outcome == "converged"
    assert harness.loop.now - began < 120
    [reservation] = ec2.describe_instances()["Reservations"]
    assert len(reservation["Instances"][0]["NetworkInterfaces"]) == 2
