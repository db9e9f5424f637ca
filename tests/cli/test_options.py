"""The types of values of options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from enireconcile.cli.app import cli
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
        ("~/state", "write the whole path"),
    ],
)
def test_what_is_no_place_of_a_state(text: str, hint: str) -> None:
    """A directory called s3: would be made of it."""
    with pytest.raises(click.BadParameter) as raised:
        state_location(text)
    assert raised.value.message.startswith(repr(text))
    assert raised.value.message.endswith(hint)


@pytest.mark.parametrize("command", [["validate"], ["plan"], ["apply", "-y"]], ids=lambda words: words[0])
def test_a_variable_that_is_not_utf8(command: list[str], tmp_path: Path) -> None:
    """Python shows a byte that is none as half a character, which EC2 and JSON cannot have."""
    spec = tmp_path / "web.yaml"
    spec.write_text("version: 1\nstack: web\nvariables: {v: a}\ntags: {v: '${var.v}'}\n")
    done = CliRunner().invoke(cli, [*command, "--var", "v=x\udcff", str(spec)])
    assert done.exit_code == 2
    assert "Invalid value for '--var': 'v=x\\udcff' is not UTF-8" in done.output
    assert CliRunner().invoke(cli, ["validate", "--var", "v=zoë 🙂", str(spec)]).exit_code == 0
