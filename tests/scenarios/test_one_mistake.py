"""One mistake, one place: the rest is applied, and a failover does not wait for what it does not need."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.model import Report, Status
from tests.ec2 import Fail
from tests.harness import Harness
from tests.scenarios.firewalls import SPEC, Firewalls

REFUSED = "RulesPerSecurityGroupLimitExceeded"
RULE = "      - {protocol: tcp, ports: 8443, sources: [0.0.0.0/0]}\n"
MORE_RULES = SPEC.replace("description: https}\n", "description: https}\n" + RULE)
NO_VPC = SPEC.replace("vpc: {tags: {Name: lab}}", "vpc: {tags: {Name: nowhere}}")
TWO = """\
version: 1
stack: lab
region: us-east-1
security_groups: {web: {vpc: {cidr: 10.99.0.0/16}}}
elastic_ips: {ip: {}}
"""


@pytest.fixture
def lab(slow_harness: Harness) -> Firewalls:
    """The interface is on fw-a, whose status checks have failed since."""
    lab = Firewalls(slow_harness)
    assert lab.harness.apply(SPEC).outcome == "converged"
    lab.sicken("fw-a")
    lab.harness.strict.clear()
    return lab


def apply_timed(lab: Firewalls, spec: str, **more: Any) -> tuple[Report, float]:
    began = lab.harness.loop.now
    report = lab.harness.apply(spec, partly=True, **more)
    return report, lab.harness.loop.now - began


def failover_seconds(report: Report) -> float:
    """From the start of the detach to the end of the attach."""
    return sum(
        outcome.seconds
        for outcome in report.outcomes
        if outcome.step.call in ("DetachNetworkInterface", "AttachNetworkInterface")
    )


def test_a_refused_rule_does_not_delay_a_failover(lab: Firewalls) -> None:
    """Measured on the virtual clock: detach and attach take as long as without the rule."""
    alone, _ = apply_timed(lab, SPEC)
    assert (alone.outcome, lab.holder()) == ("converged", "fw-b")
    lab.sicken("fw-a", "ok")
    lab.sicken("fw-b")
    lab.harness.strict.faults.add(Fail(action="AuthorizeSecurityGroupIngress", code=REFUSED, times=99))
    report, _ = apply_timed(lab, MORE_RULES)
    assert lab.holder() == "fw-a"
    assert failover_seconds(report) == pytest.approx(failover_seconds(alone))
    assert (report.outcome, report.exit_code, report.remaining) == ("partial", 5, ("security_groups.service",))
    status = {outcome.step.call: outcome.status for outcome in report.outcomes}
    assert status == {
        "AuthorizeSecurityGroupIngress": Status.FAILED,
        "DetachNetworkInterface": Status.DONE,
        "AttachNetworkInterface": Status.DONE,
    }
    [refused] = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert refused.attempts == 1


def test_a_mistake_in_the_group_does_not_delay_a_failover(lab: Firewalls) -> None:
    """Once its error is known, as in a watch, a run takes as long as without it, reading back included."""
    alone, seconds = apply_timed(lab, SPEC)
    lab.sicken("fw-a", "ok")
    lab.sicken("fw-b")
    known = {("security_groups.service", "security_groups.service.vpc")}
    report, with_error = apply_timed(lab, NO_VPC, believed=known)
    assert (lab.holder(), report.outcome, report.exit_code) == ("fw-a", "partial", 5)
    assert with_error == pytest.approx(seconds, abs=0.5)
    assert failover_seconds(report) == pytest.approx(failover_seconds(alone))
    assert report.remaining == ("security_groups.service",)
    [error] = report.errors
    assert (error.address, error.left_out) == ("security_groups.service", ("security_groups.service",))


def test_an_unknown_error_costs_one_second_look(lab: Firewalls) -> None:
    _, seconds = apply_timed(lab, SPEC)
    lab.sicken("fw-a", "ok")
    lab.sicken("fw-b")
    _, with_error = apply_timed(lab, NO_VPC)
    assert with_error == pytest.approx(seconds + 2.0, abs=0.5)


def test_the_rest_is_applied_and_the_next_run_changes_nothing(harness: Harness) -> None:
    report = harness.apply(TWO, partly=True)
    assert [call.action for call in harness.strict.mutating()] == ["AllocateAddress"]
    assert (report.outcome, report.exit_code, report.error) == ("partial", 5, None)
    assert report.remaining == ("security_groups.web",)
    harness.strict.clear()
    again = harness.apply(TWO, partly=True)
    assert (again.outcome, again.exit_code, harness.strict.mutating()) == ("failed", 1, [])
    assert [error.problem.path for error in again.errors] == ["security_groups.web.vpc"]


def test_a_refused_step_is_not_repeated_in_the_rounds_for_the_rest(harness: Harness) -> None:
    """One step is refused, another one finds the live state changed: only that one is planned again."""
    spec = TWO.replace("{vpc: {cidr: 10.99.0.0/16}}", "{}").replace("{ip: {}}", "{a: {}, b: {}}")
    assert harness.apply(spec).outcome == "converged"
    changed = spec.replace("{a: {}, b: {}}", "{a: {tags: {x: y}}, b: {tags: {x: y}}}")
    faults = harness.strict.faults
    faults.add(Fail(action="CreateTags", code="UnauthorizedOperation", nth=1))
    faults.add(Fail(action="CreateTags", code="InvalidAllocationID.NotFound", nth=1))
    harness.strict.clear()
    report = harness.apply(changed)
    ended = [(outcome.step.id, outcome.status) for outcome in report.outcomes]
    assert len(ended) == 3
    assert [status for _, status in ended] == [Status.FAILED, Status.FAILED, Status.DONE]
    assert (report.outcome, report.exit_code, len(report.remaining)) == ("partial", 5, 1)


NO_SUBNET = """\
version: 1
stack: lab
region: us-east-1
network_interfaces: {n0: {subnet: {tags: {Name: nosuch}}}}
elastic_ips: {s: {tags: {a: "${network_interfaces.n0.id}"}}, z: {}}
"""
NO_ELASTIC_IP = """\
version: 1
stack: lab
region: us-east-1
instances:
  i:
    image: {name: "al2023-ami-2023*-x86_64", owner: amazon}
    instance_type: t3.micro
    user_data: echo ${elastic_ips.b.public_ip}
