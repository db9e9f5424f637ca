"""Who changed what differs: a question to CloudTrail for each resource whose attributes are not as the spec says.

CloudTrail keeps the management events of 90 days and shows an event some minutes after it happened. It is asked
for the events that name the resource's id; for a detach and a disassociation, which name only the relation that
they end, for all events of that name, among which the ids of this resource's relations tell the right one. It
answers two questions a second for all who ask in an account and Region, so few are asked, and never any for
what does not differ.

Our own calls are no answer: what we did before is what the spec said before.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from enireconcile.errors import AwsError
from enireconcile.model import Action, Change, Plan, Reads, Trace, Traces

MOST = 20
"""Resources that are asked for, and two questions for relations besides: eleven seconds at CloudTrail's pace."""
_PAGE = 50
_INTERFACE = ("ModifyNetworkInterfaceAttribute", "ResetNetworkInterfaceAttribute")
_IPV4 = ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")
_IPV6 = ("AssignIpv6Addresses", "UnassignIpv6Addresses")
_EVENTS: Mapping[str, tuple[str, ...]] = {
    "tags": ("CreateTags", "DeleteTags"),
    "ingress": (
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "ModifySecurityGroupRules",
        "UpdateSecurityGroupRuleDescriptionsIngress",
    ),
    "egress": (
        "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupEgress",
        "ModifySecurityGroupRules",
        "UpdateSecurityGroupRuleDescriptionsEgress",
    ),
    "attachment": ("AttachNetworkInterface", "DetachNetworkInterface", "RunInstances", *_INTERFACE),
    "association": ("AssociateAddress", "DisassociateAddress", *_IPV4),
    "reverse_dns": ("ModifyAddressAttribute", "ResetAddressAttribute"),
    "security_groups": (*_INTERFACE, "ModifyInstanceAttribute"),
    "description": _INTERFACE,
    "source_dest_check": (*_INTERFACE, "ModifyInstanceAttribute"),
    "connection_tracking": _INTERFACE,
    "secondary_private_ips": _IPV4,
    "secondary_private_ip_count": _IPV4,
    "ipv4_prefixes": _IPV4,
    "ipv4_prefix_count": _IPV4,
    "ipv6_addresses": _IPV6,
    "ipv6_address_count": _IPV6,
    "ipv6_prefixes": _IPV6,
    "ipv6_prefix_count": _IPV6,
    "state": ("StartInstances", "StopInstances"),
    "metadata_options": ("ModifyInstanceMetadataOptions",),
    "termination_protection": ("ModifyInstanceAttribute",),
    "instance_type": ("ModifyInstanceAttribute",),
    "iam_instance_profile": (
        "AssociateIamInstanceProfile",
        "ReplaceIamInstanceProfileAssociation",
        "DisassociateIamInstanceProfile",
    ),
}
"""The calls that change an attribute; of any other attribute, the last change of any kind is told."""
_PARAMETERS: Mapping[str, frozenset[str]] = {
    "security_groups": frozenset({"groupSet", "groups", "securityGroupId"}),
    "description": frozenset({"description"}),
    "source_dest_check": frozenset({"sourceDestCheck"}),
    "attachment": frozenset({"attachment"}),
    "connection_tracking": frozenset({"connectionTrackingSpecification"}),
    "termination_protection": frozenset({"disableApiTermination"}),
    "instance_type": frozenset({"instanceType"}),
}
"""What tells apart the many things that one call changes, one at a time."""
_ALL_PARAMETERS = frozenset({"enaSrdSpecification", "enablePrimaryIpv6"}).union(*_PARAMETERS.values())
_ENDS = {"DetachNetworkInterface": "attachment", "DisassociateAddress": "association"}
"""Calls that name neither interface nor address, but the relation between two of them."""
_RELATION = re.compile(r"\b(?:eni-attach|eipassoc)-[0-9a-f]{8,17}\b")


@dataclass(frozen=True)
class _Event:
    """One event. ``text`` is all of it, ``parameters`` those of its call; ``ours`` says that we did it."""

    name: str
    time: datetime
    user: str
    text: str
    parameters: Mapping[str, Any]
    ours: bool


