"""``lifecycle``: what no plan may destroy, and which attributes are other people's once they are set."""

from __future__ import annotations

import pytest

from enireconcile.errors import GuardError, SpecErrors
from enireconcile.model import (
    Impact,
    Plan,
)
from enireconcile.ownership import (
    NEW_TAG,
)
from enireconcile.planning.guards import Allowed, guard
from tests.ec2 import Fail
from tests.harness import STORY, Harness
from tests.scenarios.firewalls import SPEC as FIREWALLS
from tests.scenarios.firewalls import Firewalls
from tests.two_enis import DRIFTS, Account, assert_is_the_story

TEXT = STORY.read_text()


def row(name: str, keys: str, text: str = TEXT) -> str:
    """The story with a further key in the row of that name."""
    assert f"  {name}:\n" in text
    return text.replace(f"  {name}:\n", f"  {name}:\n    {keys}\n", 1)


def ignoring(name: str, *attributes: str, text: str = TEXT) -> str:
    return row(name, f"lifecycle: {{ignore: [{', '.join(attributes)}]}}", text)


def calls(plan: Plan) -> list[str]:
    return [f"{step.call} {step.address}" for step in plan.steps]


# ---- prevent_destroy

PROTECTED = row("web-1", "lifecycle: {prevent_destroy: true}")


def _allow_all(plan: Plan) -> Impact:
    guard(plan, Allowed(auto_approve=True, allow_destroy=True))
    return Impact.DESTRUCTIVE


def test_what_is_protected_is_not_destroyed(slow_harness: Harness) -> None:
    """destroy is refused whole, whatever is allowed; the plan warns; without the word it goes."""
    slow_harness.apply(PROTECTED)
    slow_harness.strict.clear()
    plan = slow_harness.plan(PROTECTED, destroy=True)
    [release] = [
        step for step in plan.steps if step.address == "elastic_ips.web-1" and step.call == "ReleaseAddress"
    ]
    assert plan.warnings == (
        "elastic_ips.web-1 has prevent_destroy: this plan is refused because of its ReleaseAddress",
    )
    with pytest.raises(GuardError) as refused:
        slow_harness.apply(PROTECTED, destroy=True, approve=_allow_all)
    assert release.public_ip
    assert str(refused.value).splitlines() == [
        "the plan was refused; nothing was changed:",
        "  the spec forbids destroying these (lifecycle.prevent_destroy):",
        f"    {release.id} ReleaseAddress for elastic_ips.web-1 {release.public_ip}",
        "  hint: to destroy them, remove prevent_destroy (-:37)",
    ]
    assert slow_harness.strict.mutating() == []
    assert slow_harness.apply(TEXT, destroy=True, approve=_allow_all).outcome == "converged"


def test_protection_forbids_nothing_else(slow_harness: Harness) -> None:
    """What is corrected, moved or removed beside it goes on."""
    slow_harness.apply(PROTECTED)
    DRIFTS["an address moved to another interface"][0](Account(slow_harness))
    report = slow_harness.apply(PROTECTED, approve=_allow_all)
    assert report.outcome == "converged"
    without = PROTECTED.replace("  web-2:\n    association: {network_interface: web-eth1}\n", "")
    assert slow_harness.apply(without, prune=True, approve=_allow_all).outcome == "converged"


def test_prune_cannot_know_what_a_row_that_is_gone_had_said(slow_harness: Harness) -> None:
    """Protection is a word in the spec: it goes with its row."""
    slow_harness.apply(PROTECTED)
    text = TEXT.replace("  web-1:\n    association: {network_interface: web-eth0}\n", "")
    assert slow_harness.apply(text, prune=True, approve=_allow_all).outcome == "converged"
    assert len(slow_harness.client().describe_addresses()["Addresses"]) == 1


# ---- ignore: what others do stays


