"""Help, suggestions and environment variables, of every command."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from enireconcile.cli.app import cli, main
from enireconcile.cli.command import (
    COMMANDS,
    EXIT_CODES,
    GROUPS,
    OTHER,
    PREFIX,
    WIDTH,
    Command,
    flag,
    grouped,
    variable,
)
from tests.docs.reference import commands
from tests.harness import STORY

SPEC = str(STORY)


ALL: Mapping[str, Command] = dict(commands())
every_command = pytest.mark.parametrize("name", ALL)
Ended = Callable[..., tuple[int, str]]


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str]) -> Ended:
    """Exit code and stderr of a command line that prints nothing on stdout."""

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(args)
        captured = capsys.readouterr()
        assert captured.out == ""
        return int(stopped.value.code or 0), captured.err

    return run


def _help(*args: str, columns: int = 200) -> str:
    shown = CliRunner(env={"COLUMNS": str(columns)}).invoke(cli, [*args, "--help"], prog_name="enireconcile")
    assert shown.exit_code == 0
    return shown.output


@every_command
def test_help_fits_into_80_columns(name: str) -> None:
    """However wide the terminal is: it is pasted into tickets."""
    assert [line for line in _help(*name.split()).splitlines() if len(line) > WIDTH] == []


def test_every_option_has_a_group_and_every_command_a_section() -> None:
    """One without is shown at the end of the help; this test asks for its place in enireconcile/cli/command.py."""
    homeless = {
        flag(option)
        for command in ALL.values()
        for title, options in grouped(command.options)
        if title == OTHER
        for option in options
    }
    assert homeless == set()
    assert set(cli.commands) - {name for names in COMMANDS.values() for name in names} == set()


def test_groups_name_nothing_that_is_not() -> None:
    known = {flag(option) for command in ALL.values() for option in command.options} | {"--help"}
    listed = [name for names in GROUPS.values() for name in names]
    assert (set(listed) - known, len(set(listed))) == (set(), len(listed))
    assert {name for names in COMMANDS.values() for name in names} - set(cli.commands) == set()


def test_an_option_without_a_group_is_shown_all_the_same() -> None:
    command = Command("new", params=[click.Option(["--wait"], help="Wait."), click.Option(["--region"])])
    shown = CliRunner().invoke(command, ["--help"]).output
    assert shown.index("AWS:") < shown.index("Other options:\n  --wait TEXT  Wait.")


@every_command
def test_approval_is_the_first_option(name: str) -> None:
    options = [title for title, _ in grouped(ALL[name].options)]
    approved = any(flag(option) == "--auto-approve" for option in ALL[name].options)
    assert not approved or options[0] == "Approval"
    assert not approved or "Approval:\n  -y, --auto-approve" in _help(*name.split())


@every_command
def test_examples_are_command_lines(name: str) -> None:
    """Each begins with the command, and has only options that exist. The help shows them and the exit codes."""
    assert ALL[name].examples
    text = _help(*name.split())
    for example in ALL[name].examples:
        assert f"  {example}\n" in text
        words = shlex.split(example)
        assert " ".join(words[1:]).startswith(name), example
        own = [word for word in words[: words.index("--") if "--" in words else None] if word.startswith("-")]
        known = {option for command in ALL.values() for param in command.params for option in param.opts}
        assert set(own) <= known, example
    assert all(
        f"\n  {code:<2}  {words}\n" in text for code, words in EXIT_CODES.items() if code in ALL[name].exits
    )


def test_no_arguments_at_all(ended: Ended) -> None:
    """A short help says what to type, and fits on any screen."""
    code, shown = ended()
    assert code == 64
    assert "enireconcile plan web.yaml" in shown
    assert len(shown.splitlines()) < 10


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("web.yaml",), "Did you mean `enireconcile plan web.yaml`?"),
        (("my web.yml", "-y"), "Did you mean `enireconcile plan 'my web.yml'`?"),
        ((SPEC,), f"Did you mean `enireconcile plan {SPEC}`?"),
        (("aply", SPEC), "Did you mean `enireconcile apply`?"),
        (("frobnicate",), "enireconcile --help"),
        (("a" * 5000,), "There is no command"),
        (("\x1b[31m.yaml",), r"enireconcile plan '\x1b[31m.yaml'"),
        (("plan", "--detailed-exit-code", SPEC), "--detailed-exitcode"),
        (("apply", "--auto-aprove", SPEC), "--auto-approve"),
    ],
)
def test_what_is_nearest_is_suggested(ended: Ended, args: tuple[str, ...], hint: str) -> None:
    code, shown = ended(*args)
    assert code == 64
    assert hint in shown


def test_help_explains_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``help COMMAND`` is ``COMMAND --help``; of one that is unknown, the nearest."""

    def shown(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(args)
        return int(ended.value.code or 0), *capsys.readouterr()

    assert shown("help") == shown("--help")
    assert shown("help", "apply") == shown("apply", "--help")
    assert shown("help", "apply")[1].startswith("Usage: enireconcile apply [OPTIONS]")
    assert "Did you mean `enireconcile apply`?" in shown("help", "aply")[2]
    assert shown("help", "plan", "more")[0] == 64


# The environment


@every_command
def test_an_option_has_one_variable_whatever_the_command(name: str) -> None:
    for option in ALL[name].options:
        assert option.envvar == variable(option) == PREFIX + flag(option)[2:].upper().replace("-", "_")


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (("apply", SPEC), "ENIRECONCILE_MAX_CHANGES", "ten"),
        (("plan", SPEC), "ENIRECONCILE_PRUNE", "maybe"),
        (("show", SPEC), "ENIRECONCILE_OUTPUT", "markdown"),
        (("plan", SPEC), "ENIRECONCILE_VAR", "novalue"),
        (("apply", "--plan", "saved.plan"), "ENIRECONCILE_REGION", "eu-west-1"),
    ],
)
def test_a_wrong_value_names_its_variable(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], name: str, value: str
) -> None:
    """Also if only the combination with the command line is wrong."""
    monkeypatch.setenv(name, value)
    code, shown = ended(*args)
    assert code == 64
    assert f"hint: the environment sets {name}\n" in shown


