"""Plan files: plans as text and back, what is refused, and when a saved plan is still the plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from enireconcile import __version__
from enireconcile.errors import GuardError
from enireconcile.model import Action, Plan, Ref, Secret, fingerprint
from enireconcile.outputs.planfile import FORMAT, Saved, SavedPlan, reasons_against, saved_in
from enireconcile.planning.codec import Sealed, decode, encode
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, examples, plan_of, spec_of

CREATED = "2026-01-01T00:00:00+00:00"
ZONE_A: Words = {"default_for_az": "us-east-1a"}
SCRIPT = "password=hunter2"
STORY: Words = {
    "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro", "user_data": SCRIPT}},
    "network_interfaces": {
        "eth0": {
            "subnet": ZONE_A,
            "tags": {"$ref": "a tag may be called so", "$": "and so"},
            "attachment": {"instance": "web", "device_index": 0},
        },
    },
    "elastic_ips": {"web": {"association": {"network_interface": "eth0"}}},
}


def file_of(*plans: Plan, prune: bool = False) -> str:
    saved = (SavedPlan(f"specs/{plan.stack}.yaml", "sha256:0", plan) for plan in plans)
    return Saved(tuple(saved), prune).text(CREATED)


def again(plan: Plan) -> Plan:
    """Written and read."""
    [saved] = saved_in(file_of(plan), "plan.json").plans
    return saved.plan


# ---- there and back


def test_every_plan_comes_back_as_it_was() -> None:
    """Word by word; and equal, unless it has a secret."""
    for situation, triple in GOLDEN.items():
        plan = planned(triple)
        assert encode(again(plan)) == encode(plan), situation
        assert again(plan) == plan or "Sealed" in file_of(plan), situation


def test_a_secret_is_its_hash() -> None:
    """The text of the file does not hold it; everything else is as it was."""
    plan = plan_of(STORY)
    text = file_of(plan)
    assert "hunter2" not in text
    [launch] = [step for step in again(plan).steps if step.call == "RunInstances"]
    assert launch.params["UserData"] == Sealed(Secret(SCRIPT).digest)
    assert encode(again(plan)) == encode(plan)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.builds(Ref, st.text(), st.text()),
    lambda items: (
        st.lists(items)
        | st.lists(items).map(tuple)
        | st.dictionaries(st.text(), items)
        | st.dictionaries(st.builds(Ref, st.text()), items)
        | st.frozensets(st.text() | st.integers() | st.builds(Ref, st.text()))
    ),
    max_leaves=8,
)


@examples(100)
@given(VALUES)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert decode(json.loads(json.dumps(encode(value)))) == value


def test_what_no_plan_has_in_it_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no plan has a bytes in it"):
        encode(b"")


def test_the_file_says_what_it_is_and_who_wrote_it() -> None:
    words = json.loads(file_of(plan_of(STORY), prune=True))
    assert {name: words[name] for name in ("kind", "format", "program", "created", "prune")} == {
        "kind": "enireconcile plan",
        "format": FORMAT,
        "program": __version__,
        "created": CREATED,
        "prune": True,
    }
    assert [plan["file"] for plan in words["plans"]] == ["specs/lab.yaml"]


def test_the_file_can_be_read_by_people() -> None:
    """A line for each thing, and a strange name of a file does nothing to the terminal."""
    assert file_of(plan_of(STORY)).splitlines()[:3] == [
        "{",
        f' "kind": "{"enireconcile plan"}",',
        f' "format": {FORMAT},',
    ]
    assert encode({"plain": 1}) == {"plain": 1}
    with pytest.raises(GuardError, match=r"^a\\x1b\[2J\.json is not a plan file"):
        saved_in("", "a\x1b[2J.json")


def test_several_plans_and_the_flags_that_made_them() -> None:
    other = replace(plan_of(STORY), stack="other")
    saved = saved_in(file_of(plan_of(STORY), other, prune=True), "plan.json")
    assert ([each.plan.stack for each in saved.plans], saved.prune) == (["lab", "other"], True)


def test_a_file_says_all_that_its_plans_were_made_with() -> None:
    plan = plan_of({"elastic_ips": {"web": {}}}, targets=["elastic_ips.web"])
    saved = Saved((SavedPlan("specs/lab.yaml", "sha256:1", plan),))
    assert saved_in(saved.text(CREATED), "plan.json") == saved
    assert plan.targets == ("elastic_ips.web",)


# ---- what is refused


TEXT = file_of(plan_of(STORY))


def edited(edit: Callable[[dict[str, Any]], object], *, signed: bool = True) -> str:
    """The file with an edit; ``signed`` with a digest that fits."""
    words = json.loads(TEXT)
    edit(words)
    if signed:
        words.pop("digest", None)
        words["digest"] = fingerprint(words)
    return json.dumps(words)


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(words: Any) -> None:
        for key in path[:-1]:
            words = words[key]
        words[path[-1]] = value

    return edit


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(words: Any) -> None:
        for key in path[:-1]:
            words = words[key]
        del words[path[-1]]

    return edit


REFUSED = [
    pytest.param("", "is not a plan file", id="empty"),
    pytest.param("version: 1\nstack: lab\n", "is not a plan file", id="a spec"),
    pytest.param("[]", "is not a plan file", id="a list"),
    pytest.param('{"planned_values": {}}', "is not a plan file", id="another tool's plan"),
    pytest.param("[" * 100_000, "is not a plan file", id="a hole"),
    pytest.param(TEXT[: len(TEXT) // 2], "truncated", id="half of it"),
    pytest.param(TEXT[:-3], "truncated", id="all but the end"),
    pytest.param(TEXT.replace('"prune": false', '"prune": true'), "was modified", id="another flag"),
    pytest.param(TEXT.replace("ami-of-web", "ami-mine"), "was modified", id="another image"),
    pytest.param(edited(drop("digest"), signed=False), "was modified", id="no digest"),
    pytest.param(edited(put("format", value=FORMAT + 1)), f"has format {FORMAT + 1}", id="a newer format"),
    pytest.param(edited(put("format", value="\x1b[2J")), r"has format \\x1b\[2J", id="a strange format"),
    pytest.param(edited(put("program", value="99.0")), "was written by enireconcile 99.0", id="a newer program"),
    pytest.param(edited(put("plans", value=[])), "lacks parts of a plan file", id="no plan"),
    pytest.param(edited(put("plans", value=None)), "lacks parts of a plan file", id="no plans"),
    pytest.param(edited(put("prune", value="no")), "lacks parts of a plan file", id="a flag that is none"),
    pytest.param(edited(drop("plans", 0, "file")), "lacks parts of a plan file", id="no spec"),
    pytest.param(
        edited(put("plans", 0, "plan", value={"$": "Step"})), "lacks parts of a plan file", id="half a step"
    ),
    pytest.param(
        edited(put("plans", 0, "plan", value={"$": "os.system"})),
        "lacks parts of a plan file",
        id="a strange word",
    ),
    pytest.param(edited(put("plans", 0, "plan", value={"$": []})), "lacks parts of a plan file", id="no word"),
    pytest.param(
        edited(put("plans", 0, "plan", value={"$tuple": 1})), "lacks parts of a plan file", id="no tuple"
    ),
    pytest.param(
        edited(put("plans", 0, "plan", value={"$map": [1]})), "lacks parts of a plan file", id="no mapping"
    ),
    pytest.param(edited(put("plans", 0, "plan", value={"$set": [[]]})), "lacks parts of a plan file", id="no set"),
    pytest.param(
        edited(put("plans", 0, "plan", value={"$x": [], "y": 1})), "lacks parts of a plan file", id="odd words"
    ),
    pytest.param(
        edited(put("plans", 0, "plan", value=["a list"])), "lacks parts of a plan file", id="another thing"
    ),
    pytest.param(
        edited(put("plans", 0, "plan", "more", value=1)), "lacks parts of a plan file", id="more than a plan has"
    ),
    pytest.param(
        edited(drop("plans", 0, "plan", "waits")), "lacks parts of a plan file", id="less than a plan has"
    ),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_a_file_that_is_not_as_it_was_is_refused(text: str, words: str) -> None:
    with pytest.raises(GuardError, match=words) as refused:
        saved_in(text, "plan.json")
    assert refused.value.exit_code == 3
    assert "plan --out" in str(refused.value)
    assert "\x1b" not in str(refused.value)


@examples(50)
@given(st.integers(0, len(TEXT) - 2), st.integers(0, 127).map(chr))
def test_any_byte_that_changes_is_noticed(place: int, char: str) -> None:
    """Wherever it is: either the file is refused, or it says the same as before."""
    text = TEXT[:place] + char + TEXT[place + 1 :]
    try:
        assert saved_in(text, "plan.json") == saved_in(TEXT, "plan.json")
    except GuardError:
        assert text != TEXT


# ---- is it still the plan?


def against(saved: Plan, fresh: Plan, *, digest: str = "sha256:0") -> list[str]:
    return reasons_against(SavedPlan("lab.yaml", "sha256:0", saved), digest, fresh)


def test_without_changes_of_the_live_state_it_is() -> None:
    for situation, triple in GOLDEN.items():
        assert against(again(planned(triple)), planned(triple)) == [], situation


def test_with_its_secrets_it_is() -> None:
    """The saved one has only their hash."""
    assert against(again(plan_of(STORY)), plan_of(STORY)) == []


def test_another_spec_is_reported_as_such() -> None:
    [reason] = against(plan_of(STORY), plan_of(STORY), digest="sha256:1")
    assert reason == "lab.yaml has changed since the plan was saved (make a new plan with plan --out)"


def test_another_account_is_reported_as_such() -> None:
    elsewhere = replace(plan_of(STORY), account_id="210987654321")
    [reason] = against(plan_of(STORY), elsewhere)
    assert reason == (
        "the plan was made for account 123456789012, us-east-1, and this is account 210987654321, us-east-1"
    )


def test_what_moved_is_reported() -> None:
    """By resource, with what was to happen to it then and now."""
    spec: Words = {"elastic_ips": {"a": {"tags": {"Role": "a"}}, "b": {}, "c": {}}}
    then = plan_of(spec, {"elastic_ips": {"a": {"tags": {"Role": "z"}}, "b": {}}})
    now = plan_of(spec, {"elastic_ips": {"a": {"tags": {"Role": "a"}}, "c": {}}})
    [reason] = against(again(then), now)
    assert reason.splitlines()[1:] == [
        "    elastic_ips.a: update eipalloc-a (tags) then, unchanged eipalloc-a now",
        "    elastic_ips.b: unchanged eipalloc-b then, create now",
        "    elastic_ips.c: create then, unchanged eipalloc-c now",
    ]


def test_what_was_missing_is_reported() -> None:
    """What is left over has a row in a plan that removes it only."""
    then = plan_of({}, {"elastic_ips": {"a": {}}}, prune=True)
    [reason] = against(again(then), plan_of({}, prune=True))
    assert reason.splitlines()[1:] == ["    elastic_ips.a: delete eipalloc-a then, not there now"]


def test_a_call_that_would_differ_is_reported() -> None:
    """Nothing that is compared has moved, but another image is the newest by now."""
    then = plan_of(STORY)
    launch = next(step for step in then.steps if step.call == "RunInstances")
    other = replace(launch, params={**launch.params, "ImageId": "ami-newer"})
    now = replace(then, steps=tuple(other if step is launch else step for step in then.steps))
    [reason] = against(again(then), now)
    assert reason.splitlines()[1:] == [
        "    RunInstances for instances.web, then",
        "    RunInstances for instances.web, now",
    ]


def test_a_forged_file_is_no_plan_of_this_spec() -> None:
    """Its fingerprint is today's and its digest is right; its steps are not those that the spec asks for."""
    plan = plan_of(STORY)
    terminate = replace(plan.steps[0], call="TerminateInstances", params={"InstanceIds": ["i-0123456789abcdef0"]})
    forged = replace(plan, steps=(terminate, *plan.steps[1:]))
    [reason] = against(again(forged), plan)
    assert "TerminateInstances for " in reason


