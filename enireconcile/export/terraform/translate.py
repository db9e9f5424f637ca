"""Terraform's attributes as EC2 would describe them, and so as live records. Pure.

Of a resource that others refer to, the state may be older than theirs: Terraform writes the attachment of an
interface, the association of an address and the rules of a group into their state only when it reads them again.
So both sides are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.export.terraform.place import Place
from enireconcile.export.terraform.rules import SEPARATE, permissions
from enireconcile.export.terraform.state import Resource, number_in, text_in
from enireconcile.live import records
from enireconcile.live.records import (
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LivePrefixList,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
)
from enireconcile.live.selected import Selected

KINDS = ("aws_security_group", "aws_instance", "aws_network_interface", "aws_eip")
"""The resources that get a row."""
Described = dict[str, Any]
_METADATA = {
    "http_tokens": "HttpTokens",
    "http_endpoint": "HttpEndpoint",
    "instance_metadata_tags": "InstanceMetadataTags",
}
_HOPS = "http_put_response_hop_limit"


class Translation(Struct, frozen=True, dict=True):
    """The resources of one place: those that get a row if they can (``rows``), and all others.

    ``names`` are the names of rows by their addresses in Terraform.
    """

    place: Place
    rows: Sequence[Resource]
    resources: Sequence[Resource]
    names: Mapping[str, str]

    def selected(self, wish: str) -> Selected:
        """What export starts from. ``wish`` is the name for the stack."""
        rows = {resource.id for resource in self.rows}
        instances, groups, addresses = self._instances, self._groups, self._addresses
        # The primary interface of an instance may be a data source, too.
        interfaces = [*{live.id: live for live in (*self._interfaces, *self.implicit)}.values()]
        own = rows | {live.id for live in self.implicit}
        taken = [live for live in interfaces if live.id in own]
        outside: list[LiveSecurityGroup | LiveInstance | LiveNetworkInterface] = [
            *(live for live in groups if live.id not in rows),
            *(live for live in instances if live.id not in rows),
            *(live for live in interfaces if live.id not in own),
        ]
        hosts = {live.attachment.instance_id for live in taken if live.attachment}
        outside += [_unknown_instance(each) for each in sorted(hosts - {live.id for live in instances})]
        return Selected(
            region=self.place.region,
            account_id=self.place.account_id or None,
            security_groups=_sorted(live for live in groups if live.id in rows),
            instances=_sorted(live for live in instances if live.id in rows),
            network_interfaces=_sorted(taken),
            elastic_ips=_sorted(live for live in addresses if live.id in rows),
            outside=tuple(outside),
            subnets=self._all_subnets(taken),
            vpcs=self._vpcs,
            route_tables=self._route_tables,
            prefix_lists=self._prefix_lists,
            wish=wish,
            names={resource.id: self.names[resource.address] for resource in self.rows},
        )

    def of(self, *types: str, managed: bool | None = None) -> list[Resource]:
        """The resources of these types, data sources last; of one id only the first."""
        found: dict[str, Resource] = {}
        several = [each for kind in types for each in self._by_type.get(kind, ())]
        for each in sorted(several, key=lambda each: not each.managed):
            if managed in (None, each.managed):
                found.setdefault(each.id or each.address, each)
        return [*found.values()]

    def by(self, key: str, *types: str) -> dict[str, list[Resource]]:
        """The resources of these types by an attribute of theirs."""
        found: dict[str, list[Resource]] = {}
        for each in self.of(*types):
            found.setdefault(each.text(key), []).append(each)
        return found

    @cached_property
    def _by_type(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for each in self.resources:
            found.setdefault(each.type, []).append(each)
        return found

    # ---- interfaces

    @cached_property
    def _interfaces(self) -> list[LiveNetworkInterface]:
        return [records.network_interface(self._interface(each)) for each in self.of("aws_network_interface")]

    def _interface(self, resource: Resource) -> Described:
        private_ips = resource.texts("private_ip_list") or resource.texts("private_ips")
        ipv6 = resource.texts("ipv6_address_list") or resource.texts("ipv6_addresses")
        found = {
            **_addressed(resource.text("private_ip"), private_ips, ipv6, resource.flag("enable_primary_ipv6")),
            "NetworkInterfaceId": resource.id,
            "SubnetId": resource.text("subnet_id"),
            "VpcId": self._vpc_of_subnet(resource.text("subnet_id")),
            "Description": resource.text("description"),
            "SourceDestCheck": resource.flag("source_dest_check", True),
            "InterfaceType": resource.text("interface_type") or "interface",
            "Ipv4Prefixes": [{"Ipv4Prefix": each} for each in resource.texts("ipv4_prefixes")],
            "Ipv6Prefixes": [{"Ipv6Prefix": each} for each in resource.texts("ipv6_prefixes")],
            "Groups": self._groups_of(resource.id, resource.texts("security_groups")),
            "TagSet": resource.tags,
        }
        place = self._attachments.get(resource.id)
        return {**found, "Attachment": place} if place else found

    def _groups_of(self, interface_id: str, group_ids: Iterable[str]) -> list[Described]:
        more = (each.text("security_group_id") for each in self._group_attachments.get(interface_id, ()))
        return [{"GroupId": each} for each in sorted({*group_ids, *more})]

    @cached_property
    def _group_attachments(self) -> dict[str, list[Resource]]:
        return self.by("network_interface_id", "aws_network_interface_sg_attachment")

    @cached_property
    def _attachments(self) -> dict[str, Described]:
        """EC2's Attachment of each interface: as the interface shows it, or what has attached it since."""
        found: dict[str, Described] = {}
        for each in self.of("aws_network_interface"):
            for block in each.blocks("attachment"):
                # A data source has instance_id.
                host = text_in(block, "instance") or text_in(block, "instance_id")
                if host.startswith("i-"):
                    found[each.id] = _place(host, block)
        for each in self.of("aws_network_interface_attachment"):
            interface_id, host = each.text("network_interface_id"), each.text("instance_id")
            moved = found.get(interface_id, {}).get("InstanceId") != host
            if moved and each.text("status") not in ("detaching", "detached"):
                found[interface_id] = _place(host, each.values)
        for each in self.of("aws_instance"):
            for block in _launch_blocks(each):
                interface_id = text_in(block, "network_interface_id")
                ends = {"DeleteOnTermination": block.get("delete_on_termination") is True}
                found[interface_id] = {**found.get(interface_id, _place(each.id, block)), **ends}
        return found

    @cached_property
    def implicit(self) -> list[LiveNetworkInterface]:
        """The primary interfaces that EC2 made for instances of ``rows``, which Terraform has no resource for."""
        known = {each.id for each in self.of("aws_network_interface", managed=True)}
        return [
            records.network_interface(self._primary(each))
            for each in self.rows
            if each.type == "aws_instance"
            and (primary := each.text("primary_network_interface_id"))
            and primary not in known
            and not _brings_primary(each)
        ]

    def _primary(self, instance: Resource) -> Described:
        """What an instance shows of its primary interface."""
        place = {**_place(instance.id, {"device_index": 0}), "DeleteOnTermination": True}
        public = instance.text("public_ip") if instance.flag("associate_public_ip_address") else ""
        primary, secondary = instance.text("private_ip"), instance.texts("secondary_private_ips")
        interface_id = instance.text("primary_network_interface_id")
        return {
            **_addressed(
                primary, secondary, instance.texts("ipv6_addresses"), instance.flag("enable_primary_ipv6")
            ),
            "NetworkInterfaceId": interface_id,
            "SubnetId": instance.text("subnet_id"),
            "VpcId": self._vpc_of_subnet(instance.text("subnet_id")),
            "SourceDestCheck": instance.flag("source_dest_check", True),
            "Groups": self._groups_of(interface_id, instance.texts("vpc_security_group_ids")),
            "Attachment": place,
            "Association": {"PublicIp": "" if public in self._elastic else public},
        }

    @cached_property
    def _elastic(self) -> dict[str, list[Resource]]:
        return self.by("public_ip", "aws_eip", "aws_eip_association")

    # ---- instances

    @cached_property
    def _instances(self) -> list[LiveInstance]:
        return [_instance(each) for each in self.of("aws_instance")]

    # ---- Elastic IPs

    @cached_property
    def _addresses(self) -> list[LiveElasticIp]:
        return [self._address(each) for each in self.of("aws_eip", managed=True)]

    def _address(self, resource: Resource) -> LiveElasticIp:
        names = [resource.text("ptr_record")]
        names += [each.text("domain_name") for each in self._domain_names.get(resource.id, ())]
        held = self._association(resource)
        live = records.elastic_ip(
            {
                "AllocationId": resource.id,
                "PublicIp": resource.text("public_ip"),
                "PublicIpv4Pool": resource.text("public_ipv4_pool"),
                "NetworkBorderGroup": resource.text("network_border_group"),
                "Tags": resource.tags,
                **held,
            }
        )
        return replace(live, reverse_dns=records.reverse_dns({"PtrRecord": next(filter(None, names), None)}))

    def _association(self, resource: Resource) -> Described:
        """Where the address leads to: as what associates it says, or as it shows itself."""
        own = (resource.text("network_interface"), resource.text("instance"), resource.text("private_ip"))
        others = (
            (each.text("network_interface_id"), each.text("instance_id"), each.text("private_ip_address"))
            for each in (
                *self._associations["allocation_id"].get(resource.id, ()),
                *self._associations["public_ip"].get(resource.text("public_ip"), ()),
            )
        )
        for interface_id, instance_id, private_ip in (*others, own):
            holder = interface_id or self._primaries.get(instance_id, "")
            if holder:
                return {"NetworkInterfaceId": holder, "PrivateIpAddress": private_ip}
        return {}

    @cached_property
    def _associations(self) -> dict[str, dict[str, list[Resource]]]:
        """By either of the two with which an association names its Elastic IP."""
        return {key: self.by(key, "aws_eip_association") for key in ("allocation_id", "public_ip")}

    @cached_property
    def _domain_names(self) -> dict[str, list[Resource]]:
        return self.by("allocation_id", "aws_eip_domain_name")

    @cached_property
    def _primaries(self) -> dict[str, str]:
        """The primary interfaces by their instances."""
        return {each.id: each.text("primary_network_interface_id") for each in self.of("aws_instance")}

    # ---- groups

    @cached_property
    def _groups(self) -> list[LiveSecurityGroup]:
        separate = self.by("security_group_id", *SEPARATE)
        found = [
            records.security_group(
                {
                    "GroupId": each.id,
                    "GroupName": "default" if each.type == "aws_default_security_group" else each.text("name"),
                    "Description": each.text("description"),
                    "VpcId": each.text("vpc_id"),
                    "OwnerId": self.place.account_id or None,
                    "IpPermissions": permissions(each, separate.get(each.id, ()), "ingress"),
                    "IpPermissionsEgress": permissions(each, separate.get(each.id, ()), "egress"),
                    "Tags": each.tags,
                }
            )
            for each in self.of("aws_security_group", "aws_default_security_group")
        ]
        known = {live.id for live in found}
        default = {each.text("default_security_group_id"): each.id for each in self._networks}
        return found + [
            LiveSecurityGroup(group_id, {}, "default", "", vpc_id, (), ())
            for group_id, vpc_id in sorted(default.items())
            if group_id and group_id not in known
        ]

    # ---- what they refer to. CIDRs are left out: what else has them in the account is not known.

    @cached_property
    def _networks(self) -> list[Resource]:
        return self.of("aws_vpc", "aws_default_vpc")

    @cached_property
    def _vpcs(self) -> tuple[LiveVpc, ...]:
        return tuple(
            LiveVpc(
                each.id,
                _tags(each),
                cidrs=(),
                is_default=each.type == "aws_default_vpc" or each.flag("default"),
                ipv6=bool(each.text("ipv6_cidr_block")),
            )
            for each in self._networks
        )

    @cached_property
    def subnets(self) -> tuple[LiveSubnet, ...]:
        """The subnets that the state shows."""
        return tuple(
            LiveSubnet(
                each.id,
                _tags(each),
                each.text("vpc_id"),
                each.text("availability_zone"),
                cidr="",
                default_for_az=each.type == "aws_default_subnet" or each.flag("default_for_az"),
            )
            for each in self.of("aws_default_subnet", "aws_subnet")
        )

    def _vpc_of_subnet(self, subnet_id: str) -> str:
        return self._vpcs_of_subnets.get(subnet_id, "")

    @cached_property
    def _vpcs_of_subnets(self) -> dict[str, str]:
        return {each.id: each.vpc_id for each in self.subnets}

    def _all_subnets(self, interfaces: Iterable[LiveNetworkInterface]) -> tuple[LiveSubnet, ...]:
        """Also those of interfaces of which the state shows the id alone."""
        missing = sorted({live.subnet_id for live in interfaces} - {each.id for each in self.subnets} - {""})
        return (*self.subnets, *(LiveSubnet(each, {}, "", "", "", default_for_az=False) for each in missing))

    @cached_property
    def _route_tables(self) -> tuple[LiveRouteTable, ...]:
        tables = {
            each.id: LiveRouteTable(
                each.id, _tags(each), each.text("vpc_id"), main=each.type == "aws_default_route_table"
            )
            for each in self.of("aws_default_route_table", "aws_route_table")
        }
        routes: dict[str, dict[str, str]] = {}
        for table_id, destination, target in self.routes():
            routes.setdefault(table_id, {})[destination] = target
        return tuple(
            replace(
                tables.get(table_id) or LiveRouteTable(table_id, {}, ""),
                routes=tuple(LiveRoute(end, target) for end, target in sorted(found.items())),
            )
            for table_id, found in sorted(routes.items())
        )

    @cached_property
    def allocations(self) -> dict[str, str]:
        """The Elastic IPs' ids by their addresses."""
        return {each.text("public_ip"): each.id for each in self.of("aws_eip")}

    def routes(self) -> Iterator[tuple[str, str, str]]:
        """Table, destination and interface of the routes to interfaces, inline or not."""
        yield from self.inline_routes()
        for each in self.of("aws_route", managed=True):
            yield each.text("route_table_id"), route_end(each), self.leads_to(each)

    def inline_routes(self) -> Iterator[tuple[str, str, str]]:
        """Likewise, of route tables. Once read again, these show the routes of ``aws_route``, too."""
        for table in self.of("aws_route_table", "aws_default_route_table", managed=True):
            for block in table.blocks("route"):
                ends = ("cidr_block", "ipv6_cidr_block", "destination_prefix_list_id")
                if target := text_in(block, "network_interface_id"):
                    yield table.id, next(filter(None, (text_in(block, end) for end in ends)), ""), target

    def leads_to(self, route: Resource) -> str:
        """The interface that a route leads to; empty if it leads elsewhere."""
        return route.text("network_interface_id") or self._primaries.get(route.text("instance_id"), "")

    @cached_property
    def _prefix_lists(self) -> tuple[LivePrefixList, ...]:
        lists = self.of("aws_ec2_managed_prefix_list", "aws_prefix_list")
        return tuple(LivePrefixList(each.id, each.text("name")) for each in lists)


