"""Elastic IPs on the strict EC2: where they lead, what they are called, what they are from birth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors, UnsupportedError
from enireconcile.model import Impact, Plan, Report
from tests.ec2 import DropConnection, Fail, Hook, Quotas, Settings
from tests.ec2.calls import Call
from tests.harness import SLOW, Harness, image_id, open_harness

HEAD = "version: 1\nstack: lab\nregion: us-east-1\n"
WEB = """instances:
  web: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.medium}
network_interfaces:
  eth0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}
  eth1: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 1}}
"""


@pytest.fixture
def harness(slow_harness: Harness) -> Harness:
    return slow_harness


def spec(rows: str, others: str = "") -> str:
    """A spec with these lines in ``elastic_ips``."""
    body = "".join(f"  {line}\n" for line in rows.splitlines())
    return HEAD + others + ("elastic_ips:\n" + body if body else "")


class Strangers:
    """Another owner's instance with two interfaces, and a lone interface with two private addresses."""

    def __init__(self, harness: Harness) -> None:
        self.ec2 = harness.client()
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])
        self.subnet = subnets["Subnets"][0]["SubnetId"]
        self.lone, second = self._interface(), self._interface()
        harness.loop.now += 5
        launched = self.ec2.run_instances(
            ImageId=image_id(self.ec2), InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=self.subnet
        )
        self.instance = launched["Instances"][0]["InstanceId"]
        harness.loop.now += 5
        self.primary = launched["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]
        assigned = self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=self.lone, SecondaryPrivateIpAddressCount=1
        )
        self.further = assigned["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
        self.ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=self.instance, DeviceIndex=1)
        harness.loop.now += 60
        harness.strict.clear()

    def _interface(self) -> str:
        made = self.ec2.create_network_interface(SubnetId=self.subnet)["NetworkInterface"]
        return str(made["NetworkInterfaceId"])

    def show(self, interface: str) -> Any:
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
        found["PrivateIpAddresses"].sort(key=lambda each: each["PrivateIpAddress"])
        return found

    @property
    def leading(self) -> str:
        """A spec with an Elastic IP for each sort of place."""
        rows = (
            f"lone: {{association: {{network_interface: {self.lone}}}}}\n"
            f"further: {{association: {{network_interface: {self.lone}, private_ip: {self.further}}}}}\n"
            "fw: {association: {instance: fw}}\n"
        )
        return spec(rows, f"instances: {{fw: {{external: {self.instance}}}}}\n")


def address(harness: Harness, name: str) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"elastic_ips.{name}"]}]
    [found] = harness.client().describe_addresses(Filters=filters)["Addresses"]
    return found


def converged(report: Report) -> None:
    assert (report.outcome, report.error) == ("converged", None), str(report)


def at_rest(harness: Harness, text: str, *, prune: bool = False) -> None:
    """A plan is empty, an apply changes nothing."""
    assert harness.plan(text, prune=prune).empty
    harness.strict.clear()
    assert harness.apply(text, prune=prune).outcome == "unchanged"
    assert harness.strict.mutating() == []


def acted(harness: Harness) -> list[str]:
    return [call.action for call in harness.strict.mutating() if call.acted]


def told(plan: Plan) -> list[tuple[str, Impact]]:
    return [(step.call, step.impact) for step in plan.steps]


# ---- other people's interfaces


def test_addresses_lead_to_other_peoples_interfaces(harness: Harness) -> None:
    """By interface, by private address, by instance: created, at rest, and nothing else of them is touched."""
    strangers = Strangers(harness)
    converged(harness.apply(strangers.leading))
    assert set(acted(harness)) == {"AllocateAddress", "AssociateAddress"}
    lone, primary = strangers.show(strangers.lone), strangers.show(strangers.primary)
    public = {name: address(harness, name)["AllocationId"] for name in ("lone", "further", "fw")}
    assert {
        each["PrivateIpAddress"]: each["Association"]["AllocationId"] for each in lone["PrivateIpAddresses"]
    } == {lone["PrivateIpAddress"]: public["lone"], strangers.further: public["further"]}
    assert primary["Association"]["AllocationId"] == public["fw"]
    at_rest(harness, strangers.leading)


