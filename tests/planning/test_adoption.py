"""Who may be adopted and who may not, and what may not be written about those that are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from tests.planning.worlds import Words, immutable, plan_of

ENI, OTHER = "eni-00000001", "eni-00000002"
SPEC = {"network_interfaces": {"eth1": {"adopt": ENI}}}


@dataclass(frozen=True)
class Case:
    """A situation, the problem that it is, and the hint."""

    situation: str
    live: Words
    problem: str
    hint: str
    spec: Words = field(default_factory=lambda: SPEC)


def found(**row: Any) -> Words:
    """An interface that is there, and not ours by its tags."""
    return {"network_interfaces": {"eth1": {"id": ENI, "found": True, **row}}}


def tagged(stack: str, name: str) -> Words:
    return {STACK_TAG: stack, NAME_TAG: name}


UNTAG = f"remove its tags {STACK_TAG} and {NAME_TAG}"
RENAMED = f"if the row was renamed, add `renamed_from: old`; else use the name old, or {UNTAG}"
ANOTHER = (
    f"write `adopt: {OTHER}`, or remove `adopt`; "
    f"to adopt {ENI} instead, first remove the tags of the stack from {OTHER}"
)
RELEASE = (
    "if this is the file of that stack, write `stack: shop`; "
    "else remove {} from its file, apply it without --prune, "
    f"and remove {{}} tags {STACK_TAG} and {NAME_TAG}: two stacks would undo each other's changes"
)
CASES = [
    Case(
        "nothing has this id",
        {},
        f"network_interfaces.eth1.adopt: no such resource in us-east-1: {ENI}",
        "check the id and the region, or remove `adopt` to create it",
    ),
    Case(
        "an instance that shuts down",
        {"instances": {"web": {"id": "i-00000001", "found": True, "state": "shutting-down"}}},
        "instances.web.adopt: i-00000001 is shutting-down",
        "remove `adopt` to launch a new instance",
        {"instances": {"web": {"adopt": "i-00000001"}}},
    ),
    Case(
        "an interface of a load balancer",
        found(manager="amazon-elb"),
        f"network_interfaces.eth1.adopt: {ENI} is managed by amazon-elb",
        "enireconcile never changes what an AWS service manages",
    ),
    Case(
        "the default group of a VPC",
        {"security_groups": {"web": {"id": "sg-00000001", "found": True, "group_name": "default"}}},
        "security_groups.web.adopt: sg-00000001 is the default security group of its VPC",
        "EC2 cannot delete it; adopt another group",
        {"security_groups": {"web": {"adopt": "sg-00000001"}}},
    ),
    Case(
        "an interface of another stack",
        found(tags=tagged("shop", "network_interfaces.eth1")),
        f"network_interfaces.eth1.adopt: {ENI} belongs to the stack shop",
        RELEASE.format("its row", "its"),
    ),
    Case(
        "an interface of ours under another name, which the read of what is ours has missed",
        found(tags=tagged("lab", "network_interfaces.old")),
        f"network_interfaces.eth1.adopt: {ENI} belongs to this stack as network_interfaces.old",
        RENAMED,
    ),
    Case(
        "an interface of ours under another name",
        {"network_interfaces": {"old": {"id": ENI}}},
        f"network_interfaces.eth1.adopt: {ENI} belongs to this stack as network_interfaces.old",
        RENAMED,
    ),
    Case(
        "an interface of ours without a name",
        {"network_interfaces": {"old": {"id": ENI, "tags": {NAME_TAG: ""}}}},
        f"network_interfaces.eth1.adopt: {ENI} belongs to this stack as network_interfaces.{ENI}",
        f"use that name, or {UNTAG}",
    ),
    Case(
        "an interface that another row has, too",
        {"network_interfaces": {"old": {"id": ENI}}},
        f"network_interfaces.eth1.adopt: {ENI} belongs to this stack as network_interfaces.old",
        f"remove one of the two rows, or {UNTAG}",
        {"network_interfaces": {"eth1": {"adopt": ENI}, "old": {"subnet": {"default_for_az": "us-east-1a"}}}},
    ),
    Case(
        "another interface has the name already",
        {"network_interfaces": {"eth1": {"id": OTHER}}},
        f"network_interfaces.eth1.adopt: network_interfaces.eth1 is {OTHER} already, not {ENI}",
        ANOTHER,
    ),
    Case(
        "another interface has the name already, and the one that is wanted is there, too",
        {"network_interfaces": {"eth1": {"id": OTHER}, "x": {"id": ENI, "found": True}}},
        f"network_interfaces.eth1.adopt: network_interfaces.eth1 is {OTHER} already, not {ENI}",
        ANOTHER,
    ),
    Case(
        "an Elastic IP is to stand for an address that the interface does not have",
        found(),
        "elastic_ips.web.association.private_ip: 172.31.0.99 is not a private IP of eni-00000001",
        "it has 172.31.0.10",
        {
            **SPEC,
            "elastic_ips": {"web": {"association": {"network_interface": "eth1", "private_ip": "172.31.0.99"}}},
        },
    ),
    Case(
        "a new interface for an adopted instance in another zone",
        {"instances": {"web": {"id": "i-00000001", "found": True, "zone": "us-east-1b"}}},
        "network_interfaces.eth1.subnet: the subnet is in us-east-1a, but the instance web is in us-east-1b",
        "an instance and its interfaces must be in one Availability Zone",
        {
            "instances": {"web": {"adopt": "i-00000001"}},
            "network_interfaces": {
                "eth1": {
                    "subnet": {"default_for_az": "us-east-1a"},
                    "attachment": {"instance": "web", "device_index": 1},
                }
            },
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.situation)
def test_an_error_with_its_place(case: Case) -> None:
    with pytest.raises(SpecErrors) as raised:
        plan_of(case.spec, case.live)
    (problem,) = raised.value.problems
    assert (f"{problem.path}: {problem.message}", problem.hint) == (case.problem, case.hint)


WHOLE: Words = {
    "security_groups": {"web": {"adopt": "sg-00000001", "vpc": {"tags": {"Name": "nowhere"}}}},
    "instances": {"web": {"adopt": "i-00000001"}},
    "network_interfaces": {
        "eth1": {
            "adopt": ENI,
            "subnet": {"tags": {"Name": "nowhere"}},
            "attachment": {"instance": "web", "device_index": 1},
        }
    },
}


def test_a_wrong_region_is_told_once() -> None:
    """Nothing that the file adopts is there: what selectors do not find follows from it."""
    (error,) = plan_of(WHOLE, partly=True).errors
    assert (error.problem.path, error.problem.message, error.problem.hint) == (
        "security_groups.web.adopt",
        "none of the 3 ids that the file adopts exist in us-east-1",
        "is the Region right, and the account? Check `region`, AWS_REGION and the profile",
    )
    assert error.left_out == ("instances.web", "network_interfaces.eth1", "security_groups.web")


def test_a_wrong_stack_is_told_once() -> None:
    """All that the file adopts belongs to one other stack."""
    live = {
        section: {
            name: {"id": row["adopt"], "found": True, "tags": tagged("shop", f"{section}.{name}")}
            for name, row in rows.items()
        }
        for section, rows in WHOLE.items()
    }
    (error,) = plan_of(WHOLE, live, partly=True).errors
    assert (error.problem.path, error.problem.message, error.problem.hint) == (
        "security_groups.web.adopt",
        "all 3 resources that the file adopts belong to the stack shop",
        RELEASE.format("their rows", "their"),
    )


def test_what_a_row_adopts_under_another_name_is_not_pruned() -> None:
    """The row was renamed: that is a mistake, and the resource stays."""
    for prune in (False, True):
        plan = plan_of(SPEC, {"network_interfaces": {"old": {"id": ENI}}}, prune=prune, partly=True)
        assert (plan.steps, plan.leftovers, len(plan.errors)) == ((), (), 1)


def test_all_problems_are_reported_at_once() -> None:
    """What cannot be adopted and what selectors choose, each with its line."""
    spec = {
        "network_interfaces": {"eth1": {"adopt": ENI}, "eth2": {"adopt": OTHER}},
        "security_groups": {"a": {"vpc": "vpc-12345678"}},
        "elastic_ips": {"b": {"adopt": "eipalloc-12345678"}},
    }
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec, {"network_interfaces": {"eth2": {"id": OTHER, "found": True}}})
    assert {problem.path for problem in raised.value.problems} == {
        "network_interfaces.eth1.adopt",
        "security_groups.a.vpc",
        "elastic_ips.b.adopt",
    }


@pytest.mark.parametrize(
    ("section", "live", "says", "field"),
    [
        ("instances", {}, {"instance_type": "t2.micro"}, "instance_type is t3.micro, the spec says t2.micro"),
        (
            "instances",
            {},
            {"instance_type": "t2.micro", "on_change": "replace"},
            "instance_type is t3.micro, the spec says t2.micro",
        ),
        ("instances", {}, {"key_name": "ops"}, "key_name is not set, the spec says ops"),
        ("instances", {}, {"image": "ami-00000001"}, "image is ami-12345678, the spec says ami-00000001"),
        (
            "network_interfaces",
            {},
            {"private_ip": "172.31.0.9"},
            "private_ip is 172.31.0.10, the spec says 172.31.0.9",
        ),
        (
            "network_interfaces",
            {"subnet": "subnet-b"},
            {"subnet": {"default_for_az": "us-east-1a"}},
            "subnet is subnet-b, the spec says subnet-a",
        ),
        ("security_groups", {}, {"vpc": {"tags": {"Name": "lab"}}}, "vpc is vpc-default, the spec says vpc-lab"),
        ("security_groups", {}, {"group_name": "x"}, "group_name is one, the spec says x"),
    ],
)
@pytest.mark.parametrize("owned", [False, True])
def test_adoption_never_replaces(section: str, live: Words, says: Words, field: str, owned: bool) -> None:
    """What EC2 cannot change in place has to agree, before the adoption and after."""
    prefix = {"instances": "i", "network_interfaces": "eni", "security_groups": "sg"}[section]
    aws_id = f"{prefix}-00000001"
    with pytest.raises(SpecErrors) as raised:
        plan_of(
            {section: {"one": {"adopt": aws_id, **says}}},
            {section: {"one": {"id": aws_id, "found": not owned, **live}}},
        )
    (problem,) = raised.value.problems
    attribute = field.partition(" ")[0]
    keep = f"remove {attribute} from the row: the resource is adopted, and keeps what it has"
    restart = "write on_change: restart (same instance, stopped and started), or "
    hint = f"{restart if attribute == 'instance_type' else ''}{keep}"
    assert (immutable(problem), problem.hint) == (f"{section}.one ({aws_id}): {field}", hint)


@pytest.mark.parametrize("image", ["ami-12345678", {"ssm": "/newest"}, {"name": "al2023-*", "owner": "amazon"}])
def test_an_image_that_fits_or_that_only_a_launch_would_look_for(image: object) -> None:
    """Nothing differs but the tags."""
    live = {"instances": {"web": {"id": "i-00000001", "found": True}}}
    plan = plan_of({"instances": {"web": {"adopt": "i-00000001", "image": image}}}, live)
    assert [step.call for step in plan.steps] == ["CreateTags"]


def test_an_instance_is_not_launched_without_its_primary_interface() -> None:
    """Another tool has it: an error that says where it is."""
    primary = {"subnet": {"default_for_az": "us-east-1a"}, "lifecycle": {"ignore": ["attachment"]}}
    spec = {
        "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro"}},
        "network_interfaces": {"eth0": {**primary, "attachment": {"instance": "web", "device_index": 0}}},
    }
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec, {"network_interfaces": {"eth0": {"at": "i-stranger 1"}}})
    (problem,) = raised.value.problems
    assert problem.message == (
        "instances.web cannot be launched: its primary interface network_interfaces.eth0 (eni-eth0) "
        "is attached to i-stranger, and the spec ignores its attachment"
    )
    assert problem.hint == "detach it, or remove `attachment` from lifecycle.ignore of network_interfaces.eth0"


def test_an_adopted_instance_is_not_replaced_with_its_primary_interface() -> None:
    """The interface would have to be made anew, and the instance with it; but that one is adopted."""
    spec = {
        "instances": {"web": {"adopt": "i-00000001", "on_change": "replace"}},
        "network_interfaces": {
            "eth0": {
                "subnet": {"default_for_az": "us-east-1a"},
                "private_ip": "172.31.0.99",
                "attachment": {"instance": "web", "device_index": 0},
            }
        },
    }
    live = {"instances": {"web": {"id": "i-00000001"}}, "network_interfaces": {"eth0": {"at": "web 0"}}}
    with pytest.raises(SpecErrors, match="but it is the primary interface of i-00000001, which EC2"):
        plan_of(spec, live)


def test_of_metadata_options_those_that_an_adopted_instance_does_not_mention_are_left() -> None:
    """Of any other instance they have our defaults."""
    live = {
        "instances": {
            "web": {"id": "i-00000001", "metadata_options": {"HttpTokens": "optional", "HttpEndpoint": "disabled"}}
        }
    }
    row = {"adopt": "i-00000001", "metadata_options": {"http_tokens": "required"}}
    [step] = plan_of({"instances": {"web": row}}, live).steps
    assert step.params == {"InstanceId": "i-00000001", "HttpTokens": "required"}
