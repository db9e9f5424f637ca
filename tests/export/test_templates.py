"""Rows that are alike become templates; the file that has them means the same, and is shorter."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enireconcile.export.gather import gathered
from enireconcile.export.templates import folded
from enireconcile.spec import Document
from enireconcile.spec.render import plain, write
from enireconcile.spec.schema import json_schema
from tests.planning.worlds import examples
from tests.spec.core import core
from tests.spec.documents import TRAPS, documents
from tests.spec.reading import document, problems

HEAD: dict[str, Any] = {"version": 1, "stack": "s", "region": "us-east-1"}
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
IMAGE = "ami-0123456789abcdef0"


def hosts(names: list[str], legs: list[str], *, adopt: bool = False, eips: bool = True) -> dict[str, Any]:
    """Hosts with an interface for each leg, and an Elastic IP each."""
    data: dict[str, Any] = {**HEAD, "instances": {}, "network_interfaces": {}, "elastic_ips": {}}
    for number, host in enumerate(names):
        taken = {"adopt": f"i-{number:017x}"} if adopt else {}
        data["instances"][host] = {**taken, "image": IMAGE, "instance_type": "m5.large"}
        for index, leg in enumerate(legs):
            taken = {"adopt": f"eni-{number * 10 + index:017x}"} if adopt else {}
            data["network_interfaces"][f"{host}-{leg}"] = {
                **taken,
                "subnet": {"tags": {"Name": f"net-{leg}"}},
                "private_ip": f"10.0.{index}.{number + 10}",
                "attachment": {"instance": host, "device_index": index},
            }
        if eips:
            taken = {"adopt": f"eipalloc-{number:017x}"} if adopt else {}
            data["elastic_ips"][host] = {**taken, "association": {"network_interface": f"{host}-{legs[0]}"}}
    return data if eips else {key: value for key, value in data.items() if key != "elastic_ips"}


def read(data: dict[str, Any]) -> Document:
    text = write(data)
    assert problems(text) == []
    return document(text)


def same(data: dict[str, Any]) -> dict[str, Any]:
    """The folded file, which is read as the same document, is valid under the JSON Schema, and is no longer."""
    made = folded(data, gathered).data
    assert read(made) == read(data)
    assert list(VALIDATOR.iter_errors(core(write(gathered(made))))) == []
    assert write(gathered(made)).count("\n") <= write(gathered(data)).count("\n")
    return made


# ---- as a person would write it


def test_one_mapping_serves_the_sections() -> None:
    """The text for three firewalls with two legs each."""
    made = same(hosts(["fw-a", "fw-b", "fw-c"], ["outside", "inside"]))
    assert (
        write(gathered(made))
        == f"""\
version: 1
stack: s
region: us-east-1

variables:
  fw:
    a: {{outside: 10.0.0.10, inside: 10.0.1.10}}
    b: {{outside: 10.0.0.11, inside: 10.0.1.11}}
    c: {{outside: 10.0.0.12, inside: 10.0.1.12}}

instances:
  "fw-${{each.key}}":
    for_each: ${{var.fw}}
    image: {IMAGE}
    instance_type: m5.large

network_interfaces:
  "fw-${{each.key}}-outside":
    for_each: ${{var.fw}}
    subnet: {{tags: {{Name: net-outside}}}}
    private_ip: ${{each.value.outside}}
    attachment: {{instance: "fw-${{each.key}}", device_index: 0}}
  "fw-${{each.key}}-inside":
    for_each: ${{var.fw}}
    subnet: {{tags: {{Name: net-inside}}}}
    private_ip: ${{each.value.inside}}
    attachment: {{instance: "fw-${{each.key}}", device_index: 1}}

elastic_ips:
  "fw-${{each.key}}":
    for_each: ${{var.fw}}
    association: {{network_interface: "fw-${{each.key}}-outside"}}