@pytest.mark.parametrize(
    ("drift", "name", "attribute"),
    [
        ("an address disassociated", "web-2", "association"),
        ("an address moved to a stranger's interface", "web-1", "association"),
        ("eth1 detached", "web-eth1", "attachment"),
        ("delete_on_termination set", "web-eth1", "attachment"),
        ("groups of an interface changed", "web-eth1", "security_groups"),
        ("source_dest_check flipped", "web-eth1", "source_dest_check"),
        ("a description changed", "web-eth1", "description"),
        ("a rule removed", "my-sg-1", "ingress"),
        ("the instance stopped", "web", "state"),
        ("the instance stopping", "web", "state"),
    ],
)
def test_an_ignored_attribute_is_never_compared(harness: Harness, drift: str, name: str, attribute: str) -> None:
    """Set at creation; then another tool changes it, and that is no difference. Without the word it is."""
    spec = ignoring(name, attribute)
    assert harness.apply(spec).outcome == "converged"
    assert_is_the_story(harness)
    DRIFTS[drift][0](Account(harness))
    harness.loop.now += 60
    assert harness.plan(spec).empty
    assert harness.plan(spec).summary()["update"] == 0
    assert not harness.plan().empty


def test_ignored_tags_are_all_but_those_that_say_whose_it_is(harness: Harness) -> None:
    """Another tool renames the interface and takes the project's tag off: their business."""
    spec = ignoring("web-eth0", "tags")
    harness.apply(spec)
    eth0 = Account(harness).interface("web-eth0")["NetworkInterfaceId"]
    harness.client().create_tags(Resources=[eth0], Tags=[{"Key": "Name", "Value": "front"}])
    harness.client().delete_tags(Resources=[eth0], Tags=[{"Key": "Project"}])
    assert harness.plan(spec).empty
    assert calls(harness.plan()) == ["CreateTags network_interfaces.web-eth0"]


def test_what_is_no_longer_ignored_is_corrected(harness: Harness) -> None:
    """The word leaves the spec: the attribute is compared again."""
    harness.apply(ignoring("web-2", "association"))
    DRIFTS["an address disassociated"][0](Account(harness))
    assert harness.apply().outcome == "converged"
    assert_is_the_story(harness)


# ---- ignore: set at creation, whatever happens meanwhile


LATER = """
version: 1
stack: later
region: us-east-1
security_groups:
  a:
    lifecycle: {ignore: [ingress]}
    ingress: [{protocol: tcp, ports: 22, sources: [self]}]
network_interfaces:
  b:
    lifecycle: {ignore: [source_dest_check]}
    subnet: {default_for_az: us-east-1a}
    source_dest_check: false
elastic_ips:
  c:
    lifecycle: {ignore: [association]}
    association: {network_interface: b}
  d:
    lifecycle: {ignore: [association]}
"""
SETTING = ("AuthorizeSecurityGroupIngress", "ModifyNetworkInterfaceAttribute", "AssociateAddress", "DeleteTags")


def _new_ones(harness: Harness) -> set[str]:
    found = harness.client().describe_tags(Filters=[{"Name": "key", "Values": [NEW_TAG]}])["Tags"]
    return {tag["ResourceId"].partition("-")[0] for tag in found}


@pytest.mark.parametrize("call", SETTING)
def test_what_a_run_did_not_get_to_is_still_set(slow_harness: Harness, call: str) -> None:
    """The first run makes everything and fails at one call; the next one, on another host, goes on.

    Until all is set, the resource says so in a tag, and only then the attribute is other people's.
    """
    slow_harness.strict.faults.add(Fail(action=call, code="UnauthorizedOperation", times=9))
    assert slow_harness.apply(LATER).outcome == "partial"
    assert _new_ones(slow_harness)
    slow_harness.strict.faults.clear()
    slow_harness.loop.now += 60
    report = slow_harness.apply(LATER, state=slow_harness.state.parent / "elsewhere")
    assert (report.outcome, report.error) == ("converged", None)
    assert _new_ones(slow_harness) == set()
    ec2 = slow_harness.client()
    [interface] = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert (interface["SourceDestCheck"], "Association" in interface) == (False, True)
    [group] = [group for group in ec2.describe_security_groups()["SecurityGroups"] if group["GroupName"] == "a"]
    assert len(group["IpPermissions"]) == 1
    slow_harness.strict.clear()
    assert slow_harness.apply(LATER).outcome == "unchanged"
    assert slow_harness.strict.mutating() == []


def test_what_one_call_makes_whole_is_not_marked(slow_harness: Harness) -> None:
    """Nothing of it could be missing: no tag, and no call to take it off."""
    text = ignoring("web-eth0", "description", text=ignoring("web-eth1", "attachment"))
    report = slow_harness.apply(text)
    assert report.outcome == "converged"
    assert "DeleteTags" not in slow_harness.strict.actions()


# ---- ignore: an attachment that another tool moves


