"""The books of an account: whatever a spec names is there exactly once, exactly so, and nothing else is.

Read from the strict EC2's own records, not through any describe: no filter, no page, no delay hides anything.
"""

from __future__ import annotations

import base64
import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from enireconcile.model import Template
from enireconcile.spec import Attachment, Document, ForeignSelector, Spec, without_selectors
from enireconcile.spec import rows as spec_rows
from enireconcile.spec.launch import RootVolume
from enireconcile.spec.rows import ADDRESS_KEYS, Association, EgressRule, IngressRule, NetworkInterface
from tests.ec2 import World
from tests.ec2.records import Address, Group, Instance, Interface, Resource

Identity = tuple[bool, str, int | None, int | None, str, str, str]
"""Egress?, protocol, first port, last port, kind of the other end, the other end, description."""

NUMBERS = {"gre": "47", "esp": "50", "ah": "51"}
STACK, NAME, USER_DATA = "enireconcile:stack", "enireconcile:name", "enireconcile:user-data"
REPLACES = "enireconcile:replaces"
LAUNCH = "enireconcile:launch"


def assert_exact(world: World, spec: Spec, strangers: Iterable[str] = ()) -> None:
    """The account holds what the spec says and, the ``strangers`` by id aside, nothing else.

    What is wrong is told in one go: what is missing, there twice, left over, or otherwise than it should be.
    """
    world.settle()
    complaints = list(Books(world, spec.document, frozenset(strangers)).complaints())
    assert not complaints, "\n".join(complaints)


def assert_nothing_too_much(world: World, spec: Spec, strangers: Iterable[str] = ()) -> None:
    """Resources of the spec may be missing or unfinished; none is there twice, or without an owner."""
    world.settle()
    books = Books(world, spec.document, frozenset(strangers))
    complaints = [each for each in books.complaints() if not each.startswith(("missing:", "otherwise:"))]
    assert not complaints, "\n".join(complaints)


def twins(world: World, spec: Spec) -> dict[str, list[str]]:
    """The addresses of the spec that are there more than once, with their ids."""
    by_address: dict[str, list[str]] = {}
    data = world.data
    for records in (data.groups, data.instances, data.interfaces, data.addresses):
        for record in records.values():
            gone = isinstance(record, Instance) and record.state == "terminated"
            if record.tags.get(STACK) == spec.document.stack and not gone:
                by_address.setdefault(record.tags.get(NAME, ""), []).append(record.id)
    return {address: sorted(ids) for address, ids in sorted(by_address.items()) if len(ids) > 1}


