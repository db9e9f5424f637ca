"""Small worlds for the tests of the core: a spec and a live state from a few words, and a plan back in few words.

The fixed world: the default VPC ``vpc-default`` with the subnets ``subnet-a`` (172.31.0.0/20, us-east-1a) and
``subnet-b`` (172.31.16.0/20, us-east-1b), and its default group ``sg-default``; beside it others, of which
``vpc-dual`` has IPv6. A live resource called ``web`` has
the id ``i-web``, ``eni-web``, ``eipalloc-web`` or ``sg-web``; all about it that is not said is what the spec
gets by default. Ids that no name of ours stands behind (``eni-stranger``) are another owner's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from msgspec.structs import replace

from enireconcile.errors import Problem, SpecErrors
from enireconcile.live.records import (
    Limits,
    Live,
    LiveAttachment,
    LiveElasticIp,
    LiveImage,
    LiveInstance,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
    Occupant,
    ReverseDns,
    security_group,
)
from enireconcile.model import (
    Action,
    Change,
    Expect,
    Field,
    PathBreak,
    Plan,
    PlanError,
    Step,
    plain,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.planning.draft import make_plan
from enireconcile.spec import Spec, load

Words = Mapping[str, Any]

STACK = "lab"
ACCOUNT = "123456789012"
REGION = "us-east-1"
HEAD: Words = {"version": 1, "stack": STACK, "region": REGION}
VPCS = (
    LiveVpc("vpc-default", {}, ("172.31.0.0/16",), is_default=True),
    LiveVpc("vpc-lab", {"Name": "lab", "Team": "net"}, ("10.0.0.0/16", "10.1.0.0/16"), is_default=False),
    LiveVpc("vpc-old", {"Name": "old", "Team": "net"}, ("10.2.0.0/16",), is_default=False),
    LiveVpc("vpc-dual", {"Name": "dual"}, ("10.3.0.0/16",), is_default=False, ipv6=True),
)
SUBNETS = (
    LiveSubnet("subnet-a", {}, "vpc-default", "us-east-1a", "172.31.0.0/20", default_for_az=True),
    LiveSubnet("subnet-b", {}, "vpc-default", "us-east-1b", "172.31.16.0/20", default_for_az=True),
    LiveSubnet("subnet-lab-a", {"Name": "lab-a", "Team": "net"}, "vpc-lab", "us-east-1a", "10.0.0.0/24", False),
    LiveSubnet("subnet-lab-b", {"Name": "lab-b", "Team": "net"}, "vpc-lab", "us-east-1b", "10.0.1.0/24", False),
    LiveSubnet("subnet-old", {"Name": "old"}, "vpc-old", "us-east-1a", "10.2.0.0/24", False),
    LiveSubnet(
        "subnet-dual",
        {"Name": "dual"},
        "vpc-dual",
        "us-east-1a",
        "10.3.0.0/24",
        False,
        ipv6_cidrs=("2001:db8::/64",),
    ),
    LiveSubnet(
        "subnet-generous",
        {"Name": "generous"},
        "vpc-dual",
        "us-east-1a",
        "10.3.1.0/24",
        False,
        ipv6_cidrs=("2001:db8:0:1::/64",),
        gives_ipv6=True,
    ),
    LiveSubnet(
        "subnet-six", {"Name": "six"}, "vpc-dual", "us-east-1a", "", False, ipv6_cidrs=("2001:db8:0:6::/64",)
    ),
)
ALLOW_ALL = "-1 - 0.0.0.0/0"


def spec_of(words: Words | str) -> Spec:
    """A spec from a whole text, or from a mapping that may leave out version, stack and region."""
    text = words if isinstance(words, str) else json.dumps({**HEAD, **words})
    (spec,) = load(["-"], stdin=lambda: text)
    return spec


def plan_of(
    spec: Words | str,
    live: Words | None = None,
    *,
    prune: bool = False,
    targets: Sequence[str] = (),
    known: Limits | None = None,
    partly: bool = False,
) -> Plan:
    """The plan for a spec in a world that is told in a few words, with the limits that are known.

    Raises SpecErrors with the errors of the plan, unless ``partly``: then it is the plan for the rest.
    """
    loaded = spec_of(spec)
    made = make_plan(loaded, live_of(live or {}, loaded), prune=prune, targets=targets, known=known)
    return made if partly else whole(made)


def warnings_of(plan: Plan) -> tuple[str, ...]:
    """The warnings but those of guests: nothing is known of the images of this world (``test_guests.py``)."""
    return tuple(each for each in plan.warnings if "`enireconcile guest" not in each)


def whole(plan: Plan) -> Plan:
    """The plan. Raises SpecErrors if it leaves anything out."""
    if plan.errors:
        raise SpecErrors([error.problem for error in plan.errors])
    return plan


def immutable(problem: Problem) -> str:
    """What a problem says of an attribute that cannot be changed in place: ``instances.web (i-web): …``."""
    aws_id, _, words = problem.message.partition(": ")
    section, name, _ = problem.path.split(".")
    said, found, _ = words.partition(", and it cannot be changed in place")
    assert found
    return f"{section}.{name} ({aws_id}): {said}"


def examples(count: int) -> settings:
    """So many examples, or fewer of them under a profile that wants fewer than hypothesis does."""
    # Hypothesis drops an example that is too large for it; several in a row are bad luck, and no defect.
    unlucky = [HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.too_slow]
    return settings(
        deadline=None,
        max_examples=max(1, count * settings().max_examples // 100),
        suppress_health_check=unlucky,
    )


# ---- live states


def live_of(words: Words, spec: Spec | None = None) -> Live:
    """The live records of what is told, by section and name.

    ``externals`` are external instances by their names in the spec, ``foreign_interfaces`` are interfaces outside
    the spec by their ids, ``free`` maps subnets to their free addresses. ``route_tables`` are named by their ids,
    each with its routes: destinations to targets.
    """
    sections = {section: dict(words.get(section) or {}) for section in _SECTIONS}
    instances, interfaces, addresses = (sections[section] for section in _SECTIONS[1:])
    places = {name: _place(row or {}, name, instances) for name, row in interfaces.items()}
    private_ips: dict[str | None, str] = {
        name: (row or {}).get("private_ip", f"172.31.0.{10 + number}")
        for number, (name, row) in enumerate(interfaces.items())
    }
    holders = {
        row["at"]: _id(row, f"eipalloc-{name}")
        for name, row in addresses.items()
        if row and "at" in row and row["at"] in interfaces and "private_ip" not in row
    }
    stack = spec.document.stack if spec else STACK
    images = spec.document.instances if spec else {}
    running = {name for name, row in instances.items() if (row or {}).get("state") not in _GOING}
    groups = {name: _group(name, row or {}, stack) for name, row in sections["security_groups"].items()}
    standing = [place for place in places.values() if place]
    hosts = {name: _instance(name, row or {}, stack, standing) for name, row in instances.items()}
    cards = {
        name: _interface(name, row or {}, stack, places[name], private_ips[name], holders.get(name))
        for name, row in interfaces.items()
    }
    ips = {name: _address(name, row or {}, stack, private_ips, interfaces) for name, row in addresses.items()}
    found = [
        [name for name, row in sections[section].items() if (row or {}).get("found")] for section in _SECTIONS
    ]
    return Live(
        account_id=ACCOUNT,
        region=REGION,
        security_groups=tuple(group for name, group in groups.items() if name not in found[0]),
        instances=tuple(host for name, host in hosts.items() if name not in found[1]),
        network_interfaces=tuple(card for name, card in cards.items() if name not in found[2]),
        elastic_ips=tuple(ip for name, ip in ips.items() if name not in found[3]),
        adoptable=(
            *(groups[name] for name in found[0]),
            *(hosts[name] for name in found[1]),
            *(cards[name] for name in found[2]),
            *(ips[name] for name in found[3]),
        ),
        dependents=_users(words.get("users") or {}, instances, stack),
        subnets=tuple(
            replace(subnet, free=words.get("free", {}).get(subnet.id, subnet.free)) for subnet in SUBNETS
        ),
        vpcs=VPCS,
        default_groups={
            "vpc-default": "sg-default",
            "vpc-lab": "sg-lab-default",
            "vpc-dual": "sg-dual-default",
        },
        externals={
            name: (_instance(name, row or {}, "", [place for place in places.values() if place]),)
            for name, row in (words.get("externals") or {}).items()
        },
        foreign_interfaces=tuple(
            _interface(
                name, {"id": name, **(row or {})}, "", None, (row or {}).get("private_ip", "172.31.0.99"), None
            )
            for name, row in (words.get("foreign") or {}).items()
        ),
        images={
            name: (LiveImage("ami-12345678" if name in running else f"ami-of-{name}", ""),)
            for name, row in images.items()
            if name not in running or getattr(row, "on_change", "") == "replace"
        },
        route_tables=tuple(
            LiveRouteTable(
                table,
                {"Name": table.removeprefix("rtb-")},
                (row or {}).get("vpc", "vpc-default"),
                routes=tuple(LiveRoute(to, target) for to, target in (row or {}).get("routes", {}).items()),
            )
            for table, row in (words.get("route_tables") or {}).items()
        ),
        checks={
            _id(row, f"i-{name}"): row["checks"]
            for name, row in ((name, row or {}) for name, row in instances.items())
            if "checks" in row
        },
    )


def _users(words: Words, instances: Words, stack: str) -> tuple[LiveSecurityGroup | LiveNetworkInterface, ...]:
    """Other people's groups and interfaces, told as ours are."""
    groups, cards = words.get("security_groups", {}), words.get("network_interfaces", {})
    return (
        *(_group(name, {"found": True, **row}, stack) for name, row in groups.items()),
        *(
            _interface(name, {"found": True, **row}, stack, _place(row, name, instances), "172.31.0.99", None)
            for name, row in cards.items()
        ),
    )


