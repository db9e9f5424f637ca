"""Read what packets to an interface meet: its groups, its instance, the routes, the network ACL and the gateway.

A failed check is judged by these. They are optional: what cannot be read is left out of the judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from enireconcile.live import records
from enireconcile.live.optional import Answers
from enireconcile.live.records import Live, LiveNetworkInterface, Ways
from enireconcile.model import Reads


async def ways(reader: Reads, live: Live, interfaces: Iterable[LiveNetworkInterface]) -> Ways:
    """What the packets to these interfaces meet, beyond what ``live`` has: one call of a kind for all of them."""
    found = tuple(interfaces)
    answers = Answers(reader)
    vpcs = sorted({each.vpc_id for each in found})
    known = {each.id for each in live.security_groups}
    groups = sorted({group for each in found for group in each.groups} - known)
    present = {each.id for each in (*live.instances, *(one for many in live.externals.values() for one in many))}
    holders = sorted({each.attachment.instance_id for each in found if each.attachment is not None} - present)
    tables, acls, gateways, others, reservations = await asyncio.gather(
        answers.ask_all("DescribeRouteTables", "vpc-id", vpcs, "RouteTables"),
        answers.ask_all("DescribeNetworkAcls", "vpc-id", vpcs, "NetworkAcls"),
        answers.ask_all("DescribeInternetGateways", "attachment.vpc-id", vpcs, "InternetGateways"),
        answers.ask_all("DescribeSecurityGroups", "group-id", groups, "SecurityGroups"),
        answers.ask_all("DescribeInstances", "instance-id", holders, "Reservations"),
    )
    return Ways(
        groups={item["GroupId"]: records.security_group(item) for item in others},
        instances={
            item["InstanceId"]: records.instance(item) for each in reservations for item in each["Instances"]
        },
        route_tables=tuple(map(records.route_table, tables)),
        network_acls=tuple(map(records.network_acl, acls)),
        internet_gateways=tuple(map(records.internet_gateway, gateways)),
        unanswered=answers.unanswered,
    )
