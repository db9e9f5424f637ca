"""What every kind is: the Item that it plans for, and the questions that it answers. Pure.

A kind answers three questions about one name of the spec. ``want``: which attributes should it have? ``have``:
which does it have, in the same normal form? ``steps``: which EC2 calls lead from one to the other? The live
resource is as the spec says when the two normal forms are equal; attributes that ``want`` leaves out are never
compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from enireconcile.kinds.attributes import Attribute, Changes
from enireconcile.kinds.permissions import Call, Read
from enireconcile.kinds.world import World
from enireconcile.live.records import Record
from enireconcile.model import Expect, Field, Step


class Item(Struct, frozen=True):
    """One name of the spec as one kind sees it.

    ``have`` is None when the resource does not exist. If it exists, ``want`` lacks every attribute that its row
    ignores or leaves open, so steps read ``want`` only for attributes in ``fields``. ``ignored`` has what differs
    in attributes that the row both says and ignores.
    """

    address: str
    want: Mapping[str, Any]
    have: Mapping[str, Any] | None
    fields: tuple[Field, ...]
    ignored: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        return self.address.partition(".")[2]

    def differs(self, name: str) -> bool:
        return any(change.field == name for change in self.fields)


class Kind(ABC):
    """See the module's docstring.

    ``section`` is the section of the spec whose rows it reads, ``resource_type`` EC2's name in ARNs and
    TagSpecifications for what they describe; relations have none. ``attributes`` are all keys of the rows that
    this kind compares, ``calls`` and ``reads`` its EC2 calls and what IAM must allow for them.
    """

    section: ClassVar[str]
    resource_type: ClassVar[str] = ""
    attributes: ClassVar[tuple[Attribute, ...]] = ()
    calls: ClassVar[Mapping[str, Call]] = {}
    reads: ClassVar[Mapping[str, Read]] = {}

    @abstractmethod
    def want(self, name: str, world: World) -> dict[str, Any]:
        """Attributes that the spec asks for, in normal form."""

    @abstractmethod
    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        """Attributes of the live resource, in the same normal form; None when there is none."""

    @abstractmethod
    def steps(self, item: Item, world: World) -> Sequence[Step]:
        """The calls that lead from ``have`` to ``want``."""

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        """The calls that remove a resource of the stack. A relation ends when one of its resources is removed."""
        return ()

    def blocked_removals(self, world: World) -> Mapping[str, str]:
        """Addresses of resources that EC2 would refuse to delete, with what still uses them, in words."""
        return {}

    def fixed(self, item: Item, world: World) -> tuple[str, ...]:
        """Names of the attributes that EC2 cannot change on the existing resource."""
        return tuple(each.name for each in self.attributes if each.changes is not Changes.IN_PLACE)

    def advice(self, attribute: Attribute, address: str, world: World) -> str:
        """What to write to get another value of an attribute that cannot be changed in place; empty: no way."""
        return ""

    def stops(self, item: Item, world: World) -> bool:
        """Does the plan stop the resource, even temporarily?"""
        return False

    def replaces(self, item: Item, world: World) -> bool:
        """May a new resource take the place of this one, where one of its fixed attributes differs?"""
        return False

    def follows(self, replaced: Collection[str], world: World) -> Sequence[str]:
        """Addresses of this kind's resources that must be replaced when those at ``replaced`` are."""
        return ()

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """Addresses that this resource depends on; those that the spec does not have are ignored."""
        return ()

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        """Changes in progress that need no call: the run only waits for them."""
        return ()

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """Warnings for the user, also if nothing differs."""
        return ()
