"""Locks and journals in S3, for runs on several machines. A lock is a lease that the run renews.

A lock is an object. A run gets the lock by creating the object, or by replacing a version that it has read and
that is free or expired; S3's conditional writes let only one run succeed. S3's clock alone decides how old a
version is. A thread renews the lease. A run that could not renew it in time makes no new call, well before another
run may take the lock over. No two versions are equal, so their ETags differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from enireconcile.aws.s3 import Changed, S3Bucket, Stored
from enireconcile.errors import EnireconcileError, LockedError, LostLockError, StoppedError
from enireconcile.state.base import (
    NO_MORE_CALLS,
    RELEASED,
    HeldLock,
    Holder,
    LockInfo,
    NoLock,
    Store,
    holder_from,
    parsed_json,
    this_process,
    uninterrupted,
)
from enireconcile.state.clock import BootClock, machine_clock
from enireconcile.state.journal import MAX_BYTES, Journal, Log, NoLog

log = logging.getLogger("enireconcile.store")

LEASE = 60.0
"""Seconds after a write of the lock during which no other run may take it over."""
RENEW_EVERY = 15.0
"""Seconds from one renewal to the next."""
_MARGIN = 20.0
"""Seconds before the lease expires from which on no new call is made: calls in flight end before it expires."""
_GRACE = 2.0
"""Seconds by which S3's times, which are whole seconds, may be wrong."""
_POLL = 2.0
_ATTEMPTS = 5
_LOCK, _JOURNAL = "lock.json", "journal.jsonl"
_TOO_LARGE = f"larger than {MAX_BYTES} bytes"


class S3Store(Store):
    """Objects below a prefix. ``clock`` measures leases and entries; ``renew_every`` is in seconds."""

    def __init__(
        self, bucket: S3Bucket, *, clock: BootClock | None = None, renew_every: float | None = None
    ) -> None:
        self._bucket, self._clock = bucket, clock or machine_clock()
        self._elapsed = self._clock.elapsed
        self._renew_every = RENEW_EVERY if renew_every is None else renew_every

    def unlocked(self, scope: str, now: Callable[[], float]) -> NoLock | None:
        """Reads the lock alone: the run that released it has left in it whether the journal is settled."""
        stored = self._bucket.get(f"{scope}/{_LOCK}")
        if stored is None or not _is_settled(stored):
            return None
        return NoLock(Journal(NoLog(), scope, now, self._clock))

    @contextlib.contextmanager
    def locked(
        self,
        scope: str,
        *,
        timeout: float,
        now: Callable[[], float],
        idle: Callable[[float], bool] = uninterrupted,
        waiting: Callable[[LockInfo], object] = lambda _: None,
    ) -> Iterator[HeldLock]:
        lease = Lease(self._bucket, f"{scope}/{_LOCK}", this_process(now), self._elapsed)
        self._acquire(lease, scope, timeout, idle, waiting)
        settled = False
        try:
            lease.verify()
            with _Renewals(lease, self._renew_every):
                journal, lines = self._open(scope, lease, now)
                try:
                    yield _HeldLease(journal, lease, self._bucket, scope)
                finally:
                    _flush_at_end(lines, lease)
                    settled = journal.is_settled
        finally:
            lease.release(settled=settled)

    def _acquire(
        self,
        lease: Lease,
        scope: str,
        timeout: float,
        idle: Callable[[float], bool],
        waiting: Callable[[LockInfo], object],
    ) -> None:
        deadline, told = self._elapsed() + timeout, False
        while holder := lease.acquire():
            left = deadline - self._elapsed()
            if left <= 0:
                raise LockedError(
                    f"{scope} is locked by {holder}: {holder.why}",
                    hint="wait for that run to end, or raise --lock-timeout; if it has died, remove its lock with "
                    "`enireconcile unlock`",
                )
            if not told:
                waiting(holder)
                told = True
            if not idle(min(_POLL, left)):
                raise StoppedError("stopped while waiting for the lock; nothing was changed")

    def _open(self, scope: str, lease: Lease, now: Callable[[], float]) -> tuple[Journal, ObjectLog]:
        """The journal, after a first write: from then on every write of a former holder fails."""
        for _ in range(_ATTEMPTS):
            lines = ObjectLog(self._bucket, f"{scope}/{_JOURNAL}")
            journal = Journal(lines, scope, now, self._clock)
            journal.opened({"token": lease.token, **lease.holder.fields})
            with contextlib.suppress(LostLockError):
                lines.flush()
                lines.lost = lease.lose
                return journal, lines
        raise EnireconcileError(
            f"another run keeps writing to {self._bucket.url(scope)}",
            hint="find and stop it: it writes without holding the lock",
        )

    def look(self, scope: str) -> LockInfo | None:
        stored = self._bucket.get(f"{scope}/{_LOCK}")
        return lock_from(stored) if stored else None

    def damage(self, scope: str) -> str | None:
        stored = self._bucket.get(f"{scope}/{_JOURNAL}")
        return f"{_JOURNAL} is {_TOO_LARGE}" if stored and len(stored.body) > MAX_BYTES else None

    def repair(self, scope: str) -> list[str]:
        # S3 cannot rename: a versioned bucket keeps what is overwritten.
        self._bucket.overwrite(f"{scope}/{_JOURNAL}", b"")
        return []

    def remove(self, scope: str, lock: LockInfo) -> None:
        try:
            Lease.vacate(self._bucket, f"{scope}/{_LOCK}", lock.version)
        except Changed:
            raise LockedError(
                f"another run has changed the lock of {scope} meanwhile", hint="run unlock again to see its state"
            ) from None


