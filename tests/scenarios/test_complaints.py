"""What users of other tools complain of, and what happens here instead; one test for each complaint."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from enireconcile.errors import GuardError, SpecErrors
from enireconcile.planning.guards import Allowed, guard
from tests.ec2 import Call, Fail, Hook
from tests.harness import SLOW, STORY, Harness, image_id, open_harness
from tests.scenarios.firewalls import SPEC, Firewalls
from tests.scenarios.orphans import bare, orphan
from tests.two_enis import Account, assert_is_the_story


def test_force_detach_by_default(slow_harness: Harness) -> None:
    """Force detach by default."""
    lab = Firewalls(slow_harness)
    slow_harness.apply(SPEC)
    lab.sicken("fw-a")
    assert slow_harness.apply(SPEC).outcome == "converged"
    detaches = [call.params for call in slow_harness.strict.mutating() if call.action == "DetachNetworkInterface"]
    assert [params.get("Force", False) for params in detaches] == [False]


def test_stuck_in_detaching(slow_harness: Harness) -> None:
    """Stuck in detaching."""
    lab = Firewalls(slow_harness)
    spec = SPEC.replace("preempt: false", "force_detach_after: 60s")
    slow_harness.apply(spec)
    slow_harness.strict.world.set_clinging(lab.ids["fw-a"])
    lab.sicken("fw-a")
    # A run without leave to force waits for ten minutes, ends, and says what is so and what to do.
    began = slow_harness.loop.now
    report = slow_harness.apply(SPEC)
    assert (report.outcome, lab.interface()["Attachment"]["Status"]) == ("partial", "detaching")
    assert slow_harness.loop.now - began < 650
    [error] = [outcome.error or "" for outcome in report.outcomes if outcome.status == "failed"]
    assert "after 600 s Status is in-use" in error
    assert "stop its instance, or allow a forced detach (force_detach_after)" in error
    # A run that may goes on from there.
    assert slow_harness.apply(spec).outcome == "converged"
    assert lab.holder() == "fw-b"


def test_anothers_failover_is_undone(slow_harness: Harness) -> None:
    """Another tool's failover undone without a way to say `ignore`."""
    lab = Firewalls(slow_harness)
    spec = SPEC.replace("    private_ip:", "    lifecycle: {ignore: [attachment]}\n    private_ip:")
    slow_harness.apply(spec)
    interface = lab.interface()
    assert lab.holder() == "fw-a"
    lab.ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"])
    slow_harness.loop.now += 5
    # Half way through its move, and after it.
    assert slow_harness.apply(spec).outcome == "unchanged"
    lab.ec2.attach_network_interface(
        NetworkInterfaceId=interface["NetworkInterfaceId"], InstanceId=lab.ids["fw-b"], DeviceIndex=1
    )
    slow_harness.loop.now += 5
    assert slow_harness.apply(spec).outcome == "unchanged"
    assert lab.holder() == "fw-b"


def test_adoption_replaces(slow_harness: Harness) -> None:
    """Adoption that replaces."""
    ids = orphan(slow_harness)
    assert slow_harness.apply(bare(ids)).outcome == "converged"
    assert {call.action for call in slow_harness.strict.mutating()} == {"CreateTags"}
    # Not even where a row asks for something else, and would let anything else be replaced.
    slow_harness.strict.clear()
    for keys in ("instance_type: t3.large, on_change: replace", "image: ami-12345678, on_change: replace"):
        with pytest.raises(SpecErrors, match="the resource is adopted"):
            slow_harness.apply(bare(ids, web=keys))
    with pytest.raises(SpecErrors, match="the resource is adopted"):
        slow_harness.apply(bare(ids, web_eth1="subnet: {default_for_az: us-east-1a}, private_ip: 172.31.0.99"))
    assert slow_harness.strict.mutating() == []


