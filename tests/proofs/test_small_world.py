"""Every pair of (live, desired) states of a small world: the plan is right, least, and can be cut.

``small_world`` tells what the 1156 states are, so there are 1156 · 1156 = 1 336 336 pairs. Pairs that differ in
names only say the same thing. The group that is divided by relabels the three interfaces in all ways (6), the
three addresses in all ways (6), and exchanges the two slots of the first instance or not (2): 72 relabellings,
each acting on the live and the desired state of a pair alike. The slot on the second instance stays apart. Of
the desired states one of each orbit is taken, which leaves 36. Each of these is met with live states of which one
is taken, in turn, of each orbit under the relabellings that change nothing about the wish: whatever pair there is,
a relabelling leads to one that is tried.

So every state in which a plan can be cut off is itself, in other names, one of the states from which a plan is
tried, with the same wish. That each plan ends well, and passes through nothing but states, shows that stopping
after any step and running again ends well, however often.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from enireconcile.model import Impact

from .conftest import Proofs
from .small_world import (
    NOWHERE,
    RELABELLINGS,
    STATES,
    State,
    keeping,
    latest_first,
    orbit,
    plan,
    representatives,
    stages,
    unmoved,
    wish,
    work,
)

WISHES = representatives()


def _told(state: State) -> str:
    """``x:0 z:2 | e:1`` as ``0_2.1__``: short enough for the name of a test."""
    words = ("".join("_" if place == NOWHERE else str(place) for place in part) for part in _parts(state))
    return ".".join(words)


def _parts(state: State) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return state.slots, state.targets


def _met(desired: State) -> dict[State, int]:
    """The live states that are tried with a wish, and for how many each stands."""
    return representatives(keeping(desired))


def _pairs(desired: State) -> int:
    """For how many pairs those stand that are tried with a wish."""
    return WISHES[desired] * sum(_met(desired).values())


def test_no_pair_is_left_out() -> None:
    """The orbits of the wishes that are tried are disjoint, and their pairs add up to all pairs."""
    assert (len(STATES), len(set(STATES)), len(RELABELLINGS)) == (34 * 34, 34 * 34, 72)
    assert len(WISHES) == 36
    covered = Counter(state for desired in WISHES for state in orbit(desired))
    assert covered == Counter(STATES)
    for desired in WISHES:
        met = Counter(state for live in _met(desired) for state in orbit(live, keeping(desired)))
        assert met == Counter(STATES)
    assert sum(_pairs(desired) for desired in WISHES) == 1_336_336
    for relabelling in RELABELLINGS:
        assert {relabelling.of(state) for state in STATES} == set(STATES)


@pytest.mark.parametrize("desired", WISHES, ids=_told)
def test_every_live_state_is_led_to_the_wish(desired: State, proofs: Proofs) -> None:
    """From anywhere, by the fewest calls, touching nothing that is right, and wherever one stops on the way."""
    spec = wish(desired)
    spoken = 0
    for live in _met(desired):
        made = plan(spec, live)
        least = work(live, desired)
        assert sorted((step.call, step.address) for step in made.steps) == least, live
        assert made.empty is (live == desired)
        assert made.empty or made.impact is (Impact.SAFE if _only_adds(live, desired) else Impact.DISRUPTIVE)
        for steps in (made.steps, latest_first(made.steps)):
            passed = [live, *stages(live, steps)]
            assert passed[-1] == desired, live
            for number, (before, after) in enumerate(pairwise(passed), start=1):
                assert after in _ALL, live
                # A cut costs nothing: what is left to do is what was left to do, or less.
                assert len(work(after, desired)) <= len(least) - number, live
                assert all(right for was, right in _rights(before, after, desired) if was), live
            spoken += len(steps)
    proofs.count("pairs of small worlds, up to their names", _pairs(desired))
    proofs.count("cuts in small worlds", spoken)


_ALL = frozenset(STATES)


def _rights(before: State, after: State, desired: State) -> list[tuple[bool, bool]]:
    """For everything whether it was right before a step, and whether it is after it."""
    return list(zip(unmoved(before, desired), unmoved(after, desired), strict=True))


def _only_adds(live: State, desired: State) -> bool:
    """Whether all that has to change is nowhere yet."""
    places = zip(live.slots + live.targets, desired.slots + desired.targets, strict=True)
    return all(have in (want, NOWHERE) for have, want in places)
