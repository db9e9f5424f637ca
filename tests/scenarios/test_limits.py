"""Limits on the strict EC2: what is refused is refused before the first mutating call, and EC2 would refuse it.

To see that EC2 would, the credentials may not read the limits: then the run goes on with a warning, half way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from tests.ec2 import Call, Fail, Hook, Quotas, StaleReads
from tests.harness import SLOW, Harness, open_harness
from tests.scenarios.firewalls import SPEC, Firewalls

ZONE_A = {"default_for_az": "us-east-1a"}
IMAGE = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}


def spec(kind: str = "t2.micro", groups: Mapping[str, Any] | None = None, **interfaces: Mapping[str, Any]) -> str:
    """A spec with the instance ``web``, and interfaces told by what they have beyond their subnet."""
    document = {
        "version": 1,
        "stack": "limits",
        "region": "us-east-1",
        "security_groups": groups or {},
        "instances": {"web": {"image": IMAGE, "instance_type": kind}},
        "network_interfaces": {name: {"subnet": ZONE_A, **row} for name, row in interfaces.items()},
    }
    return json.dumps(document)


def at(index: int, card: int = 0, **more: Any) -> dict[str, Any]:
    return {"attachment": {"instance": "web", "device_index": index, "network_card_index": card}, **more}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """An EC2 with delays, and with IPv6."""
    with open_harness(tmp_path / "state", SLOW) as harness:
        data = harness.strict.world.data
        for vpc in data.vpcs.values():
            vpc.ipv6_cidr = "2001:db8::/56"
        for number, subnet in enumerate(data.subnets.values()):
            subnet.ipv6_cidr = f"2001:db8:0:{number}::/64"
        yield harness


def deny(harness: Harness, *calls: str) -> None:
    """From now on the credentials may not make these calls."""
    for call in calls:
        message = "You are not authorized to perform this operation."
        harness.strict.faults.add(Fail(action=call, code="UnauthorizedOperation", message=message, times=10_000))


def assert_refused(harness: Harness, text: str, *words: str) -> None:
    """By plan and by apply, each with these words, and without a mutating call."""
    harness.strict.clear()
    for run in (harness.plan, harness.apply):
        with pytest.raises(SpecErrors) as raised:
            run(text)
        for word in words:
            assert word in str(raised.value)
    assert harness.strict.mutating() == []


@dataclass(frozen=True)
class Launch:
    """A limit, a spec that is within it, one that is beyond, what of that is told, and EC2's code for it."""

    limit: str
    fits: str
    beyond: str
    told: str
    code: str


