"""What a worker does: one unit, from JSON text to JSON text.

``run_unit`` is the only function that travels to workers, by name. Credentials never travel: a worker has its own.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import asdict, replace

from enireconcile import api
from enireconcile.cli.publish import outcome_of
from enireconcile.errors import EnireconcileError, Problem, SpecErrors, internal_error
from enireconcile.fleet.file import unpacked
from enireconcile.fleet.report import CODES, UnitResult
from enireconcile.fleet.units import Unit
from enireconcile.model import CHECK_FAILED
from enireconcile.spec import Disk, Given, Spec, load
from enireconcile.spec.checks import check
from enireconcile.spec.suggest import hint_text
from enireconcile.spec.userdata import text_if_it_is


class Task(Struct, frozen=True):
    """What to do with a unit. ``files`` are the spec and its user data files, in base64 by path.

    ``state`` is the fleet's; ``max_changes`` and ``allow_destroy`` are those of the command line.
    """

    unit: Unit
    command: str
    files: Mapping[str, str]
    state: str | None = None
    allow_destroy: bool = False
    max_changes: int | None = None

    def dumps(self) -> str:
        return json.dumps(to_builtins(self))


def run_unit(text: str) -> str:
    """Plan, apply or verify a unit. Takes a Task and returns a UnitResult, both as JSON. Raises nothing."""
    given: dict[str, Any] = json.loads(text)
    task = Task(**{**given, "unit": Unit(**given["unit"])})
    began = time.monotonic()
    result = _result(task)
    made = asdict(replace(result, seconds=time.monotonic() - began))
    return json.dumps({key: value for key, value in made.items() if key != "unit"})


def read_result(unit: Unit, text: str) -> UnitResult:
    """The result that ``run_unit`` returned for a unit."""
    return UnitResult(unit, **json.loads(text))


def _result(task: Task) -> UnitResult:
    result = UnitResult(task.unit, "failed", code=CODES["failed"])
    try:
        spec = spec_of(task.unit, Carried(task.files))
        result = replace(result, stack=spec.document.stack)
        found = _COMMANDS[task.command](task, spec)
        return replace(result, **{"code": CODES[found["outcome"]], **found})
    except EnireconcileError as error:
        return _failure(result, error)
    except KeyboardInterrupt:
        return replace(result, error="stopped by a signal; nothing was changed")
    except Exception as error:  # noqa: BLE001 (a bug costs one unit, not the fleet)
        return _failure(result, internal_error(error))


def _failure(result: UnitResult, error: EnireconcileError) -> UnitResult:
    outcome = outcome_of(error)
    return replace(result, outcome=outcome, error=str(error), code=CODES[outcome])


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


def _plan(_: Task, spec: Spec) -> dict[str, Any]:
    plan = api.plan(spec)
    changes = len(plan.changes)
    if plan.errors:
        return {"outcome": "failed", "changes": changes, "error": _messages(plan.errors)}
    return {"outcome": "changes" if changes else "unchanged", "changes": changes}


def _apply(task: Task, spec: Spec) -> dict[str, Any]:
    changed: set[str] = set()

    def note(event: api.Record) -> None:
        if event.type == "step" and event.status == "done":
            changed.add(event.address)

    try:
        report = api.apply(
            spec,
            approve=True,
            allow_destroy=task.allow_destroy,
            max_changes=task.max_changes,
            state=task.state,
            state_as_caller=True,
            on_event=note,
        )
    except KeyboardInterrupt:
        # The run has ended its calls in flight and told them before.
        why = "stopped by a signal; the last report of its state says what it changed, and the next run goes on"
        return {"outcome": "partial", "changes": len(changed), "error": why}
    broken = [f"{step.call} for {step.address}: {step.error}" for step in report.steps if step.error]
    parts = [*filter(None, [report.error]), *broken, *filter(None, [_messages(report.errors)])]
    return {
        "outcome": report.outcome,
        "changes": len(changed),
        "error": "\n".join(dict.fromkeys(parts)) or None if report.exit_code else None,
        "code": report.exit_code,
    }


def _verify(_: Task, spec: Spec) -> dict[str, Any]:
    failed = [check for check in api.verify(spec) if check.status != "ok"]
    if not failed:
        return {"outcome": "unchanged"}
    return {
        "outcome": "failed",
        "error": "\n".join(f"check {check.name}: {check.why}" for check in failed),
        "code": CHECK_FAILED,
    }


def _messages(errors: Any) -> str:
    return "\n".join(f"{each.file}:{each.line}:{each.column}: {each.path}: {each.message}" for each in errors)


_COMMANDS: Mapping[str, Callable[[Task, Spec], dict[str, Any]]] = {
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
}
