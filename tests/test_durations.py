"""Durations of the command line and of specs."""

from __future__ import annotations

import pytest

from enireconcile import durations


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("15m", 900), ("1h", 3600), ("1.5h", 5400), ("500ms", 0.5), ("0s", 0)]
)
def test_a_duration_has_a_unit(text: str, expected: float) -> None:
    assert durations.seconds(text) == durations.seconds(text, unit="h") == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1d", "1:30", "1e3s", "١s", "1.s", "9" * 400 + "s"])
def test_what_is_no_duration(text: str) -> None:
    assert durations.seconds(text, unit="s") is None


def test_a_number_alone_needs_a_unit_to_stand_for() -> None:
    assert (durations.seconds("90"), durations.seconds("90", unit="s"), durations.seconds("2", unit="m")) == (
        None,
        90,
        120,
    )
