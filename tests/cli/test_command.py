"""Help, suggestions and environment variables, of every command."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import click
import pytest
from click.testing import CliRunner

from enireconcile.cli.app import cli, main
from enireconcile.cli.command import (
    COMMANDS,
    EXIT_CODES,
    GROUPS,
    OTHER,
    OWN_VARIABLES,
    PREFIX,
    WIDTH,
    Command,
    flag,
    from_environment,
    grouped,
)
from enireconcile.cli.init import Given, answered
from enireconcile.outputs import logs
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
    """One that means something else in another command has one for each."""
    for option in ALL[name].options:
        short = flag(option)[2:].upper().replace("-", "_")
        own = f"{name}_".upper().replace("-", "_") if name in OWN_VARIABLES.get(flag(option), ()) else ""
        assert option.envvar == PREFIX + own + short


VALUES: Mapping[str, Sequence[str]] = {
    "--account-id": ["123456789012"],
    "--also": ["arn:aws:iam::123456789012:role/web"],
    "--get": ["elastic_ips.web.public_ip"],
    "--instance": ["i-0123456789abcdef0"],
    "--instance-type": ["t3.micro"],
    "--only": ["prod-*/*/*"],
    "--open": ["80", "eth1:443"],
    "--profile": ["ops"],
    "--region": ["us-east-1", "eu-west-1"],
    "--scheduler": ["tcp://127.0.0.1:8786"],
    "--shard": ["1/2"],
    "--stack": ["web"],
    "--state": ["folder", "s3://bucket/prefix"],
    "--stop-at": ["5%"],
    "--subnet": ["us-east-1a", "eu-west-1b", "lab-a"],
    "--tag": ["Role=web"],
    "--target": ["elastic_ips.web"],
    "--var": ["size=t3.micro"],
    "--notify": ["https://hooks.example.com/x"],
}
"""What an option takes, beside what its type tells."""
NEEDED: Mapping[str, Sequence[str]] = {
    "export": ["--stack", "web"],
    "explain": ["no-such.yaml", "elastic_ips.web"],
    "import-terraform": ["state.json"],
    "schema": [],
    "sandbox": [],
    "init": [],
    "version": [],
    "help": [],
}
"""The rest of a command line that each command needs; absent: one spec."""


def _values(option: click.Option) -> Sequence[str]:
    """Values that an option takes."""
    if isinstance(option.type, click.Choice):
        return list(option.type.choices)
    if option.is_flag or option.count:
        return ["1"]
    if isinstance(option.type, click.IntRange):
        return sorted({str(max(option.type.min or 0, 1)), str(option.type.max or 5)})
    if isinstance(option.type, click.Path):
        return [{"--html": "x.html", "--graph": "x.svg"}.get(flag(option), f"x{flag(option)[1:]}")]
    if option.metavar == "DURATION":
        return ["5m"]
    return VALUES.get(flag(option)) or {"--vpc": ["vpc-0123456789abcdef0"]}[flag(option)]


VARIABLES: Mapping[str, Sequence[str]] = {
    str(option.envvar): sorted(
        {
            value
            for each in ALL.values()
            for one in each.options
            if one.envvar == option.envvar
            for value in _values(one)
        }
    )
    for command in ALL.values()
    for option in command.options
}
"""All variables, with the values that one command or another takes."""


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str | None]:
    """Why a command line is wrong usage while these variables are set; None if it is none.

    Only reads the line: options are checked before a command begins.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "be_verbose", lambda _: None)
    monkeypatch.setattr(logs, "be_quiet", lambda: None)
    monkeypatch.setattr(logs, "use_json", lambda _: None)

    def read(name: str, args: Sequence[str], variables: Mapping[str, str]) -> str | None:
        with patch.dict(os.environ, variables):
            try:
                context = ALL[name].make_context(name, [*args, *NEEDED.get(name, ["no-such.yaml"])])
                if name == "init":
                    given = {key: context.params[key] for key in Given.__annotations__}
                    answered(Given(**given).without(from_environment(context)), asks=False)
            except click.UsageError as error:
                return error.format_message()
        return None

    return read


