"""The report of a fleet run, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from enireconcile.fleet.units import Unit
from enireconcile.model import CHECK_FAILED, FORMAT_VERSION
from enireconcile.outputs.words import counted

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
_WORST_FIRST = (5, 1, CHECK_FAILED, 3, 4, 0)
FAILURES = frozenset({"failed", "partial", "lost"})
"""What counts for ``stop_at``. A guard that refuses, and a lock that another run holds, change nothing."""


class UnitResult(Struct, frozen=True):
    """What became of a unit. ``seconds`` is the time in a worker, ``attempts`` how often it was begun.

    ``changes`` are resources that were changed or, in a plan, would be. ``code`` is the exit code. ``checks`` is
    how many checks were made. ``details`` of a plan that is not empty are its text or, for JSON, its object.
    """

    unit: Unit
    outcome: str
    stack: str | None = None
    changes: int = 0
    seconds: float = 0.0
    attempts: int = 0
    error: str | None = None
    code: int = 0
    checks: int = 0
    details: Any = None

    @property
    def failed(self) -> bool:
        return self.outcome in FAILURES


def ended(unit: Unit, outcome: str, why: str, *, attempts: int = 0, seconds: float = 0.0) -> UnitResult:
    """The result of a unit of which no worker says what became of it."""
    return UnitResult(unit, outcome, seconds=seconds, attempts=attempts, error=why, code=CODES[outcome])


class FleetReport(Struct, frozen=True):
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
        found = Counter(result.outcome for result in self.results)
        return {name: found[name] for name in CODES if name != "changes" or self.command == "plan"}

    @property
    def troubled(self) -> list[UnitResult]:
        """The units that were begun and need attention."""
        return [each for each in self.results if CODES[each.outcome] and each.outcome != "not_run"]

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
        return worst(result.code for result in self.results)


def worst(codes: Iterable[int]) -> int:
    """The exit code of a fleet whose units have these."""
    found = {*codes}
    return next((code for code in _WORST_FIRST if code in found), 0)


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
    """A unit on one line; with its account, if it needs attention and the name does not say the id."""
    named = not CODES[result.outcome] or result.unit.account == result.unit.account_id
    account = "" if named else f" (account {result.unit.account_id})"
    changed = f", {result.changes} changed" if result.changes and result.outcome != "changes" else ""
    words = f"{result.changes} to change" if result.outcome == "changes" else result.outcome.replace("_", " ")
    attempts = f", {result.attempts} attempts" if result.attempts > 1 else ""
    return f"{result.unit.name}{account}: {words}{changed}{attempts}"


def summary_text(report: FleetReport) -> str:
    """The end of a run: the units that need attention, whose errors have been told, then the numbers."""
    lines = [head_of(result) for result in report.troubled]
    words = {"changes": "with changes", "not_run": "not run"}
    numbers = ", ".join(f"{count} {words.get(name, name)}" for name, count in report.totals.items() if count)
    checks = sum(result.checks for result in report.results)
    made = f", {counted(checks, 'check') if checks else 'no checks'}" if report.command == "verify" else ""
    ending = f"{counted(len(report.results), 'unit')} ({numbers}){made} in {report.seconds:.1f} s"
    if report.stopped:
        return "\n".join([*lines, report.stopped[0].upper() + report.stopped[1:], ending])
    word = {"plan": "Planned", "verify": "Verified"}.get(report.command, report.outcome.capitalize())
    return "\n".join([*lines, f"{word}: {ending}"])
