"""Read what a plan is judged by besides the resources of the stack: types, quotas, images, routes, foreign groups.

Each is one filtered call for all that the plan uses, and no call for a plan that uses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from enireconcile.live import records
from enireconcile.live.filters import literal
from enireconcile.live.optional import Answers
from enireconcile.live.records import (
    ElasticIpLimit,
    Limits,
    LiveImage,
    LiveInstanceType,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveUsed,
    Questions,
)
from enireconcile.model import Reads


async def limits(reader: Reads, asked: Questions) -> Limits:
    """The limits that ``asked`` lists.

    Every read here only sharpens a check. A limit that cannot be read stays unknown, and the plan warns of it.
    """
    answers = Answers(reader)
    (
        ((types, similar), per_interface, lists, addresses, route_tables),
        (images, offers, used, placement_groups, groups),
    ) = await asyncio.gather(
        asyncio.gather(
            _types(answers, sorted(asked.types)),
            _groups_per_interface(answers) if asked.groups_per_interface else _nothing(),
            _entries(answers, sorted(asked.prefix_lists)),
            _elastic_ips(answers) if asked.elastic_ips else _nothing(),
            _route_tables(answers, sorted(asked.routed_vpcs)),
        ),
        asyncio.gather(
            images_by_id(answers, sorted(asked.images)),
            _offers(answers, sorted(asked.offered)),
            _used(answers, asked.used),
            _placement_groups(answers, sorted(asked.placement_groups)),
            _groups(answers, sorted(asked.groups)),
        ),
    )
    group_vpcs, connected = await asyncio.gather(
        _group_vpcs(answers, asked, groups), _connected(answers, asked, groups)
    )
    return Limits(
        types=types,
        similar_types=similar,
        groups_per_interface=per_interface,
        prefix_lists=lists,
        elastic_ips=addresses,
        route_tables=route_tables,
        images=images,
        offers=offers,
        used=used,
        placement_groups=placement_groups,
        groups=groups,
        group_vpcs=group_vpcs,
        connected=connected,
        read=frozenset(answers.read - answers.unanswered.keys()),
        unanswered=answers.unanswered,
    )


async def _nothing() -> None:
    return None


async def _types(
    answers: Answers, names: Sequence[str]
) -> tuple[dict[str, LiveInstanceType], dict[str, tuple[str, ...]]]:
    """Instance types by name; for unknown names, the types of the same family or the same size."""
    found = await answers.ask_all("DescribeInstanceTypes", "instance-type", names, "InstanceTypes")
    types = {item["InstanceType"]: records.instance_type(item) for item in found}
    similar = {
        name: await _similar_types(answers, name)
        for name in names
        if name not in types and "DescribeInstanceTypes" not in answers.unanswered
    }
    return types, similar


async def _similar_types(answers: Answers, name: str) -> tuple[str, ...]:
    family, _, size = name.partition(".")
    filters = [{"Name": "instance-type", "Values": [f"{literal(family)}.*", f"*.{literal(size)}"]}]
    found = await answers.ask("DescribeInstanceTypes", {"Filters": filters}, "InstanceTypes")
    return tuple(sorted(item["InstanceType"] for item in found))


async def _groups_per_interface(answers: Answers) -> int | None:
    # All attributes at once: botocore accepts only a few of their names as parameters.
    for item in await answers.ask("DescribeAccountAttributes", {}, "AccountAttributes"):
        if item["AttributeName"] == "vpc-max-security-groups-per-interface":
            return _number(item["AttributeValues"][0]["AttributeValue"])
    return None


def _number(text: str) -> int | None:
    """A quota. EC2 also has account attributes that are no numbers."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


async def _entries(answers: Answers, ids: Sequence[str]) -> dict[str, int | None]:
    """The maximum number of entries of prefix lists; EC2 does not return it for AWS-managed lists."""
    found = await answers.ask_all("DescribeManagedPrefixLists", "prefix-list-id", ids, "PrefixLists")
    return {item["PrefixListId"]: item.get("MaxEntries") for item in found}


async def images_by_id(answers: Answers, ids: Sequence[str]) -> dict[str, LiveImage]:
    """Images by id. A deprecated image can be launched; a disabled one cannot, as its state says."""
    more = {"IncludeDeprecated": True, "IncludeDisabled": True}
    found = await answers.ask_all("DescribeImages", "image-id", ids, "Images", more)
    return {item["ImageId"]: records.image(item) for item in found}


async def _offers(answers: Answers, types: Sequence[str]) -> frozenset[tuple[str, str]]:
    """The zones in which the Region offers the types."""
    found = await answers.ask_all(
        "DescribeInstanceTypeOfferings",
        "instance-type",
        types,
        "InstanceTypeOfferings",
        {"LocationType": "availability-zone"},
    )
    return frozenset((item["InstanceType"], item["Location"]) for item in found)


async def _used(answers: Answers, asked: Collection[tuple[str, str]]) -> dict[tuple[str, str], LiveUsed]:
    """What launches name, by the call that shows it and by name."""
    wanted = {call: sorted(name for each, name in asked if each == call) for call in _USED}
    calls = [call for call, names in wanted.items() if names]
    found = await asyncio.gather(*(_USED[call](answers, wanted[call]) for call in calls))
    return {
        (call, name): each for call, by_name in zip(calls, found, strict=True) for name, each in by_name.items()
    }


async def _key_pairs(answers: Answers, names: Sequence[str]) -> dict[str, LiveUsed]:
    patterns = [literal(name) for name in names]
    found = await answers.ask_all("DescribeKeyPairs", "key-name", patterns, "KeyPairs")
    return {item["KeyName"]: LiveUsed() for item in found}


