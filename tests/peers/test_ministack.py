"""ministack, an EC2 that others wrote: the command runs on it as far as it can, and each gap is named.

Needs the program `ministack`, which `make peers` installs into an environment of its own, or one on the PATH.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness import ENVIRONMENT, STORY, Foreign

PATIENCE = 60.0
"""Real seconds after which a test gives up."""


def program() -> str | None:
    """The `ministack` that `make peers` installs, else the one on the PATH."""
    installed = Path(sys.prefix) / "ministack" / "bin" / "ministack"
    return str(installed) if installed.exists() else shutil.which("ministack")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """A server on loopback, without any of the user's settings."""
    binary = program()
    if binary is None:
        pytest.skip("no ministack; `make peers` installs it")
    home, port = tmp_path_factory.mktemp("ministack"), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "ec2,ssm,sts",
    }
    process = subprocess.Popen(
        [binary], cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    ready = threading.Event()

    def listen() -> None:
        # Its pipe is read to the end, or it would stop when that is full.
        for line in process.stdout or ():
            if "Running on " in line:
                ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert ready.wait(PATIENCE), "ministack did not start"
        yield Foreign(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join(10)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def ec2(server: Foreign) -> Any:
    """A client of an account in which nothing was done yet."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc)
    connection.request("POST", "/_ministack/reset")
    assert connection.getresponse().status == 200
    connection.close()
    return server.client()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(ec2: Any, tmp_path: Path) -> Run:
    """Runs the command. Returns its exit code and all that it printed."""

    def command(*args: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "enireconcile", *args],
            env={
                **os.environ,
                **ENVIRONMENT,
                "AWS_ENDPOINT_URL": ec2.meta.endpoint_url,
                "ENIRECONCILE_STATE": str(tmp_path / "state"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout + done.stderr

    return command


# -- the command ---------------------------------------------------------------------------------------------


def test_the_story_can_be_planned(run: Run) -> None:
    """Reads that only sharpen limits, and that ministack does not know, are told and nothing else."""
    code, said = run("plan", str(STORY))
    assert code == 0, said
    assert "Plan: 7 to create" in said
    assert "DescribeAccountAttributes" in said


@pytest.mark.xfail(
    strict=True, reason="ministack ignores the interfaces of RunInstances and the tags of CreateNetworkInterface"
)
def test_the_story(run: Run) -> None:
    """Apply, empty plan, destroy."""
    code, said = run("apply", "-y", "--timeout", "10s", str(STORY))
    assert code == 0, said
    assert run("plan", "--detailed-exitcode", str(STORY))[0] == 0
    assert run("destroy", "-y", "--allow-destroy", str(STORY))[0] == 0


PART = """
version: 1
stack: part
region: us-east-1
tags: {{Project: testing-eni}}
security_groups:
  my-sg-1:
    description: Web traffic
    ingress:
      - {{protocol: tcp, ports: 80, sources: [0.0.0.0/0], description: http}}
  my-sg-2:
    ingress:
      - {{protocol: tcp, ports: "8000-8010", sources: [my-sg-1, "2001:db8::/32"]}}
    egress: []
instances:
  web: {{external: {instance}}}
network_interfaces:
  web-eth1:
    adopt: {interface}
    attachment: {{instance: web, device_index: 1}}
elastic_ips:
  web-1: {{}}
  web-2: {{}}
"""
"""Of the story what ministack can do: it tags what exists, and attaches interfaces to running instances."""


@pytest.fixture
def part(ec2: Any, tmp_path: Path) -> tuple[Path, str]:
    """A spec for an instance and an interface that exist; the id of that interface."""
    subnet = next(each for each in ec2.describe_subnets()["Subnets"] if each["AvailabilityZone"] == "us-east-1a")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    [made] = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"]
    )["Instances"]
    interface = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    path = tmp_path / "part.yaml"
    path.write_text(PART.format(instance=made["InstanceId"], interface=interface))
    return path, interface


def shown(ec2: Any, interface: str) -> Any:
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]


def drift(ec2: Any, interface: str) -> None:
    """Detach, remove a rule, add one, change a tag, release an address."""
    ec2.detach_network_interface(AttachmentId=shown(ec2, interface)["Attachment"]["AttachmentId"])
    groups = {group["GroupName"]: group for group in ec2.describe_security_groups()["SecurityGroups"]}
    first, second = groups["my-sg-1"], groups["my-sg-2"]
    ec2.revoke_security_group_ingress(GroupId=first["GroupId"], IpPermissions=first["IpPermissions"])
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=second["GroupId"], IpPermissions=[ssh])
    ec2.create_tags(Resources=[first["GroupId"]], Tags=[{"Key": "Project", "Value": "mine"}])
    ec2.release_address(AllocationId=ec2.describe_addresses()["Addresses"][0]["AllocationId"])


def test_apply_drift_and_destroy(run: Run, ec2: Any, part: tuple[Path, str]) -> None:
    """Each time the next plan is empty; destroy leaves what was there before."""
    spec, interface = part
    for drifted in (False, True):
        if drifted:
            drift(ec2, interface)
        assert run("plan", "--detailed-exitcode", str(spec))[0] == 2
        code, said = run("apply", "-y", str(spec))
        assert code == 0, said
        code, said = run("plan", "--detailed-exitcode", str(spec))
        assert code == 0, said
        assert shown(ec2, interface)["Attachment"]["DeviceIndex"] == 1
        assert len(ec2.describe_addresses()["Addresses"]) == 2
    code, said = run("destroy", "-y", "--allow-destroy", str(spec))
    assert code == 0, said
    assert ec2.describe_addresses()["Addresses"] == []
    assert {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]} == {"default"}


# -- its gaps ------------------------------------------------------------------------------------------------

TAGS = [{"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}]
NO_SUCH_TAG = [{"Name": "tag:a", "Values": ["b"]}]


class Account:
    """An account with a subnet, and what a probe needs."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]

    def interface(self, **more: Any) -> Any:
        return self.ec2.create_network_interface(SubnetId=self.subnet, **more)["NetworkInterface"]

    def instance(self, **more: Any) -> Any:
        image = self.ec2.describe_images()["Images"][0]["ImageId"]
        params = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **more}
        made = self.ec2.run_instances(**params)["Instances"][0]["InstanceId"]
        return self.ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]

    def with_interface(self, interface: str) -> Any:
        slots = [{"DeviceIndex": 0, "NetworkInterfaceId": interface}]
        return self.instance(NetworkInterfaces=slots).get("NetworkInterfaces", [])

    def address_on(self, interface: str) -> Any:
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        self.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)
        return self.ec2.describe_addresses()["Addresses"][0]

    def attached(self) -> Any:
        instance, interface = self.instance()["InstanceId"], self.interface()["NetworkInterfaceId"]
        self.ec2.attach_network_interface(InstanceId=instance, NetworkInterfaceId=interface, DeviceIndex=1)
        described = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return [each["NetworkInterfaceId"] for each in described.get("NetworkInterfaces", [])], interface

    def modified(self) -> Any:
        interface = self.interface()["NetworkInterfaceId"]
        return self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface, Description={"Value": "mine"}
        )

    def dry_run(self) -> int:
        with pytest.raises(ClientError):
            self.ec2.allocate_address(Domain="vpc", DryRun=True)
        return len(self.ec2.describe_addresses()["Addresses"])


