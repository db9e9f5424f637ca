"""What EC2 would refuse half way through a plan, found before anything changes. Pure.

A launch or a change of type needs an image, an instance type and a key pair that fit; an interface needs security
groups of its VPC; a rule needs peers that EC2 finds from its VPC. ``questions`` lists what has to be read for the
steps of a plan, ``judge`` compares. What the credentials may not read causes a warning, never an error.
EC2's limits are checked in ``planning.limits``.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from enireconcile.guest.families import is_windows
from enireconcile.kinds.launch import USED, names_used
from enireconcile.kinds.world import Id
from enireconcile.live.records import (
    LiveImage,
    LiveInstance,
    LiveInstanceType,
    LiveNetworkInterface,
    LiveSecurityGroup,
    Platform,
    Questions,
)
from enireconcile.model import Ref, Step
from enireconcile.planning import guests, limits
from enireconcile.planning.limits.case import INTERFACES, Case, Issue
from enireconcile.planning.mistakes import Mistake
from enireconcile.spec import Instance, Path, without_selectors
from enireconcile.spec.checks import peers_of, unreadable_in_metadata
from enireconcile.spec.shapes import resource_id

_GROUPS = "security_groups"
_PEERINGS = ("DescribeVpcPeeringConnections", "DescribeTransitGatewayVpcAttachments")


def questions(case: Case) -> Questions:
    """What has to be read to judge a plan, its limits included."""
    launches = case.calls("RunInstances")
    types = {step.params["InstanceType"] for step in launches} | {kind for _, kind in _resizes(case)}
    pairs, peers = list(_interface_groups(case)), list(_rule_peers(case))
    named = {str(group) for _, _, group, _ in (*pairs, *peers) if isinstance(group, str)}
    return replace(
        limits.questions(case),
        images=frozenset(step.params["ImageId"] for step in launches),
        offered=frozenset(types),
        placement_groups=frozenset(group for _, group in _placements(case)),
        used=frozenset((call, name) for step in launches for call, _, name in names_used(_row(step, case))),
        groups=frozenset(named - {group.id for group in _known_groups(case)}),
        group_vpcs=frozenset(
            (group, vpc) for _, _, group, vpc in pairs if isinstance(group, str) and _vpc_of(group, case) != vpc
        ),
        peers=frozenset((vpc, _vpc_of(peer, case) or str(peer)) for _, _, peer, vpc in peers),
    )


def judge(case: Case) -> limits.Judgement:
    """All mistakes and warnings of a plan, those of its limits included. The steps have their ``needs``."""
    judged = limits.judge(case)
    issues = [
        *_launches(case),
        *_type_changes(case),
        *_placement_groups(case),
        *_groups_on_interfaces(case),
        *_peers(case),
        *_prefix_lists(case),
        *_kept_addresses(case),
        *_metadata_tags(case),
        *_missing_candidates(case),
        *guests.judge(case),
    ]
    mistakes = [issue for issue in issues if isinstance(issue, Mistake)]
    warnings = [issue for issue in issues if isinstance(issue, str)]
    return limits.Judgement((*judged.mistakes, *mistakes), tuple(dict.fromkeys((*judged.warnings, *warnings))))


# ---- launches and changes of the type


def _launches(case: Case) -> Iterator[Issue]:
    for step in case.calls("RunInstances"):
        kind = case.limits.types.get(step.params["InstanceType"])
        image_id = str(step.params["ImageId"])
        if image := case.limits.images.get(image_id):
            yield from _image(step.address, image, kind, case)
            yield from _volumes(step, image, case)
        elif "DescribeImages" in case.limits.read:
            yield case.mistake(
                step.address,
                ("image",),
                f"there is no image {image_id} in {case.live.region} that these credentials can use",
                "see `aws ec2 describe-images`; an image of another account has to be shared with this one",
            )
        zone = _zone_of_launch(step, case)
        yield from _used(step, zone, case)
        if kind is not None and zone:
            yield from _offer(step.address, kind.name, zone, case)
        if kind is not None:
            yield from _lacking(step, kind, case)
        yield from _no_way_back(step, zone, case)


def _image(address: str, image: LiveImage, kind: LiveInstanceType | None, case: Case) -> Iterator[Issue]:
    if image.state not in ("", "available"):
        message = f"{image.id} is {image.state}, and only an available image can be launched"
        yield case.mistake(address, ("image",), message, "choose another image")
    if kind is not None:
        for message, hint in _misfits(image.id, image.platform, kind):
            yield case.mistake(address, ("image",), message, hint)
    row = case.world.document.own_instances[address.partition(".")[2]]
    if row.guest_network is not None and is_windows(image.system):
        message = f"{image.id} is an image of Windows, and guest_network needs cloud-init"
        yield case.mistake(address, ("guest_network",), message, "leave it out")
    if image.platform.root_device == "instance-store":
        yield (
            f"{address}: the root device of {image.id} is instance store: EC2 cannot stop the instance, and its "
            "data is lost when it terminates"
        )


def _misfits(what: str, has: Platform, kind: LiveInstanceType) -> Iterator[tuple[str, str]]:
    """Message and hint for each property of an image or an instance that a type does not support."""
    wanted = (
        ("is for", has.architecture, kind.architectures),
        ("boots with", "" if has.boot_mode == "uefi-preferred" else has.boot_mode, kind.boot_modes),
        ("has the virtualization type", has.virtualization, kind.virtualizations),
        ("has a root device on", has.root_device, kind.root_devices),
    )
    for verb, value, taken in wanted:
        if value and taken and value not in taken:
            yield (
                f"{what} {verb} {value}, and {kind.name} supports {' or '.join(taken)}",
                f"choose an instance type that supports {value}, or an image for {' or '.join(taken)}",
            )
    if kind.requires_ena and has.ena is False:
        yield (
            f"{what} has no support for the Elastic Network Adapter (ENA), and {kind.name} requires it",
            "choose an image with ENA support, or an instance type that does not require it",
        )


def _volumes(step: Step, image: LiveImage, case: Case) -> Iterator[Issue]:
    """Volumes that the image does not allow."""
    address, row = step.address, _row(step, case)
    least = image.devices.get(image.root_device_name, 0)
    if row.root_volume is not None and row.root_volume.size_gib is not None and row.root_volume.size_gib < least:
        message = f"{row.root_volume.size_gib} GiB is less than the root volume of {image.id}"
        yield case.mistake(address, ("root_volume", "size_gib"), message, f"write {least} or more")
    for index, volume in enumerate(row.volumes or ()):
        if volume.device_name == image.root_device_name:
            message = f"{volume.device_name} is the root device of {image.id}"
            hint = "write `root_volume` for it, or choose another device name"
            yield case.mistake(address, ("volumes", index, "device_name"), message, hint)


_FEATURES = {
    "cpu_credits": ("CreditSpecification", "has no CPU credits"),
    "ebs_optimized": ("EbsOptimized", "cannot be EBS-optimized"),
    "hibernation": ("HibernationOptions", "does not support hibernation"),
    "enclave": ("EnclaveOptions", "does not support Nitro Enclaves"),
    "spot": ("InstanceMarketOptions", "is not offered as a Spot Instance"),
}
"""Keys of a row: the parameter of a launch that asks for it, and what a type is without it."""


def _lacking(step: Step, kind: LiveInstanceType, case: Case) -> Iterator[Issue]:
    """What the launch asks for and the instance type does not support."""
    for key, (parameter, message) in _FEATURES.items():
        if key in kind.lacks and parameter in step.params:
            hint = "choose another instance type, or remove the key"
            yield case.mistake(step.address, (key,), f"{kind.name} {message}", hint)
    options = step.params.get("CpuOptions") or {}
    for key, parameter, valid in (
        ("core_count", "CoreCount", kind.cores),
        ("threads_per_core", "ThreadsPerCore", kind.threads),
    ):
        value = options.get(parameter)
        if valid and value is not None and value not in valid:
            message = f"{kind.name} takes {', '.join(map(str, valid))}, not {value}"
            yield case.mistake(step.address, ("cpu_options", key), message, "choose one of these")


def _placements(case: Case) -> Iterator[tuple[Step, str]]:
    """The steps that put an instance into a placement group, with its name."""
    for step in case.calls("RunInstances"):
        if group := (step.params.get("Placement") or {}).get("GroupName"):
            yield step, group
    for step in case.calls("ModifyInstancePlacement"):
        if group := step.params["GroupName"]:
            yield step, group


def _placement_groups(case: Case) -> Iterator[Issue]:
    if "DescribePlacementGroups" not in case.limits.read:
        return
    for step, group in _placements(case):
        strategy = case.limits.placement_groups.get(group)
        kind = case.limits.types.get(str(_row(step, case).instance_type))
        path: Path = ("placement", "group")
        if strategy is None:
            message = f"there is no placement group {group} in {case.live.region}"
            yield case.mistake(step.address, path, message, "see `aws ec2 describe-placement-groups`")
        elif kind is not None and kind.strategies and strategy not in kind.strategies:
            message = f"{kind.name} is not supported in placement groups with the strategy {strategy}"
            yield case.mistake(step.address, path, message, "choose another group, or another instance type")
        elif strategy != "partition" and "PartitionNumber" in (step.params.get("Placement") or {}):
            message = f"{group} has the strategy {strategy}, and so no partitions"
            yield case.mistake(step.address, ("placement", "partition"), message, "remove the key")


def _row(step: Step, case: Case) -> Instance:
    return case.world.document.own_instances[step.address.partition(".")[2]]


def _used(step: Step, zone: str, case: Case) -> Iterator[Issue]:
    """What a launch names, and EC2 does not show or cannot use for it."""
    row = _row(step, case)
    for call, path, name in names_used(row):
        use, live = USED[call], case.limits.used.get((call, name))
        if call not in case.limits.read:
            continue
        if live is None:
            message = f"there is no {use.what} {name} in {case.live.region}"
            yield case.mistake(step.address, path, message, use.look)
            continue
        if use.state and live.state and live.state != use.state:
            message = f"the {use.what} {name} is {live.state}, and has to be {use.state}"
            yield case.mistake(step.address, path, message, use.look)
        kind = step.params["InstanceType"]
        if live.instance_type not in ("", kind):
            message = f"the {use.what} {name} is for {live.instance_type}, and the instance is a {kind}"
            yield case.mistake(step.address, path, message, "name another one, or change the instance type")
        if zone and live.zone not in ("", zone):
            message = f"the {use.what} {name} is in {live.zone}, and the subnet of the instance in {zone}"
            yield case.mistake(step.address, path, message, "name another one, or choose a subnet in its zone")
    for index, volume in enumerate(row.volumes or ()):
        snapshot = case.limits.used.get(("DescribeSnapshots", volume.snapshot_id or ""))
        if snapshot is not None and volume.size_gib is not None and volume.size_gib < snapshot.size:
            message = f"{volume.size_gib} GiB is less than the {snapshot.size} GiB of {volume.snapshot_id}"
            hint = f"write {snapshot.size} or more, or leave it out"
            yield case.mistake(step.address, ("volumes", index, "size_gib"), message, hint)


def _zone_of_launch(step: Step, case: Case) -> str:
    """The zone of the primary interface, which is first; empty if it is not known."""
    interface = case.interface_of(step.params["NetworkInterfaces"][0])
    subnet = case.subnets.get(case.world.subnets.get(interface.partition(".")[2], ""))
    return subnet.zone if subnet else ""


def _offer(address: str, kind: str, zone: str, case: Case) -> Iterator[Issue]:
    if "DescribeInstanceTypeOfferings" not in case.limits.read or (kind, zone) in case.limits.offers:
        return
    zones = sorted(place for name, place in case.limits.offers if name == kind)
    where = f"it is offered in {', '.join(zones)}" if zones else f"no zone of {case.live.region} offers it"
    yield case.mistake(
        address,
        ("instance_type",),
        f"{kind} is not offered in {zone}, where its subnet is; {where}",
        "choose another type, or a subnet in another Availability Zone" if zones else "choose another type",
    )


def _no_way_back(launch: Step, zone: str, case: Case) -> Iterator[str]:
    """The warning of a plan that terminates an instance before it launches the one that takes its place."""
    former = [
        step.params["InstanceIds"][0]
        for step in case.calls("TerminateInstances")
        if step.address == launch.address and step.id in case.predecessors.get(launch.id, ())
    ]
    if former:
        kind = launch.params["InstanceType"]
        where = f" in {zone}" if zone else ""
        yield (
            f"{launch.address}: {' and '.join(former)} is terminated before its replacement is launched. There is "
            f"no way back: if EC2 then has no capacity for {kind}{where}, the instance is missing until a later "
            "run can launch it"
        )


def _resizes(case: Case) -> Iterator[tuple[Step, str]]:
    """The steps that change the type of an instance, with the new type."""
    for step in case.calls("ModifyInstanceAttribute"):
        if "InstanceType" in step.params:
            yield step, str(step.params["InstanceType"]["Value"])


def _type_changes(case: Case) -> Iterator[Issue]:
    for step, name in _resizes(case):
        live, kind = case.world.record(step.address, LiveInstance), case.limits.types.get(name)
        if live is None:
            continue
        path = ("instance_type",)
        if live.platform.root_device == "instance-store":
            message = f"the root device of {live.id} is instance store, so EC2 cannot stop it to change its type"
            yield case.mistake(step.address, path, message, "on_change: replace launches a new instance")
        if kind is not None:
            for message, _ in _misfits(live.id, live.platform, kind):
                hint = "choose another type; on_change: replace launches a new instance from a fitting image"
                yield case.mistake(step.address, path, message, hint)
            yield from _offer(step.address, kind.name, live.zone, case) if live.zone else ()


# ---- security groups


def _known_groups(case: Case) -> list[LiveSecurityGroup]:
    """The live groups that the stack owns, adopts or selects."""
    records = (*case.live.security_groups, *case.live.adoptable, *case.live.foreign_groups)
    return [record for record in records if isinstance(record, LiveSecurityGroup)]


def _vpc_of(group: Id, case: Case) -> str:
    """The VPC of a group; empty for a foreign group that was not read, or that EC2 does not show."""
    if isinstance(group, Ref):
        return case.world.vpcs.get(group.address.partition(".")[2], "")
    known = {record.id: record for record in _known_groups(case)}
    found = known.get(group) or case.limits.groups.get(group)
    return found.vpc_id if found else ""


def _id_of(named: str, case: Case) -> Id:
    return named if resource_id("sg", named) else case.world.id_of(f"{_GROUPS}.{named}")


def _interface_groups(case: Case) -> Iterator[tuple[str, Path, Id, str]]:
    """Each group that the plan gives to an interface: interface, path in its row, group, VPC."""
    for step in case.steps:
        row = case.world.document.network_interfaces.get(step.address.partition(".")[2])
        if "Groups" not in step.params or row is None or not step.address.startswith(f"{INTERFACES}."):
            continue
        live = case.world.record(step.address, LiveNetworkInterface)
        subnet = case.subnets.get(step.params.get("SubnetId") or (live.subnet_id if live else ""))
        for index, named in enumerate(without_selectors(row.security_groups)):
            if subnet is not None:
                yield step.address, ("security_groups", index), _id_of(named, case), subnet.vpc_id


def _groups_on_interfaces(case: Case) -> Iterator[Issue]:
    for address, path, group, vpc in _interface_groups(case):
        own = _vpc_of(group, case)
        if not own:
            yield from _missing_group(address, path, group, case)
        elif own != vpc and _is_only_there(group, vpc, case):
            # Neither the VPC of the group nor that of the interface can be changed once it is made.
            touches = [group.address] if isinstance(group, Ref) else []
            yield case.mistake(address, path, *_other_vpc(address, group, own, vpc, case), touches=touches)


def _missing_group(address: str, path: Path, group: Id, case: Case) -> Iterator[Issue]:
    if isinstance(group, str) and "DescribeSecurityGroups" in case.limits.read:
        message = f"there is no security group {group} in {case.live.region}"
        yield case.mistake(address, path, message, "see `aws ec2 describe-security-groups`")


def _is_only_there(group: Id, vpc: str, case: Case) -> bool:
    """Is it known that this VPC cannot use a group of another VPC? A group can be associated with further VPCs."""
    if isinstance(group, Ref):
        return True
    read = "DescribeSecurityGroupVpcAssociations" in case.limits.read
    return read and (group, vpc) not in case.limits.group_vpcs


def _other_vpc(address: str, group: Id, own: str, vpc: str, case: Case) -> tuple[str, str]:
    """Message and hint for a group whose VPC is not that of the interface."""
    name = case.world.name_of(group) if isinstance(group, str) else group.address.partition(".")[2]
    row = case.world.document.security_groups.get(name)
    interface = address.partition(".")[2]
    hint = f"choose a security group of {vpc}, or a subnet in {own}"
    why = ""
    if row is not None and isinstance(group, Ref):
        hint = f"write `vpc: {vpc}` in {_GROUPS}.{name}"
    elif row is not None:
        hint += f"; EC2 cannot move {group} to another VPC"
    if row is not None and row.leaves_out_vpc:
        why = " (`vpc` left out means the default VPC)"
    return f"{name} is in {own}{why}, {interface}'s subnet is in {vpc}", hint


def _rule_peers(case: Case) -> Iterator[tuple[str, Path, Id, str]]:
    """Each group in a rule that the plan adds: the rule's group, the peer's path in it, the peer, the VPC."""
    for address, path, named in _added_peers(case):
        if named != "self" and "/" not in named and not resource_id("pl", named):
            yield address, path, _id_of(named, case), _vpc_of(case.world.id_of(address), case)


def _added_peers(case: Case) -> Iterator[tuple[str, Path, str]]:
    """Each source and destination in the rules that the plan adds to a group of the spec."""
    for step in case.calls("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"):
        name = step.address.partition(".")[2]
        row = case.world.document.security_groups.get(name)
        added = {
            entry[key]
            for permission in step.params["IpPermissions"]
            for entries, key in (("UserIdGroupPairs", "GroupId"), ("PrefixListIds", "PrefixListId"))
            for entry in permission.get(entries) or ()
            # EC2 does not list groups of other accounts.
            if not entry.get("UserId")
        }
        direction = "ingress" if step.call.endswith("Ingress") else "egress"
        for path, named in peers_of(name, row) if row is not None else ():
            if not isinstance(named, str) or path[2] != direction or named == "self" or "/" in named:
                continue
            if (named if resource_id("pl", named) else _id_of(named, case)) in added:
                yield step.address, path[2:], named


def _peers(case: Case) -> Iterator[Issue]:
    """Peers that do not exist, or that rules in this VPC cannot name."""
    for address, path, peer, vpc in _rule_peers(case):
        own = _vpc_of(peer, case)
        if not own:
            yield from _missing_group(address, path, peer, case)
        elif (
            own != vpc
            and case.limits.read.issuperset(_PEERINGS)
            and frozenset({own, vpc}) not in case.limits.connected
        ):
            name = case.world.name_of(peer) if isinstance(peer, str) else peer.address.partition(".")[2]
            yield case.mistake(
                address,
                path,
                f"{name} is in {own}, {address.partition('.')[2]} is in {vpc}, and the two VPCs are not peered",
                f"name a security group of {vpc}, or a CIDR",
            )


def _prefix_lists(case: Case) -> Iterator[Issue]:
    if "DescribeManagedPrefixLists" not in case.limits.read:
        return
    for address, path, named in (*_added_peers(case), *_destinations(case)):
        if resource_id("pl", named) and named not in case.limits.prefix_lists:
            message = f"there is no prefix list {named} in {case.live.region}"
            yield case.mistake(address, path, message, "see `aws ec2 describe-managed-prefix-lists`")


def _destinations(case: Case) -> Iterator[tuple[str, Path, str]]:
    """The prefix lists that are destinations of new routes: address and path of each, and its id."""
    for address, named in limits.routes.prefix_lists(case):
        row = case.world.document.network_interfaces[address.partition(".")[2]]
        for index, route in enumerate(row.routes):
            if route.destination == named:
                yield address, ("routes", index, "destination"), named


# ---- addresses


def _kept_addresses(case: Case) -> Iterator[Issue]:
    """A private_ip for a new interface that is the primary address of another one: EC2 never moves that."""
    primaries = {
        (live.subnet_id, live.private_ip): (address, live.id)
        for address, live in case.world.owned.items()
        if isinstance(live, LiveNetworkInterface)
    }
    for step in case.calls("CreateNetworkInterface"):
        private_ip = case.world.document.network_interfaces[step.address.partition(".")[2]].private_ip
        holder, aws_id = primaries.get((str(step.params["SubnetId"]), private_ip or ""), ("", ""))
        if holder:
            yield case.mistake(
                step.address,
                ("private_ip",),
                f"{private_ip} is the primary address of {holder} ({aws_id}), which keeps it",
                f"choose another private_ip, or write another one for {holder}, which is then replaced",
            )


# ---- tags in the instance metadata


def _metadata_tags(case: Case) -> Iterator[Issue]:
    """Tags that EC2 refuses while the instance metadata shows tags. The file's tags were checked with the file."""
    for step in case.calls("ModifyInstanceMetadataOptions"):
        live = case.world.record(step.address, LiveInstance)
        keys = unreadable_in_metadata(live.tags) if live else []
        if keys and step.params.get("InstanceMetadataTags") == "enabled" and live is not None:
            yield case.mistake(
                step.address,
                ("metadata_options", "instance_metadata_tags"),
                f"{live.id} has tags that the instance metadata cannot show: {', '.join(map(repr, keys))}",
                "remove these tags, or write `instance_metadata_tags: disabled`",
            )
    for step in case.calls("CreateTags"):
        live = case.world.record(step.address, LiveInstance)
        keys = unreadable_in_metadata(tag["Key"] for tag in step.params["Tags"])
        shown = live is not None and live.metadata_options.get("InstanceMetadataTags") == "enabled"
        if keys and shown and live is not None:
            yield case.mistake(
                step.address,
                ("tags",),
                f"the instance metadata of {live.id} shows its tags, and cannot show {', '.join(map(repr, keys))}",
                "rename these tags, or apply `instance_metadata_tags: disabled` first",
            )


# ---- failover


def _missing_candidates(case: Case) -> Iterator[str]:
    """Warnings of external instances that do not exist, with the instances that can hold the interface instead."""
    gone = set(case.world.document.external_instances) - set(case.world.externals)
    for name, row in sorted(case.world.document.network_interfaces.items()):
        candidates = row.attachment.instances if row.attachment else None
        missing = [each for each in candidates or () if each in gone]
        rest = [each for each in candidates or () if each not in gone]
        if missing:
            holders = f"only {' or '.join(rest)}" if rest else "no instance"
            yield (
                f"{INTERFACES}.{name}: no instance matches the `external` selector of {' or '.join(missing)}, "
                f"so {holders} can get this interface"
            )
