"""Rules of EC2 for public NAT gateways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def gateway(lab: Lab, allocation: str) -> str:
    made = lab.ec2.create_nat_gateway(SubnetId=lab.subnet(), AllocationId=allocation)["NatGateway"]
    assert made["State"] == "pending"
    lab.clock.advance(60)
    return str(made["NatGatewayId"])


def test_it_has_an_interface_that_it_manages(lab: Lab) -> None:
    """EC2 docs: its Elastic IP cannot be taken off, and comes free when it is deleted."""
    allocation = lab.eip()
    made = gateway(lab, allocation)
    [shown] = lab.ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"]
    [address] = shown["NatGatewayAddresses"]
    assert (shown["State"], address["AllocationId"]) == ("available", allocation)
    [held] = lab.ec2.describe_addresses()["Addresses"]
    assert held["NetworkInterfaceId"] == address["NetworkInterfaceId"]
    with refused("AuthFailure"):
        lab.ec2.disassociate_address(AssociationId=held["AssociationId"])
    with refused("AuthFailure"):
        lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=lab.eni())
    with refused("Resource.AlreadyAssociated"):
        lab.ec2.create_nat_gateway(SubnetId=lab.subnet(), AllocationId=allocation)
    lab.ec2.delete_nat_gateway(NatGatewayId=made)
    lab.clock.advance(60)
    assert "AssociationId" not in lab.ec2.describe_addresses()["Addresses"][0]
    assert lab.ec2.describe_nat_gateways()["NatGateways"][0]["State"] == "deleted"


def test_routes_to_it_stay_as_black_holes(lab: Lab) -> None:
    made, table = gateway(lab, lab.eip()), lab.world.add_route_table(lab.vpc)
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=made)

    def state() -> str:
        [shown] = lab.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        return next(str(route["State"]) for route in shown["Routes"] if route.get("NatGatewayId") == made)

    assert state() == "active"
    lab.ec2.delete_nat_gateway(NatGatewayId=made)
    lab.clock.advance(60)
    assert state() == "blackhole"
