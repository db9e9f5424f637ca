"""Rules of EC2 for security groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2 import Quotas, Settings
from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def tcp(port: int, *cidrs: str, **more: Any) -> dict[str, Any]:
    ranges = [{"CidrIp": cidr} for cidr in cidrs]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges, **more}


def in_full(permission: dict[str, Any]) -> dict[str, Any]:
    """A permission as EC2 shows it, with all four lists of sources."""
    return {"IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": [], **permission}


def allow(lab: Lab, group: str, *permissions: dict[str, Any]) -> list[dict[str, Any]]:
    answer = lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))
    return list(answer["SecurityGroupRules"])


def ingress(lab: Lab, group: str) -> list[dict[str, Any]]:
    return list(lab.show_group(group).get("IpPermissions", []))


ANYWHERE = "0.0.0.0/0"


# -- the group ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web", "WEB", "web  "])
def test_names_are_unique_whatever_their_case(lab: Lab, name: str) -> None:
    """EC2 docs: group names are case-insensitive and lose trailing spaces."""
    lab.group("web")
    with refused("InvalidGroup.Duplicate", "already exists"):
        lab.group(name)
    assert lab.group("web", VpcId=lab.world.add_vpc("10.0.0.0/16")).startswith("sg-")


@pytest.mark.parametrize("name", ["sg-web", "default", "", "x" * 256, "naïve", "semi;colon\n"])
def test_names_that_are_refused(lab: Lab, name: str) -> None:
    """EC2 docs: at most 255 characters of a small set, not `sg-…`, not `default`."""
    with refused("InvalidParameterValue"):
        lab.group(name)


def test_a_description_is_required_and_limited(lab: Lab) -> None:
    """EC2 docs: a group's description has 1 to 255 characters of the same set as its name."""
    for description in ("", "<b>", "x" * 256):
        with refused("InvalidParameterValue"):
            lab.ec2.create_security_group(GroupName="web", Description=description)


def test_a_new_group_lets_everything_out_and_nothing_in(lab: Lab) -> None:
    """EC2 docs: a new group has one egress rule that allows all traffic, and no ingress rule."""
    shown = lab.show_group(lab.group())
    assert shown["IpPermissions"] == []
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}
    assert shown["IpPermissionsEgress"] == [in_full(everything)]
    assert shown["VpcId"] == lab.vpc


def test_the_lists_of_rules_are_there_even_when_they_are_empty(lab: Lab) -> None:
    """AWS CLI docs, describe-security-groups: a group without such rules shows `"IpPermissions": []`."""
    group = lab.group()
    assert lab.show_group(group)["IpPermissions"] == []
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}
    lab.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    assert lab.show_group(group)["IpPermissionsEgress"] == []


def test_the_default_group_stays(lab: Lab) -> None:
    """EC2 docs: a VPC's default group cannot be deleted; it lets its own members in."""
    default = lab.world.default_group(lab.vpc).id
    with refused("CannotDelete"):
        lab.ec2.delete_security_group(GroupId=default)
    pairs = ingress(lab, default)[0]["UserIdGroupPairs"]
    assert pairs == [{"GroupId": default, "UserId": "123456789012"}]


def test_a_group_on_an_interface_cannot_be_deleted(lab: Lab) -> None:
    """EC2 docs: DependencyViolation as long as an interface carries the group."""
    group = lab.group()
    eni = lab.eni(Groups=[group])
    with refused("DependencyViolation", "has a dependent object"):
        lab.ec2.delete_security_group(GroupId=group)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    lab.ec2.delete_security_group(GroupId=group)
    with refused("InvalidGroup.NotFound"):
        lab.ec2.delete_security_group(GroupId=group)


def test_a_group_that_another_names_cannot_be_deleted(lab: Lab) -> None:
    """EC2 docs: references in other groups must go first; a group's reference to itself does not count."""
    one, two = lab.group("one"), lab.group("two")
    own = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": one}]}
    allow(lab, one, own)
    allow(lab, two, own)
    with refused("DependencyViolation"):
        lab.ec2.delete_security_group(GroupId=one)
    lab.ec2.revoke_security_group_ingress(GroupId=two, IpPermissions=[own])
    lab.ec2.delete_security_group(GroupId=one)


def test_a_group_by_name_is_one_of_the_default_vpc(lab: Lab) -> None:
    """EC2 docs: names instead of ids mean groups of the default VPC."""
    group = lab.group("Web")
    lab.ec2.authorize_security_group_ingress(
        GroupName="web", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8"
    )
    assert lab.ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"][0]["GroupId"] == group
    assert ingress(lab, group)[0]["FromPort"] == 22
    lab.group("far", VpcId=lab.world.add_vpc("10.0.0.0/16"))
    with refused("InvalidGroup.NotFound"):
        lab.ec2.describe_security_groups(GroupNames=["far"])


