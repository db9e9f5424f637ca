"""Plans for instances whose attributes EC2 changes only while they are stopped."""

from __future__ import annotations

import pytest

from enireconcile.model import Plan
from tests.planning.worlds import Words, plan_of

SUBNET = {"subnet": {"default_for_az": "us-east-1a"}}


def calls(plan: Plan) -> list[str]:
    """The calls, with the attribute that each modifies."""
    return [
        " ".join([step.call, *(key for key, value in step.params.items() if isinstance(value, dict))])
        for step in plan.steps
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", ["StopInstances", "ModifyInstanceAttribute InstanceType", "StartInstances"]),
        ("stopped", ["ModifyInstanceAttribute InstanceType"]),
    ],
)
def test_an_adopted_instance_is_restarted_as_it_was_found(state: str, expected: list[str]) -> None:
    """Its row has no state, so the instance runs afterwards if it ran before."""
    row: Words = {"adopt": "i-00000001", "on_change": "restart", "instance_type": "m5.large"}
    plan = plan_of({"instances": {"web": row}}, {"instances": {"web": {"id": "i-00000001", "state": state}}})
    assert calls(plan) == expected
