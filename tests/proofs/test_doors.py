"""No door shuts on the way, and none opens, but those that the plan lists: every state that its needs allow.

A small world: two groups, which may exist or not, two rules of which one lies inside the other, and two interfaces
in one or both groups. All pairs of (live, desired) states up to their names, and random larger ones. A plan is cut
after every set of steps that its needs allow to have run; what traffic gets through then is worked out here, from
addresses and ports, without the planner's own notion of rules.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.model import Plan, Step
from tests.planning.worlds import examples, plan_of

from .conftest import Proofs

Names = tuple[tuple[int, ...], tuple[int, ...]]
Packet = tuple[str, str, int, str]
"""Direction, protocol, port, and the address at the other end."""
Doors = frozenset[tuple[str, Packet]]
"""What gets through, by the id of the interface."""

GROUPS = ("g", "h", "k")
SUBNET = {"subnet": {"default_for_az": "us-east-1a"}}
EVERYTHING = "egress -1 - 0.0.0.0/0"
WIDE, NARROW = "ingress tcp 443 0.0.0.0/0", "ingress tcp 443 10.0.0.0/8"
RULES = (
    WIDE,
    NARROW,
    "ingress tcp 440..450 10.0.0.0/8",
    "ingress -1 - 10.1.0.0/16",
    "ingress udp 443 0.0.0.0/0",
    EVERYTHING,
    "egress tcp 443 0.0.0.0/0",
    "egress udp 53 10.0.0.2/32",
)
PACKETS: tuple[Packet, ...] = tuple(
    product(("ingress", "egress"), ("tcp", "udp"), (53, 443, 445), ("8.8.8.8", "10.1.0.1", "10.2.0.1", "10.0.0.2"))
)


@dataclass(frozen=True)
class State:
    """``rules`` by group, None where there is no group; ``members`` are the groups of each interface."""

    rules: tuple[tuple[str, ...] | None, ...]
    members: tuple[tuple[int, ...], ...]

    def renamed(self, groups: Sequence[int], interfaces: Sequence[int]) -> State:
        """The same state in other names: ``groups`` and ``interfaces`` are new numbers for old ones."""
        rules = [self.rules[groups.index(number)] for number in range(len(self.rules))]
        members = [self.members[interfaces.index(number)] for number in range(len(self.members))]
        return State(tuple(rules), tuple(tuple(sorted(groups[each] for each in one)) for one in members))

    @property
    def groups(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, rules in zip(GROUPS, self.rules, strict=False):
            if rules is not None:
                yield name, rules

    @property
    def interfaces(self) -> Iterator[tuple[str, list[str]]]:
        for number, groups in enumerate(self.members):
            yield f"x{number}", [GROUPS[group] for group in groups]


def members_of(rules: Sequence[object]) -> list[tuple[int, ...]]:
    """All sets of groups in which an interface can be: at least one, and only those that exist."""
    there = [number for number, of in enumerate(rules) if of is not None]
    return [some for size in range(1, len(there) + 1) for some in combinations(there, size)]


def live(state: State) -> dict[str, Any]:
    return {
        "security_groups": {name: _sides(rules, lambda _, words: words) for name, rules in state.groups},
        "network_interfaces": {
            name: {"groups": [f"sg-{group}" for group in groups]} for name, groups in state.interfaces
        },
    }


def wish(state: State) -> dict[str, Any]:
    return {
        "security_groups": {name: _sides(rules, _row) for name, rules in state.groups},
        "network_interfaces": {name: {**SUBNET, "security_groups": groups} for name, groups in state.interfaces},
    }


def _sides(rules: Iterable[str], told: Callable[[str, str], Any]) -> dict[str, list[Any]]:
    """The rules by direction, each as ``told`` has it."""
    return {
        direction: [told(direction, rule.partition(" ")[2]) for rule in rules if rule.startswith(direction)]
        for direction in ("ingress", "egress")
    }


def _row(direction: str, words: str) -> dict[str, Any]:
    """A rule as a row of the spec."""
    protocol, ports, peer = words.split()
    ends = {"ingress": "sources", "egress": "destinations"}
    row: dict[str, Any] = {"protocol": "all" if protocol == "-1" else protocol, ends[direction]: [peer]}
    return row if ports == "-" else row | {"ports": ports.replace("..", "-")}


class Firewall:
    """What EC2 makes of the calls: the groups of each interface, and the rules of each group."""

    def __init__(self, state: State) -> None:
        self.rules = {f"sg-{name}": frozenset(rules) for name, rules in state.groups}
        self.groups = {
            f"eni-{name}": frozenset(f"sg-{group}" for group in groups) for name, groups in state.interfaces
        }

    def run(self, step: Step) -> None:
        params = step.params
        group = str(params.get("GroupId"))
        if step.call == "CreateSecurityGroup":
            self.rules[f"{step.address}.id"] = frozenset({EVERYTHING})
        elif step.call == "ModifyNetworkInterfaceAttribute":
            groups = frozenset(map(str, params["Groups"]))
            assert groups <= self.rules.keys(), step
            self.groups[params["NetworkInterfaceId"]] = groups
        elif step.call == "DeleteSecurityGroup":
            assert not any(group in groups for groups in self.groups.values()), step
            del self.rules[group]
        elif step.call.startswith("Authorize"):
            self.rules[group] |= _told(step)
        else:
            assert step.call.startswith("Revoke"), step
            self.rules[group] -= _told(step)

    def lets_through(self) -> Doors:
        return frozenset(
            (interface, packet)
            for interface, groups in self.groups.items()
            for packet in PACKETS
            if any(fits(packet, rule) for group in groups for rule in self.rules[group])
        )


def _told(step: Step) -> frozenset[str]:
    """The rules of an Authorize or a Revoke, in words."""
    direction = step.call.rpartition("SecurityGroup")[2].lower()
    return frozenset(
        f"{direction} {permission['IpProtocol']} {_range(permission)} {entry['CidrIp']}"
        for permission in step.params["IpPermissions"]
        for entry in permission["IpRanges"]
    )


def _range(permission: Mapping[str, Any]) -> str:
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if first is None:
        return "-"
    return str(first) if first == last else f"{first}..{last}"


@cache
def fits(packet: Packet, rule: str) -> bool:
    """Does a rule let a packet through?"""
    direction, protocol, ports, block = rule.split()
    first, _, last = ports.partition("..")
    return (
        packet[0] == direction
        and protocol in ("-1", packet[1])
        and (ports == "-" or int(first) <= packet[2] <= int(last or first))
        and ipaddress.ip_address(packet[3]) in ipaddress.ip_network(block)
    )


def reachable(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Every set of steps that may have run and no others, each in an order that works."""

    def grow(number: int, ran: frozenset[str], chosen: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
        if number == len(steps):
            yield chosen
            return
        step = steps[number]
        yield from grow(number + 1, ran, chosen)
        if step.needs <= ran:
            yield from grow(number + 1, ran | {step.id}, (*chosen, step))

    yield from grow(0, frozenset(), ())


def check(before: State, after: State, plan: Plan) -> Counter[str]:
    """Each promise is kept, whatever has run and whatever has not; each entry of the lists is real."""
    ends = Firewall(before)
    started = ends.lets_through()
    for step in plan.steps:
        ends.run(step)
    ended = ends.lets_through()
    assert ended == Firewall(after).lets_through(), (before, after)
    interrupted: set[tuple[str, Packet]] = set()
    exposed: set[tuple[str, Packet]] = set()
    cuts = 0
    for ran in reachable(plan.steps):
        firewall = Firewall(before)
        for step in ran:
            firewall.run(step)
        now = firewall.lets_through()
        interrupted |= (started & ended) - now
        exposed |= now - started - ended
        cuts += 1
    for seen, told in ((interrupted, plan.interruptions), (exposed, plan.exposures)):
        assert seen <= _doors(told), (before, after, plan.steps)
        for broken in told:
            assert _doors([broken]) & seen, (before, after, broken)
    return Counter(
        {
            "cuts among doors": cuts,
            "doors that must shut on the way": len(plan.interruptions),
            "doors that must open on the way": len(plan.exposures),
        }
    )


def _doors(breaks: Sequence[Any]) -> set[tuple[str, Packet]]:
    return {
        (broken.address.replace("network_interfaces.", "eni-"), packet)
        for broken in breaks
        for packet in PACKETS
        if fits(packet, _rule(broken.what))
    }


def _rule(words: str) -> str:
    """``ingress tcp 440-450 from 10.0.0.0/8`` as a rule of this page."""
    direction, protocol, *ports, _, block = words.split()
    span = ports[0].replace("-", "..") if ports else "-"
    return f"{direction} {'-1' if protocol == 'all' else protocol} {span} {block}"


def harmless(order: Sequence[Step], before: State, started: Doors, ended: Doors) -> bool:
    """Could these steps run in this order, with no door shut or opened on the way?"""
    firewall = Firewall(before)
    for step in order:
        try:
            firewall.run(step)
        except (AssertionError, KeyError):
            return False
        if not started & ended <= firewall.lets_through() <= started | ended:
            return False
    return True


def first(state: State, names: Sequence[Names]) -> State:
    """The one that stands for all that differ from a state in these names only."""
    return min((state.renamed(*each) for each in names), key=repr)


_RULES_OF_ONE = (None, (EVERYTHING,), (WIDE, EVERYTHING), (NARROW, EVERYTHING), (WIDE, NARROW, EVERYTHING))
ALL = tuple(
    State(rules, members)
    for rules in product(_RULES_OF_ONE, repeat=2)
    for members in product(members_of(rules), repeat=2)
)
TWO = ((0, 1), (1, 0))
NAMES: list[Names] = [(groups, interfaces) for groups in TWO for interfaces in TWO]
WISHES = tuple(dict.fromkeys(first(state, NAMES) for state in ALL))


@pytest.mark.parametrize("part", range(8))
def test_no_door_of_a_small_world_shuts_or_opens_on_the_way(part: int, proofs: Proofs) -> None:
    """Every pair of states, up to the names of groups and interfaces, with --prune.

    What a plan lists cannot be helped: the same calls in any other order do no better.
    """
    counts, pairs = Counter[str](), 0
    for desired in WISHES[part::8]:
        keeping = [names for names in NAMES if desired.renamed(*names) == desired]
        for state in ALL:
            if first(state, keeping) != state:
                continue
            plan = plan_of(wish(desired), live(state), prune=True)
            counts += check(state, desired, plan)
            pairs += 1
            if plan.interruptions or plan.exposures:
                started, ended = Firewall(state).lets_through(), Firewall(desired).lets_through()
                assert not any(harmless(order, state, started, ended) for order in permutations(plan.steps)), plan
    assert pairs
    proofs.count("pairs of states of doors, up to their names", pairs)
    for kind, count in counts.items():
        proofs.count(kind, count)


@st.composite
def random_states(draw: st.DrawFn) -> State:
    group = st.none() | st.sets(st.sampled_from(RULES)).map(lambda rules: tuple(sorted(rules)))
    rules = draw(st.tuples(group, group, group).filter(lambda each: any(of is not None for of in each)))
    member = st.sampled_from(members_of(rules))
    return State(rules, draw(st.tuples(member, member, member)))


def test_no_door_of_a_random_world_shuts_or_opens_on_the_way(proofs: Proofs) -> None:
    """Three groups, three interfaces, and rules that overlap in protocols, ports and addresses."""
    counts = Counter[str]()

    @examples(400)
    @given(before=random_states(), after=random_states())
    def prove(before: State, after: State) -> None:
        counts.update(check(before, after, plan_of(wish(after), live(before), prune=True)))
        counts["random pairs of states of doors"] += 1

    prove()
    for kind, count in counts.items():
        proofs.count(kind, count)
