"""Files that a run writes when its work is done: the report, the metrics, a saved plan.

``Outlet.open`` finds out before the work begins whether the file can be written; ``Outlet.write`` comes after it.
A regular file is replaced as a whole. Everything else (a device, a FIFO, ``/dev/stdout``, ``/dev/fd/3``) is opened
without blocking and written in place. So is a file that cannot be replaced: a bind mount, or one in a folder
without write permission.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from enireconcile import files
from enireconcile.errors import EnireconcileError
from enireconcile.printable import printable

PATIENCE = 10.0
"""Seconds to wait for the reader of a pipe that is full."""
_MOST_LINKS = 40
_IRREPLACEABLE = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS}


class Outlet:
    """One such file. ``what`` names it in errors: "the report". ``patience`` is in seconds.

    A symbolic link stays, and the file that it leads to is replaced. For a ``private`` file, which only its owner
    can read, the link itself is replaced.
    """

    def __init__(self, path: Path, what: str, *, private: bool = False, patience: float = PATIENCE) -> None:
        self.path, self._what, self._private, self._patience = path, what, private, patience
        self._stream: int | None = None

    @property
    def is_stream(self) -> bool:
        """Whether ``open`` found something that is written in place and cannot be read back."""
        return self._stream is not None

    @property
    def target(self) -> Path:
        """The regular file that ``write`` replaces."""
        return self.path if self._private else Path(os.path.realpath(self.path))

    def open(self) -> None:
        """Open it, or check that it can be replaced. Changes nothing. Raises EnireconcileError."""
        if self._stream is None:
            with self._explained():
                self._stream = self._opened()

    def write(self, text: str) -> None:
        """Write the text; once per run, or once per round of a watch. Raises EnireconcileError."""
        self.open()
        content = text.encode(errors="backslashreplace")
        with self._explained():
            if self._stream is None:
                self._replace(content)
                return
            try:
                _send(self._stream, content, self._patience)
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """The reader of a pipe sees its end. A later ``write`` opens it again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            os.close(stream)

    def _opened(self) -> int | None:
        """The descriptor of what is written in place, None for a regular file or if there is no file yet."""
        number = _own_descriptor(self.path)
        if number is not None:
            return _duplicate(number)
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, PermissionError) as error:
            if isinstance(error, PermissionError) and not (self._private and self.path.is_file()):
                raise
            files.check_folder(self.target.parent)
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor

    def _replace(self, content: bytes) -> None:
        target, private = self.target, self._private
        try:
            like = target.stat() if not private and target.exists() else None
            files.replace(target, content, mode=0o600 if private else 0o666, like=like)
        except OSError as error:
            if error.errno not in _IRREPLACEABLE or not target.is_file():
                raise
            files.overwrite(target, content, private=private)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason, hint = _reason(error, self.path)
            raise EnireconcileError(
                f"cannot write {self._what} {printable(str(self.path))}: {reason}", hint=hint
            ) from None


@contextmanager
def opened(*outlets: Outlet | None) -> Iterator[None]:
    """Open all outlets before the block, and close them after it. Raises EnireconcileError."""
    try:
        for outlet in outlets:
            if outlet is not None:
                outlet.open()
        yield
    finally:
        for outlet in outlets:
            if outlet is not None:
                outlet.close()


def _reason(error: OSError, path: Path) -> tuple[str, str | None]:
    """What is wrong, and what to do."""
    if error.errno == errno.ENXIO and path.is_fifo():
        return "no process reads this FIFO", "start its reader first"
    if error.errno == errno.ENXIO:
        return "it is a socket, or a device that is not there", "name a file, a FIFO or a device"
    if error.errno == errno.EPIPE:
        return "its reader has closed it", None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return str(error.strerror), "free some disk space, or name a file on another disk"
    hints = {
        errno.ENOENT: f"create the folder {printable(str(path.parent))} first",
        errno.EACCES: "name a file that you may write, in a folder that you may write to",
        errno.EISDIR: "name a file, not a folder",
    }
    return str(error.strerror or error), hints.get(error.errno or 0)


def _own_descriptor(path: Path) -> int | None:
    """3 for ``/dev/fd/3`` and every link to it, such as ``/dev/stdout`` to descriptor 1; None for other paths.

    To open such a path anew would write a regular file from its start, over what was printed before.
    """
    folders = re.compile(rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd")
    for _ in range(_MOST_LINKS):
        if re.fullmatch(r"[0-9]{1,9}", path.name) and folders.fullmatch(os.path.realpath(path.parent)):
            return int(path.name)
        try:
            path = path.parent / path.readlink()
        except OSError:
            break
    return None


def _duplicate(number: int) -> int:
    """The same open file. Raises OSError if it is not open for writing, or is a pipe without a reader."""
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "it is not open for writing")
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise OSError(errno.EPIPE, "")
    return os.dup(number)


def _send(descriptor: int, content: bytes, patience: float) -> None:
    """Write everything; wait for a slow reader, but not forever."""
    with suppress(OSError):
        sys.stdout.flush()
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    rest, deadline = memoryview(content), time.monotonic() + patience
    while rest:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise OSError(errno.ETIMEDOUT, f"its reader has read nothing for {patience:.0f} s")
        # A pipe that is ready takes this much without blocking, even if its descriptor blocks.
        with suppress(BlockingIOError):
            written = os.write(descriptor, rest[: select.PIPE_BUF])
            rest, deadline = rest[written:], time.monotonic() + patience
