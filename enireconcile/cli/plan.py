"""plan: read, compare, print; save the plan if asked to."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
from enireconcile.engine.planner import look
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
from enireconcile.outputs.words import several_words
from enireconcile.planning.targeting import targets_by_file
from enireconcile.printable import printable, printable_lines
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

    @property
    def subject(self) -> Plan | Report:
        return self.plan


class Unplanned(Struct, frozen=True):
    """A spec that could not be planned, and why: as an error, and as a report."""

    spec: Spec
    error: EnireconcileError
    report: Report

    @property
    def subject(self) -> Plan | Report:
        return self.report


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
        runs, labels = list[metrics.Run](), labels_of(specs)

        def work(spec: Spec, _: Interrupt) -> Planned | Unplanned:
            with logs.about(spec.document.stack, labels[spec.file]):
                return _plan_one(spec, written[spec.file], connection, options, targets[spec.file], runs.append)

        chosen = [spec for spec in specs if spec.file in targets]
        try:
            results = Several(work, connection, Interrupt(), options.jobs).run(chosen)
        finally:
            write_metrics(options.metrics, runs)
        planned = [result for result in results if isinstance(result, Planned)]
        unplanned = [result for result in results if isinstance(result, Unplanned)]
        if unplanned and not several:
            if options.output == "markdown":
                click.echo(_comment(results, refused))
            raise unplanned[0].error
        complain_of_stacks(specs, {each.spec.file: each.error for each in unplanned})
        try:
            if (unplanned or refused) and (options.out or options.graph or options.html):
                missing = [
                    *map(printable, files_of(refused)),
                    *(names(specs)[each.spec.file] for each in unplanned),
                ]
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
                click.echo(_comment(results, refused))
            else:
                _print(planned, options.output, as_list=several)
            if several and options.output == "text":
                subjects = [(names(specs)[each.spec.file], each.subject) for each in results]
                words = several_words(subjects, len(files_of(refused)))
                click.echo("\n" + as_shown(printable_lines(words)))
    if options.out is not None:
        path = printable(str(options.out.path))
        logs.say(f"plan saved: `enireconcile apply --plan {path}` applies exactly this plan")
    if options.output == "text" and sys.stdout.isatty() and (line := how_to_explain(planned, options)):
        logs.say(line)
    if options.output == "json":
        for each in planned:
            with logs.about(each.plan.stack, labels[each.spec.file]):
                complain_of_errors(each.plan.errors)
    codes = [each.error.exit_code for each in unplanned] + [1 for each in planned if each.plan.errors]
    return Result(any(not each.plan.empty for each in planned), max([refused_code, *codes]))


def _plan_one(
    spec: Spec,
    written: Spec,
    connection: Connection,
    options: PlanOptions,
    targets: Sequence[str],
    measure: Callable[[metrics.Run], object],
) -> Planned | Unplanned:
    """``spec`` is what is planned, of a plan that destroys an emptied one, and ``written`` what the file says.

    ``measure`` gets the figures, also of a failure.
    """
    began, region = time.time(), connection.region or spec.document.region
    calls: Mapping[str, int] = {}
    try:
        with connection.open(spec, read_only=True) as channel:
            region, calls = channel.session.region, channel.calls
            seen = run_async(look(Reader(channel), spec, region, prune=options.prune, targets=targets))
            ended = time.time()
            figures = metrics.of_plan(seen.plan, ended, ended - began, dict(calls), channel.throttled)
            traces = _traces(seen.plan, channel) if options.who else None
            live = seen.live
            if options.destroy and (options.graph or options.html):
                # What is removed is drawn in its subnets, which no row of an emptied spec names.
                live = run_async(with_networks(Reader(channel), written.document, live))
            planned = Planned(spec, seen.plan, live, traces, dict(calls), channel.session.endpoint)
    except EnireconcileError as error:
        account, api_calls = spec.document.account, dict(sorted(calls.items()))
        report = failure(spec.document.stack, error, began, account_id=account, region=region, api_calls=api_calls)
        measure(metrics.of_report(report, "plan"))
        return Unplanned(spec, error, report)
    # A plan of some targets does not show the state of the whole stack.
    if not targets:
        measure(figures)
    return planned


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


def print_refused(refused: SpecErrors) -> None:
    """Print what is wrong with the files, as Markdown, if none is valid."""
    click.echo(_comment([], refused))


def _comment(results: Sequence[Planned | Unplanned], refused: SpecErrors | None) -> str:
    """The plans as Markdown, with what could not be planned, and then the refused files."""
    from enireconcile.outputs.markdown import plans_markdown

    return plans_markdown(
        [each.subject for each in results],
        [(each.traces if isinstance(each, Planned) else None) or Traces() for each in results],
        [each.endpoint if isinstance(each, Planned) else None for each in results],
        refused.problems if refused else (),
    )


def _print(planned: Sequence[Planned], output: str, *, as_list: bool) -> None:
    if output == "json":
        objects = [plan_json(each.plan, each.api_calls, each.traces) for each in planned]
        click.echo(json.dumps(objects if as_list else objects[0], indent=2))
    else:
        texts = (plan_text(each.plan, each.traces, click.style, endpoint=each.endpoint) for each in planned)
        click.echo(as_shown("\n\n".join(texts)))
