"""What all commands share: help at 80 columns with options in groups, options from the environment, suggestions.

An option is in the same group of every command, and has the same environment variable: ``--max-changes`` is
``ENIRECONCILE_MAX_CHANGES``. One whose meaning depends on the command has a variable for each: ``--format`` of
``guest`` is ``ENIRECONCILE_GUEST_FORMAT``. A variable is set for all commands of a shell, so where it contradicts
the command line, it is dropped. Loads no AWS code.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import click
from click.core import ParameterSource

from enireconcile.likeness import closest
from enireconcile.printable import printable

WIDTH = 80
PREFIX = "ENIRECONCILE_"
GROUPS: Mapping[str, Sequence[str]] = {
    "Approval": ("--auto-approve", "--allow-destroy", "--max-changes", "--force"),
    "Resources": (
        *("--stack", "--instance", "--vpc", "--tag"),
        *("--subnet", "--instance-type", "--interfaces", "--elastic-ips", "--open"),
    ),
    "Spec": ("--var", "--var-file"),
    "Fleet": ("--only", "--shard", "--stop-at", "--engine", "--scheduler", "--refresh"),
    "Plan": ("--plan", "--target", "--prune", "--destroy", "--who", "--detailed-exitcode", "--verify"),
    "Policy": ("--read-only", "--no-destroy", "--also"),
    "Picture": ("--live",),
    "Guest": ("--backend", "--published-ports"),
    "Endpoint": ("--port", "--lab"),
    "Time": ("--interval", "--timeout", "--settle-timeout", "--lock-timeout", "--jitter"),
    "AWS": ("--account-id", "--region", "--profile", "--parallelism", "--jobs"),
    "Files": ("--no-input", "--out", "--report", "--html", "--graph", "--metrics", "--state", "--user-data"),
    "Messages": ("--notify", "--notify-all"),
    "Output": ("--output", "--format", "--get", "--quiet", "--verbose", "--log-format", "--help"),
}
"""The groups of options in the order of the help text, and their options."""
OF_OTHER_TOOLS: Mapping[str, str] = {
    "dry-run": "`enireconcile plan` shows what apply would do, and changes nothing",
    "check": "`enireconcile plan` shows what apply would do, and changes nothing",
    "yes": "write -y",
    "json": "write --output json",
    "force": "write -y, with --allow-destroy where something is to be deleted",
}
"""Options of other tools, and what to write instead."""
OWN_VARIABLES: Mapping[str, Sequence[str]] = {
    "--format": ("graph", "guest"),
    "--out": ("init", "plan", "guest"),
    "--region": ("import-terraform",),
    "--stack": ("init", "export"),
    "--vpc": ("init", "export"),
}
"""Options that mean something else in these commands, which have a variable of their own for them."""
OTHER = "Other options"
COMMANDS: Mapping[str, Sequence[str]] = {
    "A first spec": ("init", "export", "import-terraform"),
    "Every day": ("validate", "plan", "apply", "destroy", "show", "graph", "explain", "verify", "watch", "fleet"),
    "Setup": ("guest", "iam-policy", "schema", "sandbox", "unlock", "version", "help"),
}
"""The sections of the list of commands, in its order."""
EXIT_CODES: Mapping[int, str] = {
    0: "done, or nothing to do",
    1: "an error; nothing was changed",
    2: "with --detailed-exitcode: there are changes",
    3: "refused by a guard, or not approved; nothing was changed",
    4: "another run holds the lock of the stack",
    5: "stopped before it converged; running it again is safe",
    6: "a check failed",
    64: "wrong usage of the command line",
}
_ALWAYS = (0, 1, 64)
_START = """\
Usage: enireconcile COMMAND [OPTIONS] [SPEC...]

  enireconcile init              Write a first spec.
  enireconcile plan web.yaml     Show what apply would do.
  enireconcile apply web.yaml    Do it, after a question.
  enireconcile help              List all commands; help COMMAND explains one."""


def flag(option: click.Parameter) -> str:
    """The long name of an option: ``--auto-approve``."""
    return next(name for name in option.opts if name.startswith("--"))


def variable(option: click.Parameter, command: str) -> str:
    """The environment variable of an option of a command: ``ENIRECONCILE_AUTO_APPROVE``."""
    own = f"{command}-" if command in OWN_VARIABLES.get(flag(option), ()) else ""
    return PREFIX + (own + flag(option).removeprefix("--")).replace("-", "_").upper()


def from_environment(ctx: click.Context) -> frozenset[str]:
    """The parameters that a variable of the environment sets, by their names."""
    names = (param.name or "" for param in ctx.command.params)
    return frozenset(name for name in names if ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT)


class Conflict(NamedTuple):
    """Parameters that cannot be combined, by their names: ``option`` with any of ``others``.

    If ``option`` has the value ``allowed`` (None: if it is not given), they can.
    """

    option: str
    others: Sequence[str]
    message: str
    allowed: str | None = None

    def settle(self, ctx: click.Context) -> None:
        """Drop variables that contradict the command line; of two variables, that of ``option`` is kept.

        Raises UsageError if the command line contradicts itself.
        """
        if self._holds(ctx):
            variables = from_environment(ctx)
            typed = any(ctx.params[name] and name not in variables for name in self.others)
            for name in variables.intersection([self.option] if typed else self.others):
                _drop(ctx, name)
            if self._holds(ctx):
                raise click.UsageError(self.message, ctx)

    def _holds(self, ctx: click.Context) -> bool:
        return (ctx.params[self.option] or None) != self.allowed and any(ctx.params[name] for name in self.others)


def _drop(ctx: click.Context, name: str) -> None:
    """Give a parameter its default."""
    [param] = [param for param in ctx.command.params if param.name == name]
    default = param.get_default(ctx)
    # Without a default, click has a marker of its own.
    ctx.params[name] = param.process_value(ctx, default if isinstance(default, str | int | tuple) else None)
    ctx.set_parameter_source(name, ParameterSource.DEFAULT)


def grouped(options: Sequence[click.Option]) -> Iterator[tuple[str, list[click.Option]]]:
    """The groups that have some of these options, each in its order; those of no group come last."""
    rest = {flag(option): option for option in options}
    for title, names in GROUPS.items():
        if found := [rest.pop(name) for name in names if name in rest]:
            yield title, found
    if rest:
        yield OTHER, list(rest.values())


class Command(click.Command):
    """A command whose help text ends with ``examples`` and with the exit codes ``exits``, beside 0, 1 and 64.

    ``conflicts`` are combinations of its options that it refuses. ``by_name`` is what to write instead of a name,
    where a command takes no arguments.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        exits: Sequence[int] = (),
        conflicts: Sequence[Conflict] = (),
        by_name: Callable[[str], str] | None = None,
        **settings: Any,
    ) -> None:
        self.by_name = by_name
        if by_name is not None:
            settings["context_settings"] = {"allow_extra_args": True}
        super().__init__(*args, **settings)
        self.examples, self.exits = tuple(examples), tuple(sorted({*_ALWAYS, *exits}))
        self.conflicts = tuple(conflicts)
        for option in self.options:
            option.envvar = variable(option, self.name or "")

    @property
    def options(self) -> list[click.Option]:
        """All but ``--help``."""
        return [param for param in self.params if isinstance(param, click.Option)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            with _variables_named(ctx):
                rest = super().parse_args(ctx, args)
                if rest and self.by_name is not None and not ctx.resilient_parsing:
                    raise click.UsageError(
                        f"Got unexpected extra argument ({rest[0]}): {self.by_name(rest[0])}", ctx
                    )
                for conflict in () if ctx.resilient_parsing else self.conflicts:
                    conflict.settle(ctx)
                return rest
        except click.NoSuchOption as error:
            if instead := OF_OTHER_TOOLS.get(error.option_name.lstrip("-")):
                raise click.UsageError(f"No such option {error.option_name}: {instead}.", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        with _variables_named(ctx):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, group in grouped(options):
            records = [record for option in group if (record := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), EXIT_CODES[code]) for code in self.exits])
        if self.options:
            _, (example, *_) = next(grouped(self.options))
            formatter.write_paragraph()
            formatter.write_text(
                f"Each option can be set in the environment, too: {flag(example)} as {example.envvar}."
            )


