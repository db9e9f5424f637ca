"""Several live resources with one name in one stack: which one the row keeps, and which are unused twins. Pure.

Two hosts without a shared lock can create a resource twice. Nothing is lost with one that is not in use. But a
resource can also carry copied tags, so it counts as a twin only if what a create call fixes for good is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from enireconcile.live.records import AnyRecord, LiveElasticIp, LiveNetworkInterface
from enireconcile.ownership import REPLACES_TAG


class Choice(Struct, frozen=True):
    """``kept`` belongs to the row, ``twins`` can be deleted without harm."""

    kept: AnyRecord
    twins: tuple[AnyRecord, ...] = ()


def choose(records: Sequence[AnyRecord]) -> Choice | None:
    """The choice between the resources of one name; None if that would be a guess.

    The one that is in use is kept. Of interfaces that are all unused, every run keeps the one with the lowest id:
    they are interchangeable. Of Elastic IPs none is chosen then, since DNS records and firewalls may name any.
    """
    kept, *twins = sorted(records, key=lambda record: (not _is_used(record), record.id))
    guess = any(_is_used(twin) for twin in twins) or len(set(map(_birth, records))) > 1
    if twins and (guess or (isinstance(kept, LiveElasticIp) and kept.association_id is None)):
        return None
    return Choice(kept, tuple(twins))


def _is_used(record: AnyRecord) -> bool:
    """Does anything use the resource? Groups and instances count as used, since no twin of them can arise."""
    if isinstance(record, LiveNetworkInterface):
        idle = record.status in ("available", "pending") and record.attachment is None
        return not idle or bool(record.addresses) or record.manager is not None
    if isinstance(record, LiveElasticIp):
        return record.association_id is not None or bool(record.reverse_dns and record.reverse_dns.settling)
    return True


def _birth(record: AnyRecord) -> tuple[str, ...]:
    """What the create call has fixed for good."""
    if isinstance(record, LiveNetworkInterface):
        return record.subnet_id, record.interface_type, record.tags.get(REPLACES_TAG, "")
    return (record.pool, record.border_group) if isinstance(record, LiveElasticIp) else ()
