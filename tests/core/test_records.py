"""EC2's answers as records: one answer with everything in it, and one with as little as EC2 may send."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile import records
from enireconcile.records import (
    LiveAttachment,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
    Occupant,
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
        ),
        id="an interface with all that EC2 tells, one of its public addresses being no Elastic IP",
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
            "Tags": TAGS,
        },
        LiveElasticIp("eipalloc-1", NAMED, "192.0.2.1", "eipassoc-1", "eni-1", "10.0.0.5"),
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
        LiveElasticIp("eipalloc-1", {}, "", None, None, None, "ipv4pool-ec2-1", "us-east-1-bos-1", manager="alb"),
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
            "eni-1", {}, "", (), "", "", True, "", None, zone="us-east-1a", automatic_ip="192.0.2.9"
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
    ("state", "going"),
    [
        ("pending", False),
        ("running", False),
        ("stopping", False),
        ("stopped", False),
        ("shutting-down", True),
        ("terminated", True),
    ],
)
def test_an_instance_is_going_in_its_last_two_states(state: str, going: bool) -> None:
    """A stopped instance can come back, one that shuts down cannot."""
    assert records.instance({"InstanceId": "i-1", "State": {"Name": state}}).going is going
