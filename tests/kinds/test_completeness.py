"""Every attribute of the spec is known everywhere: to a kind, the IAM policy, CloudTrail, the plan, and the docs.

A kind declares its attributes once (``kinds/attributes.py``). Here each key of the rows must be declared, and each
declaration must say what the rest of the program needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from enireconcile.iam.policy import calls
from enireconcile.kinds import KINDS
from enireconcile.kinds.attributes import LOGICAL_NAME, Attribute, Changes
from enireconcile.spec import SECTIONS
from enireconcile.spec.rows import ADDITIVE, ElasticIp, Instance, NetworkInterface, Resource, SecurityGroup

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "spec.md"
ROWS: Mapping[str, type[Resource]] = {
    "security_groups": SecurityGroup,
    "instances": Instance,
    "network_interfaces": NetworkInterface,
    "elastic_ips": ElasticIp,
}
NO_ATTRIBUTES = {
    "adopt": "names an existing resource",
    "lifecycle": "says what a plan may do with the resource",
    "renamed_from": "names the resource by a former name",
    "on_change": "says how a plan changes the resource",
}
"""Keys that describe no property of a live resource, with the reason."""
SHOWN_THOUGH_DEFAULT = {
    ("security_groups", "description"): "it can never be changed, so a plan shows it even if it is the default",
    ("security_groups", "vpc"): "a plan shows which VPC the selector has chosen",
}
"""Attributes with a default that a plan shows for a new resource nevertheless, with the reason."""
ONE_ATTRIBUTE_A_CALL = ("ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute")


def reference(at: str) -> str:
    """The section of the spec's reference."""
    return REFERENCE.read_text("utf-8").partition(f"\n## {at}\n")[2].partition("\n## ")[0]


def declared(at: str) -> list[Attribute]:
    return [each for kind in KINDS if kind.section == at for each in kind.attributes]


def gaps(at: str, row: type[Resource], attributes: Sequence[Attribute]) -> list[str]:
    """What is missing for the keys of a row, one sentence each."""
    return [f"{at}.{name}: {gap}" for name in row.model_fields for gap in gaps_of(name, at, row, attributes)]


def gaps_of(name: str, at: str, row: type[Resource], attributes: Sequence[Attribute]) -> Iterator[str]:
    if name in NO_ATTRIBUTES:
        return
    if name not in row.attributes():
        yield "lifecycle.ignore does not take it"
    if f"| `{name}` |" not in reference(at):
        yield "docs/reference/spec.md has no row for it"
    found = [each for each in attributes if each.name == name]
    if len(found) != 1:
        yield f"{len(found)} kinds declare it, not one: IAM policy, CloudTrail and plan do not know it"
        return
    [attribute] = found
    if unknown := set(attribute.calls) - set(calls()):
        yield f"no kind declares the permissions of {', '.join(sorted(unknown))}"
    if attribute.changes is not Changes.AT_CREATION:
        if not attribute.calls:
            yield "no call changes it: the IAM policy grants none"
        if not attribute.changed_by:
            yield "no CloudTrail event changes it"
    if not attribute.request_parameters and set(attribute.changed_by) & set(ONE_ATTRIBUTE_A_CALL):
        yield "no request parameter tells its CloudTrail events from those of other attributes"
    if (at, name) not in SHOWN_THOUGH_DEFAULT and not is_implied(attribute, row):
        yield "a plan shows its default for every new resource"


def is_implied(attribute: Attribute, row: type[Resource]) -> bool:
    """Is the default of the spec, in the form in which a plan has it, not worth a word?"""
    default = row.model_fields[attribute.name].get_default(call_default_factory=True)
    if attribute.default is LOGICAL_NAME:
        default = "web"
    elif isinstance(default, BaseModel):
        default = default.model_dump(exclude_none=True)
    elif isinstance(default, tuple):
        default = list(default)
    return attribute.shows_empty or attribute.is_implied("web", default)


@pytest.mark.parametrize("at", SECTIONS)
def test_every_attribute_is_known_everywhere(at: str) -> None:
    assert gaps(at, ROWS[at], declared(at)) == []


@pytest.mark.parametrize("at", SECTIONS)
def test_nothing_is_declared_that_the_spec_does_not_have(at: str) -> None:
    assert {each.name for each in declared(at)} - set(ROWS[at].model_fields) == set()


def test_every_call_is_declared_once() -> None:
    """Two kinds that declare the permissions of one call would overwrite each other."""
    found = [call for kind in KINDS for call in kind.calls]
    assert sorted(found) == sorted(set(found))


def test_exceptions_are_needed() -> None:
    """Each exception names a key that exists."""
    assert set(NO_ATTRIBUTES) - {name for row in ROWS.values() for name in row.model_fields} == set()
    assert [name for at, name in SHOWN_THOUGH_DEFAULT if name not in ROWS[at].model_fields] == []


def test_what_can_be_additive_is_a_list_of_some_row() -> None:
    """Each of them is an attribute that a kind declares."""
    assert set(ADDITIVE) - {each.name for at in SECTIONS for each in declared(at)} == set()


class MadeUp(Instance):
    """An instance with a key that the program does not know."""

    made_up: bool | None = None
    sockets: int = 2


DOCS = "instances.made_up: docs/reference/spec.md has no row for it"
UNDECLARED = "kinds declare it, not one: IAM policy, CloudTrail and plan do not know it"
WHOLE = Attribute("made_up", calls=("ModifyInstanceAttribute",), parameter="MadeUp")
SOCKETS = Attribute("sockets", Changes.AT_CREATION, default=2)
HALF_DECLARED: dict[str, tuple[list[Attribute], list[str]]] = {
    "not at all": ([SOCKETS], [f"0 {UNDECLARED}"]),
    "twice": ([WHOLE, WHOLE, SOCKETS], [f"2 {UNDECLARED}"]),
    "whole": ([WHOLE, SOCKETS], []),
    "without calls": (
        [Attribute("made_up"), SOCKETS],
        ["no call changes it: the IAM policy grants none", "no CloudTrail event changes it"],
    ),
    "with a call without permissions": (
        [replace(WHOLE, calls=("ModifyMadeUp",)), SOCKETS],
        ["no kind declares the permissions of ModifyMadeUp"],
    ),
    "without a request parameter": (
        [replace(WHOLE, parameter=""), SOCKETS],
        ["no request parameter tells its CloudTrail events from those of other attributes"],
    ),
}


@pytest.mark.parametrize("how", HALF_DECLARED)
def test_an_attribute_that_is_not_known_is_found(how: str) -> None:
    """A test of the test: a key that is new in the spec, and declared to various degrees."""
    more, expected = HALF_DECLARED[how]
    found = gaps("instances", MadeUp, [*declared("instances"), *more])
    assert [gap for gap in found if gap.startswith("instances.made_up")] == [
        DOCS,
        *(f"instances.made_up: {gap}" for gap in expected),
    ]


def test_a_default_that_a_plan_would_always_show_is_found() -> None:
    """The other made-up key has a default in the spec that its kind has to know."""
    found: Any = gaps("instances", MadeUp, [*declared("instances"), WHOLE, replace(SOCKETS, default=None)])
    assert "instances.sockets: a plan shows its default for every new resource" in found


def test_a_key_that_cannot_be_ignored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUp, "attributes", Instance.attributes)
    found = gaps("instances", MadeUp, [*declared("instances"), WHOLE, SOCKETS])
    assert "instances.made_up: lifecycle.ignore does not take it" in found
