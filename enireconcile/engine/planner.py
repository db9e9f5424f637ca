"""Read and plan: all that ``plan`` does, and the first and last part of ``apply``. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import GuardError, SpecErrors, UnsupportedError
from enireconcile.live import limits as live_limits
from enireconcile.live import reader as live_reader
from enireconcile.live.records import Live
from enireconcile.model import Plan, Reads, Resources
from enireconcile.planning.draft import draft
from enireconcile.planning.inventory import resources
from enireconcile.spec import Document, Spec

STALE_READS_CAN_CAUSE = (UnsupportedError, SpecErrors)
"""Planning errors that stop the run only if a second read, seconds later, raises them again. The errors of a plan
count only then, too.

EC2's reads are eventually consistent: one answer can be older than another, and the combination can look like an
exceeded limit, a selector that matches nothing, or two resources with one name. The errors of the file itself are
raised when it is loaded, before any read.
"""
_SECOND_LOOK = 2.0
"""Seconds."""


class Seen(Struct, frozen=True, dict=True):
    """A plan for a document, and the read that it is made from."""

    plan: Plan
    live: Live
    document: Document

    @cached_property
    def resources(self) -> Resources:
        """What the stack owns according to the read."""
        return resources(self.document, self.live)


async def look(
    reader: Reads,
    spec: Spec,
    region: str,
    account_id: str | None = None,
    *,
    prune: bool = False,
    targets: Collection[str] = (),
    believed: Collection[tuple[str, str]] = (),
) -> Seen:
    """A fresh read and its plan. GetCallerIdentity is called only if ``account_id`` is None.

    ``believed`` are the keys of errors that need no second look, because an earlier plan had them. Raises
    AwsError, GuardError if the credentials belong to another account than the spec's, and the errors of planning:
    UnsupportedError, SpecErrors.
    """
    with suppress(*STALE_READS_CAN_CAUSE):
        # What only sharpens hints is read when errors are told: not at a first look, which a second one follows.
        seen = await _look(reader, spec, region, account_id, prune, targets, hints=bool(believed))
        if not unbelieved(seen.plan, believed):
            return seen
    await asyncio.sleep(_SECOND_LOOK)
    return await _look(reader, spec, region, account_id, prune, targets, hints=True)


def unbelieved(plan: Plan, believed: Collection[tuple[str, str]]) -> bool:
    """Does a plan have errors that stale reads can cause, and that no earlier plan had?"""
    return any(error.key not in believed for error in plan.errors)


async def _look(
    reader: Reads,
    spec: Spec,
    region: str,
    account_id: str | None,
    prune: bool,
    targets: Collection[str],
    *,
    hints: bool,
) -> Seen:
    found = await live_reader.read(reader, spec.document, region, account_id, prune=prune)
    guard_account(spec, found.account_id)
    drafted = draft(spec, found, prune=prune, targets=targets)
    if hints and drafted.sought:
        found = replace(found, similar=await live_reader.similar(reader, drafted.sought))
        drafted = draft(spec, found, prune=prune, targets=targets)
    plan = drafted.plan(await live_limits.limits(reader, drafted.questions))
    return Seen(plan, found, spec.document)


async def account_of(reader: Reads) -> str:
    """The account of the credentials. Raises AwsError."""
    return str((await reader.read("GetCallerIdentity"))["Account"])


def guard_account(spec: Spec, account_id: str) -> None:
    """Raises GuardError if the spec is for another account."""
    wanted, path = spec.document.account_id, ("account_id",)
    if wanted is not None and wanted != account_id:
        message = f"the spec is for account {wanted}, these credentials belong to account {account_id}"
        # A fleet gives the account of each unit.
        raise GuardError(
            str(spec.problem(path, message)) if path in spec.places else message,
            hint="use credentials of that account (AWS_PROFILE, --profile)",
        )
