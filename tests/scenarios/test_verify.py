"""verify on the strict EC2: the reason of a failed check is the first thing on the way that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.aws.api import Reader
from enireconcile.engine.checks import Checks
from enireconcile.engine.stop import Stop
from enireconcile.model import CheckResult
from enireconcile.probing.answer import Answer
from enireconcile.probing.probe import Ask
from enireconcile.spec import Check
from tests.ec2 import Fail
from tests.harness import Harness
from tests.virtual import run

SPEC = """
version: 1
stack: shop
security_groups:
  open: {ingress: [{protocol: tcp, ports: 80, sources: [0.0.0.0/0]}]}
  shut: {}
instances:
  web:
    image: {ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}
    instance_type: t3.medium
network_interfaces:
  eth0:
    subnet: {default_for_az: us-east-1a}
    security_groups: [open]
    attachment: {instance: web, device_index: 0}
  eth1:
    subnet: {default_for_az: us-east-1a}
    security_groups: [open]
    attachment: {instance: web, device_index: 1}
elastic_ips:
  one: {association: {network_interface: eth1}}
checks:
  page: {elastic_ip: one, http: {contains: Testing ENI}}
"""
HERE = "198.51.100.7"


def verify(harness: Harness, text: str = SPEC, answer: Answer | None = None, **more: Any) -> CheckResult:
    """The one check of the spec, of which every attempt gets the same answer."""
    [result] = verify_all(harness, text, answer, **more)
    return result


def verify_all(
    harness: Harness,
    text: str = SPEC,
    answer: Answer | None = None,
    *,
    source: str | None = HERE,
    ask: Ask | None = None,
) -> tuple[CheckResult, ...]:
    async def always(*_: object) -> Answer:
        return answer or Answer("silent")

    spec = harness.spec(text)
    with harness.channel(spec, read_only=True) as channel:

        async def checks() -> tuple[CheckResult, ...]:
            running = Checks(
                reader=Reader(channel),
                spec=spec,
                region="us-east-1",
                account_id=None,
                stop=Stop(),
                tell=harness.events.append,
                ask=ask or always,
                source_to=lambda *_: source,
            )
            return await running.run()

        return run(checks(), harness.loop)


@pytest.fixture
def shop(harness: Harness) -> Harness:
    """The stack, converged."""
    assert harness.apply(SPEC).outcome == "converged"
    return harness


def only(harness: Harness, records: str) -> Any:
    """The one record of the strict EC2 with the logical name ``eth1``, ``one`` or ``web``."""
    names = {"interfaces": "eth1", "addresses": "one", "instances": "web"}
    found = getattr(harness.strict.world.data, records).values()
    return next(each for each in found if each.tags.get("Name") == names[records])


def foreign_interface(harness: Harness) -> str:
    """An interface that another tool has made, attached to nothing."""
    made = harness.client().create_network_interface(SubnetId=only(harness, "interfaces").subnet_id)
    harness.loop.now += 60
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def test_a_check_that_is_as_expected_reads_nothing_else(shop: Harness) -> None:
    before = len(shop.strict.calls)
    result = verify(shop, answer=Answer("open"))
    assert (result.status, result.got, result.why) == ("ok", "open", None)
    asked = {call.action for call in shop.strict.calls[before:]}
    assert not asked & {"DescribeRouteTables", "DescribeNetworkAcls", "DescribeInternetGateways"}


def test_there_is_no_address_yet(harness: Harness) -> None:
    result = verify(harness)
    assert (result.got, result.status) == (None, "failed")
    assert result.why == "elastic_ips.one does not have a public address yet: run `enireconcile apply -`"


def test_the_address_leads_nowhere(shop: Harness) -> None:
    address = only(shop, "addresses")
    shop.client().disassociate_address(AssociationId=address.association_id)
    assert verify(shop).why == (
        f"{address.public_ip} leads nowhere: it is associated with no interface; run `enireconcile apply -`"
    )


def test_the_address_leads_elsewhere(shop: Harness) -> None:
    """The reason names the interface that has the address now, not the group or the routes of that one."""
    address, other = only(shop, "addresses"), foreign_interface(shop)
    shop.client().associate_address(AllocationId=address.id, NetworkInterfaceId=other, AllowReassociation=True)
    assert verify(shop).why == (f"{address.public_ip} leads to {other}, not to eth1: run `enireconcile apply -`")


def test_the_address_changes_while_it_is_asked(shop: Harness) -> None:
    """It was replaced: the guest has nothing to do with the silence of the old one."""
    old, ec2 = only(shop, "addresses"), shop.client()

    async def ask(*_: object) -> Answer:
        if old.id in shop.strict.world.data.addresses:
            ec2.disassociate_address(AssociationId=old.association_id)
            ec2.release_address(AllocationId=old.id)
            tags = [{"Key": key, "Value": value} for key, value in old.tags.items()]
            made = ec2.allocate_address(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
            eth1 = only(shop, "interfaces").id
            ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=eth1)
        return Answer("silent")

    [result] = verify_all(shop, ask=ask)
    new = only(shop, "addresses").public_ip
    assert result.why == f"elastic_ips.one now has {new}, when {old.public_ip} was asked: run the check again"


def test_the_interface_is_not_attached(shop: Harness) -> None:
    interface = only(shop, "interfaces")
    shop.client().detach_network_interface(AttachmentId=interface.attachment.id)
    shop.loop.now += 60
    assert verify(shop).why == f"eth1 ({interface.id}) is attached to no instance: run `enireconcile apply -`"


def test_the_instance_does_not_run(shop: Harness) -> None:
    """Whether that is drift or what the spec says decides what to do."""
    instance = only(shop, "instances").id
    shop.client().stop_instances(InstanceIds=[instance])
    shop.loop.now += 120
    assert verify(shop).why == f"web ({instance}) is stopped, not running: run `enireconcile apply -`"
    meant = SPEC.replace("instance_type: t3.medium", "instance_type: t3.medium\n    state: stopped")
    assert verify(shop, meant).why == f"web ({instance}) is stopped, not running: its row says `state: stopped`"


def test_no_rule_lets_it_in(shop: Harness) -> None:
    """The group, and the rule that would."""
    shut = SPEC.replace("security_groups: [open]\n    attachment: {instance: web, device_index: 1}", "@").replace(
        "@", "security_groups: [shut]\n    attachment: {instance: web, device_index: 1}"
    )
    assert shop.apply(shut).outcome == "converged"
    assert verify(shop, shut).why == (
        "shut has no rule for tcp 80 from 198.51.100.7; this rule would let it in: "
        "{protocol: tcp, ports: 80, sources: [198.51.100.7/32]}"
    )
    for behind_nat in ("10.9.8.7", None):
        assert verify(shop, shut, source=behind_nat).why == (
            "shut has no rule for tcp 80 from this machine; this rule would let it in, with the address from "
            "which EC2 sees it: {protocol: tcp, ports: 80, sources: [ADDRESS/32]}"
        )


def test_a_foreign_group_has_no_rule(shop: Harness) -> None:
    """It is read for that, and named by its id and its name."""
    interface = only(shop, "interfaces")
    group = shop.client().create_security_group(GroupName="theirs", Description="-", VpcId=interface.vpc_id)[
        "GroupId"
    ]
    shop.client().modify_network_interface_attribute(NetworkInterfaceId=interface.id, Groups=[group])
    shop.loop.now += 60
    assert str(verify(shop).why).startswith(f"{group} (theirs) has no rule for tcp 80 from 198.51.100.7; ")


def test_the_route_table_has_no_way_back(shop: Harness) -> None:
    ec2, interface = shop.client(), only(shop, "interfaces")
    table = shop.strict.world.main_route_table(interface.vpc_id).id
    [gateway] = shop.strict.world.data.gateways
    where = f"{table}, the route table of {interface.subnet_id}, has no way back to"
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    missing = f"it has no route to the internet gateway; add 0.0.0.0/0 to {gateway}"
    assert verify(shop).why == f"{where} 198.51.100.7: {missing}"
    assert verify(shop, source=None).why == f"{where} 0.0.0.0/0: {missing}"
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=interface.id)
    wrong = f"its route 0.0.0.0/0 leads to {interface.id}, not to an internet gateway"
    assert verify(shop).why == f"{where} 198.51.100.7 for a public address: {wrong}"
    assert verify(shop, source=None).why == f"{where} 0.0.0.0/0 for a public address: {wrong}"


def test_a_route_of_the_subnet_s_own_table_is_a_black_hole(shop: Harness) -> None:
    ec2, interface = shop.client(), only(shop, "interfaces")
    own, eni = shop.strict.world.add_route_table(interface.vpc_id), foreign_interface(shop)
    ec2.associate_route_table(RouteTableId=own, SubnetId=interface.subnet_id)
    ec2.create_route(RouteTableId=own, DestinationCidrBlock="198.51.100.0/24", NetworkInterfaceId=eni)
    assert verify(shop).why == (
        f"{own}, the route table of {interface.subnet_id}, has no way back to 198.51.100.7: its route "
        f"198.51.100.0/24 to {eni} is a black hole"
    )


def test_the_vpc_has_no_internet_gateway(shop: Harness) -> None:
    """EC2 refuses to detach it as long as addresses are mapped; the test does it all the same."""
    interface = only(shop, "interfaces")
    for gateway in shop.strict.world.data.gateways.values():
        gateway.vpc_id = None
    assert verify(shop).why == (
        f"{interface.vpc_id} has no internet gateway, so nothing reaches {only(shop, 'addresses').public_ip}: "
        "attach one, and route 198.51.100.7 to it"
    )


def acl_entry(harness: Harness, number: int, action: str, ports: tuple[int, int], **more: Any) -> str:
    """A rule for TCP in the network ACL of the subnet, whose id it returns."""
    [acl] = [each for each in harness.strict.world.data.network_acls.values() if each.is_default]
    harness.client().create_network_acl_entry(
        NetworkAclId=acl.id,
        RuleNumber=number,
        Protocol="6",
        RuleAction=action,
        PortRange={"From": ports[0], "To": ports[1]},
        **{"CidrBlock": "0.0.0.0/0", "Egress": False, **more},
    )
    return str(acl.id)


def test_the_network_acl_denies_it(shop: Harness) -> None:
    subnet = only(shop, "interfaces").subnet_id
    acl = acl_entry(shop, 90, "deny", (80, 80), CidrBlock="198.51.100.0/24")
    assert verify(shop).why == (
        f"{acl}, the network ACL of {subnet}, does not let tcp 80 in from 198.51.100.7: rule 90 denies it"
    )
    assert str(verify(shop, source="192.0.2.1").why).startswith("EC2's side is open, ")
    acl_entry(shop, 80, "allow", (80, 443))
    assert str(verify(shop).why).startswith("EC2's side is open, ")


def test_the_network_acl_denies_the_answers(shop: Harness) -> None:
    """It is stateless: the answers go out to a port that this machine chooses."""
    subnet = only(shop, "interfaces").subnet_id
    acl = acl_entry(shop, 90, "deny", (1024, 65535), Egress=True)
    denied = f"{acl}, the network ACL of {subnet}, does not let the answers out to 198.51.100.7, tcp 32768-60999:"
    assert verify(shop).why == f"{denied} rule 90 denies it"
    shop.client().delete_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=True)
    shop.client().delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True)
    acl_entry(shop, 90, "allow", (80, 443), Egress=True)
    assert verify(shop).why == f"{denied} no rule allows it"
    acl_entry(shop, 91, "allow", (1024, 65535), Egress=True)
    assert str(verify(shop).why).startswith("EC2's side is open, ")


@pytest.mark.parametrize(
    ("answer", "got", "why"),
    [
        (Answer("silent"), "silent", "EC2's side is open, so look in the guest: `enireconcile guest - web`"),
        (
            Answer("refused"),
            "refused",
            "web refuses tcp 80: nothing listens there, or its firewall rejects it; look in the guest: "
            "`enireconcile guest - web`",
        ),
        (
            Answer("open", "status 503"),
            "status 503",
            "web answers, but not as expected (status 503): look at its service on tcp 80",
        ),
    ],
    ids=["silent", "refused", "open"],
)
def test_ec2_is_right_so_it_is_the_guest(shop: Harness, answer: Answer, got: str, why: str) -> None:
    result = verify(shop, answer=answer)
    assert (result.got, result.why) == (got, why)
    assert result.seconds == pytest.approx(30)


def test_this_machine_has_no_route(shop: Harness) -> None:
    result = verify(shop, answer=Answer("unreachable", "unreachable: No route to host"), source=None)
    assert result.why == (
        "unreachable: No route to host: this machine, or a router on the way, has no route to "
        f"{only(shop, 'addresses').public_ip}"
    )


SILENT = SPEC.replace("http: {contains: Testing ENI}", "tcp: 80, expect: silent")


def test_what_should_be_silent_answers(shop: Harness) -> None:
    """The rule that lets it in."""
    assert verify(shop, SILENT).status == "ok"
    result = verify(shop, SILENT, Answer("refused"))
    assert (result.expect, result.got) == ("silent", "refused")
    assert result.why == "open lets it in: tcp 80 from 0.0.0.0/0"


def test_what_should_refuse_answers(shop: Harness) -> None:
    refused = SILENT.replace("expect: silent", "expect: refused")
    assert verify(shop, refused, Answer("refused")).status == "ok"
    assert verify(shop, refused, Answer("open")).why == (
        "something listens on tcp 80 of web: stop it, or write `expect: open`"
    )


def test_reads_that_are_denied_are_told_and_not_fatal(shop: Harness) -> None:
    """The rest of the way is judged without them."""
    for call in ("DescribeRouteTables", "DescribeNetworkAcls", "DescribeInternetGateways"):
        shop.strict.faults.add(Fail(call, times=9, code="UnauthorizedOperation"))
    assert verify(shop).why == (
        "EC2's side is open as far as it can be read (DescribeInternetGateways: UnauthorizedOperation, "
        "DescribeNetworkAcls: UnauthorizedOperation, DescribeRouteTables: UnauthorizedOperation), so look in the "
        "guest: `enireconcile guest - web`"
    )


def test_a_private_address_is_asked_inside_the_vpc(shop: Harness) -> None:
    """No gateway matters there, nor a network ACL within the subnet; members of a group are known by address."""
    inside = SPEC.replace("elastic_ip: one, http: {contains: Testing ENI}", "network_interface: eth1, tcp: 80")
    eth0 = next(e for e in shop.strict.world.data.interfaces.values() if e.tags.get("Name") == "eth0")
    for gateway in shop.strict.world.data.gateways.values():
        gateway.vpc_id = None
    acl_entry(shop, 90, "deny", (80, 80))
    assert verify(shop, inside, source=eth0.ips[0]).why == (
        "EC2's side is open, so look in the guest: `enireconcile guest - web`"
    )
    assert "rule 90 denies it" in str(verify(shop, inside, source="172.31.16.9").why)
    only_members = inside.replace("sources: [0.0.0.0/0]", "sources: [shut]")
    assert shop.apply(only_members).outcome == "converged"
    assert str(verify(shop, only_members, source=eth0.ips[0]).why).startswith("open has no rule for tcp 80 from ")


def test_all_checks_are_asked_at_once(shop: Harness) -> None:
    """And each for as long as it says."""
    more = (
        SPEC + "  ssh: {elastic_ip: one, tcp: 22, within: 2m}\n  soon: {elastic_ip: one, tcp: 443, within: 5s}\n"
    )
    began = shop.loop.now
    results = verify_all(shop, more)
    assert [each.name for each in results] == ["page", "soon", "ssh"]
    assert [each.seconds for each in results] == [pytest.approx(30), pytest.approx(5), pytest.approx(120)]
    assert shop.loop.now - began == pytest.approx(120)
    assert [event["name"] for event in shop.events if event["type"] == "check"] == ["soon", "page", "ssh"]


def test_an_attempt_that_raises_fails_only_its_check(shop: Harness) -> None:
    """The others keep their results; it is told as what it is, and never as what was expected."""

    async def ask(check: Check, *_: object) -> Answer:
        if check.port == 443:
            raise ValueError("Exceeds the limit")
        return Answer("open")

    more = SPEC + "  odd: {elastic_ip: one, tcp: 443, within: 5s}\n"
    odd, page = verify_all(shop, more, ask=ask)
    words = "this is a bug in enireconcile: ValueError: Exceeds the limit"
    assert (odd.status, odd.got, odd.why) == ("failed", words, words)
    assert page.status == "ok"
    quiet = more.replace("tcp: 443,", "tcp: 443, expect: silent,")
    odd, page = verify_all(shop, quiet, ask=ask)
    assert (odd.status, odd.why, page.status) == ("failed", words, "ok")


def test_a_reason_that_raises_fails_only_its_check(shop: Harness) -> None:
    """Here, an address of this machine that is none."""
    result = verify(shop, source="127.0.0.1.")
    assert (result.status, result.got) == ("failed", "silent")
    assert str(result.why).startswith("this is a bug in enireconcile: ValueError: '127.0.0.1.' does not appear")


def test_the_policy_of_plan_is_enough(harness: Harness) -> None:
    """Under it, all that judges a check is read."""
    harness.obey(SPEC)
    assert harness.apply(SPEC).outcome == "converged"
    harness.obey(SPEC, read_only=True)
    assert verify(harness).why == "EC2's side is open, so look in the guest: `enireconcile guest - web`"
    denied = [call.action for call in harness.strict.calls if call.error_code == "UnauthorizedOperation"]
    assert denied == []
