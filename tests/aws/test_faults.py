"""The table of faults: what each error of EC2 means for the call that got it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    LoginRefreshRequired,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from enireconcile.aws.answers import UnreadableAnswer
from enireconcile.aws.api import Channel
from enireconcile.aws.faults import Fault, Meaning, classify, fault_from
from enireconcile.errors import LostLockError
from tests.virtual import VirtualLoop, run

ATTACH, RUN = "AttachNetworkInterface", "RunInstances"
CREATE_INTERFACE, CREATE_GROUP = "CreateNetworkInterface", "CreateSecurityGroup"
ALLOCATE, ASSOCIATE = "AllocateAddress", "AssociateAddress"
DELETE, PROFILE = "DeleteNetworkInterface", "AssociateIamInstanceProfile"
MODIFY = "ModifyInstanceAttribute"
AUTHORIZE, REVOKE = "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"

THROTTLED = [
    ("DescribeInstances", "RequestLimitExceeded", "Request limit exceeded."),
    (RUN, "EC2ThrottledException", ""),
    (ATTACH, "Throttling", "Rate exceeded"),
    (ATTACH, "ThrottlingException", "Rate exceeded"),
    (ATTACH, "RequestThrottled", ""),
    (ATTACH, "RequestThrottledException", ""),
    (ATTACH, "TooManyRequestsException", ""),
    (AUTHORIZE, "ConcurrentMutationLimitExceeded", ""),
]
RETRY = [
    ("CreateTags", "ConcurrentTagAccess", "Another request is changing these tags"),
    ("DescribeVpcs", "RequestExpired", "Request has expired."),
    ("DescribeVpcs", "InvalidSecurity.RequestHasExpired", ""),
]
OUTCOME_UNKNOWN = [
    (ALLOCATE, "Unavailable", "The server is overloaded"),
    (ALLOCATE, "ServiceUnavailable", ""),
    (ALLOCATE, "InternalError", "An internal error has occurred"),
    (ALLOCATE, "InternalFailure", ""),
    (ALLOCATE, "ServerInternal", ""),
]
WAIT = [
    (ATTACH, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist"),
    (ATTACH, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-1' does not exist"),
    (RUN, "InvalidNetworkInterface.NotFound", ""),
    ("DeleteTags", "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-1' does not exist"),
    ("CreateTags", "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist"),
    (CREATE_INTERFACE, "InvalidGroup.NotFound", "The security group 'sg-1' does not exist"),
    (CREATE_INTERFACE, "InvalidSecurityGroupID.NotFound", ""),
    (CREATE_INTERFACE, "InvalidSecurityGroupId.NotFound", ""),
    (ASSOCIATE, "InvalidAllocationID.NotFound", "The allocation ID 'eipalloc-1' does not exist"),
    (ASSOCIATE, "InvalidAddressID.NotFound", ""),
    (ASSOCIATE, "InvalidAddress.NotFound", ""),
    (ASSOCIATE, "IncorrectState", ""),
    (ASSOCIATE, "IncorrectInstanceState", "The instance 'i-1' is pending-instance-creation"),
    (ASSOCIATE, "InvalidState", ""),
    (ASSOCIATE, "InvalidInstanceID", "The pending instance 'i-1' is not in a valid state for this operation."),
    ("DeleteSecurityGroup", "DependencyViolation", "resource sg-1 has a dependent object"),
    ("DeleteSecurityGroup", "InvalidGroup.InUse", ""),
    (DELETE, "InvalidParameterValue", "Network interface 'eni-1' is currently in use."),
    (DELETE, "InvalidNetworkInterface.InUse", "interface eni-1 in use"),
    (
        RUN,
        "InvalidParameterValue",
        "Value (web) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    ),
    (RUN, "InvalidParameterValue", 'IAM Instance Profile "arn:x" has no associated IAM Roles'),
    (PROFILE, "InvalidParameterValue", 'IAM Instance Profile "arn:x" has no associated IAM Roles'),
    (
        "StartInstances",
        "InvalidParameterValue",
        "Invalid value 'a' for instanceType. LaunchPlan instance type does not match attribute value b",
    ),
    (RUN, "InvalidNetworkInterface.InUse", "Interface: [eni-1] in use."),
    ("ReleaseAddress", "InvalidAddress.PtrSet", "reverse DNS, or its shadow"),
    ("ReleaseAddress", "InvalidAddress.Locked", "reverse DNS, or Support"),
]
DONE = [
    (DELETE, "InvalidNetworkInterfaceID.NotFound", ""),
    ("DeleteSecurityGroup", "InvalidGroup.NotFound", ""),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", ""),
    ("DisassociateAddress", "InvalidAssociationID.NotFound", ""),
    ("DisassociateAddress", "InvalidAssociation.NotFound", ""),
    ("ReleaseAddress", "InvalidAllocationID.NotFound", ""),
    ("ResetAddressAttribute", "InvalidAllocationID.NotFound", ""),
    ("TerminateInstances", "InvalidInstanceID.NotFound", ""),
    (
        "UnassignPrivateIpAddresses",
        "InvalidParameterValue",
        "Some of the specified addresses are not assigned to interface eni-1",
    ),
    (
        "UnassignIpv6Addresses",
        "InvalidParameterValue",
        "Some of the specified addresses are not assigned to eni-1",
    ),
]
ALREADY_EXISTS = [
    (PROFILE, "IncorrectState", "There is an existing association for instance i-1"),
    (ATTACH, "InvalidParameterValue", "Instance 'i-1' already has an interface attached at device index '1'."),
    (ATTACH, "InvalidParameterValue", "Interface: [eni-1] in use."),
    (ATTACH, "InvalidNetworkInterface.InUse", "Interface eni-1 is already attached to i-1"),
    (AUTHORIZE, "InvalidPermission.Duplicate", "the specified rule already exists"),
    (CREATE_GROUP, "InvalidGroup.Duplicate", "The security group 'web' already exists for VPC 'vpc-1'"),
    (REVOKE, "InvalidPermission.NotFound", "The specified rule does not exist in this security group."),
    (REVOKE, "InvalidSecurityGroupRuleId.NotFound", ""),
]
NOT_READY_OR_GONE = [
    (PROFILE, "IncorrectInstanceState", "The instance 'i-1' is not in the 'running' or 'stopped' states."),
    ("ReplaceIamInstanceProfileAssociation", "IncorrectInstanceState", "The instance 'i-1' is not in the …"),
    (
        "StartInstances",
        "IncorrectInstanceState",
        "The instance 'i-1' is not in a state from which it can be started.",
    ),
    ("StopInstances", "IncorrectInstanceState", "This instance 'i-1' is not in a state …"),
    ("StartInstances", "InvalidInstanceState", ""),
]
DENIED_OR_GONE = [
    (DELETE, "UnauthorizedOperation", "You are not authorized to perform this operation."),
    ("ReleaseAddress", "UnauthorizedOperation", ""),
    ("DetachNetworkInterface", "UnauthorizedOperation", ""),
    ("DisassociateAddress", "UnauthorizedOperation", ""),
]
REPLAN = [
    (ASSOCIATE, "Resource.AlreadyAssociated", "resource eipalloc-1 is already associated with eipassoc-1"),
    ("AssignPrivateIpAddresses", "Resource.AlreadyAssigned", ""),
    ("AssignPrivateIpAddresses", "InvalidParameterValue", "[10.0.0.5] assigned, but move is not allowed."),
    ("AssignIpv6Addresses", "InvalidIPAddress.InUse", "The specified address is already in use."),
    ("ModifyNetworkInterfaceAttribute", "InvalidNetworkInterface.InUse", ""),
]
TOKEN_CONFLICT = [
    (RUN, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent"),
    (CREATE_INTERFACE, "IdempotentParameterMismatch", ""),
    (RUN, "IdempotentInstanceTerminated", "The instance was terminated"),
]
OTHER_VPC = "You have specified two resources that belong to different networks."
REFUSED = [
    (AUTHORIZE, "InvalidGroup.NotFound", OTHER_VPC),
    (CREATE_INTERFACE, "InvalidGroup.NotFound", OTHER_VPC),
    ("ModifyNetworkInterfaceAttribute", "InvalidGroup.NotFound", OTHER_VPC),
    (RUN, "InvalidParameter", "Security group sg-1 and subnet subnet-1 belong to different networks."),
    (MODIFY, "InvalidInstanceAttributeValue", "Modifying the instance type from a to b is not allowed."),
    (REVOKE, "InvalidGroupId.Malformed", ""),
    ("DescribeVpcs", "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"),
    ("DescribeVpcs", "InvalidClientTokenId", ""),
    (RUN, "InsufficientInstanceCapacity", "We currently do not have sufficient t3.micro capacity"),
    (RUN, "InsufficientHostCapacity", ""),
    (RUN, "InsufficientCapacity", ""),
    (ALLOCATE, "InsufficientAddressCapacity", ""),
    (ALLOCATE, "AddressLimitExceeded", "The maximum number of addresses has been reached."),
    (ATTACH, "AttachmentLimitExceeded", "Interface count 3 exceeds the limit for t3.micro"),
    (CREATE_INTERFACE, "InvalidSubnetID.NotFound", "no such subnet; it is the user's to know"),
    (RUN, "InvalidAMIID.NotFound", ""),
    (RUN, "InvalidKeyPair.NotFound", ""),
    (CREATE_GROUP, "InvalidVpcID.NotFound", ""),
    (RUN, "InvalidParameterValue", "Invalid value 'x' for instanceType"),
    (RUN, "InvalidParameterCombination", "may not be specified together"),
    (DELETE, "InvalidParameterValue", "the value is odd"),
    (ATTACH, "InvalidInstanceID", "odd"),
    (
        "DetachNetworkInterface",
        "OperationNotPermitted",
        "The network interface at device index 0 cannot be detached.",
    ),
    (ASSOCIATE, "Gateway.NotAttached", ""),
    (ASSOCIATE, "AuthFailure", ""),
    ("DeleteTags", "UnauthorizedOperation", ""),
    ("TerminateInstances", "UnauthorizedOperation", ""),
    (RUN, "UnauthorizedOperation", "You are not authorized to perform this operation."),
    (ALLOCATE, "InvalidAddress.NotFound", "The address '192.0.2.7' that was asked for"),
    (ALLOCATE, "InvalidPublicIpv4PoolID.NotFound", ""),
    ("ModifyAddressAttribute", "InvalidAddress.PtrSet", "only a release waits for that"),
    ("ModifyAddressAttribute", "InvalidAddress.Locked", ""),
    ("CreateTags", "TagLimitExceeded", ""),
    (ATTACH, "DependencyViolation", "only deleting waits for those who depend"),
    (RUN, "AnUnknownCode", ""),
    (RUN, "XRequestLimitExceeded", "a code is compared as a whole"),
    (RUN, "", "no code at all"),
]
ROWS = [
    pytest.param(call, code, message, meaning, id=f"{call} {code or 'nothing'} {message[:24]}".strip())
    for meaning, rows in (
        (Meaning.THROTTLED, THROTTLED),
        (Meaning.RETRY, RETRY),
        (Meaning.OUTCOME_UNKNOWN, OUTCOME_UNKNOWN),
        (Meaning.WAIT, WAIT),
        (Meaning.DONE, DONE),
        (Meaning.ALREADY_EXISTS, ALREADY_EXISTS),
        (Meaning.NOT_READY_OR_GONE, NOT_READY_OR_GONE),
        (Meaning.DENIED_OR_GONE, DENIED_OR_GONE),
        (Meaning.REPLAN, REPLAN),
        (Meaning.TOKEN_CONFLICT, TOKEN_CONFLICT),
        (Meaning.REFUSED, REFUSED),
    )
    for call, code, message in rows
]


@pytest.mark.parametrize(("call", "code", "message", "meaning"), ROWS)
def test_an_error_of_a_call_means_this(call: str, code: str, message: str, meaning: Meaning) -> None:
    assert classify(call, code, message)[0] is meaning


@pytest.mark.parametrize(("call", "code", "message", "meaning"), ROWS)
def test_what_is_repeated_is_bounded_in_time(call: str, code: str, message: str, meaning: Meaning) -> None:
    """Whatever the executor repeats has an end, and whatever it does not repeat needs none."""
    repeated = meaning in {
        Meaning.THROTTLED,
        Meaning.RETRY,
        Meaning.OUTCOME_UNKNOWN,
        Meaning.WAIT,
        Meaning.NOT_READY_OR_GONE,
    }
    assert (classify(call, code, message)[1] > 0) == repeated


def test_iam_is_given_two_minutes_to_spread_a_new_profile() -> None:
    assert classify(RUN, "InvalidParameterValue", "Invalid IAM Instance Profile name") == (Meaning.WAIT, 120.0)


def test_iam_is_given_two_minutes_to_spread_the_role_of_a_profile() -> None:
    message = 'IAM Instance Profile "arn:x" has no associated IAM Roles'
    assert classify(RUN, "InvalidParameterValue", message) == (Meaning.WAIT, 120.0)


def test_a_host_is_given_more_than_a_minute_to_learn_the_new_type() -> None:
    """Right after ModifyInstanceAttribute, StartInstances has been refused for up to a minute."""
    message = "Invalid value 'a' for instanceType. LaunchPlan instance type does not match attribute value b"
    meaning, seconds = classify("StartInstances", "InvalidParameterValue", message)
    assert (meaning, 60.0 < seconds <= 120.0) == (Meaning.WAIT, True)


HINTS = [
    (AUTHORIZE, "InvalidGroup.NotFound", OTHER_VPC, "in the VPC of the interface's subnet"),
    (RUN, "InvalidParameter", "Security group a and subnet b belong to different networks.", "in the VPC of"),
    (
        "AssignPrivateIpAddresses",
        "InvalidParameterValue",
        "[10.0.0.5] assigned, but move is not allowed.",
        "another interface has this private address",
    ),
    (RUN, "InvalidParameterValue", 'IAM Instance Profile "x" has no associated IAM Roles', "add a role"),
    (RUN, "InvalidParameterValue", "Invalid IAM Instance Profile name", "aws iam list-instance-profiles"),
    ("StartInstances", "InvalidParameterValue", "x. LaunchPlan instance type does not match y", "in a minute"),
    (MODIFY, "InvalidInstanceAttributeValue", "Modifying the instance type from a to b", "on_change: replace"),
    (
        "ReleaseAddress",
        "AuthFailure",
        "You do not have permission to access the specified resource.",
        "a NAT gateway, a load balancer or a Fargate task",
    ),
    (
        ASSOCIATE,
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        "Region is enabled",
    ),
    ("DescribeVpcs", "AuthFailure", "", "Region is enabled"),
    ("DescribeVpcs", "InvalidClientTokenId", "", "Region is enabled"),
    ("DescribeVpcs", "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2", "machine's clock"),
    ("DescribeVpcs", "SignatureDoesNotMatch", "The request signature we calculated", "secret access key"),
    ("ModifyAddressAttribute", "InvalidParameterValue", "", "A record"),
    (
        ALLOCATE,
        "InvalidParameterCombination",
        "The parameter PublicIpv4Pool cannot be used with the parameter Address",
        "either `address` or `public_ipv4_pool`",
    ),
]


@pytest.mark.parametrize(("call", "code", "message", "hint"), HINTS)
def test_an_error_says_what_to_do_next(call: str, code: str, message: str, hint: str) -> None:
    fault = Fault(call, code, message, *classify(call, code, message))
    assert hint in (fault.error().hint or "")


def test_an_address_is_given_ten_minutes_to_lose_its_name() -> None:
    """Others have seen it take minutes; a lock of AWS Support does not open by itself."""
    assert classify("ReleaseAddress", "InvalidAddress.PtrSet", "") == (Meaning.WAIT, 600.0)
    assert classify("ReleaseAddress", "InvalidAddress.Locked", "") == (Meaning.WAIT, 60.0)


def test_a_young_object_is_given_five_minutes_to_show_up() -> None:
    assert classify(ATTACH, "InvalidNetworkInterfaceID.NotFound", "") == (Meaning.WAIT, 300.0)


# ---- botocore's exceptions


def answered(code: str, status: int = 400, message: str = "words") -> ClientError:
    """An error as EC2 answers it."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {  # type: ignore[typeddict-item]
                "HTTPStatusCode": status,
                "RequestId": "req-1",
            },
        },
        "Call",
    )


