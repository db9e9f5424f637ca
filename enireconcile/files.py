"""Read files up to a limit, replace them atomically, lock folders. Every function raises OSError."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PAUSE = 0.05


def read_limited(stream: BinaryIO, limit: int) -> bytes:
    """The rest of a stream. More than ``limit`` bytes are an error, and at most one more is read."""
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes")
    return content


def read_up_to(path: Path, size: int) -> bytes:
    """The first ``size`` bytes of a file, pipe or device. A FIFO that no process writes to is an error."""
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        content = file.read(size)
        is_named_fifo = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode) and Path(os.path.realpath(path)).exists()
        # A writer that has written nothing yet is None.
        if content == b"" and is_named_fifo:
            raise OSError(errno.ENXIO, "no process writes to this FIFO")
        os.set_blocking(file.fileno(), True)
        content = content or b""
        while len(content) < size and (more := file.read(size - len(content))):
            content += more
        return content


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file. Anything else is an error, and does not block: a FIFO, a device."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return read_limited(file, limit)


def _without_waiting(path: str, flags: int) -> int:
    """Opens a FIFO at once, whether or not a process writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def replace(
    path: Path, content: bytes, *, mode: int = 0o666, like: os.stat_result | None = None, exact: bool = False
) -> None:
    """Replace or create a file: the whole content or, even after a crash, none of it.

    With ``like``, the new file gets its mode and, where possible, its owner; otherwise ``mode``, less the umask
    unless ``exact``.
    """
    partial = _partial(path.parent)
    descriptor = _create(partial, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if like is not None:
                _resemble(descriptor, like)
            elif exact:
                os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/enireconcile``, else below ``~/.cache``; None without a home."""
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home, "enireconcile")
    try:
        return Path.home() / ".cache" / "enireconcile"
    except RuntimeError:
        return None


def is_private(path: Path) -> bool:
    """Whether it is a file, no link, that only this user can write."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def make_folders(folder: Path, mode: int) -> None:
    """Create a folder and those above it that are missing. The new ones have this mode, whatever the umask is."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(mode)


def overwrite(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write an existing regular file in place: for one that cannot be replaced, such as a bind mount."""
    # Truncated in a second step: the open must not change a file that is not regular.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "wb") as file:
        if private:
            with suppress(OSError):
                os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def locked_folder(folder: Path, patience: float) -> Iterator[None]:
    """Inside the block, no other process that locks this folder runs. Waits for up to ``patience`` seconds."""
    descriptor, deadline = os.open(folder, os.O_RDONLY | os.O_DIRECTORY), time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise OSError(errno.EAGAIN, f"another run has locked {folder} for {patience:.0f} s") from None
                time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def check_folder(folder: Path) -> None:
    """Create a file in this folder and remove it again."""
    partial = _partial(folder)
    os.close(_create(partial, 0o600))
    partial.unlink()


def _partial(folder: Path) -> Path:
    """A new name: two runs must not write to one file, and no link can be waiting under it."""
    return folder / f".enireconcile-{os.urandom(8).hex()}.new"


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)


def _resemble(descriptor: int, like: os.stat_result) -> None:
    """Only root can keep another owner; a member of the group can keep the group."""
    for owner in (like.st_uid, -1):
        with suppress(OSError):
            os.fchown(descriptor, owner, like.st_gid)
            break
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode) & 0o777)


def _sync_folder(folder: Path) -> None:
    """Some file systems cannot sync a folder; the file itself is on the disk."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
