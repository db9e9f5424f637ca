"""Many pieces of work: several at once, but one after another in a lane, such as an account and Region."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from heapq import heappop, heappush
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
    whenever an item may begin, and every ``pulse`` seconds; once it returns False, no further item begins. Each
    item costs the same however many wait.
    """
    lanes: dict[Hashable, deque[int]] = {}
    for number, item in enumerate(items):
        lanes.setdefault(lane(item), deque()).append(number)
    # A heap of the lanes in which nothing runs, by their next items.
    free = [(numbers[0], numbers) for numbers in lanes.values()]
    flying: dict[Future[R], deque[int]] = {}
    done: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
    stopped = False
    while flying or (free and not stopped):
        stopped = not goes_on() or stopped
        while free and len(flying) < jobs and not stopped:
            number, numbers = heappop(free)
            future = begin(items[number])
            flying[future] = numbers
            future.add_done_callback(done.put)
        if not flying:
            break
        try:
            future = done.get(timeout=pulse)
        except queue.Empty:
            continue
        numbers = flying.pop(future)
        if ended(items[numbers[0]], future):
            numbers.popleft()
        if numbers:
            heappush(free, (numbers[0], numbers))
