"""The chapter `story`: one instance with two interfaces and two Elastic IPs, from its creation to its end."""

from __future__ import annotations

import json

from tests.acceptance.account import IMAGE, LARGER, SMALL, Failed, Item, expect
from tests.acceptance.stage import Chapter, Spec, Stage

NAME = "story"
CHAPTER = Chapter(NAME)
USER_DATA = "#!/bin/sh\necho {} > /run/acceptance\n"


def spec(stage: Stage) -> Spec:
    """The spec that most scenes apply."""
    vpc, subnet = stage.selector("vpc"), stage.selector("public")
    return {
        "security_groups": {
            "web": {
                "vpc": vpc,
                "ingress": [
                    {"protocol": "tcp", "ports": 80, "sources": ["192.0.2.0/24"], "description": "http"},
                    {"protocol": "tcp", "ports": 22, "sources": ["ops"]},
                ],
            },
            "ops": {"vpc": vpc, "description": "Operators"},
        },
        "instances": {
            "web": {
                "image": {"ssm": IMAGE},
                "instance_type": SMALL,
                "user_data": USER_DATA.format("first"),
                "on_change": "restart",
            }
        },
        "network_interfaces": {
            "eth0": {
                "subnet": subnet,
                "security_groups": ["web"],
                "attachment": {"instance": "web", "device_index": 0},
            },
            "eth1": {
                "subnet": subnet,
                "security_groups": ["ops"],
                "private_ip": "10.97.1.20",
                "description": "the second one",
                "attachment": {"instance": "web", "device_index": 1},
            },
        },
        "elastic_ips": {
            "web-1": {"association": {"network_interface": "eth0"}},
            "web-2": {"association": {"network_interface": "eth1"}},
        },
    }


def check(stage: Stage) -> None:
    """Raises Failed unless EC2 shows what `spec` says, and one of everything."""
    stage.account.soon(lambda: _check(stage))


def _check(stage: Stage) -> None:
    stage.expect_counts(NAME, 2, 1, 2, 2)
    instance = stage.instance(NAME, "web")
    expect("instance state", instance["State"]["Name"], "running")
    for index, name, group, address in ((0, "eth0", "web", "web-1"), (1, "eth1", "ops", "web-2")):
        shown = stage.interface(NAME, name)
        attachment = shown.get("Attachment", {})
        expect(f"holder of {name}", attachment.get("InstanceId"), instance["InstanceId"])
        shown_at = (attachment["DeviceIndex"], attachment["Status"], attachment["DeleteOnTermination"])
        expect(f"attachment of {name}", shown_at, (index, "attached", False))
        expect(f"groups of {name}", [each["GroupName"] for each in shown["Groups"]], [group])
        expect(f"source/destination check of {name}", shown["SourceDestCheck"], True)
        expect(f"target of {address}", target(stage, address), shown["NetworkInterfaceId"])
    expect("description", stage.interface(NAME, "eth1")["Description"], "the second one")
    expect("name of the instance", named(instance), "web")
    expect("IMDSv2", instance["MetadataOptions"]["HttpTokens"], "required")
    web = stage.group(NAME, "web")
    expect("ports of web", sorted(rule["FromPort"] for rule in web["IpPermissions"]), [22, 80])
    expect("description of the rule", http(web)["IpRanges"][0].get("Description"), "http")


def target(stage: Stage, address: str) -> str | None:
    return stage.address(NAME, address).get("NetworkInterfaceId")


def named(item: Item) -> str:
    [name] = [tag["Value"] for tag in item["Tags"] if tag["Key"] == "Name"]
    return str(name)


def http(group: Item) -> Item:
    """The rules for port 80."""
    [found] = [rule for rule in group["IpPermissions"] if rule["FromPort"] == 80]
    return dict(found)


def repaired(stage: Stage) -> None:
    """One apply sees and repairs what drifted."""
    applied(stage, "apply: repair drift", spec(stage))
    check(stage)


def applied(stage: Stage, measure: str, wanted: Spec, *flags: str) -> None:
    """Applies a spec, which converges; the program's own time counts as one of these timings."""
    report = stage.program.apply(stage.write(NAME, wanted), *flags)
    stage.account.timings.setdefault(measure, []).append(report["seconds"])


@CHAPTER.scene
def plan_shows_everything_to_create(stage: Stage) -> None:
    """validate accepts the spec, and plan exits with 2 and creates nothing"""
    path = stage.write(NAME, spec(stage))
    stage.program.run("validate", str(path))
    stage.program.run("plan", "--detailed-exitcode", str(path), expect=2)
    stage.expect_counts(NAME, 0, 0, 0, 0)


@CHAPTER.scene
def apply_creates_it(stage: Stage) -> None:
    """one apply converges; EC2 shows what the spec says"""
    applied(stage, "apply: create the story", spec(stage))
    check(stage)


@CHAPTER.scene
def second_apply_changes_nothing(stage: Stage) -> None:
    """plan exits with 0, and apply reports unchanged"""
    path = stage.write(NAME, spec(stage))
    ran = stage.program.run("plan", "--detailed-exitcode", str(path))
    stage.account.timings.setdefault("plan: no difference", []).append(ran.seconds)
    stage.program.apply(path, outcome="unchanged")