def test_reading_foreign_interfaces_takes_one_call(harness: Harness) -> None:
    """However many of them; and none where no address leads to any."""
    strangers = Strangers(harness)
    harness.plan(spec("one: {association: {network_interface: eth0}}\n", WEB))
    assert harness.strict.actions().count("DescribeNetworkInterfaces") == 1
    harness.apply(strangers.leading)
    harness.strict.clear()
    harness.plan(strangers.leading)
    reads = harness.strict.actions()
    # The stack's own, and the foreign resources by their ids; the external instance takes a DescribeInstances.
    assert (reads.count("DescribeNetworkInterfaces"), reads.count("DescribeInstances")) == (2, 2)
    assert (reads.count("DescribeAddresses"), reads.count("DescribeAccountAttributes")) == (1, 0)


def test_drift_of_addresses_on_foreign_interfaces_is_corrected(harness: Harness) -> None:
    """One was taken off, one was moved to where another belongs, which was displaced: one call each."""
    strangers = Strangers(harness)
    harness.apply(strangers.leading)
    strangers.ec2.disassociate_address(AssociationId=address(harness, "lone")["AssociationId"])
    strangers.ec2.associate_address(
        AllocationId=address(harness, "further")["AllocationId"], NetworkInterfaceId=strangers.primary
    )
    plan = harness.plan(strangers.leading)
    assert sorted(told(plan)) == [
        ("AssociateAddress", Impact.DISRUPTIVE),
        ("AssociateAddress", Impact.DISRUPTIVE),
        ("AssociateAddress", Impact.SAFE),
    ]
    harness.strict.clear()
    converged(harness.apply(strangers.leading))
    assert acted(harness) == ["AssociateAddress"] * 3
    at_rest(harness, strangers.leading)


def test_an_address_moves_on_a_foreign_interface_and_leaves_it(harness: Harness) -> None:
    """To another private address in one call; then off it, with nothing else of the stranger touched."""
    strangers = Strangers(harness)
    primary = spec(f"ip: {{association: {{network_interface: {strangers.lone}}}}}\n")
    further = primary.replace("}}", f", private_ip: {strangers.further}}}}}")
    before = strangers.show(strangers.lone)
    converged(harness.apply(primary))
    for text, call, place in (
        (further, "AssociateAddress", strangers.further),
        (primary, "AssociateAddress", before["PrivateIpAddress"]),
        (spec("ip: {}\n"), "DisassociateAddress", None),
    ):
        harness.strict.clear()
        assert told(harness.plan(text)) == [(call, Impact.DISRUPTIVE)]
        converged(harness.apply(text))
        assert acted(harness) == [call]
        assert address(harness, "ip").get("PrivateIpAddress") == place
        at_rest(harness, text)
    assert strangers.show(strangers.lone) == before


def test_an_address_moves_to_a_foreign_interface_and_back(harness: Harness) -> None:
    """Each move is one AssociateAddress; the address is never without a place."""
    strangers = Strangers(harness)
    there = spec(f"ip: {{association: {{network_interface: {strangers.lone}}}}}\n", WEB)
    here = spec("ip: {association: {instance: web}}\n", WEB)
    converged(harness.apply(here))
    public = address(harness, "ip")["PublicIp"]
    for text, on in ((there, strangers.lone), (here, None)):
        harness.strict.clear()
        assert told(harness.plan(text)) == [("AssociateAddress", Impact.DISRUPTIVE)]
        converged(harness.apply(text))
        assert acted(harness) == ["AssociateAddress"]
        shown = address(harness, "ip")
        assert shown["PublicIp"] == public
        assert shown["NetworkInterfaceId"] == (on or shown["NetworkInterfaceId"])
        at_rest(harness, text)


