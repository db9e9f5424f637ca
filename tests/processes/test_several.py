"""Several specs: one that fails does not keep the others waiting, and is told with its stack and account."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.commands import PATIENCE, running
from tests.ec2 import Call, Hook
from tests.ec2.estate import Estate
from tests.fleet.estates import SPEC, account_id, blocks, estate_at


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[tuple[Estate, Mapping[str, str]]]:
    """Three stacks in three accounts, of which the second does not let the caller in."""
    with estate_at() as (estate, variables):
        estate.denied.add(account_id(2))
        (tmp_path / "specs").mkdir()
        for number in (1, 2, 3):
            head = f"assume_role_arn: arn:aws:iam::{account_id(number)}:role/ops\nregion: us-east-1\n"
            (tmp_path / "specs" / f"s{number}.yaml").write_text(SPEC.format(stack=f"s{number}") + head)
        yield estate, {**variables, "ENIRECONCILE_STATE": str(tmp_path / "state")}


def run(folder: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enireconcile", *arguments, "specs"],
        env={**os.environ, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


DENIED = f"AssumeRole for arn:aws:iam::{account_id(2)}:role/ops: AccessDenied"


def test_apply_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    metrics = tmp_path / "m.prom"
    ran = run(tmp_path, estate[1], "apply", "-y", "--report", str(tmp_path / "r.json"), "--metrics", str(metrics))
    assert ran.returncode == 1
    outcomes = re.findall(
        r'last_run_outcome\{stack="(\w+)".*outcome="(\w+)"\} 1$', metrics.read_text(), re.MULTILINE
    )
    assert outcomes == [("s1", "converged"), ("s2", "failed"), ("s3", "converged")]
    reports = json.loads((tmp_path / "r.json").read_text())
    assert [report["outcome"] for report in reports] == ["converged", "failed", "converged"]
    assert f"error: s2: {DENIED}" in ran.stderr
    assert re.findall(r"^(s\d): ✓ AllocateAddress", ran.stderr, re.MULTILINE) == ["s1", "s3"]
    summary = f"3 stacks: 2 converged, 1 failed (s2)\n  s2 ({account_id(2)}, us-east-1): failed: {DENIED}"
    assert ran.stderr.splitlines()[-2] == f"warning: {summary.splitlines()[0]}"
    assert ran.stderr.splitlines()[-1].startswith(summary.splitlines()[1])
    worlds = estate[0].worlds
    assert {account for account, _ in worlds} == {account_id(1), account_id(3)}
    assert all(len(world.data.addresses) == 1 for world in worlds.values())


def test_plan_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    ran = run(tmp_path, estate[1], "plan", "--output", "json")
    assert ran.returncode == 1
    assert [plan["stack"] for plan in json.loads(ran.stdout)] == ["s1", "s3"]
    assert f"error: s2: {DENIED}" in ran.stderr
    saved = run(tmp_path, estate[1], "plan", "--out", str(tmp_path / "plan"))
    assert "nothing is saved: s2 could not be planned" in saved.stderr
    assert "s3" in saved.stdout
    assert not (tmp_path / "plan").exists()


OTHER = "999999999999"
REFUSED = f"specs/s2.yaml:3:13: account_id: the spec is for account {OTHER}, these credentials belong to account"


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")], ids=["plan", "apply"])
def test_a_stack_of_another_account_is_refused(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """Summary, report, metrics and comment agree: it is a stack of the account that the spec is for."""
    text = f'version: 1\nstack: s2\naccount_id: "{OTHER}"\nregion: us-east-1\nelastic_ips: {{a: {{}}}}\n'
    (tmp_path / "specs" / "s2.yaml").write_text(text)
    metrics, report = tmp_path / "m.prom", tmp_path / "r.json"
    more = ("--report", str(report)) if command != ("plan",) else ()
    ran = run(tmp_path, estate[1], *command, "--metrics", str(metrics), *more)
    assert ran.returncode == 3
    assert f"error: s2: {REFUSED} 123456789012" in ran.stderr
    told = ran.stdout if command == ("plan",) else ran.stderr
    assert told.splitlines()[-2].endswith(", 1 refused (s2)")
    assert told.splitlines()[-1].startswith(f"  s2 ({OTHER}, us-east-1): refused: {REFUSED}")
    [(account, outcome)] = re.findall(
        r'last_run_outcome\{stack="s2",account="(\d+)".*outcome="(\w+)"\} 1$', metrics.read_text(), re.MULTILINE
    )
    assert (account, outcome) == (OTHER, "refused")
    if more:
        [refused] = [each for each in json.loads(report.read_text()) if each["outcome"] == "refused"]
        assert refused["account_id"] == OTHER
    comment = run(tmp_path, estate[1], *command, "--output", "markdown").stdout
    assert f"<code>s2</code> <sub>account <code>{OTHER}</code>" in comment


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")], ids=["plan", "apply"])
def test_a_failure_counts_for_its_own_account(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """Also where another account has a stack of this name."""
    folder, metrics = tmp_path / "specs", tmp_path / "m.prom"
    text = (folder / "s2.yaml").read_text()
    for number in (1, 3):
        (folder / f"s{number}.yaml").write_text(text.replace(account_id(2), account_id(number)))
    for _ in range(2):
        assert run(tmp_path, estate[1], *command, "--metrics", str(metrics)).returncode == 1
    counted = re.findall(
        r'runs_total\{stack="s2",account="(\d+)".*outcome="failed"\} (\d)$', metrics.read_text(), re.MULTILINE
    )
    assert counted == [(account_id(1), "0"), (account_id(2), "2"), (account_id(3), "0")]


def test_the_summary_of_a_plan_is_in_the_order_of_the_files(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path
) -> None:
    """Whichever stack fails first."""
    world, variables = estate
    world.denied.add(account_id(1))
    third_begins = threading.Event()

    def hold(call: Call) -> None:
        if account_id(3) in call.params["RoleArn"]:
            third_begins.set()
        elif account_id(1) in call.params["RoleArn"]:
            # With two at once, the third begins when the second has failed.
            third_begins.wait(PATIENCE)

    world.faults.add(Hook(action="AssumeRole", times=99, callback=hold))
    ran = run(tmp_path, variables, "plan", "--jobs", "2")
    denied = [f"  s{n} ({account_id(n)}, us-east-1): failed: AssumeRole" for n in (1, 2)]
    first, *others = ran.stdout.splitlines()[-3:]
    assert first == "3 stacks: 1 with changes, 2 failed (s1, s2)"
    assert [line[: len(words)] for line, words in zip(others, denied, strict=True)] == denied


def test_a_spec_that_names_no_account_runs_alone_in_its_region(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path
) -> None:
    """Its account may be that of another spec's role."""
    world, variables = estate
    folder = tmp_path / "specs"
    own = world.world.settings.account_id
    for number in (2, 3):
        text = (folder / f"s{number}.yaml").read_text().replace(account_id(number), own)
        (folder / f"s{number}.yaml").write_text(text)
    text = (folder / "s2.yaml").read_text()
    (folder / "s2.yaml").write_text(text.replace(f"assume_role_arn: arn:aws:iam::{own}:role/ops\n", ""))
    ran = run(tmp_path, variables, "apply", "-y")
    assert ran.returncode == 0, ran.stderr
    assert blocks(world, world.calls)[own, "us-east-1"] == 2


