"""Specs at random, on the strict EC2: applied, kept, changed into one another, whatever they say.

The seeds are fixed, so that a run in CI is always the same run; PROOFS_EXAMPLES asks for more of them.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from enireconcile.model import (
    Action,
    canonical,
)
from enireconcile.outputs.json import (
    plan_json,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.spec import SECTIONS
from enireconcile.spec.rows import ADDITIVE, ADDRESS_KEYS
from tests.ec2 import Quotas, Settings
from tests.ec2.records import Interface, Resource
from tests.harness import Harness, open_harness
from tests.two_enis import DRIFTS, Account, assert_is_the_story

from .accounting import assert_exact
from .random_launches import launches, maybe, prepared

pytestmark = pytest.mark.timeout(300)

EXAMPLES = int(os.environ.get("PROOFS_EXAMPLES", "12"))
WORLD = Settings(
    attach_delay=0.5, detach_delay=0.5, pending_delay=0.5, stop_delay=0.5, visibility_delay=0.5,
    ptr_delay=0.5, ptr_linger_delay=0.5,
    quotas=Quotas(addresses=20),
)  # fmt: skip
GROUPS: dict[str, dict[str, Any]] = {
    "red": {},
    "green": {"group_name": "the green"},
    "blue": {"description": "Blue"},
}
"""What EC2 cannot change of a group is the same in all specs."""
POOL, OLD_ADDRESS = "ipv4pool-ec2-0123456789abcdef0", "203.0.113.9"
ADDRESSES: dict[str, dict[str, Any]] = {"ip-1": {"address": OLD_ADDRESS}, "ip-2": {"public_ipv4_pool": POOL}}
"""Likewise of Elastic IPs."""
NAMED = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}
IMAGES = (
    NAMED,
    {"name": "al2023-ami-2023.*-kernel-6.1-*", "owner": "amazon", "architecture": "x86_64"},
    {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"},
)
TIMEOUTS = st.fixed_dictionaries(
    {"udp_timeout": st.sampled_from([30, 60])},
    optional={"tcp_established_timeout": st.just(350), "udp_stream_timeout": st.just(90)},
)
IGNORABLE = {
    "security_groups": ["ingress", "egress", "description", "tags"],
    "instances": ["state", "instance_type", "user_data", "image", "tags"],
    "network_interfaces": [
        *("attachment", "connection_tracking", "description", "interface_type", "private_ip"),
        *(
            "routes",
            "security_groups",
            "source_dest_check",
            "tags",
            *(key for pair in ADDRESS_KEYS for key in pair),
        ),
    ],
    "elastic_ips": ["association", "network_border_group", "reverse_dns", "tags"],
}
SELECTOR: st.SearchStrategy[Any] = st.builds(dict, group_name=st.just("default"))
"""A selector of the default group of the VPC, which is not of the stack; each is a mapping of its own."""
PEERS: st.SearchStrategy[Any] = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "self"]) | SELECTOR

rules: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {"protocol": st.sampled_from(["tcp", "udp"]), "ports": st.sampled_from([22, 80, "8000-8010"])},
        optional={"description": st.sampled_from(["a", "b b"])},
    ),
    st.sampled_from(
        [
            {"protocol": "all"},
            {"protocol": "icmp"},
            {"protocol": "icmp", "ports": 8},
            {"protocol": "icmp", "ports": "3/4"},
            {"protocol": "icmpv6", "ports": 128},
            {"protocol": 50},
            {"protocol": "gre"},
        ]
    ),
)


@st.composite
def rule_lists(draw: st.DrawFn, end: str) -> list[dict[str, Any]]:
    """Rules that differ in more than their descriptions."""
    drawn: dict[str, dict[str, Any]] = {}
    for rule in draw(st.lists(rules, max_size=3)):
        key = f"{rule['protocol']} {rule.get('ports')}"
        drawn[key] = {**rule, end: draw(st.lists(PEERS, min_size=1, max_size=2, unique_by=str))}
    if draw(st.booleans()):
        other = draw(st.sampled_from(sorted(GROUPS)))
        drawn["peer"] = {"protocol": "tcp", "ports": 4000, end: [other]}
    return list(drawn.values())


def _dealt(draw: st.DrawFn, values: list[str], names: list[str]) -> dict[str, list[str]]:
    """Values to names, at most one each: from one spec to the next they change hands."""
    return {
        name: draw(st.sampled_from([[], [value], [value]]))
        for name, value in zip(names, draw(st.permutations(values)), strict=False)
    }


@st.composite
def pools(draw: st.DrawFn, names: list[str]) -> dict[str, dict[str, Any]]:
    """Further addresses and prefixes by interface: listed, counted, or left out.

    IPv4 prefixes are counted only, since addresses of EC2's choice may be inside of one that is listed.
    """
    lists = {
        "secondary_private_ips": _dealt(draw, [f"172.31.1.{10 + number}" for number in range(5)], names),
        "ipv6_addresses": _dealt(draw, [f"2001:db8::{number:x}" for number in range(10, 15)], names),
        "ipv4_prefixes": {},
        "ipv6_prefixes": _dealt(draw, [f"2001:db8:0:0:{number}::/80" for number in range(10, 15)], names),
    }
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    for many, count in ADDRESS_KEYS:
        for name, row in rows.items():
            how = draw(st.sampled_from(["left out", "listed", "counted"]))
            if how == "listed" and name in lists[many]:
                row[many] = lists[many][name]
            elif how == "counted":
                row[count] = draw(st.integers(0, 2))
    return rows


floating: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "instances": st.permutations(["one", "two"]),
        "device_index": st.just(2),
        "failover": st.fixed_dictionaries(
            {"health": st.sampled_from(["status_checks", "running", "none"])},
            optional={"preempt": st.booleans(), "force_detach_after": st.just("30s")},
        ),
    }
)


@st.composite
def specs(draw: st.DrawFn) -> str:
    """A spec that the strict EC2 of the first day can hold: at most two instances, five interfaces."""
    groups = {
        name: {
            **fixed,
            "ingress": draw(rule_lists("sources")),
            **draw(maybe("egress", rule_lists("destinations"))),
            **draw(maybe("vpc", st.sampled_from(["default"]) | st.builds(dict, cidr=st.just("172.31.0.0/16")))),
            **draw(maybe("tags", st.just({"Team": "a"}))),
        }
        for name, fixed in GROUPS.items()
    }
    instances: dict[str, Any] = {}
    interfaces: dict[str, Any] = {}
    for name in draw(st.sampled_from([(), ("one",), ("one", "two")])):
        replaced = name == "one"
        instances[name] = {
            "image": dict(draw(st.sampled_from(IMAGES))),
            "user_data": draw(st.sampled_from(["#!/bin/sh\n", "#!/bin/sh\nexit\n"])),
            **draw(launches(replaced=replaced)),
        }
        interfaces[f"{name}-0"] = {"attachment": {"instance": name, "device_index": 0}}
    if draw(st.booleans()):
        interfaces["guest"] = {"attachment": {"instance": "theirs", "device_index": 1, "network_card_index": 0}}
    slots = draw(st.permutations([(name, index) for name in instances for index in (1, 2)]))
    if len(instances) == 2 and draw(st.booleans()):
        # It may come to index 2 of either.
        interfaces["float"] = {"attachment": draw(floating)}
        slots = [(name, index) for name, index in slots if index != 2]
    for number in range(draw(st.integers(0 if interfaces else 1, 3 - ("guest" in interfaces)))):
        free: dict[str, Any] = {}
        if number < len(slots) and draw(st.booleans()):
            instance, index = slots[number]
            flag = draw(st.booleans())
            free = {"attachment": {"instance": instance, "device_index": index, "delete_on_termination": flag}}
        interfaces[f"free-{number}"] = free
    further = draw(pools(list(interfaces)))
    led = _dealt(draw, ["10.50.0.0/16", "10.51.0.0/16", "2001:db8:50::/48"], list(interfaces))
    for number, (name, row) in enumerate(interfaces.items()):
        subnet = draw(st.sampled_from([{"default_for_az": "us-east-1a"}, {"cidr": "172.31.0.0/20"}]))
        row |= {"subnet": dict(subnet), **further[name]}
        if instances.get(name[:-2], {}).get("on_change") != "restart":
            # Another primary address of a primary interface takes another instance.
            primary = st.sampled_from([f"172.31.1.{20 + number}", f"172.31.1.{30 + number}"])
            row |= draw(maybe("private_ip", primary))
        if name.endswith("-0") and not name.startswith("free"):
            row |= draw(maybe("associate_public_ip_address", st.booleans()))
        if name.startswith("free"):
            row |= draw(maybe("interface_type", st.just("trunk")))
        row |= draw(maybe("connection_tracking", TIMEOUTS))
        if led.get(name):
            row["routes"] = [{"route_table": {"main_of": "default"}, "destination": each} for each in led[name]]
        if row.get("ipv6_address_count"):
            row |= draw(maybe("primary_ipv6", st.just(True)))
        row |= draw(maybe("description", st.sampled_from(["x", "y z"])))
        row |= draw(maybe("source_dest_check", st.booleans()))
        row |= draw(
            maybe(
                "security_groups", st.lists(st.sampled_from(sorted(GROUPS)) | SELECTOR, min_size=1, unique_by=str)
            )
        )
        row |= draw(maybe("tags", st.just({"Team": draw(st.sampled_from(["a", "b"]))})))
    places: list[dict[str, Any]] = [_leading_to(name) for name in sorted(interfaces)]
    places += [
        {"network_interface": name, "private_ip": private_ip}
        for name, row in sorted(interfaces.items())
        for private_ip in row.get("secondary_private_ips", ())
    ]
    places += [
        {"network_interface": name, "secondary": True}
        for name, row in sorted(interfaces.items())
        for _ in range(row.get("secondary_private_ip_count", 0))
    ]
    targets = draw(st.permutations(places))
    addresses = {
        f"ip-{number}": draw(st.sampled_from([{}, {"association": target}]))
        | ADDRESSES.get(f"ip-{number}", {})
        | draw(maybe("tags", st.just({"Team": "a"})))
        | draw(maybe("reverse_dns", st.sampled_from(["", "a.example.com", "b.example.com."])))
        | draw(maybe("network_border_group", st.just("us-east-1")))
        for number, target in enumerate(targets[: draw(st.integers(0, 4))])
    }
    sections = {"security_groups": groups, "instances": instances}
    sections |= {"network_interfaces": interfaces, "elastic_ips": addresses}
    for section, of_section in sections.items():
        for name, row in of_section.items():
            ignored = draw(st.lists(st.sampled_from(IGNORABLE[section]), max_size=2, unique=True))
            lists = [key for key in IGNORABLE[section] if key in ADDITIVE and key not in ignored]
            additive = [key for key in lists if draw(st.booleans())]
            lifecycle: dict[str, Any] = {"ignore": ignored, "additive": additive}
            if section == "elastic_ips":
                # No change takes another Elastic IP, so it forbids nothing but leaving the file with it.
                lifecycle |= draw(maybe("prevent_destroy", st.booleans()))
            former = draw(maybe("renamed_from", st.just(f"former-{name}")))
            of_section[name] = {**row, **former, **draw(maybe("lifecycle", st.just(lifecycle)))}
    if "guest" in interfaces:
        instances["theirs"] = {"external": {"tags": {"Name": "theirs"}}}
    for address in addresses.values():
        if address.get("association", {}).get("secondary"):
            # With an ignored number there may be none for it, which is a mistake.
            lifecycle = interfaces[address["association"]["network_interface"]].get("lifecycle", {})
            lifecycle.get("ignore", []).clear()
    head = {"version": 1, "stack": "random", "region": "us-east-1", "tags": {"Project": "x"}}
    head |= draw(maybe("account_id", st.just("123456789012")))
    return yaml.safe_dump({**head, **sections}, sort_keys=False)


def _leading_to(interface: str) -> dict[str, str]:
    """The primary interface of an instance goes by the name of that."""
    instance, _, index = interface.rpartition("-")
    return {"instance": instance} if index == "0" and instance != "free" else {"network_interface": interface}


profile = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@contextmanager
def _dual_stack() -> Iterator[Harness]:
    """An account whose default VPC has both families of addresses, with an instance of others in it."""
    with tempfile.TemporaryDirectory() as place, open_harness(Path(place), WORLD) as harness:
        prepared(harness.strict.world)
        data = harness.strict.world.data
        data.pools[POOL] = ["198.51.100.7"]
        data.released.append(OLD_ADDRESS)
        for vpc in data.vpcs.values():
            vpc.ipv6_cidr = "2001:db8::/56"
        for number, subnet in enumerate(data.subnets.values()):
            subnet.ipv6_cidr = f"2001:db8:0:{number}::/64"
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "theirs"}]}]
        harness.client().run_instances(
            ImageId=next(iter(data.images)),
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            Placement={"AvailabilityZone": "us-east-1a"},
            TagSpecifications=tags,
        )
        harness.loop.now += 60
        harness.strict.world.settle()
        harness.strict.clear()
        yield harness


def _strangers(harness: Harness) -> set[str]:
    """What carries no tag of a stack."""
    data = harness.strict.world.data
    kinds: list[Mapping[str, Resource]] = [data.instances, data.interfaces, data.addresses]
    return {record.id for records in kinds for record in records.values() if STACK_TAG not in record.tags}


def _left(harness: Harness) -> set[str]:
    """What is there besides groups, ended instances aside."""
    data = harness.strict.world.data
    ended = {each.id for each in data.instances.values() if each.state == "terminated"}
    return {*data.instances, *data.interfaces, *data.addresses} - ended


def _settled(harness: Harness, text: str) -> None:
    """Nothing differs, a further apply makes no mutating call, and planning twice gives one plan to the letter."""
    assert harness.plan(text).empty
    harness.strict.clear()
    assert harness.apply(text).outcome == "unchanged"
    assert harness.strict.mutating() == []
    once, again = (canonical(plan_json(harness.plan(text, prune=True), {})) for _ in range(2))
    assert once == again


@profile
@given(specs())
def test_any_spec_converges_and_stays(text: str) -> None:
    """From an empty account: one apply, then nothing more to do; destroyed, nothing is left.

    All of it under the policy that iam-policy prints for the spec.
    """
    with _dual_stack() as harness:
        harness.obey(text)
        strangers = _strangers(harness)
        report = harness.apply(text)
        assert (report.outcome, report.error) == ("converged", None)
        assert_exact(harness.strict.world, harness.spec(text), strangers)
        _settled(harness, text)
        gone = harness.apply("version: 1\nstack: random\nregion: us-east-1\n", prune=True)
        assert (gone.outcome, gone.error) == ("converged", None)
        assert _left(harness) == strangers


def _kept_primaries(before: str, after: str) -> set[str]:
    """Primary addresses that a row no longer writes, and so keeps, and that another row wants: a mistake."""
    old, new = (yaml.safe_load(text)["network_interfaces"] for text in (before, after))
    kept = {row.get("private_ip") for name, row in old.items() if name in new and "private_ip" not in new[name]}
    return (kept - {None}) & {row.get("private_ip") for row in new.values()}


def _without_primary_ipv6(text: str) -> str:
    """EC2 never unassigns a primary IPv6 address, so another spec may only add one."""
    document = yaml.safe_load(text)
    for row in document["network_interfaces"].values():
        row.pop("primary_ipv6", None)
    return yaml.safe_dump(document, sort_keys=False)


@profile
@given(specs(), specs())
def test_any_spec_becomes_any_other(before: str, after: str) -> None:
    """One spec is edited into another one of the same stack: what has to go goes, the rest is corrected."""
    assume(not _kept_primaries(before, after))
    before = _without_primary_ipv6(before)
    with _dual_stack() as harness:
        assert harness.apply(before).outcome == "converged"
        harness.loop.now += 60
        report = harness.apply(after, prune=True)
        assert report.error is None
        assert [outcome.error for outcome in report.outcomes if outcome.error is not None] == []
        assert report.outcome in ("converged", "unchanged")
        _settled(harness, after)


@profile
@given(specs(), st.randoms(use_true_random=False))
def test_any_account_is_adopted(text: str, luck: random.Random) -> None:
    """What one spec has made loses its tags; with their ids in the rows, all is adopted again, as it is.

    A row may say anything of what is so, or nothing.
    """
    with _dual_stack() as harness:
        strangers = _strangers(harness)
        assert harness.apply(text).outcome == "converged"
        ids = _orphaned(harness)
        harness.loop.now += 60
        document = yaml.safe_load(text)
        for section in SECTIONS:
            for name, row in document[section].items():
                if "external" in row:
                    continue
                row.get("lifecycle", {}).pop("prevent_destroy", None)
                said = {key: value for key, value in row.items() if key == "lifecycle" or luck.random() < 0.5}
                if said.get("association", {}).get("secondary"):
                    # The interface may leave out how many it has.
                    del said["association"]
                document[section][name] = {**said, "adopt": ids[f"{section}.{name}"]}
        adopting = yaml.safe_dump(document, sort_keys=False)
        plan = harness.plan(adopting)
        assert {change.action for change in plan.changes} == {Action.ADOPT}
        assert {step.call for step in plan.steps} == {"CreateTags"}
        assert len(plan.steps) == len(ids)
        assert harness.apply(adopting).outcome == "converged"
        _settled(harness, adopting)
        assert harness.plan(text).empty
        assert harness.apply(adopting, destroy=True).outcome == "converged"
        assert _left(harness) == strangers


def _orphaned(harness: Harness) -> dict[str, str]:
    """The ids of the stack's resources, by address; from now on nothing says that they are its own."""
    data, owner = harness.strict.world.data, {"Key": STACK_TAG}
    sections = (data.groups, data.instances, data.interfaces, data.addresses)
    found = [record for records in sections for record in records.values() if STACK_TAG in record.tags]
    ids = {record.tags[NAME_TAG]: record.id for record in found}
    harness.client().delete_tags(Resources=sorted(ids.values()), Tags=[owner, {"Key": NAME_TAG}])
    return ids


