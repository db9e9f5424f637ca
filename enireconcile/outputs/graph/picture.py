"""What a picture shows. Keys are addresses (``instances.web``), or ids of what the stack does not own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

PRIMARY = "primary"
"""The key of the primary private address of an interface."""
CHOSEN = "address chosen by EC2"
"""The text of an address that is not known before the interface exists."""


class State(StrEnum):
    """What a plan does to something, in the word that the pictures use."""

    SAME = "unchanged"
    CREATED = "created"
    ADOPTED = "adopted"
    CHANGED = "changed"
    REPLACED = "replaced"
    REMOVED = "removed"

    @property
    def mark(self) -> str:
        """One character before what has this state; none before what stays as it is."""
        return _MARKS[self]

    def marked(self, text: str) -> str:
        """The text with the mark before it."""
        return f"{self.mark} {text}".lstrip()

    @property
    def words(self) -> str:
        """Mark and word; empty for what stays as it is."""
        return "" if self is State.SAME else self.marked(self)


_MARKS = {
    State.SAME: "",
    State.CREATED: "+",
    State.ADOPTED: "»",
    State.CHANGED: "~",
    State.REPLACED: "±",
    State.REMOVED: "−",
}


class Item(Struct, frozen=True):
    """A line of an instance or an interface: an address, a group, a fact.

    ``key`` tells items of a list apart; ``was`` is the text before, if it changes. ``note`` is what the plan
    does to it in other words, and has no place in a picture of what is; an item without a text is only that.
    """

    text: str
    state: State = State.SAME
    key: str = ""
    was: str = ""
    note: str = ""

    @property
    def words(self) -> str:
        """The text, with the one before it and with the note."""
        text = f"{self.was} → {self.text}" if self.was else self.text
        return ": ".join(filter(None, (text, self.note)))

    @property
    def marked(self) -> str:
        """The same with the mark of its state."""
        return self.state.marked(self.words)


class Instance(Struct, frozen=True):
    """An instance; ``facts`` are its type, its state if that is not running, and what is external."""

    key: str
    name: str
    facts: tuple[Item, ...] = ()
    state: State = State.SAME


class Interface(Struct, frozen=True):
    """A network interface, and where it is in words. Its primary address comes first, with the key PRIMARY."""

    key: str
    name: str
    vpc: str = ""
    subnet: str = ""
    zone: str = ""
    groups: tuple[Item, ...] = ()
    addresses: tuple[Item, ...] = ()
    facts: tuple[Item, ...] = ()
    state: State = State.SAME


class ElasticIp(Struct, frozen=True):
    """An Elastic IP; ``public_ip`` is empty until it is known."""

    key: str
    name: str
    public_ip: str = ""
    state: State = State.SAME
    facts: tuple[Item, ...] = ()

    @property
    def words(self) -> str:
        """What a plan does to it: mark and word, or what the word leaves open."""
        return self.facts[0].marked if self.facts else self.state.words


class Attachment(Struct, frozen=True):
    """An interface on an instance; ``standby``: the instance is one to which the interface may fail over."""

    interface: str
    instance: str
    index: int | None
    card: int = 0
    standby: bool = False
    state: State = State.SAME

    @property
    def slot(self) -> str:
        """The device index, after the network card where that is not 0; empty if it is not known."""
        if self.index is None:
            return ""
        return f"{self.card}:{self.index}" if self.card else str(self.index)


class Association(Struct, frozen=True):
    """An Elastic IP on an address of an interface, which is the key of that address."""

    elastic_ip: str
    interface: str
    address: str = PRIMARY
    state: State = State.SAME


class Route(Struct, frozen=True):
    """A route to an interface; ``table`` is the route table in words, ``destination`` a CIDR or a prefix list."""

    table: str
    destination: str
    interface: str
    state: State = State.SAME


Relation = Attachment | Association | Route


class Picture(Struct, frozen=True, dict=True):
    """Instances, interfaces, Elastic IPs, and how they belong together. All keys of relations are of its own."""

    stack: str
    region: str = ""
    instances: tuple[Instance, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    elastic_ips: tuple[ElasticIp, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    associations: tuple[Association, ...] = ()
    routes: tuple[Route, ...] = ()

    @property
    def states(self) -> tuple[State, ...]:
        """The states that occur, in their order."""
        found = {state for name in _PARTS for each in getattr(self, name) for state in _states_of(each)}
        return tuple(state for state in State if state in found)

    @property
    def legend(self) -> tuple[tuple[State, str], ...]:
        """What each state means: of a thing, and of a place that something gets or leaves while it stays."""
        nodes: tuple[Instance | Interface | ElasticIp, ...] = (
            *self.instances,
            *self.interfaces,
            *self.elastic_ips,
        )
        relations: tuple[Attachment | Association, ...] = (*self.attachments, *self.associations)
        own = {each.key: each.state for each in nodes}
        states = {state for each in (*nodes, *self.routes) for state in _states_of(each)}
        places = {each.state for each in relations if each.state is not own[_subject(each)]} & _PLACES.keys()
        words = {
            state: [
                *([state.words] if state in states else []),
                *([state.marked(_PLACES[state])] if state in places else []),
            ]
            for state in self.states
        }
        return tuple((state, ", ".join(found) or str(state)) for state, found in words.items())

    @cached_property
    def vpc(self) -> str:
        """The VPC of all interfaces; empty if there are several, or none is known."""
        found = {each.vpc for each in self.interfaces if each.vpc}
        return found.pop() if len(found) == 1 else ""

    def heading(self, title: str) -> str:
        """The title, and the VPC that all interfaces are in."""
        return " · ".join(filter(None, (title, self.vpc)))

    @cached_property
    def standing(self) -> Mapping[str, Attachment]:
        """Where each interface is drawn: its attachment after the plan; of one that goes, its last."""
        going = {each.key for each in self.interfaces if each.state is State.REMOVED}
        return {
            each.interface: each
            for each in self.attachments
            if not each.standby and (each.state is not State.REMOVED or each.interface in going)
        }

    @cached_property
    def places(self) -> tuple[Attachment, ...]:
        """The attachments in the order of their slots. One that ends says so rather than that it is a standby."""
        ended = {(each.interface, each.instance) for each in self.attachments if each.state is State.REMOVED}
        shown = (
            each for each in self.attachments if not (each.standby and (each.interface, each.instance) in ended)
        )
        return tuple(sorted(shown, key=lambda each: (each.card, -1 if each.index is None else each.index)))

    @property
    def empty(self) -> bool:
        """Is there nothing to draw?"""
        return not (self.instances or self.interfaces or self.elastic_ips)

    @property
    def after(self) -> Picture:
        """The same without what is removed, and everything unchanged: what a plan leads to."""
        return self._with(_kept)

    def _with(self, changed: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Picture:
        parts: dict[str, Any] = {name: changed(getattr(self, name)) for name in _PARTS}
        return replace(self, **parts)


_PLACES = {State.CREATED: "new place", State.REMOVED: "former place"}
"""What a state means of an attachment or association of something that stays."""


def _subject(relation: Attachment | Association) -> str:
    """The key of what a relation gives a place to."""
    return relation.interface if isinstance(relation, Attachment) else relation.elastic_ip


_PARTS = tuple(name for name in Picture.__struct_fields__ if name not in ("stack", "region"))


def _states_of(each: Any) -> set[State]:
    items = (item for name in ("groups", "addresses", "facts") for item in getattr(each, name, ()))
    # What is new or goes is so with all its items.
    return {each.state, *(item.state for item in items if item.state is not State.SAME)}


def _kept(part: Iterable[Any]) -> tuple[Any, ...]:
    kept = (
        each
        for each in part
        if each.state is not State.REMOVED and not (isinstance(each, Item) and each.note and not each.text)
    )
    return tuple(
        replace(
            each,
            state=State.SAME,
            **({"was": "", "note": ""} if isinstance(each, Item) else {}),
            **{
                name: _kept(getattr(each, name))
                for name in ("groups", "addresses", "facts")
                if hasattr(each, name)
            },
        )
        for each in kept
    )


def completed(picture: Picture) -> Picture:
    """The same with all that its relations name: what only they show has no details."""
    instances = {each.key: each for each in picture.instances}
    interfaces = {each.key: each for each in picture.interfaces}
    for attachment in picture.attachments:
        instances.setdefault(attachment.instance, Instance(attachment.instance, name_of(attachment.instance)))
    relations: tuple[Relation, ...] = (*picture.attachments, *picture.associations, *picture.routes)
    for relation in relations:
        interfaces.setdefault(relation.interface, Interface(relation.interface, name_of(relation.interface)))
    used: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for association in picture.associations:
        used[association.interface][association.address] = None
    for key, addresses in used.items():
        interface = interfaces[key]
        shown = {item.key for item in interface.addresses}
        missing = [Item(CHOSEN if each == PRIMARY else each, key=each) for each in addresses if each not in shown]
        if missing:
            primary_first = sorted((*interface.addresses, *missing), key=lambda item: item.key != PRIMARY)
            interfaces[key] = replace(interface, addresses=tuple(primary_first))
    return replace(picture, instances=tuple(instances.values()), interfaces=tuple(interfaces.values()))


def name_of(key: str) -> str:
    """The logical name in an address; an id as it is."""
    return key.partition(".")[2] or key


def together(pictures: Sequence[Picture]) -> Picture:
    """Several stacks in one picture: names begin with that of the stack. One alone stays as it is."""
    if len(pictures) == 1:
        return pictures[0]
    regions = sorted({picture.region for picture in pictures if picture.region})
    apart = [_prefixed(picture) for picture in pictures]
    return Picture(
        ", ".join(picture.stack for picture in pictures),
        ", ".join(regions),
        *(tuple(each for picture in apart for each in getattr(picture, name)) for name in _PARTS),
    )


_KEYS = ("key", "interface", "instance", "elastic_ip")


def _prefixed(picture: Picture) -> Picture:
    def prefixed(each: Any) -> Any:
        names = (name for name in ("name", *_KEYS) if hasattr(each, name))
        return replace(each, **{name: f"{picture.stack}/{getattr(each, name)}" for name in names})

    return picture._with(lambda part: tuple(map(prefixed, part)))
