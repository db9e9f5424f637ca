"""Every format of two guests, to the letter; and what the programs that read them say, where there are any."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from enireconcile.guest import formats
from enireconcile.guest.model import Guest
from enireconcile.guest.output import File
from tests.guest.guests import four, guest, link, two_in_one_subnet, two_in_two_subnets

GOLDEN = Path(__file__).parent / "golden"


def _firewall() -> Guest:
    """A firewall on two legs, of which the outer one has the public address, with a delegated prefix."""
    made = two_in_two_subnets(publishes=True)
    outer, inner = (replace(each, forwards=True, public=each.primary) for each in made.links)
    return replace(made, links=(outer, inner))


GUESTS = {"story": two_in_one_subnet(), "firewall": _firewall()}


def rendered(name: str, made: Guest) -> str:
    """What ``guest --format`` prints."""
    if name == formats.CLOUD_INIT:
        return formats.cloud_config(formats.BACKENDS["networkd"], made)
    style = formats.BACKENDS[name]
    return formats.printed(style, style.files(made))


@pytest.mark.parametrize("name", formats.NAMES)
@pytest.mark.parametrize("guest_name", GUESTS)
def test_output_is_golden(name: str, guest_name: str) -> None:
    assert rendered(name, GUESTS[guest_name]) == (GOLDEN / f"{guest_name}.{name}").read_text(encoding="utf-8")


@pytest.mark.parametrize("backend", formats.BACKENDS)
def test_every_file_says_whence_it_is(backend: str) -> None:
    style = formats.BACKENDS[backend]
    for file in style.files(_firewall()):
        assert "Made by `enireconcile guest` for instances.web of the stack lab." in file.text
        assert file.text.endswith("\n")
        assert file.path.startswith("/")
        assert file.mode in (0o644, 0o755, 0o600)


@pytest.mark.parametrize("backend", formats.BACKENDS)
def test_a_link_is_matched_by_its_mac_address_and_never_by_a_name(backend: str) -> None:
    text = rendered(backend, two_in_one_subnet())
    for each in two_in_one_subnet().links:
        assert each.mac in text
    assert "ens" not in text.replace("enireconcile", "")
    assert not re.search(r"\beth\d", text.replace("web-eth", ""))


def test_networkd_has_all_rules_of_the_model() -> None:
    """networkd removes rules that are not its own: it must have each of them."""
    text = rendered("networkd", two_in_one_subnet())
    assert text.count("[RoutingPolicyRule]") == 3 * len(("10.0.1.10", "10.0.1.20", "10.0.1.21"))
    assert text.count("SuppressPrefixLength=0") == 2 * 3


def _written(root: Path, files: tuple[File, ...]) -> None:
    for file in files:
        path = root / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(file.mode)


@pytest.mark.parametrize("made", GUESTS.values(), ids=GUESTS)
def test_netplan_generates_what_networkd_finds_first(made: Guest, tmp_path: Path) -> None:
    """netplan understands the YAML, and the drop-ins are beside the files that it generates."""
    if shutil.which("netplan") is None:
        pytest.skip("needs netplan")
    _written(tmp_path, formats.BACKENDS["netplan"].files(made))
    done = subprocess.run(
        ["netplan", "generate", "--root-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for each in made.links:
        generated = (tmp_path / f"run/systemd/network/10-netplan-00-lab.{each.name}.network").read_text()
        assert each.mac in generated
        assert f"Table={each.table}" in generated
        assert (
            tmp_path / f"etc/systemd/network/10-netplan-00-lab.{each.name}.network.d/enireconcile.conf"
        ).is_file()


def _keys(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.mark.parametrize("made", GUESTS.values(), ids=GUESTS)
def test_networkmanager_understands_the_rules_and_routes(made: Guest) -> None:
    if shutil.which("nmcli") is None:
        pytest.skip("needs nmcli")
    for file in formats.BACKENDS["networkmanager"].files(made)[: len(made.links)]:
        done = subprocess.run(
            ["nmcli", "--offline", "connection", "modify", "connection.zone", ""],
            input=file.text,
            capture_output=True,
            text=True,
            check=False,
        )
        if "--offline" in done.stderr:
            pytest.skip("needs nmcli 1.40, which reads keyfiles without a daemon")
        assert (done.returncode, done.stderr) == (0, "")
        mine, theirs = _keys(file.text), _keys(done.stdout)
        for section, prefix in (("ipv4", "rou"), ("ipv6", "rou"), ("ipv4", "addr"), ("ipv6", "address")):
            wanted = {key for key in mine[section] if key.startswith(prefix)}
            assert wanted <= theirs[section].keys(), section


def _bootcmd(text: str) -> str:
    [script] = yaml.safe_load(text)["bootcmd"]
    assert isinstance(script, str)
    return script


@pytest.mark.parametrize("backend", formats.BACKENDS)
def test_cloud_init_writes_the_files_once(backend: str, tmp_path: Path) -> None:
    """The script of the part writes each file with its mode; at the next boot it changes nothing."""
    style = formats.BACKENDS[backend]
    made = _firewall()
    files = style.files(made)
    script = _bootcmd(formats.cloud_config(style, made))
    for file in files:
        script = script.replace(f"put {file.mode:04o} {file.path} ", f"put {file.mode:04o} {tmp_path}{file.path} ")
    before, _, _ = script.partition('if [ -n "$changed" ]; then\n')
    outcomes = []
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-eu", "-c", f'{before}\necho "changed=$changed"'], capture_output=True, text=True, check=False
        )
        outcomes.append((done.stdout, done.stderr))
    assert outcomes == [("changed=yes\n", ""), ("changed=\n", "")]
    for file in files:
        path = tmp_path / file.path.lstrip("/")
        assert path.read_text() == file.text
        assert path.stat().st_mode & 0o777 == file.mode
    assert [path.name for path in tmp_path.rglob("*.new")] == []
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


_MERGE = """
import json, sys
from cloudinit import handlers
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
class Paths:
    def get_ipath(self, *names): return sys.argv[1]
