"""The routes that lead to a network interface, in route tables that are not the stack's.

EC2 gives routes no tags: a route is the stack's if the spec names it, or if it leads to an interface of the stack
in a route table that the spec names. Traffic is led only to an interface that is attached to a running instance:
any other route is a black hole. A route that leads elsewhere is moved by one ReplaceRoute, without a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

from msgspec.structs import replace

from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.permissions import Call, Purpose, Read
from enireconcile.kinds.world import Id, RouteKey, World
from enireconcile.live.records import (
    PROPAGATED,
    TARGETS,
    LiveInstance,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    Record,
)
from enireconcile.model import Condition, Expect, Impact, Step

SECTION = "network_interfaces"
_CREATE, _REPLACE, _DELETE = "CreateRoute", "ReplaceRoute", "DeleteRoute"
_DESCRIBE = "DescribeRouteTables"
_VISIBLE = 120.0
"""Seconds after which EC2 must show a route as the call has made it."""


def _names_tables(purpose: Purpose) -> bool:
    return bool(purpose.document.route_tables)


def _searches_main_tables(purpose: Purpose) -> bool:
    return purpose.document.searches_main_route_tables


class Routes(Kind):
    """The ``routes`` of rows of ``network_interfaces``."""

    section = SECTION
    attributes = (
        Attribute("routes", calls=(_CREATE, _REPLACE, _DELETE), may_change=lambda row: bool(row.routes)),
    )
    calls: ClassVar[Mapping[str, Call]] = {
        call: Call(uses=("route-table",)) for call in (_CREATE, _REPLACE, _DELETE)
    }
    reads: ClassVar[Mapping[str, Read]] = {
        _DESCRIBE: Read(_names_tables),
        "DescribeVpcs": Read(_searches_main_tables),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        there = frozenset[RouteKey]() if live is None else _leading_to(live, world)
        wanted = {*world.routes.get(name, ()), *_left_by_former(name, world)}
        if not (wanted or there):
            return {}
        if not _takes_traffic(name, world):
            wanted &= there
        if world.adds_to(f"{SECTION}.{name}", "routes"):
            wanted |= there
        return {"routes": _shown(wanted | _claimed(there, name, world))}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        return None if live is None else {"routes": _shown(_leading_to(live, world))}

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if not item.differs("routes"):
            return []
        wanted = _keys(item.want["routes"])
        present = _keys((item.have or {}).get("routes", ()))
        return [
            *(_lead_here(item, key, world) for key in wanted if key not in present),
            *(_end(item.address, key, world.id_of(item.address), world) for key in present if key not in wanted),
        ]

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        """Routes to an interface that ends, unless other rows take them over."""
        if not isinstance(live, LiveNetworkInterface):
            return ()
        kept = world.routed.keys() | _left_by_former(address.partition(".")[2], world)
        ended = sorted(_leading_to(live, world) - kept)
        return [_end(address, key, live.id, world) for key in ended]

    def blocked_removals(self, world: World) -> Mapping[str, str]:
        """Interfaces with a route that a row is to take over which is left out: the route would end with them."""
        found = {}
        for address, record in world.removed.items():
            awaited = sorted(_leading_to(record, world) & world.awaited_routes.keys())
            if awaited and isinstance(record, LiveNetworkInterface):
                key = awaited[0]
                heir = f"{SECTION}.{world.awaited_routes[key]}"
                found[address] = f"route {key.destination} of {key.route_table}, until {heir} can take it over"
        return found

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """Routes that lead nowhere yet, and a check that drops their traffic."""
        row = world.document.network_interfaces[item.name]
        if world.leaves(item.address, "routes") or not world.routes.get(item.name):
            return ()
        if not _takes_traffic(item.name, world):
            return (
                f"{item.address}: its routes lead here only once it is attached to a running instance; until then "
                "they stay as they are",
            )
        if row.source_dest_check and item.differs("routes"):
            return (
                f"{item.address}: EC2 drops traffic through it that is not for its own addresses: write "
                "source_dest_check: false",
            )
        return ()


def _leading_to(record: Record, world: World) -> frozenset[RouteKey]:
    return world.routes_to.get(record.id, frozenset())


def _claimed(keys: AbstractSet[RouteKey], name: str, world: World) -> set[RouteKey]:
    """Those that rows other than this one name: these move them, or leave them as they are."""
    return {key for key in keys if world.routed.get(key, name) != name}


def _left_by_former(name: str, world: World) -> set[RouteKey]:
    """Routes of others to an interface that is replaced: where the list is additive, its successor gets them."""
    row = world.document.network_interfaces.get(name)
    if row is None or "routes" not in row.lifecycle.additive:
        return set()
    formers = world.replaced.get(f"{SECTION}.{name}", ())
    left = {key for former in formers for key in _leading_to(former, world)}
    return left - _claimed(left, name, world)


def _takes_traffic(name: str, world: World) -> bool:
    """Is the interface attached to a running instance after this plan?"""
    address, place = f"{SECTION}.{name}", world.placements.get(name)
    if world.leaves(address, "attachment"):
        live = world.record(address, LiveNetworkInterface)
        standing = world.standing(live) if live is not None else None
        holder = world.name_of(standing.instance_id) if standing is not None else None
    else:
        holder = place.instance if place is not None else None
    if holder is None:
        return False
    instance = world.record(f"instances.{holder}", LiveInstance)
    row = world.document.own_instances.get(holder)
    if row is not None and not world.leaves(f"instances.{holder}", "state"):
        return row.state == "running"
    # Of an instance that the spec does not name, nothing is known.
    return instance is None or instance.state == "running"


def _shown(keys: Iterable[RouteKey]) -> list[dict[str, str]]:
    return [{"route_table": key.route_table, "destination": key.destination} for key in sorted(keys)]


def _keys(shown: Sequence[Mapping[str, str]]) -> list[RouteKey]:
    return [RouteKey(each["route_table"], each["destination"]) for each in shown]


def _lead_here(item: Item, key: RouteKey, world: World) -> Step:
    """The call that leads a route to the interface."""
    table = world.route_tables[key.route_table]
    before = table.route(key.destination)
    interface = world.id_of(item.address)
    step = Step(
        id=f"{item.address}/{_CREATE}/{key.route_table}/{key.destination}",
        call=_CREATE,
        params={**_destination(key), "NetworkInterfaceId": interface},
        address=item.address,
        after=frozenset(
            {Fact.CONFIGURED.of(item.address), Fact.ATTACHED.of(item.address), *_started(item, world)}
        ),
        until=_leads_to(key, interface, timeout=_VISIBLE),
    )
    if before is None:
        return step
    return replace(
        step,
        id=f"{item.address}/{_REPLACE}/{key.route_table}/{key.destination}",
        call=_REPLACE,
        impact=Impact.DISRUPTIVE,
        # Compare and set: it leads where the plan saw it.
        when=(_leads_to(key, before.target, timeout=0),),
        note=_displaces(before, table, world),
    )


def _started(item: Item, world: World) -> list[Condition]:
    place = world.placements.get(item.name)
    return [Fact.RUNNING.of(f"instances.{place.instance}")] if place is not None else []


def _displaces(before: LiveRoute, table: LiveRouteTable, world: World) -> str:
    ours = next((address for address, record in world.ours if record.id == before.target), None)
    target = f"{ours} ({before.target})" if ours else before.target
    what = "" if before.active else "a black hole to "
    return f"route {before.destination} of {table.text} no longer leads to {what}{target}"


def _end(address: str, key: RouteKey, interface_id: Id, world: World) -> Step:
    """The call that ends a route to an interface. One that EC2 made within the VPC becomes what it was."""
    table = world.route_tables[key.route_table]
    before = table.route(key.destination)
    born = before is not None and before.born
    call, more = (_REPLACE, {"LocalTarget": True}) if born else (_DELETE, {})
    return Step(
        id=f"{address}/{call}/{key.route_table}/{key.destination}",
        call=call,
        params={**_destination(key), **more},
        address=address,
        impact=Impact.DISRUPTIVE,
        # Compare and set: it leads here, or is gone.
        when=(_leads_to(key, interface_id, None, timeout=0),),
        note=f"route {key.destination} of {table.text} ends",
    )


def _destination(key: RouteKey) -> dict[str, Any]:
    return {"RouteTableId": key.route_table, _parameter(key): key.destination}


def _parameter(key: RouteKey) -> str:
    if key.destination.startswith("pl-"):
        return "DestinationPrefixListId"
    return "DestinationIpv6CidrBlock" if ":" in key.destination else "DestinationCidrBlock"


def _leads_to(key: RouteKey, *targets: Id | None, timeout: float) -> Expect:
    # A route that a gateway propagates can have the same destination; EC2 prefers the other one.
    route = f"Routes[?{_parameter(key)}=='{key.destination}' && Origin!='{PROPAGATED}'] | [0]"
    path = f"{route} | not_null({', '.join(TARGETS)})"
    return Expect(_DESCRIBE, key.route_table, has=((path, targets),), timeout=timeout)
