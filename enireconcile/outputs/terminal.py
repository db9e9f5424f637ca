"""Text that a terminal shows: wrapped at words to its width. In a file or a pipe, an item stays one line."""

from __future__ import annotations

import os
import re
from typing import TextIO

_STYLE = r"\x1b\[[0-9;]*m"
_WORDS = re.compile(rf"(?:{_STYLE}|\S)+|[^\S\x1b]+")
_LABEL = re.compile(r" *(?:\W )?\S+ {2,}(?=\S)")
"""What stands before the last column of a line: a mark, a name and a gap."""
_COMMAND = "enireconcile "
_LEAST = 40
"""Columns of a terminal that is too narrow to wrap anything for it."""


def columns(stream: TextIO) -> int | None:
    """How many columns the terminal has that a stream leads to; None if it leads to none, or that is not known."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return None
    return found if found >= _LEAST else None


def fitted(text: str, width: int | None) -> str:
    """The text with lines of at most ``width`` columns, if no word is longer.

    What continues a line begins below its second column, or deeper than the line: the first lines of items stay
    recognizable. A command that is a line of its own stays one, for copying. Styles (``ESC [ … m``) have no width.
    """
    return text if width is None else "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    shown = _unstyled(line)
    if len(shown) <= width or shown.lstrip().startswith(_COMMAND):
        return line
    deeper = len(shown) - len(shown.lstrip(" ")) + 2
    label = _LABEL.match(shown)
    below = label.end() if label and label.end() <= width // 2 else deeper
    lines, at, gap = [""], 0, ""
    for word in _WORDS.findall(line):
        if not word.strip():
            gap = word
            continue
        size = len(_unstyled(word))
        if at and at + len(gap) + size > width:
            # A word that is too long for the column gets a line with more room.
            at, gap = (below if below + size <= width else deeper), ""
            lines.append(" " * at)
        lines[-1] += gap + word
        at, gap = at + len(gap) + size, ""
    return "\n".join(lines)


def _unstyled(text: str) -> str:
    return re.sub(_STYLE, "", text)
