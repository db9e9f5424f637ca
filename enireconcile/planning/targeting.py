"""``--target``: the part of a stack that somebody asks for, and what that part needs. Pure.

What a resource needs is what it refers to (the groups of an interface, the interface of an address, the instance
of an attachment and, if that is yet to be launched, its interfaces), and whoever has to make room for it. What the
spec names comes along whole, so that it is not left half way; of what is going to be removed come only the steps
that are needed, so that nothing is deleted for its sake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from enireconcile.errors import TargetError
from enireconcile.kinds import World
from enireconcile.model import Step
from enireconcile.planning.diff import Difference
from enireconcile.spec import SECTIONS, Spec
from enireconcile.spec.suggest import Nearest


@dataclass(frozen=True)
class Part:
    """``addresses`` are those that are in it whole, ``steps`` the ids of all drafts in it."""

    addresses: Set[str]
    steps: Set[str]


def targeted_part(
    targets: Iterable[str],
    differences: Sequence[Difference],
    world: World,
    drafts: Iterable[Step],
    needs: Mapping[str, Collection[str]],
) -> Part:
    """The targets and all that they need. ``needs`` maps ids of drafts to those that must run before them."""
    refers = {
        difference.address: [each for kind, item in difference.items for each in kind.refers(item, world)]
        for difference in differences
    }
    at = {step.id: step.address for step in drafts}
    steps: dict[str, list[str]] = {}
    for step, address in at.items():
        steps.setdefault(address, []).append(step)
    whole: set[str] = set()
    chosen: set[str] = set()
    todo = [*targets]
    while todo:
        if (address := todo.pop()) in whole:
            continue
        whole.add(address)
        todo += refers.get(address, ())
        before = [*steps.get(address, ())]
        while before:
            if (step := before.pop()) in chosen:
                continue
            chosen.add(step)
            before += needs[step]
            if at[step] in refers:
                todo.append(at[step])
    leaving = {address for address, _ in world.leaving}
    gone = {address for address in leaving if address in steps and chosen.issuperset(steps[address])}
    return Part((whole & (set(refers) | leaving)) | gone, chosen)


def targets_by_file(specs: Sequence[Spec], targets: Iterable[str], *, prune: bool) -> dict[str, tuple[str, ...]]:
    """The targets of each spec, by file; specs without any are left out, unless there are no targets at all.

    With ``prune``, what no spec names may be what any of them no longer names. Raises TargetError for what cannot
    be meant.
    """
    wanted = sorted(set(targets))
    if not wanted:
        return {spec.file: () for spec in specs}
    known = _names(specs)
    _check(specs, wanted, known, prune)
    loose = [target for target in wanted if target not in known]
    mine = {spec.file: (*(set(wanted) & _names([spec])), *loose) for spec in specs}
    return {file: tuple(sorted(each)) for file, each in mine.items() if each}


def _check(specs: Sequence[Spec], targets: Iterable[str], known: set[str], prune: bool) -> None:
    foreign_interfaces = {f"instances.{name}" for spec in specs for name in spec.document.external_instances}
    for target in targets:
        section, _, name = target.partition(".")
        if target in foreign_interfaces:
            raise TargetError(
                f"--target {target}: this instance is external, so nothing is ever done to it",
                hint="name the interface that is attached to it",
            )
        if section not in SECTIONS or not name:
            raise TargetError(
                f"--target {target}: no such address",
                hint=Nearest(target, known, "an address is a section and a name, like elastic_ips.web").text(),
            )
        if target not in known and not prune:
            raise TargetError(
                f"--target {target}: the spec has nothing of this name", hint=Nearest(target, known).text()
            )


def _names(specs: Iterable[Spec]) -> set[str]:
    return {
        f"{section}.{name}" for spec in specs for section in SECTIONS for name in spec.document.own_names(section)
    }