SIX: dict[str, Any] = {f"g{number}": {} for number in range(6)}
LAUNCHES = [
    Launch(
        "interfaces",
        spec(eth0=at(0), eth1=at(1)),
        spec(eth0=at(0), eth1=at(1), eth2=at(2)),
        "network_interfaces.eth2.attachment: t2.micro supports 2 interfaces, the spec attaches 3 to web",
        "AttachmentLimitExceeded",
    ),
    Launch(
        "cards",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(1, card=1)),
        spec("c6in.32xlarge", eth0=at(0), eth1=at(1, card=2)),
        "network_interfaces.eth1.attachment.network_card_index: c6in.32xlarge has 2 network cards",
        "InvalidParameterValue",
    ),
    Launch(
        "interfaces of a card",
        spec("c6in.32xlarge", **{f"eth{index}": at(index) for index in range(8)}),
        spec("c6in.32xlarge", **{f"eth{index}": at(index) for index in range(9)}),
        "card 0 of c6in.32xlarge supports 8 interfaces, the spec attaches 9 to web",
        "AttachmentLimitExceeded",
    ),
    Launch(
        "addresses by list",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        "t2.micro supports 2 IPv4 addresses per interface, this one would have 3 on web",
        "InvalidInterface.IpAddressLimitExceeded",
    ),
    Launch(
        "addresses by count",
        spec(eth0=at(0, secondary_private_ip_count=1)),
        spec(eth0=at(0, secondary_private_ip_count=2)),
        "t2.micro supports 2 IPv4 addresses per interface, this one would have 3 on web",
        "InvalidInterface.IpAddressLimitExceeded",
    ),
    Launch(
        "IPv6 addresses",
        spec(eth0=at(0, ipv6_address_count=2)),
        spec(eth0=at(0, ipv6_address_count=3)),
        "t2.micro supports 2 IPv6 addresses per interface, this one would have 3 on web",
        "InvalidInterface.IpAddressLimitExceeded",
    ),
    Launch(
        "prefixes are counted",
        spec("t3.micro", eth0=at(0, ipv4_prefix_count=1, ipv6_address_count=1, ipv6_prefix_count=1)),
        spec("t3.micro", eth0=at(0, ipv4_prefix_count=2)),
        "2 IPv4 addresses per interface, this one would have 3 on web (each prefix counts as one)",
        "InvalidInterface.IpAddressLimitExceeded",
    ),
    Launch(
        "prefixes",
        spec("t3.micro", eth0=at(0, ipv6_prefix_count=1)),
        spec("t2.micro", eth0=at(0, ipv6_prefix_count=1)),
        "network_interfaces.eth0.ipv6_prefix_count: t2.micro does not support prefixes",
        "UnsupportedOperation",
    ),
    Launch(
        "adapters",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(1, card=1, interface_type="efa")),
        spec("t3.micro", eth0=at(0), eth1=at(1, interface_type="efa")),
        "network_interfaces.eth1.interface_type: t3.micro does not support Elastic Fabric Adapters",
        "UnsupportedOperation",
    ),
    Launch(
        "types",
        spec("t2.micro", eth0=at(0)),
        spec("t2.mirco", eth0=at(0)),
        "there is no instance type t2.mirco in this region\n  hint: did you mean `t2.micro`?",
        "InvalidParameterValue",
    ),
    Launch(
        "groups",
        spec("t3.micro", SIX, eth0=at(0, security_groups=[*SIX][:5])),
        spec("t3.micro", SIX, eth0=at(0, security_groups=[*SIX])),
        "network_interfaces.eth0.security_groups: 6 security groups; this account allows 5 per interface",
        "SecurityGroupsPerInterfaceLimitExceeded",
    ),
]
READS = ("DescribeInstanceTypes", "DescribeAccountAttributes", "DescribeManagedPrefixLists")


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.limit)
def test_at_launch(harness: Harness, launch: Launch) -> None:
    """One more than the limit is refused with numbers and place; the limit itself is what EC2 takes."""
    assert_refused(harness, launch.beyond, launch.told, "-:1:")
    assert harness.apply(launch.fits).outcome == "converged"


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.limit)
def test_without_the_right_to_read_limits(harness: Harness, launch: Launch) -> None:
    """The plan has a warning, and EC2 refuses a call half way: the reason to check the limits first."""
    deny(harness, *READS)
    assert any(warning.startswith("not checked: how many") for warning in harness.plan(launch.beyond).warnings)
    report = harness.apply(launch.beyond)
    assert report.outcome == "partial"
    assert any(launch.code in (outcome.error or "") for outcome in report.outcomes)


LATER = [
    pytest.param(
        spec(eth0=at(0), eth1=at(1)),
        spec(eth0=at(0), eth1=at(1), eth2=at(2)),
        "t2.micro supports 2 interfaces, the spec attaches 3 to web",
        "AttachmentLimitExceeded",
        id="an interface more",
    ),
    pytest.param(
        spec(eth0=at(0), eth1={"secondary_private_ip_count": 2}),
        spec(eth0=at(0), eth1=at(1, secondary_private_ip_count=2)),
        "network_interfaces.eth1.secondary_private_ip_count: t2.micro supports 2 IPv4 addresses per interface",
        "PrivateIpAddressLimitExceeded",
        id="an interface with too many addresses",
    ),
    pytest.param(
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        "t2.micro supports 2 IPv4 addresses per interface, this one would have 3 on web",
        "PrivateIpAddressLimitExceeded",
        id="an address more",
    ),
    pytest.param(
        spec("t3.micro", SIX, eth0=at(0, security_groups=[*SIX][:5])),
        spec("t3.micro", SIX, eth0=at(0, security_groups=[*SIX])),
        "6 security groups; this account allows 5 per interface",
        "SecurityGroupsPerInterfaceLimitExceeded",
        id="a group more",
    ),
]


@pytest.mark.parametrize(("before", "beyond", "told", "code"), LATER)
def test_on_what_lives(harness: Harness, before: str, beyond: str, told: str, code: str) -> None:
    """As at launch; and EC2 would have refused it half way."""
    harness.apply(before)
    assert_refused(harness, beyond, told)
    deny(harness, *READS)
    report = harness.apply(beyond)
    assert report.outcome in ("partial", "failed")
    assert any(code in (outcome.error or "") for outcome in report.outcomes)