def test_addresses_follow_what_is_replaced(harness: Harness) -> None:
    """A new instance on the same interface moves nothing; a new interface takes its address in one call each."""
    rows = "ip: {association: {instance: web}}\n"
    renewed = WEB.replace("t3.medium}", "t3.medium, on_change: replace}")
    larger = renewed.replace("t3.medium", "t3.large")
    elsewhere = larger.replace("eth0: {", "eth0: {private_ip: 172.31.5.5, ", 1)
    converged(harness.apply(spec(rows, renewed)))
    before = address(harness, "ip")
    for others, moves in ((larger, []), (elsewhere, ["AssociateAddress"])):
        harness.strict.clear()
        converged(harness.apply(spec(rows, others)))
        assert [call for call in acted(harness) if "Address" in call] == moves
        assert "TerminateInstances" in acted(harness)
        at_rest(harness, spec(rows, others))
    after = address(harness, "ip")
    assert (after["PublicIp"], after["PrivateIpAddress"]) == (before["PublicIp"], "172.31.5.5")


def test_an_address_moves_to_a_foreign_interface_as_its_own_is_replaced(harness: Harness) -> None:
    """The other one comes to the new interface; neither is without a place for longer than a call."""
    strangers = Strangers(harness)
    renewed = WEB.replace("t3.medium}", "t3.medium, on_change: replace}")
    rows = "a: {association: {instance: web}}\nb: {association: {network_interface: eth1}}\n"
    converged(harness.apply(spec(rows, renewed)))
    rows = f"a: {{association: {{network_interface: {strangers.lone}}}}}\nb: {{association: {{instance: web}}}}\n"
    harness.strict.clear()
    wanted = spec(rows, renewed.replace("eth0: {", "eth0: {private_ip: 172.31.5.5, ", 1))
    converged(harness.apply(wanted))
    assert acted(harness).count("AssociateAddress") == 2
    assert "DisassociateAddress" not in acted(harness)
    assert address(harness, "a")["NetworkInterfaceId"] == strangers.lone
    assert address(harness, "b")["PrivateIpAddress"] == "172.31.5.5"
    at_rest(harness, wanted)


def test_spelling_a_place_otherwise_changes_nothing(harness: Harness) -> None:
    """By name, by instance, by id."""
    converged(harness.apply(spec("ip: {association: {network_interface: eth0}}\n", WEB)))
    on = address(harness, "ip")["NetworkInterfaceId"]
    at_rest(harness, spec("ip: {association: {instance: web}}\n", WEB))
    at_rest(harness, spec(f"ip: {{association: {{network_interface: {on}}}}}\n", WEB))


def test_an_address_of_others_is_displaced_only_by_name(harness: Harness) -> None:
    """The plan says which; one that comes between the plan and the call is not displaced unseen."""
    strangers = Strangers(harness)
    theirs, late = (strangers.ec2.allocate_address()["AllocationId"] for _ in range(2))
    harness.loop.now += 5
    strangers.ec2.associate_address(AllocationId=theirs, NetworkInterfaceId=strangers.lone)
    text = spec(f"ip: {{association: {{network_interface: {strangers.lone}}}}}\n")
    plan = harness.plan(text)
    assert [change.reason for change in plan.changes] == [f"displaces {theirs}"]
    assert plan.impact is Impact.DISRUPTIVE

    def swap(_: Call) -> None:
        harness.strict.world.call("AssociateAddress", AllocationId=late, NetworkInterfaceId=strangers.lone)

    harness.strict.faults.add(Hook("AllocateAddress", callback=swap))
    harness.strict.clear()
    converged(harness.apply(text))
    # Two rounds: the first stopped short of displacing the newcomer, the second plan named it.
    calls = [call for call in harness.strict.mutating() if call.action == "AssociateAddress"]
    assert len(calls) == 1
    assert "AssociationId" not in strangers.ec2.describe_addresses(AllocationIds=[late])["Addresses"][0]


def test_a_free_place_that_is_taken_meanwhile_is_not_taken_away(harness: Harness) -> None:
    """The plan saw no address there, so it displaces none; the next plan would say so."""
    strangers = Strangers(harness)
    theirs = strangers.ec2.allocate_address()["AllocationId"]
    harness.loop.now += 5
    text = spec(f"ip: {{association: {{network_interface: {strangers.lone}}}}}\n")

    def come(_: Call) -> None:
        harness.strict.world.call("AssociateAddress", AllocationId=theirs, NetworkInterfaceId=strangers.lone)

    harness.strict.faults.add(Hook("AllocateAddress", callback=come))
    # Only safe steps are allowed: displacing another Elastic IP is not.
    report = harness.apply(text, approve=lambda _: Impact.SAFE)
    assert (report.outcome, "disruptive" in str(report.error)) == ("partial", True)
    assert strangers.show(strangers.lone)["Association"]["AllocationId"] == theirs


