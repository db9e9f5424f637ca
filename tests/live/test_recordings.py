"""Everything recorded from the real EC2, read by the product: no crash, no misreading, adopted by tags alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from enireconcile.aws.faults import Meaning, fault_from
from enireconcile.kinds.security_group import SecurityGroups
from enireconcile.kinds.world import World as Resolved
from enireconcile.live import records
from enireconcile.model import Action, Plan
from enireconcile.spec import Document
from tests.ec2 import EC2Server, Settings, World
from tests.ec2.calls import Call
from tests.ec2.filters import wildcard
from tests.ec2.wire import Request
from tests.harness import harness_on
from tests.recordings import Item, entries, needs_recordings
from tests.virtual import VirtualLoop

pytestmark = needs_recordings

FILES = {
    "network-interfaces": ("DescribeNetworkInterfaces", "NetworkInterfaces"),
    "documented-interfaces": ("DescribeNetworkInterfaces", "NetworkInterfaces"),
    "addresses": ("DescribeAddresses", "Addresses"),
    "security-groups": ("DescribeSecurityGroups", "SecurityGroups"),
    "subnets": ("DescribeSubnets", "Subnets"),
    "vpcs": ("DescribeVpcs", "Vpcs"),
    "reservations": ("DescribeInstances", "Reservations"),
}
"""The describe call that a file has items of, and the list of its answer."""

IDS = {
    "network-interface-id": "NetworkInterfaceId",
    "allocation-id": "AllocationId",
    "group-id": "GroupId",
    "instance-id": "InstanceId",
    "group-name": "GroupName",
}
"""Filters that the product uses besides tags, and the keys that they are compared with."""


class Recorded(EC2Server):
    """Answers describe calls with recorded items, as they came, that match the filters."""

    def __init__(self, answers: Mapping[str, tuple[str, Sequence[Item]]]) -> None:
        super().__init__(World(Settings()))
        self.answers = answers

    def _perform(self, request: Request, call: Call) -> dict[str, Any]:
        if not request.action.startswith("Describe"):
            return super()._perform(request, call)
        output = request.model.output_shape
        assert output is not None
        lists: dict[str, Any] = {key: [] for key, shape in output.members.items() if shape.type_name == "list"}
        key, items = self.answers.get(request.action, ("", ()))
        filters = request.params.get("Filters") or ()
        return lists | ({key: [item for item in items if _matches(item, filters)]} if key else {})


def _matches(item: Item, filters: Iterable[Item]) -> bool:
    described = item["Instances"][0] if "Instances" in item else item
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags") or described.get("TagSet") or ()}
    for each in filters:
        name = each["Name"]
        value = tags.get(name[4:]) if name.startswith("tag:") else described.get(IDS[name])
        if not any(value is not None and wildcard(pattern).fullmatch(value) for pattern in each["Values"]):
            return False
    return True


def items(file: str) -> list[Item]:
    return [entry["item"] for entry in entries(file)]


SOME_ID = re.compile("[a-z]+-[0-9a-f]{8,17}")
"""AWS's documentation has an id that cannot be one."""


def batches(file: str, id_key: str) -> Iterator[list[Item]]:
    """The items of a file, so that in no batch two have the same id."""
    left = [item for item in items(file) if SOME_ID.fullmatch(_described(item).get(id_key, ""))]
    while left:
        batch = {_described(item)[id_key]: item for item in left}
        yield list(batch.values())
        left = [item for item in left if batch[_described(item)[id_key]] is not item]


def _described(item: Item) -> Item:
    described: Item = item["Instances"][0] if "Instances" in item else item
    return described


def read(file: str) -> list[tuple[Item, Item]]:
    """Each item of a file, and what arrives of it over HTTP."""
    call, key = FILES[file]
    with Recorded({call: (key, items(file))}) as server:
        answer = getattr(server.client(), xform_name(call))()
    return list(zip(items(file), answer[key], strict=True))


# -- what the records say, against the items -----------------------------------------------------------------


