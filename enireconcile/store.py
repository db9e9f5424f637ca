"""What one run leaves for the next: a lock per stack, and a journal of what was asked of EC2.

The journal is no state file: it can be lost at any time, and then EC2 is asked again and the settle time waited.
With it, a run that follows a crash at once repeats the same ClientToken, and knows what may exist unseen. One
JSON line an event, written and flushed to disk before the call that it speaks of. No parameter is written, only
a hash of all of them.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from enireconcile.errors import EnireconcileError, LockedError

_KEEP_LINES = 2000
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


class Journal:
    """Append-only memory of creates, by address. ``now`` gives seconds since the epoch."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path, self._now = path, now
        self._memory: dict[str, Memory] = {}
        self._waits: dict[str, tuple[str, float]] = {}
        self._lines = 0
        with contextlib.suppress(FileNotFoundError):
            self._read(path.read_text(encoding="utf-8", errors="replace"))
        if self._lines > _KEEP_LINES:
            self._compact()

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
        seed = "\n".join((self._path.parent.name, address, call, digest, before))
        return hashlib.sha256(seed.encode()).hexdigest()[:48]

    def _age(self, memory: Memory) -> float:
        return abs(self._now() - memory.at)

    def intend(self, address: str, call: str, digest: str, token: str | None) -> None:
        """To be called before the request leaves."""
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

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            # A line that a crash tore apart was flushed before its call could begin: it tells of nothing.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._apply(json.loads(line))
            self._lines += 1

    def _apply(self, event: dict[str, Any]) -> None:
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
        event = {"at": self._now(), **event}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                if file.tell() and not self._ends_with_newline():
                    file.write("\n")
                file.write(json.dumps(event, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EnireconcileError(
                f"cannot write the journal {self._path}: {error.strerror or error}",
                hint="make room, or give another directory with --state",
            ) from None
        self._apply(event)

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _compact(self) -> None:
        """Keep only what is remembered: at most four lines an address."""
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
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        replacement = self._path.with_suffix(".new")
        replacement.write_text(text, encoding="utf-8")
        replacement.replace(self._path)
        self._lines = len(lines)


class Store:
    """A directory per (account, region, stack) under ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def locked(self, scope: str, *, timeout: float, now: Callable[[], float]) -> Iterator[Journal]:
        """The journal of a scope, while nobody else has it. Raises LockedError, EnireconcileError.

        ``scope`` is a file name, e.g. ``123456789012-us-east-1-two-enis``; ``timeout`` is in seconds.
        """
        place = self._root / scope
        holder = place / "holder.json"
        lock = FileLock(place / "lock")
        with _explained(place):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                lock.acquire(timeout=timeout, poll_interval=0.1)
            except Timeout:
                raise LockedError(
                    f"{scope} is locked by {_whoever(holder)}", hint="wait for that run, or raise --lock-timeout"
                ) from None
        try:
            with _explained(place):
                holder.write_text(json.dumps(_me(now)), encoding="utf-8")
                journal = Journal(place / "journal.jsonl", now)
            yield journal
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnireconcileError(
            f"cannot use the state directory {place}: {error.strerror or error}",
            hint="give one that you can write with --state",
        ) from None


def default_root() -> Path:
    """``$XDG_STATE_HOME/enireconcile``, else ``~/.local/state/enireconcile``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "enireconcile"


def _me(now: Callable[[], float]) -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {
        "who": user,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]]),
        "since": datetime.fromtimestamp(now(), UTC).isoformat(timespec="seconds"),
    }


def _whoever(holder: Path) -> str:
    try:
        me = json.loads(holder.read_text(encoding="utf-8"))
        return f"{me['who']} on {me['host']} (pid {me['pid']}, since {me['since']}: {me['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
