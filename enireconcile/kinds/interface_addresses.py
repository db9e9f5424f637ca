"""What an interface has beyond its primary address: more IPv4 addresses, IPv6 addresses, prefixes of both. Pure.

The spec lists each of these, or says how many, or leaves them alone. An address moves if the spec lists it for one
interface and another interface of the stack has it: EC2 reassigns IPv4 addresses in one call, with the Elastic IPs
on them; IPv6 addresses and prefixes have to be unassigned first. The steps of the interface that gets the address
make these calls. A number is requested once, as the difference from what was read, because EC2 adds as many at
each request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

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
    active_holder,
    givers,
    taken_over,
    taking,
)
from enireconcile.kinds.world import World
from enireconcile.live.records import LiveNetworkInterface
from enireconcile.model import Condition, Expect, Impact, Proof, Ref, Step
from enireconcile.spec import NetworkInterface


class AddressList(Struct, frozen=True):
    """One list of addresses or prefixes of an interface.

    ``many`` and ``count`` are the keys of the spec, ``held`` is the field of the live record. ``listed`` and
    ``counted`` are EC2's parameters, and ``shown`` is the list in DescribeNetworkInterfaces, which has ``besides``
    entries more. ``moves`` says that EC2 reassigns its addresses in one call.
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


ADDRESSES4 = AddressList(
    "secondary_private_ips", "secondary_private_ip_count", "secondary_ips",
    "PrivateIpAddresses", "SecondaryPrivateIpAddressCount", "PrivateIpAddresses",
    assign_call="AssignPrivateIpAddresses", unassign_call="UnassignPrivateIpAddresses",
    moves=True, besides=1,
)  # fmt: skip
ADDRESSES6 = AddressList(
    "ipv6_addresses", "ipv6_address_count", "ipv6_addresses", "Ipv6Addresses", "Ipv6AddressCount", "Ipv6Addresses",
    assign_call="AssignIpv6Addresses", unassign_call="UnassignIpv6Addresses",
)  # fmt: skip
PREFIXES4 = AddressList(
    "ipv4_prefixes", "ipv4_prefix_count", "ipv4_prefixes", "Ipv4Prefixes", "Ipv4PrefixCount", "Ipv4Prefixes",
    assign_call="AssignPrivateIpAddresses", unassign_call="UnassignPrivateIpAddresses",
)  # fmt: skip
PREFIXES6 = AddressList(
    "ipv6_prefixes", "ipv6_prefix_count", "ipv6_prefixes", "Ipv6Prefixes", "Ipv6PrefixCount", "Ipv6Prefixes",
    assign_call="AssignIpv6Addresses", unassign_call="UnassignIpv6Addresses",
)  # fmt: skip
ADDRESS_LISTS = (ADDRESSES4, ADDRESSES6, PREFIXES4, PREFIXES6)
ATTRIBUTES = tuple(
    Attribute(key, calls=(addresses.assign_call, addresses.unassign_call))
    for addresses in ADDRESS_LISTS
    for key in (addresses.many, addresses.count)
)


def wanted(name: str, row: NetworkInterface, live: LiveNetworkInterface | None, world: World) -> dict[str, Any]:
    """The addresses and prefixes that an interface is to have, in normal form. An additive list keeps others."""
    want: dict[str, Any] = {}
    for addresses in ADDRESS_LISTS:
        listed, count = getattr(row, addresses.many), getattr(row, addresses.count)
        if listed is not None:
            adds = live is not None and world.adds_to(f"network_interfaces.{name}", addresses.many)
            want[addresses.many] = sorted({*listed, *(_kept(addresses, live, world) if live and adds else ())})
        if count is not None:
            want[addresses.count] = count
    return want


def found(live: LiveNetworkInterface, world: World) -> dict[str, Any]:
    """Those of a live interface, in the same form. A number leaves out what moves to another interface."""
    have: dict[str, Any] = {}
    for addresses in ADDRESS_LISTS:
        have[addresses.many] = list(getattr(live, addresses.held))
        have[addresses.count] = len(_kept(addresses, live, world))
    return have


