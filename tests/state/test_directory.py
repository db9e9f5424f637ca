"""What a run leaves for the next: the journal of creates, and the lock."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.errors import EnireconcileError, LockedError
from enireconcile.model import Secret, fingerprint
from enireconcile.state import Journal, Store
from enireconcile.state.clock import BootClock, boot_id, machine_clock
from enireconcile.state.directory import Directory, FileLog, default_root
from tests.planning.worlds import examples

RUN, ALLOCATE = "RunInstances", "AllocateAddress"
WEB, IP = "instances.web", "elastic_ips.web"
SCOPE = "123456789012-us-east-1-lab"
DAY = 86400
DIGEST, OTHER = fingerprint({"ImageId": "ami-1"}), fingerprint({"ImageId": "ami-2"})


class Host:
    """A host with a state directory and clocks, on which run comes after run.

    ``now`` is the time since the boot, ``wall`` what the wall clock is ahead of it.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / SCOPE / "journal.jsonl"
        self.path.parent.mkdir(parents=True)
        self.now, self.wall, self.boot = 1000.0, 1_700_000_000.0, "first boot"
        self.journal = self.next_run()

    def next_run(self) -> Journal:
        """Whatever the last run had in memory is gone."""
        clock = BootClock(self.boot, lambda: self.now)
        self.journal = Journal(FileLog(self.path), SCOPE, lambda: self.wall + self.now, clock)
        return self.journal

    def begin(self, address: str = WEB, digest: str = DIGEST, *, after: str | None = None) -> str:
        """Announce a create with a token, as the executor does; the answer is the token."""
        journal = self.journal
        token = (
            journal.token(address, RUN, digest, after=after)
            if after
            else journal.likely_token(address, RUN, digest)
        )
        self.journal.intend(address, RUN, digest, token)
        return token


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


# ---- calls that are put off


def test_waiting_counts_over_runs(host: Host) -> None:
    """Put off at 1000: a run after a crash knows for how long; another call of the address counts from now."""
    assert host.journal.waited(WEB, DIGEST) == 0
    host.now += 20
    assert host.journal.waited(WEB, DIGEST) == 20
    host.next_run()
    host.now += 5
    assert host.journal.waited(WEB, DIGEST) == 25
    assert host.journal.waited(IP, DIGEST) == 0
    assert host.journal.waited(WEB, OTHER) == 0
    host.now += 1
    assert host.journal.waited(WEB, OTHER) == 1


def test_waiting_is_no_creation(host: Host) -> None:
    """What is put off has made nothing."""
    host.journal.waited(WEB, DIGEST)
    assert (host.journal.was_created(WEB), host.journal.has_open_create(WEB)) == (False, False)
    assert host.journal.unseen_addresses(30) == {}


# ---- tokens


def test_a_token_is_what_ec2_takes(host: Host) -> None:
    token = host.begin()
    assert (len(token) <= 64, token.isascii(), token.isalnum()) == (True, True, True)


def test_while_the_outcome_is_open_the_token_stays_the_same(host: Host) -> None:
    first = host.begin()
    host.next_run()
    assert host.begin() == first


def test_after_it_was_made_a_deliberate_re_creation_gets_a_new_token(host: Host) -> None:
    tokens = []
    for number in range(3):
        tokens.append(host.begin())
        host.journal.made(WEB, f"i-{number}")
        host.next_run()
    assert len(set(tokens)) == 3


def test_other_parameters_get_another_token(host: Host) -> None:
    """EC2 would say IdempotentParameterMismatch."""
    assert host.begin() != host.begin(digest=OTHER)


def test_another_resource_gets_another_token(host: Host) -> None:
    assert host.begin() != host.begin("instances.db")


def test_after_a_refusal_the_token_may_be_used_again(host: Host) -> None:
    first = host.begin()
    host.journal.failed(WEB)
    assert host.begin() == first


