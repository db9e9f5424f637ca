"""What goes to stderr: text or, for log collectors, one JSON object per line.

Two kinds of records pass through the standard ``logging``: messages to the user (``say``, ``warn``, ``complain``),
and the log records of the modules, which ``--verbose`` shows (once: calls to AWS with their request ids; twice:
also their parameters). Only the loggers of this package have a handler: those of the SDK would print signatures
and credentials. Other modules do not log secrets; credentials inside a URL, such as a proxy's, are masked here.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from enireconcile.errors import AwsError, EnireconcileError, SpecErrors
from enireconcile.outputs.terminal import columns, fitted
from enireconcile.outputs.turns import in_turn

_OURS = logging.getLogger("enireconcile")
_TOLD = logging.getLogger("enireconcile.told")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_stack: ContextVar[str | None] = ContextVar("stack", default=None)
_label: ContextVar[str | None] = ContextVar("label", default=None)


def colourless() -> bool:
    """Whether the user or the terminal wants no colour (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _echo(line: str) -> None:
    click.echo(line, err=True, color=False if colourless() else None)


class _Stderr(logging.Handler):
    """Writes to the current ``sys.stderr``, which tests and runners replace, or where ``show`` does."""

    as_json = False
    show: Callable[[str], object] = staticmethod(_echo)

    def emit(self, record: logging.LogRecord) -> None:
        line = _json_line(record) if self.as_json else _text_line(record)
        in_turn(partial(self._print, line))

    def _print(self, line: str) -> None:
        # A full disk or a closed pipe must not stop a run.
        with suppress(OSError):
            self.show(line if self.as_json else fitted(line, columns(sys.stderr)))


def begin() -> None:
    """Log as text, and only messages to the user."""
    _OURS.handlers = [_Stderr()]
    _OURS.propagate = False
    _OURS.setLevel(logging.WARNING)
    _TOLD.setLevel(logging.INFO)


def be_verbose(times: int) -> None:
    """0: messages only; 1: also the calls to AWS; 2: also their parameters."""
    _OURS.setLevel(_LEVELS[min(times, len(_LEVELS) - 1)])


def be_quiet() -> None:
    """Errors only."""
    _OURS.setLevel(logging.ERROR)
    _TOLD.setLevel(logging.ERROR)


def use_json(as_json: bool) -> None:
    for handler in _OURS.handlers:
        if isinstance(handler, _Stderr):
            handler.as_json = as_json


def undisturbed() -> bool:
    """Whether stderr carries messages, and neither JSON nor logs, so that a live display does not disturb it."""
    as_json = any(isinstance(handler, _Stderr) and handler.as_json for handler in _OURS.handlers)
    return _TOLD.isEnabledFor(logging.INFO) and not (as_json or _OURS.isEnabledFor(logging.INFO))


def show_by(show: Callable[[str], object] | None) -> None:
    """Print lines by this function from now on: one that knows of a live display. None ends that."""
    for handler in _OURS.handlers:
        if isinstance(handler, _Stderr):
            handler.show = show or _echo


@contextmanager
def about(stack: str, label: str | None = None) -> Iterator[None]:
    """Records inside this context carry the name of the stack; as text, they begin with ``label``."""
    token, shown = _stack.set(stack), _label.set(label)
    try:
        yield
    finally:
        _stack.reset(token)
        _label.reset(shown)


def say(words: str, **fields: Any) -> None:
    """Print a message to the user. ``words`` may be styled; text from AWS in it must be printable already."""
    _TOLD.info("%s", words, extra={"fields": fields})


def warn(words: str, **fields: Any) -> None:
    _TOLD.warning("%s", words, extra={"fields": fields})


def say_failed(words: str, **fields: Any) -> None:
    """Print what failed, in words that show it. To programs, and to users who want errors only, it is an error."""
    _TOLD.error("%s", words, extra={"fields": fields, "as_said": True})


def complain(error: EnireconcileError, **fields: Any) -> None:
    """Print an error to the user."""
    if isinstance(error, AwsError):
        fields |= {"call": error.call, "code": error.code, "request_id": error.request_id}
    if isinstance(error, SpecErrors):
        fields["problems"] = [problem._asdict() for problem in error.problems]
    if error.hint:
        fields["hint"] = error.hint
    _TOLD.error("%s", error, extra={"fields": {"exit_code": error.exit_code, **fields}})


def _text_line(record: logging.LogRecord) -> str:
    from enireconcile.printable import printable_lines

    label = f"{printable_lines(_label.get() or '')}: " if _label.get() else ""
    words = label + _USERINFO.sub("***@", record.getMessage())
    if record.levelno < logging.WARNING and record.name != _TOLD.name:
        what = f"{_time(record):%H:%M:%S.%f}"[:-3] + f" {_name(record)}: {words}"
        return click.style(printable_lines(what + _trace(record)), dim=True)
    if record.levelno == logging.INFO or getattr(record, "as_said", False):
        return words
    colour = "red" if record.levelno >= logging.ERROR else "yellow"
    name = record.levelname.lower()
    return f"{click.style(name, fg=colour, bold=True)}: {printable_lines(words)}"


def _json_line(record: logging.LogRecord) -> str:
    from enireconcile.outputs.json import dumps

    fields = getattr(record, "fields", {})
    line = {
        "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": _name(record),
        "stack": _stack.get(),
        "message": click.unstyle(record.getMessage()) + _trace(record),
        **fields,
    }
    return _USERINFO.sub("***@", dumps(line))


def _trace(record: logging.LogRecord) -> str:
    """The traceback of a record that has one."""
    if not record.exc_info or not record.exc_info[0]:
        return ""
    return "\n" + logging.Formatter().formatException(record.exc_info)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _name(record: logging.LogRecord) -> str:
    return record.name.removeprefix("enireconcile.")
