"""docs/reference/mistakes.md: every row of its tables is run, and says what it says there, with that exit code.

``python -m tests.docs.test_mistakes`` writes codes and words of all rows into the page.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shlex
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from enireconcile.aws.lab import named
from enireconcile.cli.app import main
from enireconcile.state.directory import Directory
from tests.docs.console import ROOT, comparable, replaced, yaml_blocks
from tests.ec2 import Fail, Latency, Settings
from tests.harness import Harness, image_id, open_harness

PAGE = "docs/reference/mistakes.md"
_ROW = re.compile(r"^\| (.+?) \| (.*?) ?\| `(.+?)` \| (.*?) ?\| (.*?) ?\|$", re.MULTILINE)
_CODE = re.compile(r"``(.*?)``")
_LONGEST = 3
"""The most lines of an error that the page shows."""
_HOLDER = "ops on bastion (pid 4242, since 2026-01-01T00:00:00+00:00: apply)"
_VARIABLE = (
    (re.compile(r"(?<=is locked by ).*"), _HOLDER),
    (re.compile(r"(?<=the state directory )\S+(?=:)"), "/var/lib/enireconcile/123456789012-us-east-1-shop"),
    (re.compile(r"\(request [^)]*\)"), "(request …)"),
)
"""What differs from run to run, and what stands on the page instead."""


def masked(line: str) -> str:
    for pattern, instead in _VARIABLE:
        line = pattern.sub(instead, line)
    return line.strip()


@dataclass(frozen=True)
class Row:
    """``edit`` is a part of the page's spec and what stands there instead; ``words`` are lines of the output."""

    mistake: str
    edit: tuple[str, ...]
    command: str
    code: str
    words: tuple[str, ...]

    def spec(self) -> str:
        [text] = yaml_blocks(PAGE)
        if not self.edit:
            return text
        old, new = (part.replace("⏎", "\n").replace("⇥", "\t") for part in self.edit)
        assert old in text, old
        return text.replace(old, new, 1)


def rows() -> list[Row]:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    return [
        Row(
            mistake,
            tuple(_CODE.findall(edit)),
            command,
            code,
            tuple(each.strip() for each in _CODE.findall(words)),
        )
        for mistake, edit, command, code, words in _ROW.findall(text)
        if mistake != "mistake"
    ]


# ---- situations in which a row is run, by the mistake; the others are run in a new account


def applied(harness: Harness, _: Path) -> None:
    """The spec of the page is applied."""
    [text] = yaml_blocks(PAGE)
    assert harness.apply(text).outcome == "converged"
    harness.loop.now += 60


def tagged(harness: Harness, _: Path) -> None:
    """Two subnets have the same tag."""
    subnets = [each.id for each in harness.strict.world.data.subnets.values()][:2]
    harness.client().create_tags(Resources=subnets, Tags=[{"Key": "Tier", "Value": "public"}])


def namesake(harness: Harness, _: Path) -> None:
    """Another tool has made a group named web."""
    harness.client().create_security_group(GroupName="web", Description="of another tool")


def other_stack(harness: Harness, directory: Path) -> None:
    """Another stack owns an Elastic IP, whose id the spec adopts."""
    harness.apply("version: 1\nstack: mail\nregion: us-east-1\nelastic_ips: {mx: {}}\n")
    [address] = harness.strict.world.data.addresses
    spec = directory / "shop.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("ELASTIC-IP", address), encoding="utf-8")


def adopted(harness: Harness, directory: Path) -> None:
    """The spec of the page is applied; the row that adopts an interface was written with its former name."""
    applied(harness, directory)
    [interface] = [
        each.id
        for each in harness.strict.world.data.interfaces.values()
        if each.tags.get("enireconcile:name") == "network_interfaces.web-eth1"
    ]
    spec = directory / "shop.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("INTERFACE", interface), encoding="utf-8")


