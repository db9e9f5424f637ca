"""Foreign groups by tags, by name and with their account, and prefix lists by name: in rules and on interfaces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact
from tests.ec2 import Fail
from tests.ec2.calls import Call
from tests.harness import Harness

S3 = "com.amazonaws.us-east-1.s3"
PEER = "999988887777"
TAGGED, NAMED, LIST = {"tags": {"Name": "ops"}}, {"group_name": "monitoring"}, {"prefix_list_name": S3}


class Account:
    """The default VPC, with groups and a prefix list that are not of the stack."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.world, self.ec2 = harness, harness.strict.world, harness.client()
        default = self.world.default_vpc()
        assert default is not None
        self.vpc = default.id
        self.ops = self.world.add_group("ops", tags={"Name": "ops", "team": "net"})
        self.monitoring = self.world.add_group("monitoring", tags={"Name": "mon*", "team": "net"})
        self.s3 = self.world.add_prefix_list(5, by_aws=True, name=S3)
        self.mine = self.world.add_prefix_list(5, name="offices")
        # These never match: in another VPC, and with names that only look alike.
        self.elsewhere = self.world.add_vpc("10.9.0.0/16")
        self.far = self.world.add_group("monitoring", self.elsewhere, tags={"Name": "ops"})
        self.world.add_group("Monitoring2", tags={"Name": "ops2"})
        self.world.add_prefix_list(5, name=S3 + "express")

    def spec(self, *sources: Any, groups: Sequence[Any] | None = None, **more: Any) -> str:
        """A group with one rule; with ``groups`` also an interface."""
        rules = [{"protocol": "tcp", "ports": 443, "sources": list(sources)}] if sources else []
        document: dict[str, Any] = {
            "version": 1,
            "stack": "lab",
            "region": "us-east-1",
            "security_groups": {"web": {"ingress": rules}},
        }
        if groups is not None:
            row = {"subnet": {"default_for_az": "us-east-1a"}, "security_groups": list(groups)}
            document["network_interfaces"] = {"eth0": row | more}
        return json.dumps(document)

    def converge(self, spec: str) -> list[str]:
        """Apply; after that, a plan is empty. The calls that it took."""
        self.harness.strict.clear()
        report = self.harness.apply(spec)
        assert (report.outcome, report.error) == ("converged", None), str(report)
        calls = [call.action for call in self.harness.strict.mutating() if call.acted]
        assert self.harness.plan(spec).empty
        return calls

    def refused(self, spec: str) -> list[str]:
        """Place, message and hint of each problem. An apply changes nothing either."""
        self.harness.strict.clear()
        with pytest.raises(SpecErrors) as raised:
            self.harness.plan(spec)
        with pytest.raises(SpecErrors):
            self.harness.apply(spec)
        assert self.harness.strict.mutating() == []
        assert all(problem.line and problem.column for problem in raised.value.problems)
        return [f"{problem.path}: {problem.message}; {problem.hint}" for problem in raised.value.problems]

    def group(self) -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": ["security_groups.web"]}]
        [found] = self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return found

    def sources(self) -> set[str]:
        """The ids in the rules of ``web``; with the account where it is another one."""
        return {
            pair.get("PrefixListId") or (f"{PEER}/" if pair["UserId"] == PEER else "") + pair["GroupId"]
            for permission in self.group()["IpPermissions"]
            for pair in (*permission["UserIdGroupPairs"], *permission["PrefixListIds"])
        }

    def interface(self) -> Any:
        filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.eth0"]}]
        [found] = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return found

    def groups(self) -> set[str]:
        """The groups of ``eth0``."""
        return {group["GroupId"] for group in self.interface()["Groups"]}


@pytest.fixture
def account(slow_harness: Harness) -> Account:
    return Account(slow_harness)


# ---- rules


