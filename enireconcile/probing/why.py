"""Why a check failed: walk the way of its packets through EC2, and say the first thing that is wrong. Pure.

What could not be read, and what cannot be known from here, counts as open: no reason is better than a wrong one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from enireconcile.live.matching import tagged_address
from enireconcile.live.records import (
    AclRule,
    AnyRecord,
    Live,
    LiveInstance,
    LiveNetworkAcl,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    Ways,
    peer_group,
)
from enireconcile.probing.answer import Answer
from enireconcile.probing.target import Target, interfaces_in, matches, target_of
from enireconcile.spec import Check, Document

_EPHEMERAL = (32768, 60999)
"""The ports of this machine to which the answers go, as Linux chooses them."""
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
    )
)
_TCP = ("tcp", "6", "-1")
_INTERNET = ("igw-", "vpce-")
"""Where answers to the internet may go: a gateway, or the endpoint of a firewall in front of it."""


@dataclass(frozen=True)
class Case:
    """A failed check: what the spec says, what was live afterwards, and what came back.

    ``file`` is the spec's. ``source`` is the address from which this machine asked, None if it has no route.
    """

    check: Check
    document: Document
    file: str
    live: Live
    ways: Ways
    answer: Answer | None
    source: str | None

    @cached_property
    def target(self) -> Target:
        return target_of(self.check, self.document, self.live)

    @property
    def name(self) -> str:
        """The address of the row that the check names."""
        key, name = self.check.target
        return f"{key}s.{name}"

    @property
    def apply(self) -> str:
        return f"`enireconcile apply {self.file}`"

    @property
    def guest(self) -> str:
        return f"`enireconcile guest {self.file} {self.instance_name}`"

    @property
    def what(self) -> str:
        return f"tcp {self.check.port}"

    @property
    def interface(self) -> LiveNetworkInterface | None:
        return self.target.interface

    @property
    def instance(self) -> LiveInstance | None:
        """The instance that holds the interface, as far as it is known."""
        attachment = self.interface.attachment if self.interface else None
        if attachment is None:
            return None
        instances = (*self.live.instances, *(one for many in self.live.externals.values() for one in many))
        known = {each.id: each for each in instances} | dict(self.ways.instances)
        return known.get(attachment.instance_id)

    @property
    def instance_name(self) -> str:
        """Its name in the spec, or its id."""
        found = self.instance
        if found is None:
            return "the instance"
        for name, candidates in self.live.externals.items():
            if found in candidates:
                return name
        return _named(found)

    @property
    def known_source(self) -> str | None:
        """The address from which EC2 sees this machine; None if a NAT on the way chooses it."""
        if self.source is None or self.target.elastic_ip is None:
            return self.source
        address = ipaddress.ip_address(self.source)
        return None if any(address in block for block in _PRIVATE) else self.source

    @property
    def here(self) -> str:
        """The source of the packets, for a message: an address, or any."""
        return self.known_source or ("::/0" if ":" in (self.target.address or "") else "0.0.0.0/0")


_Reason: TypeAlias = Callable[[Case], str | None]
"""Says what is wrong, or None."""


def why(case: Case) -> str:
    """Why the check failed, and what to do next."""
    if case.answer is not None and case.answer.state == "unknown":
        return case.answer.wrong
    if case.answer is not None and case.check.expect == "silent":
        return _why_not_silent(case, case.answer)
    reasons: list[_Reason] = [_no_address, _leads_nowhere, _not_attached, _not_running]
    if case.answer is None or case.answer.state in ("silent", "unreachable"):
        reasons += [_no_rule, _no_way_back, _network_acl]
    return next(_texts(reasons, case), None) or _in_the_guest(case)


def _texts(reasons: Sequence[_Reason], case: Case) -> Iterator[str]:
    for reason in reasons:
        if text := reason(case):
            yield text


def _named(record: AnyRecord) -> str:
    """The logical name of what the stack owns, else its id."""
    return tagged_address(record).partition(".")[2]


# ---- the address, the interface and the instance


def _no_address(case: Case) -> str | None:
    if case.target.address is not None:
        return None
    what = "a public address" if case.check.elastic_ip is not None else "a private address"
    return f"{case.name} does not have {what} yet: run {case.apply}"


def _leads_nowhere(case: Case) -> str | None:
    address = case.target.elastic_ip
    if address is None:
        return None
    row = case.document.elastic_ips.get(str(case.check.elastic_ip))
    wanted = row.association if row is not None else None
    if address.association_id is None:
        fix = f"run {case.apply}" if wanted is not None else "give it an `association`"
        return f"{address.public_ip} leads nowhere: it is associated with no interface; {fix}"
    named = wanted and (wanted.network_interface or case.document.primary_interface(wanted.instance or ""))
    right = matches(case.document, case.live).at(f"network_interfaces.{named}", LiveNetworkInterface)
    if right and address.network_interface_id not in {each.id for each in right}:
        return f"{address.public_ip} leads to {address.network_interface_id}, not to {named}: run {case.apply}"
    return None


def _not_attached(case: Case) -> str | None:
    interface = case.interface
    if interface is None or interface.manager is not None:
        return None
    name = f"{_named(interface)} ({interface.id})" if _named(interface) != interface.id else interface.id
    if interface.attachment is None:
        row = case.document.network_interfaces.get(_named(interface))
        fix = "attach it" if row is None else f"run {case.apply}" if row.attachment else "give it an `attachment`"
        return f"{name} is attached to no instance: {fix}"
    if interface.attachment.status in ("attaching", "detaching"):
        return f"{name} is {interface.attachment.status}: run the check again in a moment"
    return None


def _not_running(case: Case) -> str | None:
    instance = case.instance
    if instance is None or instance.state == "running":
        return None
    name = f"{case.instance_name} ({instance.id})" if case.instance_name != instance.id else instance.id
    row = case.document.own_instances.get(case.instance_name)
    stopped = row is not None and row.state == "stopped"
    fix = "its row says `state: stopped`" if stopped else f"run {case.apply}" if row is not None else "start it"
    return f"{name} is {instance.state}, not running: {fix}"


# ---- security groups


@dataclass(frozen=True)
class _Door:
    """The rules of an interface's groups for the port of a check, as texts after the group's name.

    ``open`` let it in from here; ``perhaps`` may, since it is not known here what they name; ``elsewhere`` are the
    sources of those that let it in from other addresses.
    """

    groups: tuple[str, ...]
    open: tuple[tuple[str, str], ...]
    perhaps: tuple[tuple[str, str], ...]
    elsewhere: tuple[str, ...]


def _no_rule(case: Case) -> str | None:
    door = _door(case)
    if door is None or door.open or door.perhaps:
        return None
    some, have = " and ".join(door.groups), "has" if len(door.groups) == 1 else "have"
    rule = f"{{protocol: tcp, ports: {case.check.port}, sources: [{_as_block(case.here)}]}}"
    fix = f"this rule would let it in: {rule}"
    if case.known_source is None and door.elsewhere:
        sources = ", ".join(door.elsewhere)
        return f"{some} {have} rules for {case.what} from {sources} only, and not from {case.here}; {fix}"
    return f"{some} {have} no rule for {case.what} from {case.here}; {fix}"


def _as_block(source: str) -> str:
    return source if "/" in source else str(ipaddress.ip_network(source))


def _door(case: Case) -> _Door | None:
    """None if the groups of the interface are not known."""
    interface = case.interface
    known = {each.id: each for each in (*case.live.security_groups, *case.live.foreign_groups)}
    known |= case.ways.groups
    if interface is None or not interface.groups or any(each not in known for each in interface.groups):
        return None
    opened: list[tuple[str, str]] = []
    perhaps: list[tuple[str, str]] = []
    elsewhere: list[str] = []
    for group in (known[each] for each in interface.groups):
        for source, verdict in _sources(case, group):
            if verdict is True:
                opened.append((_group_name(group), source))
            elif verdict is None:
                perhaps.append((_group_name(group), source))
            else:
                elsewhere.append(source.partition(" from ")[2])
    names = tuple(_group_name(known[each]) for each in interface.groups)
    return _Door(names, tuple(opened), tuple(perhaps), tuple(dict.fromkeys(elsewhere)))


def _group_name(group: LiveSecurityGroup) -> str:
    name = _named(group)
    return name if name != group.id else f"{group.id} ({group.name})"


def _sources(case: Case, group: LiveSecurityGroup) -> Iterator[tuple[str, bool | None]]:
    """Each source of the rules for the port of a check, with its rule as text, and whether it is this machine."""
    for rule in group.ingress:
        if not _covers(rule, case.check.port):
            continue
        words = _rule_words(rule)
        for block in (*_texts_of(rule, "IpRanges", "CidrIp"), *_texts_of(rule, "Ipv6Ranges", "CidrIpv6")):
            yield f"{words} from {block}", _contains(block, case.here)
        for block in _texts_of(rule, "PrefixListIds", "PrefixListId"):
            yield f"{words} from {block}", None
        for pair in rule.get("UserIdGroupPairs") or ():
            peer = peer_group(pair)
            yield f"{words} from {peer}", _is_member(case, peer)


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    if rule["IpProtocol"] not in _TCP:
        return False
    first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
    return rule["IpProtocol"] == "-1" or -1 in (first, last) or first <= port <= last


def _rule_words(rule: Mapping[str, Any]) -> str:
    first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
    if rule["IpProtocol"] == "-1" or -1 in (first, last):
        return "all" if rule["IpProtocol"] == "-1" else "tcp"
    return f"tcp {first}" if first == last else f"tcp {first}-{last}"


def _texts_of(rule: Mapping[str, Any], key: str, inner: str) -> list[str]:
    return [entry[inner] for entry in rule.get(key) or ()]


def _contains(block: str, source: str) -> bool:
    """Whether a block has a source: an address, or any."""
    outer, inner = ipaddress.ip_network(block, strict=False), ipaddress.ip_network(source)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _is_member(case: Case, group: str) -> bool | None:
    """Whether this machine is in a group that a rule names; None if that is not known.

    EC2 knows members by their private addresses, so what comes to an Elastic IP is from no member.
    """
    if case.target.elastic_ip is not None:
        return False
    for interface in interfaces_in(case.live):
        if case.source in (*interface.private_ips, *interface.ipv6_addresses):
            return group in interface.groups
    return None


# ---- routes


def _no_way_back(case: Case) -> str | None:
    interface = case.interface
    if interface is None:
        return None
    return _no_gateway(case, interface) or _no_route(case, interface)


def _no_gateway(case: Case, interface: LiveNetworkInterface) -> str | None:
    if case.target.elastic_ip is None or "DescribeInternetGateways" in case.ways.unanswered:
        return None
    if _table_of(case, interface) is None:
        # Another account has shared the subnet, and shows nothing else of the VPC.
        return None
    if any(interface.vpc_id in each.vpcs for each in case.ways.internet_gateways):
        return None
    return (
        f"{interface.vpc_id} has no internet gateway, so nothing reaches {case.target.address}: attach one, and "
        f"route {case.here} to it"
    )


def _no_route(case: Case, interface: LiveNetworkInterface) -> str | None:
    table = _table_of(case, interface)
    if table is None:
        return None
    public = case.target.elastic_ip is not None
    where, back = f"{table.text}, the route table of {interface.subnet_id},", f"back to {case.here}"
    route = _route_to(table, case.here)
    if route is None and any(each.destination.startswith("pl-") for each in table.routes):
        return None
    if route is None and public:
        gateway = next((each.id for each in case.ways.internet_gateways if interface.vpc_id in each.vpcs), "igw-…")
        return f"{where} has no way {back}: it has no route to the internet gateway; add 0.0.0.0/0 to {gateway}"
    if route is None:
        return f"{where} has no way {back}: add a route for {_as_block(case.here)}"
    if not route.active:
        return f"{where} has no way {back}: its route {route.destination} to {route.target} is a black hole"
    if public and not route.target.startswith(_INTERNET):
        return (
            f"{where} has no way {back} for a public address: its route {route.destination} leads to "
            f"{route.target}, not to an internet gateway"
        )
    return None


def _table_of(case: Case, interface: LiveNetworkInterface) -> LiveRouteTable | None:
    """The route table of the interface's subnet; None if it could not be read."""
    tables = [each for each in case.ways.route_tables if each.vpc_id == interface.vpc_id]
    explicit = (each for each in tables if interface.subnet_id in each.subnets)
    return next(explicit, next((each for each in tables if each.main), None))


