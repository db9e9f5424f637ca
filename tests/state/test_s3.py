"""Locks and journals in S3: who holds a lock, when it may be taken over, and how a run learns of that."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from msgspec.structs import replace

from enireconcile.aws.s3 import S3Bucket
from enireconcile.aws.session import Session
from enireconcile.errors import AwsError, EnireconcileError, LockedError, LostLockError, StoppedError
from enireconcile.state import HeldLock, Store
from enireconcile.state.base import this_process
from enireconcile.state.clock import BootClock
from enireconcile.state.directory import Directory
from enireconcile.state.s3 import LEASE, RENEW_EVERY, Lease, ObjectLog, S3Store
from tests.commands import PATIENCE, running, written
from tests.ec2 import EC2Server, Hook, World
from tests.harness import ENVIRONMENT, STORY
from tests.s3 import BUCKET, Clock, Drop, Refuse, Request, S3Server

SCOPE = "123456789012-us-east-1-two-enis"
LOCK, JOURNAL, REPORT = (f"team/{SCOPE}/{name}" for name in ("lock.json", "journal.jsonl", "report.json"))
SPEC = str(STORY)
NEVER = 1e9
PROBES = ("if-match", "if-none-match")
"""The headers that a run tries after it has created the lock, with a condition that does not hold."""


@functools.cache
def _boto() -> boto3.Session:
    """Reading the service model takes long; once is enough."""
    return boto3.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )


@functools.cache
def _session(_: str) -> Session:
    return Session(_boto(), "us-east-1")


def bucket(name: str = BUCKET) -> S3Bucket:
    return S3Bucket(_session(os.environ["AWS_ENDPOINT_URL_S3"]), name, "team/")


def host(clock: Callable[[], float], *, renew_every: float = NEVER) -> S3Store:
    """A host's access to the lock. It renews its lease only if the test sets ``renew_every`` or does it itself."""
    return S3Store(bucket(), clock=BootClock("test", clock), renew_every=renew_every)


def hold(store: Store, **more: Any) -> AbstractContextManager[HeldLock]:
    return store.locked(SCOPE, **{"timeout": 0, "now": lambda: 1_700_000_000.0, **more})


def crash(clock: Clock) -> None:
    """A host that took the lock and was killed, on a machine of which nothing is known."""
    holder = replace(this_process(clock), where="")
    assert Lease(bucket(), f"{SCOPE}/lock.json", holder, clock).acquire() is None


def at(request: Request, method: str, key: str) -> bool:
    return (request.method, request.key) == (method, key)


def once(wanted: Callable[[Request], bool], deed: Callable[[], object]) -> Callable[[Request], None]:
    """A hook that does its deed at the first request that is wanted."""
    left = [deed]

    def hook(request: Request) -> None:
        if wanted(request) and left:
            left.pop()()

    return hook


def refuse(code: str, status: int) -> Callable[[], None]:
    def deed() -> None:
        raise Refuse(status, code)

    return deed


def drop() -> None:
    raise Drop


# ---- who has it


def test_the_lock_says_whose_it_is(s3: S3Server, clock: Clock) -> None:
    with hold(host(clock)):
        words = s3.json(LOCK)
    mine = this_process(lambda: 1_700_000_000.0)
    assert {name: words[name] for name in ("who", "host", "pid", "command")} == {
        "who": mine.who,
        "host": mine.host,
        "pid": os.getpid(),
        "command": mine.command,
    }
    assert (words["since"], words["lease"]) == ("2023-11-14T22:13:20+00:00", LEASE)
    assert s3.json(LOCK)["free"] is True


@pytest.mark.usefixtures("s3")
def test_the_second_sees_the_holder(clock: Clock) -> None:
    with hold(host(clock)):
        clock.now += 7
        with pytest.raises(LockedError) as raised, hold(host(clock)):
            raise AssertionError("two hold one lock")
    assert f"(pid {os.getpid()}, since 2023-11-14T22:13:20+00:00: " in str(raised.value)
    assert "renewed 7 s ago" in str(raised.value)
    assert "enireconcile unlock" in str(raised.value)
    assert raised.value.exit_code == 4


