"""``enireconcile guest`` on the strict EC2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.ec2 import EC2Server
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]

SPEC = str(STORY)


@pytest.fixture
def applied(server: EC2Server, command: Run) -> EC2Server:
    """The story, applied."""
    assert command("apply", "-y", SPEC).code == 0
    return server


def _described(server: EC2Server) -> dict[str, dict[str, str]]:
    """The story's interfaces by their names."""
    found = server.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    return {next(tag["Value"] for tag in each["TagSet"] if tag["Key"] == "Name"): each for each in found}


def test_a_guest_is_told_by_mac_address(applied: EC2Server, command: Run) -> None:
    """The script names the MAC address and the address of each interface, and reads only."""
    applied.clear()
    ran = command("guest", SPEC, "--format", "ip")
    assert (ran.code, applied.actions(mutating=True)) == (0, [])
    assert ran.stdout.startswith("#!/bin/sh\n")
    for table, name in ((5000, "web-eth0"), (5001, "web-eth1")):
        interface = _described(applied)[name]
        assert f"device=$(link {interface['MacAddress']})  # {name}" in ran.stdout
        assert f"priority 5022 from {interface['PrivateIpAddress']} table {table}" in ran.stdout
    assert "Amazon Linux 2023 configures its interfaces by itself" in ran.stderr
    assert "/usr/local/sbin/enireconcile-guest-two-enis (mode 0755)" in ran.stderr
    assert (
        "`--out DIR` also writes what does that: /etc/systemd/system/enireconcile-guest-two-enis.s" in ran.stderr
    )
    assert "systemctl" not in ran.stderr, "its unit was not printed"


def test_files_are_written_below_a_directory(applied: EC2Server, command: Run, tmp_path: Path) -> None:
    ran = command("guest", SPEC, "web", "--format", "networkd", "--out", str(tmp_path / "new"))
    assert (ran.code, ran.stdout) == (0, "")
    folder = tmp_path / "new/etc/systemd/network"
    assert sorted(path.name for path in folder.iterdir()) == [
        "05-enireconcile-two-enis.web-eth0.network",
        "05-enireconcile-two-enis.web-eth1.network",
    ]
    mac = _described(applied)["web-eth1"]["MacAddress"]
    assert f"MACAddress={mac}\n" in (folder / "05-enireconcile-two-enis.web-eth1.network").read_text()
    ran = command("guest", SPEC, "--format", "ip", "--out", str(tmp_path / "script"))
    script = tmp_path / "script/usr/local/sbin/enireconcile-guest-two-enis"
    assert (ran.code, script.stat().st_mode & 0o700) == (0, 0o700)


@pytest.mark.usefixtures("applied")
def test_two_stacks_may_use_one_name(command: Run, tmp_path: Path) -> None:
    """Neither the files of one nor the other are lost, and one instance is not taken for the other."""
    specs = tmp_path / "specs"
    specs.mkdir()
    story = STORY.read_text()
    (specs / "a.yaml").write_text(story)
    other = story.replace("stack: two-enis", "stack: other").replace("my-sg-", "other-sg-")
    (specs / "b.yaml").write_text(other)
    assert command("apply", "-y", str(specs / "b.yaml")).code == 0
    ran = command("guest", str(specs), "web", "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert f"several specs have an instance web: {specs}/a.yaml, {specs}/b.yaml" in ran.stderr
    assert command("guest", str(specs), "--format", "ip", "--out", str(tmp_path / "out")).code == 0
    for name in ("two-enis", "other"):
        [script] = (tmp_path / "out" / name / "web/usr/local/sbin").iterdir()
        assert f"of the stack {name}." in script.read_text()


@pytest.mark.usefixtures("applied")
def test_modes_do_not_depend_on_the_umask(command: Run, tmp_path: Path) -> None:
    """The daemons that read them are not root, and a copy of the folders must not close those of the guest."""
    out, before = tmp_path / "out", os.umask(0o077)
    try:
        ran = command("guest", SPEC, "--format", "networkd", "--out", str(out))
    finally:
        os.umask(before)
    assert ran.code == 0
    modes = {path.is_dir(): oct(path.stat().st_mode & 0o777) for path in (out, *out.rglob("*"))}
    assert modes == {True: "0o755", False: "0o644"}


@pytest.mark.usefixtures("server")
def test_an_unknown_instance_is_refused(command: Run) -> None:
    ran = command("guest", SPEC, "wbe", "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == "error: the spec has no instance wbe\n  hint: did you mean `web`?\n"


@pytest.mark.usefixtures("server")
def test_interfaces_must_be_made_first(command: Run) -> None:
    ran = command("guest", SPEC, "--format", "ip")
    assert (ran.code, ran.stdout) == (1, "")
    assert "network_interfaces.web-eth0 and network_interfaces.web-eth1 are not made yet" in ran.stderr
    assert "hint: apply the spec first" in ran.stderr


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("args", "begins", "says"),
    [
        (
            ("--format", "netplan"),
            "# ---- /etc/netplan/60-enireconcile-two-enis.yaml\n",
            "then run there: netplan apply",
        ),
        (("--format", "networkmanager"), "# ---- /etc/NetworkManager/", "nmcli connection up"),
        (("--format", "cloud-init"), "#cloud-config\n", "this is a part of user data"),
        (("--format", "cloud-init", "--backend", "ip"), "#cloud-config\n", "this is a part of user data"),
        (
            ("--format", "networkd", "--published-ports"),
            "# ---- ",
            "systemctl enable --now enireconcile-marks-two-enis.service",
        ),
    ],
)
def test_every_format_says_what_to_do(args: tuple[str, ...], begins: str, says: str, command: Run) -> None:
    ran = command("guest", SPEC, *args)
    assert ran.code == 0
    assert ran.stdout.startswith(begins)
    assert says in ran.stderr


def test_a_backend_is_for_cloud_init_only(command: Run) -> None:
    assert command("guest", SPEC, "--format", "ip", "--backend", "ip").code == 64


@pytest.mark.usefixtures("applied")
def test_without_a_format_it_is_what_the_image_reads(command: Run) -> None:
    """Amazon Linux 2023 has systemd-networkd."""
    assert command("guest", SPEC).stdout.startswith(
        "# ---- /etc/systemd/network/05-enireconcile-two-enis.web-eth0.network\n"
    )
    assert "put 0644 /etc/systemd/network/05-" in command("guest", SPEC, "--format", "cloud-init").stdout
