"""Errors that pass are waited out, at every call where EC2 gives them; errors that stay are taken at their word.

A run that meets an error that passes converges, with everything there once. A run that meets one that stays calls
once, skips what depends on the call, says so, and converges as soon as the error is gone.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from enireconcile.aws.faults import Meaning, fault_from
from enireconcile.errors import AwsError
from enireconcile.model import Report, Status
from tests.ec2 import Call, EC2Error, Fail, Fault
from tests.ec2.faults import STATUS
from tests.harness import SLOW, Harness, open_harness

from .conftest import Proofs
from .test_lost_answers import (
    ALL_AT_ONCE,
    BUILDS,
    REPAIRS,
    RICH,
    Scene,
    assert_settled,
    at,
    ever_launched,
    key_of,
    strangers_in,
)

TIMES = (1, 3)
STORY, RICH_BUILD = BUILDS["the story"], BUILDS["the rich one"]


@dataclass
class Passing(Fault):
    """Every distinct call of ``action`` (of any that changes something, if None) fails ``times`` times.

    ``message`` may name parameters of the call: ``The instance ID '{InstanceIds[0]}' does not exist``.
    """

    action: str | None
    code: str
    message: str
    times: int
    status: int | None = None
    met: Counter[str] = field(default_factory=Counter, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def before(self, call: Call) -> None:
        if not (call.mutates if self.action is None else call.action == self.action):
            return
        key = key_of(call)
        with self._lock:
            if self.met[key] == self.times:
                return
            self.met[key] += 1
        raise EC2Error(self.code, self.message.format_map(call.params), self.status or STATUS.get(self.code, 400))


def _converges(harness: Harness, scene: Scene, fault: Passing) -> Report:
    strangers, launched = strangers_in(harness), ever_launched(harness)
    harness.strict.faults.add(fault)
    report = harness.apply(scene.text)
    assert (report.outcome, report.error) == ("converged", None)
    # The fault has met every call that the scene makes, as often as it should.
    assert len(fault.met) == sum(scene.calls.values() if fault.action is None else [scene.calls[fault.action]])
    assert set(fault.met.values()) == {fault.times}
    assert_settled(harness, scene.text, strangers)
    assert ever_launched(harness) == launched + scene.calls.get("RunInstances", 0)
    return report


# ---- errors that any call may meet

ANYWHERE = {
    "RequestLimitExceeded": 503,
    "EC2ThrottledException": 503,
    "Throttling": 400,
    "ThrottlingException": 400,
    "ConcurrentMutationLimitExceeded": 400,
    "RequestExpired": 400,
    "InvalidSecurity.RequestHasExpired": 400,
    "InternalError": 500,
    "InternalFailure": 500,
    "ServerInternal": 500,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
}
BROAD = [("the story", STORY), ("the rich one", RICH_BUILD), ("everything changed", ALL_AT_ONCE)]


@pytest.mark.parametrize(("code", "status"), ANYWHERE.items())
def test_every_call_meets_an_error_that_passes(code: str, status: int, tmp_path: Path, proofs: Proofs) -> None:
    """Every mutating call of a run gets the error three times before it works: in building and in correcting."""
    for number, (name, scene) in enumerate(BROAD):
        random.seed(number)
        with at(scene, tmp_path / name) as harness:
            _converges(harness, scene, Passing(None, code, "Not now.", 3, status))
        proofs.count("errors that pass", 3 * sum(scene.calls.values()))


READS = [
    "DescribeSecurityGroups",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeAddresses",
    "DescribeSubnets",
    "DescribeVpcs",
    "GetParameter",
    "GetCallerIdentity",
]


@pytest.mark.parametrize("code", [code for code in ANYWHERE if code != "ConcurrentMutationLimitExceeded"])
def test_every_read_meets_an_error_that_passes(code: str, tmp_path: Path, proofs: Proofs) -> None:
    """Every kind of read of a run gets the error three times before it works."""
    with at(STORY, tmp_path) as harness:
        faults = [Fail(read, times=3, code=code, status=ANYWHERE[code]) for read in READS]
        harness.strict.faults.add(*faults)
        assert harness.apply().outcome == "converged"
        assert min(fault.met for fault in faults) > 3
        assert_settled(harness, None)
    proofs.count("errors that pass", 3 * len(READS))


# ---- errors of certain calls

NO_INTERFACE = "The networkInterface ID '{NetworkInterfaceId}' does not exist"
NO_ADDRESS = "The allocation ID '{AllocationId}' does not exist"
NO_GROUP = "The security group '{GroupId}' does not exist"
NO_INSTANCE = "The instance ID '{InstanceIds[0]}' does not exist"
LAUNCHED_WITH = "The networkInterface ID '{NetworkInterfaces[0][NetworkInterfaceId]}' does not exist"
NO_PROFILE = "Value (web) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
NOT_NOW = "The pending-instance-creation instance to which it is attached is not in a valid state"
BUILD, CHANGED, EVERYTHING = "the rich one", "eth1 on another index", "everything changed"
PLACES: Mapping[str, Scene] = {**BUILDS, **REPAIRS, EVERYTHING: ALL_AT_ONCE}

PASSING = [
    # The young, which one back end knows and another does not yet.
    (
        "the story",
        "CreateNetworkInterface",
        "InvalidGroup.NotFound",
        "The security group '{Groups[0]}' does not exist",
    ),
    ("the story", "CreateNetworkInterface", "InvalidSecurityGroupID.NotFound", ""),
    ("the story", "CreateNetworkInterface", "InvalidSecurityGroupId.NotFound", ""),
    (BUILD, "ModifyNetworkInterfaceAttribute", "InvalidNetworkInterfaceID.NotFound", NO_INTERFACE),
    (BUILD, "AssociateAddress", "InvalidNetworkInterfaceID.NotFound", NO_INTERFACE),
    (BUILD, "AssociateAddress", "InvalidNetworkInterface.NotFound", NO_INTERFACE),
    (BUILD, "AssociateAddress", "InvalidAllocationID.NotFound", NO_ADDRESS),
    (BUILD, "AssociateAddress", "InvalidAddress.NotFound", ""),
    (BUILD, "AssociateAddress", "InvalidAddressID.NotFound", NO_ADDRESS),
    (BUILD, "AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound", NO_GROUP),
    (BUILD, "AuthorizeSecurityGroupEgress", "InvalidGroup.NotFound", NO_GROUP),
    (BUILD, "RevokeSecurityGroupEgress", "InvalidGroup.NotFound", NO_GROUP),
    (BUILD, "RunInstances", "InvalidNetworkInterfaceID.NotFound", LAUNCHED_WITH),
    (BUILD, "StopInstances", "InvalidInstanceID.NotFound", NO_INSTANCE),
    ("eth1 deleted", "AttachNetworkInterface", "InvalidNetworkInterfaceID.NotFound", NO_INTERFACE),
    ("eth1 deleted", "AssociateAddress", "InvalidNetworkInterfaceID.NotFound", NO_INTERFACE),
    ("an address released", "AssociateAddress", "InvalidAllocationID.NotFound", NO_ADDRESS),
    # The profile that IAM has and EC2 does not know yet.
    (BUILD, "RunInstances", "InvalidParameterValue", NO_PROFILE),
    (BUILD, "RunInstances", "InvalidParameterValue", NO_PROFILE.replace("name", "ARN")),
    # States in between.
    (BUILD, "AssociateAddress", "IncorrectInstanceState", NOT_NOW),
    (BUILD, "AssociateAddress", "IncorrectState", ""),
    (BUILD, "AssociateAddress", "InvalidInstanceID", "The pending instance 'i-1' is not in a valid state."),
    (BUILD, "RunInstances", "IncorrectState", "Network interface is in state 'pending'."),
    (BUILD, "StopInstances", "IncorrectInstanceState", "The instance cannot be stopped from this state."),
    (BUILD, "ModifyNetworkInterfaceAttribute", "IncorrectState", ""),
    (CHANGED, "AttachNetworkInterface", "IncorrectState", "Instance 'i-1' is in state 'pending'"),
    (CHANGED, "DetachNetworkInterface", "IncorrectState", "Attachment is in state 'attaching'"),
    (CHANGED, "AttachNetworkInterface", "IncorrectInstanceState", ""),
    (CHANGED, "AttachNetworkInterface", "InvalidState", ""),
    ("the instance stopped", "StartInstances", "IncorrectInstanceState", ""),
    ("the instance stopped", "StartInstances", "InvalidInstanceState", ""),
    ("power the wrong way round", "StopInstances", "IncorrectInstanceState", ""),
    ("the spare address used", "DisassociateAddress", "IncorrectState", ""),
    # The old instance holds on to its interfaces for a moment.
    ("the instance terminated", "RunInstances", "InvalidNetworkInterface.InUse", "Interface: [eni-1] in use."),
    ("the instance terminated", "RunInstances", "InvalidParameterValue", "Interface eni-1 is currently in use."),
    # Another user tags, too.
    ("tags changed", "CreateTags", "ConcurrentTagAccess", ""),
    (EVERYTHING, "CreateTags", "ConcurrentTagAccess", ""),
]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(("place", "call", "code", "message"), PASSING)
def test_an_error_of_a_call_passes(
    place: str, call: str, code: str, message: str, times: int, tmp_path: Path, proofs: Proofs
) -> None:
    """A call fails once or three times with an error that passes by itself: the run waits, and converges."""
    random.seed(times)
    scene = PLACES[place]
    with at(scene, tmp_path) as harness:
        _converges(harness, scene, Passing(call, code, message, times))
    proofs.count("errors that pass", times * scene.calls[call])


def test_a_young_attachment_may_be_unknown(tmp_path: Path, proofs: Proofs) -> None:
    """The flag on an attachment made with the launch is set in the same round, once EC2 has heard of it."""
    message = "The attachment '{Attachment[AttachmentId]}' does not exist"

    class Flag(Passing):
        def before(self, call: Call) -> None:
            if "Attachment" in call.params:
                super().before(call)

    with at(RICH_BUILD, tmp_path) as harness:
        fault = Flag("ModifyNetworkInterfaceAttribute", "InvalidAttachmentID.NotFound", message, 3)
        harness.strict.faults.add(fault)
        report = harness.apply(RICH)
        assert (report.outcome, list(fault.met.values())) == ("converged", [3])
        assert {outcome.status for outcome in report.outcomes} == {Status.DONE}
        assert_settled(harness, RICH)
    proofs.count("errors that pass", 3)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("place", "call", "code", "message"),
    [
        ("eth1 detached", "AttachNetworkInterface", "InvalidNetworkInterfaceID.NotFound", NO_INTERFACE),
        ("an address disassociated", "AssociateAddress", "InvalidAllocationID.NotFound", NO_ADDRESS),
        ("groups of an interface changed", "ModifyNetworkInterfaceAttribute", "InvalidGroup.NotFound", ""),
        ("a rule removed", "AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound", NO_GROUP),
        ("the instance stopped", "StartInstances", "InvalidInstanceID.NotFound", NO_INSTANCE),
        ("an address disassociated", "AssociateAddress", "Resource.AlreadyAssociated", ""),
        ("eth1 detached", "AttachNetworkInterface", "InvalidNetworkInterface.InUse", "Interface in use."),
        ("a rule removed", "AuthorizeSecurityGroupIngress", "InvalidPermission.Duplicate", ""),
        ("a rule reworded", "UpdateSecurityGroupRuleDescriptionsIngress", "InvalidPermission.NotFound", ""),
    ],
)
def test_a_changed_live_state_is_read_again(
    place: str, call: str, code: str, message: str, times: int, tmp_path: Path, proofs: Proofs
) -> None:
    """Ids that are old and not found, or held by another tool, are not retried: a new plan, three at most."""
    scene = PLACES[place]
    with at(scene, tmp_path) as harness:
        _converges(harness, scene, Passing(call, code, message, times))
    proofs.count("new plans", times)


# ---- errors that stay

STAYING = [
    ("UnauthorizedOperation", 403, "You are not authorized to perform this operation."),
    ("AuthFailure", 401, "AWS was not able to validate the provided access credentials"),
    ("OptInRequired", 403, "You are not subscribed to this service."),
    ("AddressLimitExceeded", 400, "The maximum number of addresses has been reached."),
    ("InsufficientInstanceCapacity", 500, "We currently do not have sufficient t2.micro capacity"),
    ("InvalidParameterCombination", 400, "The parameters may not be used together"),
    ("InvalidParameterValue", 400, "Value (x) for parameter y is invalid."),
    ("OperationNotPermitted", 400, "This may not be done."),
    ("AnUnknownCode", 400, "?"),
]
EVERY_CALL = [
    *((name, call) for name, scene in (("the story", STORY), (BUILD, RICH_BUILD)) for call in scene.calls),
    *((EVERYTHING, call) for call in ALL_AT_ONCE.calls),
    ("rules reworded", "UpdateSecurityGroupRuleDescriptionsEgress"),
]


def _broken_off(report: Report, call: str, code: str) -> Iterator[str]:
    """What is wrong with a report in which every ``call`` was refused with ``code``."""
    ended = {outcome.step.id: outcome for outcome in report.outcomes}
    for outcome in report.outcomes:
        refused = outcome.step.call == call
        held_up = any(ended[need].status is not Status.DONE for need in outcome.step.needs)
        expected = Status.SKIPPED if held_up else Status.FAILED if refused else Status.DONE
        if outcome.status is not expected:
            yield f"{outcome.step.id} {outcome.step.call} is {outcome.status}, not {expected}: {outcome.error}"
        if expected is Status.FAILED and (outcome.attempts != 1 or code not in (outcome.error or "")):
            yield f"{outcome.step.id} was called {outcome.attempts} times: {outcome.error}"


def test_an_error_that_stays_is_a_refusal_at_any_call() -> None:
    """To the executor they are all the same, and so each is tried for real with some of the calls only.

    But for what IAM no longer lets take away, since it may be gone: that is looked at once, and stands.
    """
    takes = ("Delete", "Detach", "Disassociate", "Release")
    for call in {call for _, call in EVERY_CALL}:
        for code, status, message in STAYING:
            answer: Any = {
                "Error": {"Code": code, "Message": message},
                "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "", "HostId": "", "RetryAttempts": 0},
            }
            fault = fault_from(call, ClientError(answer, call))
            hidden = code == "UnauthorizedOperation" and call.startswith(takes) and call != "DeleteTags"
            meaning = Meaning.DENIED_OR_GONE if hidden else Meaning.REFUSED
            assert (fault.meaning, fault.seconds) == (meaning, 0.0), (call, code)


@pytest.mark.parametrize(
    ("place", "call", "code", "status", "message"),
    [
        pytest.param(place, call, *STAYING[number % len(STAYING)], id=f"{place}-{call}")
        for number, (place, call) in enumerate(EVERY_CALL)
    ],
)
def test_an_error_that_stays_ends_what_needs_the_call(
    place: str, call: str, code: str, status: int, message: str, tmp_path: Path, proofs: Proofs
) -> None:
    """Calls of a kind are refused: each called once, dependants skipped, the rest done; then corrected."""
    scene = PLACES[place]
    with at(scene, tmp_path) as harness:
        strangers, launched = strangers_in(harness), ever_launched(harness)
        harness.strict.faults.add(Fail(call, times=10**6, code=code, status=status, message=message))
        report = harness.apply(scene.text)
        assert list(_broken_off(report, call, code)) == []
        refused = Counter(key_of(each) for each in harness.strict.mutating() if each.action == call)
        assert set(refused.values()) == {1}
        acted = any(each.acted for each in harness.strict.mutating())
        assert report.outcome == ("partial" if acted else "failed")
        assert report.remaining != ()

        harness.strict.faults.clear()
        assert harness.apply(scene.text).outcome == "converged"
        assert_settled(harness, scene.text, strangers)
        assert ever_launched(harness) == launched + scene.calls.get("RunInstances", 0)
    proofs.count("errors that stay", len(refused))


@pytest.mark.parametrize("read", READS)
def test_an_error_that_stays_at_a_read_changes_nothing(read: str, tmp_path: Path, proofs: Proofs) -> None:
    """A read that is refused for good is asked once, and nothing was changed."""
    for code, status, message in STAYING:
        with open_harness(tmp_path / code, SLOW) as harness:
            harness.strict.faults.add(Fail(read, times=10**6, code=code, status=status, message=message))
            with pytest.raises(AwsError) as told:
                harness.apply()
            assert (told.value.call, told.value.code) == (read, code)
            assert harness.strict.actions().count(read) == 1
            assert harness.strict.actions(mutating=True) == []
        proofs.count("errors that stay")
