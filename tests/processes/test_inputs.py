"""Input from others: endless files, and messages of AWS that try to be lines of their own."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import EC2Server, Fail
from tests.processes.test_cli import Run, command, server
from tests.processes.test_outlets import hook
from tests.processes.test_planfile import one, spec

__all__ = ["command", "hook", "server", "spec"]

MEGABYTES = 400
"""Of address space beyond what the interpreter and the libraries take."""


# ---- endless input


def limited(*args: str, stdin: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process whose memory is limited."""
    limit = (1024 + MEGABYTES) * 2**20
    return subprocess.run(
        [sys.executable, "-m", "enireconcile", *args],
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


ENDLESS = [
    (("validate", "-"), "-:1:1: the file is larger than 1048576 bytes"),
    (("validate", "{}"), "{}:1:1: the file is larger than 1048576 bytes"),
    (("plan", "-"), "-:1:1: the file is larger than 1048576 bytes"),
    (("watch", "-"), "-:1:1: the file is larger than 1048576 bytes"),
    (("apply", "--plan", "{}"), "cannot read the plan file {}: larger than 67108864 bytes"),
]


@pytest.mark.parametrize(("words", "message"), ENDLESS, ids=[" ".join(words) for words, _ in ENDLESS])
@pytest.mark.parametrize("endless", [True, False], ids=["endless", "3 GiB"])
def test_no_more_is_read_than_the_limit(tmp_path: Path, words: Sequence[str], message: str, endless: bool) -> None:
    """One byte more than the limit shows that the input is too large."""
    path = Path("/dev/zero")
    if not endless:
        path = tmp_path / "large.yaml"
        path.touch()
        os.truncate(path, 3 * 2**30)
    with path.open("rb") as file:
        ran = limited(*(word.format(path) for word in words), stdin=file)
    assert ran.returncode == 1
    assert message.format(path) in ran.stderr
    assert "Traceback" not in ran.stderr


# ---- text of AWS


HOSTILE = (
    "no\n::error::a\r::warning file=x::b\r\n\t::add-mask::c\u2028::debug::d\x85::notice::e ##[error]f ##vso[x]g"
)
COMMAND = re.compile(r"\s*::[a-z-]+( .*)?::|.*##\[|.*##vso\[", re.IGNORECASE)
_BREAKS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def commands_in(text: str) -> list[str]:
    """Lines that a CI system would run, whatever it takes for the end of a line."""
    return [line for line in _BREAKS.split(text) if COMMAND.match(line)]


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a JSON value."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    for item in value if isinstance(value, list) else ():
        yield from texts_in(item)
    if isinstance(value, str):
        yield value


def test_the_test_finds_commands() -> None:
    assert len(commands_in(HOSTILE)) == 5
    assert commands_in("2600::1, ::/0 and ::1\na::error::b") == []


@pytest.mark.parametrize("action", ["GetCallerIdentity", "DescribeAddresses", "AllocateAddress"])
@pytest.mark.parametrize("output", ["text", "markdown", "json"])
@pytest.mark.parametrize("logs", [(), ("-vv",), ("--log-format", "json", "-v")], ids=" ".join)
def test_messages_of_aws_are_no_lines_of_their_own(
    server: EC2Server,
    command: Run,
    hook: Any,
    spec: Path,
    tmp_path: Path,
    action: str,
    output: str,
    logs: Sequence[str],
) -> None:
    """Neither on stdout or stderr nor in a file or message; the words are there, spelled out."""
    server.faults.add(Fail(action, code="Bad::error::\nCode", message=HOSTILE, times=99))
    report, prom = tmp_path / "report.json", tmp_path / "x.prom"
    options = ("--report", str(report), "--metrics", str(prom), "--notify", hook.url, *logs)
    ran = command("apply", "-y", "--output", output, *options, str(spec))
    assert ran.code == 1
    [posted] = [post.json for post in hook.posts]
    journals = [path.read_text() for path in (tmp_path / "state").rglob("*.json*")]
    told = [*texts_in(json.loads(report.read_text())), posted["text"]]
    for text in (ran.stdout, ran.stderr, prom.read_text(), *journals, *told):
        assert commands_in(text) == []
    # XML knows no CR: a parser reads it as LF.
    assert any(r"no\n::error::a\n::warning" in text for text in told)


@pytest.mark.parametrize("output", ["text", "markdown"])
def test_names_and_tags_are_no_commands_either(
    server: EC2Server, command: Run, tmp_path: Path, output: str
) -> None:
    """A leftover's address is a tag that others can write; a file's name is from a pull request."""
    server.client().allocate_address(
        Domain="vpc",
        TagSpecifications=[
            {
                "ResourceType": "elastic-ip",
                "Tags": [
                    {"Key": "enireconcile:stack", "Value": "one"},
                    {"Key": "enireconcile:name", "Value": "::error::a\n::error::b ##[error]c"},
                ],
            }
        ],
    )
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "x\n::error::y.yaml").write_text(one())
    runs = [
        command("validate", str(folder)),
        command("plan", "--output", output, str(folder)),
        command("apply", "-y", "--allow-destroy", "--prune", "--output", output, str(folder)),
    ]
    (folder / "x\n::error::y.yaml").write_text("version: 1\nstack: Bad\n")
    runs.append(command("validate", str(folder)))
    for ran in runs:
        assert commands_in(ran.stdout + ran.stderr) == []
    assert runs[-1].code == 1
