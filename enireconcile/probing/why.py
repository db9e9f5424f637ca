"""Why a check failed: walk the way of its packets through EC2, and say the first thing that is wrong. Pure.

What could not be read, and what cannot be known from here, counts as open: no reason is better than a wrong one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any, TypeAlias

from msgspec import Struct

from enireconcile.kinds.security_group import live_ends, live_ports, live_protocol
from enireconcile.live.matching import tagged_address
from enireconcile.live.records import (
    AclRule,
    AnyRecord,
    Live,
    LiveElasticIp,
    LiveInstance,
    LiveNetworkAcl,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    Ways,
    serving,
)
from enireconcile.ownership import STACK_TAG
from enireconcile.probing.answer import Answer
from enireconcile.probing.target import Target, interfaces_in, matches, target_of
from enireconcile.spec import Association, Check, Document
from enireconcile.spec.checks import is_inside

_EPHEMERAL = (32768, 60999)
"""The ports of this machine to which the answers go, as Linux chooses them."""
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
    )
)
_INTERNET = ("igw-", "vpce-", "eni-", "cagw-", "lgw-")
"""Where answers to the internet may go: a gateway, or the endpoint or the interface of a firewall before it."""
_OTHER_GATEWAYS = ("cagw-", "lgw-")
"""Those of Wavelength Zones and Outposts, which take the place of an internet gateway."""


class Case(Struct, frozen=True, dict=True):
    """A failed check: what the spec says, what was live afterwards, and what came back.

    ``file`` is the spec's. ``source`` is the address from which this machine asked, None if it has no route;
    ``asked`` the address that it asked, None if there was none.
    """

    check: Check
    document: Document
    file: str
    live: Live
    ways: Ways
    answer: Answer | None
    source: str | None
    asked: str | None

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
    def look_in_the_guest(self) -> str:
        """Where to look next, with the command that shows the guest's network as far as there is one."""
        if self.interface is not None and self.interface.manager is not None:
            return f"look at {self.interface.manager}, which manages {self.interface.id}"
        if self.instance_name in self.document.instances:
            return f"look in the guest: `enireconcile guest {self.file} {self.instance_name}`"
        return f"look in the guest of {self.instance_name}" if self.instance else "look in the guest"

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
        adopted = {each: address for address, each in self.document.adopted.items()}
        if found.id in adopted:
            return adopted[found.id].partition(".")[2]
        return _named(found) if found.tags.get(STACK_TAG) == self.document.stack else found.id

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

    @property
    def from_here(self) -> str:
        return f"from {self.known_source or 'this machine'}"

    def has_source(self, block: str) -> bool | None:
        """Whether a block has the source of the packets; None if that is not known."""
        if self.known_source is not None:
            return _contains(block, self.known_source)
        network = ipaddress.ip_network(block, strict=False)
        if network.version != ipaddress.ip_network(self.here).version:
            return False
        if network.prefixlen == 0:
            return True
        # What comes to an Elastic IP comes over the internet, from a public address.
        private = self.target.elastic_ip is not None and any(_contains(str(each), block) for each in _PRIVATE)
        return False if private else None


_Reason: TypeAlias = Callable[[Case], str | None]
"""Says what is wrong, or None."""


def why(case: Case) -> str:
    """Why the check failed, and what to do next."""
    if case.answer is not None and case.answer.state == "unknown":
        return case.answer.wrong
    if moved := _moved(case):
        return moved
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


def _moved(case: Case) -> str | None:
    """The address was replaced, or came, while the old one was asked: what came back is not of this one."""
    if case.target.address in (None, case.asked):
        return None
    asked = f"{case.asked} was asked" if case.asked is not None else "there was none to ask"
    return f"{case.name} now has {case.target.address}, when {asked}: run the check again"


def _leads_nowhere(case: Case) -> str | None:
    address = case.target.elastic_ip
    if address is None:
        return None
    row = case.document.elastic_ips.get(str(case.check.elastic_ip))
    wanted = row.association if row is not None else None
    if address.association_id is None:
        fix = f"run {case.apply}" if wanted is not None else "give it an `association`"
        return f"{address.public_ip} leads nowhere: it is associated with no interface; {fix}"
    return _leads_elsewhere(case, address, wanted) if wanted is not None else None


