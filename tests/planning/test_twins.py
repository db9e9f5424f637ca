"""Several live resources with one name: unused twins are told and pruned, any others stop only their row."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.ownership import REPLACES_TAG
from enireconcile.planning.draft import make_plan
from tests.planning.worlds import Words, brief, live_of, plan_of, spec_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
ROWS: dict[str, Words] = {
    "security_groups": {},
    "instances": {"image": "ami-12345678", "instance_type": "t3.micro"},
    "network_interfaces": {"subnet": ZONE_A},
    "elastic_ips": {},
}
HINT = "keep one of them: delete the others, or remove their tags enireconcile:name and enireconcile:stack"
TWIN: Words = {"named": "web"}


def interfaces(web: Words | None = None, **others: Words) -> Words:
    """Live interfaces that all have the name web."""
    return {"network_interfaces": {"web": web or {}, **{name: {**TWIN, **row} for name, row in others.items()}}}


def addresses(web: Words | None = None, **others: Words) -> Words:
    return {"elastic_ips": {"web": web or {}, **{name: {**TWIN, **row} for name, row in others.items()}}}


def spec(*sections: str) -> Words:
    return {section: {"web": ROWS[section]} for section in sections}


# ---- what is no twin


@pytest.mark.parametrize(
    ("section", "ids"),
    [
        ("security_groups", "sg-twin and sg-web"),
        ("instances", "i-twin and i-web"),
        ("elastic_ips", "eipalloc-twin and eipalloc-web"),
    ],
)
def test_two_live_resources_of_one_name_are_never_chosen_from(section: str, ids: str) -> None:
    rows = {**spec(section), "network_interfaces": {"eth0": {"subnet": ZONE_A}}}
    if section == "instances":
        rows["network_interfaces"]["eth0"]["attachment"] = {"instance": "web", "device_index": 0}
    with pytest.raises(SpecErrors) as raised:
        plan_of(rows, {section: {"web": {}, "twin": TWIN}})
    [problem] = raised.value.problems
    assert (problem.path, problem.message, problem.hint) == (
        f"{section}.web",
        f"several live resources of this stack have this name: {ids}",
        HINT,
    )


def test_all_name_conflicts_are_reported_at_once() -> None:
    with pytest.raises(SpecErrors) as raised:
        plan_of(
            spec("security_groups", "elastic_ips"),
            {"security_groups": {"web": {}, "twin": TWIN}, "elastic_ips": {"web": {}, "twin": TWIN}},
        )
    assert [problem.path for problem in raised.value.problems] == ["security_groups.web", "elastic_ips.web"]


def test_the_other_rows_are_planned() -> None:
    """The row and what needs it are left out; neither of the two is touched, also with --prune."""
    rows = {
        "security_groups": {"web": {}, "other": {}},
        "network_interfaces": {
            "a": {"subnet": ZONE_A, "security_groups": ["web"]},
            "b": {"subnet": ZONE_A, "security_groups": ["other"]},
        },
    }
    live = {"security_groups": {"web": {}, "twin": TWIN}}
    made = plan_of(rows, live, prune=True, partly=True)
    [error] = made.errors
    assert error.left_out == ("network_interfaces.a", "security_groups.web")
    assert {step.address for step in made.steps} == {"network_interfaces.b", "security_groups.other"}
    assert made.leftovers == ()


USED = {
    "both are attached": interfaces({"at": "i-other 1"}, twin={"at": "i-other 2"}),
    "both are in use": interfaces({"at": "i-other 1"}, twin={"holds": "eipalloc-other"}),
    "the other is being detached": interfaces({"at": "i-a 1"}, twin={"at": "i-b 1", "status": "detaching"}),
    "another subnet": interfaces({"at": "i-other 1"}, twin={"subnet": "subnet-b"}),
    "another type": interfaces({"at": "i-other 1"}, twin={"interface_type": "efa"}),
    "another generation": interfaces({"at": "i-other 1"}, twin={"tags": {REPLACES_TAG: "eni-former"}}),
    "a service has it": interfaces({"at": "i-other 1"}, twin={"manager": "amazon-elb"}),
    "neither is associated": addresses({}, twin={}),
    "both are associated": addresses({"at": "eni-a"}, twin={"at": "eni-b"}),
    "another pool": addresses({"at": "eni-a"}, twin={"pool": "ipv4pool-ec2-1"}),
    "another border group": addresses({"at": "eni-a"}, twin={"border_group": "us-east-1-bos-1"}),
    "it has reverse DNS": addresses({"at": "eni-a"}, twin={"reverse_dns": {"name": "web.example.com"}}),
}


@pytest.mark.parametrize("live", [*USED.values()], ids=[*USED])
def test_what_may_be_in_use_is_no_twin(live: Words) -> None:
    [section] = live
    with pytest.raises(SpecErrors, match="several live resources of this stack have this name"):
        plan_of(spec(section), live)


# ---- unused twins


def planned(rows: Words, live: Words, *, prune: bool = False) -> dict[str, Any]:
    loaded = spec_of(rows)
    return brief(make_plan(loaded, live_of(live, loaded), prune=prune))


TWINS = {
    "network_interfaces": (
        interfaces({"at": "i-other 1"}, twin={}, another={}),
        ["eni-another", "eni-twin"],
        "network_interfaces.web (eni-web)",
        "DeleteNetworkInterface",
    ),
    "elastic_ips": (
        addresses({"at": "eni-stranger"}, twin={}),
        ["eipalloc-twin"],
        "elastic_ips.web (eipalloc-web)",
        "ReleaseAddress",
    ),
}


@pytest.mark.parametrize("section", TWINS)
def test_an_unused_twin_is_told_with_the_command_that_removes_it(section: str) -> None:
    live, ids, kept, _ = TWINS[section]
    rows = {section: {"web": {**ROWS[section], "lifecycle": {"ignore": []}}}}
    told = planned(rows, live)
    assert told["leftovers"] == [f"{section}.{each} {each}" for each in ids]
    for each in ids:
        assert f"{each} is an unused twin of {kept}: `apply --prune` deletes it" in told["warnings"]
    assert "errors" not in told
    assert not any(each in str(told.get("steps")) for each in ids)


@pytest.mark.parametrize("section", TWINS)
def test_prune_removes_it(section: str) -> None:
    live, ids, kept, call = TWINS[section]
    made = plan_of(spec(section), live, prune=True)
    assert [step.call for step in made.steps if step.address.endswith(tuple(ids))] == [call] * len(ids)
    reasons = [change.reason for change in made.changes if change.id in ids]
    assert reasons == [f"unused twin of {kept}"] * len(ids)
    assert made.leftovers == ()
    assert not any("twin" in warning for warning in made.warnings)


def test_of_unused_interfaces_every_run_keeps_the_same() -> None:
    told = planned(spec("network_interfaces"), interfaces({"id": "eni-2"}, a={"id": "eni-1"}, b={"id": "eni-3"}))
    assert told["leftovers"] == ["network_interfaces.eni-2 eni-2", "network_interfaces.eni-3 eni-3"]


def test_a_used_interface_is_kept_whatever_its_id() -> None:
    told = planned(spec("network_interfaces"), interfaces({"id": "eni-1"}, a={"id": "eni-2", "at": "i-other 1"}))
    assert told["leftovers"] == ["network_interfaces.eni-1 eni-1"]


def test_twins_of_a_replacement_are_told_beside_the_former_one() -> None:
    """Both new ones carry the id of the interface that they replace."""
    tags = {"tags": {REPLACES_TAG: "eni-old"}}
    live = interfaces({**tags, "id": "eni-1"}, second={**tags, "id": "eni-2"}, old={"id": "eni-old"})
    told = planned(spec("network_interfaces"), live)
    assert told["leftovers"] == ["network_interfaces.eni-2 eni-2"]
    assert [step["params"] for step in told["steps"]] == [{"NetworkInterfaceId": "eni-old"}]


def test_tags_that_name_each_other_name_no_former_one() -> None:
    """Users can edit tags: each of the two claims to replace the other one, or itself."""
    live = interfaces({"tags": {REPLACES_TAG: "eni-b"}}, b={"tags": {REPLACES_TAG: "eni-web"}})
    with pytest.raises(SpecErrors, match="eni-b and eni-web"):
        plan_of(spec("network_interfaces"), live)
    assert plan_of(spec("network_interfaces"), interfaces({"tags": {REPLACES_TAG: "eni-web"}})).empty


# ---- names that the spec does not have


@pytest.mark.parametrize("section", ["network_interfaces", "elastic_ips"])
def test_without_their_row_all_are_leftovers(section: str) -> None:
    """destroy and --prune remove all that the stack owns and the spec does not name: there is no choice."""
    live = {section: {"web": {}, "twin": TWIN}}
    prefix = {"network_interfaces": "eni", "elastic_ips": "eipalloc"}[section]
    assert planned({}, live)["leftovers"] == [
        f"{section}.{prefix}-{name} {prefix}-{name}" for name in ("twin", "web")
    ]
    assert len(plan_of({}, live, prune=True).steps) == 2