@pytest.mark.usefixtures("s3")
def test_it_is_free_again_after_its_run_even_if_that_failed(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), hold(host(clock)):
        raise ZeroDivisionError
    with hold(host(clock)):
        pass


@pytest.mark.usefixtures("s3")
def test_stacks_do_not_lock_each_other(clock: Clock) -> None:
    with hold(host(clock)), host(clock).locked("another", timeout=0, now=clock):
        pass


@pytest.mark.usefixtures("s3")
def test_the_second_waits_for_its_turn(clock: Clock) -> None:
    """It is told once for whom it waits, looks again every two seconds, and gets the lock."""
    first = hold(host(clock))
    first.__enter__()
    naps: list[float] = []
    told: list[str] = []

    def idle(seconds: float) -> bool:
        naps.append(seconds)
        clock.now += seconds
        if len(naps) == 3:
            first.__exit__(None, None, None)
        return True

    with hold(host(clock), timeout=30, idle=idle, waiting=lambda lock: told.append(str(lock))):
        assert (naps, len(told)) == ([2.0] * 3, 1)


@pytest.mark.usefixtures("s3")
def test_a_stop_ends_the_wait(clock: Clock) -> None:
    with hold(host(clock)), pytest.raises(StoppedError), hold(host(clock), timeout=30, idle=lambda _: False):
        raise AssertionError("two hold one lock")


# ---- races


@pytest.mark.parametrize("before", ["nothing", "a lock that was given back", "a lock that is out of date"])
def test_of_two_runs_that_see_it_free_one_gets_it(s3: S3Server, clock: Clock, before: str) -> None:
    """Another host writes between our read and our write: it has the lock, and we see that."""
    if before != "nothing":
        if before == "a lock that is out of date":
            crash(clock)
        else:
            with hold(host(clock)):
                pass
        clock.now += LEASE + 10
    winner = ExitStack()
    s3.before = once(lambda request: at(request, "PUT", LOCK), lambda: winner.enter_context(hold(host(clock))))
    with winner, pytest.raises(LockedError), hold(host(clock)):
        raise AssertionError("two hold one lock")


@pytest.mark.usefixtures("s3")
def test_many_at_once(clock: Clock) -> None:
    """Eight hosts in eight threads: one at a time inside, all of them in the end."""
    inside: list[int] = []
    most: list[int] = []
    guard = threading.Lock()

    def work() -> None:
        nap = threading.Event()
        with hold(host(clock), timeout=1, idle=lambda _: not nap.wait(0.001)):
            with guard:
                inside.append(1)
                most.append(len(inside))
            nap.wait(0.002)
            with guard:
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert most == [1] * 8


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_without_a_winner_is_tried_again(s3: S3Server, clock: Clock, status: int) -> None:
    code = {409: "ConditionalRequestConflict", 412: "PreconditionFailed"}[status]
    s3.before = once(lambda request: at(request, "PUT", LOCK), refuse(code, status))
    with hold(host(clock)) as held:
        held.check()


def test_an_answer_that_is_lost_costs_no_lock(s3: S3Server, clock: Clock) -> None:
    """The write took effect and its answer was lost: the retry meets our own lock and recognises it."""
    s3.after = once(lambda request: at(request, "PUT", LOCK), drop)
    with hold(host(clock)) as held:
        held.check()
        assert len(s3.puts("lock.json")) == 2 + len(PROBES)


# ---- a service that only resembles S3


