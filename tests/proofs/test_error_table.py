"""The error table through a real botocore client: what EC2 answers becomes the meaning that we act on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config

from enireconcile.aws.api import Channel
from enireconcile.aws.faults import Fault, Meaning
from enireconcile.aws.session import Session
from tests.ec2 import DropConnection, EC2Server, Fail

from .conftest import Proofs

ENI, INSTANCE, GROUP = "eni-0123456789abcdef0", "i-0123456789abcdef0", "sg-0123456789abcdef0"
RULE = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
CALLS: Mapping[str, dict[str, Any]] = {
    "AllocateAddress": {},
    "AssignPrivateIpAddresses": {"NetworkInterfaceId": ENI, "PrivateIpAddresses": ["10.0.0.5"]},
    "AssociateIamInstanceProfile": {"InstanceId": INSTANCE, "IamInstanceProfile": {"Name": "x"}},
    "AuthorizeSecurityGroupEgress": {"GroupId": GROUP, "IpPermissions": RULE},
    "ModifyInstanceAttribute": {"InstanceId": INSTANCE, "InstanceType": {"Value": "t3.micro"}},
    "ModifyNetworkInterfaceAttribute": {"NetworkInterfaceId": ENI, "Groups": [GROUP]},
    "ReplaceIamInstanceProfileAssociation": {
        "AssociationId": "iip-assoc-0123456789abcdef0",
        "IamInstanceProfile": {"Name": "x"},
    },
    "StopInstances": {"InstanceIds": [INSTANCE]},
    "AssignIpv6Addresses": {"NetworkInterfaceId": ENI, "Ipv6PrefixCount": 1},
    "AssociateAddress": {"AllocationId": "eipalloc-0123456789abcdef0", "NetworkInterfaceId": ENI},
    "AttachNetworkInterface": {"NetworkInterfaceId": ENI, "InstanceId": INSTANCE, "DeviceIndex": 1},
    "AuthorizeSecurityGroupIngress": {"GroupId": GROUP, "IpPermissions": RULE},
    "ModifyAddressAttribute": {"AllocationId": "eipalloc-0123456789abcdef0", "DomainName": "www.example.com"},
    "ResetAddressAttribute": {"AllocationId": "eipalloc-0123456789abcdef0", "Attribute": "domain-name"},
    "CreateNetworkInterface": {"SubnetId": "subnet-0123456789abcdef0"},
    "CreateSecurityGroup": {"GroupName": "x", "Description": "x"},
    "CreateTags": {"Resources": [ENI], "Tags": [{"Key": "a", "Value": "b"}]},
    "DeleteNetworkInterface": {"NetworkInterfaceId": ENI},
    "DeleteSecurityGroup": {"GroupId": GROUP},
    "DescribeInstances": {},
    "DetachNetworkInterface": {"AttachmentId": "eni-attach-0123456789abcdef0"},
    "DisassociateAddress": {"AssociationId": "eipassoc-0123456789abcdef0"},
    "ReleaseAddress": {"AllocationId": "eipalloc-0123456789abcdef0"},
    "RevokeSecurityGroupIngress": {"GroupId": GROUP, "IpPermissions": RULE},
    "RunInstances": {"ImageId": "ami-0123456789abcdef0", "MinCount": 1, "MaxCount": 1},
    "StartInstances": {"InstanceIds": [INSTANCE]},
    "UnassignIpv6Addresses": {"NetworkInterfaceId": ENI, "Ipv6Addresses": ["2001:db8::9"]},
    "UnassignPrivateIpAddresses": {"NetworkInterfaceId": ENI, "PrivateIpAddresses": ["10.0.0.9"]},
}
OTHER_VPC = "You have specified two resources that belong to different networks."
IN_A_VPC = (
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "CreateNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
)
LAUNCH_PLAN = "LaunchPlan instance type does not match attribute value t2.micro"
NO_ROLE = 'IAM Instance Profile "arn:aws:iam::123456789012:instance-profile/x" has no associated IAM Roles'
ROWS = [
    ("RunInstances", "RequestLimitExceeded", "", Meaning.THROTTLED),
    ("DescribeInstances", "Throttling", "", Meaning.THROTTLED),
    ("CreateTags", "ConcurrentTagAccess", "", Meaning.RETRY),
    ("StartInstances", "RequestExpired", "", Meaning.RETRY),
    ("AllocateAddress", "InternalError", "", Meaning.OUTCOME_UNKNOWN),
    ("CreateNetworkInterface", "Unavailable", "", Meaning.OUTCOME_UNKNOWN),
    ("AssociateAddress", "InvalidAllocationID.NotFound", "", Meaning.WAIT),
    ("AttachNetworkInterface", "InvalidNetworkInterfaceID.NotFound", "", Meaning.WAIT),
    ("AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound", "", Meaning.WAIT),
    ("AttachNetworkInterface", "IncorrectState", "", Meaning.WAIT),
    ("StartInstances", "IncorrectInstanceState", "", Meaning.NOT_READY_OR_GONE),
    ("StopInstances", "IncorrectInstanceState", "", Meaning.NOT_READY_OR_GONE),
    ("AssociateAddress", "InvalidInstanceID", "The pending instance 'i-1' is not in a valid state", Meaning.WAIT),
    ("RunInstances", "InvalidParameterValue", "Invalid IAM Instance Profile name", Meaning.WAIT),
    ("RunInstances", "InvalidNetworkInterface.InUse", "Interface: [eni-1] in use.", Meaning.WAIT),
    ("DeleteNetworkInterface", "InvalidParameterValue", "is currently in use.", Meaning.WAIT),
    ("DeleteSecurityGroup", "DependencyViolation", "", Meaning.WAIT),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", "", Meaning.DONE),
    ("DeleteNetworkInterface", "InvalidNetworkInterfaceID.NotFound", "", Meaning.DONE),
    ("DisassociateAddress", "InvalidAssociationID.NotFound", "", Meaning.DONE),
    ("ReleaseAddress", "InvalidAllocationID.NotFound", "", Meaning.DONE),
    ("UnassignPrivateIpAddresses", "InvalidParameterValue", "addresses are not assigned to", Meaning.DONE),
    ("UnassignIpv6Addresses", "InvalidParameterValue", "addresses are not assigned to", Meaning.DONE),
    (
        "AttachNetworkInterface",
        "InvalidParameterValue",
        "already has an interface attached at",
        Meaning.ALREADY_EXISTS,
    ),
    ("CreateSecurityGroup", "InvalidGroup.Duplicate", "", Meaning.ALREADY_EXISTS),
    ("AuthorizeSecurityGroupIngress", "InvalidPermission.Duplicate", "", Meaning.ALREADY_EXISTS),
    ("RevokeSecurityGroupIngress", "InvalidPermission.NotFound", "", Meaning.ALREADY_EXISTS),
    ("AssociateAddress", "Resource.AlreadyAssociated", "", Meaning.REPLAN),
    ("CreateNetworkInterface", "InvalidIPAddress.InUse", "", Meaning.REPLAN),
    ("AssignIpv6Addresses", "InvalidIPAddress.InUse", "", Meaning.REPLAN),
    ("RunInstances", "IdempotentInstanceTerminated", "", Meaning.TOKEN_CONFLICT),
    ("RunInstances", "IdempotentParameterMismatch", "", Meaning.TOKEN_CONFLICT),
    ("CreateNetworkInterface", "InvalidNetworkInterfaceID.NotFound", "", Meaning.TOKEN_CONFLICT),
    ("RunInstances", "InsufficientInstanceCapacity", "", Meaning.REFUSED),
    ("AllocateAddress", "AddressLimitExceeded", "", Meaning.REFUSED),
    ("AssignIpv6Addresses", "InsufficientCidrBlocks", "", Meaning.REFUSED),
    ("RunInstances", "UnauthorizedOperation", "", Meaning.REFUSED),
    ("ReleaseAddress", "AuthFailure", "", Meaning.REFUSED),
    ("ReleaseAddress", "InvalidAddress.PtrSet", "", Meaning.WAIT),
    ("ReleaseAddress", "InvalidAddress.Locked", "", Meaning.WAIT),
    ("ResetAddressAttribute", "InvalidAllocationID.NotFound", "", Meaning.DONE),
    ("ModifyAddressAttribute", "InvalidState", "has a pending update", Meaning.WAIT),
    ("ModifyAddressAttribute", "InvalidParameterValue", "no A record", Meaning.REFUSED),
    ("AllocateAddress", "InvalidAddress.NotFound", "", Meaning.REFUSED),
    ("AssociateAddress", "Gateway.NotAttached", "", Meaning.REFUSED),
    ("AttachNetworkInterface", "AttachmentLimitExceeded", "", Meaning.REFUSED),
    ("DetachNetworkInterface", "OperationNotPermitted", "", Meaning.REFUSED),
    ("CreateNetworkInterface", "InvalidSubnetID.NotFound", "", Meaning.REFUSED),
    *((call, "InvalidGroup.NotFound", OTHER_VPC, Meaning.REFUSED) for call in IN_A_VPC),
    ("RunInstances", "InvalidParameter", "sg-1 and subnet-1 belong to different networks.", Meaning.REFUSED),
    ("CreateNetworkInterface", "InvalidSecurityGroupID.NotFound", "", Meaning.WAIT),
    ("StartInstances", "InvalidParameterValue", f"Invalid value. {LAUNCH_PLAN}", Meaning.WAIT),
    ("RunInstances", "InvalidParameterValue", NO_ROLE, Meaning.WAIT),
    ("AssociateIamInstanceProfile", "InvalidParameterValue", NO_ROLE, Meaning.WAIT),
    ("AssociateIamInstanceProfile", "IncorrectState", "There is an existing association", Meaning.ALREADY_EXISTS),
    ("ReplaceIamInstanceProfileAssociation", "InvalidAssociationID.NotFound", "", Meaning.WAIT),
    ("AssignPrivateIpAddresses", "InvalidParameterValue", "assigned, but move is not allowed.", Meaning.REPLAN),
    ("ModifyInstanceAttribute", "InvalidInstanceAttributeValue", "is not allowed.", Meaning.REFUSED),
    ("AllocateAddress", "InvalidParameterCombination", "PublicIpv4Pool", Meaning.REFUSED),
    ("AssociateAddress", "AuthFailure", "You do not have permission", Meaning.REFUSED),
    ("DescribeInstances", "InvalidClientTokenId", "", Meaning.REFUSED),
    ("DescribeInstances", "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2", Meaning.REFUSED),
    ("RevokeSecurityGroupIngress", "InvalidGroupId.Malformed", "", Meaning.REFUSED),
    ("RunInstances", "AnUnknownCode", "", Meaning.REFUSED),
]


@pytest.fixture(scope="module")
def server() -> Iterator[EC2Server]:
    with EC2Server() as server:
        yield server


def _fault(url: str, call: str, *, patience: float = 20.0) -> Fault:
    """What one attempt of a call comes to, when an answer may take so many seconds."""
    boto = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x")
    session = Session(boto, "us-east-1")
    session._clients["ec2"] = boto.client(
        "ec2",
        endpoint_url=url,
        region_name="us-east-1",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=patience, connect_timeout=1
        ),
    )
    channel = Channel(session)
    try:
        with pytest.raises(Fault) as raised:
            asyncio.run(channel.attempt(call, CALLS[call]))
    finally:
        channel.close()
    return raised.value


@pytest.mark.parametrize(("call", "code", "message", "meaning"), ROWS)
def test_each_error_of_ec2_has_its_meaning(
    server: EC2Server, call: str, code: str, message: str, meaning: Meaning, proofs: Proofs
) -> None:
    """EC2 answers with this error, under the HTTP status that it uses: one attempt, and we know what it means."""
    server.faults.clear()
    server.clear()
    server.faults.add(Fail(action=call, code=code, message=message, times=9))
    fault = _fault(server.url, call)
    assert (fault.code, fault.meaning) == (code, meaning)
    assert server.actions() == [call]
    assert fault.request_id
    proofs.count("errors understood")


def test_a_dropped_connection_leaves_it_open(server: EC2Server) -> None:
    """The connection ends without an answer: EC2 may have acted, and nothing repeats the call by itself."""
    server.faults.clear()
    server.clear()
    server.faults.add(DropConnection(action="AllocateAddress", late=True))
    assert _fault(server.url, "AllocateAddress").meaning is Meaning.OUTCOME_UNKNOWN
    assert server.actions() == ["AllocateAddress"]


def test_a_refused_connection_was_never_sent() -> None:
    """Nothing listens there: the call was not sent, so it may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert _fault(url, "AllocateAddress").meaning is Meaning.RETRY


def test_an_answer_that_does_not_come_leaves_it_open() -> None:
    """The server never answers: the time is up, and EC2 may have acted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert _fault(url, "AllocateAddress", patience=0.3).meaning is Meaning.OUTCOME_UNKNOWN