def test_foreign_interfaces_on_an_external_instance_count(harness: Harness) -> None:
    """fw-a has its own interface and a stranger's at index 2: ours at index 1 would be the third on a t3.micro."""
    lab = Firewalls(harness)
    stranger = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-a"], DeviceIndex=2)
    harness.loop.now += 5
    told = "t3.micro supports 2 interfaces, the spec attaches 1 to fw-a, where 2 others are attached (eni-"
    assert_refused(harness, SPEC, told, stranger)


def test_a_candidate_that_is_full_is_refused_at_birth_and_warned_of_later(harness: Harness) -> None:
    """fw-b has no room: no new interface is promised to it; one that lives is moved back to fw-a all the same."""
    lab = Firewalls(harness)
    harness.apply(SPEC)
    stranger = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-b"], DeviceIndex=2)
    lab.ec2.detach_network_interface(AttachmentId=lab.interface()["Attachment"]["AttachmentId"])
    harness.loop.now += 5
    warning, guest = harness.plan(SPEC).warnings
    assert "`enireconcile guest " in guest
    assert warning.startswith(
        "network_interfaces.service cannot fail over to fw-b: t3.micro supports 2 interfaces"
    )
    assert harness.apply(SPEC).outcome == "converged"
    assert lab.holder() == "fw-a"
    told = "network_interfaces.service.attachment.instances: t3.micro supports 2 interfaces"
    another = SPEC.replace("stack: ha-failover", "stack: another").replace("10.0.1.100", "10.0.1.101")
    another = another.replace("vpc: {tags", "group_name: another\n    vpc: {tags")
    assert_refused(harness, another, told)


def test_an_unhealthy_holder_is_not_left_for_one_that_is_full(harness: Harness) -> None:
    """fw-a is impaired and fw-b is full: refused before the detach, which would leave the interface detached."""
    lab = Firewalls(harness)
    harness.apply(SPEC)
    stranger = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    lab.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=lab.ids["fw-b"], DeviceIndex=2)
    harness.loop.now += 5
    lab.sicken("fw-a")
    assert_refused(harness, SPEC, "the spec attaches 1 to fw-b, where 2 others are attached")
    assert lab.holder() == "fw-a"


def test_free_addresses_of_a_subnet(harness: Harness) -> None:
    """A /28 has eleven: twelve are refused with numbers, eleven are taken to the last."""
    world = harness.strict.world
    subnet = world.add_subnet(world.add_vpc("10.0.0.0/16"), "10.0.0.0/28", "us-east-1a", tags={"Name": "small"})

    def rows(count: int) -> str:
        document = json.loads(spec())
        document["instances"] = {}
        document["network_interfaces"] = {
            "a": {"subnet": subnet, "secondary_private_ip_count": count - 2},
            "b": {"subnet": subnet},
        }
        return json.dumps(document)

    assert_refused(
        harness, rows(12), f"network_interfaces.a.subnet: {subnet} has 11 free addresses, the plan needs 12"
    )
    assert harness.apply(rows(11)).outcome == "converged"
    assert world.data.subnets[subnet].free == 0


@pytest.mark.parametrize(
    ("before", "after", "calls"),
    [
        (
            spec(eth0=at(0), eth1=at(1), eth2={}),
            spec(eth0=at(0), eth1={}, eth2=at(2)),
            ["DetachNetworkInterface", "AttachNetworkInterface"],
        ),
        (
            spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])),
            spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
            ["UnassignPrivateIpAddresses", "AssignPrivateIpAddresses"],
        ),
    ],
    ids=["interfaces", "addresses"],
)
def test_where_all_is_full_room_is_made_first(harness: Harness, before: str, after: str, calls: list[str]) -> None:
    """The result is within the limit, and so is each step if what is full is freed first."""
    harness.apply(before)
    harness.strict.clear()
    report = harness.apply(after)
    assert (report.outcome, report.error) == ("converged", None)
    assert [call.action for call in harness.strict.mutating()] == calls


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("t3.micro", ["172.31.0.50"]), ("t3.medium", ["172.31.0.50", "172.31.0.51"])),
        (("t3.medium", ["172.31.0.50", "172.31.0.51"]), ("t3.micro", ["172.31.0.50"])),
    ],
    ids=["larger", "smaller"],
)
def test_addresses_change_with_the_type(harness: Harness, before: Any, after: Any) -> None:
    """Those that come wait for the larger type, those that go have gone before the smaller one."""

    def text(kind: str, addresses: list[str]) -> str:
        document = json.loads(spec(kind, eth0=at(0, secondary_private_ips=addresses)))
        document["instances"]["web"]["on_change"] = "restart"
        return json.dumps(document)

    harness.apply(text(*before))
    report = harness.apply(text(*after))
    assert (report.outcome, report.error) == ("converged", None)


