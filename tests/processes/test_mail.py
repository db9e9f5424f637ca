"""What cron mails of an unattended run: its stderr, and its stdout if that is not thrown away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ec2 import EC2Server, Fail
from tests.harness import STORY
from tests.processes.test_cli import MESSAGE, Run, command, no_vpc, one_look, server

__all__ = ["command", "no_vpc", "one_look", "server"]

SPEC = str(STORY)
DENIED = "You are not authorized to perform this operation."


def told(text: str) -> str:
    """Without times and ids."""
    return re.sub(r"\b(sg|eni|eipalloc|i)-[0-9a-f]{8,17}\b", r"\1-ID", re.sub(r"\d+\.\d s\b", "N s", text))


def test_what_was_mended_or_nothing(server: EC2Server, command: Run) -> None:
    """Which rule, and which address with which interface: without a look at the report."""
    assert command("apply", "-y", SPEC).code == 0
    ec2 = server.client("ec2")
    [group] = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["my-sg-1"]}])[
        "SecurityGroups"
    ]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[ssh])
    [address] = ec2.describe_addresses(Filters=[{"Name": "tag:Name", "Values": ["web-2"]}])["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    assert sorted(told(command("apply", "-y", SPEC).stderr).splitlines()) == [
        f"✓ AssociateAddress  elastic_ips.web-2  {address['PublicIp']}  associated with web-eth1  (N s)",
        "✓ RevokeSecurityGroupIngress  security_groups.my-sg-1  revoked tcp 22 from 0.0.0.0/0  (N s)",
    ]
    again = command("apply", "-y", SPEC)
    assert (again.code, again.stderr) == (0, "")


def test_a_denied_call_is_told_once(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """With its call once, and once what could not be done without it."""
    spec = tmp_path / "two.yaml"
    rows = "network_interfaces: {eth: {subnet: {default_for_az: us-east-1a}}}\n"
    rows += "elastic_ips: {one: {}, two: {association: {network_interface: eth}}}\n"
    spec.write_text(f"version: 1\nstack: two\nregion: us-east-1\n{rows}")
    server.faults.add(Fail("CreateNetworkInterface", times=9, code="UnauthorizedOperation", message=DENIED))
    ran = command("apply", "-y", str(spec))
    assert ran.code == 5
    stderr = told(ran.stderr)
    assert (stderr + ran.stdout).count(DENIED) == 1
    failed = r"^✗ CreateNetworkInterface  network_interfaces\.eth  create in us-east-1a  \(N s\)\n    Unauth"
    assert re.search(failed, stderr, re.MULTILINE)
    needs = r"needs s\d \(CreateNetworkInterface for network_interfaces\.eth\), which failed"
    line = rf"^· AssociateAddress  elastic_ips\.two  (\S+  )?associate with eth  {needs}$"
    assert re.search(line, stderr, re.MULTILINE)
    [ended] = [line for line in ran.stdout.splitlines() if line.startswith("Stopped")]
    assert told(ended) == "Stopped before converging: 2 of 4 calls in N s. Running it again is safe."
    assert "  still to do: network_interfaces.eth, elastic_ips.two" in ran.stdout


@pytest.mark.usefixtures("server", "one_look")
def test_an_error_of_a_row_is_told_once(command: Run, no_vpc: str) -> None:
    """In the plan that ``plan`` prints; on stderr by what runs it, whose stdout may be thrown away."""
    ran = command("plan", no_vpc)
    assert (ran.stdout.count(MESSAGE), ran.stderr) == (1, "")
    ran = command("apply", "-y", "--settle-timeout", "1", no_vpc)
    assert (ran.stdout.count(MESSAGE), ran.stderr.count(MESSAGE)) == (0, 1)
    assert "error: 1 error leaves out 1 resource:\n" in ran.stderr
    assert "\n  left out: security_groups.web\n" in ran.stderr
    assert "1 error leaves out 1 resource." in ran.stdout
