"""What ``guest`` prints after an apply: for each candidate of a failover, and for floating addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness import SLOW, Harness, open_harness
from tests.lab_vpc import lab
from tests.processes.test_cli import Run, command
from tests.scenarios.firewalls import SPEC, Firewalls

__all__ = ["command"]


@pytest.fixture
def harness(tmp_path: Path) -> Any:
    with open_harness(tmp_path, SLOW) as opened:
        yield opened


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return str(path)


def _scripts(command: Run, spec: str, out: Path) -> dict[str, str]:
    """The scripts of all instances, by their names."""
    assert command("guest", spec, "--format", "ip", "--out", str(out)).code == 0
    return {
        folder.name: next((folder / "usr/local/sbin").iterdir()).read_text() for folder in sorted(out.iterdir())
    }


def test_every_candidate_waits_for_the_interface(harness: Harness, command: Run, tmp_path: Path) -> None:
    """Both firewalls have the interface's MAC address and their own primary interface; a move changes neither."""
    firewalls = Firewalls(harness)
    assert harness.apply(SPEC).outcome == "converged"
    spec = _file(tmp_path, SPEC)
    before = _scripts(command, spec, tmp_path / "before")
    assert list(before) == ["fw-a", "fw-b"]
    mac = firewalls.interface()["MacAddress"]
    instances = firewalls.ec2.describe_instances(InstanceIds=list(firewalls.ids.values()))["Reservations"]
    for described in (each["Instances"][0] for each in instances):
        name = next(tag["Value"] for tag in described["Tags"] if tag["Key"] == "Name")
        [primary] = [each for each in described["NetworkInterfaces"] if each["Attachment"]["DeviceIndex"] == 0]
        assert f"device=$(link {primary['MacAddress']})" in before[name]
        assert f"device=$(link {mac})  # service" in before[name]
        assert "priority 5022 from 10.0.1.100 table 5001" in before[name]
        assert f"priority 5022 from {primary['PrivateIpAddress']} table 5000" in before[name]
        # It forwards: what arrives on it leaves by it.
        assert "priority 5012 iif $device table 5001" in before[name]
    firewalls.sicken("fw-a")
    assert harness.apply(SPEC).outcome == "converged"
    assert firewalls.holder() == "fw-b"
    assert _scripts(command, spec, tmp_path / "after") == before


def test_several_instances_need_a_name(harness: Harness, command: Run, tmp_path: Path) -> None:
    Firewalls(harness)
    assert harness.apply(SPEC).outcome == "converged"
    spec = _file(tmp_path, SPEC)
    ran = command("guest", spec, "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert "the spec has several instances: fw-a, fw-b" in ran.stderr
    assert command("guest", spec, "fw-b", "--format", "ip").code == 0


FLOATING = """\
version: 1
stack: floating
region: us-east-1
instances:
  a: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.small}
  b: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.small}
network_interfaces:
  a-eth0:
    subnet: {tags: {Name: lab-a}}
    private_ip: 10.0.1.10
    secondary_private_ips: [10.0.1.50]
    attachment: {instance: a, device_index: 0}
    lifecycle: {ignore: [secondary_private_ips]}
  b-eth0:
    subnet: {tags: {Name: lab-a}}
    private_ip: 10.0.1.11
    attachment: {instance: b, device_index: 0}
    lifecycle: {ignore: [secondary_private_ips]}
"""


def test_a_floating_address_is_on_both(harness: Harness, command: Run, tmp_path: Path) -> None:
    """Another tool moves it: wherever it comes, the guest has it already."""
    lab(harness)
    assert harness.apply(FLOATING).outcome == "converged"
    spec = _file(tmp_path, FLOATING)
    for moved in (False, True):
        if moved:
            ec2 = harness.client()
            [target] = ec2.describe_network_interfaces(
                Filters=[{"Name": "private-ip-address", "Values": ["10.0.1.11"]}]
            )["NetworkInterfaces"]
            ec2.assign_private_ip_addresses(
                NetworkInterfaceId=target["NetworkInterfaceId"],
                PrivateIpAddresses=["10.0.1.50"],
                AllowReassignment=True,
            )
            harness.loop.now += 60
        scripts = _scripts(command, spec, tmp_path / f"moved-{moved}")
        for name in ("a", "b"):
            assert "address -4 10.0.1.50/32" in scripts[name], (name, moved)
            assert "priority 5022 from 10.0.1.50 table 5000" in scripts[name], (name, moved)


def test_what_plan_may_read_is_enough(harness: Harness, command: Run, tmp_path: Path) -> None:
    """The image is not among it; then the advice is that for an unknown one."""
    Firewalls(harness)
    assert harness.apply(SPEC).outcome == "converged"
    harness.obey(SPEC, read_only=True)
    ran = command("guest", _file(tmp_path, SPEC), "fw-a", "--format", "ip")
    assert ran.code == 0
    assert "note: fw-a: it is not known whether its image configures its interfaces by itself" in ran.stderr


def test_a_mistake_in_its_own_rows_is_told(harness: Harness, command: Run, tmp_path: Path) -> None:
    """With its place; a mistake elsewhere is none of this guest's."""
    lab(harness)
    assert harness.apply(FLOATING).outcome == "converged"
    wrong = FLOATING.replace(
        "b-eth0:\n    subnet: {tags: {Name: lab-a}}", "b-eth0:\n    subnet: {tags: {Name: nowhere}}"
    )
    spec = _file(tmp_path, wrong)
    ran = command("guest", spec, "b", "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert "network_interfaces.b-eth0.subnet: no subnet in us-east-1 matches" in ran.stderr
    assert command("guest", spec, "a", "--format", "ip").code == 0


def test_windows_is_refused(harness: Harness, command: Run, tmp_path: Path) -> None:
    Firewalls(harness)
    assert harness.apply(SPEC).outcome == "converged"
    for image in harness.strict.world.data.images.values():
        image.platform = "Windows"
    ran = command("guest", _file(tmp_path, SPEC), "fw-a", "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert "runs Windows" in ran.stderr