def test_groups_that_cannot_be_deleted(slow_harness: Harness) -> None:
    """Groups that cannot be deleted."""
    # Groups that refer to each other and to themselves, in both directions, with an interface in them all.
    knot = """
version: 1
stack: knot
region: us-east-1
security_groups:
  a: {ingress: [{protocol: tcp, ports: 1, sources: [b, self]}], egress: [{protocol: all, destinations: [c]}]}
  b: {ingress: [{protocol: tcp, ports: 2, sources: [c]}]}
  c: {ingress: [{protocol: tcp, ports: 3, sources: [a, b]}]}
network_interfaces:
  x: {subnet: {default_for_az: us-east-1a}, security_groups: [a, b, c]}
"""
    slow_harness.apply(knot)
    began = slow_harness.loop.now
    assert slow_harness.apply(knot, destroy=True).outcome == "converged"
    assert slow_harness.loop.now - began < 10
    assert [
        group["GroupName"] for group in slow_harness.client().describe_security_groups()["SecurityGroups"]
    ] == ["default"]


def test_device_slots_and_limits_found_out_half_way(slow_harness: Harness) -> None:
    """Device slots and limits found out half way."""
    lab = Firewalls(slow_harness)
    # fw-a, a t3.micro, has its own interface and another tool's at index 2: there is no room for ours at index 1.
    stranger = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    slow_harness.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-a"], DeviceIndex=2)
    slow_harness.loop.now += 5
    slow_harness.strict.clear()
    told = (
        "network_interfaces.service.attachment: t3.micro supports 2 interfaces, the spec attaches 1 to fw-a, "
        "where 2 others are attached"
    )
    with pytest.raises(SpecErrors, match=re.escape(told)):
        slow_harness.apply(SPEC)
    assert slow_harness.strict.mutating() == []
    # With the stranger in our own slot there is room once it was moved aside, which the plan says.
    [shown] = lab.ec2.describe_network_interfaces(NetworkInterfaceIds=[stranger])["NetworkInterfaces"]
    lab.ec2.detach_network_interface(AttachmentId=shown["Attachment"]["AttachmentId"])
    slow_harness.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-a"], DeviceIndex=1)
    slow_harness.loop.now += 5
    plan = slow_harness.plan(SPEC)
    [change] = [change for change in plan.changes if change.address == "network_interfaces.service"]
    assert change.reason == f"detaches {stranger}"
    assert slow_harness.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"


# ---- about the story's setup


@pytest.fixture
def built(slow_harness: Harness) -> Harness:
    """The story, applied once and settled, the call log emptied."""
    assert slow_harness.apply().outcome == "converged"
    slow_harness.loop.now += 60
    slow_harness.strict.clear()
    return slow_harness


def _acted(harness: Harness) -> list[str]:
    """The mutating calls that EC2 took, since the last look."""
    calls = [call.action for call in harness.strict.mutating() if call.acted]
    harness.strict.clear()
    return calls


def _edited(said: str, meant: str) -> str:
    text = STORY.read_text(encoding="utf-8")
    assert said in text
    return text.replace(said, meant)


def test_an_address_will_not_move_or_is_stolen(built: Harness) -> None:
    """An Elastic IP that will not move, or is stolen."""
    account = Account(built)
    swapped = _edited("network_interface: web-eth1", "network_interface: web-eth9")
    swapped = swapped.replace("network_interface: web-eth0", "network_interface: web-eth1").replace("eth9", "eth0")
    before = {name: account.address(name)["PublicIp"] for name in ("web-1", "web-2")}
    assert built.apply(swapped).outcome == "converged"
    assert _acted(built) == ["AssociateAddress", "AssociateAddress"]
    assert account.interface("web-eth1")["Association"]["PublicIp"] == before["web-1"]
    # Between the plan and the call another tool moves it: it is not taken from there unseen.
    stranger = built.strict.world.call(
        "CreateNetworkInterface", SubnetId=account.interface("web-eth0")["SubnetId"]
    )
    elsewhere = stranger["NetworkInterface"]["NetworkInterfaceId"]
    allocation = account.address("web-1")["AllocationId"]
    built.loop.now += 60

    def move(_: Call) -> None:
        built.strict.world.call("AssociateAddress", AllocationId=allocation, NetworkInterfaceId=elsewhere)

    built.strict.faults.add(Hook("DescribeAddresses", nth=2, callback=move))
    report = built.apply()
    assert report.outcome == "converged"
    moves = [call for call in built.strict.mutating() if call.params.get("AllocationId") == allocation]
    assert [call.params["AllowReassociation"] for call in moves if call.acted] == [True]
    assert built.plan().empty


