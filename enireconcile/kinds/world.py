"""The World that kinds plan in: the spec and the live state, brought together. Pure.

``planning.resolve`` makes it. Kinds read it, and ask it about each other's resources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from msgspec import Struct

from enireconcile.live.matching import selects
from enireconcile.live.records import (
    LiveAttachment,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveRouteTable,
    LiveSubnet,
    LiveVpc,
    Record,
)
from enireconcile.model import Ref, Template, joined
from enireconcile.ownership import NEW_TAG
from enireconcile.spec import ADDRESS_KEYS, Document, Resource, Selector, references_in

Id = str | Ref
R = TypeVar("R", bound=Record)
_FIELDS = {"group_name": "name", "availability_zone": "zone"}
"""The fields of records whose names differ from those in references."""


def chosen(selector: Selector | None, selected: str, known: Mapping[str, LiveSubnet | LiveVpc]) -> str:
    """The id of the ``selected`` subnet or VPC, or the selector's text if that does not match it.

    That is so only where the row ignores the selector, and its resource keeps what it has.
    """
    record = known.get(selected)
    return selected if selector is None or record is None or selects(selector, record) else selector.text


class Placement(Struct, frozen=True):
    """Where an interface is to be attached: an instance by its name in the spec, or by its id if it has none.

    ``reason`` says why a failover moves it. ``patience`` is how many seconds to wait for it to leave its former
    instance before the detach is forced; None: without end.
    """

    instance: str
    device_index: int
    network_card_index: int
    delete_on_termination: bool
    reason: str | None = None
    patience: int | None = None


class Destination(Struct, frozen=True):
    """What an Elastic IP is to be associated with: an interface by its name in the spec, or by its id.

    ``private_ip`` is one of its addresses as the spec has it; None is the primary one. It is a Ref for a secondary
    address that EC2 is still to choose. ``chosen_by_ec2`` is that Ref, also where the interface has an address by
    now: an interface that replaces it will have another one.
    """

    interface: str
    private_ip: Id | None = None
    chosen_by_ec2: Ref | None = None


class RouteKey(Struct, frozen=True, order=True):
    """What identifies a route: the id of its route table, and a CIDR or the id of a prefix list."""

    route_table: str
    destination: str


class World(Struct, frozen=True, dict=True):
    """The spec and the live state, brought together: selectors are resolved to ids, and ids of the stack's
    resources to their names.

    ``owned`` maps addresses to live records of this stack, ``adopting`` names those among them that become its own
    by this plan; ``terminating`` maps the ids of its instances that are terminating, and no longer belong to a
    row, to their state. ``subnets``, ``vpcs`` and ``images`` map logical names of interfaces, groups and instances
    to what their selectors chose; ``subnets_by_id`` and ``vpcs_by_id`` have their records, and ``default_groups``
    maps subnet ids to the default group of their VPC. ``removed`` are resources of the stack that the spec no
    longer names and that this plan takes away; ``replaced`` are the former holders of names of the spec, whose
    successor this plan makes, or an interrupted run has made. ``externals`` are external instances by their names
    in the spec; ``placements`` says to which instance each interface belongs, failover included; ``stranded``
    warns of those that no healthy instance can hold. ``destinations`` says which interface each Elastic IP belongs
    to; ``foreign_interfaces`` are interfaces outside the spec, by id, with which Elastic IPs are or will be
    associated. ``routes`` maps the names of interfaces to the routes that lead there, sorted; ``route_tables`` are
    those that the spec names, by id. ``dependents`` are the groups and interfaces, of any owner, that still use
    groups of the stack which the spec no longer names. ``stopping`` are the addresses of running instances that
    the plan stops, even temporarily. ``left_out`` are addresses of existing resources that this plan leaves as
    they are because of a mistake: other rows can refer to them.
    """

    document: Document
    owned: Mapping[str, Record] = {}
    adopting: frozenset[str] = frozenset()
    terminating: Mapping[str, str] = {}
    subnets: Mapping[str, str] = {}
    vpcs: Mapping[str, str] = {}
    images: Mapping[str, str] = {}
    root_devices: Mapping[str, str] = {}
    """Device names of the images' root volumes, by names of instances whose rows have a ``root_volume``."""
    subnets_by_id: Mapping[str, LiveSubnet] = {}
    vpcs_by_id: Mapping[str, LiveVpc] = {}
    default_groups: Mapping[str, str] = {}
    removed: Mapping[str, Record] = {}
    replaced: Mapping[str, tuple[Record, ...]] = {}
    externals: Mapping[str, LiveInstance] = {}
    placements: Mapping[str, Placement] = {}
    stranded: Mapping[str, str] = {}
    destinations: Mapping[str, Destination] = {}
    foreign_interfaces: Mapping[str, LiveNetworkInterface] = {}
    routes: Mapping[str, tuple[RouteKey, ...]] = {}
    awaited_routes: Mapping[RouteKey, str] = {}
    """Routes that rows get which are left out now, and the names of these interfaces."""
    route_tables: Mapping[str, LiveRouteTable] = {}
    dependents: tuple[Record, ...] = ()
    stopping: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()

    def record(self, address: str, kind: type[R]) -> R | None:
        """The live record at an address, if there is one."""
        record = self.owned.get(address) or self._external(address)
        return record if isinstance(record, kind) else None

    def id_of(self, address: str) -> Id:
        """The live id of a resource of this stack, or the Ref of the one that this plan will make."""
        record = self.owned.get(address) or self._external(address)
        return record.id if record else Ref(address)

    def text(self, value: str | Template) -> str | Template:
        """A text of the spec with all that is known in the place of its references."""
        if isinstance(value, str):
            return value
        return joined(self._known(part) if isinstance(part, Ref) else part for part in value.parts)

    def _known(self, ref: Ref) -> str | Ref:
        """The attribute of a resource, as it is or as this plan will make it; the Ref if only EC2 will know."""
        record = self.owned.get(ref.address) or self._external(ref.address)
        if record is not None:
            return str(getattr(record, _FIELDS.get(ref.attribute, ref.attribute)))
        section, _, name = ref.address.partition(".")
        if section == "instances" and ref.attribute in ("private_ip", "availability_zone"):
            primary = self.document.primary_interface(name)
            return self._known(Ref(f"network_interfaces.{primary}", ref.attribute)) if primary else ref
        return self._planned(section, name).get(ref.attribute) or ref

    def _planned(self, section: str, name: str) -> dict[str, str | None]:
        """What this plan already knows of a resource that it makes."""
        if section == "security_groups":
            group = self.document.security_groups[name]
            return {"group_name": group.group_name or name, "vpc_id": self.vpcs.get(name)}
        if section == "instances":
            return {
                "instance_type": self.document.own_instances[name].instance_type,
                "image_id": self.images.get(name),
            }
        if section == "network_interfaces":
            subnet = self.subnets.get(name, "")
            record = self.subnets_by_id.get(subnet)
            return {
                "private_ip": self.document.network_interfaces[name].private_ip,
                "subnet_id": subnet,
                "vpc_id": record.vpc_id if record else None,
                "availability_zone": record.zone if record else None,
            }
        return {}

    def made_with(self, address: str, paths: Mapping[str, str]) -> dict[Ref, str]:
        """What the step that creates a resource yields: its id, and what user data or tags refer to."""
        refs = {attribute: Ref(address, attribute) for attribute in paths}
        return {refs[name]: path for name, path in paths.items() if name == "id" or refs[name] in self._referred}

    @cached_property
    def _referred(self) -> frozenset[Ref]:
        written = (ref for _, ref in references_in(self.document))
        guests = (
            Ref(f"network_interfaces.{name}", attribute)
            for name, row in self.document.network_interfaces.items()
            if self.document.guest_networks(row)
            for attribute in ("mac_address", *(("private_ip",) if self._has_ipv4(name) else ()))
        )
        return frozenset((*written, *guests))

    def _has_ipv4(self, interface: str) -> bool:
        """Does an interface of the spec get an IPv4 address? None does in a subnet for IPv6 alone."""
        subnet = self.subnets_by_id.get(self.subnets.get(interface, ""))
        return subnet is not None and bool(subnet.cidr)

    def has_addresses(self, interface: str) -> bool:
        """Has an interface of the spec addresses? One that is efa-only never has."""
        record = self.record(f"network_interfaces.{interface}", LiveNetworkInterface)
        has = record or self.document.network_interfaces[interface]
        return has.interface_type != "efa-only"

    def _external(self, address: str) -> LiveInstance | None:
        section, _, name = address.partition(".")
        return self.externals.get(name) if section == "instances" else None

    def private_ip_of(self, destination: Destination) -> Id | None:
        """The private address of a destination: a Ref while EC2 has not chosen it, None for the primary one."""
        exists = f"network_interfaces.{destination.interface}" in self.owned
        return destination.private_ip if exists else destination.chosen_by_ec2 or destination.private_ip

    def awaited_ips(self, interface: str) -> list[Ref]:
        """The secondary addresses of an interface that EC2 is to choose and Elastic IPs wait for."""
        there = self.destinations_on.get(interface, ())
        return [private_ip for each in there if isinstance(private_ip := self.private_ip_of(each), Ref)]

    @cached_property
    def destinations_on(self) -> Mapping[str, Sequence[Destination]]:
        """The destinations of Elastic IPs by interface, in the order of the names of the Elastic IPs."""
        found: dict[str, list[Destination]] = {}
        for _, each in sorted(self.destinations.items()):
            found.setdefault(each.interface, []).append(each)
        return found

    @cached_property
    def attached_to(self) -> Mapping[str, Sequence[str]]:
        """The names of the interfaces that the spec attaches to an instance, or would in a failover, sorted."""
        found: dict[str, list[str]] = {}
        for name, row in sorted(self.document.network_interfaces.items()):
            for instance in row.attachment.candidates if row.attachment else ():
                found.setdefault(instance, []).append(name)
        return found

    @cached_property
    def addresses(self) -> Mapping[str, str]:
        """The addresses of the live resources of the stack, by their ids."""
        return {record.id: address for address, record in self.owned.items()}

    def interface(self, named: str) -> LiveNetworkInterface | None:
        """The live interface of a name in the spec, or a foreign one by its id."""
        return self.record(f"network_interfaces.{named}", LiveNetworkInterface) or self.foreign_interfaces.get(
            named
        )

    def name_of(self, aws_id: str) -> str:
        """The logical name of a resource of the stack, or of an external instance; the id of any other."""
        return self._names.get(aws_id, aws_id)

    def leaves(self, address: str, attribute: str) -> bool:
        """Does this plan leave an attribute of a live resource as it is?

        It does if the resource is left out, if the row ignores the attribute and it was set once, or if the row
        of an adopted resource leaves it out. A relation is set again nevertheless if the plan removes its other
        end, or launches the instance of an interface that is attached to nothing.
        """
        if not self.leaves_some(address):
            return False
        if address in self.left_out:
            return True
        record, row = self.owned[address], self.rows[address]
        ignored = attribute in row.lifecycle.ignore and NEW_TAG not in record.tags
        return (ignored or not row.specifies(attribute)) and not self._set_again(record, attribute)

    def leaves_some(self, address: str) -> bool:
        """May this plan leave an attribute of a live resource as it is?"""
        return address in self._partly_left

    @cached_property
    def _partly_left(self) -> frozenset[str]:
        """The addresses of live resources of which this plan may leave an attribute as it is."""
        leaving = (address for address, row in self.rows.items() if row.adopt is not None or row.lifecycle.ignore)
        return frozenset({*leaving, *self.left_out} & self.owned.keys())

    def adds_to(self, address: str, attribute: str) -> bool:
        """Does this plan only add to a list of a live resource? At its creation, the list is exact."""
        record = self.owned.get(address)
        return (
            record is not None
            and attribute in self.rows[address].lifecycle.additive
            and NEW_TAG not in record.tags
        )

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
        """Is the interface detaching, or its instance terminating?"""
        return place.status == "detaching" or place.instance_id in self.terminating

    def standing(self, live: LiveNetworkInterface) -> LiveAttachment | None:
        """The attachment of an interface, unless it is ending."""
        return None if live.attachment is None or self.ends(live.attachment) else live.attachment

    @cached_property
    def rows(self) -> Mapping[str, Resource]:
        """The rows of the resources that the stack keeps, by address."""
        return self.document.resources

    @cached_property
    def leaving(self) -> tuple[tuple[str, Record], ...]:
        """All resources that this plan removes, with their addresses."""
        former = ((address, record) for address, records in self.replaced.items() for record in records)
        return (*self.removed.items(), *former)

    @cached_property
    def ours(self) -> tuple[tuple[str, Record], ...]:
        """All resources of the stack, removed ones included, with their addresses."""
        return (*self.owned.items(), *self.leaving)

    @cached_property
    def to_terminate(self) -> Mapping[str, str]:
        """Instances that this plan terminates: id to address."""
        return {record.id: address for address, record in self.leaving if isinstance(record, LiveInstance)}

    @cached_property
    def named(self) -> Mapping[tuple[str, str], str]:
        """Names of interfaces by what the spec lists for them: subnet id and address, or prefix."""
        return {
            (self.subnets[name], each): name
            for name, row in self.document.network_interfaces.items()
            for many, _ in ADDRESS_KEYS
            for each in getattr(row, many) or ()
            if not self.leaves(f"network_interfaces.{name}", many)
        }

    @cached_property
    def mixed_births(self) -> Mapping[str, frozenset[str]]:
        """By subnet id, the names of new interfaces that both name an address and let EC2 choose others, if there
        are several.
        """
        found: dict[str, set[str]] = {}
        for name, row in self.document.network_interfaces.items():
            if (
                row.private_ip
                and row.secondary_private_ip_count
                and f"network_interfaces.{name}" not in self.owned
            ):
                found.setdefault(self.subnets.get(name, ""), set()).add(name)
        return {subnet: frozenset(names) for subnet, names in found.items() if len(names) > 1}

    @cached_property
    def holders(self) -> Mapping[tuple[str, str], LiveNetworkInterface]:
        """The stack's interfaces that have an address or prefix beyond the primary one, by the same keys."""
        return {
            (live.subnet_id, each): live
            for _, live in self.ours
            if isinstance(live, LiveNetworkInterface)
            for each in live.further
        }

    @cached_property
    def routes_to(self) -> Mapping[str, frozenset[RouteKey]]:
        """The routes in the route tables that the spec names, by the id of what they lead to."""
        found: dict[str, set[RouteKey]] = {}
        for table in self.route_tables.values():
            for route in table.routes:
                found.setdefault(route.target, set()).add(RouteKey(table.id, route.destination))
        return {target: frozenset(keys) for target, keys in found.items()}

    @cached_property
    def routed(self) -> Mapping[RouteKey, str]:
        """The name of the interface whose row names a route."""
        return {key: name for name, keys in self.routes.items() for key in keys}

    def is_ending(self, instance_id: str) -> bool:
        """Is the instance terminating, or does the plan terminate it? Then its interfaces detach by themselves."""
        return instance_id in self.terminating or instance_id in self.to_terminate

    @cached_property
    def _names(self) -> dict[str, str]:
        names = {aws_id: address.partition(".")[2] for aws_id, address in self.addresses.items()}
        return names | {record.id: name for name, record in self.externals.items()}
