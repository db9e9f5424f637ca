"""The table of AWS API actions: complete, and true to botocore's models of the services."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from botocore.model import ServiceModel
from botocore.session import get_session

import enireconcile
from enireconcile.aws.actions import ACTIONS, ApiAction, UnknownAction, action, is_read, listing_of

PACKAGE = Path(enireconcile.__file__).parent
SERVICES = sorted({row.service for row in ACTIONS.values()})
EVENTS_OF_OTHERS = {
    "CreateRouteTable",
    "DisassociateIamInstanceProfile",
    "EnableVgwRoutePropagation",
    "ModifySecurityGroupRules",
    "ResetNetworkInterfaceAttribute",
}
"""Actions that the package only looks for, in CloudTrail or as the origin of a route, and never calls."""
ROWS = [pytest.param(row, id=row.name) for row in ACTIONS.values()]


@cache
def _model(service: str) -> ServiceModel:
    return get_session().get_service_model(service)


def _operations() -> set[str]:
    return {name for service in SERVICES for name in _model(service).operation_names}


def _names_in(source: str) -> set[str]:
    """Actions that a module names: as whole texts, and as f"AuthorizeSecurityGroup{direction}"."""
    operations, found = _operations(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in operations:
            found.add(str(node.value))
        if isinstance(node, ast.JoinedStr) and isinstance(start := node.values[0], ast.Constant):
            found |= {f"{start.value!s}{direction}" for direction in ("Ingress", "Egress")} & operations
    return found


OF_BOTOCORE = {"AssumeRole"}
"""Made by botocore itself, outside a channel."""


def test_the_table_has_every_action_that_the_package_names() -> None:
    named = {name for path in PACKAGE.rglob("*.py") for name in _names_in(path.read_text(encoding="utf-8"))}
    assert len(named) > 40
    assert named - set(ACTIONS) == EVENTS_OF_OTHERS | OF_BOTOCORE


def test_a_missing_row_would_be_found() -> None:
    """The search sees plain names and f-strings."""
    source = 'call = "CreateVpc"\nother = f"AuthorizeSecurityGroup{direction}"\nplain = f"{address}/id"\n'
    assert _names_in(source) == {
        "CreateVpc",
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
    }


def test_the_table_has_nothing_that_the_package_does_not_name() -> None:
    """A row that is no longer needed goes."""
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "actions.py"]
    named = {name for path in others for name in _names_in(path.read_text(encoding="utf-8"))}
    assert set(ACTIONS) - named == set()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_an_action_of_its_service(row: ApiAction) -> None:
    assert row.name in _model(row.service).operation_names


@pytest.mark.parametrize("row", ROWS)
def test_reads_are_those_that_aws_names_so(row: ApiAction) -> None:
    """Describe, Get, List and Lookup change nothing; every other verb does."""
    assert row.reads == row.name.startswith(("Describe", "Get", "List", "Lookup"))


@pytest.mark.parametrize("row", ROWS)
def test_a_page_size_is_one_that_the_action_takes(row: ApiAction) -> None:
    if row.page_size is None:
        return
    members = _model(row.service).operation_model(row.name).input_shape.members  # type: ignore[union-attr]
    limits = members["MaxResults"].metadata
    assert limits.get("min", 1) <= row.page_size <= limits.get("max", 1000)
    assert "NextToken" in members


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ACTIONS.values() if row.listing])
def test_a_listing_fits_the_answer(row: ApiAction) -> None:
    """The path leads to a list of objects that have the id key."""
    listing = listing_of(row.name)
    shape = _model(row.service).operation_model(row.name).output_shape
    for key in listing.objects.replace("[]", "").split("."):
        shape = shape.members[key].member  # type: ignore[union-attr]
    assert listing.id_key in shape.members  # type: ignore[union-attr]


@pytest.mark.parametrize("row", ROWS)
def test_only_reads_are_paged_kept_or_polled(row: ApiAction) -> None:
    assert row.reads or (row.page_size, row.asked_once, row.listing) == (None, False, None)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ACTIONS.values() if not row.reads])
def test_dry_run_is_asked_where_the_call_takes_it(row: ApiAction) -> None:
    shape = _model(row.service).operation_model(row.name).input_shape
    assert shape is not None
    assert row.dry_run == ("DryRun" in shape.members)


def test_an_unknown_call_is_a_bug_and_no_read() -> None:
    assert not is_read("DescribeNothing")
    with pytest.raises(UnknownAction, match=r"DescribeNothing has no row in enireconcile/aws/actions\.py"):
        action("DescribeNothing")
    with pytest.raises(UnknownAction, match="the listing of DescribeVpcs has no row"):
        listing_of("DescribeVpcs")


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        action("RunInstances").reads = True  # type: ignore[misc]
