"""One poller for everything that waits: a tick asks once for all interfaces, once for all instances, and so on.

Ids are asked for by filter, never by list: one unknown id in a list fails the whole call, and a filter draws on
the larger token bucket (EC2 API reference, "Pagination" and "Filters").
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath

from enireconcile.model import Expect, Reads

_FIRST_TICK = 0.1
_LONGEST_PAUSE = 5.0
_SPREAD = 1.4
_FILTER_VALUES = 200


class WaitFailed(Exception):
    """The condition did not come in time (``late``), or cannot come any more."""

    def __init__(self, expect: Expect, why: str, *, late: bool = False) -> None:
        advice = f"; {expect.advice}" if late and expect.advice else ""
        super().__init__(f"{expect.id}: {why}{advice}")
        self.expect, self.late = expect, late


@dataclass(frozen=True)
class _Kind:
    """How a describe call lists its objects: JMESPath to the list, the id inside, the filter to ask by.

    Where there is no filter, all are asked for, with ``params``.
    """

    objects: str
    id: str
    filter: str | None
    params: Mapping[str, str] = field(default_factory=dict)


KINDS: Mapping[str, _Kind] = {
    "DescribeNetworkInterfaces": _Kind("NetworkInterfaces[]", "NetworkInterfaceId", "network-interface-id"),
    "DescribeInstances": _Kind("Reservations[].Instances[]", "InstanceId", "instance-id"),
    "DescribeAddresses": _Kind("Addresses[]", "AllocationId", "allocation-id"),
    "DescribeAddressesAttribute": _Kind("Addresses[]", "AllocationId", None, {"Attribute": "domain-name"}),
    "DescribeSecurityGroups": _Kind("SecurityGroups[]", "GroupId", "group-id"),
}


def objects_in(describe: str, response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects that a describe answer lists."""
    return list(jmespath.search(KINDS[describe].objects, response) or [])


def fulfilled(has: Iterable[tuple[str, tuple[Any, ...]]], found: Mapping[str, Any]) -> bool:
    """Does the object show, for every expression, one of the values that are asked for?"""
    return all(jmespath.search(expression, found) in values for expression, values in has)


@dataclass
class _Waiter:
    expect: Expect
    done: asyncio.Future[Mapping[str, Any]]
    deadline: float
    next_look: float
    pause: float


class Poller:
    """Waits for many Expects at once. Runs only while somebody waits."""

    def __init__(self, reader: Reads) -> None:
        self._reader = reader
        self._waiters: list[_Waiter] = []
        self._task: asyncio.Task[None] | None = None

    async def wait(self, expect: Expect) -> Mapping[str, Any]:
        """The object once it fulfils the condition (empty when it is gone and that was asked for).

        Raises Missed when it never will or the time is over, AwsError when describing fails.
        """
        loop = asyncio.get_running_loop()
        first = _FIRST_TICK if expect.timeout else 0.0
        waiter = _Waiter(
            expect, loop.create_future(), loop.time() + expect.timeout, loop.time() + first, _FIRST_TICK
        )
        self._waiters.append(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            return await waiter.done
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiters:
            soonest = min(waiter.next_look for waiter in self._waiters)
            if soonest > loop.time():
                # A newcomer may want to look earlier than those who have waited long; its first tick is near.
                await asyncio.sleep(min(soonest - loop.time(), _FIRST_TICK))
                continue
            # Whoever waits for the same kind of object rides along.
            due = {waiter.expect.describe for waiter in self._waiters if waiter.next_look <= loop.time()}
            riders = [waiter for waiter in self._waiters if waiter.expect.describe in due]
            await asyncio.gather(*(self._tick(describe, riders) for describe in sorted(due)))

    async def _tick(self, describe: str, riders: list[_Waiter]) -> None:
        waiters = [waiter for waiter in riders if waiter.expect.describe == describe]
        try:
            found = await self._look(describe, sorted({str(waiter.expect.id) for waiter in waiters}))
        except Exception as error:  # noqa: BLE001 (whatever it is: nobody may be left waiting for it)
            for waiter in waiters:
                self._end(waiter, error)
            return
        now = asyncio.get_running_loop().time()
        for waiter in waiters:
            self._judge(waiter, found.get(str(waiter.expect.id)), now)

    async def _look(self, describe: str, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        kind = KINDS[describe]
        found: dict[str, Mapping[str, Any]] = {}
        for params in _questions(kind, ids):
            response = await self._reader.read(describe, params)
            found.update({item[kind.id]: item for item in objects_in(describe, response)})
        return found

    def _judge(self, waiter: _Waiter, found: Mapping[str, Any] | None, now: float) -> None:
        expect = waiter.expect
        if found is None:
            if expect.gone:
                self._end(waiter, {})
                return
        elif fulfilled(expect.has, found) and (expect.has or not expect.gone):
            self._end(waiter, found)
            return
        else:
            for expression, values in expect.never:
                if (value := jmespath.search(expression, found)) in values:
                    self._end(waiter, WaitFailed(expect, f"{expression} is {value}{_reason(found)}"))
                    return
        if now >= waiter.deadline:
            why = "not to be seen" if found is None else _shown(expect, found)
            self._end(waiter, WaitFailed(expect, why, late=True))
            return
        waiter.next_look = min(now + waiter.pause, max(waiter.deadline, now))
        waiter.pause = min(waiter.pause * _SPREAD, _LONGEST_PAUSE)

    def _end(self, waiter: _Waiter, result: Mapping[str, Any] | Exception) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.done.done():
            return
        if isinstance(result, Exception):
            waiter.done.set_exception(result)
        else:
            waiter.done.set_result(result)


def _questions(kind: _Kind, ids: list[str]) -> Iterator[Mapping[str, Any]]:
    """What to ask with to see these objects."""
    if kind.filter is None:
        yield kind.params
        return
    for start in range(0, len(ids), _FILTER_VALUES):
        yield {"Filters": [{"Name": kind.filter, "Values": ids[start : start + _FILTER_VALUES]}]}


def _reason(found: Mapping[str, Any]) -> str:
    """Why an instance went down, in EC2's words."""
    reason = jmespath.search("StateReason.Message", found)
    return f" ({reason})" if reason else ""


def _shown(expect: Expect, found: Mapping[str, Any]) -> str:
    states = (f"{expression} is {jmespath.search(expression, found)}" for expression, _ in expect.has)
    return f"after {expect.timeout:g} s " + ", ".join(states)
