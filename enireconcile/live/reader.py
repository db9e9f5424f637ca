"""The few describe calls that a spec needs, each paged once and parsed once, all at the same time.

What carries our stack tag is read whole, so that leftovers are seen; beyond that only what the spec's selectors
can choose from. Reads do not grow with the number of resources, only with pages. Images are looked up only for
instances that are about to be launched.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from enireconcile.errors import AwsError
from enireconcile.live import records
from enireconcile.live.filters import filters_for, literal
from enireconcile.live.records import (
    Live,
    LiveElasticIp,
    LiveImage,
)
from enireconcile.model import (
    Reads,
)
from enireconcile.ownership import (
    NAME_TAG,
    ownership_filters,
)
from enireconcile.spec import SECTIONS, Document, ElasticIp
from enireconcile.spec.shapes import resource_id

T = TypeVar("T")
_STATUS_IDS = 100


async def read(
    reader: Reads, document: Document, region: str, account_id: str | None = None, *, prune: bool = False
) -> Live:
    """Read all that ``document`` needs; the account only if it is not known yet. Raises AwsError.

    With ``prune`` also what must be known of those that are to go.
    """
    mine = {"Filters": ownership_filters(document.stack)}
    (
        (account, groups, instances, interfaces, addresses),
        (subnets, vpcs, defaults, externals),
    ) = await asyncio.gather(
        asyncio.gather(
            _account(reader, account_id),
            _listed(reader, "DescribeSecurityGroups", mine, "SecurityGroups", records.security_group),
            _instances(reader, mine),
            _listed(reader, "DescribeNetworkInterfaces", mine, "NetworkInterfaces", records.network_interface),
            _listed(reader, "DescribeAddresses", mine, "Addresses", records.elastic_ip),
        ),
        asyncio.gather(
            _subnets(reader, document),
            _vpcs(reader, document),
            _default_groups(reader, document),
            _externals(reader, document),
        ),
    )
    adoptable = await _adoptable(reader, document, (*groups, *instances, *interfaces, *addresses))
    known = (*instances, *(record for record in adoptable if isinstance(record, records.LiveInstance)))
    present = (*known, *interfaces, *addresses, *adoptable)
    (images, name_conflicts, checks, protected), (foreign_interfaces, names, dependents) = await asyncio.gather(
        asyncio.gather(
            _images(reader, document, instances),
            _name_conflicts(reader, document, groups),
            _checks(reader, document, known, externals),
            _protections(reader, document, known, prune),
        ),
        asyncio.gather(
            _foreign_interfaces(reader, document, present, externals),
            _reverse_dns(reader, document, (*addresses, *adoptable), prune),
            _dependents(reader, document, groups if prune else ()),
        ),
    )
    completed: dict[str, records.AnyRecord] = {**protected, **names}
    return Live(
        account_id=account,
        region=region,
        security_groups=groups,
        instances=tuple(protected[live.id] for live in instances),
        network_interfaces=interfaces,
        elastic_ips=tuple(names.get(live.id, live) for live in addresses),
        subnets=subnets,
        vpcs=vpcs,
        default_groups=defaults,
        images=images,
        name_conflicts=name_conflicts,
        externals=externals,
        checks=checks,
        adoptable=tuple(completed.get(record.id, record) for record in adoptable),
        foreign_interfaces=foreign_interfaces,
        dependents=dependents,
    )


async def _account(reader: Reads, known: str | None) -> str:
    return known or str((await reader.read("GetCallerIdentity"))["Account"])


async def _listed(
    reader: Reads,
    call: str,
    params: Mapping[str, Any],
    key: str,
    parse: Callable[[Mapping[str, Any]], T],
) -> tuple[T, ...]:
    response = await reader.read(call, params)
    return tuple(parse(item) for item in response.get(key) or ())


async def _instances(reader: Reads, params: Mapping[str, Any]) -> tuple[records.LiveInstance, ...]:
    response = await reader.read("DescribeInstances", params)
    return tuple(
        records.instance(item)
        for reservation in response.get("Reservations") or ()
        for item in reservation["Instances"]
    )


async def _adoptable(
    reader: Reads, document: Document, owned: tuple[records.AnyRecord, ...]
) -> tuple[records.AnyRecord, ...]:
    """What the spec adopts and the stack does not own yet: one call for each section that has any."""
    present = {record.id for record in owned} | {record.tags.get(NAME_TAG) for record in owned}
    wanted: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for address, adopted in document.adopted.items():
        if not {address, adopted} & present:
            wanted[address.partition(".")[0]].append(adopted)
    questions = [
        _found(reader, section, filters)
        for section, ids in wanted.items()
        for filters in filters_for(_ID_FILTERS[section], ids)
    ]
    return tuple(record for found in await asyncio.gather(*questions) for record in found)


_ID_FILTERS = {
    "security_groups": "group-id",
    "instances": "instance-id",
    "network_interfaces": "network-interface-id",
    "elastic_ips": "allocation-id",
}


async def _found(reader: Reads, section: str, filters: Sequence[Any]) -> tuple[records.AnyRecord, ...]:
    params = {"Filters": filters}
    if section == "security_groups":
        return await _listed(reader, "DescribeSecurityGroups", params, "SecurityGroups", records.security_group)
    if section == "instances":
        return await _instances(reader, params)
    if section == "network_interfaces":
        call, key = "DescribeNetworkInterfaces", "NetworkInterfaces"
        return await _listed(reader, call, params, key, records.network_interface)
    return await _listed(reader, "DescribeAddresses", params, "Addresses", records.elastic_ip)


async def _subnets(reader: Reads, document: Document) -> tuple[records.LiveSubnet, ...]:
    if not document.network_interfaces:
        return ()
    return await _listed(reader, "DescribeSubnets", {}, "Subnets", records.subnet)


async def _vpcs(reader: Reads, document: Document) -> tuple[records.LiveVpc, ...]:
    if not document.security_groups:
        return ()
    return await _listed(reader, "DescribeVpcs", {}, "Vpcs", records.vpc)


async def _externals(reader: Reads, document: Document) -> dict[str, tuple[records.LiveInstance, ...]]:
    """Who fits the selectors of external instances: one call for all ids, one for each set of tags."""
    selectors = {name: row.external for name, row in document.external_instances.items()}
    by_id = sorted({selector.id for selector in selectors.values() if selector.id is not None})
    questions = list(filters_for("instance-id", by_id))
    questions += [
        [{"Name": f"tag:{key}", "Values": [literal(value)]} for key, value in sorted(selector.tags.items())]
        for selector in selectors.values()
        if selector.tags is not None
    ]
    answers = await asyncio.gather(*(_instances(reader, {"Filters": filters}) for filters in questions))
    found = {instance.id: instance for answer in answers for instance in answer if not instance.terminating}
    return {
        name: tuple(
            instance
            for instance_id, instance in sorted(found.items())
            if selector.id == instance_id
            or (selector.tags is not None and selector.tags.items() <= instance.tags.items())
        )
        for name, selector in selectors.items()
    }


async def _checks(
    reader: Reads,
    document: Document,
    instances: tuple[records.LiveInstance, ...],
    externals: Mapping[str, tuple[records.LiveInstance, ...]],
) -> dict[str, str]:
    """Status checks of those that may hold an interface by failover, if any spec asks for them."""
    wanted: set[str] = set()
    own = {live.tags.get(NAME_TAG): live.id for live in instances if not live.terminating}
    own |= {
        address: live.id
        for live in instances
        for address, adopted in document.adopted.items()
        if live.id == adopted
    }
    for row in document.network_interfaces.values():
        at = row.attachment
        if at is None or at.instances is None or (at.failover and at.failover.health != "status_checks"):
            continue
        for name in at.instances:
            wanted |= {live.id for live in externals.get(name, ())} | {own.get(f"instances.{name}", "")}
    ids = sorted(wanted - {""})
    chunks = [ids[start : start + _STATUS_IDS] for start in range(0, len(ids), _STATUS_IDS)]
    # Ids of instances that were just described: none of them is unknown, which would fail the whole call.
    answers = await asyncio.gather(
        *(
            reader.read("DescribeInstanceStatus", {"InstanceIds": chunk, "IncludeAllInstances": True})
            for chunk in chunks
        )
    )
    return {
        status["InstanceId"]: _worse(status["SystemStatus"]["Status"], status["InstanceStatus"]["Status"])
        for answer in answers
        for status in answer.get("InstanceStatuses") or ()
    }


def _worse(system: str, instance: str) -> str:
    return instance if system == "ok" else system


async def _foreign_interfaces(
    reader: Reads,
    document: Document,
    present: Sequence[records.AnyRecord],
    externals: Mapping[str, tuple[records.LiveInstance, ...]],
) -> tuple[records.LiveNetworkInterface, ...]:
    """Interfaces that the spec does not keep, where addresses of the stack are or shall be: one call, if any."""
    wanted = {record.network_interface_id for record in present if isinstance(record, LiveElasticIp)}
    for row in document.elastic_ips.values():
        target = row.association
        if target is None:
            continue
        if target.network_interface is not None and resource_id("eni", target.network_interface):
            wanted.add(target.network_interface)
        elif target.instance is not None and document.primary_interface(target.instance) is None:
            found = (*externals.get(target.instance, ()), *_own_instance(document, target.instance, present))
            primaries = (instance.occupant(0, 0) for instance in found)
            wanted |= {primary.network_interface_id for primary in primaries if primary}
    ids = wanted - {record.id for record in present}
    chunks = await asyncio.gather(
        *(
            _listed(
                reader,
                "DescribeNetworkInterfaces",
                {"Filters": filters},
                "NetworkInterfaces",
                records.network_interface,
            )
            for filters in filters_for("network-interface-id", sorted(each for each in ids if each is not None))
        )
    )
    return tuple(interface for chunk in chunks for interface in chunk)


def _own_instance(
    document: Document, name: str, present: Sequence[records.AnyRecord]
) -> Iterator[records.LiveInstance]:
    """The instance of the stack, or that it adopts, under a name of the spec."""
    row = document.own_instances.get(name)
    for record in present:
        if isinstance(record, records.LiveInstance) and not record.terminating:
            adopted = row is not None and record.id == row.adopt
            if adopted or record.tags.get(NAME_TAG) == f"instances.{name}":
                yield record


async def _reverse_dns(
    reader: Reads, document: Document, present: Sequence[records.AnyRecord], prune: bool
) -> dict[str, LiveElasticIp]:
    """The addresses with their reverse DNS, by id, if the spec speaks of it or some are to be released.

    EC2 lists those that have any; asking by id would be an error as long as an address is young.
    """
    rows = {address: row for address, row in document.resources.items() if isinstance(row, ElasticIp)}
    speaking = {
        key for address, row in rows.items() if row.reverse_dns is not None for key in (address, row.adopt)
    }
    keeping = {key for address, row in rows.items() for key in (address, row.adopt)}
    addresses = [record for record in present if isinstance(record, LiveElasticIp)]
    keys = [{live.id, live.tags.get(NAME_TAG)} for live in addresses]
    if not any(each & speaking or (prune and not each & keeping) for each in keys):
        return {}
    response = await reader.read("DescribeAddressesAttribute", {"Attribute": "domain-name"})
    names = {item["AllocationId"]: records.reverse_dns(item) for item in response.get("Addresses") or ()}
    return {live.id: replace(live, reverse_dns=names.get(live.id, records.ReverseDns())) for live in addresses}


async def _default_groups(reader: Reads, document: Document) -> dict[str, str]:
    """VPC id to the id of its default group, where an interface names no groups."""
    rows = document.network_interfaces.values()
    if all(row.security_groups is not None or not row.specifies("security_groups") for row in rows):
        return {}
    filters = [{"Name": "group-name", "Values": ["default"]}]
    response = await reader.read("DescribeSecurityGroups", {"Filters": filters})
    return {group["VpcId"]: group["GroupId"] for group in response.get("SecurityGroups") or ()}


async def _protections(
    reader: Reads, document: Document, instances: tuple[records.LiveInstance, ...], prune: bool
) -> dict[str, records.LiveInstance]:
    """By id, those with ``protected`` whose spec speaks of it, or that are to go: EC2 tells one a call."""
    rows = {f"instances.{name}": row for name, row in document.own_instances.items()}
    rows |= {row.adopt: row for row in rows.values() if row.adopt is not None}

    def asked(live: records.LiveInstance) -> bool:
        row = rows.get(live.id) or rows.get(live.tags.get(NAME_TAG, ""))
        return not live.terminating and (prune if row is None else row.termination_protection is not None)

    async def told(live: records.LiveInstance) -> records.LiveInstance:
        if not asked(live):
            return live
        question = {"InstanceId": live.id, "Attribute": "disableApiTermination"}
        answer = await reader.read("DescribeInstanceAttribute", question)
        return replace(live, protected=bool((answer.get("DisableApiTermination") or {}).get("Value", False)))

    return {live.id: live for live in await asyncio.gather(*(told(live) for live in instances))}


async def _images(
    reader: Reads, document: Document, instances: tuple[records.LiveInstance, ...]
) -> dict[str, tuple[LiveImage, ...]]:
    present = {live.tags.get(NAME_TAG) for live in instances if not live.terminating}
    selectors = {
        name: row.image
        for name, row in document.own_instances.items()
        if row.adopt is None and (f"instances.{name}" not in present or row.on_change == "replace")
    }
    distinct = sorted(set(selectors.values()), key=repr)
    found = await asyncio.gather(*(_candidates(reader, selector) for selector in distinct))
    by_selector = dict(zip(distinct, found, strict=True))
    return {name: by_selector[selector] for name, selector in selectors.items()}


async def _parameter(reader: Reads, name: str) -> tuple[LiveImage, ...]:
    try:
        parameter = (await reader.read("GetParameter", {"Name": name}))["Parameter"]
    except AwsError as error:
        if error.code != "ParameterNotFound":
            raise
        return ()
    return (LiveImage(parameter["Value"], ""),)


async def _name_conflicts(
    reader: Reads, document: Document, groups: tuple[records.LiveSecurityGroup, ...]
) -> tuple[records.LiveSecurityGroup, ...]:
    """Whoever already has the name of a group that is about to be created, and some that are of no concern.

    EC2's filters tell large letters from small ones, its names do not, so any character may stand for a letter.
    """
    present = {live.tags.get(NAME_TAG) for live in groups}
    patterns = sorted(
        {
            re.sub("[A-Za-z]", "?", literal(row.group_name or name))
            for name, row in document.security_groups.items()
            if f"security_groups.{name}" not in present and row.adopt is None
        }
    )
    found = await asyncio.gather(
        *(
            _listed(
                reader, "DescribeSecurityGroups", {"Filters": filters}, "SecurityGroups", records.security_group
            )
            for filters in filters_for("group-name", patterns)
        )
    )
    return tuple(group for chunk in found for group in chunk)


async def _dependents(
    reader: Reads, document: Document, groups: tuple[records.LiveSecurityGroup, ...]
) -> tuple[records.AnyRecord, ...]:
    """Why EC2 may not let groups of ours go, if any go: groups whose rules name them, and interfaces in them."""
    leaving = sorted(live.id for live in groups if live.tags.get(NAME_TAG) not in document.resources)
    found = await asyncio.gather(
        *(
            _found(reader, section, filters)
            for section, name in (
                ("security_groups", "ip-permission.group-id"),
                ("security_groups", "egress.ip-permission.group-id"),
                ("network_interfaces", "group-id"),
            )
            for filters in filters_for(name, leaving)
        )
    )
    dependents = {record.id: record for records in found for record in records}
    return tuple(dependents.values())


async def _candidates(reader: Reads, selector: Any) -> tuple[LiveImage, ...]:
    if selector.id is not None:
        return (LiveImage(selector.id, ""),)
    if selector.ssm is not None:
        return await _parameter(reader, selector.ssm)
    params = {
        "Owners": [selector.owner],
        "Filters": [
            {"Name": "name", "Values": [selector.name]},
            {"Name": "state", "Values": ["available"]},
        ],
    }
    response = await reader.read("DescribeImages", params)
    return tuple(LiveImage(image["ImageId"], image["CreationDate"]) for image in response.get("Images") or ())


# ---- limits
