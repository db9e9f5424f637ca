"""Questions to EC2 whose answers are not certain, and the answers that the tests' EC2 (tests/ec2) gives.

What AWS answers otherwise is a difference: it says what tests/ec2, and perhaps the program, has to learn.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from tests.acceptance.account import Account, Item
from tests.acceptance.scratch import CIDR, PUBLIC, Scratch

T = TypeVar("T")
_ID = re.compile(r"\b(eni-attach|eipassoc|eipalloc|rtbassoc|subnet|eni|igw|rtb|sgr|vpc|sg|i)-[0-9a-f]{8,17}\b")
_UNKNOWN = "0123456789abcdef0"


@dataclass
class Bench:
    """What the probes work on: an instance with one interface, and what they make beside it."""

    account: Account
    scratch: Scratch
    instance: str
    token: str
    """The client token that the instance was launched with."""
    group: str
    primary: Item
    """The primary interface of the instance."""

    @property
    def ec2(self) -> Any:
        return self.account.ec2

    def eni(self, **more: Any) -> str:
        """A new interface in the subnet of the instance, available."""
        interface = str(self.create(**more)["NetworkInterface"]["NetworkInterfaceId"])
        self.account.until_available(interface, measure="see a new interface as available")
        return interface

    def create(self, **more: Any) -> Item:
        tags = self.account.tagged("probe", "network-interface")
        params = {"SubnetId": self.scratch.public, "Groups": [self.group], "TagSpecifications": tags, **more}
        return dict(self.ec2.create_network_interface(**params))

    def attached(self, index: int = 1) -> tuple[str, str]:
        """A new interface and its attachment to the instance, complete."""
        interface = self.eni()
        attachment = self.attach(interface, index)
        self.account.until_attached(interface, measure="attach an interface")
        return interface, attachment

    def attach(self, interface: str, index: int = 1) -> str:
        answer = self.ec2.attach_network_interface(
            NetworkInterfaceId=interface, InstanceId=self.instance, DeviceIndex=index
        )
        return str(answer["AttachmentId"])

    def detach(self, interface: str, attachment: str) -> None:
        self.ec2.detach_network_interface(AttachmentId=attachment)
        self.account.until_available(interface, measure="detach an interface")

    def drop(self, *interfaces: str) -> None:
        """Deletes interfaces. What EC2 does not delete yet is left to the cleanup."""
        for interface in interfaces:
            with suppress(ClientError):
                self.ec2.delete_network_interface(NetworkInterfaceId=interface)

    def eip(self) -> Item:
        tags = self.account.tagged("probe", "elastic-ip")
        allocated = dict(self.ec2.allocate_address(Domain="vpc", TagSpecifications=tags))
        self.account.until(
            "the address",
            lambda: self.account.addresses({"allocation-id": allocated["AllocationId"]}),
            measure="see a new Elastic IP",
        )
        return allocated

    def route(self, destination: str) -> str:
        """The state of a route of the scratch table."""

        def read() -> str:
            [table] = self.ec2.describe_route_tables(RouteTableIds=[self.scratch.table])["RouteTables"]
            found = [each for each in table["Routes"] if each.get("DestinationCidrBlock") == destination]
            return str(found[0]["State"]) if found else "absent"

        return steady(read)


def steady(read: Callable[[], T]) -> T:
    """What three reads in a row agree on, or the last of 50: a read may show an older state."""
    answers = [read()]
    while len(answers) < 50 and answers[-3:] != [answers[-1]] * 3:
        time.sleep(0.2)
        answers.append(read())
    return answers[-1]


Ask = Callable[[Bench], str]


@dataclass(frozen=True)
class Probe:
    """`ask` answers with a state, or with `refusal`'s text; ids are replaced by `eni-*` and the like."""

    name: str
    question: str
    expected: str
    ask: Ask


@dataclass(frozen=True)
class Answer:
    """What a probe was answered."""

    probe: Probe
    got: str

    @property
    def differs(self) -> bool:
        return self.got != self.probe.expected


