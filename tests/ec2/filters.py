"""EC2's filters: names are known or refused, values take wildcards, tags can always be asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from .errors import EC2Error, invalid_value
from .records import Resource

R = TypeVar("R", bound=Resource)
Extractors = Mapping[str, Callable[[R], Iterable[Any]]]
"""A filter's name to the values that a record shows under it."""

MAX_FILTERS = 50
MAX_VALUES = 200
MAX_LENGTH = 255


@lru_cache(maxsize=4096)
def wildcard(pattern: str) -> re.Pattern[str]:
    r"""EC2 docs: `*` is any run of characters, `?` any one of them, and `\` takes the meaning away."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        elif character == "*":
            parts.append(".*")
        elif character == "?":
            parts.append(".")
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def text(value: Any) -> str:
    """Filters compare text, and booleans are spelled in small letters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check(filters: list[dict[str, Any]]) -> None:
    """EC2 docs: at most 50 filters in a request, 200 values in a filter, 255 characters in a value."""
    if len(filters) > MAX_FILTERS or any(len(f.get("Values", [])) > MAX_VALUES for f in filters):
        raise EC2Error("FilterLimitExceeded", "The maximum number of filters or filter values is exceeded.")
    for each in filters:
        if "Name" not in each:
            raise EC2Error("MissingParameter", "The filter name is missing.")
        if not each.get("Values"):
            raise invalid_value(f"The filter '{each['Name']}' has no values")
        if any(len(value) > MAX_LENGTH for value in each["Values"]):
            raise invalid_value("Filter values may have at most 255 characters")


def select(records: Iterable[R], filters: list[dict[str, Any]] | None, known: Extractors[R]) -> list[R]:
    """The records that match every filter. A name that EC2 does not know fails the call."""
    filters = filters or []
    check(filters)
    tests = [_test(each["Name"], each["Values"], known) for each in filters]
    return [record for record in records if all(test(record) for test in tests)]


def _test(name: str, values: list[str], known: Extractors[R]) -> Callable[[R], bool]:
    if name.startswith("tag:"):
        key = name[4:]

        def extract(record: R) -> Iterable[Any]:
            return [record.tags[key]] if key in record.tags else []

    elif name == "tag-key":

        def extract(record: R) -> Iterable[Any]:
            return record.tags

    elif name in known:
        extract = known[name]  # type: ignore[assignment]
    else:
        raise invalid_value(f"The filter '{name}' is invalid")
    exact = {value for value in values if not re.search(r"[*?\\]", value)}
    patterns = [wildcard(value) for value in values if value not in exact]

    def matches(record: R) -> bool:
        return any(
            shown in exact or any(pattern.fullmatch(shown) for pattern in patterns)
            for shown in (text(value) for value in extract(record) if value is not None)
        )

    return matches
