"""The file of ``plan --out``: plans that ``apply --plan`` runs exactly as they are, or not at all. Pure.

The file is for review and comparison, and is not trusted. ``apply --plan`` makes a new plan from the spec and the
live state, and runs it only if it equals the saved one step by step. So a forged file cannot request anything that
the spec does not, and the file need not contain user_data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct

from enireconcile import __version__
from enireconcile.errors import GuardError
from enireconcile.model import Action, Change, Plan, fingerprint
from enireconcile.planning.codec import decode, encode
from enireconcile.printable import printable

FORMAT = 3
MAX_BYTES = 64 * 1024 * 1024
"""The largest file that is read."""
_KIND = "enireconcile plan"
_AGAIN = "make a new plan with plan --out"


class SavedPlan(Struct, frozen=True):
    """One plan, with its spec file as named on the command line and the hash of that file's content."""

    file: str
    digest: str
    plan: Plan


class Saved(Struct, frozen=True):
    """A plan file: the flags that shaped its plans, and the plans in the order of their specs.

    ``destroy`` says that they remove all that the stacks own.
    """

    plans: tuple[SavedPlan, ...]
    prune: bool = False
    destroy: bool = False

    def text(self, created: str) -> str:
        """The content of the file. ``created`` is an ISO time."""
        words = {
            "kind": _KIND,
            "format": FORMAT,
            "program": __version__,
            "created": created,
            "prune": self.prune,
            "destroy": self.destroy,
            "plans": [
                {"file": saved.file, "spec": saved.digest, "plan": encode(saved.plan)} for saved in self.plans
            ],
        }
        return json.dumps({**words, "digest": fingerprint(words)}, indent=1) + "\n"


def saved_in(text: str, file: str) -> Saved:
    """The plans of a file. Raises GuardError for one that is damaged, no plan file or of another version."""
    name = printable(file)
    words = _words(text, name)
    if words.get("kind") != _KIND:
        raise GuardError(f"{name} is not a plan file of enireconcile", hint=_AGAIN)
    if words.get("format") != FORMAT:
        raise GuardError(
            f"{name} has format {printable(str(words.get('format')))}, and this version reads format {FORMAT}",
            hint=f"use the version that wrote it, or {_AGAIN}",
        )
    if words.get("program") != __version__:
        raise GuardError(
            f"{name} was written by enireconcile {printable(str(words.get('program')))}, this is {__version__}",
            hint=f"use the version that wrote it, or {_AGAIN}",
        )
    digest = words.pop("digest", None)
    if digest != fingerprint(words):
        raise GuardError(f"{name} was modified or truncated after it was written", hint=_AGAIN)
    try:
        return _saved(words)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise GuardError(f"{name} lacks parts of a plan file, or they are malformed", hint=_AGAIN) from None


def _words(text: str, name: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        if isinstance(words := json.loads(text), dict):
            return words
    raise GuardError(f"{name} is not a plan file of enireconcile, or was truncated", hint=_AGAIN)


def _saved(words: Mapping[str, Any]) -> Saved:
    plans = []
    for each in words["plans"]:
        plan = decode(each["plan"])
        if not isinstance(plan, Plan) or encode(plan) != each["plan"]:
            raise ValueError
        plans.append(SavedPlan(str(each["file"]), str(each["spec"]), plan))
    flags = (words["prune"], words["destroy"])
    if not plans or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError
    return Saved(tuple(plans), words["prune"], words["destroy"])


def reasons_against(saved: SavedPlan, digest: str, fresh: Plan) -> list[str]:
    """Why a saved plan must not run: its spec or the live state has changed. Empty if it may run.

    ``digest`` is the hash of the spec now, ``fresh`` the plan that is made now.
    """
    if saved.digest != digest:
        return [f"{printable(saved.file)} has changed since the plan was saved ({_AGAIN})"]
    return _moved(saved.plan, fresh)


def _moved(saved: Plan, fresh: Plan) -> list[str]:
    if (saved.account_id, saved.region) != (fresh.account_id, fresh.region):
        places = (f"account {plan.account_id}, {plan.region}" for plan in (saved, fresh))
        return [printable("the plan was made for {}, and this is {}".format(*places))]
    if _essence(saved) == _essence(fresh):
        return []
    lines = list(_changed(saved, fresh)) or list(_called(saved, fresh))
    where = "".join(f"\n    {printable(line)}" for line in lines)
    return [f"the live state has changed since the plan was saved, and a plan made now differs ({_AGAIN}):{where}"]


def _essence(plan: Plan) -> Any:
    """The parts of a plan that must be equal: where it runs, what it found, what it changes and how."""
    changes = [change for change in plan.changes if change.action is not Action.UNCHANGED]
    return encode([plan.stack, plan.account_id, plan.region, plan.fingerprint, changes, plan.steps])


def _changed(saved: Plan, fresh: Plan) -> Iterator[str]:
    then, now = _by_address(saved), _by_address(fresh)
    for address in sorted({*then, *now}):
        before, after = then.get(address), now.get(address)
        if encode(before) != encode(after):
            yield f"{address}: {_said(before)} then, {_said(after)} now"


def _by_address(plan: Plan) -> dict[str, Change]:
    return {change.address: change for change in plan.changes}


def _said(change: Change | None) -> str:
    """A change in a few words: action, id and fields."""
    if change is None:
        return "not there"
    names = sorted({field.field for field in change.fields}) if change.action is Action.UPDATE else ()
    return f"{change.action} {change.id or ''}".rstrip() + (f" ({', '.join(names)})" if names else "")


def _called(saved: Plan, fresh: Plan) -> Iterator[str]:
    """The calls that differ although the changes are the same."""
    for steps, when in ((saved.steps, "then"), (fresh.steps, "now")):
        others = encode(list(fresh.steps if steps is saved.steps else saved.steps))
        yield from (f"{step.call} for {step.address}, {when}" for step in steps if encode(step) not in others)
