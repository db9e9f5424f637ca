"""Two live resources with one name: what plan says, what apply, --prune and destroy do, on the strict EC2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Harness
from tests.two_enis import Account, assert_is_the_story

MINE = [{"Name": "tag:enireconcile:stack", "Values": ["two-enis"]}]


@pytest.fixture
def built(slow_harness: Harness) -> Harness:
    assert slow_harness.apply().outcome == "converged"
    slow_harness.loop.now += 600
    slow_harness.strict.clear()
    return slow_harness


def _interface_twin(harness: Harness) -> str:
    """A second interface, as another host would have created it."""
    account = Account(harness)
    mine = account.interface("web-eth1")
    groups = [group["GroupId"] for group in mine["Groups"]]
    tags = [{"ResourceType": "network-interface", "Tags": mine["TagSet"]}]
    twin = account.ec2.create_network_interface(SubnetId=mine["SubnetId"], Groups=groups, TagSpecifications=tags)
    harness.loop.now += 5
    harness.strict.clear()
    return str(twin["NetworkInterface"]["NetworkInterfaceId"])


def _address_twin(harness: Harness) -> str:
    tags = [{"ResourceType": "elastic-ip", "Tags": Account(harness).address("web-1")["Tags"]}]
    twin = harness.client().allocate_address(Domain="vpc", TagSpecifications=tags)
    harness.loop.now += 5
    harness.strict.clear()
    return str(twin["AllocationId"])


TWINS = {
    "an interface": (_interface_twin, "network_interfaces.web-eth1", "DeleteNetworkInterface"),
    "an address": (_address_twin, "elastic_ips.web-1", "ReleaseAddress"),
}


def _left(harness: Harness) -> list[Any]:
    ec2 = harness.client()
    return [
        *ec2.describe_network_interfaces(Filters=MINE)["NetworkInterfaces"],
        *ec2.describe_addresses(Filters=MINE)["Addresses"],
        *ec2.describe_security_groups(Filters=MINE)["SecurityGroups"],
    ]


@pytest.mark.parametrize("name", TWINS)
def test_an_unused_twin_is_told_and_pruned(name: str, built: Harness) -> None:
    """apply goes on as if it were not there; --prune removes it and nothing else."""
    twinned, address, call = TWINS[name]
    twin = twinned(built)
    [warning] = built.plan().warnings
    assert warning.startswith(f"{twin} is an unused twin of {address} (")
    assert warning.endswith("`apply --prune` deletes it")
    assert built.apply().outcome == "unchanged"
    assert built.strict.mutating() == []
    assert built.apply(prune=True).outcome == "converged"
    assert [each.action for each in built.strict.mutating()] == [call]
    assert_is_the_story(built)
    assert built.plan().warnings == ()


@pytest.mark.parametrize("name", TWINS)
def test_a_drift_beside_a_twin_is_corrected(name: str, built: Harness) -> None:
    """The row keeps the one that is in use."""
    twinned, _, _ = TWINS[name]
    twinned(built)
    account = Account(built)
    web_2 = account.address("web-2")
    account.ec2.disassociate_address(AssociationId=web_2["AssociationId"])
    built.strict.clear()
    assert built.apply().outcome == "converged"
    assert [each.action for each in built.strict.mutating()] == ["AssociateAddress"]
    assert built.apply(prune=True).outcome == "converged"
    assert_is_the_story(built)


@pytest.mark.parametrize("name", TWINS)
def test_destroy_removes_twins_too(name: str, built: Harness) -> None:
    twinned, _, _ = TWINS[name]
    twinned(built)
    assert built.apply(destroy=True).outcome == "converged"
    assert _left(built) == []


def test_destroy_goes_on_where_both_are_in_use(built: Harness) -> None:
    """Which of them belongs to the row does not matter when all that the stack owns is removed."""
    twin = _address_twin(built)
    account = Account(built)
    foreign = account.ec2.create_network_interface(SubnetId=account.interface("web-eth0")["SubnetId"])
    built.loop.now += 5
    interface = foreign["NetworkInterface"]["NetworkInterfaceId"]
    account.ec2.associate_address(AllocationId=twin, NetworkInterfaceId=interface)
    assert built.apply(destroy=True).outcome == "converged"
    assert _left(built) == []


def test_two_in_use_stop_only_their_row(built: Harness) -> None:
    """Both addresses are associated: the error names them, and a drift elsewhere is corrected."""
    account = Account(built)
    mine, twin = account.address("web-1")["AllocationId"], _address_twin(built)
    foreign = account.ec2.create_network_interface(SubnetId=account.interface("web-eth0")["SubnetId"])
    built.loop.now += 5
    interface = foreign["NetworkInterface"]["NetworkInterfaceId"]
    account.ec2.associate_address(AllocationId=twin, NetworkInterfaceId=interface)
    web_2 = account.address("web-2")
    account.ec2.disassociate_address(AssociationId=web_2["AssociationId"])
    built.strict.clear()
    report = built.apply(partly=True)
    assert report.outcome == "partial"
    [error] = report.errors
    assert error.address == "elastic_ips.web-1"
    assert error.problem.message.endswith(" and ".join(sorted([mine, twin])))
    assert [each.action for each in built.strict.mutating()] == ["AssociateAddress"]
