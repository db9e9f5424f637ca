"""What a worker makes of a task: outcomes, errors, the role and the files that travel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.cli.signals import Interrupt
from enireconcile.fleet.file import load_fleet
from enireconcile.fleet.report import UnitResult
from enireconcile.fleet.units import Unit, units_of
from enireconcile.fleet.worker import Snapshot, Task, read_result, run_unit, spec_of
from tests.ec2 import Hook
from tests.ec2.estate import Estate
from tests.fleet.estates import account_id, write_fleet

IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return units_of(load_fleet(str(write_fleet(tmp_path, 1, ["edge"], regions=["us-east-1"]))))[0]


def run(unit: Unit, command: str, state: Path, interrupt: Interrupt | None = None, **options: Any) -> UnitResult:
    snapshot = Snapshot({})
    snapshot.read(unit.file)
    task = Task(unit, command, snapshot.files, str(state), **options).dumps()
    return read_result(unit, run_unit(task, interrupt))


def test_plan_apply_and_apply_again(estate: Estate, unit: Unit, tmp_path: Path) -> None:
    planned = run(unit, "plan", tmp_path)
    assert (planned.outcome, planned.changes, planned.stack, planned.code) == ("changes", 3, "edge", 0)
    assert estate.mutating() == []
    applied = run(unit, "apply", tmp_path)
    assert (applied.outcome, applied.changes, applied.error) == ("converged", 3, None)
    assert run(unit, "apply", tmp_path).outcome == "unchanged"
    assert run(unit, "plan", tmp_path).outcome == "unchanged"
    assert run(unit, "verify", tmp_path).outcome == "unchanged"
    world = estate.world_of(account_id(1), "us-east-1")
    assert [each.tags["enireconcile:stack"] for each in world.data.addresses.values()] == ["edge"]


def test_a_signal_in_the_middle_loses_no_count(estate: Estate, unit: Unit, tmp_path: Path) -> None:
    """The run ends its calls in flight; what it has changed is told, and the next run does the rest."""
    interrupt = Interrupt()
    estate.faults.add(Hook(action="CreateNetworkInterface", callback=lambda _: interrupt.stop("a signal")))
    stopped = run(unit, "apply", tmp_path, interrupt)
    assert (stopped.outcome, stopped.code, stopped.changes) == ("partial", 5, 3)
    assert stopped.error == "stopped by a signal"
    assert run(unit, "plan", tmp_path, interrupt).error == "stopped by a signal; nothing was changed"
    assert run(unit, "apply", tmp_path).outcome == "converged"


def test_the_role_is_assumed_with_external_id_and_a_name(estate: Estate, unit: Unit, tmp_path: Path) -> None:
    """AssumeRole says whose account it is: GetCallerIdentity is not called."""
    run(unit, "apply", tmp_path)
    assumed = [call.params for call in estate.calls if call.service == "sts"]
    assert [each["RoleArn"] for each in assumed] == [f"arn:aws:iam::{account_id(1)}:role/enireconcile"]
    assert assumed[0]["ExternalId"] == "abc"
    assert assumed[0]["RoleSessionName"].startswith("enireconcile-edge-")
    assert {estate.account_of(call) for call in estate.calls if call.service == "ec2"} == {account_id(1)}


def test_a_denied_role_is_told_under_its_own_name(estate: Estate, unit: Unit, tmp_path: Path) -> None:
    estate.denied.add(account_id(1))
    result = run(unit, "apply", tmp_path)
    assert (result.outcome, result.code) == ("failed", 1)
    assert result.error is not None
    assert result.error.startswith(
        f"AssumeRole for arn:aws:iam::{account_id(1)}:role/enireconcile: AccessDenied: "
    )
    assert "hint: the trust policy of the role must allow these credentials, with this external id" in result.error
    assert [call.action for call in estate.calls if call.service == "ec2"] == []


def test_a_guard_refuses(estate: Estate, unit: Unit, tmp_path: Path) -> None:
    refused = run(unit, "apply", tmp_path, max_changes=1)
    assert (refused.outcome, refused.code) == ("refused", 3)
    assert refused.error is not None
    assert "--max-changes" in refused.error
    assert estate.mutating() == []


@pytest.mark.usefixtures("estate")
def test_a_bad_spec_costs_its_own_unit(unit: Unit, tmp_path: Path) -> None:
    Path(unit.file).write_text("version: 1\nstack: edge\nelastic_ip: {}\n")
    result = run(unit, "apply", tmp_path)
    assert (result.outcome, result.code) == ("failed", 1)
    assert result.error is not None
    assert f"{unit.file}:3:1: elastic_ip: unknown key" in result.error


@pytest.mark.usefixtures("estate")
def test_a_mistake_that_only_live_state_shows(unit: Unit, tmp_path: Path) -> None:
    text = Path(unit.file).read_text().replace("default_for_az", "cidr").replace('"${region}a"', "10.99.0.0/24")
    Path(unit.file).write_text(text)
    result = run(unit, "plan", tmp_path)
    assert result.outcome == "failed"
    assert result.error is not None
    assert f"{unit.file}:" in result.error


def test_the_unit_decides_on_account_region_and_variables(unit: Unit) -> None:
    Path(unit.file).write_text(
        'version: 1\nstack: edge\nregion: eu-west-1\naccount_id: "999999999999"\nvariables: {a: 1}\n'
        'tags: {where: "${account_id} ${region} ${var.a}"}\nelastic_ips: {a: {}}\n'
    )
    spec = spec_of(replace(unit, variables={"mapping": {"a": {"plain": "7"}}}), Snapshot({}))
    document = spec.document
    assert (document.region, document.account_id) == ("us-east-1", account_id(1))
    assert document.tags["where"] == f"{account_id(1)} us-east-1 7"


@pytest.mark.usefixtures("estate")
def test_files_travel_with_the_task(unit: Unit, tmp_path: Path) -> None:
    """A worker on another machine has neither the spec nor the files that it names."""
    Path(unit.file).write_text(
        "version: 1\nstack: edge\ninstances:\n"
        f"  web: {{instance_type: t3.micro, image: {{ssm: {IMAGE}}}, user_data_file: boot.sh}}\n"
        "network_interfaces:\n"
        "  e: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}\n"
    )
    Path(unit.file).with_name("boot.sh").write_text("#!/bin/sh\necho here\n")
    snapshot = Snapshot({})
    spec_of(unit, snapshot)
    task = Task(unit, "apply", snapshot.files, str(tmp_path / "state")).dumps()
    for name in ("boot.sh", "edge.yaml"):
        (tmp_path / name).unlink()
    result = read_result(unit, run_unit(task))
    assert (result.outcome, result.error) == ("converged", None)


def test_a_task_holds_no_credentials(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-this-machine")
    text = Task(unit, "apply", {}, "s3://bucket/prefix").dumps()
    assert "a-secret" not in text
    options = {"state", "allow_destroy", "max_changes", "lock_timeout", "output"}
    assert set(json.loads(text)) == {"unit", "command", "files", *options}
