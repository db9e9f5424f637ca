"""explain: why a plan has a step, and why in this order. Changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click

from enireconcile.aws.api import Reader
from enireconcile.cli.apply import read_planfile
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.engine.planner import look
from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.model import Plan
from enireconcile.outputs import logs
from enireconcile.outputs.explain import explained_json, explained_text
from enireconcile.outputs.stdout import as_shown
from enireconcile.planning.explain import explain, known_addresses
from enireconcile.printable import printable
from enireconcile.spec import Spec
from enireconcile.spec.loading import STDIN

_Planned = tuple[Plan, Spec | None, str | None]
"""A plan, its spec as far as it is known, and EC2's endpoint if a read of now shows that it is not AWS's."""


def explain_specs(
    specs: Sequence[Spec], asked: str, connection: Connection, output: str, *, prune: bool, destroy: bool
) -> int:
    """Plan each spec, and explain the address or step. Returns the exit code."""
    planned: list[_Planned] = []
    for spec in specs:
        emptied = spec.emptied() if destroy else spec
        with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
            seen = run_async(look(Reader(channel), emptied, channel.session.region, prune=prune or destroy))
            planned.append((seen.plan, emptied, channel.session.endpoint))
    return _print(planned, asked, output)


def explain_planfile(path: Path, asked: str, load: Callable[[Sequence[str]], Sequence[Spec]], output: str) -> int:
    """Explain the address or step of a saved plan, with places where its specs are as they were."""
    saved = read_planfile(path)
    planned: list[_Planned] = []
    for each in saved.plans:
        spec = None
        if each.file != STDIN:
            with suppress(SpecErrors):
                (spec,) = load([each.file])
        planned.append((each.plan, spec if spec is not None and spec.digest == each.digest else None, None))
    return _print(planned, asked, output)


def _print(planned: Sequence[_Planned], asked: str, output: str) -> int:
    plan, spec, endpoint = _the_one(planned, asked)
    explained = explain(plan, asked, spec)
    if output == "json":
        click.echo(json.dumps(explained_json(plan, explained), indent=2))
    else:
        click.echo(as_shown(explained_text(plan, explained, click.style, endpoint=endpoint)))
    return 0


def _the_one(planned: Sequence[_Planned], asked: str) -> _Planned:
    """The plan that has what is asked. Raises EnireconcileError if several have it."""
    if re.fullmatch("s[0-9]+", asked):
        found = [each for each in planned if any(step.id == asked for step in each[0].steps)]
    else:
        found = [each for each in planned if asked in known_addresses(each[0])]
    if len(found) > 1:
        stacks = " and ".join(each[0].stack for each in found)
        message = f"{printable(asked)} is in the plans of the stacks {stacks}"
        raise EnireconcileError(message, hint="give the spec of one of them only")
    return (found or planned)[0]
