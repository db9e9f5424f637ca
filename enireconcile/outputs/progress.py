"""What apply prints while it runs: a live display on a terminal, lines in a log, or JSON."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from enireconcile.model import Plan, Status, detail_of
from enireconcile.outputs import logs, turns
from enireconcile.outputs.json import dumps, step_event_json
from enireconcile.outputs.stdout import print_result
from enireconcile.outputs.terminal import fitted
from enireconcile.outputs.words import MARKS, counted, reason_words, step_words, without_request_ids
from enireconcile.planning.estimate import seconds_left
from enireconcile.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

IsNew = Callable[[str, str], bool]
Event = Mapping[str, Any]
AGAIN = 10.0
"""Seconds after which it is told again what a run waits for."""
_FEW = 20
"""The most steps of which a live display prints each one that ends."""
_FRAME = 0.125
"""Seconds between two frames of a live display."""
_ROWS = 5
"""The most rows of a live display for what goes on, above its bar."""


@dataclass
class _Step:
    """A step that has begun: since when, and for what it waits since when, if it does. Times are of ``clock``."""

    event: Event
    since: float
    until: str | None = None
    waits_since: float = 0.0


@dataclass
class Running:
    """The steps that have begun and not ended, and what else a run waits for."""

    clock: Callable[[], float]
    steps: dict[str, _Step] = field(default_factory=dict)
    _other: tuple[str, float] | None = None
    _told: float = 0.0

    def tell(self, event: Event) -> None:
        now = self.clock()
        if event["type"] in ("wait", "settle"):
            words = _no_step(event).removeprefix("waiting for ")
            if self._other is None or self._other[0] != words:
                self._other = (words, now)
            return
        self._other = None
        if event["type"] != "step":
            return
        if event["status"] == "started":
            self.steps[event["id"]] = _Step(event, now)
        elif event["status"] == "waiting":
            step = self.steps.setdefault(event["id"], _Step(event, now))
            if step.until != event["until"]:
                # In this order: a live display reads both in a thread of its own.
                step.waits_since, step.until = now, event["until"]
        else:
            self.steps.pop(event["id"], None)

    def longest(self) -> str:
        """The step that has been going on for the longest time; empty if there is none."""
        if not self.steps:
            return ""
        step = min(self.steps.values(), key=lambda each: each.since)
        more = len(self.steps) - 1
        others = f" and {counted(more, 'more step')}" if more else ""
        what = f"{step.event['call']} for {printable(step.event['address'])}"
        return f"waited {self.clock() - step.since:.1f} s for {what}{others}"

    def going_on(self) -> list[_Step]:
        """The steps that have begun and not ended, in that order. A live display asks in a thread of its own."""
        return list(self.steps.values())

    def waits(self) -> list[_Step]:
        """The steps that wait for EC2 to do what they have asked for, the longest wait first."""
        return sorted((step for step in self.going_on() if step.until), key=lambda each: each.waits_since)

    def reminder(self) -> str | None:
        """What has been waited for long enough to tell it again, and since when."""
        now, waits = self.clock(), self.waits()
        since = waits[0].waits_since if waits else self._other[1] if self._other else now
        if now - max(since, self._told) < AGAIN:
            return None
        self._told = now
        spent = f"waiting for {now - since:.0f} s"
        if not waits:
            return f"{spent}: {self._other[0]}" if self._other else None
        more = f"; and for {counted(len(waits) - 1, 'more call')}" if len(waits) > 1 else ""
        return f"{spent} until {printable(waits[0].until)}: {_words(waits[0].event)}{more}"


class Progress:
    """Prints nothing; the base class. ``begin`` gets the plan, ``tell`` each event of the run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def begin(self, plan: Plan) -> None: ...

    def tell(self, event: Event) -> None: ...

    def remind(self, words: str) -> None:
        """Tell again for what the run waits."""
        logs.say(words)


class _JsonLines(Progress):
    def __init__(self, write: Callable[[Mapping[str, Any]], object]) -> None:
        self._write = write

    def tell(self, event: Event) -> None:
        if event["type"] == "check":
            self._write(event)
        elif event["type"] == "step" and event["status"] != "waiting":
            self._write(step_event_json(event))


