"""verify, apply --verify and watch as commands: real servers on loopback play the guest behind the Elastic IPs."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from enireconcile.engine import checks
from enireconcile.spec import Check
from tests.commands import running, written
from tests.ec2 import EC2Server, Fail, Settings, World
from tests.harness import ENVIRONMENT
from tests.probing import guests
from tests.processes.test_cli import Run, command
from tests.processes.test_outlets import Hook, hook
from tests.processes.test_watch import nothing, watch_of

__all__ = ["command", "hook"]

WEB, OTHER = "127.55.0.1", "127.55.0.2"
"""The first two addresses that this EC2 hands out, in the order in which the Elastic IPs are allocated."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EC2Server]:
    """A strict EC2 whose Elastic IPs are addresses of this machine."""
    with EC2Server(World(Settings(public_network="127.55.0.0/16"))) as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ENIRECONCILE_STATE", str(tmp_path / "state"))
        yield server


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of each check is over after its first answer, for which there is time enough."""
    monkeypatch.setattr(Check, "seconds", property(lambda _: 0))
    monkeypatch.setattr(checks, "_patience", lambda *_: 60.0)


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer at once is silent."""
    monkeypatch.setattr(Check, "seconds", property(lambda _: 0))
    monkeypatch.setattr(checks, "_patience", lambda *_: 0.05)


def spec(directory: Path, *checks: str, name: str = "shop.yaml") -> str:
    """A file with two interfaces of one instance, each with an Elastic IP, and these checks."""
    lines = [f"  {check}" for check in checks]
    path = directory / name
    path.write_text(
        f"""version: 1
stack: {path.stem}
region: us-east-1
security_groups:
  {path.stem}-open: {{ingress: [{{protocol: tcp, ports: "1024-65535", sources: [0.0.0.0/0]}}]}}
  {path.stem}-shut: {{}}
instances:
  web:
    image: {{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}}
    instance_type: t3.medium
network_interfaces:
  eth0:
    subnet: {{default_for_az: us-east-1a}}
    security_groups: [{path.stem}-open]
    attachment: {{instance: web, device_index: 0}}
  eth1:
    subnet: {{default_for_az: us-east-1a}}
    security_groups: [{path.stem}-shut]
    attachment: {{instance: web, device_index: 1}}
elastic_ips:
  web: {{association: {{network_interface: eth0}}}}
  other: {{association: {{network_interface: eth1}}}}
"""
        + ("checks:\n" + "\n".join(lines) + "\n" if lines else ""),
        encoding="utf-8",
    )
    return str(path)


def addresses(server: EC2Server) -> dict[str, str]:
    """The public addresses by the names of their rows."""
    return {each.tags["Name"]: each.public_ip for each in server.world.data.addresses.values()}


def applied(command: Run, file: str) -> None:
    assert command("apply", "-y", file).code == 0