@pytest.mark.parametrize("valid", [True, False])
def test_json_has_the_reports_of_the_report_file(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, valid: bool
) -> None:
    """Also that of the refused files, and if there is no other."""
    folder, report = tmp_path / "specs", tmp_path / "r.json"
    (folder / "s2.yaml").write_text("version: 1\nstack: s2\nelastic_ip: {}\n")
    if not valid:
        (folder / "s1.yaml").unlink()
        (folder / "s3.yaml").unlink()
    ran = run(tmp_path, estate[1], "apply", "-y", "--output", "json", "--report", str(report))
    assert ran.returncode == 1
    written = json.loads(report.read_text())
    printed = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [each for each in printed if each["type"] == "report"] == (written if valid else [written])
    assert printed[-1]["stack"] is None
    assert BAD in printed[-1]["error"]


def test_verify_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    checks = "checks: {page: {elastic_ip: a, tcp: 22, within: 1s}}\n"
    for number in (2, 3):
        path = tmp_path / "specs" / f"s{number}.yaml"
        path.write_text(path.read_text() + checks)
    ran = run(tmp_path, estate[1], "verify", "--output", "json")
    assert ran.returncode == 1
    assert {check["stack"] for check in json.loads(ran.stdout)} == {"s3"}
    assert f"error: s2: {DENIED}" in ran.stderr


