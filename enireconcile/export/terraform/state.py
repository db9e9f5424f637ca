"""The JSON of ``terraform show -json``: the resources of all modules. Pure.

Source: developer.hashicorp.com/terraform/internals/json-format, "State representation".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, Field, ValidationError

from enireconcile.errors import EnireconcileError
from enireconcile.printable import printable

_SHOW = "write it with `terraform show -json > state.json`, in the folder of the configuration"
_OWN_KEYS = {"format_version", "terraform_version", "values", "checks"}
"""The keys of a state. Other outputs of Terraform have a format_version, too."""


class Resource(Struct, frozen=True, eq=False):
    """An instance of a resource or of a data source. ``index`` is its key of ``count`` or ``for_each``.

    ``address`` is Terraform's, with modules and index. ``deposed`` is the key of an object that Terraform has
    replaced and not deleted yet; empty for the current one. ``sensitive`` are the attributes that the
    configuration marks as sensitive, in whole or in part; tags that it marks are not among the ``values``.
    """

    address: str
    type: str
    name: str
    values: Mapping[str, Any]
    index: int | str | None = None
    managed: bool = True
    tainted: bool = False
    deposed: str = ""
    sensitive: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The id in AWS; empty if the state has none."""
        return self.text("id")

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tags as EC2 lists them, those of the provider's default_tags included."""
        tags = self.values.get("tags_all") or self.values.get("tags")
        pairs = tags.items() if isinstance(tags, Mapping) else ()
        return [{"Key": key, "Value": value} for key, value in pairs if isinstance(value, str)]

    def text(self, key: str) -> str:
        """A text; empty if there is none."""
        return text_in(self.values, key)

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        return texts_in(self.values, key)

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else default

    def blocks(self, key: str) -> list[Mapping[str, Any]]:
        """Nested blocks."""
        value = self.values.get(key)
        return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def text_in(values: Mapping[str, Any], key: str) -> str:
    """A text in a block; empty if there is none."""
    value = values.get(key)
    return value if isinstance(value, str) else ""


def texts_in(values: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts in a block."""
    value = values.get(key)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def number_in(values: Mapping[str, Any], key: str, default: int = 0) -> int:
    """A whole number in a block."""
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


class _Resource(BaseModel):
    address: str
    mode: str
    type: str
    name: str
    index: int | str | None = None
    values: dict[str, Any] | None = None
    sensitive_values: Any = None
    tainted: bool = False
    deposed_key: str | None = None


class _Module(BaseModel):
    resources: list[_Resource] = Field(default_factory=list)
    child_modules: list[_Module] = Field(default_factory=list)


class _Values(BaseModel):
    root_module: _Module = Field(default_factory=_Module)


def read_state(content: bytes, file: str, *, named: bool = True) -> tuple[Resource, ...]:
    """The resources of a state, in the order of the file. ``file`` names it in errors.

    It is the path of a file if ``named``; a pipe has none.

    Raises EnireconcileError with what the content is instead, and how to get the state.
    """
    data = _parsed(content, file)
    _refuse_others(data, file, named=named)
    try:
        values = _Values.model_validate(data.get("values") or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = printable(".".join(map(str, ("values", *first["loc"]))))
        raise _refused(file, f"{place}: {first['msg']}: this is not what Terraform writes", _SHOW) from None
    found = tuple(_resources(values.root_module))
    if not found:
        hint = (
            "run `terraform show -json` where `terraform state list` lists resources: folder and workspace matter"
        )
        raise _refused(file, "the state has no resources", hint)
    return found


def _resources(module: _Module) -> Iterator[Resource]:
    for each in module.resources:
        values, sensitive = _shown(each.values or {}, each.sensitive_values)
        yield Resource(
            address=each.address,
            type=each.type,
            name=each.name,
            values=values,
            sensitive=sensitive,
            index=each.index,
            managed=each.mode == "managed",
            tainted=each.tainted,
            deposed=each.deposed_key or "",
        )
    for child in module.child_modules:
        yield from _resources(child)


TAGS = ("tags", "tags_all")
"""The attributes that are tags: those of the resource, and with the provider's default_tags."""


def _shown(values: dict[str, Any], marks: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The values without tags that are marked as sensitive, and the attributes with marks."""
    marks = marks if isinstance(marks, Mapping) else {}
    shown = {key: _unmarked(value, marks.get(key)) if key in TAGS else value for key, value in values.items()}
    return shown, frozenset(key for key, mark in marks.items() if _has_mark(mark))


def _unmarked(tags: Any, marks: Any) -> Any:
    if not isinstance(tags, Mapping) or marks is True:
        return {}
    marks = marks if isinstance(marks, Mapping) else {}
    return {key: value for key, value in tags.items() if marks.get(key) is not True}


def _has_mark(mark: Any) -> bool:
    if isinstance(mark, (Mapping, list)):
        return any(map(_has_mark, mark.values() if isinstance(mark, Mapping) else mark))
    return mark is True


def _parsed(content: bytes, file: str) -> Mapping[str, Any]:
    if not content.strip():
        raise _refused(file, "the file is empty", _SHOW)
    try:
        # UTF-16 as well: PowerShell writes it.
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise _refused(f"{file}:{error.lineno}:{error.colno}", f"this is not JSON: {error.msg}", _SHOW) from None
    except UnicodeDecodeError:
        raise _refused(file, "this is not JSON: it is no text", _SHOW) from None
    except (ValueError, RecursionError):
        raise _refused(file, "this is JSON that Terraform does not write", _SHOW) from None
    if not isinstance(data, dict):
        raise _refused(file, "this is not the output of `terraform show -json`", _SHOW)
    return data


def _refuse_others(data: Mapping[str, Any], file: str, *, named: bool) -> None:
    """Raises EnireconcileError if it is not a state as ``show`` writes it."""
    if "planned_values" in data or "resource_changes" in data:
        hint = "run `terraform show -json` without the name of a plan file"
        raise _refused(file, "this is a plan: it says what Terraform is about to do, not what is there", hint)
    if "format_version" not in data and "version" in data and ("lineage" in data or "resources" in data):
        name = f" {printable(file)}" if named else ""
        hint = f"run `terraform show -json{name} > state.json`" + (
            ", or without the name of a file" if named else ""
        )
        raise _refused(
            file, "this is the state as Terraform stores it, not as `terraform show -json` writes it", hint
        )
    version = data.get("format_version")
    known = isinstance(version, str) and re.fullmatch(r"[0-9]+\.[0-9]+", version)
    if not known or ("values" not in data and set(data) - _OWN_KEYS):
        raise _refused(file, "this is not the output of `terraform show -json`", _SHOW)
    # A new minor version only adds; 0.1 and 0.2 differ from 1.0 by name.
    if int(str(version).partition(".")[0]) > 1:
        hint = "use a newer enireconcile, or a Terraform that writes format_version 1"
        raise _refused(file, f"the format_version is {version}, and this enireconcile reads 1", hint)


def _refused(where: str, message: str, hint: str) -> EnireconcileError:
    return EnireconcileError(f"{printable(where)}: {message}", hint=hint)
