"""``enireconcile graph`` and ``plan --graph`` on the strict EC2."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.ec2 import EC2Server
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]

SPEC = str(STORY)
ROOT = STORY.parents[1]


def heading(svg: str) -> str:
    return ElementTree.fromstring(svg).findtext("{*}title") or ""  # noqa: S314 - we wrote it


def test_a_spec_is_drawn_without_a_call_to_aws(server: EC2Server, command: Run) -> None:
    drawn = {name: command("graph", "--format", name, SPEC).stdout for name in ("mermaid", "dot", "svg")}
    title = "two-enis in us-east-1"
    assert drawn["mermaid"].startswith(f'---\ntitle: "{title} · default VPC"\n---\nflowchart LR\n')
    assert drawn["dot"].startswith("digraph {\n")
    assert heading(drawn["svg"]) == title
    assert command("graph", SPEC).stdout == drawn["mermaid"]
    assert server.actions() == []


def test_the_picture_of_the_readme_is_current(command: Run) -> None:
    """Made by ``enireconcile graph --format svg specs/two-enis.yaml > docs/images/two-enis.svg``."""
    image = ROOT / "docs" / "images" / "two-enis.svg"
    assert command("graph", "--format", "svg", SPEC).stdout == image.read_text(encoding="utf-8")


def test_the_chart_in_the_docs_is_current(command: Run) -> None:
    page = (ROOT / "docs" / "how-to" / "picture.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{command('graph', SPEC).stdout}```\n" in page


def test_what_is_and_what_changes(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """Before an apply and after it, and with --live only what show reads, too."""
    picture = tmp_path / "changes.svg"
    ran = command("plan", "--graph", str(picture), SPEC)
    assert ran.code == 0
    assert "7 to create" in ran.stdout
    before = picture.read_text(encoding="utf-8")
    at = f" at {server.url}, not AWS"
    assert heading(before) == f"two-enis in us-east-1{at}, plan"
    assert ">+ created</text>" in before
    assert command("apply", "-y", SPEC).code == 0
    server.clear()
    ran = command("graph", "--live", "--format", "svg", SPEC)
    assert heading(ran.stdout) == f"two-enis in us-east-1{at}, live"
    assert sorted(server.actions()) == [
        *("DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"),
        *("DescribeSubnets", "DescribeVpcs", "GetCallerIdentity"),
    ]
    for address in server.client("ec2").describe_addresses()["Addresses"]:
        assert f">{address['PublicIp']}</text>" in ran.stdout
        assert f">{address['PrivateIpAddress']}</text>" in ran.stdout
    chart = tmp_path / "destroy.mmd"
    assert command("plan", "--destroy", "--graph", str(chart), SPEC).code == 0
    drawn = chart.read_text(encoding="utf-8")
    assert "(− removed)" in drawn
    assert f'title: "two-enis in us-east-1{at}, plan · default VPC"' in drawn


def test_a_picture_needs_a_suffix_that_names_its_format(server: EC2Server, command: Run) -> None:
    ran = command("plan", "--graph", "picture.png", SPEC)
    assert (ran.code, ran.stdout) == (64, "")
    assert "'picture.png' must end in one of .svg, .mmd, .dot" in ran.stderr
    assert server.actions() == []


@pytest.mark.usefixtures("server")
def test_a_picture_that_cannot_be_written(command: Run, tmp_path: Path) -> None:
    ran = command("plan", "--graph", str(tmp_path / "nowhere" / "plan.svg"), SPEC)
    assert (ran.code, ran.stdout) == (1, "")
    assert "cannot write the picture" in ran.stderr


def test_live_reads_the_account_of_the_spec_only(server: EC2Server, command: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text('version: 1\nstack: other\nregion: us-east-1\naccount_id: "999999999999"\n')
    ran = command("graph", "--live", str(spec))
    assert (ran.code, ran.stdout) == (3, "")
    assert "the spec is for account 999999999999" in ran.stderr
    assert server.actions()


def test_several_stacks_are_one_picture(command: Run) -> None:
    both = command("graph", "--format", "svg", SPEC, str(ROOT / "specs" / "mail-host.yaml")).stdout
    assert heading(both) == "two-enis, mail-host in us-east-1"
    assert ">two-enis/web</text>" in both
    assert ">mail-host/mail</text>" in both
