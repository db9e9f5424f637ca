"""Read what export needs: the selected resources, then what they refer to. A few calls for all of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from enireconcile.errors import EnireconcileError
from enireconcile.live import records
from enireconcile.live.filters import literal, tag_filters
from enireconcile.live.optional import Answers
from enireconcile.live.reader import described, described_by, listed
from enireconcile.live.records import (
    AnyRecord,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LivePrefixList,
    LiveRouteTable,
    LiveSecurityGroup,
    titled,
)
from enireconcile.live.selected import Selected, Selection, stack_wish
from enireconcile.model import Reads, Secret
from enireconcile.ownership import STACK_TAG, ownership_filters
from enireconcile.spec import SECTIONS

R = TypeVar("R", LiveSecurityGroup, LiveInstance, LiveNetworkInterface, LiveElasticIp)
_SHOWN = 10
_BURSTABLE = re.compile(r"t\d")


async def select(reader: Reads, selection: Selection, region: str, *, user_data: bool = False) -> Selected:
    """The selected resources and what they refer to; the user data of instances, which may hold secrets, if asked.

    Raises AwsError, and EnireconcileError with what exists if there is no such resource.
    """
    found = _Found()
    await _seed(reader, selection, found)
    if not (found.records or selection.vpcs) or (set(selection.instances) - set(found.records)):
        raise await _nothing(reader, selection, found, region)
    if selection.stack is None:
        await _complete(reader, selection, found)
    selected = await _with_context(reader, selection, found, region)
    if absent := sorted(set(selection.vpcs) - {vpc.id for vpc in selected.vpcs}):
        there = [titled(vpc) for vpc in selected.vpcs]
        raise _missing(f"no VPC {' and '.join(absent)} in {region}", "VPCs", there)
    if user_data:
        selected = await _with_user_data(reader, selection, selected)
    if selection.stack is not None:
        return selected
    named = {live.id: live.tags.get("Name", "") for live in selected.instances}
    named |= {vpc.id: vpc.tags.get("Name", "") for vpc in selected.vpcs}
    wish = stack_wish(selection, named)
    stacks = await _values(reader, f"tag:{STACK_TAG}", f"{wish}*", STACK_TAG)
    return replace(selected, wish=wish, stacks=frozenset(stacks))


class _Found:
    """Records by id; each is kept once. Terminated instances are none."""

    def __init__(self) -> None:
        self.records: dict[str, AnyRecord] = {}

    def add(self, *answers: Sequence[AnyRecord]) -> None:
        for record in (record for answer in answers for record in answer):
            if not (isinstance(record, LiveInstance) and record.terminating):
                self.records.setdefault(record.id, record)

    def of(self, kind: type[R]) -> tuple[R, ...]:
        found = (record for record in self.records.values() if isinstance(record, kind))
        return tuple(sorted(found, key=lambda record: record.id))


async def _seed(reader: Reads, selection: Selection, found: _Found) -> None:
    """What the selection names itself."""
    if selection.instances:
        found.add(await described_by(reader, "instances", "instance-id", selection.instances))
        return
    if selection.vpcs:
        sections = ("security_groups", "instances", "network_interfaces")
        answers = await asyncio.gather(
            *(described_by(reader, each, "vpc-id", selection.vpcs) for each in sections)
        )
        found.add(*answers)
        return
    filters = ownership_filters(selection.stack) if selection.stack is not None else tag_filters(selection.tags)
    found.add(*await asyncio.gather(*(described(reader, section, filters) for section in SECTIONS)))


async def _complete(reader: Reads, selection: Selection, found: _Found) -> None:
    """What selected resources need: interfaces and groups of instances, instances of interfaces; Elastic IPs of
    all interfaces, unless tags select: then only those that have the tags.
    """
    addressed = {live.network_interface_id for live in found.of(LiveElasticIp)} - {None, *found.records}
    found.add(await described_by(reader, "network_interfaces", "network-interface-id", map(str, addressed)))
    hosts = {live.attachment.instance_id for live in found.of(LiveNetworkInterface) if live.attachment}
    found.add(await described_by(reader, "instances", "instance-id", hosts - set(found.records)))
    if not selection.vpcs:
        instances = [live.id for live in found.of(LiveInstance)]
        found.add(await described_by(reader, "network_interfaces", "attachment.instance-id", instances))
    if not selection.tags:
        interfaces = [live.id for live in found.of(LiveNetworkInterface)]
        found.add(await described_by(reader, "elastic_ips", "network-interface-id", interfaces))


async def _with_context(reader: Reads, selection: Selection, found: _Found, region: str) -> Selected:
    """The selected resources with all of their attributes, and what they refer to."""
    answers = Answers(reader)
    subnets, vpcs, tables, near, instances, addresses = await asyncio.gather(
        listed(reader, "DescribeSubnets", {}, "Subnets", records.subnet),
        listed(reader, "DescribeVpcs", {}, "Vpcs", records.vpc),
        answers.ask("DescribeRouteTables", {}, "RouteTables"),
        _around(reader, found),
        _instances(answers, found.of(LiveInstance)),
        _addresses(answers, found.of(LiveElasticIp)),
    )
    interfaces = found.of(LiveNetworkInterface)
    used = {group for live in interfaces for group in live.groups} if selection.stack is None else set()
    groups = {live.id: live for live in found.of(LiveSecurityGroup)}
    groups |= {live.id: live for live in near.of(LiveSecurityGroup) if live.id in used}
    route_tables = tuple(map(records.route_table, tables))
    return Selected(
        region=region,
        security_groups=tuple(groups[key] for key in sorted(groups)),
        instances=instances,
        network_interfaces=interfaces,
        elastic_ips=addresses,
        outside=(
            *(live for live in near.of(LiveSecurityGroup) if live.id not in groups),
            *near.of(LiveInstance),
            *near.of(LiveNetworkInterface),
        ),
        subnets=subnets,
        vpcs=vpcs,
        route_tables=route_tables,
        prefix_lists=await _prefix_lists(answers, groups.values(), route_tables),
        unanswered=answers.unanswered,
    )


async def _around(reader: Reads, found: _Found) -> _Found:
    """The groups of the VPCs, and the instances and interfaces that selected resources are at."""
    interfaces, groups = found.of(LiveNetworkInterface), found.of(LiveSecurityGroup)
    holders = {live.network_interface_id for live in found.of(LiveElasticIp)} - {None, *found.records}
    hosts = {live.attachment.instance_id for live in interfaces if live.attachment} - set(found.records)
    vpcs = {live.vpc_id for live in interfaces} | {live.vpc_id for live in groups}
    answers = await asyncio.gather(
        described_by(reader, "security_groups", "vpc-id", vpcs),
        described_by(reader, "instances", "instance-id", hosts),
        described_by(reader, "network_interfaces", "network-interface-id", map(str, holders)),
    )
    near = _Found()
    near.add(*answers)
    return near


async def _prefix_lists(
    answers: Answers, groups: Iterable[LiveSecurityGroup], tables: Iterable[LiveRouteTable]
) -> tuple[LivePrefixList, ...]:
    """All prefix lists, if rules or routes name any: their names need not be unique."""
    rules = any("pl-" in str((live.ingress, live.egress)) for live in groups)
    if not (rules or any(route.destination.startswith("pl-") for table in tables for route in table.routes)):
        return ()
    return tuple(map(records.prefix_list, await answers.ask("DescribeManagedPrefixLists", {}, "PrefixLists")))


async def _addresses(answers: Answers, addresses: Sequence[LiveElasticIp]) -> tuple[LiveElasticIp, ...]:
    """The Elastic IPs with their reverse DNS: one call."""
    if not addresses:
        return ()
    items = await answers.ask("DescribeAddressesAttribute", {"Attribute": "domain-name"}, "Addresses")
    names = {item["AllocationId"]: records.reverse_dns(item) for item in items}
    return tuple(replace(live, reverse_dns=names.get(live.id)) for live in addresses)


async def _instances(answers: Answers, instances: Sequence[LiveInstance]) -> tuple[LiveInstance, ...]:
    """The instances with what DescribeInstances does not show: their credit option and their volumes, in a call
    each, and what only DescribeInstanceAttribute shows, an attribute of an instance a call.
    """
    own = [live for live in instances if live.manager is None]
    burstable = [live.id for live in own if _BURSTABLE.match(live.instance_type)]
    key = "InstanceCreditSpecifications"
    completed, credit, disks = await asyncio.gather(
        asyncio.gather(*(_attributes(answers, live) for live in own)),
        answers.ask_all("DescribeInstanceCreditSpecifications", "instance-id", burstable, key),
        answers.ask_all("DescribeVolumes", "attachment.instance-id", [live.id for live in own], "Volumes"),
    )
    options = {item["InstanceId"]: item["CpuCredits"] for item in credit}
    volumes = records.volumes_by_instance(disks)
    found = {
        live.id: replace(live, cpu_credits=options.get(live.id), volumes=volumes.get(live.id))
        for live in completed
    }
    return tuple(found.get(live.id, live) for live in instances)


async def _attributes(answers: Answers, live: LiveInstance) -> LiveInstance:
    call, found = "DescribeInstanceAttribute", dict[str, Any]()
    for name, key, field in records.INSTANCE_ATTRIBUTES.values():
        if call not in answers.unanswered:
            for item in await answers.ask(call, {"InstanceId": live.id, "Attribute": name}, key):
                found[field] = item.get("Value", False)
    return replace(live, **found)


async def _with_user_data(reader: Reads, selection: Selection, selected: Selected) -> Selected:
    """With the user data of instances that can have a row: a call for each. EC2 has it in base64."""
    contents, unread, call = dict[str, Secret](), dict[str, str](), "DescribeInstanceAttribute"

    async def read(live: LiveInstance) -> None:
        answers = Answers(reader)
        for item in await answers.ask(call, {"InstanceId": live.id, "Attribute": "userData"}, "UserData"):
            try:
                content = records.user_data(item)
            except ValueError:
                unread[live.id] = "it is no base64"
                continue
            if content is not None:
                contents[live.id] = content
        if code := answers.unanswered.get(call):
            unread[live.id] = code

    ours = (None, selection.stack)
    fitting = (each for each in selected.instances if each.manager is None and each.tags.get(STACK_TAG) in ours)
    await asyncio.gather(*map(read, fitting))
    return replace(selected, user_data=contents, unread=unread)


# ---- nothing there


async def _nothing(reader: Reads, selection: Selection, found: _Found, region: str) -> EnireconcileError:
    """The error that there is no such resource, with what exists."""
    if selection.instances:
        missing = sorted(set(selection.instances) - set(found.records))
        instances = _Found()
        instances.add(await described(reader, "instances", ()))
        there = [titled(live) for live in instances.of(LiveInstance)]
        return _missing(f"no instance {' and '.join(missing)} in {region}", "instances", there)
    if selection.stack is not None:
        stacks = await _values(reader, "tag-key", STACK_TAG, STACK_TAG)
        return _missing(f"nothing in {region} belongs to {selection.text}", "stacks", stacks)
    [key] = list(selection.tags)[:1]
    values = [f"{key}={value}" for value in await _values(reader, "tag-key", literal(key), key)]
    what = f"tags {key}" if values else "resources with a tag of the key " + repr(key)
    return _missing(f"nothing in {region} has the tags {selection.text}", what, values)


async def _values(reader: Reads, name: str, value: str, key: str) -> list[str]:
    """The values that a tag has, on resources with this value for a filter."""
    filters = [{"Name": name, "Values": [value]}]
    found = _Found()
    found.add(*await asyncio.gather(*(described(reader, section, filters) for section in SECTIONS)))
    return sorted({record.tags[key] for record in found.records.values() if key in record.tags})


def _missing(message: str, what: str, there: Sequence[str]) -> EnireconcileError:
    if not there:
        return EnireconcileError(message, hint=f"there are no {what} in this account and Region")
    shown = [*there[:_SHOWN], f"and {len(there) - _SHOWN} more"] if len(there) > _SHOWN else there
    return EnireconcileError(message, hint=f"{what} here: {', '.join(shown)}")
