"""Run the units of a fleet on workers: wave by wave, one unit at a time in an account and Region.

The workers are processes of this machine, or those of a Dask cluster. A unit whose worker dies is begun again; one
that kills three is ``lost``. So is one in flight when the workers cannot be reached any more, or a second signal
ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
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
_GOES_ON = "; what it changed is in its journal, and the next run goes on from there"


class WorkersGone(Exception):
    """The workers cannot be reached any more; says why."""


class _Abandoned(Exception):
    """A second signal ends the run."""


class Workers(Protocol):
    """Where units run. ``jobs`` is how many at the same time."""

    jobs: int

    def submit(self, unit: Unit) -> Future[UnitResult]:
        """Begin a unit.

        The future raises BrokenExecutor if the worker died, WorkersGone if none can be reached any more.
        """

    def poll(self) -> None:
        """Called again and again while units are in flight."""

    def stop(self) -> None:
        """Let the units in flight end soon, and take back those that no worker has begun; called at most once."""


@dataclass
class Scheduler:
    """One run. ``tell`` gets each result as it comes, ``tick`` again and again the names of the units in flight.

    ``stopped_by`` names the signal that ends the run, if any; ``abandoned`` says that a second one has come.
    ``changes``: the units may change something.
    """

    workers: Workers
    limit: StopAt
    tell: Callable[[UnitResult], object]
    stopped_by: Callable[[], str | None] = lambda: None
    abandoned: Callable[[], bool] = lambda: False
    tick: Callable[[Collection[str]], object] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    pulse: float = PULSE
    changes: bool = True
    reason: str | None = None
    """Why units were not run."""
    _failed: int = 0
    _attempts: dict[str, int] = field(default_factory=dict)
    _told_workers: bool = False

    def run(self, waves: Sequence[Sequence[Unit]]) -> tuple[dict[str, UnitResult], list[tuple[int, int]]]:
        """The result of every unit by its name, and of each wave that was begun its units and failures."""
        results: dict[str, UnitResult] = {}
        begun: list[tuple[int, int]] = []
        for wave in waves:
            self._check()
            if self.reason is None:
                found = self._wave(wave)
                results |= found
                failed = sum(result.failed for result in found.values())
                begun.append((len(wave), failed))
                if failed and self.limit.after_wave and wave is not waves[-1] and self.reason is None:
                    self.reason = f"stopped: {failed} of {counted(len(wave), 'unit')} failed in wave {len(begun)}"
            for unit in wave:
                if unit.name not in results:
                    results[unit.name] = ended(unit, "not_run", self.reason or "")
        return results, begun

    def _wave(self, units: Sequence[Unit]) -> dict[str, UnitResult]:
        """Run the units; fewer results than units if the run is stopped."""
        results: dict[str, UnitResult] = {}
        flying: dict[str, tuple[float, Future[UnitResult]]] = {}

        def begin(unit: Unit) -> Future[UnitResult]:
            self._attempts[unit.name] = self._attempts.get(unit.name, 0) + 1
            since, future = self.clock(), self.workers.submit(unit)
            flying[unit.name] = since, future
            return future

        def keep(unit: Unit, result: UnitResult) -> None:
            flying.pop(unit.name)
            # A plan has been told; a thousand of them are much to keep.
            results[unit.name] = replace(result, details=None)
            self._failed += result.failed
            self.tell(result)

        def done(unit: Unit, future: Future[UnitResult]) -> bool:
            result = self._result(unit, future, self.clock() - flying[unit.name][0])
            if result is not None:
                keep(unit, result)
            return result is not None

        def goes_on() -> bool:
            self._check()
            if self.abandoned():
                raise _Abandoned
            self.workers.poll()
            self.tick(flying.keys())
            return self.reason is None

        why = "its worker died"
        try:
            run_in_lanes(
                units,
                lambda unit: unit.lane,
                begin,
                done,
                jobs=self.workers.jobs,
                goes_on=goes_on,
                pulse=self.pulse,
            )
        except _Abandoned:
            why = "in flight when a second signal ended the run"
        for unit in units:
            # Begun, and not ended; or ended, and not taken yet; or its worker died, and it is not begun again.
            if unit.name in flying:
                since, future = flying[unit.name]
                if not (future.done() and done(unit, future)):
                    keep(unit, self._lost(unit, why, self.clock() - since))
        return results

    def _result(self, unit: Unit, future: Future[UnitResult], seconds: float) -> UnitResult | None:
        """What became of the unit; None if it has to be begun again."""
        attempts = self._attempts[unit.name]
        try:
            result = future.result()
            return replace(result, attempts=max(attempts, result.attempts))
        except BrokenExecutor:
            if attempts < MOST_ATTEMPTS:
                return None
            why = f"{attempts} workers died while running it"
        except WorkersGone as gone:
            self.reason = self.reason or f"stopped: {gone}"
            why = str(gone)
        return self._lost(unit, why, seconds)

    def _lost(self, unit: Unit, why: str, seconds: float) -> UnitResult:
        why += _GOES_ON if self.changes else ""
        return ended(unit, "lost", why, attempts=self._attempts[unit.name], seconds=seconds)

    def _check(self) -> None:
        """Find out whether to stop, and tell the workers once if a signal says so."""
        if (name := self.stopped_by()) and not self._told_workers:
            self._told_workers = True
            self.reason = f"stopped by {name}"
            logs.say(f"{self.reason}: waiting for the units in flight ({name} again exits immediately)")
            self.workers.stop()
        if self.reason is None and self.limit.reached(self._failed):
            self.reason = f"stopped: {counted(self._failed, 'unit')} failed, the limit of stop_at"