def _route_to(table: LiveRouteTable, source: str) -> LiveRoute | None:
    """The most specific route, which EC2 takes. If the source is any, a route to a part of it will do."""
    routes = [each for each in (*table.routes, *table.propagated) if "/" in each.destination]
    blocks = [(ipaddress.ip_network(each.destination), each) for each in routes]
    fitting = [(block.prefixlen, each) for block, each in blocks if _contains(str(block), source)]
    if fitting:
        return max(fitting, key=lambda found: found[0])[1]
    parts = (each for block, each in blocks if "/0" in source and each.target.startswith(_INTERNET))
    return next(parts, None)


# ---- network ACLs


def _network_acl(case: Case) -> str | None:
    interface = case.interface
    acl = _acl_of(case, interface) if interface is not None else None
    if interface is None or acl is None or _in_subnet(case, interface):
        return None
    where = f"{acl.id}, the network ACL of {interface.subnet_id},"
    if denied := _denied(acl, case.here, (case.check.port, case.check.port), egress=False):
        return f"{where} does not let {case.what} in from {case.here}: {denied}"
    if denied := _denied(acl, case.here, _EPHEMERAL, egress=True):
        ports = "-".join(map(str, _EPHEMERAL))
        return f"{where} does not let the answers out to {case.here}, tcp {ports}: {denied}"
    return None


