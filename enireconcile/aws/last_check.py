"""A check at the last moment before a request leaves, in the thread that sends it.

A process can be paused at any moment, for longer than a lease lasts: by SIGSTOP, by a laptop that sleeps. A check
that ran before the pause proves nothing after it. So the check runs after signing, connecting and sending the
headers, right before each part of the body is handed to the operating system. AWS executes no request without its
whole body.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

Check = Callable[[], None]


class _LastCheck:
    """``refusal`` is what the check raised. botocore wraps what is raised while it sends."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.refusal: Exception | None = None

    def __call__(self) -> None:
        # The check may send requests of its own.
        token = _current.set(None)
        try:
            self._check()
        except Exception as error:
            self.refusal = error
            raise
        finally:
            _current.reset(token)


_current: ContextVar[_LastCheck | None] = ContextVar("last_check", default=None)


class _CheckedBody(io.BytesIO):
    """The body of a request; each part of it is read right before it is sent."""

    def __init__(self, body: bytes, check: Check) -> None:
        super().__init__(body)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        if part:
            self._check()
        return part


@contextmanager
def checked_last(check: Check | None) -> Iterator[None]:
    """Inside the block, this thread sends no request unless ``check`` returns. What it raises leaves the block."""
    last = _LastCheck(check) if check else None
    token = _current.set(last)
    try:
        yield
    except Exception:
        if last and last.refusal:
            raise last.refusal from None
        raise
    finally:
        _current.reset(token)


def check_before_body(request: AWSPreparedRequest, **_: Any) -> None:
    """A handler of botocore's event ``before-send``."""
    check = _current.get()
    if check:
        body = request.body
        if not isinstance(body, (str, bytes)):
            raise TypeError("only a request with a body can be checked while it is sent")
        request.body = _CheckedBody(body.encode() if isinstance(body, str) else body, check)
