"""The options that several commands share, and the types of their values. Loads no AWS code."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import click
from click.core import ParameterSource

from enireconcile import durations
from enireconcile.cli.command import from_environment
from enireconcile.errors import EnireconcileError
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import Outlet

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from enireconcile.spec import Given, Loaded, Spec

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
_OUTLET = click.Path(dir_okay=False, readable=False, path_type=Path)
_PLAIN = "[A-Za-z0-9_][A-Za-z0-9._-]*"
"""The name of a folder that a spec can name without quotes and references."""
_FOLDER = click.Path(file_okay=False, path_type=Path)
_LEVEL = "enireconcile.level"


def duration(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``1h`` or ``500ms``, as seconds."""
    seconds = durations.seconds(text, unit="s")
    if seconds is None:
        raise click.BadParameter(f"{text!r} is not a duration: write 30s, 15m or 1h")
    if seconds > durations.LONGEST:
        raise click.BadParameter(f"{text!r} is longer than ten years")
    return seconds


def state_location(text: str) -> str:
    """A directory, or ``s3://bucket/prefix``."""
    if text.startswith("~"):
        raise click.BadParameter(f"{text!r}: only a shell replaces ~: write the whole path")
    if not text.startswith("s3://") and (scheme := re.match("(?i)s3:/*|[a-z][a-z0-9+.-]+://", text)):
        rest = text[scheme.end() :]
        hint = f"did you mean s3://{rest}?" if scheme[0].lower().startswith("s3:") else "write s3://bucket/prefix"
        raise click.BadParameter(f"{text!r} is no directory: {hint}")
    if text.startswith("s3://") and not re.fullmatch(
        r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\x21-\x7e]*)?", text
    ):
        raise click.BadParameter(f"{text!r} has no valid bucket name: write s3://bucket/prefix")
    if text.startswith("s3://") and set(text) & set("*?$"):
        raise click.BadParameter(f"{text!r}: a prefix with *, ? or $ would be a pattern in an IAM policy")
    return text


