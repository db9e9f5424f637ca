"""What EC2 would refuse half way is refused before the first call, with its place in the spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from tests.ec2 import Fail, Policy, World
from tests.harness import ENVIRONMENT, Harness
from tests.scenarios.firewalls import SPEC as HA
from tests.scenarios.firewalls import Firewalls

Spec = dict[str, Any]
ZONE_A = {"default_for_az": "us-east-1a"}
NAMED = {"name": "al2023-ami-2023.*-kernel-6.1-*", "owner": "amazon"}
MISSING = "ami-0123456789abcdef0"


def spec(section: str = "instances", row: str = "web", **changes: Any) -> Spec:
    """A server with one interface in a group; ``changes`` go to one row."""
    document: Spec = {
        "version": 1,
        "stack": "lab",
        "region": "us-east-1",
        "security_groups": {"web": {}},
        "instances": {"web": {"image": NAMED, "instance_type": "t3.micro", "on_change": "replace"}},
        "network_interfaces": {
            "eth0": {
                "subnet": ZONE_A,
                "security_groups": ["web"],
                "attachment": {"instance": "web", "device_index": 0},
            }
        },
    }
    document[section].setdefault(row, {}).update(changes)
    return document


def sources(*peers: str) -> Spec:
    return spec("security_groups", ingress=[{"protocol": "tcp", "ports": 443, "sources": list(peers)}])


def applied(harness: Harness, document: Spec) -> None:
    report = harness.apply(json.dumps(document))
    assert (report.outcome, report.error) == ("converged", None), str(report)
    harness.loop.now += 60
    harness.strict.clear()


def refused(harness: Harness, document: Spec) -> list[str]:
    """What the plan refuses: path, message and hint of each problem. An apply changes nothing either."""
    with pytest.raises(SpecErrors) as raised:
        harness.plan(json.dumps(document))
    with pytest.raises(SpecErrors):
        harness.apply(json.dumps(document))
    assert harness.strict.mutating() == []
    assert all(problem.line and problem.column for problem in raised.value.problems)
    return [f"{problem.path}: {problem.message}; {problem.hint}" for problem in raised.value.problems]


def states(harness: Harness) -> list[str]:
    found = harness.client().describe_instances()["Reservations"]
    return [instance["State"]["Name"] for each in found for instance in each["Instances"]]


# ---- the successor first


def test_a_replacement_from_an_image_that_does_not_exist(slow_harness: Harness) -> None:
    """The running instance is not terminated for it."""
    applied(slow_harness, spec())
    assert refused(slow_harness, spec(image=MISSING)) == [
        f"instances.web.image: there is no image {MISSING} in us-east-1 that these credentials can use; see `aws "
        "ec2 describe-images`; an image of another account has to be shared with this one"
    ]
    assert states(slow_harness) == ["running"]


Made = Callable[[World], str]


def image(**attributes: Any) -> Made:
    return lambda world: world.add_image("own", "2026-03-01T00:00:00.000Z", **attributes)


UNFIT: dict[str, tuple[Made, str]] = {
    "another architecture": (
        image(architecture="arm64"),
        "is for arm64, and t3.micro supports x86_64; choose an instance type that supports arm64, or an image for "
        "x86_64",
    ),
    "without ENA": (
        image(ena=False),
        "has no support for the Elastic Network Adapter (ENA), and t3.micro requires it; choose an image with ENA "
        "support, or an instance type that does not require it",
    ),
    "instance store": (
        image(root_device="instance-store"),
        "has a root device on instance-store, and t3.micro supports ebs; choose an instance type that supports "
        "instance-store, or an image for ebs",
    ),
    "not ready": (
        image(state="pending"),
        "is pending, and only an available image can be launched; choose another",
    ),
    "disabled": (
        image(state="disabled"),
        "is disabled, and only an available image can be launched; choose another",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_replacement_from_an_image_that_does_not_fit(slow_harness: Harness, name: str) -> None:
    make, words = UNFIT[name]
    applied(slow_harness, spec())
    unfit = make(slow_harness.strict.world)
    [problem] = refused(slow_harness, spec(image=unfit))
    assert problem.startswith(f"instances.web.image: {unfit} {words}")
    assert states(slow_harness) == ["running"]


@pytest.mark.parametrize("change", ["restart", "replace"])
def test_a_type_that_cannot_boot_the_image(slow_harness: Harness, change: str) -> None:
    """Types without Nitro have no UEFI."""
    own = slow_harness.strict.world.add_image("own", "2026-03-01T00:00:00.000Z", boot_mode="uefi")
    applied(slow_harness, spec(image=own, on_change=change))
    [problem] = refused(slow_harness, spec(image=own, on_change=change, instance_type="t2.micro"))
    assert "boots with uefi, and t2.micro supports legacy-bios; choose " in problem
    assert states(slow_harness) == ["running"]


@pytest.mark.parametrize(("kind", "architecture"), [("t3.micro", "x86_64"), ("t4g.micro", "arm64")])
def test_a_name_finds_the_newest_image_that_the_type_takes(
    slow_harness: Harness, kind: str, architecture: str
) -> None:
    """The pattern fits images of both architectures, and the newest of all is for the other one."""
    world = slow_harness.strict.world
    newest, other = (
        world.add_image(f"al2023-ami-2023.11.{day}-kernel-6.1-{each}", f"2026-03-0{day}T", architecture=each)
        for day, each in ((1, architecture), (2, {"x86_64": "arm64", "arm64": "x86_64"}[architecture]))
    )
    assert newest != other
    document = json.dumps(spec(instance_type=kind))
    [launch] = [step for step in slow_harness.plan(document).steps if step.call == "RunInstances"]
    assert launch.params["ImageId"] == newest
    assert slow_harness.apply(document).outcome == "converged"
    slow_harness.strict.clear()
    # At rest the instance itself shows the architecture.
    assert slow_harness.plan(document).empty
    assert "DescribeInstanceTypes" not in slow_harness.strict.actions()


def test_a_name_that_finds_only_images_of_another_architecture(slow_harness: Harness) -> None:
    row = spec(image={"name": "al2023-*-arm64", "owner": "amazon"})
    [problem] = refused(slow_harness, row)
    assert "is for arm64, and t3.micro supports x86_64" in problem


@pytest.mark.parametrize("change", ["restart", "replace"])
def test_a_type_of_another_architecture(slow_harness: Harness, change: str) -> None:
    """It is refused when planning, and not once the instance is stopped."""
    image = {"name": "al2023-ami-2023.*-x86_64", "owner": "amazon"}
    applied(slow_harness, spec(on_change=change, image=image))
    [problem] = refused(slow_harness, spec(on_change=change, image=image, instance_type="t4g.micro"))
    assert "is for x86_64, and t4g.micro supports arm64" in problem
    assert states(slow_harness) == ["running"]


@pytest.mark.parametrize("change", ["restart", "replace"])
def test_a_type_that_the_zone_does_not_offer(slow_harness: Harness, change: str) -> None:
    applied(slow_harness, spec(on_change=change))
    slow_harness.strict.world.withdraw_type("t3.large", "us-east-1a")
    assert refused(slow_harness, spec(on_change=change, instance_type="t3.large")) == [
        "instances.web.instance_type: t3.large is not offered in us-east-1a, where its subnet is; it is offered "
        "in us-east-1b, us-east-1c; choose another type, or a subnet in another Availability Zone"
    ]


def test_a_key_pair_that_does_not_exist(slow_harness: Harness) -> None:
    applied(slow_harness, spec())
    assert refused(slow_harness, spec(key_name="pos")) == [
        "instances.web.key_name: there is no key pair pos in us-east-1; see `aws ec2 describe-key-pairs`"
    ]


def test_where_there_is_no_way_back(slow_harness: Harness) -> None:
    """A launch needs capacity, which nothing can prove."""
    applied(slow_harness, spec())
    [warning] = slow_harness.plan(json.dumps(spec(key_name="ops"))).warnings
    assert warning.endswith(
        "is terminated before its replacement is launched. There is no way back: if EC2 then has no capacity for "
        "t3.micro in us-east-1a, the instance is missing until a later run can launch it"
    )


# ---- permissions


def deny(harness: Harness, *actions: str) -> None:
    """From now on our credentials may do all but these."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    statements = [allow, {"Effect": "Deny", "Action": [f"ec2:{each}" for each in actions], "Resource": "*"}]
    document = {"Version": "2012-10-17", "Statement": statements}
    harness.strict.policies[ENVIRONMENT["AWS_ACCESS_KEY_ID"]] = Policy(document)


