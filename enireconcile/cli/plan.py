"""plan: read, compare, print; save the plan if asked to."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import click
from msgspec import Struct
from msgspec.structs import replace

from enireconcile.aws.api import Channel, Reader
from enireconcile.cli.options import PICTURES
from enireconcile.cli.publish import (
    complain_of_errors,
    complain_of_files,
    complain_of_stacks,
    failure,
    files_of,
    labels_of,
    names,
    write_metrics,
)
from enireconcile.cli.session import Connection, PlanOptions, random_delay
from enireconcile.cli.several import Several
from enireconcile.cli.signals import Interrupt, run_async
from enireconcile.engine.planner import Seen, look
from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.live.reader import with_networks
from enireconcile.live.records import Live
from enireconcile.model import Plan, Report, Traces
from enireconcile.outputs import logs, metrics
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.outlet import Outlet, opened
from enireconcile.outputs.planfile import Saved, SavedPlan
from enireconcile.outputs.stdout import as_shown
from enireconcile.outputs.text import plan_text
from enireconcile.outputs.words import of_several
from enireconcile.planning.targeting import targets_by_file
from enireconcile.printable import printable
from enireconcile.spec import STDIN, Loaded, Spec

_SHORT = 3
"""The most calls of a plan that needs no pointer to ``explain``."""


class Planned(Struct, frozen=True):
    """A spec, its plan and the read for that; with ``--who`` who changed what differs; and the calls to AWS.

    ``endpoint`` is that of EC2, if it is not AWS's.
    """

    spec: Spec
    plan: Plan
    live: Live
    traces: Traces | None
    api_calls: Mapping[str, int]
    endpoint: str | None


class Result(Struct, frozen=True):
    """Whether any of the plans has changes, and the exit code of errors: of rows, or of stacks without a plan."""

    has_changes: bool
    error_code: int


def plan_specs(loaded: Loaded, connection: Connection, options: PlanOptions) -> Result:
    """Print a plan for each spec, and save and draw them all.

    With targets, only specs that have some of them are planned. Raises TargetError for a target that none has,
    EnireconcileError if the plans cannot be saved or drawn; they are printed all the same.
    """
    specs, refused = loaded.specs, loaded.refused
    several, refused_code = len(specs) > 1 or refused is not None, complain_of_files(refused)
    written = {spec.file: spec for spec in specs}
    if options.destroy:
        specs, options = [spec.emptied() for spec in specs], replace(options, prune=True)
    targets = targets_by_file(specs, options.targets, prune=options.prune)
    with opened(options.out, options.graph, options.html, options.metrics):
        time.sleep(random_delay(options.jitter))
        failed, runs, labels = dict[str, EnireconcileError](), list[metrics.Run](), labels_of(specs)

        def work(spec: Spec, _: Interrupt) -> Planned | None:
            try:
                with logs.about(spec.document.stack, labels[spec.file]):
                    return _plan_one(
                        spec, written[spec.file], connection, options, targets[spec.file], runs.append
                    )
            except EnireconcileError as error:
                failed[spec.file] = error
                if not several:
                    raise
                return None

        chosen = [spec for spec in specs if spec.file in targets]
        try:
            results = Several(work, connection, Interrupt(), options.jobs).run(chosen)
        except EnireconcileError:
            # The only stack, whose error the command tells.
            if options.output == "markdown":
                click.echo(_comment(chosen, [], failed, refused, connection.region))
            raise
        finally:
            write_metrics(options.metrics, runs)
        planned = [result for result in results if result is not None]
        complain_of_stacks(specs, failed)
        try:
            if (failed or refused) and (options.out or options.graph or options.html):
                missing = [*map(printable, files_of(refused)), *(names(specs)[file] for file in failed)]
                raise EnireconcileError(
                    f"nothing is saved: {', '.join(missing)} could not be planned",
                    hint="correct that, or give the other specs only",
                )
            if options.out is not None:
                _save(options.out, planned, options)
            if options.graph is not None:
                _draw(options.graph, planned)
            if options.html is not None:
                _write_page(options.html, planned)
        finally:
            if options.output == "markdown":
                click.echo(_comment(chosen, planned, failed, refused, connection.region))
            else:
                _print(planned, options.output, as_list=several)
            if several and options.output == "text":
                click.echo("\n" + as_shown(_summary(planned, names(specs), failed, len(files_of(refused)))))
    if options.out is not None:
        path = printable(str(options.out.path))
        logs.say(f"plan saved: `enireconcile apply --plan {path}` applies exactly this plan")
    if options.output == "text" and sys.stdout.isatty() and (line := how_to_explain(planned, options)):
        logs.say(line)
    if options.output == "json":
        for each in planned:
            with logs.about(each.plan.stack, labels[each.spec.file]):
                complain_of_errors(each.plan.errors)
    codes = [error.exit_code for error in failed.values()] + [1 for each in planned if each.plan.errors]
    return Result(any(not each.plan.empty for each in planned), max([refused_code, *codes]))


def _plan_one(
    spec: Spec,
    written: Spec,
    connection: Connection,
    options: PlanOptions,
    targets: Sequence[str],
    measure: Callable[[metrics.Run], object],
) -> Planned:
    """``spec`` is what is planned, of a plan that destroys an emptied one, and ``written`` what the file says."""
    with connection.open(spec, read_only=True) as channel:
        seen = _read_and_plan(spec, channel, options, targets, measure)
        traces = _traces(seen.plan, channel) if options.who else None
        live = seen.live
        if options.destroy and (options.graph or options.html):
            # What is removed is drawn in its subnets, which no row of an emptied spec names.
            live = run_async(with_networks(Reader(channel), written.document, live))
        return Planned(spec, seen.plan, live, traces, dict(channel.calls), channel.session.endpoint)


def _read_and_plan(
    spec: Spec,
    channel: Channel,
    options: PlanOptions,
    targets: Sequence[str],
    measure: Callable[[metrics.Run], object],
) -> Seen:
    """Read and plan; ``measure`` gets the figures, also of a failure."""
    began, region = time.time(), channel.session.region
    try:
        seen = run_async(look(Reader(channel), spec, region, prune=options.prune, targets=targets))
    except EnireconcileError as error:
        failed = failure(spec.document.stack, error, began, region=region, api_calls=channel.calls)
        measure(metrics.of_report(failed, "plan"))
        raise
    ended = time.time()
    # A plan of some targets does not show the state of the whole stack.
    if not targets:
        measure(metrics.of_plan(seen.plan, ended, ended - began, channel.calls, channel.throttled))
    return seen


def _traces(plan: Plan, channel: Channel) -> Traces:
    """Who changed what differs. If CloudTrail cannot be asked, that is a warning only."""
    from enireconcile.cloudtrail import who

    traces = asyncio.run(who(Reader(channel), plan))
    if traces.note is not None:
        logs.warn(traces.note)
    return traces


def _save(out: Outlet, planned: Sequence[Planned], options: PlanOptions) -> None:
    plans = tuple(SavedPlan(each.spec.file, each.spec.digest, each.plan) for each in planned)
    saved = Saved(plans, options.prune, options.destroy)
    out.write(saved.text(datetime.now(UTC).isoformat(timespec="seconds")))


def _draw(out: Outlet, planned: Sequence[Planned]) -> None:
    from enireconcile.cli.graph import drawn
    from enireconcile.outputs.graph import plan_picture

    pictures = [plan_picture(each.plan, each.spec.document, each.live) for each in planned]
    endpoints = [each.endpoint for each in planned]
    out.write(drawn(pictures, PICTURES[out.path.suffix.lower()], "plan", endpoints))


def _write_page(outlet: Outlet, planned: Sequence[Planned]) -> None:
    from enireconcile.outputs import html

    plans = [
        html.Planned(
            each.plan,
            html.pictures_of(each.plan, each.spec.document, each.live),
            each.traces or Traces(),
            each.endpoint,
        )
        for each in planned
    ]
    outlet.write(html.plans_html(plans, datetime.now(UTC)))


def how_to_explain(planned: Sequence[Planned], options: PlanOptions) -> str | None:
    """The command that says why of the first plan of some length; a short one needs none."""
    for each in planned:
        if len(each.plan.steps) > _SHORT and each.spec.file != STDIN:
            flags = ["--destroy"] if options.destroy else ["--prune"] if options.prune else []
            line = shlex.join(["enireconcile", "explain", *flags, each.spec.file, each.plan.differing[0]])
            return f"Why these calls, and why in this order:\n  {printable(line)}"
    return None


def _summary(planned: Sequence[Planned], called: Mapping[str, str], failed: Collection[str], refused: int) -> str:
    """What became of the stacks; ``called`` are their names and ``failed`` those without a plan, by file."""
    outcomes = [(called[file], "failed") for file in failed]
    for each in planned:
        found = "with errors" if each.plan.errors else "unchanged" if each.plan.empty else "with changes"
        outcomes.append((called[each.spec.file], found))
    return printable(of_several(outcomes, {"with errors", "failed"}, refused))


def print_refused(refused: SpecErrors) -> None:
    """Print what is wrong with the files, as Markdown, if none is valid."""
    click.echo(_comment([], [], {}, refused))


def _comment(
    specs: Sequence[Spec],
    planned: Sequence[Planned],
    failed: Mapping[str, EnireconcileError],
    refused: SpecErrors | None,
    region: str | None = None,
) -> str:
    """The plans as Markdown, in the order of the specs, with those that ``failed``, and then the refused files.

    ``region`` overrides those of the specs.
    """
    from enireconcile.outputs.markdown import plans_markdown

    plans: dict[str, tuple[Plan | Report, Traces, str | None]] = {
        each.spec.file: (each.plan, each.traces or Traces(), each.endpoint) for each in planned
    }
    for spec in specs:
        if error := failed.get(spec.file):
            document, account_id = spec.document, spec.document.account_id or spec.document.role_account
            where = region or document.region
            report = failure(document.stack, error, account_id=account_id, region=where)
            plans[spec.file] = report, Traces(), None
    shown = [plans[spec.file] for spec in specs if spec.file in plans]
    return plans_markdown(
        [plan for plan, _, _ in shown],
        [traces for _, traces, _ in shown],
        [endpoint for _, _, endpoint in shown],
        refused.problems if refused else (),
    )


def _print(planned: Sequence[Planned], output: str, *, as_list: bool) -> None:
    if output == "json":
        objects = [plan_json(each.plan, each.api_calls, each.traces) for each in planned]
        click.echo(json.dumps(objects if as_list else objects[0], indent=2))
    else:
        texts = (plan_text(each.plan, each.traces, click.style, endpoint=each.endpoint) for each in planned)
        click.echo(as_shown("\n\n".join(texts)))
