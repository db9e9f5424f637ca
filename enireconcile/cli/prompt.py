"""Questions on the terminal."""

from __future__ import annotations

import sys

import click

from enireconcile.outputs.terminal import columns, fitted


def confirmed(question: str) -> bool:
    """Ask on stderr. Ctrl-D and Ctrl-C mean no."""
    try:
        return click.confirm(fitted(question, columns(sys.stderr)), err=True)
    except click.Abort:
        click.echo(err=True)
        return False
