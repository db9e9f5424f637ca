"""watch: apply in rounds until the user stops it."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from enireconcile.cli.publish import failure, notify, write_reports
from enireconcile.cli.run import StackRun
from enireconcile.cli.session import ApplyOptions, Connection
from enireconcile.cli.signals import Interrupt
from enireconcile.engine.watch import watch as repeat
from enireconcile.errors import EnireconcileError, StoppedError, internal_error
from enireconcile.model import Report
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import opened
from enireconcile.spec import Spec

if TYPE_CHECKING:
    from enireconcile.outputs.html import Pictures


def watch_specs(
    sources: Sequence[str],
    load: Callable[[str], Sequence[Spec]],
    connection: Connection,
    options: ApplyOptions,
    interval: float,
    interrupt: Interrupt,
) -> int:
    """Apply the sources in rounds until ``interrupt`` stops it.

    Each round reads the files again and opens new sessions, so that edits and renewed credentials take effect. A
    source that cannot be read or applied does not affect the others. Returns 5 if the user stopped a run that had
    begun and not finished, else 0. Raises SpecErrors if a source is invalid from the start.
    """
    options = replace(options, command="watch")
    cut_short: list[Report] = []

    def turn() -> bool:
        reports = _round(sources, load, connection, options, interrupt)
        if interrupt.stopped_by:
            cut_short.extend(report for report in reports if report.outcome == "partial" and report.outcomes)
        # Closed sessions leave many cycles, and the time until the next round is idle.
        gc.collect()
        # A row that is left out or a step that EC2 refuses must not delay the failover of another one.
        return not any(report.outcome == "failed" and report.plan is None for report in reports)

    with opened(*options.outlets), interrupt, suppress(StoppedError):
        specs = interrupt.in_thread(lambda: [spec for source in sources for spec in load(source)], "the specs")
        _one_stack_each(specs)
        # Random, so that watchers of one account do not call AWS at the same moment.
        repeat(turn, interrupt.sleep, interval=interval, clock=time.monotonic, jitter=random.random)
    return max((report.exit_code for report in cut_short), default=0)


def _round(
    sources: Sequence[str],
    load: Callable[[str], Sequence[Spec]],
    connection: Connection,
    options: ApplyOptions,
    interrupt: Interrupt,
) -> list[Report]:
    """Apply every source once. Errors are reported and do not end the watch."""
    specs: list[Spec] = []
    reports: list[Report] = []
    pictures: list[Pictures | None] = []
    for source in sources:
        with _errors_reported(options):
            specs += load(source)
    with _errors_reported(options):
        _one_stack_each(specs)
        for spec in specs:
            if not interrupt.stopped_by:
                with _errors_reported(options), interrupt.limited(options.timeout):
                    run = StackRun(spec, options, interrupt)
                    reports.append(run.run(connection))
                    pictures.append(run.pictures(reports[-1]))
        write_reports(options, reports, pictures)
    return reports


@contextmanager
def _errors_reported(options: ApplyOptions) -> Iterator[None]:
    """Report an error inside, and continue after it."""
    try:
        yield
    except EnireconcileError as error:
        _report_error(error, options)
    except OSError as error:
        _report_error(EnireconcileError(str(error)), options)
    except Exception as error:
        if os.environ.get("ENIRECONCILE_DEBUG"):
            raise
        _report_error(internal_error(error), options)


def _report_error(error: EnireconcileError, options: ApplyOptions) -> None:
    logs.complain(error)
    notify(failure(None, error), options)


def _one_stack_each(specs: Iterable[Spec]) -> None:
    """Raises EnireconcileError for two files of one stack, which would undo each other's changes."""
    files: dict[str, str] = {}
    for spec in specs:
        first = files.setdefault(spec.document.stack, spec.file)
        if first != spec.file:
            raise EnireconcileError(
                f"{first} and {spec.file} are both for stack {spec.document.stack}; neither is applied",
                hint="give one of them another `stack`",
            )
