"""What a spec wants, as a picture. With a live state, what that knows is filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from enireconcile.live.records import Live, LiveElasticIp, LiveInstance, LiveNetworkInterface
from enireconcile.outputs.graph.known import (
    DEFAULT_GROUP,
    DEFAULT_VPC,
    Known,
    address_items,
    attachment_at,
    instance_facts,
    instance_text,
    interface_facts,
    selected_vpc,
    subnet_text,
    text_of,
)
from enireconcile.outputs.graph.of_live import interface_of
from enireconcile.outputs.graph.picture import (
    CHOSEN,
    PRIMARY,
    Association,
    Attachment,
    ElasticIp,
    Instance,
    Interface,
    Item,
    Picture,
    Route,
    completed,
    name_of,
)
from enireconcile.spec import ADDRESS_KEYS, Document, ExternalInstance, NetworkInterface, rows, without_selectors

_HELD = {
    "secondary_private_ips": "secondary_ips",
    "ipv6_addresses": "ipv6_addresses",
    "ipv4_prefixes": "ipv4_prefixes",
    "ipv6_prefixes": "ipv6_prefixes",
}
"""Lists of addresses in rows, and their names in records."""


def spec_picture(document: Document, live: Live | None = None) -> Picture:
    """What the spec wants.

    Without ``live`` it says what the file says, selectors included. With it, selectors are resolved, and what
    exists has its addresses and ids.
    """
    known = Known(document, live)
    interfaces = tuple(_interface(name, row, known) for name, row in document.network_interfaces.items())
    foreign = tuple(interface_of(each, known) for each in known.live.foreign_interfaces)
    associations = _associations(document, {each.key: each for each in (*interfaces, *foreign)}, known)
    used = {each.interface for each in associations}
    return completed(
        Picture(
            document.stack,
            known.live.region,
            tuple(_instance(name, row, known) for name, row in document.instances.items()),
            (*interfaces, *(each for each in foreign if each.key in used)),
            tuple(_elastic_ip(name, known) for name in document.elastic_ips),
            (*_attachments(document, known), *_primaries(document, associations)),
            associations,
            tuple(
                Route(known.table(route.route_table), known.destination(route.destination), _interface_key(name))
                for name, row in document.network_interfaces.items()
                for route in row.routes
            ),
        )
    )


def _interface_key(name: str) -> str:
    return f"network_interfaces.{name}"


def _instance(name: str, row: rows.Instance | ExternalInstance, known: Known) -> Instance:
    key = f"instances.{name}"
    if isinstance(row, ExternalInstance):
        live = known.externals.get(key)
        which = live.id if live is not None else instance_text(row.external)
        kind, state = (live.instance_type, live.state) if live is not None else ("", "running")
        return Instance(key, name, instance_facts(kind, state, origin=f"external {which}"))
    record = known.records.get(key)
    found = record.instance_type if isinstance(record, LiveInstance) else None
    return Instance(key, name, instance_facts(row.instance_type or found, row.state))


def _interface(name: str, row: NetworkInterface, known: Known) -> Interface:
    key = _interface_key(name)
    found = known.records.get(key)
    record = found if isinstance(found, LiveNetworkInterface) else None
    vpc, subnet, zone = _place(row, record, known)
    return Interface(
        key,
        name,
        vpc,
        subnet,
        zone,
        _groups(row, record, known),
        _addresses(row, record),
        interface_facts(
            row.source_dest_check
            if row.specifies("source_dest_check") or record is None
            else record.source_dest_check,
            row.interface_type,
            row.attachment.candidates if row.attachment is not None else (),
            record.automatic_ip if record is not None else None,
        ),
    )


def _place(row: NetworkInterface, record: LiveNetworkInterface | None, known: Known) -> tuple[str, str, str]:
    """VPC, subnet and zone in words."""
    if record is not None:
        live = known.subnets.get(record.subnet_id)
        return known.vpc(record.vpc_id), subnet_text(live) if live is not None else record.subnet_id, record.zone
    if row.subnet is None:
        return "", "", ""
    live = known.selected(row.subnet)
    if live is not None:
        return known.vpc(live.vpc_id), subnet_text(live), live.zone
    if row.subnet.default_for_az is not None:
        return DEFAULT_VPC, "default subnet", row.subnet.default_for_az
    return _vpc_of_groups(row, known.document), text_of(row.subnet), ""


def _vpc_of_groups(row: NetworkInterface, document: Document) -> str:
    """An interface is in the VPC of its groups; empty if none of them is of the spec."""
    mine = (document.security_groups.get(name) for name in without_selectors(row.security_groups))
    return next((selected_vpc(group.vpc) for group in mine if group and group.specifies("vpc")), "")


def _groups(row: NetworkInterface, record: LiveNetworkInterface | None, known: Known) -> tuple[Item, ...]:
    if row.security_groups is not None:
        names = [known.group(each) for each in row.security_groups]
    elif record is not None:
        names = sorted(map(known.group, record.groups))
    else:
        names = [DEFAULT_GROUP] if row.specifies("security_groups") else []
    return tuple(Item(name, key=name) for name in names)


def _addresses(row: NetworkInterface, record: LiveNetworkInterface | None) -> tuple[Item, ...]:
    """The addresses and prefixes that the row says; where it says none, those that there are."""
    primary = row.private_ip or (record.private_ip if record is not None else "")
    items = list(address_items(primary, ()))
    for many, count in ADDRESS_KEYS:
        listed, number = getattr(row, many), getattr(row, count)
        there: Sequence[str] = getattr(record, _HELD[many]) if record is not None else ()
        if listed is not None:
            more = there if many in row.lifecycle.additive else ()
            items += (Item(each, key=each) for each in dict.fromkeys((*listed, *more)))
        else:
            items += (Item(each, key=each) for each in (there if number is None else there[:number]))
            missing = max(0, (number or 0) - len(there))
            items += (Item(CHOSEN, key=f"{many} {index}") for index in range(missing))
    return tuple(items)


def _elastic_ip(name: str, known: Known) -> ElasticIp:
    key = f"elastic_ips.{name}"
    record, row = known.records.get(key), known.document.elastic_ips[name]
    public_ip = record.public_ip if isinstance(record, LiveElasticIp) else row.address
    return ElasticIp(key, name, public_ip or "")


def _attachments(document: Document, known: Known) -> Iterable[Attachment]:
    """Where interfaces are attached. One that fails over is on the candidate that has it, or the first."""
    for name, row in document.network_interfaces.items():
        if row.attachment is None:
            continue
        key = _interface_key(name)
        record = known.records.get(key)
        at = record.attachment if isinstance(record, LiveNetworkInterface) else None
        candidates = [f"instances.{each}" for each in row.attachment.candidates]
        current = known.key(at.instance_id) if at is not None else ""
        holder = current if current in candidates else candidates[0]
        yield attachment_at(key, holder, row.attachment)
        yield from (
            attachment_at(key, each, row.attachment, standby=True) for each in candidates if each != holder
        )


def _associations(document: Document, interfaces: dict[str, Interface], known: Known) -> tuple[Association, ...]:
    """Which address each Elastic IP leads to. Where EC2 chooses a secondary one, it is one that is free."""
    found: dict[str, Association] = {}
    for name, row in document.elastic_ips.items():
        if row.association is not None:
            key = f"elastic_ips.{name}"
            found[key] = Association(key, _target(row.association, known), row.association.private_ip or PRIMARY)
    taken: defaultdict[str, set[str]] = defaultdict(set)
    for each in found.values():
        taken[each.interface].add(each.address)
    for key, each in found.items():
        interface, record = interfaces.get(each.interface), known.records.get(key)
        if interface is None:
            continue
        said = document.elastic_ips[name_of(key)].association
        if said is not None and said.secondary:
            used = {PRIMARY, *taken[each.interface]}
            free = [item.key for item in interface.addresses if item.key not in used]
            current = record.private_ip if isinstance(record, LiveElasticIp) else None
            address = current if current in free else next(iter(free), CHOSEN)
            found[key] = Association(key, each.interface, address or CHOSEN)
            taken[each.interface].add(found[key].address)
        elif interface.addresses and each.address == interface.addresses[0].text:
            found[key] = Association(key, each.interface)
    return tuple(found.values())


def _target(row: rows.Association, known: Known) -> str:
    """The key of the interface of an association."""
    if row.network_interface is not None:
        return known.key_of("network_interfaces", row.network_interface)
    instance = str(row.instance)
    if (primary := known.document.primary_interface(instance)) is not None:
        return _interface_key(primary)
    live = known.externals.get(f"instances.{instance}") or known.records.get(f"instances.{instance}")
    occupant = live.occupant(0, 0) if isinstance(live, LiveInstance) else None
    return known.key(occupant.network_interface_id) if occupant else f"primary interface of {instance}"


def _primaries(document: Document, associations: Iterable[Association]) -> Iterable[Attachment]:
    """Where the interfaces are that the spec names only by their instances."""
    found = {}
    for each in associations:
        row = document.elastic_ips[name_of(each.elastic_ip)].association
        if row is not None and row.instance is not None and document.primary_interface(row.instance) is None:
            found[each.interface] = Attachment(each.interface, f"instances.{row.instance}", 0)
    return found.values()
