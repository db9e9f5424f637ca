"""Which known word was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Collection


def likeness(one: str, other: str) -> float:
    """How alike two words are, from 0 to 1."""
    # difflib is imported late: valid input never needs it, and it slows down the start.
    import difflib

    return difflib.SequenceMatcher(None, one, other).ratio()


def closest(word: str, known: Collection[str]) -> str | None:
    """The known word that is nearest; None if none is near. Of equally near ones the first in the alphabet."""
    import difflib

    found = difflib.get_close_matches(word, known, n=5, cutoff=0.6)
    # Swapped letters are the commonest slip.
    return min(found, key=lambda each: (sorted(each) != sorted(word), -likeness(word, each), each), default=None)
