"""What EC2 would refuse half way: told before anything changes, with numbers and places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.live.records import Limits, LiveInstanceType, Questions
from enireconcile.model import Plan
from enireconcile.planning import limits
from enireconcile.planning.draft import draft
from tests.planning.worlds import Words, live_of, plan_of, spec_of

TYPES = {
    each.name: each
    for each in (
        LiveInstanceType("t2.micro", (2,), 2, 2, 2, prefixes=False),
        LiveInstanceType("t3.micro", (2,), 2, 2, 2),
        LiveInstanceType("t3.medium", (3,), 3, 6, 6),
        LiveInstanceType("m1.small", (2,), 2, 4, 0, prefixes=False),
        LiveInstanceType("c6in.32xlarge", (2, 3), 5, 50, 50, adapters=2),
        LiveInstanceType("m9.large", (3, 3), 6, 50, 50, adapters=1),
        LiveInstanceType("p9.large", (3, 3, 3), 9, 50, 50, adapters=2),
    )
}
KNOWN = Limits(types=TYPES, read=frozenset({"DescribeInstanceTypes"}))
ZONE_A: Words = {"default_for_az": "us-east-1a"}


def spec(kind: str = "t3.micro", others: Words | None = None, **interfaces: Words) -> Words:
    """A spec with the instance ``web`` and its interfaces, told by what they have beyond their subnet."""
    rows = {name: {"subnet": ZONE_A, **row} for name, row in interfaces.items()}
    web = {"image": "ami-12345678", "instance_type": kind}
    return {"instances": {"web": web, **(others or {})}, "network_interfaces": rows}


def at(index: int, instance: str = "web", card: int = 0, **more: Any) -> Words:
    """An interface with that place, and with whatever else."""
    place = {"instance": instance, "device_index": index} | ({"network_card_index": card} if card else {})
    return {"attachment": place, **more}


def over(*instances: str, index: int = 1, **more: Any) -> Words:
    """An interface that fails over, whatever the health of its holders."""
    failover = {"health": "none"}
    return {"attachment": {"instances": list(instances), "device_index": index, "failover": failover}, **more}


def refusals(words: Words, live: Words | None = None, known: Limits = KNOWN, *, prune: bool = False) -> list[str]:
    """What is refused, as ``path: message | hint``; nothing if there is a plan."""
    try:
        plan_of(words, live, known=known, prune=prune)
    except SpecErrors as errors:
        return [f"{problem.path}: {problem.message} | {problem.hint}" for problem in errors.problems]
    return []


def calls(plan: Plan) -> list[str]:
    """Calls with the ids of what they need: ``s2 AttachNetworkInterface s1``."""
    return [" ".join([step.id, step.call, *sorted(step.needs)]) for step in plan.steps]


FEWER = "attach fewer, or choose a type that takes more"
SAME_ZONE = "an instance and all its interfaces stand in one Availability Zone"
OTHER_SUBNET = "choose another subnet, or make room in this one"


def too_many(where: str, count: int, instance: str = "web") -> str:
    """Addresses on an interface of a t3.micro."""
    return (
        f"{NETWORK}.{where}: t3.micro takes 2 IPv4 addresses on an interface, this one is to have {count} on "
        f"{instance} | name fewer, or choose a type that takes more"
    )


def crowded(name: str) -> str:
    """Addresses on an interface of a t3.micro, while they change."""
    return (
        f"{NETWORK}.{name}.secondary_private_ips: t3.micro takes 2 IPv4 addresses on an interface, this one would "
        "have 3 on the way | take off what goes with one apply, and add what comes with the next"
    )


def no_room(name: str, free: int, taken: int) -> str:
    """In subnet-a."""
    words = f"{free} free address{'es' if free != 1 else ''}"
    return f"{NETWORK}.{name}.subnet: subnet-a has {words}, the plan takes {taken} | {OTHER_SUBNET}"


NETWORK = "network_interfaces"
LIVE_WEB: Words = {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}}


@dataclass(frozen=True)
class Case:
    """A situation, the spec, the live state, and all that is refused."""

    situation: str
    spec: Words
    live: Words
    refused: Sequence[str] = field(default=())
    prune: bool = False


SEATS = [
    Case("as many as the type takes, at launch", spec(eth0=at(0), eth1=at(1)), {}),
    Case(
        "one more than the type takes, at launch",
        spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2)),
        {},
        [f"{NETWORK}.eth2.attachment: t2.micro takes 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Case(
        "one more than the type takes, at launch, of interfaces that exist",
        spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2)),
        {"network_interfaces": {"eth0": {}, "eth1": {}, "eth2": {}}},
        [f"{NETWORK}.eth2.attachment: t2.micro takes 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Case(
        "one more to an instance that lives, beside a stranger's",
        spec(eth0=at(0), eth2=at(2)),
        {
            "instances": {"web": {"strangers": {1: "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.eth2.attachment: t3.micro takes 2 interfaces, the spec attaches 2 to web beside 1 of "
            f"others (eni-stranger) | {FEWER}"
        ],
    ),
    Case(
        "the stranger is in our slot, and gives way",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"strangers": {1: "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Case(
        "the stranger is leaving",
        spec(eth0=at(0), eth2=at(2)),
        {
            "instances": {"web": {"strangers": {1: "eni-stranger detaching"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Case(
        "one of ours leaves as another comes",
        spec(eth0=at(0), eth1={}, eth2=at(2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}},
        },
    ),
    Case(
        "the instance shows an interface that its own record does not show as attached yet",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"strangers": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
    ),
    Case(
        "the instance shows such an interface in another slot than the spec's",
        spec(eth0=at(0), eth1=at(2)),
        {
            "instances": {"web": {"strangers": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
    ),
    Case(
        "one more than the type takes, beside such an interface",
        spec(eth0=at(0), eth1=at(1), eth2=at(2)),
        {
            "instances": {"web": {"strangers": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        [f"{NETWORK}.eth2.attachment: t3.micro takes 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Case(
        "nothing is put on a full instance that has more than it takes",
        spec(eth0=at(0, description="new"), eth1=at(1), eth2=at(2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}, "eth2": {"at": "web 2"}},
        },
    ),
    Case(
        "an external instance that is full",
        spec(others={"fw": {"external": "i-0123456789abcdef0"}}, eth0=at(0), eth1=at(1, "fw"), eth2=at(2, "fw")),
        {**LIVE_WEB, "externals": {"fw": {"strangers": {0: "eni-primary"}}}},
        [
            f"{NETWORK}.eth2.attachment: t3.micro takes 2 interfaces, the spec attaches 2 to fw beside 1 of "
            f"others (eni-primary) | {FEWER}"
        ],
    ),
    Case(
        "a card that the type does not have",
        spec(eth0=at(0), eth1=at(1, card=1)),
        {},
        [f"{NETWORK}.eth1.attachment.network_card_index: t3.micro has 1 network card | its index is 0"],
    ),
    Case(
        "a card beyond several",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(1, card=1), eth2=at(2, card=2)),
        {},
        [
            f"{NETWORK}.eth2.attachment.network_card_index: c6in.32xlarge has 2 network cards | their "
            "indexes are 0 to 1"
        ],
    ),
    Case(
        "who is on a card that is none does not count beside",
        spec(eth0=at(0), eth1=at(1, card=1), eth2=at(2)),
        {},
        [f"{NETWORK}.eth1.attachment.network_card_index: t3.micro has 1 network card | its index is 0"],
    ),
    Case(
        "a smaller type, and two strangers who stay",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0),
        ),
        {
            "instances": {
                "web": {"instance_type": "t3.medium", "strangers": {1: "eni-stranger", 2: "eni-stronger"}}
            },
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            "instances.web: t3.micro takes 2 interfaces, the spec attaches 1 to web beside 2 of others "
            f"(eni-stranger, eni-stronger) | {FEWER}"
        ],
    ),
    Case(
        "as many as each card takes",
        spec("c6in.32xlarge", a=at(0), b=at(1), c=at(1, card=1), d=at(2, card=1), e=at(3, card=1)),
        {},
    ),
    Case(
        "one more than a card takes",
        spec("c6in.32xlarge", a=at(0), b=at(1), c=at(2), d=at(2, card=1)),
        {},
        [
            f"{NETWORK}.c.attachment: card 0 of c6in.32xlarge takes 2 interfaces, the spec attaches 3 to web | "
            + FEWER
        ],
    ),
    Case(
        "a stranger on the second card counts there",
        spec("c6in.32xlarge", eth0=at(0), a=at(1, card=1), b=at(2, card=1), c=at(3, card=1)),
        {
            "instances": {"web": {"instance_type": "c6in.32xlarge", "strangers": {"4 card 1": "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.c.attachment: card 1 of c6in.32xlarge takes 3 interfaces, the spec attaches 3 to web "
            f"beside 1 of others (eni-stranger) | {FEWER}"
        ],
    ),
    Case(
        "the zone of an instance that lives",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"zone": "us-east-1b"}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        [f"{NETWORK}.eth1.subnet: its zone is us-east-1a, but web stands in us-east-1b | {SAME_ZONE}"],
    ),
    Case(
        "the zone of an instance for an interface that is still to be made",
        spec(eth0=at(0), eth1=at(1)),
        {**LIVE_WEB, "instances": {"web": {"zone": "us-east-1b"}}},
        [f"{NETWORK}.eth1.subnet: its zone is us-east-1a, but web stands in us-east-1b | {SAME_ZONE}"],
    ),
    Case(
        "the zone is the same",
        spec(eth0=at(0), eth1=at(1)),
        {**LIVE_WEB, "instances": {"web": {"zone": "us-east-1a"}}},
    ),
]
PAIR: Words = {"b": {"image": "ami-12345678", "instance_type": "t3.micro"}}
FAILOVERS = [
    Case(
        "a floating interface has room on both",
        spec(others=PAIR, eth0=at(0), b0=at(0, "b"), vip=over("web", "b")),
        {},
    ),
    Case(
        "a new floating interface would not have room on the second",
        spec(others=PAIR, eth0=at(0), b0=at(0, "b"), b2=at(2, "b"), vip=over("web", "b")),
        {},
        [
            f"{NETWORK}.vip.attachment.instances: t3.micro takes 2 interfaces, the spec attaches 3 to b, failover "
            f"included | {FEWER}"
        ],
    ),
    Case(
        "nor the card",
        spec(
            others={"b": {"image": "ami-12345678", "instance_type": "c6in.32xlarge"}},
            eth0=at(0), b0=at(0, "b"), b1=at(1, "b"), vip=over("web", "b", index=2),
        ),
        {},
        [
            f"{NETWORK}.vip.attachment.instances: card 0 of c6in.32xlarge takes 2 interfaces, the spec attaches "
            f"3 to b, failover included | {FEWER}"
        ],
    ),
]  # fmt: skip
ADDRESSES = [
    Case("as many as the type takes", spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])), {}),
    Case(
        "one more, by list",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        {},
        [too_many("eth0.secondary_private_ips", 3)],
    ),
    Case(
        "one more, by list, with the primary one named",
        spec(eth0=at(0, private_ip="172.31.0.49", secondary_private_ips=["172.31.0.50", "172.31.0.51"])),
        {},
        [too_many("eth0.secondary_private_ips", 3)],
    ),
    Case(
        "one more, by count",
        spec(eth0=at(0, secondary_private_ip_count=2)),
        {},
        [too_many("eth0.secondary_private_ip_count", 3)],
    ),
    Case(
        "one more on an interface that is attached",
        spec(eth0=at(0, secondary_private_ip_count=2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
        },
        [too_many("eth0.secondary_private_ip_count", 3)],
    ),
    Case(
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
    Case(
        "of an interface that nobody touches nothing is said",
        spec(eth0=at(0), eth1=at(1)),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50", "172.31.0.51"]}},
        },
    ),
    Case(
        "a new floating interface would have too many on the second",
        spec("t3.medium", PAIR, eth0=at(0), b0=at(0, "b"), vip=over("web", "b", secondary_private_ip_count=2)),
        {},
        [too_many("vip.secondary_private_ip_count", 3, "b")],
    ),
    Case(
        "an interface that is attached to nothing may have what it wants",
        spec(eth0=at(0), spare={"secondary_private_ip_count": 9}),
        {},
    ),
    Case(
        "one goes and one comes",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
        },
    ),
    Case(
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
    Case(
        "one goes of too many, and the others are not",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50", "172.31.0.51"]}},
        },
    ),
    Case(
        "on a type without IPv6 one comes of IPv4",
        spec("m1.small", eth0=at(0, secondary_private_ips=["172.31.0.50"])),
        {
            "instances": {"web": {"instance_type": "m1.small"}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Case(
        "one floats away to another interface, which is full with it",
        spec(
            eth0=at(0, secondary_private_ips=[]), eth1=at(1, secondary_private_ips=["172.31.0.50"])
        ),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}, "eth1": {"at": "web 1"}},
        },
    ),
    Case(
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
    Case(
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


def dual(**rows: Words) -> Words:
    """The interfaces stand in the subnet with both families."""
    return {name: {**row, "subnet": {"tags": {"Name": "dual"}}} for name, row in rows.items()}


def too_many_of(where: str, kind: str, most: str, count: int, prefixes: bool = False) -> str:
    slots = ", each prefix counted as one" if prefixes else ""
    return (
        f"{NETWORK}.{where}: {kind} takes {most}, this one is to have {count} on web{slots} | name fewer, or "
        "choose a type that takes more"
    )


TWO4, TWO6 = "2 IPv4 addresses on an interface", "2 IPv6 addresses on an interface"
FURTHER = [
    Case(
        "as many of each as the type takes",
        spec(**dual(eth0=at(0, ipv6_address_count=2, ipv4_prefix_count=1))),
        {},
    ),
    Case(
        "IPv6 addresses by number",
        spec(**dual(eth0=at(0, ipv6_address_count=3))),
        {},
        [too_many_of("eth0.ipv6_address_count", "t3.micro", TWO6, 3)],
    ),
    Case(
        "IPv6 addresses by list",
        spec(**dual(eth0=at(0, ipv6_addresses=["2001:db8::10", "2001:db8::11", "2001:db8::12"]))),
        {},
        [too_many_of("eth0.ipv6_addresses", "t3.micro", TWO6, 3)],
    ),
    Case(
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
    Case(
        "prefixes alone",
        spec(**dual(eth0=at(0, ipv4_prefixes=["10.3.0.16/28", "10.3.0.32/28"]))),
        {},
        [too_many_of("eth0.ipv4_prefixes", "t3.micro", TWO4, 3, prefixes=True)],
    ),
    Case(
        "a type without IPv6",
        spec("m1.small", **dual(eth0=at(0, ipv6_address_count=1))),
        {},
        [too_many_of("eth0.ipv6_address_count", "m1.small", "no IPv6 addresses", 1)],
    ),
    Case(
        "a type without prefixes",
        spec("t2.micro", **dual(eth0=at(0, ipv4_prefix_count=1), eth1=at(1, ipv6_prefix_count=1))),
        {},
        [
            f"{NETWORK}.{where}: t2.micro takes no prefixes | EC2 has them on types of the Nitro system only"
            for where in ("eth0.ipv4_prefix_count", "eth1.ipv6_prefix_count")
        ],
    ),
    Case(
        "prefixes by list on a type without",
        spec(
            "t2.micro",
            **dual(
                eth0=at(0, ipv4_prefixes=["10.3.0.16/28"]), eth1=at(1, ipv6_prefixes=["2001:db8:0:0:1::/80"])
            ),
        ),
        {},
        [
            f"{NETWORK}.{where}: t2.micro takes no prefixes | EC2 has them on types of the Nitro system only"
            for where in ("eth0.ipv4_prefixes", "eth1.ipv6_prefixes")
        ],
    ),
    *(
        Case(
            f"{key}, brought along to a type without prefixes",
            spec("t2.micro", **dual(eth0=at(0), eth1=at(1))),
            {
                "instances": {"web": {"instance_type": "t2.micro"}},
                NETWORK: {
                    "eth0": {"at": "web 0", "subnet": "subnet-dual"},
                    "eth1": {"subnet": "subnet-dual", key: [prefix]},
                },
            },
            [f"{NETWORK}.eth1: t2.micro takes no prefixes | EC2 has them on types of the Nitro system only"],
        )
        for key, prefix in (("ipv4_prefixes", "10.3.0.16/28"), ("ipv6_prefixes", "2001:db8:0:0:1::/80"))
    ),
    Case(
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
    Case(
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
    Case(
        "prefixes take sixteen addresses of a subnet each",
        spec(**dual(eth0=at(0, ipv4_prefix_count=1))),
        {"free": {"subnet-dual": 16}},
        [
            f"{NETWORK}.eth0.subnet: subnet-dual has 16 free addresses, the plan takes 17 | {OTHER_SUBNET}",
        ],
    ),
    Case(
        "what prefixes give back comes in time on a full interface",
        spec(**dual(eth0=at(0, ipv4_prefixes=["10.3.0.32/28"]))),
        {
            "instances": {"web": {}},
            NETWORK: {"eth0": {"at": "web 0", "subnet": "subnet-dual", "ipv4_prefixes": ["10.3.0.16/28"]}},
            "free": {"subnet-dual": 0},
        },
    ),
    Case(
        "IPv6 takes nothing of a subnet",
        spec(**dual(eth0=at(0, ipv6_prefix_count=2))),
        {"free": {"subnet-dual": 1}},
    ),
    Case(
        "an efa-only interface takes no address",
        spec("c6in.32xlarge", eth0=at(0), rdma=at(1, card=1, interface_type="efa-only")),
        {"free": {"subnet-a": 1}},
    ),
    Case(
        "an adapter on a type that has none",
        spec(eth0=at(0), eth1=at(1, interface_type="efa")),
        {},
        [
            f"{NETWORK}.eth1.interface_type: t3.micro takes no Elastic Fabric Adapters | choose a type that does",
        ],
    ),
    Case(
        "an adapter that exists, on a type that has none",
        spec(eth0=at(0), eth1=at(1, interface_type="efa")),
        {
            "instances": {"web": {"state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0"}, "eth1": {"interface_type": "efa"}},
        },
        [f"{NETWORK}.eth1.interface_type: t3.micro takes no Elastic Fabric Adapters | choose a type that does"],
    ),
    Case(
        "an adapter on each card",
        spec("c6in.32xlarge", eth0=at(0, interface_type="efa"), eth1=at(1, card=1, interface_type="efa-only")),
        {},
    ),
    Case(
        "a stranger's adapter on the card",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(2, interface_type="efa-only", card=1)),
        {
            "instances": {
                "web": {
                    "instance_type": "c6in.32xlarge", "state": "stopped",
                    "strangers": {"1 card 1": "eni-stranger attached efa"},
                }
            },
            NETWORK: {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.eth1.attachment.network_card_index: card 1 of web has an Elastic Fabric Adapter already: "
            "eni-stranger | EC2 takes one on each card; choose another card",
        ],
    ),
    Case(
        "the only adapter of a type, which its own record does not show as attached yet",
        spec("m9.large", eth0=at(0), eth1=at(2, card=1, interface_type="efa")),
        {
            "instances": {
                "web": {
                    "instance_type": "m9.large", "state": "stopped",
                    "strangers": {"1 card 1": "eni-eth1 attached efa"},
                }
            },
            NETWORK: {"eth0": {"at": "web 0"}, "eth1": {"interface_type": "efa"}},
        },
    ),
    Case(
        "a plain interface beside more adapters than the type takes",
        spec("m9.large", eth0=at(0, interface_type="efa"), eth1=at(1)),
        {
            "instances": {"web": {"instance_type": "m9.large", "strangers": {"2": "eni-stranger attached efa"}}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
    ),
    Case(
        "another type, that does not take the adapter which is there",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0, interface_type="efa"),
        ),
        {
            "instances": {"web": {"instance_type": "m9.large", "state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
        [f"{NETWORK}.eth0.interface_type: t3.micro takes no Elastic Fabric Adapters | choose a type that does"],
    ),
    Case(
        "one adapter more than the type takes, beside our own",
        spec("m9.large", eth0=at(0, interface_type="efa"), eth1=at(1, card=1, interface_type="efa")),
        {
            "instances": {"web": {"instance_type": "m9.large", "state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
        [
            f"{NETWORK}.eth1.interface_type: m9.large takes 1 Elastic Fabric Adapter, the spec attaches 2 to web "
            f"| {FEWER}"
        ],
    ),
    Case(
        "fewer adapters than cards",
        spec(
            "p9.large",
            eth0=at(0, interface_type="efa"),
            eth1=at(1, card=1, interface_type="efa"),
            eth2=at(1, card=2, interface_type="efa"),
        ),
        {},
        [
            f"{NETWORK}.{name}.interface_type: p9.large takes 2 Elastic Fabric Adapters, the spec attaches 3 to "
            f"web | {FEWER}"
            for name in ("eth0", "eth1", "eth2")
        ],
    ),
]  # fmt: skip
TYPE_NAMES = [
    Case(
        "a type that is none",
        spec("t3.mirco", eth0=at(0)),
        {},
        [
            "instances.web.instance_type: there is no instance type t3.mirco in this region | did you mean "
            "`t3.micro`?"
        ],
    ),
    Case(
        "a type like none",
        spec("zz9.gigantic", eth0=at(0)),
        {},
        [
            "instances.web.instance_type: there is no instance type zz9.gigantic in this region | see `aws ec2 "
            "describe-instance-types`"
        ],
    ),
    Case(
        "the type of an external instance is what it is",
        spec(others={"fw": {"external": "i-0123456789abcdef0"}}, eth0=at(0), eth1=at(1, "fw")),
        {**LIVE_WEB, "externals": {"fw": {"instance_type": "x99.new", "strangers": {0: "eni-primary"}}}},
    ),
]
SUBNETS = [
    Case("just enough is free", spec(eth0=at(0), eth1=at(1)), {"free": {"subnet-a": 2}}),
    Case(
        "one too few is free",
        spec(eth0=at(0), eth1=at(1)),
        {"free": {"subnet-a": 1}},
        [no_room("eth0", 1, 2)],
    ),
    Case(
        "lists and counts are counted",
        spec(
            "c6in.32xlarge", a=at(0, secondary_private_ips=["172.31.0.50"]), b=at(1, secondary_private_ip_count=3)
        ),
        {"free": {"subnet-a": 5}},
        [no_room("a", 5, 6)],
    ),
    Case(
        "each subnet has its own",
        spec(eth0=at(0), spare={"subnet": {"default_for_az": "us-east-1b"}}),
        {"free": {"subnet-a": 1, "subnet-b": 1}},
    ),
    Case(
        "of one subnet nothing is known, and another one is full",
        spec(eth0=at(0), spare={"subnet": {"default_for_az": "us-east-1b"}}),
        {"free": {"subnet-b": 0}},
        [f"{NETWORK}.spare.subnet: subnet-b has 0 free addresses, the plan takes 1 | {OTHER_SUBNET}"],
    ),
    Case(
        "an address that floats is not a free one",
        spec(a={"secondary_private_ips": []}, b={"secondary_private_ips": ["172.31.0.50"]}, eth0=at(0)),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0"}, "a": {"secondary": ["172.31.0.50"]}, "b": {}},
            "free": {"subnet-a": 0},
        },
    ),
    Case(
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
    Case(
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
        [f"{NETWORK}.eth1.subnet: subnet-generous has 0 free addresses, the plan takes 1 | {OTHER_SUBNET}"],
    ),
    *(
        Case(
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
    Case(
        "what is given back may come too late",
        spec(eth0=at(0), a={"secondary_private_ips": []}, b={"secondary_private_ip_count": 1}),
        {
            **LIVE_WEB,
            "network_interfaces": {"eth0": {"at": "web 0"}, "a": {"secondary": ["172.31.0.50"]}, "b": {}},
            "free": {"subnet-a": 0},
        },
        [no_room("b", 0, 1)],
    ),
    Case(
        "what a full interface gives back comes in time",
        spec(eth0=at(0, secondary_private_ips=["172.31.0.51"])),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
            "free": {"subnet-a": 0},
        },
    ),
]  # fmt: skip


def alike(known: Limits) -> Limits:
    """As the second question would be answered."""
    return Limits(known.types, {"t3.mirco": ("t3.large", "t3.micro")}, read=known.read)


@pytest.mark.parametrize(
    "case", [*SEATS, *FAILOVERS, *ADDRESSES, *FURTHER, *TYPE_NAMES, *SUBNETS], ids=lambda case: case.situation
)
def test_refused_before_anything_changes(case: Case) -> None:
    assert refusals(case.spec, case.live, alike(KNOWN), prune=case.prune) == list(case.refused)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Three interfaces where two fit, one of them with too many addresses, and a subnet that is full."""
    words = spec("t2.micro", eth0=at(0), eth1=at(1, secondary_private_ip_count=2), eth2=at(2))
    found = refusals(words, {"free": {"subnet-a": 4}})
    assert [line.split(": ")[0] for line in found] == [
        f"{NETWORK}.eth0.subnet",
        f"{NETWORK}.eth1.secondary_private_ip_count",
        f"{NETWORK}.eth2.attachment",
    ]


