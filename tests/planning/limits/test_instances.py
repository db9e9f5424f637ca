"""Interfaces on instances: how many a type and its cards take, where they are, and who goes first."""

from __future__ import annotations

import pytest

from tests.planning.limits.situations import (
    FEWER,
    KNOWN,
    LIVE_WEB,
    NETWORK,
    PAIR,
    SAME_ZONE,
    Situation,
    at,
    calls,
    over,
    refused_in,
    spec,
)
from tests.planning.worlds import Words, plan_of, warnings_of

INTERFACES = [
    Situation("as many as the type takes, at launch", spec(eth0=at(0), eth1=at(1)), {}),
    Situation(
        "one more than the type takes, at launch",
        spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2)),
        {},
        [f"{NETWORK}.eth2.attachment: t2.micro supports 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Situation(
        "one more than the type takes, at launch, of interfaces that exist",
        spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2)),
        {"network_interfaces": {"eth0": {}, "eth1": {}, "eth2": {}}},
        [f"{NETWORK}.eth2.attachment: t2.micro supports 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Situation(
        "one more on an existing instance with a foreign interface",
        spec(eth0=at(0), eth2=at(2)),
        {
            "instances": {"web": {"foreign": {1: "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.eth2.attachment: t3.micro supports 2 interfaces, the spec attaches 2 to web, where 1 "
            "other "
            f"is attached (eni-stranger) | {FEWER}"
        ],
    ),
    Situation(
        "a foreign interface is in the slot of the spec, and is detached",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"foreign": {1: "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Situation(
        "the foreign interface is detaching",
        spec(eth0=at(0), eth2=at(2)),
        {
            "instances": {"web": {"foreign": {1: "eni-stranger detaching"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
    ),
    Situation(
        "one interface is detached as another is attached",
        spec(eth0=at(0), eth1={}, eth2=at(2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}},
        },
    ),
    Situation(
        "the instance shows an interface that its own record does not show as attached yet",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"foreign": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
    ),
    Situation(
        "the instance shows such an interface in another slot than the spec's",
        spec(eth0=at(0), eth1=at(2)),
        {
            "instances": {"web": {"foreign": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
    ),
    Situation(
        "one more than the type takes, beside such an interface",
        spec(eth0=at(0), eth1=at(1), eth2=at(2)),
        {
            "instances": {"web": {"foreign": {1: "eni-eth1"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        [f"{NETWORK}.eth2.attachment: t3.micro supports 2 interfaces, the spec attaches 3 to web | {FEWER}"],
    ),
    Situation(
        "nothing is put on a full instance that has more than it takes",
        spec(eth0=at(0, description="new"), eth1=at(1), eth2=at(2)),
        {
            "instances": {"web": {}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}, "eth2": {"at": "web 2"}},
        },
    ),
    Situation(
        "an external instance that is full",
        spec(others={"fw": {"external": "i-0123456789abcdef0"}}, eth0=at(0), eth1=at(1, "fw"), eth2=at(2, "fw")),
        {**LIVE_WEB, "externals": {"fw": {"foreign": {0: "eni-primary"}}}},
        [
            f"{NETWORK}.eth2.attachment: t3.micro supports 2 interfaces, the spec attaches 2 to fw, where 1 other "
            f"is attached (eni-primary) | {FEWER}"
        ],
    ),
    Situation(
        "a card that the type does not have",
        spec(eth0=at(0), eth1=at(1, card=1)),
        {},
        [f"{NETWORK}.eth1.attachment.network_card_index: t3.micro has 1 network card | write 0, or leave it out"],
    ),
    Situation(
        "a card beyond several",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(1, card=1), eth2=at(2, card=2)),
        {},
        [f"{NETWORK}.eth2.attachment.network_card_index: c6in.32xlarge has 2 network cards | write 0 to 1"],
    ),
    Situation(
        "an interface on a card that does not exist does not count on the others",
        spec(eth0=at(0), eth1=at(1, card=1), eth2=at(2)),
        {},
        [f"{NETWORK}.eth1.attachment.network_card_index: t3.micro has 1 network card | write 0, or leave it out"],
    ),
    Situation(
        "a smaller type, and two foreign interfaces that stay attached",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0),
        ),
        {
            "instances": {
                "web": {"instance_type": "t3.medium", "foreign": {1: "eni-stranger", 2: "eni-stronger"}}
            },
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            "instances.web: t3.micro supports 2 interfaces, the spec attaches 1 to web, where 2 others are "
            f"attached (eni-stranger, eni-stronger) | {FEWER}"
        ],
    ),
    Situation(
        "as many as each card takes",
        spec("c6in.32xlarge", a=at(0), b=at(1), c=at(1, card=1), d=at(2, card=1), e=at(3, card=1)),
        {},
    ),
    Situation(
        "one more than a card takes",
        spec("c6in.32xlarge", a=at(0), b=at(1), c=at(2), d=at(2, card=1)),
        {},
        [
            f"{NETWORK}.c.attachment: card 0 of c6in.32xlarge supports 2 interfaces, the spec attaches 3 to web | "
            + FEWER
        ],
    ),
    Situation(
        "a foreign interface on the second card counts there",
        spec("c6in.32xlarge", eth0=at(0), a=at(1, card=1), b=at(2, card=1), c=at(3, card=1)),
        {
            "instances": {"web": {"instance_type": "c6in.32xlarge", "foreign": {"4 card 1": "eni-stranger"}}},
            "network_interfaces": {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.c.attachment: card 1 of c6in.32xlarge supports 3 interfaces, the spec attaches 3 to web, "
            f"where 1 other is attached (eni-stranger) | {FEWER}"
        ],
    ),
    Situation(
        "the zone of an existing instance",
        spec(eth0=at(0), eth1=at(1)),
        {
            "instances": {"web": {"zone": "us-east-1b"}},
            "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
        },
        [
            f"{NETWORK}.eth1.subnet: the subnet is in us-east-1a, but the instance web is in us-east-1b | "
            f"{SAME_ZONE}"
        ],
    ),
    Situation(
        "the zone of an instance for an interface that is still to be made",
        spec(eth0=at(0), eth1=at(1)),
        {**LIVE_WEB, "instances": {"web": {"zone": "us-east-1b"}}},
        [
            f"{NETWORK}.eth1.subnet: the subnet is in us-east-1a, but the instance web is in us-east-1b | "
            f"{SAME_ZONE}"
        ],
    ),
    Situation(
        "the zone is the same",
        spec(eth0=at(0), eth1=at(1)),
        {**LIVE_WEB, "instances": {"web": {"zone": "us-east-1a"}}},
    ),
]
FAILOVERS = [
    Situation(
        "a floating interface has room on both",
        spec(others=PAIR, eth0=at(0), b0=at(0, "b"), vip=over("web", "b")),
        {},
    ),
    Situation(
        "a new floating interface would not have room on the second",
        spec(others=PAIR, eth0=at(0), b0=at(0, "b"), b2=at(2, "b"), vip=over("web", "b")),
        {},
        [
            f"{NETWORK}.vip.attachment.instances: t3.micro supports 2 interfaces, the spec attaches 3 to b, "
            f"counting those that can fail over to it | {FEWER}"
        ],
    ),
    Situation(
        "a new floating interface would not have room on the card",
        spec(
            others={"b": {"image": "ami-12345678", "instance_type": "c6in.32xlarge"}},
            eth0=at(0), b0=at(0, "b"), b1=at(1, "b"), vip=over("web", "b", index=2),
        ),
        {},
        [
            f"{NETWORK}.vip.attachment.instances: card 0 of c6in.32xlarge supports 2 interfaces, the spec "
            "attaches "
            f"3 to b, counting those that can fail over to it | {FEWER}"
        ],
    ),
]  # fmt: skip
ADAPTERS = [
    Situation(
        "an adapter on a type that has none",
        spec(eth0=at(0), eth1=at(1, interface_type="efa")),
        {},
        [
            f"{NETWORK}.eth1.interface_type: t3.micro does not support Elastic Fabric Adapters | choose an "
            "instance "
            f"type that supports EFA",
        ],
    ),
    Situation(
        "an adapter that exists, on a type that has none",
        spec(eth0=at(0), eth1=at(1, interface_type="efa")),
        {
            "instances": {"web": {"state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0"}, "eth1": {"interface_type": "efa"}},
        },
        [
            f"{NETWORK}.eth1.interface_type: t3.micro does not support Elastic Fabric Adapters | choose an "
            "instance "
            "type that supports EFA"
        ],
    ),
    Situation(
        "an adapter on each card",
        spec("c6in.32xlarge", eth0=at(0, interface_type="efa"), eth1=at(1, card=1, interface_type="efa-only")),
        {},
    ),
    Situation(
        "a foreign adapter on the card",
        spec("c6in.32xlarge", eth0=at(0), eth1=at(2, interface_type="efa-only", card=1)),
        {
            "instances": {
                "web": {
                    "instance_type": "c6in.32xlarge", "state": "stopped",
                    "foreign": {"1 card 1": "eni-stranger attached efa"},
                }
            },
            NETWORK: {"eth0": {"at": "web 0"}},
        },
        [
            f"{NETWORK}.eth1.attachment.network_card_index: card 1 of web has an Elastic Fabric Adapter already: "
            "eni-stranger | EC2 allows one per network card; choose another network_card_index",
        ],
    ),
    Situation(
        "the only adapter of a type, which its own record does not show as attached yet",
        spec("m9.large", eth0=at(0), eth1=at(2, card=1, interface_type="efa")),
        {
            "instances": {
                "web": {
                    "instance_type": "m9.large", "state": "stopped",
                    "foreign": {"1 card 1": "eni-eth1 attached efa"},
                }
            },
            NETWORK: {"eth0": {"at": "web 0"}, "eth1": {"interface_type": "efa"}},
        },
    ),
    Situation(
        "a plain interface beside more adapters than the type takes",
        spec("m9.large", eth0=at(0, interface_type="efa"), eth1=at(1)),
        {
            "instances": {"web": {"instance_type": "m9.large", "foreign": {"2": "eni-stranger attached efa"}}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
    ),
    Situation(
        "another type, that does not take the adapter which is there",
        spec(
            others={"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
            eth0=at(0, interface_type="efa"),
        ),
        {
            "instances": {"web": {"instance_type": "m9.large", "state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
        [
            f"{NETWORK}.eth0.interface_type: t3.micro does not support Elastic Fabric Adapters | choose an "
            "instance "
            "type that supports EFA"
        ],
    ),
    Situation(
        "one adapter more than the type takes, beside our own",
        spec("m9.large", eth0=at(0, interface_type="efa"), eth1=at(1, card=1, interface_type="efa")),
        {
            "instances": {"web": {"instance_type": "m9.large", "state": "stopped"}},
            NETWORK: {"eth0": {"at": "web 0", "interface_type": "efa"}},
        },
        [
            f"{NETWORK}.eth1.interface_type: m9.large supports 1 Elastic Fabric Adapter, the spec attaches 2 "
            "to web "
            f"| {FEWER}"
        ],
    ),
    Situation(
        "fewer adapters than cards",
        spec(
            "p9.large",
            eth0=at(0, interface_type="efa"),
            eth1=at(1, card=1, interface_type="efa"),
            eth2=at(1, card=2, interface_type="efa"),
        ),
        {},
        [
            f"{NETWORK}.{name}.interface_type: p9.large supports 2 Elastic Fabric Adapters, the spec attaches "
            "3 to "
            f"web | {FEWER}"
            for name in ("eth0", "eth1", "eth2")
        ],
    ),
]  # fmt: skip
TYPE_NAMES = [
    Situation(
        "an unknown type with a similar one",
        spec("t3.mirco", eth0=at(0)),
        {},
        [
            "instances.web.instance_type: there is no instance type t3.mirco in this region | did you mean "
            "`t3.micro`?"
        ],
    ),
    Situation(
        "an unknown type without a similar one",
        spec("zz9.gigantic", eth0=at(0)),
        {},
        [
            "instances.web.instance_type: there is no instance type zz9.gigantic in this region | see `aws ec2 "
            "describe-instance-types`"
        ],
    ),
    Situation(
        "the type of an external instance is what it is",
        spec(others={"fw": {"external": "i-0123456789abcdef0"}}, eth0=at(0), eth1=at(1, "fw")),
        {**LIVE_WEB, "externals": {"fw": {"instance_type": "x99.new", "foreign": {0: "eni-primary"}}}},
    ),
]


@pytest.mark.parametrize(
    "situation", [*INTERFACES, *FAILOVERS, *ADAPTERS, *TYPE_NAMES], ids=lambda situation: situation.name
)
def test_refused_before_anything_changes(situation: Situation) -> None:
    assert refused_in(situation) == list(situation.refused)


# ---- failover of interfaces that exist


def test_a_full_candidate_is_a_warning_and_the_interface_fails_over_to_another() -> None:
    """The last of three candidates is full: an existing interface still fails over to the second."""
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
    assert warnings_of(plan) == (
        f"{NETWORK}.vip cannot fail over to b: t3.micro supports 2 interfaces, the spec attaches 3 to b, counting "
        f"those that can fail over to it",
    )


# ---- order


SWAP = spec(eth0=at(0), eth1={}, eth2=at(2))
SWAP_LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}, "eth2": {}},
}


def test_a_full_instance_detaches_before_it_attaches() -> None:
    """The slots differ, but the type takes two interfaces."""
    assert calls(plan_of(SWAP, SWAP_LIVE, known=KNOWN)) == [
        "s1 DetachNetworkInterface",
        "s2 AttachNetworkInterface s1",
    ]


def test_where_the_instance_has_room_no_step_waits() -> None:
    """The type takes three interfaces."""
    words = {**SWAP, "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.medium"}}}
    live = {**SWAP_LIVE, "instances": {"web": {"instance_type": "t3.medium"}}}
    assert calls(plan_of(words, live, known=KNOWN)) == ["s1 DetachNetworkInterface", "s2 AttachNetworkInterface"]


def test_on_a_full_instance_the_attach_waits_for_a_detaching_foreign_interface() -> None:
    """With room on the instance the attach does not wait."""
    live: Words = {
        "instances": {"web": {"foreign": {1: "eni-stranger detaching"}}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth2": {}},
    }
    [step] = plan_of(spec(eth0=at(0), eth2=at(2)), live, known=KNOWN).steps
    assert [expect.id for expect in step.when] == ["eni-stranger"]
    assert step.when[0].has == (("Attachment.AttachmentId != 'eni-attach-stranger'", (True,)),)
    [step] = plan_of(spec(eth0=at(0), eth2=at(2)), live).steps
    assert step.when == ()


def test_the_attach_waits_once_for_a_foreign_interface_that_leaves_its_slot() -> None:
    """Both the slot and the full instance ask for it."""
    live: Words = {
        "instances": {"web": {"foreign": {1: "eni-stranger detaching"}}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}},
    }
    [step] = plan_of(spec(eth0=at(0), eth1=at(1)), live, known=KNOWN).steps
    assert [expect.id for expect in step.when] == ["eni-stranger"]
