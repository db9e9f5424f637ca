"""The word that was probably meant.

Looking for it costs more than everything else that is done with a wrong word, so a hint is data until it is
told: ``Nearest`` is looked up with the first problems of a file, and a flood of problems goes without.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

_LONGEST_WORD = 127
_MOST_WORDS = 1000
_FEW = 20


@dataclass(frozen=True)
class Nearest:
    """The known word nearest to ``word``; if none is: ``otherwise``, or all known words if they are few."""

    word: str
    known: Collection[str]
    otherwise: str | None = None

    def look(self) -> str | None:
        """The hint in words."""
        known = sorted(word for word in self.known if word.isprintable())
        if near := _closest(self.word, known):
            return f"did you mean `{near}`?"
        if self.otherwise is None and 0 < len(known) <= _FEW:
            return f"known: {', '.join(known)}"
        return self.otherwise


Hint: TypeAlias = str | Nearest | None


def told(hint: Hint, *, look: bool = True) -> str | None:
    """The hint as text; without ``look`` only what is known at no cost."""
    if isinstance(hint, Nearest):
        return hint.look() if look else hint.otherwise
    return hint


def _closest(word: str, known: list[str]) -> str | None:
    if len(word) > _LONGEST_WORD or len(known) > _MOST_WORDS:
        return None
    import difflib  # here, because a good spec should start fast and never needs it

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None
