"""Logical names: valid, unique, and those that a person would choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from enireconcile.export.names import names_of
from enireconcile.export.taking import Taken
from enireconcile.live.records import elastic_ip, instance, network_interface, security_group


def _tags(name: str | None) -> list[dict[str, str]]:
    return [] if name is None else [{"Key": "Name", "Value": name}]


def _instance(number: int, name: str | None = None) -> Any:
    return {"InstanceId": f"i-{number:017x}", "State": {"Name": "running"}, "Tags": _tags(name)}


def _interface(number: int, name: str | None = None, at: tuple[int, int, int] | None = None) -> Any:
    place = {}
    if at:
        keys = {"InstanceId": f"i-{at[0]:017x}", "NetworkCardIndex": at[1], "DeviceIndex": at[2]}
        place = {"Attachment": {"AttachmentId": "eni-attach-1", **keys}}
    found = {"NetworkInterfaceId": f"eni-{number:017x}", "TagSet": _tags(name), "PrivateIpAddress": "10.0.0.4"}
    return found | place


def _group(number: int, group: str, name: str | None = None) -> Any:
    return {"GroupId": f"sg-{number:017x}", "GroupName": group, "VpcId": "vpc-1", "Tags": _tags(name)}


def _address(number: int, name: str | None = None, on: int | None = None, ip: str = "10.0.0.4") -> Any:
    place = {} if on is None else {"NetworkInterfaceId": f"eni-{on:017x}", "PrivateIpAddress": ip}
    return {"AllocationId": f"eipalloc-{number:017x}", "PublicIp": "203.0.113.7", "Tags": _tags(name)} | place


def named(
    *, groups: Sequence[Any] = (), hosts: Sequence[Any] = (), enis: Sequence[Any] = (), ips: Sequence[Any] = ()
) -> list[str]:
    """The names, in the order of what is given."""
    taken = Taken(
        tuple(map(security_group, groups)),
        tuple(map(instance, hosts)),
        tuple(map(network_interface, enis)),
        tuple(map(elastic_ip, ips)),
        (),
        (),
    )
    found = names_of(taken, owned=False, wishes={})
    return [found[live.id] for live in taken.rows]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("web", "web"),
        ("Web Server (1)", "Web-Server-1"),
        ("Café", "Cafe"),
        ("-_x_-", "x"),
        ("a.b/c", "a-b-c"),
        ("x" * 200, "x" * 100),
        ("北京", "instance-00001"),
        ("", "instance-00001"),
        (None, "instance-00001"),
    ],
)
def test_a_name_is_made_valid(name: str | None, wanted: str) -> None:
    assert named(hosts=[_instance(1, name)]) == [wanted]


def test_several_of_one_name_are_numbered() -> None:
    """In the order of their ids; a number is skipped if another instance has it in its Name."""
    hosts = [_instance(1, "web"), _instance(2, "web"), _instance(3, "web-1"), _instance(4, "db")]
    assert named(hosts=hosts) == ["web-2", "web-3", "web-1", "db"]


@pytest.mark.parametrize(
    ("group", "name", "wanted"),
    [
        ("web", None, "web"),
        ("launch-wizard-1", "web", "web"),
        ("x", "sg-web", "web"),
        ("x", "sg-pl-0123", "0123"),
        ("x", "self", "self-group"),
        ("x", "sg-", "sg"),
        ("(:)", None, "group-00001"),
    ],
)
def test_groups_never_look_like_ids_or_keywords(group: str, name: str | None, wanted: str) -> None:
    assert named(groups=[_group(1, group, name)]) == [wanted]


def test_interfaces_are_named_after_their_place() -> None:
    """Also where a tool gave the instance's Name to all of them; a Name that one of them has wins."""
    enis = [
        _interface(1, "web", (1, 0, 0)),
        _interface(2, "web", (1, 0, 1)),
        _interface(3, None, (1, 1, 1)),
        _interface(4, "data", (1, 0, 2)),
        _interface(5),
        _interface(6, "eni-0123456789abcdef0"),
    ]
    wanted = ["web", "web-eth0", "web-eth1", "web-card1-eth1", "data", "interface-00005"]
    assert named(hosts=[_instance(1, "web")], enis=enis) == [*wanted, "interface-0123456789abcdef0"]


def test_addresses_are_named_after_their_interface() -> None:
    ips = [_address(1, on=1), _address(2, on=1, ip="10.0.0.9"), _address(3), _address(4, "out", on=1)]
    found = named(enis=[_interface(1, "web")], ips=ips)
    assert found == ["web", "web", "web-9", "address-203-0-113-7", "out"]
