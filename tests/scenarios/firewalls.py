"""The account of specs/ha-failover.yaml: a VPC with two firewalls that are another owner's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enireconcile.aws.lab import named
from tests.harness import Harness, image_id
from tests.lab_vpc import lab

HA_FAILOVER = Path(__file__).parents[2] / "specs" / "ha-failover.yaml"
SPEC = HA_FAILOVER.read_text()


class Firewalls:
    """``ids`` maps the names of the instances, fw-a and fw-b, to their ids."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.ec2 = harness.client()
        self.vpc, self.subnets = lab(harness)
        self.subnet = self.subnets["lab-a"]
        self.ids = {name: self.launch(name, self.subnet) for name in ("fw-a", "fw-b")}
        harness.loop.now += 60

    def launch(self, name: str, subnet: str, kind: str = "t3.micro") -> str:
        launched = self.ec2.run_instances(
            ImageId=image_id(self.ec2),
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            TagSpecifications=named("instance", name),
        )
        return str(launched["Instances"][0]["InstanceId"])

    def interface(self) -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.service"]}]
        [found] = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return found

    def holder(self) -> str | None:
        """The name of the instance that has the interface."""
        place = self.interface().get("Attachment")
        return {value: key for key, value in self.ids.items()}[place["InstanceId"]] if place else None

    def sicken(self, name: str, status: str = "impaired") -> None:
        """From now on a status check of the instance says so; ``ok`` makes it well."""
        self.harness.strict.world.set_health(self.ids[name], status)
