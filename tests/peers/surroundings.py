"""Where Terraform and Ansible are, and environments in which they know nothing of the user's settings."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROVIDER = "registry.terraform.io/hashicorp/aws"

PROVIDERS = """
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
"""
HOST = """
resource "aws_instance" "web" {
  ami           = data.aws_ssm_parameter.image.insecure_value
  instance_type = "t2.micro"
  user_data     = "#!/bin/bash\\necho hunter2\\n"
  dynamic "network_interface" {
    for_each = aws_network_interface.web
    content {
      device_index         = network_interface.key
      network_interface_id = network_interface.value.id
    }
  }
}
resource "aws_eip" "web" {
  count             = 2
  domain            = "vpc"
  network_interface = aws_network_interface.web[count.index].id
  depends_on        = [aws_instance.web]
}
"""
"""The instance of specs/two-enis.yaml on two interfaces and with two Elastic IPs, which are all named web."""


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


def terraform_environment(folder: Path) -> dict[str, str]:
    """The environment of terraform in a directory of its own."""
    (folder / "cli.tfrc").write_text("")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TF_CLI_CONFIG_FILE": str(folder / "cli.tfrc"),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def ansible_playbook() -> str | None:
    """The `ansible-playbook` that was installed together with this Python, else the one on the PATH."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    return str(beside) if beside.exists() else shutil.which("ansible-playbook")


def ansible_environment(folder: Path) -> dict[str, str]:
    """The environment of ansible-playbook in a directory of its own."""
    nothing = folder / "ansible.cfg"
    nothing.touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(nothing),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANSIBLE_CONFIG": str(nothing),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
    }
