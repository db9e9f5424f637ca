"""The reason of a failed check, from data alone: rules, routes and ACLs that match in part, or cannot be known.

``tests/scenarios/test_verify.py`` has the reasons as the strict EC2 makes them.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.live.records import (
    AclRule,
    Live,
    LiveAttachment,
    LiveElasticIp,
    LiveInstance,
    LiveInternetGateway,
    LiveNetworkAcl,
    LiveNetworkInterface,
    LiveRoute,
    LiveRouteTable,
    LiveSecurityGroup,
    Occupant,
    Ways,
)
from enireconcile.ownership import NAME_TAG, STACK_TAG
from enireconcile.probing.answer import Answer
from enireconcile.probing.why import Case, why
from enireconcile.spec import Document
from tests.spec.reading import document

HERE = "198.51.100.7"
ANY = "0.0.0.0/0"
GUEST = "EC2's side is open, so look in the guest: `enireconcile guest shop.yaml web`"
TEXT = """
version: 1
stack: shop
security_groups: {web: {}}
instances: {web: {image: ami-12345678, instance_type: t3.micro}}
network_interfaces:
  eth0: {subnet: subnet-12345678, security_groups: [web], attachment: {instance: web, device_index: 0}}
elastic_ips: {web: {association: {network_interface: eth0}}}
checks:
  check: {TARGET, tcp: 443, expect: EXPECT}
