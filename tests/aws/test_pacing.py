"""Token buckets: calls start as fast as EC2 allows and no faster, each action for itself.

Ours hold one token less than EC2's, so that a call is never a hair too early.
"""

from __future__ import annotations

import asyncio

import pytest

from enireconcile.aws.pacing import Pacer, TokenBucket
from tests.virtual import VirtualLoop, run

# What EC2 publishes: (capacity, refill a second) of an action.
SIZES = [
    ("RunInstances", 5, 2),
    ("StartInstances", 5, 2),
    ("TerminateInstances", 100, 5),
    ("CreateNetworkInterface", 100, 5),
    ("ModifyNetworkInterfaceAttribute", 100, 5),
    ("CreateTags", 100, 10),
    ("AllocateAddress", 50, 5),
    ("AttachNetworkInterface", 50, 5),
    ("DescribeNetworkInterfaces", 100, 20),
    ("GetCallerIdentity", 100, 20),
]


def seconds(pacer: Pacer, loop: VirtualLoop, *calls: str) -> float:
    """How long these calls take to get their turns, all asking at once."""

    async def turns() -> None:
        await asyncio.gather(*(pacer.turn(call) for call in calls))

    before = loop.time()
    run(turns(), loop)
    return loop.time() - before


@pytest.mark.parametrize(("call", "capacity", "refill"), SIZES)
def test_calls_beyond_the_bucket_come_at_the_pace_of_its_refill(
    call: str, capacity: int, refill: int, loop: VirtualLoop
) -> None:
    for extra in (0, 1, 20):
        taken = seconds(Pacer(), loop, *[call] * (capacity - 1 + extra))
        assert taken == pytest.approx(extra / refill), f"{capacity} + {extra} calls"


def test_actions_do_not_wait_for_each_other(loop: VirtualLoop) -> None:
    pacer = Pacer()
    assert seconds(pacer, loop, *["AllocateAddress"] * 49, *["AttachNetworkInterface"] * 49) == 0


def test_calls_keep_their_order(loop: VirtualLoop) -> None:
    pacer, order = Pacer(), []

    async def turn(number: int) -> None:
        await pacer.turn("RunInstances")
        order.append(number)

    async def turns() -> None:
        await asyncio.gather(*(turn(number) for number in range(10)))

    run(turns(), loop)
    assert order == list(range(10))


def test_a_bucket_fills_up_again_and_no_further(loop: VirtualLoop) -> None:
    pacer = Pacer()
    seconds(pacer, loop, *["RunInstances"] * 5)
    run(asyncio.sleep(3600), loop)
    assert seconds(pacer, loop, *["RunInstances"] * 6) == pytest.approx(2 / 2)


def test_a_throttle_empties_the_bucket_of_its_action_and_halves_its_pace(loop: VirtualLoop) -> None:
    pacer = Pacer()
    seconds(pacer, loop, "AllocateAddress", "AttachNetworkInterface")
    pacer.bucket("AllocateAddress").throttled()
    assert seconds(pacer, loop, *["AttachNetworkInterface"] * 40) == 0
    assert seconds(pacer, loop, *["AllocateAddress"] * 5) == pytest.approx(5 / 2.5)


def test_throttles_slow_down_to_an_eighth_and_no_further(loop: VirtualLoop) -> None:
    pacer = Pacer()
    for _ in range(50):
        pacer.bucket("AllocateAddress").throttled()
    seconds(pacer, loop, "AllocateAddress")
    assert seconds(pacer, loop, "AllocateAddress") == pytest.approx(8 / 5)


def test_success_brings_the_pace_back_and_no_further() -> None:
    bucket = TokenBucket(50, 5)
    bucket.throttled()
    paces = [bucket.pace]
    for _ in range(10):
        bucket.succeeded()
        paces.append(bucket.pace)
    assert (paces[0], paces[-1]) == (2.5, 5)
    assert paces == sorted(paces)


def test_a_throttle_does_not_forgive_what_is_already_owed() -> None:
    bucket = TokenBucket(2, 1)
    for _ in range(4):
        bucket.reserve(0.0)
    bucket.throttled()
    assert bucket.tokens == -3
