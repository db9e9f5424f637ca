"""What an EC2 error means for the call that got it: one table, from code (and message) to Meaning.

EC2's API model has no errors, so the code is all there is, and EC2 uses some codes for different things. The first
row that fits wins. An unknown code is a refusal: we never retry what we do not understand. Sources: EC2 API
reference, "Error codes"; EC2 developer guide, "Ensuring idempotency".
"""

from __future__ import annotations

import logging
import re
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
from msgspec import Struct

from enireconcile.aws import denial
from enireconcile.aws.answers import UnreadableAnswer
from enireconcile.errors import DENIED, AwsError
from enireconcile.printable import printable
from enireconcile.regions import REGION

log = logging.getLogger("enireconcile.aws")


class Meaning(Enum):
    """What a fault says about the call, and what to do next."""

    THROTTLED = "not executed, throttled: slow this action down and call again"
    RETRY = "not executed: call again"
    OUTCOME_UNKNOWN = "no answer: EC2 may have executed the call"
    WAIT = "not executed: a resource is not ready yet, call again later"
    DONE = "nothing to do: the resource is already as the call would make it"
    ALREADY_EXISTS = "already exists: made by an earlier attempt that got no answer, or by another tool"
    REPLAN = "the live state differs from what the plan was made for: make a new plan"
    NOT_READY_OR_GONE = "not executed: the resource is not ready yet, or has ended: describe it"
    DENIED_OR_GONE = "denied, or the resource is gone: a tag-based policy denies both, so describe the resource"
    TOKEN_CONFLICT = "the ClientToken was used before: call again with a new one"  # noqa: S105 (no password)
    REFUSED = "refused: the request, a quota or a permission"


class Fault(Exception):
    """One failed attempt of one call. Immutable: ``meaning_as`` makes a fault with another meaning.

    ``seconds`` is how long to repeat the call before giving up; 0 where its meaning does not repeat it.
    ``encoded`` is the encoded message of a denial, which no text contains. ``file`` is the spec file of the run,
    ``profile`` its AWS profile.
    """

    call: str
    code: str
    message: str
    meaning: Meaning
    seconds: float
    request_id: str | None
    encoded: str | None
    file: str | None
    profile: str | None

    def __init__(
        self,
        call: str,
        code: str,
        message: str,
        meaning: Meaning,
        seconds: float,
        request_id: str | None = None,
        *,
        encoded: str | None = None,
        file: str | None = None,
        profile: str | None = None,
    ) -> None:
        message, found = denial.without_encoded(message)
        super().__init__(f"{call}: {code}: {message}")
        self.__dict__.update(
            call=call,
            code=code,
            message=message,
            meaning=meaning,
            seconds=seconds,
            request_id=request_id,
            encoded=encoded or found,
            file=file,
            profile=profile,
        )

    def __setattr__(self, name: str, value: object) -> None:
        # Python sets __traceback__ and __context__ while an exception travels.
        if not name.startswith("__"):
            raise AttributeError(f"a Fault is immutable: cannot set {name}")
        super().__setattr__(name, value)

    def meaning_as(self, meaning: Meaning) -> Fault:
        """This fault if it has that meaning, else a copy with it."""
        if meaning is self.meaning:
            return self
        return Fault(
            self.call,
            self.code,
            self.message,
            meaning,
            self.seconds,
            self.request_id,
            encoded=self.encoded,
            file=self.file,
            profile=self.profile,
        )

    def error(self, address: str | None = None) -> AwsError:
        """The error that the user sees; ``address`` is the resource that the call was for."""
        denied = self.code in DENIED
        return AwsError(
            self.call,
            self.code,
            denial.in_words(self.message) if denied else self.message,
            request_id=self.request_id,
            address=address,
            hint=self._hint(denied),
        )

    def _hint(self, denied: bool) -> str | None:
        if self.code in _SIGN_IN:
            return _SIGN_IN[self.code].format(login=_login(self.profile))
        if self.code == "NotSent":
            return _endpoint_hint(self.message)
        hint = _hint(self.call, self.code, self.message)
        return hint or (denial.hint(self.message, self.file) if denied else None)


