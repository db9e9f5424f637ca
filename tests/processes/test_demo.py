"""The tour of ``make demo`` succeeds on a new machine, and runs in the sandbox only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ENVIRONMENT
from tests.vpc.namespace import why_not

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "docs" / "demo.py"
PAGE_SCENE = ROOT / "docs" / "demo_page.py"
PAGE = (
    ("No packets here",)
    if why_not()
    else (
        "warning: instances.web has 2 interfaces in one subnet",
        "Converged: 11 of 11 calls",
        "✓ first",
        "✗ second",
        "look in the guest: `enireconcile guest two-enis.yaml web`",
        "✓ second",
        "All 2 checks passed.",
        "  http://203.0.113.1/  Testing ENI",
        "  http://203.0.113.2/  Testing ENI",
    )
)
MILESTONES = (
    "== 1/8  The spec",
    "network_interfaces:",
    "== 2/8  The plan",
    "Plan: 7 to create",
    "== 3/8  The apply",
    "Converged: 10 of 10 calls",
    "== 4/8  Apply again",
    "Unchanged",
    "all of them were reads",
    "== 5/8  Drift",
    "- tcp 22 from 0.0.0.0/0",
    "Plan: 3 to update, 4 unchanged",
    "== 6/8  Repair",
    "Converged: 3 of 3 calls",
    "No changes: all 7 resources",
    "== 7/8  Destroy",
    "Destroyed",
    "== 8/8  The page",
    *PAGE,
    "== End of the tour",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user: an empty home, no AWS configuration."""
    hidden = ("AWS_", "ENIRECONCILE_", "XDG_STATE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
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


def test_scene_with_packets_needs_no_package_for_development() -> None:
    """`make demo` installs none of these."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('hypothesis', 'jsonschema', 'pytest', 'trustme')));"
        f"sys.path.insert(0, {str(PAGE_SCENE.parent)!r}); import demo_page"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_scene_with_packets_says_why_it_is_left_out(environment: dict[str, str], tmp_path: Path) -> None:
    """Where the kernel forbids namespaces."""
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    for tool in ("ip", "nft"):
        (tmp_path / tool).symlink_to("/bin/true")
    done = subprocess.run(
        [sys.executable, str(PAGE_SCENE)],
        env={**environment, "PATH": f"{tmp_path}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "No packets here, so the scene ends: unshare: unshare failed: Operation not permitted\n"


@pytest.mark.usefixtures("needs_namespaces")
def test_scene_with_packets_leaves_nothing_after_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(PAGE_SCENE)],
        env={**environment, **ENVIRONMENT, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as scene:
        assert scene.stdout is not None
        assert any("The guest runs" in line for line in scene.stdout)
        (child,) = Path(f"/proc/{scene.pid}/task/{scene.pid}/children").read_text().split()
        assert Path(f"/proc/{child}/root/run/netns").is_dir()
        assert list(Path("/run/netns").glob(f"eni-{child}-*")) == [], "the machine sees its namespaces"
        os.killpg(scene.pid, signal.SIGINT)
        _, said = scene.communicate(timeout=60)
    assert scene.returncode == 130
    assert "Traceback" not in said
    assert not Path(f"/proc/{child}").exists()
    assert list(tmp_path.iterdir()) == []
