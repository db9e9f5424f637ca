"""A plan never depends on a key that a row ignores, or that the row of an adopted resource leaves out.

``want`` lacks such a key, so a kind that reads it would end in a KeyError. The proof plans for every section: each
attribute left out in each way, while each attribute changes, in every state of the resource. A plan is made, or an
EnireconcileError is raised; anything else is a bug.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.kinds import KINDS
from enireconcile.model import Secret
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.text import plan_text
from enireconcile.ownership import NEW_TAG, USER_DATA_TAG
from enireconcile.spec import SECTIONS
from tests.planning.limits.situations import KNOWN
from tests.planning.worlds import Words, plan_of

SUBNET: Words = {"tags": {"Name": "dual"}}
CARD: Words = {"subnet": "subnet-dual", "groups": ["sg-dual-default"]}
HOST: Words = {"image": "ami-12345678", "instance_type": "t3.medium"}
PERSISTENT: Words = {"spot_instance_type": "persistent", "instance_interruption_behavior": "hibernate"}
VALUES: Mapping[str, Mapping[str, tuple[Any, Any]]] = {
    "security_groups": {
        "group_name": ("a", "b"),
        "description": ("Managed by enireconcile", "another"),
        "vpc": ("default", {"tags": {"Name": "lab"}}),
        "ingress": ([], [{"protocol": "tcp", "ports": 80, "sources": ["0.0.0.0/0", "peer"]}]),
        "egress": ([], [{"protocol": "all", "destinations": ["10.0.0.0/8"]}]),
        "tags": ({"Team": "a"}, {"Team": "b"}),
    },
    "instances": {
        "image": ("ami-12345678", "ami-22222222"),
        "instance_type": ("t3.micro", "t3.medium"),
        "key_name": ("ops", "dev"),
        "iam_instance_profile": ("web", "db"),
        "user_data": ("echo 1", "echo 2"),
        "state": ("running", "stopped"),
        "termination_protection": (False, True),
        "ebs_optimized": (False, True),
        "stop_protection": (False, True),
        "shutdown_behavior": ("stop", "terminate"),
        "monitoring": (False, True),
        "auto_recovery": (True, False),
        "cpu_credits": ("standard", "unlimited"),
        "placement": ({"group": "a"}, {"group": "b", "tenancy": "dedicated"}),
        "root_volume": ({"size_gib": 20}, {"size_gib": 30}),
        "volumes": ([], [{"device_name": "/dev/sdf", "size_gib": 1}]),
        "volume_tags": ({"Team": "a"}, {"Team": "b"}),
        "cpu_options": ({"core_count": 1, "threads_per_core": 1}, {"core_count": 1, "threads_per_core": 2}),
        "hibernation": (False, True),
        "enclave": (False, True),
        "capacity_reservation": (
            {"capacity_reservation_preference": "open"},
            {"capacity_reservation_preference": "none"},
        ),
        "spot": (PERSISTENT, {**PERSISTENT, "max_price": "0.05"}),
        "guest_network": ("networkd", "ip"),
        "metadata_options": ({"http_tokens": "required"}, {"http_tokens": "optional"}),
        "tags": ({"Team": "a"}, {"Team": "b"}),
    },
    "network_interfaces": {
        "subnet": (SUBNET, {"tags": {"Name": "generous"}}),
        "security_groups": (["peer"], ["sg-22222222"]),
        "private_ip": ("10.3.0.20", "10.3.0.30"),
        "secondary_private_ips": (["10.3.0.21"], ["10.3.0.22"]),
        "secondary_private_ip_count": (1, 2),
        "ipv6_addresses": (["2001:db8::21"], ["2001:db8::22"]),
        "ipv6_address_count": (1, 0),
        "ipv4_prefixes": (["10.3.0.64/28"], ["10.3.0.80/28"]),
        "ipv4_prefix_count": (1, 2),
        "ipv6_prefixes": (["2001:db8:0:0:1::/80"], ["2001:db8:0:0:2::/80"]),
        "ipv6_prefix_count": (1, 2),
        "primary_ipv6": (True, True),
        "associate_public_ip_address": (False, True),
        "source_dest_check": (True, False),
        "description": ("", "another"),
        "interface_type": ("interface", "efa"),
        "connection_tracking": ({"udp_timeout": 30}, {"udp_timeout": 60}),
        "attachment": ({"instance": "host", "device_index": 1}, {"instance": "other", "device_index": 2}),
        "routes": (
            [{"route_table": {"tags": {"Name": "private"}}, "destination": "10.8.0.0/16"}],
            [{"route_table": {"tags": {"Name": "private"}}, "destination": "10.9.0.0/16"}],
        ),
        "tags": ({"Team": "a"}, {"Team": "b"}),
    },
    "elastic_ips": {
        "address": ("192.0.2.1", "192.0.2.2"),
        "public_ipv4_pool": ("amazon", "ipv4pool-ec2-12345678"),
        "network_border_group": ("us-east-1", "us-east-1-wl1-bos-wlz-1"),
        "reverse_dns": ("a.example.com", "b.example.com"),
        "association": ({"network_interface": "eth0"}, {"network_interface": "eth1"}),
        "tags": ({"Team": "a"}, {"Team": "b"}),
    },
}
"""Each attribute with the value that the live resource has, or may have, and another one."""
PREFIX = {"security_groups": "sg", "instances": "i", "network_interfaces": "eni", "elastic_ips": "eipalloc"}
NEEDED = {"instances": ("image", "instance_type"), "network_interfaces": ("subnet",)}
ALTERNATIVES = (
    ("secondary_private_ips", "secondary_private_ip_count"),
    ("ipv6_addresses", "ipv6_address_count"),
    ("ipv4_prefixes", "ipv4_prefix_count"),
    ("ipv6_prefixes", "ipv6_prefix_count"),
    ("address", "public_ipv4_pool"),
)
ONLY_WHERE_IT_IS_ABOUT_THEM = ("primary_ipv6", "associate_public_ip_address")
"""Other values of the row exclude these: the interface is no primary one, and its address may not be kept."""
LIVE: Mapping[str, Words] = {
    "security_groups": {"vpc": "vpc-default"},
    "instances": {
        "key_name": "ops",
        "profile": "arn:aws:iam::123456789012:instance-profile/web",
        "tags": {USER_DATA_TAG: Secret("echo 1").digest},
        "protected": False,
        "stop_protected": False,
        "shutdown_behavior": "stop",
        "cpu_credits": "standard",
        "placement_group": "a",
        "spot_request": "sir-12345678",
    },
    "network_interfaces": {
        "subnet": "subnet-dual",
        "groups": ["sg-peer"],
        "private_ip": "10.3.0.20",
        "secondary": ["10.3.0.21"],
        "ipv6_addresses": ["2001:db8::21"],
        "ipv4_prefixes": ["10.3.0.64/28"],
        "ipv6_prefixes": ["2001:db8:0:0:1::/80"],
        "at": "host 1",
    },
    "elastic_ips": {"reverse_dns": {"name": "a.example.com"}, "at": "eth0"},
}
STATES: Mapping[str, tuple[Words, ...]] = {
    "security_groups": ({},),
    "instances": ({}, {"state": "stopped"}, {"state": "stopping"}),
    "network_interfaces": ({}, {"attachment_status": "detaching"}),
    "elastic_ips": ({}, {"reverse_dns": {"name": "a.example.com", "pending": "c.example.com"}}),
}
ON_CHANGE = ("refuse", "restart", "replace")


@dataclass(frozen=True)
class Case:
    """A row ``a`` of a section in which ``left_out`` is ignored or missing, and ``changed`` has another value."""

    section: str
    left_out: str
    how: str
    changed: str
    row: Words
    live: Words | None

    @property
    def spec(self) -> Words:
        rows = _surroundings(self.section)
        return {**rows, self.section: {**rows.get(self.section, {}), "a": self.row}}

    @property
    def world(self) -> Words:
        rows = _live_surroundings(self.section)
        mine = {} if self.live is None else {"a": self.live}
        return {**rows, self.section: {**rows.get(self.section, {}), **mine}}


def _surroundings(section: str) -> dict[str, Words]:
    """The other resources of the spec: what the row refers to, and what stands in its way."""
    hosts: Words = {"host": HOST, "other": HOST} if section == "network_interfaces" else {}
    primaries: dict[str, Words] = {f"{name}-eth0": {"subnet": SUBNET, **_on(name, 0)} for name in hosts}
    if section == "instances":
        primaries = {"eth0": {"subnet": SUBNET, **_on("a", 0)}, "eth1": {"subnet": SUBNET, **_on("a", 1)}}
    if section == "elastic_ips":
        primaries = {"eth0": {"subnet": SUBNET}, "eth1": {"subnet": SUBNET}}
    groups: dict[str, Words] = {"peer": {}} if section in ("security_groups", "network_interfaces") else {}
    return {"security_groups": groups, "instances": dict(hosts), "network_interfaces": primaries}


def _on(instance: str, index: int) -> Words:
    return {"attachment": {"instance": instance, "device_index": index}}


def _live_surroundings(section: str) -> dict[str, Words]:
    """They exist as the spec says."""
    spec = _surroundings(section)
    cards: dict[str, Words] = {}
    for number, (name, row) in enumerate(spec["network_interfaces"].items()):
        place = row.get("attachment")
        at = {"at": f"{place['instance']} {place['device_index']}"} if place else {}
        cards[name] = {**CARD, "private_ip": f"10.3.0.{10 + number}", **at}
    hosts: Words = {name: {"instance_type": "t3.medium"} for name in spec["instances"]}
    return {
        "security_groups": {name: {} for name in spec["security_groups"]},
        "instances": hosts,
        "network_interfaces": cards,
        "route_tables": {"rtb-private": {"vpc": "vpc-dual", "routes": {"10.8.0.0/16": "eni-12345678"}}},
    }


def _cases(section: str) -> Iterator[Case]:
    values = VALUES[section]
    for left_out in values:
        for changed in values:
            base = {name: was for name, (was, _) in values.items() if not _excluded(name, left_out, changed)}
            base[changed] = values[changed][1]
            yield from _ways(section, left_out, changed, base)


def _excluded(name: str, left_out: str, changed: str) -> bool:
    """A row has either a list or a number of addresses: what the case is about, otherwise the list."""
    if name in ONLY_WHERE_IT_IS_ABOUT_THEM:
        return name not in (left_out, changed)
    for pair in ALTERNATIVES:
        if name in pair:
            about = [each for each in (changed, left_out) if each in pair]
            return name != (about[0] if about else pair[0])
    return False


def _ways(section: str, left_out: str, changed: str, base: Mapping[str, Any]) -> Iterator[Case]:
    for on_change in ON_CHANGE if section == "instances" else ("",):
        row = {**base, **({"on_change": on_change} if on_change else {})}
        ignoring = {**row, "lifecycle": {"ignore": [left_out]}}
        yield Case(section, left_out, "ignored at creation", changed, ignoring, None)
        for state in STATES[section]:
            live = {**LIVE[section], **state}
            yield Case(section, left_out, "ignored", changed, ignoring, live)
            adopted = f"{PREFIX[section]}-12345678"
            part = {name: value for name, value in row.items() if name != left_out} | {"adopt": adopted}
            yield Case(section, left_out, "left out", changed, part, {**live, "id": adopted, "found": True})
            if state:
                continue
            unfinished = {**live, "tags": {**live.get("tags", {}), NEW_TAG: ""}}
            yield Case(section, left_out, "ignored, not set yet", changed, ignoring, unfinished)
            yield Case(section, left_out, "left out, adopted before", changed, part, {**live, "id": adopted})
            bare = {"adopt": adopted, changed: base[changed]} | ({"on_change": on_change} if on_change else {})
            yield Case(section, left_out, "all left out", changed, bare, {**live, "id": adopted})


@pytest.mark.parametrize("section", SECTIONS)
def test_no_plan_needs_a_key_that_is_left_out(section: str) -> None:
    planned: Counter[str] = Counter()
    for case in _cases(section):
        try:
            plan = plan_of(case.spec, case.world, known=KNOWN)
            plan_text(plan)
            plan_json(plan, {})
        except EnireconcileError:
            planned["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"{case}") from error
        planned["changes" if plan.steps else "nothing to do"] += 1
    assert planned["changes"] > planned["refused"], "most of the cases should get as far as a plan"


@pytest.mark.parametrize(
    "row",
    [
        {"adopt": "i-12345678", "instance_type": "t3.medium"},
        {**HOST, "lifecycle": {"ignore": ["state"]}},
    ],
    ids=["adopted", "its state is ignored"],
)
@pytest.mark.parametrize(("state", "calls"), [("running", ["Stop", "Modify", "Start"]), ("stopped", ["Modify"])])
def test_a_resize_leaves_the_state_as_it_is(row: Words, state: str, calls: list[str]) -> None:
    """An instance whose ``state`` the spec leaves open is started again if it ran."""
    cards: Words = {"eth0": {"subnet": SUBNET, **_on("a", 0)}}
    plan = plan_of(
        {"instances": {"a": {**row, "on_change": "restart"}}, "network_interfaces": cards},
        {
            "instances": {"a": {"id": "i-12345678", "state": state}},
            "network_interfaces": {"eth0": {**CARD, "private_ip": "10.3.0.10", "at": "a 0"}},
        },
        known=KNOWN,
    )
    assert [step.call.partition("Instance")[0] for step in plan.steps] == calls


@pytest.mark.parametrize("section", SECTIONS)
def test_every_attribute_is_in_the_proof(section: str) -> None:
    assert set(VALUES[section]) == {
        each.name for kind in KINDS if kind.section == section for each in kind.attributes
    }
