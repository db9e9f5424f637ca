"""Plans and reports as text for a terminal. Pure: ``style`` decides about colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enireconcile.model import Action, CheckResult, Plan, Report, Traces
from enireconcile.outputs.tables import address_lines, inventory_lines
from enireconcile.outputs.words import (
    LEFTOVERS,
    Style,
    at_endpoint,
    change_head,
    change_lines,
    check_lines,
    checks_summary,
    error_lines,
    leftover_words,
    path_lines,
    plain,
    report_lines,
    scope_lines,
    stack_head,
    summary_lines,
    unchanged_path_lines,
)
from enireconcile.planning.inventory import Inventory
from enireconcile.printable import printable


def plan_text(
    plan: Plan,
    traces: Traces | None = None,
    style: Style = plain,
    *,
    errors: bool = True,
    endpoint: str | None = None,
) -> str:
    """A plan: each resource with what changes, then leftovers, warnings and errors, then the summary.

    With ``traces`` it also says who changed what differs. Without ``errors``, it only counts them. ``endpoint`` is
    that of EC2, if it is not AWS's.
    """
    head = stack_head(plan.stack, plan.account_id, plan.region, style, endpoint=endpoint)
    lines = [head, *scope_lines(plan)]
    for block in _change_blocks(plan, traces, style):
        lines += ["", *block]
    if others := list(unchanged_path_lines(plan, style)):
        lines += ["", "While the plan runs:", *others]
    lines += _notes(plan, style)
    if errors:
        lines += _errors(plan, style)
    return "\n".join([*lines, "", *summary_lines(plan, style)])


def _change_blocks(plan: Plan, traces: Traces | None, style: Style) -> Iterator[list[str]]:
    """Changes of one line each are a block, as is each change of several lines, and at the end what is deleted."""
    short: list[str] = []
    deleted: list[str] = []
    for change in plan.changes:
        if change.action is Action.UNCHANGED:
            continue
        lines = [change_head(change, style), *change_lines(change, traces, style)]
        lines += path_lines(plan, change.address, style)
        if change.action is Action.DELETE:
            deleted += lines
        elif len(lines) == 1:
            short += lines
        else:
            yield from filter(None, (short, lines))
            short = []
    yield from filter(None, (short, deleted))


def notes_text(plan: Plan, style: Style = plain) -> str:
    """Leftovers and warnings of a plan, which a user should know even if there is nothing to do."""
    return "\n".join(_notes(plan, style)).lstrip("\n")


def _notes(plan: Plan, style: Style) -> Iterator[str]:
    if plan.leftovers:
        yield from ("", f"{LEFTOVERS}:")
        yield from (f"  {leftover_words(left)}" for left in plan.leftovers)
    if plan.warnings:
        yield ""
        yield from (style(f"warning: {printable(warning)}", fg="yellow") for warning in plan.warnings)


def _errors(plan: Plan, style: Style) -> Iterator[str]:
    for error in plan.errors:
        first, *others = error_lines(error)
        yield from ("", style(f"error: {first}", fg="red"), *others)


def report_text(report: Report, style: Style = plain, *, endpoint: str | None = None) -> str:
    """The closing words of an apply; after one that changed something also what the stack has now.

    Failures and errors are for stderr, which a run tells them when they happen.
    """
    lines = report_lines(report, style, told=True, endpoint=endpoint)
    if report.acted and report.resources:
        lines += ["", *address_lines(report.resources, style)]
    return "\n".join(lines)


def inventory_text(
    inventory: Inventory, style: Style = plain, *, endpoint: str | None = None, width: int | None = None
) -> str:
    """What ``show`` prints of a stack. ``endpoint`` is that of EC2, if it is not AWS's.

    If the rows are longer than ``width``, each has its id on a line of its own.
    """
    head = stack_head(inventory.stack, inventory.account_id, inventory.region, style, endpoint=endpoint)
    lines = list(inventory_lines(inventory, style, width)) or ["The stack owns nothing."]
    return "\n".join([head, "", *lines])


def checks_text(
    stack: str, checks: Sequence[CheckResult], style: Style = plain, *, endpoint: str | None = None
) -> str:
    """The checks of a stack, and how many of them failed. ``endpoint`` is that of EC2, if it is not AWS's."""
    if not checks:
        return f"{stack}: the spec has no checks"
    return "\n".join(
        [
            style(stack + at_endpoint(endpoint), bold=True),
            *check_lines(checks, style),
            checks_summary(checks).rstrip(":"),
        ]
    )