@dataclass
class Books:
    """One look at a world, with a spec in hand. ``ours`` gets the one record of each address that has one."""

    world: World
    document: Document
    strangers: frozenset[str] = frozenset()
    ours: dict[str, Resource] = field(default_factory=dict)

    def complaints(self) -> Iterator[str]:
        document = self.document
        yield from self._counted("security_groups", document.security_groups, self._groups())
        yield from self._counted("instances", document.own_instances, self._instances())
        yield from self._counted(
            "network_interfaces", document.network_interfaces, self.world.data.interfaces.values()
        )
        yield from self._counted("elastic_ips", document.elastic_ips, self.world.data.addresses.values())
        yield from self._others()
        for address, record in self.ours.items():
            name = address.partition(".")[2]
            if isinstance(record, Group):
                yield from self._group(name, record)
            elif isinstance(record, Instance):
                yield from self._instance(name, record)
            elif isinstance(record, Interface):
                yield from self._interface(name, record)
            elif isinstance(record, Address):
                yield from self._address(name, record)

    # ---- how many

    def _groups(self) -> list[Group]:
        """All but those that every VPC is born with."""
        return [group for group in self.world.data.groups.values() if group.name != "default"]

    def _instances(self) -> list[Instance]:
        return [each for each in self.world.data.instances.values() if each.state != "terminated"]

    def _counted(self, section: str, names: Iterable[str], present: Iterable[Resource]) -> Iterator[str]:
        found: dict[str, list[Resource]] = {f"{section}.{name}": [] for name in names}
        for record in present:
            if record.id in self.strangers:
                continue
            address = record.tags.get(NAME, "")
            if record.tags.get(STACK) != self.document.stack:
                yield f"leaked: {record.id} carries no tag of the stack: {record.tags}"
            elif address not in found:
                yield f"left over: {record.id} is {address or 'nameless'}"
            else:
                found[address].append(record)
        for address, records in found.items():
            if len(records) == 1:
                self.ours[address] = records[0]
            elif records:
                yield f"{len(records)} times: {address} is {' and '.join(record.id for record in records)}"
            else:
                yield f"missing: {address}"

    def _others(self) -> Iterator[str]:
        """The stack tag on anything else, and disks without an instance."""
        data = self.world.data
        others: list[Mapping[str, Resource]] = [data.vpcs, data.subnets, data.gateways, data.images, data.volumes]
        others += [group.rules for group in data.groups.values()]
        defaults = {group.id: group for group in data.groups.values() if group.name == "default"}
        for records in (*others, defaults):
            for record in records.values():
                if STACK in record.tags:
                    yield f"left over: {record.id} carries the tag of the stack"
        live = {instance.id for instance in self._instances()}
        for volume in data.volumes.values():
            if volume.instance_id not in live and volume.delete_on_termination:
                yield f"leaked: {volume.id} was of {volume.instance_id}"

    # ---- how

    def _differing(
        self, address: str, expected: Mapping[str, object], actual: Mapping[str, object]
    ) -> Iterator[str]:
        for name, value in expected.items():
            if value != actual[name]:
                yield f"otherwise: {address}: {name} is {actual[name]}, not {value}"

    def _tags(self, address: str, own: Mapping[str, str | Template]) -> dict[str, str | Template]:
        name = address.partition(".")[2]
        return {"Name": name, **self.document.tags, **own, STACK: self.document.stack, NAME: address}

    def _ids(self, section: str, names: Iterable[str]) -> set[str]:
        return {self.ours[f"{section}.{name}"].id for name in names if f"{section}.{name}" in self.ours}

    def _selected(self, selector: ForeignSelector, vpc_id: str) -> str:
        """The id of the one group of this name in a VPC."""
        [found] = [
            each.id
            for each in self.world.data.groups.values()
            if (each.name, each.vpc_id) == (selector.group_name, vpc_id)
        ]
        return found

    def _group(self, name: str, live: Group) -> Iterator[str]:
        row, address = self.document.security_groups[name], f"security_groups.{name}"
        default = self.world.default_vpc()
        wanted = Counter(rule for each in row.ingress for rule in self._rules(live, each))
        if row.egress is None:
            wanted[(True, "-1", None, None, "v4", "0.0.0.0/0", "")] += 1
            if self.world.data.vpcs[live.vpc_id].ipv6_cidr:
                wanted[(True, "-1", None, None, "v6", "::/0", "")] += 1
        wanted.update(rule for each in row.egress or () for rule in self._rules(live, each))
        present = Counter((*rule.identity, rule.description or "") for rule in live.rules.values())
        yield from (f"missing: {address} has no rule {rule}" for rule in wanted - present)
        yield from (f"left over: {address} has the rule {rule}" for rule in present - wanted)
        expected = {
            "name": row.group_name or name,
            "description": row.description,
            "vpc": default.id if default else None,
            "tags": self._tags(address, row.tags),
        }
        actual = {"name": live.name, "description": live.description, "vpc": live.vpc_id, "tags": live.tags}
        yield from self._differing(address, expected, actual)

    def _rules(self, group: Group, row: IngressRule | EgressRule) -> Iterator[Identity]:
        """One rule of EC2 for each other end that a row names."""
        first = last = None
        if row.protocol in ("tcp", "udp"):
            first, last = (row.ports.first, row.ports.last) if row.ports else (0, 65535)
        elif row.protocol in ("icmp", "icmpv6"):
            first, last = (row.ports.first, row.ports.code) if row.ports else (-1, -1)
            last = -1 if last is None else last
        egress = isinstance(row, EgressRule)
        for end in row.destinations if isinstance(row, EgressRule) else row.sources:
            kind, other = "group", str(end)
            if isinstance(end, ForeignSelector):
                other = self._selected(end, group.vpc_id)
            elif "/" in end:
                kind = "v6" if ":" in end else "v4"
            elif end == "self":
                other = group.id
            elif f"security_groups.{end}" in self.ours:
                other = self.ours[f"security_groups.{end}"].id
            yield (egress, NUMBERS.get(row.protocol, row.protocol), first, last, kind, other, row.description)

    def _instance(self, name: str, live: Instance) -> Iterator[str]:
        row, address = self.document.own_instances[name], f"instances.{name}"
        tags = self._tags(address, row.tags)
        if row.user_data is not None:
            tags[USER_DATA] = live.tags.get(USER_DATA, "a hash")
        on_it = [
            each
            for each, interface in self.document.network_interfaces.items()
            if interface.attachment and self._belongs(each, interface.attachment, name, live)
        ]
        if LAUNCH in live.tags:
            # What was left out later, or is only told of, keeps its hash.
            tags[LAUNCH] = live.tags[LAUNCH]
        yield from self._settings(address, row, live)
        hops = live.metadata["HttpPutResponseHopLimit"]
        expected = {
            "state": row.state,
            "instance_type": row.instance_type,
            "key_name": row.key_name,
            "profile": row.iam_instance_profile,
            "user_data": row.user_data,
            "protected": bool(row.termination_protection),
            "options": (
                row.metadata_options.http_tokens,
                row.metadata_options.http_put_response_hop_limit or hops,
                row.metadata_options.http_endpoint,
                row.metadata_options.instance_metadata_tags,
            ),
            "image": self._image(name),
            "interfaces": self._ids("network_interfaces", on_it),
            "tags": tags,
        }
        actual = {
            "state": live.state,
            "instance_type": live.instance_type,
            "key_name": live.key_name,
            "profile": live.profile,
            "user_data": base64.b64decode(live.user_data).decode() if live.user_data else None,
            "protected": live.no_termination,
            "options": (
                live.metadata["HttpTokens"],
                hops,
                live.metadata["HttpEndpoint"],
                live.metadata["InstanceMetadataTags"],
            ),
            "image": live.image_id,
            "interfaces": set(live.interface_ids),
            "tags": live.tags,
        }
        yield from self._differing(address, expected, actual)

    def _settings(self, address: str, row: spec_rows.Instance, live: Instance) -> Iterator[str]:
        """What a row writes of a launch; what EC2 sets at launch only, where a change takes another instance."""
        present: dict[str, object] = {
            "monitoring": live.monitoring,
            "auto_recovery": live.auto_recovery == "default",
            "stop_protection": live.no_stop,
            "shutdown_behavior": live.shutdown_behavior,
            "ebs_optimized": live.ebs_optimized,
            "cpu_credits": live.cpu_credits,
        }
        wanted = {key: getattr(row, key) for key in present if getattr(row, key) is not None}
        if row.placement is not None and row.placement.group is not None:
            present["group"], wanted["group"] = live.placement.get("GroupName", ""), row.placement.group
        if row.on_change == "replace":
            present |= {key: value for key, value in self._launched(live).items() if getattr(row, key) is not None}
            wanted |= {key: value for key, value in self._launch(row).items() if getattr(row, key) is not None}
            yield from self._disks(address, row, live)
        yield from self._differing(address, wanted, present)

    def _launched(self, live: Instance) -> dict[str, object]:
        """What EC2 sets at launch only, by the keys of the spec."""
        request = self.world.data.spot_requests.get(live.spot_request or "")
        return {
            "hibernation": live.hibernation,
            "enclave": live.enclave,
            "cpu_options": live.cpu,
            "capacity_reservation": live.reservation,
            "placement": (live.tenancy, live.placement.get("PartitionNumber"), live.placement.get("HostId")),
            "spot": request and (request.type, request.max_price),
        }

    def _launch(self, row: spec_rows.Instance) -> dict[str, object]:
        """What a row wants of that."""
        place, spot = row.placement, row.spot
        cpu = row.cpu_options
        reserved = row.capacity_reservation
        target = reserved.capacity_reservation_target if reserved else None
        tenancy = place and (place.tenancy or ("host" if place.host_id else "default"))
        return {
            "hibernation": row.hibernation and row.hibernation.configured,
            "enclave": row.enclave and row.enclave.enabled,
            "cpu_options": cpu and _named({_CPU[key]: value for key, value in cpu}),
            "capacity_reservation": reserved
            and _named(
                {
                    "CapacityReservationPreference": reserved.capacity_reservation_preference,
                    "CapacityReservationTarget": target and _named({_TARGET[key]: value for key, value in target}),
                }
            ),
            "placement": place and (tenancy, place.partition, place.host_id),
            "spot": spot and (spot.spot_instance_type, spot.max_price or ""),
        }

    def _disks(self, address: str, row: spec_rows.Instance, live: Instance) -> Iterator[str]:
        disks = {self.world.data.volumes[each].device: self.world.data.volumes[each] for each in live.volumes}
        rows = {each.device_name: each for each in row.volumes or ()}
        if row.volumes is not None and set(rows) != set(disks) - {"/dev/xvda"}:
            yield f"otherwise: {address}: its volumes are {sorted(disks)}"
        written: dict[str, RootVolume] = {**rows}
        if row.root_volume is not None:
            written["/dev/xvda"] = row.root_volume
        for device, volume in written.items():
            disk = disks[device]
            present = {
                "size_gib": disk.size,
                "type": disk.volume_type,
                "iops": disk.iops,
                "throughput": disk.throughput,
                "encrypted": disk.encrypted,
                "kms_key_id": disk.kms_key_id,
                "delete_on_termination": disk.delete_on_termination,
                "snapshot_id": disk.snapshot_id,
                "device_name": device,
            }
            wanted = {key: value for key, value in volume if value is not None}
            yield from self._differing(f"{address} {device}", wanted, present)
        for disk in disks.values() if row.volume_tags is not None else ():
            tags = {**self.document.tags, **row.tags, **(row.volume_tags or {})}
            yield from self._differing(f"{address} {disk.device}", {"tags": tags}, {"tags": disk.tags})

    def _belongs(self, interface: str, place: Attachment, instance: str, live: Instance) -> bool:
        """Is it to be on the instance? Of several, where it stands; who may hold it is asked elsewhere."""
        if place.instances is None:
            return place.instance == instance
        return instance in place.instances and self._ids("network_interfaces", [interface]) <= set(
            live.interface_ids
        )

    def _image(self, name: str) -> str:
        """The newest image that fits."""
        selector = self.document.own_instances[name].image
        assert selector is not None
        if selector.id:
            return selector.id
        if selector.ssm:
            return self.world.data.parameters[selector.ssm]
        fitting = [
            image
            for image in self.world.data.images.values()
            if selector.owner in (image.owner_id, image.owner_alias)
            and fnmatch.fnmatchcase(image.name, selector.name or "")
        ]
        return max(fitting, key=lambda image: image.creation_date).id

    def _interface(self, name: str, live: Interface) -> Iterator[str]:
        row, address = self.document.network_interfaces[name], f"network_interfaces.{name}"
        assert row.subnet is not None
        data = self.world.data
        groups = self._ids("security_groups", without_selectors(row.security_groups))
        groups |= {
            self._selected(each, live.vpc_id)
            for each in row.security_groups or ()
            if isinstance(each, ForeignSelector)
        }
        if row.security_groups is None:
            groups = {
                each.id for each in data.groups.values() if (each.name, each.vpc_id) == ("default", live.vpc_id)
            }
        subnet = data.subnets[live.subnet_id]
        place = row.attachment
        written = row.connection_tracking.written if row.connection_tracking else {}
        timeouts = {_CAMEL[name]: value for name, value in written.items()}
        expected: dict[str, object] = {
            "zone": row.subnet.default_for_az or subnet.zone,
            "cidr": row.subnet.cidr or subnet.cidr,
            "private_ip": row.private_ip or next(iter(live.ips), None),
            **_pools(row, live),
            "interface_type": row.interface_type,
            "timeouts": timeouts,
            "groups": groups,
            "description": row.description,
            "source_dest_check": row.source_dest_check,
            "attachment": None
            if place is None or not (holders := self._holders(place, live))
            else (
                holders,
                place.device_index,
                place.network_card_index,
                place.delete_on_termination,
                "attached",
            ),
            "tags": self._tags(address, row.tags),
        }
        held = live.attachment
        actual: dict[str, object] = {
            "zone": subnet.zone if subnet.default_for_az else None,
            "cidr": subnet.cidr,
            "private_ip": next(iter(live.ips), None),
            **{many: sorted(held) for many, held in _held(live).items()},
            "interface_type": live.interface_type,
            "timeouts": {name: live.connection_tracking.get(name) for name in timeouts},
            "groups": set(live.group_ids),
            "description": live.description,
            "source_dest_check": live.source_dest_check,
            "attachment": None
            if held is None
            else (
                {held.instance_id},
                held.device_index,
                held.card,
                held.delete_on_termination,
                held.status,
            ),
            # The id of a predecessor that is gone says nothing any more.
            "tags": {
                key: value
                for key, value in live.tags.items()
                if key != REPLACES or value in self.world.data.interfaces
            },
        }
        yield from self._differing(address, expected, actual)

    def _holders(self, place: Attachment, live: Interface) -> set[str]:
        """The instances that may hold an interface: of several a healthy one; without one, the present holder."""
        candidates = self._ids("instances", list(place.candidates)) | self._external(place.candidates)
        if place.instances is None:
            return candidates
        states = {name: each.state for name, each in self.world.data.instances.items()}
        alive = place.failover is not None and place.failover.health == "none"
        healthy = {each for each in candidates if alive or states.get(each) == "running"}
        here = {str(live.attachment.instance_id)} if live.attachment else set()
        return here if here & healthy or not healthy else healthy

    def _external(self, names: Iterable[str]) -> set[str]:
        """The instances of others by these names, which are selected by tags."""
        selectors = [row.external for name, row in self.document.external_instances.items() if name in names]
        return {
            each.id
            for each in self._instances()
            for selector in selectors
            if selector.tags and selector.tags.items() <= each.tags.items()
        }

    def _address(self, name: str, live: Address) -> Iterator[str]:
        row, address = self.document.elastic_ips[name], f"elastic_ips.{name}"
        expected = {
            "association": self._place(row.association, live),
            "tags": self._tags(address, row.tags),
            "name": live.ptr if row.reverse_dns is None else f"{row.reverse_dns}." if row.reverse_dns else None,
            "pending": None,
            "pool": row.public_ipv4_pool or live.pool,
            "border_group": row.network_border_group or live.border_group,
            "address": row.address or live.public_ip,
        }
        actual = {
            "association": (live.interface_id, live.private_ip),
            "tags": live.tags,
            "name": live.ptr,
            "pending": live.ptr_update,
            "pool": live.pool,
            "border_group": live.border_group,
            "address": live.public_ip,
        }
        yield from self._differing(address, expected, actual)

    def _place(self, row: Association | None, live: Address) -> tuple[str | None, str | None]:
        """The interface and the private address that an Elastic IP leads to; of secondary ones, the one it has."""
        if row is None:
            return None, None
        named = row.network_interface or self.document.primary_interface(row.instance or "")
        record = self.ours.get(f"network_interfaces.{named}") or self.world.data.interfaces.get(named or "")
        if not isinstance(record, Interface):
            return "?", "?"
        if row.secondary:
            return record.id, live.private_ip if live.private_ip in record.ips[1:] else "?"
        return record.id, row.private_ip or record.ips[0]


