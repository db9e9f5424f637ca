"""What every kind shares: the World it is resolved in, the Item that it plans for, and tags.

Pure: no clock, no network. A kind answers three questions about one name of the spec. ``want``: which attributes
should it have? ``have``: which does it have, in the same normal form? ``steps``: which EC2 calls lead from one to
the other? Equality of the normal forms is equality of the world with the wish; attributes that ``want`` leaves
out are never compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

from enireconcile.model import NAME_TAG, STACK_TAG, Expect, Field, Ref, Step
from enireconcile.records import LiveNetworkInterface
from enireconcile.spec import Document

Id = str | Ref
INTERFACES = "DescribeNetworkInterfaces"


class Record(Protocol):
    """A live object, parsed once. Attributes beyond these belong to its kind."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class World:
    """The spec and the live state, brought together: selectors are ids, and ids are names where they are ours.

    ``owned`` maps addresses to live records of this stack; ``going`` maps the ids of its instances that are on
    their way out, and no longer what the spec means, to their state. ``subnets``, ``vpcs`` and ``images`` map
    logical names of interfaces, groups and instances to what their selectors chose; ``default_groups`` maps
    subnet ids to the default group of their VPC.
    """

    document: Document
    owned: Mapping[str, Record] = field(default_factory=dict)
    going: Mapping[str, str] = field(default_factory=dict)
    subnets: Mapping[str, str] = field(default_factory=dict)
    vpcs: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    default_groups: Mapping[str, str] = field(default_factory=dict)

    def record(self, address: str, kind: type[R]) -> R | None:
        """The live record at an address, if there is one."""
        record = self.owned.get(address)
        return record if isinstance(record, kind) else None

    def id_of(self, address: str) -> Id:
        """The live id of a resource of this stack, or the Ref of the one that this plan will make."""
        record = self.owned.get(address)
        return record.id if record else Ref(address)

    def name_of(self, aws_id: str) -> str:
        """The logical name of one of our resources; somebody else's keeps its id."""
        return self._names.get(aws_id, aws_id)

    @cached_property
    def _names(self) -> dict[str, str]:
        return {record.id: address.partition(".")[2] for address, record in self.owned.items()}


@dataclass(frozen=True)
class Item:
    """One name of the spec as one kind sees it. ``have`` is None when the resource does not exist."""

    address: str
    want: Mapping[str, Any]
    have: Mapping[str, Any] | None
    fields: tuple[Field, ...]

    @property
    def name(self) -> str:
        return self.address.partition(".")[2]

    def differs(self, name: str) -> bool:
        return any(change.field == name for change in self.fields)


class Kind(ABC):
    """See the module's docstring.

    ``section`` is the section of the spec whose rows it reads, ``immutable`` the attributes that EC2 cannot
    change in place.
    """

    section: ClassVar[str]
    immutable: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def want(self, name: str, world: World) -> dict[str, Any]:
        """Attributes that the spec asks for, in normal form."""

    @abstractmethod
    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        """Attributes of the live resource, in the same normal form; None when there is none."""

    @abstractmethod
    def steps(self, item: Item, world: World) -> Sequence[Step]:
        """The calls that lead from ``have`` to ``want``."""

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        """What is on its way by itself to where the spec wants it."""
        return ()

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """What a person should know that is no difference."""
        return ()


def wanted_tags(address: str, own: Mapping[str, str], document: Document) -> dict[str, str]:
    """The tags that we keep on a resource: ownership, a Name, the spec's common tags and its own."""
    tags = {"Name": address.partition(".")[2], **document.tags, **own}
    return {**tags, STACK_TAG: document.stack, NAME_TAG: address}


def known_tags(tags: Mapping[str, str], want: Mapping[str, Any]) -> dict[str, str]:
    """Of the live tags those that we keep; the others are other people's."""
    return {key: tags[key] for key in want["tags"] if key in tags}


def as_tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tag_specifications(resource_type: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """TagSpecifications of a create call: tagged from birth, or not born."""
    return [{"ResourceType": resource_type, "Tags": as_tag_list(tags)}]


def tag_steps(item: Item, world: World) -> list[Step]:
    """One CreateTags with the tags that differ, if any do."""
    if item.have is None or not item.differs("tags"):
        return []
    before = item.have["tags"]
    changed = {key: value for key, value in item.want["tags"].items() if before.get(key) != value}
    return [
        Step(
            id=f"{item.address}/CreateTags",
            call="CreateTags",
            params={"Resources": [world.id_of(item.address)], "Tags": as_tag_list(changed)},
            address=item.address,
        )
    ]


def ownership_filters(stack: str, address: str | None = None) -> list[dict[str, Any]]:
    """Filters for what carries our stack tag, or for one address of it."""
    filters = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
    if address:
        filters.append({"Name": f"tag:{NAME_TAG}", "Values": [address]})
    return filters


def settled(address: str) -> str:
    """The condition that a resource is as the spec says, short of being attached."""
    return f"settled:{address}"


def attached(address: str) -> str:
    """The condition that an interface is where the spec says."""
    return f"attached:{address}"


def interface_slot(address: str) -> str:
    """The slot that an attachment takes on its interface: it is attached to one instance at a time."""
    return f"interface:{address}"


def groups_settled(interface: str, world: World) -> list[str]:
    """The conditions that the rules of an interface's groups are in place."""
    row = world.document.network_interfaces[interface]
    return [settled(f"security_groups.{group}") for group in row.security_groups or ()]


def free(live: LiveNetworkInterface | None) -> tuple[Expect, ...]:
    """To wait for before attaching: an interface on its way out of an instance becomes available by itself.

    One that is deleted with its instance goes instead; then the call says so, and a new plan makes it anew.
    """
    if live is None or live.status == "available":
        return ()
    goes = live.attachment is not None and live.attachment.delete_on_termination
    return (Expect(INTERFACES, live.id, has=(("Status", ("available",)),), gone=goes, timeout=600),)
