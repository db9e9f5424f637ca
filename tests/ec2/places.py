"""Where things live and what they are made from: VPCs, subnets, gateways, zones, images, types, parameters."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any
from zlib import crc32

from . import catalogue, filters
from .errors import EC2Error, bad_combination, invalid_value
from .records import Gateway, Image, Params, Resource, Result, Subnet, Vpc
from .state import State, operation

VPC_FILTERS: filters.Extractors[Vpc] = {
    "vpc-id": lambda v: [v.id],
    "cidr": lambda v: [v.cidr],
    "cidr-block-association.cidr-block": lambda v: [v.cidr],
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda v: [v.ipv6_cidr],
    "is-default": lambda v: [v.is_default],
    "isDefault": lambda v: [v.is_default],
    "state": lambda _: ["available"],
    "dhcp-options-id": lambda _: ["dopt-0123456789abcdef0"],
}
SUBNET_FILTERS: filters.Extractors[Subnet] = {
    "subnet-id": lambda s: [s.id],
    "vpc-id": lambda s: [s.vpc_id],
    "cidr": lambda s: [s.cidr],
    "cidr-block": lambda s: [s.cidr],
    "cidrBlock": lambda s: [s.cidr],
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda s: [s.ipv6_cidr],
    "availability-zone": lambda s: [s.zone],
    "availabilityZone": lambda s: [s.zone],
    "availability-zone-id": lambda s: [zone_id(s.zone)],
    "default-for-az": lambda s: [s.default_for_az],
    "defaultForAz": lambda s: [s.default_for_az],
    "map-public-ip-on-launch": lambda s: [s.map_public_ip],
    "state": lambda _: ["available"],
    "available-ip-address-count": lambda s: [s.free],
}
GATEWAY_FILTERS: filters.Extractors[Gateway] = {
    "internet-gateway-id": lambda g: [g.id],
    "attachment.vpc-id": lambda g: [g.vpc_id],
    "attachment.state": lambda g: ["available"] if g.vpc_id else [],
}
IMAGE_FILTERS: filters.Extractors[Image] = {
    "image-id": lambda i: [i.id],
    "name": lambda i: [i.name],
    "state": lambda i: [i.state],
    "architecture": lambda i: [i.architecture],
    "owner-id": lambda i: [i.owner_id],
    "owner-alias": lambda i: [i.owner_alias],
    "creation-date": lambda i: [i.creation_date],
    "description": lambda i: [i.description],
    "is-public": lambda i: [i.public],
    "image-type": lambda _: ["machine"],
    "root-device-type": lambda i: [i.root_device],
    "root-device-name": lambda _: ["/dev/xvda"],
    "virtualization-type": lambda _: ["hvm"],
    "hypervisor": lambda _: ["xen"],
    "ena-support": lambda i: [i.ena],
    "block-device-mapping.volume-type": lambda _: ["gp3"],
}
TYPE_FILTERS: dict[str, Callable[[catalogue.InstanceType], list[Any]]] = {
    "instance-type": lambda t: [t.name],
    "current-generation": lambda t: [t.current],
    "hypervisor": lambda t: ["nitro" if t.nitro else "xen"],
    "network-info.maximum-network-interfaces": lambda t: [t.interfaces],
    "network-info.ipv4-addresses-per-interface": lambda t: [t.addresses],
    "processor-info.supported-architecture": lambda t: list(t.architectures),
    "vcpu-info.default-vcpus": lambda t: [t.vcpus],
}
INSTANCE_TYPES_PAGE = (5, 100)


def zone_id(zone: str) -> str:
    """EC2 docs: zone ids are the same place in every account, letters are not; here they agree."""
    return f"use1-az{ord(zone[-1]) - ord('a') + 1}"


class Places(State):
    """The parts of the world that instances and interfaces stand on."""

    # -- lookups -------------------------------------------------------------------------------------

    @property
    def zones(self) -> list[str]:
        return [f"{self.settings.region}{letter}" for letter in "abc"]

    def vpc(self, vpc_id: str) -> Vpc:
        return self.lookup("vpc", self.data.vpcs, vpc_id)

    def subnet(self, subnet_id: str) -> Subnet:
        return self.lookup("subnet", self.data.subnets, subnet_id)

    def default_vpc(self) -> Vpc | None:
        return next((vpc for vpc in self.data.vpcs.values() if vpc.is_default), None)

    def has_gateway(self, vpc_id: str) -> bool:
        return any(gateway.vpc_id == vpc_id for gateway in self.data.gateways.values())

    def instance_type(self, name: str) -> catalogue.InstanceType:
        known = catalogue.TYPES.get(name)
        if known is None:
            raise invalid_value(f"Invalid value '{name}' for InstanceType.")
        return known

    def image(self, image_id: str) -> Image:
        return self.lookup("ami", self.data.images, image_id)

    # -- describes -----------------------------------------------------------------------------------

    @operation
    def describe_vpcs(self, p: Params) -> Result:
        ids = p.get("VpcIds")
        found = filters.select(self.listed("vpc", self.data.vpcs, ids), p.get("Filters"), VPC_FILTERS)
        shown, token = self.page("DescribeVpcs", p, found, ids)
        return self.answer("Vpcs", [self._show_vpc(vpc) for vpc in shown], token)

    def _show_vpc(self, vpc: Vpc) -> Result:
        answer: Result = {
            "VpcId": vpc.id,
            "CidrBlock": vpc.cidr,
            "State": "available",
            "IsDefault": vpc.is_default,
            "InstanceTenancy": "default",
            "DhcpOptionsId": "dopt-0123456789abcdef0",
            "OwnerId": self.settings.account_id,
            "CidrBlockAssociationSet": [
                {
                    "AssociationId": vpc.id.replace("vpc-", f"vpc-cidr-assoc-{position or ''}"),
                    "CidrBlock": cidr,
                    "CidrBlockState": {"State": state},
                }
                for position, (cidr, state) in enumerate([(vpc.cidr, "associated"), *vpc.other_cidrs.items()])
            ],
            "Tags": self.tag_list(vpc.tags),
        }
        if vpc.ipv6_cidr:
            answer["Ipv6CidrBlockAssociationSet"] = [
                {
                    "AssociationId": vpc.id.replace("vpc-", "vpc-cidr-assoc-6"),
                    "Ipv6CidrBlock": vpc.ipv6_cidr,
                    "Ipv6CidrBlockState": {"State": vpc.ipv6_state},
                    "NetworkBorderGroup": self.settings.region,
                    "Ipv6Pool": "Amazon",
                }
            ]
        return answer

    @operation
    def describe_vpc_attribute(self, p: Params) -> Result:
        vpc = self.vpc(p["VpcId"])
        values = {
            "enableDnsSupport": ("EnableDnsSupport", vpc.dns_support),
            "enableDnsHostnames": ("EnableDnsHostnames", vpc.dns_hostnames),
            "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
        }
        name, value = values[p["Attribute"]]
        return {"VpcId": vpc.id, name: {"Value": value}}

    @operation
    def describe_subnets(self, p: Params) -> Result:
        ids = p.get("SubnetIds")
        shared = {key: subnet for key, subnet in self.data.subnets.items() if key not in self.data.unshared}
        found = filters.select(self.listed("subnet", shared, ids), p.get("Filters"), SUBNET_FILTERS)
        shown, token = self.page("DescribeSubnets", p, found, ids)
        return self.answer("Subnets", [self._show_subnet(subnet) for subnet in shown], token)

    def _show_subnet(self, subnet: Subnet) -> Result:
        account = self.settings.account_id
        answer: Result = {
            "SubnetId": subnet.id,
            "SubnetArn": f"arn:aws:ec2:{self.settings.region}:{account}:subnet/{subnet.id}",
            "VpcId": subnet.vpc_id,
            "State": "available",
            "CidrBlock": subnet.cidr,
            "AvailableIpAddressCount": subnet.free,
            "AvailabilityZone": subnet.zone,
            "AvailabilityZoneId": zone_id(subnet.zone),
            "DefaultForAz": subnet.default_for_az,
            "MapPublicIpOnLaunch": subnet.map_public_ip,
            "MapCustomerOwnedIpOnLaunch": False,
            "AssignIpv6AddressOnCreation": subnet.assign_ipv6,
            "EnableDns64": False,
            "Ipv6Native": False,
            "Ipv6CidrBlockAssociationSet": [],
            "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
            "OwnerId": account,
            "PrivateDnsNameOptionsOnLaunch": {
                "HostnameType": "ip-name",
                "EnableResourceNameDnsARecord": False,
                "EnableResourceNameDnsAAAARecord": False,
            },
            "Tags": self.tag_list(subnet.tags),
        }
        if subnet.ipv6_cidr:
            answer["Ipv6CidrBlockAssociationSet"] = [
                {
                    "AssociationId": subnet.id.replace("subnet-", "subnet-cidr-assoc-"),
                    "Ipv6CidrBlock": subnet.ipv6_cidr,
                    "Ipv6CidrBlockState": {"State": "associated"},
                }
            ]
        return answer

    @operation
    def describe_internet_gateways(self, p: Params) -> Result:
        ids = p.get("InternetGatewayIds")
        found = filters.select(self.listed("igw", self.data.gateways, ids), p.get("Filters"), GATEWAY_FILTERS)
        shown, token = self.page("DescribeInternetGateways", p, found, ids)
        return self.answer("InternetGateways", [self._show_gateway(gateway) for gateway in shown], token)

    def _show_gateway(self, gateway: Gateway) -> Result:
        return {
            "InternetGatewayId": gateway.id,
            "OwnerId": self.settings.account_id,
            "Attachments": [{"VpcId": gateway.vpc_id, "State": "available"}] if gateway.vpc_id else [],
            "Tags": self.tag_list(gateway.tags),
        }

    @operation
    def describe_network_acls(self, p: Params) -> Result:
        """The default list of each VPC, which lets everything pass."""
        known: filters.Extractors[Vpc] = {
            "vpc-id": lambda v: [v.id],
            "default": lambda _: [True],
            "network-acl-id": lambda v: [v.id.replace("vpc-", "acl-")],
        }
        vpcs = filters.select(self.seen(self.data.vpcs), p.get("Filters"), known)
        rows = [
            {
                "NetworkAclId": vpc.id.replace("vpc-", "acl-"),
                "VpcId": vpc.id,
                "IsDefault": True,
                "OwnerId": self.settings.account_id,
                "Entries": [
                    {
                        "CidrBlock": "0.0.0.0/0",
                        "Egress": egress,
                        "Protocol": "-1",
                        "RuleAction": action,
                        "RuleNumber": number,
                    }
                    for egress in (True, False)
                    for number, action in ((100, "allow"), (32767, "deny"))
                ],
            }
            for vpc in vpcs
        ]
        return {"NetworkAcls": rows}

    @operation
    def describe_images(self, p: Params) -> Result:
        ids = p.get("ImageIds")
        found = self.listed("ami", self.data.images, ids)
        if not p.get("IncludeDisabled"):
            found = [image for image in found if image.state != "disabled"]
        if owners := p.get("Owners"):
            me = self.settings.account_id
            wanted = {me if owner == "self" else owner for owner in owners}
            found = [image for image in found if {image.owner_id, image.owner_alias} & wanted]
        found = filters.select(found, p.get("Filters"), IMAGE_FILTERS)
        shown, token = self.page("DescribeImages", p, found, ids, low=1)
        return self.answer("Images", [self._show_image(image) for image in shown], token)

    def _show_image(self, image: Image) -> Result:
        return {
            "ImageId": image.id,
            "ImageLocation": f"{image.owner_alias or image.owner_id}/{image.name}",
            "Name": image.name,
            "Description": image.description,
            "State": image.state,
            "Architecture": image.architecture,
            "CreationDate": image.creation_date,
            "OwnerId": image.owner_id,
            "ImageOwnerAlias": image.owner_alias,
            "Public": image.public,
            "ImageType": "machine",
            "PlatformDetails": image.platform,
            "UsageOperation": "RunInstances",
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": image.root_device,
            "VirtualizationType": "hvm",
            "Hypervisor": "xen",
            "EnaSupport": image.ena,
            "SriovNetSupport": "simple",
            "BootMode": image.boot_mode,
            "ImdsSupport": "v2.0",
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {
                        "DeleteOnTermination": True,
                        "Encrypted": False,
                        "SnapshotId": image.snapshot_id,
                        "VolumeSize": image.size,
                        "VolumeType": "gp3",
                        "Iops": 3000,
                        "Throughput": 125,
                    },
                }
            ],
            "Tags": self.tag_list(image.tags),
        }

    @operation
    def describe_instance_types(self, p: Params) -> Result:
        """EC2 docs: MaxResults is 5 to 100, at most 100 types by name."""
        names = p.get("InstanceTypes")
        low, high = INSTANCE_TYPES_PAGE
        limit = p.get("MaxResults")
        if limit is not None and names:
            raise bad_combination("The parameter InstanceTypes cannot be used with the parameter maxResults")
        if limit is not None and not low <= limit <= high:
            raise invalid_value(
                f"Value ( {limit} ) for parameter maxResults is invalid. Expecting {low} to {high}."
            )
        if names and len(names) > high:
            raise invalid_value("At most 100 instance types may be named")
        unknown = sorted(set(names or ()) - set(catalogue.TYPES))
        if unknown:
            raise EC2Error(
                "InvalidInstanceType",
                f"The following supplied instance types do not exist: [{', '.join(unknown)}]",
            )
        found = [catalogue.TYPES[name] for name in dict.fromkeys(names or catalogue.TYPES)]
        wanted = p.get("Filters") or []
        filters.check(wanted)
        for each in wanted:
            extract = TYPE_FILTERS.get(each["Name"])
            if extract is None:
                raise invalid_value(f"The filter '{each['Name']}' is invalid")
            patterns = [filters.wildcard(value) for value in each["Values"]]
            found = [
                kind
                for kind in found
                if any(pattern.fullmatch(filters.text(v)) for pattern in patterns for v in extract(kind))
            ]
        token = p.get("NextToken") or "0"
        if not token.isdigit():
            raise EC2Error("InvalidNextToken", f"The token '{token}' is invalid")
        start = int(token)
        size = min(limit or len(found), self.settings.page_cap or len(found)) if limit else len(found)
        shown = found[start : start + size]
        following = str(start + size) if start + size < len(found) else None
        return self.answer("InstanceTypes", [catalogue.describe(kind) for kind in shown], following)

    @operation
    def describe_instance_type_offerings(self, p: Params) -> Result:
        """EC2 docs: without a LocationType, those of the Region."""
        by_zone = p.get("LocationType", "region") == "availability-zone"
        places = self.zones if by_zone else [self.settings.region]
        wanted = p.get("Filters") or []
        filters.check(wanted)
        rows = [
            {"InstanceType": name, "LocationType": p.get("LocationType", "region"), "Location": place}
            for name in catalogue.TYPES
            for place in places
            if (name, place) not in self.data.unoffered
        ]
        for each in wanted:
            key = {"instance-type": "InstanceType", "location": "Location"}.get(each["Name"])
            if key is None:
                raise invalid_value(f"The filter '{each['Name']}' is invalid")
            patterns = [filters.wildcard(value) for value in each["Values"]]
            rows = [row for row in rows if any(pattern.fullmatch(row[key]) for pattern in patterns)]
        return self.answer("InstanceTypeOfferings", self.shuffled(rows), None)

    @operation
    def describe_vpc_peering_connections(self, p: Params) -> Result:
        known: filters.Extractors[Resource] = {
            "requester-vpc-info.vpc-id": lambda r: [r.tags["requester"]],
            "accepter-vpc-info.vpc-id": lambda r: [r.tags["accepter"]],
            "status-code": lambda _: ["active"],
        }
        every = [
            Resource(f"pcx-{number:017x}", tags={"requester": requester, "accepter": accepter})
            for number, (requester, accepter) in enumerate(sorted(self.data.peerings))
        ]
        owners = {vpc: account for account, vpc in self.data.peer_groups.values()}
        shown, token = self.page(
            "DescribeVpcPeeringConnections", p, filters.select(every, p.get("Filters"), known), None
        )
        rows = [
            {
                "VpcPeeringConnectionId": each.id,
                "RequesterVpcInfo": {"VpcId": each.tags["requester"], "OwnerId": self.settings.account_id},
                "AccepterVpcInfo": {
                    "VpcId": each.tags["accepter"],
                    "OwnerId": owners.get(each.tags["accepter"], self.settings.account_id),
                },
                "Status": {"Code": "active", "Message": "Active"},
                "Tags": [],
            }
            for each in shown
        ]
        return self.answer("VpcPeeringConnections", rows, token)

    @operation
    def describe_transit_gateway_vpc_attachments(self, p: Params) -> Result:
        known: filters.Extractors[Resource] = {"vpc-id": lambda r: [r.tags["vpc"]]}
        every = [
            Resource(f"tgw-attach-{vpc.removeprefix('vpc-')}", tags={"vpc": vpc, "gateway": gateway})
            for gateway, vpcs in self.data.transit_gateways.items()
            for vpc in vpcs
        ]
        shown, token = self.page(
            "DescribeTransitGatewayVpcAttachments", p, filters.select(every, p.get("Filters"), known), None
        )
        rows = [
            {
                "TransitGatewayAttachmentId": each.id,
                "TransitGatewayId": each.tags["gateway"],
                "VpcId": each.tags["vpc"],
                "State": "available",
                "Options": {"DnsSupport": "enable", "SecurityGroupReferencingSupport": "enable"},
            }
            for each in shown
        ]
        return self.answer("TransitGatewayVpcAttachments", rows, token)

    @operation
    def describe_key_pairs(self, p: Params) -> Result:
        wanted = p.get("KeyNames")
        unknown = sorted(set(wanted or ()) - self.data.key_pairs)
        if unknown:
            raise EC2Error("InvalidKeyPair.NotFound", f"The key pair '{unknown[0]}' does not exist")
        names = sorted(self.data.key_pairs & set(wanted) if wanted else self.data.key_pairs)
        for each in p.get("Filters") or []:
            if each["Name"] != "key-name":
                raise invalid_value(f"The filter '{each['Name']}' is invalid")
            patterns = [filters.wildcard(value) for value in each["Values"]]
            names = [name for name in names if any(pattern.fullmatch(name) for pattern in patterns)]
        rows = [
            {"KeyName": name, "KeyPairId": f"key-{crc32(name.encode()):017x}", "KeyType": "ed25519"}
            for name in names
        ]
        return {"KeyPairs": rows}

    @operation
    def describe_availability_zones(self, p: Params) -> Result:
        wanted = p.get("ZoneNames")
        unknown = sorted(set(wanted or ()) - set(self.zones))
        if unknown:
            raise invalid_value(f"Invalid availability zone: [{unknown[0]}]")
        rows = [
            {
                "ZoneName": zone,
                "ZoneId": zone_id(zone),
                "State": "available",
                "RegionName": self.settings.region,
                "GroupName": self.settings.region,
                "NetworkBorderGroup": self.settings.region,
                "ZoneType": "availability-zone",
                "OptInStatus": "opt-in-not-required",
            }
            for zone in self.zones
            if not wanted or zone in wanted
        ]
        return {"AvailabilityZones": rows}

    @operation
    def describe_regions(self, p: Params) -> Result:
        region = self.settings.region
        wanted = p.get("RegionNames")
        if wanted and set(wanted) != {region}:
            raise invalid_value(f"Invalid region name: {sorted(set(wanted) - {region})[0]}")
        row = {
            "RegionName": region,
            "Endpoint": f"ec2.{region}.amazonaws.com",
            "OptInStatus": "opt-in-not-required",
        }
        return {"Regions": [row]}

    @operation
    def describe_account_attributes(self, p: Params) -> Result:
        """EC2 docs: all six attributes, or those that are asked for; the SDK's model lists two of the names."""
        quotas = self.settings.quotas
        default = self.default_vpc()
        values = {
            "supported-platforms": "VPC",
            "default-vpc": default.id if default else "none",
            "max-instances": str(quotas.instances),
            "max-elastic-ips": str(quotas.addresses),
            "vpc-max-elastic-ips": str(quotas.addresses),
            "vpc-max-security-groups-per-interface": str(quotas.groups_per_interface),
        }
        for name in p.get("AttributeNames") or ():
            if name not in values:
                raise invalid_value(f"Value ({name}) for parameter attributeName is invalid.")
        rows = [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": value}]}
            for name, value in values.items()
            if name in (p.get("AttributeNames") or values)
        ]
        return {"AccountAttributes": rows}

    # -- STS and SSM ---------------------------------------------------------------------------------

    def sts(self, action: str, p: Params, access_key: str) -> Result:
        """GetCallerIdentity and AssumeRole. The account follows the role whose key signs the request."""
        with self.lock:
            if action == "AssumeRole":
                return self._assume(p)
            if action == "GetCallerIdentity":
                account = self.settings.account_id
                arn = self.sessions.get(access_key, f"arn:aws:iam::{account}:user/tester")
                return {"UserId": "AIDAIOSFODNN7EXAMPLE", "Account": arn.split(":")[4], "Arn": arn}
        raise EC2Error("InvalidAction", f"Could not find operation {action} for version 2011-06-15")

    def _assume(self, p: Params) -> Result:
        role, session = p["RoleArn"], p["RoleSessionName"]
        parts = role.split(":")
        if len(parts) != 6 or not parts[5].startswith("role/"):
            raise EC2Error("ValidationError", f"{role} is invalid")
        key = f"ASIA{self.rng.getrandbits(64):016X}"
        arn = f"arn:aws:sts::{parts[4]}:assumed-role/{parts[5].rpartition('/')[2]}/{session}"
        self.sessions[key] = arn
        return {
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": "not-a-secret-either",
                "SessionToken": "session",
                "Expiration": self.date(self.now + p.get("DurationSeconds", 3600)),
            },
            "AssumedRoleUser": {"AssumedRoleId": f"AROAEXAMPLE:{session}", "Arn": arn},
        }

    def ssm(self, action: str, p: Params) -> Result:
        """GetParameter and GetParameters, for the public parameters that name the newest images."""
        with self.lock:
            if action == "GetParameter":
                name = p["Name"]
                if name not in self.data.parameters:
                    raise EC2Error("ParameterNotFound", f"Parameter {name} not found.")
                return {"Parameter": self._parameter(name)}
            if action == "GetParameters":
                known = [name for name in p["Names"] if name in self.data.parameters]
                unknown = [name for name in p["Names"] if name not in self.data.parameters]
                return {"Parameters": [self._parameter(n) for n in known], "InvalidParameters": unknown}
        raise EC2Error("UnknownOperationException", f"{action} is not supported")

    def _parameter(self, name: str) -> Result:
        return {
            "Name": name,
            "Type": "String",
            "Value": self.data.parameters[name],
            "Version": 1,
            "LastModifiedDate": self.date(self._birth),
            "ARN": f"arn:aws:ssm:{self.settings.region}::parameter{name}",
            "DataType": "text",
        }

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_subnet(
        self,
        vpc_id: str,
        cidr: str,
        zone: str = "us-east-1a",
        *,
        ipv6_cidr: str | None = None,
        assign_ipv6: bool = False,
        map_public_ip: bool = False,
        default_for_az: bool = False,
        tags: dict[str, str] | None = None,
    ) -> str:
        """A new subnet's id; it exists at once."""
        with self.lock:
            assert IPv4Network(cidr).subnet_of(IPv4Network(self.data.vpcs[vpc_id].cidr))
            subnet = Subnet(
                self.new_id("subnet"),
                vpc_id,
                zone,
                cidr,
                ipv6_cidr=ipv6_cidr,
                assign_ipv6=assign_ipv6,
                default_for_az=default_for_az,
                map_public_ip=map_public_ip,
                tags=dict(tags or {}),
                created=self.now,
            )
            self.data.subnets[subnet.id] = subnet
            self._remember()
            return subnet.id

    def add_image(
        self,
        name: str,
        creation_date: str,
        *,
        architecture: str = "x86_64",
        owner_id: str = "137112412989",
        owner_alias: str | None = "amazon",
        state: str = "available",
        parameter: str | None = None,
        boot_mode: str = "uefi-preferred",
        ena: bool = True,
        root_device: str = "ebs",
        size: int = 8,
    ) -> str:
        """A new image's id; `parameter` is the SSM name that points at it from now on."""
        with self.lock:
            image = Image(
                self.new_id("ami"),
                name,
                architecture,
                creation_date,
                owner_id,
                owner_alias,
                description=name,
                state=state,
                boot_mode=boot_mode,
                ena=ena,
                root_device=root_device,
                size=size,
                snapshot_id=self.new_id("snap"),
                created=self.now,
            )
            self.data.images[image.id] = image
            if parameter:
                self.data.parameters[parameter] = image.id
            self._remember()
            return image.id

    def withdraw_type(self, name: str, zone: str) -> None:
        """The zone does not offer the type any more."""
        with self.lock:
            self.data.unoffered.add((name, zone))

    def unshare_subnet(self, subnet_id: str) -> None:
        """Its owner, another account, stops sharing it: EC2 no longer lists it, and interfaces in it stay."""
        with self.lock:
            self.data.unshared.add(subnet_id)

    def peer_vpcs(self, requester: str, accepter: str) -> None:
        """An active peering connection."""
        with self.lock:
            self.data.peerings.add((requester, accepter))

    def add_peer_group(self, vpc_id: str, account: str) -> str:
        """The id of a group of another account, in a VPC that is peered with this one."""
        with self.lock:
            group, vpc = self.new_id("sg"), self.new_id("vpc")
            self.data.peer_groups[group] = (account, vpc)
            self.data.peerings.add((vpc_id, vpc))
            return group

    def attach_to_gateway(self, *vpc_ids: str) -> None:
        """A transit gateway between VPCs, which lets their groups name each other."""
        with self.lock:
            self.data.transit_gateways[self.new_id("tgw")] = list(vpc_ids)

    def add_key_pair(self, name: str) -> None:
        with self.lock:
            self.data.key_pairs.add(name)

    def add_instance_profile(self, name: str, delay: float = 0.0, *, role_delay: float = 0.0) -> str:
        """The ARN of a new instance profile. EC2 knows it after `delay`, and its role after `role_delay`."""
        with self.lock:
            arn = f"arn:aws:iam::{self.settings.account_id}:instance-profile/{name}"
            self.data.profiles[name] = arn
            self.data.profiles_since[name] = self.now + delay
            self.data.roles_since[name] = self.now + role_delay
            return arn

    def set_parameter(self, name: str, value: str) -> None:
        with self.lock:
            self.data.parameters[name] = value
