"""What IAM must allow for the EC2 calls of a kind, as the kinds declare it. Pure.

Every call that a plan may make or a read may ask is in the ``calls`` or ``reads`` of a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from enireconcile.spec import Document


class Purpose(Struct, frozen=True):
    """What a policy is for: a spec, and whether resources may be removed (``prune``: also those that leave it)."""

    document: Document
    destroy: bool = True
    prune: bool = False

    def has(self, section: str) -> bool:
        """Does the spec keep resources in a section?"""
        return bool(self.document.own_names(section))

    def removes(self, section: str) -> bool:
        """May a plan remove resources of a section?"""
        return self.destroy and (self.has(section) or self.prune)

    def keeps_or_removes(self, section: str) -> bool:
        return self.has(section) or self.removes(section)

    def rows(self, section: str) -> Sequence[Any]:
        """The rows of the resources that the spec keeps in a section."""
        return [row for address, row in self.document.resources.items() if address.startswith(f"{section}.")]


When = Callable[[Purpose], bool]
Condition = Mapping[str, Mapping[str, Any]]
"""An IAM condition: operator to condition key to a value, or a list of values."""
Conditions = Callable[[Purpose], Sequence[Condition]]
"""Alternatives: a request is allowed if it meets one of them. Without any it is never allowed."""


def always(_: Purpose) -> bool:
    return True


def never(_: Purpose) -> bool:
    return False


def unconditional(_: Purpose) -> Sequence[Condition]:
    return ({},)


def has(section: str) -> When:
    """The spec keeps resources in a section."""
    return lambda purpose: purpose.has(section)


def removes(section: str) -> When:
    """A plan may remove resources of a section."""
    return lambda purpose: purpose.removes(section)


def checks(purpose: Purpose) -> bool:
    """The spec has checks. When one fails, more is read to say why."""
    return bool(purpose.document.checks)


def keeps_or_removes(section: str) -> When:
    """Either of the two."""
    return lambda purpose: purpose.keeps_or_removes(section)


class Read(Struct, frozen=True):
    """A read. IAM cannot restrict it, unless it is ``owned``: then to resources with the stack's tag.

    ``conditions`` restrict an owned read further.
    """

    when: When = always
    owned: bool = False
    conditions: Conditions = unconditional


class Call(Struct, frozen=True):
    """A call that changes something: when a spec needs it, and how far IAM lets it be narrowed.

    It is needed ``when`` that says so, and for every row that sets an attribute which the call changes. The other
    words name types of resources, by the Service Authorization Reference of EC2:

    - ``creates``: what the call makes. Allowed only when the request tags it with the stack.
    - ``changes``: what it changes. Allowed only if that carries the stack's tag.
    - ``uses``: what it refers to and leaves as it is (a subnet, an image): what the spec selects by id or by tags,
      else any.

    ``conditions`` restrict further what a request creates, or changes if it creates nothing. ``limits`` restrict
    attributes that no other call sets: they hold also for requests without these attributes.
    """

    when: When = never
    creates: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    conditions: Conditions = unconditional
    limits: Callable[[Purpose], Condition] = lambda _: {}


def sets(parameter: str) -> str:
    """The condition key for the value that a request sets an attribute to; EC2 names it as the parameter."""
    return f"ec2:Attribute/{parameter}"


def as_values(values: Iterable[Any]) -> list[str]:
    """Values as IAM compares them, sorted; those of attributes that the spec leaves open (None) are left out."""
    texts = {value if isinstance(value, str) else str(value).lower() for value in values if value is not None}
    return sorted(texts)
