"""plan --out and apply --plan: exactly that plan, or nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.outputs.planfile import Saved, saved_in
from tests.ec2 import Call, EC2Server, Hook
from tests.harness import STORY
from tests.processes.test_cli import Run, command, server

__all__ = ["command", "server"]
SPEC = str(STORY)
ONE = "version: 1\nstack: {stack}\nregion: us-east-1\nelastic_ips: {{{names}}}\n"


def one(stack: str = "one", *names: str) -> str:
    return ONE.format(stack=stack, names=", ".join(f"{name}: {{}}" for name in names or ("ip",)))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(one())
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def refused(command: Run, server: EC2Server, plan: Path, *options: str) -> str:
    """What it says when it refuses with 3; nothing is changed, and a report says so if one is asked for."""
    server.clear()
    report = plan.with_name("report.json")
    report.unlink(missing_ok=True)
    ran = command("apply", "-y", "--report", str(report), *options, "--plan", str(plan))
    assert (ran.code, server.mutating()) == (3, []), ran.stderr
    if report.exists() and report.read_text():
        told = json.loads(report.read_text())
        outcomes = {each["outcome"] for each in (told if isinstance(told, list) else [told])}
        assert outcomes == {"refused"}
    return ran.stderr


def test_exactly_that_plan_is_done(server: EC2Server, command: Run, plan: Path) -> None:
    """Saved, shown and applied: the same calls; user_data arrives, and is not in the file."""
    shown = command("plan", "--output", "json", "--out", str(plan), SPEC)
    assert "apply --plan" in shown.stderr
    assert oct(plan.stat().st_mode & 0o777) == "0o600"
    assert "httpd" not in plan.read_text()
    server.clear()
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, ran.lines[-1]["outcome"]) == (0, "converged")
    assert [step["id"] for step in ran.lines[-1]["steps"]] == [step["id"] for step in shown.json["steps"]]
    assert sorted(server.actions(mutating=True)) == sorted(step["call"] for step in shown.json["steps"])
    [launch] = [call for call in server.calls if call.action == "RunInstances"]
    assert launch.params["UserData"]


def test_a_plan_to_destroy(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """It shows what destroy would do, and does it when it is applied: with the same guard."""
    assert command("apply", "-y", str(spec)).code == 0
    server.clear()
    shown = command("plan", "--destroy", "--output", "json", "--out", str(plan), str(spec))
    assert [(each["address"], each["action"]) for each in shown.json["changes"]] == [("elastic_ips.ip", "delete")]
    assert server.mutating() == []
    assert "--allow-destroy was not given" in refused(command, server, plan)
    assert command("plan", "--destroy", "--target", "elastic_ips.ip", str(spec)).code == 64
    ran = command("apply", "-y", "--allow-destroy", "--plan", str(plan))
    assert (ran.code, server.actions(mutating=True)) == (0, ["ReleaseAddress"])
    assert "No changes: the stack has no resources." in command("plan", "--destroy", str(spec)).stdout


def test_a_second_time_it_is_out_of_date(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """The plan was applied already: refused with 3, saying what differs now."""
    command("plan", "--out", str(plan), str(spec))
    assert command("apply", "-y", "--plan", str(plan)).code == 0
    told = refused(command, server, plan)
    assert "the live state has changed since the plan was saved" in told
    assert "elastic_ips.ip: create then, unchanged eipalloc-" in told


def test_a_plan_with_nothing_to_do(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    assert command("apply", "-y", str(spec)).code == 0
    command("plan", "--out", str(plan), str(spec))
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, ran.lines[-1]["outcome"]) == (0, "unchanged")
    [address] = server.client().describe_addresses()["Addresses"]
    server.client().release_address(AllocationId=address["AllocationId"])
    assert "unchanged eipalloc-" in refused(command, server, plan, "--settle-timeout", "0s")


def _detach(server: EC2Server) -> None:
    [interface] = server.client().describe_network_interfaces(
        Filters=[{"Name": "tag:Name", "Values": ["web-eth1"]}]
    )["NetworkInterfaces"]
    server.client().detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"])


def _open_a_port(server: EC2Server) -> None:
    [group] = server.client().describe_security_groups(Filters=[{"Name": "group-name", "Values": ["my-sg-2"]}])[
        "SecurityGroups"
    ]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    server.client().authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])


def _take_its_place(server: EC2Server) -> None:
    """A foreign Elastic IP takes the place of web-1."""
    ec2 = server.client()
    addresses = ec2.describe_addresses(Filters=[{"Name": "tag:Name", "Values": ["web-1"]}])["Addresses"]
    other = ec2.allocate_address(Domain="vpc")["AllocationId"]
    interface = addresses[0]["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=other, NetworkInterfaceId=interface, AllowReassociation=True)


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (_detach, "network_interfaces.web-eth1: unchanged eni-"),
        (_open_a_port, "security_groups.my-sg-2: unchanged sg-"),
        (_take_its_place, "elastic_ips.web-1: unchanged eipalloc-"),
    ],
)
def test_the_live_state_has_changed(
    server: EC2Server, command: Run, plan: Path, move: Callable[[EC2Server], None], told: str
) -> None:
    """The live state changed between plan and apply: refused, naming the resource; a new plan is applied."""
    assert command("apply", "-y", SPEC).code == 0
    server.client().delete_tags(Resources=[_instance(server)], Tags=[{"Key": "Project"}])
    command("plan", "--out", str(plan), SPEC)
    move(server)
    assert told in refused(command, server, plan)
    command("plan", "--out", str(plan), SPEC)
    assert command("apply", "-y", "--plan", str(plan)).code == 0


def _instance(server: EC2Server) -> str:
    [reservation] = server.client().describe_instances()["Reservations"]
    return str(reservation["Instances"][0]["InstanceId"])


def test_changes_of_other_tools_elsewhere_are_no_reason(
    server: EC2Server, command: Run, plan: Path, spec: Path
) -> None:
    command("plan", "--out", str(plan), str(spec))
    server.client().allocate_address(Domain="vpc")
    assert command("apply", "-y", "--plan", str(plan)).code == 0


def test_a_spec_that_has_changed(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """A spec with another meaning is refused; another spelling of the same meaning is not."""
    command("plan", "--out", str(plan), str(spec))
    spec.write_text(one("one", "ip", "other"))
    assert f"{spec} has changed since the plan was saved" in refused(command, server, plan)
    spec.write_text("# a comment\n" + one())
    assert command("apply", "-y", "--plan", str(plan)).code == 0


def test_user_data_in_a_file_of_its_own_that_has_changed(
    server: EC2Server, command: Run, plan: Path, tmp_path: Path
) -> None:
    script = tmp_path / "boot.sh"
    script.write_text("#!/bin/sh\necho one\n")
    spec = tmp_path / "spec.yaml"
    text = STORY.read_text().split("    user_data: |")
    rest = text[1].split("\n", 3)[3]
    spec.write_text(f"{text[0]}    user_data_file: boot.sh\n{rest}")
    assert command("plan", "--out", str(plan), str(spec)).code == 0
    script.write_text("#!/bin/sh\necho two\n")
    assert "has changed since the plan was saved" in refused(command, server, plan)


def test_a_spec_that_is_gone(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    command("plan", "--out", str(plan), str(spec))
    spec.unlink()
    server.clear()
    ran = command("apply", "-y", "--plan", str(plan))
    assert (ran.code, f"{spec}:1:1: cannot be read" in ran.stderr, server.calls) == (1, True, [])


def test_a_spec_from_standard_input(
    server: EC2Server, command: Run, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given again."""

    def give() -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(one().encode())))

    give()
    assert command("plan", "--out", str(plan), "-").code == 0
    give()
    assert command("apply", "-y", "--plan", str(plan)).code == 0
    assert len(server.client().describe_addresses()["Addresses"]) == 1


