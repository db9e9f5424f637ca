"""Make text from AWS safe to print: control characters and commands of CI systems are spelled out. Pure."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"\A(\s*):(?=:[a-z-]+( .*)?::)|#(?=#(?:vso)?\[)", re.IGNORECASE)
"""GitHub runs ``::name …::`` at the start of a line and ``##[name]`` anywhere, Azure ``##vso[…]`` anywhere."""


def printable(text: str | None) -> str:
    """Text with every unprintable character (escape, line break, bidirectional override …) spelled out.

    So are the first characters of what GitHub Actions or Azure Pipelines would take for a command in a log.
    """
    if not text:
        return ""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    if "::" in text or "##" in text:
        text = _COMMAND.sub(_spelled_out, text)
    return text


def printable_lines(text: str | None) -> str:
    """Likewise, but line breaks stay: for messages of several lines."""
    return "\n".join(printable(line) for line in (text or "").split("\n"))


def _spelled_out(found: re.Match[str]) -> str:
    return f"{found[1]}\\x3a" if found[0].endswith(":") else "\\x23"
