"""The strict EC2 answers with the keys and types, and refuses with the words, recorded from the real one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2 import Settings
from tests.ec2.lab import Lab
from tests.ec2.services import SERVICES
from tests.ec2.wire import service_model
from tests.recordings import Item, entries, needs_recordings, recorded

pytestmark = needs_recordings

Answers = dict[str, list[Item]]
"""Answers, or single items of them, by the operation (and the sort) that they belong to."""

NOT_MET = {
    ("reservations", ".RequesterId"): "launches by another service",
    ("reservations", ".Instances[].InstanceLifecycle"): "Spot instances",
    ("reservations", ".Instances[].SpotInstanceRequestId"): "Spot instances",
    ("reservations", ".Instances[].Platform"): "Windows",
    ("reservations", ".Instances[].KernelId"): "paravirtual images",
    ("network-interfaces", ".PublicDnsName"): "dual-stack public names",
    ("network-interfaces", ".PublicIpDnsNameOptions"): "dual-stack public names",
}
"""Recorded keys, by file and path, that this world cannot show, and what they belong to."""

MANY = 3
"""From so many recorded structures on, a key that all of them have counts as one that is always there."""


# -- the strict EC2's answers --------------------------------------------------------------------------


def rules(group: str, prefix_list: str) -> list[Item]:
    about = {"Description": "web"}
    web: Item = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    return [
        {**web, "IpRanges": [{"CidrIp": "10.0.0.0/8", **about}]},
        {**web, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32", **about}]},
        {**web, "PrefixListIds": [{"PrefixListId": prefix_list, **about}]},
        {**web, "UserIdGroupPairs": [{"GroupId": group, **about}]},
        {"IpProtocol": "icmp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
    ]


def tags(*kinds: str) -> Item:
    return {"TagSpecifications": [{"ResourceType": each, "Tags": [{"Key": "a", "Value": "b"}]} for each in kinds]}


def look(lab: Lab) -> None:
    """Lists everything; the answers are collected on the way."""
    for name in (
        "instances", "instance_status", "network_interfaces", "addresses", "security_groups",
        "security_group_rules", "subnets", "vpcs", "managed_prefix_lists",
    ):  # fmt: skip
        getattr(lab.ec2, f"describe_{name}")()


def networks(lab: Lab) -> tuple[str, str]:
    """A subnet with IPv6 and a group with rules of every sort."""
    vpc = lab.world.add_vpc(
        "10.0.0.0/16",
        gateway=True,
        ipv6_cidr="2001:db8::/56",
        other_cidrs={"10.1.0.0/16": "disassociated"},
        tags={"a": "b"},
    )
    subnet = lab.world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"a": "b"})
    group = lab.group(VpcId=vpc, **tags("security-group"))
    lab.world.add_prefix_list(by_aws=True)
    peer = {"GroupId": lab.world.add_peer_group(vpc, "210987654321"), "UserId": "210987654321"}
    lab.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [peer]}]
    )
    some = rules(group, lab.world.add_prefix_list())
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=some)
    lab.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=some)
    return subnet, group


def interfaces(lab: Lab, subnet: str, group: str) -> list[str]:
    """Interfaces of every sort. The answer names two of the account's own, the second one with IPv6."""
    tracking = {"TcpEstablishedTimeout": 600, "UdpTimeout": 30}
    plain = lab.eni()
    full = lab.eni(
        SubnetId=subnet,
        Groups=[group],
        Ipv6AddressCount=1,
        EnablePrimaryIpv6=True,
        ConnectionTrackingSpecification=tracking,
        **tags("network-interface"),
    )
    lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=full, SecondaryPrivateIpAddressCount=1)
    assigned = lab.ec2.assign_ipv6_addresses(NetworkInterfaceId=full, Ipv6AddressCount=1)["AssignedIpv6Addresses"]
    lab.ec2.unassign_ipv6_addresses(NetworkInterfaceId=full, Ipv6Addresses=assigned)
    made = {service: lab.world.add_service_interface(lab.subnet(), service) for service in SERVICES}
    lab.world.hand_over(lab.eip(), made["nat_gateway"])
    lab.world.data.interfaces[made["ecs"]].public_ip = lab.world.new_public_ip()
    lab.world.data.interfaces[made["rds"]].deny_igw = True
    return [plain, full]


