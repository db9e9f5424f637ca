"""The command line. Each command imports what it needs when it runs: ``--help`` and ``validate`` load no AWS code.

stdout carries the result, stderr everything else. Exit codes: 0 done, 1 error, 2 changes (plan
--detailed-exitcode), 3 refused by a guard, 4 locked, 5 stopped before converging, 6 a check failed, 64 wrong
usage.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from enireconcile import __version__
from enireconcile.cli import code_if_stopped
from enireconcile.cli import options as opt
from enireconcile.cli.command import WIDTH, Conflict, Group, commands_for, from_environment, help_of
from enireconcile.cli.fleet import fleet
from enireconcile.errors import EnireconcileError, Problem, SpecErrors, internal_error
from enireconcile.outputs import logs
from enireconcile.outputs.stdout import discard_stdout, flush_or_discard
from enireconcile.outputs.terminal import columns, fitted
from enireconcile.printable import printable

if TYPE_CHECKING:
    from enireconcile.cli.session import Connection
    from enireconcile.cli.signals import Interrupt
    from enireconcile.spec import Loaded, Spec

EXIT_USAGE = 64
EXIT_CHANGES = 2
_ONE_SELECTION = "Give one of --instance, --vpc, --tag and --stack. To find one by its name: --tag Name=NAME."


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(__version__, prog_name="enireconcile")
def cli() -> None:
    """Keep EC2 instances, network interfaces, Elastic IPs and security groups in the state that a YAML file
    describes.

    SPEC is a file, a directory of *.yaml files, or - for standard input.
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False


def _answer(reader: str) -> Callable[[str], Any]:
    """The type of an option of init: this function of ``cli.init``, which is loaded when the option is given."""

    def read(text: str) -> Any:
        from enireconcile.cli import init as answers

        return getattr(answers, reader)(text)

    return read


@cli.command(
    examples=[
        "enireconcile init --out web.yaml",
        "enireconcile init --no-input --stack web --open 80 --open 22@192.0.2.0/24",
        "enireconcile init --interfaces 2 --vpc lab --subnet lab-a --open eth1:443",
    ]
)
@click.option("--stack", type=_answer("stack"), metavar="NAME", help="Name of the stack.")
@click.option("--vpc", type=_answer("id_or_name"), metavar="ID|NAME", help="VPC of --subnet.")
@click.option(
    "--subnet",
    type=_answer("id_or_name"),
    metavar="ZONE|ID|NAME",
    help="Subnet: an Availability Zone for its default subnet, an id, or the value of the tag Name.",
)
@click.option("--instance-type", type=_answer("instance_type"), metavar="TYPE", help="Type of the instance.")
@click.option("--interfaces", type=click.IntRange(1, 2), metavar="N", help="Number of network interfaces.")
@click.option("--elastic-ips/--no-elastic-ips", default=None, help="Whether each interface has an Elastic IP.")
@click.option(
    "--open",
    type=_answer("opening"),
    multiple=True,
    metavar="PORT[@CIDR]",
    help="An open port: 80, 8000-8010, 53/udp@10.0.0.0/8; eth1:443 on the second interface. Repeatable.",
)
@click.option("--region", type=_answer("region"), metavar="REGION", help="AWS Region of the spec.")
@click.option("--no-input", is_flag=True, help="Do not ask: use the default of what is not given.")
@click.option(
    "--out", type=opt.FILE, metavar="FILE", help="Write to this file, which must not exist.  [default: stdout]"
)
def init(no_input: bool, out: Path | None, **given: Any) -> int:
    """Write a first spec: one instance with its interfaces and addresses.

    On a terminal, it asks for what the options do not say. Does not call AWS.
    """
    from enireconcile.cli import init as answers

    fitting = answers.Given(**given).without(from_environment(click.get_current_context()))
    return answers.write_first_spec(fitting, out, asks=sys.stdin.isatty() and not no_input)


