"""Logical names from Terraform's addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from enireconcile.export.terraform.state import Resource

_MODULE = re.compile(r'module\.([^.\[\]]+)(?:\[(?:"((?:[^"\\]|\\.)*)"|([0-9]+))\])?\.')
_GENERIC = ("this", "main", "default")
"""Names that say nothing beside that of a module or the key of a ``for_each``."""

Step = tuple[str, str | int | None]
"""A name on the way to a resource, and its index."""


def names_in(resources: Sequence[Resource]) -> dict[str, str]:
    """The name of each resource by its address: modules, name and index, as far as they tell one from another.

    ``module.host["a"].aws_instance.this`` is ``host-a``. A lone ``[0]``, as ``count = 1`` makes it, is left out.
    """
    several = _numbered(resources)
    return {each.address: _name(each, several) for each in resources}


def _steps(resource: Resource) -> list[Step]:
    steps: list[Step] = []
    rest = resource.address
    while found := _MODULE.match(rest):
        key = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else None
        steps.append((found[1], int(found[3]) if found[3] else key))
        rest = rest[found.end() :]
    return [*steps, (resource.name, resource.index)]


def _numbered(resources: Iterable[Resource]) -> set[tuple[object, ...]]:
    """What has a second instance by ``count``."""
    return {
        (resource.type, *steps[:number], name)
        for resource in resources
        for steps in [_steps(resource)]
        for number, (name, index) in enumerate(steps)
        if isinstance(index, int) and index > 0
    }


def _name(resource: Resource, several: set[tuple[object, ...]]) -> str:
    parts: list[str] = []
    steps = _steps(resource)
    for number, (name, index) in enumerate(steps):
        last = number == len(steps) - 1
        if not (last and name in _GENERIC and (parts or isinstance(index, str))):
            parts.append(name)
        if isinstance(index, str) or (index is not None and (resource.type, *steps[:number], name) in several):
            parts.append(str(index))
    return "-".join(parts)
