"""watch: apply in rounds until the user stops it."""

from __future__ import annotations

import gc
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from enireconcile.cli.apply import Stack, run_stacks
from enireconcile.cli.publish import complain_of_files, failure, notify
from enireconcile.cli.session import ApplyOptions, Connection, Memory
from enireconcile.cli.signals import Interrupt
from enireconcile.engine.watch import watch as repeat
from enireconcile.errors import EnireconcileError, SpecErrors, StoppedError, internal_error
from enireconcile.model import Report
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import opened
from enireconcile.spec import Loaded


def watch_specs(
    load: Callable[[bool], Loaded],
    connection: Connection,
    options: ApplyOptions,
    interval: float,
    interrupt: Interrupt,
) -> int:
    """Apply the specs in rounds until ``interrupt`` stops it.

    Each round loads the files again and opens new sessions, so that edits and renewed credentials take effect. A
    file that cannot be read or applied does not affect the others. The argument of ``load`` is whether each
    variable of the command line must be one of the files'; that is so at the start only.

    Returns 5 if the user stopped a run that had begun and not finished, else 0. Raises SpecErrors if a file is
    invalid from the start.
    """
    options = replace(options, command="watch")
    memories: Mapping[Stack, Memory] = defaultdict(Memory)
    cut_short: list[Report] = []

    def turn() -> bool:
        reports = [*_round(load, connection, options, memories, interrupt).values()]
        if interrupt.stopped_by:
            cut_short.extend(report for report in reports if report.outcome == "partial" and report.outcomes)
        # Closed sessions leave many cycles, and the time until the next round is idle.
        gc.collect()
        # A row that is left out, a step that EC2 refuses or a role that cannot be assumed must not delay the
        # failover of another one.
        planned = [report for report in reports if report.outcome != "failed" or report.plan is not None]
        return bool(planned) or not reports

    with opened(*options.outlets), interrupt, suppress(StoppedError):
        if refused := interrupt.in_thread(lambda: load(True), "the specs").refused:
            raise refused
        # Random, so that watchers of one account do not call AWS at the same moment.
        repeat(turn, interrupt.sleep, interval=interval, clock=time.monotonic, jitter=random.random)
    return max((report.exit_code for report in cut_short), default=0)


def _round(
    load: Callable[[bool], Loaded],
    connection: Connection,
    options: ApplyOptions,
    memories: Mapping[Stack, Memory],
    interrupt: Interrupt,
) -> dict[str, Report]:
    """Apply every spec once. Returns the reports by file. Errors are reported and do not end the watch."""

    @contextmanager
    def guarded(interrupt: Interrupt) -> Iterator[None]:
        with _errors_reported(options), interrupt.limited(options.timeout):
            yield

    with _errors_reported(options):
        try:
            loaded = load(False)
        except SpecErrors as errors:
            loaded = Loaded([], errors)
        complain_of_files(loaded.refused)
        return run_stacks(
            loaded.specs,
            connection,
            options,
            interrupt,
            loaded.refused,
            guarded=guarded,
            ends=lambda _: True,
            memories=memories,
        )
    return {}


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