def creation_params(item: Item, world: World) -> dict[str, Any]:
    """The parameters of CreateNetworkInterface for addresses.

    EC2 takes IPv4 addresses there as one list that includes the primary address, or as a number. It takes no
    addresses together with prefixes, and has failed for prefixes together with tags, so prefixes are assigned
    later. So are addresses that other interfaces of the stack still have.
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
    if want.get(ADDRESSES4.count) and not _counted_later(item, world):
        params[ADDRESSES4.counted] = want[ADDRESSES4.count]
    if now := [each for each in want.get(ADDRESSES6.many, ()) if each not in later]:
        params[ADDRESSES6.listed] = [{"Ipv6Address": each} for each in now]
    elif want.get(ADDRESSES6.count):
        params[ADDRESSES6.counted] = want[ADDRESSES6.count]
    elif not {ADDRESSES6.many, ADDRESSES6.count}.isdisjoint(want) and gives_ipv6(want["subnet"], world):
        params[ADDRESSES6.counted] = 0
    return params


def proof(params: Mapping[str, Any]) -> Proof | None:
    """The proof of an interface that these parameters of CreateNetworkInterface create: its primary address."""
    if params.get("InterfaceType") == "efa-only":
        return None
    address, subnet = "NetworkInterface.PrivateIpAddress", "NetworkInterface.SubnetId"
    named = not {"PrivateIpAddress", "PrivateIpAddresses"}.isdisjoint(params)
    return Proof(
        pins={} if named else {"PrivateIpAddress": address},
        describe="DescribeNetworkInterfaces",
        holder={"addresses.private-ip-address": address, "subnet-id": subnet},
    )


def gets_ipv6(params: Mapping[str, Any], world: World) -> bool:
    """Does a CreateNetworkInterface give the interface an IPv6 address?"""
    if ADDRESSES6.listed in params or ADDRESSES6.counted in params:
        return bool(params.get(ADDRESSES6.listed) or params.get(ADDRESSES6.counted))
    return gives_ipv6(params["SubnetId"], world)


def creation_steps(item: Item, world: World) -> list[Step]:
    """The steps that assign what CreateNetworkInterface does not."""
    want, later = item.want, givers(item.name, world)
    alone = "private_ip" not in want
    steps = _take(
        ADDRESSES4, [each for each in want.get(ADDRESSES4.many, ()) if alone or each in later], item, world
    )
    steps += _take(ADDRESSES6, [each for each in want.get(ADDRESSES6.many, ()) if each in later], item, world)
    if _counted_later(item, world):
        steps += _add(ADDRESSES4, want[ADDRESSES4.count], item, world, present=0)
    for addresses in (PREFIXES4, PREFIXES6):
        steps += _take(addresses, want.get(addresses.many, ()), item, world)
        steps += _add(addresses, want.get(addresses.count, 0), item, world, present=0)
    return steps


def change(item: Item, world: World) -> list[Step]:
    """The steps that lead from the addresses of a live interface to those of the spec."""
    live = world.record(item.address, LiveNetworkInterface)
    if live is None:
        return []
    steps: list[Step] = []
    for addresses in ADDRESS_LISTS:
        held, kept = getattr(live, addresses.held), _kept(addresses, live, world)
        if item.differs(addresses.many):
            wanted = item.want[addresses.many]
            steps += _take(addresses, [each for each in wanted if each not in held], item, world)
            steps += _give(addresses, [each for each in kept if each not in wanted], item, live, world)
        if item.differs(addresses.count):
            missing = item.want[addresses.count] - len(kept)
            # Addresses with an Elastic IP are unassigned last, those that the spec gives one after all others.
            # EC2 never unassigns the primary IPv6 address.
            named = {each.private_ip for each in world.destinations_on.get(item.name, ())}
            order = sorted(
                kept, key=lambda each: (each == live.primary_ipv6, each in named, each in live.addresses, each)
            )
            steps += _give(addresses, order[: max(0, -missing)], item, live, world)
            # While others take addresses over, the final number is not known.
            present = len(kept) if len(kept) == len(held) else None
            steps += _add(addresses, max(0, missing), item, world, present=present)
    return steps


def chosen_at_creation(item: Item, world: World) -> dict[Ref, str]:
    """The addresses that a creation lets EC2 choose and Elastic IPs wait for, by their paths in the interface."""
    if _counted_later(item, world):
        return {}
    others = "PrivateIpAddresses[?!Primary]"
    return {
        ref: f"{others} | [{number}].PrivateIpAddress" for number, ref in enumerate(world.awaited_ips(item.name))
    }


def named_in(params: Mapping[str, Any]) -> list[str]:
    """The addresses that CreateNetworkInterface names."""
    rows = params.get("PrivateIpAddresses", [{"PrivateIpAddress": params.get("PrivateIpAddress")}])
    named = [row["PrivateIpAddress"] for row in rows]
    return [each for each in (*named, *(row["Ipv6Address"] for row in params.get(ADDRESSES6.listed, ()))) if each]


def _counted_later(item: Item, world: World) -> bool:
    """Does EC2 choose the further addresses only in a call of their own?

    That is so for several new interfaces of a subnet that both name an address and let EC2 choose more: whichever
    were created first, EC2 might choose the address that another one names.
    """
    return item.name in world.mixed_births.get(str(item.want["subnet"]), ())


def leaves_some_to_ec2(item: Item, world: World) -> bool:
    """Does EC2 choose any of the IPv4 addresses with which an interface is created?"""
    counted = bool(item.want.get(ADDRESSES4.count)) and not _counted_later(item, world)
    return "private_ip" not in item.want or counted


def named_first(item: Item, world: World) -> set[Condition]:
    """The condition for a call that lets EC2 choose addresses: earlier, EC2 may choose one that the spec names."""
    want = item.want
    if not leaves_some_to_ec2(item, world):
        return set()
    early, late = named_addresses_taken(want["subnet"]), named_addresses_taken(want["subnet"], late=True)
    names_some = "private_ip" in want or want.get(ADDRESSES4.many) or want.get(PREFIXES4.many)
    return {early} if names_some else {early, late}


def stuck(item: Item, world: World) -> bool:
    """Is the primary address, which EC2 may have chosen, listed among the secondary ones?"""
    live = world.record(item.address, LiveNetworkInterface)
    return live is not None and live.private_ip in item.want.get(ADDRESSES4.many, ())


def takeover_warnings(item: Item, world: World) -> list[str]:
    """A warning for each interface in use from which this plan takes addresses or prefixes.

    Another tool may have moved them there, because its node is the active one.
    """
    found = givers(item.name, world)
    warnings = []
    for addresses in ADDRESS_LISTS:
        listed = [each for each in item.want.get(addresses.many, ()) if each in found]
        for live in {found[each].id: found[each] for each in listed}.values():
            holder = active_holder(live, item.name, world)
            if holder is not None:
                moving = ", ".join(each for each in listed if found[each] is live)
                warnings.append(taking(item.address, moving, holder, addresses.many))
    return warnings


def primary_ip_conflict_warning(item: Item, world: World) -> str | None:
    """A warning, if EC2 may choose a primary address that the spec lists as a secondary one.

    An interface without ``private_ip`` gets its secondary addresses after it is created. Until then EC2 may choose
    them as primary addresses. In a subnet with many free addresses that is unlikely.
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
        f"{item.address}: EC2 chooses its primary address from the {subnet.free} free addresses of the subnet, "
        f"and may choose one of the {len(named)} that the spec lists as secondary_private_ips; write "
        "private_ip, too"
    )


