"""Parts of a stack: what is asked for, what that needs, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from enireconcile.errors import SpecErrors, TargetError
from enireconcile.model import Action, Plan
from enireconcile.planning.draft import make_plan
from enireconcile.planning.targeting import targets_by_file
from enireconcile.spec import SECTIONS
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, examples, live_of, plan_of, spec_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}


def eni(instance: str | None = None, index: int = 0, **more: object) -> Words:
    at = {"attachment": {"instance": instance, "device_index": index}} if instance else {}
    return {"subnet": ZONE_A, **at, **more}


STACK: Words = {
    "security_groups": {
        "front": {"ingress": [{"protocol": "tcp", "ports": 80, "sources": ["back"]}]},
        "back": {"egress": [{"protocol": "tcp", "ports": 80, "destinations": ["front", "self", "0.0.0.0/0"]}]},
        "alone": {},
    },
    "instances": {"web": WEB, "db": WEB},
    "network_interfaces": {
        "web0": eni("web", security_groups=["front"]),
        "web1": eni("web", 1, security_groups=["alone", "sg-0123456789abcdef0"]),
        "db0": eni("db", security_groups=["alone"]),
        "spare": eni(security_groups=["alone"]),
    },
    "elastic_ips": {
        "web": {"association": {"network_interface": "web0"}},
        "db": {"association": {"network_interface": "db0"}},
        "spare": {"association": {"network_interface": "spare"}},
        "free": {},
    },
}
FRONT = ["security_groups.back", "security_groups.front"]
LAUNCHED_WEB = [
    *FRONT,
    "security_groups.alone",
    "instances.web",
    "network_interfaces.web0",
    "network_interfaces.web1",
]


def at(plan: Plan) -> list[str]:
    """The addresses that a plan is about."""
    return sorted(change.address for change in plan.changes)


NEEDS = [
    pytest.param(["elastic_ips.free"], [], id="an address without association"),
    pytest.param(["security_groups.alone"], [], id="a group that names no other"),
    pytest.param(["security_groups.front"], FRONT, id="groups that name each other"),
    pytest.param(["network_interfaces.spare"], ["security_groups.alone"], id="an interface that hangs on nothing"),
    pytest.param(["network_interfaces.web1"], LAUNCHED_WEB, id="an interface and what its launch needs"),
    pytest.param(["instances.web"], LAUNCHED_WEB, id="an instance"),
    pytest.param(["elastic_ips.web"], LAUNCHED_WEB, id="an address and all below it"),
    pytest.param(
        ["elastic_ips.spare", "elastic_ips.free"],
        ["network_interfaces.spare", "security_groups.alone"],
        id="two of them",
    ),
]


@pytest.mark.parametrize(("targets", "needs"), NEEDS)
def test_what_comes_along_on_an_empty_account(targets: list[str], needs: list[str]) -> None:
    plan = plan_of(STACK, targets=targets)
    assert at(plan) == sorted({*targets, *needs})
    assert {step.address for step in plan.steps} == {*targets, *needs}
    assert plan.targets == tuple(sorted(targets))


LIVING: Words = {
    "security_groups": {
        "front": {"ingress": ["tcp 80 sg-back"]},
        "back": {"egress": ["tcp 80 sg-front", "tcp 80 sg-back", "tcp 80 0.0.0.0/0"]},
        "alone": {},
        "in": {"ingress": ["tcp 22 sg-alone"]},
        "out": {"egress": ["tcp 22 sg-alone"]},
    },
    "instances": {"web": {}, "db": {}},
    "network_interfaces": {
        "web0": {"at": "web 0", "groups": ["sg-front"]},
        "web1": {"at": "web 1", "groups": ["sg-0123456789abcdef0", "sg-alone"]},
        "db0": {"at": "db 0", "groups": ["sg-alone"]},
        "spare": {"groups": ["sg-alone"]},
    },
    "elastic_ips": {"web": {"at": "web0"}, "db": {"at": "db0"}, "spare": {"at": "spare"}, "free": {}},
}
ONE_WAY: Words = {
    "in": {"ingress": [{"protocol": "tcp", "ports": 22, "sources": ["alone"]}]},
    "out": {"egress": [{"protocol": "tcp", "ports": 22, "destinations": ["alone"]}]},
}
LIVE_WEB = ["network_interfaces.web0", *FRONT, "instances.web"]
REFERS = [
    pytest.param("elastic_ips.free", [], id="an address without association"),
    pytest.param("security_groups.alone", [], id="a group that names no other"),
    pytest.param("security_groups.in", ["security_groups.alone"], id="a group that lets another in"),
    pytest.param("security_groups.out", ["security_groups.alone"], id="a group that goes out to another"),
    pytest.param("security_groups.front", FRONT, id="groups that name each other"),
    pytest.param("network_interfaces.spare", ["security_groups.alone"], id="an interface that hangs on nothing"),
    pytest.param("network_interfaces.web0", LIVE_WEB, id="an interface and its instance"),
    pytest.param("instances.web", [], id="an instance"),
    pytest.param("elastic_ips.web", LIVE_WEB, id="an address and all below it"),
]


@pytest.mark.parametrize(("target", "refers"), REFERS)
def test_what_comes_along_where_all_is_well(target: str, refers: list[str]) -> None:
    """No call leads to it then: it is what the target stands for, so it is looked at, too."""
    spec = {**STACK, "security_groups": {**STACK["security_groups"], **ONE_WAY}}
    assert plan_of(spec, LIVING).empty
    assert at(plan_of(spec, LIVING, targets=[target])) == sorted({target, *refers})


def test_an_existing_instance_needs_no_launch() -> None:
    """The instance runs; attaching another interface to it does not touch the first one."""
    live: Words = {
        "security_groups": {"alone": {}},
        "instances": {"web": {}},
        "network_interfaces": {"web0": {"at": "web 0", "description": "drift"}},
    }
    plan = plan_of(STACK, live, targets=["network_interfaces.web1"])
    assert at(plan) == ["instances.web", "network_interfaces.web1", "security_groups.alone"]
    assert [step.call for step in plan.steps] == ["CreateNetworkInterface", "AttachNetworkInterface"]


def test_starting_an_instance_does_not_touch_its_interfaces() -> None:
    """Its interface differs, too, and would better change while it sleeps; but it can wait."""
    spec: Words = {"instances": {"web": WEB}, "network_interfaces": {"web0": eni("web", description="new")}}
    live: Words = {"instances": {"web": {"state": "stopped"}}, "network_interfaces": {"web0": {"at": "web 0"}}}
    assert [step.call for step in plan_of(spec, live, targets=["instances.web"]).steps] == ["StartInstances"]
    assert [step.call for step in plan_of(spec, live).steps] == [
        "ModifyNetworkInterfaceAttribute",
        "StartInstances",
    ]


def test_no_resource_needs_an_external_instance() -> None:
    spec: Words = {
        "instances": {"fw": {"external": "i-0123456789abcdef0"}},
        "network_interfaces": {"eth1": eni("fw", 1)},
    }
    plan = plan_of(
        spec,
        {"instances": {"fw": {"id": "i-0123456789abcdef0", "stack": None}}},
        targets=["network_interfaces.eth1"],
    )
    assert at(plan) == ["network_interfaces.eth1"]


# ---- who stands in the way


def test_a_resource_that_has_to_make_room_is_included_whole() -> None:
    """The slot of eth1 is taken by eth2, which belongs to another one: it moves there at once."""
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {
            "eth0": eni("web"),
            "eth1": eni("web", 1),
            "eth2": eni("web", 2),
            "eth3": eni("web", 3),
        },
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}, "eth2": {"at": "web 1"}, "eth3": {}},
    }
    plan = plan_of(spec, live, targets=["network_interfaces.eth1"])
    assert at(plan) == ["instances.web", "network_interfaces.eth1", "network_interfaces.eth2"]
    assert [(step.call, step.address[-4:]) for step in plan.steps] == [
        ("DetachNetworkInterface", "eth2"),
        ("AttachNetworkInterface", "eth1"),
        ("AttachNetworkInterface", "eth2"),
    ]


@pytest.mark.parametrize("target", ["a", "b", "c"])
def test_a_ring_is_included_whole(target: str) -> None:
    """Three addresses that change places: whichever is asked for, none is left without a place."""
    spec: Words = {
        "network_interfaces": {f"eth-{name}": eni() for name in "abc"},
        "elastic_ips": {name: {"association": {"network_interface": f"eth-{name}"}} for name in "abc"},
    }
    live: Words = {
        "network_interfaces": {"eth-a": {}, "eth-b": {}, "eth-c": {}},
        "elastic_ips": {"a": {"at": "eth-b"}, "b": {"at": "eth-c"}, "c": {"at": "eth-a"}},
    }
    plan = plan_of(spec, live, targets=[f"elastic_ips.{target}"])
    assert [step.address for step in plan.steps] == ["elastic_ips.a", "elastic_ips.b", "elastic_ips.c"]


# ---- what is taken away


def test_only_what_is_asked_for_is_removed() -> None:
    """The others are told as what they remain: left over."""
    live: Words = {"elastic_ips": {"old": {}, "older": {}}, "security_groups": {"old": {}}}
    plan = plan_of({}, live, prune=True, targets=["elastic_ips.old"])
    assert [(change.address, change.action) for change in plan.changes] == [("elastic_ips.old", Action.DELETE)]
    assert [left.address for left in plan.leftovers] == ["elastic_ips.older", "security_groups.old"]


def test_what_must_go_first_comes_along() -> None:
    """An interface that is in the group goes; of a group that refers to it only the rule, and nothing more."""
    live: Words = {
        "security_groups": {
            "left": {},
            "right": {"ingress": ["tcp 22 sg-left"]},
            "other": {"ingress": ["tcp 22 sg-right"]},
        },
        "network_interfaces": {"old": {"groups": ["sg-left"]}, "older": {"groups": ["sg-other"]}},
    }
    plan = plan_of({}, live, prune=True, targets=["security_groups.left"])
    assert [(step.call, step.address) for step in plan.steps] == [
        ("DeleteNetworkInterface", "network_interfaces.old"),
        ("RevokeSecurityGroupIngress", "security_groups.right"),
        ("DeleteSecurityGroup", "security_groups.left"),
    ]
    assert [(change.address, change.id, change.action, change.reason) for change in plan.changes] == [
        ("network_interfaces.old", "eni-old", Action.DELETE, None),
        ("security_groups.left", "sg-left", Action.DELETE, None),
        ("security_groups.right", "sg-right", Action.UPDATE, "kept, but in the way of another resource"),
    ]
    assert [left.address for left in plan.leftovers] == [
        "network_interfaces.older",
        "security_groups.other",
        "security_groups.right",
    ]


def test_a_leftover_in_our_slot_makes_room_and_stays() -> None:
    """The target is one interface; the interface that is in its way is detached, and not deleted."""
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": eni("web"), "eth1": eni("web", 1)},
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}, "old": {"at": "web 1"}},
    }
    plan = plan_of(spec, live, prune=True, targets=["network_interfaces.eth1"])
    assert [(step.call, step.address) for step in plan.steps] == [
        ("DetachNetworkInterface", "network_interfaces.old"),
        ("AttachNetworkInterface", "network_interfaces.eth1"),
    ]
    assert [left.address for left in plan.leftovers] == ["network_interfaces.old"]


def test_no_interface_that_stays_is_deleted_with_an_instance() -> None:
    """The old instance would take web0 with it: that is kept first, although only the instance was asked for."""
    spec: Words = {"network_interfaces": {"web0": eni()}}
    live: Words = {
        "instances": {"old": {}},
        "network_interfaces": {"web0": {"at": "old 0", "delete_on_termination": True}},
    }
    plan = plan_of(spec, live, prune=True, targets=["instances.old"])
    assert [step.call for step in plan.steps] == ["ModifyNetworkInterfaceAttribute", "TerminateInstances"]


def test_a_name_that_nothing_has_is_warned_of() -> None:
    """With --prune it may have been a leftover's."""
    plan = plan_of({}, {"elastic_ips": {"old": {}}}, prune=True, targets=["elastic_ips.odl"])
    assert (plan.changes, plan.warnings) == ((), ("elastic_ips.odl: the stack has no resource of this name",))


