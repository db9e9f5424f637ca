"""What enireconcile knows about each key of a kind's rows, declared once, in the module of the kind. Pure.

From these declarations come the permissions of the IAM policy (``calls``), the questions to CloudTrail (``calls``,
``events``, ``request_parameters``, ``ended_by``), what a plan shows of a new resource (``default``), and what it
does about a change (``changes``). tests/kinds/test_completeness.py fails for a key that no kind declares.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from msgspec import Struct

from enireconcile.model import Secret
from enireconcile.spec import Resource

LOGICAL_NAME = object()
"""The default of an attribute that a resource takes from its name in the spec."""


class Changes(Enum):
    """When EC2 lets an attribute of an existing resource change."""

    IN_PLACE = "in place"
    WHILE_STOPPED = "while stopped"
    AT_CREATION = "at creation"
    """Never: another value needs a new resource."""


def _is_written(name: str) -> Callable[[Resource], bool]:
    return lambda row: getattr(row, name, None) is not None


class Attribute(Struct, frozen=True):
    """One key of the rows of a kind.

    ``calls`` are the EC2 calls with which a plan changes it on an existing resource, ``events`` other calls that
    change it, as CloudTrail names them. ``parameter`` is EC2's name for it in calls that create or modify, where
    it is passed as it is written. ``logged`` are the request parameters that distinguish it in CloudTrail from
    other attributes that the same events change, if these are not the ``parameter``. ``ended_by`` is an event that
    names neither end of the relation that it ends, only the relation's id.

    ``default`` is the value that a new resource has by default, which a plan does not show; so are empty values,
    unless ``shows_empty``. ``record`` is the field of the live record, where it has another name. ``secret``
    values are shown as their hash. ``may_change`` says whether a plan changes the attribute for a row at all; by
    default it does if the row has a value.
    """

    name: str
    changes: Changes = Changes.IN_PLACE
    calls: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    parameter: str = ""
    logged: frozenset[str] = frozenset()
    ended_by: str = ""
    default: Any = None
    shows_empty: bool = False
    record: str = ""
    secret: bool = False
    may_change: Callable[[Any], bool] | None = None

    @property
    def changed_by(self) -> tuple[str, ...]:
        """The CloudTrail events that change it."""
        return (*self.calls, *self.events)

    @property
    def request_parameters(self) -> frozenset[str]:
        """The request parameters in these events that set it. CloudTrail writes them in lower camel case."""
        if self.logged or not self.parameter:
            return self.logged
        return frozenset({self.parameter[0].lower() + self.parameter[1:]})

    def needs_calls(self, row: Resource) -> bool:
        """May a plan for this row call what changes it?"""
        return (self.may_change or _is_written(self.name))(row)

    def written(self, row: Resource) -> Any:
        """The value in a row of the spec, None if there is none."""
        value = getattr(row, self.name)
        return Secret(value) if self.secret and value is not None else value

    def observed(self, live: Any) -> Any:
        """The value in a live record."""
        return getattr(live, self.record or self.name)

    def is_implied(self, logical_name: str, value: Any) -> bool:
        """Does a new resource of that name have this value by default?"""
        if self.default is LOGICAL_NAME and value == logical_name:
            return True
        if value in (None, "", [], {}):
            return not self.shows_empty
        return self.default is not None and bool(self.default == value)