_GOING = ("shutting-down", "terminated")
_SECTIONS = ("security_groups", "instances", "network_interfaces", "elastic_ips")


def _id(row: Words, otherwise: str) -> str:
    return str(row.get("id", otherwise))


def _tags(section: str, name: str, row: Words, stack: str) -> dict[str, str]:
    """Those of the stack, and the row's; what is ``found`` by its id, and not by its tags, has the row's only."""
    owned = {"Name": name, STACK_TAG: stack, NAME_TAG: f"{section}.{row.get('named', name)}"}
    return {**({} if row.get("found") else owned), **row.get("tags", {})}


def _place(row: Words, name: str, instances: Words) -> tuple[LiveAttachment, Occupant] | None:
    """``at: web 1`` or ``at: web 1 card 2``; an id that starts with i- is a foreign instance."""
    if "at" not in row:
        return None
    instance, index, *card = str(row["at"]).split()
    if not instance.startswith("i-"):
        instance = _id(instances.get(instance) or {}, f"i-{instance}")
    attachment = LiveAttachment(
        id=row.get("attachment_id", f"eni-attach-{name}"),
        instance_id=instance,
        device_index=int(index),
        network_card_index=int(card[1]) if card else 0,
        delete_on_termination=row.get("delete_on_termination", False),
        status=row.get("attachment_status", "attached"),
    )
    occupant = Occupant(
        _id(row, f"eni-{name}"),
        attachment.device_index,
        attachment.network_card_index,
        attachment.id,
        attachment.status,
        row.get("interface_type", "interface"),
    )
    return attachment, occupant