PROBES: list[Probe] = []


def probe(expected: str) -> Callable[[Ask], Ask]:
    """Adds a function to the probes. Its docstring is the question."""

    def add(ask: Ask) -> Ask:
        PROBES.append(Probe(ask.__name__, (ask.__doc__ or "").strip(), expected, ask))
        return ask

    return add


def refusal(call: Callable[[], Any]) -> str:
    """The code and the message that a call is refused with, or `accepted`."""
    try:
        call()
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
    return "accepted"


def general(text: str, *secrets: str) -> str:
    """Without ids and without what is particular to a run."""
    for secret in secrets:
        text = text.replace(secret, "*")
    return _ID.sub(r"\1-*", text)


def ask(bench: Bench, probe: Probe) -> Answer:
    """One answer. An error that the probe does not ask for is its answer, too."""
    try:
        got = probe.ask(bench)
    except Exception as error:  # noqa: BLE001 (one probe must not end the others)
        got = f"failed: {type(error).__name__}: {error}"
    return Answer(probe, general(got, bench.account.run, bench.account.id))


def open_bench(account: Account, scratch: Scratch) -> Bench:
    """An instance that runs, and a group."""
    tags = account.tagged("probe", "security-group")
    group = account.ec2.create_security_group(
        GroupName=f"{account.run}-probe", Description="acceptance", VpcId=scratch.vpc, TagSpecifications=tags
    )["GroupId"]
    account.until("the group", lambda: account.groups({"group-id": group}))
    token = f"{account.run}-probe"
    instance = account.launch("probe", scratch.public, token)
    account.until_state(instance, "running", measure="launch an instance")
    filters = {"attachment.instance-id": instance, "attachment.device-index": "0"}
    [primary] = account.until("the primary interface", lambda: account.interfaces(filters))
    return Bench(account, scratch, instance, token, group, primary)


# -- interfaces -------------------------------------------------------------------------------------------


@probe("status pending")
def create_answers_pending(bench: Bench) -> str:
    """Which status does CreateNetworkInterface answer?"""
    made = bench.create()["NetworkInterface"]
    bench.account.until_available(made["NetworkInterfaceId"])
    bench.drop(made["NetworkInterfaceId"])
    return f"status {made['Status']}"


@probe("the same interface")
def a_token_is_replayed(bench: Bench) -> str:
    """What does CreateNetworkInterface answer to the same token and parameters?"""
    token = f"{bench.account.run}-same"
    first = bench.create(ClientToken=token)["NetworkInterface"]["NetworkInterfaceId"]
    bench.account.until_available(first)
    second = bench.create(ClientToken=token)["NetworkInterface"]["NetworkInterfaceId"]
    bench.drop(*{first, second})
    return "the same interface" if first == second else "another interface"


@probe("IdempotentParameterMismatch: The token '*-other' was used before with different parameters.")
def a_token_with_other_parameters(bench: Bench) -> str:
    """What does CreateNetworkInterface answer to the same token with another description?"""
    token = f"{bench.account.run}-other"
    interface = bench.eni(ClientToken=token)
    try:
        return refusal(lambda: bench.create(ClientToken=token, Description="another"))
    finally:
        bench.drop(interface)


@probe("InvalidNetworkInterfaceID.NotFound: The networkInterface ID 'eni-*' does not exist")
def a_token_of_a_deleted_interface(bench: Bench) -> str:
    """What does CreateNetworkInterface answer to the token of an interface that was deleted?"""
    token = f"{bench.account.run}-deleted"
    interface = bench.eni(ClientToken=token)
    bench.ec2.delete_network_interface(NetworkInterfaceId=interface)
    bench.account.until(
        "the interface is gone", lambda: not bench.account.interfaces({"network-interface-id": interface})
    )
    again: list[str] = []

    def replay() -> None:
        again.append(bench.create(ClientToken=token)["NetworkInterface"]["NetworkInterfaceId"])

    answer = refusal(replay)
    if not again:
        return answer
    return "the old answer" if again[0] == interface else "a new interface"


