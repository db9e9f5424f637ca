"""Reads a spec as editors do for a JSON Schema: plain scalars by the core schema of YAML 1.2."""

from __future__ import annotations

import re
from typing import Any

from enireconcile.spec.yamltree import Plain, read_tree


def core(text: str) -> Any:
    """The file as JSON would hold it."""
    tree = read_tree(text, "f")
    assert not tree.problems, tree.problems
    return _resolved(tree.data)


def _resolved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_resolved(item) for item in value]
    if not isinstance(value, Plain):
        return value
    if re.fullmatch(r"[-+]?[0-9]+", value):
        return int(value)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", value):
        return float(value)
    words = {"true": True, "false": False}
    return words.get(value.lower(), str(value))
