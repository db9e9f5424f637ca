"""Words that several outputs share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from enireconcile.model import CheckResult, Report
from enireconcile.outputs.words import no_guests, of_several, several_words

CHECK = CheckResult("page", "tcp 203.0.113.7:80", "open", "refused", 1.0, why="the guest is next")
BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


def test_what_became_of_several_stacks() -> None:
    """What needs no attention first; of what does, the names, as far as they are few."""
    assert of_several(
        [("a", "converged"), ("b", "failed"), ("c", "unchanged"), ("d", "unchanged")], {"failed"}
    ) == ("4 stacks: 2 unchanged, 1 converged, 1 failed (b)")
    many = [(f"s{number}", "failed") for number in range(7)]
    assert of_several(many, {"failed"}) == "7 stacks: 7 failed (s0, s1, s2, s3, s4, 2 more)"
    assert of_several([("a", "unchanged")], set(), 2) == "1 stack: 1 unchanged, 2 files refused"


def test_reports_that_need_attention_have_a_line_of_their_own() -> None:
    """With account and Region as far as they are known, and the first line of the reason."""
    reports = [
        Report("a", "1", "us-east-1", "unchanged", BEGAN, 1.0),
        Report("b", "2", "us-east-1", "failed", BEGAN, 1.0, error="no\n  hint: yes"),
        Report("c", None, None, "refused", BEGAN, 1.0),
        Report("d", "4", "us-east-1", "converged", BEGAN, 1.0, checks=(CHECK,)),
    ]
    words = several_words([(each.stack or "", each) for each in reports], not_run=["e", "f"])
    assert words.splitlines() == [
        "6 stacks: 1 unchanged, 1 failed (b), 1 refused (c), 1 with a failed check (d), 2 not run (e, f)",
        "  b (2, us-east-1): failed: no",
        "  c (no account): refused",
        "  d (4, us-east-1): with a failed check",
    ]


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [("http://127.0.0.1:5000", True), ("http://localhost:5000", True), ("https://vpce-1.example.com", False)],
)
def test_failed_checks_where_ec2_is_simulated(endpoint: str, told: bool) -> None:
    """Those that pass may be of a guest that is real."""
    passed = CheckResult("page", "tcp 203.0.113.7:80", "open", "open", 1.0)
    assert (no_guests(endpoint, [passed, CHECK]) is not None) is told
    assert (no_guests(endpoint, [passed]), no_guests(None, [CHECK])) == (None, None)
