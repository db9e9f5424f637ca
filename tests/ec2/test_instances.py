"""Rules of EC2 for instances."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2 import Quotas, Settings
from tests.ec2.lab import Lab, refused

SLOW = Settings(pending_delay=10, stop_delay=10, terminate_delay=10)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def tagged(**tags: str) -> list[dict[str, Any]]:
    rows = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": "instance", "Tags": rows}]


# -- launch --------------------------------------------------------------------------------------------


def test_a_launch_takes_time_and_shows_everything() -> None:
    """EC2 docs: pending, then running; the interfaces, volume, profile and tags are there from birth."""
    with Lab(SLOW) as lab:
        eni = lab.eni(PrivateIpAddress="172.31.0.10")
        instance = lab.instance(
            eni,
            KeyName="ops",
            IamInstanceProfile={"Name": "web"},
            TagSpecifications=tagged(Name="web"),
            MetadataOptions={"HttpTokens": "required"},
        )
        shown = lab.show_instance(instance)
        assert shown["State"] == {"Code": 0, "Name": "pending"}
        assert shown["PrivateIpAddress"] == "172.31.0.10"
        assert shown["SubnetId"] == lab.subnet()
        assert shown["IamInstanceProfile"]["Arn"].endswith(":instance-profile/web")
        assert shown["MetadataOptions"]["HttpTokens"] == "required"
        assert shown["Tags"] == [{"Key": "Name", "Value": "web"}]
        volume = shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        assert lab.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "in-use"
        slot = shown["NetworkInterfaces"][0]
        assert slot["Attachment"]["DeviceIndex"] == 0
        assert slot["Attachment"]["DeleteOnTermination"] is False
        lab.clock.advance(10)
        assert lab.state(instance) == "running"


def test_the_answer_to_a_launch(lab: Lab) -> None:
    """Observed on AWS: interfaces are in-use and attaching, StateReason is pending, no volume is mapped."""
    params = {"ImageId": lab.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    answer = lab.ec2.run_instances(**params)
    assert answer["Groups"] == []
    instance = answer["Instances"][0]
    assert instance["StateReason"] == {"Code": "pending", "Message": "pending"}
    assert instance["BlockDeviceMappings"] == []
    made = instance["NetworkInterfaces"][0]
    assert (made["Status"], made["Attachment"]["Status"]) == ("in-use", "attaching")
    assert made["Attachment"]["DeleteOnTermination"] is True
    shown = lab.show_instance(instance["InstanceId"])
    assert "StateReason" not in shown
    assert len(shown["BlockDeviceMappings"]) == 1


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound", ""),
        ({"ImageId": "ubuntu"}, "InvalidAMIID.Malformed", ""),
        ({"InstanceType": "t9.huge"}, "InvalidParameterValue", "InstanceType"),
        ({"InstanceType": "t4g.micro"}, "InvalidParameterValue", "architecture"),
        ({"KeyName": "none"}, "InvalidKeyPair.NotFound", ""),
        ({"IamInstanceProfile": {"Name": "x"}}, "InvalidParameterValue", "Invalid IAM Instance Profile name"),
        (
            {"IamInstanceProfile": {"Arn": "arn:x"}},
            "InvalidParameterValue",
            "Invalid IAM Instance Profile ARN",
        ),
        ({"UserData": "x" * 16385}, "InvalidParameterValue", "User data is limited"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue", ""),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue", "zone"),
        ({"SubnetId": "subnet-01234567"}, "InvalidSubnetID.NotFound", ""),
        ({"SecurityGroupIds": ["sg-01234567"]}, "InvalidGroup.NotFound", ""),
        ({"PrivateIpAddress": "172.31.0.1"}, "InvalidParameterValue", "reserved"),
        ({"LaunchTemplate": {"LaunchTemplateName": "x"}}, "UnsupportedOperation", ""),
    ],
)
def test_launches_that_are_refused(lab: Lab, params: dict[str, Any], code: str, words: str) -> None:
    """A launch with an unknown image, type, key, profile, subnet or group, or with too much, is refused."""
    with refused(code, words):
        lab.instance(**params)
    assert lab.world.data.instances == {}
    assert lab.world.data.interfaces == {}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"SubnetId": "subnet"}, "subnet ID"),
        ({"SecurityGroupIds": ["sg"]}, "security groups"),
        ({"PrivateIpAddress": "172.31.0.9"}, "private IP address"),
        ({"MinCount": 1, "MaxCount": 2}, "one instance only"),
        ({"Placement": {"AvailabilityZone": "us-east-1b"}}, "availability zone"),
    ],
)
def test_what_does_not_go_with_interfaces(lab: Lab, params: dict[str, Any], words: str) -> None:
    """EC2 docs: with interfaces in the request, network parameters belong to them alone."""
    with refused("InvalidParameterCombination", words):
        lab.instance(lab.eni(), **params)


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"DeleteOnTermination": True}, "InvalidParameterCombination", "delete on termination"),
        ({"SubnetId": "subnet-01234567"}, "InvalidParameterCombination", "SubnetId"),
        ({"Groups": ["sg-01234567"]}, "InvalidParameterCombination", "Groups"),
        ({"AssociatePublicIpAddress": True}, "InvalidParameterCombination", "AssociatePublicIpAddress"),
        ({"DeviceIndex": 1}, "InvalidParameterValue", "device index 0"),
        ({"NetworkCardIndex": 1}, "InvalidParameterValue", "device index 0"),
    ],
)
def test_what_an_existing_interface_may_not_bring(lab: Lab, spec: dict[str, Any], code: str, words: str) -> None:
    """EC2 docs: an existing interface is taken as it is, outlives the instance, and index 0 is required."""
    slot = {"DeviceIndex": 0, "NetworkInterfaceId": lab.eni(), **spec}
    with refused(code, words):
        lab.instance(NetworkInterfaces=[slot])


def test_device_slots_must_differ(lab: Lab) -> None:
    """EC2 docs: each interface of a launch has an index of its own and is named once."""
    one, two = lab.eni(), lab.eni()
    same = [{"DeviceIndex": 0, "NetworkInterfaceId": each} for each in (one, two)]
    with refused("InvalidParameterCombination", "unique device index"):
        lab.instance(NetworkInterfaces=same)
    with refused("InvalidParameterValue"):
        lab.instance(one, one)
    with refused("InvalidParameterCombination", "availability zone"):
        lab.instance(one, lab.eni(SubnetId=lab.subnet("b")))


def test_an_interface_in_use_cannot_be_launched_with(lab: Lab) -> None:
    """EC2 docs: InvalidNetworkInterface.InUse when an existing interface sits elsewhere already."""
    eni = lab.eni()
    lab.instance(eni)
    with refused("InvalidNetworkInterface.InUse"):
        lab.instance(eni)


def test_a_public_address_needs_a_single_interface(lab: Lab) -> None:
    """EC2 docs: AssociatePublicIpAddress does not go with several interfaces."""
    slots = [
        {"DeviceIndex": 0, "SubnetId": lab.subnet(), "AssociatePublicIpAddress": True},
        {"DeviceIndex": 1, "SubnetId": lab.subnet()},
    ]
    with refused("InvalidParameterCombination", "multiple network interfaces"):
        lab.instance(NetworkInterfaces=slots)


def test_interfaces_made_by_a_launch(lab: Lab) -> None:
    """EC2 docs: they are tagged only if asked, and go with the instance by default."""
    spec = [{"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}]
    group = lab.group()
    instance = lab.instance(SubnetId=lab.subnet(), SecurityGroupIds=[group], TagSpecifications=spec)
    eni = lab.show_instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    shown = lab.show_eni(eni)
    assert shown["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert [g["GroupId"] for g in shown["Groups"]] == [group]
    assert shown["Attachment"]["DeleteOnTermination"] is True


def test_several_instances_share_a_reservation(lab: Lab) -> None:
    """EC2 docs: MaxCount instances at most, MinCount at least, in one reservation."""
    answer = lab.ec2.run_instances(ImageId=lab.image, InstanceType="t3.micro", MinCount=2, MaxCount=3)
    assert [each["AmiLaunchIndex"] for each in answer["Instances"]] == [0, 1, 2]
    reservations = lab.ec2.describe_instances()["Reservations"]
    assert [len(each["Instances"]) for each in reservations] == [3]


def test_instances_are_limited() -> None:
    """EC2 docs: InstanceLimitExceeded when fewer than MinCount fit."""
    with Lab(Settings(quotas=Quotas(instances=2))) as lab:
        assert (
            len(
                lab.ec2.run_instances(ImageId=lab.image, MinCount=1, MaxCount=5, InstanceType="t3.micro")[
                    "Instances"
                ]
            )
            == 2
        )
        with refused("InstanceLimitExceeded"):
            lab.instance()


def test_a_launch_that_goes_wrong_later() -> None:
    """EC2 docs: a pending instance may become terminated; StateReason says why."""
    with Lab(SLOW) as lab:
        eni = lab.eni()
        instance = lab.instance(eni)
        lab.world.fail_launch(instance, "Server.InsufficientInstanceCapacity")
        shown = lab.show_instance(instance)
        assert shown["State"]["Name"] == "terminated"
        assert shown["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"
        lab.clock.advance(10)
        assert lab.state(instance) == "terminated"
        assert lab.show_eni(eni)["Status"] == "available"


# -- tokens --------------------------------------------------------------------------------------------


def test_a_token_launches_once() -> None:
    """EC2 docs: a replay answers with the same instance in its present state, before anything is checked."""
    with Lab(SLOW) as lab:
        eni = lab.eni()
        instance = lab.instance(eni, ClientToken="once")
        lab.clock.advance(10)
        assert lab.instance(eni, ClientToken="once") == instance
        assert lab.state(instance) == "running"
        with refused("IdempotentParameterMismatch"):
            lab.instance(eni, ClientToken="once", KeyName="ops")
        found = lab.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["once"]}])
        assert found["Reservations"][0]["Instances"][0]["InstanceId"] == instance
        lab.ec2.terminate_instances(InstanceIds=[instance])
        with refused("IdempotentInstanceTerminated"):
            lab.instance(eni, ClientToken="once")


def test_a_token_counts_per_zone(lab: Lab) -> None:
    """EC2 docs: with a zone or subnet in the request, the same token launches again in another zone."""
    first = lab.instance(SubnetId=lab.subnet("a"), ClientToken="once")
    assert lab.instance(SubnetId=lab.subnet("a"), ClientToken="once") == first
    assert lab.instance(SubnetId=lab.subnet("b"), ClientToken="once") != first
    placed = [
        lab.instance(Placement={"AvailabilityZone": f"us-east-1{zone}"}, ClientToken="two") for zone in "abb"
    ]
    assert placed[0] != placed[1] == placed[2]


def test_a_replay_sees_what_describe_does_not_yet() -> None:
    """EC2 docs, eventual consistency: a new instance is not found for a while, but its token answers."""
    with Lab(Settings(visibility_delay=5)) as lab:
        instance = lab.instance(ClientToken="once")
        with refused("InvalidInstanceID.NotFound"):
            lab.show_instance(instance)
        assert lab.instance(ClientToken="once") == instance
        lab.clock.advance(5)
        assert lab.state(instance) == "running"


# -- power ---------------------------------------------------------------------------------------------


def test_power_states_and_what_is_refused_in_each() -> None:
    """EC2 docs: start and stop are no-ops where they are done, refused on the way elsewhere."""
    with Lab(SLOW) as lab:
        instance = lab.instance()
        ids = {"InstanceIds": [instance]}
        with refused("IncorrectInstanceState"):
            lab.ec2.stop_instances(**ids)
        lab.clock.advance(10)
        change = lab.ec2.start_instances(**ids)["StartingInstances"][0]
        assert change["CurrentState"]["Name"] == "running"
        change = lab.ec2.stop_instances(**ids)["StoppingInstances"][0]
        assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
        with refused("IncorrectInstanceState"):
            lab.ec2.start_instances(**ids)
        lab.clock.advance(10)
        assert lab.show_instance(instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
        assert lab.ec2.stop_instances(**ids)["StoppingInstances"][0]["CurrentState"]["Name"] == "stopped"
        assert lab.ec2.start_instances(**ids)["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
        lab.clock.advance(10)
        assert lab.state(instance) == "running"
        lab.ec2.terminate_instances(**ids)
        for call in (lab.ec2.start_instances, lab.ec2.stop_instances):
            with refused("IncorrectInstanceState"):
                call(**ids)


def test_a_stopped_instance_keeps_its_interfaces(lab: Lab) -> None:
    """EC2 docs: interfaces, private addresses and Elastic IPs stay with a stopped instance."""
    eni, address = lab.eni(), lab.eip()
    instance = lab.instance(eni, lab.eni())
    assert lab.state(instance) == "running"
    lab.associate(address, eni)
    lab.ec2.stop_instances(InstanceIds=[instance])
    shown = lab.show_instance(instance)
    assert len(shown["NetworkInterfaces"]) == 2
    assert lab.show_address(address)["InstanceId"] == instance


def test_hibernation_is_a_way_to_stop(lab: Lab) -> None:
    """EC2 docs: a hibernated instance is `stopped` with a reason; it must have been launched for it."""
    plain = lab.instance()
    root = {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}
    ready = lab.instance(HibernationOptions={"Configured": True}, BlockDeviceMappings=[root])
    assert lab.state(plain) == lab.state(ready) == "running"
    with refused("UnsupportedHibernationConfiguration"):
        lab.ec2.stop_instances(InstanceIds=[plain], Hibernate=True)
    lab.ec2.stop_instances(InstanceIds=[ready], Hibernate=True)
    shown = lab.show_instance(ready)
    assert shown["State"]["Name"] == "stopped"
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedHibernate"


def test_a_new_profile_is_unknown_for_a_while(lab: Lab) -> None:
    """IAM tells EC2 of a new instance profile some seconds later; until then its name is invalid."""
    lab.world.add_instance_profile("fresh", delay=10)
    with refused("InvalidParameterValue", "Invalid IAM Instance Profile name"):
        lab.instance(IamInstanceProfile={"Name": "fresh"})
    lab.clock.advance(10)
    lab.instance(IamInstanceProfile={"Name": "fresh"})


def test_a_new_profile_has_no_role_for_a_while(lab: Lab) -> None:
    """Observed on AWS: RunInstances knows the profile before it knows the profile's role."""
    arn = lab.world.add_instance_profile("new", role_delay=10)
    with refused("InvalidParameterValue", f'IAM Instance Profile "{arn}" has no associated IAM Roles'):
        lab.instance(IamInstanceProfile={"Name": "new"})
    lab.clock.advance(10)
    lab.instance(IamInstanceProfile={"Name": "new"})


