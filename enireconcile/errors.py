"""The error tree. Every error that a user can meet is one of these; anything else is a bug.

::

    EnireconcileError          code 1    something is wrong; nothing was changed
    ├── SpecErrors             code 1    the spec file: a list of Problem(file, line, column, path, message, hint)
    ├── AwsError               code 1    AWS said no, or did not answer: call, code, message, request id
    ├── AmbiguityError         code 1    two live resources carry one name; we never guess
    ├── UnsupportedError       code 1    a change that EC2 cannot make in place and that the spec does not allow
    ├── GuardError             code 3    a guard refused: wrong account, impact, prevent_destroy …
    ├── LockedError            code 4    another run holds the stack
    ├── TargetError            code 64   --target names nothing that there is
    ├── LostLockError          code 5    the lock went to another run: nothing new is begun
    └── StoppedError           code 5    somebody wanted to stop before anything was done

Errors carry fields. ``str(error)`` is what a person reads on stderr: what, where, why, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class EnireconcileError(Exception):
    """Base of all errors that are shown to the user as one message, with ``exit_code`` for the shell."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a spec file. ``line`` and ``column`` count from 1; ``path`` is dotted."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        subject = f" {self.path}:" if self.path else ""
        text = f"{where}:{subject} {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class SpecErrors(EnireconcileError):
    """All the problems of the given spec files, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column, p.path, p.message)))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the spec", *(str(problem) for problem in self.problems)]))


class AwsError(EnireconcileError):
    """A call that AWS refused or never answered, after all the retries that its code deserves."""

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
        self.call, self.code, self.reason, self.request_id, self.address = (
            call,
            code,
            message,
            request_id,
            address,
        )
        subject = f" for {address}" if address else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(f"{call}{subject}: {code}: {message}{request}", hint=hint)


class AmbiguityError(EnireconcileError):
    """Two live resources carry one name in one stack."""


class UnsupportedError(EnireconcileError):
    """EC2 cannot make this change in place, and the spec does not ask for anything harsher."""


class GuardError(EnireconcileError):
    """A guard refused the plan; nothing was changed."""

    exit_code = 3


class LockedError(EnireconcileError):
    """Another run holds the lock of this stack."""

    exit_code = 4


class TargetError(EnireconcileError):
    """The command line asks for something that no spec has."""

    exit_code = 64


class LostLockError(EnireconcileError):
    """The lock of this stack is not ours any more."""

    exit_code = 5


class StoppedError(EnireconcileError):
    """Ctrl-C or SIGTERM came while nothing was being done yet."""

    exit_code = 5


def bug(error: Exception) -> EnireconcileError:
    """Any other exception, as a user is told of it."""
    return EnireconcileError(
        f"this is a bug in enireconcile: {type(error).__name__}: {error}",
        hint="set ENIRECONCILE_DEBUG=1 to see where, and please report it",
    )
