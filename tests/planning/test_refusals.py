"""What planning refuses before anything is touched, and with which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from enireconcile.errors import EnireconcileError, Problem, SpecErrors, UnsupportedError
from enireconcile.live.records import LiveImage, LiveSecurityGroup
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.draft import make_plan
from tests.planning.worlds import HEAD, STACK, Words, immutable, live_of, plan_of, spec_of, whole

WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}
ZONE_A: Words = {"default_for_az": "us-east-1a"}
NEW_GROUP = "give the row another name: the plan then makes a new group, or keep "
RESTART = "write on_change: restart (same instance, stopped and started) or replace (new one), or keep m5.large"


def web(instance: Words = WEB, **interfaces: Words) -> Words:
    """A spec with one instance and its interfaces; an interface is told by what it has beyond its subnet."""
    rows = {name: {"subnet": ZONE_A, **row} for name, row in interfaces.items()}
    return {"instances": {"web": instance}, "network_interfaces": rows}


def at(index: int, instance: str = "web") -> Words:
    return {"attachment": {"instance": instance, "device_index": index}}


# ---- what EC2 cannot do


@dataclass(frozen=True)
class Case:
    """A situation, the spec, the live state, and the whole message; ``others`` are those of other rows."""

    situation: str
    spec: Words
    live: Words
    message: str
    hint: str = ""
    others: Sequence[str] = ()


PRIMARIES = [
    Case(
        "the floating interface is the primary one of a stranger's instance",
        web(eth0=at(0), eth1=at(1)),
        {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "i-other 0"}}},
        "network_interfaces.eth1: it is the primary interface of i-other, which EC2 cannot detach",
        "keep it there, or terminate i-other first",
    ),
    Case(
        "the primary interface shall move to index 1, and another one to its place",
        web(eth0=at(0), eth1=at(1)),
        {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 1"}, "eth1": {"at": "web 0"}}},
        "network_interfaces.eth0: eni-eth1 is the primary interface of i-web, which EC2 cannot detach",
        "keep it there, or terminate i-web first",
        ["network_interfaces.eth1: it is the primary interface of i-web, which EC2 cannot detach"],
    ),
    Case(
        "an interface shall be attached to nothing, and an instance boots with it",
        {"network_interfaces": {"spare": {"subnet": ZONE_A}}},
        {"network_interfaces": {"spare": {"at": "i-other 0"}}},
        "network_interfaces.spare: it is the primary interface of i-other, which EC2 cannot detach",
        "keep it there, or terminate i-other first",
    ),
    Case(
        "the instance that lives has a stranger's interface at index 0, where ours belongs",
        web(eth0=at(0)),
        {"instances": {"web": {"foreign": {0: "eni-stranger"}}}, "network_interfaces": {"eth0": {}}},
        "network_interfaces.eth0: eni-stranger is the primary interface of i-web, which EC2 cannot detach",
        "keep it there, or terminate i-web first",
    ),
    Case(
        "the primary interface got another name in the spec, and the old one is still in its place",
        web(new=at(0)),
        {"instances": {"web": {}}, "network_interfaces": {"old": {"at": "web 0"}}},
        "network_interfaces.new: eni-old is the primary interface of i-web, which EC2 cannot detach",
        "keep it there, or terminate i-web first",
    ),
]


ADAPTER: Words = {"subnet": ZONE_A, "interface_type": "efa"}
AT_REST = "EC2 attaches and detaches efa interfaces on stopped instances only, and"
RESTARTED: Words = {"instance_type": "m5.large", "on_change": "restart"}
STOPPED_OR_NOT: Words = {"state": "stopped", "lifecycle": {"ignore": ["state"]}}
ADAPTERS = [
    Case(
        "an adapter is to come to an instance that runs",
        web(eth0=at(0), efa={**at(1), "interface_type": "efa"}),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "efa": {"interface_type": "efa"}},
        },
        f"network_interfaces.efa: {AT_REST} web is running",
        "set `state: stopped` for instances.web, apply, and set it back",
    ),
    Case(
        "an adapter is to leave an instance that is about to run",
        web(eth0=at(0), efa=ADAPTER),
        {
            "instances": {"web": {"state": "pending"}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "efa": {"interface_type": "efa", "at": "web 1"}},
        },
        f"network_interfaces.efa: {AT_REST} web is pending",
        "set `state: stopped` for instances.web, apply, and set it back",
    ),
    Case(
        "an adapter is to leave an instance of which nothing is known",
        {"network_interfaces": {"efa": ADAPTER}},
        {"network_interfaces": {"efa": {"interface_type": "efa", "at": "i-stranger 1"}}},
        f"network_interfaces.efa: {AT_REST} the state of i-stranger is unknown",
        "stop i-stranger, apply, and start it again",
    ),
    Case(
        "a stranger's adapter is in the way on an instance that runs",
        web(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"foreign": {1: "eni-stranger attached efa"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        f"network_interfaces.eth1: {AT_REST} web is running",
        "set `state: stopped` for instances.web, apply, and set it back",
    ),
    Case(
        "an adopted interface is an adapter, which the spec does not say",
        web(eth0=at(0), old={"adopt": "eni-22222222", **at(1)}),
        {
            "instances": {"web": {}},
            "network_interfaces": {
                "eth0": {"at": "web 0"},
                "old": {"id": "eni-22222222", "found": True, "interface_type": "efa"},
            },
        },
        f"network_interfaces.old: {AT_REST} web is running",
        "set `state: stopped` for instances.web, apply, and set it back",
    ),
    *(
        Case(
            f"an adapter is to leave an instance that {words}",
            web({**WEB, **row}, eth0=at(0), efa=ADAPTER),
            {
                "instances": {"web": {}},
                "network_interfaces": {"eth0": {"at": "web 0"}, "efa": {"interface_type": "efa", "at": "web 1"}},
            },
            f"network_interfaces.efa: {AT_REST} web is running",
            "set `state: stopped` for instances.web, apply, and set it back",
        )
        for words, row in (
            ("restarts for another type only, and has the right one", {"on_change": "restart"}),
            (
                "would restart for another type, which is ignored",
                {**RESTARTED, "lifecycle": {"ignore": ["instance_type"]}},
            ),
            ("would be stopped, but for its state that is ignored", STOPPED_OR_NOT),
        )
    ),
]


def refused(case: Case, *, prune: bool = False) -> list[tuple[str, str | None]]:
    """What is refused of a case, with its address, and the hint. Without any rows, the whole plan is refused."""
    with pytest.raises(EnireconcileError) as raised:
        plan_of(case.spec, case.live, prune=prune)
    error = raised.value
    assert (type(error), error.exit_code) == (SpecErrors if case.spec else UnsupportedError, 1)
    if isinstance(error, SpecErrors):
        return [(_told(problem), problem.hint) for problem in error.problems]
    return [(error.message, error.hint)]


def _told(problem: Problem) -> str:
    address = ".".join(problem.path.split(".")[:2])
    return problem.message if problem.message.startswith(address) else f"{address}: {problem.message}"


@pytest.mark.parametrize("case", [*PRIMARIES, *ADAPTERS], ids=lambda case: case.situation)
def test_what_ec2_never_detaches_is_not_detached(case: Case) -> None:
    assert refused(case) == [(message, case.hint) for message in (case.message, *case.others)]


def test_an_adapter_leaves_while_its_instance_restarts() -> None:
    """It stops for another type, and is as good as one that is to be stopped."""
    words = web({**WEB, **RESTARTED}, eth0=at(0), efa=ADAPTER)
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "efa": {"interface_type": "efa", "at": "web 1"}},
    }
    stop, *others = plan_of(words, live).steps
    [detach] = [step for step in others if step.call == "DetachNetworkInterface"]
    assert (stop.call, [*detach.needs]) == ("StopInstances", [stop.id])


GOING = [
    Case(
        "an instance that is to go is protected",
        {},
        {"instances": {"web": {"protected": True}}},
        "instances.web: i-web is protected against termination",
        "to terminate it, set termination_protection: false and apply that first",
    ),
    Case(
        "the primary interface of an instance that stays is to be another",
        web(eth0={**at(0), "subnet": {"default_for_az": "us-east-1a"}, "private_ip": "172.31.0.99"}),
        {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}},
        "network_interfaces.eth0: private_ip is 172.31.0.10, the spec says 172.31.0.99; eni-eth0 has to be "
        "replaced, but it is the primary interface of i-web, "
        "which EC2 cannot detach",
        "revert the change, or set on_change: replace for the instance to launch a new one",
    ),
    Case(
        "an instance is to be launched, and its primary interface is on another one and may stay there",
        web(eth0={**at(0), "lifecycle": {"ignore": ["attachment"]}}, eth1=at(1)),
        {"network_interfaces": {"eth0": {"at": "i-other 1"}, "eth1": {}}},
        "instances.web cannot be launched: its primary interface network_interfaces.eth0 (eni-eth0) is attached "
        "to i-other, and the spec ignores its attachment",
        "detach it, or remove `attachment` from lifecycle.ignore of network_interfaces.eth0",
    ),
    Case(
        "an instance is to be launched, and both its interfaces are elsewhere",
        web(aux=at(1), eth0={**at(0), "lifecycle": {"ignore": ["attachment"]}}),
        {"network_interfaces": {"aux": {"at": "i-third 1"}, "eth0": {"at": "i-other 1"}}},
        "instances.web cannot be launched: its primary interface network_interfaces.eth0 (eni-eth0) is attached "
        "to i-other, and the spec ignores its attachment",
        "detach it, or remove `attachment` from lifecycle.ignore of network_interfaces.eth0",
    ),
]


@pytest.mark.parametrize("case", GOING, ids=lambda case: case.situation)
def test_what_cannot_be_removed_is_refused(case: Case) -> None:
    assert refused(case, prune=True) == [(case.message, case.hint)]


@pytest.mark.parametrize(
    ("row", "path", "message"),
    [
        (
            {"subnet": {"default_for_az": "us-east-1a"}, "private_ip": "172.31.0.99"},
            "network_interfaces.eth0.private_ip",
            "private_ip is 172.31.0.10, the spec says 172.31.0.99; eni-eth0 has to be replaced",
        ),
        (
            {"subnet": {"tags": {"Name": "lab-a"}}, "private_ip": "10.0.0.99"},
            "network_interfaces.eth0.subnet",
            "subnet is subnet-a, the spec says subnet-lab-a; private_ip is 172.31.0.10, the spec says 10.0.0.99",
        ),
        (
            {"secondary_private_ips": ["172.31.0.10"]},
            "network_interfaces.eth0.secondary_private_ips",
            "secondary_private_ips is [], the spec says ['172.31.0.10']; eni-eth0 has to be replaced",
        ),
    ],
)
def test_a_primary_interface_that_cannot_be_replaced_says_why(row: Words, path: str, message: str) -> None:
    spec = web(eth0={**at(0), **row})
    plan = plan_of(spec, {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}}, partly=True)
    [error] = plan.errors
    assert (error.problem.path, error.problem.message.startswith(message)) == (path, True), error.problem


IMMUTABLE = [
    Case(
        "another VPC",
        {"security_groups": {"web": {"vpc": {"tags": {"Name": "lab"}}}}},
        {"security_groups": {"web": {}}},
        "security_groups.web (sg-web): vpc is vpc-default, the spec says vpc-lab",
        NEW_GROUP + "vpc-default",
    ),
    Case(
        "another description of a group",
        {"security_groups": {"web": {"description": "Web traffic"}}},
        {"security_groups": {"web": {}}},
        "security_groups.web (sg-web): description is Managed by enireconcile, the spec says Web traffic",
        NEW_GROUP + "Managed by enireconcile",
    ),
    Case(
        "another name of a group",
        {"security_groups": {"web": {"group_name": "Web"}}},
        {"security_groups": {"web": {"group_name": "shop"}}},
        "security_groups.web (sg-web): group_name is shop, the spec says Web",
        NEW_GROUP + "shop",
    ),
    Case(
        "another instance type",
        web(eth0=at(0)),
        {"instances": {"web": {"instance_type": "m5.large"}}, "network_interfaces": {"eth0": {"at": "web 0"}}},
        "instances.web (i-web): instance_type is m5.large, the spec says t3.micro",
        RESTART,
    ),
    Case(
        "a key pair where there was none",
        web({**WEB, "key_name": "ops"}, eth0=at(0)),
        {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}},
        "instances.web (i-web): key_name is not set, the spec says ops",
        "write on_change: replace (new one), or remove key_name from the row",
    ),
]


@pytest.mark.parametrize("case", IMMUTABLE, ids=lambda case: case.situation)
def test_what_ec2_cannot_change_in_place_is_refused(case: Case) -> None:
    with pytest.raises(SpecErrors) as raised:
        plan_of(case.spec, case.live)
    told = [(immutable(problem), problem.hint) for problem in raised.value.problems]
    assert (told, raised.value.exit_code) == ([(case.message, case.hint)], 1)


def test_all_that_cannot_be_changed_is_listed_at_once() -> None:
    spec = {
        "security_groups": {"web": {"group_name": "web", "description": "Web", "vpc": {"cidr": "10.0.0.0/16"}}},
        **web(
            {**WEB, "key_name": "ops"},
            eth0=at(0),
        ),
    }
    live = {
        "security_groups": {"web": {"group_name": "shop"}},
        "instances": {"web": {"instance_type": "m5.large"}},
        "network_interfaces": {"eth0": {"at": "web 0"}},
    }
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec, live)
    assert sorted(map(immutable, raised.value.problems)) == sorted(
        [
            "security_groups.web (sg-web): group_name is shop, the spec says web",
            "security_groups.web (sg-web): description is Managed by enireconcile, the spec says Web",
            "security_groups.web (sg-web): vpc is vpc-default, the spec says vpc-lab",
            "instances.web (i-web): instance_type is m5.large, the spec says t3.micro",
            "instances.web (i-web): key_name is not set, the spec says ops",
        ]
    )


def test_a_terminating_instance_does_not_conflict_with_the_new_one() -> None:
    live = {"instances": {"web": {}, "old": {"named": "web", "state": "shutting-down"}}}
    assert plan_of(web(eth0=at(0)), {**live, "network_interfaces": {"eth0": {"at": "web 0"}}}).empty


# ---- selectors and addresses, with their place in the file


@dataclass(frozen=True)
class Place:
    """A situation, rows of the spec from line 4 on, and the one problem: ``line:column: path: message``, hint."""

    situation: str
    rows: str
    problem: str
    hint: str


PLACES = [
    Place(
        "no subnet has this id",
        "network_interfaces: {eth1: {subnet: subnet-12345678}}",
        "4:37: network_interfaces.eth1.subnet: no subnet in us-east-1 matches subnet-12345678",
        "see `aws ec2 describe-subnets`",
    ),
    Place(
        "no subnet is the default one of this zone",
        "network_interfaces:\n  eth1:\n    subnet: {default_for_az: us-east-1c}",
        "6:13: network_interfaces.eth1.subnet: no subnet in us-east-1 matches us-east-1c",
        "zones with a default subnet: us-east-1a, us-east-1b",
    ),
    Place(
        "no subnet has this block",
        "network_interfaces: {eth1: {subnet: {cidr: 10.9.0.0/24}}}",
        "4:37: network_interfaces.eth1.subnet: no subnet in us-east-1 matches 10.9.0.0/24",
        "see `aws ec2 describe-subnets`",
    ),
    Place(
        "no subnet has both tags",
        "network_interfaces: {eth1: {subnet: {tags: {Name: lab-a, Team: web}}}}",
        "4:37: network_interfaces.eth1.subnet: no subnet in us-east-1 matches Name=lab-a, Team=web",
        "values of Team on subnets: net",
    ),
    Place(
        "no subnet has this name, and one is near",
        "network_interfaces: {eth1: {subnet: {tags: {Name: lab-z}}}}",
        "4:37: network_interfaces.eth1.subnet: no subnet in us-east-1 matches Name=lab-z",
        "did you mean `lab-a`? values of Name on subnets: lab-a, dual, generous, lab-b, old and 1 more",
    ),
    Place(
        "no VPC has such a tag",
        "security_groups: {web: {vpc: {tags: {Stage: prod}}}}",
        "4:30: security_groups.web.vpc: no VPC in us-east-1 matches Stage=prod",
        "no VPC has a tag Stage; see `aws ec2 describe-vpcs`",
    ),
    Place(
        "two subnets have this tag",
        "network_interfaces: {eth1: {subnet: {tags: {Team: net}}}}",
        "4:37: network_interfaces.eth1.subnet: 2 subnets match Team=net: subnet-lab-a, subnet-lab-b",
        "select one of them by its id",
    ),
    Place(
        "no VPC has this id",
        "security_groups: {web: {vpc: vpc-12345678}}",
        "4:30: security_groups.web.vpc: no VPC in us-east-1 matches vpc-12345678",
        "see `aws ec2 describe-vpcs`",
    ),
    Place(
        "no VPC has this block",
        "security_groups: {web: {vpc: {cidr: 10.9.0.0/16}}}",
        "4:30: security_groups.web.vpc: no VPC in us-east-1 matches 10.9.0.0/16",
        "see `aws ec2 describe-vpcs`",
    ),
    Place(
        "two VPCs have this tag",
        "security_groups: {web: {vpc: {tags: {Team: net}}}}",
        "4:30: security_groups.web.vpc: 2 VPCs match Team=net: vpc-lab, vpc-old",
        "select one of them by its id",
    ),
    Place(
        "a private IP is outside of the chosen subnet",
        "network_interfaces:\n  eth1: {subnet: {tags: {Name: lab-a}}, private_ip: 10.0.1.10}",
        "5:53: network_interfaces.eth1.private_ip: 10.0.1.10 is not in subnet-lab-a (10.0.0.0/24)",
        "choose from 10.0.0.4 to 10.0.0.254",
    ),
    Place(
        "a private IP is the subnet's router",
        "network_interfaces:\n  eth1: {subnet: {tags: {Name: lab-a}}, private_ip: 10.0.0.1}",
        "5:53: network_interfaces.eth1.private_ip: 10.0.0.1 is one of the five addresses that "
        "EC2 reserves in 10.0.0.0/24",
        "choose from 10.0.0.4 to 10.0.0.254",
    ),
    Place(
        "a private IP is the last of those that EC2 reserves at the front",
        "network_interfaces:\n  eth1: {subnet: {tags: {Name: lab-a}}, private_ip: 10.0.0.3}",
        "5:53: network_interfaces.eth1.private_ip: 10.0.0.3 is one of the five addresses that "
        "EC2 reserves in 10.0.0.0/24",
        "choose from 10.0.0.4 to 10.0.0.254",
    ),
    Place(
        "a private IP is the last one of its subnet",
        "network_interfaces:\n  eth1: {subnet: {tags: {Name: lab-a}}, private_ip: 10.0.0.255}",
        "5:53: network_interfaces.eth1.private_ip: 10.0.0.255 is one of the five addresses that "
        "EC2 reserves in 10.0.0.0/24",
        "choose from 10.0.0.4 to 10.0.0.254",
    ),
    Place(
        "an IPv6 address is outside of the chosen subnet",
        "network_interfaces:\n  a: {subnet: {tags: {Name: dual}}, ipv6_addresses: ['2001:db8::9', '2001:db9::1']}",
        "5:69: network_interfaces.a.ipv6_addresses.1: 2001:db9::1 is not in subnet-dual (2001:db8::/64)",
        "choose from 2001:db8::4 to 2001:db8::ffff:ffff:ffff:fffe",
    ),
    *(
        Place(
            f"an IPv6 address is one that EC2 reserves: {address}",
            f"network_interfaces:\n  a: {{subnet: {{tags: {{Name: dual}}}}, ipv6_addresses: ['{address}']}}",
            f"5:54: network_interfaces.a.ipv6_addresses.0: {address} is one of the five addresses that "
            "EC2 reserves in 2001:db8::/64",
            "choose from 2001:db8::4 to 2001:db8::ffff:ffff:ffff:fffe",
        )
        for address in ("2001:db8::3", "2001:db8::ffff:ffff:ffff:ffff")
    ),
    Place(
        "a prefix holds addresses that EC2 reserves at the front",
        "network_interfaces:\n  a: {subnet: {tags: {Name: dual}}, ipv6_prefixes: ['2001:db8::/80']}",
        "5:53: network_interfaces.a.ipv6_prefixes.0: 2001:db8::/80 contains one of the five addresses that "
        "EC2 reserves in 2001:db8::/64",
        "choose one inside 2001:db8::/64",
    ),
    Place(
        "a prefix holds the address that EC2 reserves at the end",
        "network_interfaces:\n  a: {subnet: {tags: {Name: dual}}, ipv4_prefixes: [10.3.0.240/28]}",
        "5:53: network_interfaces.a.ipv4_prefixes.0: 10.3.0.240/28 contains one of the five addresses that "
        "EC2 reserves in 10.3.0.0/24",
        "choose one inside 10.3.0.0/24",
    ),
    Place(
        "a prefix is outside of the chosen subnet",
        "network_interfaces:\n  a: {subnet: {tags: {Name: dual}}, ipv4_prefixes: [10.3.1.16/28]}",
        "5:53: network_interfaces.a.ipv4_prefixes.0: 10.3.1.16/28 is not in subnet-dual (10.3.0.0/24)",
        "choose one inside 10.3.0.0/24",
    ),
    *(
        Place(
            f"a subnet without IPv6 is to give {key}",
            f"network_interfaces:\n  a: {{subnet: {{tags: {{Name: lab-a}}}}, {key}: {value}}}",
            f"5:{40 + len(key)}: network_interfaces.a.{key}: subnet-lab-a has no IPv6 CIDR block",
            "associate a CIDR block with it, or choose another subnet",
        )
        for key, value in (
            ("ipv6_addresses", "['2001:db8::9']"),
            ("ipv6_address_count", 1),
            ("ipv6_prefixes", "['2001:db8:0:0:1::/80']"),
            ("ipv6_prefix_count", 1),
        )
    ),
    *(
        Place(
            f"a subnet for IPv6 alone is to give {key}",
            f"network_interfaces:\n  a: {{subnet: {{tags: {{Name: six}}}}, {key}: {value}}}",
            f"5:{38 + len(key)}: network_interfaces.a.{key}: subnet-six has no IPv4 CIDR block",
            "associate a CIDR block with it, or choose another subnet",
        )
        for key, value in (
            ("private_ip", "10.3.0.9"),
            ("secondary_private_ips", "[10.3.0.9]"),
            ("secondary_private_ip_count", 1),
            ("ipv4_prefixes", "[10.3.0.16/28]"),
            ("ipv4_prefix_count", 1),
        )
    ),
    Place(
        "the interfaces of one instance stand in two zones",
        "instances: {web: {image: ami-12345678, instance_type: t3.micro}}\n"
        "network_interfaces:\n"
        "  eth0: {subnet: {tags: {Name: lab-a}}, attachment: {instance: web, device_index: 0}}\n"
        "  eth1: {subnet: {tags: {Name: lab-b}}, attachment: {instance: web, device_index: 1}}",
        "7:18: network_interfaces.eth1.subnet: the subnet is in us-east-1b, but the subnet of eth0, also "
        "attached to web, is in us-east-1a",
        "an instance and its interfaces must be in one Availability Zone",
    ),
    Place(
        "an interface without groups is in a VPC whose default group cannot be seen",
        "network_interfaces:\n  eth1: {subnet: {tags: {Name: old}}}",
        "5:9: network_interfaces.eth1: vpc-old has no default security group that these credentials can see",
        "list the interface's security_groups",
    ),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.situation)
def test_a_selector_or_address_that_does_not_fit_is_reported_with_its_place(place: Place) -> None:
    text = "\n".join(f"{key}: {value}" for key, value in HEAD.items()) + f"\n{place.rows}\n"
    with pytest.raises(SpecErrors) as raised:
        plan_of(text)
    (problem,) = raised.value.problems
    assert str(problem) == f"-:{place.problem}\n  hint: {place.hint}"


def test_the_first_address_that_may_be_had_is_the_fifth() -> None:
    spec = {"network_interfaces": {"eth1": {"subnet": {"tags": {"Name": "lab-a"}}, "private_ip": "10.0.0.4"}}}
    assert [step.params["PrivateIpAddress"] for step in plan_of(spec).steps] == ["10.0.0.4"]


def test_all_wrong_selectors_are_reported_at_once() -> None:
    spec = {
        "security_groups": {"web": {"vpc": "vpc-12345678"}},
        "network_interfaces": {
            "eth1": {"subnet": "subnet-12345678"},
            "eth2": {"subnet": {"tags": {"Team": "net"}}},
        },
    }
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec)
    assert [problem.path for problem in raised.value.problems] == [
        "security_groups.web.vpc",
        "network_interfaces.eth1.subnet",
        "network_interfaces.eth2.subnet",
    ]


def test_what_is_right_in_one_row_does_not_hide_what_is_wrong_in_the_next() -> None:
    """Rows without a place and without an address of their own stand before and between the others."""
    lab_a, lab_b = ({"subnet": {"tags": {"Name": name}}} for name in ("lab-a", "lab-b"))
    spec = web(
        WEB,
        spare=lab_a,
        eth0={**lab_a, **at(0)},
        other=lab_b,
        eth1={**lab_b, **at(1), "private_ip": "10.0.0.9"},
    )
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec)
    assert [problem.path for problem in raised.value.problems] == [
        "network_interfaces.eth1.subnet",
        "network_interfaces.eth1.private_ip",
    ]


# ---- what only the account can tell


def refusal(spec: Words, **account: object) -> list[str]:
    """The problems of a spec in an empty world of which something is told otherwise."""
    loaded = spec_of(spec)
    with pytest.raises(SpecErrors) as raised:
        whole(make_plan(loaded, replace(live_of({}, loaded), **account)))
    return [f"{problem.path}: {problem.message}; {problem.hint}" for problem in raised.value.problems]


def name_conflict(name: str, vpc: str = "vpc-default", **tags: str) -> LiveSecurityGroup:
    return LiveSecurityGroup("sg-other", tags, name, "", vpc, (), ())


@pytest.mark.parametrize(
    ("row", "name"), [({}, "web"), ({"group_name": "Web"}, "Web")], ids=["by its row", "by group_name"]
)
@pytest.mark.parametrize("other", ["web", "WEB"])
def test_a_foreign_group_may_have_the_same_name(row: Words, name: str, other: str) -> None:
    """EC2 has a name once in a VPC, whatever the case of its letters, and would refuse ours half way."""
    assert refusal({"security_groups": {"web": row}}, name_conflicts=(name_conflict(other),)) == [
        f"security_groups.web: sg-other already has the name {name!r} in vpc-default, and is not of this stack; "
        "write another group_name, or `adopt: sg-other`, or delete sg-other"
    ]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(name_conflict("shop"), id="another name"),
        pytest.param(name_conflict("web", "vpc-lab"), id="another VPC"),
        pytest.param(name_conflict("web", **{STACK_TAG: STACK, NAME_TAG: "security_groups.web"}), id="its own"),
    ],
)
def test_other_groups_are_not_in_the_way(other: LiveSecurityGroup) -> None:
    """A group of another name or VPC does not conflict, nor does the row's own."""
    loaded = spec_of({"security_groups": {"web": {}}})
    (step,) = make_plan(loaded, replace(live_of({}, loaded), name_conflicts=(other,))).steps
    assert step.call == "CreateSecurityGroup"


