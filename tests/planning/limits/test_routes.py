"""Routes that lead to interfaces which a plan deletes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from enireconcile.live.records import Limits, LiveRoute, LiveRouteTable
from enireconcile.planning.draft import draft
from tests.planning.limits.situations import ZONE_A
from tests.planning.worlds import Words, live_of, plan_of, spec_of

NAT = LiveRoute("0.0.0.0/0", "eni-nat")
BROKEN = replace(NAT, destination="::/0", active=False)
OTHER = LiveRoute("10.0.0.0/8", "eni-stranger")
TABLES = (
    LiveRouteTable("rtb-2", {}, "vpc-default", routes=(OTHER,)),
    LiveRouteTable("rtb-1", {"Name": "private-a"}, "vpc-default", routes=(BROKEN, NAT)),
)
KNOWN = Limits(route_tables=TABLES, read=frozenset({"DescribeRouteTables"}))
LIVE: Words = {"network_interfaces": {"nat": {}}}
STAYS: Words = {"network_interfaces": {"nat": {"subnet": ZONE_A}}}
MOVES: Words = {"network_interfaces": {"nat": {"subnet": {"default_for_az": "us-east-1b"}}}}
ENDS = "leads to eni-nat, which this plan deletes, and"


@pytest.mark.parametrize(("spec", "what"), [({}, "change it first"), (MOVES, "change it to the new interface")])
def test_a_route_to_an_interface_that_is_deleted_is_told(spec: Words, what: str) -> None:
    """One that is a black hole already, too; others are not."""
    assert plan_of(spec, LIVE, prune=True, known=KNOWN).warnings == (
        f"network_interfaces.nat: route 0.0.0.0/0 of rtb-1 (private-a) {ENDS} becomes a black hole: {what}",
        f"network_interfaces.nat: route ::/0 of rtb-1 (private-a) {ENDS} stays a black hole: {what}",
    )


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (499, ""),
        (500, "501 routes in rtb-12345678 (12345678); EC2 allows 500 unless the account has a higher quota"),
        (1000, "1001 routes in rtb-12345678 (12345678); EC2 allows at most 1000 in any account"),
    ],
)
def test_a_route_table_takes_so_many_routes(there: int, words: str) -> None:
    """Up to the default quota nothing is said; above the highest one, the row is left out."""
    spec: Words = {
        "instances": {"nat": {"image": "ami-12345678", "instance_type": "t3.micro"}},
        "network_interfaces": {
            "nat": {
                "subnet": ZONE_A,
                "source_dest_check": False,
                "attachment": {"instance": "nat", "device_index": 0},
                "routes": [{"route_table": "rtb-12345678", "destination": "0.0.0.0/0"}],
            }
        },
    }
    routes = {f"10.{n // 256}.{n % 256}.0/24": "igw-1" for n in range(there)}
    live: Words = {
        "instances": {"nat": {}},
        "network_interfaces": {"nat": {"at": "nat 0", "source_dest_check": False}},
        "route_tables": {"rtb-12345678": {"routes": routes}},
    }
    plan = plan_of(spec, live, partly=True)
    told = [*plan.warnings, *(error.problem.message for error in plan.errors)]
    assert [each for each in told if "routes in" in each and words in each] == told
    assert bool(told) is bool(words)
    assert bool(plan.errors) is (there >= 1000)


@pytest.mark.parametrize(
    ("spec", "prune", "vpcs"),
    [({}, True, {"vpc-default"}), (MOVES, False, {"vpc-default"}), ({}, False, set()), (STAYS, True, set())],
    ids=["pruned", "replaced", "a leftover", "it stays"],
)
def test_routes_are_read_only_where_an_interface_is_deleted(spec: Words, prune: bool, vpcs: set[str]) -> None:
    loaded = spec_of(spec)
    assert draft(loaded, live_of(LIVE, loaded), prune=prune).questions.routed_vpcs == vpcs


def test_routes_that_cannot_be_read_are_a_note() -> None:
    denied = Limits(unanswered={"DescribeRouteTables": "UnauthorizedOperation"})
    assert plan_of({}, LIVE, prune=True, known=denied).warnings == (
        "not checked: which routes lead to the interfaces that this plan deletes; these credentials are not "
        "allowed to call DescribeRouteTables",
    )
