"""Small specs and live states for the tests of limits, and what is refused of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from enireconcile.errors import SpecErrors
from enireconcile.live.records import Limits, LiveInstanceType
from enireconcile.model import Plan
from tests.planning.worlds import Words, plan_of

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


def dual(**rows: Words) -> Words:
    """The interfaces stand in the subnet with both families."""
    return {name: {**row, "subnet": {"tags": {"Name": "dual"}}} for name, row in rows.items()}


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


FEWER = "attach fewer interfaces, or choose an instance type that supports more"
SAME_ZONE = "an instance and its interfaces must be in one Availability Zone"
OTHER_SUBNET = "choose another subnet, or free addresses in this one"


def too_many(where: str, count: int, instance: str = "web") -> str:
    """Addresses on an interface of a t3.micro."""
    return (
        f"{NETWORK}.{where}: t3.micro supports 2 IPv4 addresses per interface, this one would have {count} on "
        f"{instance} | assign fewer, or choose an instance type that supports more"
    )


def crowded(name: str) -> str:
    """Addresses on an interface of a t3.micro, while they change."""
    return (
        f"{NETWORK}.{name}.secondary_private_ips: t3.micro supports 2 IPv4 addresses per interface, this one "
        "would "
        "have 3 while the plan runs | remove the old addresses with one apply, and add the new ones with the next"
    )


def no_room(name: str, free: int, taken: int) -> str:
    """In subnet-a."""
    words = f"{free} free address{'es' if free != 1 else ''}"
    return f"{NETWORK}.{name}.subnet: subnet-a has {words}, the plan needs {taken} | {OTHER_SUBNET}"


NETWORK = "network_interfaces"
LIVE_WEB: Words = {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}}
PAIR: Words = {"b": {"image": "ami-12345678", "instance_type": "t3.micro"}}
REPLACED = spec(eth0=at(0, secondary_private_ips=["172.31.0.51"]))
REPLACED_LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0", "secondary": ["172.31.0.50"]}},
}


@dataclass(frozen=True)
class Situation:
    """A spec and a live state, and all that is refused. With ``prune``, leftovers are removed."""

    name: str
    spec: Words
    live: Words
    refused: Sequence[str] = field(default=())
    prune: bool = False


def with_alternatives(known: Limits) -> Limits:
    """With the types that resemble the unknown type of one spec."""
    return Limits(known.types, {"t3.mirco": ("t3.large", "t3.micro")}, read=known.read)


def refused_in(situation: Situation) -> list[str]:
    """All that is refused in a situation, with the limits of the types above."""
    return refusals(situation.spec, situation.live, with_alternatives(KNOWN), prune=situation.prune)


def rule_words(count: int, **more: Any) -> list[Words]:
    """So many rules, each for a port of its own."""
    return [{"protocol": "tcp", "ports": port, "sources": ["10.0.0.0/8"], **more} for port in range(1, count + 1)]


def group(direction: str = "ingress", *rules: Words) -> Words:
    return {"security_groups": {"web": {direction: list(rules)}}}


LISTED = group("ingress", *rule_words(50), {"protocol": "tcp", "ports": 99, "sources": ["pl-12345678"]})
SIX = [f"sg-{number:08x}" for number in range(6)]
