"""What golden plans leave out since it is the same in all of them: how a call is repeated, looked for, waited for.

Each call has its fine print: whether it takes a token or is made once, whatever comes of it, which Refs come from
its answer (``yields``) or from what is seen after it (``sees``), and with which describe and for how many seconds
is waited before and after it. A wait that fails gives advice where a person can help.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from enireconcile.model import Expect, Look, Ref, Step
from tests.planning.test_golden import GOLDEN, planned

NEVER = "never State.Name shutting-down or terminated"
ADVISED = "with advice"
STILL = f"{NEVER} or pending or running"
HOLDER = "DescribeNetworkInterfaces addresses.private-ip-address subnet-id"
FINE_PRINT = {
    "AllocateAddress": {
        "yields elastic_ips id: AllocationId",
        "look DescribeAddresses tag:enireconcile:stack=lab tag:enireconcile:name=…, elastic_ips id: AllocationId",
    },
    "AssociateAddress": {"when DescribeAddresses 0 s", "when DescribeNetworkInterfaces 0 s"},
    "AssignIpv6Addresses": {"once", "until DescribeNetworkInterfaces 60 s"},
    "AssignPrivateIpAddresses": {"once", "until DescribeNetworkInterfaces 60 s"},
    "AttachNetworkInterface": {
        "when DescribeNetworkInterfaces 600 s",
        f"when DescribeNetworkInterfaces 600 s, {ADVISED}",
        f"when DescribeInstances 600 s, {STILL}",
        "until DescribeNetworkInterfaces 300 s",
        "sees network_interfaces attachment_id: Attachment.AttachmentId",
    },
    "AuthorizeSecurityGroupEgress": set(),
    "AuthorizeSecurityGroupIngress": set(),
    "CreateNetworkInterface": {
        "token",
        "yields network_interfaces id: NetworkInterface.NetworkInterfaceId",
        "until DescribeNetworkInterfaces 300 s",
        *(
            f"look DescribeNetworkInterfaces tag:enireconcile:stack=lab tag:enireconcile:name=…{replaced}, "
            "network_interfaces id: NetworkInterfaceId"
            for replaced in (
                "",
                " tag:enireconcile:replaces=eni-eth0",
                " tag:enireconcile:replaces=eni-eth1",
            )
        ),
        f"proof PrivateIpAddress, {HOLDER}",
        f"proof {HOLDER}",
    },
    "CreateRoute": {"until DescribeRouteTables 120 s"},
    "CreateSecurityGroup": {
        "yields security_groups id: GroupId",
        "look DescribeSecurityGroups tag:enireconcile:stack=lab tag:enireconcile:name=…, "
        "security_groups id: GroupId, by its natural key",
    },
    "CreateTags": set(),
    "DeleteNetworkInterface": {
        f"when DescribeNetworkInterfaces 600 s, {ADVISED}",
        "until DescribeNetworkInterfaces 300 s",
    },
    "DeleteRoute": {"when DescribeRouteTables 0 s"},
    "DeleteSecurityGroup": set(),
    "DeleteTags": set(),
    "DetachNetworkInterface": {
        f"when DescribeInstances 600 s, {STILL}",
        f"until DescribeNetworkInterfaces 600 s, {ADVISED}",
    },
    "DisassociateAddress": set(),
    "ModifyAddressAttribute": {
        f"when DescribeAddressesAttribute 600 s, {ADVISED}",
        f"until DescribeAddressesAttribute 600 s, {ADVISED}",
    },
    "ModifyInstanceAttribute": {f"when DescribeInstances 600 s, {NEVER}"},
    "ModifyInstanceMetadataOptions": {f"until DescribeInstances 600 s, {NEVER}"},
    "ModifyNetworkInterfaceAttribute": set(),
    "ReleaseAddress": {f"when DescribeAddressesAttribute 600 s, {ADVISED}"},
    "ReplaceRoute": {"when DescribeRouteTables 0 s", "until DescribeRouteTables 120 s"},
    "ResetAddressAttribute": {
        f"when DescribeAddressesAttribute 600 s, {ADVISED}",
        f"until DescribeAddressesAttribute 600 s, {ADVISED}",
    },
    "RevokeSecurityGroupEgress": set(),
    "RevokeSecurityGroupIngress": set(),
    "RunInstances": {
        "token",
        "yields instances id: Instances[0].InstanceId",
        "look DescribeInstances tag:enireconcile:stack=lab tag:enireconcile:name=… "
        "instance-state-name=pending or running or stopping or stopped, instances id: InstanceId",
        *(
            f"sees network_interfaces attachment_id: NetworkInterfaces[?Attachment.DeviceIndex==`{index}` && "
            f"not_null(Attachment.NetworkCardIndex, `0`)==`{card}`].Attachment.AttachmentId | [0]"
            for card, index in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))
        ),
        f"when DescribeNetworkInterfaces 600 s, {ADVISED}",
        f"until DescribeInstances 600 s, {NEVER}",
    },
    "StartInstances": {f"when DescribeInstances 600 s, {NEVER}", f"until DescribeInstances 600 s, {NEVER}"},
    "StopInstances": {f"until DescribeInstances 600 s, {NEVER}"},
    "TerminateInstances": {"until DescribeInstances 600 s"},
    "UnassignIpv6Addresses": set(),
    "UnassignPrivateIpAddresses": set(),
    "UpdateSecurityGroupRuleDescriptionsIngress": set(),
}
WAITS = {
    f"DescribeInstances 600 s, {NEVER}",
    "DescribeNetworkInterfaces 300 s",
    f"DescribeAddressesAttribute 600 s, {ADVISED}",
}


def told() -> dict[str, set[str]]:
    """The fine print of every call that any golden plan makes."""
    found: dict[str, set[str]] = defaultdict(set)
    for triple in GOLDEN.values():
        for step in planned(triple).steps:
            found[step.call].update(_printed(step))
    return found


def _printed(step: Step) -> Iterable[str]:
    if step.token:
        yield "token"
    if step.once:
        yield "once"
    yield from (f"yields {source}" for source in _sources(step.yields.items()))
    yield from (f"sees {source}" for source in _sources(step.sees.items()))
    yield from (f"when {_waited(expect)}" for expect in step.when)
    if step.until:
        yield f"until {_waited(step.until)}"
    if step.look:
        yield f"look {_looked(step.look, step.address)}"
    if step.proof:
        yield f"proof {', '.join([*step.proof.pins, ' '.join([step.proof.describe, *step.proof.holder])])}"


def _sources(refs: Iterable[tuple[Ref, str]]) -> list[str]:
    return [f"{ref.address.partition('.')[0]} {ref.attribute}: {path}" for ref, path in refs]


def _waited(expect: Expect) -> str:
    never = "".join(f", never {path} {' or '.join(values)}" for path, values in expect.never)
    return f"{expect.describe} {expect.timeout:g} s{never}{f', {ADVISED}' if expect.advice else ''}"


def _looked(look: Look, address: str) -> str:
    filters = [f"{row['Name']}={' or '.join(row['Values'])}".replace(address, "…") for row in look.filters]
    words = [" ".join([look.describe, *filters]), *_sources(look.yields.items())]
    return ", ".join([*words, "by its natural key"] if look.natural_key else words)


def test_a_call_has_its_fine_print_in_every_plan() -> None:
    """Nothing is said of a call in any plan but what stands above, and all of that in some plan."""
    assert told() == FINE_PRINT


def test_what_only_takes_time_is_waited_for_with_the_same_care() -> None:
    """A plan that has nothing to do but wait fails at once when what it waits for cannot come."""
    assert {_waited(expect) for triple in GOLDEN.values() for expect in planned(triple).waits} == WAITS
