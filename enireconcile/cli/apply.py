"""apply, apply --plan and destroy: lock, plan, ask, execute, report."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enireconcile.aws.api import Channel, Reader
from enireconcile.cli.signals import Interrupt, leave, listening
from enireconcile.engine.planner import account_of, guard_account, read_and_plan
from enireconcile.errors import EnireconcileError, GuardError
from enireconcile.model import Impact, Plan, Report
from enireconcile.outputs import logs
from enireconcile.outputs.json import (
    dumps,
    report_json,
)
from enireconcile.outputs.planfile import reasons_against, saved_in
from enireconcile.outputs.progress import Progress, json_lines, progress_for
from enireconcile.outputs.text import asides_text, plan_text, report_text
from enireconcile.planning.guards import guard, objections, refusal
from enireconcile.planning.targeting import shares
from enireconcile.printable import (
    printable_lines,
)
from enireconcile.spec import Spec

if TYPE_CHECKING:
    from enireconcile.engine.reconciler import Stop
    from enireconcile.state import HeldLock, LockInfo
from enireconcile.cli.plan import jittered
from enireconcile.cli.prompt import confirmed
from enireconcile.cli.publish import check_outlets, failure, publish, write_report
from enireconcile.cli.session import ApplyOptions, Connection


def apply_specs(specs: Sequence[Spec], connection: Connection, options: ApplyOptions) -> int:
    """Apply each spec in turn, stopping at the first that does not end well. The answer is the exit code."""
    reports: list[Report] = []
    options = replace(options, parts=shares(specs, options.targets, prune=options.prune))
    specs = [spec for spec in specs if spec.file in options.parts]
    check_outlets(options)
    with Interrupt() as interrupt:
        if pause := jittered(options.jitter):
            interrupt.idle(pause)
        try:
            for spec in specs:
                reports.append(apply_stack(spec, connection, options, interrupt))
                if reports[-1].exit_code:
                    break
        finally:
            write_report(options.report, reports)
        _comment(reports, options)
    code = max((report.exit_code for report in reports), default=0)
    return leave(code) if interrupt.left else code


def _comment(reports: Sequence[Report], options: ApplyOptions) -> None:
    if options.output == "markdown" and reports:
        from enireconcile.outputs.markdown import reports_markdown

        click.echo(reports_markdown(reports, options.command))


def apply_planfile(
    path: Path,
    load: Callable[[Sequence[str]], Sequence[Spec]],
    connection: Connection,
    options: ApplyOptions,
) -> int:
    """Apply the plans of a file exactly as they are, or none of them. The answer is the exit code."""
    saved = saved_in(_read_plan(path), str(path))
    specs = load([each.file for each in saved.plans])
    by_file = {each.file: each for each in saved.plans}
    parts = shares(specs, saved.targets, prune=saved.prune)
    options = replace(options, prune=saved.prune, targets=saved.targets, parts=parts, saved=by_file)
    if len(specs) > 1:
        check_outlets(options)
        if reasons := [
            f"{spec.document.stack}: {why}" for spec in specs for why in _stale(spec, connection, options)
        ]:
            return _refuse_all(specs, reasons, options)
    return apply_specs(specs, connection, options)


def _read_plan(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise EnireconcileError(f"cannot read the plan {path}: {error.strerror}") from None


def _stale(spec: Spec, connection: Connection, options: ApplyOptions) -> Sequence[str]:
    """Reasons against the saved plan of a spec, from a fresh look at the world."""
    saved = options.saved[spec.file]
    with replace(connection, region=saved.plan.region).open(spec, read_only=True) as channel:
        region, part = channel.session.region, options.parts[spec.file]
        fresh = listening(read_and_plan(Reader(channel), spec, region, prune=options.prune, targets=part))
    return [*reasons_against(saved, spec.digest, fresh), *objections(saved.plan, options.allowed)]


def _refuse_all(specs: Sequence[Spec], reasons: Sequence[str], options: ApplyOptions) -> int:
    error = refusal(reasons)
    logs.complain(error)
    now = datetime.now(UTC)
    reports = [Report(spec.document.stack, None, None, "refused", now, 0.0, error=str(error)) for spec in specs]
    for report in reports:
        if options.output == "json":
            click.echo(dumps(report_json(report)))
        publish(report, options)
    write_report(options.report, reports)
    _comment(reports, options)
    return error.exit_code


def destroy_specs(specs: Sequence[Spec], connection: Connection, options: ApplyOptions) -> int:
    """Apply specs that name nothing any more: all that their stacks own goes. The answer is the exit code."""

    return apply_specs(
        [spec.emptied() for spec in specs], connection, replace(options, prune=True, command="destroy")
    )


def apply_stack(spec: Spec, connection: Connection, options: ApplyOptions, interrupt: Interrupt) -> Report:
    """An error before anything was changed becomes a report, too."""
    with logs.about(spec.document.stack):
        report = _report_of(spec, connection, options, interrupt)
    if options.output == "json":
        click.echo(dumps(report_json(report)))
    publish(report, options, in_haste=interrupt.left)
    return report


@dataclass
class _Seen:
    """What a run has learned so far."""

    plan: Plan | None = None
    calls: Mapping[str, int] = field(default_factory=dict)


def _report_of(spec: Spec, connection: Connection, options: ApplyOptions, interrupt: Interrupt) -> Report:
    from enireconcile.state import open_store

    began = time.time()
    account: str | None = None
    saved = options.saved.get(spec.file)
    if saved is not None:
        connection = replace(connection, region=saved.plan.region)
    region = connection.region or spec.document.region

    seen = _Seen()

    def told(error: EnireconcileError) -> Report:
        logs.complain(error)
        return failure(
            spec.document.stack,
            error,
            began,
            account_id=account,
            region=region,
            api_calls=dict(sorted(seen.calls.items())),
            remaining=seen.plan.differing if seen.plan else (),
            plan=seen.plan,
            targets=options.parts.get(spec.file, ()),
        )

    try:
        with connection.open(spec) as channel:
            region, seen.calls = channel.session.region, channel.calls
            try:
                account = interrupt.unless_wished(account_of(Reader(channel)))
                guard_account(spec, account)
                scope = f"{account}-{region}-{spec.document.stack}"
                with open_store(options.state, channel.session).locked(
                    scope, timeout=options.lock_timeout, now=time.time, idle=interrupt.idle, waiting=_waiting
                ) as held:
                    try:
                        report = _apply_locked(spec, channel, account, held, options, interrupt, seen)
                    except EnireconcileError as error:
                        report = told(error)
                    _keep(held, report)
                    return report
            finally:
                interrupt.left = interrupt.left or (bool(interrupt.wished) and channel.busy)
    except EnireconcileError as error:
        return told(error)


def _waiting(lock: LockInfo) -> None:
    logs.say(f"waiting for {printable_lines(str(lock))}")


def _keep(held: HeldLock, report: Report) -> None:
    """What has happened has happened, even if there is no room to write it down."""
    try:
        held.keep(json.dumps(report_json(report), indent=2) + "\n")
    except EnireconcileError as error:
        logs.complain(error)


def _apply_locked(
    spec: Spec,
    channel: Channel,
    account: str,
    held: HeldLock,
    options: ApplyOptions,
    interrupt: Interrupt,
    seen: _Seen,
) -> Report:
    from enireconcile.engine.reconciler import Apply, Stop

    progress: Progress = json_lines() if options.output == "json" else progress_for(sys.stderr)

    async def run() -> Report:
        stop, loop = Stop(), asyncio.get_running_loop()
        task = asyncio.ensure_future(
            Apply(
                channel=channel,
                spec=spec,
                account_id=account,
                journal=held.journal,
                approve=_asker(spec, options, progress, interrupt, seen),
                objections=lambda plan: objections(plan, options.allowed),
                tell=progress.tell,
                check=held.check,
                stop=stop,
                settle=options.settle_timeout,
                now=time.time,
                prune=options.prune,
                once=spec.file in options.saved,
                targets=options.parts.get(spec.file, ()),
            ).run()
        )
        if options.timeout is not None:
            loop.call_later(options.timeout, _end, stop, "the time is up")
        with (
            interrupt.tells(
                lambda: _end(stop, f"stopped by {interrupt.wished}", " (once more to wait for nothing)"),
                lambda: _hurry(task),
            ),
            held.watched(lambda why: loop.call_soon_threadsafe(_end, stop, f"the lock is lost: {why}")),
            progress,
        ):
            return await task

    report = listening(run())
    news = options.news.are(f"the report of {spec.document.stack}", report.outcome)
    if options.output == "text" and (news or report.outcome != "unchanged"):
        click.echo(report_text(report))
    return replace(report, plan=seen.plan)


def _end(stop: Stop, reason: str, more: str = "") -> None:
    logs.say(f"{printable_lines(reason)}: stopping after the calls in flight{more}")
    stop.because(reason)


def _hurry(task: asyncio.Task[Report]) -> None:
    logs.say("waiting for nothing; run it again to finish")
    task.cancel()


def _asker(
    spec: Spec, options: ApplyOptions, progress: Progress, interrupt: Interrupt, seen: _Seen
) -> Callable[[Plan], Impact]:
    """Show the plan and ask, unless told not to. Raises GuardError for a no."""
    saved = options.saved.get(spec.file)

    def ask(plan: Plan) -> Impact:
        seen.plan = plan
        if saved is not None and (reasons := reasons_against(saved, spec.digest, plan)):
            guard(saved.plan, options.allowed, *reasons)
        if options.output == "text":
            words = asides_text(plan) if plan.empty else plan_text(plan)
            if options.news.are(f"the plan of {plan.stack}", words) and words:
                click.echo(words + "\n")
        guard(plan, options.allowed)
        if not (plan.empty or options.auto_approve):
            if not sys.stdin.isatty():
                raise GuardError(
                    "nobody is there to approve the plan", hint="give --auto-approve (-y) to run unattended"
                )
            if not interrupt.asked(lambda: confirmed("Apply this plan?")):
                raise GuardError("the plan was not approved; nothing was changed")
        progress.begin(plan)
        if not options.auto_approve:
            return plan.impact
        return options.allowed.impact

    return ask