URL = "https://ec2.us-east-1.amazonaws.com/"
EXCEPTIONS = [
    pytest.param(answered("AddressLimitExceeded"), "AddressLimitExceeded", Meaning.REFUSED, id="a known refusal"),
    pytest.param(answered("NeverSeen"), "NeverSeen", Meaning.REFUSED, id="an unknown code is a refusal"),
    pytest.param(
        answered("NeverSeen", 500), "NeverSeen", Meaning.OUTCOME_UNKNOWN, id="unless the server broke over it"
    ),
    pytest.param(answered("502", 502), "502", Meaning.OUTCOME_UNKNOWN, id="a proxy in between broke"),
    pytest.param(answered("503", 503), "503", Meaning.OUTCOME_UNKNOWN, id="the service is away"),
    pytest.param(
        answered("InsufficientInstanceCapacity", 500),
        "InsufficientInstanceCapacity",
        Meaning.REFUSED,
        id="lack of capacity comes as 500 and is decided all the same",
    ),
    pytest.param(
        answered("RequestLimitExceeded", 503),
        "RequestLimitExceeded",
        Meaning.THROTTLED,
        id="a throttle comes as 503",
    ),
    pytest.param(ClientError({}, "Call"), "Unknown", Meaning.REFUSED, id="an error without any details"),
    pytest.param(EndpointConnectionError(endpoint_url=URL), "NotSent", Meaning.RETRY, id="connection refused"),
    pytest.param(ConnectTimeoutError(endpoint_url=URL), "NotSent", Meaning.RETRY, id="no connection in time"),
    pytest.param(ReadTimeoutError(endpoint_url=URL), "NoAnswer", Meaning.OUTCOME_UNKNOWN, id="no answer in time"),
    pytest.param(
        ConnectionClosedError(endpoint_url=URL), "NoAnswer", Meaning.OUTCOME_UNKNOWN, id="the line went dead"
    ),
    pytest.param(
        HTTPClientError(error="odd"), "NoAnswer", Meaning.OUTCOME_UNKNOWN, id="something else on the line"
    ),
    pytest.param(NoCredentialsError(), "NoCredentials", Meaning.REFUSED, id="no credentials"),
    pytest.param(
        PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        "NoCredentials",
        Meaning.REFUSED,
        id="half of the credentials",
    ),
    pytest.param(
        ParamValidationError(report="odd"), "ParamValidationError", Meaning.REFUSED, id="botocore itself says no"
    ),
]


