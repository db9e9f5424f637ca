"""Read and plan: what ``plan`` does, and what ``apply`` begins and ends with. Can change nothing."""

from __future__ import annotations

from enireconcile import live
from enireconcile.errors import GuardError
from enireconcile.model import Plan, Reads
from enireconcile.plan import make_plan
from enireconcile.spec import Spec


async def survey(
    reader: Reads, spec: Spec, region: str, account_id: str | None = None, *, prune: bool = False
) -> Plan:
    """The plan from a fresh read; the account is asked for only if it is not known yet.

    Raises AwsError, GuardError for another account than the spec's, and what planning raises.
    """
    found = await live.read(reader, spec.document, region, account_id)
    guard_account(spec, found.account_id)
    return make_plan(spec, found, prune=prune)


async def account_of(reader: Reads) -> str:
    """The account of the credentials. Raises AwsError."""
    return str((await reader.read("GetCallerIdentity"))["Account"])


def guard_account(spec: Spec, account_id: str) -> None:
    """Raises GuardError when the spec is for another account."""
    wanted = spec.document.account_id
    if wanted is not None and wanted != account_id:
        raise GuardError(
            f"the spec is for account {wanted}, these credentials are of account {account_id}",
            hint="choose other credentials (AWS_PROFILE, --profile)",
        )
