"""Where interfaces belong: what the spec says, and for those with several instances the first healthy one. Pure.

::

    healthy candidates            current holder                          it belongs to
    ────────────────────────────  ──────────────────────────────────────  ─────────────────────────────
    none                          anything                                where it is, with a warning
    some                          one of them, without preempt            where it is
    some                          the first of them                       where it is
    some                          another, a stranger, or none at all     the first of them, with a reason
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from enireconcile.kinds.base import Placement
from enireconcile.live.records import LiveAttachment, LiveInstance, LiveNetworkInterface
from enireconcile.spec import Attachment, Document, Failover

_UNDECIDED = ("initializing", "insufficient-data")


@dataclass(frozen=True)
class Placements:
    """``placements`` by interface name; ``stranded`` maps interfaces that nobody healthy can hold to a warning."""

    placements: Mapping[str, Placement]
    stranded: Mapping[str, str]


def choose_placements(
    document: Document,
    interfaces: Mapping[str, LiveNetworkInterface],
    instances: Mapping[str, LiveInstance],
    checks: Mapping[str, str],
    vanished: Mapping[str, str],
) -> Placements:
    """``interfaces`` and ``instances`` are live records by logical name, without those on their way out.

    ``vanished`` maps the ids of those, and of instances that are gone, to their names.
    """
    placements: dict[str, Placement] = {}
    stranded: dict[str, str] = {}
    names = {**vanished, **{record.id: name for name, record in instances.items()}}
    for name, row in document.network_interfaces.items():
        at = row.attachment
        if at is None:
            continue
        if at.instance is not None:
            placements[name] = _placement(at, at.instance)
            continue
        current = _current_attachment(interfaces.get(name))
        holder = names.get(current.instance_id, current.instance_id) if current else None
        candidates = _Candidates(at, instances, checks, holder)
        if chosen := candidates.choose():
            placements[name] = _placement(at, chosen, candidates.reason(chosen))
            continue
        stranded[name] = f"network_interfaces.{name}: {candidates.stranded()}"
        if current is not None and holder is not None:
            placements[name] = Placement(
                holder, current.device_index, current.network_card_index, current.delete_on_termination
            )
    return Placements(placements, stranded)


def _placement(at: Attachment, instance: str, reason: str | None = None) -> Placement:
    patience = _failover_of(at).force_detach_seconds
    return Placement(instance, at.device_index, at.network_card_index, at.delete_on_termination, reason, patience)


def _failover_of(at: Attachment) -> Failover:
    """What the spec says of the failover, with the defaults of whatever it does not say."""
    return at.failover or Failover()


def _current_attachment(live: LiveNetworkInterface | None) -> LiveAttachment | None:
    """The attachment that counts: not one that is ending."""
    if live is None or live.attachment is None or live.attachment.status == "detaching":
        return None
    return live.attachment


@dataclass(frozen=True)
class _Candidates:
    """The instances that may hold one interface, and the one that does."""

    at: Attachment
    instances: Mapping[str, LiveInstance]
    checks: Mapping[str, str]
    holder: str | None

    def choose(self) -> str | None:
        """The table above."""
        healthy = [name for name in self.at.candidates if self.unhealthy(name) is None]
        if self.holder in healthy and not _failover_of(self.at).preempt:
            return self.holder
        return healthy[0] if healthy else None

    def unhealthy(self, name: str) -> str | None:
        """Why an instance cannot hold the interface, in a few words; None if it can."""
        live = self.instances.get(name)
        health = _failover_of(self.at).health
        if live is None:
            return "not there"
        if health == "none":
            return None
        if live.state != "running":
            return live.state
        if health == "running":
            return None
        check = self.checks.get(live.id, "insufficient-data")
        # Checks that have no result yet are no reason to take an interface away, and none to bring it.
        if check == "ok" or (name == self.holder and check in _UNDECIDED):
            return None
        return f"status checks {check}"

    def reason(self, chosen: str) -> str | None:
        """Why the interface moves, if it does."""
        if self.holder is None or self.holder == chosen:
            return None
        if self.holder not in self.at.candidates:
            return f"moves from {self.holder}, which is not among its instances, to {chosen}"
        if unhealthy := self.unhealthy(self.holder):
            return f"fails over from {self.holder} ({unhealthy}) to {chosen}"
        return f"goes back from {self.holder} to {chosen}, which is healthy again"

    def stranded(self) -> str:
        states = ", ".join(f"{name} ({self.unhealthy(name)})" for name in self.at.candidates)
        stays = f"it stays on {self.holder}" if self.holder else "it is attached to nothing"
        return f"no instance is healthy enough to hold it: {states}; {stays}"
