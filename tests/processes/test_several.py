"""Several specs: one that fails does not keep the others waiting, and is told with its stack and account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.ec2.estate import Estate
from tests.fleet.estates import SPEC, account_id, estate_at


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[tuple[Estate, Mapping[str, str]]]:
    """Three stacks in three accounts, of which the second does not let the caller in."""
    with estate_at() as (estate, variables):
        estate.denied.add(account_id(2))
        (tmp_path / "specs").mkdir()
        for number in (1, 2, 3):
            head = f"assume_role_arn: arn:aws:iam::{account_id(number)}:role/ops\nregion: us-east-1\n"
            (tmp_path / "specs" / f"s{number}.yaml").write_text(SPEC.format(stack=f"s{number}") + head)
        yield estate, {**variables, "ENIRECONCILE_STATE": str(tmp_path / "state")}


def run(folder: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enireconcile", *arguments, "specs"],
        env={**os.environ, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


DENIED = f"AssumeRole for arn:aws:iam::{account_id(2)}:role/ops: AccessDenied"


def test_apply_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    ran = run(tmp_path, estate[1], "apply", "-y", "--report", str(tmp_path / "r.json"))
    assert ran.returncode == 1
    reports = json.loads((tmp_path / "r.json").read_text())
    assert [report["outcome"] for report in reports] == ["converged", "failed", "converged"]
    assert DENIED in ran.stderr
    assert f"1 of 3 stacks need attention:\n  s2 ({account_id(2)}, us-east-1): failed" in ran.stderr
    worlds = estate[0].worlds
    assert {account for account, _ in worlds} == {account_id(1), account_id(3)}
    assert all(len(world.data.addresses) == 1 for world in worlds.values())


def test_plan_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    ran = run(tmp_path, estate[1], "plan", "--output", "json")
    assert ran.returncode == 1
    assert [plan["stack"] for plan in json.loads(ran.stdout)] == ["s1", "s3"]
    assert f"error: s2: {DENIED}" in ran.stderr
    saved = run(tmp_path, estate[1], "plan", "--out", str(tmp_path / "plan"))
    assert "nothing is saved: s2 could not be planned" in saved.stderr
    assert "s3" in saved.stdout
    assert not (tmp_path / "plan").exists()


def test_verify_goes_on(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    checks = "checks: {page: {elastic_ip: a, tcp: 22, within: 1s}}\n"
    for number in (2, 3):
        path = tmp_path / "specs" / f"s{number}.yaml"
        path.write_text(path.read_text() + checks)
    ran = run(tmp_path, estate[1], "verify", "--output", "json")
    assert ran.returncode == 1
    assert {check["stack"] for check in json.loads(ran.stdout)} == {"s3"}
    assert f"error: s2: {DENIED}" in ran.stderr


def test_one_name_in_two_regions(estate: tuple[Estate, Mapping[str, str]], tmp_path: Path) -> None:
    """They are two stacks. Without a Region in one of the files they may be one."""
    folder = tmp_path / "specs"
    text = (folder / "s1.yaml").read_text()
    (folder / "s2.yaml").write_text(text.replace("us-east-1", "eu-west-1"))
    ran = run(tmp_path, estate[1], "apply", "-y")
    assert ran.returncode == 0, ran.stderr
    assert {region for account, region in estate[0].worlds if account == account_id(1)} == {
        "us-east-1",
        "eu-west-1",
    }
    (folder / "s2.yaml").write_text(text.replace("region: us-east-1\n", ""))
    refused = run(tmp_path, estate[1], "plan")
    assert refused.returncode == 1
    assert "stack 's1' is already defined in specs/s1.yaml" in refused.stderr
