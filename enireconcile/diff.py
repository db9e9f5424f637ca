"""Wish and world side by side: what differs, by resource, in words that a person reads. Pure.

Relations count as attributes of their owner: an attachment that changes is an update of its interface, an
association an update of its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enireconcile.errors import UnsupportedError
from enireconcile.kinds import KINDS, Item, Kind, World
from enireconcile.model import Field
from enireconcile.spec import SECTIONS


@dataclass(frozen=True)
class Difference:
    """One resource: whether it exists, what of it differs, and the kinds' Items to plan from."""

    address: str
    exists: bool
    fields: tuple[Field, ...]
    items: tuple[tuple[Kind, Item], ...]


def diff(world: World) -> tuple[Difference, ...]:
    """Every resource of the spec, in the order of its sections and names. Raises UnsupportedError."""
    differences = tuple(
        _difference(section, name, world) for section in SECTIONS for name in world.document.own_names(section)
    )
    _refuse_immutable(differences, world)
    return differences


def _difference(section: str, name: str, world: World) -> Difference:
    address = f"{section}.{name}"
    items = []
    for kind in KINDS:
        if kind.section != section:
            continue
        want = kind.want(name, world)
        have = kind.have(name, world, want)
        items.append((kind, Item(address, want, have, _fields(want, have))))
    fields = tuple(field for _, item in items for field in item.fields)
    return Difference(address, address in world.owned, fields, tuple(items))


def _fields(want: Mapping[str, Any], have: Mapping[str, Any] | None) -> tuple[Field, ...]:
    if have is None:
        return tuple(Field(name, None, value) for name, value in want.items())
    return tuple(Field(name, have.get(name), value) for name, value in want.items() if have.get(name) != value)


def _refuse_immutable(differences: tuple[Difference, ...], world: World) -> None:
    """EC2 changes these at birth only, and the spec asks for no replacement."""
    lines = [
        f"{difference.address} ({world.owned[difference.address].id}): "
        f"{field.field} is {field.before}, the spec says {field.after}"
        for difference in differences
        for kind, item in difference.items
        for field in item.fields
        if item.have is not None and field.field in kind.immutable
    ]
    if lines:
        raise UnsupportedError(
            "this cannot be changed in place:\n  " + "\n  ".join(lines),
            hint="put the spec back, give the resource a new name in the spec, or remove the live one by hand",
        )
