"""The lab: the networks that the specs in specs/ and in the README stand in, made on a simulated EC2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

CIDR = "10.0.0.0/16"
ZONE = "us-east-1a"
SUBNETS: Mapping[str, str] = {
    "lab-public": "10.0.0.0/24",
    "lab-a": "10.0.1.0/24",
    "lab-mgmt": "10.0.2.0/24",
    "lab-private": "10.0.3.0/24",
}
FIREWALLS: Mapping[str, str] = {"fw-a": "10.0.1.251", "fw-b": "10.0.1.252"}
"""External instances in lab-a: their Name tags and their private addresses."""
KEY_PAIR = "ops"
INSTANCE_PROFILE = "web"
_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def make_lab(endpoint: str, credentials: Mapping[str, str]) -> None:
    """Make the whole lab. ``credentials`` are named as the environment variables of the AWS SDK."""
    session: Any = boto3.Session(
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        region_name=credentials["AWS_REGION"],
    )
    settings = Config(proxies={})  # the proxy of the user is for AWS
    ec2, iam, ssm = (
        session.client(name, endpoint_url=endpoint, config=settings) for name in ("ec2", "iam", "ssm")
    )
    _, subnets = make_network(ec2)
    image = ssm.get_parameter(Name=_IMAGE)["Parameter"]["Value"]
    for name, address in FIREWALLS.items():
        ec2.run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnets["lab-a"],
            PrivateIpAddress=address,
            TagSpecifications=named("instance", name),
        )
    ec2.create_key_pair(KeyName=KEY_PAIR)
    iam.create_instance_profile(InstanceProfileName=INSTANCE_PROFILE)


def make_network(ec2: Any) -> tuple[str, dict[str, str]]:
    """The id of a VPC called lab, with an internet gateway, and the ids of its subnets by name.

    The subnet lab-private has a route table of that name, without a way out.
    """
    vpc = str(ec2.create_vpc(CidrBlock=CIDR, TagSpecifications=named("vpc", "lab"))["Vpc"]["VpcId"])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    [main] = ec2.describe_route_tables(Filters=mine)["RouteTables"]
    ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
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