def test_a_problem_has_its_place() -> None:
    """File, line and column of the attachment that is too much."""
    text = """\
version: 1
stack: lab
region: us-east-1
instances:
  web: {image: ami-12345678, instance_type: t2.micro}
network_interfaces:
  eth0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}
  eth1: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 1}}
  eth2: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 2}}
"""
    with pytest.raises(SpecErrors) as raised:
        plan_of(text, known=KNOWN)
    [problem] = raised.value.problems
    assert (problem.file, problem.line, problem.column) == ("-", 9, 60)
    assert problem.message == "t2.micro takes 2 interfaces, the spec attaches 3 to web"


def test_what_is_not_known_is_not_refused() -> None:
    """Nothing was read, or nothing could be: the plan is made all the same."""
    words = spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2), eth3=at(3))
    assert refusals(words, known=Limits()) == []
    denied = Limits(denied=frozenset({"DescribeInstanceTypes", "DescribeAccountAttributes"}))
    assert plan_of(words, known=denied).warnings == (
        "not checked: how many groups an interface and how many Elastic IPs the account may have; these "
        "credentials may not call DescribeAccountAttributes",
        "not checked: how many interfaces and addresses the instance types take; these credentials may not call "
        "DescribeInstanceTypes",
    )


# ---- failover of what lives already