def test_rules_that_select_groups_and_prefix_lists(account: Account) -> None:
    """Created, repaired, changed; the plan shows the ids that were selected."""
    spec = account.spec(TAGGED, NAMED, LIST)
    assert account.converge(spec) == ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"]
    assert account.sources() == {account.ops, account.monitoring, account.s3}
    # Ids and selectors mean the same.
    assert account.harness.plan(account.spec(account.ops, account.monitoring, account.s3)).empty
    ours = account.group()
    account.ec2.revoke_security_group_ingress(GroupId=ours["GroupId"], IpPermissions=ours["IpPermissions"])
    assert account.converge(spec) == ["AuthorizeSecurityGroupIngress"]
    assert account.sources() == {account.ops, account.monitoring, account.s3}
    other = account.spec({"prefix_list_name": "offices"}, {"group_name": "ops"})
    plan = account.harness.plan(other)
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("AuthorizeSecurityGroupIngress", Impact.SAFE),
        ("RevokeSecurityGroupIngress", Impact.DISRUPTIVE),
    ]
    [change] = [each for each in plan.changes if each.fields]
    assert {rule["source"] for rule in change.fields[0].after} == {account.mine, account.ops}
    account.converge(other)
    assert account.sources() == {account.mine, account.ops}


def test_another_group_gets_the_tags(account: Account) -> None:
    """The rule follows the tags: the other group is added, and the former one removed."""
    account.converge(account.spec(TAGGED))
    account.ec2.delete_tags(Resources=[account.ops], Tags=[{"Key": "Name"}])
    account.ec2.create_tags(Resources=[account.monitoring], Tags=[{"Key": "Name", "Value": "ops"}])
    account.harness.loop.now += 60
    calls = ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"]
    assert account.converge(account.spec(TAGGED)) == calls
    assert account.sources() == {account.monitoring}


def test_egress_takes_selectors_too(account: Account) -> None:
    text = json.loads(account.spec())
    rule = {"protocol": "tcp", "ports": 443, "destinations": [LIST, NAMED]}
    text["security_groups"]["web"]["egress"] = [rule]
    account.converge(json.dumps(text))
    ends = account.group()["IpPermissionsEgress"]
    found = {pair["GroupId"] for each in ends for pair in each["UserIdGroupPairs"]}
    assert found | {pair["PrefixListId"] for each in ends for pair in each["PrefixListIds"]} == {
        account.monitoring,
        account.s3,
    }


