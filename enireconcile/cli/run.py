"""One run of apply on one stack: lock, plan, ask for approval, reconcile, report."""

from __future__ import annotations

import asyncio
import contextvars
import json
import shlex
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.sending import SOON
from enireconcile.cli.prompt import confirmed
from enireconcile.cli.publish import complain_of_errors, complain_of_no_guests, failure, notify, print_json
from enireconcile.cli.session import ApplyOptions, Connection, say_slow
from enireconcile.cli.signals import Interrupt, run_async
from enireconcile.engine.checks import Checks
from enireconcile.engine.planner import account_of, guard_account
from enireconcile.engine.reconciler import Apply
from enireconcile.engine.stop import Stop
from enireconcile.errors import EnireconcileError, GuardError, LockedError
from enireconcile.model import CheckResult, Denial, Impact, Plan, PlanError, Report
from enireconcile.outputs import logs, turns
from enireconcile.outputs.json import report_json
from enireconcile.outputs.planfile import reasons_against
from enireconcile.outputs.progress import AGAIN, Progress, Running, json_lines, progress_for
from enireconcile.outputs.stdout import as_shown, print_result
from enireconcile.outputs.text import notes_text, plan_text, report_text
from enireconcile.outputs.words import question, without_request_ids
from enireconcile.planning.estimate import parallelism
from enireconcile.planning.guards import guard, objections
from enireconcile.printable import printable, printable_lines
from enireconcile.spec import Spec
from enireconcile.state import HeldLock, LockInfo, Store, open_store

if TYPE_CHECKING:
    from enireconcile.outputs.html import Pictures

_PULSE = 1.0
"""Seconds between two looks at what the run waits for."""


class _LockNeeded(Exception):
    """There is something to do, and the stack is not locked."""


