"""The VPC that the specs in specs/ stand in: made by calls on a foreign EC2, arranged on the strict one."""

from __future__ import annotations

from enireconcile.aws.lab import CIDR, SUBNETS, ZONE, make_network
from tests.harness import Foreign, Harness


def lab(harness: Harness) -> tuple[str, dict[str, str]]:
    """The ids of the VPC called lab, with an internet gateway, and of its subnets by name.

    The subnet lab-private has a route table of its own, without a way out.
    """
    return make_network(harness.client()) if isinstance(harness.server, Foreign) else _strict(harness)


def _strict(harness: Harness) -> tuple[str, dict[str, str]]:
    world = harness.strict.world
    vpc = world.add_vpc(CIDR, gateway=True, tags={"Name": "lab"})
    subnets = {name: world.add_subnet(vpc, cidr, ZONE, tags={"Name": name}) for name, cidr in SUBNETS.items()}
    private = world.add_route_table(vpc, {"Name": "lab-private"})
    harness.client().associate_route_table(RouteTableId=private, SubnetId=subnets["lab-private"])
    return vpc, subnets