def addresses(lab: Lab, eni: str) -> None:
    lab.eip(**tags("elastic-ip"))
    held = lab.eip(**tags("elastic-ip"))
    lab.associate(held, eni)
    lab.ec2.modify_address_attribute(AllocationId=held, DomainName="web.example.com")
    lab.ec2.describe_addresses_attribute(AllocationIds=[held], Attribute="domain-name")


def instances(lab: Lab, plain: str, full: str) -> None:
    """Instances in every state, seen as they pass through it."""
    lab.instance()
    named: Item = {"IamInstanceProfile": {"Name": "web"}, "KeyName": "ops"}
    one = lab.instance(plain, UserData="x", **named, **tags("instance"))
    look(lab)
    lab.clock.advance(1)
    for name in ("disableApiStop", "disableApiTermination", "rootDeviceName", "userData"):
        lab.ec2.describe_instance_attribute(InstanceId=one, Attribute=name)
    addresses(lab, plain)
    lab.attach(full, one)
    for name in ("attachment", "description", "groupSet", "sourceDestCheck"):
        lab.ec2.describe_network_interface_attribute(NetworkInterfaceId=full, Attribute=name)
    look(lab)
    for act in (lab.ec2.stop_instances, lab.ec2.start_instances, lab.ec2.terminate_instances):
        act(InstanceIds=[one])
        look(lab)
        lab.clock.advance(1)
        look(lab)


def story(*, terminated_in_subnet: bool) -> Answers:
    given: Answers = defaultdict(list)

    def keep(parsed: Item, model: Any, **_: Any) -> None:
        given[model.name].append({key: value for key, value in parsed.items() if key != "ResponseMetadata"})

    with Lab(
        Settings(pending_delay=1, stop_delay=1, terminate_delay=1, terminated_in_subnet=terminated_in_subnet)
    ) as lab:
        lab.ec2.meta.events.register("after-call.ec2", keep)
        try:
            look(lab)
            instances(lab, *interfaces(lab, *networks(lab)))
        finally:
            lab.ec2.meta.events.unregister("after-call.ec2", keep)
    return given


@cache
def answers() -> Answers:
    """Every answer of a story that makes all kinds of resources in all states, by operation."""
    told = [story(terminated_in_subnet=each) for each in (True, False)]
    return {name: [answer for each in told for answer in each[name]] for name in told[0]}


# -- the comparison ------------------------------------------------------------------------------------


Keys = dict[str, str]
"""A structure's keys and the type of each value."""


def kind_of(value: object) -> str:
    return "str" if isinstance(value, datetime) else type(value).__name__


