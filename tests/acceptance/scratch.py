"""The VPC that a run makes for itself."""

from __future__ import annotations

from dataclasses import dataclass

from tests.acceptance.account import LARGER, SMALL, Account, Refused
from tests.acceptance.costs import ELASTIC_IPS

CIDR = "10.97.0.0/16"
PUBLIC, PRIVATE = "10.97.1.0/24", "10.97.2.0/24"


@dataclass(frozen=True)
class Scratch:
    """Ids. Both subnets are in `zone`; `table` serves the private one."""

    vpc: str
    gateway: str
    public: str
    private: str
    table: str
    zone: str


def check(account: Account) -> str:
    """The zone to use. Raises Refused if the account has no room for a run."""
    quota = _elastic_ip_quota(account)
    used = len(account.addresses({}))
    if quota - used < ELASTIC_IPS:
        raise Refused(
            f"A run needs {ELASTIC_IPS} Elastic IPs. The quota of {account.region} is {quota}; {used} are in use."
        )
    zones = _zones_with(account, SMALL) & _zones_with(account, LARGER)
    if not zones:
        raise Refused(f"No Availability Zone of {account.region} offers both {SMALL} and {LARGER}.")
    return min(zones)


def _elastic_ip_quota(account: Account) -> int:
    answer = account.ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])
    return int(answer["AccountAttributes"][0]["AttributeValues"][0]["AttributeValue"])


def _zones_with(account: Account, instance_type: str) -> set[str]:
    answer = account.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )
    return {row["Location"] for row in answer["InstanceTypeOfferings"]}


def make(account: Account, zone: str) -> Scratch:
    """A VPC with an internet gateway, two subnets, and a route table for the second one."""
    ec2 = account.ec2
    vpc = ec2.create_vpc(CidrBlock=CIDR, TagSpecifications=account.tagged("vpc", "vpc"))["Vpc"]["VpcId"]
    account.until("the VPC", lambda: ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["State"] == "available")
    gateway = ec2.create_internet_gateway(TagSpecifications=account.tagged("gateway", "internet-gateway"))
    gateway_id = gateway["InternetGateway"]["InternetGatewayId"]
    account.until("the internet gateway", lambda: ec2.describe_internet_gateways(InternetGatewayIds=[gateway_id]))
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc)
    public, private = (_subnet(account, vpc, zone, name, cidr) for name, cidr in _SUBNETS)
    made = ec2.create_route_table(VpcId=vpc, TagSpecifications=account.tagged("private", "route-table"))
    table = made["RouteTable"]["RouteTableId"]
    account.until("the route table", lambda: ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])
    ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    return Scratch(vpc, gateway_id, public, private, table, zone)


_SUBNETS = (("public", PUBLIC), ("private", PRIVATE))


def _subnet(account: Account, vpc: str, zone: str, name: str, cidr: str) -> str:
    made = account.ec2.create_subnet(
        VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=account.tagged(name, "subnet")
    )
    subnet = str(made["Subnet"]["SubnetId"])
    account.until(
        f"the subnet {name}",
        lambda: account.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["State"] == "available",
    )
    return subnet
