"""The instance that each interface belongs to: as the spec says, or by failover the first healthy one. Pure.

::

    healthy candidates            attached to                             belongs to
    ────────────────────────────  ──────────────────────────────────────  ─────────────────────────────
    none                          an instance                             where it is, with a warning
    none                          none, and this plan launches some       the first of these
    none                          none                                    none, with a warning
    some                          one of them, without preempt            where it is
    some                          the first of them                       where it is
    some                          another instance, or none               the first of them, with a reason
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from enireconcile.kinds.world import Placement
from enireconcile.live.records import LiveAttachment, LiveInstance, LiveNetworkInterface
from enireconcile.spec import Attachment, Document, Failover

_UNDECIDED = ("initializing", "insufficient-data")


class Placements(Struct, frozen=True):
    """``placements`` by interface name; ``stranded`` warns of interfaces without a healthy instance, by name."""

    placements: Mapping[str, Placement]
    stranded: Mapping[str, str]


def choose_placements(
    document: Document,
    interfaces: Mapping[str, LiveNetworkInterface],
    instances: Mapping[str, LiveInstance],
    checks: Mapping[str, str],
    terminating: Mapping[str, str],
    launched: Collection[str] = (),
) -> Placements:
    """The placements of all interfaces that the spec attaches.

    ``interfaces`` and ``instances`` are live records by logical name, without terminating ones. ``checks`` are
    status checks by instance id. ``terminating`` maps the ids of instances that are terminating or gone to
    their names. ``launched`` are the names of instances that this plan launches and leaves running.
    """
    placements: dict[str, Placement] = {}
    stranded: dict[str, str] = {}
    names = {**terminating, **{record.id: name for name, record in instances.items()}}
    for name, row in document.network_interfaces.items():
        at = row.attachment
        if at is None:
            continue
        if at.instance is not None:
            placements[name] = _placement(at, at.instance)
            continue
        current = _current_attachment(interfaces.get(name))
        holder = names.get(current.instance_id, current.instance_id) if current else None
        candidates = _Candidates(at, instances, checks, holder, launched)
        if instance := candidates.choose():
            placements[name] = _placement(at, instance, candidates.reason(instance))
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
    """The failover settings of a row, with defaults."""
    return at.failover or Failover()


def _current_attachment(live: LiveNetworkInterface | None) -> LiveAttachment | None:
    """The attachment of an interface, unless it is detaching."""
    if live is None or live.attachment is None or live.attachment.status == "detaching":
        return None
    return live.attachment


class _Candidates(Struct, frozen=True):
    """The instances that one interface can be attached to, and ``holder``, the one that it is attached to.

    ``launched`` are those that this plan launches.
    """

    at: Attachment
    instances: Mapping[str, LiveInstance]
    checks: Mapping[str, str]
    holder: str | None
    launched: Collection[str]

    def choose(self) -> str | None:
        """The instance by the table above; None if there is none to attach it to."""
        healthy = [name for name in self.at.candidates if self.problem_of(name) is None]
        if self.holder in healthy and not _failover_of(self.at).preempt:
            return self.holder
        if not healthy and self.holder is None:
            return next((name for name in self.at.candidates if name in self.launched), None)
        return healthy[0] if healthy else None

    def problem_of(self, name: str) -> str | None:
        """Why an instance is not healthy, in a few words; None if it is."""
        live = self.instances.get(name)
        health = _failover_of(self.at).health
        if live is None:
            return "not found"
        if health == "none":
            return None
        if live.state != "running":
            return live.state
        if health == "running":
            return None
        check = self.checks.get(live.id, "insufficient-data")
        # Without a result yet, checks neither move an interface away from an instance nor to it.
        if check == "ok" or (name == self.holder and check in _UNDECIDED):
            return None
        return f"status checks {check}"

    def reason(self, instance: str) -> str | None:
        """Why the interface moves; None if it stays, or is attached to no instance."""
        if self.holder is None or self.holder == instance:
            return None
        if self.holder not in self.at.candidates:
            return f"moves from {self.holder}, which is not one of its instances, to {instance}"
        if problem := self.problem_of(self.holder):
            return f"fails over from {self.holder} ({problem}) to {instance}"
        return f"fails back from {self.holder} to {instance}, which is healthy again"

    def stranded(self) -> str:
        """The warning that no candidate is healthy."""
        states = ", ".join(f"{name} ({self.problem_of(name)})" for name in self.at.candidates)
        stays = f"it stays on {self.holder}" if self.holder else "it stays detached"
        return f"no healthy instance to attach it to: {states}; {stays}"