# ---- what is none of its business


BROKEN: Words = {
    "instances": {"web": WEB},
    "network_interfaces": {"web0": eni("web")},
    "elastic_ips": {"free": {}},
}


def test_what_cannot_be_done_elsewhere_is_no_obstacle() -> None:
    """Another type for an instance that may not be replaced: an error for who asks for it, or for who needs it."""
    live: Words = {
        "instances": {"web": {"instance_type": "m5.large"}},
        "network_interfaces": {"web0": {"at": "web 0"}},
    }
    assert [step.call for step in plan_of(BROKEN, live, targets=["elastic_ips.free"]).steps] == ["AllocateAddress"]
    for targets in ([], ["instances.web"], ["network_interfaces.web0"]):
        with pytest.raises(SpecErrors, match="cannot be changed in place"):
            plan_of(BROKEN, live, targets=targets)


def test_a_step_that_ec2_never_takes_elsewhere_is_no_obstacle() -> None:
    """The primary interface of an instance stands in for another: that one can never be detached."""
    live: Words = {"instances": {"web": {"foreign": {0: "eni-stranger"}}}, "network_interfaces": {"web0": {}}}
    assert [step.call for step in plan_of(BROKEN, live, targets=["elastic_ips.free"]).steps] == ["AllocateAddress"]
    with pytest.raises(SpecErrors, match="primary interface"):
        plan_of(BROKEN, live)