def test_a_profile_changes_on_an_instance_that_runs(lab: Lab) -> None:
    """EC2 docs: one profile at most; another takes its place in one call, under a new association id."""
    lab.world.add_instance_profile("db")
    instance = lab.instance()
    lab.clock.advance(60)
    associate, find = lab.ec2.associate_iam_instance_profile, lab.ec2.describe_iam_instance_profile_associations
    made = associate(InstanceId=instance, IamInstanceProfile={"Name": "web"})["IamInstanceProfileAssociation"]
    assert made["IamInstanceProfile"]["Arn"].endswith("/web")
    with refused("IncorrectState", "There is an existing association for instance"):
        associate(InstanceId=instance, IamInstanceProfile={"Name": "db"})
    again = lab.ec2.replace_iam_instance_profile_association(
        AssociationId=made["AssociationId"], IamInstanceProfile={"Name": "db"}
    )["IamInstanceProfileAssociation"]
    [shown] = find(Filters=[{"Name": "instance-id", "Values": [instance]}])["IamInstanceProfileAssociations"]
    assert (shown["State"], shown["AssociationId"]) == ("associated", again["AssociationId"])
    assert shown["IamInstanceProfile"]["Arn"].endswith("/db")
    with refused("InvalidAssociationID.NotFound"):
        lab.ec2.disassociate_iam_instance_profile(AssociationId=made["AssociationId"])
    lab.ec2.disassociate_iam_instance_profile(AssociationId=again["AssociationId"])
    assert find()["IamInstanceProfileAssociations"] == []


