"""The limits of EC2 that a plan must keep, checked before anything changes. Pure.

The steps of a plan show what it uses: device slots of instances, addresses of interfaces and subnets, Elastic IPs
of the account, security groups and their rules. ``questions`` lists the limits that must be read for that. Some
limits are kept by order alone: ``make_room`` lets steps that free a full instance, interface or account run before
those that use it. ``judge`` checks the rest.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import DENIED
from enireconcile.live.records import Questions
from enireconcile.model import Step
from enireconcile.planning.limits import (
    addresses,
    elastic_ips,
    instances,
    routes,
    security_groups,
)
from enireconcile.planning.limits.case import Case, Issue
from enireconcile.planning.mistakes import Mistake

__all__ = ["Case", "Judgement", "judge", "make_room", "questions"]


class Judgement(Struct, frozen=True):
    """``mistakes`` exceed a limit; ``warnings`` name what may go wrong, or could not be checked."""

    mistakes: tuple[Mistake, ...]
    warnings: tuple[str, ...]


def questions(case: Case) -> Questions:
    """The limits that must be read to judge a plan; none for a plan that uses nothing more than before."""
    return Questions(
        types=frozenset(instance.type for instance in instances.planned_instances(case)),
        groups_per_interface=bool(security_groups.above_default_quota(case)),
        prefix_lists=frozenset(
            security_groups.prefix_lists_of_rules(case) | {named for _, named in routes.prefix_lists(case)}
        ),
        elastic_ips=elastic_ips.allocates(case),
        routed_vpcs=frozenset(routes.vpcs_of_deleted(case)),
    )


def make_room(case: Case) -> list[Step]:
    """The steps, ordered such that what is full is freed before it is used again."""
    for instance in instances.planned_instances(case):
        if instance.changes_type:
            case = replace(case, steps=instances.resize_between(instance, case))
        if kind := case.limits.types.get(instance.type):
            case = replace(case, steps=instances.detach_first(instance, kind, case))
            for slot in instance.staying:
                if slot.interface in case.address_changes:
                    case = replace(case, steps=addresses.unassign_first(slot, kind, case))
    return elastic_ips.release_first(case)


def judge(case: Case) -> Judgement:
    """All mistakes and warnings of a plan, and a warning for each limit that could not be read."""
    issues: list[Issue] = []
    for instance in instances.planned_instances(case):
        issues += instances.zone(instance, case)
        if kind := case.limits.types.get(instance.type):
            issues += instances.interfaces(instance, kind, case)
            issues += instances.adapters(instance, kind, case)
            issues += addresses.on_instance(instance, kind, case)
        elif "DescribeInstanceTypes" in case.limits.read:
            issues += instances.unknown_type(instance, case)
    issues += [*addresses.in_subnets(case), *security_groups.on_interfaces(case), *security_groups.rules(case)]
    issues += [*elastic_ips.quota(case), *routes.quota(case), *routes.black_holes(case)]
    warnings = [issue for issue in issues if isinstance(issue, str)]
    unanswered = {**case.live.unanswered, **case.limits.unanswered}
    warnings += [f"not checked: {CHECKS[call]}; {_why(call, unanswered[call])}" for call in sorted(unanswered)]
    mistakes = tuple(issue for issue in issues if isinstance(issue, Mistake))
    return Judgement(mistakes, tuple(dict.fromkeys(warnings)))


def _why(call: str, code: str) -> str:
    if code in DENIED:
        return f"these credentials are not allowed to call {call}"
    return f"{call} was not answered" if code == "NoAnswer" else f"{call} failed: {code}"


CHECKS = {
    "DescribeAddresses": "how many Elastic IPs the account has",
    "DescribeAddressesAttribute": "which of the Elastic IPs to release have reverse DNS, which delays the release",
    "DescribeInstanceAttribute": "whether instances of other launches have the user_data of their rows",
    "DescribeInstanceTypes": "how many interfaces and addresses the instance types support",
    "DescribeAccountAttributes": "how many groups per interface and how many Elastic IPs the account allows",
    "DescribeImages": "whether the image exists and fits the instance type",
    "DescribeInstanceTypeOfferings": "whether the zone offers the instance type",
    "DescribeKeyPairs": "whether the key pair exists",
    "DescribeSnapshots": "whether the snapshot exists, and fits into the volume",
    "DescribeHosts": "whether the Dedicated Host exists and takes the instance",
    "DescribeCapacityReservations": "whether the Capacity Reservation exists and is for such an instance",
    "DescribeKey": "whether the KMS key exists and is enabled",
    "DescribePlacementGroups": "whether the placement group exists",
    "DescribeSecurityGroups": "whether the security groups that the spec names by id exist, and their VPCs",
    "DescribeSecurityGroupVpcAssociations": "whether a security group can be used in another VPC than its own",
    "DescribeVpcPeeringConnections": "whether the VPCs of groups that rules name are peered",
    "DescribeTransitGatewayVpcAttachments": "whether the VPCs of groups that rules name share a transit gateway",
    "DescribeManagedPrefixLists": "how many rules each prefix list counts as",
    "DescribeRouteTables": "which routes lead to the interfaces that this plan deletes",
}
"""What a plan does not check without the answer of an optional read."""
