"""Every spec in specs/ does what it says: applied, kept and removed again on the strict EC2."""

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
    stands(harness, text)
    gone = harness.apply(_nothing(name), prune=True)
    assert (gone.outcome, gone.error) == ("converged", None), str(gone)
    mine = [{"Name": "tag:enireconcile:stack", "Values": [name]}]
    ec2 = harness.client()
    assert ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"] == []
    assert ec2.describe_addresses(Filters=mine)["Addresses"] == []
    assert ec2.describe_security_groups(Filters=mine)["SecurityGroups"] == []


def stands(harness: Harness, text: str) -> None:
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


@every_spec
def test_a_spec_has_a_page(name: str) -> None:
    """A how-to, or the tutorial, leads to each spec."""
    pages = (Path(__file__).parents[2] / "docs").rglob("*.md")
    assert any(f"specs/{name}.yaml)" in page.read_text(encoding="utf-8") for page in pages)
