"""Completion, called as bash, zsh and fish call it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from enireconcile.cli.app import main
from tests.docs.console import ROOT

SPEC = str(ROOT / "specs" / "firewall-pair.yaml")
Completed = Callable[..., list[str]]


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Completed:
    """The candidates for the last word, as a shell reads them."""

    def complete(*words: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("_ENIRECONCILE_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["enireconcile", *words]))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
        with pytest.raises(SystemExit):
            main([])
        captured = capsys.readouterr()
        assert captured.err == ""
        return [line for line in captured.out.splitlines() if line]

    return complete


def test_commands_options_and_values(completed: Completed) -> None:
    assert completed("pl") == ["plain,plan"]
    assert "plain,--auto-approve" in completed("apply", "--a")
    assert completed("plan", "--output", "") == ["plain,text", "plain,json", "plain,markdown"]
    assert completed("help", "destr") == ["plain,destroy"]


def test_a_spec_is_a_file(completed: Completed) -> None:
    """The shell completes files and directories itself; so for --var-file, --out and --report."""
    for words in (("plan", ""), ("apply", "-y", "web"), ("plan", "--var-file", ""), ("apply", "--report", "r")):
        assert completed(*words) == [f"file,{words[-1]}"]


def test_targets_are_those_of_the_spec(completed: Completed) -> None:
    """With the rows of for_each; nothing if there is no spec yet, or none that can be read."""
    assert completed("plan", SPEC, "--target", "elastic_ips.") == [
        f"plain,elastic_ips.{name}" for name in ("fw-a", "fw-b", "service")
    ]
    more = (
        "apply",
        "--var",
        "operators=10.0.0.0/8",
        SPEC,
        "--target",
        "elastic_ips.service",
        "--target",
        "instances.",
    )
    assert completed(*more) == ["plain,instances.fw-a", "plain,instances.fw-b"]
    assert completed("plan", "--target", "elastic") == []
    assert completed("plan", "no-such.yaml", "--target", "elastic") == []


def test_what_explain_is_asked_is_a_resource_or_another_spec(completed: Completed) -> None:
    found = [f"plain,elastic_ips.{name}" for name in ("fw-a", "fw-b", "service")]
    assert completed("explain", SPEC, "elastic_ips.") == ["file,elastic_ips.", *found]
    assert completed("explain", SPEC, SPEC, "elastic_ips.fw-a")[:2] == ["file,elastic_ips.fw-a", found[0]]
    assert completed("explain", "firew") == ["file,firew"]


def test_what_show_gets_is_an_attribute_of_a_resource(completed: Completed) -> None:
    names = ("id", "public_ip", "private_ip", "network_interface", "instance")
    found = [f"plain,elastic_ips.{name}.{each}" for name in ("fw-a", "fw-b", "service") for each in names]
    assert completed("show", SPEC, "--get", "ela") == found
    assert completed("show", SPEC, "--get", "elastic_ips.fw-a.p") == found[1:3]
    assert completed("show", SPEC, "--get", "elastic_ips.nothing.p") == []


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_zsh_and_fish(completed: Completed, name: str) -> None:
    """Candidates with their words, in the formats of these shells."""
    found = " ".join(completed("schem", shell=name))
    assert re.match(r"plain[ ,]schema\s+Print the JSON Schema", found)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_the_docs_source(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Valid by the shell's own reader, where it is installed."""
    monkeypatch.setenv("_ENIRECONCILE_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit):
        main([])
    script = capsys.readouterr().out
    assert f"_ENIRECONCILE_COMPLETE={shell}_complete" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path: Path) -> None:
    """What the docs say to source defines a function that fills COMPREPLY."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    [setup] = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    program = tmp_path / "enireconcile"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m enireconcile "$@"\n')
    program.chmod(0o700)
    ask = """
complete -p enireconcile
COMP_WORDS=(enireconcile plan --det)
COMP_CWORD=2
_enireconcile_completion enireconcile
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "--norc", "-c", setup + ask], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "complete -o nosort -F _enireconcile_completion enireconcile",
        "--detailed-exitcode",
    ]
