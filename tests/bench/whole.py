"""Whole processes, measured from outside: wall time, CPU and memory of the command and all that it waited for."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCH = str(Path(__file__).with_name("launch.py"))
Prepare = Callable[[], object]


INSTALLED = str(Path(sys.prefix, "bench", "bin", "python"))
"""The Python of an installation without extras, which ``make bench`` makes.

Both sides run there: what extras bring slows the start (tenacity imports tornado if it is there, for instance).
"""


def tool(*words: object) -> list[str]:
    """A command line of this project."""
    return [INSTALLED, "-m", "enireconcile", *map(str, words)]


def python(text: str, *words: object) -> list[str]:
    """A program in Python, as text."""
    return [INSTALLED, "-c", text, *map(str, words)]


@dataclass(frozen=True)
class Cost:
    """``wall`` and ``cpu`` in seconds, ``peak`` in MiB: that of the largest process; ``code`` is its exit code."""

    wall: float
    cpu: float
    peak: float
    code: int


def cost_of(command: Sequence[str], environment: Mapping[str, str], codes: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end. Raises RuntimeError with its output if its exit code is not one of ``codes``."""
    done = subprocess.run(
        [sys.executable, "-ES", LAUNCH, *command], env=environment, capture_output=True, text=True, check=True
    )
    wall, cpu, peak, code = json.loads(done.stdout)
    if code not in codes:
        raise RuntimeError(f"{' '.join(command[:6])} … ended with {code}:\n{done.stderr[-3000:]}")
    return Cost(wall, cpu, peak / 1024, code)


@dataclass(frozen=True)
class Pair:
    """Costs of two commands that ran in turn, ours first."""

    ours: Sequence[Cost]
    theirs: Sequence[Cost]

    def ratio(self, what: str) -> float:
        """The median of the ratios, pair by pair."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return float(statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs))

    def medians(self, what: str) -> tuple[float, float]:
        ours, theirs = ([getattr(each, what) for each in side] for side in (self.ours, self.theirs))
        return statistics.median(ours), statistics.median(theirs)


def in_turn(
    ours: Sequence[str],
    theirs: Sequence[str],
    environment: Mapping[str, str],
    *,
    runs: int,
    before: Prepare = lambda: None,
) -> Pair:
    """Run two commands in turn, once more than is counted: the first time warms caches.

    What ``before`` does is not measured.
    """
    found: list[tuple[Cost, Cost]] = []
    for _ in range(runs + 1):
        before()
        first = cost_of(ours, environment)
        before()
        found.append((first, cost_of(theirs, environment)))
    return Pair([pair[0] for pair in found[1:]], [pair[1] for pair in found[1:]])
