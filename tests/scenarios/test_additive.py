"""``lifecycle.additive``: lists to which other tools may add."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.spec.rows import ADDITIVE
from tests.ec2 import Fail
from tests.harness import Harness

ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def _rule(direction: str, port: int) -> dict[str, Any]:
    end = "sources" if direction == "ingress" else "destinations"
    return {"protocol": "tcp", "ports": port, end: ["0.0.0.0/0"]}


def _spec(*, groups: Any = None, interface: Any = None, elastic_ips: Any = None) -> str:
    row = {"subnet": {"tags": {"Name": "lab"}}, "private_ip": "10.0.0.10", **(interface or {})}
    rows = {name: {"vpc": {"tags": {"Name": "lab"}}, **each} for name, each in (groups or {}).items()}
    return json.dumps(
        {
            "version": 1,
            "stack": "additive",
            "region": "us-east-1",
            "security_groups": rows,
            "network_interfaces": {} if interface is None else {"a": row},
            "elastic_ips": elastic_ips or {},
        }
    )


@pytest.fixture
def lab(harness: Harness) -> Harness:
    world = harness.strict.world
    vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", tags={"Name": "lab"})
    world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"Name": "lab"})
    world.add_gateway(vpc)
    return harness


def _calls(harness: Harness, spec: str, **more: Any) -> list[str]:
    """The mutating calls of an apply; a further apply calls nothing."""
    harness.strict.clear()
    report = harness.apply(spec, **more)
    assert report.outcome in ("converged", "unchanged"), report.error
    calls = sorted(call.action for call in harness.strict.mutating())
    assert harness.plan(spec, **{key: value for key, value in more.items() if key == "prune"}).empty
    return calls


def _group(harness: Harness, name: str = "g") -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"security_groups.{name}"]}]
    [found] = harness.client().describe_security_groups(Filters=filters)["SecurityGroups"]
    return found


def _interface(harness: Harness) -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.a"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules(lab: Harness, direction: str) -> None:
    """Created exactly, without EC2's own egress rule. Then what others add stays, and what has left the list."""
    key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"

    def spec(*ports: int) -> str:
        rules = [_rule(direction, port) for port in ports]
        return _spec(groups={"g": {direction: rules, "lifecycle": {"additive": [direction]}}})

    def ports() -> list[int | None]:
        return sorted(each.get("FromPort") for each in _group(lab)[key])

    _calls(lab, spec(80))
    assert ports() == [80]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANYWHERE}
    getattr(lab.client(), f"authorize_security_group_{direction}")(
        GroupId=_group(lab)["GroupId"], IpPermissions=[rule]
    )
    assert _calls(lab, spec(80)) == []
    assert _calls(lab, spec(443)) == [f"AuthorizeSecurityGroup{direction.capitalize()}"]
    assert ports() == [22, 80, 443]
    gone = {**rule, "FromPort": 443, "ToPort": 443}
    getattr(lab.client(), f"revoke_security_group_{direction}")(
        GroupId=_group(lab)["GroupId"], IpPermissions=[gone]
    )
    assert _calls(lab, spec(443)) == [f"AuthorizeSecurityGroup{direction.capitalize()}"]


def test_egress_of_a_group_whose_creation_was_interrupted(lab: Harness) -> None:
    """EC2's own rule is removed once, also if a later run does it; afterwards another tool may add it."""
    spec = _spec(groups={"g": {"egress": [_rule("egress", 80)], "lifecycle": {"additive": ["egress"]}}})
    lab.strict.faults.add(Fail("RevokeSecurityGroupEgress", code="UnauthorizedOperation"))
    assert lab.apply(spec).outcome == "partial"
    assert len(_group(lab)["IpPermissionsEgress"]) == 2
    lab.obey(spec)
    assert _calls(lab, spec) == ["DeleteTags", "RevokeSecurityGroupEgress"]
    lab.client().authorize_security_group_egress(
        GroupId=_group(lab)["GroupId"], IpPermissions=[{"IpProtocol": "-1", "IpRanges": ANYWHERE}]
    )
    assert _calls(lab, spec) == []


def test_a_description_of_a_listed_rule_is_kept(lab: Harness) -> None:
    additive = {"additive": ["ingress"]}
    _calls(lab, _spec(groups={"g": {"ingress": [_rule("ingress", 80)], "lifecycle": additive}}))
    worded = _rule("ingress", 80) | {"description": "web"}
    assert _calls(lab, _spec(groups={"g": {"ingress": [worded], "lifecycle": additive}})) == [
        "UpdateSecurityGroupRuleDescriptionsIngress"
    ]


def test_groups_of_an_interface(lab: Harness) -> None:
    groups: dict[str, Any] = {"g": {}, "h": {}}

    def spec(*names: str) -> str:
        return _spec(
            groups=groups,
            interface={"security_groups": list(names), "lifecycle": {"additive": ["security_groups"]}},
        )

    def named() -> list[str]:
        return sorted(group["GroupName"] for group in _interface(lab)["Groups"])

    _calls(lab, spec("g"))
    vpc = _group(lab)["VpcId"]
    other = lab.client().create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"]
    both = [_group(lab)["GroupId"], other]
    found = _interface(lab)["NetworkInterfaceId"]
    lab.client().modify_network_interface_attribute(NetworkInterfaceId=found, Groups=both)
    lab.loop.now += 5
    assert _calls(lab, spec("g")) == []
    lab.obey(spec("h"))
    assert _calls(lab, spec("h")) == ["ModifyNetworkInterfaceAttribute"]
    assert named() == ["g", "h", "other"]


