"""Which live records belong to which row of a spec. Pure.

A resource of the stack belongs to the row that its name tag names. A resource that a row adopts belongs to that
row by its id, even before it carries the tags of the stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from enireconcile.live.records import (
    AnyRecord,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
)
from enireconcile.ownership import NAME_TAG, REPLACES_TAG
from enireconcile.spec import Document, Resource, Selector

R = TypeVar("R", LiveSecurityGroup, LiveInstance, LiveNetworkInterface, LiveElasticIp)

_SECTIONS: Mapping[type, str] = {
    LiveSecurityGroup: "security_groups",
    LiveInstance: "instances",
    LiveNetworkInterface: "network_interfaces",
    LiveElasticIp: "elastic_ips",
}


def selects(selector: Selector, record: LiveSubnet | LiveVpc) -> bool:
    """Does the selector match a subnet or a VPC?"""
    if selector.id is not None:
        return record.id == selector.id
    if selector.tags is not None:
        return selector.tags.items() <= record.tags.items()
    if isinstance(record, LiveVpc):
        return selector.cidr in record.cidrs if selector.cidr is not None else record.is_default
    if selector.cidr is not None:
        return record.cidr == selector.cidr
    return record.default_for_az and record.zone == selector.default_for_az


def unnamed_address(record: AnyRecord) -> str:
    """The address of a record that no row names: ``<section>.<id>``."""
    return f"{_SECTIONS[type(record)]}.{record.id}"


def tagged_address(record: AnyRecord) -> str:
    """The address in the name tag of a record; its unnamed address if the tag names no row of its section."""
    tagged = record.tags.get(NAME_TAG, "")
    # Users can edit tags.
    return tagged if tagged.partition(".")[0] == _SECTIONS[type(record)] else unnamed_address(record)


def by_address(
    records: Iterable[AnyRecord],
    adopted: Mapping[str, str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> dict[str, tuple[AnyRecord, ...]]:
    """The records by the address of their row.

    ``adopted`` maps addresses to the ids that their rows adopt, ``renamed`` to the addresses that they had before.
    A terminating instance belongs to no row, nor does an Elastic IP that an AWS service manages: services copy
    tags to addresses of their own. What is listed twice, as on two pages of a list that shifts, is one record.
    """
    adopting = {record_id: address for address, record_id in (adopted or {}).items()}
    found: dict[str, list[AnyRecord]] = {}
    for record in {record.id: record for record in records}.values():
        if not _is_out_of_reach(record):
            address = adopting.get(record.id) or tagged_address(record)
            found.setdefault(address, []).append(record)
    for address, former in (renamed or {}).items():
        _rename(former, address, found)
    return {address: tuple(each) for address, each in found.items()}


def _rename(former: str, address: str, found: dict[str, list[AnyRecord]]) -> None:
    """Moves the records of a former address to the present one, unless that has others.

    A record that one at the present address replaces moves, too: an interrupted run has renamed only the other.
    """
    replaced = {record.tags.get(REPLACES_TAG) for record in found.get(address, ())}
    moving = [each for each in found.get(former, ()) if address not in found or each.id in replaced]
    staying = [each for each in found.pop(former, ()) if each not in moving]
    if moving:
        found.setdefault(address, []).extend(moving)
    if staying:
        found[former] = staying


def _is_out_of_reach(record: AnyRecord) -> bool:
    if isinstance(record, LiveInstance):
        return record.terminating
    return isinstance(record, LiveElasticIp) and record.manager is not None


class Matches:
    """The rows of a spec, matched with live records of its stack and those that it adopts."""

    def __init__(self, document: Document, records: Iterable[AnyRecord]) -> None:
        self._rows: Mapping[str, Resource] = document.resources
        self._by_address = by_address(records, document.adopted, document.renamed)
        self._addresses = {record.id: address for address, each in self._by_address.items() for record in each}

    def exists(self, address: str) -> bool:
        """Does a record belong to the row at an address?"""
        return address in self._by_address

    def at(self, address: str, kind: type[R]) -> tuple[R, ...]:
        """The records of a row: several while a replacement is under way."""
        return tuple(record for record in self._by_address.get(address, ()) if isinstance(record, kind))

    def row(self, record: AnyRecord) -> Resource | None:
        """The row that a record belongs to, if the spec has it."""
        return self._rows.get(self._addresses.get(record.id, ""))

    def unnamed(self, kind: type[R]) -> tuple[R, ...]:
        """The records of one kind that belong to no row of the spec, or that share a row: what ``--prune`` removes
        is among them.
        """
        return tuple(
            record
            for address, each in self._by_address.items()
            if address not in self._rows or len(each) > 1
            for record in each
            if isinstance(record, kind)
        )
