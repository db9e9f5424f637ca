"""Rules of EC2 for network ACLs and what they guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def guarding(lab: Lab, subnet: str) -> dict[str, Any]:
    """The one ACL of a subnet."""
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    [acl] = lab.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    return dict(acl)


def association(acl: dict[str, Any], subnet: str) -> str:
    return str(next(e["NetworkAclAssociationId"] for e in acl["Associations"] if e["SubnetId"] == subnet))


def entries(acl: dict[str, Any], *, egress: bool = False) -> list[tuple[int, str, str]]:
    rows = (entry for entry in acl["Entries"] if entry["Egress"] is egress)
    return sorted((entry["RuleNumber"], entry["RuleAction"], entry["Protocol"]) for entry in rows)


def test_a_default_acl_guards_all_subnets_and_allows_all(lab: Lab) -> None:
    """EC2 docs: rule 100 allows all in both directions; the last rule denies what no other matches."""
    acl = guarding(lab, lab.subnet())
    assert (acl["IsDefault"], acl["VpcId"]) == (True, lab.vpc)
    assert len(acl["Associations"]) == len(lab.world.data.subnets)
    for egress in (False, True):
        assert entries(acl, egress=egress) == [(100, "allow", "-1"), (32767, "deny", "-1")]
    with refused("InvalidParameterValue", "default network ACL"):
        lab.ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])


def test_a_subnet_always_has_one_acl(lab: Lab) -> None:
    """Its association moves from one to the other, and gets a new id; a new ACL denies all."""
    subnet, default = lab.subnet(), guarding(lab, lab.subnet())
    own = lab.ec2.create_network_acl(VpcId=lab.vpc)["NetworkAcl"]["NetworkAclId"]
    moved = lab.ec2.replace_network_acl_association(AssociationId=association(default, subnet), NetworkAclId=own)[
        "NewAssociationId"
    ]
    lab.clock.advance(60)
    acl = guarding(lab, subnet)
    assert (acl["NetworkAclId"], association(acl, subnet)) == (own, moved)
    assert entries(acl) == [(32767, "deny", "-1")]
    with refused("DependencyViolation"):
        lab.ec2.delete_network_acl(NetworkAclId=own)
    lab.ec2.replace_network_acl_association(AssociationId=moved, NetworkAclId=default["NetworkAclId"])
    assert guarding(lab, subnet)["IsDefault"]
    lab.ec2.delete_network_acl(NetworkAclId=own)
    with refused("InvalidNetworkAclID.NotFound"):
        lab.ec2.describe_network_acls(NetworkAclIds=[own])


def test_entries_are_kept_by_direction_and_number(lab: Lab) -> None:
    """EC2 shows protocols by number, and ports only where the protocol has some."""
    acl = guarding(lab, lab.subnet())["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 90, "Egress": False, "CidrBlock": "0.0.0.0/0"}
    tcp = {"Protocol": "tcp", "RuleAction": "deny", "PortRange": {"From": 80, "To": 80}}
    with refused("MissingParameter", "portRange"):
        lab.ec2.create_network_acl_entry(**entry, Protocol="6", RuleAction="deny")
    lab.ec2.create_network_acl_entry(**entry, **tcp)
    with refused("NetworkAclEntryAlreadyExists"):
        lab.ec2.create_network_acl_entry(**entry, **tcp)
    shown = guarding(lab, lab.subnet())
    assert entries(shown) == [(90, "deny", "6"), (100, "allow", "-1"), (32767, "deny", "-1")]
    [denying] = [e for e in shown["Entries"] if e["RuleNumber"] == 90]
    assert denying["PortRange"] == {"From": 80, "To": 80}
    lab.ec2.replace_network_acl_entry(**entry, Protocol="-1", RuleAction="allow")
    assert entries(guarding(lab, lab.subnet()))[0] == (90, "allow", "-1")
    lab.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=False)
    with refused("InvalidNetworkAclEntry.NotFound"):
        lab.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=False)
