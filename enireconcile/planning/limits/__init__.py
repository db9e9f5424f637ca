"""What bounds a plan, looked at before anything changes. Pure.

A plan's own steps say what it takes: seats on instances, addresses of interfaces, subnets and the account, groups
and rules.
``questions`` names what has to be read to judge them, if anything. Some limits are kept by order alone, for which
``make_room`` lets those who leave a full instance or interface go first. ``judge`` compares the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from enireconcile.errors import Problem
from enireconcile.live.records import Questions
from enireconcile.model import Step
from enireconcile.planning.limits import (
    addresses,
)
from enireconcile.planning.limits import (
    elastic_ips as account,
)
from enireconcile.planning.limits import (
    instances as machines,
)
from enireconcile.planning.limits import (
    security_groups as groups,
)
from enireconcile.planning.limits.case import Case, ProblemOrWarning

__all__ = ["Case", "Judgement", "judge", "make_room", "questions"]


@dataclass(frozen=True)
class Judgement:
    """``problems`` are certain; ``warnings`` tell what may go wrong, or could not be checked."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def questions(case: Case) -> Questions:
    """What has to be read to judge a plan; nothing for one that takes nothing."""
    return Questions(
        types=frozenset(machine.type for machine in machines.machines(case)),
        groups_per_interface=bool(groups.crowded(case)),
        prefix_lists=frozenset(groups.named_lists(case)),
        elastic_ips=account.allocates(case),
    )


def make_room(case: Case) -> list[Step]:
    """The steps, such that those who leave what is full go before others come."""
    for machine in machines.machines(case):
        if machine.retyped:
            case = replace(case, steps=machines.resize_between(machine, case))
        if kind := case.limits.types.get(machine.type):
            case = replace(case, steps=machines.detach_first(machine, kind, case))
            for slot in machine.staying:
                if slot.interface in case.changes:
                    case = replace(case, steps=addresses.take_first(slot, kind, case))
    return account.release_first(case)


def judge(case: Case) -> Judgement:
    """Everything that is wrong, and everything that nobody could check."""
    findings: list[ProblemOrWarning] = []
    for machine in machines.machines(case):
        findings += machines.zones(machine, case)
        if kind := case.limits.types.get(machine.type):
            findings += machines.slots(machine, kind, case)
            findings += machines.adapters(machine, kind, case)
            findings += addresses.on_machine(machine, kind, case)
        elif "DescribeInstanceTypes" in case.limits.read:
            findings += machines.unknown(machine, case)
    findings += [*addresses.in_subnets(case), *groups.on_interfaces(case), *groups.rules(case)]
    findings += account.elastic_ips(case)
    warnings = [finding for finding in findings if isinstance(finding, str)]
    warnings += [
        f"not checked: {_CHECKS[call]}; these credentials may not call {call}"
        for call in sorted(case.limits.denied)
    ]
    problems = tuple(finding for finding in findings if isinstance(finding, Problem))
    return Judgement(problems, tuple(dict.fromkeys(warnings)))


_CHECKS = {
    "DescribeInstanceTypes": "how many interfaces and addresses the instance types take",
    "DescribeAccountAttributes": "how many groups an interface and how many Elastic IPs the account may have",
    "DescribeManagedPrefixLists": "how many rules the prefix lists count as",
}