handler = CloudConfigPartHandler(Paths())
def give(kind, name, text): handler.handle_part(None, kind, name, text, "always", {})
give(handlers.CONTENT_START, None, None)
for number, part in enumerate(json.load(sys.stdin)):
    give("text/cloud-config", f"part-{number}", part)
give(handlers.CONTENT_END, None, None)
"""


def test_cloud_init_merges_it_with_what_the_user_has(tmp_path: Path) -> None:
    """A ``bootcmd`` of the user's own stays, and comes first."""
    python = "/usr/bin/python3"
    if importlib.util.find_spec("cloudinit") is None and (
        not Path(python).exists()
        or subprocess.run([python, "-c", "import cloudinit"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("needs cloud-init")
    mine = "#cloud-config\nbootcmd: [echo mine]\npackages: [nginx]\n"
    out = tmp_path / "merged.yaml"
    parts = json.dumps([mine, rendered(formats.CLOUD_INIT, two_in_one_subnet())])
    subprocess.run([python, "-c", _MERGE, str(out)], input=parts, text=True, check=True, capture_output=True)
    merged: dict[str, Any] = yaml.safe_load(out.read_text())
    assert merged["packages"] == ["nginx"]
    assert merged["bootcmd"][0] == "echo mine"
    assert "05-enireconcile-lab.web-eth0.network" in merged["bootcmd"][1]


def test_a_prefix_is_a_source_and_no_address() -> None:
    made = guest(link(0, four("10.0.1.10", prefixes=("10.0.1.32/28",))))
    assert "From=10.0.1.32/28" in rendered("networkd", made)
    assert "Address=10.0.1.32" not in rendered("networkd", made)
    assert "priority 5022 from 10.0.1.32/28 table 5000" in rendered("ip", made)


@pytest.mark.parametrize("backend", formats.BACKENDS)
def test_two_stacks_on_one_guest_have_files_of_their_own(backend: str) -> None:
    """What both configure, the primary interface of an instance outside of one, is as its own stack says."""
    mine, style = _firewall(), formats.BACKENDS[backend]
    shared, own = mine.links
    theirs = replace(mine, stack="other", links=(replace(shared, name="eni-0123", shared=True), own))
    paths = [{file.path for file in style.files(each)} for each in (mine, theirs)]
    assert not paths[0] & paths[1]
    if backend in ("networkd", "netplan"):
        found = [path for path in sorted(paths[0] | paths[1]) if "eth0" in path or "eni-0123" in path]
        assert "lab.web-eth0" in found[0]
