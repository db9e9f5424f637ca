"""No read that only sharpens a check, a hint or a name stops a plan: it warns, and the apply converges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from enireconcile.errors import AwsError
from enireconcile.live.optional import PATIENCE
from enireconcile.ownership import USER_DATA_TAG
from enireconcile.planning.limits import CHECKS
from tests.ec2 import Call, Fail
from tests.harness import Harness
from tests.scenarios.test_preflight import MISSING, NAMED, applied, default_vpc, elsewhere, sources, spec

Situation = Callable[[Harness], dict[str, Any]]
"""Prepares the account; the result is a spec whose plan makes the read."""

AMI = {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"}
ADDRESS = {"version": 1, "stack": "lab", "region": "us-east-1", "elastic_ips": {"ip": {}}}
EMPTY = {"version": 1, "stack": "lab", "region": "us-east-1"}


def launch(_: Harness) -> dict[str, Any]:
    return spec(image=AMI)


def key_pair(_: Harness) -> dict[str, Any]:
    return spec(key_name="ops")


def in_a_placement_group(harness: Harness) -> dict[str, Any]:
    harness.strict.world.add_placement_group("rack", "partition")
    return spec(placement={"group": "rack"}, instance_type="m5.large")


def naming(harness: Harness) -> dict[str, Any]:
    """A launch that names a snapshot, a host, a reservation and a key."""
    world = harness.strict.world
    key = world.add_kms_key()
    disk = {"device_name": "/dev/sdf", "snapshot_id": world.add_snapshot(), "encrypted": True, "kms_key_id": key}
    target = {"capacity_reservation_id": world.add_capacity_reservation("t3.micro")}
    return spec(
        volumes=[disk],
        placement={"host_id": world.add_host("t3.micro")},
        capacity_reservation={"capacity_reservation_target": target},
    )


def of_another_launch(harness: Harness) -> dict[str, Any]:
    """No tag tells the user data."""
    applied(harness, spec(user_data="x"))
    found = harness.client().describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    harness.client().delete_tags(Resources=[found], Tags=[{"Key": USER_DATA_TAG}])
    return spec(user_data="x", tags={"Role": "web"})


def by_name(harness: Harness) -> dict[str, Any]:
    """Images of two architectures have fitting names, and the type decides."""
    harness.strict.world.add_image("al2023-ami-2023.9-kernel-6.1-arm64", "2026-03-01T00:00:00.000Z")
    return spec(image=NAMED)


def address(_: Harness) -> dict[str, Any]:
    return ADDRESS


def released(harness: Harness) -> dict[str, Any]:
    applied(harness, ADDRESS)
    return EMPTY


def deleted(harness: Harness) -> dict[str, Any]:
    applied(harness, {**spec(), "instances": {}, "network_interfaces": {"eth0": {"subnet": ZONE}}})
    return EMPTY


ZONE = {"default_for_az": "us-east-1a"}


def prefix_list(harness: Harness) -> dict[str, Any]:
    return sources("10.0.0.0/8", harness.strict.world.add_prefix_list())


def named_group(harness: Harness) -> dict[str, Any]:
    return sources(harness.strict.world.add_group("theirs", default_vpc(harness)))


def associated(harness: Harness) -> dict[str, Any]:
    _, group = elsewhere(harness)
    harness.strict.world.associate_group(group, default_vpc(harness))
    return spec("network_interfaces", "eth0", security_groups=["web", group])


def peered(harness: Harness) -> dict[str, Any]:
    vpc, group = elsewhere(harness)
    harness.strict.world.peer_vpcs(vpc, default_vpc(harness))
    return sources(group)


SITUATIONS: dict[str, Situation] = {
    "DescribeAccountAttributes": address,
    "DescribeAddresses": address,
    "DescribeAddressesAttribute": released,
    "DescribeCapacityReservations": naming,
    "DescribeHosts": naming,
    "DescribeImages": launch,
    "DescribeInstanceAttribute": of_another_launch,
    "DescribeInstanceTypeOfferings": launch,
    "DescribeInstanceTypes": by_name,
    "DescribeKey": naming,
    "DescribeKeyPairs": key_pair,
    "DescribeManagedPrefixLists": prefix_list,
    "DescribePlacementGroups": in_a_placement_group,
    "DescribeRouteTables": deleted,
    "DescribeSecurityGroupVpcAssociations": associated,
    "DescribeSecurityGroups": named_group,
    "DescribeSnapshots": naming,
    "DescribeTransitGatewayVpcAttachments": peered,
    "DescribeVpcPeeringConnections": peered,
}
ANSWERS = {
    "denied": ("UnauthorizedOperation", 403, "these credentials are not allowed to call {}"),
    "denied as other services do": ("AccessDenied", 403, "these credentials are not allowed to call {}"),
    "an unknown action": ("InvalidAction", 400, "{} failed: InvalidAction"),
    "an unsupported action": ("UnsupportedOperation", 400, "{} failed: UnsupportedOperation"),
    "not implemented": ("NotImplemented", 501, "{} failed: NotImplemented"),
    "a server error for ever": ("InternalError", 500, "{} was not answered"),
    "throttled for ever": ("RequestLimitExceeded", 503, "{} was not answered"),
    "a bad gateway for ever": ("502", 502, "{} was not answered"),
}


def is_check(call: Call) -> bool:
    """Whether a call is the optional one. A plan also needs the groups and addresses of its stack."""
    names = {each["Name"] for each in call.params.get("Filters") or ()}
    if call.action == "DescribeSecurityGroups":
        return "group-id" in names
    return call.action != "DescribeAddresses" or not names


def test_every_optional_read_has_a_situation() -> None:
    assert SITUATIONS.keys() == CHECKS.keys()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("call", SITUATIONS)
def test_a_plan_goes_on_without(harness: Harness, call: str, answer: str) -> None:
    """One line says what is not checked and why, within seconds; the plan is otherwise as with the answer."""
    text = json.dumps(SITUATIONS[call](harness))
    expected = harness.plan(text, prune=True)
    code, status, why = ANSWERS[answer]
    failing = Fail(call, times=10**6, code=code, status=status, when=is_check)
    harness.strict.faults.add(failing)
    began = harness.loop.now
    plan = harness.plan(text, prune=True)
    # The types are read for the image, and again for the limits.
    assert harness.loop.now - began <= 2 * PATIENCE
    assert failing.met
    assert [(step.call, step.address) for step in plan.steps] == [
        (step.call, step.address) for step in expected.steps
    ]
    assert set(plan.warnings) - set(expected.warnings) >= {f"not checked: {CHECKS[call]}; {why.format(call)}"}
    assert harness.apply(text, prune=True).outcome == "converged"


@pytest.mark.parametrize("answer", ANSWERS)
def test_all_optional_reads_at_once(harness: Harness, answer: str) -> None:
    """As on an EC2 that knows only the calls without which nothing can be planned."""
    code, status, _ = ANSWERS[answer]
    harness.strict.faults.add(
        *(Fail(call, times=10**6, code=code, status=status, when=is_check) for call in CHECKS)
    )
    text = json.dumps(spec(image=AMI))
    assert harness.apply(text).outcome == "converged"
    assert harness.plan(text).empty


def test_an_image_that_must_be_found_by_its_name_is_required(harness: Harness) -> None:
    """The same action is no optional read there: the plan ends with its error."""
    harness.strict.faults.add(Fail("DescribeImages", times=10**6, code="UnauthorizedOperation"))
    with pytest.raises(AwsError, match="DescribeImages"):
        harness.plan(json.dumps(spec()))
    assert any("DescribeImages" in warning for warning in harness.plan(json.dumps(spec(image=MISSING))).warnings)


def test_reverse_dns_of_a_row_is_required(harness: Harness) -> None:
    """Without knowing the name that an address has, a run would set it again and again."""
    applied(harness, ADDRESS)
    harness.strict.faults.add(Fail("DescribeAddressesAttribute", times=10**6, code="InvalidAction"))
    named = {**ADDRESS, "elastic_ips": {"ip": {"reverse_dns": "web.example.com"}}}
    with pytest.raises(AwsError, match="DescribeAddressesAttribute"):
        harness.plan(json.dumps(named))
