"""Addresses and prefixes: how many an interface takes, and how many a subnet has free."""

from __future__ import annotations

import pytest

from enireconcile.live.records import Limits, LiveInstanceType
from tests.planning.limits.situations import (
    KNOWN,
    LIVE_WEB,
    NETWORK,
    OTHER_SUBNET,
    PAIR,
    REPLACED,
    REPLACED_LIVE,
    ZONE_A,
    Situation,
    at,
    crowded,
    dual,
    no_room,
    over,
    refusals,
    refused_in,
    spec,
    too_many,
)
from tests.planning.worlds import Words, plan_of, warnings_of

ADDRESSES = [
    Situation("as many as the type takes", spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])), {}),
    Situation(
        "one more, by list",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        {},
        [too_many("eth0.secondary_private_ips", 3)],
    ),
    Situation(
        "one more, by list, with the primary one named",
        spec(eth0=at(0, private_ip="172.31.0.49", secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        {},
        [too_many("eth0.secondary_private_ips", 3)],
    ),
    Situation(
        "one more, by count",
        spec(eth0=at(0, secondary_private_ip_count=2)),
        {},
        [too_many("eth0.secondary_private_ip_count", 3)],
    ),
    Situation(
        "one more on an interface that is attached",
        spec(eth0=at(0, secondary_private_ip_count=2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
        },
        [too_many("eth0.secondary_private_ip_count", 3)],
    ),
    Situation(
        "an interface that exists brings too many along, and the spec does not say how many",
        spec(eth0=at(0), eth1=at(1)),
        {
            **LIVE_WEB,
            "network_interfaces": {
                "eth0": {"at": "web 0"}, "eth1": {"secondary": ["172.31.0.50", "172.31.0.51"]},
            },
        },
        [too_many("eth1", 3)],
    ),
    Situation(
        "an interface that the plan does not change gets no error",
        spec(eth0=at(0), eth1=at(1)),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50", "172.31.0.51"]}},
        },
    ),
    Situation(
        "a new floating interface would have too many on the second",
        spec("t3.medium", PAIR, eth0=at(0), b0=at(0, "b"), vip=over("web", "b", secondary_private_ip_count=2)),
        {},
        [too_many("vip.secondary_private_ip_count", 3, "b")],
    ),
    Situation(
        "an interface that is attached to nothing may have what it wants",
        spec(eth0=at(0), spare={"secondary_private_ip_count": 9}),
        {},
    ),
    Situation(
        "one goes and one comes",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
        },
    ),
    Situation(
        "one goes of too many, and the others are still too many",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {
                "eth0": {"at": "web 0", "secondary": ["172.31.0.50", "172.31.0.51", "172.31.0.52"]}
            },
        },
        [too_many("eth0.secondary_private_ips", 3)],
    ),
    Situation(
        "one goes of too many, and the others are not",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50", "172.31.0.51"]}},
        },
    ),
    Situation(
        "on a type without IPv6 one comes of IPv4",
        spec("m1.small", eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        {
            "instances": {"web": {"instance_type": "m1.small"}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Situation(
        "one floats away to another interface, which is full with it",
        spec(
            eth0=at(0, secondary_private_ips=[]), eth1=at(1, secondary_private_ips=["172.31.0.50"])
        ),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}, "eth1": {"at": "web 1"}},
        },
    ),
    Situation(
        "two full interfaces change addresses, for which neither has room",
        spec(
            eth0=at(0, secondary_private_ips=["172.31.0.51"]), eth1=at(1, secondary_private_ips=["172.31.0.50"])
        ),
        {
            "instances": {"web": {}},
            "network_interfaces": {
                "eth0": {"at": "web 0", "secondary": ["172.31.0.50"]},
                "eth1": {"at": "web 1", "secondary": ["172.31.0.51"]},
            },
        },
        [crowded("eth0"), crowded("eth1")],
    ),
    Situation(
        "two full interfaces change addresses while the type changes, which makes no room",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0, secondary_private_ips=["172.31.0.51"]), eth1=at(1, secondary_private_ips=["172.31.0.50"])
        ),
        {
            "instances": {"web": {"instance_type": "t2.micro"}},
            "network_interfaces": {
                "eth0": {"at": "web 0", "secondary": ["172.31.0.50"]},
                "eth1": {"at": "web 1", "secondary": ["172.31.0.51"]},
            },
        },
        [crowded("eth0"), crowded("eth1")],
    ),
]  # fmt: skip


