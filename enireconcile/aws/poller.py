"""One poller for all waits: each tick sends one describe for all interfaces, one for all instances, and so on.

It asks by filter, never by id list: one unknown id in a list fails the whole call, and a filtered describe draws
on the larger token bucket (EC2 API reference, "Pagination" and "Filters").
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jmespath

from enireconcile.aws.actions import Listing, listing_of
from enireconcile.aws.faults import TRANSIENT
from enireconcile.errors import AwsError
from enireconcile.model import Asks, Expect
from enireconcile.printable import printable

_FIRST_LOOK = 0.025
"""Seconds from a call to the first look at what it has made; later looks are further apart."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_GROWTH = 1.4
_FILTER_VALUES = 200
_PART_OF_BACKLOG, _LONGEST_COMPANY = 4, 2.5
"""A wait lets others join it for this part of the backlog, and at most for so many seconds."""
_LAST_LOOK = TRANSIENT + 60.0
"""Seconds after its deadline at which a wait ends although its last describe has not returned."""


class WaitFailed(Exception):
    """The condition was not met in time (``late``), or can no longer be met."""

    def __init__(self, expect: Expect, why: str, *, late: bool = False) -> None:
        advice = f"; {expect.advice}" if late and expect.advice else ""
        super().__init__(f"{expect.id}: {why}{advice}")
        self.expect, self.late = expect, late


