"""How many proofs there were, ``proofs.count`` in a test, and what they measured: lines at the end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

_PROPERTY = "proofs"
_MEASURED = "measured"
_TOLD = pytest.StashKey[bool]()


class Proofs:
    """Counts what a test has proved; only what passes is told. Works across the processes of xdist."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def count(self, kind: str, n: int = 1) -> None:
        """``kind`` is a plural for people, such as ``crash points``."""
        self._record(_PROPERTY, [kind, n])

    def measured(self, line: str) -> None:
        """A line for the end of the run."""
        self._record(_MEASURED, line)


@pytest.fixture
def proofs(record_property: Callable[[str, object], None]) -> Proofs:
    """What this test proves is counted."""
    return Proofs(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line, ``proofs: 90 crash points, 0 failures, 180 recoveries``, after those of what was measured."""
    if config.stash.get(_TOLD, False):
        return
    config.stash[_TOLD] = True
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == _PROPERTY:
                counts[value[0]] += value[1]
            elif name == _MEASURED:
                terminalreporter.write_line(value)
    if counts:
        counts["failures"] = len(terminalreporter.getreports("failed"))
        terminalreporter.write_line("proofs: " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
