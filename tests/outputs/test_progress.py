"""What a run prints while it goes on: lines for a log, and a live display on a terminal of any width."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from enireconcile.model import Step
from enireconcile.outputs import logs, progress
from enireconcile.outputs.progress import Running
from tests.planning.worlds import plan_of

Event = Mapping[str, Any]
ERROR = (
    "AllocateAddress for elastic_ips.e0: AddressLimitExceeded: The maximum number of addresses has been reached."
)


def event(name: str, status: str, step: Step | None = None, **more: Any) -> Event:
    """What the executor tells of a step."""
    step = step or Step(name, "AllocateAddress", {}, "elastic_ips.e0", summary="allocate")
    ended = {"attempts": 1, "seconds": 0.24, "result_id": None, "error": None}
    return {
        "type": "step",
        "id": name,
        "call": step.call,
        "address": step.address,
        "summary": step.summary,
        "status": status,
        **(ended if status not in ("started", "waiting") else {}),
        **more,
    }


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


# ---- what is waited for

ATTACH = Step("s2", "AttachNetworkInterface", {}, "network_interfaces.eth1", summary="attach to web as index 1")


def test_what_is_waited_for_is_told_every_ten_seconds() -> None:
    """For what, since when, and of which call; the longest wait stands for all."""
    clock = Clock()
    running = Running(clock)
    running.tell(event("s2", "started", ATTACH))
    clock.now += 30
    assert running.reminder() is None
    running.tell(event("s2", "waiting", ATTACH, until="eni-1 is attached"))
    running.tell(event("s3", "waiting", until="eni-2 is attached"))
    told = {}
    for _ in range(25):
        clock.now += 1
        if words := running.reminder():
            told[clock.now - 130] = words
    what = "until eni-1 is attached: AttachNetworkInterface  network_interfaces.eth1  attach to web as index 1"
    assert told == {
        10: f"waiting for 10 s {what}; and for 1 more call",
        20: f"waiting for 20 s {what}; and for 1 more call",
    }
    running.tell(event("s2", "done", ATTACH))
    running.tell(event("s3", "done"))
    clock.now += 100
    assert running.reminder() is None


def test_what_needs_no_call_is_waited_for_likewise() -> None:
    clock = Clock()
    running = Running(clock)
    for _ in range(2):
        running.tell({"type": "wait", "ids": ["i-1"]})
        clock.now += 6
    assert running.reminder() == "waiting for 12 s: changes in progress: i-1"
    running.tell(event("s1", "started"))
    clock.now += 60
    assert running.reminder() is None


def test_the_longest_step() -> None:
    clock = Clock()
    running = Running(clock)
    assert running.longest() == ""
    running.tell(event("s1", "started"))
    clock.now += 2.25
    running.tell(event("s2", "started", ATTACH))
    assert running.longest() == "waited 2.2 s for AllocateAddress for elastic_ips.e0 and 1 more step"


# ---- lines


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a log gets of some events."""
    logs.begin()
    shown = progress.progress_for(io.StringIO())
    revoke = Step("s1", "RevokeSecurityGroupIngress", {}, "security_groups.web", summary="revoke tcp 22 from ::/0")
    with shown:
        shown.tell(event("s1", "started", revoke))
        shown.tell(event("s1", "done", revoke))
        shown.tell(event("s2", "done", public_ip="203.0.113.7", result_id="eipalloc-1"))
        shown.tell(event("s3", "failed", error=ERROR))
        needs = "needs s3 (AllocateAddress for elastic_ips.e0), which failed"
        shown.tell(event("s4", "skipped", ATTACH, error=needs))
        for number in range(3):
            shown.tell(event(f"s{number + 5}", "skipped", error="stopped before it began", stopped=True))
    return capsys.readouterr().err.splitlines()


def test_a_log_tells_each_step_once(lines: list[str]) -> None:
    """What was done in the past tense, an address by its number, a failure with its call once."""
    assert lines == [
        "✓ RevokeSecurityGroupIngress  security_groups.web  revoked tcp 22 from ::/0  (0.2 s)",
        "✓ AllocateAddress  elastic_ips.e0  203.0.113.7  (0.2 s)",
        "✗ AllocateAddress  elastic_ips.e0  (0.2 s)",
        "    AddressLimitExceeded: The maximum number of addresses has been reached.",
        "· AttachNetworkInterface  network_interfaces.eth1  attach to web as index 1  "
        "needs s3 (AllocateAddress for elastic_ips.e0), which failed",
        "· 3 calls not made, since the run was stopped",
    ]


