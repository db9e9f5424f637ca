"""How long EC2 takes over a plan at least: its request limits, and the longest chain of calls. Pure.

The calls of a plan are played through on an idle account: each begins once what it needs has been answered and
EC2's token bucket of its action has a token for it. What a call starts, such as a launch, is not waited for.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from enireconcile.aws.actions import action
from enireconcile.model import Step

ANSWER = 0.2
"""Seconds that EC2 takes to answer a call at least."""
_SLOW_ANSWER = 2.0
"""Seconds that EC2 may take to answer a call."""
FEWEST, MOST = 10, 50
"""Concurrent calls, where the user does not say how many."""


class Estimate(Struct, frozen=True):
    """``seconds`` that the calls of a plan take at least; ``bound_by`` is the call that takes most of them.

    None if there are no calls.
    """

    seconds: float
    bound_by: str | None


@dataclass
class _Bucket:
    """EC2's token bucket of one action. ``tokens`` are those at the time ``updated``, in seconds."""

    capacity: float
    refill: float
    tokens: float = field(init=False)
    updated: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.capacity

    def take(self, when: float) -> float:
        """Take a token at a time or, if there is none then, later; returns when."""
        when = max(when, self.updated)
        self.tokens = min(self.capacity, self.tokens + (when - self.updated) * self.refill)
        wait = max(0.0, (1 - self.tokens) / self.refill)
        self.tokens += wait * self.refill - 1
        self.updated = when + wait
        return self.updated


class _Played(Struct, frozen=True):
    """When a call was sent and answered, and the step whose answer it waited for, if any."""

    step: Step
    ready: float
    sent: float
    after: str | None

    @property
    def answered(self) -> float:
        return self.sent + ANSWER


def estimate(steps: Sequence[Step]) -> Estimate:
    """The estimate for steps, of which none needs one that is not among them."""
    if not steps:
        return Estimate(0.0, None)
    played = _played(steps)
    last = max(played.values(), key=lambda each: each.answered)
    spent: dict[str, float] = {}
    for each in _chain(last, played):
        spent[each.step.call] = spent.get(each.step.call, 0.0) + each.answered - each.ready
    counts = Counter(step.call for step in steps)
    latest = {step.call: number for number, step in enumerate(steps)}

    def weight(call: str) -> tuple[float, float, int]:
        bound = max(0.0, _seconds(call, counts[call], action(call).bucket.capacity))
        return bound, 0.0 if bound else round(spent.get(call, 0.0), 6), latest[call]

    return Estimate(round(last.answered, 1), max(counts, key=weight))


def _seconds(call: str, count: int, tokens: float) -> float:
    """How long so many calls take with so many tokens at hand; not above 0 if these suffice."""
    return (count - tokens) / action(call).bucket.refill


def _played(steps: Sequence[Step]) -> Mapping[str, _Played]:
    """All steps, by id, in the order in which their calls are sent."""
    known = {step.id for step in steps}
    waiting = {step.id: len(step.predecessors & known) for step in steps}
    following: dict[str, list[Step]] = {}
    for step in steps:
        for need in step.predecessors & known:
            following.setdefault(need, []).append(step)
    place = {step.id: number for number, step in enumerate(steps)}
    by_id = {step.id: step for step in steps}
    ready = [(0.0, place[step.id], step.id, "") for step in steps if not waiting[step.id]]
    heapq.heapify(ready)
    buckets: dict[str, _Bucket] = {}
    played: dict[str, _Played] = {}
    while ready:
        when, _, step_id, after = heapq.heappop(ready)
        step = by_id[step_id]
        bucket = buckets.setdefault(step.call, _Bucket(*action(step.call).bucket))
        now = played[step_id] = _Played(step, when, bucket.take(when), after or None)
        for each in following.get(step_id, ()):
            waiting[each.id] -= 1
            if not waiting[each.id]:
                heapq.heappush(ready, _ready(each, played, place, now))
    return played


def _ready(
    step: Step, played: Mapping[str, _Played], place: Mapping[str, int], now: _Played
) -> tuple[float, int, str, str]:
    """When a step can begin, and after which one: the last answered of those that it needs."""
    needed = [played[each] for each in sorted(step.predecessors & played.keys())]
    last = max(needed, key=lambda each: each.answered, default=now)
    return last.answered, place[step.id], step.id, last.step.id


def _chain(last: _Played, played: Mapping[str, _Played]) -> Iterator[_Played]:
    """A step, the one whose answer it waited for, and so on."""
    each: _Played | None = last
    while each is not None:
        yield each
        each = played[each.after] if each.after else None


def refill(call: str) -> float:
    """How many of these calls a second EC2 takes in the long run."""
    return action(call).bucket.refill


def seconds_left(calls: Iterable[str], sent: Mapping[str, int], elapsed: float) -> float:
    """Seconds that EC2's request limits demand for ``calls``, which are still to be sent.

    ``sent`` are the calls that were sent since the run began, ``elapsed`` seconds ago.
    """
    longest = 0.0
    for call, count in Counter(calls).items():
        bucket = action(call).bucket
        tokens = min(bucket.capacity, bucket.capacity + bucket.refill * elapsed - sent.get(call, 0))
        longest = max(longest, _seconds(call, count, tokens))
    return longest


def parallelism(steps: Sequence[Step]) -> int:
    """How many calls may be under way at once, so that EC2's limits bound a run, and slow answers do not."""
    seconds = estimate(steps).seconds
    wanted = math.ceil(_SLOW_ANSWER * len(steps) / seconds) if seconds else FEWEST
    return max(FEWEST, min(MOST, wanted, len(steps)))