@pytest.mark.parametrize("file", ["network-interfaces", "documented-interfaces"])
def test_interfaces(file: str) -> None:
    """Addresses, groups, attachment and manager are those of the item."""
    for raw, parsed in read(file):
        record = records.network_interface(parsed)
        listed = raw.get("PrivateIpAddresses") or []
        assert record.id == raw["NetworkInterfaceId"]
        assert record.tags == {tag["Key"]: tag["Value"] for tag in raw.get("TagSet") or ()}
        assert record.groups == tuple(sorted(group["GroupId"] for group in raw.get("Groups") or ()))
        assert len(record.secondary_ips) == sum(not each.get("Primary") for each in listed)
        assert len(record.ipv6_addresses) == len(raw.get("Ipv6Addresses") or ())
        assert len(record.ipv4_prefixes) == len(raw.get("Ipv4Prefixes") or ())
        assert record.private_ip == raw.get("PrivateIpAddress", "")
        assert record.status == raw["Status"]
        assert (record.subnet_id, record.vpc_id, record.zone) == (
            raw.get("SubnetId", ""),
            raw.get("VpcId", ""),
            raw.get("AvailabilityZone", ""),
        )
        assert sorted(record.addresses.values()) == sorted(
            {each["Association"]["AllocationId"] for each in (raw, *listed) if _allocated(each)}
        )
        automatic = raw.get("Association") or {}
        assert record.automatic_ip == (None if "AllocationId" in automatic else automatic.get("PublicIp"))
        place = raw.get("Attachment") or {}
        assert (record.attachment is not None) == ("InstanceId" in place)
        assert (record.manager is None) == _is_own(raw)
        assert_names_its_holder(raw, record.manager)


def _allocated(described: Item) -> bool:
    return "AllocationId" in (described.get("Association") or {})


def _is_own(raw: Item) -> bool:
    """By what the corpus shows: services have types of their own, attachments of their own, or say so."""
    place, kind = raw.get("Attachment") or {}, raw.get("InterfaceType", "interface")
    return not (
        raw.get("RequesterManaged")
        or (raw.get("Operator") or {}).get("Managed")
        or kind not in ("interface", "efa", "efa-only", "trunk", "branch")
        or place.get("AttachmentId", "").startswith("ela-")
        or (place.get("InstanceOwnerId", raw["OwnerId"]) != raw["OwnerId"] and "InstanceId" not in place)
    )


def assert_names_its_holder(raw: Item, manager: str | None) -> None:
    """A message says "managed by …": never a number, and the id that AWS writes in the description."""
    if manager is None:
        return
    assert not manager.isdigit()
    for word in raw.get("Description", "").replace("(", " ").split():
        if word.startswith(("nat-", "vpce-", "fs-", "tgw-attach-")):
            assert word in manager


def test_addresses() -> None:
    """All but those of EC2-Classic, which have no allocation."""
    for raw, parsed in read("addresses"):
        if "AllocationId" not in raw:
            continue
        record = records.elastic_ip(parsed)
        assert (record.id, record.public_ip) == (raw["AllocationId"], raw["PublicIp"])
        assert record.association_id == raw.get("AssociationId")
        assert record.network_interface_id == raw.get("NetworkInterfaceId")
        assert record.private_ip == raw.get("PrivateIpAddress")
        assert (record.manager, record.counts) == (None, True)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_groups(direction: str) -> None:
    """One rule for each source of each permission; no group of another account without its owner."""
    key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
    for raw, parsed in read("security-groups"):
        record = records.security_group(parsed)
        assert (record.id, record.name, record.vpc_id) == (raw["GroupId"], raw["GroupName"], raw.get("VpcId", ""))
        document = Document.model_validate({"version": 1, "stack": "recorded", "security_groups": {"a": {}}})
        world = Resolved(document, owned={"security_groups.a": record})
        rules = SecurityGroups().have("a", world, {"group_name": record.name, "tags": {}})
        assert rules is not None
        ends = [rule.get("source") or rule["destination"] for rule in rules[direction]]
        assert sorted(ends) == sorted(_ends(raw, raw.get(key) or ()))


def _ends(raw: Item, permissions: Iterable[Item]) -> Iterator[str]:
    for each in permissions:
        yield from (entry["CidrIp"] for entry in each.get("IpRanges") or ())
        yield from (entry["CidrIpv6"] for entry in each.get("Ipv6Ranges") or ())
        yield from (entry["PrefixListId"] for entry in each.get("PrefixListIds") or ())
        for pair in each.get("UserIdGroupPairs") or ():
            if pair["GroupId"] == raw["GroupId"]:
                # The row is called that.
                yield "self"
            else:
                yield (
                    pair["GroupId"] if pair["UserId"] == raw["OwnerId"] else f"{pair['UserId']}/{pair['GroupId']}"
                )