def too_many_of(where: str, kind: str, most: str, count: int, prefixes: bool = False) -> str:
    slots = " (each prefix counts as one)" if prefixes else ""
    return (
        f"{NETWORK}.{where}: {kind} supports {most}, this one would have {count} on web{slots} | assign fewer, or "
        f"choose an instance type that supports more"
    )


TWO4, TWO6 = "2 IPv4 addresses per interface", "2 IPv6 addresses per interface"
FURTHER = [
    Situation(
        "as many of each as the type takes",
        spec(**dual(eth0=at(0, ipv6_address_count=2, ipv4_prefix_count=1))),
        {},
    ),
    Situation(
        "IPv6 addresses by number",
        spec(**dual(eth0=at(0, ipv6_address_count=3))),
        {},
        [too_many_of("eth0.ipv6_address_count", "t3.micro", TWO6, 3)],
    ),
    Situation(
        "IPv6 addresses by list",
        spec(**dual(eth0=at(0, ipv6_addresses=["2001:db8::10", "2001:db8::11", "2001:db8::12"]))),
        {},
        [too_many_of("eth0.ipv6_addresses", "t3.micro", TWO6, 3)],
    ),
    Situation(
        "a prefix of either family counts as an address",
        spec(
            **dual(
                eth0=at(
                    0,
                    secondary_private_ip_count=1, ipv4_prefix_count=1,
                    ipv6_address_count=1, ipv6_prefixes=["2001:db8:0:0:1::/80", "2001:db8:0:0:2::/80"],
                )
            )
        ),
        {},
        [
            too_many_of("eth0.secondary_private_ip_count", "t3.micro", TWO4, 3, prefixes=True),
            too_many_of("eth0.ipv6_address_count", "t3.micro", TWO6, 3, prefixes=True),
        ],
    ),
    Situation(
        "prefixes alone",
        spec(**dual(eth0=at(0, ipv4_prefixes=["10.3.0.16/28", "10.3.0.32/28"]))),
        {},
        [too_many_of("eth0.ipv4_prefixes", "t3.micro", TWO4, 3, prefixes=True)],
    ),
    Situation(
        "a type without IPv6",
        spec("m1.small", **dual(eth0=at(0, ipv6_address_count=1))),
        {},
        [too_many_of("eth0.ipv6_address_count", "m1.small", "no IPv6 addresses", 1)],
    ),
    Situation(
        "a type without prefixes",
        spec("t2.micro", **dual(eth0=at(0, ipv4_prefix_count=1), eth1=at(1, ipv6_prefix_count=1))),
        {},
        [
            f"{NETWORK}.{where}: t2.micro does not support prefixes | EC2 assigns prefixes on Nitro instance "
            "types only"
            for where in ("eth0.ipv4_prefix_count", "eth1.ipv6_prefix_count")
        ],
    ),
    Situation(
        "prefixes by list on a type without",
        spec(
            "t2.micro",
            **dual(
                eth0=at(0, ipv4_prefixes=["10.3.0.16/28"]), eth1=at(1, ipv6_prefixes=["2001:db8:0:0:1::/80"])
            ),
        ),
        {},
        [
            f"{NETWORK}.{where}: t2.micro does not support prefixes | EC2 assigns prefixes on Nitro instance "
            "types only"
            for where in ("eth0.ipv4_prefixes", "eth1.ipv6_prefixes")
        ],
    ),
    *(
        Situation(
            f"{key}, brought along to a type without prefixes",
            spec("t2.micro", **dual(eth0=at(0), eth1=at(1))),
            {
                "instances": {"web": {"instance_type": "t2.micro"}},
                NETWORK: {
                    "eth0": {"at": "web 0", "subnet": "subnet-dual"},
                    "eth1": {"subnet": "subnet-dual", key: [prefix]},
                },
            },
            [
                f"{NETWORK}.eth1: t2.micro does not support prefixes | EC2 assigns prefixes on Nitro instance "
                "types "
                "only"
            ],
        )
        for key, prefix in (("ipv4_prefixes", "10.3.0.16/28"), ("ipv6_prefixes", "2001:db8:0:0:1::/80"))
    ),
    Situation(
        "what it has of IPv6 counts",
        spec(**dual(eth0=at(0, ipv6_prefix_count=2))),
        {
            "instances": {"web": {}},
            NETWORK: {
                "eth0": {
                    "at": "web 0", "subnet": "subnet-dual",
                    "ipv6_addresses": ["2001:db8::10"], "ipv6_prefixes": ["2001:db8:0:0:1::/80"],
                }
            },
        },
        [too_many_of("eth0.ipv6_prefix_count", "t3.micro", TWO6, 3, prefixes=True)],
    ),
    Situation(
        "an IPv6 address goes and another one comes",
        spec(**dual(eth0=at(0, ipv6_addresses=["2001:db8::10", "2001:db8::12"]))),
        {
            "instances": {"web": {}},
            NETWORK: {
                "eth0": {
                    "at": "web 0", "subnet": "subnet-dual", "ipv6_addresses": ["2001:db8::10", "2001:db8::11"],
                }
            },
        },
    ),
    Situation(
        "prefixes take sixteen addresses of a subnet each",
        spec(**dual(eth0=at(0, ipv4_prefix_count=1))),
        {"free": {"subnet-dual": 16}},
        [
            f"{NETWORK}.eth0.subnet: subnet-dual has 16 free addresses, the plan needs 17 | {OTHER_SUBNET}",
        ],
    ),
    Situation(
        "what prefixes give back comes in time on a full interface",
        spec(**dual(eth0=at(0, ipv4_prefixes=["10.3.0.32/28"]))),
        {
            "instances": {"web": {}},
            NETWORK: {"eth0": {"at": "web 0", "subnet": "subnet-dual", "ipv4_prefixes": ["10.3.0.16/28"]}},
            "free": {"subnet-dual": 0},
        },
    ),
    Situation(
        "IPv6 takes nothing of a subnet",
        spec(**dual(eth0=at(0, ipv6_prefix_count=2))),
        {"free": {"subnet-dual": 1}},
    ),
    Situation(
        "an efa-only interface takes no address",
        spec("c6in.32xlarge", eth0=at(0), rdma=at(1, card=1, interface_type="efa-only")),
        {"free": {"subnet-a": 1}},
    ),
]  # fmt: skip
SUBNETS = [
    Situation("just enough is free", spec(eth0=at(0), eth1=at(1)), {"free": {"subnet-a": 2}}),
    Situation(
        "one too few is free",
        spec(eth0=at(0), eth1=at(1)),
        {"free": {"subnet-a": 1}},
        [no_room("eth0", 1, 2)],
    ),
    Situation(
        "lists and counts are counted",
        spec(
            "c6in.32xlarge", a=at(0, secondary_private_ips=["172.31.0.50"]), b=at(1, secondary_private_ip_count=3)
        ),
        {"free": {"subnet-a": 5}},
        [no_room("a", 5, 6)],
    ),
    Situation(
        "each subnet has its own",
        spec(eth0=at(0), spare={"subnet": {"default_for_az": "us-east-1b"}}),
        {"free": {"subnet-a": 1, "subnet-b": 1}},
    ),
    Situation(
        "of one subnet nothing is known, and another one is full",
        spec(eth0=at(0), spare={"subnet": {"default_for_az": "us-east-1b"}}),
        {"free": {"subnet-b": 0}},
        [f"{NETWORK}.spare.subnet: subnet-b has 0 free addresses, the plan needs 1 | {OTHER_SUBNET}"],
    ),
    Situation(
        "an address that floats is not a free one",
        spec(a={"secondary_private_ips": []}, b={"secondary_private_ips": ["172.31.0.50"]}, eth0=at(0)),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0"}, "a": {"secondary": ["172.31.0.50"]}, "b": {}},
            "free": {"subnet-a": 0},
        },
    ),
    Situation(
        "one that floats makes no room for another one that comes with it",
        spec(
            eth0=at(0), a={"secondary_private_ips": []},
            b={"secondary_private_ips": ["172.31.0.50", "172.31.0.60"]},
        ),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0"}, "a": {"secondary": ["172.31.0.50"]}, "b": {}},
            "free": {"subnet-a": 0},
        },
        [no_room("b", 0, 1)],
    ),
    Situation(
        "what is given back in another subnet makes no room in this one",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0, subnet={"tags": {"Name": "dual"}}, secondary_private_ips=[]),
            eth1=at(1, subnet={"tags": {"Name": "generous"}}, secondary_private_ip_count=1),
        ),
        {
            "instances": {"web": {"instance_type": "t2.micro"}},
            "network_interfaces": {
                "eth0": {"at": "web 0", "subnet": "subnet-dual", "secondary": ["10.3.0.50"]},
                "eth1": {"at": "web 1", "subnet": "subnet-generous"},
            },
            "free": {"subnet-generous": 0},
        },
        [f"{NETWORK}.eth1.subnet: subnet-generous has 0 free addresses, the plan needs 1 | {OTHER_SUBNET}"],
    ),
    *(
        Situation(
            f"what goes makes room for {words}",
            spec(eth0=at(0), new={"private_ip": "172.31.0.40", "secondary_private_ips": ips}),
            {
                **LIVE_WEB,
                "network_interfaces": {
                    "eth0": {"at": "web 0"},
                    "old": {
                        "private_ip": "172.31.0.40", "secondary": ["172.31.0.41"],
                        "ipv4_prefixes": ["172.31.1.0/28"],
                    },
                },
                "free": {"subnet-a": 0},
            },
            refused,
            prune=True,
        )
        for words, ips, refused in (
            ("what comes in its place", [f"172.31.2.{number}" for number in range(17)], []),
            ("one less", [f"172.31.2.{number}" for number in range(18)], [no_room("new", 0, 1)]),
        )
    ),
    Situation(
        "what is given back may come too late",
        spec(eth0=at(0), a={"secondary_private_ips": []}, b={"secondary_private_ip_count": 1}),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0"}, "a": {"secondary": ["172.31.0.50"]}, "b": {}},
            "free": {"subnet-a": 0},
        },
        [no_room("b", 0, 1)],
    ),
    Situation(
        "what a full interface gives back comes in time",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
            "free": {"subnet-a": 0},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("situation", [*ADDRESSES, *FURTHER, *SUBNETS], ids=lambda situation: situation.name)
def test_refused_before_anything_changes(situation: Situation) -> None:
    assert refused_in(situation) == list(situation.refused)


# ---- failover of interfaces that exist


def test_addresses_that_do_not_fit_a_candidate_are_a_warning() -> None:
    """It moves from a large instance to another one, and a small one could not take its addresses."""
    large: Words = {"image": "ami-12345678", "instance_type": "t3.medium"}
    small: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}
    rows = {"a0": at(0), "b0": at(0, "b"), "c0": at(0, "c"), "vip": over("b", "c", "web")}
    words = spec("t3.medium", {"b": large, "c": small}, **rows)
    live: Words = {
        "instances": {"web": {"instance_type": "t3.medium"}, "b": {"instance_type": "t3.medium"}, "c": {}},
        "network_interfaces": {
            "a0": {"at": "web 0"}, "b0": {"at": "b 0"}, "c0": {"at": "c 0"},
            "vip": {"secondary": ["172.31.0.50", "172.31.0.51"]},
        },
    }  # fmt: skip
    assert warnings_of(plan_of(words, live, known=KNOWN)) == (
        f"{NETWORK}.vip cannot fail over to c: t3.micro supports 2 IPv4 addresses per interface, this one would "
        f"have 3 on c",
    )