class _Plain(Progress):
    """A line for each step that ends, for logs and pipes; those that were not begun are only counted.

    ``quiet``: nothing of checks that pass, as long as no step was told.
    """

    def __init__(self, is_new: IsNew, *, quiet: bool) -> None:
        self._is_new, self._quiet, self._not_begun = is_new, quiet, 0

    def __exit__(self, *_: object) -> None:
        if self._not_begun:
            logs.say(_not_begun(self._not_begun))

    def tell(self, event: Event) -> None:
        if self._quiet and (event["type"], event.get("status")) in (("checks", None), ("check", "ok")):
            return
        tell = logs.say_failed if event.get("status") == Status.FAILED else logs.say
        if event["type"] != "step":
            tell(_no_step(event), **event)
        elif _is_not_begun(event):
            self._not_begun += 1
        elif event["status"] in MARKS and _is_told(event, self._is_new):
            self._quiet = False
            tell(_ended(event), **step_event_json(event))


def _always_new(subject: str, message: str) -> bool:  # noqa: ARG001
    return True


def _is_told(event: Event, is_new: IsNew) -> bool:
    """A step that fails as it did in the last round of a watch is not reported again."""
    subject = f"the step {event['call']} for {event['address']}"
    return is_new(subject, without_request_ids(f"{event['status']} {event['error']}")) or not event["error"]


def _made(ended: Mapping[str, str]) -> int:
    """How many of the calls that have ended were made."""
    return sum(status != "skipped" for status in [*ended.values()])


def _is_not_begun(event: Event) -> bool:
    return event["status"] == "skipped" and bool(event.get("stopped"))


def _not_begun(count: int) -> str:
    mark, colour = MARKS[Status.SKIPPED]
    return f"{click.style(mark, fg=colour)} {counted(count, 'call')} not made, since the run was stopped"


def _words(event: Event, *, done: bool = False) -> str:
    detail = detail_of(event["summary"])
    return step_words(event["call"], event["address"], event.get("public_ip"), detail, done=done)


def _ended(event: Event) -> str:
    mark, colour = MARKS[event["status"]]
    line = f"{click.style(mark, fg=colour)} {_words(event, done=event['status'] == Status.DONE)}"
    reason = reason_words(event["call"], event["address"], event["error"])
    if event["status"] in (Status.SKIPPED, Status.SENT):
        return f"{line}  {reason}"
    if event["result_id"] and not event.get("public_ip"):
        line += f"  {printable(event['result_id'])}"
    return f"{line}  ({event['seconds']:.1f} s)" + (f"\n    {reason}" if reason else "")


def _no_step(event: Event) -> str:
    """What is waited for, or how a check ended."""
    if event["type"] == "checks":
        names = ", ".join(event["names"])
        return f"checking {printable(names)} (up to {event['seconds']:.0f} s)"
    if event["type"] == "check":
        mark, colour = MARKS[Status.DONE if event["status"] == "ok" else Status.FAILED]
        words = printable(f"{event['name']}  {event['what']}  {event['got']}")
        return f"{click.style(mark, fg=colour)} {words}  ({event['seconds']:.1f} s)"
    if event["type"] == "wait":
        return f"waiting for changes in progress: {printable(', '.join(event['ids']))}"
    names = printable(", ".join(event["addresses"]))
    return f"checking whether an earlier run created {names} (up to {event['seconds']:.0f} s)"


