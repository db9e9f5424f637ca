"""The journal: each call to EC2 and its result, one JSON line each, written to storage before the call is sent.

The journal is no state file. If it is lost, EC2 is asked again, after the settle time. With it, a run that follows
a crash repeats the same ClientToken, and knows which resources may exist without being visible yet. It holds no
parameters, only a hash of them.

No wall clock decides how old an entry is. The boot clock tells it if the entry was written in this boot of this
machine. Otherwise an entry counts as old as it is at least: as long as this run has known it, and in S3 also as
long as nothing was written to the journal by then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from msgspec import Struct
from msgspec.structs import asdict, replace

from enireconcile.state.clock import BootClock

MAX_BYTES = 64 * 1024 * 1024
"""The largest journal that is read."""
_OLDEST_READ = 10.0
"""Seconds by which a describe may lag behind an earlier one."""
_FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which the journal forgets an address that is neither in the spec nor live."""
_LATEST = 1e11
"""A time beyond this is none."""
_TOKEN_LIFE = 12 * 3600.0
"""Seconds for which EC2 certainly knows a ClientToken; AWS has documented 24 hours."""


class Moment(Struct, frozen=True):
    """When a line was written. ``at`` is in seconds since the epoch, ``boot`` and ``elapsed`` are of a BootClock.

    ``boot`` is empty if the line does not tell it.
    """

    at: float
    boot: str = ""
    elapsed: float = 0.0


@dataclass
class JournalEntry:
    """The last create of one address.

    ``began`` is when it was announced. ``result`` is the id that it made, None while the outcome is unknown;
    ``previous`` the id that the create before it made. ``observed`` says that a later read showed the resource: if
    a read misses it after that, it is gone. ``refused`` says that EC2 refused the create, so that ``result`` is
    still the former resource.
    """

    call: str
    digest: str
    token: str | None
    began: Moment
    previous: str | None = None
    result: str | None = None
    observed: bool = False
    refused: bool = False


class Refusal(Struct, frozen=True):
    """The last change of one address that EC2 refused, after it had interrupted the resource.

    ``digest`` is of the call's parameters, ``error`` EC2's words.
    """

    call: str
    digest: str
    error: str


class Log(ABC):
    """The storage of a journal's lines. Every method raises EnireconcileError.

    A journal of more than ``longest`` lines is trimmed to its entries and the last ``trail`` lines about other
    calls. ``idle`` is for how many seconds, at least, nothing had been written when the text was read. It does not
    depend on a clock of this machine.
    """

    longest = 2000
    trail = 500
    idle = 0.0

    @abstractmethod
    def read(self) -> str:
        """The whole text; a crash may have cut off its last line, and other programs may have written to it."""

    @abstractmethod
    def append(self, line: str) -> None:
        """Add a line; ``flushed`` makes it durable."""

    @abstractmethod
    def replace(self, text: str) -> None:
        """Replace the whole text."""

    @abstractmethod
    async def flushed(self) -> None:
        """Return when all appended lines are durable."""


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable()


def _is_id(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_token(value: Any) -> bool:
    return value is None or (isinstance(value, str) and re.fullmatch(r"[!-~]{1,64}", value) is not None)


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LATEST


_CREATE = {"call": _is_text, "digest": _is_text, "token": _is_token, "at": _is_time, "previous": _is_id}
_EVENTS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "call": {},
    "answer": {},
    "run": {},
    "intent": {"address": _is_text, **_CREATE},
    "made": {"address": _is_text, "result": _is_text},
    "seen": {"address": _is_text},
    "failed": {"address": _is_text},
    "unused": {"address": _is_text, "at": _is_time},
    "used": {"address": _is_text},
    "waits": {"address": _is_text, "digest": _is_text, "at": _is_time},
    "renamed": {"address": _is_text, "former": _is_text},
    "refused": {"address": _is_text, "call": _is_text, "digest": _is_text, "error": lambda v: isinstance(v, str)},
}
"""The fields that the events need, with what they must be: another program may have written to the journal."""


