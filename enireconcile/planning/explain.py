"""Why a plan has a step, why the step comes where it does, and why a resource is left as it is. Pure.

All of it is read off the plan: what steps yield, bring, claim and free is what ``order`` has arranged them by.
Only the places of values come from the spec, which a saved plan does not contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from enireconcile.errors import EnireconcileError
from enireconcile.kinds import attribute_at
from enireconcile.kinds.conditions import Fact
from enireconcile.model import (
    Action,
    Change,
    Condition,
    Field,
    Impact,
    Leftover,
    PathBreak,
    Plan,
    PlanError,
    Ref,
    Step,
    refs_in,
)
from enireconcile.printable import printable
from enireconcile.spec import Spec
from enireconcile.spec.suggest import address_hint

_STEP = re.compile(r"s[0-9]+")


class Reason(Struct, frozen=True):
    """``step`` is another step, ``why`` what one of the two needs of the other."""

    step: Step
    why: str


class FieldExplained(Struct, frozen=True):
    """A field that differs; ``place`` is ``file:line:column`` of its value, None if the file does not have it."""

    field: Field
    place: str | None


class StepExplained(Struct, frozen=True):
    """``fields`` are those that the step changes; ``impact`` says what it does to traffic, None if it is safe."""

    step: Step
    fields: tuple[FieldExplained, ...]
    impact: str | None
    after: tuple[Reason, ...]
    before: tuple[Reason, ...]


class Explained(Struct, frozen=True):
    """What a plan does with one resource, and why.

    ``verdict`` says it in a sentence. ``change`` is None for what the plan leaves out or leaves over; ``id`` is
    EC2's, None for what does not exist. ``notes`` are warnings and what the row says to leave alone; ``breaks``
    are its interruptions and exposures.
    """

    address: str
    place: str | None
    verdict: str
    change: Change | None
    id: str | None
    fields: tuple[FieldExplained, ...] = ()
    steps: tuple[StepExplained, ...] = ()
    breaks: tuple[PathBreak, ...] = ()
    notes: tuple[str, ...] = ()
    error: PlanError | None = None


def explain(plan: Plan, asked: str, spec: Spec | None = None) -> Explained:
    """Explain a resource, by its address, or a step, by its id: with a step, only that one of its resource.

    Raises EnireconcileError if the plan has nothing of that name.
    """
    if _STEP.fullmatch(asked):
        step = next((step for step in plan.steps if step.id == asked), None)
        if step is None:
            raise _no_step(plan, asked)
        return _explained(plan, step.address, spec, only=step)
    if asked not in known_addresses(plan):
        raise _no_resource(plan, asked, spec)
    return _explained(plan, asked, spec)


def known_addresses(plan: Plan) -> set[str]:
    """The addresses that a plan can explain."""
    left = {each.address for each in plan.leftovers}
    return {change.address for change in plan.changes} | set(plan.left_out) | left


def _no_step(plan: Plan, asked: str) -> EnireconcileError:
    if not plan.steps:
        return EnireconcileError(f"the plan has no step {asked}: it has none", hint="explain an address instead")
    first, last = plan.steps[0].id, plan.steps[-1].id
    return EnireconcileError(f"the plan has no step {asked}", hint=f"its steps are {first} to {last}")


def _no_resource(plan: Plan, asked: str, spec: Spec | None) -> EnireconcileError:
    external = spec.document.external_instances if spec else ()
    if asked.partition(".")[2] in external and asked.startswith("instances."):
        message = f"{printable(asked)} is external: enireconcile only attaches to it, and never changes it"
        return EnireconcileError(message, hint="explain an interface that is attached to it")
    hint = address_hint(asked, known_addresses(plan)) or "write a section and a name, like elastic_ips.web"
    return EnireconcileError(f"the plan has no resource {printable(asked)}", hint=hint)


def _explained(plan: Plan, address: str, spec: Spec | None, only: Step | None = None) -> Explained:
    change = next((each for each in plan.changes if each.address == address), None)
    left = next((each for each in plan.leftovers if each.address == address), None)
    fields = tuple(_placed(address, field, spec) for field in (change.fields if change else ()))
    steps = [only] if only else [step for step in plan.steps if step.address == address]
    error = next((error for error in plan.errors if address in error.left_out), None)
    explained = tuple(_step(step, plan, fields) for step in steps)
    if only:
        fields = explained[0].fields or fields
    breaks = (*plan.interruptions, *plan.exposures)
    ids = {step.id for step in steps}
    return Explained(
        address,
        _place((*address.split(".", 1),), spec),
        _verdict(left, address, change, error, spec),
        change,
        change.id if change else left.id if left else None,
        fields,
        explained,
        tuple(each for each in breaks if (each.begins in ids or each.address == address) and _of(each, only)),
        tuple(_notes(plan, address, spec)) if only is None else (),
        error,
    )


def _of(broken: PathBreak, only: Step | None) -> bool:
    return only is None or only.id in (broken.begins, broken.ends)


def _place(path: tuple[str, ...], spec: Spec | None) -> str | None:
    if spec is None or path not in spec.places:
        return None
    line, column = spec.places.of(path)
    return f"{spec.file}:{line}:{column}"


def _placed(address: str, field: Field, spec: Spec | None) -> FieldExplained:
    section, _, name = address.partition(".")
    return FieldExplained(field, _place((section, name, field.field), spec))


# ---- why


_VERDICTS = {
    Action.CREATE: "the row has no resource yet: nothing in the account has the tags of this stack and this name",
    Action.UPDATE: "it exists, and differs from its row",
    Action.REPLACE: "it differs in what EC2 sets at creation only: a new one takes its place",
    Action.DELETE: "the stack owns it, and the plan removes what no row names any more",
    Action.ADOPT: "its row adopts it: it gets the tags of this stack",
    Action.UNCHANGED: "it matches its row: there is nothing to do",
}


def _verdict(
    left: Leftover | None, address: str, change: Change | None, error: PlanError | None, spec: Spec | None
) -> str:
    if error is not None:
        because = dict(error.reasons).get(address)
        return (
            f"the plan leaves it out because of an error: it {because}"
            if because
            else ("the plan leaves it out because of an error")
        )
    if change is None or left is not None:
        moved = "; only what is in the way of another resource is done" if change is not None else ""
        return f"the stack owns it, and no row names it: it is kept, and `--prune` removes it{moved}"
    if change.action is Action.DELETE and spec is not None and (*address.split(".", 1),) in spec.places:
        return "destroy removes everything that the stack owns"
    return _VERDICTS[change.action]


def _notes(plan: Plan, address: str, spec: Spec | None) -> Iterator[str]:
    yield from (each.partition(": ")[2] for each in plan.warnings if each.startswith(f"{address}: "))
    yield from (each for each in plan.warnings if each.startswith((f"{address} ", f"{address} (")))
    if address in plan.protected:
        yield "lifecycle.prevent_destroy: apply refuses a plan that would delete or replace it"
    row = spec.document.resources.get(address) if spec else None
    if row is not None and row.lifecycle.ignore:
        ignored = ", ".join(row.lifecycle.ignore)
        yield f"lifecycle.ignore: {ignored}: set at creation, not compared afterwards"
    if row is not None and row.lifecycle.additive:
        lists = ", ".join(row.lifecycle.additive)
        yield f"lifecycle.additive: {lists}: what others have added stays"
    if row is not None and row.adopt is not None:
        yield "the row adopts it: what the row leaves out stays as it was found"


def _step(step: Step, plan: Plan, fields: tuple[FieldExplained, ...]) -> StepExplained:
    own = tuple(
        each
        for each in fields
        if (attribute := attribute_at(step.address, each.field.field)) and step.call in attribute.calls
    )
    by_id = {other.id: other for other in plan.steps}
    names = {change.id: change.address for change in plan.changes if change.id}
    return StepExplained(
        step,
        own or tuple(each for each in fields if each.field.before is not None and not _is_end(step)),
        _impact_words(step),
        tuple(
            Reason(other, why)
            for each in sorted(step.predecessors, key=_number)
            if (other := by_id.get(each)) is not None
            for why in _why(other, step, names)
        ),
        tuple(
            Reason(other, why)
            for other in plan.steps
            if step.id in other.predecessors
            for why in _why(step, other, names)
        ),
    )


def _is_end(step: Step) -> bool:
    """Does the step only take something away?"""
    return step.call.startswith(("Detach", "Disassociate", "Delete", "Release", "Terminate"))


def _number(step_id: str) -> int:
    return int(step_id[1:])


def _why(first: Step, then: Step, names: Mapping[str, str]) -> list[str]:
    """Why ``then`` runs after ``first``, in sentences: each kind of need that holds."""
    refs = {*refs_in(then.params), *(expect.id for expect in then.when if isinstance(expect.id, Ref))}
    made = sorted(refs & {*first.yields, *first.sees})
    told = [
        f"{then.id} needs the {ref.attribute.replace('_', ' ')} of {ref.address}, which {first.id} yields"
        for ref in made
    ]
    told += [
        f"{first.id} frees {_slot(slot, names)}, which {then.id} claims"
        for slot in sorted(first.frees & then.claims)
    ]
    conditions = first.brings & (then.after | then.rather | then.follows)
    told += [f"{then.id} waits until {_condition(each, names)}" for each in sorted(conditions)]
    return list(dict.fromkeys(told)) or [_path_rule(first, then)]


def _slot(slot: str, names: Mapping[str, str]) -> str:
    """A slot in words. It is written by ``kinds.slots``."""
    kind, _, rest = slot.partition(":")
    if kind == "device":
        instance, card, index = rest.rsplit(":", 2)
        at = f"device index {index}" if card == "0" else f"device index {index} of network card {card}"
        return f"{at} of {_named(instance, names)}"
    if kind == "private":
        subnet, _, address = rest.partition(":")
        return f"the private address {address} in {subnet}"
    if kind == "target":
        interface, _, address = rest.partition(":")
        return f"the private address {address} of {_named(interface, names)} for an Elastic IP"
    if kind == "interface":
        return f"{_named(rest, names)}, which is attached to one instance at a time"
    return f"room within a limit of EC2 ({_named(rest, names)})"


def _named(text: str, names: Mapping[str, str]) -> str:
    """An id with the address of its resource, where the plan knows it."""
    return f"{names[text]} ({text})" if text in names else text.removesuffix(".id")


_NAMED_FIRST = "the addresses that the spec names in {} are taken: EC2 chooses others at random"
FACTS = {
    Fact.ADOPTED: "{} carries the tags of this stack",
    Fact.CONFIGURED: "{} is configured as its row says",
    Fact.COMPLETE: "{} is created with all its relations",
    Fact.DELETED: "{} is gone",
    Fact.RULES_ADDED: "the new rules of {} are in force, so that no traffic is cut in between",
    Fact.ATTACHED: "{} is attached",
    Fact.DETACH_REQUESTED: "{} was asked to detach",
    Fact.SECONDARY_IPS_ASSIGNED: "{} has its secondary private addresses",
    Fact.IPV6_ADDRESSES_ASSIGNED: "{} has its IPv6 addresses",
    Fact.ADDRESSES_HANDED_OVER: "other interfaces have taken the addresses of {} over",
    Fact.ELASTIC_IP_ASSOCIATED: "{} has its Elastic IP, so that it is reachable from the first packet",
    Fact.NAMED_ADDRESSES_TAKEN: _NAMED_FIRST,
    Fact.NAMED_ADDRESSES_TAKEN_LATE: _NAMED_FIRST,
    Fact.STOPPABLE: "{} has no stop protection any more",
    Fact.SPOT_REQUEST_CANCELLED: "the Spot request of {} is cancelled, so that EC2 launches no other instance",
    Fact.RUNNING: "{} runs",
    Fact.STOPPED: "{} is stopped",
    Fact.MODIFIED: "what EC2 changes only while it is stopped is changed on {}",
    Fact.INTERFACES_DETACHED: "every interface that leaves {} has left it",
    Fact.ADAPTERS_DETACHED: "every adapter (EFA) that leaves {} has left it",
    Fact.INTERFACES_PRESERVED: "EC2 deletes no interface of the stack together with {}",
    Fact.ROOM_MADE: "there is room for it: {}",
    Fact.DISASSOCIATED: "{} is associated with nothing: EC2 releases it only then",
    Fact.REVERSE_DNS_RESET: "{} has no reverse DNS: EC2 releases it only then",
}


def _condition(condition: Condition, names: Mapping[str, str]) -> str:
    return FACTS[Fact(condition.fact)].format(_named(condition.subject, names))


def _path_rule(first: Step, then: Step) -> str:
    """For an order that only the paths through the resources ask for (docs/explanation/order.md)."""
    opens = ("AuthorizeSecurityGroup", "AttachNetworkInterface", "RunInstances", "ModifyNetworkInterface")
    closes = ("RevokeSecurityGroup", "DetachNetworkInterface", "ModifyNetworkInterface")
    if first.call in ("ReplaceRoute", "DeleteRoute"):
        return f"{first.id} takes the route away before {then.id} ends what it leads to, so that traffic flows on"
    if first.call.startswith("Authorize") and then.call.startswith(closes):
        return f"{first.id} lets in what {then.id} shuts out elsewhere, so that what is open stays open"
    if first.call.startswith("Revoke") and then.call.startswith(opens):
        return f"{first.id} shuts what {then.id} would open for a moment, so that what is closed stays closed"
    return f"{first.id} runs before {then.id} so that no path is cut or opened in between"


_IMPACTS = {
    "AssociateAddress": "the Elastic IP leaves the interface where it is now: its connections end",
    "DisassociateAddress": "the Elastic IP leads nowhere until it is associated again: its connections end",
    "ReleaseAddress": "the public address goes back to AWS, and you may never get it again",
    "DetachNetworkInterface": "the interface is unreachable until it is attached again",
    "DeleteNetworkInterface": "its id, MAC address and private addresses are gone for good",
    "DeleteSecurityGroup": "its id and rules are gone for good",
    "TerminateInstances": "the instance is gone for good, and so are its disks with delete_on_termination",
    "StopInstances": "the instance does not run, and loses an automatic public address and its instance store",
    "RevokeSecurityGroupIngress": "new connections that only this rule lets in get no answer; tracked ones go on",
    "RevokeSecurityGroupEgress": "new connections that only this rule lets out get no answer; tracked ones go on",
    "ReplaceRoute": "traffic of the route takes the new way at once",
    "DeleteRoute": "traffic of the route has no way any more",
    "ModifyAddressAttribute": "the name that the address has now is replaced",
    "ResetAddressAttribute": "the address loses the name that it has now",
    "ModifyNetworkInterfaceAttribute": "it changes what the interface lets through now",
    "UnassignPrivateIpAddresses": "nothing answers at these private addresses any more",
    "UnassignIpv6Addresses": "nothing answers at these IPv6 addresses any more",
    "AssignPrivateIpAddresses": "the address leaves the interface that has it now",
    "ModifyInstanceAttribute": "EC2 takes it only while the instance is stopped, or it changes how that runs",
    "RunInstances": "it launches what replaces the former instance",
}


def _impact_words(step: Step) -> str | None:
    if step.impact is Impact.SAFE:
        return None
    general = "it is gone for good" if step.impact is Impact.DESTRUCTIVE else "it changes what is in use"
    return _IMPACTS.get(step.call, general)
