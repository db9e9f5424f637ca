"""Differences become a Draft, the steps that a plan needs, and a Draft becomes a Plan within EC2's limits. Pure.

``planning.order`` arranges the steps, ``planning.limits`` judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import UnsupportedError
from enireconcile.kinds import KINDS, Item, Kind, World
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.tags import marked_until_complete
from enireconcile.live.records import Limits, Live, LiveElasticIp, Questions, Record, Sought
from enireconcile.model import (
    Action,
    Change,
    Condition,
    Field,
    Impact,
    Leftover,
    Plan,
    Step,
    fingerprint_of,
    texts_in,
)
from enireconcile.planning import limits, preflight
from enireconcile.planning.codec import encode
from enireconcile.planning.diff import (
    Difference,
    diff,
    ignored_warnings,
    immutable,
    replacing_left_out,
)
from enireconcile.planning.left_out import Exclusions, disturbed
from enireconcile.planning.limits.instances import unknown_type_words
from enireconcile.planning.mistakes import Mistake, mistake
from enireconcile.planning.order import arrange, needs_of
from enireconcile.planning.paths import breaks, preferences
from enireconcile.planning.renamed import renamed_warnings
from enireconcile.planning.resolve import resolve
from enireconcile.planning.summaries import summarized
from enireconcile.planning.targeting import targeted_part
from enireconcile.spec import Spec

T = TypeVar("T")


class Draft(Struct, frozen=True, dict=True):
    """A plan before EC2's limits are checked: what differs, and the steps for it, not yet in order.

    With ``targets``, which are addresses, it is about these and what they need. ``kept`` are resources that the
    spec no longer names and that EC2 cannot delete, with the reason. ``exclusions`` are the rows that it leaves
    out because of mistakes; ``twins`` maps the addresses of unused twins to the resource that has their name.
    ``named`` are the addresses that it is about, those left out included; None without
    targets: all.
    """

    spec: Spec
    live: Live
    world: World
    differences: tuple[Difference, ...]
    steps: tuple[Step, ...]
    leftovers: tuple[Leftover, ...]
    kept: Mapping[Leftover, str]
    twins: Mapping[str, str]
    prune: bool
    exclusions: Exclusions
    targets: tuple[str, ...] = ()
    named: Set[str] | None = None

    @property
    def questions(self) -> Questions:
        """What to read before the plan can be made; nothing for a plan that uses nothing more."""
        asked = preflight.questions(self._case(self.steps, Limits()))
        return replace(asked, types=asked.types.union(kind for _, kind in self._refused_types))

    @cached_property
    def _refused_types(self) -> tuple[tuple[Mistake, str], ...]:
        """The mistakes that a type cannot be changed to another, with that type: it may not exist at all."""
        rows = self.spec.document.own_instances
        return tuple(
            (each, kind)
            for each in self.exclusions.mistakes
            if each.problem.path == f"{each.address}.instance_type"
            and (kind := rows[each.address.partition(".")[2]].instance_type) is not None
        )

    def _exclusions(self, known: Limits) -> Exclusions:
        """What is left out; a type that does not exist is told as such, not that it cannot be changed to it."""
        problems = {
            each: self.spec.problem((*_path(each.address), "instance_type"), *unknown_type_words(kind, known))
            for each, kind in self._refused_types
            if kind in known.similar_types
        }
        told = (replace(each, problem=problems.get(each, each.problem)) for each in self.exclusions.mistakes)
        return replace(self.exclusions, mistakes=tuple(told))

    @property
    def sought(self) -> frozenset[Sought]:
        """What to read to sharpen the hints of errors; nothing for a draft without such errors."""
        return frozenset().union(*(mistake.sought for mistake in self.exclusions.mistakes))

    def plan(self, known: Limits) -> Plan:
        """The plan, without the rows that EC2 would refuse half way."""
        world = self.world
        drafted = limits.make_room(self._case(self.steps, known))
        steps = arrange(drafted, preferences(drafted, world))
        judgement = preflight.judge(self._case(steps, known))
        if judgement.mistakes:
            exclusions = self.exclusions.with_mistakes(judgement.mistakes)
            return _draft(self.spec, self.live, self.prune, self.targets, exclusions).plan(known)
        interruptions, exposures = breaks(steps, world)
        warnings = _collected(self.differences, Kind.warnings, world)
        public_ips = {live.id: live.public_ip for live in (*self.live.elastic_ips, *_adoptable_ips(self.live))}
        changes = _changes(self.differences, world, self.steps, self.leftovers, self.twins, public_ips)
        return Plan(
            stack=self.spec.document.stack,
            account_id=self.live.account_id,
            region=self.live.region,
            fingerprint=_fingerprint(self.differences, world, steps),
            changes=changes,
            steps=summarized(steps, changes, world),
            leftovers=tuple(replace(left, public_ip=public_ips.get(left.id)) for left in self.leftovers),
            warnings=(
                *(
                    *warnings,
                    *ignored_warnings(self.differences),
                    *_left(self.kept),
                    *_twin_warnings(self.leftovers, self.twins),
                    *renamed_warnings(self.differences, self._unnamed(), world),
                    *_forbidden(steps, self.spec),
                ),
                *(*judgement.warnings, *self._unknown()),
            ),
            protected={each: _protection(each, self.spec) for each in sorted(self.spec.protected)},
            waits=_collected(self.differences, Kind.waits, world),
            targets=self.targets,
            interruptions=interruptions,
            exposures=exposures,
            errors=self._exclusions(known).errors(self.named),
        )

    def _unnamed(self) -> dict[str, Record]:
        """What the stack owns and no row names, by address; no unused twins, and no resource that is kept."""
        live = self.live
        records: list[Record] = [*live.security_groups, *live.instances]
        records += [*live.network_interfaces, *live.elastic_ips]
        by_id = {record.id: record for record in records}
        left = {each.address: each.id for each in self.leftovers if each not in self.kept}
        removed = {address: record.id for address, record in self.world.removed.items()}
        return {
            address: by_id[aws_id]
            for address, aws_id in {**left, **removed}.items()
            if address not in self.twins and aws_id in by_id
        }

    def _unknown(self) -> list[str]:
        known = {difference.address for difference in self.differences} | set(self.world.removed)
        known |= self.exclusions.left_out.addresses
        return [
            f"{target}: the stack has no resource of this name" for target in self.targets if target not in known
        ]

    def _case(self, steps: Sequence[Step], known: Limits) -> limits.Case:
        return limits.Case(self.spec, self.live, self.world, steps, known)


def _adoptable_ips(live: Live) -> list[LiveElasticIp]:
    return [record for record in live.adoptable if isinstance(record, LiveElasticIp)]


def draft(spec: Spec, live: Live, *, prune: bool, targets: Collection[str] = ()) -> Draft:
    """Resolve and diff, and leave out the rows with mistakes that only live state shows.

    With ``prune``, what the stack owns and the spec no longer names is removed. With ``targets``, which are
    addresses, only these are planned for, and what they need. Raises UnsupportedError if the whole stack is to be
    removed and EC2 cannot remove it.
    """
    return _draft(spec, live, prune, tuple(sorted(targets)), Exclusions())


def _draft(spec: Spec, live: Live, prune: bool, targets: tuple[str, ...], exclusions: Exclusions) -> Draft:
    """The draft without the rows to exclude. Each round excludes more, until the rest can be planned."""
    while True:
        resolved = resolve(spec, live, prune=prune, left_out=exclusions.start)
        exclusions = replace(exclusions, left_out=resolved.left_out)
        if resolved.mistakes:
            exclusions = exclusions.with_mistakes(resolved.mistakes)
            continue
        kept = _undeletable(resolved.world)
        world = _keeping(kept, resolved.world)
        if replacing := replacing_left_out(world):
            causes = {address: (other, f"would replace {other}") for address, other in replacing.items()}
            exclusions = exclusions.with_causes(causes)
            continue
        world, differences = diff(world)
        world = replace(world, stopping=_stopping(differences, world))
        work = _work(differences, world)
        if found := _mistakes(spec, differences, world, work):
            exclusions = exclusions.with_mistakes(found)
            continue
        flat = [step for each in work.steps.values() for step in each]
        if causes := disturbed(flat, world):
            exclusions = exclusions.with_causes(causes)
            continue
        named = None
        if targets:
            world, differences, work, named = _part(targets, world, differences, work)
        steps = tuple(step for each in work.steps.values() for step in each)
        leftovers = (*resolved.leftovers, *kept, *work.left)
        return Draft(
            spec,
            live,
            world,
            differences,
            steps,
            leftovers,
            kept,
            resolved.twins,
            prune,
            exclusions,
            targets,
            named,
        )


def _mistakes(spec: Spec, differences: Iterable[Difference], world: World, work: _Work) -> list[Mistake]:
    """What EC2 cannot change in place, and what the kinds found that EC2 cannot carry out.

    Raises UnsupportedError if the spec has no rows, for then the whole stack is to be removed.
    """
    found = [
        mistake(spec, (*_path(difference.address), name), message, hint)
        for difference in differences
        for name, message, hint in immutable(difference, world)
    ]
    for address, error in work.errors.items():
        if not spec.document.resources:
            raise error
        message = error.message.removeprefix(f"{address}: ")
        path = (*_path(address), *filter(None, [error.attribute]))
        found.append(mistake(spec, path, message, error.hint))
    return found


def _path(address: str) -> tuple[str, str]:
    section, _, name = address.partition(".")
    return section, name


def make_plan(
    spec: Spec,
    live: Live,
    *,
    prune: bool = False,
    targets: Collection[str] = (),
    known: Limits | None = None,
) -> Plan:
    """The whole pure core: resolve, diff, order, limits as far as they are known. Raises as ``draft``."""
    return draft(spec, live, prune=prune, targets=targets).plan(known or Limits())


def _undeletable(world: World) -> dict[Leftover, str]:
    """Resources to remove that EC2 cannot delete, and why. Raises UnsupportedError if the whole stack is
    destroyed.
    """
    blocked = {
        Leftover(address, world.removed[address].id): f"it is still used by {who}"
        for kind in KINDS
        for address, who in sorted(kind.blocked_removals(world).items())
    }
    if blocked and not world.document.resources:
        lines = (f"\n  {left.address} ({left.id}): {who}" for left, who in blocked.items())
        raise UnsupportedError(
            "EC2 cannot delete these while other resources use them:" + "".join(lines),
            hint="remove these uses first",
        )
    return blocked


def _left(kept: Mapping[Leftover, str]) -> Iterator[str]:
    """Warnings of resources that should be removed and are not."""
    for left, who in kept.items():
        yield f"{left.address} ({left.id}) cannot be deleted and is kept: {who}"


def _twin_warnings(leftovers: Iterable[Leftover], twins: Mapping[str, str]) -> Iterator[str]:
    """Warnings of unused twins that this plan keeps."""
    for left in leftovers:
        if left.address in twins:
            yield f"{left.id} is an unused twin of {twins[left.address]}: `apply --prune` deletes it"


def _keeping(kept: Mapping[Leftover, str], world: World) -> World:
    addresses = {left.address for left in kept}
    removed = {address: record for address, record in world.removed.items() if address not in addresses}
    return replace(world, removed=removed)


def _protection(address: str, spec: Spec) -> str:
    """The place of a row's ``prevent_destroy``."""
    place = spec.problem((*_path(address), "lifecycle", "prevent_destroy"), "")
    return f"{place.file}:{place.line}"


