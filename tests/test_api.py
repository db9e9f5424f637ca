"""The Python API on the strict EC2: the values of the JSON, from any thread, with nothing printed."""

from __future__ import annotations

import asyncio
import doctest
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

import enireconcile
from enireconcile import api
from enireconcile.aws.session import connect
from enireconcile.errors import (
    AwsError,
    EnireconcileError,
    GuardError,
    OutcomeError,
    SpecErrors,
    StoppedError,
    TargetError,
)
from tests.ec2 import Call, EC2Server, Fail, Hook
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]

pytestmark = pytest.mark.usefixtures("server")

WEB = "version: 1\nstack: web\nregion: us-east-1\nelastic_ips: {web: {}}\n"
EMPTY = "version: 1\nstack: web\nregion: us-east-1\n"


def load(text: str = WEB, **options: Any) -> enireconcile.Spec:
    [spec] = enireconcile.load(text, **options)
    return spec


@pytest.fixture(autouse=True)
def _silence(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The API writes to neither stdout nor stderr."""
    yield
    assert capsys.readouterr() == ("", "")


def test_the_import_loads_nothing_of_aws() -> None:
    used = (
        "import sys, enireconcile\n"
        "print({'boto3', 'botocore', 'click', 'pydantic'} & set(sys.modules))\n"
        "enireconcile.load('version: 1\\nstack: a\\n')\n"
        "print({'boto3', 'botocore', 'rich'} & set(sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", used], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\nset()\n"


def test_the_names_are_the_functions() -> None:
    """No module of the package takes the place of a function."""
    package = Path(enireconcile.__path__[0])
    for name in enireconcile.__all__:
        assert getattr(enireconcile, name) is getattr(api, name)
        assert not (package / name).exists()
        assert not (package / f"{name}.py").exists()
    assert set(enireconcile.__all__) <= set(dir(enireconcile))
    assert enireconcile.errors.SpecErrors is SpecErrors
    with pytest.raises(AttributeError, match="has no attribute 'aply'"):
        enireconcile.aply  # noqa: B018


def test_the_examples_of_the_docstrings() -> None:
    """They run one after another on one account, as a reader would."""
    for name in ("load", "plan", "apply", "show"):
        [example] = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs=dict(vars(api)))
        runner, said = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), list[str]()
        assert runner.run(example, out=said.append).failed == 0, "".join(said)
        assert example.examples


def test_plan_has_the_values_of_the_json(server: EC2Server, command: Run) -> None:
    plan = enireconcile.plan(enireconcile.load(STORY)[0])
    told = command("plan", "--output", "json", str(STORY)).json
    assert json.loads(json.dumps(plan)) == told
    assert plan.summary.create == told["summary"]["create"] == 7
    assert [change.fields[0].field for change in plan.changes if change.fields]
    assert [step.params for step in plan.steps] == [step["params"] for step in told["steps"]]
    assert plan.steps[0].call == told["steps"][0]["call"]
    assert server.mutating() == []
    text = command("plan", str(STORY)).stdout
    # The command names the endpoint, which is on this machine.
    assert plan.text() == re.sub(r" at http://\S+, not AWS", "", text.rstrip("\n"))
    assert plan.markdown().startswith("<!-- enireconcile plan two-enis -->")
    copied = pickle.loads(pickle.dumps(plan))  # noqa: S301 (our own)
    assert (copied, copied.text()) == (plan, plan.text())
    assert b"Testing ENI" not in pickle.dumps(plan), "user data is a hash"
    assert "Testing ENI" in STORY.read_text()
    with pytest.raises(AttributeError, match="Plan has no 'sumary': it has format_version, stack"):
        plan.sumary  # noqa: B018
    assert "steps" in dir(plan)


def test_apply_returns_the_report(server: EC2Server, tmp_path: Path) -> None:
    spec, events, plans = load(), list[enireconcile.Record](), list[enireconcile.Plan]()

    def approve(plan: enireconcile.Plan) -> bool:
        plans.append(plan)
        return plan.summary == {**plan.summary, "create": 1, "delete": 0}

    report = enireconcile.apply(spec, approve, state=tmp_path / "mine", on_event=events.append)
    assert (report.outcome, report.exit_code, report.error) == ("converged", 0, None)
    assert [(step.call, step.status) for step in report.steps] == [("AllocateAddress", "done")]
    assert [(event.call, event.status) for event in events] == [
        ("AllocateAddress", "started"),
        ("AllocateAddress", "done"),
    ]
    report.raise_for_outcome()
    assert 0 < plans[0].api_calls["DescribeAddresses"] < report.api_calls["DescribeAddresses"]
    [kept] = (tmp_path / "mine").rglob("report.json")
    assert json.loads(kept.read_text()) == report
    assert enireconcile.apply(spec, state=tmp_path / "mine").outcome == "unchanged"
    address = enireconcile.show(spec).resources["elastic_ips.web"]
    assert report.resources is not None
    assert address == report.resources["elastic_ips.web"]
    assert address.public_ip == server.client().describe_addresses()["Addresses"][0]["PublicIp"]


@pytest.mark.parametrize("approve", [False, lambda _: False, lambda _: None])
def test_a_refusal_is_a_report(server: EC2Server, approve: Any) -> None:
    report = enireconcile.apply(load(), approve)
    assert (report.outcome, report.exit_code, report.steps) == ("refused", 3, [])
    assert report.error == "the plan was not approved; nothing was changed"
    with pytest.raises(OutcomeError, match="stack web: refused: the plan was not approved") as raised:
        report.raise_for_outcome()
    assert raised.value.report is report
    assert raised.value.exit_code == 3
    assert server.mutating() == []


def test_destroying(server: EC2Server) -> None:
    """True approves as -y does; a function that is shown the plan approves all that is in it."""
    spec = load()
    enireconcile.apply(spec, True)
    doomed = enireconcile.plan(spec, destroy=True)
    assert [(change.action, change.impact) for change in doomed.changes] == [("delete", "destructive")]
    refused = enireconcile.apply(spec, True, destroy=True)
    assert refused.outcome == "refused"
    assert "--allow-destroy" in str(refused.error)
    assert enireconcile.apply(load(EMPTY), True, prune=True).outcome == "refused"
    assert enireconcile.apply(spec, lambda plan: plan.summary.delete == 1, destroy=True).outcome == "converged"
    assert server.client().describe_addresses()["Addresses"] == []
    other, emptied = (load(text.replace("stack: web", "stack: other")) for text in (WEB, EMPTY))
    enireconcile.apply(other, True)
    assert len(enireconcile.plan(emptied).leftovers) == 1
    assert enireconcile.apply(emptied, True, prune=True, allow_destroy=True).outcome == "converged"
    assert enireconcile.plan(emptied).leftovers == []


def test_the_other_options() -> None:
    text = "version: 1\nstack: web\nelastic_ips: {a: {tags: {Ops: '${var.ops}', In: '${region}'}}, b: {}}\n"
    spec = load(text + "variables: {ops: storage}\n", variables={"ops": "network"}, region="eu-west-1")
    made = enireconcile.plan(spec, region="eu-west-1", targets=["elastic_ips.a"])
    assert (made.region, made["targets"]) == ("eu-west-1", ["elastic_ips.a"])
    tags = made.steps[0].params.TagSpecifications[0].Tags
    assert {tag.Key: tag.Value for tag in tags}.items() >= {"Ops": "network", "In": "eu-west-1"}.items()
    assert enireconcile.apply(spec, True, region="eu-west-1", max_changes=1).outcome == "refused"
    with pytest.raises(TargetError):
        enireconcile.plan(spec, region="eu-west-1", targets=["elastic_ips.c"])
    with pytest.raises(TargetError):
        enireconcile.apply(spec, True, region="eu-west-1", targets=["elastic_ips.c"])
    with pytest.raises(EnireconcileError, match=r"state: .* has no valid bucket name"):
        enireconcile.apply(spec, True, region="eu-west-1", state="s3://A/b")
    with pytest.raises(EnireconcileError, match=r"state: 's3:/a/b' is no directory: did you mean s3://a/b\?"):
        enireconcile.apply(spec, True, region="eu-west-1", state="s3:/a/b")
    for never in (0, -1, float("nan"), "5"):
        with pytest.raises(EnireconcileError, match=r"timeout: .* is no time"):
            enireconcile.plan(spec, region="eu-west-1", timeout=never)  # type: ignore[arg-type]
    with pytest.raises(EnireconcileError, match=r"lock_timeout: -1 is no time"):
        enireconcile.apply(spec, True, region="eu-west-1", lock_timeout=-1)
    stopped = enireconcile.apply(spec, True, region="eu-west-1", timeout=0.0001)
    assert (stopped.outcome, stopped.remaining, stopped.steps) == ("partial", [], [])
    with pytest.raises(TypeError, match="give one Spec, not a list: load returns a list"):
        enireconcile.plan([spec])  # type: ignore[arg-type]
    with pytest.raises(EnireconcileError, match="no AWS region"):
        enireconcile.plan(load("version: 1\nstack: web\n"))
    with pytest.raises(SpecErrors, match="no spec has a variable 'color'"):
        load(variables={"color": "red"})
    with pytest.raises(SpecErrors, match="variables:1:9: ops: has no value"):
        load(variables={"ops": None})
    for odd in ({1, 2}, object(), b"x", float("nan")):
        with pytest.raises(SpecErrors, match=r"variables:1:1: ops: is no value of YAML: "):
            load(variables={"ops": odd})


def test_what_load_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(WEB)
    (tmp_path / "-").write_text(EMPTY)
    monkeypatch.chdir(tmp_path)
    assert [spec.file for spec in enireconcile.load(".")] == ["a.yaml"]
    assert [spec.file for spec in enireconcile.load(tmp_path / "a.yaml")] == [str(tmp_path / "a.yaml")]
    assert enireconcile.load("-")[0].file == "./-"
    assert load("{version: 1, stack: flow}").document.stack == "flow"
    with pytest.raises(SpecErrors, match=r"absent\.yaml:1:1: cannot be read: No such file"):
        enireconcile.load("absent.yaml")


def test_errors_of_aws(server: EC2Server) -> None:
    """plan and show raise them. An apply that has begun returns them in its report."""
    with pytest.raises(GuardError, match="the spec is for account 999999999999"):
        enireconcile.plan(load(WEB + 'account_id: "999999999999"\n'))
    fail = Fail("DescribeAddresses", times=10**6, code="UnauthorizedOperation", message="not you")
    server.faults.add(fail)
    for ask in (enireconcile.plan, enireconcile.show):
        with pytest.raises(AwsError) as raised:
            ask(load())
        assert (raised.value.call, raised.value.code) == ("DescribeAddresses", "UnauthorizedOperation")
    report = enireconcile.apply(load(), True)
    assert (report.outcome, report.exit_code) == ("failed", 1)
    assert "DescribeAddresses: UnauthorizedOperation: not you" in str(report.error)


def test_what_approve_raises_reaches_the_caller(server: EC2Server) -> None:
    def approve(_: enireconcile.Plan) -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        enireconcile.apply(load(), approve)
    assert server.mutating() == []
    assert enireconcile.apply(load(), True).outcome == "converged", "the lock is free again"


def test_an_event_handler_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: enireconcile.Record) -> None:
        raise RuntimeError(event.call)

    assert enireconcile.apply(load(), True, on_event=broken).outcome == "converged"
    failed = [record for record in caplog.records if record.name == "enireconcile.api"]
    assert [record.exc_info[0] for record in failed if record.exc_info] == [RuntimeError, RuntimeError]


def test_messages_are_log_records(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "enireconcile"):
        enireconcile.apply(load(), False)
    assert (
        "enireconcile.told",
        logging.ERROR,
        "the plan was not approved; nothing was changed",
    ) in caplog.record_tuples


def test_inside_a_running_event_loop() -> None:
    """It blocks the loop, or runs beside it in a thread."""

    async def program() -> tuple[str, str]:
        direct = enireconcile.apply(load(), True).outcome
        return direct, (await asyncio.to_thread(enireconcile.apply, load(), True)).outcome

    assert asyncio.run(program()) == ("converged", "unchanged")


def test_many_threads_at_once(server: EC2Server) -> None:
    """Each stack has its own run; of two runs of one stack, one has the lock."""
    texts = [WEB.replace("stack: web", f"stack: web-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda text: enireconcile.apply(load(text), True), texts))
    assert [(report.stack, report.outcome) for report in reports] == [
        (f"web-{number}", "converged") for number in range(4)
    ]
    arrived, go = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        arrived.set()
        assert go.wait(30)

    server.faults.add(Hook("AllocateAddress", callback=hold))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(enireconcile.apply, load(), True)
        assert arrived.wait(30)
        second = enireconcile.apply(load(), True, lock_timeout=0)
        go.set()
        assert (first.result().outcome, second.outcome, second.exit_code) == ("converged", "locked", 4)


def test_the_time_limit(server: EC2Server) -> None:
    """From a thread: no signal is needed for it."""
    gate = threading.Event()
    server.faults.add(Hook("DescribeAddresses", times=10**6, callback=lambda _: gate.wait(30)))
    with ThreadPoolExecutor(1) as threads:
        planned = threads.submit(enireconcile.plan, load(), timeout=0.3)
        with pytest.raises(StoppedError, match=r"stopped by --timeout after 0\.3 s"):
            planned.result()
        report = threads.submit(enireconcile.apply, load(), True, timeout=0.3).result()
    gate.set()
    assert (report.outcome, report.exit_code, report.steps) == ("partial", 5, [])


def test_ctrl_c_stops_an_apply_cleanly(server: EC2Server) -> None:
    """The call in flight is finished, the report is stored and the lock is released; then KeyboardInterrupt."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(_: Call) -> None:
        signal.pthread_kill(main, signal.SIGINT)

    server.faults.add(Hook("AllocateAddress", callback=interrupt))
    with pytest.raises(KeyboardInterrupt):
        enireconcile.apply(load(), True)
    [kept] = Path(os.environ["ENIRECONCILE_STATE"]).rglob("report.json")
    report = json.loads(kept.read_text())
    assert report["steps"][0]["status"] == "done"
    assert report["outcome"] in ("partial", "converged")
    assert enireconcile.apply(load(), True).outcome == "unchanged"


def test_the_session_of_the_caller(server: EC2Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its credentials, Region and profile are used; the standard chain would have none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    session = boto3.Session("AKIAMINEMINEMINEMINE", "not-a-secret", region_name="eu-central-1")
    spec = load(WEB.replace("region: us-east-1\n", ""))
    assert enireconcile.plan(spec, session=session).region == "eu-central-1"
    assert {call.access_key for call in server.calls} == {"AKIAMINEMINEMINEMINE"}
    assert all(" enireconcile/" in call.user_agent for call in server.calls)
    with pytest.raises(EnireconcileError, match="session and profile exclude each other"):
        enireconcile.plan(spec, session=session, profile="ops")
    (tmp_path / "config").write_text("[profile ops]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    named = boto3.Session("AKIAMINEMINEMINEMINE", "not-a-secret", profile_name="ops")
    assert connect(region=None, profile=None, boto=named).boto.profile_name == "ops"
    assert enireconcile.plan(spec, session=named).region == "ap-south-1"


def test_calls_go_to_the_region_that_values_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the session of the caller has another one."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    spec = load("version: 1\nstack: web\nelastic_ips: {web: {tags: {Region: '${region}'}}}\n")
    session = boto3.Session("AKIAMINEMINEMINEMINE", "not-a-secret", region_name="eu-central-1")
    assert enireconcile.plan(spec, session=session).region == "us-east-1"


def test_a_variable_that_no_spec_has() -> None:
    """The error names the argument."""
    with pytest.raises(SpecErrors, match="variables:1:1: no spec has a variable 'oops'"):
        load(variables={"oops": "1"})


def test_verify_returns_the_checks() -> None:
    text = WEB + "checks: {page: {elastic_ip: web, tcp: 80, within: 1s}}\n"
    [check] = enireconcile.verify(load(text))
    assert (check.name, check.status, check.got) == ("page", "failed", None)
    assert "elastic_ips.web" in check.why
    assert enireconcile.verify(load()) == []
