"""Mutation testing of the pure core: ``make mutants``, or ``python -m tests.mutants [PATTERN …]`` for a part.

mutmut makes small changes to the code and runs the tests of the pure core that reach each; what to change and how
to test it says ``pyproject.toml``. Verdicts stay in ``mutants/``: a second run tests what has changed and whatever
had survived.
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
LIVES = ("survived", "no tests")
Verdicts = list[tuple[str, str, str]]


def main(patterns: list[str]) -> int:
    """Run what is to be run, then tell the verdicts by module and the names of those that live."""
    forget_copies(Path("mutants"))
    # Which test reaches what is asked anew: old tests reach new functions, too, and mutmut asks new tests only.
    Path("mutants", "mutmut-stats.json").unlink(missing_ok=True)
    alive = [] if patterns else _alive(_verdicts())
    code = _run(patterns)
    if code == 0 and alive:
        code = _run(alive)
    if code:
        return code
    verdicts = _verdicts()
    for line in table((module, verdict) for module, _, verdict in verdicts):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write("\n".join(["", "To look at one: .venv/bin/mutmut show NAME", *_alive(verdicts), ""]))
    return 0


def forget_copies(directory: Path) -> None:
    """Remove copies of code that is not mutated: mutmut makes those that are missing, and never renews one."""
    for copy in (directory / "enireconcile").rglob("*.py"):
        if not copy.with_suffix(".py.meta").exists():
            copy.unlink()


def _run(names: list[str]) -> int:
    """Without names, mutmut runs what has no verdict; with names, these again."""
    # mutmut finds mypy by PATH.
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run([BIN / "mutmut", "run", *names], env=environment, check=False).returncode


def _verdicts() -> Verdicts:
    """Module, mutant and verdict of all that mutmut knows."""
    told = subprocess.run([BIN / "mutmut", "results", "--all", "true"], capture_output=True, text=True, check=True)
    return RESULT.findall(told.stdout)


def _alive(verdicts: Verdicts) -> list[str]:
    return [f"{module}.{name}" for module, name, verdict in verdicts if verdict in LIVES]


def table(verdicts: Iterable[tuple[str, str]]) -> list[str]:
    """Verdicts counted by module, a line each, and their sum."""
    counts: dict[str, Counter[str]] = {}
    for module, verdict in verdicts:
        for row in (module, "all"):
            counts.setdefault(row, Counter()).update((verdict, "total"))
    others = {verdict for row in counts.values() for verdict in row} - set(COLUMNS)
    columns = [*COLUMNS, *sorted(others)]
    widths = [max(len(column), 5) for column in columns]
    first = max((len(module) for module in counts), default=0)
    modules = sorted(counts, key=lambda module: (module == "all", module))
    rows = [("", columns), *((module, [str(counts[module][column]) for column in columns]) for module in modules)]
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, cells in rows
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
