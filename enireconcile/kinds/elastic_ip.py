"""Elastic IPs, without their association, which has a module of its own.

DNS records and firewalls outside the stack name an Elastic IP, so it is never released to allocate another one.
Reverse DNS changes slowly: a change is pending for a while, and an Elastic IP with a record cannot be released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from enireconcile.kinds.attributes import Attribute, Changes
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact
from enireconcile.kinds.disassociate import (
    disassociate,
)
from enireconcile.kinds.permissions import Call, Purpose, Read, has, removes
from enireconcile.kinds.tags import (
    TAGS,
    born_with,
    known_tags,
    tag_steps,
    wanted_tags,
)
from enireconcile.kinds.world import World
from enireconcile.live.records import LiveElasticIp, Record, ReverseDns
from enireconcile.model import Expect, Impact, Look, Ref, Step
from enireconcile.ownership import (
    ownership_filters,
    tag_specifications,
)

SECTION = "elastic_ips"
_ALLOCATED = (
    Attribute("address", Changes.AT_CREATION, parameter="Address", record="public_ip"),
    Attribute("public_ipv4_pool", Changes.AT_CREATION, parameter="PublicIpv4Pool", record="pool"),
    Attribute("network_border_group", Changes.AT_CREATION, parameter="NetworkBorderGroup", record="border_group"),
)
"""What only AllocateAddress sets."""
_DNS_CALLS = ("ModifyAddressAttribute", "ResetAddressAttribute")
_ATTRIBUTES = "DescribeAddressesAttribute"
_QUIET = ("PtrRecordUpdate.Status == 'PENDING'", (False,))
_ADVICE = "EC2 may take longer: see `aws ec2 describe-addresses-attribute --attribute domain-name`, and run again"


def _reads_reverse_dns(purpose: Purpose) -> bool:
    return purpose.removes(SECTION) or any(row.reverse_dns is not None for row in purpose.rows(SECTION))


class ElasticIps(Kind):
    """Rows of ``elastic_ips``."""

    section = SECTION
    resource_type = "elastic-ip"
    attributes = (*_ALLOCATED, Attribute("reverse_dns", calls=_DNS_CALLS), TAGS)
    calls: ClassVar[Mapping[str, Call]] = {
        "AllocateAddress": Call(has(SECTION), creates=("elastic-ip",), uses=("ipv4pool-ec2",)),
        "ModifyAddressAttribute": Call(changes=("elastic-ip",)),
        "ResetAddressAttribute": Call(removes(SECTION), changes=("elastic-ip",)),
        "ReleaseAddress": Call(removes(SECTION), changes=("elastic-ip",)),
    }
    reads: ClassVar[Mapping[str, Read]] = {
        "DescribeAddresses": Read(),
        "DescribeAddressesAttribute": Read(_reads_reverse_dns),
        "DescribeAccountAttributes": Read(has(SECTION)),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.elastic_ips[name]
        written = {each.name: each.written(row) for each in self.attributes if each.written(row) is not None}
        return {**written, "tags": wanted_tags(f"{SECTION}.{name}", row.tags, world)}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveElasticIp)
        if live is None:
            return None
        return {
            **{each.name: each.observed(live) for each in _ALLOCATED},
            "reverse_dns": _reverse_dns(live).settling,
            "tags": known_tags(live.tags, want),
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        steps = [] if item.have is not None else [self._allocate(item, world)]
        steps += tag_steps(item, world)
        if item.want.get("reverse_dns") if item.have is None else item.differs("reverse_dns"):
            steps.append(_rename(item, world))
        return steps

    def advice(self, attribute: Attribute, address: str, world: World) -> str:
        if world.rows[address].adopt:
            return ""
        return "add a row of another name: an Elastic IP is never released to allocate another"

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        """The A record of a name cannot lead to an address that is not allocated yet, unless the row chose it."""
        name = item.want.get("reverse_dns")
        if item.have is not None or not name or "address" in item.want:
            return ()
        return [
            f"{item.address}: EC2 sets reverse_dns only once an A record of {name} leads to the address, which "
            "this plan allocates: it is tried once; if EC2 refuses it, enter the A record and apply again"
        ]

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        live = world.record(item.address, LiveElasticIp)
        if live is None or item.differs("reverse_dns") or "reverse_dns" not in item.want:
            return ()
        return () if _reverse_dns(live).pending is None else (_named(live.id, item.want["reverse_dns"]),)

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveElasticIp):
            return ()
        steps = [] if live.association_id is None else [disassociate(address, live, world)]
        dns = _reverse_dns(live)
        if dns.settling:
            steps.append(_reset(address, live.id, dns))
        release = Step(
            id=f"{address}/ReleaseAddress",
            call="ReleaseAddress",
            params={"AllocationId": live.id},
            address=address,
            impact=Impact.DESTRUCTIVE,
            after=frozenset({Fact.DISASSOCIATED.of(address), Fact.REVERSE_DNS_RESET.of(address)}),
            when=(_named(live.id, ""),) if dns.name and not dns.settling else (),
        )
        return [*steps, release]

    def _allocate(self, item: Item, world: World) -> Step:
        made = world.made_with(item.address, {"id": "AllocationId", "public_ip": "PublicIp"})
        return Step(
            id=f"{item.address}/AllocateAddress",
            call="AllocateAddress",
            params={
                "Domain": "vpc",
                **{each.parameter: item.want[each.name] for each in _ALLOCATED if each.name in item.want},
                "TagSpecifications": tag_specifications(self.resource_type, born_with(item.want["tags"])),
            },
            address=item.address,
            yields=made,
            look=Look(
                describe="DescribeAddresses",
                filters=ownership_filters(world.document.stack, item.address),
                yields=made,
            ),
        )


def _reverse_dns(live: LiveElasticIp) -> ReverseDns:
    return live.reverse_dns or ReverseDns()


def _rename(item: Item, world: World) -> Step:
    """Set, change or remove the name. A first name disturbs nothing."""
    live = world.record(item.address, LiveElasticIp)
    dns = _reverse_dns(live) if live else ReverseDns()
    if not item.want["reverse_dns"]:
        return _reset(item.address, world.id_of(item.address), dns)
    return Step(
        id=f"{item.address}/ModifyAddressAttribute",
        call="ModifyAddressAttribute",
        params={"AllocationId": world.id_of(item.address), "DomainName": item.want["reverse_dns"]},
        address=item.address,
        impact=Impact.SAFE if dns == ReverseDns() else Impact.DISRUPTIVE,
        when=_quiet(world.id_of(item.address), dns),
        until=_named(world.id_of(item.address), item.want["reverse_dns"]),
    )


def _reset(address: str, allocation_id: str | Ref, dns: ReverseDns) -> Step:
    return Step(
        id=f"{address}/ResetAddressAttribute",
        call="ResetAddressAttribute",
        params={"AllocationId": allocation_id, "Attribute": "domain-name"},
        address=address,
        impact=Impact.DISRUPTIVE,
        brings=frozenset({Fact.REVERSE_DNS_RESET.of(address)}),
        when=_quiet(allocation_id, dns),
        until=_named(allocation_id, ""),
    )


def _quiet(allocation_id: str | Ref, dns: ReverseDns) -> tuple[Expect, ...]:
    """The wait before a change, until no other one is pending."""
    if dns.pending is None:
        return ()
    return (Expect(_ATTRIBUTES, allocation_id, has=(_QUIET,), gone=True, advice=_ADVICE),)


def _named(allocation_id: str | Ref, name: str) -> Expect:
    """The wait after a change. EC2 writes names with a trailing dot, and lists no address without a name."""
    values = (f"{name}.", name) if name else ("", None)
    has: tuple[tuple[str, tuple[str | bool | None, ...]], ...] = (("PtrRecord", values),)
    if not name:
        has += (_QUIET,)
    return Expect(_ATTRIBUTES, allocation_id, has=has, gone=not name, advice=_ADVICE)
