"""--target through the commands: a part of a stack, planned, saved, applied and read back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.ec2 import EC2Server
from tests.harness import STORY, Harness
from tests.processes.test_cli import Run, command, server
from tests.two_enis import Account, assert_is_the_story

__all__ = ["command", "server"]
SPEC = str(STORY)
TWO = "version: 1\nstack: {stack}\nregion: us-east-1\nelastic_ips: {{{names}}}\n"


def test_a_part_and_then_the_rest(slow_harness: Harness) -> None:
    """The second interface with what it needs, which is the instance; its address is left for the second apply."""
    report = slow_harness.apply(targets=("network_interfaces.web-eth1",))
    assert report.outcome == "converged"
    assert {outcome.step.address for outcome in report.outcomes} == {
        "instances.web",
        "network_interfaces.web-eth0",
        "network_interfaces.web-eth1",
        "security_groups.my-sg-1",
        "security_groups.my-sg-2",
    }
    assert slow_harness.client().describe_addresses()["Addresses"] == []
    report = slow_harness.apply()
    assert report.outcome == "converged"
    assert {outcome.step.call for outcome in report.outcomes} == {"AllocateAddress", "AssociateAddress"}
    assert_is_the_story(slow_harness)


def test_drift_elsewhere_stays(slow_harness: Harness) -> None:
    """Two things differ, one is asked for: converged is said of that one, and the other is as it was."""
    slow_harness.apply()
    account = Account(slow_harness)
    ids = [account.interface(name)["NetworkInterfaceId"] for name in ("web-eth0", "web-eth1")]
    for each in ids:
        account.ec2.modify_network_interface_attribute(NetworkInterfaceId=each, Description={"Value": "drift"})
    slow_harness.loop.now += 5
    report = slow_harness.apply(targets=("network_interfaces.web-eth0",))
    assert (report.outcome, report.remaining) == ("converged", ())
    assert [account.interface(name)["Description"] for name in ("web-eth0", "web-eth1")] == ["", "drift"]


def test_plan_and_apply(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """The plan is of the part alone, says so, and apply does no more; the report says so, too."""
    target = ("--target", "security_groups.my-sg-1", "--target", "elastic_ips.web-2")
    shown = command("plan", *target, SPEC)
    assert "only elastic_ips.web-2, security_groups.my-sg-1 and their dependencies" in shown.stdout
    told = command("plan", "--output", "json", "--target", "security_groups.my-sg-1", SPEC).json
    assert [change["address"] for change in told["changes"]] == ["security_groups.my-sg-1"]
    assert (told["targets"], told["summary"]["create"]) == (["security_groups.my-sg-1"], 1)
    report = tmp_path / "report.json"
    ran = command("apply", "-y", "--report", str(report), "--target", "security_groups.my-sg-1", SPEC)
    assert (ran.code, "only security_groups.my-sg-1" in ran.stdout) == (0, True)
    assert json.loads(report.read_text())["targets"] == ["security_groups.my-sg-1"]
    assert [call.action for call in server.mutating()] == ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"]
    assert command("plan", "--detailed-exitcode", "--target", "security_groups.my-sg-1", SPEC).code == 0
    assert command("plan", "--detailed-exitcode", SPEC).code == 2


def test_metrics_are_of_whole_stacks(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """A run for some targets does not count as a success of the stack."""
    metrics = tmp_path / "eni.prom"
    part = ("--metrics", str(metrics), "--target", "security_groups.my-sg-2")
    assert command("plan", *part, SPEC).code == 0
    assert command("apply", "-y", *part, SPEC).code == 0
    assert (metrics.exists(), len(server.mutating())) == (False, 1)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["plan", "apply"])
def test_an_address_that_is_none(command: Run, name: str) -> None:
    ran = command(name, "--target", "elastic_ips.web1", SPEC)
    assert ran.code == 64
    assert "--target elastic_ips.web1: the spec has no such resource" in ran.stderr
    assert "did you mean `elastic_ips.web-1`?" in ran.stderr


def test_guards_look_at_the_part(server: EC2Server, command: Run) -> None:
    assert command("apply", "-y", "--max-changes", "1", SPEC).code == 3
    assert command("apply", "-y", "--max-changes", "1", "--target", "security_groups.my-sg-2", SPEC).code == 0
    assert len(server.mutating()) == 1


def test_a_leftover(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """One of two that the spec no longer names; the other is listed and left."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(TWO.format(stack="x", names="a: {}, b: {}, c: {}"))
    assert command("apply", "-y", str(spec)).code == 0
    spec.write_text(TWO.format(stack="x", names="a: {}"))
    options = ("--prune", "--target", "elastic_ips.b")
    shown = command("plan", *options, str(spec))
    assert "- elastic_ips.b" in shown.stdout
    assert re.search(r"  elastic_ips\.c  [0-9.]+  eipalloc-", shown.stdout)
    assert command("apply", "-y", "--allow-destroy", *options, str(spec)).code == 0
    names = [tag["Value"] for each in _addresses(server) for tag in each["Tags"] if tag["Key"] == "Name"]
    assert sorted(names) == ["a", "c"]
    assert "has no resource of this name" in command("plan", *options, str(spec)).stdout


def _addresses(server: EC2Server) -> list[dict[str, list[dict[str, str]]]]:
    found: list[dict[str, list[dict[str, str]]]] = server.client().describe_addresses()["Addresses"]
    return found


def test_several_specs(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """Only those that have the target are read; JSON stays an array."""
    for stack, names in (("one", "a: {}, b: {}"), ("two", "b: {}, c: {}")):
        (tmp_path / f"{stack}.yaml").write_text(TWO.format(stack=stack, names=names))
    told = command("plan", "--output", "json", "--target", "elastic_ips.a", str(tmp_path)).json
    assert [plan["stack"] for plan in told] == ["one"]
    assert command("apply", "-y", "--target", "elastic_ips.b", str(tmp_path)).code == 0
    assert len(_addresses(server)) == 2


def test_a_saved_part(server: EC2Server, command: Run, tmp_path: Path) -> None:
    """The file remembers the targets; what moves elsewhere is no reason to refuse."""
    plan = tmp_path / "plan.json"
    assert command("plan", "--out", str(plan), "--target", "security_groups.my-sg-1", SPEC).code == 0
    assert command("apply", "-y", "--target", "security_groups.my-sg-2", SPEC).code == 0
    assert command("apply", "-y", "--target", "elastic_ips.web-1", "--plan", str(plan)).code == 64
    assert command("apply", "-y", "--plan", str(plan)).code == 0
    groups = server.client().describe_security_groups()["SecurityGroups"]
    assert {group["GroupName"] for group in groups} == {"default", "my-sg-1", "my-sg-2"}