def test_a_live_public_ip_replaces_the_instance(slow_harness: Harness) -> None:
    """A live public IP read as a reason to replace the instance."""
    ec2 = slow_harness.client()
    launched = ec2.run_instances(
        ImageId=image_id(ec2),
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]
    slow_harness.loop.now += 60
    primary = launched["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ids = {"instances.web": launched["InstanceId"], "network_interfaces.web-eth0": primary}
    shown = slow_harness.client().describe_network_interfaces(NetworkInterfaceIds=[primary])["NetworkInterfaces"][
        0
    ]
    assert shown["Association"]["IpOwnerId"] == "amazon"
    spec = bare(ids)
    assert slow_harness.apply(spec).outcome == "converged"
    assert set(_acted(slow_harness)) - {"RunInstances"} == {"CreateTags"}
    assert slow_harness.plan(spec).empty


def test_an_association_always_differs(built: Harness) -> None:
    """An association that always differs."""
    primary = Account(built).interface("web-eth0")["PrivateIpAddress"]
    assert built.plan().empty
    spelled = _edited(
        "association: {network_interface: web-eth0}", "association: {network_interface: web-eth0, X}"
    )
    spelled = spelled.replace("X}", f"private_ip: {primary}}}")
    spelled = spelled.replace("  web-eth0:\n", f"  web-eth0:\n    private_ip: {primary}\n")
    assert built.plan(spelled).empty


def test_success_is_reported_and_nothing_moved(built: Harness) -> None:
    """Success reported, nothing moved."""
    account = Account(built)
    account.ec2.disassociate_address(AssociationId=account.address("web-2")["AssociationId"])

    def undo(call: Call) -> None:
        allocation = built.strict.world.data.addresses[call.params["AllocationId"]]
        built.strict.world.call("DisassociateAddress", AssociationId=allocation.association_id)

    # EC2 says yes, and each time it is not so a moment later.
    built.strict.faults.add(Hook("AssociateAddress", times=99, late=True, callback=undo))
    report = built.apply()
    assert (report.outcome, report.remaining) == ("partial", ("elastic_ips.web-2",))


def test_source_dest_check_is_fought_over(built: Harness) -> None:
    """source_dest_check fought over."""
    account = Account(built)
    row = "  web-eth1:\n"
    ignoring = _edited(row, f"{row}    lifecycle: {{ignore: [source_dest_check]}}\n")
    interface = account.interface("web-eth1")["NetworkInterfaceId"]
    account.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, SourceDestCheck={"Value": False})
    built.strict.clear()
    # Who says so leaves it to others; who does not sets it once, on the interface, and is at rest.
    assert (built.apply(ignoring).outcome, _acted(built)) == ("unchanged", [])
    assert (built.apply().outcome, _acted(built)) == ("converged", ["ModifyNetworkInterfaceAttribute"])
    assert built.plan().empty


def test_there_are_multiple_interfaces_attached(built: Harness) -> None:
    """There are multiple interfaces attached."""
    account = Account(built)
    for name in ("web-eth0", "web-eth1"):
        interface = account.interface(name)["NetworkInterfaceId"]
        groups = [account.group("my-sg-1")["GroupId"], account.group("my-sg-2")["GroupId"]]
        account.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=groups)
        account.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface, SourceDestCheck={"Value": False}
        )
    account.ec2.disassociate_address(AssociationId=account.address("web-1")["AssociationId"])
    built.strict.clear()
    assert built.apply().outcome == "converged"
    # Each call names an interface; those that name the instance are for instances with one.
    assert [call.action for call in built.strict.mutating() if "InstanceId" in call.params] == []