REFUSED: dict[str, tuple[Any, str]] = {
    "no tags": (
        {"tags": {"Name": "opps"}},
        "no security group in VPC matches Name=opps; did you mean `ops`? values of Name on security groups in "
        "VPC: ops, mon*, ops2",
    ),
    "tags that no group has": (
        {"tags": {"Tier": "web"}},
        "no security group in VPC matches Tier=web; see `aws ec2 describe-security-groups --filters "
        "Name=vpc-id,Values=VPC`",
    ),
    "no name": (
        {"group_name": "monitorin*"},
        "no security group in VPC matches monitorin*; did you mean `monitoring`? security groups in VPC: "
        "monitoring, Monitoring2, default, ops",
    ),
    "several": (
        {"tags": {"team": "net"}},
        "2 security groups in VPC match team=net: BOTH; select one of them by its id",
    ),
    "elsewhere": (
        {"group_name": "far"},
        "no security group in VPC matches far; only groups in VPC match; elsewhere there is FAR in ELSEWHERE",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("where", ["rule", "interface"])
def test_a_group_that_does_not_match_once(account: Account, where: str, why: str) -> None:
    """The plan says which groups match."""
    far = account.world.add_group("far", account.elsewhere)
    selector, words = REFUSED[why]
    both = ", ".join(sorted([account.ops, account.monitoring]))
    words = words.replace("ELSEWHERE", account.elsewhere).replace("FAR", far)
    words = words.replace("VPC", account.vpc).replace("BOTH", both)
    if where == "rule":
        spec, path = account.spec("10.0.0.0/8", selector), "security_groups.web.ingress.0.sources.1"
    else:
        spec, path = account.spec(groups=["web", selector]), "network_interfaces.eth0.security_groups.1"
    if where == "rule" and why != "several":
        words += "; `vpc` left out means the default VPC"
    assert account.refused(spec) == [f"{path}: {words}"]


def test_the_groups_of_a_hint_are_read_once_and_are_no_group_of_the_stack(account: Account) -> None:
    account.converge(account.spec())
    account.harness.strict.clear()
    hint = "did you mean `ops`? security groups in VPC: ops, Monitoring2, default, monitoring".replace(
        "VPC", account.vpc
    )
    spec = account.spec({"group_name": "op"}, {"group_name": "opz"}, groups=[{"group_name": "opx"}])
    with pytest.raises(SpecErrors) as raised:
        account.harness.plan(spec)
    assert [(problem.hint or "").partition(";")[0] for problem in raised.value.problems] == [hint] * 3
    asked = [call.params["Filters"] for call in account.harness.strict.calls if "Groups" in call.action]
    assert asked.count([{"Name": "vpc-id", "Values": [account.vpc]}]) == 1


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InternalError"])
def test_a_hint_without_the_groups_names_the_call_that_lists_them(account: Account, code: str) -> None:
    """The call for the hint is denied, or fails each time: the plan ends as it did without it."""

    def of_vpc(call: Call) -> bool:
        return "vpc-id" in str(call.params.get("Filters"))

    account.harness.strict.faults.add(Fail("DescribeSecurityGroups", code=code, times=99, when=of_vpc))
    [problem] = account.refused(account.spec({"group_name": "opps"}))
    look = f"see `aws ec2 describe-security-groups --filters Name=vpc-id,Values={account.vpc}`"
    assert problem.endswith(f"matches opps; {look}; `vpc` left out means the default VPC")


def test_a_prefix_list_that_does_not_match_once(account: Account) -> None:
    path = "security_groups.web.ingress.0.sources.0"
    [none] = account.refused(account.spec({"prefix_list_name": "office?"}))
    hint = "see `aws ec2 describe-managed-prefix-lists`"
    assert none == f"{path}: no prefix list in us-east-1 matches office?; {hint}"
    both = sorted([account.mine, account.world.add_prefix_list(5, name="offices")])
    [several] = account.refused(account.spec({"prefix_list_name": "offices"}))
    words = f"2 prefix lists in us-east-1 match offices: {', '.join(both)}; select one of them by its id"
    assert several == f"{path}: {words}"


def test_a_selector_never_matches_a_group_of_the_stack(account: Account) -> None:
    """Otherwise a plan would mean another group after the first apply than before it."""
    text = json.loads(account.spec({"group_name": "db"}))
    text["security_groups"]["db"] = {}
    [before] = account.refused(json.dumps(text))
    assert "no security group in" in before
    rules = text["security_groups"]["web"]["ingress"]
    text["security_groups"]["web"]["ingress"] = []
    account.converge(json.dumps(text))
    ours = account.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["db"]}])
    text["security_groups"]["web"]["ingress"] = rules
    [after] = account.refused(json.dumps(text))
    assert (
        f"{ours['SecurityGroups'][0]['GroupId']} of this stack would match: write its name in this spec" in after
    )


def test_what_the_stack_adopts_is_not_foreign(account: Account) -> None:
    text = json.loads(account.spec(TAGGED))
    text["security_groups"]["ours"] = {"adopt": account.ops}
    [problem] = account.refused(json.dumps(text))
    assert f"{account.ops} of this stack would match" in problem


def test_two_spellings_of_one_rule(account: Account) -> None:
    """EC2 has one rule for both, so one of them is too many."""
    [problem] = account.refused(account.spec(account.ops, TAGGED))
    path = "security_groups.web.ingress.0.sources"
    assert problem == f"{path}.1: the same rule as {path}.0; remove one of the two"


def test_one_mistake_leaves_out_its_group_only(account: Account) -> None:
    """The rest is applied; the group comes when the selector matches."""
    text = json.loads(account.spec({"group_name": "later"}))
    text["security_groups"]["db"] = {}
    plan = account.harness.plan(json.dumps(text), partly=True)
    assert [step.address for step in plan.steps] == ["security_groups.db"]
    account.world.add_group("later")
    account.converge(json.dumps(text))


def test_an_ignored_attribute_needs_no_match(account: Account) -> None:
    """It is set at creation only; after that, the group that was selected may go."""
    for ignored, spec in (
        ("ingress", account.spec(TAGGED, groups=["web"])),
        ("security_groups", account.spec(groups=[TAGGED, "web"])),
    ):
        text = json.loads(spec)
        section, name = ("security_groups", "web") if ignored == "ingress" else ("network_interfaces", "eth0")
        text[section][name]["lifecycle"] = {"ignore": [ignored]}
        account.converge(json.dumps(text))
        assert account.harness.plan(json.dumps(text).replace('"Name": "ops"', '"Name": "none"')).empty


# ---- groups of other accounts


