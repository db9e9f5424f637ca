"""The types of values of options."""

from __future__ import annotations

import click
import pytest

from enireconcile.cli.options import state_location


@pytest.mark.parametrize(
    "text", ["folder", "./s3/x", "/var/lib/enireconcile", "s3://bucket", "s3://bucket/prefix"]
)
def test_where_a_state_can_be(text: str) -> None:
    assert state_location(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("s3:/bucket/prefix", "did you mean s3://bucket/prefix?"),
        ("s3:bucket", "did you mean s3://bucket?"),
        ("S3://bucket", "did you mean s3://bucket?"),
        ("https://bucket.s3.amazonaws.com/prefix", "write s3://bucket/prefix"),
        ("s3://Bucket/prefix", "write s3://bucket/prefix"),
    ],
)
def test_what_is_no_place_of_a_state(text: str, hint: str) -> None:
    """A directory called s3: would be made of it."""
    with pytest.raises(click.BadParameter) as raised:
        state_location(text)
    assert raised.value.message.startswith(repr(text))
    assert raised.value.message.endswith(hint)
