"""Every attribute of groups, instances and interfaces, one row each: made, kept, corrected, changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact, Plan
from enireconcile.spec.row import Row
from enireconcile.spec.rows import (
    Attachment,
    ConnectionTracking,
    Instance,
    MetadataOptions,
    NetworkInterface,
    Resource,
    SecurityGroup,
)
from tests.harness import Harness

Words = dict[str, Any]
LAB: Words = {"tags": {"Name": "lab"}}
SHOWN = {
    "security_groups": ("describe_security_groups", "SecurityGroups"),
    "instances": ("describe_instances", "Reservations"),
    "network_interfaces": ("describe_network_interfaces", "NetworkInterfaces"),
}
OLD_IMAGE, NEW_IMAGE = "ami-0000000000000aaaa", "ami-0000000000000bbbb"


class Lab:
    """A VPC with two subnets of both families; ``a`` is what it is about, in one of the sections."""

    def __init__(self, harness: Harness, section: str) -> None:
        self.harness, self.section, self.ec2 = harness, section, harness.client()
        world = harness.strict.world
        vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", tags={"Name": "lab"})
        for number, name in enumerate(("lab", "lab-2")):
            six = f"2001:db8:0:{number}::/64"
            world.add_subnet(vpc, f"10.0.{number}.0/24", ipv6_cidr=six, tags={"Name": name})
        world.add_vpc("10.9.0.0/16", tags={"Name": "other"})
        world.add_key_pair("dev")
        world.add_instance_profile("db")
        image = next(iter(world.data.images.values()))
        world.add_placement_group("red")
        world.add_placement_group("blue")
        for each in (OLD_IMAGE, NEW_IMAGE):
            world.data.images[each] = replace(image, id=each)
        harness.loop.now += 60

    # ---- the spec

    def spec(self, row: Words) -> str:
        document: Words = {
            "version": 1,
            "stack": "lab",
            "region": "us-east-1",
            **getattr(self, f"_{self.section}")(row),
        }
        return json.dumps(document)

    def _security_groups(self, row: Words) -> Words:
        return {"security_groups": {"a": {"vpc": LAB, **row}}}

    def _instances(self, row: Words) -> Words:
        web = {"image": OLD_IMAGE, "instance_type": "t3.micro", **row}
        return {"instances": {"a": web}, "network_interfaces": {"eth0": {"subnet": LAB, **on("a", 0)}}}

    def _network_interfaces(self, row: Words) -> Words:
        """With instances that it may be attached to, where it is attached at all."""
        groups = {name: {"vpc": LAB} for name in ("red", "blue") if "security_groups" in row}
        hosts = ("web", "db") if "attachment" in row else ()
        machine = {"image": OLD_IMAGE, "instance_type": "c6in.32xlarge"}
        primaries = {f"{name}-eth0": {"subnet": LAB, **on(name, 0)} for name in hosts}
        return {
            "security_groups": groups,
            "instances": dict.fromkeys(hosts, machine),
            "network_interfaces": {"a": {"subnet": LAB, **row}, **primaries},
        }

    def converge(self, row: Words) -> tuple[dict[str, list[str]], list[str]]:
        """Apply; a further apply calls nothing. What differed, by address, and the calls that it took."""
        plans: list[Plan] = []

        def approve(plan: Plan) -> Impact:
            plans.append(plan)
            return Impact.DESTRUCTIVE

        self.harness.strict.clear()
        report = self.harness.apply(self.spec(row), approve=approve)
        assert (report.outcome, report.error) == ("converged", None)
        calls = sorted(call.action for call in self.harness.strict.mutating() if call.acted)
        self.harness.strict.clear()
        assert self.harness.apply(self.spec(row)).outcome == "unchanged"
        assert self.harness.strict.mutating() == []
        changes = [change for change in plans[0].changes if change.fields]
        return {each.address: [field.field for field in each.fields] for each in changes}, calls

    # ---- the world

    def found(self, address: str | None = None) -> Any:
        """What EC2 shows of ``a``, or of whatever has that address."""
        section, _, name = (address or f"{self.section}.a").partition(".")
        call, key = SHOWN[section]
        filters = [{"Name": "tag:enireconcile:name", "Values": [f"{section}.{name}"]}]
        if section == "instances":
            states = ["pending", "running", "stopping", "stopped"]
            filters.append({"Name": "instance-state-name", "Values": states})
        [found] = getattr(self.ec2, call)(Filters=filters)[key]
        return found["Instances"][0] if section == "instances" else found

    @property
    def id(self) -> str:
        key = {"security_groups": "GroupId", "instances": "InstanceId"}.get(self.section, "NetworkInterfaceId")
        return str(self.found()[key])

    def wait(self) -> None:
        """Until whatever another tool has begun is done."""
        self.harness.loop.now += 5


def on(instance: str, index: int, card: int = 0, flag: bool = False) -> Words:
    """An attachment."""
    place = {
        "instance": instance,
        "device_index": index,
        "network_card_index": card,
        "delete_on_termination": flag,
    }
    return {"attachment": place}


Look = Callable[[Lab], object]
Deed = Callable[[Lab], None]
Calls = tuple[str, ...]


def shown(*keys: str) -> Look:
    """What EC2 shows below these keys."""

    def look(lab: Lab) -> object:
        found = lab.found()
        for key in keys:
            found = found[key]
        return found

    return look


def named(records: str, key: str) -> Look:
    """The name of the VPC or the subnet that it is in."""
    return lambda lab: getattr(lab.harness.strict.world.data, records)[lab.found()[key]].tags["Name"]


@dataclass(frozen=True)
class Case:
    """One attribute: two rows, what is seen of it with each, and the calls that lead from one to the other.

    ``drift`` is a change by another tool, and ``mends`` are the calls that correct it; None where EC2 does not
    allow the change, or where it is not compared. Without ``changes`` the plan is refused.
    """

    section: str
    attribute: str
    before: Words
    after: Words
    look: Look
    made: object
    changed: object
    changes: Calls = ()
    drift: Deed | None = None
    mends: Calls = ()


# ---- security groups


def groups() -> Iterator[Case]:
    def birth(attribute: str, after: object, look: Look, made: object) -> Case:
        return Case("security_groups", attribute, {}, {attribute: after}, look, made, None)

    yield birth("group_name", "b", shown("GroupName"), "a")
    yield birth("description", "x", shown("Description"), "Managed by enireconcile")
    yield birth("vpc", {"tags": {"Name": "other"}}, named("vpcs", "VpcId"), "lab")
    yield rules("ingress", "sources", "IpPermissions")
    yield rules("egress", "destinations", "IpPermissionsEgress")


def rules(direction: str, ends: str, key: str) -> Case:
    """One rule; another tool takes it away and adds another one."""

    def look(lab: Lab) -> object:
        return [found["FromPort"] for found in lab.found()[key]]

    def drift(lab: Lab) -> None:
        for verb, port in (("revoke", 80), ("authorize", 22)):
            ranges = [{"CidrIp": "0.0.0.0/0"}]
            rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}
            getattr(lab.ec2, f"{verb}_security_group_{direction}")(GroupId=lab.id, IpPermissions=[rule])

    before, after = ({direction: [{"protocol": "tcp", "ports": port, ends: ["0.0.0.0/0"]}]} for port in (80, 443))
    calls = tuple(f"{verb}SecurityGroup{direction.capitalize()}" for verb in ("Authorize", "Revoke"))
    return Case("security_groups", direction, before, after, look, [80], [443], calls, drift, calls)


# ---- instances

ANEW = ("RunInstances", "TerminateInstances")
ASLEEP = ("ModifyInstanceAttribute", "StartInstances", "StopInstances")
START, STOP, SET = ("StartInstances",), ("StopInstances",), ("ModifyInstanceAttribute",)
OPTIONS = ("ModifyInstanceMetadataOptions",)
PROFILE, ASSOCIATED = ("ReplaceIamInstanceProfileAssociation",), ("AssociateIamInstanceProfile",)


def instances() -> Iterator[Case]:
    def case(key: str, made: object, changed: object, look: Look, *rest: Any, **more: str) -> Case:
        before, after = ({key: value, **more} for value in (made, changed))
        return Case("instances", key, before, after, look, made, changed, *rest)

    again = {"on_change": "replace"}
    yield case("image", OLD_IMAGE, NEW_IMAGE, shown("ImageId"), ANEW, **again)
    yield case("key_name", "ops", "dev", shown("KeyName"), ANEW, **again)
    yield case("user_data", "#!/bin/sh\n", "#!/bin/sh\nexit\n", user_data, ANEW, **again)
    yield case("iam_instance_profile", "web", "db", profile, PROFILE, other_profile, PROFILE)
    yield case("iam_instance_profile", "web", "db", profile, PROFILE, no_profile, ASSOCIATED, **again)
    kind, restart = shown("InstanceType"), {"on_change": "restart"}
    yield case("instance_type", "t3.micro", "t3.small", kind, ASLEEP, other_type, ASLEEP, **restart)
    optimized = shown("EbsOptimized")
    yield case("ebs_optimized", True, False, optimized, ASLEEP, slow_disks, ASLEEP, **restart)
    yield case("state", "running", "stopped", shown("State", "Name"), STOP, stop, START)
    yield case("termination_protection", True, False, protected, SET, unprotect, SET)
    yield case("stop_protection", True, False, attribute("DisableApiStop"), SET, stoppable, SET)
    yield case("shutdown_behavior", "terminate", "stop", attribute(_SHUTDOWN), SET, stops_at_shutdown, SET)
    monitoring, watch, blind = shown("Monitoring", "State"), ("MonitorInstances",), ("UnmonitorInstances",)
    yield Case(
        "instances", "monitoring", {"monitoring": True}, {"monitoring": False}, monitoring,
        "enabled", "disabled", blind, unmonitored, watch,
    )  # fmt: skip
    recovery, recovers = shown("MaintenanceOptions", "AutoRecovery"), ("ModifyInstanceMaintenanceOptions",)
    yield Case(
        "instances", "auto_recovery", {"auto_recovery": False}, {"auto_recovery": True}, recovery,
        "disabled", "default", recovers, recovering, recovers,
    )  # fmt: skip
    credited = ("ModifyInstanceCreditSpecification",)
    yield case("cpu_credits", "standard", "unlimited", cpu_credits, credited, unlimited, credited)
    red, blue = ({"placement": {"group": name}, **restart} for name in ("red", "blue"))
    moved = ("ModifyInstancePlacement", *START, *STOP)
    group = shown("Placement", "GroupName")
    yield Case("instances", "placement", red, blue, group, "red", "blue", moved, out_of_group, moved)
    yield from launched(again)
    yield metadata("http_tokens", "HttpTokens", "required", "optional", "optional")
    yield metadata("http_endpoint", "HttpEndpoint", "enabled", "disabled", "disabled")
    yield metadata("http_put_response_hop_limit", "HttpPutResponseHopLimit", 3, 1, 5)
    yield metadata("instance_metadata_tags", "InstanceMetadataTags", "disabled", "enabled", "enabled")


def launched(again: Words) -> Iterator[Case]:
    """What EC2 sets at launch only."""

    def case(key: str, made: object, changed: object, look: Look, seen: object, then: object, **more: Any) -> Case:
        before, after = ({**again, key: value, **more} for value in (made, changed))
        return Case("instances", key, before, after, look, seen, then, ANEW)

    root = [{"size_gib": size, "type": "gp3", "encrypted": True} for size in (20, 30)]
    yield case("root_volume", root[0], root[1], volumes("Size"), {"/dev/xvda": 20}, {"/dev/xvda": 30})
    data = [[{"device_name": "/dev/sdf", "size_gib": 5, "type": kind}] for kind in ("gp2", "gp3")]
    types = [{"/dev/xvda": "gp3", "/dev/sdf": kind} for kind in ("gp2", "gp3")]
    yield case("volumes", data[0], data[1], volumes("VolumeType"), *types)
    tags = [{"/dev/xvda": {"Role": "db", "Disk": disk}} for disk in "ab"]
    disks = {"Disk": "a"}, {"Disk": "b"}
    yield case("volume_tags", *disks, volumes("Tags"), *tags, tags={"Role": "db"})
    cores = [{"core_count": 1, "threads_per_core": threads} for threads in (1, 2)]
    yield case("cpu_options", cores[0], cores[1], shown("CpuOptions", "ThreadsPerCore"), 1, 2)
    hidden = {"root_volume": {"encrypted": True}}
    hibernates = shown("HibernationOptions", "Configured")
    yield case("hibernation", {"configured": True}, False, hibernates, True, False, **hidden)
    enclaves, large = shown("EnclaveOptions", "Enabled"), {"instance_type": "m5.xlarge"}
    yield case("enclave", True, {"enabled": False}, enclaves, True, False, **large)
    preference = "capacity_reservation_preference"
    reserved = shown("CapacityReservationSpecification", "CapacityReservationPreference")
    none, some = {preference: "none"}, {preference: "open"}
    yield case("capacity_reservation", none, some, reserved, "none", "open")
    persistent = {"spot_instance_type": "persistent", "instance_interruption_behavior": "stop"}
    yield Case(
        "instances", "spot", {**again, "spot": {}}, {**again, "spot": persistent}, spot,
        "one-time active", "persistent active", ("CancelSpotInstanceRequests", *ANEW),
    )  # fmt: skip
    tenancies = ({"tenancy": "dedicated"}, {"tenancy": "default"})
    yield case("placement", *tenancies, shown("Placement", "Tenancy"), "dedicated", "default")


def volumes(key: str) -> Look:
    """What EC2 shows of each volume, by device; of tags those that are not enireconcile's."""

    def look(lab: Lab) -> object:
        filters = [{"Name": "attachment.instance-id", "Values": [lab.id]}]
        found = lab.ec2.describe_volumes(Filters=filters)["Volumes"]
        return {each["Attachments"][0]["Device"]: own(each[key]) for each in found}

    def own(value: Any) -> object:
        if not isinstance(value, list):
            return value
        return {tag["Key"]: tag["Value"] for tag in value if not tag["Key"].startswith("enireconcile:")}

    return look


