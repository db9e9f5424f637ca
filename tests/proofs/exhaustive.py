"""Proofs by trying everything: all pairs of (live, desired) states of a small world, but for their names.

Pairs that differ in names only say the same thing. A world has a group of relabellings, each of which acts on the
live and on the desired state of a pair alike. Of the desired states one of each orbit is taken. Each of these is
met with live states of which one is taken, in turn, of each orbit under the relabellings that change nothing about
the wish: whatever pair there is, a relabelling leads to one that is tried.

So every state in which a plan can be cut off is itself, in other names, one of the states from which a plan is
tried, with the same wish. That each plan ends well, and passes through nothing but states, shows that stopping
after any step and running again ends well, however often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import pairwise, product
from typing import Any, Generic, TypeAlias, TypeVar

from enireconcile.live.records import Live
from enireconcile.model import Impact, Step
from enireconcile.planning.draft import make_plan
from enireconcile.spec import Spec
from tests.planning.simulator import Ec2

from .conftest import Proofs

S = TypeVar("S")
"""A state: hashable, in an order of its own."""

Relabelling: TypeAlias = Callable[[S], S]
"""The same situation in other names."""
Call: TypeAlias = tuple[str, str]
"""What EC2 calls it, and the address on whose behalf it is made."""
Placing: TypeAlias = tuple[int, ...]
"""Where the first, the second, the third one is; ``NOWHERE`` if it is in no place."""
NOWHERE = -1


def placings(things: int, places: int) -> Iterator[Placing]:
    """All ways to put things in places, no two in one."""
    for placing in product(range(NOWHERE, places), repeat=things):
        taken = [place for place in placing if place != NOWHERE]
        if len(set(taken)) == len(taken):
            yield placing


def relabelled(placing: Placing, things: Placing, places: Placing) -> Placing:
    """The same placing in other numbers for things and places."""
    moved = [NOWHERE] * len(placing)
    for thing, place in enumerate(placing):
        moved[things[thing]] = NOWHERE if place == NOWHERE else places[place]
    return tuple(moved)


def told(placing: Placing) -> str:
    """``0_2`` for the first in place 0, the second nowhere, the third in place 2."""
    return "".join("_" if place == NOWHERE else str(place) for place in placing)


class SmallWorld(ABC, Generic[S]):
    """The states of a world, what leads from one to another, and the proof that the planner does just that."""

    states: tuple[S, ...]
    relabellings: tuple[Relabelling[S], ...]

    # ---- what it is

    @abstractmethod
    def live(self, state: S) -> Live:
        """What is read of a world in this state."""

    @abstractmethod
    def wish(self, state: S) -> Spec:
        """The spec that wants this state."""

    @abstractmethod
    def simulated(self, state: S) -> Ec2:
        """A simulated world in this state, with the ids that planning reads."""

    @abstractmethod
    def state_of(self, ec2: Ec2) -> S:
        """The state that a simulated world is in. All else about it must be as it always was."""

    @abstractmethod
    def work(self, live: S, desired: S) -> list[Call]:
        """The calls without which EC2 does not get from one state to the other, found without the planner."""

    @abstractmethod
    def things(self, state: S) -> Sequence[Any]:
        """How everything is that the spec has a wish about."""

    @abstractmethod
    def attached(self, state: S) -> frozenset[str]:
        """The addresses of the interfaces that are attached."""

    @abstractmethod
    def harmless(self, live: S, desired: S) -> bool:
        """Whether nothing that may be in use is taken away or moved."""

    # ---- all of it

    def keeping(self, state: S) -> tuple[Relabelling[S], ...]:
        """The relabellings that change nothing about a state."""
        return tuple(relabelling for relabelling in self.relabellings if relabelling(state) == state)

    def representatives(self, relabellings: Collection[Relabelling[S]]) -> dict[S, int]:
        """The first state of every orbit, and how many states the orbit has."""
        found: dict[S, int] = {}
        seen: set[S] = set()
        for state in self.states:
            if state not in seen:
                same = orbit(state, relabellings)
                found[state] = len(same)
                seen |= same
        return found

    @cached_property
    def wishes(self) -> dict[S, int]:
        """The desired states that are tried, and for how many each stands."""
        return self.representatives(self.relabellings)

    def met(self, desired: S) -> dict[S, int]:
        """The live states that are tried with a wish, and for how many each stands."""
        return self.representatives(self.keeping(desired))

    def pairs(self, desired: S) -> int:
        """For how many pairs those stand that are tried with a wish."""
        return self.wishes[desired] * sum(self.met(desired).values())

    def assert_whole(self) -> None:
        """The orbits of what is tried are disjoint, and their pairs add up to all pairs."""
        everything = Counter(self.states)
        assert set(everything.values()) == {1}
        for relabelling in self.relabellings:
            assert {relabelling(state) for state in self.states} == set(self.states)
        assert Counter(state for wish in self.wishes for state in orbit(wish, self.relabellings)) == everything
        for desired in self.wishes:
            keeping = self.keeping(desired)
            assert Counter(state for live in self.met(desired) for state in orbit(live, keeping)) == everything
        assert sum(map(self.pairs, self.wishes)) == len(self.states) ** 2

    def prove(self, desired: S, proofs: Proofs) -> None:
        """From anywhere to the wish, by the fewest calls, touching nothing that is right, wherever one stops."""
        spec, cuts, known = self.wish(desired), 0, frozenset(self.states)
        for live in self.met(desired):
            made = make_plan(spec, self.live(live))
            least = self.work(live, desired)
            assert sorted((step.call, step.address) for step in made.steps) == sorted(least), live
            assert made.empty is (live == desired), live
            assert made.empty or made.impact is (
                Impact.SAFE if self.harmless(live, desired) else Impact.DISRUPTIVE
            ), live
            told = {broken.address for broken in made.interruptions}
            for steps in (made.steps, latest_first(made.steps)):
                passed = [live, *self.stages(live, steps)]
                assert told == (self.attached(live) & self.attached(desired)).difference(
                    frozenset.intersection(*map(self.attached, passed))
                ), live
                assert passed[-1] == desired, live
                for number, (before, after) in enumerate(pairwise(passed), start=1):
                    assert after in known, live
                    # A cut costs nothing: what is left to do is what was left to do, or less.
                    assert len(self.work(after, desired)) <= len(least) - number, live
                    assert self._right(before, desired) <= self._right(after, desired), live
                cuts += len(steps)
        proofs.count("pairs of small worlds, up to their names", self.pairs(desired))
        proofs.count("cuts in small worlds", cuts)

    def stages(self, state: S, steps: Sequence[Step]) -> list[S]:
        """The states that the steps lead through, one after each. Raises Refused."""
        ec2 = self.simulated(state)
        passed = []
        for step in steps:
            ec2.run(step)
            passed.append(self.state_of(ec2))
        return passed

    def _right(self, state: S, desired: S) -> set[int]:
        """The numbers of the things that are as they should be."""
        both = zip(self.things(state), self.things(desired), strict=True)
        return {number for number, (have, want) in enumerate(both) if have == want}


def orbit(state: S, relabellings: Collection[Relabelling[S]]) -> frozenset[S]:
    """Everything that differs from the state in names only."""
    return frozenset(relabelling(state) for relabelling in relabellings)


def latest_first(steps: Sequence[Step]) -> list[Step]:
    """Another order that the plan allows: of the steps that could run, always the one that is planned last."""
    left, order = list(steps), list[Step]()
    while left:
        done = {step.id for step in order}
        order.append(next(step for step in reversed(left) if step.predecessors <= done))
        left.remove(order[-1])
    return order
