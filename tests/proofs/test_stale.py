"""Reads go back in time: what they do not show is not made a second time, and what is gone is not taken for there.

EC2 documentation, eventual consistency: a read may come from a back end that has not heard yet. The age of all
reads is fixed here, so that two reads in a row tell the same old story.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.errors import EnireconcileError
from tests.ec2 import Fail, Settings, StaleReads
from tests.harness import SLOW, Harness, open_harness
from tests.two_enis import DRIFTS, Account

from .conftest import Proofs
from .test_lost_answers import (
    ALL_AT_ONCE,
    BUILDS,
    RICH,
    Scene,
    assert_settled,
    at,
    ever_launched,
    made,
    strangers_in,
    tokens,
)

AGES = [0.5, 2.0, 5.0]
SPECS = [pytest.param(None, id="the story"), pytest.param(RICH, id="the rich one")]
CREATES = {"CreateSecurityGroup", "CreateNetworkInterface", "AllocateAddress", "RunInstances"}
DISTURBS = {"DetachNetworkInterface", "DisassociateAddress", "StartInstances"}
NEVER = CREATES | DISTURBS


def _memory(harness: Harness, age: float) -> StaleReads:
    """From now on the account remembers; the reads become stale when ``probability`` says so."""
    stale = StaleReads(age, fixed=True, probability=0.0)
    harness.strict.faults.add(stale)
    return stale


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("settings", [pytest.param(Settings(), id="fast"), pytest.param(SLOW, id="slow")])
@pytest.mark.parametrize("text", SPECS)
def test_a_run_whose_reads_are_stale_throughout(
    text: str | None, settings: Settings, age: float, tmp_path: Path, proofs: Proofs
) -> None:
    """Every read of a run is stale by the same age: it converges, and an apply right after it makes nothing."""
    with open_harness(tmp_path, settings) as harness:
        stale = _memory(harness, age)
        stale.probability = 1.0
        report = harness.apply(text)
        assert (report.outcome, report.error) == ("converged", None)
        harness.strict.clear()
        assert harness.apply(text).outcome == "unchanged"
        assert harness.strict.actions(mutating=True) == []
        assert_settled(harness, text)
    proofs.count("stale runs")


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("settings", [pytest.param(Settings(), id="fast"), pytest.param(SLOW, id="slow")])
@pytest.mark.parametrize("text", SPECS)
def test_reads_go_back_right_after_an_apply(
    text: str | None, settings: Settings, age: float, tmp_path: Path, proofs: Proofs
) -> None:
    """An apply has seen its work; to the next one, at once, all or part of it seems not to be there yet."""
    with open_harness(tmp_path, settings) as harness:
        stale = _memory(harness, age)
        harness.loop.now += 10
        assert harness.apply(text).outcome == "converged"
        stale.probability = 1.0
        known = tokens(harness)
        harness.strict.clear()
        report = harness.apply(text)
        assert report.outcome in ("converged", "unchanged")
        # What only relates or sets may be said once more; nothing is made, and nothing is taken away.
        assert NEVER & set(made(harness, known)) == set()
        assert_settled(harness, text)
    proofs.count("stale runs")


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("call", ["AssociateAddress", "RunInstances", "AllocateAddress", "CreateNetworkInterface"])
def test_reads_go_back_during_the_rerun_of_a_failed_run(
    call: str, text: str | None, age: float, tmp_path: Path, proofs: Proofs
) -> None:
    """A run fails half way; the rerun, at once, cannot see what was made: it makes only what is missing."""
    with open_harness(tmp_path, SLOW) as harness:
        stale = _memory(harness, age)
        harness.loop.now += 10
        refusal = Fail(call, nth=2 if call != "RunInstances" else 1, times=100, code="UnauthorizedOperation")
        harness.strict.faults.add(refusal)
        assert harness.apply(text).outcome == "partial"
        refusal.times = 0
        stale.probability = 1.0
        report = harness.apply(text)
        assert (report.outcome, report.error) == ("converged", None)
        assert DISTURBS & set(made(harness)) == set()
        created = {action: count for action, count in made(harness).items() if action in CREATES}
        scene = BUILDS["the story" if text is None else "the rich one"]
        assert created == {action: count for action, count in scene.calls.items() if action in CREATES}
        assert_settled(harness, text)
    proofs.count("stale reruns")


GONE = ["eth1 deleted", "an address released", "the instance terminated"]


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("name", GONE)
def test_reads_go_back_after_a_deletion(name: str, age: float, tmp_path: Path, proofs: Proofs) -> None:
    """Another tool deletes a resource on purpose, and reads still show it; then it is made anew, once, and reads
    do not show that either.
    """
    deed, calls, _ = DRIFTS[name]
    with at(Scene(None, lambda _: None, {}), tmp_path) as harness:
        stale = _memory(harness, age)
        harness.loop.now += 600
        launched = ever_launched(harness)
        deed(Account(harness))
        stale.probability = 1.0
        harness.strict.clear()
        for _ in range(4):
            # Each at once: the first may still see what is gone, the others not yet what has been made.
            try:
                report = harness.apply()
            except EnireconcileError as error:
                pytest.fail(f"nothing is wrong with the spec or the account: {error}")
            assert report.outcome in ("converged", "unchanged", "partial")
        harness.loop.now += age
        assert harness.apply().outcome in ("converged", "unchanged")
        created = {action: count for action, count in made(harness).items() if action in CREATES}
        assert created == {action: 1 for action in calls if action in CREATES}
        assert ever_launched(harness) == launched + calls.count("RunInstances")
        assert_settled(harness, None)
    proofs.count("stale deletions")


@pytest.mark.parametrize("age", AGES)
def test_correction_with_stale_reads(age: float, tmp_path: Path, proofs: Proofs) -> None:
    """Everything was changed a moment ago, and every read is stale: corrected, and nothing is created."""
    with at(ALL_AT_ONCE, tmp_path) as harness:
        strangers = strangers_in(harness)
        harness.strict.faults.add(StaleReads(age, fixed=True))
        report = harness.apply(RICH)
        assert (report.outcome, report.error) == ("converged", None)
        assert CREATES & set(made(harness)) == set()
        harness.strict.clear()
        assert harness.apply(RICH).outcome == "unchanged"
        assert harness.strict.actions(mutating=True) == []
        assert_settled(harness, RICH, strangers)
    proofs.count("stale runs")
