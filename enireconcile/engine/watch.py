"""Rounds of plan and apply, one after another, for as long as nobody wants to stop.

Pure but for what it is handed. A round begins an interval after the last one began, or a moment after that one
ended if it took longer: rounds never overlap. Every pause is a little shorter or longer than the last, so that
watchers of one account do not all ask at the same time. When AWS says no, pauses double, up to five minutes.
"""

from __future__ import annotations

from collections.abc import Callable

_JITTER = 0.1
_SHORTEST = 0.1
"""Of the interval: so much of a break is made even when a round has taken longer than that."""
_LONGEST_PAUSE = 300.0


def watch(
    turn: Callable[[], bool],
    idle: Callable[[float], bool],
    *,
    interval: float,
    clock: Callable[[], float],
    luck: Callable[[], float],
) -> None:
    """``turn`` is one round; it says whether AWS was on our side. ``idle`` sleeps; it says whether to go on.

    ``interval`` is in seconds, and so is what ``clock`` gives; ``luck`` is a number from 0 to 1.
    """
    troubles = 0
    while True:
        began = clock()
        troubles = 0 if turn() else troubles + 1
        if not idle(pause(interval, clock() - began, troubles, luck())):
            return


def pause(interval: float, took: float, troubles: int, luck: float) -> float:
    """Seconds until the next round, after one that ``took`` so long and was the last of so many ``troubles``."""
    # A float would overflow before anybody has the patience to see it.
    longer = min(interval * 2.0 ** min(troubles, 30), max(interval, _LONGEST_PAUSE))
    return max(longer - took, interval * _SHORTEST) * (1 - _JITTER + 2 * _JITTER * luck)
