"""Plans and reports as one HTML page that loads nothing and runs nothing. Pure.

The page is ``page/page.html``, a Jinja2 template: it reads as the page that it makes, and every value passes
through ``_shown`` and autoescaping, so that no place can forget it. ``_shown`` spells out control characters and
bidirectional overrides, as ``printable`` does for a terminal, and cuts what is longer than ``LONGEST``.
The Content-Security-Policy forbids everything but the page's own styles, which it names by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from textwrap import dedent
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import replace

from enireconcile import __version__
from enireconcile.live.records import Live
from enireconcile.model import (
    Action,
    Change,
    CheckResult,
    Outcome,
    Plan,
    Report,
    Status,
    Step,
    Traces,
    canonical,
    plain,
)
from enireconcile.outputs import words
from enireconcile.outputs.graph import Picture, live_picture, plan_picture, svg
from enireconcile.outputs.tables import TITLES, Row, section_rows
from enireconcile.printable import printable
from enireconcile.spec import Document

LONGEST = 10_000
"""Characters of one value that the page shows."""
_LARGE = 12
"""Interfaces of a picture that takes more than a screen."""
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)


class Pictures(Struct, frozen=True):
    """A stack before and after, and what its plan changes.

    ``read_back`` says that ``after`` is what a run has read at its end, not what the plan leads to.
    """

    before: Picture
    changes: Picture
    after: Picture
    read_back: bool


def pictures_of(plan: Plan, document: Document, before: Live, after: Live | None = None) -> Pictures:
    """The pictures of a plan from the read that it is made from; ``after`` is the last read of a run."""
    changes = plan_picture(plan, document, before)
    last = changes.after if after is None else live_picture(document, after)
    return Pictures(live_picture(document, before), changes, last, after is not None)


class Planned(Struct, frozen=True):
    """A plan, the pictures of it, and with ``plan --who`` who changed what differs.

    ``endpoint`` is the URL of EC2's endpoint, if it is not AWS's.
    """

    plan: Plan
    pictures: Pictures | None = None
    traces: Traces = msgspec.field(default_factory=Traces)
    endpoint: str | None = None


class Ran(Struct, frozen=True):
    """A run, and the pictures of its stack if it got to a plan."""

    report: Report
    pictures: Pictures | None = None


def plans_html(plans: Sequence[Planned], made: datetime) -> str:
    """One page for all plans, which were ``made`` at this time."""
    return _page("plan", [_Stack(each.plan, each.pictures, each.traces, each.endpoint) for each in plans], made)


def reports_html(runs: Sequence[Ran], made: datetime, command: str = "apply") -> str:
    """One page for all runs of a command, ``made`` at this time: what each planned, and what happened."""
    stacks = [_Stack(each.report, each.pictures, endpoint=each.report.endpoint) for each in runs]
    return _page(command, stacks, made)


class _Figure(Struct, frozen=True):
    """A picture below its title. ``large``: it takes more than a screen."""

    title: str
    svg: Markup
    large: bool


class _Difference(Struct, frozen=True):
    """One attribute of a change: its lines, each with the sign of an entry of a list, and who changed it."""

    name: str
    lines: list[tuple[str, str]]
    who: str | None


class _Step(Struct, frozen=True):
    """A step of a plan; after a run also its outcome, and when it began."""

    step: Step
    outcome: Outcome | None = None
    began: datetime | None = None

    @property
    def mark(self) -> str:
        return words.MARKS[self.outcome.status][0] if self.outcome else ""

    @property
    def needs(self) -> str:
        return ", ".join(sorted(self.step.predecessors, key=lambda each: (len(each), each)))

    @property
    def params(self) -> list[str]:
        """A line for each parameter of the call; secrets are hashes."""
        shown: dict[str, Any] = plain(self.step.params)
        return [f"{key}: {value if isinstance(value, str) else canonical(value)}" for key, value in shown.items()]

    @property
    def error(self) -> list[str]:
        return (self.outcome.error or "").splitlines() if self.outcome else []


class _Stack(Struct, frozen=True, dict=True):
    """One stack's part of the page. ``number`` makes its anchors unique; 0: it is the only one."""

    subject: Plan | Report
    pictures: Pictures | None = None
    traces: Traces = msgspec.field(default_factory=Traces)
    endpoint: str | None = None
    number: int = 0

    @property
    def id(self) -> str:
        return f"stack-{self.number}"

    @property
    def report(self) -> Report | None:
        return self.subject if isinstance(self.subject, Report) else None

    @property
    def plan(self) -> Plan | None:
        return self.subject.plan if isinstance(self.subject, Report) else self.subject

    @property
    def name(self) -> str:
        return self.subject.stack or "(no stack)"

    @property
    def where(self) -> dict[str, str | None]:
        """Account and Region, as far as the run got to know them, and EC2's endpoint if it is not AWS's."""
        endpoint = words.at_endpoint(self.endpoint).removeprefix(" at ")
        return {"account": self.subject.account_id, "Region": self.subject.region, "endpoint": endpoint}

    @property
    def scope(self) -> list[str]:
        """Which part of the stack a plan covers. A run tells that itself."""
        return [] if self.report else [line.strip() for line in words.scope_lines(self.subject)]

    @property
    def ending(self) -> str:
        """How a run ended, in a sentence; of a plan, what it would do."""
        return words.report_lines(self.report)[0] if self.report else self._summary[0]

    @property
    def tone(self) -> str:
        """good, bad, or neutral: a plan without errors promises nothing yet."""
        if self.report:
            return "good" if not self.report.exit_code else "bad"
        return "bad" if self.plan and self.plan.errors else "neutral"

    @property
    def told(self) -> list[str]:
        """What a run tells below its ending: failures, what remains, checks that failed."""
        return dedent("\n".join(words.report_lines(self.report)[1:])).splitlines() if self.report else []

    @property
    def planned(self) -> list[str]:
        """What the plan would do, as far as ``ending`` does not say it."""
        return self._summary if self.report else self._summary[1:]

    @property
    def _summary(self) -> list[str]:
        return list(words.summary_lines(self.plan)) if self.plan else []

    @cached_property
    def figures(self) -> list[_Figure]:
        """What the plan changes, before, and after; without differences only what is."""
        if self.pictures is None or self.plan is None:
            return []
        before, changes, after = self.pictures.before, self.pictures.changes, self.pictures.after
        if not self.changes:
            return [] if before.empty else [self._figure("What is there", before)]
        ended = "After the run" if self.pictures.read_back else "After the plan"
        shown = (("What the plan changes", changes), ("Before", before), (ended, after))
        return [self._figure(title, picture) for title, picture in shown if not picture.empty]

    def _figure(self, title: str, picture: Picture) -> _Figure:
        where = f" ({', '.join(filter(None, self.where.values()))})" if self.number else ""
        drawn = svg(picture, title=f"{self.name}{where}: {title[0].lower()}{title[1:]}", standalone=False)
        return _Figure(title, Markup(drawn), len(picture.interfaces) > _LARGE)  # noqa: S704 (svg escapes)

    @property
    def changes(self) -> list[Change]:
        return [each for each in self.plan.changes if each.action is not Action.UNCHANGED] if self.plan else []

    @property
    def errors(self) -> list[list[str]]:
        """The errors of the plan. A run tells those of its last plan itself."""
        return [words.error_lines(each) for each in self.plan.errors] if self.plan and not self.report else []

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.plan.warnings if self.plan else ()

    @property
    def leftovers(self) -> list[str]:
        return [words.leftover_words(each) for each in self.plan.leftovers] if self.plan else []

    @property
    def steps(self) -> list[_Step]:
        """What a run did; if it got to no step, or for a plan, what was planned."""
        if self.report and self.report.outcomes:
            return [_Step(each.step, each, _began(each, self.report)) for each in self.report.outcomes]
        return [_Step(step) for step in self.plan.steps] if self.plan else []

    @property
    def ran(self) -> bool:
        return bool(self.report and self.report.outcomes)

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        return self.report.checks if self.report else ()

    @property
    def addresses(self) -> dict[str, list[Row]]:
        """What the stack has after a run, by section."""
        found = self.report.resources if self.report else None
        return dict(section_rows(found, ids=True)) if found else {}

    @property
    def calls(self) -> Mapping[str, int]:
        return self.report.api_calls if self.report else {}

    @cached_property
    def breaks(self) -> dict[str, list[tuple[str, str, str]]]:
        """What is interrupted or exposed while the plan runs, by address: first of what changes itself."""
        if not self.plan:
            return {}
        addresses = [*(change.address for change in self.changes), *words.unchanged_with_breaks(self.plan)]
        found = {address: list(words.path_breaks(self.plan, address)) for address in addresses}
        return {address: breaks for address, breaks in found.items() if breaks}

    def broken(self, address: str) -> list[str]:
        """``interrupted``, ``exposed``: what the plan does to a resource while it runs."""
        return list(dict.fromkeys(word for word, _, _ in self.breaks.get(address, ())))

    def anchor(self, address: str) -> str | None:
        """The id of a change on the page."""
        return self._anchors.get(address)

    @cached_property
    def _anchors(self) -> dict[str, str]:
        return {change.address: f"{self.id}-change-{n}" for n, change in enumerate(self.changes, 1)}

    def differences(self, change: Change) -> list[_Difference]:
        return [
            _Difference(name, lines, words.trace_words(trace) if trace else None)
            for name, lines in words.differences(change)
            for trace in [self.traces.found.get((change.address, name))]
        ]

    @property
    def tiles(self) -> list[tuple[str, int, str, str]]:
        """The numbers at the top, as far as they are not zero: anchor, count, words, tone."""
        plan = self.plan
        failed_steps = [each for each in self.steps if each.outcome and each.outcome.status is Status.FAILED]
        failed_checks = [each for each in self.checks if not each.ok]
        counted = (
            ("errors", len(self.errors), "error", "bad"),
            ("steps", len(failed_steps), "failed call", "bad"),
            ("checks", len(failed_checks), "failed check", "bad"),
            ("warnings", len(self.warnings), "warning", "warn"),
            ("breaks", len(plan.interruptions) if plan else 0, "interruption", "warn"),
            ("breaks", len(plan.exposures) if plan else 0, "exposure", "warn"),
            ("changes", len(self.changes), "change", "neutral"),
            ("steps", len(self.steps), "EC2 call", "neutral"),
            ("leftovers", len(self.leftovers), "leftover", "neutral"),
        )
        return [
            (anchor, count, one if count == 1 else f"{one}s", tone)
            for anchor, count, one, tone in counted
            if count
        ]


