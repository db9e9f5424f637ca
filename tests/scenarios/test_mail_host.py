"""docs/how-to/reverse-dns.md, step by step, on an EC2 that asks for the A records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.harness import SLOW, Harness, open_harness

TEXT = (Path(__file__).parents[2] / "specs" / "mail-host.yaml").read_text(encoding="utf-8")
NAMES = ("mail", "mx1", "mx2", "mx3", "mx4")


def _named(text: str) -> str:
    for name in NAMES[1:]:
        text = text.replace('name: ""', f"name: {name}.example.com", 1)
    return text.replace('reverse_dns: ""', "reverse_dns: mail.example.com", 1)


def _addresses(harness: Harness) -> dict[str, str]:
    """The public addresses by name."""
    records = harness.strict.world.data.addresses.values()
    return {record.tags["enireconcile:name"].partition(".")[2]: record.public_ip for record in records}


def test_allocate_enter_the_records_name(tmp_path: Path) -> None:
    with open_harness(tmp_path, replace(SLOW, forward_dns=True)) as harness:
        assert harness.apply(TEXT).outcome == "converged"
        addresses = _addresses(harness)
        assert sorted(addresses) == sorted(NAMES)
        records = harness.strict.world.data.forward
        records |= {f"{name}.example.com": addresses[name] for name in NAMES if name != "mx3"}
        harness.loop.now += 60
        report = harness.apply(_named(TEXT))
        assert report.exit_code == 5
        tried = [call.params for call in harness.strict.mutating() if call.action == "ModifyAddressAttribute"]
        assert [params["DomainName"] for params in tried].count("mx3.example.com") == 1
        assert "mx3" in str([outcome.error for outcome in report.outcomes if outcome.error])
        records["mx3.example.com"] = addresses["mx3"]
        harness.loop.now += 60
        assert harness.apply(_named(TEXT)).outcome == "converged"
        live = harness.strict.world.data.addresses.values()
        assert {record.ptr for record in live} == {f"{name}.example.com." for name in NAMES}
        assert harness.plan(_named(TEXT)).empty
        assert harness.apply(_named(TEXT), destroy=True).outcome == "converged"
        assert not harness.strict.world.data.addresses