def test_who_could_not_come_is_warned_of_and_moves_elsewhere() -> None:
    """The second of three candidates is full: an interface that lives fails over to the third all the same."""
    small: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}
    rows = {"a0": at(0, "web"), "b0": at(0, "b"), "b2": at(2, "b"), "c0": at(0, "c")}
    words = spec("t3.micro", {"b": small, "c": small}, **rows, vip=over("web", "c", "b"))
    words["network_interfaces"]["vip"]["attachment"]["failover"] = {"health": "running"}
    live: Words = {
        "instances": {"web": {"state": "stopping"}, "b": {}, "c": {}},
        "network_interfaces": {
            "a0": {"at": "web 0"}, "b0": {"at": "b 0"}, "b2": {"at": "b 2"}, "c0": {"at": "c 0"},
            "vip": {"at": "web 1"},
        },
    }  # fmt: skip
    plan = plan_of(words, live, known=KNOWN)
    assert "AttachNetworkInterface" in [step.call for step in plan.steps]
    assert plan.warnings == (
        f"{NETWORK}.vip cannot fail over to b: t3.micro takes 2 interfaces, the spec attaches 3 to b, failover "
        "included",
    )


def test_the_addresses_of_one_that_lives_are_warned_of_too() -> None:
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
    assert plan_of(words, live, known=KNOWN).warnings == (
        f"{NETWORK}.vip cannot fail over to c: t3.micro takes 2 IPv4 addresses on an interface, this one is to "
        "have 3 on c",
    )


