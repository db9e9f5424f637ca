"""10,000 interfaces and as many Elastic IPs: a plan that finds nothing to do, and converges at EC2's pace."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.ec2 import Buckets, Call, EC2Server, Quotas, Settings, World
from tests.ec2.faults import bucket_of
from tests.harness import open_harness

from .story import environment_for
from .table import Table, ratio, seconds
from .whole import in_turn, python, tool

COUNT = 10_000
RUNS = 3
BARE = """
import botocore.session
session = botocore.session.get_session()
ec2 = session.create_client("ec2")
session.create_client("sts").get_caller_identity()
mine = [{"Name": "tag:enireconcile:stack", "Values": ["many"]}]
found = []
for operation, key in (("describe_network_interfaces", "NetworkInterfaces"), ("describe_addresses", "Addresses"),
                       ("describe_security_groups", "SecurityGroups"), ("describe_subnets", "Subnets")):
    if ec2.can_paginate(operation) and key != "Addresses":
        for page in ec2.get_paginator(operation).paginate(Filters=mine, PaginationConfig={"PageSize": 1000}):
            found += page[key]
    else:
        found += getattr(ec2, operation)(Filters=mine)[key]
assert len(found) >= 20000, len(found)
"""


def many(interfaces: int) -> str:
    """A spec of so many interfaces, each with an Elastic IP."""
    rows = range(interfaces)
    return "\n".join(
        [
            "version: 1",
            "stack: many",
            "region: us-east-1",
            "network_interfaces:",
            *(f"  x{row}: {{subnet: {{default_for_az: us-east-1{_zone(row)}}}}}" for row in rows),
            "elastic_ips:",
            *(f"  x{row}: {{association: {{network_interface: x{row}}}}}" for row in rows),
            "",
        ]
    )


def _zone(row: int) -> str:
    """A default subnet has 4,091 addresses."""
    return "abc"[row // 4000]


def large(folder: Path) -> Table:
    """A no-op plan of 10,000 interfaces and 10,000 Elastic IPs, beside bare botocore paging the same."""
    table = Table(
        "10,000 interfaces and 10,000 Elastic IPs, nothing to do",
        "`plan` beside botocore in one thread that pages through the same resources and keeps them. EC2 calls "
        "beyond the pages are those that both need whatever the size.",
        ("what", "enireconcile", "bare botocore", "ratio", "bar"),
    )
    spec = folder / "many.yaml"
    spec.write_text(many(COUNT))
    with EC2Server(built(COUNT)) as server:
        environment = environment_for(server, folder / "state")
        plan = tool("plan", "--output", "json", spec)
        pair = in_turn(plan, python(BARE), environment, runs=RUNS)
        for what, shown, bar in (("cpu", "CPU", "1.25"), ("peak", "peak memory", "1.40"), ("wall", "wall", "")):
            ours, theirs = pair.medians(what)
            words = (
                (f"{ours:.0f} MiB", f"{theirs:.0f} MiB") if what == "peak" else (seconds(ours), seconds(theirs))
            )
            table.add(shown, *words, ratio(pair.ratio(what)), bar)
        calls = _calls(plan, environment)
        # 1,000 interfaces a page; DescribeAddresses has no pages.
        pages = COUNT // 1000 + 1
        ec2 = sum(count for call, count in calls.items() if call != "GetCallerIdentity")
        table.add("EC2 calls beyond pages", str(ec2 - pages), "", "", "5")
    return table


def _calls(plan: list[str], environment: Mapping[str, str]) -> Mapping[str, int]:
    done = subprocess.run(plan, env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["steps"] == [], "it is no no-op"
    calls: dict[str, int] = found["api_calls"]
    return calls


def built(count: int) -> World:
    """A world that has what ``many`` describes, made without a network."""
    world = World(Settings(quotas=Quotas(addresses=count, interfaces=count + 100)))
    subnets = {each.zone: each.id for each in world.data.subnets.values() if each.default_for_az}

    def tags(kind: str, section: str, row: int) -> list[dict[str, object]]:
        found = {"Name": f"x{row}", "enireconcile:stack": "many", "enireconcile:name": f"{section}.x{row}"}
        return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in found.items()]}]

    for row in range(count):
        made = world.perform(
            "CreateNetworkInterface",
            {
                "SubnetId": subnets[f"us-east-1{_zone(row)}"],
                "Description": "",
                "TagSpecifications": tags("network-interface", "network_interfaces", row),
            },
        )
        address = world.perform(
            "AllocateAddress", {"Domain": "vpc", "TagSpecifications": tags("elastic-ip", "elastic_ips", row)}
        )
        world.perform(
            "AssociateAddress",
            {
                "AllocationId": address["AllocationId"],
                "NetworkInterfaceId": made["NetworkInterface"]["NetworkInterfaceId"],
            },
        )
    return world


# ---- at EC2's pace


def paced(folder: Path) -> Table:
    """Converges under EC2's token buckets, on a clock that jumps: calls, seconds and throttled calls."""
    table = Table(
        "Converging at EC2's pace",
        "Interfaces, each with an Elastic IP, made from nothing on a clock that jumps over waits, under EC2's "
        "published token buckets. The bound is the time that the buckets demand for the slowest kind of call.",
        ("what", "EC2 calls", "bar", "seconds over the bound", "bar", "throttled", "bar"),
    )
    for count, scale, shown, bars in (
        (300, 1.0, "300 + 300", ("", "1.03", "0 %")),
        (300, 0.5, "300 + 300, others take half of each bucket", ("", "1.25", "5 %")),
        (500, 1.0, "500 + 500 (1,500 calls that change something)", ("1,560", "", "")),
    ):
        quotas = Quotas(addresses=count, interfaces=count + 100)
        with open_harness(folder / shown.split()[0] / str(scale), Settings(quotas=quotas)) as harness:
            harness.strict.faults.add(Buckets(scale=scale))
            report = harness.apply(many(count))
            assert report.outcome == "converged", report
            calls = [call for call in harness.strict.calls if call.service == "ec2"]
        table.add(
            shown,
            f"{len(calls):,}",
            bars[0],
            ratio(report.seconds / _bound(calls, scale)),
            bars[1],
            f"{report.throttled / len(calls):.1%}",
            bars[2],
        )
    return table


def _bound(calls: Sequence[Call], scale: float) -> float:
    """Seconds that EC2's buckets demand for the calls that changed something."""
    needed = Counter(bucket_of(call) for call in calls if call.mutates and call.acted)
    return max((count / scale - capacity) / refill for (_, capacity, refill), count in needed.items())
