"""What an answer of AWS must contain.

A proxy, a captive portal or a wrong endpoint can answer HTTP 200 with a page of its own. botocore reads such a
page as an answer in which nothing is set, which looks like an account without resources. So every answer must have
the root element of its action, the lists that EC2 sends even when they are empty, and the members without which an
object cannot be read. Everything that botocore cannot parse counts as unreadable, too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import ResponseParserError

from enireconcile.aws.actions import ACTIONS, Listing

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "AccountAttribute": ("AttributeName", "AttributeValues"),
    "AccountAttributeValue": ("AttributeValue",),
    "Address": ("PublicIp",),
    "AddressAttribute": ("AllocationId",),
    "AllocateAddressResult": ("AllocationId", "PublicIp"),
    "AttributeBooleanValue": ("Value",),
    "CreateNetworkInterfaceResult": ("NetworkInterface",),
    "CreateSecurityGroupResult": ("GroupId",),
    "GetCallerIdentityResponse": ("Account",),
    "GetParameterResult": ("Parameter",),
    "GroupIdentifier": ("GroupId",),
    "IamInstanceProfileAssociation": ("AssociationId", "InstanceId", "State"),
    "CapacityReservation": ("CapacityReservationId", "State"),
    "DescribeKeyResponse": ("KeyMetadata",),
    "Host": ("HostId", "State"),
    "Image": ("ImageId",),
    "Instance": ("ImageId", "InstanceId", "InstanceType", "State"),
    "InstanceNetworkInterface": ("NetworkInterfaceId",),
    "InstanceNetworkInterfaceAttachment": ("AttachmentId", "DeviceIndex"),
    "InstanceState": ("Name",),
    "InstanceStatus": ("InstanceId", "InstanceStatus", "SystemStatus"),
    "InstanceStatusSummary": ("Status",),
    "InstanceTypeInfo": ("InstanceType", "NetworkInfo"),
    "InstanceTypeOffering": ("InstanceType", "Location"),
    "InternetGateway": ("InternetGatewayId",),
    "InternetGatewayAttachment": ("VpcId",),
    "IpPermission": ("IpProtocol",),
    "IpRange": ("CidrIp",),
    "Ipv4PrefixSpecification": ("Ipv4Prefix",),
    "Ipv6PrefixSpecification": ("Ipv6Prefix",),
    "Ipv6Range": ("CidrIpv6",),
    "KeyMetadata": ("KeyId",),
    "KeyPairInfo": ("KeyName",),
    "ManagedPrefixList": ("PrefixListId",),
    "NetworkAcl": ("NetworkAclId", "VpcId"),
    "NetworkAclAssociation": ("SubnetId",),
    "NetworkAclEntry": ("Protocol", "RuleAction", "RuleNumber"),
    "NetworkCardInfo": ("MaximumNetworkInterfaces", "NetworkCardIndex"),
    "NetworkInfo": ("Ipv4AddressesPerInterface", "MaximumNetworkInterfaces"),
    "NetworkInterface": ("NetworkInterfaceId", "Status", "SubnetId", "VpcId"),
    "NetworkInterfaceAttachment": ("AttachmentId", "DeviceIndex"),
    "NetworkInterfaceIpv6Address": ("Ipv6Address",),
    "NetworkInterfacePrivateIpAddress": ("PrivateIpAddress",),
    "Parameter": ("Value",),
    "PrefixListId": ("PrefixListId",),
    "Reservation": ("Instances",),
    "RouteTable": ("RouteTableId", "VpcId"),
    "SecurityGroup": ("GroupId", "GroupName", "VpcId"),
    "SecurityGroupVpcAssociation": ("GroupId", "VpcId"),
    "Snapshot": ("SnapshotId", "State"),
    "Subnet": ("AvailabilityZone", "SubnetId", "VpcId"),
    "SubnetIpv6CidrBlockAssociation": ("Ipv6CidrBlock",),
    "Tag": ("Key",),
    "TransitGatewayVpcAttachment": ("TransitGatewayId", "VpcId"),
    "UserIdGroupPair": ("GroupId",),
    "Vpc": ("CidrBlock", "VpcId"),
    "VpcCidrBlockAssociation": ("CidrBlock",),
    "VpcIpv6CidrBlockAssociation": ("Ipv6CidrBlock",),
    "VpcPeeringConnection": ("AccepterVpcInfo", "RequesterVpcInfo", "Status"),
    "VpcPeeringConnectionStateReason": ("Code",),
}
"""By botocore's name of a structure: the members that must be there and not be empty."""

PRESENT: Mapping[str, tuple[str, ...]] = {
    "IpPermission": ("IpRanges", "PrefixListIds", "UserIdGroupPairs"),
    "LookupEventsResponse": ("Events",),
    "NetworkInterface": ("Groups", "PrivateIpAddresses"),
    "RouteTable": ("Associations", "Routes"),
    "SecurityGroup": ("IpPermissions", "IpPermissionsEgress"),
    "Tag": ("Value",),
}
"""The members that must be there, but may be empty."""


def _address(text: str) -> object:
    return ipaddress.ip_address(text)


def _block(text: str) -> object:
    return ipaddress.ip_network(text)


def _source(text: str) -> object:
    return ipaddress.ip_network(text, strict=False)


