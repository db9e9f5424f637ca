"""plan: read, compare, print; save the plan if asked to."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from enireconcile.aws.api import Channel, Reader
from enireconcile.cli.publish import failure, write_metrics
from enireconcile.cli.session import Connection, PlanOptions
from enireconcile.cli.signals import listening
from enireconcile.engine.planner import read_and_plan
from enireconcile.errors import EnireconcileError
from enireconcile.model import Plan, Traces
from enireconcile.outputs import logs, metrics
from enireconcile.outputs.atomic import write_whole
from enireconcile.outputs.json import (
    plan_json,
)
from enireconcile.outputs.planfile import Saved, SavedPlan
from enireconcile.outputs.text import plan_text
from enireconcile.planning.targeting import shares
from enireconcile.printable import (
    printable,
)
from enireconcile.spec import Spec

log = logging.getLogger("enireconcile.commands")


def plan_specs(specs: Sequence[Spec], connection: Connection, options: PlanOptions) -> bool:
    """Print a plan for each spec, and save them all. The answer is whether any of them has changes.

    With targets only for those specs that have some of them. Raises TargetError for one that none has.
    """
    parts, several = shares(specs, options.targets, prune=options.prune), len(specs) > 1
    specs = [spec for spec in specs if spec.file in parts]
    texts: list[str] = []
    objects: list[dict[str, Any]] = []
    made: list[Plan] = []
    traces: list[Traces] = []
    if options.metrics is not None:
        metrics.check(options.metrics)
    time.sleep(jittered(options.jitter))
    for spec in specs:
        with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
            made.append(_plan_one(spec, channel, options, parts[spec.file]))
            traced = _traced(made[-1], channel) if options.who else None
            traces.append(traced or Traces())
            if options.output == "json":
                objects.append(plan_json(made[-1], channel.calls, traced))
            else:
                texts.append(plan_text(made[-1], traced))
    if options.out is not None:
        plans = (SavedPlan(spec.file, spec.digest, each) for spec, each in zip(specs, made, strict=True))
        saved = Saved(tuple(plans), options.prune, tuple(sorted(set(options.targets))))
        write_whole(options.out, saved.text(datetime.now(UTC).isoformat(timespec="seconds")), "the plan", 0o600)
    if options.output == "json":
        click.echo(json.dumps(objects if several else objects[0], indent=2))
    elif options.output == "markdown":
        from enireconcile.outputs.markdown import plans_markdown

        click.echo(plans_markdown(made, traces))
    else:
        click.echo("\n\n".join(texts))
    if options.out is not None:
        logs.say(f"saved: `enireconcile apply --plan {printable(str(options.out))}` does exactly this")
    return any(not each.empty for each in made)


def _plan_one(spec: Spec, channel: Channel, options: PlanOptions, part: Sequence[str]) -> Plan:
    began, region = time.time(), channel.session.region
    try:
        made = listening(read_and_plan(Reader(channel), spec, region, prune=options.prune, targets=part))
    except EnireconcileError as error:
        failed = failure(spec.document.stack, error, began, region=region, api_calls=channel.calls)
        write_metrics(options.metrics, metrics.of_report(failed, "plan"))
        raise
    ended = time.time()
    # A part tells nothing of how the stack is.
    write_metrics(
        None if part else options.metrics,
        metrics.of_plan(made, ended, ended - began, channel.calls, channel.throttled),
    )
    return made


def _traced(plan: Plan, channel: Channel) -> Traces:
    """Who is behind what differs; that it cannot be known is no reason not to plan."""
    from enireconcile.cloudtrail import who

    traces = asyncio.run(who(Reader(channel), plan))
    if traces.note is not None:
        logs.warn(traces.note)
    return traces


def jittered(longest: float) -> float:
    """A random part of a time, in seconds; not a secret."""
    pause = longest * random.random()  # noqa: S311
    if pause:
        log.info("beginning in %.1f s", pause)
    return pause
