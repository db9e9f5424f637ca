"""graph: stacks as one picture, of what the specs want or of what is. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from enireconcile.cli.session import Connection
from enireconcile.outputs import logs
from enireconcile.outputs.graph import Picture, dot, live_picture, mermaid, spec_picture, svg, together
from enireconcile.spec import Spec

FORMATS: dict[str, Callable[[Picture, str], str]] = {
    "mermaid": lambda picture, title: mermaid(picture, title=title),
    "dot": lambda picture, title: dot(picture, title=title),
    "svg": lambda picture, title: svg(picture, title=title),
}


def graph_specs(specs: Sequence[Spec], connection: Connection, picture_format: str, *, live: bool) -> int:
    """Print one picture of all stacks. Without ``live``, AWS is not called. Returns the exit code."""
    pictures = [_live(spec, connection) if live else spec_picture(spec.document) for spec in specs]
    click.echo(drawn(pictures, picture_format, "live" if live else ""), nl=False)
    return 0


def drawn(pictures: Sequence[Picture], picture_format: str, what: str) -> str:
    """The pictures of stacks as one, in a format; the title says which stacks, where, and what is drawn."""
    picture = together(pictures)
    place = f" in {picture.region}" if picture.region else ""
    return FORMATS[picture_format](picture, f"{picture.stack}{place}{f', {what}' if what else ''}")


def _live(spec: Spec, connection: Connection) -> Picture:
    from enireconcile.aws.api import Reader
    from enireconcile.cli.signals import run_async
    from enireconcile.engine.planner import guard_account
    from enireconcile.live.reader import read_owned

    with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
        reading = read_owned(Reader(channel), spec.document, channel.session.region, subnets=True, networks=True)
        found = run_async(reading)
    guard_account(spec, found.account_id)
    return live_picture(spec.document, found)
