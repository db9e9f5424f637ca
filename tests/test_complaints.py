"""What users of other tools complain of, and what happens here instead; one test for each complaint."""

from __future__ import annotations

import re

import pytest

from enireconcile.errors import SpecErrors, UnsupportedError

from .adoption import bare, orphan
from .firewalls import SPEC, Firewalls
from .house import House


def test_force_detach_by_default(slow_house: House) -> None:
    """Force detach by default."""
    lab = Firewalls(slow_house)
    slow_house.apply(SPEC)
    lab.sicken("fw-a")
    assert slow_house.apply(SPEC).outcome == "converged"
    detaches = [call.params for call in slow_house.strict.mutating() if call.action == "DetachNetworkInterface"]
    assert [params.get("Force", False) for params in detaches] == [False]


def test_stuck_in_detaching(slow_house: House) -> None:
    """Stuck in detaching."""
    lab = Firewalls(slow_house)
    spec = SPEC.replace("preempt: false", "force_detach_after: 60s")
    slow_house.apply(spec)
    slow_house.strict.world.set_clinging(lab.ids["fw-a"])
    lab.sicken("fw-a")
    # A run without leave to force waits for ten minutes, ends, and says what is so and what to do.
    began = slow_house.loop.now
    report = slow_house.apply(SPEC)
    assert (report.outcome, lab.interface()["Attachment"]["Status"]) == ("partial", "detaching")
    assert slow_house.loop.now - began < 650
    [error] = [outcome.error or "" for outcome in report.outcomes if outcome.status == "failed"]
    assert "after 600 s Status is in-use" in error
    assert "stop its instance, or let a failover force it (force_detach_after)" in error
    # A run that may goes on from there.
    assert slow_house.apply(spec).outcome == "converged"
    assert lab.holder() == "fw-b"


def test_anothers_failover_is_undone(slow_house: House) -> None:
    """Another tool's failover undone without a way to say `ignore`."""
    lab = Firewalls(slow_house)
    spec = SPEC.replace("    private_ip:", "    lifecycle: {ignore: [attachment]}\n    private_ip:")
    slow_house.apply(spec)
    interface = lab.interface()
    assert lab.holder() == "fw-a"
    lab.ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"])
    slow_house.loop.now += 5
    # Half way through its move, and after it.
    assert slow_house.apply(spec).outcome == "unchanged"
    lab.ec2.attach_network_interface(
        NetworkInterfaceId=interface["NetworkInterfaceId"], InstanceId=lab.ids["fw-b"], DeviceIndex=1
    )
    slow_house.loop.now += 5
    assert slow_house.apply(spec).outcome == "unchanged"
    assert lab.holder() == "fw-b"


def test_adoption_replaces(slow_house: House) -> None:
    """Adoption that replaces."""
    ids = orphan(slow_house)
    assert slow_house.apply(bare(ids)).outcome == "converged"
    assert {call.action for call in slow_house.strict.mutating()} == {"CreateTags"}
    # Not even where a row asks for something else, and would let anything else be replaced.
    slow_house.strict.clear()
    for keys in ("instance_type: t3.large, on_change: replace", "image: ami-12345678, on_change: replace"):
        with pytest.raises(UnsupportedError, match="it is adopted as it is"):
            slow_house.apply(bare(ids, web=keys))
    with pytest.raises(UnsupportedError, match="it is adopted as it is"):
        slow_house.apply(bare(ids, web_eth1="subnet: {default_for_az: us-east-1a}, private_ip: 172.31.0.99"))
    assert slow_house.strict.mutating() == []


def test_device_slots_and_limits_found_out_half_way(slow_house: House) -> None:
    """Device slots and limits found out half way."""
    lab = Firewalls(slow_house)
    # fw-a, a t3.micro, has its own interface and somebody's at index 2: there is no room for ours at index 1.
    stranger = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    slow_house.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-a"], DeviceIndex=2)
    slow_house.loop.now += 5
    slow_house.strict.clear()
    told = (
        "network_interfaces.service.attachment: t3.micro takes 2 interfaces, the spec attaches 1 to fw-a beside 2"
    )
    with pytest.raises(SpecErrors, match=re.escape(told)):
        slow_house.apply(SPEC)
    assert slow_house.strict.mutating() == []
    # With the stranger in our own slot there is room once it was moved aside, which the plan says.
    [shown] = lab.ec2.describe_network_interfaces(NetworkInterfaceIds=[stranger])["NetworkInterfaces"]
    lab.ec2.detach_network_interface(AttachmentId=shown["Attachment"]["AttachmentId"])
    slow_house.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-a"], DeviceIndex=1)
    slow_house.loop.now += 5
    plan = slow_house.plan(SPEC)
    [change] = [change for change in plan.changes if change.address == "network_interfaces.service"]
    assert change.reason == f"evicts {stranger}"
    assert slow_house.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"
