"""What is, as a picture: what the stack owns, and the instances and interfaces of others that it is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from enireconcile.live.records import Live, LiveElasticIp, LiveInstance, LiveNetworkInterface
from enireconcile.outputs.graph.known import (
    Known,
    addresses_of,
    attachment_at,
    instance_facts,
    interface_facts,
    subnet_text,
    table_text,
)
from enireconcile.outputs.graph.picture import (
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
from enireconcile.spec import Document


def live_picture(document: Document, live: Live) -> Picture:
    """What the stack owns, what its rows adopt, and the routes that lead to it from the tables that were read.

    ``live`` is what ``live.reader.read`` or ``read_owned`` returns; without subnets or route tables in it, the
    picture shows ids, and no routes.
    """
    known = Known(document, live)
    records = known.records
    addresses = {key: each for key, each in records.items() if isinstance(each, LiveElasticIp)}
    holders = {each.network_interface_id for each in addresses.values()}
    interfaces = {key: each for key, each in records.items() if isinstance(each, LiveNetworkInterface)}
    interfaces |= {known.key(each.id): each for each in live.foreign_interfaces if each.id in holders}
    foreign = dict.fromkeys(_of_foreign(addresses.values(), interfaces, known))
    attachments = (*_attachments(interfaces, known), *foreign)
    return completed(
        Picture(
            document.stack,
            live.region,
            (*_instances(known), *_others(attachments, known)),
            tuple(interface_of(each, known) for each in interfaces.values()),
            tuple(ElasticIp(key, name_of(key), each.public_ip) for key, each in addresses.items()),
            attachments,
            tuple(_associations(addresses, interfaces, known)),
            tuple(_routes(interfaces.values(), known)),
        )
    )


def interface_of(live: LiveNetworkInterface, known: Known) -> Interface:
    """A live interface, with its groups by their names."""
    key = known.key(live.id)
    row = known.document.network_interfaces.get(name_of(key))
    subnet = known.subnets.get(live.subnet_id)
    groups = sorted(map(known.group, live.groups))
    return Interface(
        key,
        name_of(key),
        known.vpc(live.vpc_id),
        subnet_text(subnet) if subnet is not None else live.subnet_id,
        live.zone,
        tuple(Item(name, key=name) for name in groups),
        addresses_of(live),
        interface_facts(
            live.source_dest_check,
            live.interface_type,
            row.attachment.candidates if row is not None and row.attachment is not None else (),
            live.automatic_ip,
        ),
    )


def _instances(known: Known) -> Iterator[Instance]:
    for key, each in known.records.items():
        if isinstance(each, LiveInstance):
            yield Instance(key, name_of(key), instance_facts(each.instance_type, each.state))
    for key, each in known.externals.items():
        yield Instance(
            key, name_of(key), instance_facts(each.instance_type, each.state, origin=f"external {each.id}")
        )


def _others(attachments: Iterable[Attachment], known: Known) -> Iterator[Instance]:
    """Instances that are neither the stack's nor named by it."""
    named = {known.key(each.id): each for each in known.live.instances}
    present = {*known.records, *known.externals}
    for key in dict.fromkeys(each.instance for each in attachments):
        if key not in present:
            live = named.get(key)
            state = live.state if live is not None else "running"
            yield Instance(key, name_of(key), instance_facts(None, state, origin="not of this stack"))


def _attachments(interfaces: dict[str, LiveNetworkInterface], known: Known) -> Iterator[Attachment]:
    for key, live in interfaces.items():
        at, holder = live.attachment, ""
        if at is not None and at.status != "detaching":
            holder = known.key(at.instance_id)
            yield Attachment(key, holder, at.device_index, at.network_card_index)
        row = known.document.network_interfaces.get(name_of(key))
        if row is None or row.attachment is None or row.attachment.instances is None:
            continue
        for name in row.attachment.instances:
            candidate = f"instances.{name}"
            if candidate != holder and (candidate in known.externals or candidate in known.records):
                yield attachment_at(key, candidate, row.attachment, standby=True)


def _of_foreign(
    addresses: Iterable[LiveElasticIp], interfaces: dict[str, LiveNetworkInterface], known: Known
) -> Iterator[Attachment]:
    """Where interfaces are that only an Elastic IP of the stack shows: it tells the instance, not the index."""
    for each in addresses:
        if (
            each.network_interface_id
            and each.instance_id
            and known.key(each.network_interface_id) not in interfaces
        ):
            yield Attachment(known.key(each.network_interface_id), known.key(each.instance_id), None)


def _associations(
    addresses: dict[str, LiveElasticIp], interfaces: dict[str, LiveNetworkInterface], known: Known
) -> Iterator[Association]:
    for key, live in addresses.items():
        if live.network_interface_id is None:
            continue
        interface = known.key(live.network_interface_id)
        record = interfaces.get(interface)
        secondary = record is not None and live.private_ip in record.secondary_ips
        # Of an interface that was not read, the address itself is all that is known.
        address = live.private_ip if secondary or record is None else PRIMARY
        yield Association(key, interface, address or PRIMARY)


def _routes(interfaces: Iterable[LiveNetworkInterface], known: Known) -> Iterator[Route]:
    keys = {each.id: known.key(each.id) for each in interfaces}
    for table in known.live.route_tables:
        for route in table.routes:
            if route.target in keys:
                yield Route(table_text(table), known.destination(route.destination), keys[route.target])
