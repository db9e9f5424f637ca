"""The routes of the spec: the route tables that it selects, and which route leads to which interface. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from enireconcile.kinds.world import RouteKey, World
from enireconcile.live.matching import selects
from enireconcile.live.records import Live, LiveRouteTable, serving
from enireconcile.planning.mistakes import Mistakes, no_match_hint
from enireconcile.spec import NetworkInterface, Path, Route, RouteTableSelector
from enireconcile.spec.checks import is_inside

_SECTION = "network_interfaces"


@dataclass
class Routes:
    """The routes of one spec. ``vpcs`` maps its interfaces to the ids of their VPCs; what EC2 would refuse goes to
    ``mistakes``. ``taken`` has the path of the first item for each route.
    """

    live: Live
    world: World
    vpcs: Mapping[str, str]
    mistakes: Mistakes
    taken: dict[RouteKey, Path] = field(default_factory=dict)

    def tables(self) -> dict[str, LiveRouteTable]:
        """The route tables that the spec names, by id; also those named by rows that are removed."""
        found = (tables_matching(selector, self.live) for selector in self.world.document.route_tables)
        return {tables[0].id: tables[0] for tables in found if len(tables) == 1}

    def awaited(self, names: Iterable[str]) -> dict[RouteKey, str]:
        """The routes that rows of these names get once they are no longer left out, and the name of each row."""
        rows = ((name, self.world.document.network_interfaces.get(name)) for name in sorted(names))
        return {
            RouteKey(tables[0].id, route.destination): name
            for name, row in rows
            for route in (row.routes if row is not None else ())
            if isinstance(route.destination, str)
            and len(tables := tables_matching(route.route_table, self.live)) == 1
        }

    def by_interface(self) -> dict[str, tuple[RouteKey, ...]]:
        """The routes that lead to each interface, sorted."""
        found = {name: self._of(name, row) for name, row in self.world.document.network_interfaces.items()}
        return {name: keys for name, keys in found.items() if keys}

    def _of(self, name: str, row: NetworkInterface) -> tuple[RouteKey, ...]:
        before = len(self.mistakes.found)
        keys = [
            self._key(name, route, (_SECTION, name, "routes", index)) for index, route in enumerate(row.routes)
        ]
        if self.world.leaves(f"{_SECTION}.{name}", "routes"):
            # The row ignores them: other tools may have changed them.
            del self.mistakes.found[before:]
        return tuple(sorted(key for key in keys if key is not None))

    def _key(self, name: str, route: Route, path: Path) -> RouteKey | None:
        """What identifies a route; None if there is a problem, here or with its prefix list."""
        tables = tables_matching(route.route_table, self.live)
        if len(tables) != 1:
            self._refuse_table(route.route_table, (*path, "route_table"), tables)
            return None
        table, vpc = tables[0], self.vpcs.get(name)
        if not isinstance(route.destination, str) or vpc is None:
            return None
        if vpc != table.vpc_id:
            message = f"{table.text} is in {table.vpc_id}, and the interface in {vpc}"
            self.mistakes.add((*path, "route_table"), message, "a route leads to an interface of its own VPC")
            return None
        if words := self._unfit(route.destination, table):
            self.mistakes.add((*path, "destination"), words, "write the CIDR of one of its subnets, or of the VPC")
            return None
        key = RouteKey(table.id, route.destination)
        first = self.taken.setdefault(key, path)
        if first != path:
            whose = f"{_SECTION}.{first[1]}"
            message = f"route {key.destination} of {table.text} leads to {whose} already"
            self.mistakes.add(path, message, "a destination has one route in a route table", touches=[whose])
            return None
        return key

    def _refuse_table(self, selector: RouteTableSelector, path: Path, tables: Sequence[LiveRouteTable]) -> None:
        if tables:
            ids = ", ".join(table.text for table in tables)
            self.mistakes.add(
                path, f"{len(tables)} route tables match {selector.text}: {ids}", "select one of them by its id"
            )
        else:
            message = f"no route table in {self.live.region} matches {selector.text}"
            self.mistakes.add(path, message, no_match_hint(selector, self.live.route_tables, "route table"))

    def _unfit(self, destination: str, table: LiveRouteTable) -> str | None:
        """Why EC2 refuses a destination inside the VPC: it takes only whole subnets."""
        if destination.startswith("pl-"):
            return None
        block = ipaddress.ip_network(destination)
        local = [ipaddress.ip_network(route.destination) for route in table.routes if route.born]
        if not any(is_inside(block, each) for each in local):
            return None
        whole = {str(each) for each in local}
        for subnet in self.live.subnets:
            if subnet.vpc_id == table.vpc_id:
                whole |= {subnet.cidr, *subnet.ipv6_cidrs}
        if destination in whole:
            return None
        return f"{destination} is inside {table.vpc_id}, and not the CIDR of one of its subnets"


def tables_matching(selector: RouteTableSelector, live: Live) -> list[LiveRouteTable]:
    """The route tables that fit a selector, by id."""
    tables = sorted(live.route_tables, key=lambda table: table.id)
    if selector.subnet is not None:
        subnets = (subnet for subnet in live.subnets if selects(selector.subnet, subnet))
        found = (serving(tables, subnet.id, subnet.vpc_id) for subnet in subnets)
        return list({table.id: table for table in found if table is not None}.values())
    if selector.main_of is not None:
        vpcs = {selector.main_of.id} if selector.main_of.id else set()
        vpcs |= {vpc.id for vpc in live.vpcs if selects(selector.main_of, vpc)}
        return [table for table in tables if table.main and table.vpc_id in vpcs]
    if selector.tags is not None:
        return [table for table in tables if selector.tags.items() <= table.tags.items()]
    return [table for table in tables if table.id == selector.id]