def _webhook_url(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    """The URL is a secret: errors do not quote it."""
    if url is None:
        return None
    from enireconcile.outputs import webhook

    try:
        webhook.check(url)
    except EnireconcileError as error:
        raise click.BadParameter(str(error)) from None
    return url


def outlet(
    name: str,
    what: str,
    help: str,  # noqa: A002 - click's name
    *,
    private: bool = False,
    suffixes: Sequence[str] = (),
) -> Callable[[F], F]:
    """An option with a file to write; the command gets it as an Outlet. ``what`` names it in errors.

    With ``suffixes``, the name of the file must end in one of them.
    """

    def made(_: click.Context, __: click.Parameter, path: Path | None) -> Outlet | None:
        if path is not None and not path.name:
            raise click.BadParameter("write the name of a file")
        if path is not None and suffixes and path.suffix.lower() not in suffixes:
            raise click.BadParameter(f"{path.name!r} must end in one of {', '.join(suffixes)}")
        return Outlet(path, what, private=private) if path is not None else None

    return click.option(name, type=_OUTLET, callback=made, help=help)


def beside(name: str, help: str) -> Callable[[F], F]:  # noqa: A002 - click's name
    """An option with a directory that a spec on stdout can name: the working directory, or one below."""

    def made(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and not re.fullmatch(rf"\.|{_PLAIN}(/{_PLAIN})*", str(path)):
            raise click.BadParameter(
                f"{str(path)!r}: write a folder below the working directory, such as boot: a spec can name files "
                "beside it and below only"
            )
        return path

    return click.option(name, type=_FOLDER, metavar="DIR", callback=made, help=help)


page = functools.partial(outlet, "--html", "the page")


def _be_verbose(ctx: click.Context, param: click.Parameter, times: int) -> None:
    if times and _asks_for(ctx, param, "--verbose"):
        logs.be_verbose(times)


def _be_quiet(ctx: click.Context, param: click.Parameter, quiet: bool) -> None:
    if quiet and _asks_for(ctx, param, "--quiet"):
        logs.be_quiet()


def _approval(ctx: click.Context, param: click.Parameter, given: bool) -> bool:
    """Warns at a terminal, where a question is expected, if the approval comes from the environment."""
    if given and ctx.get_parameter_source(str(param.name)) is ParameterSource.ENVIRONMENT and sys.stdin.isatty():
        logs.warn(f"{param.envvar} is set: no question is asked")
    return given


def _asks_for(ctx: click.Context, param: click.Parameter, level: str) -> bool:
    """Whether to log at this level. A variable that contradicts the command line, which is read first, does not.

    Raises UsageError if the command line contradicts itself.
    """
    if ctx.meta.setdefault(_LEVEL, level) == level:
        return True
    if ctx.get_parameter_source(str(param.name)) is not ParameterSource.ENVIRONMENT:
        raise click.UsageError("--quiet and --verbose contradict each other: give one of them.", ctx)
    return False


def _log_format(_: click.Context, __: click.Parameter, name: str) -> None:
    logs.use_json(name == "json")


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of the help text."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _is_from_environment(param: click.Parameter | None, ctx: click.Context | None) -> bool:
    return bool(ctx and param and ctx.get_parameter_source(str(param.name)) is ParameterSource.ENVIRONMENT)


class _Jobs(click.IntRange):
    """A number of jobs. A variable that has more, as a fleet takes them, means the most."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if _is_from_environment(param, ctx):
            return click.IntRange(self.min, self.max, clamp=True).convert(value, param, ctx)
        return super().convert(value, param, ctx)


class _Format(click.Choice[str]):
    """The formats of a command. A variable that names a format of other commands means the first one here."""

    ALL = ("text", "json", "markdown", "env", "sarif", "github")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self.ALL and value not in self.choices and _is_from_environment(param, ctx):
            value = self.choices[0]
        return super().convert(value, param, ctx)


def output(*more: str) -> Callable[[F], F]:
    choice = _Format(["text", "json", *more])
    return click.option("--output", type=choice, default="text", show_default=True, help="Format of stdout.")


class SpecArguments(NamedTuple):
    """The specs of a command line, and the variables that it gives them.

    ``optional``: those that the environment gives, which a spec may be without.
    """

    files: tuple[str, ...]
    var_files: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    optional: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.files)

    def load(
        self, files: Sequence[str] | None = None, *, region: str | None = None, every_variable: bool = True
    ) -> list[Spec]:
        """Load the specs, or those of ``files``. Raises SpecErrors.

        ``every_variable``: each variable of the command line must be one of these specs.
        """
        from enireconcile.spec import load

        files = self.files if files is None else files
        return load(files, given=self._given(region), every_variable=every_variable)

    def load_valid(
        self,
        region: str | None = None,
        *,
        files: Sequence[str] | None = None,
        regions: Mapping[str, str] | None = None,
        stdin: Callable[[], bytes | str] | None = None,
        every_variable: bool = True,
    ) -> Loaded:
        """Load the specs of the valid files, or those of ``files``, of which ``regions`` has the Regions.

        Raises SpecErrors if there is none, or for the command line.
        """
        from enireconcile.spec import load_valid, read_stdin

        return load_valid(
            self.files if files is None else files,
            given=self._given(region, regions),
            stdin=stdin or read_stdin,
            every_variable=every_variable,
        )

    def _given(self, region: str | None, regions: Mapping[str, str] | None = None) -> Given:
        from enireconcile.spec import Given, variables_of

        of_files, of_pairs = variables_of(self.var_files, ()), variables_of((), self.variables)
        read = (("var_files", of_files), ("variables", of_pairs))
        typed = {name for option, found in read if option not in self.optional for name in found.values}
        return Given(
            of_files.values | of_pairs.values,
            region,
            regions=regions or {},
            optional=frozenset({*of_files.values, *of_pairs.values} - typed),
            environment=os.environ,
            places={name: place for name, place in of_files.places.items() if name not in of_pairs.values},
        )


def _assignment(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r}: write NAME=VALUE")
        # Python decodes bytes that are not UTF-8 as halves of characters, which EC2 and JSON cannot have.
        if not text.isascii() and text != text.encode(errors="replace").decode():
            raise click.BadParameter(f"{text!r} is not UTF-8")
        pairs.append((name, value))
    return tuple(pairs)


_ID = re.compile("[a-z]+-[0-9a-f]{8,}")


def by_name(name: str) -> str:
    """What selects a resource by its name."""
    return f"to find one by its name, use --tag {shlex.quote(f'Name={name}')}"


def ids(name: str, parameter: str, prefix: str, help: str) -> Callable[[F], F]:  # noqa: A002 - click's name
    """A repeatable option that takes ids of one sort."""
    what = {"i": "instance", "vpc": "VPC"}[prefix]

    def check(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8,17}}", text):
                message = f"{text!r} is no {what} id, such as {prefix}-0123456789abcdef0"
                raise click.BadParameter(message if _ID.fullmatch(text) else f"{message}; {by_name(text)}")
        return tuple(dict.fromkeys(texts))

    return click.option(name, parameter, multiple=True, metavar=f"{prefix}-…", callback=check, help=help)


def tagged(name: str, help: str) -> Callable[[F], F]:  # noqa: A002 - click's name
    """A repeatable option that takes tags."""

    def read(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
        tags = {}
        for text in texts:
            key, equals, tags[key] = text.partition("=")
            if not (key and equals):
                raise click.BadParameter(f"{text!r}: write KEY=VALUE")
        return tags

    return click.option(name, "tags", multiple=True, metavar="KEY=VALUE", callback=read, help=help)


_specs_options = all_of(
    click.option(
        "--var-file",
        "var_files",
        multiple=True,
        type=click.Path(readable=False),
        metavar="FILE",
        help="A YAML mapping of values for ${var.NAME}; overrides `variables` of the spec. Repeatable.",
    ),
    click.option(
        "--var",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_assignment,
        help="A value for ${var.NAME}; overrides --var-file. Repeatable.",
    ),
)


def refuse_one_file_for_two(inputs: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raises UsageError if a file that the command writes is one that it reads, or writes for something else.

    A directory of ``inputs`` stands for its specs, also for one that the file to write would be.
    """
    outlets = {option: value for option, value in sorted(options.items()) if isinstance(value, Outlet)}
    if not outlets:
        return
    from enireconcile.spec import files_of, is_directory, is_spec_name

    named = [path for path in inputs if path != "-"]
    folders = {os.path.realpath(path): path for path in named if is_directory(path)}
    names = {os.path.realpath(path): path for path in [*files_of([*folders.values()]), *named]}
    if isinstance(saved := options.get("plan"), Path):
        names[os.path.realpath(saved)] = "--plan"
    for option, outlet in outlets.items():
        target = Path(os.path.realpath(outlet.path))
        if str(target) in names and (not target.exists() or target.is_file()):
            raise click.UsageError(f"--{option} {outlet.path} is the same file as {names[str(target)]}")
        if str(target.parent) in folders and is_spec_name(target):
            folder = folders[str(target.parent)]
            raise click.UsageError(f"--{option} {outlet.path} would be a spec of {folder}: give it another name")
        names[str(target)] = f"--{option}"


Completes: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem] | list[str]]"


