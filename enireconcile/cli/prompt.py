"""Questions on the terminal."""

from __future__ import annotations

import click


def confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False
