"""One spelling for equal values, and what a plan's fingerprint tells apart."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Any

import pytest

from enireconcile.model import (
    Change,
    Impact,
    Ref,
    Secret,
    Template,
    canonical,
    fingerprint,
    fingerprint_of,
    plain,
    refs_in,
)
from enireconcile.planning.draft import make_plan
from tests.planning.worlds import Words, live_of, plan_of, spec_of

WEB = Ref("instances.web")
IP = Ref("elastic_ips.web", "public_ip")
SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ({"b": 1, "a": [True, None, "ü"]}, '{"a":[true,null,"\\u00fc"],"b":1}'),
        ({2: "two", 1: "one"}, '{"1":"one","2":"two"}'),
        ({WEB: [IP]}, '{"instances.web.id":[{"ref":"elastic_ips.web.public_ip"}]}'),
        ((1, (2, 3)), "[1,[2,3]]"),
        ({"b", "a"}, '["a","b"]'),
        (frozenset({10, 9, 100}), "[10,100,9]"),
        ({(2, "x"), (1, "y")}, '[[1,"y"],[2,"x"]]'),
        ({("a", None), ("a", 1), ("a", "b")}, '[["a","b"],["a",1],["a",null]]'),
        ([WEB, IP], '[{"ref":"instances.web.id"},{"ref":"elastic_ips.web.public_ip"}]'),
        (SECRET, f'"{SECRET.digest}"'),
    ],
    ids=[
        "a mapping",
        "keys that are numbers",
        "keys that are refs",
        "tuples",
        "a set of texts",
        "a set of numbers",
        "a set of tuples",
        "a set of what has no order",
        "refs",
        "a secret",
    ],
)
def test_equal_values_have_one_spelling(value: Any, spelled: str) -> None:
    """Keys are sorted, sets are sorted lists, and there is no white space."""
    assert canonical(value) == spelled


def test_a_fingerprint_is_the_hash_of_the_spelling() -> None:
    """It is written down in places that outlive a version, so its form is fixed."""
    spelling = b'{"a":2,"b":1}'
    assert fingerprint({"b": 1, "a": 2}) == "sha256:" + hashlib.sha256(spelling).hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"b": 1, "a": {"d": 2, "c": 3}}, {"a": {"c": 3, "d": 2}, "b": 1}),
        ({"é": frozenset({"b", "a"})}, {"é": frozenset({"a", "b"})}),
        ({WEB: 1, IP: 2}, {IP: 2, WEB: 1}),
        (MappingProxyType({"b": SECRET, "a": (1, None)}), {"a": [1, None], "b": Secret("hunter2")}),
    ],
    ids=["mappings", "sets", "keys that are refs", "another mapping"],
)
@pytest.mark.parametrize("many", [1, 1000, 1001])
def test_equal_values_have_one_fingerprint(one: Any, other: Any, many: int) -> None:
    """In whatever order they were made, and however many there are."""
    assert fingerprint_of([one] * many) == fingerprint_of(iter([other] * many))
    assert fingerprint_of([one] * many) != fingerprint_of([one] * (many - 1) + [{"a": 1}])
    assert fingerprint_of([one] * many) != fingerprint_of([one] * (many + 1))


def test_refs_are_found_however_deep() -> None:
    """In mappings, lists and tuples, one after the other."""
    assert list(refs_in({"a": [WEB, {"b": (IP, "text")}], "c": 1})) == [WEB, IP]
    assert plain({"a": (WEB,)}) == {"a": [{"ref": "instances.web.id"}]}


def test_a_text_of_one_reference_is_the_reference() -> None:
    assert plain(Template((IP,))) == plain(IP) == {"ref": "elastic_ips.web.public_ip"}
    assert plain(Template(("ip=", IP))) == {"text": ["ip=", {"ref": "elastic_ips.web.public_ip"}]}
    assert plain(Template((WEB, IP)))["text"] == [plain(WEB), plain(IP)]


def test_the_worst_impact_counts() -> None:
    """Nothing at all is safe."""
    safe, disruptive, destructive = Impact
    assert Impact.worst([safe, destructive, disruptive]) is destructive
    assert Impact.worst([disruptive, safe]) is disruptive
    assert Impact.worst([]) is safe


# ---- plans

ZONE_A: Words = {"default_for_az": "us-east-1a"}
SPEC: Words = {"network_interfaces": {"eth1": {"subnet": ZONE_A, "description": "web"}}}


def seen(prune: bool = False, **row: Any) -> str:
    """The fingerprint of a plan for an interface, and for an address that the spec does not name."""
    live: Words = {"network_interfaces": {"eth1": row}, "elastic_ips": {"old": {}}}
    return plan_of(SPEC, live, prune=prune).fingerprint


def test_a_fingerprint_covers_what_the_plan_was_made_from() -> None:
    """Another id, another attribute that is compared, or something more to remove is another world."""
    prints = {seen(), seen(id="eni-other"), seen(description="web"), seen(prune=True)}
    assert len(prints) == 4
    assert {text[:7] for text in prints} == {"sha256:"}
    assert seen(tags={"Team": "other"}) == seen()


def test_nothing_is_removed_unless_it_is_asked_for() -> None:
    """A plan that is made without a word of pruning leaves alone what it does not know."""
    loaded = spec_of(SPEC)
    plan = make_plan(loaded, live_of({"elastic_ips": {"old": {}}}, loaded))
    assert ([left.id for left in plan.leftovers], plan.summary()["delete"]) == (["eipalloc-old"], 0)


def test_a_change_gives_all_its_reasons() -> None:
    """An interface may be detached and an address displaced for one change each; one may have two reasons."""
    spec: Words = {
        "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro"}},
        "network_interfaces": {
            "eth0": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}},
            "eth1": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 1}},
        },
        "elastic_ips": {"web": {"association": {"network_interface": "eth1"}}},
    }
    live: Words = {
        "instances": {"web": {"foreign": {1: "eni-stranger"}}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"holds": "eipalloc-stranger"}},
        "elastic_ips": {"web": {}},
    }
    reasons = {change.address: change.reason for change in plan_of(spec, live).changes if _moves(change)}
    assert reasons == {
        "network_interfaces.eth1": "detaches eni-stranger",
        "elastic_ips.web": "displaces eipalloc-stranger",
    }


def _moves(change: Change) -> bool:
    return change.impact is Impact.DISRUPTIVE


def test_a_secret_gives_its_content_once_it_has_one() -> None:
    """Text and the same bytes have one hash; a text with references has neither content nor hash yet."""
    assert (Secret("ü").content, Secret("ü").digest) == ("ü".encode(), Secret("ü".encode()).digest)
    with pytest.raises(TypeError, match="no values yet"):
        _ = Secret(Template(("ip=", IP))).content