# ---- order


SWAP = spec(eth0=at(0), eth1={}, eth2=at(2))
SWAP_LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}, "eth2": {}},
}


def test_on_a_full_instance_who_leaves_goes_first() -> None:
    """Not in the same slot, but the type takes two."""
    assert calls(plan_of(SWAP, SWAP_LIVE, known=KNOWN)) == [
        "s1 DetachNetworkInterface",
        "s2 AttachNetworkInterface s1",
    ]


def test_where_there_is_room_nobody_waits() -> None:
    """The type takes three."""
    words = {**SWAP, "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.medium"}}}
    live = {**SWAP_LIVE, "instances": {"web": {"instance_type": "t3.medium"}}}
    assert calls(plan_of(words, live, known=KNOWN)) == ["s1 DetachNetworkInterface", "s2 AttachNetworkInterface"]


def test_on_a_full_instance_a_stranger_who_leaves_is_waited_for() -> None:
    """It is detaching already; with room on the instance it would not matter."""
    live: Words = {
        "instances": {"web": {"strangers": {1: "eni-stranger detaching"}}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth2": {}},
    }
    [step] = plan_of(spec(eth0=at(0), eth2=at(2)), live, known=KNOWN).steps
    assert [expect.id for expect in step.when] == ["eni-stranger"]
    assert step.when[0].has == (("Attachment.AttachmentId != 'eni-attach-stranger'", (True,)),)
    [step] = plan_of(spec(eth0=at(0), eth2=at(2)), live).steps
    assert step.when == ()


def test_a_stranger_who_leaves_our_own_slot_is_waited_for_once() -> None:
    """Both the slot and the room say so."""
    live: Words = {
        "instances": {"web": {"strangers": {1: "eni-stranger detaching"}}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
    }
    [step] = plan_of(spec(eth0=at(0), eth1=at(1)), live, known=KNOWN).steps
    assert [expect.id for expect in step.when] == ["eni-stranger"]


REPLACED = spec(eth0=at(0, secondary_private_ips=["172.31.0.51"]))
REPLACED_LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
}


@pytest.mark.parametrize(("known", "needs"), [(KNOWN, ["s1"]), (Limits(), [])], ids=["full", "not known"])
def test_a_full_interface_gives_back_before_it_takes(known: Limits, needs: list[str]) -> None:
    """Otherwise the new address comes as early as it can."""
    plan = plan_of(REPLACED, REPLACED_LIVE, known=known)
    [adding] = [step for step in plan.steps if step.call == "AssignPrivateIpAddresses"]
    assert sorted(adding.needs) == needs


def test_where_one_just_fits_beside_it_nobody_waits() -> None:
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
    assert start.needs >= {comes.id, resize.id}
    assert [step.needs for step in plan.steps if step.address.endswith(".spare")] == [frozenset()] * 2


def test_an_elastic_ip_that_cannot_wait_is_told() -> None:
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
        f"{NETWORK}.a: EC2 chooses its primary address among {free}, and may choose one of the {named} that the "
        "spec names as secondary_private_ips; write a private_ip, too"
    )
    assert plan.warnings == ((words,) if named else ())


