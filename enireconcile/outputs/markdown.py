"""Plans and reports as a comment on GitHub. Pure.

Text that comes from AWS (names, tags, descriptions, errors) is escaped and stands in HTML blocks, inside
``<code>`` or ``<pre>``. GitHub renders no Markdown in an HTML block, and neither mentions nor links in code: a
tag cannot mention a user, link to a site or imitate a part of the report. An empty line ends an HTML block, so no
block here contains one.

A comment is limited to 65,536 characters. A longer one leaves out details, the least important first.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import Problem
from enireconcile.model import Action, Change, Impact, Outcome, Plan, Report, Step, Traces, canonical
from enireconcile.outputs.tables import address_lines
from enireconcile.outputs.words import (
    LEFTOVERS,
    MARKS,
    at_endpoint,
    change_lines,
    counted,
    ec2_calls,
    error_lines,
    leftover_words,
    outcome_words,
    path_lines,
    reason_words,
    report_lines,
    step_words,
    summary_lines,
    unchanged_path_lines,
    verb,
)
from enireconcile.printable import printable

LIMIT = 65_536
_RESERVE = 1_000
"""Characters left for lines that a workflow adds to the comment."""
_LONGEST = 500
_FEW = 20
_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "±", Action.DELETE: "−", Action.ADOPT: "»"}


class _Detail(Struct, frozen=True):
    """What a section shows: addresses after a run, calls, their parameters, fields that differ.

    ``most`` is the length of each list.
    """

    addresses: bool = True
    params: bool = True
    calls: bool = True
    fields: bool = True
    most: int = 1_000_000


_ALL = _Detail()
_LESS = (
    replace(_ALL, params=False),
    replace(_ALL, params=False, addresses=False),
    replace(_ALL, params=False, addresses=False, calls=False),
    *(_Detail(False, False, False, False, most) for most in (_ALL.most, 200, 50, 10, 3)),
)


def plans_markdown(
    plans: Sequence[Plan | Report],
    traces: Sequence[Traces] = (),
    endpoints: Sequence[str | None] = (),
    refused: Sequence[Problem] = (),
) -> str:
    """One comment for all plans; a stack that could not be planned has a report, which says why.

    With ``traces``, one for each plan, it says who changed what differs. ``endpoints`` has for each plan the URL
    of EC2's endpoint, None for AWS's. ``refused`` are the problems of files without a valid spec.
    """
    known, places = traces or [Traces()] * len(plans), endpoints or [None] * len(plans)
    sections = [_Section("plan", *each) for each in zip(plans, known, places, strict=True)]
    return _comment([*sections, *_refused_files("plan", refused)])


def reports_markdown(reports: Sequence[Report], command: str = "apply", refused: Sequence[Problem] = ()) -> str:
    """One comment for all runs: what each planned and how it ended; ``refused`` are as in ``plans_markdown``."""
    sections = [_Section(command, report, endpoint=report.endpoint) for report in reports]
    return _comment([*sections, *_refused_files(command, refused)])


class _Section(Struct, frozen=True):
    """One stack's part of the comment: a plan, or a report with the plan of its run, if there is one."""

    command: str
    subject: Plan | Report
    traces: Traces = msgspec.field(default_factory=Traces)
    endpoint: str | None = None

    @property
    def report(self) -> Report | None:
        return self.subject if isinstance(self.subject, Report) else None

    @property
    def plan(self) -> Plan | None:
        return self.subject.plan if isinstance(self.subject, Report) else self.subject

    def text(self, detail: _Detail) -> str:
        return "\n\n".join(_blocks(self, detail))


class _RefusedFile(Struct, frozen=True):
    """The part of the comment of a file that has no valid spec."""

    command: str
    file: str
    problems: Sequence[Problem]

    def text(self, detail: _Detail) -> str:
        lines = [line for problem in self.problems[: detail.most] for line in str(problem).splitlines()]
        if len(self.problems) > detail.most:
            lines.append(f"and {len(self.problems) - detail.most} more")
        return "\n\n".join(
            [
                f"<!-- enireconcile {self.command} -->",
                f"<h3>enireconcile {self.command} {_code(self.file)}</h3>",
                f"<p><b>Refused: {counted(len(self.problems), 'problem')} in this file.</b></p>",
                _pre(lines),
            ]
        )


def _refused_files(command: str, problems: Sequence[Problem]) -> list[_RefusedFile]:
    by_file: dict[str, list[Problem]] = {}
    for problem in problems:
        by_file.setdefault(problem.file, []).append(problem)
    return [_RefusedFile(command, file, found) for file, found in by_file.items()]


def _comment(sections: Sequence[_Section | _RefusedFile]) -> str:
    """All sections in full if they fit, else each with the details that fit its share of the comment."""
    room = LIMIT - _RESERVE
    texts = [section.text(_ALL) for section in sections]
    if sum(len(text) + 2 for text in texts) > room:
        share = room // len(sections) - 2
        texts = [_fitted(section, share) for section in sections]
    for left_out in range(len(texts)):
        whole = "\n\n".join(texts[: len(texts) - left_out])
        more = f"\n\n<p>{_left_out(left_out)}: too long for a comment, see the log.</p>" if left_out else ""
        if len(whole) + len(more) <= room:
            return whole + more
    return "<p>Too long for a comment, see the log.</p>"


