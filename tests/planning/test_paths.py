"""The order of calls across resources: doors stay open or shut on the way, and what cannot be kept is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from enireconcile.model import PathBreak, Plan
from tests.planning.worlds import plan_of

SUBNET = {"default_for_az": "us-east-1a"}
IMAGE = {"image": "ami-12345678", "instance_type": "t3.micro"}
HTTPS = {"protocol": "tcp", "ports": 443, "sources": ["0.0.0.0/0"]}
HTTPS_10 = {"protocol": "tcp", "ports": 443, "sources": ["10.0.0.0/8"]}
SSH = {"protocol": "tcp", "ports": 22, "sources": ["10.0.0.0/8"]}


def interface(*groups: str, **more: Any) -> dict[str, Any]:
    return {"subnet": SUBNET, "security_groups": list(groups), **more}


def order(plan: Plan) -> list[str]:
    """The calls with their addresses, each with what it needs: ``call address < needs``."""
    names = {step.id: f"{step.call} {step.address.partition('.')[2]}" for step in plan.steps}
    return [
        " < ".join([names[step.id], ", ".join(sorted(names[need] for need in step.needs))]).removesuffix(" < ")
        for step in plan.steps
    ]


def test_a_renamed_group_has_its_rules_before_interfaces_move_in() -> None:
    """`web` becomes `web2`: the interface is never in a group without rules, even if EC2 refuses the rule."""
    plan = plan_of(
        {"security_groups": {"web2": {"ingress": [HTTPS]}}, "network_interfaces": {"x": interface("web2")}},
        {
            "security_groups": {"web": {"ingress": ["tcp 443 0.0.0.0/0"]}},
            "network_interfaces": {"x": {"groups": ["sg-web"]}},
        },
        prune=True,
    )
    assert order(plan) == [
        "CreateSecurityGroup web2",
        "AuthorizeSecurityGroupIngress web2 < CreateSecurityGroup web2",
        "ModifyNetworkInterfaceAttribute x < AuthorizeSecurityGroupIngress web2, CreateSecurityGroup web2",
        "DeleteSecurityGroup web < ModifyNetworkInterfaceAttribute x",
    ]
    assert (plan.interruptions, plan.exposures) == ((), ())


def test_a_group_with_less_egress_has_lost_the_rest_before_interfaces_move_in() -> None:
    """EC2 makes a group with everything allowed out: no interface is in it as long as that is so."""
    only_dns = {"egress": [{"protocol": "udp", "ports": 53, "destinations": ["10.0.0.2/32"]}]}
    plan = plan_of(
        {
            "security_groups": {"shut": {"egress": []}, "dns": only_dns},
            "network_interfaces": {"x": interface("dns")},
        },
        {
            "security_groups": {"shut": {"egress": []}},
            "network_interfaces": {"x": {"groups": ["sg-shut"]}},
        },
    )
    assert order(plan)[-2:] == [
        "RevokeSecurityGroupEgress dns < AuthorizeSecurityGroupEgress dns, CreateSecurityGroup dns",
        "ModifyNetworkInterfaceAttribute x < CreateSecurityGroup dns, RevokeSecurityGroupEgress dns",
    ]
    assert plan.exposures == ()


def test_a_rule_leaves_one_group_when_the_other_one_has_it() -> None:
    """The same door through another group of the same interface: first authorise there, then revoke here."""
    plan = plan_of(
        {
            "security_groups": {"old": {}, "new": {"ingress": [HTTPS]}},
            "network_interfaces": {"x": interface("old", "new")},
        },
        {
            "security_groups": {"old": {"ingress": ["tcp 443 0.0.0.0/0"]}, "new": {}},
            "network_interfaces": {"x": {"groups": ["sg-old", "sg-new"]}},
        },
    )
    assert order(plan) == [
        "AuthorizeSecurityGroupIngress new",
        "RevokeSecurityGroupIngress old < AuthorizeSecurityGroupIngress new",
    ]


def test_the_example_of_the_page_on_order() -> None:
    """docs/explanation/order.md: 443 goes from `old` to `new`, which loses 22 before others join it."""
    plan = plan_of(
        {
            "security_groups": {"old": {}, "new": {"ingress": [HTTPS]}, "other": {}},
            "network_interfaces": {"web-eth0": interface("old", "new"), "admin-eth0": interface("new", "other")},
        },
        {
            "security_groups": {
                "old": {"ingress": ["tcp 443 0.0.0.0/0"]},
                "new": {"ingress": ["tcp 22 10.0.0.0/8"]},
                "other": {},
            },
            "network_interfaces": {
                "web-eth0": {"groups": ["sg-old", "sg-new"]},
                "admin-eth0": {"groups": ["sg-other"]},
            },
        },
    )
    assert order(plan) == [
        "AuthorizeSecurityGroupIngress new",
        "RevokeSecurityGroupIngress new < AuthorizeSecurityGroupIngress new",
        "ModifyNetworkInterfaceAttribute admin-eth0 < RevokeSecurityGroupIngress new",
        "RevokeSecurityGroupIngress old < AuthorizeSecurityGroupIngress new",
    ]
    assert (plan.interruptions, plan.exposures) == ((), ())


def test_a_narrower_rule_stands_in_for_a_wide_one_only_where_it_covers_it() -> None:
    """443 from everywhere becomes 443 from 10.0.0.0/8 in another group: that part stays open, the rest shuts."""
    plan = plan_of(
        {
            "security_groups": {"old": {}, "new": {"ingress": [HTTPS_10]}},
            "network_interfaces": {"x": interface("old", "new")},
        },
        {
            "security_groups": {"old": {"ingress": ["tcp 443 0.0.0.0/0"]}, "new": {}},
            "network_interfaces": {"x": {"groups": ["sg-old", "sg-new"]}},
        },
    )
    assert order(plan)[-1] == "RevokeSecurityGroupIngress old < AuthorizeSecurityGroupIngress new"


def test_an_interface_leaves_a_group_before_that_opens_more() -> None:
    """A door that is shut before and after is shut throughout: x is gone when `g` opens port 22."""
    plan = plan_of(
        {
            "security_groups": {"g": {"ingress": [HTTPS, SSH]}, "h": {"ingress": [HTTPS]}},
            "network_interfaces": {"x": interface("h"), "y": interface("g")},
        },
        {
            "security_groups": {
                "g": {"ingress": ["tcp 443 0.0.0.0/0"]},
                "h": {"ingress": ["tcp 443 0.0.0.0/0"]},
            },
            "network_interfaces": {"x": {"groups": ["sg-g"]}, "y": {"groups": ["sg-g"]}},
        },
    )
    assert order(plan) == [
        "ModifyNetworkInterfaceAttribute x",
        "AuthorizeSecurityGroupIngress g < ModifyNetworkInterfaceAttribute x",
    ]


def test_a_door_that_must_open_on_the_way_is_told() -> None:
    """x leaves `g` for `h`, which opens 443 only in a call that also opens 22 for who stays in `h`."""
    plan = plan_of(
        {
            "security_groups": {"g": {"ingress": [SSH]}, "h": {"ingress": [HTTPS]}},
            "network_interfaces": {"x": interface("h"), "y": interface("g")},
        },
        {
            "security_groups": {
                "g": {"ingress": ["tcp 443 0.0.0.0/0"]},
                "h": {"ingress": ["tcp 22 10.0.0.0/8"]},
            },
            "network_interfaces": {"x": {"groups": ["sg-g"]}, "y": {"groups": ["sg-h"]}},
        },
    )
    assert plan.interruptions == ()
    assert {(each.address, each.what) for each in plan.exposures} <= {
        ("network_interfaces.x", "ingress tcp 22 from 10.0.0.0/8"),
        ("network_interfaces.y", "ingress tcp 443 from 0.0.0.0/0"),
    }
    assert plan.exposures


@pytest.mark.parametrize(
    ("spec", "live", "told"),
    [
        pytest.param(
            {"instances": {"web": IMAGE | {"instance_type": "t3.small", "on_change": "restart"}}},
            {"instances": {"web": {}}},
            [("instances.web", "running", "StopInstances", "StartInstances")],
            id="an instance is stopped to change its type",
        ),
        pytest.param(
            {"instances": {"web": IMAGE | {"key_name": "new", "on_change": "replace"}}},
            {"instances": {"web": {"key_name": "old"}}},
            [
                ("instances.web", "running", "TerminateInstances", "RunInstances"),
                ("network_interfaces.eth0", "attachment", "TerminateInstances", "RunInstances"),
            ],
            id="an instance is replaced",
        ),
    ],
)
def test_what_cannot_go_on_is_told(
    spec: Mapping[str, Any], live: Mapping[str, Any], told: Sequence[tuple[str, str, str, str]]
) -> None:
    eth0 = {"eth0": interface("g", attachment={"instance": "web", "device_index": 0})}
    plan = plan_of(
        {"security_groups": {"g": {}}, "network_interfaces": eth0, **spec},
        {
            "security_groups": {"g": {}},
            "network_interfaces": {"eth0": {"at": "web 0", "groups": ["sg-g"]}},
            **live,
        },
    )
    assert [_words(each, plan) for each in plan.interruptions] == list(told)


def test_an_interface_that_moves_is_detached_for_a_while() -> None:
    plan = plan_of(
        {
            "instances": dict.fromkeys(("a", "b"), IMAGE),
            "network_interfaces": {
                "a0": interface("g", attachment={"instance": "a", "device_index": 0}),
                "b0": interface("g", attachment={"instance": "b", "device_index": 0}),
                "x": interface("g", attachment={"instance": "b", "device_index": 1}),
            },
            "security_groups": {"g": {}},
        },
        {
            "instances": {"a": {}, "b": {}},
            "network_interfaces": {
                "a0": {"at": "a 0", "groups": ["sg-g"]},
                "b0": {"at": "b 0", "groups": ["sg-g"]},
                "x": {"at": "a 1", "groups": ["sg-g"]},
            },
            "security_groups": {"g": {}},
        },
    )
    assert [_words(each, plan) for each in plan.interruptions] == [
        ("network_interfaces.x", "attachment", "DetachNetworkInterface", "AttachNetworkInterface")
    ]


def _words(broken: PathBreak, plan: Plan) -> tuple[str, str, str, str]:
    calls = {step.id: step.call for step in plan.steps}
    return broken.address, broken.what, calls[broken.begins], calls[broken.ends]