def test_what_a_profile_is_refused_for(lab: Lab) -> None:
    """A profile that EC2 does not know, and an instance that is terminated."""
    instance = lab.instance()
    lab.world.add_instance_profile("new", role_delay=10)
    with refused("InvalidParameterValue", "Invalid IAM Instance Profile name"):
        lab.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "x"})
    with refused("InvalidParameterValue", "has no associated IAM Roles"):
        lab.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "new"})
    lab.ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        lab.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "web"})


def test_what_a_terminated_instance_shows(lab: Lab) -> None:
    """Observed on AWS: empty lists and names; no subnet, VPC or address; its tags and reason stay."""
    instance = lab.instance(lab.eni(), TagSpecifications=tagged(Name="web"))
    lab.ec2.terminate_instances(InstanceIds=[instance])
    shown = lab.show_instance(instance)
    for name in ("NetworkInterfaces", "SecurityGroups", "BlockDeviceMappings", "ProductCodes"):
        assert shown[name] == []
    assert (shown["PrivateDnsName"], shown["PublicDnsName"]) == ("", "")
    assert not {"SubnetId", "VpcId", "PrivateIpAddress", "SourceDestCheck", "PrivateDnsNameOptions"} & set(shown)
    assert shown["Tags"] == [{"Key": "Name", "Value": "web"}]
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_a_terminated_instance_is_neither_started_nor_stopped(lab: Lab) -> None:
    """Observed on AWS: IncorrectInstanceState, in words that differ between the two calls."""
    instance = lab.instance()
    lab.ec2.terminate_instances(InstanceIds=[instance])
    words = f"instance '{instance}' is not in a state from which it can be"
    with refused("IncorrectInstanceState", f"The {words} started."):
        lab.ec2.start_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState", f"This {words} stopped."):
        lab.ec2.stop_instances(InstanceIds=[instance])


