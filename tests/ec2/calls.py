"""The record of one request, which faults act on and tests read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .state import is_read


@dataclass
class Call:
    """One request that reached the server, in the order of arrival."""

    action: str
    params: dict[str, Any]
    time: float
    error_code: str | None = None
    user_agent: str = ""
    service: str = "ec2"
    request_id: str = ""
    access_key: str = ""
    region: str = ""
    answer: dict[str, Any] | None = field(default=None, repr=False)
    """What a call that changed something was answered, for CloudTrail."""
    dropped: bool = False
    """The connection was cut instead of an answer."""
    acted: bool = False
    """The world carried the operation out, whatever the client was told."""
    as_of: float | None = field(default=None, repr=False)
    """The moment of the past that a stale read answers from."""

    @property
    def mutates(self) -> bool:
        return not (is_read(self.action) or self.dry_run)

    @property
    def dry_run(self) -> bool:
        """A question about permission only, with `DryRun`."""
        return bool(self.params.get("DryRun"))