# ---- groups and rules


def rule_words(count: int, **more: Any) -> list[Words]:
    """So many rules, each for a port of its own."""
    return [{"protocol": "tcp", "ports": port, "sources": ["10.0.0.0/8"], **more} for port in range(1, count + 1)]


def group(direction: str = "ingress", *rules: Words) -> Words:
    return {"security_groups": {"web": {direction: list(rules)}}}


QUOTA = "EC2 takes 60 unless the account's quota was raised, which cannot be seen"
RULE_WARNINGS = [
    ("as many as usual", group("ingress", *rule_words(60)), {}, []),
    (
        "one more than usual",
        group("ingress", *rule_words(61)),
        {},
        [f"security_groups.web: 61 ingress rules for IPv4; {QUOTA}"],
    ),
    (
        "families are counted apart",
        group("ingress", *rule_words(60), {"protocol": "tcp", "ports": 80, "sources": ["::/0"]}),
        {},
        [],
    ),
    (
        "a rule for a group counts in both",
        group(
            "ingress",
            *rule_words(60),
            *({"protocol": "udp", "ports": port, "sources": ["::/0"]} for port in range(1, 61)),
            {"protocol": "tcp", "ports": 99, "sources": ["self"]},
        ),
        {},
        [f"security_groups.web: 61 ingress rules for {family}; {QUOTA}" for family in ("IPv4", "IPv6")],
    ),
    (
        "egress counts for itself, and with what a group is born with",
        group("egress", *({**rule, "destinations": rule["sources"]} for rule in rule_words(60))),
        {},
        [f"security_groups.web: 61 egress rules for IPv4; {QUOTA}"],
    ),
    (
        "old rules count as long as they are there",
        group("ingress", *rule_words(40)),
        {"security_groups": {"web": {"ingress": [f"udp {port} 10.0.0.0/8" for port in range(1, 22)]}}},
        [f"security_groups.web: 61 ingress rules for IPv4; {QUOTA}"],
    ),
    (
        "old rules of egress count instead of what a group is born with",
        group("egress", *({**rule, "destinations": rule["sources"]} for rule in rule_words(61))),
        {"security_groups": {"web": {"egress": [f"tcp {port} 10.0.0.0/8" for port in range(1, 61)]}}},
        [f"security_groups.web: 61 egress rules for IPv4; {QUOTA}"],
    ),
    (
        "a group that gets no rules is left alone",
        {**group("ingress", *rule_words(61)), "tags": {"a": "b"}},
        {"security_groups": {"web": {"ingress": [f"tcp {port} 10.0.0.0/8" for port in range(1, 62)]}}},
        [],
    ),
]