def test_termination_and_the_interfaces() -> None:
    """EC2 docs: interfaces are in use while shutting down; then some go and some stay, as their flags say."""
    with Lab(Settings(terminate_delay=10)) as lab:
        kept, also_kept, address = lab.eni(), lab.eni(), lab.eip()
        instance = lab.instance(kept)
        born = lab.instance(SubnetId=lab.subnet())
        deleted = lab.show_instance(born)["NetworkInterfaces"][0]["NetworkInterfaceId"]
        lab.attach(also_kept, instance)
        lab.associate(address, kept)
        lab.ec2.terminate_instances(InstanceIds=[instance, born])
        for eni in (kept, also_kept, deleted):
            assert lab.show_eni(eni)["Status"] == "in-use"
        with refused("InvalidParameterValue", "currently in use"):
            lab.ec2.delete_network_interface(NetworkInterfaceId=kept)
        lab.clock.advance(10)
        assert lab.state(instance) == "terminated"
        for eni in (kept, also_kept):
            assert lab.show_eni(eni)["Status"] == "available"
        with refused("InvalidNetworkInterfaceID.NotFound"):
            lab.show_eni(deleted)
        assert lab.show_address(address)["NetworkInterfaceId"] == kept
        assert "VpcId" not in lab.show_instance(instance)
        assert lab.ec2.describe_volumes()["Volumes"] == []


