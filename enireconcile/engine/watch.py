"""The schedule of ``watch``: rounds of plan and apply, until the user stops it. Pure except for its arguments.

A round begins one interval after the previous one began, or shortly after that one ended if it took longer: rounds
never overlap. Each pause varies at random, so that watchers of one account do not all call EC2 at the same time.
While rounds fail before they have a plan, pauses double, up to five minutes.
"""

from __future__ import annotations

from collections.abc import Callable

_JITTER = 0.1
_SHORTEST = 0.1
"""The shortest pause as a fraction of the interval, for rounds that take longer than that."""
_LONGEST_PAUSE = 300.0


def watch(
    turn: Callable[[], bool],
    idle: Callable[[float], bool],
    *,
    interval: float,
    clock: Callable[[], float],
    jitter: Callable[[], float],
) -> None:
    """``turn`` runs one round and returns False if it failed before it had a plan. ``idle`` sleeps and returns
    whether to go on.

    ``interval`` and ``clock`` are in seconds; ``jitter`` returns a number from 0 to 1.
    """
    failures = 0
    while True:
        began = clock()
        failures = 0 if turn() else failures + 1
        if not idle(pause(interval, clock() - began, failures, jitter())):
            return


def pause(interval: float, took: float, failures: int, jitter: float) -> float:
    """Seconds until the next round; the last one ``took`` so many, and ``failures`` in a row have failed."""
    # Capped, since a float overflows at 2.0 ** 1024.
    longer = min(interval * 2.0 ** min(failures, 30), max(interval, _LONGEST_PAUSE))
    return max(longer - took, interval * _SHORTEST) * (1 - _JITTER + 2 * _JITTER * jitter)
