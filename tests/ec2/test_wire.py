"""The strict EC2 speaks the protocols of EC2, STS and SSM as botocore's models describe them."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.ec2 import EC2Server, Settings, World, wire
from tests.ec2.lab import Lab, refused
from tests.ec2.world import AL2023


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def post(url: str, fields: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("POST", "/", urlencode({"Version": "2016-11-15", **fields}))
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Action": "DescribeUnicorns"}, "InvalidAction"),
        ({"Action": "CreateFleet", "DryRun": "true"}, "MissingParameter"),
        ({"Action": "CreateDefaultVpc"}, "InvalidAction"),
        ({}, "MissingAction"),
        ({"Action": "DescribeVpcs", "Horn.1": "x"}, "UnknownParameter"),
        ({"Action": "DescribeVpcs", "VpcId": "x"}, "UnknownParameter"),
        ({"Action": "DescribeVpcs", "VpcId.one": "x"}, "UnknownParameter"),
        ({"Action": "DescribeVpcs", "Filter.1.Horn": "x"}, "UnknownParameter"),
        ({"Action": "AttachNetworkInterface", "DeviceIndex": "1"}, "MissingParameter"),
        ({"Action": "DescribeVpcs", "MaxResults": "many"}, "InvalidParameterValue"),
        ({"Action": "DescribeVpcs", "DryRun": "perhaps"}, "InvalidParameterValue"),
        ({"Action": "AllocateAddress", "Domain": "moon"}, "InvalidParameterValue"),
    ],
)
def test_requests_that_ec2_cannot_understand(lab: Lab, fields: dict[str, str], code: str) -> None:
    """A request with an unknown action or parameter, or a value of the wrong type, is refused by its code."""
    status, text = post(lab.server.url, fields)
    assert status == 400
    assert f"<Code>{code}</Code>" in text
    assert "<RequestID>" in text


def test_error_answers_carry_code_message_and_request_id(lab: Lab) -> None:
    """An EC2 error is XML that botocore reads, request id included."""
    with pytest.raises(ClientError) as caught:
        lab.ec2.describe_vpcs(VpcIds=["vpc-0123456789abcdef0"])
    response = caught.value.response
    assert response["Error"] == {
        "Code": "InvalidVpcID.NotFound",
        "Message": "The vpc ID 'vpc-0123456789abcdef0' does not exist",
    }
    assert response["ResponseMetadata"]["RequestId"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_nested_lists_and_text_survive_the_wire(lab: Lab) -> None:
    """Lists in lists and characters that XML and forms escape come back as they were sent."""
    tags = [{"Key": "a<b>&\"'", "Value": "ü € + % \\ 日本"}, {"Key": "empty", "Value": ""}]
    spec = [{"ResourceType": "network-interface", "Tags": tags}]
    eni = lab.eni(TagSpecifications=spec, Description="<&>")
    shown = lab.show_eni(eni)
    assert sorted(shown["TagSet"], key=lambda tag: tag["Key"]) == tags
    assert shown["Description"] == "<&>"


def test_empty_lists_have_their_element(lab: Lab) -> None:
    """Observed on AWS: empty lists are sent, those of prefixes aside; a structure without content is absent."""
    shown = lab.show_eni(lab.eni())
    assert (shown["TagSet"], shown["Ipv6Addresses"]) == ([], [])
    assert not {"Attachment", "Association", "Ipv4Prefixes", "Ipv6Prefixes"} & set(shown)
    assert lab.show_instance(lab.instance())["ProductCodes"] == []


def test_untagged_resources_mostly_have_no_tags_element(lab: Lab) -> None:
    """Observed on AWS: `Tags` is absent from untagged instances, groups and subnets, but not from rules."""
    group = lab.group()
    assert "Tags" not in lab.show_group(group)
    assert "Tags" not in lab.show_instance(lab.instance())
    assert all("Tags" not in subnet for subnet in lab.ec2.describe_subnets()["Subnets"])
    filters = [{"Name": "group-id", "Values": [group]}]
    rules = lab.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert [rule["Tags"] for rule in rules] == [[]]


def test_caller_identity_and_assumed_role(lab: Lab) -> None:
    """STS answers for the account of the credentials, and AssumeRole moves into the role's account."""
    sts = lab.server.client("sts")
    assert sts.get_caller_identity()["Account"] == "123456789012"
    role = sts.assume_role(RoleArn="arn:aws:iam::999999999999:role/path/admin", RoleSessionName="me")
    assert role["AssumedRoleUser"]["Arn"] == "arn:aws:sts::999999999999:assumed-role/admin/me"
    key = role["Credentials"]["AccessKeyId"]
    assert lab.world.sts("GetCallerIdentity", {}, key)["Account"] == "999999999999"
    with refused("ValidationError"):
        sts.assume_role(RoleArn="arn:aws:iam::999999999999:user/x", RoleSessionName="me")


