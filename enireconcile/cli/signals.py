"""Ctrl-C and SIGTERM: the first stops a run after the calls in flight, the second ends it immediately."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

from enireconcile.errors import StoppedError
from enireconcile.outputs.stdout import flush_or_discard

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXITING = b"exiting immediately; run the command again to finish\n"

_PULSE = 0.2
"""Seconds after which a sleeping event loop handles a signal at the latest."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run work in an event loop that always handles signals within a moment.

    Python runs a signal handler between two of its own instructions only. A signal that arrives right before the
    loop falls asleep, or in another thread, does not wake the loop, which would sleep until some other event. So
    the loop never sleeps for long.
    """

    async def run() -> T:
        pulse = asyncio.ensure_future(_pulse())
        try:
            return await work
        finally:
            pulse.cancel()

    return asyncio.run(run())


async def _pulse() -> None:
    while True:
        await asyncio.sleep(_PULSE)


class Interrupt:
    """Handles the signals while its context is active, with or without an event loop. For the main thread only.

    ``stopped_by`` is the name of the first signal, or None. ``abandoned_calls`` says that a run ended while calls
    were in flight: the process has to end by ``exit_now``, which does not wait for their threads.
    """

    def __init__(self) -> None:
        self.stopped_by: str | None = None
        self.abandoned_calls = False
        self._stop: Callable[[], object] | None = None
        self._abandon: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
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
        if self.stopped_by is None:
            self.stopped_by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            if self._stop is not None:
                self._stop()
        elif self._abandon is not None:
            abandon, self._abandon = self._abandon, None
            abandon()
        else:
            # The signal may have interrupted a print, so this cannot use sys.stderr.
            os.write(2, _EXITING)
            os._exit(5)

    @contextmanager
    def on_stop(self, stop: Callable[[], object], abandon: Callable[[], object] | None = None) -> Iterator[None]:
        """Call ``stop`` in the running event loop at the first signal, or now if it has come already.

        The second signal calls ``abandon`` likewise. Without ``abandon``, it ends the process immediately.
        """
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stop)
        self._abandon = (lambda: loop.call_soon_threadsafe(abandon)) if abandon else None
        try:
            if self.stopped_by:
                stop()
            yield
        finally:
            self._stop = self._abandon = None

    def sleep(self, seconds: float) -> bool:
        """Sleep until the time is over or a signal arrives. Returns False after a signal."""

        async def sleep() -> None:
            stop = asyncio.Event()
            with self.on_stop(stop.set):
                waiting = asyncio.ensure_future(stop.wait())
                await asyncio.wait({waiting}, timeout=seconds)
                waiting.cancel()

        run_async(sleep())
        return not self.stopped_by

    def run(self, reading: Coroutine[Any, Any, T]) -> T:
        """Run work that changes nothing. Raises StoppedError as soon as a signal arrives."""

        async def run() -> T:
            task = asyncio.ensure_future(reading)
            with self.on_stop(task.cancel):
                return await task

        try:
            return run_async(run())
        except asyncio.CancelledError:
            raise StoppedError(f"stopped by {self.stopped_by}; nothing was changed") from None

    def ask(self, question: Callable[[], bool]) -> bool:
        """The answer to a question. A signal means no, also one that arrives right after a yes."""
        ours = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
        try:
            try:
                return question()
            finally:
                for number, handler in ours.items():
                    signal.signal(number, handler)
        except KeyboardInterrupt:
            return False


def exit_now(code: int) -> NoReturn:
    """End the process without waiting for its threads."""
    for stream in (sys.stdout, sys.stderr):
        flush_or_discard(stream)
    os._exit(code)
