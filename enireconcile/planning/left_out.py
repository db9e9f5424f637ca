"""Which rows a plan leaves out because of a mistake elsewhere, and why. Pure.

A row that is left out stays as it is: it is not created, changed or deleted. If it exists, other rows can still
refer to it; if it does not, the rows that need it are left out, too:

- a group needs the groups that its rules name;
- an interface needs its groups and the instance that it belongs to; a failover chooses among the other instances;
- an instance that is to be launched needs all its interfaces, for it cannot boot without them;
- an Elastic IP needs the interface or instance that it is associated with, and the address on it;
- every row needs the rows to which its tags, the tags of the file and its user data refer.

A row is also left out if its steps would take something from one that is left out: a device slot, an address, an
Elastic IP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import SpecErrors
from enireconcile.kinds.world import World
from enireconcile.live.records import Live, LiveElasticIp, LiveInstance, LiveNetworkInterface, Record
from enireconcile.model import PlanError, Step, refs_in, texts_in
from enireconcile.planning.mistakes import Mistake
from enireconcile.spec import (
    Attachment,
    ElasticIp,
    Instance,
    NetworkInterface,
    Resource,
    SecurityGroup,
    without_selectors,
)

Cause = tuple[str, str]
"""The address because of which a row is left out, and the reason in words."""


class LeftOut(Struct, frozen=True):
    """``addresses`` are all that is left out; ``causes`` maps them to the reasons that lie in other rows.

    The addresses include external instances that could not be selected.
    """

    addresses: frozenset[str] = frozenset()
    causes: Mapping[str, Sequence[Cause]] = {}

    @staticmethod
    def of(left_out: Collection[str], world: World, live: Live) -> LeftOut:
        """These addresses, and all rows of the World that need them."""
        found = frozenset(left_out)
        if not found:
            return LeftOut()
        while True:
            needs = _Needs(world, live, found)
            causes = {address: tuple(needs.of(address, row)) for address, row in world.rows.items()}
            more = {address for address, each in causes.items() if each} - found
            if not more:
                return LeftOut(found, {address: each for address, each in causes.items() if each})
            found |= more


class Exclusions(Struct, frozen=True):
    """What a draft leaves out: the mistakes so far, and the rows whose steps would affect one that is left out.

    ``left_out`` is what follows from both.
    """

    mistakes: tuple[Mistake, ...] = ()
    causes: Mapping[str, Cause] = {}
    left_out: LeftOut = LeftOut()

    @property
    def start(self) -> frozenset[str]:
        """The addresses to leave out, without those that follow from them."""
        return frozenset(self.causes).union(*(mistake.touches for mistake in self.mistakes))

    def with_mistakes(self, found: Iterable[Mistake]) -> Exclusions:
        """Raises SpecErrors if they touch nothing new: then leaving out rows does not help."""
        found = tuple(found)
        if frozenset().union(*(mistake.touches for mistake in found)) <= self.left_out.addresses:
            raise SpecErrors([mistake.problem for mistake in (*self.mistakes, *found)])
        return replace(self, mistakes=(*self.mistakes, *found))

    def with_causes(self, causes: Mapping[str, Cause]) -> Exclusions:
        return replace(self, causes={**causes, **self.causes})

    def errors(self, named: Set[str] | None) -> tuple[PlanError, ...]:
        """The errors of the plan, by their places in the file; with ``named`` only those that concern these."""
        made = (self._error(mistake) for mistake in self.mistakes)
        chosen = (error for error in made if named is None or not named.isdisjoint(error.left_out))
        return tuple(sorted(chosen, key=lambda error: (error.problem.line, error.problem.column, error.key)))

    def _error(self, mistake: Mistake) -> PlanError:
        reasons = self._reasons(mistake.touches)
        left_out = tuple(sorted({*mistake.touches, *reasons}))
        return PlanError(mistake.address, mistake.problem, left_out, tuple(sorted(reasons.items())))

    def _reasons(self, touched: Set[str]) -> dict[str, str]:
        """The addresses that are left out because of these, each with its reason."""
        causes: dict[str, tuple[Cause, ...]] = {
            address: (*self.left_out.causes.get(address, ()), *filter(None, [self.causes.get(address)]))
            for address in sorted(self.left_out.addresses)
        }
        found: dict[str, str] = {}
        while more := {
            address: words
            for address, each in causes.items()
            if address not in touched and address not in found
            for cause, words in reversed(each)
            if cause in touched or cause in found
        }:
            found |= more
        return found


def without(left_out: LeftOut, world: World) -> World:
    """The World without the rows that are left out, except for those that exist, which it leaves as they are."""
    if not left_out.addresses:
        return world
    absent = {address for address in left_out.addresses if address not in world.owned}
    sections = {
        section: {name: row for name, row in rows.items() if f"{section}.{name}" not in absent}
        for section, rows in (
            ("security_groups", world.document.security_groups),
            ("network_interfaces", world.document.network_interfaces),
            ("elastic_ips", world.document.elastic_ips),
        )
    }
    instances = {
        name: row
        for name, row in world.document.instances.items()
        if f"instances.{name}" not in absent or name in world.document.external_instances
    }
    return replace(
        world,
        document=world.document.model_copy(update={**sections, "instances": instances}),
        adopting=world.adopting - left_out.addresses,
        removed=_except(left_out.addresses, world.removed),
        replaced=_except(left_out.addresses, world.replaced),
        left_out=left_out.addresses & frozenset(world.owned),
    )


def _except(addresses: Collection[str], records: Mapping[str, Any]) -> dict[str, Any]:
    return {address: each for address, each in records.items() if address not in addresses}


class _Needs(Struct, frozen=True):
    """What rows need of the addresses that are left out so far."""

    world: World
    live: Live
    left_out: frozenset[str]

    def of(self, address: str, row: Resource) -> Iterator[Cause]:
        if isinstance(row, SecurityGroup):
            yield from self._groups(row, address)
        elif isinstance(row, NetworkInterface):
            yield from self._interface(row, address)
        elif isinstance(row, Instance):
            yield from self._launched(address)
        elif isinstance(row, ElasticIp):
            yield from self._elastic_ip(row, address)
        yield from self._references(row, address)

    def _missing(self, address: str) -> Iterator[Cause]:
        """The cause if an address is left out and nothing exists there."""
        if address in self.left_out and address not in self.world.owned:
            yield address, f"needs {address}"

    def _references(self, row: Resource, address: str) -> Iterator[Cause]:
        """Also by attributes that the row ignores: should its resource be replaced, the new one has them."""
        said = [self.world.document.tags, *(getattr(row, key, None) for key in ("tags", "user_data"))]
        for other in dict.fromkeys(ref.address for ref in refs_in(said)):
            if other != address:
                yield from self._missing(other)

    def _groups(self, row: SecurityGroup, address: str) -> Iterator[Cause]:
        ends: list[str] = []
        if not self.world.leaves(address, "ingress"):
            ends += (end for rule in row.ingress for end in without_selectors(rule.sources))
        if not self.world.leaves(address, "egress"):
            ends += (end for rule in row.egress or () for end in without_selectors(rule.destinations))
        for end in dict.fromkeys(ends):
            if f"security_groups.{end}" != address:
                yield from self._missing(f"security_groups.{end}")

    def _interface(self, row: NetworkInterface, address: str) -> Iterator[Cause]:
        if not self.world.leaves(address, "security_groups"):
            for group in without_selectors(row.security_groups):
                yield from self._missing(f"security_groups.{group}")
        if row.attachment is None or self.world.leaves(address, "attachment"):
            return
        if row.attachment.instance is not None:
            yield from self._missing(f"instances.{row.attachment.instance}")
            yield from self._slot(row.attachment, address)
            return
        record = self.world.record(address, LiveNetworkInterface)
        holder = record.attachment.instance_id if record is not None and record.attachment is not None else None
        for name in row.attachment.candidates:
            # Where several instances match, the present one may be the right one: the interface stays there.
            matching = {instance.id for instance in self.live.externals.get(name, ())}
            if f"instances.{name}" in self.left_out and holder in matching:
                yield f"instances.{name}", f"is attached to {holder}, which may be instances.{name}"

    def _slot(self, place: Attachment, address: str) -> Iterator[Cause]:
        """The cause if another interface has the device slot and stays there because it is left out."""
        instance = self._instance(str(place.instance))
        occupant = instance.occupant(place.network_card_index, place.device_index) if instance else None
        holder = self.world.addresses.get(occupant.network_interface_id) if occupant else None
        if holder is not None and holder != address and holder in self.left_out:
            yield holder, f"needs the device index of {holder}"

    def _instance(self, name: str) -> LiveInstance | None:
        external = self.live.externals.get(name, ())
        return self.world.record(f"instances.{name}", LiveInstance) or (
            external[0] if len(external) == 1 else None
        )

    def _launched(self, address: str) -> Iterator[Cause]:
        name = address.partition(".")[2]
        if address in self.world.owned:
            return
        document = self.world.document
        for interface, row in document.network_interfaces.items():
            boots_with = row.attachment is not None and row.attachment.instance == name
            if boots_with or name in document.guest_networks(row):
                needed = f"network_interfaces.{interface}"
                if needed in self.left_out:
                    yield needed, f"needs {needed}"

    def _elastic_ip(self, row: ElasticIp, address: str) -> Iterator[Cause]:
        if row.association is None or self.world.leaves(address, "association"):
            return
        instance = row.association.instance
        named = self.world.document.primary_interface(instance) if instance else row.association.network_interface
        if named is None:
            yield from self._missing(f"instances.{instance}")
            return
        interface = f"network_interfaces.{named}"
        yield from self._missing(interface)
        record = self.world.record(interface, LiveNetworkInterface)
        private_ip = row.association.private_ip
        if record is not None and interface in self.left_out and private_ip not in (None, *record.private_ips):
            yield interface, f"needs {private_ip} on {interface}"


def disturbed(steps: Sequence[Step], world: World) -> dict[str, Cause]:
    """Rows whose steps would take something from a resource that is left out: address to the first cause."""
    found: dict[str, Cause] = {}
    for address in sorted(world.left_out):
        record = world.owned[address]
        for step in steps:
            if step.address != address and (words := _taken(step, address, record, world)):
                found.setdefault(step.address, (address, words))
    return found


def _taken(step: Step, address: str, record: Record, world: World) -> str | None:
    """What a step takes from a resource that is left out, in words."""
    if isinstance(record, LiveNetworkInterface):
        return _taken_from_interface(step, address, record, world)
    if isinstance(record, LiveElasticIp):
        return _taken_from_elastic_ip(step, address, record, world)
    return None


def _taken_from_interface(step: Step, address: str, live: LiveNetworkInterface, world: World) -> str | None:
    named = set(texts_in(step.params))
    held = live.attachment
    if step.call == "DetachNetworkInterface" and held is not None and held.id in named:
        return f"would detach {address}"
    if step.call == "TerminateInstances" and held is not None and held.instance_id in named:
        return f"would terminate {held.instance_id}, which {address} is attached to"
    if step.call == "RunInstances" and live.id in named:
        return f"would attach {address}"
    if step.call == "ReplaceRoute" and any(live.id in values for each in step.when for _, values in each.has):
        return f"would take a route from {address}"
    claims = step.call in ("AssignPrivateIpAddresses", "AssignIpv6Addresses", "CreateNetworkInterface")
    if claims and _subnet(step, world) == live.subnet_id:
        taken = named & {live.private_ip, *live.further}
        if taken:
            return f"would take {', '.join(sorted(taken))} from {address}"
    return None


def _subnet(step: Step, world: World) -> str | None:
    """The subnet in which a step assigns addresses."""
    return world.subnets.get(step.address.partition(".")[2])


def _taken_from_elastic_ip(step: Step, address: str, live: LiveElasticIp, world: World) -> str | None:
    interface, private_ip = live.network_interface_id, live.private_ip
    if interface is None:
        return None
    named = set(texts_in(step.params))
    if step.call == "AssociateAddress":
        displaced = any(live.id in values for expect in step.when for _, values in expect.has)
        return f"would displace {address}" if displaced else None
    if step.call == "DeleteNetworkInterface" and interface in named:
        return f"would delete {interface}, which {address} is associated with"
    if step.call == "UnassignPrivateIpAddresses" and {interface, str(private_ip)} <= named:
        return f"would unassign {private_ip}, which {address} is associated with"
    if step.call == "AssignPrivateIpAddresses" and private_ip in named and interface not in named:
        return f"would move {private_ip}, which {address} is associated with" if _holds(interface, world) else None
    return None


def _holds(interface: str, world: World) -> bool:
    """Is the interface one of the stack, whose addresses a plan can move?"""
    return any(record.id == interface for _, record in world.ours)
