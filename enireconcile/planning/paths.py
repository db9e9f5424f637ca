"""Paths through the resources of a plan: in which order it may run so that traffic keeps flowing. Pure.

A path is a *door* (see ``doors``), or one of the relations "this instance runs", "this interface is attached",
"this Elastic IP leads to this interface", "this route leads to this interface". What is open before and after the
plan stays open at every moment in between, in every order that the plan's needs allow, and also if the run ends
after any of its calls. What is shut before and after stays shut. Where both cannot be had, the open path wins.

``preferences`` tells ``order`` what follows from that; ``breaks`` tells what it could not keep:
``interruptions`` of paths that should be open and ``exposures`` of doors that should be shut. Empty lists are a
promise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.kinds import World
from enireconcile.live.records import LiveElasticIp, LiveNetworkInterface, LiveSecurityGroup, destination_of
from enireconcile.model import PathBreak, Ref, Step, texts_in
from enireconcile.planning.doors import (
    GroupChange,
    InterfaceChange,
    Point,
    Provider,
    Rule,
    points,
    providers,
    rules_in,
)

_DIRECTIONS = {"ingress": "Ingress", "egress": "Egress"}
_ATTACHING = ("AttachNetworkInterface", "RunInstances")


class Door(Struct, frozen=True):
    """A door whose providers change: ``open`` before and after the plan, or neither."""

    address: str
    rule: Rule
    open: bool
    providers: tuple[Provider, ...]


def preferences(steps: Sequence[Step], world: World) -> list[tuple[str, str]]:
    """Pairs of step ids, (first, then), most important first: what keeps doors open, then what keeps them shut."""
    if not steps:
        return []
    keep: set[tuple[str, str]] = set()
    shut: set[tuple[str, str]] = set()
    for door in doors(steps, world):
        if door.open:
            keep.update(_kept_open(door))
        else:
            shut.update(_kept_shut(door))
    keep.update(_rerouted_first(steps, world))
    return [*sorted(keep), *sorted(shut - keep)]


def _kept_open(door: Door) -> Iterator[tuple[str, str]]:
    """One group that opens it at the end begins before one that opened it at the start ends."""
    first = next(each for each in door.providers if not each.starts)
    last = next(each for each in door.providers if not each.ends)
    yield from ((start, end) for start in last.starts for end in first.ends if start != end)


def _kept_shut(door: Door) -> Iterator[tuple[str, str]]:
    """A group that would open it for a while ends before it begins."""
    for each in door.providers:
        yield from ((end, start) for end in each.ends for start in each.starts)


def _rerouted_first(steps: Sequence[Step], world: World) -> Iterator[tuple[str, str]]:
    """A route leaves an interface, or ends, before the interface does."""
    for change, ending in _routes_and_ends(steps, world):
        yield change.id, ending.id


def _routes_and_ends(steps: Sequence[Step], world: World) -> Iterator[tuple[Step, Step]]:
    """The steps that take a route from an interface of the stack, each with those that end that interface's
    traffic: they detach or delete it, or stop or terminate its instance.
    """
    changes = [step for step in steps if step.call in ("ReplaceRoute", "DeleteRoute")]
    if not changes:
        return
    records = {record.id: record for _, record in world.ours if isinstance(record, LiveNetworkInterface)}
    ending: dict[str, dict[str, Step]] = {}
    for step in steps:
        for text in texts_in(step.params) if step.call in _ENDING else ():
            ending.setdefault(text, {})[step.id] = step
    for change in changes:
        former = next((records[text] for text in _targets_before(change) if text in records), None)
        if former is None:
            continue
        ends = ending.get(former.id, {})
        if former.attachment is not None:
            ends = ends | ending.get(former.attachment.id, {}) | ending.get(former.attachment.instance_id, {})
        yield from ((change, step) for step in ends.values())


_ENDING = ("DetachNetworkInterface", "DeleteNetworkInterface", "StopInstances", "TerminateInstances")


def _targets_before(step: Step) -> Iterator[str]:
    """What a route leads to before a step."""
    yield from (str(value) for expect in step.when for _, values in expect.has for value in values)


def doors(steps: Sequence[Step], world: World) -> Iterator[Door]:
    """The doors that are open before and after, or shut before and after, but not of themselves throughout."""
    groups = _groups(steps, world)
    known: dict[Any, list[_DoorOfAny]] = {}
    for interface in _interfaces(steps, world):
        # Interfaces that change the same groups for the same others have the same doors, but for the call.
        alike = replace(interface, address="", enter=interface.enter and _ENTER)
        if alike not in known:
            known[alike] = list(_doors_of(alike, groups))
        for rule, opened, found in known[alike]:
            yield Door(interface.address, rule, opened, tuple(_entering(each, interface.enter) for each in found))


_ENTER = "enter"
_DoorOfAny = tuple[Rule, bool, tuple[Provider, ...]]


def _entering(provider: Provider, enter: str | None) -> Provider:
    def named(steps: frozenset[str]) -> frozenset[str]:
        return (steps - {_ENTER}) | {enter} if enter and _ENTER in steps else steps

    return Provider(provider.group, named(provider.starts), named(provider.ends))


def _doors_of(interface: InterfaceChange, groups: Mapping[str, GroupChange]) -> Iterator[_DoorOfAny]:
    rules: set[Rule] = set()
    changing: set[Rule] = set()
    for name in (interface.before | interface.after) & groups.keys():
        group = groups[name]
        stays = name in interface.before and name in interface.after
        rules |= group.before | group.after
        changing |= group.before ^ group.after if stays else group.before | group.after
    told: set[_DoorOfAny] = set()
    for point in points(sorted(changing), sorted(rules)):
        found = tuple(providers(point, interface, groups))
        opened, ended = any(not each.starts for each in found), any(not each.ends for each in found)
        if opened != ended or any(not (each.starts or each.ends) for each in found):
            continue
        door = (_name(point, rules), opened, found)
        if door not in told:
            told.add(door)
            yield door


def _name(point: Point, rules: Iterable[Rule]) -> Rule:
    """The narrowest rule for a door."""
    return min((rule for rule in rules if rule.covers(point)), key=lambda rule: (rule.size, rule))


def _groups(steps: Iterable[Step], world: World) -> dict[str, GroupChange]:
    """The rules of the stack's groups, by id or, of those that are yet to be made, by the text of their Ref."""
    by_group: dict[str, list[Step]] = {}
    for step in steps:
        if step.call.startswith(("AuthorizeSecurityGroup", "RevokeSecurityGroup")):
            by_group.setdefault(str(step.params["GroupId"]), []).append(step)

    def name(end: Any) -> str:
        return end.address.partition(".")[2] if isinstance(end, Ref) else world.name_of(str(end))

    def rules(direction: str, permissions: Iterable[Mapping[str, Any]]) -> frozenset[Rule]:
        return frozenset(rules_in(direction, permissions, name))

    before: dict[str, frozenset[Rule]] = {}
    for _, record in world.ours:
        if isinstance(record, LiveSecurityGroup):
            before[record.id] = rules("ingress", record.ingress) | rules("egress", record.egress)
    for step in steps:
        if step.call == "CreateSecurityGroup":
            vpc = world.vpcs_by_id.get(str(step.params["VpcId"]))
            before[str(Ref(step.address))] = rules("egress", _born_with(ipv6=vpc is not None and vpc.ipv6))
    return {group: _group_change(had, by_group.get(group, ()), rules) for group, had in before.items()}