def test_groups_of_a_region_are_limited() -> None:
    """EC2 docs: the number of groups in a Region has a quota."""
    with Lab(Settings(quotas=Quotas(groups=2))) as lab:
        lab.group("one")
        with refused("SecurityGroupLimitExceeded"):
            lab.group("two")


# -- rules ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (tcp(80, "100.68.0.18/18"), tcp(80, "100.68.0.0/18")),
        ({**tcp(80, ANYWHERE), "IpProtocol": "6"}, tcp(80, ANYWHERE)),
        ({**tcp(53, ANYWHERE), "IpProtocol": "17"}, {**tcp(53, ANYWHERE), "IpProtocol": "udp"}),
        (tcp(1, ANYWHERE) | {"IpProtocol": "-1"}, {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}),
        (
            {"IpProtocol": "icmp", "IpRanges": [{"CidrIp": ANYWHERE}]},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": ANYWHERE}]},
        ),
        (
            {"IpProtocol": "58", "FromPort": 128, "ToPort": 0, "Ipv6Ranges": [{"CidrIpv6": "2001:DB8::1/32"}]},
            {
                "IpProtocol": "icmpv6",
                "FromPort": 128,
                "ToPort": 0,
                "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            },
        ),
        (
            {"IpProtocol": "50", "IpRanges": [{"CidrIp": "10.0.0.1/32"}]},
            {"IpProtocol": "50", "IpRanges": [{"CidrIp": "10.0.0.1/32"}]},
        ),
    ],
)
def test_rules_are_kept_in_normal_form(lab: Lab, asked: dict[str, Any], shown: dict[str, Any]) -> None:
    """EC2 docs: host bits are cleared, protocols get names, ports go where the protocol has none."""
    group = lab.group()
    allow(lab, group, asked)
    assert ingress(lab, group) == [in_full(shown)]
    with refused("InvalidPermission.Duplicate"):
        allow(lab, group, shown)


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        (tcp(80, "10.0.0.1"), "InvalidParameterValue"),
        (tcp(80, "10.0.0.0/33"), "InvalidParameterValue"),
        (tcp(80, "2001:db8::/32"), "InvalidParameterValue"),
        (tcp(70000, ANYWHERE), "InvalidParameterValue"),
        ({**tcp(80, ANYWHERE), "FromPort": 90}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": ANYWHERE}]}, "InvalidParameterValue"),
        ({"IpProtocol": "carrier-pigeon", "IpRanges": [{"CidrIp": ANYWHERE}]}, "InvalidParameterValue"),
        (tcp(80), "MissingParameter"),
        ({"FromPort": 80, "IpRanges": [{"CidrIp": ANYWHERE}]}, "MissingParameter"),
        (tcp(80, UserIdGroupPairs=[{"GroupId": "sg-01234567"}]), "InvalidGroup.NotFound"),
        (tcp(80, PrefixListIds=[{"PrefixListId": "pl-01234567"}]), "InvalidPrefixListID.NotFound"),
        (
            {**tcp(80), "IpRanges": [{"CidrIp": ANYWHERE, "Description": "<script>"}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_rules_that_are_refused(lab: Lab, permission: dict[str, Any], code: str) -> None:
    """Malformed CIDRs, ports, protocols, descriptions and unknown references are refused by their codes."""
    group = lab.group()
    with refused(code):
        allow(lab, group, permission)


def test_one_duplicate_fails_all(lab: Lab) -> None:
    """EC2 docs: a rule that is there already is InvalidPermission.Duplicate, and nothing is added."""
    group = lab.group()
    allow(lab, group, tcp(80, ANYWHERE))
    with refused("InvalidPermission.Duplicate"):
        allow(lab, group, tcp(443, ANYWHERE), tcp(80, ANYWHERE))
    assert [row["FromPort"] for row in ingress(lab, group)] == [80]


def test_a_rule_twice_in_one_request(lab: Lab) -> None:
    """EC2 docs: the same permission may not appear twice in a request; descriptions do not tell apart."""
    described = {**tcp(80), "IpRanges": [{"CidrIp": ANYWHERE, "Description": "again"}]}
    with refused("InvalidParameterValue", "must not appear multiple times"):
        allow(lab, lab.group(), tcp(80, ANYWHERE), described)


def test_each_source_is_a_rule_of_its_own(lab: Lab) -> None:
    """EC2 docs: one rule has exactly one source and an id; permissions show them together."""
    group = lab.group()
    prefix_list = lab.world.add_prefix_list()
    sources = tcp(
        80,
        "10.0.0.0/8",
        "192.168.0.0/16",
        Ipv6Ranges=[{"CidrIpv6": "::/0"}],
        UserIdGroupPairs=[{"GroupId": group, "Description": "us"}],
        PrefixListIds=[{"PrefixListId": prefix_list}],
    )
    rules = allow(lab, group, sources)
    assert len({rule["SecurityGroupRuleId"] for rule in rules}) == 5
    shown = ingress(lab, group)
    assert len(shown) == 1
    assert shown[0]["UserIdGroupPairs"] == [{"GroupId": group, "UserId": "123456789012", "Description": "us"}]
    filters = [{"Name": "group-id", "Values": [group]}]
    listed = lab.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert len([rule for rule in listed if not rule["IsEgress"]]) == 5
    referencing = lab.ec2.describe_security_groups(Filters=[{"Name": "ip-permission.group-id", "Values": [group]}])
    assert [row["GroupId"] for row in referencing["SecurityGroups"]] == [group]


def test_egress_takes_rules_through_ip_permissions_only(lab: Lab) -> None:
    """EC2 docs: the flat parameters do not work for egress."""
    group = lab.group()
    with refused("InvalidParameterCombination"):
        lab.ec2.authorize_security_group_egress(
            GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp=ANYWHERE
        )
    lab.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(80, ANYWHERE)])
    assert len(lab.show_group(group)["IpPermissionsEgress"]) == 2


def test_a_reference_needs_the_same_network(lab: Lab) -> None:
    """EC2 docs: a rule may name a group of its own VPC (peering apart)."""
    far = lab.group("far", VpcId=lab.world.add_vpc("10.0.0.0/16"))
    with refused("InvalidGroup.NotFound", "different networks"):
        allow(lab, lab.group(), tcp(80, UserIdGroupPairs=[{"GroupId": far}]))


def test_rules_of_a_group_are_limited_per_family() -> None:
    """EC2 docs: 60 rules a group, direction and address family; a prefix list counts as its size."""
    with Lab(Settings(quotas=Quotas(rules_per_group=3))) as lab:
        group = lab.group()
        allow(lab, group, tcp(1, ANYWHERE), tcp(2, ANYWHERE))
        for port in (1, 2, 3):
            allow(lab, group, tcp(port, Ipv6Ranges=[{"CidrIpv6": "::/0"}]))
        with refused("RulesPerSecurityGroupLimitExceeded"):
            allow(lab, group, tcp(3, ANYWHERE), tcp(4, ANYWHERE))
        with refused("RulesPerSecurityGroupLimitExceeded"):
            allow(lab, group, tcp(3, PrefixListIds=[{"PrefixListId": lab.world.add_prefix_list(2)}]))
        allow(lab, group, tcp(3, ANYWHERE))
        assert len(ingress(lab, group)) == 3


def test_revoking_an_absent_rule_outside_the_default_vpc(lab: Lab) -> None:
    """EC2 docs: InvalidPermission.NotFound, and none of the rules in the request is revoked."""
    group = lab.group(VpcId=lab.world.add_vpc("10.0.0.0/16"))
    allow(lab, group, tcp(80, ANYWHERE))
    with refused("InvalidPermission.NotFound"):
        lab.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, ANYWHERE), tcp(81, ANYWHERE)])
    assert len(ingress(lab, group)) == 1


