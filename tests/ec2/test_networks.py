"""Rules of EC2 for VPCs, subnets and internet gateways: made and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2.lab import Lab, refused
from tests.ec2.records import Quotas, Settings


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def tagged(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def vpc_of(lab: Lab, cidr: str = "10.0.0.0/16", **more: Any) -> str:
    return str(lab.ec2.create_vpc(CidrBlock=cidr, **more)["Vpc"]["VpcId"])


def subnet_of(lab: Lab, vpc: str, cidr: str = "10.0.0.0/24", **more: Any) -> str:
    return str(lab.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"]["SubnetId"])


def gateway_of(lab: Lab, vpc: str) -> str:
    gateway = str(lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return gateway


def test_a_vpc_comes_with_a_group_and_a_main_table(lab: Lab) -> None:
    """EC2 docs: a default group, a main route table, no internet gateway. The answer says `pending`."""
    answer = lab.ec2.create_vpc(CidrBlock="10.0.3.0/16", TagSpecifications=tagged("vpc", "scratch"))["Vpc"]
    vpc = answer["VpcId"]
    assert (answer["State"], answer["CidrBlock"], answer["IsDefault"]) == ("pending", "10.0.0.0/16", False)
    assert answer["Tags"] == [{"Key": "Name", "Value": "scratch"}]
    assert lab.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["State"] == "available"
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    [group] = lab.ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    assert group["GroupName"] == "default"
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    [table] = lab.ec2.describe_route_tables(Filters=mine)["RouteTables"]
    assert table["Associations"][0]["Main"] is True
    with refused("Gateway.NotAttached"):
        lab.associate(lab.eip(), lab.eni(SubnetId=subnet_of(lab, vpc)))


@pytest.mark.parametrize(
    ("cidr", "code"),
    [("10.0.0.0/8", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range"), ("ten", "InvalidParameterValue")],
)
def test_vpcs_are_a_16_to_a_28(lab: Lab, cidr: str, code: str) -> None:
    with refused(code):
        vpc_of(lab, cidr)


def test_a_vpc_needs_a_block_and_room_in_the_quota(lab: Lab) -> None:
    with refused("MissingParameter"):
        lab.ec2.create_vpc()
    for _ in range(4):
        vpc_of(lab)
    with refused("VpcLimitExceeded"):
        vpc_of(lab)


def test_what_was_just_made_is_not_known_yet() -> None:
    """Eventual consistency holds for networks as for everything else; the parts of a VPC come with it."""
    with Lab(Settings(visibility_delay=2.0, quotas=Quotas(vpcs=9))) as lab:
        vpc = vpc_of(lab)
        with refused("InvalidVpcID.NotFound"):
            subnet_of(lab, vpc)
        assert lab.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"] == []
        lab.clock.advance(2)
        assert lab.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        subnet = subnet_of(lab, vpc)
        with refused("InvalidSubnetID.NotFound"):
            lab.eni(SubnetId=subnet)


def test_a_subnet_lies_in_its_vpc_and_beside_the_others(lab: Lab) -> None:
    vpc = vpc_of(lab)
    answer = lab.ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b", TagSpecifications=tagged("subnet", "a")
    )["Subnet"]
    assert (answer["AvailabilityZone"], answer["AvailableIpAddressCount"]) == ("us-east-1b", 251)
    assert (answer["State"], answer["MapPublicIpOnLaunch"], answer["DefaultForAz"]) == ("available", False, False)
    assert answer["Tags"] == [{"Key": "Name", "Value": "a"}]
    for cidr, code in (
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.2.0/29", "InvalidSubnet.Range"),
        ("ten", "InvalidParameterValue"),
    ):
        with refused(code):
            subnet_of(lab, vpc, cidr)
    with refused("InvalidParameterValue", "availabilityZone is invalid"):
        subnet_of(lab, vpc, "10.0.2.0/24", AvailabilityZone="us-east-1z")
    with refused("InvalidParameterCombination"):
        subnet_of(lab, vpc, "10.0.2.0/24", AvailabilityZone="us-east-1a", AvailabilityZoneId="use1-az1")
    with refused("MissingParameter"):
        lab.ec2.create_subnet(VpcId=vpc)
    with refused("InvalidVpcID.NotFound"):
        subnet_of(lab, "vpc-0123456789abcdef0")
    by_id = subnet_of(lab, vpc, "10.0.2.0/24", AvailabilityZoneId="use1-az3")
    assert lab.world.data.subnets[by_id].zone == "us-east-1c"


def test_ipv6_of_subnets_comes_from_the_vpc(lab: Lab) -> None:
    plain, vpc = vpc_of(lab), vpc_of(lab, AmazonProvidedIpv6CidrBlock=True)
    block = lab.world.data.vpcs[vpc].ipv6_cidr
    assert block is not None
    first = block.replace("/56", "/64")
    with refused("InvalidSubnet.Range"):
        subnet_of(lab, plain, Ipv6CidrBlock=first)
    with refused("InvalidSubnet.Range"):
        subnet_of(lab, vpc, Ipv6CidrBlock=block)
    subnet = subnet_of(lab, vpc, Ipv6CidrBlock=first)
    assert lab.world.data.subnets[subnet].ipv6_cidr == first
    with refused("InvalidSubnet.Conflict"):
        subnet_of(lab, vpc, "10.0.1.0/24", Ipv6CidrBlock=first)


def test_a_vpc_has_one_gateway_and_a_gateway_one_vpc(lab: Lab) -> None:
    one, two = vpc_of(lab), vpc_of(lab)
    gateway = gateway_of(lab, one)
    with refused("Resource.AlreadyAssociated", f"resource {gateway} is already attached to network {one}"):
        lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=two)
    with refused("InvalidParameterValue", f"Network {one} already has an internet gateway attached"):
        gateway_of(lab, one)
    with refused("Gateway.NotAttached", f"resource {gateway} is not attached to network {two}"):
        lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=two)
    with refused(
        "DependencyViolation", f"The internetGateway '{gateway}' has dependencies and cannot be deleted."
    ):
        lab.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    attached = [{"Name": "attachment.vpc-id", "Values": [one]}]
    [shown] = lab.ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    assert shown["Attachments"] == [{"VpcId": one, "State": "available"}]


def test_a_gateway_stays_while_addresses_are_mapped(lab: Lab) -> None:
    vpc = vpc_of(lab)
    gateway, address = gateway_of(lab, vpc), lab.eip()
    association = lab.associate(address, lab.eni(SubnetId=subnet_of(lab, vpc)))
    with refused("DependencyViolation", f"Network {vpc} has some mapped public address(es)."):
        lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    lab.ec2.disassociate_address(AssociationId=association)
    lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    lab.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    with refused("InvalidInternetGatewayID.NotFound"):
        lab.ec2.delete_internet_gateway(InternetGatewayId=gateway)


def test_a_vpc_is_deleted_when_it_is_empty(lab: Lab) -> None:
    """EC2 docs: the default group and the main route table go with it; each other thing refuses it."""
    vpc = vpc_of(lab)
    subnet, gateway = subnet_of(lab, vpc), gateway_of(lab, vpc)
    group, eni = lab.group(VpcId=vpc), lab.eni(SubnetId=subnet)
    table = lab.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    lab.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)

    def refuses() -> None:
        with refused("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted."):
            lab.ec2.delete_vpc(VpcId=vpc)

    refuses()
    with refused("DependencyViolation", f"The subnet '{subnet}' has dependencies and cannot be deleted."):
        lab.ec2.delete_subnet(SubnetId=subnet)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    lab.ec2.delete_subnet(SubnetId=subnet)
    refuses()
    lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    refuses()
    lab.ec2.delete_security_group(GroupId=group)
    refuses()
    lab.ec2.delete_route_table(RouteTableId=table)
    lab.ec2.delete_vpc(VpcId=vpc)
    for find in (lab.ec2.describe_security_groups, lab.ec2.describe_route_tables):
        [rows] = [v for k, v in find(Filters=[{"Name": "vpc-id", "Values": [vpc]}]).items() if k.endswith("s")]
        assert rows == []
    with refused("InvalidVpcID.NotFound"):
        lab.ec2.delete_vpc(VpcId=vpc)
