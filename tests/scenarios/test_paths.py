"""Traffic through a plan on the strict EC2: the order of the calls, and what remains where EC2 refuses one."""

from __future__ import annotations

from typing import Any

from tests.ec2 import Fail
from tests.harness import STORY, Harness

WEB = """
version: 1
stack: paths
region: us-east-1
security_groups:
  {group}:
    ingress: [{{protocol: tcp, ports: 443, sources: [0.0.0.0/0]}}]
    {egress}
network_interfaces:
  x: {{subnet: {{default_for_az: us-east-1a}}, security_groups: [{group}]}}
"""
LIMITED = "egress: [{protocol: udp, ports: 53, destinations: [10.0.0.2/32]}]"


def spec(group: str, egress: str = "") -> str:
    return WEB.format(group=group, egress=egress)


def group_names(harness: Harness) -> list[str]:
    """The groups of the interface ``x``."""
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.x"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return [group["GroupName"] for group in found["Groups"]]


def test_a_renamed_group_is_open_before_the_interface_moves_in(slow_harness: Harness) -> None:
    """`web` becomes `web2`: the rule is there before the interface is, and the old group is deleted last."""
    assert slow_harness.apply(spec("web")).outcome == "converged"
    slow_harness.strict.clear()
    assert slow_harness.apply(spec("web2"), prune=True).outcome == "converged"
    # A new group may have to be named more than once until EC2 knows it everywhere.
    assert [call.action for call in slow_harness.strict.mutating() if call.acted] == [
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "ModifyNetworkInterfaceAttribute",
        "DeleteSecurityGroup",
    ]
    assert group_names(slow_harness) == ["web2"]


def test_the_interface_stays_where_it_is_when_ec2_refuses_the_rule(harness: Harness) -> None:
    """As long as the new group has no rule, the interface remains in the old one, which stays open."""
    assert harness.apply(spec("web")).outcome == "converged"
    refusal = Fail(action="AuthorizeSecurityGroupIngress", times=99, code="RulesPerSecurityGroupLimitExceeded")
    harness.strict.faults.add(refusal)
    report = harness.apply(spec("web2"), prune=True)
    assert report.outcome == "partial"
    assert group_names(harness) == ["web"]
    filters = [{"Name": "group-name", "Values": ["web"]}]
    [old] = harness.client().describe_security_groups(Filters=filters)["SecurityGroups"]
    assert [rule["FromPort"] for rule in old["IpPermissions"]] == [443]
    harness.strict.faults.clear()
    assert harness.apply(spec("web2"), prune=True).outcome == "converged"
    assert group_names(harness) == ["web2"]


def test_a_new_egress_limit_is_in_force_before_the_interface_moves_in(harness: Harness) -> None:
    """EC2 makes a group with everything allowed out; no interface is in it until that is revoked."""
    assert harness.apply(spec("web", "egress: []")).outcome == "converged"
    harness.strict.clear()
    assert harness.apply(spec("web2", LIMITED), prune=True).outcome == "converged"
    actions = [call.action for call in harness.strict.mutating()]
    revoked, moved = (
        actions.index("RevokeSecurityGroupEgress"),
        actions.index("ModifyNetworkInterfaceAttribute"),
    )
    assert revoked < moved


def test_json_lists_what_a_plan_interrupts(harness: Harness) -> None:
    """A change of type stops the instance for a while: the plan says from which step to which."""
    assert harness.apply().outcome == "converged"
    text = STORY.read_text().replace("instance_type: t2.micro", "instance_type: t2.small\n    on_change: restart")
    plan = harness.plan(text)
    calls = {step.id: step.call for step in plan.steps}
    told: list[Any] = [
        (each.address, each.what, calls[each.begins], calls[each.ends]) for each in plan.interruptions
    ]
    assert told == [("instances.web", "running", "StopInstances", "StartInstances")]
    assert plan.exposures == ()
