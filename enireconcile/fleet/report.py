"""The report of a fleet run, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from enireconcile.fleet.units import Unit
from enireconcile.printable import printable

FORMAT_VERSION = "1.0"
CODES: Mapping[str, int] = {
    "converged": 0,
    "unchanged": 0,
    "changes": 0,
    "failed": 1,
    "refused": 3,
    "locked": 4,
    "partial": 5,
    "not_run": 3,
    "lost": 5,
}
"""The exit code of each outcome of a unit."""
_WORST_FIRST = (5, 1, 6, 3, 4, 0)
FAILURES = frozenset({"failed", "partial", "lost"})
"""What counts for ``stop_at``. A guard that refuses, and a lock that another run holds, change nothing."""
CHECK_FAILED = 6


@dataclass(frozen=True)
class UnitResult:
    """What became of a unit. ``seconds`` is the time in a worker, ``attempts`` how often it was begun.

    ``changes`` are resources that were changed or, in a plan, would be. ``code`` is the exit code.
    """

    unit: Unit
    outcome: str
    stack: str | None = None
    changes: int = 0
    seconds: float = 0.0
    attempts: int = 0
    error: str | None = None
    code: int = 0

    @property
    def failed(self) -> bool:
        return self.outcome in FAILURES


def not_run(unit: Unit, why: str) -> UnitResult:
    """A unit that was never begun."""
    return UnitResult(unit, "not_run", error=why, code=CODES["not_run"])


@dataclass(frozen=True)
class FleetReport:
    """The whole run. ``waves`` are numbers of units and of failures; ``results`` are in the order of the fleet."""

    fleet: str
    command: str
    seconds: float
    waves: Sequence[tuple[int, int]]
    results: Sequence[UnitResult]
    stopped: str | None = None

    @property
    def totals(self) -> dict[str, int]:
        """Each outcome to its number of units; ``changes`` only for a plan."""
        counted = Counter(result.outcome for result in self.results)
        names = [name for name in CODES if name != "changes" or self.command == "plan"]
        return {name: counted[name] for name in names}

    @property
    def outcome(self) -> str:
        """``unchanged``, ``converged``, ``changes`` (for a plan), ``failed`` (all units), or ``partial``."""
        good = [result.outcome for result in self.results if not CODES[result.outcome]]
        if len(good) < len(self.results):
            return "partial" if good else "failed"
        changed = [outcome for outcome in good if outcome != "unchanged"]
        return changed[0] if changed else "unchanged"

    @property
    def exit_code(self) -> int:
        codes = {result.code for result in self.results}
        return next((code for code in _WORST_FIRST if code in codes), 0)


def report_json(report: FleetReport) -> dict[str, Any]:
    """The report as ``--report`` writes it: the shape is documented in the reference."""
    return {
        "type": "fleet-report",
        "format_version": FORMAT_VERSION,
        "fleet": report.fleet,
        "outcome": report.outcome,
        "seconds": round(report.seconds, 3),
        "totals": report.totals,
        "waves": [{"units": units, "failed": failed} for units, failed in report.waves],
        "units": [unit_json(result) for result in report.results],
    }


def unit_json(result: UnitResult) -> dict[str, Any]:
    """One unit of the report."""
    return {
        "unit": result.unit.name,
        "account_id": result.unit.account_id,
        "region": result.unit.region,
        "stack": result.stack,
        "outcome": result.outcome,
        "changes": result.changes,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "error": result.error,
    }


def head_of(result: UnitResult) -> str:
    """A unit on one line."""
    changes = f", {result.changes} changed" if result.outcome == "converged" else ""
    changes = f", {result.changes} to change" if result.outcome == "changes" else changes
    return f"{result.unit.name}: {result.outcome.replace('_', ' ')}{changes}"


def _with_error(result: UnitResult) -> str:
    line = head_of(result)
    if result.error is None:
        return line
    account = "" if result.unit.account == result.unit.account_id else f" (account {result.unit.account_id})"
    return f"{line}{account}\n" + "\n".join(f"  {printable(text)}" for text in result.error.splitlines())


def summary_text(report: FleetReport) -> str:
    """The end of a run: what needs attention, then the numbers."""
    troubled = [
        _with_error(result) for result in report.results if CODES[result.outcome] and result.outcome != "not_run"
    ]
    numbers = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.totals.items() if count)
    units = f"{len(report.results)} unit{'s' * (len(report.results) != 1)}"
    word = "Planned" if report.command == "plan" else report.outcome.capitalize()
    ending = f"{word}: {units} ({numbers}) in {report.seconds:.1f} s"
    stopped = [f"Stopped: {report.stopped}"] if report.stopped else []
    return "\n".join([*troubled, *stopped, ending])


def retried(result: UnitResult, attempts: int) -> UnitResult:
    """The result with the number of times that its unit was begun."""
    return replace(result, attempts=max(attempts, result.attempts))
