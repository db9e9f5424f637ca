"""Anything at all in the place of the state: a run works or ends with an error in words, and unlock repairs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enireconcile.aws.s3 import S3Bucket
from enireconcile.aws.session import Session
from enireconcile.errors import EnireconcileError
from enireconcile.state import Journal, Store
from enireconcile.state import journal as journal_module
from enireconcile.state.clock import BootClock
from enireconcile.state.directory import Directory
from enireconcile.state.s3 import LEASE, S3Store
from tests.planning.worlds import examples
from tests.s3 import BUCKET, Clock, Object, S3Server
from tests.state.test_directory import DIGEST, IP, RUN, SCOPE, WEB

FILES = ("lock", "holder.json", "journal.jsonl", "report.json")
NOW = 1_700_000_000.0

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([WEB, IP, RUN, DIGEST, "\ud800", "x" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["intent", "made", "seen", "failed", "waits", "refused", "call", "run"]) | VALUES,
        "address": st.sampled_from([WEB, IP]) | VALUES,
        **dict.fromkeys(
            ("at", "call", "digest", "token", "previous", "result", "error", "free", "lease", "who", "host"),
            VALUES,
        ),
        **dict.fromkeys(("pid", "command", "since", "where", "started"), VALUES),
    },
)
DEEP = "[" * 100_000
TEXTS = st.one_of(
    st.lists(EVENTS | VALUES, max_size=6).map(lambda lines: "\n".join(map(json.dumps, lines))),
    st.sampled_from(
        [DEEP, '{"event":' * 100_000, "[" * 900 + "]" * 900, "\x00", "\udcff", "1" * 5000, '"at": "x"']
    ),
)


def used(journal: Journal) -> None:
    """Everything that a run does with a journal."""
    for address in (WEB, IP):
        journal.has_open_create(address)
        journal.was_created(address)
        journal.unseen_for(address, DIGEST, 30.0)
        journal.waited(address, DIGEST)
        journal.refusal(address, RUN, DIGEST)
        token = journal.likely_token(address, RUN, DIGEST, settle=30.0)
        assert len(token) <= 64
        journal.intend(address, RUN, DIGEST, token)
        journal.observed({address: "i-1"})
        journal.made(address, "i-1")
    journal.unseen_addresses(30.0)


def run_on(store: Store) -> None:
    with store.locked(SCOPE, timeout=0, now=lambda: NOW) as held:
        used(held.journal)
        held.keep("{}\n")


def unlocked(store: Store) -> None:
    """As `unlock -y --force` does it."""
    lock, damage = store.look(SCOPE), store.damage(SCOPE)
    if lock is not None:
        str(lock)
        store.remove(SCOPE, lock)
    if damage is not None:
        store.repair(SCOPE)
    assert (store.look(SCOPE), store.damage(SCOPE)) == (None, None)


def works_or_tells(store: Store) -> None:
    """A run works, or it ends with an error in words; after unlock it works."""
    with suppress(EnireconcileError):
        run_on(store)
    unlocked(store)
    run_on(store)


# ---- directories


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / SCOPE).mkdir(mode=0o700)
    return tmp_path


@examples(150)
@given(st.dictionaries(st.sampled_from(FILES), TEXTS, min_size=1))
def test_any_text_in_any_file(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / SCOPE).mkdir(mode=0o700)
    for name, text in texts.items():
        (root / SCOPE / name).write_bytes(text.encode(errors="surrogateescape"))
    works_or_tells(Directory(root))


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "precious").write_text("x")


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**31)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


PLANTED: list[Callable[[Path], None]] = [_directory, os.mkfifo, _huge, _dangling, _loop, _endless]


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_ours(root: Path, name: str, plant: Callable[[Path], None]) -> None:
    """Nothing blocks, nothing is read to its end, and nothing is deleted."""
    plant(root / SCOPE / name)
    works_or_tells(Directory(root))
    assert len(list(root.rglob("precious"))) == (plant is _directory)


@pytest.mark.parametrize("plant", PLANTED)
def test_no_directory_at_all(root: Path, plant: Callable[[Path], None]) -> None:
    (root / SCOPE).rmdir()
    plant(root / SCOPE)
    if plant is _directory:
        (root / SCOPE).chmod(0o700)
    works_or_tells(Directory(root))
    assert len(list(root.rglob("precious"))) == (plant is _directory)


def test_a_link_is_not_followed_to_another_file(root: Path) -> None:
    """The file that the link leads to is not changed."""
    victim = root / "victim"
    victim.write_text("precious\n")
    for name in FILES:
        (root / SCOPE / name).symlink_to(victim)
    works_or_tells(Directory(root))
    assert victim.read_text() == "precious\n"


def test_a_damaged_journal_is_not_moved_while_a_run_has_the_lock(root: Path) -> None:
    store = Directory(root)
    with store.locked(SCOPE, timeout=0, now=lambda: NOW):
        (root / SCOPE / "journal.jsonl").mkdir()
        assert store.damage(SCOPE) == "journal.jsonl is not a regular file"
        with pytest.raises(EnireconcileError, match="has begun meanwhile"):
            store.repair(SCOPE)
    assert [moved.startswith(f"{root / SCOPE}/journal.jsonl.damaged-") for moved in store.repair(SCOPE)] == [True]


def test_what_fits_is_still_read(root: Path) -> None:
    """Lines of wrong types are skipped one by one; a time that is a text does not hide the others."""
    path = root / SCOPE / "journal.jsonl"
    with Directory(root).locked(SCOPE, timeout=0, now=lambda: NOW) as held:
        held.journal.intend(WEB, RUN, DIGEST, "token-1")
        held.journal.intend(IP, RUN, DIGEST, "token-2")
    first, second = path.read_text().splitlines()
    broken = second.replace(f'"at": {NOW}', '"at": "x"')
    assert broken != second
    path.write_text(f"{first}\n{broken}\n")
    with Directory(root).locked(SCOPE, timeout=0, now=lambda: NOW) as held:
        assert held.journal.has_open_create(WEB)
        assert not held.journal.has_open_create(IP)


# ---- S3


@pytest.fixture
def store(s3: S3Server, clock: Clock) -> S3Store:
    del s3
    bucket = S3Bucket(Session(boto3.Session(region_name="us-east-1"), "us-east-1"), BUCKET, "")
    return S3Store(bucket, clock=BootClock("test", clock))


def put(s3: S3Server, name: str, body: bytes) -> None:
    s3.objects[f"{SCOPE}/{name}"] = Object(body, '"planted"', s3.clock())


@settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(("lock.json", "journal.jsonl", "report.json")), TEXTS, min_size=1))
def test_any_text_in_any_object(s3: S3Server, store: S3Store, texts: dict[str, str]) -> None:
    s3.objects.clear()
    for name, text in texts.items():
        put(s3, name, text.encode(errors="surrogateescape"))
    works_or_tells(store)


@pytest.mark.parametrize(
    "body", [DEEP, "[]", '{"pid": Infinity, "who": 1, "host": [], "command": {}, "since": 0}']
)
def test_a_lock_that_no_run_wrote_ends_with_its_lease(
    s3: S3Server, store: S3Store, clock: Clock, body: str
) -> None:
    """Without unlock: it is kept for the time of a lease, and taken over then."""
    put(s3, "lock.json", body.encode())
    with pytest.raises(EnireconcileError, match="is locked by another run"):
        run_on(store)
    clock.now += LEASE + 3
    run_on(store)


def test_a_journal_that_is_too_large(s3: S3Server, store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (journal_module, "enireconcile.state.s3", "enireconcile.aws.s3"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.MAX_BYTES", 1000)
    put(s3, "journal.jsonl", b"x" * 1001)
    with pytest.raises(EnireconcileError, match="cannot read the journal s3://") as raised:
        run_on(store)
    assert raised.value.hint == "run `enireconcile unlock` for this spec: it writes an empty one"
    works_or_tells(store)
