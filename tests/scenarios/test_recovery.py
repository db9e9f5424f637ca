"""What one run leaves for the next: launches that failed, tokens that are spent, moves in doubt."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from enireconcile.errors import LostLockError, SpecErrors
from enireconcile.model import Impact, Plan, Status
from enireconcile.planning.guards import Allowed, objections
from enireconcile.state import Journal
from enireconcile.state.clock import BootClock
from enireconcile.state.directory import FileLog
from tests.ec2 import Call, Hook, World
from tests.harness import SLOW, STORY, Harness, open_harness
from tests.two_enis import DRIFTS, Account, assert_is_the_story


def _spec(body: str) -> str:
    return f"version: 1\nstack: two-enis\nregion: us-east-1\n{body}"


def test_failed_launch_is_reported_and_not_repeated(slow_harness: Harness) -> None:
    """EC2 takes the launch and gives it up: one launch, the reason in the report, the interfaces kept."""
    world = slow_harness.strict.world

    def give_up(_: Call) -> None:
        [instance_id] = world.data.instances
        world.fail_launch(instance_id, "Client.VolumeLimitExceeded")

    slow_harness.strict.faults.add(Hook(action="RunInstances", late=True, callback=give_up))
    report = slow_harness.apply()
    [launch] = [outcome for outcome in report.outcomes if outcome.step.call == "RunInstances"]
    assert report.outcome == "partial"
    assert "Client.VolumeLimitExceeded" in (launch.error or "")
    assert slow_harness.strict.actions(mutating=True).count("RunInstances") == 1
    slow_harness.loop.now += 60
    assert slow_harness.apply().outcome == "converged"
    assert_is_the_story(slow_harness)


def test_interface_is_made_anew_by_a_host_without_memory(slow_harness: Harness, tmp_path: Path) -> None:
    """eth1 was deleted, and another host corrects it: its token stands for what is gone, so it takes a new one."""
    slow_harness.apply()
    account = Account(slow_harness)
    account.ec2.detach_network_interface(AttachmentId=account.interface("web-eth1")["Attachment"]["AttachmentId"])
    slow_harness.loop.now += 5
    account.ec2.delete_network_interface(NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"])
    assert slow_harness.apply(state=tmp_path / "another-host").outcome == "converged"
    assert_is_the_story(slow_harness)


def test_instance_is_made_anew_by_a_host_without_memory(slow_harness: Harness, tmp_path: Path) -> None:
    """The instance was terminated, and another host corrects it: the old token belongs to the dead."""
    slow_harness.apply()
    account = Account(slow_harness)
    account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
    assert slow_harness.apply(state=tmp_path / "another-host").outcome == "converged"
    assert_is_the_story(slow_harness)


def test_pending_instance_is_waited_for(tmp_path: Path) -> None:
    """Another tool has just started the instance: apply waits, and does not call it done before it runs."""
    with open_harness(tmp_path, replace(SLOW, pending_delay=20.0)) as harness:
        harness.apply()
        account = Account(harness)
        account.ec2.stop_instances(InstanceIds=[account.instance()["InstanceId"]])
        harness.loop.now += 5
        account.ec2.start_instances(InstanceIds=[account.instance()["InstanceId"]])
        harness.strict.clear()
        report = harness.apply()
        assert (report.outcome, harness.strict.mutating()) == ("unchanged", [])
        assert account.instance()["State"]["Name"] == "running"


def test_two_of_one_name_are_reported_never_guessed_at(slow_harness: Harness) -> None:
    """Another tool copied all tags to a second group: both ids are told, and neither is changed."""
    slow_harness.apply()
    account = Account(slow_harness)
    mine = account.group("my-sg-1")
    other = account.ec2.create_security_group(GroupName="copy", Description="copy", VpcId=mine["VpcId"])["GroupId"]
    slow_harness.loop.now += 5
    account.ec2.create_tags(Resources=[other], Tags=mine["Tags"])
    slow_harness.strict.clear()
    with pytest.raises(SpecErrors) as told:
        slow_harness.apply()
    assert mine["GroupId"] in str(told.value)
    assert other in str(told.value)
    assert slow_harness.strict.mutating() == []


def test_holder_that_changed_since_the_plan_is_not_displaced_blindly(slow_harness: Harness) -> None:
    """Between plan and call the address moved on: compare-and-set notices, and a new plan does it right."""
    slow_harness.apply()
    account = Account(slow_harness)
    eth0 = account.interface("web-eth0")["NetworkInterfaceId"]
    web_2 = account.address("web-2")["AllocationId"]
    account.ec2.associate_address(AllocationId=web_2, NetworkInterfaceId=eth0, AllowReassociation=True)
    strangers = account.ec2.create_network_interface(SubnetId=account.interface("web-eth0")["SubnetId"])
    slow_harness.loop.now += 5

    def meddle(_: Plan) -> Impact:
        account.ec2.associate_address(
            AllocationId=web_2,
            NetworkInterfaceId=strangers["NetworkInterface"]["NetworkInterfaceId"],
            AllowReassociation=True,
        )
        return Impact.DISRUPTIVE

    report = slow_harness.apply(approve=meddle)
    assert report.outcome == "converged"
    assert [outcome.status for outcome in report.outcomes].count(Status.FAILED) == 1
    assert_is_the_story(slow_harness)


def test_a_later_round_may_do_no_more_than_the_first(slow_harness: Harness) -> None:
    """The move fails, and by the next round more has changed than --max-changes: that round is refused."""
    slow_harness.apply()
    account = Account(slow_harness)
    eth0, web_1, web_2 = (
        account.interface("web-eth0")["NetworkInterfaceId"],
        account.address("web-1"),
        account.address("web-2"),
    )
    account.ec2.disassociate_address(AssociationId=web_2["AssociationId"])
    slow_harness.loop.now += 5

    def meddle(_: Plan) -> Impact:
        account.ec2.associate_address(AllocationId=web_2["AllocationId"], NetworkInterfaceId=eth0)
        return Impact.DISRUPTIVE

    report = slow_harness.apply(approve=meddle, objections=lambda plan: objections(plan, Allowed(max_changes=1)))
    assert report.outcome == "failed"
    assert "the new plan was refused:\n  it changes 2 resources, and --max-changes is 1" in (report.error or "")
    assert account.address("web-1").get("AssociationId") != web_1["AssociationId"]
    assert slow_harness.apply().outcome == "converged"


def _stop(world: World) -> bool:
    running = [instance.id for instance in world.data.instances.values() if instance.state == "running"]
    if running:
        world.call("StopInstances", InstanceIds=running)
    return bool(running)


def _start(world: World) -> bool:
    stopped = [instance.id for instance in world.data.instances.values() if instance.state == "stopped"]
    if stopped:
        world.call("StartInstances", InstanceIds=stopped)
    return bool(stopped)


def _attach(world: World) -> bool:
    [instance_id] = world.data.instances
    idle = [interface.id for interface in world.data.interfaces.values() if interface.attachment is None]
    if idle:
        world.call("AttachNetworkInterface", NetworkInterfaceId=idle[0], InstanceId=instance_id, DeviceIndex=1)
    return bool(idle)


def _other_index(account: Account) -> None:
    """eth1 sits one index further on."""
    eth1 = account.interface("web-eth1")
    account.ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    account.harness.loop.now += 5
    account.ec2.attach_network_interface(
        NetworkInterfaceId=eth1["NetworkInterfaceId"],
        InstanceId=account.instance()["InstanceId"],
        DeviceIndex=2,
    )
    account.harness.loop.now += 5


def _quicker(harness: Harness, look: str, deed: Callable[[World], bool]) -> Hook:
    """From now on, just before each such look, the deed is tried until it is done; ``times`` is 0 then."""
    world = harness.strict.world

    def do(_: Call) -> None:
        world.settle()
        if deed(world):
            hook.times = 0

    hook = Hook(action=look, times=1000, callback=do)
    harness.strict.faults.add(hook)
    return hook


MEANWHILE = [
    pytest.param("stopped", None, "DescribeInstances", _stop, id="an instance to be stopped is stopped"),
    pytest.param("running", DRIFTS["the instance stopping"][0], "DescribeInstances", _start, id="started again"),
    pytest.param("running", DRIFTS["eth1 detached"][0], "DescribeNetworkInterfaces", _attach, id="attached again"),
    pytest.param("running", _other_index, "DescribeNetworkInterfaces", _attach, id="moved to its index"),
]


@pytest.mark.parametrize(("state", "drift", "look", "deed"), MEANWHILE)
def test_what_another_host_does_first_is_not_waited_for(
    state: str,
    drift: Callable[[Account], None] | None,
    look: str,
    deed: Callable[[World], bool],
    slow_harness: Harness,
) -> None:
    """A host without our lock is quicker by a moment, so that a state that we wait for has passed unseen."""
    text = STORY.read_text(encoding="utf-8").replace("    instance_type", f"    state: {state}\n    instance_type")
    if drift is not None:
        slow_harness.apply(text)
        drift(Account(slow_harness))
    hook = _quicker(slow_harness, look, deed)
    report = slow_harness.apply(text)
    assert (report.outcome, hook.times) == ("converged", 0)
    assert report.seconds < 15
    assert slow_harness.plan(text).empty


def test_what_is_stopped_while_it_is_launched_is_started(slow_harness: Harness) -> None:
    """The launch is over then, whatever the spec wants; the next plan corrects what it finds."""
    hook = _quicker(slow_harness, "DescribeInstances", _stop)
    report = slow_harness.apply()
    assert hook.times == 0
    assert report.outcome == "converged"
    assert [outcome.step.call for outcome in report.outcomes][-1] == "StartInstances"
    assert report.seconds < slow_harness.settle + 15
    assert_is_the_story(slow_harness)


def test_a_lock_that_is_lost_half_way_stops_every_further_call(slow_harness: Harness) -> None:
    """After three calls the lock is gone: what was made stays, nothing else leaves, the next run finishes."""
    asked = itertools.count(1)

    def check() -> None:
        if next(asked) > 3:
            raise LostLockError("the lock is lost: bob has taken it over")

    report = slow_harness.apply(check=check)
    assert len(slow_harness.strict.mutating()) == 3
    assert (report.outcome, report.exit_code) == ("partial", 5)
    told = [outcome.error for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert "the lock is lost: bob has taken it over" in told
    assert slow_harness.apply().outcome == "converged"
    assert_is_the_story(slow_harness)


_TWO_ADDRESSES = "version: 1\nstack: two\nregion: us-east-1\nelastic_ips: {a: {}, b: {}}\n"


def _journal(harness: Harness) -> Journal:
    """As the next run of the stack with the two addresses reads it."""
    path = harness.state / "123456789012-us-east-1-two" / "journal.jsonl"
    return Journal(FileLog(path), "two", harness.loop.time, BootClock("virtual", harness.loop.time))


@pytest.mark.parametrize("targets", [(), ("elastic_ips.a",)])
def test_what_left_the_spec_and_the_account_is_forgotten_after_a_day(
    slow_harness: Harness, targets: tuple[str, ...]
) -> None:
    """What is live is remembered, in the spec or not; what was released is, for a day more."""
    slow_harness.apply(_TWO_ADDRESSES)
    alone = _TWO_ADDRESSES.replace(", b: {}", "")
    slow_harness.apply(alone)
    slow_harness.loop.now += 2 * 86400
    slow_harness.apply(alone, targets=targets)
    assert _journal(slow_harness).entry("elastic_ips.b")
    slow_harness.apply(alone, prune=True)
    slow_harness.loop.now += 86400 - 60
    slow_harness.apply(alone, targets=targets)
    assert _journal(slow_harness).entry("elastic_ips.b")
    slow_harness.loop.now += 120
    assert _journal(slow_harness).entry("elastic_ips.b") is None
    assert _journal(slow_harness).entry("elastic_ips.a")
    assert slow_harness.apply(_TWO_ADDRESSES).outcome == "converged"


def test_immutable_change_is_refused_with_both_values(slow_harness: Harness) -> None:
    """Another instance type in the spec: refused before anything changes, saying what is and what was asked."""
    slow_harness.apply(_spec(_ONE.format(type="t3.micro")))
    slow_harness.strict.clear()
    with pytest.raises(SpecErrors, match=r"instance_type is t3\.micro, the spec says t3\.medium"):
        slow_harness.apply(_spec(_ONE.format(type="t3.medium")))
    assert slow_harness.strict.mutating() == []


_ONE = """
instances:
  web: {{image: {{name: "al2023-ami-2023.*-kernel-6.1-x86_64", owner: amazon}}, instance_type: {type}}}
network_interfaces:
  web-eth0: {{subnet: {{default_for_az: us-east-1a}}, attachment: {{instance: web, device_index: 0}}}}
"""
