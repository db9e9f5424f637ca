"""The one layer of retries: tenacity, with a pause and a time limit that depend on the fault.

A call that is retried for longer than SILENCE is reported, and again every AGAIN: what AWS answered, how often the
call was tried, and how long it will go on. So is a call that gets no answer for longer than SLOW.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from enireconcile.aws.faults import Fault, Meaning
from enireconcile.printable import printable

log = logging.getLogger("enireconcile.aws")

SILENCE = 5.0
"""Seconds after which a call that is still retried is reported."""
AGAIN = 10.0
"""Seconds after which it is reported again."""
SLOW = 15.0
"""Seconds after which a request without an answer is reported. Most take less than one, a few some seconds."""
_SHORTEST_PAUSE = 0.1
_LONGEST_ANSWER = 200
"""Characters of an answer that are shown."""
_TRANSIENT = frozenset({Meaning.THROTTLED, Meaning.RETRY, Meaning.OUTCOME_UNKNOWN})


def is_transient(error: BaseException) -> bool:
    """Whether a read that failed like this may succeed when it is repeated."""
    return isinstance(error, Fault) and error.meaning in _TRANSIENT


def retrying(
    should_retry: Callable[[BaseException], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    failed: Callable[[Fault], object] = lambda _: None,
) -> AsyncRetrying:
    """tenacity, with the pause that a fault needs; it gives up after the fault's ``seconds``.

    ``failed`` is called with the fault of each attempt that will be repeated.
    """
    loop = asyncio.get_running_loop()
    backoff = _Backoff(loop.time, _notices_of(loop), failed)
    return AsyncRetrying(
        retry=retry_if_exception(should_retry),
        stop=backoff.exhausted,
        wait=backoff.pause,
        before_sleep=backoff.note,
        sleep=lambda seconds: backoff.sleep(seconds, sleep),
        reraise=True,
    )


def retrying_in_thread(should_retry: Callable[[BaseException], bool], attempts: int) -> Retrying:
    """The same for a thread without an event loop; it gives up after so many ``attempts``."""
    backoff = _Backoff(time.monotonic, _IN_THREADS, attempts=attempts)
    return Retrying(
        retry=retry_if_exception(should_retry),
        stop=stop_after_attempt(attempts),
        wait=backoff.pause,
        before_sleep=backoff.note,
        sleep=backoff.sleep_in_thread,
        reraise=True,
    )


def answer_of(fault: Fault) -> str:
    """What AWS answered, in one line that is safe to print."""
    return printable(f"{fault.code}: {fault.message}")[:_LONGEST_ANSWER]


@dataclass
class _Backoff:
    """State of one call's retries: when it began and first failed, how often, and how many like faults in a row.

    ``clock`` returns seconds. ``attempts`` is set where their number is the limit, not the time.
    """

    clock: Callable[[], float]
    notices: _Notices
    failed: Callable[[Fault], object] = lambda _: None
    attempts: int | None = None
    began: float = field(init=False)
    next_notice: float = field(init=False)
    tries: int = 0
    last: Fault | None = None
    failing_since: float | None = None
    meaning: Meaning | None = None
    streak: int = 0

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.next_notice = self.began + SILENCE

    def exhausted(self, state: RetryCallState) -> bool:
        now, fault = self.clock(), _fault(state)
        if self.failing_since is None:
            self.failing_since = now
        return fault is None or now - self.failing_since >= fault.seconds

    def pause(self, state: RetryCallState) -> float:
        """Seconds: exponential with full jitter. New resources show up soon; throttling needs longer pauses."""
        fault = _fault(state)
        meaning = fault.meaning if fault else None
        self.streak = self.streak + 1 if meaning is self.meaning else 1
        self.meaning = meaning
        base, cap = (0.25, 5.0) if meaning is Meaning.WAIT else (0.5, 20.0)
        longest = min(cap, base * 2 ** min(self.streak - 1, 10))
        if fault is not None and self.failing_since is not None:
            # The last attempt comes when the time is over, not a whole pause later.
            longest = min(longest, self.failing_since + fault.seconds - self.clock())
        return max(_SHORTEST_PAUSE, random.uniform(0, longest))  # noqa: S311 (jitter, no secret)

    def note(self, state: RetryCallState) -> None:
        """Remember a failed attempt that will be repeated."""
        self.tries, self.last = state.attempt_number, _fault(state)
        if self.last is not None:
            self.failed(self.last)

    async def sleep(self, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Sleep by ``sleep``, and report the call in between whenever that is due."""
        until = self.clock() + seconds
        while self.next_notice <= until:
            await sleep(max(0.0, self.next_notice - self.clock()))
            self._report()
        await sleep(max(0.0, until - self.clock()))

    def sleep_in_thread(self, seconds: float) -> None:
        if self.next_notice <= self.clock() + seconds:
            self._report()
        time.sleep(seconds)

    def _report(self) -> None:
        """Say that the call is retried, unless another call with the same answer was reported a moment ago."""
        now, fault = self.clock(), self.last
        self.next_notice = now + AGAIN
        others = self.notices.others(fault.code, fault.call, now) if fault else None
        if fault is None or others is None:
            return
        spent = now - self.began
        log.warning(
            "%s: %s, tried %s in %.0f s; %s",
            fault.call + others,
            answer_of(fault),
            "once" if self.tries == 1 else f"{self.tries} times",
            spent,
            self._rest(fault, now),
            extra={
                "fields": {
                    "call": fault.call,
                    "code": fault.code,
                    "attempts": self.tries,
                    "seconds": round(spent, 3),
                }
            },
        )

    def _rest(self, fault: Fault, now: float) -> str:
        if self.attempts is not None:
            return f"{self.attempts - self.tries} more to come"
        spent = now - self.failing_since if self.failing_since is not None else 0.0
        return f"trying for another {max(0.0, fault.seconds - spent):.0f} s"


class _Notices:
    """Many calls may get the same answer at the same time: it is told once every AGAIN seconds for all of them."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._calls: dict[str, set[str]] = {}

    def others(self, code: str, call: str, now: float) -> str | None:
        """How many other calls got this answer since it was last told; None if that was a moment ago."""
        calls = self._calls.setdefault(code, set())
        calls.add(call)
        if now - self._told.get(code, -AGAIN) < AGAIN:
            return None
        self._told[code] = now
        more = len(calls) - 1
        calls.clear()
        return "" if not more else f" and {more} more call{'s' if more > 1 else ''}"


_IN_THREADS = _Notices()
_IN_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Notices] = WeakKeyDictionary()
"""Each event loop has its own clock."""


def _notices_of(loop: asyncio.AbstractEventLoop) -> _Notices:
    return _IN_LOOPS.setdefault(loop, _Notices())


class Reminder:
    """Reports a request of the running event loop while it gets no answer. ``cancel`` ends that."""

    def __init__(self, call: str) -> None:
        self._call, self._loop = call, asyncio.get_running_loop()
        self._began = self._loop.time()
        self._next = self._loop.call_later(SLOW, self._tell)

    def _tell(self) -> None:
        now = self._loop.time()
        self._next = self._loop.call_later(AGAIN, self._tell)
        others = _notices_of(self._loop).others("no answer", self._call, now)
        if others is not None:
            spent = now - self._began
            fields = {"call": self._call, "seconds": round(spent, 3)}
            log.warning("%s: no answer for %.0f s", self._call + others, spent, extra={"fields": fields})

    def cancel(self) -> None:
        self._next.cancel()


def _fault(state: RetryCallState) -> Fault | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Fault) else None
