"""The sentences about plans and reports that text, Markdown and webhook share. Pure.

Every function takes a ``style`` that decorates words. The default, ``plain``, leaves them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Protocol

from enireconcile.kinds import Attribute, attribute_at
from enireconcile.model import (
    Action,
    Change,
    CheckResult,
    Field,
    Impact,
    Leftover,
    Outcome,
    Plan,
    PlanError,
    Ref,
    Report,
    Secret,
    Status,
    Template,
    Trace,
    Traces,
)
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.planning.estimate import estimate, refill
from enireconcile.printable import printable, printable_lines

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REPLACE: ("±", "red"),
    Action.DELETE: ("-", "red"),
    Action.ADOPT: ("»", "cyan"),
}
MARKS = {
    Status.DONE: ("✓", "green"),
    Status.SENT: ("…", "yellow"),
    Status.FAILED: ("✗", "red"),
    Status.SKIPPED: ("·", "yellow"),
}
"""The mark before a step that has ended, and its colour."""
_LISTED = {"+": "green", "-": "red"}
"""The colours of the entries that a list gets and loses."""
_IMPACTS = {Impact.SAFE: "green", Impact.DISRUPTIVE: "yellow", Impact.DESTRUCTIVE: "red"}
_REQUEST = re.compile(r" \(request [^)]*\)")
_STATES = ("open", "refused", "silent")
"""What a check can expect."""
_LONG = 10.0
"""Seconds from which on a plan says how long it takes at least."""
_MOST_NAMES = 5
"""The most stacks, or resources that an error leaves out, that a line names; the number of the others follows."""
LEFTOVERS = "The stack owns these, and no row names them (kept; --prune removes what nothing else uses)"
"""What stands above leftovers. With ``--prune``, those are left that EC2 cannot delete."""
_SHOWN = 20
"""The most addresses of a list; the number of the others follows."""
_RELATIONS = {"attachment", "association"}
_ENDS = {"instances": "terminate", "elastic_ips": "release"}
"""EC2's words for the end of a resource, where it is not deleted."""
_ACTIONS = {
    "create": "to create",
    "adopt": "to adopt",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
}


class Style(Protocol):
    """Decorates text for a terminal. ``click.style`` is one."""

    def __call__(
        self, text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None
    ) -> str: ...


def plain(
    text: str,
    *,
    fg: str | None = None,  # noqa: ARG001
    bold: bool | None = None,  # noqa: ARG001
    dim: bool | None = None,  # noqa: ARG001
) -> str:
    """The style of files, comments and messages: none."""
    return text


def without_request_ids(text: str) -> str:
    """An error without the request ids that differ each time."""
    return _REQUEST.sub("", text)


def stack_head(
    stack: str, account_id: str, region: str, style: Style = plain, *, endpoint: str | None = None
) -> str:
    """The line above what is told of a stack: its name, and where it is."""
    return style(f"{stack}  (account {account_id}, {region}{at_endpoint(endpoint)})", bold=True)


def at_endpoint(endpoint: str | None) -> str:
    """Where EC2 is, if not in a domain of AWS; what is on this machine is not AWS at all."""
    if endpoint is None:
        return ""
    return f" at {printable(endpoint)}" + (", not AWS" if _is_local(endpoint) else "")


def _is_local(endpoint: str | None) -> bool:
    return re.match(r"https?://(localhost|127\.|\[::1\])", endpoint or "") is not None


def no_guests(endpoint: str | None, checks: Sequence[CheckResult]) -> str | None:
    """What failed checks are worth where EC2 is on this machine; None for others."""
    if not _is_local(endpoint) or all(check.ok for check in checks):
        return None
    return "checks ask real addresses: a simulated EC2 has no guests that answer, so they tell nothing of the spec"


def scope_lines(subject: Plan | Report) -> list[str]:
    """With ``--target``: which part of the stack a plan or report covers."""
    if not subject.targets:
        return []
    whose = "its" if len(subject.targets) == 1 else "their"
    return [f"  only {printable(', '.join(subject.targets))} and {whose} dependencies"]


def change_head(change: Change, style: Style = plain) -> str:
    """The first line of a change: sign, address, id or public address, action and impact."""
    _, colour = _SIGNS[change.action]
    head = style(f"{sign_of(change)} {printable(change.address)}", fg=colour, bold=True)
    known = printable(change.public_ip or change.id)
    return f"{head}  {known}".rstrip() + f"  {verb(change)}  [{_impact(change.impact, style)}]"


