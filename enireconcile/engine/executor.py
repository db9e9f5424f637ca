"""The only place that changes live resources: one generic loop over a plan's steps. It knows no kinds.

A step runs as soon as the steps that it needs are done and those that it only follows have ended. If a step that
it needs fails, the step is skipped and its error names the one that failed. The executor alone repeats calls, by
the meaning that the table of faults gives to an error:

- not executed (throttled, not sent, a resource is not ready): it makes the same call again, after a pause;
- no answer: if a repeat cannot create a second resource (a ClientToken, a natural key, a call that sets a value),
  it makes the same call again, and after a few losses it also looks whether EC2 has acted. Otherwise it first
  looks for what the call may have created, for as long as a new resource may stay invisible;
- the ClientToken stands for a resource that is gone: it makes the call with the next token of the chain;
- already exists: done, if an earlier attempt of ours got no answer; otherwise the live state has changed: plan
  again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

import jmespath
from msgspec.structs import replace

from enireconcile.aws.actions import describe_of, listing_of
from enireconcile.aws.faults import Fault, Meaning
from enireconcile.aws.poller import Poller, WaitFailed, objects_in
from enireconcile.aws.retry import retrying
from enireconcile.engine.stop import Stopped, until_stopped
from enireconcile.errors import AmbiguityError, AwsError, EnireconcileError, LostLockError
from enireconcile.model import (
    Asks,
    Digest,
    Expect,
    Look,
    Outcome,
    Proof,
    Ref,
    Secret,
    Status,
    Step,
    Template,
    fingerprint,
    refs_in,
)
from enireconcile.printable import printable

log = logging.getLogger("enireconcile.execute")
Values = dict[Ref, str]
_REPEATED = frozenset({Meaning.THROTTLED, Meaning.RETRY, Meaning.OUTCOME_UNKNOWN, Meaning.WAIT})
_REPLANNED = frozenset({Meaning.REPLAN, Meaning.ALREADY_EXISTS, Meaning.TOKEN_CONFLICT})
_ID = re.compile(r"\b(?:[a-z]+-)+[0-9a-f]{8,17}\b")
_NOT_BEGUN = "stopped before it began"
_UNKNOWN = "was sent, and its answer is not known; the next run finds out"
_LOSSES = 3
"""Unanswered attempts of a call after which each further one begins with a look at what EC2 shows."""
_LONGEST_CHAIN = 50
"""Tokens that one step takes before it leaves the rest to a new plan."""
_UNSEEN = 3.0
"""Seconds after which a resource that a token returned, and that no describe shows, may be one that is gone."""
_LOOK_PAUSE = 0.25
_LONGEST_LOOK_PAUSE = 5.0
_LONG_WAIT = 600.0
"""Seconds from which on a wait that timed out is not started again in the next round."""


class Writes(Protocol):
    async def turn(self, call: str) -> None: ...
    def queue(self, call: str) -> float: ...
    def backlog(self) -> float: ...
    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]: ...


class CallJournal(Protocol):
    """What the executor needs of the journal (``state.journal.Journal``)."""

    def has_open_create(self, address: str) -> bool: ...
    def token(self, address: str, call: str, digest: str, *, after: str | None = None) -> str: ...
    def likely_token(self, address: str, call: str, digest: str, *, settle: float = 0.0) -> str: ...
    def intend(self, address: str, call: str, digest: str, token: str | None) -> None: ...
    def made(self, address: str, result: str) -> None: ...
    def failed(self, address: str) -> None: ...
    def waited(self, address: str, digest: str) -> float: ...
    def calling(self, address: str, call: str) -> None: ...
    def answered(self, address: str, call: str, error: str | None) -> None: ...
    async def flushed(self) -> None: ...


async def _always_needed(_: Step) -> bool:
    return True


@dataclass
class _StepState:
    """The attempts of one step so far.

    ``unanswered`` says that an attempt, perhaps of an earlier run, got no answer; ``losses`` counts those of this
    step. ``token`` is the last ClientToken, ``spent`` counts those before it. ``acted`` says that EC2 may have
    changed something; ``answer`` is EC2's last one. ``waits`` is what the step waits for; ``sent`` says that EC2
    has accepted the call, so that only ``until`` is left. ``unknown_since`` is the loop time since when EC2 says
    that it does not know a new resource. ``request_id`` is that of EC2's last answer or error.
    """

    attempts: int = 0
    unanswered: bool = False
    losses: int = 0
    token: str | None = None
    spent: int = 0
    acted: bool = False
    answer: Mapping[str, Any] = field(default_factory=dict)
    result_id: str | None = None
    request_id: str | None = None
    waits: Expect | None = None
    sent: bool = False
    unknown_since: float | None = None
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())


@dataclass
class Executor:
    """Runs the steps of a plan. ``settle`` is how many seconds describes may miss a new resource.

    ``spec_ids`` are ids that the spec names, so that a new plan would name them again. This run did not make them.
    ``is_needed`` says whether EC2 still lacks what a step changes; a step that is not answered asks it.
    ``tell`` gets an event (a dict of plain values) when a step starts, waits and ends. When ``stop`` is set, the
    run ends after the calls in flight. ``began`` is when the run began, by the clock of the loop.
    """

    reader: Asks
    writer: Writes
    journal: CallJournal
    stop: asyncio.Event
    tell: Callable[[Mapping[str, Any]], None]
    settle: float
    began: float
    spec_ids: AbstractSet[str] = frozenset()
    is_needed: Callable[[Step], Awaitable[bool]] = _always_needed
    _values: Values = field(default_factory=dict)
    _public_ips: dict[str, str] = field(default_factory=dict)
    _ended: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    _states: dict[str, _StepState] = field(default_factory=dict)

    async def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """Run all steps; the outcomes are in the order of the steps."""
        loop = asyncio.get_running_loop()
        self._poller = Poller(self.reader, self.writer.backlog)
        self._ended = {step.id: loop.create_future() for step in steps}
        return list(await asyncio.gather(*(self._run_one(step) for step in steps)))

    def so_far(self, steps: Sequence[Step]) -> list[Outcome]:
        """Outcomes of a cancelled run: a call in flight counts as failed, and EC2 may have acted. Tells those."""
        return [
            ended.result()
            if (ended := self._ended[step.id]).done() and not ended.cancelled()
            else self._told_cut_off(step)
            for step in steps
        ]

    def _told_cut_off(self, step: Step) -> Outcome:
        outcome = self._placed(self._cut_off(step))
        self._say(step, outcome.status, outcome=outcome)
        return outcome

    def _cut_off(self, step: Step) -> Outcome:
        """The outcome of a step that the cancelled run did not end."""
        state = self._states.get(step.id)
        if state is None:
            return Outcome(step, Status.SKIPPED, error=_NOT_BEGUN, stopped=True)
        seconds = asyncio.get_running_loop().time() - state.began
        if not state.attempts or state.sent:
            return self._stopped(step, state, seconds)
        return Outcome(
            step, Status.FAILED, state.attempts, seconds, state.result_id, _UNKNOWN, acted=True, stopped=True
        )

    def _stopped(self, step: Step, state: _StepState, seconds: float) -> Outcome:
        """The outcome of a step that the end of the run ended, where it is known how far it got."""
        before = "before EC2 accepted the call" if state.attempts else "before the call"
        waits = f"waiting until {state.waits.words}" if state.waits else ""
        if state.sent:
            status, error = Status.SENT, f"sent; not yet ready: {waits}"
        elif state.acted:
            status, error = Status.FAILED, _UNKNOWN
        else:
            status, error = Status.SKIPPED, f"stopped {f'while {waits}' if waits else before}"
        return Outcome(
            step,
            status,
            state.attempts,
            seconds,
            state.result_id,
            error,
            acted=state.acted,
            stopped=True,
        )

    async def _run_one(self, step: Step) -> Outcome:
        outcome = self._placed(await self._outcome(step))
        outcome = replace(outcome, step=self._with_public_ip(step))
        self._say(step, outcome.status, outcome=outcome)
        self._ended[step.id].set_result(outcome)
        return outcome

    def _placed(self, outcome: Outcome) -> Outcome:
        """The outcome with when its step began, and the id of EC2's last answer to it."""
        state = self._states.get(outcome.step.id)
        if state is None:
            return outcome
        return replace(outcome, request_id=state.request_id, after=state.began - self.began)

    async def _outcome(self, step: Step) -> Outcome:
        ended = [await self._ended[each] for each in sorted(step.predecessors)]
        broken = [each for each in ended if each.step.id in step.needs and each.status is not Status.DONE]
        if broken:
            # A failure is the better reason.
            first = min(broken, key=lambda each: each.stopped)
            why = f"needs {first.step.id} ({first.step.call} for {first.step.address}), which {_end_of(first)}"
            replan = all(each.replan for each in broken)
            return Outcome(step, Status.SKIPPED, error=why, replan=replan, stopped=first.stopped)
        if self.stop.is_set():
            return Outcome(step, Status.SKIPPED, error=_NOT_BEGUN, stopped=True)
        loop = asyncio.get_running_loop()
        state = _StepState()
        self._states[step.id] = state
        try:
            self._say(step, "started")
            await self._do(step, state)
        except Stopped:
            return self._stopped(step, state, loop.time() - state.began)
        except Exception as error:  # noqa: BLE001 (a step that fails must not end the others)
            return self._failure(step, state, loop.time() - state.began, error)
        seconds, acted = loop.time() - state.began, state.attempts > 0
        return Outcome(step, Status.DONE, state.attempts, seconds, state.result_id, acted=acted)

    def _failure(self, step: Step, state: _StepState, seconds: float, error: Exception) -> Outcome:
        return Outcome(
            step,
            Status.FAILED,
            state.attempts,
            seconds,
            state.result_id,
            _told(error, step),
            _may_replan(error),
            state.acted,
            stopped=isinstance(error, LostLockError),
        )

    async def _do(self, step: Step, state: _StepState) -> None:
        """Wait, call, remember, wait."""
        for expect in step.when:
            await self._await(expect, step if expect.timeout else None)
        if step.unless is not None and await self._came_by_itself(step, step.unless):
            return
        state.waits = None
        await self._call(step, state, _resolved(step.params, self._values))
        state.sent = True
        if step.until is not None:
            self._wait(step, step.until)
            found = await self._until(step, step.until, state)
            self._values.update(_picked(step.sees, found, step.until.describe, step.address))

    async def _until(self, step: Step, until: Expect, state: _StepState) -> Mapping[str, Any]:
        """Wait for the end of a step. If what its token returned is gone, the call is made again."""
        while step.proof is not None and state.spent < _LONGEST_CHAIN:
            try:
                return await self._await(replace(until, timeout=min(_UNSEEN, self.settle)))
            except WaitFailed as failure:
                if not failure.late:
                    raise
            visible = await self._holds(replace(until, has=(), never=()))
            if visible or not await self._made_anew(step, step.proof, state):
                break
        return await self._await(until)

    async def _made_anew(self, step: Step, proof: Proof, state: _StepState) -> bool:
        """Make the call again if the resource that its token returned is gone, rather than too new to be seen.

        EC2 itself is the judge: it refuses a second create with, e.g., the same private address while the first
        one exists, whether describes show it or not.
        """
        params = _resolved(step.params, self._values)
        pins = {name: jmespath.search(path, state.answer) for name, path in proof.pins.items()}
        if None in pins.values():
            return False
        try:
            await self._call_with_next_token(step, state, params | pins)
        except Fault as fault:
            if fault.meaning not in (Meaning.REPLAN, Meaning.REFUSED):
                raise
            if not await self._has_other_holder(step, proof, state):
                return False
            await self._call_with_next_token(step, state, params)
        return True

    async def _has_other_holder(self, step: Step, proof: Proof, state: _StepState) -> bool:
        """Whether another resource has what the one that the token returned had. It may be new, too."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.settle, _LOOK_PAUSE
        filters = [
            {"Name": name, "Values": [jmespath.search(path, state.answer)]} for name, path in proof.holder.items()
        ]
        id_key = listing_of(proof.describe).id_key
        while True:
            found = objects_in(proof.describe, await self.reader.read(proof.describe, {"Filters": filters}))
            if found or loop.time() >= deadline:
                return any(each.get(id_key) != self._values[Ref(step.address)] for each in found)
            await self._sleep(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_LOOK_PAUSE)

    async def _came_by_itself(self, step: Step, expect: Expect) -> bool:
        """Whether the condition came true without the call. Time that an interrupted run waited counts."""
        waited = self.journal.waited(step.address, fingerprint(_resolved(step.params, self._values)))
        await self.journal.flushed()
        try:
            await self._await(replace(expect, timeout=max(0.0, expect.timeout - waited)), step)
        except WaitFailed as failure:
            if not failure.late:
                raise
            return False
        return True

    async def _await(self, expect: Expect, step: Step | None = None) -> Mapping[str, Any]:
        if step is not None:
            self._wait(step, expect)
        return await until_stopped(self._poller.wait(self._filled(expect)), self.stop)

    def _wait(self, step: Step, expect: Expect) -> None:
        """Tell for what a step waits from now on."""
        waits = self._states[step.id].waits = self._filled(expect)
        self._say(step, "waiting", waits=waits)

    def _filled(self, expect: Expect) -> Expect:
        has = tuple((path, tuple(_resolved(values, self._values))) for path, values in expect.has)
        return replace(expect, id=_resolved(expect.id, self._values), has=has)

    async def _call(self, step: Step, state: _StepState, params: dict[str, Any]) -> None:
        """Make the call, with these parameters, until EC2 has acted, and remember the values that it yields."""
        natural = step.look is not None and step.look.natural_key
        state.unanswered, state.losses = natural and self.journal.has_open_create(step.address), 0
        async for trial in retrying(_is_repeated, self._sleep, queue=self.writer.queue):
            with trial:
                made = await self._attempt_along_the_chain(step, params, state)
        self._values.update(made)
        if public_ip := state.answer.get("PublicIp"):
            self._public_ips[step.address] = public_ip
        state.result_id = made.get(Ref(step.address))

    async def _call_with_next_token(self, step: Step, state: _StepState, params: dict[str, Any]) -> None:
        before, state.token = state.token, self._next_token(step, params, state)
        try:
            await self._call(step, state, params)
        except Fault:
            state.token = before
            raise

    def _next_token(self, step: Step, params: dict[str, Any], state: _StepState) -> str:
        state.spent += 1
        return self.journal.token(step.address, step.call, fingerprint(params), after=state.token)

    async def _attempt_along_the_chain(self, step: Step, params: dict[str, Any], state: _StepState) -> Values:
        """An attempt with the first ClientToken that does not stand for a resource that is gone."""
        while True:
            try:
                return await self._attempt(step, params, state)
            except Fault as fault:
                if fault.meaning is not Meaning.TOKEN_CONFLICT or state.spent >= _LONGEST_CHAIN:
                    raise
                state.token, state.unanswered = self._next_token(step, params, state), False

    async def _attempt(self, step: Step, params: dict[str, Any], state: _StepState) -> Values:
        if state.unanswered and state.attempts:
            found = await self._made_or_done(step, state)
            if found is not None:
                return self._remember(step, found)
        if self.stop.is_set():
            raise Stopped
        # A call that waits for EC2's pace is not in flight: a stop ends it.
        await until_stopped(self.writer.turn(step.call), self.stop)
        state.attempts += 1
        request = self._announce(step, params, state)
        await self.journal.flushed()
        try:
            response = await self.writer.write(step.call, request)
        except Fault as fault:
            self.journal.answered(step.address, step.call, fault.code)
            state.request_id = fault.request_id
            return await self._handle(fault, step, state)
        state.acted, state.answer = True, response
        state.request_id = response.get("ResponseMetadata", {}).get("RequestId")
        if not _creates(step):
            self.journal.answered(step.address, step.call, None)
        if _is_ended(step, response):
            words = "the ClientToken stands for a resource that has ended"
            raise Fault(step.call, "EndedResource", words, Meaning.TOKEN_CONFLICT, 0.0)
        return self._remember(step, _picked(step.yields, response, step.call, step.address))

    def _announce(self, step: Step, params: dict[str, Any], state: _StepState) -> dict[str, Any]:
        """Write the call into the journal before it is sent; the answer is the request, with its ClientToken."""
        if not _creates(step):
            self.journal.calling(step.address, step.call)
            return params
        digest = fingerprint(params)
        if step.token and state.token is None:
            state.token = self._first_token(step, digest)
        self.journal.intend(step.address, step.call, digest, state.token)
        return {**params, "ClientToken": state.token} if state.token else params

    def _first_token(self, step: Step, digest: str) -> str:
        # After a proof, the token depends on what EC2 has answered to the first one: no shortcut leads there.
        if step.proof is not None:
            return self.journal.token(step.address, step.call, digest)
        return self.journal.likely_token(step.address, step.call, digest, settle=self.settle)

    async def _handle(self, fault: Fault, step: Step, state: _StepState) -> Values:
        """What the call made if the fault means success; otherwise raises the fault, with its final meaning."""
        if fault.meaning is Meaning.DONE:
            return {}
        if fault.meaning is Meaning.ALREADY_EXISTS and state.unanswered:
            if step.look is None:
                return {}
            if found := await self._find(step.look, step.address, self.settle):
                return self._remember(step, found)
        if fault.meaning is Meaning.DENIED_OR_GONE and await self._is_gone(step):
            return {}
        if fault.meaning is Meaning.NOT_READY_OR_GONE:
            raise fault.meaning_as(Meaning.REPLAN if await self._has_ended(step) else Meaning.WAIT)
        new_ids = {self._values[ref] for ref in refs_in(step.params)}
        meaning = final_meaning(fault, step, unanswered=state.unanswered, new_ids=new_ids, spec_ids=self.spec_ids)
        if meaning is Meaning.WAIT and fault.code.endswith(".NotFound"):
            meaning = await self._new_or_gone(ids_in(fault.message) & new_ids or new_ids, state)
        if fault.meaning is Meaning.OUTCOME_UNKNOWN:
            state.acted, state.losses = True, state.losses + 1
            if step.once and await self._has_acted(step):
                return {}
            state.unanswered = state.unanswered or not step.once
        elif _creates(step) and not state.unanswered and meaning is not Meaning.TOKEN_CONFLICT:
            self.journal.failed(step.address)
        raise fault.meaning_as(meaning)

    async def _new_or_gone(self, ids: AbstractSet[str], state: _StepState) -> Meaning:
        """WAIT while new resources may be too new for EC2 to know them; REPLAN if one is gone.

        Another run or tool may have deleted it: after the settle time, a describe call decides.
        """
        now = asyncio.get_running_loop().time()
        state.unknown_since = now if state.unknown_since is None else state.unknown_since
        if now - state.unknown_since < self.settle:
            return Meaning.WAIT
        for each in sorted(ids):
            describe = describe_of(each)
            if describe is not None and not await self._holds(Expect(describe, each)):
                return Meaning.REPLAN
        return Meaning.WAIT

    async def _made_or_done(self, step: Step, state: _StepState) -> Values | None:
        """What the unanswered attempts have made or done, if a describe shows it; else None: call again."""
        look = step.look
        if look is not None and not (step.token or look.natural_key):
            found = await self._find(look, step.address, self.settle)
            state.unanswered = found is not None
            return found
        if state.losses < _LOSSES:
            return None
        if look is not None:
            return await self._find(look, step.address, 0.0)
        return {} if await self._is_done(step, state) else None

    async def _is_done(self, step: Step, state: _StepState) -> bool:
        """Whether an unanswered change took effect."""
        if step.until is not None:
            return not step.yields and await self._holds(step.until)
        # This takes a whole read of the live state.
        return state.losses % _LOSSES == 0 and not await self.is_needed(step)

    async def _has_acted(self, step: Step) -> bool:
        """Whether an unanswered call took effect; if it did, that is visible within the settle time."""
        if step.until is None:
            await self._sleep(self.settle)
            return False
        try:
            await self._await(replace(step.until, timeout=self.settle), step)
        except WaitFailed as failure:
            if not failure.late:
                raise
            return False
        return True

    async def _is_gone(self, step: Step) -> bool:
        """Whether the resource that the call was to remove is gone, as far as ``until`` shows."""
        return step.until is not None and step.until.gone and await self._holds(step.until)

    async def _holds(self, expect: Expect) -> bool:
        """Whether a condition is met now."""
        try:
            await self._await(replace(expect, timeout=0.0))
        except WaitFailed:
            return False
        return True

    async def _has_ended(self, step: Step) -> bool:
        """Whether the call can no longer succeed because the resource has ended, as far as ``until`` tells."""
        if step.until is None:
            return False
        try:
            await self._await(replace(step.until, timeout=0.0))
        except WaitFailed as failure:
            return not failure.late
        return False

    def _remember(self, step: Step, made: Values) -> Values:
        if _creates(step) and Ref(step.address) in made:
            self.journal.made(step.address, made[Ref(step.address)])
        return made

    async def _find(self, look: Look, address: str, seconds: float) -> Values | None:
        """What an unanswered create has made, if that is visible within so many seconds. Raises AmbiguityError."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + seconds, _LOOK_PAUSE
        while True:
            response = await self.reader.read(look.describe, {"Filters": list(look.filters)})
            found = objects_in(look.describe, response)
            if len(found) > 1:
                ids = sorted(str(each.get(listing_of(look.describe).id_key)) for each in found)
                raise AmbiguityError(
                    f"several live resources of this stack have the address {address}: {', '.join(ids)}",
                    hint="keep one of them: delete the others, or remove their ownership tags, and run again",
                )
            if found:
                return _picked(look.yields, found[0], look.describe, address)
            if loop.time() >= deadline:
                return None
            await self._sleep(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_LOOK_PAUSE)

    async def _sleep(self, seconds: float) -> None:
        await until_stopped(asyncio.sleep(seconds), self.stop)

    def _with_public_ip(self, step: Step) -> Step:
        """The step with the address of an Elastic IP that this run has allocated."""
        public_ip = self._public_ips.get(step.address)
        return replace(step, public_ip=public_ip) if public_ip else step

    def _say(
        self, step: Step, status: str, *, outcome: Outcome | None = None, waits: Expect | None = None
    ) -> None:
        event: dict[str, Any] = {
            "type": "step",
            "id": step.id,
            "call": step.call,
            "address": step.address,
            "summary": step.summary,
            "status": str(status),
        }
        if public_ip := self._with_public_ip(step).public_ip:
            event["public_ip"] = public_ip
        if waits is not None:
            event["until"] = waits.words
        if outcome is not None:
            event |= {
                "attempts": outcome.attempts,
                "seconds": round(outcome.seconds, 3),
                "result_id": outcome.result_id,
                "error": outcome.error,
                **({"stopped": True} if outcome.stopped else {}),
            }
        self.tell(event)


