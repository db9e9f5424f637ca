"""Locks and journals in S3, for runs on several machines: a lease that is renewed while the run goes on.

A lock is an object. Who creates it, or replaces the very version that he saw to be free or out of date, has it;
S3 lets only one of two do so. How old a version is tells S3's clock, not that of any host. The lease is renewed
by a thread; whoever could not renew it in time begins nothing new, some time before others may take it. Every
version differs from all before, so no version can be taken for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from enireconcile.aws.s3 import Changed, S3Bucket, Stored
from enireconcile.errors import EnireconcileError, LockedError, LostLockError, StoppedError
from enireconcile.state.base import Held, Holder, Lock, Store, holder_from, me, nap
from enireconcile.state.journal import Journal, Log

log = logging.getLogger("enireconcile.store")

LEASE = 60.0
"""Seconds for which a lock is nobody else's after it was written."""
BEAT = 15.0
"""Seconds from one renewal to the next."""
_MARGIN = 20.0
"""Seconds before its end from which a lease is not relied on any more: a call that has left by then is over."""
_GRACE = 2.0
"""S3 tells times in whole seconds."""
_POLL = 2.0
_TURNS = 5
_LOST = "nothing new is begun; run it again"


def awake() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class S3Store(Store):
    """Objects below a prefix. ``elapsed`` is a clock that only goes forward; ``beat`` is in seconds."""

    def __init__(self, bucket: S3Bucket, *, elapsed: Callable[[], float] = awake, beat: float = BEAT) -> None:
        self._bucket, self._elapsed, self._beat = bucket, elapsed, beat

    @contextlib.contextmanager
    def locked(
        self,
        scope: str,
        *,
        timeout: float,
        now: Callable[[], float],
        idle: Callable[[float], bool] = nap,
        waiting: Callable[[Lock], object] = lambda _: None,
    ) -> Iterator[Held]:
        lease = Lease(self._bucket, f"{scope}/lock.json", me(now), self._elapsed)
        self._acquire(lease, scope, timeout, idle, waiting)
        try:
            with _Heart(lease, self._beat):
                journal, lines = self._open(scope, lease, now)
                try:
                    yield _HeldLease(journal, lease, self._bucket, scope)
                finally:
                    _flush_at_last(lines, lease)
        finally:
            lease.release()

    def _acquire(
        self,
        lease: Lease,
        scope: str,
        timeout: float,
        idle: Callable[[float], bool],
        waiting: Callable[[Lock], object],
    ) -> None:
        deadline, told = self._elapsed() + timeout, False
        while holder := lease.acquire():
            left = deadline - self._elapsed()
            if left <= 0:
                raise LockedError(
                    f"{scope} is locked by {holder}: {holder.why}",
                    hint="wait for that run, or raise --lock-timeout; should it be dead, see enireconcile unlock",
                )
            if not told:
                waiting(holder)
                told = True
            if not idle(min(_POLL, left)):
                raise StoppedError("stopped while waiting for the lock; nothing was changed")

    def _open(self, scope: str, lease: Lease, now: Callable[[], float]) -> tuple[Journal, ObjectLog]:
        """The journal, written once already: from here on no write of a former holder can succeed."""
        for _ in range(_TURNS):
            lines = ObjectLog(self._bucket, f"{scope}/journal.jsonl")
            journal = Journal(lines, scope, now)
            journal.opened({"token": lease.token, **lease.holder.words})
            with contextlib.suppress(LostLockError):
                lines.flush()
                lines.lost = lease.lose
                return journal, lines
        raise EnireconcileError(f"another run keeps writing to {self._bucket.url(scope)}", hint="see what it is")

    def look(self, scope: str) -> Lock | None:
        stored = self._bucket.get(f"{scope}/lock.json")
        return lock_in(stored) if stored else None

    def remove(self, scope: str, lock: Lock) -> None:
        try:
            Lease.vacate(self._bucket, f"{scope}/lock.json", lock.version)
        except Changed:
            raise LockedError(f"the lock of {scope} has changed hands meanwhile", hint="look again") from None


def _flush_at_last(lines: ObjectLog, lease: Lease) -> None:
    """What is not written now, the next run finds out by looking."""
    if lease.lost:
        return
    try:
        lines.flush()
    except EnireconcileError as error:
        log.warning("%s", error)


