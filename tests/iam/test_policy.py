"""The policy that iam-policy prints: it is enough for all that its specs need, and for nothing else.

The strict EC2 asks IAM of every call that we make, as EC2 does, and refuses what the policy does not grant.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from enireconcile.iam import policy as iam_policy
from enireconcile.iam.policy import (
    policy_for,
)
from enireconcile.iam.statements import (
    INLINE_LIMIT,
    LIMIT,
    Asked,
    size,
)
from tests.ec2 import Policy, Quotas
from tests.harness import ENVIRONMENT, SLOW, STORY, Harness, image_id, open_harness
from tests.iam.lint import lint, listed
from tests.planning.test_golden import GOLDEN
from tests.planning.worlds import plan_of, spec_of
from tests.processes.test_cli import Run, command, server
from tests.scenarios.firewalls import SPEC as HA
from tests.scenarios.firewalls import Firewalls
from tests.scenarios.test_elastic_ips import Strangers
from tests.scenarios.test_specs import SPECS, prepared
from tests.two_enis import DRIFTS, Account, assert_is_the_story

__all__ = ["command", "server"]

ROOT = Path(__file__).resolve().parents[2]
RICH = ROOT / "tests" / "proofs" / "rich.yaml"
TEXTS = {path.stem: path.read_text() for path in (*SPECS.values(), RICH)}
every_spec = pytest.mark.parametrize("name", TEXTS)


def policy_of(*texts: str, **asked: Any) -> dict[str, Any]:
    return policy_for([spec_of(text).document for text in texts], Asked(**asked))[0]


def allowing(policy: Mapping[str, Any]) -> Iterator[tuple[list[str], list[str]]]:
    """Actions and resources of each statement that allows."""
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            yield listed(statement["Action"]), listed(statement["Resource"])


def actions(policy: Mapping[str, Any]) -> set[str]:
    """What is allowed at all."""
    return {action for names, _ in allowing(policy) for action in names}


# It is enough


def nothing_of(text: str) -> str:
    head = yaml.safe_load(text)
    return f"version: 1\nstack: {head['stack']}\nregion: {head['region']}\n"


@every_spec
def test_create_change_and_destroy_under_the_policy(tmp_path: Path, name: str) -> None:
    """Planned, built, found at rest, destroyed: each spec with its own policy and nothing more."""
    text = TEXTS[name].replace("termination_protection: true", "termination_protection: false")
    with open_harness(tmp_path / "state", replace(SLOW, quotas=Quotas(addresses=20))) as harness:
        if name in SPECS:
            prepared(name, harness)
        harness.obey(text, read_only=True)
        assert not harness.plan(text).empty
        harness.obey(text)
        report = harness.apply(text)
        assert (report.outcome, report.error) == ("converged", None), str(report)
        assert harness.plan(text).empty
        report = harness.apply(nothing_of(text), prune=True)
        assert (report.outcome, report.error) == ("converged", None), str(report)
        assert refused(harness) == set()


def refused(harness: Harness) -> set[str]:
    """Reads that IAM said no to: of some of them a warning is all that comes."""
    answered = ((call.action, call.error_code) for call in harness.strict.calls if not call.mutates)
    return {action for action, code in answered if code == "UnauthorizedOperation"}


def test_every_drift_is_corrected_under_the_policy(slow_harness: Harness) -> None:
    """All that other tools do to the story, one after another."""
    policy = slow_harness.obey(None)
    assert slow_harness.apply().outcome == "converged"
    for name, (deed, _, _) in DRIFTS.items():
        slow_harness.loop.now += 60
        deed(Account(slow_harness))
        report = slow_harness.apply()
        assert (report.outcome, report.error) == ("converged", None), f"{name}: {report}"
        assert_is_the_story(slow_harness)
    assert "ec2:UpdateSecurityGroupRuleDescriptionsIngress" in policy.used


def test_a_failover_under_the_policy(slow_harness: Harness) -> None:
    """The interface leaves one of other people's instances and goes to another: both are named by their tags."""
    walls = Firewalls(slow_harness)
    slow_harness.obey(HA)
    assert slow_harness.apply(HA).outcome == "converged"
    walls.sicken("fw-a")
    assert slow_harness.apply(HA).outcome == "converged"
    assert walls.holder() == "fw-b"


def test_a_failover_between_instances_named_by_id(slow_harness: Harness) -> None:
    walls = Firewalls(slow_harness)
    text = HA
    for name, instance in walls.ids.items():
        text = text.replace(f"{{tags: {{Name: {name}}}}}", instance)
    policy = slow_harness.obey(text)
    for name in ("fw-b", "fw-a"):
        walls.sicken({"fw-a": "fw-b", "fw-b": "fw-a"}[name])
        walls.sicken(name, "ok")
        assert slow_harness.apply(text).outcome == "converged"
        assert walls.holder() == name
    assert all(instance in json.dumps(policy.document) for instance in walls.ids.values())
    on_instances = [each for each in policy.document["Statement"] if ":instance/" in json.dumps(each)]
    assert on_instances
    assert "ResourceTag/Name" not in json.dumps(on_instances)


def rich(**changes: Any) -> str:
    document = yaml.safe_load(RICH.read_text())
    for path, value in changes.items():
        *parents, key = path.split("__")
        row = document
        for parent in parents:
            row = row[parent.replace("_0", "-0") if parent not in row else parent]
        row[key] = value
    return yaml.safe_dump(document, sort_keys=False)