@pytest.mark.parametrize(("error", "code", "meaning"), EXCEPTIONS)
def test_an_exception_of_botocore_means_this(
    error: ClientError | BotoCoreError, code: str, meaning: Meaning
) -> None:
    fault = fault_from(ALLOCATE, error)
    assert (fault.code, fault.meaning) == (code, meaning)


def test_a_fault_keeps_what_support_asks_for() -> None:
    fault = fault_from(ALLOCATE, answered("AddressLimitExceeded"))
    assert (fault.call, fault.message, fault.request_id) == (ALLOCATE, "words", "req-1")


def test_a_fault_cannot_be_changed() -> None:
    """A decision about it makes a new one."""
    fault = fault_from(ALLOCATE, answered("AddressLimitExceeded"))
    for name in ("call", "code", "message", "meaning", "seconds", "request_id"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(fault, name, None)
    with pytest.raises(AttributeError):
        fault.comment = "new"


def test_a_fault_with_another_meaning_is_a_new_fault() -> None:
    fault = fault_from(ALLOCATE, answered("RequestLimitExceeded"))
    other = fault.meaning_as(Meaning.REPLAN)
    assert (fault.meaning, other.meaning) == (Meaning.THROTTLED, Meaning.REPLAN)
    assert (other.call, other.code, other.message, other.seconds, other.request_id, str(other)) == (
        fault.call,
        fault.code,
        fault.message,
        fault.seconds,
        fault.request_id,
        str(fault),
    )
    assert fault.meaning_as(Meaning.THROTTLED) is fault


def test_a_fault_travels_as_any_exception_does() -> None:
    """contextlib sets its traceback, and so may others."""

    @contextmanager
    def passing() -> Iterator[None]:
        yield

    fault = fault_from(ALLOCATE, answered("NeverSeen"))
    with pytest.raises(Fault) as raised, passing():
        raise fault
    assert raised.value is fault
    assert fault.with_traceback(None).__traceback__ is None


class Broken:
    """A session and a client whose every call ends in one exception."""

    profile = "default"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def client(self, service: str) -> Broken:
        return self

    def allocate_address(self) -> None:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ReadTimeoutError(endpoint_url=URL), "NoAnswer", id="an answer that does not come"),
        pytest.param(ResponseParserError("no XML"), "NoAnswer", id="an answer that is no answer of EC2"),
    ],
)
def test_an_empty_answer_is_a_lost_answer(error: Exception, code: str, loop: VirtualLoop) -> None:
    session: Any = Broken(error)
    channel = Channel(session)
    try:
        with pytest.raises(Fault) as raised:
            run(channel.attempt(ALLOCATE, {}), loop)
    finally:
        channel.close()
    assert (raised.value.code, raised.value.meaning) == (code, Meaning.OUTCOME_UNKNOWN)