def test_an_automatic_public_address_gives_way_as_the_plan_says(harness: Harness) -> None:
    """EC2 takes its own public address away when an Elastic IP comes, and does not give that one again."""
    strangers = Strangers(harness)
    harness.strict.world.data.interfaces[strangers.primary].auto_public = True
    strangers.ec2.stop_instances(InstanceIds=[strangers.instance])
    harness.loop.now += 5
    alone = strangers.ec2.describe_network_interfaces(
        Filters=[
            {"Name": "attachment.instance-id", "Values": [strangers.instance]},
            {"Name": "attachment.device-index", "Values": ["1"]},
        ]
    )["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    strangers.ec2.detach_network_interface(AttachmentId=alone)
    harness.loop.now += 5
    strangers.ec2.start_instances(InstanceIds=[strangers.instance])
    harness.loop.now += 5
    automatic = strangers.show(strangers.primary)["Association"]["PublicIp"]
    text = spec("ip: {association: {instance: fw}}\n", f"instances: {{fw: {{external: {strangers.instance}}}}}\n")
    [change] = harness.plan(text).changes
    assert change.impact is Impact.DISRUPTIVE
    assert change.reason == f"replaces the automatic public address {automatic}, which EC2 does not give back"
    converged(harness.apply(text))
    at_rest(harness, text)


def test_what_a_service_manages_is_refused_before_anything_changes(harness: Harness) -> None:
    """A load balancer's interface, one that EKS operates, and a spec that would also do something harmless."""
    strangers = Strangers(harness)
    balancer = harness.strict.world.add_service_interface(strangers.subnet)
    harness.strict.world.set_operator(strangers.primary)
    rows = f"a: {{association: {{network_interface: {balancer}}}}}\n"
    rows += "b: {association: {instance: fw}}\nspare: {}\n"
    with pytest.raises(SpecErrors) as raised:
        harness.apply(spec(rows, f"instances: {{fw: {{external: {strangers.instance}}}}}\n"))
    assert [problem.message for problem in raised.value.problems] == [
        f"{balancer} is managed by the Application Load Balancer lb",
        f"{strangers.primary} is managed by eks.amazonaws.com",
    ]
    assert harness.strict.mutating() == []


def test_an_address_that_a_nat_gateway_uses_is_left_to_it(harness: Harness) -> None:
    """It is ours by its tags; EC2 would refuse to take it off there, so we do before anything changes."""
    strangers = Strangers(harness)
    spare = spec("nat: {}\nspare: {}\n")
    converged(harness.apply(spare))
    gateway = harness.strict.world.add_service_interface(strangers.subnet, description="NAT gateway")
    harness.strict.world.hand_over(address(harness, "nat")["AllocationId"], gateway)
    harness.strict.clear()
    for text, prune, error in ((spare, False, SpecErrors), (spec(""), True, UnsupportedError)):
        with pytest.raises(error, match=f"{gateway}, which is managed by amazon-elb, and cannot be"):
            harness.apply(text, prune=prune)
    assert harness.strict.mutating() == []
    ignoring = spec("nat: {lifecycle: {ignore: [association]}}\nspare: {}\n")
    at_rest(harness, ignoring)


# ---- reverse DNS


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Harness]:
    """An EC2 that takes its time with reverse DNS, wants forward DNS first, and holds on to names."""
    settings = replace(SLOW, ptr_delay=60, ptr_linger_delay=120, forward_dns=True, quotas=Quotas(addresses=9))
    with open_harness(tmp_path / "state", settings) as harness:
        yield harness


def pointed(harness: Harness, name: str, *hosts: str) -> None:
    """Forward DNS of an address."""
    for host in hosts:
        harness.strict.world.point(host, address(harness, name)["PublicIp"])