def test_a_refusal_leaves_the_chain_where_it_was(host: Host) -> None:
    host.begin()
    host.journal.made(WEB, "i-1")
    second = host.begin()
    host.journal.failed(WEB)
    host.next_run()
    assert host.begin() == second


def test_a_token_conflict_is_followed_by_a_new_token_that_lasts(host: Host) -> None:
    spent = host.begin()
    fresh = host.begin(after=spent)
    host.next_run()
    assert (fresh != spent, host.begin()) == (True, fresh)


def test_two_hosts_that_remember_nothing_use_the_same_token(tmp_path: Path) -> None:
    """So EC2 creates the resource once, whichever host calls first."""
    assert Host(tmp_path / "a").begin() == Host(tmp_path / "b").begin()


def test_hosts_with_different_journals_use_the_same_token(tmp_path: Path) -> None:
    """One has created former generations with other parameters, the other one nothing: the same create."""
    one, other = Host(tmp_path / "a"), Host(tmp_path / "b")
    for number, digest in enumerate((DIGEST, OTHER)):
        one.begin(digest=digest)
        one.journal.made(WEB, f"i-{number}")
    third = fingerprint({"ImageId": "ami-3"})
    assert one.begin(digest=third) == other.begin(digest=third)


def test_hosts_with_different_journals_follow_the_same_chain(tmp_path: Path) -> None:
    """What was created is gone. The host that knows starts with the second token, the other one gets there."""
    one, other = Host(tmp_path / "a"), Host(tmp_path / "b")
    first = one.begin()
    one.journal.made(WEB, "i-1")
    assert other.begin() == first
    assert other.begin(after=first) == one.begin()


def test_after_half_a_day_the_chain_starts_anew(host: Host) -> None:
    """EC2 may have forgotten the token, and a host without a journal starts with the first one."""
    first = host.begin()
    host.journal.made(WEB, "i-1")
    host.now += 13 * 3600
    assert host.begin() == first


def test_a_refused_create_has_not_used_its_token(host: Host) -> None:
    """Compaction does not lose that either."""
    host.begin()
    host.journal.made(WEB, "i-1")
    second = host.begin()
    host.journal.failed(WEB)
    with host.path.open("a") as file:
        file.write("\n" * 2001)
    assert host.next_run().likely_token(WEB, RUN, DIGEST) == second


def test_two_stacks_use_different_tokens(tmp_path: Path) -> None:
    clock = BootClock("boot", float)
    one, two = (Journal(FileLog(tmp_path / "j"), stack, float, clock) for stack in ("one", "two"))
    assert one.token(WEB, RUN, DIGEST) != two.token(WEB, RUN, DIGEST)


# ---- what is remembered


def remembered(journal: Journal, address: str = WEB) -> tuple[str | None, str | None, bool] | None:
    """(result, previous, observed) of a resource."""
    entry = journal.entry(address)
    return None if entry is None else (entry.result, entry.previous, entry.observed)


Script = Callable[[Host], object]


def made(*results: str) -> Script:
    def script(host: Host) -> None:
        for result in results:
            host.begin()
            host.journal.made(WEB, result)

    return script


def then(*scripts: Script) -> Script:
    def script(host: Host) -> None:
        for each in scripts:
            each(host)

    return script


def begun(host: Host) -> object:
    return host.begin()


def failed(host: Host) -> None:
    host.journal.failed(WEB)


def saw(**present: str) -> Script:
    return lambda host: host.journal.observed(
        {address.replace("_", "."): aws_id for address, aws_id in present.items()}
    )


