"""``networkmanager``: a keyfile for each link. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from enireconcile.guest.model import Guest, Link, Rule, Side, routes, rules
from enireconcile.guest.output import MTU, File, head, mark_files, stem

_FOLDER = "/etc/NetworkManager/system-connections"
_MAIN = 254
_NAMESPACE = uuid.UUID("5d0f0c0e-4a4b-5b1f-9a52-6f1f0a3c7f11")


def files(guest: Guest) -> tuple[File, ...]:
    """The keyfiles. NetworkManager ignores those that other users than root can read."""
    return (
        *(
            File(f"{_FOLDER}/{stem(guest, link)}.nmconnection", _keyfile(guest, link), 0o600)
            for link in guest.links
        ),
        *mark_files(guest),
    )


def _keyfile(guest: Guest, link: Link) -> str:
    identity = uuid.uuid5(_NAMESPACE, f"{guest.stack}/{guest.name}/{link.name}")
    return "\n".join(
        [
            # The highest priority, before another stack's; cloud-init's own profiles have 120.
            f"{head(guest)}[connection]\nid={stem(guest, link)}\nuuid={identity}\ntype=ethernet\n"
            f"autoconnect-priority={998 if link.shared else 999}\n",
            f"[ethernet]\nmac-address={link.mac}\n" + ("" if link.primary else f"mtu={MTU}\n"),
            *(_section(guest, link, version) for version in (4, 6)),
        ]
    )


def _section(guest: Guest, link: Link, version: int) -> str:
    side = link.side(version)
    lines = [f"method={_method(link, side, version)}"]
    if side is not None:
        lines += _settings(link, side)
        lines += (f"routing-rule{number}={_rule(rule, side)}" for number, rule in _numbered(guest, link, side))
    return f"[ipv{version}]\n" + "".join(f"{line}\n" for line in lines)


def _numbered(guest: Guest, link: Link, side: Side) -> Iterator[tuple[int, Rule]]:
    return iter(enumerate(rules(guest, link, side, by_mark=True), 1))


def _method(link: Link, side: Side | None, version: int) -> str:
    """DHCP and router advertisements for the primary link only."""
    if link.primary:
        return "auto"
    if side is None:
        return "disabled" if version == 4 else "link-local"
    return "manual"


def _settings(link: Link, side: Side) -> Iterator[str]:
    """A link's own metric keeps its routes of the main table behind those of the links before it."""
    first = () if link.primary else side.primary
    listed = [f"{address}/{side.length}" for address in first]
    listed += [f"{address}/{side.bits}" for address in side.further]
    yield from (f"address{number}={address}" for number, address in enumerate(listed, 1))
    yield f"route-metric={100 if link.primary else link.table}"
    ways = [(route.to, route.via, f"table={link.table}") for route in routes(side)]
    if side.version == 6 and not link.primary:
        # Its addresses have no subnet.
        ways += [(subnet, None, f"table={_MAIN}") for subnet in side.subnets]
    for number, (to, via, table) in enumerate(ways, 1):
        yield f"route{number}={to}{f',{via}' if via else ''}"
        yield f"route{number}_options={table}{',onlink=true' if via else ''}"


def _rule(rule: Rule, side: Side) -> str:
    selector = f"from {rule.source}" if rule.source else f"from {side.everywhere} fwmark {rule.mark:#x}"
    specific = " suppress_prefixlength 0" if rule.specific else ""
    return f"priority {rule.priority} {selector} table {rule.table or _MAIN}{specific}"


def activation(guest: Guest) -> str:
    """The commands that put the profiles of the links that are plugged into effect."""
    names = " ".join(stem(guest, link) for link in guest.links)
    return f"nmcli connection reload; for name in {names}; do nmcli connection up $name || true; done"