def route_end(route: Resource) -> str:
    """The destination of an aws_route."""
    ends = ("destination_cidr_block", "destination_ipv6_cidr_block", "destination_prefix_list_id")
    return next(filter(None, map(route.text, ends)), "")


def _sorted(found: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(found, key=lambda live: live.id))


def _tags(resource: Resource) -> dict[str, str]:
    return records.tags_in({"Tags": resource.tags})


def _place(instance_id: str, values: Mapping[str, Any]) -> Described:
    """EC2's Attachment."""
    return {
        "AttachmentId": text_in(values, "attachment_id"),
        "InstanceId": instance_id,
        "DeviceIndex": number_in(values, "device_index"),
        "NetworkCardIndex": number_in(values, "network_card_index"),
        "DeleteOnTermination": False,
    }


def _launch_blocks(instance: Resource) -> list[Mapping[str, Any]]:
    """The blocks of an instance that name an interface, which was attached at its launch."""
    blocks = [*instance.blocks("network_interface"), *instance.blocks("primary_network_interface")]
    return [block for block in blocks if text_in(block, "network_interface_id")]


def _brings_primary(instance: Resource) -> bool:
    """Was it launched with an interface that was there? EC2 deletes those that it made with the instance."""
    named = [block for block in instance.blocks("network_interface") if number_in(block, "device_index") == 0]
    primary = instance.blocks("primary_network_interface")
    return bool(named) or any(block.get("delete_on_termination") is False for block in primary)