def _acl_of(case: Case, interface: LiveNetworkInterface) -> LiveNetworkAcl | None:
    return next((each for each in case.ways.network_acls if interface.subnet_id in each.subnets), None)


def _in_subnet(case: Case, interface: LiveNetworkInterface) -> bool:
    """A network ACL does not filter what stays within a subnet."""
    blocks = [each.cidr for each in case.live.subnets if each.id == interface.subnet_id and each.cidr]
    return any(case.target.elastic_ip is None and _contains(block, case.here) for block in blocks)


def _denied(acl: LiveNetworkAcl, source: str, ports: tuple[int, int], *, egress: bool) -> str | None:
    """What denies some of the ports; None if all are allowed. EC2 takes the first rule that fits a packet.

    Of a source that is not known, an allowing rule may have it, and a denying one only if it has all.
    """
    open_ports = [ports]
    for rule in acl.rules:
        fits = rule.egress is egress and rule.protocol in ("6", "-1")
        if not fits or not (_contains(rule.cidr, source) or (rule.allows and _contains(source, rule.cidr))):
            continue
        hit = [each for each in open_ports if _overlap(each, rule)]
        if hit and not rule.allows:
            return f"rule {rule.number} denies it" if rule.number < _LAST_RULE else "no rule allows it"
        open_ports = [part for each in open_ports for part in _without(each, rule)]
    return "no rule allows it" if open_ports else None


