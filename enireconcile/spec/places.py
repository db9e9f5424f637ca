"""Where a value is in the file: its path, its line and its column."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct

from enireconcile.errors import Problem

Path: TypeAlias = tuple[str | int, ...]
"""The keys and list indexes of a value: ``("network_interfaces", "web-eth1", "attachment", "device_index")``."""

Place: TypeAlias = tuple[int, int]
"""Line and column, both counted from 1, columns in characters."""

_SHOWN_LENGTH = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_:/@+=-]{1,127}")


def shown(value: object) -> str:
    """The value for a message: quoted, with control characters escaped, cut after 60 characters.

    A spec may come from an untrusted source, and terminals execute escape codes; ``repr`` makes them harmless.
    """
    text = str(value) if isinstance(value, (str, int, bool)) else type(value).__name__
    return repr(text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…")


def dotted(path: Path) -> str:
    """The path as text: ``network_interfaces.web-eth1.attachment``; keys with odd characters are quoted."""
    parts = (str(part) for part in path)
    return ".".join(part if _BARE_KEY.fullmatch(part) else shown(part) for part in parts)


class Located(Struct, frozen=True):
    """Line and column of every value and key of one file.

    The place of a value is its first character. For a block mapping or list it is the key above it. ``elements``
    has the key of the ``for_each`` element that made a row.
    """

    values: dict[Path, Place] = {}
    keys: dict[Path, Place] = {}
    elements: dict[Path, str] = {}

    def nearest(self, path: Path) -> Place:
        """The place of the value at ``path``; if the file has no such value, of the nearest parent that it has."""
        for length in range(len(path), -1, -1):
            place = self.values.get(path[:length])
            if place is not None:
                return place
        return (1, 1)


class Places:
    """Where the values and keys of one file are.

    Only a message needs that, so ``locate``, which reads the file's text a second time, is called for the first
    one: the places of a large file take more memory than its values.
    """

    def __init__(self, locate: Callable[[], Located] = Located) -> None:
        self._locate = locate

    @cached_property
    def located(self) -> Located:
        return self._locate()

    def __contains__(self, path: Path) -> bool:
        return path in self.located.values

    def of(self, path: Path) -> Place:
        """The place of the value at ``path``; if the file has no such value, of the nearest parent that it has."""
        return self.located.nearest(path)

    def of_key(self, path: Path) -> Place:
        """The place of the last key of ``path``; if the file has no such key, as ``of``."""
        place = self.located.keys.get(path)
        return place if place is not None else self.of(path)

    def element(self, path: Path) -> str | None:
        """The key of the ``for_each`` element that made the row at or above ``path``."""
        return self.located.elements.get(path[:2])

    def problem(
        self, file: str, path: Path, message: str, hint: str | None = None, *, on_key: bool = False
    ) -> Problem:
        """A problem with the value at ``path``, or with its key."""
        place = self.of_key(path) if on_key else self.of(path)
        element = self.element(path)
        made_by = "" if element is None else f" (each.key {shown(element)})"
        return Problem(file, *place, dotted(path), message + made_by, hint)
