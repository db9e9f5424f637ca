"""export: read what is selected, print a spec of it; notes go to stderr."""

from __future__ import annotations

import click

from enireconcile.aws.api import Reader
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.errors import EnireconcileError
from enireconcile.export.document import exported
from enireconcile.live.selected import Selection
from enireconcile.live.selection import select
from enireconcile.outputs import logs
from enireconcile.printable import printable


def export_selected(selection: Selection, connection: Connection) -> int:
    """Print the spec. Raises EnireconcileError if nothing can be exported."""
    with connection.open(None, read_only=True) as channel:
        found = run_async(select(Reader(channel), selection, channel.session.region))
    made = exported(selection, found)
    for note in made.notes:
        logs.say(f"note: {printable(note)}")
    if made.text is None:
        hint = "see the notes above" if made.notes else "there is nothing besides a default security group"
        raise EnireconcileError(f"nothing of {selection.text} can be exported", hint=hint)
    click.echo(made.text, nl=False)
    return 0
