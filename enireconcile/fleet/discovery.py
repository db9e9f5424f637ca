"""Accounts that a fleet finds in AWS Organizations, kept for an hour in the user's cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import asdict

from enireconcile import files
from enireconcile.aws.organizations import Member, members
from enireconcile.fleet.file import Account, Fleet

FRESH = 3600.0
"""Seconds for which the accounts that were found are used again."""
_LARGEST = 16 * 2**20


def discovered(fleet: Fleet, *, refresh: bool = False) -> list[Account]:
    """The accounts of ``discover``, without those that the file lists itself. Raises EnireconcileError."""
    if fleet.rows.discover is None:
        return []
    wanted = fleet.rows.discover.organization
    found = None if refresh else _cached(fleet)
    if found is None:
        from enireconcile.aws.session import connect

        session = connect(region=None if _has_region() else "us-east-1", profile=None, read_only=True)
        found = members(session, wanted.ous, wanted.exclude)
        _keep(fleet, found)
    listed = {account.id for account in fleet.rows.accounts}
    names = {account.title for account in fleet.rows.accounts}
    accounts = []
    for member in found:
        if member.id in listed:
            continue
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", member.name).strip("-._")[:63] or member.id
        # Names of accounts need not be unique in an organization.
        name = name if name not in names else member.id
        names.add(name)
        accounts.append(Account(id=member.id, name=name, tags=member.tags, regions=wanted.regions))
    return accounts


def _has_region() -> bool:
    return any(os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))


def _path(fleet: Fleet) -> Path | None:
    """The cache of these units, for these credentials and this endpoint."""
    known: list[object] = [fleet.rows.discover.model_dump(mode="json") if fleet.rows.discover else None]
    # Other credentials, another profile or endpoint may be another organization. The name does not show them.
    known += sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    name = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    folder = files.cache_folder()
    return folder / f"organization-{name}.json" if folder else None


def _cached(fleet: Fleet) -> list[Member] | None:
    path = _path(fleet)
    if path is None:
        return None
    with suppress(OSError, ValueError, TypeError):
        if 0 <= time.time() - path.stat().st_mtime < FRESH and files.is_private(path):
            return [Member(**each) for each in json.loads(files.read_regular(path, _LARGEST))]
    return None


def _keep(fleet: Fleet, found: Sequence[Member]) -> None:
    path = _path(fleet)
    if path is not None:
        with suppress(OSError):
            files.make_folders(path.parent, 0o700)
            files.replace(path, json.dumps([asdict(each) for each in found]).encode(), mode=0o600)