def test_revoking_an_absent_rule_in_the_default_vpc(lab: Lab) -> None:
    """EC2 docs: in the default VPC absent rules are only listed, and the others are revoked."""
    group = lab.group()
    allow(lab, group, tcp(80, ANYWHERE))
    answer = lab.ec2.revoke_security_group_ingress(
        GroupId=group, IpPermissions=[tcp(80, ANYWHERE), tcp(81, ANYWHERE)]
    )
    assert answer["UnknownIpPermissions"] == [in_full(tcp(81, ANYWHERE))]
    assert ingress(lab, group) == []


def test_revoking_by_rule_id(lab: Lab) -> None:
    """EC2 docs: rule ids work in their own direction only, and an unknown one fails the whole call."""
    group = lab.group()
    first, second = allow(lab, group, tcp(80, "10.0.0.0/8", "10.0.0.0/16"))
    for ids in ([first["SecurityGroupRuleId"], "sgr-0123456789abcdef0"], ["sgr-0123456789abcdef0"]):
        with refused("InvalidSecurityGroupRuleId.NotFound"):
            lab.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ids)
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        lab.ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[first["SecurityGroupRuleId"]])
    lab.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[first["SecurityGroupRuleId"]])
    assert ingress(lab, group)[0]["IpRanges"] == [{"CidrIp": second["CidrIpv4"]}]


