"""Security groups: rules of every sort made, kept, corrected and changed; egress; names; rings of groups."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact
from tests.ec2 import Hook
from tests.harness import Harness

RULES = [
    "{protocol: tcp, ports: 80, ENDS: [0.0.0.0/0]}",
    "{protocol: 6, ports: 443, ENDS: [0.0.0.0/0], description: by its number}",
    "{protocol: tcp, ENDS: [10.0.0.0/8]}",
    '{protocol: udp, ports: "8000-8010", ENDS: [10.0.0.0/8]}',
    "{protocol: icmp, ENDS: [10.0.0.0/8]}",
    "{protocol: icmp, ports: 8, ENDS: [0.0.0.0/0], description: a type with any code}",
    '{protocol: icmp, ports: "3/4", ENDS: [0.0.0.0/0], description: a type and a code}',
    '{protocol: icmpv6, ports: "128/0", ENDS: ["::/0"]}',
    "{protocol: 58, ENDS: ['2001:0DB8::/32']}",
    "{protocol: 50, ENDS: [192.0.2.0/24]}",
    "{protocol: ah, ENDS: [192.0.2.0/24, self]}",
    "{protocol: GRE, ENDS: ['2001:db8::/32'], description: a tunnel}",
    "{protocol: 132, ENDS: [192.0.2.0/24]}",
    "{protocol: all, ENDS: [198.51.100.0/24]}",
    "{protocol: tcp, ports: 5432, ENDS: [other], description: a group of the spec}",
    "{protocol: tcp, ports: 5433, ENDS: [STRANGER]}",
    "{protocol: tcp, ports: 5434, ENDS: [self]}",
    "{protocol: tcp, ports: 5435, ENDS: [web]}",
    "{protocol: tcp, ports: 443, ENDS: [LIST], description: a prefix list}",
    '{protocol: tcp, ports: 22, ENDS: [192.0.2.1/32, "2001:db8::1/128", other, self], description: four at once}',
]


class Account:
    """The default VPC with a group and a prefix list that are another owner's."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.ec2 = harness, harness.client()
        self.stranger = self.ec2.create_security_group(GroupName="theirs", Description="x")["GroupId"]
        self.prefix_list = harness.strict.world.add_prefix_list(5)
        harness.loop.now += 60

    def spec(self, ingress: list[str], egress: list[str] | None = None) -> str:
        """A group ``web`` with these rules, and another one that has none."""
        rows = ["version: 1", "stack: groups", "region: us-east-1", "security_groups:", "  other: {}", "  web:"]
        for direction, ends, rules in (("ingress", "sources", ingress), ("egress", "destinations", egress)):
            if rules is not None:
                rows += [f"    {direction}:{'' if rules else ' []'}", *(f"      - {rule}" for rule in rules)]
                rows = [row.replace("ENDS", ends) for row in rows]
        return "\n".join(rows).replace("STRANGER", self.stranger).replace("LIST", self.prefix_list) + "\n"

    def group(self, name: str = "web") -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": [f"security_groups.{name}"]}]
        [found] = self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return found

    def rules(self) -> dict[str, str]:
        """Ids of the rules of ``web``, with their descriptions."""
        filters = [{"Name": "group-id", "Values": [self.group()["GroupId"]]}]
        found = self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return {rule["SecurityGroupRuleId"]: rule.get("Description", "") for rule in found}

    def acted(self) -> list[str]:
        """The calls that have changed something. What is young may have to be named more than once."""
        return [call.action for call in self.harness.strict.mutating() if call.acted]

    def converge(self, spec: str) -> list[str]:
        """Apply; a further apply calls nothing. The calls that it took."""
        self.harness.strict.clear()
        report = self.harness.apply(spec)
        assert (report.outcome, report.error) == ("converged", None)
        calls = self.acted()
        self.harness.strict.clear()
        assert self.harness.apply(spec).outcome == "unchanged"
        assert self.harness.strict.mutating() == []
        return calls