@probe("InvalidNetworkInterface.InUse: Interface: [eni-*] in use.")
def attach_twice_at_the_same_index(bench: Bench) -> str:
    """What does AttachNetworkInterface answer for an interface that is at this index of this instance?"""
    interface, attachment = bench.attached()
    try:
        return refusal(lambda: bench.attach(interface))
    finally:
        bench.detach(interface, attachment)
        bench.drop(interface)


@probe("InvalidParameterValue: Instance 'i-*' already has an interface attached at device index '1'.")
def attach_at_a_busy_index(bench: Bench) -> str:
    """What does AttachNetworkInterface answer if another interface is at the index?"""
    (interface, attachment), other = bench.attached(), bench.eni()
    try:
        return refusal(lambda: bench.attach(other))
    finally:
        bench.detach(interface, attachment)
        bench.drop(interface, other)


@probe("AttachmentLimitExceeded: Interface count 3 exceeds the limit for t3.nano")
def attach_more_than_the_type_takes(bench: Bench) -> str:
    """What does AttachNetworkInterface answer for a third interface of a t3.nano?"""
    (interface, attachment), other = bench.attached(), bench.eni()
    try:
        return refusal(lambda: bench.attach(other, 2))
    finally:
        bench.detach(interface, attachment)
        bench.drop(interface, other)


@probe("IncorrectState: Attachment 'eni-attach-*' is in state 'detaching', not 'attached'.")
def detach_while_detaching(bench: Bench) -> str:
    """What does DetachNetworkInterface answer while the interface is detaching?"""
    interface, attachment = bench.attached()
    bench.ec2.detach_network_interface(AttachmentId=attachment)
    answer = refusal(lambda: bench.ec2.detach_network_interface(AttachmentId=attachment))
    bench.account.until_available(interface)
    bench.drop(interface)
    return answer


@probe("InvalidAttachmentID.NotFound: The attachment 'eni-attach-*' does not exist")
def detach_twice(bench: Bench) -> str:
    """What does DetachNetworkInterface answer once the interface is available?"""
    interface, attachment = bench.attached()
    bench.detach(interface, attachment)
    bench.drop(interface)
    return refusal(lambda: bench.ec2.detach_network_interface(AttachmentId=attachment))


@probe(
    "OperationNotPermitted: The network interface at device index 0 and networkCard index 0 cannot be detached."
)
def detach_the_primary_interface(bench: Bench) -> str:
    """What does DetachNetworkInterface answer for the primary interface?"""
    attachment = bench.primary["Attachment"]["AttachmentId"]
    return refusal(lambda: bench.ec2.detach_network_interface(AttachmentId=attachment))


@probe("InvalidParameterValue: Network interface 'eni-*' is currently in use.")
def delete_an_attached_interface(bench: Bench) -> str:
    """What does DeleteNetworkInterface answer for an interface in use?"""
    interface, attachment = bench.attached()
    try:
        return refusal(lambda: bench.ec2.delete_network_interface(NetworkInterfaceId=interface))
    finally:
        bench.detach(interface, attachment)
        bench.drop(interface)


@probe("InvalidNetworkInterfaceID.NotFound: The networkInterface ID 'eni-*' does not exist")
def an_unknown_interface(bench: Bench) -> str:
    """What does DescribeNetworkInterfaces answer for an id that does not exist?"""
    return refusal(lambda: bench.ec2.describe_network_interfaces(NetworkInterfaceIds=[f"eni-{_UNKNOWN}"]))


@probe("InvalidParameterCombination: The parameter MaxResults cannot be used with a list of ids")
def a_page_of_named_interfaces(bench: Bench) -> str:
    """What does DescribeNetworkInterfaces answer to MaxResults together with ids?"""
    ids = [bench.primary["NetworkInterfaceId"]]
    return refusal(lambda: bench.ec2.describe_network_interfaces(NetworkInterfaceIds=ids, MaxResults=5))


