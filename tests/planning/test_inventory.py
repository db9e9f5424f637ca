"""What a stack owns, from the spec and the live records."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from enireconcile.live.records import Live
from enireconcile.model import Ref, Template
from enireconcile.ownership import NAME_TAG
from enireconcile.planning.inventory import SHOWN, resources
from enireconcile.planning.resolve import resolve
from enireconcile.spec import Spec
from enireconcile.spec.borrowed import BORROWED
from enireconcile.spec.expand import ATTRIBUTES
from tests.planning.worlds import Words, live_of, spec_of

SUBNET: Words = {"default_for_az": "us-east-1a"}
SPEC: Words = {
    "security_groups": {"web": {}, "planned": {}},
    "instances": {
        "web": {"image": "ami-12345678", "instance_type": "t3.micro"},
        "fw": {"external": {"tags": {"Name": "fw"}}},
    },
    "network_interfaces": {
        "eth0": {"subnet": SUBNET, "attachment": {"instance": "web", "device_index": 0}},
        "float": {"subnet": SUBNET, "attachment": {"instance": "fw", "device_index": 1}},
    },
    "elastic_ips": {"web": {"association": {"network_interface": "eth0"}}, "spare": {}},
}
LIVE: Words = {
    "security_groups": {"web": {}},
    "instances": {"web": {}},
    "externals": {"fw": {"id": "i-0123456789abcdef0"}},
    "network_interfaces": {
        "eth0": {"at": "web 0", "groups": ["sg-web", "sg-others"], "secondary": ["172.31.0.99"]},
        "float": {"at": "i-0123456789abcdef0 1"},
        "old": {},
    },
    "elastic_ips": {"web": {"at": "eth0"}, "spare": {"public_ip": "192.0.2.2"}},
}


def _world(live: Words = LIVE) -> tuple[Spec, Live]:
    spec = spec_of(SPEC)
    return spec, live_of(live, spec)


def _resources(live: Words = LIVE) -> Any:
    spec, found = _world(live)
    return resources(spec.document, found)


def test_what_is_there_is_listed_by_section_and_name() -> None:
    """Rows that are not made yet, and external instances, are not; what the spec no longer names is."""
    assert list(_resources()) == [
        "security_groups.web",
        "instances.web",
        "network_interfaces.eth0",
        "network_interfaces.float",
        "network_interfaces.old",
        "elastic_ips.spare",
        "elastic_ips.web",
    ]


def test_the_attributes_of_each_section_are_known_without_a_resource() -> None:
    found = _resources()
    assert {address.partition(".")[0] for address in found} == set(SHOWN)
    assert all(tuple(each) == SHOWN[address.partition(".")[0]] for address, each in found.items())


def test_an_interface_names_its_groups_and_its_holder() -> None:
    """Others' groups by their ids."""
    found = _resources()
    assert found["network_interfaces.eth0"] == {
        "id": "eni-eth0",
        "private_ip": "172.31.0.10",
        "secondary_private_ips": ["172.31.0.99"],
        "ipv6_addresses": [],
        "public_ip": None,
        "mac_address": None,
        "subnet_id": "subnet-a",
        "vpc_id": "vpc-default",
        "availability_zone": "us-east-1a",
        "security_groups": ["sg-others", "web"],
        "instance": "web",
        "instance_id": "i-web",
        "device_index": 0,
        "status": "in-use",
    }
    held = found["network_interfaces.float"]
    assert (held["instance"], held["instance_id"]) == ("fw", "i-0123456789abcdef0")
    free = found["network_interfaces.old"]
    assert (free["instance"], free["instance_id"], free["device_index"]) == (None, None, None)


def test_an_external_instance_that_several_fit_has_no_name() -> None:
    spec, live = _world()
    [fw] = live.externals["fw"]
    live = replace(live, externals={"fw": (fw, replace(fw, id="i-2"))})
    assert resources(spec.document, live)["network_interfaces.float"]["instance"] == "i-0123456789abcdef0"


def test_an_elastic_ip_names_where_it_leads() -> None:
    spec, live = _world()
    addresses = tuple(
        replace(each, instance_id="i-web") if each.id == "eipalloc-web" else each for each in live.elastic_ips
    )
    found = resources(spec.document, replace(live, elastic_ips=addresses))
    assert found["elastic_ips.web"] == {
        "id": "eipalloc-web",
        "public_ip": "192.0.2.1",
        "private_ip": "172.31.0.10",
        "network_interface": "eth0",
        "instance": "web",
    }
    assert found["elastic_ips.spare"] == {
        "id": "eipalloc-spare",
        "public_ip": "192.0.2.2",
        "private_ip": None,
        "network_interface": None,
        "instance": None,
    }


def test_an_elastic_ip_elsewhere_has_ids() -> None:
    found = _resources({"elastic_ips": {"web": {"at": "eni-stranger"}}})
    assert found["elastic_ips.web"]["network_interface"] == "eni-stranger"


def test_several_of_one_name_are_each_listed() -> None:
    """The row cannot have both: they are shown by their ids."""
    spec, live = _world({"elastic_ips": {"web": {}}})
    [one] = live.elastic_ips
    two = replace(one, id="eipalloc-two", public_ip="192.0.2.3")
    found = resources(spec.document, replace(live, elastic_ips=(one, two)))
    assert {address: each["public_ip"] for address, each in found.items()} == {
        "elastic_ips.eipalloc-two": "192.0.2.3",
        "elastic_ips.eipalloc-web": "192.0.2.1",
    }


def test_a_resource_whose_name_tag_is_gone_is_listed_by_its_id() -> None:
    spec, live = _world({"elastic_ips": {"web": {}}})
    [one] = live.elastic_ips
    tags = {key: value for key, value in one.tags.items() if key != NAME_TAG}
    assert list(resources(spec.document, replace(live, elastic_ips=(replace(one, tags=tags),)))) == [
        "elastic_ips.eipalloc-web"
    ]


def test_a_terminated_instance_is_not_listed() -> None:
    assert _resources({"instances": {"web": {"state": "terminated"}}}) == {}


def test_tags_and_user_data_can_name_what_show_prints() -> None:
    """Every attribute of a reference has its name in show, and the same value, if it is the resource's own."""
    spec, live = _world()
    world = resolve(spec, live, prune=False).world
    found = resources(spec.document, live)
    for section, attributes in ATTRIBUTES.items():
        address = next(each for each in found if each.startswith(f"{section}."))
        for attribute in attributes:
            told = found[address][attribute] or ""
            if (section, attribute) not in BORROWED:
                assert world.text(Template((Ref(address, attribute),))) == told, (address, attribute)
