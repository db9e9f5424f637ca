"""The live resources of a stack by their addresses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from enireconcile.live.matching import by_address, unnamed_address
from enireconcile.live.records import AnyRecord, Live
from enireconcile.ownership import REPLACES_TAG
from enireconcile.planning.twins import choose


class Owned(Struct, frozen=True):
    """``records`` has one for each address; several whose address the spec does not name have their own.

    ``replaced`` are those whose replacement exists already, ``twins`` maps the addresses of unused twins to the
    resource that has their name, in words, and ``ambiguous`` are several that belong to one row, by its address.
    """

    records: dict[str, AnyRecord] = {}
    replaced: dict[str, tuple[AnyRecord, ...]] = {}
    twins: dict[str, str] = {}
    ambiguous: dict[str, tuple[AnyRecord, ...]] = {}

    @property
    def everything(self) -> dict[str, AnyRecord]:
        """All records, each under an address of its own."""
        more = (record for each in (self.replaced, self.ambiguous) for found in each.values() for record in found)
        return self.records | {unnamed_address(record): record for record in more}


def owned(live: Live, named: Collection[str], renamed: Mapping[str, str]) -> Owned:
    """What the stack owns; ``named`` are the addresses of the spec, ``renamed`` maps some to their former ones."""
    found = Owned()
    mine: tuple[AnyRecord, ...] = (
        *live.security_groups,
        *live.instances,
        *live.network_interfaces,
        *live.elastic_ips,
    )
    for address, records in sorted(by_address(mine, renamed=renamed).items()):
        if len(records) == 1:
            found.records[address] = records[0]
            continue
        former = _former(records)
        current = [record for record in records if record not in former]
        if address not in named:
            if len(current) == 1:
                found.records[address], records = current[0], former
            found.records.update({unnamed_address(record): record for record in records})
            continue
        if former:
            found.replaced[address] = former
        choice = choose(current)
        if choice is None:
            found.ambiguous[address] = tuple(current)
            continue
        found.records[address] = choice.kept
        found.records.update({unnamed_address(twin): twin for twin in choice.twins})
        found.twins.update({unnamed_address(twin): f"{address} ({choice.kept.id})" for twin in choice.twins})
    return found


def _former(records: Sequence[AnyRecord]) -> tuple[AnyRecord, ...]:
    """The records of one address that another one replaces: that one carries the tag from its creation.

    None if the tags, which users can edit, say that of each of them.
    """
    superseded = {record.tags.get(REPLACES_TAG) for record in records}
    former = sorted((record for record in records if record.id in superseded), key=lambda record: record.id)
    return tuple(former) if len(former) < len(records) else ()
