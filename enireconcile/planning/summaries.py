"""What the call of a step does, in a few words: ``revoke tcp 22 from 0.0.0.0/0``. Pure.

One table, by call. The words are about the resource at the step's address, which stands beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from enireconcile.kinds import World
from enireconcile.live.records import LiveElasticIp, LiveInstance, LiveNetworkInterface, destination_of
from enireconcile.model import Change, Ref, Step, plain
from enireconcile.planning.doors import rules_in

Params = Mapping[str, Any]
Names = Callable[[Any], str]
_SHOWN = 3
"""The most items of a list; the number of the others follows."""
_LONGEST = 60


def summarized(steps: Iterable[Step], changes: Iterable[Change], world: World) -> tuple[Step, ...]:
    """The steps with their summaries, and with the addresses of the Elastic IPs that they are about."""
    if not (steps := tuple(steps)):
        return ()
    public_ips = {change.address: change.public_ip for change in changes}
    known = _known_names(world)

    def name(value: Any) -> str:
        if isinstance(value, Ref):
            return value.address.partition(".")[2] if value.attribute == "id" else str(value)
        return known.get(value, str(value))

    return tuple(
        replace(step, summary=SUMMARIES[step.call](step.params, name), public_ip=public_ips.get(step.address))
        for step in steps
    )


def _known_names(world: World) -> dict[str, str]:
    """Names by ids: of resources, and of the other ends of attachments and associations."""
    named = {record.id: address.partition(".")[2] for address, record in world.ours}
    named |= {record.id: name for name, record in world.externals.items()}
    ends: dict[str, str] = {}
    records = (record for _, record in world.ours)
    for record in (*records, *world.externals.values(), *world.foreign_interfaces.values()):
        if isinstance(record, LiveInstance):
            ends |= {each.attachment_id: named.get(record.id, record.id) for each in record.occupants}
        if isinstance(record, LiveNetworkInterface) and record.attachment is not None:
            host = record.attachment.instance_id
            ends[record.attachment.id] = named.get(host, host)
        if isinstance(record, LiveElasticIp) and record.association_id is not None:
            target = record.network_interface_id or ""
            ends[record.association_id] = named.get(target, target)
    places = {table.id: table.text for table in world.route_tables.values()}
    for subnet in world.subnets_by_id.values():
        places[subnet.id] = subnet.zone if subnet.default_for_az else subnet.tags.get("Name") or subnet.id
    for vpc in world.vpcs_by_id.values():
        places[vpc.id] = "the default VPC" if vpc.is_default else vpc.tags.get("Name") or vpc.id
    return {**places, **ends, **named}


def _just(words: str) -> Callable[[Params, Names], str]:
    return lambda *_: words


def _allocate(params: Params, _: Names) -> str:
    if "Address" in params:
        return f"allocate {params['Address']}"
    return f"allocate from {params['PublicIpv4Pool']}" if "PublicIpv4Pool" in params else "allocate"


def _addresses(verb: str, params: Params, _: Names) -> str:
    """Addresses or prefixes, listed or counted, in one of EC2's eight parameters."""
    for key, value in params.items():
        if key.endswith("Count"):
            noun = "prefix" if "Prefix" in key else "address"
            return f"{verb} {value} {noun}{'' if value == 1 else 'es'}"
        if key.endswith(("Addresses", "Prefixes")):
            return f"{verb} {_listed(map(str, value))}"
    raise ValueError(f"no addresses in {sorted(params)}")


def _associate(params: Params, name: Names) -> str:
    private_ip = params.get("PrivateIpAddress")
    secondary = isinstance(private_ip, Ref)
    where = " (a secondary address)" if secondary else f" ({private_ip})" if private_ip else ""
    return f"associate with {name(params['NetworkInterfaceId'])}{where}"


def _profile(verb: str, params: Params, _: Names) -> str:
    profile = params["IamInstanceProfile"]
    return f"{verb} {str(profile.get('Name') or profile['Arn']).rpartition('/')[2]}"


def _attach(params: Params, name: Names) -> str:
    card = f", card {params['NetworkCardIndex']}" if params.get("NetworkCardIndex") else ""
    return f"attach to {name(params['InstanceId'])} as index {params['DeviceIndex']}{card}"


def _detach(params: Params, name: Names) -> str:
    return f"detach from {name(params['AttachmentId'])}" + (" by force" if params.get("Force") else "")


def _rules(verb: str, direction: str, params: Params, name: Names) -> str:
    rules = rules_in(direction, params["IpPermissions"], name)
    return f"{verb} {_listed(rule.words.removeprefix(f'{direction} ') for rule in rules)}"


def _create_interface(params: Params, name: Names) -> str:
    listed = [each["PrivateIpAddress"] for each in params.get("PrivateIpAddresses") or ()]
    listed = listed or [params[key] for key in ("PrivateIpAddress",) if key in params]
    return f"create in {name(params['SubnetId'])}" + (f" with {_listed(map(str, listed))}" if listed else "")


def _create_group(params: Params, name: Names) -> str:
    return f"create in {name(params['VpcId'])}"


