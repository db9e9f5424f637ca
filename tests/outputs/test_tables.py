"""What a stack owns, as people and shells read it."""

from __future__ import annotations

from typing import Any

import click
import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.model import Resources
from enireconcile.outputs.tables import address_lines, inventory_lines, variables
from enireconcile.outputs.text import inventory_text
from enireconcile.planning.inventory import Inventory


def _interface(private_ip: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "eni-0123456789abcdef0",
        "private_ip": private_ip,
        "secondary_private_ips": [],
        "ipv6_addresses": [],
        "public_ip": None,
        "subnet_id": "subnet-0123456789abcdef0",
        "availability_zone": "us-east-1a",
        "instance": None,
        "device_index": None,
        "status": "available",
        **more,
    }


def _address(public_ip: str, interface: str | None, private_ip: str | None) -> dict[str, Any]:
    return {
        "id": "eipalloc-0123456789abcdef0",
        "public_ip": public_ip,
        "private_ip": private_ip,
        "network_interface": interface,
        "instance": "web" if interface else None,
    }


RESOURCES: Resources = {
    "security_groups.web": {"id": "sg-0123456789abcdef0", "group_name": "the web", "vpc_id": "vpc-1"},
    "instances.web": {
        "id": "i-0123456789abcdef0",
        "state": "running",
        "private_ip": "172.31.0.10",
        "public_ip": "203.0.113.7",
    },
    "network_interfaces.web-eth0": _interface(
        "172.31.0.10",
        secondary_private_ips=["172.31.0.11", "172.31.0.12"],
        ipv6_addresses=["2001:db8::1"],
        public_ip="203.0.113.7",
        instance="web",
        device_index=0,
    ),
    "network_interfaces.float": _interface("10.0.0.5", subnet_id="subnet-gone", availability_zone="us-east-1b"),
    "elastic_ips.web-1": _address("203.0.113.7", "web-eth0", "172.31.0.10"),
    "elastic_ips.web-2": _address("203.0.113.8", "web-eth0", "172.31.0.12"),
    "elastic_ips.spare": _address("203.0.113.9", None, None),
}
INVENTORY = Inventory(
    "two-enis",
    "123456789012",
    "us-east-1",
    RESOURCES,
    {"subnet-0123456789abcdef0": ("us-east-1a", "172.31.0.0/20"), "subnet-other": ("us-east-1c", "10.9.0.0/24")},
)
TEXT = """\
two-enis  (account 123456789012, us-east-1)

                    private IP   public IP    holder, state  id
instances
  web               172.31.0.10  203.0.113.7  running        i-0123456789abcdef0
network_interfaces
  web-eth0          172.31.0.10  203.0.113.7  web, index 0   eni-0123456789abcdef0
                    172.31.0.11
                    172.31.0.12  203.0.113.8
                    2001:db8::1
  float             10.0.0.5                  available      eni-0123456789abcdef0
elastic_ips
  web-1             172.31.0.10  203.0.113.7  web-eth0       eipalloc-0123456789abcdef0
  web-2             172.31.0.12  203.0.113.8  web-eth0       eipalloc-0123456789abcdef0
  spare                          203.0.113.9  free           eipalloc-0123456789abcdef0
security_groups
  web                                                        sg-0123456789abcdef0

                            zone        CIDR           interfaces
subnets
  subnet-0123456789abcdef0  us-east-1a  172.31.0.0/20  web-eth0
  subnet-gone               us-east-1b                 float"""
ADDRESSES = """\
                    private IP   public IP    holder, state
instances
  web               172.31.0.10  203.0.113.7  running
network_interfaces
  web-eth0          172.31.0.10  203.0.113.7  web, index 0
                    172.31.0.11
                    172.31.0.12  203.0.113.8
                    2001:db8::1
  float             10.0.0.5                  available
elastic_ips
  web-1             172.31.0.10  203.0.113.7  web-eth0
  web-2             172.31.0.12  203.0.113.8  web-eth0
  spare                          203.0.113.9  free"""