def test_a_file_that_shows_less_than_it_does_is_no_plan_of_this_spec() -> None:
    """Its calls are those that the spec asks for; what they change is not what a reader was shown."""
    spec: Words = {"elastic_ips": {"a": {"tags": {"Role": "a"}, "reverse_dns": "a.example.com"}}}
    plan = plan_of(spec, {"elastic_ips": {"a": {"tags": {"Role": "z"}}}})
    [change] = plan.changes
    shown = replace(change, fields=change.fields[:1])
    [reason] = against(again(replace(plan, changes=(shown,))), plan)
    assert reason.splitlines()[1:] == [
        "    elastic_ips.a: update eipalloc-a (reverse_dns) then, update eipalloc-a (reverse_dns, tags) now"
    ]


MEANWHILE = [
    pytest.param({"web": {"foreign": {1: "eni-other"}}}, {}, id="a foreign interface in the slot"),
    pytest.param({"web": {}}, {"eth1": {"at": "web 2"}}, id="an interface in another slot"),
    pytest.param({"web": {}}, {"eth1": {"holds": "eipalloc-other"}}, id="a foreign address on the interface"),
    pytest.param({"web": {"id": "i-other"}}, {}, id="another instance of the same name"),
    pytest.param({}, {}, id="no instance at all"),
]


