"""Detaching interfaces, and what to wait for around it. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from enireconcile.errors import UnsupportedError
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.slots import device_slot, interface_slot
from enireconcile.kinds.world import World
from enireconcile.live.records import (
    LiveAttachment,
    LiveInstance,
    LiveNetworkInterface,
    Occupant,
)
from enireconcile.model import (
    Condition,
    Expect,
    Impact,
    Step,
)
from enireconcile.spec import EFA_TYPES

INTERFACES = "DescribeNetworkInterfaces"


_AT_REST = ("available", "in-use")


_HELD = "the guest may be hanging: stop its instance, or allow a forced detach (force_detach_after)"


def left(occupant: Occupant) -> Expect:
    """The wait for an interface to leave a device slot. Not "available": by then it may be attached elsewhere."""
    elsewhere = ((f"Attachment.AttachmentId != '{occupant.attachment_id}'", (True,)),)
    return Expect(INTERFACES, occupant.network_interface_id, has=elsewhere, gone=True)


def free(live: LiveNetworkInterface | None, world: World) -> tuple[Expect, ...]:
    """The wait before attaching an interface that is detaching already.

    If EC2 deletes it together with its instance, the attach call fails, and a new plan creates another one.
    """
    if live is None or live.status == "available":
        return ()
    if live.attachment is None:
        # It is new, and another host may have attached it meanwhile.
        return (Expect(INTERFACES, live.id, has=(("Status", _AT_REST),)),)
    waits = vacated(live.id, live.attachment.id, advice=leaving_advice(live.attachment, world))
    return (replace(waits, gone=live.attachment.delete_on_termination),)


def detach(address: str, live: LiveNetworkInterface, attachment: LiveAttachment, world: World) -> Step:
    """Detach an interface of the stack."""
    instance_id, card, index = attachment.instance_id, attachment.network_card_index, attachment.device_index
    refuse_primary(address, "it", index, card, instance_id)
    step = _detach(address, live.id, live.interface_type, attachment.id, instance_id, world)
    return replace(
        step,
        brings=step.brings | {Fact.INTERFACES_DETACHED.of(instance_id)},
        frees=frozenset({interface_slot(address), device_slot(instance_id, card, index)}),
    )


def evict(address: str, occupant: Occupant, who: str, instance_id: str, world: World) -> Step:
    """Detach another interface, ``who`` in words, from the device slot of the interface at ``address``."""
    interface_id, card, index = occupant.network_interface_id, occupant.network_card_index, occupant.device_index
    step = _detach(address, interface_id, occupant.interface_type, occupant.attachment_id, instance_id, world)
    slots = frozenset({device_slot(instance_id, card, index)})
    return replace(step, frees=slots, note=f"detaches {who}")


def _detach(
    address: str, interface_id: str, interface_type: str, attachment_id: str, instance_id: str, world: World
) -> Step:
    after, when = while_stopped(address, interface_type, world.name_of(instance_id), world)
    return Step(
        id=f"{address}/DetachNetworkInterface/{interface_id}",
        call="DetachNetworkInterface",
        params={"AttachmentId": attachment_id},
        address=address,
        impact=Impact.DISRUPTIVE,
        after=after,
        brings=frozenset({Fact.ADAPTERS_DETACHED.of(instance_id)} if interface_type in EFA_TYPES else ()),
        when=when,
        until=vacated(interface_id, attachment_id),
    )


def while_stopped(
    address: str, interface_type: str, instance: str, world: World
) -> tuple[frozenset[Condition], tuple[Expect, ...]]:
    """The conditions and waits before an attach or detach. EC2 moves adapters (EFA) on stopped instances only.

    Raises UnsupportedError if the instance runs and the plan does not stop it.
    """
    live = world.record(f"instances.{instance}", LiveInstance)
    if interface_type not in EFA_TYPES or (live is not None and live.state == "stopped"):
        return frozenset(), ()
    if live is not None and live.state == "stopping":
        # If another user starts it meanwhile, the wait fails at once.
        never = (("State.Name", ("shutting-down", "terminated", "pending", "running")),)
        has = (("State.Name", ("stopped",)),)
        return frozenset(), (Expect("DescribeInstances", live.id, has=has, never=never),)
    if live is not None and f"instances.{instance}" in world.stopping:
        return frozenset({Fact.STOPPED.of(f"instances.{instance}")}), ()
    state = f"{instance} is {live.state}" if live else f"the state of {instance} is unknown"
    ours = f"set `state: stopped` for instances.{instance}, apply, and set it back"
    raise UnsupportedError(
        f"{address}: EC2 attaches and detaches {interface_type} interfaces on stopped instances only, and {state}",
        hint=ours if instance in world.document.own_instances else f"stop {instance}, apply, and start it again",
    )


def refuse_primary(address: str, who: str, index: int, card: int, instance_id: str) -> None:
    if (card, index) == (0, 0):
        raise UnsupportedError(
            f"{address}: {who} is the primary interface of {instance_id}, which EC2 cannot detach",
            hint=f"keep it there, or terminate {instance_id} first",
        )


def leaving_advice(attachment: LiveAttachment | None, world: World) -> str:
    """What to do if an interface does not leave its instance. A terminated instance has no guest to blame."""
    if attachment is None or not world.is_ending(attachment.instance_id):
        return _HELD
    return f"EC2 detaches it when {attachment.instance_id} has terminated; run again in a few minutes"


def vacated(interface_id: str, attachment_id: str | None = None, *, advice: str = _HELD) -> Expect:
    """The wait after detaching and before deleting: the interface is attached to nothing, or deleted.

    With an ``attachment_id``, only that attachment must have ended: another host may attach the interface at once,
    so that it is never seen as available.
    """
    has: tuple[tuple[str, tuple[str | bool, ...]], ...] = (("Status", ("available",)),)
    if attachment_id is not None:
        has = (("Status", _AT_REST), (f"Attachment.AttachmentId != '{attachment_id}'", (True,)))
    return Expect(INTERFACES, interface_id, has=has, gone=True, advice=advice)