@pytest.fixture
def account(slow_harness: Harness) -> Account:
    return Account(slow_harness)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules_of_every_sort_are_made_and_kept(account: Account, direction: str) -> None:
    """All at once: one Authorize for a group and a direction, and what EC2 makes of them is no difference."""
    word, key = direction.capitalize(), "IpPermissions" + ("Egress" if direction == "egress" else "")
    spec = account.spec(RULES) if direction == "ingress" else account.spec([], RULES)
    created, authorized = ["CreateSecurityGroup"] * 2, [f"AuthorizeSecurityGroup{word}"]
    closed = ["RevokeSecurityGroupEgress"] if direction == "egress" else []
    assert account.converge(spec) == created + authorized + closed
    # Another tool takes one away, each in its turn: that one is to come back, and nothing else is touched.
    revoke = getattr(account.ec2, f"revoke_security_group_{direction}")
    authorize = getattr(account.ec2, f"authorize_security_group_{direction}")
    group = account.group()["GroupId"]
    for permission in account.group()[key]:
        revoke(GroupId=group, IpPermissions=[permission])
        [step] = account.harness.plan(spec).steps
        assert (step.call, step.impact) == (f"AuthorizeSecurityGroup{word}", Impact.SAFE)
        ends = sum(len(value) for value in permission.values() if isinstance(value, list))
        assert len(step.params["IpPermissions"]) == ends
        authorize(GroupId=group, IpPermissions=[permission])
    # All of them, and a strange one comes: one call each, the new ways are open before the old one is closed.
    revoke(GroupId=group, IpPermissions=account.group()[key])
    strange = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
    authorize(GroupId=group, IpPermissions=[strange])
    assert account.converge(spec) == [f"AuthorizeSecurityGroup{word}", f"RevokeSecurityGroup{word}"]


@pytest.mark.parametrize("parity", [0, 1])
def test_rules_of_every_sort_come_and_go(account: Account, parity: int) -> None:
    """Every other one, in one call each way; their neighbours keep their ids, so none of their traffic is cut."""
    without = account.spec([rule for number, rule in enumerate(RULES) if number % 2 == parity])
    account.converge(without)
    before = set(account.rules())
    assert account.converge(account.spec(RULES)) == ["AuthorizeSecurityGroupIngress"]
    assert before < set(account.rules())
    assert account.converge(without) == ["RevokeSecurityGroupIngress"]
    assert set(account.rules()) == before


def test_a_protocol_has_its_name_in_the_plan_and_its_number_in_the_calls(account: Account) -> None:
    """EC2 takes and returns the numbers of ESP, AH and GRE. Number and name are the same rule."""
    spec = account.spec([f"{{protocol: {name}, ENDS: [192.0.2.0/24]}}" for name in ("esp", "ah", "gre")])
    plan = account.harness.plan(spec)
    [step] = [step for step in plan.steps if step.call == "AuthorizeSecurityGroupIngress"]
    assert sorted(each["IpProtocol"] for each in step.params["IpPermissions"]) == ["47", "50", "51"]
    account.converge(spec)
    numbers = account.spec([f"{{protocol: {number}, ENDS: [192.0.2.0/24]}}" for number in (50, 51, 47)])
    assert account.harness.plan(numbers).empty
    # One is gone, another one changes, and both have their names.
    [esp] = [each for each in account.group()["IpPermissions"] if each["IpProtocol"] == "50"]
    account.ec2.revoke_security_group_ingress(GroupId=account.group()["GroupId"], IpPermissions=[esp])
    plan = account.harness.plan(spec.replace("protocol: gre", "protocol: 132"))
    [change] = [each for each in plan.changes if each.fields]
    assert [rule["protocol"] for rule in change.fields[0].before] == ["ah", "gre"]
    assert [rule["protocol"] for rule in change.fields[0].after] == ["132", "ah", "esp"]


def test_another_description_is_no_new_rule(account: Account) -> None:
    """In the spec, and by another tool's hand; the rules keep their ids, so no connection is cut."""
    ingress = ["{protocol: tcp, ports: 80, ENDS: [0.0.0.0/0, self], description: WORDS}"]
    egress = ["{protocol: icmp, ports: 8, ENDS: [LIST], description: WORDS}"]
    spec = account.spec(ingress, egress)
    account.converge(spec.replace("WORDS", "before"))
    ids = set(account.rules())
    update = [f"UpdateSecurityGroupRuleDescriptions{word}" for word in ("Egress", "Ingress")]
    assert sorted(account.converge(spec.replace("WORDS", "after"))) == update
    assert sorted(account.converge(spec.replace(", description: WORDS", ""))) == update
    assert account.rules() == dict.fromkeys(ids, "")
    named = [{"SecurityGroupRuleId": rule, "Description": "who wrote this"} for rule in sorted(ids)]
    for direction, some in (("ingress", 2), ("egress", 1)):
        filters = [{"Name": "group-id", "Values": [account.group()["GroupId"]]}]
        found = account.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        mine = {rule["SecurityGroupRuleId"] for rule in found if rule["IsEgress"] is (direction == "egress")}
        words = [entry for entry in named if entry["SecurityGroupRuleId"] in mine]
        assert len(words) == some
        getattr(account.ec2, f"update_security_group_rule_descriptions_{direction}")(
            GroupId=account.group()["GroupId"], SecurityGroupRuleDescriptions=words
        )
    assert sorted(account.converge(spec.replace(", description: WORDS", ""))) == update
    assert account.rules() == dict.fromkeys(ids, "")


