"""Client-side token buckets, one per API action, so that EC2 rarely throttles a call.

``aws.actions`` has the sizes that EC2 publishes per account and Region. Other tools draw on the same buckets: when
EC2 throttles an action, the bucket of that action alone is emptied and its refill rate halved; each success raises
the rate again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from enireconcile.aws.actions import action


@dataclass
class TokenBucket:
    """Tokens of one action. ``capacity`` in calls, ``refill`` and ``pace`` in calls per second."""

    capacity: float
    refill: float
    tokens: float = field(init=False)
    pace: float = field(init=False)
    updated: float | None = None

    def __post_init__(self) -> None:
        # One token fewer than EC2 has: EC2 throttles a call that arrives a moment too early.
        self.capacity -= 1
        self.tokens, self.pace = self.capacity, self.refill

    def reserve(self, now: float) -> float:
        """Take one token; returns the seconds to wait before using it."""
        if self.updated is not None:
            self.tokens = min(self.capacity, self.tokens + (now - self.updated) * self.pace)
        self.updated = now
        self.tokens -= 1
        return max(0.0, -self.tokens / self.pace)

    def throttled(self) -> None:
        """EC2 throttled a call: other tools use the same bucket."""
        self.tokens = min(self.tokens, 0.0)
        self.pace = max(self.pace / 2, self.refill / 8)

    def succeeded(self) -> None:
        """EC2 accepted a call."""
        self.pace = min(self.refill, self.pace * 1.1)


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
        """Wait until this call may be sent."""
        delay = self.bucket(call).reserve(asyncio.get_running_loop().time())
        if delay > 0:
            await asyncio.sleep(delay)