@every_command
def test_no_variable_that_a_command_takes_breaks_another(name: str, refused: Callable[..., str | None]) -> None:
    """Variables are set for a whole shell, so each command takes all of their values, each alone."""
    wrong = {
        (variable, value): why
        for variable, values in VARIABLES.items()
        for value in values
        if (why := refused(name, [], {variable: value}))
    }
    assert wrong == {}


@every_command
def test_variables_never_contradict_the_command_line(name: str, refused: Callable[..., str | None]) -> None:
    """All variables at once, with one or another of their values, and each option on the command line."""
    wrong = {}
    for option in ALL[name].options:
        for value in _values(option):
            takes_value = not (option.is_flag or option.count)
            typed = [flag(option), *([value] if takes_value else [])]
            if refused(name, typed, {}):
                continue  # needs another option on the command line
            for index in range(2):
                variables = {each: values[index % len(values)] for each, values in VARIABLES.items()}
                if why := refused(name, typed, variables):
                    wrong[*typed, index] = why
    assert wrong == {}


@pytest.mark.parametrize(
    ("args", "variables", "kept"),
    [
        (["apply", "--plan", "x.plan"], {"REGION": "eu-west-1", "PRUNE": "1", "TARGET": "a.b"}, {"plan"}),
        (["apply", "x.yaml"], {"REGION": "eu-west-1", "PLAN": "x.plan"}, {"specs", "region"}),
        (["apply"], {"REGION": "eu-west-1", "PLAN": "x.plan"}, {"plan"}),
        (["plan", "--target", "a.b", "x.yaml"], {"DESTROY": "1"}, {"targets", "specs"}),
        (["plan", "--destroy", "x.yaml"], {"TARGET": "a.b"}, {"destroy", "specs"}),
        (["export", "--tag", "Role=web"], {"EXPORT_STACK": "web", "INSTANCE": "i-0123456789abcdef0"}, {"tags"}),
        (["guest", "--format", "ip", "x.yaml"], {"BACKEND": "netplan"}, {"format", "specs"}),
        (
            ["guest", "x.yaml"],
            {"BACKEND": "netplan", "GUEST_FORMAT": "cloud-init"},
            {"format", "backend", "specs"},
        ),
    ],
)
def test_of_a_contradiction_the_command_line_is_kept(
    monkeypatch: pytest.MonkeyPatch, args: Sequence[str], variables: Mapping[str, str], kept: set[str]
) -> None:
    """And all that does not contradict it."""
    for variable, value in variables.items():
        monkeypatch.setenv(PREFIX + variable, value)
    params = ALL[args[0]].make_context(args[0], list(args[1:])).params
    asked = {
        "plan",
        "specs",
        "region",
        "prune",
        "targets",
        "destroy",
        "stack",
        "instances",
        "tags",
        "format",
        "backend",
    }
    assert {name for name, value in params.items() if name in asked and value} == kept


def test_a_variable_of_the_environment_need_not_be_in_the_spec(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As with Terraform: ENIRECONCILE_VAR and ENIRECONCILE_VAR_FILE are for all specs of a shell, --var is not."""
    (tmp_path / "vars.yaml").write_text("zone: us-east-1a\n")
    monkeypatch.setenv("ENIRECONCILE_VAR_FILE", str(tmp_path / "vars.yaml"))
    ends = []
    for args, variable in (([], "size=t3.micro"), (["--var", "size=t3.micro"], "")):
        monkeypatch.setenv("ENIRECONCILE_VAR", variable)
        with pytest.raises(SystemExit) as ended:
            main(["validate", *args, SPEC])
        ends.append((ended.value.code, capsys.readouterr().err))
    assert ends[0] == (0, "")
    assert ends[1][0] == 1
    assert "size" in ends[1][1]
    assert "zone" not in ends[1][1]


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (("apply", SPEC), "ENIRECONCILE_MAX_CHANGES", "ten"),
        (("plan", SPEC), "ENIRECONCILE_PRUNE", "maybe"),
        (("show", SPEC), "ENIRECONCILE_OUTPUT", "xml"),
        (("plan", SPEC), "ENIRECONCILE_VAR", "novalue"),
    ],
)
def test_a_wrong_value_names_its_variable(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], name: str, value: str
) -> None:
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
