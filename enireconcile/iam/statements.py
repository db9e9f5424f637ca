"""IAM policy documents: statements, ARNs, and the JSON that IAM reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from enireconcile.kinds.permissions import Condition

LIMIT = 6144
"""Characters of a managed policy, white space not counted (IAM quotas)."""
INLINE_LIMIT = 10240
"""The same for all inline policies of a role together."""


_PUBLIC = frozenset({"image", "snapshot"})


class Asked(Struct, frozen=True):
    """What the policy is for. ``also`` are ARNs of resources outside the stacks that a plan may change.

    ``region`` overrides that of the specs. With ``prune`` it covers what leaves a spec, of whatever section;
    without ``destroy`` nothing may be terminated, released or deleted. ``who`` and ``bucket`` (``name/prefix``)
    are for plan --who and for a state in S3.
    """

    read_only: bool = False
    region: str | None = None
    prune: bool = False
    destroy: bool = True
    who: bool = False
    bucket: str | None = None
    also: tuple[str, ...] = ()


@dataclass
class Statement:
    """A statement while it is put together. Statements with one sid and one condition become one."""

    sid: str
    condition: Condition
    actions: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    """Values that STACKS stands for in the conditions: the names of the stacks."""
    effect: str = "Allow"
    spared: bool = False
    """Whether ``resources`` are the exceptions (IAM's NotResource)."""


STACKS = "\0stacks"
"""No value of a spec has a control character."""


@dataclass
class Policy:
    """Collects statements, and notes for the reader of the policy."""

    asked: Asked
    statements: dict[tuple[str, str], Statement] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def grant(
        self,
        sid: str,
        actions: Iterable[str],
        resources: Iterable[str],
        condition: Condition | None = None,
        stack: str | None = None,
        apart: Sequence[str] = (),
    ) -> None:
        """Adds a statement, unless it has no action or no resource. Those with different ``apart`` stay apart."""
        actions, resources = set(actions), set(resources)
        if not actions or not resources:
            return
        key = (sid, json.dumps([condition, *apart], sort_keys=True))
        statement = self.statements.setdefault(key, Statement(sid, condition or {}))
        statement.actions |= actions
        statement.resources |= resources
        statement.stacks |= {stack} if stack else set()

    def deny(
        self,
        sid: str,
        actions: set[str],
        resources: set[str],
        condition: Condition,
        stacks: Collection[str] = (),
        *,
        spared: bool = False,
    ) -> None:
        """Adds a statement that denies; ``spared`` as in Statement."""
        self.statements[sid, ""] = Statement(
            sid, condition, actions, resources, set(stacks), effect="Deny", spared=spared
        )

    def note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)


def both(*conditions: Condition) -> Condition:
    """The condition that all of these hold."""
    joined: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        for operator, tests in condition.items():
            joined[operator] = {**joined.get(operator, {}), **tests}
    return joined


def _literal(value: str) -> str:
    """A value that IAM compares as it is: ``${…}`` would be a policy variable."""
    return value.replace("${", "${$}{")


def literal_arn(name: str) -> str:
    """A name in an ARN, without wildcards and policy variables."""
    return re.sub(r"[*?]|\$(?={)", lambda found: f"${{{found[0]}}}", name)


def size(policy: Mapping[str, Any]) -> int:
    """Characters as IAM counts them."""
    return len(re.sub(r"\s", "", json.dumps(policy)))


class Scope(Struct, frozen=True):
    """Where a spec is: the parts of its ARNs. Unknown parts are any."""

    region: str
    account: str

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def arn(self, kind: str, name: str = "*") -> str:
        account = "" if kind in _PUBLIC else self.account
        return f"arn:{self.partition}:ec2:{self.region}:{account}:{kind}/{name}"

    def arns(self, kinds: Iterable[str]) -> set[str]:
        return {self.arn(kind) for kind in kinds}


def minimal(statement: Statement) -> dict[str, Any]:
    """A statement as IAM reads it, without resources that a wildcard covers."""
    resources = {arn for arn in statement.resources if "*" not in statement.resources or arn == "*"}
    resources -= {
        arn
        for arn in resources
        for other in resources
        if other != arn and other.endswith("/*") and arn.startswith(other[:-1])
    }
    words: dict[str, Any] = {
        "Sid": statement.sid,
        "Effect": statement.effect,
        "Action": _one_or_many(statement.actions),
        "NotResource" if statement.spared else "Resource": _one_or_many(resources),
    }
    condition = {
        operator: {
            key: _one_or_many(map(_literal, statement.stacks if value == STACKS else _listed(value)))
            for key, value in tests.items()
        }
        for operator, tests in statement.condition.items()
        if tests
    }
    return words | ({"Condition": condition} if condition else {})


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _one_or_many(values: Iterable[str]) -> str | list[str]:
    ordered = sorted(values)
    return ordered[0] if len(ordered) == 1 else ordered


def numbered(statements: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The statements with unique Sids, as IAM requires."""
    seen: dict[str, int] = {}
    numbered = []
    for statement in statements:
        sid = statement["Sid"]
        seen[sid] = seen.get(sid, 0) + 1
        numbered.append(statement | ({"Sid": f"{sid}{seen[sid]}"} if seen[sid] > 1 else {}))
    return numbered
