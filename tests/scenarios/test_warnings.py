"""What a plan warns of on the strict EC2: routes to what it deletes, addresses in use, ignored edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import Fail
from tests.harness import SLOW, Harness, open_harness

HEAD = "version: 1\nstack: lab\nregion: us-east-1\n"
PROXIES = """
instances:
  a: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.medium}
  b: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.medium}
network_interfaces:
  a0: {subnet: SUBNET, IGNORE secondary_private_ips: [10.0.0.50], attachment: {instance: a, device_index: 0}}
  b0: {subnet: SUBNET, IGNORE secondary_private_ips: [], attachment: {instance: b, device_index: 0}}
"""
NAT = "network_interfaces: {nat: {subnet: {tags: {Name: SUBNET}}, source_dest_check: false}}"


@dataclass
class Lab:
    """A VPC with the subnets ``lab`` and ``lab-2`` and a route table of another owner."""

    harness: Harness
    table: str

    def interface(self, name: str) -> str:
        filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
        [found] = self.harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return str(found["NetworkInterfaceId"])

    def further(self, name: str) -> list[Any]:
        """All private addresses of an interface but the primary one."""
        found = self.harness.client().describe_network_interfaces(NetworkInterfaceIds=[self.interface(name)])
        addresses = found["NetworkInterfaces"][0]["PrivateIpAddresses"]
        return [each for each in addresses if not each["Primary"]]

    def lead(self, name: str, destination: str = "0.0.0.0/0") -> None:
        """A route of another owner leads to an interface of the stack."""
        self.harness.client().create_route(
            RouteTableId=self.table, DestinationCidrBlock=destination, NetworkInterfaceId=self.interface(name)
        )

    def states(self) -> dict[str, str]:
        """The states of the routes to interfaces."""
        tables = self.harness.client().describe_route_tables(RouteTableIds=[self.table])["RouteTables"]
        routes = [route for route in tables[0]["Routes"] if "NetworkInterfaceId" in route]
        return {route["DestinationCidrBlock"]: route["State"] for route in routes}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_harness(tmp_path / "state", SLOW) as harness:
        world = harness.strict.world
        vpc = world.add_vpc("10.0.0.0/16", tags={"Name": "lab"})
        world.add_subnet(vpc, "10.0.0.0/24", tags={"Name": "lab"})
        world.add_subnet(vpc, "10.0.1.0/24", tags={"Name": "lab-2"})
        yield Lab(harness, world.add_route_table(vpc, {"Name": "private-a"}))


def nat(subnet: str = "lab") -> str:
    return HEAD + NAT.replace("SUBNET", subnet)


def proxies(ignore: str = "") -> str:
    words = f"lifecycle: {{ignore: [{ignore}]}}," if ignore else ""
    return HEAD + PROXIES.replace("IGNORE", words).replace("SUBNET", "{tags: {Name: lab}}")


@pytest.mark.parametrize("how", ["prune", "replace", "destroy"])
def test_routes_of_others_to_an_interface_that_ends(lab: Lab, how: str) -> None:
    """The plan names each route in one further read; EC2 keeps the routes as black holes."""
    lab.harness.apply(nat())
    lab.lead("nat")
    former = lab.interface("nat")
    spec, destroy = {"prune": (HEAD, False), "replace": (nat("lab-2"), False), "destroy": (nat(), True)}[how]
    lab.harness.strict.clear()
    plan = lab.harness.plan(spec, prune=how == "prune", destroy=destroy)
    what = "change it to the new interface" if how == "replace" else "change it first"
    assert plan.warnings == (
        f"network_interfaces.nat: route 0.0.0.0/0 of {lab.table} (private-a) leads to {former}, which this plan "
        f"deletes, and stays a black hole: {what}",
    )
    assert lab.harness.strict.actions().count("DescribeRouteTables") == 1
    assert lab.harness.apply(spec, prune=True, destroy=destroy).outcome == "converged"
    assert lab.states() == {"0.0.0.0/0": "blackhole"}


def test_a_route_to_a_running_instance_becomes_a_black_hole(lab: Lab) -> None:
    lab.harness.apply(proxies())
    lab.lead("a0")
    assert lab.states() == {"0.0.0.0/0": "active"}
    [warning] = lab.harness.plan(proxies(), destroy=True).warnings
    assert warning.endswith("becomes a black hole: change it first")


def test_a_plan_that_deletes_no_interface_reads_no_routes(lab: Lab) -> None:
    lab.harness.apply(nat())
    lab.harness.apply(nat())
    lab.harness.plan(HEAD)
    assert "DescribeRouteTables" not in lab.harness.strict.actions()


def test_without_the_right_to_read_routes(lab: Lab) -> None:
    """A note and no error: the interface is deleted."""
    lab.harness.apply(nat())
    lab.lead("nat")
    lab.harness.strict.faults.add(Fail("DescribeRouteTables", times=99, code="UnauthorizedOperation"))
    [note] = lab.harness.plan(HEAD, prune=True).warnings
    assert note == (
        "not checked: which routes lead to the interfaces that this plan deletes; these credentials are not "
        "allowed to call DescribeRouteTables"
    )
    assert lab.harness.apply(HEAD, prune=True).outcome == "converged"


@pytest.mark.parametrize("prune", [False, True])
def test_the_policy_allows_to_read_routes_where_interfaces_may_be_deleted(lab: Lab, prune: bool) -> None:
    lab.harness.apply(nat())
    lab.lead("nat")
    lab.harness.obey(nat(), prune=prune)
    assert len(lab.harness.plan(nat("lab-2")).warnings) == 1
    assert not any(warning.startswith("not checked") for warning in lab.harness.plan(nat("lab-2")).warnings)


def test_an_address_that_its_active_node_has_is_taken_with_a_warning(lab: Lab) -> None:
    """Another tool has moved 10.0.0.50 to b: the plan says from whom it takes it, and how to leave it there."""
    lab.harness.apply(proxies())
    lab.harness.client().assign_private_ip_addresses(
        NetworkInterfaceId=lab.interface("b0"), PrivateIpAddresses=["10.0.0.50"], AllowReassignment=True
    )
    assert lab.harness.plan(proxies()).warnings == (
        f"network_interfaces.a0: takes 10.0.0.50 from network_interfaces.b0 ({lab.interface('b0')}) on the "
        "running instance b; if another tool has moved it there, write "
        "lifecycle: {ignore: [secondary_private_ips]}",
    )
    left = lab.harness.plan(proxies("secondary_private_ips"))
    assert left.empty
    words = "and is ignored; to apply the spec's value, remove secondary_private_ips from lifecycle.ignore"
    assert left.warnings == (
        f'network_interfaces.a0: secondary_private_ips differs (live [], spec ["10.0.0.50"]) {words}',
        f'network_interfaces.b0: secondary_private_ips differs (live ["10.0.0.50"], spec []) {words}',
    )


def test_an_elastic_ip_on_an_address_that_ec2_chose(lab: Lab) -> None:
    """It is associated, it is no difference afterwards, and its address stays when the number shrinks."""

    def spec(count: int, address: str | None = None) -> str:
        row = f"{{subnet: {{tags: {{Name: lab}}}}, secondary_private_ip_count: {count}}}"
        at = f"{{association: {{network_interface: a, private_ip: {address}}}}}"
        return HEAD + f"network_interfaces: {{a: {row}}}\n" + (f"elastic_ips: {{one: {at}}}\n" if address else "")

    world = lab.harness.strict.world
    world.add_gateway(next(vpc.id for vpc in world.data.vpcs.values() if vpc.tags.get("Name") == "lab"))
    lab.harness.apply(spec(3))
    chosen = min(each["PrivateIpAddress"] for each in lab.further("a"))
    assert lab.harness.apply(spec(1, chosen)).outcome == "converged"
    [further] = lab.further("a")
    assert (further["PrivateIpAddress"], "Association" in further) == (chosen, True)
    assert lab.harness.plan(spec(1, chosen)).empty