def structures(value: object, path: str = "") -> Iterable[tuple[str, Keys]]:
    """Every structure in an answer with its path, in which all items of a list are one."""
    if isinstance(value, dict):
        yield path, {key: kind_of(each) for key, each in value.items()}
        for key, each in value.items():
            yield from structures(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from structures(each, f"{path}[]")


def by_path(items: Iterable[Item]) -> dict[str, list[Keys]]:
    found: dict[str, list[Keys]] = defaultdict(list)
    for item in items:
        for path, keys in structures(item):
            found[path].append(keys)
    return found


def types(all_keys: list[Keys], name: str) -> set[str]:
    return {keys[name] for keys in all_keys if name in keys}


def differences(real: list[Item], ours: list[Item], file: str = "") -> list[str]:
    """What a client of the real answers could meet, or count on, and a client of ours could not."""
    found, here = by_path(real), by_path(ours)
    elsewhere = tuple(path for where, path in NOT_MET if where == file)
    told: list[str] = []
    for path, theirs in found.items():
        mine = here.get(path, [])
        for name in sorted({name for keys in theirs for name in keys}):
            where = f"{path}.{name}"
            always = len(theirs) >= MANY and all(name in keys for keys in theirs)
            if not types(mine, name):
                told.append(f"{where} is never there")
            elif types(mine, name) != types(theirs, name):
                told.append(f"{where} is {types(mine, name)}, recorded {types(theirs, name)}")
            elif always and not all(name in keys for keys in mine):
                told.append(f"{where} is not always there")
    return [each for each in told if not each.startswith(elsewhere)]


def sorts(items: Iterable[Item], sort: Callable[[Item], str | None]) -> Answers:
    sorted_items: Answers = defaultdict(list)
    for item in items:
        if (name := sort(item)) is not None:
            sorted_items[name].append(item)
    return sorted_items


def compare(file: str, action: str, key: str, sort: Callable[[Item], str | None]) -> None:
    """Compares the recorded items of a Describe call with ours, each sort of item with its like."""
    theirs = sorts((entry["item"] for entry in recorded(file)), sort)
    ours = sorts((item for answer in answers()[action] for item in answer[key]), sort)
    assert theirs
    assert {name: found for name in theirs if (found := differences(theirs[name], ours[name], file))} == {}


def test_network_interfaces() -> None:
    """Attached to an instance, attached by a service in its two ways, and free ones."""

    def sort(eni: Item) -> str | None:
        attachment = eni.get("Attachment")
        if attachment is None:
            return "free" if eni["Status"] == "available" else None
        return "ours" if "InstanceId" in attachment else str(attachment["AttachmentId"]).split("-")[0]

    compare("network-interfaces", "DescribeNetworkInterfaces", "NetworkInterfaces", sort)


def test_addresses() -> None:
    """Elastic IPs on instances, on other interfaces, and free ones."""

    def sort(address: Item) -> str | None:
        if "AllocationId" not in address:
            return None
        return "held" if "AssociationId" in address else "free"

    compare("addresses", "DescribeAddresses", "Addresses", sort)


def test_reservations() -> None:
    """One instance each, in each state. EC2-Classic is left out, and two states that were edited by hand."""

    def sort(reservation: Item) -> str | None:
        instance = reservation["Instances"][0]
        state = str(instance["State"]["Name"])
        classic = "VpcId" not in instance and state != "terminated"
        edited = state == "running" and "StateReason" in instance
        return None if classic or edited else state

    compare("reservations", "DescribeInstances", "Reservations", sort)


@pytest.mark.parametrize(
    ("file", "action", "key"),
    [
        ("security-groups", "DescribeSecurityGroups", "SecurityGroups"),
        ("subnets", "DescribeSubnets", "Subnets"),
        ("vpcs", "DescribeVpcs", "Vpcs"),
    ],
)
def test_places_and_groups(file: str, action: str, key: str) -> None:
    """What has one form only."""
    compare(file, action, key, lambda _: "all")


def test_other_calls() -> None:
    """Whole answers of the calls that the strict EC2 has; some recordings hold only a part of one."""
    calls: Answers = defaultdict(list)
    for entry in recorded("answers"):
        shape = service_model("ec2").operation_model(entry["call"]).output_shape
        if shape is not None and set(entry["answer"]) <= set(shape.members):
            calls[entry["call"]].append(entry["answer"])
    ours = answers()
    assert {"RunInstances", "CreateNetworkInterface", "StopInstances"} <= set(calls)
    told = {name: differences(real, ours[name]) for name, real in calls.items() if name in ours}
    assert {name: found for name, found in told.items() if found} == {}


def test_what_the_recordings_never_show() -> None:
    """A terminated instance and a service's attachment show less than others, in ours as in the real answers."""
    real = sorts((entry["item"] for entry in recorded("reservations")), _state)["terminated"]
    ours = sorts((row for each in answers()["DescribeInstances"] for row in each["Reservations"]), _state)
    keys = [{key for row in rows for key in row["Instances"][0]} for rows in (real, ours["terminated"])]
    assert keys[1] - keys[0] <= {"BootMode"}
    by_service = [
        {key for row in rows if _by_service(row) for key in row["Attachment"]}
        for rows in (
            [entry["item"] for entry in recorded("network-interfaces")],
            [row for each in answers()["DescribeNetworkInterfaces"] for row in each["NetworkInterfaces"]],
        )
    ]
    assert by_service[0] == by_service[1]


def _state(reservation: Item) -> str:
    return str(reservation["Instances"][0]["State"]["Name"])


def _by_service(eni: Item) -> bool:
    return str(eni.get("Attachment", {}).get("AttachmentId", "")).startswith("ela-")


# -- refusals ------------------------------------------------------------------------------------------


SOME_ID = re.compile(r"\b((?:eni|sg|sgr|i|vpc|subnet|eipalloc|eipassoc|ami)-)[0-9a-f]{8,17}\b")
SOME_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")
ANY_RULE: Item = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def plain(message: str) -> str:
    return SOME_ADDRESS.sub("address", SOME_ID.sub(r"\1id", message))


def far_group(lab: Lab) -> str:
    return lab.group("far", VpcId=lab.world.add_vpc("10.0.0.0/16"))


def held_address(lab: Lab) -> str:
    address = lab.eip()
    lab.world.hand_over(address, lab.world.add_service_interface(lab.subnet(), "nat_gateway"))
    return address


def terminated(lab: Lab) -> list[str]:
    instance = lab.instance()
    lab.ec2.terminate_instances(InstanceIds=[instance])
    return [instance]


def authorize(lab: Lab, group: str, *permissions: Item) -> None:
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))


