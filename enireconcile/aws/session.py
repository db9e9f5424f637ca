"""From the standard AWS chain to clients that never retry by themselves.

botocore would repeat AllocateAddress after a lost answer and leave a second address behind, so its own retries
are switched off for good: the layer above decides, call by call.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound
from botocore.session import Session as BotocoreSession
from botocore.session import get_session

from enireconcile import __version__
from enireconcile.errors import EnireconcileError


@dataclass
class Session:
    """Clients of one account and region, made when first needed and shared by all threads."""

    boto: boto3.Session
    region: str
    parallelism: int
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.boto.client(  # type: ignore[call-overload]
                    service, region_name=self.region, config=_config(self.parallelism)
                )
            return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def _config(parallelism: int) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=max(parallelism, 10),
        user_agent_extra=f"enireconcile/{__version__}",
    )


def connect(
    *, region: str | None, profile: str | None, assume_role_arn: str | None = None, parallelism: int = 10
) -> Session:
    """A Session from the standard chain; ``region`` and ``profile`` override it.

    Raises EnireconcileError when the profile is unknown or no region is set.
    """
    try:
        core = get_session()
        if profile:
            core.set_config_variable("profile", profile)
        boto = boto3.Session(botocore_session=core, region_name=region)
        chosen = region or boto.region_name
        if chosen is None:
            raise NoRegionError
        if assume_role_arn:
            _assume(core, assume_role_arn, chosen)
        return Session(boto, chosen, parallelism)
    except NoRegionError:
        raise EnireconcileError(
            "no AWS region", hint="write `region:` into the spec, give --region, or set AWS_REGION"
        ) from None
    except ProfileNotFound as error:
        raise EnireconcileError(str(error), hint="see `aws configure list-profiles`") from None
    except (BotoCoreError, ClientError) as error:
        raise EnireconcileError(f"no AWS session: {error}") from None


def _assume(core: BotocoreSession, role_arn: str, region: str) -> None:
    """Replace the session's credentials by those of the role, fetched at the first call and renewed in time."""
    source = core.get_credentials()
    if source is None:
        return

    def create_client(service: str, **kwargs: Any) -> Any:
        return core.create_client(service, region_name=region, config=_config(10), **kwargs)

    fetcher = AssumeRoleCredentialFetcher(
        client_creator=create_client,
        source_credentials=source,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "enireconcile"},
    )
    core._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