class Lease:
    """A lock of ours in the making. Its methods may be called by two threads."""

    def __init__(self, bucket: S3Bucket, key: str, holder: Holder, elapsed: Callable[[], float]) -> None:
        self.holder, self.token = holder, secrets.token_hex(8)
        self.lost: str | None = None
        self.tell: Callable[[str], object] = lambda _: None
        self._bucket, self._key, self._elapsed = bucket, key, elapsed
        self._turn = threading.Lock()
        self._etag: str | None = None
        self._renewals = 0
        self._sure = 0.0

    @staticmethod
    def vacate(bucket: S3Bucket, key: str, version: str) -> None:
        """Write that this version is over. Nothing is deleted, so that every change is a compare-and-set."""
        bucket.put(key, _text({"free": True, "nonce": secrets.token_hex(8)}), replaces=version)

    def acquire(self) -> Lock | None:
        """None if it is ours now, else whose it is."""
        for _ in range(_TURNS):
            stored = self._bucket.get(self._key)
            lock = lock_in(stored) if stored else None
            if lock and lock.held:
                return lock
            if lock:
                log.warning("taking over the lock of %s: %s", lock, lock.why)
            with contextlib.suppress(Changed):
                self._write(stored.etag if stored else None)
                return None
        return Lock(None, True, "several runs want it at once")

    def renew(self) -> None:
        """Write it anew. Whoever finds it changed has lost it; S3 may be out of reach for a while."""
        with self._turn:
            if self.lost or self._etag is None:
                return
            try:
                self._write(self._etag)
            except Changed:
                stored = self._bucket.get(self._key)
                taker = lock_in(stored) if stored else None
                self._lose(f"{taker} has taken it over" if taker else "somebody has removed it")
            except EnireconcileError as error:
                log.warning("the lock could not be renewed: %s", error)
                if not self._is_sure:
                    self._lose(f"it could not be renewed: {error}")

    def lose(self, why: str) -> None:
        """Somebody else has been seen at work."""
        with self._turn:
            self._lose(why)

    def check(self) -> None:
        """Raises LostLockError. A machine that was asleep asks S3 whether it still has the lock."""
        if not self.lost and not self._is_sure:
            self.renew()
        if self.lost:
            raise LostLockError(f"the lock is lost: {self.lost}", hint=_LOST)

    def release(self) -> None:
        """Give it back, if it is ours; else it ends by itself."""
        with self._turn:
            etag, self._etag = self._etag, None
            if etag is None or self.lost:
                return
            try:
                self.vacate(self._bucket, self._key, etag)
            except (Changed, EnireconcileError) as error:
                log.warning("the lock could not be given back: %s", error)

    @property
    def _is_sure(self) -> bool:
        return self._elapsed() - self._sure < LEASE - _MARGIN

    def _write(self, replaces: str | None) -> None:
        began = self._elapsed()
        words = {**self.holder.words, "lease": LEASE, "token": self.token, "renewals": self._renewals}
        self._etag = self._bucket.put(self._key, _text(words), replaces=replaces)
        self._sure = began
        self._renewals += 1

    def _lose(self, why: str) -> None:
        if self.lost is None:
            self.lost = why
            self.tell(why)


def lock_in(stored: Stored) -> Lock | None:
    """The lock that an object tells of; None if it says that it is free."""
    words = _words(stored.body)
    if words.get("free") is True:
        return None
    holder, lease = holder_from(words), _seconds(words.get("lease"))
    age = f"renewed {stored.age:.0f} s ago"
    if stored.age > lease + _GRACE:
        return Lock(holder, False, f"{age}, and good for {lease:.0f} s only", stored.etag)
    if holder and holder.is_dead:
        return Lock(holder, False, "its process, on this machine, has ended", stored.etag)
    return Lock(holder, True, age, stored.etag)


def _words(body: bytes) -> dict[str, Any]:
    """What an object says, whoever wrote it."""
    try:
        words = json.loads(body)
    except ValueError:
        return {}
    return words if isinstance(words, dict) else {}


def _seconds(lease: Any) -> float:
    """How long a lock is good for; one that is strange gets what ours get."""
    fits = isinstance(lease, (int, float)) and not isinstance(lease, bool) and 0 < lease <= 3600
    return float(lease) if fits else LEASE


def _text(words: Mapping[str, Any]) -> bytes:
    return (json.dumps(words, sort_keys=True) + "\n").encode()


class _Heart(threading.Thread):
    """Renews a lease while inside."""

    def __init__(self, lease: Lease, beat: float) -> None:
        super().__init__(name="lease", daemon=True)
        self._lease, self._pause, self._over = lease, beat, threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._pause):
            self._lease.renew()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        # Not joined: it may be waiting for S3, and what it writes then fails or comes before our release.
        self._over.set()


class _HeldLease(Held):
    def __init__(self, journal: Journal, lease: Lease, bucket: S3Bucket, scope: str) -> None:
        super().__init__(journal)
        self._lease, self._bucket, self._scope = lease, bucket, scope

    def check(self) -> None:
        self._lease.check()

    @contextlib.contextmanager
    def watched(self, lost: Callable[[str], object]) -> Iterator[None]:
        self._lease.tell = lost
        if self._lease.lost:
            lost(self._lease.lost)
        try:
            yield
        finally:
            self._lease.tell = lambda _: None

    def keep(self, report: str) -> None:
        self._lease.check()
        self._bucket.overwrite(f"{self._scope}/report.json", report.encode())


class ObjectLog(Log):
    """Lines in an object that is written whole; those that wait for one write go with the next together."""

    longest = 300
    trail = 100

    def __init__(self, bucket: S3Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._writing, self._adding = threading.Lock(), threading.Lock()
        self._etag: str | None = None
        self._text = self._safe = ""
        self.lost: Callable[[str], object] = lambda _: None

    def read(self) -> str:
        stored = self._bucket.get(self._key)
        if stored:
            self._etag = stored.etag
            self._text = self._safe = stored.body.decode(errors="replace")
        return self._text

    def append(self, line: str) -> None:
        with self._adding:
            torn = bool(self._text) and not self._text.endswith("\n")
            self._text += f"\n{line}\n" if torn else f"{line}\n"

    def replace(self, text: str) -> None:
        with self._adding:
            self._text = text

    async def flushed(self) -> None:
        # In a thread, so that signals are heard and other steps go on.
        await asyncio.get_running_loop().run_in_executor(None, self.flush)

    def flush(self) -> None:
        """Write what is not safe yet. Raises LostLockError when somebody else has written meanwhile."""
        with self._writing:
            with self._adding:
                text = self._text
            if text == self._safe:
                return
            try:
                self._etag = self._bucket.put(self._key, text.encode(), replaces=self._etag)
            except Changed:
                why = f"another run has written to {self._bucket.url(self._key)}"
                self.lost(why)
                raise LostLockError(f"the lock is lost: {why}", hint=_LOST) from None
            self._safe = text
