"""What rows share is said once, where there are three or more."""

from __future__ import annotations

from typing import Any

from enireconcile.export.gather import gathered

HEAD: dict[str, Any] = {"version": 1, "stack": "s"}


def test_two_rows_are_left_alone() -> None:
    data = {**HEAD, "instances": {name: {"instance_type": "m5.large", "tags": {"a": "1"}} for name in "ab"}}
    assert gathered(data) == data


def test_what_three_rows_share_is_a_default() -> None:
    """Not what only some of them say, nor `adopt`, and not of external instances, which have no defaults."""
    rows: dict[str, Any] = {
        name: {"adopt": "i-1", "instance_type": "m5.large", "key_name": "ops", "image": name} for name in "abc"
    }
    del rows["c"]["key_name"]
    external = {"external": "i-2"}
    data = gathered({**HEAD, "instances": {**rows, "fw": external}})
    assert data["defaults"] == {"instances": {"instance_type": "m5.large"}}
    assert data["instances"] == {
        "a": {"adopt": "i-1", "key_name": "ops", "image": "a"},
        "b": {"adopt": "i-1", "key_name": "ops", "image": "b"},
        "c": {"adopt": "i-1", "image": "c"},
        "fw": external,
    }


def test_tags_of_everything_are_the_files() -> None:
    """Those that all of a section have are its default; a Name is everybody's own."""
    shared = {"Project": "x", "Name": "same"}
    group, spare = {"tags": shared}, {"tags": {"Project": "x"}}
    rows = {name: {"tags": {**shared, "Role": "web", "n": name}} for name in "abc"}
    data = gathered({**HEAD, "security_groups": {"g": group}, "instances": rows, "elastic_ips": {"e": spare}})
    assert data["tags"] == {"Project": "x"}
    assert data["defaults"] == {"instances": {"tags": {"Name": "same", "Role": "web"}}}
    assert data["security_groups"] == {"g": {"tags": {"Name": "same"}}}
    assert data["elastic_ips"] == {"e": {}}
    assert [*data] == ["version", "stack", "tags", "defaults", "security_groups", "instances", "elastic_ips"]