"""
RULES: list[dict[str, Any]] = [
    {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ANY}]},
]
ALLOW = AclRule(100, False, True, "-1", ANY)
OUT = AclRule(100, True, True, "-1", ANY)


def mine(name: str) -> dict[str, str]:
    return {STACK_TAG: "shop", NAME_TAG: name}


IMAGE = "image: ami-12345678, instance_type: t3.micro"


def spec(*, private: bool = False, expect: str = "open", without: str = "\0", image: str = IMAGE) -> Document:
    target = "network_interface: eth0" if private else "elastic_ip: web"
    return document(
        TEXT.replace(without, "").replace(IMAGE, image).replace("TARGET", target).replace("EXPECT", expect)
    )


def live(*rules: dict[str, Any], source: LiveNetworkInterface | None = None) -> Live:
    """A web server with an Elastic IP on its only interface, in a group with these rules."""
    attachment = LiveAttachment("eni-attach-1", "i-1", 0, 0, False, "attached")
    eth0 = LiveNetworkInterface(
        id="eni-1",
        tags=mine("network_interfaces.eth0"),
        subnet_id="subnet-1",
        groups=("sg-1",),
        private_ip="10.0.1.10",
        description="",
        source_dest_check=True,
        status="in-use",
        attachment=attachment,
        vpc_id="vpc-1",
    )
    return Live(
        account_id="123456789012",
        region="us-east-1",
        security_groups=(
            LiveSecurityGroup("sg-1", mine("security_groups.web"), "web", "", "vpc-1", rules or tuple(RULES), ()),
        ),
        instances=(
            LiveInstance(
                "i-1", mine("instances.web"), "running", "t3.micro", "ami-1", key_name=None, profile=None
            ),
        ),
        network_interfaces=(eth0, *([source] if source else [])),
        elastic_ips=(
            LiveElasticIp(
                "eipalloc-1", mine("elastic_ips.web"), "203.0.113.7", "eipassoc-1", "eni-1", "10.0.1.10"
            ),
        ),
    )


def table(*routes: LiveRoute, **more: Any) -> LiveRouteTable:
    local = LiveRoute("10.0.0.0/16", "local", born=True)
    return LiveRouteTable("rtb-1", {}, "vpc-1", main=True, routes=(local, *routes), **more)


INTERNET = LiveRoute(ANY, "igw-1")


def ways(*acl: AclRule, tables: tuple[LiveRouteTable, ...] = (table(INTERNET),)) -> Ways:
    return Ways(
        route_tables=tables,
        network_acls=(LiveNetworkAcl("acl-1", "vpc-1", ("subnet-1",), tuple(sorted(acl or (ALLOW, OUT)))),),
        internet_gateways=(LiveInternetGateway("igw-1", ("vpc-1",)),),
    )


def case(**words: Any) -> Case:
    usual: dict[str, Any] = {
        "document": spec(),
        "live": live(),
        "ways": ways(),
        "answer": Answer("silent"),
        "source": HERE,
        "asked": "10.0.1.10"
        if words.get("document", spec()).checks["check"].elastic_ip is None
        else "203.0.113.7",
        **words,
    }
    return Case(usual["document"].checks["check"], file="shop.yaml", **usual)


def test_nothing_is_wrong_in_ec2() -> None:
    assert why(case()) == GUEST


# ---- what to do about what is not as it should be


def changed(record: str, **words: Any) -> Live:
    """The live state with another interface, instance or address."""
    state = live()
    [first] = getattr(state, record)
    found: Any = {record: (replace(first, **words),)}
    return replace(state, **found)


def test_apply_is_the_remedy_only_where_the_spec_says_so() -> None:
    """Else the row itself has to change, or what the spec does not manage."""
    free = changed("network_interfaces", attachment=None)
    alone = spec(without=", attachment: {instance: web, device_index: 0}", image="external: i-12345678")
    assert why(case(live=free)) == "eth0 (eni-1) is attached to no instance: run `enireconcile apply shop.yaml`"
    assert why(case(live=free, document=alone)) == (
        "eth0 (eni-1) is attached to no instance: give it an `attachment`"
    )
    theirs = replace(changed("network_interfaces", attachment=None, tags={}), foreign_interfaces=())
    [eni] = theirs.network_interfaces
    foreign = replace(theirs, network_interfaces=(), foreign_interfaces=(eni,))
    assert why(case(live=foreign)) == "eni-1 is attached to no instance: attach it"
    for status in ("attaching", "detaching"):
        [eth0] = live().network_interfaces
        moving = replace(eth0.attachment, status=status) if eth0.attachment else None
        assert why(case(live=changed("network_interfaces", attachment=moving))) == (
            f"eth0 (eni-1) is {status}: run the check again in a moment"
        )


def test_an_address_of_this_machine_is_no_guest() -> None:
    """A simulated EC2 allocates such addresses: no configuration of a guest would open the port."""
    simulated = changed("elastic_ips", public_ip="127.9.9.9")
    asked = {"asked": "127.9.9.9", "answer": Answer("refused")}
    assert why(case(live=simulated, **asked)) == (
        "web refuses tcp 443: 127.9.9.9 is an address of this machine, not of a guest, and nothing listens there"
    )


def test_an_instance_outside_the_stack_is_not_started_by_apply() -> None:
    stopped = changed("instances", state="stopped")
    assert why(case(live=stopped)) == "web (i-1) is stopped, not running: run `enireconcile apply shop.yaml`"
    outside = replace(stopped, instances=(), externals={"fw": stopped.instances})
    assert why(case(live=outside)) == "fw (i-1) is stopped, not running: start it"
    unknown = replace(stopped, instances=())
    read = replace(ways(), instances={"i-1": replace(stopped.instances[0], tags={})})
    assert why(case(live=unknown, ways=read)) == "i-1 is stopped, not running: start it"


def test_an_address_without_an_association_in_its_row() -> None:
    bare = spec(without="association: {network_interface: eth0}")
    free = changed("elastic_ips", association_id=None, network_interface_id=None, private_ip=None)
    assert why(case(live=free, document=bare)) == (
        "203.0.113.7 leads nowhere: it is associated with no interface; give it an `association`"
    )
    assert why(case(live=free, document=spec(expect="silent"), answer=Answer("refused"))) == (
        "203.0.113.7 leads to no interface: what answers there is not of this stack"
    )


def bound(association: str, **more: str) -> Document:
    """The spec with another association of the Elastic IP, and with other words replaced."""
    text = TEXT.replace("TARGET", "elastic_ip: web").replace("EXPECT", "open")
    for old, new in {"association: {network_interface: eth0}": f"association: {association}", **more}.items():
        text = text.replace(old, new)
    return document(text)


def test_an_address_that_changed_during_the_check() -> None:
    """What came back is of the old one, so that nothing in EC2 or in the guest can explain it."""
    now = "elastic_ips.web now has 203.0.113.7, when {}: run the check again"
    silent, refused, answers = Answer("silent"), Answer("refused"), Answer("open")
    for expect, answer in (("open", silent), ("open", refused), ("silent", answers)):
        reason = why(case(document=spec(expect=expect), answer=answer, asked="203.0.113.9"))
        assert reason == now.format("203.0.113.9 was asked")
    assert why(case(answer=None, asked=None)) == now.format("there was none to ask")


@pytest.mark.parametrize(
    ("more", "at", "meant"),
    [
        (", private_ip: 10.0.1.11", "10.0.1.10", "10.0.1.11"),
        (", private_ip: 10.0.1.10", "10.0.1.11", "10.0.1.10"),
        ("", "10.0.1.11", "its primary one"),
        (", secondary: true", "10.0.1.10", "a secondary one"),
        (", private_ip: 10.0.1.11", "10.0.1.11", None),
        (", private_ip: 10.0.1.10", "10.0.1.10", None),
        (", secondary: true", "10.0.1.11", None),
    ],
)
def test_an_address_on_another_private_address_of_the_interface(more: str, at: str, meant: str | None) -> None:
    """It leads to the right interface, and yet not to what the guest listens on."""
    has = "private_ip: 10.0.1.10, secondary_private_ips: [10.0.1.11]"
    if "secondary" in more:
        has = "secondary_private_ip_count: 1"
    row = bound(f"{{network_interface: eth0{more}}}", **{"subnet: ": f"{has}, subnet: "})
    led = f"203.0.113.7 leads to {at} of eth0, not to {meant}: run `enireconcile apply shop.yaml`"
    assert why(case(document=row, live=changed("elastic_ips", private_ip=at))) == (led if meant else GUEST)


def test_an_address_for_what_the_spec_does_not_make() -> None:
    fix = "run `enireconcile apply shop.yaml`"
    row = bound("{network_interface: eni-0123456789abcdef0}")
    assert why(case(document=row)) == f"203.0.113.7 leads to eni-1, not to eni-0123456789abcdef0: {fix}"
    fw = bound("{instance: fw}", **{"instances: {": "instances: {fw: {external: i-0123456789abcdef0}, "})
    [web] = live().instances
    holder = replace(web, tags={}, occupants=(Occupant("eni-2", 0, 0, "eni-attach-2"),))
    state = replace(live(), externals={"fw": (holder,)})
    assert why(case(document=fw, live=state)) == (
        f"203.0.113.7 leads to eni-1, not to the primary interface of fw: {fix}"
    )


@pytest.mark.parametrize(
    ("state", "ours", "theirs"),
    [
        ("pending", "run the check again in a moment", "run the check again in a moment"),
        ("stopping", "run `enireconcile apply shop.yaml`", "start it once it is stopped"),
        ("stopped", "run `enireconcile apply shop.yaml`", "start it"),
        ("shutting-down", "run `enireconcile apply shop.yaml`", "launch another one"),
    ],
)
def test_an_instance_that_is_on_its_way(state: str, ours: str, theirs: str) -> None:
    """To wait is enough for one that starts; one that ends has to be replaced."""
    now = changed("instances", state=state)
    assert why(case(live=now)) == f"web (i-1) is {state}, not running: {ours}"
    outside = replace(now, instances=(), externals={"fw": now.instances})
    assert why(case(live=outside)) == f"fw (i-1) is {state}, not running: {theirs}"


def test_a_guest_outside_the_spec_has_no_command() -> None:
    """The command guest knows the instances of the spec only."""
    side = "EC2's side is open, so look"
    for tags in ({}, {STACK_TAG: "other", NAME_TAG: "instances.web"}):
        assert why(case(live=changed("instances", tags=tags))) == f"{side} in the guest of i-1"
    assert why(case(live=replace(live(), instances=()))) == f"{side} in the guest"
    managed = changed("network_interfaces", manager="amazon-elb")
    assert why(case(live=managed)) == f"{side} at amazon-elb, which manages eni-1"
    adopted = spec(image=f"adopt: i-0123456789abcdef0, {IMAGE}")
    theirs = replace(live().instances[0], id="i-0123456789abcdef0", tags={})
    attached = LiveAttachment("eni-attach-1", theirs.id, 0, 0, False, "attached")
    state = replace(changed("network_interfaces", attachment=attached), instances=(theirs,))
    assert why(case(document=adopted, live=state)) == GUEST


# ---- rules


def tcp(first: int, last: int, *cidrs: str, **more: Any) -> dict[str, Any]:
    ranges = [{"CidrIp": each} for each in cidrs]
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "IpRanges": ranges, **more}


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANY}]},
        {"IpProtocol": "6", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ANY}]},
        {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": ANY}]},
        {"IpProtocol": "tcp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": ANY}]},
        tcp(1, 443, "198.51.100.0/24"),
        tcp(443, 65535, "192.0.2.0/24", "198.51.100.7/32"),
    ],
)
def test_rules_that_let_it_in(rule: dict[str, Any]) -> None:
    assert why(case(live=live(rule))) == GUEST


NO_RULE = (
    "web has no rule for tcp 443 from 198.51.100.7; this rule would let it in: "
    "{protocol: tcp, ports: 443, sources: [198.51.100.7/32]}"
)


@pytest.mark.parametrize(
    "rule",
    [
        tcp(1, 442, ANY),
        tcp(444, 65535, ANY),
        {"IpProtocol": "udp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ANY}]},
        tcp(443, 443, "192.0.2.0/24"),
        tcp(443, 443, Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
        # What comes to an Elastic IP comes from no member of a group.
        tcp(443, 443, UserIdGroupPairs=[{"GroupId": "sg-1"}]),
    ],
)
def test_rules_that_do_not(rule: dict[str, Any]) -> None:
    assert why(case(live=live(rule))) == NO_RULE


MAYBE = (
    "EC2's side is open, if one of these rules lets this machine in ({}), so look in the guest: "
    "`enireconcile guest shop.yaml web`"
)


def test_a_prefix_list_may_have_this_machine() -> None:
    """What it contains is not read."""
    rule = tcp(443, 443, PrefixListIds=[{"PrefixListId": "pl-1"}])
    assert why(case(live=live(rule))) == MAYBE.format("web: tcp 443 from pl-1")


@pytest.mark.parametrize("source", ["192.168.1.5", None])
@pytest.mark.parametrize("cidrs", [("198.51.100.0/24",), ("0.0.0.0/1", "128.0.0.0/1")], ids=["office", "halves"])
def test_behind_a_nat_any_rule_may_be_for_this_machine(source: str | None, cidrs: tuple[str, ...]) -> None:
    """EC2 sees the address of the NAT, which is not known here."""
    told = "; ".join(f"web: tcp 443 from {each}" for each in cidrs)
    assert why(case(live=live(tcp(443, 443, *cidrs)), source=source)) == MAYBE.format(told)
    assert why(case(live=live(tcp(443, 443, *cidrs, ANY)), source=source)) == GUEST


@pytest.mark.parametrize(
    "rule",
    [
        tcp(1, 442, "198.51.100.0/24"),
        tcp(443, 443, Ipv6Ranges=[{"CidrIpv6": "2001:db8::/64"}, {"CidrIpv6": "::/0"}]),
        # The NAT has a public address.
        tcp(443, 443, "10.0.0.0/8", "192.168.1.5/32"),
    ],
)
def test_behind_a_nat_a_rule_for_any_address_is_never_advised(rule: dict[str, Any]) -> None:
    assert why(case(live=live(rule), source="192.168.1.5")) == (
        "web has no rule for tcp 443 from this machine; this rule would let it in, with the address from which "
        "EC2 sees it: {protocol: tcp, ports: 443, sources: [ADDRESS/32]}"
    )


def member(address: str, *groups: str) -> LiveNetworkInterface:
    [eth0] = live().network_interfaces
    return replace(eth0, id="eni-2", tags=mine("network_interfaces.eth1"), private_ip=address, groups=groups)


@pytest.mark.parametrize(
    ("source", "opens"),
    [(member("10.0.2.9", "sg-1"), True), (member("10.0.2.9", "sg-2"), False), (None, True)],
    ids=["a member", "no member", "not known"],
)
def test_members_of_a_group_inside_the_vpc(source: LiveNetworkInterface | None, opens: bool) -> None:
    rule = tcp(443, 443, UserIdGroupPairs=[{"GroupId": "sg-1"}])
    reason = why(case(document=spec(private=True), live=live(rule, source=source), source="10.0.2.9"))
    assert ("look in the guest" in reason) == opens
    assert opens or reason.startswith("web has no rule for tcp 443 from 10.0.2.9; ")


def test_several_groups() -> None:
    both = replace(live(tcp(22, 22, ANY)).network_interfaces[0], groups=("sg-1", "sg-2"))
    theirs = LiveSecurityGroup("sg-2", {}, "theirs", "", "vpc-1", (), ())
    two = replace(live(tcp(22, 22, ANY)), network_interfaces=(both,))
    known = replace(ways(), groups={"sg-2": theirs})
    assert why(case(live=two, ways=known)).startswith("web and sg-2 (theirs) have no rule for tcp 443 from ")
    # Without the second one, nothing is known of what lets it in.
    assert why(case(live=two)) == GUEST


# ---- routes


@pytest.mark.parametrize(
    ("routes", "target"),
    [
        ((INTERNET,), None),
        ((LiveRoute("0.0.0.0/1", "nat-1"), LiveRoute("128.0.0.0/1", "igw-1")), None),
        ((INTERNET, LiveRoute("198.51.100.0/24", "tgw-1")), "198.51.100.0/24 leads to tgw-1"),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("198.51.100.0/24", "igw-1")), None),
        ((LiveRoute(ANY, "vpce-1"),), None),
        # The interface of a firewall, to which the gateway's own table leads, too; or one that does not answer.
        ((LiveRoute(ANY, "eni-fw"),), None),
        ((LiveRoute(ANY, "eni-fw", active=False),), "is a black hole"),
        ((LiveRoute(ANY, "eni-1"),), "its route 0.0.0.0/0 leads to eni-1, not to an internet gateway"),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("pl-1", "igw-1")), None),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("pl-1", "vpce-1")), "leads to nat-1"),
        ((LiveRoute("pl-1", "igw-1"),), None),
        ((LiveRoute("::/0", "igw-1"),), ""),
        ((LiveRoute(ANY, "igw-1", active=False),), "is a black hole"),
    ],
)
def test_the_most_specific_route_counts(routes: tuple[LiveRoute, ...], target: str | None) -> None:
    reason = why(case(ways=ways(tables=(table(*routes),))))
    if target is None:
        assert reason == GUEST
    else:
        assert reason.startswith("rtb-1, the route table of subnet-1, has no way back to 198.51.100.7")
        assert target in reason


def test_the_table_of_the_subnet_comes_before_the_main_one() -> None:
    own = LiveRouteTable("rtb-2", {"Name": "public"}, "vpc-1", subnets=("subnet-1",), routes=(INTERNET,))
    assert why(case(ways=ways(tables=(table(), own)))) == GUEST
    other = replace(own, subnets=("subnet-2",))
    assert why(case(ways=ways(tables=(table(), other)))) == (
        "rtb-1, the route table of subnet-1, has no way back to 198.51.100.7: it has no route to the internet "
        "gateway; add 0.0.0.0/0 to igw-1"
    )
    bare = replace(own, routes=())
    assert why(case(ways=ways(tables=(table(INTERNET), bare)))).startswith("rtb-2 (public), the route table of ")


def test_a_part_of_the_internet_will_do_where_the_source_is_not_known() -> None:
    halves = (LiveRoute("0.0.0.0/1", "igw-1"), LiveRoute("128.0.0.0/1", "igw-1"))
    assert why(case(ways=ways(tables=(table(*halves),)), source=None)) == GUEST


@pytest.mark.parametrize("source", ["192.168.1.5", None])
@pytest.mark.parametrize(
    ("routes", "target"),
    [
        ((LiveRoute(ANY, "nat-1"), LiveRoute("198.51.100.0/24", "igw-1")), None),
        ((LiveRoute(ANY, "igw-1"), LiveRoute("198.51.100.0/24", "tgw-1")), None),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("198.51.100.0/24", "igw-1", active=False)), "leads to nat-1"),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("192.168.0.0/16", "eni-vpn")), "leads to nat-1"),
        ((LiveRoute(ANY, "nat-1"), LiveRoute("::/0", "igw-1")), "leads to nat-1"),
    ],
)
def test_behind_a_nat_any_route_may_be_for_this_machine(
    source: str | None, routes: tuple[LiveRoute, ...], target: str | None
) -> None:
    reason = why(case(ways=ways(tables=(table(*routes),)), source=source))
    assert (reason == GUEST) if target is None else (target in reason)


def test_a_wavelength_zone_and_an_outpost_have_other_gateways() -> None:
    for gateway in ("cagw-1", "lgw-1"):
        others = replace(ways(tables=(table(LiveRoute(ANY, gateway)),)), internet_gateways=())
        assert why(case(ways=others)) == GUEST


def test_a_private_source_comes_back_by_any_route() -> None:
    """Also by one that a virtual private gateway propagates."""
    rules = live(tcp(443, 443, ANY))
    asked = {"document": spec(private=True), "live": rules, "source": "192.168.7.7"}
    vpn = LiveRoute("192.168.0.0/16", "vgw-1")
    assert why(case(**asked, ways=ways(tables=(table(propagated=(vpn,)),)))) == GUEST
    assert why(case(**asked, ways=ways(tables=(table(),)))) == (
        "rtb-1, the route table of subnet-1, has no way back to 192.168.7.7: add a route for 192.168.7.7/32"
    )
    assert why(case(**{**asked, "source": "10.0.9.9"}, ways=ways(tables=(table(),)))) == GUEST


def test_a_shared_subnet_shows_nothing_of_its_vpc() -> None:
    """Its owner's account has the tables, the network ACLs and the gateway."""
    assert why(case(ways=Ways())) == GUEST


