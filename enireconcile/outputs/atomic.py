"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from enireconcile.errors import EnireconcileError


def write_whole(path: Path, text: str, what: str, mode: int = 0o666) -> None:
    """All of a file or nothing of it. ``what`` names it in errors. Raises EnireconcileError."""
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