@dataclass
class _Trail:
    """Questions to CloudTrail, each asked once."""

    reader: Reads
    asked: dict[str, asyncio.Task[list[_Event]]] = field(default_factory=dict)

    async def events(self, key: str, value: str) -> list[_Event]:
        """The last events, newest first. Raises AwsError."""
        if value not in self.asked:
            self.asked[value] = asyncio.ensure_future(self._ask(key, value))
        return await self.asked[value]

    async def _ask(self, key: str, value: str) -> list[_Event]:
        question = [{"AttributeKey": key, "AttributeValue": value}]
        answer = await self.reader.read("LookupEvents", {"LookupAttributes": question, "MaxResults": _PAGE})
        found = [event for each in answer.get("Events") or () if (event := _event(each)) is not None]
        return sorted(found, key=lambda event: event.time, reverse=True)


async def who(reader: Reads, plan: Plan) -> Traces:
    """Who is behind each field of a plan that differs, as far as CloudTrail tells; and a note if it does not."""
    changed = [
        change
        for change in plan.changes
        if change.id is not None and change.fields and change.action not in (Action.CREATE, Action.DELETE)
    ]
    trail = _Trail(reader)
    # One at a time, until it is known that we may ask at all.
    found: dict[tuple[str, str], Trace] = {}
    try:
        for change in changed[:1]:
            found |= await _traces(trail, change)
        for traces in await asyncio.gather(*(_traces(trail, change) for change in changed[1:MOST])):
            found |= traces
    except AwsError as error:
        return Traces(found, f"CloudTrail does not tell who it was: {error}")
    if len(changed) > MOST:
        return Traces(found, f"CloudTrail was asked for the first {MOST} resources only, of {len(changed)}")
    return Traces(found)


async def _traces(trail: _Trail, change: Change) -> dict[tuple[str, str], Trace]:
    events = await trail.events("ResourceName", str(change.id))
    relations = {relation for event in events for relation in _RELATION.findall(event.text)}
    for call, attribute in _ENDS.items():
        if relations and any(each.field == attribute for each in change.fields):
            ended = await trail.events("EventName", call)
            events = [*events, *(event for event in ended if relations & set(_RELATION.findall(event.text)))]
    events = sorted(events, key=lambda event: event.time, reverse=True)
    named = {each.field: next(_fitting(each.field, events), None) for each in change.fields}
    return {
        (change.address, name): Trace(event.user, event.time, event.name)
        for name, event in named.items()
        if event is not None
    }


def _fitting(attribute: str, events: Iterable[_Event]) -> Iterator[_Event]:
    """The events that may have changed an attribute, newest first."""
    for event in events:
        if event.ours or (attribute in _EVENTS and event.name not in _EVENTS[attribute]):
            continue
        told = _ALL_PARAMETERS & set(event.parameters)
        if attribute in _PARAMETERS and told and not told & _PARAMETERS[attribute]:
            continue
        yield event


def _event(words: Mapping[str, Any]) -> _Event | None:
    """An event that changed something; None for any other."""
    text = str(words.get("CloudTrailEvent") or "{}")
    try:
        details = json.loads(text)
    except ValueError:
        details = {}
    if not isinstance(details, dict) or words.get("ReadOnly") == "true" or details.get("errorCode"):
        return None
    moment, parameters = words.get("EventTime"), details.get("requestParameters")
    return _Event(
        name=str(words.get("EventName") or ""),
        time=moment if isinstance(moment, datetime) else datetime.fromtimestamp(0, UTC),
        user=_user(words, details.get("userIdentity")),
        text=text,
        parameters=parameters if isinstance(parameters, dict) else {},
        ours="enireconcile/" in str(details.get("userAgent", "")),
    )


def _user(words: Mapping[str, Any], identity: Any) -> str:
    """``user/alice``, ``assumed-role/Ops/alice``, ``root``, or the service that did it."""
    known = identity if isinstance(identity, dict) else {}
    arn = str(known.get("arn") or "")
    return arn.rpartition(":")[2] or str(known.get("invokedBy") or words.get("Username") or "unknown")