def test_a_type_that_is_too_small_is_refused(harness: Harness) -> None:
    """What is attached counts, not only what the spec changes: three addresses do not fit on a t3.micro."""
    rows = {"eth0": at(0, secondary_private_ip_count=2)}
    harness.apply(spec("t3.medium", **rows))
    document = json.loads(spec("t3.micro", eth0=at(0)))
    document["instances"]["web"]["on_change"] = "restart"
    told = (
        "network_interfaces.eth0: t3.micro supports 2 IPv4 addresses per interface, this one would have 3 on web"
    )
    assert_refused(harness, json.dumps(document), told)


def test_a_detaching_foreign_interface_is_waited_for(harness: Harness) -> None:
    """The instance is full until the interface has left it."""
    harness.apply(spec(eth0=at(0)))
    ec2 = harness.client()
    [web] = ec2.describe_instances()["Reservations"]
    subnet = harness.plan(spec(eth0=at(0))) and web["Instances"][0]["SubnetId"]
    stranger = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    attachment = ec2.attach_network_interface(
        NetworkInterfaceId=stranger, InstanceId=web["Instances"][0]["InstanceId"], DeviceIndex=2
    )
    harness.loop.now += 5
    ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    report = harness.apply(spec(eth0=at(0), eth1=at(1)))
    assert (report.outcome, report.error) == ("converged", None)


def rules(count: int) -> list[dict[str, Any]]:
    return [{"protocol": "tcp", "ports": port, "sources": ["10.0.0.0/8"]} for port in range(1, count + 1)]


def test_more_rules_than_usual_are_tried(tmp_path: Path) -> None:
    """61 are warned of, since the quota cannot be seen: with a raised one they are taken, else EC2 refuses."""
    text = spec("t3.micro", {"web": {"ingress": rules(61)}}, eth0=at(0))
    for quota, outcome in ((60, "partial"), (61, "converged")):
        settings = replace(SLOW, quotas=Quotas(rules_per_group=quota))
        with open_harness(tmp_path / str(quota), settings) as harness:
            [warning] = harness.plan(text).warnings
            assert warning.startswith("security_groups.web: 61 ingress rules for IPv4; EC2 allows 60 unless")
            assert harness.apply(text).outcome == outcome


def test_more_rules_than_any_account_takes(harness: Harness) -> None:
    """1001 rules, or 501 on an interface with two groups: refused, whatever the quotas are."""
    many = {"web": {"ingress": rules(1001)}}
    assert_refused(harness, spec("t3.micro", many, eth0=at(0)), "security_groups.web.ingress: 1001 rules for IPv4")
    some = {"web": {"ingress": rules(501)}, "other": {}}
    text = spec("t3.micro", some, eth0=at(0, security_groups=["web", "other"]))
    assert_refused(
        harness, text, "network_interfaces.eth0.security_groups: 2 security groups, of which web has 501 rules"
    )


def test_a_prefix_list_counts_in_full(harness: Harness) -> None:
    """Its maximum number of entries counts; for AWS-managed lists it is unknown, which is a warning."""
    world = harness.strict.world
    mine, aws = world.add_prefix_list(20), world.add_prefix_list(5, by_aws=True)
    lists = [{"protocol": "tcp", "ports": 443, "sources": [each]} for each in (mine, aws)]
    text = spec("t3.micro", {"web": {"ingress": [*rules(40), *lists]}}, eth0=at(0))
    warnings = harness.plan(text).warnings
    assert warnings[0].startswith("security_groups.web: 61 ingress rules for IPv4")
    assert warnings[-1].startswith(f"{aws} counts as one rule for each entry that it may have")


def test_what_is_asked_and_how_often(harness: Harness) -> None:
    """Instance types are read once per run, and no limits if the plan uses nothing more than before."""
    text = spec(eth0=at(0), eth1=at(1))
    harness.apply(text)
    assert harness.strict.actions().count("DescribeInstanceTypes") == 1
    harness.strict.clear()
    assert harness.plan(text).empty
    assert harness.plan(spec(eth0=at(0, description="x"), eth1=at(1))).steps
    assert "DescribeInstanceTypes" not in harness.strict.actions()
    assert "DescribeAccountAttributes" not in harness.strict.actions()


# ---- stale reads


def lag(harness: Harness, seconds: float, action: str) -> StaleReads:
    """From now on this describe call answers from the past, once ``probability`` is 1."""
    fault = StaleReads(seconds, fixed=True, probability=0.0, action=action)
    harness.strict.faults.add(fault)
    harness.loop.now += seconds
    return fault


