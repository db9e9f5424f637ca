"""The VPC that the specs in specs/ stand in: made by calls on a foreign EC2, arranged on the strict one."""

from __future__ import annotations

from typing import Any

from tests.harness import Foreign, Harness

ZONE = "us-east-1a"
SUBNETS = {"lab-a": "10.0.1.0/24", "lab-mgmt": "10.0.2.0/24", "lab-private": "10.0.3.0/24"}


def lab(harness: Harness) -> tuple[str, dict[str, str]]:
    """The ids of the VPC called lab, with an internet gateway, and of its subnets by name.

    The subnet lab-private has a route table of its own, without a way out.
    """
    return _foreign(harness) if isinstance(harness.server, Foreign) else _strict(harness)


def _strict(harness: Harness) -> tuple[str, dict[str, str]]:
    world = harness.strict.world
    vpc = world.add_vpc("10.0.0.0/16", gateway=True, tags={"Name": "lab"})
    subnets = {name: world.add_subnet(vpc, cidr, ZONE, tags={"Name": name}) for name, cidr in SUBNETS.items()}
    private = world.add_route_table(vpc, {"Name": "lab-private"})
    harness.client().associate_route_table(RouteTableId=private, SubnetId=subnets["lab-private"])
    return vpc, subnets


def _foreign(harness: Harness) -> tuple[str, dict[str, str]]:
    ec2 = harness.client()
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=named("vpc", "lab"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    subnets = {
        name: ec2.create_subnet(
            VpcId=vpc, CidrBlock=cidr, AvailabilityZone=ZONE, TagSpecifications=named("subnet", name)
        )["Subnet"]["SubnetId"]
        for name, cidr in SUBNETS.items()
    }
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=named("route-table", "lab-private"))
    ec2.associate_route_table(RouteTableId=table["RouteTable"]["RouteTableId"], SubnetId=subnets["lab-private"])
    return vpc, subnets


def named(kind: str, name: str) -> list[dict[str, Any]]:
    """TagSpecifications that give a resource its name."""
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]
