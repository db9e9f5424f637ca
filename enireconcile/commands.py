"""Between the command line and the reconciler: sessions, locks, questions, printing."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enireconcile import logs, metrics
from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.session import connect
from enireconcile.errors import EnireconcileError, GuardError, LockedError, LostLockError, StoppedError, bug
from enireconcile.files import write_whole
from enireconcile.guards import Allowed, guard, objections, refusal
from enireconcile.interrupt import Interrupt, leave, listening
from enireconcile.model import Impact, Plan, Report, Traces
from enireconcile.progress import Progress, json_lines, progress_for
from enireconcile.report import (
    asides_text,
    dumps,
    plan_json,
    plan_text,
    printable,
    printable_lines,
    report_json,
    report_text,
)
from enireconcile.saved import Saved, SavedPlan, reasons_against, saved_in
from enireconcile.spec import Spec
from enireconcile.survey import account_of, guard_account, survey
from enireconcile.targets import shares

if TYPE_CHECKING:
    from enireconcile.reconcile import Stop
    from enireconcile.store import Held, Lock

log = logging.getLogger("enireconcile.commands")


@dataclass(frozen=True)
class Connection:
    """Where the session comes from, beyond the standard chain; ``parallelism`` is calls at once."""

    region: str | None
    profile: str | None
    parallelism: int

    @contextmanager
    def open(self, spec: Spec, *, read_only: bool = False) -> Iterator[Channel]:
        session = connect(
            region=self.region or spec.document.region,
            profile=self.profile,
            assume_role_arn=spec.document.assume_role_arn,
            parallelism=self.parallelism,
            read_only=read_only,
        )
        channel = Channel(session, self.parallelism)
        try:
            yield channel
        finally:
            channel.close()


@dataclass
class News:
    """What was said last of each thing, so that a watch does not say it again every round."""

    _said: dict[str, str] = field(default_factory=dict)

    def are(self, about: str, words: str) -> bool:
        """Is this something new? From now on it is not."""
        before, self._said[about] = self._said.get(about), words
        return before != words


@dataclass(frozen=True)
class PlanOptions:
    """The flags of ``plan``; times are in seconds."""

    output: str
    prune: bool = False
    targets: Sequence[str] = ()
    out: Path | None = None
    metrics: Path | None = None
    jitter: float = 0.0
    who: bool = False


@dataclass(frozen=True)
class ApplyOptions:
    """The flags of ``apply``, and what was said before; times are in seconds.

    ``parts`` are the targets and ``saved`` the saved plans by spec file. ``command`` is what the user calls it.
    ``notify`` is a secret.
    """

    output: str
    auto_approve: bool
    report: Path | None
    timeout: float | None
    settle_timeout: float
    lock_timeout: float
    state: str | None
    prune: bool = False
    targets: Sequence[str] = ()
    allow_destroy: bool = False
    max_changes: int | None = None
    metrics: Path | None = None
    notify: str | None = field(default=None, repr=False)
    notify_all: bool = False
    jitter: float = 0.0
    command: str = "apply"
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saved: Mapping[str, SavedPlan] = field(default_factory=dict)
    news: News = field(default_factory=News)

    @property
    def allowed(self) -> Allowed:
        return Allowed(self.auto_approve, self.allow_destroy, self.max_changes)


def plan(specs: Sequence[Spec], connection: Connection, options: PlanOptions) -> bool:
    """Print a plan for each spec, and save them all. The answer is whether any of them has changes.

    With targets only for those specs that have some of them. Raises TargetError for one that none has.
    """
    parts, several = shares(specs, options.targets, prune=options.prune), len(specs) > 1
    specs = [spec for spec in specs if spec.file in parts]
    texts: list[str] = []
    objects: list[dict[str, Any]] = []
    made: list[Plan] = []
    traces: list[Traces] = []
    if options.metrics is not None:
        metrics.check(options.metrics)
    time.sleep(_jittered(options.jitter))
    for spec in specs:
        with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
            made.append(_plan_one(spec, channel, options, parts[spec.file]))
            traced = _traced(made[-1], channel) if options.who else None
            traces.append(traced or Traces())
            if options.output == "json":
                objects.append(plan_json(made[-1], channel.calls, traced))
            else:
                texts.append(plan_text(made[-1], traced))
    if options.out is not None:
        plans = (SavedPlan(spec.file, spec.digest, each) for spec, each in zip(specs, made, strict=True))
        saved = Saved(tuple(plans), options.prune, tuple(sorted(set(options.targets))))
        write_whole(options.out, saved.text(datetime.now(UTC).isoformat(timespec="seconds")), "the plan", 0o600)
    if options.output == "json":
        click.echo(json.dumps(objects if several else objects[0], indent=2))
    elif options.output == "markdown":
        from enireconcile.markdown import plans_markdown

        click.echo(plans_markdown(made, traces))
    else:
        click.echo("\n\n".join(texts))
    if options.out is not None:
        logs.say(f"saved: `enireconcile apply --plan {printable(str(options.out))}` does exactly this")
    return any(not each.empty for each in made)


def _plan_one(spec: Spec, channel: Channel, options: PlanOptions, part: Sequence[str]) -> Plan:
    began, region = time.time(), channel.session.region
    try:
        made = listening(survey(Reader(channel), spec, region, prune=options.prune, targets=part))
    except EnireconcileError as error:
        failed = _failure(spec.document.stack, error, began, region=region, api_calls=channel.calls)
        _measure(options.metrics, metrics.of_report(failed, "plan"))
        raise
    ended = time.time()
    # A part tells nothing of how the stack is.
    _measure(
        None if part else options.metrics,
        metrics.of_plan(made, ended, ended - began, channel.calls, channel.throttled),
    )
    return made


def _traced(plan: Plan, channel: Channel) -> Traces:
    """Who is behind what differs; that it cannot be known is no reason not to plan."""
    from enireconcile.who import who

    traces = asyncio.run(who(Reader(channel), plan))
    if traces.note is not None:
        logs.warn(traces.note)
    return traces


def _jittered(longest: float) -> float:
    """A random part of a time, in seconds; not a secret."""
    pause = longest * random.random()  # noqa: S311
    if pause:
        log.info("beginning in %.1f s", pause)
    return pause


def _measure(path: Path | None, run: metrics.Run) -> None:
    """Metrics that cannot be written are told of, and that is all."""
    if path is None:
        return
    try:
        metrics.update(path, run)
    except EnireconcileError as error:
        logs.warn(str(error))


def apply(specs: Sequence[Spec], connection: Connection, options: ApplyOptions) -> int:
    """Apply each spec in turn, stopping at the first that does not end well. The answer is the exit code."""
    reports: list[Report] = []
    options = replace(options, parts=shares(specs, options.targets, prune=options.prune))
    specs = [spec for spec in specs if spec.file in options.parts]
    _check_outlets(options)
    with Interrupt() as interrupt:
        if pause := _jittered(options.jitter):
            interrupt.idle(pause)
        try:
            for spec in specs:
                reports.append(_apply_one(spec, connection, options, interrupt))
                if reports[-1].exit_code:
                    break
        finally:
            _write_report(options.report, reports)
        _comment(reports, options)
    code = max((report.exit_code for report in reports), default=0)
    return leave(code) if interrupt.left else code


def _comment(reports: Sequence[Report], options: ApplyOptions) -> None:
    if options.output == "markdown" and reports:
        from enireconcile.markdown import reports_markdown

        click.echo(reports_markdown(reports, options.command))


def apply_saved(
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
        _check_outlets(options)
        if reasons := [
            f"{spec.document.stack}: {why}" for spec in specs for why in _stale(spec, connection, options)
        ]:
            return _refuse_all(specs, reasons, options)
    return apply(specs, connection, options)


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
        fresh = listening(survey(Reader(channel), spec, region, prune=options.prune, targets=part))
    return [*reasons_against(saved, spec.digest, fresh), *objections(saved.plan, options.allowed)]


def _refuse_all(specs: Sequence[Spec], reasons: Sequence[str], options: ApplyOptions) -> int:
    error = refusal(reasons)
    logs.complain(error)
    now = datetime.now(UTC)
    reports = [Report(spec.document.stack, None, None, "refused", now, 0.0, error=str(error)) for spec in specs]
    for report in reports:
        if options.output == "json":
            click.echo(dumps(report_json(report)))
        _publish(report, options)
    _write_report(options.report, reports)
    _comment(reports, options)
    return error.exit_code


def destroy(specs: Sequence[Spec], connection: Connection, options: ApplyOptions) -> int:
    """Apply specs that name nothing any more: all that their stacks own goes. The answer is the exit code."""

    return apply([spec.emptied() for spec in specs], connection, replace(options, prune=True, command="destroy"))


def watch(
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
    from enireconcile.watch import watch as rounds

    _check_outlets(options)
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
        rounds(turn, interrupt.idle, interval=interval, clock=time.monotonic, luck=random.random)
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
                    reports.append(_apply_one(spec, connection, options, interrupt))
        _write_report(options.report, reports)
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
        _tell_of(bug(error), options)


def _tell_of(error: EnireconcileError, options: ApplyOptions) -> None:
    logs.complain(error)
    _notify(_failure(None, error), options)


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


def _apply_one(spec: Spec, connection: Connection, options: ApplyOptions, interrupt: Interrupt) -> Report:
    """An error before anything was changed becomes a report, too."""
    with logs.about(spec.document.stack):
        report = _report_of(spec, connection, options, interrupt)
    if options.output == "json":
        click.echo(dumps(report_json(report)))
    _publish(report, options, in_haste=interrupt.left)
    return report


def failed(error: EnireconcileError, options: ApplyOptions) -> None:
    """Whoever wants to hear of runs hears of one that never got as far as a stack."""
    report = _failure(None, error)
    try:
        _write_report(options.report, [report])
    except EnireconcileError as another:
        logs.complain(another)
    _notify(report, options)


def _failure(stack: str | None, error: EnireconcileError, began: float | None = None, **more: Any) -> Report:
    """The report of a run that ended with an error; ``more`` is what it knew by then."""
    now = time.time()
    began = now if began is None else began
    return Report(
        stack=stack,
        account_id=more.pop("account_id", None),
        region=more.pop("region", None),
        outcome=_outcome_of(error),
        started=datetime.fromtimestamp(began, UTC),
        seconds=now - began,
        error=str(error),
        **more,
    )


def _publish(report: Report, options: ApplyOptions, *, in_haste: bool = False) -> None:
    """Tell those who watch from afar. ``in_haste`` waits for nobody."""
    # A part tells nothing of how the stack is.
    _measure(None if report.targets else options.metrics, metrics.of_report(report, options.command))
    if not in_haste:
        _notify(report, options)


def _notify(report: Report, options: ApplyOptions) -> None:
    if options.notify is None:
        return
    from enireconcile import notify

    # In a watch, what stays broken is told once; what is mended again and again is worth as many messages.
    why = re.sub(r" \(request [^)]*\)", "", report.error or "")
    news = options.news.are(f"the notification of {report.stack}", f"{report.outcome} {why}")
    if not notify.wanted(report, everything=options.notify_all) or not (news or report.outcome == "converged"):
        return
    try:
        notify.post(options.notify, report)
    except EnireconcileError as error:
        logs.warn(str(error))


@dataclass
class _Seen:
    """What a run has learned so far."""

    plan: Plan | None = None
    calls: Mapping[str, int] = field(default_factory=dict)


def _report_of(spec: Spec, connection: Connection, options: ApplyOptions, interrupt: Interrupt) -> Report:
    from enireconcile.store import open_store

    began = time.time()
    account: str | None = None
    saved = options.saved.get(spec.file)
    if saved is not None:
        connection = replace(connection, region=saved.plan.region)
    region = connection.region or spec.document.region

    seen = _Seen()

    def told(error: EnireconcileError) -> Report:
        logs.complain(error)
        return _failure(
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


def unlock(
    specs: Sequence[Spec], connection: Connection, state: str | None, *, auto_approve: bool, force: bool
) -> int:
    """Show the lock of each spec's stack, and remove it if its run is over. The answer is the exit code."""
    code = 0
    for spec in specs:
        with connection.open(spec) as channel:
            try:
                _unlock_one(spec, channel, state, auto_approve, force)
            except (GuardError, LockedError) as error:
                logs.complain(error)
                code = max(code, error.exit_code)
    return code


