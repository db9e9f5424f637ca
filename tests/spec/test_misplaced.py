"""A key in the wrong place: the problem says of which mapping it is, and where to move it."""

from __future__ import annotations

import pytest

from tests.spec.reading import assert_refused, problems

HEAD = "version: 1\nstack: s\n"
ETH1 = "network_interfaces:\n  web-eth1:\n    subnet: subnet-12345678\n"
GROUP = "security_groups:\n  web:\n    vpc: default\n"
INSTANCE = "instances:\n  web: {image: ami-12345678, instance_type: t3.micro"
FW = "instances: {web: {external: i-12345678}}\n"
AT_0 = "attachment: {instance: web, device_index: 0}"
OF_INTERFACE = "is a key of a network interface"


@pytest.mark.parametrize(
    ("rows", "place", "message", "hint"),
    [
        (
            ETH1 + "  attachment: {instance: web, device_index: 1}\n",
            "6:3 network_interfaces.attachment",
            f"{OF_INTERFACE}, not the name of one",
            "indent it under web-eth1",
        ),
        (
            ETH1 + "  source_dest_check: false\n",
            "6:3 network_interfaces.source_dest_check",
            f"{OF_INTERFACE}, not the name of one",
            "indent it under web-eth1",
        ),
        (
            "network_interfaces:\n  web-eth1:\n    description: x\n  subnet: subnet-12345678\n",
            "6:3 network_interfaces.subnet",
            f"{OF_INTERFACE}, not the name of one",
            "indent it under web-eth1",
        ),
        (
            ETH1 + "attachment: {instance: web, device_index: 1}\n",
            "6:1 attachment",
            "unknown key",
            f"`attachment` {OF_INTERFACE}: indent it under network_interfaces.web-eth1",
        ),
        (
            "attachment: {instance: web, device_index: 1}\n",
            "3:1 attachment",
            "unknown key",
            f"`attachment` {OF_INTERFACE}: indent it under its row in network_interfaces",
        ),
        (
            ETH1 + "    device_index: 1\n",
            "6:5 network_interfaces.web-eth1.device_index",
            "unknown key",
            "`device_index` is a key of `attachment`: indent it under `attachment`",
        ),
        (
            ETH1 + "    attachment: {instance: web, device_index: 1, security_groups: [web]}\n" + GROUP + FW,
            "6:50 network_interfaces.web-eth1.attachment.security_groups",
            "unknown key",
            f"`security_groups` {OF_INTERFACE}: move it out, beside `attachment`",
        ),
        (
            GROUP + "    ingress: [{protocol: all, destinations: [self]}]\n",
            "6:31 security_groups.web.ingress.0.destinations",
            "unknown key",
            "in ingress it is `sources`",
        ),
        (
            GROUP + "    egress: [{protocol: all, source: [self]}]\n",
            "6:30 security_groups.web.egress.0.source",
            "unknown key",
            "in egress it is `destinations`",
        ),
        (
            GROUP + "    ingress: [{protocol: tcp, ports: 22, cidr_blocks: [10.0.0.0/8]}]\n",
            "6:42 security_groups.web.ingress.0.cidr_blocks",
            "unknown key",
            "write `sources: [0.0.0.0/0]`",
        ),
        (
            GROUP + "    ingress: [{protocol: all, sources: [self], vpc: default}]\n",
            "6:48 security_groups.web.ingress.0.vpc",
            "unknown key",
            "`vpc` is a key of a security group: move it out, beside `ingress`",
        ),
        (
            GROUP + "    elastic_ips: {web: {}}\n",
            "6:5 security_groups.web.elastic_ips",
            "unknown key",
            "`elastic_ips` is a section of the file: move it to the left margin",
        ),
        (
            GROUP + "    region: us-east-1\n",
            "6:5 security_groups.web.region",
            "unknown key",
            "`region` is a key of the file: move it to the left margin",
        ),
        (
            f"{INSTANCE}, subnet: subnet-12345678}}\n",
            "4:55 instances.web.subnet",
            "unknown key",
            f"`subnet` {OF_INTERFACE}: write it under an interface in network_interfaces that is attached to the "
            "instance",
        ),
        (
            f"{INSTANCE}, security_groups: [web]}}\n{GROUP}{ETH1}    {AT_0}\n",
            "4:55 instances.web.security_groups",
            "unknown key",
            f"`security_groups` {OF_INTERFACE}: write it under network_interfaces.web-eth1",
        ),
        (
            ETH1 + "    reverse_dns: www.example.com\n",
            "6:5 network_interfaces.web-eth1.reverse_dns",
            "unknown key",
            "`reverse_dns` is a key of an Elastic IP: write it under its row in elastic_ips",
        ),
        (
            GROUP + "    ingress: [{protocol: tcp, from_port: 80, sources: [self]}]\n",
            "6:31 security_groups.web.ingress.0.from_port",
            "unknown key",
            "write one port or one range: `ports: 443` or `ports: 8000-8010`",
        ),
        ("elastic_ip: {web: {}}\n", "3:1 elastic_ip", "unknown key", "did you mean `elastic_ips`?"),
        (
            f"{INSTANCE}, zzz: 1}}\n",
            "4:55 instances.web.zzz",
            "unknown key",
            "`enireconcile schema` prints the keys",
        ),
    ],
)
def test_a_key_in_the_wrong_place(rows: str, place: str, message: str, hint: str) -> None:
    assert_refused(HEAD + rows, place, message, hint)