"""
    )


def test_adopted_rows_name_their_ids_in_the_elements() -> None:
    """A template with one field of its own has it under its label; one with several, a mapping."""
    made = same(hosts(["fw-a", "fw-b", "fw-c", "fw-d"], ["outside", "inside"], adopt=True))
    assert made["variables"]["fw"]["b"] == {
        "instance": "i-00000000000000001",
        "outside": {"adopt": "eni-0000000000000000a", "private_ip": "10.0.0.11"},
        "inside": {"adopt": "eni-0000000000000000b", "private_ip": "10.0.1.11"},
        "elastic_ip": "eipalloc-00000000000000001",
    }
    assert made["instances"]["fw-${each.key}"]["adopt"] == "${each.value.instance}"
    assert made["network_interfaces"]["fw-${each.key}-inside"]["adopt"] == "${each.value.inside.adopt}"


def test_labels_are_kinds_where_names_end_alike() -> None:
    """An Elastic IP without a Name is called as its interface."""
    data = hosts([f"web-{number}" for number in range(1, 6)], ["eth0"], adopt=True)
    data["elastic_ips"] = {f"{name}-eth0": row for name, row in data["elastic_ips"].items()}
    made = same(data)
    assert made["variables"]["web"]["2"] == {
        "instance": "i-00000000000000001",
        "network_interface": "eni-0000000000000000a",
        "private_ip": "10.0.0.11",
        "elastic_ip": "eipalloc-00000000000000001",
    }


def test_a_list_of_names() -> None:
    """Names that have nothing in common are keys as they are; without anything else, they are a list."""
    data = hosts(["web", "mail", "db", "cache"], ["eth0"], eips=False)
    for row in data["network_interfaces"].values():
        del row["private_ip"]
    made = same(data)
    assert made["variables"] == {"instances": ["web", "mail", "db", "cache"]}
    assert [*made["instances"]] == ["${each.key}"]
    assert [*made["network_interfaces"]] == ["${each.key}-eth0"]


def test_numbers_are_keys_and_may_be_parts_of_addresses() -> None:
    """Also where other numbers are the same by chance: m5.large is none of host 5's."""
    data = hosts([f"zk{number}" for number in range(1, 7)], ["eth0"], eips=False)
    for number, row in enumerate(data["network_interfaces"].values(), 1):
        row["private_ip"] = f"10.0.0.{100 + number}"
    made = same(data)
    assert made["variables"]["zk"] == {str(number): f"10.0.0.{100 + number}" for number in range(1, 7)}
    for number, row in enumerate(data["network_interfaces"].values(), 1):
        row["private_ip"] = f"10.0.0.{number}"
    made = same(data)
    assert made["variables"]["zk"] == ["1", "2", "3", "4", "5", "6"]
    assert made["network_interfaces"]["zk${each.key}-eth0"]["private_ip"] == "10.0.0.${each.key}"


def test_what_rows_share_has_one_field() -> None:
    """The subnet of an element, which both legs are in."""
    data = hosts([f"fw-{key}" for key in "abcde"], ["outside", "inside"])
    for number, row in enumerate(data["network_interfaces"].values()):
        row["subnet"] = {"tags": {"Name": f"zone-{number // 2 % 2}"}}
    made = same(data)
    assert made["variables"]["fw"]["b"] == {"subnet": "zone-1", "outside": "10.0.0.11", "inside": "10.0.1.11"}
    for leg in ("outside", "inside"):
        row = made["network_interfaces"][f"fw-${{each.key}}-{leg}"]
        assert row["subnet"] == {"tags": {"Name": "${each.value.subnet}"}}


def test_zones_are_called_so() -> None:
    data = hosts([f"zk-{key}" for key in "abcde"], ["eth0"], eips=False)
    for number, row in enumerate(data["network_interfaces"].values()):
        row["subnet"] = {"default_for_az": f"us-east-1{'aab'[number % 3]}"}
    made = same(data)
    assert made["variables"]["zk"]["c"] == {"zone": "us-east-1b", "private_ip": "10.0.0.12"}
    assert made["network_interfaces"]["zk-${each.key}-eth0"]["subnet"] == {"default_for_az": "${each.value.zone}"}


def test_selectors_of_several_kinds_are_whole_values() -> None:
    data = hosts([f"fw-{key}" for key in "abcde"], ["outside"])
    data["network_interfaces"]["fw-b-outside"]["subnet"] = "subnet-0123456789abcdef0"
    made = same(data)
    assert made["network_interfaces"]["fw-${each.key}-outside"]["subnet"].startswith("${each.value.")
    subnet = read(made).network_interfaces["fw-b-outside"].subnet
    assert subnet is not None
    assert subnet.id == "subnet-0123456789abcdef0"


def test_lists_of_addresses_may_have_any_length() -> None:
    data = hosts([f"fw-{key}" for key in "abcd"], ["outside"])
    for number, row in enumerate(data["network_interfaces"].values()):
        row["secondary_private_ips"] = [f"10.0.0.{100 + 10 * number + each}" for each in range(number % 2 + 1)]
    made = same(data)
    reference = made["network_interfaces"]["fw-${each.key}-outside"]["secondary_private_ips"]
    assert reference.startswith("${each.value.")


def test_references_that_are_none_stay_so() -> None:
    """In tags that differ, `${…}` and `$` before a key are the text that they are."""
    data = hosts([f"fw-{key}" for key in "abcde"], ["outside"])
    for key, row in zip("abcde", data["instances"].values(), strict=True):
        row["tags"] = {"Name": f"$${{var.{key * 2}}} cost$$${{", "Cost": f"${key}", "Path": f"$${{{key}}}"}
    made = folded(data, gathered).data
    assert read(made) == read(data)
    for row in data["instances"].values():
        del row["tags"]["Cost"]
    made = same(data)
    assert made["instances"]["fw-${each.key}"]["tags"] == {
        "Name": "${each.value.name}",
        "Path": "$${${each.key}}",
    }


# ---- what stays as rows


def test_two_rows_and_rows_that_differ_stay() -> None:
    two = hosts(["fw-a", "fw-b"], ["outside", "inside"])
    assert folded(two, gathered).data == two
    unlike = hosts(["fw-a", "fw-b", "fw-c"], ["outside"])
    for kind, row in zip(("m5.large", "m5.xlarge", "t3.micro"), unlike["instances"].values(), strict=True):
        row["instance_type"] = kind
    assert "for_each" not in str(folded(unlike, gathered).data["instances"])