def take(lab: Lab, address: str) -> None:
    for eni in (lab.eni(), lab.eni()):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[address])


def modify_rule(lab: Lab) -> None:
    group = lab.group()
    answer = lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ANY_RULE])
    rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    updates = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": {"CidrIpv4": "10.0.0.0/8"}}]
    lab.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=updates)


def attach_many(lab: Lab) -> None:
    instance = lab.instance(lab.eni())
    for index in (1, 2, 3):
        lab.attach(lab.eni(), instance, index)


def attach_twice(lab: Lab) -> None:
    instance = lab.instance(lab.eni())
    for _ in range(2):
        lab.attach(lab.eni(), instance, 1)


def detach_primary(lab: Lab) -> None:
    eni = lab.eni()
    lab.instance(eni)
    lab.ec2.detach_network_interface(AttachmentId=lab.show_eni(eni)["Attachment"]["AttachmentId"])


def detach_from_service(lab: Lab) -> None:
    eni = lab.world.add_service_interface(lab.subnet(), "efs")
    lab.ec2.detach_network_interface(AttachmentId=lab.show_eni(eni)["Attachment"]["AttachmentId"])


def reassociate(lab: Lab) -> None:
    address = lab.eip()
    lab.associate(address, lab.eni())
    lab.associate(address, lab.eni(), AllowReassociation=False)


def delete_used(lab: Lab) -> None:
    eni = lab.eni()
    lab.instance(eni)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)


def delete_carried(lab: Lab) -> None:
    group = lab.group()
    lab.eni(Groups=[group])
    lab.ec2.delete_security_group(GroupId=group)


def fill_subnet(lab: Lab) -> None:
    subnet = lab.world.add_subnet(lab.vpc, "172.31.250.0/28")
    for _ in range(12):
        lab.eni(SubnetId=subnet)


def fill_group(lab: Lab) -> None:
    ranges = [{"CidrIp": f"10.0.0.{number}/32"} for number in range(100)]
    authorize(lab, lab.group(), {**ANY_RULE, "IpRanges": ranges})


def associate_without_gateway(lab: Lab) -> None:
    subnet = lab.world.add_subnet(lab.world.add_vpc("10.0.0.0/16"), "10.0.0.0/24")
    lab.associate(lab.eip(), lab.eni(SubnetId=subnet))


def authorize_twice(lab: Lab) -> None:
    group = lab.group()
    for _ in range(2):
        authorize(lab, group, ANY_RULE)


def modify_rule_of_no_group(lab: Lab) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "10.0.0.0/8"}
    updates = [{"SecurityGroupRuleId": "sgr-01234567", "SecurityGroupRule": rule}]
    lab.ec2.modify_security_group_rules(GroupId="sg-01234567", SecurityGroupRules=updates)


def launch_used(lab: Lab) -> None:
    eni = lab.eni()
    for _ in range(2):
        lab.instance(eni)


