"""The order of steps, worked out from what each yields, brings, frees and claims. Pure.

Order needs no knowledge of kinds. A step runs after the steps that yield its Refs, after the steps that bring the
conditions that it names, and after the steps that free the slots that it claims. Only Elastic IPs that change
places can form a cycle; there, the first step by id displaces its neighbour, which EC2 does in the same call.
A preference (``rather``, ``follows``) gives way where it would close a cycle. Ties are settled by id, which begins
with the address, so equal input gives exactly the same plan.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from msgspec.structs import replace

from enireconcile.model import Ref, Step, refs_in

Needs = dict[str, set[str]]
"""Ids of steps to the ids of steps that run before them."""

K = TypeVar("K", bound=Hashable)


def arrange(steps: Sequence[Step], preferences: Iterable[tuple[str, str]] = ()) -> tuple[Step, ...]:
    """The steps in an order in which they can run, numbered s1, s2 …, with ``needs`` and ``ends_first`` filled in.

    ``preferences`` are pairs of ids, (first, then), most important first; each becomes a need unless it would
    close a cycle. Raises ValueError when no order exists, which is a bug.
    """
    by_id = {step.id: step for step in steps}
    hard, soft = needs_of(steps)
    followed = _followed(steps)
    ending = {step_id: followed[step_id] - hard[step_id] - soft[step_id] for step_id in hard}
    soft = {step_id: soft[step_id] | ending[step_id] for step_id in hard}
    _acyclic(hard, soft)
    for first, then in preferences:
        if not _needs(first, then, hard, soft):
            soft[then].add(first)
            ending[then].discard(first)
    order = _ordered(hard, soft)
    number = {step_id: f"s{position}" for position, step_id in enumerate(order, start=1)}
    return tuple(
        replace(
            by_id[step_id],
            id=number[step_id],
            needs=frozenset(number[need] for need in hard[step_id] | (soft[step_id] - ending[step_id])),
            ends_first=frozenset(number[each] for each in soft[step_id] & ending[step_id]),
        )
        for step_id in order
    )


def needs_of(steps: Sequence[Step]) -> tuple[Needs, Needs]:
    """For each step the ids of those that it must run after, and of those that it prefers to run after.

    The latter free a slot whose holder the step could also displace, or bring a condition that it only prefers.
    """
    yielding = _index(steps, lambda step: (*step.yields, *step.sees))
    bringing = _index(steps, lambda step: step.brings)
    freeing = _index(steps, lambda step: step.frees)
    hard: Needs = {}
    soft: Needs = {}
    for step in steps:
        refs = {*refs_in(step.params), *(expect.id for expect in step.when if isinstance(expect.id, Ref))}
        providers = [yielding.get(ref, ()) for ref in refs] + [bringing.get(each, ()) for each in step.after]
        hard[step.id] = {step_id for found in providers for step_id in found} - {step.id}
        soft[step.id] = {step_id for each in step.rather for step_id in bringing.get(each, ())} - {step.id}
        clearing = {step_id for slot in step.claims for step_id in freeing.get(slot, ())} - {step.id}
        (soft if step.displaces else hard)[step.id].update(clearing)
    return hard, soft


def _needs(step: str, other: str, hard: Needs, soft: Needs) -> bool:
    """Must ``other`` run before ``step``, or is it the same?"""
    seen: set[str] = set()
    todo = [step]
    while todo:
        if (each := todo.pop()) == other:
            return True
        if each not in seen:
            seen.add(each)
            todo += hard[each] | soft[each]
    return False


def _followed(steps: Sequence[Step]) -> Needs:
    """For each step the ids of those that it prefers to run after, however they end."""
    bringing = _index(steps, lambda step: step.brings)
    return {
        step.id: {step_id for each in step.follows for step_id in bringing.get(each, ())} - {step.id}
        for step in steps
    }


def _index(steps: Sequence[Step], keys: Callable[[Step], Iterable[K]]) -> dict[K, list[str]]:
    """Keys to the ids of the steps that have them."""
    index: dict[K, list[str]] = {}
    for step in steps:
        for key in keys(step):
            index.setdefault(key, []).append(step.id)
    return index


def _ordered(hard: Needs, soft: Needs) -> list[str]:
    """All ids, each after its needs, ties by id. In a cycle the first step that can displaces its neighbour."""
    sorter = _acyclic(hard, soft)
    order: list[str] = []
    ready = list(sorter.get_ready())
    heapq.heapify(ready)
    while ready:
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
        for step_id in sorter.get_ready():
            heapq.heappush(ready, step_id)
    return order


def _acyclic(hard: Needs, soft: Needs) -> TopologicalSorter[str]:
    """A sorter without cycles: soft needs inside a cycle are dropped, one step at a time."""
    while True:
        sorter = TopologicalSorter({step_id: hard[step_id] | soft[step_id] for step_id in hard})
        try:
            sorter.prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            flexible = sorted(step_id for step_id in cycle if soft[step_id] & set(cycle))
            if not flexible:
                raise ValueError(f"no order for {cycle}") from None
            soft[flexible[0]] -= set(cycle)
        else:
            return sorter