MEMORIES = [
    pytest.param(then(), None, False, False, id="nothing was begun"),
    pytest.param(begun, (None, None, False), True, False, id="begun, outcome unknown"),
    pytest.param(made("i-1"), ("i-1", None, False), False, True, id="made"),
    pytest.param(then(begun, failed), None, False, False, id="refused at the first time"),
    pytest.param(then(made("i-1"), begun), (None, "i-1", False), True, True, id="made, and begun again"),
    pytest.param(made("i-1", "i-2"), ("i-2", "i-1", False), False, True, id="made twice"),
    pytest.param(
        then(made("i-1"), saw(instances_web="i-1")), ("i-1", None, True), False, True, id="made and seen"
    ),
    pytest.param(then(begun, saw(instances_web="i-7")), ("i-7", None, True), False, True, id="found by a read"),
    pytest.param(then(begun, saw(instances_db="i-7")), (None, None, False), True, False, id="another was seen"),
    pytest.param(saw(instances_web="i-7"), None, False, False, id="what was never begun is not remembered"),
    pytest.param(failed, None, False, False, id="a refusal of nothing"),
    pytest.param(
        then(made("i-1"), saw(instances_web="i-1"), begun, failed),
        ("i-1", "i-1", True),
        False,
        True,
        id="refused later",
    ),
]


@pytest.mark.parametrize(("script", "memory", "is_open", "ever"), MEMORIES)
def test_what_is_remembered(script: Script, memory: Any, is_open: bool, ever: bool, host: Host) -> None:
    script(host)
    for journal in (host.journal, host.next_run()):
        told = (remembered(journal), journal.has_open_create(WEB), journal.was_created(WEB))
        assert told == (memory, is_open, ever)


# ---- doubt: may it exist unseen?


def test_a_create_with_an_open_outcome_is_doubted_for_the_settle_time(host: Host) -> None:
    host.journal.intend(IP, ALLOCATE, DIGEST, None)
    doubts = []
    for seconds in (0, 10, 30, 60):
        host.now = 1000.0 + seconds
        doubts.append(host.next_run().unseen_for(IP, DIGEST, 30.0))
    assert doubts == [30.0, 20.0, 0.0, 0.0]


def test_what_was_made_is_unseen_until_it_is_seen(host: Host) -> None:
    host.journal.intend(IP, ALLOCATE, DIGEST, None)
    host.journal.made(IP, "eipalloc-1")
    before = host.journal.unseen_addresses(30.0)
    host.journal.observed({IP: "eipalloc-1"})
    assert (before, host.journal.unseen_addresses(30.0)) == ({IP: 30.0}, {})


def test_what_was_seen_is_doubted_while_it_is_young(host: Host) -> None:
    """A later read may be an older one: what it lacks may be there all the same."""
    host.journal.intend(IP, ALLOCATE, DIGEST, None)
    host.journal.made(IP, "eipalloc-1")
    host.journal.observed({IP: "eipalloc-1"})
    assert host.journal.unseen_for(IP, DIGEST, 30.0) == 10.0


def test_the_young_keep_their_token_and_the_old_do_not(host: Host) -> None:
    """Made anew within the settle time: the same token, so that EC2 answers with what there is, if it is."""
    host.begin()
    first = host.journal.likely_token(WEB, RUN, DIGEST)
    host.journal.made(WEB, "i-1")
    young = host.journal.likely_token(WEB, RUN, DIGEST, settle=30.0)
    assert (young == first, host.journal.likely_token(WEB, RUN, DIGEST) == first) == (True, False)


def test_a_repeat_with_the_same_token_needs_no_doubt(host: Host) -> None:
    host.begin()
    assert (host.journal.unseen_for(WEB, DIGEST, 30.0), host.journal.unseen_for(WEB, OTHER, 30.0)) == (0.0, 30.0)


def test_unknown_parameters_mean_waiting(host: Host) -> None:
    host.begin()
    assert host.journal.unseen_for(WEB, None, 30.0) == 30.0


def test_what_was_never_begun_is_not_doubted(host: Host) -> None:
    assert host.journal.unseen_for(IP, DIGEST, 30.0) == 0.0


