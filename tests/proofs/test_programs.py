"""Programs on the Python API, and the Lambda handler against another run and against its own end."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from enireconcile.aws_lambda import RESERVE, handler
from enireconcile.errors import EnireconcileError, OutcomeError
from tests.ec2 import EC2Server, Fail
from tests.harness import STORY
from tests.processes.test_cli import server
from tests.s3 import S3Server
from tests.test_aws_lambda import WEB, Context, s3

__all__ = ["s3", "server"]


@pytest.mark.usefixtures("server")
def test_the_examples_of_the_how_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks run one after another, as one program."""
    (tmp_path / "config").write_text("[profile lab]\naws_access_key_id = AKIAMINE\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.chdir(STORY.parents[1])
    page = Path("docs/how-to/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"asyncio": asyncio, "boto3": boto3}
    for block in blocks:
        code = compile(block, "python.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)  # noqa: S307 (a page of ours)
        if running is not None:
            asyncio.run(running)
    assert len(blocks) == 4
    assert names["report"].outcome == "unchanged"
    printed = capsys.readouterr().out
    assert "create network_interfaces.web-eth1 safe ['subnet'" in printed
    assert printed.rstrip().endswith(names["report"].resources["elastic_ips.web-1"].public_ip)


def test_a_locked_stack_does_not_fail_the_invocation(s3: S3Server) -> None:
    outcomes: list[str] = []

    def meanwhile(_: object) -> None:
        s3.after = lambda _: None
        event = {"command": "apply", "options": {"lock_timeout": 0.0}}
        outcomes.append(handler(event, Context())["outcome"])

    s3.after = _at_put("lock.json", meanwhile)
    assert handler({"command": "apply"}, Context())["outcome"] == "converged"
    assert outcomes == ["locked"]


def _at_put(end: str, do: Callable[[object], None]) -> Callable[[Any], None]:
    return lambda request: do(request) if request.method == "PUT" and request.key.endswith(end) else None


@pytest.mark.usefixtures("s3")
def test_errors_of_a_plan_fail_the_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the row and the reason."""
    monkeypatch.setattr("enireconcile.engine.planner._SECOND_LOOK", 0.0)
    text = "network_interfaces: {a: {subnet: {cidr: 10.9.9.0/24}}}\n"
    with pytest.raises(OutcomeError, match=r"-:5:\d+: network_interfaces\.a\.subnet") as raised:
        handler({"spec": WEB + text}, Context())
    assert raised.value.report["errors"][0]["left_out"] == ["network_interfaces.a"]


@pytest.mark.usefixtures("s3")
def test_the_end_of_the_invocation_is_a_time_limit(server: EC2Server) -> None:
    """It stops before Lambda kills it: the journal is written, the lock released, the next run finishes."""
    with pytest.raises(EnireconcileError, match="stack web: not begun: less than 10 s of the invocation are left"):
        handler({"command": "apply"}, Context(RESERVE - 1))
    assert server.calls == []
    server.faults.add(
        Fail("AllocateAddress", times=10**6, code="RequestLimitExceeded", message="slow", status=503)
    )
    with pytest.raises(OutcomeError, match=r"stopped by --timeout after 0\.\d+ s") as raised:
        handler({"command": "apply"}, Context(RESERVE + 0.9))
    assert raised.value.report["outcome"] == "partial"
    server.faults.clear()
    assert handler({"command": "apply"}, Context())["outcome"] == "converged"
