"""Sessions from the standard AWS credential chain, with clients that never retry on their own.

botocore would repeat AllocateAddress after a lost answer and allocate a second address. So its retries are off,
and the layer above decides about each call.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.loaders import create_loader
from botocore.model import OperationModel
from botocore.session import Session as BotocoreSession
from botocore.session import get_session
from msgspec import Struct

from enireconcile import __version__
from enireconcile.aws.actions import is_read
from enireconcile.aws.faults import Meaning, fault_from
from enireconcile.aws.last_check import check_before_body
from enireconcile.aws.models import Models
from enireconcile.aws.parsers import check_answers_of
from enireconcile.aws.sending import note_host, waiting
from enireconcile.aws.tls import share_context
from enireconcile.errors import DENIED, AwsError, EnireconcileError
from enireconcile.printable import printable
from enireconcile.regions import of_environment, wrong_region

BotoSession = boto3.Session
_AWS_DOMAINS = (
    *(".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn"),
    *(".c2s.ic.gov", ".sc2s.sgov.gov", ".cloud.adc-e.uk", ".csp.hci.ic.gov"),
)
"""The domains of AWS's endpoints, those of VPC endpoints included, by partition."""
_SESSION_NAME = 64
"""The most characters of a role session's name."""
_DEFAULT_PROFILE = "default"
"""What boto3 calls the profile of a session that names none."""