network_interfaces:
  n0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: i, device_index: 0}}
elastic_ips: {b: {adopt: eipalloc-0123456789abcdef0}, z: {}}
"""


@pytest.mark.parametrize(
    ("spec", "left_out"),
    [
        (NO_SUBNET, ["elastic_ips.s", "network_interfaces.n0"]),
        (NO_ELASTIC_IP, ["elastic_ips.b", "instances.i", "network_interfaces.n0"]),
    ],
)
def test_a_row_that_refers_to_a_missing_row_is_left_out(spec: str, left_out: list[str], harness: Harness) -> None:
    """No call has a reference without a value."""
    report = harness.apply(spec, partly=True)
    assert (report.outcome, report.error, list(report.remaining)) == ("partial", None, left_out)
    assert harness.strict.actions(mutating=True) == ["AllocateAddress"]
    again = harness.apply(spec, partly=True)
    assert (again.outcome, again.outcomes) == ("failed", ())


def test_a_row_that_exists_is_kept_when_what_it_refers_to_is_gone(harness: Harness) -> None:
    right = NO_SUBNET.replace("tags: {Name: nosuch}", "default_for_az: us-east-1a")
    assert harness.apply(right).outcome == "converged"
    [interface] = harness.client().describe_network_interfaces()["NetworkInterfaces"]
    harness.client().delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    harness.loop.now += 60
    harness.strict.clear()
    report = harness.apply(NO_SUBNET, partly=True)
    assert (report.outcome, harness.strict.mutating()) == ("failed", [])
    assert report.errors[0].reasons == (("elastic_ips.s", "needs network_interfaces.n0"),)
