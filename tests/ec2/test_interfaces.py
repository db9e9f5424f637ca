"""Rules of EC2 for network interfaces and their private addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2 import Quotas, Settings
from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def small_subnet(lab: Lab) -> str:
    """A /28: sixteen addresses, eleven of them usable."""
    return lab.world.add_subnet(lab.world.add_vpc("10.0.0.0/16", gateway=True), "10.0.0.0/28")


def running(lab: Lab, kind: str = "t3.medium", **more: Any) -> str:
    instance = lab.instance(lab.eni(**more), kind=kind)
    assert lab.state(instance) == "running"
    return instance


def all_ips(lab: Lab, eni: str) -> set[str]:
    return {row["PrivateIpAddress"] for row in lab.show_eni(eni)["PrivateIpAddresses"]}


# -- create --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"PrivateIpAddress": "172.31.99.1"}, "InvalidParameterValue", "does not fall within"),
        ({"PrivateIpAddress": "172.31.0.0"}, "InvalidParameterValue", "reserved"),
        ({"PrivateIpAddress": "172.31.0.3"}, "InvalidParameterValue", "reserved"),
        ({"PrivateIpAddress": "172.31.15.255"}, "InvalidParameterValue", "reserved"),
        ({"PrivateIpAddress": "nonsense"}, "InvalidParameterValue", "invalid IPv4"),
        (
            {"SecondaryPrivateIpAddressCount": 1, "Ipv4PrefixCount": 1},
            "InvalidParameterCombination",
            "together",
        ),
        (
            {"Groups": ["sg-0123456789abcdef0"]},
            "InvalidSecurityGroupID.NotFound",
            "The securityGroup ID 'sg-0123456789abcdef0' does not exist",
        ),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound", ""),
        ({"Ipv6AddressCount": 1}, "InvalidParameterValue", "IPv6 CIDR"),
        ({"InterfaceType": "carrier-pigeon"}, "InvalidParameterValue", ""),
    ],
)
def test_interfaces_that_are_refused(lab: Lab, params: dict[str, Any], code: str, words: str) -> None:
    """EC2 docs: addresses lie in the subnet, not among its five reserved ones, and are asked for in one way."""
    with refused(code, words):
        lab.eni(**params)
    assert lab.world.data.interfaces == {}


def test_a_taken_address_is_refused(lab: Lab) -> None:
    """EC2 answers InvalidIPAddress.InUse to a fixed address that another interface has."""
    eni = lab.eni(PrivateIpAddress="172.31.0.10")
    with refused("InvalidIPAddress.InUse", "already in use"):
        lab.eni(PrivateIpAddress="172.31.0.10")
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert lab.show_eni(lab.eni(PrivateIpAddress="172.31.0.10"))["PrivateIpAddress"] == "172.31.0.10"


def test_what_a_new_interface_is_like(lab: Lab) -> None:
    """EC2 docs: `pending` in the answer, then `available`; the default group and a checked source by default."""
    answer = lab.ec2.create_network_interface(SubnetId=lab.subnet())["NetworkInterface"]
    assert answer["Status"] == "pending"
    shown = lab.show_eni(answer["NetworkInterfaceId"])
    assert shown["Status"] == "available"
    assert shown["SourceDestCheck"] is True
    assert [g["GroupName"] for g in shown["Groups"]] == ["default"]
    assert shown["InterfaceType"] == "interface"
    assert "Attachment" not in shown


def test_a_new_interface_may_be_pending_for_a_while() -> None:
    """EC2 docs: an interface is `pending` right after create and cannot be attached yet."""
    with Lab(Settings(eni_pending_delay=3)) as lab:
        eni = lab.eni()
        assert lab.show_eni(eni)["Status"] == "pending"
        with refused("IncorrectState"):
            lab.instance(eni)
        lab.clock.advance(3)
        lab.instance(eni)


def test_primary_and_secondary_addresses(lab: Lab) -> None:
    """EC2 docs: one address is primary; others are listed or counted."""
    rows = [{"PrivateIpAddress": "172.31.0.20"}, {"PrivateIpAddress": "172.31.0.10", "Primary": True}]
    shown = lab.show_eni(lab.eni(PrivateIpAddresses=rows))
    assert shown["PrivateIpAddress"] == "172.31.0.10"
    assert len(all_ips(lab, lab.eni(PrivateIpAddress="172.31.0.30", SecondaryPrivateIpAddressCount=2))) == 3


def test_a_full_subnet(lab: Lab) -> None:
    """EC2 docs: a /28 has eleven usable addresses; then InsufficientFreeAddressesInSubnet."""
    subnet = small_subnet(lab)
    lab.eni(SubnetId=subnet, SecondaryPrivateIpAddressCount=8)
    with refused("InsufficientFreeAddressesInSubnet"):
        lab.eni(SubnetId=subnet, SecondaryPrivateIpAddressCount=2)
    last = lab.eni(SubnetId=subnet)
    lab.eni(SubnetId=subnet)
    assert lab.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"] == 0
    for call in (
        lambda: lab.eni(SubnetId=subnet),
        lambda: lab.instance(SubnetId=subnet),
        lambda: lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=last, SecondaryPrivateIpAddressCount=1),
    ):
        with refused("InsufficientFreeAddressesInSubnet"):
            call()


def test_interfaces_of_a_region_are_limited() -> None:
    """EC2 docs: interfaces per Region have a quota."""
    with Lab(Settings(quotas=Quotas(interfaces=1))) as lab:
        lab.eni()
        with refused("NetworkInterfaceLimitExceeded"):
            lab.eni()
        with refused("NetworkInterfaceLimitExceeded"):
            lab.instance()


def test_ipv6_addresses_and_prefixes(lab: Lab) -> None:
    """EC2 docs: IPv6 addresses come from the subnet's block; prefixes are /28 and /80."""
    vpc = lab.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56")
    subnet = lab.world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64")
    eni = lab.eni(SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": "2001:DB8::0:5"}])
    assert lab.show_eni(eni)["Ipv6Addresses"] == [{"Ipv6Address": "2001:db8::5", "IsPrimaryIpv6": False}]
    with refused("InvalidIPAddress.InUse"):
        lab.eni(SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": "2001:db8::5"}])
    with refused("InvalidParameterValue"):
        lab.eni(SubnetId=subnet, Ipv6Addresses=[{"Ipv6Address": "2001:db9::5"}])
    lab.ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    assert len(lab.show_eni(eni)["Ipv6Addresses"]) == 2
    lab.ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=["2001:db8::5"])
    with refused("InvalidParameterValue", "not assigned"):
        lab.ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=["2001:db8::5"])
    delegated = lab.eni(SubnetId=subnet, Ipv4PrefixCount=1, Ipv6PrefixCount=1)
    shown = lab.show_eni(delegated)
    assert shown["Ipv4Prefixes"][0]["Ipv4Prefix"].endswith("/28")
    assert shown["Ipv6Prefixes"][0]["Ipv6Prefix"].endswith("/80")