class Standby:
    """fw-a holds ``service`` at index 1 by the spec; another tool may put it on fw-b."""

    SPEC = FIREWALLS.replace("instances: [fw-a, fw-b]", "instance: fw-a")
    SPEC = "\n".join(line for line in SPEC.splitlines() if "failover:" not in line)

    def __init__(self, harness: Harness) -> None:
        self.harness, self.firewalls = harness, Firewalls(harness)
        self.spec = self.SPEC.replace("    private_ip:", "    lifecycle: {ignore: [attachment]}\n    private_ip:")

    def move(self, instance_id: str, index: int = 1) -> None:
        """What the other tool does."""
        ec2, interface = self.firewalls.ec2, self.firewalls.interface()
        if "Attachment" in interface:
            ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"])
            self.harness.loop.now += 5
        ec2.attach_network_interface(
            NetworkInterfaceId=interface["NetworkInterfaceId"], InstanceId=instance_id, DeviceIndex=index
        )
        self.harness.loop.now += 5


def test_anothers_failover_is_not_undone(slow_harness: Harness) -> None:
    """The interface stays where the other tool has put it, and where it leaves it between two instances."""
    standby = Standby(slow_harness)
    assert slow_harness.apply(standby.spec).outcome == "converged"
    assert standby.firewalls.holder() == "fw-a"
    standby.move(standby.firewalls.ids["fw-b"])
    slow_harness.strict.clear()
    assert slow_harness.apply(standby.spec).outcome == "unchanged"
    assert standby.firewalls.holder() == "fw-b"
    attachment = standby.firewalls.interface()["Attachment"]["AttachmentId"]
    standby.firewalls.ec2.detach_network_interface(AttachmentId=attachment)
    assert slow_harness.plan(standby.spec).empty
    assert calls(slow_harness.plan(standby.SPEC)) == ["AttachNetworkInterface network_interfaces.service"]


def test_a_slot_that_the_spec_gives_to_another_is_cleared_by_name(slow_harness: Harness) -> None:
    """The other tool has put the interface where the spec wants another one: it is detached, as the plan says."""
    standby = Standby(slow_harness)
    slow_harness.apply(standby.spec)
    standby.move(standby.firewalls.ids["fw-b"])
    more = "  other:\n    subnet: {tags: {Name: lab-a}}\n    attachment: {instance: fw-b, device_index: 1}\n"
    spec = standby.spec.replace("network_interfaces:\n", f"network_interfaces:\n{more}", 1)
    plan = slow_harness.plan(spec)
    service = standby.firewalls.interface()["NetworkInterfaceId"]
    [reason] = [change.reason for change in plan.changes if change.reason]
    assert reason == f"detaches network_interfaces.service ({service}, whose attachment the spec does not manage)"
    assert plan.impact is Impact.DISRUPTIVE
    assert slow_harness.apply(spec).outcome == "converged"
    assert standby.firewalls.holder() is None
    assert slow_harness.plan(spec).empty


# ---- ignore: an attachment, and an instance that is launched anew

ETH1 = ignoring("web-eth1", "attachment")
ETH0 = ignoring("web-eth0", "attachment")


def _terminate(harness: Harness) -> None:
    account = Account(harness)
    account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
    harness.loop.now += 60


def _stranger(harness: Harness) -> str:
    account = Account(harness)
    eth0 = account.interface("web-eth0")
    launched = account.ec2.run_instances(
        ImageId=account.instance()["ImageId"],
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=eth0["SubnetId"],
    )
    harness.loop.now += 60
    return str(launched["Instances"][0]["InstanceId"])


def _move(harness: Harness, name: str, instance_id: str) -> None:
    account = Account(harness)
    interface = account.interface(name)
    if "Attachment" in interface:
        account.ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"])
        harness.loop.now += 5
    account.ec2.attach_network_interface(
        NetworkInterfaceId=interface["NetworkInterfaceId"], InstanceId=instance_id, DeviceIndex=1
    )
    harness.loop.now += 5


def test_an_instance_launched_anew_gets_its_interfaces_back(slow_harness: Harness) -> None:
    """They are attached to no instance: RunInstances takes them, as the first one did."""
    text = ignoring("web-eth1", "attachment", text=ETH0)
    slow_harness.apply(text)
    _terminate(slow_harness)
    assert calls(slow_harness.plan(text)) == ["RunInstances instances.web"]
    assert slow_harness.apply(text).outcome == "converged"
    assert_is_the_story(slow_harness)


