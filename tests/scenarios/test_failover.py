"""The interface that lives on the first healthy holder, and instances that are another owner's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact
from tests.harness import SLOW, Harness, open_harness
from tests.scenarios.firewalls import SPEC, Firewalls


@pytest.fixture
def lab(slow_harness: Harness) -> Firewalls:
    return Firewalls(slow_harness)


def test_the_first_healthy_one_holds_it(lab: Firewalls) -> None:
    """Both are well: the first gets the interface, with its address; a second apply finds nothing to do."""
    report = lab.harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    assert lab.holder() == "fw-a"
    assert lab.interface()["Association"]["PublicIp"]
    lab.harness.strict.clear()
    assert lab.harness.apply(SPEC).outcome == "unchanged"
    assert lab.harness.strict.mutating() == []


def test_it_fails_over_with_everything_on_it(lab: Firewalls) -> None:
    """fw-a's checks fail: detach, wait, attach; the Elastic IP is not touched, and the plan says why."""
    lab.harness.apply(SPEC)
    before = lab.interface()
    lab.sicken("fw-a")
    plan = lab.harness.plan(SPEC)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("DetachNetworkInterface", Impact.DISRUPTIVE),
        ("AttachNetworkInterface", Impact.SAFE),
    ]
    [change] = [change for change in plan.changes if change.fields]
    assert change.reason == "fails over from fw-a (status checks impaired) to fw-b"
    assert lab.harness.apply(SPEC).outcome == "converged"
    after = lab.interface()
    assert (lab.holder(), after["Attachment"]["DeviceIndex"]) == ("fw-b", 1)
    assert after["Association"]["AssociationId"] == before["Association"]["AssociationId"]
    assert not any(call.params.get("Force") for call in lab.harness.strict.mutating())


def test_instances_of_the_same_file_boot_with_it(slow_harness: Harness) -> None:
    """The first apply launches the first candidate with the interface, in one round."""
    text = """\
version: 1
stack: pair
region: us-east-1
defaults: {instances: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.medium}}
instances: {"fw-${each.key}": {for_each: [a, b]}}
network_interfaces:
  "eth0-${each.key}":
    for_each: [a, b]
    subnet: {default_for_az: us-east-1a}
    attachment: {instance: "fw-${each.key}", device_index: 0}
  service:
    subnet: {default_for_az: us-east-1a}
    attachment: {instances: [fw-a, fw-b], device_index: 1}
"""
    report = slow_harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None)
    assert "AttachNetworkInterface" not in slow_harness.strict.actions()
    assert report.seconds < 10
    [launch] = [
        call for call in slow_harness.strict.mutating() if len(call.params.get("NetworkInterfaces", ())) == 2
    ]
    tags = launch.params["TagSpecifications"][0]["Tags"]
    assert {"Key": "enireconcile:name", "Value": "instances.fw-a"} in tags
    assert slow_harness.apply(text).outcome == "unchanged"


@pytest.mark.parametrize(("preempt", "holder"), [("false", "fw-b"), ("true", "fw-a")])
def test_failing_back_is_optional(lab: Firewalls, preempt: str, holder: str) -> None:
    """fw-a recovers: without preempt the interface stays where it is, with it it goes back."""
    spec = SPEC.replace("preempt: false", f"preempt: {preempt}")
    lab.sicken("fw-a")
    lab.harness.apply(spec)
    assert lab.holder() == "fw-b"
    lab.sicken("fw-a", "ok")
    lab.harness.apply(spec)
    assert lab.holder() == holder
    assert lab.harness.plan(spec).empty


def test_nothing_healthy_means_nothing_moves(lab: Firewalls) -> None:
    """Both are ill: the interface stays where it is, and the plan warns."""
    lab.harness.apply(SPEC)
    lab.sicken("fw-a")
    lab.sicken("fw-b")
    plan = lab.harness.plan(SPEC)
    assert plan.empty
    assert plan.warnings == (
        "network_interfaces.service: no healthy instance to attach it to: fw-a (status checks impaired), "
        "fw-b (status checks impaired); it stays on fw-a",
    )
    assert (lab.harness.apply(SPEC).outcome, lab.holder()) == ("unchanged", "fw-a")


