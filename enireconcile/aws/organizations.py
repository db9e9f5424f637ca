"""The accounts of AWS Organizations, with their tags. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from enireconcile.aws.session import Session
from enireconcile.errors import AwsError, EnireconcileError


class Member(Struct, frozen=True):
    """An active account of an organization."""

    id: str
    name: str
    tags: dict[str, str] = {}


# Reads of services with low limits: here botocore may retry.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 10}, connect_timeout=10, read_timeout=30)


def source(session: Session) -> tuple[str, str]:
    """Where ``members`` reads: the account of the credentials, and the endpoint. Raises AwsError.

    Calls GetCallerIdentity, which needs no permission. The access key would not do: that of a role changes.
    """
    with _client(session, "organizations") as client:
        endpoint = str(client.meta.endpoint_url)
    with _client(session, "sts") as client:
        return str(client.get_caller_identity()["Account"]), endpoint


def members(session: Session, ous: Sequence[str], exclude: Sequence[str]) -> list[Member]:
    """The active accounts below the organizational units, or of the whole organization, sorted by id.

    Reads ListAccounts or, for each unit, ListAccountsForParent and ListOrganizationalUnitsForParent, and
    ListTagsForResource for each account. Raises AwsError.
    """
    with _client(session, "organizations") as client:
        found = _of_units(client, ous) if ous else _pages(client, "list_accounts", "Accounts")
        accounts = {
            account["Id"]: account["Name"]
            for account in found
            if account.get("Status", account.get("State")) == "ACTIVE" and account["Id"] not in exclude
        }
        return [Member(number, accounts[number], _tags(client, number)) for number in sorted(accounts)]


_HINTS = {
    "organizations": "run in the management account or a delegated one, with organizations:ListAccounts, "
    "ListAccountsForParent, ListOrganizationalUnitsForParent and ListTagsForResource",
    "sts": "check the credentials at hand: `aws sts get-caller-identity` needs no permission",
}


@contextmanager
def _client(session: Session, service: str) -> Iterator[Any]:
    """A client of the service; in the block, errors of calls are AwsErrors."""
    try:
        client: Any = session.boto.client(service, region_name=session.region, config=_CONFIG)  # type: ignore[call-overload]
    except (BotoCoreError, ValueError) as error:
        hint = "check AWS_ENDPOINT_URL, which begins with http:// or https://, and the AWS configuration"
        raise EnireconcileError(f"cannot create the {service} client: {error}", hint=hint) from None
    try:
        yield client
    except ClientError as error:
        about = error.response.get("Error", {})
        raise AwsError(
            error.operation_name,
            str(about.get("Code")),
            str(about.get("Message")),
            request_id=error.response.get("ResponseMetadata", {}).get("RequestId"),
            hint=_HINTS[service],
        ) from None
    except BotoCoreError as error:
        raise EnireconcileError(f"cannot read the organization: {error}") from None
    finally:
        client.close()


def _of_units(client: Any, ous: Sequence[str]) -> Iterator[Any]:
    waiting, seen = list(ous), set[str]()
    while waiting:
        parent = waiting.pop()
        if parent not in seen:
            seen.add(parent)
            yield from _pages(client, "list_accounts_for_parent", "Accounts", ParentId=parent)
            below = _pages(client, "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent)
            waiting += [unit["Id"] for unit in below]


def _tags(client: Any, account: str) -> dict[str, str]:
    return {
        tag["Key"]: tag["Value"] for tag in _pages(client, "list_tags_for_resource", "Tags", ResourceId=account)
    }


def _pages(client: Any, operation: str, key: str, **params: str) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**params):
        yield from page[key]
