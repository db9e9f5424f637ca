"""All mistakes of a file are reported at once, and none that only follows from another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.spec import load
from tests.spec.reading import HEAD, INSTANCE, problems

WEB = "instances: {web: {image: ami-12345678, instance_type: t3.micro}}\n"


def told(text: str) -> list[str]:
    """The paths of all problems and their messages, in the order of the file."""
    return [" ".join(line.split(" | ")[:2]).split(" ", 1)[1] for line in problems(HEAD + text)]


BESIDE = {
    "references in a row with an unknown key": (
        "network_interfaces: {n: {subnet: subnet-12345678, bogus: 1, security_groups: [nope], "
        "attachment: {instance: gone, device_index: 1}}}",
        [
            "network_interfaces.n.bogus unknown key",
            "network_interfaces.n.security_groups.0 there is no security group 'nope' in this spec",
            "network_interfaces.n.attachment.instance there is no instance 'gone' in this spec",
        ],
    ),
    "references in a mapping and a list with a wrong value": (
        "network_interfaces:\n"
        "  n:\n"
        "    subnet: subnet-12345678\n"
        "    security_groups: [sg-x, nope, []]\n"
        "    attachment: {instance: gone, device_index: x}\n",
        [
            "network_interfaces.n.security_groups.0 'sg-x' is not a security group id",
            "network_interfaces.n.security_groups.1 there is no security group 'nope' in this spec",
            "network_interfaces.n.security_groups.2 must be text, not a list",
            "network_interfaces.n.attachment.instance there is no instance 'gone' in this spec",
            "network_interfaces.n.attachment.device_index must be a whole number, not 'x'",
        ],
    ),
    "a reference in another rule, and beside a wrong source": (
        "security_groups:\n"
        "  a:\n"
        "    ingress:\n"
        "      - {protocol: tcp, ports: 22x, sources: [self]}\n"
        "      - {protocol: tcp, ports: 80, sources: [gone, 10.0.0.0/33]}\n",
        [
            "security_groups.a.ingress.0.ports must be a port or a range of ports, not '22x'",
            "security_groups.a.ingress.1.sources.0 there is no security group 'gone' in this spec",
            "security_groups.a.ingress.1.sources.1 '10.0.0.0/33' is not a valid CIDR",
        ],
    ),
    "the same rule twice, after a wrong one": (
        "security_groups:\n"
        "  a:\n"
        "    ingress:\n"
        "      - {protocol: tcp, ports: 22x, sources: [self]}\n"
        "      - {protocol: tcp, ports: 80, sources: [self]}\n"
        "      - {protocol: tcp, ports: 80, sources: [self]}\n",
        [
            "security_groups.a.ingress.0.ports must be a port or a range of ports, not '22x'",
            "security_groups.a.ingress.2.sources.0 the same rule as security_groups.a.ingress.1.sources.0",
        ],
    ),
    "the same route and an address of another row, after wrong ones": (
        "network_interfaces:\n"
        "  a: {subnet: {cidr: 10.0.0.0/24}, private_ip: 10.0.0.9}\n"
        "  b:\n"
        "    subnet: {cidr: 10.0.0.0/24}\n"
        "    secondary_private_ips: [x, 10.0.0.9]\n"
        "    routes:\n"
        "      - {route_table: x, destination: 10.1.0.0/16}\n"
        "      - {route_table: rtb-12345678, destination: 10.1.0.0/16}\n"
        "      - {route_table: rtb-12345678, destination: 10.1.0.0/16}\n",
        [
            "network_interfaces.b.secondary_private_ips.0 must be an IPv4 address, not 'x'",
            "network_interfaces.b.secondary_private_ips.1 10.0.0.9 is already used by "
            "network_interfaces.a.private_ip in this subnet",
            "network_interfaces.b.routes.0.route_table 'x' is not a route table id",
            "network_interfaces.b.routes.2 the same route as network_interfaces.b.routes.1",
        ],
    ),
    "an instance without an interface, whose image is wrong": (
        "instances: {web: {image: x, instance_type: t3.micro}}",
        [
            "instances.web has no network interface at device_index 0",
            "instances.web.image 'x' is not an AMI id",
        ],
    ),
    "an index that is taken, in a row with an unknown key": (
        "instances: {fw: {external: i-12345678}}\n"
        "network_interfaces:\n"
        "  a: {subnet: subnet-12345678, attachment: {instance: fw, device_index: 1}}\n"
        "  b: {subnet: subnet-12345678, bogus: 1, attachment: {instance: fw, device_index: 1}}\n",
        [
            "network_interfaces.b.bogus unknown key",
            "network_interfaces.b.attachment.device_index device_index 1 of 'fw' is already used by "
            "network_interfaces.a",
        ],
    ),
    "what a whole row is checked for, beside a wrong value": (
        "security_groups: {a: {description: '', vpc: x, lifecycle: {ignore: [bogus]}}}",
        [
            "security_groups.a.description must not be empty",
            "security_groups.a.vpc 'x' is not a VPC id",
            "security_groups.a.lifecycle.ignore.0 'bogus' is not an attribute that can be ignored",
        ],
    ),
    "both ends of an association and of a check": (
        "elastic_ips: {a: {association: {network_interface: gone, instance: lost}}}\n"
        "checks: {c: {elastic_ip: gone, tcp: x}}\n",
        [
            "elastic_ips.a.association needs either `network_interface` or `instance`",
            "elastic_ips.a.association.network_interface there is no network interface 'gone' in this spec",
            "elastic_ips.a.association.instance there is no instance 'lost' in this spec",
            "checks.c.elastic_ip there is no elastic ip 'gone' in this spec",
            "checks.c.tcp must be a whole number, not 'x'",
        ],
    ),
    "every wrong reference of a text": (
        "elastic_ips: {a: {tags: {x: '${var.no} ${elastic_ips.gone.id} ${var.no} ${oops} ${elastic_ips.a.ip}'}}}",
        [
            "elastic_ips.a.tags.x ${elastic_ips.a.ip}: elastic_ips have no 'ip' to refer to",
            "elastic_ips.a.tags.x there is no elastic ip 'gone' in this spec",
            "elastic_ips.a.tags.x unknown reference ${oops}",
            "elastic_ips.a.tags.x unknown variable 'no'",
        ],
    ),
}


@pytest.mark.parametrize("situation", BESIDE)
def test_one_mistake_hides_no_other(situation: str) -> None:
    text, expected = BESIDE[situation]
    assert told(text) == expected


def test_user_data_tells_all_its_wrong_references(tmp_path: Path) -> None:
    """Those without a value, and those to rows that the spec does not have; in a file, too."""
    script = "${var.no} ${elastic_ips.gone.public_ip} ${enireconcile.region} ${elastic_ips.lost.public_ip}"
    expected = [
        "${enireconcile.region} has no value",
        *(f"there is no elastic ip '{ip}' in this spec" for ip in ("gone", "lost")),
    ]
    expected.append("unknown variable 'no'")
    text = f"{INSTANCE}user_data: |\n      {script}\n"
    assert [line.split(" | ")[1] for line in problems(text)] == expected
    (tmp_path / "boot.sh").write_text(script)
    spec = tmp_path / "web.yaml"
    spec.write_text(f"{INSTANCE}user_data_file: boot.sh\n")
    with pytest.raises(SpecErrors) as caught:
        load([str(spec)])
    assert sorted(each.message for each in caught.value.problems) == expected


ALONE = {
    "an interface whose attachment is misspelled": WEB
    + "network_interfaces: {a: {subnet: subnet-12345678, atachment: {instance: web, device_index: 0}}}",
    "a section whose name is misspelled": WEB
    + "network_interface: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}\n"
    "elastic_ips: {ip: {association: {network_interface: a}}}",
    "a section that is a list": (
        "security_groups: [a]\nnetwork_interfaces: {a: {subnet: subnet-12345678, security_groups: [a]}}"
    ),
    "a template without rows": (
        "instances: {'fw-${each.kye}': {for_each: [a], external: i-12345678}}\n"
        "network_interfaces: {n: {subnet: subnet-12345678, attachment: {instance: fw-a, device_index: 1}}}"
    ),
    "a reference without a value where one of two keys is needed": (
        "network_interfaces: {n: {subnet: subnet-12345678, attachment: {instance: '${var.no}', device_index: 1}}}"
    ),
    "an adopted instance whose id is wrong": "instances: {web: {adopt: x}}",
    "an external instance whose id is wrong": "instances: {fw: {external: x}}",
    "an address of an interface whose list of addresses is wrong": (
        "network_interfaces: {a: {subnet: subnet-12345678, secondary_private_ips: [10.0.0.9, x]}}\n"
        "elastic_ips: {ip: {association: {network_interface: a, private_ip: 10.0.0.9}}}"
    ),
    "an address of an interface whose key for them is unknown": (
        "network_interfaces: {a: {subnet: subnet-12345678, private_ip: 10.0.0.8, private_ips: [10.0.0.9]}}\n"
        "elastic_ips: {ip: {association: {network_interface: a, private_ip: 10.0.0.9}}}"
    ),
    "a secondary address of an interface whose count is wrong": (
        "network_interfaces: {a: {subnet: subnet-12345678, secondary_private_ip_count: x}}\n"
        "elastic_ips: {ip: {association: {network_interface: a, secondary: true}}}"
    ),
    "an automatic address of an interface whose attachment is wrong": (
        "network_interfaces: {a: {subnet: subnet-12345678, associate_public_ip_address: true, attachment: []}}"
    ),
    "two groups of one name, one of them in a VPC that is wrong": (
        "security_groups: {a: {group_name: x}, b: {group_name: x, vpc: nowhere}}"
    ),
    "a group of a reserved name whose other one is wrong": "security_groups: {default: {group_name: 'é'}}",
    "two interfaces on one index, of different cards": (
        "instances: {fw: {external: i-12345678}}\n"
        "network_interfaces:\n"
        "  a: {subnet: subnet-12345678, attachment: {instance: fw, device_index: 1}}\n"
        "  b: {subnet: subnet-12345678, attachment: {instance: fw, device_index: 1, network_card_index: x}}\n"
    ),
    "an external id whose role is wrong": "assume_role_arn: admin\nexternal_id: abc",
    "a list of one group that is wrong": (
        "network_interfaces: {a: {subnet: subnet-12345678, bogus: 1, security_groups: []}}"
    )
    .replace("bogus: 1, ", "")
    .replace("[]", "[[]]"),
    "a misspelled key that is needed": "network_interfaces: {a: {subnett: subnet-12345678}}",
    "a misspelled key that is needed, further in": (
        "instances: {fw: {external: i-12345678}}\n"
        "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: fw, devce_index: 1}}}"
    ),
    "a misspelled key of the defaults that is needed": (
        "defaults: {network_interfaces: {subnett: subnet-12345678}}\nnetwork_interfaces: {a: {}, b: {}}"
    ),
    "defaults whose section is misspelled": (
        "defaults: {instance: {image: ami-12345678}}\ninstances: {web: {instance_type: t3.micro}}\n"
        "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}"
    ),
    "a default without a value": (
        "defaults: {network_interfaces: {description: }}\n"
        "network_interfaces: {a: {subnet: subnet-12345678}, b: {subnet: subnet-12345678}}"
    ),
    "a default that is wrong": (
        "defaults: {network_interfaces: {source_dest_check: x}}\n"
        "network_interfaces: {a: {subnet: subnet-12345678}, b: {subnet: subnet-12345678}}"
    ),
    "an element of a variable without a value": (
        "variables: {pair: {a: {pool: }}}\n"
        "elastic_ips: {'ip-${each.key}': {for_each: '${var.pair}', public_ipv4_pool: '${each.value.pool}'}}"
    ),
    "variables that are a list": "variables: [a]\nelastic_ips: {a: {tags: {x: '${var.a}'}}}",
    "a section with templates whose name is misspelled": (
        "elastic_ip: {'ip-${each.key}': {for_each: [a, b], tags: {x: '${each.key}'}}}"
    ),
    "an external instance whose key is misspelled": "instances: {fw: {externl: i-12345678}}",
    "an instance in another spelling than its interface has": WEB
    + "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: wbe, device_index: 0}}}",
    "a misspelled key without which others are needed": "instances: {web: {adoptt: i-12345678}}",
    "a volume whose type is wrong": (
        "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}\n"
        + WEB.replace("}}", ", root_volume: {type: gp5, throughput: 200}}}")
    ),
}


@pytest.mark.parametrize("situation", ALONE)
def test_what_follows_from_a_mistake_is_not_told(situation: str) -> None:
    assert len(told(ALONE[situation])) == 1


LENT = """\
version: 1
stack: s
tags: {T: "${network_interfaces.a.public_ip}", P: "${elastic_ips.e.private_ip}"}
network_interfaces:
  a: {subnet: subnet-12345678}
