"""One Region and one account make a spec; of several one has to be chosen."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.errors import EnireconcileError
from tests.export.terraform.states import EIP, address, arn, instance, resource, subnet, take

EUROPE = address("aws_eip.eu", id="eipalloc-00000000000000001", arn=arn(f"elastic-ip/{EIP}", "eu-west-1"))
OTHER = address("aws_eip.b", id="eipalloc-00000000000000002", arn=arn(f"elastic-ip/{EIP}", account="210987654321"))


@pytest.mark.parametrize(
    ("resources", "chosen", "message", "hint"),
    [
        (
            (address(), EUROPE, EUROPE),
            {},
            "the state has resources of several Regions: eu-west-1 (2), us-east-1 (1)",
            "choose it with --region",
        ),
        (
            (address(), OTHER),
            {},
            "the state has resources of several accounts: 123456789012 (1), 210987654321 (1)",
            "choose it with --account-id",
        ),
        ((address(),), {"region": "eu-west-1"}, "the state has nothing in eu-west-1", "in us-east-1 (1)"),
        (
            (address(), OTHER),
            {"account_id": "000000000001"},
            "the state has nothing of the account 000000000001 in us-east-1",
            "of 123456789012 (1), 210987654321 (1)",
        ),
        (
            (address(),),
            {"region": "us-east-1a"},
            "--region must be a Region, but 'us-east-1a' is an Availability Zone",
            "write us-east-1",
        ),
        ((address(),), {"account_id": "1"}, "--account-id 1 is no account id", "123456789012"),
        ((address(arn=None),), {}, "the state does not show its Region", "--region"),
    ],
)
def test_one_has_to_be_chosen(resources: Any, chosen: Any, message: str, hint: str) -> None:
    with pytest.raises(EnireconcileError) as raised:
        take(*resources, **chosen)
    assert raised.value.message == message
    assert hint in str(raised.value.hint)


def test_what_is_elsewhere_is_told() -> None:
    made = take(address(), EUROPE, EUROPE, subnet(arn=arn("subnet/x", "eu-west-1")), region="us-east-1")
    assert made.forget == ("aws_eip.web",)
    assert 'region: us-east-1\naccount_id: "123456789012"\n' in str(made.text)
    [note] = made.notes
    assert note == "not in the spec: 2 resources in eu-west-1 of the account 123456789012: see --region eu-west-1"
    rule = resource("aws_eip_association.eu", allocation_id="eipalloc-00000000000000001")
    assert len(take(address(), EUROPE, rule, region="us-east-1").notes) == 1
    [note] = take(address(), OTHER, account_id="123456789012").notes
    assert note == (
        "not in the spec: 1 resource in us-east-1 of the account 210987654321: see --account-id 210987654321"
    )


@pytest.mark.parametrize(
    "resources",
    [
        (instance(arn=None),),
        (instance(arn=None, availability_zone="us-east-1-bos-1a"),),
        (address(arn=None, region="us-east-1"),),
        (address(arn=None), instance()),
    ],
)
def test_without_an_arn(resources: Any) -> None:
    """The zone, the attribute `region` of newer providers, or the place of the others."""
    assert "region: us-east-1\n" in str(take(*resources).text)
