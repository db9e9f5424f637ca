"""Resolve spec and live state to one World: selectors to ids, live records to addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.kinds.world import World
from enireconcile.live.matching import selects, tagged_address
from enireconcile.live.records import (
    Live,
    LiveInstance,
    LiveNetworkInterface,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
    Record,
    Sought,
)
from enireconcile.model import (
    Leftover,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.adoption import adoptions
from enireconcile.planning.associations import Associations
from enireconcile.planning.failover import choose_placements
from enireconcile.planning.foreign import Foreign
from enireconcile.planning.left_out import LeftOut, without
from enireconcile.planning.mistakes import Mistake, Mistakes, no_match_hint
from enireconcile.planning.owned import Owned
from enireconcile.planning.owned import owned as find_owned
from enireconcile.planning.routes import Routes
from enireconcile.spec import (
    ADDRESS_KEYS,
    InstanceSelector,
    NetworkInterface,
    Selector,
    Spec,
    references_in,
)
from enireconcile.spec.checks import misplaced, private_addresses

R = TypeVar("R", bound=Record)


class Resolved(Struct, frozen=True):
    """The World without the rows that are left out, and the leftovers: what the stack owns and no row names.

    ``twins`` maps the addresses of unused twins, which are leftovers or removed, to the resource that has their
    name, in words. While there are ``mistakes``, the World is incomplete: the rows that they touch must be left
    out first.
    """

    world: World
    leftovers: tuple[Leftover, ...]
    twins: Mapping[str, str]
    left_out: LeftOut
    mistakes: tuple[Mistake, ...]


def resolve(spec: Spec, live: Live, *, prune: bool, left_out: Collection[str] = ()) -> Resolved:
    """The World of a spec. With ``prune`` there are no leftovers: the plan removes them.

    ``left_out`` are addresses to leave out; the rows that need them are left out, too. A row that is left out
    keeps its live record, so that others can refer to it.
    """
    named = set(spec.document.resources)
    mistakes = Mistakes(spec, left_out)
    mine = find_owned(live, named, spec.document.renamed)
    _refuse_ambiguous(mine, mistakes)
    owned = mine.records
    adopted = adoptions(spec, live, owned, mistakes)
    # What a row adopts is not left over, also if it still has another name: that is a mistake of the row.
    adopting = set(spec.document.adopted.values())
    unnamed = sorted(each for each in owned.keys() - named if owned[each].id not in adopting)
    world = World(
        document=spec.document,
        owned={address: record for address, record in owned.items() if address in named} | adopted,
        adopting=frozenset(address for address, record in adopted.items() if STACK_TAG not in record.tags),
        terminating={instance.id: instance.state for instance in live.instances if instance.terminating},
        removed={address: owned[address] for address in unnamed} if prune else {},
        replaced=dict(sorted(mine.replaced.items())),
        dependents=live.dependents,
    )
    leaving_out = LeftOut.of(left_out, world, live)
    whole = Routes(live, world, {}, mistakes)
    world = without(leaving_out, world)
    mistakes.left_out = leaving_out.addresses.union(mistakes.left_out)
    spec = replace(spec, document=world.document)
    subnets = _select_subnets(spec, live, world, mistakes)
    vpcs = _select_vpcs(spec, live, world, mistakes)
    images = _select_images(spec, live, mistakes)
    listed = {subnet.id: subnet for subnet in live.subnets}
    known = _unlisted(subnets, world, listed) | listed
    interface_vpcs = {name: known[subnet].vpc_id for name, subnet in subnets.items()}
    world = replace(world, document=Foreign(live, world, vpcs, interface_vpcs, mistakes).document())
    spec = replace(spec, document=world.document)
    externals = _select_externals(spec, live, mistakes)
    _check_zones(spec, subnets, known, _zones(world, externals), world, mistakes)
    _check_addresses(spec, subnets, listed, world, mistakes)
    _check_primary_ipv6(spec, subnets, listed, world, mistakes)
    _check_group_names(spec, vpcs, live, mistakes)
    default_groups = _default_groups(spec, subnets, known, live, world, mistakes)
    zones = {name: known[subnet].zone for name, subnet in subnets.items()}
    associations = Associations(spec, live, world, externals, zones, mistakes)
    destinations = associations.destinations()
    routes = Routes(live, world, interface_vpcs, mistakes)
    placed = choose_placements(
        spec.document,
        _by_name("network_interfaces", LiveNetworkInterface, world.owned),
        externals | _by_name("instances", LiveInstance, world.owned),
        live.checks,
        _terminating(spec, live),
        [
            name
            for name, row in world.document.own_instances.items()
            if row.state == "running" and f"instances.{name}" not in world.owned
        ],
    )
    world = replace(
        world,
        subnets=subnets,
        vpcs=vpcs,
        images=images,
        root_devices={name: live.root_devices[each] for name, each in images.items() if each in live.root_devices},
        subnets_by_id=listed,
        vpcs_by_id={vpc.id: vpc for vpc in live.vpcs},
        default_groups=default_groups,
        externals=externals,
        placements=placed.placements,
        stranded=placed.stranded,
        destinations=destinations,
        foreign_interfaces=associations.foreign_interfaces,
        routes=routes.by_interface(),
        route_tables=whole.tables(),
        awaited_routes=whole.awaited(_interfaces_in(leaving_out.addresses)),
    )
    leftovers = tuple(Leftover(each, owned[each].id) for each in unnamed if each not in world.removed)
    return Resolved(world, leftovers, mine.twins, leaving_out, tuple(mistakes.found))


def _interfaces_in(addresses: Collection[str]) -> list[str]:
    """The names of the interfaces at these addresses."""
    split = (address.partition(".") for address in addresses)
    return [name for section, _, name in split if section == "network_interfaces"]


def _terminating(spec: Spec, live: Live) -> dict[str, str]:
    """The names of instances that are terminating or gone, by id."""
    names = {row.external.id: name for name, row in spec.document.external_instances.items() if row.external.id}
    leaving = (instance for instance in live.instances if instance.terminating)
    return names | {instance.id: tagged_address(instance).partition(".")[2] for instance in leaving}


def _by_name(section: str, kind: type[R], owned: Mapping[str, Record]) -> dict[str, R]:
    """The owned records of a section by logical name."""
    return {
        address.partition(".")[2]: record
        for address, record in owned.items()
        if address.startswith(f"{section}.") and isinstance(record, kind)
    }


def _refuse_ambiguous(mine: Owned, mistakes: Mistakes) -> None:
    """Several resources that belong to one row are a mistake, unless all but one are unused twins."""
    for address, records in mine.ambiguous.items():
        section, _, name = address.partition(".")
        ids = " and ".join(sorted(record.id for record in records))
        mistakes.add((section, name), f"several live resources of this stack have this name: {ids}", _ONE)


_ONE = f"keep one of them: delete the others, or remove their tags {NAME_TAG} and {STACK_TAG}"


def _select_subnets(spec: Spec, live: Live, world: World, mistakes: Mistakes) -> dict[str, str]:
    """The subnet ids by interface. An interface whose subnet the spec does not manage keeps the one it has."""
    selected: dict[str, str] = {}
    for name, row in spec.document.network_interfaces.items():
        selector, path = row.subnet, ("network_interfaces", name, "subnet")
        present = world.record(f"network_interfaces.{name}", LiveNetworkInterface)
        if present and world.leaves(f"network_interfaces.{name}", "subnet"):
            selected[name] = present.subnet_id
            continue
        if selector is None:
            # What the row adopts has a problem already.
            continue
        found = [subnet for subnet in live.subnets if selects(selector, subnet)]
        _select_one(found, name, "subnet", path, selector, selected, mistakes, live)
    return selected


def _unlisted(subnets: Mapping[str, str], world: World, listed: Mapping[str, LiveSubnet]) -> dict[str, LiveSubnet]:
    """The subnets that DescribeSubnets does not list, by id, with what their interfaces show of them.

    That is so after another account stopped sharing a subnet in which there are interfaces.
    """
    present = (world.record(f"network_interfaces.{name}", LiveNetworkInterface) for name in subnets)
    return {
        live.subnet_id: LiveSubnet(live.subnet_id, {}, live.vpc_id, live.zone, cidr="", default_for_az=False)
        for live in present
        if live is not None and live.subnet_id not in listed
    }


def _select_vpcs(spec: Spec, live: Live, world: World, mistakes: Mistakes) -> dict[str, str]:
    """The VPC ids by group, likewise."""
    selected: dict[str, str] = {}
    for name, row in spec.document.security_groups.items():
        selector, path = row.vpc, ("security_groups", name, "vpc")
        present = world.record(f"security_groups.{name}", LiveSecurityGroup)
        if present and world.leaves(f"security_groups.{name}", "vpc"):
            selected[name] = present.vpc_id
            continue
        if not row.specifies("vpc"):
            # What the row adopts has a problem already.
            continue
        found = [vpc for vpc in live.vpcs if selects(selector, vpc)]
        _select_one(found, name, "VPC", path, selector, selected, mistakes, live)
    return selected


def _select_one(
    found: Sequence[LiveSubnet | LiveVpc],
    name: str,
    noun: str,
    path: tuple[str, ...],
    selector: Selector,
    selected: dict[str, str],
    mistakes: Mistakes,
    live: Live,
) -> None:
    if len(found) == 1:
        selected[name] = found[0].id
    elif not found:
        there = live.vpcs if noun == "VPC" else live.subnets
        mistakes.add(
            path,
            f"no {noun} in {live.region} matches {selector.text}",
            _default_subnets(live) if selector.default_for_az else no_match_hint(selector, there, noun),
        )
    else:
        ids = ", ".join(sorted(candidate.id for candidate in found))
        mistakes.add(
            path,
            f"{len(found)} {noun}s match {selector.text}: {ids}",
            "select one of them by its id",
        )


def _default_subnets(live: Live) -> str:
    """The hint for a zone without a default subnet."""
    zones = sorted({subnet.zone for subnet in live.subnets if subnet.default_for_az})
    return f"zones with a default subnet: {', '.join(zones)}" if zones else "this account has no default subnets"


def _select_externals(spec: Spec, live: Live, mistakes: Mistakes) -> dict[str, LiveInstance]:
    """One instance for each selector. Only a candidate of a failover that nothing else names can be missing."""
    document = spec.document
    attached = (row.attachment for row in document.network_interfaces.values())
    associated = (row.association for row in document.elastic_ips.values())
    named = (each.instance for each in (*attached, *associated) if each is not None)
    needed = {f"instances.{name}" for name in named} | {ref.address for _, ref in references_in(document)}
    selected: dict[str, LiveInstance] = {}
    for name, found in live.externals.items():
        path = ("instances", name, "external")
        if len(found) == 1:
            selected[name] = found[0]
        elif found:
            ids = ", ".join(sorted(instance.id for instance in found))
            mistakes.add(path, f"{len(found)} instances match: {ids}", "select one of them by its id")
        elif f"instances.{name}" in needed:
            selector = spec.document.external_instances[name].external
            sought = [Sought("instances", "tag-key", key) for key in selector.tags or ()]
            message = f"no instance in {live.region} matches {selector.text}"
            mistakes.add(path, message, _instances_hint(selector, live), sought=sought)
    return selected


def _instances_hint(selector: InstanceSelector, live: Live) -> str:
    there = live.similar.get("instances")
    if there is None or selector.tags is None:
        return "see `aws ec2 describe-instances`; terminated instances do not match"
    return no_match_hint(selector, there, "instance")


def _select_images(spec: Spec, live: Live, mistakes: Mistakes) -> dict[str, str]:
    selected: dict[str, str] = {}
    for name, candidates in live.images.items():
        row = spec.document.own_instances.get(name)
        if row is None:
            # It is left out.
            continue
        taken = live.architectures.get(name)
        fitting = [image for image in candidates if taken is None or image.platform.architecture in taken]
        if fitting:
            # The newest; by id among those of one time, so that every run selects the same.
            selected[name] = max(fitting, key=lambda image: (image.created, image.id)).id
        elif candidates and taken is not None:
            kind = row.instance_type
            found = sorted({image.platform.architecture for image in candidates})
            message = (
                f"the available images that match are for {' and '.join(found)}, and {kind} supports "
                f"{' or '.join(taken)}"
            )
            hint = "choose another name, or another instance type"
            mistakes.add(("instances", name, "image"), message, hint)
        else:
            by_name = row.image is None or row.image.ssm is None
            message = "no available image matches" if by_name else "the SSM parameter does not exist"
            hint = "check the name and the owner" if by_name else "see `aws ssm get-parameter --name NAME`"
            mistakes.add(("instances", name, "image"), message, hint)
    return selected


def _zones(world: World, externals: Mapping[str, LiveInstance]) -> dict[str, str]:
    """The zones of external and adopted instances, by their names in the spec."""
    adopted = {
        name: instance.zone
        for name, instance in _by_name("instances", LiveInstance, world.owned).items()
        if world.rows[f"instances.{name}"].adopt is not None
    }
    return adopted | {name: instance.zone for name, instance in externals.items()}


def _check_zones(
    spec: Spec,
    subnets: Mapping[str, str],
    known: Mapping[str, LiveSubnet],
    zones: Mapping[str, str],
    world: World,
    mistakes: Mistakes,
) -> None:
    """An instance and its interfaces must be in one zone; ``zones`` are those of existing instances by name."""
    first = {name: (f"the instance {name}", zone, "") for name, zone in zones.items()}
    for name, row in spec.document.network_interfaces.items():
        if row.attachment is None or name not in subnets:
            continue
        zone = known[subnets[name]].zone
        for instance in row.attachment.candidates:
            itself = f"the subnet of {name}, also attached to {instance},"
            other, other_zone, address = first.setdefault(instance, (itself, zone, f"network_interfaces.{name}"))
            if zone != other_zone:
                mistakes.add(
                    ("network_interfaces", name, "subnet"),
                    f"the subnet is in {zone}, but {other} is in {other_zone}",
                    "an instance and its interfaces must be in one Availability Zone",
                    # Neither is more right than the other, unless one exists.
                    touches={address} - {"", *world.owned},
                )


def _check_addresses(
    spec: Spec, subnets: Mapping[str, str], listed: Mapping[str, LiveSubnet], world: World, mistakes: Mistakes
) -> None:
    """Addresses and prefixes must be in their subnet, and not among those that EC2 reserves.

    Nothing is known of the CIDR blocks of a subnet that EC2 does not list.
    """
    for name, row in spec.document.network_interfaces.items():
        subnet, address = listed.get(subnets.get(name, "")), f"network_interfaces.{name}"
        if subnet is None:
            continue
        for path, block in private_addresses(name, row):
            networks = [ipaddress.ip_network(cidr) for cidr in _blocks(subnet, block.version)]
            if networks and not world.leaves(address, str(path[2])):
                fitting = next((network for network in networks if block[0] in network), networks[0])
                for words in misplaced(block, fitting, subnet.id):
                    mistakes.add(path, *words)
        for key in ("private_ip", *(key for pair in ADDRESS_KEYS for key in pair)):
            version = 6 if key.startswith("ipv6") else 4
            if getattr(row, key) and not _blocks(subnet, version) and not world.leaves(address, key):
                hint = "associate a CIDR block with it, or choose another subnet"
                path = ("network_interfaces", name, key)
                mistakes.add(path, f"{subnet.id} has no IPv{version} CIDR block", hint)


def _check_primary_ipv6(
    spec: Spec, subnets: Mapping[str, str], listed: Mapping[str, LiveSubnet], world: World, mistakes: Mistakes
) -> None:
    """EC2 never unassigns a primary IPv6 address, and needs an address to make it the primary one."""
    primary: dict[tuple[str, str], str] = {}
    for name, row in spec.document.network_interfaces.items():
        address, subnet = f"network_interfaces.{name}", subnets.get(name, "")
        live = world.record(address, LiveNetworkInterface)
        if live is None or live.subnet_id != subnet or _is_renewed(address, row, live, world):
            # It is made, or replaced: with the addresses of its row.
            had, written = listed[subnet].gives_ipv6 if subnet in listed else True, True
        else:
            had, written = bool(live.ipv6_addresses), not world.leaves(address, "primary_ipv6")
            if live.primary_ipv6 is not None:
                primary[subnet, live.primary_ipv6] = address
                _check_kept(name, live, world, mistakes)
        counted = row.ipv6_addresses is not None or row.ipv6_address_count is not None
        if row.primary_ipv6 and written and not had and not counted:
            hint = "write ipv6_addresses or ipv6_address_count"
            mistakes.add(("network_interfaces", name, "primary_ipv6"), "the interface has no IPv6 address", hint)
    for name, row in spec.document.network_interfaces.items():
        for index, each in enumerate(row.ipv6_addresses or ()):
            holder = primary.get((subnets.get(name, ""), each), f"network_interfaces.{name}")
            left = world.leaves(f"network_interfaces.{name}", "ipv6_addresses")
            if holder != f"network_interfaces.{name}" and not left:
                message = f"{each} is the primary IPv6 address of {holder}, which EC2 cannot unassign"
                path = ("network_interfaces", name, "ipv6_addresses", index)
                mistakes.add(path, message, f"leave it in the list of {holder}, and choose another one here")


def _is_renewed(address: str, row: NetworkInterface, live: LiveNetworkInterface, world: World) -> bool:
    """Is the interface at an address replaced within its subnet?"""
    fixed = {"private_ip": row.private_ip or live.private_ip, "interface_type": row.interface_type}
    return any(getattr(live, key) != value and not world.leaves(address, key) for key, value in fixed.items())


def _check_kept(name: str, live: LiveNetworkInterface, world: World, mistakes: Mistakes) -> None:
    """The row of an interface keeps its primary IPv6 address."""
    row, address = world.document.network_interfaces[name], f"network_interfaces.{name}"
    listed, count = row.ipv6_addresses, row.ipv6_address_count
    if listed is not None and live.primary_ipv6 not in listed:
        key, hint = "ipv6_addresses", f"add {live.primary_ipv6}"
    elif count == 0:
        key, hint = "ipv6_address_count", "write at least 1"
    else:
        return
    if not world.leaves(address, key) and not world.adds_to(address, key):
        message = f"{live.primary_ipv6} is the primary IPv6 address of {live.id}, which EC2 cannot unassign"
        mistakes.add(("network_interfaces", name, key), message, f"{hint}, or create an interface of another name")


def _blocks(subnet: LiveSubnet, version: int) -> tuple[str, ...]:
    """The CIDR blocks of a family. An IPv6-only subnet has none of IPv4."""
    if version == 6:
        return subnet.ipv6_cidrs
    return (subnet.cidr,) if subnet.cidr else ()


def _check_group_names(spec: Spec, vpcs: Mapping[str, str], live: Live, mistakes: Mistakes) -> None:
    """Group names are unique in a VPC, ignoring case: another group can have the name already."""
    taken = {(group.vpc_id, group.name.casefold()): group for group in live.name_conflicts}
    for name, row in spec.document.security_groups.items():
        group_name = row.group_name or name
        holder = taken.get((vpcs.get(name, ""), group_name.casefold()))
        if row.adopt is not None or holder is None:
            continue
        message, hint = f"{holder.id} already has the name {group_name!r} in {vpcs[name]}", ""
        if holder.tags.get(STACK_TAG) != spec.document.stack:
            message += ", and is not of this stack"
            hint = f"write another group_name, or `adopt: {holder.id}`, or delete {holder.id}"
        elif (address := tagged_address(holder)) != f"security_groups.{name}":
            message += f": it is {address} of this stack"
            former = address.partition(".")[2]
            hint = (
                f"write another group_name; or, if the row was renamed, `renamed_from: {former}` to keep the group"
            )
        if hint:
            mistakes.add(("security_groups", name), message, hint)


def _default_groups(
    spec: Spec,
    subnets: Mapping[str, str],
    known: Mapping[str, LiveSubnet],
    live: Live,
    world: World,
    mistakes: Mistakes,
) -> dict[str, str]:
    """The default group of the VPC by subnet id, for interfaces that name no groups."""
    groups: dict[str, str] = {}
    for name, row in spec.document.network_interfaces.items():
        if row.security_groups is not None or name not in subnets:
            continue
        vpc_id = known[subnets[name]].vpc_id
        if vpc_id in live.default_groups:
            # Also where the row leaves the groups as they are: the interface may be replaced.
            groups[subnets[name]] = live.default_groups[vpc_id]
        elif not world.leaves(f"network_interfaces.{name}", "security_groups"):
            mistakes.add(
                ("network_interfaces", name),
                f"{vpc_id} has no default security group that these credentials can see",
                "list the interface's security_groups",
            )
    return groups
