"""What a run leaves for others: the report file, metrics, and the webhook."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enireconcile.cli.session import ApplyOptions
from enireconcile.errors import EnireconcileError, GuardError, LockedError, LostLockError, StoppedError
from enireconcile.model import Report
from enireconcile.outputs import logs, metrics
from enireconcile.outputs.atomic import write_whole
from enireconcile.outputs.json import (
    report_json,
)


def write_metrics(path: Path | None, run: metrics.Run) -> None:
    """Metrics that cannot be written are told of, and that is all."""
    if path is None:
        return
    try:
        metrics.update(path, run)
    except EnireconcileError as error:
        logs.warn(str(error))


def publish_failure(error: EnireconcileError, options: ApplyOptions) -> None:
    """Whoever wants to hear of runs hears of one that never got as far as a stack."""
    report = failure(None, error)
    try:
        write_report(options.report, [report])
    except EnireconcileError as another:
        logs.complain(another)
    notify(report, options)


def failure(stack: str | None, error: EnireconcileError, began: float | None = None, **more: Any) -> Report:
    """The report of a run that ended with an error; ``more`` is what it knew by then."""
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


def publish(report: Report, options: ApplyOptions, *, in_haste: bool = False) -> None:
    """Tell those who watch from afar. ``in_haste`` waits for nobody."""
    # A part tells nothing of how the stack is.
    write_metrics(None if report.targets else options.metrics, metrics.of_report(report, options.command))
    if not in_haste:
        notify(report, options)


def notify(report: Report, options: ApplyOptions) -> None:
    if options.notify is None:
        return
    from enireconcile.outputs import webhook

    # In a watch, what stays broken is told once; what is mended again and again is worth as many messages.
    why = re.sub(r" \(request [^)]*\)", "", report.error or "")
    news = options.news.are(f"the notification of {report.stack}", f"{report.outcome} {why}")
    if not webhook.wanted(report, everything=options.notify_all) or not (news or report.outcome == "converged"):
        return
    try:
        webhook.post(options.notify, report)
    except EnireconcileError as error:
        logs.warn(str(error))


def outcome_of(error: EnireconcileError) -> str:
    for kind, outcome in (
        (GuardError, "refused"),
        (LockedError, "locked"),
        (LostLockError, "partial"),
        (StoppedError, "partial"),
    ):
        if isinstance(error, kind):
            return outcome
    return "failed"


def check_outlets(options: ApplyOptions) -> None:
    """Find out before anything changes that report or metrics could not be written."""
    if options.metrics is not None:
        metrics.check(options.metrics)
    if options.report is None:
        return
    try:
        with options.report.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise EnireconcileError(f"cannot write the report {options.report}: {error.strerror}") from None


def write_report(path: Path | None, reports: Sequence[Report]) -> None:
    if path is None:
        return
    objects = [report_json(report) for report in reports]
    text = json.dumps(objects[0] if len(objects) == 1 else objects, indent=2)
    write_whole(path, text + "\n", "the report")
