"""The JSON Schema of the spec file, for editors and other tools.

It checks each value on its own. ``load`` also checks values against each other, for example references and device
indexes that are used twice.
"""

from __future__ import annotations

from typing import Any

from enireconcile.spec.expand import MODELS
from enireconcile.spec.rows import Document, ExternalInstance

_USER_DATA_FILE = {
    "title": "User data file",
    "description": "Instead of user_data: the path of a file of any bytes, relative to the spec, in its directory",
    "type": "string",
    "minLength": 1,
}


_REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{.+\}"}
"""A value with a reference: what it stands for is not known here."""
_FOR_EACH = {
    "title": "For each",
    "description": "Make a row for every element: ${each.key} and ${each.value} stand for it",
    "anyOf": [{"type": "object"}, {"type": "array"}, _REFERENCE],
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12, without ``$id``), ready for ``json.dump``."""
    schema = Document.model_json_schema()
    for row in (schema, *schema["$defs"].values()):
        for name, about in row.get("properties", {}).items():
            row["properties"][name] = {"title": name.replace("_", " ").capitalize(), **_tidied(about)}
    instance = schema["$defs"]["Instance"]
    instance["properties"]["user_data_file"] = _USER_DATA_FILE
    instance["not"] = {"required": ["user_data", "user_data_file"]}
    for name in (*(model.__name__ for model in MODELS.values()), ExternalInstance.__name__):
        schema["$defs"][name]["properties"]["for_each"] = _FOR_EACH
    schema["$defs"] = {name: _inside(row) for name, row in schema["$defs"].items()}
    schema["properties"] |= _saying_it_once(schema)
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "enireconcile spec"}
    return {**schema, **title}


def _saying_it_once(schema: dict[str, Any]) -> dict[str, Any]:
    """``variables`` and ``defaults``; without defaults, the rows themselves have all required keys."""
    defaults = {
        section: {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: about
                for name, about in schema["$defs"][model.__name__]["properties"].items()
                if name not in ("adopt", "for_each")
            },
        }
        for section, model in MODELS.items()
    }
    whole = {
        section: {
            "additionalProperties": {
                "anyOf": [{"required": [key]} for key in ("adopt", "external")]
                + [{"required": list(model.needed)}]
            }
        }
        for section, model in MODELS.items()
        if model.needed
    }
    schema["anyOf"] = [{"required": ["defaults"]}, {"properties": whole}]
    return {
        "variables": {
            "title": "Variables",
            "description": "Values of ${var.NAME}; --var-file and --var override them",
            "type": "object",
        },
        "defaults": {
            "title": "Defaults",
            "description": "Laid under every row of a section; what the row says wins, key by key",
            "type": "object",
            "additionalProperties": False,
            "properties": defaults,
        },
    }


_FREE_TEXT = frozenset({"pattern", "enum", "format", "const"})


def _or_reference(about: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value, or of a text with ``${…}`` in its place; so for all that is inside of it."""
    inner = _inside(about)
    if inner.get("type") == "string" and not _FREE_TEXT & set(inner):
        return inner
    words: dict[str, Any] = {
        key: inner.pop(key) for key in ("title", "description", "default", "examples") if key in inner
    }
    either: list[dict[str, Any]] = [inner, _REFERENCE]
    return {**words, "anyOf": either}


def _inside(about: dict[str, Any]) -> dict[str, Any]:
    result = dict(about)
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {name: _or_reference(value) for name, value in result[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _or_reference(result[key])
    for key in ("anyOf", "oneOf"):
        if key in result:
            result[key] = [_inside(choice) for choice in result[key]]
    return result


def _tidied(about: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field as the loader reads it.

    An optional key can be left out but not null, so pydantic's ``anyOf: [X, null]`` and ``default: null`` are
    removed. A section allows only names that match the pattern, so ``additionalProperties`` is false.
    """
    choices = about.get("anyOf", [])
    if {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        about = {key: value for key, value in about.items() if key != "anyOf"}
        about |= rest[0] if len(rest) == 1 else {"anyOf": rest}
    if "patternProperties" in about:
        [(pattern, row)] = about["patternProperties"].items()
        names = {pattern: row, r"\$\{.+\}": row}
        about = {**about, "patternProperties": names, "additionalProperties": False}
    if about.get("default", "") is None:
        del about["default"]
    return about