def dual_stack(lab: Lab, **more: Any) -> str:
    """A subnet with both families of addresses."""
    vpc = lab.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56")
    return lab.world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", **more)


@pytest.mark.parametrize("address", ["2001:db8::", "2001:db8::3", "2001:db8::ffff:ffff:ffff:ffff"])
def test_ipv6_addresses_that_are_reserved(lab: Lab, address: str) -> None:
    """EC2 docs: the first four IPv6 addresses and the last of each subnet cannot be assigned."""
    with refused("InvalidParameterValue", "reserved"):
        lab.eni(SubnetId=dual_stack(lab), Ipv6Addresses=[{"Ipv6Address": address}])


@pytest.mark.parametrize("prefix", ["10.0.0.0/28", "10.0.0.240/28"])
def test_prefixes_with_reserved_addresses(lab: Lab, prefix: str) -> None:
    """A prefix is delegated whole, so one that holds a reserved address cannot be."""
    eni = lab.eni(SubnetId=dual_stack(lab))
    with refused("InvalidParameterValue", "reserved"):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=[prefix])


@pytest.mark.parametrize(
    ("asked", "addresses"),
    [({}, 1), ({"Ipv6AddressCount": 0}, 0), ({"Ipv6AddressCount": 2}, 2), ({"Ipv6PrefixCount": 1}, 0)],
    ids=["nothing", "none", "two", "a prefix"],
)
def test_subnets_may_give_out_ipv6_addresses(lab: Lab, asked: dict[str, Any], addresses: int) -> None:
    """EC2 docs: with AssignIpv6AddressOnCreation a new interface gets one, unless a count of 0 overrides it."""
    shown = lab.show_eni(lab.eni(SubnetId=dual_stack(lab, assign_ipv6=True), **asked))
    assert len(shown.get("Ipv6Addresses", [])) == addresses


def test_tags_and_explicit_prefixes_do_not_go_together(lab: Lab) -> None:
    """Terraform's AWS provider: CreateNetworkInterface with both ends in an InternalError."""
    subnet, tags = dual_stack(lab), [{"Key": "a", "Value": "b"}]
    for asked in (
        {"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.16/28"}]},
        {"Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:0:0:1::/80"}]},
    ):
        with refused("InternalError"):
            lab.eni(
                SubnetId=subnet, TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}], **asked
            )
        lab.eni(SubnetId=subnet, **asked)


