"""``import-terraform``: the plan of what Terraform has made adopts it, and changes nothing.

The states are made from what EC2 shows, as the provider does it; tests/peers runs Terraform itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ec2 import Quotas
from tests.export.terraform.states import address, group, instance, interface, resource, rules, subnet, take, vpc
from tests.harness import SLOW, Harness, image_id, open_harness
from tests.lab_vpc import lab
from tests.scenarios.test_export import assert_adopts, disown
from tests.scenarios.test_specs import prepared

Resources = list[dict[str, Any]]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Harness]:
    """An account with room for ten Elastic IPs."""
    with open_harness(tmp_path, replace(SLOW, quotas=Quotas(addresses=10))) as harness:
        yield harness


def state_of(harness: Harness, *, refreshed: bool) -> Resources:
    """What Terraform's state has of the account, once it was read again or right after everything was made."""
    ec2 = harness.client()
    reservations = ec2.describe_instances()["Reservations"]
    makers: list[Iterable[dict[str, Any]]] = [
        (_vpc(each) for each in ec2.describe_vpcs()["Vpcs"]),
        (_subnet(each) for each in ec2.describe_subnets()["Subnets"]),
        (found for each in ec2.describe_security_groups()["SecurityGroups"] for found in _group(each, refreshed)),
        (_instance(each, ec2) for reservation in reservations for each in reservation["Instances"]),
        (
            found
            for each in ec2.describe_network_interfaces()["NetworkInterfaces"]
            for found in _interface(each, refreshed)
        ),
        (found for each in ec2.describe_addresses()["Addresses"] for found in _address(each, refreshed)),
        (found for each in ec2.describe_route_tables()["RouteTables"] for found in _table(each, refreshed)),
    ]
    return [each for made in makers for each in made]


def _tags(described: Mapping[str, Any], key: str = "Tags") -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in described.get(key, ())}
    return {"tags": tags, "tags_all": tags}


def _vpc(described: Any) -> dict[str, Any]:
    name = f"data.aws_vpc.{described['VpcId']}"
    return vpc(name, id=described["VpcId"], default=described["IsDefault"], **_tags(described))


def _subnet(described: Any) -> dict[str, Any]:
    return subnet(
        f"data.aws_subnet.{described['SubnetId']}",
        id=described["SubnetId"],
        vpc_id=described["VpcId"],
        availability_zone=described["AvailabilityZone"],
        default_for_az=described["DefaultForAz"],
        **_tags(described),
    )


def _group(described: Any, refreshed: bool) -> Resources:
    """Rules are resources of their own; the group shows them once it was read again."""
    key, default = described["GroupId"], described["GroupName"] == "default"
    kind = "aws_default_security_group" if default else "aws_security_group"
    blocks = {
        "ingress": [_block(each, key) for each in described["IpPermissions"]],
        "egress": [_block(each, key) for each in described["IpPermissionsEgress"]],
    }
    own = {
        "id": key,
        "name": described["GroupName"],
        "description": described["Description"],
        "vpc_id": described["VpcId"],
        **_tags(described),
    }
    separate = [
        resource(
            f"aws_security_group_rule.{key}-{way}-{number}",
            type=way,
            security_group_id=key,
            **{**block, "security_groups": None, "self": False, "source_security_group_id": peer, **ends},
        )
        for way, found in blocks.items()
        for number, block in enumerate(found)
        for peer, ends in _peers(block, key)
    ]
    return [group(f"{kind}.{key}", **own, **(blocks if refreshed else {})), *separate]


def _peers(block: dict[str, Any], own: str) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """An aws_security_group_rule has CIDRs, or one group."""
    none: dict[str, Any] = {"cidr_blocks": None, "ipv6_cidr_blocks": None, "prefix_list_ids": None}
    if block["cidr_blocks"] or block["ipv6_cidr_blocks"] or block["prefix_list_ids"]:
        yield None, {}
    yield from ((peer, none) for peer in [*block["security_groups"], *([own] if block["self"] else [])])


def _block(permission: Any, own: str) -> dict[str, Any]:
    """A block of a group. The specs have one description for all sources of a rule."""
    pairs = [pair["GroupId"] for pair in permission["UserIdGroupPairs"]]
    lists = {
        "cidr_blocks": [each["CidrIp"] for each in permission["IpRanges"]],
        "ipv6_cidr_blocks": [each["CidrIpv6"] for each in permission["Ipv6Ranges"]],
        "prefix_list_ids": [each["PrefixListId"] for each in permission["PrefixListIds"]],
        "security_groups": [pair for pair in pairs if pair != own],
    }
    ends = [
        end for each in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs") for end in permission[each]
    ]
    [text] = {end.get("Description", "") for end in ends}
    return rules(
        protocol=permission["IpProtocol"],
        from_port=permission.get("FromPort", 0),
        to_port=permission.get("ToPort", 0),
        description=text,
        self=own in pairs,
        **lists,
    )


