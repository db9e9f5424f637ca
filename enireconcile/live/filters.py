"""Filters of describe calls, within the bounds of EC2 (200 values a filter)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_FILTER_VALUES = 200


def filters_for(name: str, values: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Filters with as many values each as EC2 takes."""
    for start in range(0, len(values), _FILTER_VALUES):
        yield [{"Name": name, "Values": list(values[start : start + _FILTER_VALUES])}]


def literal(value: str) -> str:
    """A filter value that means itself; ``*`` and ``?`` would match anything."""
    return re.sub(r"([*?\\])", r"\\\1", value)
