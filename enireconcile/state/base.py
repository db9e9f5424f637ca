"""What both stores share: who holds a lock, and what comes with holding it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enireconcile.state.journal import Journal

_LONGEST = 300
"""Characters of a word that somebody else wrote."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, or held it. ``since`` is an ISO time.

    ``where`` names the machine's boot and process numbering, ``started`` when the process began (in ticks since
    that boot), so that whoever looks knows whether a pid means the same process to him. Both are empty where the
    system does not tell.
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
    def words(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_dead(self) -> bool:
        """Is it known to have ended? Only a process of this machine, since this boot, is known so well."""
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


def me(now: Callable[[], float]) -> Holder:
    """This process. ``now`` gives seconds since the epoch."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Holder(
        who=user,
        host=socket.gethostname(),
        pid=os.getpid(),
        # A URL may be a secret, and a lock is read by others.
        command=" ".join([Path(sys.argv[0]).name, *("***" if "://" in word else word for word in sys.argv[1:3])]),
        since=datetime.fromtimestamp(now(), UTC).isoformat(timespec="seconds"),
        where=_where(),
        started=_started(os.getpid()) or "",
    )


def holder_from(words: Any) -> Holder | None:
    """The holder that a lock names, if it can be read."""
    if not isinstance(words, Mapping):
        return None
    with suppress(KeyError, TypeError, ValueError):
        return Holder(
            who=_word(words["who"]),
            host=_word(words["host"]),
            pid=int(words["pid"]),
            command=_word(words["command"]),
            since=_word(words["since"]),
            where=_word(words.get("where", "")),
            started=_word(words.get("started", "")),
        )
    return None


def _word(value: Any) -> str:
    """What somebody else wrote, without what could steer a terminal."""
    return "".join(char for char in str(value)[:_LONGEST] if char.isprintable())


def _where() -> str:
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return ""


def _started(pid: int) -> str | None:
    """When a process began, in ticks since boot; None if there is no such process, or nobody tells."""
    with suppress(OSError, IndexError):
        # The name before it may hold anything, blanks and brackets too.
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    return None


@dataclass(frozen=True)
class Lock:
    """A lock as an onlooker sees it. ``holder`` is None if it does not say whose it is.

    ``held`` says that a living run has it, as far as one can know; ``why`` tells how one knows. ``version`` is
    what the store needs to remove this very lock and no later one.
    """

    holder: Holder | None
    held: bool
    why: str
    version: str = ""

    def __str__(self) -> str:
        return str(self.holder) if self.holder else "another run"


class Held:
    """A lock that is ours, the journal that it guards, and the place for the last report."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def check(self) -> None:
        """To be called right before anything is changed. Raises LostLockError if the lock is not ours any more."""

    @contextmanager
    def watched(self, lost: Callable[[str], object]) -> Iterator[None]:
        """``lost`` is called, perhaps by another thread, with why, should the lock go while inside."""
        yield

    def keep(self, report: str) -> None:
        """Keep the text of the last report."""


def nap(seconds: float) -> bool:
    """Sleep; the way of waiting of who cannot be interrupted. The answer is whether to go on."""
    time.sleep(seconds)
    return True


class Store(ABC):
    """Where locks, journals and last reports are kept, one of each for a *scope*.

    A scope is a plain name, e.g. ``123456789012-us-east-1-two-enis``.
    """

    @abstractmethod
    def locked(
        self,
        scope: str,
        *,
        timeout: float,
        now: Callable[[], float],
        idle: Callable[[float], bool] = nap,
        waiting: Callable[[Lock], object] = lambda _: None,
    ) -> AbstractContextManager[Held]:
        """Hold the lock of a scope. Raises LockedError after ``timeout`` seconds, EnireconcileError.

        ``now`` gives seconds since the epoch. ``idle`` waits and says whether to go on waiting; if not,
        StoppedError is raised. ``waiting`` is told once who is waited for.
        """

    @abstractmethod
    def look(self, scope: str) -> Lock | None:
        """The lock of a scope, or None if there is none."""

    @abstractmethod
    def remove(self, scope: str, lock: Lock) -> None:
        """Remove a lock that was looked at. Raises LockedError if it has changed hands, EnireconcileError."""