def sign_of(change: Change) -> str:
    """``+ ~ ± - »`` for what happens to a resource."""
    return _SIGNS[change.action][0]


def change_lines(change: Change, traces: Traces | None = None, style: Style = plain) -> Iterator[str]:
    """What differs, indented and line by line; with ``traces`` also who changed it; and why it is changed."""
    fields = list(differences(change))
    width = max((len(name) for name, _ in fields), default=0)
    for name, lines in fields:
        for sign, words in lines:
            shown = style(f"{sign} {words}", fg=_LISTED[sign]) if sign else words
            yield f"    {name.ljust(width)}  {shown}"
        if traces is not None and (trace := traces.found.get((change.address, name))):
            yield f"    {' ' * width}  {style(trace_words(trace), dim=True)}"
    if change.reason:
        yield f"    {printable(change.reason)}"


def differences(change: Change) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each attribute that differs, with its lines: the sign of an entry of a list (else empty), and the words."""
    for field in change.fields:
        if not _implied(change, field):
            yield field.field, list(_field_lines(change, field))


def path_lines(plan: Plan, address: str, style: Style = plain) -> Iterator[str]:
    """What of a resource is interrupted, or exposed, while the plan runs: from which call to which, and why."""
    for word, span, why in path_breaks(plan, address):
        yield f"    {style(word, fg='yellow')}: {span}"
        yield f"      {why}"


def path_breaks(plan: Plan, address: str) -> Iterator[tuple[str, str, str]]:
    """The same in three parts: ``interrupted`` or ``exposed``; what, from which call to which; and why."""
    found = [
        (word, broken)
        for word, breaks in (("interrupted", plan.interruptions), ("exposed", plan.exposures))
        for broken in breaks
        if broken.address == address
    ]
    calls = {step.id: f"{step.id} ({step.summary})" for step in plan.steps} if found else {}
    for word, broken in found:
        span = f"from {calls[broken.begins]} to {calls[broken.ends]}"
        yield word, printable(f"{broken.what}, {span}"), printable(broken.why)


def unchanged_path_lines(plan: Plan, style: Style = plain) -> Iterator[str]:
    """The same for resources that do not change themselves, each after its address."""
    for address in unchanged_with_breaks(plan):
        yield f"  {style(printable(address), bold=True)}"
        yield from path_lines(plan, address, style)


def field_words(change: Change) -> dict[str, tuple[str, str]]:
    """The values of each field, before and after, but of those that a new resource has anyway."""
    return {
        field.field: (_value(field.before), _value(_shown_tags(change, field) or field.after))
        for field in change.fields
        if not _implied(change, field)
    }


def unchanged_with_breaks(plan: Plan) -> list[str]:
    """The addresses of resources that the plan interrupts or exposes, and does not change."""
    changed = {change.address for change in plan.changes if change.action is not Action.UNCHANGED}
    return sorted({broken.address for broken in (*plan.interruptions, *plan.exposures)} - changed)


def trace_words(trace: Trace) -> str:
    """Who changed an attribute, when and by which call."""
    return f"by {printable(trace.user)}, {moment(trace.time)} ({printable(trace.event)})"


def moment(time: datetime) -> str:
    """``2026-02-03 04:05:06 UTC``."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(time: datetime) -> str:
    """``04:05:06 UTC``."""
    return time.astimezone(UTC).strftime("%H:%M:%S UTC")


def verb(change: Change) -> str:
    """What a change does to its resource, in one word."""
    moved = any(
        _slot_of(field.before) != _slot_of(field.after)
        for field in change.fields
        if field.field in _RELATIONS and field.before and field.after
    )
    if moved and change.action is Action.UPDATE:
        return "move"
    ends = _ENDS if change.action is Action.DELETE else {}
    return ends.get(change.address.partition(".")[0], str(change.action))


def _slot_of(relation: Mapping[str, Any]) -> dict[str, Any]:
    """An attachment or association without the flag that is not part of its place."""
    return {key: value for key, value in relation.items() if key != "delete_on_termination"}


