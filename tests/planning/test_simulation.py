"""Plans run on a simulator, in every order that they allow, and lead where the spec says.

Worlds have up to two instances with their primary interfaces, three more interfaces on two further slots each,
and three addresses, all of them wherever they like: on each other's places, on a stranger's, or not there at all.
Foreign interfaces stand in our slots, and foreign addresses on our interfaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from enireconcile.model import Impact, Plan
from tests.planning.simulator import Attached, Ec2
from tests.planning.worlds import Words, brief, examples, plan_of

SECONDARY = ("x", "y", "z")
ADDRESSES = ("e", "f", "g")
SLOTS = (1, 2)
RESIZED = (("t3.small", "running"),)
ANY = tuple((kind, state) for kind in ("t3.micro", "t3.micro", "t3.small") for state in ("running", "stopped"))
"""Types and states of instances in specs. In the world they are t3.micro."""
RUNNING = ("running",)
ANY_STATE = ("running", "running", "stopped", "shutting-down", "missing")


@dataclass
class Story:
    """What the spec wants, and the world as it is."""

    spec: dict[str, Any]
    ec2: Ec2

    def plan(self, *targets: str) -> Plan:
        return plan_of(self.spec, told(self.ec2), targets=targets)


def told(ec2: Ec2) -> Words:
    """The live state of a simulated world, in the words of the builder."""
    instances: dict[str, Any] = {}
    for instance, state in ec2.instances.items():
        name = ec2.names[instance]
        foreign_interfaces = {
            place.index: f"{interface} detaching" if place.detaching else interface
            for interface, place in ec2.interfaces.items()
            if place and place.instance == instance and interface not in ec2.names
        }
        key = f"old-{name}" if state == "shutting-down" else name
        instances[key] = {
            "id": instance,
            "named": name,
            "state": state,
            "foreign": foreign_interfaces,
            "instance_type": ec2.types.get(instance, "t3.micro"),
        }
    interfaces = {
        ec2.names[interface]: _interface(interface, ec2) for interface in ec2.interfaces if interface in ec2.names
    }
    addresses = {
        ec2.names[address]: {"id": address}
        if target is None
        else {"id": address, "at": ec2.names.get(target, target), "association_id": ec2.associations[address]}
        for address, target in ec2.addresses.items()
        if address in ec2.names
    }
    return {"instances": instances, "network_interfaces": interfaces, "elastic_ips": addresses}


def _interface(interface: str, ec2: Ec2) -> Words:
    row: dict[str, Any] = {"id": interface}
    if holder := ec2.holder(interface):
        row["holds"] = holder
    if place := ec2.interfaces[interface]:
        row |= {
            "at": f"{place.instance} {place.index}",
            "attachment_id": place.id,
            "attachment_status": "detaching" if place.detaching else "attached",
            "delete_on_termination": place.delete_on_termination,
        }
    return row


# ---- worlds


@st.composite
def stories(draw: st.DrawFn, *, resized: bool = False) -> Story:
    """With ``resized``, the instances run, and the spec gives them another type."""
    instances = draw(st.sampled_from((["a"], ["a", "b"])))
    secondary = SECONDARY[: draw(st.integers(0, 3))]
    addresses = ADDRESSES[: draw(st.integers(0, 3))]
    interfaces = [*(f"{name}0" for name in instances), *secondary]
    return Story(
        _spec(draw, instances, secondary, interfaces, addresses, RESIZED if resized else ANY),
        _world(draw, instances, interfaces, addresses, RUNNING if resized else ANY_STATE),
    )


def _spec(
    draw: st.DrawFn,
    instances: list[str],
    secondary: tuple[str, ...],
    interfaces: list[str],
    addresses: tuple[str, ...],
    wanted: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    rows: dict[str, Any] = {name: {"subnet": {"default_for_az": "us-east-1a"}} for name in interfaces}
    free: list[tuple[str, int] | None] = [None, *((instance, slot) for instance in instances for slot in SLOTS)]
    places = {f"{name}0": (name, 0) for name in instances}
    for name in secondary:
        if (place := draw(st.sampled_from(free))) is not None:
            free.remove(place)
            places[name] = place
    for name, (instance, slot) in places.items():
        flag = draw(st.booleans())
        rows[name]["attachment"] = {"instance": instance, "device_index": slot, "delete_on_termination": flag}
    targets: list[str | None] = [None, *interfaces]
    associations: dict[str, Any] = {}
    for name in addresses:
        target = draw(st.sampled_from(targets))
        associations[name] = {} if target is None else {"association": {"network_interface": target}}
        if target is not None:
            targets.remove(target)
    rows_of_instances = {}
    for name in instances:
        kind, state = draw(st.sampled_from(wanted))
        rows_of_instances[name] = {
            "image": "ami-12345678",
            "instance_type": kind,
            "state": state,
            "on_change": "restart",
        }
    return {
        "instances": rows_of_instances,
        "network_interfaces": rows,
        "elastic_ips": associations,
    }


def _world(
    draw: st.DrawFn,
    instances: list[str],
    interfaces: list[str],
    addresses: tuple[str, ...],
    states: Sequence[str],
) -> Ec2:
    ec2 = Ec2()
    free = [("i-stranger", 1), ("i-stranger", 2)]
    standing: set[str] = set()
    for name in instances:
        state = draw(st.sampled_from(states))
        if state == "missing":
            continue
        ec2.instances[f"i-{name}"], ec2.names[f"i-{name}"] = state, name
        free += [(f"i-{name}", slot) for slot in SLOTS]
        flag = state != "shutting-down" and draw(st.booleans())
        ec2.interfaces[f"eni-{name}0"] = Attached(f"i-{name}", 0, f"eni-attach-{name}0", flag)
        standing.add(f"{name}0")
    for name in interfaces:
        if name not in standing and draw(st.integers(0, 4)):
            ec2.interfaces[f"eni-{name}"] = _somewhere(draw, name, free, ec2)
        if f"eni-{name}" in ec2.interfaces:
            ec2.names[f"eni-{name}"] = name
    for number in range(draw(st.integers(0, 2))):
        ec2.interfaces[f"eni-stranger-{number}"] = _somewhere(draw, f"stranger-{number}", free, ec2)
    targets: list[str | None] = [None, *ec2.interfaces]
    for address in (*addresses, "stranger"):
        if not draw(st.integers(0, 4)):
            continue
        target = draw(st.sampled_from(targets))
        ec2.addresses[f"eipalloc-{address}"] = target
        if target is not None:
            targets.remove(target)
            ec2.associations[f"eipalloc-{address}"] = f"eipassoc-{address}"
        if address != "stranger":
            ec2.names[f"eipalloc-{address}"] = address
    return ec2


def _somewhere(draw: st.DrawFn, name: str, free: list[tuple[str, int]], ec2: Ec2) -> Attached | None:
    """Nowhere, or in a slot that is free, perhaps on its way out."""
    place = draw(st.sampled_from([None, *free]))
    if place is None:
        return None
    free.remove(place)
    instance, slot = place
    stays = ec2.instances.get(instance) != "shutting-down"
    return Attached(
        instance, slot, f"eni-attach-{name}", stays and draw(st.booleans()), draw(st.integers(0, 5)) == 0
    )


# ---- what always holds


def run(plan: Plan, ec2: Ec2, random: Random, most: int | None = None) -> None:
    """Steps one after the other, always any of those whose needs are met; at most some of them."""
    done: set[str] = set()
    for _ in range(len(plan.steps) if most is None else min(most, len(plan.steps))):
        step = random.choice([step for step in plan.steps if step.id not in done and step.predecessors <= done])
        ec2.run(step)
        done.add(step.id)


def run_with_a_refusal(plan: Plan, ec2: Ec2, random: Random, refused: str) -> None:
    """As ``run``, but EC2 refuses one step, and what needs it is skipped."""
    ended: set[str] = set()
    broken: set[str] = set()
    while len(ended) < len(plan.steps):
        step = random.choice([step for step in plan.steps if step.id not in ended and step.predecessors <= ended])
        ended.add(step.id)
        if step.id == refused or step.needs & broken:
            broken.add(step.id)
        else:
            ec2.run(step)


any_order = st.randoms(use_true_random=False)


@examples(150)
@given(stories(), any_order)
def test_a_plan_leads_to_an_empty_plan_in_any_order_that_it_allows(story: Story, random: Random) -> None:
    run(story.plan(), story.ec2, random)
    assert brief(story.plan()) == {}


@examples(150)
@given(stories(), any_order, st.integers(0, 12))
def test_stopping_after_any_step_and_planning_again_ends_the_same(story: Story, random: Random, most: int) -> None:
    run(story.plan(), story.ec2, random, most)
    run(story.plan(), story.ec2, random)
    assert brief(story.plan()) == {}


@examples(150)
@given(stories(resized=True), any_order)
def test_a_refused_step_leaves_no_instance_stopped_that_the_plan_restarts(story: Story, random: Random) -> None:
    """Whichever call EC2 refuses, except the start itself: the plan starts what it stopped for a change."""
    plan = story.plan()
    stopped = {step.address for step in plan.steps if step.call == "StopInstances"}
    restarted = {step.address: step for step in plan.steps if step.call == "StartInstances"}
    assert stopped == set(restarted) != set()
    refused = random.choice(plan.steps)
    run_with_a_refusal(plan, story.ec2, random, refused.id)
    for address in stopped - {refused.address if refused.call == "StartInstances" else ""}:
        [instance] = restarted[address].params["InstanceIds"]
        assert story.ec2.instances[instance] == "running"
    run(story.plan(), story.ec2, random)
    assert brief(story.plan()) == {}


@examples(60)
@given(stories(), any_order)
def test_any_part_stands_by_itself_and_the_whole_can_follow(story: Story, random: Random) -> None:
    """EC2 takes every call, nothing of the part is left to do, and then the rest goes."""
    addresses = [change.address for change in story.plan().changes]
    target = random.choice(addresses)
    run(story.plan(target), story.ec2, random)
    assert brief(story.plan(target)) == {}
    run(story.plan(), story.ec2, random)
    assert brief(story.plan()) == {}


@examples(60)
@given(stories(), any_order)
def test_a_safe_plan_takes_nothing_away(story: Story, random: Random) -> None:
    """Whatever was attached or associated before a plan without disruption is so after it."""
    plan = story.plan()
    if plan.impact is not Impact.SAFE:
        return
    places = {
        name: place
        for name, place in story.ec2.interfaces.items()
        if place and not place.detaching and place.instance in story.ec2.instances
    }
    targets = {name: target for name, target in story.ec2.addresses.items() if target}
    terminating = {name for name, state in story.ec2.instances.items() if state == "shutting-down"}
    run(plan, story.ec2, random)
    kept = {name: place for name, place in places.items() if place.instance not in terminating}
    assert {name: story.ec2.interfaces[name] for name in kept} == kept
    assert {name: story.ec2.addresses[name] for name in targets} == targets


@examples(60)
@given(stories(), any_order)
def test_foreign_resources_are_kept_except_those_that_the_plan_names(story: Story, random: Random) -> None:
    """A foreign interface or address moves only when a change says that it is detached or displaced."""
    ec2 = story.ec2
    before = {
        name: place
        for name, place in ec2.interfaces.items()
        if name not in ec2.names and place and not place.detaching
    }
    before_going = {name for name, place in before.items() if ec2.instances.get(place.instance) == "shutting-down"}
    address = ec2.addresses.get("eipalloc-stranger")
    plan = story.plan()
    named = " ".join(change.reason or "" for change in plan.changes).replace(";", "").split()
    run(plan, ec2, random)
    moved = {name for name, place in before.items() if ec2.interfaces[name] != place}
    assert moved - before_going <= set(named)
    assert (ec2.addresses.get("eipalloc-stranger") == address) == ("eipalloc-stranger" not in named)
