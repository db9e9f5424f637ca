"""What differs between spec and live state, by resource and attribute. Pure.

Relations count as attributes of their owner: an attachment that changes is an update of its interface, an
association an update of its address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from enireconcile.errors import UnsupportedError
from enireconcile.kinds import KINDS, Item, Kind, World, attribute_at
from enireconcile.model import Field
from enireconcile.spec import SECTIONS


@dataclass(frozen=True)
class Difference:
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
        _difference(section, name, world) for section in SECTIONS for name in world.document.own_names(section)
    )


def _to_replace(differences: tuple[Difference, ...], world: World) -> set[str]:
    """Addresses of resources that have to be replaced, and of those that are replaced together with them."""
    replacing = {
        difference.address
        for difference in differences
        if any(_replaceable(kind, item, world) for kind, item, _ in _fixed(difference, world))
    }
    while more := {each for kind in KINDS for each in kind.follows(replacing, world)} - replacing:
        replacing |= more
    return replacing


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
    for kind in KINDS:
        if kind.section != section:
            continue
        want = kind.want(name, world)
        have = kind.have(name, world, want)
        if have is not None:
            want = {key: value for key, value in want.items() if key == "tags" or not world.leaves(address, key)}
        items.append((kind, Item(address, want, have, _fields(want, have))))
    fields = tuple(field for _, item in items for field in item.fields)
    return Difference(address, address in world.owned, fields, tuple(items))


def _fields(want: Mapping[str, Any], have: Mapping[str, Any] | None) -> tuple[Field, ...]:
    if have is None:
        return tuple(Field(name, None, value) for name, value in want.items())
    return tuple(Field(name, have.get(name), value) for name, value in want.items() if have.get(name) != value)


def _fixed(difference: Difference, world: World) -> Iterator[tuple[Kind, Item, Field]]:
    """What differs and cannot be changed on the existing resource."""
    for kind, item in difference.items:
        if item.have is not None:
            fixed = kind.fixed(item, world)
            yield from ((kind, item, field) for field in item.fields if field.field in fixed)


def _replaceable(kind: Kind, item: Item, world: World) -> bool:
    """May a new resource replace it? An adopted one is never replaced."""
    return not world.rows[item.address].adopt and kind.replaces(item, world)


def immutable(difference: Difference, world: World) -> list[str]:
    """What differs, cannot be changed on the existing resource, and asks for no replacement: one line each."""
    return [
        f"{difference.address} ({world.owned[difference.address].id}): {field.field} is {_said(field.before)}, "
        f"the spec says {_said(field.after)}{_advice(kind, difference.address, field.field, world)}"
        for kind, item, field in _fixed(difference, world)
        if not _replaceable(kind, item, world)
    ]


def _said(value: Any) -> str:
    """A value in the spelling of the spec."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _advice(kind: Kind, address: str, name: str, world: World) -> str:
    """What to do about an attribute that cannot be changed, if the hint for all of them is not enough."""
    if world.rows[address].adopt:
        return "; the resource is adopted: remove this attribute"
    attribute = attribute_at(address, name)
    words = kind.advice(attribute) if attribute is not None else ""
    return f"; {words}" if words else ""


def refuse_immutable(differences: Iterable[Difference], world: World) -> None:
    """Raises UnsupportedError with all these lines."""
    lines = [line for difference in differences for line in immutable(difference, world)]
    if lines:
        raise UnsupportedError(
            "this cannot be changed in place:\n  " + "\n  ".join(lines),
            hint="revert the change, rename the resource in the spec, or delete the live resource by hand",
        )
