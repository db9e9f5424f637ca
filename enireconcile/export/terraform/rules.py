"""Rules of security groups: Terraform has three spellings of them, EC2 has IpPermissions. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from enireconcile.export.terraform.state import Resource, number_in, text_in, texts_in
from enireconcile.kinds.security_group import live_ends, live_ports, live_protocol

Permission = dict[str, Any]
"""An item of EC2's IpPermissions, with one source or destination."""

SEPARATE = {
    "aws_vpc_security_group_ingress_rule": "ingress",
    "aws_vpc_security_group_egress_rule": "egress",
    "aws_security_group_rule": "",
}
"""The resources that are rules of a group, with their direction; empty if an attribute says it."""


def permissions(group: Resource, separate: Iterable[Resource], direction: str) -> list[Permission]:
    """The rules of a group in one direction, each once. ``separate`` are the resources that are rules of it.

    Terraform's state of a group has the rules that were there when it was last read, inline or not; the separate
    ones may be newer.
    """
    found = [entry for block in group.blocks(direction) for entry in _of_block(block, group.id)]
    for rule in separate:
        if (SEPARATE[rule.type] or rule.text("type")) == direction:
            found += _of_rule(rule) if SEPARATE[rule.type] else _of_block(rule.values, group.id)
    return [*{_key(permission): permission for permission in found}.values()]


def _key(permission: Permission) -> tuple[object, ...]:
    """What makes it one rule: its description is an attribute."""
    return live_protocol(permission), live_ports(permission), *(end for end, _ in live_ends(permission))


def _of_block(values: Mapping[str, Any], group_id: str) -> Iterator[Permission]:
    """An inline block, or an aws_security_group_rule, which has the same attributes but one."""
    peers = [*texts_in(values, "security_groups"), text_in(values, "source_security_group_id")]
    if values.get("self") is True:
        peers.append(group_id)
    ports = _ports(text_in(values, "protocol"), values)
    described = _described(values)
    for key, name, ends in (
        ("IpRanges", "CidrIp", texts_in(values, "cidr_blocks")),
        ("Ipv6Ranges", "CidrIpv6", texts_in(values, "ipv6_cidr_blocks")),
        ("PrefixListIds", "PrefixListId", texts_in(values, "prefix_list_ids")),
    ):
        yield from ({**ports, key: [{name: _cidr(end), **described}]} for end in ends)
    for peer in dict.fromkeys(filter(None, peers)):
        yield {**ports, "UserIdGroupPairs": [{**_group(peer), **described}]}


def _of_rule(rule: Resource) -> Iterator[Permission]:
    """An aws_vpc_security_group_ingress_rule or _egress_rule, which has one source or destination."""
    ports, described = _ports(rule.text("ip_protocol"), rule.values), _described(rule.values)
    for key, name, attribute in (
        ("IpRanges", "CidrIp", "cidr_ipv4"),
        ("Ipv6Ranges", "CidrIpv6", "cidr_ipv6"),
        ("PrefixListIds", "PrefixListId", "prefix_list_id"),
    ):
        if end := rule.text(attribute):
            yield {**ports, key: [{name: _cidr(end), **described}]}
    if peer := rule.text("referenced_security_group_id"):
        yield {**ports, "UserIdGroupPairs": [{**_group(peer), **described}]}


def _ports(protocol: str, values: Mapping[str, Any]) -> Permission:
    """Terraform writes all ports as 0 to 0 with protocol -1, and as -1 or nothing elsewhere."""
    protocol = "-1" if protocol.lower() in ("", "all") else protocol.lower()
    if protocol == "-1" or values.get("from_port") is None:
        return {"IpProtocol": protocol}
    return {
        "IpProtocol": protocol,
        "FromPort": number_in(values, "from_port"),
        "ToPort": number_in(values, "to_port", number_in(values, "from_port")),
    }


def _cidr(text: str) -> str:
    """A CIDR in its normal spelling."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return text


def _described(values: Mapping[str, Any]) -> dict[str, str]:
    text = text_in(values, "description")
    return {"Description": text} if text else {}


def _group(peer: str) -> dict[str, str]:
    """A group, or ``<account>/<id>`` for one of another account."""
    account, _, group_id = peer.rpartition("/")
    return {"GroupId": group_id, "UserId": account} if account else {"GroupId": group_id}
