"""The checks between rows: slots and addresses that are used twice, what needs another row, and limits. Pure.

A document may lack what has mistakes of its own. ``lacking`` maps the paths of rows, and ``()`` for the file, to
the keys that could not be read, or not in whole: what only follows from their absence is not reported.
``positions`` are the indexes in the file of what is left of a list.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from enireconcile.model import Ref, refs_in
from enireconcile.ownership import (
    LAUNCH_TAG,
    NAME_TAG,
    NEW_TAG,
    STACK_TAG,
    USER_DATA_TAG,
)
from enireconcile.spec.launch import LAUNCH_KEYS, conflicts
from enireconcile.spec.places import Path, dotted, shown
from enireconcile.spec.rows import (
    ADDRESS_KEYS,
    EFA_TYPES,
    PEER_GROUP,
    SECTIONS,
    Association,
    Attachment,
    Document,
    EgressRule,
    IngressRule,
    Instance,
    NetworkInterface,
    Peer,
    Resource,
    SecurityGroup,
)
from enireconcile.spec.scalars import group_name_problem
from enireconcile.spec.shapes import ForeignSelector, resource_id
from enireconcile.spec.violations import Violation

Lacking: TypeAlias = Mapping[Path, AbstractSet[str]]
Positions: TypeAlias = Mapping[Path, Sequence[int]]
_NONE: Positions = MappingProxyType({})
T = TypeVar("T")

MAX_TAGS = 50
_OWN_TAGS = frozenset({STACK_TAG, NAME_TAG, "Name"})


def check(document: Document, lacking: Lacking, positions: Positions = _NONE) -> Iterator[Violation]:
    """All violations between the rows of one document, but for references to rows that it does not have."""
    yield from _adoptions(document)
    yield from _renames(document, lacking)
    yield from _rings(document)
    yield from _group_names(document, lacking)
    yield from repeated_rules(document, positions)
    yield from _launches(document)
    yield from _device_slots(document, lacking)
    yield from _primary_interfaces(document, lacking)
    yield from _zones(document)
    yield from _lists_and_numbers(document)
    yield from _private_ips(document, positions)
    yield from _interface_types(document)
    yield from _primary_ipv6(document)
    yield from _automatic_addresses(document, lacking)
    yield from _adapters(document)
    yield from _routes(document, positions)
    yield from _association_targets(document, lacking)
    yield from _secondary_targets(document, lacking)
    yield from _public_addresses(document, lacking)
    yield from _guest_networks(document, lacking)
    yield from _tag_counts(document)
    yield from _metadata_tags(document)
    yield from _accounts(document, lacking)


def _lacks(lacking: Lacking, path: Path, *keys: str) -> bool:
    """Could one of these keys of a row not be read?"""
    return not lacking.get(path, frozenset()).isdisjoint(keys)


def _is_known(instance: str, document: Document, lacking: Lacking) -> bool:
    """Does the file have this instance? A reference to another one is a mistake of its own."""
    return instance in document.instances or ("instances", instance) in lacking


# ---- adoption


def _adoptions(document: Document) -> Iterator[Violation]:
    """Two rows must not adopt the same resource."""
    taken: dict[str, str] = {}
    for address, adopted in document.adopted.items():
        first = taken.setdefault(adopted, address)
        if first != address:
            section, _, name = address.partition(".")
            yield Violation(
                (section, name, "adopt"), f"{adopted} is already adopted by {first}", "remove one of the two rows"
            )


# ---- renaming


def _renames(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """The resource of a former name gets one new name, and no row has the former one."""
    taken: dict[str, str] = {}
    for address, former in document.renamed.items():
        section, _, name = address.partition(".")
        old, path = former.partition(".")[2], (section, name, "renamed_from")
        first = taken.setdefault(former, address)
        if old == name:
            yield Violation(
                path, "is the name of the row itself", "write the name that it had before, or remove it"
            )
        elif old in getattr(document, section) or (section, old) in lacking:
            message = f"the spec has a row {former}, which keeps the resource of that name"
            yield Violation(path, message, "remove one of the two")
        elif first != address:
            yield Violation(path, f"{former} is already renamed to {first}", "remove one of the two")


# ---- user data


def references_in(document: Document) -> Iterator[tuple[Path, Ref]]:
    """The references to resources in tags and user data, each with its path."""
    yield from ((("tags", key), ref) for key, value in document.tags.items() for ref in refs_in(value))
    for address, row in document.resources.items():
        section, _, name = address.partition(".")
        tags: Mapping[str, Any] = getattr(row, "tags", {})
        yield from (((section, name, "tags", key), ref) for key, value in tags.items() for ref in refs_in(value))
        if isinstance(row, Instance):
            yield from (((section, name, "user_data"), ref) for ref in refs_in(row.user_data))


def _rings(document: Document) -> Iterator[Violation]:
    """The user data of an instance cannot refer to what is known only after its own launch."""
    needs: dict[str, set[str]] = {}
    for path, ref in references_in(document):
        if path[-1] == "user_data":
            needs.setdefault(f"instances.{path[1]}", set()).add(ref.address)
    for address in needs:
        reached, todo = set[str](), [*needs[address]]
        while todo:
            if (other := todo.pop()) not in reached:
                reached.add(other)
                todo += needs.get(other, ())
        if address in reached:
            name = address.partition(".")[2]
            message = "refers to the instance itself, directly or by the user data of another one"
            hint = "let the script read it from the instance metadata, or refer to the primary interface"
            yield Violation(("instances", name, "user_data"), message, hint)


def _guest_networks(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """The user data of a launch has the addresses of all interfaces: EC2 cannot be left to choose further ones."""
    for name, row in document.network_interfaces.items():
        if _lacks(lacking, ("network_interfaces", name), "interface_type"):
            continue
        for instance in document.guest_networks(row)[:1]:
            for many, count in ADDRESS_KEYS:
                if getattr(row, count):
                    message = (
                        f"the user data of instances.{instance}, which has guest_network, needs these addresses"
                    )
                    hint = f"list them as {many}, or leave out guest_network and run `enireconcile guest`"
                    yield Violation(("network_interfaces", name, count), message, hint)


def _numbered(path: Path, items: Iterable[T], positions: Positions) -> Iterator[tuple[int, T]]:
    """The items of a list with their indexes in the file."""
    kept = positions.get(path)
    return enumerate(items) if kept is None else zip(kept, items, strict=False)


def peers_of(name: str, group: SecurityGroup) -> Iterator[tuple[Path, Peer]]:
    """Every source and destination of a group's rules, each with its path."""
    for path, rule in _all_rules(name, group):
        key, peers = _ends(rule)
        for index, peer in enumerate(peers):
            yield (*path, key, index), peer