def _lead(params: Params, name: Names) -> str:
    where = "back to local" if params.get("LocalTarget") else "here"
    return f"lead {_route(params, name)} {where}"


def _delete_route(params: Params, name: Names) -> str:
    return f"delete the route {_route(params, name)}"


def _route(params: Params, name: Names) -> str:
    return f"{destination_of(params)} of {name(params['RouteTableId'])}"


def _tags(verb: str, params: Params, _: Names) -> str:
    keys = sorted(tag["Key"] for tag in params["Tags"])
    return f"{verb} {'tag' if len(keys) == 1 else 'tags'} {_listed(keys)}"


def _set(params: Params, name: Names) -> str:
    """The attributes that a Modify call sets, by EC2's names. What it sets them on stands beside."""
    return f"set {_listed(_attributes(params, name))}"


def _attributes(params: Params, name: Names) -> Iterable[str]:
    for key, value in params.items():
        if key in ("InstanceId", "NetworkInterfaceId", "AttachmentId"):
            continue
        if isinstance(value, Mapping) and "Value" not in value:
            yield from _attributes(value, name)
            continue
        value = value["Value"] if isinstance(value, Mapping) else value
        yield f"{_snake_case(key)} {_value(value, name)}"


def _value(value: Any, name: Names) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return _listed(map(name, value))
    text = name(value) if isinstance(value, Ref) else str(plain(value)) or '""'
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _credits(params: Params, _: Names) -> str:
    [specification] = params["InstanceCreditSpecifications"]
    return f"set cpu_credits {specification['CpuCredits']}"


def _reverse_dns(params: Params, _: Names) -> str:
    return f"set reverse DNS {params['DomainName']}"


def _launch(params: Params, name: Names) -> str:
    interfaces = [name(each["NetworkInterfaceId"]) for each in params["NetworkInterfaces"]]
    return f"launch {params['InstanceType']} from {params['ImageId']} with {_listed(interfaces)}"


def _cancel(params: Params, _: Names) -> str:
    return f"cancel the Spot request {_listed(params['SpotInstanceRequestIds'])}"


def _listed(items: Iterable[str]) -> str:
    listed: Sequence[str] = list(items)
    if len(listed) <= _SHOWN + 1:
        return ", ".join(listed)
    return f"{', '.join(listed[:_SHOWN])} and {len(listed) - _SHOWN} more"


SUMMARIES: Mapping[str, Callable[[Params, Names], str]] = {
    "AllocateAddress": _allocate,
    "AssignIpv6Addresses": partial(_addresses, "assign"),
    "AssignPrivateIpAddresses": partial(_addresses, "assign"),
    "AssociateAddress": _associate,
    "AssociateIamInstanceProfile": partial(_profile, "associate the instance profile"),
    "AttachNetworkInterface": _attach,
    "AuthorizeSecurityGroupEgress": partial(_rules, "authorize", "egress"),
    "AuthorizeSecurityGroupIngress": partial(_rules, "authorize", "ingress"),
    "CancelSpotInstanceRequests": _cancel,
    "CreateNetworkInterface": _create_interface,
    "CreateRoute": _lead,
    "CreateSecurityGroup": _create_group,
    "CreateTags": partial(_tags, "set"),
    "DeleteNetworkInterface": _just("delete"),
    "DeleteRoute": _delete_route,
    "DeleteSecurityGroup": _just("delete"),
    "DeleteTags": partial(_tags, "remove"),
    "DetachNetworkInterface": _detach,
    "DisassociateAddress": lambda params, name: f"disassociate from {name(params['AssociationId'])}",
    "ModifyAddressAttribute": _reverse_dns,
    "ModifyInstanceAttribute": _set,
    "ModifyInstanceCreditSpecification": _credits,
    "ModifyInstanceMaintenanceOptions": _set,
    "ModifyInstanceMetadataOptions": _set,
    "ModifyInstancePlacement": _set,
    "ModifyNetworkInterfaceAttribute": _set,
    "MonitorInstances": _just("turn detailed monitoring on"),
    "ReleaseAddress": _just("release"),
    "ReplaceIamInstanceProfileAssociation": partial(_profile, "replace the instance profile by"),
    "ReplaceRoute": _lead,
    "ResetAddressAttribute": _just("remove reverse DNS"),
    "RevokeSecurityGroupEgress": partial(_rules, "revoke", "egress"),
    "RevokeSecurityGroupIngress": partial(_rules, "revoke", "ingress"),
    "RunInstances": _launch,
    "StartInstances": _just("start"),
    "StopInstances": _just("stop"),
    "TerminateInstances": _just("terminate"),
    "UnassignIpv6Addresses": partial(_addresses, "unassign"),
    "UnassignPrivateIpAddresses": partial(_addresses, "unassign"),
    "UnmonitorInstances": _just("turn detailed monitoring off"),
    "UpdateSecurityGroupRuleDescriptionsEgress": partial(_rules, "describe", "egress"),
    "UpdateSecurityGroupRuleDescriptionsIngress": partial(_rules, "describe", "ingress"),
}