def test_the_fingerprint_is_that_of_the_part() -> None:
    """What moves elsewhere does not make a part another."""
    part = ["elastic_ips.free"]
    empty, other = plan_of(STACK, targets=part), plan_of(STACK, {"elastic_ips": {"db": {}}}, targets=part)
    assert empty.fingerprint == other.fingerprint
    spec: Words = {"network_interfaces": {"eth0": eni(private_ip="172.31.0.50")}, "elastic_ips": {"free": {}}}
    made, replaced = plan_of(spec, targets=part), plan_of(spec, {"network_interfaces": {"eth0": {}}}, targets=part)
    assert made.fingerprint == replaced.fingerprint
    assert empty.fingerprint != plan_of(STACK, {"elastic_ips": {"free": {}}}, targets=part).fingerprint


# ---- in all situations


def test_every_part_is_a_part_of_the_whole() -> None:
    """Its changes are the whole plan's, its calls too, in the same order; and all parts make the whole."""
    for situation, triple in GOLDEN.items():
        _assert_parts_make_the_whole(situation, triple)


def _assert_parts_make_the_whole(situation: str, triple: dict[str, Any]) -> None:
    whole, prune = planned(triple), triple.get("prune", False)
    spec = spec_of(triple["spec"])
    live = live_of(triple["live"], spec)
    seen: set[str] = set()
    for change in whole.changes:
        part = make_plan(spec, live, prune=prune, targets=[change.address])
        room = {each.address for each in part.changes if each not in whole.changes}
        assert room <= {left.address for left in part.leftovers}, situation
        calls = [(step.call, step.address, step.params) for step in part.steps]
        expected = [(step.call, step.address, step.params) for step in whole.steps]
        assert calls == [call for call in expected if call in calls], situation
        left_out = [call for call in expected if call[1] in set(at(part)) - room and call not in calls]
        assert left_out == [], situation
        seen |= {step.address for step in part.steps}
    assert seen == {step.address for step in whole.steps}, situation


