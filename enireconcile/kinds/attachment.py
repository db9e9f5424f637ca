"""The attachment of a network interface to a device slot of an instance.

EC2 has no atomic move: detach, wait until the interface is available, attach. RunInstances attaches the interfaces
of an instance that the plan launches; this module attaches to instances that exist. EC2 cannot detach the primary
interface (card 0, index 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact, groups_configured
from enireconcile.kinds.detach import (
    INTERFACES,
    detach,
    evict,
    free,
    left,
    refuse_primary,
    vacated,
    while_stopped,
)
from enireconcile.kinds.disassociate import (
    left_open,
)
from enireconcile.kinds.permissions import Call, Purpose, Read, keeps_or_removes
from enireconcile.kinds.slots import (
    device_slot,
    interface_slot,
)
from enireconcile.kinds.world import Id, Placement, World
from enireconcile.live.records import LiveAttachment, LiveInstance, LiveNetworkInterface
from enireconcile.model import Expect, Ref, Step

SECTION = "network_interfaces"
_PLACE = ("instance", "device_index", "network_card_index")
_LEFT_OUT = ("network_card_index", "delete_on_termination")


def _fails_over_by_status_checks(purpose: Purpose) -> bool:
    attachments = [row.attachment for row in purpose.rows(SECTION) if row.attachment is not None]
    return any(
        at.instances is not None and (at.failover is None or at.failover.health == "status_checks")
        for at in attachments
    )


class Attachments(Kind):
    """The ``attachment`` of rows of ``network_interfaces``."""

    section = SECTION
    attributes = (
        Attribute(
            "attachment",
            calls=("AttachNetworkInterface", "DetachNetworkInterface", "ModifyNetworkInterfaceAttribute"),
            events=("RunInstances", "ResetNetworkInterfaceAttribute"),
            logged=frozenset({"attachment"}),
            ended_by="DetachNetworkInterface",
        ),
    )
    calls: ClassVar[Mapping[str, Call]] = {
        "AttachNetworkInterface": Call(changes=("network-interface", "instance"), uses=("external",)),
        "DetachNetworkInterface": Call(
            keeps_or_removes(SECTION), changes=("network-interface", "instance"), uses=("external",)
        ),
    }
    reads: ClassVar[Mapping[str, Read]] = {"DescribeInstanceStatus": Read(_fails_over_by_status_checks)}

    def want(self, name: str, world: World) -> dict[str, Any]:
        place = world.placements.get(name)
        if place is None:
            return {"attachment": None}
        wanted = {key: getattr(place, key) for key in (*_PLACE, "delete_on_termination")}
        return {"attachment": wanted | _as_found(name, place, world)}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
        if live is None:
            return None
        place = world.standing(live)
        if place is None:
            return {"attachment": None}
        return {
            "attachment": {
                "instance": world.name_of(place.instance_id),
                "device_index": place.device_index,
                "network_card_index": place.network_card_index,
                "delete_on_termination": place.delete_on_termination,
            }
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if not item.differs("attachment"):
            return []
        want = item.want["attachment"]
        have = item.have["attachment"] if item.have else None
        live = world.record(item.address, LiveNetworkInterface)
        steps: list[Step] = []
        moves = want is None or have is None or any(want[key] != have[key] for key in _PLACE)
        if moves:
            if live is not None and live.attachment is not None:
                steps += _leave(item, live, live.attachment, world)
            if want is not None:
                reason = world.placements[item.name].reason
                steps = [replace(step, note=step.note or reason) for step in steps]
                waiting = not any(step.call == "DetachNetworkInterface" for step in steps)
                attach = self._attach(item, live, world, waiting=waiting)
                # An interface that is detaching already has no step that could show the reason.
                steps += attach if steps else [replace(step, note=step.note or reason) for step in attach]
        if want is not None and want["delete_on_termination"] != _flag_after(have, moves):
            steps.append(_set_flag(item, live if not moves else None, world))
        return steps

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """The instance that it belongs to."""
        want = item.want.get("attachment")
        return [f"instances.{want['instance']}"] if want else ()

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        if item.name in world.stranded:
            return () if world.leaves(item.address, "attachment") else (world.stranded[item.name],)
        live = world.record(item.address, LiveNetworkInterface)
        if not item.differs("attachment") or live is None or live.attachment is None:
            return ()
        place, patience = live.attachment, _patience(item, live.attachment, world)
        if patience is None:
            return ()
        holder = world.name_of(place.instance_id)
        return (
            f"{item.address}: if {holder} has not released it after {patience} s, the plan forces the detach; "
            f"EC2 may then reject device index {place.device_index} of {holder} until that instance is stopped "
            "and started, and its guest may continue to use the interface",
        )

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        live = world.record(item.address, LiveNetworkInterface)
        if item.fields or world.leaves(item.address, "attachment"):
            return ()
        if live is None or live.attachment is None or live.attachment.status != "attaching":
            return ()
        return (Expect(INTERFACES, live.id, has=(("Attachment.Status", ("attached",)),), timeout=300),)

    def _attach(self, item: Item, live: LiveNetworkInterface | None, world: World, *, waiting: bool) -> list[Step]:
        want = item.want["attachment"]
        instance_address = f"instances.{want['instance']}"
        instance = world.record(instance_address, LiveInstance)
        if instance is None:
            return []
        steps, gone = _clear(item.address, want, instance, live, world)
        made_as = world.document.network_interfaces[item.name].interface_type
        interface_type = live.interface_type if live is not None else made_as
        stopping, stopped = while_stopped(item.address, interface_type, want["instance"], world)
        slot = device_slot(instance.id, want["network_card_index"], want["device_index"])
        steps.append(
            Step(
                id=f"{item.address}/AttachNetworkInterface",
                call="AttachNetworkInterface",
                params={
                    "NetworkInterfaceId": world.id_of(item.address),
                    "InstanceId": instance.id,
                    "DeviceIndex": want["device_index"],
                    # Without it, EC2 has been seen to check the wrong card and to report the index as in use.
                    "NetworkCardIndex": want["network_card_index"],
                },
                address=item.address,
                after=frozenset(
                    {
                        Fact.CONFIGURED.of(item.address),
                        Fact.MODIFIED.of(instance_address),
                        # A failover must not wait for rules of groups that the interface is in already.
                        *(groups_configured(item.name, world) if live is None else ()),
                    }
                    | stopping
                ),
                follows=frozenset({Fact.ELASTIC_IP_ASSOCIATED.of(item.address)}),
                brings=frozenset({Fact.ATTACHED.of(item.address)}),
                claims=frozenset({slot, interface_slot(item.address)}),
                when=(*(free(live, world) if waiting else ()), *gone, *stopped),
                until=Expect(
                    INTERFACES,
                    world.id_of(item.address),
                    has=(
                        ("Attachment.Status", ("attached",)),
                        ("Attachment.InstanceId", (instance.id,)),
                        ("Attachment.DeviceIndex", (want["device_index"],)),
                    ),
                    timeout=300,
                ),
                sees={Ref(item.address, "attachment_id"): "Attachment.AttachmentId"},
            )
        )
        return steps


def _as_found(name: str, place: Placement, world: World) -> dict[str, Any]:
    """The live values of what the row of an adopted interface leaves out, while it stays where it is."""
    row, live = world.document.network_interfaces[name], world.record(f"{SECTION}.{name}", LiveNetworkInterface)
    standing = world.standing(live) if live is not None else None
    if row.adopt is None or row.attachment is None or standing is None:
        return {}
    if (world.name_of(standing.instance_id), standing.device_index) != (place.instance, place.device_index):
        return {}
    written = row.attachment.model_fields_set
    return {key: getattr(standing, key) for key in _LEFT_OUT if key not in written}


def _leave(item: Item, live: LiveNetworkInterface, place: LiveAttachment, world: World) -> list[Step]:
    """Detach from the present instance. If the plan terminates that instance, keep EC2 from deleting the
    interface.

    An interface that is detaching already needs no call, unless the spec allows a forced detach.
    """
    patience = _patience(item, place, world)
    if world.ends(place):
        if patience is None:
            return []
        return [_force(detach(item.address, live, place, world), live.id, patience)]
    if place.instance_id in world.to_terminate:
        if not place.delete_on_termination:
            return []
        step = _flag_step(item.address, live.id, place.id, False)
        # Its own id: another step may set the flag on the new attachment.
        return [
            replace(
                step, id=f"{step.id}/Keep", brings=frozenset({Fact.INTERFACES_PRESERVED.of(place.instance_id)})
            )
        ]
    step = detach(item.address, live, place, world)
    if patience is None:
        return [step]
    return [
        replace(step, frees=frozenset(), brings=frozenset({Fact.DETACH_REQUESTED.of(item.address)}), until=None),
        _force(step, live.id, patience),
    ]


def _patience(item: Item, place: LiveAttachment, world: World) -> int | None:
    """Seconds after which the detach from the present instance is forced; None: never."""
    belongs = world.placements.get(item.name)
    return None if belongs is None or world.is_ending(place.instance_id) else belongs.patience


def _force(step: Step, interface_id: str, patience: int) -> Step:
    """A forced detach, if the first one still hangs. EC2 calls it a last resort."""
    return replace(
        step,
        id=f"{step.id}/Force",
        params={**step.params, "Force": True},
        after=frozenset({Fact.DETACH_REQUESTED.of(step.address)}),
        unless=replace(vacated(interface_id, step.params["AttachmentId"]), timeout=patience),
        note=f"forces the detach if it is not done after {patience} s",
    )


def _clear(
    address: str,
    want: Mapping[str, Any],
    instance: LiveInstance,
    live: LiveNetworkInterface | None,
    world: World,
) -> tuple[list[Step], tuple[Expect, ...]]:
    """Free the device slot: detach a foreign interface, or wait for one that is detaching already.

    An interface of the stack has its own steps, unless the spec leaves its attachment open.
    """
    index, card = want["device_index"], want["network_card_index"]
    occupant = instance.occupant(card, index)
    if occupant is None or (live is not None and occupant.network_interface_id == live.id):
        return [], ()
    if occupant.network_interface_id in {former.id for former in world.replaced.get(address, ())}:
        return [], ()
    refuse_primary(address, occupant.network_interface_id, index, card, instance.id)
    name = world.name_of(occupant.network_interface_id)
    ours = world.record(f"{SECTION}.{name}", LiveNetworkInterface)
    if occupant.status == "detaching" or (ours is not None and world.standing(ours) is None):
        return [], (left(occupant),)
    who = left_open(SECTION, occupant.network_interface_id, "attachment", world)
    if who is None:
        return [], ()
    return [evict(address, occupant, who, instance.id, world)], ()


def _flag_after(have: Mapping[str, Any] | None, moves: bool) -> bool:
    """The flag belongs to the attachment: a new one has it false until it is modified."""
    return False if moves or have is None else bool(have["delete_on_termination"])


def _set_flag(item: Item, staying: LiveNetworkInterface | None, world: World) -> Step:
    attachment_id: str | Ref = Ref(item.address, "attachment_id")
    if staying is not None and staying.attachment is not None:
        attachment_id = staying.attachment.id
    wanted = item.want["attachment"]["delete_on_termination"]
    return _flag_step(item.address, world.id_of(item.address), attachment_id, wanted)


def _flag_step(address: str, interface_id: Id, attachment_id: Id, flag: bool) -> Step:
    return Step(
        id=f"{address}/ModifyNetworkInterfaceAttribute/Attachment",
        call="ModifyNetworkInterfaceAttribute",
        params={
            "NetworkInterfaceId": interface_id,
            "Attachment": {"AttachmentId": attachment_id, "DeleteOnTermination": flag},
        },
        address=address,
    )
