"""What a state's resources become, what Terraform has to forget, and why the rest stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from enireconcile.export.terraform.taking import imported
from tests.export.terraform.states import (
    EIP,
    ENI,
    ETH0,
    SG,
    SUBNET,
    VPC,
    WEB,
    address,
    group,
    instance,
    interface,
    read,
    resource,
    subnet,
    take,
    vpc,
)

ETH1 = {"adopt": ENI, "subnet": SUBNET, "security_groups": [SG], "private_ip": "10.0.1.10"}
BY_NAME = "write the id where others in the account have the same Name"
ATTACHED = {"instance": "web", "device_index": 1}


def row(section: str, name: str, *resources: Any) -> Any:
    return yaml.safe_load(str(take(*resources).text))[section][name]


def attachment(**values: Any) -> Any:
    own = {"instance_id": WEB, "network_interface_id": ENI, "device_index": 1, "status": "attached"}
    return resource("aws_network_interface_attachment.eth1", **{**own, **values})


def test_the_whole_of_a_state() -> None:
    """The state right after `terraform apply`: nothing was read again."""
    made = take(
        vpc(),
        subnet(),
        group(ingress=[]),
        interface(tags_all={"Project": "x", "Name": "data"}),
        instance(tags_all={"Project": "x"}, user_data="3e9e57979ab47067f3294939a533e4cf580c8383"),
        attachment(),
        address(tags_all={"Project": "x"}),
        resource(
            "aws_eip_association.web", allocation_id=EIP, network_interface_id=ENI, private_ip_address="10.0.1.10"
        ),
        resource("aws_key_pair.ops", id="ops"),
    )
    assert (
        str(made.text)
        == f"""\
# What exists of the Terraform state state.json in us-east-1.
# User data and volumes are not exported: add them before you launch an instance anew.
version: 1
stack: imported  # choose its name before the first apply: it marks every resource
region: us-east-1
account_id: "123456789012"

security_groups:
  web:
    adopt: {SG}
    description: Managed by Terraform
    vpc: {{tags: {{Name: lab}}}}
    ingress: []
    egress: []

instances:
  web:
    adopt: {WEB}
    image: ami-0123456789abcdef0
    instance_type: t3.micro
    tags: {{Project: x}}

network_interfaces:
  web-eth0:
    adopt: {ETH0}
    subnet: {{tags: {{Name: lab-a}}}}
    security_groups: [web]
    private_ip: 10.0.1.4
    attachment: {{instance: web, device_index: 0, delete_on_termination: true}}  # EC2 deletes it with the instance
  eth1:
    adopt: {ENI}
    subnet: {{tags: {{Name: lab-a}}}}
    security_groups: [web]
    private_ip: 10.0.1.10
    attachment: {{instance: web, device_index: 1}}
    tags: {{Name: data, Project: x}}

elastic_ips:
  web:  # 203.0.113.7
    adopt: {EIP}
    association: {{network_interface: eth1}}
    tags: {{Project: x}}