def test_the_command_line_wins_and_is_not_blamed_on_the_environment(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENIRECONCILE_MAX_CHANGES", "3")
    monkeypatch.setenv("ENIRECONCILE_PRUNE", "yes")
    code, shown = ended("apply", "--max-changes", "ten", SPEC)
    assert (code, "environment" in shown) == (64, False)


def test_a_secret_from_the_environment_is_not_quoted(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENIRECONCILE_NOTIFY", "ftp://hooks.example.com/secret")
    code, shown = ended("apply", SPEC)
    assert (code, "secret" in shown) == (64, False)
    assert "ENIRECONCILE_NOTIFY" in shown


def test_values_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Flags, counts, durations and repeatable options; an empty variable is none."""
    seen: dict[str, object] = {}
    command = Command(
        "try",
        params=[param for param in ALL["apply"].params if param.name != "specs"],
        callback=lambda **values: seen.update(values),
    )
    for name, value in {
        "AUTO_APPROVE": "1",
        "ALLOW_DESTROY": "false",
        "PRUNE": "",
        "VAR": "a=1 b=2",
        "TARGET": "elastic_ips.a elastic_ips.b",
        "TIMEOUT": "2m",
        "STATE": str(tmp_path),
        "VERBOSE": "0",
        "REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert CliRunner().invoke(command, ["--region", "us-east-1"]).exit_code == 0
    assert seen["auto_approve"] is True
    assert (seen["allow_destroy"], seen["prune"]) == (False, False)
    assert seen["variables"] == (("a", "1"), ("b", "2"))
    assert seen["targets"] == ("elastic_ips.a", "elastic_ips.b")
    assert (seen["timeout"], seen["state"], seen["region"]) == (120.0, str(tmp_path), "us-east-1")


def test_approval_by_the_environment_is_told_where_a_question_is_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal only: cron sends a mail for every line."""
    monkeypatch.setenv("ENIRECONCILE_AUTO_APPROVE", "1")
    warnings = []
    for terminal in (True, False):
        monkeypatch.setattr("sys.stdin", Terminal(terminal))
        with pytest.raises(SystemExit):
            main(["apply", "no-such.yaml"])
        warnings.append("ENIRECONCILE_AUTO_APPROVE is set: no question is asked" in capsys.readouterr().err)
    assert warnings == [True, False]


class Terminal(io.StringIO):
    """A stdin that may say that it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]
