"""The reason of a failed check, from data alone: rules, routes and ACLs that match in part, or cannot be known.

``tests/scenarios/test_verify.py`` has the reasons as the strict EC2 makes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
        # What the list contains is not read: it may have this machine.
        tcp(443, 443, PrefixListIds=[{"PrefixListId": "pl-1"}]),
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


def test_a_rule_for_others_is_told_behind_a_nat() -> None:
    """The address that EC2 sees may be one of these, so that the reason must not say that there is no rule."""
    narrow = live(tcp(443, 443, "192.0.2.0/24", "203.0.113.0/24"))
    assert why(case(live=narrow, source="10.1.2.3")) == (
        "web has rules for tcp 443 from 192.0.2.0/24, 203.0.113.0/24 only, and not from 0.0.0.0/0; this rule "
        "would let it in: {protocol: tcp, ports: 443, sources: [0.0.0.0/0]}"
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
    assert (reason == GUEST) == opens
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
        ([tcp(400, 500, "192.0.2.0/24")], None, "web lets it in from 192.0.2.0/24"),
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