REFUSALS: list[Callable[[Lab], object]] = [
    attach_many,
    attach_twice,
    delete_carried,
    delete_used,
    detach_from_service,
    detach_primary,
    launch_used,
    modify_rule,
    reassociate,
    lambda lab: [lab.eip() for _ in range(6)],
    lambda lab: authorize(lab, lab.group(), ANY_RULE, ANY_RULE),
    lambda lab: authorize(
        lab, lab.group(), {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": far_group(lab)}]}
    ),
    lambda lab: take(lab, "172.31.0.50"),
    lambda lab: lab.associate(held_address(lab), lab.eni()),
    lambda lab: lab.attach(lab.eni(SubnetId=lab.subnet("b")), lab.instance(lab.eni())),
    lambda lab: lab.eip(Address="192.0.2.1"),
    lambda lab: lab.eip(Address="192.0.2.1", PublicIpv4Pool="amazon"),
    lambda lab: lab.eip(PublicIpv4Pool="InvalidIpV4Address"),
    lambda lab: lab.eni(Groups=["sg-0123456789abcdef0"]),
    lambda lab: [lab.eni(PrivateIpAddress="172.31.0.50") for _ in range(2)],
    lambda lab: lab.instance(ImageId="ami-0123456789abcdef0"),
    lambda lab: lab.instance(SubnetId=lab.subnet(), SecurityGroupIds=[far_group(lab)]),
    lambda lab: lab.instance(IamInstanceProfile={"Name": "x"}),
    lambda lab: (
        lab.world.add_instance_profile("x", role_delay=9) and lab.instance(IamInstanceProfile={"Name": "x"})
    ),
    lambda lab: lab.ec2.associate_address(
        PublicIp=lab.ec2.allocate_address()["PublicIp"], InstanceId=lab.instance()
    ),
    lambda lab: lab.ec2.release_address(PublicIp=lab.ec2.allocate_address()["PublicIp"]),
    lambda lab: lab.ec2.release_address(AllocationId=held_address(lab)),
    lambda lab: lab.ec2.release_address(AllocationId="eipalloc-01234567"),
    lambda lab: lab.ec2.disassociate_address(AssociationId="eipassoc-01234567"),
    lambda lab: lab.ec2.create_tags(Resources=[], Tags=[{"Key": "a", "Value": "b"}]),
    lambda lab: lab.ec2.delete_network_interface(NetworkInterfaceId="eni-01234567"),
    lambda lab: lab.ec2.delete_security_group(GroupId="sg-01234567"),
    lambda lab: lab.ec2.delete_security_group(GroupId=lab.world.default_group(lab.vpc).id),
    lambda lab: lab.ec2.describe_subnets(SubnetIds=["subnet-01234567"]),
    lambda lab: lab.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": ["foobar"]}]),
    lambda lab: lab.ec2.describe_security_group_rules(SecurityGroupRuleIds=["sgr-01234567"]),
    lambda lab: lab.ec2.revoke_security_group_ingress(GroupId=lab.group()),
    lambda lab: lab.ec2.start_instances(InstanceIds=terminated(lab)),
    lambda lab: lab.ec2.stop_instances(InstanceIds=terminated(lab)),
    lambda lab: lab.ec2.stop_instances(InstanceIds=[lab.instance(DisableApiStop=True)]),
    lambda lab: lab.ec2.terminate_instances(InstanceIds=[lab.instance(DisableApiStop=True)]),
    lambda lab: lab.ec2.terminate_instances(InstanceIds=[lab.instance(DisableApiTermination=True)]),
    lambda lab: lab.ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=lab.eni(), PrivateIpAddresses=["10.0.0.1"]
    ),
    lambda lab: lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=lab.eni(), Groups=[far_group(lab)]),
    lambda lab: lab.ec2.describe_addresses(AllocationIds=["eipalloc-01234567"]),
    lambda lab: lab.ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-01234567"]),
    lambda lab: lab.ec2.describe_security_groups(GroupIds=["sg-01234567"]),
    associate_without_gateway,
    authorize_twice,
    fill_group,
    fill_subnet,
    modify_rule_of_no_group,
]


def test_refusals() -> None:
    """Each refusal has the code, the message and the HTTP status that were recorded for its call."""
    known = {
        (each["call"], each["code"], plain(each["message"]), each["http"])
        for each in entries("errors")
        if each["message"]
    }
    unknown = set()
    for provoke in REFUSALS:
        with Lab() as lab, pytest.raises(ClientError) as caught:
            provoke(lab)
        error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
        shown = (caught.value.operation_name, error["Code"], plain(error["Message"]), meta["HTTPStatusCode"])
        unknown |= {shown} - known
    assert unknown == set()