def _all_rules(
    name: str, group: SecurityGroup, positions: Positions = _NONE
) -> Iterator[tuple[Path, IngressRule | EgressRule]]:
    ingress: Path = ("security_groups", name, "ingress")
    for index, inbound in _numbered(ingress, group.ingress, positions):
        yield (*ingress, index), inbound
    egress: Path = ("security_groups", name, "egress")
    for index, outbound in _numbered(egress, group.egress or (), positions):
        yield (*egress, index), outbound


def _ends(rule: IngressRule | EgressRule) -> tuple[str, tuple[Peer, ...]]:
    return ("sources", rule.sources) if isinstance(rule, IngressRule) else ("destinations", rule.destinations)


# ---- security groups


def _group_names(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """Group names are unique within a VPC, and EC2 ignores their case."""
    taken: dict[tuple[object, ...], str] = {}
    for name, group in document.security_groups.items():
        path: Path = ("security_groups", name)
        if _lacks(lacking, path, "group_name", "vpc"):
            continue
        effective = group.group_name or name
        if group.group_name is None and (problem := group_name_problem(name)):
            yield Violation(path, problem, "choose another name, or set `group_name`", on_key=True)
        first = taken.setdefault((group.vpc.key, effective.lower()), name)
        if first != name:
            message = f"the group name {shown(effective)} is already used by security_groups.{first} in this VPC"
            hint = "choose another name; EC2 ignores case in group names"
            yield Violation(_name_path(path, group), message, hint, on_key=group.group_name is None)


def _name_path(path: Path, group: SecurityGroup) -> Path:
    return path if group.group_name is None else (*path, "group_name")


def repeated_rules(document: Document, positions: Positions = _NONE) -> Iterator[Violation]:
    """An EC2 rule has one protocol, one port range and one source or destination; EC2 refuses duplicates."""
    for name, group in document.security_groups.items():
        seen: dict[tuple[object, ...], Path] = {}
        for path, rule in _all_rules(name, group, positions):
            key, peers = _ends(rule)
            for index, peer in enumerate(peers):
                here: Path = (*path, key, index)
                same = (key, rule.protocol, _port_range(rule), _identity(peer, name))
                if same in seen:
                    yield Violation(here, f"the same rule as {dotted(seen[same])}", "remove one of the two")
                else:
                    seen[same] = here


def _identity(peer: Peer, group: str) -> object:
    """What a source or destination of a group is, in whichever spelling. A group id is unique across accounts."""
    if isinstance(peer, ForeignSelector):
        return peer.key
    if PEER_GROUP.fullmatch(peer):
        return peer.partition("/")[2]
    return "self" if peer == group else peer


def _port_range(rule: IngressRule | EgressRule) -> tuple[int, int]:
    if rule.ports is not None and rule.protocol in ("icmp", "icmpv6"):
        return rule.ports.first, -1 if rule.ports.code is None else rule.ports.code
    if rule.ports is not None:
        return rule.ports.first, rule.ports.last
    return (0, 65535) if rule.protocol in ("tcp", "udp") else (-1, -1)


# ---- interfaces and instances


def _attached(document: Document) -> Iterator[tuple[str, NetworkInterface, Attachment]]:
    for name, interface in document.network_interfaces.items():
        if interface.attachment:
            yield name, interface, interface.attachment


def _device_slots(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """An instance has each device index of a card once; interfaces that may fail over to it count, too."""
    used: dict[tuple[str, int], dict[int, str]] = {}
    clashes: list[tuple[str, str, Attachment]] = []
    for name, _, at in _attached(document):
        for instance in at.candidates:
            if not _is_known(instance, document, lacking):
                continue
            first = used.setdefault((instance, at.network_card_index), {}).setdefault(at.device_index, name)
            if first != name:
                clashes.append((name, instance, at))
    for name, instance, at in clashes:
        holders = used[instance, at.network_card_index]
        least = 1 if _has_primary(instance, at, document) else 0
        free = next(index for index in itertools.count(least) if index not in holders)
        card = f" on network card {at.network_card_index}" if at.network_card_index else ""
        holder = f"network_interfaces.{holders[at.device_index]}"
        message = f"device_index {at.device_index}{card} of {shown(instance)} is already used by {holder}"
        path: Path = ("network_interfaces", name, "attachment", "device_index")
        yield Violation(path, message, f"device_index {free} is free")


def _has_primary(instance: str, at: Attachment, document: Document) -> bool:
    """Is index 0 of the card no place for such an attachment, because the instance has its primary interface?"""
    return at.network_card_index == 0 and (at.instances is not None or instance in document.external_instances)


def _primary_interfaces(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """An instance of the stack needs an interface at index 0; an external one already has it.

    A row in ``network_interfaces`` whose attachment could not be read could be the missing one, so nothing is
    reported; nor if one at index 0 names an instance that the spec does not have. An adopted instance already has
    an interface at index 0, which need not be in the spec.
    """
    primaries = [
        (name, at)
        for name, _, at in _attached(document)
        if (at.network_card_index, at.device_index) == (0, 0) and at.instance is not None
    ]
    for name, at in primaries:
        if at.instance in document.external_instances:
            path = ("network_interfaces", name, "attachment", "device_index")
            yield Violation(
                path,
                f"the external instance {shown(at.instance)} already has its primary interface at device_index 0",
                "use device_index 1 or higher",
            )
    if _lacks(lacking, (), "network_interfaces") or any(
        path[:1] == ("network_interfaces",) and "attachment" in keys for path, keys in lacking.items()
    ):
        return
    with_primary = {at.instance for _, at in primaries}
    if not all(_is_known(str(name), document, lacking) for name in with_primary):
        return
    for name, row in document.own_instances.items():
        if name not in with_primary and row.adopt is None and not _lacks(lacking, ("instances", name), "adopt"):
            hint = f"add `attachment: {{instance: {name}, device_index: 0}}` to one of the network_interfaces"
            yield Violation(("instances", name), "has no network interface at device_index 0", hint)


def _zones(document: Document) -> Iterator[Violation]:
    """An instance and its interfaces are in one zone, and every zone is in the Region of the file."""
    first: dict[str, tuple[str, str]] = {}
    for name, interface in document.network_interfaces.items():
        zone = interface.subnet.default_for_az if interface.subnet else None
        if zone is None:
            continue
        path: Path = ("network_interfaces", name, "subnet", "default_for_az")
        if document.region and zone[:-1] != document.region:
            yield Violation(
                path, f"{shown(zone)} is not in the Region {shown(document.region)}", "correct one of the two"
            )
        for instance in interface.attachment.candidates if interface.attachment else ():
            other, other_zone = first.setdefault(instance, (name, zone))
            if other_zone != zone:
                message = f"{shown(instance)} also has network_interfaces.{other}, which is in {shown(other_zone)}"
                yield Violation(
                    path, message, "an instance and all its interfaces must be in one Availability Zone"
                )


def _lists_and_numbers(document: Document) -> Iterator[Violation]:
    """Secondary addresses and prefixes are either listed or counted."""
    for name, interface in document.network_interfaces.items():
        for many, count in ADDRESS_KEYS:
            if getattr(interface, many) is not None and getattr(interface, count) is not None:
                path: Path = ("network_interfaces", name, count)
                yield Violation(path, f"cannot be combined with {many}", "keep one of the two")


Block: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def _private_ips(document: Document, positions: Positions) -> Iterator[Violation]:
    """Every address or prefix is inside its subnet, appears once, and is not part of another prefix."""
    taken: dict[tuple[object, ...], str] = {}
    prefixes: dict[tuple[object, ...], list[tuple[Block, str]]] = {}
    blocks = [
        (path, block, interface.subnet)
        for name, interface in document.network_interfaces.items()
        if interface.subnet is not None
        for path, block in private_addresses(name, interface, positions)
    ]
    for path, block, subnet in blocks:
        if subnet.cidr is not None and block.version == 4:
            for message, hint in misplaced(block, ipaddress.ip_network(subnet.cidr), "the subnet"):
                yield Violation(path, message, hint)
        if not is_address(block):
            prefixes.setdefault((subnet.key, block.version), []).append((block, dotted(path)))
        first = taken.setdefault((subnet.key, block), dotted(path))
        if first != dotted(path):
            hint = "choose another, or remove it to let EC2 choose"
            yield Violation(path, f"{block_text(block)} is already used by {first} in this subnet", hint)
    for path, block, subnet in blocks:
        for prefix, where in prefixes.get((subnet.key, block.version), ()):
            if is_address(block) and block[0] in prefix:
                message = f"{block_text(block)} is inside the prefix {prefix} of {where}"
                yield Violation(path, message, "choose an address outside the prefix")


def private_addresses(
    name: str, interface: NetworkInterface, positions: Positions = _NONE
) -> Iterator[tuple[Path, Block]]:
    """Every private address and prefix in the row, with its path; an address is a network of one address."""
    base: Path = ("network_interfaces", name)
    if interface.private_ip is not None:
        yield (*base, "private_ip"), ipaddress.ip_network(interface.private_ip)
    for many, _ in ADDRESS_KEYS:
        for index, text in _numbered((*base, many), getattr(interface, many) or (), positions):
            yield (*base, many, index), ipaddress.ip_network(text)


def is_address(block: Block) -> bool:
    """Whether the block is a single address."""
    return block.prefixlen == block.max_prefixlen


def is_inside(block: Block, other: Block) -> bool:
    """Whether all addresses of the block are in the other one."""
    return block.version == other.version and int(other[0]) <= int(block[0]) <= int(block[-1]) <= int(other[-1])


def block_text(block: Block) -> str:
    """The text of an address without a prefix length, of a prefix with it."""
    return str(block.network_address if is_address(block) else block)


def misplaced(block: Block, subnet: Block, called: str) -> Iterator[tuple[str, str]]:
    """Message and hint if an address or a prefix does not fit into the subnet; ``called`` names the subnet."""
    first, last = subnet[4], subnet[-2]
    one = f"choose from {first} to {last}" if is_address(block) else f"choose one inside {subnet}"
    if not is_inside(block, subnet):
        yield f"{block_text(block)} is not in {called} ({subnet})", one
    elif int(block[0]) < int(first) or int(block[-1]) > int(last):
        what = "is" if is_address(block) else "contains"
        yield f"{block_text(block)} {what} one of the five addresses that EC2 reserves in {subnet}", one


# ---- types of interfaces


def _interface_types(document: Document) -> Iterator[Violation]:
    """The restrictions of efa, efa-only and branch interfaces."""
    for name, interface in document.network_interfaces.items():
        base: Path = ("network_interfaces", name)
        at = interface.attachment
        if interface.interface_type == "efa-only":
            for key in ("private_ip", *(key for pair in ADDRESS_KEYS for key in pair), "primary_ipv6"):
                if getattr(interface, key):
                    hint = "remove it, or use interface_type efa"
                    yield Violation((*base, key), "an efa-only interface has no IP addresses", hint)
            if at is not None and (at.network_card_index, at.device_index) == (0, 0):
                message = "an efa-only interface cannot be the primary interface of an instance"
                hint = "use device_index 1 or higher, or interface_type efa"
                yield Violation((*base, "attachment", "device_index"), message, hint)
        if interface.interface_type == "branch" and at is not None:
            message = "a branch interface is associated with a trunk, not attached to an instance"
            yield Violation(
                (*base, "attachment"), message, "remove it, or use another interface_type", on_key=True
            )
        if interface.interface_type in EFA_TYPES and at is not None and at.instances is not None:
            message = "EC2 moves an Elastic Fabric Adapter only between stopped instances, so it cannot fail over"
            yield Violation(
                (*base, "attachment", "instances"), message, "use `instance` with one name", on_key=True
            )


def _primary_ipv6(document: Document) -> Iterator[Violation]:
    """One of the interface's IPv6 addresses becomes the primary one, so it must have one."""
    for name, interface in document.network_interfaces.items():
        if interface.primary_ipv6 and (interface.ipv6_addresses == () or interface.ipv6_address_count == 0):
            hint = "write at least one address in ipv6_addresses, or an ipv6_address_count from 1"
            yield Violation(("network_interfaces", name, "primary_ipv6"), "needs an IPv6 address", hint)


def _automatic_addresses(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """EC2 assigns an automatic public address to a primary interface only."""
    for name, interface in document.network_interfaces.items():
        at = interface.attachment
        if interface.associate_public_ip_address is None or not interface.specifies("attachment"):
            continue
        if _lacks(lacking, ("network_interfaces", name), "attachment", "adopt"):
            continue
        if at is None or (at.network_card_index, at.device_index) != (0, 0):
            message = "only the primary interface of an instance can have an automatic public address"
            hint = "attach the interface at device_index 0 of network card 0, or associate an Elastic IP with it"
            yield Violation(("network_interfaces", name, "associate_public_ip_address"), message, hint)


def _adapters(document: Document) -> Iterator[Violation]:
    """A network card has at most one Elastic Fabric Adapter."""
    taken: dict[tuple[str, int], str] = {}
    for name, interface, at in _attached(document):
        if interface.interface_type not in EFA_TYPES or at.instance is None:
            continue
        first = taken.setdefault((at.instance, at.network_card_index), name)
        if first != name:
            message = (
                f"network card {at.network_card_index} of {shown(at.instance)} already has "
                f"the Elastic Fabric Adapter network_interfaces.{first}"
            )
            path: Path = ("network_interfaces", name, "attachment")
            yield Violation(path, message, "a network card supports one; choose another network_card_index")


# ---- routes


def _routes(document: Document, positions: Positions) -> Iterator[Violation]:
    """A destination has one route in a route table, and leads to one interface."""
    taken: dict[tuple[object, ...], Path] = {}
    for name, interface in document.network_interfaces.items():
        routes: Path = ("network_interfaces", name, "routes")
        for index, route in _numbered(routes, interface.routes, positions):
            path = (*routes, index)
            first = taken.setdefault(route.key, path)
            if first != path:
                yield Violation(path, f"the same route as {dotted(first)}", "remove one of the two")


# ---- Elastic IPs


def _association_targets(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """A private address has at most one Elastic IP, and the interface must have that address in the spec."""
    taken: dict[tuple[str, str, str | None], str] = {}
    for name, address in document.elastic_ips.items():
        target = address.association
        holder = _holder(target, document) if target else None
        if target is None or holder is None:
            continue
        base: Path = ("elastic_ips", name, "association")
        interface = document.network_interfaces.get(holder[1]) if holder[0] == "network_interfaces" else None
        if interface and interface.interface_type == "efa-only":
            message = f"{shown(holder[1])} is efa-only and has no IP address"
            key = "instance" if target.instance else "network_interface"
            yield Violation((*base, key), message, "choose an interface of another interface_type")
            continue
        if target.secondary:
            continue
        private_ip = target.private_ip
        if interface and private_ip == interface.private_ip:
            private_ip = None
        known = (
            interface is not None
            and not _lacks(lacking, holder, "private_ip", "secondary_private_ip_count", "lifecycle", "adopt")
            and not _lacks(lacking, holder, "secondary_private_ips")
            and interface.specifies("secondary_private_ips")
            and interface.specifies("private_ip")
            # EC2 chooses as many addresses, or other tools add some, which only planning knows.
            and not interface.secondary_private_ip_count
            and "secondary_private_ips" not in interface.lifecycle.additive
        )
        if interface and known and private_ip not in (None, *(interface.secondary_private_ips or ())):
            whose = ".".join(holder)
            hint = f"add it to the secondary_private_ips of {whose}"
            yield Violation((*base, "private_ip"), f"{private_ip} is not an address of {whose}", hint)
        first = taken.setdefault((*holder, private_ip), name)
        if first != name:
            which = private_ip or "the primary address"
            message = f"{which} of {shown(holder[1])} is already associated with elastic_ips.{first}"
            key = "private_ip" if private_ip else "instance" if target.instance else "network_interface"
            yield Violation((*base, key), message, "a private address has at most one Elastic IP; choose another")


def _secondary_targets(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """``secondary`` takes an address that EC2 chose: there must be one for each such row."""
    rows: dict[str, int] = {}
    for name, address in document.elastic_ips.items():
        target = address.association
        holder = _holder(target, document) if target is not None and target.secondary else None
        if holder is None:
            continue
        path: Path = ("elastic_ips", name, "association", "secondary")
        interface = document.network_interfaces.get(holder[1]) if holder[0] == "network_interfaces" else None
        if _lacks(lacking, holder, "secondary_private_ip_count"):
            continue
        count = interface.secondary_private_ip_count if interface else None
        rows[holder[1]] = rows.get(holder[1], 0) + 1
        if count is None:
            message = "is only for an interface of this spec with secondary_private_ip_count"
            yield Violation(path, message, f"add secondary_private_ip_count to {holder[1]}, or write private_ip")
        elif rows[holder[1]] > count:
            message = f"network_interfaces.{holder[1]} has only {count} secondary addresses"
            yield Violation(path, message, "increase its secondary_private_ip_count: one for each of these rows")


def _holder(target: Association, document: Document) -> tuple[str, str] | None:
    """The owner of the private address: section and name, or an empty section and an interface id."""
    named = target.network_interface or document.primary_interface(target.instance or "")
    if named is None:
        return ("instances", target.instance) if target.instance in document.external_instances else None
    if resource_id("eni", named):
        return "", named
    return ("network_interfaces", named) if named in document.network_interfaces else None


def _public_addresses(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """Every address is allocated once, and in a border group of the Region of the file."""
    taken: dict[str, str] = {}
    for name, row in document.elastic_ips.items():
        first = taken.setdefault(row.address, name) if row.address else name
        if first != name:
            message = f"{row.address} is already the address of elastic_ips.{first}"
            yield Violation(
                ("elastic_ips", name, "address"), message, "choose another, or remove it to let EC2 choose"
            )
        group = row.network_border_group
        if group and document.region and not f"{group}-".startswith(f"{document.region}-"):
            message = f"{shown(group)} is not in the Region {shown(document.region)}"
            yield Violation(("elastic_ips", name, "network_border_group"), message, "correct one of the two")
        adopted = row.adopt is not None or _lacks(lacking, ("elastic_ips", name), "adopt")
        if not adopted and row.address is not None and row.public_ipv4_pool is not None:
            message = "cannot be combined with address"
            hint = "keep `address` to allocate that address, or `public_ipv4_pool` for any address of the pool"
            yield Violation(("elastic_ips", name, "public_ipv4_pool"), message, hint)


# ---- instances


def _launches(document: Document) -> Iterator[Violation]:
    """Keys of an instance that EC2 does not take together."""
    for name, row in document.own_instances.items():
        for path, message, hint in conflicts(row):
            yield Violation(("instances", name, *path), message, hint)


# ---- all resources


def _tag_counts(document: Document) -> Iterator[Violation]:
    """EC2 allows 50 tags on a resource, including those that enireconcile sets."""
    common = set(document.tags)
    if too_many := _too_many_tags(common):
        yield Violation(("tags",), *too_many)
        return
    for section in SECTIONS:
        for name, row in getattr(document, section).items():
            more = _conditional_tags(row)
            if too_many := _too_many_tags(common | set(getattr(row, "tags", ())) | more, _OWN_TAGS | more):
                yield Violation((section, name, "tags"), *too_many)
    for name, instance in document.own_instances.items():
        keys = common | set(instance.tags) | set(instance.volume_tags or ())
        if instance.volume_tags is not None and len(keys) > MAX_TAGS:
            message = f"{len(keys)} tags, including those of the file and of the instance; EC2 allows {MAX_TAGS}"
            yield Violation(("instances", name, "volume_tags"), message, f"remove {len(keys) - MAX_TAGS}")


def _metadata_tags(document: Document) -> Iterator[Violation]:
    """The instance metadata shows tags as paths, so EC2 refuses some keys while it shows tags."""
    reported: set[str] = set()
    for name, row in document.own_instances.items():
        if row.metadata_options.instance_metadata_tags != "enabled":
            continue
        shared = set(unreadable_in_metadata(document.tags)) - set(row.tags)
        places: list[tuple[Path, str]] = [(("tags", key), key) for key in sorted(shared - reported)]
        places += [(("instances", name, "tags", key), key) for key in unreadable_in_metadata(row.tags)]
        reported |= shared
        for path, key in places:
            message = f"the tag key {shown(key)} is not allowed, because {name} has instance_metadata_tags enabled"
            hint = "use letters, digits and + - = . , _ : @ only, or disable instance_metadata_tags"
            yield Violation(path, message, hint, on_key=True)


def unreadable_in_metadata(keys: Iterable[str]) -> list[str]:
    """Of tag keys those that the instance metadata cannot show, sorted."""
    reserved = (".", "..", "_index")
    return sorted(key for key in keys if key in reserved or not re.fullmatch("[0-9a-zA-Z+=.,_:@-]+", key))


def _conditional_tags(row: object) -> set[str]:
    """The tags of enireconcile that only this row's resource gets."""
    tags = set()
    if isinstance(row, Instance):
        if row.user_data is not None:
            tags.add(USER_DATA_TAG)
        if any(getattr(row, key) is not None for key in LAUNCH_KEYS):
            tags.add(LAUNCH_TAG)
    return tags | ({NEW_TAG} if isinstance(row, Resource) and row.lifecycle.sets_once else set())


def _too_many_tags(keys: Iterable[str], own: frozenset[str] = _OWN_TAGS) -> tuple[str, str] | None:
    total = len(own.union(keys))
    if total <= MAX_TAGS:
        return None
    return (
        f"{total} tags, including those of the file and of enireconcile; EC2 allows {MAX_TAGS}",
        f"remove {total - MAX_TAGS}; enireconcile always sets {', '.join(sorted(own))}",
    )


def _accounts(document: Document, lacking: Lacking) -> Iterator[Violation]:
    """The role must be in the account of ``account_id``, and an external id needs a role."""
    if document.external_id and not (document.assume_role_arn or _lacks(lacking, (), "assume_role_arn")):
        yield Violation(("external_id",), "is of no use without assume_role_arn", "add the role, or remove it")
    account = document.role_account
    if document.account_id and account and account != document.account_id:
        message = f"this role is in account {account}, but account_id is {document.account_id}"
        yield Violation(("assume_role_arn",), message, "correct one of the two")