def test_efa_only_interfaces_have_no_addresses(lab: Lab) -> None:
    """EC2 docs: an EFA-only interface does not support IP addresses."""
    subnet = dual_stack(lab)
    for asked in ({"PrivateIpAddress": "10.0.0.9"}, {"Ipv6AddressCount": 1}, {"Ipv4PrefixCount": 1}):
        with refused("InvalidParameterCombination", "efa-only"):
            lab.eni(SubnetId=subnet, InterfaceType="efa-only", **asked)
    eni = lab.eni(SubnetId=subnet, InterfaceType="efa-only")
    assert "PrivateIpAddress" not in lab.show_eni(eni)
    assert not lab.show_eni(eni).get("PrivateIpAddresses")
    with refused("InvalidParameterCombination", "efa-only"):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    with refused("InvalidParameterCombination", "efa-only"):
        lab.ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    with refused("InvalidParameterValue", "no private address"):
        lab.associate(lab.eip(), eni)


@pytest.mark.parametrize(
    "asked",
    [
        {"TcpEstablishedTimeout": 59},
        {"TcpEstablishedTimeout": 432001},
        {"UdpStreamTimeout": 181},
        {"UdpTimeout": 29},
    ],
)
def test_connection_tracking_has_bounds(lab: Lab, asked: dict[str, int]) -> None:
    """EC2 docs: established TCP from 60 to 432000 seconds, UDP streams 60 to 180, other UDP 30 to 60."""
    eni = lab.eni(ConnectionTrackingSpecification={"UdpTimeout": 60})
    assert lab.show_eni(eni)["ConnectionTrackingConfiguration"] == {"UdpTimeout": 60}
    with refused("InvalidParameterValue"):
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, ConnectionTrackingSpecification=asked)
    with refused("InvalidParameterValue"):
        lab.eni(ConnectionTrackingSpecification=asked)


# -- groups --------------------------------------------------------------------------------------------


def test_groups_per_interface_are_limited(lab: Lab) -> None:
    """EC2 docs: at most five groups on an interface by default, at create and by modify."""
    groups = [lab.group(f"g{n}") for n in range(6)]
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        lab.eni(Groups=groups)
    eni = lab.eni(Groups=groups[:5])
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=groups)


def test_a_group_of_another_vpc_is_refused(lab: Lab) -> None:
    """EC2 docs: an interface carries groups of its own VPC."""
    far = lab.group("far", VpcId=lab.world.add_vpc("10.0.0.0/16"))
    with refused("InvalidGroup.NotFound", "different networks"):
        lab.eni(Groups=[far])
    with refused("InvalidGroup.NotFound", "different networks"):
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=lab.eni(), Groups=[far])
    subnet = lab.subnet()
    slot = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [far]}
    for launch in ({"SubnetId": subnet, "SecurityGroupIds": [far]}, {"NetworkInterfaces": [slot]}):
        words = f"Security group {far} and subnet {subnet} belong to different networks."
        with refused("InvalidParameter", words):
            lab.instance(**launch)


# -- modify --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"Groups": []},
        {"SourceDestCheck": {"Value": False}, "Description": {"Value": "x"}},
    ],
)
def test_modify_takes_exactly_one_attribute(lab: Lab, attributes: dict[str, Any]) -> None:
    """EC2 docs: one attribute per call; an empty list of groups is no attribute at all."""
    with refused("InvalidParameterCombination"):
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=lab.eni(), **attributes)


def test_modify_sets_what_it_names(lab: Lab) -> None:
    """EC2 docs: set-semantics; groups are replaced as a whole."""
    eni, groups = lab.eni(), [lab.group("a"), lab.group("b")]
    modify = lab.ec2.modify_network_interface_attribute
    modify(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    modify(NetworkInterfaceId=eni, Description={"Value": "new"})
    modify(NetworkInterfaceId=eni, Groups=groups)
    shown = lab.show_eni(eni)
    assert (shown["SourceDestCheck"], shown["Description"]) == (False, "new")
    assert {g["GroupId"] for g in shown["Groups"]} == set(groups)
    read = lab.ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="sourceDestCheck")
    assert read["SourceDestCheck"] == {"Value": False}


