"""Several stacks in one command: those of different accounts and Regions at the same time."""

from __future__ import annotations

import gc
import queue
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct

from enireconcile.cli.session import Connection
from enireconcile.cli.signals import Branch, Interrupt, begun, branches_of
from enireconcile.engine.lanes import run_in_lanes
from enireconcile.errors import EnireconcileError, StoppedError
from enireconcile.outputs.turns import Turns
from enireconcile.spec import Spec

R = TypeVar("R")
Place = tuple[str | None, str | None]
"""An account and a Region, as far as they are known before the first call."""


class _Question(Struct, frozen=True):
    number: int
    question: Callable[[], bool]
    answer: Future[bool]


@dataclass
class Several(Generic[R]):
    """Does ``work`` for each spec: up to ``jobs`` at once, and one after another in an account and Region.

    ``work`` gets the spec and what stops it; in a thread of its own if there are several at once. What it prints
    is whole, and in the order of the specs. ``ends`` says of a result whether no further stack is to begin, once
    something stops the command.
    ``regions`` are those of specs that are not run in their own, by file.
    """

    work: Callable[[Spec, Interrupt], R]
    connection: Connection
    interrupt: Interrupt
    jobs: int
    ends: Callable[[R], bool] = lambda _: False
    regions: Mapping[str, str] | None = None

    def run(self, specs: Sequence[Spec]) -> list[R]:
        """The results of the specs that were begun, in their order. Raises what ``work`` raises."""
        if len(specs) > 1:
            # Closed sessions leave many cycles.
            gc.set_threshold(500_000, 20, 20)
        places = places_of(specs, self.connection, self.regions or {})
        if min(self.jobs, len(set(places))) < 2:
            return self._one_by_one(specs)
        return self._at_once(specs, places)

    def _one_by_one(self, specs: Sequence[Spec]) -> list[R]:
        results: list[R] = []
        for spec in specs:
            results.append(self.work(spec, self.interrupt))
            if self.interrupt.reason and self.ends(results[-1]):
                break
        return results

    def _at_once(self, specs: Sequence[Spec], places: Sequence[Hashable]) -> list[R]:
        turns, questions = Turns(len(specs)), queue.SimpleQueue[_Question]()
        asked: list[_Question] = []
        results: dict[int, R] = {}
        errors: list[BaseException] = []

        def branch(number: int) -> Branch:
            def put(question: Callable[[], bool]) -> bool:
                answer: Future[bool] = Future()
                questions.put(_Question(number, question, answer))
                return answer.result()

            return Branch(self.interrupt, put)

        branches = [branch(number) for number in range(len(specs))]

        def begin(number: int) -> Future[R]:
            def work() -> R:
                with turns.of(number):
                    return self.work(specs[number], branches[number])

            return begun(work)

        def ended(number: int, future: Future[R]) -> bool:
            if error := future.exception():
                errors.append(error)
            else:
                results[number] = future.result()
            return True

        def goes_on() -> bool:
            while not questions.empty():
                asked.append(questions.get())
            self._answer(asked, turns, given_up=bool(errors))
            over = self.interrupt.reason and any(self.ends(result) for result in results.values())
            return not (errors or over)

        try:
            with branches_of(self.interrupt, branches):
                run_in_lanes(range(len(specs)), places.__getitem__, begin, ended, jobs=self.jobs, goes_on=goes_on)
        finally:
            turns.end()
        if errors:
            raise errors[0]
        return [results[number] for number in sorted(results)]

    def _answer(self, asked: list[_Question], turns: Turns, *, given_up: bool) -> None:
        """Ask the user, in the main thread, what the stack asks whose turn it is; all others wait for theirs.

        If the command has ``given_up``, some turn may never come.
        """
        for each in [*asked]:
            if not (given_up or self.interrupt.reason or turns.is_printed(each.number)):
                continue
            asked.remove(each)
            try:
                if self.interrupt.reason:
                    raise self.interrupt.stopped("waited for approval")
                if given_up:
                    raise StoppedError("stopped by an error of another stack; nothing was changed")
                each.answer.set_result(self.interrupt.ask(each.question))
            except StoppedError as error:
                each.answer.set_exception(error)


def places_of(specs: Sequence[Spec], connection: Connection, regions: Mapping[str, str]) -> list[Place]:
    """The account and Region of each spec.

    A spec that names no account may be in that of any other: all of its Region are in one place.
    """
    known = [regions.get(spec.file) or connection.region or spec.document.region for spec in specs]
    default = _default_region(connection) if None in known and any(known) else None
    places = [(spec.document.account, region or default) for spec, region in zip(specs, known, strict=True)]
    shared = {region for account, region in places if account is None}
    return [(None if region in shared else account, region) for account, region in places]


def _default_region(connection: Connection) -> str | None:
    from enireconcile.aws.session import connect

    try:
        return connect(region=None, profile=connection.profile, boto=connection.boto).region
    except EnireconcileError:
        # The stacks without a Region say so when they run.
        return None
