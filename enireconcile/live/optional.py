"""Reads that only sharpen a check, a hint or a name: a plan goes on without their answers, and warns of it.

Whether a read is optional depends on its use. DescribeImages must find the image that a spec selects by name. For
an image id, it only checks whether EC2 could launch the image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from enireconcile.errors import AwsError
from enireconcile.live.filters import filters_for
from enireconcile.model import Reads

PATIENCE = 10.0
"""Seconds that a plan waits for an optional read, retries included."""


async def read_optional(reader: Reads, call: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """All pages of a read. Raises AwsError, after PATIENCE at the latest."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read(call, params)
    except TimeoutError:
        raise AwsError(call, "NoAnswer", f"no answer within {PATIENCE:.0f} s") from None


class Answers:
    """Reads that the credentials may not be allowed to make, or that an endpoint may not know or answer.

    ``unanswered`` maps calls that failed, at least once, to the code of the error.
    """

    def __init__(self, reader: Reads) -> None:
        self._reader = reader
        self.read: set[str] = set()
        self.unanswered: dict[str, str] = {}

    async def ask(
        self, call: str, params: Mapping[str, Any], key: str, absent: str = ""
    ) -> list[Mapping[str, Any]]:
        """The items under ``key``, or the one item; none if EC2 answers with the code ``absent``."""
        try:
            response = await read_optional(self._reader, call, params)
        except AwsError as error:
            if error.code != absent:
                self.unanswered[call] = error.code
                return []
            response = {}
        self.read.add(call)
        found = response.get(key) or ()
        return [found] if isinstance(found, Mapping) else list(found)

    async def ask_all(
        self, call: str, name: str, values: Sequence[str], key: str, more: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """The items whose filter ``name`` has one of the values; no call for no values."""
        answers = await asyncio.gather(
            *(self.ask(call, {**(more or {}), "Filters": each}, key) for each in filters_for(name, values))
        )
        return [item for items in answers for item in items]
