"""``import-terraform`` as a user meets it: a spec on stdout, what Terraform has to forget on stderr, no AWS."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from enireconcile.cli import import_terraform
from tests.export.terraform.states import EIP, address, instance, resource, state
from tests.processes.test_cli import Run, command

__all__ = ["command"]

KEYED = address('aws_eip.it["it\'s"]')


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any call would fail."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


def written(folder: Path, content: Any) -> str:
    path = folder / "shop.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_spec_and_what_to_forget(command: Run, tmp_path: Path) -> None:
    """The spec alone is on stdout, and valid; the lines on stderr are a shell's."""
    ran = command("import-terraform", written(tmp_path, state(KEYED, resource("aws_s3_bucket.logs"))))
    assert ran.code == 0
    assert ran.stdout.startswith(
        "# What exists of the Terraform state shop.json in us-east-1.\nversion: 1\nstack: shop"
    )
    spec = tmp_path / "shop.yaml"
    spec.write_text(ran.stdout, encoding="utf-8")
    assert command("validate", str(spec)).code == 0
    note, blank, *words, line = ran.stderr.splitlines()
    assert note == "note: stays in Terraform: aws_s3_bucket: enireconcile does not manage them"
    assert blank == ""
    assert "delete the same resources from the configuration" in " ".join(words)
    assert shlex.split(line) == ["terraform", "state", "rm", 'aws_eip.it["it\'s"]']


def test_from_a_pipe(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO(json.dumps(state(address())).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    ran = command("import-terraform", "-")
    assert ran.code == 0
    assert ran.stdout.startswith("# What exists of a Terraform state in us-east-1.\nversion: 1\nstack: imported")


def test_nothing_to_take_over(command: Run, tmp_path: Path) -> None:
    """Neither where the state has nothing of the kind, nor where it has reasons."""
    path = written(tmp_path, state(resource("aws_s3_bucket.logs", arn="arn:aws:s3:::logs")))
    ran = command("import-terraform", path)
    assert (ran.code, ran.stdout) == (1, "")
    assert "note: stays in Terraform: aws_s3_bucket:" in ran.stderr
    assert (
        f"error: {path}: enireconcile can take over nothing of this state\n  hint: it takes over aws_instance, "
        in ran.stderr
    )
    ran = command("import-terraform", written(tmp_path, state(address("aws_eip.web", {"tainted": True}))))
    assert (ran.code, ran.stdout) == (1, "")
    assert "note: stays in Terraform: aws_eip.web: it is tainted" in ran.stderr


def test_what_is_printed_is_printable(command: Run, tmp_path: Path) -> None:
    """Addresses and tags come from outside: no escape reaches the terminal."""
    evil = "\x1b[2J\u202e"
    taints = {"tainted": True, "address": f'aws_eip.x["{evil}"]', "index": evil}
    ran = command("import-terraform", written(tmp_path, state(address("aws_eip.x", taints), instance(ami=evil))))
    assert ran.code == 0
    assert evil[0] not in ran.stdout + ran.stderr
    assert evil[-1] not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 64, "Missing argument STATE.json: write `terraform show -json | enireconcile import-terraform -`"),
        (("nope.json",), 1, "nope.json: cannot be read: No such file or directory\n  hint: give the file with"),
        ((".",), 1, ".: cannot be read: Is a directory"),
    ],
)
def test_wrong_usage(command: Run, args: tuple[str, ...], code: int, words: str) -> None:
    ran = command("import-terraform", *args)
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr


def test_a_broken_file(command: Run, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"format_version": "1.0",\n "values": {', encoding="utf-8")
    ran = command("import-terraform", str(path))
    assert (ran.code, ran.stdout) == (1, "")
    assert f"error: {path}:2:13: this is not JSON: Expecting property name" in ran.stderr


def test_a_huge_file(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_terraform, "_MOST", 100)
    ran = command("import-terraform", written(tmp_path, state(address())))
    assert (ran.code, ran.stdout) == (1, "")
    assert "cannot be read: larger than 100 bytes" in ran.stderr


def test_several_regions(command: Run, tmp_path: Path) -> None:
    europe = address(
        "aws_eip.eu", id="eipalloc-00000000000000001", arn="arn:aws:ec2:eu-west-1:123456789012:elastic-ip/x"
    )
    path = written(tmp_path, state(address(), europe))
    ran = command("import-terraform", path)
    assert (ran.code, ran.stdout) == (1, "")
    assert "hint: a spec is for one Region: choose it with --region, and write a spec for each" in ran.stderr
    ran = command("import-terraform", path, "--region", "us-east-1", "--account-id", "123456789012")
    assert ran.code == 0
    assert f"adopt: {EIP}" in ran.stdout
    assert "see --region eu-west-1" in ran.stderr
