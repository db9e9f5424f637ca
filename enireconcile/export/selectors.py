"""How a spec names what it does not manage: by what stays the same elsewhere, else by id. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from enireconcile.live.records import LiveRouteTable, LiveSecurityGroup
from enireconcile.live.selected import Selected
from enireconcile.spec import ForeignSelector, Selector

Plain = Any
"""A value as a spec file says it: text, or a mapping."""


class Selectors:
    """Selectors that match exactly one resource, for what was read."""

    def __init__(self, found: Selected) -> None:
        self._found = found

    def knows_subnet(self, subnet_id: str) -> bool:
        """Does EC2 list the subnet? One that another account no longer shares is not listed."""
        return subnet_id in self._subnets

    def subnet(self, subnet_id: str) -> Plain:
        """A unique Name, the default of its zone, a unique CIDR, or the id."""
        subnet = self._subnets.get(subnet_id)
        if subnet is None:
            return subnet_id
        zone = {"default_for_az": subnet.zone} if subnet.default_for_az else None
        cidr = {"cidr": subnet.cidr} if self._subnet_cidrs[subnet.cidr] == 1 else None
        return _first(_by_name(subnet.tags, self._subnet_names), zone, cidr) or subnet_id

    def vpc(self, vpc_id: str) -> Plain:
        """None for the default VPC; a unique Name, a unique CIDR, or the id."""
        vpc = next((each for each in self._found.vpcs if each.id == vpc_id), None)
        if vpc is None:
            return vpc_id
        if vpc.is_default:
            return None
        cidrs = Counter(cidr for each in self._found.vpcs for cidr in each.cidrs)
        cidr = next(({"cidr": each} for each in vpc.cidrs if cidrs[each] == 1), None)
        names = Counter(each.tags.get("Name") for each in self._found.vpcs)
        return _first(_by_name(vpc.tags, names), cidr) or vpc_id

    def has_ipv6(self, vpc_id: str) -> bool:
        """Does a new group of the VPC also allow all egress by IPv6?"""
        return any(vpc.ipv6 for vpc in self._found.vpcs if vpc.id == vpc_id)

    def group(self, peer: str, vpc_id: str) -> Plain:
        """A group without a row: its name, which is unique in a VPC, if it is in this one; else the id."""
        group = self._groups.get(peer)
        if group is None or group.vpc_id != vpc_id or not _fits(ForeignSelector, {"group_name": group.name}):
            return peer
        return {"group_name": group.name}

    def prefix_list(self, list_id: str) -> Plain:
        """A prefix list by its name, if that is unique."""
        names = Counter(each.name for each in self._found.prefix_lists)
        name = next((each.name for each in self._found.prefix_lists if each.id == list_id), "")
        selector = {"prefix_list_name": name}
        return selector if names[name] == 1 and _fits(ForeignSelector, selector) else list_id

    def route_table(self, table: LiveRouteTable) -> Plain:
        """A unique Name, the main one of a VPC that has more than its id, or the id."""
        if named := _first(_by_name(table.tags, self._table_names)):
            return named
        vpc = self.vpc(table.vpc_id)
        return {"main_of": vpc or "default"} if table.main and vpc != table.vpc_id else table.id

    def routes_to(self, interface_id: str) -> list[dict[str, Plain]]:
        """The routes that lead to an interface."""
        return self._routes.get(interface_id, [])

    def is_default_group(self, group_id: str) -> bool:
        """Is it the default group of its VPC?"""
        group = self._groups.get(group_id)
        return group is not None and group.name == "default"

    @cached_property
    def _groups(self) -> dict[str, LiveSecurityGroup]:
        outside = (live for live in self._found.outside if isinstance(live, LiveSecurityGroup))
        return {group.id: group for group in (*self._found.security_groups, *outside)}

    @cached_property
    def _subnets(self) -> dict[str, Any]:
        return {subnet.id: subnet for subnet in self._found.subnets}

    @cached_property
    def _subnet_names(self) -> Counter[str | None]:
        return Counter(subnet.tags.get("Name") for subnet in self._found.subnets)

    @cached_property
    def _subnet_cidrs(self) -> Counter[str]:
        return Counter(subnet.cidr for subnet in self._found.subnets)

    @cached_property
    def _routes(self) -> dict[str, list[dict[str, Plain]]]:
        """The routes by what they lead to."""
        found: dict[str, list[dict[str, Plain]]] = {}
        for table in sorted(self._found.route_tables, key=lambda table: table.id):
            for route in table.routes:
                end = route.destination
                said = self.prefix_list(end) if end.startswith("pl-") else end
                item = {"route_table": self.route_table(table), "destination": said}
                found.setdefault(route.target, []).append(item)
        return found

    @cached_property
    def _table_names(self) -> Counter[str | None]:
        return Counter(table.tags.get("Name") for table in self._found.route_tables)


def _by_name(tags: Mapping[str, str], names: Counter[str | None]) -> Plain:
    """By the Name tag, if it is unique."""
    name = tags.get("Name")
    return {"tags": {"Name": name}} if name and names[name] == 1 else None


def _first(*selectors: Plain) -> Plain:
    """The first selector that a spec can say."""
    said: Iterable[Plain] = (each for each in selectors if each is not None and _fits(Selector, each))
    return next(iter(said), None)


def _fits(model: type[Selector] | type[ForeignSelector], value: Mapping[str, Any]) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True
