"""Who holds an interface that several instances may hold, and the reason that the plan gives when it moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from enireconcile.live.records import LiveAttachment, LiveInstance, LiveNetworkInterface
from enireconcile.planning.failover import Placements, choose_placements
from tests.planning.worlds import HEAD, spec_of

PLACE = {"device_index": 1, "network_card_index": 0, "delete_on_termination": False}


def instance(name: str, state: str = "running") -> LiveInstance:
    return LiveInstance(f"i-{name}", {}, state, "t3.micro", "ami-1", None, None)


def interface(
    holder: str | None, status: str = "attached", index: int = 1, flag: bool = False
) -> LiveNetworkInterface:
    at = LiveAttachment("eni-attach-1", f"i-{holder}", index, 0, flag, status) if holder else None
    return LiveNetworkInterface("eni-1", {}, "subnet-1", (), "10.0.0.9", "", True, "in-use", at)


def placed(
    failover: dict[str, Any] | None,
    states: dict[str, str],
    held_by: LiveNetworkInterface | None,
    vanished: dict[str, str] | None = None,
    launched: tuple[str, ...] = (),
) -> Placements:
    """``states`` are those of the instances that there are, each with its status checks: ``running ok``."""
    attachment: dict[str, Any] = {"instances": ["a", "b", "c"], "device_index": 1}
    if failover is not None:
        attachment["failover"] = failover
    words = {
        **HEAD,
        "instances": {name: {"external": {"tags": {"Name": name}}} for name in "abc"},
        "network_interfaces": {"vip": {"subnet": "subnet-12345678", "attachment": attachment}},
    }
    told = {name: (state.split()[0], state.split()[-1]) for name, state in states.items()}
    return choose_placements(
        spec_of(words).document,
        {"vip": held_by} if held_by else {},
        {name: instance(name, state) for name, (state, _) in told.items()},
        {f"i-{name}": check for name, (state, check) in told.items() if check != state},
        vanished or {},
        launched,
    )


WELL = {"a": "running ok", "b": "running ok", "c": "running ok"}


@dataclass(frozen=True)
class Case:
    """A situation, and who holds the interface then, with the reason if it moves."""

    situation: str
    failover: dict[str, Any] | None
    states: dict[str, str]
    holder: str | None
    to: str
    reason: str | None = field(default=None)


RUNNING, NONE, PREEMPT = {"health": "running"}, {"health": "none"}, {"preempt": True}
CASES = [
    Case("it is not attached yet", None, WELL, None, "a"),
    Case("it is detached, and the first is ill", None, {**WELL, "a": "running impaired"}, None, "b"),
    Case("the first has it and is well", None, WELL, "a", "a"),
    Case("another has it and is well", None, WELL, "b", "b"),
    Case("another has it and is well, and preempt is said to be off", {"preempt": False}, WELL, "b", "b"),
    Case("preempt", PREEMPT, WELL, "b", "a", "fails back from b to a, which is healthy again"),
    Case("preempt, and the first has it", PREEMPT, WELL, "a", "a"),
    Case(
        "preempt takes the first that is well",
        PREEMPT, {**WELL, "a": "running impaired"}, "c", "b", "fails back from c to b, which is healthy again",
    ),
    Case(
        "checks fail",
        None, {**WELL, "a": "running impaired"}, "a", "b", "fails over from a (status checks impaired) to b",
    ),
    Case(
        "the second is ill as well",
        None,
        {"a": "running impaired", "b": "running impaired", "c": "running ok"},
        "a", "c", "fails over from a (status checks impaired) to c",
    ),
    Case("the holder is stopped", None, {**WELL, "a": "stopped"}, "a", "b", "fails over from a (stopped) to b"),
    Case("the holder is gone", None, {"b": "running ok"}, "a", "b", "fails over from a (not found) to b"),
    Case("checks of the holder have no result yet", None, {**WELL, "a": "running initializing"}, "a", "a"),
    Case("nor enough data", None, {**WELL, "a": "running insufficient-data"}, "a", "a"),
    Case("checks of the holder are not listed", None, {**WELL, "a": "running"}, "a", "a"),
    Case("checks of another have no result yet", PREEMPT, {**WELL, "a": "running initializing"}, "b", "b"),
    Case("running: checks do not matter", RUNNING, {**WELL, "a": "running impaired"}, "a", "a"),
    Case(
        "running: it is stopped",
        RUNNING, {**WELL, "a": "stopping"}, "a", "b", "fails over from a (stopping) to b",
    ),
    Case("running: others without checks will do", RUNNING, {"a": "stopped", "b": "running"}, None, "b"),
    Case("none: being there is enough", NONE, {**WELL, "a": "stopped"}, "a", "a"),
    Case("none: also to be chosen", NONE, {"a": "stopped", "b": "running ok"}, None, "a"),
    Case("none: it is not there", NONE, {"b": "stopped"}, "a", "b", "fails over from a (not found) to b"),
    Case(
        "a stranger has it",
        None, WELL, "other", "a", "moves from i-other, which is not one of its instances, to a",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.situation)
def test_the_instance_it_belongs_to(case: Case) -> None:
    held_by = interface(case.holder) if case.holder else None
    vanished = {"i-a": "a"} if "a" not in case.states else {}
    found = placed(case.failover, case.states, held_by, vanished)
    assert found.stranded == {}
    assert (found.placements["vip"].instance, found.placements["vip"].reason) == (case.to, case.reason)
    assert {key: getattr(found.placements["vip"], key) for key in PLACE} == PLACE


@pytest.mark.parametrize(
    ("states", "held_by", "to"),
    [
        ({}, None, "b"),
        ({"a": "stopped"}, None, "b"),
        ({"a": "running ok"}, None, "a"),
        ({"a": "stopped"}, interface("a"), "a"),
        ({"a": "running ok"}, interface("a"), "a"),
    ],
)
def test_a_free_interface_goes_to_the_first_instance_that_the_plan_launches(
    states: dict[str, str], held_by: LiveNetworkInterface | None, to: str
) -> None:
    """If no candidate is healthy yet and none has it; a new instance has no status checks to wait for."""
    found = placed(None, states, held_by, launched=("c", "b"))
    assert found.placements["vip"].instance == to


STRANDED = [
    (
        "all are ill, and the first has it",
        {"a": "running impaired", "b": "stopped", "c": "pending"},
        interface("a", index=3, flag=True),
        "a (status checks impaired), b (stopped), c (pending); it stays on a",
    ),
    (
        "all are ill, and it is detached",
        {"a": "running impaired", "b": "running initializing"},
        None,
        "a (status checks impaired), b (status checks initializing), c (not found); it stays detached",
    ),
    (
        "all are ill, and it is coming off",
        {"a": "stopped", "b": "stopped", "c": "stopped"},
        interface("a", "detaching"),
        "a (stopped), b (stopped), c (stopped); it stays detached",
    ),
    (
        "none is there, and a stranger has it",
        {},
        interface("other"),
        "a (not found), b (not found), c (not found); it stays on i-other",
    ),
]


@pytest.mark.parametrize(
    ("states", "held_by", "words"), [row[1:] for row in STRANDED], ids=[row[0] for row in STRANDED]
)
def test_nothing_healthy_means_nothing_moves(
    states: Any, held_by: LiveNetworkInterface | None, words: str
) -> None:
    """It stays exactly where and how it is, whatever the spec says of index and flag."""
    found = placed(None, states, held_by)
    assert found.stranded == {"vip": f"network_interfaces.vip: no healthy instance to attach it to: {words}"}
    attachment = (
        held_by.attachment if held_by and held_by.attachment and held_by.attachment.status != "detaching" else None
    )
    if attachment is None:
        assert found.placements == {}
        return
    at = found.placements["vip"]
    assert (at.instance, at.reason, at.patience) == (words.split()[-1], None, None)
    assert (at.device_index, at.delete_on_termination) == (
        attachment.device_index,
        attachment.delete_on_termination,
    )


def test_a_detaching_interface_belongs_to_no_instance() -> None:
    """It comes off a: the first that is healthy gets it, and there is nothing to give a reason for."""
    found = placed(None, {**WELL, "a": "running impaired"}, interface("a", "detaching"))
    assert (found.placements["vip"].instance, found.placements["vip"].reason) == ("b", None)


def test_how_long_a_detach_may_hang_is_said_with_the_place() -> None:
    assert placed({"force_detach_after": "2m"}, WELL, None).placements["vip"].patience == 120
    assert placed({}, WELL, None).placements["vip"].patience is None
    assert placed(None, WELL, None).placements["vip"].patience is None


def test_other_interfaces_belong_where_the_spec_says() -> None:
    """One instance, there or not, or none at all."""
    words = {
        **HEAD,
        "instances": {"a": {"external": "i-0123456789abcdef0"}},
        "network_interfaces": {
            "one": {
                "subnet": "subnet-12345678",
                "attachment": {
                    "instance": "a", "device_index": 2, "network_card_index": 1, "delete_on_termination": True,
                },
            },
            "spare": {"subnet": "subnet-12345678"},
        },
    }  # fmt: skip
    found = choose_placements(spec_of(words).document, {}, {}, {}, {})
    assert set(found.placements) == {"one"}
    at = found.placements["one"]
    assert (at.instance, at.device_index, at.network_card_index, at.delete_on_termination) == ("a", 2, 1, True)
    assert (at.reason, at.patience, found.stranded) == (None, None, {})