@probe("accepted")
def assign_an_address_twice(bench: Bench) -> str:
    """What does AssignPrivateIpAddresses answer for an address that the interface has?"""
    interface = bench.eni(PrivateIpAddress="10.97.1.205")
    params = {"NetworkInterfaceId": interface, "PrivateIpAddresses": ["10.97.1.201"]}
    bench.ec2.assign_private_ip_addresses(**params)
    try:
        return refusal(lambda: bench.ec2.assign_private_ip_addresses(**params))
    finally:
        bench.drop(interface)


@probe("InvalidParameterValue: [10.97.1.202] assigned, but move is not allowed.")
def assign_an_address_of_another(bench: Bench) -> str:
    """What does AssignPrivateIpAddresses answer for an address that another interface has?"""
    one, two = bench.eni(PrivateIpAddress="10.97.1.202"), bench.eni()
    params = {"NetworkInterfaceId": two, "PrivateIpAddresses": ["10.97.1.202"]}
    try:
        return refusal(lambda: bench.ec2.assign_private_ip_addresses(**params))
    finally:
        bench.drop(one, two)


@probe("InvalidParameterValue: Some of the specified addresses are not assigned to interface eni-*")
def unassign_what_is_not_assigned(bench: Bench) -> str:
    """What does UnassignPrivateIpAddresses answer for an address that the interface does not have?"""
    interface = bench.eni(PrivateIpAddress="10.97.1.204")
    params = {"NetworkInterfaceId": interface, "PrivateIpAddresses": ["10.97.1.203"]}
    try:
        return refusal(lambda: bench.ec2.unassign_private_ip_addresses(**params))
    finally:
        bench.drop(interface)


# -- Elastic IPs ------------------------------------------------------------------------------------------


@probe("Resource.AlreadyAssociated: resource eipalloc-* is already associated with associate-id eipassoc-*")
def associate_without_reassociation(bench: Bench) -> str:
    """What does AssociateAddress answer with AllowReassociation false for an address that is elsewhere?"""
    address, one, two = bench.eip()["AllocationId"], bench.eni(), bench.eni()
    association = bench.ec2.associate_address(AllocationId=address, NetworkInterfaceId=one)["AssociationId"]
    try:
        return refusal(
            lambda: bench.ec2.associate_address(
                AllocationId=address, NetworkInterfaceId=two, AllowReassociation=False
            )
        )
    finally:
        bench.ec2.disassociate_address(AssociationId=association)
        bench.ec2.release_address(AllocationId=address)
        bench.drop(one, two)


@probe("InvalidAssociationID.NotFound: The association ID 'eipassoc-*' does not exist")
def disassociate_twice(bench: Bench) -> str:
    """What does DisassociateAddress answer for an association that is gone?"""
    address, interface = bench.eip()["AllocationId"], bench.eni()
    association = bench.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)["AssociationId"]
    bench.ec2.disassociate_address(AssociationId=association)
    try:
        return refusal(lambda: bench.ec2.disassociate_address(AssociationId=association))
    finally:
        bench.ec2.release_address(AllocationId=address)
        bench.drop(interface)


@probe(
    "InvalidIPAddress.InUse: Address * is in use. "
    "Then: InvalidAllocationID.NotFound: The allocation ID 'eipalloc-*' does not exist"
)
def release_while_associated_and_twice(bench: Bench) -> str:
    """What does ReleaseAddress answer for an associated address, and for one that was released?"""
    allocated, interface = bench.eip(), bench.eni()
    address = allocated["AllocationId"]
    association = bench.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)["AssociationId"]
    associated = refusal(lambda: bench.ec2.release_address(AllocationId=address))
    bench.ec2.disassociate_address(AssociationId=association)
    bench.ec2.release_address(AllocationId=address)
    bench.drop(interface)
    released = refusal(lambda: bench.ec2.release_address(AllocationId=address))
    return general(f"{associated} Then: {released}", allocated["PublicIp"])