def test_delete_on_termination_is_a_flag_of_the_attachment(lab: Lab) -> None:
    """EC2 docs: false after every attach, set by a Modify that names the attachment, lost on detach."""
    instance, eni = running(lab), lab.eni()
    modify = lab.ec2.modify_network_interface_attribute
    attachment = lab.attach(eni, instance)
    assert lab.show_eni(eni)["Attachment"]["DeleteOnTermination"] is False
    with refused("InvalidAttachmentID.NotFound"):
        wrong = {"AttachmentId": "eni-attach-0123456789abcdef0", "DeleteOnTermination": True}
        modify(NetworkInterfaceId=eni, Attachment=wrong)
    modify(NetworkInterfaceId=eni, Attachment={"AttachmentId": attachment, "DeleteOnTermination": True})
    assert lab.show_eni(eni)["Attachment"]["DeleteOnTermination"] is True
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    again = lab.attach(eni, instance)
    assert again != attachment
    assert lab.show_eni(eni)["Attachment"]["DeleteOnTermination"] is False


def test_primary_ipv6_cannot_be_taken_back(lab: Lab) -> None:
    """EC2 docs: EnablePrimaryIpv6 needs an IPv6 address and is one-way."""
    vpc = lab.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56")
    subnet = lab.world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64")
    eni = lab.eni(SubnetId=subnet, Ipv6AddressCount=1)
    modify = lab.ec2.modify_network_interface_attribute
    modify(NetworkInterfaceId=eni, EnablePrimaryIpv6=True)
    assert lab.show_eni(eni)["Ipv6Addresses"][0]["IsPrimaryIpv6"] is True
    with refused("InvalidParameterValue"):
        modify(NetworkInterfaceId=eni, EnablePrimaryIpv6=False)
    with refused("InvalidParameterCombination"):
        modify(NetworkInterfaceId=lab.eni(), EnablePrimaryIpv6=True)
    [primary] = lab.show_eni(eni)["Ipv6Addresses"]
    with refused("OperationNotPermitted"):
        lab.ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=[primary["Ipv6Address"]])


# -- attach --------------------------------------------------------------------------------------------


def test_attach_and_detach_take_time() -> None:
    """EC2 docs: attaching, attached, detaching, then no attachment at all; the interface is in use throughout."""
    with Lab(Settings(attach_delay=5, detach_delay=7)) as lab:
        instance, eni = lab.instance(lab.eni()), lab.eni()
        attachment = lab.attach(eni, instance)
        shown = lab.show_eni(eni)
        assert (shown["Status"], shown["Attachment"]["Status"]) == ("in-use", "attaching")
        with refused("IncorrectState"):
            lab.ec2.detach_network_interface(AttachmentId=attachment)
        lab.clock.advance(5)
        assert lab.show_eni(eni)["Attachment"]["Status"] == "attached"
        lab.ec2.detach_network_interface(AttachmentId=attachment)
        shown = lab.show_eni(eni)
        assert (shown["Status"], shown["Attachment"]["Status"]) == ("in-use", "detaching")
        with refused("IncorrectState"):
            lab.ec2.detach_network_interface(AttachmentId=attachment)
        with refused("InvalidParameterValue", "currently in use"):
            lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
        with refused("InvalidNetworkInterface.InUse"):
            lab.attach(eni, instance, 2)
        other = lab.eni()
        with refused("InvalidParameterValue", "already has an interface attached"):
            lab.attach(other, instance, 1)
        lab.clock.advance(7)
        shown = lab.show_eni(eni)
        assert shown["Status"] == "available"
        assert "Attachment" not in shown
        with refused("InvalidAttachmentID.NotFound"):
            lab.ec2.detach_network_interface(AttachmentId=attachment)
        lab.attach(other, instance, 1)


def test_a_detached_attachment_may_be_shown_for_a_moment() -> None:
    """EC2 docs: `detached` is a state of attachments; the interface is free by then."""
    with Lab(Settings(detached_delay=5)) as lab:
        instance, eni = lab.instance(lab.eni()), lab.eni()
        attachment = lab.attach(eni, instance)
        lab.show_eni(eni)
        lab.ec2.detach_network_interface(AttachmentId=attachment)
        shown = lab.show_eni(eni)
        assert (shown["Status"], shown["Attachment"]["Status"]) == ("available", "detached")
        with refused("InvalidAttachmentID.NotFound"):
            lab.ec2.detach_network_interface(AttachmentId=attachment)
        lab.clock.advance(5)
        assert "Attachment" not in lab.show_eni(eni)


def test_attach_needs_the_same_zone(lab: Lab) -> None:
    """EC2 docs: instance and interface must share a zone; their VPCs may differ."""
    instance = running(lab)
    with refused("InvalidParameterCombination", "same availability zone"):
        lab.attach(lab.eni(SubnetId=lab.subnet("b")), instance)
    other_vpc = lab.world.add_subnet(lab.world.add_vpc("10.0.0.0/16"), "10.0.0.0/24", "us-east-1a")
    lab.attach(lab.eni(SubnetId=other_vpc), instance)


