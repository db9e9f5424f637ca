"""Faults on demand. Each is an object with a `before` and an `after`; `server.faults.add(...)` lets it act.

`before` runs when a request is understood and nothing has happened yet, `after` when the world has
acted and the answer is not yet sent. Either may raise an `EC2Error` (the client is told so) or `Drop`
(the client is told nothing: the connection is cut).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from .calls import Call
from .errors import EC2Error
from .state import State


class Drop(Exception):
    """The connection is cut without an answer."""


class Reply(Exception):
    """Something other than EC2 answers, e.g. a proxy."""

    def __init__(self, status: int, content_type: str, body: bytes) -> None:
        super().__init__(status)
        self.status, self.content_type, self.body = status, content_type, body


class Fault:
    """Does nothing; the faults below override what they need."""

    def attached(self, world: State) -> None:
        """Called once, when the fault is added to a server."""

    def before(self, call: Call) -> None:
        """The request is understood; nothing has happened yet."""

    def after(self, call: Call) -> None:
        """The world has acted; the answer is not yet sent."""

    def rewritten(self, call: Call, body: bytes) -> bytes:
        """The body of a good answer as the client gets it."""
        return body


class Faults:
    """The faults of one server, asked in the order in which they were added."""

    def __init__(self, world: State) -> None:
        self._world = world
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        for fault in faults:
            fault.attached(self._world)
            self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def before(self, call: Call) -> None:
        for fault in tuple(self._faults):
            fault.before(call)

    def after(self, call: Call) -> None:
        for fault in tuple(self._faults):
            fault.after(call)

    def rewritten(self, call: Call, body: bytes) -> bytes:
        for fault in tuple(self._faults):
            body = fault.rewritten(call, body)
        return body


@dataclass
class Nth(Fault):
    """Picks calls: of `action` (any mutating call if None), the `nth` one and `times - 1` after it."""

    action: str | None = None
    nth: int = 1
    times: int = 1
    late: bool = False
    """Act after the world has, instead of before."""
    when: Callable[[Call], bool] | None = None
    """A further condition; calls that fail it are not counted."""
    met: int = field(default=0, init=False)
    """How many calls were counted."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def _hit(self, call: Call) -> bool:
        wanted = call.mutates if self.action is None else call.action == self.action and not call.dry_run
        if not wanted or (self.when is not None and not self.when(call)):
            return False
        with self._lock:
            self.met += 1
            return self.nth <= self.met < self.nth + self.times

    def act(self, call: Call) -> None:
        raise NotImplementedError

    def before(self, call: Call) -> None:
        if not self.late and self._hit(call):
            self.act(call)

    def after(self, call: Call) -> None:
        if self.late and self._hit(call):
            self.act(call)


STATUS = {
    "RequestLimitExceeded": 503,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
    "InternalError": 500,
    "InternalFailure": 500,
    "ServerInternal": 500,
    "InsufficientInstanceCapacity": 500,
    "InsufficientHostCapacity": 500,
    "InsufficientAddressCapacity": 500,
    "UnauthorizedOperation": 403,
    "AuthFailure": 401,
}
"""The HTTP status that each code travels under where it is not 400."""


@dataclass
class Fail(Nth):
    """An error answer. With `late` the world has acted and the client is told that it has not."""

    code: str = "InternalError"
    message: str = "An internal error has occurred"
    status: int | None = None

    def act(self, call: Call) -> None:
        status = STATUS.get(self.code, 400) if self.status is None else self.status
        raise EC2Error(self.code, self.message, status)


@dataclass
class DropConnection(Nth):
    """No answer. With `late` the world has acted: the answer is lost."""

    def act(self, call: Call) -> None:
        raise Drop(call.action)


@dataclass
class Answer(Nth):
    """An answer that is none of EC2. With `late` the world has acted."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html"

    def act(self, call: Call) -> None:
        raise Reply(self.status, self.content_type, self.body)


@dataclass
class Rewrite(Nth):
    """A good answer whose body is changed on its way; the world has acted."""

    change: Callable[[bytes], bytes] = lambda body: body

    def before(self, call: Call) -> None:
        """Nothing happens before the answer."""

    after = before

    def rewritten(self, call: Call, body: bytes) -> bytes:
        return self.change(body) if self._hit(call) else body


@dataclass
class Hook(Nth):
    """Calls back, for instance to kill the client, or to change the world behind its back."""

    callback: Callable[[Call], object] = lambda _: None

    def act(self, call: Call) -> None:
        self.callback(call)


@dataclass
class Latency(Fault):
    """Every call (or every call of `action`) takes longer; `wait` can be a virtual clock's advance."""

    seconds: float
    action: str | None = None
    wait: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)

    def before(self, call: Call) -> None:
        if self.action in (None, call.action):
            self.wait(self.seconds)


