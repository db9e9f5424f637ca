"""The command on a machine that pauses it: ``pausing.py POINT NTH ARGS…`` stops itself with SIGSTOP, once.

It stops when it comes to the point for the NTH time while it sends AllocateAddress. The lease is short and never
renewed by the clock, so that it has run out when the process goes on, whatever the test did.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from botocore import auth, awsrequest

from enireconcile.__main__ import main
from enireconcile.aws import api
from enireconcile.state import s3

VALID = 0.3
"""Seconds for which a renewal lets calls leave."""
PARTS = 64
"""Bytes of a body that are sent at once."""
_current = threading.local()


def _pause_before(owner: Any, name: str, pause: Callable[[], None], *, after: bool = False) -> None:
    """Make a method pause before it acts, or after."""
    method = getattr(owner, name)

    def paused(*args: Any, **more: Any) -> Any:
        if not after:
            pause()
        answer = method(*args, **more)
        if after:
            pause()
        return answer

    setattr(owner, name, paused)


def _tell_which_call() -> None:
    send = api.Channel._send

    def told(self: api.Channel, call: str, *args: Any) -> Any:
        _current.call = call
        try:
            return send(self, call, *args)
        finally:
            _current.call = ""

    api.Channel._send = told  # type: ignore[method-assign, assignment]


def _pausing(nth: int, wanted: Callable[[], bool]) -> Callable[[], None]:
    count = itertools.count(1)

    def pause() -> None:
        if wanted() and next(count) == nth:
            # It stops the whole process. Sent to the process, it would let this thread run on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    return pause


def _in_small_parts() -> None:
    begin = awsrequest.AWSHTTPConnection.__init__

    def small(self: Any, *args: Any, **more: Any) -> None:
        begin(self, *args, **more)
        self.blocksize = PARTS

    awsrequest.AWSHTTPConnection.__init__ = small  # type: ignore[method-assign]


def _connect_for_every_call() -> None:
    send = api.Channel._send

    def lonely(self: api.Channel, *args: Any) -> Any:
        self.session.client("ec2").close()
        return send(self, *args)

    api.Channel._send = lonely  # type: ignore[method-assign, assignment]


def _allocates() -> bool:
    return getattr(_current, "call", "") == "AllocateAddress"


def _anywhere() -> bool:
    return True


def _renew_for_every_call() -> None:
    check = s3.Lease.check

    def late(self: s3.Lease) -> None:
        if _allocates():
            self._renewed -= s3.LEASE
        check(self)

    s3.Lease.check = late  # type: ignore[method-assign]


def _arm(point: str, nth: int) -> None:
    _tell_which_call()
    allocating, anywhere = _pausing(nth, _allocates), _pausing(nth, _anywhere)
    connection = awsrequest.AWSHTTPConnection
    if point == "queued":
        _pause_before(api.Channel, "_send", allocating)
        _tell_which_call()
    elif point == "signed":
        _pause_before(auth.SigV4Auth, "add_auth", allocating, after=True)
    elif point == "connecting":
        _connect_for_every_call()
        _pause_before(connection, "connect", allocating)
    elif point == "headers sent":
        _pause_before(connection, "endheaders", allocating, after=True)
    elif point == "half of the body sent":
        _in_small_parts()
        _pause_before(connection, "send", allocating, after=True)
    elif point == "before a renewal":
        _renew_for_every_call()
        _pause_before(s3.Lease, "_write", allocating)
    elif point == "after a renewal":
        _renew_for_every_call()
        _pause_before(s3.Lease, "_write", allocating, after=True)
    elif point == "before the journal":
        _pause_before(s3.ObjectLog, "flush", anywhere)
    elif point == "after the journal":
        _pause_before(s3.ObjectLog, "flush", anywhere, after=True)
    else:
        assert point == "never", point


if __name__ == "__main__":
    s3.RENEW_EVERY, s3.LEASE, s3._MARGIN = 1e9, VALID + 1.0, 1.0
    _arm(sys.argv[1], int(sys.argv[2]))
    del sys.argv[1:3]
    main()
