"""What each call does, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from enireconcile.aws.actions import ACTIONS
from enireconcile.model import Ref, Secret
from enireconcile.planning.summaries import SUMMARIES
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, plan_of

ENI = {"NetworkInterfaceId": Ref("network_interfaces.web-eth0")}
HTTP = {"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}]}
FROM_ALL: Mapping[str, Any] = {
    "GroupId": "sg-1",
    "IpPermissions": [{**HTTP["IpPermissions"][0], "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],  # type: ignore[dict-item]
}
ROUTE = {"RouteTableId": "rtb-1", "DestinationCidrBlock": "0.0.0.0/0"}
PROFILE = {"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/ops/web"}}
TAGS = {"Resources": ["eni-1"], "Tags": [{"Key": key, "Value": "x"} for key in "edcba"]}

TABLE: list[tuple[str, Mapping[str, Any], str]] = [
    ("AllocateAddress", {"Domain": "vpc"}, "allocate"),
    ("AllocateAddress", {"Address": "203.0.113.7"}, "allocate 203.0.113.7"),
    ("AllocateAddress", {"PublicIpv4Pool": "ipv4pool-ec2-1"}, "allocate from ipv4pool-ec2-1"),
    ("AssignIpv6Addresses", {**ENI, "Ipv6AddressCount": 2}, "assign 2 addresses"),
    ("AssignIpv6Addresses", {**ENI, "Ipv6PrefixCount": 2}, "assign 2 prefixes"),
    ("AssignPrivateIpAddresses", {**ENI, "Ipv4PrefixCount": 1}, "assign 1 prefix"),
    ("AssignPrivateIpAddresses", {**ENI, "PrivateIpAddresses": ["10.0.0.7"]}, "assign 10.0.0.7"),
    ("AssociateAddress", {"AllocationId": "eipalloc-1", **ENI}, "associate with web-eth0"),
    ("AssociateAddress", {**ENI, "PrivateIpAddress": "10.0.0.7"}, "associate with web-eth0 (10.0.0.7)"),
    (
        "AssociateAddress",
        {**ENI, "PrivateIpAddress": Ref("network_interfaces.web-eth0", "secondary_1")},
        "associate with web-eth0 (a secondary address)",
    ),
    ("AssociateIamInstanceProfile", PROFILE, "associate the instance profile web"),
    ("AssociateIamInstanceProfile", {"IamInstanceProfile": {"Name": "db"}}, "associate the instance profile db"),
    ("AttachNetworkInterface", {**ENI, "InstanceId": "i-1", "DeviceIndex": 1}, "attach to web as index 1"),
    (
        "AttachNetworkInterface",
        {**ENI, "InstanceId": "i-2", "DeviceIndex": 1, "NetworkCardIndex": 2},
        "attach to i-2 as index 1, card 2",
    ),
    ("AuthorizeSecurityGroupEgress", FROM_ALL, "authorize tcp 80 to 0.0.0.0/0"),
    ("AuthorizeSecurityGroupIngress", FROM_ALL, "authorize tcp 80 from 0.0.0.0/0"),
    ("CancelSpotInstanceRequests", {"SpotInstanceRequestIds": ["sir-1"]}, "cancel the Spot request sir-1"),
    ("CreateNetworkInterface", {"SubnetId": "subnet-1"}, "create in subnet-1"),
    (
        "CreateNetworkInterface",
        {"SubnetId": "subnet-1", "PrivateIpAddress": "10.0.0.7"},
        "create in subnet-1 with 10.0.0.7",
    ),
    ("CreateRoute", {**ROUTE, **ENI}, "lead 0.0.0.0/0 of rtb-1 here"),
    ("CreateSecurityGroup", {"VpcId": "vpc-1"}, "create in vpc-1"),
    ("CreateTags", TAGS, "set tags a, b, c and 2 more"),
    ("DeleteNetworkInterface", ENI, "delete"),
    ("DeleteRoute", ROUTE, "delete the route 0.0.0.0/0 of rtb-1"),
    ("DeleteSecurityGroup", {"GroupId": "sg-1"}, "delete"),
    ("DeleteTags", {"Resources": ["eni-1"], "Tags": [{"Key": "a"}]}, "remove tag a"),
    ("DetachNetworkInterface", {"AttachmentId": "eni-attach-1", "Force": True}, "detach from web by force"),
    ("DisassociateAddress", {"AssociationId": "eipassoc-1"}, "disassociate from web-eth0"),
    ("ModifyAddressAttribute", {"DomainName": "www.example.com"}, "set reverse DNS www.example.com"),
    (
        "ModifyInstanceAttribute",
        {"InstanceId": "i-1", "DisableApiTermination": {"Value": True}},
        "set disable_api_termination true",
    ),
    (
        "ModifyInstanceCreditSpecification",
        {"InstanceCreditSpecifications": [{"InstanceId": "i-1", "CpuCredits": "unlimited"}]},
        "set cpu_credits unlimited",
    ),
    (
        "ModifyInstanceMaintenanceOptions",
        {"InstanceId": "i-1", "AutoRecovery": "disabled"},
        "set auto_recovery disabled",
    ),
    (
        "ModifyInstanceMetadataOptions",
        {"InstanceId": "i-1", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "set http_tokens required, http_put_response_hop_limit 2",
    ),
    ("ModifyInstancePlacement", {"InstanceId": "i-1", "GroupName": "near"}, "set group_name near"),
    (
        "ModifyNetworkInterfaceAttribute",
        {**ENI, "Groups": ["sg-1", Ref("security_groups.db")]},
        "set groups sg-1, db",
    ),
    ("ModifyNetworkInterfaceAttribute", {**ENI, "Description": {"Value": ""}}, 'set description ""'),
    (
        "ModifyNetworkInterfaceAttribute",
        {**ENI, "Description": {"Value": "x" * 61}},
        f"set description {'x' * 60}…",
    ),
    (
        "ModifyNetworkInterfaceAttribute",
        {**ENI, "Attachment": {"AttachmentId": "eni-attach-1", "DeleteOnTermination": False}},
        "set delete_on_termination false",
    ),
    ("MonitorInstances", {"InstanceIds": ["i-1"]}, "turn detailed monitoring on"),
    ("ReleaseAddress", {"AllocationId": "eipalloc-1"}, "release"),
    (
        "ReplaceIamInstanceProfileAssociation",
        {"AssociationId": "iip-assoc-1", **PROFILE},
        "replace the instance profile by web",
    ),
    ("ReplaceRoute", {**ROUTE, "LocalTarget": True}, "lead 0.0.0.0/0 of rtb-1 back to local"),
    ("ResetAddressAttribute", {"AllocationId": "eipalloc-1"}, "remove reverse DNS"),
    ("RevokeSecurityGroupEgress", FROM_ALL, "revoke tcp 80 to 0.0.0.0/0"),
    ("RevokeSecurityGroupIngress", FROM_ALL, "revoke tcp 80 from 0.0.0.0/0"),
    (
        "RunInstances",
        {
            "ImageId": "ami-1",
            "InstanceType": "t3.micro",
            "NetworkInterfaces": [{**ENI, "DeviceIndex": 0}],
            "UserData": Secret("password"),
        },
        "launch t3.micro from ami-1 with web-eth0",
    ),
    ("StartInstances", {"InstanceIds": ["i-1"]}, "start"),
    ("StopInstances", {"InstanceIds": ["i-1"]}, "stop"),
    ("TerminateInstances", {"InstanceIds": ["i-1"]}, "terminate"),
    ("UnassignIpv6Addresses", {**ENI, "Ipv6Addresses": ["2001:db8::1"]}, "unassign 2001:db8::1"),
    ("UnassignPrivateIpAddresses", {**ENI, "Ipv4Prefixes": ["10.0.0.0/28"]}, "unassign 10.0.0.0/28"),
    ("UnmonitorInstances", {"InstanceIds": ["i-1"]}, "turn detailed monitoring off"),
    ("UpdateSecurityGroupRuleDescriptionsEgress", FROM_ALL, "describe tcp 80 to 0.0.0.0/0"),
    ("UpdateSecurityGroupRuleDescriptionsIngress", FROM_ALL, "describe tcp 80 from 0.0.0.0/0"),
]
_NAMES = {"i-1": "web", "eni-attach-1": "web", "eipassoc-1": "web-eth0"}


def _name(value: Any) -> str:
    return value.address.partition(".")[2] if isinstance(value, Ref) else _NAMES.get(value, value)


@pytest.mark.parametrize(("call", "params", "words"), TABLE)
def test_a_call_is_told_in_a_few_words(call: str, params: Mapping[str, Any], words: str) -> None:
    assert SUMMARIES[call](params, _name) == words


def test_every_call_that_changes_something_has_a_summary() -> None:
    """And a row above. The others change nothing in EC2."""
    writes = {name for name, row in ACTIONS.items() if not row.reads and row.service == "ec2"}
    assert set(SUMMARIES) == writes
    assert {call for call, _, _ in TABLE} == writes


def test_every_step_of_every_situation_is_told() -> None:
    """In one line, with no id of what the stack has by name."""
    for situation, triple in GOLDEN.items():
        plan = planned(triple)
        ours = {change.id for change in plan.changes if change.id}
        for step in plan.steps:
            assert step.summary.strip() == step.summary != "", (situation, step)
            words = {word.strip("(),") for word in step.summary.split()}
            assert not words & ours, (situation, step.summary)


def test_the_other_end_is_told_by_its_name() -> None:
    """Attachments, associations, subnets and VPCs have ids that say nothing."""
    spec: Words = {
        "security_groups": {"new": {}, "lab": {"vpc": {"tags": {"Name": "lab"}}}},
        "instances": {"fw": {"external": "i-0123456789abcdef0"}},
        "network_interfaces": {
            "moves": {
                "subnet": {"default_for_az": "us-east-1a"},
                "attachment": {"instance": "fw", "device_index": 1},
            },
            "made": {"subnet": {"tags": {"Name": "lab-a"}}},
        },
        "elastic_ips": {"web": {"association": {"network_interface": "made"}}},
    }
    live: Words = {
        "instances": {"old": {}},
        "externals": {"fw": {"id": "i-0123456789abcdef0"}},
        "network_interfaces": {"moves": {"at": "old 1"}},
        "elastic_ips": {"web": {"at": "moves"}},
    }
    plan = plan_of(spec, live)
    told = {(step.call, step.address): step for step in plan.steps}
    assert {key: step.summary for key, step in told.items()} == {
        ("CreateSecurityGroup", "security_groups.new"): "create in the default VPC",
        ("CreateSecurityGroup", "security_groups.lab"): "create in lab",
        ("CreateNetworkInterface", "network_interfaces.made"): "create in lab-a",
        ("DetachNetworkInterface", "network_interfaces.moves"): "detach from i-old",
        ("AttachNetworkInterface", "network_interfaces.moves"): "attach to fw as index 1",
        ("AssociateAddress", "elastic_ips.web"): "associate with made",
    }
    assert {step.public_ip for step in plan.steps if step.address == "elastic_ips.web"} == {"192.0.2.1"}
