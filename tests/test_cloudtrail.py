"""plan --who: CloudTrail tells who changed what differs, as far as it may be asked."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.session import Session
from enireconcile.cloudtrail import MOST, who
from enireconcile.live.optional import PATIENCE
from enireconcile.model import Action, Change, Field, Impact, Plan, Traces
from tests.ec2 import EC2Server, Fail, Policy
from tests.harness import ENVIRONMENT, STORY, Harness, boto
from tests.planning.worlds import plan_of
from tests.processes.test_cli import Run, command, server
from tests.two_enis import DRIFTS, Account
from tests.virtual import run

__all__ = ["command", "server"]

SPEC = str(STORY)


def traced(harness: Harness, plan: Plan) -> Traces:
    channel = Channel(Session(boto(), "us-east-1", read_only=True))
    try:
        return run(who(Reader(channel), plan), harness.loop)
    finally:
        channel.close()


def told(harness: Harness) -> tuple[dict[tuple[str, str], tuple[str, str]], Plan, Traces]:
    """Each field that differs, with who it was and by which call."""
    plan = harness.plan()
    traces = traced(harness, plan)
    found = {place: (trace.user, trace.event) for place, trace in traces.found.items()}
    return found, plan, traces


CULPRITS: dict[str, dict[tuple[str, str], str]] = {
    "an address disassociated": {("elastic_ips.web-2", "association"): "DisassociateAddress"},
    "an address moved to a stranger's interface": {("elastic_ips.web-1", "association"): "AssociateAddress"},
    "eth1 detached": {("network_interfaces.web-eth1", "attachment"): "DetachNetworkInterface"},
    "groups of an interface changed": {
        ("network_interfaces.web-eth1", "security_groups"): "ModifyNetworkInterfaceAttribute"
    },
    "a rule added": {("security_groups.my-sg-2", "ingress"): "AuthorizeSecurityGroupIngress"},
    "a rule removed": {("security_groups.my-sg-1", "ingress"): "RevokeSecurityGroupIngress"},
    "a rule reworded": {("security_groups.my-sg-1", "ingress"): "UpdateSecurityGroupRuleDescriptionsIngress"},
    "source_dest_check flipped": {
        ("network_interfaces.web-eth1", "source_dest_check"): "ModifyNetworkInterfaceAttribute"
    },
    "delete_on_termination set": {
        ("network_interfaces.web-eth1", "attachment"): "ModifyNetworkInterfaceAttribute"
    },
    "tags changed": {
        ("network_interfaces.web-eth0", "tags"): "CreateTags",
        ("elastic_ips.web-1", "tags"): "DeleteTags",
        ("instances.web", "tags"): "CreateTags",
    },
    "the instance stopped": {("instances.web", "state"): "StopInstances"},
}


@pytest.mark.parametrize("name", CULPRITS)
def test_the_culprit_is_named(slow_harness: Harness, name: str) -> None:
    """A drift of the story by one user: each field that differs shows that user and no other."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    DRIFTS[name][0](Account(slow_harness))
    slow_harness.loop.now += 60
    found, plan, traces = told(slow_harness)
    assert found == {place: ("user/alice", event) for place, event in CULPRITS[name].items()}
    assert traces.note is None
    differing = {(change.address, field.field) for change in plan.changes for field in change.fields}
    assert set(found) <= differing


