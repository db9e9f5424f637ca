"""export: read what is selected, print a spec of it; notes go to stderr, user data to files beside it."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import click

from enireconcile import files as written
from enireconcile.aws.api import Reader
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.errors import EnireconcileError
from enireconcile.export.document import exported
from enireconcile.live.selected import Selection
from enireconcile.live.selection import select
from enireconcile.outputs import logs
from enireconcile.outputs.words import counted
from enireconcile.printable import printable


def export_selected(selection: Selection, connection: Connection, folder: Path | None) -> int:
    """Print the spec, and write user data into the folder, if there is one.

    Raises EnireconcileError if nothing can be exported, or a file cannot be written.
    """
    with connection.open(None, read_only=True) as channel:
        reading = select(Reader(channel), selection, channel.session.region, user_data=folder is not None)
        found = run_async(reading)
    made = exported(selection, found, folder.as_posix() if folder is not None else None)
    for note in made.notes:
        logs.say(f"note: {printable(note)}")
    if made.text is None:
        hint = "see the notes above" if made.notes else "there is nothing besides a default security group"
        raise EnireconcileError(f"nothing of {selection.text} can be exported", hint=hint)
    if folder is not None:
        _write(folder, {Path(path): secret.content for path, secret in made.files.items()})
    click.echo(made.text, nl=False)
    return 0


def _write(folder: Path, contents: Mapping[Path, bytes]) -> None:
    """Write all files, or none: where another file is in the way, that is told before the first is written."""
    if not contents:
        logs.say("note: no user data to write")
        return
    if in_the_way := [printable(str(path)) for path, content in contents.items() if _is_other(path, content)]:
        raise EnireconcileError(
            f"{', '.join(in_the_way)}: there is another file of this name; nothing was written",
            hint="remove it, or give another folder with --user-data",
        )
    if folder.resolve() != Path.cwd().resolve() / folder:
        raise EnireconcileError(
            f"--user-data {printable(str(folder))} is reached by a symbolic link; nothing was written",
            hint="give a folder below the working directory: a spec can name files beside it and below only",
        )
    path = folder
    try:
        written.make_folders(folder, 0o700)
        for path, content in contents.items():
            written.replace(path, content, mode=0o600, exact=True)
    except OSError as error:
        raise EnireconcileError(f"cannot write {printable(str(path))}: {error.strerror or error}") from None
    count = counted(len(contents), "file")
    logs.say(
        f"note: user data, which may hold secrets, is in {count} in {printable(str(folder))} that only you can "
        "read; save the spec beside that folder"
    )


def _is_other(path: Path, content: bytes) -> bool:
    """Whether something else than a file with this content is there. A link is never followed."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return True
        return written.read_regular(path, len(content)) != content
    except FileNotFoundError:
        return False
    except OSError:
        return True
