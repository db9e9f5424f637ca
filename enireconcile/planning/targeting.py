"""``--target``: the targets, and what they need. Pure.

A resource needs what it refers to: an interface its groups, an Elastic IP its interface, an attachment its
instance, and an instance that is to be launched its interfaces. It also needs every step that must run before its
own. A resource of the spec is included whole, so that it is not left half done. Of a resource that the plan
removes, only the steps that are needed are included, so that nothing else is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from msgspec import Struct

from enireconcile.errors import TargetError
from enireconcile.kinds import World
from enireconcile.model import Step
from enireconcile.planning.diff import Difference
from enireconcile.spec import SECTIONS, Spec
from enireconcile.spec.suggest import Nearest


class Part(Struct, frozen=True):
    """``addresses`` are the resources that are included whole, ``steps`` the ids of all included steps.

    ``named`` also has what the plan leaves out, or what no row describes.
    """

    addresses: Set[str]
    named: Set[str]
    steps: Set[str]


def targeted_part(
    targets: Iterable[str],
    differences: Sequence[Difference],
    world: World,
    drafts: Iterable[Step],
    needs: Mapping[str, Collection[str]],
) -> Part:
    """The targets and what they need. ``needs`` maps the id of a step to those that must run before it."""
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
    return Part((whole & (set(refers) | leaving)) | gone, whole, chosen)


def targets_by_file(specs: Sequence[Spec], targets: Iterable[str], *, prune: bool) -> dict[str, tuple[str, ...]]:
    """The targets in each spec, by file; specs without any are left out, unless there are no targets at all.

    With ``prune``, a target that no spec names can be a leftover of any of them. Raises TargetError for a target
    that is no address, is external, or, without ``prune``, is in no spec.
    """
    wanted = sorted(set(targets))
    if not wanted:
        return {spec.file: () for spec in specs}
    known = _names(specs)
    _check(specs, wanted, known, prune)
    leftovers = [target for target in wanted if target not in known]
    found = {spec.file: (*(set(wanted) & _names([spec])), *leftovers) for spec in specs}
    return {file: tuple(sorted(each)) for file, each in found.items() if each}


def _check(specs: Sequence[Spec], targets: Iterable[str], known: set[str], prune: bool) -> None:
    external = {f"instances.{name}" for spec in specs for name in spec.document.external_instances}
    for target in targets:
        section, _, name = target.partition(".")
        if target in external:
            raise TargetError(
                f"--target {target}: this instance is external, and enireconcile never changes it",
                hint="target an interface that is attached to it",
            )
        if section not in SECTIONS or not name:
            raise TargetError(
                f"--target {target}: not an address",
                hint=Nearest(target, known, "write a section and a name, like elastic_ips.web").text(),
            )
        if target not in known and not prune:
            raise TargetError(
                f"--target {target}: the spec has no such resource", hint=Nearest(target, known).text()
            )


def _names(specs: Iterable[Spec]) -> set[str]:
    return {
        f"{section}.{name}" for spec in specs for section in SECTIONS for name in spec.document.own_names(section)
    }
