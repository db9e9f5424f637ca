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


def adoptions(spec: Spec, live: Live, owned: Mapping[str, Record], mistakes: Mistakes) -> dict[str, Record]:
    """The records to adopt, by address. A row whose resource cannot be adopted is a mistake.

    A resource that was adopted a moment ago can be among the records: the read of what the stack owns may not show
    its tags yet.
    """
    there = {record.id: record for record in live.adoptable}
    names = {record.id: address for address, record in owned.items()}
    found: dict[str, Record] = {}
    for address, adopted in spec.document.adopted.items():
        if names.get(adopted) == address:
            continue
        record = there.get(adopted)
        words = _owned_otherwise(address, adopted, owned, names) or _objection(spec, address, record, live.region)
        if words:
            section, _, name = address.partition(".")
            mistakes.add((section, name, "adopt"), *words)
        elif record is not None:
            found[address] = record
    return found


def _owned_otherwise(
    address: str, adopted: str, owned: Mapping[str, Record], names: Mapping[str, str]
) -> _Words | None:
    """The problem if the address has another resource, or the resource another address."""
    if address in owned:
        present = owned[address].id
        return (
            f"{address} exists already: {present}",
            f"remove `adopt`, or remove the tags of the stack from {present}",
        )
    return _of_another_name(adopted, names[adopted]) if adopted in names else None


def _of_another_name(adopted: str, name: str) -> _Words:
    hint = f"use that name, or remove its tags {STACK_TAG} and {NAME_TAG}"
    return f"{adopted} belongs to this stack as {name}", hint


def _objection(spec: Spec, address: str, record: Record | None, region: str) -> _Words | None:
    """The problem if a resource cannot be adopted."""
    stack = spec.document.stack
    if record is None:
        return f"no such resource in {region}", "check the id and the region, or remove `adopt` to create it"
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
        hint = "remove it from that stack first: two stacks would undo each other's changes"
        return f"{record.id} belongs to the stack {owner}", hint
    name = record.tags.get(NAME_TAG, address)
    return _of_another_name(record.id, name) if STACK_TAG in record.tags and name != address else None
