"""Say once what rows share: tags of the file, and ``defaults`` of a section. Pure, on plain data.

A row with ``for_each`` makes several rows, and so counts for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from enireconcile.spec import SECTIONS

Plain = dict[str, Any]
_FEWEST = 3
"""So many rows are worth a default."""
_OWN_KEYS = ("adopt", "for_each", "renamed_from")
"""Keys that cannot be defaults."""


def gathered(data: Plain) -> Plain:
    """The same file; what all rows say is said once."""
    sections = {key: dict(data[key]) for key in SECTIONS if key in data}
    everywhere = [row for section in sections.values() for row in _managed(section)]
    tags = _common(row.get("tags", {}) for row in everywhere) if _are_enough(everywhere) else {}
    tags.pop("Name", None)
    sections = {key: _without(section, {"tags": tags}) for key, section in sections.items()}
    defaults = {key: default for key, section in sections.items() if (default := _default(section))}
    sections = {key: _without(section, defaults.get(key, {})) for key, section in sections.items()}
    head = {key: value for key, value in data.items() if key not in SECTIONS}
    return {**head, **({"tags": tags} if tags else {}), **({"defaults": defaults} if defaults else {}), **sections}


def _managed(section: Mapping[str, Plain]) -> list[Plain]:
    """The rows under which defaults are laid."""
    return [row for row in section.values() if "external" not in row]


def _common(rows: Iterable[Mapping[str, Any]]) -> Plain:
    """What all rows say alike."""
    first, *others = [*rows] or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(key in row and row[key] == value for row in others) and not _is_of_element(value)
    }


def _are_enough(rows: Sequence[Mapping[str, Any]]) -> bool:
    return len(rows) >= _FEWEST or any("for_each" in row for row in rows)


def _is_of_element(value: Any) -> bool:
    """Does it differ between the rows that a template makes?"""
    if isinstance(value, (dict, list)):
        return any(map(_is_of_element, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and "${each." in value


def _default(section: Mapping[str, Plain]) -> Plain:
    rows = _managed(section)
    if not _are_enough(rows) or len(rows) == 1:
        return {}
    common = {key: value for key, value in _common(rows).items() if key not in (*_OWN_KEYS, "tags")}
    tags = _common(row.get("tags", {}) for row in rows)
    return {**common, **({"tags": tags} if tags else {})}


def _without(section: Mapping[str, Plain], said: Plain) -> dict[str, Plain]:
    """The rows without what is said for all of them."""
    return {name: row if "external" in row else _rest(row, said) for name, row in section.items()}


def _rest(row: Plain, said: Plain) -> Plain:
    rest = {key: value for key, value in row.items() if key == "tags" or key not in said}
    if "tags" in rest:
        rest["tags"] = {key: value for key, value in rest["tags"].items() if key not in said.get("tags", {})}
        if not rest["tags"]:
            del rest["tags"]
    return rest