# ---- order


@pytest.mark.parametrize(("known", "needs"), [(KNOWN, ["s1"]), (Limits(), [])], ids=["full", "not known"])
def test_a_full_interface_gives_back_before_it_takes(known: Limits, needs: list[str]) -> None:
    """Otherwise the new address comes as early as it can."""
    plan = plan_of(REPLACED, REPLACED_LIVE, known=known)
    [adding] = [step for step in plan.steps if step.call == "AssignPrivateIpAddresses"]
    assert sorted(adding.needs) == needs


def test_where_both_addresses_fit_no_step_waits() -> None:
    """For a moment the interface has all three that the type takes."""
    three = LiveInstanceType("t3.micro", (2,), 2, 3, 2)
    plan = plan_of(REPLACED, REPLACED_LIVE, known=Limits(types={three.name: three}))
    assert [step.needs for step in plan.steps] == [frozenset(), frozenset()]


def test_a_full_interface_keeps_no_other_one_waiting() -> None:
    """The one beside it has room."""
    words = spec(
        eth0=at(0, secondary_private_ips=["172.31.0.51"]), eth1=at(1, secondary_private_ips=["172.31.0.61"])
    )
    live = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}, "eth1": {"at": "web 1"}},
    }
    told = {(step.call, step.address[-4:]): step for step in plan_of(words, live, known=KNOWN).steps}
    goes, comes = told["UnassignPrivateIpAddresses", "eth0"], told["AssignPrivateIpAddresses", "eth0"]
    beside = told["AssignPrivateIpAddresses", "eth1"]
    assert [[*step.needs] for step in (comes, goes, beside)] == [[goes.id], [], []]