EDITS: dict[str, dict[str, Any]] = {
    "another type, by a restart": {"instances__front__instance_type": "t3.large"},
    "EBS optimization, by a restart": {"instances__front__ebs_optimized": True},
    "another image, by a replacement": {
        "instances__front__image": {"name": "ubuntu/images/hvm-ssd-gp3/*", "owner": "099720109477"},
        "instances__front__on_change": "replace",
    },
    "protected": {"instances__front__termination_protection": True},
    "rules of both directions": {
        "security_groups__front__ingress": [{"protocol": "all", "sources": ["self"], "description": "new"}],
        "security_groups__front__egress": [
            {"protocol": "tcp", "ports": 443, "destinations": ["0.0.0.0/0"], "description": "reworded"}
        ],
    },
    "tags": {"tags": {"Project": "other"}},
    "an attribute that becomes others'": {
        "network_interfaces__reserve__lifecycle": {"ignore": ["description"]},
        "elastic_ips__late": {
            "lifecycle": {"ignore": ["association"]},
            "association": {"network_interface": "reserve"},
        },
    },
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_spec_under_its_policy(slow_harness: Harness, edit: str) -> None:
    """A policy that was made for the edited spec is enough for getting there."""
    before = rich(instances__front__on_change="restart")
    after = rich(**{"instances__front__on_change": "restart", **EDITS[edit]})
    if "late" in after:
        document = yaml.safe_load(after)
        del document["elastic_ips"]["reserve"], document["elastic_ips"]["spare"]
        after = yaml.safe_dump(document, sort_keys=False)
        before = yaml.safe_dump({**yaml.safe_load(before), "elastic_ips": {}}, sort_keys=False)
    assert slow_harness.apply(before).outcome == "converged"
    slow_harness.obey(after)
    report = slow_harness.apply(after)
    assert (report.outcome, report.error) == ("converged", None), str(report)


def test_adoption_under_the_policy(slow_harness: Harness) -> None:
    """What the spec names may become ours, once: by its id, and only while no stack owns it."""
    ec2 = slow_harness.client()
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    other = ec2.allocate_address(Domain="vpc")["AllocationId"]
    slow_harness.loop.now += 5
    text = (
        f"version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: {{one: {{adopt: {address}, tags: {{A: b}}}}}}\n"
    )
    slow_harness.obey(text)
    assert slow_harness.apply(text).outcome == "converged"
    assert slow_harness.plan(text).empty
    ours = hands(slow_harness)
    for tags in ([{"Key": "enireconcile:stack", "Value": "lab"}], [{"Key": "enireconcile:name", "Value": "x"}]):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            ours.create_tags(Resources=[other], Tags=tags)


def test_renaming_under_the_policy(slow_harness: Harness) -> None:
    """A resource of the stack that has the former name of a row can get that row's name, and nothing else can."""
    head = "version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: "
    slow_harness.apply(f"{head}{{old: {{}}, kept: {{}}}}")
    found = slow_harness.client().describe_addresses()["Addresses"]
    names = {tag["Value"]: each["AllocationId"] for each in found for tag in each["Tags"] if tag["Key"] == "Name"}
    text = f"{head}{{new: {{renamed_from: old}}, kept: {{}}}}"
    slow_harness.obey(text)
    ours = hands(slow_harness)
    for address, key, value in (
        (names["old"], "enireconcile:name", "elastic_ips.other"),
        (names["kept"], "enireconcile:name", "elastic_ips.new"),
        (names["old"], "enireconcile:stack", "other"),
    ):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            ours.create_tags(Resources=[address], Tags=[{"Key": key, "Value": value}])
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ours.delete_tags(Resources=[names["old"]], Tags=[{"Key": "enireconcile:name"}])
    assert slow_harness.apply(text).outcome == "converged"
    assert slow_harness.plan(text).empty


ADOPTED_ATTEMPTS: dict[str, Callable[[Any, str], object]] = {
    "another name": lambda ec2, address: ec2.create_tags(
        Resources=[address], Tags=[*tags_of("lab"), {"Key": "enireconcile:name", "Value": "elastic_ips.other"}]
    ),
    "the name alone": lambda ec2, address: ec2.create_tags(
        Resources=[address], Tags=[{"Key": "enireconcile:name", "Value": "elastic_ips.one"}]
    ),
    "another spelling": lambda ec2, address: ec2.create_tags(
        Resources=[address], Tags=[{"Key": "Enireconcile:Stack", "Value": "lab"}]
    ),
    "another stack": lambda ec2, address: ec2.create_tags(Resources=[address], Tags=tags_of("other")),
    "no stack": lambda ec2, address: ec2.delete_tags(Resources=[address], Tags=[{"Key": "enireconcile:stack"}]),
    "no tags": lambda ec2, address: ec2.delete_tags(Resources=[address]),
}


@pytest.mark.parametrize("attempt", ADOPTED_ATTEMPTS)
def test_what_is_adopted_keeps_its_name(slow_harness: Harness, attempt: str) -> None:
    """The policy spares adopted resources from the denial of changes to ownership tags, for the adoption only."""
    address = slow_harness.client().allocate_address(Domain="vpc")["AllocationId"]
    slow_harness.loop.now += 5
    row = f"{{one: {{adopt: {address}, lifecycle: {{ignore: [reverse_dns]}}}}}}"
    text = f"version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: {row}\n"
    slow_harness.obey(text)
    assert slow_harness.apply(text).outcome == "converged"
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ADOPTED_ATTEMPTS[attempt](hands(slow_harness), address)
    assert slow_harness.plan(text).empty


def test_what_leaves_the_spec_is_deleted_with_prune(slow_harness: Harness) -> None:
    """A policy for a spec of one section does not remove another's leftovers; with --prune it does."""
    text = "version: 1\nstack: lab\nregion: us-east-1\nsecurity_groups: {one: {}}\n"
    emptied = "version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: {one: {}}\n"
    assert slow_harness.apply(text).outcome == "converged"
    slow_harness.obey(emptied)
    report = slow_harness.apply(emptied, prune=True)
    assert report.outcome == "partial"
    assert any("ec2:DeleteSecurityGroup" in (outcome.error or "") for outcome in report.outcomes)
    slow_harness.obey(emptied, prune=True)
    assert slow_harness.apply(emptied, prune=True).outcome == "converged"


def test_addresses_on_foreign_interfaces_under_the_policy(slow_harness: Harness) -> None:
    """To interfaces that the spec names, and to the primary ones of instances, whose ids are known only later."""
    foreign_interfaces = Strangers(slow_harness)
    text = foreign_interfaces.leading
    slow_harness.obey(text)
    assert slow_harness.apply(text).outcome == "converged"
    assert slow_harness.apply(nothing_of(text), prune=True).outcome == "converged"
    assert refused(slow_harness) == set()
    slow_harness.obey(text, also=(f"{PLACE}:network-interface/{foreign_interfaces.primary}",))
    assert slow_harness.apply(text).outcome == "converged"
    own = json.dumps(policy_of(text.replace("external", "adopt")))
    assert f'"{PLACE.replace("123456789012", "*")}:network-interface/*"' in own


POOLS = """
version: 1
stack: pools
region: us-east-1
network_interfaces:
  one:
    subnet: {tags: {Name: lab}}
    private_ip: 10.0.0.10
    secondary_private_ips: [10.0.0.11]
    ipv6_addresses: ["2001:db8::a"]
    ipv4_prefixes: [10.0.0.32/28]
  two: {subnet: {tags: {Name: lab}}, private_ip: 10.0.0.12, ipv6_prefix_count: 1}
"""


def test_pools_under_the_policy(slow_harness: Harness) -> None:
    """Addresses and prefixes of both families come, go and change hands."""
    world = slow_harness.strict.world
    vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", tags={"Name": "lab"})
    world.add_subnet(vpc, "10.0.0.0/24", ipv6_cidr="2001:db8::/64", tags={"Name": "lab"})
    rows = yaml.safe_load(POOLS)
    one, two = rows["network_interfaces"].values()
    for key in ("ipv6_addresses", "ipv4_prefixes"):
        one[key], two[key] = [], one[key]
    one["secondary_private_ips"], two["ipv6_prefix_count"] = [], 0
    for text in (POOLS, json.dumps(rows)):
        slow_harness.obey(text)
        assert slow_harness.apply(text).outcome == "converged"
    assert refused(slow_harness) == set()


@pytest.mark.parametrize("named", [False, True])
def test_a_foreign_resource_in_the_way_has_to_be_named(slow_harness: Harness, named: bool) -> None:
    """Another owner's interface in our slot is not ours to detach, unless its ARN was named."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    eth1 = account.interface("web-eth1")
    account.ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    slow_harness.loop.now += 5
    stranger = account.ec2.create_network_interface(SubnetId=eth1["SubnetId"])["NetworkInterface"]
    slow_harness.loop.now += 5
    account.ec2.attach_network_interface(
        NetworkInterfaceId=stranger["NetworkInterfaceId"],
        InstanceId=account.instance()["InstanceId"],
        DeviceIndex=1,
    )
    slow_harness.loop.now += 5
    arn = f"arn:aws:ec2:us-east-1:123456789012:network-interface/{stranger['NetworkInterfaceId']}"
    slow_harness.obey(None, also=(arn,) if named else ())
    report = slow_harness.apply()
    assert report.outcome == ("converged" if named else "failed"), str(report)


# It is nothing else


def hands(harness: Harness, **more: Any) -> Any:
    """A client with our own credentials."""
    import boto3

    return boto3.client(
        "ec2",
        endpoint_url=harness.strict.url,
        region_name="us-east-1",
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="not-a-secret",
        **more,
    )


class Attempts:
    """What a thief of the credentials could try. Each name is a method without arguments."""

    def __init__(self, harness: Harness) -> None:
        account = Account(harness)
        stranger = account.ec2
        self._ec2 = hands(harness)
        self._ours = account
        subnet = account.interface("web-eth0")["SubnetId"]
        self._subnet = subnet
        self._interface = stranger.create_network_interface(SubnetId=subnet)["NetworkInterface"][
            "NetworkInterfaceId"
        ]
        self._address = stranger.allocate_address(Domain="vpc")["AllocationId"]
        self._group = stranger.create_security_group(GroupName="theirs", Description="theirs")["GroupId"]
        image = image_id(stranger)
        launched = stranger.run_instances(
            ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet
        )
        self._image = image
        self._instance = launched["Instances"][0]["InstanceId"]
        harness.loop.now += 60

    def terminate_a_stranger(self) -> None:
        self._ec2.terminate_instances(InstanceIds=[self._instance])

    def stop_a_stranger_and_one_of_ours(self) -> None:
        self._ec2.stop_instances(InstanceIds=[self._ours.instance()["InstanceId"], self._instance])

    def release_a_strangers_address(self) -> None:
        self._ec2.release_address(AllocationId=self._address)

    def put_a_strangers_address_on_ours(self) -> None:
        ours = self._ours.interface("web-eth0")["NetworkInterfaceId"]
        self._ec2.associate_address(AllocationId=self._address, NetworkInterfaceId=ours)

    def put_our_address_on_a_stranger(self) -> None:
        ours = self._ours.address("web-1")["AllocationId"]
        self._ec2.associate_address(AllocationId=ours, NetworkInterfaceId=self._interface)

    def delete_a_strangers_interface(self) -> None:
        self._ec2.delete_network_interface(NetworkInterfaceId=self._interface)

    def attach_a_strangers_interface_to_ours(self) -> None:
        ours = self._ours.instance()["InstanceId"]
        self._ec2.attach_network_interface(NetworkInterfaceId=self._interface, InstanceId=ours, DeviceIndex=2)

    def give_our_interface_a_strangers_group(self) -> None:
        ours = self._ours.interface("web-eth0")["NetworkInterfaceId"]
        self._ec2.modify_network_interface_attribute(NetworkInterfaceId=ours, Groups=[self._group])

    def make_an_interface_with_a_strangers_group(self) -> None:
        self._ec2.create_network_interface(
            SubnetId=self._subnet, Groups=[self._group], TagSpecifications=tagged("network-interface")
        )

    def open_a_strangers_group(self) -> None:
        rule = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self._ec2.authorize_security_group_ingress(GroupId=self._group, IpPermissions=[rule])

    def make_an_interface_that_is_not_ours(self) -> None:
        ours = self._ours.group("my-sg-1")["GroupId"]
        self._ec2.create_network_interface(SubnetId=self._subnet, Groups=[ours])

    def allocate_for_another_stack(self) -> None:
        self._ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "another"))

    def launch_without_a_stack(self) -> None:
        ours = self._ours.interface("web-eth1")["NetworkInterfaceId"]
        self._ec2.run_instances(
            ImageId=self._image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"NetworkInterfaceId": ours, "DeviceIndex": 0}],
        )

    def launch_with_a_role(self) -> None:
        ours = self._ours.interface("web-eth1")["NetworkInterfaceId"]
        self._ec2.run_instances(
            ImageId=self._image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": "web"},
            NetworkInterfaces=[{"NetworkInterfaceId": ours, "DeviceIndex": 0}],
            TagSpecifications=tagged("instance"),
        )

    def take_a_stranger_over(self) -> None:
        self._ec2.create_tags(Resources=[self._instance], Tags=tags_of("two-enis"))

    def give_ours_away(self) -> None:
        self._ec2.create_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags_of("another"))

    def rename_ours(self) -> None:
        tags = [{"Key": "enireconcile:name", "Value": "instances.other"}]
        self._ec2.create_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def disown(self) -> None:
        tags = [{"Key": "enireconcile:stack"}]
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def disown_whatever_the_tags(self) -> None:
        """Without keys, DeleteTags deletes all tags."""
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]])

    def disown_with_an_empty_list(self) -> None:
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=[])

    def disown_together_with_a_tag_that_may_go(self) -> None:
        tags = [{"Key": "enireconcile:new"}, {"Key": "enireconcile:stack"}]
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def delete_a_tag_of_the_spec(self) -> None:
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=[{"Key": "Name"}])

    def forget_the_user_data(self) -> None:
        tags = [{"Key": "enireconcile:user-data"}]
        self._ec2.delete_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def disown_one_of_a_strangers_too(self) -> None:
        ours = self._ours.instance()["InstanceId"]
        self._ec2.delete_tags(Resources=[ours, self._instance], Tags=[{"Key": "enireconcile:new"}])

    def tag_ours_without_tags(self) -> None:
        self._ec2.create_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=[])

    def tag_ours_beyond_the_spec(self) -> None:
        tags = [{"Key": "Name", "Value": "x"}, {"Key": "Owner", "Value": "x"}]
        self._ec2.create_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def rename_ours_in_other_case(self) -> None:
        tags = [{"Key": "Enireconcile:Stack", "Value": "two-enis"}]
        self._ec2.create_tags(Resources=[self._ours.instance()["InstanceId"]], Tags=tags)

    def make_one_of_ours_replace_another(self) -> None:
        ours, other = (self._ours.interface(name)["NetworkInterfaceId"] for name in ("web-eth0", "web-eth1"))
        self._ec2.create_tags(Resources=[ours], Tags=[{"Key": "enireconcile:replaces", "Value": other}])

    def allocate_in_other_case(self) -> None:
        """A resource that the policy would take for ours, and no plan would find."""
        tags = [{"Key": "ENIRECONCILE:Stack", "Value": "two-enis"}]
        self._ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])

    def allocate_for_another_stack_in_two_spellings(self) -> None:
        tags = [*tags_of("another"), {"Key": "ENIRECONCILE:Stack", "Value": "two-enis"}]
        self._ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])

    def allocate_with_tags_beyond_the_spec(self) -> None:
        tags = [*tags_of("two-enis"), {"Key": "Owner", "Value": "x"}]
        self._ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])

    def launch_a_larger_type(self) -> None:
        ours = self._ours.interface("web-eth1")["NetworkInterfaceId"]
        self._ec2.run_instances(
            ImageId=self._image,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"NetworkInterfaceId": ours, "DeviceIndex": 0}],
            TagSpecifications=tagged("instance"),
        )

    def resize_ours(self) -> None:
        self._modify_ours(InstanceType={"Value": "m5.large"})

    def resize_ours_by_the_old_form(self) -> None:
        self._modify_ours(Attribute="instanceType", Value="m5.large")

    def change_our_user_data(self) -> None:
        self._modify_ours(UserData={"Value": b"#!/bin/sh"})

    def let_ours_end_by_itself(self) -> None:
        self._modify_ours(InstanceInitiatedShutdownBehavior={"Value": "terminate"})

    def change_our_groups_by_the_instance(self) -> None:
        self._modify_ours(Groups=[self._group])

    def modify_nothing_of_ours(self) -> None:
        self._modify_ours()

    def allow_imdsv1(self) -> None:
        self._ec2.modify_instance_metadata_options(InstanceId=self._ours_id, HttpTokens="optional")

    def reach_the_metadata_from_afar(self) -> None:
        self._ec2.modify_instance_metadata_options(
            InstanceId=self._ours_id, HttpTokens="required", HttpPutResponseHopLimit=64
        )

    def make_ours_a_router(self) -> None:
        ours = self._ours.interface("web-eth1")["NetworkInterfaceId"]
        self._ec2.modify_network_interface_attribute(NetworkInterfaceId=ours, SourceDestCheck={"Value": False})

    def read_our_user_data(self) -> None:
        self._ec2.describe_instance_attribute(InstanceId=self._ours_id, Attribute="userData")

    def read_a_strangers_user_data(self) -> None:
        self._ec2.describe_instance_attribute(InstanceId=self._instance, Attribute="userData")

    def _modify_ours(self, **attributes: Any) -> None:
        self._ec2.modify_instance_attribute(InstanceId=self._ours_id, **attributes)

    @property
    def _ours_id(self) -> str:
        return str(self._ours.instance()["InstanceId"])

    def tag_a_strangers(self) -> None:
        self._ec2.create_tags(Resources=[self._address], Tags=[{"Key": "Name", "Value": "x"}])

    def do_what_no_plan_does(self) -> None:
        self._ec2.disassociate_address(AssociationId="eipassoc-00000000000000000")


def tags_of(stack: str) -> list[dict[str, str]]:
    return [{"Key": "enireconcile:stack", "Value": stack}]


def tagged(kind: str, stack: str = "two-enis") -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags_of(stack)}]


ATTEMPTS = [name for name in vars(Attempts) if not name.startswith("_")]


def ignoring(text: str) -> str:
    """The story, with an attribute that other tools may change: its policy allows to delete a tag."""
    row = "attachment: {instance: web, device_index: 1}"
    return text.replace(row, f"lifecycle: {{ignore: [description]}}\n    {row}", 1)


@pytest.mark.parametrize("text", [STORY.read_text(), ignoring(STORY.read_text())], ids=["story", "ignoring"])
def test_nothing_else_is_possible(harness: Harness, text: str) -> None:
    """With the policy of the story in hand: everything beyond it is refused, and nothing has changed."""
    assert harness.apply(text).outcome == "converged"
    harness.loop.now += 60
    attempts = Attempts(harness)
    policy = harness.obey(text)
    assert ("ec2:DeleteTags" in actions(policy.document)) is ("ignore" in text)
    harness.strict.clear()
    for name in ATTEMPTS:
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            getattr(attempts, name)()
    assert [call.action for call in harness.strict.mutating() if call.acted] == []
    harness.strict.policies.clear()
    assert harness.plan(text).empty


def test_read_only_means_it(slow_harness: Harness) -> None:
    policy = slow_harness.obey(None, read_only=True)
    report = slow_harness.apply()
    assert report.outcome in ("failed", "partial")
    assert all(call.error_code == "UnauthorizedOperation" for call in slow_harness.strict.mutating())
    allowed = {action.partition(":")[2] for action in actions(policy.document)}
    assert all(action.startswith(("Describe", "Get")) for action in allowed)


@every_spec
def test_nothing_destructive_without_destroy(name: str) -> None:
    """A schedule that shall never end anything has a policy that says so."""
    destructive = {"TerminateInstances", "ReleaseAddress", "DeleteNetworkInterface", "DeleteSecurityGroup"}
    assert not {f"ec2:{call}" for call in destructive} & actions(policy_of(TEXTS[name], destroy=False))


def test_what_a_spec_does_not_use_is_not_granted() -> None:
    """One Elastic IP: no instances, no groups, no interfaces."""
    text = "version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: {one: {}}\n"
    granted = {action.removeprefix("ec2:") for action in actions(policy_of(text))}
    assert {call for call in granted if not call.startswith("Describe")} == {
        "AllocateAddress",
        "CreateTags",
        "DisassociateAddress",
        "ReleaseAddress",
        "ResetAddressAttribute",
    }


def test_checks_add_what_judges_them() -> None:
    """Three reads, and nothing that changes; without checks, a policy has none of them."""
    text = "version: 1\nstack: lab\nregion: us-east-1\nelastic_ips: {one: {}}\n"
    checked = text + "checks: {ssh: {elastic_ip: one, tcp: 22}}\n"
    added = {f"ec2:Describe{what}" for what in ("RouteTables", "NetworkAcls", "InternetGateways")}
    for asked in ({}, {"read_only": True}):
        assert actions(policy_of(checked, **asked)) - actions(policy_of(text, **asked)) == added


NAMED = """
version: 1
stack: lab
region: cn-north-1
account_id: "123456789012"
instances:
  one:
    image: ami-0123456789abcdef0
    instance_type: t3.micro
    key_name: ops
    iam_instance_profile: arn:aws-cn:iam::123456789012:instance-profile/path/web
    root_volume: {encrypted: true, kms_key_id: 1234abcd-12ab-34cd-56ef-1234567890ab}
    volumes:
      - {device_name: /dev/sdf, size_gib: 1, encrypted: true, kms_key_id: alias/disks}
      - {device_name: /dev/sdg, snapshot_id: snap-0123456789abcdef0}
    placement: {host_id: h-0123456789abcdef0}
    capacity_reservation: {capacity_reservation_target: {capacity_reservation_id: cr-0123456789abcdef0}}
  two: {image: {ssm: /own/image:3}, instance_type: t3.micro}
network_interfaces:
  one:
    subnet: subnet-0123456789abcdef0
    security_groups: [sg-0123456789abcdef0]
    attachment: {instance: one, device_index: 0}
  two:
    subnet: subnet-0123456789abcdef0
    security_groups: [own]
    attachment: {instance: two, device_index: 0}
security_groups:
  own: {vpc: vpc-0123456789abcdef0}
"""


def test_named_things_are_named() -> None:
    """Ids, keys, parameters and profiles that the spec names are all that it may use."""
    words = json.dumps(policy_of(NAMED))
    place = "arn:aws-cn:ec2:cn-north-1:123456789012"
    for arn in (
        f"{place}:subnet/subnet-0123456789abcdef0",
        f"{place}:security-group/sg-0123456789abcdef0",
        f"{place}:vpc/vpc-0123456789abcdef0",
        f"{place}:key-pair/ops",
        f"{place}:capacity-reservation/cr-0123456789abcdef0",
        "arn:aws-cn:ec2:cn-north-1::snapshot/snap-0123456789abcdef0",
        "arn:aws-cn:kms:cn-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/own/image",
        "arn:aws-cn:iam::123456789012:role/web",
    ):
        assert f'"{arn}"' in words
    assert f"{place}:subnet/*" not in words
    assert f"{place}:vpc/*" not in words
    assert "ec2.amazonaws.com.cn" in words
    assert '"kms:ViaService": "ec2.cn-north-1.amazonaws.com.cn"' in words
    assert '"kms:ResourceAliases": "alias/disks"' in words


def statements(policy: Mapping[str, Any], action: str, kind: str) -> list[dict[str, Any]]:
    """The statements that allow an action on a type of resource."""
    return [
        each
        for each in policy["Statement"]
        if each["Effect"] == "Allow"
        and action in listed(each["Action"])
        and any(f":{kind}/" in arn for arn in listed(each["Resource"]))
    ]


SELECTORS = """
version: 1
stack: lab
region: us-east-1
security_groups: {own: {vpc: {tags: {Name: lab, Team: "$${team}"}}}}
instances: {one: {image: ami-0123456789abcdef0, instance_type: t3.micro, key_name: "*"}}
network_interfaces:
  one:
    subnet: {tags: {Name: lab}}
    security_groups: [own]
    attachment: {instance: one, device_index: 0}
  two: {subnet: subnet-0123456789abcdef0, security_groups: [own]}
"""


def test_selectors_by_tag_become_conditions() -> None:
    """What the spec selects by tags may be used only if it has them; a tag that EC2 does not check is escaped."""
    policy = policy_of(SELECTORS)
    conditions = {
        kind: [each.get("Condition") for each in statements(policy, action, kind)]
        for action, kind in (
            ("ec2:CreateNetworkInterface", "subnet"),
            ("ec2:RunInstances", "subnet"),
            ("ec2:CreateSecurityGroup", "vpc"),
        )
    }
    assert conditions["subnet"] == [{"StringEquals": {"aws:ResourceTag/Name": "lab"}}, None]
    assert conditions["vpc"] == [
        {"StringEquals": {"aws:ResourceTag/Name": "lab", "aws:ResourceTag/Team": "${$}{team}"}}
    ]
    assert f"{PLACE}:subnet/*".replace("123456789012", "*") in json.dumps(policy)
    assert ":key-pair/${*}" in json.dumps(policy)
    assert lint(policy) == []


def test_any_subnet_if_one_is_not_selected_by_tag_or_id() -> None:
    text = SELECTORS.replace("subnet-0123456789abcdef0", "{default_for_az: us-east-1a}")
    assert [each.get("Condition") for each in statements(policy_of(text), "ec2:RunInstances", "subnet")] == [None]


def test_selected_by_tag_and_nothing_else(slow_harness: Harness) -> None:
    """Under the policy a subnet with the tags can be used, and another one cannot."""
    world = slow_harness.strict.world
    vpc = world.add_vpc("10.0.0.0/16", tags={"Name": "lab"})
    world.add_subnet(vpc, "10.0.0.0/24", tags={"Name": "lab"})
    other = world.add_subnet(vpc, "10.0.1.0/24", tags={"Name": "other"})
    text = (
        "version: 1\nstack: lab\nregion: us-east-1\n"
        "security_groups: {own: {vpc: {tags: {Name: lab}}}}\n"
        "network_interfaces: {one: {subnet: {tags: {Name: lab}}, security_groups: [own]}}\n"
    )
    slow_harness.obey(text)
    assert slow_harness.apply(text).outcome == "converged"
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        hands(slow_harness).create_network_interface(
            SubnetId=str(other), TagSpecifications=tagged("network-interface", "lab")
        )


def groups_of_others(*selectors: str) -> str:
    return (
        "version: 1\nstack: lab\nregion: us-east-1\n"
        "security_groups: {own: {ingress: [{protocol: all, sources: [{tags: {Name: ops}}, "
        "{prefix_list_name: offices}]}]}}\n"
        "network_interfaces:\n  one:\n    subnet: {default_for_az: us-east-1a}\n"
        f"    security_groups: [own, {', '.join(selectors)}]\n"
    )


def test_groups_selected_by_tags_and_no_others(slow_harness: Harness) -> None:
    """Under the policy an interface can be in a group with the tags, and not in another one."""
    world = slow_harness.strict.world
    world.add_prefix_list(name="offices")
    world.add_group("ops", tags={"Name": "ops"})
    other = world.add_group("other", tags={"Name": "other"})
    text = groups_of_others("{tags: {Name: ops}}")
    slow_harness.obey(text)
    assert slow_harness.apply(text).outcome == "converged"
    [interface] = hands(slow_harness).describe_network_interfaces()["NetworkInterfaces"]
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        hands(slow_harness).modify_network_interface_attribute(
            NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[other]
        )


def test_any_group_if_one_is_selected_by_name() -> None:
    """IAM has no condition for the name of a group."""
    action, kind = "ec2:CreateNetworkInterface", "security-group"
    by_tags, by_name = "{tags: {Name: ops}}", "{group_name: ops}"
    [tagged_groups] = [
        each["Condition"]
        for each in statements(policy_of(groups_of_others(by_tags)), action, kind)
        if each["Sid"].startswith("Use")
    ]
    assert tagged_groups == {"StringEquals": {"aws:ResourceTag/Name": "ops"}}
    text = groups_of_others(by_tags, by_name)
    found = [each for each in statements(policy_of(text), action, kind) if each["Sid"].startswith("Use")]
    assert [each.get("Condition") for each in found] == [None]


PROTECTED = """
version: 1
stack: lab
region: us-east-1
instances:
  one:
    adopt: i-0123456789abcdef0
    termination_protection: true
"""


def test_only_attributes_that_plans_change() -> None:
    """Each with the values of the spec, so neither user data nor another type can be set."""
    policy = policy_of(rich(instances__front__on_change="restart", instances__front__ebs_optimized=True))
    found = [each["Condition"] for each in statements(policy, "ec2:ModifyInstanceAttribute", "instance")]
    owned = {"aws:ResourceTag/enireconcile:stack": "rich"}
    assert found == [
        {"StringEquals": {**owned, "ec2:Attribute/DisableApiTermination": "true"}},
        {"StringEquals": {**owned, "ec2:Attribute/EbsOptimized": "true"}},
        {"StringEquals": {**owned, "ec2:Attribute/InstanceType": ["t3.medium", "t3.micro"]}},
    ]
    launching = statements(policy, "ec2:RunInstances", "instance")
    assert ["t3.medium", "t3.micro"] in [
        each["Condition"]["StringEquals"].get("ec2:InstanceType") for each in launching
    ]
    assert lint(policy) == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (TEXTS["two-enis"], {"destroy": False}),
        (TEXTS["two-enis"], {"destroy": False, "read_only": True}),
        ("version: 1\nstack: lab\nelastic_ips: {one: {}}\n", {}),
    ],
)
def test_user_data_is_not_readable_without_need(text: str, asked: dict[str, Any]) -> None:
    """DescribeInstanceAttribute reads user data, too: only termination protection needs it."""
    assert "ec2:DescribeInstanceAttribute" not in actions(policy_of(text, **asked))


def test_user_data_of_instances_without_termination_protection(slow_harness: Harness) -> None:
    """The instance whose protection the spec sets can be read; the other one has user data, and cannot."""
    text = rich()
    assert slow_harness.apply(text).outcome == "converged"
    slow_harness.loop.now += 60
    slow_harness.obey(text)
    found = slow_harness.client().describe_instances()["Reservations"]
    instances = {
        tag["Value"]: each["Instances"][0]["InstanceId"]
        for each in found
        for tag in each["Instances"][0]["Tags"]
        if tag["Key"] == "enireconcile:name"
    }
    ec2 = hands(slow_harness)
    ec2.describe_instance_attribute(InstanceId=instances["instances.standby"], Attribute="disableApiTermination")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.describe_instance_attribute(InstanceId=instances["instances.front"], Attribute="userData")


def test_an_instance_with_user_data_and_protection_of_another_tool(slow_harness: Harness) -> None:
    """Its protection cannot be read without its user data, so EC2 refuses the termination itself."""
    assert slow_harness.apply().outcome == "converged"
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    account.ec2.modify_instance_attribute(
        InstanceId=account.instance()["InstanceId"], DisableApiTermination={"Value": True}
    )
    slow_harness.obey(None)
    report = slow_harness.apply(destroy=True)
    assert report.outcome == "partial"
    [refusal] = [each.error or "" for each in report.outcomes if each.step.call == "TerminateInstances"]
    assert "OperationNotPermitted" in refusal
    assert "termination_protection: false" in refusal
    assert refused(slow_harness) == set()


def test_adoption_of_a_protected_instance_under_the_policy(slow_harness: Harness) -> None:
    """Before the adoption it has no tag of the stack, so its id is named."""
    ec2 = slow_harness.client()
    launched = ec2.run_instances(ImageId=image_id(ec2), InstanceType="t3.micro", MinCount=1, MaxCount=1)
    slow_harness.loop.now += 60
    text = PROTECTED.replace("i-0123456789abcdef0", launched["Instances"][0]["InstanceId"])
    slow_harness.obey(text)
    report = slow_harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None), str(report)
    assert slow_harness.plan(text).empty
    assert refused(slow_harness) == set()


# The table


def strings() -> Iterator[tuple[str, bool]]:
    """Every string of the package, and whether it is only the beginning of one."""
    for path in (ROOT / "enireconcile").rglob("*.py"):
        # cloudtrail.py, and a kind's ``events``, name what others call.
        if path.name in ("policy.py", "faults.py", "pacing.py", "cloudtrail.py"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        events = (node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "events")
        others = {each for event in events for each in ast.walk(event)}
        for node in ast.walk(tree):
            if node in others:
                continue
            if isinstance(node, ast.JoinedStr) and isinstance(first := node.values[0], ast.Constant):
                yield str(first.value), True
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, False


def operations(service: str) -> set[str]:
    return set(Loader().load_service_model(service, "service-2")["operations"])


def test_every_call_of_the_package_is_in_the_table() -> None:
    """An EC2 operation that the code names has a row that says what IAM must allow for it."""
    known = operations("ec2")
    named = {text for text, begun in strings() if not begun and text in known}
    begun = {text for text, begun in strings() if begun and text.startswith(("Authorize", "Revoke", "UpdateSec"))}
    assert len(named) > 20
    assert begun
    table = set(iam_policy.calls())
    # Where a route comes from, and what only `export` reads: policies are for plan and apply.
    assert named - table == {"CreateRouteTable", "EnableVgwRoutePropagation", "DescribeVolumes"}
    for prefix in begun:
        assert {
            call for call in known if call.startswith(prefix) and call[len(prefix) :] in ("Ingress", "Egress")
        } <= table
    others = {text for text, _ in strings()} & (operations("ssm") | operations("sts")) - known
    assert others == {"GetParameter", "GetCallerIdentity", "AssumeRole"}


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_plan_is_granted(name: str) -> None:
    """Whatever a spec's plan does in any of these situations, its policy allows."""
    triple = GOLDEN[name]
    prune = triple.get("prune", False)
    plan = plan_of(triple["spec"], triple["live"], prune=prune, partly=True)
    policy, _ = policy_for([spec_of(triple["spec"]).document], Asked(prune=prune))
    assert {f"ec2:{step.call}" for step in plan.steps} - actions(policy) == set()


# How it looks


@every_spec
def test_it_fits(name: str) -> None:
    """As a managed policy. The spec with all that the format knows fits into a role only."""
    assert size(policy_of(TEXTS[name])) <= (INLINE_LIMIT if TEXTS[name] == RICH.read_text() else LIMIT)


def test_the_linter_finds_nothing() -> None:
    """Every action, ARN and condition key is one that AWS lists, and each fits the others of its statement."""
    account = "123456789012"
    also = (
        f"arn:aws:ec2:us-east-1:{account}:instance/i-0123456789abcdef0",
        f"arn:aws:ec2:us-east-1:{account}:network-interface/eni-0123456789abcdef0",
        f"arn:aws:iam::{account}:role/web",
    )
    policies = [
        policy_of(*TEXTS.values(), bucket="state/prefix", who=True, also=also),
        *(policy_of(text) for text in TEXTS.values()),
        policy_of(RICH.read_text(), read_only=True),
        policy_of(NAMED),
        policy_of(NAMED, read_only=True),
        policy_of("version: 1\nstack: lab\nelastic_ips: {one: {adopt: eipalloc-0123456789abcdef0}}\n"),
    ]
    assert [finding for policy in policies for finding in lint(policy)] == []


def test_several_specs_share_a_policy(harness: Harness) -> None:
    """Each stack's policy is there, and statements that say the same are said once."""
    texts = [
        f"version: 1\nstack: {stack}\nregion: us-east-1\nelastic_ips: {{one: {{}}}}\n" for stack in ("a", "b")
    ]
    policy = harness.obey(*texts)
    for text in texts:
        assert harness.apply(text).outcome == "converged"
    assert len(policy.document["Statement"]) == len(policy_of(texts[0])["Statement"])
    sids = [statement["Sid"] for statement in policy_of(*TEXTS.values())["Statement"]]
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)


