"""Parts of plans that several kinds share: tags, conditions, slots, waits, and the calls of relations. Pure.

A *condition* (``settled:…``) is brought by steps and named in ``after`` by those that need it. A *slot*
(``device:…``) is freed and claimed. Both are plain strings that only have to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from enireconcile.errors import UnsupportedError
from enireconcile.kinds.base import Item, World
from enireconcile.model import NAME_TAG, NEW_TAG, STACK_TAG, Expect, Impact, Step
from enireconcile.records import LiveAttachment, LiveElasticIp, LiveInstance, LiveNetworkInterface, Occupant
from enireconcile.spec import EFA_TYPES, FURTHER

INTERFACES = "DescribeNetworkInterfaces"
INTERFACES_OF_SPEC = "network_interfaces"
ENDED = (("State.Name", ("shutting-down", "terminated")),)
"""What an instance that is waited for must not come to."""
_AT_REST = ("available", "in-use")
_HELD = "a guest may hold on to it: stop its instance, or let a failover force it (force_detach_after)"


def wanted_tags(address: str, own: Mapping[str, str], world: World) -> dict[str, str]:
    """The tags that we keep on a resource: ownership, a Name, the spec's common tags and its own.

    What is adopted keeps the Name that it has; what ignores its tags keeps those that say whose it is.
    """
    ours = {STACK_TAG: world.document.stack, NAME_TAG: address}
    if world.leaves(address, "tags"):
        return ours
    name = {} if world.rows[address].adopt else {"Name": address.partition(".")[2]}
    return {**name, **world.document.tags, **own, **ours}


def known_tags(tags: Mapping[str, str], want: Mapping[str, Any]) -> dict[str, str]:
    """Of the live tags those that we keep, and the one that goes by itself; the others are other people's."""
    return {key: tags[key] for key in (*want["tags"], NEW_TAG) if key in tags}


