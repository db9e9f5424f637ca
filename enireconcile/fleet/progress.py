"""What a fleet run tells while it runs: plans and failed checks on stdout; errors and how far it is on stderr."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from textwrap import indent

from enireconcile.errors import EnireconcileError
from enireconcile.fleet.report import CODES, UnitResult, head_of, unit_json
from enireconcile.fleet.units import Unit
from enireconcile.model import CHECK_FAILED
from enireconcile.outputs import logs
from enireconcile.outputs.json import dumps
from enireconcile.outputs.progress import AGAIN
from enireconcile.outputs.stdout import as_shown, print_result
from enireconcile.outputs.words import counted
from enireconcile.printable import printable_lines

_FEW = 3
"""The most units that are named of those that run."""


class Progress:
    """Of a run with these units. ``command`` is its name, ``output`` the format of stdout.

    cron mails what an unattended run prints on stderr: how far it is says a run only at a terminal, or once it has
    told something.
    """

    def __init__(
        self, command: str, units: Sequence[Unit], output: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._command, self._units, self._output, self._clock = command, len(units), output, clock
        self._done: Counter[str] = Counter()
        self._left = Counter(unit.account_id for unit in units)
        self._accounts = len(self._left)
        self._said, self._speaks = clock(), sys.stderr.isatty()

    def tell(self, result: UnitResult) -> None:
        """Tell how a unit ended."""
        self._done[result.outcome] += 1
        self._left[result.unit.account_id] -= 1
        if self._output == "json":
            plan = {"plan": result.details} if self._command == "plan" else {}
            print_result(dumps({"type": "unit", **unit_json(result), **plan}))
        elif result.details or result.code == CHECK_FAILED:
            below = result.details or indent(result.error or "", "  ")
            print_result(as_shown(f"{head_of(result)}\n{printable_lines(below)}\n"))
        elif result.outcome == "converged":
            logs.say(head_of(result))
        if CODES[result.outcome] and result.code != CHECK_FAILED:
            why = f"\n{indent(result.error, '  ')}" if result.error else ""
            logs.complain(EnireconcileError(f"{head_of(result)}{why}"), exit_code=result.code)
        self._speaks = self._speaks or result.outcome != "unchanged"

    def tick(self, running: Collection[str]) -> None:
        """Tell now and then how far the run is; ``running`` are the names of the units in flight."""
        if self._speaks and self._clock() - self._said >= AGAIN:
            self._said = self._clock()
            logs.say(self.words(running))

    def words(self, running: Collection[str]) -> str:
        """How far the run is: ``12 of 40 units, 3 of 10 accounts, 1 needs attention; running: …``."""
        done = sum(self._done.values())
        accounts = self._accounts - sum(left > 0 for left in self._left.values())
        failed = sum(count for outcome, count in self._done.items() if CODES[outcome])
        troubled = f", {failed} {'needs' if failed == 1 else 'need'} attention" if failed else ""
        names = sorted(running)
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        shown = f"; running: {', '.join(names[:_FEW])}{more}" if names else ""
        units, of_accounts = counted(self._units, "unit"), counted(self._accounts, "account")
        return f"{done} of {units}, {accounts} of {of_accounts}{troubled}{shown}"