# ---- names


ONE = "version: 1\nstack: one\nelastic_ips: {web: {}, db: {}}\ninstances: {fw: {external: i-0123456789abcdef0}}\n"
TWO = "version: 1\nstack: two\nelastic_ips: {web: {}}\n"
REFUSED = [
    ("elastic_ips.wbe", "did you mean `elastic_ips.web`?"),
    ("elastic_ip.web", "did you mean `elastic_ips.web`?"),
    ("web", "write a section and a name, like elastic_ips.web"),
    ("elastic_ips.", "did you mean"),
    ("", "like elastic_ips.web"),
    ("instances.fw", "target an interface that is attached to it"),
]


@pytest.mark.parametrize(("target", "hint"), REFUSED)
def test_a_name_that_cannot_be_meant(target: str, hint: str) -> None:
    with pytest.raises(TargetError) as refused:
        targets_by_file([spec_of(ONE)], [target], prune=False)
    assert refused.value.exit_code == 64
    assert f" {hint}" in f" {refused.value}".replace("\n", " "), str(refused.value)


def test_with_prune_a_name_may_be_that_of_a_leftover() -> None:
    spec = spec_of(ONE)
    for name in ("gone", "gone.too"):
        assert targets_by_file([spec], [f"elastic_ips.{name}"], prune=True) == {
            spec.file: (f"elastic_ips.{name}",)
        }
    with pytest.raises(TargetError):
        targets_by_file([spec], ["addresses.gone"], prune=True)


def shared(targets: Sequence[str], *, prune: bool = False) -> dict[str, tuple[str, ...]]:
    """Of two specs, by stack."""
    one, two = (spec_of(text) for text in (ONE, TWO))
    specs = [replace(spec, file=spec.document.stack) for spec in (one, two)]
    return targets_by_file(specs, targets, prune=prune)


def test_every_spec_gets_its_own() -> None:
    assert shared([]) == {"one": (), "two": ()}
    assert shared(["elastic_ips.db"]) == {"one": ("elastic_ips.db",)}
    assert shared(["elastic_ips.web"]) == {"one": ("elastic_ips.web",), "two": ("elastic_ips.web",)}
    assert shared(["elastic_ips.db", "elastic_ips.old"], prune=True) == {
        "one": ("elastic_ips.db", "elastic_ips.old"),
        "two": ("elastic_ips.old",),
    }


@examples(100)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=3), st.booleans())
def test_no_word_is_a_bug(targets: list[str], prune: bool) -> None:
    """It is refused, or is a name of a section."""
    try:
        parts = shared(targets, prune=prune)
    except TargetError:
        return
    assert {target.partition(".")[0] for part in parts.values() for target in part} <= set(SECTIONS)