def _without_sources(words: Words) -> Words:
    """Rules of egress have destinations only."""
    row = words["security_groups"]["web"]
    for rule in row.get("egress", ()):
        rule.pop("sources", None)
    return words


@pytest.mark.parametrize(
    ("words", "live", "warnings"), [row[1:] for row in RULE_WARNINGS], ids=[r[0] for r in RULE_WARNINGS]
)
def test_more_rules_than_usual_are_warned_of(words: Words, live: Words, warnings: list[str]) -> None:
    """The account's quota may be higher, and cannot be seen."""
    assert list(plan_of(_without_sources(words), live).warnings) == warnings


def test_more_rules_than_any_account_takes_are_refused() -> None:
    """A thousand may go, one more never does."""
    assert refusals(group("ingress", *rule_words(1000))) == []
    assert refusals(group("ingress", *rule_words(1001))) == [
        "security_groups.web.ingress: 1001 rules for IPv4; EC2 takes at most 1000 in any account | put some into "
        "another group or a shared prefix list, or ask for a higher quota (L-0EA8095F)"
    ]


@pytest.mark.parametrize(("count", "refused"), [(500, False), (501, True), (1000, True)])
def test_groups_times_rules_have_an_end(count: int, refused: bool) -> None:
    """Two groups on an interface: with more than 500 rules in one, no account could have both."""
    row = {"subnet": ZONE_A, "security_groups": ["web", "sg-12345678"]}
    words = {**group("ingress", *rule_words(count)), "network_interfaces": {"eth0": row, "eth1": row}}
    expected = [
        f"{NETWORK}.{name}.security_groups: 2 groups, of which web has {count} rules | EC2's quotas of the two "
        "multiply to 1000 at most"
        for name in ("eth0", "eth1")
    ]
    assert refusals(words) == (expected if refused else [])


