"""The pages of the reference have what the code has: exit codes, outcomes, metrics, keys of JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from enireconcile.cli import app
from enireconcile.errors import EnireconcileError
from enireconcile.fleet import metrics as fleet_metrics
from enireconcile.fleet.file import FleetFile
from enireconcile.model import _EXIT_CODES, CHECK_FAILED
from enireconcile.outputs import metrics
from enireconcile.outputs.json import plan_json, report_json
from enireconcile.spec.row import Row
from enireconcile.spec.violations import row_at
from tests.docs import python_page
from tests.docs.test_docs import DOCS, section
from tests.harness import STORY, open_harness

REFERENCE = DOCS / "reference"
Rows = dict[str, str]
"""The first cell of each row of a table to the rest of the row."""


def rows(page: str, heading: str, first: str) -> Rows:
    """The table below a heading of a page of the reference."""
    return table(REFERENCE / page, heading, first)


def table(page: Path, heading: str, first: str) -> Rows:
    """The table below a heading whose first column has this title."""
    tables = re.split(r"\n\n+", section(page, heading))
    [table] = [each for each in tables if each.startswith(f"| {first} |")]
    return dict(re.split(r"(?<!\\) \| ", line.strip("| "), maxsplit=1) for line in table.splitlines()[2:])


def names(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def codes(error: type[EnireconcileError]) -> set[int]:
    return {error.exit_code}.union(*(codes(each) for each in error.__subclasses__()))


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in rows("exit-codes.md", "Exit codes", "code")}
    used = codes(EnireconcileError) | set(_EXIT_CODES.values()) | {CHECK_FAILED, app.EXIT_USAGE, app.EXIT_CHANGES}
    assert told == used


def test_every_outcome_is_told_with_its_exit_code() -> None:
    told = rows("json.md", "JSON of apply", "outcome")
    assert {name.strip("`"): int(rest[0]) for name, rest in told.items()} == _EXIT_CODES


def keys_of_rows(row: type[Row], at: str = "") -> dict[str, bool]:
    """The keys of a file, as ``accounts[].id``, and whether they are required."""
    found = {}
    for name, field in row.model_fields.items():
        found[f"{at}{name}"] = field.is_required()
        below = row_at((name,), row)
        many = row_at((name, 0), row)
        if below or many:
            found |= keys_of_rows(below or many, f"{at}{name}{'' if below else '[]'}.")  # type: ignore[arg-type]
    return found


def test_every_key_of_a_fleet_file_is_told_with_whether_it_is_required() -> None:
    told = table(DOCS / "how-to" / "fleet.md", "The fleet file", "key")
    required = {name.strip("`"): rest.startswith("*required*") for name, rest in told.items()}
    assert required == keys_of_rows(FleetFile)


@pytest.mark.parametrize(
    ("heading", "families"),
    [("Metrics", metrics._FAMILIES), ("Metrics of a fleet", fleet_metrics._FAMILIES)],
)
def test_every_metric_is_told_with_its_type(heading: str, families: metrics.Families) -> None:
    told = rows("metrics.md", heading, "metric")
    kinds = {name.strip("`"): rest.partition(" |")[0] for name, rest in told.items()}
    assert kinds == {f"enireconcile_{name}": kind for name, (kind, _) in families.items()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan of the story, and the report of the run that applied it."""
    text = STORY.read_text(encoding="utf-8")
    with open_harness(tmp_path_factory.mktemp("story")) as harness:
        return plan_json(harness.plan(text), {}), report_json(harness.apply(text))


def untold(made: dict[str, Any], told: Rows) -> set[str]:
    """The keys of an object, and of the objects in its lists, that the rows do not have."""
    keys = set(made) - names(" ".join(told))
    for key, value in made.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            row = " ".join(rest for cell, rest in told.items() if key in names(cell.partition("[")[0]))
            keys |= {f"{key}[].{name}" for name in set().union(*value) - names(row)}
    return keys


def test_every_key_of_a_plan_is_told(story: tuple[dict[str, Any], dict[str, Any]]) -> None:
    plan, _ = story
    assert untold(plan, rows("json.md", "JSON of plan", "key")) == set()
    fields = rows("json.md", "JSON of plan", "key")["`changes[].fields`"]
    assert {key for change in plan["changes"] for each in change["fields"] for key in each} - names(
        fields
    ) == set()


def test_every_key_of_a_report_is_told(story: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, report = story
    assert untold(report, rows("json.md", "JSON of apply", "key of the report")) == set()


def test_every_attribute_of_a_resource_is_told(story: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, report = story
    told = rows("json.md", "JSON of show", "of")
    for address, attributes in report["resources"].items():
        [row] = [rest for cell, rest in told.items() if cell.startswith(f"`{address.partition('.')[0]}.")]
        assert list(attributes) == re.findall(r"`([^`]+)`", row), address


def test_the_page_of_the_python_api_is_made_of_its_docstrings() -> None:
    assert python_page.PAGE.read_text(encoding="utf-8") == python_page.page(), (
        "run python -m tests.docs.python_page --write"
    )
