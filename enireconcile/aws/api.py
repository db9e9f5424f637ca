"""Calls to AWS, counted, paced and with one layer of retries.

``Reader`` can only describe: it is all that planning gets. ``Writer`` sends one attempt of a mutating call and
reports what came of it; when to call again is the executor's decision, since it knows what a repeat would do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from enireconcile.aws.faults import Fault, Meaning, fault_from, log_call
from enireconcile.aws.pacing import Pacer
from enireconcile.aws.retry import retrying, worth_repeating
from enireconcile.aws.session import Session, is_read
from enireconcile.model import Secret, canonical

log = logging.getLogger("enireconcile.aws")

_SERVICES = {"GetCallerIdentity": "sts", "GetParameter": "ssm", "LookupEvents": "cloudtrail"}
_PAGED = frozenset(
    {
        "DescribeAddressesAttribute",
        "DescribeImages",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeManagedPrefixLists",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVpcs",
    }
)
_PAGE_SIZES = {"DescribeInstanceTypes": 100, "DescribeManagedPrefixLists": 100}
_PAGE_SIZE = 1000
_LASTING = frozenset({"DescribeAccountAttributes", "DescribeInstanceTypes", "DescribeManagedPrefixLists"})
"""What stays the same as long as a run lasts, and is asked once."""


class Channel:
    """One run's way to AWS: the session, a pool of threads, the pacer and the counters."""

    def __init__(self, session: Session, parallelism: int = 10) -> None:
        self.session = session
        self.pacer = Pacer()
        self.calls: Counter[str] = Counter()
        self.throttled = 0
        self._in_flight: set[object] = set()
        self._pool = ThreadPoolExecutor(max_workers=parallelism, thread_name_prefix="aws")

    async def attempt(
        self, call: str, params: Mapping[str, Any], check: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """One request, once. Raises Fault, and what ``check`` raises when it is the request's turn."""
        await self.pacer.turn(call)
        check()
        self.calls[call] += 1
        loop = asyncio.get_running_loop()
        log.debug("%s %s", call, canonical(params))
        began = loop.time()
        # Shielded: a call that EC2 has perhaps begun is never abandoned half way, whoever cancels us.
        answer = loop.run_in_executor(self._pool, self._send, call, _exposed(params))
        try:
            response = await asyncio.shield(answer)
        except Fault as fault:
            log_call(call, loop.time() - began, fault.request_id, fault)
            if fault.meaning is Meaning.THROTTLED:
                self.throttled += 1
                self.pacer.bucket(call).throttled()
            raise
        log_call(call, loop.time() - began, response.get("ResponseMetadata", {}).get("RequestId"))
        self.pacer.bucket(call).succeeded()
        return response

    def _send(self, call: str, params: dict[str, Any]) -> dict[str, Any]:
        this = object()
        self._in_flight.add(this)
        try:
            client = self.session.client(_SERVICES.get(call, "ec2"))
            method: Callable[..., dict[str, Any]] = getattr(client, xform_name(call))
            response = method(**params)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise fault_from(call, error) from None
        finally:
            self._in_flight.discard(this)
        return response

    @property
    def busy(self) -> bool:
        """Is a request on the wire? After a run there is none, unless somebody did not want to wait."""
        return bool(self._in_flight)

    def close(self) -> None:
        """Wait for no answer: whoever wants one has it by now."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.session.close()


class Reader:
    """Describes, and nothing else: a mutating call cannot leave it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lasting: dict[str, dict[str, Any]] = {}

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All pages of one describe, their lists joined. Raises AwsError."""
        if not is_read(call):
            raise PermissionError(f"{call} is not a read")
        question = f"{call} {canonical(params)}"
        if question in self._lasting:
            return self._lasting[question]
        try:
            answer = await self._all_pages(call, dict(params or {}))
        except Fault as fault:
            raise fault.error() from None
        if call in _LASTING:
            self._lasting[question] = answer
        return answer

    async def _all_pages(self, call: str, params: dict[str, Any]) -> dict[str, Any]:
        if call not in _PAGED:
            return await self._patiently(call, params)
        params = {"MaxResults": _PAGE_SIZES.get(call, _PAGE_SIZE), **params}
        pages = [await self._patiently(call, params)]
        # A page may be short or even empty while there is more: only the absent token ends the list.
        while token := pages[-1].get("NextToken"):
            pages.append(await self._patiently(call, {**params, "NextToken": token}))
        return _joined(pages)

    async def _patiently(self, call: str, params: dict[str, Any]) -> dict[str, Any]:
        async for trial in retrying(worth_repeating):
            with trial:
                return await self._channel.attempt(call, params)
        raise AssertionError("unreachable")


class Writer:
    """One attempt of one mutating call at a time. ``check`` raises when the right to make any is lost."""

    def __init__(self, channel: Channel, check: Callable[[], None] = lambda: None) -> None:
        self._channel, self._check = channel, check

    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Fault, and what ``check`` raises."""
        return await self._channel.attempt(call, params, self._check)


def _joined(pages: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for page in pages:
        for key, value in page.items():
            if isinstance(value, list):
                joined.setdefault(key, []).extend(value)
    return joined


def _exposed(value: Any) -> Any:
    """Parameters as EC2 must get them: secrets opened, mappings and tuples as botocore wants them."""
    if isinstance(value, Secret):
        return value.value
    if isinstance(value, Mapping):
        return {key: _exposed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exposed(item) for item in value]
    return value
