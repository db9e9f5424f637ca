"""The commands as a user meets them: what goes to stdout and stderr, the exit codes, and no traceback ever."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest

import enireconcile
from enireconcile.cli.app import main
from enireconcile.state.directory import Directory
from tests.ec2 import Answer, EC2Server, Fail, Hook, Settings, VirtualClock, World
from tests.harness import ENVIRONMENT, STORY

SPEC = str(STORY)
BROKEN = "version: 1\nstack: Bad Name\ninstances:\n  web: {imge: ami-12345678}\n"


class Ran:
    """How a command ended."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr
        assert "Traceback" not in stdout + stderr
        assert "bug in enireconcile" not in stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EC2Server]:
    """A strict EC2 to which the standard chain of this process leads."""
    with EC2Server(World(Settings())) as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ENIRECONCILE_STATE", str(tmp_path / "state"))
        yield server


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process."""

    def run(*args: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(args)
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_version_and_help(command: Run) -> None:
    """--help and --version answer and end with 0."""
    assert command("--version").stdout.startswith("enireconcile, version ")
    assert "plan" in command("--help").stdout


@pytest.mark.parametrize(
    "args", [(), ("plan",), ("plan", "--nope", SPEC), ("nope",), ("apply", "--timeout", "x", SPEC)]
)
def test_wrong_usage_exits_with_64(command: Run, args: Sequence[str]) -> None:
    """The command line itself is wrong: code 64, whatever the command."""
    ran = command(*args)
    assert ran.code == 64


def test_validate(command: Run, tmp_path: Path) -> None:
    """A valid spec is reported as valid; an invalid one with all its problems, as text or as a list of objects."""
    assert command("validate", SPEC).code == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text(BROKEN)
    ran = command("validate", str(bad))
    assert (ran.code, ran.stdout) == (1, "")
    assert f"{bad}:2:8: stack:" in ran.stderr
    assert "did you mean `image`?" in ran.stderr
    listed = command("validate", "--output", "json", str(bad))
    assert listed.code == 1
    assert {tuple(sorted(problem)) for problem in listed.json} == {
        ("column", "file", "hint", "line", "message", "path")
    }
    assert command("validate", "--output", "json", SPEC).json == []


def test_validate_for_code_hosts(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SARIF with files as the repository knows them, and workflow commands; nothing else on stdout, code 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(BROKEN)
    log = command("validate", "--output", "sarif", "bad.yaml")
    places = [result["locations"][0]["physicalLocation"] for result in log.json["runs"][0]["results"]]
    assert (log.code, log.stderr) == (1, "")
    assert {place["artifactLocation"]["uri"] for place in places} == {"bad.yaml"}
    assert {"startLine": 2, "startColumn": 8} in [place["region"] for place in places]
    annotated = command("validate", "--output", "github", "bad.yaml")
    assert (annotated.code, annotated.stderr) == (1, "")
    assert len(annotated.stdout.splitlines()) == len(places)
    assert annotated.stdout.startswith("::error file=bad.yaml,line=2,col=8,title=enireconcile::stack: ")
    assert (command("validate", "--output", "github", SPEC).stdout, command("validate", SPEC).code) == ("", 0)
    assert command("validate", "--output", "sarif", SPEC).json["runs"][0]["results"] == []


def test_version(command: Run) -> None:
    """What a bug report needs, also for programs."""
    versions = command("version", "--output", "json").json
    assert versions["enireconcile"] == enireconcile.__version__
    assert versions["python"] == platform.python_version()
    assert versions["boto3"] == boto3.__version__
    assert {line.split()[0] for line in command("version").stdout.splitlines()} == set(versions)


def test_quiet_leaves_errors_and_the_result(server: EC2Server, command: Run) -> None:
    """No steps and no warnings on stderr; the result on stdout, and errors as ever."""
    ran = command("apply", "-q", "-y", SPEC)
    assert (ran.code, ran.stderr) == (0, "")
    assert "Converged" in ran.stdout
    assert command("plan", "--who", "-q", SPEC).stderr == ""
    server.faults.add(Fail(action="DescribeVpcs", code="UnauthorizedOperation", message="You are not.", times=9))
    failed = command("plan", "-q", SPEC)
    assert (failed.code, "DescribeVpcs" in failed.stderr) == (1, True)
    assert command("plan", "-q", "-v", SPEC).code == 64


def test_quiet_leaves_the_steps_that_failed(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """And neither what was done nor what was skipped because of them; for log collectors they are errors."""
    spec = tmp_path / "two.yaml"
    rows = "network_interfaces: {eth: {subnet: {default_for_az: us-east-1a}}}\n"
    rows += "elastic_ips: {one: {}, two: {association: {network_interface: eth}}}\n"
    spec.write_text(f"version: 1\nstack: two\nregion: us-east-1\n{rows}")
    server.faults.add(
        Fail("CreateNetworkInterface", times=9, code="UnauthorizedOperation", message="You are not.")
    )
    ran = command("apply", "-y", "-q", str(spec))
    failed, why, *_ = ran.stderr.splitlines()
    assert (ran.code, "AllocateAddress" in ran.stderr) == (5, False)
    assert failed.startswith("✗ CreateNetworkInterface  network_interfaces.eth  create in us-east-1a  (")
    assert why.startswith("    UnauthorizedOperation: You are not.")
    logged = command("apply", "-y", "-q", "--log-format", "json", str(spec)).stderr.splitlines()
    assert [(line["level"], line["call"]) for line in map(json.loads, logged)] == [
        ("error", "CreateNetworkInterface")
    ]


def test_schema(command: Run) -> None:
    """The schema is JSON Schema, and knows the sections."""
    schema = command("schema").json
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "network_interfaces" in schema["properties"]


@pytest.mark.parametrize("args", [("--help",), ("validate", SPEC), ("schema",)])
def test_what_needs_no_aws_loads_no_aws(args: Sequence[str]) -> None:
    """--help, validate and schema start fast: neither botocore nor boto3 is imported."""
    code = (
        "import sys\nfrom enireconcile.cli.app import main\n"
        f"try:\n    main({list(args)!r})\n"
        "except SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'botocore', 'boto3', 'rich', 'filelock'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_plan_and_apply_as_json(server: EC2Server, command: Run) -> None:
    """The objects of the contract, from an empty account to converged to unchanged."""
    plan = command("plan", "--output", "json", SPEC)
    assert plan.code == 0
    assert set(plan.json) == {
        "format_version",
        "stack",
        "account_id",
        "region",
        "fingerprint",
        "summary",
        "changes",
        "steps",
        "leftovers",
        "warnings",
        "interruptions",
        "exposures",
        "errors",
        "estimate",
        "api_calls",
    }
    assert plan.json["summary"]["create"] == 7
    assert server.mutating() == []

    apply = command("apply", "-y", "--output", "json", SPEC)
    assert apply.code == 0
    *events, report = apply.lines
    assert {event["type"] for event in events} == {"step"}
    assert {event["status"] for event in events} == {"started", "done"}
    assert (report["type"], report["outcome"], report["remaining"]) == ("report", "converged", [])
    assert [step["status"] for step in report["steps"]] == ["done"] * 10
    assert report["api_calls"]["RunInstances"] == 1

    again = command("apply", "-y", "--output", "json", SPEC)
    assert (again.code, again.lines[-1]["outcome"], again.lines[-1]["steps"]) == (0, "unchanged", [])


@pytest.mark.usefixtures("server")
def test_detailed_exitcode(command: Run) -> None:
    """plan --detailed-exitcode: 2 when there is something to do, 0 when there is not."""
    assert command("plan", "--detailed-exitcode", SPEC).code == 2
    assert command("apply", "-y", SPEC).code == 0
    assert command("plan", "--detailed-exitcode", SPEC).code == 0


@pytest.mark.usefixtures("server")
def test_user_data_is_shown_as_a_hash_everywhere(command: Run, tmp_path: Path) -> None:
    """What is in user_data reaches EC2 and nothing else: no output, no report, no journal."""
    report = tmp_path / "report.json"
    ran = [
        command("plan", SPEC),
        command("plan", "--output", "json", SPEC),
        command("apply", "-y", "--output", "json", "--report", str(report), SPEC),
    ]
    state = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    for text in [*(one.stdout + one.stderr for one in ran), report.read_text(), state]:
        assert "httpd" not in text
        assert "not-a-secret" not in text
    assert "sha256:" in ran[0].stdout


def test_two_specs_make_two_plans(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """With several specs, JSON is an array; a directory stands for its files."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            f"version: 1\nstack: {name}\nregion: us-east-1\nelastic_ips: {{ip: {{}}}}\n"
        )
    assert [plan["stack"] for plan in command("plan", "--output", "json", str(tmp_path)).json] == ["one", "two"]
    assert command("apply", "-y", str(tmp_path)).code == 0
    assert len(server.client().describe_addresses()["Addresses"]) == 2


