"""What ``plan`` says at a terminal, beside the plan."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.cli.plan import Planned, how_to_explain
from enireconcile.cli.session import PlanOptions
from enireconcile.live.records import Live
from tests.planning.worlds import Words, plan_of, spec_of

TWO: Words = {"elastic_ips": {"one": {}, "two": {}}}
FIVE: Words = {"elastic_ips": {name: {} for name in ("a", "b", "c", "d", "e")}}


def _planned(rows: Words, file: str) -> Planned:
    plan = plan_of(rows)
    spec = replace(spec_of(rows), file=file)
    return Planned(spec, plan, Live(account_id=plan.account_id, region=plan.region), None, {}, None)


@pytest.mark.parametrize(
    ("files", "options", "line"),
    [
        ([(FIVE, "my web.yaml")], {}, "enireconcile explain 'my web.yaml' elastic_ips.a"),
        ([(TWO, "short.yaml"), (FIVE, "web.yaml")], {}, "enireconcile explain web.yaml elastic_ips.a"),
        ([(FIVE, "web.yaml")], {"prune": True}, "enireconcile explain --prune web.yaml elastic_ips.a"),
        (
            [(FIVE, "web.yaml")],
            {"prune": True, "destroy": True},
            "enireconcile explain --destroy web.yaml elastic_ips.a",
        ),
        ([(TWO, "short.yaml")], {}, None),
        ([(FIVE, "-")], {}, None),
    ],
)
def test_a_plan_of_some_length_says_how_to_see_why(
    files: list[tuple[Words, str]], options: dict[str, Any], line: str | None
) -> None:
    """With the options that the same plan needs; stdin cannot be read again."""
    said = how_to_explain([_planned(*each) for each in files], PlanOptions("text", **options))
    assert said == (f"Why these calls, and why in this order:\n  {line}" if line else None)
