"""The interface that lives on the first healthy holder, and instances that are somebody else's."""

from __future__ import annotations

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact

from .firewalls import SPEC, Firewalls
from .house import House


@pytest.fixture
def lab(slow_house: House) -> Firewalls:
    return Firewalls(slow_house)


def test_the_first_healthy_one_holds_it(lab: Firewalls) -> None:
    """Both are well: the first gets the interface, with its address; a second apply finds nothing to do."""
    report = lab.house.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    assert lab.holder() == "fw-a"
    assert lab.interface()["Association"]["PublicIp"]
    lab.house.strict.clear()
    assert lab.house.apply(SPEC).outcome == "unchanged"
    assert lab.house.strict.mutating() == []


def test_it_fails_over_with_everything_on_it(lab: Firewalls) -> None:
    """fw-a's checks fail: detach, wait, attach; the Elastic IP is not touched, and the plan says why."""
    lab.house.apply(SPEC)
    before = lab.interface()
    lab.sicken("fw-a")
    plan = lab.house.plan(SPEC)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("DetachNetworkInterface", Impact.DISRUPTIVE),
        ("AttachNetworkInterface", Impact.SAFE),
    ]
    [change] = [change for change in plan.changes if change.fields]
    assert change.reason == "fails over from fw-a (status checks impaired) to fw-b"
    assert lab.house.apply(SPEC).outcome == "converged"
    after = lab.interface()
    assert (lab.holder(), after["Attachment"]["DeviceIndex"]) == ("fw-b", 1)
    assert after["Association"]["AssociationId"] == before["Association"]["AssociationId"]
    assert not any(call.params.get("Force") for call in lab.house.strict.mutating())


@pytest.mark.parametrize(("preempt", "holder"), [("false", "fw-b"), ("true", "fw-a")])
def test_going_back_is_by_request(lab: Firewalls, preempt: str, holder: str) -> None:
    """fw-a recovers: without preempt the interface stays where it is, with it it goes back."""
    spec = SPEC.replace("preempt: false", f"preempt: {preempt}")
    lab.sicken("fw-a")
    lab.house.apply(spec)
    assert lab.holder() == "fw-b"
    lab.sicken("fw-a", "ok")
    lab.house.apply(spec)
    assert lab.holder() == holder
    assert lab.house.plan(spec).empty


def test_nothing_healthy_means_nothing_moves(lab: Firewalls) -> None:
    """Both are ill: the interface stays where it is, and the plan warns."""
    lab.house.apply(SPEC)
    lab.sicken("fw-a")
    lab.sicken("fw-b")
    plan = lab.house.plan(SPEC)
    assert plan.empty
    assert plan.warnings == (
        "network_interfaces.service: no instance is healthy enough to hold it: fw-a (status checks impaired), "
        "fw-b (status checks impaired); it stays on fw-a",
    )
    assert (lab.house.apply(SPEC).outcome, lab.holder()) == ("unchanged", "fw-a")


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
    lab.house.apply(spec)
    if deed == "sicken":
        lab.sicken("fw-a")
    elif deed == "stop":
        lab.ec2.stop_instances(InstanceIds=[lab.ids["fw-a"]])
    else:
        lab.ec2.terminate_instances(InstanceIds=[lab.ids["fw-a"]])
    lab.house.loop.now += 10
    report = lab.house.apply(spec)
    assert (report.error, lab.holder()) == (None, holder)


def test_a_stranger_does_not_keep_it(lab: Firewalls) -> None:
    """Somebody attached it to an instance that is not in the list: it comes back to the first healthy one."""
    lab.house.apply(SPEC)
    stranger = lab.launch("other", lab.subnet)
    lab.house.loop.now += 60
    lab.ec2.detach_network_interface(AttachmentId=lab.interface()["Attachment"]["AttachmentId"])
    lab.house.loop.now += 5
    interface = lab.interface()["NetworkInterfaceId"]
    lab.ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=stranger, DeviceIndex=1)
    lab.house.loop.now += 5
    assert lab.house.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"


def test_a_failover_costs_one_more_read(lab: Firewalls) -> None:
    """The no-op plan with two external instances by tags: their two describes and one for the status checks."""
    lab.house.apply(SPEC)
    lab.house.strict.clear()
    assert lab.house.plan(SPEC).empty
    calls = lab.house.strict.actions()
    assert (calls.count("DescribeInstances"), calls.count("DescribeInstanceStatus")) == (3, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{tags: {Name: fw-a}}", "i-0123456789abcdef0", None),
        ("instances: [fw-a, fw-b]", "instance: fw-a", None),
        ("{tags: {Name: fw-a}}", "{tags: {Team: fw}}", "2 instances fit"),
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
        assert lab.house.apply(spec).outcome == "converged"
        assert lab.holder() == ("fw-a" if "instance:" in new else "fw-b")
    else:
        with pytest.raises(SpecErrors, match=message):
            lab.house.plan(spec)


def test_an_external_instance_that_an_attachment_needs_must_exist(lab: Firewalls) -> None:
    """The only instance of an attachment does not exist: an error before anything changes."""
    spec = SPEC.replace("{tags: {Name: fw-a}}", "i-0123456789abcdef0")
    spec = spec.replace("instances: [fw-a, fw-b]", "instance: fw-a").replace("      failover: {health", "      #")
    with pytest.raises(SpecErrors, match=r"instances\.fw-a\.external: no instance in us-east-1 fits"):
        lab.house.plan(spec)


def test_an_instance_in_another_zone_is_refused(lab: Firewalls) -> None:
    """fw-b stands in another zone than the interface: EC2 could never attach it there."""
    other = lab.house.strict.world.add_subnet(lab.vpc, "10.0.2.0/24", "us-east-1b")
    far = lab.launch("fw-far", other)
    lab.house.loop.now += 60
    with pytest.raises(SpecErrors, match="fw-b stands in us-east-1b"):
        lab.house.plan(SPEC.replace("{tags: {Name: fw-b}}", far))
