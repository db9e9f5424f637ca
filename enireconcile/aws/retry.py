"""The one layer of retries: tenacity, with a pause and a time limit that depend on the fault.

A call that is retried for longer than SILENCE is reported, and again every AGAIN: what AWS answered, how often the
call was tried since it failed first, when it is tried next, and how long that will go on. A call that gets no
answer for AGAIN seconds is reported, too. One that waits for its turn at EC2's pace has not failed, and is not.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from enireconcile.aws.faults import Fault, Meaning
from enireconcile.printable import printable

log = logging.getLogger("enireconcile.aws")

SILENCE = 5.0
"""Seconds after which a call that is still retried is reported."""
AGAIN = 10.0
"""Seconds after which it is reported again, and after which a request without an answer is reported.

Most take less than one, a few some seconds.
"""
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
    queue: Callable[[str], float] = lambda _: 0.0,
) -> AsyncRetrying:
    """tenacity, with the pause that a fault needs; it gives up after the fault's ``seconds``.

    ``failed`` is called with the fault of each attempt that will be repeated. ``queue`` returns the seconds until
    a call that asks now has its turn at EC2's pace, by its name.
    """
    loop = asyncio.get_running_loop()
    backoff = _Backoff(loop.time, _notices_of(loop), failed, queue)
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
    """State of one call's retries: since when it fails, how often it did, and how many like faults in a row.

    ``clock`` returns seconds. ``attempts`` is set where their number is the limit, not the time.
    """

    clock: Callable[[], float]
    notices: _Notices
    failed: Callable[[Fault], object] = lambda _: None
    queue: Callable[[str], float] = lambda _: 0.0
    attempts: int | None = None
    next_notice: float | None = None
    tries: int = 0
    last: Fault | None = None
    failing_since: float | None = None
    meaning: Meaning | None = None
    streak: int = 0

    def exhausted(self, state: RetryCallState) -> bool:
        fault = _fault(state)
        return fault is None or self._failing() >= fault.seconds

    def _failing(self) -> float:
        """Seconds since the call failed first; the first failure calls this."""
        now = self.clock()
        if self.failing_since is None:
            self.failing_since = now
        return now - self.failing_since

    def pause(self, state: RetryCallState) -> float:
        """Seconds: exponential with full jitter. New resources show up soon; throttling needs longer pauses."""
        fault = _fault(state)
        meaning = fault.meaning if fault else None
        self.streak = self.streak + 1 if meaning is self.meaning else 1
        self.meaning = meaning
        base, cap = (0.25, 5.0) if meaning is Meaning.WAIT else (0.5, 20.0)
        longest = min(cap, base * 2 ** min(self.streak - 1, 10))
        if fault is not None and self.attempts is None:
            # The last attempt comes when the time is over, not a whole pause later.
            longest = min(longest, fault.seconds - self._failing())
        return max(_SHORTEST_PAUSE, random.uniform(0, longest))  # noqa: S311 (jitter, no secret)

    def note(self, state: RetryCallState) -> None:
        """Remember a failed attempt that will be repeated."""
        self.tries, self.last = state.attempt_number, _fault(state)
        if self.last is not None:
            self.failed(self.last)

    async def sleep(self, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Sleep by ``sleep``, and report the call in between whenever that is due."""
        until = self.clock() + seconds
        while (due := self._due()) <= until:
            await sleep(max(0.0, due - self.clock()))
            self._report(until)
        await sleep(max(0.0, until - self.clock()))

    def sleep_in_thread(self, seconds: float) -> None:
        until = self.clock() + seconds
        if self._due() <= until:
            self._report(until)
        time.sleep(seconds)

    def _due(self) -> float:
        """The time at which the call is to be reported."""
        if self.next_notice is None:
            self.next_notice = self.clock() - self._failing() + SILENCE
        return self.next_notice

    def _report(self, until: float) -> None:
        """Say that the call is retried, unless another call with the same answer was reported a moment ago.

        ``until`` is the time at which its pause ends.
        """
        now, fault = self.clock(), self.last
        self.next_notice = now + AGAIN
        others = self.notices.others(fault.code, fault.call, now) if fault else None
        if fault is None or others is None:
            return
        spent = self._failing()
        again = max(0.0, until - now, self.queue(fault.call))
        log.warning(
            "%s: %s, tried %s in %.0f s; again in about %.0f s, %s",
            fault.call + others,
            answer_of(fault),
            "once" if self.tries == 1 else f"{self.tries} times",
            spent,
            again,
            f"for another {max(0.0, fault.seconds - spent):.0f} s"
            if self.attempts is None
            else f"{self.attempts - self.tries} more to come",
            extra={
                "fields": {
                    "call": fault.call,
                    "code": fault.code,
                    "attempts": self.tries,
                    "seconds": round(spent, 3),
                    "again_in": round(again, 3),
                }
            },
        )


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
        self._next = self._loop.call_later(AGAIN, self._tell)

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
