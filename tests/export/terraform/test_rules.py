"""Rules in Terraform's three spellings, and in both of two states of reading."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.export.terraform.states import EVERYWHERE, SG, group, resource, rules, take

OTHER = "sg-00000000000000002"
WEB = {"protocol": "tcp", "ports": 80, "sources": ["0.0.0.0/0"]}


def ingress(*resources: Any) -> Any:
    """The rules of the group ``web``."""
    return yaml.safe_load(str(take(*resources).text))["security_groups"]["web"]["ingress"]


def old(name: str = "r", **values: Any) -> Any:
    empty = {"cidr_blocks": None, "ipv6_cidr_blocks": None, "prefix_list_ids": None, "self": False}
    rest = {"type": "ingress", "security_group_id": SG, "source_security_group_id": None, "description": ""}
    return resource(f"aws_security_group_rule.{name}", **{**empty, **rest, **values})


def new(name: str = "r", direction: str = "ingress", **values: Any) -> Any:
    empty = dict.fromkeys(
        ["cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_security_group_id", "description"]
    )
    own = {"security_group_id": SG, "from_port": None, "to_port": None}
    return resource(f"aws_vpc_security_group_{direction}_rule.{name}", **{**empty, **own, **values})


@pytest.mark.parametrize(
    "resources",
    [
        (group(ingress=[rules(protocol="tcp", from_port=80, to_port=80, cidr_blocks=["0.0.0.0/0"])]),),
        (group(), old(protocol="tcp", from_port=80, to_port=80, cidr_blocks=["0.0.0.0/0"])),
        (group(), new(ip_protocol="tcp", from_port=80, to_port=80, cidr_ipv4="0.0.0.0/0")),
        (
            group(ingress=[rules(protocol="tcp", from_port=80, to_port=80, cidr_blocks=["0.0.0.0/0"])]),
            old(protocol="6", from_port=80, to_port=80, cidr_blocks=["0.0.0.0/0"]),
            new(ip_protocol="tcp", from_port=80, to_port=80, cidr_ipv4="0.0.0.0/0"),
        ),
    ],
    ids=["inline", "rule", "ingress-rule", "all"],
)
def test_three_spellings_of_one_rule(resources: Any) -> None:
    """The group has the separate ones, too, once Terraform has read it again."""
    assert ingress(*resources) == [WEB]


def test_one_block_with_several_sources() -> None:
    block = rules(
        protocol="tcp",
        from_port=80,
        to_port=90,
        cidr_blocks=["10.0.0.0/8", "192.168.0.0/16"],
        ipv6_cidr_blocks=["2001:DB8::/32"],
        prefix_list_ids=["pl-0123456789abcdef0", "pl-00000000000000001"],
        security_groups=[OTHER, "sg-00000000000000003", "210987654321/sg-00000000000000004"],
        self=True,
        description="several",
    )
    named = resource(
        "data.aws_ec2_managed_prefix_list.x", id="pl-00000000000000001", name="com.amazonaws.us-east-1.s3"
    )
    near = group("data.aws_security_group.near", id="sg-00000000000000003", name="near")
    [item] = ingress(group(ingress=[block]), group("aws_security_group.b", id=OTHER, name="b"), named, near)
    sources = item.pop("sources")
    assert item == {"protocol": "tcp", "ports": "80-90", "description": "several"}
    assert [each for each in sources if isinstance(each, dict)] == [
        {"prefix_list_name": "com.amazonaws.us-east-1.s3"},
        {"group_name": "near"},
    ]
    assert {each for each in sources if isinstance(each, str)} == {
        *("10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32"),
        *("pl-0123456789abcdef0", "b", "self", "210987654321/sg-00000000000000004"),
    }


@pytest.mark.parametrize(
    ("values", "item"),
    [
        ({"protocol": "-1"}, {"protocol": "all"}),
        ({"protocol": "ALL"}, {"protocol": "all"}),
        ({"protocol": "50"}, {"protocol": "esp"}),
        ({"protocol": "112", "from_port": 0, "to_port": 0}, {"protocol": "112"}),
        ({"protocol": "58", "from_port": -1, "to_port": -1}, {"protocol": "icmpv6"}),
        ({"protocol": "icmp", "from_port": -1, "to_port": -1}, {"protocol": "icmp"}),
        ({"protocol": "icmp", "from_port": 8, "to_port": -1}, {"protocol": "icmp", "ports": 8}),
        ({"protocol": "icmp", "from_port": 3, "to_port": 4}, {"protocol": "icmp", "ports": "3/4"}),
        ({"protocol": "udp", "from_port": 0, "to_port": 65535}, {"protocol": "udp"}),
        ({"protocol": "tcp", "from_port": 0, "to_port": 0}, {"protocol": "tcp", "ports": 0}),
    ],
)
def test_protocols_and_ports(values: Any, item: Any) -> None:
    for each in (
        (group(ingress=[rules(cidr_blocks=["10.0.0.0/8"], **values)]),),
        (
            group(),
            new(cidr_ipv4="10.0.0.0/8", ip_protocol=values["protocol"], **{**values, "protocol": None}),
        ),
    ):
        [found] = ingress(*each)
        assert found == {**item, "sources": ["10.0.0.0/8"]}


def test_rules_that_name_groups() -> None:
    """By the separate resources: the group itself, and another one."""
    found = ingress(
        group(),
        group("aws_security_group.b", id=OTHER, name="b"),
        old("self", protocol="-1", from_port=0, to_port=0, self=True, description="the cluster"),
        old("peer", protocol="-1", from_port=0, to_port=0, source_security_group_id=OTHER),
        new("far", ip_protocol="-1", referenced_security_group_id="210987654321/sg-00000000000000004"),
        new("self", ip_protocol="tcp", from_port=22, to_port=22, referenced_security_group_id=SG),
        new("list", ip_protocol="tcp", from_port=22, to_port=22, prefix_list_id="pl-0123456789abcdef0"),
        new("six", ip_protocol="tcp", from_port=22, to_port=22, cidr_ipv6="2001:db8::/32"),
    )
    assert found == [
        {"protocol": "all", "sources": ["210987654321/sg-00000000000000004", "b"]},
        {"protocol": "all", "sources": ["self"], "description": "the cluster"},
        {"protocol": "tcp", "ports": 22, "sources": ["2001:db8::/32", "pl-0123456789abcdef0", "self"]},
    ]


def test_egress() -> None:
    """None means none; what EC2 gives to a new group is left out, as it is not managed then."""

    def egress(*resources: Any) -> Any:
        return yaml.safe_load(str(take(*resources).text))["security_groups"]["web"].get("egress", "left out")

    assert egress(group()) == []
    assert egress(group(egress=[EVERYWHERE])) == "left out"
    assert egress(group(), new(direction="egress", ip_protocol="-1", cidr_ipv4="0.0.0.0/0")) == "left out"
    assert egress(
        group(), old(type="egress", protocol="tcp", from_port=443, to_port=443, cidr_blocks=["10.0.0.0/8"])
    ) == [{"protocol": "tcp", "ports": 443, "destinations": ["10.0.0.0/8"]}]


def test_which_rules_are_taken_over() -> None:
    """Those of groups with a row; those of others stay, and say why."""
    made = take(group(), new(), old(security_group_id=OTHER), resource("aws_vpc_security_group_rules_exclusive.x"))
    assert made.forget == ("aws_security_group.web", "aws_vpc_security_group_ingress_rule.r")
    assert f"stays in Terraform: aws_security_group_rule.r: the security group {OTHER} gets no row" in made.notes