def test_one_attribute_is_not_anothers(slow_harness: Harness) -> None:
    """One call sets many attributes, one at a time: each is put down to the call that set it."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    eth1 = account.interface("web-eth1")["NetworkInterfaceId"]
    account.ec2.modify_network_interface_attribute(NetworkInterfaceId=eth1, SourceDestCheck={"Value": False})
    first = slow_harness.loop.now
    slow_harness.loop.now += 600
    account.ec2.modify_network_interface_attribute(NetworkInterfaceId=eth1, Description={"Value": "x"})
    slow_harness.loop.now += 600
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eth1, ConnectionTrackingSpecification={"UdpTimeout": 45}
    )
    slow_harness.loop.now += 60
    traces = told(slow_harness)[2].found
    check = traces["network_interfaces.web-eth1", "source_dest_check"].time
    description = traces["network_interfaces.web-eth1", "description"].time
    assert (description - check).total_seconds() == 600
    assert slow_harness.strict.world.date(first) == check


def test_a_launch_by_another_user_attaches_the_interface(slow_harness: Harness) -> None:
    """RunInstances has parameters of many attributes, and changes no attribute of an interface but this one."""
    slow_harness.apply()
    plan = slow_harness.plan()
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    eth1, image = account.interface("web-eth1"), account.instance()["ImageId"]
    account.ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    slow_harness.loop.now += 60
    account.ec2.run_instances(
        ImageId=image,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"NetworkInterfaceId": eth1["NetworkInterfaceId"], "DeviceIndex": 0}],
    )
    slow_harness.loop.now += 60
    address, moved = "network_interfaces.web-eth1", Field("attachment", {}, {})
    change = Change(address, Action.UPDATE, Impact.DISRUPTIVE, eth1["NetworkInterfaceId"], (moved,))
    traces = traced(slow_harness, replace(plan, changes=(change,)))
    assert traces.found[address, "attachment"].event == "RunInstances"


def test_the_spec_itself_was_changed(slow_harness: Harness) -> None:
    """What differs because the spec has changed has no author in CloudTrail: our own calls do not count."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    text = STORY.read_text().replace("ports: 80", "ports: 8080")
    plan = slow_harness.plan(text)
    assert not plan.empty
    assert traced(slow_harness, plan) == Traces()


def test_denied_calls_are_no_changes(slow_harness: Harness) -> None:
    """A call that EC2 refused has changed nothing."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    account.ec2.stop_instances(InstanceIds=[account.instance()["InstanceId"]])
    slow_harness.loop.now += 60
    slow_harness.strict.people["AKIAIOSFODNN7EXAMPLE"] = "bob"
    slow_harness.strict.faults.add(Fail("StartInstances", code="InsufficientInstanceCapacity", message="no"))
    with pytest.raises(Exception, match="InsufficientInstanceCapacity"):
        account.ec2.start_instances(InstanceIds=[account.instance()["InstanceId"]])
    assert told(slow_harness)[0] == {("instances.web", "state"): ("user/alice", "StopInstances")}


def test_nothing_differs_nothing_is_asked(harness: Harness) -> None:
    harness.apply()
    harness.strict.clear()
    assert told(harness)[2] == Traces()
    assert "LookupEvents" not in harness.strict.actions()


def test_a_server_error_for_ever(slow_harness: Harness) -> None:
    """A plan does not wait for CloudTrail for minutes."""
    slow_harness.apply()
    account = Account(slow_harness)
    account.ec2.stop_instances(InstanceIds=[account.instance()["InstanceId"]])
    plan = slow_harness.plan()
    slow_harness.strict.faults.add(Fail("LookupEvents", times=10**6, code="InternalFailure", status=500))
    began = slow_harness.loop.now
    traces = traced(slow_harness, plan)
    assert traces.note is not None
    assert traces.note.startswith("cannot ask CloudTrail who made the changes: LookupEvents: NoAnswer: ")
    assert slow_harness.loop.now - began <= PATIENCE


def test_without_permission(slow_harness: Harness) -> None:
    """It says so, once, and asks no more."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    for name in ("tags changed", "source_dest_check flipped"):
        DRIFTS[name][0](Account(slow_harness))
    slow_harness.loop.now += 60
    slow_harness.obey(None, read_only=True)
    slow_harness.strict.clear()
    found, plan, traces = told(slow_harness)
    assert found == {}
    assert not plan.empty
    assert traces.note is not None
    assert traces.note.startswith(
        "cannot ask CloudTrail who made the changes: LookupEvents: AccessDeniedException"
    )
    assert slow_harness.strict.actions().count("LookupEvents") == 1