def test_an_index_holds_one_interface(lab: Lab) -> None:
    """EC2 docs: a busy device index is InvalidParameterValue; a busy interface is its own error."""
    instance, eni = running(lab), lab.eni()
    lab.attach(eni, instance)
    with refused("InvalidParameterValue", "already has an interface attached at device index '1'"):
        lab.attach(lab.eni(), instance)
    with refused("InvalidParameterValue", "already has an interface attached at device index '0'"):
        lab.attach(lab.eni(), instance, 0)
    with refused("InvalidNetworkInterface.InUse"):
        lab.attach(eni, instance, 2)
    with refused("InvalidNetworkInterface.InUse"):
        lab.attach(eni, running(lab), 1)


@pytest.mark.parametrize(("kind", "limit"), [("t2.micro", 2), ("t3.medium", 3), ("m5.xlarge", 4)])
def test_interfaces_per_type_are_limited(lab: Lab, kind: str, limit: int) -> None:
    """EC2 docs: AttachmentLimitExceeded beyond the type's maximum, at attach and at launch."""
    instance = running(lab, kind)
    for index in range(1, limit):
        lab.attach(lab.eni(), instance, index)
    with refused("AttachmentLimitExceeded", f"Interface count {limit + 1} exceeds the limit for {kind}"):
        lab.attach(lab.eni(), instance, limit)
    with refused("AttachmentLimitExceeded"):
        lab.instance(*(lab.eni() for _ in range(limit + 1)), kind=kind)


def test_network_cards_have_limits_and_indexes_of_their_own(lab: Lab) -> None:
    """EC2 docs: an index is unique per card; each card has its own maximum."""
    instance = running(lab, "c6in.32xlarge")
    lab.attach(lab.eni(), instance, 1, NetworkCardIndex=0)
    lab.attach(lab.eni(), instance, 1, NetworkCardIndex=1)
    with refused("InvalidParameterValue", "device index '1'"):
        lab.attach(lab.eni(), instance, 1, NetworkCardIndex=1)
    for index in range(2, 9):
        lab.attach(lab.eni(), instance, index, NetworkCardIndex=1)
    with refused("AttachmentLimitExceeded", "network card 1"):
        lab.attach(lab.eni(), instance, 9, NetworkCardIndex=1)
    with refused("InvalidParameterValue", "Network card index 2"):
        lab.attach(lab.eni(), instance, 1, NetworkCardIndex=2)


def test_without_a_card_index_any_card_may_be_in_the_way(lab: Lab) -> None:
    """EC2 has been seen to judge an attach without NetworkCardIndex by the wrong card: it must be sent."""
    instance = running(lab, "c6in.32xlarge")
    lab.attach(lab.eni(), instance, 3, NetworkCardIndex=1)
    with refused("InvalidParameterValue", "device index '3'"):
        lab.attach(lab.eni(), instance, 3)
    lab.attach(lab.eni(), instance, 3, NetworkCardIndex=0)


def test_addresses_per_interface_are_limited_by_type(lab: Lab) -> None:
    """EC2 docs: t2.micro takes two addresses an interface, at attach, at assign and at launch."""
    instance, many = running(lab, "t2.micro"), lab.eni(SecondaryPrivateIpAddressCount=2)
    with refused("PrivateIpAddressLimitExceeded"):
        lab.attach(many, instance)
    with refused("InvalidInterface.IpAddressLimitExceeded"):
        lab.instance(many, kind="t2.micro")
    eni = lab.eni()
    lab.attach(eni, instance)
    lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    with refused("PrivateIpAddressLimitExceeded"):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)


def test_attach_waits_for_the_instance() -> None:
    """EC2 docs: only running and stopped instances take an interface."""
    with Lab(Settings(pending_delay=10, stop_delay=10, terminate_delay=10)) as lab:
        instance, eni = lab.instance(lab.eni()), lab.eni()

        def must_wait() -> None:
            with refused("IncorrectState", lab.state(instance)):
                lab.attach(eni, instance)

        must_wait()
        lab.clock.advance(10)
        lab.ec2.stop_instances(InstanceIds=[instance])
        must_wait()
        lab.clock.advance(10)
        lab.attach(eni, instance)
        lab.ec2.terminate_instances(InstanceIds=[instance])
        eni = lab.eni()
        must_wait()


