"""The routes, rules and marks of a guest."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from enireconcile.guest.families import family, is_windows
from enireconcile.guest.model import Guest, Link, Route, Rule, marks, routes, rules
from tests.guest.guests import four, guest, six, two_in_one_subnet, two_in_two_subnets


def _rules(made: Guest, index: int, *, by_mark: bool = False) -> list[Rule]:
    side = made.links[index].side(4)
    assert side is not None
    return list(rules(made, made.links[index], side, by_mark=by_mark))


def test_a_table_has_the_subnet_on_the_link_and_the_rest_by_the_router() -> None:
    side = two_in_two_subnets().links[1].side(4)
    assert side is not None
    assert list(routes(side)) == [
        Route("10.0.2.0/24"),
        Route("10.0.1.0/24", "10.0.2.1"),
        Route("0.0.0.0/0", "10.0.2.1"),
    ]


def test_an_address_has_three_rules() -> None:
    found = _rules(two_in_one_subnet(), 1)
    assert [each for each in found if each.source == "10.0.1.20/32"] == [
        Rule(5020, 5001, True, source="10.0.1.20/32"),
        Rule(5021, None, True, source="10.0.1.20/32"),
        Rule(5022, 5001, False, source="10.0.1.20/32"),
    ]
    assert {each.source for each in found} == {"10.0.1.20/32", "10.0.1.21/32"}


def test_ipv6_has_no_address_from_dhcp() -> None:
    side = six("2001:db8:0:1::10", "2001:db8:0:1::11")
    assert (side.primary, side.further, side.everywhere) == ((), side.own, "::/0")
    assert side.sources == ("2001:db8:0:1::10/128", "2001:db8:0:1::11/128")
    assert four("10.0.1.1", "10.0.1.2").primary == ("10.0.1.1",)


def _forwarding(*links: Link, forwards: tuple[int, ...], public: tuple[int, ...] = ()) -> Guest:
    return guest(
        *(replace(each, forwards=index in forwards, public=index in public) for index, each in enumerate(links))
    )


ONE_SUBNET = two_in_one_subnet().links
TWO_SUBNETS = two_in_two_subnets().links


@pytest.mark.parametrize(
    ("made", "returns"),
    [
        (_forwarding(*ONE_SUBNET, forwards=()), [False, False]),
        (_forwarding(*ONE_SUBNET, forwards=(1,)), [False, True]),
        (_forwarding(*ONE_SUBNET, forwards=(0, 1)), [True, True]),
        (_forwarding(*TWO_SUBNETS, forwards=(1,), public=(0,)), [False, True]),
        (_forwarding(*TWO_SUBNETS, forwards=(0, 1), public=(0,)), [True, False]),
        (_forwarding(*TWO_SUBNETS, forwards=(0, 1)), [False, False]),
    ],
)
def test_what_is_forwarded_returns_by_its_link_unless_the_guest_is_between(
    made: Guest, returns: list[bool]
) -> None:
    """The inside of a NAT instance sends to the outside; a firewall on one leg sends back on it."""
    assert [made.returns(each) for each in made.links] == returns
    assert [any(rule.arrives for rule in _rules(made, index)) for index in range(2)] == returns


def test_a_link_without_addresses_forwards_nothing() -> None:
    """Its subnet gives none, or only IPv6 addresses that are not known yet."""
    bare = [replace(each, sides=()) for each in ONE_SUBNET]
    made = _forwarding(*bare, forwards=(0, 1))
    assert [made.forwards_between(each) for each in made.links] == [False, False]


def test_between_two_links_the_direct_way_comes_first() -> None:
    made = _forwarding(*TWO_SUBNETS, forwards=(0, 1), public=(0,))
    assert [(each.priority, each.table, each.specific) for each in _rules(made, 0) if each.arrives] == [
        (5011, None, True),
        (5012, 5000, False),
    ]


def test_marks_stand_for_the_incoming_link() -> None:
    """Rules cannot name a link by its MAC address; nftables can."""
    made = _forwarding(*ONE_SUBNET, forwards=(1,))
    assert marks(made, by_mark=False) == ""
    assert "ether daddr 02:00:00:00:00:11 meta mark 0 meta mark set 15001  # web-eth1" in marks(made, by_mark=True)
    assert {each.mark for each in _rules(made, 1, by_mark=True) if each.source is None} == {15001}
    assert not any(each.arrives for each in _rules(made, 1, by_mark=True))


def test_published_ports_keep_the_mark_of_their_connection() -> None:
    made = two_in_one_subnet(publishes=True)
    text = marks(made, by_mark=False)
    assert "ether daddr 02:00:00:00:00:11 ct state new ct mark 0 ct mark set 5001" in text
    assert "ct mark 5000-14999 meta mark set ct mark" in text
    assert [each.priority for each in _rules(made, 1) if each.mark == 5001] == [5000, 5001, 5002]


@pytest.mark.parametrize(
    ("name", "system", "expected"),
    [
        ("al2023-ami-2023.6.20250101.0-kernel-6.1-x86_64", "Linux/UNIX", True),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250101", "Linux/UNIX", True),
        ("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20250101", "Linux/UNIX", False),
        ("RHEL-9.4.0_HVM-20250101-x86_64-0-Hourly2-GP3", "Red Hat Enterprise Linux", True),
        ("golden-image-7", "Red Hat Enterprise Linux", True),
        ("suse-sles-15-sp6-v20250101-hvm-ssd-x86_64", "SUSE Linux", True),
        ("debian-12-amd64-20250101-1234", "Linux/UNIX", False),
        ("Rocky-9-EC2-Base-9.4-20250101.0.x86_64", "Linux/UNIX", False),
        ("AlmaLinux OS 9.4.20250101 x86_64", "Linux/UNIX", False),
        ("FreeBSD 14.1-RELEASE-amd64 UFS", "Linux/UNIX", False),
        ("golden-image-7", "Linux/UNIX", None),
        ("", "", None),
    ],
)
def test_families_of_images(name: str, system: str, expected: bool | None) -> None:
    found = family(name, system)
    assert (found.copes if found is not None else None) is expected
    assert not is_windows(system)


def test_what_images_read() -> None:
    """The default of --format."""
    names = {"debian-12-": "networkd", "Rocky-9-": "networkmanager", "suse-sles-": "ip", "al2023-ami": "networkd"}
    found = {name: family(name, "") for name in names}
    assert {name: each.format if each else None for name, each in found.items()} == names


def test_windows_is_known_by_its_platform() -> None:
    assert is_windows("Windows with SQL Server Standard")
