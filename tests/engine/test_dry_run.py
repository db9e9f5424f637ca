"""Of which calls apply asks for permission before it takes something away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from enireconcile.aws.faults import Fault, Meaning
from enireconcile.engine import dry_run
from enireconcile.errors import AwsError
from enireconcile.model import Impact, Ref, Step
from tests.virtual import VirtualLoop, run

SAFE, DISRUPTIVE, DESTRUCTIVE = Impact.SAFE, Impact.DISRUPTIVE, Impact.DESTRUCTIVE


def step(call: str, impact: Impact = SAFE, *needs: str, creates: bool = False, **params: Any) -> Step:
    yields = {Ref("instances.web"): "Id"} if creates else {}
    return Step(call, call, params, "instances.web", impact, frozenset(needs), yields=yields)


LAUNCH = step("RunInstances", SAFE, "TerminateInstances", creates=True, ImageId="ami-1")
STOP = step("StopInstances", DISRUPTIVE)
PLANS: dict[str, tuple[Sequence[Step], list[str]]] = {
    "a launch": ([step("RunInstances", creates=True)], []),
    "a replacement": (
        [step("TerminateInstances", DESTRUCTIVE), LAUNCH, step("AssociateAddress", SAFE, "RunInstances")],
        ["RunInstances", "AssociateAddress"],
    ),
    "parameters that are not known yet": (
        [
            step("TerminateInstances", DESTRUCTIVE),
            step("RunInstances", SAFE, "TerminateInstances", creates=True, Ids=[Ref("network_interfaces.a")]),
        ],
        [],
    ),
    "a change of the type": (
        [STOP, step("ModifyInstanceAttribute", DISRUPTIVE, "StopInstances"), step("StartInstances")],
        ["ModifyInstanceAttribute"],
    ),
    "a stop": ([STOP], []),
    "a failover": (
        [
            step("DetachNetworkInterface", DISRUPTIVE),
            step("AttachNetworkInterface", SAFE, "DetachNetworkInterface"),
        ],
        [],
    ),
    "a call without DryRun": ([STOP, step("AssignPrivateIpAddresses", SAFE, "StopInstances")], []),
    "a removal beside a launch": ([step("ReleaseAddress", DESTRUCTIVE), step("RunInstances", creates=True)], []),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_asked(name: str) -> None:
    steps, calls = PLANS[name]
    assert [each.call for each in dry_run.rehearsed(steps)] == calls


class Answers:
    """A writer that answers every call with a fault."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = list(faults)
        self.sent: list[tuple[str, Mapping[str, Any]]] = []

    def queue(self, call: str) -> float:
        return 0.0

    def backlog(self) -> float:
        return 0.0

    async def turn(self, call: str) -> None:
        return None

    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.sent.append((call, params))
        await asyncio.sleep(1)
        raise self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]


def fault(code: str, meaning: Meaning, seconds: float = 0.0) -> Fault:
    return Fault("RunInstances", code, "No.", meaning, seconds)


YES = fault("DryRunOperation", Meaning.REFUSED)
NO = fault("UnauthorizedOperation", Meaning.REFUSED)
BUSY = fault("RequestLimitExceeded", Meaning.THROTTLED, 30.0)
REPLACEMENT = PLANS["a replacement"][0][:2]


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize(
    ("faults", "denied"),
    [
        ([YES], False),
        ([NO], True),
        ([BUSY, YES], False),
        ([BUSY, NO], True),
        # Another refusal says nothing about permission: the interface is still attached, for example.
        ([fault("InvalidNetworkInterface.InUse", Meaning.WAIT, 300.0)], False),
    ],
)
def test_an_answer(loop: VirtualLoop, faults: list[Fault], denied: bool) -> None:
    writer = Answers(*faults)
    found = run(dry_run.denied(writer, REPLACEMENT), loop)
    assert [text.partition("\n")[0] for text in found] == (
        ["RunInstances for instances.web: UnauthorizedOperation: No."] if denied else []
    )
    assert writer.sent[0] == ("RunInstances", {"ImageId": "ami-1", "DryRun": True})


def test_no_answer_is_an_error(loop: VirtualLoop) -> None:
    """Nothing is taken away on the strength of a call that was never answered."""
    with pytest.raises(AwsError, match="RequestLimitExceeded"):
        run(dry_run.denied(Answers(BUSY), REPLACEMENT), loop)
    assert loop.now >= 30
