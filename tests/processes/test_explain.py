"""``enireconcile explain`` on the strict EC2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ec2 import EC2Server
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]

SPEC = str(STORY)
SPARE = "version: 1\nstack: spare\nregion: us-east-1\nelastic_ips: {spare: {}}\n"


def test_a_step_of_a_plan_and_of_a_saved_plan(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """The same words, but for where EC2 is; for the saved one nothing is called, and a file that has changed has
    no places."""
    saved, spec = tmp_path / "a.plan", tmp_path / "spare.yaml"
    spec.write_text(SPARE, encoding="utf-8")
    told = command("explain", str(spec), "elastic_ips.spare")
    assert (told.code, told.stderr) == (0, "")
    at = f" at {server.url}, not AWS"
    assert told.stdout.startswith(f"spare  (account 123456789012, us-east-1{at})\n")
    assert f"{spec}:4:22: the row has no resource yet" in told.stdout
    assert server.mutating() == []
    assert command("plan", "--out", str(saved), str(spec)).code == 0
    server.clear()
    assert command("explain", "--plan", str(saved), "elastic_ips.spare").stdout == told.stdout.replace(at, "")
    spec.write_text(SPARE.replace("spare: {}", "spare: {tags: {a: b}}"), encoding="utf-8")
    changed = command("explain", "--plan", str(saved), "s1")
    assert (changed.code, "AllocateAddress" in changed.stdout, f"{spec}:" in changed.stdout) == (0, True, False)
    assert server.actions() == []


@pytest.mark.usefixtures("server")
def test_json_and_several_specs(command: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spare.yaml"
    spec.write_text(SPARE, encoding="utf-8")
    printed = command("explain", "--output", "json", SPEC, str(spec), "elastic_ips.spare").json
    assert (printed["stack"], printed["action"], len(printed["steps"])) == ("spare", "create", 1)
    both = command("explain", SPEC, str(spec), "s1")
    assert both.code == 1
    assert "s1 is in the plans of the stacks two-enis and spare" in both.stderr
    assert command("explain", "--destroy", str(spec), "elastic_ips.spare").code == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((SPEC,), "give SPEC... or --plan FILE, and then what to explain"),
        (("s1", SPEC), "is a file: write SPEC... first"),
        (("--plan", "a.plan", SPEC, "s1"), "--plan cannot be combined with SPEC"),
        ((), "give SPEC... or --plan FILE"),
    ],
)
def test_wrong_usage(command: Run, args: tuple[str, ...], words: str) -> None:
    ran = command("explain", *args)
    assert ran.code == 64
    assert words in ran.stderr
