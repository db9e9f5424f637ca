"""What apply prints while it runs: a live display on a terminal, lines in a log, or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

import click

from enireconcile.model import Plan
from enireconcile.outputs import logs
from enireconcile.outputs.json import dumps
from enireconcile.printable import printable, printable_lines

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("·", "yellow")}


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

    def tell(self, event: Mapping[str, Any]) -> None: ...


class _JsonLines(Progress):
    def tell(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "step" and event["status"] != "waiting":
            click.echo(dumps(event))


class _Plain(Progress):
    """A line for each step that ends, for logs and pipes."""

    def tell(self, event: Mapping[str, Any]) -> None:
        if event["type"] != "step":
            logs.say(_waiting(event), **event)
        elif event["status"] in _MARKS:
            logs.say(_ended(event), **event)


def _words(event: Mapping[str, Any]) -> str:
    """A call and its address. A leftover's address comes from its tag, which may contain anything."""
    return f"{event['call']}  {printable(event['address'])}"


def _ended(event: Mapping[str, Any]) -> str:
    mark, colour = _MARKS[event["status"]]
    line = f"{click.style(mark, fg=colour)} {_words(event)}"
    if event["result_id"]:
        line += f"  {printable(event['result_id'])}"
    if event["status"] != "skipped":
        line += f"  ({event['seconds']:.1f} s)"
    return line + (f"\n    {printable_lines(event['error'])}" if event["error"] else "")


def _waiting(event: Mapping[str, Any]) -> str:
    if event["type"] == "wait":
        return f"waiting for changes in progress: {printable(', '.join(event['ids']))}"
    names = printable(", ".join(event["addresses"]))
    return f"checking whether an earlier run created {names} (up to {event['seconds']:.0f} s)"


class _Live(Progress):
    """On a terminal: finished steps scroll by, running ones have a spinner below them."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._running: dict[str, Any] = {}
        self._started = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._started:
            self._bars.stop()

    def begin(self, plan: Plan) -> None:
        if not plan.empty:
            # Not earlier: a moving display would overwrite the prompt.
            self._bars.start()
            self._started = True

    def tell(self, event: Mapping[str, Any]) -> None:
        from rich.text import Text

        if event["type"] != "step":
            self._bars.console.print(Text(_waiting(event)), soft_wrap=True)
            return
        words = _words(event)
        if event["status"] == "started":
            self._running[event["id"]] = self._bars.add_task(words, total=None)
        elif event["status"] == "waiting":
            self._bars.update(self._running[event["id"]], description=f"{words}  (waiting)")
        else:
            if event["id"] in self._running:
                self._bars.remove_task(self._running.pop(event["id"]))
            self._bars.console.print(Text.from_ansi(_ended(event)), soft_wrap=True)


def json_lines() -> Progress:
    """One JSON object a line on stdout."""
    return _JsonLines()


def progress_for(stream: TextIO) -> Progress:
    """Live on a terminal without logs or JSON, else a line for each step that ends."""
    return _Live(stream) if stream.isatty() and logs.undisturbed() else _Plain()