@pytest.mark.parametrize(
    ("health", "deed", "holder"),
    [
        ("running", "stop", "fw-b"),
        ("running", "sicken", "fw-a"),
        ("none", "stop", "fw-a"),
        ("none", "terminate", "fw-b"),
        ("status_checks", "stop", "fw-b"),
        ("status_checks", "terminate", "fw-b"),
    ],
)
def test_what_makes_a_holder_healthy(lab: Firewalls, health: str, deed: str, holder: str) -> None:
    """status_checks: that EC2's checks are ok; running: that it runs; none: that it exists."""
    spec = SPEC.replace("health: status_checks", f"health: {health}")
    lab.harness.apply(spec)
    if deed == "sicken":
        lab.sicken("fw-a")
    elif deed == "stop":
        lab.ec2.stop_instances(InstanceIds=[lab.ids["fw-a"]])
    else:
        lab.ec2.terminate_instances(InstanceIds=[lab.ids["fw-a"]])
    lab.harness.loop.now += 10
    report = lab.harness.apply(spec)
    assert (report.error, lab.holder()) == (None, holder)


def test_a_foreign_resource_does_not_keep_it(lab: Firewalls) -> None:
    """Another tool attached it to an instance that is not in the list: it comes back to the first healthy one."""
    lab.harness.apply(SPEC)
    stranger = lab.launch("other", lab.subnet)
    lab.harness.loop.now += 60
    lab.ec2.detach_network_interface(AttachmentId=lab.interface()["Attachment"]["AttachmentId"])
    lab.harness.loop.now += 5
    interface = lab.interface()["NetworkInterfaceId"]
    lab.ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=stranger, DeviceIndex=1)
    lab.harness.loop.now += 5
    assert lab.harness.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"


def test_a_failover_costs_one_more_read(lab: Firewalls) -> None:
    """The no-op plan with two external instances by tags: their two describes and one for the status checks."""
    lab.harness.apply(SPEC)
    lab.harness.strict.clear()
    assert lab.harness.plan(SPEC).empty
    calls = lab.harness.strict.actions()
    assert (calls.count("DescribeInstances"), calls.count("DescribeInstanceStatus")) == (3, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{tags: {Name: fw-a}}", "i-0123456789abcdef0", None),
        ("instances: [fw-a, fw-b]", "instance: fw-a", None),
        ("{tags: {Name: fw-a}}", "{tags: {Team: fw}}", "2 instances match"),
    ],
)
def test_external_instances_that_do_not_fit(lab: Firewalls, old: str, new: str, message: str | None) -> None:
    """One that is missing is unhealthy to a failover; two that fit are an error with its place."""
    ids = list(lab.ids.values())
    lab.ec2.create_tags(Resources=ids, Tags=[{"Key": "Team", "Value": "fw"}])
    spec = (
        SPEC.replace(old, new).replace("      failover: {health", "      #")
        if "instance:" in new
        else SPEC.replace(old, new)
    )
    if message is None:
        assert lab.harness.apply(spec).outcome == "converged"
        assert lab.holder() == ("fw-a" if "instance:" in new else "fw-b")
    else:
        with pytest.raises(SpecErrors, match=message):
            lab.harness.plan(spec)


def test_an_external_instance_that_an_attachment_needs_must_exist(lab: Firewalls) -> None:
    """The only instance of an attachment does not exist: an error before anything changes."""
    spec = SPEC.replace("{tags: {Name: fw-a}}", "i-0123456789abcdef0")
    spec = spec.replace("instances: [fw-a, fw-b]", "instance: fw-a").replace("      failover: {health", "      #")
    with pytest.raises(SpecErrors, match=r"instances\.fw-a\.external: no instance in us-east-1 matches"):
        lab.harness.plan(spec)


def test_a_hint_names_the_instance_that_was_probably_meant(lab: Firewalls) -> None:
    """Terminated instances are no choice. Only the errors cost a call: one, for both selectors."""
    gone = lab.launch("fw-gone", lab.subnet)
    lab.harness.loop.now += 60
    lab.ec2.terminate_instances(InstanceIds=[gone])
    spec = SPEC.replace("instances: [fw-a, fw-b]", "instance: fw-a").replace("      failover: {health", "      #")
    lab.harness.plan(spec)
    before = lab.harness.strict.actions().count("DescribeInstances")
    lab.harness.strict.clear()
    with pytest.raises(SpecErrors) as raised:
        lab.harness.plan(spec.replace("{Name: fw-a}", "{Name: fw-aa}"))
    [problem] = raised.value.problems
    assert problem.message == "no instance in us-east-1 matches Name=fw-aa"
    assert problem.hint == "did you mean `fw-a`? values of Name on instances: fw-a, fw-b"
    assert lab.harness.strict.actions().count("DescribeInstances") == 2 * before + 1


