"""The same networks by bare boto3, Terraform and Ansible on the same strict EC2."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ec2 import Buckets, Call, EC2Server, Quotas, Settings, World
from tests.ec2.faults import Drop, Fault, Latency
from tests.harness import STORY
from tests.peers.surroundings import (
    HOST,
    PROVIDERS,
    ansible_environment,
    ansible_playbook,
    mirror,
    terraform_environment,
)
from tests.peers.test_ansible import BUILD as ANSIBLE_STORY

from .large import many
from .story import CONVERGE, LATENCY, READS, environment_for
from .table import Table, seconds
from .whole import Cost, cost_of, python, tool

CASES = ((0.0, None), (0.0, 10), (0.0, 100), (0.0, 500), (LATENCY, None), (LATENCY, 100))
"""Seconds that a call takes, and how many interfaces with Elastic IPs; None is the story."""
_MOST_WITH_LEAKS, _MOST_WITH_ANSIBLE = 100, 10
LOSES = 7
"""Of so many creates under lost answers, one is made and its answer is lost."""
TRIES = 5
NONE = "—"

BARE = (
    READS.replace("two-enis", "many")
    + """
from botocore.config import Config
ec2 = boto3.client("ec2", config=Config(retries={"mode": "adaptive", "max_attempts": 50}))
if sys.argv[2:] != []:
    subnet = next(s for s in found[5]["Subnets"] if s["AvailabilityZone"] == "us-east-1a" and s["DefaultForAz"])
    def tags(kind, name):
        return [{"ResourceType": kind, "Tags": [{"Key": "enireconcile:stack", "Value": "many"},
                                                {"Key": "Name", "Value": name}]}]
    def pair(number):
        eni = ec2.create_network_interface(SubnetId=subnet["SubnetId"],
            TagSpecifications=tags("network-interface", f"x{number}"))["NetworkInterface"]["NetworkInterfaceId"]
        address = ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", f"x{number}"))
        ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(pair, range(int(sys.argv[2]))))
    read()
"""
)
TERRAFORM = """
data "aws_subnet" "a" {
  availability_zone = "us-east-1a"
  default_for_az    = true
}
resource "aws_network_interface" "x" {
  count     = COUNT
  subnet_id = data.aws_subnet.a.id
}
resource "aws_eip" "x" {
  count  = COUNT
  domain = "vpc"
}
resource "aws_eip_association" "x" {
  count                = COUNT
  allocation_id        = aws_eip.x[count.index].id
  network_interface_id = aws_network_interface.x[count.index].id
}
"""
TERRAFORM_STORY = (
    """
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}
data "aws_subnet" "a" {
  availability_zone = "us-east-1a"
  default_for_az    = true
}
resource "aws_security_group" "web" {
  count  = 2
  name   = "my-sg-${count.index + 1}"
  vpc_id = data.aws_subnet.a.vpc_id
}
resource "aws_vpc_security_group_ingress_rule" "http" {
  security_group_id = aws_security_group.web[0].id
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_network_interface" "web" {
  count           = 2
  subnet_id       = data.aws_subnet.a.id
  security_groups = [aws_security_group.web[count.index].id]
}
"""
    + HOST
)
ANSIBLE = """
- hosts: localhost
  gather_facts: false
  tasks:
    - amazon.aws.ec2_vpc_subnet_info:
        filters: {default-for-az: true, availability-zone: us-east-1a}
      register: subnets
    - amazon.aws.ec2_eni:
        name: "x{{ item }}"
        subnet_id: "{{ subnets.subnets[0].id }}"
      loop: "{{ range(COUNT) | list }}"
      register: made
    - amazon.aws.ec2_eip:
        device_id: "{{ item.interface.id }}"
        in_vpc: true
      loop: "{{ made.results }}"
