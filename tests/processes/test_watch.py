"""Rounds of plan and apply: what they do, what they say, what they survive, and how they stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from enireconcile.cli.app import main
from enireconcile.cli.run import StackRun
from enireconcile.cli.session import ApplyOptions, Connection
from enireconcile.cli.signals import Interrupt
from enireconcile.cli.watch import watch_specs
from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.model import Report
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import Outlet
from enireconcile.spec import load_valid
from enireconcile.state.directory import Directory
from tests.ec2 import EC2Server, Fail, Hook, World
from tests.ec2.estate import Estate
from tests.harness import ENVIRONMENT, STORY, harness_on
from tests.scenarios.firewalls import HA_FAILOVER, Firewalls
from tests.virtual import VirtualLoop

# What rounds do, in this process


class Between(Interrupt):
    """Does a deed after each round instead of sleeping, and stops when there is none left."""

    def __init__(self, *deeds: Callable[[], object], pauses: list[float]) -> None:
        super().__init__()
        self.deeds, self.pauses = list(deeds), pauses

    def sleep(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        if self.deeds:
            self.deeds.pop(0)()
            return not self.stopped_by
        return False


Watching = Callable[..., int]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EC2Server]:
    with EC2Server(World()) as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    return watch_of(tmp_path)


def watch_of(tmp_path: Path) -> Watching:
    """The command with deeds between its rounds."""

    def run(
        sources: Sequence[Path],
        *deeds: Callable[[], object],
        output: str = "json",
        pauses: list[float] | None = None,
        **more: Any,
    ) -> int:
        options = ApplyOptions(
            **{
                "output": output,
                "auto_approve": True,
                "report": Outlet(tmp_path / "report.json", "the report"),
                "timeout": None,
                "settle_timeout": 1.0,
                "lock_timeout": 0.0,
                "state": str(tmp_path / "state"),
                **more,
            }
        )
        names = [str(source) for source in sources]
        interrupt = Between(*deeds, pauses=[] if pauses is None else pauses)
        return watch_specs(lambda _: load_valid(names), Connection(None, None, 10), options, 30.0, interrupt)

    return run


@pytest.fixture(autouse=True)
def stderr_messages() -> None:
    """Messages go to stderr, as in the command, whichever test runs first."""
    logs.begin()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """One Elastic IP."""
    path = tmp_path / "one.yaml"
    path.write_text(one("one"))
    return path


def one(stack: str, *names: str) -> str:
    addresses = ", ".join(f"{name}: {{}}" for name in names or ("ip",))
    return f"version: 1\nstack: {stack}\nregion: us-east-1\nelastic_ips: {{{addresses}}}\n"


def outcomes(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """The outcomes of the reports on stdout, and stderr."""
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    lines = [json.loads(line) for line in captured.out.splitlines()]
    return [line["outcome"] for line in lines if line["type"] == "report"], captured.err


def addresses(server: EC2Server) -> list[str]:
    """The names of the Elastic IPs that there are."""
    found = server.client().describe_addresses()["Addresses"]
    return sorted({tag["Key"]: tag["Value"] for tag in address["Tags"]}["Name"] for address in found)


def nothing() -> None:
    """A deed that is none."""


def test_drift_is_corrected_round_by_round(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Created in round 1, released by a user, created again in round 2; the report is that of the last round."""

    def release() -> None:
        [address] = server.client().describe_addresses()["Addresses"]
        server.client().release_address(AllocationId=address["AllocationId"])

    assert watching([spec], release, nothing) == 0
    assert outcomes(capsys) == (["converged", "converged", "unchanged"], "")
    assert addresses(server) == ["ip"]
    assert json.loads((tmp_path / "report.json").read_text())["outcome"] == "unchanged"


def test_an_edit_counts_from_the_next_round(server: EC2Server, watching: Watching, spec: Path) -> None:
    """The file is read anew each round."""
    assert watching([spec], lambda: spec.write_text(one("one", "ip", "other"))) == 0
    assert addresses(server) == ["ip", "other"]


