"""The linter itself: it accepts a sound statement and finds each thing that is wrong with another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.iam.lint import lint, resource_type

HERE = "arn:aws:ec2:us-east-1:123456789012"
SOUND: dict[str, Any] = {
    "Sid": "One",
    "Effect": "Allow",
    "Action": "ec2:StopInstances",
    "Resource": f"{HERE}:instance/*",
    "Condition": {"StringEquals": {"aws:ResourceTag/Name": "web", "aws:RequestedRegion": "us-east-1"}},
}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_a_sound_statement() -> None:
    assert lint(policy(SOUND)) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"Effect": "Permit"}, "Effect must be Allow or Deny"),
    ({"Sid": "not-a-sid"}, "a Sid has letters and digits only"),
    ({"Principal": "*"}, "unknown elements ['Principal']"),
    ({"NotResource": "*"}, "exactly one of Resource and NotResource is needed"),
    ({"Action": "ec2:Nope", "Condition": {}}, "unknown action ec2:Nope"),
    ({"Action": "ec3:StopInstances", "Condition": {}}, "unknown action ec3:StopInstances"),
    ({"Resource": "instance/*"}, "instance/* is the ARN of no known resource type"),
    ({"Resource": f"{HERE}:instanze/*"}, "is the ARN of no known resource type"),
    ({"Resource": "arn:aws:ec2:us-east-1::instance/*"}, "is the ARN of no known resource type"),
    ({"Resource": f"{HERE}:volume/*"}, "ec2:StopInstances supports none of the resources"),
    ({"Resource": [f"{HERE}:instance/*", f"{HERE}:volume/*"]}, f"no action supports {HERE}:volume/*"),
    ({"Action": "ec2:DescribeInstances", "Condition": {}}, "ec2:DescribeInstances supports none of the resources"),
    ({"Action": "ec2:RunInstances", "Condition": {}}, "ec2:RunInstances also needs ['ec2:image', "),
    ({"Condition": {"StringEqual": {"aws:ResourceTag/Name": "web"}}}, "unknown condition operator StringEqual"),
    ({"Condition": {"StringEquals": {"ec2:Nope": "web"}}}, "unknown condition key ec2:Nope"),
    ({"Condition": {"StringEquals": {"aws:RequestTag/Name": "web"}}}, "does not support aws:RequestTag/Name"),
    ({"Condition": {"StringEquals": {"ec2:CreateAction": "RunInstances"}}}, "does not support ec2:CreateAction"),
    ({"Condition": {"Null": {"aws:ResourceTag/Name": "yes"}}}, "Null of aws:ResourceTag/Name takes true or false"),
    (
        {"Condition": {"ForAnyValue:StringEquals": {"aws:ResourceTag/Name": "web"}}},
        "ForAnyValue:StringEquals does not fit aws:ResourceTag/Name, which has type String",
    ),
    (
        {"Action": "ec2:CreateTags", "Condition": {"StringEquals": {"aws:TagKeys": "Name"}}},
        "StringEquals does not fit aws:TagKeys, which has type ArrayOfString",
    ),
    (
        {"Condition": {"Bool": {"aws:ResourceTag/Name": "true"}}},
        "Bool cannot compare aws:ResourceTag/Name, which has type String",
    ),
]


@pytest.mark.parametrize(("change", "finding"), WRONG, ids=[finding for _, finding in WRONG])
def test_what_is_wrong_is_found(change: dict[str, Any], finding: str) -> None:
    assert any(finding in line for line in lint(policy({**SOUND, **change}))), lint(policy({**SOUND, **change}))


def test_what_is_wrong_with_the_whole_policy() -> None:
    assert lint({"Version": "2008-10-17", "Statement": [SOUND]}) == ["Version: must be 2012-10-17"]
    assert lint(policy(SOUND, SOUND)) == ["One: two statements have this Sid"]


def test_required_resources_may_stand_in_other_statements() -> None:
    """A call is allowed if each resource that it needs is in some statement."""
    types = ("image", "instance", "network-interface", "security-group", "subnet")
    arns = {kind: f"{'arn:aws:ec2:us-east-1:' if kind == 'image' else HERE}:{kind}/*" for kind in types}
    run = [
        {"Sid": f"S{n}", "Effect": "Allow", "Action": "ec2:RunInstances", "Resource": arn}
        for n, arn in enumerate(arns.values())
    ]
    assert lint(policy(*run)) == []
    assert lint(policy(*run[:-1])) == ["ec2:RunInstances also needs ['ec2:subnet']"]


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:s3:::state", "s3:bucket"),
        ("arn:aws:s3:::state/prefix/*", "s3:object"),
        ("arn:aws:ssm:us-east-1::parameter/aws/service/x", "ssm:parameter"),
        ("arn:aws:ssm:us-east-1::parameter/own", None),
        ("arn:aws-cn:iam::123456789012:role/path/web", "iam:role"),
        ("arn:aws:ec2:*:*:elastic-ip/*", "ec2:elastic-ip"),
        ("arn:aws:ec2:us-east-1:12:elastic-ip/*", None),
        ("arn:aws:ec2:nowhere:123456789012:elastic-ip/*", None),
    ],
)
def test_the_type_of_an_arn(arn: str, expected: str | None) -> None:
    assert resource_type(arn) == expected
