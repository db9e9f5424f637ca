"""The account's quota of Elastic IPs, and addresses that are allocated already."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from enireconcile.live.records import ElasticIpLimit, Limits, LiveElasticIp
from enireconcile.ownership import (
    STACK_TAG,
)
from enireconcile.planning.draft import draft
from tests.planning.limits.situations import refusals
from tests.planning.worlds import STACK, Words, live_of, plan_of, spec_of, whole

OTHERS = 4


def stranger(number: int, public_ip: str = "", stack: str = "", name: str = "", **more: str) -> LiveElasticIp:
    """An address that only the count shows."""
    tags = {STACK_TAG: stack, "enireconcile:name": name} if stack else {}
    return LiveElasticIp(f"eipalloc-s{number}", tags, public_ip, None, None, None, **more)  # type: ignore[arg-type]


def quota(most: int | None, *present: LiveElasticIp, kept: bool = True) -> Limits:
    """As many addresses as the account may have, and those that it has."""
    return Limits(elastic_ips=ElasticIpLimit(present, most, kept))


FOUR = [stranger(number) for number in range(OTHERS)]


def spares(count: int, **row: str) -> Words:
    """A spec with so many Elastic IPs."""
    return {"elastic_ips": {f"ip-{number}": dict(row) for number in range(count)}}


def said(message: str, hint: str, name: str) -> list[str]:
    more = "or request a higher quota (L-0263D0A3, Elastic IPs per Region)"
    return [f"elastic_ips.{name}: {message} | {hint}, {more}"]


def test_as_many_as_there_is_room_for() -> None:
    assert refusals(spares(1), known=quota(5, *FOUR)) == []


@pytest.mark.parametrize(
    ("count", "first", "release"), [(2, "ip-1", 1), (3, "ip-1", 2)], ids=["one too many", "two too many"]
)
def test_more_than_there_is_room_for(count: int, first: str, release: int) -> None:
    """Told at the first that does not get one."""
    message = f"the account has 4 of 5 Elastic IPs, the spec allocates {count}"
    assert refusals(spares(count), known=quota(5, *FOUR)) == said(message, f"release {release}", first)


def test_an_account_that_has_more_than_it_may() -> None:
    """The quota was lowered since."""
    message = "the account has 4 of 2 Elastic IPs, the spec allocates 1"
    assert refusals(spares(1), known=quota(2, *FOUR)) == said(message, "release 3", "ip-0")


def test_an_account_that_has_more_than_it_may_and_gets_one_that_does_not_count() -> None:
    """It comes from a pool of its own."""
    assert refusals(spares(1, public_ipv4_pool="ipv4pool-ec2-12345678"), known=quota(2, *FOUR)) == []


def test_what_does_not_count() -> None:
    """Addresses of own pools and of services are there beyond the quota, and so are those that come from pools."""
    beyond = [stranger(8, pool="ipv4pool-ec2-12345678"), stranger(9, manager="alb")]
    assert refusals(spares(1), known=quota(5, *FOUR, *beyond)) == []
    assert refusals(spares(9, public_ipv4_pool="ipv4pool-ec2-12345678"), known=quota(5, *FOUR)) == []
    assert len(refusals(spares(9, public_ipv4_pool="amazon"), known=quota(5, *FOUR))) == 1
    # This one may come from a pool, too, or be one of EC2's that was released lately.
    assert refusals({"elastic_ips": {"a": {"address": "198.51.100.7"}}}, known=quota(4, *FOUR)) == []


def test_addresses_of_this_stack_count_as_they_were_read() -> None:
    """Those that the spec keeps, those that are left over, and none twice."""
    live: Words = {"elastic_ips": {"ip-0": {}, "old": {}}}
    ours = [stranger(0, stack=STACK, name="elastic_ips.ip-0"), stranger(1, stack=STACK, name="elastic_ips.old")]
    known = quota(5, *FOUR[:2], *ours)
    assert refusals(spares(2), live, known) == []
    message = "the account has 4 of 5 Elastic IPs, the spec allocates 2"
    hint = (
        "release 1, or request a higher quota (L-0263D0A3, Elastic IPs per Region); --prune releases eipalloc-old"
    )
    assert refusals(spares(3), live, known) == [f"elastic_ips.ip-2: {message} | {hint}"]
    more = {"elastic_ips": {**live["elastic_ips"], "older": {}}}
    assert refusals(spares(3), more, known)[0].endswith("--prune releases eipalloc-old, eipalloc-older")


def test_a_young_address_of_this_stack_does_not_count_twice() -> None:
    """The count shows one that the read of the stack did not: it is the one that the plan seems to lack."""
    young = stranger(4, stack=STACK, name="elastic_ips.ip-0")
    assert refusals(spares(1), known=quota(5, *FOUR, young)) == []


# ---- releasing makes room


def ordered(known: Limits, wanted: int = 1) -> list[str]:
    """Calls, with what each needs, of a plan that releases one address and allocates others."""
    live: Words = {"elastic_ips": {"old": {"at": "eth0"}}, "network_interfaces": {"eth0": {}}}
    eth0 = {"subnet": {"default_for_az": "us-east-1a"}}
    plan = plan_of({**spares(wanted), "network_interfaces": {"eth0": eth0}}, live, prune=True, known=known)
    return [" ".join([step.id, step.call, *sorted(step.needs)]) for step in plan.steps]


def test_where_the_quota_has_room_no_allocation_waits() -> None:
    assert ordered(quota(6, *FOUR)) == [
        "s1 AllocateAddress",
        "s2 DisassociateAddress",
        "s3 ReleaseAddress s2",
    ]


def test_where_there_is_none_the_release_comes_first() -> None:
    assert ordered(quota(5, *FOUR)) == [
        "s1 DisassociateAddress",
        "s2 ReleaseAddress s1",
        "s3 AllocateAddress s2",
    ]


def test_a_release_that_does_not_do() -> None:
    """It is counted, and told."""
    live: Words = {"elastic_ips": {"old": {}}}
    spec = spec_of(spares(2))
    drafted = draft(spec, live_of(live, spec), prune=True)
    assert drafted.questions.elastic_ips
    with pytest.raises(Exception, match="has 5 of 5 Elastic IPs, the spec allocates 2 and releases 1") as raised:
        whole(drafted.plan(quota(5, *FOUR)))
    assert "release 1, or request" in str(raised.value)


def test_a_release_from_an_own_pool_makes_no_room() -> None:
    live: Words = {"elastic_ips": {"old": {"pool": "ipv4pool-ec2-12345678"}}}
    spec = spec_of(spares(1))
    with pytest.raises(Exception, match="has 4 of 4 Elastic IPs, the spec allocates 1") as raised:
        whole(draft(spec, live_of(live, spec), prune=True).plan(quota(4, *FOUR)))
    assert "releases" not in str(raised.value)


# ---- what is known


def test_a_plan_that_allocates_nothing_asks_nothing() -> None:
    spec = spec_of(spares(1))
    live = live_of({"elastic_ips": {"ip-0": {}}}, spec)
    assert not draft(spec, live, prune=False).questions.elastic_ips
    assert draft(spec, live_of({}, spec), prune=False).questions.elastic_ips


def test_an_unknown_quota_refuses_nothing() -> None:
    assert refusals(spares(9), known=quota(None, *FOUR)) == []
    assert refusals(spares(9), known=Limits()) == []


@pytest.mark.parametrize(("most", "warned"), [(5, True), (13, False)])
def test_a_quota_that_the_endpoint_does_not_enforce_is_a_warning(most: int, warned: bool) -> None:
    """Something that plays EC2 has a number, and lets more through."""
    warnings: Sequence[str] = plan_of(spares(9), known=quota(most, *FOUR, kept=False)).warnings
    words = (
        "the account has 4 of 5 Elastic IPs, the spec allocates 9; this endpoint does not seem to enforce that "
        "quota"
    )
    assert warnings == ((words,) if warned else ())


# ---- addresses by their number


OTHER_ADDRESS = "choose another address, or leave it out"
ADOPT = "write `adopt: eipalloc-s1` to manage it, or choose another address"


@pytest.mark.parametrize(
    ("present", "owner", "hint"),
    [
        (stranger(1, "198.51.100.7"), "not of this stack", ADOPT),
        (stranger(1, "198.51.100.7", "other", "elastic_ips.a"), "of the stack other", OTHER_ADDRESS),
        (stranger(1, "198.51.100.7", STACK, "elastic_ips.b"), "elastic_ips.b of this stack", OTHER_ADDRESS),
    ],
)
def test_an_address_that_is_allocated_already(present: LiveElasticIp, owner: str, hint: str) -> None:
    words: Words = {"elastic_ips": {"a": {"address": "198.51.100.7"}}}
    assert refusals(words, known=quota(5, present)) == [
        f"elastic_ips.a.address: 198.51.100.7 is allocated already: eipalloc-s1, {owner} | {hint}"
    ]


def test_addresses_are_looked_at_one_by_one() -> None:
    """One is not allocated yet, one is ours by the same name, and the last is another owner's."""
    ips = {"a": "198.51.100.7", "b": "198.51.100.8", "c": "198.51.100.9"}
    words: Words = {"elastic_ips": {name: {"address": ip} for name, ip in ips.items()}}
    present = [stranger(1, ips["b"], STACK, "elastic_ips.b"), stranger(2, ips["c"])]
    [refused] = refusals(words, known=quota(5, *present))
    start = "elastic_ips.c.address: 198.51.100.9 is allocated already: eipalloc-s2, not of this stack"
    assert refused.startswith(start)


def test_an_address_of_the_stack_that_is_new() -> None:
    """The count shows it under the very name: the read of the stack was a moment behind."""
    words: Words = {"elastic_ips": {"a": {"address": "198.51.100.7"}}}
    assert refusals(words, known=quota(5, stranger(1, "198.51.100.7", STACK, "elastic_ips.a"))) == []
    assert refusals(words, known=quota(5, stranger(1, "198.51.100.8"))) == []
