"""What scheduled runs publish: metrics and messages; and the random delay of their start."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from enireconcile.errors import EnireconcileError
from enireconcile.outputs import webhook
from enireconcile.outputs.metrics import update
from enireconcile.outputs.outlet import Outlet
from enireconcile.state.directory import Directory
from tests.commands import running, written
from tests.ec2 import EC2Server, Fail
from tests.ec2 import Hook as Deed
from tests.harness import ENVIRONMENT, STORY
from tests.outputs.test_metrics import run
from tests.outputs.test_webhook import report
from tests.processes.test_cli import BROKEN, Run, command, server
from tests.processes.test_watch import nothing, watch_of

__all__ = ["command", "server"]

SPEC = str(STORY)
SCOPE = "123456789012-us-east-1-two-enis"
SECRET = "T000/B000/planted-webhook-token"


# Metrics


def metric(path: Path, name: str, **labels: str) -> float | None:
    """A value of the file, as Prometheus reads it."""
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            if sample.name == f"enireconcile_{name}" and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


def test_metrics_of_a_schedule(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """Built, left alone, corrected: each run says so, and the file is readable by another user and whole."""
    prom = tmp_path / "enireconcile.prom"
    apply = ("apply", "-y", "--metrics", str(prom), SPEC)
    assert command(*apply).code == 0
    assert metric(prom, "drift_resources", action="create", stack="two-enis", account="123456789012") == 7
    assert metric(prom, "remaining_resources", region="us-east-1", command="apply") == 0
    assert metric(prom, "steps_total", call="AllocateAddress", result="done") == 2
    assert metric(prom, "api_calls_total", action="RunInstances") == 1
    assert command(*apply).code == 0
    assert metric(prom, "last_run_outcome", outcome="unchanged") == 1
    assert metric(prom, "drift_resources", action="create") == 0
    [group] = server.client().describe_security_groups(
        Filters=[{"Name": "tag:enireconcile:name", "Values": ["security_groups.my-sg-1"]}]
    )["SecurityGroups"]
    server.client().revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    assert command(*apply).code == 0
    assert metric(prom, "last_run_outcome", outcome="converged") == 1
    assert metric(prom, "drift_resources", action="update") == 1
    assert metric(prom, "runs_total", outcome="converged") == 2
    assert metric(prom, "last_success_timestamp_seconds") == metric(prom, "last_run_timestamp_seconds")
    assert prom.stat().st_mode & 0o444 == 0o444
    assert sorted(path.name for path in tmp_path.glob("*.prom*")) in (
        ["enireconcile.prom"],
        ["enireconcile.prom", "enireconcile.prom.lock"],
    )


def test_plans_have_metrics_of_their_own(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """A scheduled plan reports drift. Two specs in one run, and in one file."""
    prom = tmp_path / "drift.prom"
    other = tmp_path / "other.yaml"
    other.write_text("version: 1\nstack: other\nregion: us-east-1\nelastic_ips: {one: {}}\n")
    assert command("plan", "--metrics", str(prom), SPEC, str(other)).code == 0
    assert server.mutating() == []
    for stack, resources in (("two-enis", 7), ("other", 1)):
        assert metric(prom, "remaining_resources", stack=stack, command="plan") == resources
        assert metric(prom, "last_run_outcome", stack=stack, outcome="planned") == 1
        assert metric(prom, "api_calls_total", stack=stack, action="DescribeNetworkInterfaces") == 1


def locked(_: EC2Server, state: Path) -> AbstractContextManager[object]:
    return Directory(state).locked(SCOPE, timeout=0, now=lambda: 0.0)


@contextmanager
def forbidden(server: EC2Server, _: Path) -> Iterator[None]:
    server.faults.add(Fail("DescribeInstances", code="UnauthorizedOperation", message="no", times=99))
    yield


@contextmanager
def halfway(server: EC2Server, _: Path) -> Iterator[None]:
    server.faults.add(Fail("RunInstances", code="InsufficientInstanceCapacity", message="no room", times=99))
    yield


@contextmanager
def unapproved(_: EC2Server, __: Path) -> Iterator[None]:
    yield


ENDINGS = {"locked": locked, "failed": forbidden, "partial": halfway, "refused": unapproved}


@pytest.mark.parametrize("outcome", ENDINGS)
def test_metrics_of_runs_that_end_badly(server: EC2Server, command: Run, tmp_path: Path, outcome: str) -> None:
    """Failed, refused, locked or partial: the file has this outcome, and no success."""
    prom = tmp_path / "enireconcile.prom"
    options = [] if outcome == "refused" else ["-y"]
    with ENDINGS[outcome](server, tmp_path / "state"):
        ran = command("apply", *options, "--lock-timeout", "0s", "--metrics", str(prom), SPEC)
    assert ran.code == {"locked": 4, "failed": 1, "partial": 5, "refused": 3}[outcome]
    assert metric(prom, "last_run_outcome", outcome=outcome, account="123456789012") == 1
    assert metric(prom, "last_success_timestamp_seconds") == 0
    seen = {"locked": None, "failed": None, "partial": 7, "refused": 7}[outcome]
    assert metric(prom, "drift_resources", action="create") == seen
    assert (metric(prom, "remaining_resources") is None) == (seen is None)
    assert metric(prom, "api_calls_total", action="GetCallerIdentity") == 1


@pytest.mark.parametrize("name", ["no/such/directory/x.prom", "state"])
def test_metrics_that_could_not_be_written_are_found_before_anything_changes(
    server: EC2Server, command: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    ran = command("apply", "-y", "--metrics", str(tmp_path / name), SPEC)
    assert ran.code in (1, 64)
    assert server.calls == []


def test_metrics_that_cannot_be_written_do_not_change_the_result(
    server: EC2Server, command: Run, tmp_path: Path
) -> None:
    """A directory takes the name of the file during the run: a warning."""
    prom = tmp_path / "enireconcile.prom"
    server.faults.add(Deed("RunInstances", callback=lambda _: prom.mkdir()))
    ran = command("apply", "-y", "--metrics", str(prom), SPEC)
    assert ran.code == 0
    assert f"warning: cannot write the metrics {prom}" in ran.stderr


def test_many_runs_write_one_file(tmp_path: Path) -> None:
    """Cron lines that end at the same moment lose nothing of each other."""
    prom = tmp_path / "all.prom"
    stacks = [f"stack-{number}" for number in range(8)]

    def schedule(stack: str) -> None:
        for _ in range(5):
            update(Outlet(prom, "the metrics"), [run(stack=stack)])

    threads = [threading.Thread(target=schedule, args=(stack,)) for stack in stacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {
        stack: metric(prom, "runs_total", stack=stack, outcome="converged") for stack in stacks
    } == dict.fromkeys(stacks, 5.0)


# Notifications


@dataclass
class Post:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Hook:
    """A server that receives notifications."""

    url: str = ""
    status: int = 200
    location: str = ""
    silent: threading.Event | None = None
    posts: list[Post] = field(default_factory=list)

    @property
    def reports(self) -> list[Any]:
        return [post.json["report"] for post in self.posts]


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posts.append(Post(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            if hook.silent:
                hook.silent.wait()
            self.send_response(hook.status)
            if hook.location:
                self.send_header("Location", hook.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    scheme = "http"
    if context is not None:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        scheme = "https"
    hook.url = f"{scheme}://localhost:{listener.server_address[1]}/services/{SECRET}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        if hook.silent:
            hook.silent.set()
        listener.shutdown()
        thread.join()
        listener.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


@pytest.mark.usefixtures("server")
def test_a_change_is_posted_and_rest_is_not(command: Run, hook: Hook) -> None:
    """What was built is news, with a text for Slack and the whole report; that nothing was to do is none."""
    ran = [command("apply", "-y", "--notify", hook.url, SPEC) for _ in range(2)]
    assert [each.code for each in ran] == [0, 0]
    [post] = hook.posts
    assert post.path == f"/services/{SECRET}"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["user-agent"].startswith("enireconcile/")
    assert post.json["report"]["outcome"] == "converged"
    assert [step["call"] for step in post.json["report"]["steps"]].count("AllocateAddress") == 2
    assert post.json["text"].startswith(
        "enireconcile two-enis (123456789012, us-east-1)\nConverged: 10 of 10 calls"
    )
    assert "AllocateAddress elastic_ips.web-1" in post.json["text"]
    assert SECRET not in "".join(each.stdout + each.stderr for each in ran)


@pytest.mark.parametrize("outcome", ENDINGS)
def test_what_went_wrong_is_posted(
    server: EC2Server, command: Run, tmp_path: Path, hook: Hook, outcome: str
) -> None:
    """Failures and refusals are news, also by the environment's URL. Another run that has the lock is none."""
    options = [] if outcome == "refused" else ["-y"]
    with ENDINGS[outcome](server, tmp_path / "state"):
        command("apply", *options, "--lock-timeout", "0s", "--notify", hook.url, SPEC)
    assert [report["outcome"] for report in hook.reports] == ([] if outcome == "locked" else [outcome])
    for post in hook.posts:
        assert (post.json["report"]["error"] or "no room") in post.json["text"]


