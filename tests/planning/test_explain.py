"""``explain``: why a plan has a step and why it comes where it does, read off the plan."""

from __future__ import annotations

import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.kinds.conditions import Fact
from enireconcile.model import Plan
from enireconcile.planning.explain import FACTS, Explained, explain
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, plan_of, spec_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}


def eth(index: int, **more: object) -> Words:
    return {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": index}, **more}


def reasons(explained: Explained) -> list[str]:
    """``s1 after s2: why`` of every step."""
    return [
        f"{step.step.id} after {reason.step.id}: {reason.why}" for step in explained.steps for reason in step.after
    ]


def moved() -> Plan:
    """An interface leaves its index, and another one takes it."""
    spec: Words = {"instances": {"web": WEB}, "network_interfaces": {"eth0": eth(0), "new": eth(1)}}
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "new": {}, "old": {"at": "web 1"}},
    }
    return plan_of(spec, live, prune=True)


def test_every_fact_has_words() -> None:
    assert set(FACTS) == set(Fact)


def test_a_slot_that_another_step_frees() -> None:
    plan = moved()
    [attach] = [step for step in plan.steps if step.call == "AttachNetworkInterface"]
    [detach] = [step for step in plan.steps if step.call == "DetachNetworkInterface"]
    explained = explain(plan, attach.id)
    assert explained.address == "network_interfaces.new"
    assert reasons(explained) == [
        f"{attach.id} after {detach.id}: {detach.id} frees device index 1 of instances.web (i-web), which "
        f"{attach.id} claims"
    ]
    [told] = explain(plan, detach.id).steps
    assert f"{detach.id} frees device index 1 of instances.web (i-web), which {attach.id} claims" in [
        reason.why for reason in told.before if reason.step == attach
    ]
    assert told.impact == "the interface is unreachable until it is attached again"


def test_a_value_that_another_step_yields() -> None:
    plan = plan_of(
        {
            "elastic_ips": {"one": {"association": {"network_interface": "a"}}},
            "network_interfaces": {"a": {"subnet": ZONE_A}},
        }
    )
    [associate] = [step for step in plan.steps if step.call == "AssociateAddress"]
    why = [each.partition(": ")[2] for each in reasons(explain(plan, associate.id))]
    assert [each.partition(" needs ")[2].partition(", which")[0] for each in why] == [
        "the id of elastic_ips.one",
        "the id of network_interfaces.a",
    ]


def test_rules_are_added_before_others_are_revoked() -> None:
    told = [
        why
        for plan in map(planned, GOLDEN.values())
        for step in plan.steps
        if step.call == "RevokeSecurityGroupIngress"
        for why in reasons(explain(plan, step.id))
    ]
    assert any("/ingress are in force, so that no traffic is cut in between" in why for why in told)


def test_every_step_of_every_golden_plan_says_why_it_comes_after_each_other() -> None:
    """No reason is missing, and only what the paths ask for is told by their rules."""
    for situation, triple in GOLDEN.items():
        plan = planned(triple)
        told = {step.id: explain(plan, step.id).steps[0] for step in plan.steps}
        for step in plan.steps:
            after = told[step.id].after
            assert {reason.step.id for reason in after} == step.predecessors, (situation, step.id)
            assert (told[step.id].impact is None) == (step.impact == "safe")
            for reason in after:
                mirrored = [each.why for each in told[reason.step.id].before if each.step.id == step.id]
                assert reason.why in mirrored, (situation, step.id)


@pytest.mark.parametrize(
    ("spec", "live", "address", "verdict"),
    [
        ({"elastic_ips": {"web": {}}}, {}, "elastic_ips.web", "the row has no resource yet"),
        ({"elastic_ips": {"web": {}}}, {"elastic_ips": {"web": {}}}, "elastic_ips.web", "it matches its row"),
        (
            {"elastic_ips": {"web": {"tags": {"a": "b"}}}},
            {"elastic_ips": {"web": {}}},
            "elastic_ips.web",
            "it exists, and differs",
        ),
        (
            {},
            {"elastic_ips": {"old": {}}},
            "elastic_ips.old",
            "no row names it: it is kept, and `--prune` removes",
        ),
        (
            {"elastic_ips": {"web": {"adopt": "eipalloc-12345678"}}},
            {"elastic_ips": {"web": {"id": "eipalloc-12345678", "found": True}}},
            "elastic_ips.web",
            "its row adopts it",
        ),
        (
            {"elastic_ips": {"web": {"address": "198.51.100.7"}}},
            {"elastic_ips": {"web": {}}},
            "elastic_ips.web",
            "the plan leaves it out because of an error",
        ),
    ],
)
def test_a_verdict(spec: Words, live: Words, address: str, verdict: str) -> None:
    assert verdict in explain(plan_of(spec, live, partly=True), address).verdict