class _Start(click.UsageError):
    """No arguments at all: what to type first."""

    def show(self, file: Any = None) -> None:
        click.echo(_START, file=file, err=True)


class Group(click.Group):
    """A group that lists its commands by section, and suggests what is nearest to an unknown one."""

    command_class = Command
    group_class = type

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and ctx.parent is None and not ctx.resilient_parsing:
            raise _Start("", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        return self._refuse(ctx, name)

    def _refuse(self, ctx: click.Context, name: str) -> NoReturn:
        shown = shlex.quote(printable(name))
        if name.endswith((".yaml", ".yml", "/")) or os.path.lexists(name):
            ctx.fail(f"{shown} is not a command. Did you mean `{ctx.command_path} plan {shown}`?")
        near = closest(name, self.commands)
        hint = f"Did you mean `{ctx.command_path} {near}`?" if near else "The help lists the commands."
        ctx.fail(f"There is no command {shown}. {hint}")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the definitions."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rest = {name: command for name, command in self.commands.items() if not command.hidden}
        width = max(map(len, rest))
        sections = [
            (title, [(name, rest.pop(name)) for name in names if name in rest])
            for title, names in (COMMANDS.items() if ctx.parent is None else ())
        ]
        for title, commands in [*sections, ("Commands", list(rest.items()))]:
            if commands:
                with formatter.section(title):
                    formatter.write_dl(
                        [(f"{name:{width}}", command.get_short_help_str(WIDTH * 2)) for name, command in commands]
                    )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} COMMAND --help explains a command, with examples.")


def help_of(ctx: click.Context, path: Sequence[str]) -> str:
    """The help of a command, by its path below the command of ``ctx``. Raises UsageError if there is none."""
    command = ctx.command
    for name in path:
        if not isinstance(command, click.Group):
            ctx.fail(f"{ctx.command_path} has no commands of its own.")
        _, found, _ = command.resolve_command(ctx, [name])
        command = found or command
        ctx = click.Context(command, info_name=name, parent=ctx)
    return command.get_help(ctx)


def commands_for(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For the completion of shells: the commands that begin like this."""
    root = ctx.find_root().command
    return [name for name in getattr(root, "commands", ()) if name.startswith(incomplete)]


@contextmanager
def _variables_named(ctx: click.Context) -> Iterator[None]:
    """A usage error names the environment variables that values came from: the command line does not show them."""
    try:
        yield
    except click.UsageError as error:
        wrong = error.param if isinstance(error, click.BadParameter) else None
        given = [
            param
            for param in ctx.command.params
            if param.name in from_environment(ctx) and (param is wrong if wrong else flag(param) in error.message)
        ]
        if given:
            error.add_note(f"the environment sets {', '.join(str(param.envvar) for param in given)}")
        raise
