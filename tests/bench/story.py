"""The story of specs/two-enis.yaml beside the least that bare boto3 could do, and what starting costs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.ec2 import EC2Server, Settings, World
from tests.ec2.faults import Latency
from tests.harness import ENVIRONMENT, STORY

from .table import Table, ratio, seconds
from .whole import cost_of, in_turn, python, tool

RUNS = 5
LATENCY = 0.05
"""Seconds that a call takes in the second half: what is usual within a Region and its neighbours."""

PARSE = "import sys, yaml; from pydantic import BaseModel; yaml.load(open(sys.argv[1]), yaml.CSafeLoader)"

# The reads of a no-op plan, in as many threads as are asked for.
READS = """
import boto3, sys
from concurrent.futures import ThreadPoolExecutor
ec2, sts = boto3.client("ec2"), boto3.client("sts")
mine = [{"Name": "tag:enireconcile:stack", "Values": ["two-enis"]}]
calls = [sts.get_caller_identity]
for kind in ("security_groups", "instances", "network_interfaces"):
    calls.append(lambda kind=kind: getattr(ec2, "describe_" + kind)(Filters=mine, MaxResults=1000))
calls.append(lambda: ec2.describe_addresses(Filters=mine))
calls.append(lambda: ec2.describe_subnets(MaxResults=1000))
calls.append(lambda: ec2.describe_vpcs(MaxResults=1000))
def read():
    if int(sys.argv[1]) == 1:
        return [call() for call in calls]
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))
found = read()
"""
# One address is on no interface: it is put back, and all is read again.
REPAIR = (
    READS
    + """
eni = {tag["Value"]: e for e in found[3]["NetworkInterfaces"] for tag in e["TagSet"] if tag["Key"] == "Name"}
for address in found[4]["Addresses"]:
    if "AssociationId" not in address:
        ec2.associate_address(AllocationId=address["AllocationId"], AllowReassociation=False,
                              NetworkInterfaceId=eni["web-eth1"]["NetworkInterfaceId"])
read()
"""
)
# What the plan makes, with everything that can be at the same time, and one reading at the end.
CONVERGE = (
    READS
    + """
