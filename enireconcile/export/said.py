"""A row of the exported spec, with its comments, and what all rows are made from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from enireconcile.export.selectors import Selectors
from enireconcile.live.records import AnyRecord, LiveNetworkInterface

_RESERVED = ("aws:", "enireconcile:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass
class Said:
    """The keys of a row as a file says them, in any order; comments by paths below the row, ``()`` for the row.

    ``ignored`` are attributes that a spec cannot say as they are.
    """

    row: dict[str, Any] = field(default_factory=dict)
    comments: dict[tuple[str, ...], str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def say(self, **keys: Any) -> None:
        """Add the keys that have a value."""
        self.row |= {key: value for key, value in keys.items() if value is not None}


class Source(Struct, frozen=True):
    """What rows are made from. ``names`` maps ids to the names of rows, ``rows`` are the ids with a row of their
    own; ``owned`` says that the stack has these resources already. ``interfaces`` are all known ones by id.
    """

    region: str
    owned: bool
    names: Mapping[str, str]
    rows: frozenset[str]
    selectors: Selectors
    interfaces: Mapping[str, LiveNetworkInterface]

    def begun(self, live: AnyRecord, *, adopt: bool = False) -> Said:
        """A row with ``adopt``, if it needs it, and ``tags``.

        A resource without a Name keeps that by ``adopt``: a plan would give it one.
        """
        said, name = Said(), self.names[live.id]
        tags = {key: value for key, value in sorted(live.tags.items()) if _is_sayable(key, value)}
        if adopt or not self.owned or "Name" not in tags:
            said.say(adopt=live.id)
        if tags.get("Name") == name:
            del tags["Name"]
        said.say(tags=tags or None)
        return said


def _is_sayable(key: str, value: str) -> bool:
    return not (key.lower().startswith(_RESERVED) or _CONTROL.search(key + value))


def unsayable_tags(live: AnyRecord) -> list[str]:
    """The keys of tags with control characters, which a spec cannot have."""
    return sorted(key for key, value in live.tags.items() if _CONTROL.search(key + value))
