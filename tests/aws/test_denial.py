"""Denials in few words, from AWS's messages as recorded in public logs."""

from __future__ import annotations

import pytest

from enireconcile.aws.denial import hint, in_words, without_encoded
from enireconcile.aws.faults import Fault, Meaning

HERE = "arn:aws:ec2:us-east-1:123456789012"
OPS = "arn:aws:sts::123456789012:assumed-role/ops/i-0123456789abcdef0"
BLOB = "Vq3_xY-7" * 80
NO_POLICY = "because no identity-based policy allows the {0} action"


def denied(user: str, action: str, resource: str | None, why: str) -> str:
    where = f" on resource: {resource}" if resource else ""
    return (
        f"You are not authorized to perform this operation. User: {user} is not authorized to perform: {action}"
        f"{where} {why.format(action)}. Encoded authorization failure message: {BLOB}"
    )


WORDS = [
    (
        denied(OPS, "ec2:AttachNetworkInterface", f"{HERE}:instance/i-0123456789abcdef0", NO_POLICY),
        "role ops may not AttachNetworkInterface on i-0123456789abcdef0: no identity-based policy allows "
        "ec2:AttachNetworkInterface",
    ),
    (
        denied("arn:aws:iam::123456789012:user/team/alice", "ec2:RunInstances", f"{HERE}:instance/*", NO_POLICY),
        "user alice may not RunInstances on instance/*: no identity-based policy allows ec2:RunInstances",
    ),
    (
        denied("arn:aws:iam::123456789012:root", "ec2:DescribeInstances", None, NO_POLICY),
        "the root user may not DescribeInstances: no identity-based policy allows ec2:DescribeInstances",
    ),
    (
        denied(OPS, "iam:PassRole", "arn:aws:iam::123456789012:role/web", NO_POLICY),
        "role ops may not iam:PassRole on role/web: no identity-based policy allows iam:PassRole",
    ),
    (
        denied(OPS, "ec2:StopInstances", "*", "with an explicit deny in a service control policy"),
        "role ops may not StopInstances: explicit deny in a service control policy",
    ),
    (
        "User: arn:aws-cn:sts::123456789012:federated-user/bob is not authorized to perform: ssm:GetParameter on "
        "resource: arn:aws-cn:ssm:cn-north-1:123456789012:parameter/own/image because no session policy allows "
        "the ssm:GetParameter action",
        "federated user bob may not ssm:GetParameter on parameter/own/image: no session policy allows "
        "ssm:GetParameter",
    ),
    (
        f"You are not authorized to perform this operation. Encoded authorization failure message: {BLOB}",
        "You are not authorized to perform this operation.",
    ),
    ("You are not authorized to perform this operation.", "You are not authorized to perform this operation."),
    ("Access Denied", "Access Denied"),
    ("", ""),
]


@pytest.mark.parametrize(("message", "words"), WORDS)
def test_a_denial_in_words(message: str, words: str) -> None:
    assert in_words(without_encoded(message)[0]) == words


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDeniedException", "NeverSeen"])
def test_no_error_contains_the_encoded_message(code: str) -> None:
    """Neither the fault, nor another meaning of it, nor the error that users see; the fault keeps it apart."""
    fault = Fault("AttachNetworkInterface", code, WORDS[0][0], Meaning.REFUSED, 0.0, "req-1")
    for each in (fault, fault.meaning_as(Meaning.REPLAN)):
        assert each.encoded == BLOB
        texts = [str(each), each.message, str(each.error("network_interfaces.web")), each.error().reason]
        assert not [text for text in texts if "Vq3" in text or "Encoded" in text]


def test_what_an_error_says() -> None:
    call, code = "AttachNetworkInterface", "UnauthorizedOperation"
    fault = Fault(call, code, WORDS[0][0], Meaning.REFUSED, 0.0, "req-1", file="a b.yaml")
    assert str(fault.error("network_interfaces.web")) == (
        "AttachNetworkInterface for network_interfaces.web: UnauthorizedOperation: role ops may not "
        "AttachNetworkInterface on i-0123456789abcdef0: no identity-based policy allows "
        "ec2:AttachNetworkInterface (request req-1)\n"
        "  hint: `enireconcile iam-policy 'a b.yaml'` prints the IAM policy that the spec needs"
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (WORDS[0][0], "`enireconcile iam-policy web.yaml` prints the IAM policy"),
        (WORDS[4][0], "change that policy"),
        (WORDS[5][0], "change that policy"),
        (
            denied(OPS, "ec2:StopInstances", "*", "because no permissions boundary allows the {0} action"),
            "policy or",
        ),
        (denied(OPS, "cloudtrail:LookupEvents", None, NO_POLICY), "iam-policy --who web.yaml"),
        (denied(OPS, "sts:AssumeRole", "arn:aws:iam::123456789012:role/web", NO_POLICY), "trust policy"),
        ("no", "IAM policy"),
    ],
)
def test_the_hint_says_what_to_do(message: str, words: str) -> None:
    assert words in hint(message, "web.yaml")