def test_the_order_of_private_ips_is_a_difference(slow_harness: Harness) -> None:
    """The order of private IPs as a difference."""
    row = "  web-eth0:\n"
    spec = _edited(row, f"{row}    secondary_private_ips: [172.31.0.12, 172.31.0.11]\n")
    spec = spec.replace("t2.micro", "t3.small").replace("t3.micro", "t3.small")
    assert slow_harness.apply(spec).outcome == "converged"
    assert slow_harness.plan(spec).empty
    assert slow_harness.plan(spec.replace("172.31.0.12, 172.31.0.11", "172.31.0.11, 172.31.0.12")).empty


def test_ipv6_prefix_and_count_in_one_call(slow_harness: Harness) -> None:
    """IPv6 prefix and count in one call."""
    vpc = slow_harness.strict.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56")
    slow_harness.strict.world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"Name": "lab"})
    spec = """
version: 1
stack: dual
region: us-east-1
network_interfaces:
  a: {subnet: {tags: {Name: lab}}, ipv6_address_count: 2, ipv6_prefix_count: 1}
  b: {subnet: {tags: {Name: lab}}, ipv6_address_count: 1, ipv6_prefixes: ["2001:db8:0:0:9::/80"]}
"""
    assert slow_harness.apply(spec).outcome == "converged"
    asked = [set(call.params) for call in slow_harness.strict.mutating()]
    prefixes, addresses = {"Ipv6Prefixes", "Ipv6PrefixCount"}, {"Ipv6Addresses", "Ipv6AddressCount"}
    assert [params for params in asked if params & prefixes and params & addresses] == []
    assert slow_harness.plan(spec).empty


@pytest.mark.parametrize("row", ["my-sg-1", "web", "web-eth0", "web-1"])
def test_input_is_accepted_and_ignored(slow_harness: Harness, row: str) -> None:
    """Input accepted and ignored."""
    with pytest.raises(SpecErrors, match="unknown key"):
        slow_harness.plan(_edited(f"  {row}:\n", f"  {row}:\n    colour: blue\n"))


def test_minutes_of_waiting_after_ec2_is_done(slow_harness: Harness) -> None:
    """Waiting minutes after EC2 is done."""
    began = slow_harness.loop.now
    assert slow_harness.apply().outcome == "converged"
    # Every state takes half a second on this EC2, and no more than six of them come one after another.
    assert slow_harness.loop.now - began < 8


def test_not_found_right_after_create(tmp_path: Path) -> None:
    """NotFound right after create."""
    with open_harness(tmp_path, replace(SLOW, visibility_delay=9.0)) as harness:
        assert harness.apply().outcome == "converged"
        refused = [call.error_code for call in harness.strict.mutating() if call.error_code]
        assert any(code.endswith(".NotFound") for code in refused)
        assert_is_the_story(harness)


def test_duplicates_by_a_wrong_match(slow_harness: Harness) -> None:
    """Duplicates by a wrong match."""
    ec2 = slow_harness.client()
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"][0]
    name = [{"Key": "Name", "Value": "web-eth0"}]
    theirs = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": name}],
    )["NetworkInterface"]["NetworkInterfaceId"]
    slow_harness.loop.now += 60
    assert slow_harness.apply().outcome == "converged"
    assert_is_the_story(slow_harness)
    [other] = ec2.describe_network_interfaces(NetworkInterfaceIds=[theirs])["NetworkInterfaces"]
    assert (other["Status"], other["TagSet"]) == ("available", name)