def test_subnets() -> None:
    """Blocks, zone and free addresses."""
    for raw, parsed in read("subnets"):
        record = records.subnet(parsed)
        assert (record.id, record.vpc_id, record.zone) == (raw["SubnetId"], raw["VpcId"], raw["AvailabilityZone"])
        assert (record.cidr, record.free) == (raw["CidrBlock"], raw["AvailableIpAddressCount"])
        assert record.default_for_az == raw["DefaultForAz"]


def test_vpcs() -> None:
    """Only the blocks that are associated."""
    for raw, parsed in read("vpcs"):
        listed = raw.get("CidrBlockAssociationSet") or ()
        blocks = {each["CidrBlock"] for each in listed if each["CidrBlockState"]["State"] == "associated"}
        record = records.vpc(parsed)
        assert (record.id, record.is_default) == (raw["VpcId"], raw["IsDefault"])
        assert set(record.cidrs) == blocks | {raw["CidrBlock"]}


def test_instances() -> None:
    """State, type, and an occupant for every attached interface, each at its card and index."""
    for raw, parsed in read("reservations"):
        [described], [item] = raw["Instances"], parsed["Instances"]
        record = records.instance(item)
        assert (record.id, record.state) == (described["InstanceId"], described["State"]["Name"])
        assert record.tags == {tag["Key"]: tag["Value"] for tag in described.get("Tags") or ()}
        assert (record.instance_type, record.zone) == (
            described.get("InstanceType", ""),
            described["Placement"]["AvailabilityZone"],
        )
        attached = {
            (each["Attachment"].get("NetworkCardIndex", 0), each["Attachment"]["DeviceIndex"]): each
            for each in described.get("NetworkInterfaces") or ()
        }
        assert len(attached) == len(described.get("NetworkInterfaces") or ())
        for (card, index), interface in attached.items():
            occupant = record.occupant(card, index)
            assert occupant is not None
            assert occupant.network_interface_id == interface["NetworkInterfaceId"]


# -- adopt ---------------------------------------------------------------------------------------------------

REASONS = {
    "network_interfaces": "is managed by ",
    "security_groups": "is the default security group of its VPC",
    "instances": "is (terminated|shutting-down)",
    "elastic_ips": "never",
}
"""Why a plan may refuse to adopt something recorded."""


@pytest.mark.parametrize(
    ("file", "id_key", "section"),
    [
        ("network-interfaces", "NetworkInterfaceId", "network_interfaces"),
        ("documented-interfaces", "NetworkInterfaceId", "network_interfaces"),
        ("addresses", "AllocationId", "elastic_ips"),
        ("security-groups", "GroupId", "security_groups"),
        ("reservations", "InstanceId", "instances"),
    ],
)
@pytest.mark.parametrize("how", ["bare", "whole"])
def test_adopted_by_tags_alone(file: str, id_key: str, section: str, how: str, tmp_path: Path) -> None:
    """Every item of a file, with all subnets and VPCs that were recorded, and none of the others.

    A bare row has only the id, a whole one also what the item says.
    """
    places = {FILES[name][0]: (FILES[name][1], items(name)) for name in ("subnets", "vpcs")}
    for number, batch in enumerate(batches(file, id_key)):
        answers = places | {FILES[file][0]: (FILES[file][1], batch)}
        rows = {
            f"r{position}": {"adopt": described[id_key], **(WRITTEN[section](described) if how == "whole" else {})}
            for position, described in enumerate(map(_described, batch))
        }
        plan = planned({section: rows}, answers, tmp_path / str(number))
        assert {step.call for step in plan.steps} <= {"CreateTags"}
        assert {change.action for change in plan.changes} <= {Action.ADOPT}
        assert {field.field for change in plan.changes for field in change.fields} <= {"tags"}
        refused = {error.address: error.problem.message for error in plan.errors}
        assert len(plan.errors) == len(refused)
        adopted = {change.address for change in plan.changes}
        assert adopted ^ set(refused) == {f"{section}.{name}" for name in rows}
        wrong = [message for message in refused.values() if not re.search(REASONS[section], message)]
        assert wrong == []


