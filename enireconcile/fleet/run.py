"""What the commands of ``fleet`` do. Each returns the exit code."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import click
from msgspec import Struct

from enireconcile.cli.prompt import confirmed
from enireconcile.cli.publish import write_or_warn
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import Interrupt
from enireconcile.errors import EnireconcileError, GuardError, Problem, SpecErrors
from enireconcile.fleet.discovery import discovered
from enireconcile.fleet.file import Fleet, Portion, load_fleet
from enireconcile.fleet.local import LocalWorkers
from enireconcile.fleet.metrics import metrics_text
from enireconcile.fleet.progress import Progress
from enireconcile.fleet.report import FleetReport, report_json, summary_text, worst
from enireconcile.fleet.rollout import stop_at, waves
from enireconcile.fleet.scheduler import Scheduler, Workers
from enireconcile.fleet.specs import check_specs
from enireconcile.fleet.units import Shard, Unit, check_canaries, selected, units_of, without_units
from enireconcile.fleet.worker import Snapshot, Task, spec_of, state_of
from enireconcile.outputs import logs
from enireconcile.outputs.json import dumps
from enireconcile.outputs.outlet import Outlet, opened
from enireconcile.outputs.stdout import as_shown, print_result
from enireconcile.outputs.words import counted
from enireconcile.printable import printable
from enireconcile.spec.loading import DISK

MOST_JOBS = 32


class Choice(Struct, frozen=True):
    """Which units: ``only`` are patterns of their names. ``refresh`` reads the organization anew."""

    only: Sequence[str] = ()
    shard: Shard | None = None
    refresh: bool = False


class RunOptions(Struct, frozen=True):
    """The options of plan, apply and verify."""

    output: str = "text"
    jobs: int | None = None
    engine: str = "local"
    scheduler: str | None = None
    stop_at: Portion | None = None
    report: Outlet | None = None
    metrics: Outlet | None = None
    auto_approve: bool = False
    allow_destroy: bool = False
    max_changes: int | None = None
    lock_timeout: float = 0.0


def validate(file: str, choice: Choice, output: str) -> int:
    """Read the fleet file and every spec as each of its units does; without AWS, unless it discovers accounts."""
    try:
        fleet = load_fleet(file)
        units = _chosen(fleet, choice)
        stacks, problems = _stacks(units)
        if problems:
            raise SpecErrors(problems)
        _refuse_two_of_one_stack(units, stacks)
    except SpecErrors as errors:
        if output == "text":
            raise
        click.echo(json.dumps([problem._asdict() for problem in errors.problems], indent=2))
        return errors.exit_code
    valid = f"{printable(file)}: valid (fleet {fleet.name}, {counted(len(units), 'unit')})"
    click.echo("[]" if output == "json" else valid)
    return 0


def units(file: str, choice: Choice, output: str) -> int:
    """Print the units."""
    fleet = load_fleet(file)
    chosen = _chosen(fleet, choice)
    stacks, _ = _stacks(chosen)
    if output == "json":
        rows = [
            {
                "unit": unit.name,
                "account_id": unit.account_id,
                "account": unit.account,
                "region": unit.region,
                "spec": unit.spec,
                "stack": stacks.get(unit.name),
            }
            for unit in chosen
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        width = max((len(unit.name) for unit in chosen), default=0)
        for unit in chosen:
            stack = stacks.get(unit.name, "unreadable: `fleet validate` says why")
            click.echo(f"{unit.name:{width}}  {unit.account_id}  {stack}")
    return 0


def unlock(file: str, choice: Choice, *, auto_approve: bool, force: bool) -> int:
    """Show the locks of the chosen units, and remove those that are stale."""
    from enireconcile.cli.unlock import unlock_specs

    fleet = load_fleet(file)
    connection = Connection(region=None, profile=None, parallelism=None)
    state = state_of(fleet.rows.state)
    codes = []
    for unit in _chosen(fleet, choice, silent=True):
        click.echo(f"{unit.name}:")
        try:
            spec = spec_of(unit, DISK)
            code = unlock_specs(
                [spec], connection, state, auto_approve=auto_approve, force=force, state_as_caller=True
            )
        except EnireconcileError as error:
            logs.complain(error, unit=unit.name)
            code = error.exit_code
        codes.append(code)
    return worst(codes)


def run(file: str, command: str, choice: Choice, options: RunOptions) -> int:
    """Plan, apply or verify all chosen units."""
    fleet = load_fleet(file)
    chosen = _chosen(fleet, choice, silent=command in ("apply", "verify"))
    lanes = Counter(unit.lane for unit in chosen)
    _refuse_two_of_one_stack(chosen, _stacks([unit for unit in chosen if lanes[unit.lane] > 1])[0])
    order = waves(fleet.rows.rollout if command == "apply" else None, chosen)
    if command == "apply" and chosen:
        _approve(fleet, chosen, order, options)
    with opened(options.report, options.metrics), Interrupt() as interrupt:
        report = _run(fleet, command, chosen, order, options, interrupt)
        if options.report is not None:
            write_or_warn(options.report, json.dumps(report_json(report), indent=2) + "\n")
        if options.metrics is not None:
            write_or_warn(options.metrics, metrics_text(report, time.time()))
    if options.output == "json":
        print_result(dumps(report_json(report)))
    else:
        print_result(as_shown(summary_text(report)))
    return report.exit_code


def _run(
    fleet: Fleet,
    command: str,
    chosen: Sequence[Unit],
    order: Sequence[Sequence[Unit]],
    options: RunOptions,
    interrupt: Interrupt,
) -> FleetReport:
    began = time.monotonic()
    tasks = _tasks(fleet, command, chosen, options)
    abandoned = threading.Event()
    with (
        interrupt.handled(lambda: None, abandoned.set),
        _workers(options, fleet.rows.state, tasks, len(chosen), abandoned) as workers,
    ):
        progress = Progress(command, chosen, options.output)
        scheduler = Scheduler(
            workers,
            stop_at(fleet.rows.rollout if command == "apply" else None, options.stop_at, len(chosen)),
            progress.tell,
            lambda: interrupt.stopped_by,
            abandoned.is_set,
            progress.tick,
            changes=command == "apply",
        )
        results, begun = scheduler.run(order)
    return FleetReport(
        fleet=fleet.name,
        command=command,
        seconds=time.monotonic() - began,
        waves=begun,
        results=[results[unit.name] for unit in chosen],
        stopped=scheduler.reason,
    )


def _chosen(fleet: Fleet, choice: Choice, *, silent: bool = False) -> list[Unit]:
    """The chosen units. Warns of what has no unit, unless it is ``silent``, as a run of cron is."""
    others = discovered(fleet, refresh=choice.refresh)
    found = units_of(fleet, others)
    check_canaries(fleet, found)
    check_specs(fleet)
    if not silent:
        for problem in without_units(fleet, others, found):
            logs.warn(str(problem))
    return selected(found, choice.only, choice.shard)


def _stacks(chosen: Sequence[Unit]) -> tuple[dict[str, str], list[Problem]]:
    """The stack of each unit by its name, and the problems of the others, each told once."""
    stacks, problems = dict[str, str](), dict[str, Problem]()
    for unit in chosen:
        try:
            stacks[unit.name] = spec_of(unit, DISK).document.stack
        except SpecErrors as errors:
            problems |= {str(problem): problem for problem in errors.problems}
    return stacks, list(problems.values())


def _tasks(fleet: Fleet, command: str, chosen: Sequence[Unit], options: RunOptions) -> Callable[[Unit], str]:
    """What makes the task of a unit. All files are read now: no unit gets another text than its canary."""
    known, files = dict[str, str](), dict[str, Mapping[str, str]]()
    for unit in chosen:
        snapshot = Snapshot(known)
        with suppress(OSError, ValueError, SpecErrors):  # the unit tells what is wrong
            if b"user_data_file" in snapshot.read(unit.file):
                spec_of(unit, snapshot)
        files[unit.name] = snapshot.files

    def task(unit: Unit) -> str:
        return Task(
            unit=unit,
            command=command,
            files=files[unit.name],
            state=fleet.rows.state,
            allow_destroy=options.allow_destroy,
            max_changes=options.max_changes,
            lock_timeout=options.lock_timeout,
            output=options.output,
        ).dumps()

    return task


def _refuse_two_of_one_stack(chosen: Sequence[Unit], stacks: Mapping[str, str]) -> None:
    """Raises SpecErrors if two units of an account and Region are one stack: they would undo each other."""
    owners: dict[tuple[str, str, str], Unit] = {}
    for unit in chosen:
        if stack := stacks.get(unit.name):
            first = owners.setdefault((*unit.lane, stack), unit)
            if first is not unit:
                message = f"stack {stack} is in {first.file}, too, in the same account and Region"
                raise SpecErrors([Problem(unit.file, 1, 1, "stack", message, "choose another stack name")])


def _approve(fleet: Fleet, chosen: Sequence[Unit], order: Sequence[Sequence[Unit]], options: RunOptions) -> None:
    """Ask before an apply, unless -y is given. Raises GuardError."""
    if options.auto_approve:
        return
    if not sys.stdin.isatty():
        raise GuardError("cannot ask for approval: stdin is not a terminal", hint="give -y to run unattended")
    accounts = counted(len({unit.account_id for unit in chosen}), "account")
    steps = f" in {len(order)} waves" if len(order) > 1 else ""
    units = counted(len(chosen), "unit")
    logs.say(f"{fleet.name}: {units} in {accounts}{steps}; `enireconcile fleet plan` shows the changes")
    if not confirmed("Apply all units, without further questions?"):
        raise GuardError("the apply was not approved; nothing was changed")


@contextmanager
def _workers(
    options: RunOptions, state: str | None, task: Callable[[Unit], str], units: int, abandoned: threading.Event
) -> Iterator[Workers]:
    if options.engine == "dask":
        from enireconcile.fleet.dask import dask_workers

        with dask_workers(options.scheduler or "", state, options.jobs, task) as workers:
            yield workers
        return
    jobs = options.jobs or min(2 * (os.cpu_count() or 1), MOST_JOBS)
    local = LocalWorkers(max(1, min(jobs, units)), task)
    try:
        yield local
    finally:
        if abandoned.is_set():
            local.abandon()
        else:
            local.close()
