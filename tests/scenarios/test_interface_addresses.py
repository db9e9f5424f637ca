"""IPv6 addresses and prefixes of both families: exact lists, counts, what is left alone, what changes hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact
from tests.ec2 import DropConnection
from tests.harness import SLOW, Harness, open_harness


@dataclass(frozen=True)
class Sort:
    """One sort of addresses or prefixes: its keys, three of its values, and how EC2 shows and takes them."""

    many: str
    count: str
    one: str
    two: str
    three: str
    shown: str
    inner: str
    assign: str
    unassign: str
    param: str


SORTS = [
    Sort(
        "ipv6_addresses", "ipv6_address_count", "2001:db8::a", "2001:db8::b", "2001:db8::c",
        "Ipv6Addresses", "Ipv6Address", "AssignIpv6Addresses", "UnassignIpv6Addresses", "Ipv6Addresses",
    ),
    Sort(
        "ipv4_prefixes", "ipv4_prefix_count", "10.0.0.32/28", "10.0.0.48/28", "10.0.0.64/28",
        "Ipv4Prefixes", "Ipv4Prefix", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "Ipv4Prefixes",
    ),
    Sort(
        "ipv6_prefixes", "ipv6_prefix_count", "2001:db8:0:0:1::/80", "2001:db8:0:0:2::/80", "2001:db8:0:0:3::/80",
        "Ipv6Prefixes", "Ipv6Prefix", "AssignIpv6Addresses", "UnassignIpv6Addresses", "Ipv6Prefixes",
    ),
]  # fmt: skip
sorts = pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort.many)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A slow EC2 with a subnet of both families, and one that also gives out IPv6 addresses unasked."""
    with open_harness(tmp_path / "state", SLOW) as harness:
        world = harness.strict.world
        vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", tags={"Name": "lab"})
        world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"Name": "lab"})
        world.add_subnet(
            vpc, "10.0.1.0/24", ipv6_cidr="2001:db8:0:1::/64", assign_ipv6=True, tags={"Name": "generous"}
        )
        yield harness


def _spec(*, subnet: str = "lab", **rows: str) -> str:
    """Interfaces in one subnet, by name: what else their rows say.

    Their primary addresses are fixed, since one of EC2's choice may happen to be inside of a prefix.
    """
    fixed = {"lab": "10.0.0", "generous": "10.0.1", "old": "10.9.0"}[subnet]
    lines = [
        f"  {name}: {{subnet: {{tags: {{Name: {subnet}}}}}, private_ip: {fixed}.{ord(name[0])}, {row}}}"
        for name, row in rows.items()
    ]
    return "\n".join(["version: 1", "stack: pools", "region: us-east-1", "network_interfaces:", *lines, ""])


def _listed(sort: Sort, *values: str) -> str:
    return f"{sort.many}: [{', '.join(repr(value) for value in values)}]"


def _interface(harness: Harness, name: str) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _held(harness: Harness, name: str, sort: Sort) -> list[str]:
    return sorted(entry[sort.inner] for entry in _interface(harness, name).get(sort.shown, []))


def _call(harness: Harness, name: str, call: str, **params: Any) -> None:
    """Another owner's hands on an interface."""
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in call).strip("_")
    getattr(harness.client(), method)(NetworkInterfaceId=_interface(harness, name)["NetworkInterfaceId"], **params)


def _converge(harness: Harness, spec: str) -> list[str]:
    """Apply; nothing is left to do, and a further apply calls nothing. The mutating calls that it took."""
    harness.strict.clear()
    report = harness.apply(spec)
    assert (report.outcome, report.error) == ("converged", None)
    calls = [call.action for call in harness.strict.mutating()]
    assert harness.plan(spec).empty
    harness.strict.clear()
    assert harness.apply(spec).outcome == "unchanged"
    assert harness.strict.mutating() == []
    return calls


@sorts
def test_a_list_is_made_with_the_interface(harness: Harness, sort: Sort) -> None:
    """Addresses at birth; prefixes, which EC2 takes at birth only from those who do not tag, right after."""
    calls = _converge(harness, _spec(a=_listed(sort, sort.two, sort.one)))
    assert calls == ["CreateNetworkInterface", *([] if sort is SORTS[0] else [sort.assign])]
    assert _held(harness, "a", sort) == [sort.one, sort.two]