def test_a_renamed_row_cannot_take_the_group_name_of_its_old_group() -> None:
    """The old group stays until the new one is there, and a VPC has a group name once."""
    old = name_conflict("web", **{STACK_TAG: STACK, NAME_TAG: "security_groups.web"})
    assert refusal({"security_groups": {"web2": {"group_name": "web"}}}, name_conflicts=(old,)) == [
        "security_groups.web2: sg-other already has the name 'web' in vpc-default: it is security_groups.web of "
        "this stack; write another group_name; or, if the row was renamed, `renamed_from: web` to keep the group"
    ]


def test_an_account_without_a_default_vpc_is_reported() -> None:
    """A group without a VPC means the default one."""
    assert refusal({"security_groups": {"web": {}}}, vpcs=()) == [
        "security_groups.web.vpc: no VPC in us-east-1 matches default; see `aws ec2 describe-vpcs`"
    ]


def test_the_zone_of_an_adopted_instance_counts_even_where_no_limit_is_known() -> None:
    """An interface in another zone can never be attached to it."""
    words = web({**WEB, "adopt": "i-12345678"}, eth0=at(1))
    live: Words = {
        "instances": {"web": {"id": "i-12345678", "found": True, "zone": "us-east-1b", "foreign": {0: "eni-1"}}}
    }
    with pytest.raises(SpecErrors) as raised:
        whole(make_plan(spec_of(words), live_of(live, spec_of(words))))
    assert [f"{problem.path}: {problem.message}" for problem in raised.value.problems] == [
        "network_interfaces.eth0.subnet: the subnet is in us-east-1a, but the instance web is in us-east-1b"
    ]


