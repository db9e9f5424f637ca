"""Every spec in specs/ does what it says: applied and kept on both EC2s, and removed again on the strict one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from .ec2 import Quotas
from .firewalls import Firewalls
from .house import SLOW, House, open_house
from .premises import lab

SPECS = {path.stem: path for path in sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))}
assert SPECS, "the specs are missing"
every_spec = pytest.mark.parametrize("name", SPECS)
UBUNTU = '{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", owner: "099720109477"}'
AMAZON = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"


def prepared(name: str, house: House) -> str:
    """What a spec presupposes is there; its text."""
    if name == "ha-failover":
        Firewalls(house)
    else:
        lab(house)
    return SPECS[name].read_text(encoding="utf-8")


def _nothing(name: str) -> str:
    head = yaml.safe_load(SPECS[name].read_text(encoding="utf-8"))
    return f"version: 1\nstack: {head['stack']}\nregion: {head['region']}\n"


def _lives(house: House, name: str, text: str) -> None:
    """Applied, at rest, removed."""
    _stands(house, text)
    gone = house.apply(_nothing(name), prune=True)
    assert (gone.outcome, gone.error) == ("converged", None), str(gone)
    mine = [{"Name": "tag:enireconcile:stack", "Values": [name]}]
    ec2 = house.client()
    assert ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"] == []
    assert ec2.describe_addresses(Filters=mine)["Addresses"] == []
    assert ec2.describe_security_groups(Filters=mine)["SecurityGroups"] == []


def _stands(house: House, text: str) -> None:
    """Applied, and at rest."""
    report = house.apply(text)
    assert (report.outcome, report.error) == ("converged", None), str(report)
    assert house.plan(text).empty
    _assert_wired(house, yaml.safe_load(text))


def _assert_wired(house: House, spec: dict[str, Any]) -> None:
    """Each interface is at its index with its check flag, each address on its interface, as EC2 tells it."""
    ec2 = house.client()
    mine = [{"Name": "tag:enireconcile:stack", "Values": [spec["stack"]]}]
    interfaces = {
        _name(found["TagSet"]): found
        for found in ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    }
    assert set(interfaces) == set(spec["network_interfaces"])
    for name, row in spec["network_interfaces"].items():
        found = interfaces[name]
        assert found["Attachment"]["DeviceIndex"] == row["attachment"]["device_index"]
        assert found["SourceDestCheck"] is row.get("source_dest_check", True)
        assert row.get("private_ip", found["PrivateIpAddress"]) == found["PrivateIpAddress"]
    addresses = {_name(found["Tags"]): found for found in ec2.describe_addresses(Filters=mine)["Addresses"]}
    assert set(addresses) == set(spec["elastic_ips"])
    for name, row in spec["elastic_ips"].items():
        target = interfaces[row["association"]["network_interface"]]
        assert addresses[name]["NetworkInterfaceId"] == target["NetworkInterfaceId"]


def _name(tags: list[dict[str, str]]) -> str:
    return next(tag["Value"].partition(".")[2] for tag in tags if tag["Key"] == "enireconcile:name")


@every_spec
def test_on_the_strict_ec2(name: str, tmp_path: Path) -> None:
    """Applied, read back, at rest, destroyed without a trace; with a quota of addresses that is enough for ten."""
    with open_house(tmp_path, replace(SLOW, quotas=Quotas(addresses=10))) as house:
        _lives(house, name, prepared(name, house))


GAPS = {"many-addresses": "moto shows every Elastic IP of an interface on its primary private address"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xfail(reason=GAPS[name]) if name in GAPS else ()) for name in SPECS],
)
def test_on_moto(name: str, moto_house: House) -> None:
    """Applied and at rest on a foreign EC2, which knows no such Ubuntu and never lets go of an interface."""
    _stands(moto_house, prepared(name, moto_house).replace(UBUNTU, AMAZON))


def test_ten_addresses_on_moto_as_far_as_it_goes(moto_house: House) -> None:
    """All are allocated and lead to the interface; moto tells a quota of five, keeps none, and refuses none."""
    text = prepared("many-addresses", moto_house)
    [warning] = moto_house.plan(text).warnings
    assert warning.startswith("the account has 0 of 5 Elastic IPs, the spec allocates 10; that quota")
    assert moto_house.apply(text).outcome == "partial"
    mine = [{"Name": "tag:enireconcile:stack", "Values": ["many-addresses"]}]
    [interface] = moto_house.client().describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    on = [each["NetworkInterfaceId"] for each in moto_house.client().describe_addresses()["Addresses"]]
    assert on == [interface["NetworkInterfaceId"]] * 10


@every_spec
def test_a_spec_has_a_page(name: str) -> None:
    """A how-to, or the tutorial, leads to each spec."""
    pages = (Path(__file__).parent.parent / "docs").rglob("*.md")
    assert any(f"specs/{name}.yaml)" in page.read_text(encoding="utf-8") for page in pages)
