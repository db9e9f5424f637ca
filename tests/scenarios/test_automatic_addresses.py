"""``associate_public_ip_address``: the automatic public address of a primary interface."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from tests.harness import Harness

KEY = "associate_public_ip_address"
MODIFY = "ModifyNetworkInterfaceAttribute"
READ = "DescribeNetworkInterfaceAttribute"


def _spec(value: str | None = "true", *, state: str = "running", further: str = "", more: str = "") -> str:
    return f"""
version: 1
stack: auto
region: us-east-1
instances:
  web:
    image: {{name: "al2023-ami-2023.*-kernel-6.1-x86_64", owner: amazon}}
    instance_type: t3.micro
    state: {state}
network_interfaces:
  eth0:
    subnet: {{default_for_az: us-east-1a}}
    attachment: {{instance: web, device_index: 0}}
    {"" if value is None else f"{KEY}: {value}"}
{further}
{more}
"""


ELASTIC = "elastic_ips:\n  web: {association: {network_interface: eth0}}"
SECOND = "  eth1: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 1}}"


def _calls(harness: Harness, spec: str) -> list[str]:
    """The mutating calls of an apply; a further apply calls nothing."""
    harness.strict.clear()
    report = harness.apply(spec)
    assert report.outcome in ("converged", "unchanged"), report.error
    calls = [call.action for call in harness.strict.mutating()]
    harness.loop.now += 5
    assert harness.plan(spec).empty
    return calls


def _reads(harness: Harness, spec: str) -> list[str]:
    """The calls of a plan."""
    harness.strict.clear()
    harness.plan(spec)
    return [call.action for call in harness.strict.calls]


def _interface(harness: Harness) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.eth0"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _public_ip(harness: Harness) -> str | None:
    association = _interface(harness).get("Association") or {}
    return None if association.get("AllocationId") else association.get("PublicIp")


def _assigns(harness: Harness) -> bool:
    return harness.strict.world.data.interfaces[_interface(harness)["NetworkInterfaceId"]].auto_public


def test_it_is_assigned_after_the_launch(harness: Harness) -> None:
    """EC2 does not take it at launch, together with an existing interface."""
    assert _calls(harness, _spec()) == ["CreateNetworkInterface", "RunInstances", MODIFY]
    assert _public_ip(harness)


def test_an_address_that_shows_needs_no_further_read(harness: Harness) -> None:
    harness.apply(_spec())
    assert READ not in _reads(harness, _spec())
    assert READ not in _reads(harness, _spec(None))


def test_drift_is_corrected(harness: Harness) -> None:
    harness.apply(_spec())
    harness.client().modify_network_interface_attribute(
        NetworkInterfaceId=_interface(harness)["NetworkInterfaceId"], AssociatePublicIpAddress=False
    )
    [change] = [each for each in harness.plan(_spec()).changes if each.fields]
    assert [(field.field, field.before, field.after) for field in change.fields] == [(KEY, False, True)]
    assert _calls(harness, _spec()) == [MODIFY]
    assert _public_ip(harness)


def test_it_is_turned_off_and_left_alone(harness: Harness) -> None:
    """Without the key it stays as it is."""
    harness.apply(_spec())
    assert _calls(harness, _spec(None)) == []
    assert _public_ip(harness)
    assert _calls(harness, _spec("false")) == [MODIFY]
    assert not _public_ip(harness)


def test_an_elastic_ip_takes_its_place(harness: Harness) -> None:
    """Together with an Elastic IP on the primary address it is never a difference."""
    both = _spec(more=ELASTIC)
    assert MODIFY not in _calls(harness, both)
    assert READ not in _reads(harness, both)
    assert _calls(harness, _spec("false", more=ELASTIC)) == []


def test_it_comes_when_the_elastic_ip_goes(harness: Harness) -> None:
    harness.apply(_spec(more=ELASTIC))
    alone = _spec(more="elastic_ips:\n  web: {}")
    assert sorted(_calls(harness, alone)) == ["DisassociateAddress", MODIFY]
    assert _public_ip(harness)


def test_a_stop_is_no_difference_and_the_plan_warns_of_it(harness: Harness) -> None:
    harness.apply(_spec())
    address = _public_ip(harness)
    stopped = _spec(state="stopped")
    [warning] = harness.plan(stopped).warnings
    assert warning.startswith(
        f"network_interfaces.eth0: its automatic public address {address} goes when web stops"
    )
    assert _calls(harness, stopped) == ["StopInstances"]
    assert not _public_ip(harness)
    assert READ in _reads(harness, stopped)
    assert _calls(harness, _spec()) == ["StartInstances"]
    assert _public_ip(harness) not in (None, address)


def test_a_second_interface_is_warned_of(harness: Harness) -> None:
    """EC2 then assigns no new address; that it is on is no difference."""
    spec = _spec(further=SECOND)
    _calls(harness, spec)
    assert _assigns(harness)
    assert any("several interfaces (web also has eth1)" in words for words in harness.plan(spec).warnings)


def test_the_policy_is_enough(harness: Harness) -> None:
    harness.obey(_spec("false"), prune=True)
    harness.apply(_spec("false"))
    assert harness.plan(_spec("false")).empty


def test_an_adopted_interface_that_is_no_primary_one_is_refused(harness: Harness) -> None:
    """The row leaves its attachment out, so only the live state shows it."""
    subnet = harness.client().describe_subnets()["Subnets"][0]["SubnetId"]
    made = harness.client().create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    spec = f"version: 1\nstack: auto\nnetwork_interfaces: {{a: {{adopt: {made}, {KEY}: true}}}}\n"
    with pytest.raises(SpecErrors, match=f"network_interfaces.a: {KEY}: only the primary interface"):
        harness.plan(spec)


@pytest.mark.parametrize("attachment", ["", "    attachment: {instance: web, device_index: 1}"])
def test_only_a_primary_interface_can_have_one(harness: Harness, attachment: str) -> None:
    other = f"  eth1:\n    subnet: {{default_for_az: us-east-1a}}\n    {KEY}: true\n{attachment}"
    with pytest.raises(SpecErrors, match=f"network_interfaces.eth1.{KEY}: only the primary interface"):
        harness.plan(_spec(further=other))