def spot(lab: Lab) -> object:
    ids = [lab.found()["SpotInstanceRequestId"]]
    [request] = lab.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=ids)["SpotInstanceRequests"]
    return f"{request['Type']} {request['State']}"


def metadata(key: str, option: str, made: object, changed: object, drifted: object) -> Case:
    before, after = ({"metadata_options": {key: value}} for value in (made, changed))

    def drift(lab: Lab) -> None:
        lab.ec2.modify_instance_metadata_options(InstanceId=lab.id, **{option: drifted})

    look = shown("MetadataOptions", option)
    return Case(
        "instances", f"metadata_options.{key}", before, after, look, made, changed, OPTIONS, drift, OPTIONS
    )


def user_data(lab: Lab) -> object:
    answer = lab.ec2.describe_instance_attribute(InstanceId=lab.id, Attribute="userData")
    return base64.b64decode(answer["UserData"]["Value"]).decode()


def profile(lab: Lab) -> object:
    return lab.found().get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]


def _profile_association(lab: Lab) -> str:
    filters = [{"Name": "instance-id", "Values": [lab.id]}]
    [found] = lab.ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]
    return str(found["AssociationId"])


def other_profile(lab: Lab) -> None:
    lab.ec2.replace_iam_instance_profile_association(
        AssociationId=_profile_association(lab), IamInstanceProfile={"Name": "db"}
    )


