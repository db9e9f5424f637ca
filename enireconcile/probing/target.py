"""What a check asks, as it is in the live state. Pure."""

from __future__ import annotations

from msgspec import Struct

from enireconcile.live.matching import Matches
from enireconcile.live.records import AnyRecord, Live, LiveElasticIp, LiveNetworkInterface
from enireconcile.spec import Check, Document


class Target(Struct, frozen=True):
    """The Elastic IP of a check, if it names one, and the interface to which that, or the check itself, leads."""

    elastic_ip: LiveElasticIp | None = None
    interface: LiveNetworkInterface | None = None

    @property
    def address(self) -> str | None:
        """The address to ask; None if there is none."""
        if self.elastic_ip is not None:
            return self.elastic_ip.public_ip or None
        if self.interface is None:
            return None
        return self.interface.private_ip or next(iter(self.interface.ipv6_addresses), None)


def target_of(check: Check, document: Document, live: Live) -> Target:
    """The live objects that the packets of a check are for."""
    key, name = check.target
    interfaces = {each.id: each for each in (*interfaces_in(live), *live.foreign_interfaces)}
    if key == "network_interface":
        return Target(
            interface=next(iter(matches(document, live).at(f"{key}s.{name}", LiveNetworkInterface)), None)
        )
    address = next(iter(matches(document, live).at(f"{key}s.{name}", LiveElasticIp)), None)
    if address is None:
        return Target()
    return Target(address, interfaces.get(address.network_interface_id or ""))


def matches(document: Document, live: Live) -> Matches:
    """The rows and the live objects that belong to them."""
    ours: tuple[AnyRecord, ...] = (
        *live.security_groups,
        *live.instances,
        *live.network_interfaces,
        *live.elastic_ips,
    )
    return Matches(document, (*ours, *live.adoptable))


def interfaces_in(live: Live) -> tuple[LiveNetworkInterface, ...]:
    """The interfaces of the stack, and those that it adopts."""
    records: tuple[AnyRecord, ...] = (*live.network_interfaces, *live.adoptable)
    return tuple(each for each in records if isinstance(each, LiveNetworkInterface))
