"""What stacks that run in several threads print: whole for each stack, and in the order of the stacks.

The first stack that has not ended prints at once. What the others print is kept until those before have ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_turn: ContextVar[tuple[Turns, int] | None] = ContextVar("turn", default=None)


class Turns:
    """The turns of ``count`` stacks. ``current`` is the number of the stack that prints, from 0."""

    def __init__(self, count: int) -> None:
        self._kept = [deque[Callable[[], object]]() for _ in range(count)]
        self._ended = [False] * count
        self.current = 0
        self._printing = threading.Lock()

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Inside the block, this thread prints for the stack with this number, which then has ended."""
        token = _turn.set((self, number))
        try:
            yield
        finally:
            _turn.reset(token)
            self._ended[number] = True
            self.print()

    def end(self) -> None:
        """No stack prints any more, also none that never began: print what is left."""
        self._ended = [True] * len(self._ended)
        self.print()

    def add(self, number: int, write: Callable[[], object]) -> None:
        """Print for a stack, in its turn; what a thread that it left behind prints later, at once."""
        if number < self.current:
            write()
            return
        self._kept[number].append(write)
        self.print()

    def print(self) -> None:
        """Print what may be printed by now, unless another thread is doing that: it does not miss this, either."""
        # Never waited for: what is printed may itself log, and logging has a lock of its own.
        while self._has_some and self._printing.acquire(blocking=False):
            try:
                while self._has_some:
                    if self._kept[self.current]:
                        self._kept[self.current].popleft()()
                    else:
                        self.current += 1
            finally:
                self._printing.release()

    def is_printed(self, number: int) -> bool:
        """Whether it is the turn of this stack, and all that it has written so far is printed."""
        with self._printing:
            return self.current == number and not self._kept[number]

    @property
    def _has_some(self) -> bool:
        current = self.current
        return current < len(self._kept) and bool(self._kept[current] or self._ended[current])


def is_taken() -> bool:
    """Whether the stack of this thread takes turns with others."""
    return _turn.get() is not None


def in_turn(write: Callable[[], object]) -> None:
    """Call ``write``, which prints something, when it is the turn of this thread's stack."""
    taken = _turn.get()
    if taken is None:
        write()
    else:
        turns, number = taken
        turns.add(number, write)