def _flush_at_end(lines: ObjectLog, lease: Lease) -> None:
    """Write the last lines of the journal; if that fails, the next run reads EC2 instead."""
    if lease.lost:
        return
    try:
        lines.flush()
    except EnireconcileError as error:
        log.warning("%s", error)


class Lease:
    """This run's lease on the lock. Two threads may call its methods.

    ``lost`` is the reason once the lease is lost; ``on_lost`` is called with it.
    """

    def __init__(self, bucket: S3Bucket, key: str, holder: Holder, elapsed: Callable[[], float]) -> None:
        self.holder, self.token = holder, secrets.token_hex(8)
        self.lost: str | None = None
        self.on_lost: Callable[[str], object] = lambda _: None
        self._bucket, self._key, self._elapsed = bucket, key, elapsed
        self._mutex = threading.Lock()
        self._etag: str | None = None
        self._created, self._body = False, b""
        self._renewals = 0
        self._renewed = 0.0

    @staticmethod
    def vacate(bucket: S3Bucket, key: str, version: str, *, settled: bool = False) -> None:
        """Replace this version by a free one. Nothing is deleted, so that every change is a compare-and-set.

        ``settled`` says that a run which finds nothing to do needs neither the lock nor the journal.
        """
        free = {"free": True, "settled": settled, "nonce": secrets.token_hex(8)}
        bucket.put(key, _body(free), replaces=version)

    def acquire(self) -> LockInfo | None:
        """Take the lock. Returns None on success, else the lock of the other run."""
        for _ in range(_ATTEMPTS):
            stored = self._bucket.get(self._key)
            lock = lock_from(stored) if stored else None
            if lock and lock.live:
                return lock
            if lock:
                log.warning("taking over the lock of %s: %s", lock, lock.why)
            with contextlib.suppress(Changed):
                self._write(stored.etag if stored else None)
                self._created = stored is None
                return None
        return LockInfo(None, True, "several runs try to take it at the same time")

    def verify(self) -> None:
        """Raises EnireconcileError if S3 ignores the conditions of writes: then nothing protects the lock."""
        ignored = self._bucket.ignored_condition(self._key, self._body, created=self._created)
        if ignored:
            raise EnireconcileError(
                f"the S3 service of {self._bucket.url(self._key)} ignores {ignored}: two runs could hold the lock",
                hint="use a service with conditional writes (If-None-Match, If-Match), such as Amazon S3; or run "
                "the stack from one machine only, with a directory as --state",
            )

    def renew(self) -> None:
        """Renew the lease. It is lost if another run has changed the lock, or if S3 fails for too long."""
        with self._mutex:
            self._renew()

    def _renew(self) -> None:
        if self.lost or self._etag is None:
            return
        try:
            self._write(self._etag)
        except Changed:
            self._lose(self._taker())
        except EnireconcileError as error:
            log.warning("cannot renew the lock: %s", error)
            if not self._is_valid:
                self._lose(f"it could not be renewed: {error}")

    def _taker(self) -> str:
        """Why the lock is not the version that this run wrote."""
        try:
            stored = self._bucket.get(self._key)
        except EnireconcileError:
            return "another run has changed it"
        taker = lock_from(stored) if stored else None
        return f"{taker} has taken it over" if taker else "it was removed"

    def lose(self, why: str) -> None:
        """Give up the lease: another run is known to be working."""
        with self._mutex:
            self._lose(why)

    def check(self) -> None:
        """Raises LostLockError if the lease is lost. If it was not renewed in time, it is renewed first.

        A renewal counts from before it was sent. If the process was paused meanwhile, it is too old already.
        """
        for _ in range(_ATTEMPTS):
            if self.lost or self._is_valid:
                break
            with self._mutex:
                # Another thread may have renewed it meanwhile.
                if not self._is_valid:
                    self._renew()
        if not self._is_valid:
            self.lose("its renewals take too long")
        if self.lost:
            raise LostLockError(f"the lock is lost: {self.lost}", hint=NO_MORE_CALLS)

    def release(self, *, settled: bool = False) -> None:
        """Free the lock if this run still has it; otherwise the lease expires. No check succeeds after this."""
        with self._mutex:
            etag, self._etag = self._etag, None
            if etag is None or self.lost:
                return
            self.lost = RELEASED
            try:
                self.vacate(self._bucket, self._key, etag, settled=settled)
            except (Changed, EnireconcileError) as error:
                log.warning("cannot release the lock; it expires by itself: %s", error)

    @property
    def _is_valid(self) -> bool:
        return self._elapsed() - self._renewed < LEASE - _MARGIN

    def _write(self, replaces: str | None) -> None:
        began = self._elapsed()
        fields = {**self.holder.fields, "lease": LEASE, "token": self.token, "renewals": self._renewals}
        self._body = _body(fields)
        self._etag = self._bucket.put(self._key, self._body, replaces=replaces)
        self._renewed = began
        self._renewals += 1

    def _lose(self, why: str) -> None:
        if self.lost is None:
            self.lost = why
            self.on_lost(why)