def test_the_command(command: Run, tmp_path: Path) -> None:
    """JSON on stdout, notes on stderr, and not one call to AWS: there are no credentials here."""
    ran = command("iam-policy", str(STORY), str(RICH), "--region", "eu-west-1", "--state", "s3://state/pre")
    assert ran.code == 0
    assert ran.json["Version"] == "2012-10-17"
    assert "arn:aws:ec2:eu-west-1:" in ran.stdout
    assert "us-east-1" not in ran.stdout
    assert "arn:aws:s3:::state/pre/*" in ran.stdout
    assert "two-enis: write account_id into the spec" in ran.stderr
    assert "the role of the instance profile web is assumed to have the same name" in ran.stderr
    assert command("iam-policy", "--also", "arn:aws:s3:::bucket", str(STORY)).code == 1
    many = tmp_path / "many.yaml"
    instances = "\n".join(
        f"  i{n}: {{image: ami-{n:08x}, instance_type: t3.micro, key_name: key-{n}}}" for n in range(40)
    )
    interfaces = "\n".join(
        f"  e{n}: {{subnet: subnet-{n:08x}, attachment: {{instance: i{n}, device_index: 0}}}}" for n in range(40)
    )
    many.write_text(
        f"version: 1\nstack: many\nregion: us-east-1\ninstances:\n{instances}\nnetwork_interfaces:\n{interfaces}\n"
    )
    ran = command("iam-policy", str(many))
    assert ran.code == 0
    assert (
        "characters, and IAM allows 6144 in a managed policy: split it into several, or make it an inline policy"
        in ran.stderr
    )


