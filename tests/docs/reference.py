"""The table of options in docs/reference/cli.md, made from the commands.

``python -m tests.docs.reference`` says whether it is up to date; ``--write`` updates it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from enireconcile.cli.app import cli
from enireconcile.cli.command import Command, flag, grouped
from tests.docs.console import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"
BEGIN, END = "<!-- begin of the options -->\n", "<!-- end of the options -->\n"


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, Command]]:
    """All commands by their path, those of groups in groups included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        elif isinstance(command, Command):
            yield f"{path}{name}", command


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by all their names; of a group, those of its commands."""
    if isinstance(command, click.Group):
        return {name: option for each in command.commands.values() for name, option in options_of(each).items()}
    found = [param for param in command.params if isinstance(param, click.Option)]
    return {name: option for option in found for name in (*option.opts, *option.secondary_opts)}


def options() -> str:
    """A table for each group of options; a row for each meaning and variable, with the commands that have it."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    first: dict[str, click.Option] = {}
    for name, command in commands():
        for option in command.options:
            first.setdefault(flag(option), option)
            rows.setdefault((flag(option), _usage(option), str(option.envvar), _meaning(option)), []).append(
                f"`{name}`"
            )
    tables = []
    for title, group in grouped(list(first.values())):
        lines = [
            f"| {usage} | `{named}` | {meaning} | {', '.join(names)} |"
            for option in group
            for (found, usage, named, meaning), names in rows.items()
            if found == flag(option)
        ]
        tables.append(
            "\n".join(
                [f"**{title}**\n", "| option | variable | meaning | commands |", "|---|---|---|---|", *lines]
            )
        )
    return "\n\n".join(tables) + "\n"


def _usage(option: click.Option) -> str:
    names = sorted([*option.opts, *option.secondary_opts], key=len)
    takes_value = not (option.is_flag or option.count)
    value = (
        ""
        if not takes_value or isinstance(option.type, click.Choice)
        else f" {option.metavar or _metavar(option)}"
    )
    return ", ".join(f"`{name}{value if name.startswith('--') else ''}`" for name in names).replace("|", "\\|")


def _metavar(option: click.Option) -> str:
    return option.make_metavar(click.Context(click.Command("")))


def _meaning(option: click.Option) -> str:
    words = (option.help or "").replace("|", "\\|")
    if isinstance(option.type, click.Choice):
        words += f" One of {', '.join(f'`{choice}`' for choice in option.type.choices)}."
    if option.show_default:
        words += f" Default: `{option.default}`."
    return words


def main(arguments: list[str]) -> int:
    """0 if the table is up to date or was written, else 1."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n{options()}\n{END}{after}"
    if "--write" in arguments:
        PAGE.write_text(new, encoding="utf-8")
    elif new != text:
        print("docs/reference/cli.md: the options are out of date")  # noqa: T201 - this is the program's answer
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