def test_egress_is_exact_or_untouched(account: Account) -> None:
    """Absent: whatever there is; empty: nothing gets out; listed: exactly that, in any order."""
    rules = ["{protocol: tcp, ports: 443, ENDS: [0.0.0.0/0]}", "{protocol: udp, ports: 53, ENDS: [10.0.0.2/32]}"]
    assert account.converge(account.spec([])) == ["CreateSecurityGroup", "CreateSecurityGroup"]
    assert account.converge(account.spec([], [])) == ["RevokeSecurityGroupEgress"]
    assert account.harness.plan(account.spec([])).empty
    assert account.converge(account.spec([], rules)) == ["AuthorizeSecurityGroupEgress"]
    assert account.harness.plan(account.spec([], rules[::-1])).empty
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    group = account.group()["GroupId"]
    account.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[everything])
    assert account.harness.plan(account.spec([])).empty
    assert account.converge(account.spec([], rules)) == ["RevokeSecurityGroupEgress"]


@pytest.mark.parametrize(
    ("egress", "calls"),
    [
        ("[]", ["RevokeSecurityGroupEgress"]),
        ("[{protocol: all, destinations: [0.0.0.0/0]}]", ["RevokeSecurityGroupEgress"]),
        ('[{protocol: all, destinations: [0.0.0.0/0, "::/0"]}]', []),
        (
            '[{protocol: tcp, ports: 443, destinations: ["::/0"]}]',
            ["AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"],
        ),
    ],
    ids=["none", "IPv4 only", "all", "another"],
)
@pytest.mark.parametrize("state", ["associated", "associating"])
def test_a_group_in_a_vpc_with_ipv6_is_born_with_two_rules(
    account: Account, egress: str, calls: list[str], state: str
) -> None:
    """Of which the plan knows: what is not wanted of them goes in the one call and the first round."""
    vpc = account.harness.strict.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", ipv6_state=state)
    spec = f"""
version: 1
stack: dual
region: us-east-1
security_groups:
  web: {{vpc: {vpc}, egress: {egress}}}
"""
    assert account.converge(spec) == ["CreateSecurityGroup", *calls]


@pytest.mark.parametrize("comes", [True, False], ids=["comes", "goes"])
def test_ipv6_is_added_or_removed_between_plan_and_group(account: Account, comes: bool) -> None:
    """The plan was wrong about what the group is born with; the next read tells, and a new plan corrects it."""
    world, block = account.harness.strict.world, "2001:db8::/56"
    vpc = world.add_vpc("10.0.0.0/16", ipv6_cidr=None if comes else block)
    spec = f"version: 1\nstack: one\nregion: us-east-1\nsecurity_groups:\n  web: {{vpc: {vpc}, egress: []}}\n"

    def change(_: object) -> None:
        world.data.vpcs[vpc].ipv6_cidr = block if comes else None

    account.harness.strict.faults.add(Hook("CreateSecurityGroup", callback=change))
    account.converge(spec)
    assert not account.group().get("IpPermissionsEgress")


@pytest.mark.parametrize("state", ["disassociated", "associating"])
def test_a_vpc_is_selected_by_its_associated_blocks(account: Account, state: str) -> None:
    """EC2 still lists a block that a VPC had once, and one that it does not have yet."""
    world = account.harness.strict.world
    world.add_vpc("10.0.0.0/16", other_cidrs={"10.7.0.0/16": state})
    vpc = world.add_vpc("10.1.0.0/16", other_cidrs={"10.7.0.0/16": "associated"})
    spec = """
version: 1
stack: cidr
region: us-east-1
security_groups:
  web: {vpc: {cidr: 10.7.0.0/16}}
"""
    assert account.converge(spec) == ["CreateSecurityGroup"]
    assert account.group()["VpcId"] == vpc


PEER = "210987654321"


def test_a_group_of_another_account_in_a_rule(account: Account) -> None:
    """The spec names it by its id, EC2 returns it with its account: no difference. Its calls have the account."""
    world, ec2 = account.harness.strict.world, account.ec2
    account.converge(account.spec([]))
    group = account.group()
    peer = world.add_peer_group(group["VpcId"], PEER)
    pair = {"GroupId": peer, "UserId": PEER}
    for port in (443, 8443):
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
        ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[permission])
    here = f"{{protocol: tcp, ports: 443, ENDS: [{peer}]}}"
    [change] = [each for each in account.harness.plan(account.spec([here])).changes if each.fields]
    assert [rule["source"] for rule in change.fields[0].before] == [f"{PEER}/{peer}"] * 2
    assert [rule["source"] for rule in change.fields[0].after] == [f"{PEER}/{peer}"]
    assert account.converge(account.spec([here])) == ["RevokeSecurityGroupIngress"]
    words = f"{{protocol: tcp, ports: 443, ENDS: [{peer}], description: theirs}}"
    assert account.converge(account.spec([words])) == ["UpdateSecurityGroupRuleDescriptionsIngress"]
    more = f"{{protocol: tcp, ports: 22, ENDS: [{peer}]}}"
    assert account.converge(account.spec([words, more])) == ["AuthorizeSecurityGroupIngress"]
    assert account.converge(account.spec([])) == ["RevokeSecurityGroupIngress"]
    assert account.group()["IpPermissions"] == []