def test_the_text_of_an_inventory() -> None:
    assert inventory_text(INVENTORY).splitlines() == TEXT.splitlines()


def test_rows_that_are_too_long_have_their_ids_below() -> None:
    text = inventory_text(INVENTORY, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "  web-1             172.31.0.10  203.0.113.7  web-eth0\n    eipalloc-0123456789abcdef0\n" in text
    assert inventory_text(INVENTORY, width=200) == inventory_text(INVENTORY)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:4566", " at http://127.0.0.1:4566, not AWS"),
        ("http://localhost:4566", " at http://localhost:4566, not AWS"),
        ("http://[::1]:4566", " at http://[::1]:4566, not AWS"),
        ("https://ec2.example.com", " at https://ec2.example.com"),
        (None, ""),
    ],
)
def test_the_head_says_what_is_not_aws(endpoint: str | None, words: str) -> None:
    """Under another name, a VPC endpoint is AWS all the same."""
    head = inventory_text(INVENTORY, endpoint=endpoint).splitlines()[0]
    assert head == f"two-enis  (account 123456789012, us-east-1{words})"


def test_addresses_alone() -> None:
    assert list(address_lines(RESOURCES)) == ADDRESSES.splitlines()


def test_colours_only_decorate() -> None:
    assert click.unstyle("\n".join(inventory_lines(INVENTORY, click.style))) in TEXT


def test_a_stack_without_resources() -> None:
    nothing = Inventory("new", "123456789012", "us-east-1", {}, {})
    assert inventory_text(nothing).splitlines()[2:] == ["The stack owns nothing."]
    assert list(address_lines({})) == []
    assert list(variables([nothing])) == []


def test_groups_alone_have_no_addresses() -> None:
    groups = {"security_groups.web": RESOURCES["security_groups.web"]}
    assert list(address_lines(groups)) == []


def test_what_steers_a_terminal_is_spelled_out() -> None:
    """The name of a leftover comes from its tag."""
    told = "\n".join(address_lines({"elastic_ips.\x1b[2J": _address("203.0.113.7", "\x1b[2J", "10.0.0.5")}))
    assert ("\x1b" in told, told.count("\\x1b[2J")) == (False, 2)


def test_variables_of_a_shell() -> None:
    """Lists are joined by commas, null is empty, and what a shell would split or run is quoted."""
    hostile = {"elastic_ips.old$(id)": {"network_interface": "a'; rm -rf ~ #\n"}}
    inventory = Inventory("two-enis", "123456789012", "us-east-1", {**RESOURCES, **hostile}, {})
    lines = dict(line.split("=", 1) for line in variables([inventory]))
    assert lines["ELASTIC_IPS_WEB_1_PUBLIC_IP"] == "203.0.113.7"
    assert lines["ELASTIC_IPS_SPARE_PRIVATE_IP"] == ""
    assert lines["NETWORK_INTERFACES_WEB_ETH0_SECONDARY_PRIVATE_IPS"] == "172.31.0.11,172.31.0.12"
    assert lines["NETWORK_INTERFACES_WEB_ETH0_DEVICE_INDEX"] == "0"
    assert lines["SECURITY_GROUPS_WEB_GROUP_NAME"] == "'the web'"
    assert lines["ELASTIC_IPS_OLD__ID__NETWORK_INTERFACE"] == "'a'\"'\"'; rm -rf ~ #\\n'"


def test_two_resources_with_one_variable_are_refused() -> None:
    """The later line would silently win."""
    twice = {"elastic_ips.web-1": {"id": "1"}, "elastic_ips.web_1": {"id": "2"}}
    with pytest.raises(EnireconcileError, match=r"web-1 and elastic_ips\.web_1 are both ELASTIC_IPS_WEB_1_ID"):
        list(variables([Inventory("two-enis", "123456789012", "us-east-1", twice, {})]))
