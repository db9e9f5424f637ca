"""What is read is judged by what the answers say, also where an endpoint ignores the filters of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from enireconcile.live.reader import read
from enireconcile.live.records import AnyRecord
from enireconcile.ownership import STACK_TAG
from enireconcile.spec import load
from tests.virtual import VirtualLoop, run

OURS = [{"Key": STACK_TAG, "Value": "web"}]
THEIRS = [{"Key": STACK_TAG, "Value": "shop"}]
OWNERS = {"ours": OURS, "theirs": THEIRS, "untagged": []}


def group(name: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"GroupId": f"sg-{name}", "GroupName": name, "VpcId": "vpc-1", "Tags": tags}


ANSWERS: dict[str, dict[str, Any]] = {
    "DescribeSecurityGroups": {
        "SecurityGroups": [group("default", []), *(group(name, tags) for name, tags in OWNERS.items())]
    },
    "DescribeInstances": {
        "Reservations": [
            {"Instances": [{"InstanceId": f"i-{name}", "State": {"Name": "running"}, "Tags": tags}]}
            for name, tags in OWNERS.items()
        ]
    },
    "DescribeNetworkInterfaces": {
        "NetworkInterfaces": [
            {"NetworkInterfaceId": f"eni-{name}", "TagSet": tags} for name, tags in OWNERS.items()
        ]
    },
    "DescribeAddresses": {
        "Addresses": [{"AllocationId": f"eipalloc-{name}", "Tags": tags} for name, tags in OWNERS.items()]
    },
}


class IgnoresFilters:
    """Answers every request with all that there is."""

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return ANSWERS.get(call, {})

    async def pages(self, call: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[dict[str, Any]]:
        yield await self.read(call, params)


def test_only_what_has_the_tag_of_the_stack_is_of_the_stack() -> None:
    """Else ``destroy`` would delete what the stack does not own."""
    text = "version: 1\nstack: web\nnetwork_interfaces: {eth1: {subnet: {default_for_az: us-east-1a}}}\n"
    [spec] = load(["-"], stdin=lambda: text)
    loop = VirtualLoop()
    found = run(read(IgnoresFilters(), spec.document, "us-east-1", "123456789012"), loop)
    loop.close()
    owned: tuple[AnyRecord, ...] = (
        *found.security_groups,
        *found.instances,
        *found.network_interfaces,
        *found.elastic_ips,
    )
    assert [record.id for record in owned] == ["sg-ours", "i-ours", "eni-ours", "eipalloc-ours"]
    assert found.default_groups == {"vpc-1": "sg-default"}
