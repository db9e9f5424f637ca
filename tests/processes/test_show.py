"""``enireconcile show`` on the strict EC2, and the addresses in what apply prints."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.commands import written
from tests.ec2 import EC2Server
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]

SPEC = str(STORY)
OWNED = ["DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]
ALL_OF_THE_STORY = (
    "choose from: elastic_ips.web-1, elastic_ips.web-2, instances.web, network_interfaces.web-eth0, "
    "network_interfaces.web-eth1, security_groups.my-sg-1, security_groups.my-sg-2"
)
SPARE = "version: 1\nstack: spare\nregion: us-east-1\nelastic_ips: {spare: {}}\n"


@pytest.fixture
def applied(server: EC2Server, command: Run) -> EC2Server:
    """The story, applied."""
    assert command("apply", "-y", SPEC).code == 0
    server.clear()
    return server


def _described(server: EC2Server) -> dict[str, Any]:
    """The story's interfaces and addresses by their names."""
    ec2 = server.client("ec2")
    found = [
        *((each, each["TagSet"]) for each in ec2.describe_network_interfaces()["NetworkInterfaces"]),
        *((each, each["Tags"]) for each in ec2.describe_addresses()["Addresses"]),
    ]
    return {next(tag["Value"] for tag in tags if tag["Key"] == "Name"): each for each, tags in found}


def test_show_reads_what_the_stack_owns_and_no_more(applied: EC2Server, command: Run) -> None:
    """Four describes and the account; the subnets only where they are printed."""
    assert command("show", "--output", "json", SPEC).code == 0
    assert sorted(applied.actions()) == [*OWNED, "GetCallerIdentity"]
    applied.clear()
    assert command("show", SPEC).code == 0
    assert sorted(applied.actions()) == [*OWNED, "DescribeSubnets", "GetCallerIdentity"]


def test_show_as_json(applied: EC2Server, command: Run) -> None:
    ran = command("show", "--output", "json", SPEC)
    found = _described(applied)
    eth0, web1 = found["web-eth0"], found["web-1"]
    told = ran.json
    head = {key: told[key] for key in ("format_version", "stack", "account_id", "region")}
    assert head == {
        "format_version": "1.0",
        "stack": "two-enis",
        "account_id": "123456789012",
        "region": "us-east-1",
    }
    resources = told["resources"]
    assert resources["elastic_ips.web-1"] == {
        "id": web1["AllocationId"],
        "public_ip": web1["PublicIp"],
        "private_ip": eth0["PrivateIpAddress"],
        "network_interface": "web-eth0",
        "instance": "web",
    }
    assert resources["network_interfaces.web-eth0"] == {
        "id": eth0["NetworkInterfaceId"],
        "private_ip": eth0["PrivateIpAddress"],
        "secondary_private_ips": [],
        "ipv6_addresses": [],
        "public_ip": web1["PublicIp"],
        "mac_address": eth0["MacAddress"],
        "subnet_id": eth0["SubnetId"],
        "vpc_id": eth0["VpcId"],
        "availability_zone": "us-east-1a",
        "security_groups": ["my-sg-1"],
        "instance": "web",
        "instance_id": eth0["Attachment"]["InstanceId"],
        "device_index": 0,
        "status": "in-use",
    }
    web = resources["instances.web"]
    assert (web["state"], web["public_ip"], web["instance_type"]) == ("running", web1["PublicIp"], "t2.micro")
    assert set(web) == {
        "id",
        "state",
        "private_ip",
        "public_ip",
        "instance_type",
        "availability_zone",
        "image_id",
    }
    assert set(resources["security_groups.my-sg-1"]) == {"id", "group_name", "vpc_id"}


def test_show_as_text(applied: EC2Server, command: Run) -> None:
    """A line for each resource, and for the subnet with zone and CIDR; no line is longer than a terminal."""
    ran = command("show", SPEC)
    found = _described(applied)
    lines = [re.split(r"  +", line.strip()) for line in ran.stdout.splitlines()]
    eth1, web2 = found["web-eth1"], found["web-2"]
    private, public = eth1["PrivateIpAddress"], web2["PublicIp"]
    assert ["web-eth1", private, public, "web, index 1", eth1["NetworkInterfaceId"]] in lines
    assert ["web-2", private, public, "web-eth1", web2["AllocationId"]] in lines
    assert [eth1["SubnetId"], "us-east-1a", "172.31.0.0/20", "web-eth0, web-eth1"] in lines
    assert max(map(len, ran.stdout.splitlines())) <= 96, "four digits more than with short addresses"