def test_addresses_go_before_the_type_changes_and_come_after_it() -> None:
    """A smaller type may be too small for what goes, the former one for what comes. Others care for neither."""
    restart = {"image": "ami-12345678", "instance_type": "t3.medium", "on_change": "restart"}
    words = spec(
        eth0=at(0, secondary_private_ips=["172.31.0.51"]),
        eth1=at(1, secondary_private_ips=[]),
        spare={"secondary_private_ips": ["172.31.0.61"]},
    )
    words = {**words, "instances": {"web": restart}}
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {
            "eth0": {"at": "web 0"},
            "eth1": {"at": "web 1", "secondary": ["172.31.0.50"]},
            "spare": {"secondary": ["172.31.0.60"]},
        },
    }
    plan = plan_of(words, live, known=KNOWN)
    told = {(step.call, step.address.partition(".")[2]): step for step in plan.steps}
    stop, resize, start = (
        told["StopInstances", "web"],
        told["ModifyInstanceAttribute", "web"],
        told["StartInstances", "web"],
    )
    goes, comes = told["UnassignPrivateIpAddresses", "eth1"], told["AssignPrivateIpAddresses", "eth0"]
    assert [*map(sorted, (resize.needs, comes.needs, goes.needs))] == [sorted([stop.id, goes.id]), [resize.id], []]
    assert start.needs == {stop.id}
    assert start.ends_first >= {comes.id, resize.id}
    assert [step.needs for step in plan.steps if step.address.endswith(".spare")] == [frozenset()] * 2


