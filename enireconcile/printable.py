"""Text from AWS, made safe to print: control characters are shown, not obeyed. Pure."""

from __future__ import annotations


def printable(text: str | None) -> str:
    """Text from the world without what could steer a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text or "")


def printable_lines(text: str | None) -> str:
    """Likewise for a message of our own, whose line breaks are meant."""
    return "\n".join(printable(line) for line in (text or "").split("\n"))
