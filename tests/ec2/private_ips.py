"""Which addresses of a subnet an interface can have."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .errors import EC2Error, bad_combination, invalid_value
from .groups import Groups
from .records import Params, Subnet

AMOUNTS4 = ("PrivateIpAddresses", "SecondaryPrivateIpAddressCount", "Ipv4Prefixes", "Ipv4PrefixCount")
AMOUNTS6 = ("Ipv6Addresses", "Ipv6AddressCount", "Ipv6Prefixes", "Ipv6PrefixCount")


class PrivateIps(Groups):
    """EC2 docs: addresses lie in the subnet, not among its five reserved ones, and belong to one interface."""

    def check_ip(self, subnet: Subnet, address: str, owner: str | None = None) -> str:
        """An address that can be taken in this subnet, or that `owner` has already."""
        try:
            value = IPv4Address(address)
        except AddressValueError as error:
            raise invalid_value(f"Invalid value '{address}' for privateIpAddress. invalid IPv4 address") from error
        network = subnet.network
        if value not in network:
            raise invalid_value(f"Address {address} does not fall within the subnet's address range")
        offset = int(value) - int(network.network_address)
        if offset < 4 or offset == network.num_addresses - 1:
            raise invalid_value(f"Address {address} is in subnet's reserved address range")
        holder = subnet.used.get(address) or next(
            (who for prefix, who in subnet.reserved_prefixes.items()
             if ":" not in prefix and value in IPv4Network(prefix)), None,
        )  # fmt: skip
        if holder is not None and holder != owner:
            raise EC2Error("InvalidIPAddress.InUse", "The specified address is already in use.")
        return address

    def free_ips(self, subnet: Subnet, count: int, but: Sequence[str] = ()) -> list[str]:
        """So many free addresses, picked anywhere in the subnet."""
        if count < 0:
            raise invalid_value("The address count may not be negative")
        if count > subnet.free - len(set(but) - set(subnet.used)):
            raise EC2Error(
                "InsufficientFreeAddressesInSubnet",
                "The specified subnet does not have enough free addresses to satisfy the request.",
            )
        base, size = int(subnet.network.network_address), subnet.network.num_addresses
        delegated = [IPv4Network(prefix) for prefix in subnet.reserved_prefixes if ":" not in prefix]
        taken = {*subnet.used, *but}
        chosen: list[str] = []
        offset = self.rng.randrange(4, size - 1)
        while len(chosen) < count:
            address = IPv4Address(base + offset)
            if str(address) not in taken and not any(address in prefix for prefix in delegated):
                chosen.append(str(address))
                taken.add(str(address))
                offset = self.rng.randrange(4, size - 1)
            else:
                offset = offset + 1 if offset + 1 < size - 1 else 4
        return chosen

    def wanted_ips(self, p: Params, subnet: Subnet) -> list[str]:
        """The addresses of a new interface, the primary one first.

        EC2 docs: at most one of explicit addresses, a count, prefixes, a prefix count.
        """
        one_of(p, AMOUNTS4)
        one_of(p, AMOUNTS6)
        primary: str | None = p.get("PrivateIpAddress")
        secondary: list[str] = []
        for each in p.get("PrivateIpAddresses", []):
            address = each.get("PrivateIpAddress", "")
            if each.get("Primary"):
                if primary not in (None, address):
                    raise bad_combination("Only one primary private IP address can be specified.")
                primary = address
            elif address != primary:
                secondary.append(address)
        explicit = [*([primary] if primary else []), *secondary]
        if len(set(explicit)) < len(explicit):
            raise invalid_value("The same private IP address is specified more than once")
        for address in explicit:
            self.check_ip(subnet, address)
        count = p.get("SecondaryPrivateIpAddressCount", 0)
        needed = count + (0 if primary else 1)
        chosen = self.free_ips(subnet, needed, explicit)
        if len(explicit) > subnet.free:
            raise EC2Error(
                "InsufficientFreeAddressesInSubnet",
                "The specified subnet does not have enough free addresses to satisfy the request.",
            )
        if primary:
            return [primary, *secondary, *chosen]
        return [chosen[0], *secondary, *chosen[1:]]

    def wanted_ips6(self, p: Params, subnet: Subnet) -> list[str]:
        """EC2 docs: a subnet may give every new interface an address, which a count of 0 forbids."""
        network = subnet.network6
        explicit = [each.get("Ipv6Address", "") for each in p.get("Ipv6Addresses", [])]
        explicit = [each if isinstance(each, str) else "" for each in explicit]
        unasked = subnet.assign_ipv6 and not any(p.get(name) for name in AMOUNTS6)
        return self.choose_ips6(subnet, network, explicit, p.get("Ipv6AddressCount", int(unasked)))

    def choose_ips6(
        self, subnet: Subnet, network: IPv6Network | None, explicit: list[str], count: int
    ) -> list[str]:
        if not explicit and not count:
            return []
        if network is None:
            raise invalid_value(f"The subnet '{subnet.id}' does not have an IPv6 CIDR block")
        chosen: list[str] = []
        for each in explicit:
            try:
                value = IPv6Address(each)
            except AddressValueError as error:
                raise invalid_value(f"Invalid value '{each}' for ipv6Address") from error
            if value not in network:
                raise invalid_value(f"Address {each} does not fall within the subnet's address range")
            if int(value) - int(network[0]) < 4 or value == network[-1]:
                raise invalid_value(f"Address {each} is in subnet's reserved address range")
            chosen.append(str(value))
        while len(chosen) < len(explicit) + count:
            candidate = str(IPv6Address(int(network.network_address) + self.rng.getrandbits(63) + 4))
            if candidate not in subnet.used6 and candidate not in chosen:
                chosen.append(candidate)
        return chosen

    def wanted_prefixes(self, p: Params, subnet: Subnet, family: int) -> list[str]:
        """EC2 docs: IPv4 prefixes are /28, IPv6 prefixes /80."""
        name, length = (("Ipv4Prefix", 28), ("Ipv6Prefix", 80))[family == 6]
        explicit: list[str] = [
            each if isinstance(each, str) else each.get(name, "") for each in p.get(f"{name}es", [])
        ]
        network: IPv4Network | IPv6Network | None = subnet.network if family == 4 else subnet.network6
        count = p.get(f"{name}Count", 0)
        if not explicit and not count:
            return []
        if network is None:
            raise invalid_value(f"The subnet '{subnet.id}' does not have an IPv6 CIDR block")
        kind = IPv4Network if family == 4 else IPv6Network
        chosen: list[str] = []
        for each in explicit:
            try:
                prefix = kind(each)
            except ValueError as error:
                raise invalid_value(f"Invalid prefix {each}") from error
            if prefix.prefixlen != length or not prefix.subnet_of(network):  # type: ignore[arg-type]
                raise invalid_value(f"Prefix {each} is not a /{length} of the subnet")
            if network[3] in prefix or network[-1] in prefix:
                raise invalid_value(f"Prefix {each} is in subnet's reserved address range")
            if each in subnet.reserved_prefixes or self._overlaps(subnet, prefix):
                raise EC2Error("InvalidIPAddress.InUse", "The specified prefix is already in use.")
            chosen.append(each)
        blocks = 2 ** (length - network.prefixlen) if network.prefixlen <= length else 0
        for index in range(1, min(blocks - 1, 4096)):
            if len(chosen) == len(explicit) + count:
                break
            start = int(network.network_address) + index * 2 ** (network.max_prefixlen - length)
            prefix = kind((start, length))
            if str(prefix) not in {*subnet.reserved_prefixes, *chosen} and not self._overlaps(subnet, prefix):
                chosen.append(str(prefix))
        if len(chosen) < len(explicit) + count:
            raise EC2Error(
                "InsufficientCidrBlocks",
                "The specified subnet does not have enough free cidr blocks to satisfy the request.",
            )
        return chosen

    @staticmethod
    def _overlaps(subnet: Subnet, prefix: IPv4Network | IPv6Network) -> bool:
        if isinstance(prefix, IPv4Network):
            return any(IPv4Address(each) in prefix for each in subnet.used)
        return any(IPv6Address(each) in prefix for each in subnet.used6)


def one_of(p: Params, names: Sequence[str]) -> str | None:
    given = [name for name in names if p.get(name)]
    if len(given) > 1:
        raise bad_combination(f"The parameters {' and '.join(given)} may not be used together")
    return given[0] if given else None
