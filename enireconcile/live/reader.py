"""Read what a spec needs with few describe calls: each is paged once, parsed once, and all run concurrently.

Everything that carries the tag of the stack is read, so that leftovers are seen; beyond that only what the spec's
selectors can match. The number of reads grows with the pages, not with the resources. Images are read only for
instances that the plan may launch.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from msgspec.structs import replace

from enireconcile.errors import AwsError
from enireconcile.live import records
from enireconcile.live.filters import filters_for, literal, tag_filters
from enireconcile.live.matching import Matches
from enireconcile.live.optional import PATIENCE, read_optional
from enireconcile.live.records import (
    AnyRecord,
    Live,
    LiveElasticIp,
    LiveImage,
    LiveInstance,
    LiveNetworkInterface,
    LivePrefixList,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
    Sought,
)
from enireconcile.model import (
    Reads,
)
from enireconcile.ownership import STACK_TAG, USER_DATA_TAG, ownership_filters
from enireconcile.spec import SECTIONS, Document, Instance, NetworkInterface
from enireconcile.spec.shapes import resource_id

T = TypeVar("T")
R = TypeVar("R", LiveInstance, LiveNetworkInterface, LiveElasticIp)
Owned = TypeVar("Owned", LiveSecurityGroup, LiveInstance, LiveNetworkInterface, LiveElasticIp)
_STATUS_IDS = 100


async def read(
    reader: Reads, document: Document, region: str, account_id: str | None = None, *, prune: bool = False
) -> Live:
    """Read everything that planning ``document`` needs. Raises AwsError.

    GetCallerIdentity is called only if ``account_id`` is None. With ``prune``, also read what decides whether
    resources that the spec no longer names can be removed.
    """
    # It begins first, so that it is the one that is told where all fail: without credentials, for example.
    identity = asyncio.ensure_future(_account(reader, account_id))
    (
        account,
        (groups, instances, interfaces, addresses),
        (subnets, vpcs, defaults, externals),
        (foreign_groups, prefix_lists, route_tables),
    ) = await asyncio.gather(
        identity,
        _owned(reader, document.stack),
        asyncio.gather(
            _subnets(reader, document),
            _vpcs(reader, document),
            _default_groups(reader, document),
            _externals(reader, document),
        ),
        asyncio.gather(
            _foreign_groups(reader, document),
            _prefix_lists(reader, document),
            _route_tables(reader, document),
        ),
    )
    ours: tuple[AnyRecord, ...] = (*groups, *instances, *interfaces, *addresses)
    matches = Matches(document, ours)
    adoptable = await _adoptable(reader, document, matches)
    known: tuple[AnyRecord, ...] = (*ours, *adoptable)
    if adoptable:
        matches = Matches(document, known)
    unanswered: dict[str, str] = {}
    (
        (images, name_conflicts, checks, seen, profiles, cpu_credits),
        (foreign_interfaces, names, dependents, automatic),
    ) = await asyncio.gather(
        asyncio.gather(
            _images(reader, document, matches),
            _name_conflicts(reader, document, matches),
            _checks(reader, document, matches, externals),
            _attributes(reader, matches, _of(LiveInstance, known), prune, unanswered),
            _profile_associations(reader, matches, _of(LiveInstance, known)),
            _credits(reader, matches, _of(LiveInstance, known)),
        ),
        asyncio.gather(
            _foreign_interfaces(reader, document, matches, known, externals),
            _reverse_dns(reader, document, matches, _of(LiveElasticIp, known), prune, unanswered),
            _dependents(reader, matches, prune),
            _automatic_addresses(reader, matches, _of(LiveNetworkInterface, known)),
        ),
    )
    architectures, root_devices = await asyncio.gather(
        _architectures(reader, document, matches, images), _root_devices(reader, document, images)
    )
    completed_instances = {
        live.id: replace(live, profile_association=profiles.get(live.id), cpu_credits=cpu_credits.get(live.id))
        for live in seen.values()
    }
    completed: dict[str, AnyRecord] = {**completed_instances, **automatic, **names}
    return Live(
        account_id=account,
        region=region,
        security_groups=groups,
        instances=tuple(completed_instances[live.id] for live in instances),
        network_interfaces=tuple(automatic.get(live.id, live) for live in interfaces),
        elastic_ips=tuple(names.get(live.id, live) for live in addresses),
        subnets=subnets,
        vpcs=vpcs,
        default_groups=defaults,
        images=images,
        architectures=architectures,
        root_devices=root_devices,
        name_conflicts=name_conflicts,
        externals=externals,
        checks=checks,
        adoptable=tuple(completed.get(record.id, record) for record in adoptable),
        foreign_interfaces=foreign_interfaces,
        dependents=dependents,
        unanswered=unanswered,
        foreign_groups=foreign_groups,
        prefix_lists=prefix_lists,
        route_tables=route_tables,
    )


async def with_networks(reader: Reads, document: Document, live: Live) -> Live:
    """The same with the subnets and VPCs that the document needs, which a read for its emptied one leaves out.

    Raises AwsError.
    """
    subnets, vpcs = await asyncio.gather(_subnets(reader, document), _vpcs(reader, document))
    return replace(live, subnets=subnets, vpcs=vpcs)


async def read_owned(
    reader: Reads, document: Document, region: str, *, subnets: bool, networks: bool = False
) -> Live:
    """Read what the stack owns and who holds it. Raises AwsError.

    If asked to, also the subnets; with ``networks`` also the VPCs and route tables, as far as the spec names any.
    """
    account, (groups, instances, interfaces, addresses), externals, known, vpcs, tables = await asyncio.gather(
        _account(reader, None),
        _owned(reader, document.stack),
        _externals(reader, document),
        listed(reader, "DescribeSubnets", {}, "Subnets", records.subnet) if subnets else _nothing(),
        _vpcs(reader, document) if networks else _nothing(),
        _route_tables(reader, document) if networks else _nothing(),
    )
    return Live(
        account_id=account,
        region=region,
        security_groups=groups,
        instances=instances,
        network_interfaces=interfaces,
        elastic_ips=addresses,
        externals=externals,
        subnets=known,
        vpcs=vpcs,
        route_tables=tables,
    )


async def _nothing() -> tuple[Any, ...]:
    return ()


async def _owned(
    reader: Reads, stack: str
) -> tuple[
    tuple[LiveSecurityGroup, ...],
    tuple[LiveInstance, ...],
    tuple[LiveNetworkInterface, ...],
    tuple[LiveElasticIp, ...],
]:
    """Everything that carries the tag of the stack."""
    mine = {"Filters": ownership_filters(stack)}

    async def owned(found: Awaitable[tuple[Owned, ...]]) -> tuple[Owned, ...]:
        # The tag decides, not the filter: an endpoint that ignores filters must not give us what is not ours.
        return tuple(record for record in await found if record.tags.get(STACK_TAG) == stack)

    return await asyncio.gather(
        owned(listed(reader, "DescribeSecurityGroups", mine, "SecurityGroups", records.security_group)),
        owned(_instances(reader, mine)),
        owned(listed(reader, "DescribeNetworkInterfaces", mine, "NetworkInterfaces", records.network_interface)),
        owned(listed(reader, "DescribeAddresses", mine, "Addresses", records.elastic_ip)),
    )


def _of(kind: type[R], found: Sequence[AnyRecord]) -> tuple[R, ...]:
    return tuple(record for record in found if isinstance(record, kind))


async def _account(reader: Reads, known: str | None) -> str:
    return known or str((await reader.read("GetCallerIdentity"))["Account"])


async def listed(
    reader: Reads,
    call: str,
    params: Mapping[str, Any],
    key: str,
    parse: Callable[[Mapping[str, Any]], T],
) -> tuple[T, ...]:
    """The records that a describe call returns. Raises AwsError."""
    # A page is some ten times as large as its records.
    found = [parse(item) async for page in reader.pages(call, params) for item in page.get(key) or ()]
    return tuple(found)


async def _instances(reader: Reads, params: Mapping[str, Any]) -> tuple[LiveInstance, ...]:
    found = [
        records.instance(item)
        async for page in reader.pages("DescribeInstances", params)
        for reservation in page.get("Reservations") or ()
        for item in reservation["Instances"]
    ]
    return tuple(found)


async def _adoptable(reader: Reads, document: Document, matches: Matches) -> tuple[AnyRecord, ...]:
    """The resources that rows adopt and the stack does not own yet: one call for each section that has any."""
    wanted: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for address, adopted in document.adopted.items():
        if not matches.exists(address):
            wanted[address.partition(".")[0]].append(adopted)
    answers = await asyncio.gather(
        *(described_by(reader, section, _ID_FILTERS[section], ids) for section, ids in wanted.items())
    )
    return tuple(record for found in answers for record in found)


_ID_FILTERS = {
    "security_groups": "group-id",
    "instances": "instance-id",
    "network_interfaces": "network-interface-id",
    "elastic_ips": "allocation-id",
}


async def described(reader: Reads, section: str, filters: Sequence[Any]) -> tuple[AnyRecord, ...]:
    """The records of a section that match the filters: one call. Raises AwsError."""
    params = {"Filters": filters}
    if section == "security_groups":
        return await listed(reader, "DescribeSecurityGroups", params, "SecurityGroups", records.security_group)
    if section == "instances":
        return await _instances(reader, params)
    if section == "network_interfaces":
        call, key = "DescribeNetworkInterfaces", "NetworkInterfaces"
        return await listed(reader, call, params, key, records.network_interface)
    return await listed(reader, "DescribeAddresses", params, "Addresses", records.elastic_ip)


async def described_by(reader: Reads, section: str, name: str, values: Iterable[str]) -> tuple[AnyRecord, ...]:
    """The records of a section whose filter ``name`` has one of the values; no call for no values."""
    chunks = filters_for(name, sorted(set(values)))
    answers = await asyncio.gather(*(described(reader, section, filters) for filters in chunks))
    return tuple(record for found in answers for record in found)


async def similar(reader: Reads, sought: Collection[Sought]) -> dict[str, tuple[AnyRecord, ...]]:
    """What selectors that match nothing could have meant, by section: at most one call for each section.

    It only sharpens hints: a section whose call fails, or takes longer than PATIENCE, is left out.
    """

    async def found(section: str, name: str, values: set[str]) -> None:
        with suppress(AwsError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                there = await described_by(reader, section, name, values)
            known[section] = tuple(each for each in there if not getattr(each, "terminating", False))

    known: dict[str, tuple[AnyRecord, ...]] = {}
    filters = {(each.section, each.filter) for each in sought}
    await asyncio.gather(
        *(
            found(section, name, {each.value for each in sought if each[:2] == (section, name)})
            for section, name in sorted(filters)
        )
    )
    return known


async def _subnets(reader: Reads, document: Document) -> tuple[LiveSubnet, ...]:
    if not (document.network_interfaces or document.route_tables):
        return ()
    return await listed(reader, "DescribeSubnets", {}, "Subnets", records.subnet)


async def _vpcs(reader: Reads, document: Document) -> tuple[LiveVpc, ...]:
    if not (document.security_groups or document.searches_main_route_tables):
        return ()
    return await listed(reader, "DescribeVpcs", {}, "Vpcs", records.vpc)


async def _route_tables(reader: Reads, document: Document) -> tuple[LiveRouteTable, ...]:
    """All route tables, in one call, if the spec names any."""
    if not document.route_tables:
        return ()
    return await listed(reader, "DescribeRouteTables", {}, "RouteTables", records.route_table)


async def _externals(reader: Reads, document: Document) -> dict[str, tuple[LiveInstance, ...]]:
    """The instances that match the selectors of external instances: one call for all ids, one per set of tags."""
    selectors = {name: row.external for name, row in document.external_instances.items()}
    by_id = sorted({selector.id for selector in selectors.values() if selector.id is not None})
    questions = list(filters_for("instance-id", by_id))
    questions += [tag_filters(selector.tags) for selector in selectors.values() if selector.tags is not None]
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


async def _foreign_groups(reader: Reads, document: Document) -> tuple[LiveSecurityGroup, ...]:
    """The groups that fit selectors, in any VPC: one call for all names, one for each set of tags."""
    selectors = document.foreign_selectors
    names = sorted({literal(selector.group_name) for selector in selectors if selector.group_name is not None})
    questions = list(filters_for("group-name", names))
    questions += [tag_filters(selector.tags) for selector in selectors if selector.tags is not None]
    answers = await asyncio.gather(
        *(
            listed(
                reader, "DescribeSecurityGroups", {"Filters": filters}, "SecurityGroups", records.security_group
            )
            for filters in questions
        )
    )
    return tuple({group.id: group for answer in answers for group in answer}.values())


async def _prefix_lists(reader: Reads, document: Document) -> tuple[LivePrefixList, ...]:
    """The prefix lists that selectors name: one call for all."""
    selected = {selector.prefix_list_name for selector in document.foreign_selectors} - {None}
    names = sorted(literal(str(name)) for name in selected)
    answers = await asyncio.gather(
        *(
            listed(reader, "DescribeManagedPrefixLists", {"Filters": filters}, "PrefixLists", records.prefix_list)
            for filters in filters_for("prefix-list-name", names)
        )
    )
    return tuple(found for answer in answers for found in answer)


async def _checks(
    reader: Reads,
    document: Document,
    matches: Matches,
    externals: Mapping[str, tuple[LiveInstance, ...]],
) -> dict[str, str]:
    """The status checks, by instance id, of the instances between which interfaces fail over by status checks."""
    wanted: set[str] = set()
    for row in document.network_interfaces.values():
        at = row.attachment
        if at is None or at.instances is None or (at.failover and at.failover.health != "status_checks"):
            continue
        for name in at.instances:
            wanted |= {live.id for live in (*externals.get(name, ()), *_instances_of(name, matches))}
    ids = sorted(wanted)
    chunks = [ids[start : start + _STATUS_IDS] for start in range(0, len(ids), _STATUS_IDS)]
    # One unknown id would fail the whole call; these instances were just described.
    answers = await asyncio.gather(
        *(
            reader.read("DescribeInstanceStatus", {"InstanceIds": chunk, "IncludeAllInstances": True})
            for chunk in chunks
        )
    )
    return {
        status["InstanceId"]: _combined_status(
            status["SystemStatus"]["Status"], status["InstanceStatus"]["Status"]
        )
        for answer in answers
        for status in answer.get("InstanceStatuses") or ()
    }


def _instances_of(name: str, matches: Matches) -> tuple[LiveInstance, ...]:
    return matches.at(f"instances.{name}", LiveInstance)


def _combined_status(system: str, instance: str) -> str:
    return instance if system == "ok" else system


async def _foreign_interfaces(
    reader: Reads,
    document: Document,
    matches: Matches,
    known: Sequence[AnyRecord],
    externals: Mapping[str, tuple[LiveInstance, ...]],
) -> tuple[LiveNetworkInterface, ...]:
    """The interfaces outside the stack that its Elastic IPs are or shall be associated with: one call, if any."""
    wanted = {live.network_interface_id for live in _of(LiveElasticIp, known)}
    for row in document.elastic_ips.values():
        target = row.association
        if target is None:
            continue
        if target.network_interface is not None and resource_id("eni", target.network_interface):
            wanted.add(target.network_interface)
        elif target.instance is not None and document.primary_interface(target.instance) is None:
            found = (*externals.get(target.instance, ()), *_instances_of(target.instance, matches))
            primaries = (instance.occupant(0, 0) for instance in found)
            wanted |= {primary.network_interface_id for primary in primaries if primary}
    ids = {each for each in wanted if each is not None} - {record.id for record in known}
    present = await described_by(reader, "network_interfaces", "network-interface-id", ids)
    return _of(LiveNetworkInterface, present)


async def _reverse_dns(
    reader: Reads,
    document: Document,
    matches: Matches,
    addresses: Sequence[LiveElasticIp],
    prune: bool,
    unanswered: dict[str, str],
) -> dict[str, LiveElasticIp]:
    """The Elastic IPs with their reverse DNS, by id, if rows set it or Elastic IPs will be released.

    One call lists all that have reverse DNS. A call for one id fails while that Elastic IP is new. To release
    Elastic IPs, the answer is optional.
    """
    configured = (name for name, row in document.elastic_ips.items() if row.reverse_dns is not None)
    matters = any(matches.exists(f"elastic_ips.{name}") for name in configured)
    if not (matters or (prune and matches.unnamed(LiveElasticIp))):
        return {}
    call, params = "DescribeAddressesAttribute", {"Attribute": "domain-name"}
    try:
        response = await (reader.read(call, params) if matters else read_optional(reader, call, params))
    except AwsError as error:
        if matters:
            raise
        unanswered[call] = error.code
        return {}
    names = {item["AllocationId"]: records.reverse_dns(item) for item in response.get("Addresses") or ()}
    return {live.id: replace(live, reverse_dns=names.get(live.id, records.ReverseDns())) for live in addresses}


async def _default_groups(reader: Reads, document: Document) -> dict[str, str]:
    """The id of the default group by VPC id, if an interface of the spec names no groups."""
    rows = document.network_interfaces.values()
    if all(row.security_groups is not None or not row.specifies("security_groups") for row in rows):
        return {}
    filters = [{"Name": "group-name", "Values": ["default"]}]
    response = await reader.read("DescribeSecurityGroups", {"Filters": filters})
    groups = map(records.security_group, response.get("SecurityGroups") or ())
    return {group.vpc_id: group.id for group in groups if group.name == "default"}


_PROTECTIONS = ("termination_protection", "stop_protection")


async def _attributes(
    reader: Reads,
    matches: Matches,
    instances: Sequence[LiveInstance],
    prune: bool,
    unanswered: dict[str, str],
) -> dict[str, LiveInstance]:
    """All instances by id, with the attributes that only DescribeInstanceAttribute shows, where rows set them.

    DescribeInstanceAttribute takes one instance and one attribute a call. It also reads user data, so a policy
    does not allow it for an instance with user data unless the row sets such an attribute. Of an instance that
    will be terminated, what protects it is read; where it is not, EC2 refuses the termination itself.

    User data is read where a row has some and no tag tells what the instance was launched with, because it was
    launched by other means. That answer is optional.
    """
    call = "DescribeInstanceAttribute"

    def matter(live: LiveInstance) -> Sequence[str]:
        if live.terminating:
            return ()
        row = matches.row(live)
        if isinstance(row, Instance):
            return [key for key in records.INSTANCE_ATTRIBUTES if getattr(row, key) is not None]
        return _PROTECTIONS if prune and USER_DATA_TAG not in live.tags else ()

    async def value(live: LiveInstance, key: str) -> Any:
        name, shown, _ = records.INSTANCE_ATTRIBUTES[key]
        answer = await reader.read(call, {"InstanceId": live.id, "Attribute": name})
        return (answer.get(shown) or {}).get("Value", False)

    async def user_data(live: LiveInstance) -> str | None:
        row = matches.row(live)
        if live.terminating or USER_DATA_TAG in live.tags:
            return None
        if not isinstance(row, Instance) or row.user_data is None:
            return None
        try:
            answer = await read_optional(reader, call, {"InstanceId": live.id, "Attribute": "userData"})
            found = records.user_data(answer.get("UserData") or {})
            return found.digest if found is not None else ""
        except AwsError as error:
            unanswered[call] = error.code
        except ValueError:
            unanswered[call] = "the user data is not in base64"
        return None

    async def completed(live: LiveInstance) -> LiveInstance:
        keys = matter(live)
        script, *values = await asyncio.gather(user_data(live), *(value(live, key) for key in keys))
        found: dict[str, Any] = {
            records.INSTANCE_ATTRIBUTES[key][2]: each for key, each in zip(keys, values, strict=True)
        }
        return replace(live, user_data=script, **found)

    return {live.id: live for live in await asyncio.gather(*(completed(live) for live in instances))}


async def _credits(reader: Reads, matches: Matches, instances: Sequence[LiveInstance]) -> dict[str, str]:
    """The credit options, by instance id, of instances whose rows set one."""
    ids = sorted(
        live.id
        for live in instances
        if isinstance(row := matches.row(live), Instance) and row.cpu_credits is not None and not live.terminating
    )
    call, filters = "DescribeInstanceCreditSpecifications", filters_for("instance-id", ids)
    answers = await asyncio.gather(*(reader.read(call, {"Filters": each}) for each in filters))
    return {
        found["InstanceId"]: found["CpuCredits"]
        for answer in answers
        for found in answer.get("InstanceCreditSpecifications") or ()
    }


async def _automatic_addresses(
    reader: Reads, matches: Matches, interfaces: Sequence[LiveNetworkInterface]
) -> dict[str, LiveNetworkInterface]:
    """The interfaces, by id, of which ``associates_public_ip`` had to be read: one call for each.

    That is so where the row sets it and the interface shows no public address at all: an automatic one proves that
    it is on, and an Elastic IP takes its place.
    """

    def matters(live: LiveNetworkInterface) -> bool:
        row, at = matches.row(live), live.attachment
        return (
            isinstance(row, NetworkInterface)
            and row.associate_public_ip_address is not None
            and "associate_public_ip_address" not in row.lifecycle.ignore
            and at is not None
            and (at.network_card_index, at.device_index) == (0, 0)
            and live.automatic_ip is None
            and live.private_ip not in live.addresses
        )

    async def completed(live: LiveNetworkInterface) -> LiveNetworkInterface:
        params = {"NetworkInterfaceId": live.id, "Attribute": "associatePublicIpAddress"}
        answer = await reader.read("DescribeNetworkInterfaceAttribute", params)
        return replace(live, associates_public_ip=bool(answer.get("AssociatePublicIpAddress", False)))

    found = await asyncio.gather(*(completed(live) for live in interfaces if matters(live)))
    return {live.id: live for live in found}


async def _profile_associations(
    reader: Reads, matches: Matches, instances: Sequence[LiveInstance]
) -> dict[str, str]:
    """The ids of the profile associations, by instance id, of instances whose profile is not the row's."""
    ids = sorted(
        live.id
        for live in instances
        if isinstance(row := matches.row(live), Instance)
        and row.iam_instance_profile is not None
        and "iam_instance_profile" not in row.lifecycle.ignore
        and live.profile_as(row.iam_instance_profile) not in (None, row.iam_instance_profile)
    )
    call, filters = "DescribeIamInstanceProfileAssociations", filters_for("instance-id", ids)
    answers = await asyncio.gather(*(reader.read(call, {"Filters": each}) for each in filters))
    return {
        found["InstanceId"]: found["AssociationId"]
        for answer in answers
        for found in answer.get("IamInstanceProfileAssociations") or ()
        if found.get("State") in ("associating", "associated")
    }


