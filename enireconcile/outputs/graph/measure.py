"""How wide a text may be in any font that a viewer has. Nothing is measured: each width is that of a wide font."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from msgspec import Struct

_NARROW = frozenset("fijlrtI.,:;'|!()[]{}/\\ -`")
_WIDE = frozenset("mwMW@%—…→")


class Font(Struct, frozen=True):
    """Size in pixels; ``mono`` for addresses, ``bold`` for names and words."""

    size: int
    mono: bool = False
    bold: bool = False

    def width(self, text: str) -> float:
        """Pixels that the text takes at most."""
        ems = sum(map(self._em, text))
        return ems * self.size * (1.08 if self.bold else 1.0)

    def _em(self, char: str) -> float:
        if not char.isascii() and char not in _WIDE:
            return 0.7 if unicodedata.category(char).startswith("L") and char < "\u0250" else 1.25
        if self.mono:
            return 0.63
        if char in _NARROW:
            return 0.42
        if char in _WIDE:
            return 1.0
        return 0.78 if char.isupper() else 0.65

    def fit(self, text: str, width: float) -> str:
        """The text, or as much of its start as fits, with an ellipsis."""
        if self.width(text) <= width:
            return text
        while text and self.width(f"{text}…") > width:
            text = text[:-1]
        return f"{text}…"

    def wrap(self, words: Iterable[str], width: float) -> list[str]:
        """The words in lines; one that is too long for a line ends in an ellipsis."""
        lines: list[str] = []
        for word in words:
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(self.fit(word, width))
        return lines