@pytest.mark.parametrize(
    ("changes", "denied"),
    [
        ({"key_name": "ops"}, "RunInstances"),
        ({"instance_type": "t3.large", "on_change": "restart"}, "ModifyInstanceAttribute"),
        ({"instance_type": "t3.large", "on_change": "restart"}, "StartInstances"),
    ],
)
def test_without_permission_for_what_follows_nothing_is_taken_away(
    slow_harness: Harness, changes: Spec, denied: str
) -> None:
    applied(slow_harness, spec())
    deny(slow_harness, denied)
    report = slow_harness.apply(json.dumps(spec(**changes)))
    assert report.outcome == "failed"
    assert report.error is not None
    assert report.error.startswith(
        f"refused before the first change:\n  {denied} for instances.web: UnauthorizedOperation"
    )
    assert slow_harness.strict.mutating() == []
    assert states(slow_harness) == ["running"]


def asked(harness: Harness) -> list[str]:
    """The calls with DryRun."""
    return [call.action for call in harness.strict.calls if call.dry_run]


def test_permission_is_asked_for_once_and_by_apply_only(slow_harness: Harness) -> None:
    applied(slow_harness, spec())
    changed = json.dumps(spec(key_name="ops"))
    assert not slow_harness.plan(changed).empty
    assert asked(slow_harness) == []
    assert slow_harness.apply(changed).outcome == "converged"
    assert asked(slow_harness) == ["RunInstances"]
    actions = slow_harness.strict.actions()
    assert actions.index("RunInstances") < actions.index("TerminateInstances")


