"""The only place that changes the world: one generic loop over the steps of a plan. Knows nothing of kinds.

Every step runs as soon as the steps that it needs are done. Whoever needs a step that failed is skipped, and says
whose fault it was. One layer repeats calls, this one, by the meaning that the table of faults gives to an error:

- not executed (throttled, not sent, the world needs a moment): the same call again, after a pause;
- perhaps executed: the same call again if a repeat cannot make a second one (a ClientToken, a natural key, a
  call that sets something); else look for what it may have made, for as long as that may stay invisible, and only
  then call again;
- so already: done, if an earlier attempt of ours went unanswered, else the world has moved: plan anew.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import jmespath

from enireconcile.aws.faults import Fault, Meaning
from enireconcile.aws.poller import Poller, WaitFailed, objects_in
from enireconcile.aws.retry import (
    retrying,
)
from enireconcile.errors import AmbiguityError, AwsError, EnireconcileError
from enireconcile.model import Expect, Look, Outcome, Reads, Ref, Status, Step, fingerprint, refs_in

log = logging.getLogger("enireconcile.execute")
T = TypeVar("T")
Values = dict[Ref, str]
_AGAIN = frozenset({Meaning.THROTTLED, Meaning.RETRY, Meaning.OUTCOME_UNKNOWN, Meaning.WAIT})
_ID = re.compile(r"\b(?:[a-z]+-)+[0-9a-f]{8,17}\b")
_LOOK_PAUSE = 0.25
_LONGEST_LOOK_PAUSE = 5.0
_LONG = 600.0


class Writes(Protocol):
    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]: ...


class Remembers(Protocol):
    """The journal, as far as executing needs it."""

    def recalls_open(self, address: str) -> bool: ...
    def token(self, address: str, call: str, digest: str, *, fresh: bool = False, settle: float = 0.0) -> str: ...
    def intend(self, address: str, call: str, digest: str, token: str | None) -> None: ...
    def made(self, address: str, result: str) -> None: ...
    def failed(self, address: str) -> None: ...
    def waited(self, address: str, digest: str) -> float: ...
    def calling(self, address: str, call: str) -> None: ...
    def answered(self, address: str, call: str, error: str | None) -> None: ...
    async def flushed(self) -> None: ...


class Stopped(Exception):
    """The user asked to stop: nothing new is begun."""


@dataclass
class _Try:
    """The memory of one step's attempts."""

    attempts: int = 0
    unsure: bool = False
    fresh: bool = False
    token: str | None = None
    acted: bool = False
    result_id: str | None = None


