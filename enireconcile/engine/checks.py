"""Run the checks of a spec: ask all addresses at once, until each answers as expected or its time is over.

For those that fail, the live state is read again, with the routes and network ACLs, and says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.engine.planner import guard_account
from enireconcile.engine.stop import Stop, unless_stopped
from enireconcile.errors import AwsError, EnireconcileError, internal_error
from enireconcile.live import reader as live_reader
from enireconcile.live.records import Live, Ways
from enireconcile.live.ways import ways
from enireconcile.model import CheckResult, Reads
from enireconcile.probing import probe
from enireconcile.probing.answer import Answer, question
from enireconcile.probing.target import target_of
from enireconcile.probing.why import Case, why
from enireconcile.spec import Check, Spec

log = logging.getLogger("enireconcile.checks")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_LEAST_PATIENCE = 1.0


class _Ended(Struct, frozen=True):
    """A check that is over, with its last answer; None if there was no address, or no time to ask it."""

    name: str
    address: str | None
    answer: Answer | None
    seconds: float
    stopped: bool = False


@dataclass
class Checks:
    """The checks of one spec, run once or, with ``deadlines``, over several rounds of a watch.

    ``tell`` gets an event as each check ends. ``limit`` bounds the time of each check, in seconds, besides its
    ``within``. ``ask`` asks one address once, ``source_to`` says from which address this machine does.
    """

    reader: Reads
    spec: Spec
    region: str
    account_id: str | None
    stop: Stop
    tell: Callable[[Mapping[str, Any]], None]
    limit: float = float("inf")
    ask: probe.Ask = probe.ask
    source_to: Callable[[str, int], str | None] = probe.source_to

    async def run(self, deadlines: Mapping[str, float] | None = None) -> tuple[CheckResult, ...]:
        """Run all checks to their ends; or ask those with ``deadlines`` once, and leave out those that go on.

        Deadlines are on the loop's clock. Raises AwsError if the addresses cannot be read, and GuardError if the
        credentials belong to another account than the spec's.
        """
        rows = self.spec.document.checks
        names = sorted(rows if deadlines is None else deadlines.keys() & rows.keys())
        if not names:
            return ()
        if deadlines is None:
            longest = min(max(rows[name].seconds for name in names), self.limit)
            self.tell({"type": "checks", "names": names, "seconds": longest})
        live = await unless_stopped(self._read(self.account_id), self.stop)
        addresses = (
            {name: target_of(rows[name], self.spec.document, live).address for name in names} if live else {}
        )
        asking = (self._ended(name, addresses.get(name), (deadlines or {}).get(name)) for name in names)
        ended = [each for each in await asyncio.gather(*asking) if each is not None]
        return await self._results(ended, live)

    def unread(self, error: EnireconcileError) -> tuple[CheckResult, ...]:
        """All checks, failed because of an error of the first read."""
        rows = sorted(self.spec.document.checks.items())
        why = f"the addresses could not be read: {error.message}"
        return tuple(
            CheckResult(name, question(row, None), row.expect, got=None, seconds=0.0, why=why)
            for name, row in rows
        )

    async def _read(self, account_id: str | None) -> Live:
        live = await live_reader.read(self.reader, self.spec.document, self.region, account_id)
        guard_account(self.spec, live.account_id)
        return live

    # ---- asking

    async def _ended(self, name: str, address: str | None, deadline: float | None) -> _Ended | None:
        """Ask until the check is over; None if it was asked once, and is not over."""
        check, clock = self.spec.document.checks[name], asyncio.get_running_loop().time
        began, once = clock(), deadline is not None
        if self.stop.is_set() or address is None:
            over = self.stop.is_set() or deadline is None or began >= deadline
            return _Ended(name, address, None, 0.0, stopped=self.stop.is_set()) if over else None
        until = began + min(check.seconds, self.limit) if deadline is None else deadline
        answer, over = await self._ask_until(check, address, until, once=once)
        ended = _Ended(name, address, answer, clock() - began, stopped=not over and self.stop.is_set())
        if not (over or self.stop.is_set()):
            return None
        good = answer is not None and answer.fits(check)
        self.tell(
            {
                "type": "check",
                "name": name,
                "what": question(check, address),
                "status": "ok" if good else "failed",
                "got": answer.text if answer is not None else None,
                "seconds": round(ended.seconds, 3),
            }
        )
        return ended

    async def _ask_until(
        self, check: Check, address: str, until: float, *, once: bool
    ) -> tuple[Answer | None, bool]:
        """The last answer, and whether the check is over: the answer fits, or it is late."""
        clock, pause = asyncio.get_running_loop().time, _FIRST_PAUSE
        answer: Answer | None = None
        while not self.stop.is_set():
            latest = await unless_stopped(self._asked(check, address, until - clock()), self.stop)
            answer = latest or answer
            if latest is not None and (latest.fits(check) or clock() >= until):
                return answer, True
            if once:
                break
            await unless_stopped(asyncio.sleep(min(pause, max(until - clock(), 0.0))), self.stop)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return answer, False

    async def _asked(self, check: Check, address: str, left: float) -> Answer:
        """The answer of one attempt. An unexpected exception is one, too: the other checks go on."""
        try:
            return await self.ask(check, address, _patience(check, left))
        except Exception as error:
            log.debug("asking %s", question(check, address), exc_info=error)
            return Answer("unknown", internal_error(error).message)

    # ---- judging

    async def _results(self, ended: Sequence[_Ended], live: Live | None) -> tuple[CheckResult, ...]:
        rows = self.spec.document.checks
        failed = [each for each in ended if not _is_ok(each, rows[each.name]) and not each.stopped]
        judged = await unless_stopped(self._judge(failed, live), self.stop) if failed and live else {}
        return tuple(self._result(each, rows[each.name], judged or {}) for each in ended)

    def _result(self, ended: _Ended, check: Check, judged: Mapping[str, str]) -> CheckResult:
        reason = judged.get(ended.name)
        if not _is_ok(ended, check) and reason is None:
            reason = f"{self.stop.reason or 'stopped'}: the check was not over"
        return CheckResult(
            name=ended.name,
            what=question(check, ended.address),
            expect=check.expect,
            got=ended.answer.text if ended.answer is not None else None,
            seconds=ended.seconds,
            why=reason,
        )

    async def _judge(self, failed: Sequence[_Ended], before: Live) -> dict[str, str]:
        """Why each of these failed, by name. The live state may have changed while they were asked."""
        document = self.spec.document
        live, unread = await self._read_again(before)
        targets = [target_of(document.checks[each.name], document, live) for each in failed]
        interfaces = {each.interface.id: each.interface for each in targets if each.interface is not None}
        found = await ways(self.reader, live, interfaces.values()) if interfaces else Ways()
        found = replace(found, unanswered={**found.unanswered, **unread})
        return {each.name: self._why(each, live, found) for each in failed}

    async def _read_again(self, before: Live) -> tuple[Live, Mapping[str, str]]:
        try:
            return await self._read(before.account_id), {}
        except AwsError as error:
            return before, {error.call: error.code}

    def _why(self, ended: _Ended, live: Live, found: Ways) -> str:
        """The reason. An unexpected exception is one, too: the results are kept."""
        try:
            return why(self._case(ended, live, found))
        except Exception as error:
            log.debug("judging %s", ended.name, exc_info=error)
            return internal_error(error).message

    def _case(self, ended: _Ended, live: Live, found: Ways) -> Case:
        check = self.spec.document.checks[ended.name]
        source = self.source_to(ended.address, check.port) if ended.address else None
        return Case(check, self.spec.document, self.spec.file, live, found, ended.answer, source, ended.address)


def _is_ok(ended: _Ended, check: Check) -> bool:
    return ended.answer is not None and ended.answer.fits(check) and not ended.stopped


def _patience(check: Check, left: float) -> float:
    """Silence is an answer only after the whole patience."""
    return probe.PATIENCE if check.expect == "silent" else min(probe.PATIENCE, max(left, _LEAST_PATIENCE))
