"""Guests for the tests, told in a few words."""

from __future__ import annotations

from typing import Any

from enireconcile.guest.model import Guest, Link, Side

MACS = ("02:00:00:00:00:10", "02:00:00:00:00:11", "02:00:00:00:00:12")


def four(*own: str, subnet: str = "10.0.1.0/24", **more: Any) -> Side:
    """A side of IPv4 in a subnet whose router is the first address."""
    return Side(4, (subnet,), subnet.replace("0/24", "1"), own, **more)


def six(*own: str, subnet: str = "2001:db8:0:1::/64", **more: Any) -> Side:
    return Side(6, (subnet,), "fe80:ec2::1", own, **more)


def guest(*links: Link, **more: Any) -> Guest:
    return Guest("web", "lab", links, **more)


def link(index: int, *sides: Side, **more: Any) -> Link:
    return Link(f"web-eth{index}", MACS[index], 5000 + index, index == 0, sides, **more)


def two_in_one_subnet(**more: Any) -> Guest:
    """Two interfaces in one subnet, the second one with a further address."""
    return guest(link(0, four("10.0.1.10")), link(1, four("10.0.1.20", "10.0.1.21")), **more)


def two_in_two_subnets(**more: Any) -> Guest:
    """Two interfaces in two subnets, with IPv6."""
    one, other = ("10.0.1.0/24", "2001:db8:0:1::/64"), ("10.0.2.0/24", "2001:db8:0:2::/64")
    return guest(
        link(0, four("10.0.1.10", others=other[:1]), six("2001:db8:0:1::10", others=other[1:])),
        link(
            1,
            four("10.0.2.20", subnet=other[0], others=one[:1]),
            six("2001:db8:0:2::20", subnet=other[1], others=one[1:]),
        ),
        **more,
    )
