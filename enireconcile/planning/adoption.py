"""``adopt``: which existing resources a stack can adopt, and why it cannot adopt others. Pure.

Only existing, unowned resources can be adopted. An adopted resource is tagged, and from then on owned like any
other; its row can keep ``adopt``.
"""

from __future__ import annotations

from collections.abc import Mapping

from enireconcile.live.records import Live, LiveInstance, LiveSecurityGroup, Record
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.mistakes import Mistakes
from enireconcile.spec import Spec

_Words = tuple[str, str]
_SEVERAL = 2
"""From so many rows on, one problem of all is told once."""


def adoptions(spec: Spec, live: Live, owned: Mapping[str, Record], mistakes: Mistakes) -> dict[str, Record]:
    """The records to adopt, by address. A row whose resource cannot be adopted is a mistake.

    A resource that was adopted a moment ago can be among the records: the read of what the stack owns may not show
    its tags yet.
    """
    there = {record.id: record for record in live.adoptable}
    names = {record.id: address for address, record in owned.items()}
    found: dict[str, Record] = {}
    if words := _objection_to_all(spec, there, names, live.region):
        first, *others = spec.document.adopted
        mistakes.add((*first.split(".", 1), "adopt"), *words, touches=others, alone=True)
        return found
    for address, adopted in spec.document.adopted.items():
        if names.get(adopted) == address:
            continue
        record = there.get(adopted)
        words = _owned_otherwise(spec, address, adopted, owned, names) or _objection(
            spec, address, adopted, record, live.region
        )
        if words:
            section, _, name = address.partition(".")
            mistakes.add((section, name, "adopt"), *words, alone=True)
        elif record is not None:
            found[address] = record
    return found


def _objection_to_all(
    spec: Spec, there: Mapping[str, Record], names: Mapping[str, str], region: str
) -> _Words | None:
    """The problem if several rows adopt, and all have one problem: the file's Region or stack is wrong."""
    ids, stack = spec.document.adopted.values(), spec.document.stack
    if len(ids) < _SEVERAL or any(each in names for each in ids):
        return None
    if not any(each in there for each in ids):
        return (
            f"none of the {len(ids)} ids that the file adopts exist in {region}",
            "is the Region right, and the account? Check `region`, AWS_REGION and the profile",
        )
    owners = {there[each].tags.get(STACK_TAG, stack) if each in there else stack for each in ids}
    if len(owners) > 1 or stack in owners:
        return None
    [owner] = owners
    return (
        f"all {len(ids)} resources that the file adopts belong to the stack {owner}",
        _release_hint(owner, "their rows", "their"),
    )


def _release_hint(owner: str, rows: str, whose: str) -> str:
    return (
        f"if this is the file of that stack, write `stack: {owner}`; else remove {rows} from its file, "
        f"apply it without --prune, and remove {whose} tags {STACK_TAG} and {NAME_TAG}: "
        "two stacks would undo each other's changes"
    )


def _owned_otherwise(
    spec: Spec, address: str, adopted: str, owned: Mapping[str, Record], names: Mapping[str, str]
) -> _Words | None:
    """The problem if the address has another resource, or the resource another address."""
    if address in owned:
        present = owned[address].id
        return (
            f"{address} is {present} already, not {adopted}",
            f"write `adopt: {present}`, or remove `adopt`; "
            f"to adopt {adopted} instead, first remove the tags of the stack from {present}",
        )
    return _of_another_name(spec, address, adopted, names[adopted]) if adopted in names else None


def _of_another_name(spec: Spec, address: str, adopted: str, name: str) -> _Words:
    section, _, former = name.partition(".")
    rest = f"remove its tags {STACK_TAG} and {NAME_TAG}"
    if name in spec.document.resources:
        hint = f"remove one of the two rows, or {rest}"
    elif section != address.partition(".")[0] or former == adopted:
        hint = f"use that name, or {rest}"
    else:
        hint = f"if the row was renamed, add `renamed_from: {former}`; else use the name {former}, or {rest}"
    return f"{adopted} belongs to this stack as {name}", hint


def _objection(spec: Spec, address: str, adopted: str, record: Record | None, region: str) -> _Words | None:
    """The problem if a resource cannot be adopted."""
    stack = spec.document.stack
    if record is None:
        return (
            f"no such resource in {region}: {adopted}",
            "check the id and the region, or remove `adopt` to create it",
        )
    if isinstance(record, LiveInstance) and record.terminating:
        return f"{record.id} is {record.state}", "remove `adopt` to launch a new instance"
    if record.manager is not None:
        return (
            f"{record.id} is managed by {record.manager}",
            "enireconcile never changes what an AWS service manages",
        )
    if isinstance(record, LiveSecurityGroup) and record.name == "default":
        return f"{record.id} is the default security group of its VPC", "EC2 cannot delete it; adopt another group"
    owner = record.tags.get(STACK_TAG, stack)
    if owner != stack:
        return f"{record.id} belongs to the stack {owner}", _release_hint(owner, "its row", "its")
    name = record.tags.get(NAME_TAG, address)
    if STACK_TAG in record.tags and name != address:
        return _of_another_name(spec, address, record.id, name)
    return None