# -- groups -----------------------------------------------------------------------------------------------


def _rule(port: int) -> Item:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}


@probe("InvalidPermission.Duplicate; port 82 is closed")
def authorize_is_atomic(bench: Bench) -> str:
    """Does AuthorizeSecurityGroupIngress add a new rule if another one of the call exists?"""
    bench.ec2.authorize_security_group_ingress(GroupId=bench.group, IpPermissions=[_rule(81)])
    answer = refusal(
        lambda: bench.ec2.authorize_security_group_ingress(
            GroupId=bench.group, IpPermissions=[_rule(81), _rule(82)]
        )
    )

    def ports() -> set[int]:
        [group] = bench.account.groups({"group-id": bench.group})
        return {rule.get("FromPort") for rule in group["IpPermissions"]}

    bench.account.until("port 81", lambda: 81 in ports())
    opened = 82 in steady(ports)
    return f"{answer.split(':')[0]}; port 82 is {'open' if opened else 'closed'}"


@probe("InvalidPermission.NotFound: The specified rule does not exist in this security group.")
def revoke_what_is_not_there(bench: Bench) -> str:
    """What does RevokeSecurityGroupIngress answer for a rule that does not exist?"""
    params = {"GroupId": bench.group, "IpPermissions": [_rule(83)]}
    return refusal(lambda: bench.ec2.revoke_security_group_ingress(**params))


@probe("DependencyViolation: resource sg-* has a dependent object")
def delete_a_group_in_use(bench: Bench) -> str:
    """What does DeleteSecurityGroup answer for a group on an interface?"""
    interface = bench.eni()
    try:
        return refusal(lambda: bench.ec2.delete_security_group(GroupId=bench.group))
    finally:
        bench.drop(interface)


@probe("InvalidGroup.Duplicate: The security group '*-PROBE' already exists for VPC 'vpc-*'")
def a_group_name_in_other_letters(bench: Bench) -> str:
    """What does CreateSecurityGroup answer for a name that differs in upper and lower case only?"""
    run = bench.account.run
    answer = refusal(
        lambda: bench.ec2.create_security_group(
            GroupName=f"{run}-PROBE",
            Description="acceptance",
            VpcId=bench.scratch.vpc,
            TagSpecifications=bench.account.tagged("probe-2", "security-group"),
        )
    )
    return general(answer, run)


# -- routes and networks ----------------------------------------------------------------------------------


def _routing(bench: Bench, destination: str, interface: str) -> Item:
    return {
        "RouteTableId": bench.scratch.table,
        "DestinationCidrBlock": destination,
        "NetworkInterfaceId": interface,
    }


@probe("blackhole; then active; then blackhole; deleted: blackhole")
def states_of_a_route(bench: Bench) -> str:
    """Which states has a route to an interface: available, attached to a running instance, detached, deleted?"""
    interface, destination = bench.eni(), "198.51.100.0/24"
    bench.ec2.create_route(**_routing(bench, destination, interface))
    states = [bench.route(destination)]
    attachment = bench.attach(interface)
    bench.account.until_attached(interface, measure="attach an interface")
    states.append(bench.route(destination))
    bench.detach(interface, attachment)
    states.append(bench.route(destination))
    bench.ec2.delete_network_interface(NetworkInterfaceId=interface)
    deleted = bench.route(destination)
    bench.ec2.delete_route(RouteTableId=bench.scratch.table, DestinationCidrBlock=destination)
    return f"{'; then '.join(states)}; deleted: {deleted}"


@probe("RouteAlreadyExists: The route identified by 198.51.100.0/24 already exists.")
def create_the_same_route_again(bench: Bench) -> str:
    """What does CreateRoute answer for a route that exists, to the same interface?"""
    interface = bench.eni()
    params = _routing(bench, "198.51.100.0/24", interface)
    bench.ec2.create_route(**params)
    try:
        return refusal(lambda: bench.ec2.create_route(**params))
    finally:
        bench.ec2.delete_route(RouteTableId=bench.scratch.table, DestinationCidrBlock="198.51.100.0/24")
        bench.drop(interface)


