"""Workflows, issue forms, hooks and the guides beside the README are valid, and what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import validators
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import enireconcile
from tests import changelog
from tests.wheel import supported

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yaml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yaml"))
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKE = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def problems(document: Any, schema_name: str) -> list[str]:
    schema: dict[str, Any] = get_builtin_schema(schema_name)
    return [problem.message for problem in validators.validator_for(schema)(schema).iter_errors(document)]


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid(path: Path) -> None:
    workflow = read(path)
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads `on` as a boolean; GitHub does not
    assert problems(workflow, "vendor.github-workflows") == []
    assert "secrets." not in path.read_text("utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_are_valid(path: Path) -> None:
    assert problems(read(path), "vendor.github-issue-forms") == []


def test_workflows_check_every_python_that_the_package_supports() -> None:
    jobs = read(GITHUB / "workflows" / "check.yaml")["jobs"]
    assert jobs["check"]["strategy"]["matrix"]["python"] == supported()
    assert jobs["wheel"]["strategy"]["matrix"]["python"] == supported()


@pytest.mark.parametrize(
    "path",
    [*WORKFLOWS, *PAGES, ROOT / ".ci" / "run", ROOT / ".pre-commit-config.yaml", ROOT / "README.md"],
    ids=lambda path: path.name,
)
def test_make_targets_exist(path: Path) -> None:
    # What is code: in backticks, in a block, or in a file that is no prose.
    text = path.read_text("utf-8")
    code = "\n".join(re.findall(r"`+[^`]+`+", text)) if path.suffix == ".md" else text
    assert set(MAKE.findall(code)) - targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:\.?[\w-]+/)+[\w.-]*)`", page.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_pinned_version_takes_the_oldest_python() -> None:
    """pip on Debian's Python 3.11.2 cannot install what asks for 3.11.5, whichever Python runs this test."""
    oldest = f"{min(supported(), key=Version)}.0"
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    installed = {canonicalize_name(each.name): each.metadata["Requires-Python"] or "" for each in distributions()}
    known = pinned & installed.keys()
    assert len(known) > 100  # the peers and mutmut may be absent
    assert [name for name in sorted(known) if oldest not in SpecifierSet(installed[name])] == []


# pre-commit


def test_own_hooks_run_what_exists() -> None:
    """Each is a program that the development environment has, a make target, or a pattern."""
    [repository] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        program, *words = hook["entry"].split()
        if hook["language"] == "pygrep":
            continue
        assert words[0] in targets() if program == "make" else (BIN / Path(program).name).exists(), hook["id"]


def test_commit_subjects_are_short() -> None:
    """pre-commit refuses a file in which the pattern of a pygrep hook is found."""
    [repository] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    [pattern] = [hook["entry"] for hook in repository["hooks"] if hook["id"] == "commit-subject"]
    flags = re.MULTILINE | re.DOTALL  # those of --multiline
    assert not re.search(pattern, "x" * 72 + "\n\n" + "y" * 100, flags)
    assert re.search(pattern, "x" * 73 + "\n\nWhy", flags)


@pytest.fixture
def hook() -> dict[str, Any]:
    """The hook for repositories with specs."""
    [hook] = read(ROOT / ".pre-commit-hooks.yaml")
    found: dict[str, Any] = hook
    return found


def run(hook: dict[str, Any], *paths: Path) -> subprocess.CompletedProcess[str]:
    """What pre-commit does with a hook: its entry, with the files behind it."""
    program, *words = hook["entry"].split()
    assert program in PROJECT["scripts"]
    return subprocess.run([BIN / program, *words, *paths], capture_output=True, text=True, check=False)


def test_the_hook_for_specs_has_what_pre_commit_requires(hook: dict[str, Any]) -> None:
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert hook["language"] == "python"


def test_the_hook_takes_specs_only(hook: dict[str, Any]) -> None:
    assert re.search(hook["files"], "specs/two-enis.yaml")
    assert re.search(hook["files"], "network/specs/lab/edge.yml")
    assert not re.search(hook["files"], ".github/workflows/check.yaml")
    assert not re.search(hook["files"], "specs/README.md")


def test_the_hook_accepts_specs(hook: dict[str, Any]) -> None:
    ran = run(hook, *sorted((ROOT / "specs").glob("*.yaml")))
    assert ran.returncode == 0, ran.stderr


def test_the_hook_refuses_a_broken_spec(hook: dict[str, Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\nstack: lab\nelastic_ip: {}\n")
    ran = run(hook, ROOT / "specs" / "two-enis.yaml", broken)
    assert ran.returncode == 1
    assert "broken.yaml:3:1" in ran.stderr


# releases


def test_the_changelog_has_the_version_of_the_package() -> None:
    """In the form of Keep a Changelog: what is not released first, then each version with its date."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert [
        each for each in headings[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", each)
    ] == []
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
    assert list(changelog.releases(text))[1] == enireconcile.__version__


def test_the_notes_of_a_release(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["changelog", enireconcile.__version__])
    changelog.main()
    notes = capsys.readouterr().out
    assert notes.startswith("### Added\n")
    assert "## [" not in notes
    monkeypatch.setattr(sys, "argv", ["changelog", "9.9.9"])
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md says nothing of 9\.9\.9"):
        changelog.main()


def test_recipes_name_the_version_of_the_package() -> None:
    pages = [
        *(ROOT / "docs" / "deploy").iterdir(),
        *(ROOT / "docs" / "how-to").iterdir(),
        *GITHUB.rglob("action.yaml"),
    ]
    named = re.compile(r"enireconcile(?:@v|:|-)(\d+\.\d+\.\d+)")
    found = {version for page in pages for version in named.findall(page.read_text("utf-8"))}
    assert found == {enireconcile.__version__}
