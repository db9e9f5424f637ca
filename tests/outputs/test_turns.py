"""What stacks in several threads print: whole for each, in their order, and as early as that allows."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator

import pytest

from enireconcile.outputs.turns import Turns, in_turn, is_taken


@pytest.fixture
def printed() -> list[str]:
    return []


def test_without_turns_at_once(printed: list[str]) -> None:
    in_turn(lambda: printed.append("a"))
    assert (printed, is_taken()) == (["a"], False)


def test_the_first_prints_at_once_and_others_are_kept(printed: list[str]) -> None:
    turns = Turns(3)
    with turns.of(1):
        assert is_taken()
        in_turn(lambda: printed.append("1"))
        assert not turns.is_printed(1)
    with turns.of(0):
        in_turn(lambda: printed.append("0"))
        assert printed == ["0"]
        assert turns.is_printed(0)
    assert printed == ["0", "1"]
    assert (turns.current, turns.is_printed(2)) == (2, True)


def test_one_that_never_began_keeps_none_back(printed: list[str]) -> None:
    turns = Turns(2)
    with turns.of(1):
        in_turn(lambda: printed.append("1"))
    assert printed == []
    turns.end()
    assert printed == ["1"]


def test_a_thread_that_a_stack_left_behind(printed: list[str]) -> None:
    turns = Turns(2)
    with turns.of(0):
        late = contextvars.copy_context()
    late.run(in_turn, lambda: printed.append("late"))
    assert printed == ["late"]


def test_many_threads(printed: list[str]) -> None:
    turns = Turns(8)

    def work(number: int) -> None:
        with turns.of(number):
            for line in range(50):
                in_turn(lambda line=line: printed.append(f"{number}.{line}"))  # type: ignore[misc]

    threads = [threading.Thread(target=work, args=(number,)) for number in reversed(range(8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert printed == [f"{number}.{line}" for number in range(8) for line in range(50)]


@pytest.fixture
def handler(printed: list[str]) -> Iterator[logging.Logger]:
    """A logger whose handler prints in turn, as that of stderr does."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            in_turn(lambda: printed.append(record.getMessage()))

    logger, made = logging.getLogger("tests.turns"), Handler()
    logger.addHandler(made)
    yield logger
    logger.removeHandler(made)


def test_what_is_printed_may_log(printed: list[str], handler: logging.Logger) -> None:
    """A thread that prints for another one waits for the lock of logging; who has that lock never waits for it."""
    turns, inside, logged = Turns(2), threading.Event(), threading.Event()

    def write() -> None:
        inside.set()
        assert logged.wait(10)
        handler.warning("cannot print")

    def first() -> None:
        with turns.of(0):
            in_turn(write)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with turns.of(1):
        handler.warning("next")
        logged.set()
    thread.join(10)
    assert not thread.is_alive()
    assert printed == ["cannot print", "next"]
