"""Durations as users write them: ``90s``, ``15m``, ``1h``, ``1.5h``, ``500ms``."""

from __future__ import annotations

import re

LONGEST = 10 * 366 * 24 * 3600
"""Ten years, in seconds: what commands and specs accept at most. Clocks overflow at some longer time."""
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text: str, *, unit: str | None = None) -> float | None:
    """The seconds of a duration; None if the text is none. ``unit`` is that of a number without one."""
    match = _DURATION.fullmatch(text)
    if match is None or (match[2] or unit) is None:
        return None
    return float(match[1]) * _SECONDS[match[2] or str(unit)]
