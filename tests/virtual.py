"""An event loop on a virtual clock: sleeping costs no time, and everything wakes in the right order.

When nothing is ready and no call is in flight in a thread, the clock jumps to the next timer. While a call is in
flight, the loop waits for it for real: a call takes no virtual time. The strict EC2 can share the clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Advances the loop's clock instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return list(ready)
        if self.loop.in_flight:
            return list(super().select(None))
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready, nothing is in flight and no timer is set")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``now`` is the virtual time in seconds; ``in_flight`` counts the calls in threads."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.now = start
        self.in_flight = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self.in_flight += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._landed)
        return future

    def _landed(self, _: asyncio.Future[Any]) -> None:
        self.in_flight -= 1


def run(coroutine: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run to the end on a loop that stays open, so that later runs go on in the same time."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        asyncio.set_event_loop(None)