def test_efa_interfaces_need_a_stopped_instance_that_has_them(lab: Lab) -> None:
    """EC2 docs: an EFA attaches to a stopped instance of a type that has them, one per card."""
    instance = running(lab, "c5n.18xlarge")
    with refused("IncorrectInstanceState"):
        lab.attach(lab.eni(InterfaceType="efa"), instance)
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.attach(lab.eni(InterfaceType="efa"), instance)
    with refused("AttachmentLimitExceeded"):
        lab.attach(lab.eni(InterfaceType="efa"), instance, 2)
    with refused("UnsupportedOperation"):
        lab.attach(lab.eni(InterfaceType="efa"), running(lab))


def test_efa_interfaces_come_off_a_stopped_instance(lab: Lab) -> None:
    """EC2 docs: an EFA cannot be detached from an instance that runs."""
    instance = lab.instance(lab.eni(), lab.eni(InterfaceType="efa-only"), kind="p4d.24xlarge")
    (slot,) = [row for row in lab.show_instance(instance)["NetworkInterfaces"] if row["Attachment"]["DeviceIndex"]]
    assert slot["InterfaceType"] == "efa-only"
    with refused("IncorrectInstanceState", "stopped"):
        lab.ec2.detach_network_interface(AttachmentId=slot["Attachment"]["AttachmentId"])
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.ec2.detach_network_interface(AttachmentId=slot["Attachment"]["AttachmentId"])


# -- detach and delete ---------------------------------------------------------------------------------


def test_the_primary_interface_stays(lab: Lab) -> None:
    """EC2 docs: the interface at index 0 of card 0 cannot be detached."""
    eni = lab.eni()
    lab.instance(eni)
    with refused("OperationNotPermitted", "device index 0"):
        lab.ec2.detach_network_interface(AttachmentId=lab.show_eni(eni)["Attachment"]["AttachmentId"])


def test_a_guest_may_hold_on_to_an_interface(lab: Lab) -> None:
    """ansible-collections/amazon.aws#501: `detaching` may last for ever; once the guest lets go, it ends."""
    instance, eni = running(lab), lab.eni()
    lab.world.set_clinging(instance)
    attachment = lab.attach(eni, instance)
    lab.show_eni(eni)
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    lab.clock.advance(3600)
    assert lab.show_eni(eni)["Attachment"]["Status"] == "detaching"
    lab.world.set_clinging(instance, False)
    assert "Attachment" not in lab.show_eni(eni)


def test_a_stop_takes_what_a_guest_holds_on_to(lab: Lab) -> None:
    """A guest that is no more holds nothing."""
    instance, eni = running(lab), lab.eni()
    lab.world.set_clinging(instance)
    attachment = lab.attach(eni, instance)
    lab.show_eni(eni)
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    lab.ec2.stop_instances(InstanceIds=[instance])
    assert lab.show_eni(eni)["Status"] == "available"


def test_force_ends_a_detach_that_hangs_and_costs_the_index(lab: Lab) -> None:
    """EC2 docs, DetachNetworkInterface: after Force the index may be unusable until the instance was stopped."""
    instance, eni = running(lab), lab.eni()
    lab.world.set_clinging(instance)
    attachment = lab.attach(eni, instance)
    lab.show_eni(eni)
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    with refused("IncorrectState", "detaching"):
        lab.ec2.detach_network_interface(AttachmentId=attachment)
    lab.ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    assert "Attachment" not in lab.show_eni(eni)
    with refused("InvalidParameterValue", "already has an interface attached at device index '1'"):
        lab.attach(eni, instance)
    lab.ec2.stop_instances(InstanceIds=[instance])
    assert lab.state(instance) == "stopped"
    lab.attach(eni, instance)


def test_what_travels_with_an_interface(lab: Lab) -> None:
    """EC2 docs: MAC, addresses, groups, flags, tags and Elastic IPs move with the interface."""
    one, two = running(lab), running(lab)
    eni = lab.eni(Groups=[lab.group()], SecondaryPrivateIpAddressCount=1)
    lab.associate(lab.eip(), eni)
    attachment = lab.attach(eni, one)
    keep = ("MacAddress", "PrivateIpAddress", "Groups", "Association")
    before = {name: lab.show_eni(eni)[name] for name in keep}
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    lab.attach(eni, two)
    shown = lab.show_eni(eni)
    assert {name: shown[name] for name in keep} == before
    assert shown["Attachment"]["InstanceId"] == two


def test_deleting_an_interface_frees_its_elastic_ip(lab: Lab) -> None:
    """EC2 docs: the Elastic IP of a deleted interface stays allocated, associated with nothing."""
    eni, address = lab.eni(), lab.eip()
    lab.associate(address, eni)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert "AssociationId" not in lab.show_address(address)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        lab.ec2.delete_network_interface(NetworkInterfaceId=eni)


