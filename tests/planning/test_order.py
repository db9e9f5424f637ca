"""``plan.arrange``: drafts of steps become an order in which they can run. What must hold for any drafts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enireconcile.model import Condition, Expect, Ref, Step
from enireconcile.planning.order import (
    arrange,
)

NAMES = [f"elastic_ips.{letter}" for letter in "abcdefgh"]
READY = Condition("ready", "x")


def draft(number: int, **words: object) -> Step:
    """A draft with an id that sorts by its number."""
    return Step(f"{NAMES[number]}/AssociateAddress", "AssociateAddress", {"N": number}, NAMES[number], **words)  # type: ignore[arg-type]


def named(steps: Sequence[Step]) -> list[str]:
    """The letters of the steps, in their order."""
    return [step.address[-1] for step in steps]


def needs_of(steps: Sequence[Step]) -> dict[str, set[str]]:
    """The letter of each step and those of the steps that it needs."""
    letters = {step.id: step.address[-1] for step in steps}
    return {step.address[-1]: {letters[need] for need in step.needs} for step in steps}


# ---- each word that makes an order, alone

WORDS = [
    pytest.param(
        draft(0, sees={Ref("x"): "Id"}),
        draft(1, yields={Ref("x"): "Id"}),
        [],
        id="seeing and yielding order nothing between themselves",
    ),
    pytest.param(
        Step("a", "C", {"Deep": [{"Id": Ref("x")}]}, NAMES[0]),
        draft(1, yields={Ref("x"): "Id"}),
        ["b"],
        id="a Ref, however deep in the parameters, comes after who yields it",
    ),
    pytest.param(
        Step("a", "C", {"Id": Ref("x", "attachment_id")}, NAMES[0]),
        draft(1, sees={Ref("x", "attachment_id"): "Id"}),
        ["b"],
        id="a Ref comes after who sees it",
    ),
    pytest.param(
        draft(0, when=(Expect("DescribeAddresses", Ref("x")),)),
        draft(1, yields={Ref("x"): "Id"}),
        ["b"],
        id="a condition on what is not there yet comes after who yields it",
    ),
    pytest.param(
        draft(0, until=Expect("DescribeAddresses", Ref("x")), yields={Ref("x"): "Id"}),
        draft(1),
        [],
        id="a step may wait for what it yields itself",
    ),
    pytest.param(
        draft(0, after=frozenset({READY})),
        draft(1, brings=frozenset({READY})),
        ["b"],
        id="a condition that is named comes after who brings it",
    ),
    pytest.param(
        draft(0, after=frozenset({READY})), draft(1), [], id="a condition that no step brings is there already"
    ),
    pytest.param(
        draft(0, claims=frozenset({"slot"})),
        draft(1, frees=frozenset({"slot"})),
        ["b"],
        id="who claims a slot comes after who frees it",
    ),
    pytest.param(
        draft(0, claims=frozenset({"slot"}), displaces=True),
        draft(1, frees=frozenset({"slot"})),
        ["b"],
        id="who could displace still waits its turn when there is one",
    ),
    pytest.param(
        draft(0, claims=frozenset({"slot"}), frees=frozenset({"slot"})),
        draft(1),
        [],
        id="a step does not wait for itself",
    ),
]


@pytest.mark.parametrize(("first", "second", "needs"), WORDS)
def test_a_word_makes_this_order(first: Step, second: Step, needs: list[str]) -> None:
    assert needs_of(arrange([first, second]))["a"] == set(needs)


def test_a_followed_condition_only_orders() -> None:
    """The follower runs once the step that brings the condition has ended, whether that was done or failed."""
    first, second = arrange([draft(0, follows=frozenset({READY})), draft(1, brings=frozenset({READY}))])
    assert (first.address[-1], second.address[-1]) == ("b", "a")
    assert (sorted(second.needs), sorted(second.ends_first), sorted(second.predecessors)) == ([], ["s1"], ["s1"])


def test_a_step_that_is_also_needed_must_be_done() -> None:
    for words in ({"after": frozenset({READY})}, {"rather": frozenset({READY})}):
        _, second = arrange([draft(0, follows=frozenset({READY}), **words), draft(1, brings=frozenset({READY}))])
        assert (sorted(second.needs), sorted(second.ends_first)) == (["s1"], [])


def test_a_followed_condition_gives_way_in_a_cycle() -> None:
    other = Condition("other", "x")
    steps = [
        draft(0, follows=frozenset({READY}), brings=frozenset({other})),
        draft(1, after=frozenset({other}), brings=frozenset({READY})),
    ]
    assert [(step.address[-1], sorted(step.needs), step.ends_first) for step in arrange(steps)] == [
        ("a", [], frozenset()),
        ("b", ["s1"], frozenset()),
    ]


def test_all_steps_that_bring_a_condition_come_first() -> None:
    bringing = [draft(number, brings=frozenset({READY})) for number in (1, 2, 3)]
    assert named(arrange([draft(0, after=frozenset({READY})), *bringing])) == ["b", "c", "d", "a"]


def test_ties_are_settled_by_name() -> None:
    assert named(arrange([draft(2), draft(0), draft(1)])) == ["a", "b", "c"]


def test_steps_are_numbered_in_their_order() -> None:
    steps = arrange([draft(0, after=frozenset({READY})), draft(1, brings=frozenset({READY}))])
    assert [(step.id, step.address[-1], step.needs) for step in steps] == [
        ("s1", "b", frozenset()),
        ("s2", "a", frozenset({"s1"})),
    ]


def test_no_drafts_make_no_steps() -> None:
    assert arrange([]) == ()


# ---- any drafts that have an order


@st.composite
def orderly(draw: st.DrawFn) -> list[Step]:
    """Drafts in which everything that a draft asks for is given by drafts before it, in any order of names."""
    numbers = draw(st.permutations(range(draw(st.integers(1, 8)))))
    drafts = []
    for position, number in enumerate(numbers):
        before = st.sets(st.sampled_from(numbers[:position])) if position else st.just(set())
        refs, after, claims = draw(before), draw(before), draw(before)
        drafts.append(
            Step(
                id=f"draft-{number}",
                call="Call",
                params={"Ids": [Ref(f"made-{other}") for other in sorted(refs)]},
                address=NAMES[number],
                after=frozenset(Condition("done", NAMES[other]) for other in after),
                claims=frozenset(f"slot-{other}" for other in claims),
                displaces=draw(st.booleans()),
                yields={Ref(f"made-{number}"): "Id"},
                brings=frozenset({Condition("done", NAMES[number])}),
                frees=frozenset({f"slot-{number}"}),
            )
        )
    return drafts


@settings(deadline=None)
@given(orderly())
def test_order_is_a_permutation_in_which_every_need_comes_earlier(drafts: list[Step]) -> None:
    steps = arrange(drafts)
    assert sorted(step.address for step in steps) == sorted(step.address for step in drafts)
    assert [step.id for step in steps] == [f"s{number}" for number in range(1, len(drafts) + 1)]
    place = {step.id: position for position, step in enumerate(steps)}
    assert [(step.id, need) for step in steps for need in step.needs if place[need] >= place[step.id]] == []


@settings(deadline=None)
@given(orderly())
def test_needs_include_every_provider(drafts: list[Step]) -> None:
    asked = {
        step.address[-1]: {
            *(NAMES[int(word[-1])][-1] for word in (*(ref.address for ref in step.params["Ids"]), *step.claims)),
            *(condition.subject[-1] for condition in step.after),
        }
        for step in drafts
    }
    assert needs_of(arrange(drafts)) == asked


@settings(deadline=None)
@given(orderly(), st.randoms(use_true_random=False))
def test_order_of_the_input_does_not_matter(drafts: list[Step], random: Random) -> None:
    shuffled = list(drafts)
    random.shuffle(shuffled)
    assert arrange(shuffled) == arrange(drafts)


# ---- rings


def ring(length: int, displacing: set[int]) -> list[Step]:
    """Each step claims the slot that the next one frees; the numbers in ``displacing`` could also displace."""
    return [
        draft(
            number,
            claims=frozenset({f"slot-{(number + 1) % length}"}),
            frees=frozenset({f"slot-{number}"}),
            displaces=number in displacing,
        )
        for number in range(length)
    ]


@pytest.mark.parametrize("length", range(2, 7))
def test_a_ring_of_moves_opens_at_the_first_by_name(length: int) -> None:
    """One displaces; all others find their slot free."""
    steps = arrange(ring(length, set(range(length))))
    assert named(steps) == ["a", *reversed("abcdefgh"[1:length])]
    assert needs_of(steps)["a"] == set()
    assert sum(not step.needs for step in steps) == 1


@pytest.mark.parametrize("length", range(2, 7))
def test_one_step_that_can_displace_is_enough(length: int) -> None:
    last = length - 1
    assert named(arrange(ring(length, {last})))[0] == NAMES[last][-1]


@pytest.mark.parametrize("length", range(2, 7))
def test_a_ring_in_which_no_step_can_displace_has_no_order(length: int) -> None:
    with pytest.raises(ValueError, match="no order for"):
        arrange(ring(length, set()))


def test_two_rings_open_one_by_one() -> None:
    first = ring(2, {0, 1})
    second = [
        draft(
            number,
            claims=frozenset({f"slot-{5 - number}"}),
            frees=frozenset({f"slot-{number}"}),
            displaces=True,
        )
        for number in (2, 3)
    ]
    assert needs_of(arrange([*second, *first])) == {"a": set(), "b": {"a"}, "c": set(), "d": {"c"}}


@settings(deadline=None)
@given(st.integers(2, 6), st.data())
def test_a_ring_has_an_order_exactly_when_one_step_can_displace(length: int, data: st.DataObject) -> None:
    displacing = data.draw(st.sets(st.sampled_from(range(length)), min_size=1))
    steps = arrange(ring(length, displacing))
    assert sorted(named(steps)) == list("abcdefgh"[:length])
    assert {int(step.params["N"]) for step in steps if not step.needs} == {min(displacing)}
