"""What counts as an answer of AWS, and what of it must be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.model import ListShape, OperationModel, Shape, StructureShape
from botocore.parsers import ResponseParserFactory
from botocore.session import get_session

from enireconcile.aws.actions import ACTIONS, listing_of
from enireconcile.aws.answers import PRESENT, REQUIRED, UnreadableAnswer, check_filtered
from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.parsers import check_answers_of
from enireconcile.errors import AwsError
from tests.ec2 import wire
from tests.recordings import entries, needs_recordings
from tests.virtual import VirtualLoop, run


def operation(call: str) -> OperationModel:
    return wire.service_model(ACTIONS[call].service).operation_model(call)


def parse(call: str, body: bytes, status: int = 200) -> dict[str, Any]:
    """The answer as a client of ours gets it."""
    core = get_session()
    check_answers_of(core)
    return parsed_by(core.get_component("response_parser_factory"), call, body, status)


def parsed_by(parsers: ResponseParserFactory, call: str, body: bytes, status: int = 200) -> dict[str, Any]:
    model = operation(call)
    parser: Any = parsers.create_parser(model.service_model.metadata["protocol"])
    response = {"status_code": status, "headers": {}, "body": body, "context": {"operation_name": call}}
    answer: dict[str, Any] = parser.parse(response, model.output_shape)
    return answer


def rendered(call: str, result: dict[str, Any]) -> bytes:
    request = wire.Request(ACTIONS[call].service, call, {}, operation(call))
    return wire.render(request, result, "1")[1]


def structures(shape: Shape | None, seen: set[str]) -> Iterator[StructureShape]:
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if isinstance(shape, StructureShape):
        yield shape
        for member in shape.members.values():
            yield from structures(member, seen)
    elif isinstance(shape, ListShape):
        yield from structures(shape.member, seen)


def test_the_tables_name_structures_and_members_of_answers_that_we_get() -> None:
    seen: set[str] = set()
    known = {shape.name: shape for call in ACTIONS for shape in structures(operation(call).output_shape, seen)}
    for table in (REQUIRED, PRESENT):
        for name, members in table.items():
            assert set(members) <= set(known[name].members), name


@pytest.mark.parametrize("call", [call for call, row in ACTIONS.items() if row.lists])
def test_an_answer_without_its_list_is_none(call: str) -> None:
    """EC2 sends the element of an empty list."""
    [name] = [name for name, member in members(call).items() if isinstance(member, ListShape)]
    assert parse(call, rendered(call, {name: []}))[name] == []
    with pytest.raises(UnreadableAnswer, match=f"lacks the list {name}"):
        parse(call, rendered(call, {}))


def members(call: str) -> dict[str, Shape]:
    shape = operation(call).output_shape
    return dict(shape.members) if isinstance(shape, StructureShape) else {}


BODIES = [
    (b"", "the body is empty"),
    (b"  \n", "the body is empty"),
    (b"{}", "the body is not XML"),
    (b"<!DOCTYPE html><html/>", "the body is not XML"),
    (b"\xff\xfe<", "the body is not XML"),
    (b"<html/>", "the root element is html, not DescribeAddressesResponse"),
    (b"<?xml version='1.0'?><!-- hi --><Response><Errors/></Response>", "the root element is Response"),
    (b"<DescribeAddressesResponse><addressesSet>", "the body is not well formed"),
    (b"<DescribeAddressesResponse/>", "it lacks the list Addresses"),
    (b"<DescribeAddressesResponse><a:b/></DescribeAddressesResponse>", "the body is not well formed"),
    (b"<DescribeAddressesResponse>" + b"<a>" * 50_000, "the body is not well formed"),
]


@pytest.mark.parametrize(("body", "why"), BODIES, ids=range(len(BODIES)))
def test_what_is_no_answer_says_why(body: bytes, why: str) -> None:
    with pytest.raises(UnreadableAnswer, match=why):
        parse("DescribeAddresses", body)


JSON = [
    ("GetParameter", b""),
    ("GetParameter", b"<html>"),
    ("GetParameter", b"[]"),
    ("GetParameter", b"[" * 100_000),
    ("GetParameter", b'{"Parameter": []}'),
    ("GetParameter", b'{"Parameter": {"Value": 1}}'),
    ("GetParameter", b'{"Parameter": {"Value": ""}}'),
    ("LookupEvents", b"{}"),
    ("LookupEvents", b'{"Events": {"a": 1}}'),
    ("LookupEvents", b'{"Events": [null]}'),
    ("LookupEvents", b'{"Events": [{"EventTime": "soon"}]}'),
    ("LookupEvents", b'{"Events": [{"EventTime": 1e400}]}'),
    ("GetCallerIdentity", b"<GetCallerIdentityResponse/>"),
    ("GetCallerIdentity", b"<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>"),
]


@pytest.mark.parametrize(("call", "body"), JSON, ids=range(len(JSON)))
def test_the_other_services_are_checked_too(call: str, body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        parse(call, body)


ERRORS = [
    b"<Response><Errors/></Response>",
    b"<Response><Errors><Error/></Errors></Response>",
    b"<Response><Errors><Error>no</Error></Errors></Response>",
    b"<Response><Errors><Error><Code><a/></Code></Error></Errors></Response>",
    b"<Response><Errors><Error><Code/><Message/></Error></Errors></Response>",
    b"<html><body>Forbidden</body></html>",
    b"Forbidden",
    b"",
]


@pytest.mark.parametrize("body", ERRORS)
def test_an_error_without_a_code_is_none_of_aws(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer, match="HTTP 403, and the body is not an AWS error"):
        parse("DescribeAddresses", body, 403)
    # A gateway says with its status that the service is away.
    assert parse("DescribeAddresses", body, 502)["Error"] == {"Code": "502", "Message": "Bad Gateway"}


def test_an_address_of_ec2_classic_has_no_allocation_id() -> None:
    old = {"PublicIp": "192.0.2.1", "Domain": "standard"}
    assert parse("DescribeAddresses", rendered("DescribeAddresses", {"Addresses": [old]}))["Addresses"] == [old]
    with pytest.raises(UnreadableAnswer, match="Address lacks AllocationId"):
        parse("DescribeAddresses", rendered("DescribeAddresses", {"Addresses": [{**old, "Domain": "vpc"}]}))


# ---- what EC2 really answers


@needs_recordings
@pytest.mark.parametrize(
    ("name", "call", "key"),
    [
        ("network-interfaces", "DescribeNetworkInterfaces", "NetworkInterfaces"),
        ("documented-interfaces", "DescribeNetworkInterfaces", "NetworkInterfaces"),
        ("addresses", "DescribeAddresses", "Addresses"),
        ("security-groups", "DescribeSecurityGroups", "SecurityGroups"),
        ("subnets", "DescribeSubnets", "Subnets"),
        ("vpcs", "DescribeVpcs", "Vpcs"),
        ("reservations", "DescribeInstances", "Reservations"),
    ],
)
def test_no_recorded_object_is_refused(name: str, call: str, key: str) -> None:
    for entry in entries(name):
        assert len(parse(call, rendered(call, {key: [entry["item"]]}))[key]) == 1


@needs_recordings
def test_no_recorded_answer_is_refused() -> None:
    checked = 0
    for entry in entries("answers"):
        call, answer = entry["call"], entry["answer"]
        # One entry has the answer of another call.
        if call in ACTIONS and entry["kind"] == "recorded" and set(answer) <= set(members(call)):
            parse(call, rendered(call, answer))
            checked += 1
    assert checked > 10


# ---- on the way through the channel


class Pages:
    """A session and a client whose pages have no end, with a new token each."""

    def __init__(self) -> None:
        self.asked = 0

    def client(self, service: str) -> Pages:
        return self

    def describe_vpcs(self, **_: Any) -> dict[str, Any]:
        self.asked += 1
        return {"Vpcs": [], "NextToken": str(self.asked)}

    def close(self) -> None:
        pass


def test_pages_have_a_limit(loop: VirtualLoop) -> None:
    session: Any = Pages()
    channel = Channel(session)
    try:
        with pytest.raises(AwsError, match=r"^DescribeVpcs: UnreadableAnswer: .* more than 1000 pages"):
            run(Reader(channel).read("DescribeVpcs"), loop)
    finally:
        channel.close()
    assert session.asked == 1000


INTERFACE = {"NetworkInterfaceId": "eni-1", "TagSet": [{"Key": "a", "Value": "b"}]}


@pytest.mark.parametrize(
    ("name", "values", "fits"),
    [
        ("tag:a", ["b"], True),
        ("tag:a", ["x", "b"], True),
        ("tag:a", ["*"], True),
        ("tag:a", ["c"], False),
        ("tag:other", ["b"], True),
        ("network-interface-id", ["eni-1", "eni-2"], True),
        ("network-interface-id", ["eni-2"], False),
        ("subnet-id", ["subnet-1"], True),
    ],
)
def test_an_answer_fits_its_filters(name: str, values: list[str], fits: bool) -> None:
    """Wildcards, missing tags, and filters that are neither of ids nor of tags are left to others."""
    params = {"Filters": [{"Name": name, "Values": values}]}
    with nullcontext() if fits else pytest.raises(UnreadableAnswer, match=f"eni-1.* filter {name} excludes"):
        check_filtered(listing_of("DescribeNetworkInterfaces"), params, [INTERFACE])


def test_a_filter_by_tag_excludes_what_shows_no_tags() -> None:
    """An empty list of tags is one: some endpoints ignore the filter."""
    params = {"Filters": [{"Name": "tag:a", "Values": ["b"]}]}
    listing = listing_of("DescribeNetworkInterfaces")
    check_filtered(listing, params, [{"NetworkInterfaceId": "eni-1", "TagSet": []}])
    with pytest.raises(UnreadableAnswer, match="eni-1, whose tags"):
        check_filtered(listing, params, [{"NetworkInterfaceId": "eni-1"}])