@probe(
    "InvalidParameterValue: There is no route defined for '198.51.100.0/24' in the route table. "
    "Use CreateRoute instead."
)
def replace_a_route_that_is_not_there(bench: Bench) -> str:
    """What does ReplaceRoute answer for a destination without a route?"""
    interface = bench.eni()
    try:
        return refusal(lambda: bench.ec2.replace_route(**_routing(bench, "198.51.100.0/24", interface)))
    finally:
        bench.drop(interface)


@probe("InvalidRoute.NotFound: no route with destination-cidr-block 198.51.100.0/24 in route table rtb-*")
def delete_a_route_that_is_not_there(bench: Bench) -> str:
    """What does DeleteRoute answer for a destination without a route?"""
    params = {"RouteTableId": bench.scratch.table, "DestinationCidrBlock": "198.51.100.0/24"}
    return refusal(lambda: bench.ec2.delete_route(**params))


@probe(f"InvalidParameterValue: cannot remove local route {CIDR} in route table rtb-*")
def delete_the_local_route(bench: Bench) -> str:
    """What does DeleteRoute answer for the local route?"""
    params = {"RouteTableId": bench.scratch.table, "DestinationCidrBlock": CIDR}
    return refusal(lambda: bench.ec2.delete_route(**params))


@probe(f"InvalidSubnet.Conflict: The CIDR '{PUBLIC}' conflicts with another subnet")
def a_subnet_twice(bench: Bench) -> str:
    """What does CreateSubnet answer for a CIDR block that another subnet has?"""
    tags = bench.account.tagged("probe", "subnet")
    params = {"VpcId": bench.scratch.vpc, "CidrBlock": PUBLIC, "TagSpecifications": tags}
    return refusal(lambda: bench.ec2.create_subnet(**params))


@probe("DependencyViolation: The vpc 'vpc-*' has dependencies and cannot be deleted.")
def delete_a_vpc_in_use(bench: Bench) -> str:
    """What does DeleteVpc answer while there are subnets?"""
    return refusal(lambda: bench.ec2.delete_vpc(VpcId=bench.scratch.vpc))


@probe(
    "DependencyViolation: Network vpc-* has some mapped public address(es). Please unmap those public "
    "address(es) before detaching the gateway."
)
def detach_a_gateway_in_use(bench: Bench) -> str:
    """What does DetachInternetGateway answer while an interface has an Elastic IP?"""
    address, interface = bench.eip()["AllocationId"], bench.eni()
    association = bench.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)["AssociationId"]
    params = {"InternetGatewayId": bench.scratch.gateway, "VpcId": bench.scratch.vpc}
    try:
        return refusal(lambda: bench.ec2.detach_internet_gateway(**params))
    finally:
        bench.ec2.disassociate_address(AssociationId=association)
        bench.ec2.release_address(AllocationId=address)
        bench.drop(interface)


# -- instances, the last of which terminates the instance of the bench ------------------------------------


@probe("no interfaces, no subnet, tags; the token: IdempotentInstanceTerminated")
def a_terminated_instance(bench: Bench) -> str:
    """What is shown of a terminated instance, and what does RunInstances answer to its token?"""
    bench.ec2.terminate_instances(InstanceIds=[bench.instance])
    bench.account.until_state(bench.instance, "terminated", measure="terminate an instance")
    [reservation] = bench.ec2.describe_instances(InstanceIds=[bench.instance])["Reservations"]
    [shown] = reservation["Instances"]
    parts = [
        f"{'no ' * (not shown.get(key))}{words}"
        for key, words in (("NetworkInterfaces", "interfaces"), ("SubnetId", "subnet"), ("Tags", "tags"))
    ]
    replayed = refusal(lambda: bench.account.launch("probe", bench.scratch.public, bench.token))
    return f"{', '.join(parts)}; the token: {replayed.split(':')[0]}"
