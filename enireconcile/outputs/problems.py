"""Problems of specs for code hosts: SARIF 2.1.0, and the workflow commands of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from enireconcile import __version__
from enireconcile.errors import Problem
from enireconcile.printable import printable

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_RULE = {
    "id": "invalid-spec",
    "name": "InvalidSpec",
    "shortDescription": {"text": "A spec file of enireconcile has a mistake"},
    "fullDescription": {"text": "apply refuses a spec file with a mistake, and changes nothing."},
    "defaultConfiguration": {"level": "error"},
}


def sarif(problems: Iterable[Problem], root: PurePath) -> dict[str, Any]:
    """A SARIF log (OASIS, version 2.1.0) with one run. Files below ``root`` are named relative to it."""
    driver = {"name": "enireconcile", "version": __version__, "rules": [_RULE]}
    results = [_result(problem, root) for problem in problems]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(problem: Problem, root: PurePath) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.file, root)}}
    if problem.line > 0:
        place["region"] = {"startLine": problem.line, "startColumn": max(problem.column, 1)}
    location: dict[str, Any] = {"physicalLocation": place}
    if problem.path:
        location["logicalLocations"] = [{"fullyQualifiedName": printable(problem.path)}]
    return {
        "ruleId": _RULE["id"],
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": _text(problem)},
        "locations": [location],
    }


def _uri(file: str, root: PurePath) -> str:
    path = PurePath(file)
    if not path.is_absolute():
        return quote(path.as_posix())
    return quote(path.relative_to(root).as_posix()) if path.is_relative_to(root) else path.as_uri()


def _text(problem: Problem) -> str:
    subject = f"{problem.path}: " if problem.path else ""
    hint = f"\nhint: {printable(problem.hint)}" if problem.hint else ""
    return printable(f"{subject}{problem.message}") + hint


def github(problems: Sequence[Problem]) -> str:
    """A line for each problem, which GitHub Actions shows beside the line of the file in a pull request."""
    return "\n".join(
        f"::error file={_property(problem.file)},line={max(problem.line, 1)},col={max(problem.column, 1)},"
        f"title=enireconcile::{_data(_text(problem))}"
        for problem in problems
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
