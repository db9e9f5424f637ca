"""The same story on moto's server: a second EC2 that we did not write.

Where moto differs from EC2 we are right for EC2; a row that moto cannot play is a strict xfail that says why.
"""

from __future__ import annotations

import pytest

from tests.harness import Harness
from tests.scenarios.firewalls import SPEC, Firewalls
from tests.two_enis import DRIFTS, Account, assert_is_the_story

GAPS = {
    "delete_on_termination set": "moto does not apply DeleteOnTermination",
    "a description changed": "moto does not take an empty description",
    "an address moved to another interface": "moto lets two addresses stand for one private IP",
    "two addresses swapped": "moto refuses an address for a private IP that has one",
}


@pytest.fixture
def harness(moto_harness: Harness) -> Harness:
    return moto_harness


def test_apply_converges_and_the_second_changes_nothing(harness: Harness) -> None:
    """One apply builds the story, a second says unchanged, a plan is empty."""
    assert harness.apply().outcome == "converged"
    assert_is_the_story(harness)
    report = harness.apply()
    assert (report.outcome, report.outcomes) == ("unchanged", ())
    assert harness.plan().empty


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=GAPS[name]) if name in GAPS else ())
        for name in DRIFTS
        # moto knows no states in between.
        if name not in ("the instance going down", "the instance stopping")
    ],
)
def test_drift_is_seen_and_corrected(harness: Harness, name: str) -> None:
    """What is done behind its back is in the plan, and corrected with exactly the calls that it takes."""
    harness.apply()
    deed, calls, impact = DRIFTS[name]
    deed(Account(harness))
    plan = harness.plan()
    if name == "eth1 deleted":  # moto leaves the deleted interface's address associated: it counts as a move
        assert sorted(step.call for step in plan.steps) == sorted(calls)
    else:
        assert [step.call for step in plan.steps] == calls
        assert plan.impact is impact
    report = harness.apply()
    assert (report.outcome, report.error) == ("converged", None)
    assert sorted(outcome.step.call for outcome in report.outcomes) == sorted(calls)
    assert_is_the_story(harness)
    assert harness.plan().empty


def test_an_interface_fails_over(harness: Harness) -> None:
    """specs/ha-failover.yaml: built, kept, moved with its addresses when the holder stops, and kept there."""
    lab = Firewalls(harness)
    assert harness.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"
    before = lab.interface()
    assert harness.apply(SPEC).outcome == "unchanged"
    lab.ec2.stop_instances(InstanceIds=[lab.ids["fw-a"]])
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    calls = [outcome.step.call for outcome in report.outcomes]
    assert calls == ["DetachNetworkInterface", "AttachNetworkInterface"]
    assert lab.holder() == "fw-b"
    after = lab.interface()
    assert [after[key] for key in ("PrivateIpAddress", "Association")] == [
        before[key] for key in ("PrivateIpAddress", "Association")
    ]
    lab.ec2.start_instances(InstanceIds=[lab.ids["fw-a"]])
    assert harness.apply(SPEC).outcome == "unchanged"


FOREIGN = """
version: 1
stack: lab
region: us-east-1
security_groups:
  web:
    ingress:
      - {protocol: all, sources: [{group_name: default}]}
      - {protocol: tcp, ports: 443, sources: [{prefix_list_name: com.amazonaws.us-east-1.s3}]}
network_interfaces:
  eth0: {subnet: {default_for_az: us-east-1a}, security_groups: [web, {group_name: default}]}
"""


def test_foreign_groups_and_prefix_lists_by_name(harness: Harness) -> None:
    report = harness.apply(FOREIGN)
    assert (report.outcome, report.error) == ("converged", None)
    assert harness.plan(FOREIGN).empty
