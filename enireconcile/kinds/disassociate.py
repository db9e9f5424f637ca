"""Taking Elastic IPs off addresses, and what that does to the Elastic IPs of others. Pure."""

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
        brings=frozenset({Fact.DISASSOCIATED.of(address)}),
        frees=frozenset({target_slot(live.network_interface_id, live.private_ip)}),
    )


def refuse_managed_holder(address: str, live: LiveElasticIp, world: World) -> None:
    """EC2 takes no address off an interface that a service manages. Raises UnsupportedError."""
    holder = world.foreign_interfaces.get(live.network_interface_id or "")
    if holder is not None and holder.manager is not None:
        raise UnsupportedError(
            f"{address}: {live.id} is on {holder.id}, managed by {holder.manager}, and cannot be disassociated",
            hint="release it through that service first (for a NAT gateway: delete the gateway)",
        )