def test_everything_if_asked(server: EC2Server, command: Run, hook: Hook, tmp_path: Path) -> None:
    """A dead man's switch wants to hear of every run; it comes from the environment as well."""
    apply = ("apply", "-y", "--notify-all", "--lock-timeout", "0s", "--notify", hook.url, SPEC)
    command(*apply)
    command(*apply)
    with locked(server, tmp_path / "state"):
        command(*apply)
    assert [report["outcome"] for report in hook.reports] == ["converged", "unchanged", "locked"]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["apply", "destroy", "watch"])
def test_a_bad_spec_is_posted(
    command: Run, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without it, only the age of the metrics would show the error. The URL comes from the environment here."""
    monkeypatch.setenv("ENIRECONCILE_NOTIFY", hook.url)
    bad, path = tmp_path / "bad.yaml", tmp_path / "report.json"
    bad.write_text(BROKEN)
    assert command(name, "-y", "--report", str(path), str(bad)).code == 1
    [report] = hook.reports
    assert (report["stack"], report["outcome"]) == (None, "failed")
    assert "did you mean `image`?" in report["error"]
    assert written(path) == report


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (404, "", "it answered 404"),
        (500, "", "it answered 500"),
        (302, "http://127.0.0.1:1/elsewhere", "it answered 302 (redirects are not followed)"),
        (307, "/services/elsewhere", "it answered 307 (redirects are not followed)"),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_failed_notification_is_only_a_warning(
    command: Run, hook: Hook, status: int, location: str, words: str
) -> None:
    """The exit code is that of the run. No redirect is followed: one request, and no more."""
    hook.status, hook.location = status, location
    ran = command("apply", "-vv", "-y", "--notify", hook.url, SPEC)
    assert ran.code == 0
    assert f"warning: cannot notify localhost: {words}" in ran.stderr
    assert SECRET not in ran.stderr
    assert len(hook.posts) == 1


def test_no_listener() -> None:
    with listening() as hook:
        pass
    with pytest.raises(EnireconcileError, match=r"^cannot notify localhost: .*refused") as refused:
        webhook.post(hook.url, report("failed"))
    assert SECRET not in str(refused.value)


def test_no_answer() -> None:
    """A run does not wait longer for a server that sends a byte now and then."""
    with listening() as hook:
        hook.silent = threading.Event()
        with pytest.raises(EnireconcileError, match="no answer within 0 s"):
            webhook.post(hook.url, report("failed"), patience=0.2)


def test_https_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate of an unknown authority is refused; one of a known authority is accepted."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with listening(context) as hook:
        with pytest.raises(EnireconcileError, match="certificate verify failed"):
            webhook.post(hook.url, report("failed"))
        assert hook.posts == []
        known = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(known))
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        webhook.post(hook.url, report("failed"))
    assert [each["outcome"] for each in hook.reports] == ["failed"]


BAD_URLS = [
    "ftp://hooks.example/x",
    "hooks.example",
    "http://hooks.example/x",
    "https:///",
    "https://u:p@hooks.example",
]


@pytest.mark.parametrize("url", [f"{url}{SECRET}" for url in BAD_URLS])
def test_a_bad_url_is_wrong_usage(server: EC2Server, command: Run, url: str) -> None:
    """Found before anything else, and not quoted."""
    ran = command("apply", "-y", "--notify", url, SPEC)
    assert ran.code == 64
    assert "--notify" in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
    assert server.calls == []


def test_the_url_is_in_no_lock(server: EC2Server, tmp_path: Path, hook: Hook) -> None:
    """A lock says by which command it is held, and others read it."""
    said: list[str] = []

    def look(_: object) -> None:
        said.extend(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())

    server.faults.add(Deed("RunInstances", callback=look))
    with running(server, tmp_path / "state", "apply", f"--notify={hook.url}", "-y", SPEC) as run:
        assert run.end()[0] == 0
        said.append(run.stderr)
    assert any("apply ***" in text for text in said)
    assert [text for text in said if SECRET in text] == []


def test_a_failure_that_persists_is_reported_once(server: EC2Server, hook: Hook, tmp_path: Path) -> None:
    """A watch goes round every few seconds: the same failure is one message, until it changes."""
    server.faults.add(Fail("DescribeAddresses", code="UnauthorizedOperation", message="no", times=3))
    spec = tmp_path / "one.yaml"
    spec.write_text("version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {ip: {}}\n")
    watch_of(tmp_path)([spec], nothing, nothing, nothing, nothing, notify=hook.url)
    assert [each["outcome"] for each in hook.reports] == ["failed", "converged"]


# Jitter


def test_a_start_is_spread(server: EC2Server, tmp_path: Path) -> None:
    """An apply in its random delay has made no AWS call, and a signal ends it: code 5."""
    path = tmp_path / "report.json"
    arguments = ("apply", "-v", "-y", "--jitter", "10000h", "--report", str(path), SPEC)
    with running(server, tmp_path / "state", *arguments) as run:
        run.says("starting in ")
        run.insist(signal.SIGTERM)
        assert run.end()[0] == 5
    assert server.calls == []
    assert written(path)["outcome"] == "partial"


def test_a_plan_that_waits_for_its_moment(server: EC2Server, tmp_path: Path) -> None:
    with running(server, tmp_path / "state", "plan", "-v", "--jitter", "10000h", SPEC) as run:
        run.says("starting in ")
        run.insist(signal.SIGTERM)
        assert run.end() == (1, "")
    assert server.calls == []


def test_a_short_jitter_passes(server: EC2Server, command: Run) -> None:
    assert command("apply", "-y", "--jitter", "1ms", SPEC).code == 0
    assert command("plan", "--jitter", "1ms", "--detailed-exitcode", SPEC).code == 0
    assert server.mutating()


# ---- what the shell gives and takes away


def _shell(server: EC2Server, script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as ``$cmd`` in a shell script."""
    mine = {"AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(cwd / "state")}
    return subprocess.run(
        ["/bin/sh", "-c", f'cmd="{sys.executable} -m enireconcile"; {script}'],
        env={**os.environ, **ENVIRONMENT, **mine, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(closed: str, server: EC2Server, tmp_path: Path) -> None:
    """The run converges, writes its report, and no file or connection takes the stream's number."""
    (tmp_path / "spec.yaml").write_text("version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {a: {}}\n")
    ran = _shell(server, f"$cmd apply -y --report r.json spec.yaml {closed}", tmp_path)
    assert ran.returncode == 0, ran
    assert json.loads((tmp_path / "r.json").read_text())["outcome"] == "converged"
    assert server.actions(mutating=True) == ["AllocateAddress"]


def test_a_spec_from_a_closed_stdin_is_empty(server: EC2Server, tmp_path: Path) -> None:
    ran = _shell(server, "$cmd plan - <&-", tmp_path)
    assert ran.returncode == 1
    assert "the file is empty" in ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        "--report spec.yaml",
        "--report ./state/../spec.yaml",
        "--metrics link.yaml",
        "--report same --metrics same",
        "--var-file vars.yaml --report vars.yaml",
        '--report ""',
    ],
)
def test_no_file_is_written_for_two_things(options: str, server: EC2Server, tmp_path: Path) -> None:
    """A spec is not overwritten by its own report: wrong usage, before anything changes."""
    text = "version: 1\nstack: one\nregion: us-east-1\nelastic_ips: {a: {}}\n"
    (tmp_path / "spec.yaml").write_text(text)
    (tmp_path / "vars.yaml").write_text("{}\n")
    (tmp_path / "state").mkdir()
    (tmp_path / "link.yaml").symlink_to("spec.yaml")
    ran = _shell(server, f"$cmd apply -y {options} spec.yaml", tmp_path)
    assert ran.returncode == 64, ran
    assert (tmp_path / "spec.yaml").read_text() == text
    assert server.calls == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("apply -y --report d/core.yaml d", "is the same file as d/core.yaml"),
        ("apply -y --metrics link.yaml d", "is the same file as d/core.yaml"),
        ("apply -y --report d/new.yaml d", "would be a spec of d: give it another name"),
        ("watch --report d/new.yml ./d/", "would be a spec of ./d/: give it another name"),
        ("plan --html d/edge.yml .//d", "is the same file as d/edge.yml"),
        ("plan --out d/core.yaml d", "is the same file as d/core.yaml"),
        ("apply -y --plan saved --metrics d/core.yaml", "is the same file as d/core.yaml"),
    ],
)
def test_no_spec_of_a_directory_is_overwritten(command: str, why: str, server: EC2Server, tmp_path: Path) -> None:
    """Nor that of a plan file; and no report is made that the next run would read as a spec."""
    texts = {}
    (tmp_path / "d").mkdir()
    for name in ("core.yaml", "edge.yml"):
        path = tmp_path / "d" / name
        path.write_text(f"version: 1\nstack: {path.stem}\nregion: us-east-1\nelastic_ips: {{a: {{}}}}\n")
        texts[path] = path.read_text()
    (tmp_path / "link.yaml").symlink_to("d/core.yaml")
    before = "$cmd plan --out saved d && " if "--plan" in command else ""
    ran = _shell(server, f"{before}$cmd {command}", tmp_path)
    assert (ran.returncode, why in ran.stderr) == (64, True), ran
    assert {path: path.read_text() for path in (tmp_path / "d").iterdir()} == texts
    assert server.mutating() == []


def test_other_files_may_stand_beside_specs(server: EC2Server, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "core.yaml").write_text("version: 1\nstack: core\nregion: us-east-1\n")
    assert _shell(server, "$cmd apply -y --report d/run.json --metrics d/m.prom d", tmp_path).returncode == 0
