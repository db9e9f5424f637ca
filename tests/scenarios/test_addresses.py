"""Secondary private addresses: exact lists, counts, floating between interfaces, Elastic IPs on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enireconcile.model import Action, Impact, Status
from tests.ec2 import DropConnection, Quotas
from tests.harness import SLOW, Harness, open_harness

MANY = (Path(__file__).parents[2] / "specs" / "many-addresses.yaml").read_text()


def _pair(a: str, b: str, extra: str = "") -> str:
    """Two interfaces with secondary addresses each, e.g. ``[172.31.0.51]``."""
    return f"""
version: 1
stack: pair
region: us-east-1
network_interfaces:
  a: {{subnet: {{default_for_az: us-east-1a}}, {a}}}
  b: {{subnet: {{default_for_az: us-east-1a}}, {b}}}
{extra}"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """An EC2 with delays that lets an account have twenty addresses."""
    with open_harness(tmp_path / "state", replace(SLOW, quotas=Quotas(addresses=20))) as harness:
        yield harness


def _interface(harness: Harness, name: str) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _secondary(harness: Harness, name: str) -> list[str]:
    entries = _interface(harness, name)["PrivateIpAddresses"]
    return sorted(entry["PrivateIpAddress"] for entry in entries if not entry["Primary"])


def _public(harness: Harness, name: str) -> dict[str, str]:
    """Private address to allocation id."""
    entries = _interface(harness, name)["PrivateIpAddresses"]
    return {
        entry["PrivateIpAddress"]: entry["Association"]["AllocationId"]
        for entry in entries
        if "Association" in entry
    }


CROWD = """
version: 1
stack: crowd
region: us-east-1
network_interfaces:
  a: {subnet: {cidr: 172.31.255.0/28}}
  b: {subnet: {cidr: 172.31.255.0/28}, secondary_private_ip_count: 2}
  c: {subnet: {cidr: 172.31.255.0/28}, private_ip: 172.31.255.4, secondary_private_ip_count: 1}
  d: {subnet: {cidr: 172.31.255.0/28}, private_ip: 172.31.255.8, secondary_private_ips: [172.31.255.9]}
  e: {subnet: {cidr: 172.31.255.0/28}, private_ip: 172.31.255.14, secondary_private_ips: [172.31.255.5]}
  f: {subnet: {cidr: 172.31.255.0/28}}
"""
GROWING = """
version: 1
stack: crowd
region: us-east-1
network_interfaces:
  a: {subnet: {cidr: 172.31.255.0/28}, private_ip: 172.31.255.4, secondary_private_ip_count: %s}
  b: {subnet: {cidr: 172.31.255.0/28}, private_ip: 172.31.255.14, secondary_private_ips: %s}
"""


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param([CROWD], id="made"),
        pytest.param([GROWING % (0, []), GROWING % (5, [f"172.31.255.{n}" for n in (5, 7, 9, 11)])], id="grown"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_no_address_that_the_spec_names_is_given_to_another(specs: list[str], seed: int, tmp_path: Path) -> None:
    """The spec needs all addresses of a small subnet. Interfaces that take any address are created last."""
    with open_harness(tmp_path, replace(SLOW, seed=seed)) as harness:
        vpc = harness.strict.world.default_vpc()
        assert vpc is not None
        harness.strict.world.add_subnet(vpc.id, "172.31.255.0/28")
        for text in specs:
            report = harness.apply(text)
            assert (report.outcome, {outcome.status for outcome in report.outcomes}) == (
                "converged",
                {Status.DONE},
            )


FURTHER = """
version: 1
stack: crowd
region: us-east-1
network_interfaces:
  a: {subnet: {cidr: %s}, secondary_private_ips: %s}
