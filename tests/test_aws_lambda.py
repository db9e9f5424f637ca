"""The Lambda handler on the strict EC2 and S3, with a context as Lambda's."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enireconcile.aws_lambda import handler
from enireconcile.errors import EnireconcileError, OutcomeError, SpecErrors
from tests.ec2 import EC2Server, Fail
from tests.processes.test_cli import server
from tests.s3 import BUCKET, Object, S3Server

__all__ = ["server"]

WEB = "version: 1\nstack: web\nregion: us-east-1\nelastic_ips: {web: {}}\n"
STATE = f"s3://{BUCKET}/stacks"


class Context:
    """An invocation that may take so many seconds from now on."""

    def __init__(self, seconds: float = 300.0) -> None:
        self._ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


@pytest.fixture
def s3(server: EC2Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A bucket in which the spec and the state are. The environment is that of a function with both in it."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("ENIRECONCILE_STATE", STATE)
    monkeypatch.setenv("ENIRECONCILE_SPECS", f"s3://{BUCKET}/specs/web.yaml")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    with S3Server() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        put(s3, "specs/web.yaml", WEB)
        yield s3


def put(s3: S3Server, key: str, text: str) -> None:
    s3.objects[key] = Object(text.encode(), '"0"', s3.clock())


def test_a_scheduled_event_runs_what_the_environment_says(
    s3: S3Server, server: EC2Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Plan, then apply twice: the state is in the bucket, and the report in the log.

    A plan ignores the options of the function that only apply takes.
    """
    monkeypatch.setenv("ENIRECONCILE_OPTIONS", '{"max_changes": 1}')
    event = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
    assert handler(event, Context())["summary"]["create"] == 1
    assert server.mutating() == []
    monkeypatch.setenv("ENIRECONCILE_COMMAND", "apply")
    monkeypatch.setattr(logging.getLogger("enireconcile"), "propagate", True)
    report = handler(event, Context())
    assert (report["outcome"], report["stack"]) == ("converged", "web")
    assert json.loads(json.dumps(report)) == s3.json("stacks/123456789012-us-east-1-web/report.json")
    assert json.loads(caplog.messages[-1]) == report
    assert handler(None, Context())["outcome"] == "unchanged"


@pytest.mark.usefixtures("s3")
def test_an_event_says_all() -> None:
    """Paths, texts and objects; several specs give a list."""
    other = WEB.replace("stack: web", "stack: '${var.name}'").replace(
        "version: 1", "version: 1\nvariables: {name: b}"
    )
    event = {
        "command": "plan",
        "specs": [WEB.replace("web", "a", 1), other],
        "options": {"variables": {"name": "c"}},
    }
    with pytest.raises(SpecErrors, match="no spec has a variable 'name'"):
        handler(event, Context())
    plans = handler({"specs": [WEB, other]}, Context())
    assert [plan["stack"] for plan in plans] == ["web", "b"]
    [spec] = (Path(__file__).parents[1] / "specs").glob("two-enis.yaml")
    assert handler({"spec": str(spec)}, Context())["stack"] == "two-enis"
    assert handler({"spec": other, "options": {"variables": {"name": "c"}}}, Context())["stack"] == "c"
    assert handler({"command": "verify", "spec": WEB}, Context()) == []


def test_mistakes_in_an_object_name_it(s3: S3Server, server: EC2Server) -> None:
    put(s3, "specs/web.yaml", "version: 1\nstack: web\nelastic_ip: {}\n")
    with pytest.raises(SpecErrors, match=rf"s3://{BUCKET}/specs/web\.yaml:3:1: elastic_ip: unknown key"):
        handler({}, Context())
    with pytest.raises(EnireconcileError, match=rf"s3://{BUCKET}/absent\.yaml does not exist"):
        handler({"spec": f"s3://{BUCKET}/absent.yaml"}, Context())
    s3.objects["latin"] = Object(b"version: 1\n# \xe9\n", '"0"', s3.clock())
    with pytest.raises(EnireconcileError, match=r"latin is not UTF-8: .* at byte 13"):
        handler({"spec": f"s3://{BUCKET}/latin"}, Context())
    assert server.calls == []


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (["plan"], "the event is a JSON list, and must be an object"),
        ({"comand": "plan"}, "comand: Extra inputs are not permitted"),
        ({"command": "destroy"}, "command: 'destroy' is none of plan, apply, verify"),
        ({"spec": "a", "specs": ["b"]}, "the event has both spec and specs"),
        ({"specs": []}, "specs: List should have at least 1 item"),
        ({"specs": "web.yaml"}, "specs: Input should be a valid list"),
        ({"options": []}, "options: Input should be"),
        ({"options": {"parallelism": 0}}, "options.parallelism: Input should be greater than or equal to 1"),
        ({"options": {"max_changes": "5"}}, "options.max_changes: Input should be a valid integer"),
        ({"options": {"max_changes": 5}}, "options.max_changes: plan has no such option"),
        ({"command": "verify", "options": {"prune": True}}, "options.prune: verify has no such option"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_events_that_are_refused(server: EC2Server, event: Any, words: str) -> None:
    """A misspelt key never makes another command of the event."""
    with pytest.raises(EnireconcileError) as raised:
        handler(event, Context())
    assert words in str(raised.value)
    assert server.calls == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENIRECONCILE_OPTIONS", "{", "ENIRECONCILE_OPTIONS is not JSON"),
        ("ENIRECONCILE_OPTIONS", '{"max_change": 1}', "options.max_change: Extra inputs are not permitted"),
        ("ENIRECONCILE_OPTIONS", "[]", "ENIRECONCILE_OPTIONS is no JSON object"),
        ("ENIRECONCILE_STATE", "", "apply needs a state that outlives the function"),
        ("ENIRECONCILE_SPECS", "", "specs: List should have at least 1 item"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_environments_that_are_refused(
    server: EC2Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnireconcileError, match=words):
        handler({"command": "apply"}, Context())
    assert server.calls == []


def test_runs_that_do_not_end_well_fail_the_invocation(s3: S3Server, server: EC2Server) -> None:
    """Refused, failed and partial do. A stack that another run has locked does not: that run is at work."""
    with pytest.raises(OutcomeError, match=r"(?s)stack web: refused: .*--max-changes is 0") as refused:
        handler({"command": "apply", "options": {"max_changes": 0}}, Context())
    assert (refused.value.exit_code, refused.value.report["outcome"]) == (3, "refused")
    server.faults.add(Fail("AllocateAddress", times=9, code="AddressLimitExceeded", message="no more"))
    with pytest.raises(OutcomeError, match=r"AllocateAddress for elastic_ips.web: .*no more") as failed:
        handler({"command": "apply"}, Context())
    assert failed.value.report["outcome"] == "failed"
    assert s3.json("stacks/123456789012-us-east-1-web/report.json")["outcome"] == "failed"
    with pytest.raises(OutcomeError, match=r"stack web: checks failed\n  page: elastic_ips\.web"):
        handler({"command": "verify", "spec": WEB + "checks: {page: {elastic_ip: web, tcp: 80}}\n"}, Context())
