"""The account of specs/ha-failover.yaml: a VPC with two firewalls that are somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .house import Foreign, House

HA_FAILOVER = Path(__file__).parent.parent / "specs" / "ha-failover.yaml"
SPEC = HA_FAILOVER.read_text()
ZONE = "us-east-1a"


class Firewalls:
    """``ids`` maps the names of the instances, fw-a and fw-b, to their ids."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ec2 = house.client()
        self.vpc, self.subnet = self._foreign() if isinstance(house.server, Foreign) else self._strict()
        self.ids = {name: self.launch(name, self.subnet) for name in ("fw-a", "fw-b")}
        house.loop.now += 60

    def _strict(self) -> tuple[str, str]:
        """What the strict EC2 has no calls for, a test arranges."""
        world = self.house.strict.world
        vpc = world.add_vpc("10.0.0.0/16", gateway=True, tags={"Name": "lab"})
        return vpc, world.add_subnet(vpc, "10.0.1.0/24", ZONE, tags={"Name": "lab-a"})

    def _foreign(self) -> tuple[str, str]:
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=_named("vpc", "lab"))["Vpc"]["VpcId"]
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        subnet = self.ec2.create_subnet(
            VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONE, TagSpecifications=_named("subnet", "lab-a")
        )
        return vpc, subnet["Subnet"]["SubnetId"]

    def launch(self, name: str, subnet: str, kind: str = "t3.micro") -> str:
        images = self.ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
        launched = self.ec2.run_instances(
            ImageId=images[0]["ImageId"],
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            TagSpecifications=_named("instance", name),
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
        self.house.strict.world.set_health(self.ids[name], status)


def _named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]