FORMS: Mapping[str, Callable[[str], object]] = {
    "CidrBlock": _block,
    "CidrIp": _source,
    "CidrIpv6": _source,
    "Ipv4Prefix": _block,
    "Ipv6Address": _address,
    "Ipv6CidrBlock": _block,
    "Ipv6Prefix": _block,
}
"""By name of a member whose text is computed with: what raises ValueError if it is not of the form."""

_ROOT = re.compile(rb"\s*(?:<\?[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL)


class UnreadableAnswer(ResponseParserError):
    """What came back is not a valid AWS response to this request."""


def check_filtered(listing: Listing, params: Mapping[str, Any], objects: list[Mapping[str, Any]]) -> None:
    """Raises UnreadableAnswer if the objects have other ids, or other values of a tag, than ``params`` filter by.

    An answer to another request, e.g. from a cache, would make resources look deleted. Some endpoints ignore
    filters by tag: where the tag is missing, the reader of the live state judges.
    """
    for each in params.get("Filters") or ():
        name, values = each["Name"], each["Values"]
        if name == listing.id_filter:
            wrong = [item for item in objects if item.get(listing.id_key) not in values]
            why = f"which the filter {name} excludes"
        elif name.startswith("tag:"):
            patterns = any(set(value) & set("*?\\") for value in values)
            key = name.removeprefix("tag:")
            wrong = [item for item in objects if not _may_be_tagged(item, key, () if patterns else values)]
            why = f"whose tags the filter {name} excludes"
        else:
            continue
        if wrong:
            raise UnreadableAnswer(f"it lists {wrong[0].get(listing.id_key)}, {why}")


def check_attribute(params: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Raises UnreadableAnswer if an answer lacks the one attribute that ``params`` ask for."""
    if attribute := params.get("Attribute"):
        name = attribute[0].upper() + attribute[1:]
        if answer.get(name) is None:
            raise UnreadableAnswer(f"it lacks {name}")


def _may_be_tagged(item: Mapping[str, Any], key: str, values: Sequence[str]) -> bool:
    """Whether an object may have the tag with one of these values, or with any if there are none."""
    tags = item.get("TagSet", item.get("Tags"))
    if tags is None:
        return False
    for tag in tags:
        if tag["Key"] == key:
            return not values or tag["Value"] in values
    return True


def check_root(call: str, body: bytes) -> None:
    found = _ROOT.match(body)
    wanted = f"{call}Response"
    if found is None:
        raise UnreadableAnswer("the body is empty" if not body.strip() else "the body is not XML")
    if found[1] != wanted.encode():
        raise UnreadableAnswer(f"the root element is {found[1].decode()[:100]}, not {wanted}")


def check_error(answer: Mapping[str, Any]) -> None:
    error = answer.get("Error")
    code = error.get("Code") if isinstance(error, Mapping) else None
    message = error.get("Message") if isinstance(error, Mapping) else None
    if not isinstance(code, str) or not code or not isinstance(message, str | None):
        raise UnreadableAnswer("it has no error code")


def check_lists(call: str, shape: StructureShape, answer: Mapping[str, Any]) -> None:
    """A describe lists its objects even if there are none."""
    row = ACTIONS.get(call)
    if row is None or not row.lists:
        return
    for name, member in shape.members.items():
        if isinstance(member, ListShape) and name not in answer:
            raise UnreadableAnswer(f"it lacks the list {name}, which EC2 sends even if it is empty")


def check(shape: Shape, value: Any, name: str = "") -> None:
    """Raises UnreadableAnswer if a value, or one below it, is not as its shape says."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise UnreadableAnswer(f"{name or shape.name} is not a structure")
        check_members(shape.name, value)
        members = shape.members
        for key, inner in value.items():
            if key in members:
                check(members[key], inner, key)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise UnreadableAnswer(f"{name} is not a list")
        for item in value:
            check(shape.member, item, name)
    elif shape.type_name == "string":
        if not isinstance(value, str):
            raise UnreadableAnswer(f"{name} is not a string")
        check_text(name, value)


def check_members(structure: str, value: Mapping[str, Any]) -> None:
    for name in REQUIRED.get(structure, ()):
        if value.get(name) in (None, "", [], {}):
            raise UnreadableAnswer(f"{structure} lacks {name}")
    for name in PRESENT.get(structure, ()):
        if value.get(name) is None:
            raise UnreadableAnswer(f"{structure} lacks {name}")
    # EC2-Classic, whose addresses have no allocation id, calls its domain `standard`.
    if structure == "Address" and not value.get("AllocationId") and value.get("Domain") != "standard":
        raise UnreadableAnswer(f"{structure} lacks AllocationId")
    # Interfaces in a subnet for IPv6 alone have neither.
    if structure == "NetworkInterface" and value.get("Association") and not value.get("PrivateIpAddress"):
        raise UnreadableAnswer(f"{structure} lacks PrivateIpAddress")


def check_text(name: str, text: str) -> None:
    """Raises UnreadableAnswer if a text with which we compute is not of its form."""
    if text and (form := FORMS.get(name)):
        try:
            form(text)
        except ValueError as error:
            raise UnreadableAnswer(f"{name}: {error}"[:200]) from None
