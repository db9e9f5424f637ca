"""Attributes that a resource has from another one of the file: its Elastic IP, or where its Elastic IP leads.

A reference to one of them stands for one to that other resource, whose value is known early: an Elastic IP has its
address once it is allocated, an interface its own once it is created.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from enireconcile.model import Ref

_INTERFACES, _INSTANCES, _ELASTIC_IPS = "network_interfaces", "instances", "elastic_ips"
BORROWED = {
    (_INTERFACES, "public_ip"),
    (_INSTANCES, "public_ip"),
    (_INSTANCES, "private_ip"),
    (_ELASTIC_IPS, "private_ip"),
}
"""Section and attribute. An instance without a primary interface in the file has its private address itself."""


class Borrowed:
    """Finds what lends an attribute, in the rows of an expanded file, which may have mistakes."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}
        for section in (_INTERFACES, _INSTANCES, _ELASTIC_IPS):
            rows = data.get(section)
            found = rows.items() if isinstance(rows, dict) else ()
            self._rows[section] = {name: row for name, row in found if isinstance(row, dict)}

    def lender(self, ref: Ref) -> Ref | str | None:
        """The reference itself, unless it is to a borrowed attribute; then what lends it, or None if nothing does.

        A private address that is written in the file is returned as it is.
        """
        section, _, name = ref.address.partition(".")
        if (section, ref.attribute) not in BORROWED or name not in self._rows[section]:
            return ref
        if (section, ref.attribute) == (_INSTANCES, "private_ip"):
            interface = self._primary_interfaces.get(name)
            return ref if interface is None else Ref(f"{_INTERFACES}.{interface}", "private_ip")
        if section != _ELASTIC_IPS:
            lender = self._elastic_ips.get(self._holder(section, name))
            return Ref(f"{_ELASTIC_IPS}.{lender}", "public_ip") if lender is not None else None
        holder, private_ip = self._place(self._rows[section][name])
        return private_ip or (Ref(holder, "private_ip") if holder else None)

    def _holder(self, section: str, name: str) -> str:
        """The address of what has the primary private address: an instance leaves it to its primary interface."""
        interface = self._primary_interfaces.get(name) if section == _INSTANCES else None
        return f"{section}.{name}" if interface is None else f"{_INTERFACES}.{interface}"

    @cached_property
    def _primary_interfaces(self) -> dict[str, str]:
        """The names of the interfaces at card 0, index 0, by the names of their instances."""
        places = ((name, row.get("attachment")) for name, row in self._rows[_INTERFACES].items())
        return {
            str(place.get("instance")): name
            for name, place in places
            if isinstance(place, dict)
            if (str(place.get("network_card_index", 0)), str(place.get("device_index"))) == ("0", "0")
        }

    @cached_property
    def _elastic_ips(self) -> dict[str, str]:
        """The Elastic IPs of primary private addresses, by the addresses of what has these."""
        return dict(self._primary_places())

    def _primary_places(self) -> Iterator[tuple[str, str]]:
        for name, row in self._rows[_ELASTIC_IPS].items():
            holder, private_ip = self._place(row)
            if holder is not None and private_ip in (None, self._written_address(holder)):
                yield holder, name

    def _written_address(self, holder: str) -> str | None:
        section, _, name = holder.partition(".")
        address = self._rows[section][name].get("private_ip")
        return str(address) if isinstance(address, str) else None

    def _place(self, elastic_ip: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """What an Elastic IP is associated with, and the private address if it is written.

        Nothing if that is not in the file, or if EC2 chooses the address.
        """
        place = elastic_ip.get("association")
        if not isinstance(place, dict) or str(place.get("secondary", "false")) != "false":
            return None, None
        section = _INSTANCES if "instance" in place else _INTERFACES
        name = str(place.get("instance" if section == _INSTANCES else "network_interface"))
        if name not in self._rows[section]:
            return None, None
        private_ip = place.get("private_ip")
        return self._holder(section, name), str(private_ip) if isinstance(private_ip, str) else None
