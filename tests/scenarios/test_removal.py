"""Leftovers, prune and destroy: what the stack owns and no row names goes, in order; nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from enireconcile.errors import UnsupportedError
from enireconcile.model import Action, Impact, Plan
from tests.ec2 import Fail, Settings
from tests.harness import SLOW, STORY, Harness, image_id, open_harness
from tests.two_enis import MINE, Account, assert_is_the_story

NOTHING = "version: 1\nstack: two-enis\nregion: us-east-1\n"
KNOT = """
version: 1
stack: knot
region: us-east-1
security_groups:
  left: {ingress: [{protocol: tcp, ports: 22, sources: [right]}], egress: [{protocol: all, destinations: [right]}]}
  right: {ingress: [{protocol: tcp, ports: 22, sources: [left, self]}]}
network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}, security_groups: [left, right]}
"""


def _without(*names: str) -> str:
    """The story's spec without some of its rows, each a block of lines that begins with the name."""
    lines, keep = [], True
    for line in STORY.read_text().splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            keep = line.strip().partition(":")[0] not in names
        elif not line.startswith("   "):
            keep = True
        if keep:
            lines.append(line)
    return "\n".join(lines)


def _owned(harness: Harness, stack: str = "two-enis") -> dict[str, int]:
    """How many live resources carry the stack's tag, by sort."""
    ec2 = harness.client()
    mine = [{"Name": "tag:enireconcile:stack", "Values": [stack]}]
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    return {
        "instances": len(ec2.describe_instances(Filters=[*mine, alive])["Reservations"]),
        "interfaces": len(ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]),
        "addresses": len(ec2.describe_addresses(Filters=mine)["Addresses"]),
        "groups": len(ec2.describe_security_groups(Filters=mine)["SecurityGroups"]),
    }


NONE = {"instances": 0, "interfaces": 0, "addresses": 0, "groups": 0}


def test_leftovers_are_listed_and_left(slow_harness: Harness) -> None:
    """A row that left the spec: its resource is told as a leftover, and nothing is done about it."""
    slow_harness.apply()
    plan = slow_harness.plan(_without("web-2"))
    assert plan.empty
    assert [left.address for left in plan.leftovers] == ["elastic_ips.web-2"]
    assert slow_harness.apply(_without("web-2")).outcome == "unchanged"


def test_prune_releases_the_address_that_the_spec_does_not_name(slow_harness: Harness) -> None:
    """With --prune the address leaves its interface and is released; the rest stays as it is."""
    slow_harness.apply()
    plan = slow_harness.plan(_without("web-2"), prune=True)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("DisassociateAddress", Impact.DISRUPTIVE),
        ("ReleaseAddress", Impact.DESTRUCTIVE),
    ]
    assert (plan.summary()["delete"], plan.leftovers) == (1, ())
    assert slow_harness.apply(_without("web-2"), prune=True).outcome == "converged"
    assert _owned(slow_harness) == {"instances": 1, "interfaces": 2, "addresses": 1, "groups": 2}


def test_prune_of_an_interface_with_its_address_and_group(slow_harness: Harness) -> None:
    """eth1, its address and its group leave the spec together: detached, deleted, released, in order."""
    slow_harness.apply()
    spec = _without("web-eth1", "web-2", "my-sg-2")
    assert slow_harness.apply(spec, prune=True).outcome == "converged"
    assert _owned(slow_harness) == {"instances": 1, "interfaces": 1, "addresses": 1, "groups": 1}
    assert slow_harness.plan(spec, prune=True).empty


def test_prune_of_the_instance_keeps_its_interfaces(slow_harness: Harness) -> None:
    """The instance leaves the spec, its interfaces stay: even one that was flagged to die with it."""
    slow_harness.apply()
    account = Account(slow_harness)
    eth1 = account.interface("web-eth1")
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eth1["NetworkInterfaceId"],
        Attachment={"AttachmentId": eth1["Attachment"]["AttachmentId"], "DeleteOnTermination": True},
    )
    kept = [line for line in _without("web").splitlines() if "attachment:" not in line and line != "instances:"]
    report = slow_harness.apply("\n".join(kept), prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_harness) == {"instances": 0, "interfaces": 2, "addresses": 2, "groups": 2}
    assert slow_harness.apply().outcome == "converged"
    assert account.interface("web-eth1")["NetworkInterfaceId"] == eth1["NetworkInterfaceId"]
    assert_is_the_story(slow_harness)


