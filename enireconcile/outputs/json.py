"""Plans and reports as JSON, format 1.0. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict

from enireconcile.model import (
    FORMAT_VERSION,
    Action,
    Change,
    CheckResult,
    Denial,
    Leftover,
    Outcome,
    PathBreak,
    Plan,
    PlanError,
    Report,
    Status,
    Step,
    Traces,
    plain,
)
from enireconcile.planning.estimate import estimate
from enireconcile.planning.inventory import Inventory


def plan_json(plan: Plan, api_calls: Mapping[str, int], traces: Traces | None = None) -> dict[str, Any]:
    """The object that ``plan --output json`` prints (format 1.0). With ``traces`` each field has ``who``."""
    return {
        "format_version": FORMAT_VERSION,
        "stack": plan.stack,
        "account_id": plan.account_id,
        "region": plan.region,
        "fingerprint": plan.fingerprint,
        "summary": plan.summary(),
        "changes": [
            _change_json(change, traces) for change in plan.changes if change.action is not Action.UNCHANGED
        ],
        "steps": [_step_json(step) for step in plan.steps],
        "leftovers": [{"address": left.address, "id": left.id, **_public_ip(left)} for left in plan.leftovers],
        "warnings": list(plan.warnings),
        "interruptions": [_break_json(broken) for broken in plan.interruptions],
        "exposures": [_break_json(broken) for broken in plan.exposures],
        "errors": [_error_json(error) for error in plan.errors],
        "estimate": asdict(estimate(plan.steps)),
        "api_calls": dict(sorted(api_calls.items())),
        **_scope(plan),
    }


def _scope(subject: Plan | Report) -> dict[str, Any]:
    """The key of a plan or report that covers only a part of the stack."""
    return {"targets": list(subject.targets)} if subject.targets else {}


def _change_json(change: Change, traces: Traces | None) -> dict[str, Any]:
    def who(name: str) -> dict[str, Any]:
        if traces is None:
            return {}
        trace = traces.found.get((change.address, name))
        if trace is None:
            return {"who": None}
        return {"who": {"user": trace.user, "time": _moment(trace.time), "event": trace.event}}

    return {
        "address": change.address,
        "action": str(change.action),
        "impact": str(change.impact),
        "id": change.id,
        **_public_ip(change),
        "reason": change.reason,
        "fields": [
            {
                "field": field.field,
                "before": plain(field.before),
                "after": plain(field.after),
                **who(field.field),
            }
            for field in change.fields
        ],
    }


def _public_ip(subject: Change | Step | Leftover) -> dict[str, Any]:
    """The key of an Elastic IP that has its address."""
    return {"public_ip": subject.public_ip} if subject.public_ip else {}


def _break_json(broken: PathBreak) -> dict[str, Any]:
    return {
        "address": broken.address,
        "what": broken.what,
        "from": broken.begins,
        "to": broken.ends,
        "why": broken.why,
    }


def _error_json(error: PlanError) -> dict[str, Any]:
    problem = error.problem
    return {
        "address": error.address,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
        "left_out": list(error.left_out),
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "call": step.call,
        "summary": step.summary,
        "address": step.address,
        **_public_ip(step),
        "params": plain(step.params),
        "needs": sorted(step.predecessors, key=_step_number),
        "impact": str(step.impact),
    }


def _step_number(step_id: str) -> tuple[int, str]:
    return (len(step_id), step_id)


def inventory_json(inventory: Inventory) -> dict[str, Any]:
    """The object that ``show --output json`` prints."""
    return {
        "format_version": FORMAT_VERSION,
        "stack": inventory.stack,
        "account_id": inventory.account_id,
        "region": inventory.region,
        "resources": inventory.resources,
    }


def report_json(report: Report) -> dict[str, Any]:
    """The last line of ``apply --output json``, which ``--report`` also writes."""
    return {
        "type": "report",
        "format_version": FORMAT_VERSION,
        "stack": report.stack,
        "account_id": report.account_id,
        "region": report.region,
        "outcome": report.outcome,
        "started": _moment(report.started, "milliseconds"),
        "seconds": round(report.seconds, 3),
        "summary": report.plan.summary() if report.plan else None,
        "steps": [_outcome_json(outcome) for outcome in report.outcomes],
        "api_calls": dict(sorted(report.api_calls.items())),
        "throttled": report.throttled,
        "remaining": list(report.remaining),
        "error": report.error,
        "errors": [_error_json(error) for error in report.errors],
        **_scope(report),
        "resources": report.resources,
        **({"checks": checks_json(report.checks)} if report.checks else {}),
        **({"denials": [_denial_json(denial) for denial in report.denials]} if report.denials else {}),
    }


def checks_json(checks: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """What ``verify --output json`` prints."""
    return [
        {
            "name": check.name,
            "status": check.status,
            "expect": check.expect,
            "got": check.got,
            "seconds": round(check.seconds, 3),
            "why": check.why,
        }
        for check in checks
    ]


def _denial_json(denial: Denial) -> dict[str, Any]:
    return {"call": denial.call, "request_id": denial.request_id, "encoded_message": denial.encoded}


def _moment(time: datetime, precision: str = "seconds") -> str:
    """A time in UTC, in ISO 8601."""
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.step.id,
        "call": outcome.step.call,
        "summary": outcome.step.summary,
        "address": outcome.step.address,
        **_public_ip(outcome.step),
        "status": outcome.status.for_programs,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 3),
        "result_id": outcome.result_id,
        "request_id": outcome.request_id,
        "error": None if outcome.not_ready else outcome.error,
        **({"not_ready": outcome.not_ready} if outcome.not_ready else {}),
    }


def step_event_json(event: Mapping[str, Any]) -> dict[str, Any]:
    """The line that ``apply --output json`` prints when a step begins or ends."""
    told = {key: value for key, value in event.items() if key != "stopped"}
    if event["status"] == Status.SENT:
        told |= {"status": Status.SENT.for_programs, "error": None, "not_ready": event["error"]}
    return told


def dumps(value: Any) -> str:
    """One line of JSON, in ASCII: some characters beyond it control a terminal, too."""
    return json.dumps(value)