def _creates(step: Step) -> bool:
    return step.token or step.look is not None


def _is_ended(step: Step, response: Mapping[str, Any]) -> bool:
    """Whether EC2 has answered the ClientToken of a create with a resource that has ended."""
    if not step.token or step.until is None:
        return False
    shown = jmespath.search(step.yields[Ref(step.address)].rpartition(".")[0], response) or {}
    return any(jmespath.search(expression, shown) in values for expression, values in step.until.never)


def _is_repeated(error: BaseException) -> bool:
    return isinstance(error, Fault) and error.meaning in _REPEATED


def final_meaning(
    fault: Fault,
    step: Step,
    *,
    unanswered: bool,
    new_ids: AbstractSet[str],
    spec_ids: AbstractSet[str] = frozenset(),
) -> Meaning:
    """The meaning of a fault for this step, where the table of faults cannot decide it.

    ``unanswered`` says that an earlier attempt got no answer, ``new_ids`` are the ids in the step's parameters
    that this run made, ``spec_ids`` those that the spec names.
    """
    if fault.meaning is Meaning.DENIED_OR_GONE:
        # The resource is still there, or an earlier attempt of ours may have removed it.
        return Meaning.REPLAN if unanswered else Meaning.REFUSED
    if fault.meaning is Meaning.OUTCOME_UNKNOWN and step.once and step.until is None:
        # The call must not be repeated, and no describe call shows whether EC2 executed it.
        return Meaning.REPLAN
    if fault.meaning is Meaning.WAIT and fault.code.endswith(".NotFound"):
        # Only a resource that this run made can be too new to be found; any other is gone.
        named = ids_in(fault.message)
        if named & spec_ids:
            # A new plan would name the same id.
            return Meaning.REFUSED
        too_new = named & new_ids if named else new_ids
        return Meaning.WAIT if too_new else Meaning.REPLAN
    return fault.meaning


