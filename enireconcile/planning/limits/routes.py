"""Routes that lead to interfaces which a plan deletes. EC2 keeps such a route and drops its traffic. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from enireconcile.live.records import LiveNetworkInterface
from enireconcile.planning.limits.case import Case


def vpcs_of_deleted(case: Case) -> Iterator[str]:
    """The VPCs in which the plan deletes interfaces."""
    return (live.vpc_id for _, live in _deleted(case).values() if live.vpc_id)


def black_holes(case: Case) -> Iterator[str]:
    """A warning for each route to an interface that the plan deletes."""
    deleted = _deleted(case)
    for route in sorted(case.limits.routes, key=lambda each: (each.table, each.destination)):
        if route.network_interface_id not in deleted:
            continue
        address, live = deleted[route.network_interface_id]
        what = f"route {route.destination} of {route.table} leads to {live.id}, which this plan deletes"
        replaced = any(live is former for former in case.world.replaced.get(address, ()))
        yield (
            f"{address}: {what}, and {'becomes' if route.active else 'stays'} a black hole: "
            f"{'change it to the new interface' if replaced else 'change it first'}"
        )


def _deleted(case: Case) -> Mapping[str, tuple[str, LiveNetworkInterface]]:
    """The interfaces that the plan deletes, with their addresses, by id."""
    ids = {step.params["NetworkInterfaceId"] for step in case.calls("DeleteNetworkInterface")}
    return {
        live.id: (address, live)
        for address, live in case.world.leaving
        if isinstance(live, LiveNetworkInterface) and live.id in ids
    }