_LAST_RULE = 32767
"""The number under which EC2 shows the rule that denies all else."""


def _overlap(ports: tuple[int, int], rule: AclRule) -> bool:
    first, last = rule.ports or (0, 65535)
    return ports[0] <= last and first <= ports[1]


def _without(ports: tuple[int, int], rule: AclRule) -> Iterator[tuple[int, int]]:
    first, last = rule.ports or (0, 65535)
    for part in ((ports[0], min(ports[1], first - 1)), (max(ports[0], last + 1), ports[1])):
        if part[0] <= part[1]:
            yield part


# ---- the guest, and checks that expect no answer


def _in_the_guest(case: Case) -> str:
    answer, holder = case.answer, case.instance_name
    if answer is not None and answer.state == "open":
        if case.check.expect == "refused":
            return f"something listens on {case.what} of {holder}: stop it, or write `expect: open`"
        return f"{holder} answers, but not as expected ({answer.wrong}): look at its service on {case.what}"
    if answer is not None and answer.state == "refused":
        return (
            f"{holder} refuses {case.what}: nothing listens there, or its firewall rejects it; look in the guest: "
            f"{case.guest}"
        )
    if answer is not None and answer.state == "unreachable":
        return f"{answer.wrong}: this machine, or a router on the way, has no route to {case.target.address}"
    unread = ", ".join(f"{call}: {code}" for call, code in sorted(case.ways.unanswered.items()))
    known = f" as far as it can be read ({unread})" if unread else ""
    return f"EC2's side is open{known}, so look in the guest: {case.guest}"


def _why_not_silent(case: Case, answer: Answer) -> str:
    if answer.state == "unreachable":
        return f"{answer.wrong}: this machine, or a router on the way, has no route to {case.target.address}"
    if case.interface is None:
        return f"{case.target.address} leads to no interface: what answers there is not of this stack"
    door = _door(case)
    if door is None:
        return f"the groups of {case.name} could not be read: one of their rules lets it in"
    for verb, rules in (("lets", door.open), ("may let", door.perhaps)):
        if rules:
            group, rule = rules[0]
            return f"{group} {verb} it in: {rule}"
    if door.elsewhere and case.known_source is None:
        return f"{' and '.join(door.groups)} lets it in from {', '.join(door.elsewhere)}"
    return (
        f"no rule of {' and '.join(door.groups)} lets {case.what} in from {case.here}: what answers at "
        f"{case.target.address} is not this interface, or goes there by another way"
    )
