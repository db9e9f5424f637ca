"""The errors that users see. Every expected failure is one of these classes; any other exception is a bug.

::

    EnireconcileError          exit code 1    the base class
    ├── SpecErrors             exit code 1    mistakes in the spec files, each with file, line and column
    ├── AwsError               exit code 1    AWS refused a call or did not answer: call, code, message, request id
    ├── AmbiguityError         exit code 1    two live resources carry the same name in one stack
    ├── UnsupportedError       exit code 1    EC2 cannot change this in place, and the spec allows no replacement
    ├── GuardError             exit code 3    a guard refused the plan, for example prevent_destroy
    ├── LockedError            exit code 4    another run holds the lock of the stack
    ├── TargetError            exit code 64   --target matches nothing
    ├── LostLockError          exit code 5    another run took over the lock; this run starts no further call
    ├── StoppedError           exit code 5    Ctrl-C or SIGTERM stopped the run before its first change
    └── OutcomeError           as the report  an apply did not converge (Report.raise_for_outcome, AWS Lambda)

``str(error)`` is the message for stderr: what is wrong, where, why, and a hint that says what to do next. The same
facts are attributes of the error, for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from enireconcile.printable import printable


class EnireconcileError(Exception):
    """The base class: ``message`` and ``hint`` for the user, ``exit_code`` for the shell."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class Problem(NamedTuple):
    """One mistake in a spec file. ``line`` and ``column`` count from 1; ``path`` is dotted."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        subject = f" {self.path}:" if self.path else ""
        text = printable(f"{where}:{subject} {self.message}")
        return f"{text}\n  hint: {printable(self.hint)}" if self.hint else text


class SpecErrors(EnireconcileError):
    """All problems of the given spec files, or ``where`` else they are, sorted by file, line and column."""

    def __init__(self, problems: Sequence[Problem], where: str = "the spec") -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column, p.path, p.message)))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in {where}", *(str(problem) for problem in self.problems)]))


DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
"""AWS's codes for a call that IAM does not allow."""


class AwsError(EnireconcileError):
    """A call that AWS refused or did not answer, after all retries. ``reason`` is AWS's message, on one line."""

    def __init__(
        self,
        call: str,
        code: str,
        message: str,
        *,
        request_id: str | None = None,
        address: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.call, self.code, self.reason = call, printable(code), printable(message)
        self.request_id, self.address = request_id, address
        subject = f" for {address}" if address else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(printable(f"{call}{subject}: {self.code}: {self.reason}{request}"), hint=hint)


class AmbiguityError(EnireconcileError):
    """Two live resources carry the same name in one stack. enireconcile does not choose between them."""


class UnsupportedError(EnireconcileError):
    """EC2 cannot make the change in place, and the spec does not allow a restart or a replacement.

    ``attribute`` is the one of the row that asks for it, if that is known.
    """

    def __init__(self, message: str, *, hint: str | None = None, attribute: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.attribute = attribute


class GuardError(EnireconcileError):
    """A guard refused the plan; nothing was changed."""

    exit_code = 3


class LockedError(EnireconcileError):
    """Another run holds the lock of this stack."""

    exit_code = 4


class TargetError(EnireconcileError):
    """``--target`` matches nothing in the spec, or names something that cannot be a target."""

    exit_code = 64


class LostLockError(EnireconcileError):
    """This run no longer holds the lock of the stack: the lease ran out, and another run may have taken it."""

    exit_code = 5


class StoppedError(EnireconcileError):
    """Ctrl-C or SIGTERM stopped the run before it changed anything."""

    exit_code = 5


class OutcomeError(EnireconcileError):
    """An apply, or its checks, did not end well. ``report`` is its JSON report."""

    def __init__(self, message: str, report: Mapping[str, Any], exit_code: int) -> None:
        super().__init__(message)
        self.report, self.exit_code = report, exit_code


def internal_error(error: Exception) -> EnireconcileError:
    """An unexpected exception as the user sees it: one message without a traceback."""
    return EnireconcileError(
        f"this is a bug in enireconcile: {type(error).__name__}: {printable(str(error))}",
        hint="set ENIRECONCILE_DEBUG=1 to see the traceback, and please report it",
    )
