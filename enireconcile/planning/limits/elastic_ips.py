"""Elastic IPs: how many the account has, and how many it may have. Pure.

Those of pools of one's own and of services do not count, nor does one that is asked for by its number: it may come
from such a pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from enireconcile.live.records import ElasticIpLimit, LiveElasticIp
from enireconcile.model import (
    Step,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.limits.case import Case, ProblemOrWarning

_QUOTA = "L-0263D0A3"


def allocates(case: Case) -> bool:
    """Does the plan take more addresses?"""
    return bool(case.calls("AllocateAddress"))


def release_first(case: Case) -> list[Step]:
    """The steps, such that addresses are released before others are allocated where there is no room for all."""
    limit = case.limits.elastic_ips
    if limit is None or limit.most is None or _wanted(case) <= limit.most - len(_held(limit, case)):
        return list(case.steps)
    room = frozenset({"room:elastic_ips"})

    def placed(step: Step) -> Step:
        if _takes(step):
            return replace(step, claims=step.claims | room)
        return replace(step, frees=step.frees | room) if _gives(step, case) else step

    return [placed(step) for step in case.steps]


def elastic_ips(case: Case) -> Iterator[ProblemOrWarning]:
    """The quota, and addresses that are allocated already."""
    limit = case.limits.elastic_ips
    if limit is None:
        return
    yield from _taken(limit, case)
    held = len(_held(limit, case))
    wanted = _wanted(case)
    if limit.most is None or not wanted:
        return
    takes = {step.id: _takes(step) for step in case.steps}
    gives = {step.id: _gives(step, case) for step in case.steps}
    if case.most(takes, gives, limit.most - held) + held <= limit.most:
        return
    message = f"the account has {held} of {limit.most} Elastic IPs, the spec allocates {wanted}"
    if given := sum(gives.values()):
        message += f" and releases {given}"
    if not limit.kept:
        yield f"{message}; that quota does not seem to be EC2's own, and stops nobody"
        return
    over = max(1, held + wanted - given - limit.most)
    hint = f"release {over}, or ask for a higher quota ({_QUOTA}, Elastic IPs per Region){_leftovers(case)}"
    last = [step.address for step in case.calls("AllocateAddress") if _takes(step)][-over:]
    yield case.problem(last[0], (), message, hint)


def _wanted(case: Case) -> int:
    return sum(map(_takes, case.steps))


def _takes(step: Step) -> int:
    """Does the step allocate an address that counts?"""
    own = step.params.get("PublicIpv4Pool", "amazon") != "amazon" or "Address" in step.params
    return int(step.call == "AllocateAddress" and not own)


def _gives(step: Step, case: Case) -> int:
    """Does the step release an address that counts?"""
    if step.call != "ReleaseAddress":
        return 0
    return int(any(live.id == step.params["AllocationId"] and live.counts for live in case.live.elastic_ips))


def _held(limit: ElasticIpLimit, case: Case) -> set[str]:
    """What counts and is there: of this stack as it was read, of others as they were counted.

    One of this stack that only the count has seen is young: it is one of those that the spec seems to lack.
    """
    others = (live for live in limit.present if not _is_ours(live, case))
    return {live.id for live in (*others, *case.live.elastic_ips) if live.counts}


def _is_ours(live: LiveElasticIp, case: Case) -> bool:
    return live.tags.get(STACK_TAG) == case.spec.document.stack


def _leftovers(case: Case) -> str:
    """What the stack owns beyond the spec and keeps."""
    kept = {record.id for _, record in case.world.ours}
    left = sorted(live.id for live in case.live.elastic_ips if live.counts and live.id not in kept)
    return f"; --prune releases {', '.join(left)}" if left else ""


def _taken(limit: ElasticIpLimit, case: Case) -> Iterator[ProblemOrWarning]:
    """Addresses that are asked for by their number, and are allocated under another name, or to others."""
    by_ip = {live.public_ip: live for live in limit.present}
    for step in case.calls("AllocateAddress"):
        live = by_ip.get(step.params["Address"]) if "Address" in step.params else None
        if live is None:
            continue
        name = live.tags.get(NAME_TAG) if _is_ours(live, case) else None
        if name == step.address:
            continue
        whose = f"{name} of this stack" if name else "not of this stack; `adopt` would take it over"
        hint = "an address is allocated once; write another one, or none"
        yield case.problem(step.address, ("address",), f"{live.public_ip} is {live.id}, {whose}", hint)