class Role(Struct, frozen=True):
    """A role to assume. CloudTrail shows ``purpose``, the stack, and this host as its session."""

    arn: str
    external_id: str | None = None
    purpose: str = ""

    @property
    def account_id(self) -> str:
        return self.arn.split(":")[4]

    @property
    def session_name(self) -> str:
        """``enireconcile-STACK-HOST``. STS takes 64 characters: a long stack is cut, then a long host."""
        host = socket.gethostname()
        room = _SESSION_NAME - len("enireconcile--")
        stack = self.purpose[: max(room - len(host), room // 2)]
        name = "-".join(filter(None, ["enireconcile", stack, host]))
        return re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", name)[:_SESSION_NAME]


@dataclass
class Session:
    """Clients of one account and Region, created when first needed and shared by all threads.

    With ``read_only`` the clients refuse every call that ``aws.actions`` does not list as a read. ``account_id``
    is that of the role that is assumed: all calls are made in its account.
    """

    boto: boto3.Session
    region: str
    parallelism: int = 10
    read_only: bool = False
    account_id: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        try:
            # A program, a sign-in or the instance's metadata may be slow to give them.
            with waiting():
                self.boto.get_credentials()
            client = self.boto.client(  # type: ignore[call-overload]
                service, region_name=self.region, config=_config(self.parallelism, service)
            )
        except (BotoCoreError, ValueError) as error:
            raise EnireconcileError(
                f"cannot create the {service} client: {printable(str(error)).strip().rstrip(':')}",
                hint=_client_hint(error),
            ) from None
        share_context(client)
        client.meta.events.register("before-send", check_before_body)
        if self.read_only:
            client.meta.events.register("before-call", _refuse_writes)
        return client

    @property
    def endpoint(self) -> str | None:
        """The URL of EC2's endpoint, unless it is in a domain of AWS; None before EC2 was called first.

        It makes no client, which may have to wait for the credentials.
        """
        if (client := self._clients.get("ec2")) is None:
            return None
        url = urlsplit(client.meta.endpoint_url)
        if f".{url.hostname}".endswith(_AWS_DOMAINS):
            return None
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"

    @property
    def profile(self) -> str:
        """The name of the AWS profile; ``default`` if none is chosen."""
        return str(self.boto.profile_name)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def _client_hint(error: Exception) -> str:
    if isinstance(error, CredentialRetrievalError):
        return "run the credential_process of the profile by itself: it must print credentials as JSON"
    if isinstance(error, (InvalidConfigError, ConfigParseError)):
        return "correct the profile in ~/.aws/config; `aws configure list` shows what is read"
    return "check AWS_ENDPOINT_URL, which begins with http:// or https://, and the AWS configuration"


def _refuse_writes(model: OperationModel, **_: Any) -> None:
    if not is_read(model.name):
        raise PermissionError(f"{model.name} is not a known read, and this session is read-only")


_ANSWER = 60.0
"""Seconds for which a request waits for its answer."""


def _config(parallelism: int, service: str = "") -> Config:
    s3 = service == "s3"
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        # The lock's lease must be renewed in time, and our objects have a few kilobytes.
        connect_timeout=5 if s3 else 10,
        read_timeout=10 if s3 else _ANSWER,
        max_pool_connections=max(parallelism, 10),
        user_agent_extra=f"enireconcile/{__version__}",
    )


def connect(
    *,
    region: str | None,
    profile: str | None,
    boto: BotoSession | None = None,
    role: Role | None = None,
    parallelism: int = 10,
    read_only: bool = False,
    region_hint: str = "set AWS_REGION",
) -> Session:
    """A Session from the standard chain; ``region`` and ``profile`` override it.

    Of the caller's session ``boto``, its credentials, its profile and its Region are used: never its clients,
    which may retry. ``region_hint`` says where a Region may come from.

    Raises EnireconcileError when the profile is unknown or no Region is set.
    """
    try:
        core = get_session()
        if boto is not None:
            profile = profile or (boto.profile_name if boto.profile_name != _DEFAULT_PROFILE else None)
            region = region or boto.region_name
        if profile:
            core.set_config_variable("profile", profile)
        core.register_component("data_loader", _models(core.get_config_variable("data_path")))
        check_answers_of(core)
        core.register("before-send", note_host)
        _, named = of_environment(os.environ) or ("", None)
        chosen = region or named or core.get_config_variable("region")
        if chosen is None:
            raise NoRegionError
        if wrong := wrong_region(chosen):
            source = "--region or the spec" if region else "AWS_REGION, AWS_DEFAULT_REGION or the profile"
            raise EnireconcileError(f"region (from {source}): {wrong[0]}", hint=wrong[1])
        given = boto.get_credentials() if boto is not None else None
        if given is not None:
            core._credentials = given  # type: ignore[attr-defined]
        if role is not None:
            _assume(core, role, chosen, given)
        return Session(
            boto3.Session(botocore_session=core, region_name=chosen),
            chosen,
            parallelism,
            read_only,
            account_id=role.account_id if role is not None else None,
        )
    except NoRegionError:
        raise EnireconcileError("no AWS region", hint=region_hint) from None
    except ProfileNotFound as error:
        raise EnireconcileError(str(error), hint="`aws configure list-profiles` lists the profiles") from None
    except (BotoCoreError, ClientError) as error:
        raise EnireconcileError(
            f"cannot create an AWS session: {error}", hint="check the AWS configuration and credentials"
        ) from None


@functools.cache
def _models(data_path: str | None) -> Models:
    """The loader of service models. They are large, so ``watch``, which creates many sessions, reads them once."""
    return Models(create_loader(data_path).search_paths, include_default_search_paths=False)


def _assume(core: BotocoreSession, role: Role, region: str, source: Any) -> None:
    """Use the role's credentials: fetched at the first call, refreshed before they expire.

    It is assumed with ``source``, or with the credentials that the standard chain finds then.
    """
    provider = core.get_component("credential_provider")

    def create_client(service: str, **kwargs: Any) -> Any:
        client = core.create_client(service, region_name=region, config=_config(10), **kwargs)
        share_context(client)
        return client

    def fetch() -> Any:
        credentials = source or provider.load_credentials()
        if credentials is None:
            raise NoCredentialsError
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=create_client,
            source_credentials=credentials,
            role_arn=role.arn,
            extra_args={
                "RoleSessionName": role.session_name,
                **({"ExternalId": role.external_id} if role.external_id else {}),
            },
        )
        try:
            return fetcher.fetch_credentials()
        except ClientError as error:
            raise _refused(role, error, core.get_config_variable("profile")) from None

    core._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        refresh_using=fetch, method="assume-role"
    )


def _refused(role: Role, error: ClientError, profile: str | None) -> Exception:
    """AssumeRole under its own name: the call that needed the credentials was never sent.

    What passes stays an error of botocore, for which that call is repeated.
    """
    fault = fault_from("AssumeRole", error, profile=profile)
    if fault.meaning is not Meaning.REFUSED:
        error.response["Error"]["Message"] = f"AssumeRole for {role.arn}: {fault.message}"
        return error
    if fault.code not in DENIED:
        return fault.error(role.arn)
    return AwsError(
        fault.call,
        fault.code,
        fault.message,
        request_id=fault.request_id,
        address=role.arn,
        hint="the trust policy of the role must allow these credentials"
        + (", with this external id" if role.external_id else "")
        + ", and their own policy sts:AssumeRole on it",
    )