def test_interfaces_of_other_services_are_out_of_reach(lab: Lab) -> None:
    """EC2 docs: of a requester-managed interface its account may change the tags and nothing else."""
    eni = lab.world.add_service_interface(lab.subnet())
    shown = lab.show_eni(eni)
    assert shown["RequesterManaged"] is True
    assert shown["Attachment"]["AttachmentId"].startswith("ela-attach-")
    with refused("AuthFailure"):
        lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    with refused("AuthFailure"):
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Description={"Value": "x"})
    with refused("OperationNotPermitted", "ela-attach"):
        lab.ec2.detach_network_interface(AttachmentId=shown["Attachment"]["AttachmentId"])
    lab.ec2.create_tags(Resources=[eni], Tags=[{"Key": "a", "Value": "b"}])


@pytest.mark.parametrize(
    ("service", "kind", "managed", "owner"),
    [
        ("nat_gateway", "nat_gateway", True, "amazon-aws"),
        ("network_load_balancer", "network_load_balancer", True, "amazon-aws"),
        ("vpc_endpoint", "vpc_endpoint", True, "amazon-aws"),
        ("efs", "efs", True, "amazon-aws"),
        ("lambda", "lambda", False, "amazon-aws"),
        ("transit_gateway", "transit_gateway", False, "amazon-aws"),
        ("elb", "interface", True, "amazon-elb"),
        ("rds", "interface", True, "amazon-rds"),
        ("ecs", "interface", True, "123456789012"),
    ],
)
def test_what_interfaces_of_services_look_like(
    lab: Lab, service: str, kind: str, managed: bool, owner: str
) -> None:
    """Observed on AWS: those of Lambda are not RequesterManaged; an ela-attach shows no time and no card."""
    shown = lab.show_eni(lab.world.add_service_interface(lab.subnet(), service))
    assert (shown["InterfaceType"], shown["RequesterManaged"]) == (kind, managed)
    attachment = shown["Attachment"]
    assert (attachment["DeviceIndex"], attachment["InstanceOwnerId"]) == (1, owner)
    assert "InstanceId" not in attachment
    own = attachment["AttachmentId"].startswith("eni-attach-")
    assert own is ("AttachTime" in attachment) is ("NetworkCardIndex" in attachment)
    assert own is (service in ("rds", "ecs"))


def test_old_attachments_show_no_card(lab: Lab) -> None:
    """Observed on AWS: NetworkCardIndex is absent from attachments older than network cards."""
    eni = lab.eni()
    instance = lab.instance(eni)
    assert lab.show_eni(eni)["Attachment"]["NetworkCardIndex"] == 0
    lab.world.forget_card(eni)
    assert "NetworkCardIndex" not in lab.show_eni(eni)["Attachment"]
    assert "NetworkCardIndex" not in lab.show_instance(instance)["NetworkInterfaces"][0]["Attachment"]


def test_device_index_0_recurs_on_each_card(lab: Lab) -> None:
    """Observed on AWS: the first interface of every card has index 0; one on a later card can be detached."""
    eni = lab.eni()
    slots = [{"DeviceIndex": 0, "NetworkCardIndex": card, "SubnetId": lab.subnet()} for card in (0, 1)]
    instance = lab.instance(kind="p4d.24xlarge", NetworkInterfaces=slots)
    attachment = lab.attach(eni, instance, 0, NetworkCardIndex=2)
    shown = [each["Attachment"] for each in lab.show_instance(instance)["NetworkInterfaces"]]
    assert {(each["NetworkCardIndex"], each["DeviceIndex"]) for each in shown} == {(0, 0), (1, 0), (2, 0)}
    lab.ec2.detach_network_interface(AttachmentId=attachment)


