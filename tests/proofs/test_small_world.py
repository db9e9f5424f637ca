"""Every pair of (live, desired) states of a small world: the plan is right, least, and can be cut.

``small_world`` tells what the 1156 states are, so there are 1156 · 1156 = 1 336 336 pairs; ``exhaustive`` tells
which of them are tried, and why that is enough. The group that is divided by relabels the three interfaces in all
ways (6), the three addresses in all ways (6), and exchanges the two slots of the first instance or not (2): 72
relabellings. The slot on the second instance stays apart. That leaves 36 desired states.
"""

from __future__ import annotations

import pytest

from .conftest import Proofs
from .small_world import Places, State

PLACES = Places()


def test_no_pair_is_left_out() -> None:
    """The orbits of the wishes that are tried are disjoint, and their pairs add up to all pairs."""
    assert (len(PLACES.states), len(PLACES.relabellings), len(PLACES.wishes)) == (34 * 34, 72, 36)
    PLACES.assert_whole()
    assert sum(map(PLACES.pairs, PLACES.wishes)) == 1_336_336


@pytest.mark.parametrize("desired", PLACES.wishes, ids=str)
def test_every_live_state_is_led_to_the_wish(desired: State, proofs: Proofs) -> None:
    """From anywhere, by the fewest calls, touching nothing that is right, and wherever one stops on the way."""
    PLACES.prove(desired, proofs)
