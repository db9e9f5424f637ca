"""Check that a response comes from AWS: once, as soon as it arrives, before anything reads it.

A proxy, a captive portal or a wrong endpoint can answer HTTP 200 with a page of its own. botocore reads such a
page as an answer in which nothing is set, which looks like an account without resources. So every answer must have
the root element of its action, the lists that EC2 sends even when they are empty, and the members without which an
object cannot be read. Everything that botocore cannot parse counts as unreadable, too.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.response import StreamingBody
from botocore.session import Session as BotocoreSession

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


_FORMS: Mapping[str, Callable[[str], object]] = {
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
_XML_PROTOCOLS = ("ec2", "query")


class UnreadableAnswer(ResponseParserError):
    """What came back is not a valid AWS response to this request."""


def check_answers_of(core: BotocoreSession) -> None:
    """From now on the clients of this botocore session check what they receive and raise UnreadableAnswer."""
    core.register_component("response_parser_factory", _Parsers())


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


class _Parsers(ResponseParserFactory):
    """botocore's parsers, with the checks."""

    def create_parser(self, protocol_name: str) -> Any:
        return _Parser(super().create_parser(protocol_name), protocol_name)


class _Parser:
    def __init__(self, parser: Any, protocol: str) -> None:
        self._parser, self._protocol = parser, protocol

    def parse(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        """As botocore's. Raises UnreadableAnswer."""
        if response["status_code"] >= 300:
            return self._error(response, shape)
        call = response["context"]["operation_name"]
        if self._protocol in _XML_PROTOCOLS:
            _check_root(call, response["body"])
        answer = self._parsed(response, shape)
        if isinstance(shape, StructureShape):
            _check_lists(call, shape, answer)
            _check(shape, {name: value for name, value in answer.items() if name != "ResponseMetadata"})
        return answer

    def _error(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        status = int(response["status_code"])
        try:
            answer = self._parsed(response, shape)
            if shape is not None and shape.metadata.get("exception"):
                # botocore's second look at an error, for members of its own.
                return answer
            _check_error(answer)
        except UnreadableAnswer as error:
            if status < 500:
                raise UnreadableAnswer(f"HTTP {status}, and the body is not an AWS error: {error}") from None
            # A load balancer or a proxy, which says with its status that the service is away.
            code = {"Code": str(status), "Message": http.client.responses.get(status, "")}
            return {"Error": code, "ResponseMetadata": {"HTTPStatusCode": status}}
        return answer

    def _parsed(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._parser.parse(response, shape)
        except Exception as error:
            if isinstance(response["body"], StreamingBody):
                # Else its connection would stay open.
                response["body"].close()
            # A plain ResponseParserError repeats the whole body.
            plain = isinstance(error, ResponseParserError)
            why = "the body is not well formed" if plain else f"{type(error).__name__}: {error}"
            raise UnreadableAnswer(" ".join(why.split())[:200]) from error
        return answer


def _check_root(call: str, body: bytes) -> None:
    found = _ROOT.match(body)
    wanted = f"{call}Response"
    if found is None:
        raise UnreadableAnswer("the body is empty" if not body.strip() else "the body is not XML")
    if found[1] != wanted.encode():
        raise UnreadableAnswer(f"the root element is {found[1].decode()[:100]}, not {wanted}")


def _check_error(answer: Mapping[str, Any]) -> None:
    error = answer.get("Error")
    code = error.get("Code") if isinstance(error, Mapping) else None
    message = error.get("Message") if isinstance(error, Mapping) else None
    if not isinstance(code, str) or not code or not isinstance(message, str | None):
        raise UnreadableAnswer("it has no error code")


def _check_lists(call: str, shape: StructureShape, answer: Mapping[str, Any]) -> None:
    """A describe lists its objects even if there are none."""
    row = ACTIONS.get(call)
    if row is None or not row.lists:
        return
    for name, member in shape.members.items():
        if isinstance(member, ListShape) and name not in answer:
            raise UnreadableAnswer(f"it lacks the list {name}, which EC2 sends even if it is empty")


def _check(shape: Shape, value: Any, name: str = "") -> None:
    """Raises UnreadableAnswer if a value, or one below it, is not as its shape says."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise UnreadableAnswer(f"{name or shape.name} is not a structure")
        _check_members(shape.name, value)
        members = shape.members
        for key, inner in value.items():
            if key in members:
                _check(members[key], inner, key)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise UnreadableAnswer(f"{name} is not a list")
        for item in value:
            _check(shape.member, item, name)
    elif shape.type_name == "string":
        _check_text(name, value)


def _check_members(structure: str, value: Mapping[str, Any]) -> None:
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


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise UnreadableAnswer(f"{name} is not a string, or appears twice")
    if value and (form := _FORMS.get(name)):
        try:
            form(value)
        except ValueError as error:
            raise UnreadableAnswer(f"{name}: {error}"[:200]) from None
