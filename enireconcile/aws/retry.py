"""The one layer of retries: tenacity, with the pause and the time limit that each fault deserves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from enireconcile.aws.faults import Fault, Meaning

_SHORTEST_PAUSE = 0.1


def retrying(
    worth: Callable[[BaseException], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncRetrying:
    """tenacity, with the pause that a fault deserves and an end when its ``seconds`` are over."""
    patience = _Patience()
    return AsyncRetrying(
        retry=retry_if_exception(worth), stop=patience.over, wait=patience.pause, sleep=sleep, reraise=True
    )


@dataclass
class _Patience:
    """How long one call has been tried, and how often the same thing came in its way without a break."""

    began: float | None = None
    meaning: Meaning | None = None
    streak: int = 0

    def over(self, state: RetryCallState) -> bool:
        now = asyncio.get_running_loop().time()
        if self.began is None:
            self.began = now
        fault = _fault(state)
        return fault is None or now - self.began >= fault.seconds

    def pause(self, state: RetryCallState) -> float:
        """Exponential with full jitter. A young object comes soon; a throttle wants more room."""
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


def worth_repeating(error: BaseException) -> bool:
    return isinstance(error, Fault) and error.meaning in {
        Meaning.THROTTLED,
        Meaning.RETRY,
        Meaning.OUTCOME_UNKNOWN,
    }
