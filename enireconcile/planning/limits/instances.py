"""Instances as the plan leaves them: who stays, who goes, who comes, and who may come by failover. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from enireconcile.kinds.detach import (
    left,
)
from enireconcile.live.records import LiveInstance, LiveInstanceType, Occupant
from enireconcile.model import Step
from enireconcile.planning.limits.case import ADDING, INTERFACES, TAKING, Case, ProblemOrWarning
from enireconcile.spec import EFA_TYPES, Path
from enireconcile.spec.suggest import Nearest

_FEWER = "attach fewer, or choose a type that takes more"


@dataclass(frozen=True, order=True)
class DeviceSlot:
    """An interface on a card of an instance: its address where it is of the spec, else its id.

    ``adapter`` says that it is an Elastic Fabric Adapter.
    """

    card: int
    index: int
    interface: str
    adapter: bool = field(default=False, compare=False)

    @property
    def ours(self) -> bool:
        return self.interface.startswith(f"{INTERFACES}.")


@dataclass(frozen=True)
class Machine:
    """An instance of the spec, own or external, of the ``type`` that it will have.

    ``leaving`` are attachments that end, by a call of the plan or by themselves; ``floating`` are interfaces that
    are elsewhere when all is done and may come by failover. ``zone`` is empty until it exists.
    """

    address: str
    type: str
    zone: str
    staying: tuple[DeviceSlot, ...]
    leaving: tuple[Occupant, ...]
    coming: tuple[DeviceSlot, ...]
    floating: tuple[DeviceSlot, ...]
    retyped: bool

    @property
    def name(self) -> str:
        return self.address.partition(".")[2]

    @property
    def occupied(self) -> tuple[DeviceSlot, ...]:
        """Who is on it when all is done."""
        return tuple(sorted((*self.staying, *self.coming)))

    def tell(self, slot: DeviceSlot, path: Path, message: str, hint: str | None, case: Case) -> ProblemOrWarning:
        """What is wrong with an interface on this instance.

        Who may come by a failover only, and exists, is not kept from another instance by that.
        """
        if not slot.ours:
            return case.problem(self.address, (), message, hint)
        if slot in self.floating and case.record(slot.interface) is not None:
            return f"{slot.interface} cannot fail over to {self.name}: {message}"
        return case.problem(slot.interface, path, message, hint)


def machines(case: Case) -> list[Machine]:
    """The instances on which the plan puts something, interfaces or addresses, now or by a later failover."""
    touched = {*case.births, *case.changes} | {case.about(step.params) for step in case.calls(_ATTACH)}
    if not (touched or case.calls("RunInstances", "ModifyInstanceAttribute")):
        return []
    found = (_machine(f"instances.{name}", case) for name in sorted(case.world.document.instances))
    return [machine for machine in found if machine is not None and _is_concerned(machine, touched, case)]


_ATTACH, _DETACH = "AttachNetworkInterface", "DetachNetworkInterface"


def _is_concerned(machine: Machine, touched: set[str], case: Case) -> bool:
    there = {slot.interface for slot in (*machine.occupied, *machine.floating)}
    there |= {case.interface(occupant.network_interface_id) for occupant in machine.leaving}
    return bool(machine.coming) or machine.retyped or not there.isdisjoint(touched)


def _machine(address: str, case: Case) -> Machine | None:
    for step in case.calls("RunInstances"):
        if step.address == address:
            coming = tuple(sorted(_slot(row, case) for row in step.params["NetworkInterfaces"]))
            floating = _floating(address, coming, case)
            return Machine(address, step.params["InstanceType"], "", (), (), coming, floating, retyped=False)
    live = case.world.record(address, LiveInstance)
    return None if live is None else _standing(address, live, case)


def _standing(address: str, live: LiveInstance, case: Case) -> Machine:
    """An instance that exists and stays."""
    ending = {step.params["AttachmentId"] for step in case.calls(_DETACH)}
    leaving = tuple(
        occupant
        for occupant in live.occupants
        if occupant.status == "detaching" or occupant.attachment_id in ending
    )
    staying = tuple(_slot_of(occupant, case) for occupant in live.occupants if occupant not in leaving)
    # DescribeNetworkInterfaces can lag DescribeInstances: the plan then attaches what is attached already.
    attached = {slot.interface for slot in staying}
    attaching = (_slot(step.params, case) for step in case.calls(_ATTACH) if step.params["InstanceId"] == live.id)
    coming = tuple(sorted(slot for slot in attaching if slot.interface not in attached))
    kind = _new_type(address, case) or live.instance_type
    floating = _floating(address, (*staying, *coming), case)
    retyped = kind != live.instance_type
    return Machine(address, kind, live.zone, staying, leaving, coming, floating, retyped)


def _slot(params: Mapping[str, Any], case: Case) -> DeviceSlot:
    """Of the parameters of an attach, or of one interface of a launch."""
    interface = case.about(params)
    return DeviceSlot(params["NetworkCardIndex"], params["DeviceIndex"], interface, case.is_adapter(interface))


def _slot_of(occupant: Occupant, case: Case) -> DeviceSlot:
    interface = case.interface(occupant.network_interface_id)
    adapter = occupant.interface_type in EFA_TYPES
    return DeviceSlot(occupant.network_card_index, occupant.device_index, interface, adapter)


def _new_type(address: str, case: Case) -> str | None:
    """The type that the plan gives to an instance that exists, if it changes that."""
    for step in case.calls("ModifyInstanceAttribute"):
        if step.address == address and "InstanceType" in step.params:
            return str(step.params["InstanceType"]["Value"])
    return None


def _floating(address: str, occupied: tuple[DeviceSlot, ...], case: Case) -> tuple[DeviceSlot, ...]:
    present = {slot.interface for slot in occupied}
    slots = (
        DeviceSlot(row.attachment.network_card_index, row.attachment.device_index, f"{INTERFACES}.{name}")
        for name, row in case.world.document.network_interfaces.items()
        if row.attachment is not None and address.partition(".")[2] in (row.attachment.instances or ())
    )
    return tuple(sorted(slot for slot in slots if slot.interface not in present))


# ---- order


def detach_first(machine: Machine, kind: LiveInstanceType, case: Case) -> list[Step]:
    """The steps, such that on a full instance nobody comes before those have left who are leaving."""
    steps = list(case.steps)
    if len(machine.occupied) + len(machine.leaving) <= kind.interfaces:
        return steps
    room = frozenset({f"room:{machine.address}"})
    coming = {slot.interface for slot in machine.coming}
    leaving = {occupant.attachment_id for occupant in machine.leaving}
    asked = {step.params["AttachmentId"] for step in case.calls(_DETACH)}
    waits = tuple(left(occupant) for occupant in machine.leaving if occupant.attachment_id not in asked)

    def placed(step: Step) -> Step:
        if step.call == _DETACH and step.params["AttachmentId"] in leaving:
            return replace(step, frees=step.frees | room)
        if step.call == _ATTACH and case.about(step.params) in coming:
            return replace(step, claims=step.claims | room, when=tuple(dict.fromkeys((*step.when, *waits))))
        return step

    return [placed(step) for step in steps]


def resize_between(machine: Machine, case: Case) -> list[Step]:
    """The steps, such that addresses that go have gone before the type changes, and those that come come after."""
    before, after = frozenset({f"room:{machine.address}:before"}), frozenset({f"room:{machine.address}:after"})
    occupied = {slot.interface for slot in machine.staying}

    def placed(step: Step) -> Step:
        if step.address == machine.address and "InstanceType" in step.params:
            return replace(step, rather=step.rather | before, brings=step.brings | after)
        if step.call in ADDING and case.about(step.params) in occupied:
            return replace(step, rather=step.rather | after)
        if step.call in TAKING and case.about(step.params) in occupied:
            return replace(step, brings=step.brings | before)
        return step

    return [placed(step) for step in case.steps]


# ---- judging


def unknown(machine: Machine, case: Case) -> Iterator[ProblemOrWarning]:
    """A type that EC2 does not have."""
    if machine.name in case.world.document.own_instances:
        alike = case.limits.alike.get(machine.type, ())
        hint = Nearest(machine.type, alike, "see `aws ec2 describe-instance-types`").text()
        message = f"there is no instance type {machine.type} in this region"
        yield case.problem(machine.address, ("instance_type",), message, hint)


def zones(machine: Machine, case: Case) -> Iterator[ProblemOrWarning]:
    """EC2 attaches within a zone. Of what does not exist yet, the spec's subnets have been compared."""
    for slot in machine.coming:
        subnet = case.subnets.get(case.world.subnets[slot.interface.partition(".")[2]])
        if machine.zone and subnet is not None and subnet.zone != machine.zone:
            message = f"its zone is {subnet.zone}, but {machine.name} stands in {machine.zone}"
            hint = "an instance and all its interfaces stand in one Availability Zone"
            yield case.problem(slot.interface, ("subnet",), message, hint)


