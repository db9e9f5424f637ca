"""Prometheus metrics of runs in a file for node_exporter's textfile collector.

Several runs may share one file: each replaces the series of its own stack, account, region and command, and keeps
the others. The time of the last success and the counters are carried over from the file itself. The folder is
locked while the file is rewritten, and the file is replaced atomically; node_exporter does not read the partial
file, whose name does not end in ``.prom``. A FIFO or a device gets the series of each command alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from enireconcile.errors import EnireconcileError
from enireconcile.files import locked_folder, read_regular
from enireconcile.model import Plan, Report
from enireconcile.outputs.outlet import Outlet
from enireconcile.printable import printable

SUCCESSES = frozenset({"converged", "unchanged", "planned"})
OUTCOMES = ("converged", "unchanged", "planned", "partial", "failed", "refused", "locked")
_PATIENCE = 10.0
"""Seconds to wait for another run that is rewriting the file."""
_MAX_BYTES = 16 * 1024 * 1024
_COMMON = 4
"""The labels that every series begins with: stack, account, region, command."""
_PREFIX = "enireconcile_"
Families = Mapping[str, tuple[str, str]]
"""The kind and the help text of each family, without the prefix of its name."""
_FAMILIES: Families = {
    "last_run_timestamp_seconds": ("gauge", "Unix time at which the last run ended."),
    "last_success_timestamp_seconds": ("gauge", "Unix time at which a run last succeeded; 0 if none has."),
    "last_run_seconds": ("gauge", "Duration of the last run."),
    "last_run_outcome": ("gauge", "Outcome of the last run: 1 for its outcome, 0 for all others."),
    "drift_resources": ("gauge", "Resources that differed from the spec, by the action that corrects them."),
    "leftover_resources": ("gauge", "Resources that the stack owns and the spec does not name."),
    "check_ok": ("gauge", "Whether the check was as expected when it was last run: 1 or 0."),
    "remaining_resources": ("gauge", "Resources that still differed from the spec when the last run ended."),
    "runs_total": ("counter", "Runs, by outcome."),
    "steps_total": ("counter", "Steps, by EC2 call and result."),
    "api_calls_total": ("counter", "Calls to AWS, by action, reads included."),
    "throttled_calls_total": ("counter", "Calls that AWS throttled."),
}
_LINE = re.compile(r'enireconcile_(\w+)\{((?:\w+="(?:[^"\\\n]|\\.)*",?)+)\} (-?[0-9.e+-]+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\.)*)"')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_UNESCAPES = {escaped: char for char, escaped in _ESCAPES.items()}

Labels = tuple[tuple[str, str], ...]
Series = dict[tuple[str, Labels], float]


class Run(Struct, frozen=True):
    """The figures of one run. Times are in seconds, ``ended`` since the epoch.

    ``account`` and ``region`` are empty if the run ended before it knew them. ``found`` is the summary of its
    plan, or None if it made none. ``checks`` says of each check that it ran whether it was as expected.
    """

    stack: str
    account: str
    region: str
    command: str
    outcome: str
    ended: float
    seconds: float
    found: Mapping[str, int] | None = None
    remaining: int | None = None
    steps: Mapping[tuple[str, str], int] = {}
    api_calls: Mapping[str, int] = {}
    throttled: int = 0
    checks: Mapping[str, bool] = {}

    @property
    def labels(self) -> Labels:
        return (
            ("stack", self.stack),
            ("account", self.account),
            ("region", self.region),
            ("command", self.command),
        )


def of_report(report: Report, command: str) -> Run:
    return Run(
        stack=report.stack or "",
        account=report.account_id or "",
        region=report.region or "",
        command=command,
        outcome=report.outcome,
        ended=report.started.timestamp() + report.seconds,
        seconds=report.seconds,
        found=report.plan.summary() if report.plan else None,
        remaining=len(report.remaining) if report.plan else None,
        steps=Counter((outcome.step.call, outcome.status.for_programs) for outcome in report.outcomes),
        api_calls=report.api_calls,
        throttled=report.throttled,
        checks={check.name: check.ok for check in report.checks},
    )


def of_plan(plan: Plan, ended: float, seconds: float, api_calls: Mapping[str, int], throttled: int) -> Run:
    found = plan.summary()
    return Run(
        stack=plan.stack,
        account=plan.account_id,
        region=plan.region,
        command="plan",
        outcome="failed" if plan.errors else "planned",
        ended=ended,
        seconds=seconds,
        found=found,
        remaining=len({*plan.differing, *plan.left_out}),
        api_calls=api_calls,
        throttled=throttled,
    )


def update(outlet: Outlet, runs: Sequence[Run]) -> None:
    """Replace the series of these runs in the file, in one write. Raises EnireconcileError."""
    outlet.open()
    if outlet.is_stream:
        outlet.write(updated("", *runs))
        return
    try:
        with locked_folder(outlet.target.parent, _PATIENCE):
            outlet.write(updated(_read(outlet.target), *runs))
    except OSError as error:
        raise EnireconcileError(
            f"cannot write the metrics {printable(str(outlet.path))}: {error.strerror or error}"
        ) from None


def _read(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def updated(text: str, *runs: Run) -> str:
    """The text of the file with the series of these runs. Lines that cannot be parsed are dropped."""
    known: dict[Labels, Series] = {}
    for key, value in _parsed(text).items():
        known.setdefault(key[1][:_COMMON], {})[key] = value
    of_stack: dict[str, set[Labels]] = {}
    for labels in known:
        of_stack.setdefault(labels[0][1], set()).add(labels)
    for run in runs:
        others = of_stack.setdefault(run.stack, set())
        labels = _known(run, others)
        account, region = labels[1][1], labels[2][1]
        if account and region:
            # Series of a run that failed before it knew both: no later run would replace them.
            alike = [
                other
                for other in others
                if other != labels
                and other[1][1] in ("", account)
                and other[2][1] in ("", region)
                and other[3] == labels[3]
            ]
            for lost in alike:
                others.discard(lost)
                known.pop(lost)
        known[labels] = _after(run, labels, known.get(labels, {}))
        others.add(labels)
    return rendered({key: value for series in known.values() for key, value in series.items()})


def _known(run: Run, others: Iterable[Labels]) -> Labels:
    """The labels of a run. Without an account or Region they are those of the stack's last run, if unambiguous."""
    labels = run.labels
    if run.account and run.region:
        return labels
    seen = [
        other
        for other in others
        if other[1][1]
        and other[2][1]
        and (other[1] == labels[1] or not run.account)
        and (other[2] == labels[2] or not run.region)
        and other[3] == labels[3]
    ]
    return seen[0] if len(seen) == 1 else labels


