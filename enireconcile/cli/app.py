"""The command line. Each command imports what it needs when it runs: ``--help`` and ``validate`` load no AWS code.

stdout carries the result, stderr everything else. Exit codes: 0 done, 1 error, 2 changes (plan
--detailed-exitcode), 3 refused by a guard, 4 locked, 5 stopped before converging, 64 wrong usage.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from enireconcile import __version__
from enireconcile.errors import EnireconcileError, GuardError, SpecErrors, internal_error
from enireconcile.outputs import logs

if TYPE_CHECKING:
    from enireconcile.spec import Spec

EXIT_USAGE = 64
EXIT_CHANGES = 2
F = TypeVar("F", bound=Callable[..., Any])


def duration(text: str) -> float:
    """``90``, ``90s``, ``15m`` or ``1h``, as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise click.BadParameter(f"{text!r} is not a duration: write 30s, 15m or 1h")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def _place(text: str) -> str:
    """A directory, or ``s3://bucket/prefix``."""
    if text.startswith("s3://") and not re.fullmatch(
        r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\x21-\x7e]*)?", text
    ):
        raise click.BadParameter(f"{text!r} names no bucket: write s3://bucket/prefix")
    return text


_FILE = click.Path(dir_okay=False, path_type=Path)


def _specs(command: F) -> F:
    return click.argument("specs", nargs=-1, required=True, metavar="SPEC...")(command)


def _be_verbose(_: click.Context, __: click.Parameter, times: int) -> None:
    logs.be_verbose(times)


def _log_format(_: click.Context, __: click.Parameter, name: str) -> None:
    logs.use_json(name == "json")


def _logged(command: F) -> F:
    """What stderr carries."""
    command = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_be_verbose,
        help="Log every call to AWS with its request id; -vv: with its parameters, too.",
    )(command)
    return click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        callback=_log_format,
        help="What stderr carries.",
    )(command)


def _aws(command: F) -> F:
    command = _logged(command)
    parallel = click.IntRange(1, 100)
    command = click.option("--parallelism", type=parallel, default=10, show_default=True, help="Calls at once.")(
        command
    )
    command = click.option("--profile", help="Profile of the AWS configuration; overrides AWS_PROFILE.")(command)
    return click.option("--region", help="AWS Region; overrides the spec's and the environment's.")(command)


def _output(*more: str) -> Callable[[F], F]:
    choice = click.Choice(["text", "json", *more])
    return click.option("--output", type=choice, default="text", show_default=True, help="What stdout carries.")


def _target(command: F) -> F:
    words = "Only this resource and what it needs, e.g. elastic_ips.web.  [repeatable]"
    return click.option("--target", "targets", multiple=True, metavar="ADDRESS", help=words)(command)


def _prune(command: F) -> F:
    words = "Remove what the stack owns and the spec no longer names; without it that is listed and left."
    return click.option("--prune", is_flag=True, help=words)(command)


