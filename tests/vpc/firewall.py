"""What EC2 lets through, as rules of nftables: pure, from what the Describe calls say.

EC2 tracks connections at each interface by itself. nftables has one connection table for a whole router, so each
interface has a set of its own here, and the translation of the internet gateway is stateless, as EC2's is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

_TRACKED = "350s"
_OWN_FIRST = "ip saddr . meta l4proto . th sport . ip daddr . th dport"
_OWN_LAST = "ip daddr . meta l4proto . th dport . ip saddr . th sport"
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Port:
    """An interface in a running instance, at its router. ``public`` maps private addresses to public ones."""

    id: str
    link: str
    mac: str
    subnet: str
    cidr: str
    addresses: tuple[str, ...]
    checked: bool
    groups: tuple[str, ...]
    public: Mapping[str, str] = field(default_factory=dict)


def ruleset(
    ports: Sequence[Port], groups: Mapping[str, Row], members: Mapping[str, Sequence[str]], acls: Mapping[str, Row]
) -> str:
    """The whole table. ``members`` are the addresses of each group's interfaces, ``acls`` are by subnet."""
    public = {private: public for port in ports for private, public in port.public.items()}
    subnets = sorted({port.subnet for port in ports})
    chains = [_acl(number, acls[subnet]) for number, subnet in enumerate(subnets)]
    for port in ports:
        chains.append(_port(port, groups, members, subnets.index(port.subnet)))
    leaving = ", ".join(f'"{port.link}" : jump out_{port.link}' for port in ports)
    entering = ", ".join(
        [*(f'"{port.link}" : jump in_{port.link}' for port in ports), '"internet" : jump gateway']
    )
    return f"""\
add table ip vpc
delete table ip vpc
table ip vpc {{
counter gateway {{ }}
{_map("to_private", {there: here for here, there in public.items()})}
{_map("to_public", public)}
{"".join(chains)}
chain gateway {{
ip saddr {_set(public)} accept
counter name "gateway" drop
}}
chain arriving {{
type filter hook prerouting priority raw
iifname "internet" ip daddr set ip daddr map @to_private
}}
chain forwarded {{
type filter hook forward priority filter; policy drop
{f"iifname vmap {{ {leaving} }}" if ports else ""}
oifname vmap {{ {entering} }}
}}
chain departing {{
type filter hook postrouting priority srcnat
oifname "internet" ip saddr set ip saddr map @to_public
}}
}}
"""


def _map(name: str, pairs: Mapping[str, str]) -> str:
    elements = ", ".join(f"{key} : {value}" for key, value in pairs.items())
    return f"map {name} {{\ntype ipv4_addr : ipv4_addr\n{f'elements = {{ {elements} }}' if elements else ''}\n}}\n"


def _set(addresses: Iterable[str]) -> str:
    """A set that may be empty: then it has an address that is none."""
    return f"{{ {', '.join([*addresses, '255.255.255.255'])} }}"


def _port(port: Port, groups: Mapping[str, Row], members: Mapping[str, Sequence[str]], acl: int) -> str:
    """Both ways through an interface: its source/destination check, the network ACL, its groups."""
    link, own = port.link, _set(port.addresses)
    chains = ""
    for way, key, remote, direction in (
        ("out", _OWN_FIRST, "daddr", "IpPermissionsEgress"),
        ("in", _OWN_LAST, "saddr", "IpPermissions"),
    ):
        mine, done = ("saddr", "return") if way == "out" else ("daddr", "accept")
        permissions = [row for group in port.groups for row in groups[group][direction]]
        # A NAT gateway has no groups, and lets all pass.
        rules = [f"goto pass_{way}_{link}"] * (not port.groups)
        rules += [
            f"{match} goto pass_{way}_{link}" for row in permissions for match in _matches(row, remote, members)
        ]
        chains += f"""\
chain pass_{way}_{link} {{
meta l4proto {{ tcp, udp }} update @flows_{link} {{ {key} }}
meta l4proto icmp update @pings_{link} {{ ip {remote} }}
{done}
}}
chain {way}_{link} {{
{f'ip {mine} != {own} counter name "check_{way}_{link}" drop' if port.checked else ""}
ip {remote} != {port.cidr} jump acl_{way}_{acl}
{key} @flows_{link} {done}
meta l4proto icmp ip {remote} @pings_{link} {done}
{_lines(rules)}
counter name "groups_{way}_{link}" drop
}}
"""
    return f"""\
{_lines([f"counter {what}_{way}_{link} {{ }}" for what in ("check", "groups") for way in ("in", "out")])}
set flows_{link} {{
type ipv4_addr . inet_proto . inet_service . ipv4_addr . inet_service
flags dynamic,timeout
timeout {_TRACKED}
}}
set pings_{link} {{
type ipv4_addr
flags dynamic,timeout
timeout 10s
}}
{chains}"""


def _matches(permission: Row, remote: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """A match for each peer of a permission: IPv4 blocks and groups. Prefix lists are not modelled."""
    peers = [each["CidrIp"] for each in permission.get("IpRanges", [])]
    peers += [_set(members.get(each["GroupId"], ())) for each in permission.get("UserIdGroupPairs", [])]
    ports = _ports(permission["IpProtocol"], permission.get("FromPort"), permission.get("ToPort"))
    return [f"ip {remote} {peer} {ports}" for peer in peers]


def _ports(protocol: str, low: int | None, high: int | None) -> str:
    protocol = _PROTOCOLS.get(protocol, protocol)
    if protocol == "-1":
        return ""
    if protocol == "icmp":
        kind = f" icmp type {low}" if low not in (None, -1) else ""
        return f"meta l4proto icmp{kind}"
    if protocol in ("tcp", "udp") and low is not None and low != -1:
        return f"{protocol} dport {low}-{high}" if low != high else f"{protocol} dport {low}"
    return f"meta l4proto {protocol}"


def _acl(number: int, acl: Row) -> str:
    """Both lists of a network ACL: the first entry that fits decides."""
    chains = ""
    for way, remote in (("in", "saddr"), ("out", "daddr")):
        entries = sorted(
            (row for row in acl["Entries"] if row["Egress"] is (way == "out") and "CidrBlock" in row),
            key=lambda row: int(row["RuleNumber"]),
        )
        verdicts = {"allow": "return", "deny": "drop"}
        rules = [
            f"ip {remote} {row['CidrBlock']} {_ports(row['Protocol'], *_range(row))} {verdicts[row['RuleAction']]}"
            for row in entries
        ]
        chains += f"chain acl_{way}_{number} {{\n{_lines([*rules, 'drop'])}\n}}\n"
    return chains


def _range(entry: Row) -> tuple[int | None, int | None]:
    ports = entry.get("PortRange") or {}
    return ports.get("From"), ports.get("To")


def _lines(rules: Sequence[str]) -> str:
    return "\n".join(rules)
