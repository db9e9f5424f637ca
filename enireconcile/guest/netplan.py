"""``netplan``: a YAML file, and drop-ins of networkd for the rules, which netplan cannot express. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from enireconcile.guest import networkd
from enireconcile.guest.model import Guest, Link, Side, routes
from enireconcile.guest.output import MTU, File, head, mark_files


def files(guest: Guest) -> tuple[File, ...]:
    """The YAML, which only root may read, and a drop-in for each link."""
    devices = "".join(line for link in guest.links for line in _device(guest, link))
    yaml = f"{head(guest)}network:\n  version: 2\n  ethernets:\n{devices}"
    return (
        File(f"/etc/netplan/60-enireconcile-{guest.stack}.yaml", yaml, 0o600),
        *(File(_dropin(guest, link), head(guest) + "\n".join(_rules(guest, link))) for link in guest.links),
        *mark_files(guest),
    )


def _id(guest: Guest, link: Link) -> str:
    """The name of a definition. networkd finds its file before those of others, that of the link's stack first."""
    return f"{'01' if link.shared else '00'}-{guest.stack}.{link.name}"


def _dropin(guest: Guest, link: Link) -> str:
    return f"{networkd.FOLDER}/10-netplan-{_id(guest, link)}.network.d/enireconcile.conf"


def _rules(guest: Guest, link: Link) -> Iterator[str]:
    if link.primary and len(link.sides) > 1:
        yield networkd.without_dhcpv6()
    yield from networkd.policy(guest, link)


def _device(guest: Guest, link: Link) -> Iterator[str]:
    lines = [f'match: {{macaddress: "{link.mac}"}}', "renderer: networkd"]
    if link.primary:
        lines += ["dhcp4: true", "dhcp4-overrides: {route-metric: 100}"] if link.side(4) else ["dhcp6: true"]
    else:
        lines += ["optional: true", "accept-ra: false", f"mtu: {MTU}"]
    addresses = [each for side in link.sides for each in _addresses(link, side)]
    if addresses:
        lines += ["addresses:", *(f'  - "{address}"' for address in addresses)]
    lines += ["routes:", *(f"  - {{{line}}}" for side in link.sides for line in _routes(link, side))]
    yield f'    "{_id(guest, link)}":\n'
    yield from (f"      {line}\n" for line in lines)


def _addresses(link: Link, side: Side) -> Iterator[str]:
    """All addresses but that of DHCP. With the length of the subnet, netplan would add a route of its own."""
    for address in side.further if link.primary else side.own:
        yield f"{address}/{side.bits}"


def _routes(link: Link, side: Side) -> Iterator[str]:
    if not link.primary:
        source = f', from: "{side.primary[0]}"' if side.primary else ""
        for subnet in side.subnets:
            yield f'to: "{subnet}", scope: link{source}, metric: {link.table}'
    for route in routes(side):
        way = f'via: "{route.via}", on-link: true' if route.via else "scope: link"
        yield f'to: "{route.to}", {way}, table: {link.table}'
