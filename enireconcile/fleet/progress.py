"""The progress of a fleet run on stderr: each unit that needs attention, and what is left."""

from __future__ import annotations

import time
from collections import Counter

from enireconcile.fleet.report import CODES, UnitResult, head_of
from enireconcile.outputs import logs
from enireconcile.outputs.progress import AGAIN
from enireconcile.outputs.words import counted


class Progress:
    """Of ``units`` units. With ``text``, each change and failure is a line; the summary says why."""

    def __init__(self, units: int, *, text: bool) -> None:
        self._units, self._text = units, text
        self._done: Counter[str] = Counter()
        self._accounts: set[str] = set()
        self._said = time.monotonic()

    def tell(self, result: UnitResult) -> None:
        self._done[result.outcome] += 1
        self._accounts.add(result.unit.account_id)
        if self._text and result.outcome != "unchanged":
            (logs.warn if CODES[result.outcome] else logs.say)(head_of(result))
        now = time.monotonic()
        if now - self._said >= AGAIN:
            self._said = now
            logs.say(self.words())

    def words(self) -> str:
        """How far the run is."""
        done = sum(self._done.values())
        failed = sum(count for outcome, count in self._done.items() if CODES[outcome])
        troubled = f", {failed} need attention" if failed else ""
        accounts = counted(len(self._accounts), "account")
        return f"{done} of {self._units} units in {accounts}{troubled}; {self._units - done} left"