def _born_with(*, ipv6: bool) -> list[Mapping[str, Any]]:
    """What EC2 lets out of a new group."""
    everywhere: dict[str, Any] = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    return [everywhere | ({"Ipv6Ranges": [{"CidrIpv6": "::/0"}]} if ipv6 else {})]


def _group_change(before: frozenset[Rule], steps: Sequence[Step], rules: Any) -> GroupChange:
    after = before
    authorize: dict[str, str] = {}
    revoke: dict[str, str] = {}
    for step in sorted(steps, key=lambda step: step.call):
        for direction, word in _DIRECTIONS.items():
            if step.call == f"AuthorizeSecurityGroup{word}":
                after |= rules(direction, step.params["IpPermissions"])
                authorize[direction] = step.id
            if step.call == f"RevokeSecurityGroup{word}":
                after -= rules(direction, step.params["IpPermissions"])
                revoke[direction] = step.id
    return GroupChange(before, after, authorize, revoke)


def _interfaces(steps: Sequence[Step], world: World) -> Iterator[InterfaceChange]:
    """The interfaces that are there before and after, under their names."""
    modified = {step.address: step for step in steps if step.call == _MODIFY and "Groups" in step.params}
    created = {step.address: step for step in steps if step.call == "CreateNetworkInterface"}
    entering = {address: step.id for step in steps if step.call in _ATTACHING for address in _attached_by(step)}
    for name in world.document.network_interfaces:
        address = f"network_interfaces.{name}"
        live = world.record(address, LiveNetworkInterface)
        former = [record for record in world.replaced.get(address, ()) if isinstance(record, LiveNetworkInterface)]
        if live is not None:
            before, step = live.groups, modified.get(address)
            enter = step.id if step else None
        elif former and address in created and address in entering:
            before, step, enter = former[-1].groups, created[address], entering[address]
        else:
            continue
        after = before if step is None else step.params["Groups"]
        yield InterfaceChange(address, frozenset(map(str, before)), frozenset(map(str, after)), enter)


