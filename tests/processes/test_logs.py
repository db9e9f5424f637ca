"""stderr as people and collectors read it: words or JSON lines, with every call on request, and never a secret."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import AwsError, EnireconcileError
from enireconcile.outputs import logs, progress
from tests.ec2 import EC2Server, Fail
from tests.harness import STORY
from tests.processes.test_cli import BROKEN, Run, command, server

__all__ = ["command", "server"]

SPEC = str(STORY)
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0KEYID000",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-access-key",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "HTTPS_PROXY": "http://ops:planted-proxy-password@127.0.0.1:9",
}
USER_DATA = "#!/bin/sh\necho planted-user-data\n"


def objects(stderr: str) -> list[Any]:
    return [json.loads(line) for line in stderr.splitlines()]


def test_quiet_unless_asked(server: EC2Server, command: Run) -> None:
    """Without --verbose, stderr of a run that goes well has a line for each step, and not a word of the calls."""
    ran = command("apply", "-y", SPEC)
    assert len(ran.stderr.splitlines()) == len(server.mutating())
    assert "request" not in ran.stderr


def test_verbose_shows_every_call_with_its_request_id(server: EC2Server, command: Run) -> None:
    """-v: the request id of every call, reads included, as AWS Support asks for it."""
    ran = command("apply", "-v", "-y", SPEC)
    assert ran.code == 0
    assert server.calls
    assert [
        call.action
        for call in server.calls
        if not any(
            f" aws: {call.action} took " in line and f"(request {call.request_id})" in line
            for line in ran.stderr.splitlines()
        )
    ] == []
    assert '"VpcId"' not in ran.stderr


@pytest.mark.usefixtures("server")
def test_verbose_twice_shows_the_parameters(command: Run) -> None:
    """-vv: what was asked for, too."""
    ran = command("plan", "-vv", SPEC)
    assert 'aws: DescribeAddresses {"Filters":[{"Name":"tag:enireconcile:stack"' in ran.stderr


def test_json_lines(server: EC2Server, command: Run) -> None:
    """--log-format json: every line of stderr is an object that says when, how bad, of which stack and what."""
    ran = command("apply", "-v", "--log-format", "json", "-y", SPEC)
    lines = objects(ran.stderr)
    assert {line["level"] for line in lines} == {"info"}
    assert {line["stack"] for line in lines} == {"two-enis"}
    assert all(line["time"].endswith("Z") and line["message"] for line in lines)
    calls = {line["request_id"]: line["call"] for line in lines if line["logger"] == "aws"}
    assert calls == {call.request_id: call.action for call in server.calls}
    steps = [line for line in lines if line["logger"] == "told"]
    assert {step["status"] for step in steps} == {"done"}
    assert [step["call"] for step in steps if step["address"] == "instances.web"] == ["RunInstances"]
    assert "\x1b" not in ran.stderr


def test_an_error_as_json_says_what_a_program_wants_to_know(server: EC2Server, command: Run) -> None:
    """A call that AWS refuses: its name, AWS's code and the request id, beside what a person reads."""
    server.faults.add(Fail("DescribeSubnets", code="UnauthorizedOperation", message="You are not authorized"))
    ran = command("plan", "--log-format", "json", SPEC)
    assert ran.code == 1
    [line] = objects(ran.stderr)
    refused = next(call for call in server.calls if call.error_code)
    assert line["level"] == "error"
    assert (line["call"], line["code"], line["exit_code"]) == ("DescribeSubnets", "UnauthorizedOperation", 1)
    assert line["request_id"] == refused.request_id
    assert line["message"].startswith("DescribeSubnets: UnauthorizedOperation: You are not authorized")
    assert line["hint"]


def test_a_bad_spec_as_json_lists_its_problems(command: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(BROKEN)
    ran = command("plan", "--log-format", "json", str(bad))
    [line] = objects(ran.stderr)
    assert {problem["path"] for problem in line["problems"]} >= {"stack", "instances.web.imge"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_leaves(
    server: EC2Server, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    """All that a run prints with -vv, writes or keeps: no credentials, no user data, no signature."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    spec = tmp_path / "spec.yaml"
    text = STORY.read_text().partition("    user_data: |")
    assert text[1]
    rest = text[2].split("\n\n", 1)[1]
    spec.write_text(f"{text[0]}    user_data: {json.dumps(USER_DATA)}\n\n{rest}")
    server.faults.add(Fail("AllocateAddress", code="AddressLimitExceeded", message="too many"))
    kept = tmp_path / "kept"
    kept.mkdir()
    options = ("-vv", "--log-format", log_format)
    ran = [
        command("plan", *options, "--out", str(kept / "plan"), str(spec)),
        command("apply", *options, "-y", "--report", str(kept / "report"), str(spec)),
        command("apply", *options, "-y", "--output", "json", str(spec)),
        command("plan", *options, "--output", "json", str(spec)),
        command("destroy", *options, "-y", "--allow-destroy", str(spec)),
    ]
    assert [each.code for each in ran] == [0, 5, 0, 0, 0]
    encoded = base64.b64encode(USER_DATA.encode()).decode()
    assert any(call.params.get("UserData") == encoded for call in server.calls)
    files = [path for folder in (kept, tmp_path / "state") for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    everything = [each.stdout + each.stderr for each in ran] + [path.read_text() for path in files]
    assert "sha256:" in everything[0]
    secrets = [*SECRETS.values(), "planted-proxy-password", "planted-user-data", encoded, "AWS4-HMAC"]
    assert [secret for secret in secrets for text in everything if secret in text] == []


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_whose_user_wants_it(variables: Mapping[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    mine = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    try:
        args = [sys.executable, "-m", "enireconcile", "validate", "missing.yaml"]
        subprocess.run(args, env={**mine, **variables}, stdout=theirs, stderr=theirs, check=False)
        said = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "missing.yaml" in said
    assert ("\x1b[" in said) is coloured


def test_credentials_in_a_url_are_cut_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy or an endpoint may have its password in the URL, and errors name URLs."""
    logs.begin()
    for as_json in (False, True):
        logs.use_json(as_json)
        logs.complain(EnireconcileError("cannot reach https://ops:hunter2@proxy.example:3128/x"))
    assert "hunter2" not in (said := capsys.readouterr().err)
    assert said.count("@proxy.example:3128/x") == 2


HOSTILE = "elastic_ips.\x1b]0;owned\x07[/red]\u202e\r\n"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_text_from_aws_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """The address of a leftover comes from its tag, which can contain anything: in steps, waits and errors."""
    logs.begin()
    logs.be_verbose(2)
    logs.use_json(log_format == "json")
    event: Mapping[str, Any] = {
        "type": "step",
        "id": "s1",
        "call": "ReleaseAddress",
        "address": HOSTILE,
        "summary": f"set tags {HOSTILE}",
        "status": "failed",
        "attempts": 1,
        "seconds": 0.1,
        "result_id": HOSTILE,
        "error": HOSTILE,
    }
    shown = progress.progress_for(io.StringIO())
    shown.tell(event)
    shown.tell({"type": "settle", "addresses": [HOSTILE], "seconds": 3.0})
    shown.tell({"type": "wait", "ids": [HOSTILE]})
    logs.complain(AwsError("ReleaseAddress", HOSTILE, HOSTILE, request_id=HOSTILE, address=HOSTILE, hint=HOSTILE))
    logs.warn(HOSTILE)
    logging.getLogger("enireconcile.aws").debug("%s", HOSTILE)
    said = capsys.readouterr().err
    assert said.count("owned") >= 8
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(said)
