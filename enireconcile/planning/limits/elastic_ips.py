"""How many Elastic IPs the account has, and its quota. Pure.

Elastic IPs from BYOIP pools and those that AWS services manage do not count. Nor does one that is allocated by its
address: it may come from such a pool.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from enireconcile.live.records import ElasticIpLimit, LiveElasticIp
from enireconcile.model import (
    Step,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.limits.case import Case, Issue

_QUOTA = "L-0263D0A3"


def allocates(case: Case) -> bool:
    """Does the plan allocate any?"""
    return bool(case.calls("AllocateAddress"))


def release_first(case: Case) -> list[Step]:
    """The steps, ordered such that releases run before allocations if the quota has no room for all."""
    limit = case.limits.elastic_ips
    if limit is None or limit.quota is None or _wanted(case) <= limit.quota - len(_held(limit, case)):
        return list(case.steps)
    room = frozenset({"room:elastic_ips"})

    def placed(step: Step) -> Step:
        if _takes(step):
            return replace(step, claims=step.claims | room)
        return replace(step, frees=step.frees | room) if _gives(step, case) else step

    return [placed(step) for step in case.steps]


def quota(case: Case) -> Iterator[Issue]:
    """The quota, and Elastic IPs that are allocated already."""
    limit = case.limits.elastic_ips
    if limit is None:
        return
    yield from _taken(limit, case)
    held = len(_held(limit, case))
    wanted = _wanted(case)
    if limit.quota is None or not wanted:
        return
    takes = {step.id: _takes(step) for step in case.steps}
    gives = {step.id: _gives(step, case) for step in case.steps}
    if case.peak_usage(takes, gives, limit.quota - held) + held <= limit.quota:
        return
    message = f"the account has {held} of {limit.quota} Elastic IPs, the spec allocates {wanted}"
    if given := sum(gives.values()):
        message += f" and releases {given}"
    if not limit.enforced:
        yield f"{message}; this endpoint does not seem to enforce that quota"
        return
    over = max(1, held + wanted - given - limit.quota)
    hint = f"release {over}, or request a higher quota ({_QUOTA}, Elastic IPs per Region){_leftovers(case)}"
    allocating = [step.address for step in case.calls("AllocateAddress") if _takes(step)]
    yield case.mistake(allocating[-over:][0], (), message, hint, touches=allocating)


def _wanted(case: Case) -> int:
    return sum(map(_takes, case.steps))


def _takes(step: Step) -> int:
    """Does the step allocate an Elastic IP that counts?"""
    own = step.params.get("PublicIpv4Pool", "amazon") != "amazon" or "Address" in step.params
    return int(step.call == "AllocateAddress" and not own)


def _gives(step: Step, case: Case) -> int:
    """Does the step release an Elastic IP that counts?"""
    if step.call != "ReleaseAddress":
        return 0
    return int(any(live.id == step.params["AllocationId"] and live.counts for live in case.live.elastic_ips))


def _held(limit: ElasticIpLimit, case: Case) -> set[str]:
    """The ids of the account's Elastic IPs that count.

    Those of this stack are taken from its own read: one that only the later count shows is new, and the plan
    allocates it, as the read did not show it.
    """
    others = (live for live in limit.present if not _is_ours(live, case))
    return {live.id for live in (*others, *case.live.elastic_ips) if live.counts}


def _is_ours(live: LiveElasticIp, case: Case) -> bool:
    return live.tags.get(STACK_TAG) == case.spec.document.stack


def _leftovers(case: Case) -> str:
    """The leftovers of the stack that --prune would release."""
    kept = {record.id for _, record in case.world.ours}
    left = sorted(live.id for live in case.live.elastic_ips if live.counts and live.id not in kept)
    return f"; --prune releases {', '.join(left)}" if left else ""


def _taken(limit: ElasticIpLimit, case: Case) -> Iterator[Issue]:
    """Elastic IPs that rows allocate by address, and that are allocated already."""
    by_ip = {live.public_ip: live for live in limit.present}
    for step in case.calls("AllocateAddress"):
        live = by_ip.get(step.params["Address"]) if "Address" in step.params else None
        if live is None:
            continue
        name = live.tags.get(NAME_TAG) if _is_ours(live, case) else None
        if name != step.address:
            owner, hint = _owner(live, name)
            message = f"{live.public_ip} is allocated already: {live.id}, {owner}"
            yield case.mistake(step.address, ("address",), message, hint)


def _owner(live: LiveElasticIp, name: str | None) -> tuple[str, str]:
    """The owner of an Elastic IP, and a hint. ``name`` is its address in this stack, if it has one."""
    if name:
        return f"{name} of this stack", "choose another address, or leave it out"
    if stack := live.tags.get(STACK_TAG):
        return f"of the stack {stack}", "choose another address, or leave it out"
    return "not of this stack", f"write `adopt: {live.id}` to manage it, or choose another address"