def _implied(change: Change, field: Field) -> bool:
    """Does a new resource have this value anyway: EC2's default, nothing, or its own name?"""
    if change.action is not Action.CREATE:
        return False
    value = field.after if field.field != "tags" else _shown_tags(change, field)
    attribute = attribute_at(change.address, field.field) or Attribute(field.field)
    return attribute.is_implied(change.address.partition(".")[2], value)


def _shown_tags(change: Change, field: Field) -> dict[str, str] | None:
    """A new resource's tags without those that every resource of the stack carries; None for other fields."""
    if field.field != "tags":
        return None
    name = change.address.partition(".")[2]
    usual = {STACK_TAG, NAME_TAG} | ({"Name"} if field.after.get("Name") == name else set())
    return {key: value for key, value in field.after.items() if key not in usual}


def _field_lines(change: Change, field: Field) -> Iterator[tuple[str, str]]:
    if change.action is Action.CREATE:
        yield "", _value(_shown_tags(change, field) or field.after)
    elif isinstance(field.before, list) and isinstance(field.after, list):
        yield from (("+", _value(item)) for item in _without(field.after, field.before))
        yield from (("-", _value(item)) for item in _without(field.before, field.after))
    elif field.field == "tags":
        for key, after in field.after.items():
            before = field.before.get(key)
            if before != after:
                yield "", f"{printable(key)}: {_value(before)} → {_value(after)}"
    else:
        yield "", f"{_value(field.before)} → {_value(field.after)}"


def _without(items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [item for item in items if item not in others]


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    if value == "":
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Secret):
        return value.digest
    if isinstance(value, Ref):
        return f"({value})"
    if isinstance(value, Template):
        return printable(str(value))
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "(none)"
    if isinstance(value, Mapping):
        return _mapping(value)
    return printable(str(value))


def _mapping(value: Mapping[str, Any]) -> str:
    """A field that is a mapping, in a few words: a rule, an attachment, a route, an association, tags."""
    if "protocol" in value:
        ports = f" {value['ports']}" if value["ports"] else ""
        end = f"from {value['source']}" if "source" in value else f"to {value['destination']}"
        words = f' "{value["description"]}"' if value["description"] else ""
        protocol = "all" if value["protocol"] == "-1" else value["protocol"]
        return printable(f"{protocol}{ports} {end}{words}")
    if "device_index" in value:
        card = f", card {value['network_card_index']}" if value["network_card_index"] else ""
        flag = ", deleted on termination" if value["delete_on_termination"] else ""
        return printable(f"{value['instance']}, index {value['device_index']}{card}{flag}")
    if "route_table" in value:
        return printable(f"{value['destination']} of {value['route_table']}")
    if "network_interface" in value:
        private = f" ({value['private_ip']})" if value.get("private_ip") else ""
        return printable(f"{value['network_interface']}{private}")
    return printable(", ".join(f"{key}={_value(item)}" for key, item in value.items()))


def _impact(impact: Impact, style: Style) -> str:
    return style(str(impact), fg=_IMPACTS[impact])


def error_lines(error: PlanError) -> list[str]:
    """An error of a plan with its place, its hint, and what is left out because of it."""
    reasons = dict(error.reasons)
    shown, more = error.left_out[:_MOST_NAMES], len(error.left_out) - _MOST_NAMES
    named = "; ".join(f"{each} ({reasons[each]})" if each in reasons else each for each in shown)
    rest = f"; and {more} more" if more > 0 else ""
    return [*printable_lines(str(error.problem)).split("\n"), f"  left out: {printable(named)}{rest}"]


def summary_lines(plan: Plan, style: Style = plain) -> Iterator[str]:
    """The closing lines of a plan: resources by action, calls by impact, and what errors leave out."""
    counts = plan.summary()
    if not plan.empty:
        yield from _work_lines(plan, style)
    elif not (plan.changes or plan.leftovers or plan.errors or plan.targets):
        yield "No changes: the stack has no resources."
    elif not (counts["unchanged"] or plan.errors or plan.targets):
        yield "No changes: the spec names no resources."
    elif not (counts["unchanged"] or plan.errors):
        yield "No changes: the stack has none of the targets."
    elif counts["unchanged"]:
        matching = _matching(counts["unchanged"], targeted=bool(plan.targets), others=bool(plan.errors))
        yield f"No changes: {matching} the spec."
    if plan.errors:
        yield style(_left_out_words(plan.errors), fg="red") + "."