def test_a_subnet_may_have_several_blocks() -> None:
    """Addresses of the second one lie in it, too."""
    loaded = spec_of(
        {"network_interfaces": {"eth0": {"subnet": "subnet-2b10c0de", "ipv6_addresses": ["2001:db8:0:9::50"]}}}
    )
    live = live_of({}, loaded)
    [dual] = [subnet for subnet in live.subnets if subnet.id == "subnet-dual"]
    wide = replace(dual, id="subnet-2b10c0de", ipv6_cidrs=(*dual.ipv6_cidrs, "2001:db8:0:9::/64"))
    (step,) = make_plan(loaded, replace(live, subnets=(wide,))).steps
    assert step.params["Ipv6Addresses"] == [{"Ipv6Address": "2001:db8:0:9::50"}]


def test_several_instances_fit() -> None:
    """By tags, say; they are told in the order of their ids, however EC2 lists them."""
    loaded = spec_of({"instances": {"fw": {"external": {"tags": {"Name": "fw"}}}}})
    (first,) = live_of({"externals": {"fw": {"id": "i-1"}}}, loaded).externals["fw"]
    found = (replace(first, id="i-2"), first)
    with pytest.raises(SpecErrors) as raised:
        whole(make_plan(loaded, replace(live_of({}, loaded), externals={"fw": found})))
    assert [f"{problem.path}: {problem.message}; {problem.hint}" for problem in raised.value.problems] == [
        "instances.fw.external: 2 instances match: i-1, i-2; select one of them by its id"
    ]


