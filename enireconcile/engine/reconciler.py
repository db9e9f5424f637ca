"""Plan, execute, read back; and again if the world moved. What ``apply`` does, without its printing.

Success is an empty plan from a fresh read, never the absence of errors. At most three rounds: who still differs
then is fighting somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from enireconcile.aws.api import Channel, Reader, Writer
from enireconcile.aws.poller import Poller, WaitFailed
from enireconcile.engine.executor import Executor, Remembers
from enireconcile.engine.planner import read_and_plan
from enireconcile.errors import AmbiguityError, EnireconcileError, UnsupportedError
from enireconcile.model import Impact, Outcome, Plan, Report, Status, Step, fingerprint, refs_in
from enireconcile.spec import Spec

MAX_ROUNDS = 3
_ROUND_PAUSE = 2.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_MOVED = "the world has moved while the plan was carried out, and more than it is needed: make a new one"


class Journal(Remembers, Protocol):
    """The journal, as far as reconciling needs it."""

    def recalls(self, address: str) -> bool: ...
    def doubt(self, address: str, digest: str | None, settle: float) -> float: ...
    def unseen(self, settle: float) -> dict[str, float]: ...
    def saw(self, present: Mapping[str, str]) -> None: ...


class Stop(asyncio.Event):
    """Set when nothing new shall begin; ``reason`` says why, in the words of the first who said so."""

    reason: str | None = None

    def because(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.set()


@dataclass
class Apply:
    """One apply of one spec, under the stack's lock.

    ``approve`` is asked once, with the first plan; it raises GuardError to refuse, and else says up to which
    impact later rounds may go. ``objections`` gives reasons against a plan of a later round, which nobody sees
    before it runs; with ``once`` there is no later round. ``check`` is called before each change, and raises if
    the right to make it is lost. ``now`` is the wall clock, for the report only. A task that is cancelled in here
    waits for nothing and reports.
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
    objections: Callable[[Plan], Sequence[str]] = lambda _: ()
    check: Callable[[], None] = lambda: None
    _plan: Plan | None = None
    _outcomes: list[Outcome] = field(default_factory=list)

    async def run(self) -> Report:
        """Raises EnireconcileError as long as nothing was changed; after that everything is in the report."""
        self._reader = Reader(self.channel)
        self._began, self._started = asyncio.get_running_loop().time(), self.now()
        try:
            return await self._rounds()
        except asyncio.CancelledError:
            return self._report("partial", "stopped at once; what was in flight was not waited for")

    async def _rounds(self) -> Report:
        plan = await self._unless_stopped(self._trusted_plan())
        if plan is None:
            return self._report("partial")
        self._plan = plan
        approved = self.approve(plan)
        # Whoever wanted to stop while we were asking is heard before anything begins.
        await asyncio.sleep(0)
        if plan.empty:
            return self._report("unchanged")
        for turn in range(1, (1 if self.once else MAX_ROUNDS) + 1):
            if self.stop.is_set():
                break
            if objection := self._objection(plan, approved, first=turn == 1):
                return self._report(self._broken(), objection)
            failed = [outcome for outcome in await self._execute(plan, turn) if outcome.status is not Status.DONE]
            moved = bool(failed) and all(outcome.replan for outcome in failed)
            again = (not failed or (moved and not self.once)) and not self.stop.is_set()
            try:
                plan = self._plan = await self._look_back(turn, failed, again)
            except EnireconcileError as error:
                return self._report(self._broken(), str(error))
            # Whoever stopped when all was done already has not stopped half way.
            ended = plan.empty and not (failed or plan.waits)
            if not again and not ended:
                return self._report(self._broken(), _MOVED if moved and self.once else None)
            if plan.empty:
                return self._report("converged")
        if self.stop.is_set():
            return self._report(self._broken())
        rounds = f"still not as the spec says after {MAX_ROUNDS} rounds"
        return self._report(self._broken(), _MOVED if self.once else rounds)

    async def _unless_stopped(self, planning: Coroutine[Any, Any, Plan]) -> Plan | None:
        """The plan, or None when somebody wants to stop before there is one: reads need not be finished."""
        task, stopping = asyncio.ensure_future(planning), asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            task.cancel()
            stopping.cancel()

    def _objection(self, plan: Plan, approved: Impact, *, first: bool) -> str | None:
        """Why the plan of this round may not run."""
        if plan.impact.severity > approved.severity:
            return f"the rest is {plan.impact}, which was not approved"
        reasons = () if first else self.objections(plan)
        return "\n  ".join(["the world has moved, and the rest was refused:", *reasons]) if reasons else None

    async def _look_back(self, turn: int, failed: Sequence[Outcome], again: bool) -> Plan:
        """The plan after a round, from reads that can be believed."""
        if not again:
            return await self._fresh_plan()
        if not failed:
            return await self._read_back()
        # The world had moved, or one of EC2's back ends had not heard yet: give it a moment.
        await self._nap(_ROUND_PAUSE * turn)
        return await self._trusted_plan()

    async def _fresh_plan(self) -> Plan:
        region = self.channel.session.region
        made = await read_and_plan(
            self._reader, self.spec, region, self.account_id, prune=self.prune, targets=self.targets
        )
        present = {change.address: change.id for change in made.changes if change.id}
        self.journal.saw(present | {left.address: left.id for left in made.leftovers})
        return made

    async def _trusted_plan(self) -> Plan:
        """A plan whose creates are no mistakes: what an earlier call may have made has had time to show up."""
        believed: set[str] = set()
        pause = _FIRST_PAUSE
        while True:
            late = self.stop.is_set() or not self.journal.unseen(self.settle)
            made = await self._plan_unless_contradictory(late)
            if made is None:
                await self._nap(pause)
                continue
            creates = [step for step in made.steps if step.token or step.look]
            doubts = {step.address: self._doubt(step) for step in creates}
            if self.prune:
                # What is not seen is not removed: it must have had the time to show up.
                doubts |= self.journal.unseen(self.settle)
            wait = max(doubts.values(), default=0.0)
            # One read that lacks what was there before may be stale: it takes a second one to believe it.
            recalled = {address for address in doubts if self.journal.recalls(address)}
            if self.stop.is_set() or (wait <= 0 and recalled <= believed):
                if made.empty and await self._waited(made):
                    continue
                return made
            believed |= recalled
            if wait > 0:
                doubtful = sorted(address for address, seconds in doubts.items() if seconds > 0)
                self.tell({"type": "settle", "addresses": doubtful, "seconds": round(wait, 3)})
                await self._nap(min(pause, wait))
                pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _plan_unless_contradictory(self, late: bool) -> Plan | None:
        """None for a dead end that reads of different age may only feign; once it is ``late`` it is believed."""
        try:
            return await self._fresh_plan()
        except (UnsupportedError, AmbiguityError):
            if late:
                raise
            return None

    def _doubt(self, step: Step) -> float:
        """For how many seconds yet what this step would make may exist unseen."""
        if step.look is not None and step.look.natural_key:
            return 0.0
        known = None if any(True for _ in refs_in(step.params)) else fingerprint(step.params)
        return self.journal.doubt(step.address, known, self.settle)

    async def _read_back(self) -> Plan:
        """The plan after a round: empty, or what is left once stale reads have had time to pass."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.settle, _FIRST_PAUSE
        while True:
            late = loop.time() >= deadline or self.stop.is_set()
            made = await self._plan_unless_contradictory(late)
            if made is not None and (made.empty or late):
                if made.empty and await self._waited(made):
                    continue
                return made
            await self._nap(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _waited(self, made: Plan) -> bool:
        """Wait for what comes by itself; whether there was anything that was worth the wait."""
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
        # Who went the wrong way has become a difference: the next read tells.
        ends = waiting.result()
        for error in (end for end in ends if isinstance(end, EnireconcileError)):
            raise error
        return not any(isinstance(end, WaitFailed) and end.late for end in ends)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless the user wants to stop."""
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({stopping}, timeout=seconds)
        stopping.cancel()

    async def _execute(self, plan: Plan, turn: int) -> Sequence[Outcome]:
        steps = plan.steps if turn == 1 else _renumbered(plan.steps, turn)
        executor = Executor(
            reader=self._reader,
            writer=Writer(self.channel, self.check),
            journal=self.journal,
            stop=self.stop,
            tell=self.tell,
            settle=self.settle,
        )
        try:
            outcomes = await executor.run(steps)
        except asyncio.CancelledError:
            self._outcomes += executor.so_far(steps)
            raise
        self._outcomes += outcomes
        return outcomes

    def _broken(self) -> str:
        """Failed means that nothing was changed; who was stopped is told that there is more to do."""
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
            error=error or (self.stop.reason if outcome == "partial" else None),
            api_calls=dict(sorted(self.channel.calls.items())),
            throttled=self.channel.throttled,
            targets=self.targets,
        )

    def _remaining(self) -> tuple[str, ...]:
        return self._plan.differing if self._plan else ()


def _renumbered(steps: Sequence[Step], turn: int) -> tuple[Step, ...]:
    """Ids that differ from those of earlier rounds: r2.s1, r2.s2 …"""
    return tuple(
        replace(step, id=f"r{turn}.{step.id}", needs=frozenset(f"r{turn}.{need}" for need in step.needs))
        for step in steps
    )
