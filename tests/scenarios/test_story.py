"""The story the project began with: built, kept, and corrected whatever is done behind its back."""

from __future__ import annotations

import pytest

from enireconcile.model import Action
from tests.harness import Harness
from tests.two_enis import DRIFTS, Account, assert_is_the_story


@pytest.fixture
def built(slow_harness: Harness) -> Harness:
    """The story, applied once, the call log emptied."""
    assert slow_harness.apply().outcome == "converged"
    slow_harness.strict.clear()
    return slow_harness


def test_apply_builds_the_story_with_ten_calls(slow_harness: Harness) -> None:
    """On an empty account one apply converges, with one call for each thing that there is to do."""
    report = slow_harness.apply()
    assert report.outcome == "converged"
    assert sorted(outcome.step.call for outcome in report.outcomes) == [
        "AllocateAddress",
        "AllocateAddress",
        "AssociateAddress",
        "AssociateAddress",
        "AuthorizeSecurityGroupIngress",
        "CreateNetworkInterface",
        "CreateNetworkInterface",
        "CreateSecurityGroup",
        "CreateSecurityGroup",
        "RunInstances",
    ]
    assert_is_the_story(slow_harness)


def test_addresses_are_there_before_the_instance_boots(slow_harness: Harness) -> None:
    """user_data fetches packages at first boot, which needs the public address and the rules to be there."""
    slow_harness.apply()
    calls = [call.action for call in slow_harness.strict.mutating() if call.acted]
    assert calls[-1] == "RunInstances"


def test_second_apply_changes_nothing(built: Harness) -> None:
    """A second apply says unchanged, sends no mutating call and reads six times."""
    report = built.apply()
    assert report.outcome == "unchanged"
    assert built.strict.mutating() == []
    ec2_calls = [call for call in built.strict.calls if call.service == "ec2"]
    assert len(ec2_calls) == 6


def test_noop_plan_reads_six_times(built: Harness) -> None:
    """The no-op plan costs six EC2 calls and one STS call, and says that nothing differs."""
    plan = built.plan()
    assert plan.empty
    assert {change.action for change in plan.changes} == {Action.UNCHANGED}
    assert sorted(built.strict.actions()) == [
        "DescribeAddresses",
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVpcs",
        "GetCallerIdentity",
    ]


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_is_seen_and_corrected(built: Harness, name: str) -> None:
    """What is done behind its back is in the plan, and corrected with exactly the calls that it takes."""
    deed, calls, impact = DRIFTS[name]
    account = Account(built)
    deed(account)

    plan = built.plan()
    assert not plan.empty
    assert [step.call for step in plan.steps] == calls
    assert plan.impact is impact

    built.strict.clear()
    report = built.apply()
    assert (report.outcome, report.error) == ("converged", None)
    assert [call.action for call in built.strict.mutating() if call.acted] == calls
    assert_is_the_story(built)
    assert built.plan().empty


def test_terminated_instance_leaves_its_interface_and_addresses(built: Harness) -> None:
    """Interfaces outlive the instance: the new one boots with the same private and public addresses."""
    account = Account(built)
    before = [account.interface(name) for name in ("web-eth0", "web-eth1")]
    old = account.instance()["InstanceId"]
    account.ec2.terminate_instances(InstanceIds=[old])
    assert built.apply().outcome == "converged"
    after = [account.interface(name) for name in ("web-eth0", "web-eth1")]
    assert [i["NetworkInterfaceId"] for i in after] == [i["NetworkInterfaceId"] for i in before]
    assert [i["Association"]["PublicIp"] for i in after] == [i["Association"]["PublicIp"] for i in before]
    assert account.instance()["InstanceId"] != old


def test_tags_of_others_stay(built: Harness) -> None:
    """A tag that the spec does not name is another owner's: no drift, and never removed."""
    account = Account(built)
    interface = account.interface("web-eth0")["NetworkInterfaceId"]
    account.ec2.create_tags(Resources=[interface], Tags=[{"Key": "CostCenter", "Value": "42"}])
    assert built.plan().empty
    account.ec2.create_tags(Resources=[interface], Tags=[{"Key": "Project", "Value": "theirs"}])
    assert built.apply().outcome == "converged"
    tags = {tag["Key"]: tag["Value"] for tag in account.interface("web-eth0")["TagSet"]}
    assert (tags["CostCenter"], tags["Project"]) == ("42", "testing-eni")