def test_a_selector_is_looked_at_beside_one_that_is_wrong_otherwise() -> None:
    """What is adopted is not there, and where it would be the spec does not say."""
    interfaces = {
        "a": {"adopt": "eni-22222222"},
        "b": {"subnet": {"cidr": "10.9.0.0/24"}},
        "c": {"subnet": ZONE_A, "private_ip": "10.9.0.9"},
    }
    assert [line.partition(":")[0] for line in refusal({"network_interfaces": interfaces})] == [
        "network_interfaces.a.adopt",
        "network_interfaces.b.subnet",
        "network_interfaces.c.private_ip",
    ]


def test_all_is_to_go_and_others_use_some_of_it() -> None:
    """Groups of ours are named in foreign rules, and the spec is empty: nothing goes."""
    live: Words = {
        "security_groups": {"a": {}, "b": {}, "c": {}},
        "users": {"security_groups": {"other": {"ingress": ["tcp 22 sg-a", "tcp 22 sg-b"]}}},
    }
    with pytest.raises(UnsupportedError) as raised:
        plan_of({}, live, prune=True)
    because = "it is still used by the rules of sg-other (other)"
    assert raised.value.message.splitlines() == [
        "EC2 cannot delete these while other resources use them:",
        f"  security_groups.a (sg-a): {because}",
        f"  security_groups.b (sg-b): {because}",
    ]
    assert raised.value.hint == "remove these uses first"


def test_no_image_fits() -> None:
    """A selector by name may find nothing that can be launched."""
    assert refusal(web(eth0=at(0)), images={"web": ()}) == [
        "instances.web.image: no available image matches; check the name and the owner"
    ]


def test_the_newest_image_is_launched_and_of_equally_new_ones_the_last_by_id() -> None:
    """Two runs at the same time choose the same."""
    loaded = spec_of(web(eth0=at(0)))
    images = tuple(
        LiveImage(*words) for words in (("ami-2", "2026"), ("ami-3", "2026"), ("ami-1", "2026"), ("ami-9", "2025"))
    )
    (launch,) = [
        step
        for step in make_plan(loaded, replace(live_of({}, loaded), images={"web": images})).steps
        if step.call == "RunInstances"
    ]
    assert launch.params["ImageId"] == "ami-3"
