"""The waves of an apply, and when it stops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from enireconcile.fleet.file import Portion, Rollout
from enireconcile.fleet.units import Unit


class StopAt(Struct, frozen=True):
    """When to begin no further unit. ``after_wave``: also when a wave ends with a failure."""

    failed: float
    after_wave: bool

    def reached(self, failed: int) -> bool:
        """Whether so many failures are too many."""
        return failed > 0 and failed >= self.failed


def stop_at(rollout: Rollout | None, given: Portion | None, units: int) -> StopAt:
    """The limit of a run with so many units; ``given`` on the command line overrides the file's."""
    portion = given or (rollout.stop_at if rollout else None)
    if portion is None:
        return StopAt(math.inf, after_wave=rollout is not None)
    return StopAt(portion.of(units), after_wave=False)


def waves(rollout: Rollout | None, units: Sequence[Unit]) -> list[list[Unit]]:
    """The units in waves: those of canary accounts first, then as much of the fleet as each wave says.

    A wave that has nothing left to do is left out; what no wave has is the last one.
    """
    if rollout is None:
        return [list(units)] if units else []
    canary = set(rollout.canary)
    first = [unit for unit in units if canary & {unit.account, unit.account_id}]
    rest = [unit for unit in units if not canary & {unit.account, unit.account_id}]
    made, done = [first], len(first)
    for portion in (*rollout.waves, Portion(percent=100)):
        # A count says how many units the wave has, a percentage how much is done at its end.
        upto = math.ceil(portion.of(len(units))) if portion.percent is not None else done + int(portion.of(0))
        size = max(0, min(upto, len(units)) - done)
        made.append(rest[:size])
        rest, done = rest[size:], done + size
    return [wave for wave in made if wave]
