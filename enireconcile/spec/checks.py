"""What no row can see alone: references, places that two things want, and the sums of limits. Pure.

``broken`` holds, by section, the names of resources that the file has but that could not be read. They count
as known, so that a mistake inside a resource is not reported again wherever the resource is named.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from enireconcile.ownership import (
    NAME_TAG,
    NEW_TAG,
    STACK_TAG,
    USER_DATA_TAG,
)
from enireconcile.spec.places import Path, dotted, shown
from enireconcile.spec.rows import (
    EFA_TYPES,
    FURTHER,
    SECTIONS,
    Association,
    Attachment,
    Document,
    EgressRule,
    IngressRule,
    NetworkInterface,
    Resource,
    SecurityGroup,
)
from enireconcile.spec.scalars import group_name_problem
from enireconcile.spec.shapes import resource_id
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.wording import Finding

Broken: TypeAlias = Mapping[str, AbstractSet[str]]

MAX_TAGS = 50
_OUR_TAGS = frozenset({STACK_TAG, NAME_TAG, "Name"})


def check(document: Document, broken: Broken) -> Iterator[Finding]:
    """All that is wrong between the rows of one document."""
    yield from _adoptions(document)
    yield from _references(document, broken)
    yield from _group_names(document)
    yield from _rules(document)
    yield from _device_slots(document)
    yield from _primary_interfaces(document, broken)
    yield from _zones(document)
    yield from _lists_and_numbers(document)
    yield from _private_ips(document)
    yield from _interface_types(document)
    yield from _adapters(document)
    yield from _association_targets(document)
    yield from _public_addresses(document)
    yield from _tag_counts(document)
    yield from _accounts(document)


# ---- adoption


def _adoptions(document: Document) -> Iterator[Finding]:
    """A resource has one name."""
    taken: dict[str, str] = {}
    for address, adopted in document.adopted.items():
        first = taken.setdefault(adopted, address)
        if first != address:
            section, _, name = address.partition(".")
            yield Finding((section, name, "adopt"), f"{first} adopts {adopted} already", "remove one of the two")


# ---- references


def _references(document: Document, broken: Broken) -> Iterator[Finding]:
    known = {section: {*getattr(document, section), *broken.get(section, ())} for section in SECTIONS}
    for path, section, name in _named(document):
        if name in known[section]:
            continue
        what = section[:-1].replace("_", " ")
        yield Finding(
            path, f"there is no {what} {shown(name)} in this spec", _reference_hint(name, known[section])
        )


def _reference_hint(name: str, known: AbstractSet[str]) -> Hint:
    if resource_id("(i|eni)", name):
        return "name a resource of this spec; ids are not taken here"
    return Nearest(name, known)


def _named(document: Document) -> Iterator[tuple[Path, str, str]]:
    """Every reference: where it stands, the section that it points into, the name."""
    for name, group in document.security_groups.items():
        for path, peer in _peers(name, group):
            if not _is_literal(peer):
                yield path, "security_groups", peer
    for name, interface in document.network_interfaces.items():
        base: Path = ("network_interfaces", name)
        for index, used in enumerate(interface.security_groups or ()):
            if not resource_id("sg", used):
                yield (*base, "security_groups", index), "security_groups", used
        if interface.attachment:
            for path, holder in _holders(interface.attachment):
                yield (*base, "attachment", *path), "instances", holder
    for name, address in document.elastic_ips.items():
        target, path = address.association, ("elastic_ips", name, "association")
        if target and target.instance is not None:
            yield (*path, "instance"), "instances", target.instance
        elif target and target.network_interface and not resource_id("eni", target.network_interface):
            yield (*path, "network_interface"), "network_interfaces", target.network_interface


def _holders(attachment: Attachment) -> Iterator[tuple[Path, str]]:
    """The instances that an attachment names, with their places in it."""
    if attachment.instance is not None:
        yield ("instance",), attachment.instance
    for index, name in enumerate(attachment.instances or ()):
        yield ("instances", index), name


def _is_literal(peer: str) -> bool:
    """A rule's peer that is not the name of a group: self, a CIDR or an id."""
    return peer == "self" or "/" in peer or resource_id("(sg|pl)", peer)


def _peers(name: str, group: SecurityGroup) -> Iterator[tuple[Path, str]]:
    for path, rule in _all_rules(name, group):
        key, peers = _ends(rule)
        for index, peer in enumerate(peers):
            yield (*path, key, index), peer