def ptr(harness: Harness, name: str) -> str | None:
    rows = harness.client().describe_addresses_attribute(
        AllocationIds=[address(harness, name)["AllocationId"]], Attribute="domain-name"
    )["Addresses"]
    return rows[0].get("PtrRecord") if rows else None


def test_a_name_is_set_changed_corrected_and_removed(named: Harness) -> None:
    """Create, change, drift, no-op, none."""
    converged(named.apply(spec("ip: {}\n")))
    pointed(named, "ip", "one.example.com", "two.example.com")
    one, two = (spec(f"ip: {{reverse_dns: {host}}}\n") for host in ("one.example.com.", "Two.example.com"))
    assert told(named.plan(one)) == [("ModifyAddressAttribute", Impact.SAFE)]
    converged(named.apply(one))
    assert ptr(named, "ip") == "one.example.com."
    at_rest(named, one)
    assert told(named.plan(two)) == [("ModifyAddressAttribute", Impact.DISRUPTIVE)]
    converged(named.apply(two))
    assert ptr(named, "ip") == "two.example.com."
    at_rest(named, two)
    allocation = address(named, "ip")["AllocationId"]
    named.client().modify_address_attribute(AllocationId=allocation, DomainName="one.example.com")
    named.loop.now += 60
    converged(named.apply(two))
    assert ptr(named, "ip") == "two.example.com."
    # What is not written is not looked at, what is empty is taken away.
    at_rest(named, spec("ip: {}\n"))
    none = spec('ip: {reverse_dns: ""}\n')
    assert told(named.plan(none)) == [("ResetAddressAttribute", Impact.DISRUPTIVE)]
    converged(named.apply(none))
    assert ptr(named, "ip") is None
    at_rest(named, none)


def test_a_name_that_others_took_away_comes_back(named: Harness) -> None:
    """Unless the spec leaves names to others, once one was set."""
    converged(named.apply(spec("ip: {}\n")))
    pointed(named, "ip", "www.example.com")
    text = spec("ip: {reverse_dns: www.example.com}\n")
    ignoring = text.replace("}", ", lifecycle: {ignore: [reverse_dns]}}")
    converged(named.apply(text))
    named.client().reset_address_attribute(
        AllocationId=address(named, "ip")["AllocationId"], Attribute="domain-name"
    )
    named.loop.now += 60
    at_rest(named, ignoring)
    assert told(named.plan(text)) == [("ModifyAddressAttribute", Impact.SAFE)]
    converged(named.apply(text))
    assert ptr(named, "ip") == "www.example.com."
    at_rest(named, text)


def test_a_name_stays_when_its_address_moves(named: Harness) -> None:
    """One call moves the address; what it is called is its own."""
    converged(named.apply(spec("ip: {association: {network_interface: eth0}}\n", WEB)))
    pointed(named, "ip", "www.example.com")
    text = spec("ip: {association: {network_interface: eth0}, reverse_dns: www.example.com}\n", WEB)
    converged(named.apply(text))
    named.strict.clear()
    moved = text.replace("eth0}, reverse", "eth1}, reverse")
    converged(named.apply(moved))
    assert acted(named) == ["AssociateAddress"]
    assert ptr(named, "ip") == "www.example.com."
    at_rest(named, moved)


def test_a_new_address_gets_its_name_at_once(named: Harness) -> None:
    """Where it is known beforehand, so that its forward DNS can be there."""
    named.strict.world.add_pool("198.51.100.7")
    named.strict.world.point("www.example.com", "198.51.100.7")
    text = spec("ip: {address: 198.51.100.7, reverse_dns: www.example.com}\n")
    assert told(named.plan(text)) == [("AllocateAddress", Impact.SAFE), ("ModifyAddressAttribute", Impact.SAFE)]
    converged(named.apply(text))
    assert ptr(named, "ip") == "www.example.com."
    at_rest(named, text)


