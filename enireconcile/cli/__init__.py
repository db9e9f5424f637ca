"""The command line. Loads nothing, so that a Ctrl-C during the start is handled like any later one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_STOPPED = {"apply": 5, "destroy": 5, "watch": 0}


def code_if_stopped(args: Sequence[str] | None = None) -> int:
    """The exit code of a command that Ctrl-C stops before it has begun; ``args`` are those of the command line."""
    command = (sys.argv[1:] if args is None else args)[:1]
    return _STOPPED.get(command[0], 1) if command else 1