def test_no_terminal_to_ask(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """Without -y and without a terminal nothing is done: refused, code 3, and the report says so."""
    report = tmp_path / "report.json"
    ran = command("apply", "--report", str(report), SPEC)
    assert (ran.code, json.loads(report.read_text())["outcome"]) == (3, "refused")
    assert "--auto-approve" in ran.stderr
    assert "cannot ask for approval: stdin is not a terminal" in ran.stderr
    assert server.mutating() == []


def test_a_comment_and_nothing_else(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """With --output markdown stdout is one comment, of a plan or of whatever a run has come to."""
    other = tmp_path / "other.yaml"
    other.write_text("version: 1\nstack: other\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    markdown = ("--output", "markdown")
    both = command("plan", *markdown, SPEC, str(other))
    assert both.code == 0
    assert [both.stdout.count(f"<!-- enireconcile plan {stack} -->") for stack in ("two-enis", "other")] == [1, 1]
    not_aws = f" at <code>{server.url}</code>, not AWS</sub></h3>"
    assert both.stdout.count(not_aws) == 2
    for options, code, words in (
        (("--max-changes", "0"), 3, "Refused"),
        ((), 0, "Converged"),
        ((), 0, "No changes"),
    ):
        ran = command("apply", "-y", *options, *markdown, SPEC)
        assert (ran.code, words in ran.stdout) == (code, True), ran.stdout
        assert ran.stdout.startswith("<!-- enireconcile apply two-enis -->\n\n<h3>")
        assert not_aws in ran.stdout
    ran = command("destroy", "-y", "--allow-destroy", *markdown, SPEC)
    assert (ran.code, ran.stdout.startswith("<!-- enireconcile destroy two-enis -->")) == (0, True)
    assert server.mutating()


def test_wrong_account(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """The spec is for another account: refused before anything is read, by plan and by apply."""
    spec = tmp_path / "spec.yaml"
    spec.write_text('version: 1\nstack: x\nregion: us-east-1\naccount_id: "210987654321"\nelastic_ips: {ip: {}}\n')
    assert command("plan", str(spec)).code == 3
    ran = command("apply", "-y", str(spec))
    assert ran.code == 3
    assert "210987654321" in ran.stderr
    assert "123456789012" in ran.stderr
    assert server.mutating() == []


def test_broken_spec_changes_nothing(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """A typo: code 1, file:line:column, and AWS is never asked."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BROKEN)
    assert command("apply", "-y", str(bad)).code == 1
    assert server.calls == []


@pytest.mark.parametrize("args", [["apply", "-y"], ["destroy", "-y", "--allow-destroy"], ["watch"]])
def test_the_report_of_a_broken_spec_is_the_last_line(command: Run, tmp_path: Path, args: Sequence[str]) -> None:
    """Of the JSON on stdout, as in the file of --report. So is that of a plan file that is none."""
    bad, kept = tmp_path / "bad.yaml", tmp_path / "report.json"
    bad.write_text(BROKEN)
    ran = command(*args, "--output", "json", "--report", str(kept), str(bad))
    report = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.code, report["type"], report["outcome"]) == (1, "report", "failed")
    assert report == json.loads(kept.read_text())


def test_the_report_of_a_plan_file_that_is_none(command: Run, tmp_path: Path) -> None:
    ran = command("apply", "-y", "--output", "json", "--plan", str(tmp_path / "no.plan"))
    assert (ran.code, json.loads(ran.stdout)["outcome"]) == (1, "failed")


def test_refusal_of_the_first_call_is_an_error(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """EC2 refuses the only call: nothing was changed, code 1, with call, code and request id."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("version: 1\nstack: x\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    limit = "The maximum number of addresses has been reached."
    server.faults.add(Fail(action="AllocateAddress", code="AddressLimitExceeded", message=limit))
    report = tmp_path / "report.json"
    ran = command("apply", "-y", "--report", str(report), str(spec))
    assert ran.code == 1
    assert "✗ AllocateAddress  elastic_ips.ip  (" in ran.stderr
    assert f"\n    AddressLimitExceeded: {limit}" in ran.stderr
    assert "request 00000000-" in ran.stderr
    assert "L-0263D0A3" in ran.stderr
    written = json.loads(report.read_text())
    assert (written["outcome"], written["remaining"]) == ("failed", ["elastic_ips.ip"])
    assert server.client().describe_addresses()["Addresses"] == []


def test_half_way_is_five(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """EC2 refuses a later call: code 5, what needs it is skipped, and the next apply finishes."""
    server.faults.add(Fail(action="RunInstances", code="UnauthorizedOperation", message="You are not."))
    report = tmp_path / "report.json"
    ran = command("apply", "-y", "--report", str(report), SPEC)
    written = json.loads(report.read_text())
    assert (ran.code, written["outcome"]) == (5, "partial")
    assert "instances.web" in written["remaining"]
    server.faults.clear()
    assert command("apply", "-y", SPEC).code == 0
    assert len(server.client().describe_addresses()["Addresses"]) == 2


def test_a_row_whose_group_name_is_taken_is_left_out(server: EC2Server, command: Run) -> None:
    """The VPC has a foreign group of that name: an error with its place, and no interface that needs the group."""
    server.client().create_security_group(GroupName="my-sg-1", Description="not yours")
    server.clear()
    ran = command("apply", "-y", SPEC)
    assert ran.code == 5
    assert "two-enis.yaml:" in ran.stderr
    assert "security_groups.my-sg-1" in ran.stderr
    assert {call.action for call in server.mutating()} == {"CreateSecurityGroup"}
    assert [call.params["GroupName"] for call in server.mutating()] == ["my-sg-2"]


@pytest.mark.usefixtures("server")
def test_no_credentials(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials: one message that says what to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ran = command("plan", SPEC)
    assert ran.code == 1
    assert "AWS_PROFILE" in ran.stderr


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("url", ["foo", "http://"])
def test_bad_endpoint(command: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """An endpoint that is not a URL: the error names the variable."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    ran = command("plan", SPEC)
    assert ran.code == 1
    assert "AWS_ENDPOINT_URL" in ran.stderr


@pytest.mark.usefixtures("server")
def test_no_region(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither spec nor environment names a region; AWS_REGION does, and so does --region."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("version: 1\nstack: x\nelastic_ips: {ip: {}}\n")
    assert "AWS_REGION" in command("plan", str(spec)).stderr
    exported = command("export", "--stack", "x").stderr
    assert exported == "error: no AWS region\n  hint: give --region or AWS_REGION\n"
    assert command("plan", "--region", "us-east-1", str(spec)).code == 0
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert command("plan", str(spec)).code == 0


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_of_the_environment_in_values(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is written into values, and calls go there; before both, --region."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("version: 1\nstack: x\nelastic_ips: {ip: {tags: {Region: '${region}'}}}\n")
    assert "tags.Region: ${region} has no value" in command("validate", str(spec)).stderr
    assert command("validate", "--region", "eu-west-1", str(spec)).code == 0
    monkeypatch.setenv(name, "us-east-1")
    assert command("validate", str(spec)).code == 0
    for options, region in ((["--region", "eu-west-1"], "eu-west-1"), ([], "us-east-1")):
        planned = json.loads(command("plan", "--output", "json", *options, str(spec)).stdout)
        (step,) = planned["steps"]
        tags = {tag["Key"]: tag["Value"] for tag in step["params"]["TagSpecifications"][0]["Tags"]}
        assert (planned["region"], tags["Region"]) == (region, region)


def test_unwritable_report_is_found_before_anything_changes(
    server: EC2Server, command: Run, tmp_path: Path
) -> None:
    """A report that cannot be written is an error before anything is changed."""
    ran = command("apply", "-y", "--report", str(tmp_path / "no" / "such" / "report.json"), SPEC)
    assert ran.code == 1
    assert server.mutating() == []


# Real processes


def _environment(server: EC2Server, state: Path) -> Mapping[str, str]:
    return {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(state)}


def _start(server: EC2Server, state: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "enireconcile", *args],
        env=_environment(server, state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle(tmp_path: Path, number: signal.Signals) -> None:
    """Stopped while it waits for the instance: the report is written, code 5, and the next apply finishes."""
    clock = VirtualClock()
    with EC2Server(World(Settings(pending_delay=60), clock)) as server:
        started: list[subprocess.Popen[str]] = []
        stop = Hook(action="RunInstances", late=True, callback=lambda _: started[0].send_signal(number))
        server.faults.add(stop)
        report = tmp_path / "report.json"
        started.append(_start(server, tmp_path / "state", "apply", "-y", "--report", str(report), SPEC))
        stdout, stderr = started[0].communicate(timeout=60)
        assert started[0].returncode == 5, stderr
        assert "Traceback" not in stdout + stderr
        written = json.loads(report.read_text())
        [launch] = [step for step in written["steps"] if step["call"] == "RunInstances"]
        assert (written["outcome"], launch["status"]) == ("partial", "done")
        assert launch["not_ready"] == f"sent; not yet ready: waiting until {launch['result_id']} is running"
        assert launch["result_id"].startswith("i-")
        clock.advance(61)
        again = _start(server, tmp_path / "state", "apply", "-y", SPEC)
        stdout, stderr = again.communicate(timeout=60)
        assert again.returncode == 0, stderr
        assert len(server.client().describe_addresses()["Addresses"]) == 2
        assert server.actions().count("RunInstances") == 1


def test_second_terminal_is_locked_out(server: EC2Server, tmp_path: Path) -> None:
    """Two applies of one stack: the second waits its time, then says who holds the lock, with code 4."""
    state = tmp_path / "state"
    with Directory(state).locked("123456789012-us-east-1-two-enis", timeout=0, now=lambda: 0.0):
        report = tmp_path / "report.json"
        process = _start(server, state, "apply", "-y", "--lock-timeout", "100ms", "--report", str(report), SPEC)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"{SPEC}: the stack two-enis (account 123456789012, us-east-1) is locked by " in stderr
    assert f"(pid {os.getpid()}, since 1970-01-01T00:00:00+00:00: " in stderr
    assert f"run this again with --lock-timeout 15m; `enireconcile unlock {SPEC}` shows the lock" in stderr
    assert json.loads(report.read_text())["outcome"] == "locked"
    assert server.mutating() == []


# Removing


def test_destroy_wants_more_than_a_yes(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """-y alone runs nothing destructive: refused whole, naming steps and flag; with --allow-destroy all goes."""
    assert command("apply", "-y", SPEC).code == 0
    server.clear()
    report = tmp_path / "report.json"
    refused = command("destroy", "-y", "--report", str(report), SPEC)
    assert (refused.code, json.loads(report.read_text())["outcome"]) == (3, "refused")
    assert "TerminateInstances for instances.web" in refused.stderr
    assert "--allow-destroy" in refused.stderr
    assert server.mutating() == []
    assert command("destroy", "-y", "--allow-destroy", SPEC).code == 0
    assert server.client().describe_addresses()["Addresses"] == []
    again = command("destroy", "-y", "--allow-destroy", SPEC)
    assert again.code == 0
    where = f"account 123456789012, us-east-1 at {server.url}, not AWS"
    assert f"Unchanged: nothing to do; the stack has no resources in {where}." in again.stdout


def test_max_changes(server: EC2Server, command: Run) -> None:
    """More changes than --max-changes allows: refused with both numbers."""
    ran = command("apply", "-y", "--max-changes", "6", SPEC)
    assert ran.code == 3
    assert "changes 7 resources, and --max-changes is 6" in ran.stderr
    assert server.mutating() == []
    assert command("apply", "-y", "--max-changes", "7", SPEC).code == 0


def test_prune_is_asked_for(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """What left the spec is listed by plan, and removed only with --prune --allow-destroy."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("version: 1\nstack: x\nregion: us-east-1\nelastic_ips: {one: {}, two: {}}\n")
    assert command("apply", "-y", str(spec)).code == 0
    spec.write_text("version: 1\nstack: x\nregion: us-east-1\nelastic_ips: {one: {}}\n")
    told = command("plan", "--detailed-exitcode", str(spec))
    assert (told.code, "elastic_ips.two" in told.stdout) == (0, True)
    assert command("plan", "--detailed-exitcode", "--prune", str(spec)).code == 2
    assert command("apply", "-y", "--prune", str(spec)).code == 3
    assert command("apply", "-y", "--prune", "--allow-destroy", str(spec)).code == 0
    assert len(server.client().describe_addresses()["Addresses"]) == 1


# A mistake that only live state shows

NO_VPC = """\
version: 1
stack: lab
region: us-east-1
security_groups:
  web: {vpc: {cidr: 10.99.0.0/16}}
elastic_ips: {ip: {}}
"""
MESSAGE = "no VPC in us-east-1 matches 10.99.0.0/16"


@pytest.fixture
def no_vpc(tmp_path: Path) -> str:
    path = tmp_path / "no-vpc.yaml"
    path.write_text(NO_VPC)
    return str(path)


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look follows at once."""
    monkeypatch.setattr("enireconcile.engine.planner._SECOND_LOOK", 0.0)


@pytest.mark.usefixtures("server", "one_look")
def test_plan_prints_the_rest_and_the_errors(command: Run, no_vpc: str) -> None:
    """In every format, with the place; the exit code is 1, and 0 for a target elsewhere."""
    told = command("plan", "--output", "json", no_vpc)
    assert (told.code, [change["address"] for change in told.json["changes"]]) == (1, ["elastic_ips.ip"])
    assert told.json["errors"] == [
        {
            "address": "security_groups.web",
            "file": no_vpc,
            "line": 5,
            "column": 14,
            "path": "security_groups.web.vpc",
            "message": MESSAGE,
            "hint": "see `aws ec2 describe-vpcs`",
            "left_out": ["security_groups.web"],
        }
    ]
    place = f"{no_vpc}:5:14: security_groups.web.vpc: {MESSAGE}"
    assert place in told.stderr
    for output in ("text", "markdown"):
        ran = command("plan", "--output", output, no_vpc)
        assert (ran.code, place in ran.stdout, "left out: security_groups.web" in ran.stdout) == (1, True, True)
    assert "1 error leaves out 1 resource." in ran.stdout
    assert command("plan", "--detailed-exitcode", no_vpc).code == 1
    assert command("plan", "--detailed-exitcode", "--target", "elastic_ips.ip", no_vpc).code == 2


@pytest.mark.usefixtures("one_look")
def test_apply_applies_the_rest(server: EC2Server, command: Run, no_vpc: str, tmp_path: Path) -> None:
    """It exits with 5 if it changed something, else with 1, and the report has the errors."""
    ran = command("apply", "-y", "--settle-timeout", "1", "--report", str(tmp_path / "report.json"), no_vpc)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (ran.code, report["outcome"], report["remaining"]) == (5, "partial", ["security_groups.web"])
    assert [error["path"] for error in report["errors"]] == ["security_groups.web.vpc"]
    assert "Applied in part: 1 of 1 calls" in ran.stdout
    assert len(server.mutating()) == 1
    again = command("apply", "-y", "--output", "json", no_vpc)
    assert (again.code, again.lines[-1]["outcome"], len(again.lines[-1]["errors"])) == (1, "failed", 1)
    assert len(server.mutating()) == 1


@pytest.mark.usefixtures("one_look")
def test_a_saved_plan_with_errors_applies_the_rest(
    server: EC2Server, command: Run, no_vpc: str, tmp_path: Path
) -> None:
    saved = str(tmp_path / "saved.plan")
    assert command("plan", "--out", saved, no_vpc).code == 1
    assert command("apply", "-y", "--settle-timeout", "1", "--plan", saved).code == 5
    assert len(server.mutating()) == 1


@pytest.mark.usefixtures("server", "one_look")
def test_plan_metrics_count_what_is_left_out(command: Run, no_vpc: str, tmp_path: Path) -> None:
    path = tmp_path / "e.prom"
    assert command("plan", "--metrics", str(path), no_vpc).code == 1
    text = path.read_text()
    assert 'command="plan",outcome="failed"} 1' in text
    remaining = [line for line in text.splitlines() if line.startswith("enireconcile_remaining_resources{")]
    assert [line.rpartition(" ")[2] for line in remaining] == ["2"]


@pytest.mark.parametrize("call", ["DescribeAddresses", "AllocateAddress"])
def test_a_page_instead_of_an_answer_makes_nothing_twice(call: str, server: EC2Server, command: Run) -> None:
    """The clients of a session from the standard chain check what they get."""
    server.faults.add(Answer(call, late=True, body=b"<html><body><h1>Sign in</h1></body></html>"))
    assert command("apply", "-y", SPEC).code == 0
    assert len(server.world.data.addresses) == 2


def test_an_event_that_cannot_be_read_is_no_one_s(server: EC2Server, command: Run) -> None:
    """CloudTrail's event is JSON inside JSON, which may be nested too deeply to be read."""
    assert command("apply", "-y", SPEC).code == 0
    [address, *_] = server.world.data.addresses.values()
    server.client().disassociate_address(AssociationId=address.association_id)
    deep = json.dumps({"Events": [{"EventId": "1", "EventName": "x", "CloudTrailEvent": "[" * 100_000}]}).encode()
    server.faults.add(Answer("LookupEvents", times=99, body=deep, content_type="application/x-amz-json-1.1"))
    assert command("plan", "--who", SPEC).code == 0


@pytest.mark.parametrize("text", ["2562048h", "99999999999h", "316224001"])
def test_a_duration_of_more_than_ten_years_is_refused(text: str, command: Run) -> None:
    """No clock can wait for that long; nothing changes before the limit is known."""
    ran = command("apply", "-y", "--timeout", text, str(STORY))
    assert ran.code == 64
    assert "longer than ten years" in ran.stderr


@pytest.mark.parametrize("text", ["s3://bucket/team*", "s3://bucket/a?b", "s3://bucket/${aws:username}"])
def test_a_state_prefix_is_no_pattern(text: str, command: Run) -> None:
    """The policy for it would allow other prefixes."""
    ran = command("iam-policy", "--state", text, str(STORY))
    assert ran.code == 64
    assert "pattern" in ran.stderr


def test_help_of_watch_says_that_it_never_asks(command: Run) -> None:
    text = " ".join(command("watch", "--help").stdout.split())
    assert "Has no effect: watch never asks for approval." in text
    assert "Do not ask for approval." not in text
