"""What apply prints while it runs: a live display on a terminal, lines in a log, or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

import click

from enireconcile.model import Plan, detail_of
from enireconcile.outputs import logs
from enireconcile.outputs.json import dumps
from enireconcile.outputs.stdout import print_result
from enireconcile.outputs.words import step_words, without_request_ids
from enireconcile.printable import printable, printable_lines

IsNew = Callable[[str, str], bool]
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
    def __init__(self, write: Callable[[Mapping[str, Any]], object]) -> None:
        self._write = write

    def tell(self, event: Mapping[str, Any]) -> None:
        if event["type"] in ("step", "check") and event["status"] != "waiting":
            self._write(event)


class _Plain(Progress):
    """A line for each step that ends, for logs and pipes.

    ``quiet``: nothing of checks that pass, as long as no step was told.
    """

    def __init__(self, is_new: IsNew, *, quiet: bool) -> None:
        self._is_new, self._quiet = is_new, quiet

    def tell(self, event: Mapping[str, Any]) -> None:
        if self._quiet and (event["type"], event.get("status")) in (("checks", None), ("check", "ok")):
            return
        if event["type"] != "step":
            logs.say(_no_step(event), **event)
        elif event["status"] in _MARKS and _is_told(event, self._is_new):
            self._quiet = False
            logs.say(_ended(event), **event)


def _always_new(subject: str, message: str) -> bool:  # noqa: ARG001
    return True


def _is_told(event: Mapping[str, Any], is_new: IsNew) -> bool:
    """A step that fails as it did in the last round of a watch is not reported again."""
    subject = f"the step {event['call']} for {event['address']}"
    return is_new(subject, without_request_ids(f"{event['status']} {event['error']}")) or not event["error"]


def _words(event: Mapping[str, Any]) -> str:
    return step_words(event["call"], event["address"], event.get("public_ip"), detail_of(event["summary"]))


def _ended(event: Mapping[str, Any]) -> str:
    mark, colour = _MARKS[event["status"]]
    line = f"{click.style(mark, fg=colour)} {_words(event)}"
    if event["result_id"] and not event.get("public_ip"):
        line += f"  {printable(event['result_id'])}"
    if event["status"] != "skipped":
        line += f"  ({event['seconds']:.1f} s)"
    return line + (f"\n    {printable_lines(event['error'])}" if event["error"] else "")


def _no_step(event: Mapping[str, Any]) -> str:
    """What is waited for, or how a check ended."""
    if event["type"] == "checks":
        names = ", ".join(event["names"])
        return f"checking {printable(names)} (up to {event['seconds']:.0f} s)"
    if event["type"] == "check":
        mark, colour = _MARKS["done" if event["status"] == "ok" else "failed"]
        words = printable(f"{event['name']}  {event['what']}  {event['got']}")
        return f"{click.style(mark, fg=colour)} {words}  ({event['seconds']:.1f} s)"
    if event["type"] == "wait":
        return f"waiting for changes in progress: {printable(', '.join(event['ids']))}"
    names = printable(", ".join(event["addresses"]))
    return f"checking whether an earlier run created {names} (up to {event['seconds']:.0f} s)"


class _Live(Progress):
    """On a terminal: finished steps scroll by, running ones have a spinner below them."""

    def __init__(self, stream: TextIO, is_new: IsNew) -> None:
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
        self._is_new = is_new
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
            self._bars.console.print(Text.from_ansi(_no_step(event)), soft_wrap=True)
            return
        words = _words(event)
        if event["status"] == "started":
            self._running[event["id"]] = self._bars.add_task(words, total=None)
        elif event["status"] == "waiting":
            self._bars.update(self._running[event["id"]], description=f"{words}  (waiting)")
        else:
            if event["id"] in self._running:
                self._bars.remove_task(self._running.pop(event["id"]))
            if _is_told(event, self._is_new):
                self._bars.console.print(Text.from_ansi(_ended(event)), soft_wrap=True)


def json_lines(
    write: Callable[[Mapping[str, Any]], object] = lambda event: print_result(dumps(event)),
) -> Progress:
    """One JSON object for each event: a line on stdout, or what ``write`` makes of it."""
    return _JsonLines(write)


def progress_for(stream: TextIO, is_new: IsNew | None = None, *, quiet: bool = False) -> Progress:
    """Live on a terminal without logs or JSON, else a line for each step that ends.

    ``is_new`` says whether a message about a subject differs from the last one. ``quiet``: nothing of checks that
    pass after a run without steps, so that cron sends no mail about them.
    """
    told = is_new or _always_new
    return _Live(stream, told) if stream.isatty() and logs.undisturbed() else _Plain(told, quiet=quiet)
