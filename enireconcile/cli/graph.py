"""graph: stacks as one picture, of what the specs want or of what is. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from enireconcile.cli.session import Connection
from enireconcile.outputs import logs
from enireconcile.outputs.graph import Picture, dot, live_picture, mermaid, spec_picture, svg, together
from enireconcile.outputs.words import at_endpoint
from enireconcile.spec import Spec

FORMATS: dict[str, Callable[[Picture, str], str]] = {
    "mermaid": lambda picture, title: mermaid(picture, title=title),
    "dot": lambda picture, title: dot(picture, title=title),
    "svg": lambda picture, title: svg(picture, title=title),
}


def graph_specs(specs: Sequence[Spec], connection: Connection, picture_format: str, *, live: bool) -> int:
    """Print one picture of all stacks. Without ``live``, AWS is not called. Returns the exit code."""
    if live:
        read = [_live(spec, connection) for spec in specs]
        text = drawn([picture for picture, _ in read], picture_format, "live", [at for _, at in read])
    else:
        text = drawn([spec_picture(spec.document) for spec in specs], picture_format, "")
    click.echo(text, nl=False)
    return 0


def drawn(
    pictures: Sequence[Picture], picture_format: str, what: str, endpoints: Sequence[str | None] = ()
) -> str:
    """The pictures of stacks as one, in a format; the title says which stacks, where, and what is drawn.

    ``endpoints`` are those of EC2, each None if it is AWS's.
    """
    picture = together(pictures)
    place = f" in {picture.region}" if picture.region else ""
    place += "".join(map(at_endpoint, dict.fromkeys(endpoints)))
    return FORMATS[picture_format](picture, f"{picture.stack}{place}{f', {what}' if what else ''}")


def _live(spec: Spec, connection: Connection) -> tuple[Picture, str | None]:
    """What is, and EC2's endpoint if it is not AWS's."""
    from enireconcile.aws.api import Reader
    from enireconcile.cli.signals import run_async
    from enireconcile.engine.planner import guard_account
    from enireconcile.live.reader import read_owned

    with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
        reading = read_owned(Reader(channel), spec.document, channel.session.region, subnets=True, networks=True)
        found = run_async(reading)
    guard_account(spec, found.account_id)
    return live_picture(spec.document, found), channel.session.endpoint