def test_an_instance_in_another_zone_is_refused(lab: Firewalls) -> None:
    """fw-b stands in another zone than the interface: EC2 could never attach it there."""
    other = lab.harness.strict.world.add_subnet(lab.vpc, "10.0.2.0/24", "us-east-1b")
    far = lab.launch("fw-far", other)
    lab.harness.loop.now += 60
    with pytest.raises(SpecErrors, match="the instance fw-b is in us-east-1b"):
        lab.harness.plan(SPEC.replace("{tags: {Name: fw-b}}", far))


# Instances of the same spec

OWN = """\
version: 1
stack: own
region: us-east-1
instances:
  a: {image: {name: "al2023-ami-2023.*-kernel-6.1-x86_64", owner: amazon}, instance_type: t3.micro}
  b: {image: {name: "al2023-ami-2023.*-kernel-6.1-x86_64", owner: amazon}, instance_type: t3.micro}
network_interfaces:
  a0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: a, device_index: 0}}
  b0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: b, device_index: 0}}
  service: {subnet: {default_for_az: us-east-1a}, attachment: {instances: [a, b], device_index: 1}}
elastic_ips:
  service: {association: {network_interface: service}}
"""


def test_instances_of_the_same_spec(tmp_path: Path) -> None:
    """The first boots with it, unchecked as it is; the other takes over from one that is terminated."""
    with open_harness(tmp_path / "state", replace(SLOW, status_delay=60)) as harness:
        assert harness.apply(OWN).outcome == "converged"
        first = _service(harness)
        assert harness.plan(OWN).empty
        assert harness.plan(OWN).warnings == ()
        harness.loop.now += 60
        harness.client().terminate_instances(InstanceIds=[first["Attachment"]["InstanceId"]])
        plan = harness.plan(OWN)
        [change] = [change for change in plan.changes if change.address == "network_interfaces.service"]
        assert change.reason == "fails over from a (not found) to b"
        report = harness.apply(OWN)
        assert (report.outcome, report.error) == ("converged", None)
        second = _service(harness)
        assert second["Attachment"]["InstanceId"] != first["Attachment"]["InstanceId"]
        assert second["Association"]["AssociationId"] == first["Association"]["AssociationId"]
        harness.loop.now += 60
        assert harness.plan(OWN).empty


def _service(harness: Harness) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.service"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


# What hangs

FORCE = SPEC.replace("preempt: false", "preempt: false, force_detach_after: 60s")


def _detaches(lab: Firewalls) -> list[tuple[str, bool]]:
    """Every detach that reached EC2: of whom, and whether by force."""
    calls = [call for call in lab.harness.strict.mutating() if call.action == "DetachNetworkInterface"]
    return [(call.params["AttachmentId"], call.params.get("Force", False)) for call in calls]


def _stuck(lab: Firewalls, spec: str) -> float:
    """fw-a holds the interface, hangs and falls ill; the answer is what time it is."""
    lab.harness.apply(spec)
    assert lab.holder() == "fw-a"
    lab.harness.strict.world.set_clinging(lab.ids["fw-a"])
    lab.sicken("fw-a")
    lab.harness.strict.clear()
    return lab.harness.loop.now


def test_force_is_a_step_of_its_own_and_warned_of(lab: Firewalls) -> None:
    """The plan has the detach that asks and the one that insists, both disruptive, and says what that may cost."""
    _stuck(lab, FORCE)
    plan = lab.harness.plan(FORCE)
    assert [(step.call, step.params.get("Force", False), step.impact) for step in plan.steps] == [
        ("DetachNetworkInterface", False, Impact.DISRUPTIVE),
        ("DetachNetworkInterface", True, Impact.DISRUPTIVE),
        ("AttachNetworkInterface", False, Impact.SAFE),
    ]
    warning, guest = plan.warnings
    assert "see `enireconcile guest - fw-a`" in guest
    assert "if fw-a has not released it after 60 s, the plan forces the detach" in warning
    assert "device index 1 of fw-a" in warning
    [change] = [change for change in plan.changes if change.fields]
    assert change.reason == (
        "fails over from fw-a (status checks impaired) to fw-b; forces the detach if it is not done after 60 s"
    )


