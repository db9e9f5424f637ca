"""Guests that do not cope with what a plan attaches: their further addresses do not answer. Pure.

Only the plan that attaches or moves an interface warns, where ``guest_network`` does not configure the guest and
its operating system is not known to do it by itself. An address that ``guest_network`` needs at launch and cannot
know is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enireconcile.guest.families import family, family_of_parameter, is_windows
from enireconcile.live.records import LiveInstance
from enireconcile.planning.limits.case import INTERFACES, Case, Issue
from enireconcile.printable import printable
from enireconcile.spec import Instance


def judge(case: Case) -> Iterator[Issue]:
    yield from _unknown_addresses(case)
    yield from _warnings(case)


def _unknown_addresses(case: Case) -> Iterator[Issue]:
    """User data has the addresses of all interfaces. EC2 tells the IPv6 address that a subnet gives too late."""
    for address, step in case.creates.items():
        row = case.world.document.network_interfaces[address.partition(".")[2]]
        launched = [name for name in case.world.document.guest_networks(row) if case.world.is_launched(name)]
        subnet = case.subnets.get(str(step.params["SubnetId"]))
        named = not {"Ipv6Addresses", "Ipv6AddressCount"}.isdisjoint(step.params)
        if not launched or named or subnet is None or (subnet.cidr and not subnet.gives_ipv6):
            continue
        yield case.mistake(
            address,
            ("subnet",),
            f"{subnet.id} gives the interface an IPv6 address, which the user data of instances.{launched[0]}, "
            "which has guest_network, needs",
            "list one of the subnet as ipv6_addresses"
            + (", or write `ipv6_address_count: 0` for none" if subnet.cidr else "")
            + ", or leave out guest_network and run `enireconcile guest`",
        )


def _warnings(case: Case) -> Iterator[str]:
    """At most one for each interface that fails over, and one for each other instance."""
    attached = set(_attached(case))
    told: set[str] = set()
    for name in sorted(attached):
        place = case.world.document.network_interfaces[name].attachment
        candidates = place.candidates if place is not None and place.instances is not None else ()
        unsure = [each for each in candidates if not _copes(each, [name], case)]
        if unsure:
            told |= set(unsure)
            systems = "whose systems are" if len(unsure) > 1 else f"and the system of {unsure[0]} is"
            what = f"{INTERFACES}.{name} moves between {' and '.join(candidates)}, {systems}"
            yield f"{what} not known to configure it: its addresses may stay silent; {_see(unsure[0], case)}"
    for instance, names in sorted(_by_instance(case).items()):
        sharing = _sharing(instance, names, case)
        new = sorted(attached & set(sharing))
        if instance not in told and new and not _copes(instance, new, case):
            what = f"instances.{instance} has {len(sharing)} interfaces in one subnet, and its system is"
            yield f"{what} not known to configure them: only one may answer; {_see(instance, case)}"


def _see(instance: str, case: Case) -> str:
    row = case.world.document.instances.get(instance)
    late = "guest_network configures only what is there at launch; "
    begins = late if isinstance(row, Instance) and row.guest_network is not None else ""
    return f"{begins}see `enireconcile guest {printable(case.spec.file)} {instance}`"


def _attached(case: Case) -> Iterator[str]:
    """The interfaces with addresses that the plan attaches, by itself or with a launch."""
    launched = {step.address.partition(".")[2] for step in case.calls("RunInstances")}
    names = [name for name, place in case.world.placements.items() if place.instance in launched]
    names += (step.address.partition(".")[2] for step in case.calls("AttachNetworkInterface"))
    yield from filter(case.world.has_addresses, names)


def _by_instance(case: Case) -> dict[str, list[str]]:
    """The interfaces with addresses of each instance of the spec."""
    found: dict[str, list[str]] = {}
    for name, place in case.world.placements.items():
        if place.instance in case.world.document.instances and case.world.has_addresses(name):
            found.setdefault(place.instance, []).append(name)
    return found


def _sharing(instance: str, names: Sequence[str], case: Case) -> list[str]:
    """The interfaces of an instance in a subnet of which it has another one, too; its primary is one of them."""
    world = case.world
    subnets = {name: world.subnets.get(name, "") for name in names}
    live = world.record(f"instances.{instance}", LiveInstance)
    primary = live.occupant(0, 0) if live is not None else None
    if live is not None and primary is not None and world.name_of(primary.network_interface_id) not in names:
        subnets[primary.network_interface_id] = live.subnet_id
    found = list(subnets.values())
    return [name for name, subnet in subnets.items() if subnet and found.count(subnet) > 1]


def _knew(instance: str, name: str, case: Case) -> bool:
    """Did the user data of the launch have the interface, with its MAC address?

    If the instance stands, only the interfaces of a failover are taken to have been there when it was launched.
    """
    row = case.world.document.network_interfaces[name]
    if instance not in case.world.document.guest_networks(row):
        return False
    fails_over = row.attachment is not None and row.attachment.instances is not None
    return case.world.is_launched(instance) or (fails_over and f"{INTERFACES}.{name}" not in case.creates)


def _copes(instance: str, names: Sequence[str], case: Case) -> bool:
    """Do these interfaces come to a guest that its user data configured, or that is known to configure itself?"""
    if all(_knew(instance, name, case) for name in names):
        return True
    row = case.world.document.instances.get(instance)
    live = case.world.record(f"instances.{instance}", LiveInstance)
    system = live.system if live is not None else ""
    known = [family("", system)]
    if isinstance(row, Instance):
        if image := case.limits.images.get(case.world.images.get(instance, "")):
            known.append(family(image.name, image.system))
        if row.image is not None:
            known += [family(row.image.name or "", ""), family_of_parameter(row.image.ssm or "")]
    return is_windows(system) or any(found.copes for found in known if found is not None)
