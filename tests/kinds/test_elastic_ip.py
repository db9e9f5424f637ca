"""Elastic IPs: what a plan says of their reverse DNS."""

from __future__ import annotations

import pytest

from tests.planning.worlds import Words, plan_of

NAME = "www.example.com"


def test_a_name_for_an_address_that_is_not_allocated_yet_is_a_warning() -> None:
    plan = plan_of({"elastic_ips": {"web": {"reverse_dns": NAME}}})
    assert plan.warnings == (
        "elastic_ips.web: EC2 sets reverse_dns only once an A record of www.example.com leads to the address, "
        "which this plan allocates: it is tried once; if EC2 refuses it, enter the A record and apply again",
    )
    assert [step.call for step in plan.steps] == ["AllocateAddress", "ModifyAddressAttribute"]


@pytest.mark.parametrize(
    ("row", "live"),
    [
        # The record can exist: the address was allocated, or is chosen.
        ({"reverse_dns": NAME}, {"web": {}}),
        ({"reverse_dns": NAME, "address": "198.51.100.7"}, {}),
        ({"reverse_dns": ""}, {}),
        ({}, {}),
    ],
)
def test_any_other_is_none(row: Words, live: Words) -> None:
    assert plan_of({"elastic_ips": {"web": row}}, {"elastic_ips": live}).warnings == ()
