"""A picture as groups of nodes with lines of text, and edges: what Mermaid and DOT have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from enireconcile.outputs.graph.picture import (
    PRIMARY,
    ElasticIp,
    Instance,
    Interface,
    Item,
    Picture,
    State,
)
from enireconcile.printable import printable

INK = "#1f2328"
COLOURS = {
    State.SAME: ("#57606a", "#f6f8fa"),
    State.CREATED: ("#1a7f37", "#dafbe1"),
    State.ADOPTED: ("#0969da", "#ddf4ff"),
    State.CHANGED: ("#9a6700", "#fff8c5"),
    State.REPLACED: ("#8250df", "#fbefff"),
    State.REMOVED: ("#cf222e", "#ffebe9"),
}
"""Of each state: lines and surfaces; text is in ``INK``."""


class Node(Struct, frozen=True):
    """One shape: a box for an interface, a round one for an Elastic IP, another for a route table."""

    key: str
    lines: tuple[str, ...]
    shape: Literal["box", "round", "table"]


class Group(Struct, frozen=True):
    """An instance around its interfaces; without a title, nodes that stand in none."""

    key: str
    title: tuple[str, ...] | None
    nodes: tuple[Node, ...]


class Edge(Struct, frozen=True):
    """From one key to another. A faint one is a possibility: where an interface may fail over to."""

    source: str
    target: str
    label: str
    state: State = State.SAME
    faint: bool = False


class Outline(Struct, frozen=True):
    """All of a picture in text; ``states`` are those of groups and nodes by key."""

    groups: tuple[Group, ...]
    edges: tuple[Edge, ...]
    states: Mapping[str, State]

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]:
        """The lines of all groups and nodes by key."""
        titled = {group.key: group.title for group in self.groups if group.title is not None}
        return titled | {node.key: node.lines for group in self.groups for node in group.nodes}

    @property
    def keys(self) -> Iterator[str]:
        """The keys of all groups and nodes."""
        for group in self.groups:
            if group.title is not None:
                yield group.key
            yield from (node.key for node in group.nodes)


def outline(picture: Picture) -> Outline:
    """The picture in text, made printable."""
    parts: tuple[Instance | Interface | ElasticIp, ...]
    parts = (*picture.instances, *picture.interfaces, *picture.elastic_ips)
    states = {each.key: each.state for each in parts}
    held = _held(picture)
    groups = [
        Group(each.key, (*_head(each.name, each.state), *_items(each.facts)), tuple(held[each.key]))
        for each in picture.instances
    ]
    alone = [
        _interface(each, "", None, picture.vpc) for each in picture.interfaces if each.key not in picture.standing
    ]
    addresses = [
        Node(
            each.key,
            (*_head(f"Elastic IP {each.name}", each.state, printable(each.public_ip)), *_items(each.facts)),
            "round",
        )
        for each in picture.elastic_ips
    ]
    tables = dict.fromkeys(route.table for route in picture.routes)
    nodes = [Node(f"route table {table}", (f"route table {printable(table)}",), "table") for table in tables]
    states |= {node.key: State.SAME for node in nodes}
    return Outline((*groups, Group("", None, (*alone, *addresses, *nodes))), tuple(_edges(picture)), states)


def _held(picture: Picture) -> Mapping[str, list[Node]]:
    """The interfaces on each instance."""
    interfaces = {each.key: each for each in picture.interfaces}
    held: defaultdict[str, list[Node]] = defaultdict(list)
    for each in picture.places:
        if picture.standing.get(each.interface) == each:
            node = _interface(interfaces[each.interface], each.slot, each.state, picture.vpc)
            held[each.instance].append(node)
    return held


def _head(name: str, state: State, *more: str) -> tuple[str, ...]:
    words = f" ({state.words})" if state.words else ""
    return (f"{printable(name)}{words}", *filter(None, more))


def _items(items: Iterable[Item]) -> Iterator[str]:
    return (printable(item.marked) for item in items)


def _interface(interface: Interface, slot: str, attached: State | None, common: str) -> Node:
    """``common`` is the VPC that the title names."""
    vpc = interface.vpc if interface.vpc != common else ""
    where = ", ".join(filter(None, (interface.subnet, interface.zone, vpc)))
    index = f"index {slot}" if slot else ""
    if index and attached not in (None, State.SAME, interface.state):
        index += f" ({attached})"
    groups = ", ".join(_items(interface.groups))
    return Node(
        interface.key,
        (
            *_head(
                interface.name, interface.state, index, printable(where), f"groups: {groups}" if groups else ""
            ),
            *_items(interface.addresses),
            *_items(interface.facts),
        ),
        "box",
    )


def _edges(picture: Picture) -> Iterator[Edge]:
    texts = {(each.key, item.key): item.text for each in picture.interfaces for item in each.addresses}
    counts = {each.key: len(each.addresses) for each in picture.interfaces}
    for association in picture.associations:
        alone = association.address == PRIMARY and counts[association.interface] == 1
        text = "" if alone else texts.get((association.interface, association.address), "")
        yield Edge(
            association.elastic_ip, association.interface, _label(text, association.state), association.state
        )
    for route in picture.routes:
        label = _label(route.destination, route.state)
        yield Edge(f"route table {route.table}", route.interface, label, route.state)
    for attachment in picture.places:
        if attachment.standby:
            label = f"may fail over, index {attachment.slot}"
            yield Edge(attachment.interface, attachment.instance, label, attachment.state, faint=True)
        elif picture.standing.get(attachment.interface) != attachment:
            label = _label(f"index {attachment.slot}", attachment.state)
            yield Edge(attachment.interface, attachment.instance, label, attachment.state)


def _label(text: str, state: State) -> str:
    words = f"({state.words})" if state.words else ""
    return printable(" ".join(filter(None, (text, words))))
