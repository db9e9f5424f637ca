"""Guards: they refuse a whole plan before its first step, with all reasons in one message. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from enireconcile.errors import GuardError
from enireconcile.model import Action, Change, Impact, Plan, Step
from enireconcile.printable import (
    printable,
)

_SHOWN = 20
"""The most lines of a list; the number of the others follows."""
_PLACES = 5
"""The most places in a hint, likewise."""


class Allowed(Struct, frozen=True):
    """What the flags of a run allow. With ``auto_approve`` the plan runs without a prompt."""

    auto_approve: bool = False
    allow_destroy: bool = False
    max_changes: int | None = None

    @property
    def impact(self) -> Impact:
        """The worst impact of steps that run without approval."""
        return Impact.DESTRUCTIVE if self.allow_destroy else Impact.DISRUPTIVE


def guard(plan: Plan, allowed: Allowed, *others: str) -> None:
    """Raises GuardError with all reasons against a plan; ``others`` are reasons that the caller has found."""
    reasons = [*others, *objections(plan, allowed)]
    if reasons:
        raise GuardError(
            "the plan was refused; nothing was changed:" + "".join(f"\n  {why}" for why in reasons),
            hint="; ".join(_hints(plan, allowed)) or None,
        )


def objections(plan: Plan, allowed: Allowed) -> list[str]:
    """Every reason against a plan: which steps or resources, and which flag."""
    reasons = []
    destructive = _destructive(plan)
    if forbidden := _forbidden(plan):
        reasons.append(
            "the spec forbids destroying these (lifecycle.prevent_destroy):" + _listed(_step_lines(forbidden))
        )
    if destructive and allowed.auto_approve and not allowed.allow_destroy:
        reasons.append(
            "it has destructive steps, and --allow-destroy was not given:" + _listed(_step_lines(destructive))
        )
    changed = _changed(plan)
    if allowed.max_changes is not None and len(changed) > allowed.max_changes:
        words = [" ".join(filter(None, (change.action, change.address, change.public_ip))) for change in changed]
        reasons.append(
            f"it changes {len(changed)} resources, and --max-changes is {allowed.max_changes}:" + _listed(words)
        )
    return reasons


def _hints(plan: Plan, allowed: Allowed) -> Iterator[str]:
    """What to do about the objections, where no flag in them says it."""
    if places := list(dict.fromkeys(plan.protected[step.address] for step in _forbidden(plan))):
        more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
        yield f"to destroy them, remove prevent_destroy ({printable(', '.join(places[:_PLACES]))}{more})"
    changes = len(_changed(plan))
    if allowed.max_changes is not None and changes > allowed.max_changes:
        yield f"if the plan is what you want, raise --max-changes to {changes}"


def _destructive(plan: Plan) -> list[Step]:
    return [step for step in plan.steps if step.impact is Impact.DESTRUCTIVE]


def _forbidden(plan: Plan) -> list[Step]:
    return [step for step in _destructive(plan) if step.address in plan.protected]


def _changed(plan: Plan) -> list[Change]:
    return [change for change in plan.changes if change.action is not Action.UNCHANGED]


def _step_lines(steps: Sequence[Step]) -> list[str]:
    return [f"{step.id} {step.words}" for step in steps]


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "".join(f"\n    {printable(line)}" for line in [*lines[:_SHOWN], *more])
