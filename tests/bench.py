"""What a no-op plan costs, beside bare boto3 doing the same reads: calls and whole-process wall time, in one run.

``make bench`` prints both and their ratio, pair by pair, so that a machine that slows down slows both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SPEC = str(Path(__file__).parent.parent / "specs" / "two-enis.yaml")
PAIRS = 11
BARE = """
import boto3
ec2 = boto3.client("ec2")
mine = [{"Name": "tag:enireconcile:stack", "Values": ["two-enis"]}]
boto3.client("sts").get_caller_identity()
for method in ("security_groups", "instances", "network_interfaces"):
    getattr(ec2, "describe_" + method)(Filters=mine, MaxResults=1000)
ec2.describe_addresses(Filters=mine)
ec2.describe_subnets(MaxResults=1000)
ec2.describe_vpcs(MaxResults=1000)
"""


def main() -> None:
    """Build the story on a strict EC2 of its own, then time plans and bare reads in turn."""
    with tempfile.TemporaryDirectory() as state:
        server = subprocess.Popen([sys.executable, "-m", "tests.ec2"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            environment = {
                **os.environ,
                "AWS_ENDPOINT_URL": server.stdout.readline().strip(),
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
                "ENIRECONCILE_STATE": state,
            }
            _compare(environment)
        finally:
            server.terminate()
            server.wait()


def _compare(environment: Mapping[str, str]) -> None:
    tool = [sys.executable, "-m", "enireconcile"]
    _run([*tool, "apply", "-y", SPEC], environment)
    noop = [*tool, "plan", "--output", "json", SPEC]
    plan = json.loads(_run(noop, environment))
    calls: dict[str, int] = plan["api_calls"]
    ec2 = sum(count for call, count in calls.items() if call != "GetCallerIdentity")
    say(f"no-op plan: {ec2} EC2 calls and {calls['GetCallerIdentity']} STS call; {len(plan['steps'])} steps")
    bare = [sys.executable, "-c", BARE]
    pairs = [(_timed(noop, environment), _timed(bare, environment)) for _ in range(PAIRS + 1)][1:]
    ours, theirs = zip(*pairs, strict=True)
    ratios = [a / b for a, b in pairs]
    say(f"wall time, medians of {PAIRS} whole processes in turn:")
    say(f"  enireconcile plan   {statistics.median(ours):.3f} s")
    say(f"  bare boto3          {statistics.median(theirs):.3f} s")
    say(f"  ratio               {statistics.median(ratios):.2f}  (from {min(ratios):.2f} to {max(ratios):.2f})")


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def _timed(command: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    _run(command, environment)
    return time.perf_counter() - began


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
