"""Existing resources that rows name by id, to take over in place: who may be, and why others may not. Pure.

A resource is adopted once. From then on it is owned like any other, by its tags, and ``adopt`` has only to agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from enireconcile.errors import Problem
from enireconcile.kinds.base import Record
from enireconcile.live.records import Live, LiveInstance, LiveSecurityGroup
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.spec import Spec

_Words = tuple[str, str]


def adoptions(spec: Spec, live: Live, owned: Mapping[str, Record]) -> tuple[dict[str, Record], list[Problem]]:
    """The records to take over, by address, and what stands against those that cannot be.

    A read of what is owned may be too old to show one that was tagged a moment ago: then it is among them, too,
    and nothing of it differs.
    """
    there = {record.id: record for record in live.adoptable}
    names = {record.id: address for address, record in owned.items()}
    found: dict[str, Record] = {}
    problems: list[Problem] = []
    for address, adopted in spec.document.adopted.items():
        if names.get(adopted) == address:
            continue
        record = there.get(adopted)
        words = _owned_otherwise(address, adopted, owned, names) or _objection(spec, address, record, live.region)
        if words:
            section, _, name = address.partition(".")
            problems.append(spec.problem((section, name, "adopt"), *words))
        elif record is not None:
            found[address] = record
    return found, problems


def _owned_otherwise(
    address: str, adopted: str, owned: Mapping[str, Record], names: Mapping[str, str]
) -> _Words | None:
    """Do the live tags tie the name, or the resource, to another one?"""
    if address in owned:
        present = owned[address].id
        return f"{present} is {address} already", f"remove `adopt`, or take the tags of the stack off {present}"
    return _of_another_name(adopted, names[adopted]) if adopted in names else None


def _of_another_name(adopted: str, name: str) -> _Words:
    return f"{adopted} is {name} of this stack", f"give that name, or remove its tags {STACK_TAG} and {NAME_TAG}"


def _objection(spec: Spec, address: str, record: Record | None, region: str) -> _Words | None:
    """Why a resource cannot be taken over."""
    stack = spec.document.stack
    if record is None:
        return f"there is no such resource in {region}", "remove `adopt` to have it made"
    if isinstance(record, LiveInstance) and record.terminating:
        return f"{record.id} is {record.state}", "remove `adopt` to have an instance launched"
    if record.manager is not None:
        return f"{record.id} is managed by {record.manager}", "what a service manages is never touched"
    if isinstance(record, LiveSecurityGroup) and record.name == "default":
        return f"{record.id} is the default group of its VPC", "EC2 never deletes that one; adopt another"
    owner = record.tags.get(STACK_TAG, stack)
    if owner != stack:
        return f"{record.id} is of the stack {owner}", "take it out of that stack first; two would undo each other"
    name = record.tags.get(NAME_TAG, address)
    return _of_another_name(record.id, name) if STACK_TAG in record.tags and name != address else None
