"""Addresses and prefixes that move from one interface to another one, and warnings of such moves. Pure."""

from __future__ import annotations

from enireconcile.kinds.world import World
from enireconcile.live.records import (
    LiveInstance,
    LiveNetworkInterface,
)
from enireconcile.spec import ADDRESS_KEYS


def further_ips(name: str, world: World) -> tuple[str, ...]:
    """The secondary private addresses that the spec lists for an interface, unless it ignores them."""
    if world.leaves(f"network_interfaces.{name}", "secondary_private_ips"):
        return ()
    return world.document.network_interfaces[name].secondary_private_ips or ()


def _further_ips6(name: str, world: World) -> tuple[str, ...]:
    """The IPv6 addresses that the spec lists for an interface, unless it ignores them."""
    if world.leaves(f"network_interfaces.{name}", "ipv6_addresses"):
        return ()
    return world.document.network_interfaces[name].ipv6_addresses or ()


def in_the_way(live: LiveNetworkInterface, world: World) -> bool:
    """Must an interface be deleted before another one can be created, or can have its addresses?

    A secondary address can move to another interface. A primary address, of IPv4 or IPv6, never leaves its
    interface.
    """
    return any(
        live.private_ip in (row.private_ip, *further_ips(name, world))
        or (row.private_ip in live.secondary_ips and f"network_interfaces.{name}" not in world.owned)
        or live.primary_ipv6 in _further_ips6(name, world)
        for name, row in world.document.network_interfaces.items()
        if world.subnets[name] == live.subnet_id
    )


def taken_over(live: LiveNetworkInterface, world: World) -> dict[str, str]:
    """Addresses and prefixes of an interface of the stack that move to another one, with the name of that one.

    IPv4 addresses move in one call, with their Elastic IPs.
    """
    if not live.further or (any(record is live for _, record in world.leaving) and in_the_way(live, world)):
        return {}
    takers = {each: world.named.get((live.subnet_id, each)) for each in live.further}
    return {
        each: name
        for each, name in takers.items()
        if name is not None and world.owned.get(f"network_interfaces.{name}") is not live
    }


def givers(name: str, world: World) -> dict[str, LiveNetworkInterface]:
    """Addresses and prefixes that an interface takes over from others of the stack, with those that have them."""
    row, subnet = world.document.network_interfaces[name], world.subnets[name]
    listed = [each for many, _ in ADDRESS_KEYS for each in getattr(row, many) or ()]
    holders = {each: world.holders[subnet, each] for each in listed if (subnet, each) in world.holders}
    return {each: live for each, live in holders.items() if taken_over(live, world).get(each) == name}


def active_holder(live: LiveNetworkInterface, taker: str, world: World) -> str | None:
    """An interface that is in use, and its instance, in words, if ``taker`` belongs to another instance.

    ``taker`` is an interface by its name in the spec, or by its id. None also if the plan deletes the interface,
    or if its instance is known not to run.
    """
    place = world.standing(live)
    leaving = any(record.id == live.id for _, record in world.leaving)
    if place is None or leaving or world.is_ending(place.instance_id):
        return None
    host = world.name_of(place.instance_id)
    instance = world.record(f"instances.{host}", LiveInstance)
    if host == _host_of(taker, world) or (instance is not None and instance.state != "running"):
        return None
    name = world.name_of(live.id)
    interface = live.id if name == live.id else f"network_interfaces.{name} ({live.id})"
    return f"{interface} on {'the running instance ' if instance else ''}{host}"


def _host_of(interface: str, world: World) -> str | None:
    """The instance that an interface belongs to, by its name, or by its id if it has none."""
    if interface in world.placements:
        return world.placements[interface].instance
    live = world.interface(interface)
    return world.name_of(live.attachment.instance_id) if live and live.attachment else None


def taking(address: str, what: str, holder: str, attribute: str) -> str:
    """The warning that a resource takes over what an interface in use has now."""
    return (
        f"{address}: takes {what} from {holder}; if another tool has moved it there, write "
        f"lifecycle: {{ignore: [{attribute}]}}"
    )