@cli.command(
    examples=["enireconcile validate specs/", "enireconcile validate --output sarif specs/ > specs.sarif"]
)
@opt.specs
@opt.output("sarif", "github")
@click.option("--region", metavar="REGION", help="AWS Region that ${region} stands for; overrides the spec.")
def validate(specs: opt.SpecArguments, output: str, region: str | None) -> int:
    """Check spec files without calling AWS."""
    loaded: Sequence[Spec] = ()
    problems: Sequence[Problem] = ()
    code = 0
    try:
        loaded = specs.load(region=region)
    except SpecErrors as errors:
        if output == "text":
            raise
        problems, code = errors.problems, errors.exit_code
    if output == "json":
        click.echo(json.dumps([problem._asdict() for problem in problems], indent=2))
    elif output == "sarif":
        from enireconcile.outputs.problems import sarif

        click.echo(json.dumps(sarif(problems, Path.cwd()), indent=2))
    elif output == "github":
        from enireconcile.outputs.problems import github

        click.echo(github(problems), nl=bool(problems))
    for spec in loaded if output == "text" else ():
        click.echo(f"{printable(spec.file)}: valid (stack {spec.document.stack})")
    return code


@cli.command(examples=["enireconcile schema > enireconcile.schema.json"])
def schema() -> int:
    """Print the JSON Schema of the spec file, for editors."""
    from enireconcile.spec.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
    return 0


@cli.command(
    "iam-policy",
    examples=["enireconcile iam-policy web.yaml > policy.json", "enireconcile iam-policy --read-only web.yaml"],
)
@opt.specs
@click.option("--read-only", is_flag=True, help="Allow only what plan needs.")
@click.option("--region", metavar="REGION", help="AWS Region of the policy; overrides the spec.")
@click.option(
    "--prune", is_flag=True, help="Also allow removing resources of sections that no spec uses any more."
)
@click.option("--no-destroy", is_flag=True, help="Allow nothing that terminates, releases or deletes.")
@click.option("--who", is_flag=True, help="Also allow what plan --who needs.")
@click.option("--state", type=opt.state_location, metavar="S3", help="Also allow a state in s3://bucket/prefix.")
@click.option(
    "--also",
    multiple=True,
    metavar="ARN",
    help="Also allow changes to this instance or network interface, which the stack does not own, or passing "
    "this role. Repeatable.",
)
def iam_policy(
    specs: opt.SpecArguments, no_destroy: bool, state: str | None, also: tuple[str, ...], **asked: Any
) -> int:
    """Print the least-privilege IAM policy for these specs.

    With --read-only, the policy covers plan only. Does not call AWS.
    """
    from enireconcile.iam.policy import policy_for
    from enireconcile.iam.statements import INLINE_LIMIT, LIMIT, Asked, size

    bucket = state.removeprefix("s3://") if state and state.startswith("s3://") else None
    documents = [spec.document for spec in specs.load(region=asked["region"])]
    policy, notes = policy_for(documents, Asked(destroy=not no_destroy, bucket=bucket, also=also, **asked))
    click.echo(json.dumps(policy, indent=2))
    for note in notes:
        logs.say(f"note: {note}")
    if size(policy) > LIMIT:
        logs.warn(
            f"this policy has {size(policy)} characters, and IAM allows {LIMIT} in a managed policy: "
            f"split it into several, or make it an inline policy of a role, which takes {INLINE_LIMIT}"
        )
    return 0


@cli.command(
    examples=[
        "enireconcile plan web.yaml",
        "enireconcile plan --out web.plan web.yaml",
        "enireconcile plan --target elastic_ips.web --detailed-exitcode web.yaml",
    ],
    exits=[2, 3],
    conflicts=[
        Conflict(
            "destroy", ["targets"], "--destroy cannot be combined with --target: destroy removes the whole stack."
        )
    ],
)
@opt.specs
@opt.output("markdown")
@opt.aws
@opt.prune
@opt.metrics
@opt.jitter
@opt.jobs
@opt.target
@click.option("--destroy", is_flag=True, help="Show what destroy would do.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes.")
@opt.outlet("--out", "the plan", "Save the plan to this file, for apply --plan.", private=True)
@opt.picture
@opt.page("Also write the plan as an HTML page to this file.")
@click.option("--who", is_flag=True, help="Show which user changed each differing attribute (from CloudTrail).")
def plan(specs: opt.SpecArguments, connection: Connection, detailed_exitcode: bool, **options: Any) -> int:
    """Show what apply would do. Changes nothing."""
    try:
        loaded = specs.load_valid(connection.region)
    except SpecErrors as errors:
        if options["output"] == "markdown":
            from enireconcile.cli.plan import print_refused

            print_refused(errors)
        raise
    from enireconcile.cli.plan import plan_specs
    from enireconcile.cli.session import PlanOptions

    planned = plan_specs(loaded, connection, PlanOptions(**options))
    if planned.error_code:
        return planned.error_code
    return EXIT_CHANGES if planned.has_changes and detailed_exitcode else 0


