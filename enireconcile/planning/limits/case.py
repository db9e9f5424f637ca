"""What the limits are checked against: the steps of a plan, the World that they change, EC2's limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from msgspec import Struct

from enireconcile.kinds.world import World
from enireconcile.live.records import Limits, Live, LiveNetworkInterface, LiveSubnet
from enireconcile.model import Ref, Step
from enireconcile.planning.mistakes import Mistake, mistake
from enireconcile.spec import EFA_TYPES, Path, Spec

INTERFACES = "network_interfaces"
ASSIGN_CALLS = ("AssignPrivateIpAddresses", "AssignIpv6Addresses")
UNASSIGN_CALLS = ("UnassignPrivateIpAddresses", "UnassignIpv6Addresses")

Issue: TypeAlias = Mistake | str
"""A mistake, which leaves out the rows that it touches; or a warning."""


class Case(Struct, frozen=True, dict=True):
    """One plan and the limits that are known. The steps have ``needs`` once they are arranged."""

    spec: Spec
    live: Live
    world: World
    steps: Sequence[Step]
    limits: Limits

    def calls(self, *names: str) -> list[Step]:
        """The steps with these calls."""
        return [step for name in names for step in self._by_call.get(name, ())]

    @cached_property
    def _by_call(self) -> Mapping[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.call, []).append(step)
        return found

    @cached_property
    def creates(self) -> Mapping[str, Step]:
        """The steps that create interfaces, by address."""
        return {step.address: step for step in self.calls("CreateNetworkInterface")}

    @cached_property
    def address_changes(self) -> Mapping[str, list[Step]]:
        """The steps that assign addresses to an interface or unassign them, by interface."""
        found: dict[str, list[Step]] = {}
        for step in self.calls(*ASSIGN_CALLS, *UNASSIGN_CALLS):
            found.setdefault(self.interface_of(step.params), []).append(step)
        return found

    def interface(self, named: str | Ref) -> str:
        """The address of an interface of the spec, or the id of any other interface."""
        if isinstance(named, Ref):
            return named.address
        name = self.world.name_of(named)
        return f"{INTERFACES}.{name}" if name in self.world.document.network_interfaces else named

    def interface_of(self, params: Mapping[str, Any]) -> str:
        """The interface in the parameters of a call, or in one entry of them."""
        return self.interface(params["NetworkInterfaceId"])

    def record(self, interface: str) -> LiveNetworkInterface | None:
        """The record of an interface of the spec, if it exists."""
        return self.world.record(interface, LiveNetworkInterface)

    def is_efa(self, interface: str) -> bool:
        """Is an interface of the spec an Elastic Fabric Adapter (EFA), or will it be created as one?"""
        if birth := self.creates.get(interface):
            return birth.params.get("InterfaceType") in EFA_TYPES
        record = self.record(interface)
        return record is not None and record.interface_type in EFA_TYPES

    @cached_property
    def interfaces(self) -> Mapping[str, LiveNetworkInterface]:
        """All interfaces that the stack owns or adopts, by id, whether the spec names them or not."""
        records = (*self.live.network_interfaces, *self.live.adoptable)
        return {record.id: record for record in records if isinstance(record, LiveNetworkInterface)}

    @cached_property
    def subnets(self) -> Mapping[str, LiveSubnet]:
        """By id."""
        return {subnet.id: subnet for subnet in self.live.subnets}

    def mistake(
        self, address: str, path: Path, message: str, hint: str | None = None, *, touches: Iterable[str] = ()
    ) -> Mistake:
        """A mistake at a path below a resource. ``touches`` are all other rows that take from the same limit."""
        section, _, name = address.partition(".")
        return mistake(self.spec, (section, name, *path), message, hint, touches=touches)

    def peak_usage(self, taken: Mapping[str, int], returned: Mapping[str, int], capacity: int) -> int:
        """The most that can be in use at once, in the worst order that the needs of the steps allow.

        ``taken`` and ``returned`` map ids of steps to how much each takes or returns; at least one step takes
        something. What is returned counts only for steps that run after it in every order. The result is exact
        only where it exceeds ``capacity``.
        """
        total = sum(taken.values())
        if total <= capacity:
            return total
        return max(self._usage_at(step_id, taken, returned) for step_id, count in taken.items() if count)

    def _usage_at(self, taking: str, taken: Mapping[str, int], returned: Mapping[str, int]) -> int:
        """What is in use right after a step, if everything that can run before it has run."""
        before = self.predecessors
        used = sum(count for step_id, count in taken.items() if taking not in before[step_id])
        return used - sum(count for step_id, count in returned.items() if step_id in before[taking])

    @cached_property
    def predecessors(self) -> Mapping[str, frozenset[str]]:
        """All steps that must run before a step, directly or indirectly, by its id."""
        before: dict[str, frozenset[str]] = {}
        for step in self.steps:
            before[step.id] = step.predecessors.union(*(before[each] for each in step.predecessors))
        return before