@pytest.mark.parametrize("jump", [-86400, -3600, 3600, 86400])
@pytest.mark.parametrize("restart", [False, True])
def test_a_wall_clock_that_jumps_changes_no_age(host: Host, jump: float, restart: bool) -> None:
    """Right after a crash, or in the same run: an hour more or less on the wall clock is no time at all."""
    host.journal.intend(IP, ALLOCATE, DIGEST, None)
    host.journal.waited(WEB, DIGEST)
    host.now += 4
    host.wall += jump
    journal = host.next_run() if restart else host.journal
    assert (journal.unseen_for(IP, DIGEST, 30.0), journal.unseen_addresses(30.0)) == (26.0, {IP: 26.0})
    assert journal.waited(WEB, DIGEST) == 4.0


def _on_another_host(host: Host) -> None:
    host.boot, host.now = "another host", 1_000_000.0


def _of_an_older_version(host: Host) -> None:
    lines = [json.loads(line) for line in host.path.read_text().splitlines()]
    old = [{name: line[name] for name in line if name not in ("boot", "elapsed")} for line in lines]
    host.path.write_text("".join(json.dumps(line) + "\n" for line in old))


def _from_an_older_snapshot(host: Host) -> None:
    host.now -= 500


def _rebooted(host: Host) -> None:
    host.boot, host.now = "second boot", 5.0


@pytest.mark.parametrize("jump", [-3600, 0, 3600])
@pytest.mark.parametrize(
    "change",
    [_on_another_host, _of_an_older_version, _from_an_older_snapshot, _rebooted],
    ids=lambda do: do.__name__,
)
def test_an_entry_of_unknown_age_counts_from_when_it_was_read(
    host: Host, change: Callable[[Host], None], jump: float
) -> None:
    """No clock can be compared with that of its line, so the whole time is waited; the wall clock has no say."""
    host.journal.intend(IP, ALLOCATE, DIGEST, None)
    host.journal.waited(WEB, DIGEST)
    host.now += 300
    host.wall += jump
    change(host)
    journal = host.next_run()
    assert (journal.unseen_for(IP, DIGEST, 30.0), journal.waited(WEB, DIGEST)) == (30.0, 0.0)
    host.now += 12
    assert (journal.unseen_for(IP, DIGEST, 30.0), journal.waited(WEB, DIGEST)) == (18.0, 12.0)
    assert journal.unseen_addresses(30.0) == {IP: 18.0}
    host.now += 20
    assert (journal.unseen_for(IP, DIGEST, 30.0), journal.waited(WEB, DIGEST)) == (0.0, 32.0)


def test_all_processes_of_a_boot_share_a_clock() -> None:
    """A second process on this machine can compare its times with ours, if the system identifies boots."""
    code = "from enireconcile.state.clock import *; c = machine_clock(); print(c.boot, c.elapsed())"
    before = machine_clock().elapsed()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    boot, elapsed = done.stdout.split()
    assert before < float(elapsed) < machine_clock().elapsed()
    assert (boot == machine_clock().boot) is bool(boot_id())


# ---- what is forgotten


def _remembers(host: Host, address: str) -> bool:
    journal = host.next_run()
    refused = journal.refusal(address, "ModifyInstanceAttribute", DIGEST)
    return journal.entry(address) is not None or refused is not None or address in journal._waits


def _has_entry(host: Host, address: str) -> None:
    host.journal.intend(address, ALLOCATE, DIGEST, None)
    host.journal.made(address, "eipalloc-1")
    host.journal.observed({address: "eipalloc-1"})


def _has_open_entry(host: Host, address: str) -> None:
    host.journal.intend(address, ALLOCATE, DIGEST, None)


def _has_wait(host: Host, address: str) -> None:
    host.journal.waited(address, DIGEST)


def _has_refusal(host: Host, address: str) -> None:
    host.journal.refuse(address, "ModifyInstanceAttribute", DIGEST, "no")


