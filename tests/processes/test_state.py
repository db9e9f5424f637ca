"""What the commands keep between runs, and how a person looks at it: the lock, the journal, the last report."""

from __future__ import annotations

import json
import os
import pty
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest
from msgspec.structs import replace

from enireconcile.aws.s3 import S3Bucket
from enireconcile.aws.session import Session
from enireconcile.state.base import this_process
from enireconcile.state.directory import Directory
from enireconcile.state.s3 import LEASE, Lease
from tests.commands import running, written
from tests.ec2 import EC2Server, World
from tests.harness import ENVIRONMENT, STORY
from tests.processes.test_cli import Run, command, server
from tests.s3 import BUCKET, Clock, Object, S3Server

__all__ = ["command", "server"]
SPEC = str(STORY)
SCOPE = "123456789012-us-east-1-two-enis"
S3 = f"s3://{BUCKET}/team"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of the story's stack, below the state directory that the commands use."""
    return tmp_path / "state" / SCOPE


def elsewhere(clock: Clock) -> Lease:
    """A lock that a run on another machine has."""
    holder = replace(
        this_process(clock), where="", who="alice", host="build-7", pid=4711, command="enireconcile apply"
    )
    session = Session(boto3.Session(region_name="us-east-1"), "us-east-1")
    lease = Lease(S3Bucket(session, BUCKET, "team"), f"{SCOPE}/lock.json", holder, clock)
    assert lease.acquire() is None
    return lease


# ---- what is kept


def test_a_run_leaves_its_report_and_its_trail(server: EC2Server, command: Run, directory: Path) -> None:
    """The last report as --report writes it, and a line for each call, before and after it."""
    assert command("apply", "-y", SPEC).code == 0
    report = json.loads((directory / "report.json").read_text())
    assert (report["type"], report["outcome"]) == ("report", "converged")
    events = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    calls = [event["call"] for event in events if event["event"] in ("intent", "call")]
    assert sorted(calls) == sorted(server.actions(mutating=True))
    answered = [event["call"] for event in events if event["event"] == "answer"]
    assert sorted(answered) == sorted(event["call"] for event in events if event["event"] == "call")
    assert sorted(path.name for path in directory.iterdir()) == ["journal.jsonl", "lock", "report.json"]
    command("destroy", "-y", SPEC)
    assert json.loads((directory / "report.json").read_text())["outcome"] == "refused"


def test_other_users_cannot_read_it(server: EC2Server, command: Run, directory: Path) -> None:
    before = os.umask(0)
    try:
        assert command("apply", "-y", SPEC).code == 0
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in (directory.parent, directory)] == ["0o700"] * 2
    for name in ("journal.jsonl", "report.json"):
        assert oct((directory / name).stat().st_mode & 0o777) == "0o600"
    assert server.mutating()


def test_the_same_in_a_bucket(server: EC2Server, command: Run, s3: S3Server) -> None:
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
    assert s3.json(f"team/{SCOPE}/report.json")["outcome"] == "converged"
    events = s3.lines(f"team/{SCOPE}/journal.jsonl")
    calls = [event["call"] for event in events if event["event"] in ("intent", "call")]
    assert sorted(calls) == sorted(server.actions(mutating=True))
    assert "httpd" not in "".join(stored.body.decode() for stored in s3.objects.values())
    assert all(key.startswith(f"team/{SCOPE}/") for key in s3.objects)
    s3.requests.clear()
    unchanged = command("apply", "-y", "--output", "json", "--state", S3, SPEC)
    assert json.loads(unchanged.stdout)["outcome"] == "unchanged"
    assert [(each.method, each.key) for each in s3.requests] == [("GET", f"team/{SCOPE}/lock.json")]
    assert s3.json(f"team/{SCOPE}/report.json")["outcome"] == "converged"


def test_a_lock_in_a_bucket_is_taken_only_for_a_change(server: EC2Server, command: Run, s3: S3Server) -> None:
    """The plan is made again under the lock. A change that a guard refuses needs it, too."""
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
    address = server.client().describe_addresses()["Addresses"][0]
    server.client().disassociate_address(AssociationId=address["AssociationId"])
    refused = command("apply", "-y", "--max-changes", "0", "--state", S3, SPEC)
    assert (refused.code, s3.json(f"team/{SCOPE}/report.json")["outcome"]) == (3, "refused")
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
    assert s3.json(f"team/{SCOPE}/report.json")["outcome"] == "converged"