@pytest.mark.parametrize("before", ["nothing", "a lock that was given back"])
@pytest.mark.parametrize("ignored", [["if-match"], ["if-none-match"], ["if-match", "if-none-match"]], ids=str)
def test_a_service_that_ignores_conditions_is_refused(
    s3: S3Server, clock: Clock, ignored: list[str], before: str
) -> None:
    """Each run tries the headers on which its lock depends. Replacing a lock depends on If-Match alone."""
    if before != "nothing":
        with hold(host(clock)):
            pass
    journal = s3.objects.get(JOURNAL)
    s3.ignored = frozenset(ignored)
    if before != "nothing" and ignored == ["if-none-match"]:
        with hold(host(clock)):
            return
    with pytest.raises(EnireconcileError) as raised, hold(host(clock)):
        raise AssertionError("two runs could be here")
    name = "If-Match" if "if-match" in ignored else "If-None-Match"
    assert f"the S3 service of s3://{BUCKET}/{LOCK} ignores {name}" in raised.value.message
    assert "conditional writes (If-None-Match, If-Match)" in str(raised.value.hint)
    assert s3.objects.get(JOURNAL) is journal, "the journal is not written"
    assert s3.json(LOCK)["free"] is True


@pytest.mark.parametrize(("before", "tried"), [("nothing", PROBES), ("a lock that was given back", PROBES[:1])])
def test_conditions_are_tried_once_a_run(s3: S3Server, clock: Clock, before: str, tried: tuple[str, ...]) -> None:
    """One write more for a run, two for the first; the lock stays as it is."""
    if before != "nothing":
        with hold(host(clock)):
            pass
    s3.requests.clear()
    with hold(host(clock)) as held:
        for _ in range(3):
            held.check()
        first, *probes = s3.puts("lock.json")
        assert s3.objects[LOCK].body == first.body
    assert [[name for name in PROBES if name in probe.headers] for probe in probes] == [[name] for name in tried]


@pytest.mark.parametrize(("code", "status"), [("ConditionalRequestConflict", 409), ("SlowDown", 503)])
def test_a_conflict_is_no_sign_of_ignorance(s3: S3Server, clock: Clock, code: str, status: int) -> None:
    """Another answer than success, whatever it is, refuses nothing; what can be repeated is."""
    s3.before = once(lambda request: request.headers.get("if-match", "").strip('"0') == "", refuse(code, status))
    with hold(host(clock)) as held:
        held.check()


# ---- leases


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(("seconds", "taken"), [(LEASE - 1, False), (LEASE + 1, False), (LEASE + 3, True)])
def test_a_lease_that_has_run_out_is_taken_over(clock: Clock, seconds: float, taken: bool) -> None:
    """Its holder was killed, say. Until the lease ends, and for two seconds of grace, it keeps the lock."""
    crash(clock)
    clock.now += seconds
    try:
        with hold(host(clock)):
            assert taken
    except LockedError:
        assert not taken


@pytest.mark.usefixtures("s3")
def test_the_clock_of_a_host_does_not_matter(clock: Clock) -> None:
    """A host that lives in another year waits like everybody else."""
    with hold(host(clock)), pytest.raises(LockedError), hold(host(clock), now=lambda: 4e9):
        raise AssertionError("two hold one lock")


class _Lease:
    """A lock that is held; the test itself renews its lease."""

    def __init__(self, clock: Clock) -> None:
        self._stack = ExitStack()
        self.held = self._stack.enter_context(hold(host(clock)))
        self.lost: list[str] = []
        self._stack.enter_context(self.held.watched(self.lost.append))
        self.renew = self.held._lease.renew  # type: ignore[attr-defined]

    def __enter__(self) -> _Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def test_a_lease_that_is_renewed_lasts(s3: S3Server, clock: Clock) -> None:
    with _Lease(clock) as lease:
        for _ in range(5):
            clock.now += RENEW_EVERY
            lease.renew()
        with pytest.raises(LockedError), hold(host(clock)):
            raise AssertionError("two hold one lock")
        lease.held.check()
    versions = {s3_object.headers["if-match"] for s3_object in s3.puts("lock.json")[1 + len(PROBES) :]}
    assert len(versions) == 6, "no version is like another"


