"""Mutation testing of the pure core: ``make mutants``, or ``python -m tests.mutants [PATTERN …]`` for a part.

mutmut makes small changes to the code and runs the tests of ``tests/core`` that reach each; what to change and how
to test it says ``pyproject.toml``. Results stay in ``mutants/``, so that a second run tests only what is new.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

BIN = Path(sys.executable).parent
COLUMNS = ("total", "killed", "caught by type check", "timeout", "no tests", "survived")
RESULT = re.compile(r"^ +(enireconcile\.[\w.]+?)\.(x\S+): (.+)$", re.MULTILINE)


def main(patterns: list[str]) -> int:
    """Run what has no verdict yet, then tell the verdicts by module and the names of the survivors."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    run = subprocess.run([BIN / "mutmut", "run", *patterns], env=environment, check=False)
    if run.returncode:
        return run.returncode
    told = subprocess.run([BIN / "mutmut", "results", "--all", "true"], capture_output=True, text=True, check=True)
    found = RESULT.findall(told.stdout)
    for line in table((module, verdict) for module, _, verdict in found):
        sys.stdout.write(f"{line}\n")
    lives = [f"{module}.{name}" for module, name, verdict in found if verdict in ("survived", "no tests")]
    sys.stdout.write("\n".join(["", "To look at one: .venv/bin/mutmut show NAME", *lives, ""]))
    return 0


def table(verdicts: Iterable[tuple[str, str]]) -> list[str]:
    """Verdicts counted by module, a line each, and their sum."""
    counts: dict[str, Counter[str]] = {}
    for module, verdict in verdicts:
        for row in (module, "all"):
            counts.setdefault(row, Counter()).update((verdict, "total"))
    rest = sorted({verdict for row in counts.values() for verdict in row} - set(COLUMNS))
    columns = [*COLUMNS, *rest]
    widths = [max(len(column), 5) for column in columns]
    first = max((len(module) for module in counts), default=0)
    rows = [
        ("", columns),
        *((module, [str(counts[module][column]) for column in columns]) for module in _order(counts)),
    ]
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, cells in rows
    ]


def _order(counts: dict[str, Counter[str]]) -> list[str]:
    return [*sorted(set(counts) - {"all"}), *(["all"] if counts else [])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