@pytest.mark.usefixtures("server")
def test_a_lock_in_a_bucket_that_another_run_holds_is_honoured(command: Run, s3: S3Server, clock: Clock) -> None:
    """What that run is changing is not known, so not even "nothing to do" could be trusted."""
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
    lease = elsewhere(clock)
    locked = command("apply", "-y", "--lock-timeout", "0s", "--state", S3, SPEC)
    assert (locked.code, "is locked by alice on build-7" in locked.stderr) == (4, True)
    lease.release()
    s3.requests.clear()
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
    assert s3.puts("lock.json"), "that run did not tell whether its journal is settled"


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_found_before_anything_changes(server: EC2Server, command: Run) -> None:
    ran = command("apply", "-y", "--state", "s3://nowhere", SPEC)
    assert ran.code == 1
    assert "GetObject for s3://nowhere/" in ran.stderr
    assert "create the bucket first" in ran.stderr
    assert server.mutating() == []


def test_a_service_that_ignores_conditional_writes_is_refused(
    server: EC2Server, command: Run, s3: S3Server
) -> None:
    """Two runs could hold such a lock at once: nothing is changed, and the error says what to do."""
    s3.ignored = frozenset({"if-match", "if-none-match"})
    ran = command("apply", "-y", "--state", S3, SPEC)
    assert ran.code == 1
    assert f"the S3 service of {S3}/{SCOPE}/lock.json ignores If-Match: two runs could hold the lock" in ran.stderr
    assert "use a service with conditional writes" in ran.stderr
    assert server.mutating() == []


@pytest.mark.parametrize("place", ["s3://", "s3://S3Bucket", "s3://a", "s3://bucket name/x", "s3:///prefix"])
def test_no_bucket_at_all_is_wrong_usage(command: Run, place: str) -> None:
    ran = command("apply", "-y", "--state", place, SPEC)
    assert (ran.code, "s3://bucket/prefix" in ran.stderr) == (64, True)


def test_what_it_says_gives_no_ownership(server: EC2Server, command: Run, s3: S3Server) -> None:
    """A forged journal can delay a run, and no more: the tags decide what the stack owns."""
    stranger = server.client().allocate_address(Domain="vpc")["AllocationId"]
    now = time.time()
    forged = [
        {
            "at": now,
            "event": "intent",
            "address": "elastic_ips.web-1",
            "call": "AllocateAddress",
            "digest": "sha256:0",
            "token": None,
            "previous": None,
        },
        {"at": now, "event": "made", "address": "elastic_ips.web-1", "result": stranger},
        {"at": now, "event": "seen", "address": "elastic_ips.web-1"},
    ]
    body = "".join(json.dumps(line) + "\n" for line in forged)
    S3Bucket(Session(boto3.Session(region_name="us-east-1"), "us-east-1"), BUCKET, "team").put(
        f"{SCOPE}/journal.jsonl", body.encode(), replaces=None
    )
    settled = ("--settle-timeout", "0s")
    assert command("apply", "-y", "--state", S3, *settled, SPEC).code == 0
    assert command("destroy", "-y", "--allow-destroy", "--state", S3, *settled, SPEC).code == 0
    assert s3.lines(f"team/{SCOPE}/journal.jsonl")[1]["result"] == stranger
    [left] = server.client().describe_addresses()["Addresses"]
    assert (left["AllocationId"], left.get("Tags", [])) == (stranger, [])


# ---- state directories of doubtful manners


@pytest.mark.parametrize("which", ["root", "scope"])
def test_a_directory_that_other_users_can_write_to(
    server: EC2Server, command: Run, directory: Path, which: str
) -> None:
    """Another user could delete the journal: refused before anything is changed, with a hint."""
    directory.mkdir(parents=True)
    open_to_all = directory if which == "scope" else directory.parent
    open_to_all.chmod(0o777)
    ran = command("apply", "-y", SPEC)
    assert ran.code == 1
    assert f"other users can write to the state directory {open_to_all}" in ran.stderr
    assert f"chmod go-w {open_to_all}, or set another directory with --state" in ran.stderr
    assert server.mutating() == []


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("mode", [0o770, 0o2775, 0o720])
@pytest.mark.parametrize("which", ["root", "scope"])
def test_a_directory_that_its_group_can_write_to(
    server: EC2Server, command: Run, directory: Path, which: str, mode: int, link: bool
) -> None:
    """What a group may write is refused as what all may write, also behind a symbolic link."""
    directory.mkdir(parents=True, mode=0o700)
    directory.parent.chmod(0o700)
    shared = directory if which == "scope" else directory.parent
    shared.chmod(mode)
    if link:
        shared.rename(shared.with_name("elsewhere"))
        shared.symlink_to("elsewhere")
    ran = command("apply", "-y", SPEC)
    assert ran.code == 1
    assert f"members of its group can write to the state directory {shared} (mode {mode:04o})" in ran.stderr
    assert f"chmod go-w {shared}, or set another directory with --state" in ran.stderr
    assert server.mutating() == []