def _left_out_words(errors: Sequence[PlanError]) -> str:
    resources = counted(len({address for error in errors for address in error.left_out}), "resource")
    return f"1 error leaves out {resources}" if len(errors) == 1 else f"{len(errors)} errors leave out {resources}"


def errors_words(errors: Sequence[PlanError]) -> str:
    """The errors of a plan as one message: each with its place, its hint, and what is left out."""
    lines = (line for error in errors for line in error_lines(error))
    return "\n".join([f"{_left_out_words(errors)}:", *lines])


def _work_lines(plan: Plan, style: Style) -> Iterator[str]:
    counts = plan.summary()
    by_action = [f"{counts[action]} {words}" for action, words in _ACTIONS.items() if counts[action]]
    yield style("Plan: ", bold=True) + ", ".join([*by_action, f"{counts['unchanged']} unchanged"]) + "."
    by_impact = [
        f"{count} {_impact(impact, style)}"
        for impact in Impact
        if (count := sum(step.impact is impact for step in plan.steps))
    ]
    yield f"{ec2_calls(len(plan.steps))}: {', '.join(by_impact)}."
    made = estimate(plan.steps)
    if made.bound_by is not None and made.seconds > _LONG:
        rate = f"{refill(made.bound_by):g} a second"
        yield f"At EC2's pace at least {int(made.seconds)} s: {made.bound_by}, {rate}."


def question(plan: Plan, *, destroy: bool) -> str:
    """What a user is asked before a plan runs: what it does, by count and impact."""
    count = len(plan.differing)
    deed = "Destroy" if destroy else "Apply"
    asked = f"{deed} {counted(count, 'resource' if destroy else 'change')}?"
    parts = [] if destroy else _impact_words(plan)
    sentences = [", ".join(parts) + "."] if parts else []
    if gone := sum(step.call == "ReleaseAddress" for step in plan.steps):
        sentences.append(f"{counted(gone, 'public address', 'public addresses')} {_verb(gone, 'go')} for good.")
    return " ".join([asked, *sentences])


def _impact_words(plan: Plan) -> list[str]:
    """How many changes interrupt traffic, are disruptive in another way, replace a resource, and delete one."""
    interrupting = {broken.address for broken in plan.interruptions}
    ends = (Action.REPLACE, Action.DELETE)
    others = {
        change.address
        for change in plan.changes
        if change.impact is not Impact.SAFE and change.action not in ends and change.address not in interrupting
    }
    words = [f"{len(interrupting)} {_verb(len(interrupting), 'interrupt')} traffic"] if interrupting else []
    if others:
        more = "more " if interrupting else ""
        words.append(f"{len(others)} {more}{'is' if len(others) == 1 else 'are'} disruptive")
    for action, verb in zip(ends, ("replace", "delete"), strict=True):
        if count := plan.summary()[action]:
            words.append(f"{count} {_verb(count, verb)} a resource")
    return words


def counted(count: int, one: str, several: str | None = None) -> str:
    """``1 call``, ``3 calls``."""
    return f"1 {one}" if count == 1 else f"{count} {several or one + 's'}"


def _verb(count: int, verb: str) -> str:
    """A verb for so many subjects."""
    return {"go": "goes"}.get(verb, f"{verb}s") if count == 1 else verb


def _matching(count: int, *, targeted: bool, others: bool) -> str:
    which = ("other " if others else "") + ("targeted resource" if targeted else "resource")
    return f"the {which} matches" if count == 1 else f"all {count} {which}s match"


def ec2_calls(count: int) -> str:
    return counted(count, "EC2 call")


def report_lines(
    report: Report, style: Style = plain, *, told: bool = False, endpoint: str | None = None
) -> list[str]:
    """The closing lines of an apply: how it ended, what failed and what remains.

    ``told``: without the failures and errors, which the run has told on stderr when they happened. ``endpoint`` is
    that of EC2, if it is not AWS's.
    """
    lines = [_ending(report, style, endpoint), *scope_lines(report)]
    if not told:
        lines += _failure_lines(report)
    if report.outcome == "partial":
        lines += [f"  {printable(address)} is {state}" for address, state in _power(report.outcomes).items()]
    if sent := [outcome.step.address for outcome in report.outcomes if outcome.status is Status.SENT]:
        lines.append(f"  not yet ready: {_listed(sent)}")
    if report.remaining:
        lines.append(f"  still to do: {_listed(report.remaining)}")
    if report.checks:
        lines.append(f"  {checks_summary(report.checks, style)}")
        lines += [f"  {line}" for line in check_lines(report.failed_checks, style)]
    return "\n".join(lines).split("\n")


