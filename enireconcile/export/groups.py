"""Rows of ``security_groups``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from enireconcile.export.said import Said, Source
from enireconcile.kinds.security_group import live_ends, live_ports, live_protocol
from enireconcile.live.records import LiveSecurityGroup
from enireconcile.spec.rows import DEFAULT_DESCRIPTION

_EVERYWHERE = {"0.0.0.0/0", "::/0"}


def group_row(live: LiveSecurityGroup, source: Source) -> Said:
    """The row of a group. Of an adopted one also an empty list of rules is said: left out, it would stay open to
    whatever comes.
    """
    said = source.begun(live)
    ingress = _rules(live.ingress, "sources", live, source)
    said.say(
        group_name=live.name if live.name != source.names[live.id] else None,
        description=live.description if live.description != DEFAULT_DESCRIPTION else None,
        vpc=source.selectors.vpc(live.vpc_id),
        ingress=ingress if ingress or "adopt" in said.row else None,
        egress=None if _allows_all(live, source) else _rules(live.egress, "destinations", live, source),
    )
    return said


def _allows_all(live: LiveSecurityGroup, source: Source) -> bool:
    """Does it have exactly the egress rules that EC2 gives to a new group?"""
    ends = [
        (live_protocol(each), end, entry.get("Description", ""))
        for each in live.egress
        for end, entry in live_ends(each)
    ]
    everywhere = _EVERYWHERE if source.selectors.has_ipv6(live.vpc_id) else {"0.0.0.0/0"}
    return sorted(ends) == sorted(("-1", end, "") for end in everywhere)


def _rules(
    permissions: Iterable[Mapping[str, Any]], ends: str, live: LiveSecurityGroup, source: Source
) -> list[dict[str, Any]]:
    """The rules in one direction: what differs only by its source or destination is one item."""
    items: dict[tuple[str, str, str], dict[str, Any]] = {}
    for protocol, ports, text, end in sorted(_single(permissions), key=_order):
        item = items.setdefault((protocol, ports or "", text), _item(protocol, ports, ends, text))
        item[ends].append(_end(end, live, source))
    return list(items.values())


def _single(permissions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str | None, str, str]]:
    """Protocol, ports, description and the one source or destination of each rule."""
    for each in permissions:
        protocol, ports = live_protocol(each), live_ports(each)
        whole = protocol in ("tcp", "udp") and ports == "0-65535"
        for end, entry in live_ends(each):
            yield protocol, None if whole else ports, entry.get("Description", ""), end


def _order(rule: tuple[str, str | None, str, str]) -> tuple[object, ...]:
    """By protocol and ports as numbers; CIDRs of IPv4 first."""
    protocol, ports, text, end = rule
    numbers = [int(number) for number in (ports or "0").replace("/", "-").split("-")]
    return protocol, numbers, text, "/" not in end, ":" in end, end


def _item(protocol: str, ports: str | None, ends: str, text: str) -> dict[str, Any]:
    item: dict[str, Any] = {"protocol": "all" if protocol == "-1" else protocol}
    if ports is not None:
        item["ports"] = int(ports) if ports.isdigit() else ports
    item[ends] = []
    return item | ({"description": text} if text else {})


def _end(end: str, live: LiveSecurityGroup, source: Source) -> Any:
    if end == live.id:
        return "self"
    if end in source.rows:
        return source.names[end]
    if end.startswith("pl-"):
        return source.selectors.prefix_list(end)
    return source.selectors.group(end, live.vpc_id) if end.startswith("sg-") else end
