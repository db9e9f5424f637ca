"""The tour of ``make demo`` succeeds on a new machine, and runs in the sandbox only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "docs" / "demo.py"
MILESTONES = (
    "== 1/7  The spec",
    "network_interfaces:",
    "== 2/7  The plan",
    "Plan: 7 to create",
    "== 3/7  The apply",
    "Converged: 10 of 10 calls",
    "== 4/7  Apply again",
    "Unchanged",
    "all of them were reads",
    "== 5/7  Drift",
    "- tcp 22 from 0.0.0.0/0",
    "Plan: 3 to update, 4 unchanged",
    "== 6/7  Repair",
    "Converged: 3 of 3 calls",
    "No changes: all 7 resources",
    "== 7/7  Destroy",
    "Converged: ",
    "== End of the tour",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user: an empty home, no AWS configuration."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ENIRECONCILE_", "XDG_"))
    }
    return {**kept, "HOME": str(tmp_path)}


def test_tour_passes_its_milestones_in_order(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "enireconcile", "sandbox", "--", sys.executable, str(DEMO)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rest = done.stdout
    for milestone in MILESTONES:
        before, found, rest = rest.partition(milestone)
        assert found, f"{milestone!r} does not follow; before it came:\n{before}"
    assert "\x1b" not in done.stdout, "colours are for terminals"
    assert list(Path(environment["HOME"]).iterdir()) == [], "the tour leaves nothing behind"


@pytest.mark.parametrize("endpoint", [None, "https://ec2.us-east-1.amazonaws.com"])
def test_tour_refuses_to_run_on_an_account(environment: dict[str, str], endpoint: str | None) -> None:
    if endpoint:
        environment["AWS_ENDPOINT_URL"] = endpoint
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 64
    assert "make demo" in done.stderr
    assert done.stdout == ""
