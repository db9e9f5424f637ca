"""What every kind is: the World it is resolved in, the Item that it plans for, and the questions it answers.

Pure: no clock, no network. A kind answers three questions about one name of the spec. ``want``: which attributes
should it have? ``have``: which does it have, in the same normal form? ``steps``: which EC2 calls lead from one to
the other? Equality of the normal forms is equality of the world with the wish; attributes that ``want`` leaves
out are never compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

from enireconcile.live.records import (
    LiveAttachment,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSubnet,
    LiveVpc,
)
from enireconcile.model import (
    Expect,
    Field,
    Ref,
    Step,
)
from enireconcile.ownership import (
    NEW_TAG,
)
from enireconcile.spec import ADDRESS_KEYS, Document, Resource

Id = str | Ref


class Record(Protocol):
    """A live object, parsed once. Attributes beyond these belong to its kind.

    ``manager`` is the AWS service that manages it, None for those that are their account's own.
    """

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def manager(self) -> str | None: ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Placement:
    """Where an interface belongs: an instance by its name in the spec, or by its id if it is not in there.

    ``reason`` says why that is not where it is, when a failover decided so. ``patience`` is how many seconds to
    wait for it to come off its former instance before it is taken by force; None is for ever.
    """

    instance: str
    device_index: int
    network_card_index: int
    delete_on_termination: bool
    reason: str | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Destination:
    """What an Elastic IP shall lead to: an interface by its name in the spec, or by its id if it is not in there.

    ``private_ip`` is one of its addresses as the spec has it; None is the primary one.
    """

    interface: str
    private_ip: str | None = None


@dataclass(frozen=True)
class World:
    """The spec and the live state, brought together: selectors are ids, and ids are names where they are ours.

    ``owned`` maps addresses to live records of this stack, ``adopting`` names those among them that become its own
    by this plan; ``terminating`` maps the ids of its instances that are on
    their way out, and no longer what the spec means, to their state. ``subnets``, ``vpcs`` and ``images`` map
    logical names of interfaces, groups and instances to what their selectors chose; ``subnets_by_id`` and
    ``vpcs_by_id`` tell more of it, and ``default_groups`` maps subnet ids to the default group of their VPC.
    ``removed`` are resources of the stack that the spec no longer names and that this plan takes away;
    ``replaced`` are the former holders of names of the spec, whose successor this plan makes, or an interrupted
    run has made. ``externals`` are external instances by their names in the spec; ``placements`` says to which
    instance each interface belongs, failover included; ``stranded`` warns of those that no healthy instance can
    hold. ``destinations`` says which interface each Elastic IP belongs to; ``foreign_interfaces`` are interfaces
    outside the spec, by id, that Elastic IPs lead to or shall lead to. ``dependents`` are the groups and
    interfaces, of any owner, that still use groups of the stack which the spec no longer names.
    """

    document: Document
    owned: Mapping[str, Record] = field(default_factory=dict)
    adopting: frozenset[str] = frozenset()
    terminating: Mapping[str, str] = field(default_factory=dict)
    subnets: Mapping[str, str] = field(default_factory=dict)
    vpcs: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    subnets_by_id: Mapping[str, LiveSubnet] = field(default_factory=dict)
    vpcs_by_id: Mapping[str, LiveVpc] = field(default_factory=dict)
    default_groups: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, Record] = field(default_factory=dict)
    replaced: Mapping[str, tuple[Record, ...]] = field(default_factory=dict)
    externals: Mapping[str, LiveInstance] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)
    stranded: Mapping[str, str] = field(default_factory=dict)
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    foreign_interfaces: Mapping[str, LiveNetworkInterface] = field(default_factory=dict)
    dependents: tuple[Record, ...] = ()

    def record(self, address: str, kind: type[R]) -> R | None:
        """The live record at an address, if there is one."""
        record = self.owned.get(address) or self._external(address)
        return record if isinstance(record, kind) else None

    def id_of(self, address: str) -> Id:
        """The live id of a resource of this stack, or the Ref of the one that this plan will make."""
        record = self.owned.get(address) or self._external(address)
        return record.id if record else Ref(address)

    def _external(self, address: str) -> LiveInstance | None:
        section, _, name = address.partition(".")
        return self.externals.get(name) if section == "instances" else None

    def interface(self, named: str) -> LiveNetworkInterface | None:
        """The live interface of a name in the spec, or a stranger's by its id."""
        return self.record(f"network_interfaces.{named}", LiveNetworkInterface) or self.foreign_interfaces.get(
            named
        )

    def name_of(self, aws_id: str) -> str:
        """The logical name of one of our resources; somebody else's keeps its id."""
        return self._names.get(aws_id, aws_id)

    def leaves(self, address: str, attribute: str) -> bool:
        """Does this plan leave an attribute of a live resource as it is found?

        That is what a row ignores, once it was set, and what the row of an adopted resource does not say. A
        relation is set again with its other end: where the plan takes that away, or launches the instance that
        shall have an interface which nobody has.
        """
        record = self.owned.get(address)
        if record is None:
            return False
        row = self.rows[address]
        ignored = attribute in row.lifecycle.ignore and NEW_TAG not in record.tags
        return (ignored or not row.specifies(attribute)) and not self._set_again(record, attribute)

    def _set_again(self, record: Record, attribute: str) -> bool:
        if attribute == "association" and isinstance(record, LiveElasticIp):
            return any(record.network_interface_id == other.id for _, other in self.leaving)
        if attribute != "attachment" or not isinstance(record, LiveNetworkInterface):
            return False
        held, place = record.attachment, self.placements.get(self.name_of(record.id))
        if held is not None and held.instance_id not in self.terminating:
            return held.instance_id in self.to_terminate
        return place is not None and self.is_launched(place.instance)

    def is_launched(self, instance: str) -> bool:
        """Does this plan launch the instance of that name?"""
        return instance in self.document.own_instances and f"instances.{instance}" not in self.owned

    def ends(self, place: LiveAttachment) -> bool:
        """Is the attachment ending, by itself or with its instance?"""
        return place.status == "detaching" or place.instance_id in self.terminating

    def standing(self, live: LiveNetworkInterface) -> LiveAttachment | None:
        """The attachment that counts: not one that is ending."""
        return None if live.attachment is None or self.ends(live.attachment) else live.attachment

    @cached_property
    def rows(self) -> Mapping[str, Resource]:
        """The rows of what the stack keeps, by address."""
        return self.document.resources

    @cached_property
    def leaving(self) -> tuple[tuple[str, Record], ...]:
        """All that this plan takes away, with its address."""
        former = ((address, record) for address, records in self.replaced.items() for record in records)
        return (*self.removed.items(), *former)

    @cached_property
    def ours(self) -> tuple[tuple[str, Record], ...]:
        """All that the stack owns, whether it stays or goes, with its address."""
        return (*self.owned.items(), *self.leaving)

    @cached_property
    def to_terminate(self) -> Mapping[str, str]:
        """Instances that this plan terminates: id to address."""
        return {record.id: address for address, record in self.leaving if isinstance(record, LiveInstance)}

    @cached_property
    def named(self) -> Mapping[tuple[str, str], str]:
        """Who is to have a further address or a prefix that the spec lists, by subnet id and that: names."""
        return {
            (self.subnets[name], each): name
            for name, row in self.document.network_interfaces.items()
            for many, _ in ADDRESS_KEYS
            if not self.leaves(f"network_interfaces.{name}", many)
            for each in getattr(row, many) or ()
        }

    @cached_property
    def holders(self) -> Mapping[tuple[str, str], LiveNetworkInterface]:
        """Who of ours has a further address or a prefix, by subnet id and that."""
        return {
            (live.subnet_id, each): live
            for _, live in self.ours
            if isinstance(live, LiveNetworkInterface)
            for each in live.further
        }

    def is_ending(self, instance_id: str) -> bool:
        """Does the instance let go of its interfaces by itself: on its way out, or sent there by this plan?"""
        return instance_id in self.terminating or instance_id in self.to_terminate

    @cached_property
    def _names(self) -> dict[str, str]:
        names = {record.id: address.partition(".")[2] for address, record in self.owned.items()}
        return names | {record.id: name for name, record in self.externals.items()}


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
    change in place; ``precious`` may add why those of this kind are not replaced either.
    """

    section: ClassVar[str]
    immutable: ClassVar[tuple[str, ...]] = ()
    precious: ClassVar[str] = ""

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
        """The calls that take a resource of ours away; kinds that are relations go with their owners."""
        return ()

    def blocked_removals(self, world: World) -> Mapping[str, str]:
        """Addresses of what would be removed, and EC2 would not let go; and for whose sake, in words."""
        return {}

    def fixed(self, item: Item, world: World) -> tuple[str, ...]:
        """The attributes that cannot be changed on this very resource."""
        return self.immutable

    def replaces(self, item: Item, world: World) -> bool:
        """May a new resource take the place of this one, where one of its fixed attributes differs?"""
        return False

    def follows(self, replaced: Collection[str], world: World) -> Sequence[str]:
        """Addresses of this kind's resources that must be replaced when those at ``replaced`` are."""
        return ()

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """Addresses without which this one cannot be as the spec says; strange ones among them do no harm."""
        return ()

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        """What is on its way by itself to where the spec wants it."""
        return ()

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """What a person should know that is no difference."""
        return ()