@dataclass
class StackRun:
    """Applies one spec. ``label`` is what it is called where there are several.

    The last fields, from ``account_id`` on, are what it knows so far, for the report of a failure. The account is
    at first the one that the spec is for.
    """

    spec: Spec
    options: ApplyOptions
    interrupt: Interrupt
    label: str | None = None
    account_id: str | None = None
    region: str | None = None
    endpoint: str | None = None
    plan: Plan | None = None
    api_calls: Mapping[str, int] = field(default_factory=dict)
    denials: Sequence[Denial] = ()

    def __post_init__(self) -> None:
        self.began = time.time()
        self.account_id = self.spec.document.account
        self.saved = self.options.saved_plans.get(self.spec.file)
        self.targets = self.options.targets_by_file.get(self.spec.file, ())
        self._running = Running(time.monotonic)
        self._widens = self._began_steps = False
        self._reconciler: Apply | None = None

    def run(self, connection: Connection) -> Report:
        """Run, and print and post the report. An EnireconcileError becomes a report, too."""
        with logs.about(self.spec.document.stack, self.label):
            try:
                with self._connected(connection) as channel:
                    scope, store = self._state(channel, connection)
                    report = self._if_unchanged(channel, scope, store) or self._under_lock(channel, scope, store)
            except EnireconcileError as error:
                report = self._failure(error)
        report = replace(report, endpoint=self.endpoint)
        print_json(report, self.options)
        notify(report, self.options, self.interrupt.left_to_finish)
        return report

    def pictures(self, report: Report) -> Pictures | None:
        """The pictures of the stack for the page of this report, if the run got to a plan and a page is wanted."""
        run = self._reconciler
        if self.options.html is None or self.plan is None or run is None or run.before is None:
            return None
        from enireconcile.outputs.html import pictures_of

        return pictures_of(self.plan, self.spec.document, run.before, run.after if report.acted else None)

    @contextmanager
    def _connected(self, connection: Connection) -> Iterator[Channel]:
        if self.saved is not None:
            connection = replace(connection, region=self.saved.plan.region)
        self.region = connection.region or self.spec.document.region
        self._widens = connection.parallelism is None
        with connection.open(self.spec, interrupt=self.interrupt, slow=self._slow) as channel:
            self.region, self.api_calls, self.denials = channel.session.region, channel.calls, channel.denials
            try:
                yield channel
            finally:
                self.endpoint = channel.session.endpoint
                self.interrupt.abandoned_calls = self.interrupt.abandoned_calls or channel.busy

    def _slow(self, what: str) -> None:
        """Tell what a read waits for, unless the steps have begun, which tell it.

        cron mails what an unattended run prints: there, a call without an answer is told after AGAIN seconds only.
        """
        unattended = self.options.auto_approve or self.options.command == "watch"
        if not self._began_steps and (not unattended or sys.stderr.isatty()):
            say_slow(what)

    def _state(self, channel: Channel, connection: Connection) -> tuple[str, Store]:
        """The scope of the stack, and where its state is. Raises GuardError for the wrong account."""
        account = self.interrupt.run(_account(channel), lambda _: channel.waits())
        guard_account(self.spec, account)
        self.account_id = account
        session = channel.session
        scope = f"{account}-{session.region}-{self.spec.document.stack}"
        if self.options.state_as_caller and session.account_id is not None:
            session = connection.as_caller(session.region)
        return scope, open_store(self.options.state, session)

    def _if_unchanged(self, channel: Channel, scope: str, store: Store) -> Report | None:
        """The report if there is nothing to do, where a lock costs calls. Else None: plan under the lock."""
        with self._naming_a_slow_state():
            lock = self.interrupt.in_thread(lambda: store.unlocked(scope, time.time), "the lock of the stack")
        if lock is None:
            return None
        try:
            return run_async(self._reconcile(channel, lock))
        except _LockNeeded:
            return None

    def _under_lock(self, channel: Channel, scope: str, store: Store) -> Report:
        with self._locked(scope, store) as lock:
            try:
                report = run_async(self._reconcile(channel, lock))
            except EnireconcileError as error:
                report = self._failure(error)
            self.interrupt.finish(partial(_keep, lock, report), "storing the report in the state")
            return report

    @contextmanager
    def _naming_a_slow_state(self, unless: Sequence[LockInfo] = ()) -> Iterator[threading.Timer]:
        """Tell, if the block takes long, that it waits for the state; not if it waits for other runs."""

        def tell() -> None:
            if not unless:
                self._slow(str(self.options.state))

        timer = threading.Timer(SOON, contextvars.copy_context().run, [tell])
        timer.daemon = True
        if (self.options.state or "").startswith("s3://"):
            timer.start()
        try:
            yield timer
        finally:
            timer.cancel()

    @contextmanager
    def _locked(self, scope: str, store: Store) -> Iterator[HeldLock]:
        others: list[LockInfo] = []
        limit, began = "--lock-timeout 15m", time.monotonic()
        told = began

        def waiting(lock: LockInfo) -> None:
            others.append(lock)
            logs.say(f"waiting for the lock, which is held by {printable_lines(str(lock))}")

        def locked(sleep: Callable[[float], bool]) -> AbstractContextManager[HeldLock]:
            def idle(seconds: float) -> bool:
                nonlocal told
                goes_on, now = sleep(seconds), time.monotonic()
                if others and now - told >= AGAIN:
                    told = now
                    words = f"waiting for {now - began:.0f} s for the lock, which is held by"
                    logs.say(f"{words} {printable_lines(str(others[0]))}")
                return goes_on

            return store.locked(
                scope,
                timeout=self.options.lock_timeout,
                now=time.time,
                idle=idle,
                waiting=waiting,
            )

        def stopped(seconds: float) -> EnireconcileError:
            if not others or self.interrupt.stopped_by:
                return self.interrupt.stopped(f"waited {seconds:.1f} s for the lock of the stack")
            nonlocal limit
            limit = "a longer --timeout"
            return LockedError(f"{scope} is locked by {others[0]}; waited {seconds:.1f} s for it, until --timeout")

        try:
            with self._naming_a_slow_state(others) as timer, self.interrupt.entered(locked, stopped) as lock:
                timer.cancel()
                yield lock
        except LockedError as error:
            where = f"(account {self.account_id}, {self.region})"
            look = shlex.join(["enireconcile", "unlock", self.spec.file])
            raise LockedError(
                error.message.replace(scope, f"{self.spec.file}: the stack {self.spec.document.stack} {where}", 1),
                hint=f"to wait for that run, run this again with {limit}; `{look}` shows the lock, and removes it "
                "if the run has died",
            ) from None

    def _failure(self, error: EnireconcileError) -> Report:
        logs.complain(error)
        return failure(
            self.spec.document.stack,
            error,
            self.began,
            account_id=self.account_id,
            region=self.region,
            api_calls=dict(sorted(self.api_calls.items())),
            remaining=self.plan.differing if self.plan else (),
            plan=self.plan,
            targets=self.targets,
            denials=tuple(self.denials),
        )

    async def _reconcile(self, channel: Channel, lock: HeldLock) -> Report:
        """Plan, ask, execute and read back. Raises EnireconcileError as long as nothing was changed."""
        stop, loop = Stop(), asyncio.get_running_loop()
        is_new = self.options.memory.messages.is_new if self.options.command == "watch" else None
        progress: Progress = self.options.progress or (
            json_lines()
            if self.options.output == "json"
            else progress_for(sys.stderr, is_new, quiet=self.options.auto_approve)
        )
        reconciler = self._reconciler = Apply(
            channel=channel,
            spec=self.spec,
            account_id=self.account_id or "",
            journal=lock.journal,
            approve=lambda plan: self._approve(plan, channel, progress, lock),
            objections=lambda plan: objections(plan, self.options.allowed),
            tell=self._watching(progress),
            check=lock.check,
            stop=stop,
            settle=self.options.settle_timeout,
            now=time.time,
            prune=self.options.prune,
            once=self.saved is not None,
            targets=self.targets,
            try_refused_again=not self.options.allowed.auto_approve,
            believed=self.options.memory.errors,
        )
        task = asyncio.ensure_future(reconciler.run())
        with (
            self.interrupt.on_stop(lambda: self._stopped(stop, channel), lambda: _abandon(task)),
            lock.watched(lambda why: loop.call_soon_threadsafe(_stop, stop, f"the lock is lost: {why}")),
            progress,
        ):
            async with self._reminding(progress):
                report = replace(await task, plan=self.plan, destroy=self._destroys)
            report = replace(report, checks=await self._checked(report, channel, stop, progress))
        self.options.memory.errors = {error.key for error in report.errors}
        self._complain(report, stop)
        complain_of_no_guests(channel.session.endpoint, report.checks)
        self._print_report(report, channel.session.endpoint)
        return report

    async def _checked(
        self, report: Report, channel: Channel, stop: Stop, progress: Progress
    ) -> tuple[CheckResult, ...]:
        """The checks that this run has to make. Where they cannot read, that is why they fail."""
        deadlines = self._deadlines(report)
        if report.outcome not in ("converged", "unchanged") or not (self.options.verify or deadlines):
            return ()
        if not self.spec.document.checks:
            logs.say("the spec has no checks to verify")
        checks = Checks(
            reader=Reader(channel),
            spec=self.spec,
            region=channel.session.region,
            account_id=self.account_id,
            stop=stop,
            tell=progress.tell,
        )
        try:
            results = await checks.run(None if self.options.verify else deadlines)
        except EnireconcileError as error:
            results = checks.unread(error)
        for check in results:
            deadlines.pop(check.name, None)
        return results

    def _deadlines(self, report: Report) -> dict[str, float]:
        """In a watch, the checks that are not over since the last change, with their deadlines.

        They are asked once a round: a check that waits for a guest must not delay the next failover.
        """
        if self.options.command != "watch":
            return {}
        pending = self.options.memory.checks
        if report.outcome == "converged":
            now = asyncio.get_running_loop().time()
            pending.update({name: now + row.seconds for name, row in self.spec.document.checks.items()})
        for name in pending.keys() - self.spec.document.checks.keys():
            del pending[name]
        return pending

    def _watching(self, progress: Progress) -> Callable[[Mapping[str, Any]], None]:
        """What tells the progress, and keeps the steps that have begun and not ended."""

        def tell(event: Mapping[str, Any]) -> None:
            self._running.tell(event)
            progress.tell(event)

        return tell

    @asynccontextmanager
    async def _reminding(self, progress: Progress) -> AsyncIterator[None]:
        """Tell now and then for what the run waits."""

        async def remind() -> None:
            while True:
                await asyncio.sleep(_PULSE)
                if words := self._running.reminder():
                    progress.remind(words)

        task = asyncio.ensure_future(remind())
        try:
            yield
        finally:
            task.cancel()

    def _stopped(self, stop: Stop, channel: Channel) -> None:
        """Stop the run, for the reason that the interrupt has."""
        if name := self.interrupt.stopped_by:
            again = "press Ctrl-C again" if name == "Ctrl-C" else f"send {name} again"
            _stop(stop, f"stopped by {name}", f" ({again} to exit immediately)")
        else:
            _stop(stop, self.interrupt.timed_out(self._running.longest() or channel.waits()))

    def _approve(self, plan: Plan, channel: Channel, progress: Progress, lock: HeldLock) -> Impact:
        """Show the plan and, unless ``-y`` was given, ask for approval.

        Returns the worst impact that later rounds may have. Raises GuardError if a guard or the user refuses.
        """
        if not (plan.empty or lock.is_held):
            raise _LockNeeded
        self.plan = plan
        allowed = self.options.allowed
        if self.saved is not None and (reasons := reasons_against(self.saved, self.spec.digest, plan)):
            guard(self.saved.plan, allowed, *reasons)
        if self.options.output == "text":
            self._print_plan(plan, channel.session.endpoint)
        self._complain_of_errors(plan.errors)
        guard(plan, allowed)
        if not (plan.empty or allowed.auto_approve):
            self._ask(plan)
        if self._widens:
            channel.widen(parallelism(plan.steps))
        self._began_steps = True
        progress.begin(plan)
        return allowed.impact if allowed.auto_approve else plan.impact

    def _print_plan(self, plan: Plan, endpoint: str | None) -> None:
        text = (
            notes_text(plan, click.style)
            if plan.empty
            else plan_text(plan, style=click.style, errors=False, endpoint=endpoint)
        )
        if self.options.memory.messages.is_new(f"the plan of {plan.stack}", text) and text:
            # A watch goes on without its stdout: a full disk must not prevent a failover.
            show = print_result if self.options.command == "watch" or turns.is_taken() else click.echo
            show(as_shown(text + "\n"))

    def _complain_of_errors(self, errors: Sequence[PlanError]) -> None:
        if self.options.memory.messages.is_new(f"the errors of {self.spec.document.stack}", repr(errors)):
            complain_of_errors(errors)

    def _complain(self, report: Report, stop: Stop) -> None:
        """Print why the run did not converge, unless that was said when it happened."""
        self._complain_of_errors(report.errors)
        if stop.reason and (report.error or "").startswith(stop.reason):
            return
        why = without_request_ids(f"{report.outcome} {report.error}")
        is_new = self.options.memory.messages.is_new(f"the error of {report.stack}", why)
        if report.error and is_new:
            logs.complain(EnireconcileError(report.error), exit_code=report.exit_code)

    def _print_report(self, report: Report, endpoint: str | None) -> None:
        # A watch prints a report that is the same in every round only once.
        failures = [f"{each.step.call} {each.step.address} {each.error}" for each in report.outcomes if each.error]
        text = without_request_ids(f"{report.outcome} {report.error} {report.errors} {failures}")
        is_new = self.options.memory.messages.is_new(f"the report of {report.stack}", text)
        if self.options.output == "text" and (is_new or report.acted or report.checks):
            shown = report_text(report, click.style, endpoint=endpoint)
            if self.label:
                # A blank line between a table and the next stack.
                shown = f"{printable(self.label)}  {shown}" + ("\n" if "\n" in shown else "")
            print_result(as_shown(shown))

    @property
    def _destroys(self) -> bool:
        return self.options.command == "destroy"

    def _ask(self, plan: Plan) -> None:
        if self.options.ask is not None:
            if not self.options.ask(plan):
                raise GuardError("the plan was not approved; nothing was changed")
            return
        if not sys.stdin.isatty():
            raise GuardError(
                "cannot ask for approval: stdin is not a terminal",
                hint="give --auto-approve (-y) to run unattended",
            )
        label = f"{printable(self.label)}: " if self.label else ""
        if not self.interrupt.ask(lambda: confirmed(label + question(plan, destroy=self._destroys))):
            raise GuardError("the plan was not approved; nothing was changed")


def _stop(stop: Stop, reason: str, note: str = "") -> None:
    if not stop.is_set():
        logs.say(f"{printable_lines(reason)}: stopping after the calls in flight{note}")
    stop.because(reason)


def _abandon(task: asyncio.Task[Report]) -> None:
    logs.say("exiting without waiting for the calls in flight; run the command again to finish")
    task.cancel()


async def _account(channel: Channel) -> str:
    """The account of the credentials. The client for the calls that come next is made meanwhile."""
    account, _ = await asyncio.gather(account_of(Reader(channel)), channel.prepare("ec2"))
    return account


def _keep(lock: HeldLock, report: Report) -> None:
    """Store the last report. An error here does not change the outcome."""
    try:
        lock.keep(json.dumps(report_json(report), indent=2) + "\n")
    except EnireconcileError as error:
        logs.complain(error)
