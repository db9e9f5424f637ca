"""``user_data_file``: reads the file and puts its content into ``user_data``. A spec reads no other file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from enireconcile.spec.places import Path, shown
from enireconcile.spec.rows import USER_DATA_BYTES
from enireconcile.spec.violations import Violation


class _RefusedError(Exception):
    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def inline_user_data(data: Any, root: FilePath) -> Iterator[Violation]:
    """Replace every ``user_data_file`` by ``user_data``. Paths are relative to ``root`` and may not leave it."""
    instances = data.get("instances") if isinstance(data, dict) else None
    for name, row in instances.items() if isinstance(instances, dict) else ():
        if isinstance(row, dict) and "user_data_file" in row:
            path: Path = ("instances", name, "user_data_file")
            named = row.pop("user_data_file")
            if "user_data" in row:
                yield Violation(path, "cannot be combined with `user_data`", "keep one of the two", on_key=True)
            elif named is not None:
                try:
                    row["user_data"] = _read(named, root)
                except _RefusedError as refused:
                    yield Violation(path, refused.message, refused.hint)


def _read(named: object, root: FilePath) -> str:
    if not isinstance(named, str) or not named:
        raise _RefusedError(
            "must be the path of a file", "a path relative to the spec file, for example boot/web.sh"
        )
    try:
        top = root.resolve()
        target = (top / named).resolve()
        if FilePath(named).is_absolute() or not target.is_relative_to(top):
            raise _RefusedError(
                f"{shown(named)} is outside the directory of the spec",
                "move the file next to the spec, or into a subdirectory",
            )
        if not target.is_file():
            raise _RefusedError(f"there is no file {shown(named)}", "the path is relative to the spec file")
        with target.open("rb") as file:
            content = file.read(USER_DATA_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not valid"
        raise _RefusedError(f"cannot read {shown(named)}: {reason}") from None
    if len(content) > USER_DATA_BYTES:
        raise _RefusedError(
            f"{shown(named)} is longer than {USER_DATA_BYTES} bytes, EC2's limit for user data",
            "keep a short script here, and let it download the rest at boot",
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _RefusedError(
            f"{shown(named)} is not UTF-8 text",
            "user data must be text: a shell script or a cloud-init configuration",
        ) from None
