"""Waves, and when to stop."""

from __future__ import annotations

import math

import pytest

from enireconcile.fleet.file import Portion, Rollout
from enireconcile.fleet.rollout import StopAt, stop_at, waves
from enireconcile.fleet.units import Unit

UNITS = [Unit(f"a{number}", f"{number:012d}", "us-east-1", "edge", "edge.yaml") for number in range(20)]
TEN, ALL = Portion(percent=10.0), Portion(percent=100.0)


@pytest.mark.parametrize(
    ("rollout", "sizes"),
    [
        (None, [20]),
        (Rollout(), [20]),
        (Rollout(waves=(TEN, ALL)), [2, 18]),
        (Rollout(canary=("a7",), waves=(TEN, ALL)), [1, 1, 18]),
        (Rollout(canary=("a7", "000000000003", "a1"), waves=(TEN, Portion(percent=50.0))), [3, 7, 10]),
        (Rollout(waves=(Portion(count=3), Portion(count=5))), [3, 5, 12]),
        (Rollout(canary=("nowhere",)), [20]),
        (Rollout(waves=(Portion(percent=0.0), Portion(percent=1.0))), [1, 19]),
        (Rollout(waves=(Portion(count=500),)), [20]),
    ],
)
def test_waves(rollout: Rollout | None, sizes: list[int]) -> None:
    made = waves(rollout, UNITS)
    assert [len(wave) for wave in made] == sizes
    assert sorted(unit.name for wave in made for unit in wave) == sorted(unit.name for unit in UNITS)
    if rollout and rollout.canary == ("a7",):
        assert made[0] == [UNITS[7]]


def test_no_units_are_no_waves() -> None:
    assert waves(None, []) == []
    assert waves(Rollout(canary=("a",), waves=(TEN,)), []) == []


@pytest.mark.parametrize(
    ("rollout", "given", "limit"),
    [
        (None, None, StopAt(math.inf, after_wave=False)),
        (Rollout(), None, StopAt(math.inf, after_wave=True)),
        (Rollout(stop_at=Portion(percent=5.0)), None, StopAt(1.0, after_wave=False)),
        (Rollout(stop_at=Portion(percent=5.0)), Portion(count=4), StopAt(4.0, after_wave=False)),
        (None, Portion(percent=50.0), StopAt(10.0, after_wave=False)),
    ],
)
def test_stop_at(rollout: Rollout | None, given: Portion | None, limit: StopAt) -> None:
    assert stop_at(rollout, given, len(UNITS)) == limit


def test_a_limit_is_reached_by_failures_only() -> None:
    assert not StopAt(0.0, after_wave=False).reached(0)
    assert StopAt(0.0, after_wave=False).reached(1)
    assert not StopAt(2.5, after_wave=False).reached(2)
    assert StopAt(2.5, after_wave=False).reached(3)
