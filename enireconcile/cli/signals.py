"""Ctrl-C and SIGTERM as a wish: the first ends a run after the calls in flight, the second waits for nothing."""

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

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE = b"stopped at once; run it again to finish\n"

_PULSE = 0.2
"""Seconds for which a signal may go unheard."""


def listening(work: Coroutine[Any, Any, T]) -> T:
    """Run work in an event loop that hears signals.

    Python handles a signal only between two of its own instructions. One that comes right before the loop falls
    asleep, or that another thread is given, wakes nobody: the loop would sleep until something else happens. So it
    never sleeps for long.
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
    """Inside its context the signals are ours, whichever event loop runs, or none. For the main thread only.

    ``wished`` is the name of the signal as soon as somebody wants to stop, else None. ``left`` says that calls
    are in flight for which nobody waits: the process has to end by ``leave``, which waits for no thread.
    """

    def __init__(self) -> None:
        self.wished: str | None = None
        self.left = False
        self._tell: Callable[[], object] | None = None
        self._hurry: Callable[[], object] | None = None
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
        if self.wished is None:
            self.wished = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            if self._tell is not None:
                self._tell()
        elif self._hurry is not None:
            hurry, self._hurry = self._hurry, None
            hurry()
        else:
            # Whatever was interrupted may be in the middle of a print.
            os.write(2, _AT_ONCE)
            os._exit(5)

    @contextmanager
    def tells(self, stop: Callable[[], object], hurry: Callable[[], object] | None = None) -> Iterator[None]:
        """Calls ``stop`` in the running event loop when somebody wants to stop, or has wanted to already.

        ``hurry`` is called likewise when it is wished again; without it, the process ends there and then.
        """
        loop = asyncio.get_running_loop()
        self._tell = lambda: loop.call_soon_threadsafe(stop)
        self._hurry = (lambda: loop.call_soon_threadsafe(hurry)) if hurry else None
        try:
            if self.wished:
                stop()
            yield
        finally:
            self._tell = self._hurry = None

    def idle(self, seconds: float) -> bool:
        """Sleep. False when somebody wants to stop, which also ends the sleep."""

        async def sleep() -> None:
            stop = asyncio.Event()
            with self.tells(stop.set):
                waiting = asyncio.ensure_future(stop.wait())
                await asyncio.wait({waiting}, timeout=seconds)
                waiting.cancel()

        listening(sleep())
        return not self.wished

    def unless_wished(self, reading: Coroutine[Any, Any, T]) -> T:
        """Run what changes nothing. Raises StoppedError as soon as somebody wants to stop."""

        async def run() -> T:
            task = asyncio.ensure_future(reading)
            with self.tells(task.cancel):
                return await task

        try:
            return listening(run())
        except asyncio.CancelledError:
            raise StoppedError(f"stopped by {self.wished}; nothing was changed") from None

    def asked(self, question: Callable[[], bool]) -> bool:
        """The answer to a question, to which a signal is a no: also one that comes right after a yes."""
        ours = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
        try:
            try:
                return question()
            finally:
                for number, handler in ours.items():
                    signal.signal(number, handler)
        except KeyboardInterrupt:
            return False


def leave(code: int) -> NoReturn:
    """End the process without waiting for its threads."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
