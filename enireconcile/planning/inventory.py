"""What a stack owns, as ``show`` prints it and reports have it: names, addresses and holders. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from enireconcile.live.records import (
    AnyRecord,
    Live,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
)
from enireconcile.model import Resources
from enireconcile.planning.owned import owned
from enireconcile.spec import SECTIONS, Document


class Inventory(Struct, frozen=True):
    """What a stack owns, and where. ``subnets`` maps ids to zone and CIDR, of those that were read."""

    stack: str
    account_id: str
    region: str
    resources: Resources
    subnets: Mapping[str, tuple[str, str]]


def inventory(document: Document, live: Live) -> Inventory:
    """All resources of the stack. Those that the spec no longer names are listed as well."""
    return Inventory(
        document.stack,
        live.account_id,
        live.region,
        resources(document, live),
        {subnet.id: (subnet.zone, subnet.cidr) for subnet in live.subnets},
    )


def resources(document: Document, live: Live) -> Resources:
    """The attributes of each resource of the stack by its address, in the order of the sections.

    Other resources are named as the stack does, those that it does not own by their ids.
    """
    found = owned(live, document.resources, document.renamed).everything
    names = {record.id: address.partition(".")[2] for address, record in found.items()}
    # An external instance that several fit has no name yet.
    names |= {each[0].id: name for name, each in live.externals.items() if len(each) == 1}
    ordered = sorted(found.items(), key=lambda item: (SECTIONS.index(item[0].partition(".")[0]), item[0]))
    return {address: _attributes(record, names) for address, record in ordered}


def _attributes(record: AnyRecord, names: Mapping[str, str]) -> Mapping[str, Any]:
    if isinstance(record, LiveElasticIp):
        return _of_elastic_ip(record, names)
    if isinstance(record, LiveNetworkInterface):
        return _of_network_interface(record, names)
    if isinstance(record, LiveInstance):
        return _of_instance(record)
    return {"id": record.id, "group_name": record.name, "vpc_id": record.vpc_id or None}


SHOWN: Mapping[str, tuple[str, ...]] = {
    "elastic_ips": ("id", "public_ip", "private_ip", "network_interface", "instance"),
    "network_interfaces": (
        *("id", "private_ip", "secondary_private_ips", "ipv6_addresses", "public_ip", "mac_address", "subnet_id"),
        *("vpc_id", "availability_zone", "security_groups", "instance", "instance_id", "device_index", "status"),
    ),
    "instances": ("id", "state", "private_ip", "public_ip", "instance_type", "availability_zone", "image_id"),
    "security_groups": ("id", "group_name", "vpc_id"),
}
"""The attributes of resources by section, for those who have none yet."""


def _of_elastic_ip(live: LiveElasticIp, names: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "id": live.id,
        "public_ip": live.public_ip or None,
        "private_ip": live.private_ip,
        "network_interface": _named(live.network_interface_id, names),
        "instance": _named(live.instance_id, names),
    }


def _of_network_interface(live: LiveNetworkInterface, names: Mapping[str, str]) -> Mapping[str, Any]:
    at = live.attachment
    return {
        "id": live.id,
        "private_ip": live.private_ip or None,
        "secondary_private_ips": list(live.secondary_ips),
        "ipv6_addresses": list(live.ipv6_addresses),
        "public_ip": live.public_ip,
        "mac_address": live.mac_address or None,
        "subnet_id": live.subnet_id or None,
        "vpc_id": live.vpc_id or None,
        "availability_zone": live.zone or None,
        "security_groups": sorted(names.get(group, group) for group in live.groups),
        "instance": _named(at.instance_id, names) if at else None,
        "instance_id": at.instance_id if at else None,
        "device_index": at.device_index if at else None,
        "status": live.status or None,
    }


def _of_instance(live: LiveInstance) -> Mapping[str, Any]:
    return {
        "id": live.id,
        "state": live.state,
        "private_ip": live.private_ip or None,
        "public_ip": live.public_ip,
        "instance_type": live.instance_type or None,
        "availability_zone": live.zone or None,
        "image_id": live.image_id or None,
    }


def _named(aws_id: str | None, names: Mapping[str, str]) -> str | None:
    return None if aws_id is None else names.get(aws_id, aws_id)