@profile
@given(st.lists(st.sampled_from(sorted(DRIFTS)), min_size=2, max_size=5, unique=True))
def test_any_mixture_of_drifts_is_corrected(names: list[str]) -> None:
    """Several hands at the console, one after another; what EC2 refuses them is left out."""
    with tempfile.TemporaryDirectory() as place, open_harness(Path(place), WORLD) as harness:
        harness.apply()
        harness.loop.now += 60
        for name in names:
            try:
                DRIFTS[name][0](Account(harness))
            except (ClientError, AssertionError, KeyError):
                continue  # an earlier deed has taken away what this one needs
            harness.loop.now += 5
        report = harness.apply()
        assert report.error is None
        assert report.outcome in ("converged", "unchanged")
        assert_is_the_story(harness)
        assert harness.plan().empty


# ---- other people's hands on whatever there is


R = TypeVar("R", bound=Resource)


def _pick(records: Mapping[str, R], number: int) -> R:
    """One of the stack's own. Raises LookupError if there is none."""
    ours = [record for record in records.values() if STACK_TAG in record.tags]
    if not ours:
        raise LookupError
    return ours[number % len(ours)]


def _interface(harness: Harness, number: int) -> Interface:
    return _pick(harness.strict.world.data.interfaces, number)


def _name_otherwise(harness: Harness, number: int) -> None:
    address = _pick(harness.strict.world.data.addresses, number)
    harness.client().modify_address_attribute(AllocationId=address.id, DomainName="theirs.example.com")


