"""Pydantic's validation errors as violations: a path of the spec file, a message and a hint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from msgspec import Struct
from pydantic import ValidationError

from enireconcile.spec.places import Path
from enireconcile.spec.row import Row
from enireconcile.spec.rows import EXTERNAL, MANAGED, NAMED, SELECTED, Document, Instance
from enireconcile.spec.scalars import MISSING_KEY, UNKNOWN_KEY, VALUE_ERROR
from enireconcile.spec.suggest import FEW, Hint, Nearest

_TAGS = (MANAGED, EXTERNAL, NAMED, SELECTED)


class Violation(Struct, frozen=True):
    """What is wrong with the value at ``path``; with ``on_key`` the key is wrong, not its value."""

    path: Path
    message: str
    hint: Hint = None
    on_key: bool = False


def violations(error: ValidationError, root: type[Row] = Document) -> Iterator[Violation]:
    """One violation for each error that pydantic reports about a file whose model is ``root``."""
    for detail in error.errors(include_url=False):
        path: Path = tuple(part for part in detail["loc"] if part not in _TAGS)
        context: dict[str, Any] = detail.get("ctx", {})
        if detail["type"] == VALUE_ERROR:
            if context["key"] and not context["at"]:
                path = path[:-1]  # pydantic appends "[key]" to the path of an error in a mapping's key
            path = (*path, *context["at"])
            yield Violation(path, context["message"], context["hint"], context["key"])
        elif detail["type"] == "missing":
            yield Violation(path, MISSING_KEY, _add_hint(path, root))
        elif detail["type"] == "extra_forbidden":
            yield Violation(path, UNKNOWN_KEY, _key_hint(path, root), on_key=True)
        else:
            yield Violation(path, detail["msg"][:1].lower() + detail["msg"][1:])


def null_hint(path: Path, root: type[Row] = Document) -> str | None:
    """What to write for a key without a value that is required; None if it may be removed."""
    if path in _FIRST_LINES:
        return _FIRST_LINES[path]
    row, key = row_at(path[:-1], root), str(path[-1]) if path else ""
    field = row.model_fields.get(key) if row else None
    if row is None or field is None or not (field.is_required() or key in row.needed):
        return None
    return f"write `{key}: …` ({field.description})"


def _key_hint(path: Path, root: type[Row]) -> Hint:
    row = row_at(path[:-1], root)
    if row is None:
        return None
    if path[-1] in row.model_fields:
        return "an external instance has only the key `external`: enireconcile never changes it"
    return nearest_key(str(path[-1]), keys_for(row))


def nearest_key(key: str, keys: Sequence[str]) -> Nearest:
    """The hint for a key that is none of ``keys``."""
    return Nearest(key, keys, _SCHEMA if len(keys) > FEW else None)


_SCHEMA = "`enireconcile schema` prints the keys of every mapping"


def keys_of(row: type[Row] | None) -> tuple[str, ...]:
    """The keys that a mapping may have; none for what is no mapping."""
    return (*row.model_fields, *row.also) if row is not None else ()


def keys_for(row: type[Row] | None) -> tuple[str, ...]:
    """The keys that an unknown one may be meant for: a row of an instance may be that of an external one."""
    return (*keys_of(row), *(("external",) if row is Instance else ()))


def _add_hint(path: Path, root: type[Row]) -> str | None:
    if path in _FIRST_LINES:
        return _FIRST_LINES[path]
    row = row_at(path[:-1], root)
    about = row.model_fields[str(path[-1])].description if row else None
    return f"add `{path[-1]}: …` ({about})" if about else None


_FIRST_LINES: dict[Path, str] = {
    ("version",): "begin the file with `version: 1`",
    ("stack",): "write `stack: NAME`: every resource of the file is tagged with it",
}


def row_at(path: Path, root: type[Row] = Document) -> type[Row] | None:
    """The model of the mapping at ``path``; None for a section or a list of mappings."""
    row: type[Row] | None = root
    many = False
    for part in path:
        if many:
            many = False  # a logical name, even if it is spelled like a field, or an index in a list
            continue
        field = row.model_fields.get(str(part)) if row else None
        row, many = _row_in(field.annotation) if field else (None, False)
    return None if many else row


def _row_in(annotation: Any, many: bool = False) -> tuple[type[Row] | None, bool]:
    """The model in a field's annotation, and whether the field is a mapping or list of it."""
    if isinstance(annotation, type) and issubclass(annotation, Row):
        return annotation, many
    many = many or get_origin(annotation) in (Mapping, tuple)
    return next((found for part in get_args(annotation) if (found := _row_in(part, many))[0]), (None, False))