def test_interfaces_may_linger_after_termination() -> None:
    """EC2 has been seen to keep interfaces attached for a while after `terminated`."""
    with Lab(Settings(linger_delay=10)) as lab:
        group = lab.group()
        instance = lab.instance(SubnetId=lab.subnet(), SecurityGroupIds=[group])
        lab.ec2.terminate_instances(InstanceIds=[instance])
        assert lab.state(instance) == "terminated"
        with refused("DependencyViolation"):
            lab.ec2.delete_security_group(GroupId=group)
        lab.clock.advance(10)
        lab.ec2.delete_security_group(GroupId=group)


def test_terminated_instances_stay_listed_for_an_hour(lab: Lab) -> None:
    """EC2 docs: a terminated instance still matches tag filters, and terminating it again succeeds."""
    instance = lab.instance(TagSpecifications=tagged(Name="web"))
    filters = [{"Name": "tag:Name", "Values": ["web"]}]
    for _ in range(2):
        lab.ec2.terminate_instances(InstanceIds=[instance])
    assert len(lab.ec2.describe_instances(Filters=filters)["Reservations"]) == 1
    alive = [*filters, {"Name": "instance-state-name", "Values": ["pending", "running"]}]
    assert lab.ec2.describe_instances(Filters=alive)["Reservations"] == []
    lab.clock.advance(3600)
    assert lab.ec2.describe_instances(Filters=filters)["Reservations"] == []
    with refused("InvalidInstanceID.NotFound"):
        lab.ec2.terminate_instances(InstanceIds=[instance])


