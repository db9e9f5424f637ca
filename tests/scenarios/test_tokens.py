"""Creates whose answers are lost, old, or about a resource that is gone: measured in calls and seconds.

What EC2 answers to the ClientToken of a deleted interface is not documented. Each test runs with both answers.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import Call, DropConnection, Hook, Settings
from tests.harness import SLOW, Harness, open_harness
from tests.two_enis import DRIFTS, Account, assert_is_the_story

ANSWERS = {"not found": SLOW, "the old answer": replace(SLOW, replays_deleted=True)}
PLAIN = """
version: 1
stack: lab
region: us-east-1
network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}}
  b: {subnet: {default_for_az: us-east-1a}, secondary_private_ip_count: 2}
  c: {subnet: {default_for_az: us-east-1b}, private_ip: 172.31.16.50}
  d: {subnet: {default_for_az: us-east-1b}, private_ip: 172.31.16.60, secondary_private_ips: [172.31.16.61]}
"""
ONE = """
version: 1
stack: lab
region: us-east-1
network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}}
"""


@pytest.fixture(params=[*ANSWERS.values()], ids=[*ANSWERS])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    settings: Settings = request.param
    with open_harness(tmp_path / "state", settings) as harness:
        yield harness


def _interfaces(harness: Harness) -> dict[str, list[str]]:
    """The ids of the stack's interfaces by name."""
    found: dict[str, list[str]] = {}
    for live in harness.strict.world.data.interfaces.values():
        found.setdefault(live.tags["enireconcile:name"].partition(".")[2], []).append(live.id)
    return found


def _forget(harness: Harness) -> None:
    """The state directory is lost."""
    shutil.rmtree(harness.state)


def _attempts(harness: Harness) -> Counter[str]:
    return Counter(harness.strict.actions(mutating=True))


# ---- answers that never come


@pytest.mark.parametrize("action", ["CreateNetworkInterface", "RunInstances", "CreateSecurityGroup"])
def test_a_create_whose_answers_are_always_lost_is_found_by_its_tags(action: str, harness: Harness) -> None:
    """EC2 acts and no answer arrives, however often it is asked: three attempts each, and seconds."""
    harness.strict.faults.add(DropConnection(action, late=True, times=1000))
    report = harness.apply()
    assert (report.outcome, report.error) == ("converged", None)
    assert report.seconds < 15
    # Two interfaces, two groups, one instance; after three losses each attempt begins with a look.
    acted = [call for call in harness.strict.mutating() if call.acted and call.action == action]
    assert len(acted) <= (5 if action == "RunInstances" else 10)
    harness.strict.faults.clear()
    assert_is_the_story(harness)
    assert harness.apply().outcome == "unchanged"


def test_a_replacement_whose_answers_are_always_lost_is_found(harness: Harness) -> None:
    """The interface that is replaced has the same name: only the new one counts."""
    assert harness.apply(ONE).outcome == "converged"
    [old] = _interfaces(harness)["a"]
    harness.strict.faults.add(DropConnection("CreateNetworkInterface", late=True, times=1000))
    report = harness.apply(ONE.replace("us-east-1a", "us-east-1b"))
    assert (report.outcome, report.error) == ("converged", None)
    assert report.seconds < 15
    [new] = _interfaces(harness)["a"]
    assert new != old


@pytest.mark.parametrize("action", ["AttachNetworkInterface", "DeleteNetworkInterface", "TerminateInstances"])
def test_a_change_whose_answers_are_always_lost_is_seen(action: str, harness: Harness) -> None:
    """A describe call shows what the call has done."""
    assert harness.apply().outcome == "converged"
    if action == "AttachNetworkInterface":
        account = Account(harness)
        attachment = account.interface("web-eth1")["Attachment"]["AttachmentId"]
        account.ec2.detach_network_interface(AttachmentId=attachment)
        harness.loop.now += 30
    harness.strict.faults.add(DropConnection(action, late=True, times=1000))
    report = harness.apply(destroy=action != "AttachNetworkInterface")
    assert (report.outcome, report.error) == ("converged", None)
    assert report.seconds < 30