@cli.command(
    examples=[
        "enireconcile export --instance i-0a5b1f7d2c9e4b3a6 > web.yaml",
        "enireconcile export --tag Role=web",
        "enireconcile export --stack web --user-data boot > web.yaml",
    ],
    by_name=opt.by_name,
    conflicts=[
        Conflict("stack", ["instances", "vpcs", "tags"], _ONE_SELECTION),
        Conflict("instances", ["vpcs", "tags"], _ONE_SELECTION),
        Conflict("vpcs", ["tags"], _ONE_SELECTION),
    ],
)
@opt.ids(
    "--instance", "instances", "i", "An instance, with its interfaces, their groups and Elastic IPs. Repeatable."
)
@opt.ids("--vpc", "vpcs", "vpc", "All of a VPC. Repeatable.")
@opt.tagged("--tag", "What has this tag, and what that needs. Repeatable: what has all of these tags.")
@click.option("--stack", metavar="NAME", help="What a stack owns.")
@opt.beside(
    "--user-data", "Also write the user data of instances into files in this directory, which only you can read."
)
@opt.aws
def export(connection: Connection, user_data: Path | None, **selected: Any) -> int:
    """Write a spec of what exists: --instance, --vpc, --tag or --stack.

    The plan of that spec adopts the resources and changes nothing else. With --stack, it is empty.
    """
    if not any(selected.values()):
        raise click.UsageError(_ONE_SELECTION)
    from enireconcile.cli.export import export_selected
    from enireconcile.live.selected import Selection

    return export_selected(Selection(**selected), connection, user_data)


@cli.command(
    "import-terraform",
    examples=[
        "enireconcile import-terraform state.json > web.yaml",
        "enireconcile import-terraform --region us-east-1 state.json > web.yaml",
    ],
)
@click.argument("state", metavar="STATE.json", required=False)
@click.option("--region", metavar="REGION", help="What is in this AWS Region, if the state has several.")
@click.option("--account-id", metavar="ID", help="What is in this AWS account, if the state has several.")
def import_terraform(state: str | None, region: str | None, account_id: str | None) -> int:
    """Write a spec of what Terraform manages: STATE.json is the output of `terraform show -json`, or - for stdin.

    The plan of that spec adopts the resources and changes nothing else. stderr has the `terraform state rm` lines
    for them, and says what stays in Terraform, and why. Does not call AWS: run `terraform apply -refresh-only`
    before.
    """
    if state is None or (state == "-" and sys.stdin.isatty()):
        raise click.UsageError(
            f"{'Missing argument STATE.json' if state is None else 'stdin is a terminal'}: "
            "write `terraform show -json | enireconcile import-terraform -`, or give the file with its output."
        )
    from enireconcile.cli.import_terraform import import_state

    return import_state(state, region, account_id)


@cli.command(
    examples=[
        "enireconcile apply web.yaml",
        "enireconcile apply -y --max-changes 5 --report run.json web.yaml",
        "enireconcile apply --plan web.plan",
    ],
    exits=[3, 4, 5, 6],
    conflicts=[
        Conflict(
            "plan",
            ["specs", "region", "prune", "targets"],
            "--plan cannot be combined with SPEC, --region, --prune or --target: the plan file determines them.",
        )
    ],
)
@opt.takes_specs(required=False)
@click.option("--plan", type=opt.FILE, help="Apply this plan, saved by plan --out. Replaces SPEC.")
@opt.output("markdown")
@opt.aws
@opt.prune
@opt.jitter
@opt.jobs
@opt.target
@opt.running()
@click.option("--verify", is_flag=True, help="Run the checks of SPEC after converging.")
def apply(specs: opt.SpecArguments, plan: Path | None, connection: Connection, **options: Any) -> int:
    """Plan, ask for approval, execute the plan and read back.

    If everything already matches SPEC, nothing is changed.
    """
    if plan is None and not specs:
        raise click.UsageError("Missing argument: give SPEC... or --plan FILE.")
    with _stoppable(options) as interrupt, _failures_published(options, interrupt):
        if plan is None:
            loaded = interrupt.in_thread(lambda: specs.load_valid(connection.region), "the spec")
        from enireconcile.cli.apply import apply_planfile, apply_specs
        from enireconcile.cli.session import ApplyOptions

        if plan is not None:
            return apply_planfile(
                plan,
                lambda regions: specs.load_valid(files=list(regions), regions=regions),
                connection,
                ApplyOptions(**options),
                interrupt,
            )
        return apply_specs(loaded.specs, connection, ApplyOptions(**options), interrupt, loaded.refused)


