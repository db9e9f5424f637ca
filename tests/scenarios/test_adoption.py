"""``adopt``: an existing resource that no stack owns is taken under management, in place."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import (
    Action,
    Impact,
    Plan,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
    USER_DATA_TAG,
)
from tests.ec2 import DropConnection, Fail
from tests.ec2.services import AWS_ACCOUNT, SERVICES
from tests.harness import STORY, Harness
from tests.scenarios.orphans import Ids, bare, orphan, whole
from tests.two_enis import Account, assert_is_the_story

STORY_TEXT = STORY.read_text()
NOTHING = "version: 1\nstack: two-enis\nregion: us-east-1\n"
DESCRIBES = ["DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]


def assert_only_tags(plan: Plan, ids: Ids) -> None:
    """Every resource is adopted by one CreateTags with the two tags of the stack, and nothing else happens."""
    assert plan.summary()["adopt"] == len(ids)
    assert {change.action for change in plan.changes} == {Action.ADOPT}
    assert {field.field for change in plan.changes for field in change.fields} == {"tags"}
    assert {(step.call, step.impact) for step in plan.steps} == {("CreateTags", Impact.SAFE)}
    told = {step.params["Resources"][0]: {tag["Key"] for tag in step.params["Tags"]} for step in plan.steps}
    assert told == {aws_id: {STACK_TAG, NAME_TAG} for aws_id in ids.values()}


@pytest.mark.parametrize("how", ["bare", "whole"])
def test_what_fits_is_adopted_by_its_tags_alone(slow_harness: Harness, how: str) -> None:
    """Seven resources, seven CreateTags; after that they are the stack's own, with or without ``adopt``."""
    ids = orphan(slow_harness)
    spec = bare(ids) if how == "bare" else whole(slow_harness, ids)
    assert_only_tags(slow_harness.plan(spec), ids)
    report = slow_harness.apply(spec)
    assert (report.outcome, report.error) == ("converged", None)
    assert {call.action for call in slow_harness.strict.mutating()} == {"CreateTags"}
    slow_harness.strict.clear()
    assert slow_harness.apply(spec).outcome == "unchanged"
    assert slow_harness.apply().outcome == "unchanged"
    assert slow_harness.strict.mutating() == []
    assert_is_the_story(slow_harness)


def test_what_is_left_out_is_left_as_it_is_found(slow_harness: Harness) -> None:
    """Everything is far from EC2's defaults and stays so, also once it is adopted and when it drifts again."""
    ids = orphan(slow_harness)
    _unusual(slow_harness, ids)
    before = _picture(slow_harness, ids)
    spec = bare(ids)
    assert_only_tags(slow_harness.plan(spec), ids)
    assert slow_harness.apply(spec).outcome == "converged"
    assert _picture(slow_harness, ids) == before
    account = Account(slow_harness)
    account.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=ids["network_interfaces.web-eth1"], SourceDestCheck={"Value": True}
    )
    account.ec2.start_instances(InstanceIds=[ids["instances.web"]])
    slow_harness.loop.now += 60
    assert slow_harness.plan(spec).empty


