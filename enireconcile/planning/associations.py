"""The interface and private IP that each Elastic IP belongs to, however the spec names them. Pure.

Each ``association`` becomes a ``Destination``: an interface of the spec by its name, or another one by its id.
What EC2 would refuse is a mistake here: an interface that an AWS service manages, a private IP that the interface
does not have, two Elastic IPs on one private IP, another network border group than the interface's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from msgspec.structs import replace

from enireconcile.kinds.world import Destination, Id, World
from enireconcile.live.records import Live, LiveElasticIp, LiveInstance, LiveNetworkInterface
from enireconcile.model import Ref
from enireconcile.planning.mistakes import Mistakes
from enireconcile.spec import Association, Path, Spec

_INTERFACES = "network_interfaces"
_ADDRESSES = "elastic_ips"
_COUNT = "secondary_private_ip_count"


@dataclass
class Associations:
    """The associations of one spec. ``zones`` maps its interfaces to their zones; what EC2 would refuse goes to
    ``mistakes``.

    ``foreign_interfaces`` is complete after ``destinations()``.
    """

    spec: Spec
    live: Live
    world: World
    externals: Mapping[str, LiveInstance]
    zones: Mapping[str, str]
    mistakes: Mistakes
    foreign_interfaces: dict[str, LiveNetworkInterface] = field(default_factory=dict)

    def destinations(self) -> dict[str, Destination]:
        """The destinations by name of the Elastic IP."""
        self.foreign_interfaces = {interface.id: interface for interface in self.live.foreign_interfaces}
        found: dict[str, Destination] = {}
        for name, row in self.spec.document.elastic_ips.items():
            if row.association is None:
                continue
            path = (_ADDRESSES, name, "association")
            before = len(self.mistakes.found)
            destination = self._destination(path, row.association)
            if destination is not None and self._fits(name, destination, path):
                found[name] = destination
            if self.world.leaves(f"{_ADDRESSES}.{name}", "association"):
                # The row ignores it: other tools may have changed it.
                del self.mistakes.found[before:]
        self._choose_secondary(found)
        self._refuse_duplicates(found)
        self._refuse_too_few(found)
        return found

    def _destination(self, path: Path, row: Association) -> Destination | None:
        """The destination without its checks; None if there is a problem, here or with the instance."""
        if row.network_interface is not None:
            path, named = (*path, "network_interface"), row.network_interface
        else:
            path, named = (*path, "instance"), self._primary(str(row.instance))
        named = self._names.get(named, named)
        if named in self.spec.document.network_interfaces or (named and self._is_fit(named, path)):
            chosen = Ref(f"{_INTERFACES}.{named}", f"secondary_private_ips.{path[1]}") if row.secondary else None
            return Destination(named, chosen or row.private_ip, chosen)
        return None

    def _primary(self, instance: str) -> str:
        """The primary interface of an instance: its name if it is in the spec, else its id; empty if unknown."""
        if name := self.spec.document.primary_interface(instance):
            return name
        live = self.externals.get(instance) or self.world.record(f"instances.{instance}", LiveInstance)
        primary = live.occupant(0, 0) if live else None
        return primary.network_interface_id if primary else ""

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of the spec's interfaces by their ids, including interfaces that are being replaced."""
        former = ((address, record) for address, found in self.world.replaced.items() for record in found)
        records = (*former, *self.world.owned.items())
        names = {f"{_INTERFACES}.{name}": name for name in self.spec.document.network_interfaces}
        return {record.id: names[address] for address, record in records if address in names}

    def _is_fit(self, interface_id: str, path: Path) -> bool:
        """Can an Elastic IP be associated with an interface that the spec does not name?"""
        live = self.foreign_interfaces.get(interface_id) or self._ours.get(interface_id)
        if live is None:
            words = (
                f"no interface {interface_id} in {self.live.region}",
                "see `aws ec2 describe-network-interfaces`",
            )
        elif live.manager is not None:
            words = (
                f"{live.id} is managed by {live.manager}",
                "enireconcile never changes what an AWS service manages",
            )
        elif not live.private_ip:
            words = f"{live.id} has no private IPv4 address", "choose another interface"
        elif any(record.id == live.id for record in self.world.removed.values()):
            words = (
                f"{live.id} belongs to this stack, and this plan deletes it because the spec does not name it",
                "choose another interface, or add this one to the spec",
            )
        else:
            self.foreign_interfaces[live.id] = live
            return True
        self.mistakes.add(path, *words)
        return False

    @cached_property
    def _ours(self) -> dict[str, LiveNetworkInterface]:
        """The interfaces of the stack by their ids, whether the spec names them or not."""
        return {interface.id: interface for interface in self.live.network_interfaces}

    def _fits(self, name: str, destination: Destination, path: Path) -> bool:
        """Does the interface have the private address, and is it in the Elastic IP's border group?"""
        address = f"{_INTERFACES}.{destination.interface}"
        row = self.spec.document.network_interfaces.get(destination.interface)
        if row and row.interface_type == "efa-only":
            words = f"{address} is efa-only and has no IP address"
            self.mistakes.add(path, words, "choose an interface of another type")
            return False
        if not self._has(destination, path):
            return False
        foreign = self.foreign_interfaces.get(destination.interface)
        zone = foreign.zone if foreign else self.zones.get(destination.interface, "")
        group = self._border_group(name)
        # Availability Zones are in the Region's border group; the name of a Local Zone does not show its group.
        if group != self.live.region and re.fullmatch(f"{self.live.region}[a-z]", zone):
            hint = "EC2 associates an Elastic IP only within its network border group"
            words = f"the Elastic IP is in the network border group {group}, the interface in {zone}"
            self.mistakes.add(path, words, hint)
            return False
        return True

    def _has(self, destination: Destination, path: Path) -> bool:
        """Will the interface have the private address? Where the spec lists none, those that EC2 chose count."""
        address = f"{_INTERFACES}.{destination.interface}"
        row, live = (
            self.spec.document.network_interfaces.get(destination.interface),
            self._live(destination.interface),
        )
        has = row.private_ips if row else ()
        hint = f"add it to the secondary_private_ips of {address}"
        if live and (row is None or not row.specifies("private_ip")):
            has = (live.private_ip, *has)
        if row and row.secondary_private_ip_count:
            present = () if live is None else live.secondary_ips if row.private_ip else live.private_ips
            has = tuple(dict.fromkeys((*has, *present)))
            chosen = f"it has {', '.join(has)}" if has else "EC2 chooses its further addresses"
            hint = f"{chosen}; to choose one yourself, write secondary_private_ips"
        if live and self.world.adds_to(address, "secondary_private_ips"):
            has = tuple(dict.fromkeys((*has, *live.private_ips)))
            hint = f"it has {', '.join(has)}"
        if live and (row is None or self.world.leaves(address, "secondary_private_ips")):
            has = live.private_ips
            hint = f"it has {', '.join(has)}"
        if destination.chosen_by_ec2 or destination.private_ip in (None, *has):
            return True
        words = f"{destination.private_ip} is not a private IP of {live.id if live else address}"
        self.mistakes.add((*path, "private_ip"), words, hint)
        return False

    def _choose_secondary(self, found: dict[str, Destination]) -> None:
        """Settles which of the addresses that EC2 chose each row with ``secondary`` has.

        A row keeps the address that it has. The others get free ones, the lowest first; then those that EC2 is
        still to choose, which stay Refs; and only then those with Elastic IPs of others.
        """
        rows = {name: each for name, each in sorted(found.items()) if each.chosen_by_ec2}
        for interface in sorted({each.interface for each in rows.values()}):
            live = self._live(interface)
            if live is None:
                continue
            mine = [name for name, each in rows.items() if each.interface == interface]
            pool = self._chosen_by_ec2(interface, live, found)
            settled = {name: held for name in mine if (held := self._held(name, live)) in pool}
            rest = [each for each in pool if each not in settled.values()]
            occupied = [each for each in rest if self._is_occupied(live, each)]
            free = [each for each in rest if each not in occupied]
            order = [*free, *[""] * self._coming(interface, live), *occupied]
            settled |= dict(zip([name for name in mine if name not in settled], order, strict=False))
            for name in mine:
                self._settle(name, settled.get(name), found)

    def _settle(self, name: str, private_ip: str | None, found: dict[str, Destination]) -> None:
        """One row gets its address; an empty one is still to come, None means that there is none for it."""
        if private_ip:
            found[name] = replace(found[name], private_ip=private_ip)
        elif private_ip is None:
            message = f"{found.pop(name).interface} has no secondary address left for it"
            hint = f"increase its {_COUNT}, or remove {_COUNT} from its lifecycle.ignore"
            self.mistakes.add((_ADDRESSES, name, "association", "secondary"), message, hint)

    def _chosen_by_ec2(
        self, interface: str, live: LiveNetworkInterface, found: Mapping[str, Destination]
    ) -> list[str]:
        """The secondary addresses that no row names, for an Elastic IP or to take them over."""
        named = {each.private_ip for each in found.values() if each.interface == interface}
        for row in self.spec.document.network_interfaces.values():
            named |= set(row.secondary_private_ips or ())
        return [each for each in live.secondary_ips if each not in named]

    def _held(self, name: str, live: LiveNetworkInterface) -> str | None:
        """The address of the interface that an Elastic IP is associated with. Either of two reads may lag."""
        record = self.world.record(f"{_ADDRESSES}.{name}", LiveElasticIp)
        if record is None:
            return None
        shown = next((each for each, allocation in live.addresses.items() if allocation == record.id), None)
        return shown or (record.private_ip if record.network_interface_id == live.id else None)

    def _is_occupied(self, live: LiveNetworkInterface, private_ip: str) -> bool:
        """Does it have an Elastic IP that stays there if this plan does not displace it?"""
        allocation = live.addresses.get(private_ip)
        if allocation is None or any(record.id == allocation for record in self.world.removed.values()):
            return False
        owner = self.world.addresses.get(allocation)
        return owner is None or self.world.leaves(owner, "association")

    def _coming(self, interface: str, live: LiveNetworkInterface) -> int:
        """How many secondary addresses EC2 is still to choose."""
        row = self.spec.document.network_interfaces[interface]
        if self.world.leaves(f"{_INTERFACES}.{interface}", _COUNT):
            return 0
        elsewhere = {each for each in live.secondary_ips if self._listed_by.get(each, interface) != interface}
        return max(0, (row.secondary_private_ip_count or 0) - len(set(live.secondary_ips) - elsewhere))

    @cached_property
    def _listed_by(self) -> Mapping[str, str]:
        """The interfaces whose rows list secondary addresses, by these."""
        rows = self.spec.document.network_interfaces.items()
        return {each: name for name, row in rows for each in row.secondary_private_ips or ()}

    def _border_group(self, name: str) -> str:
        live = self.world.record(f"{_ADDRESSES}.{name}", LiveElasticIp)
        written = self.spec.document.elastic_ips[name].network_border_group
        return (live.border_group if live else "") or written or self.live.region

    def _refuse_duplicates(self, destinations: Mapping[str, Destination]) -> None:
        """Two Elastic IPs on one private address, however each row names it."""
        taken: dict[tuple[str, Id | None], str] = {}
        for name, destination in destinations.items():
            private_ip = (
                None
                if destination.private_ip == self._primary_of(destination.interface)
                else destination.private_ip
            )
            first = taken.setdefault((destination.interface, private_ip), name)
            if first != name:
                which = private_ip or "the primary address"
                message = f"{which} of {destination.interface} is associated with {_ADDRESSES}.{first} already"
                hint = "EC2 associates one Elastic IP with each private IP; choose another private_ip"
                self.mistakes.add(
                    (_ADDRESSES, name, "association"), message, hint, touches=[f"{_ADDRESSES}.{first}"]
                )

    def _refuse_too_few(self, destinations: Mapping[str, Destination]) -> None:
        """A number of further addresses below that of those with Elastic IPs: EC2 would disassociate one."""
        on: dict[str, set[str]] = {}
        for address, each in destinations.items():
            if not self.world.leaves(f"{_ADDRESSES}.{address}", "association"):
                on.setdefault(each.interface, set()).add(str(each.private_ip or ""))
        for name, row in self.spec.document.network_interfaces.items():
            count, live = row.secondary_private_ip_count, self._live(name)
            if count is None or live is None or self.world.leaves(f"{_INTERFACES}.{name}", _COUNT):
                continue
            named = on.get(name, set())
            used = sorted(named & set(live.secondary_ips), key=live.secondary_ips.index)
            if len(used) > count:
                words = f"Elastic IPs are associated with {len(used)} of its further addresses: {', '.join(used)}"
                hint = f"write at least {len(used)}, or associate them with other addresses"
                self.mistakes.add((_INTERFACES, name, _COUNT), words, hint)

    def _primary_of(self, interface: str) -> str | None:
        """The primary address of an interface: the one in the spec, else the one that EC2 chose."""
        row, live = self.spec.document.network_interfaces.get(interface), self._live(interface)
        return (row.private_ip if row else None) or (live.private_ip if live else None)

    def _live(self, interface: str) -> LiveNetworkInterface | None:
        """The live record of an interface, by its name or id."""
        live = self.world.record(f"{_INTERFACES}.{interface}", LiveNetworkInterface)
        return live or self.foreign_interfaces.get(interface)
