"""Every spec in specs/ does what it says: applied and kept on both EC2s, and removed again on the strict one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from enireconcile.spec import Document
from tests.ec2 import Quotas
from tests.harness import SLOW, Harness, open_harness
from tests.lab_vpc import lab
from tests.scenarios.firewalls import Firewalls

SPECS = {path.stem: path for path in sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))}
assert SPECS, "the specs are missing"
every_spec = pytest.mark.parametrize("name", SPECS)
UBUNTU = '{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", owner: "099720109477"}'
AMAZON = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"


def prepared(name: str, harness: Harness) -> str:
    """What a spec presupposes is there; its text."""
    if name == "ha-failover":
        Firewalls(harness)
    else:
        lab(harness)
    return SPECS[name].read_text(encoding="utf-8")


def _nothing(name: str) -> str:
    head = yaml.safe_load(SPECS[name].read_text(encoding="utf-8"))
    return f"version: 1\nstack: {head['stack']}\nregion: {head['region']}\n"


def _lives(harness: Harness, name: str, text: str) -> None:
    """Applied, at rest, removed."""
    _stands(harness, text)
    gone = harness.apply(_nothing(name), prune=True)
    assert (gone.outcome, gone.error) == ("converged", None), str(gone)
    mine = [{"Name": "tag:enireconcile:stack", "Values": [name]}]
    ec2 = harness.client()
    assert ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"] == []
    assert ec2.describe_addresses(Filters=mine)["Addresses"] == []
    assert ec2.describe_security_groups(Filters=mine)["SecurityGroups"] == []


def _stands(harness: Harness, text: str) -> None:
    """Applied, and at rest."""
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None), str(report)
    assert harness.plan(text).empty
    _assert_wired(harness, harness.spec(text).document)


def _assert_wired(harness: Harness, spec: Document) -> None:
    """Each interface is at its index with its check flag, each address on its interface, as EC2 tells it."""
    ec2 = harness.client()
    mine = [{"Name": "tag:enireconcile:stack", "Values": [spec.stack]}]
    interfaces = {
        _name(found["TagSet"]): found
        for found in ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    }
    assert set(interfaces) == set(spec.network_interfaces)
    for name, row in spec.network_interfaces.items():
        found = interfaces[name]
        assert row.attachment is not None
        assert found["Attachment"]["DeviceIndex"] == row.attachment.device_index
        assert found["SourceDestCheck"] is row.source_dest_check
        assert (row.private_ip or found["PrivateIpAddress"]) == found["PrivateIpAddress"]
    addresses = {_name(found["Tags"]): found for found in ec2.describe_addresses(Filters=mine)["Addresses"]}
    assert set(addresses) == set(spec.elastic_ips)
    for name, address in spec.elastic_ips.items():
        assert address.association is not None
        target = interfaces[str(address.association.network_interface)]
        assert addresses[name]["NetworkInterfaceId"] == target["NetworkInterfaceId"]


def _name(tags: list[dict[str, str]]) -> str:
    return next(tag["Value"].partition(".")[2] for tag in tags if tag["Key"] == "enireconcile:name")


@every_spec
def test_on_the_strict_ec2(name: str, tmp_path: Path) -> None:
    """Applied, read back, at rest, destroyed without a trace; with a quota of addresses that is enough for ten."""
    with open_harness(tmp_path, replace(SLOW, quotas=Quotas(addresses=10))) as harness:
        _lives(harness, name, prepared(name, harness))


GAPS = dict.fromkeys(
    ("mail-host", "many-addresses"), "moto shows every Elastic IP of an interface on its primary private address"
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xfail(reason=GAPS[name]) if name in GAPS else ()) for name in SPECS],
)
def test_on_moto(name: str, moto_harness: Harness) -> None:
    """Applied and at rest on a foreign EC2, which knows no such Ubuntu and never lets go of an interface."""
    _stands(moto_harness, prepared(name, moto_harness).replace(UBUNTU, AMAZON))


def test_ten_addresses_on_moto_as_far_as_it_goes(moto_harness: Harness) -> None:
    """All are allocated and lead to the interface; moto tells a quota of five, keeps none, and refuses none."""
    text = prepared("many-addresses", moto_harness)
    [warning] = moto_harness.plan(text).warnings
    assert warning.startswith("the account has 0 of 5 Elastic IPs, the spec allocates 10; this endpoint")
    assert moto_harness.apply(text).outcome == "partial"
    mine = [{"Name": "tag:enireconcile:stack", "Values": ["many-addresses"]}]
    [interface] = moto_harness.client().describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    on = [each["NetworkInterfaceId"] for each in moto_harness.client().describe_addresses()["Addresses"]]
    assert on == [interface["NetworkInterfaceId"]] * 10


@every_spec
def test_a_spec_has_a_page(name: str) -> None:
    """A how-to, or the tutorial, leads to each spec."""
    pages = (Path(__file__).parents[2] / "docs").rglob("*.md")
    assert any(f"specs/{name}.yaml)" in page.read_text(encoding="utf-8") for page in pages)
