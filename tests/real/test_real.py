"""What real files say of their networks, in our words: applied, kept, drifted and mended, destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import Quotas
from tests.harness import SLOW, Harness, open_harness
from tests.lab_vpc import lab
from tests.scenarios.test_export import assert_adopts, disown, instances, text_of

NAMES = {
    *(
        "bigip-pair",
        "copilot",
        "csr-single",
        "ecs-stateful",
        "etcd-pool",
        "fortigate-ha",
        "nat-asg",
        "palo-single",
    ),
    *("pfsense", "testbed-3-hosts", "wire-ipv6", "zookeeper-3"),
}
SPECS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.yaml"))}
assert set(SPECS) == NAMES


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A dual-stack default VPC, the lab VPC with two zones, and groups of others."""
    with open_harness(tmp_path, replace(SLOW, quotas=Quotas(addresses=10))) as opened:
        vpc, _ = lab(opened)
        world = opened.strict.world
        world.add_subnet(vpc, "10.0.4.0/24", tags={"Name": "lab-sync"})
        world.add_subnet(vpc, "10.0.5.0/24", "us-east-1b", tags={"Name": "lab-b"})
        private = world.add_subnet(vpc, "10.0.6.0/24", "us-east-1b", tags={"Name": "lab-private-b"})
        table = world.add_route_table(vpc, {"Name": "lab-private-b"})
        opened.client().associate_route_table(RouteTableId=table, SubnetId=private)
        default = world.default_vpc()
        assert default is not None
        default.ipv6_cidr = "2001:db8::/56"
        for number, subnet in enumerate(world.data.subnets.values()):
            if subnet.default_for_az:
                subnet.ipv6_cidr = f"2001:db8:0:{number}::/64"
        world.add_group("app-clients", default.id)
        data = world.add_group("data", default.id)
        opened.client().create_tags(Resources=[data], Tags=[{"Key": "Team", "Value": "data"}])
        yield opened


def _drift(harness: Harness, stack: str) -> None:
    """By hand: an interface comes off, an address and a route too, a flag and a tag change, an instance stops."""
    ec2 = harness.client()
    mine = [{"Name": "tag:enireconcile:stack", "Values": [stack]}]
    interfaces = ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    for address in ec2.describe_addresses(Filters=mine)["Addresses"][:1]:
        ec2.disassociate_address(AssociationId=address["AssociationId"])
    for table, route in _routes(harness)[:1]:
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=route["DestinationCidrBlock"])
    further = [each for each in interfaces if each.get("Attachment", {}).get("DeviceIndex")]
    for each in further[:1]:
        ec2.detach_network_interface(AttachmentId=each["Attachment"]["AttachmentId"])
    first = interfaces[0]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=first["NetworkInterfaceId"], SourceDestCheck={"Value": not first["SourceDestCheck"]}
    )
    ec2.create_tags(Resources=[first["NetworkInterfaceId"]], Tags=[{"Key": "Name", "Value": "mine"}])
    states: list[dict[str, Any]] = [*mine, {"Name": "instance-state-name", "Values": ["running"]}]
    [reservation, *_] = ec2.describe_instances(Filters=states)["Reservations"]
    ec2.stop_instances(InstanceIds=[reservation["Instances"][0]["InstanceId"]])
    harness.loop.now += 10


def _routes(harness: Harness) -> list[tuple[str, Any]]:
    """The routes to interfaces, with their tables."""
    tables = harness.client().describe_route_tables()["RouteTables"]
    found = [(table["RouteTableId"], route) for table in tables for route in table["Routes"]]
    return [(table, route) for table, route in found if route.get("NetworkInterfaceId")]


RICH = (Path(__file__).parents[1] / "proofs" / "rich.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*SPECS, "rich"])
def test_it_is_exported(name: str, harness: Harness) -> None:
    """The plan of the export is empty; after others have taken the stack's tags away, it only adopts."""
    # EC2 may choose an address that another row names, while its interface does not exist yet: here it names none.
    spec = SPECS.get(name, RICH).replace("private_ip: 10.0.1.${each.value.ip}\n    secondary", "secondary")
    stack = harness.spec(spec).document.stack
    assert harness.apply(spec).outcome == "converged"
    harness.loop.now += 60
    text = text_of(harness, stack=stack)
    plan = harness.plan(text)
    assert (plan.empty, plan.warnings, plan.leftovers) == (True, (), ())
    assert set(harness.spec(text).document.resources) == set(harness.spec(spec).document.resources)
    disown(harness, stack)
    assert_adopts(harness, text_of(harness, instances=instances(harness)))


@pytest.mark.parametrize("name", SPECS)
def test_it_lives(name: str, harness: Harness) -> None:
    text = SPECS[name]
    strangers = {*harness.strict.world.data.groups}
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None)
    assert harness.plan(text).empty
    assert len(_routes(harness)) == text.count("destination:") * (2 if name == "nat-asg" else 1)
    assert {route["State"] for _, route in _routes(harness)} <= {"active"}
    harness.strict.clear()
    assert harness.apply(text).outcome == "unchanged"
    assert harness.strict.mutating() == []
    harness.loop.now += 60
    _drift(harness, harness.spec(text).document.stack)
    assert not harness.plan(text).empty
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None)
    assert harness.plan(text).empty
    harness.loop.now += 60
    open_again = text.replace("termination_protection: true", "termination_protection: false")
    assert harness.apply(open_again).outcome in ("converged", "unchanged")
    report = harness.apply(open_again, destroy=True)
    assert (report.outcome, report.error) == ("converged", None)
    data = harness.strict.world.data
    assert not data.addresses
    assert not data.interfaces
    assert _routes(harness) == []
    assert {*data.groups} == strangers