def anonymous(_: Harness, __: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.pop(name)


def identity_center(_: Harness, directory: Path) -> None:
    """A profile whose token is not in the cache."""
    anonymous(_, directory)
    config = directory / "config"
    config.write_text(
        "[profile ops]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Ops\n"
        "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n",
        encoding="utf-8",
    )
    os.environ |= {"AWS_CONFIG_FILE": str(config), "HOME": str(directory)}


def failing(action: str, code: str, message: str) -> Callable[[Harness, Path], None]:
    """EC2 refuses an action."""
    return lambda harness, _: harness.strict.faults.add(Fail(action, code=code, message=message, times=9))


def in_a_zone(_: Harness, __: Path) -> None:
    os.environ["AWS_REGION"] = "us-east-1a"


def unreachable(_: Harness, __: Path) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"


def silent(harness: Harness, _: Path) -> None:
    """EC2 accepts connections and does not answer. Requests wait shorter for that, and are not repeated."""
    gate = threading.Event()
    _OPEN.callback(gate.set)
    _OPEN.enter_context(mock.patch("enireconcile.aws.session._ANSWER", 0.2))
    _OPEN.enter_context(mock.patch("enireconcile.aws.faults.TRANSIENT", 0.0))
    harness.strict.faults.add(Latency(10.0, wait=gate.wait))


def others(harness: Harness, _: Path) -> None:
    """Another owner's security group and instance."""
    harness.strict.world.add_group("monitoring")
    ec2 = harness.client()
    ec2.run_instances(
        ImageId=image_id(ec2),
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=named("instance", "firewall-a"),
    )


def full(_: Harness, __: Path) -> None:
    """The disk of the state directory has no space left."""
    why = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _OPEN.enter_context(mock.patch("enireconcile.files.replace", side_effect=why))


def outdated(harness: Harness, directory: Path) -> None:
    """A plan is saved; then another tool opens a port."""
    applied(harness, directory)
    spec = directory / "shop.yaml"
    changed = replaced(spec.read_text(encoding="utf-8"), "ports: 443", "ports: 80")
    spec.write_text(changed, encoding="utf-8")
    code, output = _ran("plan --out shop.plan shop.yaml")
    assert code == 0, output
    [group] = [each for each in harness.strict.world.data.groups.values() if each.name == "web"]
    harness.client().authorize_security_group_ingress(
        GroupId=group.id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )


def locked(_: Harness, directory: Path) -> None:
    held = Directory(directory / "state").locked("123456789012-us-east-1-shop", timeout=0, now=lambda: 0.0)
    _OPEN.enter_context(held)


_OPEN = contextlib.ExitStack()
"""What a situation holds until its row was run."""
NO_RECORD = Settings(forward_dns=True)
SITUATIONS: dict[str, Callable[[Harness, Path], None]] = {
    "a selector that fits several": tagged,
    "another owner's group, with its name misspelled": others,
    "another owner's instance, with its tag misspelled": others,
    "a group name that another tool uses": namesake,
    "an Elastic IP of another stack": other_stack,
    "another instance type, after the launch": applied,
    "another key pair, after the launch": applied,
    "a row that was renamed": applied,
    "a row with `adopt` that was renamed": adopted,
    "no credentials": anonymous,
    "a profile that does not exist": anonymous,
    "an expired session of IAM Identity Center": identity_center,
    "expired credentials": failing("GetCallerIdentity", "ExpiredToken", "The security token is expired"),
    "a clock that is wrong": failing(
        "GetCallerIdentity", "SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier"
    ),
    "a zone in AWS_REGION": in_a_zone,
    "an endpoint where nothing listens": unreachable,
    "an endpoint that accepts connections and does not answer": silent,
    "a call that IAM does not allow": failing("DescribeAddresses", "UnauthorizedOperation", "You are not allowed"),
    "unattended, and a resource would be released": applied,
    "what prevent_destroy protects": applied,
    "a saved plan that is out of date": outdated,
    "another run holds the lock": locked,
    "the disk of the state is full": full,
}


def _ran(command: str) -> tuple[int, str]:
    """The exit code of a command, and what it prints: stderr, then stdout."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            main(shlex.split(command))
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert "Traceback" not in stderr.getvalue()
    return code, stderr.getvalue() + stdout.getvalue()


def run_row(row: Row, directory: Path) -> tuple[int, str]:
    """The exit code and the output of a row."""
    (directory / "shop.yaml").write_text(row.spec(), encoding="utf-8")
    settings = NO_RECORD if row.mistake == "reverse DNS without an A record" else Settings()
    with (
        mock.patch("enireconcile.engine.planner._SECOND_LOOK", 0.0),
        mock.patch("enireconcile.aws.faults.NOT_SENT", 0.0),
        open_harness(directory / "before", settings) as harness,
        contextlib.chdir(directory),
        _OPEN,
    ):
        os.environ["ENIRECONCILE_STATE"] = str(directory / "state")
        if situation := SITUATIONS.get(row.mistake):
            situation(harness, directory)
        return _ran(row.command)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.mistake)
def test_a_mistake_says_what_to_do(row: Row, tmp_path: Path) -> None:
    code, output = run_row(row, tmp_path)
    assert (str(code), row.words != ()) == (row.code, True), output
    told = [comparable(masked(line)) for line in output.splitlines()]
    wanted = [comparable(line) for line in row.words]
    assert any(told[at : at + len(wanted)] == wanted for at in range(len(told))), output


def test_the_tables_are_long_enough_and_every_situation_is_used() -> None:
    mistakes = [row.mistake for row in rows()]
    assert len(mistakes) == len(set(mistakes)) >= 30
    assert set(SITUATIONS) <= set(mistakes)


def test_every_mistake_says_what_to_do_next() -> None:
    """A hint, or the flag, the line or the command that helps."""
    helps = re.compile("hint:|`|--|tried once|lifecycle")
    assert [row.mistake for row in rows() if not helps.search(" ".join(row.words))] == []


# ---- writing the page


def _chosen(output: str) -> list[str]:
    """The lines of an output that the page shows: the first problem, error or warning, with what is below it."""
    lines = output.splitlines()
    marks = (r"\S+:[0-9]+:[0-9]+: ", " *hint: reverse_dns", "error: ", "warning: ")
    start = next(at for mark in marks for at, line in enumerate(lines) if re.match(mark, line))
    end = start + 1
    while end < len(lines) and lines[end].startswith("  ") and "left out:" not in lines[end]:
        end += 1
    if "hint: " in "".join(lines[start:end]):
        end = next(at for at in range(start, end) if "hint: " in lines[at]) + 1
    return [masked(line) for line in lines[start : min(end, start + _LONGEST)]]


def _write() -> None:
    page = ROOT / PAGE
    text = page.read_text(encoding="utf-8")
    for found, row in zip([found for found in _ROW.finditer(text) if found[1] != "mistake"], rows(), strict=True):
        with tempfile.TemporaryDirectory() as directory:
            code, output = run_row(row, Path(directory))
        words = "<br>".join(f"`` {line} ``" for line in _chosen(output))
        text = replaced(text, found[0], f"| {found[1]} | {found[2]} | `{found[3]}` | {code} | {words} |")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write()