@CHAPTER.scene
def drift_of_rules(stage: Stage) -> None:
    """a rule was added, one was removed, and one has another description"""
    ec2, web = stage.ec2, stage.group(NAME, "web")
    added = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    ec2.authorize_security_group_ingress(GroupId=web["GroupId"], IpPermissions=[added])
    ssh = [rule for rule in web["IpPermissions"] if rule["FromPort"] == 22]
    ec2.revoke_security_group_ingress(GroupId=web["GroupId"], IpPermissions=ssh)
    reworded = {**http(web), "IpRanges": [{"CidrIp": "192.0.2.0/24", "Description": "drift"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=web["GroupId"], IpPermissions=[reworded])
    repaired(stage)


@CHAPTER.scene
def drift_of_attributes(stage: Stage) -> None:
    """groups, source/destination check, description, DeleteOnTermination, tags and IMDSv2 were changed"""
    ec2, eth1, instance = stage.ec2, stage.interface(NAME, "eth1"), stage.instance(NAME, "web")["InstanceId"]
    interface, attachment = eth1["NetworkInterfaceId"], eth1["Attachment"]["AttachmentId"]
    for change in (
        {"Groups": [stage.group(NAME, "web")["GroupId"]]},
        {"SourceDestCheck": {"Value": False}},
        {"Description": {"Value": "drift"}},
        {"Attachment": {"AttachmentId": attachment, "DeleteOnTermination": True}},
    ):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, **change)
    ec2.create_tags(Resources=[interface, instance], Tags=[{"Key": "Name", "Value": "drift"}])
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional")
    repaired(stage)


@CHAPTER.scene
def drift_of_a_detached_interface(stage: Stage) -> None:
    """the second interface was detached"""
    eth1 = stage.interface(NAME, "eth1")
    stage.ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    stage.account.until_available(eth1["NetworkInterfaceId"], measure="detach an interface")
    repaired(stage)


@CHAPTER.scene
def drift_of_a_disassociated_elastic_ip(stage: Stage) -> None:
    """an Elastic IP was disassociated"""
    stage.ec2.disassociate_address(AssociationId=stage.address(NAME, "web-1")["AssociationId"])
    repaired(stage)


@CHAPTER.scene
def drift_of_swapped_elastic_ips(stage: Stage) -> None:
    """the two Elastic IPs were swapped"""
    for address, interface in (("web-2", "eth0"), ("web-1", "eth1")):
        move(stage, address, stage.interface(NAME, interface)["NetworkInterfaceId"])
    repaired(stage)


@CHAPTER.scene
def drift_of_an_elastic_ip_elsewhere(stage: Stage) -> None:
    """an Elastic IP was moved to an interface that the stack does not own"""
    made = stage.ec2.create_network_interface(
        SubnetId=stage.scratch.public, TagSpecifications=stage.account.tagged("foreign", "network-interface")
    )
    foreign = made["NetworkInterface"]["NetworkInterfaceId"]
    stage.account.until_available(foreign)
    move(stage, "web-2", foreign)
    repaired(stage)
    stage.ec2.delete_network_interface(NetworkInterfaceId=foreign)


def move(stage: Stage, address: str, interface: str) -> None:
    allocation = stage.address(NAME, address)["AllocationId"]
    stage.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=interface, AllowReassociation=True)


@CHAPTER.scene
def drift_of_a_stopped_instance(stage: Stage) -> None:
    """the instance was stopped; and again, while it is still stopping"""
    instance = stage.instance(NAME, "web")["InstanceId"]
    stage.ec2.stop_instances(InstanceIds=[instance])
    stage.account.until_state(instance, "stopped", measure="stop an instance")
    repaired(stage)
    stage.ec2.stop_instances(InstanceIds=[instance])
    repaired(stage)
    expect("instance", stage.instance(NAME, "web")["InstanceId"], instance)


@CHAPTER.scene
def drift_of_a_terminated_instance(stage: Stage) -> None:
    """the instance was terminated: a new one gets its interfaces; and again, while it is still shutting down"""
    before = identities(stage)
    old = stage.instance(NAME, "web")["InstanceId"]
    stage.ec2.terminate_instances(InstanceIds=[old])
    stage.account.until_state(old, "terminated", measure="terminate an instance")
    repaired(stage)
    stage.ec2.terminate_instances(InstanceIds=[stage.instance(NAME, "web")["InstanceId"]])
    repaired(stage)
    expect("interfaces and Elastic IPs", identities(stage), before)


@CHAPTER.scene
def drift_of_deleted_resources(stage: Stage) -> None:
    """the second interface was deleted and its Elastic IP released: both are made again"""
    ec2, eth1, address = stage.ec2, stage.interface(NAME, "eth1"), stage.address(NAME, "web-2")
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])
    ec2.detach_network_interface(AttachmentId=eth1["Attachment"]["AttachmentId"])
    stage.account.until_available(eth1["NetworkInterfaceId"], measure="detach an interface")
    ec2.delete_network_interface(NetworkInterfaceId=eth1["NetworkInterfaceId"])
    repaired(stage)


