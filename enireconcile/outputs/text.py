"""Plans and reports as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import click

from enireconcile.model import (
    Action,
    Change,
    Field,
    Impact,
    Plan,
    Ref,
    Report,
    Secret,
    Status,
    Trace,
    Traces,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.printable import printable, printable_lines

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REPLACE: ("±", "red"),
    Action.DELETE: ("-", "red"),
    Action.ADOPT: ("»", "cyan"),
}
_IMPACTS = {Impact.SAFE: "green", Impact.DISRUPTIVE: "yellow", Impact.DESTRUCTIVE: "red"}
_RELATIONS = {"attachment", "association"}


def plan_text(plan: Plan, traces: Traces | None = None) -> str:
    """What a plan says to a person: resources with what changes of them, then the calls, then the sum.

    With ``traces`` it says who was behind what differs.
    """
    lines = [_bold(f"{plan.stack}  (account {plan.account_id}, {plan.region})"), *_part(plan)]
    for change in plan.changes:
        if change.action is not Action.UNCHANGED:
            lines += ["", *_change_lines(change, traces)]
    return "\n".join([*lines, *_asides(plan), "", *_summary_lines(plan)])


def _bold(text: str, colour: str | None = None) -> str:
    return click.style(text, fg=colour, bold=True)


def _part(told: Plan | Report) -> list[str]:
    return [f"  only {printable(', '.join(told.targets))}, and what that needs"] if told.targets else []


def asides_text(plan: Plan) -> str:
    """What a person should know of a plan even if nothing is to be done: leftovers and warnings."""
    return "\n".join(_asides(plan)).lstrip("\n")


def _asides(plan: Plan) -> Iterator[str]:
    if plan.leftovers:
        yield from ("", "The stack owns these, and the spec no longer names them (they are left alone):")
        yield from (f"  {printable(left.address)}  {printable(left.id)}" for left in plan.leftovers)
    if plan.warnings:
        yield ""
        yield from (click.style(f"warning: {printable(warning)}", fg="yellow") for warning in plan.warnings)


def _change_lines(change: Change, traces: Traces | None = None) -> Iterator[str]:
    sign, colour = _SIGNS[change.action]
    head = _bold(f"{sign} {printable(change.address)}", colour)
    yield f"{head}  {printable(change.id)}".rstrip() + f"  {verb(change)}  [{_impact(change.impact)}]"
    fields = [field for field in change.fields if not _implied(change, field)]
    width = max((len(field.field) for field in fields), default=0)
    for field in fields:
        yield from _field_lines(change, field, width)
        if traces is not None and (trace := traces.found.get((change.address, field.field))):
            yield f"    {' ' * width}  {_trace_words(trace)}"
    if change.reason:
        yield f"    {printable(change.reason)}"


def _trace_words(trace: Trace) -> str:
    when = trace.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return click.style(f"by {printable(trace.user)}, {when} ({printable(trace.event)})", dim=True)


def change_words(change: Change, traces: Traces | None = None) -> list[str]:
    """What differs of a resource, who it was and why it is changed, line by line, without colours."""
    return [click.unstyle(line).strip() for line in list(_change_lines(change, traces))[1:]]


def verb(change: Change) -> str:
    """What is done to a resource, in a word."""
    moved = any(
        _place(field.before) != _place(field.after)
        for field in change.fields
        if field.field in _RELATIONS and field.before and field.after
    )
    return "move" if moved and change.action is Action.UPDATE else str(change.action)


def _place(relation: Mapping[str, Any]) -> dict[str, Any]:
    """An attachment without the flag that says nothing of where it is."""
    return {key: value for key, value in relation.items() if key != "delete_on_termination"}


def _implied(change: Change, field: Field) -> bool:
    """On a new resource, what is empty, EC2's default or the resource's own name says nothing."""
    if change.action is not Action.CREATE:
        return False
    name = change.address.partition(".")[2]
    defaults: dict[str, Any] = {
        "source_dest_check": True,
        "interface_type": "interface",
        "state": "running",
        "group_name": name,
        "tags": {},
        "metadata_options": {
            "http_tokens": "required",
            "http_endpoint": "enabled",
            "instance_metadata_tags": "disabled",
        },
    }
    if field.field == "egress":
        # No rule at all is far from EC2's default, which lets everything out.
        return False
    after = field.after if field.field != "tags" else _shown_tags(change, field)
    return after in (None, "", []) or (field.field in defaults and defaults[field.field] == after)


def _shown_tags(change: Change, field: Field) -> dict[str, str] | None:
    """Tags without those that every resource of the stack carries; None for other fields."""
    if field.field != "tags":
        return None
    name = change.address.partition(".")[2]
    usual = {STACK_TAG, NAME_TAG} | ({"Name"} if field.after.get("Name") == name else set())
    return {key: value for key, value in field.after.items() if key not in usual}


def _field_lines(change: Change, field: Field, width: int) -> Iterator[str]:
    name = field.field.ljust(width)
    if change.action is Action.CREATE:
        yield f"    {name}  {_value(_shown_tags(change, field) or field.after)}"
    elif isinstance(field.before, list) and isinstance(field.after, list):
        for sign, colour, only in (
            ("+", "green", _without(field.after, field.before)),
            ("-", "red", _without(field.before, field.after)),
        ):
            for item in only:
                yield f"    {name}  " + click.style(f"{sign} {_value(item)}", fg=colour)
    elif field.field == "tags":
        for key, after in field.after.items():
            before = field.before.get(key)
            if before != after:
                yield f"    {name}  {printable(key)}: {_value(before)} → {_value(after)}"
    else:
        yield f"    {name}  {_value(field.before)} → {_value(field.after)}"


def _without(items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [item for item in items if item not in others]


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    if value == "":
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Secret):
        return value.digest
    if isinstance(value, Ref):
        return f"({value})"
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "(none)"
    if isinstance(value, Mapping):
        return _mapping(value)
    return printable(str(value))


def _mapping(value: Mapping[str, Any]) -> str:
    """The few shapes that fields have, each as a person would say it."""
    if "protocol" in value:
        ports = f" {value['ports']}" if value["ports"] else ""
        end = f"from {value['source']}" if "source" in value else f"to {value['destination']}"
        words = f' "{value["description"]}"' if value["description"] else ""
        protocol = "all" if value["protocol"] == "-1" else value["protocol"]
        return printable(f"{protocol}{ports} {end}{words}")
    if "device_index" in value:
        card = f", card {value['network_card_index']}" if value["network_card_index"] else ""
        flag = ", deleted on termination" if value["delete_on_termination"] else ""
        return printable(f"{value['instance']}, index {value['device_index']}{card}{flag}")
    if "network_interface" in value:
        private = f" ({value['private_ip']})" if value.get("private_ip") else ""
        return printable(f"{value['network_interface']}{private}")
    return printable(", ".join(f"{key}={item}" for key, item in value.items()))


def _impact(impact: Impact) -> str:
    return click.style(str(impact), fg=_IMPACTS[impact])


def _summary_lines(plan: Plan) -> Iterator[str]:
    counts = plan.summary()
    if plan.empty:
        which = f"these {counts['unchanged']}" if plan.targets else f"all {counts['unchanged']}"
        yield f"No changes: {which} resources are as the spec says."
        return
    words = {
        "create": "to create",
        "adopt": "to adopt",
        "update": "to update",
        "replace": "to replace",
        "delete": "to delete",
    }
    said = [f"{counts[action]} {word}" for action, word in words.items() if counts[action]]
    yield _bold("Plan: ") + ", ".join([*said, f"{counts['unchanged']} unchanged"]) + "."
    per_impact = [
        f"{sum(step.impact is impact for step in plan.steps)} {_impact(impact)}"
        for impact in Impact
        if any(step.impact is impact for step in plan.steps)
    ]
    calls = "1 EC2 call" if len(plan.steps) == 1 else f"{len(plan.steps)} EC2 calls"
    yield f"{calls}: {', '.join(per_impact)}."


def summary_words(plan: Plan) -> list[str]:
    """The sum of a plan in a sentence or two, without colours."""
    return [click.unstyle(line) for line in _summary_lines(plan)]


def report_text(report: Report) -> str:
    """The closing words of an apply."""
    done = sum(outcome.status == "done" for outcome in report.outcomes)
    took = f"{done} of {len(report.outcomes)} calls in {report.seconds:.1f} s"
    words = {
        "converged": _bold("Converged", "green") + f": {took}; read back, nothing differs.",
        "unchanged": _bold("Unchanged", "green") + ": everything is as the spec says.",
        "partial": _bold("Stopped half way", "red") + f": {took}. Running it again is safe.",
        "failed": _bold("Failed", "red") + ": nothing was changed.",
        "refused": _bold("Refused", "red") + ": nothing was changed.",
        "locked": _bold("Locked", "red") + ": another run holds the stack.",
    }
    lines = [words[report.outcome]]
    if report.outcome == "partial" and not any(outcome.acted for outcome in report.outcomes):
        lines = [_bold("Stopped", "red") + ": nothing was changed. Running it again is safe."]
    lines += _part(report)
    failed = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
    lines += [f"  {outcome.step.id} {outcome.step.call}: {printable_lines(outcome.error)}" for outcome in failed]
    if report.error:
        lines.append(f"  {printable_lines(report.error)}")
    if report.remaining:
        lines.append(f"  still to do: {printable(', '.join(report.remaining))}")
    return "\n".join(lines)
