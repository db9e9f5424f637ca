"""stdout that its reader has closed, or that is full."""

from __future__ import annotations

import os
import sys

import click

from enireconcile.outputs import logs


def print_result(text: str) -> None:
    """Print the result of a run. What fails here does not change the outcome: the work is done."""
    try:
        click.echo(text)
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        logs.warn(f"cannot write the result to stdout: {error.strerror}")


def discard_stdout() -> None:
    """Send the rest to /dev/null. Otherwise Python would fail once more when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
