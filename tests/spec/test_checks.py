"""Checks between rows. Each case is a spec from line 3 on, with exactly one problem."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from enireconcile.spec.rows import ADDRESS_KEYS
from tests.spec.reading import HEAD, assert_refused, problems


@dataclass(frozen=True)
class Case:
    """A situation, the spec, and the problem; ``place`` is ``line:column path``."""

    situation: str
    spec: str
    place: str
    message: str
    hint: str


REFERENCES = [
    Case(
        "an attachment to an instance that the spec does not have",
        """
instances: {web: {image: ami-12345678, instance_type: t3.micro}}
network_interfaces:
  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, attachment: {instance: wbe, device_index: 1}}
""",
        "6:55 network_interfaces.b.attachment.instance",
        "there is no instance 'wbe' in this spec",
        "did you mean `web`?",
    ),
    Case(
        "an attachment to an instance by its id",
        "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: i-12345678, device_index: 1}}}",
        "3:74 network_interfaces.a.attachment.instance",
        "there is no instance 'i-12345678' in this spec",
        "ids are not allowed here; add `fw: {external: i-12345678}` under instances",
    ),
    Case(
        "an interface in a group that the spec does not have",
        """
security_groups: {web: {}, db: {}}
network_interfaces: {a: {subnet: subnet-12345678, security_groups: [web, ssh]}}
""",
        "4:74 network_interfaces.a.security_groups.1",
        "there is no security group 'ssh' in this spec",
        "choose from: db, web",
    ),
    Case(
        "a rule for a group that the spec does not have",
        "security_groups: {web: {ingress: [{protocol: tcp, ports: 80, sources: [self, wep]}]}}",
        "3:78 security_groups.web.ingress.0.sources.1",
        "there is no security group 'wep' in this spec",
        "did you mean `web`?",
    ),
    Case(
        "an egress rule for a group that the spec does not have",
        "security_groups: {web: {egress: [{protocol: tcp, ports: 80, destinations: [db]}]}}",
        "3:76 security_groups.web.egress.0.destinations.0",
        "there is no security group 'db' in this spec",
        "choose from: web",
    ),
    Case(
        "an address for an interface that the spec does not have",
        """
network_interfaces: {web-eth1: {subnet: subnet-12345678}}
elastic_ips: {ip: {association: {network_interface: web-eth2}}}
""",
        "4:53 elastic_ips.ip.association.network_interface",
        "there is no network interface 'web-eth2' in this spec",
        "did you mean `web-eth1`?",
    ),
    Case(
        "an address for an instance that the spec does not have",
        "elastic_ips: {ip: {association: {instance: web}}}",
        "3:44 elastic_ips.ip.association.instance",
        "there is no instance 'web' in this spec",
        "",
    ),
    Case(
        "an address for an instance by its id",
        "elastic_ips: {ip: {association: {instance: i-12345678}}}",
        "3:44 elastic_ips.ip.association.instance",
        "there is no instance 'i-12345678' in this spec",
        "ids are not allowed here; add `fw: {external: i-12345678}` under instances",
    ),
    Case(
        "an address for something that only begins as an id",
        "elastic_ips: {ip: {association: {network_interface: eni-web}}}",
        "3:53 elastic_ips.ip.association.network_interface",
        "there is no network interface 'eni-web' in this spec",
        "",
    ),
]

GROUPS = [
    Case(
        "a logical name that EC2 reserves, and no group_name",
        "security_groups: {Default: {}}",
        "3:19 security_groups.Default",
        "the name `default` is reserved",
        "group_name",
    ),
    Case(
        "two names that differ by case only, in one VPC",
        "security_groups: {web: {}, Web: {}}",
        "3:28 security_groups.Web",
        "the group name 'Web' is already used by security_groups.web in this VPC",
        "EC2 ignores case in group names",
    ),
    Case(
        "a group_name that is another group's logical name",
        "security_groups: {web: {vpc: {tags: {a: b}}}, www: {vpc: {tags: {a: b}}, group_name: WEB}}",
        "3:86 security_groups.www.group_name",
        "the group name 'WEB' is already used by security_groups.web in this VPC",
        "EC2 ignores case in group names",
    ),
    Case(
        "one rule twice, in other words",
        """
