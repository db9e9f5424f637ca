"""Finds everything that has the tag of the kit, and deletes it in the order that EC2 demands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance.account import TAG, Item

PATIENCE = 1200.0
"""Seconds after which a cleanup is given up."""
CONFIRMATIONS = 3
"""So many times in a row nothing must be found: a new resource is not visible at once."""
GOING = ("shutting-down", "terminated")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Kind:
    """A kind of resource: what to call it, how to list it, how to delete one."""

    name: str
    operation: str
    key: str
    id_key: str
    remove: Callable[[Any, Item], bool]
    """Whether it asked EC2 for the deletion. False: the resource goes by itself, or cannot go yet."""


@dataclass(frozen=True)
class Found:
    """A resource with the tag."""

    kind: Kind
    id: str
    run: str
    item: Item

    def __str__(self) -> str:
        return f"{self.kind.name} {self.id} (run {self.run})"


def find(ec2: Any, run: str | None = None) -> list[Found]:
    """What has the tag, in the order of deletion; of one run, or of all runs."""
    tagged = [{"Name": "tag-key", "Values": [TAG]}] if run is None else [{"Name": f"tag:{TAG}", "Values": [run]}]
    return [found for kind in KINDS for found in _find(ec2, kind, tagged)]


def _find(ec2: Any, kind: Kind, tagged: list[Item]) -> Iterator[Found]:
    if ec2.can_paginate(kind.operation):
        answer = ec2.get_paginator(kind.operation).paginate(Filters=tagged).build_full_result()
    else:
        answer = getattr(ec2, kind.operation)(Filters=tagged)
    items = answer.get(kind.key, [])
    if kind.key == "Reservations":
        every = [instance for each in items for instance in each["Instances"]]
        items = [instance for instance in every if instance["State"]["Name"] != "terminated"]
    for item in items:
        tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags") or item.get("TagSet") or []}
        yield Found(kind, item[kind.id_key], tags.get(TAG, "?"), item)


def clean(ec2: Any, tell: Tell, run: str | None = None, patience: float = PATIENCE) -> list[Found]:
    """Deletes what has the tag, and waits until it is gone. The answer is what is left after `patience` seconds.

    Each pass tries everything that is there. What EC2 refuses, because something else still needs it or because it
    is not visible everywhere, is tried again.
    """
    deadline = time.monotonic() + patience
    begun: set[str] = set()
    empty, pause = 0, 0.2
    while True:
        left = find(ec2, run)
        empty = 0 if left else empty + 1
        if empty == CONFIRMATIONS:
            return []
        problems = [problem for found in left if (problem := _remove(ec2, found, begun, tell))]
        if time.monotonic() > deadline:
            for problem in problems:
                tell(problem)
            return left
        time.sleep(pause)
        pause = min(3.0, pause * 1.3)


def _remove(ec2: Any, found: Found, begun: set[str], tell: Tell) -> str | None:
    """Deletes one resource; why that did not work, if it did not."""
    try:
        removed = found.kind.remove(ec2, found.item)
    except (BotoCoreError, ClientError) as error:
        return f"{found}: {error}"
    if removed and found.id not in begun:
        begun.add(found.id)
        tell(f"deleting {found}")
    return None


# -- one function for each kind: whether it asked EC2 for a deletion -------------------------------------


def _terminate(ec2: Any, item: Item) -> bool:
    if item["State"]["Name"] in GOING:
        return False
    instance = item["InstanceId"]
    try:
        ec2.terminate_instances(InstanceIds=[instance])
    except ClientError as error:
        if error.response["Error"]["Code"] != "OperationNotPermitted":
            raise
        ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
        ec2.terminate_instances(InstanceIds=[instance])
    return True


def _release(ec2: Any, item: Item) -> bool:
    if "AssociationId" in item:
        ec2.disassociate_address(AssociationId=item["AssociationId"])
    ec2.release_address(AllocationId=item["AllocationId"])
    return True


def _delete_interface(ec2: Any, item: Item) -> bool:
    """One that is attached goes with its instance, or is detached here."""
    attachment = item.get("Attachment") or {}
    if attachment.get("Status") == "attached" and attachment.get("DeviceIndex") != 0:
        ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    if attachment and attachment.get("Status") != "detached":
        return False
    ec2.delete_network_interface(NetworkInterfaceId=item["NetworkInterfaceId"])
    return True


def _delete_group(ec2: Any, item: Item) -> bool:
    """Its rules go first: two groups that name each other cannot be deleted."""
    if item.get("IpPermissions"):
        ec2.revoke_security_group_ingress(GroupId=item["GroupId"], IpPermissions=item["IpPermissions"])
    if any(rule.get("UserIdGroupPairs") for rule in item.get("IpPermissionsEgress", [])):
        ec2.revoke_security_group_egress(GroupId=item["GroupId"], IpPermissions=item["IpPermissionsEgress"])
    ec2.delete_security_group(GroupId=item["GroupId"])
    return True


def _delete_route_table(ec2: Any, item: Item) -> bool:
    for association in item.get("Associations", []):
        if not association.get("Main"):
            ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=item["RouteTableId"])
    return True


def _delete_subnet(ec2: Any, item: Item) -> bool:
    ec2.delete_subnet(SubnetId=item["SubnetId"])
    return True


def _delete_gateway(ec2: Any, item: Item) -> bool:
    gateway = item["InternetGatewayId"]
    for attachment in item.get("Attachments", []):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=attachment["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    return True


def _delete_vpc(ec2: Any, item: Item) -> bool:
    ec2.delete_vpc(VpcId=item["VpcId"])
    return True


KINDS = (
    Kind("instance", "describe_instances", "Reservations", "InstanceId", _terminate),
    Kind("Elastic IP", "describe_addresses", "Addresses", "AllocationId", _release),
    Kind("interface", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", _delete_interface),
    Kind("security group", "describe_security_groups", "SecurityGroups", "GroupId", _delete_group),
    Kind("route table", "describe_route_tables", "RouteTables", "RouteTableId", _delete_route_table),
    Kind("subnet", "describe_subnets", "Subnets", "SubnetId", _delete_subnet),
    Kind(
        "internet gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId", _delete_gateway
    ),
    Kind("VPC", "describe_vpcs", "Vpcs", "VpcId", _delete_vpc),
)
"""In the order of deletion."""