def test_a_rule_with_a_group_of_another_account(account: Account) -> None:
    """The account is in the spec, so the first rule can be created."""
    peer = account.world.add_peer_group(account.vpc, PEER)
    spec = account.spec(f"{PEER}/{peer}")
    assert account.converge(spec) == ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"]
    assert account.sources() == {f"{PEER}/{peer}"}
    # The id alone is enough once the rule exists.
    assert account.harness.plan(account.spec(peer)).empty
    ours = account.group()
    account.ec2.revoke_security_group_ingress(GroupId=ours["GroupId"], IpPermissions=ours["IpPermissions"])
    assert account.converge(spec) == ["AuthorizeSecurityGroupIngress"]
    other = account.world.add_peer_group(account.vpc, PEER)
    calls = ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"]
    assert account.converge(account.spec(f"{PEER}/{other}")) == calls
    assert account.sources() == {f"{PEER}/{other}"}
    assert account.converge(account.spec()) == ["RevokeSecurityGroupIngress"]


def test_a_group_of_another_account_that_does_not_exist(account: Account) -> None:
    """Only EC2 knows; its error is the report's."""
    report = account.harness.apply(account.spec(f"{PEER}/sg-0123456789abcdef0"))
    assert report.outcome == "partial"
    assert "InvalidGroup.NotFound" in str(report)


def test_an_id_with_the_account_of_the_stack(account: Account) -> None:
    """EC2 returns it without the account: no difference. A group of the stack has its name then."""
    own = account.world.settings.account_id
    spec = account.spec(f"{own}/{account.ops}")
    account.converge(spec)
    assert account.sources() == {account.ops}
    ours = account.group()["GroupId"]
    account.converge(account.spec(f"{own}/{ours}"))
    assert account.harness.plan(account.spec("self")).empty


# ---- interfaces


def test_an_interface_in_groups_that_the_spec_selects(account: Account) -> None:
    """Created, repaired, changed."""
    spec = account.spec(groups=[TAGGED, NAMED, "web"])
    account.converge(spec)
    web = account.group()["GroupId"]
    assert account.groups() == {account.ops, account.monitoring, web}
    before = account.interface()["NetworkInterfaceId"]
    account.ec2.modify_network_interface_attribute(NetworkInterfaceId=before, Groups=[web])
    assert account.converge(spec) == ["ModifyNetworkInterfaceAttribute"]
    assert account.groups() == {account.ops, account.monitoring, web}
    default = {"group_name": "default"}
    plan = account.harness.plan(account.spec(groups=[default, NAMED]))
    assert [(step.call, step.impact) for step in plan.steps] == [
        ("ModifyNetworkInterfaceAttribute", Impact.DISRUPTIVE)
    ]
    account.converge(account.spec(groups=[default, NAMED]))
    assert len(account.groups()) == 2
    assert account.monitoring in account.groups()
    assert account.interface()["NetworkInterfaceId"] == before


def test_two_spellings_of_one_group_of_an_interface(account: Account) -> None:
    [problem] = account.refused(account.spec(groups=[account.ops, TAGGED]))
    path = "network_interfaces.eth0.security_groups.1"
    assert problem == f"{path}: {account.ops} is listed twice; remove one"


def test_a_replaced_interface_keeps_its_groups(account: Account) -> None:
    """Also where the row ignores them: the new interface gets what the selector matches."""
    spec = account.spec(groups=[NAMED], lifecycle={"ignore": ["security_groups"]})
    account.converge(spec)
    account.converge(spec.replace("us-east-1a", "us-east-1b"))
    assert account.groups() == {account.monitoring}


# ---- reads


def test_one_more_read_for_all_names_and_for_all_lists(account: Account) -> None:
    """A spec without selectors is read without these calls."""

    def reads(spec: str) -> list[str]:
        account.harness.strict.clear()
        account.harness.plan(spec)
        return sorted(call.action for call in account.harness.strict.calls)

    sources = [NAMED, {"group_name": "ops"}, LIST, {"prefix_list_name": "offices"}]
    account.converge(account.spec(*sources))
    plain = reads(account.spec(account.monitoring, account.ops, account.s3, account.mine))
    assert "DescribeManagedPrefixLists" not in plain
    more = ["DescribeManagedPrefixLists", "DescribeSecurityGroups"]
    assert reads(account.spec(*sources)) == sorted([*plain, *more])