def test_an_interface_whose_own_record_lags_counts_once(harness: Harness) -> None:
    """eth1 was attached a moment ago: DescribeInstances shows it, DescribeNetworkInterfaces does not yet."""
    text = spec(eth0=at(0), eth1=at(1))
    stale = lag(harness, 4.0, "DescribeNetworkInterfaces")
    harness.apply(text)
    ec2 = harness.client()
    [web] = ec2.describe_instances()["Reservations"][0]["Instances"]
    [eth1] = [row for row in web["NetworkInterfaces"] if row["Attachment"]["DeviceIndex"] == 1]
    ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    harness.loop.now += 10
    ec2.attach_network_interface(
        NetworkInterfaceId=eth1["NetworkInterfaceId"], InstanceId=web["InstanceId"], DeviceIndex=1
    )
    harness.loop.now += 1
    stale.probability = 1.0
    before = harness.loop.now
    assert [step.call for step in harness.plan(text).steps] == ["AttachNetworkInterface"]
    assert harness.loop.now == before
    assert harness.apply(text).outcome in ("converged", "unchanged")


def foreign_interface_leaves(harness: Harness, device_index: int) -> None:
    """Another tool attaches an interface to the instance ``web``, and later detaches and deletes it."""
    ec2 = harness.client()
    [web] = ec2.describe_instances()["Reservations"][0]["Instances"]
    created = ec2.create_network_interface(SubnetId=web["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    attachment = ec2.attach_network_interface(
        NetworkInterfaceId=created, InstanceId=web["InstanceId"], DeviceIndex=device_index
    )
    harness.loop.now += 20
    ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"], Force=True)
    harness.loop.now += 1
    ec2.delete_network_interface(NetworkInterfaceId=created)


@pytest.mark.parametrize("prepare", ["plan", "apply"])
def test_a_full_instance_is_read_again_before_the_plan_is_refused(harness: Harness, prepare: str) -> None:
    """DescribeInstances still shows an interface that is gone; 2 s later it does not."""
    stale = lag(harness, 1.5, "DescribeInstances")
    harness.apply(spec(eth0=at(0)))
    foreign_interface_leaves(harness, 2)
    stale.probability = 1.0
    text = spec(eth0=at(0), eth1=at(1))
    if prepare == "plan":
        assert [step.call for step in harness.plan(text).steps] == [
            "CreateNetworkInterface", "AttachNetworkInterface",
        ]  # fmt: skip
    else:
        assert harness.apply(text).outcome == "converged"


def test_a_full_instance_that_stays_full_is_refused_after_the_second_look(harness: Harness) -> None:
    """One second look, 2 s later, is all that a real mistake costs."""
    text = spec(eth0=at(0), eth1=at(1), eth2=at(2))
    before = harness.loop.now
    harness.strict.clear()
    with pytest.raises(SpecErrors, match=r"t2\.micro supports 2 interfaces"):
        harness.plan(text)
    assert harness.loop.now - before == pytest.approx(2.0)
    assert harness.strict.actions().count("DescribeSubnets") == 2


def test_the_read_back_does_not_believe_a_limit_at_first_sight(harness: Harness) -> None:
    """After a detach and an attach, reads of different age show eth1 still there and eth2 not there yet.

    They do so for longer than a second look takes, but not for as long as --settle-timeout.
    """
    harness.apply(spec(eth0=at(0), eth1=at(1), eth2={}))
    harness.loop.now += 20
    world, moments = harness.strict.world, dict[str, float]()
    world.keep_history(60)

    def remember(call: Call) -> None:
        moments[call.action] = world.now

    def show_the_past(call: Call) -> None:
        after = {"DescribeInstances": "DetachNetworkInterface"}.get(call.action, "AttachNetworkInterface")
        call.as_of = moments[after] - 0.001

    def is_fresh(call: Call) -> bool:
        """Of the read back, not of what waits for single resources before it."""
        whole_stack = "enireconcile:stack" in str(call.params.get("Filters"))
        return whole_stack and world.now < moments.get("AttachNetworkInterface", 0.0) + 6

    for action in ("DetachNetworkInterface", "AttachNetworkInterface"):
        harness.strict.faults.add(Hook(action, callback=remember))
    for action in ("DescribeInstances", "DescribeNetworkInterfaces"):
        harness.strict.faults.add(Hook(action, times=10_000, when=is_fresh, callback=show_the_past))
    report = harness.apply(spec(eth0=at(0), eth1={}, eth2=at(2)))
    assert (report.outcome, report.error) == ("converged", None)
    assert harness.loop.now > moments["AttachNetworkInterface"] + 6