def objects_in(describe: str, response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects that a describe answer lists.

    Raises AwsError if the answer has no list, since EC2 also sends empty ones; UnknownAction for other calls.
    """
    path = listing_of(describe).objects
    objects = jmespath.search(path, response)
    if not isinstance(objects, list):
        # Treating the answer as an empty list could create a resource twice, or take one for deleted.
        raise _unreadable(describe, f"it lacks {path}")
    return objects


def fulfilled(has: Iterable[tuple[str, tuple[Any, ...]]], found: Mapping[str, Any]) -> bool:
    """Whether the object shows one of the expected values for every JMESPath expression."""
    return all(jmespath.search(expression, found) in values for expression, values in has)


@dataclass(eq=False)
class _Wait:
    """One call of ``Poller.wait``. ``deadline`` and ``next_look`` are loop times, ``pause`` is in seconds."""

    expect: Expect
    done: asyncio.Future[Mapping[str, Any]]
    deadline: float
    next_look: float
    pause: float = _FIRST_PAUSE

    def end(self, result: Mapping[str, Any] | Exception) -> None:
        if self.done.done():
            return
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)

    def judge(self, found: Mapping[str, Any] | None, now: float) -> None:
        """End the wait if the object meets the condition, never will, or the deadline has passed."""
        if (result := _result(self.expect, found)) is not None:
            self.end(result)
        elif now >= self.deadline:
            self.end(WaitFailed(self.expect, _last_state(self.expect, found), late=True))
        else:
            self.next_look = min(now + self.pause, self.deadline)
            self.pause = min(self.pause * _GROWTH, _LONGEST_PAUSE)


class Poller:
    """Waits for many Expects at once. One task per describe call runs while there are waits for it.

    While calls wait for EC2's pace, ``backlog`` seconds long, one describe serves what has been made in a longer
    time: no step is late for it, since the last calls have their turns only at the end.
    """

    def __init__(self, reader: Asks, backlog: Callable[[], float] = lambda: 0.0) -> None:
        self._reader, self._backlog = reader, backlog
        self._waits: dict[str, list[_Wait]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looked: dict[str, float] = {}

    async def wait(self, expect: Expect) -> Mapping[str, Any]:
        """The object once it meets the condition; empty when it is gone and ``expect`` allows that.

        Raises WaitFailed when the condition can no longer be met or the time is over, AwsError when describing
        fails or the answer cannot be read. It always ends, at the latest ``_LAST_LOOK`` seconds after the
        deadline.
        """
        loop = asyncio.get_running_loop()
        first_look = loop.time() + (_FIRST_LOOK if expect.timeout else 0.0)
        wait = _Wait(expect, loop.create_future(), loop.time() + expect.timeout, first_look)
        waits = self._waits.setdefault(expect.describe, [])
        waits.append(wait)
        if expect.describe not in self._tasks or self._tasks[expect.describe].done():
            self._tasks[expect.describe] = asyncio.create_task(self._poll(expect.describe, waits))
        try:
            await asyncio.wait({wait.done}, timeout=expect.timeout + _LAST_LOOK)
            if not wait.done.done():
                raise WaitFailed(expect, f"{expect.describe} has not returned", late=True)
            return wait.done.result()
        finally:
            wait.done.cancel()
            if wait in waits:
                waits.remove(wait)
            if not waits and self._waits.get(expect.describe) is waits:
                # The last wait ends the task, which may still be waiting for an answer.
                del self._waits[expect.describe]
                self._tasks.pop(expect.describe).cancel()

    async def _poll(self, describe: str, waits: list[_Wait]) -> None:
        """Tick until there are no more waits for this describe call."""
        loop = asyncio.get_running_loop()
        try:
            while waits:
                company = min(self._backlog() / _PART_OF_BACKLOG, _LONGEST_COMPANY)
                soonest = max(
                    min(wait.next_look for wait in waits), self._looked.get(describe, -math.inf) + company
                )
                if soonest > loop.time():
                    # A new wait may be due earlier than those that have waited long.
                    await asyncio.sleep(min(soonest - loop.time(), _FIRST_PAUSE))
                    continue
                # All waits for this describe call use its answer, also those that are not due yet.
                await self._tick(describe, [*waits])
                self._looked[describe] = loop.time()
                waits[:] = [wait for wait in waits if not wait.done.done()]
        finally:
            # Waits are left only if this task was cancelled, e.g. because the channel was closed.
            for wait in waits:
                wait.done.cancel()

    async def _tick(self, describe: str, waits: list[_Wait]) -> None:
        """One describe call. An error ends the waits that need its answer; the polling task continues."""
        try:
            found = await self._look(describe, sorted({str(wait.expect.id) for wait in waits}))
        except Exception as error:  # noqa: BLE001 (an unforeseen error, too, must end the waits)
            for wait in waits:
                wait.end(error)
            return
        now = asyncio.get_running_loop().time()
        for wait in waits:
            try:
                wait.judge(found.get(str(wait.expect.id)), now)
            except Exception as error:  # noqa: BLE001 (JMESPath raises, e.g., for length() of an absent list)
                wait.end(_unreadable(describe, f"it does not show the state of {wait.expect.id}: {error}"))

    async def _look(self, describe: str, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        """The live objects with these ids, by id. Raises AwsError."""
        listing = listing_of(describe)
        found: dict[str, Mapping[str, Any]] = {}
        for params in _requests(listing, ids):
            objects = objects_in(describe, await self._reader.read(describe, params))
            try:
                found |= {_id_of(item, listing.id_key): item for item in objects}
            except (KeyError, TypeError) as error:
                # It may be any of the objects that steps wait for, so none of them may count as deleted.
                raise _unreadable(describe, f"an object lacks {listing.id_key}") from error
        return found


def _result(expect: Expect, found: Mapping[str, Any] | None) -> Mapping[str, Any] | WaitFailed | None:
    """What ends the wait, or None to continue."""
    if found is None:
        return {} if expect.gone else None
    if fulfilled(expect.has, found) and (expect.has or not expect.gone):
        return found
    for expression, values in expect.never:
        if (value := jmespath.search(expression, found)) in values:
            return WaitFailed(expect, f"{expression} is {value}{_reason(found)}")
    return None


def _requests(listing: Listing, ids: list[str]) -> Iterator[Mapping[str, Any]]:
    """The parameters of the describe calls that show these objects."""
    if listing.id_filter is None:
        yield listing.params
        return
    for start in range(0, len(ids), _FILTER_VALUES):
        yield {"Filters": [{"Name": listing.id_filter, "Values": ids[start : start + _FILTER_VALUES]}]}


def _id_of(item: Mapping[str, Any], key: str) -> str:
    if not isinstance(item[key], str):
        raise TypeError(key)
    return str(item[key])


def _unreadable(describe: str, why: str) -> AwsError:
    return AwsError(
        describe,
        "UnreadableAnswer",
        f"cannot read EC2's answer: {why}",
        hint="run again; if it fails the same way, please report it",
    )


def _reason(found: Mapping[str, Any]) -> str:
    """EC2's reason why an instance stopped or terminated."""
    reason = jmespath.search("StateReason.Message", found)
    return printable(f" ({reason})") if reason else ""


def _last_state(expect: Expect, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f"after {expect.timeout:g} s still not visible"
    states = [(path, jmespath.search(path, found)) for path, _ in expect.has]
    plain = [
        f"{path} is {'not set' if value in _NOTHING else value}"
        for path, value in states
        if _NAMED.fullmatch(path)
    ]
    # Any other expression is no text for people; what it selects is mostly one id or state.
    others = [f"{expect.describe} shows {'nothing of it' if value in _NOTHING else value}" for _, value in states]
    return printable(f"after {expect.timeout:g} s " + ", ".join(plain or dict.fromkeys(others)))


_NAMED = re.compile(r"[A-Za-z0-9]+(\.[A-Za-z0-9]+)*")
"""A path that has EC2's names only."""
_NOTHING: tuple[Any, ...] = (None, "", [], {})
