"""Client-side token buckets, one per API action, so that EC2 rarely throttles a call.

``aws.actions`` has the sizes that EC2 publishes per account and Region. Other tools draw on the same buckets: when
EC2 throttles an action, calls of that action alone slow down. The second throttled call and each later one tell
what the others leave: the rate at which EC2 has accepted calls since the one before. The pace stays near it for a
while and then rises, faster and faster, as TCP CUBIC does (RFC 9438), for the others may have ended.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from enireconcile.aws.actions import action

_BURST, _BURST_RATE = 10.0, 50.0
"""A full bucket is not emptied at once: so many calls, then so many a second, for the first may be throttled."""
_PLATEAU = 10.0
"""Seconds after a throttled call at which the pace is again what EC2 let through before."""
_FIRST_CUT, _CUT = 0.5, 0.1
"""The parts of the pace that the first throttled call and each later one take away."""
_LEAST = 1 / 8
"""The least pace, as a part of EC2's refill rate."""
_HAIR = 1e-6


@dataclass
class _Tokens:
    """``capacity`` and ``level`` in calls; ``updated`` is a time in seconds."""

    capacity: float
    level: float = field(init=False)
    updated: float | None = None

    def __post_init__(self) -> None:
        self.level = self.capacity

    def fill(self, now: float, rate: float) -> float:
        """Fill up at ``rate`` calls a second until now; returns the seconds until there is a token."""
        if self.updated is not None:
            self.level = min(self.capacity, self.level + (now - self.updated) * rate)
        self.updated = now
        return 0.0 if self.level >= 1 - _HAIR else (1 - self.level) / rate


class TokenBucket:
    """Tokens of one action. ``capacity`` in calls, ``refill`` in calls per second. All times are in seconds."""

    def __init__(self, capacity: float, refill: float) -> None:
        # One token fewer than EC2 has: EC2 throttles a call that arrives a moment too early.
        self._tokens, self._burst = _Tokens(capacity - 1), _Tokens(min(_BURST, capacity - 1))
        self._refill = refill
        self._slowed: float | None = None
        self._limit, self._cut, self._accepted = refill, 0.0, 0
        self.order, self.waiting = asyncio.Lock(), 0
        """Calls wait in this order, and so many do."""

    def take(self, now: float) -> float:
        """Take one token, and return 0; or the seconds after which to ask again."""
        wait = max(self._tokens.fill(now, self.pace(now)), self._burst.fill(now, _BURST_RATE))
        if wait == 0:
            self._tokens.level -= 1
            self._burst.level -= 1
        return wait

    def pace(self, now: float) -> float:
        """Calls per second."""
        if self._slowed is None:
            return self._refill
        early = 1 - (now - self._slowed) / _PLATEAU
        return min(max(self._limit * (1 - self._cut * early**3), self._refill * _LEAST), self._refill)

    def queue(self, now: float) -> float:
        """Seconds until a call that asks now has its turn, about, at the pace of now."""
        pace = self.pace(now)
        self._tokens.fill(now, pace)
        return max(0.0, self.waiting + 1 - self._tokens.level) / pace

    def throttled(self, sent: float, now: float) -> None:
        """EC2 throttled a call: other tools use the same bucket."""
        pace = self.pace(now)
        self._tokens.fill(now, pace)
        self._tokens.level = min(self._tokens.level, 0.0)
        if self._slowed is None:
            self._limit, self._cut = pace, _FIRST_CUT
        elif sent < self._slowed:
            # Sent before the pace was cut for another one.
            return
        else:
            let_through = self._accepted / max(now - self._slowed, _HAIR)
            self._limit, self._cut = min(max(let_through, pace / 2), pace), _CUT
        self._slowed, self._accepted = now, 0

    def succeeded(self, sent: float) -> None:
        """EC2 accepted a call."""
        if self._slowed is not None and sent >= self._slowed:
            self._accepted += 1


class Pacer:
    """The buckets of all actions, shared by all steps of a run."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, call: str) -> TokenBucket:
        """The bucket of a call. Raises UnknownAction."""
        if call not in self._buckets:
            self._buckets[call] = TokenBucket(*action(call).bucket)
        return self._buckets[call]

    async def turn(self, call: str) -> None:
        """Wait until this call may be sent, in the order of asking."""
        bucket, loop = self.bucket(call), asyncio.get_running_loop()
        bucket.waiting += 1
        try:
            async with bucket.order:
                while (wait := bucket.take(loop.time())) > 0:
                    await asyncio.sleep(wait)
        finally:
            bucket.waiting -= 1

    def queue(self, call: str) -> float:
        """Seconds until this call, if it asked now, would have its turn, about. Raises UnknownAction."""
        return self.bucket(call).queue(asyncio.get_running_loop().time())

    def backlog(self) -> float:
        """Seconds until the calls that wait now have all had their turns."""
        now = asyncio.get_running_loop().time()
        return max((bucket.waiting / bucket.pace(now) for bucket in self._buckets.values()), default=0.0)