_FURTHER = (
    "user_data",
    *("ebs_optimized", "monitoring", "auto_recovery", "stop_protected", "shutdown_behavior", "cpu_credits"),
    *("placement_group", "spot_request"),
)


def _instance(
    name: str, row: Words, stack: str, places: Sequence[tuple[LiveAttachment, Occupant]]
) -> LiveInstance:
    """``foreign_interfaces`` maps device indexes to interfaces of another user.

    ``eni-1``, or ``eni-1 detaching``, or with its type ``eni-1 attached efa``; a card other than 0 is told with
    the index: ``1 card 2``. ``checks`` is the worse of its status checks.
    """
    instance_id = _id(row, f"i-{name}")
    ours = [occupant for place, occupant in places if place.instance_id == instance_id]
    foreign_interfaces = []
    for place, words in row.get("foreign", {}).items():
        index, *card = str(place).split()
        interface, *status = words.split()
        attachment_id = f"eni-attach-{interface.removeprefix('eni-')}"
        foreign_interfaces.append(
            Occupant(interface, int(index), int(card[1]) if card else 0, attachment_id, *status)
        )
    return LiveInstance(
        id=instance_id,
        tags=_tags("instances", name, row, stack),
        state=row.get("state", "running"),
        instance_type=row.get("instance_type", "t3.micro"),
        image_id="ami-12345678",
        key_name=row.get("key_name"),
        metadata_options=row.get("metadata_options", {}),
        protected=row.get("protected"),
        **{key: row[key] for key in _FURTHER if key in row},
        profile=row.get("profile"),
        profile_association=f"iip-assoc-{name}" if row.get("profile") else None,
        zone=row.get("zone", "us-east-1a"),
        manager=row.get("manager"),
        occupants=tuple(
            sorted(ours + foreign_interfaces, key=lambda place: (place.network_card_index, place.device_index))
        ),
    )