def test_a_description_can_change_by_itself(lab: Lab) -> None:
    """EC2 docs: a description is not part of a rule's identity; updating one keeps the rule's id."""
    group = lab.group()
    rule = allow(lab, group, tcp(80, ANYWHERE))[0]["SecurityGroupRuleId"]
    described = {**tcp(80), "IpRanges": [{"CidrIp": ANYWHERE, "Description": "http"}]}
    lab.ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[described])
    assert ingress(lab, group)[0]["IpRanges"][0]["Description"] == "http"
    lab.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule, "Description": "web"}]
    )
    shown = lab.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"][0]
    assert shown["Description"] == "web"
    with refused("InvalidPermission.NotFound"):
        lab.ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[tcp(81, ANYWHERE)])


def test_rules_can_be_modified_in_place(lab: Lab) -> None:
    """EC2 docs: ModifySecurityGroupRules sets a rule by id, and may not make two alike."""
    group = lab.group()
    rule, _ = (each["SecurityGroupRuleId"] for each in allow(lab, group, tcp(80, "10.0.0.0/8", "10.0.0.0/16")))

    def modify(cidr: str) -> None:
        new = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIpv4": cidr}
        updates = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": new}]
        lab.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=updates)

    with refused("InvalidPermission.Duplicate"):
        modify("10.0.0.0/16")
    modify("192.168.0.0/24")
    cidrs = {row["CidrIp"] for row in ingress(lab, group)[0]["IpRanges"]}
    assert cidrs == {"192.168.0.0/24", "10.0.0.0/16"}


def test_a_modified_rule_needs_its_protocol(lab: Lab) -> None:
    """Observed on AWS: InvalidParameterValue about the protocol 'null', not MissingParameter."""
    group = lab.group()
    rule = allow(lab, group, tcp(80, ANYWHERE))[0]["SecurityGroupRuleId"]
    updates = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": {"CidrIpv4": "10.0.0.0/8"}}]
    with refused("InvalidParameterValue", "Invalid value 'null' for protocol. VPC security group rules must"):
        lab.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=updates)


def test_misspelled_group_ids(lab: Lab) -> None:
    """Observed on AWS: InvalidGroupId.Malformed, for rules even where the id is only the value of a filter."""
    filters = [{"Name": "group-id", "Values": ["foobar"]}]
    with refused("InvalidGroupId.Malformed", "The security group ID 'foobar' is malformed"):
        lab.ec2.describe_security_group_rules(Filters=filters)
    with refused("InvalidGroupId.Malformed"):
        lab.ec2.revoke_security_group_ingress(GroupId="foobar", IpPermissions=[tcp(80, ANYWHERE)])
    assert lab.ec2.describe_security_groups(Filters=filters)["SecurityGroups"] == []


def test_a_revocation_must_name_rules(lab: Lab) -> None:
    """Observed on AWS: MissingParameter with a sentence of its own."""
    with refused("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."):
        lab.ec2.revoke_security_group_ingress(GroupId=lab.group())