_UNLIKELY = 100
"""A conflict that is less likely than one in this many needs no warning."""


def gives_ipv6(subnet_id: str, world: World) -> bool:
    """Does the subnet assign an IPv6 address to every new interface that does not set a number?"""
    subnet = world.subnets_by_id.get(subnet_id)
    return subnet is not None and subnet.gives_ipv6


def _kept(addresses: AddressList, live: LiveNetworkInterface, world: World) -> list[str]:
    """The addresses of a live interface that no other interface takes over."""
    moving_on = taken_over(live, world)
    return [each for each in getattr(live, addresses.held) if each not in moving_on]


def _take(addresses: AddressList, items: Sequence[str], item: Item, world: World) -> list[Step]:
    """Assign these in one call. Those that another interface of the stack has move."""
    if not items:
        return []
    from_whom = {live.id: live for each, live in givers(item.name, world).items() if each in items}
    # Addresses of the interface that this one replaces move when the new one is attached.
    late = any(_is_former(live, item, world) for live in from_whom.values())
    subnet = world.subnets[item.name]
    there = named_addresses_taken(subnet, late=item.have is None)
    brought = {Fact.CONFIGURED.of(item.address), there} if not late else set()
    moving = addresses.moves and bool(from_whom)
    step = Step(
        id=f"{item.address}/{addresses.assign_call}/{addresses.listed}",
        call=addresses.assign_call,
        params={
            "NetworkInterfaceId": world.id_of(item.address),
            addresses.listed: list(items),
            **({"AllowReassignment": moving} if addresses.moves else {}),
        },
        address=item.address,
        impact=Impact.DISRUPTIVE if moving else Impact.SAFE,
        after=frozenset({Fact.ATTACHED.of(item.address)} if late else ()),
        claims=frozenset(private_slot(subnet, each) for each in items),
        brings=frozenset(
            brought
            | _assigns(addresses, item)
            | ({*map(Fact.ADDRESSES_HANDED_OVER.of, from_whom)} if moving else set())
        ),
        note=_taking(addresses, from_whom.values(), world) if moving else None,
    )
    return [step] if addresses.moves else [*_set_free(addresses, items, item, world), step]


def _assigns(addresses: AddressList, item: Item, *, counted: bool = False) -> set[Condition]:
    """What an assignment brings about for other steps. None of them needs counted IPv4 addresses of no name."""
    if addresses is ADDRESSES4 and not counted:
        return {Fact.SECONDARY_IPS_ASSIGNED.of(item.address)}
    return {Fact.IPV6_ADDRESSES_ASSIGNED.of(item.address)} if addresses is ADDRESSES6 else set()