PROPAGATION = 300.0
"""Seconds after which EC2 must know a new resource in every call."""
TRANSIENT = 300.0
"""Seconds for which throttling and server errors are retried."""
NOT_SENT = 10.0
"""Seconds for which a call is repeated that did not reach the endpoint."""
_UNREADABLE = 20.0
"""Seconds for which a call is repeated when something other than AWS answers: a proxy does not go away soon."""


class _Row(Struct, frozen=True):
    """``codes``, ``calls`` and ``message`` are regular expressions; all must match. ``seconds`` as in Fault.

    ``hint`` says what to do, where the code alone does not tell.
    """

    codes: str
    meaning: Meaning
    calls: str = ".*"
    message: str = ""
    seconds: float = 0.0
    hint: str | None = None

    def matches(self, call: str, code: str, message: str) -> bool:
        return bool(
            re.fullmatch(self.codes, code)
            and re.fullmatch(self.calls, call)
            and re.search(self.message, message, re.IGNORECASE)
        )


_NOT_FOUND = (
    r"Invalid(InstanceID|NetworkInterfaceID|NetworkInterface|Group|SecurityGroupI[Dd]|AllocationID|AddressID"
    r"|Address|AttachmentID|AssociationID|Association)\.NotFound"
)

_ADDRESS_IN_USE = (
    "another interface has this private address, or an address in this prefix; a subnet CIDR reservation keeps "
    "room for prefixes"
)
_CLOCK = "check this machine's clock"