# The evaluator itself


PLACE = "arn:aws:ec2:us-east-1:123456789012"
EVALUATED: list[tuple[Callable[[], dict[str, Any]], dict[str, list[str]], bool]] = [
    (lambda: {"Action": "ec2:*", "Resource": "*"}, {}, True),
    (lambda: {"Action": "EC2:stop*", "Resource": f"{PLACE}:instance/*"}, {}, True),
    (lambda: {"Action": "ec2:StartInstances", "Resource": "*"}, {}, False),
    (lambda: {"Action": "ec2:StopInstances", "Resource": f"{PLACE}:volume/*"}, {}, False),
    (lambda: {"Action": "ec2:StopInstances", "NotResource": f"{PLACE}:instance/i-2"}, {}, True),
    (lambda: {"Action": "ec2:StopInstances", "NotResource": f"{PLACE}:instance/*"}, {}, False),
    (lambda: on({"StringEquals": {"k": "a"}}), {"k": ["a"]}, True),
    (lambda: on({"StringEquals": {"K": ["b", "a"]}}), {"k": ["a"]}, True),
    (lambda: on({"StringEquals": {"k": "a"}}), {"k": ["b"]}, False),
    (lambda: on({"StringEquals": {"k": "a"}}), {}, False),
    (lambda: on({"StringEquals": {"k": "a", "l": "b"}}), {"k": ["a"]}, False),
    (lambda: on({"StringEqualsIfExists": {"k": "a"}}), {}, True),
    (lambda: on({"StringEqualsIfExists": {"k": "a"}}), {"k": ["b"]}, False),
    (lambda: on({"StringNotEquals": {"k": "a"}}), {}, True),
    (lambda: on({"StringNotEquals": {"k": "a"}}), {"k": ["a"]}, False),
    (lambda: on({"StringLike": {"k": "a*"}}), {"k": ["abc"]}, True),
    (lambda: on({"Null": {"k": "true"}}), {}, True),
    (lambda: on({"Null": {"k": "true"}}), {"k": ["a"]}, False),
    (lambda: on({"Null": {"k": "false"}}), {"k": ["a"]}, True),
    (lambda: on({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}), {"k": ["x", "b"]}, True),
    (lambda: on({"ForAnyValue:StringEquals": {"k": ["a"]}}), {}, False),
    (lambda: on({"ForAllValues:StringEquals": {"k": ["a", "b"]}}), {"k": ["b", "x"]}, False),
    (lambda: on({"ForAllValues:StringEquals": {"k": ["a", "b"]}}), {}, True),
    # A key without values counts as absent.
    (lambda: on({"ForAllValues:StringEquals": {"k": ["a"]}}), {"k": []}, True),
    (lambda: on({"ForAnyValue:StringEquals": {"k": ["a"]}}), {"k": []}, False),
    (lambda: on({"Null": {"k": "true"}}), {"k": []}, True),
    (lambda: on({"ForAnyValue:StringNotEquals": {"k": ["a"]}}), {}, False),
    (lambda: on({"ForAnyValue:StringNotEquals": {"k": ["a"]}}), {"k": ["a", "b"]}, True),
    (lambda: on({"ForAllValues:StringNotEquals": {"k": ["a"]}}), {}, True),
    (lambda: on({"ForAllValues:StringNotEquals": {"k": ["a"]}}), {"k": ["a", "b"]}, False),
    (lambda: on({"ForAllValues:StringEquals": {"k": ["a"]}, "Null": {"k": "false"}}), {}, False),
    # The case of keys does not matter, that of values does.
    (lambda: on({"ForAllValues:StringEquals": {"K": ["a"]}}), {"k": ["A"]}, False),
    (lambda: on({"StringEqualsIgnoreCase": {"k": "true"}}), {"k": ["True"]}, True),
    (lambda: on({"StringNotLike": {"k": "a*"}}), {"k": ["b"]}, True),
    (lambda: on({"StringEquals": {"k": "${$}{k}"}}), {"k": ["${k}"]}, True),
    (lambda: on({"StringLike": {"k": "${*}"}}), {"k": ["a"]}, False),
]


def on(condition: dict[str, Any]) -> dict[str, Any]:
    return {"Action": "ec2:StopInstances", "Resource": "*", "Condition": condition}


@pytest.mark.parametrize(("statement", "context", "allowed"), EVALUATED)
def test_how_a_statement_is_read(
    statement: Callable[[], dict[str, Any]], context: dict[str, list[str]], allowed: bool
) -> None:
    """IAM user guide, "Condition operators" and "Policy evaluation logic"."""
    question = ("ec2:StopInstances", f"{PLACE}:instance/i-1", context)
    allow = {"Effect": "Allow", **statement()}
    deny = {"Effect": "Deny", **statement()}
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    assert Policy({"Version": "2012-10-17", "Statement": [allow]}).allows(*question) is allowed
    assert Policy({"Version": "2012-10-17", "Statement": [anything, deny]}).allows(*question) is not allowed
