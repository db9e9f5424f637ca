"""What a worker does: one unit, from JSON text to JSON text.

``run_unit`` is what a worker calls, by name. Credentials never travel: a worker has its own.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import asdict, replace

from enireconcile.aws.api import Reader
from enireconcile.cli.publish import outcome_of
from enireconcile.cli.run import StackRun
from enireconcile.cli.session import ApplyOptions, Connection
from enireconcile.cli.signals import Interrupt
from enireconcile.cli.verify import run_checks
from enireconcile.engine.planner import look
from enireconcile.errors import EnireconcileError, Problem, SpecErrors, internal_error
from enireconcile.fleet.file import unpacked
from enireconcile.fleet.report import CODES, UnitResult
from enireconcile.fleet.units import Unit
from enireconcile.model import CHECK_FAILED, Action, Plan, PlanError, Status
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.progress import json_lines
from enireconcile.outputs.text import plan_text
from enireconcile.spec import Disk, Given, Spec, load
from enireconcile.spec.checks import check
from enireconcile.spec.suggest import hint_text
from enireconcile.spec.userdata import text_if_it_is

# The result says what went wrong; the run that gets it tells the user.
logging.getLogger("enireconcile").addHandler(logging.NullHandler())


class Task(Struct, frozen=True):
    """What to do with a unit. ``files`` are the spec and its user data files, in base64 by path.

    ``state`` is the fleet's; ``max_changes``, ``allow_destroy``, ``lock_timeout`` (in seconds) and ``output`` are
    those of the command line.
    """

    unit: Unit
    command: str
    files: Mapping[str, str]
    state: str | None = None
    allow_destroy: bool = False
    max_changes: int | None = None
    lock_timeout: float = 0.0
    output: str = "text"

    def dumps(self) -> str:
        return json.dumps(to_builtins(self))


def run_unit(text: str, interrupt: Interrupt | None = None) -> str:
    """Plan, apply or verify a unit. Takes a Task and returns a UnitResult, both as JSON. Raises nothing.

    ``interrupt`` can stop it after the calls in flight.
    """
    given: dict[str, Any] = json.loads(text)
    task = Task(**{**given, "unit": Unit(**given["unit"])})
    began = time.monotonic()
    result = _result(task, interrupt or Interrupt())
    made = asdict(replace(result, seconds=time.monotonic() - began))
    return json.dumps({key: value for key, value in made.items() if key != "unit"})


def read_result(unit: Unit, text: str) -> UnitResult:
    """The result that ``run_unit`` returned for a unit."""
    return UnitResult(unit, **json.loads(text))


def _result(task: Task, interrupt: Interrupt) -> UnitResult:
    result = UnitResult(task.unit, "failed", code=CODES["failed"])
    try:
        spec = spec_of(task.unit, Carried(task.files))
        result = replace(result, stack=spec.document.stack)
        found = _COMMANDS[task.command](task, spec, interrupt)
        return replace(result, **{"code": CODES[found["outcome"]], **found})
    except EnireconcileError as error:
        return _failure(task, result, error)
    except Exception as error:  # noqa: BLE001 (a bug costs one unit, not the fleet)
        return _failure(task, result, internal_error(error))


def _failure(task: Task, result: UnitResult, error: EnireconcileError) -> UnitResult:
    outcome = outcome_of(error)
    if outcome == "partial" and task.command != "apply":
        outcome = "failed"  # It was stopped, and there is nothing to converge.
    return replace(result, outcome=outcome, error=_for_fleets(result.unit, str(error)), code=CODES[outcome])


def _for_fleets(unit: Unit, text: str) -> str:
    """The text, with the commands and options of a fleet for those of one stack."""

    def for_fleets(found: re.Match[str]) -> str:
        return f"`enireconcile fleet {found[1]} --only {unit.name} FLEET`"

    text = re.sub(r"`enireconcile (apply|unlock)( [^`]*)?`", for_fleets, text)
    return re.sub(r"(?<!\S)--state\b", "`state` of the fleet file", text)


class Carried(Disk):
    """Files that came with a task; only those of them that are missing are read from the disk."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def read(self, file: str) -> bytes:
        return base64.b64decode(self._files[file]) if file in self._files else super().read(file)

    def user_data(self, named: object, root: Path) -> str | bytes:
        path = str(root / str(named))
        if path not in self._files:
            return super().user_data(named, root)
        return text_if_it_is(base64.b64decode(self._files[path]))