class _Live(Progress):
    """On a terminal: one bar, and above it what goes on.

    Of a plan with few steps each one that ends scrolls by; of a large one only what fails does. It is drawn in a
    thread of its own. A line is printed by erasing what was drawn last, printing, and drawing anew. rich locks
    only parts of that: with one lock around all of it, no frame comes in between.
    """

    def __init__(self, stream: TextIO, is_new: IsNew) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._is_new = is_new
        self._running = Running(time.monotonic)
        self._began = 0.0
        self._calls: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._skipped = self._sent = self._not_begun = 0
        self._live: Live | None = None
        self._whole = threading.RLock()
        self._over = threading.Event()
        self._drawing = threading.Thread(target=self._draw, name="display", daemon=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            logs.show_by(None)
            self._over.set()
            self._drawing.join()
            self._live.stop()
        if self._sent:
            self._print(f"… {counted(self._sent, 'call')} sent; EC2 had not done yet what they ask for")
        if self._skipped:
            self._print(f"· {counted(self._skipped, 'call')} skipped, since what they need failed")
        if self._not_begun:
            self._print(_not_begun(self._not_begun))

    def begin(self, plan: Plan) -> None:
        if plan.empty:
            return
        from rich.live import Live

        self._began = time.monotonic()
        self._calls = {step.id: step.call for step in plan.steps}
        # Not earlier: a moving display would overwrite the prompt.
        self._live = Live(
            self,
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._drawing.start()
        logs.show_by(self._print)

    def _draw(self) -> None:
        while not self._over.wait(_FRAME):
            self._refresh()

    def _refresh(self) -> None:
        with self._whole:
            if self._live is not None:
                self._live.refresh()

    def remind(self, words: str) -> None:
        """The display shows it all the time."""

    def tell(self, event: Event) -> None:
        self._running.tell(event)
        if event["type"] != "step":
            self._print(_no_step(event))
            return
        self._calls.setdefault(event["id"], event["call"])
        if event["status"] not in MARKS:
            return
        self._ended[event["id"]] = event["status"]
        if _is_not_begun(event):
            self._not_begun += 1
        elif not _is_told(event, self._is_new):
            return
        elif len(self._calls) <= _FEW or event["status"] == "failed":
            self._print(_ended(event))
        elif event["status"] == "skipped":
            self._skipped += 1
        elif event["status"] == "sent":
            self._sent += 1

    def _print(self, line: str) -> None:
        from rich.text import Text

        with self._whole:
            self._console.print(Text.from_ansi(fitted(line, self._console.width)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        for row in self._rows(min(_ROWS, options.size.height - 2)):
            yield Text(row, no_wrap=True, overflow="ellipsis", end="\n")
        told = self._counts()
        # Room for the ^C that a terminal shows: a line that wraps would not be erased.
        width = max(4, options.max_width - len(told) - 4)
        bar = Table.grid(padding=(0, 1, 0, 0))
        total = len(self._calls)
        bar.add_row(
            ProgressBar(total, _made(self._ended), width=width, complete_style="green"),
            Text(told, no_wrap=True, overflow="ellipsis"),
        )
        yield bar

    def _rows(self, most: int) -> list[str]:
        """What goes on: what is waited for first, then calls without an answer."""
        now = time.monotonic()
        waits = self._running.waits()
        rows = [
            f"{now - step.waits_since:3.0f} s  until {printable(step.until)}  {printable(step.event['address'])}"
            for step in waits
        ]
        calls = [step for step in self._running.going_on() if not step.until]
        rows += [f"{now - step.since:3.0f} s  {_words(step.event)}" for step in calls]
        if not rows and len(self._ended) == len(self._calls):
            rows = ["reading the live state"]
        if len(rows) > most:
            rows = [*rows[: most - 1], f"       and {counted(len(rows) - most + 1, 'more call')}"]
        return rows

    def _counts(self) -> str:
        """How many calls of how many were made, how many failed, and how long EC2's pace makes the rest take."""
        ended = dict(self._ended)
        failed = sum(status == "failed" for status in ended.values())
        over = ended.keys() | {step.event["id"] for step in self._running.waits()}
        # Last, so that it has all of these: the run goes on meanwhile.
        calls = dict(self._calls)
        sent = Counter(calls[step_id] for step_id in over)
        rest = (call for step_id, call in calls.items() if step_id not in over)
        left = seconds_left(rest, sent, time.monotonic() - self._began)
        parts = [f"{_made(ended)}/{len(calls)}"]
        if failed:
            parts.append(f"{failed} failed")
        if left >= 1:
            parts.append(f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left")
        return "  ".join(parts)


def json_lines(
    write: Callable[[Mapping[str, Any]], object] = lambda event: print_result(dumps(event)),
) -> Progress:
    """One JSON object for each event: a line on stdout, or what ``write`` makes of it."""
    return _JsonLines(write)


def progress_for(stream: TextIO, is_new: IsNew | None = None, *, quiet: bool = False) -> Progress:
    """Live on a terminal without logs or JSON and for one stack at a time, else a line for each step that ends.

    ``is_new`` says whether a message about a subject differs from the last one. ``quiet``: nothing of checks that
    pass after a run without steps, so that cron sends no mail about them.
    """
    told = is_new or _always_new
    live = stream.isatty() and os.environ.get("TERM") != "dumb" and logs.undisturbed() and not turns.is_taken()
    return _Live(stream, told) if live else _Plain(told, quiet=quiet)
