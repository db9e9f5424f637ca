"""EC2's answers as records: one answer with everything in it, and one with as little as EC2 may send."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.live import records
from enireconcile.live.records import (
    AclRule,
    LiveAttachment,
    LiveElasticIp,
    LiveImage,
    LiveInstance,
    LiveInstanceType,
    LiveInternetGateway,
    LiveNetworkAcl,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
    Occupant,
    Platform,
    ReverseDns,
)

TAGS = [{"Key": "Name", "Value": "web"}, {"Key": "Team", "Value": ""}]
HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ALL = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
PROFILE = "arn:aws:iam::123456789012:instance-profile/web"
NAMED = {"Name": "web", "Team": ""}


def attachment(**words: Any) -> dict[str, Any]:
    """An attachment as EC2 describes it, with as little as it needs."""
    return {"AttachmentId": "eni-attach-1", "DeviceIndex": 1, **words}


ROWS = [
    pytest.param(
        records.image,
        {
            "ImageId": "ami-1",
            "CreationDate": "2026-01-01T00:00:00.000Z",
            "State": "available",
            "Architecture": "x86_64",
            "BootMode": "uefi",
            "EnaSupport": True,
            "VirtualizationType": "hvm",
            "RootDeviceType": "ebs",
        },
        LiveImage(
            "ami-1", "2026-01-01T00:00:00.000Z", "available", Platform("x86_64", "uefi", True, "hvm", "ebs")
        ),
        id="an image with all that EC2 tells",
    ),
    pytest.param(records.image, {"ImageId": "ami-1"}, LiveImage("ami-1"), id="an image without attributes"),
    pytest.param(
        records.security_group,
        {
            "GroupId": "sg-1",
            "GroupName": "web",
            "Description": "Web",
            "VpcId": "vpc-1",
            "IpPermissions": [HTTPS],
            "IpPermissionsEgress": [ALL],
            "Tags": TAGS,
        },
        LiveSecurityGroup("sg-1", NAMED, "web", "Web", "vpc-1", (HTTPS,), (ALL,)),
        id="a group with all that EC2 tells",
    ),
    pytest.param(
        records.security_group,
        {"GroupId": "sg-1", "GroupName": "web"},
        LiveSecurityGroup("sg-1", {}, "web", "", "", (), ()),
        id="a group without rules, description and tags",
    ),
    pytest.param(
        records.security_group,
        {"GroupId": "sg-1", "GroupName": "web", "IpPermissions": None, "IpPermissionsEgress": None, "Tags": None},
        LiveSecurityGroup("sg-1", {}, "web", "", "", (), ()),
        id="a group whose lists are nothing",
    ),
    pytest.param(
        records.network_interface,
        {
            "NetworkInterfaceId": "eni-1",
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "Groups": [{"GroupId": "sg-2"}, {"GroupId": "sg-1"}],
            "PrivateIpAddress": "10.0.0.5",
            "Description": "Web",
            "SourceDestCheck": False,
            "Status": "in-use",
            "TagSet": TAGS,
            "Tags": [{"Key": "Name", "Value": "not this one"}],
            "Attachment": attachment(
                InstanceId="i-1", NetworkCardIndex=2, DeleteOnTermination=True, Status="attaching"
            ),
            "Association": {"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1"},
            "PrivateIpAddresses": [
                {
                    "PrivateIpAddress": "10.0.0.5",
                    "Primary": True,
                    "Association": {"AllocationId": "eipalloc-1"},
                },
                {"PrivateIpAddress": "10.0.0.6", "Association": {"AllocationId": "eipalloc-2"}},
                {"PrivateIpAddress": "10.0.0.7", "Association": {"PublicIp": "192.0.2.7"}},
                {"PrivateIpAddress": "10.0.0.8"},
            ],
        },
        LiveNetworkInterface(
            id="eni-1",
            tags=NAMED,
            subnet_id="subnet-1",
            groups=("sg-1", "sg-2"),
            private_ip="10.0.0.5",
            description="Web",
            source_dest_check=False,
            status="in-use",
            attachment=LiveAttachment("eni-attach-1", "i-1", 1, 2, True, "attaching"),
            addresses={"10.0.0.5": "eipalloc-1", "10.0.0.6": "eipalloc-2"},
            secondary_ips=("10.0.0.6", "10.0.0.7", "10.0.0.8"),
            vpc_id="vpc-1",
            public_ip="192.0.2.1",
        ),
        id="an interface with all that EC2 tells, one of its public addresses being no Elastic IP",
    ),
    pytest.param(
        records.route_table,
        {
            "RouteTableId": "rtb-1",
            "VpcId": "vpc-1",
            "Tags": TAGS,
            "Associations": [
                {"Main": True, "RouteTableAssociationId": "rtbassoc-1"},
                {"Main": False, "SubnetId": "subnet-2"},
                {"Main": False, "SubnetId": "subnet-1"},
                {"Main": False, "GatewayId": "igw-1"},
            ],
            "Routes": [
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable"},
                {
                    "DestinationCidrBlock": "10.1.0.0/16",
                    "GatewayId": "vgw-1",
                    "Origin": "EnableVgwRoutePropagation",
                },
                {"DestinationCidrBlock": "10.2.0.0/16", "NatGatewayId": "nat-1", "Origin": "CreateRoute"},
                {"DestinationCidrBlock": "0.0.0.0/0", "NetworkInterfaceId": "eni-1", "InstanceId": "i-1"},
                {"DestinationIpv6CidrBlock": "::/0", "NetworkInterfaceId": "eni-2", "State": "blackhole"},
                {"DestinationPrefixListId": "pl-1", "NetworkInterfaceId": "eni-1"},
            ],
        },
        LiveRouteTable(
            "rtb-1",
            NAMED,
            "vpc-1",
            main=True,
            subnets=("subnet-1", "subnet-2"),
            routes=(
                LiveRoute("10.0.0.0/16", "local", born=True),
                LiveRoute("10.2.0.0/16", "nat-1"),
                LiveRoute("0.0.0.0/0", "eni-1"),
                LiveRoute("::/0", "eni-2", active=False),
                LiveRoute("pl-1", "eni-1"),
            ),
            propagated=(LiveRoute("10.1.0.0/16", "vgw-1"),),
        ),
        id="a route table with every kind of destination, and what a gateway propagates",
    ),
    pytest.param(
        records.network_acl,
        {
            "NetworkAclId": "acl-1",
            "VpcId": "vpc-1",
            "Associations": [{"SubnetId": "subnet-2"}, {"SubnetId": "subnet-1"}],
            "Entries": [
                {
                    "RuleNumber": 32767,
                    "Egress": False,
                    "RuleAction": "deny",
                    "Protocol": "-1",
                    "CidrBlock": "0.0.0.0/0",
                },
                {
                    "RuleNumber": 90,
                    "Egress": True,
                    "RuleAction": "allow",
                    "Protocol": "6",
                    "Ipv6CidrBlock": "::/0",
                    "PortRange": {"From": 80, "To": 81},
                },
            ],
        },
        LiveNetworkAcl(
            "acl-1",
            "vpc-1",
            ("subnet-1", "subnet-2"),
            (
                AclRule(90, True, True, "6", "::/0", (80, 81)),
                AclRule(32767, False, False, "-1", "0.0.0.0/0"),
            ),
        ),
        id="a network ACL, whose rules are in the order in which EC2 tries them",
    ),
    pytest.param(
        records.network_acl,
        {"NetworkAclId": "acl-1", "VpcId": "vpc-1"},
        LiveNetworkAcl("acl-1", "vpc-1"),
        id="a network ACL that guards nothing",
    ),
    pytest.param(
        records.internet_gateway,
        {
            "InternetGatewayId": "igw-1",
            "Attachments": [{"VpcId": "vpc-1", "State": "available"}, {"VpcId": "vpc-2", "State": "detached"}],
        },
        LiveInternetGateway("igw-1", ("vpc-1",)),
        id="an internet gateway",
    ),
    pytest.param(
        records.internet_gateway,
        {"InternetGatewayId": "igw-1"},
        LiveInternetGateway("igw-1"),
        id="an internet gateway that is attached to no VPC",
    ),
    pytest.param(
        records.route_table,
        {"RouteTableId": "rtb-1"},
        LiveRouteTable("rtb-1", {}, ""),
        id="a route table without routes",
    ),
    pytest.param(
        records.network_interface,
        {"NetworkInterfaceId": "eni-1"},
        LiveNetworkInterface("eni-1", {}, "", (), "", "", True, "", None, {}),
        id="an interface of which EC2 tells only the id",
    ),
    pytest.param(
        records.network_interface,
        {
            "NetworkInterfaceId": "eni-1",
            "Groups": None,
            "PrivateIpAddresses": None,
            "PrivateIpAddress": "10.0.0.5",
            "Association": {"AllocationId": "eipalloc-1"},
            "Attachment": attachment(InstanceId="i-1"),
        },
        LiveNetworkInterface(
            id="eni-1",
            tags={},
            subnet_id="",
            groups=(),
            private_ip="10.0.0.5",
            description="",
            source_dest_check=True,
            status="",
            attachment=LiveAttachment("eni-attach-1", "i-1", 1, 0, False, "attached"),
            addresses={"10.0.0.5": "eipalloc-1"},
        ),
        id="an interface with a bare attachment, whose address stands at the interface only",
    ),
    pytest.param(
        records.elastic_ip,
        {
            "AllocationId": "eipalloc-1",
            "PublicIp": "192.0.2.1",
            "AssociationId": "eipassoc-1",
            "NetworkInterfaceId": "eni-1",
            "PrivateIpAddress": "10.0.0.5",
            "InstanceId": "i-1",
            "Tags": TAGS,
        },
        LiveElasticIp("eipalloc-1", NAMED, "192.0.2.1", "eipassoc-1", "eni-1", "10.0.0.5", instance_id="i-1"),
        id="an address that stands for something",
    ),
    pytest.param(
        records.elastic_ip,
        {
            "AllocationId": "eipalloc-1",
            "PublicIpv4Pool": "ipv4pool-ec2-1",
            "NetworkBorderGroup": "us-east-1-bos-1",
            "ServiceManaged": "alb",
        },
        LiveElasticIp(
            "eipalloc-1",
            {},
            "",
            None,
            None,
            None,
            "ipv4pool-ec2-1",
            "us-east-1-bos-1",
            manager="an Application Load Balancer",
        ),
        id="an address of an own pool, far away, that a service manages",
    ),
    pytest.param(
        records.elastic_ip,
        {"AllocationId": "eipalloc-1", "PublicIpv4Pool": "", "NetworkBorderGroup": None, "ServiceManaged": ""},
        LiveElasticIp("eipalloc-1", {}, "", None, None, None, "amazon"),
        id="an address of which EC2 tells the least",
    ),
    pytest.param(
        records.network_interface,
        {
            "NetworkInterfaceId": "eni-1",
            "AvailabilityZone": "us-east-1a",
            "Association": {"IpOwnerId": "amazon", "PublicIp": "192.0.2.9"},
        },
        LiveNetworkInterface(
            "eni-1", {}, "", (), "", "", True, "", None, zone="us-east-1a", public_ip="192.0.2.9"
        ),
        id="an interface with a public address of EC2's own, which is no Elastic IP",
    ),
    pytest.param(
        records.reverse_dns,
        {"AllocationId": "eipalloc-1", "PtrRecord": "Www.Example.com."},
        ReverseDns("www.example.com"),
        id="an address with a name",
    ),
    pytest.param(
        records.reverse_dns,
        {"PtrRecord": "", "PtrRecordUpdate": {"Value": "new.example.com.", "Status": "PENDING"}},
        ReverseDns("", "new.example.com"),
        id="an address that is about to have a name",
    ),
    pytest.param(
        records.reverse_dns,
        {"PtrRecord": "old.example.com.", "PtrRecordUpdate": {"Status": "PENDING"}},
        ReverseDns("old.example.com", ""),
        id="an address that is about to lose its name",
    ),
    pytest.param(
        records.reverse_dns,
        {"PtrRecord": "old.example.com.", "PtrRecordUpdate": {"Value": "new.example.com.", "Status": "FAILED"}},
        ReverseDns("old.example.com"),
        id="an address whose change did not come about",
    ),
    pytest.param(
        records.elastic_ip,
        {"AllocationId": "eipalloc-1"},
        LiveElasticIp("eipalloc-1", {}, "", None, None, None),
        id="an address that is free",
    ),
    pytest.param(
        records.elastic_ip,
        {"AllocationId": "eipalloc-1", "AssociationId": "", "NetworkInterfaceId": "", "PrivateIpAddress": ""},
        LiveElasticIp("eipalloc-1", {}, "", None, None, None),
        id="an address that is free, which EC2 tells with empty texts",
    ),
    pytest.param(
        records.instance,
        {
            "InstanceId": "i-1",
            "State": {"Name": "stopped"},
            "InstanceType": "t3.micro",
            "ImageId": "ami-1",
            "KeyName": "ops",
            "PrivateIpAddress": "10.0.0.5",
            "PublicIpAddress": "192.0.2.1",
            "IamInstanceProfile": {"Arn": PROFILE, "Id": "AIPA1"},
            "Placement": {"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
            "Tags": TAGS,
            "NetworkInterfaces": [
                {"NetworkInterfaceId": "eni-3", "Attachment": attachment(NetworkCardIndex=1, DeviceIndex=0)},
                {"NetworkInterfaceId": "eni-2", "Attachment": attachment(Status="detaching")},
                {
                    "NetworkInterfaceId": "eni-1",
                    "Attachment": attachment(DeviceIndex=0, AttachmentId="eni-attach-0"),
                },
                {"NetworkInterfaceId": "eni-0"},
            ],
        },
        LiveInstance(
            id="i-1",
            tags=NAMED,
            state="stopped",
            instance_type="t3.micro",
            image_id="ami-1",
            key_name="ops",
            profile=PROFILE,
            zone="us-east-1a",
            occupants=(
                Occupant("eni-1", 0, 0, "eni-attach-0", "attached"),
                Occupant("eni-2", 1, 0, "eni-attach-1", "detaching"),
                Occupant("eni-3", 0, 1, "eni-attach-1", "attached"),
            ),
            private_ip="10.0.0.5",
            public_ip="192.0.2.1",
        ),
        id="an instance with all that EC2 tells, its interfaces by card and index",
    ),
    pytest.param(
        records.instance,
        {"InstanceId": "i-1", "State": {"Name": "terminated"}},
        LiveInstance("i-1", {}, "terminated", "", "", None, None),
        id="an instance that is terminated",
    ),
    pytest.param(
        records.instance,
        {"InstanceId": "i-1", "State": {"Name": "running"}, "KeyName": "", "NetworkInterfaces": None},
        LiveInstance("i-1", {}, "running", "", "", None, None),
        id="an instance whose key is an empty text",
    ),
    pytest.param(
        records.subnet,
        {
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "AvailabilityZone": "us-east-1a",
            "CidrBlock": "10.0.0.0/24",
            "DefaultForAz": True,
            "Tags": TAGS,
        },
        LiveSubnet("subnet-1", NAMED, "vpc-1", "us-east-1a", "10.0.0.0/24", True),
        id="a default subnet",
    ),
    pytest.param(
        records.subnet,
        {"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a", "CidrBlock": "10.0.0.0/24"},
        LiveSubnet("subnet-1", {}, "vpc-1", "us-east-1a", "10.0.0.0/24", False),
        id="a subnet of which EC2 tells the least",
    ),
    pytest.param(
        records.vpc,
        {
            "VpcId": "vpc-1",
            "CidrBlock": "10.1.0.0/16",
            "CidrBlockAssociationSet": [{"CidrBlock": "10.1.0.0/16"}, {"CidrBlock": "10.0.0.0/16"}],
            "IsDefault": True,
            "Tags": TAGS,
        },
        LiveVpc("vpc-1", NAMED, ("10.0.0.0/16", "10.1.0.0/16"), True),
        id="the default VPC with two blocks",
    ),
    pytest.param(
        records.vpc,
        {"VpcId": "vpc-1", "CidrBlock": "10.1.0.0/16"},
        LiveVpc("vpc-1", {}, ("10.1.0.0/16",), False),
        id="a VPC of which EC2 tells the least",
    ),
    pytest.param(
        records.network_interface,
        {
            "NetworkInterfaceId": "eni-1",
            "InterfaceType": "efa",
            "Ipv6Addresses": [{"Ipv6Address": "2001:db8:0::b"}, {"Ipv6Address": "2001:DB8::A"}],
            "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.32/28"}, {"Ipv4Prefix": "10.0.0.16/28"}],
            "Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:0:1::/80"}],
            "ConnectionTrackingConfiguration": {"UdpTimeout": 60},
            "Attachment": attachment(InstanceId="i-1", InstanceOwnerId="123456789012"),
            "Operator": {"Managed": False},
            "RequesterManaged": False,
            "RequesterId": "AIDA1",
        },
        LiveNetworkInterface(
            "eni-1",
            {},
            "",
            (),
            "",
            "",
            True,
            "",
            LiveAttachment("eni-attach-1", "i-1", 1, 0, False, "attached"),
            ipv6_addresses=("2001:db8::a", "2001:db8::b"),
            ipv4_prefixes=("10.0.0.16/28", "10.0.0.32/28"),
            ipv6_prefixes=("2001:db8:0:1::/80",),
            interface_type="efa",
            timeouts={"UdpTimeout": 60},
        ),
        id="an adapter with IPv6, prefixes and a timeout, which no AWS service manages",
    ),
    pytest.param(
        records.network_interface,
        {
            "NetworkInterfaceId": "eni-1",
            "Ipv6Addresses": None,
            "Ipv4Prefixes": None,
            "Ipv6Prefixes": None,
            "ConnectionTrackingConfiguration": None,
            "Operator": None,
        },
        LiveNetworkInterface("eni-1", {}, "", (), "", "", True, "", None),
        id="an interface whose further lists are nothing",
    ),
    pytest.param(
        records.instance,
        {
            "InstanceId": "i-1",
            "State": {"Name": "running"},
            "MetadataOptions": {"State": "applied", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "Operator": {"Managed": True, "Principal": "eks.amazonaws.com"},
            "NetworkInterfaces": [
                {"NetworkInterfaceId": "eni-1", "InterfaceType": "efa", "Attachment": attachment()},
            ],
        },
        LiveInstance(
            "i-1",
            {},
            "running",
            "",
            "",
            None,
            None,
            occupants=(Occupant("eni-1", 1, 0, "eni-attach-1", "attached", "efa"),),
            metadata_options={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            manager="eks.amazonaws.com",
        ),
        id="an instance that a service operates, with metadata options and an adapter",
    ),
    pytest.param(
        records.instance,
        {
            "InstanceId": "i-1",
            "State": {"Name": "running"},
            "MetadataOptions": None,
            "Placement": None,
            "Operator": {"Managed": True},
        },
        LiveInstance("i-1", {}, "running", "", "", None, None, manager="an AWS service"),
        id="an instance whose operator has no name",
    ),
    pytest.param(
        records.subnet,
        {
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "AvailabilityZone": "us-east-1a",
            "AvailableIpAddressCount": 7,
            "AssignIpv6AddressOnCreation": True,
            "Ipv6CidrBlockAssociationSet": [
                {"Ipv6CidrBlock": "2001:db8:0:3::/64", "Ipv6CidrBlockState": {"State": "associated"}},
                {"Ipv6CidrBlock": "2001:db8:0:2::/64", "Ipv6CidrBlockState": {"State": "disassociated"}},
                {"Ipv6CidrBlock": "2001:db8:0:1::/64"},
            ],
        },
        LiveSubnet(
            "subnet-1",
            {},
            "vpc-1",
            "us-east-1a",
            "",
            False,
            free=7,
            ipv6_cidrs=("2001:db8:0:1::/64", "2001:db8:0:3::/64"),
            gives_ipv6=True,
        ),
        id="a subnet for IPv6 alone, with a block that it has no more",
    ),
    pytest.param(
        records.vpc,
        {
            "VpcId": "vpc-1",
            "CidrBlock": "10.1.0.0/16",
            "CidrBlockAssociationSet": None,
            "Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8::/56"}],
        },
        LiveVpc("vpc-1", {}, ("10.1.0.0/16",), False, ipv6=True),
        id="a VPC with IPv6",
    ),
    pytest.param(
        records.instance_type,
        {
            "InstanceType": "p5.48xlarge",
            "Hypervisor": "nitro",
            "NetworkInfo": {
                "MaximumNetworkInterfaces": 10,
                "Ipv4AddressesPerInterface": 50,
                "Ipv6AddressesPerInterface": 40,
                "Ipv6Supported": True,
                "EfaInfo": {"MaximumEfaInterfaces": 3},
                "NetworkCards": [
                    {"NetworkCardIndex": 10, "MaximumNetworkInterfaces": 1},
                    {
                        "NetworkCardIndex": 2,
                        "MaximumNetworkInterfaces": 4,
                        "AdditionalFlexibleNetworkInterfaces": 2,
                    },
                ],
            },
        },
        LiveInstanceType("p5.48xlarge", (6, 1), 12, 50, 40, 3, True),
        id="a type with two cards in any order, one of which takes more",
    ),
    pytest.param(
        records.instance_type,
        {
            "InstanceType": "t2.micro",
            "Hypervisor": "xen",
            "NetworkInfo": {
                "MaximumNetworkInterfaces": 2,
                "Ipv4AddressesPerInterface": 2,
                "Ipv6AddressesPerInterface": 2,
                "EfaInfo": None,
                "NetworkCards": None,
            },
        },
        LiveInstanceType("t2.micro", (2,), 2, 2, 0, 0, False),
        id="a type without cards, IPv6 and prefixes",
    ),
    pytest.param(
        records.instance_type,
        {
            "InstanceType": "m5.metal",
            "NetworkInfo": {
                "MaximumNetworkInterfaces": 15,
                "Ipv4AddressesPerInterface": 50,
                "Ipv6Supported": True,
            },
        },
        LiveInstanceType("m5.metal", (15,), 15, 50, 0, 0, True),
        id="a type without a hypervisor",
    ),
]


def test_an_elastic_ip_on_the_primary_address_is_not_automatic() -> None:
    """The two look alike but for the allocation."""
    association = {"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.9"}
    described = {"NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.0.0.5", "Association": association}
    assert records.network_interface(described).automatic_ip is None


@pytest.mark.parametrize(("read", "described", "record"), ROWS)
def test_an_answer_is_read_whole(read: Any, described: dict[str, Any], record: Any) -> None:
    """Every attribute of the record is what the answer says, or what its absence means."""
    assert read(described) == record


@pytest.mark.parametrize(
    "described",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="empty"),
        pytest.param(attachment(InstanceId="i-1", Status="detached"), id="detached"),
        pytest.param(attachment(InstanceOwnerId="amazon-elb", Status="attached"), id="of a service"),
    ],
)
def test_an_interface_that_no_instance_has_is_not_attached(described: dict[str, Any] | None) -> None:
    """Services attach interfaces to no instance, and a detached one may still be told."""
    assert records.network_interface({"NetworkInterfaceId": "eni-1", "Attachment": described}).attachment is None


def test_a_slot_has_the_occupant_of_its_card_and_index() -> None:
    """Card 0, index 1 is not card 1, index 0."""
    first, second = Occupant("eni-1", 1, 0, "eni-attach-1"), Occupant("eni-2", 0, 1, "eni-attach-2")
    instance = LiveInstance("i-1", {}, "running", "", "", None, None, occupants=(first, second))
    assert [instance.occupant(0, 1), instance.occupant(1, 0), instance.occupant(0, 0)] == [first, second, None]


@pytest.mark.parametrize(
    ("state", "terminating"),
    [
        ("pending", False),
        ("running", False),
        ("stopping", False),
        ("stopped", False),
        ("shutting-down", True),
        ("terminated", True),
    ],
)
def test_an_instance_is_terminating_in_its_last_two_states(state: str, terminating: bool) -> None:
    """A stopped instance can come back, one that shuts down cannot."""
    assert records.instance({"InstanceId": "i-1", "State": {"Name": state}}).terminating is terminating


@pytest.mark.parametrize(
    ("described", "manager"),
    [
        pytest.param({}, None, id="no AWS service"),
        pytest.param({"InterfaceType": "trunk"}, None, id="a type that people make"),
        pytest.param({"RequesterManaged": True, "RequesterId": "amazon-elb"}, "amazon-elb", id="its requester"),
        pytest.param({"RequesterManaged": True}, "an AWS service", id="a requester without a name"),
        pytest.param({"RequesterManaged": True, "RequesterId": "727180483921"}, "an AWS service", id="a number"),
        pytest.param(
            {"RequesterManaged": True, "RequesterId": "727180483921", "Description": "by some service"},
            "an AWS service (description 'by some service')",
            id="a number, and a description",
        ),
        pytest.param({"InterfaceType": "nat_gateway"}, "a NAT gateway", id="a type of a service"),
        pytest.param(
            {"InterfaceType": "agentic_ai"}, "an AWS service (interface type agentic_ai)", id="an unknown type"
        ),
        pytest.param({"Attachment": {"InstanceOwnerId": "amazon-elb"}}, "amazon-elb", id="its holder"),
        pytest.param({"Attachment": {"InstanceOwnerId": "amazon-aws"}}, "an AWS service", id="any holder"),
        pytest.param(
            {"Attachment": {"AttachmentId": "ela-attach-1"}}, "an AWS service", id="a holder of its kind"
        ),
        pytest.param(
            {"OwnerId": "111122223333", "Attachment": {"AttachmentId": "eni-attach-1", "InstanceOwnerId": "4"}},
            "the account 4",
            id="an instance in another account",
        ),
        pytest.param(
            {
                "OwnerId": "111122223333",
                "Attachment": {"AttachmentId": "eni-attach-1", "InstanceOwnerId": "111122223333"},
            },
            None,
            id="an instance of its own account",
        ),
        pytest.param({"Operator": {"Managed": True, "Principal": "ecs"}}, "ecs", id="its operator"),
        pytest.param({"Operator": {"Principal": "ecs"}}, None, id="an operator who does not manage it"),
    ],
)
def test_the_service_that_manages_an_interface(described: dict[str, Any], manager: str | None) -> None:
    """The message names it as exactly as EC2 shows it, and never by a number that only AWS knows."""
    assert records.network_interface({"NetworkInterfaceId": "eni-1", **described}).manager == manager


@pytest.mark.parametrize(
    ("description", "manager"),
    [
        ("Interface for NAT Gateway nat-0a1b2c3d", "the NAT gateway nat-0a1b2c3d"),
        ("VPC Endpoint Interface vpce-0a1b2c3d", "the VPC endpoint vpce-0a1b2c3d"),
        (
            "Network Interface for Transit Gateway Attachment tgw-attach-0a1b2c3d",
            "the transit gateway attachment tgw-attach-0a1b2c3d",
        ),
        ("EFS mount target for fs-0a1b2c3d (fsmt-0e5f6071)", "the EFS mount target of fs-0a1b2c3d"),
        ("ELB app/web/0a1b2c3d4e5f6071", "the Application Load Balancer web"),
        ("ELB net/web/0a1b2c3d4e5f6071", "the Network Load Balancer web"),
        ("ELB gwy/web/0a1b2c3d4e5f6071", "the Gateway Load Balancer web"),
        ("ELB web", "the Classic Load Balancer web"),
        (
            "AWS Lambda VPC ENI-web-api-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
            "the Lambda function web-api",
        ),
        ("AWS Lambda VPC ENI-web", "the Lambda function web"),
        ("arn:aws-cn:ecs:cn-north-1:123456789012:attachment/0a1b2c3d", "an ECS task"),
        ("Amazon EKS prod", "the EKS cluster prod"),
        ("ElastiCache sessions-001", "the ElastiCache cluster sessions-001"),
        ("RDSNetworkInterface", "an RDS database"),
    ],
)
def test_aws_describes_what_holds_an_interface(description: str, manager: str) -> None:
    """The id or the name in the description; nothing of an interface that the account made itself."""
    described = {"NetworkInterfaceId": "eni-1", "Description": description, "RequesterId": "727180483921"}
    assert records.network_interface({**described, "RequesterManaged": True}).manager == manager
    assert records.network_interface(described).manager is None


@pytest.mark.parametrize(
    ("service", "manager"),
    [
        ("alb", "an Application Load Balancer"),
        ("nlb", "a Network Load Balancer"),
        ("rnat", "a regional NAT gateway"),
        ("rds", "an RDS database"),
        ("new-one", "an AWS service (new-one)"),
        ("", None),
    ],
)
def test_the_service_that_manages_an_address(service: str, manager: str | None) -> None:
    """By EC2's ServiceManaged."""
    described = {"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1", "ServiceManaged": service}
    assert records.elastic_ip(described).manager == manager