elastic_ips:
  e: {association: {network_interface: a}}
"""


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("elastic_ips:", "elastic_ip:", "unknown key"),
        ("network_interface: a", "network_interfce: a", "unknown key"),
        ("network_interface: a", 'network_interface: "${var.q}"', "unknown variable 'q'"),
        ("network_interface: a", "network_interface: b", "there is no network interface 'b'"),
        ("{subnet: subnet-12345678}", "3", "must be a mapping"),
    ],
)
def test_a_mistake_in_what_lends_an_attribute_is_told_alone(written: str, instead: str, message: str) -> None:
    found = problems(LENT.replace(written, instead))
    assert not any("${" in each for each in found), found
    assert any(message in each for each in found), found


def test_what_nothing_lends_is_told_where_nothing_else_is_wrong() -> None:
    found = problems(LENT.replace("association: {network_interface: a}", ""))
    assert sum("no Elastic IP of the file" in each for each in found) == 1
    assert sum("associated with no address" in each for each in found) == 1


@pytest.mark.parametrize("group", ["10.0.0.0/16", "web/1"])
def test_a_group_of_an_interface_is_no_cidr(group: str) -> None:
    text = LENT.replace("{subnet: subnet-12345678}", f"{{subnet: subnet-12345678, security_groups: [{group}]}}")
    assert any(f"there is no security group '{group}'" in each for each in problems(text))