def _forbidden(steps: Iterable[Step], spec: Spec) -> Iterator[str]:
    """Warnings of steps that apply refuses."""
    for step in steps:
        if step.impact is Impact.DESTRUCTIVE and step.address in spec.protected:
            yield f"{step.address} has prevent_destroy: this plan is refused because of its {step.call}"


def _collected(
    differences: Iterable[Difference], method: Callable[[Kind, Item, World], Sequence[T]], world: World
) -> tuple[T, ...]:
    """What a method of the kinds says of all items."""
    ask = _own(method)
    return tuple(
        answer
        for difference in differences
        for kind, item in difference.items
        if kind in ask
        for answer in ask[kind](item, world)
    )


def _own(method: Callable[[Kind, Item, World], T]) -> Mapping[Kind, Callable[[Item, World], T]]:
    """The kinds that have this method of their own. Items may be thousands, and most kinds have nothing to say."""
    name = method.__name__
    return {kind: getattr(kind, name) for kind in KINDS if getattr(type(kind), name) is not method}


def _stopping(differences: Iterable[Difference], world: World) -> frozenset[str]:
    """Addresses of the resources that the plan stops."""
    stops = _own(Kind.stops)
    items = (each for difference in differences for each in difference.items)
    return frozenset(item.address for kind, item in items if kind in stops and stops[kind](item, world))