def test_only_associated_blocks_are_blocks_of_a_vpc() -> None:
    """EC2 lists a block for a while after it was disassociated, and before it is associated."""
    states = ("associating", "associated", "disassociating", "disassociated", "failing", "failed")
    blocks = [
        {"CidrBlock": f"10.{number}.0.0/16", "CidrBlockState": {"State": state}}
        for number, state in enumerate(states)
    ]
    described = {"VpcId": "vpc-1", "CidrBlock": "10.9.0.0/16", "CidrBlockAssociationSet": blocks}
    assert records.vpc(described).cidrs == ("10.1.0.0/16", "10.9.0.0/16")


@pytest.mark.parametrize(
    ("state", "ipv6"),
    [("associating", True), ("associated", True), ("disassociating", False), ("disassociated", False)],
)
def test_a_vpc_has_ipv6_from_associating_on(state: str, ipv6: bool) -> None:
    """EC2 gives a new group IPv6 egress even while the block is associating."""
    block = {"Ipv6CidrBlock": "2001:db8::/56", "Ipv6CidrBlockState": {"State": state}}
    described = {"VpcId": "vpc-1", "CidrBlock": "10.9.0.0/16", "Ipv6CidrBlockAssociationSet": [block]}
    assert records.vpc(described).ipv6 is ipv6


