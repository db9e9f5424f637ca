"""EC2's attachments, associations and assignments as a handful of dicts: what a step of a plan may and may not do.

Only what order can get wrong is here: a slot and an interface are taken once, a private IP has one Elastic IP and
takes it along, an address is on one interface at a time, a primary interface never leaves. Waiting is the passing
of time: whatever is on its way out is out afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jmespath

from enireconcile.aws.poller import fulfilled
from enireconcile.model import (
    Expect,
    Ref,
    Step,
)
from enireconcile.ownership import (
    NAME_TAG,
)

Described = dict[str, Any]


class Refused(Exception):
    """EC2 would have said no, or a condition did not come."""


@dataclass
class Attached:
    """Where an interface is. An instance that this world does not list is a stranger's and runs."""

    instance: str
    index: int
    id: str
    delete_on_termination: bool = False
    detaching: bool = False


@dataclass
class Ec2:
    """The world. Values that are None stand for free; ``names`` maps our ids to logical names.

    ``instances`` maps ids to states, ``types`` those that are no t3.micro to their types.

    ``further`` has, by interface, its addresses and prefixes beyond the primary address, of all sorts. An Elastic
    IP that is on one of these, and not on the primary address, has it in ``spots``. ``checks`` are the interfaces'
    source_dest_check where it is not as EC2 makes them, ``pointers`` what Elastic IPs lead back to.
    """

    instances: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, Attached | None] = field(default_factory=dict)
    addresses: dict[str, str | None] = field(default_factory=dict)
    associations: dict[str, str] = field(default_factory=dict)
    further: dict[str, set[str]] = field(default_factory=dict)
    spots: dict[str, str] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    made: dict[Ref, str] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))

    def run(self, step: Step) -> None:
        """Wait, call, wait, as the executor does. Raises Refused."""
        for expect in step.when:
            self._await(expect)
        params = self._filled(step.params)
        response = getattr(self, f"_{step.call}")(params)
        self.made |= {ref: jmespath.search(path, response) for ref, path in step.yields.items()}
        if step.until is not None:
            found = self._await(step.until)
            self.made |= {ref: jmespath.search(path, found) for ref, path in step.sees.items()}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.made[value]
        if isinstance(value, Mapping):
            return {key: self._filled(item) for key, item in value.items()}
        return [self._filled(item) for item in value] if isinstance(value, (list, tuple)) else value

    # ---- describing and waiting

    def _await(self, expect: Expect) -> Described:
        if expect.timeout:
            self._pass_time()
        found = self._described(self._filled(expect.id))
        if not (found and fulfilled(expect.has, found)) and not (expect.gone and not found):
            raise Refused(f"{expect} does not come: {found}")
        return found

    def _pass_time(self) -> None:
        for instance in [name for name, state in self.instances.items() if state == "shutting-down"]:
            del self.instances[instance]
            for place in self.interfaces.values():
                if place and place.instance == instance:
                    place.detaching = True
        moves = {"pending": "running", "stopping": "stopped"}
        self.instances = {name: moves.get(state, state) for name, state in self.instances.items()}
        self.interfaces = {
            name: None if place and place.detaching else place for name, place in self.interfaces.items()
        }

    def _described(self, aws_id: str) -> Described:
        """What a describe call shows of one object; empty when there is none."""
        if aws_id in self.instances:
            there = [name for name, place in self.interfaces.items() if place and place.instance == aws_id]
            return {
                "State": {"Name": self.instances[aws_id]},
                "NetworkInterfaces": [self._described(name) for name in there],
            }
        if aws_id in self.addresses:
            held = self.addresses[aws_id] is not None
            return {
                "AssociationId": self.associations[aws_id] if held else None,
                "PtrRecord": self.pointers.get(aws_id),
            }
        if aws_id not in self.interfaces:
            return {}
        place, holder = self.interfaces[aws_id], self.holder(aws_id)
        described: Described = {"Status": "in-use" if place else "available"}
        if holder:
            described["Association"] = {"AllocationId": holder}
        described["PrivateIpAddresses"] = [
            {"PrivateIpAddress": each, "Association": {"AllocationId": self.holder(aws_id, each)}}
            for each in sorted(self.further.get(aws_id, ()))
        ]
        if place:
            described["Attachment"] = {
                "AttachmentId": place.id,
                "InstanceId": place.instance,
                "DeviceIndex": place.index,
                "Status": "detaching" if place.detaching else "attached",
            }
        return described

    def holder(self, interface: str, private_ip: str | None = None) -> str | None:
        """The Elastic IP on a private IP of an interface, on the primary one unless another is named."""
        for address, target in self.addresses.items():
            if (target, self.spots.get(address)) == (interface, private_ip):
                return address
        return None

    # ---- calls

    def _new(self, prefix: str, params: Described) -> str:
        tags = {tag["Key"]: tag["Value"] for tag in params["TagSpecifications"][0]["Tags"]}
        aws_id = f"{prefix}-new-{next(self.numbers)}"
        self.names[aws_id] = tags[NAME_TAG].partition(".")[2]
        return aws_id

    def _CreateNetworkInterface(self, params: Described) -> Described:  # noqa: N802
        interface = self._new("eni", params)
        self.interfaces[interface] = None
        return {"NetworkInterface": {"NetworkInterfaceId": interface}}

    def _AllocateAddress(self, params: Described) -> Described:  # noqa: N802
        address = self._new("eipalloc", params)
        self.addresses[address] = None
        return {"AllocationId": address, "PublicIp": "192.0.2.1"}

    def _RunInstances(self, params: Described) -> Described:  # noqa: N802
        instance = self._new("i", params)
        self.instances[instance] = "pending"
        self.types[instance] = params["InstanceType"]
        for row in params["NetworkInterfaces"]:
            self._attach(row["NetworkInterfaceId"], instance, row["DeviceIndex"])
        return {"Instances": [{"InstanceId": instance}]}

    def _StartInstances(self, params: Described) -> None:  # noqa: N802
        for instance in params["InstanceIds"]:
            self._require(self.instances[instance] in ("stopped", "running"), f"{instance} can be started")
            self.instances[instance] = "running"

    def _StopInstances(self, params: Described) -> None:  # noqa: N802
        for instance in params["InstanceIds"]:
            self._require(self.instances[instance] == "running", f"{instance} can be stopped")
            self.instances[instance] = "stopping"

    def _ModifyInstanceAttribute(self, params: Described) -> None:  # noqa: N802
        instance = params["InstanceId"]
        self._require(self.instances[instance] == "stopped", f"{instance} is stopped")
        self.types[instance] = params["InstanceType"]["Value"]

    def _AttachNetworkInterface(self, params: Described) -> None:  # noqa: N802
        instance = params["InstanceId"]
        self._require(self.instances[instance] in ("running", "stopped"), f"{instance} takes interfaces")
        self._attach(params["NetworkInterfaceId"], instance, params["DeviceIndex"])

    def _attach(self, interface: str, instance: str, index: int) -> None:
        self._require(self.interfaces[interface] is None, f"{interface} is available")
        taken = [place for place in self.interfaces.values() if place and place.instance == instance]
        self._require(index not in {place.index for place in taken}, f"{instance} has index {index} free")
        self.interfaces[interface] = Attached(instance, index, f"eni-attach-new-{next(self.numbers)}")

    def _DetachNetworkInterface(self, params: Described) -> None:  # noqa: N802
        for place in self.interfaces.values():
            if place and place.id == params["AttachmentId"]:
                self._require(place.index != 0, f"{place} is not primary")
                place.detaching = True

    def _ModifyNetworkInterfaceAttribute(self, params: Described) -> None:  # noqa: N802
        interface = params["NetworkInterfaceId"]
        if "SourceDestCheck" in params:
            self.checks[interface] = params["SourceDestCheck"]["Value"]
            return
        place, flag = self.interfaces[interface], params["Attachment"]
        self._require(place is not None and place.id == flag["AttachmentId"], "the attachment is the one meant")
        if place:
            place.delete_on_termination = flag["DeleteOnTermination"]

    def _AssociateAddress(self, params: Described) -> None:  # noqa: N802
        address, interface = params["AllocationId"], params["NetworkInterfaceId"]
        private_ip = params.get("PrivateIpAddress")
        if private_ip is not None:
            self._require(private_ip in self.further.get(interface, ()), f"{interface} has {private_ip}")
        holder = self.holder(interface, private_ip)
        if not params["AllowReassociation"]:
            self._require(self.addresses[address] is None and holder is None, "nothing is displaced unasked")
        for leaving in (holder, address):
            if leaving:
                self._set_free(leaving)
        self.addresses[address] = interface
        if private_ip is not None:
            self.spots[address] = private_ip
        self.associations[address] = f"eipassoc-new-{next(self.numbers)}"

    def _DisassociateAddress(self, params: Described) -> None:  # noqa: N802
        for address, association in self.associations.items():
            if association == params["AssociationId"]:
                self._set_free(address)

    def _set_free(self, address: str) -> None:
        self.addresses[address] = None
        self.spots.pop(address, None)

    def _AssignPrivateIpAddresses(self, params: Described) -> None:  # noqa: N802
        self._assign(params, "PrivateIpAddresses", "Ipv4Prefixes", moves=params.get("AllowReassignment", False))

    def _AssignIpv6Addresses(self, params: Described) -> None:  # noqa: N802
        self._assign(params, "Ipv6Addresses", "Ipv6Prefixes")

    def _UnassignPrivateIpAddresses(self, params: Described) -> None:  # noqa: N802
        self._unassign(params, "PrivateIpAddresses", "Ipv4Prefixes")

    def _UnassignIpv6Addresses(self, params: Described) -> None:  # noqa: N802
        self._unassign(params, "Ipv6Addresses", "Ipv6Prefixes")

    def _assign(self, params: Described, *sorts: str, moves: bool = False) -> None:
        interface = params["NetworkInterfaceId"]
        (sort,) = [sort for sort in sorts if sort in params]
        for each in params[sort]:
            for holder, held in self.further.items():
                if each in held and holder != interface:
                    self._require(moves, f"{each} is free")
                    self._move(each, holder, interface)
            self.further.setdefault(interface, set()).add(each)

    def _move(self, private_ip: str, holder: str, interface: str) -> None:
        """The Elastic IP on it goes along."""
        riding = self.holder(holder, private_ip)
        self.further[holder].remove(private_ip)
        if riding:
            self.addresses[riding] = interface

    def _unassign(self, params: Described, *sorts: str) -> None:
        interface = params["NetworkInterfaceId"]
        (sort,) = [sort for sort in sorts if sort in params]
        for each in params[sort]:
            self._require(each in self.further.get(interface, ()), f"{interface} has {each}")
            if holder := self.holder(interface, each):
                self._set_free(holder)
            self.further[interface].remove(each)

    def _ModifyAddressAttribute(self, params: Described) -> None:  # noqa: N802
        self.pointers[params["AllocationId"]] = params["DomainName"]

    def _ResetAddressAttribute(self, params: Described) -> None:  # noqa: N802
        self.pointers.pop(params["AllocationId"], None)

    @staticmethod
    def _require(met: bool, what: str) -> None:
        if not met:
            raise Refused(f"it is not so that {what}")
