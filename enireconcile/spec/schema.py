"""The JSON Schema of the spec file, for editors and other tools.

It checks each value on its own. ``load`` also checks values against each other, for example references and device
indexes that are used twice.
"""

from __future__ import annotations

from typing import Any

from enireconcile.spec.rows import Document, Instance, NetworkInterface

_USER_DATA_FILE = {
    "title": "User data file",
    "description": "Instead of user_data: the path of a file, relative to the spec and inside its directory",
    "type": "string",
    "minLength": 1,
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
    for row_type in (Instance, NetworkInterface):
        adopted_or_whole = [{"required": ["adopt"]}, {"required": list(row_type.needed)}]
        schema["$defs"][row_type.__name__]["anyOf"] = adopted_or_whole
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "enireconcile spec"}
    return {**schema, **title}


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
        about = {**about, "additionalProperties": False}
    if about.get("default", "") is None:
        del about["default"]
    return about