def no_profile(lab: Lab) -> None:
    lab.ec2.disassociate_iam_instance_profile(AssociationId=_profile_association(lab))


def other_type(lab: Lab) -> None:
    stop(lab)
    lab.ec2.modify_instance_attribute(InstanceId=lab.id, InstanceType={"Value": "t3.medium"})
    lab.ec2.start_instances(InstanceIds=[lab.id])


def slow_disks(lab: Lab) -> None:
    stop(lab)
    lab.ec2.modify_instance_attribute(InstanceId=lab.id, EbsOptimized={"Value": False})
    lab.ec2.start_instances(InstanceIds=[lab.id])


def stop(lab: Lab) -> None:
    lab.ec2.stop_instances(InstanceIds=[lab.id])
    lab.wait()


_SHUTDOWN = "InstanceInitiatedShutdownBehavior"


def attribute(name: str) -> Look:
    """What DescribeInstanceAttribute shows."""

    def look(lab: Lab) -> object:
        attribute = name[0].lower() + name[1:]
        return lab.ec2.describe_instance_attribute(InstanceId=lab.id, Attribute=attribute)[name]["Value"]

    return look


def set_to(name: str, value: object) -> Deed:
    def deed(lab: Lab) -> None:
        lab.ec2.modify_instance_attribute(InstanceId=lab.id, **{name: {"Value": value}})

    return deed