def test_rules_that_go_do_not_multiply() -> None:
    """Of two groups on an interface one has 300 other rules when all is done, and 600 only on the way."""
    eth0 = {"subnet": ZONE_A, "security_groups": ["web", "sg-12345678"]}
    out = [{"protocol": "tcp", "ports": port, "destinations": ["10.0.0.0/8"]} for port in range(1, 301)]
    rows = {"ingress": rule_words(300), "egress": out}
    words = {"security_groups": {"web": rows}, "network_interfaces": {"eth0": eth0}}
    old = {direction: [f"udp {port} 10.0.0.0/8" for port in range(1, 301)] for direction in rows}
    assert refusals(words, {"security_groups": {"web": old}}) == []


LISTED = group("ingress", *rule_words(50), {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]})


@pytest.mark.parametrize(
    ("lists", "warnings"),
    [
        ({"pl-12345678": 10}, []),
        (
            {"pl-12345678": 11},
            [f"security_groups.web: 61 ingress rules for {family}; {QUOTA}" for family in ["IPv4"]],
        ),
        (
            {},
            [
                "pl-12345678 takes as many rules as it may have entries, which cannot be seen; it was counted as "
                "one"
            ],
        ),
    ],
)
def test_a_prefix_list_counts_as_all_that_it_may_have(lists: Mapping[str, int], warnings: list[str]) -> None:
    known = Limits(prefix_lists=lists, read=frozenset({"DescribeManagedPrefixLists"}))
    assert list(plan_of(LISTED, known=known).warnings) == warnings