def _is_event(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return False
    fields = _EVENTS.get(event["event"])
    return fields is not None and all(name in event and fits(event[name]) for name, fits in fields.items())


class NoLog(Log):
    """An empty journal, of which nothing is kept."""

    def read(self) -> str:
        return ""

    def append(self, line: str) -> None:
        """Kept by the journal in memory only."""

    def replace(self, text: str) -> None:
        """Likewise."""

    async def flushed(self) -> None:
        return None


class Journal:
    """Append-only record of creates, by address, with a trail of the other calls.

    ``scope`` names the stack, with its account and Region. ``now`` returns seconds since the epoch; ``clock``
    measures how old the entries are.
    """

    def __init__(self, log: Log, scope: str, now: Callable[[], float], clock: BootClock) -> None:
        self._log, self._scope, self._now, self._clock = log, scope, now, clock
        self._entries: dict[str, JournalEntry] = {}
        self._waits: dict[str, tuple[str, Moment]] = {}
        self._refusals: dict[str, Refusal] = {}
        self._unused: dict[str, float] = {}
        self._trail: deque[str] = deque(maxlen=log.trail)
        lines = log.read().splitlines()
        self._read_at = clock.elapsed()
        self._read(lines)
        if len(lines) > log.longest:
            self._compact()

    async def flushed(self) -> None:
        """Await this before sending a request: the lines that announce it are durable then."""
        await self._log.flushed()

    @property
    def is_settled(self) -> bool:
        """Whether a read has shown what every create made: then a plan without calls needs no journal."""
        return all(entry.observed for entry in self._entries.values())

    def entry(self, address: str) -> JournalEntry | None:
        """The last create of an address, None if there was none."""
        return self._entries.get(address)

    def has_open_create(self, address: str) -> bool:
        """Whether a create of this address has begun whose outcome is unknown."""
        entry = self._entries.get(address)
        return entry is not None and entry.result is None

    def was_created(self, address: str) -> bool:
        """Whether this address was ever created, as far as the journal knows."""
        entry = self._entries.get(address)
        return entry is not None and bool(entry.result or entry.previous)

    def was_observed(self, address: str) -> bool:
        """Whether a read has shown what the last create of this address made."""
        entry = self._entries.get(address)
        return entry is not None and entry.observed

    def unseen_for(self, address: str, digest: str | None, settle: float) -> float:
        """For how many more seconds the resource may exist without being visible, made by an earlier call.

        A read may be older than the one before it, so even an observed resource can be missing, though only for a
        short time. The answer is 0 if a repeat of the call is harmless because it would carry the same
        ClientToken: ``digest`` is that of its parameters, None if those are not known yet.
        """
        entry = self._entries.get(address)
        if entry is None or (entry.token and entry.digest == digest):
            return 0.0
        window = min(settle, _OLDEST_READ) if entry.observed else settle
        return max(0.0, window - self._age(entry.began))

    def unseen_addresses(self, settle: float) -> dict[str, float]:
        """Addresses that no read has shown yet, and for how many more seconds they may exist unseen."""
        left = {
            address: settle - self._age(entry.began)
            for address, entry in self._entries.items()
            if not entry.observed
        }
        return {address: seconds for address, seconds in left.items() if seconds > 0}

    def token(self, address: str, call: str, digest: str, *, after: str | None = None) -> str:
        """The ClientToken for a create.

        The tokens of one create form a chain: the first is a hash of the call, each further one of the token
        before it. ``after`` is a token that stands for a resource that is gone. All hosts derive the same chain,
        whatever their journals know, so EC2 creates the resource once.
        """
        seed = "\n".join((self._scope, address, call, digest, after or ""))
        return hashlib.sha256(seed.encode()).hexdigest()[:48]

    def likely_token(self, address: str, call: str, digest: str, *, settle: float = 0.0) -> str:
        """The token of the chain to start with, so that EC2 need not refuse each one before it.

        It is the last one of the journal, or the one after that if what it created was there and is gone. For
        ``settle`` seconds after the create it is not, since the read that missed the resource may be stale. It is
        the first token where EC2 may have forgotten the later ones.
        """
        entry = self._entries.get(address)
        if entry is None or entry.token is None or entry.digest != digest:
            return self.token(address, call, digest)
        if entry.result is None or entry.refused or self._age(entry.began) < settle:
            return entry.token
        return self.token(
            address, call, digest, after=entry.token if self._age(entry.began) < _TOKEN_LIFE else None
        )

    def _age(self, moment: Moment) -> float:
        """Seconds since then, or the fewest that are possible: an entry that counts as too old loses its wait."""
        elapsed = self._clock.elapsed()
        if moment.boot == self._clock.boot and moment.elapsed <= elapsed:
            return elapsed - moment.elapsed
        # Another boot or machine wrote it, or a snapshot of this machine was restored.
        return self._log.idle + elapsed - self._read_at

    def calling(self, address: str, call: str) -> None:
        """A request that creates nothing is about to be sent."""
        self._append({"event": "call", "address": address, "call": call})

    def answered(self, address: str, call: str, error: str | None) -> None:
        """Such a request was answered, or a create failed; ``error`` is EC2's code."""
        self._append({"event": "answer", "address": address, "call": call, "error": error})

    def opened(self, by: Mapping[str, Any]) -> None:
        """A run begins."""
        self._append({"event": "run", **by})

    def intend(self, address: str, call: str, digest: str, token: str | None) -> None:
        """A create is about to be sent."""
        entry = self._entries.get(address)
        previous = (entry.result or entry.previous) if entry else None
        self._append(
            {
                "event": "intent",
                "address": address,
                "call": call,
                "digest": digest,
                "token": token,
                "previous": previous,
            }
        )

    def made(self, address: str, result: str) -> None:
        """A create was answered, or the resource that it made was found; ``result`` is the id."""
        self._append({"event": "made", "address": address, "result": result})

    def failed(self, address: str) -> None:
        """EC2 refused the create: nothing was made."""
        self._append({"event": "failed", "address": address})

    def refuse(self, address: str, call: str, digest: str, error: str) -> None:
        """EC2 refused a change for which something was interrupted."""
        self._append({"event": "refused", "address": address, "call": call, "digest": digest, "error": error})

    def refusal(self, address: str, call: str, digest: str) -> str | None:
        """EC2's words, if the last change of this address that it refused was the same."""
        found = self._refusals.get(address)
        return found.error if found and (found.call, found.digest) == (call, digest) else None

    def waited(self, address: str, digest: str) -> float:
        """For how many seconds runs have waited before a call with this digest; 0 the first time."""
        if self._waits.get(address, ("", 0.0))[0] != digest:
            self._append({"event": "waits", "address": address, "digest": digest})
        return self._age(self._waits[address][1])

    def renamed(self, former: str, address: str) -> None:
        """A row has a new address: what is known of its last create is known of that, unless it has its own."""
        if former in self._entries and address not in self._entries:
            self._append({"event": "renamed", "address": address, "former": former})

    def observed(self, present: Mapping[str, str]) -> None:
        """A read showed these resources: address to id."""
        for address, entry in [*self._entries.items()]:
            if entry.observed or address not in present:
                continue
            if entry.result != present[address]:
                self.made(address, present[address])
            self._append({"event": "seen", "address": address})

    def in_use(self, addresses: Collection[str]) -> None:
        """The spec or the account has these addresses. The journal forgets others after a day."""
        known = self._entries.keys() | self._waits.keys() | self._refusals.keys()
        for address in sorted(known - set(addresses) - self._unused.keys()):
            self._append({"event": "unused", "address": address})
        for address in sorted(self._unused.keys() & set(addresses)):
            self._append({"event": "used", "address": address})

    def _read(self, lines: Sequence[str]) -> None:
        for line in lines:
            # A line that a crash cut off was not durable yet, so its call was never sent: ignore it.
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if _is_event(event):
                    self._apply(event, line)
        for address in [*self._unused]:
            self._forget_unused(address, self._now())

    def _apply(self, event: Mapping[str, Any], line: str) -> None:
        kind = event["event"]
        if kind in ("call", "answer", "run"):
            self._trail.append(line)
            return
        address, moment = event["address"], _moment(event)
        self._forget_unused(address, moment.at)
        if kind == "unused":
            self._unused[address] = moment.at
            return
        self._unused.pop(address, None)
        if kind == "intent":
            self._entries[address] = JournalEntry(
                event["call"], event["digest"], event["token"], moment, event["previous"]
            )
        elif kind == "renamed":
            if former := self._entries.pop(event["former"], None):
                self._entries[address] = former
        elif kind == "waits":
            self._waits[address] = (event["digest"], moment)
        elif kind == "refused":
            self._refusals[address] = Refusal(event["call"], event["digest"], event["error"])
        elif entry := self._entries.get(address):
            self._resolve(address, entry, event)

    def _resolve(self, address: str, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        """Apply an event about the last create of an address."""
        if event["event"] == "made":
            entry.result, entry.refused = event["result"], False
        elif event["event"] == "seen":
            entry.observed = True
        elif event["event"] == "failed":
            # Nothing was made: the create before this one counts again.
            entry.result, entry.observed, entry.refused = entry.previous, entry.previous is not None, True
            if entry.previous is None:
                del self._entries[address]

    def _forget_unused(self, address: str, now: float) -> None:
        """Forget an address that was in no spec for a day, and not live. ``now`` is in seconds since the epoch."""
        if now - self._unused.get(address, now) > _FORGOTTEN_AFTER:
            for known in (self._entries, self._waits, self._refusals, self._unused):
                known.pop(address, None)

    def _append(self, event: dict[str, Any]) -> None:
        moment = Moment(self._now(), self._clock.boot, self._clock.elapsed())
        line = json.dumps({**asdict(moment), **event}, sort_keys=True)
        self._log.append(line)
        self._apply(json.loads(line), line)

    def _compact(self) -> None:
        """Keep the entries, as at most six lines per address, and the last lines of the trail."""
        lines: list[dict[str, Any]] = []
        for address, entry in sorted(self._entries.items()):
            at = {**asdict(entry.began), "address": address}
            intent = {"call": entry.call, "digest": entry.digest, "token": entry.token}
            lines.append({**at, "event": "intent", "previous": entry.previous, **intent})
            if entry.refused:
                # It implies the result and that it was observed.
                lines.append({**at, "event": "failed"})
                continue
            if entry.result:
                lines.append({**at, "event": "made", "result": entry.result})
            if entry.observed:
                lines.append({**at, "event": "seen"})
        for address, (digest, since) in sorted(self._waits.items()):
            lines.append({**asdict(since), "address": address, "event": "waits", "digest": digest})
        for address, refusal in sorted(self._refusals.items()):
            lines.append({"at": self._now(), "address": address, "event": "refused", **asdict(refusal)})
        for address, at_time in sorted(self._unused.items()):
            lines.append({"at": at_time, "address": address, "event": "unused"})
        entries = [json.dumps(line, sort_keys=True) for line in lines]
        self._log.replace("".join(f"{line}\n" for line in [*self._trail, *entries]))


def _moment(event: Mapping[str, Any]) -> Moment:
    """When a line was written, as far as it tells; another program may have written it."""
    at, boot, elapsed = event.get("at"), event.get("boot"), event.get("elapsed")
    known = Moment(float(at) if _is_time(at) else 0.0)
    return replace(known, boot=boot, elapsed=float(elapsed)) if _is_text(boot) and _is_time(elapsed) else known