def test_the_lease_is_renewed_while_the_run_goes_on(s3: S3Server, clock: Clock) -> None:
    with hold(host(clock, renew_every=0.01)), s3.changed:
        assert s3.changed.wait_for(lambda: len(s3.puts("lock.json")) >= 4 + len(PROBES), PATIENCE)


def test_a_lost_lease_is_noticed_at_the_next_renewal(s3: S3Server, clock: Clock) -> None:
    """Stopped for longer than the lease, and another has it: told at once, and nothing may be changed any more."""
    with _Lease(clock) as lease:
        clock.now += LEASE + 3
        with hold(host(clock)) as other:
            lease.renew()
            assert [why.endswith("has taken it over") for why in lease.lost] == [True]
            with pytest.raises(LostLockError, match="the lock is lost"):
                lease.held.check()
            other.check()
            before = s3.objects[LOCK]
            lease._stack.close()
            assert s3.objects[LOCK] is before, "a run that lost the lock does not release it"


@pytest.mark.usefixtures("s3")
def test_a_run_that_slept_renews_before_it_continues(clock: Clock) -> None:
    """The machine slept, so the lease was not renewed. If no run took the lock, the run renews it and goes on."""
    with _Lease(clock) as lease:
        clock.now += LEASE * 10
        lease.held.check()
        with pytest.raises(LockedError), hold(host(clock)):
            raise AssertionError("two hold one lock")
    with _Lease(clock) as lease:
        clock.now += LEASE * 10
        with hold(host(clock)), pytest.raises(LostLockError):
            lease.held.check()


def test_a_renewal_that_took_as_long_as_the_lease_does_not_count(s3: S3Server, clock: Clock) -> None:
    """The machine slept while the renewal was under way: it is renewed again, until that is quick enough."""

    def sleep(_: object = None) -> None:
        clock.now += LEASE

    with _Lease(clock) as lease:
        clock.now += LEASE
        s3.after = once(lambda request: at(request, "PUT", LOCK), sleep)
        s3.requests.clear()
        lease.held.check()
        assert len(s3.puts("lock.json")) == 2
        s3.after = sleep
        clock.now += LEASE
        with pytest.raises(LostLockError, match="its renewals take too long"):
            lease.held.check()


@pytest.mark.usefixtures("s3")
def test_after_the_release_no_check_succeeds(clock: Clock, tmp_path: Path) -> None:
    """A thread that a second Ctrl-C left behind may be on its way to a call."""
    for store in (host(clock), Directory(tmp_path)):
        with hold(store) as held:
            held.check()
        with pytest.raises(LostLockError, match="this run has released it"):
            held.check()


def test_another_run_has_it_and_nothing_tells_which(s3: S3Server, clock: Clock) -> None:
    """The lock has changed, and reading it fails: lost all the same."""
    with _Lease(clock) as lease:
        clock.now += LEASE + 3
        with hold(host(clock)):
            s3.before = once(
                lambda request: at(request, "GET", LOCK) and at(s3.requests[-1], "GET", LOCK),
                refuse("AccessDenied", 403),
            )
            lease.renew()
    assert lease.lost == ["another run has changed it"]