ssm = boto3.client("ssm")
pool = ThreadPoolExecutor(5)
run = pool.submit
image = run(ssm.get_parameter, Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
subnet = next(s for s in found[5]["Subnets"] if s["AvailabilityZone"] == "us-east-1a" and s["DefaultForAz"])
def tags(kind, name):
    return [{"ResourceType": kind, "Tags": [{"Key": "enireconcile:stack", "Value": "two-enis"},
                                            {"Key": "Name", "Value": name}]}]
def group(name):
    return ec2.create_security_group(GroupName=name, Description="x", VpcId=subnet["VpcId"],
                                     TagSpecifications=tags("security-group", name))["GroupId"]
def interface(name, group):
    return ec2.create_network_interface(SubnetId=subnet["SubnetId"], Groups=[group.result()],
        TagSpecifications=tags("network-interface", name))["NetworkInterface"]["NetworkInterfaceId"]
def address(name):
    return ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", name))["AllocationId"]
groups = [run(group, "my-sg-1"), run(group, "my-sg-2")]
addresses = [run(address, "web-1"), run(address, "web-2")]
http = run(lambda: ec2.authorize_security_group_ingress(GroupId=groups[0].result(), IpPermissions=[{
    "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]))
enis = [run(interface, f"web-eth{n}", groups[n]).result() for n in (0, 1)]
machine = run(ec2.run_instances, ImageId=image.result()["Parameter"]["Value"], InstanceType="t2.micro",
    MinCount=1, MaxCount=1, TagSpecifications=tags("instance", "web"),
    NetworkInterfaces=[{"DeviceIndex": n, "NetworkInterfaceId": enis[n]} for n in (0, 1)])
http.result(), machine.result()
list(pool.map(lambda n: ec2.associate_address(AllocationId=addresses[n].result(),
                                              NetworkInterfaceId=enis[n]), (0, 1)))
read()
"""
)


def starting(environment: Mapping[str, str]) -> Table:
    """`--help` and `validate`, beside a Python that imports pydantic and reads the file as YAML."""
    table = Table(
        "Starting",
        "Medians of whole processes. The ratio is to a Python that imports pydantic and PyYAML and parses the"
        " file as YAML.",
        ("command", "wall", "CPU", "peak", "ratio, wall"),
    )
    least = python(PARSE, STORY)
    for words in (["--help"], ["validate", STORY]):
        pair = in_turn(tool(*words), least, environment, runs=RUNS)
        wall, cpu, peak = (pair.medians(what)[0] for what in ("wall", "cpu", "peak"))
        shown = " ".join(["enireconcile", *(Path(str(word)).name for word in words)])
        table.add(f"`{shown}`", f"{wall:.3f} s", f"{cpu:.3f} s", f"{peak:.0f} MiB", ratio(pair.ratio("wall")))
    return table


def story(folder: Path) -> Table:
    """Plan, no-op, repair and converge of the story, with calls that take no time and with 50 ms each."""
    table = Table(
        "The story",
        "`specs/two-enis.yaml` beside bare boto3 in one process: for plan and no-op the same reads; for a "
        "repair of one association those, the call, and the reads again; for a converge the reads, the ten "
        "calls with all that can go on at the same time, and the reads again. Bare boto3 has no diff, checks "
        "nothing and repeats nothing. At 50 ms it reads in threads.",
        ("what", "a call takes", "enireconcile", "bare boto3", "ratio, wall", "ratio, CPU", "bar, wall"),
    )
    for latency in (0.0, LATENCY):
        threads = 7 if latency else 1
        bars = ("1.15", "1.15", "1.40", "1.60") if not latency else ("", "", "", "")
        state = folder / f"state{latency}"
        with _serving(latency, state) as (server, environment):
            apply = tool("apply", "-y", STORY)
            cases: list[tuple[str, list[str], list[str], Callable[[], object]]] = [
                ("plan", tool("plan", STORY), python(READS, threads), lambda: None),
                ("apply, nothing to do", apply, python(READS, threads), lambda: None),
                ("apply, one association", apply, python(REPAIR, threads), partial(_loosen, server)),
                ("apply, everything", apply, python(CONVERGE, threads), partial(_empty, server, state)),
            ]
            for (what, ours, theirs, before), bar in zip(cases, bars, strict=True):
                pair = in_turn(ours, theirs, environment, runs=RUNS, before=before)
                wall = pair.medians("wall")
                table.add(
                    what,
                    f"{latency * 1000:.0f} ms",
                    seconds(wall[0]),
                    seconds(wall[1]),
                    ratio(pair.ratio("wall")),
                    ratio(pair.ratio("cpu")),
                    bar,
                )
    return table


@contextmanager
def _serving(latency: float, state: Path) -> Iterator[tuple[EC2Server, Mapping[str, str]]]:
    """A strict EC2 that has the story, and the environment that leads to it."""
    with EC2Server(World(Settings())) as server:
        environment = environment_for(server, state)
        cost_of(tool("apply", "-y", STORY), environment)
        server.faults.add(Latency(latency))
        yield server, environment


def environment_for(server: EC2Server, state: Path) -> dict[str, str]:
    """The environment of a command that talks to a server."""
    return {
        **os.environ,
        **ENVIRONMENT,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ENIRECONCILE_STATE": str(state),
    }


def _loosen(server: EC2Server) -> None:
    """Take web-2 off its interface."""
    for address in server.world.data.addresses.values():
        if address.tags.get("Name") == "web-2" and address.association_id:
            server.world.perform("DisassociateAddress", {"AssociationId": address.association_id})


def _empty(server: EC2Server, state: Path) -> None:
    """An account and a host as on their first day."""
    server.world = World(server.world.settings)
    shutil.rmtree(state, ignore_errors=True)
