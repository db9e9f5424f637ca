"""init: what it asks, what it takes, and a first spec that is valid and applies."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from msgspec.structs import asdict

from enireconcile.cli.app import cli, main
from enireconcile.cli.init import Given, answered, first_spec, opening
from enireconcile.regions import REGIONS
from enireconcile.spec import Document, load
from enireconcile.spec.schema import json_schema
from tests.docs.console import Shell, sh_blocks
from tests.harness import Harness
from tests.lab_vpc import lab

NOTHING = Given(None, None, None, None, None, None, None, ())


def made(*args: str) -> str:
    """What init prints."""
    ran = CliRunner().invoke(cli, ["init", "--no-input", *args], standalone_mode=False)
    assert ran.return_value == 0, ran.stderr
    return ran.stdout


def document(text: str) -> Document:
    (spec,) = load(["-"], stdin=lambda: text)
    return spec.document


@pytest.mark.parametrize(
    ("interfaces", "addresses", "place", "open_ports"),
    [
        *itertools.product(
            ("1", "2"),
            ("--elastic-ips", "--no-elastic-ips"),
            ((), ("--vpc", "lab", "--subnet", "lab-a"), ("--vpc", "vpc-12345678", "--subnet", "subnet-12345678")),
            ((), ("--open", "80", "--open", "8000-8010/udp@10.0.0.0/8", "--open", "443@::/0")),
        )
    ],
)
def test_every_answer_makes_a_valid_spec(
    interfaces: str, addresses: str, place: Sequence[str], open_ports: Sequence[str]
) -> None:
    """By the loader, and by the schema that its first line names."""
    text = made("--interfaces", interfaces, addresses, *place, *open_ports)
    spec = document(text)
    assert len(spec.network_interfaces) == len(spec.security_groups) == int(interfaces)
    assert len(spec.elastic_ips) == (int(interfaces) if addresses == "--elastic-ips" else 0)
    assert len(spec.security_groups["web-eth0"].ingress) == len(open_ports) // 2
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    assert text.startswith("# yaml-language-server: $schema=enireconcile.schema.json\n")
    assert [line for line in text.splitlines() if len(line) > 115 or line != line.rstrip()] == []


def test_open_ports_are_on_their_interface() -> None:
    spec = document(made("--interfaces", "2", "--open", "80", "--open", "eth1:22@192.0.2.0/24"))
    rules = {
        name: [(rule.ports, rule.sources) for rule in group.ingress]
        for name, group in spec.security_groups.items()
    }
    assert [len(each) for each in rules.values()] == [1, 1]
    assert "192.0.2.0/24" in str(rules["web-eth1"])
    assert "0.0.0.0/0" not in str(rules["web-eth1"])


@pytest.mark.parametrize("stack", ["sg-x", "pl-1", "eni-12345678", "i-12345678", "a", "a" * 63])
def test_every_name_of_a_stack_makes_valid_names(stack: str) -> None:
    assert document(made("--stack", stack, "--interfaces", "2")).stack == stack


def test_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first zone, too."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    spec = made()
    assert document(spec).region == "eu-central-1"
    assert "{default_for_az: eu-central-1a}" in spec


def test_every_region_that_a_spec_takes() -> None:
    """Also those whose names have another form."""
    for region in REGIONS:
        assert document(made("--region", region)).region == region


def test_a_port_that_is_opened_twice_is_one_rule() -> None:
    given = Given(**{**asdict(NOTHING), "open": [opening("443"), opening("443-443"), opening("80")]})
    assert [each.ports for each in answered(given, asks=False).open] == ["443", "80"]


def test_questions_for_what_is_not_given() -> None:
    """A wrong answer is asked for again; an option is not asked for; the questions are on stderr."""
    answers = "Shop\nshop\neu-west-1a\nlab-a\nlab\nt3\n\n3\n2\nn\n22\n80 22@192.0.2.0/24\n-\n"
    with CliRunner().isolation(input=answers) as (out, err, _):
        got = answered(Given(**{**asdict(NOTHING), "region": "us-east-1"}), asks=True)
        asked = err.getvalue().decode()
        assert out.getvalue() == b""
    assert (got.stack, got.vpc, got.subnet, got.instance_type) == ("shop", "lab", "lab-a", "t3.micro")
    assert (got.interfaces, got.elastic_ips, len(got.open)) == (2, False, 2)
    assert "Region" not in asked
    assert [asked.count(words) for words in ("lower-case", "not an Availability Zone", "try to sign in")] == [
        1,
        1,
        1,
    ]
    assert document(first_spec(got, "shop.yaml")).stack == "shop"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--stack", "Web"), "lower-case"),
        (("--region", "us-east"), "must be a Region"),
        (("--region", "us-eest-1"), "must be a Region"),
        (("--subnet", "lab-a"), "needs --vpc"),
        (("--vpc", "lab"), "needs --subnet"),
        (("--subnet", "us-west-2a", "--region", "us-east-1"), "not an Availability Zone of us-east-1"),
        (("--subnet", "us-west-2-lax-1a", "--region", "us-west-2"), "not an Availability Zone of us-west-2"),
        (("--subnet", 'a"b', "--vpc", "lab"), "the tag Name"),
        (("--open", "22"), "22@192.0.2.0/24"),
        (("--open", "20-30"), "sign in"),
        (("--open", "80@10.0.0.1/8"), "not a CIDR"),
        (("--open", "70000"), "65535"),
        (("--open", "90-80"), "the lower one first"),
        (("--open", "http"), "PORT@CIDR"),
        (("--open", "eth1:80"), "--interfaces 2"),
        (("--interfaces", "3"), "--interfaces"),
        (("--instance-type", "micro"), "t3.micro"),
        (("--instance-type", "-.-"), "does not fit into a spec: must be an instance type, not '-.-'"),
        (("--stack", "null"), "'null' does not fit into a spec: has no value"),
        (("--subnet", "${x}", "--vpc", "lab"), "unknown reference ${x}"),
        (("--subnet", "lab-a", "--vpc", "v" * 300), "at most 256 characters"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], args: Sequence[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--no-input", *args])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (64, "")
    assert words in captured.err


def test_an_opening_has_a_protocol_and_a_source() -> None:
    assert str(opening("53/udp@10.0.0.0/8").source) == "10.0.0.0/8"
    assert (opening("80").protocol, opening("80").source, opening("eth1:80").interface) == ("tcp", "0.0.0.0/0", 1)


def test_a_file_that_exists_is_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Not even one that a link leads to; a new file is written, and stderr says what to do with it."""
    spec, link = tmp_path / "my web.yaml", tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "nothing")

    def init(path: Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["init", "--no-input", "--out", str(path)])
        captured = capsys.readouterr()
        assert captured.out == ""
        return int(ended.value.code or 0), captured.err

    code, told = init(spec)
    assert (code, f"enireconcile plan '{spec}'" in told) == (0, True)
    before = spec.read_bytes()
    code, told = init(spec)
    assert (code, "overwrites nothing" in told, spec.read_bytes()) == (1, True, before)
    assert init(link)[0] == 1
    assert not (tmp_path / "nothing").exists()
    assert "no such file or directory" in init(tmp_path / "no" / "web.yaml")[1].lower()


def test_it_applies_and_is_at_rest(harness: Harness) -> None:
    """In the default VPC, and in one that is selected by its name."""
    lab(harness)
    for text in (
        made("--interfaces", "2", "--open", "80", "--open", "eth1:22@192.0.2.0/24"),
        made("--stack", "lab", "--vpc", "lab", "--subnet", "lab-a"),
    ):
        report = harness.apply(text)
        assert (report.outcome, report.error) == ("converged", None)
        assert harness.plan(text).empty


def test_the_example_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes a spec and its schema, and validates the spec."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    Shell(tmp_path, {}).script(sh_blocks("docs/reference/cli.md", "init")[0])
    assert {path.name for path in tmp_path.iterdir()} == {"web.yaml", "enireconcile.schema.json"}