def identities(stage: Stage) -> tuple[str, ...]:
    """The ids and public addresses that outlive an instance."""
    interfaces = [stage.interface(NAME, name)["NetworkInterfaceId"] for name in ("eth0", "eth1")]
    return (*interfaces, *(stage.address(NAME, name)["PublicIp"] for name in ("web-1", "web-2")))


@CHAPTER.scene
def an_instance_is_resized(stage: Stage) -> None:
    """another instance_type with on_change: restart: the same instance is stopped, changed and started"""
    before, wanted = stage.instance(NAME, "web")["InstanceId"], spec(stage)
    wanted["instances"]["web"]["instance_type"] = LARGER
    applied(stage, "apply: resize an instance", wanted)
    after = stage.instance(NAME, "web")
    expect("the resized instance", (after["InstanceId"], after["InstanceType"]), (before, LARGER))
    check(stage)
    applied(stage, "apply: resize an instance", spec(stage))


@CHAPTER.scene
def an_instance_is_replaced_after_consent(stage: Stage) -> None:
    """other user data with on_change: replace: refused without --allow-destroy, done with it"""
    before, old, wanted = identities(stage), stage.instance(NAME, "web")["InstanceId"], spec(stage)
    wanted["instances"]["web"] |= {"on_change": "replace", "user_data": USER_DATA.format("second")}
    path = stage.write(NAME, wanted)
    stage.program.apply(path, expect=3, outcome="refused")
    expect("the instance that must stay", stage.instance(NAME, "web")["InstanceId"], old)
    applied(stage, "apply: replace an instance", wanted, "--allow-destroy")
    if stage.instance(NAME, "web")["InstanceId"] == old:
        raise Failed("the instance was not replaced")
    expect("interfaces and Elastic IPs", identities(stage), before)
    check(stage)
    stage.program.apply(path, outcome="unchanged")


@CHAPTER.scene
def an_interface_is_replaced(stage: Stage) -> None:
    """another private_ip: a new interface takes the place and the Elastic IP of the old one"""
    old, wanted = stage.interface(NAME, "eth1")["NetworkInterfaceId"], spec(stage)
    wanted["instances"]["web"]["user_data"] = USER_DATA.format("second")
    wanted["network_interfaces"]["eth1"]["private_ip"] = "10.97.1.21"
    applied(stage, "apply: replace an interface", wanted, "--allow-destroy")
    new = stage.interface(NAME, "eth1")
    expect("the new address", new["PrivateIpAddress"], "10.97.1.21")
    if new["NetworkInterfaceId"] == old:
        raise Failed("the interface was not replaced")
    check(stage)


@CHAPTER.scene
def a_third_interface_is_refused(stage: Stage) -> None:
    """more interfaces than the instance type takes: plan exits with 1 and names the limit"""
    wanted = spec(stage)
    wanted["network_interfaces"]["eth2"] = {
        "subnet": stage.selector("public"),
        "attachment": {"instance": "web", "device_index": 2},
    }
    ran = stage.program.run("plan", str(stage.write(NAME, wanted)), expect=1)
    if SMALL not in ran.said:
        raise Failed(f"the error does not name {SMALL}")


@CHAPTER.scene
def leftovers_are_pruned_after_consent(stage: Stage) -> None:
    """a row that was removed is left, refused without --allow-destroy, and deleted with --prune"""
    wanted = spec(stage)
    wanted["instances"]["web"]["user_data"] = USER_DATA.format("second")
    del wanted["network_interfaces"]["eth1"], wanted["elastic_ips"]["web-2"]
    path = stage.write(NAME, wanted)
    stage.program.apply(path, outcome="unchanged")
    stage.program.apply(path, "--prune", expect=3, outcome="refused")
    stage.expect_counts(NAME, 2, 1, 2, 2)
    stage.program.apply(path, "--prune", "--allow-destroy")
    stage.expect_counts(NAME, 2, 1, 1, 1)


@CHAPTER.scene
def destroy_leaves_nothing(stage: Stage) -> None:
    """refused without --allow-destroy; then everything is gone, and a second destroy finds nothing"""
    path = stage.write(NAME, spec(stage))
    stage.program.destroy(path, expect=3, outcome="refused")
    report = stage.program.destroy(path, "--allow-destroy")
    stage.account.timings.setdefault("destroy", []).append(report["seconds"])
    stage.expect_counts(NAME, 0, 0, 0, 0)
    stage.program.destroy(path, "--allow-destroy", outcome="unchanged")


@CHAPTER.scene
def a_killed_apply_is_finished(stage: Stage) -> None:
    """SIGKILL in the middle of an apply: the next one finishes it, with one of everything"""
    path = stage.write(NAME, spec(stage))
    process = stage.program.start("apply", "-y", "--parallelism", "1", "--output", "json", str(path))
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("status") == "done":
            break
    process.kill()
    process.communicate()
    stage.program.apply(path)
    check(stage)
    stage.program.destroy(path, "--allow-destroy")
    stage.expect_counts(NAME, 0, 0, 0, 0)