def test_reverse_dns_is_read_only_where_the_spec_speaks_of_it(named: Harness) -> None:
    """One call for all the addresses, and none without."""
    converged(named.apply(spec("a: {}\nb: {}\n")))
    for text, prune, reads in (
        (spec("a: {}\nb: {}\n"), False, 0),
        (spec('a: {reverse_dns: ""}\nb: {reverse_dns: ""}\n'), False, 1),
        (spec("a: {}\n"), False, 0),
        (spec("a: {}\n"), True, 1),
    ):
        named.strict.clear()
        named.plan(text, prune=prune)
        assert named.strict.actions().count("DescribeAddressesAttribute") == reads


def test_a_name_that_resolves_elsewhere_is_reported_and_affects_nothing_else(named: Harness) -> None:
    """A new address has no forward DNS yet: all else is done, and the next run finishes it."""
    text = spec("ip: {association: {instance: web}, reverse_dns: www.example.com}\n", WEB)
    report = named.apply(text)
    assert report.outcome == "partial"
    [failed] = [outcome for outcome in report.outcomes if outcome.status == "failed"]
    assert failed.step.call == "ModifyAddressAttribute"
    assert "needs an A record that resolves the name to this address" in str(failed.error)
    assert address(named, "ip")["NetworkInterfaceId"]
    pointed(named, "ip", "www.example.com")
    converged(named.apply(text))
    at_rest(named, text)


def test_a_change_under_way_is_waited_for_and_not_asked_for_again(named: Harness) -> None:
    """Another tool, or a run that was cut short, has asked already."""
    converged(named.apply(spec("ip: {}\n")))
    pointed(named, "ip", "www.example.com", "other.example.com")
    allocation = address(named, "ip")["AllocationId"]
    text = spec("ip: {reverse_dns: www.example.com}\n")
    named.client().modify_address_attribute(AllocationId=allocation, DomainName="www.example.com")
    named.strict.clear()
    assert named.apply(text).outcome == "unchanged"
    assert named.strict.mutating() == []
    assert ptr(named, "ip") == "www.example.com."
    # The wrong change is over before the right one is asked for.
    named.client().modify_address_attribute(AllocationId=allocation, DomainName="other.example.com")
    converged(named.apply(text))
    assert ptr(named, "ip") == "www.example.com."
    assert [call.error_code for call in named.strict.mutating() if not call.acted] == []


def test_a_lost_answer_sets_a_name_once(named: Harness) -> None:
    """EC2 has begun when the answer is lost: asked again, it says that a change is pending, and it comes about."""
    converged(named.apply(spec("ip: {}\n")))
    pointed(named, "ip", "www.example.com")
    named.strict.faults.add(DropConnection(action="ModifyAddressAttribute", late=True))
    text = spec("ip: {reverse_dns: www.example.com}\n")
    converged(named.apply(text))
    assert ptr(named, "ip") == "www.example.com."
    at_rest(named, text)


def test_a_name_is_removed_before_its_address(named: Harness) -> None:
    """Reset, waited for, and released once EC2 lets go: minutes after the record is gone."""
    converged(named.apply(spec("ip: {}\nfree: {}\n")))
    pointed(named, "ip", "www.example.com")
    converged(named.apply(spec("ip: {reverse_dns: www.example.com}\nfree: {}\n")))
    named.strict.clear()
    plan = named.plan(spec(""), prune=True)
    assert [step.call for step in plan.steps] == ["ReleaseAddress", "ResetAddressAttribute", "ReleaseAddress"]
    began = named.loop.now
    converged(named.apply(spec(""), prune=True))
    assert named.client().describe_addresses()["Addresses"] == []
    # A minute for the record, two for its shadow, and no more than a retry's pause beyond.
    assert 180 <= named.loop.now - began < 200


def test_an_address_that_support_has_locked_stays(named: Harness) -> None:
    """It is tried for a minute, and told."""
    converged(named.apply(spec("ip: {}\n")))
    named.strict.world.lock_address(address(named, "ip")["AllocationId"])
    began = named.loop.now
    report = named.apply(spec(""), prune=True)
    assert report.outcome == "failed"
    [failed] = report.outcomes
    assert "InvalidAddress.Locked" in str(failed.error)
    assert "AWS Support has locked it" in str(failed.error)
    assert named.loop.now - began < 90