def test_the_creator_of_an_interface(lab: Lab) -> None:
    """Observed on AWS: RequesterId is the caller of CreateNetworkInterface; a launch leaves none."""
    assert lab.show_eni(lab.eni())["RequesterId"] == lab.server.client("sts").get_caller_identity()["UserId"]
    launched = lab.show_instance(lab.instance())["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert "RequesterId" not in lab.show_eni(launched)


def test_private_names_need_dns_hostnames(lab: Lab) -> None:
    """EC2 docs: interfaces have DNS names where the VPC enables DNS hostnames; an instance always has one."""
    assert lab.show_eni(lab.eni(PrivateIpAddress="172.31.0.9"))["PrivateDnsName"] == "ip-172-31-0-9.ec2.internal"
    vpc = lab.world.add_vpc("10.0.0.0/16", gateway=True)
    eni = lab.eni(SubnetId=lab.world.add_subnet(vpc, "10.0.0.0/24"))
    assert "PrivateDnsName" not in lab.show_eni(eni)
    lab.associate(lab.eip(), eni)
    assert lab.show_eni(eni)["Association"]["PublicDnsName"] == ""
    assert lab.show_instance(lab.instance(eni))["PrivateDnsName"]


def test_operated_resources_may_be_hidden() -> None:
    """EC2 docs, managed resource visibility: shown only with IncludeManagedResources where an account says so."""
    with Lab(Settings(hide_managed=True)) as lab:
        eni = lab.eni()
        lab.world.set_operator(eni)
        listing = lab.ec2.describe_network_interfaces
        assert listing()["NetworkInterfaces"] == []
        assert len(listing(IncludeManagedResources=True)["NetworkInterfaces"]) == 1
        with refused("OperationNotPermitted"):
            lab.ec2.delete_network_interface(NetworkInterfaceId=eni)


# -- private addresses ---------------------------------------------------------------------------------


def test_assigning_a_count_adds_every_time_and_an_address_once(lab: Lab) -> None:
    """EC2 docs: a count is additive; an address that is on the interface already is no error."""
    eni = lab.eni()
    assign = lab.ec2.assign_private_ip_addresses
    for _ in range(2):
        assign(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    assert len(all_ips(lab, eni)) == 3
    for _ in range(2):
        assign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50"])
    assert len(all_ips(lab, eni)) == 4


def test_assigning_is_all_or_nothing(lab: Lab) -> None:
    """EC2 docs: one bad address fails the whole call."""
    eni = lab.eni()
    with refused("InvalidParameterValue"):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50", "10.9.9.9"])
    assert len(all_ips(lab, eni)) == 1


def test_moving_a_secondary_address(lab: Lab) -> None:
    """EC2 docs: a move must be allowed, takes the Elastic IP along, and never takes a primary address."""
    one, two, address = lab.eni(PrivateIpAddress="172.31.0.40"), lab.eni(), lab.eip()
    assign = lab.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=one, PrivateIpAddresses=["172.31.0.50"])
    lab.associate(address, one, PrivateIpAddress="172.31.0.50")
    with refused("InvalidParameterValue", "[172.31.0.50] assigned, but move is not allowed."):
        assign(NetworkInterfaceId=two, PrivateIpAddresses=["172.31.0.50"])
    with refused("InvalidParameterValue", "primary"):
        assign(NetworkInterfaceId=two, PrivateIpAddresses=["172.31.0.40"], AllowReassignment=True)
    assign(NetworkInterfaceId=two, PrivateIpAddresses=["172.31.0.50"], AllowReassignment=True)
    assert all_ips(lab, one) == {"172.31.0.40"}
    assert "172.31.0.50" in all_ips(lab, two)
    assert lab.show_address(address)["NetworkInterfaceId"] == two


def test_unassigning(lab: Lab) -> None:
    """EC2 docs: an Elastic IP goes with its secondary address; absent and primary ones are refused."""
    eni, address = lab.eni(PrivateIpAddress="172.31.0.40"), lab.eip()
    lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50"])
    lab.associate(address, eni, PrivateIpAddress="172.31.0.50")
    unassign = lab.ec2.unassign_private_ip_addresses
    with refused("InvalidParameterValue", "primary"):
        unassign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.40"])
    unassign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50"])
    assert "AssociationId" not in lab.show_address(address)
    with refused("InvalidParameterValue", "Some of the specified addresses are not assigned"):
        unassign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "in-use"),
        ("attachment.device-index", "1"),
        ("attachment.status", "attached"),
        ("private-ip-address", "172.31.0.60"),
        ("addresses.private-ip-address", "172.31.0.6?"),
        ("description", "find me"),
        ("group-name", "marked"),
    ],
)
def test_interfaces_are_found_by_what_they_are(lab: Lab, name: str, value: str) -> None:
    """Filters of DescribeNetworkInterfaces see attachments, addresses, groups and text."""
    group = lab.group("marked")
    eni = lab.eni(PrivateIpAddress="172.31.0.60", Description="find me", Groups=[group])
    lab.eni()
    lab.attach(eni, lab.instance(SubnetId=lab.subnet()))
    filters = [{"Name": name, "Values": [value]}, {"Name": "network-interface-id", "Values": [eni]}]
    rows = lab.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert [row["NetworkInterfaceId"] for row in rows] == [eni]
