"""Doors: what the security groups of an interface let through, and when a plan opens or shuts it. Pure.

A *door* is (interface, direction, protocol, ports, peer). It is open as long as one of the interface's groups
has a rule for it. Rules overlap: ``tcp 443 from 0.0.0.0/0`` also covers ``tcp 443 from 10.0.0.0/8``. So rules
are boxes in the space of protocol, port and peer, and doors are compared at the *points* where a box begins
or ends: between two such points nothing changes. A peer that is a group or a prefix list is compared by its
id alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from enireconcile.live.records import peer_group
from enireconcile.spec import PROTOCOL_NAMES

ANY = "-1"
_PORTS = 65535
_PORT_PROTOCOLS = {"tcp", "udp"}
_ICMP = {"icmp", "icmpv6"}


@dataclass(frozen=True, order=True)
class Rule:
    """One rule as a box. ``family`` is ipv4, ipv6 or the id of a group or prefix list, whose peers are then 0–0.

    ``ports`` counts tcp and udp ports; for ICMP it is type × 256 + code. Both ranges include their ends.
    """

    direction: str
    protocol: str
    ports: tuple[int, int]
    family: str
    peers: tuple[int, int]
    words: str = field(compare=False)

    def covers(self, point: Point) -> bool:
        return (
            self.direction == point.direction
            and self.protocol in (point.protocol, ANY)
            and self.family == point.family
            and self.ports[0] <= point.port <= self.ports[1]
            and self.peers[0] <= point.peer <= self.peers[1]
        )

    def overlaps(self, other: Rule) -> bool:
        """Is there a point that both cover?"""
        return (
            (self.direction, self.family) == (other.direction, other.family)
            and (self.protocol == other.protocol or ANY in (self.protocol, other.protocol))
            and self.ports[0] <= other.ports[1]
            and other.ports[0] <= self.ports[1]
            and self.peers[0] <= other.peers[1]
            and other.peers[0] <= self.peers[1]
        )

    @property
    def size(self) -> tuple[bool, int, int]:
        """The smaller of two rules for one door is the better name for it."""
        return (self.protocol == ANY, self.peers[1] - self.peers[0], self.ports[1] - self.ports[0])


class Point(Struct, frozen=True, order=True):
    """One door of an interface. ``protocol`` is ANY for those protocols that no rule names."""

    direction: str
    protocol: str
    port: int
    family: str
    peer: int


def rules_in(direction: str, permissions: Iterable[Mapping[str, Any]], name: Callable[[Any], str]) -> list[Rule]:
    """The rules of EC2's IpPermissions; ``name`` gives the words for the id (or Ref) of a group or prefix list."""
    towards = "from" if direction == "ingress" else "to"
    found = []
    for permission in permissions:
        protocol = str(permission["IpProtocol"])
        protocol = PROTOCOL_NAMES.get(protocol, protocol)
        ports, shown = _ports(protocol, permission)
        for family, peers, end in _peers(permission, name):
            words = f"{direction} {'all' if protocol == ANY else protocol}{shown} {towards} {end}"
            found.append(Rule(direction, protocol, ports, family, peers, words))
    return found


def _ports(protocol: str, permission: Mapping[str, Any]) -> tuple[tuple[int, int], str]:
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if protocol in _PORT_PROTOCOLS and first is not None and first != -1:
        last = first if last is None else last
        return (first, last), f" {first}" if first == last else f" {first}-{last}"
    if protocol in _ICMP and first not in (None, -1):
        if last in (None, -1):
            return (first * 256, first * 256 + 255), f" type {first}"
        return (first * 256 + last, first * 256 + last), f" type {first} code {last}"
    return (0, _PORTS), ""


def _peers(
    permission: Mapping[str, Any], name: Callable[[Any], str]
) -> Iterator[tuple[str, tuple[int, int], str]]:
    for key, entry_key, family in (("IpRanges", "CidrIp", "ipv4"), ("Ipv6Ranges", "CidrIpv6", "ipv6")):
        for entry in permission.get(key) or ():
            block = ipaddress.ip_network(entry[entry_key], strict=False)
            yield family, (int(block.network_address), int(block.broadcast_address)), str(entry[entry_key])
    for key, entry_key in (("UserIdGroupPairs", "GroupId"), ("PrefixListIds", "PrefixListId")):
        for entry in permission.get(key) or ():
            named = peer_group(entry) if entry_key == "GroupId" else entry[entry_key]
            yield str(entry[entry_key]), (0, 0), name(named)


def points(rules: Collection[Rule], among: Collection[Rule]) -> Iterator[Point]:
    """One point for each set of doors of ``rules`` that all of ``among`` treat alike."""
    seen: set[Point] = set()
    for rule in rules:
        near = [other for other in among if rule.overlaps(other)]
        for protocol in {rule.protocol} if rule.protocol != ANY else {other.protocol for other in near}:
            same = [other for other in near if other.protocol in (protocol, ANY)]
            for port in _edges(rule.ports, (other.ports for other in same)):
                for peer in _edges(rule.peers, (other.peers for other in same)):
                    point = Point(rule.direction, protocol, port, rule.family, peer)
                    if point not in seen:
                        seen.add(point)
                        yield point


def _edges(within: tuple[int, int], ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Where, inside a range, one of the ranges begins, or has just ended."""
    edges = {within[0]}
    for first, last in ranges:
        edges.update(edge for edge in (first, last + 1) if within[0] <= edge <= within[1])
    return sorted(edges)


class GroupChange(Struct, frozen=True):
    """The rules of one group before and after a plan, and the ids of the steps that change them, by direction.

    A group's own Authorize always leaves before its Revoke, so a door that it has before and after stays open.
    """

    before: frozenset[Rule]
    after: frozenset[Rule]
    authorize: Mapping[str, str]
    revoke: Mapping[str, str]

    def had(self, point: Point) -> bool:
        return any(rule.covers(point) for rule in self.before)

    def has(self, point: Point) -> bool:
        return any(rule.covers(point) for rule in self.after)


class InterfaceChange(Struct, frozen=True):
    """The groups of one interface before and after a plan; ``enter`` is the step that replaces them, if one does.

    That is a call to ModifyNetworkInterfaceAttribute or, for an interface that is replaced, the call that attaches
    its successor.
    """

    address: str
    before: frozenset[str]
    after: frozenset[str]
    enter: str | None


class Provider(Struct, frozen=True):
    """A group that opens a door of an interface from ``starts`` (all done) until ``ends`` (one of them done)."""

    group: str
    starts: frozenset[str]
    ends: frozenset[str]


def providers(point: Point, interface: InterfaceChange, groups: Mapping[str, GroupChange]) -> list[Provider]:
    """Every group through which the door is, was or will be open at some moment of the plan."""
    found = []
    for name in sorted((interface.before | interface.after) & groups.keys()):
        group = groups[name]
        had, has = group.had(point), group.has(point)
        if not (had or has):
            continue
        enters = {interface.enter} if interface.enter and name not in interface.before else set()
        leaves = {interface.enter} if interface.enter and name not in interface.after else set()
        opened = {group.authorize[point.direction]} if has and not had else set()
        shut = {group.revoke[point.direction]} if had and not has else set()
        found.append(Provider(name, frozenset(enters | opened), frozenset(leaves | shut)))
    return found
