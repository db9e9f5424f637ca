"""import-terraform: read a Terraform state, print a spec of it; what Terraform has to forget goes to stderr."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from enireconcile.errors import EnireconcileError
from enireconcile.export.terraform.state import read_state
from enireconcile.export.terraform.taking import imported
from enireconcile.files import read_limited
from enireconcile.outputs import logs
from enireconcile.printable import printable

_MOST = 256 * 1024 * 1024
"""Bytes of a state: more than any that Terraform handles well."""


def import_state(file: str, region: str | None, account_id: str | None) -> int:
    """Print the spec of a state, ``-`` for standard input. Raises EnireconcileError if it has nothing for one."""
    name = "stdin" if file == "-" else file
    # The name of a pipe says nothing.
    title = None if file == "-" or file.startswith(("/dev/fd/", "/dev/stdin", "/proc/")) else file
    made = imported(read_state(_read(file), name, named=title is not None), title, region, account_id)
    for note in made.notes:
        logs.say(f"note: {printable(note)}")
    if made.text is None:
        raise EnireconcileError(
            f"{printable(name)}: enireconcile can take over nothing of this state",
            hint="it takes over aws_instance, aws_network_interface, aws_eip and aws_security_group"
            + (": see the notes above" if made.notes else ""),
        )
    click.echo(made.text, nl=False)
    logs.say("")
    logs.say("Once `enireconcile apply` has adopted them, run these lines, and delete the same resources from the")
    logs.say("configuration of Terraform, which would create them anew:")
    for address in made.forget:
        logs.say(f"terraform state rm {shlex.quote(printable(address))}")
    return 0


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return read_limited(sys.stdin.buffer, _MOST)
        # Not only regular files: a shell's <(terraform show -json) is a pipe.
        with Path(file).open("rb") as stream:
            return read_limited(stream, _MOST)
    except OSError as error:
        raise EnireconcileError(
            f"{printable(file)}: cannot be read: {error.strerror}",
            hint="give the file with the output of `terraform show -json`, or - for standard input",
        ) from None