# ---- a terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[80, 40])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    logs.begin()
    columns = int(request.param)
    for name, value in (("COLUMNS", str(columns)), ("LINES", "24"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    return columns


def _screens(text: str) -> list[list[str]]:
    """What was drawn, refresh by refresh, without the codes that move the cursor."""
    parts = re.split(r"(?:\x1b\[\d*[A-Z]|\r|\x1b\[\d*K|\x1b\[\?25[lh])+", text)
    return [part.splitlines() for part in parts if part.strip()]


def test_a_large_plan_goes_on_inside_one_bar(width: int) -> None:
    """What is done is counted; what fails stays; what is waited for is shown with the calls and the time left."""
    plan = plan_of({"elastic_ips": {f"e{number:03}": {} for number in range(300)}})
    terminal = Terminal()
    shown = progress.progress_for(terminal)
    with shown:
        shown.begin(plan)
        for step in plan.steps:
            shown.tell(event(step.id, "started", step))
        for step in plan.steps[:100]:
            shown.tell(event(step.id, "done", step, result_id="eipalloc-1"))
        shown.tell(event(plan.steps[100].id, "waiting", plan.steps[100], until="eipalloc-1 is visible"))
        error = ERROR.replace("e0", "e101")
        shown.tell(event(plan.steps[101].id, "failed", plan.steps[101], error=error))
        shown.remind("waiting for 10 s")
        logs.say("stopped by Ctrl-C: " + "x " * 50)
        assert isinstance(shown, progress._Live)
        shown._refresh()
    text = terminal.getvalue()
    assert max(len(line) for screen in _screens(text) for line in screen) <= width
    assert re.search(r"━+╸? +101/300  1 failed  \d\d s left", text), text[-500:]
    assert "  0 s  until eipalloc-1 is visible" in text
    assert re.search(r"and 19\d more calls", text)
    assert "✗ AllocateAddress  elastic_ips.e101" in text
    assert re.search(r"\x1b\[2Kstopped by Ctrl-C: ", text)
    assert ("✓" in text, "waiting for" in text, "\x1b[3" in text) == (False, False, False)


def test_of_a_small_plan_each_step_scrolls_by(width: int) -> None:
    plan = plan_of({"elastic_ips": {"web": {}}})
    terminal = Terminal()
    with progress.progress_for(terminal) as shown:
        shown.begin(plan)
        shown.tell(event("s1", "started", plan.steps[0]))
        shown.tell(event("s1", "done", plan.steps[0], public_ip="203.0.113.7"))
    text = terminal.getvalue()
    assert "✓ AllocateAddress  elastic_ips.web" in text
    assert "203.0.113.7" in text
    assert max(len(line) for screen in _screens(text) for line in screen) <= width


def test_the_display_is_drawn_while_the_run_goes_on() -> None:
    """In a thread of its own it reads what the run adds to and takes away from, of later rounds too."""
    shown = progress._Live(Terminal(), lambda *_: True)
    over = threading.Event()

    def draw(part: Callable[[], object]) -> None:
        while not over.is_set():
            part()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor() as pool:
        parts = [pool.submit(draw, part) for part in (shown._counts, lambda: shown._rows(5))]
        try:
            for number in range(2000):
                shown.tell(event(f"s{number}", "started"))
                shown.tell(event(f"s{number}", "waiting", until="it is visible"))
                if number >= 40:
                    shown.tell(event(f"s{number - 40}", "done"))
        finally:
            over.set()
            sys.setswitchinterval(interval)
    for each in parts:
        each.result()


def _on_screen(text: str, width: int) -> list[str]:
    """The lines that a terminal of this width shows in the end."""
    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[\??\d*[A-Za-z]|[\s\S]", text):
        if code == "\r":
            column = 0
        elif code == "\n":
            row, column = row + 1, 0
        elif code == "\x1b[2K":
            lines[row] = ""
        elif code == "\x1b[1A":
            row = max(0, row - 1)
        elif not code.startswith("\x1b"):
            if column == width:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row].ljust(column)[:column] + code + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines if line.strip()]


def test_no_frame_comes_between_the_parts_of_a_line(width: int) -> None:
    """Frames of changing height, and lines, at the same time: each line stays whole, and of the frames nothing."""
    terminal = Terminal()
    shown = progress._Live(terminal, lambda *_: True)
    over, interval = threading.Event(), sys.getswitchinterval()

    def draw() -> None:
        while not over.is_set():
            shown._refresh()

    sys.setswitchinterval(1e-6)
    try:
        with shown, ThreadPoolExecutor(1) as pool:
            shown.begin(plan_of({"elastic_ips": {"web": {}}}))
            drawing = pool.submit(draw)
            for number in range(60):
                shown.tell(event(f"s{number}", "started"))
                logs.say(f"line {number}")
                if number % 7 == 6:
                    for each in range(number - 6, number + 1):
                        shown._running.tell(event(f"s{each}", "done"))
            over.set()
            drawing.result()
    finally:
        over.set()
        sys.setswitchinterval(interval)
    assert _on_screen(terminal.getvalue(), width) == [f"line {number}" for number in range(60)]


@pytest.mark.parametrize("ends", ["done", "sent", "stopped", "needs"])
def test_what_was_not_made_is_counted_at_the_end(ends: str, width: int) -> None:  # noqa: ARG001
    plan = plan_of({"elastic_ips": {f"e{number:03}": {} for number in range(30)}})
    terminal = Terminal()
    with progress.progress_for(terminal) as shown:
        shown.begin(plan)
        for step in plan.steps:
            if ends in ("done", "sent"):
                shown.tell(event(step.id, ends, step))
            else:
                stopped = {"stopped": True} if ends == "stopped" else {}
                shown.tell(event(step.id, "skipped", step, error="x", **stopped))
    after = terminal.getvalue().split("\x1b[?25h")[-1]
    last = re.sub(r"\x1b\[\d*[A-Z]", "", after).split()
    assert (
        " ".join(last)
        == {
            "done": "",
            "sent": "… 30 calls sent; EC2 had not done yet what they ask for",
            "stopped": "· 30 calls not made, since the run was stopped",
            "needs": "· 30 calls skipped, since what they need failed",
        }[ends]
    )


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.progress_for(Terminal()), progress._Plain)
