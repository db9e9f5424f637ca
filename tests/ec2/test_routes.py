"""Rules of EC2 for routes to network interfaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def states(lab: Lab, table: str) -> dict[str, tuple[str, str]]:
    """The interface and the state of each route to an interface."""
    [shown] = lab.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        route.get("DestinationCidrBlock") or route["DestinationIpv6CidrBlock"]: (
            route["NetworkInterfaceId"],
            route["State"],
        )
        for route in shown["Routes"]
        if "NetworkInterfaceId" in route
    }


def test_a_route_is_a_black_hole_without_a_running_instance_and_stays_one(lab: Lab) -> None:
    """EC2 docs: its target must be available; a route to a deleted interface is not deleted."""
    table, eni = lab.world.add_route_table(lab.vpc), lab.eni()
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", NetworkInterfaceId=eni)
    lab.ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="::/0", NetworkInterfaceId=eni)
    assert states(lab, table) == {"10.0.0.0/8": (eni, "blackhole"), "::/0": (eni, "blackhole")}
    attachment = lab.attach(eni, lab.instance(SubnetId=lab.subnet()))
    assert states(lab, table)["10.0.0.0/8"] == (eni, "active")
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    lab.clock.advance(60)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert states(lab, table)["10.0.0.0/8"] == (eni, "blackhole")


def test_routes_that_are_refused(lab: Lab) -> None:
    """One route for a destination, tables and interfaces that exist, and both in one VPC."""
    table, eni = lab.world.add_route_table(lab.vpc), lab.eni()
    other = lab.world.add_route_table(lab.world.add_vpc("10.0.0.0/16"))

    def create(table: str, destination: str = "10.0.0.0/8", eni: str = eni) -> None:
        lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)

    create(table)
    with refused("RouteAlreadyExists"):
        create(table)
    with refused("RouteAlreadyExists"):
        create(table, "172.31.0.0/16")
    with refused("InvalidParameterValue", "different networks"):
        create(other)
    with refused("InvalidRouteTableID.NotFound"):
        create("rtb-0123456789abcdef0")
    with refused("InvalidNetworkInterfaceID.NotFound"):
        create(table, "10.1.0.0/16", "eni-0123456789abcdef0")


def test_route_tables_are_found_by_what_they_are(lab: Lab) -> None:
    table = lab.world.add_route_table(lab.vpc, {"Name": "private-a"})
    eni = lab.eni()
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", NetworkInterfaceId=eni)
    lab.world.add_route_table(lab.world.add_vpc("10.0.0.0/16"))
    mine = [{"Name": "vpc-id", "Values": [lab.vpc]}]
    assert len(lab.ec2.describe_route_tables(Filters=mine)["RouteTables"]) == 2
    for name, value in [("tag:Name", "private-a"), ("route.destination-cidr-block", "10.0.0.0/8")]:
        shown = lab.ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
        assert [each["RouteTableId"] for each in shown] == [table]
    main = [{"Name": "association.main", "Values": ["true"]}, *mine]
    assert lab.ec2.describe_route_tables(Filters=main)["RouteTables"][0]["RouteTableId"] != table
