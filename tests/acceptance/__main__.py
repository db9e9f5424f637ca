"""`python -m tests.acceptance run` and `clean`."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance import cleanup, costs, scratch
from tests.acceptance.account import Refused, open_account
from tests.acceptance.play import CHAPTERS, PROBES, play, tell

CONSENT = "ENIRECONCILE_ACCEPTANCE"
FAILED, REFUSED, INTERRUPTED = 1, 3, 130
MOST_RESOURCES_SHOWN = 50


@click.group()
def main() -> None:
    """Runs the installed enireconcile against the AWS account of the environment."""


@main.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/acceptance"), show_default=True)
@click.option("--only", multiple=True, type=click.Choice([*CHAPTERS, PROBES]), help="Only these chapters.")
def run(yes: bool, out: Path, only: Sequence[str]) -> None:
    """Make a scratch VPC, play all chapters in it, and delete everything again.

    Exit codes: 0 all scenes passed, 1 a scene failed or something is left, 3 refused, 130 interrupted.
    """
    name = f"acc-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with _refusals():
        _check_consent()
        account = open_account(name)
        zone = scratch.check(account)
        _ask(
            yes,
            [f"This run makes, in account {account.id}, {account.region} ({account.endpoint}):", *costs.lines()],
        )
    with _sigterm_as_ctrl_c():
        results = play(account, zone, (out / name).absolute(), only or (*CHAPTERS, PROBES))
    tell(f"results: {out / name / 'results.md'}")
    sys.exit(INTERRUPTED if results.interrupted else 0 if results.passed else FAILED)


@main.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--run", "name", metavar="ID", help="Only what this run made.")
def clean(yes: bool, name: str | None) -> None:
    """Delete everything that runs have left. Safe to repeat.

    Exit codes: 0 nothing is left, 1 something is left, 3 refused.
    """
    with _refusals():
        _check_consent()
        account = open_account(name or "")
        found = cleanup.find(account.ec2, name)
        if not found:
            tell(f"nothing to delete in account {account.id}, {account.region}")
            return
        shown = [f"  {each}" for each in found[:MOST_RESOURCES_SHOWN]]
        _ask(yes, [f"This deletes {len(found)} resources in account {account.id}, {account.region}:", *shown])
    left = cleanup.clean(account.ec2, tell, name)
    for each in left:
        tell(f"left: {each}")
    sys.exit(FAILED if left else 0)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        tell(f"{refused} Nothing was changed.")
        sys.exit(REFUSED)
    except (BotoCoreError, ClientError) as error:
        tell(f"AWS refused a read call: {error}. Nothing was changed.")
        sys.exit(FAILED)


def _check_consent() -> None:
    if os.environ.get(CONSENT) != "yes":
        raise Refused(f"This creates and deletes resources in an AWS account. Set {CONSENT}=yes to allow that.")


def _ask(yes: bool, lines: Sequence[str]) -> None:
    for line in lines:
        tell(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("Cannot ask for approval: stdin is not a terminal. Use --yes.")
    try:
        click.confirm("Continue?", err=True, abort=True)
    except click.Abort as error:
        raise Refused("Not approved.") from error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