def _all_rules(name: str, group: SecurityGroup) -> Iterator[tuple[Path, IngressRule | EgressRule]]:
    for index, ingress in enumerate(group.ingress):
        yield ("security_groups", name, "ingress", index), ingress
    for index, egress in enumerate(group.egress or ()):
        yield ("security_groups", name, "egress", index), egress


def _ends(rule: IngressRule | EgressRule) -> tuple[str, tuple[str, ...]]:
    return ("sources", rule.sources) if isinstance(rule, IngressRule) else ("destinations", rule.destinations)


# ---- security groups


def _group_names(document: Document) -> Iterator[Finding]:
    """EC2 compares names within a VPC without regard to case."""
    taken: dict[tuple[object, ...], str] = {}
    for name, group in document.security_groups.items():
        path: Path = ("security_groups", name)
        effective = group.group_name or name
        if group.group_name is None and (problem := group_name_problem(name)):
            yield Finding(path, problem, "give it another name, or a `group_name`", on_key=True)
        first = taken.setdefault((group.vpc.key, effective.lower()), name)
        if first != name:
            message = f"EC2 would take {shown(effective)} for the name of security_groups.{first} too"
            hint = "the names in a VPC must differ by more than case"
            yield Finding(_name_path(path, group), message, hint, on_key=group.group_name is None)


def _name_path(path: Path, group: SecurityGroup) -> Path:
    return path if group.group_name is None else (*path, "group_name")


def _rules(document: Document) -> Iterator[Finding]:
    """One rule of EC2 is one protocol, one range and one peer; a second one like it is refused."""
    for name, group in document.security_groups.items():
        seen: dict[tuple[object, ...], Path] = {}
        for path, rule in _all_rules(name, group):
            key, peers = _ends(rule)
            for index, peer in enumerate(peers):
                place: Path = (*path, key, index)
                same = (key, rule.protocol, _port_range(rule), "self" if peer == name else peer)
                if same in seen:
                    yield Finding(place, f"the same rule as {dotted(seen[same])}", "remove one of the two")
                else:
                    seen[same] = place


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


def _device_slots(document: Document) -> Iterator[Finding]:
    """A card of an instance has each index once, also for interfaces that may come by failover."""
    used: dict[tuple[str, int], dict[int, str]] = {}
    clashes: list[tuple[str, str, Attachment]] = []
    for name, _, at in _attached(document):
        for instance in at.candidates:
            first = used.setdefault((instance, at.network_card_index), {}).setdefault(at.device_index, name)
            if first != name:
                clashes.append((name, instance, at))
    for name, instance, at in clashes:
        holders = used[instance, at.network_card_index]
        free = next(index for index in range(len(holders) + 1) if index not in holders)
        card = f" on card {at.network_card_index}" if at.network_card_index else ""
        holder = f"network_interfaces.{holders[at.device_index]}"
        message = f"{holder} has index {at.device_index}{card} of {shown(instance)}"
        yield Finding(("network_interfaces", name, "attachment", "device_index"), message, f"{free} is free")


def _primary_interfaces(document: Document, broken: Broken) -> Iterator[Finding]:
    """An instance is launched with one interface at index 0; a broken interface may be the one.

    What is adopted has been launched, with an interface that need not be in the spec.
    """
    primaries = [
        (name, at)
        for name, _, at in _attached(document)
        if (at.network_card_index, at.device_index) == (0, 0) and at.instance is not None
    ]
    for name, at in primaries:
        if at.instance in document.external_instances:
            path = ("network_interfaces", name, "attachment", "device_index")
            yield Finding(
                path, f"{shown(at.instance)} booted with an interface of its own", "use index 1 or higher"
            )
    if broken.get("network_interfaces"):
        return
    booted = {at.instance for _, at in primaries}
    for name, row in document.own_instances.items():
        if name not in booted and row.adopt is None:
            hint = f"give one an `attachment: {{instance: {name}, device_index: 0}}`"
            yield Finding(("instances", name), "has no network interface at device_index 0", hint)


def _zones(document: Document) -> Iterator[Finding]:
    """An instance and its interfaces share a zone; a zone lies in its region."""
    first: dict[str, tuple[str, str]] = {}
    for name, interface in document.network_interfaces.items():
        zone = interface.subnet.default_for_az if interface.subnet else None
        if zone is None:
            continue
        path: Path = ("network_interfaces", name, "subnet", "default_for_az")
        if document.region and zone[:-1] != document.region:
            yield Finding(
                path, f"{shown(zone)} is not in region {shown(document.region)}", "correct one of the two"
            )
        for instance in interface.attachment.candidates if interface.attachment else ():
            other, other_zone = first.setdefault(instance, (name, zone))
            if other_zone != zone:
                message = f"{shown(instance)} also has network_interfaces.{other}, in {shown(other_zone)}"
                yield Finding(path, message, "an instance and all its interfaces are in one zone")