DRIFTED = {
    "an address moved to another interface": "AssociateAddress",
    "groups of an interface changed": "ModifyNetworkInterfaceAttribute",
    "a rule added": "RevokeSecurityGroupIngress",
    "a rule removed": "AuthorizeSecurityGroupIngress",
    "a rule reworded": "UpdateSecurityGroupRuleDescriptionsIngress",
    "tags changed": "CreateTags",
    "the instance stopped": "StartInstances",
}


@pytest.mark.parametrize("name", DRIFTED)
def test_a_correction_whose_answers_are_always_lost_is_seen(name: str, tmp_path: Path) -> None:
    """Where no describe call belongs to the step, a new plan shows that it is done."""
    with open_harness(tmp_path, SLOW) as harness:
        assert harness.apply().outcome == "converged"
        deed, _, _ = DRIFTS[name]
        deed(Account(harness))
        harness.loop.now += 60
        harness.strict.faults.add(DropConnection(DRIFTED[name], late=True, times=1000))
        report = harness.apply()
        assert (report.outcome, report.error) == ("converged", None)
        assert report.seconds < 30
        harness.strict.faults.clear()
        assert harness.apply().outcome == "unchanged"


@pytest.mark.parametrize("name", DRIFTED)
def test_a_correction_is_repeated_as_long_as_it_is_missing(name: str, tmp_path: Path) -> None:
    """EC2 does not act for a while: reads show that, and the call is repeated."""
    with open_harness(tmp_path, SLOW) as harness:
        assert harness.apply().outcome == "converged"
        deed, _, _ = DRIFTS[name]
        deed(Account(harness))
        harness.loop.now += 60
        harness.strict.faults.add(DropConnection(DRIFTED[name], times=10))
        report = harness.apply()
        assert (report.outcome, report.error) == ("converged", None)
        assert harness.apply().outcome == "unchanged"


# ---- tokens of resources that are gone


def test_destroyed_interfaces_come_back_although_the_state_is_lost(harness: Harness) -> None:
    """Apply, destroy, lose the state, apply, and once more: each time within seconds, each interface once."""
    seen: set[str] = set()
    for turn in range(3):
        harness.strict.clear()
        report = harness.apply(PLAIN)
        assert (report.outcome, report.error) == ("converged", None)
        assert report.seconds < 5 + 5 * turn
        assert _attempts(harness)["CreateNetworkInterface"] <= 4 * (1 + turn)
        made = {each for ids in _interfaces(harness).values() for each in ids}
        assert (len(made), made & seen) == (4, set())
        seen |= made
        assert harness.apply(PLAIN).outcome == "unchanged"
        assert harness.apply(PLAIN, destroy=True).outcome == "converged"
        _forget(harness)
        harness.loop.now += 600


def test_with_its_state_a_host_launches_with_one_call(harness: Harness) -> None:
    """The journal knows which tokens stand for terminated instances."""
    assert harness.apply().outcome == "converged"
    for _ in range(3):
        account = Account(harness)
        account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
        harness.loop.now += 4000
        harness.strict.clear()
        assert harness.apply().outcome == "converged"
        assert _attempts(harness)["RunInstances"] == 1


def test_without_its_state_a_host_launches_once(harness: Harness) -> None:
    """EC2 refuses each spent token, and the next one is tried at once."""
    assert harness.apply().outcome == "converged"
    for turn in range(1, 4):
        account = Account(harness)
        account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
        harness.loop.now += 4000
        _forget(harness)
        harness.strict.clear()
        report = harness.apply()
        assert report.outcome == "converged"
        assert _attempts(harness)["RunInstances"] <= turn + 1
        assert report.seconds < 5
    assert_is_the_story(harness)


def test_the_address_of_a_deleted_interface_is_taken(harness: Harness) -> None:
    """Another interface has got its private address: then the new one gets any other, within seconds."""
    assert harness.apply(ONE).outcome == "converged"
    [live] = harness.strict.world.data.interfaces.values()
    address = live.ips[0]
    assert harness.apply(ONE, destroy=True).outcome == "converged"
    subnet = live.subnet_id
    foreign = harness.client().create_network_interface(SubnetId=subnet, PrivateIpAddress=address)
    _forget(harness)
    harness.loop.now += 600
    report = harness.apply(ONE)
    assert (report.outcome, report.error) == ("converged", None)
    assert report.seconds < 10
    data = harness.strict.world.data.interfaces
    assert len(data) == 2
    assert foreign["NetworkInterface"]["NetworkInterfaceId"] in data