def _set_free(addresses: AddressList, items: Sequence[str], item: Item, world: World) -> list[Step]:
    """Unassign from other interfaces of the stack what this one takes over."""
    from_whom: dict[str, tuple[LiveNetworkInterface, list[str]]] = {}
    for each, live in givers(item.name, world).items():
        if each in items:
            from_whom.setdefault(live.id, (live, []))[1].append(each)
    return [
        Step(
            id=f"{item.address}/{addresses.unassign_call}/{addresses.listed}/{live.id}",
            call=addresses.unassign_call,
            params={"NetworkInterfaceId": live.id, addresses.listed: held},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            after=frozenset({Fact.ATTACHED.of(item.address)} if _is_former(live, item, world) else ()),
            brings=frozenset({Fact.ADDRESSES_HANDED_OVER.of(live.id)}),
            frees=frozenset(private_slot(live.subnet_id, each) for each in held),
            note=_taking(addresses, [live], world),
        )
        for live, held in from_whom.values()
    ]


def _taking(addresses: AddressList, from_whom: Iterable[LiveNetworkInterface], world: World) -> str | None:
    """A note on interfaces whose addresses the spec does not manage."""
    left = [
        words for live in from_whom if (words := left_open("network_interfaces", live.id, addresses.many, world))
    ]
    what = "prefixes" if addresses.many.endswith("prefixes") else "addresses"
    return f"takes {what} from {' and '.join(left)}" if left else None


def _is_former(live: LiveNetworkInterface, item: Item, world: World) -> bool:
    return live in world.replaced.get(item.address, ())


def _give(
    addresses: AddressList, items: Sequence[str], item: Item, live: LiveNetworkInterface, world: World
) -> list[Step]:
    """Unassign these."""
    if not items:
        return []
    return [
        Step(
            id=f"{item.address}/{addresses.unassign_call}/{addresses.listed}",
            call=addresses.unassign_call,
            params={"NetworkInterfaceId": live.id, addresses.listed: list(items)},
            address=item.address,
            impact=Impact.DISRUPTIVE,
            # Elastic IPs that move elsewhere move first: EC2 would disassociate them.
            claims=frozenset(target_slot(live.id, each) for each in items),
            frees=frozenset(private_slot(live.subnet_id, each) for each in items),
            brings=frozenset({Fact.CONFIGURED.of(item.address)}),
            note=dropped(live, items, world),
        )
    ]


def _assigned(addresses: AddressList, item: Item, world: World) -> dict[Ref, str]:
    """The addresses that Elastic IPs wait for, in the answer of AssignPrivateIpAddresses."""
    refs = world.awaited_ips(item.name) if addresses is ADDRESSES4 else []
    return {ref: f"AssignedPrivateIpAddresses[{number}].PrivateIpAddress" for number, ref in enumerate(refs)}


def _added(addresses: AddressList, item: Item, world: World) -> dict[Ref, str]:
    """The same in the interface as it is afterwards, for an answer can be lost."""
    live, refs = world.record(item.address, LiveNetworkInterface), _assigned(addresses, item, world)
    before = json.dumps(live.secondary_ips if live else ())
    added = f"PrivateIpAddresses[?!Primary && !contains(`{before}`, PrivateIpAddress)].PrivateIpAddress | sort(@)"
    return {ref: f"{added} | [{number}]" for number, ref in enumerate(refs)}


def _add(addresses: AddressList, number: int, item: Item, world: World, *, present: int | None) -> list[Step]:
    """Let EC2 assign ``number`` more. The step waits until they are visible, so that no later read requests them
    again.
    """
    if not number:
        return []
    interface_id, subnet = world.id_of(item.address), world.subnets[item.name]
    until = None
    if present is not None:
        there = (f"length({addresses.shown} || `[]`) >= `{present + number + addresses.besides}`", (True,))
        until = Expect(INTERFACES, interface_id, has=(there,), timeout=60)
    return [
        Step(
            id=f"{item.address}/{addresses.assign_call}/{addresses.counted}",
            call=addresses.assign_call,
            params={"NetworkInterfaceId": interface_id, addresses.counted: number},
            address=item.address,
            brings=frozenset({Fact.CONFIGURED.of(item.address)} | _assigns(addresses, item, counted=True)),
            rather=frozenset({named_addresses_taken(subnet), named_addresses_taken(subnet, late=True)}),
            yields=_assigned(addresses, item, world) if until is None else {},
            until=until,
            sees=_added(addresses, item, world) if until is not None else {},
            once=True,
        )
    ]
