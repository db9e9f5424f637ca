"""Leftovers, prune and destroy: what the stack owns and nobody wants goes, in order; nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from enireconcile.model import Action, Impact

from .ec2 import Fail
from .house import SLOW, STORY, House, open_house
from .story import MINE, Account, assert_is_the_story

NOTHING = "version: 1\nstack: two-enis\nregion: us-east-1\n"
KNOT = """
version: 1
stack: knot
region: us-east-1
security_groups:
  left: {ingress: [{protocol: tcp, ports: 22, sources: [right]}], egress: [{protocol: all, destinations: [right]}]}
  right: {ingress: [{protocol: tcp, ports: 22, sources: [left, self]}]}
network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}, security_groups: [left, right]}
"""


def _without(*names: str) -> str:
    """The story's spec without some of its rows, each a block of lines that begins with the name."""
    lines, keep = [], True
    for line in STORY.read_text().splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            keep = line.strip().partition(":")[0] not in names
        elif not line.startswith("   "):
            keep = True
        if keep:
            lines.append(line)
    return "\n".join(lines)


def _owned(house: House, stack: str = "two-enis") -> dict[str, int]:
    """How many live resources carry the stack's tag, by sort."""
    ec2 = house.client()
    mine = [{"Name": "tag:enireconcile:stack", "Values": [stack]}]
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    return {
        "instances": len(ec2.describe_instances(Filters=[*mine, alive])["Reservations"]),
        "interfaces": len(ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]),
        "addresses": len(ec2.describe_addresses(Filters=mine)["Addresses"]),
        "groups": len(ec2.describe_security_groups(Filters=mine)["SecurityGroups"]),
    }


NONE = {"instances": 0, "interfaces": 0, "addresses": 0, "groups": 0}


def test_leftovers_are_listed_and_left(slow_house: House) -> None:
    """A row that left the spec: its resource is told as a leftover, and nothing is done about it."""
    slow_house.apply()
    plan = slow_house.plan(_without("web-2"))
    assert plan.empty
    assert [left.address for left in plan.leftovers] == ["elastic_ips.web-2"]
    assert slow_house.apply(_without("web-2")).outcome == "unchanged"


def test_prune_releases_the_address_that_nobody_names(slow_house: House) -> None:
    """With --prune the address leaves its interface and is released; the rest stays as it is."""
    slow_house.apply()
    plan = slow_house.plan(_without("web-2"), prune=True)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("DisassociateAddress", Impact.DISRUPTIVE),
        ("ReleaseAddress", Impact.DESTRUCTIVE),
    ]
    assert (plan.summary()["delete"], plan.leftovers) == (1, ())
    assert slow_house.apply(_without("web-2"), prune=True).outcome == "converged"
    assert _owned(slow_house) == {"instances": 1, "interfaces": 2, "addresses": 1, "groups": 2}


def test_prune_of_an_interface_with_its_address_and_group(slow_house: House) -> None:
    """eth1, its address and its group leave the spec together: detached, deleted, released, in order."""
    slow_house.apply()
    spec = _without("web-eth1", "web-2", "my-sg-2")
    assert slow_house.apply(spec, prune=True).outcome == "converged"
    assert _owned(slow_house) == {"instances": 1, "interfaces": 1, "addresses": 1, "groups": 1}
    assert slow_house.plan(spec, prune=True).empty


def test_prune_of_the_instance_keeps_its_interfaces(slow_house: House) -> None:
    """The instance leaves the spec, its interfaces stay: even one that was flagged to die with it."""
    slow_house.apply()
    account = Account(slow_house)
    eth1 = account.interface("web-eth1")
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eth1["NetworkInterfaceId"],
        Attachment={"AttachmentId": eth1["Attachment"]["AttachmentId"], "DeleteOnTermination": True},
    )
    kept = [line for line in _without("web").splitlines() if "attachment:" not in line and line != "instances:"]
    report = slow_house.apply("\n".join(kept), prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_house) == {"instances": 0, "interfaces": 2, "addresses": 2, "groups": 2}
    assert slow_house.apply().outcome == "converged"
    assert account.interface("web-eth1")["NetworkInterfaceId"] == eth1["NetworkInterfaceId"]
    assert_is_the_story(slow_house)


def test_destroy_removes_all_and_touches_nothing_else(slow_house: House) -> None:
    """Everything of the stack goes in one run; a stranger's resources beside it stay."""
    slow_house.apply()
    ec2 = slow_house.client()
    ec2.allocate_address(Domain="vpc")
    subnet = Account(slow_house).interface("web-eth0")["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet)
    slow_house.loop.now += 5
    plan = slow_house.plan(NOTHING, prune=True)
    assert {change.action for change in plan.changes} == {Action.DELETE}
    report = slow_house.apply(NOTHING, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_house) == NONE
    assert len(ec2.describe_addresses()["Addresses"]) == 1
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_destroy_while_the_instance_goes_down(slow_house: House) -> None:
    """Somebody terminated the instance a moment ago: its interfaces are waited for, then deleted."""
    slow_house.apply()
    account = Account(slow_house)
    account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
    assert slow_house.apply(NOTHING, prune=True).outcome == "converged"
    assert _owned(slow_house) == NONE


def test_groups_that_refer_to_each_other_are_deleted(slow_house: House) -> None:
    """Rules between groups that go are revoked first; rules to oneself need no cutting."""
    assert slow_house.apply(KNOT).outcome == "converged"
    report = slow_house.apply("version: 1\nstack: knot\nregion: us-east-1\n", prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_house, "knot") == NONE


def test_group_is_deleted_when_the_staying_ones_no_longer_name_it(slow_house: House) -> None:
    """A group leaves the spec, and with it the rules and interfaces that used it."""
    slow_house.apply(KNOT)
    smaller = KNOT.replace("  right: {ingress: [{protocol: tcp, ports: 22, sources: [left, self]}]}\n", "")
    smaller = smaller.replace("[left, right]", "[left]").replace("sources: [right]", "sources: [self]")
    smaller = smaller.replace("destinations: [right]", "destinations: [self]")
    report = slow_house.apply(smaller, prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert _owned(slow_house, "knot")["groups"] == 1


def test_what_was_made_unseen_is_not_forgotten_by_destroy(tmp_path: Path) -> None:
    """A run failed right after its first creates: destroy at once waits until they show, and leaves nothing."""
    with open_house(tmp_path, replace(SLOW, visibility_delay=10.0)) as house:
        house.strict.faults.add(Fail(action="CreateNetworkInterface", code="UnauthorizedOperation", times=2))
        assert house.apply().outcome == "partial"
        assert house.apply(NOTHING, prune=True).outcome == "converged"
        house.loop.now += 60
        assert _owned(house) == NONE


@pytest.mark.parametrize("again", [1, 2])
def test_destroyed_story_can_be_built_again(slow_house: House, again: int) -> None:
    """Build, destroy, build: tokens of the dead are not used again."""
    for _ in range(again):
        assert slow_house.apply().outcome == "converged"
        assert slow_house.apply(NOTHING, prune=True).outcome == "converged"
    assert slow_house.apply().outcome == "converged"
    assert_is_the_story(slow_house)
    assert len(slow_house.client().describe_addresses(Filters=MINE)["Addresses"]) == 2