def slots(machine: Machine, kind: LiveInstanceType, case: Case) -> Iterator[ProblemOrWarning]:
    """Interfaces on the instance, and on each of its cards."""
    last = len(kind.cards) - 1
    for slot in (*machine.coming, *machine.floating):
        if slot.card > last:
            cards = "1 network card" if last == 0 else f"{last + 1} network cards"
            hint = "its index is 0" if last == 0 else f"their indexes are 0 to {last}"
            yield machine.tell(slot, ("attachment", "network_card_index"), f"{kind.name} has {cards}", hint, case)
    yield from _room(machine, kind.name, kind.interfaces, range(last + 1), case)
    if last:
        for card, most in enumerate(kind.cards):
            yield from _room(machine, f"card {card} of {kind.name}", most, (card,), case)


def _room(
    machine: Machine, what: str, most: int, cards: range | tuple[int, ...], case: Case
) -> Iterator[ProblemOrWarning]:
    """``what`` takes at most so many interfaces."""
    coming, occupied, floating = (
        tuple(slot for slot in slots if slot.card in cards)
        for slots in (machine.coming, machine.occupied, machine.floating)
    )
    if len(occupied) > most and (coming or machine.retyped):
        message = f"{what} takes {most} interfaces, {_said(occupied, machine)}"
        yield machine.tell((coming or occupied)[-1], ("attachment",), message, _FEWER, case)
    elif floating and len(occupied) + len(floating) > most:
        message = f"{what} takes {most} interfaces, {_said((*occupied, *floating), machine)}, failover included"
        yield machine.tell(floating[-1], ("attachment", "instances"), message, _FEWER, case)