_MODIFY = "ModifyNetworkInterfaceAttribute"


def _attached_by(step: Step) -> Iterator[str]:
    """The addresses of the interfaces that a step attaches."""
    if step.call == "AttachNetworkInterface":
        yield step.address
    else:
        yield from (ref.address for ref in step.sees if ref.attribute == "attachment_id")


# ---- what could not be kept


class _Order(Struct, frozen=True):
    """Which steps come before which: ``position`` by id, and all ancestors of each."""

    position: Mapping[str, int]
    before: Mapping[str, frozenset[str]]

    @staticmethod
    def of(steps: Sequence[Step], relevant: Collection[str]) -> _Order:
        """Steps in an order that works. Only ancestors that are ``relevant`` are kept."""
        before: dict[str, frozenset[str]] = {}
        for step in steps:
            near = frozenset(need for need in step.needs if need in relevant)
            before[step.id] = near.union(*(before[need] for need in step.needs))
        return _Order({step.id: number for number, step in enumerate(steps)}, before)

    def closed(self, steps: Iterable[str]) -> frozenset[str]:
        """The steps and all that must have run by then."""
        steps = frozenset(steps)
        return steps.union(*(self.before[step] for step in steps))


def breaks(steps: Sequence[Step], world: World) -> tuple[tuple[PathBreak, ...], tuple[PathBreak, ...]]:
    """``interruptions`` and ``exposures`` of a plan in order."""
    if not steps:
        return (), ()
    found = list(doors(steps, world))
    rerouted = [(change, end) for change, end in _routes_and_ends(steps, world) if _leads_on(change)]
    relevant = {step for door in found for each in door.providers for step in (*each.starts, *each.ends)}
    order = _Order.of(steps, relevant | {change.id for change, _ in rerouted})
    interruptions = {*_stopped(steps), *_detached(steps, world), *_led_astray(steps, world)}
    interruptions |= {*_unrouted(rerouted, order)}
    exposures: set[PathBreak] = set()
    for door in found:
        if door.open and (done := _shut_by(door.providers, order)) is not None:
            interruptions.add(_interruption(door, done, order))
        if not door.open:
            exposures.update(_exposures(door, order))

    def as_they_run(broken: PathBreak) -> tuple[int, int, str, str, str]:
        begins, ends = order.position[broken.begins], order.position[broken.ends]
        return begins, ends, broken.address, broken.what, broken.why

    return tuple(sorted(interruptions, key=as_they_run)), tuple(sorted(exposures, key=as_they_run))


def _shut_by(found: Sequence[Provider], order: _Order) -> frozenset[str] | None:
    """Steps after which, if no others ran, no group opens the door; None if there are none such.

    Every group has either not begun, for one of its starts has not run, or has ended. Of these choices one is
    looked for in which nothing has run before what it needs.
    """

    def choose(rest: Sequence[Provider], done: frozenset[str], undone: frozenset[str]) -> frozenset[str] | None:
        if not rest:
            return done
        for end in sorted(rest[0].ends, key=order.position.__getitem__):
            ran = done | order.closed([end])
            if not ran & undone and (chosen := choose(rest[1:], ran, undone)) is not None:
                return chosen
        for start in sorted(rest[0].starts, key=order.position.__getitem__):
            if start not in done and (chosen := choose(rest[1:], done, undone | {start})) is not None:
                return chosen
        return None

    # Those that cannot but have ended come first: they leave the least to choose from.
    return choose(sorted(found, key=lambda each: (len(each.starts), len(each.ends))), frozenset(), frozenset())


def _interruption(door: Door, done: frozenset[str], order: _Order) -> PathBreak:
    moments = sorted(done, key=order.position.__getitem__)
    involved = {step for each in door.providers for step in (*each.starts, *each.ends)}
    moments += sorted(involved - done, key=order.position.__getitem__)
    open_at = [_is_open(door, frozenset(moments[:number])) for number in range(len(moments) + 1)]
    shut = open_at.index(False)
    begins, ends = moments[shut - 1], moments[open_at.index(True, shut) - 1]
    return PathBreak(door.address, door.rule.words, begins, ends, "no order of these calls keeps it open")


def _is_open(door: Door, done: frozenset[str]) -> bool:
    return any(each.starts <= done and not each.ends & done for each in door.providers)


def _exposures(door: Door, order: _Order) -> Iterator[PathBreak]:
    for each in door.providers:
        (end,), last = each.ends, max(each.starts, key=order.position.__getitem__)
        if end not in order.closed(each.starts):
            why = "no order of these calls keeps it closed"
            yield PathBreak(door.address, door.rule.words, last, end, why)


