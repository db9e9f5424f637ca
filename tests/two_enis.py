"""The story's account as other tools see it, and what they do to it behind the reconciler's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from enireconcile.model import Impact
from tests.harness import Harness

MINE = [{"Name": "tag:enireconcile:stack", "Values": ["two-enis"]}]


class Account:
    """What the account holds of the story, by logical name, as a stranger's client sees it."""

    def __init__(self, harness: Harness) -> None:
        self.ec2 = harness.client()
        self.harness = harness

    def interface(self, name: str) -> Any:
        return self._one(
            self.ec2.describe_network_interfaces(Filters=_named("network_interfaces", name)), "NetworkInterfaces"
        )

    def address(self, name: str) -> Any:
        return self._one(self.ec2.describe_addresses(Filters=_named("elastic_ips", name)), "Addresses")

    def group(self, name: str) -> Any:
        return self._one(
            self.ec2.describe_security_groups(Filters=_named("security_groups", name)), "SecurityGroups"
        )

    def instance(self) -> Any:
        states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
        found = self.ec2.describe_instances(Filters=[*_named("instances", "web"), states])["Reservations"]
        assert len(found) == 1
        return found[0]["Instances"][0]

    @staticmethod
    def _one(response: Any, key: str) -> Any:
        assert len(response[key]) == 1
        return response[key][0]


def _named(section: str, name: str) -> list[dict[str, Any]]:
    return [*MINE, {"Name": "tag:enireconcile:name", "Values": [f"{section}.{name}"]}]


def assert_is_the_story(harness: Harness) -> None:
    """Two interfaces at 0 and 1, each with its group and its address; one of everything."""
    account = Account(harness)
    instance = account.instance()
    assert instance["State"]["Name"] == "running"
    for index, name, group, address in ((0, "web-eth0", "my-sg-1", "web-1"), (1, "web-eth1", "my-sg-2", "web-2")):
        interface = account.interface(name)
        assert interface["Attachment"]["InstanceId"] == instance["InstanceId"]
        assert interface["Attachment"]["DeviceIndex"] == index
        assert interface["Attachment"]["Status"] == "attached"
        assert [item["GroupId"] for item in interface["Groups"]] == [account.group(group)["GroupId"]]
        assert interface["SourceDestCheck"] is True
        assert account.address(address)["NetworkInterfaceId"] == interface["NetworkInterfaceId"]
        assert account.address(address)["PrivateIpAddress"] == interface["PrivateIpAddress"]
    [rule] = account.group("my-sg-1")["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 80, 80)
    assert not account.group("my-sg-2").get("IpPermissions")
    assert len(account.ec2.describe_addresses()["Addresses"]) == 2
    mine = account.ec2.describe_network_interfaces(Filters=MINE)["NetworkInterfaces"]
    assert len(mine) == 2


Deed = Callable[[Account], None]


def _wait(account: Account) -> None:
    """Until whatever was begun has come to its end."""
    account.harness.loop.now += 5


def _disassociate(account: Account) -> None:
    account.ec2.disassociate_address(AssociationId=account.address("web-2")["AssociationId"])


def _move_address(account: Account) -> None:
    account.ec2.associate_address(
        AllocationId=account.address("web-2")["AllocationId"],
        NetworkInterfaceId=account.interface("web-eth0")["NetworkInterfaceId"],
        AllowReassociation=True,
    )


def _swap_addresses(account: Account) -> None:
    eth0, eth1 = account.interface("web-eth0"), account.interface("web-eth1")
    for address, interface in (("web-1", eth1), ("web-2", eth0)):
        account.ec2.associate_address(
            AllocationId=account.address(address)["AllocationId"],
            NetworkInterfaceId=interface["NetworkInterfaceId"],
        )


def _move_address_to_stranger(account: Account) -> None:
    subnet = account.interface("web-eth0")["SubnetId"]
    stranger = account.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    _wait(account)
    account.ec2.associate_address(
        AllocationId=account.address("web-1")["AllocationId"],
        NetworkInterfaceId=stranger["NetworkInterfaceId"],
        AllowReassociation=True,
    )


def _detach(account: Account) -> None:
    account.ec2.detach_network_interface(AttachmentId=account.interface("web-eth1")["Attachment"]["AttachmentId"])


def _other_groups(account: Account) -> None:
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"],
        Groups=[account.group("my-sg-1")["GroupId"]],
    )


def _add_rule(account: Account) -> None:
    account.ec2.authorize_security_group_ingress(
        GroupId=account.group("my-sg-2")["GroupId"],
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )


