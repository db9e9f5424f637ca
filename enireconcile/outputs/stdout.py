"""stdout and stderr that their reader has closed, or that are full."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TextIO

import click

from enireconcile.outputs import logs
from enireconcile.outputs.terminal import columns, fitted
from enireconcile.outputs.turns import in_turn


def as_shown(text: str) -> str:
    """Text for people as stdout shows it: on a terminal wrapped at words, else as it is."""
    return fitted(text, columns(sys.stdout))


def print_result(text: str) -> None:
    """Print what a run has done. An error here is only a warning: it must not change the outcome."""
    in_turn(partial(_print, text))


def _print(text: str) -> None:
    try:
        # In another thread, click does not know that the command has no colours.
        click.echo(text, color=False if logs.colourless() else None)
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        logs.warn(f"cannot write the result to stdout: {error.strerror}")


def discard_stdout() -> None:
    """Send the rest to /dev/null. Otherwise Python would fail once more when it flushes stdout at exit."""
    _discard(sys.stdout)


def flush_or_discard(stream: TextIO) -> None:
    """Flush at the end of the program; what cannot be written is lost, and does not change the exit code."""
    try:
        stream.flush()
    except OSError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
