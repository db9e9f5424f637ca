"""Clients that are used again by later tests: to make one takes longer than most of what a test does with it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSPreparedRequest


@dataclass
class Lent:
    """A client in use; its requests go to ``url``, whatever server it was made for."""

    key: Hashable
    client: Any
    url: str

    def redirect(self, request: AWSPreparedRequest, **_: Any) -> None:
        request.url = self.url + "/"


_idle: defaultdict[Hashable, list[Lent]] = defaultdict(list)
_lock = threading.Lock()


def lend(key: Hashable, url: str, make: Callable[[], Any]) -> Lent:
    """A client that is not in use; equal keys stand for clients that ``make`` would make alike."""
    with _lock:
        if _idle[key]:
            lent = _idle[key].pop()
            lent.url = url
            return lent
        lent = Lent(key, make(), url)
    lent.client.meta.events.register("before-send", lent.redirect)
    return lent


def give_back(lent: Lent) -> None:
    """Its connections are closed; it opens new ones when it is used again."""
    lent.client.close()
    with _lock:
        _idle[lent.key].append(lent)