def _leads_elsewhere(case: Case, address: LiveElasticIp, wanted: Association) -> str | None:
    name, right = _right_interfaces(case, wanted)
    if right and address.network_interface_id not in right:
        return f"{address.public_ip} leads to {address.network_interface_id}, not to {name}: run {case.apply}"
    if case.interface is None:
        return None
    row = case.document.network_interfaces.get(name)
    primary = {case.interface.private_ip, row.private_ip if row is not None else None} - {None}
    meant = "a secondary one" if wanted.secondary else wanted.private_ip or "its primary one"
    at_primary = address.private_ip in primary
    if wanted.secondary or wanted.private_ip in (None, *primary):
        misled = at_primary is wanted.secondary
    else:
        misled = address.private_ip != wanted.private_ip
    if misled:
        return f"{address.public_ip} leads to {address.private_ip} of {name}, not to {meant}: run {case.apply}"
    return None


def _right_interfaces(case: Case, wanted: Association) -> tuple[str, AbstractSet[str]]:
    """What an association names, and the ids of the interfaces that it is; none if they are not known."""
    found = matches(case.document, case.live)
    named = wanted.network_interface or case.document.primary_interface(str(wanted.instance))
    if named is not None:
        ours = {each.id for each in found.at(f"network_interfaces.{named}", LiveNetworkInterface)}
        return named, ours if named in case.document.network_interfaces else {named}
    holder = str(wanted.instance)
    instances = (*found.at(f"instances.{holder}", LiveInstance), *case.live.externals.get(holder, ()))
    occupants = (each.occupant(0, 0) for each in instances)
    return f"the primary interface of {holder}", {each.network_interface_id for each in occupants if each}


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
    if instance.state == "pending":
        return f"{name} is pending, not running: run the check again in a moment"
    if row is not None and row.state == "stopped" and not instance.terminating:
        fix = "its row says `state: stopped`"
    elif row is not None:
        fix = f"run {case.apply}"
    elif instance.terminating:
        fix = "launch another one"
    else:
        fix = "start it" if instance.state == "stopped" else "start it once it is stopped"
    return f"{name} is {instance.state}, not running: {fix}"


# ---- security groups


class _Door(Struct, frozen=True):
    """The rules of an interface's groups for the port of a check, as texts after the group's name.

    ``open`` let it in from here; ``perhaps`` may, since it is not known here what they name, or which address of
    this machine EC2 sees.
    """

    groups: tuple[str, ...]
    open: tuple[tuple[str, str], ...]
    perhaps: tuple[tuple[str, str], ...]


def _no_rule(case: Case) -> str | None:
    door = _door(case)
    if door is None or door.open or door.perhaps:
        return None
    some, have = " and ".join(door.groups), "has" if len(door.groups) == 1 else "have"
    # Never any address: behind a NAT, that would open the port to the world.
    source = _as_block(case.known_source or ("ADDRESS/128" if ":" in case.here else "ADDRESS/32"))
    rule = f"{{protocol: tcp, ports: {case.check.port}, sources: [{source}]}}"
    with_address = "" if case.known_source else ", with the address from which EC2 sees it"
    return (
        f"{some} {have} no rule for {case.what} {case.from_here}; this rule would let it in{with_address}: {rule}"
    )


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
    for group in (known[each] for each in interface.groups):
        for source, verdict in _sources(case, group):
            if verdict is True:
                opened.append((_group_name(group), source))
            elif verdict is None:
                perhaps.append((_group_name(group), source))
    names = tuple(_group_name(known[each]) for each in interface.groups)
    return _Door(names, tuple(opened), tuple(perhaps))


def _group_name(group: LiveSecurityGroup) -> str:
    name = _named(group)
    return name if name != group.id else f"{group.id} ({group.name})"


def _sources(case: Case, group: LiveSecurityGroup) -> Iterator[tuple[str, bool | None]]:
    """Each source of the rules for the port of a check, with its rule as text, and whether it is this machine."""
    for rule in group.ingress:
        if not _covers(rule, case.check.port):
            continue
        protocol, ports = live_protocol(rule), live_ports(rule)
        words = ("all" if protocol == "-1" else protocol) + (f" {ports}" if ports else "")
        for end, _ in live_ends(rule):
            yield f"{words} from {end}", _is_from_here(case, end)


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
    whole = live_protocol(rule) == "-1" or -1 in (first, last)
    return live_protocol(rule) in ("tcp", "-1") and (whole or first <= port <= last)


def _is_from_here(case: Case, source: str) -> bool | None:
    """Whether the source of a rule is this machine; None if that is not known."""
    if source.startswith("pl-"):
        return None
    return _is_member(case, source) if "sg-" in source else case.has_source(source)


