"""What every mapping of the spec file is, and validators that several sections share."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import AfterValidator, BeforeValidator, model_validator

from enireconcile.spec.scalars import described, mapping_hint, value_error
from enireconcile.spec.shapes import Shape
from enireconcile.spec.suggest import Nearest


class Row(Shape):
    """A mapping of the spec file.

    ``also`` lists keys that the loader removes before validation. ``example`` is for hints, and
    None if the mapping may be empty. ``needed`` lists keys that are required unless the row has ``adopt``.
    """

    needed: ClassVar[tuple[str, ...]] = ()
    also: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if isinstance(value, (Mapping, cls)):
            return value
        example = f"for example {cls.example}" if cls.example else "or `{}` to use only defaults"
        hint = mapping_hint(value) or f"write `key: value` lines, {example}"
        raise value_error(f"must be a mapping, not {described(value)}", hint)


def choice(*words: str, hint: str | None = None) -> BeforeValidator:
    """A validator for one of a few words."""

    def read(value: object) -> object:
        if not isinstance(value, str) or value not in words:
            *first, last = (f"`{word}`" for word in words)
            spelled = f"{', '.join(first)} or {last}"
            raise value_error(f"must be {spelled}, not {described(value)}", hint or Nearest(str(value), words))
        return str(value)

    return BeforeValidator(read)


def within(least: int, most: int, unit: str = "", hint: str | None = None) -> AfterValidator:
    """A validator for a whole number between two bounds."""

    def check(value: int) -> int:
        if not least <= value <= most:
            raise value_error(f"must be from {least} to {most}{unit}, not {value}", hint)
        return value

    return AfterValidator(check)