security_groups:
  web:
    ingress:
      - {protocol: tcp, sources: [10.0.0.0/8], description: all ports}
      - {protocol: 6, ports: 0-65535, sources: [10.0.0.0/8]}
""",
        "7:49 security_groups.web.ingress.1.sources.0",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "one ICMP type and code twice",
        """
security_groups:
  web:
    ingress:
      - {protocol: icmp, ports: 3/4, sources: [self]}
      - {protocol: 1, ports: 3/4, sources: [web]}
""",
        "7:45 security_groups.web.ingress.1.sources.0",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "one source twice in a rule",
        "security_groups: {web: {ingress: [{protocol: icmp, sources: ['2001:DB8::/32', '2001:db8:0::/32']}]}}",
        "3:79 security_groups.web.ingress.0.sources.1",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "a protocol by number and by name",
        """
security_groups:
  web:
    ingress:
      - {protocol: 50, sources: [self]}
      - {protocol: esp, sources: [self]}
""",
        "7:35 security_groups.web.ingress.1.sources.0",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "a group with its account and without",
        "security_groups: {web: {ingress: [{protocol: ah, sources: [sg-12345678, 123456789012/sg-12345678]}]}}",
        "3:73 security_groups.web.ingress.0.sources.1",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "one selector twice",
        "security_groups: {web: {ingress: [{protocol: ah, sources: [{tags: {a: 1, b: 2}}, "
        "{tags: {b: 2, a: 1}}]}]}}",
        "3:82 security_groups.web.ingress.0.sources.1",
        "the same rule as security_groups.web.ingress.0.sources.0",
        "remove one",
    ),
    Case(
        "a group's own name is itself",
        "security_groups: {web: {egress: [{protocol: all, destinations: [self, web]}]}}",
        "3:71 security_groups.web.egress.0.destinations.1",
        "the same rule as security_groups.web.egress.0.destinations.0",
        "remove one",
    ),
]

WEB = "instances: {web: {image: ami-12345678, instance_type: t3.micro}}\n"

INTERFACES = [
    Case(
        "two interfaces at one index of an instance",
        WEB
        + """network_interfaces:
  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, attachment: {instance: web, device_index: 1}}
  c:
    subnet: subnet-12345678
    attachment:
      instance: web
      device_index: 1
""",
        "11:21 network_interfaces.c.attachment.device_index",
        "device_index 1 of 'web' is already used by network_interfaces.b",
        "device_index 2 is free",
    ),
    Case(
        "two interfaces at one index of the second card",
        WEB
        + """network_interfaces:
  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, attachment: {instance: web, device_index: 1, network_card_index: 1}}
  c: {subnet: subnet-12345678, attachment: {instance: web, device_index: 1, network_card_index: 1}}
""",
        "7:74 network_interfaces.c.attachment.device_index",
        "device_index 1 on network card 1 of 'web' is already used by network_interfaces.b",
        "device_index 0 is free",
    ),
    Case(
        "an instance with no interface to boot with",
        WEB + "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 1}}}",
        "3:18 instances.web",
        "has no network interface at device_index 0",
        "`attachment: {instance: web, device_index: 0}`",
    ),
    Case(
        "an instance whose index 0 is on another card",
        WEB
        + "network_interfaces:\n"
        + "  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0, network_card_index: 1}}",
        "3:18 instances.web",
        "has no network interface at device_index 0",
        "`attachment: {instance: web, device_index: 0}`",
    ),
    Case(
        "an instance with interfaces in two zones",
        WEB
        + """network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}
  b: {subnet: {default_for_az: us-east-1b}, attachment: {instance: web, device_index: 1}}