def test_termination_protection_saves_all_of_a_zone(lab: Lab) -> None:
    """EC2 docs: with one protected instance none of its zone is terminated; those of other zones are."""
    protected = lab.instance(SubnetId=lab.subnet("a"), DisableApiTermination=True)
    neighbour = lab.instance(SubnetId=lab.subnet("a"))
    far = lab.instance(SubnetId=lab.subnet("b"))
    with refused("OperationNotPermitted", "disableApiTermination"):
        lab.ec2.terminate_instances(InstanceIds=[protected, neighbour, far])
    assert [lab.state(each) for each in (protected, neighbour, far)] == ["running", "running", "terminated"]
    lab.ec2.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    lab.ec2.terminate_instances(InstanceIds=[protected])


def test_one_unknown_id_terminates_nothing(lab: Lab) -> None:
    """EC2 docs: TerminateInstances is all or nothing over its ids."""
    instance = lab.instance()
    with refused("InvalidInstanceID.NotFound"):
        lab.ec2.terminate_instances(InstanceIds=[instance, "i-0123456789abcdef0"])
    assert lab.state(instance) == "running"


def test_stop_protection(lab: Lab) -> None:
    """EC2 docs: DisableApiStop makes StopInstances and TerminateInstances OperationNotPermitted."""
    instance = lab.instance(DisableApiStop=True)
    assert lab.state(instance) == "running"
    with refused("OperationNotPermitted", "may not be stopped. Modify its 'disableApiStop'"):
        lab.ec2.stop_instances(InstanceIds=[instance])
    with refused("OperationNotPermitted", "may not be terminated. Modify its 'disableApiStop'"):
        lab.ec2.terminate_instances(InstanceIds=[instance])
    assert lab.state(instance) == "running"


# -- attributes ----------------------------------------------------------------------------------------


def attribute(lab: Lab, instance: str, name: str) -> dict[str, Any]:
    return dict(lab.ec2.describe_instance_attribute(InstanceId=instance, Attribute=name))


def test_type_and_user_data_change_on_a_stopped_instance(lab: Lab) -> None:
    """EC2 docs: both need a stopped instance; user data travels in base64."""
    instance = lab.instance(kind="t3.micro", UserData="first")
    assert base64.b64decode(attribute(lab, instance, "userData")["UserData"]["Value"]) == b"first"
    modify = lab.ec2.modify_instance_attribute
    for change in ({"InstanceType": {"Value": "t3.small"}}, {"UserData": {"Value": b"second"}}):
        with refused("IncorrectInstanceState", "'stopped'"):
            modify(InstanceId=instance, **change)
    lab.ec2.stop_instances(InstanceIds=[instance])
    modify(InstanceId=instance, InstanceType={"Value": "t3.small"})
    modify(InstanceId=instance, UserData={"Value": b"second"})
    assert lab.show_instance(instance)["InstanceType"] == "t3.small"
    assert base64.b64decode(attribute(lab, instance, "userData")["UserData"]["Value"]) == b"second"
    with refused("InvalidParameterValue", "limited"):
        modify(InstanceId=instance, UserData={"Value": b"x" * 16385})