@pytest.mark.parametrize("delay", [2.0, 10.0, 25.0])
def test_an_interface_that_is_too_new_to_be_seen_is_not_created_twice(delay: float, tmp_path: Path) -> None:
    """Invisible for longer than it takes to ask: EC2 says that its address is in use, so it exists."""
    with open_harness(tmp_path, Settings(visibility_delay=delay)) as harness:
        report = harness.apply(PLAIN)
        assert (report.outcome, report.error) == ("converged", None)
        assert {name: len(ids) for name, ids in _interfaces(harness).items()} == dict.fromkeys("abcd", 1)
        assert delay <= report.seconds <= delay + 10


def test_an_interface_that_others_delete_at_once_is_made_anew(harness: Harness) -> None:
    """Created, answered, and deleted by another tool before a describe shows it."""

    def delete(_: Call) -> None:
        world = harness.strict.world
        [live] = world.data.interfaces.values()
        world.remove_interface(live)

    harness.strict.faults.add(Hook("CreateNetworkInterface", late=True, callback=delete))
    report = harness.apply(ONE)
    assert (report.outcome, report.error) == ("converged", None)
    assert report.seconds < 15
    assert len(_interfaces(harness)["a"]) == 1


def test_interfaces_that_others_always_delete_have_an_end(harness: Harness) -> None:
    """Another tool deletes each one at once: after fifty the run gives up, within minutes."""

    def delete(_: Call) -> None:
        world = harness.strict.world
        for live in [*world.data.interfaces.values()]:
            world.remove_interface(live)

    harness.strict.faults.add(Hook("CreateNetworkInterface", times=1000, late=True, callback=delete))
    report = harness.apply(ONE, once=True)
    assert report.outcome == "partial"
    assert _attempts(harness)["CreateNetworkInterface"] <= 51
    assert report.seconds < 600


# ---- Elastic IPs that are released


def test_a_released_address_is_replaced_after_two_reads(tmp_path: Path) -> None:
    """Released a moment after it was allocated: two reads that agree, five seconds apart, are enough."""
    with open_harness(tmp_path, SLOW) as harness:
        assert harness.apply().outcome == "converged"
        account = Account(harness)
        mine: Any = account.address("web-2")
        account.ec2.disassociate_address(AssociationId=mine["AssociationId"])
        account.ec2.release_address(AllocationId=mine["AllocationId"])
        harness.strict.clear()
        began = harness.loop.now
        report = harness.apply()
        assert (report.outcome, report.error) == ("converged", None)
        [allocated] = [call.time for call in harness.strict.calls if call.action == "AllocateAddress"]
        assert allocated - began < 5.5
        assert len(harness.strict.calls) < 40
        assert_is_the_story(harness)


def test_a_released_address_of_a_former_day_is_replaced_at_once(tmp_path: Path) -> None:
    """Two reads, one after the other."""
    with open_harness(tmp_path, SLOW) as harness:
        assert harness.apply().outcome == "converged"
        account = Account(harness)
        mine: Any = account.address("web-2")
        account.ec2.disassociate_address(AssociationId=mine["AssociationId"])
        account.ec2.release_address(AllocationId=mine["AllocationId"])
        harness.loop.now += 86400
        harness.strict.clear()
        began = harness.loop.now
        report = harness.apply()
        assert (report.outcome, report.error) == ("converged", None)
        [allocated] = [call.time for call in harness.strict.calls if call.action == "AllocateAddress"]
        assert allocated - began < 1
        assert len(harness.strict.calls) < 40


def test_an_address_that_is_released_at_once_is_not_waited_for(harness: Harness) -> None:
    """Another host prunes what this run has just allocated: EC2 says NotFound, as it does of what is too new."""
    account = harness.client()

    def release(call: Call) -> None:
        account.release_address(AllocationId=call.params["AllocationId"])

    harness.strict.faults.add(Hook("AssociateAddress", callback=release))
    report = harness.apply()
    assert (report.outcome, report.error) == ("converged", None)
    assert harness.settle < report.seconds < harness.settle + 20
    assert_is_the_story(harness)
