"""The second look: what stale reads can cause is believed only when seconds later it is still so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enireconcile.errors import GuardError, SpecErrors
from tests.ec2 import Settings
from tests.harness import Harness, open_harness

SPEC = """\
version: 1
stack: lab
region: us-east-1
account_id: "{account}"
network_interfaces:
  eth0: {{adopt: {interface}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """What is new stays invisible for 1.5 seconds."""
    with open_harness(tmp_path, Settings(visibility_delay=1.5)) as harness:
        yield harness


def new_interface(harness: Harness) -> str:
    ec2 = harness.client()
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    return str(ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"])


def spec(harness: Harness, interface: str, account: str = "") -> str:
    return SPEC.format(interface=interface, account=account or harness.strict.world.settings.account_id)


def test_a_resource_that_is_not_visible_yet_is_found_at_the_second_look(harness: Harness) -> None:
    interface = new_interface(harness)
    assert [step.call for step in harness.plan(spec(harness, interface)).steps] == ["CreateTags"]
    assert harness.loop.now >= 2.0


def test_a_resource_that_does_not_exist_is_an_error_after_the_second_look(harness: Harness) -> None:
    before = harness.loop.now
    with pytest.raises(SpecErrors, match=r"network_interfaces\.eth0\.adopt"):
        harness.plan(spec(harness, "eni-0123456789abcdef0"))
    assert harness.loop.now - before == pytest.approx(2.0)


def test_the_account_needs_no_second_look(harness: Harness) -> None:
    """GetCallerIdentity is never stale."""
    before = harness.loop.now
    with pytest.raises(GuardError):
        harness.plan(spec(harness, "eni-0123456789abcdef0", account="999999999999"))
    assert harness.loop.now == before
