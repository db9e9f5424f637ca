"""Terraform's AWS provider builds, re-plans and destroys on the strict EC2: a second opinion on its answers.

Needs `terraform` on the PATH and the AWS provider in a filesystem mirror: the directory that
TF_PLUGIN_MIRROR names, one of those where terraform itself looks for plugins, or one below /opt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import EC2Server, Settings, World

PROVIDER = "registry.terraform.io/hashicorp/aws"

CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "url" {}
provider "aws" {
  region     = "us-east-1"
  access_key = "test"
  secret_key = "test"
  endpoints {
    ec2 = var.url
    sts = var.url
    ssm = var.url
  }
}
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


def mirror() -> Path | None:
    """A directory that holds the AWS provider, unpacked or not, in terraform's own layout."""
    places = [
        os.environ.get("TF_PLUGIN_MIRROR", ""),
        "~/.terraform.d/plugins",
        "~/.local/share/terraform/plugins",
        "/usr/local/share/terraform/plugins",
        "/usr/share/terraform/plugins",
        *(str(registry.parent) for registry in sorted(Path("/opt").glob("*/registry.terraform.io"))),
    ]
    found = (Path(place).expanduser() for place in places if place)
    return next((place for place in found if (place / PROVIDER).is_dir()), None)


@pytest.fixture
def terraform(tmp_path: Path) -> Callable[..., str]:
    """Runs terraform in a directory of its own, knowing nothing of the user's configuration."""
    binary, plugins = shutil.which("terraform"), mirror()
    if binary is None:
        pytest.skip("no terraform on the PATH")
    if plugins is None:
        pytest.skip("no mirror of the AWS provider: set TF_PLUGIN_MIRROR to one")
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    (tmp_path / "cli.tfrc").write_text("")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TF_CLI_CONFIG_FILE": str(tmp_path / "cli.tfrc"),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            [binary, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == expect, f"terraform {arguments[0]}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("init", "-no-color", "-input=false", f"-plugin-dir={plugins}")
    return run


@pytest.mark.timeout(400)
def test_terraform_builds_plans_nothing_more_and_destroys(terraform: Callable[..., str]) -> None:
    """Two interfaces, two Elastic IPs, two groups, one instance: applied, found unchanged, and removed."""
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