def _take_the_name(harness: Harness, number: int) -> None:
    address = _pick(harness.strict.world.data.addresses, number)
    harness.client().reset_address_attribute(AllocationId=address.id, Attribute="domain-name")


def _flip_the_end(harness: Harness, number: int) -> None:
    """delete_on_termination."""
    eni = _interface(harness, number)
    if eni.attachment is not None:
        flag = not eni.attachment.delete_on_termination
        harness.client().modify_network_interface_attribute(
            NetworkInterfaceId=eni.id,
            Attachment={"AttachmentId": eni.attachment.id, "DeleteOnTermination": flag},
        )


def _flip_the_check(harness: Harness, number: int) -> None:
    eni = _interface(harness, number)
    harness.client().modify_network_interface_attribute(
        NetworkInterfaceId=eni.id, SourceDestCheck={"Value": not eni.source_dest_check}
    )


def _track_otherwise(harness: Harness, number: int) -> None:
    timeouts = {"TcpEstablishedTimeout": 400, "UdpTimeout": 45}
    harness.client().modify_network_interface_attribute(
        NetworkInterfaceId=_interface(harness, number).id, ConnectionTrackingSpecification=timeouts
    )


def _flip_the_tokens(harness: Harness, number: int) -> None:
    instance = _pick(harness.strict.world.data.instances, number)
    tokens = "required" if instance.metadata["HttpTokens"] == "optional" else "optional"
    harness.client().modify_instance_metadata_options(InstanceId=instance.id, HttpTokens=tokens)


