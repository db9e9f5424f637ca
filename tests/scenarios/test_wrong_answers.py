"""A portal, a proxy or a cache answers HTTP 200 instead of EC2: nothing is misread, nothing is made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import AwsError
from enireconcile.model import Status
from tests.ec2 import Answer, Rewrite
from tests.harness import SLOW, Harness, open_harness
from tests.proofs.accounting import assert_exact
from tests.two_enis import assert_is_the_story

ALWAYS = 10**6
XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"
BODIES = {
    "an HTML page": "<!DOCTYPE html><html><head><title>Sign in</title><body><p>Welcome<br></body></html>",
    "a page of XHTML": '<html xmlns="http://www.w3.org/1999/xhtml"><head/><body><p>Sign in</p></body></html>',
    "an error": "<Response><Errors><Error><Code>Unavailable</Code></Error></Errors></Response>",
    "an error without errors": "<Response><Errors/><RequestID>1</RequestID></Response>",
    "nothing": "",
    "half an answer": '<{call}Response xmlns="{xmlns}"><requestId>1</requestId><addr',
    "the answer to another call": '<DescribeTagsResponse xmlns="{xmlns}"><tagSet/></DescribeTagsResponse>',
    "JSON": '{{"message": "rate limited"}}',
}
KINDS = [*BODIES, "an answer without content"]
EMPTY = '<{call}Response xmlns="{xmlns}"><requestId>1</requestId></{call}Response>'
SPARE = "version: 1\nstack: spare\nregion: us-east-1\nelastic_ips: {a: {}, b: {}, c: {}, d: {}, e: {}}\n"
READS = [
    "GetCallerIdentity",
    "GetParameter",
    "DescribeAddresses",
    "DescribeAccountAttributes",
    "DescribeImages",
    "DescribeInstances",
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcs",
]
OPTIONAL = {
    "DescribeAccountAttributes",
    "DescribeImages",
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
}
"""They only check whether EC2 would refuse the story."""
LISTS = ["DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]
WRITES = [
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "CreateNetworkInterface",
    "AllocateAddress",
    "AssociateAddress",
    "RunInstances",
]


def body(kind: str, call: str) -> bytes:
    return BODIES.get(kind, EMPTY).format(call=call, xmlns=XMLNS).encode()


def test_the_story_makes_all_these_calls(harness: Harness) -> None:
    harness.apply()
    assert set(harness.strict.actions()) == {*READS, *WRITES}


def refused(call: str) -> Any:
    """The error of a read that AWS has not answered."""
    return pytest.raises(
        AwsError, match=rf"^{call}: UnreadableAnswer: not a valid AWS response: .*\n.*_ENDPOINT_URL"
    )


@pytest.mark.parametrize("call", READS)
def test_a_read_that_aws_never_answers_ends_the_run(call: str, harness: Harness) -> None:
    """Before anything changes; only what an optional read would tell may stay unknown."""
    if call in OPTIONAL:
        harness.strict.faults.add(Answer(call, times=ALWAYS, body=body("an HTML page", call)))
        assert harness.apply().outcome == "converged"
        return
    for kind in KINDS:
        harness.strict.faults.clear()
        harness.strict.faults.add(Answer(call, times=ALWAYS, body=body(kind, call)))
        began = harness.loop.time()
        with refused(call):
            harness.plan()
        assert harness.loop.time() - began < 60
    with refused(call):
        harness.apply()
    assert harness.strict.actions(mutating=True) == []


@pytest.mark.parametrize("call", LISTS)
def test_a_wrong_answer_does_not_hide_what_exists(call: str, harness: Harness) -> None:
    """Read as an empty list, it would make the resources of the spec a second time."""
    harness.apply()
    harness.loop.now += 60
    harness.strict.clear()
    for kind in KINDS:
        harness.strict.faults.clear()
        harness.strict.faults.add(Answer(call, times=ALWAYS, body=body(kind, call)))
        with refused(call):
            harness.apply()
    with refused(call):
        harness.apply(destroy=True)
    assert harness.strict.actions(mutating=True) == []


@pytest.mark.parametrize("call", READS)
def test_a_read_is_repeated_after_one_wrong_answer(call: str, harness: Harness) -> None:
    harness.strict.faults.add(*(Answer(call, nth=nth * 3 + 1, body=body(k, call)) for nth, k in enumerate(BODIES)))
    assert harness.apply().outcome == "converged"
    assert_exact(harness.strict.world, harness.spec())


@pytest.mark.parametrize("late", [True, False], ids=["after EC2 acted", "instead of EC2"])
@pytest.mark.parametrize("call", WRITES)
def test_a_change_with_wrong_answers_is_made_once(call: str, late: bool, slow_harness: Harness) -> None:
    """Whether EC2 acted is unknown: the run looks, or repeats a call that cannot make anything twice."""
    for kind in ("an HTML page", "an error", "nothing"):
        slow_harness.strict.faults.clear()
        slow_harness.strict.faults.add(Answer(call, late=late, body=body(kind, call)))
        assert slow_harness.apply().outcome == "converged"
        assert_exact(slow_harness.strict.world, slow_harness.spec())
        slow_harness.loop.now += 60
        assert slow_harness.apply(destroy=True).outcome == "converged"
        slow_harness.loop.now += 3600


@pytest.mark.parametrize("call", WRITES)
def test_a_change_that_aws_never_answers_is_no_bug_and_leaves_no_twin(call: str, slow_harness: Harness) -> None:
    slow_harness.strict.faults.add(Answer(call, times=ALWAYS, late=True, body=body("an error", call)))
    report = slow_harness.apply()
    errors = [outcome.error or "" for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert not any("bug" in error for error in errors)
    assert all(f"{call} for " in error and "UnreadableAnswer" in error for error in errors)
    slow_harness.strict.faults.clear()
    slow_harness.loop.now += 60
    assert slow_harness.apply().outcome in ("converged", "unchanged")
    assert_exact(slow_harness.strict.world, slow_harness.spec())


@pytest.mark.parametrize("status", [302, 400, 403, 407, 502])
def test_an_error_that_is_none_of_ec2_is_no_refusal(status: int, slow_harness: Harness) -> None:
    """A gateway may have passed the call on and lost the answer."""
    kinds = ("an HTML page", "a page of XHTML", "nothing", "an error without errors", "JSON")
    slow_harness.strict.faults.add(
        *(
            Answer("AllocateAddress", nth=nth, late=True, body=body(kind, "AllocateAddress"), status=status)
            for nth, kind in enumerate(kinds, 1)
        )
    )
    assert slow_harness.apply(SPARE).outcome == "converged"
    assert len(slow_harness.strict.world.data.addresses) == len(kinds)
    assert slow_harness.strict.actions(mutating=True) == ["AllocateAddress"] * len(kinds)


MISSING = [
    ("DescribeNetworkInterfaces", "networkInterfaceId", "NetworkInterfaceId"),
    ("DescribeNetworkInterfaces", "attachmentId", "AttachmentId"),
    ("DescribeNetworkInterfaces", "deviceIndex", "DeviceIndex"),
    ("DescribeNetworkInterfaces", "tagSet", "tag:enireconcile:stack"),
    ("DescribeNetworkInterfaces", "value", "Value"),
    ("DescribeAddresses", "allocationId", "AllocationId"),
    ("DescribeAddresses", "publicIp", "PublicIp"),
    ("DescribeAddresses", "tagSet", "tag:enireconcile:stack"),
    ("DescribeInstances", "instanceId", "InstanceId"),
    ("DescribeInstances", "instanceState", "State"),
    ("DescribeInstances", "name", "Name"),
    ("DescribeInstances", "instanceType", "InstanceType"),
    ("DescribeInstances", "instancesSet", "Instances"),
    ("DescribeSecurityGroups", "groupId", "GroupId"),
    ("DescribeSecurityGroups", "vpcId", "VpcId"),
    ("DescribeSecurityGroups", "ipPermissions", "IpPermissions"),
    ("DescribeSecurityGroups", "cidrIp", "CidrIp"),
    ("DescribeSubnets", "subnetId", "SubnetId"),
    ("DescribeVpcs", "cidrBlock", "CidrBlock"),
]


@pytest.mark.parametrize(("call", "element", "named"), MISSING)
def test_an_object_without_what_ec2_always_sends_is_no_object(
    call: str, element: str, named: str, harness: Harness
) -> None:
    """Each element is renamed, so that it is missing."""
    harness.apply()
    harness.loop.now += 60
    harness.strict.clear()

    def renamed(answer: bytes) -> bytes:
        return answer.replace(f"<{element}>".encode(), b"<other>").replace(f"</{element}>".encode(), b"</other>")

    harness.strict.faults.add(Rewrite(call, times=ALWAYS, change=renamed))
    with pytest.raises(AwsError, match=rf"^{call}: UnreadableAnswer: .*\b{named}\b"):
        harness.apply()
    assert harness.strict.actions(mutating=True) == []


WRONG = [
    ("DescribeInstances", b"<deviceIndex>0<", b"<deviceIndex>first<"),
    ("DescribeInstances", b"<launchTime>", b"<launchTime>yesterday "),
    ("DescribeSecurityGroups", b"<fromPort>80<", b"<fromPort>http<"),
    ("DescribeSecurityGroups", b"<cidrIp>0.0.0.0/0<", b"<cidrIp>everywhere<"),
    ("DescribeSecurityGroups", b"<groupName>my-sg-1<", b"<groupName>my-sg-1</groupName><groupName>x<"),
    ("DescribeNetworkInterfaces", b"<tagSet>", b"<tagSet/><tagSet>"),
    ("DescribeSubnets", b"<cidrBlock>172.31.", b"<cidrBlock>172.31.300."),
    ("DescribeAddresses", b"<key>enireconcile:stack</key><value>", b"<key>enireconcile:stack</key><value>other-"),
]


@pytest.mark.parametrize(("call", "right", "wrong"), WRONG)
def test_a_value_of_the_wrong_type_is_no_value(call: str, right: bytes, wrong: bytes, harness: Harness) -> None:
    harness.apply()
    harness.loop.now += 60
    harness.strict.clear()
    harness.strict.faults.add(Rewrite(call, times=ALWAYS, change=lambda answer: answer.replace(right, wrong)))
    with pytest.raises(AwsError, match=f"^{call}: UnreadableAnswer: not a valid AWS response"):
        harness.apply()
    assert harness.strict.actions(mutating=True) == []


def paged(tokens: list[str]) -> Rewrite:
    """Pages whose NextTokens are these, again and again."""
    count = iter(range(ALWAYS))

    def change(answer: bytes) -> bytes:
        token = tokens[next(count) % len(tokens)]
        end = b"</DescribeSubnetsResponse>"
        return answer.replace(end, f"<nextToken>{token}</nextToken>".encode() + end)

    return Rewrite("DescribeSubnets", times=ALWAYS, change=change)


@pytest.mark.parametrize("tokens", [["a"], ["a", "b", "c"]], ids=["the same", "a cycle"])
def test_pages_without_end_are_an_error(tokens: list[str], harness: Harness) -> None:
    ec2 = harness.strict
    # The strict EC2 itself refuses a token that it has not made.
    ec2.faults.add(paged(tokens))
    real = ec2.world.perform
    ec2.world.perform = lambda action, params, as_of=None: real(  # type: ignore[method-assign]
        action, {key: value for key, value in params.items() if key != "NextToken"}, as_of
    )
    with pytest.raises(AwsError, match=r"^DescribeSubnets: UnreadableAnswer: .*NextToken"):
        harness.apply()
    assert ec2.actions(mutating=True) == []
    assert ec2.actions().count("DescribeSubnets") == len(tokens) + 1


@pytest.mark.parametrize(
    "headers",
    [
        [("Date", "Mon, 01 Jan 2024 00:00:00 GMT"), ("Date", "Tue, 02 Jan 2024 00:00:00 GMT")],
        [("Date", "never")],
        [("Content-Type", "application/x-nothing"), ("x-amz-crc32", "what")],
    ],
)
def test_odd_headers_do_no_harm(headers: list[tuple[str, str]], tmp_path: Path) -> None:
    with open_harness(tmp_path, SLOW) as harness:
        harness.strict.headers += headers
        assert harness.apply().outcome == "converged"
        assert_is_the_story(harness)