def _interface(
    name: str,
    row: Words,
    stack: str,
    place: tuple[LiveAttachment, Occupant] | None,
    private_ip: str,
    holder: str | None,
) -> LiveNetworkInterface:
    """``holds`` is the allocation id of a foreign address on the primary private address.

    ``addresses`` maps further private addresses to allocation ids; the keys of pools are those of the spec, the
    first of them ``secondary`` for short.
    """
    holder = row.get("holds", holder)
    detaching = row.get("attachment_status") == "detaching"
    return LiveNetworkInterface(
        id=_id(row, f"eni-{name}"),
        tags=_tags("network_interfaces", name, row, stack),
        subnet_id=row.get("subnet", "subnet-a"),
        groups=tuple(sorted(row.get("groups", ["sg-default"]))),
        private_ip=private_ip,
        description=row.get("description", ""),
        source_dest_check=row.get("source_dest_check", True),
        status=row.get("status", "detaching" if detaching else "in-use" if place else "available"),
        attachment=place[0] if place else None,
        addresses={**({private_ip: holder} if holder else {}), **row.get("addresses", {})},
        secondary_ips=tuple(sorted(row.get("secondary_private_ips", row.get("secondary", ())))),
        ipv6_addresses=tuple(sorted(row.get("ipv6_addresses", ()))),
        ipv4_prefixes=tuple(sorted(row.get("ipv4_prefixes", ()))),
        ipv6_prefixes=tuple(sorted(row.get("ipv6_prefixes", ()))),
        interface_type=row.get("interface_type", "interface"),
        timeouts=row.get("timeouts", {}),
        zone=row.get("zone", "us-east-1a"),
        vpc_id=next((each.vpc_id for each in SUBNETS if each.id == row.get("subnet", "subnet-a")), ""),
        public_ip=row.get("automatic_ip"),
        manager=row.get("manager"),
    )


def _address(
    name: str, row: Words, stack: str, private_ips: Mapping[str | None, str], interfaces: Mapping[str | None, Any]
) -> LiveElasticIp:
    """``at: eth0`` is our interface's primary address, ``at: eni-stranger`` another owner's.

    ``reverse_dns`` has a ``name`` and what is ``pending``.
    """
    on = str(row["at"]) if "at" in row else None
    ours = on in private_ips
    assert on is None or ours or on.startswith("eni-"), f"{name} is on {on}, which the situation does not have"
    return LiveElasticIp(
        id=_id(row, f"eipalloc-{name}"),
        tags=_tags("elastic_ips", name, row, stack),
        public_ip=row.get("public_ip", "192.0.2.1"),
        association_id=row.get("association_id", f"eipassoc-{name}") if on else None,
        network_interface_id=_id(interfaces.get(on) or {}, f"eni-{on}") if ours else on,
        private_ip=row.get("private_ip", private_ips.get(on, "172.31.0.99")) if on else None,
        pool=row.get("pool", "amazon"),
        border_group=row.get("border_group", REGION),
        manager=row.get("manager"),
        reverse_dns=ReverseDns(**row["reverse_dns"]) if "reverse_dns" in row else None,
    )


def _group(name: str, row: Words, stack: str) -> LiveSecurityGroup:
    tags = _tags("security_groups", name, row, stack)
    return security_group(
        {
            "GroupId": _id(row, f"sg-{name}"),
            "OwnerId": ACCOUNT,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "GroupName": row.get("group_name", name),
            "Description": row.get("description", "Managed by enireconcile"),
            "VpcId": row.get("vpc", "vpc-default"),
            "IpPermissions": [_permission(rule) for rule in row.get("ingress", [])],
            "IpPermissionsEgress": [_permission(rule) for rule in row.get("egress", [ALLOW_ALL])],
        }
    )


def _permission(rule: str | Words) -> Words:
    """``tcp 80 0.0.0.0/0 some words`` as EC2 describes it; a mapping is EC2's answer as it is."""
    if not isinstance(rule, str):
        return rule
    protocol, ports, peer, *text = rule.split(maxsplit=3)
    permission: dict[str, Any] = {"IpProtocol": protocol}
    if ports != "-":
        first, _, last = ports.rpartition("..") if ".." in ports else (ports, "", ports)
        permission |= {"FromPort": int(first), "ToPort": int(last)}
    words = {"Description": text[0]} if text else {}
    if peer.startswith("pl-"):
        return permission | {"PrefixListIds": [{"PrefixListId": peer, **words}]}
    if peer.startswith("sg-"):
        return permission | {"UserIdGroupPairs": [{"GroupId": peer, "UserId": ACCOUNT, **words}]}
    if ":" in peer:
        return permission | {"Ipv6Ranges": [{"CidrIpv6": peer, **words}]}
    return permission | {"IpRanges": [{"CidrIp": peer, **words}]}