def _flip_the_protection(harness: Harness, number: int) -> None:
    instance = _pick(harness.strict.world.data.instances, number)
    protected = {"Value": not instance.no_termination}
    harness.client().modify_instance_attribute(InstanceId=instance.id, DisableApiTermination=protected)


def _add_to_a_pool(harness: Harness, number: int) -> None:
    ec2, eni = harness.client(), _interface(harness, number).id
    if number % 2:
        ec2.assign_ipv6_addresses(
            NetworkInterfaceId=eni, **{("Ipv6AddressCount", "Ipv6PrefixCount")[number % 4 // 2]: 1}
        )
    else:
        count = ("SecondaryPrivateIpAddressCount", "Ipv4PrefixCount")[number % 4 // 2]
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, **{count: 1})


def _empty_the_pools(harness: Harness, number: int) -> None:
    ec2, eni = harness.client(), _interface(harness, number)
    for take, key, held in (
        (ec2.unassign_private_ip_addresses, "PrivateIpAddresses", eni.ips[1:]),
        (ec2.unassign_private_ip_addresses, "Ipv4Prefixes", eni.prefixes4),
        (ec2.unassign_ipv6_addresses, "Ipv6Addresses", eni.ipv6),
        (ec2.unassign_ipv6_addresses, "Ipv6Prefixes", eni.prefixes6),
    ):
        if held:
            take(NetworkInterfaceId=eni.id, **{key: list(held)})


def _move_private_ips(harness: Harness, number: int) -> None:
    """Those beside the primary one, with the Elastic IPs on them, to another interface of ours."""
    giver, taker = _interface(harness, number), _interface(harness, number // 7)
    if giver.ips[1:] and giver is not taker:
        harness.client().assign_private_ip_addresses(
            NetworkInterfaceId=taker.id, PrivateIpAddresses=giver.ips[1:], AllowReassignment=True
        )


def _borrow(harness: Harness, number: int) -> None:
    """An Elastic IP of ours, for an interface of theirs."""
    address = _pick(harness.strict.world.data.addresses, number)
    subnets = harness.strict.world.data.subnets.values()
    (subnet,) = [subnet.id for subnet in subnets if subnet.zone == "us-east-1a" and subnet.default_for_az]
    theirs = harness.client().create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    harness.loop.now += 5
    harness.client().associate_address(AllocationId=address.id, NetworkInterfaceId=theirs)


def _sit_down(harness: Harness, number: int) -> None:
    """An Elastic IP of theirs, on a private address of ours; the one that is there is displaced."""
    eni = _interface(harness, number)
    theirs = harness.client().allocate_address(Domain="vpc")["AllocationId"]
    harness.client().associate_address(
        AllocationId=theirs, NetworkInterfaceId=eni.id, PrivateIpAddress=eni.ips[number % len(eni.ips)]
    )


HANDS: dict[str, Callable[[Harness, int], None]] = {
    hand.__name__.strip("_"): hand
    for hand in (
        *(_name_otherwise, _take_the_name, _flip_the_end, _flip_the_check, _track_otherwise, _flip_the_tokens),
        *(_flip_the_protection, _add_to_a_pool, _empty_the_pools, _move_private_ips, _borrow, _sit_down),
    )
}
SAID: dict[str, dict[str, Any]] = {
    "security_groups": {},
    "instances": {"termination_protection": False},
    "network_interfaces": {"connection_tracking": {"tcp_established_timeout": 350, "udp_timeout": 30}},
    "elastic_ips": {"reverse_dns": ""},
}
"""What a row says where it would leave an attribute alone."""


def _outspoken(text: str) -> str:
    """The spec, but all that hands can change is its business."""
    document = yaml.safe_load(text)
    for section, said in SAID.items():
        for name, row in document[section].items():
            if "external" in row:
                continue
            row.pop("lifecycle", None)
            counts = {count: 0 for many, count in ADDRESS_KEYS if many not in row}
            document[section][name] = {**said, **(counts if section == "network_interfaces" else {}), **row}
    return json.dumps(document)


@profile
@given(specs(), st.lists(st.tuples(st.sampled_from(sorted(HANDS)), st.integers(0, 99)), min_size=1, max_size=6))
def test_any_drift_of_any_spec_is_corrected(text: str, deeds: list[tuple[str, int]]) -> None:
    """Names, flags, options, pools, and Elastic IPs on foreign interfaces: all matches the spec again."""
    with _dual_stack() as harness:
        text = _outspoken(text)
        assert harness.apply(text).outcome == "converged"
        harness.loop.now += 60
        for deed, number in deeds:
            try:
                HANDS[deed](harness, number)
            except (ClientError, LookupError):
                continue  # there is nothing of the kind, or EC2 refuses
            harness.loop.now += 5
        strangers = _strangers(harness)
        report = harness.apply(text)
        assert report.error is None
        assert report.outcome in ("converged", "unchanged")
        assert_exact(harness.strict.world, harness.spec(text), strangers)
        _settled(harness, text)
