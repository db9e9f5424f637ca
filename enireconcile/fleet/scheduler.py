"""Run the units of a fleet on workers: wave by wave, one unit at a time in an account and Region.

The workers are processes of this machine, or those of a Dask cluster. A unit whose worker dies is begun again; one
that kills three is ``lost``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from enireconcile.engine.lanes import PULSE, run_in_lanes
from enireconcile.fleet.report import UnitResult, ended
from enireconcile.fleet.rollout import StopAt
from enireconcile.fleet.units import Unit
from enireconcile.outputs import logs
from enireconcile.outputs.words import counted

MOST_ATTEMPTS = 3


class Workers(Protocol):
    """Where units run. ``jobs`` is how many at the same time."""

    jobs: int

    def submit(self, unit: Unit) -> Future[UnitResult]:
        """Begin a unit. The future raises BrokenExecutor if its worker died."""

    def stop(self) -> None:
        """Let the units in flight end soon; called at most once."""


@dataclass
class Scheduler:
    """One run. ``tell`` gets each result as it comes; ``stopped_by`` names the signal that ends it, if any."""

    workers: Workers
    limit: StopAt
    tell: Callable[[UnitResult], object]
    stopped_by: Callable[[], str | None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    pulse: float = PULSE
    reason: str | None = None
    """Why units were not run."""
    _failed: int = 0
    _attempts: dict[str, int] = field(default_factory=dict)
    _told_workers: bool = False

    def run(self, waves: Sequence[Sequence[Unit]]) -> tuple[dict[str, UnitResult], list[tuple[int, int]]]:
        """The result of every unit by its name, and of each wave that was begun its units and failures."""
        results: dict[str, UnitResult] = {}
        counted: list[tuple[int, int]] = []
        for wave in waves:
            self._check()
            if self.reason is None:
                found = self._wave(wave)
                results |= found
                failed = sum(result.failed for result in found.values())
                counted.append((len(wave), failed))
                if failed and self.limit.after_wave and wave is not waves[-1]:
                    self.reason = f"{failed} of {len(wave)} units failed in wave {len(counted)}"
            for unit in wave:
                if unit.name not in results:
                    results[unit.name] = ended(unit, "not_run", self.reason or "")
        return results, counted

    def _wave(self, units: Sequence[Unit]) -> dict[str, UnitResult]:
        """Run the units; fewer results than units if the run is stopped."""
        results: dict[str, UnitResult] = {}
        since: dict[str, float] = {}

        def begin(unit: Unit) -> Future[UnitResult]:
            self._attempts[unit.name] = self._attempts.get(unit.name, 0) + 1
            since[unit.name] = self.clock()
            return self.workers.submit(unit)

        def ended(unit: Unit, future: Future[UnitResult]) -> bool:
            result = self._result(unit, future, self.clock() - since[unit.name])
            if result is None:
                return False
            results[unit.name] = result
            self._failed += result.failed
            self.tell(result)
            return True

        def goes_on() -> bool:
            self._check()
            return self.reason is None

        run_in_lanes(
            units,
            lambda unit: unit.lane,
            begin,
            ended,
            jobs=self.workers.jobs,
            goes_on=goes_on,
            pulse=self.pulse,
        )
        return results

    def _result(self, unit: Unit, future: Future[UnitResult], seconds: float) -> UnitResult | None:
        """What became of the unit; None if it has to be begun again."""
        attempts = self._attempts[unit.name]
        try:
            result = future.result()
            return replace(result, attempts=max(attempts, result.attempts))
        except BrokenExecutor:
            if attempts < MOST_ATTEMPTS and self.reason is None:
                return None
            times = "its worker died" if attempts == 1 else f"{attempts} workers died of it"
            why = f"{times}; what it changed is in the journal, and the next run goes on from there"
            return ended(unit, "lost", why, attempts=attempts, seconds=seconds)

    def _check(self) -> None:
        """Find out whether to stop, and tell the workers once if a signal says so."""
        if (name := self.stopped_by()) and not self._told_workers:
            self._told_workers = True
            self.reason = f"stopped by {name}"
            logs.say(f"{self.reason}: waiting for the units in flight ({name} again exits immediately)")
            self.workers.stop()
        if self.reason is None and self.limit.reached(self._failed):
            self.reason = f"{counted(self._failed, 'unit')} failed, the limit of stop_at"