def test_a_removed_group_may_name_one_of_another_account(account: Account) -> None:
    """Nothing has to be revoked: that group is not deleted."""
    account.converge(account.spec([]))
    group = account.group()
    pair = {"GroupId": account.harness.strict.world.add_peer_group(group["VpcId"], PEER), "UserId": PEER}
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [pair]}
    account.ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[permission])
    assert account.harness.apply(account.spec([]), destroy=True).outcome == "converged"


def test_groups_that_need_each_other(account: Account) -> None:
    """Made first, all of them; then the rules, one call each. Cut from each other first, and then deleted."""
    ring = """
version: 1
stack: ring
region: us-east-1
security_groups:
  a:
    ingress: [{protocol: tcp, ports: 1, sources: [b, c, self]}]
    egress: [{protocol: tcp, ports: 1, destinations: [b]}]
  b: {ingress: [{protocol: tcp, ports: 1, sources: [a]}, {protocol: udp, ports: 1, sources: [c]}]}
  c: {egress: [{protocol: all, destinations: [a, 10.0.0.0/8]}]}
network_interfaces:
  eth: {subnet: {default_for_az: us-east-1a}, security_groups: [a, b]}
"""
    calls = account.converge(ring)
    assert calls.count("CreateSecurityGroup") == 3
    assert sorted(call for call in calls if "SecurityGroupI" in call or "SecurityGroupE" in call) == [
        *["AuthorizeSecurityGroupEgress"] * 2,
        *["AuthorizeSecurityGroupIngress"] * 2,
        *["RevokeSecurityGroupEgress"] * 2,
    ]
    account.harness.strict.clear()
    gone = account.harness.apply(ring, destroy=True)
    assert (gone.outcome, gone.error) == ("converged", None)
    refused = [call.error_code for call in account.harness.strict.mutating() if call.error_code]
    assert refused == []
    names = [group.name for group in account.harness.strict.world.data.groups.values()]
    assert sorted(names) == ["default", "theirs"]


def test_one_of_a_ring_is_removed(account: Account) -> None:
    """Who stays forgets it first."""
    ring = """
version: 1
stack: ring
region: us-east-1
security_groups:
  a: {ingress: [{protocol: tcp, ports: 1, sources: [%s, self]}]}
"""
    account.converge(ring % "b" + "  b: {ingress: [{protocol: tcp, ports: 1, sources: [a]}]}\n")
    account.harness.strict.clear()
    report = account.harness.apply((ring % "10.0.0.0/8"), prune=True)
    assert (report.outcome, report.error) == ("converged", None)
    assert [(call.action, call.error_code) for call in account.harness.strict.mutating()] == [
        ("AuthorizeSecurityGroupIngress", None),
        ("RevokeSecurityGroupIngress", None),
        ("DeleteSecurityGroup", None),
    ]


@pytest.mark.parametrize("theirs", ["web", "WEB", "wEb"])
@pytest.mark.parametrize("row", ["web: {}", "front: {group_name: Web}"])
def test_a_name_that_is_taken_is_found_before_anything_changes(account: Account, theirs: str, row: str) -> None:
    """EC2 takes no notice of the case of letters in names, its filters do."""
    taken = account.ec2.create_security_group(GroupName=theirs, Description="x")["GroupId"]
    account.ec2.create_security_group(GroupName="sew", Description="as long, and another name")
    account.harness.loop.now += 60
    account.harness.strict.clear()
    with pytest.raises(SpecErrors, match=f"{taken} already has the name") as raised:
        account.harness.apply(
            f"version: 1\nstack: s\nregion: us-east-1\nsecurity_groups: {{{row}, other: {{}}}}\n"
        )
    assert len(raised.value.problems) == 1
    assert account.harness.strict.mutating() == []


def test_a_name_with_wildcards_means_itself(account: Account) -> None:
    """Of the characters that EC2's filters give a meaning, a group's name may have one."""
    account.ec2.create_security_group(GroupName="a-b", Description="x")
    account.harness.loop.now += 60
    spec = 'version: 1\nstack: s\nregion: us-east-1\nsecurity_groups: {web: {group_name: "a*b"}}\n'
    assert account.converge(spec) == ["CreateSecurityGroup"]
    with pytest.raises(SpecErrors, match="'a\\*b' in vpc-"):
        account.harness.apply(spec.replace("stack: s", "stack: t"))