def _stopped(steps: Sequence[Step]) -> Iterator[PathBreak]:
    """Instances that run before and after, and not in between."""
    starts = {step.address: step for step in steps if step.call in ("StartInstances", "RunInstances")}
    for step in steps:
        again = starts.get(step.address)
        if again is None or step.call not in ("StopInstances", "TerminateInstances"):
            continue
        replaced = step.call == "TerminateInstances"
        if not replaced and again.call == "RunInstances":
            continue
        why = "the instance is replaced" if replaced else "EC2 changes this only while the instance is stopped"
        yield PathBreak(step.address, "running", step.id, again.id, why)


def _detached(steps: Sequence[Step], world: World) -> Iterator[PathBreak]:
    """Interfaces that are attached before and after, and not in between."""
    entering = {address: step for step in steps if step.call in _ATTACHING for address in _attached_by(step)}
    terminated = {
        each: step for step in steps if step.call == "TerminateInstances" for each in step.params["InstanceIds"]
    }
    ending = {step.params["AttachmentId"]: step for step in steps if step.call == "DetachNetworkInterface"}
    reassociated = {step.address for step in steps if step.call in ("AssociateAddress", "DisassociateAddress")}
    for address, record in world.ours:
        if not isinstance(record, LiveNetworkInterface) or record.attachment is None or address not in entering:
            continue
        leaves = ending.get(record.attachment.id) or terminated.get(record.attachment.instance_id)
        if leaves is not None:
            why = "EC2 moves an interface by detaching and attaching it"
            if leaves.call == "TerminateInstances":
                why = "its instance is replaced"
            if public := _public_addresses(record, world, reassociated):
                why += f"; {' and '.join(public)} cannot be reached meanwhile"
            yield PathBreak(address, "attachment", leaves.id, entering[address].id, why)


def _public_addresses(interface: LiveNetworkInterface, world: World, but: Collection[str]) -> list[str]:
    """The public addresses that lead to an interface: of its primary address, and Elastic IPs of the stack.

    Those of the rows ``but`` move by calls of their own.
    """
    ours = {address: each for address, each in world.owned.items() if isinstance(each, LiveElasticIp)}
    led = {each.public_ip for each in ours.values() if each.id in interface.addresses.values()}
    moving = {each.public_ip for address, each in ours.items() if address in but}
    return sorted(({interface.public_ip or ""} | led) - moving - {""})


def _leads_on(change: Step) -> bool:
    """Does a step lead a route to another interface, rather than end it?"""
    return "NetworkInterfaceId" in change.params


def _unrouted(rerouted: Iterable[tuple[Step, Step]], order: _Order) -> Iterator[PathBreak]:
    """Routes that leave an interface only after it has ended."""
    first: dict[str, PathBreak] = {}
    for change, end in rerouted:
        if change.id in order.closed([end.id]):
            continue
        what = f"route {destination_of(change.params)} of {change.params['RouteTableId']}"
        found = PathBreak(change.address, what, end.id, change.id, "the interface that it leads to ends before")
        before = first.setdefault(change.id, found)
        if order.position[end.id] < order.position[before.begins]:
            first[change.id] = found
    yield from first.values()


def _led_astray(steps: Sequence[Step], world: World) -> Iterator[PathBreak]:
    """Elastic IPs that lead to one interface of the spec before and after, and to none in between."""
    associates = {step.address: step for step in steps if step.call == "AssociateAddress"}
    takes_off = {step.address: step for step in steps if step.call == "DisassociateAddress"}
    formers = {
        record.id: (address, record)
        for address, records in world.replaced.items()
        for record in records
        if isinstance(record, LiveNetworkInterface)
    }
    ending = {step.params["AttachmentId"]: step for step in steps if step.call == "DetachNetworkInterface"}
    deleted = {step.params["NetworkInterfaceId"]: step for step in steps if step.call == "DeleteNetworkInterface"}
    for address, record in world.owned.items():
        if not isinstance(record, LiveElasticIp) or address not in associates:
            continue
        interface, former = formers.get(record.network_interface_id or "", ("", None))
        destination = world.destinations.get(address.partition(".")[2])
        if former is None or destination is None or f"network_interfaces.{destination.interface}" != interface:
            continue
        leaves = (
            takes_off.get(address)
            or (former.attachment and ending.get(former.attachment.id))
            or deleted.get(former.id)
        )
        if leaves is not None:
            what = f"association with {destination.interface}"
            yield PathBreak(address, what, leaves.id, associates[address].id, f"{interface} is replaced")