def test_an_instance_launched_anew_takes_nothing_from_others(slow_harness: Harness) -> None:
    """Another tool has eth1 elsewhere: the launch goes without it."""
    slow_harness.apply(ETH1)
    stranger = _stranger(slow_harness)
    _move(slow_harness, "web-eth1", stranger)
    _terminate(slow_harness)
    assert slow_harness.apply(ETH1).outcome == "converged"
    account = Account(slow_harness)
    assert account.interface("web-eth1")["Attachment"]["InstanceId"] == stranger
    assert len(account.instance()["NetworkInterfaces"]) == 1
    assert slow_harness.plan(ETH1).empty


def test_without_its_primary_interface_no_instance_is_launched(slow_harness: Harness) -> None:
    """Another tool uses its primary interface: an error that says where, before anything changes."""
    slow_harness.apply(ETH0)
    stranger = _stranger(slow_harness)
    _terminate(slow_harness)
    _move(slow_harness, "web-eth0", stranger)
    slow_harness.strict.clear()
    eth0 = Account(slow_harness).interface("web-eth0")["NetworkInterfaceId"]
    words = rf"its primary interface network_interfaces.web-eth0 \({eth0}\) is attached to {stranger}"
    with pytest.raises(SpecErrors, match=words):
        slow_harness.apply(ETH0)
    assert slow_harness.strict.mutating() == []


def test_an_interface_outlives_the_instance_that_this_plan_ends(slow_harness: Harness) -> None:
    """web leaves the spec; another tool had flagged eth1 to end with it. It is kept, as the spec names it."""
    text = ETH1
    slow_harness.apply(text)
    DRIFTS["delete_on_termination set"][0](Account(slow_harness))
    assert slow_harness.plan(text).empty
    kept = [
        line
        for line in text.replace(text[text.index("instances:") : text.index("# Interfaces are")], "").splitlines()
        if "attachment: {instance" not in line
    ]
    eth1 = Account(slow_harness).interface("web-eth1")["NetworkInterfaceId"]
    assert slow_harness.apply("\n".join(kept), prune=True).outcome == "converged"
    assert Account(slow_harness).interface("web-eth1")["NetworkInterfaceId"] == eth1


# ---- ignore: an association


def test_an_ignored_address_is_not_displaced_in_silence(slow_harness: Harness) -> None:
    """Another tool has moved web-1 to eth1, which the spec gives to web-2: the plan names whom it displaces."""
    text = ignoring("web-1", "association")
    slow_harness.apply(text)
    account = Account(slow_harness)
    account.ec2.associate_address(
        AllocationId=account.address("web-1")["AllocationId"],
        NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"],
        AllowReassociation=True,
    )
    plan = slow_harness.plan(text)
    web_1 = account.address("web-1")["AllocationId"]
    [change] = [change for change in plan.changes if change.fields]
    assert change.address == "elastic_ips.web-2"
    assert change.impact is Impact.DISRUPTIVE
    assert change.reason == f"displaces elastic_ips.web-1 ({web_1}, whose association the spec does not manage)"
    assert slow_harness.apply(text).outcome == "converged"
    assert "AssociationId" not in account.address("web-1")
    assert slow_harness.plan(text).empty


def test_an_ignored_address_on_a_removed_interface_moves_where_its_row_says(slow_harness: Harness) -> None:
    """The interface under it leaves the spec: the address is set again, as at its creation, before it goes."""
    text = ignoring("web-1", "association")
    slow_harness.apply(text)
    account = Account(slow_harness)
    account.ec2.associate_address(
        AllocationId=account.address("web-1")["AllocationId"],
        NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"],
        AllowReassociation=True,
    )
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  web-eth1:"))
    smaller = "\n".join([*lines[:first], *lines[first + 4 :]])
    smaller = smaller.replace("  web-2:\n    association: {network_interface: web-eth1}", "  web-2: {}")
    plan = slow_harness.plan(smaller, prune=True)
    [change] = [change for change in plan.changes if change.fields and change.address == "elastic_ips.web-1"]
    assert [field.after for field in change.fields] == [{"network_interface": "web-eth0"}]
    assert slow_harness.apply(smaller, prune=True).outcome == "converged"
    assert account.address("web-1")["NetworkInterfaceId"] == account.interface("web-eth0")["NetworkInterfaceId"]
    assert slow_harness.plan(smaller, prune=True).empty
