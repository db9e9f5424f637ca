"""Valid values and their normal form."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from enireconcile.spec import (
    Attachment,
    Failover,
    ForeignSelector,
    Image,
    IngressRule,
    NetworkInterface,
    Peer,
    Ports,
    SecurityGroup,
    Selector,
)
from tests.spec.reading import GROUP, HEAD, INSTANCE, INTERFACE, RULE, document

RULES: list[tuple[str, Any]] = [
    # protocol and ports as written, what they become
    ("protocol: tcp, ports: 80", ("tcp", Ports(first=80, last=80))),
    ('protocol: tcp, ports: "80"', ("tcp", Ports(first=80, last=80))),
    ("protocol: TCP, ports: 8000-8010", ("tcp", Ports(first=8000, last=8010))),
    ('protocol: udp, ports: "0-65535"', ("udp", Ports(first=0, last=65535))),
    ("protocol: tcp", ("tcp", None)),
    ("protocol: 6", ("tcp", None)),
    ("protocol: '17'", ("udp", None)),
    ("protocol: 1, ports: 8", ("icmp", Ports(first=8, last=8))),
    ("protocol: icmp", ("icmp", None)),
    ("protocol: icmp, ports: 3/4", ("icmp", Ports(first=3, last=3, code=4))),
    ("protocol: icmpv6, ports: '128/0'", ("icmpv6", Ports(first=128, last=128, code=0))),
    ("protocol: 58", ("icmpv6", None)),
    ("protocol: all", ("-1", None)),
    ("protocol: -1", ("-1", None)),
    ("protocol: 50", ("esp", None)),
    ("protocol: AH", ("ah", None)),
    ("protocol: gre", ("gre", None)),
    ("protocol: 132", ("132", None)),
]


@pytest.mark.parametrize(("written", "expected"), RULES)
def test_protocols_and_ports(written: str, expected: tuple[str, Ports | None]) -> None:
    """A name if the protocol has one, -1 for all, otherwise the number."""
    (rule,) = document(RULE + f"{{{written}, sources: [self]}}\n").security_groups["a"].ingress
    assert (rule.protocol, rule.ports) == expected


PEERS = [
    # a source as written, what it becomes
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("10.1.2.3/32", "10.1.2.3/32"),
    ("'::/0'", "::/0"),
    ("'2001:0DB8:0:0::/64'", "2001:db8::/64"),
    ("sg-0123456789abcdef0", "sg-0123456789abcdef0"),
    ("pl-12345678", "pl-12345678"),
    ("self", "self"),
    ("a", "a"),
    ("123456789012/sg-12345678", "123456789012/sg-12345678"),
    ("{tags: {Name: ops, 'aws:x': 1.10}}", ForeignSelector(tags={"Name": "ops", "aws:x": "1.10"})),
    ("{group_name: 012}", ForeignSelector(group_name="012")),
    (
        "{prefix_list_name: com.amazonaws.us-east-1.s3}",
        ForeignSelector(prefix_list_name="com.amazonaws.us-east-1.s3"),
    ),
]


@pytest.mark.parametrize(("written", "expected"), PEERS)
def test_sources(written: str, expected: Peer) -> None:
    """IPv6 is compressed and lower case; everything else stays as written."""
    (rule,) = document(RULE + f"{{protocol: tcp, sources: [{written}]}}\n").security_groups["a"].ingress
    assert rule.sources == (expected,)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{tags: {Name: ops}}", ForeignSelector(tags={"Name": "ops"})),
        ("{group_name: default}", ForeignSelector(group_name="default")),
    ],
)
def test_groups_of_an_interface_by_tags_and_name(written: str, expected: Peer) -> None:
    (row,) = document(INTERFACE + f"security_groups: [sg-12345678, {written}]\n").network_interfaces.values()
    assert row.security_groups == ("sg-12345678", expected)


@pytest.mark.parametrize(
    "fields", [{}, {"tags": {"a": "b"}, "group_name": "c"}, {"group_name": "c", "prefix_list_name": "d"}]
)
def test_a_selector_in_python_has_one_field(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of tags, group_name, prefix_list_name"):
        ForeignSelector(**fields)


def test_an_interface_built_in_python_takes_no_prefix_list() -> None:
    with pytest.raises(ValidationError, match="is allowed only in rules"):
        NetworkInterface(security_groups=(ForeignSelector(prefix_list_name="x"),))


VPCS = [
    ("default", Selector(default=True)),
    ("vpc-0123456789abcdef0", Selector(id="vpc-0123456789abcdef0")),
    ("{cidr: 10.0.0.0/16}", Selector(cidr="10.0.0.0/16")),
    ("{tags: {Name: lab, 'aws:cloudformation:stack-name': x}}", None),
]


@pytest.mark.parametrize(("written", "expected"), VPCS)
def test_ways_to_point_at_a_vpc(written: str, expected: Selector | None) -> None:
    """Tags in a selector may have the prefix aws:, which cannot be set."""
    expected = expected or Selector(tags={"Name": "lab", "aws:cloudformation:stack-name": "x"})
    assert document(GROUP + f"vpc: {written}\n").security_groups["a"].vpc == expected


SUBNETS = [
    ("subnet-12345678", Selector(id="subnet-12345678")),
    ("{cidr: 10.0.0.0/24}", Selector(cidr="10.0.0.0/24")),
    ("{tags: {Name: lab-a}}", Selector(tags={"Name": "lab-a"})),
    ("{default_for_az: us-gov-west-1a}", Selector(default_for_az="us-gov-west-1a")),
]


@pytest.mark.parametrize(("written", "expected"), SUBNETS)
def test_ways_to_point_at_a_subnet(written: str, expected: Selector) -> None:
    """Exactly one field of the selector is set, and ``kind`` names it."""
    (interface,) = document(
        INTERFACE.replace("subnet-12345678", written).rstrip() + "\n"
    ).network_interfaces.values()
    assert interface.subnet == expected
    assert getattr(interface.subnet, interface.subnet.kind) is not None


IMAGES = [
    ("ami-12345678", Image(id="ami-12345678")),
    ("{ssm: /aws/service/x/y}", Image(ssm="/aws/service/x/y")),
    ('{name: "al2023-ami-2023*", owner: amazon}', Image(name="al2023-ami-2023*", owner="amazon")),
    ("{name: mine, owner: 012345678901}", Image(name="mine", owner="012345678901")),
]


@pytest.mark.parametrize(("written", "expected"), IMAGES)
def test_ways_to_point_at_an_image(written: str, expected: Image) -> None:
    """An account id keeps its leading zero."""
    assert (
        document(INSTANCE.replace("ami-12345678", written).rstrip() + "\n").own_instances["web"].image == expected
    )


def test_what_is_left_out_of_a_group() -> None:
    """No inbound rules, and egress is not managed."""
    assert document(HEAD + "security_groups: {a: {}}\n").security_groups["a"] == SecurityGroup(
        group_name=None,
        description="Managed by enireconcile",
        vpc=Selector(default=True),
        ingress=(),
        egress=None,
        tags={},
    )


def test_an_empty_egress_differs_from_an_absent_one() -> None:
    """An empty list allows no outbound traffic."""
    assert document(GROUP + "egress: []\n").security_groups["a"].egress == ()


def test_what_is_left_out_of_an_instance() -> None:
    """It runs, and changes that need a restart or a replacement are refused."""
    instance = document(INSTANCE.rstrip() + "\n").own_instances["web"]
    assert (instance.state, instance.on_change, instance.user_data, instance.tags) == (
        "running",
        "refuse",
        None,
        {},
    )
    assert (instance.key_name, instance.iam_instance_profile) == (None, None)


def test_what_is_left_out_of_an_interface() -> None:
    """EC2's defaults; without groups, the VPC's default group."""
    assert document(INTERFACE.rstrip() + "\n").network_interfaces["eth0"] == NetworkInterface(
        subnet=Selector(id="subnet-12345678"),
        security_groups=None,
        private_ip=None,
        description="",
        source_dest_check=True,
        attachment=None,
        tags={},
    )


def test_what_is_left_out_of_an_attachment() -> None:
    """Card 0, and the interface is not deleted with its instance."""
    text = INSTANCE.rstrip() + "\n"
    assert document(text).network_interfaces["eth0"].attachment == Attachment(
        instance="web", device_index=0, network_card_index=0, delete_on_termination=False
    )


@pytest.mark.parametrize(
    ("written", "seconds"), [("60s", 60), ("90s", 90), ("2m", 120), ("1h", 3600), ("1s", 1), ('"60s"', 60)]
)
def test_how_long_a_detach_may_hang(written: str, seconds: int) -> None:
    """Seconds, minutes or hours; equal durations have the same normal form."""
    attachment = f"{{instances: [web], device_index: 1, failover: {{force_detach_after: {written}}}}}"
    text = INSTANCE.replace("}}}", f"}}}}, eth1: {{subnet: subnet-12345678, attachment: {attachment}}}}}").rstrip()
    found = document(text + "\n").network_interfaces["eth1"].attachment
    assert found is not None
    assert found.failover == Failover(force_detach_after=f"{seconds}s")
    assert found.failover.force_detach_seconds == seconds


def test_a_detach_is_not_forced_by_default() -> None:
    """Without force_detach_after there is no time limit."""
    assert Failover().force_detach_seconds is None


@pytest.mark.parametrize("profile", ["web", "arn:aws:iam::123456789012:instance-profile/team/web"])
def test_an_instance_profile_by_name_or_arn(profile: str) -> None:
    """EC2 accepts both."""
    text = INSTANCE + f"iam_instance_profile: {profile}\n"
    assert document(text).own_instances["web"].iam_instance_profile == profile


@pytest.mark.parametrize(("count", "unit"), [(16384, "x"), (8192, "é")])
def test_user_data_up_to_16_kib(count: int, unit: str) -> None:
    """The limit is in bytes, not in characters."""
    assert document(INSTANCE + f"user_data: {unit * count}\n").own_instances["web"].user_data == unit * count


def test_sixteen_groups_on_an_interface() -> None:
    """More than the default quota of 5 is valid, because the account's quota may be higher."""
    groups = ", ".join(f"sg-{n:08x}" for n in range(16))
    interface = document(INTERFACE + f"security_groups: [{groups}]\n").network_interfaces["eth0"]
    assert interface.security_groups is not None
    assert len(interface.security_groups) == 16


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("www.example.com", "www.example.com"),
        ("www.example.com.", "www.example.com"),
        ("WWW.Example.COM", "www.example.com"),
        ("a-1.xn--wb-bja.example", "a-1.xn--wb-bja.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        (f"{'a' * 63}.example", f"{'a' * 63}.example"),
        ('""', ""),
    ],
)
def test_names_for_reverse_dns(written: str, name: str) -> None:
    """Case and a trailing dot make no difference; an empty name means none."""
    assert (
        document(HEAD + f"elastic_ips: {{a: {{reverse_dns: {written}}}}}\n").elastic_ips["a"].reverse_dns == name
    )