def _notify(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    """The URL is a secret: errors do not quote it."""
    if url is None:
        return None
    from enireconcile.outputs import webhook

    try:
        webhook.check(url)
    except EnireconcileError as error:
        raise click.BadParameter(str(error)) from None
    return url


_METRICS = click.option(
    "--metrics",
    type=_FILE,
    help="Keep Prometheus metrics of this stack in this file, for node_exporter's textfile collector.",
)
_JITTER = click.option(
    "--jitter",
    type=duration,
    metavar="DURATION",
    default="0s",
    help="Begin after a random part of this time, so that not all of a fleet ask AWS at once.",
)
_STATE = click.option(
    "--state",
    type=_place,
    metavar="DIR|S3",
    envvar="ENIRECONCILE_STATE",
    help="Where lock and journal are: a directory or s3://bucket/prefix.  [default: the user's state directory]",
)
_RUNNING = (
    click.option("-y", "--auto-approve", is_flag=True, help="Do not ask."),
    click.option("--allow-destroy", is_flag=True, help="With -y: also run what deletes, releases or terminates."),
    click.option("--max-changes", type=click.IntRange(0), metavar="N", help="Refuse a plan that changes more."),
    click.option("--report", type=_FILE, help="Write the JSON report here."),
    click.option("--timeout", type=duration, metavar="DURATION", help="Stop after this time, as Ctrl-C does."),
    click.option(
        "--settle-timeout",
        type=duration,
        metavar="DURATION",
        default="30s",
        show_default=True,
        help="How long to look for what an unanswered create may have made, before making it anew.",
    ),
    _METRICS,
    click.option(
        "--notify",
        metavar="URL",
        envvar="ENIRECONCILE_NOTIFY",
        callback=_notify,
        help="Post the report here (https) when something changed or went wrong. The URL is treated as a secret.",
    ),
    click.option("--notify-all", is_flag=True, help="Also when there was nothing to do, or the stack is locked."),
    _STATE,
)


def _running(*, lock_timeout: str = "30s") -> Callable[[F], F]:
    """The options of commands that change things."""
    lock = click.option(
        "--lock-timeout",
        type=duration,
        metavar="DURATION",
        default=lock_timeout,
        show_default=True,
        help="How long to wait for another run.",
    )

    def options(command: F) -> F:
        for option in reversed((*_RUNNING, lock)):
            command = option(command)
        return command

    return options


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="enireconcile")
def cli() -> None:
    """Keep EC2 instances, network interfaces, Elastic IPs and security groups as one YAML file says.

    SPEC is a file, a directory of *.yaml, or - for standard input.
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False


@cli.command()
@_specs
@_output()
def validate(specs: Sequence[str], output: str) -> int:
    """Check spec files without asking AWS anything."""
    try:
        loaded = _load(specs)
    except SpecErrors as errors:
        if output == "text":
            raise
        problems = [vars(problem) for problem in errors.problems]
        click.echo(json.dumps(problems, indent=2))
        return errors.exit_code
    if output == "json":
        click.echo("[]")
    else:
        for spec in loaded:
            click.echo(f"{spec.file}: valid (stack {spec.document.stack})")
    return 0


@cli.command()
def schema() -> int:
    """Print the JSON Schema of the spec file, for editors."""
    from enireconcile.spec.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
    return 0


@cli.command("iam-policy")
@_specs
@click.option("--read-only", is_flag=True, help="For plan alone.")
@click.option("--region", help="The AWS Region of the policy; overrides the spec's.")
@click.option("--prune", is_flag=True, help="Also for what no spec names any more, of whatever section.")
@click.option("--no-destroy", is_flag=True, help="Nothing that terminates, releases or deletes.")
@click.option("--who", is_flag=True, help="Also for plan --who.")
@click.option("--state", type=_place, metavar="S3", help="Also for a state in s3://bucket/prefix.")
@click.option(
    "--also",
    multiple=True,
    metavar="ARN",
    help="An instance or interface of somebody else's that may be touched, or the role of a profile. Repeatable.",
)
def iam_policy(
    specs: Sequence[str], no_destroy: bool, state: str | None, also: tuple[str, ...], **asked: Any
) -> int:
    """Print the least IAM policy that applying, or planning, these specs needs. Asks AWS nothing."""
    from enireconcile.iam.policy import (
        policy_for,
    )
    from enireconcile.iam.statements import (
        LIMIT,
        Asked,
        size,
    )

    bucket = state.removeprefix("s3://") if state and state.startswith("s3://") else None
    documents = [spec.document for spec in _load(specs)]
    policy, notes = policy_for(documents, Asked(destroy=not no_destroy, bucket=bucket, also=also, **asked))
    click.echo(json.dumps(policy, indent=2))
    for note in notes:
        logs.say(f"note: {note}")
    if size(policy) > LIMIT:
        logs.warn(f"IAM takes {LIMIT} characters in a managed policy, and this has {size(policy)}: make several")
    return 0


@cli.command()
@_specs
@_output("markdown")
@_aws
@_prune
@_METRICS
@_JITTER
@_target
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option("--out", type=_FILE, help="Save the plan here, for apply --plan.")
@click.option("--who", is_flag=True, help="Ask CloudTrail who changed what differs.")
def plan(
    specs: Sequence[str],
    region: str | None,
    profile: str | None,
    parallelism: int,
    detailed_exitcode: bool,
    **options: Any,
) -> int:
    """Show what apply would do. Changes nothing."""
    loaded = _load(specs)
    from enireconcile.cli.plan import plan_specs
    from enireconcile.cli.session import Connection, PlanOptions

    changes = plan_specs(loaded, Connection(region, profile, parallelism), PlanOptions(**options))
    return EXIT_CHANGES if changes and detailed_exitcode else 0


@cli.command()
@click.argument("specs", nargs=-1, metavar="[SPEC...]")
@click.option("--plan", type=_FILE, help="Instead of SPEC: a plan that was saved by plan --out.")
@_output("markdown")
@_aws
@_prune
@_JITTER
@_target
@_running()
def apply(
    specs: Sequence[str],
    plan: Path | None,
    region: str | None,
    profile: str | None,
    parallelism: int,
    **options: Any,
) -> int:
    """Do what plan shows, after asking.

    Plans, asks, executes, reads back and reports. Running it again changes nothing more.
    """
    if plan is None and not specs:
        raise click.UsageError("Missing argument 'SPEC...', or --plan FILE.")
    if plan is not None and (specs or region or options["prune"] or options["targets"]):
        raise click.UsageError("--plan says itself for what: give no SPEC, --region, --prune or --target.")
    with _heard_of(options):
        loaded = _load(specs) if plan is None else []
        from enireconcile.cli.apply import apply_planfile, apply_specs
        from enireconcile.cli.session import ApplyOptions, Connection

        connection = Connection(region, profile, parallelism)
        if plan is not None:
            return apply_planfile(plan, _load, connection, ApplyOptions(**options))
        return apply_specs(loaded, connection, ApplyOptions(**options))


@cli.command()
@_specs
@_output("markdown")
@_aws
@_running()
def destroy(
    specs: Sequence[str], region: str | None, profile: str | None, parallelism: int, **options: Any
) -> int:
    """Remove all that the stack owns, in order, after asking."""
    with _heard_of(options):
        loaded = _load(specs)
    from enireconcile.cli.apply import destroy_specs
    from enireconcile.cli.session import ApplyOptions, Connection

    return destroy_specs(loaded, Connection(region, profile, parallelism), ApplyOptions(**options))


@cli.command()
@_specs
@_output()
@_aws
@_prune
@_running(lock_timeout="0s")
@click.option("--interval", type=duration, default="30s", show_default=True, help="From one round to the next.")
def watch(
    specs: Sequence[str],
    region: str | None,
    profile: str | None,
    parallelism: int,
    interval: float,
    **options: Any,
) -> int:
    """Apply again and again, until Ctrl-C or SIGTERM: for faster mending and failover than from cron.

    Asks nobody, as with -y, and reads SPEC anew each round. What goes wrong is told, and the next round comes.
    """
    if not interval:
        raise click.BadParameter("a round takes its time: write 30s or 2m", param_hint="'--interval'")
    stdin = functools.cache(sys.stdin.read)
    from enireconcile.cli.session import ApplyOptions, Connection
    from enireconcile.cli.signals import Interrupt
    from enireconcile.cli.watch import watch_specs
    from enireconcile.spec import load

    connection = Connection(region, profile, parallelism)
    options["auto_approve"] = True
    with _heard_of(options):
        return watch_specs(
            specs,
            lambda source: load([source], stdin=stdin),
            connection,
            ApplyOptions(**options),
            interval,
            Interrupt(),
        )


@cli.command()
@_specs
@_aws
@_STATE
@click.option("-y", "--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also remove the lock of a run that seems to be alive.")
def unlock(
    specs: Sequence[str],
    region: str | None,
    profile: str | None,
    parallelism: int,
    state: str | None,
    auto_approve: bool,
    force: bool,
) -> int:
    """Show who has the lock of a stack, and remove it if that run is over."""
    loaded = _load(specs)
    from enireconcile.cli.session import Connection
    from enireconcile.cli.unlock import unlock_specs

    connection = Connection(region, profile, parallelism)
    return unlock_specs(loaded, connection, state, auto_approve=auto_approve, force=force)


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on.  [default: any free one]"
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def sandbox(port: int, command: Sequence[str]) -> int:
    """Run a local EC2 endpoint to try specs on: no account, no cost.

    Prints the variables to export and serves until Ctrl-C; with COMMAND, runs that against a fresh endpoint.
    """
    from enireconcile.cli.sandbox import run

    return run(port, command)


@contextmanager
def _heard_of(options: Mapping[str, Any]) -> Iterator[None]:
    """Whoever wants to hear of runs hears of those that never began, too."""
    try:
        yield
    except (GuardError, SpecErrors) as error:
        from enireconcile.cli.publish import publish_failure
        from enireconcile.cli.session import ApplyOptions

        publish_failure(error, ApplyOptions(**options))
        raise


def _load(sources: Sequence[str]) -> list[Spec]:
    from enireconcile.spec import load

    return load(sources, stdin=sys.stdin.read)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; no error reaches the user as a traceback."""
    # Most of a short run is spent on making objects that live to its end: looking through them early is waste.
    gc.set_threshold(50_000, 20, 20)
    # pydantic would search all installed packages for plugins, which costs time and lets strangers in.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with _terminable():
        code = _run(args)
    sys.exit(code)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is like Ctrl-C, for who does nothing else about it."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if here else None
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


def _run(args: Sequence[str] | None) -> int:
    logs.begin()
    try:
        return int(cli.main(args=args, prog_name="enireconcile", standalone_mode=False) or 0)
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return 1
    except click.Abort:
        logs.say("\nstopped; nothing was changed")
        if threading.active_count() > 1:
            # What was asked of AWS may hang for a while yet, and a second Ctrl-C would not look nice.
            sys.stderr.flush()
            os._exit(1)
        return 1
    except EnireconcileError as error:
        logs.complain(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last door: a bug is told, not thrown at the user
        if os.environ.get("ENIRECONCILE_DEBUG"):
            raise
        logs.complain(internal_error(error))
        return 1


if __name__ == "__main__":
    main()
