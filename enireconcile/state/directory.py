"""Locks and journals in a directory. The operating system releases a lock when its process ends."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from enireconcile.errors import EnireconcileError, LockedError, StoppedError
from enireconcile.state.base import HeldLock, LockInfo, Store, holder_from, this_process, uninterrupted
from enireconcile.state.journal import Journal, Log

_POLL = 0.1


class Directory(Store):
    """One directory per scope below ``root``, which no other user may write to."""

    def __init__(self, root: Path) -> None:
        self._root = root

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
        holder = folder / "holder.json"
        with _explained(folder):
            self._make(folder)
            lock = FileLock(folder / "lock")
            self._acquire(lock, scope, timeout, idle, waiting)
        try:
            with _explained(folder):
                _write(holder, json.dumps(this_process(now).fields))
                journal = Journal(FileLog(folder / "journal.jsonl"), scope, now)
            yield _HeldFileLock(journal, folder)
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def look(self, scope: str) -> LockInfo | None:
        folder = self._root / scope
        with _explained(folder):
            left = folder / "holder.json"
            if not folder.is_dir():
                return None
            _refuse_others(folder)
            holder = holder_from(_json(left))
            lock = FileLock(folder / "lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return LockInfo(holder, True, "a running process has locked the file")
            try:
                found = left.exists()
            finally:
                lock.release()
            return LockInfo(holder, False, "its process ended without removing it") if found else None

    def remove(self, scope: str, lock: LockInfo) -> None:
        folder = self._root / scope
        with _explained(folder):
            file = FileLock(folder / "lock")
            try:
                file.acquire(blocking=False)
            except Timeout:
                raise LockedError(
                    f"{scope} is locked by {lock}",
                    hint="the lock is released when that process ends: wait for it, or stop it if it hangs",
                ) from None
            try:
                (folder / "holder.json").unlink(missing_ok=True)
            finally:
                file.release()

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
            holder = LockInfo(holder_from(_json(self._root / scope / "holder.json")), True, "")
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
            _write(self._folder / "report.json", report)


class FileLog(Log):
    """A file; every line is flushed to disk at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def append(self, line: str) -> None:
        try:
            with _private(self._path, "a") as file:
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


def _private(path: Path, mode: str) -> IO[str]:
    """Open a file that is created with mode 0600."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "a" else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), mode, encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Replace a file atomically."""
    replacement = path.with_name(path.name + ".new")
    with _private(replacement, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    replacement.replace(path)


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _refuse_others(path: Path, *, shared: bool = False) -> None:
    """Raise EnireconcileError if other users can write here: they could change the journal or place symlinks.

    A ``shared`` directory such as /tmp is accepted if its sticky bit protects the files of each user.
    """
    found = path.stat() if shared else path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, os.geteuid()):
        raise EnireconcileError(
            f"the state directory {path} belongs to another user (user id {found.st_uid})",
            hint="set a directory of your own with --state",
        )
    if mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode) and not (shared and mode & stat.S_ISVTX):
        raise EnireconcileError(
            f"other users can write to the state directory {path} (mode {mode:04o})",
            hint=f"run chmod go-w {path}, or set another directory with --state",
        )


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnireconcileError(
            f"cannot use the state directory {folder}: {error.strerror or error}",
            hint="set a directory that you can write to with --state",
        ) from None