async def _images(reader: Reads, document: Document, matches: Matches) -> dict[str, tuple[LiveImage, ...]]:
    """The candidates for the images of instances that the plan may launch, by name of the instance."""
    selectors = {
        name: row.image
        for name, row in document.own_instances.items()
        if row.adopt is None and (not matches.exists(f"instances.{name}") or row.on_change == "replace")
    }
    distinct = sorted(set(selectors.values()), key=repr)
    found = await asyncio.gather(*(_candidates(reader, selector) for selector in distinct))
    by_selector = dict(zip(distinct, found, strict=True))
    return {name: by_selector[selector] for name, selector in selectors.items()}


async def _architectures(
    reader: Reads, document: Document, matches: Matches, images: Mapping[str, tuple[LiveImage, ...]]
) -> dict[str, tuple[str, ...]]:
    """The architectures that instances can have, by name, where candidates for their images differ in theirs.

    An existing instance of the type shows one. Else the type is read, and stays unknown if it cannot be read.
    """
    mixed = {name for name, found in images.items() if len({image.platform.architecture for image in found}) > 1}
    shown = {
        name: (live.platform.architecture,)
        for name in mixed
        for live in _instances_of(name, matches)
        if live.platform.architecture and live.instance_type == document.own_instances[name].instance_type
    }
    wanted = {name: str(document.own_instances[name].instance_type) for name in mixed if name not in shown}
    types: dict[str, tuple[str, ...]] = {}
    for filters in filters_for("instance-type", sorted(set(wanted.values()))):
        try:
            answer = await read_optional(reader, "DescribeInstanceTypes", {"Filters": filters})
        except AwsError:
            # The limits of the types are read next, and the plan warns of those.
            continue
        for item in answer.get("InstanceTypes") or ():
            types[item["InstanceType"]] = records.instance_type(item).architectures
    return shown | {name: types[kind] for name, kind in wanted.items() if types.get(kind)}