def test_what_could_not_be_read_counts_as_open() -> None:
    unread = {"DescribeRouteTables": "AccessDenied", "DescribeInternetGateways": "AccessDenied"}
    assert why(case(ways=Ways(unanswered=unread))) == (
        "EC2's side is open as far as it can be read (DescribeInternetGateways: AccessDenied, "
        "DescribeRouteTables: AccessDenied), so look in the guest: `enireconcile guest shop.yaml web`"
    )


# ---- network ACLs


def inbound(
    number: int, action: str, first: int = 443, last: int = 443, cidr: str = ANY, proto: str = "6"
) -> AclRule:
    return AclRule(number, False, action == "allow", proto, cidr, (first, last))


def outbound(number: int, action: str, first: int, last: int, cidr: str = ANY) -> AclRule:
    return AclRule(number, True, action == "allow", "6", cidr, (first, last))


LAST = AclRule(32767, False, False, "-1", ANY), AclRule(32767, True, False, "-1", ANY)


@pytest.mark.parametrize(
    ("rules", "source", "denied"),
    [
        ((inbound(90, "deny"), ALLOW, OUT), HERE, "tcp 443 in from 198.51.100.7: rule 90 denies it"),
        ((inbound(110, "deny"), ALLOW, OUT), HERE, None),
        ((inbound(90, "deny", 80, 90), ALLOW, OUT), HERE, None),
        ((inbound(90, "deny", proto="17"), ALLOW, OUT), HERE, None),
        ((inbound(90, "deny", cidr="192.0.2.0/24"), ALLOW, OUT), HERE, None),
        ((inbound(90, "deny", cidr="::/0"), ALLOW, OUT), HERE, None),
        ((OUT, *LAST), HERE, "tcp 443 in from 198.51.100.7: no rule allows it"),
        ((inbound(90, "allow", cidr="192.0.2.0/24"), OUT, *LAST), HERE, "tcp 443 in from 198.51.100.7: no rule"),
        # Behind a NAT, a rule for some addresses may be for this machine; only if it allows, that is believed.
        ((inbound(90, "allow", cidr="192.0.2.0/24"), OUT, *LAST), None, None),
        ((inbound(90, "deny", cidr="192.0.2.0/24"), ALLOW, OUT, *LAST), None, None),
        ((ALLOW, outbound(90, "allow", 1024, 65535), *LAST), HERE, None),
        ((ALLOW, outbound(90, "allow", 1024, 40000), outbound(91, "allow", 40001, 65535), *LAST), HERE, None),
        ((ALLOW, outbound(90, "allow", 49152, 65535), *LAST), HERE, "tcp 32768-60999: no rule allows it"),
        ((ALLOW, outbound(90, "deny", 40000, 40000), OUT, *LAST), HERE, "tcp 32768-60999: rule 90 denies it"),
        ((ALLOW, *LAST), HERE, "the answers out to 198.51.100.7, tcp 32768-60999: no rule allows it"),
    ],
)
def test_the_first_rule_that_fits(rules: tuple[AclRule, ...], source: str | None, denied: str | None) -> None:
    reason = why(case(ways=ways(*rules), source=source))
    if denied is None:
        assert reason == GUEST
    else:
        assert reason.startswith("acl-1, the network ACL of subnet-1, does not let ")
        assert denied in reason


