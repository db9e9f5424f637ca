"""Which of the selected resources get a row, and why others do not. Pure."""

from __future__ import annotations

import re
from collections import Counter

from msgspec import Struct

from enireconcile.live.matching import tagged_address
from enireconcile.live.records import (
    AnyRecord,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
    titled,
)
from enireconcile.live.selected import Selected, Selection
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.spec.scalars import LOGICAL_NAME

_OTHER_TOOLS = {
    "aws:autoscaling:groupName": "the Auto Scaling group",
    "aws:cloudformation:stack-name": "the CloudFormation stack",
}
"""Tags by which other tools show that they manage a resource, too."""


class Taken(Struct, frozen=True):
    """The resources with a row. ``externals`` are instances with a row that only names them; ``notes`` say what
    was left out, and why.
    """

    security_groups: tuple[LiveSecurityGroup, ...]
    instances: tuple[LiveInstance, ...]
    network_interfaces: tuple[LiveNetworkInterface, ...]
    elastic_ips: tuple[LiveElasticIp, ...]
    externals: tuple[LiveInstance, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[AnyRecord, ...]:
        """The resources with a row of their own."""
        return (*self.security_groups, *self.instances, *self.network_interfaces, *self.elastic_ips)


def taken(selection: Selection, found: Selected) -> Taken:
    """What gets a row: what a stack can own or adopt."""
    selected: tuple[AnyRecord, ...] = (
        *found.security_groups,
        *found.instances,
        *found.network_interfaces,
        *found.elastic_ips,
    )
    names = Counter(live.tags.get(NAME_TAG) for live in selected if live.tags.get(STACK_TAG) == selection.stack)
    reasons = {live.id: _objection(live, selection, names) for live in selected}
    fitting = {key for key, reason in reasons.items() if reason is None}
    interfaces = tuple(live for live in found.network_interfaces if live.id in fitting)
    hosts = {live.attachment.instance_id for live in interfaces if live.attachment}
    outside = (live for live in found.outside if isinstance(live, LiveInstance))
    externals = (live for live in (*found.instances, *outside) if live.id in hosts - fitting)
    return Taken(
        security_groups=tuple(live for live in found.security_groups if live.id in fitting),
        instances=tuple(live for live in found.instances if live.id in fitting),
        network_interfaces=interfaces,
        elastic_ips=tuple(live for live in found.elastic_ips if live.id in fitting),
        externals=tuple(sorted(externals, key=lambda live: live.id)),
        notes=(
            *(f"left out: {titled(live)}: {reasons[live.id]}" for live in selected if reasons[live.id]),
            *(note for live in selected if live.id in fitting for note in _others(live)),
        ),
    )


def _objection(live: AnyRecord, selection: Selection, names: Counter[str | None]) -> str | None:
    """Why a resource gets no row. Empty where that needs no word."""
    if live.manager is not None:
        return f"managed by {live.manager}"
    if isinstance(live, LiveSecurityGroup) and live.name == "default":
        return ""
    owner = live.tags.get(STACK_TAG)
    if selection.stack is None:
        return (
            None if owner is None else f"belongs to the stack {owner}: see `enireconcile export --stack {owner}`"
        )
    if owner != selection.stack:
        return ""
    address = tagged_address(live)
    if not re.fullmatch(LOGICAL_NAME, address.partition(".")[2]) or live.tags.get(NAME_TAG) != address:
        return f"its tag {NAME_TAG} is not the name of a row"
    return f"{address} is the name of several resources" if names[address] > 1 else None


def _others(live: AnyRecord) -> list[str]:
    found = {words: live.tags[key] for key, words in _OTHER_TOOLS.items() if key in live.tags}
    return [f"{titled(live)} is also managed by {words} {name}" for words, name in found.items()]