def test_a_group_that_stays_on_an_additive_interface_is_not_deleted(lab: Harness) -> None:
    """It has left the list and the file: the plan says why it stays."""
    additive = {"lifecycle": {"additive": ["security_groups"]}}
    both = {"security_groups": ["g", "h"], **additive}
    _calls(lab, _spec(groups={"g": {}, "h": {}}, interface=both))
    spec = _spec(groups={"g": {}}, interface={"security_groups": ["g"], **additive})
    [warning] = lab.plan(spec, prune=True).warnings
    assert "cannot be deleted and is kept: it is still used by network_interfaces.a" in warning
    assert _calls(lab, spec, prune=True) == []


@pytest.mark.parametrize(
    ("key", "one", "two", "three", "family", "param"),
    [
        (
            "secondary_private_ips", "10.0.0.20", "10.0.0.21", "10.0.0.22",
            "PrivateIpAddresses", "private_ip_addresses",
        ),
        (
            "ipv6_addresses", "2001:db8::a", "2001:db8::b", "2001:db8::c",
            "Ipv6Addresses", "ipv6_addresses",
        ),
    ],
)  # fmt: skip
def test_addresses(lab: Harness, key: str, one: str, two: str, three: str, family: str, param: str) -> None:
    def spec(*values: str) -> str:
        return _spec(interface={key: list(values), "lifecycle": {"additive": [key]}})

    def held() -> list[str]:
        inner = "PrivateIpAddress" if key.startswith("sec") else "Ipv6Address"
        return sorted(each[inner] for each in _interface(lab)[family] if not each.get("Primary"))

    _calls(lab, spec(one))
    found = _interface(lab)["NetworkInterfaceId"]
    getattr(lab.client(), f"assign_{param}")(NetworkInterfaceId=found, **{family: [two]})
    lab.loop.now += 5
    assert _calls(lab, spec(one)) == []
    assert _calls(lab, spec(three)) == [f"Assign{family}"]
    assert held() == [one, two, three]
    getattr(lab.client(), f"unassign_{param}")(NetworkInterfaceId=found, **{family: [three]})
    lab.loop.now += 5
    assert _calls(lab, spec(three)) == [f"Assign{family}"]


def test_an_address_that_another_row_lists_moves_there(lab: Harness) -> None:
    """What the file says of an address goes before what stays by itself."""
    row = {"secondary_private_ips": ["10.0.0.20"], "lifecycle": {"additive": ["secondary_private_ips"]}}
    _calls(lab, _spec(interface=row))
    moved = json.loads(_spec(interface={**row, "secondary_private_ips": []}))
    moved["network_interfaces"]["b"] = {
        "subnet": {"tags": {"Name": "lab"}}, "private_ip": "10.0.0.11", "secondary_private_ips": ["10.0.0.20"]
    }  # fmt: skip
    assert _calls(lab, json.dumps(moved)) == ["AssignPrivateIpAddresses", "CreateNetworkInterface"]


def test_an_elastic_ip_on_an_address_that_others_added(lab: Harness) -> None:
    row = {"secondary_private_ips": [], "lifecycle": {"additive": ["secondary_private_ips"]}}
    _calls(lab, _spec(interface=row))
    found = _interface(lab)["NetworkInterfaceId"]
    lab.client().assign_private_ip_addresses(NetworkInterfaceId=found, PrivateIpAddresses=["10.0.0.30"])
    lab.loop.now += 5
    target = {"network_interface": "a", "private_ip": "10.0.0.30"}
    with_it = _spec(interface=row, elastic_ips={"x": {"association": target}})
    assert _calls(lab, with_it) == ["AllocateAddress", "AssociateAddress"]
    target["private_ip"] = "10.0.0.31"
    with pytest.raises(SpecErrors, match=r"10.0.0.31 is not a private IP of "):
        lab.plan(_spec(interface=row, elastic_ips={"x": {"association": target}}))


@pytest.mark.parametrize(
    ("section", "lifecycle", "message"),
    [
        ("security_groups", {"additive": ["tags"]}, "additive.0: 'tags' is not a list that can be additive"),
        ("security_groups", {"additive": ["ingres"]}, "additive.0: 'ingres' is not a list that can be additive"),
        ("security_groups", {"additive": ["ingress"] * 2}, "additive.1: 'ingress' is listed twice"),
        (
            "security_groups",
            {"additive": ["egress"], "ignore": ["egress"]},
            "additive.0: 'egress' is ignored, too",
        ),
        ("elastic_ips", {"additive": ["ingress"]}, "additive.0: 'ingress' is not a list that can be additive"),
    ],
)
def test_what_cannot_be_additive(lab: Harness, section: str, lifecycle: Any, message: str) -> None:
    spec = {"version": 1, "stack": "additive", section: {"x": {"lifecycle": lifecycle}}}
    with pytest.raises(SpecErrors, match=message):
        lab.plan(json.dumps(spec))


def test_every_list_of_the_table_has_a_test() -> None:
    here = {"ingress", "egress", "security_groups", "secondary_private_ips", "ipv6_addresses"}
    assert set(ADDITIVE) - here == {"routes"}, "that is in tests/scenarios/test_routes.py"
