"""Reads that only sharpen a check, a hint or a name: a plan goes on without their answers, and warns of it.

Whether a read is optional depends on its use. DescribeImages must find the image that a spec selects by name. For
an image id, it only checks whether EC2 could launch the image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from enireconcile.errors import AwsError
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