"""


def test_a_primary_address_that_ec2_may_take_from_the_spec(harness: Harness) -> None:
    """A warning where that is likely, and none in a large subnet, or for one that is there or names its own."""
    vpc = harness.strict.world.default_vpc()
    assert vpc is not None
    harness.strict.world.add_subnet(vpc.id, "172.31.255.0/28")
    small = FURTHER % ("172.31.255.0/28", "[172.31.255.5, 172.31.255.9]")
    assert harness.plan(small).warnings == (
        "network_interfaces.a: EC2 chooses its primary address from the 11 free addresses of the subnet, and "
        "may choose one of the 2 that the spec lists as secondary_private_ips; write private_ip, too",
    )
    assert harness.plan(small.replace("}, sec", "}, private_ip: 172.31.255.4, sec")).warnings == ()
    large = FURTHER % ("172.31.0.0/20", "[172.31.0.5]")
    assert harness.plan(large).warnings == ()
    harness.apply(large)
    assert harness.plan(large.replace("0.5]", "0.5, 172.31.0.6]")).warnings == ()


def test_a_primary_address_that_ec2_did_take_from_the_spec(harness: Harness) -> None:
    """It cannot become a further one, so another interface takes the place of this one."""
    subnet = next(each for each in harness.strict.world.data.subnets.values() if each.zone == "us-east-1a")
    tags = {"enireconcile:stack": "crowd", "enireconcile:name": "network_interfaces.a", "Name": "a"}
    made = harness.client().create_network_interface(
        SubnetId=subnet.id,
        PrivateIpAddress="172.31.0.5",
        TagSpecifications=[
            {"ResourceType": "network-interface", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        ],
    )["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 60
    text = FURTHER % (subnet.cidr, "[172.31.0.5]")
    [change] = harness.plan(text).changes
    assert (change.action, change.impact) == (Action.REPLACE, Impact.DESTRUCTIVE)
    assert harness.apply(text).outcome == "converged"
    assert _interface(harness, "a")["NetworkInterfaceId"] != made
    assert _secondary(harness, "a") == ["172.31.0.5"]
    assert harness.plan(text).empty


def test_a_host_with_ten_elastic_ips(harness: Harness) -> None:
    """The spec for ten addresses on one host: one create for the interface, then nothing more to do."""
    report = harness.apply(MANY)
    assert (report.outcome, report.error) == ("converged", None)
    assert len(_public(harness, "relay-eth0")) == 10
    calls = [outcome.step.call for outcome in report.outcomes]
    assert "AssignPrivateIpAddresses" not in calls
    harness.strict.clear()
    assert harness.apply(MANY).outcome == "unchanged"
    assert harness.strict.mutating() == []


def test_drift_of_a_list_is_corrected_exactly(harness: Harness) -> None:
    """Another tool took an address away and added another: one call each, and the list is as it was."""
    spec = _pair("secondary_private_ips: [172.31.0.51, 172.31.0.52]", "secondary_private_ips: []")
    harness.apply(spec)
    ec2, a = harness.client(), _interface(harness, "a")["NetworkInterfaceId"]
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=a, PrivateIpAddresses=["172.31.0.51"])
    ec2.assign_private_ip_addresses(NetworkInterfaceId=a, PrivateIpAddresses=["172.31.0.99"])
    plan = harness.plan(spec)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("AssignPrivateIpAddresses", Impact.SAFE),
        ("UnassignPrivateIpAddresses", Impact.DISRUPTIVE),
    ]
    assert harness.apply(spec).outcome == "converged"
    assert _secondary(harness, "a") == ["172.31.0.51", "172.31.0.52"]


def test_what_is_not_written_is_left_as_it_is(harness: Harness) -> None:
    """Neither list nor count: addresses that others assign are no difference."""
    spec = _pair("description: x", "description: y")
    harness.apply(spec)
    a = _interface(harness, "a")["NetworkInterfaceId"]
    harness.client().assign_private_ip_addresses(NetworkInterfaceId=a, SecondaryPrivateIpAddressCount=2)
    assert harness.plan(spec).empty


@pytest.mark.parametrize(("before", "after"), [(0, 3), (3, 1), (2, 0)])
def test_counts_go_up_and_down(harness: Harness, before: int, after: int) -> None:
    """A count asks for what is missing, or gives back what is too much."""
    harness.apply(_pair(f"secondary_private_ip_count: {before}", "description: y"))
    assert len(_secondary(harness, "a")) == before
    spec = _pair(f"secondary_private_ip_count: {after}", "description: y")
    assert harness.apply(spec).outcome == "converged"
    assert len(_secondary(harness, "a")) == after
    assert harness.plan(spec).empty


def test_a_count_is_never_asked_for_twice(harness: Harness) -> None:
    """The answer to a count is lost after EC2 has acted: the world is read again, not asked again."""
    harness.apply(_pair("secondary_private_ip_count: 0", "description: y"))
    harness.strict.faults.add(DropConnection(action="AssignPrivateIpAddresses", late=True))
    report = harness.apply(_pair("secondary_private_ip_count: 3", "description: y"))
    assert (report.outcome, len(_secondary(harness, "a"))) == ("converged", 3)


def test_an_address_floats_with_its_elastic_ip(harness: Harness) -> None:
    """The address moves to the other interface in one call, and its Elastic IP rides along untouched."""
    eip = "elastic_ips:\n  vip: {association: {network_interface: %s, private_ip: 172.31.0.51}}\n"
    harness.apply(_pair("secondary_private_ips: [172.31.0.51]", "secondary_private_ips: []", eip % "a"))
    before = _public(harness, "a")
    moved = _pair("secondary_private_ips: []", "secondary_private_ips: [172.31.0.51]", eip % "b")
    plan = harness.plan(moved)
    assert [step.call for step in plan.steps] == ["AssignPrivateIpAddresses"]
    assert plan.steps[0].params["AllowReassignment"] is True
    assert plan.impact is Impact.DISRUPTIVE
    assert harness.apply(moved).outcome == "converged"
    assert (_public(harness, "b"), _secondary(harness, "a")) == (before, [])


def test_elastic_ips_change_places_on_one_interface(harness: Harness) -> None:
    """Two Elastic IPs of one interface swap their private addresses: two calls, both in use after."""
    eips = """elastic_ips:
  one: {association: {network_interface: a%s}}
  two: {association: {network_interface: a%s}}