# ---- silence that was expected


@pytest.mark.parametrize(
    ("rules", "source", "reason"),
    [
        (RULES, HERE, "web lets it in: tcp 443 from 0.0.0.0/0"),
        ([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANY}]}], HERE, "web lets it in: all from 0.0.0.0/0"),
        ([{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": ANY}]}], HERE, "web lets it in: tcp from 0.0.0.0/0"),
        (
            [tcp(443, 443, PrefixListIds=[{"PrefixListId": "pl-1"}])],
            HERE,
            "web may let it in: tcp 443 from pl-1",
        ),
        ([tcp(400, 500, "192.0.2.0/24")], None, "web may let it in: tcp 400-500 from 192.0.2.0/24"),
        (
            [tcp(400, 500, "192.0.2.0/24")],
            HERE,
            "no rule of web lets tcp 443 in from 198.51.100.7: what answers at 203.0.113.7 is not this interface, "
            "or goes there by another way",
        ),
    ],
)
def test_the_rule_that_lets_it_in(rules: list[dict[str, Any]], source: str | None, reason: str) -> None:
    asked = case(document=spec(expect="silent"), live=live(*rules), source=source, answer=Answer("open"))
    assert why(asked) == reason


def test_no_route_is_no_silence() -> None:
    asked = case(
        document=spec(expect="silent"), answer=Answer("unreachable", "unreachable: Network is unreachable")
    )
    assert why(asked) == (
        "unreachable: Network is unreachable: this machine, or a router on the way, has no route to 203.0.113.7"
    )


def test_groups_that_could_not_be_read() -> None:
    unknown = replace(live(), security_groups=())
    asked = case(document=spec(expect="silent"), live=unknown, answer=Answer("open"))
    assert why(asked) == "the groups of elastic_ips.web could not be read: one of their rules lets it in"
