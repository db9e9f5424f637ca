"""Where Elastic IPs lead, whatever the spec calls it. Pure.

Every spelling ends as a ``Destination``: an interface of the spec by its name, or any other one by its id. What
would go wrong half way is a problem here: an interface that a service manages, an address that the
interface does not have, two Elastic IPs on one private address, a border group that does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from enireconcile.errors import Problem
from enireconcile.kinds.base import Destination, World
from enireconcile.live.records import Live, LiveElasticIp, LiveInstance, LiveNetworkInterface
from enireconcile.spec import Association, Path, Spec

_INTERFACES = "network_interfaces"
_ADDRESSES = "elastic_ips"


@dataclass
class Associations:
    """Those of one spec. ``zones`` maps its interfaces to their zones; ``problems`` gets what is wrong.

    ``foreign_interfaces`` are known once the targets are.
    """

    spec: Spec
    live: Live
    world: World
    externals: Mapping[str, LiveInstance]
    zones: Mapping[str, str]
    problems: list[Problem]
    foreign_interfaces: dict[str, LiveNetworkInterface] = field(default_factory=dict)

    def destinations(self) -> dict[str, Destination]:
        """By name of the Elastic IP."""
        self.foreign_interfaces = {interface.id: interface for interface in self.live.foreign_interfaces}
        found: dict[str, Destination] = {}
        for name, row in self.spec.document.elastic_ips.items():
            if row.association is None:
                continue
            path = (_ADDRESSES, name, "association")
            before = len(self.problems)
            destination = self._destination(path, row.association)
            if destination is not None and self._fits(name, destination, path):
                found[name] = destination
            if self.world.leaves(f"{_ADDRESSES}.{name}", "association"):
                # It was so once, and is others' business since.
                del self.problems[before:]
        self._refuse_twins(found)
        return found

    def _destination(self, path: Path, row: Association) -> Destination | None:
        """None if there is a problem, here or with the instance."""
        if row.network_interface is not None:
            path, named = (*path, "network_interface"), row.network_interface
        else:
            path, named = (*path, "instance"), self._primary(str(row.instance))
        named = self._names.get(named, named)
        if named in self.spec.document.network_interfaces or (named and self._is_fit(named, path)):
            return Destination(named, row.private_ip)
        return None

    def _primary(self, instance: str) -> str:
        """The primary interface of an instance: its name if the spec gives it one, else its id."""
        if name := self.spec.document.primary_interface(instance):
            return name
        live = self.externals.get(instance) or self.world.record(f"instances.{instance}", LiveInstance)
        primary = live.occupant(0, 0) if live else None
        return primary.network_interface_id if primary else ""

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of the spec's interfaces by their ids, former ones included."""
        former = ((address, record) for address, found in self.world.replaced.items() for record in found)
        records = (*former, *self.world.owned.items())
        names = {f"{_INTERFACES}.{name}": name for name in self.spec.document.network_interfaces}
        return {record.id: names[address] for address, record in records if address in names}

    def _is_fit(self, interface_id: str, path: Path) -> bool:
        """May addresses of ours lead to an interface that the spec does not keep?"""
        live = self.foreign_interfaces.get(interface_id) or self._ours.get(interface_id)
        if live is None:
            words = (
                f"there is no {interface_id} in {self.live.region}",
                "see `aws ec2 describe-network-interfaces`",
            )
        elif live.manager is not None:
            words = f"{live.id} is managed by {live.manager}", "what a service manages is never touched"
        elif not live.private_ip:
            words = f"{live.id} has no private address", "choose another interface"
        elif any(record.id == live.id for record in self.world.removed.values()):
            words = f"{live.id} is of this stack and goes, as the spec does not keep it", "name another one"
        else:
            self.foreign_interfaces[live.id] = live
            return True
        self.problems.append(self.spec.problem(path, *words))
        return False

    @cached_property
    def _ours(self) -> dict[str, LiveNetworkInterface]:
        """The interfaces of the stack by their ids, whether the spec keeps them or not."""
        return {interface.id: interface for interface in self.live.network_interfaces}

    def _fits(self, name: str, destination: Destination, path: Path) -> bool:
        """Does the interface have the private address, and is it in the Elastic IP's border group?"""
        address = f"{_INTERFACES}.{destination.interface}"
        row = self.spec.document.network_interfaces.get(destination.interface)
        if row and row.interface_type == "efa-only":
            words = f"{address} is efa-only and has no IP address"
            self.problems.append(self.spec.problem(path, words, "choose an interface of another type"))
            return False
        if not self._has(destination, path):
            return False
        stranger = self.foreign_interfaces.get(destination.interface)
        zone = stranger.zone if stranger else self.zones.get(destination.interface, "")
        group = self._border_group(name)
        # The Region's own zones are in its border group; of others their names do not tell.
        if re.fullmatch(f"{self.live.region}[a-z]", zone) and group != self.live.region:
            hint = "an address serves interfaces of its own network border group only"
            words = f"the address is of border group {group}, the interface is in {zone}"
            self.problems.append(self.spec.problem(path, words, hint))
            return False
        return True

    def _has(self, destination: Destination, path: Path) -> bool:
        """Will the interface have the private address? What the spec leaves open, EC2 tells."""
        address = f"{_INTERFACES}.{destination.interface}"
        row, live = (
            self.spec.document.network_interfaces.get(destination.interface),
            self._live(destination.interface),
        )
        has = row.private_ips if row else ()
        hint = f"add it to the secondary_private_ips of {address}"
        if live and (row is None or not row.specifies("private_ip")):
            has = (live.private_ip, *has)
        if live and (row is None or self.world.leaves(address, "secondary_private_ips")):
            has = live.private_ips
            hint = f"it has {', '.join(has)}"
        if destination.private_ip in (None, *has):
            return True
        words = f"{destination.private_ip} is no address of {live.id if live else address}"
        self.problems.append(self.spec.problem((*path, "private_ip"), words, hint))
        return False

    def _border_group(self, name: str) -> str:
        live = self.world.record(f"{_ADDRESSES}.{name}", LiveElasticIp)
        written = self.spec.document.elastic_ips[name].network_border_group
        return (live.border_group if live else "") or written or self.live.region

    def _refuse_twins(self, destinations: Mapping[str, Destination]) -> None:
        """Two Elastic IPs on one private address, however each of them is told."""
        taken: dict[tuple[str, str | None], str] = {}
        for name, destination in destinations.items():
            private_ip = (
                None
                if destination.private_ip == self._primary_of(destination.interface)
                else destination.private_ip
            )
            first = taken.setdefault((destination.interface, private_ip), name)
            if first != name:
                which = private_ip or "the primary address"
                message = f"{which} of {destination.interface} has {_ADDRESSES}.{first} already"
                hint = "one Elastic IP for each private IP; choose another"
                self.problems.append(self.spec.problem((_ADDRESSES, name, "association"), message, hint))

    def _primary_of(self, interface: str) -> str | None:
        """The primary address of an interface: the one that the spec gives it, or else EC2."""
        row, live = self.spec.document.network_interfaces.get(interface), self._live(interface)
        return (row.private_ip if row else None) or (live.private_ip if live else None)

    def _live(self, interface: str) -> LiveNetworkInterface | None:
        """The interface of a target as it is."""
        live = self.world.record(f"{_INTERFACES}.{interface}", LiveNetworkInterface)
        return live or self.foreign_interfaces.get(interface)