def _lists_and_numbers(document: Document) -> Iterator[Finding]:
    """Further addresses and prefixes are listed or counted, not both."""
    for name, interface in document.network_interfaces.items():
        for many, count in FURTHER:
            if getattr(interface, many) is not None and getattr(interface, count) is not None:
                path: Path = ("network_interfaces", name, count)
                yield Finding(path, f"cannot go with {many}", "keep one of the two")


Block: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def _private_ips(document: Document) -> Iterator[Finding]:
    """An address or a prefix is inside its subnet, and there once, on its own and as part of a prefix."""
    taken: dict[tuple[object, ...], str] = {}
    prefixes: dict[tuple[object, ...], list[tuple[Block, str]]] = {}
    placed = [
        (path, block, interface.subnet)
        for name, interface in document.network_interfaces.items()
        if interface.subnet is not None
        for path, block in private_addresses(name, interface)
    ]
    for path, block, subnet in placed:
        if subnet.cidr is not None and block.version == 4:
            for message, hint in misplaced(block, ipaddress.ip_network(subnet.cidr), "the subnet"):
                yield Finding(path, message, hint)
        if not is_address(block):
            prefixes.setdefault((subnet.key, block.version), []).append((block, dotted(path)))
        first = taken.setdefault((subnet.key, block), dotted(path))
        if first != dotted(path):
            hint = "choose another, or leave it to EC2"
            yield Finding(path, f"{first} is {told_block(block)} in this subnet already", hint)
    for path, block, subnet in placed:
        for prefix, where in prefixes.get((subnet.key, block.version), ()):
            if is_address(block) and block[0] in prefix:
                message = f"{told_block(block)} is in the prefix {prefix} of {where}"
                yield Finding(path, message, "choose an address outside of it")


def private_addresses(name: str, interface: NetworkInterface) -> Iterator[tuple[Path, Block]]:
    """Every private address and prefix that an interface names, with its place; an address is a block of one."""
    base: Path = ("network_interfaces", name)
    if interface.private_ip is not None:
        yield (*base, "private_ip"), ipaddress.ip_network(interface.private_ip)
    for many, _ in FURTHER:
        for index, text in enumerate(getattr(interface, many) or ()):
            yield (*base, many, index), ipaddress.ip_network(text)


def is_address(block: Block) -> bool:
    """Whether the block is one address, not a prefix."""
    return block.prefixlen == block.max_prefixlen


def told_block(block: Block) -> str:
    """An address without its length, a prefix with it."""
    return str(block.network_address if is_address(block) else block)


def misplaced(block: Block, subnet: Block, called: str) -> Iterator[tuple[str, str]]:
    """What is wrong with an address or a prefix in a subnet of its family, and what would be right."""
    first, last = subnet[4], subnet[-2]
    one = f"choose from {first} to {last}" if is_address(block) else f"choose one inside of {subnet}"
    if not int(subnet[0]) <= int(block[0]) <= int(block[-1]) <= int(subnet[-1]):
        yield f"{told_block(block)} is not in {called} ({subnet})", one
    elif int(block[0]) < int(first) or int(block[-1]) > int(last):
        what = "is" if is_address(block) else "holds"
        yield f"{told_block(block)} {what} one of the five addresses that EC2 keeps in {subnet}", one


# ---- types of interfaces


def _interface_types(document: Document) -> Iterator[Finding]:
    """What the special types cannot have."""
    for name, interface in document.network_interfaces.items():
        base: Path = ("network_interfaces", name)
        at = interface.attachment
        if interface.interface_type == "efa-only":
            for key in ("private_ip", *(key for pair in FURTHER for key in pair)):
                if getattr(interface, key):
                    hint = "remove it, or choose the type efa"
                    yield Finding((*base, key), "an efa-only interface has no IP addresses", hint)
            if at is not None and (at.network_card_index, at.device_index) == (0, 0):
                message = "an instance cannot boot with an efa-only interface"
                hint = "use index 1 or higher, or the type efa"
                yield Finding((*base, "attachment", "device_index"), message, hint)
        if interface.interface_type == "branch" and at is not None:
            message = "a branch interface is associated with a trunk, not attached to an instance"
            yield Finding((*base, "attachment"), message, "remove it, or choose another type", on_key=True)
        if interface.interface_type in EFA_TYPES and at is not None and at.instances is not None:
            message = "an Elastic Fabric Adapter moves between stopped instances only, so it cannot fail over"
            yield Finding((*base, "attachment", "instances"), message, "name one `instance`", on_key=True)


