"""What goes to stderr: words for people or, as JSON, one object a line for collectors.

Two kinds of records pass through the standard ``logging``: what every user is told (``say``, ``complain``), and
what the modules log of their work, which ``--verbose`` lets through (once: calls to AWS with their request ids;
twice: their parameters, too). Only the loggers of this package are heard: those of the SDK would print signatures
and credentials. Secrets do not get here in the first place; credentials inside a URL, of a proxy say, are cut out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import click

from enireconcile.errors import AwsError, EnireconcileError, SpecErrors

_OURS = logging.getLogger("enireconcile")
_TOLD = logging.getLogger("enireconcile.told")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_stack: ContextVar[str | None] = ContextVar("stack", default=None)


class _Stderr(logging.Handler):
    """Writes to whatever stderr is at the moment."""

    as_json = False

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(_json_line(record) if self.as_json else _text_line(record), err=True)


def begin() -> None:
    """Words for people, and nothing but what everybody is told."""
    _OURS.handlers = [_Stderr()]
    _OURS.propagate = False
    _OURS.setLevel(logging.WARNING)
    _TOLD.setLevel(logging.INFO)


def be_verbose(times: int) -> None:
    """0: no log; 1: the calls to AWS; 2: their parameters, too."""
    _OURS.setLevel(_LEVELS[min(times, len(_LEVELS) - 1)])


def use_json(as_json: bool) -> None:
    for handler in _OURS.handlers:
        if isinstance(handler, _Stderr):
            handler.as_json = as_json


def undisturbed() -> bool:
    """Is stderr free for a moving picture?"""
    as_json = any(isinstance(handler, _Stderr) and handler.as_json for handler in _OURS.handlers)
    return not (as_json or _OURS.isEnabledFor(logging.INFO))


@contextmanager
def about(stack: str) -> Iterator[None]:
    """Records in here are about this stack."""
    token = _stack.set(stack)
    try:
        yield
    finally:
        _stack.reset(token)


def say(words: str, **fields: Any) -> None:
    """Tell everybody. ``words`` may be styled; what of them came from the world must be printable already."""
    _TOLD.info("%s", words, extra={"fields": fields})


def warn(words: str, **fields: Any) -> None:
    _TOLD.warning("%s", words, extra={"fields": fields})


def complain(error: EnireconcileError, **fields: Any) -> None:
    """Tell everybody of an error."""
    if isinstance(error, AwsError):
        fields |= {"call": error.call, "code": error.code, "request_id": error.request_id}
    if isinstance(error, SpecErrors):
        fields["problems"] = [vars(problem) for problem in error.problems]
    if error.hint:
        fields["hint"] = error.hint
    _TOLD.error("%s", error, extra={"fields": {"exit_code": error.exit_code, **fields}})


def _text_line(record: logging.LogRecord) -> str:
    from enireconcile.printable import (
        printable_lines,
    )

    words = _USERINFO.sub("***@", record.getMessage())
    if record.levelno < logging.WARNING and record.name != _TOLD.name:
        what = f"{_time(record):%H:%M:%S.%f}"[:-3] + f" {_name(record)}: {words}"
        return click.style(printable_lines(what + _trace(record)), dim=True)
    if record.levelno == logging.INFO:
        return words
    colour = "red" if record.levelno >= logging.ERROR else "yellow"
    name = record.levelname.lower()
    return f"{click.style(name, fg=colour, bold=True)}: {printable_lines(words)}"


def _json_line(record: logging.LogRecord) -> str:
    from enireconcile.outputs.json import (
        dumps,
    )

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
    """What a bug looks like from inside, for those who asked to be told everything."""
    if not record.exc_info or not record.exc_info[0]:
        return ""
    return "\n" + logging.Formatter().formatException(record.exc_info)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _name(record: logging.LogRecord) -> str:
    return record.name.removeprefix("enireconcile.")