async def _snapshots(answers: Answers, ids: Sequence[str]) -> dict[str, LiveUsed]:
    found = await answers.ask_all("DescribeSnapshots", "snapshot-id", ids, "Snapshots")
    return {item["SnapshotId"]: records.used(item) for item in found}


async def _hosts(answers: Answers, _: Sequence[str]) -> dict[str, LiveUsed]:
    """All of the account: EC2 has no filter for their ids, and one unknown id in a list fails the call."""
    found = await answers.ask("DescribeHosts", {}, "Hosts")
    return {item["HostId"]: records.used(item) for item in found}


async def _reservations(answers: Answers, _: Sequence[str]) -> dict[str, LiveUsed]:
    """All of the account, as hosts are."""
    found = await answers.ask("DescribeCapacityReservations", {}, "CapacityReservations")
    return {item["CapacityReservationId"]: records.used(item) for item in found}


async def _kms_keys(answers: Answers, names: Sequence[str]) -> dict[str, LiveUsed]:
    """Keys by the id, alias or ARN that the spec has. KMS describes one a call."""
    found = await asyncio.gather(
        *(answers.ask("DescribeKey", {"KeyId": name}, "KeyMetadata", "NotFoundException") for name in names)
    )
    return {
        name: LiveUsed(state=item.get("KeyState", ""))
        for name, items in zip(names, found, strict=True)
        for item in items
    }


_USED: Mapping[str, Callable[[Answers, Sequence[str]], Awaitable[dict[str, LiveUsed]]]] = {
    "DescribeKeyPairs": _key_pairs,
    "DescribeSnapshots": _snapshots,
    "DescribeHosts": _hosts,
    "DescribeCapacityReservations": _reservations,
    "DescribeKey": _kms_keys,
}


async def _placement_groups(answers: Answers, names: Sequence[str]) -> dict[str, str]:
    """The strategies of placement groups by name."""
    patterns = [literal(name) for name in names]
    found = await answers.ask_all("DescribePlacementGroups", "group-name", patterns, "PlacementGroups")
    return {item["GroupName"]: item["Strategy"] for item in found if item.get("State") == "available"}


async def _groups(answers: Answers, ids: Sequence[str]) -> dict[str, LiveSecurityGroup]:
    found = await answers.ask_all("DescribeSecurityGroups", "group-id", ids, "SecurityGroups")
    return {item["GroupId"]: records.security_group(item) for item in found}


async def _group_vpcs(
    answers: Answers, asked: Questions, groups: Mapping[str, LiveSecurityGroup]
) -> frozenset[tuple[str, str]]:
    """The VPCs with which groups are associated besides their own; asked only of groups of another VPC."""
    elsewhere = {
        group
        for group, vpc in asked.group_vpcs
        if group not in asked.groups or (group in groups and groups[group].vpc_id != vpc)
    }
    found = await answers.ask_all(
        "DescribeSecurityGroupVpcAssociations", "group-id", sorted(elsewhere), "SecurityGroupVpcAssociations"
    )
    return frozenset((item["GroupId"], item["VpcId"]) for item in found if item.get("State") == "associated")


async def _connected(
    answers: Answers, asked: Questions, groups: Mapping[str, LiveSecurityGroup]
) -> frozenset[frozenset[str]]:
    """Pairs of VPCs whose groups may name each other: peered, or on one transit gateway with such references."""
    pairs = {
        frozenset({vpc, groups[peer].vpc_id if peer in groups else peer})
        for vpc, peer in asked.peers
        if peer in groups or peer not in asked.groups
    }
    vpcs = sorted({vpc for pair in pairs if len(pair) == 2 for vpc in pair})
    peerings, attachments = await asyncio.gather(
        answers.ask_all(
            "DescribeVpcPeeringConnections", "requester-vpc-info.vpc-id", vpcs, "VpcPeeringConnections"
        ),
        answers.ask_all("DescribeTransitGatewayVpcAttachments", "vpc-id", vpcs, "TransitGatewayVpcAttachments"),
    )
    peered = {
        frozenset({item["RequesterVpcInfo"].get("VpcId"), item["AccepterVpcInfo"].get("VpcId")})
        for item in peerings
        if item["Status"]["Code"] == "active"
    }
    gateways: dict[str, set[str]] = {}
    for item in attachments:
        if (item.get("Options") or {}).get("SecurityGroupReferencingSupport") == "enable":
            gateways.setdefault(item["TransitGatewayId"], set()).add(item["VpcId"])
    routed = {pair for pair in pairs if any(pair <= attached for attached in gateways.values())}
    return frozenset((peered & pairs) | routed)


_ADDRESSES = "vpc-max-elastic-ips"


async def _elastic_ips(answers: Answers) -> ElasticIpLimit:
    """All Elastic IPs of the account, and its quota."""
    told, listed = await asyncio.gather(
        answers.ask("DescribeAccountAttributes", {"AttributeNames": [_ADDRESSES]}, "AccountAttributes"),
        answers.ask("DescribeAddresses", {}, "Addresses"),
    )
    quotas = {item["AttributeName"]: item["AttributeValues"][0]["AttributeValue"] for item in told}
    return ElasticIpLimit(
        # Without an allocation id it would be an address of EC2-Classic.
        present=tuple(records.elastic_ip(item) for item in listed if item.get("AllocationId")),
        quota=_number(quotas.get(_ADDRESSES, "")),
        # EC2 answers only what was asked. Emulators answer more, and do not enforce the quota.
        enforced=set(quotas) == {_ADDRESSES},
    )


async def _route_tables(answers: Answers, vpcs: Sequence[str]) -> tuple[LiveRouteTable, ...]:
    """The route tables of these VPCs. EC2 has no filter for routes to one interface."""
    return tuple(
        map(records.route_table, await answers.ask_all("DescribeRouteTables", "vpc-id", vpcs, "RouteTables"))
    )
