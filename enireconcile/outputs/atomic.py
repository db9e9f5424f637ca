"""Write files atomically: the whole file or nothing."""

from __future__ import annotations

import os
from pathlib import Path

from enireconcile.errors import EnireconcileError


def write_whole(path: Path, text: str, what: str, mode: int = 0o666) -> None:
    """Write a file and put it in place in one step. ``what`` names it in errors. Raises EnireconcileError."""
    partial = path.with_name(path.name + ".new")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise EnireconcileError(f"cannot write {what} {path}: {error.strerror}") from None
