"""Plans for instances whose attributes EC2 changes only while they are stopped."""

from __future__ import annotations

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Plan
from tests.planning.worlds import Words, immutable, plan_of

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


def web(**row: object) -> Words:
    return {
        "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro", **row}},
        "network_interfaces": {"eth0": {**SUBNET, "attachment": {"instance": "web", "device_index": 0}}},
    }


LIVE: Words = {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}}


def live(**more: object) -> Words:
    return {**LIVE, "instances": {"web": more}}


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [(False, True, ["InstanceType", "EbsOptimized"]), (True, False, ["EbsOptimized", "InstanceType"])],
)
def test_one_restart_changes_type_and_ebs_optimization(before: bool, after: bool, order: list[str]) -> None:
    """Either type may not be EBS-optimizable: it is switched off before the type changes, and on after."""
    row = web(instance_type="m5.large", ebs_optimized=after, on_change="restart")
    plan = plan_of(row, live(ebs_optimized=before))
    modified = [f"ModifyInstanceAttribute {parameter}" for parameter in order]
    assert calls(plan) == ["StopInstances", *modified, "StartInstances"]
    stop, *changes, start = plan.steps
    assert [step.needs for step in changes] == [{stop.id}, {stop.id, changes[0].id}]
    assert start.needs == {stop.id}
    assert start.ends_first == {step.id for step in changes}


def test_ebs_optimization_is_refused_a_restart_that_the_spec_does_not_allow() -> None:
    with pytest.raises(SpecErrors) as raised:
        plan_of(web(ebs_optimized=True), live(ebs_optimized=False))
    [problem] = raised.value.problems
    assert immutable(problem) == "instances.web (i-web): ebs_optimized is false, the spec says true"
    assert problem.hint == (
        "write on_change: restart (same instance, stopped and started) or replace (new one), or keep false"
    )


def test_ebs_optimization_that_is_left_out_is_not_compared() -> None:
    assert plan_of(web(), live(ebs_optimized=True)).empty


@pytest.mark.parametrize(
    ("written", "sent"), [({}, None), ({"ebs_optimized": False}, None), ({"ebs_optimized": True}, True)]
)
def test_a_launch_asks_for_ebs_optimization_only_where_it_is_on(written: Words, sent: bool | None) -> None:
    """Off is EC2's default."""
    [launch] = [step for step in plan_of(web(**written)).steps if step.call == "RunInstances"]
    assert launch.params.get("EbsOptimized") is sent


def test_an_adapter_leaves_while_its_instance_restarts_for_ebs_optimization() -> None:
    words = {"instance_type": "c6in.32xlarge"}
    spec, now = web(ebs_optimized=True, on_change="restart", **words), live(**words)
    adapter = {"interface_type": "efa"}
    more = {"network_interfaces": {**spec["network_interfaces"], "efa": {**SUBNET, **adapter}}}
    there = {"network_interfaces": {**now["network_interfaces"], "efa": {**adapter, "at": "web 1"}}}
    stop, *others = plan_of({**spec, **more}, {**now, **there}).steps
    [detach] = [step for step in others if step.call == "DetachNetworkInterface"]
    assert (stop.call, list(detach.needs)) == ("StopInstances", [stop.id])


# ---- instance profiles

ROLE = "arn:aws:iam::123456789012:instance-profile/path/role"


def test_a_profile_is_associated_where_there_is_none() -> None:
    [step] = plan_of(web(iam_instance_profile="role"), live()).steps
    assert (step.call, step.params, step.impact) == (
        "AssociateIamInstanceProfile",
        {"InstanceId": "i-web", "IamInstanceProfile": {"Name": "role"}},
        "safe",
    )


@pytest.mark.parametrize("on_change", ["refuse", "restart", "replace"])
def test_another_profile_is_replaced_and_the_instance_runs_on(on_change: str) -> None:
    plan = plan_of(web(iam_instance_profile=ROLE, on_change=on_change), live(profile=f"{ROLE}s"))
    [step] = plan.steps
    assert (step.call, step.params, step.impact) == (
        "ReplaceIamInstanceProfileAssociation",
        {"AssociationId": "iip-assoc-web", "IamInstanceProfile": {"Arn": ROLE}},
        "disruptive",
    )


@pytest.mark.parametrize("written", [{}, {"iam_instance_profile": "role"}, {"iam_instance_profile": ROLE}])
def test_a_profile_that_is_left_out_or_the_same_is_no_difference(written: Words) -> None:
    assert plan_of(web(**written), live(profile=ROLE)).empty


def test_a_profile_that_the_row_ignores_is_not_compared() -> None:
    row = {"iam_instance_profile": "other", "lifecycle": {"ignore": ["iam_instance_profile"]}}
    assert plan_of(web(**row), live(profile=ROLE)).empty


# ---- restarts


def test_a_start_without_a_stop_of_the_plan_needs_nothing() -> None:
    """An earlier run has stopped it. It is started, whatever becomes of the change of the type."""
    modify, start = plan_of(web(instance_type="m5.large", on_change="restart"), live(state="stopped")).steps
    assert (start.call, sorted(start.needs), sorted(start.ends_first)) == ("StartInstances", [], [modify.id])