def test_threads_that_check_at_once_renew_once(s3: S3Server, clock: Clock) -> None:
    with _Lease(clock) as lease:
        clock.now += LEASE
        s3.requests.clear()
        threads = [threading.Thread(target=lease.held.check) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(s3.puts("lock.json")) == 1


@pytest.mark.usefixtures("s3")
def test_a_lock_that_was_removed_is_lost(clock: Clock) -> None:
    with _Lease(clock) as lease:
        store = host(clock)
        lock = store.look(SCOPE)
        assert lock is not None
        store.remove(SCOPE, lock)
        lease.renew()
        assert lease.lost == ["it was removed"]


def test_s3_out_of_reach(s3: S3Server, clock: Clock) -> None:
    """A renewal that fails loses nothing yet; the lease is given up well before others may take it over."""
    with _Lease(clock) as lease:
        s3.before = lambda _: refuse("AccessDenied", 403)()
        clock.now += LEASE / 2
        lease.renew()
        assert lease.lost == []
        lease.held.check()
        clock.now += 11
        lease.renew()
        [why] = lease.lost
        assert why.startswith("it could not be renewed: ")
        with pytest.raises(LostLockError):
            lease.held.check()


def _ended() -> int:
    """The pid of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("words", "is_free"),
    [
        pytest.param({"pid": _ended}, True, id="another pid that has ended"),
        pytest.param({"started": lambda: "1"}, True, id="the pid of a younger process"),
        pytest.param({"pid": _ended, "where": lambda: "elsewhere"}, False, id="another machine"),
        pytest.param({"pid": _ended, "where": lambda: ""}, False, id="who knows where"),
        pytest.param({"pid": lambda: 0}, False, id="no pid"),
        pytest.param({"pid": lambda: 2**70}, False, id="no pid either"),
        pytest.param({}, False, id="this very process"),
    ],
)
def test_a_dead_holder_on_this_machine_does_not_block(
    clock: Clock, words: dict[str, Callable[[], Any]], is_free: bool
) -> None:
    if not this_process(clock).where:
        pytest.skip("this system does not tell one boot from another")
    mine = {**this_process(clock).fields, **{name: value() for name, value in words.items()}, "lease": LEASE}
    bucket().put(f"{SCOPE}/lock.json", json.dumps(mine).encode(), replaces=None)
    lock = host(clock).look(SCOPE)
    assert lock is not None
    assert lock.live is not is_free


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    "body", [b"", b"torn {", b"[]", b"{}", b'{"lease": "long", "pid": "x"}', b'{"lease": 1e99}', b"\xff\x00"]
)
def test_a_lock_that_another_program_wrote_is_kept_for_a_lease(clock: Clock, body: bytes) -> None:
    bucket().put(f"{SCOPE}/lock.json", body, replaces=None)
    with pytest.raises(LockedError, match="another run"), hold(host(clock)):
        raise AssertionError("it is not ours")
    clock.now += LEASE + 3
    with hold(host(clock)):
        pass


@pytest.mark.usefixtures("s3")
def test_text_in_a_lock_cannot_control_a_terminal(clock: Clock) -> None:
    words = {**this_process(clock).fields, "who": "\x1b[2Jmallory\n", "lease": LEASE, "where": ""}
    bucket().put(f"{SCOPE}/lock.json", json.dumps(words).encode(), replaces=None)
    with pytest.raises(LockedError, match=r"locked by \[2Jmallory on"), hold(host(clock)):
        raise AssertionError("it is not ours")


# ---- journals


def test_an_intent_is_safe_before_its_call(s3: S3Server, clock: Clock) -> None:
    with hold(host(clock)) as held:
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
        held.journal.calling("instances.web", "StartInstances")
        asyncio.run(held.journal.flushed())
        events = [line["event"] for line in s3.lines(JOURNAL)]
        assert events == ["run", "intent", "call"]
        assert len(s3.puts("journal.jsonl")) == 2, "what waits together goes together"
        held.journal.made("elastic_ips.web", "eipalloc-1")
    assert [line["event"] for line in s3.lines(JOURNAL)] == ["run", "intent", "call", "made"]


@pytest.mark.usefixtures("s3")
def test_the_next_run_remembers_on_another_host(clock: Clock) -> None:
    with hold(host(clock)) as held:
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
    with hold(host(clock)) as held:
        assert held.journal.has_open_create("elastic_ips.web")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("jump", [-3600, 0, 3600])
def test_on_another_host_s3_tells_how_old_an_entry_is_at_least(clock: Clock, jump: float) -> None:
    """Nothing was written for 12 s, of which 10 are certain, since S3's times are whole seconds."""
    with hold(host(clock)) as held:
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
    clock.now += 12
    elsewhere = S3Store(bucket(), clock=BootClock("elsewhere", lambda: clock.now / 2), renew_every=NEVER)
    with hold(elsewhere, now=lambda: 1_700_000_000.0 + jump) as held:
        assert held.journal.unseen_for("elastic_ips.web", "sha256:1", 30.0) == 20.0


# ---- a run that may need no lock


def _unlocked(clock: Clock) -> bool:
    return host(clock).unlocked(SCOPE, clock) is not None


def test_without_the_lock_only_after_a_settled_journal(s3: S3Server, clock: Clock) -> None:
    assert not _unlocked(clock), "no run has settled it yet"
    with hold(host(clock)) as held:
        assert not _unlocked(clock), "another run has it"
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
    assert not _unlocked(clock), "the address may exist"
    with hold(host(clock)) as held:
        held.journal.made("elastic_ips.web", "eipalloc-1")
    assert not _unlocked(clock), "no read has shown it"
    with hold(host(clock)) as held:
        held.journal.observed({"elastic_ips.web": "eipalloc-1"})
    requests = len(s3.requests)
    assert _unlocked(clock)
    assert [(each.method, each.key) for each in s3.requests[requests:]] == [("GET", LOCK)]


@pytest.mark.usefixtures("s3")
def test_without_the_lock_not_after_a_crash_or_unlock(clock: Clock) -> None:
    with hold(host(clock)):
        pass
    assert _unlocked(clock)
    crash(clock)
    clock.now += LEASE + 3
    assert not _unlocked(clock)
    store = host(clock)
    lock = store.look(SCOPE)
    assert lock is not None
    store.remove(SCOPE, lock)
    assert not _unlocked(clock)


@pytest.mark.usefixtures("s3")
def test_without_the_lock_nothing_may_be_changed(clock: Clock) -> None:
    with hold(host(clock)):
        pass
    stand_in = host(clock).unlocked(SCOPE, clock)
    assert stand_in is not None
    assert not stand_in.is_held
    with pytest.raises(LostLockError, match="not locked"):
        stand_in.check()


def test_a_directory_is_always_locked(clock: Clock, tmp_path: Path) -> None:
    store = Directory(tmp_path, BootClock("test", clock))
    with hold(store):
        pass
    assert store.unlocked(SCOPE, clock) is None


def test_a_journal_is_trimmed(s3: S3Server, clock: Clock) -> None:
    """What is remembered stays, and the end of the trail."""
    with hold(host(clock)) as held:
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
        for number in range(ObjectLog.longest):
            held.journal.calling("instances.web", f"Call{number}")
    with hold(host(clock)) as held:
        assert held.journal.has_open_create("elastic_ips.web")
    assert len(s3.lines(JOURNAL)) == ObjectLog.trail + 2
    assert f"Call{ObjectLog.longest - 1}" in s3.objects[JOURNAL].body.decode()


@pytest.mark.usefixtures("s3")
def test_a_torn_journal_keeps_its_whole_lines(clock: Clock) -> None:
    with hold(host(clock)) as held:
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
    store, stored = bucket(), bucket().get(f"{SCOPE}/journal.jsonl")
    assert stored is not None
    store.put(f"{SCOPE}/journal.jsonl", stored.body + b'{"event": "int\xff', replaces=stored.etag)
    with hold(host(clock)) as held:
        assert held.journal.has_open_create("elastic_ips.web")
    with hold(host(clock)) as held:
        assert held.journal.has_open_create("elastic_ips.web")


@pytest.mark.usefixtures("s3")
def test_a_run_without_the_lock_cannot_write_the_journal(clock: Clock) -> None:
    """Even a run that does not know of the loss: its write fails, so its call is not sent."""
    with _Lease(clock) as lease:
        clock.now += LEASE + 3
        with hold(host(clock)) as other:
            lease.held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
            with pytest.raises(LostLockError, match=f"another run has written to s3://{BUCKET}/{JOURNAL}"):
                asyncio.run(lease.held.journal.flushed())
            assert len(lease.lost) == 1
            other.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:2", None)
            asyncio.run(other.journal.flushed())
    with hold(host(clock)) as next_one:
        memory = next_one.journal.entry("elastic_ips.web")
        assert memory is not None
        assert memory.digest == "sha256:2"


def test_a_former_holder_that_writes_while_a_run_begins(s3: S3Server, clock: Clock) -> None:
    """What it wrote at the last moment is read."""
    with _Lease(clock) as lease:
        clock.now += LEASE + 3

        def write() -> None:
            lease.held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
            asyncio.run(lease.held.journal.flushed())

        s3.before = once(lambda request: at(request, "PUT", JOURNAL), write)
        with hold(host(clock)) as held:
            assert held.journal.has_open_create("elastic_ips.web")


def test_the_last_report_is_kept(s3: S3Server, clock: Clock) -> None:
    with _Lease(clock) as lease:
        lease.held.keep('{"outcome": "converged"}')
        assert s3.json(REPORT) == {"outcome": "converged"}
        clock.now += LEASE + 3
        with hold(host(clock)) as other:
            other.keep('{"outcome": "unchanged"}')
            with pytest.raises(LostLockError):
                lease.held.keep('{"outcome": "partial"}')
    assert s3.json(REPORT) == {"outcome": "unchanged"}


# ---- errors


@pytest.mark.parametrize(
    ("code", "status", "hint"),
    [
        ("AccessDenied", 403, "s3:GetObject, s3:PutObject and s3:ListBucket"),
        ("NotImplemented", 501, "conditional writes"),
    ],
)
def test_errors_of_s3_are_reported(s3: S3Server, clock: Clock, code: str, status: int, hint: str) -> None:
    s3.before = lambda request: refuse(code, status)() if request.method == "PUT" else None
    with pytest.raises(AwsError) as raised, hold(host(clock)):
        raise AssertionError("it is not ours")
    assert f"PutObject for s3://{BUCKET}/{LOCK}: {code}" in str(raised.value)
    assert hint in str(raised.value)


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there(clock: Clock) -> None:
    with (
        pytest.raises(AwsError, match="create the bucket first"),
        hold(S3Store(bucket("nowhere"), clock=BootClock("test", clock))),
    ):
        raise AssertionError("there is no such bucket")


# ---- moto's S3, which we did not write


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": f"http://{address}:{port}"}.items():
        monkeypatch.setenv(name, value)
    boto3.Session().client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    yield
    server.stop()


@pytest.mark.usefixtures("moto")
def test_the_same_on_another_s3(clock: Clock) -> None:
    with hold(host(clock)) as held:
        with pytest.raises(LockedError, match=r"renewed \d s ago"), hold(host(clock)):
            raise AssertionError("two hold one lock")
        held.journal.intend("elastic_ips.web", "AllocateAddress", "sha256:1", None)
        asyncio.run(held.journal.flushed())
        held.keep("{}")
        clock.now += LEASE * 10
        held.check()
    with hold(host(clock)) as held:
        assert held.journal.has_open_create("elastic_ips.web")
        store = host(clock)
        lock = store.look(SCOPE)
        assert lock is not None
        store.remove(SCOPE, lock)
        assert store.look(SCOPE) is None
        clock.now += LEASE * 10
        with pytest.raises(LostLockError):
            held.check()
        with pytest.raises(LockedError, match="has changed the lock"):
            store.remove(SCOPE, lock)


# ---- real processes


@pytest.fixture
def server() -> Iterator[EC2Server]:
    with EC2Server(World()) as server:
        yield server


STATE = f"s3://{BUCKET}/team"
WITHOUT_RENEWALS = (
    "-c",
    "import enireconcile.state.s3 as s3; s3.RENEW_EVERY = 1e9; from enireconcile.__main__ import main; main()",
)
"""The command as it runs while its machine sleeps: its lease is never renewed, however long the test takes."""


def test_two_hosts_take_turns(s3: S3Server, server: EC2Server, tmp_path: Path) -> None:
    """Both want the lock when there is none: one builds, the other waits and finds all done."""
    reports = [tmp_path / f"{number}.json" for number in range(2)]
    gate = threading.Barrier(2, timeout=PATIENCE)
    # Neither writes before both have seen that there is no lock.
    left = [1, 1]
    s3.before = lambda request: gate.wait() if at(request, "PUT", LOCK) and left and left.pop() else None
    with (
        running(server, STATE, "apply", "-y", "--report", str(reports[0]), SPEC) as first,
        running(server, STATE, "apply", "-y", "--report", str(reports[1]), SPEC) as second,
    ):
        assert [process.end()[0] for process in (first, second)] == [0, 0], first.stderr + second.stderr
    assert sorted(written(report)["outcome"] for report in reports) == ["converged", "unchanged"]
    assert len(server.client().describe_addresses()["Addresses"]) == 2
    assert s3.json(REPORT)["outcome"] == "unchanged"
    assert (s3.json(LOCK)["free"], s3.json(LOCK)["settled"]) == (True, True)


def test_a_host_that_lost_its_lease_begins_nothing(
    s3: S3Server, server: EC2Server, clock: Clock, tmp_path: Path
) -> None:
    """It sleeps while it plans, and another run takes the lock: it makes no planned call and exits with 5.

    Without renewals it can learn of the loss in one way only: when it writes the journal before its first call.
    """
    arrived, gate = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        arrived.set()
        gate.wait(PATIENCE)

    server.faults.add(Hook(action="DescribeVpcs", callback=hang))
    report = tmp_path / "report.json"
    with running(server, STATE, "apply", "-y", "--report", str(report), SPEC, program=WITHOUT_RENEWALS) as slow:
        assert arrived.wait(PATIENCE)
        with running(server, STATE, "apply", "-y", "--lock-timeout", "0s", SPEC) as early:
            assert early.end()[0] == 4
        clock.now += LEASE + 3
        # The lease has expired, so the lock is taken over although its process still runs on this machine.
        with running(server, STATE, "apply", "-y", "--lock-timeout", "0s", SPEC) as quick:
            assert quick.end()[0] == 0, quick.stderr
        made = len(server.mutating())
        gate.set()
        code, stdout = slow.end()
    told = written(report)
    assert (code, told["outcome"]) == (5, "partial"), slow.stderr
    assert "the lock is lost: another run has written to" in told["error"]
    assert "nothing was changed" in stdout
    assert len(server.mutating()) == made
    assert s3.json(REPORT)["outcome"] == "converged"


@pytest.mark.usefixtures("s3")
def test_a_killed_host_is_followed_at_once_on_the_same_machine(server: EC2Server) -> None:
    """SIGKILL right after the launch: the next run knows that the holder is dead, and what it was doing."""
    if not this_process(lambda: 0.0).where:
        pytest.skip("this system does not tell one boot from another")
    killed = threading.Event()

    def kill(_: object) -> None:
        first.process.kill()
        killed.set()

    server.faults.add(Hook(action="RunInstances", late=True, callback=kill))
    with running(server, STATE, "apply", "-y", SPEC) as first:
        assert killed.wait(PATIENCE)
        first.process.wait(PATIENCE)
        with running(server, STATE, "apply", "-y", "--lock-timeout", "0s", SPEC) as second:
            assert second.end()[0] == 0, second.stderr
    assert "taking over" in second.stderr
    reservations = server.client().describe_instances()["Reservations"]
    assert sum(len(reservation["Instances"]) for reservation in reservations) == 1
