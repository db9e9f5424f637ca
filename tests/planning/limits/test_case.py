"""What all limits share: every problem at once and in its place, what is asked, and what stays unknown."""

from __future__ import annotations

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.live.records import Limits, Questions
from enireconcile.planning import limits
from enireconcile.planning.draft import draft
from tests.planning.limits.situations import (
    KNOWN,
    LISTED,
    LIVE_WEB,
    NETWORK,
    PAIR,
    REPLACED,
    REPLACED_LIVE,
    SIX,
    ZONE_A,
    at,
    group,
    over,
    refusals,
    rule_words,
    spec,
)
from tests.planning.worlds import Words, live_of, plan_of, spec_of, warnings_of


def test_all_problems_are_reported_at_once() -> None:
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
    assert problem.message == "t2.micro supports 2 interfaces, the spec attaches 3 to web"


def test_what_is_not_known_is_not_refused() -> None:
    """Nothing was read, or nothing could be: the plan is made all the same."""
    words = spec("t2.micro", eth0=at(0), eth1=at(1), eth2=at(2), eth3=at(3))
    assert refusals(words, known=Limits()) == []
    denied = Limits(
        unanswered=dict.fromkeys(("DescribeInstanceTypes", "DescribeAccountAttributes"), "UnauthorizedOperation")
    )
    assert warnings_of(plan_of(words, known=denied)) == (
        "not checked: how many groups per interface and how many Elastic IPs the account allows; these "
        "credentials are not allowed to call DescribeAccountAttributes",
        "not checked: how many interfaces and addresses the instance types support; these credentials are not "
        "allowed to call "
        "DescribeInstanceTypes",
    )


# ---- what is asked


def asked(words: Words, live: Words | None = None) -> Questions:
    loaded = spec_of(words)
    drafted = draft(loaded, live_of(live or {}, loaded), prune=False)
    return limits.questions(limits.Case(loaded, drafted.live, drafted.world, drafted.steps, Limits()))


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
    ("an interface without an attachment", {NETWORK: {"eth0": {"subnet": ZONE_A}}}, {}, Questions()),
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


# ---- what steps take at once


def test_the_most_at_once_is_exact_beyond_the_room_only() -> None:
    """The sum is enough where it fits: looking at every order costs."""
    loaded = spec_of(REPLACED)
    drafted = draft(loaded, live_of(REPLACED_LIVE, loaded), prune=False)
    steps = plan_of(REPLACED, REPLACED_LIVE, known=KNOWN).steps
    case = limits.Case(loaded, drafted.live, drafted.world, steps, KNOWN)
    one, back = ({step.id: int(step.call.startswith(word)) for step in steps} for word in ("Assign", "Unassign"))
    assert (case.peak_usage(one, back, 1), case.peak_usage(one, back, 0)) == (1, 0)