@cli.command(
    examples=["enireconcile destroy web.yaml", "enireconcile destroy -y --allow-destroy web.yaml"],
    exits=[3, 4, 5],
)
@opt.specs
@opt.output("markdown")
@opt.aws
@opt.running()
def destroy(specs: opt.SpecArguments, connection: Connection, **options: Any) -> int:
    """Remove everything that the stack owns.

    Shows the plan and asks for approval first. Resources are removed in dependency order.
    """
    with _stoppable(options) as interrupt, _failures_published(options, interrupt):
        loaded = interrupt.in_thread(functools.partial(specs.load, region=connection.region), "the spec")
        from enireconcile.cli.apply import destroy_specs
        from enireconcile.cli.session import ApplyOptions

        return destroy_specs(loaded, connection, ApplyOptions(**options), interrupt)


@cli.command(examples=["enireconcile watch --interval 15s ha-failover.yaml"], exits=[5])
@opt.specs
@opt.output()
@opt.aws
@opt.prune
@opt.jobs
@opt.running(approval=opt.approved, lock_timeout="0s")
@click.option(
    "--interval",
    type=opt.duration,
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="Time from the start of one round to the start of the next.",
)
def watch(specs: opt.SpecArguments, connection: Connection, interval: float, **options: Any) -> int:
    """Apply in a loop, until Ctrl-C or SIGTERM.

    Corrects drift and fails over sooner than cron can. Never asks for approval: --auto-approve is implied. Reads
    SPEC again in each round. After an error, watch reports it and continues with the next round.
    """
    if not interval:
        raise click.BadParameter("must be longer than 0: write 30s or 2m", param_hint="'--interval'")
    from enireconcile.cli.session import ApplyOptions
    from enireconcile.cli.signals import Interrupt
    from enireconcile.cli.watch import watch_specs
    from enireconcile.spec import read_stdin

    stdin = functools.cache(read_stdin)
    options["auto_approve"] = True
    interrupt = Interrupt()

    def load(every_variable: bool) -> Loaded:
        return specs.load_valid(connection.region, stdin=stdin, every_variable=every_variable)

    with _failures_published(options, interrupt):
        return watch_specs(load, connection, ApplyOptions(**options), interval, interrupt)


@cli.command(
    examples=["enireconcile show web.yaml", "enireconcile show --get elastic_ips.web.public_ip web.yaml"],
    conflicts=[
        Conflict(
            option="output",
            others=["get"],
            message="--get prints one value as text: it cannot be combined with --output.",
            allowed="text",
        )
    ],
)
@opt.specs
@opt.output("env")
@opt.aws
@click.option(
    "--get",
    metavar="ADDRESS.ATTRIBUTE",
    shell_complete=opt.attributes,
    help="Print this value only, e.g. elastic_ips.web.public_ip.",
)
def show(specs: opt.SpecArguments, connection: Connection, output: str, get: str | None) -> int:
    """Show what the stack owns: names, ids, private and public addresses, holders.

    Reads the live state and changes nothing.
    """
    if get == "":
        raise click.UsageError("--get is empty: write ADDRESS.ATTRIBUTE, for example elastic_ips.web.public_ip.")
    loaded = specs.load(region=connection.region)
    from enireconcile.cli.show import show_specs

    return show_specs(loaded, connection, output, get)


@cli.command(examples=["enireconcile graph web.yaml", "enireconcile graph --live --format svg web.yaml > web.svg"])
@opt.specs
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["mermaid", "dot", "svg"]),
    default="mermaid",
    show_default=True,
    help="Mermaid for Markdown, DOT for Graphviz, SVG for a browser.",
)
@click.option("--live", is_flag=True, help="Draw what is, read from AWS, instead of what SPEC describes.")
@opt.aws
def graph(specs: opt.SpecArguments, connection: Connection, picture_format: str, live: bool) -> int:
    """Draw instances, interfaces, Elastic IPs and routes as a picture.

    Without --live, does not call AWS. `plan --graph FILE` draws what a plan changes.
    """
    loaded = specs.load(region=connection.region)
    from enireconcile.cli.graph import graph_specs

    return graph_specs(loaded, connection, picture_format, live=live)