@pytest.mark.parametrize("leave", [_has_entry, _has_open_entry, _has_wait, _has_refusal])
def test_what_is_gone_for_a_day_is_forgotten(host: Host, leave: Callable[[Host, str], None]) -> None:
    """Neither in the spec nor live: remembered for a day from then on, however old it is, and forgotten after."""
    leave(host, IP)
    host.now += 30 * DAY
    host.next_run().in_use([IP])
    assert _remembers(host, IP)
    host.journal.in_use([])
    host.now += DAY - 1
    host.next_run().in_use([])
    assert _remembers(host, IP)
    host.now += 2
    assert not _remembers(host, IP)
    leave(host, IP)
    assert _remembers(host, IP)


@pytest.mark.parametrize("leave", [_has_entry, _has_wait, _has_refusal])
def test_what_comes_back_within_a_day_is_not_forgotten(host: Host, leave: Callable[[Host, str], None]) -> None:
    leave(host, IP)
    host.journal.in_use([])
    host.now += DAY / 2
    host.next_run().in_use([IP])
    host.now += DAY
    assert _remembers(host, IP)


def test_what_is_forgotten_does_not_come_back(host: Host) -> None:
    """Its old lines are still in the file when new ones follow: the old refusal and its wait do not count."""
    _has_refusal(host, WEB)
    _has_wait(host, WEB)
    host.journal.in_use([])
    host.now += DAY + 1
    host.next_run().intend(WEB, RUN, DIGEST, "token")
    journal = host.next_run()
    assert (journal.refusal(WEB, "ModifyInstanceAttribute", DIGEST), WEB in journal._waits) == (None, False)
    assert journal.entry(WEB) is not None


def test_a_journal_does_not_grow_with_what_was(host: Host) -> None:
    """Every day the stack has thirty other names, for weeks: the file keeps those of the last days."""
    for day in range(40):
        addresses = [f"elastic_ips.build-{day}-{number}" for number in range(30)]
        journal = host.next_run()
        for address in addresses:
            for leave in (_has_entry, _has_wait, _has_refusal):
                leave(host, address)
        journal.in_use(addresses)
        host.now += DAY
    assert len(host.path.read_text().splitlines()) < FileLog.longest + 300
    assert len(host.next_run()._entries) == 60


def test_what_is_used_and_seen_all_the_time_writes_nothing(host: Host) -> None:
    _has_entry(host, IP)
    before = host.path.read_text()
    for _ in range(3):
        host.next_run().in_use([IP, WEB])
        host.now += DAY
    assert host.path.read_text() == before


# ---- the file


def test_nothing_but_hashes_of_parameters_is_written(host: Host) -> None:
    params = {"ImageId": "ami-secret", "UserData": Secret("password=hunter2")}
    host.begin(digest=fingerprint(params))
    text = host.path.read_text()
    assert [word for word in ("hunter2", "password", "ami-secret") if word in text] == []


def test_an_intent_is_on_the_disk_before_the_call(host: Host) -> None:
    host.begin()
    assert [json.loads(line)["event"] for line in host.path.read_text().splitlines()] == ["intent"]


@pytest.mark.parametrize("left", [1, 10, 40, 80])
def test_a_torn_last_line_is_ignored(left: int, host: Host) -> None:
    host.begin()
    host.journal.made(WEB, "i-1")
    whole = host.path.read_text()
    host.begin(IP)
    host.path.write_text(whole + host.path.read_text()[len(whole) :][:left])
    host.next_run()
    assert (remembered(host.journal), remembered(host.journal, IP)) == (("i-1", None, False), None)


def test_what_is_written_after_a_torn_line_is_a_line_of_its_own(host: Host) -> None:
    host.begin()
    with host.path.open("a") as file:
        file.write('{"event": "ma')
    host.next_run().made(WEB, "i-1")
    assert remembered(host.next_run()) == ("i-1", None, False)


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n\n", "garbage\n", "[]\n", "{}\n", '{"address": "x"}\n', "\x00\xff\n", "7\n"),
        pytest.param("[" * 100_000 + "\n", id="deep"),
    ],
)
def test_a_file_that_another_user_wrote_is_no_obstacle(text: str, host: Host) -> None:
    host.path.write_text(text, encoding="latin-1")
    host.next_run()
    token = host.begin()
    assert host.next_run().likely_token(WEB, RUN, DIGEST) == token


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(WEB),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(max_size=4), each, max_size=2),
    max_leaves=3,
)
LINES = st.fixed_dictionaries(
    {"event": st.sampled_from(["intent", "made", "seen", "failed", "waits", "refused", "unused", "used"])},
    optional=dict.fromkeys(
        ("at", "boot", "elapsed", "address", "call", "digest", "token", "previous", "result", "error"), JSON
    ),
)


