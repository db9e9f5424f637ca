"""Terraform's AWS provider builds, re-plans and destroys on the strict EC2: a second opinion on its answers.
What it has built, ``import-terraform`` takes over.

Needs `terraform` on the PATH and the AWS provider in a filesystem mirror: the directory that
TF_PLUGIN_MIRROR names, one of those where terraform itself looks for plugins, or one below /opt.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enireconcile.aws.lab import SUBNETS, ZONE
from enireconcile.spec import load
from tests.ec2 import EC2Server, Settings, World
from tests.harness import ENVIRONMENT
from tests.peers.surroundings import HOST, PROVIDERS, mirror, terraform_environment
from tests.processes.test_cli import Run, command

__all__ = ["command"]

SPECS = Path(__file__).parents[2] / "specs"
CONFIGURATION = """
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}
data "aws_ami" "newest" {
  owners      = ["amazon"]
  most_recent = true
  filter {
    name   = "name"
    values = ["al2023-ami-2023.*-kernel-6.1-x86_64"]
  }
}
data "aws_vpc" "default" {
  default = true
}
data "aws_subnet" "a" {
  vpc_id            = data.aws_vpc.default.id
  availability_zone = "us-east-1a"
  default_for_az    = true
}
resource "aws_security_group" "web" {
  name        = "web"
  description = "Web traffic"
  vpc_id      = data.aws_vpc.default.id
  ingress {
    description = "http"
    protocol    = "tcp"
    from_port   = 80
    to_port     = 80
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_security_group" "inner" {
  name   = "inner"
  vpc_id = data.aws_vpc.default.id
  ingress {
    protocol        = "tcp"
    from_port       = 8000
    to_port         = 8010
    security_groups = [aws_security_group.web.id]
  }
}
resource "aws_network_interface" "eth0" {
  subnet_id       = data.aws_subnet.a.id
  security_groups = [aws_security_group.web.id]
  private_ips     = ["172.31.0.10"]
  tags            = { Name = "eth0" }
}
resource "aws_network_interface" "eth1" {
  subnet_id         = data.aws_subnet.a.id
  security_groups   = [aws_security_group.inner.id]
  source_dest_check = false
}
resource "aws_instance" "web" {
  ami                  = data.aws_ssm_parameter.image.insecure_value
  instance_type        = "t2.micro"
  key_name             = "ops"
  iam_instance_profile = "web"
  user_data            = "#!/bin/sh\\n"
  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.eth0.id
  }
  tags = { Name = "web" }
}
resource "aws_network_interface_attachment" "eth1" {
  instance_id          = aws_instance.web.id
  network_interface_id = aws_network_interface.eth1.id
  device_index         = 1
}
resource "aws_eip" "one" {
  domain            = "vpc"
  network_interface = aws_network_interface.eth0.id
  depends_on        = [aws_instance.web]
}
resource "aws_eip" "two" {
  domain = "vpc"
  tags   = { Name = "two" }
}
resource "aws_eip_association" "two" {
  allocation_id        = aws_eip.two.id
  network_interface_id = aws_network_interface.eth1.id
  depends_on           = [aws_network_interface_attachment.eth1]
}
output "same_image" {
  value = data.aws_ami.newest.id == nonsensitive(data.aws_ssm_parameter.image.value)
}
"""


TWINS = (
    """
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}
data "aws_vpc" "default" {
  default = true
}
data "aws_subnet" "default" {
  vpc_id            = data.aws_vpc.default.id
  availability_zone = "us-east-1a"
  default_for_az    = true
}
data "aws_vpc" "lab" {
  tags = { Name = "lab" }
}
data "aws_subnet" "lab" {
  for_each = toset(["lab-a", "lab-mgmt", "lab-private"])
  tags     = { Name = each.key }
}
data "aws_route_table" "private" {
  subnet_id = data.aws_subnet.lab["lab-private"].id
}

