"""Ansible's own modules build, find unchanged and remove the story on the strict EC2: one more opinion on it.

Needs `ansible-playbook` beside this Python or on the PATH, and the collection amazon.aws: the PyPI package
`ansible` brings both.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.ec2 import EC2Server, Settings, World
from tests.peers.surroundings import ansible_environment, ansible_playbook

BUILD = """
- hosts: localhost
  gather_facts: false
  vars:
    project: {Project: testing-eni}
    subnet: "{{ subnets.subnets[0] }}"
  tasks:
    - name: subnet
      amazon.aws.ec2_vpc_subnet_info:
        filters: {default-for-az: true, availability-zone: us-east-1a}
      register: subnets
    - name: image
      amazon.aws.ec2_ami_info:
        owners: [amazon]
        filters: {name: al2023-ami-2023.*-kernel-6.1-x86_64}
      register: images
    - name: my-sg-1
      amazon.aws.ec2_security_group:
        name: my-sg-1
        description: Web traffic
        vpc_id: "{{ subnet.vpc_id }}"
        rules:
          - {proto: tcp, ports: [80], cidr_ip: [0.0.0.0/0], rule_desc: http}
        tags: "{{ project }}"
    - name: my-sg-2
      amazon.aws.ec2_security_group:
        name: my-sg-2
        description: From within
        vpc_id: "{{ subnet.vpc_id }}"
        rules:
          - {proto: tcp, ports: [8000-8010], group_name: [my-sg-1]}
        rules_egress:
          - {proto: all, cidr_ip: [10.0.0.0/8]}
        tags: "{{ project }}"
    - name: web-eth0
      amazon.aws.ec2_eni:
        name: web-eth0
        subnet_id: "{{ subnet.id }}"
        private_ip_address: 172.31.0.10
        security_groups: [my-sg-1]
        tags: "{{ project }}"
      register: eth0
    - name: web
      amazon.aws.ec2_instance:
        name: web
        state: running
        image_id: "{{ images.images[-1].image_id }}"
        instance_type: t2.micro
        key_name: ops
        iam_instance_profile: arn:aws:iam::123456789012:instance-profile/web
        user_data: "#!/bin/sh"
        network_interfaces_ids:
          - {id: "{{ eth0.interface.id }}", device_index: 0}
        tags: "{{ project }}"
      register: web
    - name: web-eth1
      amazon.aws.ec2_eni:
        name: web-eth1
        subnet_id: "{{ subnet.id }}"
        security_groups: [my-sg-2]
        instance_id: "{{ web.instance_ids[0] }}"
        device_index: 1
        attached: true
        tags: "{{ project }}"
      register: eth1
    - name: web-1
      amazon.aws.ec2_eip:
        device_id: "{{ eth0.interface.id }}"
        in_vpc: true
        tags: "{{ project | combine({'Name': 'web-1'}) }}"
    - name: web-2
      amazon.aws.ec2_eip:
        device_id: "{{ eth1.interface.id }}"
        in_vpc: true
        tags: "{{ project | combine({'Name': 'web-2'}) }}"
"""

DESTROY = """
- hosts: localhost
  gather_facts: false
  vars:
    first: "{{ found.network_interfaces[0] }}"
    second: "{{ found.network_interfaces[1] }}"
  tasks:
    - name: interfaces
      amazon.aws.ec2_eni_info:
        filters: {"tag:Name": "web-eth?"}
      register: found
    - name: one address
      amazon.aws.ec2_eip:
        state: absent
        device_id: "{{ first.id }}"
        in_vpc: true
        release_on_disassociation: true
    - name: the other address
      amazon.aws.ec2_eip:
        state: absent
        device_id: "{{ second.id }}"
        in_vpc: true
        release_on_disassociation: true
    - name: web
      amazon.aws.ec2_instance:
        state: absent
        instance_ids: ["{{ first.attachment.instance_id }}"]
    - name: one interface
      amazon.aws.ec2_eni:
        state: absent
        eni_id: "{{ first.id }}"
    - name: the other interface
      amazon.aws.ec2_eni:
        state: absent
        eni_id: "{{ second.id }}"
    - name: my-sg-2
      amazon.aws.ec2_security_group: {state: absent, name: my-sg-2}
    - name: my-sg-1
      amazon.aws.ec2_security_group: {state: absent, name: my-sg-1}
