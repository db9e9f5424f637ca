"""The JSON Schema of the spec file, which editors use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from enireconcile.spec.schema import json_schema
from tests.spec.core import core
from tests.spec.reading import GROUP, HEAD, INSTANCE, INTERFACE, RULE, problems
from tests.spec.test_two_enis import TWO_ENIS

SPECS = Path(__file__).parents[2] / "specs"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

GOOD = [
    HEAD,
    HEAD + "account_id: 012345678901\ntags: {Version: 1.10, Count: 3, Open: true}\n",
    HEAD + "elastic_ips: {spare: {}, 1: {}}\n",
    GROUP + "vpc: vpc-12345678\n",
    GROUP + "vpc: {tags: {a: 1}}\n    egress: []\n",
    RULE + '{protocol: 6, ports: "80", sources: [self]}\n',
    RULE + "{protocol: tcp, ports: 80-90, sources: [0.0.0.0/0, '::/0'], description: x}\n",
    RULE + "{protocol: icmp, ports: 3/4, sources: [self]}\n",
    RULE + "{protocol: esp, sources: [{tags: {a: 1}}, {group_name: 1}, {prefix_list_name: x}]}\n",
    RULE + "{protocol: 50, sources: [123456789012/sg-12345678]}\n",
    INTERFACE + "security_groups: [{tags: {a: 1}}, {group_name: default}]\n",
    INTERFACE + "ipv6_addresses: ['2001:db8::1']\n    ipv4_prefixes: [10.0.0.16/28]\n    ipv6_prefix_count: 2\n",
    INTERFACE + "interface_type: efa\n    connection_tracking: {udp_timeout: 30}\n",
    INSTANCE + "user_data: x\n    state: stopped\n    on_change: replace\n",
    INSTANCE + "termination_protection: true\n    metadata_options: {http_tokens: optional}\n",
    HEAD + "instances: {a: {adopt: i-12345678}}\nnetwork_interfaces: {a: {adopt: eni-12345678}}\n",
    INTERFACE + "lifecycle: {prevent_destroy: true, ignore: [attachment]}\n",
    INTERFACE + "private_ip: 10.0.0.10\n    security_groups: [sg-12345678]\n    source_dest_check: false\n",
]

CHECKED = HEAD + "elastic_ips: {a: {}}\nnetwork_interfaces: {b: {subnet: subnet-12345678}}\nchecks: {c: "
GOOD += [
    CHECKED + "{elastic_ip: a, http: {port: 80, path: /, status: 200, host: a.example}, within: 3m}}\n",
    CHECKED + "{network_interface: b, tcp: 22, expect: silent}}\n",
]

BAD = [
    "stack: s\n",
    "version: 1\n",
    "version: 2\nstack: s\n",
    "version: 1\nstack: S\n",
    HEAD + "regoin: x\n",
    CHECKED + "{elastic_ip: a}}\n",
    CHECKED + "{elastic_ip: a, tcp: 1, https: {}}}\n",
    CHECKED + "{elastic_ip: a, network_interface: b, tcp: 1}}\n",
    CHECKED + "{tcp: 1}}\n",
    CHECKED + "{elastic_ip: a, tcp: 1, within: 5}}\n",
    CHECKED + "{elastic_ip: a, http: {path: x}}}\n",
    HEAD + "region: x\n",
    HEAD + "account_id: x\n",
    HEAD + "tags: {'aws:x': y}\n",
    HEAD + "tags: {a: [b]}\n",
    HEAD + "elastic_ips: {a.b: {}}\n",
    HEAD + "elastic_ips: {a: {association: {}}}\n",
    HEAD + "elastic_ips: {a: {association: {network_interface: a, instance: a}}}\n",
    HEAD + "elastic_ips: {a: {public_ipv4_pool: mine}}\n",
    HEAD + "elastic_ips: {a: {network_border_group: x}}\n",
    GROUP + "vpc: main\n",
    GROUP + "vpc: {cidr: 10.0.0.0/8}\n",
    GROUP + "vpc: {tags: {}}\n",
    GROUP + "description: a|b\n",
    RULE + "{protocol: tcp, sources: []}\n",
    RULE + "{protocol: tcp, sources: [{}]}\n",
    RULE + "{protocol: tcp, sources: [{tags: {}}]}\n",
    RULE + "{protocol: tcp, sources: [{tags: {a: b}, group_name: c}]}\n",
    RULE + "{protocol: tcp, sources: [{name: c}]}\n",
    INTERFACE + "security_groups: [{prefix_list_name: c}]\n",
    RULE + "{protocol: tcp, ports: 65536, sources: [self]}\n",
    RULE + "{protocol: tcp, ports: http, sources: [self]}\n",
    INSTANCE + "state: paused\n",
    INSTANCE + "on_change: rebuild\n",
    INSTANCE + "metadata_options: {http_put_response_hop_limit: many}\n",
    INSTANCE + "root_volume: {type: gp4}\n",
    INSTANCE + "volumes: [{size_gib: 1}]\n",
    INSTANCE + "hibernation: 3\n",
    INSTANCE + "user_data: x\n    user_data_file: y\n",
    INTERFACE + "security_groups: []\n",
    INTERFACE + "adopt: i-12345678\n",
    INTERFACE + "lifecycle: {prevent_destroy: yes}\n",
    HEAD + "network_interfaces: {a: {}}\n",
    HEAD + "instances: {a: {external: i-12345678, adopt: i-12345678}}\n",
    INTERFACE + "source_dest_check: yes\n",
    INTERFACE + "ipv6_addresses: '2001:db8::1'\n",
    INTERFACE + "ipv4_prefixes: [10.0.0.16/29]\n",
    INTERFACE + "ipv6_prefixes: ['2001:db8::/64']\n",
    INTERFACE + "interface_type: EFA\n",
    INTERFACE + "connection_tracking: {tcp_timeout: 60}\n",
    RULE + "{protocol: icmp, ports: 3/4/5, sources: [self]}\n",
    INTERFACE + "attachment: {instance: web, device_index: '1'}\n",
    INTERFACE + "attachment: {instance: web, device_index: -1}\n",
    INTERFACE + "attachment: {instance: web}\n",
    INTERFACE + "attachment: {instances: [web], device_index: 1, failover: {force_detach_after: 60}}\n",
    INTERFACE + "attachment: {instances: [web], device_index: 1, failover: {force_detach_after: 0s}}\n",
    INTERFACE.replace("subnet-12345678", "{default_for_az: us-east-1}").rstrip() + "\n",
    INSTANCE.replace("ami-12345678", "{name: x}").rstrip() + "\n",
]


def test_it_is_a_json_schema_without_an_id() -> None:
    """2020-12; it can be written as JSON."""
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema


def _properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in (schema, *schema["$defs"].values()):
        yield from row["properties"].items()


def test_every_field_has_words_for_an_editor() -> None:
    """Every key has a title and a description, and none may be null."""
    for name, about in _properties(json_schema()):
        assert about["title"], name
        assert about["description"], name
        assert "null" not in json.dumps(about), name


@pytest.mark.parametrize("text", [*GOOD, TWO_ENIS.read_text()])
def test_good_specs_pass(text: str) -> None:
    """Specs that the loader accepts are valid under the schema."""
    assert problems(text) == []
    assert list(VALIDATOR.iter_errors(core(text))) == []


@pytest.mark.parametrize("text", BAD)
def test_bad_specs_do_not(text: str) -> None:
    """Both the schema and the loader refuse these specs."""
    assert list(VALIDATOR.iter_errors(core(text)))
    assert problems(text)


def test_user_data_from_a_file_is_known_to_editors() -> None:
    """The models do not have this key, so the schema adds it."""
    assert list(VALIDATOR.iter_errors(core(INSTANCE + "user_data_file: boot.sh\n"))) == []


def test_the_schema_beside_the_specs_is_current() -> None:
    """``enireconcile schema > specs/enireconcile.schema.json`` makes it."""
    assert (SPECS / "enireconcile.schema.json").read_text("utf-8") == json.dumps(json_schema(), indent=2) + "\n"


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_spec_tells_editors_its_schema_and_matches_it(path: Path) -> None:
    """The first line is for the YAML language server, and names a file beside the spec."""
    text = path.read_text("utf-8")
    prefix, _, schema = text.partition("\n")[0].partition("$schema=")
    assert prefix == "# yaml-language-server: "
    VALIDATOR.evolve(schema=json.loads((path.parent / schema).read_text("utf-8"))).validate(yaml.safe_load(text))
