"""Accounts that a fleet finds in AWS Organizations, kept for an hour in the user's cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import asdict

from enireconcile import files
from enireconcile.aws.organizations import Member, members, source
from enireconcile.aws.session import connect
from enireconcile.fleet.file import Account, Fleet, Organization, is_account_id
from enireconcile.regions import of_environment

FRESH = 3600.0
"""Seconds for which the accounts that were found are used again."""
_LARGEST = 16 * 2**20


def discovered(fleet: Fleet, *, refresh: bool = False) -> list[Account]:
    """The accounts of ``discover``, without those that the file lists itself. Raises EnireconcileError."""
    if fleet.rows.discover is None:
        return []
    wanted = fleet.rows.discover.organization
    session = connect(region=None if of_environment(os.environ) else "us-east-1", profile=None, read_only=True)
    path = _path(wanted, source(session))
    found = None if refresh or path is None else _cached(path)
    if found is None:
        found = members(session, wanted.ous, wanted.exclude)
        _keep(path, found)
    listed = {account.id for account in fleet.rows.accounts}
    return _named(
        [member for member in found if member.id not in listed],
        [account.title for account in fleet.rows.accounts],
        wanted.regions,
    )


def _named(found: Sequence[Member], taken: Sequence[str], regions: tuple[str, ...]) -> list[Account]:
    """The accounts under their names in the organization, which need not be unique there.

    All that share a name have their ids instead: ``--only`` and ``canary`` must not mean another account when one
    of the same name joins. So has an account whose name looks like an id.
    """
    names = {member.id: re.sub(r"[^A-Za-z0-9._-]+", "-", member.name).strip("-._")[:63] for member in found}
    count = Counter([*names.values(), *taken])
    alone = {number for number, name in names.items() if name and count[name] == 1 and not is_account_id(name)}
    return [
        Account(
            id=member.id,
            name=names[member.id] if member.id in alone else member.id,
            tags=member.tags,
            regions=regions,
        )
        for member in found
    ]


def _path(wanted: Organization, source: tuple[str, str]) -> Path | None:
    """The cache of what is wanted of this source."""
    known = json.dumps([wanted.model_dump(mode="json"), source])
    folder = files.cache_folder()
    return folder / f"organization-{hashlib.sha256(known.encode()).hexdigest()[:16]}.json" if folder else None


def _cached(path: Path) -> list[Member] | None:
    with suppress(OSError, ValueError, TypeError):
        if 0 <= time.time() - path.stat().st_mtime < FRESH and files.is_private(path):
            return [Member(**each) for each in json.loads(files.read_regular(path, _LARGEST))]
    return None


def _keep(path: Path | None, found: Sequence[Member]) -> None:
    if path is not None:
        with suppress(OSError):
            files.make_folders(path.parent, 0o700)
            files.replace(path, json.dumps([asdict(each) for each in found]).encode(), mode=0o600)
