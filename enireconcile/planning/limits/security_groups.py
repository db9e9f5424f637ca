"""Security groups: how many an interface has, and how many rules each of them. Pure.

EC2 counts rules by direction and address family. A rule for another group counts in both families, and one for a
prefix list as many times as that may have entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from enireconcile.live.records import LiveSecurityGroup
from enireconcile.model import Step
from enireconcile.planning.limits.case import INTERFACES, Case, ProblemOrWarning

GROUPS = "security_groups"
USUAL_GROUPS, USUAL_RULES = 5, 60
"""EC2's default quotas: groups of an interface; rules of a group, by direction and family."""
MOST_RULES = 1000
"""Groups of an interface times rules in each of them, in any account."""
_ALLOW_ALL = ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},)
_RULES_HINT = "put some into another group or a shared prefix list, or ask for a higher quota (L-0EA8095F)"

Size: TypeAlias = Counter[tuple[str, str]]
"""Rules by direction and family."""


def named_lists(case: Case) -> set[str]:
    """The prefix lists of groups that get rules."""
    return {
        entry["PrefixListId"]
        for step in _growing(case)
        for permission in (*_before(step.address, case), *step.params["IpPermissions"])
        for entry in permission.get("PrefixListIds") or ()
    }


def _growing(case: Case) -> list[Step]:
    return case.calls("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress")


def _before(address: str, case: Case) -> list[Mapping[str, Any]]:
    live = case.world.record(address, LiveSecurityGroup)
    return [*live.ingress, *live.egress] if live else []


def crowded(case: Case) -> list[tuple[str, int]]:
    """Interfaces that get more groups by this plan than is usual, and how many."""
    given = ((step.address, len(step.params["Groups"])) for step in case.steps if "Groups" in step.params)
    return [(interface, count) for interface, count in given if count > USUAL_GROUPS]


# ---- judging


def on_interfaces(case: Case) -> Iterator[ProblemOrWarning]:
    """Groups of an interface, where the account's quota is known."""
    quota = case.limits.groups_per_interface
    for interface, count in crowded(case):
        if quota is not None and count > quota:
            message = f"{count} groups; this account may have {quota} on an interface"
            hint = "name fewer, or ask for a higher quota (L-2AFB9258)"
            yield case.problem(interface, ("security_groups",), message, hint)


def rules(case: Case) -> Iterator[ProblemOrWarning]:
    """Rules of the groups that get some, and of all the groups of an interface together."""
    growing = sorted({step.address for step in _growing(case)})
    sizes = {address: _sizes(address, case) for address in growing}
    for address, (most, _) in sizes.items():
        for (direction, family), count in sorted(most.items()):
            if count > MOST_RULES:
                message = f"{count} rules for {family}; EC2 takes at most {MOST_RULES} in any account"
                yield case.problem(address, (direction,), message, _RULES_HINT)
            elif count > USUAL_RULES:
                usual = f"EC2 takes {USUAL_RULES} unless the account's quota was raised, which cannot be seen"
                yield f"{address}: {count} {direction} rules for {family}; {usual}"
    yield from _products(sizes, case)
    told = "DescribeManagedPrefixLists" in case.limits.read
    for unknown in sorted(named_lists(case) - set(case.limits.prefix_lists)) if told else ():
        yield f"{unknown} takes as many rules as it may have entries, which cannot be seen; it was counted as one"


def _sizes(address: str, case: Case) -> tuple[Size, Size]:
    """The most rules that a group may have on the way, and those in the end."""
    live = case.world.record(address, LiveSecurityGroup)
    # A group is born with a rule that lets everything out.
    most = _size("egress", live.egress if live else _ALLOW_ALL, case)
    most += _size("ingress", live.ingress if live else (), case)
    lost: Size = Counter()
    for step in case.steps:
        if step.address == address and "IpPermissions" in step.params:
            direction = "ingress" if step.call.endswith("Ingress") else "egress"
            size = _size(direction, step.params["IpPermissions"], case)
            if step.call.startswith("Authorize"):
                most += size
            elif step.call.startswith("Revoke"):
                lost += size
    return most, most - lost


def _size(direction: str, permissions: Iterable[Mapping[str, Any]], case: Case) -> Size:
    size: Size = Counter()
    for permission in permissions:
        lists = permission.get("PrefixListIds") or ()
        both = len(permission.get("UserIdGroupPairs") or ())
        both += sum(case.limits.prefix_lists.get(entry["PrefixListId"], 1) for entry in lists)
        size[direction, "IPv4"] += len(permission.get("IpRanges") or ()) + both
        size[direction, "IPv6"] += len(permission.get("Ipv6Ranges") or ()) + both
    return size


def _products(sizes: Mapping[str, tuple[Size, Size]], case: Case) -> Iterator[ProblemOrWarning]:
    """The quotas of groups and of rules multiply to a thousand at most, so no account takes more than that."""
    for name, row in sorted(case.world.document.network_interfaces.items()):
        groups = row.security_groups or ()
        for group in groups:
            _, size = sizes.get(f"{GROUPS}.{group}", (Counter(), Counter()))
            count = max(size.values(), default=0)
            if count <= MOST_RULES < count * len(groups):
                message = f"{len(groups)} groups, of which {group} has {count} rules"
                hint = f"EC2's quotas of the two multiply to {MOST_RULES} at most"
                yield case.problem(f"{INTERFACES}.{name}", ("security_groups",), message, hint)
                break
