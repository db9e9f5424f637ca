"""What differs between spec and live state, by resource and attribute. Pure.

Relations count as attributes of their owner: an attachment that changes is an update of its interface, an
association an update of its address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.kinds import KINDS, Item, Kind, World, attribute_at
from enireconcile.kinds.tags import spec_tags
from enireconcile.model import Field, Secret, plain
from enireconcile.spec import SECTIONS

_KINDS = {section: tuple(kind for kind in KINDS if kind.section == section) for section in SECTIONS}


class Difference(Struct, frozen=True):
    """One resource: whether it exists, what of it differs, and the kinds' Items to plan from.

    ``former`` are the ids of those that it replaces; ``fields`` then show what differs from the last of them.
    """

    address: str
    exists: bool
    fields: tuple[Field, ...]
    items: tuple[tuple[Kind, Item], ...]
    former: tuple[str, ...] = ()


def diff(world: World) -> tuple[World, tuple[Difference, ...]]:
    """Every resource of the spec, in the order of its sections and names, and the World to plan in.

    In that World, a resource that has to be replaced no longer exists under its name.
    """
    seen = _differences(world)
    replacing = _to_replace(seen, world)
    if replacing:
        world = _without(replacing, world)
    before = {difference.address: difference for difference in seen}
    differences = _differences(world) if replacing else seen
    return world, tuple(
        replace(
            difference,
            fields=before[difference.address].fields,
            former=tuple(record.id for record in world.replaced[difference.address]),
        )
        if difference.address in world.replaced
        else difference
        for difference in differences
    )


def _differences(world: World) -> tuple[Difference, ...]:
    return tuple(
        _difference(section, name, world)
        for section in SECTIONS
        for name in world.document.own_names(section)
        if f"{section}.{name}" not in world.left_out
    )


def _to_replace(differences: tuple[Difference, ...], world: World) -> set[str]:
    """Addresses of resources that have to be replaced, and of those that are replaced together with them."""
    return _replaced_with(_replaceable_ones(differences, world), world)


def _replaceable_ones(differences: Iterable[Difference], world: World) -> set[str]:
    return {
        difference.address
        for difference in differences
        if any(_replaceable(kind, item, world) for kind, item, _ in _fixed(difference, world))
    }


def _replaced_with(addresses: set[str], world: World) -> set[str]:
    """These addresses, and those of the resources that are replaced together with them."""
    replacing = set(addresses)
    while more := {each for kind in KINDS for each in kind.follows(replacing, world)} - replacing:
        replacing |= more
    return replacing


def replacing_left_out(world: World) -> dict[str, str]:
    """Resources whose replacement would also replace one that is left out: its address by theirs."""
    if not world.left_out:
        return {}
    together = {
        address: _replaced_with({address}, world) & world.left_out
        for address in _replaceable_ones(_differences(world), world)
    }
    return {address: min(each) for address, each in together.items() if each}


def _without(addresses: set[str], world: World) -> World:
    """The World in which the resources at these addresses no longer belong to their rows."""
    former = {address: (*world.replaced.get(address, ()), world.owned[address]) for address in sorted(addresses)}
    return replace(
        world,
        owned={address: record for address, record in world.owned.items() if address not in addresses},
        replaced=dict(sorted({**world.replaced, **former}.items())),
    )


def _difference(section: str, name: str, world: World) -> Difference:
    address = f"{section}.{name}"
    items = []
    for kind in _KINDS[section]:
        want = kind.want(name, world)
        have = kind.have(name, world, want)
        ignored: tuple[Field, ...] = ()
        if have is not None and world.leaves_some(address):
            ignored = _ignored(address, want, have, world)
            want = {key: value for key, value in want.items() if key == "tags" or not world.leaves(address, key)}
        fields = _fields(want, have)
        if have is not None and not fields:
            # Nothing differs of most resources, and there may be thousands: keep equal values once.
            want = {key: _once(value, have.get(key)) for key, value in want.items()}
        items.append((kind, Item(address, want, have, fields, ignored)))
    every = tuple(field for _, item in items for field in item.fields)
    return Difference(address, address in world.owned, every, tuple(items))


def _once(value: Any, equal: Any) -> Any:
    return equal if type(value) is type(equal) else value


def _fields(want: Mapping[str, Any], have: Mapping[str, Any] | None) -> tuple[Field, ...]:
    if have is None:
        return tuple(Field(name, None, value) for name, value in want.items())
    return tuple(Field(name, have.get(name), value) for name, value in want.items() if have.get(name) != value)


def _ignored(address: str, want: Mapping[str, Any], have: Mapping[str, Any], world: World) -> tuple[Field, ...]:
    """The ignored attributes of a row, set once at creation, whose live value differs from the row.

    Of tags only those that differ. A secret cannot be compared after a launch; its kind warns of it.
    """
    row, live = world.rows[address], world.owned[address].tags
    written = {key for key in row.lifecycle.ignore if key == "tags" or key in row.model_fields_set}
    if not written:
        return ()
    tags = spec_tags(address, world)
    other = {key: value for key, value in tags.items() if live.get(key) != value}
    said = {**want, "tags": other} if "tags" in want else want
    found = {**have, "tags": {key: live[key] for key in other if key in live}}
    left = {key: said[key] for key in sorted(written) if key in said and world.leaves(address, key)}
    return tuple(field for field in _fields(left, found) if not isinstance(field.after, Secret))


def ignored_warnings(differences: Iterable[Difference]) -> Iterator[str]:
    """A warning for each attribute whose value in the spec has no effect because the row ignores it."""
    for difference in differences:
        for field in (field for _, item in difference.items for field in item.ignored):
            before, after = _differing(field)
            values = f"live {_brief(before)}, spec {_brief(after)}"
            # Long values, such as lists of rules, would hide the message.
            shown = f" ({values})" if len(values) <= _LONGEST else ""
            yield (
                f"{difference.address}: {field.field} differs{shown} and is ignored; to apply the spec's value, "
                f"remove {field.field} from lifecycle.ignore"
            )


_LONGEST = 160


def _differing(field: Field) -> tuple[Any, Any]:
    """Both values of a field; of two mappings only the keys that differ."""
    before, after = field.before, field.after
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return before, after
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: before[key] for key in keys if key in before}, {key: after[key] for key in keys if key in after}


def _brief(value: Any) -> str:
    return "none" if value is None else json.dumps(plain(value), ensure_ascii=False)


def _fixed(difference: Difference, world: World) -> Iterator[tuple[Kind, Item, Field]]:
    """What differs and cannot be changed on the existing resource."""
    for kind, item in difference.items if difference.fields else ():
        if item.have is not None and item.fields:
            fixed = kind.fixed(item, world)
            yield from ((kind, item, field) for field in item.fields if field.field in fixed)


def _replaceable(kind: Kind, item: Item, world: World) -> bool:
    """May a new resource replace it? An adopted one is never replaced."""
    return not world.rows[item.address].adopt and kind.replaces(item, world)


def immutable(difference: Difference, world: World) -> list[tuple[str, str, str]]:
    """What differs, cannot be changed in place, and does not lead to a replacement: field, message and hint."""
    return [
        (
            field.field,
            f"{world.owned[difference.address].id}: {field.field} is {_said(field.before)}, the spec says "
            f"{_said(field.after)}, and it cannot be changed in place",
            _advice(kind, difference.address, field, world),
        )
        for kind, item, field in _fixed(difference, world)
        if not _replaceable(kind, item, world)
    ]


def _said(value: Any) -> str:
    """A value in the spelling of the spec."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _advice(kind: Kind, address: str, field: Field, world: World) -> str:
    """What to write so that the plan works."""
    attribute = attribute_at(address, field.field)
    adopted = world.rows[address].adopt is not None
    choices = [kind.advice(attribute, address, world)] if attribute is not None else []
    if adopted:
        choices.append(f"remove {field.field} from the row: the resource is adopted, and keeps what it has")
    elif field.before is None:
        choices.append(f"remove {field.field} from the row")
    else:
        choices.append(f"keep {_said(field.before)}")
    return ", or ".join(filter(None, choices))
