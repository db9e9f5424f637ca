"""Many pieces of work: several at once, but one after another in a lane, such as an account and Region."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

PULSE = 0.2
"""Seconds after which a signal is seen at the latest."""


def run_in_lanes(
    items: Sequence[T],
    lane: Callable[[T], Hashable],
    begin: Callable[[T], Future[R]],
    ended: Callable[[T, Future[R]], bool],
    *,
    jobs: int,
    goes_on: Callable[[], bool],
    pulse: float = PULSE,
) -> None:
    """Begin the items in their order, at most ``jobs`` at once, and return when all that were begun have ended.

    The stacks of one account and Region share EC2's token buckets, so they are one lane. ``ended`` gets each
    future that is done, and returns whether the item is, too: otherwise it is begun again. ``goes_on`` is asked
    every ``pulse`` seconds; once it returns False, no further item begins.
    """
    waiting = list(items)
    flying: dict[Future[R], T] = {}
    while waiting or flying:
        if not goes_on():
            waiting.clear()
        busy = {lane(item) for item in flying.values()}
        while len(flying) < jobs:
            number = next((n for n, item in enumerate(waiting) if lane(item) not in busy), None)
            if number is None:
                break
            item = waiting.pop(number)
            busy.add(lane(item))
            flying[begin(item)] = item
        done, _ = wait(flying, timeout=pulse, return_when=FIRST_COMPLETED)
        for future in done:
            item = flying.pop(future)
            if not ended(item, future):
                waiting.insert(0, item)
