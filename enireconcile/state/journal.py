"""What was asked of EC2, and what came of it: one JSON line each, safe before the call leaves.

The journal is no state file: it can be lost at any time, and then EC2 is asked again and the settle time waited.
With it, a run that follows a crash at once repeats the same ClientToken, and knows what may exist unseen. No
parameter is written, only a hash of all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OLDEST_READ = 10.0
"""Seconds by which a describe may lag behind an earlier one."""


@dataclass
class Memory:
    """What the journal knows of the last create of one address.

    ``result`` is the id that it made, None while the outcome is unknown. ``seen`` says that a later read of EC2
    showed it, so its absence from then on means that it is gone. ``previous`` is the id that was made before.
    """

    call: str
    digest: str
    token: str | None
    at: float
    previous: str | None = None
    result: str | None = None
    seen: bool = False


class Log(ABC):
    """Where the lines of a journal are. Every method raises EnireconcileError.

    Beyond ``longest`` lines it is trimmed to what is remembered and the ``trail`` of the last other lines.
    """

    longest = 2000
    trail = 500

    @abstractmethod
    def read(self) -> str:
        """All of it; an end that a crash tore off, or what somebody else wrote, may be among it."""

    @abstractmethod
    def append(self, line: str) -> None:
        """Add a line, which need not be safe yet."""

    @abstractmethod
    def replace(self, text: str) -> None:
        """Put other lines in the place of all."""

    @abstractmethod
    async def flushed(self) -> None:
        """Return when all that was appended is safe."""


class Journal:
    """Append-only memory of creates, by address, with a trail of the other calls.

    ``scope`` is the name of what it is the journal of; ``now`` gives seconds since the epoch.
    """

    def __init__(self, log: Log, scope: str, now: Callable[[], float]) -> None:
        self._log, self._scope, self._now = log, scope, now
        self._memory: dict[str, Memory] = {}
        self._waits: dict[str, tuple[str, float]] = {}
        self._trail: deque[str] = deque(maxlen=log.trail)
        lines = log.read().splitlines()
        self._read(lines)
        if len(lines) > log.longest:
            self._compact()

    async def flushed(self) -> None:
        """To be awaited before a request leaves: what announces it is safe."""
        await self._log.flushed()

    def recall(self, address: str) -> Memory | None:
        return self._memory.get(address)

    def recalls_open(self, address: str) -> bool:
        """Was a create of this address begun whose outcome nobody has heard?"""
        memory = self._memory.get(address)
        return memory is not None and memory.result is None

    def recalls(self, address: str) -> bool:
        """Was this address ever made, as far as the journal knows?"""
        memory = self._memory.get(address)
        return memory is not None and bool(memory.result or memory.previous)

    def doubt(self, address: str, digest: str | None, settle: float) -> float:
        """For how many seconds yet this address may exist unseen, made by an earlier call.

        Even what was seen once can be missing from a later read, which may be older, though not by much. Zero
        when a repeat of the call is harmless: ``digest`` is that of its parameters, and it would carry the same
        ClientToken. A clock that was set back makes nothing young again.
        """
        memory = self._memory.get(address)
        if memory is None or (memory.token and memory.digest == digest):
            return 0.0
        window = min(settle, _OLDEST_READ) if memory.seen else settle
        return max(0.0, window - self._age(memory))

    def unseen(self, settle: float) -> dict[str, float]:
        """Addresses that may exist without any read having shown them, and for how many seconds yet."""
        young = {
            address: settle - self._age(memory) for address, memory in self._memory.items() if not memory.seen
        }
        return {address: seconds for address, seconds in young.items() if seconds > 0}

    def token(self, address: str, call: str, digest: str, *, fresh: bool = False, settle: float = 0.0) -> str:
        """The ClientToken for a create.

        It is the same again while the outcome is unknown, and for ``settle`` seconds after: should the read that
        lacked the resource have been an old one, EC2 answers with what there is. Later it is the next of a chain
        that hangs on the id that was made before, since a deliberate re-creation is something new. Equal stacks
        on two hosts that never made this resource get equal tokens, so EC2 makes it once.
        """
        memory = self._memory.get(address)
        before = ""
        if memory:
            young = memory.result is None or self._age(memory) < settle
            if not fresh and young and memory.token and memory.digest == digest:
                return memory.token
            before = memory.result or memory.previous or ""
            before += f"/{memory.token}" if fresh else ""
        seed = "\n".join((self._scope, address, call, digest, before))
        return hashlib.sha256(seed.encode()).hexdigest()[:48]

    def _age(self, memory: Memory) -> float:
        return abs(self._now() - memory.at)

    def calling(self, address: str, call: str) -> None:
        """A request that creates nothing is about to leave."""
        self._append({"event": "call", "address": address, "call": call})

    def answered(self, address: str, call: str, error: str | None) -> None:
        """It, or a create that failed, was answered; ``error`` is a code."""
        self._append({"event": "answer", "address": address, "call": call, "error": error})

    def opened(self, by: Mapping[str, Any]) -> None:
        """A run begins."""
        self._append({"event": "run", **by})

    def intend(self, address: str, call: str, digest: str, token: str | None) -> None:
        """A create is about to leave."""
        memory = self._memory.get(address)
        previous = (memory.result or memory.previous) if memory else None
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
        """The request was answered, or what it made was found."""
        self._append({"event": "made", "address": address, "result": result})

    def failed(self, address: str) -> None:
        """EC2 said no: nothing was made."""
        self._append({"event": "failed", "address": address})

    def waited(self, address: str, digest: str) -> float:
        """For how many seconds a call with parameters of this digest has been put off; 0 the first time."""
        if self._waits.get(address, ("", 0.0))[0] != digest:
            self._append({"event": "waits", "address": address, "digest": digest})
        return abs(self._now() - self._waits[address][1])

    def saw(self, present: Mapping[str, str]) -> None:
        """A read showed these resources: address to id."""
        for address, memory in self._memory.items():
            if memory.seen or address not in present:
                continue
            if memory.result != present[address]:
                self.made(address, present[address])
            self._append({"event": "seen", "address": address})

    def _read(self, lines: Sequence[str]) -> None:
        for line in lines:
            # A line that a crash tore apart was never safe, so its call did not begin: it tells of nothing.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._apply(json.loads(line), line)

    def _apply(self, event: dict[str, Any], line: str) -> None:
        if event["event"] in ("call", "answer", "run"):
            self._trail.append(line)
            return
        address = event["address"]
        if event["event"] == "intent":
            self._memory[address] = Memory(
                event["call"], event["digest"], event["token"], event["at"], event["previous"]
            )
            return
        if event["event"] == "waits":
            self._waits[address] = (event["digest"], event["at"])
            return
        memory = self._memory.get(address)
        if memory is None:
            return
        if event["event"] == "made":
            memory.result = event["result"]
        elif event["event"] == "seen":
            memory.seen = True
        elif event["event"] == "failed":
            # Nothing was made: what is known is again what was known before.
            memory.result, memory.seen = memory.previous, memory.previous is not None
            if memory.previous is None:
                del self._memory[address]

    def _append(self, event: dict[str, Any]) -> None:
        line = json.dumps({"at": self._now(), **event}, sort_keys=True)
        self._log.append(line)
        self._apply(json.loads(line), line)

    def _compact(self) -> None:
        """Keep the last lines of the trail and what is remembered: at most four lines an address."""
        lines: list[dict[str, Any]] = []
        for address, memory in sorted(self._memory.items()):
            at = {"at": memory.at, "address": address}
            intent = {"call": memory.call, "digest": memory.digest, "token": memory.token}
            lines.append({**at, "event": "intent", "previous": memory.previous, **intent})
            if memory.result:
                lines.append({**at, "event": "made", "result": memory.result})
            if memory.seen:
                lines.append({**at, "event": "seen"})
        for address, (digest, since) in sorted(self._waits.items()):
            lines.append({"at": since, "address": address, "event": "waits", "digest": digest})
        remembered = [json.dumps(line, sort_keys=True) for line in lines]
        self._log.replace("".join(f"{line}\n" for line in [*self._trail, *remembered]))