def takes_specs(
    *, required: bool = True, several: bool = True, completes: Completes | None = None
) -> Callable[[F], F]:
    """SPEC arguments and the options for their variables. The command gets them as ``specs``.

    ``completes`` is what a shell completes besides files.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_specs(*args: Any, specs: Any, var_files: Any, variables: Any, **options: Any) -> Any:
            specs = specs if several else (specs,)
            refuse_one_file_for_two([*specs, *var_files], options)
            optional = from_environment(click.get_current_context())
            return command(*args, specs=SpecArguments(specs, var_files, variables, optional), **options)

        name = "SPEC..." if several else "SPEC"
        metavar = name if required else f"[{name}]"
        # The loader says what is wrong with a file; the type is for the completion of shells.
        path = click.Path(readable=False)
        argument = click.argument(
            "specs",
            nargs=-1 if several else 1,
            required=required,
            metavar=metavar,
            type=path,
            shell_complete=completes,
        )
        return argument(_specs_options(with_specs))  # type: ignore[return-value]

    return decorate


def _addresses(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For the completion of shells: the resources of the specs that the command line has so far."""
    from enireconcile.spec import SECTIONS

    # click has not yet assigned arguments when the value of an option is missing, and assigns the last one to what
    # `explain` is asked.
    named = ctx.params.get("specs") or ctx.args or [ctx.params.get("asked")]
    files = tuple(name for name in named if name not in ("-", None))
    given = SpecArguments(files, ctx.params.get("var_files") or (), ctx.params.get("variables") or ())
    try:
        documents = [spec.document for spec in given.load(every_variable=False)]
    except EnireconcileError:
        return []
    found = [
        f"{section}.{name}"
        for document in documents
        for section in SECTIONS
        for name in document.own_names(section)
    ]
    return [address for address in found if address.startswith(incomplete)]


def specs_or_addresses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same where a spec may follow, too."""
    from click.shell_completion import CompletionItem

    file = CompletionItem(incomplete, type="file")
    return [file, *map(CompletionItem, _addresses(ctx, param, incomplete))]


def attributes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The same with each attribute: ADDRESS.ATTRIBUTE."""
    from enireconcile.planning.inventory import SHOWN

    # An address that is complete is the beginning of others, too.
    head = ".".join(incomplete.split(".")[:2])
    found = (
        f"{address}.{attribute}"
        for address in _addresses(ctx, param, head)
        for attribute in SHOWN[address.partition(".")[0]]
    )
    return [each for each in found if each.startswith(incomplete)]