def test_destroy_removes_all_and_touches_nothing_else(slow_harness: Harness) -> None:
    """Everything of the stack goes in one run; a stranger's resources beside it stay."""
    slow_harness.apply()
    ec2 = slow_harness.client()
    ec2.allocate_address(Domain="vpc")
    subnet = Account(slow_harness).interface("web-eth0")["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet)
    slow_harness.loop.now += 5
    plan = slow_harness.plan(NOTHING, prune=True)
    assert {change.action for change in plan.changes} == {Action.DELETE}
    report = slow_harness.apply(NOTHING, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_harness) == NONE
    assert len(ec2.describe_addresses()["Addresses"]) == 1
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_destroy_while_the_instance_goes_down(slow_harness: Harness) -> None:
    """Another tool terminated the instance a moment ago: its interfaces are waited for, then deleted."""
    slow_harness.apply()
    account = Account(slow_harness)
    account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
    assert slow_harness.apply(NOTHING, prune=True).outcome == "converged"
    assert _owned(slow_harness) == NONE


def test_groups_that_refer_to_each_other_are_deleted(slow_harness: Harness) -> None:
    """Rules between groups that go are revoked first; rules to oneself need no cutting."""
    assert slow_harness.apply(KNOT).outcome == "converged"
    report = slow_harness.apply("version: 1\nstack: knot\nregion: us-east-1\n", prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_harness, "knot") == NONE


def test_group_is_deleted_when_the_staying_ones_no_longer_name_it(slow_harness: Harness) -> None:
    """A group leaves the spec, and with it the rules and interfaces that used it."""
    slow_harness.apply(KNOT)
    smaller = KNOT.replace("  right: {ingress: [{protocol: tcp, ports: 22, sources: [left, self]}]}\n", "")
    smaller = smaller.replace("[left, right]", "[left]").replace("sources: [right]", "sources: [self]")
    smaller = smaller.replace("destinations: [right]", "destinations: [self]")
    report = slow_harness.apply(smaller, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_harness, "knot")["groups"] == 1


def _group(harness: Harness, name: str) -> str:
    filters = [{"Name": "group-name", "Values": [name]}]
    [found] = harness.client().describe_security_groups(Filters=filters)["SecurityGroups"]
    return str(found["GroupId"])


def test_a_group_that_a_foreign_rule_names_is_reported_before_any_deletion(slow_harness: Harness) -> None:
    """EC2 would refuse for ever: destroy says whose rules and interfaces they are, and changes nothing."""
    slow_harness.apply(KNOT)
    ec2, left = slow_harness.client(), _group(slow_harness, "left")
    subnet = ec2.describe_network_interfaces()["NetworkInterfaces"][0]["SubnetId"]
    stranger = ec2.create_security_group(GroupName="db", Description="db")["GroupId"]
    slow_harness.loop.now += 5
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": left}]}
    ec2.authorize_security_group_ingress(GroupId=stranger, IpPermissions=[rule])
    card = ec2.create_network_interface(SubnetId=subnet, Groups=[left])["NetworkInterface"]["NetworkInterfaceId"]
    slow_harness.loop.now += 5
    slow_harness.strict.clear()
    with pytest.raises(UnsupportedError) as raised:
        slow_harness.apply(KNOT, destroy=True)
    because = f"it is still used by {card} and the rules of {stranger} (db)"
    assert str(raised.value).splitlines()[1] == f"  security_groups.left ({left}): {because}"
    assert slow_harness.strict.mutating() == []
    ec2.revoke_security_group_ingress(GroupId=stranger, IpPermissions=[rule])
    ec2.delete_network_interface(NetworkInterfaceId=card)
    assert slow_harness.apply(KNOT, destroy=True).outcome == "converged"
    assert _owned(slow_harness, "knot") == NONE


def test_a_group_that_a_foreign_rule_names_meanwhile_fails_in_time(slow_harness: Harness) -> None:
    """Another tool refers to it after the plan was made: the run waits for minutes, not for ever, and says why."""
    slow_harness.apply(KNOT)
    ec2, left = slow_harness.client(), _group(slow_harness, "left")
    stranger = ec2.create_security_group(GroupName="db", Description="db")["GroupId"]
    slow_harness.loop.now += 5
    began = slow_harness.loop.now

    def too_late(_: Plan) -> Impact:
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": left}]}
        ec2.authorize_security_group_ingress(GroupId=stranger, IpPermissions=[rule])
        return Impact.DESTRUCTIVE

    report = slow_harness.apply(KNOT, destroy=True, approve=too_late)
    assert report.outcome == "partial"
    assert slow_harness.loop.now - began < 420
    [error] = [outcome.error or "" for outcome in report.outcomes if outcome.status == "failed"]
    assert "a rule of another group refers to this group" in error
    with pytest.raises(UnsupportedError, match=f"the rules of {stranger} "):
        slow_harness.apply(KNOT, destroy=True)


def test_a_group_that_a_foreign_rule_names_delays_nothing_else(slow_harness: Harness) -> None:
    """Two groups leave the spec, and a stranger's egress names one: that is left, with what it names in turn."""
    slow_harness.apply(KNOT)
    ec2, left, right = slow_harness.client(), _group(slow_harness, "left"), _group(slow_harness, "right")
    stranger = ec2.create_security_group(GroupName="db", Description="db")["GroupId"]
    slow_harness.loop.now += 5
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": left}]}
    ec2.authorize_security_group_egress(GroupId=stranger, IpPermissions=[rule])
    slow_harness.loop.now += 5
    spec = "version: 1\nstack: knot\nregion: us-east-1\nelastic_ips: {new: {}}\n"
    plan = slow_harness.plan(spec, prune=True)
    assert [each.address for each in plan.leftovers] == ["security_groups.left", "security_groups.right"]
    because = "cannot be deleted and is kept: it is still used by the rules of"
    assert plan.warnings == (
        f"security_groups.left ({left}) {because} {stranger} (db)",
        f"security_groups.right ({right}) {because} security_groups.left",
    )
    report = slow_harness.apply(spec, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_harness, "knot") == {"instances": 0, "interfaces": 0, "addresses": 1, "groups": 2}


def test_an_instance_is_gone_before_the_group_of_its_own_interface(slow_harness: Harness) -> None:
    """The interface of its launch is not adopted: EC2 deletes it with the instance. Then the group goes."""
    ec2, head = slow_harness.client(), "version: 1\nstack: s\nregion: us-east-1\nsecurity_groups: {web: {}}\n"
    slow_harness.apply(head)
    zones = [{"Name": "default-for-az", "Values": ["true"]}]
    launched = ec2.run_instances(
        ImageId=image_id(ec2),
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=ec2.describe_subnets(Filters=zones)["Subnets"][0]["SubnetId"],
        SecurityGroupIds=[_group(slow_harness, "web")],
    )["Instances"][0]["InstanceId"]
    slow_harness.loop.now += 60
    spec = f"{head}instances: {{web: {{adopt: {launched}}}}}\n"
    assert slow_harness.apply(spec).outcome == "converged"
    plan = slow_harness.plan(spec, destroy=True)
    assert [(step.call, sorted(step.needs)) for step in plan.steps] == [
        ("TerminateInstances", []),
        ("DeleteSecurityGroup", ["s1"]),
    ]
    assert slow_harness.apply(spec, destroy=True).outcome == "converged"
    assert _owned(slow_harness, "s") == NONE


def test_users_of_groups_are_read_only_if_groups_are_removed(slow_harness: Harness) -> None:
    """Three more calls, whatever the number of groups; none if no group goes."""
    slow_harness.apply(KNOT)
    slow_harness.strict.clear()
    slow_harness.plan(KNOT, prune=True)
    few = slow_harness.strict.actions()
    slow_harness.strict.clear()
    slow_harness.plan(KNOT, destroy=True)
    many = slow_harness.strict.actions()
    calls = ("DescribeSecurityGroups", "DescribeNetworkInterfaces")
    assert [few.count(call) for call in calls] == [1, 1]
    assert [many.count(call) for call in calls] == [3, 2]


def test_what_was_made_unseen_is_not_forgotten_by_destroy(tmp_path: Path) -> None:
    """A run failed right after its first creates: destroy at once waits until they show, and leaves nothing."""
    with open_harness(tmp_path, replace(SLOW, visibility_delay=10.0)) as harness:
        harness.strict.faults.add(Fail(action="CreateNetworkInterface", code="UnauthorizedOperation", times=2))
        assert harness.apply().outcome == "partial"
        assert harness.apply(NOTHING, prune=True).outcome == "converged"
        harness.loop.now += 60
        assert _owned(harness) == NONE


@pytest.mark.parametrize("again", [1, 2])
def test_destroyed_story_can_be_built_again(slow_harness: Harness, again: int) -> None:
    """Build, destroy, build: tokens of the dead are not used again."""
    for _ in range(again):
        assert slow_harness.apply().outcome == "converged"
        assert slow_harness.apply(NOTHING, prune=True).outcome == "converged"
    assert slow_harness.apply().outcome == "converged"
    assert_is_the_story(slow_harness)
    assert len(slow_harness.client().describe_addresses(Filters=MINE)["Addresses"]) == 2


def test_no_wait_blames_the_guest_of_an_instance_that_ends(tmp_path: Path) -> None:
    """EC2 detaches the interfaces only when the instance has terminated, which takes too long here."""
    with open_harness(tmp_path / "state", Settings(terminate_delay=5000.0)) as harness:
        assert harness.apply().outcome == "converged"
        client = harness.client()
        [instance] = client.describe_instances()["Reservations"][0]["Instances"]
        for before in (lambda: None, lambda: client.terminate_instances(InstanceIds=[instance["InstanceId"]])):
            before()
            report = harness.apply(destroy=True)
            errors = [outcome.error for outcome in report.outcomes if outcome.error]
            assert errors
            assert not any("guest" in error for error in errors), errors
        assert any(f"EC2 detaches it when {instance['InstanceId']} has terminated" in each for each in errors)
