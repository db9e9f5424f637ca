"""What an error of EC2 means for us: one table, from code (and message, where EC2 overloads a code) to Meaning.

EC2 models no errors, so the code is all there is; a few codes say different things in different messages. The
table is read from the top, the first row that fits wins, and an unknown code is a refusal: we never retry what
we do not understand. Codes and their meanings: EC2 API reference, "Error codes"; idempotency: EC2 developer
guide, "Ensuring idempotency".
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from enum import Enum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from enireconcile.errors import AwsError

log = logging.getLogger("enireconcile.aws")


class Meaning(Enum):
    """What to do about a fault."""

    THROTTLED = "not executed: slow this action down and call again"
    RETRY = "not executed: call again"
    OUTCOME_UNKNOWN = "perhaps executed: the answer is lost"
    WAIT = "not executed: the world needs a moment, call again"
    DONE = "what the call wanted is so already"
    ALREADY_EXISTS = (
        "so already, which is our own doing if an earlier attempt went unanswered; else the world has moved"
    )
    REPLAN = "the world is not what the plan saw"
    DENIED_OR_GONE = "denied, or gone: IAM matches tags, and what is gone has none; look"
    TOKEN_CONFLICT = "the ClientToken is used up: take a new one"  # noqa: S105 (no password)
    REFUSED = "no: the request, a quota or a permission"


class Fault(Exception):
    """One failed attempt of one call. ``seconds`` bounds how long waiting for it is worth while."""

    def __init__(
        self,
        call: str,
        code: str,
        message: str,
        meaning: Meaning,
        seconds: float,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{call}: {code}: {message}")
        self.call, self.code, self.message, self.meaning = call, code, message, meaning
        self.seconds, self.request_id = seconds, request_id

    def error(self, address: str | None = None) -> AwsError:
        """The fault as the user sees it."""
        return AwsError(
            self.call,
            self.code,
            self.message,
            request_id=self.request_id,
            address=address,
            hint=_hint(self.call, self.code),
        )


PROPAGATION = 300.0
TRANSIENT = 300.0


@dataclass(frozen=True)
class _Row:
    """``codes`` and ``message`` are regular expressions, ``calls`` too; all that are given must match."""

    codes: str
    meaning: Meaning
    calls: str = ".*"
    message: str = ""
    seconds: float = 0.0


_NOT_FOUND = (
    r"Invalid(InstanceID|NetworkInterfaceID|NetworkInterface|Group|SecurityGroupI[Dd]|AllocationID|AddressID"
    r"|Address|AttachmentID|AssociationID|Association)\.NotFound"
)

TABLE = (
    _Row(
        r"RequestLimitExceeded|EC2ThrottledException|Throttling(Exception)?|RequestThrottled(Exception)?"
        r"|TooManyRequestsException|ConcurrentMutationLimitExceeded",
        Meaning.THROTTLED,
        seconds=TRANSIENT,
    ),
    _Row(r"ConcurrentTagAccess", Meaning.RETRY, seconds=TRANSIENT),
    _Row(r"(RequestExpired|InvalidSecurity\.RequestHasExpired)", Meaning.RETRY, seconds=20.0),
    # Capacity comes as HTTP 500 but was decided, not interrupted: repeating it blindly helps nobody.
    _Row(r"Insufficient(Instance|Host|Address)?Capacity", Meaning.REFUSED),
    _Row(
        r"Unavailable|ServiceUnavailable|InternalError|InternalFailure|ServerInternal",
        Meaning.OUTCOME_UNKNOWN,
        seconds=TRANSIENT,
    ),
    # The call names no interface: it is the token that stands for one which has gone since.
    _Row(r"InvalidNetworkInterfaceID\.NotFound", Meaning.TOKEN_CONFLICT, calls=r"CreateNetworkInterface"),
    # Not a young address, but one that the call asked for by its number.
    _Row(r"InvalidAddress\.NotFound", Meaning.REFUSED, calls=r"AllocateAddress"),
    # A policy that goes by tags: what is gone has none.
    _Row(
        r"UnauthorizedOperation", Meaning.DENIED_OR_GONE, calls=r"(Delete(?!Tags)|Detach|Disassociate|Release).*"
    ),
    # What is gone needs no taking away.
    _Row(_NOT_FOUND, Meaning.DONE, calls=r"(Delete(?!Tags)|Detach|Disassociate|Release|Reset|Terminate).*"),
    _Row(_NOT_FOUND, Meaning.WAIT, seconds=PROPAGATION),
    _Row(
        r"IncorrectState|IncorrectInstanceState|InvalidState|InvalidInstanceState",
        Meaning.WAIT,
        seconds=600.0,
    ),
    _Row(r"InvalidInstanceID", Meaning.WAIT, message=r"pending instance|not in a valid state", seconds=600.0),
    # Reverse DNS holds an address for minutes after it is gone; Support may hold one for good.
    _Row(r"InvalidAddress\.PtrSet", Meaning.WAIT, calls=r"ReleaseAddress", seconds=600.0),
    _Row(r"InvalidAddress\.Locked", Meaning.WAIT, calls=r"ReleaseAddress", seconds=60.0),
    # Interfaces of an instance that has gone linger for minutes; who else uses a group is known to the plan.
    _Row(r"DependencyViolation|InvalidGroup\.InUse", Meaning.WAIT, calls=r"Delete.*", seconds=300.0),
    _Row(
        r"InvalidParameterValue|InvalidNetworkInterface\.InUse",
        Meaning.WAIT,
        calls=r"DeleteNetworkInterface",
        message=r"in use",
        seconds=600.0,
    ),
    _Row(r"InvalidParameterValue", Meaning.WAIT, message=r"Invalid IAM Instance Profile", seconds=120.0),
    _Row(
        r"InvalidParameterValue|InvalidNetworkInterface\.InUse",
        Meaning.ALREADY_EXISTS,
        calls=r"AttachNetworkInterface",
        message=r"already has an interface attached|in use|already attached",
    ),
    # A terminated instance may hold on to its interfaces for a moment.
    _Row(
        r"InvalidParameterValue|InvalidNetworkInterface\.InUse",
        Meaning.WAIT,
        calls=r"RunInstances",
        message=r"in use|already attached",
        seconds=60.0,
    ),
    _Row(r"InvalidNetworkInterface\.InUse", Meaning.REPLAN),
    _Row(r"InvalidParameterValue", Meaning.DONE, calls=r"Unassign.*", message=r"not assigned"),
    _Row(r"InvalidPermission\.Duplicate|InvalidGroup\.Duplicate", Meaning.ALREADY_EXISTS),
    _Row(r"InvalidPermission\.NotFound|InvalidSecurityGroupRuleId\.NotFound", Meaning.ALREADY_EXISTS),
    _Row(r"Resource\.AlreadyAssociated|Resource\.AlreadyAssigned|InvalidIPAddress\.InUse", Meaning.REPLAN),
    _Row(r"IdempotentParameterMismatch|IdempotentInstanceTerminated", Meaning.TOKEN_CONFLICT),
)
"""Rows of (code, call, message) to Meaning. Waits are bounded in seconds, by what others found them to take."""


_HINTS = {
    "AuthFailure": "check the credentials; for an address it can also mean that it is no longer yours",
    "UnauthorizedOperation": "the IAM policy of these credentials does not allow this call",
    "InvalidClientTokenId": "check the credentials",
    "ExpiredToken": "the session has expired: sign in again",
    "RequestExpired": "check this machine's clock, or sign in again",
    "NoCredentials": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run on a role",
    "NoAnswer": "check the network and AWS_ENDPOINT_URL",
    "NotSent": "check the network and AWS_ENDPOINT_URL",
    "AddressLimitExceeded": "release addresses, or ask for a higher quota (L-0263D0A3, Elastic IPs per Region)",
    "InsufficientInstanceCapacity": "EC2 has no room for this instance type in this zone now; run again later, or "
    "choose another type or zone",
    "Gateway.NotAttached": "an Elastic IP needs an internet gateway on the VPC",
    "InvalidGroup.Duplicate": "a group of this name that is not ours stands in the VPC: rename or remove it",
    "InvalidAddress.NotFound": "EC2 gives an address back only for a while after its release, and to nobody else "
    "meanwhile; leave `address` out for any other",
    "InvalidAddress.PtrSet": "it still has reverse DNS; run again in some minutes",
    "InvalidAddress.Locked": "it has reverse DNS, or AWS Support has locked it; ask them",
    "InvalidPublicIpv4PoolID.NotFound": "see `aws ec2 describe-public-ipv4-pools`",
    "InvalidIPAddress.InUse": "another interface holds this private address, or one of this prefix; a subnet CIDR "
    "reservation keeps room for prefixes",
    "InsufficientCidrBlocks": "the subnet has no whole block left; a subnet CIDR reservation keeps prefixes free",
    "InsufficientFreeAddressesInSubnet": "the subnet is full: delete interfaces, or choose another subnet",
    "DependencyViolation": "a rule of another group names it, or an interface is in it: a new plan says which, "
    "unless it is of another account",
}


_NO_FORWARD_DNS = (
    "reverse_dns needs an A record first that leads from the name to the address; once there is one, run again"
)


def _hint(call: str, code: str) -> str | None:
    # Which code EC2 has for a name that leads elsewhere is not written anywhere.
    if call == "ModifyAddressAttribute" and code.startswith("Invalid"):
        return _NO_FORWARD_DNS
    return _HINTS.get(code)


def classify(call: str, code: str, message: str) -> tuple[Meaning, float]:
    """The meaning of an error code of ``call``, and how many seconds it is worth waiting for it to go."""
    for row in TABLE:
        if (
            re.fullmatch(row.codes, code)
            and re.fullmatch(row.calls, call)
            and re.search(row.message, message, re.IGNORECASE)
        ):
            return row.meaning, row.seconds
    return Meaning.REFUSED, 0.0


def fault_from(call: str, error: ClientError | BotoCoreError | ResponseParserError) -> Fault:
    """A botocore exception as a Fault. What was never sent is a RETRY; what got no answer is UNSURE."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        # An empty element of the answer arrives as None.
        code, message = details.get("Code") or "Unknown", details.get("Message") or ""
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode", 400))
        meaning, seconds = classify(call, code, message)
        if meaning is Meaning.REFUSED and status >= 500 and not code.startswith("Insufficient"):
            meaning, seconds = Meaning.OUTCOME_UNKNOWN, TRANSIENT
        return Fault(call, code, message, meaning, seconds, meta.get("RequestId"))
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Fault(call, "NoCredentials", str(error), Meaning.REFUSED, 0.0)
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        return Fault(call, "NotSent", str(error), Meaning.RETRY, 10.0)
    if isinstance(error, (HTTPClientError, ResponseParserError)):
        return Fault(call, "NoAnswer", str(error), Meaning.OUTCOME_UNKNOWN, TRANSIENT)
    return Fault(call, type(error).__name__, str(error), Meaning.REFUSED, 0.0)


def log_call(call: str, seconds: float, request_id: str | None, fault: Fault | None = None) -> None:
    """What --verbose shows of a request that has come to its end."""
    words = f"{call} took {seconds:.3f} s" if fault is None else f"{call} failed: {fault.code}: {fault.message}"
    fields = {"call": call, "seconds": round(seconds, 3), "request_id": request_id}
    if fault is not None:
        fields |= {"code": fault.code, "meaning": fault.meaning.name.lower()}
    log.info("%s (request %s)", words, request_id or "unknown", extra={"fields": fields})