@examples(200)
@given(st.lists(LINES, max_size=4))
def test_valid_lines_of_wrong_types_are_no_obstacle(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]]
) -> None:
    host = Host(tmp_path_factory.mktemp("host"))
    right = {"address": WEB, "call": RUN, "digest": DIGEST, "token": None, "previous": None}
    host.path.write_text("".join(json.dumps({**right, **line}) + "\n" for line in lines))
    host.next_run().in_use([])
    known_of(host.journal)
    for address, entry in host.journal._entries.items():
        assert host.journal.unseen_for(address, OTHER, 30.0) <= 30.0
        assert isinstance(entry.began.elapsed, float)
    host.now += DAY + 1
    token = host.next_run().token(WEB, RUN, DIGEST, after="spent")
    host.journal.intend(WEB, RUN, DIGEST, token)
    host.journal.waited(WEB, DIGEST)
    assert host.next_run().likely_token(WEB, RUN, DIGEST) == token


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "made", "failed", "saw", "fresh", "wait", "refuse", "unused"]), st.integers(0, 2)
    ),
    max_size=12,
)


@examples(50)
@given(EVENTS)
def test_compaction_keeps_what_is_known(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]
) -> None:
    """However the story went, a run that compacts the file knows and does the same as one that does not."""
    host = Host(tmp_path_factory.mktemp("host"))
    for event, number in events:
        address = f"instances.{number}"
        if event in ("begin", "fresh"):
            host.begin(address, after="spent" if event == "fresh" else None)
        elif event == "made" and host.journal.entry(address):
            host.journal.made(address, f"i-{number}")
        elif event == "failed" and host.journal.has_open_create(address):
            host.journal.failed(address)
        elif event == "saw":
            host.journal.observed({address: f"i-{number}"})
        elif event == "wait":
            host.journal.waited(address, DIGEST)
            host.now += 1
        elif event == "refuse":
            host.journal.refuse(address, "ModifyInstanceAttribute", DIGEST, f"no to {number}")
        elif event == "unused":
            host.journal.in_use({f"instances.{each}" for each in range(3)} - {address})
            host.now += 20_000
    known = known_of(host.journal)
    with host.path.open("a") as file:
        file.write("\n" * 2001)
    assert known_of(host.next_run()) == known
    # At most five lines for each of the three addresses (intent, made, seen, waits, refused), and one if unused.
    assert len(host.path.read_text().splitlines()) <= 15 + len(host.journal._unused)
    assert known_of(host.next_run()) == known


def test_compaction_keeps_the_end_of_the_trail(host: Host) -> None:
    """The last five hundred lines of other calls, in their order."""
    for number in range(2001):
        host.journal.calling(WEB, f"Call{number}")
    host.next_run()
    calls = [json.loads(line)["call"] for line in host.path.read_text().splitlines()]
    assert calls == [f"Call{number}" for number in range(1501, 2001)]


def known_of(journal: Journal) -> list[object]:
    """All that a journal can be asked about three resources."""
    addresses = [f"instances.{number}" for number in range(3)]
    return [
        (
            remembered(journal, address),
            journal.unseen_for(address, DIGEST, 30.0),
            journal.unseen_for(address, OTHER, 30.0),
            journal.likely_token(address, RUN, DIGEST),
            journal.waited(address, DIGEST) if address in journal._waits else None,
            journal.refusal(address, "ModifyInstanceAttribute", DIGEST),
            journal.refusal(address, "ModifyInstanceAttribute", OTHER),
        )
        for address in addresses
    ]


