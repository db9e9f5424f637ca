"""What a plan changes, as a picture: before and after in one, each part with its state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from enireconcile.live.records import Live
from enireconcile.model import Action, Change, Field, Plan, Ref
from enireconcile.outputs.graph.known import Known, table_text
from enireconcile.outputs.graph.of_live import live_picture
from enireconcile.outputs.graph.of_spec import spec_picture
from enireconcile.outputs.graph.picture import (
    CHOSEN,
    PRIMARY,
    Association,
    Attachment,
    ElasticIp,
    Instance,
    Interface,
    Item,
    Picture,
    Relation,
    Route,
    State,
    completed,
    name_of,
)
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.spec import ADDRESS_KEYS, Document

R = TypeVar("R", Attachment, Association, Route)
N = TypeVar("N", Instance, Interface, ElasticIp)

_STATES = {
    Action.CREATE: State.CREATED,
    Action.UPDATE: State.CHANGED,
    Action.REPLACE: State.REPLACED,
    Action.DELETE: State.REMOVED,
    Action.ADOPT: State.ADOPTED,
    Action.UNCHANGED: State.SAME,
}
_RELATIONS = ("attachment", "association", "routes")
_ADDRESSES = ("private_ip", *(key for keys in ADDRESS_KEYS for key in keys))
_DRAWN = {*_RELATIONS, *_ADDRESSES, "security_groups", "instance_type", "state", "source_dest_check"}
"""Fields that a picture shows by themselves; others are named."""


def plan_picture(plan: Plan, document: Document, live: Live) -> Picture:
    """What the plan changes. ``document`` and ``live`` are those that it was made from.

    What the plan leaves out, or does not remove, is drawn as it is.
    """
    return _Plan(plan, document, live).picture()


class _Plan:
    """Before, after, and the changes by address."""

    def __init__(self, plan: Plan, document: Document, live: Live) -> None:
        self.known = Known(document, live)
        self.before, self.after = live_picture(document, live), spec_picture(document, live)
        self.changes: dict[str, Change] = {change.address: change for change in plan.changes}
        self.states = {address: _STATES[change.action] for address, change in self.changes.items()}
        for address, formers in self.known.owned.replaced.items():
            # An interrupted run has made the successor already; this plan removes the former.
            if self.states.get(address) is State.REPLACED:
                self.states |= {self.known.key(former.id): State.REMOVED for former in formers}

    def picture(self) -> Picture:
        before, after = self.before, self.after
        attachments = self._relations("attachment", before.attachments, after.attachments, self._attachment)
        return _ended(
            Picture(
                before.stack,
                before.region,
                self._nodes(before.instances, after.instances, self._instance),
                tuple(map(self._ending, self._nodes(before.interfaces, after.interfaces, self._interface))),
                self._nodes(before.elastic_ips, after.elastic_ips, _elastic_ip),
                _standing_once(attachments),
                self._relations("association", before.associations, after.associations, self._association),
                self._relations("routes", before.routes, after.routes, self._routes),
            )
        )

    # ---- instances, interfaces, Elastic IPs

    def _nodes(
        self, before: Iterable[N], after: Iterable[N], merged: Callable[[N, N, Change], N]
    ) -> tuple[N, ...]:
        old: dict[str, N] = {each.key: each for each in before}
        new: dict[str, N] = {each.key: each for each in after}
        found: list[N] = []
        for key in dict.fromkeys((*old, *new)):
            change, state = self.changes.get(key), self.states.get(key, State.SAME)
            if change is None:
                # Others', left out, or not asked for. What is not there yet stays away if it would be ours.
                node = old.get(key) or (None if key in self.known.document.resources else new[key])
            elif key in old and key in new:
                node = merged(old[key], new[key], change)
            else:
                node = new.get(key) or old[key]
            if node is not None:
                found.append(replace(node, state=state))
        return tuple(found)

    def _instance(self, old: Instance, new: Instance, change: Change) -> Instance:
        return replace(new, facts=(*_told(old.facts, new.facts, change), *_rest(change)))

    def _interface(self, old: Interface, new: Interface, change: Change) -> Interface:
        fields = {field.field for field in change.fields}
        groups, addresses = old.groups, old.addresses
        if "security_groups" in fields:
            groups = _union(old.groups, self._groups(change))
        if change.action is Action.REPLACE or fields & set(_ADDRESSES):
            addresses = _union(old.addresses, new.addresses)
        place = new if change.action is Action.REPLACE else old
        return replace(
            new,
            vpc=place.vpc,
            subnet=place.subnet,
            zone=place.zone,
            groups=tuple(map(self._group, groups)),
            addresses=addresses,
            facts=(*_told(old.facts, new.facts, change), *_rest(change)),
        )

    def _groups(self, change: Change) -> tuple[Item, ...]:
        wanted: Sequence[Any] = next(field.after for field in change.fields if field.field == "security_groups")
        names = (
            name_of(each.address) if isinstance(each, Ref) else self.known.group(each) for each in wanted or ()
        )
        return tuple(Item(name, key=name) for name in names)

    def _group(self, item: Item) -> Item:
        """A group that stays on its interface has the state of the group itself."""
        address = f"security_groups.{item.key}"
        own, change = self.states.get(address, State.SAME), self.changes.get(address)
        if item.state is not State.SAME or own is State.SAME or change is None:
            return item
        return replace(item, state=own, note=_notes(change, ()))

    def _ending(self, interface: Interface) -> Interface:
        """Of the groups of an interface that goes, those that go with it are marked."""
        if self.states.get(interface.key) is not State.REMOVED:
            return interface
        return replace(interface, groups=tuple(map(self._group, interface.groups)))

    # ---- relations

    def _relations(
        self, name: str, before: Sequence[R], after: Sequence[R], planned: Callable[[str, Any, list[R]], list[R]]
    ) -> tuple[R, ...]:
        """Each resource has its relations as they are, unless the plan changes the field that says them.

        ``planned`` makes them from the owner, the value of the field, and what the spec wants.
        """
        old = _by_owner(before)
        new = _by_owner(after)
        found: list[R] = []
        for owner in {**old, **new}:
            was, wanted, change = old.get(owner, []), new.get(owner, []), self.changes.get(owner)
            if self.states.get(owner) is State.REMOVED:
                found += (replace(each, state=State.REMOVED) for each in was)
            elif change is None:
                # What others have, a spec can only name.
                ours = owner in self.known.document.resources
                found += was or ([] if ours else wanted)
            elif (field := _field(change, name)) is None:
                found += self._union(was, was, change)
            else:
                found += self._union(was, planned(owner, field.after, wanted) if field.after else [], change)
        return tuple(found)

    def _union(self, was: Sequence[R], then: Sequence[R], change: Change) -> list[R]:
        stays = State.REPLACED if change.action is Action.REPLACE else State.SAME
        found: list[R] = [replace(each, state=stays if each in was else State.CREATED) for each in then]
        found += (replace(each, state=State.REMOVED) for each in was if each not in then)
        return found

    def _attachment(self, interface: str, value: Any, wanted: list[Attachment]) -> list[Attachment]:
        to = self.known.key_of("instances", str(value["instance"]))
        index, card = value["device_index"], value.get("network_card_index", 0)
        # The other candidates of a failover stay what they are.
        others = [replace(each, standby=True) for each in wanted if len(wanted) > 1 and each.instance != to]
        return [Attachment(interface, to, index, card), *others]

    def _association(self, elastic_ip: str, value: Any, wanted: list[Association]) -> list[Association]:
        to = self.known.key_of("network_interfaces", str(value["network_interface"]))
        address = value.get("private_ip", PRIMARY)
        if isinstance(address, Ref):
            address = next((each.address for each in wanted if each.interface == to), CHOSEN)
        return [Association(elastic_ip, to, address)]

    def _routes(self, interface: str, value: Any, _: list[Route]) -> list[Route]:
        tables = {table.id: table_text(table) for table in self.known.live.route_tables}
        return [
            Route(
                tables.get(each["route_table"], each["route_table"]),
                self.known.destination(each["destination"]),
                interface,
            )
            for each in value
        ]


def _ended(picture: Picture) -> Picture:
    """The picture with all that its relations name. Those that lose an end are removed with it."""
    picture = completed(picture)
    ends: tuple[Instance | Interface, ...] = (*picture.instances, *picture.interfaces)
    gone = {each.key for each in ends if each.state is State.REMOVED}
    addresses = {
        (interface.key, item.key)
        for interface in picture.interfaces
        for item in interface.addresses
        if item.state is State.REMOVED or interface.key in gone
    }
    return replace(
        picture,
        attachments=tuple(
            replace(each, state=State.REMOVED) if each.instance in gone and not each.standby else each
            for each in picture.attachments
        ),
        associations=tuple(
            replace(each, state=State.REMOVED) if (each.interface, each.address) in addresses else each
            for each in picture.associations
        ),
        routes=tuple(
            replace(each, state=State.REMOVED) if each.interface in gone else each for each in picture.routes
        ),
    )


def _field(change: Change, name: str) -> Any:
    return next((field for field in change.fields if field.field == name), None)


def _owner(relation: Relation) -> str:
    """The key of the resource whose row says the relation."""
    return relation.elastic_ip if isinstance(relation, Association) else relation.interface


def _by_owner(relations: Sequence[R]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = {}
    for relation in relations:
        found.setdefault(_owner(relation), []).append(relation)
    return found


def _standing_once(attachments: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Without the changes of mere candidates: an interface that moves to one, or away, shows that."""
    kept = [each for each in attachments if not (each.standby and each.state is State.REMOVED)]
    return tuple(replace(each, state=State.SAME) if each.standby else each for each in kept)