def test_a_changed_type_is_not_startable_for_a_while() -> None:
    """Observed on AWS: StartInstances still takes the instance for its old type, for about a minute."""
    with Lab(Settings(type_change_delay=60)) as lab:
        instance = lab.instance(kind="t2.small")
        lab.ec2.stop_instances(InstanceIds=[instance])
        lab.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t2.micro"})
        words = "LaunchPlan instance type does not match attribute value t2.micro"
        with refused("InvalidParameterValue", f"Invalid value 't2.small' for instanceType. {words}"):
            lab.ec2.start_instances(InstanceIds=[instance])
        lab.clock.advance(60)
        lab.ec2.start_instances(InstanceIds=[instance])
        assert lab.state(instance) == "running"


def test_some_types_cannot_be_changed_to(lab: Lab) -> None:
    """Observed on AWS: InvalidInstanceAttributeValue that names both types."""
    instance = lab.instance(kind="m5.4xlarge")
    lab.ec2.stop_instances(InstanceIds=[instance])
    with refused(
        "InvalidInstanceAttributeValue",
        "Modifying the instance type from m5.4xlarge to p4d.24xlarge is not allowed.",
    ):
        lab.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "p4d.24xlarge"})


def test_a_smaller_type_must_hold_what_is_attached(lab: Lab) -> None:
    """A change to a type with fewer interfaces or addresses than are attached is refused."""
    instance = lab.instance(lab.eni(), lab.eni(), lab.eni(), kind="t3.medium")
    lab.ec2.stop_instances(InstanceIds=[lab.instance()])
    lab.ec2.stop_instances(InstanceIds=[instance])
    with refused("AttachmentLimitExceeded"):
        lab.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.micro"})
    rich = lab.instance(lab.eni(SecondaryPrivateIpAddressCount=4))
    lab.show_instance(rich)
    lab.ec2.stop_instances(InstanceIds=[rich])
    lab.show_instance(rich)
    with refused("PrivateIpAddressLimitExceeded"):
        lab.ec2.modify_instance_attribute(InstanceId=rich, InstanceType={"Value": "t3.micro"})


def test_one_attribute_per_call(lab: Lab) -> None:
    """EC2 docs: ModifyInstanceAttribute takes exactly one attribute."""
    instance = lab.instance()
    for change in ({}, {"DisableApiTermination": {"Value": True}, "DisableApiStop": {"Value": True}}):
        with refused("InvalidParameterCombination"):
            lab.ec2.modify_instance_attribute(InstanceId=instance, **change)


