"""What ``explain`` prints, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enireconcile.model import FORMAT_VERSION, Action, PathBreak, Plan, plain
from enireconcile.outputs.words import (
    Style,
    change_head,
    differences,
    error_lines,
    field_words,
    stack_head,
    step_words,
)
from enireconcile.outputs.words import plain as unstyled
from enireconcile.planning.explain import Explained, FieldExplained, Reason, StepExplained
from enireconcile.printable import printable


def explained_text(
    plan: Plan, explained: Explained, style: Style = unstyled, *, endpoint: str | None = None
) -> str:
    """The resource and why it changes or not, then its steps, each with why it comes after and before others.

    ``endpoint`` is that of EC2, if it is not AWS's.
    """
    change = explained.change
    if change is None or change.action is Action.UNCHANGED:
        head = "  ".join([style(printable(explained.address), bold=True), printable(explained.id)]).rstrip()
    else:
        head = change_head(change, style)
    lines = [stack_head(plan.stack, plan.account_id, plan.region, style, endpoint=endpoint), "", head]
    lines += [f"    {_at(explained.place)}{printable(explained.verdict)}."]
    if change is not None and change.reason:
        lines += [f"    {printable(change.reason)}"]
    lines += _field_lines(explained)
    lines += [f"    {style('note', fg='yellow')}: {printable(note)}" for note in explained.notes]
    if explained.error is not None:
        first, *others = error_lines(explained.error)
        lines += ["", style(f"error: {first}", fg="red"), *others]
    for step in explained.steps:
        lines += ["", *_step_lines(step, explained.breaks, style)]
    return "\n".join(lines)


def _at(place: str | None) -> str:
    return f"{printable(place)}: " if place else ""


def _field_lines(explained: Explained) -> Iterator[str]:
    """What differs: of a list and of tags only the entries that do, as ``plan`` shows them."""
    words = field_words(explained.change) if explained.change is not None else {}
    entries = dict(differences(explained.change)) if explained.change is not None else {}
    for each in explained.fields:
        name = each.field.field
        if name not in words:
            continue
        before, after = words[name]
        yield f"    {name}" + (f"  ({printable(each.place)})" if each.place else "")
        if explained.id is not None and (name == "tags" or isinstance(each.field.before, list)):
            yield from (f"      {' '.join(filter(None, entry))}" for entry in entries[name])
            continue
        if explained.id is not None:
            yield f"      found   {before}"
        yield f"      wanted  {after}"


def _step_lines(explained: StepExplained, breaks: tuple[PathBreak, ...], style: Style) -> Iterator[str]:
    step = explained.step
    words = step_words(step.call, step.address, step.public_ip, step.detail)
    yield f"{style(step.id, bold=True)} {words}  [{step.impact}]"
    if explained.impact is not None:
        yield f"    {style(str(step.impact), fg='yellow')}: {explained.impact}"
    if step.note:
        yield f"    {printable(step.note)}"
    if explained.fields:
        yield f"    for    {', '.join(each.field.field for each in explained.fields)}"
    yield from _reason_lines("after", explained.after)
    if not explained.after:
        yield "    after  nothing: it can run at once"
    yield from _reason_lines("before", explained.before)
    for broken in breaks:
        if broken.begins == step.id:
            yield f"    {style('until', fg='yellow')}  {broken.ends}: {printable(f'{broken.what}; {broken.why}')}"


def _reason_lines(word: str, reasons: tuple[Reason, ...]) -> Iterator[str]:
    for reason in reasons:
        yield f"    {word:<6} {reason.step.id} {reason.step.call}: {printable(reason.why)}"


def explained_json(plan: Plan, explained: Explained) -> dict[str, Any]:
    """The object that ``explain --output json`` prints (format 1.0)."""
    change = explained.change
    return {
        "format_version": FORMAT_VERSION,
        "stack": plan.stack,
        "account_id": plan.account_id,
        "region": plan.region,
        "address": explained.address,
        "place": explained.place,
        "action": str(change.action) if change else None,
        "id": explained.id,
        "verdict": explained.verdict,
        "reason": change.reason if change else None,
        "fields": [_field_json(each) for each in explained.fields],
        "notes": list(explained.notes),
        "error": str(explained.error.problem) if explained.error else None,
        "steps": [_step_json(each) for each in explained.steps],
        "interrupts": [
            {"address": each.address, "what": each.what, "from": each.begins, "to": each.ends, "why": each.why}
            for each in explained.breaks
        ],
    }


def _field_json(each: FieldExplained) -> dict[str, Any]:
    field = each.field
    return {
        "field": field.field,
        "before": plain(field.before),
        "after": plain(field.after),
        "place": each.place,
    }


def _step_json(each: StepExplained) -> dict[str, Any]:
    step = each.step
    return {
        "id": step.id,
        "call": step.call,
        "summary": step.summary,
        "address": step.address,
        "impact": str(step.impact),
        "impact_why": each.impact,
        "fields": [field.field.field for field in each.fields],
        "after": [{"step": reason.step.id, "why": reason.why} for reason in each.after],
        "before": [{"step": reason.step.id, "why": reason.why} for reason in each.before],
    }
