"""Publish the result of a run: the report file, metrics and the webhook."""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from enireconcile.cli.session import ApplyOptions
from enireconcile.errors import (
    EnireconcileError,
    GuardError,
    LockedError,
    LostLockError,
    SpecErrors,
    StoppedError,
)
from enireconcile.model import CheckResult, PlanError, Report
from enireconcile.outputs import logs, metrics
from enireconcile.outputs.json import dumps, report_json
from enireconcile.outputs.outlet import Outlet
from enireconcile.outputs.stdout import print_result
from enireconcile.outputs.words import errors_words, no_guests, without_request_ids

if TYPE_CHECKING:
    from enireconcile.outputs.html import Pictures
    from enireconcile.spec import Document, Spec


def write_metrics(outlet: Outlet | None, runs: Sequence[metrics.Run]) -> None:
    """Write the metrics of all runs of the command at once. A failure is only a warning."""
    if outlet is None or not runs:
        return
    try:
        metrics.update(outlet, runs)
    except EnireconcileError as error:
        logs.warn(str(error))


def complain_of_files(refused: SpecErrors | None) -> int:
    """Say what is wrong with files that refuse themselves alone. Returns the exit code."""
    if refused is None:
        return 0
    logs.complain(refused)
    return refused.exit_code


def files_of(refused: SpecErrors | None) -> list[str]:
    """The files with problems, sorted."""
    return sorted({problem.file for problem in refused.problems}) if refused else []


def publish_failure(error: EnireconcileError, options: ApplyOptions, patience: float) -> None:
    """Write the report and notify, within ``patience`` seconds, about a command that got to no stack."""
    report = failure(None, error)
    write_reports(options, [report], known=str(error))
    print_json(report, options)
    notify(report, options, patience)
    if isinstance(error, SpecErrors):
        print_comment([], options, error)
    else:
        print_comment([report], options)


def print_json(report: Report, options: ApplyOptions) -> None:
    """Print the report as a line of JSON if the options ask for that: the same as ``--report`` gets."""
    if options.output == "json":
        print_result(dumps(report_json(report)))


def print_comment(reports: Sequence[Report], options: ApplyOptions, refused: SpecErrors | None = None) -> None:
    """Print the reports, and what is wrong with further files, as one comment if the options ask for Markdown."""
    if options.output == "markdown" and (reports or refused):
        from enireconcile.outputs.markdown import reports_markdown

        print_result(reports_markdown(reports, options.command, refused.problems if refused else ()))


def complain_of_errors(errors: Sequence[PlanError]) -> None:
    """Print the errors of a plan to stderr.

    Each is told once. ``plan`` prints them as a part of the plan, and here only if that is JSON. Commands that run
    a plan print them here, beside their other errors, for their stdout may be thrown away.
    """
    if errors:
        problems = [error.problem._asdict() for error in errors]
        logs.complain(EnireconcileError(errors_words(errors)), problems=problems)


def complain_of_stacks(specs: Sequence[Spec], failed: Mapping[str, EnireconcileError]) -> None:
    """Say of each stack that could not be planned or verified why, by its file; the others have been."""
    labels = labels_of(specs)
    for spec in specs:
        if error := failed.get(spec.file):
            with logs.about(spec.document.stack, labels[spec.file] or spec.document.stack):
                logs.complain(error)


def labels_of(specs: Sequence[Spec]) -> dict[str, str | None]:
    """What messages call the stack of each file where there are several, None where there is only one."""
    return {spec.file: None for spec in specs} if len(specs) == 1 else {**names(specs)}


def names(specs: Sequence[Spec]) -> dict[str, str]:
    """What to call the stack of each file: with account and Region where several have one name."""
    count = Counter(spec.document.stack for spec in specs)
    return {spec.file: _name(spec.document, several=count[spec.document.stack] > 1) for spec in specs}


def _name(document: Document, *, several: bool) -> str:
    place = [document.account, document.region]
    return f"{document.stack} ({', '.join(filter(None, place))})" if several and any(place) else document.stack


def one_stream(stdout: TextIO, stderr: TextIO) -> bool:
    """Whether both lead to the same terminal, pipe or file."""
    try:
        return os.path.sameopenfile(stdout.fileno(), stderr.fileno())
    except (OSError, ValueError):
        return False


def failure(stack: str | None, error: EnireconcileError, began: float | None = None, **more: Any) -> Report:
    """The report of a run that ended with an error; ``more`` are further fields of the report."""
    now = time.time()
    began = now if began is None else began
    return Report(
        stack=stack,
        account_id=more.pop("account_id", None),
        region=more.pop("region", None),
        outcome=outcome_of(error),
        started=datetime.fromtimestamp(began, UTC),
        seconds=now - began,
        error=str(error),
        **more,
    )


def complain_of_no_guests(endpoint: str | None, checks: Sequence[CheckResult]) -> None:
    """Say once what failed checks are worth where EC2 is simulated."""
    if (words := no_guests(endpoint, checks)) is not None:
        logs.warn(words)


def notify(report: Report, options: ApplyOptions, patience: float = math.inf) -> None:
    """Post the report, within ``patience`` seconds, if the options ask for it. A failure is only a warning."""
    if options.notify is None or not patience:
        return
    from enireconcile.outputs import webhook

    # In a watch, a failure that persists is posted once; each round that changes something is posted.
    why = without_request_ids(report.error or "")
    keys = [*(error.key for error in report.errors), *(check.name for check in report.failed_checks)]
    is_new = options.memory.messages.is_new(
        f"the notification of {report.stack}", f"{report.outcome} {why} {keys}"
    )
    if not webhook.wanted(report, everything=options.notify_all) or not (is_new or report.outcome == "converged"):
        return
    try:
        webhook.post(options.notify, report, min(webhook.PATIENCE, patience))
    except EnireconcileError as error:
        logs.warn(str(error))


def outcome_of(error: EnireconcileError) -> str:
    """The outcome of a run that ended with this error."""
    for kind, outcome in (
        (GuardError, "refused"),
        (LockedError, "locked"),
        (LostLockError, "partial"),
        (StoppedError, "partial"),
    ):
        if isinstance(error, kind):
            return outcome
    return "failed"


def write_reports(
    options: ApplyOptions,
    reports: Sequence[Report],
    pictures: Sequence[Pictures | None] = (),
    *,
    known: str = "",
) -> None:
    """Write the report, the page and the metrics, as far as the options ask for them.

    ``pictures`` has one for each report.

    A file that cannot be written is only a warning, unless that is the ``known`` error of the command.
    """
    if options.report is not None:
        objects = [report_json(report) for report in reports]
        text = json.dumps(objects[0] if len(objects) == 1 else objects, indent=2)
        write_or_warn(options.report, text + "\n", known)
    if options.html is not None:
        from enireconcile.outputs.html import Ran, reports_html

        runs = [Ran(*each) for each in zip_longest(reports, pictures)]
        write_or_warn(options.html, reports_html(runs, datetime.now(UTC), options.command), known)
    # A run for some targets does not show the state of the whole stack.
    whole = [report for report in reports if report.stack is not None and not report.targets]
    write_metrics(options.metrics, [metrics.of_report(report, options.command) for report in whole])


def write_or_warn(outlet: Outlet, text: str, known: str = "") -> None:
    """Write a file at the end of a run. If it cannot be written, that is a warning, unless it is ``known``."""
    try:
        outlet.write(text)
    except EnireconcileError as error:
        if str(error) != known:
            logs.warn(str(error))