def _adapters(document: Document) -> Iterator[Finding]:
    """A network card takes one Elastic Fabric Adapter."""
    taken: dict[tuple[str, int], str] = {}
    for name, interface, at in _attached(document):
        if interface.interface_type not in EFA_TYPES or at.instance is None:
            continue
        first = taken.setdefault((at.instance, at.network_card_index), name)
        if first != name:
            message = (
                f"network_interfaces.{first} is the Elastic Fabric Adapter on card {at.network_card_index} "
                f"of {shown(at.instance)} already"
            )
            path: Path = ("network_interfaces", name, "attachment")
            yield Finding(path, message, "a network card takes one; choose another card")


# ---- Elastic IPs


def _association_targets(document: Document) -> Iterator[Finding]:
    """A private address has one Elastic IP at most, and is one that the spec gives to the interface."""
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
            yield Finding((*base, key), message, "choose an interface of another type")
            continue
        private_ip = target.private_ip
        if interface and private_ip == interface.private_ip:
            private_ip = None
        known = interface is not None and interface.says("secondary_private_ips") and interface.says("private_ip")
        if interface and known and private_ip not in (None, *(interface.secondary_private_ips or ())):
            whose = ".".join(holder)
            hint = f"add it to the secondary_private_ips of {whose}"
            yield Finding((*base, "private_ip"), f"{private_ip} is no address of {whose}", hint)
        first = taken.setdefault((*holder, private_ip), name)
        if first != name:
            which = private_ip or "the primary address"
            message = f"{which} of {shown(holder[1])} has elastic_ips.{first} already"
            key = "private_ip" if private_ip else "instance" if target.instance else "network_interface"
            yield Finding((*base, key), message, "one Elastic IP for each private IP; choose another")


def _holder(target: Association, document: Document) -> tuple[str, str] | None:
    """Section and name of whose private address it is: an interface, an instance, or no section and an id."""
    named = target.network_interface or document.primary_interface(target.instance or "")
    if named is None:
        return ("instances", target.instance) if target.instance in document.external_instances else None
    if resource_id("eni", named):
        return "", named
    return ("network_interfaces", named) if named in document.network_interfaces else None


def _public_addresses(document: Document) -> Iterator[Finding]:
    """An address is allocated once, and where this Region's addresses are."""
    taken: dict[str, str] = {}
    for name, row in document.elastic_ips.items():
        first = taken.setdefault(row.address, name) if row.address else name
        if first != name:
            message = f"elastic_ips.{first} is {row.address} already"
            yield Finding(("elastic_ips", name, "address"), message, "choose another, or leave it to EC2")
        group = row.network_border_group
        if group and document.region and not f"{group}-".startswith(f"{document.region}-"):
            message = f"{shown(group)} is not in region {shown(document.region)}"
            yield Finding(("elastic_ips", name, "network_border_group"), message, "correct one of the two")


# ---- all resources


def _tag_counts(document: Document) -> Iterator[Finding]:
    common = set(document.tags)
    if too_many := _too_many_tags(common):
        yield Finding(("tags",), *too_many)
        return
    for section in SECTIONS:
        for name, row in getattr(document, section).items():
            more = _further_tags(row)
            if too_many := _too_many_tags(common | set(getattr(row, "tags", ())) | more, _OUR_TAGS | more):
                yield Finding((section, name, "tags"), *too_many)


def _further_tags(row: object) -> set[str]:
    """Tags of ours that not every resource has."""
    tags = {USER_DATA_TAG} if getattr(row, "user_data", None) is not None else set()
    return tags | ({NEW_TAG} if isinstance(row, Resource) and row.lifecycle.ignore else set())


def _too_many_tags(keys: Iterable[str], ours: frozenset[str] = _OUR_TAGS) -> tuple[str, str] | None:
    total = len(ours.union(keys))
    if total <= MAX_TAGS:
        return None
    return (
        f"{total} tags with those of the stack and of enireconcile; EC2 takes {MAX_TAGS}",
        f"remove {total - MAX_TAGS}; {', '.join(sorted(ours))} are always there",
    )


def _accounts(document: Document) -> Iterator[Finding]:
    """The guard would refuse the very role that the spec assumes."""
    if document.account_id and document.assume_role_arn:
        account = document.assume_role_arn.split(":")[4]
        if account != document.account_id:
            message = f"this role acts in account {account}, which account_id refuses"
            yield Finding(("assume_role_arn",), message, "correct one of the two")