protected, unprotect = attribute("DisableApiTermination"), set_to("DisableApiTermination", False)
stoppable, stops_at_shutdown = set_to("DisableApiStop", False), set_to(_SHUTDOWN, "stop")


def unmonitored(lab: Lab) -> None:
    lab.ec2.unmonitor_instances(InstanceIds=[lab.id])


def recovering(lab: Lab) -> None:
    lab.ec2.modify_instance_maintenance_options(InstanceId=lab.id, AutoRecovery="default")


def cpu_credits(lab: Lab) -> object:
    answer = lab.ec2.describe_instance_credit_specifications(InstanceIds=[lab.id])
    return answer["InstanceCreditSpecifications"][0]["CpuCredits"]


def unlimited(lab: Lab) -> None:
    asked = [{"InstanceId": lab.id, "CpuCredits": "unlimited"}]
    lab.ec2.modify_instance_credit_specification(InstanceCreditSpecifications=asked)


def out_of_group(lab: Lab) -> None:
    stop(lab)
    lab.ec2.modify_instance_placement(InstanceId=lab.id, GroupName="")
    lab.ec2.start_instances(InstanceIds=[lab.id])


# ---- network interfaces

MODIFY = ("ModifyNetworkInterfaceAttribute",)
RENEWED = ("CreateNetworkInterface", "DeleteNetworkInterface")
CAME, LEFT = ("AttachNetworkInterface",), ("DetachNetworkInterface",)
MOVED = (*CAME, *LEFT)


