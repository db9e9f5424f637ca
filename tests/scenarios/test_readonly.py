"""Planning cannot mutate: not by what it is given, and not by what leaves the machine."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.session import get_session

from enireconcile.aws.actions import is_read
from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.session import Session
from tests.harness import Harness
from tests.two_enis import DRIFTS, Account

MUTATING = [
    name
    for name in get_session().get_service_model("ec2").operation_names
    if name.startswith(
        (
            "Allocate",
            "Assign",
            "Associate",
            "Attach",
            "Authorize",
            "Create",
            "Delete",
            "Detach",
            "Disassociate",
            "Modify",
            "Release",
            "Reset",
            "Revoke",
            "Run",
            "Start",
            "Stop",
            "Terminate",
            "Unassign",
            "Update",
        )
    )
]


def _read_only() -> Session:
    boto = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x")
    return Session(boto, "us-east-1", read_only=True)


def test_no_mutating_operation_of_ec2_counts_as_a_read() -> None:
    """Of EC2's hundreds of mutating operations, none passes for a read."""
    assert len(MUTATING) > 400
    assert [name for name in MUTATING if is_read(name)] == []


def test_reader_refuses_every_mutating_call(harness: Harness) -> None:
    """Asked for a mutating call, the reader raises before anything is sent."""
    channel = Channel(_read_only())

    async def ask(call: str) -> dict[str, Any]:
        return await Reader(channel).read(call)

    for call in MUTATING:
        with pytest.raises(PermissionError):
            asyncio.run(ask(call))
    channel.close()
    assert harness.strict.calls == []


@pytest.mark.parametrize(
    ("call", "params"),
    [
        ("AllocateAddress", {}),
        ("CreateSecurityGroup", {"GroupName": "x", "Description": "x"}),
        ("TerminateInstances", {"InstanceIds": ["i-0123456789abcdef0"]}),
        ("ReleaseAddress", {"AllocationId": "eipalloc-0123456789abcdef0"}),
    ],
)
def test_client_of_a_plan_rejects_writes(harness: Harness, call: str, params: dict[str, Any]) -> None:
    """Even with the bare client of a plan's session in hand, a mutating request does not leave it."""
    session = _read_only()
    with pytest.raises(PermissionError, match=call):
        getattr(session.client("ec2"), xform_name(call))(**params)
    session.close()
    assert harness.strict.calls == []


@pytest.mark.parametrize("name", DRIFTS)
def test_planning_any_drift_sends_reads_only(slow_harness: Harness, name: str) -> None:
    """Whatever there is to correct, looking at it changes nothing."""
    slow_harness.apply()
    DRIFTS[name][0](Account(slow_harness))
    slow_harness.strict.clear()
    assert not slow_harness.plan().empty
    assert slow_harness.strict.mutating() == []
