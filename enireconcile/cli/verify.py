"""verify: run the checks of specs, and say why one fails. Changes nothing."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from enireconcile.aws.api import Reader
from enireconcile.cli.publish import complain_of_stacks, one_stream
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import Interrupt
from enireconcile.engine.checks import Checks
from enireconcile.engine.stop import Stop
from enireconcile.errors import EnireconcileError, StoppedError
from enireconcile.model import CHECK_FAILED, CheckResult
from enireconcile.outputs import logs
from enireconcile.outputs.json import checks_json
from enireconcile.outputs.progress import Progress, progress_for
from enireconcile.outputs.text import checks_text
from enireconcile.spec import Spec

_TO_JUDGE = 15.0
"""Seconds after a time limit in which it is read why checks failed."""


def verify_specs(specs: Sequence[Spec], connection: Connection, output: str, timeout: float | None) -> int:
    """Run the checks of each spec and print the results. Returns the exit code.

    ``timeout`` limits the time that all of it may take, in seconds.
    """
    results: list[tuple[str, Checked]] = []
    unread: dict[str, EnireconcileError] = {}
    interrupt = Interrupt()
    with interrupt.limited(timeout):
        for spec in specs:
            stack = spec.document.stack
            with logs.about(stack):
                # The results are printed below the progress, which need not say the same.
                brief = output == "text" and one_stream(sys.stdout, sys.stderr)
                progress = progress_for(sys.stderr)
                try:
                    results.append((stack, run_checks(spec, connection, interrupt, progress, brief=brief)))
                except EnireconcileError as error:
                    if len(specs) == 1:
                        raise
                    unread[stack] = error
    complain_of_stacks(unread)
    _print(results, output, several=len(specs) > 1)
    failed = any(not check.ok for _, checked in results for check in checked.results)
    codes = [error.exit_code for error in unread.values()]
    return max(codes, default=CHECK_FAILED if failed else 0)


@dataclass(frozen=True)
class Checked:
    """The results of a spec's checks. ``endpoint`` is that of EC2, if it is not AWS's."""

    results: tuple[CheckResult, ...] = ()
    endpoint: str | None = None


def run_checks(
    spec: Spec, connection: Connection, interrupt: Interrupt, progress: Progress, *, brief: bool = False
) -> Checked:
    """Run the checks of one spec; with ``brief``, the progress does not say how each one ends."""
    if not spec.document.checks:
        return Checked()
    try:
        with connection.open(spec, read_only=True, interrupt=interrupt) as channel:
            left = interrupt.left
            checks = Checks(
                reader=Reader(channel),
                spec=spec,
                region=channel.session.region,
                account_id=None,
                stop=Stop(),
                tell=lambda event: None if brief and event["type"] == "check" else progress.tell(event),
                limit=left,
            )
            # The checks end by the limit themselves; only then is it read why they failed.
            with progress, interrupt.limited(left + _TO_JUDGE if left < math.inf else None):
                results = interrupt.run(checks.run(), lambda _: channel.waits())
            return Checked(results, channel.session.endpoint)
    except StoppedError as error:
        raise EnireconcileError(str(error)) from None


def _print(results: Sequence[tuple[str, Checked]], output: str, *, several: bool) -> None:
    if output == "text":
        texts = (
            checks_text(stack, checked.results, click.style, endpoint=checked.endpoint)
            for stack, checked in results
        )
        click.echo("\n\n".join(texts))
        return
    objects: list[dict[str, Any]] = []
    for stack, checked in results:
        more = {"stack": stack} if several else {}
        objects += [{**more, **each} for each in checks_json(checked.results)]
    click.echo(json.dumps(objects, indent=2))