GAPS: dict[str, Callable[[Account], bool]] = {
    "CreateNetworkInterface ignores TagSpecifications": lambda it: bool(
        it.interface(TagSpecifications=TAGS)["TagSet"]
    ),
    "CreateNetworkInterface ignores ClientToken": lambda it: (
        it.interface(ClientToken="x")["NetworkInterfaceId"] == it.interface(ClientToken="x")["NetworkInterfaceId"]
    ),
    "RunInstances ignores NetworkInterfaceId": lambda it: bool(
        it.with_interface(it.interface()["NetworkInterfaceId"])
    ),
    "DescribeInstances shows no interfaces": lambda it: (lambda found: found[1] in found[0])(it.attached()),
    "DescribeAddresses does not show the interface": lambda it: (
        "NetworkInterfaceId" in it.address_on(it.interface()["NetworkInterfaceId"])
    ),
    "DescribeNetworkInterfaces ignores filters by tag": lambda it: (
        bool(it.interface()) and it.ec2.describe_network_interfaces(Filters=NO_SUCH_TAG)["NetworkInterfaces"] == []
    ),
    "DescribeAddresses ignores filters by tag": lambda it: (
        bool(it.ec2.allocate_address()) and it.ec2.describe_addresses(Filters=NO_SUCH_TAG)["Addresses"] == []
    ),
    "DryRun is ignored": lambda it: it.dry_run() == 0,
    "ModifyNetworkInterfaceAttribute is unknown": lambda it: bool(it.modified()),
    "DescribeAccountAttributes is unknown": lambda it: bool(it.ec2.describe_account_attributes()),
    "DescribeInstanceTypeOfferings is unknown": lambda it: bool(it.ec2.describe_instance_type_offerings()),
}
"""Where ministack differs from EC2, as far as it matters here. A probe is False or raises while the gap exists."""


@pytest.mark.parametrize(
    "works",
    [pytest.param(works, id=gap, marks=pytest.mark.xfail(strict=True, reason=gap)) for gap, works in GAPS.items()],
)
def test_gaps(ec2: Any, works: Callable[[Account], bool]) -> None:
    """A gap that is closed fails here: take it out, and try the story again."""
    assert works(Account(ec2))
