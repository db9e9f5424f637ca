"""stdout that its reader closes early, or that is full: the outcome and the exit code are those of the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import EC2Server
from tests.harness import ENVIRONMENT, STORY

PROGRAM = [sys.executable, "-m", "enireconcile"]


def begun(server: EC2Server, state: Path, *args: str, stdout: Any) -> subprocess.Popen[str]:
    mine = {"AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(state)}
    environment = {**os.environ, **ENVIRONMENT, **mine}
    return subprocess.Popen(
        [*PROGRAM, *args, str(STORY)], env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def test_a_reader_that_leaves_after_the_plan_does_not_change_the_outcome(
    server: EC2Server, tmp_path: Path
) -> None:
    """`apply -y | head -1`: all calls are made, and the exit code says that the run converged."""
    process = begun(server, tmp_path / "state", "apply", "-y", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("two-enis")
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait(60) == 0, stderr
    assert "Traceback" not in stderr
    process.stderr.close()
    again = begun(server, tmp_path / "state", "plan", "--detailed-exitcode", stdout=subprocess.DEVNULL)
    again.communicate(timeout=60)
    assert again.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_an_error_in_words(server: EC2Server, tmp_path: Path) -> None:
    """Before anything was changed: exit code 1, and nothing is called a bug."""
    with Path("/dev/full").open("w") as full:
        process = begun(server, tmp_path / "state", "apply", "-y", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot write to stdout: No space left on device" in stderr
    assert "bug" not in stderr
    assert server.mutating() == []


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")])
def test_errors_of_rows_are_printed_once_where_both_streams_are_one(
    server: EC2Server, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """`2>&1`, as in most CI systems: the plan on stdout has the errors already."""
    spec = tmp_path / "lab.yaml"
    spec.write_text(
        "version: 1\nstack: lab\nregion: us-east-1\nsecurity_groups: {web: {vpc: {tags: {Name: no}}}}\n"
    )
    mine = {"AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(tmp_path / "state")}
    ran = subprocess.run(
        [*PROGRAM, *command, str(spec)],
        env={**os.environ, **ENVIRONMENT, **mine},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    before_the_report = ran.stdout.partition("Failed: ")[0]
    assert before_the_report.count("lab.yaml:4:") == 1, ran.stdout
