"""Hints that suggest the word that was probably meant.

Finding the nearest word costs more than all other work on a wrong word. A hint is therefore data until it is
shown: the loader looks up ``Nearest`` for the first problems of a file only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from msgspec import Struct

from enireconcile.likeness import closest

_LONGEST_WORD = 127
_MOST_WORDS = 1000
FEW = 20


class Nearest(Struct, frozen=True):
    """Suggests the known word nearest to ``word``.

    If none is near: ``otherwise``; without it, a list of the known words, if there are at most 20.
    """

    word: str
    known: Collection[str]
    otherwise: str | None = None

    def text(self) -> str | None:
        """The hint as text, None if there is nothing to suggest."""
        known = sorted(word for word in self.known if word.isprintable())
        if near := _closest(self.word, known):
            return f"did you mean `{near}`?"
        if self.otherwise is None and 0 < len(known) <= FEW:
            return f"choose from: {', '.join(known)}"
        return self.otherwise


Hint: TypeAlias = str | Nearest | None


def hint_text(hint: Hint, *, search: bool = True) -> str | None:
    """The hint as text; without ``search`` the nearest word is not looked up."""
    if isinstance(hint, Nearest):
        return hint.text() if search else hint.otherwise
    return hint


def address_hint(asked: str, known: Collection[str]) -> str | None:
    """The address that was probably meant, else those of the same section; None if there is nothing to suggest.

    In a section that is right, names are compared: with it, any two addresses would be alike.
    """
    section, dot, name = asked.partition(".")
    names = [each.removeprefix(section + dot) for each in known if dot and each.startswith(section + dot)]
    if not names:
        return Nearest(asked, known).text()
    near = _closest(name, sorted(each for each in names if each.isprintable()))
    if near:
        return f"did you mean `{section}.{near}`?"
    return Nearest("", [section + dot + each for each in names]).text()


def _closest(word: str, known: list[str]) -> str | None:
    if len(word) > _LONGEST_WORD or len(known) > _MOST_WORDS:
        return None
    return closest(word, known)