def test_a_group_of_an_ipv6_vpc_lets_ipv6_out_too(lab: Lab) -> None:
    """Observed on AWS: `::/0` is in the egress of a new group even while the IPv6 block is still associating."""
    vpc = lab.world.add_vpc("10.0.0.0/16", ipv6_cidr="2001:db8::/56", ipv6_state="associating")
    egress = lab.show_group(lab.group(VpcId=vpc))["IpPermissionsEgress"]
    sources = {"IpRanges": [{"CidrIp": ANYWHERE}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    assert egress == [in_full({"IpProtocol": "-1", **sources})]


def test_prefix_lists_of_aws_hide_their_size(lab: Lab) -> None:
    """Observed on AWS: only the account's own lists show MaxEntries and Version; both kinds show empty Tags."""
    mine, theirs = lab.world.add_prefix_list(7), lab.world.add_prefix_list(by_aws=True)
    rows = {row["PrefixListId"]: row for row in lab.ec2.describe_managed_prefix_lists()["PrefixLists"]}
    assert (rows[mine]["MaxEntries"], rows[mine]["Version"], rows[mine]["Tags"]) == (7, 1, [])
    assert rows[theirs]["PrefixListArn"] == f"arn:aws:ec2:us-east-1:aws:prefix-list/{theirs}"
    assert rows[theirs]["Tags"] == []
    assert not {"MaxEntries", "Version"} & set(rows[theirs])


def test_rules_have_tags(lab: Lab) -> None:
    """EC2 docs: rules are tagged at birth or later, and found by their tags."""
    group = lab.group()
    spec = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    lab.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[tcp(80, ANYWHERE)], TagSpecifications=spec
    )
    filters = [{"Name": "tag:a", "Values": ["b"]}]
    rules = lab.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    lab.ec2.create_tags(Resources=[rules[0]["SecurityGroupRuleId"]], Tags=[{"Key": "c", "Value": "d"}])
    shown = lab.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"][0]
    assert {t["Key"] for t in shown["Tags"]} == {"a", "c"}


def test_groups_that_a_vpc_may_use(lab: Lab) -> None:
    """EC2 docs: GetSecurityGroupsForVpc lists the VPC's groups and those associated with it."""
    vpc = lab.world.add_vpc("10.0.0.0/16")
    subnet = lab.world.add_subnet(vpc, "10.0.0.0/24")
    shared, private = lab.group("shared"), lab.group("private")
    lab.world.associate_group(shared, vpc)
    rows = lab.ec2.get_security_groups_for_vpc(VpcId=vpc)["SecurityGroupForVpcs"]
    assert {row["GroupId"] for row in rows} == {shared, lab.world.default_group(vpc).id}
    lab.eni(SubnetId=subnet, Groups=[shared])
    with refused("InvalidGroup.NotFound"):
        lab.eni(SubnetId=subnet, Groups=[private])


def test_associations_of_groups_are_listed(lab: Lab) -> None:
    vpc, group = lab.world.add_vpc("10.0.0.0/16"), lab.group()
    lab.world.associate_group(group, vpc)
    filters = [{"Name": "group-id", "Values": [group]}]
    [row] = lab.ec2.describe_security_group_vpc_associations(Filters=filters)["SecurityGroupVpcAssociations"]
    assert (row["GroupId"], row["VpcId"], row["State"]) == (group, vpc, "associated")


@pytest.mark.parametrize("how", ["peering", "transit gateway"])
def test_a_reference_into_a_connected_vpc(lab: Lab, how: str) -> None:
    """EC2 docs: a rule may name a group of a peered VPC, and of one on the same transit gateway."""
    far = lab.world.add_vpc("10.0.0.0/16")
    filters = [{"Name": "vpc-id", "Values": [far]}]
    if how == "peering":
        lab.world.peer_vpcs(far, lab.vpc)
        filters[0]["Name"] = "requester-vpc-info.vpc-id"
        [row] = lab.ec2.describe_vpc_peering_connections(Filters=filters)["VpcPeeringConnections"]
        assert (row["AccepterVpcInfo"]["VpcId"], row["Status"]["Code"]) == (lab.vpc, "active")
    else:
        lab.world.attach_to_gateway(far, lab.vpc)
        [row] = lab.ec2.describe_transit_gateway_vpc_attachments(Filters=filters)["TransitGatewayVpcAttachments"]
        assert row["Options"]["SecurityGroupReferencingSupport"] == "enable"
    group = lab.group("far", VpcId=far)
    assert len(allow(lab, lab.group(), tcp(80, UserIdGroupPairs=[{"GroupId": group}]))) == 1


def test_a_reference_to_a_group_of_another_account(lab: Lab) -> None:
    """EC2 docs: it takes the UserId; EC2 shows that, and the peering connection, and never lists the group."""
    group, peer = lab.group(), lab.world.add_peer_group(lab.vpc, "210987654321")
    alone, pair = {"GroupId": peer}, {"GroupId": peer, "UserId": "210987654321"}
    with refused("InvalidGroup.NotFound"):
        allow(lab, group, tcp(80, UserIdGroupPairs=[alone]))
    allow(lab, group, tcp(80, UserIdGroupPairs=[pair]))
    [row] = lab.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    far = row["AccepterVpcInfo"]
    assert far["OwnerId"] == "210987654321"
    connection = {"VpcPeeringConnectionId": row["VpcPeeringConnectionId"], "PeeringStatus": "active"}
    assert ingress(lab, group)[0]["UserIdGroupPairs"] == [{**pair, "VpcId": far["VpcId"], **connection}]
    revoke = lab.ec2.revoke_security_group_ingress
    with refused("InvalidGroup.NotFound"):
        revoke(GroupId=group, IpPermissions=[tcp(80, UserIdGroupPairs=[alone])])
    revoke(GroupId=group, IpPermissions=[tcp(80, UserIdGroupPairs=[pair])])
    assert ingress(lab, group) == []