def test_an_elastic_ip_that_has_to_move_first_is_refused() -> None:
    """It moves to the new address before the old one is taken off, for which the interface has no room."""
    words = {
        **spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
        "elastic_ips": {"vip": {"association": {"network_interface": "eth0", "private_ip": "172.31.0.51"}}},
    }
    live = {**REPLACED_LIVE, "elastic_ips": {"vip": {"at": "eth0", "private_ip": "172.31.0.50"}}}
    assert refusals(words, live) == [crowded("eth0")]


# ---- addresses that EC2 chooses

LISTS: Words = {"a": {"secondary_private_ips": ["172.31.0.50", "172.31.0.51"]}}
CHANCES = [
    ("a small subnet", LISTS, {}, 200, 2),
    ("a large subnet", LISTS, {}, 201, 0),
    ("a subnet of unknown size", LISTS, {}, None, 0),
    ("the primary one is named, too", {"a": {**LISTS["a"], "private_ip": "172.31.0.40"}}, {}, 11, 0),
    ("the interface is there", LISTS, {"a": {}}, 11, 0),
    ("EC2 chooses them all", {"a": {"secondary_private_ip_count": 2}}, {}, 11, 0),
    (
        "others name some, too: here, elsewhere, and one that has all it wants",
        {
            **LISTS,
            "b": {"secondary_private_ips": ["172.31.0.60", "172.31.0.61"]},
            "c": {"secondary_private_ips": ["172.31.0.62"], "private_ip": "172.31.0.70"},
            "d": {"secondary_private_ips": ["172.31.16.50"], "subnet": {"default_for_az": "us-east-1b"}},
        },
        {"b": {"secondary": ["172.31.0.60"]}},
        300,
        3,
    ),
]


@pytest.mark.parametrize(
    ("interfaces", "live", "free", "named"), [row[1:] for row in CHANCES], ids=[row[0] for row in CHANCES]
)
def test_an_address_that_ec2_may_well_take_from_the_spec(
    interfaces: Words, live: Words, free: int | None, named: int
) -> None:
    """A chance of one in a hundred is worth a word; one of less is not."""
    rows = {name: {"subnet": ZONE_A, **row} for name, row in interfaces.items()}
    plan = plan_of({NETWORK: rows}, {NETWORK: live, "free": {"subnet-a": free}})
    words = (
        f"{NETWORK}.a: EC2 chooses its primary address from the {free} free addresses of the subnet, and may "
        f"choose one of the {named} that the spec lists as secondary_private_ips; write private_ip, too"
    )
    assert plan.warnings == ((words,) if named else ())
