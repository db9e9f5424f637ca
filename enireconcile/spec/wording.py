"""Validation errors in the words of the spec file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from enireconcile.spec.places import Path
from enireconcile.spec.rows import EXTERNAL, MANAGED, Document, Row
from enireconcile.spec.scalars import FAULT
from enireconcile.spec.suggest import Hint, Nearest


@dataclass(frozen=True)
class Finding:
    """Something wrong at a path; ``on_key``: the key itself is wrong, not its value."""

    path: Path
    message: str
    hint: Hint = None
    on_key: bool = False


def findings(error: ValidationError) -> Iterator[Finding]:
    """What pydantic found."""
    for detail in error.errors(include_url=False):
        path: Path = tuple(part for part in detail["loc"] if part not in (MANAGED, EXTERNAL))
        context: dict[str, Any] = detail.get("ctx", {})
        if detail["type"] == FAULT:
            if context["key"] and not context["at"]:
                path = path[:-1]  # pydantic marks an error of a mapping's key with a last "[key]"
            path = (*path, *context["at"])
            yield Finding(path, context["message"], context["hint"], context["key"])
        elif detail["type"] == "missing":
            yield Finding(path, "is missing", _add_hint(path))
        elif detail["type"] == "extra_forbidden":
            yield Finding(path, "unknown key", _key_hint(path), on_key=True)
        else:
            yield Finding(path, detail["msg"][:1].lower() + detail["msg"][1:])


def _key_hint(path: Path) -> Hint:
    row = _row_at(path[:-1])
    if row is not None and path[-1] in row.model_fields:
        return "an external instance has none: it is never changed itself"
    return Nearest(str(path[-1]), (*row.model_fields, *row.also)) if row else None


def _add_hint(path: Path) -> str | None:
    row = _row_at(path[:-1])
    about = row.model_fields[str(path[-1])].description if row else None
    return f"add `{path[-1]}: …` ({about})" if about else None


def _row_at(path: Path) -> type[Row] | None:
    """The row that describes the mapping at ``path``."""
    row: type[Row] | None = Document
    many = False
    for part in path:
        if many:
            many = False  # a name in a section, which may be that of a field, or an index in a list
            continue
        field = row.model_fields.get(str(part)) if row else None
        row, many = _row_in(field.annotation) if field else (None, False)
    return row


def _row_in(annotation: Any, many: bool = False) -> tuple[type[Row] | None, bool]:
    """The row of a field, and whether there are many of them."""
    if isinstance(annotation, type) and issubclass(annotation, Row):
        return annotation, many
    many = many or get_origin(annotation) in (Mapping, tuple)
    return next((found for part in get_args(annotation) if (found := _row_in(part, many))[0]), (None, False))
