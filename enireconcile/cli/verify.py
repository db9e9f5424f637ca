"""verify: run the checks of specs, and say why one fails. Changes nothing."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from enireconcile.aws.api import Reader
from enireconcile.cli.publish import (
    complain_of_files,
    complain_of_no_guests,
    complain_of_stacks,
    labels_of,
    names,
    one_stream,
)
from enireconcile.cli.session import Connection
from enireconcile.cli.several import Several
from enireconcile.cli.signals import Interrupt
from enireconcile.engine.checks import Checks
from enireconcile.engine.stop import Stop
from enireconcile.errors import EnireconcileError, StoppedError
from enireconcile.model import CHECK_FAILED, CheckResult
from enireconcile.outputs import logs
from enireconcile.outputs.json import checks_json
from enireconcile.outputs.progress import Progress, progress_for
from enireconcile.outputs.stdout import as_shown
from enireconcile.outputs.text import checks_text
from enireconcile.spec import Loaded, Spec

_TO_JUDGE = 15.0
"""Seconds after a time limit in which it is read why checks failed."""


def verify_specs(loaded: Loaded, connection: Connection, output: str, timeout: float | None, jobs: int) -> int:
    """Run the checks of each spec and print the results. Returns the exit code.

    ``timeout`` limits the time that all of it may take, in seconds. ``jobs`` stacks at most are
    verified at once.
    """
    specs, unread = loaded.specs, dict[str, EnireconcileError]()
    labels = labels_of(specs)
    several = len(specs) > 1 or loaded.refused is not None
    refused_code = complain_of_files(loaded.refused)
    # The results are printed below the progress, which need not say the same.
    brief = output == "text" and one_stream(sys.stdout, sys.stderr)

    def work(spec: Spec, interrupt: Interrupt) -> tuple[Spec, Checked] | None:
        with logs.about(spec.document.stack, labels[spec.file]):
            try:
                checked = run_checks(spec, connection, interrupt, progress_for(sys.stderr), brief=brief)
                return spec, checked
            except EnireconcileError as error:
                if not several:
                    raise
                unread[spec.file] = error
                return None

    interrupt = Interrupt()
    with interrupt.limited(timeout):
        ran = Several(work, connection, interrupt, jobs).run(specs)
    results = [result for result in ran if result is not None]
    complain_of_stacks(specs, unread)
    _print(results, names(specs), output, several=several)
    failed = any(not check.ok for _, checked in results for check in checked.results)
    codes = [error.exit_code for error in unread.values()]
    return max([refused_code, *codes]) or (CHECK_FAILED if failed else 0)


class Checked(Struct, frozen=True):
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
            complain_of_no_guests(channel.session.endpoint, results)
            return Checked(results, channel.session.endpoint)
    except StoppedError as error:
        raise EnireconcileError(str(error)) from None


def _print(
    results: Sequence[tuple[Spec, Checked]],
    called: Mapping[str, str],
    output: str,
    *,
    several: bool,
) -> None:
    if output == "text":
        texts = (
            checks_text(called[spec.file], checked.results, click.style, endpoint=checked.endpoint)
            for spec, checked in results
        )
        click.echo(as_shown("\n\n".join(texts)))
        return
    objects: list[dict[str, Any]] = []
    for spec, checked in results:
        more = {"stack": spec.document.stack} if several else {}
        objects += [{**more, **each} for each in checks_json(checked.results)]
    click.echo(json.dumps(objects, indent=2))
