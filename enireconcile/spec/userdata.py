"""``user_data_file``: reads the file whose content is the user data. A spec reads no other file."""

from __future__ import annotations

from pathlib import Path as FilePath

from enireconcile.spec.places import shown
from enireconcile.spec.rows import USER_DATA_BYTES


class RefusedFile(Exception):
    """A file that cannot be used: ``message`` says why, ``hint`` what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def read_user_data(named: object, root: FilePath) -> str | bytes:
    """The content of the file ``named``, relative to ``root``, which it may not leave. Raises RefusedFile."""
    if not isinstance(named, str) or not named:
        raise RefusedFile(
            "must be the path of a file", "a path relative to the spec file, for example boot/web.sh"
        )
    try:
        top = root.resolve()
        target = (top / named).resolve()
        if FilePath(named).is_absolute() or not target.is_relative_to(top):
            raise RefusedFile(
                f"{shown(named)} is outside the directory of the spec",
                "move the file next to the spec, or into a subdirectory",
            )
        if not target.is_file():
            raise RefusedFile(f"there is no file {shown(named)}", "the path is relative to the spec file")
        with target.open("rb") as file:
            content = file.read(USER_DATA_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not valid"
        raise RefusedFile(f"cannot read {shown(named)}: {reason}") from None
    if len(content) > USER_DATA_BYTES:
        raise RefusedFile(
            f"{shown(named)} is longer than {USER_DATA_BYTES} bytes, EC2's limit for user data",
            "keep a short script here, and let it download the rest at boot",
        )
    return text_if_it_is(content)


def text_if_it_is(content: bytes) -> str | bytes:
    """UTF-8 as text; anything else, such as a gzip file, as it is."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content
