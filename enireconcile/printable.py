"""Make text from AWS safe to print: control characters are spelled out. Pure."""

from __future__ import annotations


def printable(text: str | None) -> str:
    """Text with every unprintable character (escape, line break, bidirectional override …) spelled out."""
    if not text or text.isprintable():
        return text or ""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def printable_lines(text: str | None) -> str:
    """Likewise, but line breaks stay: for messages of several lines."""
    return "\n".join(printable(line) for line in (text or "").split("\n"))
