"""Disassociating Elastic IPs, and what that does to Elastic IPs outside the spec. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from enireconcile.errors import UnsupportedError
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.slots import target_slot
from enireconcile.kinds.world import World
from enireconcile.live.records import (
    LiveElasticIp,
    LiveNetworkInterface,
)
from enireconcile.model import (
    Impact,
    Step,
)


def left_open(section: str, aws_id: str, attribute: str, world: World) -> str | None:
    """A resource in the way, in words; None if this plan moves or removes it.

    It is a foreign resource, or one of the stack whose ``attribute`` the spec does not manage.
    """
    address = f"{section}.{world.name_of(aws_id)}"
    if world.leaves(address, attribute):
        return f"{address} ({aws_id}, whose {attribute} the spec does not manage)"
    return None if any(record.id == aws_id for _, record in world.ours) else aws_id


def dropped(live: LiveNetworkInterface, private_ips: Iterable[str], world: World) -> str | None:
    """A note on Elastic IPs of these private addresses that EC2 disassociates and the plan does not move."""
    holders = (live.addresses[private] for private in private_ips if private in live.addresses)
    lost = [words for holder in holders if (words := left_open("elastic_ips", holder, "association", world))]
    return f"disassociates {' and '.join(lost)}" if lost else None


def disassociate(address: str, live: LiveElasticIp, world: World) -> Step:
    """Disassociate an Elastic IP."""
    refuse_managed_holder(address, live, world)
    return Step(
        id=f"{address}/DisassociateAddress",
        call="DisassociateAddress",
        params={"AssociationId": live.association_id},
        address=address,
        impact=Impact.DISRUPTIVE,
        brings=frozenset({Fact.DISASSOCIATED.of(address)}),
        frees=frozenset({target_slot(live.network_interface_id, live.private_ip)}),
    )


def refuse_managed_holder(address: str, live: LiveElasticIp, world: World) -> None:
    """Raises UnsupportedError if a service manages the interface: EC2 disassociates nothing from it."""
    holder = world.foreign_interfaces.get(live.network_interface_id or "")
    if holder is not None and holder.manager is not None:
        raise UnsupportedError(
            f"{address}: {live.id} is associated with {holder.id}, which is managed by {holder.manager}, and "
            "cannot be disassociated",
            hint="release it through that service first (for a NAT gateway: delete the gateway)",
        )