@cli.command(
    examples=["enireconcile guest web.yaml", "enireconcile guest --format netplan --out files web.yaml web"],
    conflicts=[
        Conflict("format", ["backend"], "--backend is for --format cloud-init only.", allowed="cloud-init")
    ],
)
@opt.takes_specs(several=False)
@click.argument("instance", required=False, metavar="[INSTANCE]")
@opt.aws
@click.option(
    "--format",
    "format",
    type=click.Choice(["ip", "networkd", "netplan", "networkmanager", "cloud-init"]),
    help="What reads the configuration on the guest.  [default: what its image has, else ip]",
)
@click.option(
    "--backend",
    type=click.Choice(["ip", "networkd", "netplan", "networkmanager"]),
    help="With --format cloud-init: the format of the files that cloud-init writes.  [default: as --format]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the files below this directory, each at its path on the guest.",
)
@click.option(
    "--published-ports",
    is_flag=True,
    help="Answers of containers with published ports leave where the request arrived. Needs nftables.",
)
def guest(specs: opt.SpecArguments, instance: str | None, connection: Connection, **options: Any) -> int:
    """Print the configuration of an instance's network interfaces, for its operating system.

    Reads the live state and changes nothing. Without INSTANCE, the one instance of the spec; with --out, all.
    """
    loaded = specs.load(region=connection.region)
    from enireconcile.cli.guest import GuestOptions, guest_specs

    return guest_specs(loaded, instance, connection, GuestOptions(**options))


@cli.command(
    examples=["enireconcile explain web.yaml elastic_ips.web", "enireconcile explain --plan web.plan s5"],
    conflicts=[
        Conflict(
            "plan",
            ["specs", "region", "prune", "destroy"],
            "--plan cannot be combined with SPEC, --region, --prune or --destroy: the plan file determines them.",
        )
    ],
)
@opt.takes_specs(required=False, completes=opt.specs_or_addresses)
@click.argument("asked", required=False, metavar="ADDRESS|STEP")
@click.option("--plan", type=opt.FILE, help="Explain this plan, saved by plan --out. Replaces SPEC.")
@opt.output()
@opt.aws
@opt.prune
@click.option("--destroy", is_flag=True, help="Explain what destroy would do.")
def explain(
    specs: opt.SpecArguments,
    asked: str | None,
    plan: Path | None,
    connection: Connection,
    output: str,
    prune: bool,
    destroy: bool,
) -> int:
    """Explain a resource or a step of the plan: why it is needed, why in this order, what it interrupts.

    ADDRESS is a section and a name, such as elastic_ips.web, as each change of a plan shows it. STEP is the id of
    a step, such as s5, as explain itself, plan --output markdown and json show it. Changes nothing.
    """
    if asked is None or (plan is None and not specs):
        raise click.UsageError(
            "Missing argument: give SPEC... or --plan FILE, and then what to explain: elastic_ips.web, or s5."
        )
    if os.path.exists(asked):  # noqa: PTH110 (False for a text that can be no path)
        raise click.UsageError(f"{asked} is a file: write SPEC... first, and then what to explain.")
    loaded = specs.load(region=connection.region) if plan is None else []
    from enireconcile.cli.explain import explain_planfile, explain_specs

    if plan is not None:
        return explain_planfile(plan, asked, specs.load, output)
    return explain_specs(loaded, asked, connection, output, prune=prune, destroy=destroy)


@cli.command(examples=["enireconcile verify web.yaml"], exits=[6])
@opt.specs
@opt.output()
@opt.aws
@opt.jobs
@click.option(
    "--timeout", type=opt.duration, metavar="DURATION", help="End all checks after this time at the latest."
)
def verify(specs: opt.SpecArguments, connection: Connection, output: str, jobs: int, timeout: float | None) -> int:
    """Run the checks of SPEC from this machine: does each address answer as the spec expects?

    Says of each check that fails what in EC2 is in its way, or that the guest is next. Changes nothing.
    """
    loaded = specs.load_valid(connection.region)
    from enireconcile.cli.verify import verify_specs

    return verify_specs(loaded, connection, output, timeout, jobs)


