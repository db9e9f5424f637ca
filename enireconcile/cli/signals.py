"""What ends a run early: Ctrl-C, SIGTERM and --timeout.

The first signal, or the end of the time limit, stops a run after the calls in flight. The second signal, or the
end of a short grace, ends it immediately.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from enireconcile.errors import EnireconcileError, StoppedError
from enireconcile.outputs import logs

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXITING = b"exiting immediately; run the command again to finish\n"

GRACE = 2.0
"""Seconds after a time limit for the calls in flight; and as many again to release the lock and to notify."""
_AT_LEAST = 0.5
"""Seconds to release the lock and to notify even if the grace is over."""
_PULSE = 0.2
"""Seconds after which a sleeping event loop handles a signal at the latest."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run work in an event loop that always handles signals within a moment.

    Python runs a signal handler between two of its own instructions only. A signal that arrives right before the
    loop falls asleep, or in another thread, does not wake the loop, which would sleep until some other event. So
    the loop never sleeps for long. At the end, it does not wait for threads: they may be waiting for an answer.
    """

    found: list[T] = []

    # It returns nothing: asyncio formats the task, and so what it returns, when it gives SIGINT back.
    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(_Unawaited())
        pulse = asyncio.ensure_future(_pulse())
        try:
            found.append(await work)
        finally:
            pulse.cancel()

    asyncio.run(run())
    return found[0]


async def _pulse() -> None:
    while True:
        await asyncio.sleep(_PULSE)


class _Unawaited(concurrent.futures.ThreadPoolExecutor):
    """Threads for which the end of an event loop does not wait."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        # What is logged there belongs to the stack of the loop.
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def begun(work: Callable[[], T]) -> concurrent.futures.Future[T]:
    """The result of work that has been started in a thread of its own, for which no exit waits."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is awaited)
            future.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True).start()
    return future


_SAME_SIGNAL = 0.25
"""Seconds: some supervisors send SIGTERM to a process and then to its group, which has the process in it."""


class Interrupt:
    """The time limit of a run and, while its context is active, signals: that is for the main thread only.

    ``stopped_by`` is the name of the first signal, or None. ``abandoned_calls`` says that a run ended while calls
    or other work were going on in threads, for which nothing waits any more.
    """

    def __init__(self) -> None:
        self.stopped_by: str | None = None
        self.abandoned_calls = False
        self._signalled = -math.inf
        self._seconds = self._ends = math.inf
        self._stop: Callable[[], object] | None = None
        self._abandon: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now, before = time.monotonic(), self._signalled
        self._signalled = now
        if number == signal.SIGTERM and now - before < _SAME_SIGNAL:
            return
        if self.stopped_by is None:
            self.stop("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        elif self._abandon is not None:
            abandon, self._abandon = self._abandon, None
            abandon()
        else:
            # The signal may have interrupted a print, so this cannot use sys.stderr.
            os.write(2, _EXITING)
            os._exit(5)

    def stop(self, by: str) -> None:
        """Stop the run after the calls in flight, from any thread, as the first signal does."""
        self.stopped_by = self.stopped_by or by
        stop = self._stop
        # If the event loop has ended meanwhile, what follows it sees ``stopped_by``.
        with suppress(RuntimeError):
            if stop is not None:
                stop()

    # ---- the time limit

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Limit the time of all that is done inside the block, beginning now; None is no limit."""
        before = self._seconds, self._ends
        if seconds is not None:
            self._seconds, self._ends = seconds, time.monotonic() + seconds
        try:
            yield
        finally:
            self._seconds, self._ends = before

    @property
    def left(self) -> float:
        """Seconds until the time limit, not below 0; infinite without one."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def left_to_finish(self) -> float:
        """Seconds for what follows a run: to release the lock and to notify. 0 after a second signal."""
        if self.stopped_by and self.abandoned_calls:
            return 0.0
        return max(_AT_LEAST, self._ends + 2 * GRACE - time.monotonic())

    @property
    def reason(self) -> str | None:
        """What stops the run: the name of a signal, ``--timeout``, or None."""
        return self.stopped_by or (None if self.left else "--timeout")

    def stopped(self, waited: str = "") -> StoppedError:
        """The error of a run that stops before it has changed anything; ``waited`` says for what it waited."""
        if self.stopped_by:
            return StoppedError(f"stopped by {self.stopped_by}; nothing was changed")
        return StoppedError(f"{self.timed_out(waited)}; nothing was changed")

    def timed_out(self, waited: str) -> str:
        """That the time limit stopped the run, and for what it waited then."""
        return f"stopped by --timeout after {self._seconds:g} s" + (f": {waited}" if waited else "")

    @contextmanager
    def handled(self, stop: Callable[[], object], abandon: Callable[[], object]) -> Iterator[None]:
        """Inside the block, call ``stop`` at the first signal and ``abandon`` at the second."""
        self._stop, self._abandon = stop, abandon
        try:
            yield
        finally:
            self._stop = self._abandon = None

    # ---- waiting

    @contextmanager
    def on_stop(self, stop: Callable[[], object], abandon: Callable[[], object] | None = None) -> Iterator[None]:
        """Call ``stop`` in the running event loop at the first signal or the time limit, or now if that has come.

        The second signal, or the end of the grace, calls ``abandon`` likewise. Without ``abandon``, the second
        signal ends the process immediately.
        """
        loop = asyncio.get_running_loop()

        def hurry() -> None:
            self.abandoned_calls = True
            if abandon is not None:
                abandon()

        self._stop = lambda: loop.call_soon_threadsafe(stop)
        self._abandon = (lambda: loop.call_soon_threadsafe(hurry)) if abandon else None
        timers = []
        if self._ends < math.inf:
            timers = [loop.call_later(self.left, stop)]
            timers += [loop.call_later(self.left + GRACE, hurry)] if abandon else []
        try:
            if self.reason:
                stop()
            yield
        finally:
            self._stop = self._abandon = None
            for timer in timers:
                timer.cancel()

    def sleep(self, seconds: float) -> bool:
        """Sleep until the time is over or something stops the run; whether to go on."""

        async def sleep() -> None:
            stop = asyncio.Event()
            with self.on_stop(stop.set):
                waiting = asyncio.ensure_future(stop.wait())
                await asyncio.wait({waiting}, timeout=seconds)
                waiting.cancel()

        run_async(sleep())
        return not self.reason

    def delay(self, seconds: float) -> bool:
        """Sleep likewise, without counting that against the time limit."""
        self._ends += seconds
        return self.sleep(seconds)

    def run(
        self,
        reading: Coroutine[Any, Any, T],
        waited: Callable[[float], str] = lambda _: "",
        stopped: Callable[[str], EnireconcileError] | None = None,
    ) -> T:
        """Run work that changes nothing. Raises StoppedError as soon as something stops it.

        ``waited`` gets the seconds since the beginning, and says for what the work waits. ``stopped`` makes
        another error of that.
        """
        words, began = [""], time.monotonic()

        async def run() -> T:
            task = asyncio.ensure_future(reading)

            def stop() -> None:
                words[0] = waited(time.monotonic() - began)
                task.cancel()

            with self.on_stop(stop):
                return await task

        if self.reason:
            reading.close()
            raise self.stopped()
        try:
            return run_async(run())
        except asyncio.CancelledError:
            raise (stopped or self.stopped)(words[0]) from None

    def in_thread(self, work: Callable[[], T], what: str) -> T:
        """Run blocking work that changes nothing in a thread. Raises StoppedError as soon as something stops it.

        ``what`` names what the work waits for. The thread is left to itself then.
        """
        if self.reason:
            raise self.stopped()
        future = begun(work)
        try:
            return self.run(_result(future), lambda seconds: f"waited {seconds:.1f} s for {what}")
        except StoppedError:
            self.abandoned_calls = self.abandoned_calls or not future.done()
            raise

    @contextmanager
    def entered(
        self,
        make: Callable[[Callable[[float], bool]], AbstractContextManager[T]],
        stopped: Callable[[float], EnireconcileError],
    ) -> Iterator[T]:
        """Enter a context whose entry and exit may block, such as that of a lock.

        ``make`` gets what the entry sleeps with: it returns whether to go on. ``stopped`` gets the seconds since
        the beginning and returns the error to raise if something stops the run during the entry.
        """
        if self.reason:
            raise self.stopped()
        gone, claim = threading.Event(), threading.Lock()

        def enter() -> tuple[AbstractContextManager[T], T]:
            context = make(lambda seconds: not gone.wait(seconds))
            held = context.__enter__()
            if not claim.acquire(blocking=False):
                # The run has ended without it.
                context.__exit__(None, None, None)
            return context, held

        future, began = begun(enter), time.monotonic()
        try:
            context, held = self.run(_result(future), stopped=lambda _: stopped(time.monotonic() - began))
        except EnireconcileError:
            gone.set()
            concurrent.futures.wait([future], GRACE)
            if claim.acquire(blocking=False):
                self.abandoned_calls = self.abandoned_calls or not future.done()
            else:
                self.finish(lambda: future.result()[0].__exit__(None, None, None), "releasing the lock")
            raise
        try:
            yield held
        finally:
            self.finish(lambda: context.__exit__(None, None, None), "releasing the lock")

    def finish(self, work: Callable[[], object], what: str) -> None:
        """Do what follows a run, for as long as the time limit and its grace allow."""
        if self._ends == math.inf:
            work()
            return
        try:
            begun(work).result(self.left_to_finish)
        except concurrent.futures.TimeoutError:
            self.abandoned_calls = True
            logs.warn(f"{what} takes longer than --timeout allows: exiting without waiting for it")

    def ask(self, question: Callable[[], bool]) -> bool:
        """The answer to a question. A signal means no, also one that arrives right after a yes.

        Raises StoppedError at the time limit.
        """
        began = time.monotonic()
        numbers = (*SIGNALS, signal.SIGALRM)
        ours = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
        if self._ends < math.inf:
            signal.setitimer(signal.ITIMER_REAL, max(self.left, 0.001))
        try:
            try:
                answer = question()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                for number, handler in ours.items():
                    signal.signal(number, handler)
        except KeyboardInterrupt:
            answer = False
        if self.reason:
            raise self.stopped(f"waited {time.monotonic() - began:.1f} s for approval")
        return answer


class Branch(Interrupt):
    """That of one of several runs in threads, for which ``trunk`` gets the signals in the main thread.

    ``put_question`` gets the questions of the run, and returns the answers.
    """

    def __init__(self, trunk: Interrupt, put_question: Callable[[Callable[[], bool]], bool]) -> None:
        super().__init__()
        self._put_question = put_question
        self._seconds, self._ends = trunk._seconds, trunk._ends
        self.stopped_by = trunk.stopped_by

    def ask(self, question: Callable[[], bool]) -> bool:
        return self._put_question(question)

    def abandon(self) -> None:
        """End the run at once, from any thread, as the second signal does."""
        if self._abandon is not None:
            with suppress(RuntimeError):
                self._abandon()


@contextmanager
def branches_of(trunk: Interrupt, branches: Sequence[Branch]) -> Iterator[None]:
    """Inside the block, in the main thread, what stops the trunk stops the branches."""

    def stop() -> None:
        for branch in branches:
            branch.stop(trunk.stopped_by or "")

    def abandon() -> None:
        for branch in branches:
            branch.abandon()

    try:
        with trunk.handled(stop, abandon):
            yield
    finally:
        trunk.abandoned_calls = trunk.abandoned_calls or any(branch.abandoned_calls for branch in branches)


async def _result(future: concurrent.futures.Future[T]) -> T:
    return await asyncio.wrap_future(future)
