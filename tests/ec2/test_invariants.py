"""Whatever is called, in whatever order, the strict EC2 stays whole, and what it refuses changes nothing."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from tests.ec2 import EC2Error, Quotas, Settings, VirtualClock, World
from tests.ec2.catalogue import TYPES
from tests.ec2.world import AL2023

SETTINGS = Settings(
    attach_delay=1, detach_delay=1, pending_delay=2, stop_delay=1, terminate_delay=2, linger_delay=1,
    visibility_delay=0.5, quotas=Quotas(addresses=8),
)  # fmt: skip


class Chaos:
    """Calls operations with parameters that are right just often enough."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = VirtualClock()
        self.world = World(SETTINGS, self.clock)
        default = self.world.default_vpc()
        assert default is not None
        self.other_vpc = self.world.add_vpc("10.0.0.0/16", gateway=True)
        self.small = self.world.add_subnet(self.other_vpc, "10.0.0.0/28", "us-east-1a")
        self.image = self.world.data.parameters[f"{AL2023}x86_64"]

    def any(self, ids: Sequence[str] | dict[str, Any], missing: str) -> str:
        known = list(ids)
        return self.rng.choice(known) if known and self.rng.random() < 0.97 else missing

    def eni(self) -> str:
        return self.any(self.world.data.interfaces, "eni-0123456789abcdef0")

    def instance(self) -> str:
        return self.any(self.world.data.instances, "i-0123456789abcdef0")

    def address(self) -> str:
        return self.any(self.world.data.addresses, "eipalloc-0123456789abcdef0")

    def group(self) -> str:
        return self.any(self.world.data.groups, "sg-0123456789abcdef0")

    def subnet(self) -> str:
        return self.any([*self.world.data.subnets, self.small, self.small], "subnet-0123456789abcdef0")

    def ips(self) -> list[str]:
        every = [ip for eni in self.world.data.interfaces.values() for ip in eni.ips]
        some = self.rng.sample(every, min(len(every), self.rng.randint(0, 2)))
        return [*some, self.rng.choice([f"10.0.0.{self.rng.randint(0, 15)}", "172.31.0.9"])]

    def rule(self) -> dict[str, Any]:
        port = self.rng.randint(1, 4)
        source = self.rng.choice(
            [
                {"IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.1.0.0/16"}]},
                {"UserIdGroupPairs": [{"GroupId": self.group()}]},
            ]
        )
        return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}

    def slots(self) -> list[dict[str, Any]]:
        return [
            {"DeviceIndex": index, "NetworkInterfaceId": self.eni()}
            if self.rng.random() < 0.6
            else {"DeviceIndex": index, "SubnetId": self.subnet(), "SecondaryPrivateIpAddressCount": 1}
            for index in range(self.rng.randint(1, 4))
        ]

    def step(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        token = f"t{rng.randint(0, 30)}"
        attachment = self.any(self.world.data.attachments, "eni-attach-0123456789abcdef0")
        choices: list[Callable[[], tuple[str, dict[str, Any]]]] = [
            lambda: (
                "CreateNetworkInterface",
                {
                    "SubnetId": self.subnet(),
                    "ClientToken": token,
                    "SecondaryPrivateIpAddressCount": rng.choice([0, 0, 1, 4]),
                    **({"Groups": [self.group()]} if rng.random() < 0.3 else {}),
                },
            ),
            lambda: ("DeleteNetworkInterface", {"NetworkInterfaceId": self.eni()}),
            lambda: (
                "AttachNetworkInterface",
                {
                    "NetworkInterfaceId": self.eni(),
                    "InstanceId": self.instance(),
                    "DeviceIndex": rng.randint(0, 3),
                },
            ),
            lambda: ("DetachNetworkInterface", {"AttachmentId": attachment}),
            lambda: (
                "ModifyNetworkInterfaceAttribute",
                {
                    "NetworkInterfaceId": self.eni(),
                    "Attachment": {"AttachmentId": attachment, "DeleteOnTermination": rng.random() < 0.5},
                },
            ),
            lambda: (
                "ModifyNetworkInterfaceAttribute",
                {"NetworkInterfaceId": self.eni(), "Groups": [self.group() for _ in range(rng.randint(1, 3))]},
            ),
            lambda: (
                "AssignPrivateIpAddresses",
                {
                    "NetworkInterfaceId": self.eni(),
                    "PrivateIpAddresses": self.ips(),
                    "AllowReassignment": rng.random() < 0.7,
                },
            ),
            lambda: (
                "UnassignPrivateIpAddresses",
                {"NetworkInterfaceId": self.eni(), "PrivateIpAddresses": self.ips()[:1]},
            ),
            lambda: ("AllocateAddress", {}),
            lambda: (
                "AssociateAddress",
                {
                    "AllocationId": self.address(),
                    "NetworkInterfaceId": self.eni(),
                    "AllowReassociation": rng.random() < 0.7,
                },
            ),
            lambda: ("AssociateAddress", {"AllocationId": self.address(), "InstanceId": self.instance()}),
            lambda: (
                "DisassociateAddress",
                {"AssociationId": self.any(self.world.data.associations, "eipassoc-0123456789abcdef0")},
            ),
            lambda: ("ReleaseAddress", {"AllocationId": self.address()}),
            lambda: (
                "CreateSecurityGroup",
                {"GroupName": f"g{rng.randint(0, 9)}", "Description": "x", "VpcId": self.other_vpc},
            ),
            lambda: ("DeleteSecurityGroup", {"GroupId": self.group()}),
            lambda: (
                f"AuthorizeSecurityGroup{rng.choice(['Ingress', 'Egress'])}",
                {"GroupId": self.group(), "IpPermissions": [self.rule() for _ in range(rng.randint(1, 3))]},
            ),
            lambda: (
                f"RevokeSecurityGroup{rng.choice(['Ingress', 'Egress'])}",
                {"GroupId": self.group(), "IpPermissions": [self.rule() for _ in range(rng.randint(1, 3))]},
            ),
            lambda: (
                "RunInstances",
                {
                    "ImageId": self.image,
                    "InstanceType": rng.choice(["t2.micro", "t3.medium", "m5.xlarge"]),
                    "MinCount": 1,
                    "MaxCount": rng.choice([1, 1, 1, 3]),
                    "ClientToken": token,
                    "NetworkInterfaces": self.slots(),
                },
            ),
            lambda: ("StartInstances", {"InstanceIds": [self.instance()]}),
            lambda: ("StopInstances", {"InstanceIds": [self.instance()]}),
            lambda: ("TerminateInstances", {"InstanceIds": [self.instance()]}),
            lambda: (
                "ModifyInstanceAttribute",
                {
                    "InstanceId": self.instance(),
                    "InstanceType": {"Value": rng.choice(["t2.micro", "m5.large"])},
                },
            ),
            lambda: (
                "CreateTags",
                {"Resources": [self.eni(), self.group()], "Tags": [{"Key": "a", "Value": "b"}]},
            ),
        ]
        return rng.choice(choices)()


def check_interfaces(world: World) -> None:
    data = world.data
    for subnet in data.subnets.values():
        held = Counter(ip for eni in data.interfaces.values() if eni.subnet_id == subnet.id for ip in eni.ips)
        assert dict.fromkeys(held) == dict.fromkeys(subnet.used), subnet
        assert all(times == 1 for times in held.values())
        assert subnet.free >= 0
    for eni in data.interfaces.values():
        subnet = data.subnets[eni.subnet_id]
        assert eni.ips
        assert all(subnet.used[ip] == eni.id for ip in eni.ips)
        assert all(each in data.groups for each in eni.group_ids)
        assert 1 <= len(eni.group_ids) <= 5
    attached = {e.attachment.id: e.id for e in data.interfaces.values() if e.attachment}
    assert attached == data.attachments


def check_instances(world: World) -> None:
    data = world.data
    for instance in data.instances.values():
        enis = world.interfaces_of(instance)
        slots = [(e.attachment.card, e.attachment.device_index) for e in enis if e.attachment]
        assert len(slots) == len(enis) == len(set(slots))
        assert all(e.attachment and e.attachment.instance_id == instance.id for e in enis)
        assert all(e.zone == instance.zone for e in enis)
        kind = TYPES[instance.instance_type]
        assert len(enis) <= kind.interfaces
        assert all(e.slots4 <= kind.addresses for e in enis)
        if instance.state != "terminated":
            assert (0, 0) in slots
    assert all(v.instance_id in data.instances for v in data.volumes.values())


def check_addresses(world: World) -> None:
    data = world.data
    targets = {
        (a.interface_id, a.private_ip): a.id for a in data.addresses.values() if a.association_id is not None
    }
    assert targets == data.by_target
    assert {a.association_id: a.id for a in data.addresses.values() if a.association_id} == data.associations
    assert all(ip in data.interfaces[eni].ips for eni, ip in data.by_target)


def check_groups(world: World) -> None:
    data = world.data
    assert {rule: group.id for group in data.groups.values() for rule in group.rules} == data.rules
    for group in data.groups.values():
        identities = [rule.identity for rule in group.rules.values()]
        assert len(identities) == len(set(identities))
        for rule in group.rules.values():
            assert rule.source_kind != "group" or rule.source in data.groups


@pytest.mark.parametrize("seed", range(4))
def test_any_history_leaves_a_consistent_state(seed: int) -> None:
    """600 random calls: addresses, slots, associations and rules agree throughout; a refusal changes nothing."""
    chaos = Chaos(seed)
    world = chaos.world
    done: Counter[str] = Counter()
    for _ in range(600):
        chaos.clock.advance(chaos.rng.choice([0, 0, 0.3, 1.0]))
        world.settle()
        action, params = chaos.step()
        before = copy.deepcopy(world.data)
        try:
            world.perform(action, params)
            done[action] += 1
        except EC2Error:
            assert world.data == before, action
        for check in (check_interfaces, check_instances, check_addresses, check_groups):
            check(world)
        for action in ("DescribeInstances", "DescribeNetworkInterfaces", "DescribeAddresses"):
            world.perform(action, {})
    assert len(done) >= 15, done
