"""``association: {secondary: true}``: Elastic IPs on secondary addresses that EC2 chose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact, Plan
from tests.ec2 import DropConnection
from tests.harness import SLOW, Harness, open_harness

CREATE, ALLOCATE, ASSOCIATE = "CreateNetworkInterface", "AllocateAddress", "AssociateAddress"
ASSIGN, UNASSIGN = "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"


def _spec(*names: str, count: int | None = None, zone: str = "us-east-1a", more: str = "", row: str = "") -> str:
    number = f"secondary_private_ip_count: {len(names) if count is None else count}"
    rows = "".join(f"  {name}: {{association: {{network_interface: a, secondary: true}}}}\n" for name in names)
    return f"""
version: 1
stack: further
region: us-east-1
network_interfaces:
  a: {{subnet: {{default_for_az: {zone}}}, {number}{row}}}
elastic_ips:
{rows or "  spare: {}"}
{more}
"""


def _calls(harness: Harness, spec: str, **more: Any) -> list[str]:
    """The mutating calls of an apply that converges in one round; a further apply calls nothing."""
    plans: list[Plan] = []

    def approve(plan: Plan) -> Impact:
        plans.append(plan)
        return Impact.DESTRUCTIVE

    harness.strict.clear()
    report = harness.apply(spec, approve=approve, **more)
    assert report.outcome in ("converged", "unchanged"), report.error
    assert len(plans) <= 1
    calls = sorted(call.action for call in harness.strict.mutating())
    assert harness.plan(spec).empty
    return calls


def _held(harness: Harness) -> dict[str, str | None]:
    """The private address of each Elastic IP, by its name."""
    found = harness.client().describe_addresses()["Addresses"]
    names = ({tag["Key"]: tag["Value"] for tag in each.get("Tags", [])} for each in found)
    return {
        tags.get("enireconcile:name", "").partition(".")[2]: each.get("PrivateIpAddress")
        for tags, each in zip(names, found, strict=True)
    }


def _interface(harness: Harness) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.a"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _secondary(harness: Harness) -> set[str]:
    return {each["PrivateIpAddress"] for each in _interface(harness)["PrivateIpAddresses"] if not each["Primary"]}


def test_several_that_name_one_and_let_ec2_choose_more(tmp_path: Path) -> None:
    """EC2 never chooses for one of them the address that another one names, although few others are free."""
    for seed in range(6):
        with open_harness(tmp_path / str(seed), replace(SLOW, seed=seed)) as harness:
            vpc = harness.strict.world.add_vpc("10.0.0.0/16", gateway=True)
            subnet = harness.strict.world.add_subnet(vpc, "10.0.1.0/28")
            rows = {
                name: {"subnet": subnet, "private_ip": f"10.0.1.{4 + number}", "secondary_private_ip_count": 2}
                for number, name in enumerate("abc")
            }
            addresses = {name: {"association": {"network_interface": name, "secondary": True}} for name in rows}
            head = {"version": 1, "stack": "lab", "region": "us-east-1"}
            spec = json.dumps({**head, "network_interfaces": rows, "elastic_ips": addresses})
            report = harness.apply(spec)
            assert (report.outcome, report.error) == ("converged", None)
            assert [step for step in report.outcomes if step.replan] == []
            harness.loop.now += 30
            assert harness.plan(spec).empty


def test_each_row_gets_an_address_of_a_new_interface(harness: Harness) -> None:
    """In one plan, whose associations show that the addresses are known later."""
    spec = _spec("x", "y")
    [shown] = [change for change in harness.plan(spec).changes if change.address == "elastic_ips.x"]
    wanted = next(field.after for field in shown.fields if field.field == "association")
    assert str(wanted["private_ip"]) == "network_interfaces.a.secondary_private_ips.x"
    assert _calls(harness, spec) == sorted([CREATE, *[ALLOCATE, ASSOCIATE] * 2])
    assert set(_held(harness).values()) == _secondary(harness)


def test_a_row_keeps_its_address(harness: Harness) -> None:
    """Another row before it, and more addresses, move nothing."""
    _calls(harness, _spec("y", "z"))
    before = _held(harness)
    assert _calls(harness, _spec("a", "y", "z")) == sorted([ALLOCATE, ASSIGN, ASSOCIATE])
    after = _held(harness)
    assert {name: after[name] for name in before} == before
    assert set(after.values()) == _secondary(harness)


def test_an_address_with_a_row_is_the_last_to_go(harness: Harness) -> None:
    _calls(harness, _spec("x", count=3))
    before = _held(harness)
    assert _calls(harness, _spec("x", count=1)) == [UNASSIGN]
    assert _held(harness) == before
    assert _secondary(harness) == set(before.values())


def test_drift_is_corrected(harness: Harness) -> None:
    """Another tool disassociates one, and moves the other to the primary address."""
    spec, ec2 = _spec("x", "y"), harness.client()
    _calls(harness, spec)
    found = {each["PrivateIpAddress"]: each for each in ec2.describe_addresses()["Addresses"]}
    x, y = (found[_held(harness)[name]] for name in "xy")
    ec2.disassociate_address(AssociationId=x["AssociationId"])
    ec2.associate_address(AllocationId=y["AllocationId"], NetworkInterfaceId=y["NetworkInterfaceId"])
    assert _calls(harness, spec) == [ASSOCIATE, ASSOCIATE]
    assert set(_held(harness).values()) == _secondary(harness)


def test_a_new_address_is_preferred_to_one_with_an_elastic_ip_of_others(harness: Harness) -> None:
    _calls(harness, _spec(count=1))
    ec2, [taken] = harness.client(), _secondary(harness)
    other = ec2.allocate_address()["AllocationId"]
    interface = _interface(harness)["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=other, NetworkInterfaceId=interface, PrivateIpAddress=taken)
    harness.loop.now += 5
    _calls(harness, _spec("x", count=2))
    assert _held(harness)["x"] in _secondary(harness) - {taken}
    [step] = [step for step in harness.plan(_spec("x", "y", count=2)).steps if step.call == ASSOCIATE]
    assert step.params["PrivateIpAddress"] == taken
    assert step.note == f"displaces {other}"


def test_a_row_beside_one_that_names_its_address(harness: Harness) -> None:
    _calls(harness, _spec(count=2))
    first = min(_secondary(harness))
    named = f"  b: {{association: {{network_interface: a, private_ip: {first}}}}}"
    _calls(harness, _spec("x", count=2, more=named))
    assert _held(harness)["b"] == first
    assert _held(harness)["x"] == max(_secondary(harness))


def test_a_replaced_interface_takes_its_elastic_ips_to_its_new_addresses(harness: Harness) -> None:
    _calls(harness, _spec("x", "y"))
    _calls(harness, _spec("x", "y", zone="us-east-1b"))
    assert set(_held(harness).values()) == _secondary(harness)


@pytest.mark.parametrize("call", [CREATE, ASSIGN, ASSOCIATE])
def test_a_lost_answer_loses_nothing(harness: Harness, call: str) -> None:
    if call == ASSIGN:
        _calls(harness, _spec("x"))
    harness.strict.faults.add(DropConnection(action=call, late=True))
    report = harness.apply(_spec("x", "y"))
    assert report.outcome == "converged"
    assert harness.plan(_spec("x", "y")).empty
    assert set(_held(harness).values()) == _secondary(harness)
    assert len(_held(harness)) == 2


def test_an_ignored_number_that_is_too_small_is_refused(harness: Harness) -> None:
    _calls(harness, _spec(count=1))
    ignoring = ", lifecycle: {ignore: [secondary_private_ip_count]}"
    with pytest.raises(SpecErrors, match=r"elastic_ips.y.association.secondary: a has no secondary address left"):
        harness.plan(_spec("x", "y", row=ignoring))


@pytest.mark.parametrize(
    ("association", "count", "message"),
    [
        ("{network_interface: a, secondary: true}", "", "only for an interface of this spec with secondary"),
        ("{network_interface: eni-0123456789abcdef0, secondary: true}", "", "only for an interface of this spec"),
        ("{network_interface: a, secondary: true}", "secondary_private_ip_count: 0", "has only 0 secondary addr"),
        (
            "{network_interface: a, secondary: true, private_ip: 172.31.0.9}",
            "secondary_private_ip_count: 1",
            "secondary: cannot be combined with private_ip",
        ),
    ],
)
def test_what_the_file_shows_is_refused(harness: Harness, association: str, count: str, message: str) -> None:
    spec = f"""
version: 1
stack: further
network_interfaces:
  a: {{subnet: {{default_for_az: us-east-1a}}{count and ", "}{count}}}
elastic_ips:
  x: {{association: {association}}}
"""
    with pytest.raises(SpecErrors, match=message):
        harness.plan(spec)


def test_the_addresses_of_a_creation_without_an_answer_are_found(harness: Harness) -> None:
    """The interface is found by its tag after three losses, with the addresses that EC2 chose, in the same run."""
    harness.strict.faults.add(DropConnection(CREATE, times=99, late=True))
    report = harness.apply(_spec("one", "two"))
    assert (report.outcome, report.error) == ("converged", None)
    assert len(set(_held(harness).values())) == 2
