"""Filters of describe calls, with at most the 200 values that EC2 allows per filter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FILTER_VALUES = 200


def filters_for(name: str, values: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """The filters for all values, one list for each call."""
    for start in range(0, len(values), _FILTER_VALUES):
        yield [{"Name": name, "Values": list(values[start : start + _FILTER_VALUES])}]


def tag_filters(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """The filters for what has all these tags."""
    return [{"Name": f"tag:{key}", "Values": [literal(value)]} for key, value in sorted(tags.items())]


def literal(value: str) -> str:
    """A filter value that matches only itself: ``*`` and ``?`` are wildcards, and are escaped."""
    return re.sub(r"([*?\\])", r"\\\1", value)