def test_it_remembers_to_prune(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """The flags that shaped the plan are in the file; those that allow it are not."""
    spec.write_text(one("one", "ip", "old"))
    assert command("apply", "-y", str(spec)).code == 0
    spec.write_text(one())
    command("plan", "--prune", "--out", str(plan), str(spec))
    told = refused(command, server, plan, "--max-changes", "0")
    assert "ReleaseAddress for elastic_ips.old" in told
    assert "--allow-destroy" in told
    assert "--max-changes is 0" in told
    assert command("apply", "-y", "--allow-destroy", "--plan", str(plan)).code == 0
    assert len(server.client().describe_addresses()["Addresses"]) == 1


def test_all_reasons_at_once(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    command("plan", "--out", str(plan), str(spec))
    spec.write_text(one("one", "ip", "other"))
    told = refused(command, server, plan, "--max-changes", "0")
    assert "has changed since" in told
    assert "--max-changes is 0" in told


def test_another_account(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """The plan is for the account that it was made in."""
    command("plan", "--out", str(plan), str(spec))
    server.world.settings = server.world.settings.__class__(account_id="210987654321")
    told = refused(command, server, plan)
    assert "account 123456789012" in told
    assert "210987654321" in told


def test_no_terminal_to_ask(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    command("plan", "--out", str(plan), str(spec))
    server.clear()
    ran = command("apply", "--plan", str(plan))
    assert (ran.code, "--auto-approve" in ran.stderr, server.mutating()) == (3, True, [])


def test_no_second_round(server: EC2Server, command: Run, plan: Path) -> None:
    """The live state changes during the run: what was not planned is not done, code 5; a new plan finishes."""
    assert command("apply", "-y", SPEC).code == 0
    server.client().delete_tags(Resources=[_instance(server)], Tags=[{"Key": "Project"}])
    command("plan", "--out", str(plan), SPEC)
    meddle = Hook(action="CreateTags", late=True, callback=lambda _: _open_a_port(server))
    server.faults.add(meddle)
    ran = command("apply", "-y", "--settle-timeout", "100ms", "--plan", str(plan))
    assert ran.code == 5
    assert "and more changes are needed: make a new plan" in ran.stderr
    assert "RevokeSecurityGroupIngress" not in server.actions()
    server.faults.clear()
    assert command("apply", "-y", SPEC).code == 0


# ---- files


@pytest.mark.parametrize("damage", ["cut", "edited", "foreign", "empty"])
def test_a_damaged_file(server: EC2Server, command: Run, plan: Path, spec: Path, damage: str) -> None:
    """Refused with 3 before AWS is asked anything."""
    command("plan", "--out", str(plan), str(spec))
    text = plan.read_text()
    damaged = {"cut": text[:-20], "edited": text.replace("elastic_ips.ip", "elastic_ips.xy"), "foreign": one()}
    plan.write_text(damaged.get(damage, ""))
    told = refused(command, server, plan)
    assert str(plan) in told
    assert server.calls == []


def test_a_forged_file(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """A forged call with a digest that fits: only what the spec asks for is run."""
    stranger = server.client().allocate_address(Domain="vpc")["AllocationId"]
    command("plan", "--out", str(plan), str(spec))
    [saved] = saved_in(plan.read_text(), str(plan)).plans
    [step] = saved.plan.steps
    release = replace(step, call="ReleaseAddress", params={"AllocationId": stranger})
    forged = replace(saved, plan=replace(saved.plan, steps=(release,)))
    plan.write_text(Saved((forged,)).text("2026-02-03T04:05:06Z"))
    assert "ReleaseAddress for elastic_ips.ip, then" in refused(command, server, plan, "--allow-destroy")


def test_a_file_that_is_not_there(server: EC2Server, command: Run, plan: Path) -> None:
    ran = command("apply", "-y", "--plan", str(plan))
    assert (ran.code, f"cannot read the plan file {plan}: No such file" in ran.stderr, server.calls) == (
        1,
        True,
        [],
    )


def test_a_file_that_cannot_be_written(server: EC2Server, command: Run, spec: Path, tmp_path: Path) -> None:
    ran = command("plan", "--out", str(tmp_path / "no" / "plan.json"), str(spec))
    assert (ran.code, "cannot write the plan" in ran.stderr) == (1, True)
    assert server.mutating() == []


def test_a_file_is_replaced_whole(server: EC2Server, command: Run, plan: Path, spec: Path) -> None:
    """What stood there is gone, whatever its mode was; a link is not followed."""
    elsewhere = plan.with_name("elsewhere")
    elsewhere.write_text("precious")
    plan.symlink_to(elsewhere)
    assert command("plan", "--out", str(plan), str(spec)).code == 0
    assert (elsewhere.read_text(), plan.is_symlink()) == ("precious", False)
    assert oct(plan.stat().st_mode & 0o777) == "0o600"
    assert server.mutating() == []


@pytest.mark.parametrize("more", [(SPEC,), ("--prune",), ("--region", "eu-west-1")])
def test_what_the_file_says_itself_is_not_said_again(command: Run, plan: Path, more: tuple[str, ...]) -> None:
    ran = command("apply", "-y", *more, "--plan", str(plan))
    assert (ran.code, "--plan cannot be combined" in ran.stderr) == (64, True)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("options", "environment"), [(["--region", "us-east-1"], "eu-west-1"), ([], "us-east-1"), ([], "eu-west-1")]
)
def test_references_get_the_region_of_the_plan(
    command: Run,
    plan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    environment: str,
) -> None:
    """It comes from --region or the environment, which may say another one when the plan is applied."""
    spec = tmp_path / "anywhere.yaml"
    spec.write_text('version: 1\nstack: anywhere\ntags: {where: "${region}"}\nelastic_ips: {a: {}}\n')
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert command("plan", *options, "--out", str(plan), str(spec)).code == 0
    monkeypatch.setenv("AWS_REGION", environment)
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, ran.lines[-1]["outcome"], ran.lines[-1]["region"]) == (0, "converged", "us-east-1")


def test_neither_spec_nor_plan(command: Run) -> None:
    ran = command("apply", "-y")
    assert (ran.code, "--plan FILE" in ran.stderr) == (64, True)


# ---- several specs


@pytest.fixture
def two(tmp_path: Path) -> Path:
    directory = tmp_path / "specs"
    directory.mkdir()
    for stack in ("one", "two"):
        (directory / f"{stack}.yaml").write_text(one(stack))
    return directory


def test_several_plans_in_one_file(server: EC2Server, command: Run, plan: Path, two: Path) -> None:
    command("plan", "--out", str(plan), str(two))
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, [line["stack"] for line in ran.lines if line["type"] == "report"]) == (0, ["one", "two"])
    assert len(server.client().describe_addresses()["Addresses"]) == 2


def outcomes(stdout: Sequence[Mapping[str, Any]]) -> dict[str | None, str]:
    """Stack to outcome, by the reports of ``--output json``; None are files without a stack."""
    return {line["stack"]: line["outcome"] for line in stdout if line["type"] == "report"}


def test_one_that_is_out_of_date_refuses_itself_alone(
    server: EC2Server, command: Run, plan: Path, two: Path
) -> None:
    """The live state of the first stack has changed: it is named, and the second is applied."""
    command("plan", "--out", str(plan), str(two))
    assert command("apply", "-y", str(two / "one.yaml")).code == 0
    ran = command("apply", "-y", "--plan", str(plan))
    assert ran.code == 3
    assert "error: one: the plan was refused; nothing was changed:" in ran.stderr
    assert "the live state has changed since the plan was saved" in ran.stderr
    assert "2 stacks: 1 converged, 1 refused (one)" in ran.stderr
    assert len(server.client().describe_addresses()["Addresses"]) == 2


@pytest.mark.usefixtures("server")
def test_a_file_that_has_changed_refuses_itself_alone(command: Run, plan: Path, two: Path) -> None:
    """Changed, and then invalid; ``--target`` names a resource that the file no longer has."""
    targets = ["--target", "elastic_ips.ip", "--target", "elastic_ips.more"]
    (two / "one.yaml").write_text(one("one", "ip", "more"))
    command("plan", *targets, "--out", str(plan), str(two))
    (two / "one.yaml").write_text(one("one", "ip", "more", "other"))
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, outcomes(ran.lines)) == (3, {"one": "refused", "two": "converged"})
    assert f"{two / 'one.yaml'} has changed since the plan was saved" in ran.stderr
    (two / "one.yaml").write_text("version: 1\n")
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, outcomes(ran.lines)) == (3, {"two": "refused", None: "failed"})
    assert f"{two / 'one.yaml'}:1:1: stack: " in ran.stderr


