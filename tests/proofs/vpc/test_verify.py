"""``verify`` on the internet: what it says of a check that fails is what drops its packets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import Harness
from tests.proofs.conftest import Proofs
from tests.proofs.vpc.stage import STORY, Stage, staged
from tests.two_enis import Account
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

pytestmark = pytest.mark.usefixtures("needs_namespaces")
CHECKS = """
checks:
  first: {elastic_ip: web-1, http: {contains: Testing ENI}, within: 1s}
  second: {elastic_ip: web-2, http: {contains: Testing ENI}, within: 1s}
  shut: {elastic_ip: web-1, tcp: 22, expect: silent, within: 1s}
"""
TEXT = STORY + CHECKS


def _verified(stage: Stage) -> tuple[int, dict[str, Any]]:
    """The exit code, and each check's result, as a client on the internet sees them."""
    code, out, err = stage.command("verify", "--output", "json", within=stage.plane.outside)
    assert out, err
    return code, {check["name"]: check for check in json.loads(out)}


def _nothing(_: Stage) -> None:
    """What the account says is as the spec says."""


def _allocate_none(stage: Stage) -> None:
    stage.text = TEXT.replace("elastic_ip: web-2,", "elastic_ip: web-3,").replace(
        "elastic_ips:\n", "elastic_ips:\n  web-3: {}\n"
    )


def _disassociate(stage: Stage) -> None:
    address = Account(stage.harness).address("web-2")
    stage.harness.client().disassociate_address(AssociationId=address["AssociationId"])


def _detach(stage: Stage) -> None:
    attachment = stage.interface("web-eth1")["Attachment"]["AttachmentId"]
    stage.harness.client().detach_network_interface(AttachmentId=attachment)


def _stop(stage: Stage) -> None:
    stage.harness.client().stop_instances(InstanceIds=[Account(stage.harness).instance()["InstanceId"]])


def _revoke(stage: Stage) -> None:
    group = Account(stage.harness).group("my-sg-2")
    stage.harness.client().revoke_security_group_ingress(
        GroupId=group["GroupId"], IpPermissions=group["IpPermissions"]
    )


def _take_the_route(stage: Stage) -> None:
    ec2, row = stage.harness.client(), stage.interface("web-eth1")
    table = ec2.create_route_table(VpcId=row["VpcId"])["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=row["SubnetId"])


def _deny(stage: Stage) -> None:
    ec2, row = stage.harness.client(), stage.interface("web-eth1")
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [row["VpcId"]]}])["NetworkAcls"]
    ec2.create_network_acl_entry(
        NetworkAclId=acls[0]["NetworkAclId"],
        RuleNumber=50,
        Protocol="6",
        RuleAction="deny",
        Egress=False,
        CidrBlock="0.0.0.0/0",
        PortRange={"From": 80, "To": 80},
    )


WORLDS: dict[str, tuple[Callable[[Stage], None], str]] = {
    "no public address": (_allocate_none, "elastic_ips.web-3 does not have a public address yet"),
    "an address that leads nowhere": (_disassociate, "leads nowhere: it is associated with no interface"),
    "an interface that is not attached": (_detach, "is attached to no instance"),
    "an instance that does not run": (_stop, "is stopped, not running"),
    "a group without the rule": (_revoke, f"my-sg-2 has no rule for tcp 80 from {CLIENT}"),
    "no way back": (_take_the_route, f"has no way back to {CLIENT}: it has no route to the internet gateway"),
    "a network ACL": (_deny, "the network ACL of"),
    "a guest that is not configured": (_nothing, "enireconcile guest"),
}


@pytest.mark.parametrize("world", WORLDS)
def test_the_reason(harness: Harness, proofs: Proofs, world: str) -> None:
    """In a world where the page answers at both addresses but for one thing, verify names that thing."""
    breaking, reason = WORLDS[world]
    with staged(harness, TEXT) as stage:
        web = stage.guest("web")
        web.serve_http("Testing ENI")
        if breaking is not _nothing:
            stage.configure("web")
            assert stage.plane.fetch(stage.public("web-2")) == "Testing ENI"
        address = stage.public("web-2")
        breaking(stage)
        harness.loop.now += 5
        stage.plane.sync()
        if breaking is not _allocate_none:
            assert stage.plane.fetch(address, timeout=SILENCE) is None
        code, checks = _verified(stage)
        assert code == 6
        assert checks["second"]["status"] == "failed"
        assert reason in checks["second"]["why"]
    proofs.count("broken worlds")


def test_all_is_well(harness: Harness) -> None:
    """Both answer; what is to be silent is. Once it answers, verify names the rule that lets it in."""
    with staged(harness, TEXT) as stage:
        web = stage.guest("web")
        web.serve_http("Testing ENI")
        web.serve_http("ssh", port=22)
        stage.configure("web")
        code, checks = _verified(stage)
        assert (code, {each["status"] for each in checks.values()}) == (0, {"ok"})
        group = Account(harness).group("my-sg-1")["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        harness.client().authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        stage.plane.sync()
        code, checks = _verified(stage)
        assert (code, checks["shut"]["status"]) == (6, "failed")
        assert "my-sg-1" in checks["shut"]["why"]
