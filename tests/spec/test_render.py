"""A document as YAML, and back."""

from __future__ import annotations

import re

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from enireconcile.spec import Document, Instance, SecurityGroup, load
from enireconcile.spec.render import render, write
from enireconcile.spec.schema import json_schema
from tests.planning.worlds import examples
from tests.spec.core import core
from tests.spec.documents import documents
from tests.spec.reading import HEAD, INSTANCE, document, problems
from tests.spec.test_two_enis import TWO_ENIS

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
RELAXED = settings(
    examples(150),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@RELAXED
@given(documents())
def test_what_is_written_is_read_back(wanted: Document) -> None:
    """For any document: the same document after loading, valid under the JSON Schema.

    PyYAML, with its YAML 1.1 rules, reads the same types.
    """
    text = render(wanted)
    assert problems(text) == []
    assert document(text) == wanted
    assert list(VALIDATOR.iter_errors(core(text))) == []
    assert yaml.safe_load(text) == core(text)


def test_it_reads_like_a_file_that_a_person_wrote() -> None:
    """specs/two-enis.yaml is rendered line by line as it is written, without comments and blank lines."""
    (loaded,) = load([str(TWO_ENIS)])
    original = [re.sub("(^| +)# .*", "", line) for line in TWO_ENIS.read_text().splitlines()]
    lines = render(loaded.document).splitlines()
    assert [line for line in lines if line] == [line for line in original if line]


def test_defaults_are_left_out() -> None:
    """A group with only defaults is ``{}``."""
    text = render(Document(version=1, stack="s", security_groups={"a": SecurityGroup()}))
    assert text == "version: 1\nstack: s\n\nsecurity_groups:\n  a: {}\n"


def test_an_empty_egress_is_written() -> None:
    """An empty list differs from an absent one."""
    text = render(Document(version=1, stack="s", security_groups={"a": SecurityGroup(egress=())}))
    assert "egress: []" in text


def test_comments_are_comments() -> None:
    """After the line, or above it where that would be too long; nothing in them ends them."""
    data = {
        "version": 1,
        "stack": "s",
        "instances": {"a": {"adopt": "i-0123456789abcdef0"}, "b": {"adopt": "i-1"}},
    }
    text = write(
        data,
        {
            (): "The first.\nThe second.",
            ("stack",): "x\nregion: nope\x85\u2028y: z",
            ("instances", "a", "adopt"): "below",
            ("instances", "b"): "long " * 22,
            ("instances", "gone"): "of nothing",
        },
    )
    assert text.splitlines() == [
        "# The first.",
        "# The second.",
        "version: 1",
        "stack: s  # x region: nope y: z",
        "",
        "instances:",
        "  a:",
        "    adopt: i-0123456789abcdef0  # below",
        f"  # {'long ' * 21}long",
        "  b: {adopt: i-1}",
    ]
    assert yaml.safe_load(text) == data


def test_defaults_stand_above_the_sections() -> None:
    """As a section of their own."""
    data = {"version": 1, "stack": "s", "defaults": {"security_groups": {"vpc": {"tags": {"Name": "lab"}}}}}
    text = "version: 1\nstack: s\n\ndefaults:\n  security_groups:\n    vpc: {tags: {Name: lab}}\n"
    assert write(data) == text


def test_a_long_rule_goes_over_several_lines() -> None:
    """Long lists are written as blocks."""
    sources = ", ".join(f"10.{number}.0.0/16" for number in range(20))
    text = HEAD + f"security_groups: {{a: {{ingress: [{{protocol: tcp, ports: 80, sources: [{sources}]}}]}}}}\n"
    rendered = render(document(text))
    assert "      - protocol: tcp\n        ports: 80\n        sources:\n          - 10.0.0.0/16\n" in rendered
    assert document(rendered) == document(text)


@pytest.mark.parametrize(
    "user_data",
    [
        "a\nb\n",
        "a\nb",
        "a\n\nb\n",
        "a\tb\n",
        "\ta\nb",
        " a\nb\n",
        "\na\n",
        "a\n\n",
        "a \nb\n",
        "a\r\nb",
        "\0",
        "a\u2028b\n",
        "\n",
    ],
)
def test_user_data_comes_back_byte_by_byte(user_data: str) -> None:
    """As a literal block if it can hold the text exactly, otherwise quoted."""
    wanted = document(INSTANCE.rstrip() + "\n")
    web = Instance(image=wanted.own_instances["web"].image, instance_type="t3.micro", user_data=user_data)
    wanted = wanted.model_copy(update={"instances": {"web": web}})
    assert document(render(wanted)).own_instances["web"].user_data == user_data
