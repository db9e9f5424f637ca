"""Plans and reports as a comment that people can read on GitHub. Pure.

What comes from the world (names, tags, descriptions, errors) stands in HTML blocks, inside ``<code>`` or
``<pre>``, and escaped. GitHub reads no Markdown in an HTML block, and looks for neither mentions nor links in
code: nothing that a tag says can call somebody, lead somewhere or pass for part of the report. An HTML block
ends with an empty line, hence none of ours holds one.

A comment takes 65,536 characters. What is too long is told in less and less detail, least important things first.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import click

from enireconcile.model import Action, Change, Impact, Outcome, Plan, Report, Status, Step, Traces, canonical
from enireconcile.outputs.text import change_words, report_text, summary_words, verb
from enireconcile.printable import (
    printable,
)

LIMIT = 65_536
_RESERVE = 1_000
"""Characters that are left to whoever adds a line of his own."""
_LONGEST = 500
_FEW = 20
_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "±", Action.DELETE: "−", Action.ADOPT: "»"}
_MARKS = {Status.DONE: "✓", Status.FAILED: "✗", Status.SKIPPED: "·"}


@dataclass(frozen=True)
class _Detail:
    """How much is told: parameters of calls, the calls, what differs of a resource, and so many of each list."""

    params: bool = True
    calls: bool = True
    fields: bool = True
    most: int = 1_000_000


_ALL = _Detail()
_LESS = (
    replace(_ALL, params=False),
    replace(_ALL, params=False, calls=False),
    replace(_ALL, params=False, calls=False, fields=False),
    *(_Detail(params=False, calls=False, fields=False, most=most) for most in (200, 50, 10, 3)),
)


def plans_markdown(plans: Sequence[Plan], traces: Sequence[Traces] = ()) -> str:
    """One comment for all the plans, with who is behind what differs in each, if that was asked for."""
    known = traces or [Traces()] * len(plans)
    return _comment([_Section("plan", plan, who) for plan, who in zip(plans, known, strict=True)])


def reports_markdown(reports: Sequence[Report], command: str = "apply") -> str:
    """One comment for all the runs: what was planned, and what came of it."""
    return _comment([_Section(command, report) for report in reports])


@dataclass(frozen=True)
class _Section:
    """What is told of one stack: a plan, or what became of it (and the plan, if it came to one)."""

    command: str
    told: Plan | Report
    traces: Traces = field(default_factory=Traces)

    @property
    def report(self) -> Report | None:
        return self.told if isinstance(self.told, Report) else None

    @property
    def plan(self) -> Plan | None:
        return self.told.plan if isinstance(self.told, Report) else self.told

    def text(self, detail: _Detail) -> str:
        return "\n\n".join(_blocks(self, detail))


def _comment(sections: Sequence[_Section]) -> str:
    """All sections in full if there is room, else each in the detail that its share allows."""
    room = LIMIT - _RESERVE
    texts = [section.text(_ALL) for section in sections]
    if sum(len(text) + 2 for text in texts) > room:
        share = room // len(sections) - 2
        texts = [_fitted(section, share) for section in sections]
    for left_out in range(len(texts)):
        whole = "\n\n".join(texts[: len(texts) - left_out])
        more = f"\n\n<p>And {left_out} more, for which there is no room here.</p>" if left_out else ""
        if len(whole) + len(more) <= room:
            return whole + more
    return "<p>There is no room for this here.</p>"


def _fitted(section: _Section, room: int) -> str:
    for detail in (_ALL, *_LESS):
        text = section.text(detail)
        if len(text) <= room:
            break
    return text


def _blocks(section: _Section, detail: _Detail) -> Iterator[str]:
    """Paragraphs, tables and so on, each of them one block."""
    told = section.told
    stack = told.stack or ""
    # So that a workflow finds the comment that it wrote the last time.
    yield f"<!-- enireconcile {section.command} {stack} -->"
    place = [f"account {_code(told.account_id)}"] if told.account_id else []
    place += [_code(told.region)] if told.region else []
    where = f" <sub>{', '.join(place)}</sub>" if place else ""
    yield f"<h3>enireconcile {section.command} {_code(stack or 'without a stack')}{where}</h3>"
    if section.report is not None:
        yield from _report_blocks(section.report)
    plan = section.plan
    if plan is None:
        return
    if plan.targets:
        yield f"<p>Only {', '.join(map(_code, plan.targets[:_FEW]))}, and what that needs.</p>"
    yield from (f"<p>{html.escape(line)}</p>" for line in summary_words(plan))
    yield from _table(plan, section.traces, detail)
    if section.report is None:
        yield from _calls([_planned(step, detail) for step in plan.steps], detail)
    else:
        yield from _calls([_done(outcome) for outcome in section.report.outcomes], detail)
    yield from _list("Warnings", list(plan.warnings), detail)
    leftovers = [f"{left.address}  {left.id}" for left in plan.leftovers]
    yield from _list(
        "The stack owns these, which the spec no longer names; they are left alone", leftovers, detail
    )


def _report_blocks(report: Report) -> Iterator[str]:
    first, *others = click.unstyle(report_text(report)).splitlines()
    yield f"<p><b>{html.escape(first)}</b></p>"
    if others:
        yield _pre(others)


def _table(plan: Plan, traces: Traces, detail: _Detail) -> Iterator[str]:
    changes = [change for change in plan.changes if change.action is not Action.UNCHANGED]
    if not changes:
        return
    differing = "<th>What differs</th>" if detail.fields else ""
    rows = [_row(change, traces, detail) for change in changes[: detail.most]]
    if len(changes) > detail.most:
        rows.append(f"<tr><td></td><td>and {len(changes) - detail.most} more</td></tr>")
    head = f"<tr><th></th><th>Resource</th><th>Action</th><th>Impact</th>{differing}</tr>"
    yield "\n".join(["<table>", head, *rows, "</table>"])


def _row(change: Change, traces: Traces, detail: _Detail) -> str:
    impact = str(change.impact)
    shown = impact if change.impact is Impact.SAFE else f"<b>{impact}</b>"
    name = _code(change.address) + (f"<br><sub>{_code(change.id)}</sub>" if change.id else "")
    cells = [_SIGNS[change.action], name, verb(change), shown]
    if detail.fields:
        cells.append("<br>".join(_code(words) for words in change_words(change, traces)))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _planned(step: Step, detail: _Detail) -> str:
    line = f"{step.id}  {step.call}  {step.address}  [{step.impact}]"
    return f"{line}\n      {canonical(step.params)}" if detail.params else line


def _done(outcome: Outcome) -> str:
    step = outcome.step
    line = f"{_MARKS[outcome.status]} {step.id}  {step.call}  {step.address}"
    line += f"  {outcome.result_id}" if outcome.result_id else ""
    return line + (f"\n      {outcome.error}" if outcome.error else "")


def _calls(lines: Sequence[str], detail: _Detail) -> Iterator[str]:
    if not lines:
        return
    count = "1 EC2 call" if len(lines) == 1 else f"{len(lines)} EC2 calls"
    if not detail.calls:
        yield f"<p>{count}: too long for a comment, see the log.</p>"
        return
    shown = [part for line in lines for part in line.split("\n")]
    yield f"<details><summary>{count}</summary>\n{_pre(shown)}\n</details>"


def _list(title: str, items: Sequence[str], detail: _Detail) -> Iterator[str]:
    if not items:
        return
    shown = [f"<li>{_code(item)}</li>" for item in items[: detail.most]]
    if len(items) > detail.most:
        shown.append(f"<li>and {len(items) - detail.most} more</li>")
    yield "\n".join([f"<p>{title}:</p>", "<ul>", *shown, "</ul>"])


def _code(text: str | None) -> str:
    return f"<code>{_plain(_cut(text or ''))}</code>"


def _pre(lines: Sequence[str]) -> str:
    return "<pre>" + "\n".join(_plain(_cut(line, 5 * _LONGEST)) for line in lines if line.strip()) + "</pre>"


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _plain(text: str) -> str:
    """Text that means itself in HTML, on one line, without what could turn it around."""
    return html.escape(printable(text))
