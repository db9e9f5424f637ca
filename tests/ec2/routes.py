"""Route tables: their routes, and which subnets they serve."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from . import filters
from .errors import EC2Error, bad_combination, invalid_value, missing, multiple_interfaces
from .instances import Instances
from .records import Params, Result, Route, RouteTable, Subnet, Vpc
from .state import operation

DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
TARGETS = (
    "CarrierGatewayId",
    "CoreNetworkArn",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "LocalGatewayId",
    "LocalTarget",
    "NatGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)
"""What a route can lead to. This EC2 has internet gateways, NAT gateways, interfaces and instances."""


def destination_key(destination: str) -> str:
    """The field under which EC2 shows a destination."""
    if destination.startswith("pl-"):
        return "DestinationPrefixListId"
    return "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"


class Routes(Instances):
    """EC2 docs: a VPC has a main route table; it serves each subnet without an association of its own."""

    def _route_table(self, table_id: str) -> RouteTable:
        return self.lookup("rtb", self.data.route_tables, table_id)

    def main_route_table(self, vpc_id: str) -> RouteTable:
        return next(each for each in self.data.route_tables.values() if each.vpc_id == vpc_id and each.main)

    def make_route_table(self, vpc_id: str, tags: dict[str, str]) -> RouteTable:
        table = self.born(RouteTable(self.new_id("rtb"), vpc_id, tags=tags))
        self.data.route_tables[table.id] = table
        return table

    def make_main_route_table(self, vpc: Vpc) -> RouteTable:
        """Its ids are made from the VPC's, so that a VPC takes one random number only."""
        table = self.born(RouteTable(vpc.id.replace("vpc-", "rtb-"), vpc.id))
        table.main_association = vpc.id.replace("vpc-", "rtbassoc-")
        self.data.route_tables[table.id] = table
        return table

    # -- tables --------------------------------------------------------------------------------------

    @operation
    def create_route_table(self, p: Params) -> Result:
        """EC2 docs: idempotent with a client token."""
        if known := self.replay("CreateRouteTable", p):
            table = self._route_table(known.ids[0])
        else:
            tags = self.tags_at_birth(p, "route-table")["route-table"]
            table = self.make_route_table(self.vpc(p["VpcId"]).id, tags)
            self.keep_token("CreateRouteTable", p, [table.id])
        return {"RouteTable": self._show_route_table(table), "ClientToken": p.get("ClientToken")}

    @operation
    def delete_route_table(self, p: Params) -> Result:
        table = self._route_table(p["RouteTableId"])
        if table.main or table.subnets:
            raise EC2Error(
                "DependencyViolation", f"The routeTable '{table.id}' has dependencies and cannot be deleted."
            )
        del self.data.route_tables[table.id]
        return {}

    @operation
    def describe_route_tables(self, p: Params) -> Result:
        ids = p.get("RouteTableIds")
        tables = self.listed("rtb", self.data.route_tables, ids)
        found = filters.select(tables, p.get("Filters"), self._route_table_filters())
        shown, token = self.page("DescribeRouteTables", p, found, ids, high=100)
        return self.answer("RouteTables", [self._show_route_table(table) for table in shown], token)

    def _route_table_filters(self) -> filters.Extractors[RouteTable]:
        def of_routes(key: str) -> Any:
            return lambda t: [route.get(key) for route in self._routes(t)]

        return {
            "route-table-id": lambda t: [t.id],
            "vpc-id": lambda t: [t.vpc_id],
            "owner-id": lambda _: [self.settings.account_id],
            "association.main": lambda t: [True] if t.main else [False] if t.subnets else [],
            "association.route-table-association-id": lambda t: [t.main_association, *t.subnets],
            "association.route-table-id": lambda t: [t.id] if t.main or t.subnets else [],
            "association.subnet-id": lambda t: t.subnets.values(),
            "route.destination-cidr-block": of_routes("DestinationCidrBlock"),
            "route.destination-ipv6-cidr-block": of_routes("DestinationIpv6CidrBlock"),
            "route.destination-prefix-list-id": of_routes("DestinationPrefixListId"),
            "route.gateway-id": of_routes("GatewayId"),
            "route.instance-id": of_routes("InstanceId"),
            "route.origin": of_routes("Origin"),
            "route.state": of_routes("State"),
        }

    def _show_route_table(self, table: RouteTable) -> Result:
        return {
            "RouteTableId": table.id,
            "VpcId": table.vpc_id,
            "OwnerId": self.settings.account_id,
            "Associations": self.shuffled(self._show_associations(table)),
            "PropagatingVgws": [],
            "Routes": self.shuffled(self._routes(table)),
            "Tags": self.tag_list(table.tags),
        }

    def _show_associations(self, table: RouteTable) -> list[Result]:
        common = {"RouteTableId": table.id, "AssociationState": {"State": "associated"}}
        rows: list[Result] = [
            {**common, "Main": False, "RouteTableAssociationId": each, "SubnetId": subnet}
            for each, subnet in table.subnets.items()
        ]
        if table.main_association:
            rows.append({**common, "Main": True, "RouteTableAssociationId": table.main_association})
        return rows

    # -- associations --------------------------------------------------------------------------------

    @operation
    def associate_route_table(self, p: Params) -> Result:
        """EC2 docs: a subnet has at most one association. The same one again is answered with its id."""
        if "SubnetId" not in p:
            raise missing("subnetId")
        table, subnet = self._route_table(p["RouteTableId"]), self.subnet(p["SubnetId"])
        _check_network(table, "subnet", subnet)
        for other in self.data.route_tables.values():
            for association, served in other.subnets.items():
                if served == subnet.id and other is table:
                    return _associated("AssociationId", association)
                if served == subnet.id:
                    raise EC2Error(
                        "Resource.AlreadyAssociated",
                        f"the specified association for route table {table.id} conflicts with an existing "
                        "association",
                    )
        association = self.new_id("rtbassoc")
        table.subnets[association] = subnet.id
        return _associated("AssociationId", association)

    @operation
    def disassociate_route_table(self, p: Params) -> Result:
        """EC2 docs: the subnet is then served by the main route table."""
        table = self._association(p["AssociationId"])
        if table.main_association == p["AssociationId"]:
            raise invalid_value(f"cannot disassociate the main route table association {p['AssociationId']}")
        del table.subnets[p["AssociationId"]]
        return {}

    @operation
    def replace_route_table_association(self, p: Params) -> Result:
        """EC2 docs: also for the main route table. The association gets a new id."""
        before, after = self._association(p["AssociationId"]), self._route_table(p["RouteTableId"])
        if before.vpc_id != after.vpc_id:
            raise invalid_value(f"Route table {after.id} and {before.id} belong to different networks")
        association = self.new_id("rtbassoc")
        if before.main_association == p["AssociationId"]:
            before.main_association, after.main_association = None, association
        else:
            after.subnets[association] = before.subnets.pop(p["AssociationId"])
        return _associated("NewAssociationId", association)

    def _association(self, association_id: str) -> RouteTable:
        """The table that has this association."""
        for table in self.seen(self.data.route_tables):
            if association_id in (table.main_association, *table.subnets):
                return table
        raise EC2Error("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")

    # -- routes --------------------------------------------------------------------------------------

    @operation
    def create_route(self, p: Params) -> Result:
        table, destination = self._route_table(p["RouteTableId"]), self._route_destination(p)
        if destination in (*self._local(table), *table.routes):
            raise EC2Error("RouteAlreadyExists", f"The route identified by {destination} already exists.")
        route = self._route_target(p, table)
        self._check_within_vpc(table, destination, route)
        table.routes[destination] = route
        return {"Return": True}

    @operation
    def replace_route(self, p: Params) -> Result:
        """EC2 docs: also changes the target of the local route, and with LocalTarget sets it back."""
        table, destination = self._route_table(p["RouteTableId"]), self._route_destination(p)
        local = destination in self._local(table)
        if not local and destination not in table.routes:
            raise invalid_value(
                f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )
        if p.get("LocalTarget"):
            if not local:
                raise invalid_value(f"The route {destination} cannot have the target local.")
            table.routes.pop(destination, None)
            return {}
        route = self._route_target(p, table)
        self._check_within_vpc(table, destination, route)
        table.routes[destination] = route
        return {}

    @operation
    def delete_route(self, p: Params) -> Result:
        table, destination = self._route_table(p["RouteTableId"]), self._route_destination(p)
        if destination in self._local(table):
            raise invalid_value(f"cannot remove local route {destination} in route table {table.id}")
        if destination not in table.routes:
            raise EC2Error(
                "InvalidRoute.NotFound",
                f"no route with destination-cidr-block {destination} in route table {table.id}",
            )
        del table.routes[destination]
        return {}

    def _route_destination(self, p: Params) -> str:
        """The one destination of a call. EC2 docs: a CIDR block is changed to its canonical form."""
        given = [name for name in DESTINATIONS if name in p]
        if not given:
            raise missing("destinationCidrBlock or destinationIpv6CidrBlock or destinationPrefixListId")
        if len(given) > 1:
            raise bad_combination(
                "The parameters destinationCidrBlock, destinationIpv6CidrBlock and destinationPrefixListId "
                "cannot be used together"
            )
        name, value = given[0], str(p[given[0]])
        if name == "DestinationPrefixListId":
            if value not in self.data.prefix_lists:
                raise EC2Error("InvalidPrefixListID.NotFound", f"The prefix list ID '{value}' does not exist")
            return value
        family = IPv4Network if name == "DestinationCidrBlock" else IPv6Network
        try:
            return str(family(value, strict=False))
        except ValueError as error:
            raise invalid_value(
                f"Value ({value}) for parameter {name[0].lower()}{name[1:]} is invalid. "
                "This is not a valid CIDR block."
            ) from error

    def _route_target(self, p: Params, table: RouteTable) -> Route:
        """The one target of a call, in the VPC of the table."""
        given = [name for name in TARGETS if p.get(name)]
        if not given:
            raise missing("gatewayId or instanceId or networkInterfaceId")
        if len(given) > 1:
            raise bad_combination("A route can have only one target.")
        name, value = given[0], p[given[0]]
        if name == "GatewayId":
            gateway = self.lookup("igw", self.data.gateways, value)
            if gateway.vpc_id != table.vpc_id:
                raise invalid_value(
                    f"route table {table.id} and network gateway {gateway.id} belong to different networks"
                )
            return Route("GatewayId", gateway.id)
        if name == "NatGatewayId":
            nat = self.lookup("nat", self.data.nat_gateways, value)
            _check_network(table, "NAT gateway", nat)
            return Route("NatGatewayId", nat.id)
        if name == "InstanceId":
            instance = self.lookup("i", self.data.instances, value)
            attached = self.interfaces_of(instance)
            if len(attached) != 1:
                raise multiple_interfaces(instance.id)
            name, value = "NetworkInterfaceId", attached[0].id
        if name != "NetworkInterfaceId":
            raise EC2Error("UnsupportedOperation", f"This EC2 has nothing that {name} could name.")
        eni = self.lookup("eni", self.data.interfaces, value)
        _check_network(table, "interface", eni)
        return Route("NetworkInterfaceId", eni.id)

    def _check_within_vpc(self, table: RouteTable, destination: str, route: Route) -> None:
        """EC2 docs: a route inside the VPC's CIDR blocks matches a whole subnet and leads to an interface."""
        if destination.startswith("pl-"):
            return
        wanted = ip_network(destination)
        blocks = [ip_network(each) for each in self._local(table)]
        if not any(wanted.version == each.version and wanted.subnet_of(each) for each in blocks):  # type: ignore[arg-type]
            return
        if route.kind != "NetworkInterfaceId":
            raise invalid_value(
                f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's "
                "CIDR blocks. This route can target only an interface or an instance."
            )
        subnets = [each for each in self.data.subnets.values() if each.vpc_id == table.vpc_id]
        whole = {*self._local(table), *(s.cidr for s in subnets), *(s.ipv6_cidr for s in subnets if s.ipv6_cidr)}
        if destination not in whole:
            raise invalid_value(
                f"The destination CIDR block {destination} is more specific than this VPC's CIDR blocks, but does "
                "not match the CIDR block of a subnet."
            )

    def _local(self, table: RouteTable) -> list[str]:
        """EC2 docs: each table has a local route for each CIDR block of its VPC."""
        vpc = self.data.vpcs[table.vpc_id]
        blocks = [vpc.cidr, *(cidr for cidr, state in vpc.other_cidrs.items() if state == "associated")]
        return [*blocks, vpc.ipv6_cidr] if vpc.ipv6_cidr and vpc.ipv6_state == "associated" else blocks

    def _routes(self, table: RouteTable) -> list[Result]:
        """The routes as EC2 shows them. ReplaceRoute does not change the Origin of a local route."""
        local = self._local(table)
        routes: dict[str, Route | None] = {**dict.fromkeys(local), **table.routes}
        propagated = [
            {
                destination_key(destination): destination,
                "Origin": "EnableVgwRoutePropagation",
                "GatewayId": gateway,
                "State": "active",
            }
            for destination, gateway in table.propagated.items()
        ]
        return [
            *propagated,
            *(
                {
                    destination_key(destination): destination,
                    "Origin": "CreateRouteTable" if destination in local else "CreateRoute",
                    **(self._show_target(route) if route else {"GatewayId": "local", "State": "active"}),
                }
                for destination, route in routes.items()
            ),
        ]

    def _show_target(self, route: Route) -> Result:
        """EC2 docs: a route is a blackhole while its target is not available, and stays when that is deleted."""
        told: Result = {}
        if route.kind == "GatewayId":
            gateway = self.data.gateways.get(route.target)
            available = gateway is not None and gateway.vpc_id is not None
        elif route.kind == "NatGatewayId":
            available = self.data.nat_gateways[route.target].state in ("pending", "available")
        else:
            eni = self.data.interfaces.get(route.target)
            attachment = eni.attachment if eni else None
            host = self.data.instances.get(attachment.instance_id or "") if attachment else None
            available = host is not None and host.state == "running"
            told = {"InstanceId": host.id, "InstanceOwnerId": self.settings.account_id} if host else {}
        return {route.kind: route.target, "State": "active" if available else "blackhole", **told}

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_route_table(self, vpc_id: str, tags: dict[str, str] | None = None) -> str:
        """A new route table's id; it exists at once. A VPC has a main one from its beginning."""
        with self.lock:
            table = self.make_route_table(vpc_id, dict(tags or {}))
            table.visible_at = self.now
            self._remember()
            return table.id


def _check_network(table: RouteTable, what: str, other: Subnet | Any) -> None:
    if other.vpc_id != table.vpc_id:
        raise invalid_value(f"route table {table.id} and {what} {other.id} belong to different networks")


def _associated(key: str, association_id: str) -> Result:
    return {key: association_id, "AssociationState": {"State": "associated"}}
