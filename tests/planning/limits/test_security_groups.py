"""Security groups of an interface, and rules of a security group."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from enireconcile.live.records import Limits
from tests.planning.limits.situations import LISTED, NETWORK, SIX, ZONE_A, group, refusals, rule_words
from tests.planning.worlds import Words, plan_of

QUOTA = "EC2 allows 60 unless the account has a higher quota (L-0EA8095F), which was not checked"
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
        "security_groups.web.ingress: 1001 rules for IPv4; EC2 allows at most 1000 in any account | move some "
        "rules to another security group"
    ]


@pytest.mark.parametrize(("count", "refused"), [(500, False), (501, True), (1000, True)])
def test_groups_times_rules_have_an_end(count: int, refused: bool) -> None:
    """Two groups on an interface: with more than 500 rules in one, no account could have both."""
    row = {"subnet": ZONE_A, "security_groups": ["web", "sg-12345678"]}
    words = {**group("ingress", *rule_words(count)), "network_interfaces": {"eth0": row, "eth1": row}}
    expected = [
        f"{NETWORK}.{name}.security_groups: 2 security groups, of which web has {count} rules | groups per "
        f"interface times rules per group is at most 1000 in any account"
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


@pytest.mark.parametrize(
    ("lists", "warnings"),
    [
        ({"pl-12345678": 10}, []),
        (
            {"pl-12345678": 11},
            [f"security_groups.web: 61 ingress rules for {family}; {QUOTA}" for family in ["IPv4"]],
        ),
        (
            {"pl-12345678": None},
            [
                "pl-12345678 counts as one rule for each entry that it may have; EC2 does not show its "
                "maximum number of entries, so it was counted as one rule"
            ],
        ),
    ],
)
def test_a_prefix_list_counts_as_all_that_it_may_have(
    lists: Mapping[str, int | None], warnings: list[str]
) -> None:
    known = Limits(prefix_lists=lists, read=frozenset({"DescribeManagedPrefixLists"}))
    assert list(plan_of(LISTED, known=known).warnings) == warnings


def test_a_prefix_list_that_cannot_be_seen_counts_as_one() -> None:
    """With it there are as many as usual."""
    words = group("ingress", *rule_words(59), {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]})
    assert plan_of(words).warnings == ()


@pytest.mark.parametrize(
    ("live", "quota", "refused"),
    [({}, 5, True), ({}, 6, False), ({}, None, False), ({"eth0": {"groups": SIX[:5]}}, 5, True)],
)
def test_groups_of_an_interface(live: Words, quota: int | None, refused: bool) -> None:
    """At birth or later: as many as the account may have, where that is known."""
    words = {"network_interfaces": {"eth0": {"subnet": ZONE_A, "security_groups": SIX}}}
    expected = [
        f"{NETWORK}.eth0.security_groups: 6 security groups; this account allows 5 per interface | list fewer, "
        f"or request a higher quota (L-2AFB9258)"
    ]
    known = Limits(groups_per_interface=quota)
    assert refusals(words, {NETWORK: live}, known) == (expected if refused else [])