def test_one_name_in_two_regions(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    """They are two stacks. Without a Region in one of the files they may be one."""
    folder = tmp_path / "specs"
    text = (folder / "s1.yaml").read_text()
    (folder / "s2.yaml").write_text(text.replace("us-east-1", "eu-west-1"))
    ran = run(tmp_path, estate[1], "apply", "-y")
    assert ran.returncode == 0, ran.stderr
    assert {region for account, region in estate[0].worlds if account == account_id(1)} == {
        "us-east-1",
        "eu-west-1",
    }
    (folder / "s2.yaml").write_text(text.replace("region: us-east-1\n", ""))
    refused = run(tmp_path, estate[1], "plan", "--output", "json")
    assert refused.returncode == 1
    assert [plan["stack"] for plan in json.loads(refused.stdout)] == ["s3"]
    assert "specs/s1.yaml:2:8: stack: stack 's1' is also defined in specs/s2.yaml" in refused.stderr
    assert "specs/s2.yaml:2:8: stack: stack 's1' is already defined in specs/s1.yaml" in refused.stderr


BAD = "specs/s2.yaml:3:1: elastic_ip: unknown key"


@pytest.mark.parametrize("command", ["plan", "apply", "verify"])
def test_a_bad_file_refuses_itself_alone(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: str
) -> None:
    (tmp_path / "specs" / "s2.yaml").write_text("version: 1\nstack: s2\nelastic_ip: {}\n")
    report = tmp_path / "r.json"
    more = {"plan": ("--out", "plan"), "apply": ("-y", "--report", str(report)), "verify": ()}[command]
    ran = run(tmp_path, estate[1], command, *more)
    assert ran.returncode == 1
    assert ran.stderr.count(BAD) == 1
    if command == "plan":
        assert headings(ran.stdout) == ["s1", "s3"]
        assert "nothing is saved: specs/s2.yaml could not be planned" in ran.stderr
        assert not (tmp_path / "plan").exists()
    elif command == "verify":
        assert re.findall(r"^s\d", ran.stdout, re.MULTILINE) == ["s1", "s3"]
    else:
        reports = json.loads(report.read_text())
        told = [(each["stack"], each["outcome"]) for each in reports]
        assert told == [("s1", "converged"), ("s3", "converged"), (None, "failed")]
        assert BAD in reports[-1]["error"]


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")], ids=["plan", "apply"])
def test_a_comment_tells_of_all_files(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """The plans, the stack whose role cannot be assumed, in the order of the files; then the refused file."""
    (tmp_path / "specs" / "s0.yaml").write_text("version: 1\nstack: s0\nelastic_ip: {}\n")
    ran = run(tmp_path, estate[1], *command, "--output", "markdown")
    assert ran.returncode == 1
    told = re.findall(r"<h3>enireconcile \w+ <code>(.*?)</code>", ran.stdout)
    assert told == ["s1", "s2", "s3", "specs/s0.yaml"]
    assert ran.stdout.count(DENIED) == 1
    assert "specs/s0.yaml:3:1: elastic_ip: unknown key" in ran.stdout


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")], ids=["plan", "apply"])
def test_a_comment_tells_why_there_is_no_plan(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """The only file is refused, and then the only stack."""
    specs = tmp_path / "specs"
    for name in ("s1", "s3"):
        (specs / f"{name}.yaml").unlink()
    denied = run(tmp_path, estate[1], *command, "--output", "markdown")
    assert (denied.returncode, denied.stdout.count(DENIED)) == (1, 1)
    (specs / "s2.yaml").write_text("version: 1\nstack: s2\nelastic_ip: {}\n")
    refused = run(tmp_path, estate[1], *command, "--output", "markdown")
    assert (refused.returncode, refused.stdout.count(BAD), refused.stderr.count(BAD)) == (1, 1, 1)


def headings(stdout: str) -> list[str]:
    """The stacks of the plans, in their order."""
    return re.findall(r"^(\w+)  \(account ", stdout, re.MULTILINE)


def both_wait(action: str) -> Hook:
    """Two calls of this action wait for each other: they are under way at the same time."""
    met = threading.Barrier(2, timeout=PATIENCE)
    return Hook(action=action, times=2, callback=lambda _: met.wait())


@pytest.mark.parametrize("command", [("plan",), ("apply", "-y")], ids=["plan", "apply"])
def test_accounts_at_the_same_time(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """Each prints as with --jobs 1, in the order of the files, whichever stack is ready first."""
    world, variables = estate
    world.denied.clear()
    alone = run(tmp_path, variables, "plan", "--jobs", "1") if command == ("plan",) else None
    world.faults.add(both_wait("DescribeNetworkInterfaces"))
    ran = run(tmp_path, variables, *command)
    assert ran.returncode == 0, ran.stderr
    if alone is not None:
        assert ran.stdout == alone.stdout
    assert headings(ran.stdout) == ["s1", "s2", "s3"]
    if command == ("plan",):
        assert ran.stdout.endswith("\n\n3 stacks: 3 with changes\n")
        return
    told = re.findall(r"security_groups\.(s\d)", ran.stderr)
    assert told == sorted(told)
    assert ran.stderr.endswith("\n3 stacks: 3 converged\n")
    assert all(f"\n\ns{number}  (account " in ran.stdout for number in (2, 3)), "a blank line after a table"
    again = run(tmp_path, variables, *command)
    assert re.findall(r"^(s\d)  Unchanged", again.stdout, re.MULTILINE) == ["s1", "s2", "s3"]
    assert again.stderr == "", "cron would mail it"


def test_stacks_of_one_account_and_region_one_after_another(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path
) -> None:
    """Also where one file leaves the Region to AWS_REGION."""
    world, variables = estate
    folder = tmp_path / "specs"
    (folder / "s2.yaml").write_text((folder / "s1.yaml").read_text().replace("s1", "s2"))
    text = (folder / "s1.yaml").read_text().replace("s1", "s3")
    (folder / "s3.yaml").write_text(text.replace("region: us-east-1\n", "").replace("${region}", "us-east-1"))
    ran = run(tmp_path, {**variables, "AWS_REGION": "us-east-1"}, "apply", "-y")
    assert ran.returncode == 0, ran.stderr
    assert blocks(world, world.calls) == {(account_id(1), "us-east-1"): 3}


@pytest.mark.parametrize(("verb", "times"), [("apply", 1), ("apply", 2), ("watch", 1)])
def test_a_signal_stops_all(
    estate: tuple[Estate, Mapping[str, str]], tmp_path: Path, gate: threading.Event, verb: str, times: int
) -> None:
    """The first after the calls in flight, the second without waiting for them. A third stack does not begin."""
    world, _ = estate
    world.denied.clear()
    arrived = threading.Barrier(3, timeout=PATIENCE)

    def hold(_: object) -> None:
        arrived.wait()
        gate.wait(PATIENCE)

    world.faults.add(Hook(action="CreateNetworkInterface", times=2, callback=hold))
    report = tmp_path / "r.json"
    command = [verb, "-y", "--jobs", "2", "--report", str(report), str(tmp_path / "specs")]
    with running(world, tmp_path / "state", *command) as process:
        arrived.wait()
        process.send(signal.SIGTERM)
        process.says("stopped by SIGTERM: stopping after the calls in flight")
        if times == 2:
            process.send(signal.SIGINT)
            process.says("exiting without waiting for the calls in flight")
        else:
            gate.set()
        assert process.end()[0] == 5, process.stderr
    reports = json.loads(report.read_text())
    assert [each["outcome"] for each in reports] == ["partial", "partial"]
    assert all(each["error"].startswith("stopped by SIGTERM") for each in reports)
    if verb == "apply":
        assert process.stderr.splitlines()[-3] == "warning: 3 stacks: 2 partial (s1, s2), 1 not run (s3)"
    in_flight = times == 2
    assert all(("exited immediately" in each["error"]) == in_flight for each in reports)


def test_questions_one_at_a_time(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    """Each after its plan, in the order of the files; a no refuses that stack alone."""
    world, _ = estate
    world.denied.clear()
    ours, theirs = pty.openpty()
    try:
        with running(world, tmp_path / "state", "apply", str(tmp_path / "specs"), stdin=theirs) as process:
            for number, answer in enumerate([b"y\n", b"n\n", b"y\n"], start=1):
                process.says(f"s{number}: Apply 3 changes? [y/N]: ")
                os.write(ours, answer)
            code, stdout = process.end()
    finally:
        os.close(ours)
        os.close(theirs)
    assert code == 3, process.stderr
    assert [len(world.world_of(account_id(n), "us-east-1").data.addresses) for n in (1, 2, 3)] == [1, 0, 1]
    assert headings(stdout) == ["s1", "s2", "s3"]
