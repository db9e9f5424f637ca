"""``renamed_from``: a row gets another name, and keeps its resource."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact
from enireconcile.ownership import NAME_TAG
from tests.ec2 import DropConnection, Settings
from tests.harness import Harness, open_harness

IMAGE = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}
SUBNET = {"default_for_az": "us-east-1a"}


def _spec(new: str = "", **more: Any) -> str:
    """A stack of one row a section; with ``new``, all rows have that prefix instead of ``old``."""
    name, said = (new or "old"), ({"renamed_from": "old"} if new else {})
    rows: dict[str, Any] = {
        "security_groups": {name: {**said, "ingress": [{"protocol": "tcp", "ports": 80, "sources": ["self"]}]}},
        "instances": {name: {**said, "image": IMAGE, "instance_type": "t3.micro"}},
        "network_interfaces": {
            name: {
                **said,
                "subnet": SUBNET,
                "security_groups": [name],
                "attachment": {"instance": name, "device_index": 0},
            }
        },
        "elastic_ips": {name: {**said, "association": {"network_interface": name}}},
    }
    for section, row in more.items():
        rows[section][name] |= row
    return json.dumps({"version": 1, "stack": "names", "region": "us-east-1", **rows})


def _ids(harness: Harness) -> dict[str, list[str]]:
    """The ids of what the stack owns, by the name in the tags."""
    data = harness.strict.world.data
    found: dict[str, list[str]] = {}
    for records in (data.groups, data.instances, data.interfaces, data.addresses):
        for record in records.values():
            if NAME_TAG in record.tags:
                found.setdefault(record.tags[NAME_TAG], []).append(record.id)
    return found


def _calls(harness: Harness, spec: str, **more: Any) -> list[str]:
    """The mutating calls of an apply; a further apply calls nothing."""
    harness.strict.clear()
    report = harness.apply(spec, **more)
    assert report.outcome in ("converged", "unchanged"), report.error
    calls = sorted(call.action for call in harness.strict.mutating())
    assert harness.plan(spec).empty
    return calls


def test_by_its_tags_alone(harness: Harness) -> None:
    """One safe CreateTags for each resource, under the policy of the new spec; a group keeps its GroupName."""
    _calls(harness, _spec())
    before = _ids(harness)
    plan = harness.plan(_spec("new"))
    assert {step.call for step in plan.steps} == {"CreateTags"}
    assert plan.impact is Impact.SAFE
    assert {step.note for step in plan.steps} == {f"renames {address}" for address in before}
    assert plan.leftovers == ()
    harness.obey(_spec("new"))
    assert _calls(harness, _spec("new")) == ["CreateTags"] * 4
    assert _ids(harness) == {address.replace(".old", ".new"): ids for address, ids in before.items()}
    [group] = harness.client().describe_security_groups(GroupIds=before["security_groups.old"])["SecurityGroups"]
    assert group["GroupName"] == "old"
    assert {tag["Key"]: tag["Value"] for tag in group["Tags"]}["Name"] == "new"


def test_it_stays_harmless(harness: Harness) -> None:
    """In an empty account, after the rename, and when the resource is made anew."""
    assert "CreateTags" not in _calls(harness, _spec("new"))
    assert _calls(harness, _spec("new")) == []
    assert harness.apply(_spec("new"), destroy=True).outcome == "converged"
    harness.loop.now += 60
    assert "CreateTags" not in _calls(harness, _spec("new"))


def test_changes_of_the_row_come_with_it(harness: Harness) -> None:
    _calls(harness, _spec())
    assert _calls(harness, _spec("new", network_interfaces={"description": "x"})) == sorted(
        ["CreateTags"] * 4 + ["ModifyNetworkInterfaceAttribute"]
    )


def test_a_resource_of_the_new_name_goes_before(harness: Harness) -> None:
    """The one of the former name is a leftover then."""
    two = {"version": 1, "stack": "names", "elastic_ips": {"old": {}, "new": {}}}
    _calls(harness, json.dumps(two))
    two["elastic_ips"] = {"new": {"renamed_from": "old"}}
    plan = harness.plan(json.dumps(two))
    assert plan.empty
    assert [leftover.address for leftover in plan.leftovers] == ["elastic_ips.old"]


def test_another_group_name_is_refused(harness: Harness) -> None:
    """Only the former GroupName is no difference, not one that the row does not have."""
    _calls(harness, _spec())
    with pytest.raises(SpecErrors, match=r"group_name is old, the spec says other"):
        harness.plan(_spec("new", security_groups={"group_name": "other"}))


def test_a_create_without_an_answer_is_found_by_its_new_name(tmp_path: Path) -> None:
    """The journal knows it by the former one: nothing is allocated twice."""
    old = json.dumps({"version": 1, "stack": "names", "elastic_ips": {"old": {}}})
    new = json.dumps({"version": 1, "stack": "names", "elastic_ips": {"new": {"renamed_from": "old"}}})
    with open_harness(tmp_path / "state", Settings(visibility_delay=20.0)) as harness:
        harness.strict.faults.add(DropConnection(action="AllocateAddress", late=True))
        assert harness.apply(old, timeout=1.0).outcome == "partial"
        assert _calls(harness, new) == ["CreateTags"]
        assert list(_ids(harness)) == ["elastic_ips.new"]


def test_a_replacement_that_was_renamed_first(harness: Harness) -> None:
    """The former interface is still deleted, though an interrupted run has renamed only its successor."""
    spec = json.loads(_spec())
    for section in ("instances", "elastic_ips"):
        spec[section] = {}
    del spec["network_interfaces"]["old"]["attachment"]
    _calls(harness, json.dumps(spec))
    [old], ec2 = _ids(harness)["network_interfaces.old"], harness.client()
    tags = [
        {"Key": "enireconcile:stack", "Value": "names"},
        {"Key": NAME_TAG, "Value": "network_interfaces.new"},
        {"Key": "enireconcile:replaces", "Value": old},
    ]
    subnet = ec2.describe_network_interfaces(NetworkInterfaceIds=[old])["NetworkInterfaces"][0]["SubnetId"]
    ec2.create_network_interface(
        SubnetId=subnet, TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}]
    )
    harness.loop.now += 5
    row = spec["network_interfaces"].pop("old")
    spec["network_interfaces"]["new"] = {**row, "renamed_from": "old"}
    assert "DeleteNetworkInterface" in _calls(harness, json.dumps(spec))
    assert len(_ids(harness)["network_interfaces.new"]) == 1
    assert "network_interfaces.old" not in _ids(harness)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": {"renamed_from": "a"}}, "elastic_ips.a.renamed_from: is the name of the row itself"),
        ({"a": {"renamed_from": "b"}, "b": {}}, "elastic_ips.a.renamed_from: the spec has a row elastic_ips.b"),
        (
            {"a": {"renamed_from": "c"}, "b": {"renamed_from": "c"}},
            "elastic_ips.b.renamed_from: elastic_ips.c is already renamed to elastic_ips.a",
        ),
    ],
)
def test_what_the_file_shows_is_refused(harness: Harness, rows: Any, message: str) -> None:
    with pytest.raises(SpecErrors, match=message):
        harness.plan(json.dumps({"version": 1, "stack": "names", "elastic_ips": rows}))