def _union(old: Sequence[Item], new: Sequence[Item]) -> tuple[Item, ...]:
    """The items after, and those that go, at their places."""
    was, then = {item.key: item for item in old}, {item.key: item for item in new}
    kept = [_changed(was.get(key), then.get(key), item) for key, item in {**was, **then}.items()]
    return tuple(sorted(kept, key=lambda item: item.key != PRIMARY))


def _changed(was: Item | None, then: Item | None, either: Item) -> Item:
    if was is None or then is None:
        return replace(either, state=State.CREATED if was is None else State.REMOVED)
    return then if was.text == then.text else replace(then, state=State.CHANGED, was=was.text)


def _told(old: Sequence[Item], new: Sequence[Item], change: Change) -> tuple[Item, ...]:
    """The facts after the plan. Of one that changes, also what it was."""
    fields = {field.field for field in change.fields}
    was, then = {item.key: item for item in old}, {item.key: item for item in new}
    if "state" in fields:
        # A running instance has no fact that says so.
        running = Item("running", key="state")
        was, then = {"state": running, **was}, {"state": running, **then}
    return tuple(
        _changed(was.get(key), then.get(key), item) if key in fields else was.get(key, item)
        for key, item in {**was, **then}.items()
    )


def _elastic_ip(_: ElasticIp, new: ElasticIp, change: Change) -> ElasticIp:
    former = _former(change)
    return replace(new, facts=(Item("", State.CHANGED, "changes", note=former),)) if former else new


