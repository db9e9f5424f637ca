"""Read what a plan is judged by: instance types, quotas, sizes of prefix lists, routes to what it deletes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from enireconcile.errors import AwsError
from enireconcile.live import records
from enireconcile.live.filters import (
    filters_for,
    literal,
)
from enireconcile.live.records import (
    ElasticIpLimit,
    Limits,
    LiveInstanceType,
    LiveRoute,
    Questions,
)
from enireconcile.model import Reads


async def limits(reader: Reads, asked: Questions) -> Limits:
    """The limits that ``asked`` lists. A limit stays unknown if the credentials are not allowed to read it.

    Raises AwsError.
    """
    answers = _Answers(reader)
    (types, similar), groups, lists, addresses, routes = await asyncio.gather(
        _types(answers, sorted(asked.types)),
        _groups_per_interface(answers) if asked.groups_per_interface else _nothing(),
        _entries(answers, sorted(asked.prefix_lists)),
        _elastic_ips(answers) if asked.elastic_ips else _nothing(),
        _routes(answers, sorted(asked.routed_vpcs)),
    )
    return Limits(
        types, similar, groups, lists, addresses, routes, frozenset(answers.read), frozenset(answers.denied)
    )


class _Answers:
    """Reads that the credentials may not be allowed to make."""

    def __init__(self, reader: Reads) -> None:
        self._reader = reader
        self.read: set[str] = set()
        self.denied: set[str] = set()

    async def ask(self, call: str, params: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        try:
            response = await self._reader.read(call, params)
        except AwsError as error:
            if error.code != "UnauthorizedOperation":
                raise
            self.denied.add(call)
            return []
        self.read.add(call)
        return list(response.get(key) or ())


async def _nothing() -> None:
    return None


async def _types(
    answers: _Answers, names: Sequence[str]
) -> tuple[dict[str, LiveInstanceType], dict[str, tuple[str, ...]]]:
    """Instance types by name; for unknown names, the types of the same family or the same size."""
    found = await asyncio.gather(
        *(
            answers.ask("DescribeInstanceTypes", {"Filters": filters}, "InstanceTypes")
            for filters in filters_for("instance-type", names)
        )
    )
    types = {item["InstanceType"]: records.instance_type(item) for chunk in found for item in chunk}
    similar = {
        name: await _similar_types(answers, name) for name in names if name not in types and not answers.denied
    }
    return types, similar


async def _similar_types(answers: _Answers, name: str) -> tuple[str, ...]:
    family, _, size = name.partition(".")
    filters = [{"Name": "instance-type", "Values": [f"{literal(family)}.*", f"*.{literal(size)}"]}]
    found = await answers.ask("DescribeInstanceTypes", {"Filters": filters}, "InstanceTypes")
    return tuple(sorted(item["InstanceType"] for item in found))


async def _groups_per_interface(answers: _Answers) -> int | None:
    # All attributes at once: botocore accepts only a few of their names as parameters.
    for item in await answers.ask("DescribeAccountAttributes", {}, "AccountAttributes"):
        if item["AttributeName"] == "vpc-max-security-groups-per-interface":
            return int(item["AttributeValues"][0]["AttributeValue"])
    return None


async def _entries(answers: _Answers, ids: Sequence[str]) -> dict[str, int]:
    """The maximum number of entries of prefix lists; EC2 does not return it for AWS-managed lists."""
    found = await asyncio.gather(
        *(
            answers.ask("DescribeManagedPrefixLists", {"Filters": filters}, "PrefixLists")
            for filters in filters_for("prefix-list-id", ids)
        )
    )
    return {
        item["PrefixListId"]: item["MaxEntries"] for chunk in found for item in chunk if item.get("MaxEntries")
    }


_ADDRESSES = "vpc-max-elastic-ips"


async def _elastic_ips(answers: _Answers) -> ElasticIpLimit:
    """All Elastic IPs of the account, and its quota."""
    told, listed = await asyncio.gather(
        answers.ask("DescribeAccountAttributes", {"AttributeNames": [_ADDRESSES]}, "AccountAttributes"),
        answers.ask("DescribeAddresses", {}, "Addresses"),
    )
    quotas = {item["AttributeName"]: item["AttributeValues"][0]["AttributeValue"] for item in told}
    return ElasticIpLimit(
        # Without an allocation id it would be an address of EC2-Classic.
        present=tuple(records.elastic_ip(item) for item in listed if item.get("AllocationId")),
        quota=int(quotas[_ADDRESSES]) if _ADDRESSES in quotas else None,
        # EC2 answers only what was asked. Emulators answer more, and do not enforce the quota.
        enforced=set(quotas) == {_ADDRESSES},
    )


async def _routes(answers: _Answers, vpcs: Sequence[str]) -> tuple[LiveRoute, ...]:
    """The routes to interfaces in these VPCs. EC2 has no filter for routes to one interface."""
    found = await asyncio.gather(
        *(
            answers.ask("DescribeRouteTables", {"Filters": filters}, "RouteTables")
            for filters in filters_for("vpc-id", vpcs)
        )
    )
    return tuple(route for chunk in found for table in chunk for route in records.routes(table))
