"""VPCs, subnets and internet gateways: made and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from .acls import NetworkAcls
from .errors import EC2Error, bad_combination, invalid_value, missing
from .places import zone_id
from .records import Gateway, Params, Result, Route, Subnet, Vpc
from .state import operation


class Networks(NetworkAcls):
    """EC2 docs: what still holds something, or is still held, cannot be deleted."""

    def gateway(self, gateway_id: str) -> Gateway:
        return self.lookup("igw", self.data.gateways, gateway_id)

    # -- VPCs ----------------------------------------------------------------------------------------

    @operation
    def create_vpc(self, p: Params) -> Result:
        """EC2 docs: a /16 to a /28, five in a Region, and no internet gateway."""
        tags = self.tags_at_birth(p, "vpc")["vpc"]
        if "CidrBlock" not in p:
            raise missing("cidrBlock")
        cidr = _sized(p["CidrBlock"], "InvalidVpc.Range")
        if len(self.data.vpcs) >= self.settings.quotas.vpcs:
            raise EC2Error("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
        ipv6 = f"2600:1f18:{self.rng.getrandbits(16):x}:{self.rng.getrandbits(8):x}00::/56"
        vpc = self._make_vpc(cidr, ipv6_cidr=ipv6 if p.get("AmazonProvidedIpv6CidrBlock") else None, tags=tags)
        return {"Vpc": {**self._show_vpc(vpc), "State": "pending"}}

    def _make_vpc(
        self,
        cidr: str,
        *,
        ipv6_cidr: str | None,
        ipv6_state: str = "associated",
        other_cidrs: Mapping[str, str] | None = None,
        is_default: bool = False,
        tags: dict[str, str],
    ) -> Vpc:
        """A VPC with its default group, main route table and default ACL, which are no younger than it is."""
        vpc = self.born(
            Vpc(
                self.new_id("vpc"),
                cidr,
                is_default,
                ipv6_cidr,
                ipv6_state,
                dict(other_cidrs or {}),
                dns_hostnames=is_default,
                tags=tags,
            )
        )
        self.data.vpcs[vpc.id] = vpc
        self.make_main_route_table(vpc)
        self.make_default_acl(vpc)
        group = self.make_group("default", "default VPC security group", vpc.id, {})
        permissions = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group.id}]}]
        group.visible_at = self.now
        for rule in self._wanted({"IpPermissions": permissions}, group, False):
            self._add_rule(group, rule)
        group.visible_at = vpc.visible_at
        return vpc

    @operation
    def delete_vpc(self, p: Params) -> Result:
        """EC2 docs: its default group, main route table and default ACL go with it; all else has to be gone."""
        vpc = self.vpc(p["VpcId"])
        groups = [each for each in self.data.groups.values() if each.vpc_id == vpc.id]
        tables = [each for each in self.data.route_tables.values() if each.vpc_id == vpc.id]
        acls = [each for each in self.data.network_acls.values() if each.vpc_id == vpc.id]
        if (
            any(each.vpc_id == vpc.id for each in self.data.subnets.values())
            or self.has_gateway(vpc.id)
            or any(each.name != "default" for each in groups)
            or any(not each.main for each in tables)
            or any(not each.is_default for each in acls)
            or any(vpc.id in pair for pair in self.data.peerings)
        ):
            raise EC2Error("DependencyViolation", f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")
        for group in groups:
            self.drop_group(group)
        for table in tables:
            del self.data.route_tables[table.id]
        for acl in acls:
            del self.data.network_acls[acl.id]
        del self.data.vpcs[vpc.id]
        return {}

    # -- subnets -------------------------------------------------------------------------------------

    @operation
    def create_subnet(self, p: Params) -> Result:
        """EC2 docs: inside the VPC's CIDR block, beside its other subnets, in any zone unless one is named."""
        tags = self.tags_at_birth(p, "subnet")["subnet"]
        vpc = self.vpc(p["VpcId"])
        if "CidrBlock" not in p:
            raise missing("cidrBlock")
        cidr = _sized(p["CidrBlock"], "InvalidSubnet.Range")
        blocks = [vpc.cidr, *(block for block, state in vpc.other_cidrs.items() if state == "associated")]
        if not any(IPv4Network(cidr).subnet_of(IPv4Network(block)) for block in blocks):
            raise EC2Error("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
        siblings = [each for each in self.data.subnets.values() if each.vpc_id == vpc.id]
        if any(each.network.overlaps(IPv4Network(cidr)) for each in siblings):
            raise EC2Error("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet")
        subnet = self.born(Subnet(self.new_id("subnet"), vpc.id, self._zone(p), cidr, tags=tags))
        subnet.ipv6_cidr = self._subnet_ipv6(p, vpc, siblings)
        self.data.subnets[subnet.id] = subnet
        return {"Subnet": self._show_subnet(subnet)}

    def _zone(self, p: Params) -> str:
        if "AvailabilityZone" in p and "AvailabilityZoneId" in p:
            raise bad_combination("The parameters availabilityZone and availabilityZoneId cannot be used together")
        by_id = {zone_id(zone): zone for zone in self.zones}
        wanted = by_id.get(p["AvailabilityZoneId"], "") if "AvailabilityZoneId" in p else p.get("AvailabilityZone")
        if wanted is None:
            return self.rng.choice(self.zones)
        if wanted not in self.zones:
            raise invalid_value(
                f"Value ({p.get('AvailabilityZone') or p.get('AvailabilityZoneId')}) for parameter "
                "availabilityZone is invalid. Subnets can currently only be created in the following "
                f"availability zones: {', '.join(self.zones)}."
            )
        return str(wanted)

    @staticmethod
    def _subnet_ipv6(p: Params, vpc: Vpc, siblings: list[Subnet]) -> str | None:
        cidr = p.get("Ipv6CidrBlock")
        if cidr is None:
            return None
        wanted = IPv6Network(cidr)
        if not vpc.ipv6_cidr or wanted.prefixlen != 64 or not wanted.subnet_of(IPv6Network(vpc.ipv6_cidr)):
            raise EC2Error("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
        if any(each.network6 and each.network6.overlaps(wanted) for each in siblings):
            raise EC2Error("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet")
        return str(wanted)

    @operation
    def delete_subnet(self, p: Params) -> Result:
        """EC2 docs: all instances in it have to be terminated first; its route table association goes with it."""
        subnet = self.subnet(p["SubnetId"])
        if any(each.subnet_id == subnet.id for each in self.data.interfaces.values()):
            raise EC2Error(
                "DependencyViolation", f"The subnet '{subnet.id}' has dependencies and cannot be deleted."
            )
        for table in self.data.route_tables.values():
            table.subnets = {each: served for each, served in table.subnets.items() if served != subnet.id}
        for acl in self.data.network_acls.values():
            acl.subnets = {each: guarded for each, guarded in acl.subnets.items() if guarded != subnet.id}
        del self.data.subnets[subnet.id]
        return {}

    # -- internet gateways ---------------------------------------------------------------------------

    @operation
    def create_internet_gateway(self, p: Params) -> Result:
        tags = self.tags_at_birth(p, "internet-gateway")["internet-gateway"]
        gateway = self.born(Gateway(self.new_id("igw"), None, tags=tags))
        self.data.gateways[gateway.id] = gateway
        return {"InternetGateway": self._show_gateway(gateway)}

    @operation
    def attach_internet_gateway(self, p: Params) -> Result:
        """EC2 docs: one gateway for a VPC, one VPC for a gateway."""
        gateway, vpc = self.gateway(p["InternetGatewayId"]), self.vpc(p["VpcId"])
        if gateway.vpc_id is not None:
            raise EC2Error(
                "Resource.AlreadyAssociated",
                f"resource {gateway.id} is already attached to network {gateway.vpc_id}",
            )
        if self.has_gateway(vpc.id):
            raise invalid_value(f"Network {vpc.id} already has an internet gateway attached")
        gateway.vpc_id = vpc.id
        return {}

    @operation
    def detach_internet_gateway(self, p: Params) -> Result:
        """EC2 docs: no interface of the VPC may have a public address."""
        gateway, vpc = self.gateway(p["InternetGatewayId"]), self.vpc(p["VpcId"])
        if gateway.vpc_id != vpc.id:
            raise EC2Error("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc.id}")
        mapped = {each.interface_id for each in self.data.addresses.values() if each.interface_id}
        if any(
            each.vpc_id == vpc.id and (each.public_ip or each.id in mapped)
            for each in self.data.interfaces.values()
        ):
            raise EC2Error(
                "DependencyViolation",
                f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) "
                "before detaching the gateway.",
            )
        gateway.vpc_id = None
        return {}

    @operation
    def delete_internet_gateway(self, p: Params) -> Result:
        """EC2 docs: it has to be detached first. Routes to it stay, as black holes."""
        gateway = self.gateway(p["InternetGatewayId"])
        if gateway.vpc_id is not None:
            raise EC2Error(
                "DependencyViolation",
                f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted.",
            )
        del self.data.gateways[gateway.id]
        return {}

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_vpc(
        self,
        cidr: str,
        *,
        ipv6_cidr: str | None = None,
        ipv6_state: str = "associated",
        other_cidrs: Mapping[str, str] | None = None,
        gateway: bool = False,
        is_default: bool = False,
        tags: dict[str, str] | None = None,
    ) -> str:
        """A new VPC's id, with its default group, and an attached internet gateway if wanted.

        `other_cidrs` are further IPv4 blocks and their states: associating, associated, disassociated.
        """
        with self.lock:
            vpc = self._make_vpc(
                cidr,
                ipv6_cidr=ipv6_cidr,
                ipv6_state=ipv6_state,
                other_cidrs=other_cidrs,
                is_default=is_default,
                tags=dict(tags or {}),
            )
            groups = [each for each in self.data.groups.values() if each.vpc_id == vpc.id]
            acls = [each for each in self.data.network_acls.values() if each.vpc_id == vpc.id]
            for record in (vpc, self.main_route_table(vpc.id), *acls, *groups):
                record.visible_at = self.now
            if gateway:
                self.add_gateway(vpc.id)
            self._remember()
            return vpc.id

    def add_gateway(self, vpc_id: str | None, tags: dict[str, str] | None = None) -> str:
        """A new internet gateway's id; attached to the VPC, if one is named, with a default route to it."""
        with self.lock:
            gateway = Gateway(self.new_id("igw"), vpc_id, tags=dict(tags or {}), created=self.now)
            self.data.gateways[gateway.id] = gateway
            if vpc_id is not None:
                self.main_route_table(vpc_id).routes["0.0.0.0/0"] = Route("GatewayId", gateway.id)
            self._remember()
            return gateway.id


def _sized(cidr: str, code: str) -> str:
    """A CIDR block between /16 and /28 in its canonical form."""
    try:
        network = IPv4Network(cidr, strict=False)
    except ValueError as error:
        raise invalid_value(
            f"Value ({cidr}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from error
    if not 16 <= network.prefixlen <= 28:
        raise EC2Error(code, f"The CIDR '{cidr}' is invalid.")
    return str(network)