@pytest.mark.parametrize("error", [TypeError("odd"), KeyError("odd"), OverflowError("odd"), RecursionError("odd")])
def test_an_exception_that_botocore_does_not_foresee_ends_the_call(error: Exception, loop: VirtualLoop) -> None:
    """It is not repeated, and EC2 may have executed the call."""
    session: Any = Broken(error)
    channel = Channel(session)
    try:
        with pytest.raises(Fault, match="odd") as raised:
            run(channel.attempt(ALLOCATE, {}), loop)
    finally:
        channel.close()
    assert (raised.value.code, raised.value.meaning) == (type(error).__name__, Meaning.OUTCOME_UNKNOWN)
    assert raised.value.seconds == 0


@pytest.mark.parametrize("error", [LostLockError("no"), PermissionError("no")], ids=["the lock", "read-only"])
def test_an_exception_of_ours_goes_through_a_call(error: Exception, loop: VirtualLoop) -> None:
    session: Any = Broken(error)
    channel = Channel(session)
    try:
        with pytest.raises(type(error)) as raised:
            run(channel.attempt(ALLOCATE, {}), loop)
    finally:
        channel.close()
    assert raised.value is error


def test_an_unreadable_answer_is_an_unknown_outcome_for_a_short_time() -> None:
    """A proxy that answers instead of AWS does not go away in minutes, and the user waits."""
    fault = fault_from(ALLOCATE, UnreadableAnswer("the root element is html"))
    assert (fault.code, fault.meaning, fault.seconds) == ("UnreadableAnswer", Meaning.OUTCOME_UNKNOWN, 20.0)
    assert fault.message == "not a valid AWS response: the root element is html"