@sorts
def test_drift_of_a_list_is_corrected_exactly(harness: Harness, sort: Sort) -> None:
    """Another tool took one away and added another: one call each."""
    spec = _spec(a=_listed(sort, sort.one, sort.two))
    _converge(harness, spec)
    _call(harness, "a", sort.unassign, **{sort.param: [sort.one]})
    _call(harness, "a", sort.assign, **{sort.param: [sort.three]})
    plan = harness.plan(spec)
    assert [(step.call, step.params[sort.param], step.impact) for step in plan.steps] == [
        (sort.assign, [sort.one], Impact.SAFE),
        (sort.unassign, [sort.three], Impact.DISRUPTIVE),
    ]
    assert sorted(_converge(harness, spec)) == [sort.assign, sort.unassign]
    assert _held(harness, "a", sort) == [sort.one, sort.two]


@sorts
def test_a_list_changes(harness: Harness, sort: Sort) -> None:
    """One goes and one comes; then none is left; and when nothing is said any more, nothing is done."""
    _converge(harness, _spec(a=_listed(sort, sort.one, sort.two)))
    calls = _converge(harness, _spec(a=_listed(sort, sort.two, sort.three)))
    assert sorted(calls) == [sort.assign, sort.unassign]
    assert _held(harness, "a", sort) == [sort.two, sort.three]
    assert _converge(harness, _spec(a=_listed(sort))) == [sort.unassign]
    assert _held(harness, "a", sort) == []
    _call(harness, "a", sort.assign, **{sort.param: [sort.one]})
    assert harness.plan(_spec(a="tags: {}")).empty


@sorts
def test_the_order_of_a_list_is_no_difference(harness: Harness, sort: Sort) -> None:
    """Nor is the spelling of an address."""
    _converge(harness, _spec(a=_listed(sort, sort.one, sort.two)))
    shouted = [value.upper().replace("2001:DB8:", "2001:0DB8:") for value in (sort.two, sort.one)]
    assert harness.plan(_spec(a=_listed(sort, *shouted))).empty


@sorts
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 1), (1, 0)])
def test_counts_go_up_and_down(harness: Harness, sort: Sort, before: int, after: int) -> None:
    """A count asks for what is missing, or gives back what is too much."""
    _converge(harness, _spec(a=f"{sort.count}: {before}"))
    assert len(_held(harness, "a", sort)) == before
    assert _converge(harness, _spec(a=f"{sort.count}: {after}")) == [
        sort.assign if after > before else sort.unassign
    ]
    assert len(_held(harness, "a", sort)) == after


@sorts
def test_drift_of_a_count_is_corrected(harness: Harness, sort: Sort) -> None:
    """One more than wanted goes, one less is asked for; which ones they are is EC2's affair."""
    spec = _spec(a=f"{sort.count}: 1")
    _converge(harness, spec)
    _call(harness, "a", sort.assign, **{sort.param: [sort.three]})
    assert _converge(harness, spec) == [sort.unassign]
    _call(harness, "a", sort.unassign, **{sort.param: _held(harness, "a", sort)})
    assert _converge(harness, spec) == [sort.assign]
    assert len(_held(harness, "a", sort)) == 1


@sorts
def test_a_list_becomes_a_count_and_back(harness: Harness, sort: Sort) -> None:
    """A count of two is met by the two that are there, whether the spec or EC2 chose them; a list is exact."""
    _converge(harness, _spec(a=_listed(sort, sort.one, sort.two)))
    assert harness.plan(_spec(a=f"{sort.count}: 2")).empty
    assert _converge(harness, _spec(a=f"{sort.count}: 3")) == [sort.assign]
    assert _converge(harness, _spec(a=_listed(sort, sort.one))) == [sort.unassign]


@sorts
@pytest.mark.parametrize("late", [False, True], ids=["the call lost", "the answer lost"])
def test_a_count_is_never_asked_for_twice(harness: Harness, sort: Sort, late: bool) -> None:
    """Whether EC2 has acted is not known: the world is read again, not asked again."""
    _converge(harness, _spec(a=f"{sort.count}: 1"))
    harness.strict.faults.add(DropConnection(action=sort.assign, late=late))
    spec = _spec(a=f"{sort.count}: 3")
    assert harness.apply(spec).outcome == "converged"
    assert len(_held(harness, "a", sort)) == 3


