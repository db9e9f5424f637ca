"""Elastic IPs, without their association (which is a relation with a module of its own)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enireconcile.kinds.base import Item, Kind, Record, World
from enireconcile.kinds.parts import (
    disassociate,
    gone,
    known_tags,
    ownership_filters,
    tag_specifications,
    tag_steps,
    unbound,
    wanted_tags,
)
from enireconcile.model import Impact, Look, Ref, Step
from enireconcile.records import LiveElasticIp

SECTION = "elastic_ips"


class ElasticIps(Kind):
    """Rows of ``elastic_ips``."""

    section = SECTION

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.elastic_ips[name]
        return {"tags": wanted_tags(f"{SECTION}.{name}", row.tags, world)}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveElasticIp)
        return None if live is None else {"tags": known_tags(live.tags, want)}

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        return [self._allocate(item, world)] if item.have is None else tag_steps(item, world)

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveElasticIp):
            return ()
        release = Step(
            id=f"{address}/ReleaseAddress",
            call="ReleaseAddress",
            params={"AllocationId": live.id},
            address=address,
            impact=Impact.DESTRUCTIVE,
            after=frozenset({unbound(address)}),
            brings=frozenset({gone(address)}),
        )
        return [release] if live.association_id is None else [disassociate(address, live), release]

    def _allocate(self, item: Item, world: World) -> Step:
        made = {Ref(item.address): "AllocationId", Ref(item.address, "public_ip"): "PublicIp"}
        return Step(
            id=f"{item.address}/AllocateAddress",
            call="AllocateAddress",
            params={
                "Domain": "vpc",
                "TagSpecifications": tag_specifications("elastic-ip", item.want["tags"]),
            },
            address=item.address,
            yields=made,
            look=Look(
                describe="DescribeAddresses",
                filters=ownership_filters(world.document.stack, item.address),
                yields=made,
            ),
        )