""",
        "6:32 network_interfaces.b.subnet.default_for_az",
        "'web' also has network_interfaces.a, which is in 'us-east-1a'",
        "in one Availability Zone",
    ),
    Case(
        "a zone of another region",
        "region: eu-west-1\nnetwork_interfaces: {a: {subnet: {default_for_az: us-east-1a}}}",
        "4:51 network_interfaces.a.subnet.default_for_az",
        "'us-east-1a' is not in the Region 'eu-west-1'",
        "correct one",
    ),
    Case(
        "one address twice in one subnet",
        """
network_interfaces:
  a: {subnet: {tags: {Name: lab, Env: x}}, private_ip: 10.0.0.10}
  b: {subnet: {tags: {Env: x, Name: lab}}, private_ip: 10.0.0.10}
""",
        "5:56 network_interfaces.b.private_ip",
        "10.0.0.10 is already used by network_interfaces.a.private_ip in this subnet",
        "or remove it to let EC2 choose",
    ),
    Case(
        "one IPv6 address twice in one subnet, in two spellings",
        """
network_interfaces:
  a: {subnet: subnet-12345678, ipv6_addresses: ['2001:db8::a', '2001:db8::b']}
  b: {subnet: subnet-12345678, ipv6_addresses: ['2001:DB8:0::A']}
""",
        "5:49 network_interfaces.b.ipv6_addresses.0",
        "2001:db8::a is already used by network_interfaces.a.ipv6_addresses.0 in this subnet",
        "choose another",
    ),
    Case(
        "one prefix twice on one interface",
        "network_interfaces: {a: {subnet: subnet-12345678, ipv4_prefixes: [10.0.0.16/28, 10.0.0.16/28]}}",
        "3:81 network_interfaces.a.ipv4_prefixes.1",
        "10.0.0.16/28 is already used by network_interfaces.a.ipv4_prefixes.0 in this subnet",
        "choose another",
    ),
    Case(
        "an address in another interface's prefix",
        """
network_interfaces:
  a: {subnet: subnet-12345678, private_ip: 10.0.0.31}
  b: {subnet: subnet-12345678, ipv4_prefixes: [10.0.0.16/28]}
""",
        "4:44 network_interfaces.a.private_ip",
        "10.0.0.31 is inside the prefix 10.0.0.16/28 of network_interfaces.b.ipv4_prefixes.0",
        "outside the prefix",
    ),
    Case(
        "an IPv6 address in its own interface's prefix",
        """
network_interfaces:
  a: {subnet: subnet-12345678, ipv6_addresses: ['2001:db8::9'], ipv6_prefixes: ['2001:db8::/80']}
""",
        "4:49 network_interfaces.a.ipv6_addresses.0",
        "2001:db8::9 is inside the prefix 2001:db8::/80 of network_interfaces.a.ipv6_prefixes.0",
        "outside the prefix",
    ),
    *(
        Case(
            f"{many} and {count}",
            f"network_interfaces:\n  a:\n    subnet: subnet-12345678\n    {many}: []\n    {count}: 1",
            f"7:{7 + len(count)} network_interfaces.a.{count}",
            f"cannot be combined with {many}",
            "keep one of the two",
        )
        for many, count in ADDRESS_KEYS
    ),
    Case(
        "a prefix outside of its subnet",
        "network_interfaces: {a: {subnet: {cidr: 10.0.0.0/24}, ipv4_prefixes: [10.0.1.16/28]}}",
        "3:71 network_interfaces.a.ipv4_prefixes.0",
        "10.0.1.16/28 is not in the subnet (10.0.0.0/24)",
        "choose one inside 10.0.0.0/24",
    ),
    Case(
        "a prefix that is larger than its subnet's rest",
        "network_interfaces: {a: {subnet: {cidr: 10.0.0.0/27}, ipv4_prefixes: [10.0.0.16/28]}}",
        "3:71 network_interfaces.a.ipv4_prefixes.0",
        "10.0.0.16/28 contains one of the five addresses that EC2 reserves in 10.0.0.0/27",
        "choose one inside 10.0.0.0/27",
    ),
    *(
        Case(
            f"an efa-only interface with {key}",
            "network_interfaces:\n  a:\n    subnet: subnet-12345678\n    interface_type: efa-only\n"
            f"    {key}: {value}",
            f"7:{7 + len(key)} network_interfaces.a.{key}",
            "an efa-only interface has no IP addresses",
            "or use interface_type efa",
        )
        for key, value in (
            ("private_ip", "10.0.0.9"),
            ("secondary_private_ips", "[10.0.0.9]"),
            ("secondary_private_ip_count", 1),
            ("ipv4_prefixes", "[10.0.0.16/28]"),
            ("ipv4_prefix_count", 1),
            ("ipv6_addresses", "['2001:db8::9']"),
            ("ipv6_address_count", 1),
            ("ipv6_prefixes", "['2001:db8::/80']"),
            ("ipv6_prefix_count", 1),
        )
    ),
    Case(
        "an instance that boots with an efa-only interface",
        WEB
        + """network_interfaces:
  a:
    subnet: subnet-12345678
    interface_type: efa-only
    attachment: {instance: web, device_index: 0}