def test_a_dry_run_changes_something(built: Harness) -> None:
    """A dry run that changes something."""
    account = Account(built)
    account.ec2.disassociate_address(AssociationId=account.address("web-2")["AssociationId"])
    built.strict.clear()
    assert not built.plan().empty
    assert built.strict.mutating() == []


def test_interfaces_are_leaked_by_a_crash(slow_harness: Harness) -> None:
    """Interfaces leaked by a crash."""
    slow_harness.strict.faults.add(Fail("RunInstances", code="UnauthorizedOperation"))
    assert slow_harness.apply().outcome == "partial"
    slow_harness.loop.now += 60
    assert slow_harness.apply().outcome == "converged"
    assert _acted(slow_harness).count("CreateNetworkInterface") == 2
    assert_is_the_story(slow_harness)


def test_a_cleaner_deletes_what_is_a_second_old(built: Harness) -> None:
    """A cleaner that deletes what is a second old."""
    subnet = Account(built).interface("web-eth0")["SubnetId"]
    young = built.client().create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    built.loop.now += 1
    assert built.apply(prune=True).outcome == "unchanged"
    assert young in built.strict.world.data.interfaces


def test_an_instance_is_rebuilt_without_its_interface(built: Harness) -> None:
    """An instance rebuilt that should have kept its interface."""
    account = Account(built)
    before = [account.interface(name)["NetworkInterfaceId"] for name in ("web-eth0", "web-eth1")]
    old = account.instance()["InstanceId"]
    rebuilt = _edited("  web:\n", "  web:\n    on_change: replace\n    key_name: ops\n")
    assert built.apply(rebuilt).outcome == "converged"
    assert account.instance()["InstanceId"] != old
    assert [account.interface(name)["NetworkInterfaceId"] for name in ("web-eth0", "web-eth1")] == before


def test_groups_cannot_be_deleted(slow_harness: Harness) -> None:
    """Groups that cannot be deleted."""
    ring = """
version: 1
stack: ring
region: us-east-1
security_groups:
  a: {ingress: [{protocol: tcp, ports: 1, sources: [b]}]}
  b: {ingress: [{protocol: tcp, ports: 1, sources: [c]}]}
  c: {ingress: [{protocol: tcp, ports: 1, sources: [a, self]}]}
"""
    assert slow_harness.apply(ring).outcome == "converged"
    assert slow_harness.apply(ring, destroy=True).outcome == "converged"
    assert [group.name for group in slow_harness.strict.world.data.groups.values()] == ["default"]


def test_a_tag_change_disassociates(built: Harness) -> None:
    """A tag change that disassociates."""
    before = Account(built).address("web-2")["AssociationId"]
    assert built.apply(_edited("Project: testing-eni", "Project: other")).outcome == "converged"
    assert set(_acted(built)) == {"CreateTags"}
    assert Account(built).address("web-2")["AssociationId"] == before


def test_an_address_is_released_by_accident(built: Harness) -> None:
    """An address released by accident."""
    text = STORY.read_text(encoding="utf-8")
    without = text[: text.index("  web-2:")]
    plan = built.plan(without)
    assert (plan.empty, [left.address for left in plan.leftovers]) == (True, ["elastic_ips.web-2"])
    assert built.apply(without).outcome == "unchanged"
    # With --prune it goes, and an unattended run wants --allow-destroy for that.
    pruning = built.plan(without, prune=True)
    with pytest.raises(GuardError, match="--allow-destroy"):
        guard(pruning, Allowed(auto_approve=True))
    assert len(built.client().describe_addresses()["Addresses"]) == 2


def test_an_address_of_a_service(built: Harness) -> None:
    """AuthFailure on addresses that a service manages."""
    theirs = built.strict.world.add_address(service_managed="nlb")
    built.strict.world.call("CreateTags", Resources=[theirs], Tags=[{"Key": "Name", "Value": "web-1"}])
    assert built.apply().outcome == "unchanged"
    assert built.apply(prune=True).outcome == "unchanged"
    assert theirs in built.strict.world.data.addresses
