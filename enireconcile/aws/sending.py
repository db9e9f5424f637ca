"""For what a request waits: for the credentials, or for the endpoint that it was sent to.

Neither loading a client nor waiting for EC2's pace counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SOON = 0.8
"""Seconds after which a wait is worth telling."""
CREDENTIALS = "the credentials"

Slow = Callable[[str], None]
"""Takes what is waited for."""


@dataclass
class Sending:
    """One request, with all its attempts.

    ``since`` is the monotonic time since when it waits; ``host`` is where it was sent last.
    """

    since: float | None = None
    host: str | None = None


_current: ContextVar[Sending | None] = ContextVar("sending", default=None)


@contextmanager
def sending(request: Sending) -> Iterator[None]:
    """Inside the block, what this thread sends is this request."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def waiting(*, until_answered: bool = False) -> Iterator[None]:
    """Inside the block, the request of this thread waits; ``until_answered``: also between its attempts."""
    request = _current.get()
    if request is not None and request.since is None:
        request.since = time.monotonic()
    try:
        yield
    finally:
        if request is not None and not until_answered:
            request.since = None


def note_host(**event: Any) -> None:
    """A handler of botocore's event ``before-send``, also of the clients that sign in."""
    current, request = _current.get(), event["request"]
    if current is not None:
        current.host = urlsplit(request.url).netloc


class Notices:
    """Tells, once for each, for which endpoints requests wait. For the thread of the event loop."""

    def __init__(self, slow: Slow) -> None:
        self._slow = slow
        self._told: set[str] = set()

    @contextmanager
    def watching(self, request: Sending) -> Iterator[None]:
        """Inside the block, the request is watched."""
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def look() -> None:
            waited = time.monotonic() - request.since if request.since is not None else 0.0
            if waited < SOON:
                timers[:] = [loop.call_later(SOON - waited, look)]
                return
            what = request.host or CREDENTIALS
            if what not in self._told:
                self._told.add(what)
                self._slow(what)

        timers.append(loop.call_later(SOON, look))
        try:
            yield
        finally:
            timers[0].cancel()
