"""docs/how-to/nat-gateway.md, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enireconcile.model import Step
from tests.harness import SLOW, Harness, open_harness
from tests.lab_vpc import lab

TEXT = (Path(__file__).parents[2] / "specs" / "nat-appliance.yaml").read_text(encoding="utf-8")
ROUTES = "    routes:\n      - {route_table: {tags: {Name: lab-private}}, destination: 0.0.0.0/0}\n"
ADDRESS = "  nat: {association: {network_interface: nat-outside}}"


class Network:
    """A private subnet behind a NAT gateway, whose address partners know."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.ec2 = harness, harness.client()
        vpc, self.subnets = lab(harness)
        tables = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        self.table = next(each["RouteTableId"] for each in tables if each.get("Tags"))
        allocated = self.ec2.allocate_address()
        self.allocation, self.known = allocated["AllocationId"], allocated["PublicIp"]
        self.wait()
        self.gateway = self.create_gateway()
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=self.gateway)

    def wait(self) -> None:
        self.harness.loop.now += 60

    def create_gateway(self) -> str:
        made = self.ec2.create_nat_gateway(SubnetId=self.subnets["lab-a"], AllocationId=self.allocation)
        self.wait()
        return str(made["NatGateway"]["NatGatewayId"])

    def way_out(self) -> tuple[str, str]:
        """What the private subnet's route leads to, and its state."""
        [table] = self.ec2.describe_route_tables(RouteTableIds=[self.table])["RouteTables"]
        [route] = [each for each in table["Routes"] if each.get("DestinationCidrBlock") == "0.0.0.0/0"]
        return route.get("NatGatewayId") or self.name(route["NetworkInterfaceId"]), route["State"]

    def name(self, interface: str) -> str:
        [shown] = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
        tags = {tag["Key"]: tag["Value"] for tag in shown["TagSet"]}
        return str(tags["enireconcile:name"]).partition(".")[2]

    def address_of(self, name: str) -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
        [shown] = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return shown["Association"]["PublicIp"]

    def apply(self, spec: str, **more: Any) -> tuple[Step, ...]:
        """An apply that converges; its steps."""
        report = self.harness.apply(spec, **more)
        assert (report.outcome, report.error) == ("converged", None), str(report)
        self.wait()
        return tuple(outcome.step for outcome in report.outcomes)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with open_harness(tmp_path / "state", SLOW) as harness:
        yield Network(harness)


def _adopting(network: Network, *, associated: bool) -> str:
    target = ", association: {network_interface: nat-outside}" if associated else ""
    return f"  partners: {{adopt: {network.allocation}{target}}}"


def test_to_a_nat_instance_and_back(network: Network) -> None:
    assert network.way_out() == (network.gateway, "active")
    [step] = [each for each in network.apply(TEXT) if each.call == "ReplaceRoute"]
    words = f"route 0.0.0.0/0 of {network.table} (lab-private) no longer leads to {network.gateway}"
    assert step.note == words
    assert network.way_out() == ("nat-inside", "active")
    network.ec2.delete_nat_gateway(NatGatewayId=network.gateway)
    network.wait()
    kept = TEXT.replace(ADDRESS, _adopting(network, associated=True))
    calls = [step.call for step in network.apply(kept, prune=True)]
    assert sorted(calls) == ["AssociateAddress", "CreateTags", "DisassociateAddress", "ReleaseAddress"]
    assert network.address_of("nat-outside") == network.known
    # And back.
    both = TEXT.replace(ADDRESS, _adopting(network, associated=False) + "\n" + ADDRESS)
    calls = [step.call for step in network.apply(both)]
    assert calls == ["AllocateAddress", "AssociateAddress"]
    assert network.address_of("nat-outside") != network.known
    ownership = [{"Key": "enireconcile:stack"}, {"Key": "enireconcile:name"}]
    network.ec2.delete_tags(Resources=[network.allocation], Tags=ownership)
    gateway = network.create_gateway()
    without = TEXT.replace(ROUTES, "")
    assert network.harness.plan(without).empty
    network.ec2.replace_route(RouteTableId=network.table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    assert network.harness.plan(without).empty
    network.apply(without, destroy=True)
    assert network.way_out() == (gateway, "active")
    [address] = network.ec2.describe_addresses()["Addresses"]
    assert address["PublicIp"] == network.known


def test_the_gateway_is_still_there_after_the_first_step(network: Network) -> None:
    """A run moves the route back to the instance as long as the spec names it."""
    network.apply(TEXT)
    network.ec2.replace_route(
        RouteTableId=network.table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=network.gateway
    )
    assert [step.call for step in network.harness.plan(TEXT).steps] == ["ReplaceRoute"]
    assert network.harness.plan(TEXT.replace(ROUTES, "")).empty