def planned(sections: Mapping[str, Any], answers: Mapping[str, tuple[str, Sequence[Item]]], state: Path) -> Plan:
    # YAML takes JSON.
    text = json.dumps({"version": 1, "stack": "recorded", "region": "us-east-1", **sections})
    with Recorded(answers) as server, harness_on(server, VirtualLoop(), state) as harness:
        return harness.plan(text, partly=True)


def _interface(described: Item) -> Item:
    listed = described.get("PrivateIpAddresses") or []
    row: Item = {
        "security_groups": [group["GroupId"] for group in described.get("Groups") or ()],
        "private_ip": described.get("PrivateIpAddress"),
        "secondary_private_ips": [each["PrivateIpAddress"] for each in listed if not each.get("Primary")],
        "ipv6_addresses": [each["Ipv6Address"] for each in described.get("Ipv6Addresses") or ()],
        "ipv4_prefixes": [each["Ipv4Prefix"] for each in described.get("Ipv4Prefixes") or ()],
        "ipv6_prefixes": [each["Ipv6Prefix"] for each in described.get("Ipv6Prefixes") or ()],
        "source_dest_check": described.get("SourceDestCheck", True),
        "description": described.get("Description", ""),
    }
    return {key: value for key, value in row.items() if value not in (None, [])}


def _group(described: Item) -> Item:
    row: Item = {
        "description": described["Description"],
        "ingress": list(_rules(described, "IpPermissions", "sources")),
        "egress": list(_rules(described, "IpPermissionsEgress", "destinations")),
    }
    return {key: value for key, value in row.items() if HOST_BITS not in str(value)}


HOST_BITS = "192.168.0.1/31"
"""An old rule has it; EC2 takes no such CIDR any more, and neither does a spec."""


def _instance(described: Item) -> Item:
    """An instance between two states goes on to the second one."""
    state = described["State"]["Name"]
    settled = {"state": state} if state in ("running", "stopped") else {}
    return {"instance_type": described["InstanceType"], **settled}


def _rules(described: Item, key: str, ends: str) -> Iterator[Item]:
    """One row for each source."""
    for permission in described.get(key) or ():
        for lists, entry_key in (
            ("IpRanges", "CidrIp"),
            ("Ipv6Ranges", "CidrIpv6"),
            ("PrefixListIds", "PrefixListId"),
            ("UserIdGroupPairs", "GroupId"),
        ):
            for entry in permission.get(lists) or ():
                rule = {"protocol": permission["IpProtocol"].replace("-1", "all"), ends: [entry[entry_key]]}
                ports = _ports(permission)
                text = entry.get("Description", "")
                yield rule | ({"ports": ports} if ports else {}) | ({"description": text} if text else {})


def _ports(permission: Item) -> str:
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if first in (None, -1):
        return ""
    if permission["IpProtocol"] == "icmp":
        return str(first) if last == -1 else f"{first}/{last}"
    return f"{first}-{last}"


WRITTEN: Mapping[str, Callable[[Item], Item]] = {
    "network_interfaces": _interface,
    "security_groups": _group,
    "elastic_ips": lambda described: {"address": described["PublicIp"]},
    "instances": _instance,
}
"""What a row can say of an item, by section."""


# -- errors --------------------------------------------------------------------------------------------------

MEANINGS = {
    "done": {Meaning.DONE, Meaning.ALREADY_EXISTS},
    "look": {Meaning.ALREADY_EXISTS},
    "refused": {Meaning.REFUSED},
    "replan": {Meaning.REPLAN},
    "throttled": {Meaning.THROTTLED},
    "wait": {Meaning.WAIT, Meaning.NOT_READY_OR_GONE},
    "clock": {Meaning.RETRY, Meaning.REFUSED},
}
"""What an entry expects of a client, by the first word."""


def test_errors() -> None:
    """Each recorded error means what its entry expects; a wrong clock is told."""
    for entry in entries("errors"):
        call = entry["call"].rpartition(":")[2].replace("any", "DescribeInstances")
        response: Any = {
            "Error": {"Code": entry["code"], "Message": entry["message"] or ""},
            "ResponseMetadata": {"HTTPStatusCode": entry["http"]},
        }
        fault = fault_from(call, ClientError(response, call))
        expected = re.match(r"\w*", entry.get("expect", ""))
        assert expected is not None
        if expected[0]:
            assert fault.meaning in MEANINGS[expected[0]], entry
        if expected[0] == "clock":
            assert "clock" in (fault.error().hint or ""), entry