def test_a_shared_directory_that_protects_its_entries_will_do(
    server: EC2Server, command: Run, directory: Path
) -> None:
    """A directory like /tmp: only the owner can change an entry of it."""
    directory.parent.mkdir()
    directory.parent.chmod(0o1777)
    assert command("apply", "-y", SPEC).code == 0
    assert server.mutating()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("which", ["root", "scope"])
def test_a_directory_of_another_user(server: EC2Server, command: Run, directory: Path, which: str) -> None:
    directory.mkdir(parents=True)
    os.chown(directory if which == "scope" else directory.parent, 12345, -1)
    ran = command("apply", "-y", SPEC)
    assert (ran.code, "belongs to another user (user id 12345)" in ran.stderr) == (1, True)
    assert server.mutating() == []


# ---- unlock


def test_nothing_to_unlock(server: EC2Server, command: Run, directory: Path) -> None:
    ran = command("unlock", SPEC)
    assert (ran.code, ran.stdout) == (0, f"{SCOPE}: not locked\n")
    assert server.mutating() == []
    assert not directory.exists()


@pytest.mark.usefixtures("server")
def test_a_file_that_is_locked_by_a_living_run_stays_locked(command: Run, directory: Path) -> None:
    """The operating system knows that the process lives, so --force does nothing."""
    with Directory(directory.parent).locked(SCOPE, timeout=0, now=lambda: 0.0):
        me = this_process(lambda: 0.0)
        for options in ((), ("-y",), ("--force",), ("-y", "--force")):
            ran = command("unlock", *options, SPEC)
            assert ran.code == 4
            assert f"locked by {me}\n  live: " in ran.stdout
            assert (
                f"hint: wait for it, or stop it if it hangs (pid {me.pid} on {me.host}): the lock ends with its "
                "process, and --force does not help\n"
            ) in ran.stderr
        assert command("apply", "-y", "--lock-timeout", "0s", SPEC).code == 4


@pytest.mark.usefixtures("server")
def test_what_a_crash_left_is_cleaned_up(command: Run, directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    (directory / "holder.json").write_text(json.dumps(this_process(lambda: 0.0).fields))
    assert command("unlock", SPEC).code == 3
    ran = command("unlock", "-y", SPEC)
    assert (ran.code, ran.stdout.splitlines()[-1]) == (0, f"{SCOPE}: unlocked")
    assert command("unlock", SPEC).stdout == f"{SCOPE}: not locked\n"


@pytest.mark.usefixtures("server")
def test_a_lease_of_a_living_run_takes_force(command: Run, s3: S3Server, clock: Clock) -> None:
    """Renewed a moment ago: kept unless --force is given; then its holder notices."""
    lease = elsewhere(clock)
    clock.now += 12
    ran = command("unlock", "-y", "--state", S3, SPEC)
    assert ran.code == 4
    assert "locked by alice on build-7 (pid 4711, " in ran.stdout
    assert "live: renewed 12 s ago" in ran.stdout
    assert "--force" in ran.stderr
    assert command("unlock", "-y", "--force", "--state", S3, SPEC).code == 0
    assert s3.json(f"team/{SCOPE}/lock.json")["free"] is True
    lease.renew()
    assert lease.lost == "it was removed"


@pytest.mark.usefixtures("server", "s3")
def test_a_lease_that_has_run_out_is_removed(command: Run, clock: Clock) -> None:
    elsewhere(clock)
    clock.now += LEASE + 3
    ran = command("unlock", "-y", "--state", S3, SPEC)
    assert ran.code == 0
    assert f"stale: renewed {LEASE + 3:.0f} s ago, and its lease of 60 s has expired" in ran.stdout
    assert command("unlock", "--state", S3, SPEC).stdout == f"{SCOPE}: not locked\n"


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 3), (b"y\n", 0)])
def test_a_person_is_asked(clock: Clock, answer: bytes, code: int) -> None:
    elsewhere(clock)
    clock.now += LEASE + 3
    ours, theirs = pty.openpty()
    with ExitStack() as stack:
        for end in (ours, theirs):
            stack.callback(os.close, end)
        account = stack.enter_context(EC2Server(World()))
        process = stack.enter_context(running(account, S3, "unlock", SPEC, stdin=theirs))
        process.says("Remove this lock? [y/N]")
        os.write(ours, answer)
        assert process.end()[0] == code


