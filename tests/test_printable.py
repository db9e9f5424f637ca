"""Text from AWS on a terminal and in the log of a CI system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.errors import AwsError, Problem
from enireconcile.printable import printable, printable_lines
from tests.planning.worlds import examples
from tests.processes.test_inputs import HOSTILE, commands_in

TEXTS = [
    (None, ""),
    ("web ü 日本", "web ü 日本"),
    ("a\nb\rc\u2028d\x1b[31me\u202ef", r"a\nb\rc\u2028d\x1b[31me\u202ef"),
    ("::error::x", r"\x3a:error::x"),
    ("  ::error file=a,line=1::x", r"  \x3a:error file=a,line=1::x"),
    ("a ::error::x", "a ::error::x"),
    ("a ##[error]x ##vso[task.setvariable]y", r"a \x23#[error]x \x23#vso[task.setvariable]y"),
    ("###[x]", r"#\x23#[x]"),
    ("::/0", "::/0"),
    ("::1, ::ffff:192.0.2.1", "::1, ::ffff:192.0.2.1"),
    ("## heading", "## heading"),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_what_is_spelled_out(text: str | None, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@examples(200)
@given(
    st.lists(st.sampled_from([*HOSTILE, "::error::", "##[", "##vso[", "#", ":", "a", " ", "\ud800"])).map("".join)
)
def test_any_text(text: str) -> None:
    """It is one printable line without a command, and stays as it is if it is printed again."""
    shown = printable(text)
    assert shown.isprintable()
    assert commands_in(shown) == []
    assert printable(shown) == shown
    assert commands_in(printable_lines(text)) == []


def test_errors_that_quote_aws_have_the_lines_that_they_make_themselves() -> None:
    error = AwsError("RunInstances", "Bad\nCode", HOSTILE, request_id="1\n2", address="a\nb", hint="a hint")
    assert str(error).count("\n") == 1
    problem = Problem("x\ny.yaml", 1, 1, "a\nb", HOSTILE, "a\nhint")
    assert str(problem).count("\n") == 1
