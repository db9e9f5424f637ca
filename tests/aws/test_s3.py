"""S3's answers without what the lock is built on: an error that names the call, or a read that settles it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from enireconcile.aws.s3 import Changed, S3Bucket
from enireconcile.aws.session import Session
from enireconcile.errors import AwsError
from tests.harness import boto
from tests.s3 import BUCKET, Request, S3Server

Pairs = list[tuple[str, str]]


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[S3Bucket]:  # noqa: ARG001 (the client goes there)
    session = Session(boto(), "us-east-1")
    yield S3Bucket(session, BUCKET, "team")
    session.close()


def without(name: str) -> Callable[[Pairs], Pairs]:
    return lambda headers: [pair for pair in headers if pair[0] != name]


def instead(name: str, *values: str) -> Callable[[Pairs], Pairs]:
    return lambda headers: [*without(name)(headers), *((name, value) for value in values)]


def answers(s3: S3Server, method: str, change: Callable[[Pairs], Pairs]) -> None:
    s3.headers = lambda asked, headers: change(headers) if asked == method else headers


MONDAY, TUESDAY = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
WRONG = [
    pytest.param(without("ETag"), "ETag", id="no ETag"),
    pytest.param(without("Last-Modified"), "Last-Modified", id="no Last-Modified"),
    pytest.param(instead("Last-Modified", "yesterday"), "yesterday", id="a Last-Modified that is none"),
    pytest.param(instead("Last-Modified", MONDAY, TUESDAY), "2024", id="two of them"),
    pytest.param(without("Date"), "Date", id="no Date"),
    pytest.param(instead("Date", "never"), "never", id="a Date that is none"),
    pytest.param(instead("Date", "Mon, 01 Jan 99999 00:00:00 GMT"), "99999", id="a Date out of range"),
    pytest.param(instead("Date", "Mon, 45 Jan 2024 00:00:00 GMT"), "day", id="a day that does not exist"),
    pytest.param(instead("Date", MONDAY, TUESDAY), "Date", id="two Dates"),
]


@pytest.mark.parametrize(("change", "named"), WRONG)
def test_a_read_whose_age_or_version_is_unknown_is_an_error(
    change: Callable[[Pairs], Pairs], named: str, s3: S3Server, bucket: S3Bucket
) -> None:
    bucket.put("lock.json", b"{}", replaces=None)
    answers(s3, "GET", change)
    with pytest.raises(AwsError, match=rf"^GetObject for s3://{BUCKET}/team/lock.json: \w+: .*{named}"):
        bucket.get("lock.json")


def test_a_write_without_an_etag_is_read_back(s3: S3Server, bucket: S3Bucket) -> None:
    answers(s3, "PUT", without("ETag"))
    etag = bucket.put("lock.json", b"{}", replaces=None)
    stored = bucket.get("lock.json")
    assert stored is not None
    assert stored.etag == etag


def test_a_write_that_something_else_answers_is_not_taken_for_done(s3: S3Server, bucket: S3Bucket) -> None:
    """A portal answers HTTP 200, and S3 has another version."""
    bucket.put("lock.json", b"theirs", replaces=None)
    real = s3.answer

    def answer(bucket: str, request: Request) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b"") if request.method == "PUT" else real(bucket, request)

    s3.answer = answer  # type: ignore[method-assign]
    with pytest.raises(Changed):
        bucket.put("lock.json", b"mine", replaces=None)
    with pytest.raises(AwsError, match=r"^PutObject for s3://.*: UnreadableAnswer: .*ETag"):
        bucket.overwrite("report.json", b"{}")


def test_a_page_instead_of_an_object_is_an_error(s3: S3Server, bucket: S3Bucket) -> None:
    s3.answer = lambda *_: (200, {"Content-Type": "text/html"}, b"<html>")  # type: ignore[method-assign]
    with pytest.raises(AwsError, match=r"^GetObject for s3://.*: UnreadableAnswer: .*ETag"):
        bucket.get("lock.json")
