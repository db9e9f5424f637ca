"""apply, apply --plan and destroy: run the specs, by ``several``. What one run does is in ``run``."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from enireconcile.cli.options import refuse_one_file_for_two
from enireconcile.cli.publish import (
    complain_of_files,
    failure,
    files_of,
    labels_of,
    names,
    notify,
    print_comment,
    print_json,
    write_reports,
)
from enireconcile.cli.run import StackRun
from enireconcile.cli.session import ApplyOptions, Connection, Memory, random_delay
from enireconcile.cli.several import Several
from enireconcile.cli.signals import Interrupt
from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.files import read_limited
from enireconcile.model import Report
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import opened
from enireconcile.outputs.planfile import MAX_BYTES, Saved, saved_in
from enireconcile.outputs.words import several_words
from enireconcile.planning.targeting import targets_by_file
from enireconcile.printable import printable, printable_lines
from enireconcile.spec import Loaded, Spec

if TYPE_CHECKING:
    from enireconcile.outputs.html import Pictures

Stack = tuple[str, str]
"""A spec file and the stack that it is for."""


def apply_specs(
    specs: Sequence[Spec],
    connection: Connection,
    options: ApplyOptions,
    interrupt: Interrupt,
    refused: SpecErrors | None = None,
) -> int:
    """Apply each spec; one that fails does not stop the others. Returns the worst exit code.

    ``refused`` is what is wrong with further files: the report says so, too.
    """
    refused_code = complain_of_files(refused)
    if options.targets:
        by_file = targets_by_file(specs, options.targets, prune=options.prune)
        options = replace(options, targets_by_file=by_file)
    with opened(*options.outlets):
        if delay := random_delay(options.jitter):
            interrupt.delay(delay)
        reports = run_stacks(specs, connection, options, interrupt, refused)
        print_comment([*reports.values()], options, refused)
    code = max([refused_code, *(report.exit_code for report in reports.values())])
    chosen, files = _chosen(specs, options), files_of(refused)
    if len(chosen) + len(files) > 1 and options.output != "json":
        called = names(specs)
        not_run = [called[spec.file] for spec in chosen if spec.file not in reports]
        words = several_words([(called[file], report) for file, report in reports.items()], len(files), not_run)
        _sum_up(words, [*reports.values()], code, options)
    return code


def _chosen(specs: Sequence[Spec], options: ApplyOptions) -> list[Spec]:
    """Those to run: with targets, the ones that have some of them."""
    return [spec for spec in specs if not options.targets or spec.file in options.targets_by_file]


def run_stacks(
    specs: Sequence[Spec],
    connection: Connection,
    options: ApplyOptions,
    interrupt: Interrupt,
    refused: SpecErrors | None,
    *,
    guarded: Callable[[Interrupt], AbstractContextManager[object]] = nullcontext,
    ends: Callable[[Report | None], bool] = lambda report: bool(report and report.exit_code),
    memories: Mapping[Stack, Memory] | None = None,
) -> dict[str, Report]:
    """Run each spec, several at once, then write and post the reports, which it returns by file, in their order.

    With targets, only specs that have some of them are run. What is wrong with further files, ``refused``, is told
    as a report, too. ``guarded`` makes a context for each run of what stops it; if that swallows an error, the
    stack has no report. ``ends`` is as in ``Several``. ``memories`` makes one for a stack that it does not have.
    """
    memories = defaultdict(Memory) if memories is None else memories
    labels = labels_of(specs)
    reports: dict[str, Report] = {}
    pictures: dict[str, Pictures | None] = {}

    def work(spec: Spec, interrupt: Interrupt) -> Report | None:
        with guarded(interrupt):
            own = replace(options, memory=memories[spec.file, spec.document.stack])
            run = StackRun(spec, own, interrupt, labels[spec.file])
            report = reports[spec.file] = run.run(connection)
            pictures[spec.file] = run.pictures(report)
        return reports.get(spec.file)

    regions = {file: saved.plan.region for file, saved in options.saved_plans.items()}
    chosen = _chosen(specs, options)
    try:
        Several(work, connection, interrupt, options.jobs, ends, regions).run(chosen)
    finally:
        told = {spec.file: reports[spec.file] for spec in chosen if spec.file in reports}
        shown = [pictures.get(file) for file in told]
        further = [failure(None, refused)] if refused else []
        for report in further:
            print_json(report, options)
            notify(report, options, interrupt.left_to_finish)
        interrupt.finish(partial(write_reports, options, [*told.values(), *further], shown), "writing the report")
    return told


def _sum_up(words: str, reports: Sequence[Report], code: int, options: ApplyOptions) -> None:
    """Tell what became of several stacks; cron mails it, so not of an unattended run that found nothing to do."""
    if code:
        logs.warn(words)
    elif any(report.acted for report in reports) or not options.auto_approve or sys.stderr.isatty():
        logs.say(printable_lines(words))


def destroy_specs(
    specs: Sequence[Spec], connection: Connection, options: ApplyOptions, interrupt: Interrupt
) -> int:
    """Apply the specs with all resources removed from them. Returns the exit code."""
    options = replace(options, prune=True, command="destroy")
    return apply_specs([spec.emptied() for spec in specs], connection, options, interrupt)


def apply_planfile(
    path: Path,
    load: Callable[[Mapping[str, str]], Loaded],
    connection: Connection,
    options: ApplyOptions,
    interrupt: Interrupt,
) -> int:
    """Apply each plan of a file exactly as saved, or refuse its stack alone. Returns the worst exit code.

    ``load`` gets the spec files, with the Regions of their plans.
    """
    saved, loaded = interrupt.in_thread(lambda: _read(path, load, options), "the plan file and its specs")
    specs = loaded.specs
    if saved.destroy:
        specs, options = [spec.emptied() for spec in specs], replace(options, command="destroy")
    options = replace(
        options,
        prune=saved.prune,
        targets_by_file={each.file: each.plan.targets for each in saved.plans},
        saved_plans={each.file: each for each in saved.plans},
    )
    return apply_specs(specs, connection, options, interrupt, loaded.refused)


def _read(path: Path, load: Callable[[Mapping[str, str]], Loaded], options: ApplyOptions) -> tuple[Saved, Loaded]:
    saved = read_planfile(path)
    regions = {each.file: each.plan.region for each in saved.plans}
    refuse_one_file_for_two([*regions], vars(options))
    return saved, load(regions)


def read_planfile(path: Path) -> Saved:
    """The plans of a file. Raises EnireconcileError if it cannot be read, and GuardError as ``saved_in``."""
    try:
        with path.open("rb") as file:
            text = read_limited(file, MAX_BYTES).decode(errors="replace")
    except OSError as error:
        raise EnireconcileError(
            f"cannot read the plan file {printable(str(path))}: {error.strerror}",
            hint="give a file that plan --out has written",
        ) from None
    return saved_in(text, str(path))
