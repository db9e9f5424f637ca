"""Warnings of guests that may not cope with what a plan attaches: their further addresses do not answer. Pure.

Only the plan that attaches or moves an interface warns, where ``guest_network`` does not configure the guest and
its operating system is not known to do it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enireconcile.guest.families import family, family_of_parameter, is_windows
from enireconcile.live.records import LiveInstance
from enireconcile.planning.limits.case import INTERFACES, Case
from enireconcile.printable import printable
from enireconcile.spec import Instance


def warnings(case: Case) -> Iterator[str]:
    """At most one for each interface that fails over, and one for each other instance."""
    attached = set(_attached(case))
    told: set[str] = set()
    for name in sorted(attached):
        place = case.world.document.network_interfaces[name].attachment
        candidates = place.candidates if place is not None and place.instances is not None else ()
        unsure = [each for each in candidates if not _copes(each, case)]
        if unsure:
            told |= set(unsure)
            systems = "whose systems are" if len(unsure) > 1 else f"and the system of {unsure[0]} is"
            what = f"{INTERFACES}.{name} moves between {' and '.join(candidates)}, {systems}"
            yield f"{what} not known to configure it: its addresses may stay silent; {_see(unsure[0], case)}"
    for instance, names in sorted(_by_instance(case).items()):
        sharing = _sharing(instance, names, case)
        if instance not in told and attached & set(sharing) and not _copes(instance, case):
            what = f"instances.{instance} has {len(sharing)} interfaces in one subnet, and its system is"
            yield f"{what} not known to configure them: only one may answer; {_see(instance, case)}"


def _see(instance: str, case: Case) -> str:
    return f"see `enireconcile guest {printable(case.spec.file)} {instance}`"


def _attached(case: Case) -> Iterator[str]:
    """The interfaces that the plan attaches, by itself or with a launch."""
    launched = {step.address.partition(".")[2] for step in case.calls("RunInstances")}
    yield from (name for name, place in case.world.placements.items() if place.instance in launched)
    yield from (step.address.partition(".")[2] for step in case.calls("AttachNetworkInterface"))


def _by_instance(case: Case) -> dict[str, list[str]]:
    """The interfaces of each instance of the spec."""
    found: dict[str, list[str]] = {}
    for name, place in case.world.placements.items():
        if place.instance in case.world.document.instances:
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


def _copes(instance: str, case: Case) -> bool:
    """Is the guest configured by its user data, or known to configure itself?"""
    row = case.world.document.instances.get(instance)
    live = case.world.record(f"instances.{instance}", LiveInstance)
    system = live.system if live is not None else ""
    known = [family("", system)]
    if isinstance(row, Instance):
        if row.guest_network is not None:
            return True
        if image := case.limits.images.get(case.world.images.get(instance, "")):
            known.append(family(image.name, image.system))
        if row.image is not None:
            known += [family(row.image.name or "", ""), family_of_parameter(row.image.ssm or "")]
    return is_windows(system) or any(found.copes for found in known if found is not None)