class Snapshot(Disk):
    """Reads for one unit. ``files`` is what its task carries, ``known`` what the units of the run have read.

    Each file is read once: all units get the same text.
    """

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.files: dict[str, str] = {}

    def read(self, file: str) -> bytes:
        if file not in self._known:
            self._known[file] = base64.b64encode(super().read(file)).decode()
        self.files[file] = self._known[file]
        return base64.b64decode(self.files[file])

    def user_data(self, named: object, root: Path) -> str | bytes:
        path = str(root / str(named))
        if path not in self._known:
            content = super().user_data(named, root)
            raw = content if isinstance(content, bytes) else content.encode()
            self._known[path] = base64.b64encode(raw).decode()
        self.files[path] = self._known[path]
        return text_if_it_is(base64.b64decode(self.files[path]))


def state_of(named: str | None) -> str | None:
    """The state that a fleet file names, else that of the environment."""
    return named or os.environ.get("ENIRECONCILE_STATE")


def spec_of(unit: Unit, disk: Disk) -> Spec:
    """The spec of a unit, with the account, the Region and the role of the unit. Raises SpecErrors."""
    given = Given(unpacked(unit.variables) if unit.variables else {}, unit.region, unit.account_id)
    loaded = load([unit.file], given=given, every_variable=False, disk=disk)
    if Path(unit.file).is_dir() or len(loaded) != 1:
        raise SpecErrors([Problem(unit.file, 1, 1, "", "is a directory", "name one spec file for each entry")])
    [spec] = loaded
    changes: dict[str, Any] = {"region": unit.region, "account_id": unit.account_id}
    if unit.role is not None:
        changes |= {"assume_role_arn": unit.role, "external_id": unit.external_id}
    document = spec.document.model_copy(update=changes)
    # What the file alone does not contradict, the unit's Region may.
    if problems := [spec.problem(each.path, each.message, hint_text(each.hint)) for each in check(document, {})]:
        raise SpecErrors(problems)
    return replace(spec, document=document)


def _plan(task: Task, spec: Spec, interrupt: Interrupt) -> dict[str, Any]:
    with _CONNECTION.open(spec, read_only=True, interrupt=interrupt) as channel:
        reading = look(Reader(channel), spec, channel.session.region)
        plan = interrupt.run(reading, lambda _: channel.waits()).plan
        calls = dict(channel.calls)
    changes = sum(change.action is not Action.UNCHANGED for change in plan.changes)
    found: dict[str, Any] = {"outcome": "changes" if changes else "unchanged", "changes": changes}
    if plan.errors:
        found |= {"outcome": "failed", "error": _for_fleets(task.unit, _messages(plan.errors))}
    if changes or plan.errors or plan.warnings or plan.leftovers:
        found["details"] = plan_json(plan, calls) if task.output == "json" else _text(plan)
    return found


def _text(plan: Plan) -> str:
    """The plan below its first line, which says where: the unit does."""
    return plan_text(plan, errors=False).partition("\n")[2].strip("\n")


def _apply(task: Task, spec: Spec, interrupt: Interrupt) -> dict[str, Any]:
    changed: set[str] = set()

    def note(event: Mapping[str, Any]) -> None:
        if event["type"] == "step" and event["status"] == "done":
            changed.add(event["address"])

    options = ApplyOptions(
        output="none",
        auto_approve=True,
        report=None,
        timeout=None,
        settle_timeout=30.0,
        lock_timeout=task.lock_timeout,
        state=state_of(task.state),
        state_as_caller=True,
        allow_destroy=task.allow_destroy,
        max_changes=task.max_changes,
        progress=json_lines(note),
    )
    report = StackRun(spec, options, interrupt).run(_CONNECTION)
    failed = [each for each in report.outcomes if each.status is Status.FAILED]
    broken = [f"{each.step.call} for {each.step.address}: {each.error}" for each in failed]
    parts = [*filter(None, [report.error]), *broken, *filter(None, [_messages(report.errors)])]
    why = _for_fleets(task.unit, "\n".join(dict.fromkeys(parts)))
    return {
        "outcome": report.outcome,
        "changes": len(changed),
        "error": why or None if report.exit_code else None,
        "code": report.exit_code,
    }


def _verify(task: Task, spec: Spec, interrupt: Interrupt) -> dict[str, Any]:
    checked = run_checks(spec, _CONNECTION, interrupt, json_lines(lambda _: None)).results
    failed = [f"check {check.name}: {check.why}" for check in checked if not check.ok]
    if not failed:
        return {"outcome": "unchanged", "checks": len(checked)}
    why = _for_fleets(task.unit, "\n".join(failed))
    return {"outcome": "failed", "checks": len(checked), "error": why, "code": CHECK_FAILED}


def _messages(errors: Sequence[PlanError]) -> str:
    return "\n".join(str(error.problem) for error in errors)


_CONNECTION = Connection(region=None, profile=None, parallelism=None)
_COMMANDS: Mapping[str, Callable[[Task, Spec, Interrupt], dict[str, Any]]] = {
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
}
