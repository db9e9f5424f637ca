"""What an interface has beyond its primary address: more IPv4 addresses, IPv6 addresses, prefixes of both. Pure.

Each of these pools is listed in the spec, or counted, or left alone. What is listed for an interface and held by
another of ours moves: EC2 reassigns IPv4 addresses in one call, with the Elastic IPs on them; everything else has
to be unassigned first. Whoever takes makes the calls; whoever gives makes none for what is taken. A number is
asked for once, as the difference from what was read, since EC2 adds it every time that it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item
from enireconcile.kinds.conditions import Fact, named_addresses_taken
from enireconcile.kinds.detach import (
    INTERFACES,
)
from enireconcile.kinds.disassociate import (
    dropped,
    left_open,
)
from enireconcile.kinds.slots import (
    private_slot,
    target_slot,
)
from enireconcile.kinds.takeover import (
    givers,
    taken_over,
)
from enireconcile.kinds.world import World
from enireconcile.live.records import LiveNetworkInterface
from enireconcile.model import Condition, Expect, Impact, Step
from enireconcile.spec import NetworkInterface


@dataclass(frozen=True)
class Pool:
    """One sort. ``many`` and ``count`` are the keys of the spec, ``held`` is the field of the live record.

    ``listed`` and ``counted`` are EC2's parameters, and ``shown`` the list in its description, which has
    ``besides`` entries more. ``moves`` says that EC2 reassigns in one call.
    """

    many: str
    count: str
    held: str
    listed: str
    counted: str
    shown: str
    assign_call: str
    unassign_call: str
    moves: bool = False
    besides: int = 0


ADDRESSES4 = Pool(
    "secondary_private_ips", "secondary_private_ip_count", "secondary_ips",
    "PrivateIpAddresses", "SecondaryPrivateIpAddressCount", "PrivateIpAddresses",
    assign_call="AssignPrivateIpAddresses", unassign_call="UnassignPrivateIpAddresses",
    moves=True, besides=1,
)  # fmt: skip
ADDRESSES6 = Pool(
    "ipv6_addresses", "ipv6_address_count", "ipv6_addresses", "Ipv6Addresses", "Ipv6AddressCount", "Ipv6Addresses",
    assign_call="AssignIpv6Addresses", unassign_call="UnassignIpv6Addresses",
)  # fmt: skip
PREFIXES4 = Pool(
    "ipv4_prefixes", "ipv4_prefix_count", "ipv4_prefixes", "Ipv4Prefixes", "Ipv4PrefixCount", "Ipv4Prefixes",
    assign_call="AssignPrivateIpAddresses", unassign_call="UnassignPrivateIpAddresses",
)  # fmt: skip
PREFIXES6 = Pool(
    "ipv6_prefixes", "ipv6_prefix_count", "ipv6_prefixes", "Ipv6Prefixes", "Ipv6PrefixCount", "Ipv6Prefixes",
    assign_call="AssignIpv6Addresses", unassign_call="UnassignIpv6Addresses",
)  # fmt: skip
POOLS = (ADDRESSES4, ADDRESSES6, PREFIXES4, PREFIXES6)
ATTRIBUTES = tuple(
    Attribute(key, calls=(pool.assign_call, pool.unassign_call))
    for pool in POOLS
    for key in (pool.many, pool.count)
)


def wanted(row: NetworkInterface) -> dict[str, Any]:
    """What a row of the spec says of its pools, in normal form."""
    keys = [key for pool in POOLS for key in (pool.many, pool.count)]
    said = {key: getattr(row, key) for key in keys if getattr(row, key) is not None}
    return {key: sorted(value) if isinstance(value, tuple) else value for key, value in said.items()}


def found(live: LiveNetworkInterface, world: World) -> dict[str, Any]:
    """The pools of a live interface, in the same form. What others take does not count any more."""
    have: dict[str, Any] = {}
    for pool in POOLS:
        have[pool.many] = list(getattr(live, pool.held))
        have[pool.count] = len(_kept(pool, live, world))
    return have


def at_birth(item: Item, world: World) -> dict[str, Any]:
    """Addresses in CreateNetworkInterface.

    EC2 takes IPv4 addresses there only as a whole list, the primary one included, or as a number; it takes no
    addresses beside prefixes, and has been seen to fail at prefixes that are named beside tags, so prefixes come
    after. What others of ours still hold does, too.
    """
    want, later = item.want, givers(item.name, world)
    params: dict[str, Any] = {}
    primary = want.get("private_ip")
    now = [each for each in want.get(ADDRESSES4.many, ()) if each not in later]
    if primary is not None and now:
        others = [{"PrivateIpAddress": each, "Primary": False} for each in now]
        params["PrivateIpAddresses"] = [{"PrivateIpAddress": primary, "Primary": True}, *others]
    elif primary is not None:
        params["PrivateIpAddress"] = primary
    if want.get(ADDRESSES4.count):
        params[ADDRESSES4.counted] = want[ADDRESSES4.count]
    if now := [each for each in want.get(ADDRESSES6.many, ()) if each not in later]:
        params[ADDRESSES6.listed] = [{"Ipv6Address": each} for each in now]
    elif want.get(ADDRESSES6.count):
        params[ADDRESSES6.counted] = want[ADDRESSES6.count]
    elif not {ADDRESSES6.many, ADDRESSES6.count}.isdisjoint(want) and _gives_ipv6(want["subnet"], world):
        params[ADDRESSES6.counted] = 0
    return params


def after_birth(item: Item, world: World) -> list[Step]:
    """The calls for what CreateNetworkInterface does not bring along."""
    want, later = item.want, givers(item.name, world)
    alone = "private_ip" not in want
    steps = _take(
        ADDRESSES4, [each for each in want.get(ADDRESSES4.many, ()) if alone or each in later], item, world
    )
    steps += _take(ADDRESSES6, [each for each in want.get(ADDRESSES6.many, ()) if each in later], item, world)
    for pool in (PREFIXES4, PREFIXES6):
        steps += _take(pool, want.get(pool.many, ()), item, world)
        steps += _add(pool, want.get(pool.count, 0), item, world, present=0)
    return steps


def change(item: Item, world: World) -> list[Step]:
    """The calls that lead from the pools of a live interface to the wanted ones."""
    live = world.record(item.address, LiveNetworkInterface)
    if live is None:
        return []
    steps: list[Step] = []
    for pool in POOLS:
        held, kept = getattr(live, pool.held), _kept(pool, live, world)
        if item.differs(pool.many):
            wanted = item.want[pool.many]
            steps += _take(pool, [each for each in wanted if each not in held], item, world)
            steps += _give(pool, [each for each in kept if each not in wanted], item, live, world)
        if item.differs(pool.count):
            missing = item.want[pool.count] - len(kept)
            # Those with an Elastic IP are the last to go.
            order = sorted(kept, key=lambda each: (each in live.addresses, each))
            steps += _give(pool, order[: max(0, -missing)], item, live, world)
            # While others take from it, the number that will be there is not to be told.
            present = len(kept) if len(kept) == len(held) else None
            steps += _add(pool, max(0, missing), item, world, present=present)
    return steps


def named_in(params: Mapping[str, Any]) -> list[str]:
    """The addresses that CreateNetworkInterface names."""
    rows = params.get("PrivateIpAddresses", [{"PrivateIpAddress": params.get("PrivateIpAddress")}])
    named = [row["PrivateIpAddress"] for row in rows]
    return [each for each in (*named, *(row["Ipv6Address"] for row in params.get(ADDRESSES6.listed, ()))) if each]


def leaves_some_to_ec2(want: Mapping[str, Any]) -> bool:
    """Does EC2 choose any of the IPv4 addresses that an interface is made with?"""
    return "private_ip" not in want or bool(want.get(ADDRESSES4.count))


def named_first(want: Mapping[str, Any]) -> set[Condition]:
    """What a call that lets EC2 choose addresses had better wait for, lest EC2 choose one that the spec names."""
    if not leaves_some_to_ec2(want):
        return set()
    early, late = named_addresses_taken(want["subnet"]), named_addresses_taken(want["subnet"], late=True)
    names_some = "private_ip" in want or want.get(ADDRESSES4.many) or want.get(PREFIXES4.many)
    return {early} if names_some else {early, late}


def stuck(item: Item, world: World) -> bool:
    """Is its primary address one that it shall have beside the primary one? EC2 can have chosen it so."""
    live = world.record(item.address, LiveNetworkInterface)
    return live is not None and live.private_ip in item.want.get(ADDRESSES4.many, ())


def primary_ip_conflict_warning(item: Item, world: World) -> str | None:
    """A warning, if EC2 may well choose a primary address that the spec has another use for.

    Those who name only further addresses ask for these when they are there; until then EC2 may give them to any
    interface that leaves its primary one to EC2. In a subnet with room for many that is no matter.
    """
    if item.have is not None or "private_ip" in item.want or not item.want.get(ADDRESSES4.many):
        return None
    subnet = world.subnets_by_id.get(item.want["subnet"])
    named = {
        each
        for name, row in world.document.network_interfaces.items()
        if world.subnets[name] == item.want["subnet"] and row.private_ip is None
        for each in row.secondary_private_ips or ()
        if (item.want["subnet"], each) not in world.holders
    }
    if subnet is None or subnet.free is None or len(named) * _UNLIKELY < subnet.free:
        return None
    return (
        f"{item.address}: EC2 chooses its primary address among {subnet.free}, and may choose one of the "
        f"{len(named)} that the spec names as secondary_private_ips; write a private_ip, too"
    )


_UNLIKELY = 100
"""A chance of one in so many is not worth a word."""


def _gives_ipv6(subnet_id: str, world: World) -> bool:
    """Does the subnet give an address to every interface that does not say how many it wants?"""
    subnet = world.subnets_by_id.get(subnet_id)
    return subnet is not None and subnet.gives_ipv6


def _kept(pool: Pool, live: LiveNetworkInterface, world: World) -> list[str]:
    """What an interface holds and no other one is to have."""
    moving_on = taken_over(live, world)
    return [each for each in getattr(live, pool.held) if each not in moving_on]


def _take(pool: Pool, items: Sequence[str], item: Item, world: World) -> list[Step]:
    """Take these, all in one call; what another interface of ours gives up moves."""
    if not items:
        return []
    from_whom = {live.id: live for each, live in givers(item.name, world).items() if each in items}
    # What comes over from the one that this one replaces comes when the new one can answer.
    late = any(_is_former(live, item, world) for live in from_whom.values())
    subnet = world.subnets[item.name]
    there = named_addresses_taken(subnet, late=item.have is None)
    brought = {Fact.CONFIGURED.of(item.address), there} if not late else set()
    moving = pool.moves and bool(from_whom)
    step = Step(
        id=f"{item.address}/{pool.assign_call}/{pool.listed}",
        call=pool.assign_call,
        params={
            "NetworkInterfaceId": world.id_of(item.address),
            pool.listed: list(items),
            **({"AllowReassignment": moving} if pool.moves else {}),
        },
        address=item.address,
        impact=Impact.DISRUPTIVE if moving else Impact.SAFE,
        after=frozenset({Fact.ATTACHED.of(item.address)} if late else ()),
        claims=frozenset(private_slot(subnet, each) for each in items),
        brings=frozenset(
            brought
            | ({Fact.SECONDARY_IPS_ASSIGNED.of(item.address)} if pool is ADDRESSES4 else set())
            | ({*map(Fact.ADDRESSES_HANDED_OVER.of, from_whom)} if moving else set())
        ),
        note=_taking(pool, from_whom.values(), world) if moving else None,
    )
    return [step] if pool.moves else [*_set_free(pool, items, item, world), step]


def _set_free(pool: Pool, items: Sequence[str], item: Item, world: World) -> list[Step]:
    """Unassign from other interfaces of ours what this one is to have."""
    from_whom: dict[str, tuple[LiveNetworkInterface, list[str]]] = {}
    for each, live in givers(item.name, world).items():
        if each in items:
            from_whom.setdefault(live.id, (live, []))[1].append(each)
    return [
        Step(
            id=f"{item.address}/{pool.unassign_call}/{pool.listed}/{live.id}",
            call=pool.unassign_call,
            params={"NetworkInterfaceId": live.id, pool.listed: held},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            after=frozenset({Fact.ATTACHED.of(item.address)} if _is_former(live, item, world) else ()),
            brings=frozenset({Fact.ADDRESSES_HANDED_OVER.of(live.id)}),
            frees=frozenset(private_slot(live.subnet_id, each) for each in held),
            note=_taking(pool, [live], world),
        )
        for live, held in from_whom.values()
    ]


def _taking(pool: Pool, from_whom: Iterable[LiveNetworkInterface], world: World) -> str | None:
    """A note on those of which the spec does not say that they give anything."""
    left = [words for live in from_whom if (words := left_open("network_interfaces", live.id, pool.many, world))]
    return f"takes from {' and '.join(left)}" if left else None


def _is_former(live: LiveNetworkInterface, item: Item, world: World) -> bool:
    return live in world.replaced.get(item.address, ())


def _give(pool: Pool, items: Sequence[str], item: Item, live: LiveNetworkInterface, world: World) -> list[Step]:
    """Give these back to the subnet."""
    if not items:
        return []
    return [
        Step(
            id=f"{item.address}/{pool.unassign_call}/{pool.listed}",
            call=pool.unassign_call,
            params={"NetworkInterfaceId": live.id, pool.listed: list(items)},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            # Elastic IPs that move elsewhere leave first; EC2 would drop them.
            claims=frozenset(target_slot(live.id, each) for each in items),
            frees=frozenset(private_slot(live.subnet_id, each) for each in items),
            brings=frozenset({Fact.CONFIGURED.of(item.address)}),
            note=dropped(live, items, world),
        )
    ]


def _add(pool: Pool, number: int, item: Item, world: World, *, present: int | None) -> list[Step]:
    """So many more, of EC2's choice; done when they are to be seen, lest a late read asks for them again."""
    if not number:
        return []
    interface_id, subnet = world.id_of(item.address), world.subnets[item.name]
    until = None
    if present is not None:
        there = (f"length({pool.shown} || `[]`) >= `{present + number + pool.besides}`", (True,))
        until = Expect(INTERFACES, interface_id, has=(there,), timeout=60)
    return [
        Step(
            id=f"{item.address}/{pool.assign_call}/{pool.counted}",
            call=pool.assign_call,
            params={"NetworkInterfaceId": interface_id, pool.counted: number},
            address=item.address,
            brings=frozenset({Fact.CONFIGURED.of(item.address)}),
            rather=frozenset({named_addresses_taken(subnet), named_addresses_taken(subnet, late=True)}),
            until=until,
            once=True,
        )
    ]
