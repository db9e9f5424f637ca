"""Rules of EC2 that hold for every call: ids, filters, pages, tokens, tags, visibility."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2 import Quotas, Settings
from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("describe_instances", {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
        ("describe_instances", {"InstanceIds": ["web"]}, "InvalidInstanceID.Malformed"),
        (
            "describe_network_interfaces",
            {"NetworkInterfaceIds": ["eni-01234567"]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        ("describe_security_groups", {"GroupIds": ["sg-01234567"]}, "InvalidGroup.NotFound"),
        ("describe_addresses", {"AllocationIds": ["eipalloc-01234567"]}, "InvalidAllocationID.NotFound"),
        ("describe_addresses", {"PublicIps": ["192.0.2.1"]}, "InvalidAddress.NotFound"),
        ("describe_subnets", {"SubnetIds": ["subnet-01234567"]}, "InvalidSubnetID.NotFound"),
        ("describe_vpcs", {"VpcIds": ["vpc-01234567"]}, "InvalidVpcID.NotFound"),
        ("describe_images", {"ImageIds": ["ami-01234567"]}, "InvalidAMIID.NotFound"),
        ("describe_images", {"ImageIds": ["ami"]}, "InvalidAMIID.Malformed"),
        ("describe_key_pairs", {"KeyNames": ["none"]}, "InvalidKeyPair.NotFound"),
        ("describe_instance_types", {"InstanceTypes": ["t9.huge"]}, "InvalidInstanceType"),
        (
            "describe_security_group_rules",
            {"SecurityGroupRuleIds": ["sgr-01234567"]},
            "InvalidSecurityGroupRuleId.NotFound",
        ),
    ],
)
def test_an_unknown_id_fails_the_call(lab: Lab, method: str, params: dict[str, Any], code: str) -> None:
    """EC2 docs: a list of ids is an assertion, and each kind has its own spelling of NotFound."""
    with refused(code):
        getattr(lab.ec2, method)(**params)


def test_one_unknown_id_among_known_ones_fails_the_whole_call(lab: Lab) -> None:
    """EC2 docs: an id list answers all or nothing; a filter on the same id answers an empty list."""
    eni, gone = lab.eni(), "eni-0123456789abcdef0"
    with refused("InvalidNetworkInterfaceID.NotFound", gone):
        lab.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni, gone])
    filters = [{"Name": "network-interface-id", "Values": [gone]}]
    assert lab.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == []


# -- filters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("web", {"web"}),
        ("web*", {"web", "web*", "web-1"}),
        ("web?", {"web*"}),
        (r"web\*", {"web*"}),
        ("WEB", set()),
        (r"a\\b", {r"a\b"}),
        ("*", {"web", "web*", "web-1", r"a\b"}),
    ],
)
def test_wildcards_in_filter_values(lab: Lab, pattern: str, names: set[str]) -> None:
    """EC2 docs: `*` and `?` are wildcards unless a backslash takes their meaning; case counts."""
    for name in ("web", "web*", "web-1", r"a\b"):
        spec = [{"ResourceType": "network-interface", "Tags": [{"Key": "Name", "Value": name}]}]
        lab.eni(TagSpecifications=spec)
    lab.eni()
    answer = lab.ec2.describe_network_interfaces(Filters=[{"Name": "tag:Name", "Values": [pattern]}])
    assert {row["TagSet"][0]["Value"] for row in answer["NetworkInterfaces"]} == names


def test_filters_are_joined_by_and_and_their_values_by_or(lab: Lab) -> None:
    """EC2 docs: a resource must match every filter, by any of its values."""
    both = lab.eni(Description="x")
    lab.eni(Description="x", SubnetId=lab.subnet("b"))
    lab.eni(Description="y")
    filters = [
        {"Name": "description", "Values": ["x", "z"]},
        {"Name": "availability-zone", "Values": ["us-east-1a"]},
    ]
    answer = lab.ec2.describe_network_interfaces(Filters=filters)
    assert [row["NetworkInterfaceId"] for row in answer["NetworkInterfaces"]] == [both]


@pytest.mark.parametrize(
    "method",
    [
        "describe_instances",
        "describe_network_interfaces",
        "describe_addresses",
        "describe_security_groups",
        "describe_security_group_rules",
        "describe_subnets",
        "describe_vpcs",
        "describe_images",
        "describe_instance_types",
        "describe_tags",
        "describe_key_pairs",
    ],
)
def test_a_filter_that_does_not_exist_is_refused(lab: Lab, method: str) -> None:
    """EC2 answers InvalidParameterValue to a filter name that it does not know."""
    with refused("InvalidParameterValue", "horn"):
        getattr(lab.ec2, method)(Filters=[{"Name": "horn", "Values": ["x"]}])


def test_limits_of_filters(lab: Lab) -> None:
    """EC2 docs: at most 50 filters, 200 values in one, 255 characters in a value."""
    one = {"Name": "vpc-id", "Values": ["x"]}
    lab.ec2.describe_vpcs(Filters=[one] * 50)
    with refused("FilterLimitExceeded"):
        lab.ec2.describe_vpcs(Filters=[one] * 51)
    lab.ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["x"] * 200}])
    with refused("FilterLimitExceeded"):
        lab.ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["x"] * 201}])
    with refused("InvalidParameterValue"):
        lab.ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["x" * 256]}])


# -- pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("describe_network_interfaces", {"NetworkInterfaceIds": ["eni-01234567"]}),
        ("describe_instances", {"InstanceIds": ["i-01234567"]}),
        ("describe_security_groups", {"GroupIds": ["sg-01234567"]}),
        ("describe_instance_types", {"InstanceTypes": ["t2.micro"]}),
    ],
)
def test_max_results_with_ids_is_refused(lab: Lab, method: str, params: dict[str, Any]) -> None:
    """EC2 docs: MaxResults and a list of ids do not go together."""
    for kind, ids in params.items():
        if kind == "NetworkInterfaceIds":
            ids = [lab.eni()]
        elif kind == "InstanceIds":
            ids = [lab.instance()]
        elif kind == "GroupIds":
            ids = [lab.group()]
        with refused("InvalidParameterCombination"):
            getattr(lab.ec2, method)(**{kind: ids}, MaxResults=5)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("describe_network_interfaces", 4),
        ("describe_network_interfaces", 1001),
        ("describe_instances", 4),
        ("describe_security_groups", 1001),
        ("describe_instance_types", 101),
        ("describe_instance_types", 4),
        ("describe_tags", 1001),
    ],
)
def test_bounds_of_max_results(lab: Lab, method: str, value: int) -> None:
    """EC2 docs: MaxResults has a least and a greatest value, 5 and 1000 for most."""
    unchecked = lab.server.client("ec2", parameter_validation=False)
    with refused("InvalidParameterValue"):
        getattr(unchecked, method)(MaxResults=value)


def test_pages_are_short_and_sometimes_empty_and_hold_everything_once() -> None:
    """EC2 docs: a page may be short or empty while a NextToken promises more."""
    with Lab(Settings(page_cap=3, ragged_pages=True, seed=2)) as lab:
        enis = {lab.eni() for _ in range(12)}
        pages = list(
            lab.ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5})
        )
        sizes = [len(page["NetworkInterfaces"]) for page in pages]
        assert 0 in sizes
        assert max(sizes) <= 3
        listed = [row["NetworkInterfaceId"] for page in pages for row in page["NetworkInterfaces"]]
        assert sorted(listed) == sorted(enis)


def test_a_token_is_for_its_own_listing(lab: Lab) -> None:
    """A NextToken of another listing, or of none, is InvalidNextToken."""
    for _ in range(6):
        lab.eni()
    token = lab.ec2.describe_network_interfaces(MaxResults=5)["NextToken"]
    assert len(lab.ec2.describe_network_interfaces(MaxResults=5, NextToken=token)["NetworkInterfaces"]) == 1
    for method in ("describe_instances", "describe_subnets"):
        with refused("InvalidNextToken"):
            getattr(lab.ec2, method)(NextToken=token)


def test_the_order_of_lists_is_not_to_be_relied_on(lab: Lab) -> None:
    """EC2 docs: the order of answers is not guaranteed; here it changes from call to call."""
    for _ in range(8):
        lab.eni()
    orders = {
        tuple(row["NetworkInterfaceId"] for row in lab.ec2.describe_network_interfaces()["NetworkInterfaces"])
        for _ in range(5)
    }
    assert len(orders) > 1


# -- dry run, tokens, visibility -----------------------------------------------------------------------


def test_a_dry_run_never_succeeds_and_changes_nothing(lab: Lab) -> None:
    """EC2 docs: DryRun answers DryRunOperation (HTTP 412) where the call was permitted."""
    with refused("DryRunOperation"):
        lab.ec2.allocate_address(DryRun=True)
    assert lab.ec2.describe_addresses()["Addresses"] == []


def test_a_token_makes_create_idempotent(lab: Lab) -> None:
    """EC2 docs: the same token with the same parameters answers with the same interface."""
    eni = lab.eni(ClientToken="once", Description="x")
    assert lab.eni(ClientToken="once", Description="x") == eni
    assert lab.eni(ClientToken="Once", Description="x") != eni
    with refused("IdempotentParameterMismatch"):
        lab.eni(ClientToken="once", Description="y")
    with refused("InvalidParameterValue"):
        lab.eni(ClientToken="x" * 65)


def test_the_token_of_a_deleted_interface() -> None:
    """No source says what EC2 answers, so both can be had: NotFound, and the answer of the first call."""
    with Lab() as lab:
        eni = lab.eni(ClientToken="once")
        lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
        with refused("InvalidNetworkInterfaceID.NotFound", eni):
            lab.eni(ClientToken="once")
    with Lab(Settings(replays_deleted=True)) as lab:
        first = lab.ec2.create_network_interface(SubnetId=lab.subnet(), ClientToken="once")["NetworkInterface"]
        lab.ec2.delete_network_interface(NetworkInterfaceId=first["NetworkInterfaceId"])
        again = lab.ec2.create_network_interface(SubnetId=lab.subnet(), ClientToken="once")["NetworkInterface"]
        assert again == first
        assert lab.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_new_resources_are_invisible_for_a_while_but_not_to_their_token() -> None:
    """EC2 docs, eventual consistency: a new id is unknown for a while; a replay of its token answers."""
    with Lab(Settings(visibility_delay=2.0)) as lab:
        eni = lab.eni(ClientToken="once")
        assert lab.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
        for call in (
            lambda: lab.show_eni(eni),
            lambda: lab.ec2.delete_network_interface(NetworkInterfaceId=eni),
            lambda: lab.ec2.create_tags(Resources=[eni], Tags=[{"Key": "a", "Value": "b"}]),
            lambda: lab.instance(eni),
        ):
            with refused("InvalidNetworkInterfaceID.NotFound"):
                call()
        assert lab.eni(ClientToken="once") == eni
        address, group = lab.eip(), lab.group()
        with refused("InvalidAllocationID.NotFound"):
            lab.show_address(address)
        with refused("InvalidSecurityGroupID.NotFound"):
            lab.eni(Groups=[group])
        with refused("InvalidGroup.Duplicate"):
            lab.group()
        lab.clock.advance(2.0)
        assert lab.show_eni(eni)["Status"] == "available"
        assert lab.show_group(group)["GroupName"] == "web"


# -- tags ----------------------------------------------------------------------------------------------


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_tags_are_set_one_by_one_and_deleted_if_present(lab: Lab) -> None:
    """EC2 docs: CreateTags leaves other tags alone; DeleteTags does not mind absent ones."""
    eni, group = lab.eni(), lab.group()
    lab.ec2.create_tags(Resources=[eni, group], Tags=[tag("a", "1"), tag("b", "2")])
    lab.ec2.create_tags(Resources=[eni], Tags=[tag("a", "3")])
    assert {t["Key"]: t["Value"] for t in lab.show_eni(eni)["TagSet"]} == {"a": "3", "b": "2"}
    lab.ec2.delete_tags(Resources=[eni, group], Tags=[{"Key": "a", "Value": "1"}, {"Key": "c"}])
    assert {t["Key"] for t in lab.show_eni(eni)["TagSet"]} == {"a", "b"}
    assert {t["Key"] for t in lab.show_group(group)["Tags"]} == {"b"}
    rows = lab.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [eni]}])["Tags"]
    assert {row["ResourceType"] for row in rows} == {"network-interface"}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([tag("aws:name")], "InvalidParameterValue"),
        ([tag("AWS:name")], "InvalidParameterValue"),
        ([tag("a"), tag("a")], "InvalidParameterValue"),
        ([tag("x" * 129)], "InvalidTagKey.Malformed"),
        ([tag("a", "x" * 257)], "InvalidParameterValue"),
        ([tag(f"k{n}") for n in range(51)], "TagLimitExceeded"),
    ],
)
def test_tags_that_are_refused(lab: Lab, tags: list[dict[str, str]], code: str) -> None:
    """EC2 docs: 50 tags a resource, limited lengths, no repeated key, `aws:` is reserved; at birth too."""
    eni = lab.eni()
    with refused(code):
        lab.ec2.create_tags(Resources=[eni], Tags=tags)
    with refused(code):
        lab.eni(TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}])
    assert len(lab.world.data.interfaces) == 1


def test_tags_of_unknown_resources_and_wrong_types(lab: Lab) -> None:
    """One unknown id fails CreateTags whole; a TagSpecification must fit the operation."""
    eni = lab.eni()
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.create_tags(Resources=[eni, "eipalloc-01234567"], Tags=[tag("a")])
    with refused("InvalidID"):
        lab.ec2.create_tags(Resources=["something"], Tags=[tag("a")])
    with refused("InvalidParameterValue", "instance"):
        lab.eni(TagSpecifications=[{"ResourceType": "instance", "Tags": [tag("a")]}])
    assert lab.show_eni(eni)["TagSet"] == []
    with refused("MissingParameter", "resourceIdSet"):
        lab.ec2.create_tags(Resources=[], Tags=[tag("a")])


def test_instance_tags_in_metadata_have_plain_keys(lab: Lab) -> None:
    """EC2 docs: with tags in the metadata service, keys have letters, digits and `+ - = . , _ : @` only."""
    options = {"InstanceMetadataTags": "enabled"}
    spec = [{"ResourceType": "instance", "Tags": [tag("a/b")]}]
    with refused("InvalidParameterValue", "a/b"):
        lab.instance(MetadataOptions=options, TagSpecifications=spec)
    instance = lab.instance(MetadataOptions=options)
    for key in ("a b", "a(b)", "ä"):
        with refused("InvalidParameterValue", f"'{key}' is not a valid tag key"):
            lab.ec2.create_tags(Resources=[instance], Tags=[tag(key)])
    lab.ec2.create_tags(Resources=[instance], Tags=[tag("a:b"), tag("A+-=.,_@1")])


def test_account_attributes_show_the_quotas() -> None:
    """EC2 docs: DescribeAccountAttributes shows the quotas for addresses and groups per interface."""
    with Lab(Settings(quotas=Quotas(addresses=7))) as lab:
        rows = lab.ec2.describe_account_attributes()["AccountAttributes"]
        shown = {row["AttributeName"]: row["AttributeValues"][0]["AttributeValue"] for row in rows}
        assert shown["vpc-max-elastic-ips"] == "7"
        assert shown["default-vpc"] == lab.vpc
        asked = lab.ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])["AccountAttributes"]
        assert [row["AttributeName"] for row in asked] == ["vpc-max-elastic-ips"]
        with refused("InvalidParameterValue"):
            lab.ec2.describe_account_attributes(AttributeNames=["max-everything"])


def test_the_first_day(lab: Lab) -> None:
    """A fresh account has a default VPC with a gateway, a subnet per zone, and the newest images last."""
    vpc = lab.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    subnets = {s["AvailabilityZone"]: s for s in lab.ec2.describe_subnets()["Subnets"]}
    assert {zone: s["CidrBlock"] for zone, s in subnets.items()} == {
        "us-east-1a": "172.31.0.0/20",
        "us-east-1b": "172.31.16.0/20",
        "us-east-1c": "172.31.32.0/20",
    }
    assert subnets["us-east-1a"]["AvailableIpAddressCount"] == 4096 - 5
    filters = [
        {"Name": "name", "Values": ["al2023-ami-2023.*-kernel-6.1-x86_64"]},
        {"Name": "state", "Values": ["available"]},
    ]
    images = lab.ec2.describe_images(Owners=["amazon"], Filters=filters)["Images"]
    assert len(images) == 2
    assert max(images, key=lambda image: image["CreationDate"])["ImageId"] == lab.image
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []


def test_blocks_of_a_vpc_have_states(lab: Lab) -> None:
    """Observed on AWS: a VPC still lists the CIDR blocks that were disassociated, and those on their way."""
    others = {"10.1.0.0/16": "disassociated", "10.2.0.0/16": "associating"}
    vpc = lab.world.add_vpc("10.0.0.0/16", other_cidrs=others, ipv6_cidr="2001:db8::/56", ipv6_state="associating")
    shown = lab.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    blocks = shown["CidrBlockAssociationSet"]
    assert {each["CidrBlock"]: each["CidrBlockState"]["State"] for each in blocks} == {
        "10.0.0.0/16": "associated",
        **others,
    }
    assert len({each["AssociationId"] for each in blocks}) == 3
    assert shown["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlockState"] == {"State": "associating"}
    subnet = lab.ec2.describe_subnets(SubnetIds=[lab.subnet()])["Subnets"][0]
    assert subnet["Ipv6CidrBlockAssociationSet"] == []


@pytest.mark.parametrize(
    ("name", "interfaces", "addresses", "cards"),
    [
        ("t2.micro", 2, 2, [2]),
        ("t3.medium", 3, 6, [3]),
        ("m5.large", 3, 10, [3]),
        ("m5.xlarge", 4, 15, [4]),
        ("c6in.32xlarge", 16, 50, [8, 8]),
    ],
)
def test_limits_of_instance_types(lab: Lab, name: str, interfaces: int, addresses: int, cards: list[int]) -> None:
    """EC2 docs: DescribeInstanceTypes is the authority on interfaces and addresses per type and card."""
    info = lab.ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"][0]["NetworkInfo"]
    assert info["MaximumNetworkInterfaces"] == interfaces
    assert info["Ipv4AddressesPerInterface"] == addresses
    assert [card["MaximumNetworkInterfaces"] for card in info["NetworkCards"]] == cards
