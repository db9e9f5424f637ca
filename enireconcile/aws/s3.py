"""A few small objects in S3, written only if nobody else has written them: what locks are made of.

The conditional writes (If-None-Match on what is new, If-Match on what is replaced) are S3's compare-and-set. They
can be repeated: whoever meets a condition that no longer holds looks whether it was met by his own first attempt.
So this is the one service whose client may retry by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from enireconcile.aws.faults import fault_from, log_call
from enireconcile.aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_ABSENT = {"NoSuchKey", "404"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_TURNS = 5
_HINTS = {
    "NoSuchBucket": "make the bucket first; enireconcile makes none",
    "AccessDenied": "lock and journal need s3:GetObject, s3:PutObject and s3:ListBucket (docs/how-to/state.md)",
    "NotImplemented": "the lock needs an S3 with conditional writes (If-None-Match, If-Match)",
}


class Changed(Exception):
    """The object is not what the write was to replace."""


@dataclass(frozen=True)
class Stored:
    """An object as it was read. ``age`` is the seconds since it was written, by S3's own clock."""

    body: bytes
    etag: str
    age: float


class S3Bucket:
    """The objects below ``prefix`` of one bucket. Every method raises AwsError."""

    def __init__(self, session: Session, name: str, prefix: str) -> None:
        self._session, self.name, self._prefix = session, name, prefix.strip("/")

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{self._key(key)}"

    def get(self, key: str) -> Stored | None:
        """None if there is no such object."""

        def ask(client: S3Client) -> tuple[Stored, Any]:
            answer = client.get_object(Bucket=self.name, Key=self._key(key))
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            # Both times are S3's: what the clocks of two hosts say does not matter.
            now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
            age = (now - answer["LastModified"]).total_seconds()
            return Stored(answer["Body"].read(), answer["ETag"], max(0.0, age)), answer

        return self._call("GetObject", key, ask, absent=None)

    def put(self, key: str, body: bytes, *, replaces: str | None) -> str:
        """Write, if the object still has this ETag, or with None if there is none yet; the new ETag.

        Raises Changed.
        """
        condition: Any = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}

        def ask(client: S3Client) -> tuple[str, Any]:
            answer = client.put_object(Bucket=self.name, Key=self._key(key), Body=body, **condition)
            return answer["ETag"], answer

        for _ in range(_TURNS):
            if etag := self._call("PutObject", key, ask, absent=None):
                return etag
            stored = self.get(key)
            if stored is not None and stored.body == body:
                # It is our own write, whose answer was lost.
                return stored.etag
            if (stored.etag if stored else None) != replaces:
                break
            # Somebody else wrote at the same moment, and failed likewise.
        raise Changed

    def overwrite(self, key: str, body: bytes) -> None:
        """Write, whatever is there."""

        def ask(client: S3Client) -> tuple[str, Any]:
            answer = client.put_object(Bucket=self.name, Key=self._key(key), Body=body)
            return answer["ETag"], answer

        self._call("PutObject", key, ask, absent=None)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _call(
        self, call: str, key: str, ask: Callable[[S3Client], tuple[T, Any]], *, absent: T | None
    ) -> T | None:
        """``ask`` gives what is wanted and S3's whole answer.

        ``absent`` is the answer when there is no such object, or another than the one that was meant.
        """
        began = time.monotonic()
        try:
            wanted, answer = ask(self._session.client("s3"))
        except (ClientError, BotoCoreError) as error:
            fault = fault_from(call, error)
            log_call(call, time.monotonic() - began, fault.request_id, fault)
            if fault.code in _ABSENT or fault.code in _CHANGED:
                return absent
            told = fault.error(self.url(key))
            told.hint = _HINTS.get(fault.code, told.hint)
            raise told from None
        log_call(call, time.monotonic() - began, answer["ResponseMetadata"].get("RequestId"))
        return wanted