""",
        "8:47 network_interfaces.a.attachment.device_index",
        "an efa-only interface cannot be the primary interface of an instance",
        "device_index 1 or higher, or interface_type efa",
    ),
    Case(
        "a branch interface with an attachment",
        WEB
        + """network_interfaces:
  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, interface_type: branch, attachment: {instance: web, device_index: 1}}
""",
        "6:56 network_interfaces.b.attachment",
        "a branch interface is associated with a trunk, not attached to an instance",
        "use another interface_type",
    ),
    Case(
        "an adapter that is to fail over",
        """
instances: {x: {external: i-12345678}, y: {external: i-87654321}}
network_interfaces:
  a: {subnet: subnet-12345678, interface_type: efa, attachment: {instances: [x, y], device_index: 1}}
""",
        "5:66 network_interfaces.a.attachment.instances",
        "only between stopped instances, so it cannot fail over",
        "use `instance` with one name",
    ),
    Case(
        "two adapters on one network card",
        WEB
        + """network_interfaces:
  a: {subnet: subnet-12345678, interface_type: efa, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, interface_type: efa-only, attachment: {instance: web, device_index: 1}}
""",
        "6:70 network_interfaces.b.attachment",
        "network card 0 of 'web' already has the Elastic Fabric Adapter network_interfaces.a",
        "choose another network_card_index",
    ),
    Case(
        "an address outside of its subnet",
        "network_interfaces: {a: {subnet: {cidr: 10.0.0.0/24}, private_ip: 10.0.1.10}}",
        "3:67 network_interfaces.a.private_ip",
        "10.0.1.10 is not in the subnet (10.0.0.0/24)",
        "from 10.0.0.4 to 10.0.0.254",
    ),
    *(
        Case(
            f"the address {address}, which EC2 reserves",
            f"network_interfaces: {{a: {{subnet: {{cidr: 10.0.0.0/28}}, private_ip: {address}}}}}",
            "3:67 network_interfaces.a.private_ip",
            f"{address} is one of the five addresses that EC2 reserves in 10.0.0.0/28",
            "from 10.0.0.4 to 10.0.0.14",
        )
        for address in ("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.15")
    ),
]

TAGS_47 = ", ".join(f"k{n}: v" for n in range(47))

OTHERS = [
    Case(
        "two addresses on one interface's primary private address",
        """
network_interfaces: {a: {subnet: subnet-12345678}}
elastic_ips:
  one: {association: {network_interface: a}}
  two: {association: {network_interface: a}}
""",
        "6:42 elastic_ips.two.association.network_interface",
        "the primary address of 'a' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "two addresses on one secondary private address",
        """
network_interfaces: {a: {subnet: subnet-12345678, secondary_private_ips: [10.0.0.9]}}
elastic_ips:
  one: {association: {network_interface: a, private_ip: 10.0.0.9}}
  two: {association: {network_interface: a, private_ip: 10.0.0.9}}
""",
        "6:57 elastic_ips.two.association.private_ip",
        "10.0.0.9 of 'a' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "two addresses on the primary address, once by its number",
        """