@pytest.mark.usefixtures("server")
def test_the_wrong_account_is_reported(command: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text('version: 1\nstack: x\nregion: us-east-1\naccount_id: "210987654321"\n')
    assert command("unlock", str(spec)).code == 3


# ---- exit codes


ONE = "version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n"
TABLE = [
    (0, ("plan", "one.yaml")),
    (1, ("apply", "-y", "broken.yaml")),
    (2, ("plan", "--detailed-exitcode", "one.yaml")),
    (3, ("apply", "-y", "--max-changes", "0", "one.yaml")),
    (4, ("apply", "-y", "--lock-timeout", "0s", "one.yaml")),
    (5, ("apply", "-y", "--timeout", "0s", "one.yaml")),
    (64, ("apply", "one.yaml", "--no-such-flag")),
]


@pytest.mark.parametrize(("code", "words"), TABLE, ids=[str(code) for code, _ in TABLE])
def test_every_exit_code(
    tmp_path: Path, code: int, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real command; none of them changes anything, and apply leaves a report if it began."""
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(ONE)
    Path("broken.yaml").write_text("version: 1\n")
    report = ("--report", "report.json") if words[0] == "apply" else ()
    with ExitStack() as stack:
        account = stack.enter_context(EC2Server(World()))
        if code == 4:
            place = Directory(tmp_path / "state")
            stack.enter_context(place.locked("123456789012-us-east-1-one", timeout=0, now=lambda: 0.0))
        process = stack.enter_context(running(account, tmp_path / "state", *words, *report))
        assert process.end()[0] == code, process.stderr
        assert account.mutating() == []
    outcomes = {3: "refused", 4: "locked", 5: "partial"}
    if code in outcomes:
        assert written(tmp_path / "report.json")["outcome"] == outcomes[code]


def test_credentials_are_in_no_state(server: EC2Server, command: Run, tmp_path: Path) -> None:
    assert command("apply", "-y", SPEC).code == 0
    text = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert [secret for secret in ENVIRONMENT.values() if secret in text] == []
    assert server.mutating()


# ---- state that another program has damaged


DAMAGE = {
    "deep lock": ("lock.json", b"[" * 100_000),
    "deep holder": ("holder.json", b"[" * 100_000),
    "a time that is a text": (
        "journal.jsonl",
        b'{"event": "intent", "address": "elastic_ips.web-1", "call": "AllocateAddress", "digest": "", '
        b'"token": null, "previous": null, "at": "x"}\n',
    ),
    "deep journal": ("journal.jsonl", b"[" * 100_000),
    "holder directory": ("holder.json", None),
    "journal directory": ("journal.jsonl", None),
    "lock directory": ("lock", None),
    "report directory": ("report.json", None),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("options", [("-y",), ("-y", "--force")], ids=" ".join)
def test_damaged_state_does_not_stop_a_stack_for_good(
    server: EC2Server, command: Run, directory: Path, name: str, options: Sequence[str]
) -> None:
    """A run works or ends with an error in words; after unlock, apply and destroy work."""
    file, content = DAMAGE[name]
    directory.mkdir(parents=True, mode=0o700)
    (directory / file).mkdir() if content is None else (directory / file).write_bytes(content)
    first = command("apply", "-y", SPEC)
    assert first.code == 0 or (first.code, server.mutating()) == (1, [])
    if first.code:
        assert f"{file} is not a regular file\n  hint: run `enireconcile unlock`" in first.stderr
    ran = command("unlock", *options, SPEC)
    assert ran.code == 0, ran.stderr
    if first.code:
        assert f"damaged: {file} is not a regular file" in ran.stdout
        assert f"moved to {directory / file}.damaged-" in ran.stdout
        assert "wait a minute before the next one" in ran.stderr
    assert command("unlock", SPEC).stdout == f"{SCOPE}: not locked\n"
    assert command("apply", "-y", SPEC).code == 0
    assert command("destroy", "-y", "--allow-destroy", SPEC).code == 0


@pytest.mark.parametrize("name", ["lock.json", "journal.jsonl"])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"[1]", b'{"at": "x", "event": {}}', b"\xff", b"7"])
def test_damaged_objects_do_not_stop_a_stack_for_good(
    server: EC2Server, command: Run, s3: S3Server, clock: Clock, name: str, body: bytes
) -> None:
    """What no run can read is a lock for the time of a lease, and no journal."""
    s3.objects[f"team/{SCOPE}/{name}"] = Object(body, '"planted"', clock.now)
    ran = command("apply", "-y", "--lock-timeout", "0s", "--state", S3, SPEC)
    assert (ran.code, len(server.mutating()) > 0) == ((4, False) if name == "lock.json" else (0, True))
    assert command("unlock", "-y", "--force", "--state", S3, SPEC).code == 0
    assert command("apply", "-y", "--state", S3, SPEC).code == 0