def ids_in(text: str) -> frozenset[str]:
    """The EC2 ids (``eni-…``, ``sg-…``) in a text."""
    return frozenset(_ID.findall(text))


def _may_replan(error: Exception) -> bool:
    """Whether a new plan may succeed where this error ended a step."""
    if isinstance(error, Fault):
        return error.meaning in _REPLANNED
    # If EC2 gave up (e.g. a failed launch), a repeat would fail again; and a condition that was not met in a long
    # time (e.g. the guest does not release an interface) is not waited for again.
    return isinstance(error, WaitFailed) and error.late and error.expect.timeout < _LONG_WAIT


def _end_of(outcome: Outcome) -> str:
    if outcome.stopped:
        return "was stopped"
    return "failed" if outcome.status is Status.FAILED else "was skipped"


def _told(error: Exception, step: Step) -> str:
    """The error of a step as the user reads it."""
    if isinstance(error, Fault):
        return str(error.error(step.address))
    if isinstance(error, (WaitFailed, EnireconcileError)):
        return str(error)
    log.debug("step %s", step.id, exc_info=error)
    return f"this is a bug in enireconcile: {type(error).__name__}: {printable(str(error))}"


def _picked(paths: Mapping[Ref, str], found: Mapping[str, Any], call: str, address: str) -> Values:
    """The values that JMESPath ``paths`` select from an answer of ``call``. Raises AwsError if one is missing."""
    values = {ref: jmespath.search(path, found) for ref, path in paths.items()}
    missing = [str(ref) for ref, value in values.items() if value is None]
    if missing:
        raise AwsError(call, "IncompleteAnswer", f"EC2's answer lacks {', '.join(missing)}", address=address)
    return values


def _resolved(value: Any, values: Values) -> Any:
    """Parameters with every Ref replaced by the value that its step has yielded."""
    if isinstance(value, Ref):
        return values[value]
    if isinstance(value, Template):
        return "".join(_resolved(value.parts, values))
    if isinstance(value, Secret):
        return Secret(_resolved(value.value, values))
    if isinstance(value, Digest):
        return _resolved(value.of, values).digest
    if isinstance(value, Mapping):
        return {key: _resolved(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolved(item, values) for item in value]
    return value