def _contains(block: str, source: str) -> bool:
    """Whether a block has a source: an address, or any."""
    outer, inner = ipaddress.ip_network(block, strict=False), ipaddress.ip_network(source)
    return is_inside(inner, outer)


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
    table = _table_of(case, interface)
    if table is None:
        # Another account has shared the subnet, and shows nothing else of the VPC.
        return None
    if any(interface.vpc_id in each.vpcs for each in case.ways.internet_gateways):
        return None
    if any(each.active and each.target.startswith(_OTHER_GATEWAYS) for each in table.routes):
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
    route = _route_back(case, table, interface)
    lists = [each for each in table.routes if each.destination.startswith("pl-")]
    if any(route is None or each.target.startswith("igw-") for each in lists):
        # What a list contains is not read. One to an endpoint is most often of S3 or DynamoDB.
        return None
    if route is None and public:
        gateway = next((each.id for each in case.ways.internet_gateways if interface.vpc_id in each.vpcs), "igw-…")
        return f"{where} has no way {back}: it has no route to the internet gateway; add 0.0.0.0/0 to {gateway}"
    if route is None:
        return f"{where} has no way {back}: add a route for {_as_block(case.here)}"
    if not route.active:
        return f"{where} has no way {back}: its route {route.destination} to {route.target} is a black hole"
    if not _leads_back(case, route, interface):
        return (
            f"{where} has no way {back} for a public address: its route {route.destination} leads to "
            f"{route.target}, not to an internet gateway"
        )
    return None


def _table_of(case: Case, interface: LiveNetworkInterface) -> LiveRouteTable | None:
    """The route table of the interface's subnet; None if it could not be read."""
    return serving(case.ways.route_tables, interface.subnet_id, interface.vpc_id)


def _route_back(case: Case, table: LiveRouteTable, interface: LiveNetworkInterface) -> LiveRoute | None:
    """The most specific route, which EC2 takes. If the source is not known, one that may be its and leads back."""
    routes = [each for each in (*table.routes, *table.propagated) if "/" in each.destination]
    verdicts = [(each, case.has_source(each.destination)) for each in routes]
    perhaps = (each for each, verdict in verdicts if verdict is None and _leads_back(case, each, interface))
    fitting = [each for each, verdict in verdicts if verdict is True]
    return next(perhaps, max(fitting, key=_prefix_length, default=None))


def _prefix_length(route: LiveRoute) -> int:
    return ipaddress.ip_network(route.destination).prefixlen


def _leads_back(case: Case, route: LiveRoute, interface: LiveNetworkInterface) -> bool:
    """Whether the answers may come back by a route, as far as it is known where a firewall sends them."""
    public = case.target.elastic_ip is not None
    out = route.target.startswith(_INTERNET) and route.target != interface.id
    return route.active and (out or not public)


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
    if answer is not None and answer.state == "refused" and _is_of_this_machine(case.asked):
        where = f"{case.asked} is an address of this machine, not of a guest"
        return f"{holder} refuses {case.what}: {where}, and nothing listens there"
    if answer is not None and answer.state == "refused":
        return (
            f"{holder} refuses {case.what}: nothing listens there, or its firewall rejects it; "
            f"{case.look_in_the_guest}"
        )
    if answer is not None and answer.state == "unreachable":
        return f"{answer.wrong}: this machine, or a router on the way, has no route to {case.target.address}"
    unread = ", ".join(f"{call}: {code}" for call, code in sorted(case.ways.unanswered.items()))
    known = f" as far as it can be read ({unread})" if unread else ""
    return f"EC2's side is open{known}{_provided(case)}, so {case.look_in_the_guest}"


def _is_of_this_machine(address: str | None) -> bool:
    """A simulated EC2 may allocate addresses of the loopback network."""
    return address is not None and ipaddress.ip_address(address).is_loopback


def _provided(case: Case) -> str:
    """The rules that may let it in, if no other one does: for a reader who knows where EC2 sees this machine."""
    door = _door(case)
    if door is None or door.open or not door.perhaps:
        return ""
    rules = "; ".join(f"{group}: {rule}" for group, rule in door.perhaps)
    return f", if one of these rules lets this machine in ({rules})"


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
    return (
        f"no rule of {' and '.join(door.groups)} lets {case.what} in {case.from_here}: what answers at "
        f"{case.target.address} is not this interface, or goes there by another way"
    )