def _steps_for(difference: Difference, world: World) -> Sequence[Step]:
    """The steps for one resource of the spec; none if nothing differs."""
    if not (difference.fields or difference.former):
        return ()
    steps = [step for kind, item in difference.items for step in kind.steps(item, world)]
    return marked_until_complete(difference.address, steps, world)


def _adopted_first(steps: Iterable[Step], world: World) -> list[Step]:
    """A resource to adopt gets its ownership tags before any other step changes it or refers to it."""
    adopting = {world.owned[address].id: address for address in world.adopting}

    def after(step: Step) -> frozenset[Condition]:
        touched = {step.address, *(adopting[text] for text in texts_in(step.params) if text in adopting)}
        return frozenset(Fact.ADOPTED.of(address) for address in touched & world.adopting) - step.brings

    return [replace(step, after=step.after | after(step)) for step in steps]


class _Work(Struct, frozen=True):
    """Steps by address, and errors by address for what EC2 could not carry out.

    In a plan with targets, ``left`` is what a plan for the whole stack would remove.
    """

    steps: Mapping[str, Sequence[Step]]
    errors: Mapping[str, UnsupportedError]
    left: tuple[Leftover, ...] = ()


def _work(differences: Iterable[Difference], world: World) -> _Work:
    steps: dict[str, list[Step]] = {}
    errors: dict[str, UnsupportedError] = {}

    def collect(address: str, ask: Callable[[], Iterable[Step]]) -> None:
        try:
            steps.setdefault(address, []).extend(ask())
        except UnsupportedError as error:
            errors.setdefault(address, error)

    for difference in differences:
        # Kinds have no steps for a change that EC2 cannot make in place.
        if not immutable(difference, world):
            collect(difference.address, partial(_steps_for, difference, world))
    for address, record in world.leaving:
        for kind in KINDS:
            if address.partition(".")[0] == kind.section:
                collect(address, partial(kind.remove, address, record, world))
    return _Work({address: _adopted_first(each, world) for address, each in steps.items() if each}, errors)


