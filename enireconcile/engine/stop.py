"""What stops a run: no new call may be made, and what is waited for is not waited for any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from enireconcile.aws.api import retrieved

T = TypeVar("T")


class Stop(asyncio.Event):
    """Set when no new call may be made; ``reason`` is the first reason that was given."""

    reason: str | None = None

    def because(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.set()


class Stopped(Exception):
    """The run is stopped: no new call is made."""


async def until_stopped(doing: Awaitable[T], stop: asyncio.Event) -> T:
    """The result. Raises Stopped if the run is stopped before there is one."""
    task, stopping = asyncio.ensure_future(doing), asyncio.ensure_future(stop.wait())
    task.add_done_callback(retrieved)
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Stopped
        return await task
    finally:
        task.cancel()
        stopping.cancel()


async def unless_stopped(doing: Awaitable[T], stop: asyncio.Event) -> T | None:
    """The result, or None if the run is stopped before there is one."""
    try:
        return await until_stopped(doing, stop)
    except Stopped:
        return None