@sorts
def test_what_is_listed_for_another_interface_moves(harness: Harness, sort: Sort) -> None:
    """EC2 reassigns none of these in one call: unassign, then assign, in one run and in that order."""
    _converge(harness, _spec(a=_listed(sort, sort.one), b=_listed(sort, sort.two)))
    swapped = _spec(a=_listed(sort, sort.two), b=_listed(sort, sort.one))
    plan = harness.plan(swapped)
    assert [(step.call, step.address) for step in plan.steps] == [
        (sort.unassign, "network_interfaces.a"),
        (sort.assign, "network_interfaces.a"),
        (sort.unassign, "network_interfaces.b"),
        (sort.assign, "network_interfaces.b"),
    ]
    assert plan.impact is Impact.DISRUPTIVE
    _converge(harness, swapped)
    assert (_held(harness, "a", sort), _held(harness, "b", sort)) == ([sort.two], [sort.one])


@sorts
def test_a_new_interface_takes_over(harness: Harness, sort: Sort) -> None:
    """From one of which the spec says nothing any more, from one that counts, and from one that goes."""
    _converge(harness, _spec(a=_listed(sort, sort.one), b=_listed(sort, sort.two), c=_listed(sort, sort.three)))
    spec = _spec(a="tags: {}", b=f"{sort.count}: 1", new=_listed(sort, sort.one, sort.two, sort.three))
    report = harness.apply(spec, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert not [outcome for outcome in report.outcomes if outcome.step.id.startswith("r2")]
    assert _held(harness, "new", sort) == [sort.one, sort.two, sort.three]
    assert (_held(harness, "a", sort), len(_held(harness, "b", sort))) == ([], 1)
    assert harness.plan(spec, prune=True).empty


def test_all_sorts_on_one_interface(harness: Harness) -> None:
    """EC2 takes addresses or prefixes in one call, never both: each sort has a call of its own."""
    everything = ", ".join(["secondary_private_ips: [10.0.0.10]", *(_listed(sort, sort.one) for sort in SORTS)])
    calls = _converge(harness, _spec(a=everything))
    assert sorted(calls) == ["AssignIpv6Addresses", "AssignPrivateIpAddresses", "CreateNetworkInterface"]
    counts = "secondary_private_ip_count: 2, " + ", ".join(f"{sort.count}: 2" for sort in SORTS)
    assert len(_converge(harness, _spec(a=counts))) == 4
    _converge(harness, _spec(b=counts, a=everything))


@pytest.mark.parametrize("row", ["ipv6_addresses: []", "ipv6_address_count: 0"])
def test_none_means_none_where_a_subnet_gives_addresses_out(harness: Harness, row: str) -> None:
    """AssignIpv6AddressOnCreation is overridden from the start; without a word of ours it is left alone."""
    assert _converge(harness, _spec(subnet="generous", a=row)) == ["CreateNetworkInterface"]
    assert _held(harness, "a", SORTS[0]) == []
    assert _converge(harness, _spec(subnet="generous", a=row, b="tags: {}")) == ["CreateNetworkInterface"]
    assert len(_held(harness, "b", SORTS[0])) == 1


def test_a_subnet_without_ipv6_is_reported_with_its_place(harness: Harness) -> None:
    """Before anything changes, for each key that wants what the subnet does not have."""
    harness.strict.world.add_subnet(
        harness.strict.world.add_vpc("10.9.0.0/16"), "10.9.0.0/24", tags={"Name": "old"}
    )
    spec = _spec(
        subnet="old", a="ipv6_address_count: 1", b="ipv6_prefixes: ['2001:db8::/80']", c="ipv6_addresses: []"
    )
    with pytest.raises(SpecErrors) as raised:
        harness.plan(spec)
    told = [f"{problem.line}:{problem.column} {problem.path}" for problem in raised.value.problems]
    assert told == [
        "5:79 network_interfaces.a.ipv6_address_count",
        "6:74 network_interfaces.b.ipv6_prefixes",
    ]
    assert all("has no IPv6 CIDR block" in problem.message for problem in raised.value.problems)


def test_an_ipv6_address_outside_of_its_subnet_is_reported_with_its_place(harness: Harness) -> None:
    with pytest.raises(SpecErrors) as raised:
        harness.plan(_spec(a="ipv6_addresses: ['2001:db8::9', '2001:db9::9', '2001:db8::3']"))
    assert [problem.path for problem in raised.value.problems] == [
        "network_interfaces.a.ipv6_addresses.1",
        "network_interfaces.a.ipv6_addresses.2",
    ]
