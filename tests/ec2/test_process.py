"""The strict EC2 as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.ec2.lab import refused

ROOT = Path(__file__).parents[2]


def test_it_serves_until_it_is_stopped() -> None:
    """`python -m tests.ec2` prints its URL first, obeys its options, and ends well on SIGTERM."""
    command = [sys.executable, "-m", "tests.ec2", "--pending-delay", "600", "--account-id", "999999999999"]
    command += ["--quota", "addresses=1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        common: dict[str, Any] = {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "aws_access_key_id": "x",
            "aws_secret_access_key": "x",
            "config": Config(retries={"total_max_attempts": 1}),
        }
        ec2, sts = boto3.client("ec2", **common), boto3.client("sts", **common)
        assert sts.get_caller_identity()["Account"] == "999999999999"
        image = ec2.describe_images(Owners=["amazon"])["Images"]
        x86 = next(each["ImageId"] for each in image if each["Architecture"] == "x86_64")
        ec2.run_instances(ImageId=x86, InstanceType="t2.micro", MinCount=1, MaxCount=1)
        assert ec2.describe_instances()["Reservations"][0]["Instances"][0]["State"]["Name"] == "pending"
        ec2.allocate_address()
        with refused("AddressLimitExceeded"):
            ec2.allocate_address()
        ec2.close()
        sts.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