"""
    )
    assert made.forget == (
        "aws_eip.web",
        "aws_eip_association.web",
        "aws_instance.web",
        "aws_network_interface.eth1",
        "aws_network_interface_attachment.eth1",
        "aws_security_group.web",
    )
    assert made.notes == (
        "not in the spec: the user data of instances.web: add it before you launch them anew",
        f"selected by Name: {SUBNET} (lab-a), {VPC} (lab): {BY_NAME}",
        "stays in Terraform: aws_key_pair: enireconcile does not manage them",
    )


# ---- interfaces


def test_addresses_of_an_interface() -> None:
    found = row(
        "network_interfaces",
        "eth1",
        interface(
            private_ips=["10.0.1.12", "10.0.1.10", "10.0.1.11"],
            private_ip_list=[],
            ipv6_addresses=["2001:DB8::2", "2001:db8::1"],
            ipv4_prefixes=["10.0.1.32/28"],
            ipv6_prefixes=["2001:db8:0:1::/80"],
            enable_primary_ipv6=True,
            source_dest_check=False,
            description="data",
            interface_type="efa",
        ),
    )
    assert found == {
        **ETH1,
        "secondary_private_ips": ["10.0.1.11", "10.0.1.12"],
        "ipv6_addresses": ["2001:db8::1", "2001:db8::2"],
        "primary_ipv6": True,
        "ipv4_prefixes": ["10.0.1.32/28"],
        "ipv6_prefixes": ["2001:db8:0:1::/80"],
        "source_dest_check": False,
        "description": "data",
        "interface_type": "efa",
    }


@pytest.mark.parametrize(
    "resources",
    [
        (interface(), attachment()),
        (interface(attachment=[{"instance": WEB, "device_index": 1, "attachment_id": "eni-attach-1"}]),),
        (interface(), instance(network_interface=[{"network_interface_id": ENI, "device_index": 1}])),
    ],
    ids=["resource", "block", "launch"],
)
def test_where_an_interface_is_attached(resources: Any) -> None:
    """By either of the two, to an instance with or without a row."""
    launched = [] if any(each["type"] == "aws_instance" for each in resources) else [instance()]
    assert row("network_interfaces", "eth1", *resources, *launched)["attachment"] == ATTACHED


def test_the_instance_of_an_attachment_is_elsewhere() -> None:
    made = take(interface(), attachment(network_card_index=1))
    data = yaml.safe_load(str(made.text))
    assert data["instances"] == {"instance-cdef0": {"external": WEB}}
    assert data["network_interfaces"]["eth1"]["attachment"] == {
        "instance": "instance-cdef0",
        "device_index": 1,
        "network_card_index": 1,
    }


def test_what_has_moved_since_it_was_read() -> None:
    """Terraform reads the interface and the Elastic IP, and then moves them: what moved them knows where to."""
    old, second = "i-0000000000000000f", "eni-00000000000000002"
    moved = resource("aws_eip_association.x", allocation_id=EIP, network_interface_id=ENI, private_ip_address="")
    made = take(
        interface(attachment=[{"instance": old, "device_index": 3}]),
        interface("aws_network_interface.b", id=second, private_ip="10.0.1.20"),
        instance(),
        attachment(),
        address(network_interface=second, private_ip="10.0.1.20"),
        moved,
    )
    data = yaml.safe_load(str(made.text))
    assert data["network_interfaces"]["eth1"]["attachment"] == ATTACHED
    assert data["elastic_ips"]["web"]["association"] == {"network_interface": "eth1"}


def test_a_detached_interface() -> None:
    assert "attachment" not in row("network_interfaces", "eth1", interface(), attachment(status="detached"))


def test_groups_by_a_resource_of_their_own() -> None:
    """On an interface, and on the one that EC2 made for an instance."""
    second = "sg-00000000000000002"
    groups = (group(), group("aws_security_group.more", id=second, name="more"))

    def adds(interface_id: str) -> Any:
        kind = "aws_network_interface_sg_attachment.x"
        return resource(kind, network_interface_id=interface_id, security_group_id=second)

    assert row("network_interfaces", "eth1", interface(), *groups, adds(ENI))["security_groups"] == ["more", "web"]
    made = take(instance(), *groups, adds(ETH0))
    assert yaml.safe_load(str(made.text))["network_interfaces"]["web-eth0"]["security_groups"] == ["more", "web"]
    assert "aws_network_interface_sg_attachment.x" in made.forget


# ---- instances


def test_the_primary_interface_that_ec2_made() -> None:
    """It has no resource, and gets a row of what the instance shows."""
    found = row(
        "network_interfaces",
        "web-eth0",
        instance(
            secondary_private_ips=["10.0.1.5"],
            ipv6_addresses=["2001:db8::1"],
            source_dest_check=False,
            associate_public_ip_address=True,
            public_ip="198.51.100.7",
        ),
    )
    assert found == {
        "adopt": ETH0,
        "subnet": SUBNET,
        "security_groups": [SG],
        "private_ip": "10.0.1.4",
        "secondary_private_ips": ["10.0.1.5"],
        "ipv6_addresses": ["2001:db8::1"],
        "source_dest_check": False,
        "attachment": {"instance": "web", "device_index": 0, "delete_on_termination": True},
        "associate_public_ip_address": True,
    }


def test_the_public_address_is_an_elastic_ip() -> None:
    """It is told there, with the instance that Terraform names."""
    made = take(
        instance(associate_public_ip_address=True, public_ip="203.0.113.7"),
        address(instance=WEB, private_ip="10.0.1.4"),
    )
    data = yaml.safe_load(str(made.text))
    assert "associate_public_ip_address" not in data["network_interfaces"]["web-eth0"]
    assert data["elastic_ips"]["web"]["association"] == {"network_interface": "web-eth0"}


@pytest.mark.parametrize(
    "block",
    [
        {"network_interface": [{"network_interface_id": ENI, "device_index": 0, "delete_on_termination": False}]},
        {"primary_network_interface": [{"network_interface_id": ENI, "delete_on_termination": False}]},
    ],
    ids=["provider-5", "provider-6"],
)
def test_the_primary_interface_is_a_resource(block: Any) -> None:
    """In this state it is a row; in another one it is left alone."""
    launched = instance(primary_network_interface_id=ENI, **block)
    data = yaml.safe_load(str(take(launched, interface()).text))
    assert data["network_interfaces"] == {"eth1": {**ETH1, "attachment": {"instance": "web", "device_index": 0}}}
    assert "network_interfaces" not in yaml.safe_load(str(take(launched).text))


def test_the_primary_interface_by_provider_6() -> None:
    """It shows a block for what EC2 made, too; and the interface may be a data source besides."""
    block = [{"network_interface_id": ETH0, "delete_on_termination": True}]
    seen = interface("data.aws_network_interface.x", id=ETH0, arn=None)
    found = row("network_interfaces", "web-eth0", instance(primary_network_interface=block), seen)
    assert found["attachment"] == {"instance": "web", "device_index": 0, "delete_on_termination": True}


def test_attributes_of_an_instance() -> None:
    options = {"http_endpoint": "enabled", "http_tokens": "optional", "http_put_response_hop_limit": 3}
    found = row(
        "instances",
        "web",
        instance(
            key_name="ops",
            iam_instance_profile="web",
            disable_api_termination=True,
            disable_api_stop=True,
            ebs_optimized=True,
            monitoring=True,
            maintenance_options=[{"auto_recovery": "disabled"}],
            instance_initiated_shutdown_behavior="terminate",
            credit_specification=[{"cpu_credits": "standard"}],
            placement_group="near",
            metadata_options=[{**options, "instance_metadata_tags": "enabled"}],
        ),
    )
    assert found == {
        "adopt": WEB,
        "image": "ami-0123456789abcdef0",
        "instance_type": "t3.micro",
        "key_name": "ops",
        "iam_instance_profile": "web",
        "termination_protection": True,
        "stop_protection": True,
        "ebs_optimized": True,
        "monitoring": True,
        "auto_recovery": False,
        "shutdown_behavior": "terminate",
        "cpu_credits": "standard",
        "placement": {"group": "near"},
        "metadata_options": {
            "http_tokens": "optional",
            "instance_metadata_tags": "enabled",
            "http_put_response_hop_limit": 3,
        },
    }


def test_a_stopped_instance() -> None:
    assert row("instances", "web", instance(instance_state="stopping"))["state"] == "stopped"


@pytest.mark.parametrize("key", ["user_data", "user_data_base64"])
def test_secrets_never_show(key: str) -> None:
    """A hash, base64 or the text itself, as the provider keeps it; and passwords."""
    secrets = {key: "aHVudGVyMg==", "password_data": "hunter3"}
    made = take(instance(get_password_data=True, **secrets))
    printed = f"{made.text}{made.notes}{made.forget}"
    assert "aHVudGVyMg" not in printed
    assert "hunter" not in printed
    assert "not in the spec: the user data of instances.web: add it before you launch them anew" in made.notes


def test_what_the_configuration_marks_as_sensitive() -> None:
    """Tags are left as they are; of other attributes a note tells that they are in the spec."""
    marks = {"sensitive_values": {"tags": {"Token": True}, "tags_all": {"Token": True}, "private_ips": True}}
    tags = {"Token": "hunter2", "Role": "x"}
    made = take(interface("aws_network_interface.eth1", marks, tags=tags, tags_all=tags))
    assert yaml.safe_load(str(made.text))["network_interfaces"]["eth1"]["tags"] == {"Role": "x"}
    assert "hunter2" not in f"{made.text}{made.notes}"
    assert made.notes == (
        "not in the spec: tags of aws_network_interface.eth1 that are sensitive: they stay as they are",
        "aws_network_interface.eth1: private_ips is sensitive in Terraform, and may be in the spec",
    )


# ---- Elastic IPs


@pytest.mark.parametrize(
    "resources",
    [
        (address(network_interface=ENI, private_ip="10.0.1.11"),),
        (
            address(),
            resource(
                "aws_eip_association.x",
                allocation_id=EIP,
                network_interface_id=ENI,
                private_ip_address="10.0.1.11",
            ),
        ),
        (
            address(),
            resource(
                "aws_eip_association.x",
                public_ip="203.0.113.7",
                network_interface_id=ENI,
                private_ip_address="10.0.1.11",
            ),
        ),
    ],
    ids=["own", "allocation", "address"],
)
def test_an_address_on_a_secondary_one(resources: Any) -> None:
    eth1 = interface(private_ips=["10.0.1.10", "10.0.1.11"], private_ip_list=[])
    made = take(eth1, *resources)
    found = yaml.safe_load(str(made.text))["elastic_ips"]["web"]
    assert found["association"] == {"network_interface": "eth1", "private_ip": "10.0.1.11"}
    assert made.forget[:-1] == tuple(each["address"] for each in resources)


def test_an_address_of_an_instance() -> None:
    """An association that names the instance alone leads to its primary interface."""
    found = row(
        "elastic_ips",
        "web",
        address(),
        instance(),
        resource("aws_eip_association.x", allocation_id=EIP, instance_id=WEB),
    )
    assert found["association"] == {"network_interface": "web-eth0"}


def test_an_interface_elsewhere() -> None:
    """A data source is named by its id; what the state does not show is left as it is, and said."""
    seen = interface("data.aws_network_interface.x", attachment=[{"instance_id": WEB, "device_index": 1}])
    held = address(network_interface=ENI, private_ip="10.0.1.10")
    assert row("elastic_ips", "web", held, seen)["association"] == {"network_interface": ENI}
    made = take(held)
    assert yaml.safe_load(str(made.text))["elastic_ips"] == {"web": {"adopt": EIP}}
    assert f"web: {{adopt: {EIP}}}  # 203.0.113.7, associated with {ENI}" in str(made.text)


def test_reverse_dns_pool_and_border_group() -> None:
    more = {
        "public_ipv4_pool": "ipv4pool-ec2-0123456789abcdef0",
        "network_border_group": "us-east-1-wl1-bos-wlz-1",
    }
    found = row("elastic_ips", "web", address(ptr_record="www.example.com.", **more))
    assert found == {"adopt": EIP, "reverse_dns": "www.example.com", **more}
    domain = resource("aws_eip_domain_name.x", allocation_id=EIP, domain_name="www.example.com")
    made = take(address(), domain)
    assert yaml.safe_load(str(made.text))["elastic_ips"]["web"]["reverse_dns"] == "www.example.com"
    assert "aws_eip_domain_name.x" in made.forget


# ---- routes


def test_routes_to_an_interface() -> None:
    """In a table that the state shows or not; those that lead elsewhere are not told."""
    table = resource(
        "aws_route_table.a", id="rtb-00000000000000001", vpc_id=VPC, tags={"Name": "private"}, route=[]
    )
    made = take(
        interface(),
        table,
        resource(
            "aws_route.a",
            route_table_id="rtb-00000000000000001",
            destination_cidr_block="0.0.0.0/0",
            network_interface_id=ENI,
        ),
        resource(
            "aws_route.b",
            route_table_id="rtb-00000000000000002",
            destination_ipv6_cidr_block="::/0",
            network_interface_id=ENI,
        ),
        resource(
            "aws_route.c",
            route_table_id="rtb-00000000000000002",
            destination_cidr_block="0.0.0.0/0",
            gateway_id="igw-1",
        ),
        resource(
            "aws_route.d",
            route_table_id="rtb-00000000000000002",
            destination_cidr_block="10.9.0.0/16",
            network_interface_id="eni-00000000000000009",
        ),
    )
    assert yaml.safe_load(str(made.text))["network_interfaces"]["eth1"]["routes"] == [
        {"route_table": {"tags": {"Name": "private"}}, "destination": "0.0.0.0/0"},
        {"route_table": "rtb-00000000000000002", "destination": "::/0"},
    ]
    assert made.forget == ("aws_network_interface.eth1", "aws_route.a", "aws_route.b")
    assert made.notes == (
        "stays in Terraform: aws_route.d: the network interface eni-00000000000000009 gets no row",
        f"selected by Name: rtb-00000000000000001 (private): {BY_NAME}",
        "stays in Terraform: aws_route, aws_route_table: enireconcile does not manage them",
    )


def test_inline_routes() -> None:
    """Terraform cannot forget a block: a note says what to do. The blocks of separate routes are only shown."""
    blocks = [{"cidr_block": end, "network_interface_id": ENI} for end in ("0.0.0.0/0", "10.9.0.0/16")]
    main = "rtb-00000000000000001"
    table = resource("aws_default_route_table.main", id=main, vpc_id=VPC, tags={}, route=blocks)
    route = resource(
        "aws_route.a", route_table_id=main, destination_cidr_block="0.0.0.0/0", network_interface_id=ENI
    )
    made = take(interface(), table, vpc("aws_default_vpc.it"), route)
    assert yaml.safe_load(str(made.text))["network_interfaces"]["eth1"]["routes"] == [
        {"route_table": {"main_of": "default"}, "destination": end} for end in ("0.0.0.0/0", "10.9.0.0/16")
    ]
    assert made.notes[0] == (
        "aws_default_route_table.main stays in Terraform, and its route 10.9.0.0/16 is in "
        "network_interfaces.eth1, too: take that route out of its block, and add "
        "`lifecycle { ignore_changes = [route] }` to it"
    )


# ---- selectors


def test_defaults_of_vpcs_and_zones() -> None:
    """The default VPC and its subnets by what they are, the default group of a VPC by saying none."""
    made = take(
        vpc(default=True, tags={}, default_security_group_id="sg-00000000000000009"),
        subnet(default_for_az=True, tags={}),
        group(),
        interface(security_groups=["sg-00000000000000009"]),
    )
    data = yaml.safe_load(str(made.text))
    assert "vpc" not in data["security_groups"]["web"]
    assert data["network_interfaces"]["eth1"]["subnet"] == {"default_for_az": "us-east-1a"}
    assert "security_groups" not in data["network_interfaces"]["eth1"]


def test_names_that_are_not_unique() -> None:
    """Two subnets of one Name are told by their ids; and so is what the state knows by its id alone."""
    made = take(subnet(), subnet("aws_subnet.b", id="subnet-00000000000000002"), group(), interface())
    data = yaml.safe_load(str(made.text))
    assert data["network_interfaces"]["eth1"]["subnet"] == SUBNET
    assert data["security_groups"]["web"]["vpc"] == VPC


def test_rows_of_one_name_are_numbered() -> None:
    """Names that differ by what a spec cannot say."""
    made = take(
        *(
            address(f'aws_eip.fw["{key}"]', id=f"eipalloc-0000000000000000{number}", arn=None, region="us-east-1")
            for number, key in enumerate(("a.b", "a/b", "c"))
        )
    )
    assert [*yaml.safe_load(str(made.text))["elastic_ips"]] == ["fw-a-b-1", "fw-a-b-2", "fw-c"]


# ---- what stays


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ((address("aws_eip.web", {"tainted": True}),), "it is tainted: Terraform is about to replace it"),
        (
            (address("aws_eip.web", {"deposed_key": "bye"}),),
            f"its old object {EIP} is deposed: run `terraform apply` first",
        ),
        ((address(id="203.0.113.7", domain="standard"),), "the state has no id of EC2 for it, but '203.0.113.7'"),
        ((address(id=None),), "the state has no id for it"),
        ((address(), resource("aws_nat_gateway.x", allocation_id=EIP)), "aws_nat_gateway.x uses it"),
        (
            (address(), resource("aws_lb.x", subnet_mapping=[{"allocation_id": EIP}])),
            "aws_lb.x uses it",
        ),
        ((address(tags_all={"enireconcile:stack": "old"}),), f"it gets no row: see what is said of {EIP}"),
    ],
)
def test_why_an_address_stays(resources: Any, words: str) -> None:
    made = take(*resources)
    assert (made.text, made.forget) == (None, ())
    assert any(f"stays in Terraform: aws_eip.web: {words}" in note for note in made.notes)


@pytest.mark.parametrize(
    ("stays", "words"),
    [
        (instance(instance_state="terminated"), "aws_instance.web: it is terminated"),
        (
            interface(ipv6_addresses=["nonsense"]),
            "aws_network_interface.eth1: the state shows an IP address for it",
        ),
        (
            group("aws_default_security_group.x"),
            "aws_default_security_group.x: the default group of a VPC cannot be",
        ),
    ],
)
def test_why_others_stay(stays: Any, words: str) -> None:
    made = take(stays, address())
    assert made.forget == ("aws_eip.web",)
    assert any(note.startswith(f"stays in Terraform: {words}") for note in made.notes)


def test_a_tainted_instance_keeps_its_interface() -> None:
    """The interface has a row, the instance is one that others manage."""
    made = take(instance("aws_instance.web", {"tainted": True}), interface(), attachment())
    data = yaml.safe_load(str(made.text))
    assert [*data["instances"].values()] == [{"external": WEB}]
    assert [*data["network_interfaces"]] == ["eth1"]
    assert made.forget == ("aws_network_interface.eth1", "aws_network_interface_attachment.eth1")


def test_the_default_group_is_told_by_its_name() -> None:
    """In rules and in lists, though it stays in Terraform."""
    default = group("aws_default_security_group.x", id="sg-00000000000000009", name="default")
    rule = {"security_groups": ["sg-00000000000000009"], "protocol": "-1", "from_port": 0, "to_port": 0}
    found = row("security_groups", "web", default, group(ingress=[rule]))
    assert found["ingress"] == [{"protocol": "all", "sources": [{"group_name": "default"}]}]


@pytest.mark.parametrize(
    "keys",
    [
        ['"a"', '"b"', '"c"', '"d"', '"e"'],
        ["0", "1", "2", "3", "4"],
        ['"us-east-1a"', '"us-east-1b"', '"us-east-1c"', '"us-east-1d"', '"us-east-1f"'],
    ],
)
def test_keys_of_count_and_for_each_are_those_of_templates(keys: list[str]) -> None:
    made = [
        instance(
            f"aws_instance.host[{key}]",
            id=f"i-{number:017x}",
            primary_network_interface_id=f"eni-{number:017x}",
            private_ip=f"10.0.1.{number + 10}",
        )
        for number, key in enumerate(keys)
    ]
    data = yaml.safe_load(str(take(*made, subnet(), vpc(), group()).text))
    assert data["variables"]["host"] == {
        key.strip('"'): {
            "instance": f"i-{number:017x}",
            "eth0": f"eni-{number:017x}",
            "private_ip": f"10.0.1.{number + 10}",
        }
        for number, key in enumerate(keys)
    }
    assert data["instances"]["host-${each.key}"]["adopt"] == "${each.value.instance}"


def test_many_other_kinds_are_summed_up() -> None:
    others = [resource(f"aws_kind{number:02}.x") for number in range(20)] + [resource("aws_kind00.y")]
    [note] = take(address(), *others).notes
    assert note.startswith("stays in Terraform: aws_kind00 (2), aws_kind01, ")
    assert note.endswith(", aws_kind11, and 8 more types: enireconcile does not manage them")


@pytest.mark.parametrize(
    ("file", "stack"),
    [
        ("shop.json", "shop"),
        ("states/Web Shop.v2.json", "web-shop"),
        ("state.json", "imported"),
        ("terraform.tfstate.json", "imported"),
        (".json", "imported"),
        (None, "imported"),
        ("2024.json", "imported-2024"),
    ],
)
def test_the_name_of_the_stack(file: str | None, stack: str) -> None:
    """That of the file, where it says something."""
    assert yaml.safe_load(str(imported(read(address()), file).text))["stack"] == stack
