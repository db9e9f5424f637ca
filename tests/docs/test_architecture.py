"""docs/architecture.md is true: it lists every folder, its layers are those of pyproject, its files exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "enireconcile"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
QUESTIONS = {
    "an attribute",
    "a kind",
    "a command or an option",
    "an output",
    "an error that users meet",
}


def table(heading: str) -> list[list[str]]:
    """Cells of each row of the table below a heading."""
    text = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def paths(text: str) -> list[str]:
    """Files and folders that a text names, from the root of the repository."""
    return re.findall(r"`((?:enireconcile|tests|specs|docs)/[^`]*)`", text)


def layers() -> list[list[str]]:
    """The names of each layer, the highest first, as import-linter reads them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return [re.findall(r"enireconcile\.(\w+)", layer) for layer in contract["layers"]]


def test_folders_and_layers_are_those_of_the_contract() -> None:
    told = [(int(layer), name.strip("`")) for layer, name, _ in table("Folders")]
    assert told == [(number, name) for number, names in enumerate(layers(), 1) for name in names]


def test_every_folder_and_module_is_listed() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name.strip("`") for _, name, _ in table("Folders")} == modules | folders


def test_every_question_has_an_answer_with_a_file() -> None:
    answers = {question: where for question, where, _ in table("Where do I add …")}
    assert answers.keys() >= QUESTIONS
    assert [question for question, where in answers.items() if not paths(where)] == []


@pytest.mark.parametrize("path", sorted(set(paths(PAGE))))
def test_files_that_are_named_exist(path: str) -> None:
    assert (ROOT / path).exists()
    assert path.endswith("/") == (ROOT / path).is_dir(), "a folder is written with a slash at its end"


def test_recipes_have_the_headings_that_others_link_to() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    anchors = re.findall(r"docs/architecture\.md#([\w-]+)", contributing)
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchors
    assert set(anchors) <= made
