"""How many security groups an interface has, and how many rules a group. Pure.

EC2 counts rules by direction and address family. A rule whose peer is a group or a prefix list counts in both
families, for a prefix list as many times as its maximum number of entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from enireconcile.live.records import LiveSecurityGroup
from enireconcile.model import Step
from enireconcile.planning.limits.case import INTERFACES, Case, Issue
from enireconcile.spec import without_selectors

GROUPS = "security_groups"
DEFAULT_GROUPS, DEFAULT_RULES = 5, 60
"""EC2's default quotas: groups per interface; rules per group, by direction and family."""
MOST_RULES = 1000
"""EC2's bound on the product of the two quotas, which no increase exceeds."""
_ALLOW_ALL = ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},)
_RULES_HINT = "move some rules to another security group"

_RULES_QUOTA = "L-0EA8095F"

Size: TypeAlias = Counter[tuple[str, str]]
"""The number of rules by direction and family."""


def prefix_lists_of_rules(case: Case) -> set[str]:
    """The prefix lists in the rules of groups to which the plan adds rules."""
    return {
        entry["PrefixListId"]
        for step in _authorizing(case)
        for permission in (*_existing_permissions(step.address, case), *step.params["IpPermissions"])
        for entry in permission.get("PrefixListIds") or ()
    }


def _authorizing(case: Case) -> list[Step]:
    return case.calls("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress")


def _existing_permissions(address: str, case: Case) -> list[Mapping[str, Any]]:
    live = case.world.record(address, LiveSecurityGroup)
    return [*live.ingress, *live.egress] if live else []


def above_default_quota(case: Case) -> list[tuple[str, int]]:
    """Interfaces to which the plan gives more groups than the default quota, and how many."""
    given = ((step.address, len(step.params["Groups"])) for step in case.steps if "Groups" in step.params)
    return [(interface, count) for interface, count in given if count > DEFAULT_GROUPS]


# ---- judging


def on_interfaces(case: Case) -> Iterator[Issue]:
    """The groups per interface, where the account's quota is known."""
    quota = case.limits.groups_per_interface
    for interface, count in above_default_quota(case):
        if quota is not None and count > quota:
            message = f"{count} security groups; this account allows {quota} per interface"
            hint = "list fewer, or request a higher quota (L-2AFB9258)"
            yield case.mistake(interface, ("security_groups",), message, hint)


def rules(case: Case) -> Iterator[Issue]:
    """The rules of groups to which the plan adds some, and the product with the groups per interface."""
    authorized = sorted({step.address for step in _authorizing(case)})
    sizes = {address: _sizes(address, case) for address in authorized}
    for address, (most, _) in sizes.items():
        for (direction, family), count in sorted(most.items()):
            if count > MOST_RULES:
                message = f"{count} rules for {family}; EC2 allows at most {MOST_RULES} in any account"
                yield case.mistake(address, (direction,), message, _RULES_HINT)
            elif count > DEFAULT_RULES:
                usual = f"EC2 allows {DEFAULT_RULES} unless the account has a higher quota ({_RULES_QUOTA})"
                yield f"{address}: {count} {direction} rules for {family}; {usual}, which was not checked"
    yield from _products(sizes, case)
    told = "DescribeManagedPrefixLists" in case.limits.read
    for unknown in sorted(each for each in prefix_lists_of_rules(case) if told and not _entries(each, case)):
        yield (
            f"{unknown} counts as one rule for each entry that it may have; EC2 does not show its maximum "
            "number of entries, so it was counted as one rule"
        )


def _sizes(address: str, case: Case) -> tuple[Size, Size]:
    """The most rules that a group may have while the plan runs, and its rules after the plan."""
    live = case.world.record(address, LiveSecurityGroup)
    # EC2 creates a group with a rule that allows all egress.
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
        both += sum(_entries(entry["PrefixListId"], case) or 1 for entry in lists)
        size[direction, "IPv4"] += len(permission.get("IpRanges") or ()) + both
        size[direction, "IPv6"] += len(permission.get("Ipv6Ranges") or ()) + both
    return size


def _entries(prefix_list: str, case: Case) -> int | None:
    """The most entries of a prefix list, if EC2 tells them."""
    return case.limits.prefix_lists.get(prefix_list)


def _products(sizes: Mapping[str, tuple[Size, Size]], case: Case) -> Iterator[Issue]:
    """The product of the two quotas is at most 1000 in any account."""
    if not sizes:
        return
    for name, row in sorted(case.world.document.network_interfaces.items()):
        groups = without_selectors(row.security_groups)
        for group in groups:
            _, size = sizes.get(f"{GROUPS}.{group}", (Counter(), Counter()))
            count = max(size.values(), default=0)
            if count <= MOST_RULES < count * len(groups):
                message = f"{len(groups)} security groups, of which {group} has {count} rules"
                hint = f"groups per interface times rules per group is at most {MOST_RULES} in any account"
                touches = [f"{GROUPS}.{group}"]
                yield case.mistake(f"{INTERFACES}.{name}", ("security_groups",), message, hint, touches=touches)
                break