def test_interface_attributes_need_a_single_interface(lab: Lab) -> None:
    """EC2 docs: SourceDestCheck and Groups through the instance fail once it has several interfaces."""
    instance, group = lab.instance(), lab.group()
    assert lab.state(instance) == "running"
    modify = lab.ec2.modify_instance_attribute
    modify(InstanceId=instance, SourceDestCheck={"Value": False})
    modify(InstanceId=instance, Groups=[group])
    shown = lab.show_instance(instance)
    assert shown["SourceDestCheck"] is False
    assert [g["GroupId"] for g in shown["SecurityGroups"]] == [group]
    lab.attach(lab.eni(), instance)
    for change in ({"SourceDestCheck": {"Value": True}}, {"Groups": [group]}):
        with refused("InvalidInstanceID", "multiple interfaces"):
            modify(InstanceId=instance, **change)


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        (
            {"DisableApiTermination": {"Value": True}},
            "disableApiTermination",
            {"DisableApiTermination": {"Value": True}},
        ),
        ({"DisableApiStop": {"Value": True}}, "disableApiStop", {"DisableApiStop": {"Value": True}}),
        (
            {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}},
            "instanceInitiatedShutdownBehavior",
            {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}},
        ),
        (
            {"Attribute": "disableApiTermination", "Value": "true"},
            "disableApiTermination",
            {"DisableApiTermination": {"Value": True}},
        ),
    ],
)
def test_attributes_are_read_back(lab: Lab, change: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    """EC2 docs: what ModifyInstanceAttribute sets, DescribeInstanceAttribute answers."""
    instance = lab.instance()
    lab.ec2.modify_instance_attribute(InstanceId=instance, **change)
    shown = attribute(lab, instance, name)
    assert expected.items() <= shown.items()


# -- status checks and filters -------------------------------------------------------------------------


def test_status_checks() -> None:
    """EC2 docs: running instances only, unless all are asked for; initializing, ok, impaired."""
    with Lab(Settings(pending_delay=5, status_delay=60)) as lab:
        instance = lab.instance()

        def check(**more: Any) -> list[tuple[str, str]]:
            rows = lab.ec2.describe_instance_status(**more)["InstanceStatuses"]
            return [(row["InstanceStatus"]["Status"], row["SystemStatus"]["Status"]) for row in rows]

        assert check() == []
        assert check(IncludeAllInstances=True) == [("not-applicable", "not-applicable")]
        lab.clock.advance(5)
        assert check() == [("initializing", "initializing")]
        lab.clock.advance(60)
        assert check(InstanceIds=[instance]) == [("ok", "ok")]
        lab.world.set_health(instance, "impaired", "system")
        assert check() == [("ok", "impaired")]
        lab.world.set_health(instance, "ok", "system")
        assert check() == [("ok", "ok")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tag:Name", "we?"),
        ("tag-key", "Name"),
        ("network-interface.private-ip-address", None),
        ("network-interface.addresses.private-ip-address", "172.31.0.70"),
        ("network-interface.attachment.device-index", "1"),
        ("instance-type", "t3.*"),
        ("private-ip-address", "172.31.0.70"),
        ("key-name", "ops"),
    ],
)
def test_instances_are_found_by_what_they_are(lab: Lab, name: str, value: str | None) -> None:
    """Filters of DescribeInstances see tags and interfaces; a name that EC2 does not have is refused."""
    lab.instance(kind="m5.large")
    instance = lab.instance(
        lab.eni(PrivateIpAddress="172.31.0.70"),
        lab.eni(),
        KeyName="ops",
        TagSpecifications=tagged(Name="web"),
    )
    if value is None:
        with refused("InvalidParameterValue"):
            lab.ec2.describe_instances(Filters=[{"Name": name, "Values": ["x"]}])
        return
    rows = lab.ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
    assert [row["Instances"][0]["InstanceId"] for row in rows] == [instance]


@pytest.mark.parametrize(
    ("attributes", "kind", "code", "words"),
    [
        ({"state": "pending"}, "t3.micro", "InvalidAMIID.Unavailable", ""),
        ({"boot_mode": "uefi"}, "t2.micro", "InvalidParameterValue", "boot mode"),
        ({"ena": False}, "t3.micro", "InvalidParameterCombination", "ENA"),
        ({"root_device": "instance-store"}, "t3.micro", "InvalidParameterValue", "instance store"),
    ],
)
def test_an_image_has_to_fit_the_type(
    lab: Lab, attributes: dict[str, Any], kind: str, code: str, words: str
) -> None:
    image = lab.world.add_image("own", "2026-03-01T00:00:00.000Z", **attributes)
    with refused(code, words):
        lab.instance(kind=kind, ImageId=image)


def test_a_zone_may_not_offer_a_type(lab: Lab) -> None:
    """EC2 docs: DescribeInstanceTypeOfferings lists the zones that do."""
    lab.world.withdraw_type("t3.micro", "us-east-1a")
    filters = [{"Name": "instance-type", "Values": ["t3.micro"]}]
    rows = lab.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    assert {row["Location"] for row in rows["InstanceTypeOfferings"]} == {"us-east-1b", "us-east-1c"}
    with refused("Unsupported", "us-east-1a"):
        lab.instance(kind="t3.micro", SubnetId=lab.subnet("a"))
    lab.instance(kind="t3.micro", SubnetId=lab.subnet("b"))


def test_a_disabled_image_is_shown_on_request_only(lab: Lab) -> None:
    image = lab.world.add_image("own", "2026-03-01T00:00:00.000Z", state="disabled")
    filters = [{"Name": "image-id", "Values": [image]}]
    assert lab.ec2.describe_images(Filters=filters)["Images"] == []
    [row] = lab.ec2.describe_images(Filters=filters, IncludeDisabled=True)["Images"]
    assert row["State"] == "disabled"