@cli.command(examples=["enireconcile unlock web.yaml"], exits=[3, 4])
@opt.specs
@opt.aws
@opt.state
@opt.auto_approve
@click.option("--force", is_flag=True, help="Also remove the lock in S3 of a run that seems to be alive.")
def unlock(
    specs: opt.SpecArguments, connection: Connection, state: str | None, auto_approve: bool, force: bool
) -> int:
    """Show the lock of a stack, and remove it if it is stale."""
    loaded = specs.load(region=connection.region)
    from enireconcile.cli.unlock import unlock_specs

    return unlock_specs(loaded, connection, state, auto_approve=auto_approve, force=force)


@cli.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples=[
        "enireconcile sandbox",
        "enireconcile sandbox -- enireconcile plan web.yaml",
        "enireconcile sandbox --lab -- bash",
    ],
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on.  [default: any free port]",
    default=0,
)
@click.option(
    "--lab",
    is_flag=True,
    help="Add the networks that the project's specs stand in: VPC lab with its subnets, instances fw-a and fw-b, "
    "key pair ops, instance profile web.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def sandbox(port: int, lab: bool, command: Sequence[str]) -> int:
    """Run a simulated EC2 on this machine, for trying specs.

    Needs no AWS account and costs nothing. Prints the variables to export and serves until Ctrl-C. With COMMAND,
    runs it against a fresh endpoint and exits with its exit code.
    """
    from enireconcile.cli.sandbox import run

    return run(port, command, lab=lab)


@cli.command(examples=["enireconcile version", "enireconcile version --output json"])
@opt.output()
def version(output: str) -> int:
    """Print the versions of enireconcile and of what it runs on, for bug reports."""
    from enireconcile.cli.version import versions

    found = versions()
    width = max(map(len, found))
    text = "\n".join(f"{name:{width}}  {number}" for name, number in found.items())
    click.echo(json.dumps(found, indent=2) if output == "json" else text)
    return 0


@cli.command("help", examples=["enireconcile help", "enireconcile help apply"])
@click.argument("path", nargs=-1, metavar="[COMMAND]", shell_complete=commands_for)
@click.pass_context
def help_(ctx: click.Context, path: Sequence[str]) -> int:
    """List the commands, or explain one."""
    click.echo(help_of(ctx.find_root(), path))
    return 0


cli.add_command(fleet)


@contextmanager
def _stoppable(options: Mapping[str, Any]) -> Iterator[Interrupt]:
    """Ctrl-C, SIGTERM and --timeout stop what is inside, from now on."""
    from enireconcile.cli.signals import Interrupt

    with Interrupt() as interrupt, interrupt.limited(options["timeout"]):
        yield interrupt


@contextmanager
def _failures_published(options: Mapping[str, Any], interrupt: Interrupt) -> Iterator[None]:
    """Write and print the report and notify also if the command fails before it gets to a stack."""
    try:
        yield
    except EnireconcileError as error:
        from enireconcile.cli.publish import publish_failure
        from enireconcile.cli.session import ApplyOptions

        command = click.get_current_context().info_name or ""
        publish_failure(error, ApplyOptions(**options, command=command), interrupt.left_to_finish)
        raise


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; no error reaches the user as a traceback."""
    # pydantic would search all installed packages for plugins, which costs time and runs foreign code.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with _sigterm_as_ctrl_c():
        code = _run(args)
    flush_or_discard(sys.stderr)
    sys.exit(code)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, unless a command handles signals itself."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main_thread else None
    try:
        yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _run(args: Sequence[str] | None) -> int:
    logs.begin()
    try:
        color = False if logs.colourless() else None
        return int(cli.main(args=args, prog_name="enireconcile", standalone_mode=False, color=color) or 0)
    except click.UsageError as error:
        shown = io.StringIO()
        error.show(shown)
        lines = [shown.getvalue(), *(f"  hint: {note}\n" for note in getattr(error, "__notes__", ()))]
        click.echo(fitted("".join(lines), columns(sys.stderr)), err=True, nl=False)
        return EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return 1
    except click.Abort:
        logs.say("\nstopped; nothing was changed")
        return code_if_stopped(args)
    except EnireconcileError as error:
        logs.complain(error)
        return error.exit_code
    except BrokenPipeError:
        discard_stdout()
        return 1
    except Exception as error:
        if os.environ.get("ENIRECONCILE_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            discard_stdout()
            logs.complain(EnireconcileError(f"cannot write to stdout: {error.strerror}"))
        else:
            logs.complain(internal_error(error))
        return 1


if __name__ == "__main__":
    main()
