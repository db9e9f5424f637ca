"""Small S3 objects with compare-and-set: the base of locks and journals in S3.

S3's conditional writes (If-None-Match for a new object, If-Match for a replaced one) are safe to repeat: if the
condition no longer holds, a read shows whether the first attempt has met it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from enireconcile.aws.answers import UnreadableAnswer
from enireconcile.aws.faults import Fault, fault_from, log_call, unreadable
from enireconcile.aws.retry import is_transient, retrying_in_thread
from enireconcile.aws.session import Session
from enireconcile.errors import EnireconcileError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
MAX_BYTES = 64 * 1024 * 1024
"""An object is read to one byte more than this, which shows that it is too large."""
_ABSENT = {"NoSuchKey", "404"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_ATTEMPTS = 5
_TRIES = 4
"""Attempts of one call: with S3's time limits, a lease can still be renewed afterwards."""
_NO_ETAG = '"00000000000000000000000000000000"'
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_HINTS = {
    "NoSuchBucket": "create the bucket first: enireconcile does not create buckets",
    "AccessDenied": "lock and journal need s3:GetObject, s3:PutObject and s3:ListBucket (docs/how-to/state.md)",
    "NotImplemented": "the lock needs an S3 service with conditional writes (If-None-Match, If-Match)",
}


class Changed(Exception):
    """The object is not the version that the write was to replace."""


class Stored(Struct, frozen=True):
    """An object as it was read. ``age`` is in seconds since it was written, by S3's clock."""

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
        """The object, None if it does not exist."""

        def ask(client: S3Client) -> tuple[Stored, Any]:
            answer = client.get_object(Bucket=self.name, Key=self._key(key))
            return Stored(answer["Body"].read(MAX_BYTES + 1), _etag(answer), _age(answer)), answer

        return self._call("GetObject", key, ask, absent=None)

    def put(self, key: str, body: bytes, *, replaces: str | None) -> str:
        """Write the object if it still has the ETag ``replaces``, or with None if it does not exist yet.

        Returns the new ETag. Raises Changed.
        """
        condition = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        for _ in range(_ATTEMPTS):
            if etag := self._write(key, body, condition):
                return etag
            stored = self.get(key)
            if stored is not None and stored.body == body:
                # An earlier attempt wrote it, and its answer was lost.
                return stored.etag
            if (stored.etag if stored else None) != replaces:
                break
            # Another run tried to write at the same moment, and both were refused: try again.
        raise Changed

    def overwrite(self, key: str, body: bytes) -> None:
        """Write the object, whether or not it exists."""
        if not self._write(key, body, {}):
            raise unreadable("PutObject", "it has no ETag").error(self.url(key))

    def ignored_condition(self, key: str, body: bytes, *, created: bool) -> str | None:
        """The header that this service ignores, None if it refuses writes whose condition does not hold.

        ``body`` is what the object contains; it stays so even if a write succeeds. If-None-Match is tried only if
        the object was ``created`` with it.
        """
        if self._write(key, body, {"IfMatch": _NO_ETAG}) is not None:
            return "If-Match"
        if created and self._write(key, body, {"IfNoneMatch": "*"}) is not None:
            return "If-None-Match"
        return None

    def _write(self, key: str, body: bytes, condition: Mapping[str, Any]) -> str | None:
        """The new ETag, empty if the answer has none, None if the condition does not hold."""

        def ask(client: S3Client) -> tuple[str, Any]:
            answer = client.put_object(Bucket=self.name, Key=self._key(key), Body=body, **condition)
            # Without an ETag, something else than S3 may have answered.
            return answer.get("ETag", ""), answer

        return self._call("PutObject", key, ask, absent=None)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _call(
        self, call: str, key: str, ask: Callable[[S3Client], tuple[T, Any]], *, absent: T | None
    ) -> T | None:
        """Make one call; ``ask`` returns the value and S3's whole answer.

        Returns ``absent`` if the object does not exist or is not the version that was meant. Raises AwsError.
        """
        try:
            for trial in retrying_in_thread(is_transient, _TRIES):
                with trial:
                    return self._attempt(call, ask)
        except Fault as fault:
            if fault.code in _ABSENT or fault.code in _CHANGED:
                return absent
            shown = fault.error(self.url(key))
            shown.hint = _HINTS.get(fault.code, shown.hint)
            raise shown from None
        raise AssertionError("unreachable")

    def _attempt(self, call: str, ask: Callable[[S3Client], tuple[T, Any]]) -> T:
        """Make one attempt of a call. Raises Fault."""
        began = time.monotonic()
        try:
            value, answer = ask(self._session.client("s3"))
        except EnireconcileError:
            raise
        except Exception as error:  # noqa: BLE001 (botocore raises more than its own errors for a wrong answer)
            fault = fault_from(call, error)
            log_call(call, time.monotonic() - began, fault.request_id, fault)
            raise fault from None
        log_call(call, time.monotonic() - began, answer["ResponseMetadata"].get("RequestId"))
        return value


def _etag(answer: Any) -> str:
    if not (etag := answer.get("ETag")):
        raise UnreadableAnswer("it has no ETag")
    return str(etag)


def _age(answer: Any) -> float:
    """Seconds since the object was written. Both times are S3's, so the clocks of the hosts do not matter."""
    if not (modified := answer.get("LastModified")):
        raise UnreadableAnswer("it has no Last-Modified")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    if not _DATE.fullmatch(date):
        raise UnreadableAnswer(f"its Date is {date[:80]!r}")
    age: float = (parsedate_to_datetime(date) - modified).total_seconds()
    return max(0.0, age)