def test_what_looks_like_a_row_is_one() -> None:
    """Every mistake in it is told."""
    rows = "  attachment:\n    subnet: subnet-12345678\n    devce: 1\n"
    assert [line.split(" | ")[0].split(" ")[1] for line in problems(f"{HEAD}network_interfaces:\n{rows}")] == [
        "network_interfaces.attachment.devce"
    ]


@pytest.mark.parametrize(
    ("rows", "place", "message", "hint"),
    [
        (
            "instances:\n  - name: web\n    image: ami-12345678\n",
            "3:1 instances",
            "must be a mapping, not a list",
            "`web:` instead of `- name: web`",
        ),
        (
            "instances:\n  - web: {image: ami-12345678}\n",
            "3:1 instances",
            "must be a mapping, not a list",
            "remove the `- `: write `web:`",
        ),
        (
            "tags:\n  - {Key: Owner, Value: ops}\n",
            "3:1 tags",
            "must be a mapping, not a list",
            "write `Owner: ops` instead of a key and a value",
        ),
        (
            "instances:\n  - {image: ami-12345678, instance_type: t3.micro}\n",
            "3:1 instances",
            "must be a mapping, not a list",
            "write each row below its name",
        ),
        ("elastic_ips:\n  web:{}\n", "4:3 elastic_ips", "must be a mapping, not 'web:{}'", "`web: {…}`"),
        (
            GROUP + "    ingress: {protocol: all, sources: [self]}\n",
            "6:14 security_groups.web.ingress",
            "must be a list, not a mapping",
            "begin each item with `- `: `- protocol: …`",
        ),
        (
            GROUP + "    ingress: {http: {protocol: all, sources: [self]}}\n",
            "6:14 security_groups.web.ingress",
            "must be a list, not a mapping",
            "write `- ` instead of 'http:'",
        ),
        (
            GROUP + "    ingress: {}\n",
            "6:14 security_groups.web.ingress",
            "must be a list, not a mapping",
            "write `[]` for none",
        ),
    ],
)
def test_a_list_where_names_belong_and_the_reverse(rows: str, place: str, message: str, hint: str) -> None:
    assert_refused(HEAD + rows, place, message, hint)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("protocol: tcp/443", "write `protocol: tcp, ports: 443`"),
        ("protocol: 443/tcp", "write `protocol: tcp, ports: 443`"),
        ("protocol: https", "write `protocol: tcp, ports: 443`"),
        ("protocol: ping", "write `protocol: icmp, ports: 8`"),
        ("protocol: tpc", "did you mean `tcp`?"),
    ],
)
def test_a_protocol(written: str, hint: str) -> None:
    rule = f"    ingress: [{{{written}, sources: [self]}}]\n"
    assert_refused(HEAD + GROUP + rule, "6:26 security_groups.web.ingress.0.protocol", "is not a protocol", hint)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("https", "write 443"),
        ("80-", "write 80, or 80-65535 for this port and all above"),
        ("-1024", "write 0-1024"),
        ("80:90", "write 80-90"),
        ("80 - 90", "write 80-90"),
        ("tcp/443", "write `protocol: tcp, ports: 443`"),
        ('"80,443"', "write a rule for each"),
        ("0123", "write 123; YAML 1.1"),
        ("any", "leave `ports` out for all ports"),
        ("web", 'write 80 or "8000-8010"'),
    ],
)
def test_ports(written: str, hint: str) -> None:
    rule = f"    ingress: [{{protocol: tcp, ports: {written}, sources: [self]}}]\n"
    assert_refused(HEAD + GROUP + rule, "6:38 security_groups.web.ingress.0.ports", "must be a port or", hint)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("12345678901", 'write "012345678901", in quotes'),
        ("1.23457E+11", "write the 12 digits in quotes"),
        ("1234-5678-9012", 'write "123456789012"'),
        ("prod", "without dashes"),
    ],
)
def test_an_account_id(written: str, hint: str) -> None:
    text = f"{HEAD}account_id: {written}\n"
    assert_refused(text, "3:13 account_id", "must be the 12 digits of an account id", hint)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("us-east-1a", "write {default_for_az: us-east-1a}"),
        ("10.0.0.0/24", "write {cidr: 10.0.0.0/24}"),
        ("lab-a", "write {tags: {Name: lab-a}} for a Name tag, else subnet-0123456789abcdef0"),
    ],
)
def test_a_subnet_that_is_no_id(written: str, hint: str) -> None:
    text = f"{HEAD}network_interfaces:\n  a: {{subnet: {written}}}\n"
    assert_refused(text, "4:15 network_interfaces.a.subnet", "is not a subnet id", hint)


@pytest.mark.parametrize("status", ["2xx", '"200,301"', "200-299"])
def test_a_status(status: str) -> None:
    text = f"{HEAD}elastic_ips: {{w: {{}}}}\nchecks:\n  page: {{elastic_ip: w, http: {{status: {status}}}}}\n"
    assert_refused(text, "5:40 checks.page.http.status", "must be one HTTP status", "for example 200")


def test_thousands_of_unknown_keys_are_told_in_no_time() -> None:
    """The place of the first ones is looked up."""
    text = HEAD + "".join(f"attachment{n}: 1\n" for n in range(5000)) + "attachment: 1\n"
    found = problems(text)
    assert len(found) == 5001
    assert found[-1].startswith("5003:1 attachment | unknown key |")


def test_a_long_region_is_cut() -> None:
    [found] = problems(f"{HEAD}region: {'x' * 5000}\n")
    assert "for example us-east-1" in found
    assert len(found) < 200
