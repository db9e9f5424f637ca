"""The tags that enireconcile keeps on a resource, and the calls that set them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.permissions import Call, Condition, Purpose, always
from enireconcile.kinds.world import World
from enireconcile.model import Ref, Step, Template
from enireconcile.ownership import NAME_TAG, NEW_TAG, STACK_TAG, as_tag_list, marked_new

TAGS = Attribute("tags", calls=("CreateTags",), events=("DeleteTags",))


def calls_for(resource_types: tuple[str, ...]) -> dict[str, Call]:
    """The calls for tags, which resources of all these types share."""
    return {
        "CreateTags": Call(always, changes=resource_types, conditions=lambda purpose: [only(spec_keys(purpose))]),
        "DeleteTags": Call(_sets_once, changes=resource_types, conditions=lambda _: [only({NEW_TAG})]),
    }


def only(keys: Iterable[str]) -> Condition:
    """A request names these tag keys only, and at least one: DeleteTags without keys deletes all tags."""
    return {**among(keys), "Null": {"aws:TagKeys": "false"}}


def among(keys: Iterable[str]) -> Condition:
    """A request names no other tag keys. IAM: this is also true for a request without tag keys."""
    return {"ForAllValues:StringEquals": {"aws:TagKeys": sorted(keys)}}


def spec_keys(purpose: Purpose) -> set[str]:
    """The tag keys that a plan sets on existing resources, ownership tags not included."""
    rows = purpose.document.resources.values()
    return {"Name", *purpose.document.tags, *(key for row in rows for key in getattr(row, "tags", {}))}


def _sets_once(purpose: Purpose) -> bool:
    """Only a resource with attributes that are set once is ever marked as not complete, and loses the mark."""
    return any(row.lifecycle.sets_once for row in purpose.document.resources.values())


def wanted_tags(address: str, own: Mapping[str, str | Template], world: World) -> dict[str, str | Template]:
    """The tags that a resource of the stack has: ownership, a Name, the spec's common tags and its own.

    An adopted resource keeps its Name. A resource whose tags are ignored still gets the ownership tags.
    """
    ownership: dict[str, str | Template] = {STACK_TAG: world.document.stack, NAME_TAG: address}
    if world.leaves(address, "tags"):
        return ownership
    name = {} if world.rows[address].adopt else {"Name": address.partition(".")[2]}
    return {**name, **_said(own, world), **ownership}


def spec_tags(address: str, world: World) -> dict[str, str | Template]:
    """The tags that the spec itself gives a resource: those of the file and those of its row."""
    return _said(getattr(world.rows[address], "tags", {}), world)


def _said(own: Mapping[str, str | Template], world: World) -> dict[str, str | Template]:
    return {key: world.text(value) for tags in (world.document.tags, own) for key, value in tags.items()}


def known_tags(tags: Mapping[str, str], want: Mapping[str, Any]) -> Mapping[str, str]:
    """Of the live tags those that the spec names, and the mark of a resource that is not complete.

    Other tags are not compared.
    """
    known = {key: tags[key] for key in (*want["tags"], NEW_TAG) if key in tags}
    return tags if len(known) == len(tags) else known


def born_with(tags: Mapping[str, str | Template]) -> dict[str, str]:
    """Of the tags that a new resource is to have those that its creation can give it."""
    return {key: value for key, value in tags.items() if isinstance(value, str)}


def tag_steps(item: Item, world: World) -> list[Step]:
    """One CreateTags with the tags that differ, if any do.

    A new resource has its tags from its creation on, but for those whose values are known only later.
    """
    if item.have is not None and not item.differs("tags"):
        return []
    wanted = item.want["tags"]
    before = born_with(wanted) if item.have is None else item.have["tags"]
    changed = {key: value for key, value in wanted.items() if before.get(key) != value}
    if not changed:
        return []
    return [
        Step(
            id=f"{item.address}/CreateTags",
            call="CreateTags",
            params={"Resources": [world.id_of(item.address)], "Tags": as_tag_list(changed)},
            address=item.address,
            brings=frozenset({Fact.ADOPTED.of(item.address)}),
            note=f"renames {former}" if (former := _former_name(before, changed)) else None,
        )
    ]


def _former_name(before: Mapping[str, str | Template], changed: Mapping[str, Any]) -> str | None:
    """The address that the resource had before, if the tags give it another one."""
    former = before.get(NAME_TAG) if NAME_TAG in changed and STACK_TAG not in changed else None
    return None if former is None else str(former)


def marked_until_complete(address: str, steps: Sequence[Step], world: World) -> Sequence[Step]:
    """The steps for a resource, with a mark (a tag) on it from its creation until the last of them is done.

    Only resources with attributes that are set once, at creation, and take several calls to create, need it: a run
    that finds the mark still sets these attributes.
    """
    live = world.owned.get(address)
    if live is None and not (world.rows[address].lifecycle.sets_once and len(steps) > 1):
        return steps
    if live is not None and NEW_TAG not in live.tags:
        return steps
    complete = Fact.COMPLETE.of(address)
    return [
        *(replace(_marked(step), brings=step.brings | {complete}) for step in steps),
        Step(
            id=f"{address}/DeleteTags",
            call="DeleteTags",
            params={"Resources": [world.id_of(address)], "Tags": [{"Key": NEW_TAG}]},
            address=address,
            after=frozenset({complete}),
        ),
    ]


def _marked(step: Step) -> Step:
    """The step that creates the resource, with the mark; any other step as it is."""
    if Ref(step.address) not in step.yields:
        return step
    return replace(step, params=marked_new(step.params))
