"""The one layer of retries: tenacity, with a pause and a time limit that depend on the fault."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from enireconcile.aws.faults import Fault, Meaning

_SHORTEST_PAUSE = 0.1
_TRANSIENT = frozenset({Meaning.THROTTLED, Meaning.RETRY, Meaning.OUTCOME_UNKNOWN})


def is_transient(error: BaseException) -> bool:
    """Whether a read that failed like this may succeed when it is repeated."""
    return isinstance(error, Fault) and error.meaning in _TRANSIENT


def retrying(
    should_retry: Callable[[BaseException], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncRetrying:
    """tenacity, with the pause that a fault needs; it gives up after the fault's ``seconds``."""
    backoff = _Backoff()
    return AsyncRetrying(
        retry=retry_if_exception(should_retry),
        stop=backoff.exhausted,
        wait=backoff.pause,
        sleep=sleep,
        reraise=True,
    )


@dataclass
class _Backoff:
    """State of one call's retries: when it first failed, and how many faults of one meaning came in a row."""

    began: float | None = None
    meaning: Meaning | None = None
    streak: int = 0

    def exhausted(self, state: RetryCallState) -> bool:
        now = asyncio.get_running_loop().time()
        if self.began is None:
            self.began = now
        fault = _fault(state)
        return fault is None or now - self.began >= fault.seconds

    def pause(self, state: RetryCallState) -> float:
        """Seconds: exponential with full jitter. New resources show up soon; throttling needs longer pauses."""
        fault = _fault(state)
        meaning = fault.meaning if fault else None
        self.streak = self.streak + 1 if meaning is self.meaning else 1
        self.meaning = meaning
        base, cap = (0.25, 5.0) if meaning is Meaning.WAIT else (0.5, 20.0)
        longest = min(cap, base * 2 ** min(self.streak - 1, 10))
        return max(_SHORTEST_PAUSE, random.uniform(0, longest))  # noqa: S311 (jitter, no secret)


def _fault(state: RetryCallState) -> Fault | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Fault) else None