_CPU = {"core_count": "CoreCount", "threads_per_core": "ThreadsPerCore", "amd_sev_snp": "AmdSevSnp"}
_TARGET = {
    "capacity_reservation_id": "CapacityReservationId",
    "capacity_reservation_resource_group_arn": "CapacityReservationResourceGroupArn",
}


def _named(values: Mapping[str, object]) -> dict[str, object]:
    """What is written."""
    return {key: value for key, value in values.items() if value is not None}


_CAMEL = {
    "tcp_established_timeout": "TcpEstablishedTimeout",
    "udp_stream_timeout": "UdpStreamTimeout",
    "udp_timeout": "UdpTimeout",
}


def _held(live: Interface) -> dict[str, list[str]]:
    """What an interface has beyond its primary address, by the keys of the spec."""
    return {
        "secondary_private_ips": live.ips[1:],
        "ipv6_addresses": live.ipv6,
        "ipv4_prefixes": live.prefixes4,
        "ipv6_prefixes": live.prefixes6,
    }


def _pools(row: NetworkInterface, live: Interface) -> dict[str, object]:
    """The addresses that it should have: those in a list, as many as a count says, else none."""
    expected: dict[str, object] = {}
    for many, count in ADDRESS_KEYS:
        held, number = sorted(_held(live)[many]), getattr(row, count)
        if getattr(row, many) is not None:
            expected[many] = sorted(getattr(row, many))
        else:
            expected[many] = held if number == len(held) else f"{number or 0} of EC2's choice"
    return {many: [] if value == "0 of EC2's choice" else value for many, value in expected.items()}