def test_what_is_left_out_of_an_address() -> None:
    """No attribute is managed except the association, which is none."""
    row = document(HEAD + "elastic_ips: {a: {}}\n").elastic_ips["a"]
    assert (row.association, row.reverse_dns, row.address) == (None, None, None)
    assert (row.public_ipv4_pool, row.network_border_group) == (None, None)


@pytest.mark.parametrize("address", ["198.51.100.7", "172.32.0.1", "172.15.255.255", "11.0.0.1", "192.169.0.1"])
def test_public_addresses(address: str) -> None:
    """The addresses right outside the private ranges."""
    assert document(HEAD + f"elastic_ips: {{a: {{address: {address}}}}}\n").elastic_ips["a"].address == address


def test_rows_can_be_built_in_python() -> None:
    """The models check values built in Python, too."""
    rule = IngressRule(protocol="tcp", ports=Ports(first=1, last=2), sources=("self",))
    assert SecurityGroup(ingress=(rule,)).ingress == (rule,)
    with pytest.raises(ValidationError, match="exactly one of"):
        Selector()
    with pytest.raises(ValidationError, match="exactly one of"):
        Selector(id="vpc-12345678", default=True)
    with pytest.raises(ValidationError, match="go together"):
        Image(name="x")
    with pytest.raises(ValidationError, match="exactly one of id, ssm, name"):
        Image()
    with pytest.raises(ValidationError, match="cannot be selected by default"):
        NetworkInterface(subnet=Selector(default=True))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(rule, "protocol", "udp")  # noqa: B010 (mypy knows it too)


def test_equal_selectors_have_equal_keys() -> None:
    """The order of tags makes no difference."""
    first, second = Selector(tags={"a": "1", "b": "2"}), Selector(tags={"b": "2", "a": "1"})
    assert (first == second, first.key == second.key) == (True, True)
    assert first.key != Selector(tags={"a": "1"}).key
