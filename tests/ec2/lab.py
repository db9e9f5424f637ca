"""A small bench for tests of the strict EC2 itself: a world, its server, a client and a still clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError

from .clock import VirtualClock
from .records import Settings
from .server import EC2Server
from .world import AL2023, World


class Lab:
    """Shortcuts that create what a test needs and hand back ids."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = VirtualClock()
        self.world = World(settings, self.clock)
        self.server = EC2Server(self.world)

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.ec2 = self.server.client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    @property
    def vpc(self) -> str:
        """The default VPC."""
        default = self.world.default_vpc()
        assert default is not None
        return default.id

    @property
    def image(self) -> str:
        return self.world.data.parameters[f"{AL2023}x86_64"]

    def subnet(self, zone: str = "a") -> str:
        """The default subnet of a zone."""
        found = [s for s in self.world.data.subnets.values() if s.default_for_az and s.zone.endswith(zone)]
        return found[0].id

    def group(self, name: str = "web", **more: Any) -> str:
        answer = self.ec2.create_security_group(GroupName=name, Description="a group", **more)
        return str(answer["GroupId"])

    def eni(self, **more: Any) -> str:
        answer = self.ec2.create_network_interface(**{"SubnetId": self.subnet(), **more})
        return str(answer["NetworkInterface"]["NetworkInterfaceId"])

    def instance(self, *interfaces: str, kind: str = "t3.medium", **more: Any) -> str:
        """A launched instance; with interfaces, they take the indexes from 0 on."""
        slots = [{"DeviceIndex": i, "NetworkInterfaceId": eni} for i, eni in enumerate(interfaces)]
        params: dict[str, Any] = {"ImageId": self.image, "InstanceType": kind, "MinCount": 1, "MaxCount": 1}
        if slots:
            params["NetworkInterfaces"] = slots
        answer = self.ec2.run_instances(**{**params, **more})
        return str(answer["Instances"][0]["InstanceId"])

    def attach(self, eni: str, instance: str, index: int = 1, **more: Any) -> str:
        answer = self.ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index, **more
        )
        return str(answer["AttachmentId"])

    def eip(self, **more: Any) -> str:
        return str(self.ec2.allocate_address(**more)["AllocationId"])

    def associate(self, allocation: str, eni: str, **more: Any) -> str:
        answer = self.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni, **more)
        return str(answer["AssociationId"])

    def show_eni(self, eni: str) -> dict[str, Any]:
        rows = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
        return dict(rows[0])

    def show_instance(self, instance: str) -> dict[str, Any]:
        rows = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return dict(rows[0]["Instances"][0])

    def show_address(self, allocation: str) -> dict[str, Any]:
        return dict(self.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0])

    def show_group(self, group: str) -> dict[str, Any]:
        return dict(self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0])

    def state(self, instance: str) -> str:
        return str(self.show_instance(instance)["State"]["Name"])


@contextmanager
def refused(code: str, words: str = "") -> Iterator[None]:
    """The block must end in this error code, with these words in its message."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert words in error["Message"], error
