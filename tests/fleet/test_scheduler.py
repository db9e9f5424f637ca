"""The scheduler on workers that end when the test says so: no processes, no clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.fleet.report import CODES, FleetReport, UnitResult, report_json, summary_text
from enireconcile.fleet.rollout import StopAt
from enireconcile.fleet.scheduler import MOST_ATTEMPTS, Scheduler, WorkersGone
from enireconcile.fleet.units import Unit

NEVER = StopAt(math.inf, after_wave=False)


def unit(account: int, spec: str = "edge", region: str = "us-east-1") -> Unit:
    return Unit(f"a{account}", f"{account:012d}", region, spec, f"{spec}.yaml")


class Fake:
    """Workers whose units end at once: as ``outcomes`` say by name, in order of their attempts."""

    def __init__(self, jobs: int, outcomes: dict[str, list[str]] | None = None) -> None:
        self.jobs = jobs
        self.began: list[str] = []
        self.stops = self.polls = 0
        self._outcomes = outcomes or {}

    def submit(self, unit: Unit) -> Future[UnitResult]:
        self.began.append(unit.name)
        left = self._outcomes.get(unit.name, [])
        outcome = left.pop(0) if left else "unchanged"
        made: Future[UnitResult] = Future()
        if outcome == "dies":
            made.set_exception(BrokenExecutor())
        elif outcome == "unreachable":
            made.set_exception(WorkersGone("the connection to the scheduler was lost"))
        else:
            made.set_result(UnitResult(unit, outcome, code=CODES[outcome]))
        return made

    def poll(self) -> None:
        self.polls += 1

    def stop(self) -> None:
        self.stops += 1


def run(
    workers: Fake,
    waves: Sequence[Sequence[Unit]],
    limit: StopAt = NEVER,
    stopped: Callable[[], str | None] = lambda: None,
    abandoned: Callable[[], bool] = lambda: False,
) -> FleetReport:
    told: list[str] = []
    scheduler = Scheduler(
        workers, limit, lambda result: told.append(result.unit.name), stopped, abandoned, pulse=0
    )
    results, counted = scheduler.run(waves)
    units = [unit for wave in waves for unit in wave]
    assert sorted(results) == sorted(unit.name for unit in units), "every unit once"
    assert sorted(told) == sorted(name for name, result in results.items() if result.outcome != "not_run")
    return FleetReport("f", "apply", 1.0, counted, [results[each.name] for each in units], scheduler.reason)


def test_every_unit_runs_once() -> None:
    workers = Fake(4)
    report = run(workers, [[unit(number) for number in range(20)]])
    assert Counter(workers.began) == {f"a{number}/us-east-1/edge": 1 for number in range(20)}
    assert (report.outcome, report.exit_code, report.waves) == ("unchanged", 0, [(20, 0)])


def test_a_failure_costs_itself_alone() -> None:
    report = run(Fake(2, {"a1/us-east-1/edge": ["failed"]}), [[unit(0), unit(1), unit(2)]])
    assert [result.outcome for result in report.results] == ["unchanged", "failed", "unchanged"]
    assert (report.outcome, report.exit_code) == ("partial", 1)


def test_a_unit_whose_worker_dies_is_begun_again() -> None:
    workers = Fake(2, {"a0/us-east-1/edge": ["dies", "dies", "converged"]})
    report = run(workers, [[unit(0), unit(1)]])
    assert (report.results[0].outcome, report.results[0].attempts) == ("converged", 3)
    assert (report.results[1].outcome, report.results[1].attempts) == ("unchanged", 1)


def test_a_unit_that_kills_three_workers_is_lost() -> None:
    workers = Fake(2, {"a0/us-east-1/edge": ["dies"] * 9})
    report = run(workers, [[unit(0), unit(1)]])
    assert (report.results[0].outcome, report.results[0].attempts) == ("lost", MOST_ATTEMPTS)
    assert workers.began.count("a0/us-east-1/edge") == MOST_ATTEMPTS
    assert (report.exit_code, report.totals["lost"]) == (5, 1)


def test_stop_at_begins_no_further_unit() -> None:
    failing = {f"a{number}/us-east-1/edge": ["failed"] for number in range(20)}
    report = run(Fake(1, failing), [[unit(number) for number in range(20)]], StopAt(2.0, after_wave=False))
    assert report.totals["failed"] == 2
    assert report.totals["not_run"] == 18
    assert report.stopped == "stopped: 2 units failed, the limit of stop_at"
    assert report.results[-1].error == report.stopped
    assert report.waves == [(20, 2)]


def test_a_canary_that_fails_ends_the_rollout() -> None:
    report = run(
        Fake(4, {"a0/us-east-1/edge": ["partial"]}),
        [[unit(0), unit(1)], [unit(2)], [unit(3)]],
        StopAt(math.inf, after_wave=True),
    )
    assert [result.outcome for result in report.results] == ["partial", "unchanged", "not_run", "not_run"]
    assert (report.waves, report.exit_code) == ([(2, 1)], 5)
    assert "1 of 2 units failed in wave 1" in summary_text(report)


def test_a_signal_stops_the_workers_once_and_the_rest_is_not_run() -> None:
    workers = Fake(1)
    answers = iter([None, None, None])
    report = run(workers, [[unit(n) for n in range(9)]], stopped=lambda: next(answers, "Ctrl-C"))
    assert report.stopped == "stopped by Ctrl-C"
    assert workers.stops == 1
    assert 0 < report.totals["unchanged"] < 9
    assert report.totals["unchanged"] + report.totals["not_run"] == 9
    assert report.exit_code == 3


def test_a_unit_that_was_begun_is_never_told_as_not_run() -> None:
    """Its worker dies at the same moment: it may have changed something."""
    workers = Fake(1, {"a0/us-east-1/edge": ["dies"]})
    answers = iter([None, None])
    report = run(workers, [[unit(0), unit(1)], [unit(2)]], stopped=lambda: next(answers, "SIGTERM"))
    assert [result.outcome for result in report.results] == ["lost", "not_run", "not_run"]
    assert (report.results[0].attempts, report.exit_code) == (1, 5)
    assert str(report.results[0].error).startswith("its worker died; ")


def test_without_a_connection_no_further_unit_is_begun() -> None:
    workers = Fake(1, {"a1/us-east-1/edge": ["unreachable"]})
    report = run(workers, [[unit(n) for n in range(4)]])
    assert [result.outcome for result in report.results] == ["unchanged", "lost", "not_run", "not_run"]
    assert report.stopped == "stopped: the connection to the scheduler was lost"
    assert (workers.began, report.exit_code) == (["a0/us-east-1/edge", "a1/us-east-1/edge"], 5)


def test_a_second_signal_leaves_the_units_in_flight() -> None:
    workers, answers = Slow(2), iter([False, False])
    report = run(workers, [[unit(n) for n in range(4)]], abandoned=lambda: next(answers, True))
    assert [result.outcome for result in report.results] == ["lost", "lost", "not_run", "not_run"]
    assert "second signal" in str(report.results[0].error)


class Slow(Fake):
    """Workers whose units end one by one, when the test says so: sees what runs together."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.flying: list[tuple[Unit, Future[UnitResult]]] = []
        self.together = 0

    def submit(self, unit: Unit) -> Future[UnitResult]:
        assert unit.lane not in {other.lane for other, future in self.flying if not future.done()}
        self.began.append(unit.name)
        made: Future[UnitResult] = Future()
        self.flying.append((unit, made))
        self.together = max(self.together, sum(not future.done() for _, future in self.flying))
        assert self.together <= self.jobs
        return made

    def end_one(self) -> str | None:
        """Called between two rounds of the scheduler."""
        for unit, future in self.flying:
            if not future.done():
                future.set_result(UnitResult(unit, "unchanged"))
                break
        return None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["us-east-1", "eu-west-1"])), min_size=1, max_size=14),
    st.integers(1, 5),
)
def test_one_at_a_time_in_an_account_and_region(lanes: list[tuple[int, str]], jobs: int) -> None:
    units = [unit(account, f"s{number}", region) for number, (account, region) in enumerate(lanes)]
    workers = Slow(jobs)
    report = run(workers, [units], stopped=workers.end_one)
    assert report.totals["unchanged"] == len(units)
    assert workers.together == min(jobs, len(set(lanes)))


@pytest.mark.parametrize(
    ("outcomes", "outcome", "code"),
    [
        (["unchanged", "unchanged"], "unchanged", 0),
        (["unchanged", "converged"], "converged", 0),
        (["failed", "failed"], "failed", 1),
        (["converged", "refused"], "partial", 3),
        (["converged", "locked"], "partial", 4),
        (["refused", "locked"], "failed", 3),
        (["failed", "refused"], "failed", 1),
        (["partial", "failed"], "failed", 5),
    ],
)
def test_outcome_and_exit_code(outcomes: list[str], outcome: str, code: int) -> None:
    results = [UnitResult(unit(n), word, code=CODES[word]) for n, word in enumerate(outcomes)]
    report = FleetReport("edge", "apply", 12.34567, [(2, 0)], results)
    assert (report.outcome, report.exit_code) == (outcome, code)
    made = report_json(report)
    assert list(made) == ["type", "format_version", "fleet", "outcome", "seconds", "totals", "waves", "units"]
    assert made["seconds"] == 12.346
    assert sum(made["totals"].values()) == 2
    assert made["units"][0]["unit"] == "a0/us-east-1/edge"