def _part(
    targets: Collection[str], world: World, differences: Sequence[Difference], work: _Work
) -> tuple[World, tuple[Difference, ...], _Work, Set[str]]:
    """Only the targets and what they need. A preference (``rather``, ``follows``) is not a need."""
    flat = [replace(step, rather=frozenset()) for each in work.steps.values() for step in each]
    hard, soft = needs_of(flat)
    part = targeted_part(targets, differences, world, flat, {step: hard[step] | soft[step] for step in hard})
    steps = {address: [step for step in each if step.id in part.steps] for address, each in work.steps.items()}
    removed = {address: record for address, record in world.removed.items() if address in part.addresses}
    replaced = {address: records for address, records in world.replaced.items() if address in part.addresses}
    return (
        replace(world, removed=removed, replaced=replaced),
        tuple(difference for difference in differences if difference.address in part.addresses),
        _Work(
            {address: each for address, each in steps.items() if each},
            {},
            tuple(
                Leftover(address, record.id)
                for address, record in world.removed.items()
                if address not in part.addresses
            ),
        ),
        part.named,
    )


def _changes(
    differences: Iterable[Difference],
    world: World,
    steps: Iterable[Step],
    leftovers: Iterable[Leftover],
    twins: Mapping[str, str],
    public_ips: Mapping[str, str],
) -> tuple[Change, ...]:
    by_address: dict[str, list[Step]] = {}
    for step in steps:
        by_address.setdefault(step.address, []).append(step)
    summed = partial(_summed, public_ips=public_ips)
    changed = [
        summed(
            difference.address,
            _action(difference, world),
            by_address.get(difference.address, ()),
            _id_of(difference, world),
            difference.fields,
            [f"replaces {' and '.join(difference.former)}"] if difference.former else (),
        )
        for difference in differences
    ]
    removed = [
        summed(
            address,
            Action.DELETE,
            by_address[address],
            record.id,
            notes=[f"unused twin of {twins[address]}"] if address in twins else (),
        )
        for address, record in world.removed.items()
    ]
    moved = [
        summed(
            left.address,
            Action.UPDATE,
            by_address[left.address],
            left.id,
            notes=["kept, but in the way of another resource"],
        )
        for left in leftovers
        if left.address in by_address
    ]
    return (*changed, *removed, *moved)


def _id_of(difference: Difference, world: World) -> str | None:
    """The id of the resource, or of the last one that it replaces."""
    record = world.owned.get(difference.address)
    return record.id if record else next(reversed(difference.former), None)


def _summed(
    address: str,
    action: Action,
    steps: Sequence[Step],
    aws_id: str | None,
    fields: tuple[Field, ...] = (),
    notes: Sequence[str] = (),
    *,
    public_ips: Mapping[str, str],
) -> Change:
    """The change of a resource, with the worst impact of its steps and their notes."""
    told = [*notes, *(step.note for step in steps if step.note)]
    impact = Impact.worst([step.impact for step in steps])
    public_ip = public_ips.get(aws_id or "")
    return Change(address, action, impact, aws_id, fields, "; ".join(told) or None, public_ip)


def _action(difference: Difference, world: World) -> Action:
    if difference.address in world.adopting:
        return Action.ADOPT
    if difference.former:
        return Action.REPLACE
    if not difference.exists:
        return Action.CREATE
    return Action.UPDATE if difference.fields else Action.UNCHANGED


def _fingerprint(differences: Iterable[Difference], world: World, steps: Sequence[Step]) -> str:
    """A hash of the live state as the plan saw it: ids, compared attributes, and the steps."""
    compared = (
        [
            difference.address,
            world.owned[difference.address].id if difference.exists else None,
            *(item.have for _, item in difference.items),
        ]
        for difference in differences
    )
    taken_away = sorted([address, record.id] for address, record in world.leaving)
    return fingerprint_of(chain(compared, [taken_away, encode(list(steps))]))