def test_with_permission_from_iam_policy(slow_harness: Harness) -> None:
    slow_harness.apply()
    slow_harness.loop.now += 60
    DRIFTS["the instance stopped"][0](Account(slow_harness))
    slow_harness.obey(None, read_only=True, who=True)
    assert told(slow_harness)[0] == {("instances.web", "state"): ("user/alice", "StopInstances")}


def test_questions_are_few_and_paced(harness: Harness) -> None:
    """CloudTrail answers twice a second; of a hundred resources that differ, twenty are asked for."""
    count = 100
    tags = {"Project": "new"}
    rows = {f"ip-{number:03}": {"tags": tags} for number in range(count)}
    live: dict[str, Any] = {f"ip-{number:03}": {} for number in range(count)}
    plan = plan_of({"elastic_ips": rows}, {"elastic_ips": live})
    assert len(plan.changes) == count
    began = harness.loop.time()
    traces = traced(harness, plan)
    asked = [call.time - began for call in harness.strict.calls if call.action == "LookupEvents"]
    assert len(asked) == MOST
    assert traces.note == f"CloudTrail was queried for the first {MOST} of {count} resources only"
    assert all(later - earlier >= 1 for earlier, later in zip(asked, asked[2:], strict=False))
    assert asked[-1] <= MOST / 2


@pytest.fixture
def drifted(server: EC2Server, command: Run) -> EC2Server:
    """The story, with a security group that another tool has opened."""
    assert command("apply", "-y", SPEC).code == 0
    ec2 = server.client()
    filters = [{"Name": "tag:enireconcile:name", "Values": ["security_groups.my-sg-2"]}]
    [group] = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
    return server


def test_the_command_shows_the_user_beside_the_field(drifted: EC2Server, command: Run) -> None:
    """As text, as JSON and as a comment; without --who, CloudTrail is not asked, and JSON has no such key."""
    text = command("plan", "--who", SPEC).stdout
    [line] = [line for line in text.splitlines() if "alice" in line]
    assert line.strip().startswith("by user/alice, 20")
    assert line.endswith("UTC (AuthorizeSecurityGroupIngress)")
    [change] = command("plan", "--who", "--output", "json", SPEC).json["changes"]
    [field] = change["fields"]
    assert set(field["who"]) == {"user", "time", "event"}
    assert (field["who"]["user"], field["who"]["event"]) == ("user/alice", "AuthorizeSecurityGroupIngress")
    assert field["who"]["time"].endswith("Z")
    assert "<code>by user/alice, 20" in command("plan", "--who", "--output", "markdown", SPEC).stdout
    drifted.clear()
    [change] = command("plan", "--output", "json", SPEC).json["changes"]
    assert "who" not in change["fields"][0]
    assert "LookupEvents" not in drifted.actions()


def test_the_command_goes_on_without_permission(drifted: EC2Server, command: Run) -> None:
    reads = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
    policy = Policy({"Version": "2012-10-17", "Statement": [reads]})
    drifted.policies[ENVIRONMENT["AWS_ACCESS_KEY_ID"]] = policy
    ran = command("plan", "--who", "--detailed-exitcode", "--output", "json", SPEC)
    assert ran.code == 2
    assert ran.json["changes"][0]["fields"][0]["who"] is None
    assert "warning: cannot ask CloudTrail who made the changes: LookupEvents: AccessDeniedException" in ran.stderr


def test_a_name_from_cloudtrail_is_escaped(drifted: EC2Server, command: Run) -> None:
    """The caller of AssumeRole chooses the session name."""
    drifted.people[next(iter(drifted.people))] = "\x1b[31m</code>@everyone"
    assert "\x1b" not in command("plan", "--who", SPEC).stdout
    comment = command("plan", "--who", "--output", "markdown", SPEC).stdout
    assert "\\x1b[31m&lt;/code&gt;@everyone" in comment