# ---- plans in few words


def brief(plan: Plan) -> dict[str, Any]:
    """What a plan says, without what is the same in every plan; empty parts are left out."""
    told = {
        "changes": [_change(change) for change in plan.changes if change.action is not Action.UNCHANGED],
        "steps": [_step(step) for step in plan.steps],
        "leftovers": [f"{left.address} {left.id}" for left in plan.leftovers],
        "warnings": list(warnings_of(plan)),
        "waits": [_expectation(expect) for expect in plan.waits],
        "interruptions": [_break(broken) for broken in plan.interruptions],
        "exposures": [_break(broken) for broken in plan.exposures],
        "errors": [_error(error) for error in plan.errors],
    }
    return {key: value for key, value in told.items() if value}


def _break(broken: PathBreak) -> str:
    return f"{broken.address} {broken.what} {broken.begins}-{broken.ends}: {broken.why}"


def _error(error: PlanError) -> dict[str, Any]:
    """The rows that are left out, with the reasons that lie in other rows."""
    reasons = dict(error.reasons)
    return {
        "error": f"{error.problem.path}: {error.problem.message}",
        "left_out": [f"{each}: {reasons[each]}" if each in reasons else each for each in error.left_out],
    }


_OPTIONS = {"HttpTokens": "required", "HttpEndpoint": "enabled", "InstanceMetadataTags": "disabled"}
"""The metadata options of an instance whose spec says nothing of them; left out of what is told of a launch."""
_OPTION_FIELDS = {"http_tokens": "required", "http_endpoint": "enabled", "instance_metadata_tags": "disabled"}


def _change(change: Change) -> dict[str, Any]:
    """Of what is created only the values after; of an update before and after."""
    which = f"{change.address} ({change.id})" if change.id else change.address
    told: dict[str, Any] = {
        "change": f"{change.action} {which}, {change.impact}",
        "fields": {
            field.field: _field(field, change)
            for field in change.fields
            if not (field.before is None and field.after == _OPTION_FIELDS)
        },
    }
    if change.reason:
        told["reason"] = change.reason
    return told


def _field(field: Field, change: Change) -> Any:
    after = plain(field.after)
    if field.field == "tags":
        after = _other_tags(after, change.address)
    if change.action is Action.CREATE:
        return after
    before = plain(field.before)
    if field.field == "tags":
        before = _other_tags(before, change.address)
    return [before, after]


def _other_tags(tags: Mapping[str, str], address: str) -> dict[str, str]:
    """``{owned: name}`` stands for the tags that every resource of the stack carries."""
    usual = {"Name": address.partition(".")[2], STACK_TAG: STACK, NAME_TAG: address}
    if not usual.items() <= tags.items():
        return dict(tags)
    return {"owned": usual["Name"], **{key: value for key, value in tags.items() if key not in usual}}


def _step(step: Step) -> dict[str, Any]:
    """A step in a line, its parameters, and what it waits for before and after the call.

    One that displaces can take a place that is not free yet.
    """
    after = f", after {_listed(step.needs)}" if step.needs else ""
    ended = f", once {_listed(step.ends_first)} ended" if step.ends_first else ""
    displaces = ", displaces" if step.displaces else ""
    told: dict[str, Any] = {
        "step": f"{step.id} {step.call} for {step.address}, {step.impact}{displaces}{after}{ended}",
        "params": {
            key: _param(key, value, step.address)
            for key, value in step.params.items()
            if (key, value) != ("MetadataOptions", _OPTIONS)
        },
    }
    if step.when:
        told["when"] = [_expectation(expect) for expect in step.when]
    if step.unless:
        told["unless"] = f"{_expectation(step.unless)}, within {step.unless.timeout:g} s"
    if step.until:
        told["until"] = _expectation(step.until)
    return told


def _listed(ids: frozenset[str]) -> str:
    return " ".join(sorted(ids, key=lambda each: int(each[1:])))


def _param(key: str, value: Any, address: str) -> Any:
    if key != "TagSpecifications":
        return plain(value)
    return {
        entry["ResourceType"]: _other_tags({tag["Key"]: tag["Value"] for tag in entry["Tags"]}, address)
        for entry in value
    }


def _expectation(expect: Expect) -> str:
    """``eni-web: Status available, or gone``; a value of None is written ``nothing``."""
    states = [
        f"{expression} {' or '.join('nothing' if value is None else str(value) for value in values)}"
        for expression, values in expect.has
    ]
    text = f"{expect.id}: {', '.join(states)}"
    return f"{text}, or gone" if expect.gone else text
