"""Questions on the terminal."""

from __future__ import annotations

import click


def confirmed(question: str) -> bool:
    """Ask on stderr. Ctrl-D and Ctrl-C mean no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False