def modified(**attribute: Any) -> Deed:
    def modify(lab: Lab) -> None:
        lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=lab.id, **attribute)

    return modify


def interfaces() -> Iterator[Case]:
    def case(key: str, made: object, changed: object, look: Look, *rest: Any) -> Case:
        before, after = ({key: value} for value in (made, changed))
        return Case("network_interfaces", key, before, after, look, made, changed, *rest)

    far = {"subnet": {"tags": {"Name": "lab-2"}}}
    yield Case("network_interfaces", "subnet", {}, far, named("subnets", "SubnetId"), "lab", "lab-2", RENEWED)
    yield case("private_ip", "10.0.0.10", "10.0.0.11", shown("PrivateIpAddress"), RENEWED)
    yield case("interface_type", "interface", "trunk", shown("InterfaceType"), RENEWED)
    yield case("security_groups", ["red"], ["blue"], in_groups, MODIFY, into_blue, MODIFY)
    other_words, flipped = modified(Description={"Value": "y"}), modified(SourceDestCheck={"Value": True})
    yield case("description", "x", "", shown("Description"), MODIFY, other_words, MODIFY)
    yield case("source_dest_check", False, True, shown("SourceDestCheck"), MODIFY, flipped, MODIFY)
    yield timeout("tcp_established_timeout", "TcpEstablishedTimeout", 3600, 7200, 350)
    yield timeout("udp_stream_timeout", "UdpStreamTimeout", 90, 120, 60)
    yield timeout("udp_timeout", "UdpTimeout", 60, 45, 30)


def timeout(key: str, param: str, made: int, changed: int, drifted: int) -> Case:
    before, after = ({"connection_tracking": {key: value}} for value in (made, changed))
    look, drift = shown("ConnectionTrackingConfiguration", param), {param: drifted}
    return Case(
        "network_interfaces", f"connection_tracking.{key}", before, after, look, made, changed,
        MODIFY, modified(ConnectionTrackingSpecification=drift), MODIFY,
    )  # fmt: skip