@dataclass
class Weather(Fault):
    """Any EC2 call may fail, before or after it acted, with a seeded probability."""

    probability: float
    seed: int = 0
    codes: Sequence[str] = ("RequestLimitExceeded", "InternalError", "Unavailable")
    drops: float = 0.0
    """The probability that a connection is cut instead, half of the time after acting."""
    late: float = 0.0
    """The part of the errors (throttles aside, which never act) that come after acting."""

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self._lock = threading.Lock()

    def _roll(self) -> float:
        with self._lock:
            return self._rng.random()

    def _code(self, codes: Sequence[str]) -> str:
        with self._lock:
            return self._rng.choice(codes)

    def before(self, call: Call) -> None:
        if call.service != "ec2":
            return
        if self._roll() < self.drops / 2:
            raise Drop(call.action)
        if self._roll() < self.probability * (1 - self.late):
            code = self._code(self.codes)
            raise EC2Error(code, "Bad weather.", STATUS.get(code, 400))

    def after(self, call: Call) -> None:
        if call.service != "ec2":
            return
        if self._roll() < self.drops / 2:
            raise Drop(call.action)
        acting = [code for code in self.codes if code != "RequestLimitExceeded"]
        if acting and self._roll() < self.probability * self.late:
            code = self._code(acting)
            raise EC2Error(code, "Bad weather.", STATUS.get(code, 400))


_UNPAGED = {"DescribeInstances", "DescribeInstanceStatus", "DescribeNetworkInterfaces", "DescribeSecurityGroups"}
_LISTED: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        (
            "CreateNetworkInterface",
            "DeleteNetworkInterface",
            "ModifyNetworkInterfaceAttribute",
            "AssignPrivateIpAddresses",
            "UnassignPrivateIpAddresses",
            "AssignIpv6Addresses",
            "TerminateInstances",
        ),
        (100.0, 5.0),
    ),
    **dict.fromkeys(("CreateTags", "DeleteTags"), (100.0, 10.0)),
    **dict.fromkeys(("RunInstances", "StartInstances"), (5.0, 2.0)),
}


def bucket_of(call: Call) -> tuple[str, float, float]:
    """The name, capacity and refill per second of the bucket that a call draws on.

    EC2 docs, request throttling: every API action has a bucket of its own; the category gives its size.
    Unfiltered and unpaged listings draw on a smaller one.
    """
    if call.action in _LISTED:
        return (call.action, *_LISTED[call.action])
    if call.mutates:
        return (call.action, 50.0, 5.0)
    unpaged = "MaxResults" not in call.params and not call.params.get("Filters")
    if call.action in _UNPAGED and unpaged:
        return (f"{call.action} unpaged", 50.0, 10.0)
    return (call.action, 100.0, 20.0)


@dataclass
class Buckets(Fault):
    """EC2's published token buckets, on the world's clock."""

    scale: float = 1.0
    """Shrinks capacity and refill alike, so that small tests meet the bottom."""

    def attached(self, world: State) -> None:
        self._clock = world.clock
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def before(self, call: Call) -> None:
        if call.service != "ec2":
            return
        name, capacity, refill = bucket_of(call)
        capacity = max(1.0, capacity * self.scale)
        with self._lock:
            now = self._clock()
            level, then = self._levels.get(name, (capacity, now))
            level = min(capacity, level + (now - then) * refill * self.scale)
            self._levels[name] = (level - 1 if level >= 1 else level, now)
        if level < 1:
            raise EC2Error("RequestLimitExceeded", "Request limit exceeded.", 503)


@dataclass
class StaleReads(Fault):
    """A describe (or every one of `action`) answers from a state up to `seconds` old.

    Two in a row may go back in time.
    """

    seconds: float
    action: str | None = field(default=None, kw_only=True)
    seed: int = 0
    probability: float = 1.0
    fixed: bool = False
    """Always exactly `seconds` old instead of any age up to it."""

    def attached(self, world: State) -> None:
        self._clock = world.clock
        self._rng = Random(self.seed)
        self._lock = threading.Lock()
        world.keep_history(self.seconds)

    def before(self, call: Call) -> None:
        if call.mutates or call.service != "ec2" or self.action not in (None, call.action):
            return
        with self._lock:
            stale = self._rng.random() < self.probability
            age = self.seconds if self.fixed else self._rng.uniform(0, self.seconds)
        if stale:
            call.as_of = self._clock() - age