network_interfaces: {a: {subnet: subnet-12345678, private_ip: 10.0.0.9}}
elastic_ips:
  one: {association: {network_interface: a, private_ip: 10.0.0.9}}
  two: {association: {network_interface: a}}
""",
        "6:42 elastic_ips.two.association.network_interface",
        "the primary address of 'a' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "two addresses on one interface, once by its instance",
        WEB
        + """
network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}
elastic_ips:
  one: {association: {network_interface: a}}
  two: {association: {instance: web}}
""".lstrip(),
        "7:33 elastic_ips.two.association.instance",
        "the primary address of 'a' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "two addresses on one external instance",
        """
instances: {fw: {external: i-12345678}}
elastic_ips:
  one: {association: {instance: fw}}
  two: {association: {instance: fw}}
""",
        "6:33 elastic_ips.two.association.instance",
        "the primary address of 'fw' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "two addresses on one private address of a foreign interface",
        """
elastic_ips:
  one: {association: {network_interface: eni-12345678, private_ip: 10.0.0.9}}
  two: {association: {network_interface: eni-12345678, private_ip: 10.0.0.9}}
""",
        "5:68 elastic_ips.two.association.private_ip",
        "10.0.0.9 of 'eni-12345678' is already associated with elastic_ips.one",
        "a private address has at most one Elastic IP",
    ),
    Case(
        "an address for a private IP that the instance's primary interface does not have",
        WEB
        + """
network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}
elastic_ips: {one: {association: {instance: web, private_ip: 10.0.0.9}}}
""".lstrip(),
        "5:62 elastic_ips.one.association.private_ip",
        "10.0.0.9 is not an address of network_interfaces.a",
        "add it to the secondary_private_ips of network_interfaces.a",
    ),
    Case(
        "one address twice",
        "elastic_ips: {one: {address: 198.51.100.7}, two: {address: 198.51.100.7}}",
        "3:60 elastic_ips.two.address",
        "198.51.100.7 is already the address of elastic_ips.one",
        "or remove it to let EC2 choose",
    ),
    Case(
        "an address and a pool",
        "elastic_ips: {one: {address: 198.51.100.7, public_ipv4_pool: amazon}}",
        "3:62 elastic_ips.one.public_ipv4_pool",
        "cannot be combined with address",
        "keep `address` to allocate that address, or `public_ipv4_pool` for any address of the pool",
    ),
    Case(
        "a tag of the file that the metadata of an instance cannot show",
        """
tags: {cost/center: '42'}
instances:
  a: {adopt: i-12345678, metadata_options: {instance_metadata_tags: enabled}}
  b: {adopt: i-12345679, metadata_options: {instance_metadata_tags: enabled}}
""",
        "3:8 tags.cost/center",
        "the tag key 'cost/center' is not allowed, because a has instance_metadata_tags enabled",
        "use letters, digits and + - = . , _ : @ only, or disable instance_metadata_tags",
    ),
    Case(
        "a tag of an instance that its metadata cannot show",
        "instances: {a: {adopt: i-12345678, tags: {a b: c}, metadata_options: {instance_metadata_tags: enabled}}}",
        "3:43 instances.a.tags.'a b'",
        "the tag key 'a b' is not allowed, because a has instance_metadata_tags enabled",
        "use letters, digits and + - = . , _ : @ only, or disable instance_metadata_tags",
    ),
    Case(
        "an address that is advertised in another region",
        "region: us-east-1\nelastic_ips: {one: {network_border_group: us-east-2}}",
        "4:43 elastic_ips.one.network_border_group",
        "'us-east-2' is not in the Region 'us-east-1'",
        "correct one",
    ),
    Case(
        "an address for a private IP that the interface does not have",
        """
network_interfaces: {a: {subnet: subnet-12345678}}
elastic_ips: {one: {association: {network_interface: a, private_ip: 10.0.0.9}}}
""",
        "4:69 elastic_ips.one.association.private_ip",
        "10.0.0.9 is not an address of network_interfaces.a",
        "add it to the secondary_private_ips of network_interfaces.a",
    ),
    Case(
        "a secondary address that is another interface's primary one",
        """
