"""The tags that enireconcile keeps on a resource, and the call that sets them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enireconcile.kinds.base import Item
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.world import World
from enireconcile.model import (
    Step,
)
from enireconcile.ownership import (
    NAME_TAG,
    NEW_TAG,
    STACK_TAG,
    as_tag_list,
)


def wanted_tags(address: str, own: Mapping[str, str], world: World) -> dict[str, str]:
    """The tags that we keep on a resource: ownership, a Name, the spec's common tags and its own.

    What is adopted keeps the Name that it has; what ignores its tags keeps those that say whose it is.
    """
    ours = {STACK_TAG: world.document.stack, NAME_TAG: address}
    if world.leaves(address, "tags"):
        return ours
    name = {} if world.rows[address].adopt else {"Name": address.partition(".")[2]}
    return {**name, **world.document.tags, **own, **ours}


def known_tags(tags: Mapping[str, str], want: Mapping[str, Any]) -> dict[str, str]:
    """Of the live tags those that we keep, and the one that goes by itself; the others are other people's."""
    return {key: tags[key] for key in (*want["tags"], NEW_TAG) if key in tags}


def tag_steps(item: Item, world: World) -> list[Step]:
    """One CreateTags with the tags that differ, if any do."""
    if item.have is None or not item.differs("tags"):
        return []
    before = item.have["tags"]
    changed = {key: value for key, value in item.want["tags"].items() if before.get(key) != value}
    if not changed:
        return []
    return [
        Step(
            id=f"{item.address}/CreateTags",
            call="CreateTags",
            params={"Resources": [world.id_of(item.address)], "Tags": as_tag_list(changed)},
            address=item.address,
            brings=frozenset({Fact.ADOPTED.of(item.address)}),
        )
    ]