def _left_out(count: int) -> str:
    return "1 more stack" if count == 1 else f"{count} more stacks"


def _fitted(section: _Section | _RefusedFile, room: int) -> str:
    for detail in (_ALL, *_LESS):
        text = section.text(detail)
        if len(text) <= room:
            break
    return text


def _blocks(section: _Section, detail: _Detail) -> Iterator[str]:
    """The section's HTML blocks: heading, paragraphs, tables, lists."""
    subject = section.subject
    stack = subject.stack or ""
    # A workflow finds its earlier comment by this marker.
    yield f"<!-- enireconcile {section.command} {stack} -->"
    scope = [f"account {_code(subject.account_id)}"] if subject.account_id else []
    scope += [_code(subject.region)] if subject.region else []
    where = f" <sub>{', '.join(scope)}{_at(section.endpoint)}</sub>" if scope else ""
    yield f"<h3>enireconcile {section.command} {_code(stack or '(no stack)')}{where}</h3>"
    if section.report is not None:
        yield from _report_blocks(section.report)
    plan = section.plan
    if plan is None:
        return
    if plan.targets:
        whose = "its" if len(plan.targets) == 1 else "their"
        yield f"<p>Only {', '.join(map(_code, plan.targets[:_FEW]))} and {whose} dependencies.</p>"
    yield from (f"<p>{html.escape(line)}</p>" for line in summary_lines(plan))
    if section.report is None:
        # The lines of a report contain its errors.
        yield from _list("Errors", [" ".join(error_lines(error)) for error in plan.errors], detail)
    yield from _table(plan, section.traces, detail)
    if section.report is None:
        yield from _calls([_planned(step, detail) for step in plan.steps], detail)
    else:
        yield from _calls([_done(outcome) for outcome in section.report.outcomes], detail)
        yield from _addresses(section.report, detail)
    yield from _list("While the plan runs", [line.strip() for line in unchanged_path_lines(plan)], detail)
    yield from _list("Warnings", list(plan.warnings), detail)
    leftovers = [leftover_words(left) for left in plan.leftovers]
    yield from _list(LEFTOVERS, leftovers, detail)


def _at(endpoint: str | None) -> str:
    """Where EC2 is, if that is not AWS. The URL is code: GitHub makes no link of it."""
    if endpoint is None:
        return ""
    before, url, after = at_endpoint(endpoint).partition(printable(endpoint))
    return f"{before}{_code(url)}{after}"


def _report_blocks(report: Report) -> Iterator[str]:
    first, *others = report_lines(report)
    yield f"<p><b>{html.escape(first)}</b></p>"
    if others:
        yield _pre(others)


def _table(plan: Plan, traces: Traces, detail: _Detail) -> Iterator[str]:
    changes = [change for change in plan.changes if change.action is not Action.UNCHANGED]
    if not changes:
        return
    differing = "<th>What differs</th>" if detail.fields else ""
    rows = [_row(change, plan, traces, detail) for change in changes[: detail.most]]
    if len(changes) > detail.most:
        rows.append(f"<tr><td></td><td>and {len(changes) - detail.most} more</td></tr>")
    head = f"<tr><th></th><th>Resource</th><th>Action</th><th>Impact</th>{differing}</tr>"
    yield "\n".join(["<table>", head, *rows, "</table>"])


def _row(change: Change, plan: Plan, traces: Traces, detail: _Detail) -> str:
    impact = str(change.impact)
    shown = impact if change.impact is Impact.SAFE else f"<b>{impact}</b>"
    known = "  ".join(filter(None, (change.public_ip, change.id)))
    name = _code(change.address) + (f"<br><sub>{_code(known)}</sub>" if known else "")
    cells = [_SIGNS[change.action], name, verb(change), shown]
    if detail.fields:
        lines = (*change_lines(change, traces), *path_lines(plan, change.address))
        cells.append("<br>".join(_code(line.strip()) for line in lines))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _call(step: Step) -> str:
    return step_words(step.call, step.address, step.public_ip, step.detail)


def _planned(step: Step, detail: _Detail) -> str:
    line = f"{step.id}  {_call(step)}  [{step.impact}]"
    return f"{line}\n      {canonical(step.params)}" if detail.params else line


def _done(outcome: Outcome) -> str:
    step = outcome.step
    line = f"{MARKS[outcome.status][0]} {step.id}  {outcome_words(outcome)}"
    line += f"  {outcome.result_id}" if outcome.result_id else ""
    return line + (f"\n      {reason_words(step.call, step.address, outcome.error)}" if outcome.error else "")


def _calls(lines: Sequence[str], detail: _Detail) -> Iterator[str]:
    if not lines:
        return
    count = ec2_calls(len(lines))
    if not detail.calls:
        yield f"<p>{count}: too long for a comment, see the log.</p>"
        return
    shown = [part for line in lines for part in line.split("\n")]
    yield f"<details><summary>{count}</summary>\n{_pre(shown)}\n</details>"


def _addresses(report: Report, detail: _Detail) -> Iterator[str]:
    """What the stack has after a run that changed something."""
    if detail.addresses and report.acted and report.resources:
        lines = list(address_lines(report.resources))
        yield f"<details><summary>Addresses</summary>\n{_pre(lines)}\n</details>"


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
    """Text escaped for HTML, on one line, with control characters and bidirectional overrides spelled out."""
    return html.escape(printable(text))