def test_a_detach_that_hangs_is_forced_after_its_time(lab: Firewalls) -> None:
    """The guest does not let go: asked first, forced a minute later, attached to the other with its address."""
    began = _stuck(lab, FORCE)
    report = lab.harness.apply(FORCE)
    assert (report.outcome, report.error, lab.holder()) == ("converged", None, "fw-b")
    assert [forced for _, forced in _detaches(lab)] == [False, True]
    assert 60 <= lab.harness.loop.now - began < 75
    assert lab.interface()["Association"]["PublicIp"]
    assert lab.harness.apply(FORCE).outcome == "unchanged"


def test_a_detach_that_does_not_hang_is_not_forced(lab: Firewalls) -> None:
    """The guest lets go in half a second: the insisting step is done without a call."""
    lab.harness.apply(FORCE)
    lab.sicken("fw-a")
    lab.harness.strict.clear()
    report = lab.harness.apply(FORCE)
    assert (report.outcome, lab.holder()) == ("converged", "fw-b")
    assert [forced for _, forced in _detaches(lab)] == [False]
    assert [(outcome.status, outcome.attempts) for outcome in report.outcomes] == [
        ("done", 1),
        ("done", 0),
        ("done", 1),
    ]


def test_never_forced_unless_allowed(lab: Firewalls) -> None:
    """Without force_detach_after the run waits for the guest, as long as it takes."""
    _stuck(lab, SPEC)
    lab.harness.loop.call_later(400, lambda: lab.harness.strict.world.set_clinging(lab.ids["fw-a"], False))
    report = lab.harness.apply(SPEC)
    assert (report.outcome, lab.holder()) == ("converged", "fw-b")
    assert [forced for _, forced in _detaches(lab)] == [False]


def test_a_crash_does_not_start_the_minute_anew(lab: Firewalls) -> None:
    """A run dies 40 seconds into the wait; the next one waits for the rest of the minute only, and then forces."""
    began = _stuck(lab, FORCE)
    report = lab.harness.apply(FORCE, timeout=40)
    assert (report.outcome, lab.interface()["Attachment"]["Status"]) == ("partial", "detaching")
    report = lab.harness.apply(FORCE)
    assert (report.outcome, report.error, lab.holder()) == ("converged", None, "fw-b")
    assert [forced for _, forced in _detaches(lab)] == [False, True]
    assert 60 <= lab.harness.loop.now - began < 75


def test_found_hanging_it_counts_from_the_first_sight(lab: Firewalls, tmp_path: Path) -> None:
    """Another user asked it to come off long ago, and EC2 does not say when: a minute from now, then by force."""
    _stuck(lab, FORCE)
    lab.ec2.detach_network_interface(AttachmentId=lab.interface()["Attachment"]["AttachmentId"])
    lab.harness.loop.now += 3600
    lab.harness.strict.clear()
    began = lab.harness.loop.now
    plan = lab.harness.plan(FORCE)
    assert [(step.call, step.params.get("Force")) for step in plan.steps] == [
        ("DetachNetworkInterface", True),
        ("AttachNetworkInterface", None),
    ]
    assert lab.harness.apply(FORCE, state=tmp_path / "another").outcome == "converged"
    assert [forced for _, forced in _detaches(lab)] == [True]
    assert 60 <= lab.harness.loop.now - began < 75


def test_failing_back_to_an_index_that_force_has_blocked(lab: Firewalls) -> None:
    """EC2 refuses the index of fw-a after a forced detach: the interface is not lost, and a stop corrects it."""
    spec = FORCE.replace("preempt: false", "preempt: true")
    _stuck(lab, spec)
    assert lab.harness.apply(spec).outcome == "converged"
    lab.harness.strict.world.set_clinging(lab.ids["fw-a"], False)
    lab.sicken("fw-a", "ok")
    report = lab.harness.apply(spec)
    assert (report.outcome, lab.holder()) == ("partial", None)
    assert any("already has an interface attached at device index" in (end.error or "") for end in report.outcomes)
    lab.ec2.stop_instances(InstanceIds=[lab.ids["fw-a"]])
    lab.harness.loop.now += 5
    assert lab.harness.apply(spec).outcome == "converged"
    assert lab.holder() == "fw-b"
