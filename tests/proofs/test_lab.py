"""Every spec in specs/, the README's and a first spec of init, as a user tries them: on ``sandbox --lab``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.console import ROOT, yaml_blocks

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
RUN = """
import contextlib, io, json, sys
from enireconcile.cli.app import main

def code(*args):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main(args)
        except SystemExit as ended:
            return ended.code or 0, printed.getvalue()

found = {}
for spec in sys.argv[1:]:
    first = code("plan", "--detailed-exitcode", spec)
    applied = code("apply", "-y", spec)
    second = code("plan", "--detailed-exitcode", spec)
    destroyed = code("destroy", "-y", "--allow-destroy", spec)
    found[spec] = [first[0], applied[0], second[0], destroyed[0]]
print(json.dumps(found))
"""
"""In one process: what a user does with each spec. They follow one another: two of them use one address."""


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """The exit codes of plan, apply, plan and destroy, by spec."""
    folder = tmp_path_factory.mktemp("specs")
    [readme, *_] = [block for block in yaml_blocks("README.md") if block.startswith("version: 1\n")]
    (folder / "edge.yaml").write_text(readme, encoding="utf-8")
    init = [sys.executable, "-m", "enireconcile", "init", "--no-input", "--interfaces", "2", "--open", "80"]
    subprocess.run([*init, "--out", str(folder / "first.yaml")], check=True, capture_output=True)
    command = [sys.executable, "-m", "enireconcile", "sandbox", "--lab", "--", sys.executable, "-c", RUN]
    ran = subprocess.run(
        [*command, *map(str, [*SPECS, *sorted(folder.iterdir())])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {Path(name).stem: found for name, found in json.loads(ran.stdout).items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*(path.stem for path in SPECS), "edge", "first"])
def test_a_spec_can_be_tried_as_printed(codes: dict[str, list[int]], name: str) -> None:
    """There is something to do, it is done, then there is nothing to do, and it can be removed."""
    assert codes[name] == [2, 0, 0, 0]
