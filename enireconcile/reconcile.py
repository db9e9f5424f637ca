"""Plan, execute, read back; and again if the world moved. What ``plan`` and ``apply`` do, without their printing.

Success is an empty plan from a fresh read, never the absence of errors. At most three rounds: who still differs
then is fighting somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from enireconcile import live as live_stage
from enireconcile.aws.api import Channel, Reader, Writer
from enireconcile.errors import EnireconcileError, GuardError
from enireconcile.execute import Executor, Remembers
from enireconcile.model import Action, Outcome, Plan, Report, Status, Step, fingerprint, refs_in
from enireconcile.plan import make_plan
from enireconcile.spec import Spec

MAX_ROUNDS = 3
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class Journal(Remembers, Protocol):
    """The journal, as far as reconciling needs it."""

    def recalls(self, address: str) -> bool: ...
    def doubt(self, address: str, digest: str | None, settle: float) -> float: ...
    def saw(self, present: Mapping[str, str]) -> None: ...


async def plan(channel: Channel, spec: Spec) -> Plan:
    """Read and plan. Nothing that this can reach is able to change anything."""
    reader = Reader(channel)
    found = await live_stage.read(reader, spec.document, channel.session.region)
    guard_account(spec, found.account_id)
    return make_plan(spec, found)


async def account_of(channel: Channel) -> str:
    """The account of the credentials. Raises AwsError."""
    return str((await Reader(channel).read("GetCallerIdentity"))["Account"])


def guard_account(spec: Spec, account_id: str) -> None:
    """Raises GuardError when the spec is for another account."""
    wanted = spec.document.account_id
    if wanted is not None and wanted != account_id:
        raise GuardError(
            f"the spec is for account {wanted}, these credentials are of account {account_id}",
            hint="choose other credentials (AWS_PROFILE, --profile)",
        )


@dataclass
class Apply:
    """One apply of one spec, under the stack's lock.

    ``approve`` is asked once, with the first plan, and raises GuardError to refuse; later rounds must stay
    within the impact that was approved. ``now`` is the wall clock, for the report only.
    """

    channel: Channel
    spec: Spec
    account_id: str
    journal: Journal
    approve: Callable[[Plan], None]
    tell: Callable[[Mapping[str, Any]], None]
    stop: asyncio.Event
    settle: float
    now: Callable[[], float]
    _outcomes: list[Outcome] = field(default_factory=list)

    async def run(self) -> Report:
        """Raises EnireconcileError as long as nothing was changed; after that everything is in the report."""
        self._reader = Reader(self.channel)
        self._began, self._started = asyncio.get_running_loop().time(), self.now()
        self._plan = await self._trusted_plan()
        self.approve(self._plan)
        if self._plan.empty:
            return self._report("unchanged")
        approved = self._plan.impact
        for turn in range(1, MAX_ROUNDS + 1):
            if self._plan.impact.severity > approved.severity:
                return self._report("partial", f"the rest is {self._plan.impact}, which was not approved")
            outcomes = await self._execute(turn)
            failed = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
            try:
                if all(outcome.replan for outcome in failed) and not self.stop.is_set():
                    self._plan = await (self._trusted_plan() if failed else self._read_back())
                    if self._plan.empty:
                        return self._report("converged")
                    continue
                self._plan = await self._fresh_plan()
            except EnireconcileError as error:
                return self._report(self._broken(), str(error))
            return self._report(self._broken())
        return self._report("partial", f"still not as the spec says after {MAX_ROUNDS} rounds")

    async def _fresh_plan(self) -> Plan:
        region = self.channel.session.region
        found = await live_stage.read(self._reader, self.spec.document, region, self.account_id)
        made = make_plan(self.spec, found)
        self.journal.saw({change.address: change.id for change in made.changes if change.id})
        return made

    async def _trusted_plan(self) -> Plan:
        """A plan whose creates are no mistakes: what an earlier call may have made has had time to show up."""
        believed: set[str] = set()
        pause = _FIRST_PAUSE
        while True:
            made = await self._fresh_plan()
            creates = [step for step in made.steps if step.token or step.look]
            doubts = {step.address: self._doubt(step) for step in creates}
            wait = max(doubts.values(), default=0.0)
            # One read that lacks what was there before may be stale: it takes a second one to believe it.
            recalled = {address for address in doubts if self.journal.recalls(address)}
            if self.stop.is_set() or (wait <= 0 and recalled <= believed):
                return made
            believed |= recalled
            if wait > 0:
                doubtful = sorted(address for address, seconds in doubts.items() if seconds > 0)
                self.tell({"type": "settle", "addresses": doubtful, "seconds": round(wait, 3)})
                await self._nap(min(pause, wait))
                pause = min(pause * 1.5, _LONGEST_PAUSE)

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
            made = await self._fresh_plan()
            if made.empty or loop.time() >= deadline or self.stop.is_set():
                return made
            await self._nap(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless the user wants to stop."""
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({stopping}, timeout=seconds)
        stopping.cancel()

    async def _execute(self, turn: int) -> Sequence[Outcome]:
        steps = self._plan.steps if turn == 1 else _renumbered(self._plan.steps, turn)
        executor = Executor(
            reader=self._reader,
            writer=Writer(self.channel),
            journal=self.journal,
            stop=self.stop,
            tell=self.tell,
            settle=self.settle,
        )
        outcomes = await executor.run(steps)
        self._outcomes += outcomes
        return outcomes

    def _broken(self) -> str:
        """Failed means that nothing was changed; who was stopped is told that there is more to do."""
        acted = any(outcome.acted for outcome in self._outcomes)
        return "partial" if acted or self.stop.is_set() else "failed"

    def _report(self, outcome: str, error: str | None = None) -> Report:
        return Report(
            stack=self._plan.stack,
            account_id=self._plan.account_id,
            region=self._plan.region,
            outcome=outcome,
            started=datetime.fromtimestamp(self._started, UTC),
            seconds=asyncio.get_running_loop().time() - self._began,
            outcomes=tuple(self._outcomes),
            remaining=tuple(
                change.address for change in self._plan.changes if change.action is not Action.UNCHANGED
            )
            if outcome not in ("converged", "unchanged")
            else (),
            error=error,
            api_calls=dict(sorted(self.channel.calls.items())),
            throttled=self.channel.throttled,
        )


def _renumbered(steps: Sequence[Step], turn: int) -> tuple[Step, ...]:
    """Ids that differ from those of earlier rounds: r2.s1, r2.s2 …"""
    return tuple(
        replace(step, id=f"r{turn}.{step.id}", needs=frozenset(f"r{turn}.{need}" for need in step.needs))
        for step in steps
    )
