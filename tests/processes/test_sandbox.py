"""The sandbox: a local EC2 for trying things, in the foreground or around a command."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parents[2]
TOOL = [sys.executable, "-m", "enireconcile", "sandbox"]


def test_exit_code_is_that_of_the_command() -> None:
    """A script in the sandbox can fail like any other."""
    failing = [*TOOL, "--", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(failing, check=False).returncode == 7


def test_unknown_command_is_reported() -> None:
    """A command that does not exist is an error, and no traceback."""
    ran = subprocess.run([*TOOL, "--", "no-such-command-here"], capture_output=True, text=True, check=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert "no-such-command-here" in ran.stderr


def test_serves_until_it_is_stopped() -> None:
    """Without a command it prints what to export, answers as EC2, and ends with 0 on SIGINT."""
    with subprocess.Popen(TOOL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        variables = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        ec2 = boto3.client(
            "ec2",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        assert ec2.describe_vpcs()["Vpcs"][0]["IsDefault"] is True
        ec2.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_port_in_use_is_an_error() -> None:
    """Another process listens on the port: an error, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run([*TOOL, "--port", port], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, port in ran.stderr) == (1, True)


def test_interfaces_end_as_on_ec2(tmp_path: Path) -> None:
    """``delete_on_termination`` converges, and ``destroy`` waits for no interface of a terminated instance."""
    text = (ROOT / "specs" / "two-enis.yaml").read_text()
    changed = text.replace("device_index: 1}", "device_index: 1, delete_on_termination: true}")
    assert changed != text
    spec = tmp_path / "spec.yaml"
    spec.write_text(changed)
    calls = ("apply -y", "plan --detailed-exitcode", "destroy -y --allow-destroy --timeout 60s")
    script = " && ".join(f"{sys.executable} -m enireconcile {call} {spec}" for call in calls)
    ran = subprocess.run([*TOOL, "--", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_fresh_endpoint_with_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sees an endpoint on loopback, a state of its own and, with --lab, the networks of specs/.

    A primary interface that RunInstances makes ends with its instance, unless the launch says otherwise.
    A call that moto lacks, or fails at, is an error that names it, without a traceback of the server. Rules
    without ports are taken, and a rule is revoked whatever its description. An instance without a subnet is in
    a default one, and an interface keeps its groups when it is attached. Profiles do not matter.
    """
    ask = """
import ipaddress, os, boto3, botocore.exceptions
print(os.environ["AWS_ENDPOINT_URL"])
print(os.environ["ENIRECONCILE_STATE"])
ec2 = boto3.client("ec2")
[vpc] = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["lab"]}])["Vpcs"]
here = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
subnets = ec2.describe_subnets(Filters=here)["Subnets"]
print(*sorted(tag["Value"] for subnet in subnets for tag in subnet["Tags"]))
print(*(each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]))
ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, InstanceType="t3.micro", NetworkInterfaces=[
    {"DeviceIndex": 0, "SubnetId": subnets[0]["SubnetId"], "DeleteOnTermination": False}])
made = ec2.describe_network_interfaces(Filters=here)["NetworkInterfaces"]
print(sorted(each["Attachment"]["DeleteOnTermination"] for each in made))
tunnel = {"IpProtocol": "50", "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
group = ec2.create_security_group(GroupName="vpn", Description="vpn", VpcId=vpc["VpcId"])["GroupId"]
itself = {"GroupId": group}
described = {**ssh, "UserIdGroupPairs": [{**itself, "Description": "from itself"}]}
ec2.authorize_security_group_ingress(**itself, IpPermissions=[tunnel, described])
ec2.revoke_security_group_ingress(**itself, IpPermissions=[{**ssh, "UserIdGroupPairs": [itself]}])
[left] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
print({key: left[key] for key in left if left[key]} == tunnel)
[bare] = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, InstanceType="t3.micro",
    SecurityGroupIds=[ec2.create_security_group(GroupName="web", Description="web")["GroupId"]])["Instances"]
[subnet] = ec2.describe_subnets(SubnetIds=[bare["SubnetId"]])["Subnets"]
inside = ipaddress.ip_address(bare["PrivateIpAddress"]) in ipaddress.ip_network(subnet["CidrBlock"])
second = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]
ec2.attach_network_interface(NetworkInterfaceId=second["NetworkInterfaceId"], InstanceId=bare["InstanceId"],
    DeviceIndex=1)
[now] = ec2.describe_network_interfaces(NetworkInterfaceIds=[second["NetworkInterfaceId"]])["NetworkInterfaces"]
print(subnet["DefaultForAz"], inside, now["Groups"] == second["Groups"])
for service, call, asked in (
    ("cloudtrail", "lookup_events", {}),
    ("ec2", "describe_instance_event_windows", {}),
    ("ec2", "describe_instances", {"NextToken": "x"}),
):
    try:
        getattr(boto3.client(service), call)(**asked)
    except botocore.exceptions.ClientError as error:
        print(error.response["Error"]["Code"], error.response["Error"]["Message"])
"""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    command = [*TOOL, "--lab", "--", sys.executable, "-c", ask]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    url, state, *rest = ran.stdout.splitlines()
    assert urllib.parse.urlsplit(url).hostname == "127.0.0.1"
    assert not Path(state).exists(), "what the sandbox made is gone"
    assert rest == [
        "lab-a lab-mgmt lab-private lab-public",
        "ops",
        "[False, True, True]",
        "True",
        "True True True",
        "UnsupportedOperation the sandbox does not simulate LookupEvents",
        "UnsupportedOperation the sandbox does not simulate DescribeInstanceEventWindows",
        "UnsupportedOperation the sandbox cannot simulate this DescribeInstances: moto ends in ValueError",
    ]