@dataclass
class Executor:
    """Runs plans. ``settle`` is how many seconds something new may stay invisible to describes.

    ``tell`` gets an event (a dict of plain values) when a step starts, waits and ends; ``stop`` ends the run
    after the calls that are in flight.
    """

    reader: Reads
    writer: Writes
    journal: Remembers
    stop: asyncio.Event
    tell: Callable[[Mapping[str, Any]], None]
    settle: float
    _values: Values = field(default_factory=dict)
    _ended: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    _tries: dict[str, _Try] = field(default_factory=dict)

    async def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """All outcomes, in the order of the steps."""
        loop = asyncio.get_running_loop()
        self._poller = Poller(self.reader)
        self._ended = {step.id: loop.create_future() for step in steps}
        return list(await asyncio.gather(*(self._run_one(step) for step in steps)))

    def so_far(self, steps: Sequence[Step]) -> list[Outcome]:
        """Outcomes of a run that was cancelled: what is in flight has failed, as far as one knows."""
        return [
            ended.result()
            if (ended := self._ended[step.id]).done() and not ended.cancelled()
            else self._left(step)
            for step in steps
        ]

    def _left(self, step: Step) -> Outcome:
        trying = self._tries.get(step.id)
        if trying is None:
            return Outcome(step, Status.SKIPPED, error="stopped before it began")
        if not trying.attempts:
            return Outcome(step, Status.FAILED, error="stopped while waiting")
        called = "called, and not waited for"
        return Outcome(step, Status.FAILED, trying.attempts, result_id=trying.result_id, error=called, acted=True)

    async def _run_one(self, step: Step) -> Outcome:
        outcome = await self._outcome(step)
        self._say(step, outcome.status, outcome=outcome)
        self._ended[step.id].set_result(outcome)
        return outcome

    async def _outcome(self, step: Step) -> Outcome:
        needed = [await self._ended[need] for need in sorted(step.needs)]
        broken = [outcome for outcome in needed if outcome.status is not Status.DONE]
        if broken:
            first = broken[0].step
            verb = "failed" if broken[0].status is Status.FAILED else "was skipped"
            why = f"needs {first.id} ({first.call} for {first.address}), which {verb}"
            return Outcome(step, Status.SKIPPED, error=why, replan=all(o.replan for o in broken))
        if self.stop.is_set():
            return Outcome(step, Status.SKIPPED, error="stopped before it began")
        loop = asyncio.get_running_loop()
        trying, began = _Try(), loop.time()
        self._tries[step.id] = trying
        try:
            self._say(step, "started")
            await self._do(step, trying)
        except Fault as fault:
            replan = fault.meaning in {Meaning.REPLAN, Meaning.ALREADY_EXISTS, Meaning.TOKEN_CONFLICT}
            return self._failure(step, trying, began, fault.error(step.address), replan)
        except WaitFailed as missed:
            # What went down by itself (a launch that EC2 gave up, say) is told, not tried over and over. Nor is it
            # waited for again what has not come in a long time (a guest that holds on to an interface, say).
            return self._failure(step, trying, began, missed, missed.late and missed.expect.timeout < _LONG)
        except Stopped:
            said = "called, but stopped before it had come about" if trying.acted else "stopped while waiting"
            return self._failure(step, trying, began, Stopped(said), False)
        except EnireconcileError as error:
            return self._failure(step, trying, began, error, False)
        except Exception as error:
            log.debug("step %s", step.id, exc_info=True)
            bug = f"this is a bug in enireconcile: {type(error).__name__}: {error}"
            return self._failure(step, trying, began, EnireconcileError(bug), False)
        seconds, acted = loop.time() - began, trying.attempts > 0
        return Outcome(step, Status.DONE, trying.attempts, seconds, trying.result_id, acted=acted)

    def _failure(self, step: Step, trying: _Try, began: float, error: Exception, replan: bool) -> Outcome:
        seconds = asyncio.get_running_loop().time() - began
        return Outcome(
            step, Status.FAILED, trying.attempts, seconds, trying.result_id, str(error), replan, trying.acted
        )

    async def _do(self, step: Step, trying: _Try) -> None:
        """Wait, call, remember, wait."""
        for expect in step.when:
            await self._await(expect)
        if step.unless is not None and await self._came_by_itself(step, step.unless):
            return
        made = await self._call(step, trying)
        self._values.update(made)
        trying.result_id = made.get(Ref(step.address))
        if step.until is not None:
            found = await self._await(step.until, step)
            self._values.update(_picked(step.sees, found))

    async def _came_by_itself(self, step: Step, expect: Expect) -> bool:
        """Is the call not needed? A run that was cut short has waited, too."""
        waited = self.journal.waited(step.address, fingerprint(_resolved(step.params, self._values)))
        await self.journal.flushed()
        try:
            await self._await(replace(expect, timeout=max(0.0, expect.timeout - waited)), step)
        except WaitFailed as missed:
            if not missed.late:
                raise
            return False
        return True

    async def _await(self, expect: Expect, step: Step | None = None) -> Mapping[str, Any]:
        if step is not None:
            self._say(step, "waiting")
        return await self._unless_stopped(self._poller.wait(self._filled(expect)))

    def _filled(self, expect: Expect) -> Expect:
        return replace(expect, id=self._values[expect.id]) if isinstance(expect.id, Ref) else expect

    async def _call(self, step: Step, trying: _Try) -> Values:
        natural = step.look is not None and step.look.natural_key
        trying.unsure = natural and self.journal.recalls_open(step.address)
        params = _resolved(step.params, self._values)
        young = {self._values[ref] for ref in refs_in(step.params)}
        async for trial in retrying(lambda error: _again(error, young), self._sleep):
            with trial:
                try:
                    return await self._attempt(step, params, trying)
                except Fault as fault:
                    if fault.meaning is not Meaning.TOKEN_CONFLICT or trying.fresh:
                        raise
                    trying.fresh, trying.token = True, None
                    return await self._attempt(step, params, trying)
        raise AssertionError("unreachable")

    async def _attempt(self, step: Step, params: dict[str, Any], trying: _Try) -> Values:
        look = step.look
        if look is not None and trying.unsure and trying.attempts and not look.natural_key:
            if found := await self._find(look, self.settle):
                return self._remember(step, found)
            trying.unsure = False
        if self.stop.is_set():
            raise Stopped
        trying.attempts += 1
        request = self._announce(step, params, trying)
        await self.journal.flushed()
        try:
            response = await self.writer.write(step.call, request)
        except Fault as fault:
            self.journal.answered(step.address, step.call, fault.code)
            return await self._answer(step, fault, trying)
        trying.acted = True
        if not _creates(step):
            self.journal.answered(step.address, step.call, None)
        return self._remember(step, _picked(step.yields, response))

    def _announce(self, step: Step, params: dict[str, Any], trying: _Try) -> dict[str, Any]:
        """Write a call into the journal before it leaves, a create with the token that it carries."""
        if not _creates(step):
            self.journal.calling(step.address, step.call)
            return params
        digest = fingerprint(params)
        if step.token and trying.token is None:
            trying.token = self.journal.token(
                step.address, step.call, digest, fresh=trying.fresh, settle=self.settle
            )
        self.journal.intend(step.address, step.call, digest, trying.token)
        return {**params, "ClientToken": trying.token} if trying.token else params

    async def _answer(self, step: Step, fault: Fault, trying: _Try) -> Values:
        """What an error of this attempt amounts to; raises it when it is one."""
        if fault.meaning is Meaning.DONE:
            return {}
        if fault.meaning is Meaning.ALREADY_EXISTS and trying.unsure:
            if step.look is None:
                return {}
            if found := await self._find(step.look, self.settle):
                return self._remember(step, found)
        if fault.meaning is Meaning.DENIED_OR_GONE:
            if await self._is_gone(step):
                return {}
            # An earlier attempt of ours may be what took it away.
            fault.meaning = Meaning.REPLAN if trying.unsure else Meaning.REFUSED
        if fault.meaning is Meaning.OUTCOME_UNKNOWN and step.once:
            trying.acted = True
            if await self._has_acted(step):
                return {}
            if step.until is None:
                fault.meaning = Meaning.REPLAN
        elif fault.meaning is Meaning.OUTCOME_UNKNOWN:
            trying.unsure = trying.acted = True
        elif _creates(step) and not trying.unsure and fault.meaning is not Meaning.TOKEN_CONFLICT:
            self.journal.failed(step.address)
        raise fault

    async def _has_acted(self, step: Step) -> bool:
        """Has a call that went unanswered done what it should? If it has, that shows within the settle time."""
        if step.until is None:
            await self._sleep(self.settle)
            return False
        try:
            await self._await(replace(step.until, timeout=self.settle), step)
        except WaitFailed as missed:
            if not missed.late:
                raise
            return False
        return True

    async def _is_gone(self, step: Step) -> bool:
        """Is what the call was to take away no longer there, as far as the step says how one sees that?"""
        if step.until is None or not step.until.gone:
            return False
        try:
            await self._await(replace(step.until, timeout=0.0))
        except WaitFailed:
            return False
        return True

    def _remember(self, step: Step, made: Values) -> Values:
        if _creates(step) and Ref(step.address) in made:
            self.journal.made(step.address, made[Ref(step.address)])
        return made

    async def _find(self, look: Look, patience: float) -> Values | None:
        """What an unanswered create has made, if it shows up within ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + patience, _LOOK_PAUSE
        while True:
            response = await self.reader.read(look.describe, {"Filters": list(look.filters)})
            found = objects_in(look.describe, response)
            if len(found) > 1:
                raise AmbiguityError(f"{len(found)} live resources answer to {look.filters}")
            if found:
                return _picked(look.yields, found[0])
            if loop.time() >= deadline:
                return None
            await self._sleep(min(pause, max(deadline - loop.time(), 0.01)))
            pause = min(pause * 1.5, _LONGEST_LOOK_PAUSE)

    async def _sleep(self, seconds: float) -> None:
        await self._unless_stopped(asyncio.sleep(seconds))

    async def _unless_stopped(self, waiting: Awaitable[T]) -> T:
        task = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return await task
        finally:
            task.cancel()
            stop.cancel()

    def _say(self, step: Step, status: str, *, outcome: Outcome | None = None) -> None:
        event: dict[str, Any] = {
            "type": "step",
            "id": step.id,
            "call": step.call,
            "address": step.address,
            "status": str(status),
        }
        if outcome is not None:
            event |= {
                "attempts": outcome.attempts,
                "seconds": round(outcome.seconds, 3),
                "result_id": outcome.result_id,
                "error": outcome.error,
            }
        self.tell(event)


def _creates(step: Step) -> bool:
    return step.token or step.look is not None


def _again(error: BaseException, young: AbstractSet[str]) -> bool:
    """Is the same call worth repeating? What was not made just now and is not found has gone."""
    if not isinstance(error, Fault) or error.meaning not in _AGAIN:
        return False
    if error.meaning is Meaning.WAIT and error.code.endswith(".NotFound"):
        named = set(_ID.findall(error.message))
        if not (named & young if named else young):
            error.meaning = Meaning.REPLAN
            return False
    return True


def _picked(paths: Mapping[Ref, str], found: Mapping[str, Any]) -> Values:
    values = {ref: jmespath.search(path, found) for ref, path in paths.items()}
    missing = [str(ref) for ref, value in values.items() if value is None]
    if missing:
        raise AwsError("answer", "Incomplete", f"EC2's answer lacks {', '.join(missing)}")
    return values


def _resolved(value: Any, values: Values) -> Any:
    """Parameters with every Ref replaced by what its step has yielded."""
    if isinstance(value, Ref):
        return values[value]
    if isinstance(value, Mapping):
        return {key: _resolved(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolved(item, values) for item in value]
    return value
