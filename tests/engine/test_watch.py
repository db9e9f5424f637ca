"""When rounds begin: on a clock of their own, without any round in them."""

from __future__ import annotations

import itertools

import pytest

from enireconcile.engine.watch import pause, watch


class Beats:
    """Rounds that take as long as they are told to, on a clock of their own."""

    def __init__(self, *rounds: tuple[float, bool]) -> None:
        self.rounds = list(rounds)
        self.now = 0.0
        self.begins: list[float] = []
        self.running = False

    def turn(self) -> bool:
        assert not self.running, "two rounds at the same time"
        self.running = True
        self.begins.append(self.now)
        took, well = self.rounds[len(self.begins) - 1]
        self.now += took
        self.running = False
        return well

    def idle(self, seconds: float) -> bool:
        self.now += seconds
        return len(self.begins) < len(self.rounds)

    def run(self, interval: float) -> list[float]:
        """When the rounds began."""
        watch(self.turn, self.idle, interval=interval, clock=lambda: self.now, jitter=lambda: 0.5)
        return self.begins


def test_rounds_begin_an_interval_apart() -> None:
    """However long a round takes, as long as that is less than the interval."""
    assert Beats((0, True), (4, True), (9, True)).run(10) == [0, 10, 20]


def test_a_long_round_is_not_overtaken() -> None:
    """A round that takes longer than the interval: the next one begins a moment after it has ended."""
    assert Beats((25, True), (0, True)).run(10) == [0, 26]


def test_pauses_double_while_aws_says_no() -> None:
    """10, 20, 40, 80 … up to five minutes, and as before once a round goes well."""
    went = [(0, False)] * 7 + [(0, True)] * 2
    begins = Beats(*went).run(10)
    assert [later - earlier for earlier, later in itertools.pairwise(begins)] == [
        20, 40, 80, 160, 300, 300, 300, 10,
    ]  # fmt: skip


def test_a_long_interval_is_not_cut_short_by_trouble() -> None:
    """Every ten minutes, and AWS says no: still every ten minutes, for ever."""
    assert pause(600, 0, 1, 0.5) == 600
    assert pause(600, 0, 10_000, 0.5) == 600


@pytest.mark.parametrize(("jitter", "seconds"), [(0, 27), (0.5, 30), (1, 33)])
def test_pauses_jitter(jitter: float, seconds: float) -> None:
    """A tenth more or less, so that many watchers do not march in step."""
    assert pause(30, 0, 0, jitter) == pytest.approx(seconds)