def _unusual(harness: Harness, ids: Ids) -> None:
    ec2, eth1 = harness.client(), ids["network_interfaces.web-eth1"]
    attachment = ec2.describe_network_interfaces(NetworkInterfaceIds=[eth1])["NetworkInterfaces"][0]["Attachment"]
    for attribute in (
        {"SourceDestCheck": {"Value": False}},
        {"Description": {"Value": "by hand"}},
        {"Groups": [ids["security_groups.my-sg-1"]]},
        {"Attachment": {"AttachmentId": attachment["AttachmentId"], "DeleteOnTermination": True}},
    ):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eth1, **attribute)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=ids["security_groups.my-sg-2"], IpPermissions=[ssh])
    [address] = ec2.describe_addresses(AllocationIds=[ids["elastic_ips.web-2"]])["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    ec2.create_tags(Resources=[ids["instances.web"]], Tags=[{"Key": "Name", "Value": "the old one"}])
    ec2.stop_instances(InstanceIds=[ids["instances.web"]])
    harness.loop.now += 60


def _picture(harness: Harness, ids: Ids) -> object:
    """All that EC2 says of these resources, but for the stack's tags."""
    ec2 = harness.client()
    groups = [aws_id for aws_id in ids.values() if aws_id.startswith("sg-")]
    interfaces = [aws_id for aws_id in ids.values() if aws_id.startswith("eni-")]
    addresses = [aws_id for aws_id in ids.values() if aws_id.startswith("eipalloc-")]
    found = [
        *ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"],
        *ec2.describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"],
        *ec2.describe_addresses(AllocationIds=addresses)["Addresses"],
        ec2.describe_instances(InstanceIds=[ids["instances.web"]])["Reservations"][0]["Instances"][0],
    ]
    for record in found:
        tags = record.pop("TagSet", []) + record.pop("Tags", [])
        record["tags"] = sorted(
            (tag["Key"], tag["Value"]) for tag in tags if tag["Key"] not in (STACK_TAG, NAME_TAG)
        )
        for interface in record.pop("NetworkInterfaces", []):
            record[interface["NetworkInterfaceId"]] = interface["Attachment"]
    return sorted(found, key=repr)


def test_written_keys_are_corrected_in_the_same_plan(slow_harness: Harness) -> None:
    """The whole spec against drift: each resource is tagged first, then corrected; the plan names both."""
    ids = orphan(slow_harness)
    _unusual(slow_harness, ids)
    group = ids["security_groups.my-sg-2"]
    spec = whole(slow_harness, ids).replace(group, f"{group}, ingress: []")
    plan = slow_harness.plan(spec)
    fields = {change.address: {field.field for field in change.fields} for change in plan.changes}
    assert fields == {
        "instances.web": {"tags"},
        "security_groups.my-sg-1": {"tags"},
        "security_groups.my-sg-2": {"tags", "ingress"},
        "network_interfaces.web-eth0": {"tags"},
        "network_interfaces.web-eth1": {"tags", "security_groups"},
        "elastic_ips.web-1": {"tags"},
        "elastic_ips.web-2": {"tags", "association"},
    }
    tagged = {step.address: step.id for step in plan.steps if step.call == "CreateTags"}
    assert all(tagged[step.address] in step.needs for step in plan.steps if step.call != "CreateTags")
    assert slow_harness.apply(spec).outcome == "converged"
    assert slow_harness.plan(spec).empty
    eth1 = Account(slow_harness).interface("web-eth1")
    assert (eth1["SourceDestCheck"], eth1["Description"]) == (False, "by hand")
    assert eth1["Attachment"]["DeleteOnTermination"] is True


def test_adoption_never_replaces(slow_harness: Harness) -> None:
    """What EC2 cannot change in place and rows say otherwise: one error for all of it, and nothing is changed."""
    ids = orphan(slow_harness)
    spec = bare(
        ids, web="instance_type: t3.micro", web_eth1="private_ip: 172.31.0.99", my_sg_1="description: other"
    )
    with pytest.raises(SpecErrors) as raised:
        slow_harness.apply(spec)
    told = re.findall(r"\n[^ ]+: (\w+\.[^.]+)\.\w+: .*: (\w+) is .*, the spec says", str(raised.value))
    assert told == [
        ("security_groups.my-sg-1", "description"),
        ("instances.web", "instance_type"),
        ("network_interfaces.web-eth1", "private_ip"),
    ]
    assert slow_harness.strict.mutating() == []


def test_an_image_that_fits_is_no_difference(slow_harness: Harness) -> None:
    """By its id; a newest one by name is looked for at a launch only, and there is none."""
    ids = orphan(slow_harness)
    image = slow_harness.client().describe_instances(InstanceIds=[ids["instances.web"]])
    ami = image["Reservations"][0]["Instances"][0]["ImageId"]
    for words in (ami, '{name: "al2023-ami-2023*", owner: amazon}'):
        assert_only_tags(slow_harness.plan(bare(ids, web=f"image: {words}")), ids)
    assert "DescribeImages" not in slow_harness.strict.actions()


def _of_other_means(harness: Harness) -> Ids:
    """As ``orphan``, and no tag tells the user data of the launch."""
    ids = orphan(harness)
    harness.client().delete_tags(Resources=[ids["instances.web"]], Tags=[{"Key": USER_DATA_TAG}])
    harness.loop.now += 60
    return ids


def _replacing(spec: str) -> str:
    return spec.replace("    user_data:", "    on_change: replace\n    user_data:")


def test_equal_user_data_of_another_launch_is_no_difference(slow_harness: Harness) -> None:
    """It is read once: the adoption notes its hash, and neither a later plan nor on_change: replace asks again."""
    ids = _of_other_means(slow_harness)
    spec = whole(slow_harness, ids)
    slow_harness.obey(spec)
    plan = slow_harness.plan(spec)
    assert (plan.warnings, plan.summary()["adopt"]) == ((), len(ids))
    assert slow_harness.strict.actions().count("DescribeInstanceAttribute") == 1
    assert slow_harness.apply(spec).outcome == "converged"
    slow_harness.strict.clear()
    for later in (spec, STORY_TEXT, _replacing(STORY_TEXT)):
        plan = slow_harness.plan(later)
        assert (plan.empty, plan.warnings) == (True, ())
    assert "DescribeInstanceAttribute" not in slow_harness.strict.actions()


def test_other_user_data_of_another_launch_is_told(slow_harness: Harness) -> None:
    """A warning while it is adopted, and afterwards a difference between two hashes."""
    ids = _of_other_means(slow_harness)
    shown = slow_harness.client().describe_instance_attribute(
        InstanceId=ids["instances.web"], Attribute="userData"
    )
    launched = hashlib.sha256(base64.b64decode(shown["UserData"]["Value"])).hexdigest()
    spec = bare(ids, web="user_data: other")
    [warning] = slow_harness.plan(spec).warnings
    assert warning.startswith("instances.web: user_data is not what the instance was launched with; ")
    assert slow_harness.apply(spec).outcome == "converged"
    other = _replacing(STORY_TEXT.replace("#!/bin/bash", "#!/bin/sh"))
    [change] = [each for each in slow_harness.plan(other).changes if each.address == "instances.web"]
    [field] = change.fields
    assert (change.action, field.field, field.before) == (Action.REPLACE, "user_data", f"sha256:{launched}")


def test_user_data_that_cannot_be_read_replaces_nothing(slow_harness: Harness) -> None:
    """Not known is not different: the plan says what it did not check."""
    ids = _of_other_means(slow_harness)
    assert slow_harness.apply(bare(ids)).outcome == "converged"
    slow_harness.strict.faults.add(Fail("DescribeInstanceAttribute", code="UnauthorizedOperation", times=9))
    plan = slow_harness.plan(_replacing(STORY_TEXT))
    assert Action.REPLACE not in {change.action for change in plan.changes}
    [warning] = plan.warnings
    assert warning.startswith("not checked: whether instances of other launches have the user_data")


def test_a_resource_alone_is_adopted_among_foreign_ones(slow_harness: Harness) -> None:
    """Only the instance: its interfaces stay another owner's, and one of ours is attached to it."""
    ids = orphan(slow_harness)
    spec = bare({"instances.web": ids["instances.web"]}) + (
        "\nnetwork_interfaces:\n  more:\n    subnet: {default_for_az: us-east-1a}\n"
        "    attachment: {instance: web, device_index: 2}\n"
    )
    slow_harness.client().stop_instances(InstanceIds=[ids["instances.web"]])
    slow_harness.loop.now += 60
    slow_harness.client().modify_instance_attribute(
        InstanceId=ids["instances.web"], InstanceType={"Value": "t3.medium"}
    )
    plan = slow_harness.plan(spec)
    assert [step.call for step in plan.steps] == ["CreateTags", "CreateNetworkInterface", "AttachNetworkInterface"]
    assert {"s1", "s2"} <= plan.steps[2].needs
    assert slow_harness.apply(spec).outcome == "converged"
    assert slow_harness.plan(spec).empty


# ---- who may not be adopted


def refused(harness: Harness, spec: str) -> str:
    """The one problem with the spec; nothing is changed by it."""
    harness.strict.clear()
    with pytest.raises(SpecErrors) as raised:
        harness.apply(spec)
    assert harness.strict.mutating() == []
    (problem,) = raised.value.problems
    return f"{problem.line}:{problem.column} {problem.path}: {problem.message}"


ETH1 = "network_interfaces.web-eth1"


def _tag(harness: Harness, aws_id: str, stack: str, name: str) -> None:
    tags = [{"Key": STACK_TAG, "Value": stack}, {"Key": NAME_TAG, "Value": name}]
    harness.client().create_tags(Resources=[aws_id], Tags=tags)


def test_what_has_an_owner_is_not_adopted(slow_harness: Harness) -> None:
    """Another stack's, or ours under another name."""
    ids = orphan(slow_harness)
    eth1, place = ids[ETH1], f"7:21 {ETH1}.adopt"
    _tag(slow_harness, eth1, "other", ETH1)
    assert refused(slow_harness, bare({ETH1: eth1})) == f"{place}: {eth1} belongs to the stack other"
    _tag(slow_harness, eth1, "two-enis", "network_interfaces.old")
    owned = f"{place}: {eth1} belongs to this stack as network_interfaces.old"
    assert refused(slow_harness, bare({ETH1: eth1})) == owned


def test_a_name_that_is_taken_adopts_no_other(slow_harness: Harness) -> None:
    """The stack has a resource of that name already: both ids are told."""
    ids = orphan(slow_harness)
    _tag(slow_harness, ids["network_interfaces.web-eth0"], "two-enis", ETH1)
    said = refused(slow_harness, bare({ETH1: ids[ETH1]}))
    eth0, eth1 = ids["network_interfaces.web-eth0"], ids[ETH1]
    assert said == f"7:21 {ETH1}.adopt: {ETH1} is {eth0} already, not {eth1}"


def test_what_is_not_there_is_not_adopted(slow_harness: Harness) -> None:
    """All that are missing are told at once; one sentence says that nothing is there."""
    missing = {
        "security_groups.a": "sg-0123456789abcdef0",
        "instances.b": "i-0123456789abcdef0",
        "network_interfaces.c": "eni-0123456789abcdef0",
        "elastic_ips.d": "eipalloc-0123456789abcdef0",
    }
    with pytest.raises(SpecErrors, match="none of the 4 ids that the file adopts exist in us-east-1") as raised:
        slow_harness.plan(bare(missing))
    assert len(raised.value.problems) == 1
    there = orphan(slow_harness)[ETH1]
    with pytest.raises(SpecErrors) as raised:
        slow_harness.plan(bare({**missing, ETH1: there}))
    assert [(problem.path, problem.message) for problem in raised.value.problems] == [
        (f"{address}.adopt", f"no such resource in us-east-1: {aws_id}") for address, aws_id in missing.items()
    ]


def test_an_instance_that_ends_is_not_adopted(slow_harness: Harness) -> None:
    """Terminated ones stay listed for a while."""
    ids = orphan(slow_harness)
    slow_harness.client().terminate_instances(InstanceIds=[ids["instances.web"]])
    slow_harness.loop.now += 60
    said = refused(slow_harness, bare({"instances.web": ids["instances.web"]}))
    assert said.endswith(f"instances.web.adopt: {ids['instances.web']} is terminated")


def test_what_a_service_manages_is_never_touched(slow_harness: Harness) -> None:
    """A load balancer's interface and address, and an instance that an operator runs."""
    ids = orphan(slow_harness)
    world = slow_harness.strict.world
    subnet = Account(slow_harness).ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    world.data.instances[ids["instances.web"]].operator = "eks.amazonaws.com"
    interface, address = world.add_service_interface(subnet), world.add_address(service_managed="nlb")
    for where, aws_id, manager in (
        ("network_interfaces.a", interface, "the Application Load Balancer lb"),
        ("elastic_ips.a", address, "a Network Load Balancer"),
        ("instances.a", ids["instances.web"], "eks.amazonaws.com"),
    ):
        assert refused(slow_harness, bare({where: aws_id})).endswith(f"{aws_id} is managed by {manager}")


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_holds_an_interface_is_told(slow_harness: Harness, service: str) -> None:
    """No message names a number that only AWS knows."""
    subnet = Account(slow_harness).ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    interface = slow_harness.strict.world.add_service_interface(subnet, service)
    said = refused(slow_harness, bare({"network_interfaces.a": interface}))
    told = said.rpartition(f"{interface} is managed by ")[2]
    assert told
    assert AWS_ACCOUNT not in told
    assert told.startswith(("the ", "an ECS task", "an RDS database"))


def test_an_interface_in_a_subnet_that_ec2_does_not_list(slow_harness: Harness) -> None:
    """Another account no longer shares it. The interface stays, and is adopted by its tags and kept."""
    ids = orphan(slow_harness)
    eth1 = ids["network_interfaces.web-eth1"]
    [shown] = slow_harness.client().describe_network_interfaces(NetworkInterfaceIds=[eth1])["NetworkInterfaces"]
    slow_harness.strict.world.unshare_subnet(shown["SubnetId"])
    keys = f"private_ip: {shown['PrivateIpAddress']}, source_dest_check: false"
    for spec in (bare(ids), bare(ids, web_eth1=keys)):
        assert slow_harness.apply(spec).outcome == "converged"
        assert slow_harness.plan(spec).empty
    said = refused(
        slow_harness, bare({"network_interfaces.web-eth1": eth1}, web_eth1=f"subnet: {shown['SubnetId']}")
    )
    assert said.endswith(f"no subnet in us-east-1 matches {shown['SubnetId']}")


def test_a_default_group_has_no_other_problem(slow_harness: Harness) -> None:
    """The row leaves ``vpc`` out, so it matters to it as little as to others that EC2 has no default VPC."""
    world = slow_harness.strict.world
    other = world.add_vpc("10.0.0.0/16")
    world.data.vpcs = {key: vpc for key, vpc in world.data.vpcs.items() if key == other}
    group = world.default_group(other).id
    said = refused(slow_harness, bare({"security_groups.a": group}))
    assert said.endswith(f"security_groups.a.adopt: {group} is the default security group of its VPC")


def test_the_default_group_is_not_adopted(slow_harness: Harness) -> None:
    """EC2 deletes it with its VPC only."""
    [group] = slow_harness.client().describe_security_groups()["SecurityGroups"]
    said = refused(slow_harness, bare({"security_groups.a": group["GroupId"]}))
    assert said.endswith(f"{group['GroupId']} is the default security group of its VPC")


def test_an_address_stands_for_what_its_adopted_interface_has(slow_harness: Harness) -> None:
    """The row does not say which addresses the interface has, so the live one tells."""
    ids = orphan(slow_harness)
    keys = "association: {network_interface: web-eth1, private_ip: 172.31.0.99}"
    said = refused(slow_harness, bare(ids, web_2=keys))
    assert said.endswith(
        f"elastic_ips.web-2.association.private_ip: 172.31.0.99 is not a private IP of {ids[ETH1]}"
    )


# ---- calls


def test_reading_what_is_adopted_takes_one_call_a_section(slow_harness: Harness) -> None:
    """And none any more once it is owned."""
    ids = orphan(slow_harness)
    slow_harness.plan(bare(ids))
    before = [call for call in slow_harness.strict.actions() if call in DESCRIBES]
    assert sorted(before) == sorted(DESCRIBES * 2)
    slow_harness.apply(bare(ids))
    slow_harness.strict.clear()
    slow_harness.plan(bare(ids))
    assert sorted(call for call in slow_harness.strict.actions() if call in DESCRIBES) == DESCRIBES


def test_a_lost_answer_is_no_matter(slow_harness: Harness) -> None:
    """Tagging twice is tagging once."""
    ids = orphan(slow_harness)
    slow_harness.strict.faults.add(DropConnection(action="CreateTags", late=True, times=2))
    assert slow_harness.apply(bare(ids)).outcome == "converged"
    assert slow_harness.plan(bare(ids)).empty


def test_an_adoption_that_stopped_half_way_goes_on(slow_harness: Harness) -> None:
    """Three of seven are tagged when EC2 says no; the next run adopts the rest."""
    ids = orphan(slow_harness)
    slow_harness.strict.faults.add(Fail(action="CreateTags", code="UnauthorizedOperation", nth=4, times=9))
    assert slow_harness.apply(bare(ids)).outcome == "partial"
    slow_harness.strict.faults.clear()
    assert slow_harness.apply(bare(ids)).outcome == "converged"
    assert slow_harness.plan(bare(ids)).empty


# ---- afterwards


def test_what_is_adopted_is_owned(slow_harness: Harness) -> None:
    """A row that goes leaves a leftover; destroy takes all of it away."""
    ids = orphan(slow_harness)
    slow_harness.apply(bare(ids))
    kept = {address: aws_id for address, aws_id in ids.items() if address != "elastic_ips.web-2"}
    assert [left.address for left in slow_harness.plan(bare(kept)).leftovers] == ["elastic_ips.web-2"]
    assert slow_harness.apply(NOTHING, prune=True).outcome == "converged"
    ec2 = slow_harness.client()
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert len(ec2.describe_security_groups()["SecurityGroups"]) == 1


def test_destroy_does_not_touch_what_was_never_adopted(slow_harness: Harness) -> None:
    """A spec names it, but was not applied."""
    orphan(slow_harness)
    assert slow_harness.apply(NOTHING, prune=True).outcome == "unchanged"
    assert len(slow_harness.client().describe_addresses()["Addresses"]) == 2


@pytest.mark.parametrize(
    ("kind", "said", "hint"),
    [
        ("t3.smal", "there is no instance type t3.smal in this region", "did you mean `t3.small`?"),
        (
            "t3.small",
            "{id}: instance_type is t2.micro, the spec says t3.small, and it cannot be changed in place",
            "write on_change: restart (same instance, stopped and started), or remove instance_type from the row: "
            "the resource is adopted, and keeps what it has",
        ),
    ],
)
def test_another_type_is_looked_up_first(slow_harness: Harness, kind: str, said: str, hint: str) -> None:
    """One that does not exist is told at once, not after the way to change to it."""
    instance = orphan(slow_harness)["instances.web"]
    text = bare({"instances.web": instance}).replace(instance, f"{instance}, instance_type: {kind}")
    with pytest.raises(SpecErrors) as raised:
        slow_harness.plan(text)
    [problem] = raised.value.problems
    assert (problem.message, problem.hint) == (said.format(id=instance), hint)