"""

Outcomes = dict[str, str]
"""The name of each task to what Ansible says of it: ok, changed, skipping."""
Play = Callable[[EC2Server, str], Outcomes]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays a playbook against a server, in a directory of its own, knowing nothing of the user's settings."""
    binary = ansible_playbook()
    if binary is None:
        pytest.skip("no ansible-playbook beside this Python or on the PATH; `make peers` installs one")
    playbook, environment = tmp_path / "playbook.yaml", ansible_environment(tmp_path)

    def run(server: EC2Server, text: str) -> Outcomes:
        playbook.write_text(text)
        done = subprocess.run(
            [binary, "--inventory=localhost,", "--connection=local", str(playbook)],
            cwd=tmp_path,
            env={**environment, "AWS_ENDPOINT_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
        )
        if "couldn't resolve module/action 'amazon.aws." in done.stderr + done.stdout:
            pytest.skip(f"{binary} has no collection amazon.aws")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        found = re.findall(r"^TASK \[(.+)\] \**\n(?:.*\n)*?(\w+): \[localhost\]", done.stdout, re.MULTILINE)
        return dict(found)

    return run


def what_is(world: World) -> dict[str, Any]:
    """A copy of all that the account holds; terminated instances and the memory of past calls are left out."""
    world.settle()
    past = ("instances", "released", "replays", "due")
    return {
        each.name: deepcopy(getattr(world.data, each.name)) for each in fields(world.data) if each.name not in past
    }


@pytest.mark.timeout(400)
def test_ansible_builds_changes_nothing_more_and_destroys(play: Play) -> None:
    """Two groups, two interfaces, one instance, two Elastic IPs: built, found unchanged, and removed."""
    # Its waiters look again after 5 or 15 seconds only, so what they wait for takes no time here.
    world = World(Settings(detached_delay=5.0))
    first_day = what_is(world)
    with EC2Server(world) as server:
        built = play(server, BUILD)
        assert [name for name, outcome in built.items() if outcome != "changed"] == ["subnet", "image"]
        deeds = server.actions(mutating=True)
        assert deeds == [
            *("CreateSecurityGroup", "AuthorizeSecurityGroupIngress"),
            *("CreateSecurityGroup", "RevokeSecurityGroupEgress"),
            *("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"),
            *("CreateNetworkInterface", "RunInstances"),
            *("CreateNetworkInterface", "AttachNetworkInterface"),
            *("AllocateAddress", "AssociateAddress") * 2,
        ]
        assert_is_the_story(world)
        before, asked = what_is(world), len(server.calls)

        assert set(play(server, BUILD).values()) == {"ok"}
        assert len(server.calls) > asked
        assert server.actions(mutating=True) == deeds
        assert what_is(world) == before

        removed = play(server, DESTROY)
        assert [name for name, outcome in removed.items() if outcome != "changed"] == ["interfaces"]
        assert what_is(world) == first_day
        assert [instance.state for instance in world.data.instances.values()] == ["terminated"]
        assert [call for call in server.calls if call.error_code] == []


def assert_is_the_story(world: World) -> None:
    """Two interfaces at 0 and 1 of a running instance, each with its group and its address."""
    world.settle()
    [instance] = world.data.instances.values()
    assert (instance.state, instance.tags) == ("running", {"Name": "web", "Project": "testing-eni"})
    slots = {eni.attachment.device_index: eni for eni in world.interfaces_of(instance) if eni.attachment}
    assert slots[0].ips == ["172.31.0.10"]
    assert {(eni.id, eni.ips[0]) for eni in slots.values()} == set(world.data.by_target)
    for index, number in ((0, 1), (1, 2)):
        eni = slots[index]
        assert eni.tags == {"Name": f"web-eth{index}", "Project": "testing-eni"}
        assert [world.data.groups[each].name for each in eni.group_ids] == [f"my-sg-{number}"]
        [address] = world.elastic_ips_of(eni)
        assert address.tags == {"Name": f"web-{number}", "Project": "testing-eni"}
    web = slots[0].group_ids[0]
    identities = {
        number: {rule.identity for rule in world.data.groups[slots[number].group_ids[0]].rules.values()}
        for number in slots
    }
    assert identities == {
        0: {(False, "tcp", 80, 80, "v4", "0.0.0.0/0"), (True, "-1", None, None, "v4", "0.0.0.0/0")},
        1: {(False, "tcp", 8000, 8010, "group", web), (True, "-1", None, None, "v4", "10.0.0.0/8")},
    }