def test_a_failover_asks_nothing(slow_harness: Harness) -> None:
    """It takes nothing away for the sake of a new resource, and every call delays it."""
    lab = Firewalls(slow_harness)
    assert slow_harness.apply(HA).outcome == "converged"
    lab.sicken("fw-a")
    assert slow_harness.apply(HA).outcome == "converged"
    assert asked(slow_harness) == []


def test_what_may_not_be_read_is_a_warning(slow_harness: Harness) -> None:
    reads = ("DescribeImages", "DescribeInstanceTypeOfferings", "DescribeKeyPairs", "DescribeInstanceTypes")
    deny(slow_harness, *reads)
    row: Spec = {"image": {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"}}
    warnings = slow_harness.plan(json.dumps(spec(key_name="ops", **row))).warnings
    assert [warning.partition("call ")[2] for warning in warnings] == sorted(reads)
    assert all(warning.startswith("not checked: ") for warning in warnings)


# ---- refused is not young


def elsewhere(harness: Harness) -> tuple[str, str]:
    """A VPC besides the default one, and a group in it."""
    world = harness.strict.world
    vpc = world.add_vpc("10.9.0.0/16")
    return vpc, world.add_group("theirs", vpc)


def default_vpc(harness: Harness) -> str:
    found = harness.strict.world.default_vpc()
    assert found is not None
    return found.id


def test_a_rule_that_names_a_group_of_another_vpc(slow_harness: Harness) -> None:
    (vpc, group), own = elsewhere(slow_harness), default_vpc(slow_harness)
    assert refused(slow_harness, sources("10.0.0.0/8", group)) == [
        f"security_groups.web.ingress.0.sources.1: {group} is in {vpc}, web is in {own}, and the two VPCs are not "
        f"peered; name a security group of {own}, or a CIDR"
    ]


def test_a_rule_that_names_a_group_of_the_stack_in_another_vpc(slow_harness: Harness) -> None:
    vpc, _ = elsewhere(slow_harness)
    document = sources("db")
    document["security_groups"]["db"] = {"vpc": vpc}
    [problem] = refused(slow_harness, document)
    assert problem.startswith(f"security_groups.web.ingress.0.sources.0: db is in {vpc}, web is in ")


@pytest.mark.parametrize("how", ["peer_vpcs", "attach_to_gateway"])
def test_a_rule_can_name_a_group_of_a_connected_vpc(slow_harness: Harness, how: str) -> None:
    vpc, group = elsewhere(slow_harness)
    getattr(slow_harness.strict.world, how)(vpc, default_vpc(slow_harness))
    assert slow_harness.apply(json.dumps(sources(group))).outcome == "converged"


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        ("sg-0123456789abcdef0", "there is no security group sg-0123456789abcdef0 in us-east-1"),
        ("pl-0123456789abcdef0", "there is no prefix list pl-0123456789abcdef0 in us-east-1"),
    ],
)
def test_a_rule_that_names_what_does_not_exist(slow_harness: Harness, peer: str, words: str) -> None:
    [problem] = refused(slow_harness, sources(peer))
    assert problem.startswith(f"security_groups.web.ingress.0.sources.0: {words}; see `aws ec2 describe-")


