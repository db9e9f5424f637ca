"""A row that looks renamed: the warning names the line that keeps the resource, its id and its address."""

from __future__ import annotations

import pytest

from tests.planning.worlds import Words, plan_of, warnings_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}


def interfaces(*names: str, **more: Words) -> Words:
    """Rows of an instance's interfaces, at the indexes in which they are listed."""
    rows: Words = {
        name: {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": index}, **more.get(name, {})}
        for index, name in enumerate(names)
    }
    return {"instances": {"web": WEB}, "network_interfaces": rows}


LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0"}, "web-eth1": {"at": "web 1"}},
}


def renamed(spec: Words, live: Words, *, prune: bool = False) -> list[str]:
    return [each for each in warnings_of(plan_of(spec, live, prune=prune)) if "looks like" in each]


@pytest.mark.parametrize("prune", [False, True])
def test_an_interface_in_the_same_place(prune: bool) -> None:
    """Whatever its name is: it is attached where the row attaches."""
    assert renamed(interfaces("eth0", "service"), LIVE, prune=prune) == [
        "network_interfaces.service looks like web-eth1 renamed: `renamed_from: web-eth1` in its row keeps "
        "eni-web-eth1 and 172.31.0.11"
    ]


@pytest.mark.parametrize(
    ("section", "row", "live", "kept"),
    [
        ("elastic_ips", {}, {}, "eipalloc-web-1 and 192.0.2.1"),
        ("security_groups", {}, {}, "sg-web-1"),
        ("network_interfaces", {"subnet": ZONE_A}, {}, "eni-web-1 and 172.31.0.10"),
    ],
)
def test_one_is_made_and_one_is_left(section: str, row: Words, live: Words, kept: str) -> None:
    assert renamed({section: {"www": row}}, {section: {"web-1": live}}) == [
        f"{section}.www looks like web-1 renamed: `renamed_from: web-1` in its row keeps {kept}"
    ]


@pytest.mark.parametrize(
    ("spec", "live"),
    [
        # Another subnet, VPC, private address: it would be replaced.
        (
            {"network_interfaces": {"eth1": {"subnet": ZONE_A}}},
            {"network_interfaces": {"eth0": {"subnet": "subnet-b"}}},
        ),
        (
            {"network_interfaces": {"eth1": {"subnet": ZONE_A, "private_ip": "172.31.0.77"}}},
            {"network_interfaces": {"eth0": {}}},
        ),
        ({"security_groups": {"web2": {"vpc": {"tags": {"Name": "lab"}}}}}, {"security_groups": {"web1": {}}}),
        # Another section; nothing left; nothing made; several that are not alike.
        ({"security_groups": {"web": {}}}, {"elastic_ips": {"web": {}}}),
        ({"elastic_ips": {"web": {}}}, {}),
        ({"elastic_ips": {"web": {}}}, {"elastic_ips": {"web": {}, "old": {}}}),
        ({"elastic_ips": {"mail": {}}}, {"elastic_ips": {"proxy": {}, "vpn": {}}}),
    ],
)
def test_what_is_another_resource(spec: Words, live: Words) -> None:
    assert renamed(spec, live) == []


def test_of_several_the_nearest_name() -> None:
    spec: Words = {"elastic_ips": {"web-one": {}, "web-two": {}}}
    live: Words = {"elastic_ips": {"web-oneone": {}, "web-twotwo": {}, "vpn": {}}}
    assert [each.partition(" renamed")[0] for each in renamed(spec, live)] == [
        "elastic_ips.web-one looks like web-oneone",
        "elastic_ips.web-two looks like web-twotwo",
    ]


def test_a_row_that_says_it_is_renamed_is_not_told() -> None:
    assert renamed({"elastic_ips": {"www": {"renamed_from": "web"}}}, {"elastic_ips": {"web": {}}}) == []


def test_of_hundreds_the_uses_are_compared_not_the_names() -> None:
    """Comparing the names of all pairs would take too long."""
    names = [f"web-{number}" for number in range(220)]
    rows: Words = {f"{name}-ip": {"association": {"network_interface": name}} for name in names}
    spec: Words = {"network_interfaces": {name: {"subnet": ZONE_A} for name in names}, "elastic_ips": rows}
    addresses: Words = {f"ip-{name}": {"at": name} for name in names[:-1]} | {"ip-spare": {}}
    live: Words = {"network_interfaces": {name: {} for name in names}, "elastic_ips": addresses}
    assert {each.partition(" renamed")[0] for each in renamed(spec, live)} == {
        f"elastic_ips.{name}-ip looks like ip-{name}" for name in names[:-1]
    }
