"""The interfaces of each instance as the plan leaves them, and the limits of its instance type. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.detach import (
    left,
)
from enireconcile.live.records import Limits, LiveInstance, LiveInstanceType, Occupant
from enireconcile.model import Step
from enireconcile.planning.limits.case import ASSIGN_CALLS, INTERFACES, UNASSIGN_CALLS, Case, Issue
from enireconcile.spec import EFA_TYPES, Path
from enireconcile.spec.suggest import Nearest

_FEWER = "attach fewer interfaces, or choose an instance type that supports more"


@dataclass(frozen=True, order=True)
class DeviceSlot:
    """An interface in a device slot of an instance: its address if it is in the spec, else its id.

    ``efa`` says that it is an Elastic Fabric Adapter.
    """

    card: int
    index: int
    interface: str
    efa: bool = field(default=False, compare=False)

    @property
    def in_spec(self) -> bool:
        return self.interface.startswith(f"{INTERFACES}.")


class PlannedInstance(Struct, frozen=True):
    """An instance of the spec, own or external, as the plan leaves it.

    ``type`` is its type after the plan. ``staying`` interfaces are attached before and after; ``coming`` ones are
    attached by the plan, ``leaving`` ones detached by the plan or detaching already. ``failing_over`` interfaces
    are elsewhere after the plan and can fail over to it. ``zone`` is empty until the instance exists.
    """

    address: str
    type: str
    zone: str
    staying: tuple[DeviceSlot, ...]
    leaving: tuple[Occupant, ...]
    coming: tuple[DeviceSlot, ...]
    failing_over: tuple[DeviceSlot, ...]
    changes_type: bool

    @property
    def name(self) -> str:
        return self.address.partition(".")[2]

    @property
    def occupied(self) -> tuple[DeviceSlot, ...]:
        """The interfaces that are attached after the plan."""
        return tuple(sorted((*self.staying, *self.coming)))

    def issue(
        self,
        slot: DeviceSlot,
        path: Path,
        message: str,
        hint: str | None,
        case: Case,
        sharing: Iterable[DeviceSlot] = (),
    ) -> Issue:
        """A mistake of an interface on this instance; ``sharing`` are those that take from the same limit.

        It is only a warning if the interface exists and would come by a later failover: that must not stop a
        failover to another instance now.
        """
        touches = {each.interface for each in sharing if each.in_spec}
        if self.changes_type:
            # The present type may take them.
            touches.add(self.address)
        if not slot.in_spec:
            return case.mistake(self.address, (), message, hint, touches=touches)
        if slot in self.failing_over and case.record(slot.interface) is not None:
            return f"{slot.interface} cannot fail over to {self.name}: {message}"
        return case.mistake(slot.interface, path, message, hint, touches=touches)


def planned_instances(case: Case) -> list[PlannedInstance]:
    """The instances to which the plan adds interfaces or addresses, now or by a later failover."""
    touched = {*case.creates, *case.address_changes} | {
        case.interface_of(step.params) for step in case.calls(_ATTACH)
    }
    if not (touched or case.calls("RunInstances", "ModifyInstanceAttribute")):
        return []
    found = (_planned_instance(f"instances.{name}", case) for name in sorted(case.world.document.instances))
    return [instance for instance in found if instance is not None and _is_concerned(instance, touched, case)]


_ATTACH, _DETACH = "AttachNetworkInterface", "DetachNetworkInterface"


def _is_concerned(instance: PlannedInstance, touched: set[str], case: Case) -> bool:
    there = {slot.interface for slot in (*instance.occupied, *instance.failing_over)}
    there |= {case.interface(occupant.network_interface_id) for occupant in instance.leaving}
    return bool(instance.coming) or instance.changes_type or not there.isdisjoint(touched)


def _planned_instance(address: str, case: Case) -> PlannedInstance | None:
    for step in case.calls("RunInstances"):
        if step.address == address:
            coming = tuple(sorted(_requested_slot(row, case) for row in step.params["NetworkInterfaces"]))
            failing_over = _failing_over(address, coming, case)
            return PlannedInstance(
                address, step.params["InstanceType"], "", (), (), coming, failing_over, changes_type=False
            )
    live = case.world.record(address, LiveInstance)
    return None if live is None else _existing(address, live, case)


def _existing(address: str, live: LiveInstance, case: Case) -> PlannedInstance:
    """An instance that exists before and after the plan."""
    ending = {step.params["AttachmentId"] for step in case.calls(_DETACH)}
    leaving = tuple(
        occupant
        for occupant in live.occupants
        if occupant.status == "detaching" or occupant.attachment_id in ending
    )
    staying = tuple(_occupied_slot(occupant, case) for occupant in live.occupants if occupant not in leaving)
    # DescribeNetworkInterfaces can lag DescribeInstances: the plan then attaches what is attached already.
    attached = {slot.interface for slot in staying}
    attaching = (
        _requested_slot(step.params, case) for step in case.calls(_ATTACH) if step.params["InstanceId"] == live.id
    )
    coming = tuple(sorted(slot for slot in attaching if slot.interface not in attached))
    kind = _new_type(address, case) or live.instance_type
    failing_over = _failing_over(address, (*staying, *coming), case)
    changes_type = kind != live.instance_type
    return PlannedInstance(address, kind, live.zone, staying, leaving, coming, failing_over, changes_type)


def _requested_slot(params: Mapping[str, Any], case: Case) -> DeviceSlot:
    """The slot in the parameters of an attach, or of one interface of a launch."""
    interface = case.interface_of(params)
    return DeviceSlot(params["NetworkCardIndex"], params["DeviceIndex"], interface, case.is_efa(interface))


def _occupied_slot(occupant: Occupant, case: Case) -> DeviceSlot:
    interface = case.interface(occupant.network_interface_id)
    adapter = occupant.interface_type in EFA_TYPES
    return DeviceSlot(occupant.network_card_index, occupant.device_index, interface, adapter)


def _new_type(address: str, case: Case) -> str | None:
    """The type to which the plan changes an existing instance, if it does."""
    for step in case.calls("ModifyInstanceAttribute"):
        if step.address == address and "InstanceType" in step.params:
            return str(step.params["InstanceType"]["Value"])
    return None


def _failing_over(address: str, occupied: tuple[DeviceSlot, ...], case: Case) -> tuple[DeviceSlot, ...]:
    present = {slot.interface for slot in occupied}
    slots = (
        DeviceSlot(row.attachment.network_card_index, row.attachment.device_index, f"{INTERFACES}.{name}")
        for name, row in case.world.document.network_interfaces.items()
        if row.attachment is not None and address.partition(".")[2] in (row.attachment.instances or ())
    )
    return tuple(sorted(slot for slot in slots if slot.interface not in present))


# ---- order


def detach_first(instance: PlannedInstance, kind: LiveInstanceType, case: Case) -> list[Step]:
    """The steps, ordered such that a full instance detaches interfaces before it attaches others."""
    steps = list(case.steps)
    if len(instance.occupied) + len(instance.leaving) <= kind.interfaces:
        return steps
    room = frozenset({f"room:{instance.address}"})
    coming = {slot.interface for slot in instance.coming}
    leaving = {occupant.attachment_id for occupant in instance.leaving}
    asked = {step.params["AttachmentId"] for step in case.calls(_DETACH)}
    waits = tuple(left(occupant) for occupant in instance.leaving if occupant.attachment_id not in asked)

    def placed(step: Step) -> Step:
        if step.call == _DETACH and step.params["AttachmentId"] in leaving:
            return replace(step, frees=step.frees | room)
        if step.call == _ATTACH and case.interface_of(step.params) in coming:
            return replace(step, claims=step.claims | room, when=tuple(dict.fromkeys((*step.when, *waits))))
        return step

    return [placed(step) for step in steps]


def resize_between(instance: PlannedInstance, case: Case) -> list[Step]:
    """The steps, ordered such that addresses are unassigned before the type changes, and assigned after it."""
    before = frozenset({Fact.ROOM_MADE.of(f"{instance.address}/before")})
    after = frozenset({Fact.ROOM_MADE.of(f"{instance.address}/after")})
    occupied = {slot.interface for slot in instance.staying}

    def placed(step: Step) -> Step:
        if step.address == instance.address and "InstanceType" in step.params:
            return replace(step, rather=step.rather | before, brings=step.brings | after)
        if step.call in ASSIGN_CALLS and case.interface_of(step.params) in occupied:
            return replace(step, rather=step.rather | after)
        if step.call in UNASSIGN_CALLS and case.interface_of(step.params) in occupied:
            return replace(step, brings=step.brings | before)
        return step

    return [placed(step) for step in case.steps]


# ---- judging


def unknown_type(instance: PlannedInstance, case: Case) -> Iterator[Issue]:
    """An instance type that does not exist in the region."""
    if instance.name in case.world.document.own_instances:
        yield case.mistake(instance.address, ("instance_type",), *unknown_type_words(instance.type, case.limits))


def unknown_type_words(name: str, limits: Limits) -> tuple[str, str | None]:
    """The message and the hint about a type that does not exist."""
    hint = Nearest(name, limits.similar_types.get(name, ()), "see `aws ec2 describe-instance-types`").text()
    return f"there is no instance type {name} in this region", hint


def zone(instance: PlannedInstance, case: Case) -> Iterator[Issue]:
    """EC2 attaches within one zone. For new instances, resolving has compared the zones of the subnets."""
    for slot in instance.coming:
        subnet = case.subnets.get(case.world.subnets[slot.interface.partition(".")[2]])
        if instance.zone and subnet is not None and subnet.zone != instance.zone:
            message = f"the subnet is in {subnet.zone}, but the instance {instance.name} is in {instance.zone}"
            hint = "an instance and its interfaces must be in one Availability Zone"
            yield case.mistake(slot.interface, ("subnet",), message, hint)


def interfaces(instance: PlannedInstance, kind: LiveInstanceType, case: Case) -> Iterator[Issue]:
    """The number of interfaces on the instance, and on each of its network cards."""
    last = len(kind.cards) - 1
    for slot in (*instance.coming, *instance.failing_over):
        if slot.card > last:
            cards = "1 network card" if last == 0 else f"{last + 1} network cards"
            hint = "write 0, or leave it out" if last == 0 else f"write 0 to {last}"
            yield instance.issue(
                slot, ("attachment", "network_card_index"), f"{kind.name} has {cards}", hint, case
            )
    yield from _capacity(instance, kind.name, kind.interfaces, range(last + 1), case)
    if last:
        for card, most in enumerate(kind.cards):
            yield from _capacity(instance, f"card {card} of {kind.name}", most, (card,), case)


def _capacity(
    instance: PlannedInstance, what: str, most: int, cards: range | tuple[int, ...], case: Case
) -> Iterator[Issue]:
    """``what`` takes at most ``most`` interfaces on ``cards``."""
    coming, occupied, failing_over = (
        tuple(slot for slot in slots if slot.card in cards)
        for slots in (instance.coming, instance.occupied, instance.failing_over)
    )
    if len(occupied) > most and (coming or instance.changes_type):
        message = f"{what} supports {most} interfaces, {_attached_text(occupied, instance)}"
        yield instance.issue((coming or occupied)[-1], ("attachment",), message, _FEWER, case, coming)
    elif failing_over and len(occupied) + len(failing_over) > most:
        attached = _attached_text((*occupied, *failing_over), instance)
        message = f"{what} supports {most} interfaces, {attached}, counting those that can fail over to it"
        new = [slot for slot in failing_over if slot.in_spec and case.record(slot.interface) is None]
        yield instance.issue(failing_over[-1], ("attachment", "instances"), message, _FEWER, case, new)


def adapters(instance: PlannedInstance, kind: LiveInstanceType, case: Case) -> Iterator[Issue]:
    """Elastic Fabric Adapters: how many the type takes, and one per network card. They do not fail over."""
    there = [slot for slot in instance.occupied if slot.efa]
    taken = {slot.card: slot for slot in there if slot in instance.staying}
    for slot in there:
        if slot in instance.staying and not instance.changes_type:
            continue
        if not kind.adapters:
            message = f"{kind.name} does not support Elastic Fabric Adapters"
            yield instance.issue(
                slot, ("interface_type",), message, "choose an instance type that supports EFA", case
            )
        elif len(there) > kind.adapters:
            most = f"{kind.adapters} Elastic Fabric Adapter{'s' if kind.adapters > 1 else ''}"
            message = f"{kind.name} supports {most}, {_attached_text(tuple(there), instance)}"
            arriving = [each for each in there if each not in instance.staying]
            yield instance.issue(slot, ("interface_type",), message, _FEWER, case, arriving)
        elif (first := taken.setdefault(slot.card, slot)) != slot:
            message = (
                f"card {slot.card} of {instance.name} has an Elastic Fabric Adapter already: {first.interface}"
            )
            hint = "EC2 allows one per network card; choose another network_card_index"
            yield instance.issue(slot, ("attachment", "network_card_index"), message, hint, case)


def _attached_text(slots: tuple[DeviceSlot, ...], instance: PlannedInstance) -> str:
    """How many of these interfaces the spec attaches to the instance, and which others are attached to it."""
    others = sorted(slot.interface for slot in slots if not slot.in_spec)
    count = f"{len(others)} other is" if len(others) == 1 else f"{len(others)} others are"
    beside = f", where {count} attached ({', '.join(others)})" if others else ""
    return f"the spec attaches {len(slots) - len(others)} to {instance.name}{beside}"