def test_a_prefix_list_that_cannot_be_seen_counts_as_one() -> None:
    """With it there are as many as usual."""
    words = group("ingress", *rule_words(59), {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]})
    assert plan_of(words).warnings == ()


SIX = [f"sg-{number:08x}" for number in range(6)]


@pytest.mark.parametrize(
    ("live", "quota", "refused"),
    [({}, 5, True), ({}, 6, False), ({}, None, False), ({"eth0": {"groups": SIX[:5]}}, 5, True)],
)
def test_groups_of_an_interface(live: Words, quota: int | None, refused: bool) -> None:
    """At birth or later: as many as the account may have, where that is known."""
    words = {"network_interfaces": {"eth0": {"subnet": ZONE_A, "security_groups": SIX}}}
    expected = [
        f"{NETWORK}.eth0.security_groups: 6 groups; this account may have 5 on an interface | name fewer, or ask "
        "for a higher quota (L-2AFB9258)"
    ]
    known = Limits(groups_per_interface=quota)
    assert refusals(words, {NETWORK: live}, known) == (expected if refused else [])


# ---- what is asked


def asked(words: Words, live: Words | None = None) -> Questions:
    loaded = spec_of(words)
    return draft(loaded, live_of(live or {}, loaded), prune=False).questions


QUESTIONS: list[tuple[str, Words, Words, Questions]] = [
    ("nothing differs", spec(eth0=at(0)), LIVE_WEB, Questions()),
    (
        "what differs takes nothing",
        spec(eth0=at(0, description="new", source_dest_check=False)),
        LIVE_WEB,
        Questions(),
    ),
    ("a launch", spec("t2.micro", eth0=at(0)), {}, Questions(types=frozenset({"t2.micro"}))),
    (
        "an attach",
        spec("t3.medium", eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"instance_type": "t3.medium"}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        Questions(types=frozenset({"t3.medium"})),
    ),
    (
        "addresses for an interface that is attached",
        spec(eth0=at(0, secondary_private_ip_count=1)),
        LIVE_WEB,
        Questions(types=frozenset({"t3.micro"})),
    ),
    ("an interface for nobody", {NETWORK: {"eth0": {"subnet": ZONE_A}}}, {}, Questions()),
    (
        "all who may hold a floating interface, when it moves",
        spec("t2.micro", PAIR, eth0=at(0), b0=at(0, "b"), vip=over("web", "b")),
        {
            "instances": {"web": {"instance_type": "t2.micro"}, "b": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "b0": {"at": "b 0"}, "vip": {}},
        },
        Questions(types=frozenset({"t2.micro", "t3.micro"})),
    ),
    (
        "five groups",
        {NETWORK: {"eth0": {"subnet": ZONE_A, "security_groups": SIX[:5]}}},
        {},
        Questions(),
    ),
    (
        "six groups",
        {NETWORK: {"eth0": {"subnet": ZONE_A, "security_groups": SIX}}},
        {},
        Questions(groups_per_interface=True),
    ),
    ("a prefix list", LISTED, {}, Questions(prefix_lists=frozenset({"pl-12345678"}))),
    (
        "a prefix list that is there already beside a new rule",
        group("ingress", *rule_words(1), {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]}),
        {"security_groups": {"web": {"ingress": ["tcp 99 pl-12345678"]}}},
        Questions(prefix_lists=frozenset({"pl-12345678"})),
    ),
    (
        "a prefix list that stays",
        group("ingress", {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]}),
        {"security_groups": {"web": {"ingress": ["tcp 99 pl-12345678"]}}},
        Questions(),
    ),
]


@pytest.mark.parametrize(
    ("words", "live", "questions"), [row[1:] for row in QUESTIONS], ids=[row[0] for row in QUESTIONS]
)
def test_only_what_is_needed_is_asked(words: Words, live: Words, questions: Questions) -> None:
    assert asked(words, live) == questions


def test_the_most_at_once_is_exact_beyond_the_room_only() -> None:
    """The sum is enough where it fits: looking at every order costs."""
    loaded = spec_of(REPLACED)
    drafted = draft(loaded, live_of(REPLACED_LIVE, loaded), prune=False)
    steps = plan_of(REPLACED, REPLACED_LIVE, known=KNOWN).steps
    case = limits.Case(loaded, drafted.live, drafted.world, steps, KNOWN)
    one, back = ({step.id: int(step.call.startswith(word)) for step in steps} for word in ("Assign", "Unassign"))
    assert (case.most(one, back, 1), case.most(one, back, 0)) == (1, 0)
