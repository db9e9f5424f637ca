"""What a read tells about the words of a spec: which resource a row has, which subnet a selector selects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from enireconcile.live.matching import selects
from enireconcile.live.records import (
    AnyRecord,
    Live,
    LiveInstance,
    LiveNetworkInterface,
    LiveRouteTable,
    LiveSubnet,
    LiveVpc,
)
from enireconcile.outputs.graph.picture import CHOSEN, PRIMARY, Attachment, Item, name_of
from enireconcile.planning.owned import Owned, owned
from enireconcile.planning.routes import tables_matching
from enireconcile.spec import Document, ForeignSelector, RouteTableSelector, Selector, rows
from enireconcile.spec.shapes import InstanceSelector

DEFAULT_VPC = "default VPC"
DEFAULT_GROUP = "default (of the VPC)"


class Known:
    """A document beside a live state. Without one, everything is named as the spec names it."""

    def __init__(self, document: Document, live: Live | None) -> None:
        self.document = document
        self.live = Live("", document.region or "") if live is None else live

    @cached_property
    def owned(self) -> Owned:
        return owned(self.live, self.document.resources, self.document.renamed)

    @cached_property
    def records(self) -> Mapping[str, AnyRecord]:
        """The resources of the stack, and those that its rows adopt, by address."""
        found = self.owned.everything
        adoptable = {record.id: record for record in self.live.adoptable}
        adopted = {
            address: adoptable[aws_id]
            for address, aws_id in self.document.adopted.items()
            if aws_id in adoptable and address not in found
        }
        return found | adopted

    @cached_property
    def externals(self) -> Mapping[str, LiveInstance]:
        """The external instances that were found, by address: exactly one fits their selector."""
        return {f"instances.{name}": found[0] for name, found in self.live.externals.items() if len(found) == 1}

    @cached_property
    def _keys(self) -> Mapping[str, str]:
        return {record.id: address for address, record in (*self.externals.items(), *self.records.items())}

    def key(self, aws_id: str) -> str:
        """The address of a resource, or its id if the stack has none for it."""
        return self._keys.get(aws_id, aws_id)

    def key_of(self, section: str, name: str) -> str:
        """The key of what a row or a plan names: a row of a section, or an id."""
        address = f"{section}.{name}"
        rows = getattr(self.document, section)
        return address if name in rows or address in self.records else self.key(name)

    @cached_property
    def subnets(self) -> Mapping[str, LiveSubnet]:
        """All that were read, by id."""
        return {subnet.id: subnet for subnet in self.live.subnets}

    def selected(self, selector: Selector) -> LiveSubnet | None:
        """The one subnet that a selector selects."""
        found = [subnet for subnet in self.live.subnets if selects(selector, subnet)]
        return found[0] if len(found) == 1 else None

    def vpc(self, vpc_id: str) -> str:
        """A VPC in words, by its id."""
        found = (vpc for vpc in self.live.vpcs if vpc.id == vpc_id)
        return next((_vpc_text(vpc) for vpc in found), vpc_id)

    def group(self, word: str | ForeignSelector) -> str:
        """A group in a list of an interface: its name here, or its id."""
        if isinstance(word, ForeignSelector):
            return text_of(word)
        if word in self.live.default_groups.values() and word not in self._keys:
            return DEFAULT_GROUP
        return name_of(self.key(word))

    def table(self, selector: RouteTableSelector) -> str:
        """A route table in words."""
        found = tables_matching(selector, self.live)
        return table_text(found[0]) if len(found) == 1 else text_of(selector)

    def destination(self, word: str | ForeignSelector) -> str:
        """The destination of a route in words: prefix lists by their names."""
        if isinstance(word, ForeignSelector):
            return text_of(word)
        return next((each.name for each in self.live.prefix_lists if each.id == word), word)


def text_of(selector: Selector | ForeignSelector | RouteTableSelector) -> str:
    """A selector in words, a name alone where it selects by that."""
    return _name_alone(selector.tags) or selector.text


def instance_text(selector: InstanceSelector) -> str:
    """The selector of an external instance in words."""
    tags = selector.tags or {}
    return selector.id or _name_alone(tags) or ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def _name_alone(tags: Mapping[str, str] | None) -> str | None:
    return tags["Name"] if tags is not None and set(tags) == {"Name"} else None


def table_text(table: LiveRouteTable) -> str:
    """A route table by its name, or by its id if it has none."""
    return table.tags.get("Name") or table.id


def subnet_text(subnet: LiveSubnet) -> str:
    """A subnet by its name, else as the default one of its zone, else by its id; and its CIDR."""
    default = "default subnet" if subnet.default_for_az else subnet.id
    return f"{subnet.tags.get('Name') or default} {subnet.cidr}".rstrip()


def _vpc_text(vpc: LiveVpc) -> str:
    name = vpc.tags.get("Name")
    if name is None:
        return DEFAULT_VPC if vpc.is_default else vpc.id
    return f"VPC {name}"


def selected_vpc(selector: Selector) -> str:
    """The VPC that a selector selects, in words."""
    return DEFAULT_VPC if selector.default else selector.id or f"VPC {text_of(selector)}"


def instance_facts(instance_type: str | None, state: str, origin: str = "") -> tuple[Item, ...]:
    """The facts of an instance: ``origin`` is for one that is not of the stack."""
    facts = {
        "origin": origin,
        "instance_type": instance_type or "",
        "state": "" if state == "running" else state,
    }
    return tuple(Item(text, key=key) for key, text in facts.items() if text)


def interface_facts(
    source_dest_check: bool, interface_type: str, candidates: tuple[str, ...] = (), automatic_ip: str | None = None
) -> tuple[Item, ...]:
    """The facts of an interface, each only where it is not the usual one."""
    facts = {
        "interface_type": "" if interface_type == "interface" else interface_type,
        "source_dest_check": "" if source_dest_check else "no source/destination check",
        "associate_public_ip_address": f"automatic public address {automatic_ip}" if automatic_ip else "",
        "failover": f"fails over: {', '.join(candidates)}" if len(candidates) > 1 else "",
    }
    return tuple(Item(text, key=key) for key, text in facts.items() if text)


def attachment_at(key: str, instance: str, row: rows.Attachment, *, standby: bool = False) -> Attachment:
    """An interface at the place that its row says, on one of its instances."""
    return Attachment(key, instance, row.device_index, row.network_card_index, standby)


def address_items(primary: str, further: Iterable[str]) -> tuple[Item, ...]:
    """The private addresses of an interface; the primary one may be unknown."""
    return (Item(primary or CHOSEN, key=PRIMARY), *(Item(each, key=each) for each in further))


def addresses_of(live: LiveNetworkInterface) -> tuple[Item, ...]:
    """Those of a live one. Only an interface for IPv6 alone has no primary IPv4 address."""
    items = address_items(live.private_ip, live.further)
    return items if live.private_ip else items[1:]