network_interfaces:
  a: {subnet: subnet-12345678, private_ip: 10.0.0.9}
  b: {subnet: subnet-12345678, secondary_private_ips: [10.0.0.9]}
""",
        "5:56 network_interfaces.b.secondary_private_ips.0",
        "10.0.0.9 is already used by network_interfaces.a.private_ip in this subnet",
        "choose another",
    ),
    Case(
        "an address for an interface that has no private one",
        """
network_interfaces: {a: {subnet: subnet-12345678, interface_type: efa-only}}
elastic_ips: {one: {association: {network_interface: a}}}
""",
        "4:54 elastic_ips.one.association.network_interface",
        "'a' is efa-only and has no IP address",
        "another interface_type",
    ),
    Case(
        "more tags in the file than EC2 allows, with those of enireconcile",
        f"tags: {{{TAGS_47}, x: y}}\nelastic_ips: {{a: {{}}}}",
        "3:7 tags",
        "51 tags, including those of the file and of enireconcile; EC2 allows 50",
        "remove 1; enireconcile always sets Name, enireconcile:name, enireconcile:stack",
    ),
    Case(
        "more tags on a resource, with those of the stack, than EC2 takes",
        f"tags: {{{TAGS_47}}}\nelastic_ips: {{a: {{tags: {{k1: w, Name: n, x: y}}}}}}",
        "4:25 elastic_ips.a.tags",
        "51 tags",
        "remove 1",
    ),
    Case(
        "a role in an account that the guard refuses",
        "account_id: '123456789012'\nassume_role_arn: arn:aws:iam::210987654321:role/ops",
        "4:18 assume_role_arn",
        "this role is in account 210987654321, but account_id is 123456789012",
        "correct one",
    ),
]


@pytest.mark.parametrize(
    "case", [*REFERENCES, *GROUPS, *INTERFACES, *OTHERS], ids=lambda case: case.situation.replace(" ", "-")
)
def test_what_does_not_fit_together(case: Case) -> None:
    """One problem; if two rows are in conflict, at the second one."""
    assert_refused(HEAD + case.spec.lstrip("\n"), case.place, case.message, case.hint)


FINE = {
    "one index on two cards": WEB
    + """network_interfaces:
  a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}
  b: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0, network_card_index: 1}}
""",
    "one group name in two VPCs": "security_groups: {web: {}, web2: {group_name: web, vpc: vpc-12345678}}",
    "a reserved name with another group_name": "security_groups: {default: {group_name: web}}",
    "groups that name each other": """
security_groups:
  a: {ingress: [{protocol: tcp, ports: 80, sources: [b, self, sg-12345678, pl-12345678]}]}
  b: {egress: [{protocol: tcp, ports: 80, destinations: [a]}]}
""",
    "one rule in each direction": """
security_groups:
  a: {ingress: [{protocol: all, sources: [self]}], egress: [{protocol: all, destinations: [self]}]}
""",
    "one address in two subnets": """
network_interfaces:
  a: {subnet: {cidr: 10.0.0.0/24}, private_ip: 10.0.0.10}
  b: {subnet: {tags: {Name: x}}, private_ip: 10.0.0.10}
""",
    "50 tags, including those of enireconcile": f"tags: {{{TAGS_47}}}\nelastic_ips: {{a: {{tags: {{Name: n}}}}}}",
    "addresses on each private address of a foreign interface, and on an external instance": """
instances: {fw: {external: i-12345678}}
elastic_ips:
  one: {association: {network_interface: eni-12345678}}
  two: {association: {network_interface: eni-12345678, private_ip: 10.0.0.9}}
  three: {association: {instance: fw}}
  four: {association: {instance: fw, private_ip: 10.0.0.9}}
""",
    "addresses in the region and in a group of it": """
region: us-east-1
elastic_ips: {one: {network_border_group: us-east-1}, two: {network_border_group: us-east-1-bos-1}}
""",
    "an adopted address from a pool": """