def _listed(addresses: Sequence[str]) -> str:
    more = len(addresses) - _SHOWN
    return printable(", ".join(addresses[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _failure_lines(report: Report) -> Iterator[str]:
    """What failed, or had not ended when the run was stopped, and why."""
    for outcome in report.outcomes:
        if outcome.status in (Status.FAILED, Status.SENT):
            step = outcome.step
            reason = reason_words(step.call, step.address, outcome.error)
            yield f"  {printable(step.id)} {outcome_words(outcome, gap=' ')}: {reason}"
    if report.error:
        yield f"  {printable_lines(report.error)}"
    yield from (f"  {line}" for error in report.errors for line in error_lines(error))


def reason_words(call: str, address: str, error: str | None) -> str:
    """Why a step failed, without the call and the resource, which stand before it."""
    text = printable_lines(error)
    for subject in (f"{call} for {address}", call):
        text = text.removeprefix(printable(f"{subject}: "))
    return text


def step_words(
    call: str, address: str, public_ip: str | None, detail: str, *, done: bool = False, gap: str = "  "
) -> str:
    """A call, the resource, and what the call does, or has done. A leftover's address may contain anything."""
    return gap.join(map(printable, filter(None, (call, address, public_ip, past(detail) if done else detail))))


def outcome_words(outcome: Outcome, *, gap: str = "  ") -> str:
    """The same of a step that has ended."""
    step, done = outcome.step, outcome.status is Status.DONE
    return step_words(step.call, step.address, step.public_ip, step.detail, done=done, gap=gap)


_PAST = {"cancel": "cancelled", "lead": "led", "set": "set", "stop": "stopped"}


def past(detail: str) -> str:
    """What a step has done: ``revoked tcp 22 from 0.0.0.0/0`` for ``revoke tcp 22 from 0.0.0.0/0``."""
    verb, space, rest = detail.partition(" ")
    regular = verb + ("d" if verb.endswith("e") else "ed") if verb else ""
    return _PAST.get(verb, regular) + space + rest


def leftover_words(left: Leftover) -> str:
    """What the stack owns and the spec no longer names, with its public address and its id."""
    return "  ".join(map(printable, filter(None, (left.address, left.public_ip, left.id))))


def check_lines(checks: Sequence[CheckResult], style: Style = plain) -> Iterator[str]:
    """Each check with what it asked and what came back, and why it failed."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        name = printable(check.name).ljust(width)
        ended = f"{printable(check.what)}  {printable(answer_words(check))}  ({check.seconds:.1f} s)"
        yield f"{style('✓', fg='green') if check.ok else style('✗', fg='red')} {name}  {ended}"
        if check.why is not None:
            yield f"    {printable(check.why)}"


def answer_words(check: CheckResult) -> str:
    """What came back, and what the check expects instead if that says more."""
    got = check.got or "not asked"
    unexpected = not check.ok and got in _STATES and got != check.expect
    return f"{got}, not {check.expect}" if unexpected else got


def checks_summary(checks: Sequence[CheckResult], style: Style = plain) -> str:
    """How many checks failed."""
    failed, all_ = sum(not check.ok for check in checks), len(checks)
    if failed:
        return style(f"{failed} of {all_} {'check' if all_ == 1 else 'checks'} failed", fg="red") + ":"
    return "The check passed." if all_ == 1 else f"All {all_} checks passed."


def _power(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The states in which a run left the instances that it stopped, by address."""
    states: dict[str, str] = {}
    for outcome in outcomes:
        done, address = outcome.status is Status.DONE, outcome.step.address
        if outcome.step.call == "StopInstances" and outcome.acted:
            states[address] = "stopped" if done else "stopping"
        if outcome.step.call == "StartInstances" and outcome.acted and address in states:
            states[address] = "running" if done else "starting"
    return states


def _matching_words(report: Report, endpoint: str | None) -> str:
    """Why there was nothing to do; where, if that is not plain: no plan with a head was printed."""
    plan, at = report.plan, at_endpoint(endpoint)
    if plan is None or plan.summary()["unchanged"] or plan.leftovers:
        return "everything matches the spec." + (f" EC2 is{at}." if at else "")
    return f"nothing to do; the stack has no resources in account {plan.account_id}, {plan.region}{at}."


def _ending(report: Report, style: Style, endpoint: str | None) -> str:
    done = sum(outcome.status in (Status.DONE, Status.SENT) for outcome in report.outcomes)
    calls = f"{done} of {len(report.outcomes)} calls in {report.seconds:.1f} s"
    endings = {
        "converged": ("Converged", f"{calls}; read back, nothing differs."),
        "unchanged": ("Unchanged", _matching_words(report, endpoint)),
        "partial": ("Stopped before converging", f"{calls}. Running it again is safe.")
        if report.acted
        else ("Stopped", "nothing was changed. Running it again is safe."),
        "in part": ("Applied in part", f"{calls}; {_left_out_words(report.errors)}."),
        "failed": ("Failed", "nothing was changed."),
        "refused": ("Refused", "nothing was changed."),
        "locked": ("Locked", "another run holds the lock of this stack."),
    }
    in_part = report.outcome == "partial" and report.errors and not report.error and done == len(report.outcomes)
    if report.destroyed:
        return style("Destroyed", fg="green", bold=True) + f". {calls}; read back, nothing is left."
    ending, detail = endings["in part" if in_part else report.outcome]
    colour = "green" if report.outcome in ("converged", "unchanged") else "red"
    return style(ending, fg=colour, bold=True) + f": {detail}"


def of_several(outcomes: Sequence[tuple[str, str]], trouble: AbstractSet[str], refused: int = 0) -> str:
    """``12 stacks: 9 unchanged, 2 converged, 1 failed (web)``, from their names and outcomes.

    The stacks whose outcome is ``trouble`` are named. ``refused`` files had no valid spec.
    """
    by_outcome: dict[str, list[str]] = {}
    for name, outcome in sorted(outcomes, key=lambda each: (each[1] in trouble, each[1] != "unchanged")):
        by_outcome.setdefault(outcome, []).append(name)
    parts = []
    for outcome, names in by_outcome.items():
        shown = names[:_MOST_NAMES] + ([f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else [])
        parts.append(f"{len(names)} {outcome}" + (f" ({', '.join(shown)})" if outcome in trouble else ""))
    if refused:
        parts.append(f"{counted(refused, 'file')} refused")
    return f"{counted(len(outcomes), 'stack')}: {', '.join(parts)}"


def several_words(
    subjects: Sequence[tuple[str, Plan | Report]], refused: int = 0, not_run: Sequence[str] = ()
) -> str:
    """What became of several stacks, by their names; below it those that need attention, with place and reason.

    ``refused`` is as in ``of_several``; the stacks ``not_run`` were not begun.
    """
    troubled = [subject for _, subject in subjects if _needs_attention(subject)]
    outcomes = [(name, _outcome_words(subject)) for name, subject in subjects]
    outcomes += [(name, _NOT_RUN) for name in not_run]
    first = of_several(outcomes, {_NOT_RUN, *map(_outcome_words, troubled)}, refused)
    return "\n".join([first, *map(_attention_line, troubled)])


_NOT_RUN = "not run"


def _needs_attention(subject: Plan | Report) -> bool:
    return bool(subject.errors if isinstance(subject, Plan) else subject.exit_code)


def _attention_line(subject: Plan | Report) -> str:
    place = ", ".join(filter(None, [subject.account_id, subject.region])) or "no account"
    error = subject.error if isinstance(subject, Report) else None
    reason = error.splitlines()[0] if error else _left_out_words(subject.errors) if subject.errors else None
    return f"  {subject.stack} ({place}): " + ": ".join(filter(None, [_outcome_words(subject), reason]))


def _outcome_words(subject: Plan | Report) -> str:
    if isinstance(subject, Plan):
        return "with errors" if subject.errors else "unchanged" if subject.empty else "with changes"
    fine = subject.outcome in ("converged", "unchanged")
    return "with a failed check" if fine and subject.exit_code else subject.outcome