def lock_from(stored: Stored) -> LockInfo | None:
    """The lock in an object; None if the object says that it is free."""
    fields = _fields(stored.body)
    if fields.get("free") is True:
        return None
    holder, lease = holder_from(fields), _seconds(fields.get("lease"))
    age = f"renewed {stored.age:.0f} s ago"
    if stored.age > lease + _GRACE:
        return LockInfo(holder, False, f"{age}, and its lease of {lease:.0f} s has expired", stored.etag)
    if holder and holder.is_dead:
        return LockInfo(holder, False, "its process on this machine has ended", stored.etag)
    return LockInfo(holder, True, age, stored.etag)


def _is_settled(stored: Stored) -> bool:
    """Whether the lock in an object is free, and its last holder has left a settled journal."""
    fields = _fields(stored.body)
    return fields.get("free") is True and fields.get("settled") is True


def _fields(body: bytes) -> dict[str, Any]:
    """The JSON object in an S3 object, which another program may have written; empty if it is none."""
    fields = parsed_json(body)
    return fields if isinstance(fields, dict) else {}


def _seconds(lease: Any) -> float:
    """The length of a lease in seconds; LEASE if the value is not plausible."""
    fits = isinstance(lease, (int, float)) and not isinstance(lease, bool) and 0 < lease <= 3600
    return float(lease) if fits else LEASE


def _body(fields: Mapping[str, Any]) -> bytes:
    return (json.dumps(fields, sort_keys=True) + "\n").encode()


class _Renewals(threading.Thread):
    """Renews a lease every ``pause`` seconds inside the block."""

    def __init__(self, lease: Lease, pause: float) -> None:
        super().__init__(name="lease", daemon=True)
        self._lease, self._pause, self._over = lease, pause, threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._pause):
            self._lease.renew()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        # Not joined: it may be waiting for S3; its write then fails, or comes before the release.
        self._over.set()


class _HeldLease(HeldLock):
    def __init__(self, journal: Journal, lease: Lease, bucket: S3Bucket, scope: str) -> None:
        super().__init__(journal)
        self._lease, self._bucket, self._scope = lease, bucket, scope

    def check(self) -> None:
        self._lease.check()

    @contextlib.contextmanager
    def watched(self, lost: Callable[[str], object]) -> Iterator[None]:
        self._lease.on_lost = lost
        if self._lease.lost:
            lost(self._lease.lost)
        try:
            yield
        finally:
            self._lease.on_lost = lambda _: None

    def keep(self, report: str) -> None:
        self._lease.check()
        self._bucket.overwrite(f"{self._scope}/report.json", report.encode())


class ObjectLog(Log):
    """Lines in an object that is written as a whole; lines that come during a write go together with the next."""

    longest = 300
    trail = 100

    def __init__(self, bucket: S3Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._writing, self._adding = threading.Lock(), threading.Lock()
        self._etag: str | None = None
        self._text = self._written = ""
        self.lost: Callable[[str], object] = lambda _: None

    def read(self) -> str:
        stored = self._bucket.get(self._key)
        if stored and len(stored.body) > MAX_BYTES:
            raise EnireconcileError(
                f"cannot read the journal {self._bucket.url(self._key)}: it is {_TOO_LARGE}",
                hint="run `enireconcile unlock` for this spec: it writes an empty one",
            )
        if stored:
            self._etag = stored.etag
            self.idle = max(0.0, stored.age - _GRACE)
            self._text = self._written = stored.body.decode(errors="replace")
        return self._text

    def append(self, line: str) -> None:
        with self._adding:
            cut_off = bool(self._text) and not self._text.endswith("\n")
            self._text += f"\n{line}\n" if cut_off else f"{line}\n"

    def replace(self, text: str) -> None:
        with self._adding:
            self._text = text

    async def flushed(self) -> None:
        # In a thread, so that signals are handled and other steps go on.
        await asyncio.get_running_loop().run_in_executor(None, self.flush)

    def flush(self) -> None:
        """Write the lines that are not written yet. Raises LostLockError if another run has written meanwhile."""
        with self._writing:
            with self._adding:
                text = self._text
            if text == self._written:
                return
            try:
                self._etag = self._bucket.put(self._key, text.encode(), replaces=self._etag)
            except Changed:
                why = f"another run has written to {self._bucket.url(self._key)}"
                self.lost(why)
                raise LostLockError(f"the lock is lost: {why}", hint=NO_MORE_CALLS) from None
            self._written = text
