"""Routes that lead to interfaces which a plan deletes. EC2 keeps such a route and drops its traffic. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from enireconcile.live.records import LiveNetworkInterface, destination_of
from enireconcile.planning.limits.case import Case, Issue

DEFAULT_ROUTES, MOST_ROUTES = 500, 1000
"""Routes of a route table that no gateway propagates: the default quota, and the highest (Amazon VPC quotas)."""
_QUOTA = "L-93826ACB"


def vpcs_of_deleted(case: Case) -> Iterator[str]:
    """The VPCs in which the plan deletes interfaces, unless all route tables are known already."""
    if not case.live.route_tables:
        yield from (live.vpc_id for _, live in _deleted(case).values() if live.vpc_id)


def prefix_lists(case: Case) -> Iterator[tuple[str, str]]:
    """The prefix lists that are destinations of routes which the plan makes, with the addresses of the rows."""
    for step in case.calls("CreateRoute", "ReplaceRoute"):
        if "DestinationPrefixListId" in step.params and "NetworkInterfaceId" in step.params:
            yield step.address, step.params["DestinationPrefixListId"]


def quota(case: Case) -> Iterator[Issue]:
    """The routes of each route table to which the plan adds some."""
    for table in case.live.route_tables:
        adding = [step for step in case.calls("CreateRoute") if step.params["RouteTableId"] == table.id]
        count = len(table.routes) + len(adding)
        if adding and count > MOST_ROUTES:
            message = f"{count} routes in {table.text}; EC2 allows at most {MOST_ROUTES} in any account"
            first, *others = sorted({step.address for step in adding})
            yield case.mistake(first, ("routes",), message, "use prefix lists or larger blocks", touches=others)
        elif adding and count > DEFAULT_ROUTES:
            usual = f"EC2 allows {DEFAULT_ROUTES} unless the account has a higher quota ({_QUOTA})"
            yield f"{adding[0].address}: {count} routes in {table.text}; {usual}, which was not checked"


def black_holes(case: Case) -> Iterator[str]:
    """A warning for each route to an interface that the plan deletes, and that the plan does not change."""
    deleted, changed = _deleted(case), _changed(case)
    tables = {table.id: table for table in (*case.live.route_tables, *case.limits.route_tables)}
    for table_id, table in sorted(tables.items()):
        for route in sorted(table.routes, key=lambda each: each.destination):
            if route.target not in deleted or (table_id, route.destination) in changed:
                continue
            address, live = deleted[route.target]
            what = f"route {route.destination} of {table.text} leads to {live.id}, which this plan deletes"
            replaced = any(live is former for former in case.world.replaced.get(address, ()))
            yield (
                f"{address}: {what}, and {'becomes' if route.active else 'stays'} a black hole: "
                f"{'change it to the new interface' if replaced else 'change it first'}"
            )


def _changed(case: Case) -> set[tuple[str, str]]:
    """The routes that the plan moves or deletes: id of the route table, and destination."""
    return {
        (step.params["RouteTableId"], destination_of(step.params))
        for step in case.calls("ReplaceRoute", "DeleteRoute")
    }


def _deleted(case: Case) -> Mapping[str, tuple[str, LiveNetworkInterface]]:
    """The interfaces that the plan deletes, with their addresses, by id."""
    ids = {step.params["NetworkInterfaceId"] for step in case.calls("DeleteNetworkInterface")}
    return {
        live.id: (address, live)
        for address, live in case.world.leaving
        if isinstance(live, LiveNetworkInterface) and live.id in ids
    }
