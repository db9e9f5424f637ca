"""Locks and journals in a directory. The operating system releases a lock when its process ends."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from enireconcile import files
from enireconcile.errors import EnireconcileError, LockedError, StoppedError
from enireconcile.state.base import (
    HeldLock,
    LockInfo,
    Store,
    holder_from,
    parsed_json,
    this_process,
    uninterrupted,
)
from enireconcile.state.clock import BootClock, machine_clock
from enireconcile.state.journal import MAX_BYTES, Journal, Log

log = logging.getLogger("enireconcile.store")

_POLL = 0.1
_MAX_HOLDER_BYTES = 64 * 1024
_REPAIR = "run `enireconcile unlock` for this spec: it moves the damaged file out of the way"
_LOCK, _HOLDER, _JOURNAL, _REPORT = "lock", "holder.json", "journal.jsonl", "report.json"


class Directory(Store):
    """One directory per scope below ``root``, which no other user may write to. ``clock`` is for the journal."""

    def __init__(self, root: Path, clock: BootClock | None = None) -> None:
        self._root, self._clock = root, clock or machine_clock()

    @contextlib.contextmanager
    def locked(
        self,
        scope: str,
        *,
        timeout: float,
        now: Callable[[], float],
        idle: Callable[[float], bool] = uninterrupted,
        waiting: Callable[[LockInfo], object] = lambda _: None,
    ) -> Iterator[HeldLock]:
        folder = self._root / scope
        with _explained(folder):
            _refuse_damaged(folder)
            self._make(folder)
            # One thread acquires it, and another one may release it.
            lock = FileLock(folder / _LOCK, thread_local=False)
            self._acquire(lock, scope, timeout, idle, waiting)
        try:
            with _explained(folder):
                _write(folder / _HOLDER, json.dumps(this_process(now).fields))
                journal = Journal(FileLog(folder / _JOURNAL), scope, now, self._clock)
            held = _HeldFileLock(journal, folder)
            try:
                yield held
            finally:
                held.released()
        finally:
            _remove(folder / _HOLDER)
            lock.release()

    def look(self, scope: str) -> LockInfo | None:
        folder = self._root / scope
        with _explained(folder):
            left = folder / _HOLDER
            if not folder.is_dir():
                return None
            _refuse_others(folder)
            if _is_damaged(folder / _LOCK):
                # No run can lock it.
                return None
            holder = holder_from(_json(left))
            lock = FileLock(folder / _LOCK)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return LockInfo(holder, True, "a running process has locked the file", tied=True)
            try:
                found = os.path.lexists(left)
            finally:
                lock.release()
            return LockInfo(holder, False, "its process ended without removing it") if found else None

    def remove(self, scope: str, lock: LockInfo) -> None:
        folder = self._root / scope
        with _explained(folder), _at_rest(folder, f"{scope} is locked by {lock}"):
            _forget_holder(folder / _HOLDER)

    def damage(self, scope: str) -> str | None:
        folder = self._root / scope
        with _explained(folder):
            return _damage(folder)

    def repair(self, scope: str) -> list[str]:
        folder = self._root / scope
        with _explained(folder):
            if not folder.is_dir():
                return [_set_aside(folder)]
            moved = [_set_aside(folder / _LOCK)] if _is_damaged(folder / _LOCK) else []
            with _at_rest(folder, f"a run of {scope} has begun meanwhile"):
                _forget_holder(folder / _HOLDER)
                if _journal_error(folder / _JOURNAL):
                    moved.append(_set_aside(folder / _JOURNAL))
            return moved

    def _make(self, folder: Path) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_others(self._root, shared=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        _refuse_others(folder)

    def _acquire(
        self,
        lock: FileLock,
        scope: str,
        timeout: float,
        idle: Callable[[float], bool],
        waiting: Callable[[LockInfo], object],
    ) -> None:
        deadline, told = time.monotonic() + timeout, False
        while True:
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return
            holder = LockInfo(holder_from(_json(self._root / scope / _HOLDER)), True, "")
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockedError(
                    f"{scope} is locked by {holder}", hint="wait for that run to end, or raise --lock-timeout"
                )
            if not told:
                waiting(holder)
                told = True
            if not idle(min(_POLL, left)):
                raise StoppedError("stopped while waiting for the lock; nothing was changed")


class _HeldFileLock(HeldLock):
    def __init__(self, journal: Journal, folder: Path) -> None:
        super().__init__(journal)
        self._folder = folder

    def keep(self, report: str) -> None:
        with _explained(self._folder):
            _write(self._folder / _REPORT, report)


class FileLog(Log):
    """A file; every line is flushed to disk at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        try:
            return files.read_regular(self._path, MAX_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise EnireconcileError(
                f"cannot read the journal {self._path}: {error.strerror or error}", hint=_REPAIR
            ) from None

    def append(self, line: str) -> None:
        try:
            with _append_to(self._path) as file:
                # Do not continue a line that a crash cut off.
                cut_off = file.tell() and not self._ends_with_newline()
                file.write(f"\n{line}\n" if cut_off else f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EnireconcileError(
                f"cannot write the journal {self._path}: {error.strerror or error}",
                hint="free some disk space, or set another directory with --state",
            ) from None

    def replace(self, text: str) -> None:
        _write(self._path, text)

    async def flushed(self) -> None:
        return None

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def default_root() -> Path:
    """``$XDG_STATE_HOME/enireconcile``, else ``~/.local/state/enireconcile``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "enireconcile"


def _append_to(path: Path) -> IO[str]:
    """Open a file that is created with mode 0600."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Replace a file atomically, and also what is in its place and is no file."""
    try:
        files.replace(path, text.encode(), mode=0o600)
    except IsADirectoryError:
        log.warning("a directory was in the place of a file: moved to %s", _set_aside(path))
        files.replace(path, text.encode(), mode=0o600)


def _remove(path: Path) -> None:
    """Remove a file at the end of a run, whose outcome does not change if this fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error.strerror or error)


def _forget_holder(path: Path) -> None:
    """Remove the name of a run that has ended; a directory in its place may contain anything, and is kept."""
    if path.is_dir() and not path.is_symlink():
        _set_aside(path)
    else:
        path.unlink(missing_ok=True)


def _json(path: Path) -> object:
    try:
        return parsed_json(files.read_regular(path, _MAX_HOLDER_BYTES))
    except OSError:
        return None


# ---- damage: what another program has put in the place of our files


def _refuse_damaged(folder: Path) -> None:
    if damage := _damage(folder):
        raise EnireconcileError(f"cannot use the state in {folder}: {damage}", hint=_REPAIR)


def _damage(folder: Path) -> str | None:
    """What keeps a run from locking the folder or from reading the journal, None if nothing does."""
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        return "it is not a directory"
    if _is_damaged(folder / _LOCK):
        return f"{_LOCK} is not a regular file"
    error = _journal_error(folder / _JOURNAL)
    return f"{_JOURNAL} is {error}" if error else None


def _is_damaged(path: Path) -> bool:
    """Whether there is something that is no regular file; a link is none, either."""
    return os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode)


def _journal_error(path: Path) -> str | None:
    if not os.path.lexists(path):
        return None
    if _is_damaged(path):
        return "not a regular file"
    if not os.access(path, os.R_OK):
        return "not readable"
    return f"larger than {MAX_BYTES} bytes" if path.stat().st_size > MAX_BYTES else None


def _set_aside(path: Path) -> str:
    """Rename it, and return the new path: only its owner knows whether it can be deleted."""
    aside = path.with_name(f"{path.name}.damaged-{os.urandom(4).hex()}")
    path.rename(aside)
    return str(aside)


@contextlib.contextmanager
def _at_rest(folder: Path, message: str) -> Iterator[None]:
    """Hold the lock inside the block. Raises LockedError with this message if a run has it."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            message, hint="the lock is released when that process ends: wait for it, or stop it if it hangs"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _refuse_others(path: Path, *, shared: bool = False) -> None:
    """Raise EnireconcileError if other users can write here: they could change the journal or place symlinks.

    A ``shared`` directory such as /tmp is accepted if its sticky bit protects the files of each user.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    for owner in (path.lstat().st_uid, found.st_uid):
        if owner not in (0, os.geteuid()):
            raise EnireconcileError(
                f"the state directory {path} belongs to another user (user id {owner})",
                hint="set a directory of your own with --state",
            )
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not (shared and mode & stat.S_ISVTX):
        who = "other users" if mode & stat.S_IWOTH else "members of its group"
        raise EnireconcileError(
            f"{who} can write to the state directory {path} (mode {mode:04o})",
            hint=f"run chmod go-w {path}, or set another directory with --state",
        )


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnireconcileError(
            f"cannot use the state directory {folder}: {error.strerror or error}",
            hint="free space there, or set a directory on another disk with --state"
            if full
            else "set a directory that you can write to with --state",
        ) from None