def test_prefix_lists_that_exist(slow_harness: Harness) -> None:
    world = slow_harness.strict.world
    lists = [world.add_prefix_list(), world.add_prefix_list(by_aws=True)]
    assert slow_harness.apply(json.dumps(sources(*lists))).outcome == "converged"


def test_an_interface_in_a_group_of_another_vpc(slow_harness: Harness) -> None:
    """When it is created, and when it gets the group later."""
    vpc, group = elsewhere(slow_harness)
    own = default_vpc(slow_harness)
    expected = [
        f"network_interfaces.eth0.security_groups.1: {group} is in {vpc}, eth0's subnet is in {own}; choose a "
        f"security group of {own}, or a subnet in {vpc}"
    ]
    wrong = spec("network_interfaces", "eth0", security_groups=["web", group])
    assert refused(slow_harness, wrong) == expected
    applied(slow_harness, spec())
    assert refused(slow_harness, wrong) == expected
    slow_harness.strict.world.associate_group(group, own)
    assert slow_harness.apply(json.dumps(wrong)).outcome == "converged"


def test_an_interface_in_a_group_that_does_not_exist(slow_harness: Harness) -> None:
    group = "sg-0123456789abcdef0"
    [problem] = refused(slow_harness, spec("network_interfaces", "eth0", security_groups=[group]))
    assert problem.startswith(f"network_interfaces.eth0.security_groups.0: there is no security group {group} in ")


@pytest.mark.parametrize("there", [False, True], ids=["a new group", "an existing group"])
def test_a_group_without_a_vpc_is_in_the_default_one(slow_harness: Harness, there: bool) -> None:
    """The likeliest slip of a beginner: the interface's subnet is in another VPC."""
    vpc, _ = elsewhere(slow_harness)
    subnet = slow_harness.strict.world.add_subnet(vpc, "10.9.1.0/24")
    own = default_vpc(slow_harness)
    if there:
        applied(slow_harness, {**spec(), "instances": {}, "network_interfaces": {}})
    group = slow_harness.strict.world.data.groups
    aws_id = next((each.id for each in group.values() if each.name == "web"), "")
    hint = f"choose a security group of {vpc}, or a subnet in {own}; EC2 cannot move {aws_id} to another VPC"
    assert refused(slow_harness, spec("network_interfaces", "eth0", subnet=subnet)) == [
        f"network_interfaces.eth0.security_groups.0: web is in {own} (`vpc` left out means the default VPC), "
        f"eth0's subnet is in {vpc}; {hint if there else f'write `vpc: {vpc}` in security_groups.web'}"
    ]


# ---- across rows


def test_a_renamed_row_with_the_same_group_name(slow_harness: Harness) -> None:
    applied(slow_harness, spec())
    renamed = spec("network_interfaces", "eth0", security_groups=["web2"])
    renamed["security_groups"] = {"web2": {"group_name": "web"}}
    [problem] = refused(slow_harness, renamed)
    assert problem.startswith("security_groups.web2: sg-")
    assert "it is security_groups.web of this stack" in problem
    # The hint works.
    key, _, value = problem.partition("`")[2].partition("`")[0].partition(": ")
    renamed["security_groups"]["web2"] |= {key: value}
    assert slow_harness.apply(json.dumps(renamed)).outcome in ("converged", "unchanged")


