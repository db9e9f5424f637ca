"""What ``apply`` does, without its output: plan, execute, read back; and again if the live state changed.

Success is an empty plan from a fresh read, never the mere absence of errors. There are at most three rounds: if
there are differences after that, another tool is probably changing the same resources.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from enireconcile.aws.api import Channel, Reader, Writer
from enireconcile.aws.poller import Poller, WaitFailed
from enireconcile.engine import dry_run
from enireconcile.engine.executor import Executor, ids_in
from enireconcile.engine.planner import STALE_READS_CAN_CAUSE, Seen, look, unbelieved
from enireconcile.engine.stop import Stop, unless_stopped
from enireconcile.errors import EnireconcileError
from enireconcile.kinds.conditions import Fact
from enireconcile.live.records import Live
from enireconcile.model import (
    Impact,
    Outcome,
    PathBreak,
    Plan,
    Report,
    Status,
    Step,
    fingerprint,
    refs_in,
)
from enireconcile.spec import Spec
from enireconcile.state.journal import Journal

MAX_ROUNDS = 3
_ROUND_PAUSE = 2.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_SECOND_READ = 5.0
"""Seconds after which a second read that misses a resource, too, shows that it is gone, if it was there before."""
_CHANGED = "the live state changed while the plan was applied, and more changes are needed: make a new plan"


@dataclass
class Apply:
    """One apply of one spec, under the stack's lock.

    ``approve`` gets the first plan; it raises GuardError to refuse it, else returns the worst impact that later
    rounds may have. ``objections`` returns reasons against the plan of a later round, which is not shown before it
    runs; with ``once`` there is no later round. ``check`` runs before each change and raises LostLockError once
    the lock is lost. ``now`` is the wall clock, for the report only; ``settle`` is how many seconds describes may
    miss a new resource. ``believed`` are the keys of errors of earlier plans of this spec. Cancelling the task
    ends the run at once, with a report.

    ``before`` is the read of the approved plan, ``after`` the last one since the last change, if there is one.
    """

    channel: Channel
    spec: Spec
    account_id: str
    journal: Journal
    approve: Callable[[Plan], Impact]
    tell: Callable[[Mapping[str, Any]], None]
    stop: Stop
    settle: float
    now: Callable[[], float]
    prune: bool = False
    once: bool = False
    targets: tuple[str, ...] = ()
    believed: Collection[tuple[str, str]] = ()
    try_refused_again: bool = False
    objections: Callable[[Plan], Sequence[str]] = lambda _: ()
    check: Callable[[], None] = lambda: None
    before: Live | None = None
    after: Live | None = None
    _plan: Plan | None = None
    _seen: Seen | None = None
    _outcomes: list[Outcome] = field(default_factory=list)
    _round: Sequence[Outcome] = ()
    _refused: set[tuple[str, str]] = field(default_factory=set)
    _not_tried: list[str] = field(default_factory=list)

    async def run(self) -> Report:
        """Run to the report. Raises EnireconcileError only as long as nothing has been changed."""
        self._reader = Reader(self.channel)
        self._began, self._started = asyncio.get_running_loop().time(), self.now()
        for address, former in self.spec.document.renamed.items():
            self.journal.renamed(former, address)
        try:
            return await self._rounds()
        except asyncio.CancelledError:
            exited = "exited immediately, without waiting for the calls in flight"
            return self._report("partial", f"{self.stop.reason}; {exited}" if self.stop.reason else exited)

    async def _rounds(self) -> Report:
        plan = await unless_stopped(self._trusted_plan(), self.stop)
        if plan is None:
            return self._report("partial")
        self._plan = plan
        self.believed = {*self.believed, *(error.key for error in plan.errors)}
        self.before = self.after
        approved = self.approve(plan)
        # A signal that came during approval is handled before the first step begins.
        await asyncio.sleep(0)
        if plan.empty:
            return self._report(self._broken() if plan.errors else "unchanged")
        for turn in range(1, (1 if self.once else MAX_ROUNDS) + 1):
            if self.stop.is_set():
                break
            if objection := self._objection(plan, approved, first=turn == 1):
                return self._report(self._broken(), objection)
            if denied := await self._denied(plan):
                return self._report(self._broken(), denied)
            if turn == 1 and not self.try_refused_again:
                self._recall_refusals(plan)
            outcomes = await self._execute(_without(self._refused, plan), turn)
            failed = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
            self._remember_refusals(plan, failed)
            changed = any(outcome.replan for outcome in failed)
            again = (not failed or (changed and not self.once)) and not self.stop.is_set()
            try:
                plan = self._plan = await self._look_back(turn, failed, again)
            except EnireconcileError as error:
                return self._report(self._broken(), str(error))
            # A stop that comes after the last step does not make the run partial.
            ended = plan.empty and not (failed or plan.waits)
            if not again and not ended:
                return self._report(self._broken(), _CHANGED if changed and self.once else None)
            if plan.empty:
                return self._report(self._broken() if plan.errors else "converged")
            if not _without(self._refused, plan):
                return self._report(self._broken())
        if self.stop.is_set():
            return self._report(self._broken())
        rounds = f"the live state still differs from the spec after {MAX_ROUNDS} rounds"
        return self._report(self._broken(), _CHANGED if self.once else rounds)

    def _remember_refusals(self, plan: Plan, failed: Sequence[Outcome]) -> None:
        """No later round repeats what EC2 refused, and no later run interrupts something for it again."""
        changes = {_kind_of(step) for step in _interrupting_changes(plan)}
        for outcome in failed:
            step = outcome.step
            if outcome.refused:
                self._refused.add(_kind_of(step))
            if outcome.refused and outcome.attempts and _kind_of(step) in changes:
                self.journal.refuse(step.address, step.call, fingerprint(step.params), str(outcome.error))

    def _recall_refusals(self, plan: Plan) -> None:
        """Leave out what EC2 refused in an earlier run, where another try would interrupt something again."""
        for step in _interrupting_changes(plan):
            error = self.journal.refusal(step.address, step.call, fingerprint(step.params))
            if error is not None:
                self._refused.add(_kind_of(step))
                self._not_tried.append(
                    f"{step.address}: not tried again, since each try interrupts it; EC2 refused {step.call} "
                    f"in an earlier run:\n  {error}\n  hint: change the spec, or run apply without -y to try again"
                )

    def _objection(self, plan: Plan, approved: Impact, *, first: bool) -> str | None:
        """Why the plan of this round may not run."""
        if plan.impact.severity > approved.severity:
            return f"the remaining steps are {plan.impact}, which was not approved"
        reasons = () if first else self.objections(plan)
        return (
            "\n  ".join(["the live state changed, and the new plan was refused:", *reasons]) if reasons else None
        )

    async def _denied(self, plan: Plan) -> str | None:
        """Why the plan may not run: calls that have to follow a removal, and that IAM does not allow."""
        try:
            found = await unless_stopped(dry_run.denied(Writer(self.channel, self.check), plan.steps), self.stop)
        except EnireconcileError as error:
            return str(error)
        return "\n  ".join(["refused before the first change:", *found]) if found else None

    async def _look_back(self, turn: int, failed: Sequence[Outcome], again: bool) -> Plan:
        """The plan after a round, from reads that are not stale."""
        if not again:
            return await self._fresh_plan()
        if not failed:
            return await self._read_back()
        # The live state changed, or part of EC2 does not know the change yet: give it a moment.
        await self._nap(_ROUND_PAUSE * turn)
        return await self._trusted_plan()

    async def _fresh_plan(self) -> Plan:
        region = self.channel.session.region
        self._seen = seen = await look(
            self._reader,
            self.spec,
            region,
            self.account_id,
            prune=self.prune,
            targets=self.targets,
            believed=self.believed,
        )
        made, self.after = seen.plan, seen.live
        present = {change.address: change.id for change in made.changes if change.id}
        present |= {left.address: left.id for left in made.leftovers}
        self.journal.observed(present)
        if not self.targets:
            self.journal.in_use({*present, *self.spec.document.resources})
        return made

    async def _trusted_plan(self) -> Plan:
        """A plan that creates nothing twice: what an earlier call may have made has had time to become visible."""
        missed_since: dict[str, float] = {}
        pause = _FIRST_PAUSE
        while True:
            late = self.stop.is_set() or not self.journal.unseen_addresses(self.settle)
            made = await self._plan_unless_contradictory(late)
            if made is None:
                await self._nap(pause)
                continue
            creates = [step for step in made.steps if step.token or step.look]
            unseen = {step.address: self._unseen_for(step, missed_since) for step in creates}
            if self.prune:
                # Only a resource that is visible can be pruned.
                unseen |= self.journal.unseen_addresses(self.settle)
            wait = max(unseen.values(), default=0.0)
            # A read that misses a resource that existed before may be stale: only a second read that misses it,
            # too, counts.
            missing = {address for address in unseen if self.journal.was_created(address)}
            if self.stop.is_set() or (wait <= 0 and missing <= set(missed_since)):
                if made.empty and await self._waited(made):
                    continue
                return made
            for address in missing:
                missed_since.setdefault(address, asyncio.get_running_loop().time())
            if wait > 0:
                addresses = sorted(address for address, seconds in unseen.items() if seconds > 0)
                self.tell({"type": "settle", "addresses": addresses, "seconds": round(wait, 3)})
                # A resource that no read has shown yet can appear at any moment.
                certain = all(self.journal.was_observed(address) for address in addresses)
                await self._nap(wait if certain else min(pause, wait))
                pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _plan_unless_contradictory(self, late: bool) -> Plan | None:
        """The plan; None for an error that stale reads can cause, unless it is ``late``: then it is believed."""
        try:
            made = await self._fresh_plan()
            return None if unbelieved(made, self.believed) and not late else made
        except STALE_READS_CAN_CAUSE:
            if late:
                raise
            return None

    def _unseen_for(self, step: Step, missed_since: Mapping[str, float]) -> float:
        """For how many more seconds the resource that this step would create may exist without being visible.

        ``missed_since`` are the addresses that earlier reads have missed, with the loop time of the first of them.
        """
        if step.look is not None and step.look.natural_key:
            return 0.0
        known = None if any(True for _ in refs_in(step.params)) else fingerprint(step.params)
        unseen = self.journal.unseen_for(step.address, known, self.settle)
        if not self.journal.was_observed(step.address):
            return unseen
        now = asyncio.get_running_loop().time()
        return max(0.0, min(unseen, missed_since.get(step.address, now) + _SECOND_READ - now))

    async def _read_back(self) -> Plan:
        """The plan after a round: with nothing left to do, or what still differs after the settle time."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.settle, _FIRST_PAUSE
        while True:
            late = loop.time() >= deadline or self.stop.is_set()
            made = await self._plan_unless_contradictory(late)
            done = made is not None and not _without(self._refused, made)
            if made is not None and (done or late):
                if made.empty and await self._waited(made):
                    continue
                return made
            await self._nap(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _waited(self, made: Plan) -> bool:
        """Wait for what needs no call; whether the live state may have changed, so that a new read is needed."""
        if not made.waits or self.stop.is_set():
            return False
        poller = Poller(self._reader)
        self.tell({"type": "wait", "ids": sorted(str(expect.id) for expect in made.waits)})
        waiting: asyncio.Future[Any] = asyncio.gather(
            *(poller.wait(expect) for expect in made.waits), return_exceptions=True
        )
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not waiting.done():
            waiting.cancel()
            return False
        # A condition that can no longer be met is a difference, which the next plan shows.
        ends = waiting.result()
        for error in (end for end in ends if isinstance(end, Exception) and not isinstance(end, WaitFailed)):
            raise error
        return not any(isinstance(end, WaitFailed) and end.late for end in ends)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless the user wants to stop."""
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({stopping}, timeout=seconds)
        stopping.cancel()

    async def _execute(self, steps: Sequence[Step], turn: int) -> Sequence[Outcome]:
        steps = steps if turn == 1 else _renumbered(steps, turn)
        executor = Executor(
            reader=self._reader,
            writer=Writer(self.channel, self.check),
            journal=self.journal,
            stop=self.stop,
            tell=self.tell,
            settle=self.settle,
            began=self._began,
            spec_ids=_group_ids(self.spec),
            is_needed=self._is_needed,
        )
        self._round = ()
        try:
            self._round = await executor.run(steps)
        except asyncio.CancelledError:
            self._round = executor.so_far(steps)
            raise
        finally:
            self.after = None
            self._outcomes += self._round
        return self._round

    async def _is_needed(self, step: Step) -> bool:
        """Whether a new plan would have the call of a step, too. Where it has errors, that is unknown."""
        try:
            made = await self._fresh_plan()
        except EnireconcileError:
            return True
        return bool(made.errors) or _kind_of(step) in map(_kind_of, made.steps)

    def _broken(self) -> str:
        """The outcome of a run that did not converge: failed if nothing was changed and it was not stopped."""
        acted = any(outcome.acted for outcome in self._outcomes)
        return "partial" if acted or self.stop.is_set() else "failed"

    def _report(self, outcome: str, error: str | None = None) -> Report:
        return Report(
            stack=self.spec.document.stack,
            account_id=self.account_id,
            region=self.channel.session.region,
            outcome=outcome,
            started=datetime.fromtimestamp(self._started, UTC),
            seconds=asyncio.get_running_loop().time() - self._began,
            outcomes=tuple(self._outcomes),
            remaining=self._remaining() if outcome not in ("converged", "unchanged") else (),
            error="\n".join([*([error] if error else []), *self._not_tried])
            or (self.stop.reason if outcome == "partial" else None),
            api_calls=dict(sorted(self.channel.calls.items())),
            throttled=self.channel.throttled,
            targets=self.targets,
            errors=self._plan.errors if self._plan else (),
            denials=tuple(self.channel.denials),
            resources=self._seen.resources if self._seen and not self._outdated else None,
        )

    @property
    def _outdated(self) -> bool:
        """Whether the run may have changed something since the last read of its plan."""
        return self.after is None and any(outcome.acted for outcome in self._round)

    def _remaining(self) -> tuple[str, ...]:
        if self._plan is None:
            return ()
        done = _done(self._round) if self._outdated else set()
        differing = (address for address in self._plan.differing if address not in done)
        return tuple(dict.fromkeys((*differing, *self._plan.left_out)))


def _done(outcomes: Sequence[Outcome]) -> set[str]:
    """The addresses for which all calls of a round are done. A launch also attaches the interfaces of its rows."""
    about: dict[str, list[bool]] = {}
    for outcome in outcomes:
        attached = {brought.subject for brought in outcome.step.brings if brought.fact == Fact.ATTACHED}
        for address in {outcome.step.address, *attached}:
            about.setdefault(address, []).append(outcome.status is Status.DONE)
    return {address for address, done in about.items() if all(done)}


def _kind_of(step: Step) -> tuple[str, str]:
    """What identifies a step in the plan of a later round: its address and its call."""
    return step.address, step.call


def _interrupting_changes(plan: Plan) -> Iterator[Step]:
    """The steps for which a plan interrupts their resource: those between its begin and its end.

    For a change of type that is the change itself, neither the stop nor the start.
    """
    spans: dict[str, list[PathBreak]] = {}
    for broken in plan.interruptions:
        spans.setdefault(broken.address, []).append(broken)
    for step in plan.steps:
        if any(each.begins in step.needs and each.ends != step.id for each in spans.get(step.address, ())):
            yield step


def _without(refused: Collection[tuple[str, str]], plan: Plan) -> tuple[Step, ...]:
    """The steps of a plan, without those that EC2 has refused before, and without those that need these.

    If the plan would interrupt the resource of such a step, all steps of that resource are left out: an instance
    is not stopped and started again for a change that EC2 refuses.
    """
    hit = {step.address for step in plan.steps if _kind_of(step) in refused}
    whole = hit & {broken.address for broken in plan.interruptions}
    dropped: set[str] = set()
    for step in plan.steps:
        if step.address in whole or _kind_of(step) in refused or not dropped.isdisjoint(step.needs):
            dropped.add(step.id)
    kept = (step for step in plan.steps if step.id not in dropped)
    return tuple(replace(step, ends_first=step.ends_first - dropped) for step in kept)


def _group_ids(spec: Spec) -> frozenset[str]:
    """The ids of security groups in a spec. Any other id is looked up when planning, so a new plan may differ."""
    return frozenset(each for each in ids_in(spec.document.model_dump_json()) if each.startswith("sg-"))


def _renumbered(steps: Sequence[Step], turn: int) -> tuple[Step, ...]:
    """The steps with ids that differ from those of earlier rounds: r2.s1, r2.s2 …"""

    def renumbered(ids: frozenset[str]) -> frozenset[str]:
        return frozenset(f"r{turn}.{each}" for each in ids)

    return tuple(
        replace(
            step,
            id=f"r{turn}.{step.id}",
            needs=renumbered(step.needs),
            ends_first=renumbered(step.ends_first),
        )
        for step in steps
    )