def _addressed(primary: str, private_ips: Iterable[str], ipv6: Sequence[str], primary_ipv6: bool) -> Described:
    """The addresses of an interface; the first IPv6 address is the primary one, if any is."""
    others = [each for each in private_ips if each != primary]
    return {
        "PrivateIpAddress": primary,
        "PrivateIpAddresses": [{"PrivateIpAddress": each} for each in others],
        "Ipv6Addresses": [
            {"Ipv6Address": each, "IsPrimaryIpv6": primary_ipv6 and not number} for number, each in enumerate(ipv6)
        ],
    }


def _instance(resource: Resource) -> LiveInstance:
    [options] = resource.blocks("metadata_options")[:1] or [{}]
    [maintenance] = resource.blocks("maintenance_options")[:1] or [{}]
    [credit] = resource.blocks("credit_specification")[:1] or [{}]
    live = records.instance(
        {
            "InstanceId": resource.id,
            "Tags": resource.tags,
            "State": {"Name": resource.text("instance_state") or "running"},
            "InstanceType": resource.text("instance_type"),
            "ImageId": resource.text("ami"),
            "KeyName": resource.text("key_name"),
            "IamInstanceProfile": {"Arn": resource.text("iam_instance_profile")},
            "Placement": {
                "AvailabilityZone": resource.text("availability_zone"),
                "GroupName": resource.text("placement_group"),
            },
            "MetadataOptions": {name: text for key, name in _METADATA.items() if (text := text_in(options, key))}
            | ({"HttpPutResponseHopLimit": hops} if (hops := number_in(options, _HOPS)) else {}),
            "EbsOptimized": resource.flag("ebs_optimized"),
            "Monitoring": {"State": "enabled" if resource.flag("monitoring") else "disabled"},
            "MaintenanceOptions": {"AutoRecovery": text_in(maintenance, "auto_recovery")},
            "SpotInstanceRequestId": resource.text("spot_instance_request_id"),
            "SubnetId": resource.text("subnet_id"),
        }
    )
    return replace(
        live,
        protected=resource.flag("disable_api_termination"),
        stop_protected=resource.flag("disable_api_stop"),
        shutdown_behavior=resource.text("instance_initiated_shutdown_behavior") or None,
        cpu_credits=text_in(credit, "cpu_credits") or None,
    )


def _unknown_instance(instance_id: str) -> LiveInstance:
    """An instance of which the state shows the id alone."""
    return records.instance({"InstanceId": instance_id, "State": {"Name": "running"}})