async def _root_devices(
    reader: Reads, document: Document, images: Mapping[str, tuple[LiveImage, ...]]
) -> dict[str, str]:
    """The device names of root volumes, by image id, for launches whose rows say something of the root volume."""
    candidates = [
        image for name, found in images.items() if document.own_instances[name].root_volume for image in found
    ]
    known = {image.id: image.root_device_name for image in candidates}
    unknown = sorted(image_id for image_id, device in known.items() if not device)
    answers = await asyncio.gather(
        *(
            listed(reader, "DescribeImages", {"Filters": filters, **_ALL_IMAGES}, "Images", records.image)
            for filters in filters_for("image-id", unknown)
        )
    )
    return known | {image.id: image.root_device_name for found in answers for image in found}


_ALL_IMAGES = {"IncludeDeprecated": True, "IncludeDisabled": True}
"""A deprecated image can be launched; of a disabled one its state is told later."""


async def _parameter(reader: Reads, name: str) -> tuple[LiveImage, ...]:
    try:
        parameter = (await reader.read("GetParameter", {"Name": name}))["Parameter"]
    except AwsError as error:
        if error.code != "ParameterNotFound":
            raise
        return ()
    return (LiveImage(parameter["Value"]),)


async def _name_conflicts(reader: Reads, document: Document, matches: Matches) -> tuple[LiveSecurityGroup, ...]:
    """Existing groups whose names may conflict with those of groups that the plan will create.

    Group names are case-insensitive and EC2's filters are not, so the filter has ``?`` for each letter, and may
    match more groups than conflict.
    """
    patterns = sorted(
        {
            re.sub("[A-Za-z]", "?", literal(row.group_name or name))
            for name, row in document.security_groups.items()
            if row.adopt is None and not matches.exists(f"security_groups.{name}")
        }
    )
    found = await asyncio.gather(
        *(
            listed(
                reader, "DescribeSecurityGroups", {"Filters": filters}, "SecurityGroups", records.security_group
            )
            for filters in filters_for("group-name", patterns)
        )
    )
    return tuple(group for chunk in found for group in chunk)


async def _dependents(reader: Reads, matches: Matches, prune: bool) -> tuple[AnyRecord, ...]:
    """What keeps EC2 from deleting the groups that the spec no longer names.

    These are groups whose rules name them, and interfaces that have them.
    """
    leaving = [live.id for live in matches.unnamed(LiveSecurityGroup)] if prune else []
    found = await asyncio.gather(
        *(
            described_by(reader, section, name, leaving)
            for section, name in (
                ("security_groups", "ip-permission.group-id"),
                ("security_groups", "egress.ip-permission.group-id"),
                ("network_interfaces", "group-id"),
            )
        )
    )
    dependents = {record.id: record for records in found for record in records}
    return tuple(dependents.values())


async def _candidates(reader: Reads, selector: Any) -> tuple[LiveImage, ...]:
    if selector.id is not None:
        return (LiveImage(selector.id),)
    if selector.ssm is not None:
        return await _parameter(reader, selector.ssm)
    filters = {"name": selector.name, "state": "available", "architecture": selector.architecture}
    params = {
        "Owners": [selector.owner],
        "Filters": [{"Name": name, "Values": [value]} for name, value in filters.items() if value is not None],
    }
    return await listed(reader, "DescribeImages", params, "Images", records.image)