specs = takes_specs()
target = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ADDRESS",
    shell_complete=_addresses,
    help="Limit the plan to this resource and its dependencies, e.g. elastic_ips.web. Repeatable.",
)
prune = click.option(
    "--prune",
    is_flag=True,
    help="Remove resources that the stack owns and the spec no longer names. Otherwise they are listed and kept.",
)
metrics = outlet(
    "--metrics",
    "the metrics",
    "Write Prometheus metrics of this stack to this file, for node_exporter's textfile collector.",
)
PICTURES = {".svg": "svg", ".mmd": "mermaid", ".dot": "dot"}
"""The formats of pictures by the suffixes of files."""
picture = outlet(
    "--graph",
    "the picture",
    "Draw what changes to this file, as its suffix says: .svg, .mmd (Mermaid) or .dot.",
    suffixes=tuple(PICTURES),
)
jitter = click.option(
    "--jitter",
    type=duration,
    metavar="DURATION",
    default="0s",
    help="Start after a random delay of up to this time, so that scheduled runs do not call AWS all at once.",
)
jobs = click.option(
    "--jobs",
    type=_Jobs(1, 100),
    metavar="N",
    default=8,
    show_default=True,
    help="Maximum number of stacks at the same time. Those of one account and Region run one after another.",
)
state = click.option(
    "--state",
    type=state_location,
    metavar="DIR|S3",
    help="Directory or s3://bucket/prefix of the lock, the journal and the last report.  "
    "[default: the user's state directory]",
)
auto_approve = click.option(
    "-y", "--auto-approve", is_flag=True, callback=_approval, help="Do not ask for approval."
)
approved = click.option("-y", "--auto-approve", is_flag=True, help="Has no effect: watch never asks for approval.")
_aws_options = all_of(
    click.option("--region", metavar="REGION", help="AWS Region; overrides the spec and the environment."),
    click.option("--profile", metavar="NAME", help="AWS profile; overrides AWS_PROFILE."),
    click.option(
        "--parallelism",
        type=click.IntRange(1, 100),
        metavar="N",
        help="Maximum number of concurrent AWS calls of a stack.  [default: 10 to 50, by EC2's pace for the plan]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        callback=_log_format,
        help="Format of stderr.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_be_verbose,
        help="Log every AWS call with its request ID; with -vv also its parameters.",
    ),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Print only errors on stderr. The result on stdout stays.",
    ),
)


def aws(command: F) -> F:
    """The options of commands that call AWS. The command gets them as ``connection``."""

    @functools.wraps(command)
    def connected(
        *args: Any, region: str | None, profile: str | None, parallelism: int | None, **options: Any
    ) -> Any:
        from enireconcile.cli.session import Connection

        return command(*args, connection=Connection(region, profile, parallelism), **options)

    return _aws_options(connected)  # type: ignore[return-value]


def waits_for_lock(default: str) -> Callable[[F], F]:
    """``--lock-timeout`` with this default."""
    return click.option(
        "--lock-timeout",
        type=duration,
        metavar="DURATION",
        default=default,
        show_default=True,
        help="How long to wait while another run holds the lock of the stack.",
    )


def running(*, approval: Callable[[Any], Any] = auto_approve, lock_timeout: str = "30s") -> Callable[[F], F]:
    """The options of commands that change resources."""
    return all_of(
        approval,
        click.option(
            "--allow-destroy", is_flag=True, help="With -y: allow steps that terminate, release or delete."
        ),
        click.option(
            "--max-changes",
            type=click.IntRange(0),
            metavar="N",
            help="Refuse plans that change more than N resources.",
        ),
        outlet("--report", "the report", "Write the JSON report to this file, whatever the outcome."),
        page("Write the plan and what happened as an HTML page to this file, whatever the outcome."),
        click.option("--timeout", type=duration, metavar="DURATION", help="Stop after this time, as Ctrl-C does."),
        click.option(
            "--settle-timeout",
            type=duration,
            metavar="DURATION",
            default="30s",
            show_default=True,
            help="How long to search for the resource of a create call that got no answer, before repeating it.",
        ),
        metrics,
        click.option(
            "--notify",
            metavar="URL",
            callback=_webhook_url,
            help="POST the report to this https URL if something changed or failed. The URL is never printed.",
        ),
        click.option(
            "--notify-all",
            is_flag=True,
            help="With --notify: also post if there was nothing to do or the stack is locked.",
        ),
        state,
        waits_for_lock(lock_timeout),
    )
