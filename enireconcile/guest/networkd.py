"""``networkd``: .network files of systemd-networkd, which removes rules and routes that are not its own. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from enireconcile.guest.model import Guest, Link, Rule, Side, routes, rules
from enireconcile.guest.output import MTU, File, head, mark_files, stem

FOLDER = "/etc/systemd/network"


def files(guest: Guest) -> tuple[File, ...]:
    """A file for each link. Its name sorts before those of netplan, cloud-init and the distributions."""
    return (
        *(
            File(f"{FOLDER}/{_rank(link)}-{stem(guest, link)}.network", _network(guest, link))
            for link in guest.links
        ),
        *mark_files(guest),
    )


def _rank(link: Link) -> str:
    """The first file for a MAC address counts: that of the stack that has the interface."""
    return "06" if link.shared else "05"


def _network(guest: Guest, link: Link) -> str:
    # Type: a VLAN or a bridge on the link has the same MAC address.
    found = _section("Match", {"MACAddress": link.mac, "Type": "ether"})
    return "\n".join(
        [head(guest) + found, *_settings(link), *_addresses(link), *_routes(link), *policy(guest, link)]
    )


def _settings(link: Link) -> Iterator[str]:
    """DHCP for the primary link only: of another one, EC2 tells all that there is to know."""
    if not link.primary:
        yield _section("Link", {"MTUBytes": str(MTU), "RequiredForOnline": "no"})
        yield _section("Network", {"DHCP": "no", "IPv6AcceptRA": "no"})
        return
    six, four = link.side(6), link.side(4)
    dhcp = "ipv4" if four else "yes"
    yield _section("Network", {"DHCP": dhcp})
    if four:
        yield _section("DHCPv4", {"RouteMetric": "100", "UseMTU": "yes"})
    if six and four:
        yield without_dhcpv6()


def without_dhcpv6() -> str:
    """Router advertisements give the default route; the addresses are known."""
    return _section("IPv6AcceptRA", {"DHCPv6Client": "no"})


def _addresses(link: Link) -> Iterator[str]:
    for side in link.sides:
        if not link.primary:
            for address in side.primary:
                yield _section("Address", {"Address": f"{address}/{side.length}", "AddPrefixRoute": "no"})
        for address in side.further:
            yield _section("Address", {"Address": f"{address}/{side.bits}"})


def _routes(link: Link) -> Iterator[str]:
    for side in link.sides:
        if not link.primary:
            # For connections that the guest opens; those of another link in the same subnet come first.
            for subnet in side.subnets:
                source = {"PreferredSource": side.primary[0]} if side.primary else {}
                yield _section(
                    "Route", {"Destination": subnet, "Scope": "link", **source, "Metric": str(link.table)}
                )
        yield from table(link, side)


def table(link: Link, side: Side) -> Iterator[str]:
    """The sections for the link's own table."""
    for route in routes(side):
        way = {"Gateway": route.via, "GatewayOnLink": "yes"} if route.via else {"Scope": "link"}
        yield _section("Route", {"Destination": route.to, **way, "Table": str(link.table)})


def policy(guest: Guest, link: Link) -> Iterator[str]:
    """The sections for the rules of the link."""
    for side in link.sides:
        for rule in rules(guest, link, side, by_mark=True):
            yield _section("RoutingPolicyRule", _rule(rule, side))


def _rule(rule: Rule, side: Side) -> dict[str, str]:
    selector = {"From": rule.source} if rule.source else {"FirewallMark": str(rule.mark)}
    return {
        "Family": f"ipv{side.version}",
        "Priority": str(rule.priority),
        **selector,
        "Table": str(rule.table or "main"),
        **({"SuppressPrefixLength": "0"} if rule.specific else {}),
    }


def _section(name: str, settings: Mapping[str, str]) -> str:
    lines = "".join(f"{key}={value}\n" for key, value in settings.items())
    return f"[{name}]\n{lines}"