def adapters(machine: Machine, kind: LiveInstanceType, case: Case) -> Iterator[ProblemOrWarning]:
    """Elastic Fabric Adapters: on types that have them, one on each card. They do not fail over."""
    there = [slot for slot in machine.occupied if slot.adapter]
    taken = {slot.card: slot for slot in there if slot in machine.staying}
    for slot in there:
        if slot in machine.staying and not machine.retyped:
            continue
        if not kind.adapters:
            message = f"{kind.name} takes no Elastic Fabric Adapters"
            yield machine.tell(slot, ("interface_type",), message, "choose a type that does", case)
        elif len(there) > kind.adapters:
            most = f"{kind.adapters} Elastic Fabric Adapter{'s' if kind.adapters > 1 else ''}"
            message = f"{kind.name} takes {most}, {_said(tuple(there), machine)}"
            yield machine.tell(slot, ("interface_type",), message, _FEWER, case)
        elif (first := taken.setdefault(slot.card, slot)) != slot:
            message = (
                f"card {slot.card} of {machine.name} has an Elastic Fabric Adapter already: {first.interface}"
            )
            hint = "EC2 takes one on each card; choose another card"
            yield machine.tell(slot, ("attachment", "network_card_index"), message, hint, case)


def _said(slots: tuple[DeviceSlot, ...], machine: Machine) -> str:
    others = sorted(slot.interface for slot in slots if not slot.ours)
    beside = f" beside {len(others)} of others ({', '.join(others)})" if others else ""
    return f"the spec attaches {len(slots) - len(others)} to {machine.name}{beside}"