def _rest(change: Change) -> tuple[Item, ...]:
    """What else changes, by the names of the fields."""
    note = _notes(change, _DRAWN)
    return (Item("", State.CHANGED, "changes", note=note),) if note else ()


def _notes(change: Change, drawn: Collection[str]) -> str:
    """Under which name the stack has had it, and the names of the fields that change and are not ``drawn``."""
    if change.action not in (Action.UPDATE, Action.ADOPT, Action.REPLACE):
        return ""
    former = _former(change)
    # The tags by which a stack owns something are told by the word "adopted", or by the former name.
    told = {STACK_TAG, NAME_TAG, *(("Name",) if former else ())}
    names = [
        field.field
        for field in change.fields
        if field.field not in drawn and not (field.field == "tags" and _changed_keys(field) <= told)
    ]
    if (attachment := _field(change, "attachment")) is not None and attachment.before and attachment.after:
        names += [key for key in ("delete_on_termination",) if attachment.before[key] != attachment.after[key]]
    return "; ".join(filter(None, (former, f"changes {', '.join(names)}" if names else "")))


def _former(change: Change) -> str:
    """``renamed from web-1``: of what the stack has had under another name."""
    tags = _field(change, "tags")
    if change.action is not Action.UPDATE or tags is None or NAME_TAG not in _changed_keys(tags):
        return ""
    former = (tags.before or {}).get(NAME_TAG)
    return f"renamed from {name_of(former)}" if former else ""


def _changed_keys(field: Field) -> set[str]:
    before, after = field.before or {}, field.after or {}
    return {key for key, value in after.items() if before.get(key) != value}