def test_what_is_pruned_and_what_destroy_removes() -> None:
    spec: Words = {"elastic_ips": {"web": {}}}
    live: Words = {"elastic_ips": {"web": {}, "old": {}}}
    assert "no row names any more" in explain(plan_of(spec, live, prune=True), "elastic_ips.old").verdict
    loaded = spec_of(spec)
    plan = plan_of({}, live, prune=True)
    assert explain(plan, "elastic_ips.web", loaded).verdict == "destroy removes everything that the stack owns"


def test_places_and_what_is_left_alone() -> None:
    """Where the values are in the file; ignored and additive attributes, prevent_destroy, warnings."""
    spec: Words = {
        "elastic_ips": {
            "web": {"tags": {"a": "b"}, "lifecycle": {"prevent_destroy": True, "ignore": ["association"]}},
        }
    }
    live: Words = {"elastic_ips": {"web": {}}}
    loaded = spec_of(spec)
    explained = explain(plan_of(spec, live), "elastic_ips.web", loaded)
    [tags] = [each for each in explained.fields if each.field.field == "tags"]
    assert tags.place is not None
    assert tags.place.startswith(f"{loaded.file}:")
    assert explained.notes == (
        "lifecycle.prevent_destroy: apply refuses a plan that would delete or replace it",
        "lifecycle.ignore: association: set at creation, not compared afterwards",
    )
    without = explain(plan_of(spec, live), "elastic_ips.web")
    assert (without.place, without.fields[0].place) == (None, None)


def test_what_a_plan_interrupts_is_told_with_its_step() -> None:
    spec: Words = {
        "instances": {"web": {**WEB, "on_change": "restart"}},
        "network_interfaces": {"eth0": eth(0)},
    }
    live: Words = {
        "instances": {"web": {"instance_type": "t3.small"}},
        "network_interfaces": {"eth0": {"at": "web 0"}},
    }
    [broken] = explain(plan_of(spec, live), "s1").breaks
    assert (broken.begins, broken.what) == ("s1", "running")
    assert [each.field.field for each in explain(plan_of(spec, live), "s2").fields] == ["instance_type"]


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ("s9", "the plan has no step s9", "its steps are s1 to s1"),
        ("elastic_ips.wbe", "the plan has no resource elastic_ips.wbe", "did you mean `elastic_ips.web`?"),
        ("elastic_ip.web", "the plan has no resource elastic_ip.web", "did you mean `elastic_ips.web`?"),
        ("elastic_ips.zzz", "the plan has no resource elastic_ips.zzz", "choose from: elastic_ips.web"),
        ("instances.fw", "instances.fw is external", "explain an interface that is attached to it"),
    ],
)
def test_what_the_plan_does_not_have(asked: str, message: str, hint: str) -> None:
    spec: Words = {"elastic_ips": {"web": {}}, "instances": {"fw": {"external": "i-12345678"}}}
    loaded = spec_of(spec)
    with pytest.raises(EnireconcileError) as raised:
        explain(plan_of({"elastic_ips": {"web": {}}}), asked, loaded)
    assert message in raised.value.message
    assert raised.value.hint == hint


def test_a_plan_without_steps() -> None:
    with pytest.raises(EnireconcileError, match="it has none"):
        explain(plan_of({}), "s1")


def test_what_is_left_over_has_its_id() -> None:
    assert explain(plan_of({}, {"elastic_ips": {"old": {}}}), "elastic_ips.old").id == "eipalloc-old"
