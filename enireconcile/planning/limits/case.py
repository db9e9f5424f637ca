"""What is judged: a plan's steps, the World that they change, and what was read of EC2's limits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from enireconcile.errors import Problem
from enireconcile.kinds.base import World
from enireconcile.live.records import Limits, Live, LiveNetworkInterface, LiveSubnet
from enireconcile.model import Ref, Step
from enireconcile.spec import EFA_TYPES, Path, Spec

INTERFACES = "network_interfaces"
ADDING = ("AssignPrivateIpAddresses", "AssignIpv6Addresses")
TAKING = ("UnassignPrivateIpAddresses", "UnassignIpv6Addresses")

ProblemOrWarning: TypeAlias = Problem | str
"""What is certain to go wrong, with its place; or what a person should know."""


@dataclass(frozen=True)
class Case:
    """``steps`` have their needs once they are arranged."""

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
    def births(self) -> Mapping[str, Step]:
        """The creates of interfaces, by address."""
        return {step.address: step for step in self.calls("CreateNetworkInterface")}

    @cached_property
    def changes(self) -> Mapping[str, list[Step]]:
        """The calls that give an interface addresses or take some from it, by interface."""
        found: dict[str, list[Step]] = {}
        for step in self.calls(*ADDING, *TAKING):
            found.setdefault(self.about(step.params), []).append(step)
        return found

    def interface(self, named: str | Ref) -> str:
        """The address of an interface of the spec, the id of any other."""
        if isinstance(named, Ref):
            return named.address
        name = self.world.name_of(named)
        return f"{INTERFACES}.{name}" if name in self.world.document.network_interfaces else named

    def about(self, params: Mapping[str, Any]) -> str:
        """The interface that a call, or a part of it, names."""
        return self.interface(params["NetworkInterfaceId"])

    def record(self, interface: str) -> LiveNetworkInterface | None:
        """The record of an interface of the spec, if it exists."""
        return self.world.record(interface, LiveNetworkInterface)

    def is_adapter(self, interface: str) -> bool:
        """Is an interface of the spec an Elastic Fabric Adapter, or will it be one?"""
        if birth := self.births.get(interface):
            return birth.params.get("InterfaceType") in EFA_TYPES
        record = self.record(interface)
        return record is not None and record.interface_type in EFA_TYPES

    @cached_property
    def interfaces(self) -> Mapping[str, LiveNetworkInterface]:
        """All records of interfaces that the stack owns or adopts, named by the spec or not, by id."""
        records = (*self.live.network_interfaces, *self.live.adoptable)
        return {record.id: record for record in records if isinstance(record, LiveNetworkInterface)}

    @cached_property
    def subnets(self) -> Mapping[str, LiveSubnet]:
        """By id."""
        return {subnet.id: subnet for subnet in self.live.subnets}

    def problem(self, address: str, path: Path, message: str, hint: str | None = None) -> Problem:
        """Something wrong at a path below a resource."""
        section, _, name = address.partition(".")
        return self.spec.problem((section, name, *path), message, hint)

    def most(self, taken: Mapping[str, int], given: Mapping[str, int], room: int) -> int:
        """How much may be taken at once, in the worst of the orders that the steps' needs allow.

        ``taken`` and ``given`` map ids of steps to how much each takes or gives back; some step takes something.
        What is given back counts only where it is back for sure before the taking. Exact only beyond ``room``.
        """
        total = sum(taken.values())
        if total <= room:
            return total
        return max(self._held_at(step_id, taken, given) for step_id, count in taken.items() if count)

    def _held_at(self, taking: str, taken: Mapping[str, int], given: Mapping[str, int]) -> int:
        before = self._before
        held = sum(count for step_id, count in taken.items() if taking not in before[step_id])
        return held - sum(count for step_id, count in given.items() if step_id in before[taking])

    @cached_property
    def _before(self) -> Mapping[str, frozenset[str]]:
        """All that a step needs, however far back."""
        before: dict[str, frozenset[str]] = {}
        for step in self.steps:
            before[step.id] = step.needs.union(*(before[need] for need in step.needs))
        return before