def in_groups(lab: Lab) -> object:
    return [group["GroupName"] for group in lab.found()["Groups"]]


def into_blue(lab: Lab) -> None:
    modified(Groups=[lab.found("security_groups.blue")["GroupId"]])(lab)


def further(
    many: str, count: str, outer: str, inner: str, family: str, param: str, values: tuple[str, str, str]
) -> Iterator[Case]:
    """A list of addresses or prefixes, and their number."""
    one, two, three = values
    calls = (f"Assign{family}", f"Unassign{family}")
    assign, unassign = ("".join(f"_{c.lower()}" if c.isupper() else c for c in call)[1:] for call in calls)

    def look(lab: Lab) -> list[str]:
        return sorted(entry[inner] for entry in lab.found().get(outer, []) if not entry.get("Primary"))

    def number(lab: Lab) -> object:
        return len(look(lab))

    def less(lab: Lab) -> None:
        getattr(lab.ec2, unassign)(NetworkInterfaceId=lab.id, **{param: look(lab)[:1]})

    def others(lab: Lab) -> None:
        less(lab)
        getattr(lab.ec2, assign)(NetworkInterfaceId=lab.id, **{param: [three]})

    def case(
        key: str, look: Look, made: object, changed: object, changes: Calls, drift: Deed, mends: Calls
    ) -> Case:
        before, after = ({"private_ip": "10.0.0.10", key: value} for value in (made, changed))
        return Case("network_interfaces", key, before, after, look, made, changed, changes, drift, mends)

    yield case(many, look, [one, two], [two, three], calls, others, calls)
    yield case(count, number, 2, 1, calls[1:], less, calls[:1])


def attachments() -> Iterator[Case]:
    here = on("web", 1)

    def case(key: str, after: Words, look: Look, made: object, changed: object, *rest: Any) -> Case:
        attribute = f"attachment.{key}" if key else "attachment"
        return Case("network_interfaces", attribute, here, after, look, made, changed, *rest)

    index, card, flag = (
        shown("Attachment", key) for key in ("DeviceIndex", "NetworkCardIndex", "DeleteOnTermination")
    )
    yield case("instance", on("db", 1), holder, "web", "db", MOVED, moved("db", 1), MOVED)
    yield case("device_index", on("web", 2), index, 1, 2, MOVED, moved("web", 3), MOVED)
    yield case("network_card_index", on("web", 1, card=1), card, 0, 1, MOVED, moved("web", 1, card=1), MOVED)
    yield case("delete_on_termination", on("web", 1, flag=True), flag, False, True, MODIFY, doom, MODIFY)
    yield case("", {}, attached, True, False, LEFT, leave, CAME)


def attached(lab: Lab) -> object:
    return "Attachment" in lab.found()


def holder(lab: Lab) -> object:
    there = lab.found()["Attachment"]["InstanceId"]
    return next(name for name in ("web", "db") if lab.found(f"instances.{name}")["InstanceId"] == there)


def leave(lab: Lab) -> None:
    lab.ec2.detach_network_interface(AttachmentId=lab.found()["Attachment"]["AttachmentId"])
    lab.wait()


def moved(instance: str, index: int, card: int = 0) -> Deed:
    def move(lab: Lab) -> None:
        leave(lab)
        there = lab.found(f"instances.{instance}")["InstanceId"]
        lab.ec2.attach_network_interface(
            NetworkInterfaceId=lab.id, InstanceId=there, DeviceIndex=index, NetworkCardIndex=card
        )

    return move


def doom(lab: Lab) -> None:
    attachment = lab.found()["Attachment"]["AttachmentId"]
    modified(Attachment={"AttachmentId": attachment, "DeleteOnTermination": True})(lab)


# ---- of all sections


