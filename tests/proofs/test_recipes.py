"""The recipes that take a process: the GitHub Action's script, and cfn-lint on the Lambda template."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_recipes import DEPLOY, action
from tests.ec2 import EC2Server
from tests.harness import STORY
from tests.processes.test_cli import server

__all__ = ["server"]


def test_cloudformation_takes_the_template() -> None:
    """cfn-lint knows the schemas of all resources, and finds neither an error nor a warning."""
    lint = Path(sys.executable).with_name("cfn-lint")
    ran = subprocess.run([lint, DEPLOY / "lambda.yaml"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def run_action(tmp_path: Path, **inputs: str) -> tuple[int, str, str, dict[str, str], str]:
    """The action's second step as the runner runs it: exit code, stdout, summary, outputs and stderr."""
    step = action()["runs"]["steps"][1]
    program = tmp_path / "enireconcile" / "bin" / "enireconcile"
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists():
        program.symlink_to(Path(sys.executable).with_name("enireconcile"))
    given = {name: inputs.get(name, value.get("default", "")) for name, value in action()["inputs"].items()}
    filled = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: given[m[1]], v) for name, v in step["env"].items()
    }
    files = {name: tmp_path / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    for file in files.values():
        file.write_text("")
    environment = {**os.environ, **filled, **{name: str(file) for name, file in files.items()}}
    environment["RUNNER_TEMP"] = str(tmp_path)
    script = tmp_path / "step.sh"
    script.write_text(step["run"])
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return ran.returncode, ran.stdout, files["GITHUB_STEP_SUMMARY"].read_text(), told, ran.stderr


@pytest.mark.usefixtures("server")
def test_the_action_writes_the_plan_to_the_summary(tmp_path: Path) -> None:
    code, stdout, summary, told, stderr = run_action(
        tmp_path, specs=str(STORY), args="--detailed-exitcode --target 'elastic_ips.web-1'"
    )
    assert code == 2, stderr
    assert stdout == ""
    assert summary.startswith("<!-- enireconcile plan two-enis -->")
    assert told == {"exit-code": "2", "markdown": str(tmp_path / "enireconcile.md")}
    assert (tmp_path / "enireconcile.md").read_text() == summary


def test_the_action_applies_without_a_question(server: EC2Server, tmp_path: Path) -> None:
    spec = tmp_path / "with blank.yaml"
    spec.write_text("version: 1\nstack: web\nregion: us-east-1\nelastic_ips: {web: {}}\n")
    code, _, summary, told, stderr = run_action(tmp_path, command="apply", specs=f"'{spec}'")
    assert (code, told["exit-code"]) == (0, "0"), stderr
    assert "AllocateAddress" in summary
    assert server.actions(mutating=True) == ["AllocateAddress"]


def test_the_action_tells_what_fails(server: EC2Server, tmp_path: Path) -> None:
    """An unknown command, quotes that do not end, words that look like options or code."""
    assert run_action(tmp_path, command="aply")[0] == 64
    assert "command 'aply' is none of validate, plan" in run_action(tmp_path, command="aply")[1]
    code, *_, stderr = run_action(tmp_path, args="--max-changes '10")
    assert code != 0
    assert "unmatched single quote" in stderr
    code, *_, told, stderr = run_action(tmp_path, specs=f"--prune $(touch {tmp_path}/made) {STORY}")
    assert (code, told["exit-code"]) == (1, "1")
    assert "--prune:1:1: cannot be read" in stderr
    assert not (tmp_path / "made").exists()
    assert server.mutating() == []


def test_the_action_shows_text_as_it_is(tmp_path: Path) -> None:
    code, _, summary, _, stderr = run_action(tmp_path, command="validate", specs=str(STORY))
    assert code == 0, stderr
    assert summary == f"~~~~text\n{STORY}: valid (stack two-enis)\n~~~~\n"