# ---- what the user reads

HINTED = [
    ("AuthFailure", "credentials"),
    ("UnauthorizedOperation", "IAM policy"),
    ("InvalidClientTokenId", "credentials"),
    ("ExpiredToken", "sign in again, `aws sso login`"),
    ("ExpiredTokenException", "renew AWS_SESSION_TOKEN"),
    ("RequestExpired", "clock"),
    ("NoCredentials", "AWS_PROFILE"),
    ("NoAnswer", "AWS_ENDPOINT_URL"),
    ("NotSent", "AWS_ENDPOINT_URL"),
    ("UnreadableAnswer", "AWS_ENDPOINT_URL"),
    ("AddressLimitExceeded", "L-0263D0A3"),
    ("InsufficientInstanceCapacity", "another type or zone"),
    ("Gateway.NotAttached", "internet gateway"),
    ("InvalidGroup.Duplicate", "adopt: sg-…"),
    ("InvalidIPAddress.InUse", "private address"),
    ("InvalidIPAddress.InUse", "subnet CIDR reservation"),
    ("InsufficientCidrBlocks", "subnet CIDR reservation"),
    ("InsufficientFreeAddressesInSubnet", "another subnet"),
    ("InvalidAddress.NotFound", "leave `address` out"),
    ("InvalidAddress.PtrSet", "run again in a few minutes"),
    ("InvalidAddress.Locked", "AWS Support"),
    ("InvalidPublicIpv4PoolID.NotFound", "describe-public-ipv4-pools"),
]


