"""What `terraform show -json` writes is read; what else Terraform has is told apart, with what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.export.terraform.state import read_state
from tests.export.terraform.states import address, group, instance, read, state

SHOW = "write it with `terraform show -json > state.json`, in the folder of the configuration"


def test_resources_of_all_modules() -> None:
    inner = {"address": "module.a.module.b[0]", "resources": [address("module.a.module.b[0].aws_eip.web")]}
    outer = {"address": "module.a", "child_modules": [inner]}
    found = read(group(), address("data.aws_eip.old"), modules=[outer])
    assert [(each.address, each.managed) for each in found] == [
        ("aws_security_group.web", True),
        ("data.aws_eip.old", False),
        ("module.a.module.b[0].aws_eip.web", True),
    ]


def test_what_is_marked() -> None:
    """Tainted and deposed objects; sensitive tags are not among the values."""
    tags = {"tags": {"Name": "web", "Token": "x"}, "tags_all": {"Name": "web", "Token": "x"}}
    marks = {
        "sensitive_values": {"tags": {"Token": True}, "tags_all": {"Token": True}, "ingress": [{"self": True}]}
    }
    one, two, three, four = read(
        address("aws_eip.a", {"tainted": True}),
        address("aws_eip.a", {"deposed_key": "byebye07"}),
        group("aws_security_group.a", marks, **tags),
        group("aws_security_group.b", {"sensitive_values": {"tags": True, "tags_all": True}}, **tags),
    )
    assert (one.tainted, one.deposed, two.deposed) == (True, "", "byebye07")
    assert three.tags == [{"Key": "Name", "Value": "web"}]
    assert three.sensitive == {"tags", "tags_all", "ingress"}
    assert four.tags == []
    assert four.sensitive == {"tags", "tags_all"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_of_shells(encoding: str) -> None:
    """PowerShell's redirection writes UTF-16."""
    [found] = read_state(json.dumps(state(instance())).encode(encoding), "state.json")
    assert found.address == "aws_instance.web"


@pytest.mark.parametrize("version", ["0.1", "0.2", "1.0", "1.99"])
def test_versions_of_the_format(version: str) -> None:
    assert len(read_state(json.dumps({**state(instance()), "format_version": version}).encode(), "f")) == 1


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        ("", "state.json: the file is empty", SHOW),
        (
            '{"format_version": "1.0",\n  "values": nope}',
            "state.json:2:13: this is not JSON: Expecting value",
            SHOW,
        ),
        ("# aws_eip.web:\nresource", "state.json:1:1: this is not JSON", SHOW),
        ("[" * 100_000, "state.json: this is JSON that Terraform does not write", SHOW),
        ("[]", "state.json: this is not the output of `terraform show -json`", SHOW),
        ({"terraform_version": "1.11.4", "platform": "x"}, "this is not the output of", SHOW),
        ({"format_version": "1.0", "provider_schemas": {}}, "this is not the output of", SHOW),
        ({"format_version": 1, "values": {}}, "this is not the output of", SHOW),
        ({**state(instance()), "format_version": "2.0"}, "the format_version is 2.0", "use a newer enireconcile"),
        (
            {"format_version": "1.2", "planned_values": {}, "prior_state": {}},
            "this is a plan",
            "without the name of",
        ),
        (
            {"version": 4, "serial": 7, "lineage": "x", "resources": []},
            "this is the state as Terraform stores it",
            "run `terraform show -json state.json > state.json`",
        ),
        ({"format_version": "1.0"}, "the state has no resources", "run `terraform show -json` where"),
        (state(), "the state has no resources", "folder and workspace"),
        (state({"address": "aws_eip.web"}), "values.root_module.resources.0.mode: Field required", SHOW),
        ({"format_version": "1.0", "values": []}, "the state has no resources", "folder"),
        ({"format_version": "1.0", "values": "x"}, "values: Input should be", SHOW),
    ],
)
def test_what_is_no_state(content: Any, words: str, hint: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(EnireconcileError) as raised:
        read_state(text.encode(), "state.json")
    assert words in raised.value.message
    assert hint in str(raised.value.hint)


def test_a_stored_state_on_stdin_has_no_name_to_write() -> None:
    text = json.dumps({"version": 4, "lineage": "x", "resources": []})
    with pytest.raises(EnireconcileError) as raised:
        read_state(text.encode(), "stdin", named=False)
    assert raised.value.hint == "run `terraform show -json > state.json`"


def test_what_is_no_text() -> None:
    with pytest.raises(EnireconcileError, match=r"\Astate\.json: this is not JSON: it is no text"):
        read_state(b"PK\xff\xfe\x80", "state.json")
