"""Client-side token buckets, one an action, so that EC2 need not throttle us.

Sizes are those that EC2 publishes per account and Region (EC2 developer guide, "Request throttling"). Other
tools draw on the same buckets: when EC2 says no, the bucket of that action alone is emptied and refills at half
its pace, and every success after that brings the pace back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

_MUTATING = (50.0, 5.0)
_READING = (100.0, 20.0)
_SIZES = {
    "CreateNetworkInterface": (100.0, 5.0),
    "DeleteNetworkInterface": (100.0, 5.0),
    "ModifyNetworkInterfaceAttribute": (100.0, 5.0),
    "AssignPrivateIpAddresses": (100.0, 5.0),
    "UnassignPrivateIpAddresses": (100.0, 5.0),
    "AssignIpv6Addresses": (100.0, 5.0),
    "TerminateInstances": (100.0, 5.0),
    "CreateTags": (100.0, 10.0),
    "DeleteTags": (100.0, 10.0),
    "RunInstances": (5.0, 2.0),
    "StartInstances": (5.0, 2.0),
    # CloudTrail's own limit, for all who ask in an account and Region.
    "LookupEvents": (2.0, 2.0),
}


@dataclass
class TokenBucket:
    """Tokens of one action. ``capacity`` in calls, ``refill`` in calls a second."""

    capacity: float
    refill: float
    tokens: float = field(init=False)
    pace: float = field(init=False)
    updated: float | None = None

    def __post_init__(self) -> None:
        # A token behind EC2's own count, since a call that comes a hair too early is a call refused.
        self.capacity -= 1
        self.tokens, self.pace = self.capacity, self.refill

    def reserve(self, now: float) -> float:
        """Take one token; the answer is how many seconds to wait before using it."""
        if self.updated is not None:
            self.tokens = min(self.capacity, self.tokens + (now - self.updated) * self.pace)
        self.updated = now
        self.tokens -= 1
        return max(0.0, -self.tokens / self.pace)

    def throttled(self) -> None:
        """EC2 said no: others are drawing too."""
        self.tokens = min(self.tokens, 0.0)
        self.pace = max(self.pace / 2, self.refill / 8)

    def succeeded(self) -> None:
        self.pace = min(self.refill, self.pace * 1.1)


class Pacer:
    """The buckets of all actions, shared by all workers of one run."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, call: str) -> TokenBucket:
        if call not in self._buckets:
            reading = call.startswith(("Describe", "Get"))
            self._buckets[call] = TokenBucket(*_SIZES.get(call, _READING if reading else _MUTATING))
        return self._buckets[call]

    async def turn(self, call: str) -> None:
        """Wait until it is this call's turn."""
        delay = self.bucket(call).reserve(asyncio.get_running_loop().time())
        if delay > 0:
            await asyncio.sleep(delay)