# specs/two-enis.yaml
resource "aws_security_group" "my-sg-1" {
  name        = "my-sg-1"
  description = "Web traffic"
  ingress {
    description = "http"
    protocol    = "tcp"
    from_port   = 80
    to_port     = 80
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_security_group" "my-sg-2" {
  name = "my-sg-2"
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_network_interface" "web" {
  count           = 2
  subnet_id       = data.aws_subnet.default.id
  security_groups = [[aws_security_group.my-sg-1.id, aws_security_group.my-sg-2.id][count.index]]
}
"""
    + HOST
    + """
# specs/firewall-pair.yaml
locals {
  pair   = { a = 11, b = 12 }
  places = { mgmt = ["lab-mgmt", "10.0.2"], outside = ["lab-a", "10.0.1"], inside = ["lab-private", "10.0.3"] }
  legs = merge([for key, ip in local.pair : {
    for leg, place in local.places :
    "${key}-${leg}" => { key = key, leg = leg, subnet = place[0], ip = "${place[1]}.${ip}" }
  }]...)
}
resource "aws_security_group" "fw" {
  for_each = local.places
  name     = "fw-${each.key}"
  vpc_id   = data.aws_vpc.lab.id
}
resource "aws_security_group_rule" "cluster" {
  security_group_id = aws_security_group.fw["mgmt"].id
  type              = "ingress"
  protocol          = "all"
  from_port         = 0
  to_port           = 0
  self              = true
  description       = "the cluster"
}
resource "aws_security_group_rule" "operators" {
  security_group_id = aws_security_group.fw["mgmt"].id
  type              = "ingress"
  protocol          = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_blocks       = ["192.0.2.0/24"]
  description       = "operators"
}
resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.fw["outside"].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  description       = "https"
}
resource "aws_vpc_security_group_ingress_rule" "vpc" {
  security_group_id = aws_security_group.fw["inside"].id
  ip_protocol       = "-1"
  cidr_ipv4         = "10.0.0.0/16"
  description       = "the VPC"
}
resource "aws_vpc_security_group_egress_rule" "all" {
  for_each          = aws_security_group.fw
  security_group_id = each.value.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_network_interface" "fw" {
  for_each          = local.legs
  subnet_id         = data.aws_subnet.lab[each.value.subnet].id
  private_ips       = [each.value.ip]
  security_groups   = [aws_security_group.fw[each.value.leg].id]
  source_dest_check = false
}
resource "aws_instance" "fw" {
  for_each      = local.pair
  ami           = data.aws_ssm_parameter.image.insecure_value
  instance_type = "m5.xlarge"
  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.fw["${each.key}-mgmt"].id
  }
  tags = { Role = "firewall", Name = "fw-${each.key}" }
}
resource "aws_network_interface_attachment" "fw" {
  for_each             = { for key, leg in local.legs : key => leg if leg.leg != "mgmt" }
  instance_id          = aws_instance.fw[each.value.key].id
  network_interface_id = aws_network_interface.fw[each.key].id
  device_index         = each.value.leg == "outside" ? 1 : 2
}
resource "aws_eip" "fw" {
  for_each = local.pair
  domain   = "vpc"
}
resource "aws_eip_association" "fw" {
  for_each             = local.pair
  allocation_id        = aws_eip.fw[each.key].id
  network_interface_id = aws_network_interface.fw["${each.key}-mgmt"].id
  depends_on           = [aws_instance.fw]
}
module "service" {
  source   = "./service"
  subnet   = data.aws_subnet.lab["lab-a"].id
  group    = aws_security_group.fw["outside"].id
  instance = aws_instance.fw["a"].id
  table    = data.aws_route_table.private.id
}
"""
)
SERVICE = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "subnet" {}
variable "group" {}
variable "instance" {}
variable "table" {}
resource "aws_network_interface" "this" {
  subnet_id         = var.subnet
  private_ips       = ["10.0.1.100"]
  source_dest_check = false
}
resource "aws_network_interface_sg_attachment" "this" {
  network_interface_id = aws_network_interface.this.id
  security_group_id    = var.group
}
resource "aws_network_interface_attachment" "this" {
  instance_id          = var.instance
  network_interface_id = aws_network_interface.this.id
  device_index         = 3
}
resource "aws_eip" "this" {
  domain            = "vpc"
  network_interface = aws_network_interface.this.id
  depends_on        = [aws_network_interface_attachment.this]
}
resource "aws_route" "out" {
  route_table_id         = var.table
  destination_cidr_block = "0.0.0.0/0"
  network_interface_id   = aws_network_interface.this.id
}
"""