def on_terminal(*args: str) -> str:
    """What a command shows on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (50, 80))
        call = [sys.executable, "-m", "enireconcile", *args]
        subprocess.run(call, env={**os.environ, "NO_COLOR": "1"}, stdout=theirs, stderr=theirs, check=False)
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a terminal that its program has closed
            while more := os.read(ours, 10_000):
                shown += more
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_on_a_terminal_nothing_is_cut(applied: EC2Server) -> None:
    """show has each id below its row; text is wrapped at words, but for a command to copy."""
    shown = on_terminal("show", SPEC)
    (web,) = re.findall(r"(?<!en)\bi-[0-9a-f]{17}", shown)
    assert re.search(rf"\n  web +\S+ +\S+ +\S+\n    {web}\n", shown)
    planned = on_terminal("plan", "--destroy", SPEC)
    assert f"Why these calls, and why in this order:\n  enireconcile explain --destroy {SPEC} " in planned
    told = on_terminal("export", "--instance", "an-instance-with-a-name")
    assert "is no instance\n  id, such as i-0123456789abcdef0; to find one by its name, use --tag\n  Name=" in told
    for text in (shown, told):
        assert [line for line in text.splitlines() if len(line) > 80] == []
    assert applied.mutating() == []


def test_show_for_a_shell(applied: EC2Server, command: Run) -> None:
    """A shell reads the lines as they are."""
    ran = command("show", "--output", "env", SPEC)
    script = f"set -eu\n{ran.stdout}\necho $ELASTIC_IPS_WEB_1_PUBLIC_IP $NETWORK_INTERFACES_WEB_ETH1_DEVICE_INDEX"
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == f"{_described(applied)['web-1']['PublicIp']} 1\n"
    assert all(re.match(r"[A-Z0-9_]+=", line) for line in ran.stdout.splitlines())
    assert [shlex.split(line) for line in ran.stdout.splitlines()]


def test_one_value(applied: EC2Server, command: Run) -> None:
    ran = command("show", "--get", "elastic_ips.web-1.public_ip", SPEC)
    assert (ran.code, ran.stdout) == (0, f"{_described(applied)['web-1']['PublicIp']}\n")
    assert command("show", "--get", "network_interfaces.web-eth0.security_groups", SPEC).stdout == "my-sg-1\n"
    assert command("show", "--get", "network_interfaces.web-eth0.device_index", SPEC).stdout == "0\n"


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("path", "error", "hint"),
    [
        ("elastic_ips.wbe-1.public_ip", "two-enis has no elastic_ips.wbe-1", "did you mean `elastic_ips.web-1`?"),
        (
            "elastic_ips.web-1.publc_ip",
            "elastic_ips.web-1 has no attribute publc_ip",
            "did you mean `public_ip`?",
        ),
        (
            "security_groups.my-sg-1.zzz",
            "security_groups.my-sg-1 has no attribute zzz",
            "choose from: group_name, id, vpc_id",
        ),
        (
            "security_groups.my-sg-1",
            "security_groups.my-sg-1 is a resource, and not one value",
            "write security_groups.my-sg-1.ATTRIBUTE, one of id, group_name, vpc_id",
        ),
        ("elastic_ips.wbe-1", "two-enis has no elastic_ips.wbe-1", "did you mean `elastic_ips.web-1`?"),
        ("my-sg-1.id", "two-enis has no my-sg-1.id", ALL_OF_THE_STORY),
        ("nope", "two-enis has no nope", ALL_OF_THE_STORY),
    ],
)
def test_what_is_not_there_is_an_error(path: str, error: str, hint: str, command: Run) -> None:
    ran = command("show", "--get", path, SPEC)
    assert (ran.code, ran.stdout, ran.stderr) == (1, "", f"error: {error}\n  hint: {hint}\n")


@pytest.mark.usefixtures("server")
def test_what_is_not_made_yet_is_an_error(command: Run) -> None:
    ran = command("show", "--get", "elastic_ips.web-1.public_ip", SPEC)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == "error: elastic_ips.web-1 does not exist yet\n  hint: apply the spec first\n"
    assert command("show", SPEC).stdout.endswith("\n\nThe stack owns nothing.\n")
    assert command("show", "--output", "json", SPEC).json["resources"] == {}
    assert command("show", "--output", "env", SPEC).stdout == ""


@pytest.mark.usefixtures("server")
def test_an_attribute_that_has_no_value_is_an_error(command: Run, tmp_path: Path) -> None:
    """A script must not go on with an empty address."""
    spare = tmp_path / "spare.yaml"
    spare.write_text(SPARE)
    command("apply", "-y", str(spare))
    ran = command("show", "--get", "elastic_ips.spare.private_ip", str(spare))
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == "error: elastic_ips.spare has no private_ip now\n  hint: it has: id, public_ip\n"


@pytest.mark.usefixtures("applied")
def test_several_specs(command: Run, tmp_path: Path) -> None:
    """An array, even if one of them has nothing; a value is taken from the stack that has it."""
    spare = tmp_path / "spare.yaml"
    spare.write_text(SPARE)
    told = command("show", "--output", "json", SPEC, str(spare)).json
    assert [(each["stack"], len(each["resources"])) for each in told] == [("two-enis", 7), ("spare", 0)]
    ran = command("show", "--get", "instances.web.state", SPEC, str(spare))
    assert (ran.code, ran.stdout) == (0, "running\n")
    text = command("show", SPEC, str(spare)).stdout
    assert [line.split()[0] for line in text.splitlines() if "(account" in line] == ["two-enis", "spare"]


@pytest.mark.usefixtures("server")
def test_one_address_in_two_stacks_is_not_guessed(command: Run, tmp_path: Path) -> None:
    specs = []
    for stack in ("spare", "other"):
        specs.append(tmp_path / f"{stack}.yaml")
        specs[-1].write_text(SPARE.replace("stack: spare", f"stack: {stack}"))
    paths = [str(spec) for spec in specs]
    command("apply", "-y", *paths)
    ran = command("show", "--get", "elastic_ips.spare.public_ip", *paths)
    assert (ran.code, ran.stdout) == (1, "")
    assert "elastic_ips.spare is in the stacks spare and other" in ran.stderr


@pytest.mark.parametrize("args", [("--get", ""), ("--get", "elastic_ips.web-1.id", "--output", "json")])
def test_get_is_used_rightly(args: tuple[str, ...], command: Run) -> None:
    assert command("show", *args, SPEC).code == 64


@pytest.mark.usefixtures("server")
def test_the_account_is_guarded(command: Run, tmp_path: Path) -> None:
    guarded = tmp_path / "guarded.yaml"
    guarded.write_text(SPARE + 'account_id: "210987654321"\n')
    assert command("show", str(guarded)).code == 3


def test_leftovers_are_shown(applied: EC2Server, command: Run, tmp_path: Path) -> None:
    """The stack owns them, whether or not the spec names them, and their names are those of their tags."""
    less = tmp_path / "less.yaml"
    less.write_text("version: 1\nstack: two-enis\nregion: us-east-1\n")
    told = command("show", "--output", "json", str(less)).json["resources"]
    assert told == command("show", "--output", "json", SPEC).json["resources"]
    plan = command("plan", str(less))
    public_ip = _described(applied)["web-1"]["PublicIp"]
    assert re.search(rf"^  elastic_ips\.web-1  {public_ip}  eipalloc-", plan.stdout, re.MULTILINE)


def test_addresses_are_told_wherever_a_person_reads_of_them(
    server: EC2Server, command: Run, tmp_path: Path
) -> None:
    """While they are made, at the end of the apply, in a plan that takes them away, and while they go."""
    ran = command("apply", "-y", "--report", str(tmp_path / "report.json"), SPEC)
    public_ip = _described(server)["web-1"]["PublicIp"]
    assert re.search(rf"^✓ AllocateAddress  elastic_ips\.web-1  {public_ip}  \(", ran.stderr, re.MULTILINE)
    assert f"AssociateAddress  elastic_ips.web-1  {public_ip}  associated with web-eth0  (" in ran.stderr
    ended, table = ran.stdout.split("Converged: ")[1].split("\n\n", 1)
    assert ended.endswith("read back, nothing differs.")
    shown = command("show", SPEC).stdout
    for line in table.splitlines()[1:]:
        assert line in shown
    assert [line.split()[0] for line in table.splitlines() if public_ip in line] == ["web", "web-eth0", "web-1"]
    report = written(tmp_path / "report.json")
    assert report["resources"] == command("show", "--output", "json", SPEC).json["resources"]
    steps = {(step["call"], step["address"]): step for step in report["steps"]}
    assert steps["AllocateAddress", "elastic_ips.web-1"]["public_ip"] == public_ip
    assert steps["AuthorizeSecurityGroupIngress", "security_groups.my-sg-1"]["summary"] == (
        "authorize tcp 80 from 0.0.0.0/0"
    )
    again = command("apply", "-y", SPEC)
    unchanged = f"Unchanged: everything matches the spec. EC2 is at {server.url}, not AWS.\n"
    assert (again.code, again.stdout) == (0, unchanged)
    refused = command("destroy", "-y", SPEC)
    assert f"- elastic_ips.web-1  {public_ip}  release  [destructive]\n" in refused.stdout
    assert f"ReleaseAddress for elastic_ips.web-1 {public_ip}\n" in refused.stderr
    gone = command("destroy", "-y", "--allow-destroy", SPEC)
    assert re.search(rf"^✓ ReleaseAddress  elastic_ips\.web-1  {public_ip}  \(", gone.stderr, re.MULTILINE)
    assert gone.stdout.endswith("read back, nothing is left.\n")


def test_a_plan_in_json_has_the_addresses(applied: EC2Server, command: Run) -> None:
    """Of every Elastic IP that exists."""
    web2 = _described(applied)["web-2"]
    applied.client("ec2").disassociate_address(AssociationId=web2["AssociationId"])
    told = command("plan", "--output", "json", SPEC).json
    [change] = told["changes"]
    assert (change["address"], change["public_ip"]) == ("elastic_ips.web-2", web2["PublicIp"])
    [step] = told["steps"]
    assert (step["summary"], step["public_ip"]) == ("associate with web-eth1", web2["PublicIp"])