TABLE = (
    _Row(
        r"RequestLimitExceeded|EC2ThrottledException|Throttling(Exception)?|RequestThrottled(Exception)?"
        r"|TooManyRequestsException|ConcurrentMutationLimitExceeded",
        Meaning.THROTTLED,
        seconds=TRANSIENT,
    ),
    _Row(r"ConcurrentTagAccess", Meaning.RETRY, seconds=TRANSIENT),
    _Row(r"(RequestExpired|InvalidSecurity\.RequestHasExpired)", Meaning.RETRY, seconds=20.0),
    # EC2 answers HTTP 500 when it lacks capacity, but it has decided: a repeat gets the same answer.
    _Row(r"Insufficient(Instance|Host|Address)?Capacity", Meaning.REFUSED),
    _Row(
        r"Unavailable|ServiceUnavailable|InternalError|InternalFailure|ServerInternal|RequestTimeout",
        Meaning.OUTCOME_UNKNOWN,
        seconds=TRANSIENT,
    ),
    # The call names no interface: its ClientToken belongs to one that was deleted.
    _Row(r"InvalidNetworkInterfaceID\.NotFound", Meaning.TOKEN_CONFLICT, calls=r"CreateNetworkInterface"),
    # A group of another VPC. EC2 uses the code of a group that it does not know.
    _Row(
        r"InvalidGroup\.NotFound|InvalidParameter",
        Meaning.REFUSED,
        message=r"belong to different networks",
        hint="a security group must be in the VPC of the interface's subnet, and a rule can name only groups of "
        "its own VPC or of a peered one; a group of the spec without `vpc` is in the default VPC",
    ),
    # The address that the call asks for; a new address cannot be meant.
    _Row(r"InvalidAddress\.NotFound", Meaning.REFUSED, calls=r"AllocateAddress"),
    # A tag-based policy denies calls on a deleted resource, since that has no tags.
    _Row(
        r"UnauthorizedOperation", Meaning.DENIED_OR_GONE, calls=r"(Delete(?!Tags)|Detach|Disassociate|Release).*"
    ),
    # Other tools have changed the route table since it was read.
    _Row(
        r"RouteAlreadyExists|InvalidRouteTableID\.NotFound|InvalidRouteTableId\.NotFound",
        Meaning.REPLAN,
        calls=r"(Create|Replace|Delete)Route",
    ),
    _Row(
        r"InvalidParameterValue",
        Meaning.REPLAN,
        calls=r"ReplaceRoute",
        message=r"no route defined|Use CreateRoute instead",
    ),
    _Row(r"InvalidRoute\.NotFound", Meaning.DONE, calls=r"DeleteRoute"),
    # Deleted, detached or released already.
    _Row(_NOT_FOUND, Meaning.DONE, calls=r"(Delete(?!Tags)|Detach|Disassociate|Release|Reset|Terminate).*"),
    _Row(_NOT_FOUND, Meaning.WAIT, seconds=PROPAGATION),
    # The instance is between two states, or terminated.
    _Row(
        r"IncorrectInstanceState|InvalidInstanceState",
        Meaning.NOT_READY_OR_GONE,
        calls=r"(Start|Stop)Instances|(Associate|Replace)IamInstanceProfile(Association)?",
        seconds=600.0,
    ),
    # The instance has got a profile since it was read.
    _Row(
        r"IncorrectState",
        Meaning.ALREADY_EXISTS,
        calls=r"AssociateIamInstanceProfile",
        message=r"existing association",
    ),
    _Row(
        r"IncorrectState|IncorrectInstanceState|InvalidState|InvalidInstanceState",
        Meaning.WAIT,
        seconds=600.0,
    ),
    _Row(r"InvalidInstanceID", Meaning.WAIT, message=r"pending instance|not in a valid state", seconds=600.0),
    # EC2 removes reverse DNS within minutes; a lock by AWS Support does not end by itself.
    _Row(r"InvalidAddress\.PtrSet", Meaning.WAIT, calls=r"ReleaseAddress", seconds=600.0),
    _Row(r"InvalidAddress\.Locked", Meaning.WAIT, calls=r"ReleaseAddress", seconds=60.0),
    # Interfaces of a terminated instance use its groups for some minutes; the plan knows all other users.
    _Row(r"DependencyViolation|InvalidGroup\.InUse", Meaning.WAIT, calls=r"Delete.*", seconds=300.0),
    _Row(
        r"InvalidParameterValue|InvalidNetworkInterface\.InUse",
        Meaning.WAIT,
        calls=r"DeleteNetworkInterface",
        message=r"in use",
        seconds=600.0,
    ),
    # IAM tells EC2 of a new profile, and then of its role, with some delay.
    _Row(
        r"InvalidParameterValue",
        Meaning.WAIT,
        message=r"Invalid IAM Instance Profile",
        seconds=120.0,
        hint="create the instance profile, or correct iam_instance_profile: `aws iam list-instance-profiles`",
    ),
    _Row(
        r"InvalidParameterValue",
        Meaning.WAIT,
        message=r"has no associated IAM Roles",
        seconds=120.0,
        hint="add a role to the instance profile: `aws iam add-role-to-instance-profile`",
    ),
    # The host does not know the new type yet; that has taken up to a minute.
    _Row(
        r"InvalidParameterValue",
        Meaning.WAIT,
        calls=r"StartInstances",
        message=r"LaunchPlan instance type does not match",
        seconds=90.0,
        hint="EC2 has not applied the new instance type to the host yet; run again in a minute",
    ),
    _Row(
        r"InvalidParameterValue|InvalidNetworkInterface\.InUse",
        Meaning.ALREADY_EXISTS,
        calls=r"AttachNetworkInterface",
        message=r"already has an interface attached|in use|already attached",
    ),
    # A terminated instance keeps its interfaces for a moment.
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
    _Row(
        r"InvalidParameterValue",
        Meaning.REPLAN,
        calls=r"Assign.*",
        message=r"assigned, but move is not allowed",
        hint=_ADDRESS_IN_USE,
    ),
    _Row(r"Resource\.AlreadyAssociated|Resource\.AlreadyAssigned|InvalidIPAddress\.InUse", Meaning.REPLAN),
    _Row(r"IdempotentParameterMismatch|IdempotentInstanceTerminated", Meaning.TOKEN_CONFLICT),
    # AWS does not document the code for a name that does not resolve to the address.
    _Row(
        r"Invalid.*",
        Meaning.REFUSED,
        calls=r"ModifyAddressAttribute",
        hint="reverse_dns needs an A record that resolves the name to this address; create it, then run again",
    ),
    _Row(
        r"InvalidInstanceAttributeValue",
        Meaning.REFUSED,
        calls=r"ModifyInstanceAttribute",
        message=r"instance type",
        hint="EC2 cannot change this instance to that type; choose another, or launch a new instance with "
        "on_change: replace",
    ),
    _Row(
        r"OperationNotPermitted",
        Meaning.REFUSED,
        calls=r"TerminateInstances",
        message=r"disableApiTermination",
        hint="to terminate it, set termination_protection: false and apply that first",
    ),
    _Row(
        r"AuthFailure",
        Meaning.REFUSED,
        calls=r"(Associate|Disassociate|Release)Address",
        message=r"permission to access the specified resource",
        hint="your account no longer has this Elastic IP, or an AWS service holds it: a NAT gateway, a load "
        "balancer or a Fargate task",
    ),
    _Row(r"SignatureDoesNotMatch", Meaning.REFUSED, message=r"Signature expired|not yet current", hint=_CLOCK),
    _Row(
        r"InvalidParameterCombination",
        Meaning.REFUSED,
        calls=r"AllocateAddress",
        message=r"PublicIpv4Pool",
        hint="write either `address` or `public_ipv4_pool`",
    ),
)
"""Rows of (code, call, message) to Meaning. ``seconds`` are from measurements and reports of other tools."""


