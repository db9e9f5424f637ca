"""The routes, rules and marks that a guest needs so that each of its addresses answers. Pure.

EC2 drops a packet that leaves by another interface than the one that has its source address. So each interface has
a routing table of its own, and each address has three rules that select a route for what is sent from it::

    the interface's table, without its default route     its subnet, and the subnets of the other interfaces
    the main table, without its default route            containers, VPNs: what the guest itself has
    the interface's table                                everything else, by the router of the subnet

The subnets of the other interfaces lead to the router: the link to them would be the wrong way out.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

TABLE = 5000
"""The first table and the first priority. Other tools, and the kernel, use larger priorities."""
MARK, ARRIVAL, SOURCE = TABLE, TABLE + 10, TABLE + 20
"""The first of the three priorities of the rules that select by mark, by incoming interface, and by source.

The last of the three, and no other, ends in 2: the script of ``ip`` knows it by that.
"""
FORWARDED = 10000
"""Added to a table: the mark of packets to forward that arrived on its interface."""


class Side(Struct, frozen=True):
    """One address family of a link. ``own`` are its addresses, the primary IPv4 address first.

    ``subnets`` are on the link, ``others`` are those of the guest's other links, behind the ``router``.
    ``prefixes`` are delegated to the interface: the guest sends from them, but does not have them as addresses.
    """

    version: int
    subnets: tuple[str, ...]
    router: str
    own: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def everywhere(self) -> str:
        """The destination of a default route."""
        return "0.0.0.0/0" if self.version == 4 else "::/0"

    @property
    def bits(self) -> int:
        return 32 if self.version == 4 else 128

    @property
    def primary(self) -> tuple[str, ...]:
        """The address that DHCP would give to the interface: none of IPv6."""
        return self.own[:1] if self.version == 4 else ()

    @property
    def further(self) -> tuple[str, ...]:
        """All addresses but that one."""
        return self.own[len(self.primary) :]

    @property
    def length(self) -> str:
        """The length of the subnet's prefix."""
        return self.subnets[0].partition("/")[2]

    @property
    def sources(self) -> tuple[str, ...]:
        """What the guest sends from on this link."""
        return (*(f"{address}/{self.bits}" for address in self.own), *self.prefixes)


class Link(Struct, frozen=True):
    """A network interface as a guest sees it. ``sides`` are its families.

    ``forwards``: its source/destination check is off. ``public``: it has a public address. ``shared``: it is no
    interface of the stack, and other stacks may configure it, too.
    """

    name: str
    mac: str
    table: int
    primary: bool
    sides: tuple[Side, ...]
    forwards: bool = False
    public: bool = False
    shared: bool = False

    @property
    def subnets(self) -> frozenset[str]:
        """The subnets of the first family in which it has addresses."""
        return frozenset(self.sides[0].subnets if self.sides else ())

    def side(self, version: int) -> Side | None:
        return next((side for side in self.sides if side.version == version), None)


class Guest(Struct, frozen=True):
    """An instance with all its links, the primary one first, and those that may come to it by a failover.

    ``publishes``: containers on it have published ports.
    """

    name: str
    stack: str
    links: tuple[Link, ...]
    publishes: bool = False

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted({side.version for link in self.links for side in link.sides}))

    def forwards_between(self, link: Link) -> bool:
        """Does the guest forward from this link to others? Else what it forwards leaves where it arrived."""
        others = (other for other in self.links if other.forwards and other.sides and other != link)
        return any(other.subnets != link.subnets for other in others)

    def returns(self, link: Link) -> bool:
        """Does what arrives on the link, to be forwarded, leave by it where no other route is more specific?

        Not on the inside of a guest that forwards between links: it leaves on the outside.
        """
        return link.forwards and (link.public or not self.forwards_between(link))


class Route(Struct, frozen=True):
    """``via`` is None for what is on the link."""

    to: str
    via: str | None = None


def routes(side: Side) -> Iterator[Route]:
    """The routes of the link's table."""
    for subnet in side.subnets:
        yield Route(subnet)
    for other in side.others:
        yield Route(other, side.router)
    yield Route(side.everywhere, side.router)


class Rule(Struct, frozen=True):
    """One of ``source``, ``mark`` and ``arrives`` (on the rule's link) selects packets for ``table``.

    ``table`` is None for the main table. ``specific``: its default route does not count.
    """

    priority: int
    table: int | None
    specific: bool
    source: str | None = None
    mark: int | None = None
    arrives: bool = False


def rules(guest: Guest, link: Link, side: Side, *, by_mark: bool) -> Iterator[Rule]:
    """The rules of one family of a link.

    ``by_mark``: packets to forward are selected by the mark of ``marks``, where rules cannot name the link.
    """
    ways = tuple(enumerate(((link.table, True), (None, True), (link.table, False))))
    if guest.publishes:
        yield from (Rule(MARK + stage, *way, mark=link.table) for stage, way in ways)
    if guest.returns(link):
        # What is to be forwarded to another link goes there straight.
        for stage, way in ways[1:] if guest.forwards_between(link) else ways:
            if by_mark:
                yield Rule(ARRIVAL + stage, *way, mark=link.table + FORWARDED)
            else:
                yield Rule(ARRIVAL + stage, *way, arrives=True)
    for source in side.sources:
        yield from (Rule(SOURCE + stage, *way, source=source) for stage, way in ways)


def marks(guest: Guest, *, by_mark: bool) -> str:
    """The nftables rules that mark packets by the MAC address on which they arrived; empty if none are needed.

    A connection to a published port keeps its mark: the answer of the container has no address of the guest yet
    when it is routed.
    """
    lines = []
    if guest.publishes:
        lines += [
            f"ether daddr {link.mac} ct state new ct mark 0 ct mark set {link.table}  # {link.name}"
            for link in guest.links
        ]
        lines.append(f"ct mark {TABLE}-{TABLE + FORWARDED - 1} meta mark set ct mark")
    if by_mark:
        lines += [
            f"ether daddr {link.mac} meta mark 0 meta mark set {link.table + FORWARDED}  # {link.name}"
            for link in guest.links
            if guest.returns(link)
        ]
    if not lines:
        return ""
    name, body = f"enireconcile-{guest.stack}", "\n".join(f"        {line}" for line in lines)
    return (
        f"table inet {name}\n"
        f"delete table inet {name}\n"
        f"table inet {name} {{\n"
        "    chain arrival {\n"
        "        type filter hook prerouting priority mangle; policy accept;\n"
        f"{body}\n"
        "    }\n"
        "}\n"
    )
