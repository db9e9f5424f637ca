"""Rules of EC2 for route tables, their routes and their associations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def rows(lab: Lab, table: str) -> dict[str, tuple[str, str, str]]:
    """Target, state and origin of each route, by its destination."""
    [shown] = lab.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        next(value for key, value in route.items() if key.startswith("Destination")): (
            route.get("GatewayId") or route["NetworkInterfaceId"],
            route["State"],
            route["Origin"],
        )
        for route in shown["Routes"]
    }


def made(lab: Lab, vpc: str | None = None, **more: Any) -> str:
    return str(lab.ec2.create_route_table(VpcId=vpc or lab.vpc, **more)["RouteTable"]["RouteTableId"])


def test_a_new_table_has_the_local_routes_of_its_vpc(lab: Lab) -> None:
    """EC2 docs: one for each CIDR block of the VPC; Origin CreateRouteTable; no call removes it."""
    vpc = lab.world.add_vpc(
        "10.0.0.0/16",
        ipv6_cidr="2001:db8::/56",
        other_cidrs={"10.1.0.0/16": "associated", "10.2.0.0/16": "disassociated"},
    )
    table = made(
        lab, vpc, TagSpecifications=[{"ResourceType": "route-table", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    local = ("local", "active", "CreateRouteTable")
    assert rows(lab, table) == dict.fromkeys(("10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56"), local)
    with refused("InvalidParameterValue", "cannot remove local route 10.0.0.0/16"):
        lab.ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16")
    with refused("RouteAlreadyExists", "The route identified by 2001:db8::/56 already exists."):
        lab.ec2.create_route(
            RouteTableId=table, DestinationIpv6CidrBlock="2001:db8::/56", NetworkInterfaceId=lab.eni()
        )
    [shown] = lab.ec2.describe_route_tables(Filters=[{"Name": "tag:a", "Values": ["b"]}])["RouteTables"]
    assert (shown["RouteTableId"], shown["Associations"], shown["PropagatingVgws"]) == (table, [], [])


def test_a_table_is_made_once_for_a_token(lab: Lab) -> None:
    first = made(lab, ClientToken="token")
    assert made(lab, ClientToken="token") == first
    with refused("IdempotentParameterMismatch"):
        made(lab, lab.world.add_vpc("10.0.0.0/16"), ClientToken="token")


def test_the_main_table_of_the_default_vpc_leads_to_its_gateway(lab: Lab) -> None:
    main = lab.world.main_route_table(lab.vpc).id
    [gateway] = lab.world.data.gateways
    assert rows(lab, main)["0.0.0.0/0"] == (gateway, "active", "CreateRoute")


def test_a_route_is_replaced_and_deleted_by_its_destination(lab: Lab) -> None:
    """EC2 docs: a CIDR block is read in its canonical form. Replacing creates nothing."""
    table, one, two = made(lab), lab.eni(), lab.eni()
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.9.8.7/8", NetworkInterfaceId=one)
    lab.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", NetworkInterfaceId=two)
    assert rows(lab, table)["10.0.0.0/8"] == (two, "blackhole", "CreateRoute")
    with refused("InvalidParameterValue", "There is no route defined for '11.0.0.0/8' in the route table. Use"):
        lab.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="11.0.0.0/8", NetworkInterfaceId=two)
    lab.ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8")
    with refused(
        "InvalidRoute.NotFound", f"no route with destination-cidr-block 10.0.0.0/8 in route table {table}"
    ):
        lab.ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8")


def test_a_local_route_leads_elsewhere_and_back(lab: Lab) -> None:
    """EC2 docs, ReplaceRoute: LocalTarget resets the local route to its default target."""
    table, eni, block = made(lab), lab.eni(), "172.31.0.0/16"
    lab.ec2.replace_route(RouteTableId=table, DestinationCidrBlock=block, NetworkInterfaceId=eni)
    assert rows(lab, table) == {block: (eni, "blackhole", "CreateRouteTable")}
    lab.ec2.replace_route(RouteTableId=table, DestinationCidrBlock=block, LocalTarget=True)
    assert rows(lab, table) == {block: ("local", "active", "CreateRouteTable")}
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", NetworkInterfaceId=eni)
    with refused("InvalidParameterValue"):
        lab.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", LocalTarget=True)


def test_routes_inside_the_vpc_match_a_subnet_and_lead_to_an_interface(lab: Lab) -> None:
    table, eni = made(lab), lab.eni()
    [gateway] = lab.world.data.gateways
    subnet = lab.world.data.subnets[lab.subnet()].cidr
    with refused("InvalidParameterValue", "can target only an interface or an instance"):
        lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock=subnet, GatewayId=gateway)
    with refused("InvalidParameterValue", "does not match the CIDR block of a subnet"):
        lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="172.31.0.0/28", NetworkInterfaceId=eni)
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock=subnet, NetworkInterfaceId=eni)
    assert rows(lab, table)[subnet][0] == eni


def test_a_route_to_a_gateway_is_a_black_hole_once_that_is_detached(lab: Lab) -> None:
    vpc = lab.world.add_vpc("10.0.0.0/16")
    table, gateway = made(lab, vpc), lab.world.add_gateway(None)
    route: dict[str, Any] = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    with refused(
        "InvalidParameterValue", f"route table {table} and network gateway {gateway} belong to different"
    ):
        lab.ec2.create_route(**route)
    lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    lab.ec2.create_route(**route)
    assert rows(lab, table)["0.0.0.0/0"] == (gateway, "active", "CreateRoute")
    lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    lab.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    assert rows(lab, table)["0.0.0.0/0"] == (gateway, "blackhole", "CreateRoute")


def test_a_route_names_an_instance_that_has_one_interface(lab: Lab) -> None:
    """EC2 docs: the route leads to the interface; an instance with several has to be named by interface."""
    table, eni = made(lab), lab.eni()
    instance = lab.instance(SubnetId=lab.subnet())
    lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/8", InstanceId=instance)
    [primary] = lab.show_instance(instance)["NetworkInterfaces"]
    assert rows(lab, table)["10.0.0.0/8"] == (primary["NetworkInterfaceId"], "active", "CreateRoute")
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.clock.advance(60)
    assert rows(lab, table)["10.0.0.0/8"][1] == "blackhole"
    lab.attach(eni, instance)
    with refused("InvalidInstanceID", "multiple interfaces"):
        lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock="11.0.0.0/8", InstanceId=instance)


def test_a_route_has_one_destination_and_one_target(lab: Lab) -> None:
    table, eni = made(lab), lab.eni()
    destination = {"DestinationCidrBlock": "10.0.0.0/8"}
    for params, code in (
        ({"NetworkInterfaceId": eni}, "MissingParameter"),
        (
            {**destination, "DestinationIpv6CidrBlock": "::/0", "NetworkInterfaceId": eni},
            "InvalidParameterCombination",
        ),
        (destination, "MissingParameter"),
        ({**destination, "NetworkInterfaceId": eni, "GatewayId": "igw-1"}, "InvalidParameterCombination"),
        ({"DestinationCidrBlock": "10.0.0.0/33", "NetworkInterfaceId": eni}, "InvalidParameterValue"),
        (
            {"DestinationPrefixListId": "pl-0123456789abcdef0", "NetworkInterfaceId": eni},
            "InvalidPrefixListID.NotFound",
        ),
        ({**destination, "NatGatewayId": "nat-0123456789abcdef0"}, "InvalidNatGatewayID.NotFound"),
        ({**destination, "TransitGatewayId": "tgw-0123456789abcdef0"}, "UnsupportedOperation"),
    ):
        with refused(code):
            lab.ec2.create_route(RouteTableId=table, **params)
    prefix_list = lab.world.add_prefix_list()
    lab.ec2.create_route(RouteTableId=table, DestinationPrefixListId=prefix_list, NetworkInterfaceId=eni)
    assert rows(lab, table)[prefix_list][0] == eni


def test_a_subnet_has_one_table(lab: Lab) -> None:
    """EC2 docs: an explicit association, or the main table; the association goes with the subnet."""
    one, two, subnet = made(lab), made(lab), lab.subnet()
    association = lab.ec2.associate_route_table(RouteTableId=one, SubnetId=subnet)["AssociationId"]
    assert lab.ec2.associate_route_table(RouteTableId=one, SubnetId=subnet)["AssociationId"] == association
    with refused("Resource.AlreadyAssociated", f"the specified association for route table {two} conflicts with"):
        lab.ec2.associate_route_table(RouteTableId=two, SubnetId=subnet)
    with refused("DependencyViolation", f"The routeTable '{one}' has dependencies and cannot be deleted."):
        lab.ec2.delete_route_table(RouteTableId=one)
    served = [{"Name": "association.subnet-id", "Values": [subnet]}]
    [shown] = lab.ec2.describe_route_tables(Filters=served)["RouteTables"]
    [row] = shown["Associations"]
    assert (row["SubnetId"], row["Main"], row["RouteTableAssociationId"]) == (subnet, False, association)
    moved = lab.ec2.replace_route_table_association(AssociationId=association, RouteTableId=two)[
        "NewAssociationId"
    ]
    assert lab.ec2.describe_route_tables(Filters=served)["RouteTables"][0]["RouteTableId"] == two
    with refused("InvalidAssociationID.NotFound", f"The association ID '{association}' does not exist"):
        lab.ec2.disassociate_route_table(AssociationId=association)
    lab.ec2.disassociate_route_table(AssociationId=moved)
    assert lab.ec2.describe_route_tables(Filters=served)["RouteTables"] == []
    for table in (one, two):
        lab.ec2.delete_route_table(RouteTableId=table)
    with refused("InvalidRouteTableID.NotFound"):
        lab.ec2.delete_route_table(RouteTableId=one)


def test_the_main_table_is_replaced_but_never_missing(lab: Lab) -> None:
    main, other = lab.world.main_route_table(lab.vpc), made(lab)
    association = main.main_association
    with refused("InvalidParameterValue", f"cannot disassociate the main route table association {association}"):
        lab.ec2.disassociate_route_table(AssociationId=association)
    with refused("DependencyViolation"):
        lab.ec2.delete_route_table(RouteTableId=main.id)
    lab.ec2.replace_route_table_association(AssociationId=association, RouteTableId=other)
    assert lab.world.main_route_table(lab.vpc).id == other
    lab.ec2.delete_route_table(RouteTableId=main.id)


def test_a_table_serves_subnets_of_its_own_vpc(lab: Lab) -> None:
    vpc = lab.world.add_vpc("10.0.0.0/16")
    table, subnet = made(lab, vpc), lab.subnet()
    with refused("InvalidParameterValue", f"route table {table} and subnet {subnet} belong to different networks"):
        lab.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    lab.ec2.associate_route_table(RouteTableId=table, SubnetId=lab.world.add_subnet(vpc, "10.0.0.0/24"))
    own = lab.world.add_route_table(lab.vpc)
    association = lab.ec2.associate_route_table(RouteTableId=own, SubnetId=subnet)["AssociationId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        lab.ec2.replace_route_table_association(AssociationId=association, RouteTableId=table)