elastic_ips: {one: {adopt: eipalloc-12345678, address: 198.51.100.7, public_ipv4_pool: amazon}}
""",
    "tags that the metadata can show, and others of an instance that shows none": """
tags: {Cost-Center_1: '42', 'team:net@a+b=c,d.e': x}
instances:
  a: {adopt: i-12345678, metadata_options: {instance_metadata_tags: enabled}}
  b: {adopt: i-12345679, tags: {a b: c, a/b: c, _index: d}}
""",
    "an address that is associated with nothing": "elastic_ips: {spare: {}}",
    "zones that differ where nothing holds them together": """
network_interfaces:
  a: {subnet: {default_for_az: us-east-1a}}
  b: {subnet: {default_for_az: us-east-1b}}
""",
    "one prefix and one address in two subnets": """
network_interfaces:
  a: {subnet: {cidr: 10.0.0.0/24}, ipv4_prefixes: [10.0.0.16/28], ipv6_prefixes: ['2001:db8::/80']}
  b: {subnet: {tags: {Name: x}}, ipv4_prefixes: [10.0.0.16/28], private_ip: 10.0.0.32}
  c: {subnet: {tags: {Name: y}}, private_ip: 10.0.0.16, ipv6_addresses: ['2001:db8::1']}
""",
    "an efa-only interface that has none of what it cannot have": WEB
    + """network_interfaces:
  a: {subnet: subnet-12345678, interface_type: efa, attachment: {instance: web, device_index: 0}}
  b:
    subnet: subnet-12345678
    interface_type: efa-only
    secondary_private_ips: []
    ipv6_address_count: 0
    attachment: {instance: web, device_index: 0, network_card_index: 1}
  c: {subnet: subnet-12345678, interface_type: branch}
  d: {subnet: subnet-12345678, interface_type: trunk, attachment: {instance: web, device_index: 1}}
  e: {subnet: subnet-12345678, interface_type: efa}
  f: {subnet: subnet-12345678, interface_type: efa}
""",
    "one ICMP type with two codes, and with any": """
security_groups:
  a:
    ingress:
      - {protocol: icmp, ports: 3/3, sources: [self]}
      - {protocol: icmp, ports: 3/4, sources: [self]}
      - {protocol: icmp, ports: 3, sources: [self]}
""",
    "a role in the guarded account": (
        "account_id: 123456789012\nassume_role_arn: arn:aws:iam::123456789012:role/ops"
    ),
}


@pytest.mark.parametrize("situation", FINE)
def test_what_does_fit_together(situation: str) -> None:
    """Valid specs that are close to the invalid ones above."""
    assert problems(HEAD + FINE[situation].lstrip("\n") + "\n") == []


@pytest.mark.parametrize(
    ("instance", "at", "free"),
    [
        ("external: i-12345678", "instance: fw", 1),
        ("external: i-12345678", "network_card_index: 1, instance: fw", 0),
        ("adopt: i-12345678", "instance: fw", 0),
        ("adopt: i-12345678", "instances: [fw]", 1),
    ],
)
def test_the_index_that_is_free_can_be_taken(instance: str, at: str, free: int) -> None:
    """Index 0 of an instance that is there, and for an interface that moves, is none."""
    rows = "".join(
        f"  {name}: {{subnet: subnet-12345678, attachment: {{{at}, device_index: 2}}}}\n" for name in "ab"
    )
    (found,) = problems(f"{HEAD}instances: {{fw: {{{instance}}}}}\nnetwork_interfaces:\n{rows}")
    assert found.endswith(f"| device_index {free} is free")


def test_an_invalid_interface_may_be_the_primary_one() -> None:
    """Only the mistake in the interface is reported, not that the instance has no interface."""
    text = HEAD + WEB + "network_interfaces: {a: {subnet: x, attachment: {instance: web, device_index: 0}}}\n"
    assert_refused(text, "4:34 network_interfaces.a.subnet", "'x' is not a subnet id", "")
