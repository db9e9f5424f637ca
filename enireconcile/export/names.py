"""Logical names for live resources: from their Name tags, else from their roles. Valid and unique. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from enireconcile.export.taking import Taken
from enireconcile.live.records import (
    AnyRecord,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
)
from enireconcile.ownership import NAME_TAG

R = TypeVar("R", LiveSecurityGroup, LiveInstance, LiveNetworkInterface, LiveElasticIp)
_LONGEST = 100


def names_of(taken: Taken, *, owned: bool, wishes: Mapping[str, str]) -> dict[str, str]:
    """The logical names by id. ``owned``: those in the name tags, which a plan looks for. ``wishes`` are names by
    id that count before Name tags.
    """
    names: dict[str, str] = {}
    if owned:
        names = {live.id: live.tags[NAME_TAG].partition(".")[2] for live in taken.rows}
    hosts = (*taken.instances, *taken.externals)
    names |= _named(names, wishes, hosts, lambda live: _short("instance", live.id))
    names |= _named(
        names, wishes, taken.security_groups, lambda live: _name(live.name) or _short("group", live.id)
    )
    names |= _named(names, wishes, taken.network_interfaces, lambda live: _interface_role(live, names))
    return names | _named(names, wishes, taken.elastic_ips, lambda live: _address_role(live, taken, names))


def _named(
    names: Mapping[str, str], wishes: Mapping[str, str], rows: Sequence[R], role: Callable[[R], str]
) -> dict[str, str]:
    """Names for the rows of a section that have none: a wish or a Name tag that one of them has, else the role,
    numbered where several have it.
    """
    unnamed = sorted((live for live in rows if live.id not in names), key=lambda live: live.id)
    used = {names[live.id] for live in rows if live.id in names}
    wished = {live.id: _valid(live, wishes.get(live.id, "")) for live in unnamed}
    tagged = {live.id: wished[live.id] or _valid(live, live.tags.get("Name", "")) for live in unnamed}
    times = Counter(tagged.values())
    found = {key: name for key, name in tagged.items() if name and times[name] == 1 and name not in used}
    used |= set(found.values())
    others = [live for live in unnamed if live.id not in found]
    roles = {
        live.id: wished[live.id] or _shared(live, tagged[live.id]) or _valid(live, role(live)) or live.id
        for live in others
    }
    counted = Counter(roles.values())
    for live in others:
        found[live.id] = _free(roles[live.id], used, numbered=counted[roles[live.id]] > 1)
        used.add(found[live.id])
    return found


def _shared(live: AnyRecord, name: str) -> str:
    """A Name that several have; of interfaces and Elastic IPs, the role says more."""
    return name if isinstance(live, (LiveInstance, LiveSecurityGroup)) else ""


def _free(name: str, used: set[str], *, numbered: bool) -> str:
    if not numbered and name not in used:
        return name
    return next(each for each in (f"{name}-{number}" for number in range(1, len(used) + 2)) if each not in used)


def _name(text: str) -> str:
    """The text with the characters that a logical name can have; empty if none is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain)[:_LONGEST].strip("-_")


def _valid(live: AnyRecord, text: str) -> str:
    """A name that a row of this section can have; groups and interfaces must not look like ids or keywords."""
    name = _name(text)
    if isinstance(live, LiveSecurityGroup):
        name = re.sub(r"\A((sg|pl)-[-_]*)+", "", name)
        return "self-group" if name == "self" else name
    return name.replace("eni-", "interface-", 1) if re.fullmatch("eni-[0-9a-f]{8,17}", name) else name


def _short(what: str, aws_id: str) -> str:
    return f"{what}-{aws_id.rpartition('-')[2][-5:]}"


def _interface_role(live: LiveNetworkInterface, names: Mapping[str, str]) -> str:
    place = live.attachment
    if place is None or place.instance_id not in names:
        return _short("interface", live.id)
    card = f"card{place.network_card_index}-" if place.network_card_index else ""
    return f"{names[place.instance_id]}-{card}eth{place.device_index}"


def _address_role(live: LiveElasticIp, taken: Taken, names: Mapping[str, str]) -> str:
    holder = next((each for each in taken.network_interfaces if each.id == live.network_interface_id), None)
    if holder is None:
        return f"address-{live.public_ip.replace('.', '-')}"
    if live.private_ip in (None, holder.private_ip):
        return names[holder.id]
    return f"{names[holder.id]}-{str(live.private_ip).rpartition('.')[2]}"
