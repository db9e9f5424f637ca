"""Plans as JSON and back, without loss except for secrets, of which only the hash is written. Pure.

What JSON cannot express is an object whose first key begins with ``$``: ``{"$": "Step", …}`` is one of the classes
of ``model``, ``{"$tuple": […]}`` a tuple, ``{"$set": […]}`` a frozenset, ``{"$map": [[key, value], …]}`` a mapping
whose keys are not plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from enireconcile.errors import Problem
from enireconcile.model import (
    Action,
    Change,
    Condition,
    Digest,
    Expect,
    Field,
    Impact,
    Leftover,
    Look,
    PathBreak,
    Plan,
    PlanError,
    Proof,
    Ref,
    Secret,
    Step,
    Template,
    canonical,
)


class Sealed(Struct, frozen=True):
    """What is left of a secret: its hash."""

    digest: str


_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(Change, Condition, Digest, Expect, Field, Leftover, Look, PathBreak, Plan, PlanError, Problem),
        *(Proof, Ref, Sealed, Step, Template),
    )
}
_FIELDS = {kind: kind.__match_args__ for kind in _CLASSES.values()}
_PLAIN = frozenset({str, int, float, bool, type(None)})
_WORDS: dict[str, type[Enum]] = {kind.__name__: kind for kind in (Action, Impact)}


def encode(value: Any) -> Any:
    """The value as JSON. Raises TypeError for a type that no plan contains."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Secret):
        return encode(Sealed(value.digest))
    if isinstance(value, Enum):
        return {"$": type(value).__name__, "value": str(value)}
    if type(value) in _FIELDS:
        words = {name: encode(getattr(value, name)) for name in _FIELDS[type(value)]}
        return {"$": type(value).__name__, **words}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item) for item in value]}
    if isinstance(value, frozenset):
        if all(type(item) is str for item in value):
            return {"$set": sorted(value)}
        return {"$set": sorted((encode(item) for item in value), key=canonical)}
    if isinstance(value, Mapping):
        return _encoded_mapping(value)
    raise TypeError(f"no plan has a {type(value).__name__} in it")


def _encoded_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: encode(item) for key, item in value.items()}
    return {"$map": [[encode(key), encode(item)] for key, item in value.items()]}


def decode(words: Any) -> Any:
    """The value of JSON that ``encode`` has made. Other JSON may raise ValueError, KeyError or TypeError.

    If it does not, encoding the result again gives other JSON.
    """
    if isinstance(words, list):
        return [decode(item) for item in words]
    if not isinstance(words, dict):
        return words
    if "$" in words:
        return _decoded(dict(words))
    if len(words) == 1:
        ((key, items),) = words.items()
        if key == "$tuple":
            return tuple(decode(item) for item in items)
        if key == "$set":
            return frozenset(decode(item) for item in items)
        if key == "$map":
            return {decode(name): decode(item) for name, item in items}
    return {key: decode(item) for key, item in words.items()}


def _decoded(words: dict[str, Any]) -> Any:
    name = words.pop("$")
    if name in _WORDS:
        return _WORDS[name](words["value"])
    return _CLASSES[name](**{key: decode(item) for key, item in words.items()})