def test_ssm_parameters_name_the_newest_image(lab: Lab) -> None:
    """The public parameter points at the newest image, and at a newer one once that appears."""
    ssm = lab.server.client("ssm")
    name = f"{AL2023}x86_64"
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    newer = lab.world.add_image("al2023-ami-2023.11-kernel-6.1-x86_64", "2026-06-01T00:00:00.000Z", parameter=name)
    assert before != newer
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == newer
    answer = ssm.get_parameters(Names=[name, "/no/such"])
    assert [p["Value"] for p in answer["Parameters"]] == [newer]
    assert answer["InvalidParameters"] == ["/no/such"]
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/no/such")


def test_the_call_log_shows_what_reached_the_server(lab: Lab) -> None:
    """Each request is logged with its parameters, its error and the client's user agent."""
    lab.eip()
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.release_address(AllocationId="eipalloc-0123456789abcdef0")
    lab.ec2.describe_addresses()
    assert lab.server.actions() == ["AllocateAddress", "ReleaseAddress", "DescribeAddresses"]
    assert lab.server.actions(mutating=True) == ["AllocateAddress", "ReleaseAddress"]
    allocate, release, _ = lab.server.calls
    assert (allocate.error_code, allocate.acted) == (None, True)
    assert (release.error_code, release.acted) == ("InvalidAllocationID.NotFound", False)
    assert release.params == {"AllocationId": "eipalloc-0123456789abcdef0"}
    assert "Boto3" in release.user_agent
    lab.server.clear()
    assert lab.server.calls == []


def test_every_operation_of_ec2_is_in_the_model() -> None:
    """Each operation that the world offers has its name, and every one the lead needs is offered."""
    world = World()
    offered = {name for name in wire.service_model("ec2").operation_names if world.supports(name)}
    marked = {name for name in dir(World) if getattr(getattr(World, name, None), "ec2_operation", False)}
    assert {xform_name(name) for name in offered} == marked
    assert len(offered) >= 55


@pytest.mark.parametrize(
    "action",
    [
        "DescribeAccountAttributes", "DescribeAddresses", "DescribeAddressesAttribute",
        "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceCreditSpecifications",
        "DescribeInstanceStatus", "DescribeInstances", "DescribeInstanceTypes", "DescribeInternetGateways",
        "DescribeKeyPairs", "DescribeNetworkAcls", "DescribeNetworkInterfaces", "DescribeRegions",
        "DescribeRouteTables", "DescribeSecurityGroupRules", "DescribeSecurityGroups", "DescribeSubnets",
        "DescribeTags", "DescribeVolumes", "DescribeVpcs",
    ],
)  # fmt: skip
def test_every_list_renders(lab: Lab, action: str) -> None:
    """Every describe without arguments renders a furnished world in botocore's own shapes."""
    instance = lab.instance(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}])
    lab.clock.advance(1)
    lab.associate(lab.eip(), lab.show_instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"])
    lab.ec2.modify_address_attribute(AllocationId=next(iter(lab.world.data.addresses)), DomainName="a.example")
    answer = getattr(lab.ec2, xform_name(action))()
    lists = [value for value in answer.values() if isinstance(value, list)]
    assert any(lists)


def test_many_clients_at_once() -> None:
    """Concurrent calls on kept-alive connections are all answered, one at a time in the world."""
    with EC2Server(World(Settings())) as server:
        client = server.client()

        def work() -> None:
            for _ in range(5):
                subnet = next(iter(server.world.data.subnets))
                client.create_network_interface(SubnetId=subnet)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.world.data.interfaces) == 40
