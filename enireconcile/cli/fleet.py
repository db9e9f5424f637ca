"""The commands of ``fleet``: all units of a fleet file. What they do is in ``enireconcile.fleet``, loaded late."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from enireconcile.cli import options as opt
from enireconcile.cli.command import Conflict, Group

if TYPE_CHECKING:
    from enireconcile.fleet.run import Choice

F = TypeVar("F", bound=Callable[..., Any])
_INDEXES = ("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX")
"""Where Kubernetes and AWS Batch say which part of an array a job is, counted from 0."""


@click.group(cls=Group)
def fleet() -> None:
    """Plan, apply and verify many stacks: accounts, Regions and specs.

    FLEET is a file that says which accounts and Regions have which specs. Each combination is a unit,
    ACCOUNT/REGION/SPEC, a stack of its own.
    """


def _shard(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    """``2/4``; in an array job ``/4`` or ``4``, with the index from its environment."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d{1,6})?/)?(\d{1,6})", text)
    if match is None:
        raise click.BadParameter(f"{text!r}: write I/N, for example 2/4, or /4 in an array job")
    count = int(match[2])
    if count == 0:
        raise click.BadParameter(f"{text!r}: there must be one part at least: write 1/1")
    if match[1] is not None:
        index, source = int(match[1]), ""
    else:
        name = next((name for name in _INDEXES if name in os.environ), None)
        if name is None:
            raise click.BadParameter(f"{text!r} needs {' or '.join(_INDEXES)} in the environment: write I/N")
        if not re.fullmatch(r"\d{1,6}", os.environ[name]):
            raise click.BadParameter(f"{text!r} needs a number in {name}, not {os.environ[name]!r}: write I/N")
        index, source = int(os.environ[name]) + 1, f" ({name} is {os.environ[name]})"
    if not 1 <= index <= count:
        parts = f"the first is 1/{count}, the last {count}/{count}"
        raise click.BadParameter(f"{text!r}: there is no part {index} of {count}{source}; {parts}")
    from enireconcile.fleet.units import Shard

    return Shard(index, count)


def _portion(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    from enireconcile.fleet.file import portion

    try:
        return portion(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}: for example 5% or 3") from None


def _scheduler(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    if url is None:
        return None
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port:
            return url
    raise click.BadParameter(f"{url!r}: write tls://HOST:PORT, or tcp://127.0.0.1:PORT for one on this machine")


_choosing = opt.all_of(
    click.argument("file", metavar="FLEET", type=click.Path(readable=False)),
    click.option(
        "--only",
        multiple=True,
        metavar="PATTERN",
        help="Only the units that match, e.g. 'prod-*/us-east-1/*'. Repeatable.",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        callback=_shard,
        help="Only part I of N; the first is 1/N. /N takes I from the index of a Kubernetes or AWS Batch job. "
        "Units of one account and Region stay together.",
    ),
    click.option("--refresh", is_flag=True, help="Read the accounts of the organization again."),
)


def _chosen(command: F) -> F:
    """FLEET and the options that choose units. The command gets ``file`` and ``choice``."""

    @functools.wraps(command)
    def with_choice(file: str, only: tuple[str, ...], shard: Any, refresh: bool, **options: Any) -> Any:
        opt.refuse_one_file_for_two([file], options)
        from enireconcile.fleet.run import Choice

        return command(file, Choice(only, shard, refresh), **options)

    return _choosing(with_choice)  # type: ignore[return-value]


_running = opt.all_of(
    click.option(
        "--jobs",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Units at the same time; one in an account and Region.  [default: 2 a CPU]",
    ),
    click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Processes of this machine, or a Dask cluster.",
    ),
    click.option(
        "--scheduler", metavar="URL", callback=_scheduler, help="Dask's scheduler, e.g. tls://dask.internal:8786."
    ),
    opt.outlet("--report", "the report", "Write the JSON report to this file, whatever the outcome."),
    opt.outlet("--metrics", "the metrics", "Write Prometheus metrics of this run to this file."),
    opt.output(),
)
"""The options of commands that run units."""
_CONFLICTS = [Conflict("engine", ["scheduler"], "--scheduler is for --engine dask only.", allowed="dask")]


@fleet.command(examples=["enireconcile fleet validate fleet.yaml"])
@_chosen
@opt.output()
def validate(file: str, choice: Choice, output: str) -> int:
    """Check the fleet file and all specs, as each of their units reads them."""
    from enireconcile.fleet import run

    return run.validate(file, choice, output)


@fleet.command(examples=["enireconcile fleet units --output json fleet.yaml"])
@_chosen
@opt.output()
def units(file: str, choice: Choice, output: str) -> int:
    """List the units: their accounts, Regions and stacks."""
    from enireconcile.fleet import run

    return run.units(file, choice, output)


@fleet.command(
    examples=["enireconcile fleet plan fleet.yaml", "enireconcile fleet plan --only 'prod-*/*/*' fleet.yaml"],
    exits=[3, 5],
    conflicts=_CONFLICTS,
)
@_chosen
@_running
def plan(file: str, choice: Choice, **options: Any) -> int:
    """Show which units would change, and how. Changes nothing.

    The exit code is the worst of the units'.
    """
    return _run("plan", file, choice, options)


@fleet.command(
    examples=[
        "enireconcile fleet apply fleet.yaml",
        "enireconcile fleet apply -y --stop-at 5% --report run.json fleet.yaml",
    ],
    exits=[3, 4, 5],
    conflicts=_CONFLICTS,
)
@_chosen
@opt.auto_approve
@click.option("--allow-destroy", is_flag=True, help="Allow steps that terminate, release or delete.")
@click.option(
    "--max-changes", type=click.IntRange(0), metavar="N", help="Refuse a unit that changes more than N resources."
)
@click.option(
    "--stop-at",
    metavar="P",
    callback=_portion,
    help="Begin no further unit when so many are failed, partial or lost: 5% of all, or 3. Overrides the file.",
)
@opt.waits_for_lock("30s")
@_running
def apply(file: str, choice: Choice, **options: Any) -> int:
    """Apply all units, in the waves of the file.

    A unit that fails costs itself alone, unless stop_at says otherwise. The exit code is the worst of the units':
    1 means that a unit failed, of which nothing was changed.
    """
    return _run("apply", file, choice, options)


@fleet.command(examples=["enireconcile fleet verify fleet.yaml"], exits=[3, 5, 6], conflicts=_CONFLICTS)
@_chosen
@_running
def verify(file: str, choice: Choice, **options: Any) -> int:
    """Run the checks of all units from this machine. Changes nothing.

    The exit code is the worst of the units'.
    """
    return _run("verify", file, choice, options)


@fleet.command(examples=["enireconcile fleet unlock --only prod-a/us-east-1/edge fleet.yaml"], exits=[3, 4])
@_chosen
@opt.auto_approve
@click.option("--force", is_flag=True, help="Also remove the lock in S3 of a run that seems to be alive.")
def unlock(file: str, choice: Choice, auto_approve: bool, force: bool) -> int:
    """Show the locks of units, and remove those that are stale."""
    from enireconcile.fleet import run

    return run.unlock(file, choice, auto_approve=auto_approve, force=force)


def _run(command: str, file: str, choice: Choice, options: dict[str, Any]) -> int:
    if options["engine"] == "dask" and options["scheduler"] is None:
        raise click.UsageError("--engine dask needs --scheduler tls://HOST:PORT")
    from enireconcile.fleet.run import RunOptions, run

    return run(file, command, choice, RunOptions(**options))
