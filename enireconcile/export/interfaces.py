"""Rows of ``network_interfaces``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from enireconcile.export.said import Said, Source
from enireconcile.kinds.network_interface import TIMEOUTS
from enireconcile.live.records import LiveNetworkInterface


def interface_row(live: LiveNetworkInterface, source: Source) -> Said:
    """The row of an interface, with the addresses that it has, its attachment and the routes that lead to it."""
    said, groups = source.begun(live), _groups(live, source)
    if groups is None and live.groups:
        said.comments[()] = "in the default group of its VPC"
    _say_subnet(said, live, source)
    said.say(
        security_groups=groups,
        private_ip=live.private_ip or None,
        secondary_private_ips=_listed(live.secondary_ips),
        ipv6_addresses=_listed(live.ipv6_addresses),
        primary_ipv6=True if live.primary_ipv6 else None,
        ipv4_prefixes=_listed(live.ipv4_prefixes),
        ipv6_prefixes=_listed(live.ipv6_prefixes),
        description=live.description or None,
        source_dest_check=None if live.source_dest_check else False,
        connection_tracking=_timeouts(live),
        interface_type=live.interface_type if live.interface_type != "interface" else None,
    )
    _say_attachment(said, live, source)
    if routes := source.selectors.routes_to(live.id):
        said.say(routes=routes)
        said.comments["routes",] = "in others' route tables: only these routes are managed"
    return said


def _listed(items: Iterable[str]) -> list[str] | None:
    return list(items) or None


def _say_subnet(said: Said, live: LiveNetworkInterface, source: Source) -> None:
    known = source.selectors.knows_subnet(live.subnet_id)
    if known or "adopt" not in said.row:
        said.say(subnet=source.selectors.subnet(live.subnet_id))
    if not known:
        said.comments[()] = f"in {live.subnet_id}, which EC2 does not list"
        said.ignored.append("subnet")


def _groups(live: LiveNetworkInterface, source: Source) -> list[Any] | None:
    """Its groups; None if it has the default group of its VPC alone."""
    if len(live.groups) == 1 and source.selectors.is_default_group(live.groups[0]):
        return None
    own = sorted(source.names[group] for group in live.groups if group in source.rows)
    others = [source.selectors.group(group, live.vpc_id) for group in live.groups if group not in source.rows]
    return [*own, *others] or None


def _timeouts(live: LiveNetworkInterface) -> dict[str, int] | None:
    return {key: live.timeouts[name] for key, name in TIMEOUTS.items() if name in live.timeouts} or None


def _say_attachment(said: Said, live: LiveNetworkInterface, source: Source) -> None:
    """Where it is attached, and the automatic public address, which only a primary interface has."""
    place = live.attachment
    if place is None or place.status == "detaching":
        return
    if place.instance_id not in source.names:
        said.comments[()] = f"attached to {place.instance_id}, which cannot have a row"
        said.ignored.append("attachment")
        return
    attachment: dict[str, Any] = {"instance": source.names[place.instance_id], "device_index": place.device_index}
    if place.network_card_index:
        attachment["network_card_index"] = place.network_card_index
    if place.delete_on_termination:
        attachment["delete_on_termination"] = True
        said.comments["attachment",] = "EC2 deletes it with the instance"
    said.say(attachment=attachment)
    if live.automatic_ip and (place.network_card_index, place.device_index) == (0, 0):
        said.say(associate_public_ip_address=True)
        said.comments["associate_public_ip_address",] = (
            f"{live.automatic_ip} now; EC2 gives another one after a stop"
        )
