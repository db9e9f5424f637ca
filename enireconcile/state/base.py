"""What both stores share: the holder of a lock, and what a run gets with the lock that it holds."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from enireconcile.errors import LostLockError
from enireconcile.state.clock import boot_id
from enireconcile.state.journal import Journal

RELEASED = "this run has released it"
NO_MORE_CALLS = "no new calls are made; run the command again"
_LONGEST = 300
"""Characters to keep of a text from a lock, which another program may have written."""


class Holder(Struct, frozen=True):
    """The process that holds or held a lock. ``since`` is an ISO time.

    ``where`` identifies the boot and the pid namespace of the machine, ``started`` is the process's start time in
    ticks since that boot: together they show whether a pid still belongs to this process. Both are empty where the
    operating system does not provide them.
    """

    who: str
    host: str
    pid: int
    command: str
    since: str
    where: str = ""
    started: str = ""

    def __str__(self) -> str:
        return f"{self.who} on {self.host} (pid {self.pid}, since {self.since}: {self.command})"

    @property
    def fields(self) -> dict[str, Any]:
        """The holder as a JSON object."""
        return asdict(self)

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended: only if it ran on this machine, since its last boot."""
        if not self.where or self.where != _where() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
        began = _started(self.pid)
        return began is not None and began != self.started


def this_process(now: Callable[[], float]) -> Holder:
    """This process as a holder. ``now`` returns seconds since the epoch."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Holder(
        who=user,
        host=socket.gethostname(),
        pid=os.getpid(),
        # A URL may contain a secret, and others can read the lock.
        command=" ".join([Path(sys.argv[0]).name, *("***" if "://" in word else word for word in sys.argv[1:3])]),
        since=datetime.fromtimestamp(now(), UTC).isoformat(timespec="seconds"),
        where=_where(),
        started=_started(os.getpid()) or "",
    )


def parsed_json(text: bytes | str) -> Any:
    """The value of a JSON text that another program may have written, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def holder_from(fields: Any) -> Holder | None:
    """The holder that a lock names, None if the lock is unreadable."""
    if not isinstance(fields, Mapping):
        return None
    with suppress(KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return Holder(
            who=_text(fields["who"]),
            host=_text(fields["host"]),
            pid=int(fields["pid"]),
            command=_text(fields["command"]),
            since=_text(fields["since"]),
            where=_text(fields.get("where", "")),
            started=_text(fields.get("started", "")),
        )
    return None


def _text(value: Any) -> str:
    """A text that another program may have written, without terminal control characters."""
    return "".join(char for char in str(value)[:_LONGEST] if char.isprintable())


def _where() -> str:
    with suppress(OSError):
        if boot := boot_id():
            return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return ""


def _started(pid: int) -> str | None:
    """When a process began, in ticks since boot; None if there is no such process, or no /proc."""
    with suppress(OSError, IndexError):
        # The process name before it may contain spaces and parentheses.
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    return None


class LockInfo(Struct, frozen=True):
    """A lock as another run sees it. ``holder`` is None if the lock does not name one.

    ``live`` says whether a running process seems to hold it, ``why`` the evidence for that. ``tied`` says that it
    ends with that process and cannot be removed before. The store needs ``version`` to remove this lock and no
    later one.
    """

    holder: Holder | None
    live: bool
    why: str
    version: str = ""
    tied: bool = False

    def __str__(self) -> str:
        return str(self.holder) if self.holder else "another run"


class HeldLock:
    """The lock that this run holds, with the journal that it protects; it also stores the last report."""

    is_held = True
    """Whether changes may be made: False for the stand-in that ``Store.unlocked`` returns."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._released = False

    def check(self) -> None:
        """Call this right before a change is sent, in any thread.

        Raises LostLockError if this run no longer holds the lock.
        """
        if self._released:
            raise LostLockError(f"the lock is lost: {RELEASED}", hint=NO_MORE_CALLS)

    def released(self) -> None:
        """The lock is about to be released. Threads may still be on their way to a change."""
        self._released = True

    @contextmanager
    def watched(self, lost: Callable[[str], object]) -> Iterator[None]:
        """If the lock is lost inside the block, ``lost`` is called with the reason, perhaps by another thread."""
        yield

    def keep(self, report: str) -> None:
        """Store the text of the last report. Raises EnireconcileError."""


class NoLock(HeldLock):
    """Stands in for the lock of a run that finds out whether there is anything to do. It keeps nothing."""

    is_held = False

    def check(self) -> None:
        raise LostLockError("the stack is not locked", hint=NO_MORE_CALLS)


def uninterrupted(seconds: float) -> bool:
    """Sleep, and return that waiting may go on: the ``idle`` of callers that handle no signals."""
    time.sleep(seconds)
    return True


class Store(ABC):
    """Storage of locks, journals and last reports: one of each per *scope*.

    A scope is a stack in an account and Region, e.g. ``123456789012-us-east-1-two-enis``.
    """

    def unlocked(self, scope: str, now: Callable[[], float]) -> NoLock | None:
        """What a run needs to find out, without the lock, whether there is anything to do.

        None if the lock has to be held for that: another run has it, the journal tells what a plan must know, or
        holding it costs nothing in this store. Raises EnireconcileError.
        """
        return None

    @abstractmethod
    def locked(
        self,
        scope: str,
        *,
        timeout: float,
        now: Callable[[], float],
        idle: Callable[[float], bool] = uninterrupted,
        waiting: Callable[[LockInfo], object] = lambda _: None,
    ) -> AbstractContextManager[HeldLock]:
        """Hold the lock of a scope inside the block.

        Raises LockedError if another run still has it after ``timeout`` seconds, EnireconcileError.
        ``now`` returns seconds since the epoch. ``idle`` sleeps for some seconds and returns whether to go on
        waiting; if not, StoppedError is raised. ``waiting`` is called once with the lock that this run waits for.
        """

    @abstractmethod
    def look(self, scope: str) -> LockInfo | None:
        """The lock of a scope, None if it is not locked."""

    @abstractmethod
    def remove(self, scope: str, lock: LockInfo) -> None:
        """Remove a lock that ``look`` returned. Raises LockedError if it has changed since, EnireconcileError."""

    @abstractmethod
    def damage(self, scope: str) -> str | None:
        """What another program has put in the place of the state, so that no run can use it; None if nothing."""

    @abstractmethod
    def repair(self, scope: str) -> list[str]:
        """Move the damage out of the way; returns the new places. Raises LockedError, EnireconcileError."""