def _began(outcome: Outcome, report: Report) -> datetime | None:
    """When a step began; None if it did not."""
    return None if outcome.after is None else report.started + timedelta(seconds=outcome.after)


def _page(command: str, stacks: Sequence[_Stack], time: datetime) -> str:
    if len(stacks) != 1:
        stacks = [replace(stack, number=number) for number, stack in enumerate(stacks, 1)]
    css = Markup(f"<style>\n{_css()}</style>")  # noqa: S704 (a file of this package)
    return (
        _environment()
        .get_template("page.html")
        .render(
            command=command,
            stacks=stacks,
            title=f"enireconcile {command}: {stacks[0].name if len(stacks) == 1 else f'{len(stacks)} stacks'}",
            time=time,
            version=__version__,
            titles=TITLES[1:],
            css=css,
            policy=_policy([css, *(figure.svg for stack in stacks for figure in stack.figures)]),
            words=words,
        )
    )


def _policy(parts: Iterable[str]) -> str:
    """What the browser may load and run: nothing but the styles in these parts of the page."""
    hashes = {hashlib.sha256(style.encode()).digest() for part in parts for style in _STYLE.findall(part)}
    allowed = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in sorted(hashes))
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("enireconcile.outputs", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _css() -> str:
    return files("enireconcile.outputs").joinpath("page/page.css").read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """A value of the template as the page shows it; Jinja2 escapes it afterwards."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    more = len(value) - LONGEST
    return printable(value) if more <= 0 else f"{printable(value[:LONGEST])}… ({more:,} more characters)"
