"""The order of steps, worked out from what each yields, brings, frees and claims. Pure.

Order needs no knowledge of kinds. A step runs after the steps that yield its Refs, after the steps that bring the
conditions that it names, and after the steps that free the slots that it claims. Only Elastic IPs that change
places can form a cycle; there, the first step by name displaces its neighbour, which EC2 does in the same call.
A preference (``rather``) gives way where it would close a cycle. Ties are settled by address, so equal input gives
the same plan to the letter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from enireconcile.model import (
    Ref,
    Step,
    refs_in,
)

Needs = dict[str, set[str]]


K = TypeVar("K", bound=Hashable)


def arrange(drafts: Sequence[Step]) -> tuple[Step, ...]:
    """Steps in an order in which they can run, numbered s1, s2 …, with their needs filled in.

    Raises ValueError when no order exists, which no plan of ours may cause.
    """
    steps = {step.id: step for step in drafts}
    hard, soft = needs_of(drafts)
    order = _ordered(hard, soft)
    number = {draft: f"s{position}" for position, draft in enumerate(order, start=1)}
    return tuple(
        replace(
            steps[draft],
            id=number[draft],
            needs=frozenset(number[need] for need in hard[draft] | soft[draft]),
        )
        for draft in order
    )


def needs_of(drafts: Sequence[Step]) -> tuple[Needs, Needs]:
    """For each draft the drafts that it must run after, and those that it would rather run after.

    The latter clear a slot for a step that could also displace its holder, or bring what it merely prefers.
    """
    yielding = _index(drafts, lambda step: (*step.yields, *step.sees))
    bringing = _index(drafts, lambda step: step.brings)
    freeing = _index(drafts, lambda step: step.frees)
    hard: Needs = {}
    soft: Needs = {}
    for step in drafts:
        refs = {*refs_in(step.params), *(expect.id for expect in step.when if isinstance(expect.id, Ref))}
        providers = [yielding.get(ref, ()) for ref in refs] + [bringing.get(name, ()) for name in step.after]
        hard[step.id] = {draft for found in providers for draft in found} - {step.id}
        soft[step.id] = {draft for name in step.rather for draft in bringing.get(name, ())} - {step.id}
        clearing = {draft for slot in step.claims for draft in freeing.get(slot, ())} - {step.id}
        (soft if step.displaces else hard).setdefault(step.id, set()).update(clearing)
    return hard, soft


def _index(drafts: Sequence[Step], keys: Callable[[Step], Iterable[K]]) -> dict[K, list[str]]:
    index: dict[K, list[str]] = {}
    for step in drafts:
        for key in keys(step):
            index.setdefault(key, []).append(step.id)
    return index


def _ordered(hard: Needs, soft: Needs) -> list[str]:
    """All drafts, each after its needs, ties by name. A ring loses the soft needs of its first displacer."""
    sorter = _acyclic(hard, soft)
    order: list[str] = []
    ready = list(sorter.get_ready())
    heapq.heapify(ready)
    while ready:
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
        for draft in sorter.get_ready():
            heapq.heappush(ready, draft)
    return order


def _acyclic(hard: Needs, soft: Needs) -> TopologicalSorter[str]:
    while True:
        sorter = TopologicalSorter({draft: hard[draft] | soft[draft] for draft in hard})
        try:
            sorter.prepare()
        except CycleError as error:
            ring: list[str] = error.args[1]
            patient = sorted(draft for draft in ring if soft[draft] & set(ring))
            if not patient:
                raise ValueError(f"no order for {ring}") from None
            soft[patient[0]] -= set(ring)
        else:
            return sorter