@pytest.mark.parametrize(("instances", "interfaces"), MEANWHILE)
def test_all_that_makes_a_plan_what_it_is_is_in_its_fingerprint(instances: Words, interfaces: Words) -> None:
    spec: Words = {
        "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro"}},
        "network_interfaces": {
            "eth0": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}},
            "eth1": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 1}},
        },
        "elastic_ips": {"web": {"association": {"network_interface": "eth1"}}},
    }
    then = plan_of(spec, {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}}})
    eth0: Words = {"at": "web 0"} if instances else {}
    now = plan_of(spec, {"instances": instances, "network_interfaces": {"eth0": eth0, "eth1": {}, **interfaces}})
    assert then.fingerprint != now.fingerprint
    assert against(again(then), now) != []


def test_what_is_compared_and_is_well_is_in_the_fingerprint_too() -> None:
    """The call is the same; the other address is another one by now."""
    spec: Words = {"elastic_ips": {"a": {"tags": {"Role": "a"}}, "b": {}}}
    then, now = (
        plan_of(spec, {"elastic_ips": {"a": {}, "b": {"id": each}}}) for each in ("eipalloc-1", "eipalloc-2")
    )
    assert (then.steps, then.fingerprint == now.fingerprint) == (now.steps, False)


def test_plans_with_one_fingerprint_are_one_plan() -> None:
    """Over all the situations that we know."""
    known: dict[str, Any] = {}
    for triple in GOLDEN.values():
        plan = planned(triple)
        does = encode([plan.steps, [change for change in plan.changes if change.action is not Action.UNCHANGED]])
        assert known.setdefault(plan.fingerprint, does) == does
    assert len(known) > 50


# ---- the hash of a spec


def test_how_a_spec_is_written_does_not_count() -> None:
    one = spec_of("version: 1\nstack: lab\nelastic_ips: {a: {}, b: {tags: {X: y}}}\n")
    other = spec_of("# again\nversion: 1\nelastic_ips:\n  b: {tags: {X: 'y'}}\n  a: {}\nstack: lab\n")
    assert one.digest == other.digest


def test_what_a_spec_says_counts() -> None:
    texts = ["{a: {}}", "{a: {tags: {X: y}}}", "{b: {}}", "{}"]
    digests = {spec_of(f"version: 1\nstack: lab\nelastic_ips: {text}\n").digest for text in texts}
    assert len(digests) == 4


def test_user_data_counts() -> None:
    web = STORY["instances"]["web"]
    digests = {
        spec_of({**STORY, "instances": {"web": {**web, "user_data": text}}}).digest for text in ("one", "two")
    }
    assert len(digests) == 2