def test_a_pair_names_the_account_of_a_group_of_another_account() -> None:
    """EC2 returns a UserId in each pair; only another account's is kept."""
    pairs = [
        {"GroupId": "sg-2", "UserId": "111122223333", "Description": "ours"},
        {"GroupId": "sg-3", "UserId": "444455556666", "PeeringStatus": "active"},
        {"GroupId": "sg-4"},
    ]
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": pairs}
    described = {"GroupId": "sg-1", "GroupName": "web", "OwnerId": "111122223333", "IpPermissions": [permission]}
    [read] = records.security_group(described).ingress
    assert read["UserIdGroupPairs"] == [{"GroupId": "sg-2", "Description": "ours"}, *pairs[1:]]
    peers = [records.peer_group(pair) for pair in read["UserIdGroupPairs"]]
    assert peers == ["sg-2", "444455556666/sg-3", "sg-4"]


def test_what_an_interface_has_beyond_its_primary_address() -> None:
    """In one tuple, by kind; and its IPv4 addresses in another."""
    interface = LiveNetworkInterface(
        "eni-1",
        {},
        "",
        (),
        "10.0.0.5",
        "",
        True,
        "",
        None,
        secondary_ips=("10.0.0.6",),
        ipv6_addresses=("2001:db8::a",),
        ipv4_prefixes=("10.0.0.16/28",),
        ipv6_prefixes=("2001:db8:0:1::/80",),
    )
    assert interface.further == ("10.0.0.6", "2001:db8::a", "10.0.0.16/28", "2001:db8:0:1::/80")
    assert interface.private_ips == ("10.0.0.5", "10.0.0.6")
