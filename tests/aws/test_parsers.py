"""Our walk through a response reads what botocore's does, for every call and every member."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore.model import ListShape, OperationModel, Shape, StructureShape
from botocore.parsers import ResponseParserFactory

from enireconcile.aws.actions import ACTIONS
from enireconcile.aws.answers import UnreadableAnswer

from .test_answers import operation, parse, parsed_by

PROTOCOLS = ("ec2", "query")
XML = sorted(call for call in ACTIONS if operation(call).service_model.metadata["protocol"] in PROTOCOLS)
TEXTS = {
    "CidrBlock": "10.0.0.0/16",
    "CidrIp": "198.51.100.0/24",
    "CidrIpv6": "2001:db8::/32",
    "Ipv4Prefix": "10.0.0.16/28",
    "Ipv6Address": "2001:db8::1",
    "Ipv6CidrBlock": "2001:db8::/56",
    "Ipv6Prefix": "2001:db8:0:0:1::/80",
}
SCALARS = {
    "string": "a & b",
    "boolean": "true",
    "integer": "-7",
    "long": "7000000000",
    "float": "0.5",
    "double": "0.25",
    "timestamp": "2026-01-02T03:04:05.000Z",
    "blob": "aGVsbG8=",
}
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


def element(shape: Shape, name: str, depth: int) -> str:
    """The inside of an element that has every member, and two items in every list."""
    if isinstance(shape, StructureShape):
        return "".join(
            f"<{tag}>{element(member, inner, depth + 1)}</{tag}>"
            for inner, member in shape.members.items()
            if depth < 9
            for tag in [member.serialization.get("name", inner)]
        )
    if isinstance(shape, ListShape):
        return f"<item>{element(shape.member, name, depth + 1)}</item>" * 2
    return escape(
        TEXTS.get(name, SCALARS[shape.type_name]) if shape.type_name == "string" else SCALARS[shape.type_name]
    )


def document(model: OperationModel, inside: str) -> bytes:
    wrapper = model.output_shape and model.output_shape.serialization.get("resultWrapper")
    inside = f"<{wrapper}>{inside}</{wrapper}>" if wrapper else inside
    root = f"{model.name}Response"
    return f'<{root} xmlns="{NAMESPACE}"><requestId>r-1</requestId>{inside}</{root}>'.encode()


def botocores(call: str, body: bytes) -> dict[str, Any]:
    return parsed_by(ResponseParserFactory(), call, body)


def test_both_protocols_are_here() -> None:
    assert {operation(call).service_model.metadata["protocol"] for call in XML} == set(PROTOCOLS)


@pytest.mark.parametrize("call", XML)
def test_every_member_is_read_as_botocore_reads_it(call: str) -> None:
    model = operation(call)
    inside = element(model.output_shape, "", 0) if model.output_shape else ""
    body = document(model, f"<unknown><item/></unknown>{inside}")
    assert parse(call, body) == botocores(call, body)


@pytest.mark.parametrize("text", ["", " ", "\n  ", "<!-- no -->", "a<!-- b -->c", "<![CDATA[<a>]]>", "&#233;"])
def test_texts_are_read_as_botocore_reads_them(text: str) -> None:
    body = document(
        operation("DescribeSubnets"),
        "<subnetSet><item><subnetId>s</subnetId><vpcId>v</vpcId><availabilityZone>z</availabilityZone>"
        f"<ownerId>{text}</ownerId><tagSet/></item></subnetSet>",
    )
    assert parse("DescribeSubnets", body) == botocores("DescribeSubnets", body)


@pytest.mark.parametrize("text", ["", "many"])
def test_a_number_that_is_none_is_unreadable(text: str) -> None:
    count = f"<availableIpAddressCount>{text}</availableIpAddressCount>"
    body = document(operation("DescribeSubnets"), f"<subnetSet><item>{count}</item></subnetSet>")
    with pytest.raises(UnreadableAnswer, match="ValueError"):
        parse("DescribeSubnets", body)


@pytest.mark.parametrize(
    "inside",
    [
        "<subnetSet/><subnetSet/>",
        "<subnetSet><item><subnetId>a</subnetId><subnetId>b</subnetId></item></subnetSet>",
        "<subnetSet><item><tagSet/><tagSet/></item></subnetSet>",
    ],
)
def test_a_member_that_appears_twice_is_unreadable(inside: str) -> None:
    with pytest.raises(UnreadableAnswer, match="appears twice"):
        parse("DescribeSubnets", document(operation("DescribeSubnets"), inside))