def _remove_rule(account: Account) -> None:
    group = account.group("my-sg-1")
    account.ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])


def _reword_rule(account: Account) -> None:
    account.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=account.group("my-sg-1")["GroupId"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": 80,
                "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "who wrote this"}],
            }
        ],
    )


def _flip_check(account: Account) -> None:
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"], SourceDestCheck={"Value": False}
    )


def _describe_otherwise(account: Account) -> None:
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"], Description={"Value": "mine!"}
    )


def _die_with_instance(account: Account) -> None:
    interface = account.interface("web-eth1")
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface["NetworkInterfaceId"],
        Attachment={"AttachmentId": interface["Attachment"]["AttachmentId"], "DeleteOnTermination": True},
    )


def _change_tags(account: Account) -> None:
    interface = account.interface("web-eth0")["NetworkInterfaceId"]
    account.ec2.create_tags(
        Resources=[interface], Tags=[{"Key": "Project", "Value": "mine"}, {"Key": "Owner", "Value": "them"}]
    )
    account.ec2.delete_tags(Resources=[account.address("web-1")["AllocationId"]], Tags=[{"Key": "Project"}])
    account.ec2.create_tags(Resources=[account.instance()["InstanceId"]], Tags=[{"Key": "Name", "Value": "x"}])


def _delete_interface(account: Account) -> None:
    _detach(account)
    _wait(account)
    account.ec2.delete_network_interface(NetworkInterfaceId=account.interface("web-eth1")["NetworkInterfaceId"])


def _release(account: Account) -> None:
    _disassociate(account)
    account.ec2.release_address(AllocationId=account.address("web-2")["AllocationId"])


def _terminate(account: Account) -> None:
    account.ec2.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])


def _terminate_and_wait(account: Account) -> None:
    _terminate(account)
    _wait(account)


def _stop(account: Account) -> None:
    account.ec2.stop_instances(InstanceIds=[account.instance()["InstanceId"]])


def _stop_and_wait(account: Account) -> None:
    _stop(account)
    _wait(account)


DRIFTS: dict[str, tuple[Deed, list[str], Impact]] = {
    "an address disassociated": (_disassociate, ["AssociateAddress"], Impact.SAFE),
    "an address moved to another interface": (
        _move_address,
        ["AssociateAddress", "AssociateAddress"],
        Impact.DISRUPTIVE,
    ),
    "two addresses swapped": (_swap_addresses, ["AssociateAddress", "AssociateAddress"], Impact.DISRUPTIVE),
    "an address moved to a stranger's interface": (
        _move_address_to_stranger,
        ["AssociateAddress"],
        Impact.DISRUPTIVE,
    ),
    "eth1 detached": (_detach, ["AttachNetworkInterface"], Impact.SAFE),
    "groups of an interface changed": (_other_groups, ["ModifyNetworkInterfaceAttribute"], Impact.DISRUPTIVE),
    "a rule added": (_add_rule, ["RevokeSecurityGroupIngress"], Impact.DISRUPTIVE),
    "a rule removed": (_remove_rule, ["AuthorizeSecurityGroupIngress"], Impact.SAFE),
    "a rule reworded": (_reword_rule, ["UpdateSecurityGroupRuleDescriptionsIngress"], Impact.SAFE),
    "source_dest_check flipped": (_flip_check, ["ModifyNetworkInterfaceAttribute"], Impact.DISRUPTIVE),
    "a description changed": (_describe_otherwise, ["ModifyNetworkInterfaceAttribute"], Impact.SAFE),
    "delete_on_termination set": (_die_with_instance, ["ModifyNetworkInterfaceAttribute"], Impact.SAFE),
    "tags changed": (_change_tags, ["CreateTags", "CreateTags", "CreateTags"], Impact.SAFE),
    "eth1 deleted": (
        _delete_interface,
        ["CreateNetworkInterface", "AssociateAddress", "AttachNetworkInterface"],
        Impact.SAFE,
    ),
    "an address released": (_release, ["AllocateAddress", "AssociateAddress"], Impact.SAFE),
    "the instance terminated": (_terminate_and_wait, ["RunInstances"], Impact.SAFE),
    "the instance going down": (_terminate, ["RunInstances"], Impact.SAFE),
    "the instance stopped": (_stop_and_wait, ["StartInstances"], Impact.SAFE),
    "the instance stopping": (_stop, ["StartInstances"], Impact.SAFE),
}