def _after(run: Run, labels: Labels, before: Series) -> Series:
    """The series of a run, given the earlier ones with its labels."""

    def counted(name: str, *more: tuple[str, str], add: int) -> tuple[tuple[str, Labels], float]:
        key = (name, (*labels, *more))
        return key, before.get(key, 0.0) + add

    success = ("last_success_timestamp_seconds", labels)
    last_success = run.ended if run.outcome in SUCCESSES else before.get(success, 0.0)
    found = {key: value for key, value in before.items() if key[0] in ("drift_resources", "leftover_resources")}
    if run.found is not None:
        found = {
            ("drift_resources", (*labels, ("action", action))): count
            for action, count in run.found.items()
            if action not in ("unchanged", "leftover")
        }
        found["leftover_resources", labels] = run.found["leftover"]
    # A watch runs a part of the checks at a time; else one that was not run is no longer in the spec.
    if run.command == "watch" or not run.checks:
        found |= {key: value for key, value in before.items() if key[0] == "check_ok"}
    found |= {("check_ok", (*labels, ("check", name))): float(ok) for name, ok in run.checks.items()}
    counters = {key: value for key, value in before.items() if _FAMILIES[key[0]][0] == "counter"}
    counters |= dict(
        [
            *(
                counted("runs_total", ("outcome", outcome), add=int(outcome == run.outcome))
                for outcome in OUTCOMES
            ),
            *(
                counted("steps_total", ("call", call), ("result", result), add=count)
                for (call, result), count in run.steps.items()
            ),
            *(
                counted("api_calls_total", ("action", action), add=count)
                for action, count in run.api_calls.items()
            ),
            counted("throttled_calls_total", add=run.throttled),
        ]
    )
    return {
        ("last_run_timestamp_seconds", labels): run.ended,
        success: last_success,
        ("last_run_seconds", labels): run.seconds,
        **{
            ("last_run_outcome", (*labels, ("outcome", outcome))): float(outcome == run.outcome)
            for outcome in OUTCOMES
        },
        **found,
        **({} if run.remaining is None else {("remaining_resources", labels): run.remaining}),
        **counters,
    }


def _parsed(text: str) -> Series:
    """The series that earlier runs wrote."""
    series: Series = {}
    for line in text.split("\n"):
        if (found := _LINE.fullmatch(line)) and found[1] in _FAMILIES:
            labels = tuple((name, _unescaped(value)) for name, value in _LABEL.findall(found[2]))
            if [name for name, _ in labels[:_COMMON]] == ["stack", "account", "region", "command"]:
                try:
                    series[found[1], labels] = float(found[3])
                except ValueError:
                    continue
    return series


def rendered(series: Series, families: Families = _FAMILIES) -> str:
    """The text of the series, in the order of their families."""
    return "".join(f"{line}\n" for family in families for line in _family_lines(family, series, families))


def _family_lines(family: str, series: Series, families: Families) -> Iterator[str]:
    lines = sorted((labels, value) for (name, labels), value in series.items() if name == family)
    if not lines:
        return
    kind, help_text = families[family]
    yield f"# HELP {_PREFIX}{family} {help_text}"
    yield f"# TYPE {_PREFIX}{family} {kind}"
    for labels, value in lines:
        words = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
        yield f"{_PREFIX}{family}{{{words}}} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _UNESCAPES.get(found[0], found[0]), text)