# ---- what only allocating decides


def test_an_address_of_an_own_pool(harness: Harness) -> None:
    """From the pool, at rest, and never given up for another pool."""
    pool = harness.strict.world.add_pool("198.51.100.7", "198.51.100.8")
    text = spec(f"ip: {{public_ipv4_pool: {pool}}}\n")
    converged(harness.apply(text))
    assert address(harness, "ip")["PublicIpv4Pool"] == pool
    at_rest(harness, text)
    at_rest(harness, spec("ip: {}\n"))
    with pytest.raises(SpecErrors, match="an Elastic IP is never released to allocate another"):
        harness.apply(spec("ip: {public_ipv4_pool: amazon}\n"))
    assert len(harness.client().describe_addresses()["Addresses"]) == 1


def test_a_certain_address(harness: Harness) -> None:
    """One of an own pool, and one of EC2's that was released a moment ago; another one would be refused."""
    harness.strict.world.add_pool("198.51.100.7", "198.51.100.8")
    released = harness.client().allocate_address()
    harness.loop.now += 5
    harness.client().release_address(AllocationId=released["AllocationId"])
    text = spec(f"own: {{address: 198.51.100.8}}\nback: {{address: {released['PublicIp']}}}\n")
    converged(harness.apply(text))
    assert address(harness, "own")["PublicIp"] == "198.51.100.8"
    assert address(harness, "back")["PublicIp"] == released["PublicIp"]
    at_rest(harness, text)
    harness.strict.clear()
    with pytest.raises(SpecErrors, match=r"address is 198.51.100.8, the spec says 198.51.100.7"):
        harness.apply(text.replace("address: 198.51.100.8", "address: 198.51.100.7"))
    assert harness.strict.mutating() == []


def test_an_address_that_ec2_no_longer_has(harness: Harness) -> None:
    """Refused by EC2 at once, with what to do."""
    report = harness.apply(spec("ip: {address: 203.0.113.99}\n"))
    assert report.outcome == "failed"
    [failed] = report.outcomes
    assert (failed.attempts, "leave `address` out" in str(failed.error)) == (1, True)


def test_an_address_that_is_taken_is_refused_before_anything_changes(harness: Harness) -> None:
    """It is allocated, but not ours."""
    theirs = harness.client().allocate_address()
    harness.loop.now += 5
    harness.strict.clear()
    with pytest.raises(
        SpecErrors,
        match=rf"{theirs['PublicIp']} is allocated already: {theirs['AllocationId']}, not of this stack",
    ):
        harness.apply(spec(f"ip: {{address: {theirs['PublicIp']}}}\nspare: {{}}\n"))
    assert harness.strict.mutating() == []


def test_an_address_of_another_border_group(tmp_path: Path) -> None:
    """Allocated where the spec says, at rest, and refused for an interface in the Region itself."""
    settings = Settings(border_groups=("us-east-1-bos-1",))
    with open_harness(tmp_path / "state", settings) as harness:
        text = spec("ip: {network_border_group: us-east-1-bos-1}\n")
        converged(harness.apply(text))
        assert address(harness, "ip")["NetworkBorderGroup"] == "us-east-1-bos-1"
        at_rest(harness, text)
        harness.strict.clear()
        with pytest.raises(SpecErrors, match="the Elastic IP is in the network border group us-east-1-bos-1"):
            harness.apply(spec("ip: {association: {network_interface: eth0}}\n", WEB))
        with pytest.raises(SpecErrors, match="network_border_group is us-east-1-bos-1"):
            harness.apply(spec("ip: {network_border_group: us-east-1}\n"))
        assert harness.strict.mutating() == []


# ---- tags


