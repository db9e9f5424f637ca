"""Every pair of (live, desired) states of the small worlds of ``small_further``, as ``exhaustive`` tells.

Each thing can be renamed as any other one of its sort.
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Proofs
from .exhaustive import SmallWorld
from .small_further import Flags, Floats, Pointers, Pools

WORLDS: dict[str, SmallWorld[Any]] = {
    "floats-over-three": Floats(interfaces=3, addresses=1),
    "floats-under-two": Floats(interfaces=2, addresses=2),
    "ipv6-addresses": Pools("ipv6_addresses", "ipv6_prefixes"),
    "prefixes": Pools("ipv4_prefixes", "ipv6_prefixes"),
    "flags": Flags(),
    "pointers": Pointers(),
}
SIZES = {
    "floats-over-three": (88, 12),
    "floats-under-two": (143, 8),
    "ipv6-addresses": (64, 12),
    "prefixes": (64, 12),
    "flags": (68, 4),
    "pointers": (63, 8),
}
"""How many states, and how many ways to name them."""
WISHES = [
    pytest.param(name, desired, id=f"{name}-{desired}")
    for name, world in WORLDS.items()
    for desired in world.wishes
]


@pytest.mark.parametrize("name", WORLDS)
def test_no_pair_is_left_out(name: str) -> None:
    """The orbits of the wishes that are tried are disjoint, and their pairs add up to all pairs."""
    world = WORLDS[name]
    assert (len(world.states), len(world.relabellings)) == SIZES[name]
    world.assert_whole()


@pytest.mark.parametrize(("name", "desired"), WISHES)
def test_every_live_state_is_led_to_the_wish(name: str, desired: Any, proofs: Proofs) -> None:
    """From anywhere, by the fewest calls, touching nothing that is right, and wherever one stops on the way."""
    WORLDS[name].prove(desired, proofs)
