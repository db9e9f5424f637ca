"""What came back from an address that a check asked. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from enireconcile.spec import Check


class Answer(Struct, frozen=True):
    """``state`` is how the connection went; ``wrong`` says in a few words what was wrong beyond that.

    ``unreachable`` is what a router or this machine itself says; a filter is ``silent``. ``unknown`` is an attempt
    that did not come to an end, because of a mistake in this program.
    """

    state: Literal["open", "refused", "silent", "unreachable", "unknown"]
    wrong: str = ""

    @property
    def text(self) -> str:
        return self.wrong or self.state

    def fits(self, check: Check) -> bool:
        return self.state == check.expect and not self.wrong


def question(check: Check, address: str | None) -> str:
    """What a check asks: ``tcp 203.0.113.7:22``, ``http 203.0.113.7:80/health``. A query may have secrets."""
    key, name = check.target
    where = address or f"{key}s.{name}"
    host = f"[{where}]" if ":" in where else where
    if check.web is None:
        return f"tcp {host}:{check.port}"
    path, query, _ = check.web.path.partition("?")
    return f"{'https' if check.https is not None else 'http'} {host}:{check.port}{path}{query and '?…'}"
