"""Warnings of guests that may not cope: once, by the plan that attaches or moves an interface."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.errors import SpecErrors
from enireconcile.live.records import Limits, Live, LiveImage
from enireconcile.planning.draft import make_plan
from tests.planning.worlds import Words, live_of, plan_of, spec_of

SUBNETS = {"a": {"default_for_az": "us-east-1a"}, "lab": {"tags": {"Name": "lab-a"}}}
DEBIAN = {"name": "debian-12-amd64-*", "owner": "136693071363"}


def _spec(second: str = "a", **instance: Any) -> Words:
    """An instance with two interfaces, the second one in this subnet."""
    return {
        "instances": {"web": {"image": DEBIAN, "instance_type": "t3.micro", **instance}},
        "network_interfaces": {
            "eth0": {"subnet": SUBNETS["a"], "attachment": {"instance": "web", "device_index": 0}},
            "eth1": {"subnet": SUBNETS[second], "attachment": {"instance": "web", "device_index": 1}},
        },
    }


STANDING: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}},
}
DETACHED: Words = {**STANDING, "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {}}}


def _told(spec: Words, live: Words | None = None, known: Limits | None = None) -> list[str]:
    plan = plan_of(spec, live, known=known)
    return [each for each in plan.warnings if "`enireconcile guest" in each]


def test_two_interfaces_in_one_subnet_are_told_with_the_command() -> None:
    assert _told(_spec()) == [
        "instances.web has 2 interfaces in one subnet, and its system is not known to configure them: "
        "only one may answer; see `enireconcile guest - web`"
    ]


@pytest.mark.parametrize(
    "instance",
    [
        {"guest_network": "ip"},
        {"image": {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"}},
        {"image": {"ssm": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"}},
        {"image": {"name": "RHEL-9*_HVM-*-x86_64-*", "owner": "309956199498"}},
    ],
)
def test_a_guest_that_copes_is_not(instance: Words) -> None:
    assert _told(_spec(**instance)) == []


def test_the_image_tells_where_the_spec_does_not() -> None:
    spec = _spec(image="ami-0123456789abcdef0")
    assert len(_told(spec)) == 1
    image = LiveImage("ami-of-web", state="available", name="al2023-ami-2023.6-kernel-6.1-x86_64")
    assert _told(spec, known=Limits(images={"ami-of-web": image}, read=frozenset({"DescribeImages"}))) == []


def test_two_subnets_are_two_networks() -> None:
    assert _told(_spec(second="lab")) == []


def test_only_the_plan_that_attaches_tells() -> None:
    """A plan that finds nothing, or something else, is silent."""
    assert _told(_spec(), STANDING) == []
    assert _told(_spec(tags={"Team": "net"}), STANDING) == []
    assert len(_told(_spec(), DETACHED)) == 1


def test_guest_network_knows_what_is_there_at_launch() -> None:
    """User data names MAC addresses: an interface that is made later is in none."""
    with_it = _spec(guest_network="ip")
    assert _told(with_it) == []
    assert _told(with_it, STANDING) == []
    added: Words = {"instances": {"web": {}}, "network_interfaces": {"eth0": {"at": "web 0"}}}
    [told] = _told(with_it, added)
    assert "guest_network configures only what is there at launch; see `enireconcile guest - web`" in told
    assert len(_told(with_it, DETACHED)) == 1
    assert _told(_spec(guest_network="ip", image={"name": "RHEL-9*_HVM-*", "owner": "309956199498"}), added) == []


SERVICE: Words = {
    "instances": {
        name: {"image": DEBIAN, "instance_type": "t3.micro", "guest_network": "ip"} for name in ("a", "b")
    },
    "network_interfaces": {
        **{
            f"{name}-eth0": {"subnet": SUBNETS["a"], "attachment": {"instance": name, "device_index": 0}}
            for name in ("a", "b")
        },
        "service": {
            "subnet": SUBNETS["a"],
            "attachment": {"instances": ["a", "b"], "device_index": 1, "failover": {"health": "running"}},
        },
    },
}


def test_a_failover_interface_was_there_at_launch_unless_it_is_made_now() -> None:
    standing: Words = {
        "instances": {"a": {}, "b": {}},
        "network_interfaces": {"a-eth0": {"at": "a 0"}, "b-eth0": {"at": "b 0"}, "service": {}},
    }
    assert _told(SERVICE, standing) == []
    del standing["network_interfaces"]["service"]
    [told] = _told(SERVICE, standing)
    assert "network_interfaces.service moves between a and b" in told
    assert "guest_network configures only what is there at launch" in told


def test_an_efa_only_interface_is_none_of_the_two() -> None:
    """It has no address that could be silent."""
    spec = _spec()
    spec["instances"]["web"]["instance_type"] = "p4d.24xlarge"
    spec["network_interfaces"]["eth1"]["interface_type"] = "efa-only"
    assert _told(spec) == []


@pytest.mark.parametrize(
    ("subnet", "row", "refused"),
    [
        ("generous", {}, True),
        ("generous", {"ipv6_address_count": 0}, False),
        ("generous", {"ipv6_addresses": ["2001:db8:0:1::5"]}, False),
        ("dual", {}, False),
        ("six", {}, True),
        ("six", {"ipv6_addresses": ["2001:db8:0:6::5"]}, False),
    ],
)
def test_an_ipv6_address_that_the_subnet_gives_is_refused(subnet: str, row: Words, refused: bool) -> None:
    """The launch would not know it. Without guest_network, or on an instance that stands, it does no harm."""
    spec = _spec(guest_network="networkd")
    for each in spec["network_interfaces"].values():
        each["subnet"] = {"tags": {"Name": "dual"}}
    spec["network_interfaces"]["eth1"] |= {"subnet": {"tags": {"Name": subnet}}, **row}
    if refused:
        with pytest.raises(SpecErrors) as caught:
            plan_of(spec)
        [problem] = caught.value.problems
        assert problem.path == "network_interfaces.eth1.subnet"
        assert "an IPv6 address, which the user data of instances.web, which has guest_network" in problem.message
        assert "ipv6_addresses" in str(problem.hint)
        assert ("`ipv6_address_count: 0`" in str(problem.hint)) is (subnet != "six")
    else:
        assert plan_of(spec).steps
    del spec["instances"]["web"]["guest_network"]
    assert plan_of(spec).steps


FAILOVER: Words = {
    "instances": {"a": {"external": "i-aaaaaaaa"}, "b": {"external": "i-bbbbbbbb"}},
    "network_interfaces": {
        "service": {
            "subnet": SUBNETS["a"],
            "attachment": {"instances": ["a", "b"], "device_index": 1, "failover": {"health": "running"}},
        }
    },
}
EXTERNALS: Words = {
    "externals": {"a": {"id": "i-aaaaaaaa"}, "b": {"id": "i-bbbbbbbb"}},
    "instances": {"a": {"found": True, "id": "i-aaaaaaaa"}, "b": {"found": True, "id": "i-bbbbbbbb"}},
}


def _failover(live: Live) -> list[str]:
    made = make_plan(spec_of(FAILOVER), live)
    return [each for each in made.warnings if "`enireconcile guest" in each]


def test_an_interface_that_fails_over_is_told_once() -> None:
    """Whether it shares a subnet or not: it comes to a guest that may not expect it."""
    live = live_of({"externals": EXTERNALS["externals"]}, spec_of(FAILOVER))
    assert _failover(live) == [
        "network_interfaces.service moves between a and b, whose systems are not known to configure it: "
        "its addresses may stay silent; see `enireconcile guest - a`"
    ]
    systems = {
        name: tuple(replace(each, system="Red Hat Enterprise Linux") for each in found)
        for name, found in live.externals.items()
    }
    assert _failover(replace(live, externals=systems)) == []
    only_a = {**live.externals, "a": systems["a"]}
    [told] = _failover(replace(live, externals=only_a))
    assert "between a and b, and the system of b is not known to configure it" in told
    assert "guest - b`" in told


def test_the_primary_interface_of_an_external_instance_counts() -> None:
    """The spec has no row for it; its subnet is that of the instance."""
    spec: Words = {
        "instances": {"a": {"external": "i-aaaaaaaa"}},
        "network_interfaces": {
            "extra": {"subnet": SUBNETS["a"], "attachment": {"instance": "a", "device_index": 1}}
        },
    }
    live = live_of(
        {
            "externals": {"a": {"id": "i-aaaaaaaa"}},
            "network_interfaces": {"theirs": {"found": True, "id": "eni-theirs", "at": "i-aaaaaaaa 0"}},
        },
        spec_of(spec),
    )
    for subnet, expected in (("subnet-a", 1), ("subnet-b", 0)):
        externals = {"a": tuple(replace(each, subnet_id=subnet) for each in live.externals["a"])}
        made = make_plan(spec_of(spec), replace(live, externals=externals))
        assert len([each for each in made.warnings if "`enireconcile guest" in each]) == expected