@pytest.fixture
def terraform(tmp_path: Path) -> Callable[..., str]:
    """Runs terraform in a directory of its own, knowing nothing of the user's configuration."""
    binary, plugins = shutil.which("terraform"), mirror()
    if binary is None:
        pytest.skip("no terraform on the PATH")
    if plugins is None:
        pytest.skip("no mirror of the AWS provider: set TF_PLUGIN_MIRROR to one")
    environment = terraform_environment(tmp_path)

    def run(*arguments: str, expect: int = 0) -> str:
        mirrored = [f"-plugin-dir={plugins}"] if arguments[0] == "init" else []
        done = subprocess.run(
            [binary, *arguments, *mirrored],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, f"terraform {arguments[0]}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.mark.timeout(400)
def test_terraform_builds_plans_nothing_more_and_destroys(terraform: Callable[..., str], tmp_path: Path) -> None:
    """Two interfaces, two Elastic IPs, two groups, one instance: applied, found unchanged, and removed."""
    (tmp_path / "main.tf").write_text(PROVIDERS + CONFIGURATION)
    terraform("init", "-no-color", "-input=false")
    # The provider waits minutes for a `detached` that it does not get to see.
    settings = Settings(
        attach_delay=0.5, detach_delay=0.5, detached_delay=5.0, pending_delay=0.5, terminate_delay=0.5
    )
    world = World(settings)
    with EC2Server(world) as server:
        common = ("-no-color", "-input=false", f"-var=url={server.url}")
        terraform("apply", "-auto-approve", *common)
        outputs: dict[str, Any] = json.loads(terraform("output", "-json"))
        assert outputs["same_image"]["value"] is True
        instance = next(iter(world.data.instances.values()))
        slots = {eni.attachment.device_index: eni for eni in world.interfaces_of(instance) if eni.attachment}
        assert slots[0].ips == ["172.31.0.10"]
        assert slots[1].source_dest_check is False
        assert {(eni.id, eni.ips[0]) for eni in slots.values()} == set(world.data.by_target)

        server.clear()
        terraform("plan", "-detailed-exitcode", *common)
        assert server.mutating() == []

        terraform("destroy", "-auto-approve", *common)
        world.settle()
        assert (world.data.interfaces, world.data.addresses) == ({}, {})
        assert {group.name for group in world.data.groups.values()} == {"default"}
        assert instance.state == "terminated"


@pytest.mark.timeout(400)
def test_what_terraform_built_is_taken_over(
    terraform: Callable[..., str], command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twins of two specs: imported, adopted, forgotten by Terraform, and left alone by it from then on."""
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "main.tf").write_text(SERVICE)
    (tmp_path / "main.tf").write_text(PROVIDERS + TWINS)
    terraform("init", "-no-color", "-input=false")
    world = World(Settings(attach_delay=0.5, pending_delay=0.5))
    vpc = world.add_vpc("10.0.0.0/16", gateway=True, tags={"Name": "lab"})
    subnets = {name: world.add_subnet(vpc, cidr, ZONE, tags={"Name": name}) for name, cidr in SUBNETS.items()}
    with EC2Server(world) as server:
        private = world.add_route_table(vpc, {"Name": "lab-private"})
        server.client("ec2").associate_route_table(RouteTableId=private, SubnetId=subnets["lab-private"])
        common = ("-no-color", "-input=false", f"-var=url={server.url}")
        terraform("apply", "-auto-approve", *common)
        state, spec = tmp_path / "twins.json", tmp_path / "twins.yaml"
        state.write_text(terraform("show", "-json"))

        made = command("import-terraform", str(state))
        assert "hunter2" not in made.stdout + made.stderr
        spec.write_text(made.stdout)
        assert command("validate", str(spec)).code == 0
        assert_twins(spec)

        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ENIRECONCILE_STATE", str(tmp_path / "lock"))
        plan = command("plan", "--output", "json", str(spec)).json
        assert {change["action"] for change in plan["changes"]} == {"adopt"}
        assert {step["call"] for step in plan["steps"]} == {"CreateTags"}
        assert (plan["warnings"], plan["errors"]) == ([], [])
        assert command("apply", "-y", str(spec)).code == 0
        assert command("plan", "--detailed-exitcode", str(spec)).code == 0

        lines = [shlex.split(line) for line in made.stderr.splitlines() if line.startswith("terraform ")]
        terraform(*lines[0][1:3], *(address for line in lines for address in line[3:]))
        assert {line.partition(".")[0] for line in terraform("state", "list").splitlines()} == {"data"}
        server.clear()
        (tmp_path / "main.tf").write_text(PROVIDERS)
        terraform("plan", "-detailed-exitcode", *common)
        assert server.mutating() == []


def assert_twins(path: Path) -> None:
    """The spec says of each resource what the specs say whose twins they are, and adopts it."""
    [made] = load([str(path)])
    wanted = [load([str(SPECS / name)])[0].document for name in ("two-enis.yaml", "firewall-pair.yaml")]
    rows = {address: row for document in wanted for address, row in document.resources.items()}
    renamed = {f"network_interfaces.web-{index}": f"network_interfaces.web-eth{index}" for index in (0, 1)}
    renamed |= {f"elastic_ips.web-{index}": f"elastic_ips.web-{index + 1}" for index in (0, 1)}
    found = {renamed.get(address, address): row for address, row in made.document.resources.items()}
    assert set(found) == set(rows)
    # EC2 gives the default group, too, to an interface that Terraform makes without any.
    groups = found["network_interfaces.service"].model_dump()["security_groups"]
    assert (len(groups), "fw-outside" in groups) == (2, True)
    found["network_interfaces.service"] = found["network_interfaces.service"].model_copy(
        update={"security_groups": ("fw-outside",)}
    )
    for address, row in found.items():
        assert row.adopt is not None
        for key in _ALIKE[address.partition(".")[0]]:
            assert _in_order(getattr(row, key)) == _in_order(getattr(rows[address], key)), (address, key)
    table = found["network_interfaces.service"].model_dump(mode="json")["routes"]
    assert [(each["route_table"]["tags"], each["destination"]) for each in table] == [
        ({"Name": "lab-private"}, "0.0.0.0/0")
    ]


def _in_order(value: Any) -> Any:
    """Rules have no order."""
    return sorted(value, key=repr) if isinstance(value, tuple) else value


_ALIKE = {
    "security_groups": ("vpc", "ingress", "egress", "group_name"),
    "instances": ("instance_type",),
    "network_interfaces": ("subnet", "security_groups", "source_dest_check"),
    "elastic_ips": (),
}
"""What Terraform says as the specs do; the candidates of a failover, for example, it cannot say."""