def _unlock_one(spec: Spec, channel: Channel, state: str | None, auto_approve: bool, force: bool) -> None:
    from enireconcile.store import open_store

    account = listening(account_of(Reader(channel)))
    guard_account(spec, account)
    scope = f"{account}-{channel.session.region}-{spec.document.stack}"
    store = open_store(state, channel.session)
    lock = store.look(scope)
    if lock is None:
        click.echo(f"{scope}: not locked")
        return
    click.echo(f"{scope}: locked by {lock}\n  {'live' if lock.held else 'stale'}: {lock.why}")
    if lock.held and not force:
        raise LockedError(
            "a run that seems to be alive has this lock",
            hint="wait for it or stop it; if it is surely dead, --force removes the lock all the same",
        )
    if not auto_approve:
        if not sys.stdin.isatty():
            raise GuardError("nobody is there to ask", hint="give --auto-approve (-y) to run unattended")
        if not _confirmed("Remove this lock?"):
            raise GuardError("the lock was left as it is")
    store.remove(scope, lock)
    click.echo(f"{scope}: unlocked")


def _waiting(lock: Lock) -> None:
    logs.say(f"waiting for {printable_lines(str(lock))}")


def _keep(held: Held, report: Report) -> None:
    """What has happened has happened, even if there is no room to write it down."""
    try:
        held.keep(json.dumps(report_json(report), indent=2) + "\n")
    except EnireconcileError as error:
        logs.complain(error)


def _outcome_of(error: EnireconcileError) -> str:
    for kind, outcome in (
        (GuardError, "refused"),
        (LockedError, "locked"),
        (LostLockError, "partial"),
        (StoppedError, "partial"),
    ):
        if isinstance(error, kind):
            return outcome
    return "failed"


def _apply_locked(
    spec: Spec,
    channel: Channel,
    account: str,
    held: Held,
    options: ApplyOptions,
    interrupt: Interrupt,
    seen: _Seen,
) -> Report:
    from enireconcile.reconcile import Apply, Stop

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
            if not interrupt.asked(lambda: _confirmed("Apply this plan?")):
                raise GuardError("the plan was not approved; nothing was changed")
        progress.begin(plan)
        if not options.auto_approve:
            return plan.impact
        return options.allowed.impact

    return ask


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _check_outlets(options: ApplyOptions) -> None:
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


def _write_report(path: Path | None, reports: Sequence[Report]) -> None:
    if path is None:
        return
    objects = [report_json(report) for report in reports]
    text = json.dumps(objects[0] if len(objects) == 1 else objects, indent=2)
    write_whole(path, text + "\n", "the report")