@pytest.mark.parametrize(("code", "words"), HINTED)
def test_a_common_error_comes_with_a_hint(code: str, words: str) -> None:
    error = Fault(ALLOCATE, code, "no", Meaning.REFUSED, 0.0).error()
    assert words in (error.hint or "")


SIGN_IN = [
    (SSOTokenLoadError(error_msg="Token for corp does not exist"), "`aws sso login --profile ops`"),
    (UnauthorizedSSOTokenError(), "`aws sso login --profile ops`"),
    (TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"), "aws sso login"),
    (LoginRefreshRequired(), "`aws login`"),
    (answered("ExpiredToken"), "`aws sso login --profile ops`"),
]


@pytest.mark.parametrize(("error", "words"), SIGN_IN, ids=lambda each: type(each).__name__)
def test_a_session_that_has_ended_says_how_to_sign_in(error: Exception, words: str) -> None:
    """With the profile that the run uses, also after the retries have copied the fault."""
    fault = fault_from("GetCallerIdentity", error, profile="ops")
    assert words in (fault.error().hint or "")
    assert words in (fault.meaning_as(Meaning.RETRY).error().hint or "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://ec2.eu-west-1.amazonaws.com/", "check the network, the DNS and HTTPS_PROXY"),
        ("http://127.0.0.1:4566/", "nothing listens at http://127.0.0.1:4566: start it (`enireconcile sandbox`)"),
        ("http://ec2.corp.example:80/", "AWS_ENDPOINT_URL"),
    ],
)
def test_an_endpoint_that_does_not_answer_says_what_to_check(url: str, words: str) -> None:
    fault = fault_from("DescribeVpcs", EndpointConnectionError(endpoint_url=url))
    assert words in (fault.error().hint or "")


def test_a_name_that_leads_elsewhere_comes_with_a_hint() -> None:
    """AWS does not document its code, so every Invalid… code gets the hint; an error about permission does not."""
    for code, hinted in (
        ("InvalidParameterValue", True),
        ("InvalidWhatever", True),
        ("UnauthorizedOperation", False),
    ):
        error = Fault("ModifyAddressAttribute", code, "no", Meaning.REFUSED, 0.0).error()
        assert ("A record" in (error.hint or "")) is hinted
    assert Fault(ALLOCATE, "InvalidParameterValue", "no", Meaning.REFUSED, 0.0).error().hint is None


def test_an_error_names_the_call_the_resource_the_code_and_the_request() -> None:
    error = fault_from(ALLOCATE, answered("NeverSeen")).error("elastic_ips.web")
    assert str(error) == "AllocateAddress for elastic_ips.web: NeverSeen: words (request req-1)"
