"""Token buckets: calls start as fast as EC2 allows and no faster, each action for itself.

Ours hold one token less than EC2's, so that a call is never a hair too early. No more than ten leave at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

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


BURST, BURST_RATE = 10, 50.0


@pytest.mark.parametrize(("call", "capacity", "refill"), SIZES)
def test_calls_beyond_the_bucket_come_at_the_pace_of_its_refill(
    call: str, capacity: int, refill: int, loop: VirtualLoop
) -> None:
    for extra in (0, 1, 20, 60):
        calls = capacity - 1 + extra
        taken = seconds(Pacer(), loop, *[call] * calls)
        bound = max(extra / refill, (calls - BURST) / BURST_RATE)
        assert taken == pytest.approx(max(bound, 0), abs=1e-3), f"{capacity} + {extra} calls"


def test_actions_do_not_wait_for_each_other(loop: VirtualLoop) -> None:
    pacer = Pacer()
    both = seconds(pacer, loop, *["AllocateAddress"] * 49, *["AttachNetworkInterface"] * 49)
    assert both == pytest.approx(seconds(Pacer(), loop, *["AllocateAddress"] * 49))


def test_a_wait_that_is_given_up_takes_no_token(loop: VirtualLoop) -> None:
    pacer = Pacer()

    async def some_give_up() -> None:
        turns = [asyncio.create_task(pacer.turn("RunInstances")) for _ in range(8)]
        await asyncio.sleep(0.1)
        for turn in turns[4:]:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        await asyncio.wait_for(pacer.turn("RunInstances"), 0.5)
        assert pacer.backlog() == 0

    run(some_give_up(), loop)


def test_the_backlog_is_the_time_until_all_have_had_their_turns(loop: VirtualLoop) -> None:
    pacer = Pacer()

    async def many() -> None:
        turns = asyncio.gather(*(pacer.turn("RunInstances") for _ in range(24)))
        await asyncio.sleep(0)
        assert pacer.backlog() == pytest.approx(20 / 2, abs=0.5)
        await turns
        assert pacer.backlog() == 0

    run(many(), loop)


def test_a_queue_is_the_time_until_one_more_call_has_its_turn(loop: VirtualLoop) -> None:
    pacer = Pacer()

    async def one_more() -> None:
        assert pacer.queue("RunInstances") == 0
        turns = asyncio.gather(*(pacer.turn("RunInstances") for _ in range(24)))
        await asyncio.sleep(0)
        expected, began = pacer.queue("RunInstances"), loop.time()
        assert pacer.queue("AllocateAddress") == 0
        await pacer.turn("RunInstances")
        assert loop.time() - began == pytest.approx(expected, abs=0.6)
        await turns

    run(one_more(), loop)


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


@dataclass
class Shared:
    """EC2's bucket of AllocateAddress, of which others take a part."""

    share: float
    level: float = field(init=False)
    updated: float = 0.0

    def __post_init__(self) -> None:
        self.level = 50 * self.share

    def accepts(self, now: float) -> bool:
        self.level = min(50 * self.share, self.level + (now - self.updated) * 5 * self.share)
        self.updated = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


def sent_to(shared: Shared, loop: VirtualLoop, calls: int) -> tuple[float, int]:
    """The seconds until EC2 has accepted so many calls, and how many it throttled; each takes 0.2 s."""
    pacer, throttled = Pacer(), 0

    async def one() -> None:
        nonlocal throttled
        while True:
            await pacer.turn("AllocateAddress")
            sent = loop.time()
            accepted = shared.accepts(sent)
            await asyncio.sleep(0.2)
            if accepted:
                pacer.bucket("AllocateAddress").succeeded(sent)
                return
            throttled += 1
            pacer.bucket("AllocateAddress").throttled(sent, loop.time())

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(calls)))

    shared.updated = began = loop.time()
    run(all_of_them(), loop)
    return loop.time() - began, throttled


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.15])
def test_what_others_leave_is_used_and_few_calls_are_throttled(share: float, loop: VirtualLoop) -> None:
    calls = 300
    taken, throttled = sent_to(Shared(share), loop, calls)
    bound = (calls - 50 * share) / (5 * share)
    assert taken <= 1.1 * bound
    assert throttled <= 0.1 * calls


def test_where_others_take_nothing_no_call_is_throttled(loop: VirtualLoop) -> None:
    taken, throttled = sent_to(Shared(1.0), loop, 300)
    assert taken == pytest.approx(50.2 + 0.2, abs=0.3)
    assert throttled == 0


def test_a_throttle_slows_down_its_action_alone(loop: VirtualLoop) -> None:
    pacer = Pacer()
    pacer.bucket("AllocateAddress").throttled(loop.time(), loop.time())
    assert seconds(pacer, loop, *["AttachNetworkInterface"] * 10) == 0
    assert 1.5 < seconds(pacer, loop, *["AllocateAddress"] * 5) < 5 / 2.5


def test_throttles_slow_down_to_an_eighth_and_no_further() -> None:
    bucket = TokenBucket(50, 5)
    for number in range(50):
        bucket.throttled(number * 1e-3, number * 1e-3)
    assert bucket.pace(0.05) == pytest.approx(5 / 8)


def test_answers_to_calls_that_were_sent_before_it_slowed_down_slow_it_down_no_more() -> None:
    bucket = TokenBucket(50, 5)
    for _ in range(20):
        bucket.throttled(1.0, 1.2)
    assert bucket.pace(1.2) == 2.5


def test_the_pace_comes_back_when_the_others_have_ended() -> None:
    bucket = TokenBucket(50, 5)
    bucket.throttled(0.0, 0.0)
    for number in range(25):
        bucket.succeeded(number * 0.4)
    bucket.throttled(10.0, 10.0)
    paces = [bucket.pace(10.0 + second) for second in range(60)]
    assert paces == sorted(paces)
    assert paces[0] == pytest.approx(2.5 * 0.9)
    assert paces[10] == pytest.approx(2.5)
    assert paces[20] < 3 < paces[40] == paces[-1] == 5
