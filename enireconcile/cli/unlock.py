"""unlock: show the lock of a stack, and remove it if it is stale; move damaged state out of the way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from enireconcile.aws.api import Reader
from enireconcile.cli.prompt import confirmed
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.engine.planner import account_of, guard_account
from enireconcile.errors import GuardError, LockedError
from enireconcile.outputs import logs
from enireconcile.spec import Spec

if TYPE_CHECKING:
    from enireconcile.state import LockInfo, Store


def unlock_specs(
    specs: Sequence[Spec],
    connection: Connection,
    state: str | None,
    *,
    auto_approve: bool,
    force: bool,
    state_as_caller: bool = False,
) -> int:
    """Show the lock of each spec's stack, and remove it if it is stale. Returns the exit code.

    With ``state_as_caller``, a state in S3 is accessed without the role of the spec.
    """
    from enireconcile.state import open_store

    code = 0
    for spec in specs:
        with connection.open(spec) as channel:
            try:
                account = run_async(account_of(Reader(channel)))
                guard_account(spec, account)
                scope = f"{account}-{channel.session.region}-{spec.document.stack}"
                session = connection.as_caller(channel.session.region) if state_as_caller else channel.session
                _unlock_one(scope, open_store(state, session), auto_approve, force)
            except (GuardError, LockedError) as error:
                logs.complain(error)
                code = max(code, error.exit_code)
    return code


def _unlock_one(scope: str, store: Store, auto_approve: bool, force: bool) -> None:
    lock, damage = store.look(scope), store.damage(scope)
    if lock is None and damage is None:
        click.echo(f"{scope}: not locked")
        return
    if lock is not None:
        click.echo(f"{scope}: locked by {lock}\n  {'live' if lock.live else 'stale'}: {lock.why}")
    if damage is not None:
        click.echo(f"{scope}: damaged: {damage}")
    if lock is not None and lock.live and (lock.tied or not force):
        raise LockedError("the run that holds this lock seems to be alive", hint=_what_ends(lock))
    if not auto_approve:
        _ask("Remove this lock?" if damage is None else "Repair this state?")
    if lock is not None:
        store.remove(scope, lock)
    if damage is not None:
        _repair(store, scope)
    click.echo(f"{scope}: unlocked")


def _what_ends(lock: LockInfo) -> str:
    """How a lock ends that seems to be of a live run."""
    if not lock.tied:
        return "wait for it, or stop it; if it certainly has ended, remove the lock with --force"
    holder = f"pid {lock.holder.pid} on {lock.holder.host}" if lock.holder else "which the lock does not name"
    ends = "the lock ends with its process, and --force does not help"
    return f"wait for it, or stop it if it hangs ({holder}): {ends}"


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise GuardError(
            "cannot ask for confirmation: stdin is not a terminal",
            hint="give --auto-approve (-y) to remove the lock without a question",
        )
    if not confirmed(question):
        raise GuardError("the lock was not removed")


def _repair(store: Store, scope: str) -> None:
    for place in store.repair(scope):
        click.echo(f"{scope}: moved to {place}")
    logs.say("if a run of this stack was interrupted in the last minute, wait a minute before the next one")