"""


@dataclass(frozen=True)
class Peer:
    """``build`` and ``again`` are command lines; ``build`` may be repeated until it succeeds."""

    name: str
    build: Sequence[str]
    again: Sequence[str]
    environment: dict[str, str]


@dataclass
class Lose(Fault):
    """Every seventh create is made, and its answer is lost."""

    creates: int = 0

    def after(self, call: Call) -> None:
        if call.mutates and call.action.startswith(("Create", "Allocate", "Run")):
            self.creates += 1
            if self.creates % LOSES == 0:
                raise Drop(call.action)


def _ours(count: int | None, folder: Path, server: EC2Server) -> Peer:
    spec = STORY
    if count is not None:
        spec = folder / "many.yaml"
        spec.write_text(many(count))
    apply = tool("apply", "-y", spec)
    return Peer("enireconcile", apply, apply, environment_for(server, folder / "state"))


def _bare(count: int | None, folder: Path, server: EC2Server) -> Peer:
    build = python(CONVERGE, 7) if count is None else python(BARE, 7, count)
    return Peer("bare boto3", build, python(READS, 7), environment_for(server, folder))


def _terraform(count: int | None, folder: Path, server: EC2Server) -> Peer | str:
    binary, plugins = shutil.which("terraform"), mirror()
    if not binary or not plugins:
        return "not installed"
    environment = terraform_environment(folder)
    text = TERRAFORM_STORY if count is None else TERRAFORM.replace("COUNT", str(count))
    (folder / "main.tf").write_text(PROVIDERS + text)
    place = [binary, f"-chdir={folder}"]
    cost_of([*place, "init", "-no-color", "-input=false", f"-plugin-dir={plugins}"], environment)
    apply = [*place, "apply", "-auto-approve", "-no-color", "-input=false", f"-var=url={server.url}"]
    return Peer("Terraform", apply, apply, environment)


def _ansible(count: int | None, folder: Path, server: EC2Server) -> Peer | str:
    binary = ansible_playbook()
    if not binary:
        return "not installed"
    if (count or 0) > _MOST_WITH_ANSIBLE:
        return "not run: a process for each resource"
    playbook = folder / "playbook.yaml"
    playbook.write_text(ANSIBLE_STORY if count is None else ANSIBLE.replace("COUNT", str(count)))
    play = [binary, "--inventory=localhost,", "--connection=local", str(playbook)]
    return Peer("Ansible", play, play, {**ansible_environment(folder), "AWS_ENDPOINT_URL": server.url})


Make = Callable[[int | None, Path, EC2Server], Peer | str]


def peers(folder: Path) -> Table:
    """The story, and 10, 100 and 500 interfaces with Elastic IPs: built, and applied again."""
    table = Table(
        "Beside Terraform and Ansible",
        "The story, and N interfaces with an Elastic IP each, built from nothing and applied again when nothing "
        "is to do. Calls are those that EC2, STS and SSM got; EC2 has its token buckets. Leaks are resources that "
        f"a build has made twice and does not know: the answer of every {LOSES}th create is lost, and the build "
        "is repeated until it succeeds. Terraform keeps its default of ten concurrent operations.",
        ("what", "a call takes", "by", "build: calls", "wall", "peak", "again: calls", "wall", "leaks"),
    )
    for latency, count in CASES:
        shown = "the story" if count is None else f"N = {count}"
        for number, make in enumerate((_ours, _bare, _terraform, _ansible)):
            place = folder / f"{latency}-{count}-{number}"
            place.mkdir()
            table.add(shown, f"{latency * 1000:.0f} ms", *_measured(make, count, latency, place))
    return table


def _world(count: int | None) -> World:
    return World(Settings(quotas=Quotas(addresses=count or 5)))


def _measured(make: Make, count: int | None, latency: float, folder: Path) -> Sequence[str]:
    """The cells of a row."""
    with EC2Server(_world(count)) as server:
        server.faults.add(Latency(latency), Buckets())
        peer = make(count, folder, server)
        if isinstance(peer, str):
            return make.__name__.strip("_").capitalize(), peer, *[NONE] * 5
        build, building = _run(peer.build, peer, server)
        again, checking = _run(peer.again, peer, server)
    # Bare boto3 knows nothing of what an earlier run has made.
    without = latency or make is _bare or (count or 0) > _MOST_WITH_LEAKS
    leaks = NONE if without else _leaks(make, count, folder / "leaks")
    return (
        peer.name,
        str(building),
        seconds(build.wall),
        f"{build.peak:.0f} MiB",
        str(checking),
        seconds(again.wall),
        leaks,
    )


def _run(command: Sequence[str], peer: Peer, server: EC2Server) -> tuple[Cost, int]:
    """What a command costs, and how many calls it makes."""
    server.clear()
    cost = cost_of(command, peer.environment)
    return cost, len(server.calls)


def _leaks(make: Make, count: int | None, folder: Path) -> str:
    """How many resources too many there are after builds with lost answers, of which the last one succeeded."""
    folder.mkdir()
    with EC2Server(_world(None if count is None else 2 * count)) as server:
        peer = make(count, folder, server)
        assert isinstance(peer, Peer)
        server.faults.add(Lose(), Buckets())
        data = server.world.data
        before = len(data.interfaces) + len(data.addresses)
        for _ in range(TRIES):
            if cost_of(peer.build, peer.environment, codes=range(256)).code == 0:
                break
        else:
            return "no end"
        instances = [each for each in data.instances.values() if each.state == "running"]
        found = len(data.interfaces) + len(data.addresses) + len(instances) - before
    return str(found - (5 if count is None else 2 * count))