def _login(profile: str | None) -> str:
    return f"`aws sso login --profile {profile}`" if profile and profile != "default" else "`aws sso login`"


_EXPIRED = "the credentials have expired: renew AWS_SESSION_TOKEN and its keys, or sign in again, {login}"
_SESSION = "the session of the profile has ended, or there is none yet: sign in with {login}"
_SIGN_IN = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "SSOTokenLoadError": _SESSION,
    "UnauthorizedSSOTokenError": _SESSION,
    "TokenRetrievalError": _SESSION,
    "NoAuthTokenError": _SESSION,
    "LoginRefreshRequired": "the session has ended: sign in with `aws login`",
    "LoginTokenLoadError": "there is no session yet: sign in with `aws login`",
}
"""Hints for credentials that a person can renew, by the code of AWS or the name of botocore's error."""
_NETWORK = "check the network and AWS_ENDPOINT_URL"


def _endpoint_hint(message: str) -> str:
    """What to do about an endpoint that refuses, is slow or does not exist."""
    if re.search(rf"\.{REGION}\.(amazonaws\.com|api\.aws)", message):
        return "check the network, the DNS and HTTPS_PROXY"
    if found := re.search(r"https?://(localhost|127\.[0-9.]+)(:[0-9]+)?", message):
        return f"nothing listens at {found[0]}: start it (`enireconcile sandbox`), or unset AWS_ENDPOINT_URL"
    return _NETWORK


_CREDENTIALS = "check the credentials, this machine's clock, and that the Region is enabled in this account"
_HINTS = {
    "AuthFailure": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "RequestExpired": f"{_CLOCK}, or sign in again",
    "SignatureDoesNotMatch": "check the secret access key",
    "NoCredentials": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use an instance "
    "profile; to try without an account, run it in `enireconcile sandbox`",
    "NoAnswer": _NETWORK,
    "UnreadableAnswer": "another endpoint or a proxy may have answered instead of AWS: check the network, "
    "AWS_ENDPOINT_URL and HTTPS_PROXY",
    "AddressLimitExceeded": "release addresses, or request a higher quota (L-0263D0A3, Elastic IPs per Region)",
    "InsufficientInstanceCapacity": "EC2 has no capacity for this instance type in this Availability Zone now; "
    "run again later, or choose another type or zone",
    "Gateway.NotAttached": "an Elastic IP needs an internet gateway attached to the VPC",
    "InvalidGroup.Duplicate": "the VPC has a group of this name that this stack does not own: `adopt: sg-…` in "
    "the row manages that one, or write another group_name",
    "InvalidAddress.NotFound": "EC2 can restore a released address only for a limited time, and only if no other "
    "account has it; leave `address` out to get any address",
    "InvalidAddress.PtrSet": "the address still has reverse DNS; run again in a few minutes",
    "InvalidAddress.Locked": "the address has reverse DNS, or AWS Support has locked it: contact AWS Support",
    "InvalidPublicIpv4PoolID.NotFound": "`aws ec2 describe-public-ipv4-pools` lists the pools",
    "InvalidIPAddress.InUse": _ADDRESS_IN_USE,
    "InsufficientCidrBlocks": "the subnet has no free block for a prefix; a subnet CIDR reservation keeps blocks "
    "free",
    "InsufficientFreeAddressesInSubnet": "the subnet is full: delete interfaces, or choose another subnet",
    "DependencyViolation": "a rule of another group refers to this group, or an interface uses it: a new plan "
    "names it, unless it is in another account",
}


