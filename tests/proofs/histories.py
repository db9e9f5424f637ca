"""What happens to an account over days: specs that are edited, and other people's hands.

Everything comes from one ``random.Random``, so a seed repeats its history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from enireconcile.errors import SpecErrors
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.spec import load
from tests.ec2 import World
from tests.ec2.errors import EC2Error
from tests.ec2.records import Interface, Resource

STACK = "histories"
HEAD = {"version": 1, "stack": STACK, "region": "us-east-1"}
EMPTY = json.dumps(HEAD)
_SUBNETS = ({"default_for_az": "us-east-1a"}, {"cidr": "172.31.0.0/20"}, {"default_for_az": "us-east-1b"})
_CIDRS = ("10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0")
Spec = dict[str, Any]
Edit = Callable[[Random, Spec], None]


def text_of(spec: Spec) -> str:
    """JSON, which is YAML without anchors."""
    return json.dumps({**HEAD, **spec}, indent=1)


def first(rng: Random) -> Spec:
    """A server with two interfaces, a free interface, and up to three Elastic IPs."""
    spec: Spec = {
        "security_groups": {"front": {"ingress": [_rule(rng)]}, "back": {}},
        "instances": {"web": {"image": {"name": "al2023-ami-2023*-x86_64", "owner": "amazon"}, **_machine(rng)}},
        "network_interfaces": {
            "eth0": {"subnet": _SUBNETS[0], "attachment": {"instance": "web", "device_index": 0}},
            "eth1": {"subnet": _SUBNETS[0], "attachment": {"instance": "web", "device_index": 1}},
            "free": {"subnet": rng.choice(_SUBNETS)},
        },
        "elastic_ips": {"ip-0": {"association": {"network_interface": "eth0"}}, "ip-1": {}},
    }
    for _ in range(rng.randrange(3)):
        spec = edited(rng, spec)
    return spec


def edited(rng: Random, spec: Spec) -> Spec:
    """The spec after one more edit, that validate accepts."""
    while True:
        copy: Spec = json.loads(json.dumps(spec))
        rng.choice(EDITS)(rng, copy)
        text = text_of(copy)
        try:
            load(["-"], stdin=lambda text=text: text)  # type: ignore[misc]
        except SpecErrors:
            continue
        return copy


def _machine(rng: Random) -> dict[str, Any]:
    return {
        "instance_type": rng.choice(["t3.medium", "m5.large"]),
        # It is fixed at launch, except where a change may replace the instance.
        "user_data": "#!/bin/sh\n",
        "state": rng.choice(["running", "running", "running", "stopped"]),
        "on_change": rng.choice(["replace", "restart"]),
    }


def _rule(rng: Random) -> dict[str, Any]:
    ports = rng.choice([22, 80, 443, "8000-8010"])
    return {"protocol": "tcp", "ports": ports, "sources": [rng.choice(_CIDRS)]}


def _interface(rng: Random, spec: Spec) -> dict[str, Any]:
    found: dict[str, Any] = spec["network_interfaces"][rng.choice(sorted(spec["network_interfaces"]))]
    return found


def _change_machine(rng: Random, spec: Spec) -> None:
    for row in spec["instances"].values():
        # A move of the primary interface may still need it.
        kept = {"on_change": "replace"} if row["on_change"] == "replace" else {}
        row |= {**_machine(rng), **kept}


def _move_to_another_subnet(rng: Random, spec: Spec) -> None:
    """EC2 cannot: the interface is replaced. A primary one takes its instance along, which the row must allow."""
    row = _interface(rng, spec)
    row["subnet"] = rng.choice(_SUBNETS)
    at = row.get("attachment", {})
    if at.get("device_index") == 0:
        spec["instances"][at["instance"]]["on_change"] = "replace"


def _change_groups(rng: Random, spec: Spec) -> None:
    _interface(rng, spec)["security_groups"] = rng.choice([["front"], ["back"], ["front", "back"]])


def _change_attributes(rng: Random, spec: Spec) -> None:
    row = _interface(rng, spec)
    row["description"] = rng.choice(["x", "y z"])
    row["source_dest_check"] = rng.random() < 0.5
    row["tags"] = {"Team": rng.choice("ab")}


def _change_addresses(rng: Random, spec: Spec) -> None:
    row = _interface(rng, spec)
    row["secondary_private_ip_count"] = rng.randrange(3)


def _attach_or_detach(rng: Random, spec: Spec) -> None:
    row = spec["network_interfaces"].get(rng.choice(["eth1", "free"]), {})
    if row and row.pop("attachment", None) is None:
        row["attachment"] = {"instance": "web", "device_index": rng.choice([1, 2])}


def _add_or_remove_an_interface(rng: Random, spec: Spec) -> None:
    rows, name = spec["network_interfaces"], rng.choice(["eth1", "free", "spare"])
    if rows.pop(name, None) is None:
        rows[name] = {"subnet": rng.choice(_SUBNETS)}


def _add_or_remove_an_address(rng: Random, spec: Spec) -> None:
    rows, name = spec["elastic_ips"], f"ip-{rng.randrange(4)}"
    if rows.pop(name, None) is None:
        rows[name] = {}


def _associate(rng: Random, spec: Spec) -> None:
    if spec["elastic_ips"]:
        name = rng.choice(sorted(spec["elastic_ips"]))
        other = rng.choice(sorted(spec["network_interfaces"]))
        spec["elastic_ips"][name] = rng.choice([{}, {"association": {"network_interface": other}}])


def _change_rules(rng: Random, spec: Spec) -> None:
    row = spec["security_groups"][rng.choice(["front", "back"])]
    row["ingress"] = [_rule(rng) for _ in range(rng.randrange(3))]


def _add_or_remove_an_instance(rng: Random, spec: Spec) -> None:
    rows = spec["network_interfaces"]
    if spec["instances"].pop("two", None) is None:
        image = spec["instances"]["web"]["image"]
        spec["instances"]["two"] = {"image": image, **_machine(rng)}
        rows["two-0"] = {"subnet": _SUBNETS[0], "attachment": {"instance": "two", "device_index": 0}}
    else:
        rows.pop("two-0", None)


EDITS: tuple[Edit, ...] = (
    _change_machine,
    _move_to_another_subnet,
    _change_groups,
    _change_attributes,
    _change_addresses,
    _attach_or_detach,
    _add_or_remove_an_interface,
    _add_or_remove_an_address,
    _associate,
    _change_rules,
    _add_or_remove_an_instance,
)


# ---- hands


def drift(rng: Random, world: World) -> bool:
    """One change by hand to something of the stack; whether EC2 let it."""
    world.settle()
    try:
        rng.choice(HANDS)(rng, world)
    except (EC2Error, IndexError):
        return False
    return True


def ours(records: Mapping[str, Resource]) -> list[Any]:
    return [each for _, each in sorted(records.items()) if each.tags.get(STACK_TAG) == STACK]


def _any(rng: Random, records: Mapping[str, Resource]) -> Any:
    """Raises IndexError where the stack has none."""
    return rng.choice(ours(records))


def _held(rng: Random, world: World) -> Interface:
    found = [each for each in ours(world.data.interfaces) if each.attachment and each.attachment.device_index]
    return rng.choice(found)  # type: ignore[no-any-return]


def _detach_one(rng: Random, world: World) -> None:
    attachment = _held(rng, world).attachment
    assert attachment is not None
    world.call("DetachNetworkInterface", AttachmentId=attachment.id)


def _delete_one(rng: Random, world: World) -> None:
    world.call("DeleteNetworkInterface", NetworkInterfaceId=_any(rng, world.data.interfaces).id)


def _disassociate_one(rng: Random, world: World) -> None:
    held = [each for each in ours(world.data.addresses) if each.association_id]
    world.call("DisassociateAddress", AssociationId=rng.choice(held).association_id)


def _release_one(rng: Random, world: World) -> None:
    world.call("ReleaseAddress", AllocationId=_any(rng, world.data.addresses).id)


def _associate_another(rng: Random, world: World) -> None:
    world.call(
        "AssociateAddress",
        AllocationId=_any(rng, world.data.addresses).id,
        NetworkInterfaceId=_any(rng, world.data.interfaces).id,
        AllowReassociation=True,
    )


def _flip(rng: Random, world: World) -> None:
    row = _any(rng, world.data.interfaces)
    check = {"Value": not row.source_dest_check}
    world.call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=row.id, SourceDestCheck=check)


def _open(rng: Random, world: World) -> None:
    port = {"IpProtocol": "tcp", "FromPort": 23, "ToPort": 23, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    world.call("AuthorizeSecurityGroupIngress", GroupId=_any(rng, world.data.groups).id, IpPermissions=[port])


def _rename(rng: Random, world: World) -> None:
    data = world.data
    kinds: list[Mapping[str, Resource]] = [data.interfaces, data.addresses, data.groups, data.instances]
    records = rng.choice(kinds)
    world.call("CreateTags", Resources=[_any(rng, records).id], Tags=[{"Key": "Name", "Value": "mine"}])


def _stop(rng: Random, world: World) -> None:
    world.call("StopInstances", InstanceIds=[_any(rng, world.data.instances).id])


def _start(rng: Random, world: World) -> None:
    world.call("StartInstances", InstanceIds=[_any(rng, world.data.instances).id])


def _terminate(rng: Random, world: World) -> None:
    world.call("TerminateInstances", InstanceIds=[_any(rng, world.data.instances).id])


HANDS: tuple[Callable[[Random, World], None], ...] = (
    _detach_one,
    _delete_one,
    _disassociate_one,
    _release_one,
    _associate_another,
    _flip,
    _open,
    _rename,
    _stop,
    _start,
    _terminate,
)


def left_of(world: World) -> list[str]:
    """What carries the stack's tag, by its address."""
    data = world.data
    records = (data.groups, data.instances, data.interfaces, data.addresses, data.volumes)
    alive = [each for some in records for each in ours(some) if getattr(each, "state", "") != "terminated"]
    return sorted(f"{each.tags.get(NAME_TAG)} {each.id}" for each in alive)