def test_the_odd_one_out_stays() -> None:
    """A host of another type, with its interface and address, beside the template of the others."""
    data = hosts([f"fw-{key}" for key in "abcdef"], ["outside"])
    data["instances"]["fw-c"]["instance_type"] = "m5.4xlarge"
    made = same(data)
    assert sorted(made["instances"]) == ["fw-${each.key}", "fw-c"]
    assert [*made["variables"]["fw"]] == ["a", "b", "d", "e", "f"]


def test_no_template_that_saves_little() -> None:
    """Three Elastic IPs of one line each are read faster than a template of three lines and its elements."""
    data = {**HEAD, "elastic_ips": {f"spare-{number}": {} for number in range(3)}}
    assert folded(data, gathered).data == data


def test_what_only_begins_with_names_of_other_rows_stays() -> None:
    """Interfaces of hosts that have nothing in common: their names are lists of those of rows."""
    data = hosts(["web", "db", "mail"], ["eth0"], eips=False)
    for number, row in enumerate(data["instances"].values()):
        row["instance_type"] = f"m{number + 5}.large"
    assert folded(data, gathered).data == data


def test_groups_of_hosts_have_mappings_of_their_own() -> None:
    """The same numbers do not make one of what has nothing to do with each other."""
    names = [f"{role}-{number}" for role in ("web", "db") for number in range(5)]
    data = hosts(names, ["eth0"])
    for name, row in data["instances"].items():
        row["instance_type"] = "r5.large" if name.startswith("db") else "m5.large"
    made = same(data)
    assert sorted(made["variables"]) == ["db", "web"]
    assert sorted(made["instances"]) == ["db-${each.key}", "web-${each.key}"]


def test_names_outlive_their_templates() -> None:
    """Where other rows name the folded ones, and where a name is that of a variable already."""
    data = hosts([f"fw-{key}" for key in "abcd"], ["outside"])
    data["network_interfaces"]["service"] = {
        "subnet": "subnet-0123456789abcdef0",
        "attachment": {"instances": ["fw-a", "fw-b"], "device_index": 1, "failover": {"health": "none"}},
    }
    assert "service" in same(data)["network_interfaces"]


def test_origins_tell_where_rows_went() -> None:
    made = folded(hosts([f"fw-{key}" for key in "abc"], ["outside", "inside"]), gathered)
    origin = made.origins["network_interfaces", "fw-b-outside"]
    assert (origin.template, origin.element) == ("fw-${each.key}-outside", ("variables", "fw", "b"))


# ---- whatever the account is like

KEYS = st.one_of(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.sampled_from(TRAPS), st.integers(0, 20).map(str))
KEY_LISTS = st.lists(KEYS.filter(lambda key: key.isalnum()), min_size=3, max_size=8, unique=True)
CHANGES = st.sampled_from(
    [
        ("instances", "instance_type", "t3.micro"),
        ("instances", "tags", {"Role": "$${x} a-1"}),
        ("network_interfaces", "tags", {"Name": "$${each.key}", "Cost": "$1"}),
        ("instances", "monitoring", True),
        ("network_interfaces", "description", "outside of a-1"),
        ("network_interfaces", "source_dest_check", False),
        ("network_interfaces", "secondary_private_ips", ["10.0.9.1"]),
        ("network_interfaces", "subnet", "subnet-0123456789abcdef0"),
        ("network_interfaces", "lifecycle", {"ignore": ["attachment"]}),
        ("elastic_ips", "tags", {"Name": "1"}),
        ("elastic_ips", "reverse_dns", "a.example.com"),
    ]
)


@st.composite
def estates(draw: st.DrawFn) -> dict[str, Any]:
    """Hosts that are alike, some of them changed in something."""
    pattern = draw(st.sampled_from(["{}", "fw-{}", "fw{}", "{}-fw", "a-{}-1", "h_{}"]))
    names = list(dict.fromkeys(pattern.format(key) for key in draw(KEY_LISTS)))
    data = hosts(
        names,
        draw(st.lists(st.sampled_from(["a", "eth0", "outside", "1"]), min_size=1, max_size=3, unique=True)),
        adopt=draw(st.booleans()),
        eips=draw(st.booleans()),
    )
    if draw(st.booleans()):
        text = draw(st.sampled_from(["{}", "host {}", "cost${}", "$${{{}}}", "$${{each.key}} {}", "{} {}"]))
        for section in draw(st.sets(st.sampled_from(["instances", "network_interfaces"]), min_size=1)):
            for name, row in data[section].items():
                row["tags"] = {"Name": text.format(name, name), "Host": text.format(name[-1], name)}
    for section, key, value in draw(st.lists(CHANGES, max_size=6)):
        for name in data.get(section, ()):
            if draw(st.booleans()):
                data[section][name][key] = value
    return data


@settings(examples(60))
@given(estates())
def test_the_document_stays_the_same(data: dict[str, Any]) -> None:
    assume(not problems(write(data)))
    same(data)


@settings(examples(40))
@given(documents())
def test_any_document_stays_the_same(wanted: Document) -> None:
    same(plain(wanted))