def as_tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tag_specifications(resource_type: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """TagSpecifications of a create call: tagged from birth, or not born."""
    return [{"ResourceType": resource_type, "Tags": as_tag_list(tags)}]


def tag_steps(item: Item, world: World) -> list[Step]:
    """One CreateTags with the tags that differ, if any do."""
    if item.have is None or not item.differs("tags"):
        return []
    before = item.have["tags"]
    changed = {key: value for key, value in item.want["tags"].items() if before.get(key) != value}
    if not changed:
        return []
    return [
        Step(
            id=f"{item.address}/CreateTags",
            call="CreateTags",
            params={"Resources": [world.id_of(item.address)], "Tags": as_tag_list(changed)},
            address=item.address,
            brings=frozenset({adopted(item.address)}),
        )
    ]


def ownership_filters(stack: str, address: str | None = None) -> list[dict[str, Any]]:
    """Filters for what carries our stack tag, or for one address of it."""
    filters = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
    if address:
        filters.append({"Name": f"tag:{NAME_TAG}", "Values": [address]})
    return filters


def adopted(address: str) -> str:
    """The condition that a resource has become ours."""
    return f"adopted:{address}"


def settled(address: str) -> str:
    """The condition that a resource is as the spec says, short of being attached."""
    return f"settled:{address}"


def attached(address: str) -> str:
    """The condition that an interface is where the spec says."""
    return f"attached:{address}"


def asked(address: str) -> str:
    """The condition that an interface was asked to come off its instance."""
    return f"asked:{address}"


def gone(address: str) -> str:
    """The condition that a resource is no more."""
    return f"gone:{address}"


def addressed(address: str) -> str:
    """The condition that an interface has the Elastic IPs that are new; nobody needs it, but traffic likes it."""
    return f"addressed:{address}"


def assigned(address: str) -> str:
    """The condition that an interface has its secondary addresses."""
    return f"assigned:{address}"


def taken(subnet_id: str, *, late: bool = False) -> str:
    """The condition that addresses that the spec names in a subnet are taken: EC2 gives the others at random.

    ``late`` are those of interfaces that get others from EC2 as well.
    """
    return f"taken:{subnet_id}{':late' if late else ''}"


def asleep(address: str) -> str:
    """The condition that an instance of ours is stopped."""
    return f"asleep:{address}"


def cleared(instance_id: str) -> str:
    """The condition that an instance holds no interface that is to leave it."""
    return f"cleared:{instance_id}"


def unplugged(instance_id: str) -> str:
    """The condition that an instance holds nothing that is to leave it and can only while it is stopped."""
    return f"unplugged:{instance_id}"


def resized(address: str) -> str:
    """The condition that an instance of ours is of the type that the spec says."""
    return f"resized:{address}"


def relieved(interface_id: str) -> str:
    """The condition that others have taken over what they shall have of an interface's addresses."""
    return f"relieved:{interface_id}"


def kept(instance_id: str) -> str:
    """The condition that no interface of ours goes down with an instance."""
    return f"kept:{instance_id}"


def target_slot(interface_id: str | None, private_ip: str | None) -> str:
    """The slot that an Elastic IP takes on a private address."""
    return f"target:{interface_id}:{private_ip}"


def private_slot(subnet_id: str, private_ip: str) -> str:
    """The slot that an interface takes in its subnet with each of its addresses and prefixes."""
    return f"private:{subnet_id}:{private_ip}"


def further_ips(name: str, world: World) -> tuple[str, ...]:
    """The private addresses beside the primary one that the spec gives an interface, unless others may."""
    if world.leaves(f"{INTERFACES_OF_SPEC}.{name}", "secondary_private_ips"):
        return ()
    return world.document.network_interfaces[name].secondary_private_ips or ()


def in_the_way(live: LiveNetworkInterface, world: World) -> bool:
    """Of one that goes: must it be gone before another one can be made, or can have its addresses?

    What is a further address before and after moves by itself; a primary one never leaves its interface.
    """
    return any(
        live.private_ip in (row.private_ip, *further_ips(name, world))
        or (row.private_ip in live.secondary_ips and f"{INTERFACES_OF_SPEC}.{name}" not in world.owned)
        for name, row in world.document.network_interfaces.items()
        if world.subnets[name] == live.subnet_id
    )


def taken_over(live: LiveNetworkInterface, world: World) -> dict[str, str]:
    """Further addresses and prefixes of an interface of ours that another one shall have: to the name of that one.

    IPv4 addresses move in one call, with their Elastic IPs.
    """
    if any(record is live for _, record in world.leaving) and in_the_way(live, world):
        return {}
    takers = {each: world.named.get((live.subnet_id, each)) for each in live.further}
    return {
        each: name
        for each, name in takers.items()
        if name is not None and world.owned.get(f"{INTERFACES_OF_SPEC}.{name}") is not live
    }


def givers(name: str, world: World) -> dict[str, LiveNetworkInterface]:
    """Addresses and prefixes that an interface takes over from others of ours, and who has them now."""
    row, subnet = world.document.network_interfaces[name], world.subnets[name]
    listed = [each for many, _ in FURTHER for each in getattr(row, many) or ()]
    holders = {each: world.held[subnet, each] for each in listed if (subnet, each) in world.held}
    return {each: live for each, live in holders.items() if taken_over(live, world).get(each) == name}


def interface_slot(address: str) -> str:
    """The slot that an attachment takes on its interface: it is attached to one instance at a time."""
    return f"interface:{address}"


def groups_settled(interface: str, world: World) -> list[str]:
    """The conditions that the rules of an interface's groups are in place."""
    row = world.document.network_interfaces[interface]
    return [settled(f"security_groups.{group}") for group in row.security_groups or ()]


def left(occupant: Occupant) -> Expect:
    """To wait for before taking the place of who is leaving. Not "available": by then it may stand elsewhere."""
    elsewhere = ((f"Attachment.AttachmentId != '{occupant.attachment_id}'", (True,)),)
    return Expect(INTERFACES, occupant.network_interface_id, has=elsewhere, gone=True)


def free(live: LiveNetworkInterface | None) -> tuple[Expect, ...]:
    """To wait for before attaching: an interface on its way out of an instance becomes available by itself.

    One that is deleted with its instance goes instead; then the call says so, and a new plan makes it anew.
    """
    if live is None or live.status == "available":
        return ()
    if live.attachment is None:
        # It is young, and another host may be quicker to attach it.
        return (Expect(INTERFACES, live.id, has=(("Status", _AT_REST),)),)
    return (replace(vacated(live.id, live.attachment.id), gone=live.attachment.delete_on_termination),)


def left_open(section: str, aws_id: str, attribute: str, world: World) -> str | None:
    """Who may be in the way and stay there, in words: a stranger, or one of ours that may be anywhere.

    None for one of ours that this plan moves or takes away.
    """
    address = f"{section}.{world.name_of(aws_id)}"
    if world.leaves(address, attribute):
        return f"{address} ({aws_id}), whose {attribute} the spec leaves open"
    return None if any(record.id == aws_id for _, record in world.ours) else aws_id


def dropped(live: LiveNetworkInterface, private_ips: Iterable[str], world: World) -> str | None:
    """A note on the Elastic IPs of private addresses that go: EC2 takes them off, we put them nowhere else."""
    holders = (live.addresses[private] for private in private_ips if private in live.addresses)
    lost = [words for holder in holders if (words := left_open("elastic_ips", holder, "association", world))]
    return f"takes off {' and '.join(lost)}" if lost else None


def disassociate(address: str, live: LiveElasticIp, world: World) -> Step:
    """Take an Elastic IP off whatever it leads to."""
    refuse_managed_holder(address, live, world)
    return Step(
        id=f"{address}/DisassociateAddress",
        call="DisassociateAddress",
        params={"AssociationId": live.association_id},
        address=address,
        impact=Impact.DISRUPTIVE,
        brings=frozenset({unbound(address)}),
        frees=frozenset({target_slot(live.network_interface_id, live.private_ip)}),
    )


def refuse_managed_holder(address: str, live: LiveElasticIp, world: World) -> None:
    """EC2 takes no address off an interface that a service manages. Raises UnsupportedError."""
    holder = world.strangers.get(live.network_interface_id or "")
    if holder is not None and holder.manager is not None:
        raise UnsupportedError(
            f"{address}: {live.id} is on {holder.id}, managed by {holder.manager}, and EC2 leaves it there",
            hint="take it away from that service by the service's own means first (delete the NAT gateway, say)",
        )


def unbound(address: str) -> str:
    """The condition that an Elastic IP stands for nothing."""
    return f"unbound:{address}"


def device_slot(instance_id: str, card: int, index: int) -> str:
    """The slot that an attachment takes on an instance."""
    return f"device:{instance_id}:{card}:{index}"


def detach(address: str, live: LiveNetworkInterface, place: LiveAttachment, world: World) -> Step:
    """Take an interface of ours off its instance."""
    instance_id, card, index = place.instance_id, place.network_card_index, place.device_index
    refuse_primary(address, "it", index, card, instance_id)
    step = _detach(address, live.id, live.interface_type, place.id, instance_id, world)
    return replace(
        step,
        brings=step.brings | {cleared(instance_id)},
        frees=frozenset({interface_slot(address), device_slot(instance_id, card, index)}),
    )


def evict(address: str, occupant: Occupant, who: str, instance_id: str, world: World) -> Step:
    """Take another interface, ``who`` in words, out of a device slot that the one at ``address`` shall have."""
    interface_id, card, index = occupant.network_interface_id, occupant.network_card_index, occupant.device_index
    step = _detach(address, interface_id, occupant.interface_type, occupant.attachment_id, instance_id, world)
    slots = frozenset({device_slot(instance_id, card, index)})
    return replace(step, frees=slots, note=f"evicts {who}")


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
        brings=frozenset({unplugged(instance_id)} if interface_type in EFA_TYPES else ()),
        when=when,
        until=vacated(interface_id, attachment_id),
    )