def _instance(described: Any, ec2: Any) -> dict[str, Any]:
    [primary] = [each for each in described["NetworkInterfaces"] if each["Attachment"]["DeviceIndex"] == 0]
    options = described["MetadataOptions"]
    credit = ec2.describe_instance_credit_specifications(InstanceIds=[described["InstanceId"]])
    return instance(
        f"aws_instance.{described['InstanceId']}",
        id=described["InstanceId"],
        ami=described["ImageId"],
        instance_type=described["InstanceType"],
        key_name=described.get("KeyName", ""),
        primary_network_interface_id=primary["NetworkInterfaceId"],
        subnet_id=described["SubnetId"],
        private_ip=described["PrivateIpAddress"],
        vpc_security_group_ids=[each["GroupId"] for each in described["SecurityGroups"]],
        source_dest_check=described["SourceDestCheck"],
        public_ip=described.get("PublicIpAddress", ""),
        associate_public_ip_address="PublicIpAddress" in described,
        metadata_options=[
            {
                "http_tokens": options["HttpTokens"],
                "http_endpoint": options["HttpEndpoint"],
                "http_put_response_hop_limit": options["HttpPutResponseHopLimit"],
                "instance_metadata_tags": options["InstanceMetadataTags"],
            }
        ],
        credit_specification=[
            {"cpu_credits": each["CpuCredits"]} for each in credit["InstanceCreditSpecifications"]
        ],
        **_tags(described),
    )


def _interface(described: Any, refreshed: bool) -> Resources:
    """That which EC2 made with its instance is no resource."""
    place = described.get("Attachment")
    if place and place["DeleteOnTermination"]:
        return []
    key, ips = (
        described["NetworkInterfaceId"],
        [each["PrivateIpAddress"] for each in described["PrivateIpAddresses"]],
    )
    block = {"instance": place["InstanceId"], "device_index": place["DeviceIndex"]} if place else {}
    made = interface(
        f"aws_network_interface.{key}",
        id=key,
        subnet_id=described["SubnetId"],
        security_groups=[each["GroupId"] for each in described["Groups"]],
        private_ip=described["PrivateIpAddress"],
        private_ips=sorted(ips),
        private_ip_list=ips,
        description=described["Description"],
        source_dest_check=described["SourceDestCheck"],
        attachment=[block] if refreshed and place else [],
        **_tags(described, "TagSet"),
    )
    kind = f"aws_network_interface_attachment.{key}"
    ends = {"instance_id": block.get("instance"), "device_index": block.get("device_index"), "status": "attached"}
    return [made, resource(kind, network_interface_id=key, **ends)] if place else [made]


def _address(described: Any, refreshed: bool) -> Resources:
    key, holder = described["AllocationId"], described.get("NetworkInterfaceId")
    held = {"network_interface": holder, "private_ip": described["PrivateIpAddress"]} if holder else {}
    made = address(
        f"aws_eip.{key}",
        id=key,
        public_ip=described["PublicIp"],
        **(held if refreshed else {}),
        **_tags(described),
    )
    if not holder:
        return [made]
    ends = {"network_interface_id": holder, "private_ip_address": described["PrivateIpAddress"]}
    return [made, resource(f"aws_eip_association.{key}", allocation_id=key, **ends)]


def _table(described: Any, refreshed: bool) -> Resources:
    key = described["RouteTableId"]
    routes = {
        each["DestinationCidrBlock"]: each["NetworkInterfaceId"]
        for each in described["Routes"]
        if each.get("NetworkInterfaceId")
    }
    blocks = [{"cidr_block": end, "network_interface_id": target} for end, target in routes.items()]
    table = {"id": key, "vpc_id": described["VpcId"], "route": blocks if refreshed else [], **_tags(described)}
    return [
        resource(f"aws_route_table.{key}", **table),
        *(
            resource(
                f"aws_route.{key}-{number}",
                route_table_id=key,
                destination_cidr_block=end,
                network_interface_id=target,
            )
            for number, (end, target) in enumerate(routes.items())
        ),
    ]


@pytest.mark.parametrize(
    ("name", "refreshed"),
    [
        ("two-enis", False),
        ("firewall-pair", False),
        ("firewall-pair", True),
        ("nat-appliance", True),
        ("many-addresses", False),
    ],
)
def test_what_terraform_made_is_only_adopted(name: str, refreshed: bool, account: Harness) -> None:
    """The resources of each spec, without the stack's tags."""
    account.apply(prepared(name, account))
    account.loop.now += 60
    disown(account, name)
    resources = state_of(account, refreshed=refreshed)
    made = take(*resources)
    # What is not in the spec is not Terraform's to forget.
    kept = {each["address"] for each in resources if each["mode"] == "managed"} - {*made.forget}
    assert {each.partition(".")[0] for each in kept} <= {
        *("aws_default_security_group", "aws_security_group_rule", "aws_route_table")
    }
    assert_adopts(account, str(made.text))


def test_the_interface_that_ec2_made(account: Harness) -> None:
    """With its secondary and its public address, and with a group that was added to it."""
    _, subnets = lab(account)
    ec2 = account.client()
    launch: Callable[..., Any] = ec2.run_instances
    launch(
        ImageId=image_id(ec2),
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnets["lab-a"], "AssociatePublicIpAddress": True}],
    )
    account.loop.now += 60
    made = take(*state_of(account, refreshed=True))
    [row] = yaml.safe_load(str(made.text))["network_interfaces"].values()
    assert row["associate_public_ip_address"] is True
    assert row["attachment"]["delete_on_termination"] is True
    assert_adopts(account, str(made.text))
