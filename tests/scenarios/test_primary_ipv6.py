"""``primary_ipv6``: the IPv6 address that EC2 never unassigns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from tests.harness import SLOW, Harness, open_harness

CREATE, MODIFY, DELETE = "CreateNetworkInterface", "ModifyNetworkInterfaceAttribute", "DeleteNetworkInterface"
ASSIGN, UNASSIGN = "AssignIpv6Addresses", "UnassignIpv6Addresses"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A slow EC2 with two subnets of both families, one of which gives out IPv6 addresses unasked."""
    with open_harness(tmp_path / "state", SLOW) as harness:
        world = harness.strict.world
        vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", tags={"Name": "lab"})
        world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"Name": "lab"})
        world.add_subnet(
            vpc, "10.0.1.0/24", ipv6_cidr="2001:db8:0:1::/64", assign_ipv6=True, tags={"Name": "generous"}
        )
        yield harness


def _spec(subnet: str = "lab", **rows: str) -> str:
    lines = [f"  {name}: {{subnet: {{tags: {{Name: {subnet}}}}}, {row}}}" for name, row in rows.items()]
    return "\n".join(["version: 1", "stack: six", "region: us-east-1", "network_interfaces:", *lines, ""])


def _calls(harness: Harness, spec: str) -> list[str]:
    """The mutating calls of an apply; a further apply calls nothing."""
    harness.strict.clear()
    report = harness.apply(spec)
    assert report.outcome in ("converged", "unchanged"), report.error
    calls = sorted(call.action for call in harness.strict.mutating())
    assert harness.plan(spec).empty
    return calls


def _interface(harness: Harness, name: str = "a") -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _primary(harness: Harness, name: str = "a") -> str | None:
    found = _interface(harness, name)["Ipv6Addresses"]
    return next((each["Ipv6Address"] for each in found if each["IsPrimaryIpv6"]), None)


@pytest.mark.parametrize(
    ("subnet", "row"),
    [
        ("lab", "ipv6_addresses: ['2001:db8::a']"),
        ("lab", "ipv6_address_count: 2"),
        ("generous", "description: x"),
    ],
)
def test_it_is_set_at_creation(harness: Harness, subnet: str, row: str) -> None:
    assert _calls(harness, _spec(subnet, a=f"{row}, primary_ipv6: true")) == [CREATE]
    assert _primary(harness)


def test_it_is_turned_on_once_there_is_an_address(harness: Harness) -> None:
    _calls(harness, _spec(a="ipv6_address_count: 0"))
    assert _calls(harness, _spec(a="ipv6_address_count: 1, primary_ipv6: true")) == [ASSIGN, MODIFY]
    assert _primary(harness)


def test_an_address_that_comes_from_another_interface(harness: Harness) -> None:
    """It is free only after the interface is created."""
    _calls(harness, _spec(a="ipv6_addresses: ['2001:db8::a']"))
    moved = _spec(a="ipv6_addresses: []", b="ipv6_addresses: ['2001:db8::a'], primary_ipv6: true")
    assert _calls(harness, moved) == [ASSIGN, CREATE, MODIFY, UNASSIGN]
    assert _primary(harness, "b") == "2001:db8::a"


def test_drift_is_corrected_and_without_the_key_it_stays(harness: Harness) -> None:
    """EC2 ends it when it detaches an interface."""
    spec = _spec(a="ipv6_address_count: 1, primary_ipv6: true")
    _calls(harness, spec)
    harness.strict.world.data.interfaces[_interface(harness)["NetworkInterfaceId"]].primary_ipv6 = False
    assert _calls(harness, spec) == [MODIFY]
    assert _calls(harness, _spec(a="ipv6_address_count: 1")) == []
    assert _primary(harness)


def test_it_is_the_last_to_go(harness: Harness) -> None:
    _calls(harness, _spec(a="ipv6_address_count: 3, primary_ipv6: true"))
    primary = _primary(harness)
    assert _calls(harness, _spec(a="ipv6_address_count: 1, primary_ipv6: true")) == [UNASSIGN]
    assert [each["Ipv6Address"] for each in _interface(harness)["Ipv6Addresses"]] == [primary]


def test_a_replacement_that_lists_it_waits_for_the_end_of_the_former(harness: Harness) -> None:
    """EC2 unassigns it only by deleting the interface."""
    row = "ipv6_addresses: ['2001:db8::a'], primary_ipv6: true"
    _calls(harness, _spec(a=row))
    harness.strict.clear()
    assert _calls(harness, _spec(a=f"{row}, interface_type: trunk")) == [CREATE, DELETE]
    assert _primary(harness) == "2001:db8::a"


@pytest.mark.parametrize(
    ("rows", "path", "hint"),
    [
        ({"a": "ipv6_addresses: ['2001:db8::b']"}, "network_interfaces.a.ipv6_addresses", "add 2001:db8::a"),
        ({"a": "ipv6_address_count: 0"}, "network_interfaces.a.ipv6_address_count", "write at least 1"),
        (
            {"a": "ipv6_address_count: 1", "b": "ipv6_addresses: ['2001:db8::a']"},
            "network_interfaces.b.ipv6_addresses.0",
            "leave it in the list of network_interfaces.a",
        ),
    ],
)
def test_a_plan_that_would_unassign_it_is_refused(
    harness: Harness, rows: dict[str, str], path: str, hint: str
) -> None:
    _calls(harness, _spec(a="ipv6_addresses: ['2001:db8::a'], primary_ipv6: true"))
    harness.strict.clear()
    with pytest.raises(SpecErrors) as raised:
        harness.apply(_spec(**rows))
    [problem] = raised.value.problems
    assert problem.path == path
    assert "2001:db8::a is the primary IPv6 address of " in problem.message
    assert "which EC2 cannot unassign" in problem.message
    assert str(problem.hint).startswith(hint)
    assert harness.strict.mutating() == []


def test_a_live_interface_without_an_address_is_refused(harness: Harness) -> None:
    _calls(harness, _spec(a="description: x"))
    with pytest.raises(SpecErrors, match=r"network_interfaces.a.primary_ipv6: the interface has no IPv6 address"):
        harness.plan(_spec(a="description: x, primary_ipv6: true"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("primary_ipv6: false", "network_interfaces.a.primary_ipv6: must be true"),
        ("primary_ipv6: true, ipv6_addresses: []", "network_interfaces.a.primary_ipv6: needs an IPv6 address"),
        ("primary_ipv6: true, ipv6_address_count: 0", "network_interfaces.a.primary_ipv6: needs an IPv6 address"),
        ("primary_ipv6: true, interface_type: efa-only", "an efa-only interface has no IP addresses"),
    ],
)
def test_what_the_file_shows_is_refused(harness: Harness, row: str, message: str) -> None:
    with pytest.raises(SpecErrors, match=message):
        harness.plan(_spec(a=row))


def test_the_policy_is_enough(harness: Harness) -> None:
    spec = _spec(a="ipv6_address_count: 1, primary_ipv6: true")
    _calls(harness, _spec(a="ipv6_address_count: 1"))
    harness.obey(spec)
    assert _calls(harness, spec) == [MODIFY]
