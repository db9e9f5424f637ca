"""States as `terraform show -json` writes them, with the AWS provider 5.100."""

from __future__ import annotations

import json
from typing import Any

from enireconcile.export.terraform.state import Resource, read_state
from enireconcile.export.terraform.taking import Imported, imported

ACCOUNT, REGION = "123456789012", "us-east-1"
VPC, SUBNET = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
SG, ENI, WEB, EIP = (f"{prefix}-0123456789abcdef0" for prefix in ("sg", "eni", "i", "eipalloc"))
ETH0 = "eni-0000000000000000a"


def arn(what: str, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:ec2:{region}:{account}:{what}"


def resource(address: str, more: Any = None, /, **values: Any) -> dict[str, Any]:
    """A resource at an address without a dot in its index; ``more`` are keys beside its values."""
    before, _, index = address.removesuffix("]").partition("[") if address.endswith("]") else (address, "", "")
    if "module." in index:
        raise ValueError(address)
    *_, kind, name = before.rsplit(".", 2)
    found: dict[str, Any] = {
        "address": address,
        "mode": "data" if address.startswith("data.") else "managed",
        "type": kind,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "schema_version": 0,
        "values": values,
        "sensitive_values": {},
    }
    if index:
        found["index"] = json.loads(index)
    return found | (more or {})


def state(*resources: Any, modules: Any = ()) -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "terraform_version": "1.11.4",
        "values": {"root_module": {"resources": [*resources], "child_modules": [*modules]}},
    }


def read(*resources: Any, modules: Any = ()) -> tuple[Resource, ...]:
    return read_state(json.dumps(state(*resources, modules=modules)).encode(), "state.json")


def take(*resources: Any, modules: Any = (), **chosen: Any) -> Imported:
    return imported(read(*resources, modules=modules), "state.json", **chosen)


def rules(**values: Any) -> dict[str, Any]:
    """A block of ingress or egress as the state has it."""
    empty: dict[str, Any] = {
        "cidr_blocks": [],
        "ipv6_cidr_blocks": [],
        "prefix_list_ids": [],
        "security_groups": [],
    }
    return {**empty, "self": False, "description": "", "from_port": 0, "to_port": 0, "protocol": "-1", **values}


EVERYWHERE = rules(cidr_blocks=["0.0.0.0/0"])


def group(address: str = "aws_security_group.web", more: Any = None, /, **values: Any) -> dict[str, Any]:
    """By default a group as Terraform has it after its creation: without the rules of other resources."""
    own = {"id": SG, "arn": arn(f"security-group/{SG}"), "name": "web", "description": "Managed by Terraform"}
    rest = {"vpc_id": VPC, "ingress": [], "egress": [], "tags": {}, "tags_all": {}, "owner_id": ACCOUNT}
    return resource(address, more, **{**own, **rest, **values})


def interface(address: str = "aws_network_interface.eth1", more: Any = None, /, **values: Any) -> dict[str, Any]:
    own = {"id": ENI, "arn": arn(f"network-interface/{ENI}"), "subnet_id": SUBNET, "security_groups": [SG]}
    ips = {"private_ip": "10.0.1.10", "private_ips": ["10.0.1.10"], "private_ip_list": ["10.0.1.10"]}
    lists: dict[str, Any] = {
        "ipv6_addresses": [],
        "ipv6_address_list": [],
        "ipv4_prefixes": [],
        "ipv6_prefixes": [],
    }
    rest = {"source_dest_check": True, "description": "", "interface_type": "interface", "attachment": []}
    tags: dict[str, Any] = {"tags": None, "tags_all": {}, "enable_primary_ipv6": None}
    return resource(address, more, **{**own, **ips, **lists, **rest, **tags, **values})


def instance(address: str = "aws_instance.web", more: Any = None, /, **values: Any) -> dict[str, Any]:
    """With a primary interface that EC2 made."""
    own = {"id": WEB, "arn": arn(f"instance/{WEB}"), "ami": "ami-0123456789abcdef0", "instance_type": "t3.micro"}
    eth0 = {"primary_network_interface_id": ETH0, "subnet_id": SUBNET, "private_ip": "10.0.1.4"}
    more_of_it = {"secondary_private_ips": [], "ipv6_addresses": [], "vpc_security_group_ids": [SG]}
    public = {"associate_public_ip_address": False, "public_ip": "", "source_dest_check": True}
    options = {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 2}
    blocks: dict[str, Any] = {
        "metadata_options": [{**options, "instance_metadata_tags": "disabled", "http_protocol_ipv6": "disabled"}],
        "maintenance_options": [{"auto_recovery": "default"}],
        "credit_specification": [{"cpu_credits": "unlimited"}],
        "network_interface": [],
        "root_block_device": [{"volume_size": 20, "volume_type": "gp3", "device_name": "/dev/xvda"}],
    }
    flags = {
        "disable_api_termination": False,
        "disable_api_stop": False,
        "monitoring": False,
        "ebs_optimized": False,
    }
    rest: dict[str, Any] = {
        "instance_state": "running",
        "instance_initiated_shutdown_behavior": "stop",
        "key_name": "",
        "iam_instance_profile": "",
        "placement_group": "",
        "availability_zone": "us-east-1a",
        "user_data": None,
        "user_data_base64": None,
        "get_password_data": False,
        "password_data": "",
        "tags": None,
        "tags_all": {},
    }
    found = {**own, **eth0, **more_of_it, **public, **blocks, **flags, **rest, **values}
    return resource(address, more, **found)


def address(where: str = "aws_eip.web", more: Any = None, /, **values: Any) -> dict[str, Any]:
    """By default an Elastic IP as Terraform has it after its creation: without what associates it."""
    own = {"id": EIP, "allocation_id": EIP, "arn": arn(f"elastic-ip/{EIP}"), "public_ip": "203.0.113.7"}
    place = {"network_interface": "", "instance": "", "private_ip": "", "associate_with_private_ip": None}
    rest = {"public_ipv4_pool": "amazon", "network_border_group": REGION, "domain": "vpc", "ptr_record": ""}
    return resource(where, more, **{**own, **place, **rest, "tags": None, "tags_all": {}, **values})


def subnet(where: str = "data.aws_subnet.a", /, **values: Any) -> dict[str, Any]:
    own = {"id": SUBNET, "arn": arn(f"subnet/{SUBNET}"), "vpc_id": VPC, "availability_zone": "us-east-1a"}
    rest: dict[str, Any] = {"cidr_block": "10.0.1.0/24", "tags": {"Name": "lab-a"}, "owner_id": ACCOUNT}
    return resource(where, **{**own, **rest, **values})


def vpc(where: str = "data.aws_vpc.lab", /, **values: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "id": VPC,
        "arn": arn(f"vpc/{VPC}"),
        "cidr_block": "10.0.0.0/16",
        "tags": {"Name": "lab"},
    }
    return resource(where, **{**own, "default": False, "ipv6_cidr_block": "", "owner_id": ACCOUNT, **values})
