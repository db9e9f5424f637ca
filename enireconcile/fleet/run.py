"""What the commands of ``fleet`` do. Each returns the exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import click

from enireconcile.cli.prompt import confirmed
from enireconcile.errors import GuardError, Problem, SpecErrors
from enireconcile.fleet.discovery import discovered
from enireconcile.fleet.file import Fleet, Portion, load_fleet
from enireconcile.fleet.local import LocalWorkers
from enireconcile.fleet.metrics import metrics_text
from enireconcile.fleet.progress import Progress
from enireconcile.fleet.report import FleetReport, UnitResult, report_json, summary_text, unit_json
from enireconcile.fleet.rollout import stop_at, waves
from enireconcile.fleet.scheduler import Scheduler, Workers
from enireconcile.fleet.units import Shard, Unit, selected, units_of
from enireconcile.fleet.worker import Recording, Task, spec_of
from enireconcile.outputs import logs
from enireconcile.outputs.outlet import Outlet, opened
from enireconcile.outputs.stdout import print_result
from enireconcile.printable import printable

MOST_JOBS = 32


@dataclass(frozen=True)
class Choice:
    """Which units: ``only`` are patterns of their names. ``refresh`` reads the organization anew."""

    only: Sequence[str] = ()
    shard: Shard | None = None
    refresh: bool = False


@dataclass(frozen=True)
class RunOptions:
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


def validate(file: str, choice: Choice, output: str) -> int:
    """Read the fleet file and every spec as each of its units does; without AWS, unless it discovers accounts."""
    problems = []
    fleet, units = load_fleet(file), list[Unit]()
    try:
        units = _chosen(fleet, choice)
        _loaded(units)
    except SpecErrors as errors:
        problems = list(errors.problems)
    if output == "json":
        click.echo(json.dumps([vars(problem) for problem in problems], indent=2))
    elif not problems:
        click.echo(f"{printable(file)}: valid (fleet {fleet.name}, {len(units)} units)")
    else:
        raise SpecErrors(problems)
    return 1 if problems else 0


def units(file: str, choice: Choice, output: str) -> int:
    """Print the units."""
    fleet = load_fleet(file)
    chosen = _chosen(fleet, choice)
    stacks = _stacks(chosen)
    if output == "json":
        rows = [
            {
                "unit": unit.name,
                "account_id": unit.account_id,
                "account": unit.account,
                "region": unit.region,
                "spec": unit.spec,
                "stack": stacks[unit.name],
            }
            for unit in chosen
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        for unit in chosen:
            stack = stacks[unit.name] or "unreadable: `fleet validate` says why"
            click.echo(f"{unit.name}  {unit.account_id}  {stack}")
    return 0


def run(file: str, command: str, choice: Choice, options: RunOptions) -> int:
    """Plan, apply or verify all chosen units."""
    fleet = load_fleet(file)
    chosen = _chosen(fleet, choice)
    order = waves(fleet.rows.rollout if command == "apply" else None, chosen)
    if command == "apply" and chosen:
        _approve(fleet, chosen, order, options)
    with opened(options.report, options.metrics):
        report = _run(fleet, command, chosen, order, options)
        if options.report is not None:
            options.report.write(json.dumps(report_json(report), indent=2) + "\n")
        if options.metrics is not None:
            options.metrics.write(metrics_text(report, time.time()))
    if options.output == "json":
        print_result(json.dumps(report_json(report)))
    else:
        print_result(summary_text(report))
    return report.exit_code


def _run(
    fleet: Fleet, command: str, chosen: Sequence[Unit], order: Sequence[Sequence[Unit]], options: RunOptions
) -> FleetReport:
    began = time.monotonic()
    tasks = _tasks(fleet, command, options)
    with _stoppable() as stopped, _workers(options, tasks, len(chosen)) as workers:
        progress = Progress(len(chosen), text=options.output == "text")

        def tell(result: UnitResult) -> None:
            if options.output == "json":
                print_result(json.dumps({"type": "unit", **unit_json(result)}))
            progress.tell(result)

        scheduler = Scheduler(
            workers,
            stop_at(fleet.rows.rollout if command == "apply" else None, options.stop_at, len(chosen)),
            tell,
            stopped,
        )
        with progress:
            results, counted = scheduler.run(order)
    return FleetReport(
        fleet=fleet.name,
        command=command,
        seconds=time.monotonic() - began,
        waves=counted,
        results=[results[unit.name] for unit in chosen],
        stopped=scheduler.reason,
    )


def _chosen(fleet: Fleet, choice: Choice) -> list[Unit]:
    return selected(units_of(fleet, discovered(fleet, refresh=choice.refresh)), choice.only, choice.shard)


def _loaded(chosen: Sequence[Unit]) -> dict[str, str]:
    """The stack of each unit by its name. Raises SpecErrors with the problems of all units, each told once."""
    stacks, problems = dict[str, str](), dict[tuple[str, ...], Problem]()
    owners: dict[tuple[str, str, str], Unit] = {}
    for unit in chosen:
        try:
            stacks[unit.name] = spec_of(unit, Recording()).document.stack
        except SpecErrors as errors:
            problems |= {(str(problem),): problem for problem in errors.problems}
            continue
        first = owners.setdefault((*unit.lane, stacks[unit.name]), unit)
        if first is not unit:
            message = f"stack {stacks[unit.name]} is in {first.file}, too, in the same account and Region"
            problems.setdefault((unit.file, first.file), Problem(unit.file, 1, 1, "stack", message))
    if problems:
        raise SpecErrors(list(problems.values()))
    return stacks


def _stacks(chosen: Sequence[Unit]) -> dict[str, str | None]:
    """The stack of each unit by its name, None for a spec that has mistakes."""
    stacks: dict[str, str | None] = {}
    for unit in chosen:
        try:
            stacks[unit.name] = spec_of(unit, Recording()).document.stack
        except SpecErrors:
            stacks[unit.name] = None
    return stacks


def _tasks(fleet: Fleet, command: str, options: RunOptions) -> Callable[[Unit], str]:
    """What makes the task of a unit, with the files that it needs."""
    contents: dict[str, bytes | None] = {}

    def files_of(unit: Unit) -> Mapping[str, str]:
        recording = Recording()
        if unit.file not in contents:
            try:
                contents[unit.file] = recording.read(unit.file)
            except (OSError, ValueError):
                contents[unit.file] = None
        source = contents[unit.file]
        if source is None:
            return {}
        recording.read(unit.file)
        if b"user_data_file" in source:
            with suppress(SpecErrors):  # the unit tells them
                spec_of(unit, recording)
        return recording.files

    def task(unit: Unit) -> str:
        return Task(
            unit=unit,
            command=command,
            files=files_of(unit),
            state=fleet.rows.state,
            allow_destroy=options.allow_destroy,
            max_changes=options.max_changes,
        ).dumps()

    return task


def _approve(fleet: Fleet, chosen: Sequence[Unit], order: Sequence[Sequence[Unit]], options: RunOptions) -> None:
    """Ask before an apply, unless -y is given. Raises GuardError."""
    if options.auto_approve:
        return
    if not sys.stdin.isatty():
        raise GuardError("cannot ask for approval: stdin is not a terminal", hint="give -y to run unattended")
    accounts = len({unit.account_id for unit in chosen})
    steps = f" in {len(order)} waves" if len(order) > 1 else ""
    logs.say(f"{fleet.name}: {len(chosen)} units in {accounts} accounts{steps}; `fleet plan` shows the changes")
    if not confirmed("Apply all units, without further questions?"):
        raise GuardError("the apply was not approved; nothing was changed")


@contextmanager
def _workers(options: RunOptions, task: Callable[[Unit], str], units: int) -> Iterator[Workers]:
    jobs = max(
        1, min(options.jobs or 2 * (os.cpu_count() or 1), MOST_JOBS if options.jobs is None else 1000, units)
    )
    if options.engine == "dask":
        from enireconcile.fleet.dask import dask_workers

        with dask_workers(options.scheduler, options.jobs, task) as workers:
            yield workers
        return
    if options.scheduler is not None:
        raise click.UsageError("--scheduler is for --engine dask only.")
    local = LocalWorkers(jobs, task)
    try:
        yield local
    finally:
        local.close()


@contextmanager
def _stoppable() -> Iterator[Callable[[], str | None]]:
    """Yields what says which signal has come. The second one ends the program."""
    came: list[str] = []

    def handle(number: int, _: FrameType | None) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if came:
            os._exit(128 + number)
        came.append(name)
        logs.say(f"stopped by {name}: waiting for the units in flight ({name} again exits immediately)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: f"stopped by {came[0]}" if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
