"""What a fleet run tells, and where: results on stdout, errors and progress on stderr."""

from __future__ import annotations

import json

import pytest

from enireconcile.fleet.progress import Progress
from enireconcile.fleet.report import UnitResult
from enireconcile.fleet.units import Unit
from enireconcile.model import CHECK_FAILED

UNITS = [
    Unit(f"a{number // 2}", f"{number // 2:012d}", "us-east-1", f"s{number}", "s.yaml") for number in range(4)
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(command: str = "apply", output: str = "text") -> tuple[Progress, Clock]:
    clock = Clock()
    return Progress(command, UNITS, output, clock), clock


def test_errors_are_told_when_they_happen(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the account, and once; a run whose stdout is thrown away still says why."""
    caplog.set_level("INFO")
    made, _ = progress()
    made.tell(UnitResult(UNITS[0], "failed", error="AssumeRole: AccessDenied\nhint: trust it", code=1))
    made.tell(UnitResult(UNITS[1], "converged", changes=3, attempts=2))
    made.tell(UnitResult(UNITS[2], "unchanged", attempts=1))
    assert caplog.messages == [
        "a0/us-east-1/s0 (account 000000000000): failed\n  AssumeRole: AccessDenied\n  hint: trust it",
        "a0/us-east-1/s1: converged, 3 changed, 2 attempts",
    ]
    assert capsys.readouterr().out == ""


def test_plans_and_failed_checks_are_results(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    progress("plan")[0].tell(UnitResult(UNITS[0], "changes", changes=1, details="  + elastic_ips.a"))
    progress("verify")[0].tell(UnitResult(UNITS[1], "failed", error="check web: refused", code=CHECK_FAILED))
    assert capsys.readouterr().out == (
        "a0/us-east-1/s0: 1 to change\n  + elastic_ips.a\n\n"
        "a0/us-east-1/s1 (account 000000000000): failed\n  check web: refused\n\n"
    )
    progress("plan", "json")[0].tell(UnitResult(UNITS[0], "changes", changes=1, details={"stack": "s"}))
    assert json.loads(capsys.readouterr().out)["plan"] == {"stack": "s"}
    assert caplog.messages == []


def test_a_run_that_changes_nothing_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """cron mails every line."""
    caplog.set_level("INFO")
    made, clock = progress()
    made.tell(UnitResult(UNITS[0], "unchanged"))
    clock.now = 60.0
    made.tick({UNITS[1].name})
    assert caplog.messages == []


def test_how_far_a_run_is_that_takes_long(caplog: pytest.LogCaptureFixture) -> None:
    """Also while no unit ends; every ten seconds."""
    caplog.set_level("INFO")
    made, clock = progress()
    made.tell(UnitResult(UNITS[0], "converged"))
    made.tell(UnitResult(UNITS[1], "lost"))
    caplog.clear()
    for clock.now in (9.0, 11.0, 12.0, 22.0):
        made.tick({unit.name for unit in UNITS[2:]})
    words = "2 of 4 units, 1 of 2 accounts, 1 needs attention; running: a1/us-east-1/s2, a1/us-east-1/s3"
    assert caplog.messages == [words, words]
    assert made.words({str(number) for number in range(9)}).endswith("running: 0, 1, 2 and 6 more")
