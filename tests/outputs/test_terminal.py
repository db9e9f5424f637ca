"""What a terminal shows is wrapped at words; what a file or a pipe gets is not."""

from __future__ import annotations

import io
import os
import pty
import termios

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.outputs.terminal import columns, fitted
from tests.planning.worlds import examples

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        (
            "Unchanged: everything matches the spec. EC2 is at http://localhost:45000, not AWS.",
            "Unchanged: everything matches the spec. EC2 is at http://localhost:45000, not\n  AWS.",
        ),
        (
            "  hint: write another group_name, or `adopt: sg-0123456789abcdef0`, or delete that group",
            "  hint: write another group_name, or `adopt: sg-0123456789abcdef0`, or delete\n    that group",
        ),
        (
            '    ingress  + tcp 443 from 2001:db8:1234:5678::/64 "the office in the second street, and home"',
            '    ingress  + tcp 443 from 2001:db8:1234:5678::/64 "the office in the second\n'
            '             street, and home"',
        ),
        (f"    user_data            {DIGEST}", f"    user_data\n      {DIGEST}"),
        (f"    user_data  {DIGEST} → {DIGEST}", f"    user_data\n      {DIGEST} →\n      {DIGEST}"),
        ("x" * 90, "x" * 90),
        ("  enireconcile explain " + "specs " * 20, "  enireconcile explain " + "specs " * 20),
    ],
)
def test_lines_are_wrapped_at_words(text: str, shown: str) -> None:
    assert fitted(text, 80) == shown
    assert fitted(text, None) == text


def test_styles_have_no_width() -> None:
    line = "  " + click.style("interrupted", fg="yellow") + ": from s1 to s2, because of " + "words " * 10
    assert click.unstyle(fitted(line, 80)) == fitted(click.unstyle(line), 80)
    assert fitted(click.style("x" * 80, bold=True), 80).count("\n") == 0


@given(st.text(" ab\n", max_size=300), st.integers(40, 90))
@examples(60)
def test_no_word_is_lost_or_cut(text: str, width: int) -> None:
    shown = fitted(text, width)
    assert shown.split() == text.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown.split("\n") if line.strip())
    assert fitted(shown, width) == shown


def test_the_columns_are_those_of_the_terminal() -> None:
    leader, follower = pty.openpty()
    try:
        termios.tcsetwinsize(follower, (24, 90))
        with os.fdopen(follower, "w") as stream:
            assert columns(stream) == 90
            termios.tcsetwinsize(stream.fileno(), (24, 0))
            assert columns(stream) is None
    finally:
        os.close(leader)
    assert columns(io.StringIO()) is None