@pytest.mark.parametrize("existing", [False, True])
def test_tags_that_the_instance_metadata_cannot_show(slow_harness: Harness, existing: bool) -> None:
    """Those of the file are found by validate, those that others gave the instance by plan."""
    applied(slow_harness, spec())
    shown: Spec = {"metadata_options": {"instance_metadata_tags": "enabled"}}
    if existing:
        ec2 = slow_harness.client()
        [reservation] = ec2.describe_instances()["Reservations"]
        instance = reservation["Instances"][0]["InstanceId"]
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "cost/center", "Value": "42"}])
        slow_harness.strict.clear()
        assert refused(slow_harness, spec(**shown)) == [
            f"instances.web.metadata_options.instance_metadata_tags: {instance} has tags that the instance "
            "metadata cannot show: 'cost/center'; remove these tags, or write `instance_metadata_tags: disabled`"
        ]
    else:
        with pytest.raises(SpecErrors, match="the tag key 'cost/center' is not allowed"):
            slow_harness.spec(json.dumps(spec(tags={"cost/center": "42"}, **shown)))


def test_an_adopted_instance_that_shows_its_tags(slow_harness: Harness) -> None:
    """The row does not speak of its metadata, and gives it a tag that EC2 would refuse."""
    shown: Spec = {"metadata_options": {"instance_metadata_tags": "enabled"}}
    applied(slow_harness, spec(**shown))
    ec2 = slow_harness.client()
    [reservation] = ec2.describe_instances()["Reservations"]
    instance = reservation["Instances"][0]["InstanceId"]
    keys = [{"Key": "enireconcile:stack"}, {"Key": "enireconcile:name"}]
    ec2.delete_tags(Resources=[instance], Tags=keys)
    slow_harness.strict.clear()
    row = {"adopt": instance, "tags": {"cost/center": "42"}}
    adopting = {"version": 1, "stack": "other", "region": "us-east-1", "instances": {"web": row}}
    [problem] = refused(slow_harness, adopting)
    assert problem.startswith(
        f"instances.web.tags: the instance metadata of {instance} shows its tags, and cannot"
    )


def test_a_failover_pair_with_one_member(slow_harness: Harness) -> None:
    lab = Firewalls(slow_harness)
    assert slow_harness.apply(HA).outcome == "converged"
    lab.ec2.terminate_instances(InstanceIds=[lab.ids["fw-b"]])
    slow_harness.loop.now += 60
    plan = slow_harness.plan(HA)
    [warning] = [each for each in plan.warnings if "external" in each]
    assert warning.endswith(
        "no instance matches the `external` selector of fw-b, so only fw-a can get this interface"
    )
    assert plan.empty


def test_a_check_that_is_not_answered_does_not_stop_the_plan(slow_harness: Harness) -> None:
    """An endpoint without the call answers with an error: a warning after some seconds, not after minutes."""
    _, group = elsewhere(slow_harness)
    call = "DescribeSecurityGroupVpcAssociations"
    slow_harness.strict.faults.add(Fail(call, times=10**6, code="InternalFailure", status=500))
    began = slow_harness.loop.now
    plan = slow_harness.plan(json.dumps(spec("network_interfaces", "eth0", security_groups=["web", group])))
    assert slow_harness.loop.now - began < 30
    assert f"{call} was not answered" in "\n".join(plan.warnings)


def test_an_address_that_another_interface_keeps(slow_harness: Harness) -> None:
    """A row no longer writes its private_ip, so its interface keeps it; another row cannot have it."""
    rows = "network_interfaces:\n  a: {{subnet: {{default_for_az: us-east-1a}}{a}}}\n{b}"
    head = "version: 1\nstack: kept\nregion: us-east-1\n"
    fixed = ", private_ip: 172.31.0.40"
    assert slow_harness.apply(head + rows.format(a=fixed, b="")).outcome == "converged"
    b = "  b: {subnet: {default_for_az: us-east-1a}, private_ip: 172.31.0.40}\n"
    with pytest.raises(SpecErrors) as raised:
        slow_harness.plan(head + rows.format(a="", b=b))
    [problem] = raised.value.problems
    assert problem.path == "network_interfaces.b.private_ip"
    assert problem.message.startswith("172.31.0.40 is the primary address of network_interfaces.a (eni-")
