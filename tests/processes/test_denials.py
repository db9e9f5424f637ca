"""A call that IAM does not allow: what users read, and where AWS's encoded message is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enireconcile.iam.policy import policy_for
from enireconcile.iam.statements import Asked
from enireconcile.spec import load
from tests.ec2 import EC2Server, Policy
from tests.harness import ENVIRONMENT, STORY
from tests.iam.lint import listed
from tests.processes.test_cli import Run, command, server
from tests.processes.test_outlets import Hook, hook

__all__ = ["command", "hook", "server"]

ENCODED = "Vq3_xY-7" * 80
SPEC = str(STORY)
WORDS = "role ops may not {0} on {1}: no identity-based policy allows ec2:{0}"


def deny(server: EC2Server, action: str, spec: str = SPEC) -> None:
    """From now on our credentials may do what the spec needs, except this."""
    policy, _ = policy_for([load([spec])[0].document], Asked())
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in listed(statement["Action"]) if each != f"ec2:{action}"]
    server.policies[ENVIRONMENT["AWS_ACCESS_KEY_ID"]] = Policy(policy)


@pytest.mark.parametrize("output", ["text", "markdown", "json"])
def test_the_encoded_message_is_in_the_report_only(
    server: EC2Server, command: Run, hook: Hook, tmp_path: Path, output: str
) -> None:
    """Neither text, Markdown, logs at any level, events, metrics, nor the notification have it."""
    deny(server, "AllocateAddress")
    report, metrics = tmp_path / "report.json", tmp_path / "x.prom"
    outlets = ("--report", str(report), "--metrics", str(metrics), "--notify", hook.url)
    ran = command("apply", "-vv", "-y", "--output", output, *outlets, SPEC)
    assert ran.code == 5
    *events, last = ran.stdout.splitlines() if output == "json" else [ran.stdout, "{}"]
    posted = [post.body.decode() for post in hook.posts]
    assert posted
    for text in (*events, ran.stderr, metrics.read_text(), *posted):
        assert ENCODED[:8] not in text
        assert "Encoded authorization" not in text
    told = json.loads(report.read_text())
    denied = [each for each in told["steps"] if each["call"] == "AllocateAddress"]
    assert all(ENCODED[:8] not in each["error"] for each in denied)
    assert [(each["call"], each["encoded_message"]) for each in told["denials"]] == [
        ("AllocateAddress", ENCODED) for _ in denied
    ]
    assert WORDS.format("AllocateAddress", "elastic-ip/*") in denied[0]["error"]
    assert f"`enireconcile iam-policy {SPEC}` prints the IAM policy that the spec needs" in denied[0]["error"]
    if output == "json":
        assert json.loads(last)["denials"] == told["denials"]


def test_a_denied_read(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """Nothing was planned; the report is written all the same."""
    deny(server, "DescribeSubnets")
    report = tmp_path / "report.json"
    ran = command("apply", "-y", "--report", str(report), SPEC)
    assert ran.code == 1
    assert "DescribeSubnets: UnauthorizedOperation: role ops may not DescribeSubnets: no identity" in ran.stderr
    assert ENCODED[:8] not in ran.stdout + ran.stderr
    told: Any = json.loads(report.read_text())
    assert [each["call"] for each in told["denials"]] == ["DescribeSubnets"]
    ran = command("plan", SPEC)
    assert (ran.code, ENCODED[:8] in ran.stdout + ran.stderr) == (1, False)


def test_a_denied_dry_run(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """The calls after a removal are asked for with DryRun; a denial of one refuses the plan."""
    assert command("apply", "-y", SPEC).code == 0
    spec = tmp_path / "larger.yaml"
    row = "instance_type: t2.micro"
    spec.write_text(STORY.read_text().replace(row, "instance_type: t2.small\n    on_change: restart"))
    deny(server, "ModifyInstanceAttribute", str(spec))
    report = tmp_path / "report.json"
    server.clear()
    ran = command("apply", "-y", "--report", str(report), str(spec))
    assert ran.code == 1
    assert "refused before the first change:" in ran.stdout + ran.stderr
    assert "role ops may not ModifyInstanceAttribute on i-" in ran.stdout + ran.stderr
    assert f"iam-policy {spec}" in ran.stdout + ran.stderr
    assert ENCODED[:8] not in ran.stdout + ran.stderr
    told = json.loads(report.read_text())
    assert ENCODED[:8] not in told["error"]
    assert [each["call"] for each in told["denials"]] == ["ModifyInstanceAttribute"]
