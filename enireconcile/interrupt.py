"""Ctrl-C and SIGTERM as a wish: the first ends a run after the calls in flight, the second ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE = b"stopped at once; run it again to finish\n"


class Interrupt:
    """Inside its context the signals are ours, whichever event loop runs, or none. For the main thread only.

    ``wished`` is True as soon as somebody wants to stop.
    """

    def __init__(self) -> None:
        self.wished = False
        self._tell: Callable[[], object] | None = None
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
        if self.wished:
            # Whatever was interrupted may be in the middle of a print.
            os.write(2, _AT_ONCE)
            os._exit(5)
        self.wished = True
        if self._tell is not None:
            self._tell()

    @contextmanager
    def tells(self, stop: Callable[[], object]) -> Iterator[None]:
        """Calls ``stop`` in the running event loop when somebody wants to stop, or has wanted to already."""
        loop = asyncio.get_running_loop()
        self._tell = lambda: loop.call_soon_threadsafe(stop)
        try:
            if self.wished:
                stop()
            yield
        finally:
            self._tell = None

    def idle(self, seconds: float) -> bool:
        """Sleep. False when somebody wants to stop, which also ends the sleep."""

        async def sleep() -> None:
            stop = asyncio.Event()
            with self.tells(stop.set):
                waiting = asyncio.ensure_future(stop.wait())
                await asyncio.wait({waiting}, timeout=seconds)
                waiting.cancel()

        asyncio.run(sleep())
        return not self.wished
