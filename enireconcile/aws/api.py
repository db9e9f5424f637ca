"""Calls to AWS: paced, counted, and with one layer of retries.

Planning gets a ``Reader``, which can only describe. A ``Writer`` sends one attempt of a mutating call. The
executor decides whether to call again, since it knows what a repeat would do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore import xform_name

from enireconcile.aws.actions import action, is_read
from enireconcile.aws.answers import UnreadableAnswer, check_attribute, check_filtered
from enireconcile.aws.faults import Fault, Meaning, fault_from, log_call, unreadable
from enireconcile.aws.last_check import Check, checked_last
from enireconcile.aws.pacing import Pacer
from enireconcile.aws.retry import Reminder, answer_of, is_transient, retrying
from enireconcile.aws.sending import CREDENTIALS, Notices, Sending, Slow, sending, waiting
from enireconcile.aws.session import Session
from enireconcile.errors import EnireconcileError, LostLockError
from enireconcile.model import Denial, Secret, canonical

log = logging.getLogger("enireconcile.aws")
_MOST_PAGES = 1000
_MOMENT = 1.0
"""Seconds for which a read that failed lets earlier ones end."""


@dataclass(eq=False)
class _Wait:
    """A read that is not answered yet: since which loop time, how often it failed, and with what last."""

    call: str
    since: float
    request: Sending
    failures: int = 0
    last: Fault | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def failed(self, fault: Fault) -> None:
        self.failures, self.last = self.failures + 1, fault

    def words(self, now: float, others: str) -> str:
        for_credentials = self.request.since is not None and self.request.host is None
        waited = f"waited {now - self.since:.1f} s for {CREDENTIALS if for_credentials else self.call}{others}"
        if for_credentials:
            return waited
        if self.last is None:
            return f"{waited}, which did not answer"
        times = "once" if self.failures == 1 else f"{self.failures} times"
        return f"{waited}, tried {times}; the last answer was {answer_of(self.last)}"


class Channel:
    """One run's connection to AWS: session, thread pool, pacer and counters.

    ``file`` is the spec file of the run, for hints; ``denials`` are the calls that a policy did not allow.
    ``slow`` is told which endpoint a read waits for.
    """

    def __init__(
        self,
        session: Session,
        parallelism: int = 10,
        *,
        file: str | None = None,
        slow: Slow = lambda _: None,
    ) -> None:
        self.session = session
        self._notices = Notices(slow)
        self.file = file
        self.denials: list[Denial] = []
        self.pacer = Pacer()
        self.calls: Counter[str] = Counter()
        self.throttled = 0
        self._in_flight: set[object] = set()
        self._waits: list[_Wait] = []
        self._pool = ThreadPoolExecutor(max_workers=parallelism, thread_name_prefix="aws")

    async def attempt(
        self,
        call: str,
        params: Mapping[str, Any],
        check: Check | None = None,
        request: Sending | None = None,
        *,
        paced: bool = False,
    ) -> dict[str, Any]:
        """Send one request once. Raises Fault, and LostLockError if ``check`` raises it: nothing was sent then.

        ``check`` runs in a thread, at the last moment before the request leaves. ``request`` learns what it waits
        for.
        """
        if not paced:
            await self.pacer.turn(call)
        self.calls[call] += 1
        loop = asyncio.get_running_loop()
        log.debug("%s %s", call, canonical(params))
        began = loop.time()
        # Shielded: a request that EC2 may have begun is not abandoned when this task is cancelled.
        answer = loop.run_in_executor(self._pool, self._send, call, _exposed(params), check, request or Sending())
        answer.add_done_callback(retrieved)
        reminder = Reminder(call)
        try:
            response = await asyncio.shield(answer)
        except LostLockError:
            self.calls -= Counter([call])
            log.info("%s was not sent: the lock is lost", call)
            raise
        except Fault as fault:
            log_call(call, loop.time() - began, fault.request_id, fault)
            if fault.encoded is not None:
                self.denials.append(Denial(call, fault.request_id, fault.encoded))
            if fault.meaning is Meaning.THROTTLED:
                self.throttled += 1
                self.pacer.bucket(call).throttled(began, loop.time())
            raise
        finally:
            reminder.cancel()
        log_call(call, loop.time() - began, response.get("ResponseMetadata", {}).get("RequestId"))
        self.pacer.bucket(call).succeeded(began)
        return response

    def _send(self, call: str, params: dict[str, Any], check: Check | None, request: Sending) -> dict[str, Any]:
        this = object()
        self._in_flight.add(this)
        try:
            with checked_last(check), sending(request):
                return self._answer(call, params)
        finally:
            self._in_flight.discard(this)

    def _answer(self, call: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            client = self.session.client(action(call).service)
            method: Callable[..., dict[str, Any]] = getattr(client, xform_name(call))
            with waiting(until_answered=True):
                return method(**params)
        except (EnireconcileError, PermissionError):
            # Our own: no client for this service, the lock is lost, or the session is read-only.
            raise
        except Exception as error:  # noqa: BLE001 (botocore raises more than its own errors for a wrong answer)
            raise fault_from(call, error, self.file, self.session.profile) from None

    async def prepare(self, service: str) -> None:
        """Make the client of a service, which takes as long as a call. If that fails, its first call tells why."""
        with suppress(EnireconcileError):
            await asyncio.get_running_loop().run_in_executor(self._pool, self.session.client, service)

    @contextmanager
    def waiting(self, call: str, request: Sending) -> Iterator[_Wait]:
        """Around the attempts of one read, which are one ``request``."""
        wait = _Wait(call, asyncio.get_running_loop().time(), request)
        self._waits.append(wait)
        try:
            with self._notices.watching(request):
                yield wait
        finally:
            self._waits.remove(wait)
            # A read that a run left behind ends after the event loop, where no other read waits for it.
            with suppress(RuntimeError):
                wait.ended.set()

    async def in_turn(self, failed: _Wait) -> None:
        """Let the reads that began before this one end first, for a moment.

        Where several reads fail for one reason, such as no credentials, it is no chance which of them is told.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT):
                for wait in self._waits[: self._waits.index(failed)]:
                    await wait.ended.wait()

    def waits(self) -> str:
        """The reads that are not answered yet, since when, and the last answer; empty if there are none."""
        if not self._waits:
            return ""
        waits = sorted(self._waits, key=lambda wait: (wait.last is None, wait.since))
        more = len(waits) - 1
        others = f" and {more} more call{'s' if more > 1 else ''}" if more else ""
        return waits[0].words(asyncio.get_running_loop().time(), others)

    def widen(self, parallelism: int) -> None:
        """Make up to so many calls at once from now on."""
        self._pool.shutdown(wait=False)
        self._pool = ThreadPoolExecutor(max_workers=parallelism, thread_name_prefix="aws")

    @property
    def busy(self) -> bool:
        """Whether a request is in flight; after a run only if the user exited without waiting for it."""
        return bool(self._in_flight)

    def close(self) -> None:
        """Close the clients without waiting for requests in flight."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.session.close()


class Reader:
    """Sends reads only: it refuses every other call."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answers: dict[str, dict[str, Any]] = {}

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All pages of a read with their lists joined. Raises AwsError; PermissionError if it is not a read."""
        if call == "GetCallerIdentity" and (account := self._channel.session.account_id):
            # AssumeRole has answered it: these credentials belong to the role's account.
            return {"Account": account}
        request = f"{call} {canonical(params)}"
        if request in self._answers:
            return self._answers[request]
        answer = _joined([page async for page in self._sent(call, dict(params or {}))])
        if action(call).asked_once:
            self._answers[request] = answer
        return answer

    async def pages(self, call: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[dict[str, Any]]:
        """The pages of a read one by one, for lists that are too long to keep as they come. Raises as ``read``."""
        if action(call).asked_once:
            yield await self.read(call, params)
            return
        async for page in self._sent(call, dict(params or {})):
            yield page

    async def _sent(self, call: str, params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if not is_read(call):
            raise PermissionError(f"{call} is not a known read")
        page_size = action(call).page_size
        if page_size is not None:
            params = {"MaxResults": page_size, **params}
        seen: set[str] = set()
        try:
            while True:
                page = await self._with_retries(call, params)
                token = page.get("NextToken") if page_size is not None else None
                yield page
                # A page may be short or even empty although more follow: only a missing token ends the list.
                if not token:
                    return
                if token in seen:
                    raise unreadable(call, "it repeats a NextToken, so that its pages have no end")
                seen.add(token)
                if len(seen) == _MOST_PAGES:
                    raise unreadable(call, f"it has more than {_MOST_PAGES} pages")
                params = {**params, "NextToken": token}
        except Fault as fault:
            raise fault.error() from None

    async def _with_retries(self, call: str, params: dict[str, Any]) -> dict[str, Any]:
        request = Sending()
        with self._channel.waiting(call, request) as wait:
            try:
                async for trial in retrying(is_transient, failed=wait.failed, queue=self._channel.pacer.queue):
                    with trial:
                        answer = await self._channel.attempt(call, params, request=request)
                        _check_filtered(call, params, answer)
                        return answer
            except Fault:
                await self._channel.in_turn(wait)
                raise
        raise AssertionError("unreachable")


class Writer:
    """Sends one attempt of a mutating call. ``check`` raises LostLockError once the lock of the stack is lost."""

    def __init__(self, channel: Channel, check: Check | None = None) -> None:
        self._channel, self._check = channel, check

    async def turn(self, call: str) -> None:
        """Wait until EC2's pace lets this call be sent. Nothing is lost if the wait is given up."""
        await self._channel.pacer.turn(call)

    def queue(self, call: str) -> float:
        """Seconds until this call, if it asked now, would have its turn at EC2's pace, about."""
        return self._channel.pacer.queue(call)

    def backlog(self) -> float:
        """Seconds for which calls of this run wait for EC2's pace."""
        return self._channel.pacer.backlog()

    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send it now: ``turn`` comes before. Raises Fault, and what ``check`` raises."""
        return await self._channel.attempt(call, params, self._check, paced=True)


def retrieved(answer: asyncio.Future[Any]) -> None:
    """Take the exception of an answer for which a cancelled task does not wait: asyncio would print it."""
    if not answer.cancelled():
        answer.exception()


def _check_filtered(call: str, params: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    row = action(call)
    try:
        if row.listing is not None:
            check_filtered(row.listing, params, jmespath.search(row.listing.objects, answer) or [])
        elif not row.lists:
            check_attribute(params, answer)
    except UnreadableAnswer as error:
        raise unreadable(call, str(error)) from None


def _joined(pages: list[dict[str, Any]]) -> dict[str, Any]:
    if len(pages) == 1:
        return pages[0]
    joined: dict[str, Any] = {}
    for page in pages:
        for key, value in page.items():
            if isinstance(value, list):
                joined.setdefault(key, []).extend(value)
    return joined


def _exposed(value: Any) -> Any:
    """Parameters as botocore takes them: secrets in plain text, mappings as dicts, tuples as lists."""
    if isinstance(value, Secret):
        return value.value
    if isinstance(value, Mapping):
        return {key: _exposed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exposed(item) for item in value]
    return value