def tagged(section: str) -> Case:
    def look(lab: Lab) -> object:
        found = lab.found()
        return {tag["Key"]: tag["Value"] for tag in found.get("Tags") or found["TagSet"]}.get("Role")

    def drift(lab: Lab) -> None:
        lab.ec2.create_tags(Resources=[lab.id], Tags=[{"Key": "Role", "Value": "x"}])

    before, after = ({"tags": {"Role": value}} for value in "ab")
    return Case(section, "tags", before, after, look, "a", "b", ("CreateTags",), drift, ("CreateTags",))


CASES = [
    *groups(),
    *instances(),
    *interfaces(),
    *further(
        "secondary_private_ips", "secondary_private_ip_count", "PrivateIpAddresses", "PrivateIpAddress",
        "PrivateIpAddresses", "PrivateIpAddresses", ("10.0.0.20", "10.0.0.21", "10.0.0.22"),
    ),
    *further(
        "ipv6_addresses", "ipv6_address_count", "Ipv6Addresses", "Ipv6Address", "Ipv6Addresses",
        "Ipv6Addresses", ("2001:db8::a", "2001:db8::b", "2001:db8::c"),
    ),
    *further(
        "ipv4_prefixes", "ipv4_prefix_count", "Ipv4Prefixes", "Ipv4Prefix", "PrivateIpAddresses",
        "Ipv4Prefixes", ("10.0.0.32/28", "10.0.0.48/28", "10.0.0.64/28"),
    ),
    *further(
        "ipv6_prefixes", "ipv6_prefix_count", "Ipv6Prefixes", "Ipv6Prefix", "Ipv6Addresses",
        "Ipv6Prefixes", ("2001:db8:0:0:1::/80", "2001:db8:0:0:2::/80", "2001:db8:0:0:3::/80"),
    ),
    *attachments(),
    *(tagged(section) for section in SHOWN),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}-{case.attribute}")
def test_created_kept_corrected_changed(case: Case, harness: Harness) -> None:
    """After each apply another one calls nothing; drift and change are told by the attribute's name."""
    lab, name = Lab(harness, case.section), case.attribute.partition(".")[0]
    # A new instance is attached to by the interface that stays.
    around = {"network_interfaces.eth0": ["attachment"]} if "RunInstances" in case.changes else {}
    differs = {f"{case.section}.a": [name], **around}
    lab.converge(case.before)
    assert case.look(lab) == case.made
    if case.drift is not None:
        case.drift(lab)
        lab.wait()
        assert case.look(lab) != case.made
        assert lab.converge(case.before) == (differs, sorted(case.mends))
        assert case.look(lab) == case.made
    if not case.changes:
        with pytest.raises(SpecErrors, match=f"{case.section}.a.{name}: .*: {name} is "):
            lab.converge(case.after)
        assert lab.harness.strict.mutating() == []
        return
    assert lab.converge(case.after) == (differs, sorted(case.changes))
    assert case.look(lab) == case.changed


WHOLE: dict[str, type[Row]] = {
    "attachment": Attachment,
    "connection_tracking": ConnectionTracking,
    "metadata_options": MetadataOptions,
}
"""Attributes that have keys of their own."""
ELSEWHERE = {
    "attachment.instances": "tests/scenarios/test_failover.py",
    "guest_network": "tests/scenarios/test_guest_network.py",
    "primary_ipv6": "tests/scenarios/test_primary_ipv6.py",
    "attachment.failover": "tests/scenarios/test_failover.py",
    "associate_public_ip_address": "tests/scenarios/test_automatic_addresses.py",
    "routes": "tests/scenarios/test_routes.py",
}
"""Attributes that have tests of their own."""


@pytest.mark.parametrize(
    ("section", "row"),
    [("security_groups", SecurityGroup), ("instances", Instance), ("network_interfaces", NetworkInterface)],
)
def test_every_attribute_has_a_row_here(section: str, row: type[Resource]) -> None:
    """So that none is added without."""
    keys = {
        f"{name}.{key}" for name in row.attributes() for key in (WHOLE[name].model_fields if name in WHOLE else ())
    }
    keys |= {name for name in row.attributes() if name not in WHOLE}
    named = {case.attribute for case in CASES if case.section == section}
    assert keys - ELSEWHERE.keys() == named - {"attachment"}