def test_tags_of_an_address(harness: Harness) -> None:
    """From birth, corrected, changed; those of others stay, and so does the address."""
    text = spec("ip: {tags: {Role: mail}}\n")
    converged(harness.apply(text))
    assert acted(harness) == ["AllocateAddress"]
    at_rest(harness, text)
    allocation = address(harness, "ip")["AllocationId"]
    theirs = {"Key": "Owner", "Value": "them"}
    harness.client().create_tags(Resources=[allocation], Tags=[{"Key": "Role", "Value": "web"}, theirs])
    for wanted in (text, text.replace("mail", "smtp")):
        harness.strict.clear()
        assert told(harness.plan(wanted)) == [("CreateTags", Impact.SAFE)]
        converged(harness.apply(wanted))
        assert acted(harness) == ["CreateTags"]
        at_rest(harness, wanted)
    found = address(harness, "ip")
    assert (found["AllocationId"], theirs in found["Tags"]) == (allocation, True)
    assert {"Key": "Role", "Value": "smtp"} in found["Tags"]


# ---- the account's quota


def test_more_addresses_than_the_account_may_have(harness: Harness) -> None:
    """Refused with numbers before anything changes; what is BYOIP or a service's does not count."""
    for _ in range(4):
        harness.strict.world.add_address()
    harness.strict.world.add_address(service_managed="nlb")
    pool = harness.strict.world.add_pool("198.51.100.7")
    harness.client().allocate_address(PublicIpv4Pool=pool)
    harness.strict.clear()
    rows = "a: {}\nb: {}\nc: {}\n"
    with pytest.raises(SpecErrors) as raised:
        harness.apply(spec(rows, WEB))
    [problem] = raised.value.problems
    assert problem.message == "the account has 4 of 5 Elastic IPs, the spec allocates 3"
    assert problem.path == "elastic_ips.b"
    assert harness.strict.mutating() == []
    converged(harness.apply(spec("a: {}\n")))


def test_the_quota_is_read_only_to_allocate(harness: Harness) -> None:
    """A plan that allocates reads all addresses and the quota, and another one neither."""
    text = spec("a: {}\n")
    harness.plan(text)
    reads = harness.strict.actions()
    assert (reads.count("DescribeAccountAttributes"), reads.count("DescribeAddresses")) == (1, 2)
    converged(harness.apply(text))
    harness.strict.clear()
    harness.plan(text)
    reads = harness.strict.actions()
    assert (reads.count("DescribeAccountAttributes"), reads.count("DescribeAddresses")) == (0, 1)


def test_without_permission_to_read_the_quota_the_plan_continues(harness: Harness) -> None:
    """A warning, and EC2's own no if it comes to that."""
    harness.strict.faults.add(Fail(action="DescribeAccountAttributes", code="UnauthorizedOperation", times=9))
    [warning] = harness.plan(spec("a: {}\n")).warnings
    assert warning == (
        "not checked: how many groups per interface and how many Elastic IPs the account allows; these "
        "credentials are not allowed to call DescribeAccountAttributes"
    )
    converged(harness.apply(spec("a: {}\n")))


def test_at_the_quota_addresses_are_released_before_others_come(harness: Harness) -> None:
    """Five of five, three of them go and three come: in one apply."""
    converged(harness.apply(spec("".join(f"old-{number}: {{}}\n" for number in range(5)))))
    harness.loop.now += 60
    text = spec("old-0: {}\nold-1: {}\nnew-0: {}\nnew-1: {}\nnew-2: {}\n")
    with pytest.raises(SpecErrors, match="the account has 5 of 5 Elastic IPs, the spec allocates 3"):
        harness.apply(text)
    harness.strict.clear()
    converged(harness.apply(text, prune=True))
    assert acted(harness) == ["ReleaseAddress"] * 3 + ["AllocateAddress"] * 3
    at_rest(harness, text)


def test_tags_of_ours_on_an_address_of_a_service(harness: Harness) -> None:
    """A service has copied them: the address is neither ours, nor a second one of its name, nor pruned."""
    text = spec("ip: {}\n")
    converged(harness.apply(text))
    tags = {"enireconcile:stack": "lab", "enireconcile:name": "elastic_ips.ip"}
    theirs = harness.strict.world.add_address(service_managed="alb", tags=tags)
    at_rest(harness, text)
    at_rest(harness, text, prune=True)
    converged(harness.apply(spec(""), prune=True))
    assert [each["AllocationId"] for each in harness.client().describe_addresses()["Addresses"]] == [theirs]