def _row_for(call: str, code: str, message: str) -> _Row | None:
    return next((row for row in TABLE if row.matches(call, code, message)), None)


def _hint(call: str, code: str, message: str) -> str | None:
    row = _row_for(call, code, message)
    return row.hint if row is not None and row.hint else _HINTS.get(code)


def classify(call: str, code: str, message: str) -> tuple[Meaning, float]:
    """The meaning of an error code of ``call``, and for how many seconds to repeat the call."""
    row = _row_for(call, code, message)
    return (row.meaning, row.seconds) if row is not None else (Meaning.REFUSED, 0.0)


def fault_from(call: str, error: Exception, file: str | None = None, profile: str | None = None) -> Fault:
    """An exception of botocore as a Fault: RETRY if nothing was sent, OUTCOME_UNKNOWN if no valid response came.

    ``file`` is the spec file that the call is for, ``profile`` the AWS profile.
    """
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        # An empty element of the answer arrives as None.
        code, message = details.get("Code") or "Unknown", details.get("Message") or ""
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode", 400))
        meaning, seconds = classify(call, code, message)
        code, message = printable(code), printable(message)
        # 501: the endpoint does not know the call, and a repeat gets the same answer.
        if meaning is Meaning.REFUSED and status >= 500 and status != 501 and not code.startswith("Insufficient"):
            meaning, seconds = Meaning.OUTCOME_UNKNOWN, TRANSIENT
        return Fault(call, code, message, meaning, seconds, meta.get("RequestId"), file=file, profile=profile)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Fault(call, "NoCredentials", printable(str(error)), Meaning.REFUSED, 0.0)
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        return Fault(call, "NotSent", printable(str(error)), Meaning.RETRY, NOT_SENT)
    if isinstance(error, UnreadableAnswer):
        return unreadable(call, str(error))
    if isinstance(error, (HTTPClientError, ResponseParserError)):
        return Fault(call, "NoAnswer", printable(str(error)), Meaning.OUTCOME_UNKNOWN, TRANSIENT)
    if isinstance(error, BotoCoreError):
        return Fault(call, type(error).__name__, printable(str(error)), Meaning.REFUSED, 0.0, profile=profile)
    # An exception that botocore does not foresee does not tell whether the request was sent.
    return Fault(call, type(error).__name__, printable(str(error)), Meaning.OUTCOME_UNKNOWN, 0.0)


def unreadable(call: str, why: str) -> Fault:
    """What came back is not a valid AWS response; ``why`` says how that shows. AWS may have executed the call."""
    message = f"not a valid AWS response: {printable(why)}"
    return Fault(call, "UnreadableAnswer", message, Meaning.OUTCOME_UNKNOWN, _UNREADABLE)


def log_call(call: str, seconds: float, request_id: str | None, fault: Fault | None = None) -> None:
    """Log a finished request, as --verbose shows it. ``seconds`` is how long it took."""
    words = f"{call} took {seconds:.3f} s" if fault is None else f"{call} failed: {fault.code}: {fault.message}"
    fields = {"call": call, "seconds": round(seconds, 3), "request_id": request_id}
    if fault is not None:
        fields |= {"code": fault.code, "meaning": fault.meaning.name.lower()}
    log.info("%s (request %s)", words, request_id or "unknown", extra={"fields": fields})