def while_stopped(
    address: str, interface_type: str, instance: str, world: World
) -> tuple[frozenset[str], tuple[Expect, ...]]:
    """What to run after and to wait for before an interface may come or go: adapters move on stopped instances.

    To stop an instance that is to run is more than the spec has asked for. Raises UnsupportedError.
    """
    live = world.record(f"instances.{instance}", LiveInstance)
    if interface_type not in EFA_TYPES or (live is not None and live.state == "stopped"):
        return frozenset(), ()
    if live is not None and live.state == "stopping":
        # When somebody starts it meanwhile, it is too late.
        never = (("State.Name", ("shutting-down", "terminated", "pending", "running")),)
        has = (("State.Name", ("stopped",)),)
        return frozenset(), (Expect("DescribeInstances", live.id, has=has, never=never),)
    row = world.document.own_instances.get(instance)
    if live is not None and row is not None and _stops(instance, live, world):
        return frozenset({asleep(f"instances.{instance}")}), ()
    state = f"{instance} is {live.state}" if live else f"that {instance} is stopped cannot be seen"
    ours = f"set `state: stopped` for instances.{instance}, apply, and set it back"
    raise UnsupportedError(
        f"{address}: EC2 attaches and detaches {interface_type} interfaces on stopped instances only, and {state}",
        hint=ours if row is not None else f"stop {instance}, apply, and start it again",
    )


def _stops(instance: str, live: LiveInstance, world: World) -> bool:
    """Does this plan stop a running instance of ours, if only for a while?"""
    row, address = world.document.own_instances[instance], f"instances.{instance}"
    if row.on_change == "restart" and row.instance_type != live.instance_type:
        return not world.leaves(address, "instance_type")
    return row.state == "stopped" and not world.leaves(address, "state")


def refuse_primary(address: str, who: str, index: int, card: int, instance_id: str) -> None:
    if (card, index) == (0, 0):
        raise UnsupportedError(
            f"{address}: {who} is the primary interface of {instance_id}, and EC2 never detaches that one",
            hint=f"keep it there, or terminate {instance_id} first",
        )


def vacated(interface_id: str, attachment_id: str | None = None) -> Expect:
    """To wait for after detaching and before deleting: the interface is attached to nothing, or gone.

    Where it is only one attachment that must have ended, another will do: being available is a moment that passes
    unseen if another host attaches the interface at once.
    """
    has: tuple[tuple[str, tuple[str | bool, ...]], ...] = (("Status", ("available",)),)
    if attachment_id is not None:
        has = (("Status", _AT_REST), (f"Attachment.AttachmentId != '{attachment_id}'", (True,)))
    return Expect(INTERFACES, interface_id, has=has, gone=True, advice=_HELD)
