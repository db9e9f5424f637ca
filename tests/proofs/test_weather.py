"""Every fourth call fails, reads are stale, everything takes its time: the account still ends up exact.

And no run waits longer than it must.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from enireconcile.model import Report
from tests.ec2 import Buckets, Quotas, Settings, StaleReads, Weather
from tests.harness import SLOW, Harness, open_harness

from .conftest import Proofs
from .test_lost_answers import (
    ALL_AT_ONCE,
    BUILDS,
    REPAIRS,
    Lose,
    Scene,
    assert_settled,
    at,
    ever_launched,
    strangers_in,
)

SEEDS = range(24)
SCENES = [*BUILDS.items(), ("everything changed", ALL_AT_ONCE)]
RERUNS = 3


def _share(harness: Harness) -> float:
    """The part of all EC2 calls so far that ended in an error or without an answer."""
    calls = [call for call in harness.strict.calls if call.service == "ec2"]
    return sum(call.dropped or call.error_code is not None for call in calls) / len(calls)


def _through(harness: Harness, text: str | None) -> list[Report]:
    """Runs until one converges: most often the first."""
    reports = [harness.apply(text)]
    while reports[-1].outcome == "partial" and len(reports) <= RERUNS:
        reports.append(harness.apply(text))
    return reports


@pytest.mark.parametrize("seed", SEEDS)
def test_any_weather_ends_well(seed: int, tmp_path: Path, proofs: Proofs) -> None:
    """A quarter of all calls fails, before or after acting, and every read is up to 2 s old."""
    random.seed(seed)
    scene: Scene = SCENES[seed % len(SCENES)][1]
    delay = random.choice([0.0, 0.5, 3.0])
    settings = Settings(
        seed=seed,
        attach_delay=random.choice([0.0, 0.5, 4.0]),
        detach_delay=random.choice([0.0, 0.5, 6.0]),
        pending_delay=random.choice([0.0, 0.5, 20.0]),
        eni_pending_delay=random.choice([0.0, 0.5, 2.0]),
        stop_delay=random.choice([0.0, 0.5, 10.0]),
        visibility_delay=delay,
        page_cap=random.choice([None, 2]),
        ragged_pages=random.random() < 0.5,
    )
    with at(scene, tmp_path, settings) as harness:
        strangers, launched = strangers_in(harness), ever_launched(harness)
        harness.strict.faults.add(StaleReads(2.0, seed=seed))
        harness.strict.faults.add(Weather(0.17, seed=seed, drops=0.11, late=0.5))
        reports = _through(harness, scene.text)
        assert reports[-1].outcome in ("converged", "unchanged")
        assert_settled(harness, scene.text, strangers)
        assert ever_launched(harness) == launched + scene.calls.get("RunInstances", 0)
    proofs.count("runs in bad weather", len(reports))


# ---- no run waits longer than it must

ROOM = 5.0
"""Seconds: the longest pause between two looks, and so the most that a wait may overshoot."""

WAITS = [
    pytest.param(BUILDS["the story"], Settings(), 0.0, 0, id="no delays at all"),
    pytest.param(BUILDS["the story"], SLOW, 1.5, 0, id="half a second each"),
    pytest.param(BUILDS["the story"], Settings(pending_delay=30), 30.0, 1, id="a slow boot"),
    pytest.param(
        BUILDS["the story"], Settings(attach_delay=20, pending_delay=10), 20.0, 1, id="a slow attachment"
    ),
    pytest.param(BUILDS["the story"], Settings(eni_pending_delay=10), 10.0, 1, id="slow interfaces"),
    pytest.param(BUILDS["the story"], Settings(visibility_delay=5), 15.0, 3, id="slow news"),
    pytest.param(BUILDS["the rich one"], Settings(pending_delay=30, stop_delay=20), 50.0, 2, id="boot and stop"),
    pytest.param(
        ALL_AT_ONCE,
        Settings(detach_delay=20, attach_delay=15, pending_delay=25, stop_delay=40),
        60.0,
        3,
        id="detach, attach, start, and a stop beside them",
    ),
    pytest.param(
        REPAIRS["the instance going down"],
        Settings(terminate_delay=40, linger_delay=10, pending_delay=30),
        80.0,
        3,
        id="an old instance that goes slowly",
    ),
]


@pytest.mark.parametrize(("scene", "settings", "needed", "stages"), WAITS)
def test_a_calm_run_takes_what_the_delays_demand(
    scene: Scene, settings: Settings, needed: float, stages: int, tmp_path: Path, proofs: Proofs
) -> None:
    """Without faults a run is over soon after the last of its delays: an overshoot a wait, and 2 seconds."""
    with at(scene, tmp_path, settings) as harness:
        report = harness.apply(scene.text)
        assert report.outcome == "converged"
        assert needed <= report.seconds + 0.001
        assert report.seconds <= needed + stages * ROOM + 2
    proofs.count("calm runs in time")


def _many(section: str, count: int) -> str:
    row = "{subnet: {default_for_az: us-east-1a}}" if section == "network_interfaces" else "{}"
    rows = "".join(f"  x{number}: {row}\n" for number in range(count))
    return f"version: 1\nstack: many\nregion: us-east-1\n{section}:\n{rows}"


@pytest.mark.parametrize(
    ("section", "call", "count", "capacity", "refill"),
    [
        ("elastic_ips", "AllocateAddress", 110, 50, 5.0),
        ("network_interfaces", "CreateNetworkInterface", 130, 100, 5.0),
    ],
)
def test_many_calls_take_what_the_bucket_demands(
    section: str, call: str, count: int, capacity: int, refill: float, tmp_path: Path, proofs: Proofs
) -> None:
    """With EC2's own token buckets n calls take (n - bucket) / refill seconds, and EC2 need not throttle one."""
    with open_harness(tmp_path, Settings(quotas=Quotas(addresses=1000))) as harness:
        harness.strict.faults.add(Buckets())
        text = _many(section, count)
        report = harness.apply(text)
        assert (report.outcome, report.throttled) == ("converged", 0)
        bound = (count - capacity) / refill
        assert bound - 1 / refill <= report.seconds <= bound + 2
        assert harness.strict.actions().count(call) == count
        assert_settled(harness, text)
    proofs.count("paced runs in time")


@pytest.mark.parametrize("count", [20, 40])
def test_throttled_runs_stay_near_the_bound(count: int, tmp_path: Path, proofs: Proofs) -> None:
    """Others have left a fifth of the bucket: (n - bucket) / refill seconds, half as much again to learn it."""
    with open_harness(tmp_path, Settings(quotas=Quotas(addresses=1000))) as harness:
        harness.strict.faults.add(Buckets(scale=0.2))
        text = _many("elastic_ips", count)
        report = harness.apply(text)
        assert report.outcome == "converged"
        assert report.throttled > 0
        bound = (count - 10) / 1.0
        assert bound <= report.seconds + 1
        assert report.seconds <= 1.5 * bound + 20
        assert_settled(harness, text)
    proofs.count("throttled runs in time")


@pytest.mark.parametrize("seed", range(8))
def test_a_lost_answer_after_a_wait_costs_no_long_pause(seed: int, tmp_path: Path, proofs: Proofs) -> None:
    """A create that has waited for its young group and then loses its answer is repeated soon."""
    random.seed(seed)
    with at(BUILDS["the story"], tmp_path, Settings(visibility_delay=3)) as harness:
        harness.strict.faults.add(Lose("CreateNetworkInterface", 0, 1, True))
        report = harness.apply()
        assert report.outcome == "converged"
        assert report.seconds <= 9 + 6
    proofs.count("calm runs in time")
