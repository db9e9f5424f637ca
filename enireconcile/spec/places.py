"""Where in the file a value stands: paths, and the line and column that belong to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""A way into the document, e.g. ``("network_interfaces", "web-eth1", "attachment", "device_index")``."""

Place: TypeAlias = tuple[int, int]
"""Line and column, both counted from 1, columns in characters."""

_SHOWN_LENGTH = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_:/@+=-]{1,127}")


def shown(value: object) -> str:
    """The value as a message may hold it: quoted, escapes made visible, long ones cut.

    A spec may come from a stranger, and a terminal obeys escape codes; ``repr`` disarms them.
    """
    text = str(value) if isinstance(value, (str, int, bool)) else type(value).__name__
    return repr(text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…")


def dotted(path: Path) -> str:
    """``network_interfaces.web-eth1.attachment``; a key that would be unclear between dots is quoted."""
    parts = (str(part) for part in path)
    return ".".join(part if _BARE_KEY.fullmatch(part) else shown(part) for part in parts)


@dataclass(frozen=True)
class Places:
    """The places of all values and keys of one file.

    A value's place is where it begins; a block collection begins, for a reader, at the key that holds it.
    """

    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)

    def of(self, path: Path) -> Place:
        """The place of the value at ``path``, or of the nearest parent that the file has."""
        return self._nearest(self.values, path)

    def of_key(self, path: Path) -> Place:
        """The place of the key that ends ``path``, or of the nearest parent's value."""
        place = self.keys.get(path)
        return place if place is not None else self.of(path)

    @staticmethod
    def _nearest(table: dict[Path, Place], path: Path) -> Place:
        for length in range(len(path), -1, -1):
            place = table.get(path[:length])
            if place is not None:
                return place
        return (1, 1)
