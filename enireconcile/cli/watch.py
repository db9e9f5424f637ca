"""watch: apply in rounds until told to stop."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from enireconcile.cli.apply import apply_stack
from enireconcile.cli.publish import check_outlets, failure, notify, write_report
from enireconcile.cli.session import ApplyOptions, Connection
from enireconcile.cli.signals import Interrupt, leave
from enireconcile.errors import EnireconcileError, internal_error
from enireconcile.model import Report
from enireconcile.outputs import logs
from enireconcile.spec import Spec


def watch_specs(
    sources: Sequence[str],
    load: Callable[[str], Sequence[Spec]],
    connection: Connection,
    options: ApplyOptions,
    interval: float,
    interrupt: Interrupt,
) -> int:
    """Apply what the sources say, again and again, until somebody wants to stop.

    Each round reads the files anew and has sessions of its own, so that edits and renewed credentials count. A
    source that cannot be read or done does not keep the others waiting. The answer is 5 if the stop came before
    something that had been begun was done, else 0. Raises SpecErrors if a source is wrong from the start.
    """
    from enireconcile.engine.watch import watch as rounds

    check_outlets(options)
    options = replace(options, command="watch")
    _one_stack_each(spec for source in sources for spec in load(source))
    cut_short: list[Report] = []

    def turn() -> bool:
        reports = _round(sources, load, connection, options, interrupt)
        if interrupt.wished:
            cut_short.extend(report for report in reports if report.outcome == "partial" and report.outcomes)
        # Sessions leave much behind, and there is nothing to do now.
        gc.collect()
        return not any(report.outcome in ("failed", "partial") for report in reports)

    with interrupt:
        # Not a secret: it only keeps watchers from marching in step.
        rounds(turn, interrupt.idle, interval=interval, clock=time.monotonic, jitter=random.random)
    code = max((report.exit_code for report in cut_short), default=0)
    return leave(code) if interrupt.left else code


def _round(
    sources: Sequence[str],
    load: Callable[[str], Sequence[Spec]],
    connection: Connection,
    options: ApplyOptions,
    interrupt: Interrupt,
) -> list[Report]:
    """Every source once. What goes wrong is said, and is over with this round."""
    specs: list[Spec] = []
    reports: list[Report] = []
    for source in sources:
        with _going_on(options):
            specs += load(source)
    with _going_on(options):
        _one_stack_each(specs)
        for spec in specs:
            if not interrupt.wished:
                with _going_on(options):
                    reports.append(apply_stack(spec, connection, options, interrupt))
        write_report(options.report, reports)
    return reports


@contextmanager
def _going_on(options: ApplyOptions) -> Iterator[None]:
    """An error is told, and that is all."""
    try:
        yield
    except EnireconcileError as error:
        _tell_of(error, options)
    except OSError as error:
        _tell_of(EnireconcileError(str(error)), options)
    except Exception as error:
        if os.environ.get("ENIRECONCILE_DEBUG"):
            raise
        _tell_of(internal_error(error), options)


def _tell_of(error: EnireconcileError, options: ApplyOptions) -> None:
    logs.complain(error)
    notify(failure(None, error), options)


def _one_stack_each(specs: Iterable[Spec]) -> None:
    """Two files with one stack would undo each other's work. Raises EnireconcileError."""
    files: dict[str, str] = {}
    for spec in specs:
        first = files.setdefault(spec.document.stack, spec.file)
        if first != spec.file:
            raise EnireconcileError(
                f"{first} and {spec.file} are both of stack {spec.document.stack}; neither is applied",
                hint="give one of them another stack",
            )
