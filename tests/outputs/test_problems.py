"""Problems of specs as code hosts read them."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

import jsonschema
import pytest

from enireconcile.errors import Problem
from enireconcile.outputs.problems import github, sarif

ROOT = PurePath("/tree")
PROBLEM = Problem("specs/web.yaml", 3, 5, "instances.web", "unknown key `imge`", "did you mean `image`?")


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


_TEXT = {"type": "string", "minLength": 1}
_MESSAGE = _object("text", text=_TEXT)
_COUNT = {"type": "integer", "minimum": 1}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_RULE = _object(
    "id",
    id=_TEXT,
    name={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
    shortDescription=_MESSAGE,
    fullDescription=_MESSAGE,
    defaultConfiguration=_object("level", level=_LEVEL),
)
_PLACE = _object(
    "artifactLocation",
    artifactLocation=_object("uri", uri={"type": "string", "pattern": "^(file:///)?[A-Za-z0-9._~%/-]+$"}),
    region=_object("startLine", startLine=_COUNT, startColumn=_COUNT),
)
_LOCATION = _object(
    "physicalLocation",
    physicalLocation=_PLACE,
    logicalLocations={"type": "array", "items": _object("", fullyQualifiedName=_TEXT)},
)
_RESULT = _object(
    "message",
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_MESSAGE,
    locations={"type": "array", "items": _LOCATION, "minItems": 1},
)
_RUN = _object(
    "tool results",
    tool=_object(
        "driver", driver=_object("name", name=_TEXT, version=_TEXT, rules={"type": "array", "items": _RULE})
    ),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": _RESULT},
)
SARIF = _object(
    "version runs",
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs={"type": "array", "items": _RUN},
)
"""The part of OASIS' schema of SARIF 2.1.0 that is used, and what GitHub asks for beyond it."""


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("specs/web.yaml", "specs/web.yaml"),
        ("/tree/specs/web.yaml", "specs/web.yaml"),
        ("/elsewhere/web 1.yaml", "file:///elsewhere/web%201.yaml"),
        ("specs/größe, 100%.yaml", "specs/gr%C3%B6%C3%9Fe%2C%20100%25.yaml"),
    ],
)
def test_sarif_is_valid_and_names_files_from_the_root(file: str, uri: str) -> None:
    problem = Problem(file, 3, 5, "instances.web", "unknown key `imge`", "did you mean `image`?")
    log = sarif([problem], ROOT)
    jsonschema.validate(json.loads(json.dumps(log)), SARIF)
    [result] = log["runs"][0]["results"]
    assert result["message"]["text"] == "instances.web: unknown key `imge`\nhint: did you mean `image`?"
    [location] = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": uri},
        "region": {"startLine": 3, "startColumn": 5},
    }
    assert log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_without_problems_and_without_a_place() -> None:
    """No results close the alerts of a former run. A file that cannot be read has no line."""
    nothing = sarif([], ROOT)
    jsonschema.validate(nothing, SARIF)
    assert nothing["runs"][0]["results"] == []
    log = sarif([Problem("gone.yaml", 0, 0, "", "cannot be read")], ROOT)
    jsonschema.validate(log, SARIF)
    assert "region" not in log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]


def _unescaped(text: str) -> str:
    """What GitHub's runner makes of it."""
    for escaped, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, char)
    return text


def test_a_workflow_command_is_one_line() -> None:
    assert github([PROBLEM]) == (
        "::error file=specs/web.yaml,line=3,col=5,title=enireconcile::"
        "instances.web: unknown key `imge`%0Ahint: did you mean `image`?"
    )
    assert github([]) == ""


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("a,b:c.yaml", "100% wrong, so: fix it"),
        ("50%2C.yaml", "first\n::stop-commands::x\r\nsecond"),
        ("e\x1b[31m.yaml", "\x1b]0;x\x07"),
    ],
)
def test_what_a_file_says_stays_inside_of_its_command(file: str, message: str) -> None:
    """No name and no value ends the command, begins another one, or controls a terminal."""
    line = github([Problem(file, 0, 0, "", message)])
    found = re.fullmatch(r"::error file=([^,:\r\n]*),line=1,col=1,title=enireconcile::([^\r\n\x1b]*)", line)
    assert found
    if file.isprintable():
        assert _unescaped(found[1]) == file