"""
    private, primary = ", private_ip: 172.31.0.51", ""
    harness.apply(_pair("secondary_private_ips: [172.31.0.51]", "description: y", eips % (primary, private)))
    swapped = _pair("secondary_private_ips: [172.31.0.51]", "description: y", eips % (private, primary))
    before = _public(harness, "a")
    assert [step.call for step in harness.plan(swapped).steps] == ["AssociateAddress", "AssociateAddress"]
    assert harness.apply(swapped).outcome == "converged"
    after = _public(harness, "a")
    assert sorted(before.values()) == sorted(after.values())
    assert all(before[address] != after[address] for address in before)


def test_the_order_of_addresses_is_no_difference(harness: Harness) -> None:
    """EC2 lists addresses in any order, and so may the spec."""
    harness.apply(_pair("secondary_private_ips: [172.31.0.51, 172.31.0.52]", "description: y"))
    assert harness.plan(_pair("secondary_private_ips: [172.31.0.52, 172.31.0.51]", "description: y")).empty


def test_a_new_interface_takes_an_address_over(harness: Harness) -> None:
    """CreateNetworkInterface takes nothing away from others, so what moves follows in a call that does."""
    eip = "elastic_ips:\n  vip: {association: {network_interface: %s, private_ip: 172.31.0.51}}\n"
    old = "secondary_private_ips: [172.31.0.51]"
    harness.apply(_pair(old, "description: y", eip % "a"))
    before = _public(harness, "a")
    moved = _pair("secondary_private_ips: []", "description: y", "").replace(
        "  b:",
        "  c: {subnet: {default_for_az: us-east-1a}, private_ip: 172.31.0.50, "
        "secondary_private_ips: [172.31.0.51, 172.31.0.52]}\n  b:",
    )
    plan = harness.plan(moved + eip % "c")
    assert [step.call for step in plan.steps] == ["CreateNetworkInterface", "AssignPrivateIpAddresses"]
    report = harness.apply(moved + eip % "c")
    assert (report.outcome, len(report.outcomes)) == ("converged", 2)
    assert (_public(harness, "c"), _secondary(harness, "c")) == (before, ["172.31.0.51", "172.31.0.52"])


def test_an_interface_under_another_name_gets_all_that_the_old_one_had(harness: Harness) -> None:
    """With --prune: the old one gives up its addresses, and its Elastic IPs, before or as it goes."""
    rows = "private_ip: 172.31.0.50, secondary_private_ips: [172.31.0.51]"
    eips = """elastic_ips:
  one: {association: {network_interface: %s}}
  two: {association: {network_interface: %s, private_ip: 172.31.0.51}}
"""
    harness.apply(_pair(rows, "description: y", eips % ("a", "a")))
    before = _public(harness, "a")
    renamed = _pair(rows, "description: y", eips % ("new", "new")).replace("  a:", "  new:")
    report = harness.apply(renamed, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert not [outcome for outcome in report.outcomes if outcome.step.id.startswith("r2")]
    assert _public(harness, "new") == before
    assert harness.plan(renamed, prune=True).empty


def test_an_address_makes_room_for_the_next_one(harness: Harness) -> None:
    """A t3.micro takes two addresses on an interface: the old one leaves before the new one comes."""
    host = """
instances:
  web: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.micro}
"""
    at = "attachment: {instance: web, device_index: 0}"
    harness.apply(_pair(f"secondary_private_ips: [172.31.0.51], {at}", "description: y", host))
    changed = _pair(f"secondary_private_ips: [172.31.0.52], {at}", "description: y", host)
    report = harness.apply(changed)
    assert (report.outcome, len(report.outcomes)) == ("converged", 2)
    assert _secondary(harness, "a") == ["172.31.0.52"]


def test_an_elastic_ip_moves_to_the_next_address_of_its_interface(harness: Harness) -> None:
    """The next one comes before the Elastic IP moves, and the old one goes after: it is never without a target."""
    eip = "elastic_ips:\n  vip: {association: {network_interface: a, private_ip: 172.31.0.%d}}\n"
    harness.apply(_pair("secondary_private_ips: [172.31.0.51]", "description: y", eip % 51))
    before = _public(harness, "a")
    changed = _pair("secondary_private_ips: [172.31.0.52]", "description: y", eip % 52)
    calls = ["AssignPrivateIpAddresses", "AssociateAddress", "UnassignPrivateIpAddresses"]
    assert [step.call for step in harness.plan(changed).steps] == calls
    report = harness.apply(changed)
    assert (report.outcome, len(report.outcomes)) == ("converged", 3)
    assert _public(harness, "a") == {"172.31.0.52": before["172.31.0.51"]}
