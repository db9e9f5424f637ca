"""--html: the page is there whatever the outcome, and says what happened."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from enireconcile.outputs.outlet import Outlet
from tests.ec2 import EC2Server, Fail, Hook
from tests.harness import STORY
from tests.outputs.test_html import Page, words
from tests.processes.test_cli import BROKEN, Run, command, server
from tests.processes.test_planfile import one, spec
from tests.processes.test_watch import Watching, watching

__all__ = ["command", "server", "spec", "watching"]
SPEC = str(STORY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def page(path: Path) -> Page:
    return Page(path.read_text())


def title(path: Path) -> str:
    return words(page(path).one("title"))


def pictures(path: Path) -> list[str]:
    """The titles of the pictures, which are those of what unfolds and is no list of parameters."""
    return [title for each in page(path).all("summary") if not (title := words(each)).startswith("Parameters")]


def test_plan_and_apply_and_nothing_to_do(server: EC2Server, command: Run, path: Path) -> None:
    """The plan; then what came of it, with the request id of each call; then that nothing differs."""
    assert command("plan", "--html", str(path), SPEC).code == 0
    assert title(path) == "enireconcile plan: two-enis"
    assert "Plan: 7 to create, 0 unchanged." in page(path).text
    assert pictures(path) == ["What the plan changes", "After the plan"]
    assert server.mutating() == []
    ran = command("apply", "-y", "--output", "json", "--html", str(path), SPEC)
    steps = ran.lines[-1]["steps"]
    assert all(step["request_id"] for step in steps)
    assert len({step["request_id"] for step in steps}) == len(steps) == 10
    assert all(step["request_id"] in page(path).section("steps") for step in steps)
    assert "Converged: 10 of 10 calls" in page(path).text
    assert pictures(path) == ["What the plan changes", "After the run"]
    addresses = [each["PublicIp"] for each in server.client().describe_addresses()["Addresses"]]
    assert all(address in page(path).section("addresses") for address in addresses)
    assert command("apply", "-y", "--html", str(path), SPEC).code == 0
    assert ("Unchanged: everything matches the spec." in page(path).text, pictures(path)) == (
        True,
        ["What is there"],
    )


@pytest.mark.usefixtures("server")
def test_a_refused_and_a_destroyed_stack(command: Run, spec: Path, path: Path) -> None:
    command("apply", "-y", str(spec))
    assert command("destroy", "-y", "--html", str(path), str(spec)).code == 3
    assert title(path) == "enireconcile destroy: one"
    assert "Refused: nothing was changed." in page(path).text
    assert page(path).section("steps").startswith("EC2 calls of the plan None of them was made.")
    assert pictures(path) == ["What the plan changes", "Before"]
    assert command("destroy", "-y", "--allow-destroy", "--html", str(path), str(spec)).code == 0
    assert "✓ done" in page(path).section("steps")


def test_a_run_that_stops_halfway(server: EC2Server, command: Run, path: Path) -> None:
    """What EC2 refused, with the request id; what was done; and how the stack is now."""
    server.faults.add(Fail("RunInstances", code="InsufficientInstanceCapacity", message="No capacity."))
    ran = command("apply", "-y", "--output", "json", "--html", str(path), SPEC)
    assert ran.code == 5
    [failed] = [step for step in ran.lines[-1]["steps"] if step["status"] == "failed"]
    assert failed["request_id"] in failed["error"]
    told = (
        rf"✗ failed in {failed['seconds']:.1f} s at [\d:]{{8}} UTC , \+\d\.\d\d s request {failed['request_id']}"
    )
    assert re.search(told, page(path).section("steps"))
    assert "After the run" in pictures(path)


def test_a_run_that_ctrl_c_stops(server: EC2Server, command: Run, path: Path) -> None:
    server.faults.add(Hook("CreateSecurityGroup", callback=lambda _: os.kill(os.getpid(), signal.SIGINT)))
    assert command("apply", "-y", "--html", str(path), SPEC).code == 5
    assert "Stopped before converging:" in page(path).text
    assert "stopped before it began" in page(path).section("steps")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["apply", "destroy", "watch"])
def test_a_bad_spec(command: Run, tmp_path: Path, path: Path, name: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(BROKEN)
    assert command(name, "-y", "--html", str(path), str(bad)).code == 1
    assert title(path) == f"enireconcile {name}: (no stack)"
    assert "did you mean `image`?" in page(path).text


def test_several_specs_in_one_page(server: EC2Server, command: Run, tmp_path: Path, path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(one(name))
    specs = [str(tmp_path / f"{name}.yaml") for name in ("one", "two")]
    assert command("plan", "--html", str(path), *specs).code == 0
    assert title(path) == "enireconcile plan: 2 stacks"
    assert command("apply", "-y", "--html", str(path), *specs).code == 0
    names = [name for level, name in page(path).headings if level == 2]
    where = f"123456789012 us-east-1 {server.url}, not AWS"
    assert names == ["Stacks", f"one {where}", f"two {where}"]


@pytest.mark.usefixtures("server")
def test_a_watch_writes_it_in_each_round(watching: Watching, spec: Path, path: Path) -> None:
    shown: list[str] = []
    watching([spec], lambda: shown.append(page(path).text), html=Outlet(path, "the page"))
    assert ["Converged:" in shown[0], "Unchanged:" in page(path).text] == [True, True]


def test_a_page_that_cannot_be_written(server: EC2Server, command: Run, spec: Path, path: Path) -> None:
    """Before the work it is an error, and nothing is asked of AWS. After an apply it is a warning."""
    absent = path.parent / "no" / "page.html"
    for name in ("plan", "apply"):
        ran = command(name, "--html", str(absent), str(spec))
        assert (ran.code, server.calls) == (1, [])
        assert f"cannot write the page {absent}:" in ran.stderr
    server.faults.add(Hook("DescribeAddresses", callback=lambda _: path.mkdir()))
    ran = command("plan", "--html", str(path), str(spec))
    assert (ran.code, "Plan: 1 to create" in ran.stdout) == (1, True)
    path.rmdir()
    server.faults.add(Hook("AllocateAddress", callback=lambda _: path.mkdir()))
    ran = command("apply", "-y", "--html", str(path), str(spec))
    assert ran.code == 0
    assert f"warning: cannot write the page {path}: Is a directory" in ran.stderr