def test_a_broken_edit_changes_nothing(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo: reported with its place, no AWS call, the other spec is applied; corrected, it is applied again."""
    other = tmp_path / "two.yaml"
    other.write_text(one("two", "second"))

    def break_it() -> None:
        spec.write_text(one("one").replace("elastic_ips", "elastic_ip"))
        server.clear()

    def mend_it() -> None:
        asked = [call.params for call in server.calls if call.action == "DescribeAddresses"]
        assert [params["Filters"][0]["Values"] for params in asked] == [["two"]]
        spec.write_text(one("one", "ip", "more"))

    assert watching([spec, other], break_it, mend_it) == 0
    told, stderr = outcomes(capsys)
    assert told == ["converged", "converged", "unchanged", "failed", "converged", "unchanged"]
    assert f"{spec}:4:1: elastic_ip: unknown key" in stderr
    assert addresses(server) == ["ip", "more", "second"]


def test_the_report_of_a_round_without_a_valid_file(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path
) -> None:
    watching([spec], lambda: spec.write_text("version: 1\n"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["stack"], report["outcome"]) == (None, "failed")
    assert f"{spec}:1:1: stack: " in report["error"]
    assert addresses(server) == ["ip"]


def test_a_spec_that_is_wrong_from_the_start_is_not_watched(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path
) -> None:
    """A typo in the first reading, or two files with one stack: an error, and nothing is asked of AWS."""
    spec.write_text("version: 2\n")
    with pytest.raises(SpecErrors):
        watching([spec])
    spec.write_text(one("same"))
    (tmp_path / "two.yaml").write_text(one("same", "other"))
    with pytest.raises(SpecErrors, match="stack 'same' is already defined in"):
        watching([spec, tmp_path / "two.yaml"])
    (tmp_path / "good.yaml").write_text(one("good"))
    with pytest.raises(SpecErrors, match="stack 'same' is also defined in"):
        watching([spec, tmp_path / "two.yaml", tmp_path / "good.yaml"])
    assert server.calls == []


def test_an_edit_that_makes_two_of_one_stack_stops_both(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither file is applied while both claim one stack: with --prune they would remove each other's."""
    other, third = tmp_path / "two.yaml", tmp_path / "three.yaml"
    other.write_text(one("two", "second"))
    third.write_text(one("three", "third"))
    rename = lambda: other.write_text(one("one", "second"))  # noqa: E731
    assert watching([spec, other, third], rename, prune=True, allow_destroy=True) == 0
    told, stderr = outcomes(capsys)
    assert told == ["converged", "converged", "converged", "unchanged", "failed"]
    assert f"{spec}:2:8: stack: stack 'one' is also defined in {other}" in stderr
    assert f"{other}:2:8: stack: stack 'one' is already defined in {spec}" in stderr
    assert addresses(server) == ["ip", "second", "third"]
    reports = json.loads((tmp_path / "report.json").read_text())
    assert [(each["stack"], each["outcome"]) for each in reports] == [("three", "unchanged"), (None, "failed")]


def test_errors_of_aws_do_not_end_it(
    server: EC2Server, watching: Watching, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AWS refuses: the round reports it, and the next round tries again."""
    server.faults.add(Fail(action="AllocateAddress", code="AddressLimitExceeded", message="Too many."))
    assert watching([spec], nothing) == 0
    assert outcomes(capsys)[0] == ["failed", "converged"]
    assert addresses(server) == ["ip"]


def test_stopped_after_a_round_that_went_wrong(server: EC2Server, watching: Watching) -> None:
    """A round stopped before converging, and the signal comes while watch sleeps: no run was stopped, code 0."""
    server.faults.add(Fail(action="RunInstances", code="UnauthorizedOperation", message="You are not."))
    assert watching([STORY]) == 0


@pytest.mark.usefixtures("server")
def test_a_locked_stack_waits_for_the_next_round(
    watching: Watching, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another run holds the lock: watch does not wait for it, and the next round applies."""
    held = Directory(tmp_path / "state").locked("123456789012-us-east-1-one", timeout=0, now=lambda: 0.0)
    held.__enter__()
    assert watching([spec], lambda: held.__exit__(None, None, None)) == 0
    told, stderr = outcomes(capsys)
    assert told == ["locked", "converged"]
    assert "is locked by" in stderr


def test_destruction_takes_more_than_watching(
    server: EC2Server, watching: Watching, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--prune without --allow-destroy: the round is refused whole, as with apply -y; with it, it is done."""
    shrink = lambda: spec.write_text(one("one"))  # noqa: E731
    spec.write_text(one("one", "ip", "old"))
    watching([spec], shrink, prune=True)
    assert outcomes(capsys)[0] == ["converged", "refused"]
    assert addresses(server) == ["ip", "old"]
    watching([spec], prune=True, allow_destroy=True)
    assert addresses(server) == ["ip"]


def test_what_was_said_is_not_said_again(
    server: EC2Server, watching: Watching, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text: the plan and its outcome, “Unchanged” once, and then nothing until something changes."""
    watching([spec], nothing, nothing, nothing, output="text")
    said = capsys.readouterr().out
    assert (said.count("Converged"), said.count("Unchanged"), said.count("+ elastic_ips.ip")) == (1, 1, 1)
    assert len(server.mutating()) == 1


NO_VPC = """\
version: 1
stack: one
region: us-east-1
security_groups: {web: {vpc: {cidr: 10.99.0.0/16}}}
elastic_ips: {ip: {}}
"""


def test_an_error_of_a_row_is_reported_once_and_delays_no_round(
    server: EC2Server, watching: Watching, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A selector that matches nothing: the rest is kept as the spec says, without longer pauses."""
    spec = tmp_path / "one.yaml"
    spec.write_text(NO_VPC)
    pauses: list[float] = []

    def release() -> None:
        [address] = server.client().describe_addresses()["Addresses"]
        server.client().release_address(AllocationId=address["AllocationId"])

    watching([spec], nothing, nothing, release, nothing, output="text", pauses=pauses)
    said = capsys.readouterr()
    assert said.err.count("no VPC in us-east-1 matches 10.99.0.0/16") == 1
    assert (said.out.count("Applied in part"), said.out.count("Failed")) == (2, 2)
    assert addresses(server) == ["ip"]
    assert max(pauses) <= 33.0


def test_only_a_round_without_any_plan_delays_the_next(
    estate: Estate, watching: Watching, regions: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """An account whose role cannot be assumed does not delay the others."""
    estate.denied.add("000000000002")
    denied = regions[1]
    denied.write_text(denied.read_text() + "assume_role_arn: arn:aws:iam::000000000002:role/ops\n")
    pauses: list[float] = []
    watching(regions[:2], nothing, nothing, nothing, pauses=pauses, jobs=2)
    assert outcomes(capsys)[0] == [*("converged", "failed"), *("unchanged", "failed") * 3]
    assert max(pauses) <= 33.0
    pauses.clear()
    watching([denied], nothing, nothing, pauses=pauses)
    assert min(pauses[1:]) > 33.0


def test_a_refused_step_is_reported_once_and_delays_no_round(
    server: EC2Server, watching: Watching, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """EC2 refuses a call in each round; the request ids differ."""
    server.faults.add(Fail(action="AllocateAddress", code="UnauthorizedOperation", times=9))
    pauses: list[float] = []
    watching([spec], nothing, nothing, nothing, output="text", pauses=pauses)
    said = capsys.readouterr()
    assert len(server.mutating()) == 4
    assert (said.err.count("UnauthorizedOperation"), said.out.count("Failed")) == (1, 1)
    assert max(pauses) <= 33.0


def test_a_report_that_cannot_be_written_is_found_at_once(
    server: EC2Server, watching: Watching, spec: Path, tmp_path: Path
) -> None:
    """Before the first round, not after it."""
    with pytest.raises(EnireconcileError, match="cannot write the report"):
        watching([spec], report=Outlet(tmp_path / "no" / "report.json", "the report"))
    assert server.calls == []


def test_signals_between_rounds(server: EC2Server, watching: Watching, tmp_path: Path, spec: Path) -> None:
    """SIGTERM after one of two specs: the other is not begun any more, and the end is a good one."""
    other = tmp_path / "two.yaml"
    other.write_text(one("two", "second"))
    kill = lambda _: signal.raise_signal(signal.SIGTERM)  # noqa: E731
    server.faults.add(Hook(action="AllocateAddress", late=True, callback=kill))
    before = signal.getsignal(signal.SIGTERM)
    assert watching([spec, other]) == 0
    assert addresses(server) == ["ip"]
    assert signal.getsignal(signal.SIGTERM) is before


# Several Regions


@pytest.fixture
def regions(tmp_path: Path) -> list[Path]:
    """The stack ``one`` in two Regions, and then ``two`` in the first."""
    files = {"us": one("one"), "eu": one("one").replace("us-east-1", "eu-west-1"), "us2": one("two")}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return [tmp_path / f"{name}.yaml" for name in files]


def test_one_name_in_two_regions_at_the_same_time(
    estate: Estate, watching: Watching, regions: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are two stacks: both are applied, and of each is said what changes from round to round."""
    met = threading.Barrier(2, timeout=60)
    estate.faults.add(Hook(action="AllocateAddress", times=2, callback=lambda _: met.wait()))
    ours = estate.world.settings.account_id

    def release() -> None:
        estate.world_of(ours, "eu-west-1").data.addresses.clear()

    assert watching(regions[:2], nothing, release, nothing, output="text", jobs=2) == 0
    said = re.findall(r"^(one \(\S+\))  (Converged|Unchanged)", capsys.readouterr().out, re.MULTILINE)
    us, eu = "one (us-east-1)", "one (eu-west-1)"
    assert said == [
        *((us, "Converged"), (eu, "Converged")),
        *((us, "Unchanged"), (eu, "Unchanged")),
        *((eu, "Converged"),),
        *((eu, "Unchanged"),),
    ]


@pytest.mark.usefixtures("estate")
def test_a_mistake_in_one_run_leaves_the_others(
    watching: Watching, regions: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that is none of ours, in a thread: it is told, and the round goes on."""
    run = StackRun.run

    def broken(self: StackRun, connection: Connection) -> Report:
        if self.spec.file == str(regions[1]):
            raise ZeroDivisionError
        return run(self, connection)

    monkeypatch.setattr(StackRun, "run", broken)
    assert watching(regions, jobs=2) == 0
    told, stderr = outcomes(capsys)
    assert told == ["converged", "converged"]
    assert stderr.count("ZeroDivisionError") == 1


def test_an_interval_of_nothing_is_wrong_usage() -> None:
    """Rounds without a pause would be a flood."""
    with pytest.raises(SystemExit) as ended:
        main(["watch", "--interval", "0s", str(STORY)])
    assert ended.value.code == 64


# Real processes


class Watcher:
    """The command in a process of its own; its reports come as they are written."""

    def __init__(self, server: EC2Server, state: Path, *args: str) -> None:
        mine = {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(state)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "enireconcile", "watch", "--output", "json", *args],
            env={**os.environ, **mine},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def report(self) -> Any:
        """The next report."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (told := json.loads(line))["type"] == "report":
                return told
        raise AssertionError(self.process.communicate()[1])

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code, and what went to stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=60)
        assert "Traceback" not in stderr
        return self.process.returncode, stderr

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=60)


def test_sigterm_while_it_sleeps(server: EC2Server, tmp_path: Path, spec: Path) -> None:
    """Between rounds: it ends immediately with 0, and the report of the last round is there."""
    report = tmp_path / "report.json"
    with Watcher(server, tmp_path / "state", "--interval", "1h", "--report", str(report), str(spec)) as watcher:
        assert watcher.report()["outcome"] == "converged"
        assert watcher.stop(signal.SIGTERM)[0] == 0
    assert json.loads(report.read_text())["outcome"] == "converged"


def test_sigint_in_the_middle_of_a_round(server: EC2Server, tmp_path: Path) -> None:
    """It stops while RunInstances is on the wire: the call is finished, the report written, and the code is 5."""
    report = tmp_path / "report.json"
    watchers: list[Watcher] = []
    interrupt = Hook(action="RunInstances", callback=lambda _: watchers[0].process.send_signal(signal.SIGINT))
    server.faults.add(interrupt)
    with Watcher(server, tmp_path / "state", "--interval", "1s", "--report", str(report), str(STORY)) as watcher:
        watchers.append(watcher)
        stdout, stderr = watcher.process.communicate(timeout=60)
        assert watcher.process.returncode == 5, stderr
    written = json.loads(report.read_text())
    [launch] = [step for step in written["steps"] if step["call"] == "RunInstances"]
    assert (written["outcome"], bool(launch["result_id"])) == ("partial", True)
    assert "stopping after the calls in flight" in stderr
    assert "Traceback" not in stdout + stderr


def test_it_fails_over_within_an_interval(server: EC2Server, tmp_path: Path) -> None:
    """fw-a falls ill under a watch: the next round moves the interface to fw-b; then SIGTERM ends it with 0."""
    with harness_on(server, VirtualLoop(), tmp_path / "lab") as harness:
        lab = Firewalls(harness)
        with Watcher(server, tmp_path / "state", "--interval", "500ms", str(HA_FAILOVER)) as watcher:
            assert watcher.report()["outcome"] == "converged"
            assert lab.holder() == "fw-a"
            lab.sicken("fw-a")
            while (told := watcher.report())["outcome"] == "unchanged":
                pass
            assert told["outcome"] == "converged"
            calls = [step["call"] for step in told["steps"]]
            assert calls == ["DetachNetworkInterface", "AttachNetworkInterface"]
            assert lab.holder() == "fw-b"
            code, stderr = watcher.stop(signal.SIGTERM)
            assert code == 0, stderr
