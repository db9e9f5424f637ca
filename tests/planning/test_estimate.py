"""How long EC2 takes over a plan at least, and how many calls at once that asks for."""

from __future__ import annotations

import pytest

from enireconcile.aws.actions import ACTIONS
from enireconcile.model import Step
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.text import plan_text
from enireconcile.planning.estimate import ANSWER, Estimate, estimate, parallelism, seconds_left
from tests.planning.worlds import plan_of


def calls(call: str, count: int, *needs: str, start: int = 0) -> list[Step]:
    """So many steps with one call, each of which needs others."""
    return [
        Step(f"{call}{start + number}", call, {}, f"x.{number}", needs=frozenset(needs)) for number in range(count)
    ]


def each_after(first: list[Step], call: str) -> list[Step]:
    """For each step another one that needs it."""
    return [Step(f"{call}{n}", call, {}, step.address, needs=frozenset({step.id})) for n, step in enumerate(first)]


def test_nothing_to_do_takes_no_time() -> None:
    assert estimate([]) == Estimate(0.0, None)


def test_a_chain_of_calls_takes_an_answer_each() -> None:
    one = calls("AllocateAddress", 1)
    assert estimate(one) == Estimate(ANSWER, "AllocateAddress")
    two = [*one, *each_after(one, "AssociateAddress")]
    assert estimate(two) == Estimate(2 * ANSWER, "AssociateAddress")
    assert estimate(calls("AllocateAddress", 50)) == Estimate(ANSWER, "AllocateAddress")


@pytest.mark.parametrize(
    ("call", "count"),
    [("AllocateAddress", 300), ("CreateNetworkInterface", 300), ("RunInstances", 20), ("CreateTags", 250)],
)
def test_many_calls_take_as_long_as_their_bucket_lets_them(call: str, count: int) -> None:
    """(n - capacity) / refill, with the answer to the last one."""
    bucket = ACTIONS[call].bucket
    assert estimate(calls(call, count)).seconds == pytest.approx(
        (count - bucket.capacity) / bucket.refill + ANSWER, abs=0.051
    )


def test_buckets_fill_up_side_by_side() -> None:
    """300 addresses are allocated and associated in the time that either takes."""
    first = calls("AllocateAddress", 300)
    made = estimate([*first, *each_after(first, "AssociateAddress")])
    assert made == Estimate(50 + 2 * ANSWER, "AssociateAddress")


def test_what_needs_all_of_the_others_comes_after_them() -> None:
    """A bucket that fills up while others are waited for has saved no more than its capacity."""
    first = calls("AllocateAddress", 100)
    then = calls("AssociateAddress", 100, *(step.id for step in first))
    assert estimate([*first, *then]) == Estimate(2 * (10 + ANSWER), "AssociateAddress")


def test_a_call_that_waits_for_no_token_longer_than_for_a_chain() -> None:
    """Sixty calls one after another never empty their bucket."""
    steps = calls("CreateTags", 1)
    for number in range(1, 60):
        steps += calls("CreateTags", 1, steps[-1].id, start=number)
    assert estimate(steps) == Estimate(pytest.approx(60 * ANSWER), "CreateTags")  # type: ignore[arg-type]


def test_time_that_is_left() -> None:
    """Tokens come back while a run goes on, and at most as many as the bucket has."""
    rest = ["AssociateAddress"] * 250
    assert seconds_left(rest, {"AssociateAddress": 50}, 0.0) == 50.0
    assert seconds_left(rest[:100], {"AssociateAddress": 200}, 30.0) == 20.0
    assert seconds_left(rest[:40], {"AssociateAddress": 50}, 1000.0) == 0.0
    assert seconds_left([], {}, 0.0) == 0.0


def test_as_many_calls_at_once_as_the_pace_of_ec2_asks_for() -> None:
    """Never fewer than 10; as many as keep EC2 busy if each takes two seconds to answer; never more than 50."""
    first = calls("AllocateAddress", 300)
    both = [*first, *each_after(first, "AssociateAddress")]
    assert (parallelism([]), parallelism(first[:8]), parallelism(first[:40])) == (10, 10, 40)
    assert (parallelism(first), parallelism(both), parallelism(first[:50])) == (12, 24, 50)


def test_the_plan_tells_it() -> None:
    """In JSON always, in text only if it takes long."""
    many = plan_of({"elastic_ips": {f"e{number:03}": {} for number in range(300)}})
    assert plan_json(many, {})["estimate"] == {"seconds": 50.2, "bound_by": "AllocateAddress"}
    assert plan_text(many).splitlines()[-2:] == [
        "300 EC2 calls: 300 safe.",
        "At EC2's pace at least 50 s: AllocateAddress, 5 a second.",
    ]
    few = plan_of({"elastic_ips": {"one": {}}})
    assert plan_json(few, {})["estimate"] == {"seconds": 0.2, "bound_by": "AllocateAddress"}
    assert plan_text(few).splitlines()[-1] == "1 EC2 call: 1 safe."
    assert plan_json(plan_of({}), {})["estimate"] == {"seconds": 0.0, "bound_by": None}
