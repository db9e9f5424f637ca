"""From the standard AWS chain to clients that never retry by themselves.

botocore would repeat AllocateAddress after a lost answer and leave a second address behind, so its own retries
are switched off for good: the layer above decides, call by call. S3's are left on: see ``aws.objects``.
"""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound
from botocore.loaders import Loader, create_loader
from botocore.model import OperationModel
from botocore.session import Session as BotocoreSession
from botocore.session import get_session

from enireconcile import __version__
from enireconcile.errors import EnireconcileError


@dataclass
class Session:
    """Clients of one account and region, made when first needed and shared by all threads.

    With ``read_only`` no request that could change anything leaves them, whoever asks.
    """

    boto: boto3.Session
    region: str
    parallelism: int = 10
    read_only: bool = False
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        try:
            client = self.boto.client(  # type: ignore[call-overload]
                service, region_name=self.region, config=_config(self.parallelism, service)
            )
        except (BotoCoreError, ValueError) as error:
            raise EnireconcileError(
                f"no {service} client: {error}", hint="check AWS_ENDPOINT_URL and the AWS configuration"
            ) from None
        if self.read_only:
            client.meta.events.register("before-call", _refuse_writes)
        return client

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def is_read(call: str) -> bool:
    """Does this call only look? By EC2's names: what describes or gets changes nothing."""
    return call.startswith(("Describe", "Get", "List", "Lookup"))


def _refuse_writes(model: OperationModel, **_: Any) -> None:
    if not is_read(model.name):
        raise PermissionError(f"{model.name} cannot leave a session that is for reading")


def _config(parallelism: int, service: str = "") -> Config:
    objects = service == "s3"
    return Config(
        retries={"mode": "standard", "total_max_attempts": 4 if objects else 1},
        # A lease has to be renewed in time, and an object of ours is a few kilobytes.
        connect_timeout=5 if objects else 10,
        read_timeout=10 if objects else 60,
        max_pool_connections=max(parallelism, 10),
        user_agent_extra=f"enireconcile/{__version__}",
    )


def connect(
    *,
    region: str | None,
    profile: str | None,
    assume_role_arn: str | None = None,
    parallelism: int = 10,
    read_only: bool = False,
) -> Session:
    """A Session from the standard chain; ``region`` and ``profile`` override it.

    Raises EnireconcileError when the profile is unknown or no region is set.
    """
    try:
        core = get_session()
        if profile:
            core.set_config_variable("profile", profile)
        core.register_component("data_loader", _models(core.get_config_variable("data_path")))
        # botocore knows AWS_DEFAULT_REGION only; every other AWS tool looks at AWS_REGION first.
        chosen = region or os.environ.get("AWS_REGION") or core.get_config_variable("region")
        if chosen is None:
            raise NoRegionError
        if assume_role_arn:
            _assume(core, assume_role_arn, chosen)
        return Session(boto3.Session(botocore_session=core, region_name=chosen), chosen, parallelism, read_only)
    except NoRegionError:
        raise EnireconcileError(
            "no AWS region", hint="write `region:` into the spec, give --region, or set AWS_REGION"
        ) from None
    except ProfileNotFound as error:
        raise EnireconcileError(str(error), hint="see `aws configure list-profiles`") from None
    except (BotoCoreError, ClientError) as error:
        raise EnireconcileError(f"no AWS session: {error}") from None


@functools.cache
def _models(data_path: str | None) -> Loader:
    """The service models are large and stay the same: a watch, with its many sessions, reads them once."""
    return create_loader(data_path)


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
