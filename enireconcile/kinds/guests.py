"""The Guest of an instance: what EC2 and the spec say of its interfaces. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.guest import formats
from enireconcile.guest.model import TABLE, Guest, Link, Side
from enireconcile.guest.userdata import Content, laid_under
from enireconcile.kinds.world import World
from enireconcile.live.records import LiveInstance, LiveNetworkInterface, LiveSubnet
from enireconcile.model import Ref, joined

ROUTER6 = "fe80:ec2::1"
"""The router of every subnet with IPv6."""
_CARD = 100
"""Tables for one network card; no instance type takes as many interfaces on one."""


class Guests(Struct, frozen=True):
    """Makes the Guests of a World. ``foreign`` are primary interfaces outside the stack, by instance id.

    ``known_later`` returns what stands for an attribute that is known once the interface is made.
    """

    world: World
    foreign: Mapping[str, LiveNetworkInterface] = {}
    known_later: Callable[[Ref], str] = str

    def guest(self, instance: str, *, publishes: bool = False) -> Guest:
        """The guest with its interfaces, and all that it may get by a failover."""
        places = sorted(self._places(instance), key=lambda place: place[:3])
        links = [self._link(name, live, card, index) for card, index, name, live in places]
        return Guest(instance, self.world.document.stack, tuple(_among(links)), publishes)

    def missing(self, instance: str) -> list[str]:
        """Addresses of the interfaces of an instance that are not made yet."""
        return [f"network_interfaces.{name}" for _, _, name, live in self._places(instance) if live is None]

    def _places(self, instance: str) -> Iterator[tuple[int, int, str, LiveNetworkInterface | None]]:
        """Card, index, name and record of the interfaces that the spec gives to an instance, and its primary.

        An efa-only interface is no network device in the guest.
        """
        taken = set()
        for name, row in self.world.document.network_interfaces.items():
            at = row.attachment
            if at is not None and instance in at.candidates and self.world.has_addresses(name):
                taken.add((at.network_card_index, at.device_index))
                live = self.world.record(f"network_interfaces.{name}", LiveNetworkInterface)
                yield at.network_card_index, at.device_index, name, live
        host = self.world.record(f"instances.{instance}", LiveInstance)
        foreign = self.foreign.get(host.id) if host is not None else None
        if foreign is not None and (0, 0) not in taken:
            yield 0, 0, foreign.id, foreign

    def _link(self, name: str, live: LiveNetworkInterface | None, card: int, index: int) -> Link:
        row = self.world.document.network_interfaces.get(name)
        subnet = self.world.subnets.get(name) or (live.subnet_id if live is not None else "")
        checked = live.source_dest_check if live is not None else row is None or row.source_dest_check
        return Link(
            name=name,
            mac=live.mac_address if live is not None else self._later(name, "mac_address"),
            table=TABLE + _CARD * card + index,
            primary=(card, index) == (0, 0),
            sides=tuple(self._sides(name, live, self.world.subnets_by_id.get(subnet))),
            forwards=not checked,
            public=self._is_public(name, live),
            shared=row is None,
        )

    def _sides(self, name: str, live: LiveNetworkInterface | None, subnet: LiveSubnet | None) -> Iterator[Side]:
        """The families in which the interface has addresses."""
        if subnet is None:
            return
        row = self.world.document.network_interfaces.get(name)
        first = live.private_ip if live is not None else row.private_ip if row is not None else None
        if subnet.cidr:
            yield Side(
                4,
                (subnet.cidr,),
                str(ipaddress.ip_network(subnet.cidr)[1]),
                own=(
                    first or self._later(name, "private_ip"),
                    *self._list(name, live, "secondary_private_ips"),
                    *self._floating(name, subnet),
                ),
                prefixes=self._list(name, live, "ipv4_prefixes"),
            )
        six, prefixes = self._list(name, live, "ipv6_addresses"), self._list(name, live, "ipv6_prefixes")
        if subnet.ipv6_cidrs and (six or prefixes):
            yield Side(6, subnet.ipv6_cidrs, ROUTER6, own=six, prefixes=prefixes)

    def _list(self, name: str, live: LiveNetworkInterface | None, key: str) -> tuple[str, ...]:
        """The addresses or prefixes of an interface: as the row lists them, or as it has them."""
        address, row = f"network_interfaces.{name}", self.world.document.network_interfaces.get(name)
        listed = getattr(row, key) if row is not None else None
        present = getattr(live, _FIELDS.get(key, key)) if live is not None else ()
        if listed is None or self.world.leaves(address, key):
            return tuple(present)
        return _each_once((*listed, *(present if self.world.adds_to(address, key) else ())))

    def _floating(self, name: str, subnet: LiveSubnet) -> tuple[str, ...]:
        """Addresses that other tools move between interfaces in this subnet: those that ignore their addresses.

        The guest has all of them, so that one that comes answers at once.
        """
        if not self._floats(name):
            return ()
        others = (
            self._list(other, self.world.record(f"network_interfaces.{other}", LiveNetworkInterface), _FLOATING)
            for other in sorted(self.world.document.network_interfaces)
            if other != name and self._floats(other) and self.world.subnets.get(other) == subnet.id
        )
        row = self.world.document.network_interfaces[name]
        return _each_once((*(row.secondary_private_ips or ()), *(each for found in others for each in found)))

    def _floats(self, name: str) -> bool:
        row = self.world.document.network_interfaces.get(name)
        return row is not None and _FLOATING in row.lifecycle.ignore

    def _is_public(self, name: str, live: LiveNetworkInterface | None) -> bool:
        """Has the interface a public address, or will it have one?"""
        wanted = name in self.world.destinations_on
        return wanted or (live is not None and bool(live.automatic_ip or live.addresses))

    def _later(self, name: str, attribute: str) -> str:
        """What stands for an attribute that is known once the interface is made."""
        return self.known_later(Ref(f"network_interfaces.{name}", attribute))

    def user_data(self, instance: str) -> Content | None:
        """The user data for a launch: the row's own and, with ``guest_network``, what configures the guest."""
        row = self.world.document.own_instances[instance]
        own = row.user_data
        if own is not None and not isinstance(own, bytes):
            own = self.world.text(own)
        if row.guest_network is None:
            return own
        known_later = replace(self, known_later=lambda ref: f"{_BEGIN}{ref}{_END}")
        text = formats.cloud_config(formats.BACKENDS[row.guest_network], known_later.guest(instance))
        return laid_under(own, joined(_with_refs(text)))


_BEGIN, _END = "\ue000", "\ue001"
"""Around what stands for a reference. They are in no name and no address."""


def _with_refs(text: str) -> Iterator[str | Ref]:
    for number, piece in enumerate(re.split(f"{_BEGIN}([^{_END}]*){_END}", text)):
        address, _, attribute = piece.rpartition(".")
        yield Ref(address, attribute) if number % 2 else piece


_FLOATING = "secondary_private_ips"
_FIELDS = {_FLOATING: "secondary_ips"}
"""The fields of records whose names differ from the keys of rows."""


def _each_once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _among(links: Sequence[Link]) -> Iterator[Link]:
    """The links, each with the subnets of the others."""
    for link in links:
        sides = []
        for side in link.sides:
            found = (other.side(side.version) for other in links)
            subnets = _each_once(subnet for each in found if each is not None for subnet in each.subnets)
            others = tuple(subnet for subnet in subnets if subnet not in side.subnets)
            sides.append(replace(side, own=_each_once(side.own), others=others))
        yield replace(link, sides=tuple(sides))
