"""Who changed what differs: one CloudTrail lookup for each resource whose attributes are not as the spec says.

CloudTrail keeps management events for 90 days and shows an event some minutes after it happened. A lookup is by
the resource's id. A detach and a disassociation name only the id of the relation that they end; they are looked up
by event name, and the ids of the resource's relations identify the right one. CloudTrail answers two lookups a
second for an account and Region, so there are few, and none for resources that do not differ.

The kinds declare which events change an attribute. Calls of enireconcile itself do not count: they set what the
spec said before.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from enireconcile.errors import AwsError
from enireconcile.kinds import KINDS, Attribute, attribute_at
from enireconcile.live.optional import read_optional
from enireconcile.model import Action, Change, Plan, Reads, Trace, Traces

MOST = 20
"""Resources that are looked up. With two lookups for relations that takes eleven seconds at CloudTrail's pace."""
_PAGE = 50
_RELATION = re.compile(r"\b(?:eni-attach|eipassoc)-[0-9a-f]{8,17}\b")
_OTHER_PARAMETERS: Mapping[str, frozenset[str]] = {
    "ModifyNetworkInterfaceAttribute": frozenset({"enaSrdSpecification", "enablePrimaryIpv6"}),
}
"""Parameters of these calls that correspond to no attribute of a spec."""


def _telling_parameters() -> dict[str, frozenset[str]]:
    """By event: the request parameters that show which attribute it changed; it changes one at a time."""
    found = dict(_OTHER_PARAMETERS)
    for attribute in (each for kind in KINDS for each in kind.attributes):
        for event in attribute.changed_by:
            found[event] = found.get(event, frozenset()) | attribute.request_parameters
    return found


_TELLING_PARAMETERS = _telling_parameters()


class _Event(Struct, frozen=True):
    """One event. ``text`` is all of it, ``parameters`` those of its call; ``ours``: enireconcile made the call."""

    name: str
    time: datetime
    user: str
    text: str
    parameters: Mapping[str, Any]
    ours: bool


@dataclass
class _Trail:
    """Lookups in CloudTrail, each made once."""

    reader: Reads
    lookups: dict[str, asyncio.Task[list[_Event]]] = field(default_factory=dict)

    async def events(self, key: str, value: str) -> list[_Event]:
        """The last events, newest first. Raises AwsError."""
        if value not in self.lookups:
            self.lookups[value] = asyncio.ensure_future(self._look_up(key, value))
        return await self.lookups[value]

    async def _look_up(self, key: str, value: str) -> list[_Event]:
        wanted = [{"AttributeKey": key, "AttributeValue": value}]
        answer = await read_optional(
            self.reader, "LookupEvents", {"LookupAttributes": wanted, "MaxResults": _PAGE}
        )
        found = [event for each in answer.get("Events") or () if (event := _event(each)) is not None]
        return sorted(found, key=lambda event: event.time, reverse=True)


async def who(reader: Reads, plan: Plan) -> Traces:
    """Who changed each field that differs, as far as CloudTrail knows; and a note where it does not."""
    changed = [
        change
        for change in plan.changes
        if change.id is not None and change.fields and change.action not in (Action.CREATE, Action.DELETE)
    ]
    trail = _Trail(reader)
    # The first lookup alone: if it is denied, so are the others.
    found: dict[tuple[str, str], Trace] = {}
    try:
        for change in changed[:1]:
            found |= await _traces(trail, change)
        for traces in await asyncio.gather(*(_traces(trail, change) for change in changed[1:MOST])):
            found |= traces
    except AwsError as error:
        return Traces(found, f"cannot ask CloudTrail who made the changes: {error}")
    if len(changed) > MOST:
        return Traces(found, f"CloudTrail was queried for the first {MOST} of {len(changed)} resources only")
    return Traces(found)


async def _traces(trail: _Trail, change: Change) -> dict[tuple[str, str], Trace]:
    events = await trail.events("ResourceName", str(change.id))
    relations = {relation for event in events for relation in _RELATION.findall(event.text)}
    differing = {each.field: attribute_at(change.address, each.field) for each in change.fields}
    for attribute in differing.values():
        if relations and attribute is not None and attribute.ended_by:
            ended = await trail.events("EventName", attribute.ended_by)
            events = [*events, *(event for event in ended if relations & set(_RELATION.findall(event.text)))]
    events = sorted(events, key=lambda event: event.time, reverse=True)
    named = {name: next(_fitting(attribute, events), None) for name, attribute in differing.items()}
    return {
        (change.address, name): Trace(event.user, event.time, event.name)
        for name, event in named.items()
        if event is not None
    }


def _fitting(attribute: Attribute | None, events: Iterable[_Event]) -> Iterator[_Event]:
    """The events that may have changed an attribute, newest first.

    For an attribute that no call changes once the resource exists, these are all events.
    """
    for event in events:
        if event.ours:
            continue
        if attribute is None or not attribute.changed_by:
            yield event
        elif event.name in attribute.changed_by:
            told = _TELLING_PARAMETERS[event.name] & set(event.parameters)
            own = attribute.request_parameters
            if not own or not told or told & own:
                yield event


def _event(words: Mapping[str, Any]) -> _Event | None:
    """An event that changed something; None for any other."""
    text = str(words.get("CloudTrailEvent") or "{}")
    try:
        details = json.loads(text)
    except (ValueError, RecursionError):
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
    """``user/alice``, ``assumed-role/Ops/alice``, ``root``, or the service that made the call."""
    known = identity if isinstance(identity, dict) else {}
    arn = str(known.get("arn") or "")
    return arn.rpartition(":")[2] or str(known.get("invokedBy") or words.get("Username") or "unknown")