def test_a_journal_that_cannot_be_written_is_an_error_in_words(host: Host) -> None:
    """A full disk, say; the call that it would speak of must not begin."""
    with no_room(), pytest.raises(EnireconcileError, match="cannot write the journal"):
        host.journal.intend(IP, ALLOCATE, DIGEST, None)


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- the lock


def hold(store: Store, scope: str = SCOPE) -> Any:
    return store.locked(scope, timeout=0, now=lambda: 1_700_000_000.0)


def test_the_second_run_sees_the_holder(tmp_path: Path) -> None:
    with hold(Directory(tmp_path)), pytest.raises(LockedError) as raised, hold(Directory(tmp_path)):
        raise AssertionError("two hold one lock")
    assert raised.value.exit_code == 4
    assert f"{SCOPE} is locked by " in raised.value.message
    assert f"(pid {os.getpid()}, since 2023-11-14T22:13:20+00:00: " in raised.value.message


def test_a_holder_that_left_no_name_is_another_run(tmp_path: Path) -> None:
    with hold(Directory(tmp_path)):
        (tmp_path / SCOPE / "holder.json").write_text("torn {")
        with pytest.raises(LockedError) as raised, hold(Directory(tmp_path)):
            raise AssertionError("two hold one lock")
    assert raised.value.message == f"{SCOPE} is locked by another run"


def test_a_lock_is_free_again_after_its_run_even_if_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(Directory(tmp_path)):
        raise ZeroDivisionError
    with hold(Directory(tmp_path)) as held:
        assert held.journal.entry(WEB) is None
    assert [path.name for path in (tmp_path / SCOPE).iterdir()] == ["lock"]


def test_stacks_do_not_lock_each_other(tmp_path: Path) -> None:
    with hold(Directory(tmp_path), "one"), hold(Directory(tmp_path), "two"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_lock_that_a_crash_left_behind_does_not_block(tmp_path: Path) -> None:
    (tmp_path / SCOPE).mkdir()
    (tmp_path / SCOPE / "lock").touch()
    (tmp_path / SCOPE / "holder.json").write_text("{}")
    with hold(Directory(tmp_path)):
        held_by = json.loads((tmp_path / SCOPE / "holder.json").read_text())
    assert held_by["pid"] == os.getpid()


def test_the_next_run_remembers_what_the_last_one_wrote(tmp_path: Path) -> None:
    with hold(Directory(tmp_path)) as held:
        held.journal.intend(IP, ALLOCATE, DIGEST, None)
    with hold(Directory(tmp_path)) as held:
        assert held.journal.has_open_create(IP)


def test_only_the_user_may_look_into_the_state_directory(tmp_path: Path) -> None:
    with hold(Directory(tmp_path)):
        mode = (tmp_path / SCOPE).stat().st_mode
    assert oct(mode & 0o777) == oct(0o700)


def test_a_state_directory_that_is_a_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(EnireconcileError) as raised, hold(Directory(tmp_path / "state")):
        raise AssertionError("there is no such directory")
    assert raised.value.message.startswith(f"cannot use the state directory {tmp_path / 'state' / SCOPE}: ")
    assert raised.value.hint == "set a directory that you can write to with --state"


def test_a_full_disk_is_an_error_in_words_and_lets_go_of_the_lock(tmp_path: Path) -> None:
    cannot = pytest.raises(EnireconcileError, match="cannot use the state directory")
    with no_room(), cannot, hold(Directory(tmp_path)):
        raise AssertionError("nothing can be written")
    assert [path.name for path in (tmp_path / SCOPE).iterdir()] == ["lock"]
    with hold(Directory(tmp_path)):
        assert (tmp_path / SCOPE / "holder.json").is_file()


def test_state_lives_where_the_desktop_standard_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first = default_root()
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (first, default_root()) == (
        tmp_path / "enireconcile",
        tmp_path / "home" / ".local" / "state" / "enireconcile",
    )