@pytest.mark.usefixtures("server")
def test_one_that_is_not_allowed_refuses_itself_alone(command: Run, plan: Path, two: Path) -> None:
    (two / "two.yaml").write_text(one("two", "a", "b"))
    command("plan", "--out", str(plan), str(two))
    ran = command("apply", "-y", "--output", "json", "--max-changes", "1", "--plan", str(plan))
    assert (ran.code, outcomes(ran.lines)) == (3, {"one": "converged", "two": "refused"})
    assert "it changes 2 resources, and --max-changes is 1" in ran.stderr


def test_the_live_state_of_the_second_changes_during_the_first(
    server: EC2Server, command: Run, plan: Path, two: Path
) -> None:
    """Checked under its own lock: the first is done, the second refused."""
    command("plan", "--out", str(plan), str(two))

    def meddle(_: Call) -> None:
        tags = [
            {"Key": "enireconcile:stack", "Value": "two"},
            {"Key": "enireconcile:name", "Value": "elastic_ips.ip"},
        ]
        server.client().allocate_address(
            Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
        )

    server.faults.add(Hook(action="AllocateAddress", late=True, callback=meddle))
    ran = command("apply", "-y", "--output", "json", "--plan", str(plan))
    assert (ran.code, outcomes(ran.lines)) == (3, {"one": "converged", "two": "refused"})