def test_checks_that_are_as_expected(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """Text on stdout, progress on stderr, exit code 0; and the same as JSON."""
    applied(command, spec(tmp_path))
    web = addresses(server)["web"]
    with guests.web(web) as port:
        page = f"{{port: {port}, contains: Testing ENI}}"
        closed = guests.shut(web)
        file = spec(
            tmp_path,
            f"page: {{elastic_ip: web, http: {page}}}",
            f"port: {{elastic_ip: web, tcp: {port}}}",
            f"shut: {{elastic_ip: web, tcp: {closed}, expect: refused}}",
        )
        ran = command("verify", file)
        listed = command("verify", "--output", "json", file)
    assert ran.code == 0
    head, *lines = ran.stdout.splitlines()
    assert head == f"shop at {server.url}, not AWS"
    assert [line.partition("  (")[0] for line in lines] == [
        f"✓ page  http {web}:{port}/  open",
        f"✓ port  tcp {web}:{port}  open",
        f"✓ shut  tcp {web}:{closed}  refused",
        "All 3 checks passed.",
    ]
    assert f"✓ page  http {web}:{port}/  open" in ran.stderr
    assert listed.code == 0
    assert [(each["name"], each["status"], each["expect"], each["got"], each["why"]) for each in listed.json] == [
        ("page", "ok", "open", "open", None),
        ("port", "ok", "open", "open", None),
        ("shut", "ok", "refused", "refused", None),
    ]
    assert all(set(each) == {"name", "status", "expect", "got", "seconds", "why"} for each in listed.json)


@pytest.mark.usefixtures("asked_once")
def test_a_malformed_answer_loses_no_results(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """A length that is no number, of more digits than Python reads, and headers without an end."""
    applied(command, spec(tmp_path))
    web, report = addresses(server)["web"], tmp_path / "report.json"
    long = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nTesting ENI"
    endless = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"
    with guests.sending(long, web) as odd, guests.sending(endless, web) as worse, guests.mute(web) as port:
        file = spec(
            tmp_path,
            f"long: {{elastic_ip: web, http: {{port: {odd}, contains: Testing ENI}}}}",
            f"endless: {{elastic_ip: web, http: {{port: {worse}, path: '/?token=s3cr3t'}}}}",
            f"port: {{elastic_ip: web, tcp: {port}}}",
        )
        ran = command("apply", "-y", "--verify", "--report", str(report), file)
    assert ran.code == 6
    assert {each["name"]: each["got"] for each in written(report)["checks"]} == {
        "long": "open",
        "endless": "not an HTTP answer",
        "port": "open",
    }
    assert "s3cr3t" not in ran.stdout + ran.stderr + report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("silence")
def test_checks_that_fail_say_why(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """Exit code 6. The SYN of a port whose queue is full is dropped, as EC2 drops what no rule lets in."""
    applied(command, spec(tmp_path))
    web, other = addresses(server)["web"], addresses(server)["other"]
    with guests.full(web) as dropped, guests.full(other) as filtered:
        file = spec(
            tmp_path,
            f"guest: {{elastic_ip: web, tcp: {dropped}}}",
            f"group: {{elastic_ip: other, tcp: {filtered}}}",
            f"quiet: {{elastic_ip: web, tcp: {dropped}, expect: silent}}",
        )
        ran = command("verify", "--output", "json", file)
        text = command("verify", file)
    assert (ran.code, text.code) == (6, 6)
    found = {each["name"]: each for each in ran.json}
    assert {name: each["got"] for name, each in found.items()} == {
        "guest": "silent",
        "group": "silent",
        "quiet": "silent",
    }
    assert found["quiet"]["status"] == "ok"
    assert found["guest"]["why"] == f"EC2's side is open, so look in the guest: `enireconcile guest {file} web`"
    assert found["group"]["why"] == (
        f"shop-shut has no rule for tcp {filtered} from this machine; this rule would let it in, with the address "
        f"from which EC2 sees it: {{protocol: tcp, ports: {filtered}, sources: [ADDRESS/32]}}"
    )
    assert f"    {found['group']['why']}\n" in text.stdout
    assert f"✗ group  tcp {other}:{filtered}  silent, not open  (" in text.stdout
    assert text.stdout.endswith("2 of 3 checks failed\n")


@pytest.mark.usefixtures("asked_once")
def test_what_should_not_answer(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """The reason is the rule that lets it in."""
    applied(command, spec(tmp_path))
    web = addresses(server)["web"]
    with guests.mute(web) as port:
        ran = command("verify", spec(tmp_path, f"loud: {{elastic_ip: web, tcp: {port}, expect: silent}}"))
    assert ran.code == 6
    assert f"✗ loud  tcp {web}:{port}  open, not silent  (" in ran.stdout
    assert "    shop-open lets it in: tcp 1024-65535 from 0.0.0.0/0\n" in ran.stdout


def test_a_spec_without_checks(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """verify says so, without a call to AWS; so does apply, which has something else to do."""
    file = spec(tmp_path)
    ran = command("verify", file)
    assert (ran.code, ran.stdout) == (0, "shop: the spec has no checks\n")
    assert command("verify", "--output", "json", file).json == []
    assert server.calls == []
    ran = command("apply", "-y", "--verify", file)
    assert ran.code == 0
    assert "the spec has no checks to verify\n" in ran.stderr


def test_several_specs_are_one_list(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """Each check names its stack, since two stacks may have checks of one name."""
    files = [spec(tmp_path, name=f"{name}.yaml") for name in ("a", "b")]
    for file in files:
        applied(command, file)
    closed = guests.shut(WEB)
    for name in ("a", "b"):
        spec(tmp_path, f"port: {{elastic_ip: web, tcp: {closed}, expect: refused}}", name=f"{name}.yaml")
    ran = command("verify", "--output", "json", *files)
    assert ran.code == 0
    assert [(each["stack"], each["name"]) for each in ran.json] == [("a", "port"), ("b", "port")]
    assert server.actions(mutating=True).count("AllocateAddress") == 4


@pytest.mark.usefixtures("asked_once")
def test_apply_verifies_after_converging(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """The checks are in the report, the metrics and the last line; the outcome stays what it is."""
    report, prom = tmp_path / "report.json", tmp_path / "run.prom"
    applied(command, spec(tmp_path))
    web = addresses(server)["web"]
    with guests.web(web) as port:
        file = spec(
            tmp_path,
            f"page: {{elastic_ip: web, http: {{port: {port}}}}}",
            f"gone: {{elastic_ip: web, http: {{port: {port}, path: /gone}}}}",
        )
        args = ("apply", "-y", "--verify", "--report", str(report), "--metrics", str(prom))
        ran = command(*args, file)
        lines = command(*args, "--output", "json", file).lines
        quiet = command(*args, spec(tmp_path, f"page: {{elastic_ip: web, http: {{port: {port}}}}}"))
        file = spec(
            tmp_path,
            f"page: {{elastic_ip: web, http: {{port: {port}}}}}",
            f"gone: {{elastic_ip: web, http: {{port: {port}, path: /gone}}}}",
        )
        markdown = command(*args, "--output", "markdown", file)
        without = command("apply", "-y", file)
    assert (ran.code, markdown.code, without.code) == (6, 6, 0)
    # Cron sends a mail for what is on stderr.
    assert (quiet.code, quiet.stderr) == (0, "")
    assert "✗ gone" in ran.stderr
    assert "page" not in ran.stderr
    assert (
        f"Unchanged: everything matches the spec. EC2 is at {server.url}, not AWS.\n  1 of 2 checks failed:\n"
        in ran.stdout
    )
    assert f"  ✗ gone  http {web}:{port}/gone  status 410  (" in ran.stdout
    assert "1 of 2 checks failed" in markdown.stdout
    kept = written(report)
    assert kept["outcome"] == "unchanged"
    assert [(each["name"], each["status"]) for each in kept["checks"]] == [("gone", "failed"), ("page", "ok")]
    assert [line["type"] for line in lines] == ["check", "check", "report"]
    assert lines[-1]["checks"][0]["why"] == (
        f"web answers, but not as expected (status 410): look at its service on tcp {port}"
    )
    metrics = prom.read_text()
    assert 'command="apply",check="gone"} 0\n' in metrics
    assert 'command="apply",check="page"} 1\n' in metrics
    assert "checks" not in without.stdout


def test_apply_that_launches_and_verifies(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """The first apply: which address an Elastic IP gets is known only after it."""
    with guests.web(WEB) as port:
        file = Path(spec(tmp_path, f"page: {{elastic_ip: web, http: {{port: {port}, contains: Testing ENI}}}}"))
        file.write_text(file.read_text().replace("  other: {association: {network_interface: eth1}}\n", ""))
        ran = command("apply", "-y", "--verify", str(file))
    assert ran.code == 0
    assert "\n  The check passed.\n" in ran.stdout
    assert "checking page (up to 30 s)\n" in ran.stderr
    assert [each.public_ip for each in server.world.data.addresses.values()] == [WEB]


@pytest.mark.usefixtures("asked_once")
def test_what_cannot_be_read_fails_only_the_checks(command: Run, server: EC2Server, tmp_path: Path) -> None:
    """The stack has converged, and the report says so. verify by itself has nothing else to report."""
    applied(command, spec(tmp_path))
    file = spec(tmp_path, "port: {elastic_ip: web, tcp: 80}")
    # The first one is of the plan.
    server.faults.add(Fail("DescribeAddresses", nth=2, times=9, code="UnauthorizedOperation"))
    ran = command("apply", "-y", "--verify", "--output", "json", file)
    assert (ran.code, ran.lines[-1]["outcome"]) == (6, "unchanged")
    [check] = ran.lines[-1]["checks"]
    assert (check["status"], check["got"]) == ("failed", None)
    assert check["why"].startswith("the addresses could not be read: DescribeAddresses: UnauthorizedOperation: ")
    alone = command("verify", file)
    assert (alone.code, alone.stdout) == (1, "")
    assert "DescribeAddresses: UnauthorizedOperation" in alone.stderr


@pytest.mark.usefixtures("server")
def test_another_account_is_refused(command: Run, tmp_path: Path) -> None:
    file = Path(spec(tmp_path, "port: {elastic_ip: web, tcp: 80}"))
    file.write_text(file.read_text().replace("stack: shop\n", 'stack: shop\naccount_id: "999999999999"\n'))
    ran = command("verify", str(file))
    assert (ran.code, ran.stdout) == (3, "")
    assert "the spec is for account 999999999999" in ran.stderr


@pytest.mark.usefixtures("server")
def test_the_time_limit_ends_the_checks_and_they_still_say_why(command: Run, tmp_path: Path) -> None:
    """A check that may take ten minutes fails at the limit, as at the end of its time."""
    file = spec(tmp_path, "port: {elastic_ip: web, tcp: 80, within: 10m}")
    ran = command("verify", "--timeout", "20s", file)
    assert ran.code == 6
    assert "checking port (up to 20 s)\n" in ran.stderr or "checking port (up to 19 s)\n" in ran.stderr
    assert f"elastic_ips.web does not have a public address yet: run `enireconcile apply {file}`" in ran.stdout


def test_ctrl_c_ends_the_checks(server: EC2Server, tmp_path: Path) -> None:
    """Of apply --verify: it has converged, and the report says which checks were not over. verify just ends."""
    report = tmp_path / "report.json"
    with guests.full(WEB) as port:
        file = Path(spec(tmp_path, f"slow: {{elastic_ip: web, tcp: {port}, within: 10m}}"))
        file.write_text(file.read_text().replace("  other: {association: {network_interface: eth1}}\n", ""))
        with running(server, tmp_path, "apply", "-y", "--verify", "--report", str(report), str(file)) as process:
            process.says("checking slow")
            process.insist(signal.SIGINT)
            code, stdout = process.end()
        with running(server, tmp_path, "verify", str(file)) as process:
            process.says("checking slow")
            process.insist(signal.SIGINT)
            alone, nothing = process.end()
    assert code == 6
    [check] = written(report)["checks"]
    assert (written(report)["outcome"], check["status"]) == ("converged", "failed")
    assert check["why"] == "stopped by Ctrl-C: the check was not over"
    assert "Converged: " in stdout
    assert (alone, nothing) == (1, "")


@pytest.mark.usefixtures("server", "asked_once")
def test_a_failed_check_is_a_message(command: Run, tmp_path: Path, hook: Hook) -> None:
    """Also if there was nothing to change."""
    applied(command, spec(tmp_path))
    file = spec(tmp_path, f"port: {{elastic_ip: web, tcp: {guests.shut(WEB)}}}")
    assert command("apply", "-y", "--verify", "--notify", hook.url, file).code == 6
    [post] = hook.posts
    assert post.json["report"]["checks"][0]["status"] == "failed"
    assert "1 of 1 check failed:" in post.json["text"]


# ---- watch


@pytest.mark.usefixtures("server")
def test_watch_checks_what_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once a round, until the check is as expected: it must not delay the next failover. Then it is over."""
    monkeypatch.setattr(checks, "_patience", lambda *_: 60.0)
    with ExitStack() as later:
        port = guests.shut(WEB)
        file = Path(spec(tmp_path, f"port: {{elastic_ip: web, tcp: {port}, within: 10m}}"))
        file.write_text(file.read_text().replace("  other: {association: {network_interface: eth1}}\n", ""))
        listen = functools.partial(later.enter_context, guests.mute(WEB, port))
        assert watch_of(tmp_path)([file], nothing, listen, nothing, output="json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    reports = [line for line in lines if line["type"] == "report"]
    assert [(each["outcome"], "checks" in each) for each in reports] == [
        ("converged", False),
        ("unchanged", False),
        ("unchanged", True),
        ("unchanged", False),
    ]
    [check] = reports[2]["checks"]
    assert (check["name"], check["status"]) == ("port", "ok")
    assert len([line for line in lines if line["type"] == "check"]) == 1


def test_watch_says_why_a_check_fails_in_the_end(
    server: EC2Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once its time is over."""
    file = Path(spec(tmp_path, f"port: {{elastic_ip: web, tcp: {guests.shut(WEB)}, within: 10m}}"))
    monkeypatch.setattr(Check, "seconds", property(lambda _: 0))
    assert watch_of(tmp_path)([file], nothing, output="text") == 0
    out = capsys.readouterr().out
    assert out.count("1 of 1 check failed:") == 1
    assert "web refuses tcp " in out
    assert server.actions().count("DescribeRouteTables") == 1
