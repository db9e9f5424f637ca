"""What begins when: in order, at most so many at once, and one at a time in a lane."""

from __future__ import annotations

from concurrent.futures import Future

from enireconcile.engine.lanes import run_in_lanes


class Work:
    """Items ``lane + number``. The futures of ``order`` are done one after another, when no more can begin."""

    def __init__(self, items: list[str], jobs: int, order: list[str], *, again: str = "", last: str = "") -> None:
        self.told: list[str] = []
        self._order, self._again = order, again
        self._flying: dict[str, Future[str]] = {}
        self._goes_on = True
        self._last = last
        run_in_lanes(
            items, lambda item: item[0], self._begin, self._ended, jobs=jobs, goes_on=self._ask, pulse=0.001
        )

    def _begin(self, item: str) -> Future[str]:
        self.told.append(f"+{item}")
        self._flying[item] = Future()
        return self._flying[item]

    def _ask(self) -> bool:
        ready = [item for item in self._order if item in self._flying and not self._flying[item].done()]
        if ready:
            self._flying[ready[0]].set_result(ready[0])
        return self._goes_on

    def _ended(self, item: str, future: Future[str]) -> bool:
        assert future.result() == item
        self.told.append(f"-{item}")
        again, self._again = item == self._again, "" if item == self._again else self._again
        self._goes_on = self._goes_on and item != self._last
        return not again


def test_in_order_and_one_at_a_time_in_a_lane() -> None:
    items = ["a1", "a2", "b1", "a3", "c1"]
    assert Work(items, 2, ["b1", "a1", "c1", "a2", "a3"]).told == [
        *("+a1", "+b1", "-b1", "+c1", "-a1", "+a2"),
        *("-c1", "-a2", "+a3", "-a3"),
    ]
    assert Work(items, 1, items).told == [f"{sign}{item}" for item in items for sign in "+-"]


def test_again_and_before_the_others() -> None:
    assert Work(["a1", "a2"], 2, ["a1", "a2"], again="a1").told == ["+a1", "-a1", "+a1", "-a1", "+a2", "-a2"]


def test_after_a_stop_nothing_begins() -> None:
    assert Work(["a1", "b1", "a2"], 2, ["a1", "b1", "a2"], last="a1").told == ["+a1", "+b1", "-a1", "-b1"]


def test_again_in_its_own_place() -> None:
    items = ["a1", "b1", "a2", "c1"]
    told = Work(items, 2, ["b1", "a1", "b1", "a2", "c1"], again="b1").told
    assert told == ["+a1", "+b1", "-b1", "+b1", "-a1", "+a2", "-b1", "+c1", "-a2", "-c1"]


def compared(count: int) -> int:
    """How often the lanes of so many items are hashed, compared or asked for."""
    touched = 0

    class Lane:
        def __init__(self, name: int) -> None:
            self.name = name

        def __hash__(self) -> int:
            nonlocal touched
            touched += 1
            return hash(self.name)

        def __eq__(self, other: object) -> bool:
            nonlocal touched
            touched += 1
            return isinstance(other, Lane) and self.name == other.name

    def lane(item: int) -> Lane:
        nonlocal touched
        touched += 1
        # Half of the items are in one lane: they wait behind each other, and before those that could begin.
        return Lane(0 if item < count // 2 else item)

    def begin(item: int) -> Future[int]:
        future: Future[int] = Future()
        future.set_result(item)
        return future

    began: list[int] = []

    def ended(item: int, _: Future[int]) -> bool:
        began.append(item)
        return True

    run_in_lanes(range(count), lane, begin, ended, jobs=8, goes_on=lambda: True)
    assert sorted(began) == list(range(count))
    return touched


def test_the_work_grows_with_the_number_of_items_alone() -> None:
    assert compared(200) <= 3 * 200
    assert compared(2_000) <= 3 * 2_000
